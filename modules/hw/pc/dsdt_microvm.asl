/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hardware of board microvm as ACPI describes it: a serial bus's worth of old devices, and slots for virtio devices on
 * MMIO ("LNRO0005" is what Linux calls them), of which empty ones say so themselves. The containers have the names that
 * the ssdt_*.asl files extend on the other boards, though nothing here is PCI. ACPI 6.4.
 */
DefinitionBlock ("dsdt_microvm.aml", "DSDT", 2, "BKPLNE", "BKPLMVM", 1)
{
    Scope (\)
    {
        Name (_S0, Package () { Zero, Zero, Zero, Zero })
        Name (_S5, Package () { Zero, Zero, Zero, Zero })
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, "ACPI0004")
            Name (_UID, Zero)
            Device (ISA)
            {
                Name (_HID, "ACPI0004")
                Name (_UID, One)
                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x20, 0x20, 1, 2)
                        IO (Decode16, 0xA0, 0xA0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }
                Device (PIT)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x40, 0x40, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }
                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x70, 0x70, 1, 8)
                        IRQNoFlags () { 8 }
                    })
                }
            }
        }
        Device (VIO0)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 0)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00000, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 5 }
            })
        }
        Device (VIO1)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 1)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00200, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 6 }
            })
        }
        Device (VIO2)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 2)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00400, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 7 }
            })
        }
        Device (VIO3)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 3)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00600, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 10 }
            })
        }
        Device (VIO4)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 4)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00800, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 11 }
            })
        }
        Device (VIO5)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 5)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00A00, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 12 }
            })
        }
        Device (VIO6)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 6)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00C00, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 14 }
            })
        }
        Device (VIO7)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, 7)
            Name (_CCA, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFEB00E00, 0x200)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 15 }
            })
        }
    }
}
