/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial port COM2, when the machine has it. */
DefinitionBlock ("ssdt_com2.aml", "SSDT", 2, "BKPLNE", "BKPLCOM2", 1)
{
    External (\_SB.PCI0.ISA, DeviceObj)
    Scope (\_SB.PCI0.ISA)
    {
        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0, 8)
                IRQNoFlags () { 3 }
            })
        }
    }
}
