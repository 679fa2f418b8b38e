/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The high precision event timer, when the machine has it. */
DefinitionBlock ("ssdt_hpet.aml", "SSDT", 2, "BKPLNE", "BKPLHPET", 1)
{
    Scope (\_SB)
    {
        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400) })
        }
    }
}
