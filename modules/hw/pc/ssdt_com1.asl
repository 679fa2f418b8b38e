/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial port COM1, when the machine has it. */
DefinitionBlock ("ssdt_com1.aml", "SSDT", 2, "BKPLNE", "BKPLCOM1", 1)
{
    External (\_SB.PCI0.ISA, DeviceObj)
    Scope (\_SB.PCI0.ISA)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0, 8)
                IRQNoFlags () { 4 }
            })
        }
    }
}
