/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The port by which a guest tells of its panic, when it stands at its usual place. */
DefinitionBlock ("ssdt_pvpanic.aml", "SSDT", 2, "BKPLNE", "BKPLPANC", 1)
{
    External (\_SB.PCI0.ISA, DeviceObj)
    Scope (\_SB.PCI0.ISA)
    {
        Device (PEVT)
        {
            Name (_HID, "QEMU0001")
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0505, 0x0505, 1, 1) })
        }
    }
}
