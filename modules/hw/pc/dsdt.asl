/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixed hardware of board pc as ACPI describes it: host bridge and its windows, PIIX3 interrupt
 * routing (82371SB, registers 0x60-0x63), legacy devices, sleep states (82371AB). ACPI 6.4.
 * What is not always there stands in the ssdt_*.asl files.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "BKPLNE", "BKPLPC", 1)
{
    Scope (\)
    {
        Name (PICM, Zero) // 0: 8259 pair, 1: I/O APIC
        Method (_PIC, 1) { Store (Arg0, PICM) }
        Name (_S0, Package () { Zero, Zero, Zero, Zero })
        Name (_S5, Package () { Zero, Zero, Zero, Zero })
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xFF, 0, 0x100)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xE0000000, 0xFEBFFFFF, 0, 0x1EC00000)
            })

            // Slot n, pin p (from 0) goes to link (n + p - 1) mod 4; slot 1 pin 0 is the power
            // management function, whose SCI is IRQ 9 by wire.
            Name (_PRT, Package (128)
            {
                Package () { 0x0000FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0000FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0000FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0000FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0001FFFF, 0, \_SB.LNKS, 0 }, Package () { 0x0001FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0001FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0001FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x0002FFFF, 0, \_SB.LNKB, 0 }, Package () { 0x0002FFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x0002FFFF, 2, \_SB.LNKD, 0 }, Package () { 0x0002FFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x0003FFFF, 0, \_SB.LNKC, 0 }, Package () { 0x0003FFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x0003FFFF, 2, \_SB.LNKA, 0 }, Package () { 0x0003FFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x0004FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0004FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0004FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0004FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0005FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0005FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0005FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0005FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x0006FFFF, 0, \_SB.LNKB, 0 }, Package () { 0x0006FFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x0006FFFF, 2, \_SB.LNKD, 0 }, Package () { 0x0006FFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x0007FFFF, 0, \_SB.LNKC, 0 }, Package () { 0x0007FFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x0007FFFF, 2, \_SB.LNKA, 0 }, Package () { 0x0007FFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x0008FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0008FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0008FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0008FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0009FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0009FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0009FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0009FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x000AFFFF, 0, \_SB.LNKB, 0 }, Package () { 0x000AFFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x000AFFFF, 2, \_SB.LNKD, 0 }, Package () { 0x000AFFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x000BFFFF, 0, \_SB.LNKC, 0 }, Package () { 0x000BFFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x000BFFFF, 2, \_SB.LNKA, 0 }, Package () { 0x000BFFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x000CFFFF, 0, \_SB.LNKD, 0 }, Package () { 0x000CFFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x000CFFFF, 2, \_SB.LNKB, 0 }, Package () { 0x000CFFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x000DFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x000DFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x000DFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x000DFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x000EFFFF, 0, \_SB.LNKB, 0 }, Package () { 0x000EFFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x000EFFFF, 2, \_SB.LNKD, 0 }, Package () { 0x000EFFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x000FFFFF, 0, \_SB.LNKC, 0 }, Package () { 0x000FFFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x000FFFFF, 2, \_SB.LNKA, 0 }, Package () { 0x000FFFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x0010FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0010FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0010FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0010FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0011FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0011FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0011FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0011FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x0012FFFF, 0, \_SB.LNKB, 0 }, Package () { 0x0012FFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x0012FFFF, 2, \_SB.LNKD, 0 }, Package () { 0x0012FFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x0013FFFF, 0, \_SB.LNKC, 0 }, Package () { 0x0013FFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x0013FFFF, 2, \_SB.LNKA, 0 }, Package () { 0x0013FFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x0014FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0014FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0014FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0014FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0015FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0015FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0015FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0015FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x0016FFFF, 0, \_SB.LNKB, 0 }, Package () { 0x0016FFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x0016FFFF, 2, \_SB.LNKD, 0 }, Package () { 0x0016FFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x0017FFFF, 0, \_SB.LNKC, 0 }, Package () { 0x0017FFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x0017FFFF, 2, \_SB.LNKA, 0 }, Package () { 0x0017FFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x0018FFFF, 0, \_SB.LNKD, 0 }, Package () { 0x0018FFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x0018FFFF, 2, \_SB.LNKB, 0 }, Package () { 0x0018FFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x0019FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0019FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0019FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0019FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001AFFFF, 0, \_SB.LNKB, 0 }, Package () { 0x001AFFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x001AFFFF, 2, \_SB.LNKD, 0 }, Package () { 0x001AFFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x001BFFFF, 0, \_SB.LNKC, 0 }, Package () { 0x001BFFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x001BFFFF, 2, \_SB.LNKA, 0 }, Package () { 0x001BFFFF, 3, \_SB.LNKB, 0 },
                Package () { 0x001CFFFF, 0, \_SB.LNKD, 0 }, Package () { 0x001CFFFF, 1, \_SB.LNKA, 0 },
                Package () { 0x001CFFFF, 2, \_SB.LNKB, 0 }, Package () { 0x001CFFFF, 3, \_SB.LNKC, 0 },
                Package () { 0x001DFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001DFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001DFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001DFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001EFFFF, 0, \_SB.LNKB, 0 }, Package () { 0x001EFFFF, 1, \_SB.LNKC, 0 },
                Package () { 0x001EFFFF, 2, \_SB.LNKD, 0 }, Package () { 0x001EFFFF, 3, \_SB.LNKA, 0 },
                Package () { 0x001FFFFF, 0, \_SB.LNKC, 0 }, Package () { 0x001FFFFF, 1, \_SB.LNKD, 0 },
                Package () { 0x001FFFFF, 2, \_SB.LNKA, 0 }, Package () { 0x001FFFFF, 3, \_SB.LNKB, 0 }
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQ0, 8, PRQ1, 8, PRQ2, 8, PRQ3, 8
                }

                Include ("isa_devices.asl")
                Device (FDC0)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F2, 0x03F2, 1, 4)
                        IO (Decode16, 0x03F7, 0x03F7, 1, 1)
                        IRQNoFlags () { 6 }
                        DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
                    })
                }
            }
        }

        // What the four interrupt links share: a routing register of the PIIX3 holds the IRQ, bit 7
        // means not routed.
        Method (LSTA, 1) { If (And (0x80, Arg0)) { Return (0x09) } Return (0x0B) }
        Method (LCRS, 1, Serialized)
        {
            Name (CRSR, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
            })
            CreateDWordField (CRSR, 0x05, CRSI)
            If (LLess (Arg0, 0x80)) { Store (Arg0, CRSI) }
            Return (CRSR)
        }
        Name (LPRS, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })
        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQ0)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQ0, 0x80, \_SB.PCI0.ISA.PRQ0) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQ0)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQ0) }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQ1)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQ1, 0x80, \_SB.PCI0.ISA.PRQ1) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQ1)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQ1) }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQ2)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQ2, 0x80, \_SB.PCI0.ISA.PRQ2) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQ2)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQ2) }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQ3)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQ3, 0x80, \_SB.PCI0.ISA.PRQ3) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQ3)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQ3) }
        }
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 9 }
            })
            Method (_STA, 0) { Return (0x0B) }
            Method (_DIS, 0) { }
            Method (_CRS, 0) { Return (_PRS) }
            Method (_SRS, 1) { }
        }
    }
}
