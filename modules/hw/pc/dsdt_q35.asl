/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixed hardware of board q35 as ACPI describes it: PCI Express root bus and its windows, ICH9's
 * interrupt routing (316972, registers 0x60-0x63 and 0x68-0x6b; pins 16 to 23 of the I/O APIC), legacy
 * devices, sleep states. ACPI 6.4, PCI Firmware 3.0. What is not always there stands in the ssdt_*.asl
 * files.
 */
DefinitionBlock ("dsdt_q35.aml", "DSDT", 2, "BKPLNE", "BKPLQ35", 1)
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
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
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
                    ReadWrite, 0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })

            // Hot-plug, power management events and the PCI Express capability are the system's; error
            // reporting and the standard hot-plug controller are not there.
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (LNotEqual (Arg0, ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766")))
                {
                    Or (CDW1, 4, CDW1) // not this one
                    Return (Arg3)
                }
                CreateDWordField (Arg3, 8, CDW3)
                And (CDW3, 0x15, Local0)
                If (LNotEqual (Arg1, One)) { Or (CDW1, 8, CDW1) }
                If (LNotEqual (CDW3, Local0)) { Or (CDW1, 0x10, CDW1) }
                Store (Local0, CDW3)
                Return (Arg3)
            }

            // Slot n up to 24, pin p (from 0) goes to link E + (n + p) mod 4; from slot 25 on pin p goes
            // to link A + p.
            Method (_PRT, 0)
            {
                If (PICM) { Return (PRTA) }
                Return (PRTP)
            }
            Name (PRTA, Package (128)
            {
                Package () { 0x0000FFFF, 0, Zero, 20 }, Package () { 0x0000FFFF, 1, Zero, 21 },
                Package () { 0x0000FFFF, 2, Zero, 22 }, Package () { 0x0000FFFF, 3, Zero, 23 },
                Package () { 0x0001FFFF, 0, Zero, 21 }, Package () { 0x0001FFFF, 1, Zero, 22 },
                Package () { 0x0001FFFF, 2, Zero, 23 }, Package () { 0x0001FFFF, 3, Zero, 20 },
                Package () { 0x0002FFFF, 0, Zero, 22 }, Package () { 0x0002FFFF, 1, Zero, 23 },
                Package () { 0x0002FFFF, 2, Zero, 20 }, Package () { 0x0002FFFF, 3, Zero, 21 },
                Package () { 0x0003FFFF, 0, Zero, 23 }, Package () { 0x0003FFFF, 1, Zero, 20 },
                Package () { 0x0003FFFF, 2, Zero, 21 }, Package () { 0x0003FFFF, 3, Zero, 22 },
                Package () { 0x0004FFFF, 0, Zero, 20 }, Package () { 0x0004FFFF, 1, Zero, 21 },
                Package () { 0x0004FFFF, 2, Zero, 22 }, Package () { 0x0004FFFF, 3, Zero, 23 },
                Package () { 0x0005FFFF, 0, Zero, 21 }, Package () { 0x0005FFFF, 1, Zero, 22 },
                Package () { 0x0005FFFF, 2, Zero, 23 }, Package () { 0x0005FFFF, 3, Zero, 20 },
                Package () { 0x0006FFFF, 0, Zero, 22 }, Package () { 0x0006FFFF, 1, Zero, 23 },
                Package () { 0x0006FFFF, 2, Zero, 20 }, Package () { 0x0006FFFF, 3, Zero, 21 },
                Package () { 0x0007FFFF, 0, Zero, 23 }, Package () { 0x0007FFFF, 1, Zero, 20 },
                Package () { 0x0007FFFF, 2, Zero, 21 }, Package () { 0x0007FFFF, 3, Zero, 22 },
                Package () { 0x0008FFFF, 0, Zero, 20 }, Package () { 0x0008FFFF, 1, Zero, 21 },
                Package () { 0x0008FFFF, 2, Zero, 22 }, Package () { 0x0008FFFF, 3, Zero, 23 },
                Package () { 0x0009FFFF, 0, Zero, 21 }, Package () { 0x0009FFFF, 1, Zero, 22 },
                Package () { 0x0009FFFF, 2, Zero, 23 }, Package () { 0x0009FFFF, 3, Zero, 20 },
                Package () { 0x000AFFFF, 0, Zero, 22 }, Package () { 0x000AFFFF, 1, Zero, 23 },
                Package () { 0x000AFFFF, 2, Zero, 20 }, Package () { 0x000AFFFF, 3, Zero, 21 },
                Package () { 0x000BFFFF, 0, Zero, 23 }, Package () { 0x000BFFFF, 1, Zero, 20 },
                Package () { 0x000BFFFF, 2, Zero, 21 }, Package () { 0x000BFFFF, 3, Zero, 22 },
                Package () { 0x000CFFFF, 0, Zero, 20 }, Package () { 0x000CFFFF, 1, Zero, 21 },
                Package () { 0x000CFFFF, 2, Zero, 22 }, Package () { 0x000CFFFF, 3, Zero, 23 },
                Package () { 0x000DFFFF, 0, Zero, 21 }, Package () { 0x000DFFFF, 1, Zero, 22 },
                Package () { 0x000DFFFF, 2, Zero, 23 }, Package () { 0x000DFFFF, 3, Zero, 20 },
                Package () { 0x000EFFFF, 0, Zero, 22 }, Package () { 0x000EFFFF, 1, Zero, 23 },
                Package () { 0x000EFFFF, 2, Zero, 20 }, Package () { 0x000EFFFF, 3, Zero, 21 },
                Package () { 0x000FFFFF, 0, Zero, 23 }, Package () { 0x000FFFFF, 1, Zero, 20 },
                Package () { 0x000FFFFF, 2, Zero, 21 }, Package () { 0x000FFFFF, 3, Zero, 22 },
                Package () { 0x0010FFFF, 0, Zero, 20 }, Package () { 0x0010FFFF, 1, Zero, 21 },
                Package () { 0x0010FFFF, 2, Zero, 22 }, Package () { 0x0010FFFF, 3, Zero, 23 },
                Package () { 0x0011FFFF, 0, Zero, 21 }, Package () { 0x0011FFFF, 1, Zero, 22 },
                Package () { 0x0011FFFF, 2, Zero, 23 }, Package () { 0x0011FFFF, 3, Zero, 20 },
                Package () { 0x0012FFFF, 0, Zero, 22 }, Package () { 0x0012FFFF, 1, Zero, 23 },
                Package () { 0x0012FFFF, 2, Zero, 20 }, Package () { 0x0012FFFF, 3, Zero, 21 },
                Package () { 0x0013FFFF, 0, Zero, 23 }, Package () { 0x0013FFFF, 1, Zero, 20 },
                Package () { 0x0013FFFF, 2, Zero, 21 }, Package () { 0x0013FFFF, 3, Zero, 22 },
                Package () { 0x0014FFFF, 0, Zero, 20 }, Package () { 0x0014FFFF, 1, Zero, 21 },
                Package () { 0x0014FFFF, 2, Zero, 22 }, Package () { 0x0014FFFF, 3, Zero, 23 },
                Package () { 0x0015FFFF, 0, Zero, 21 }, Package () { 0x0015FFFF, 1, Zero, 22 },
                Package () { 0x0015FFFF, 2, Zero, 23 }, Package () { 0x0015FFFF, 3, Zero, 20 },
                Package () { 0x0016FFFF, 0, Zero, 22 }, Package () { 0x0016FFFF, 1, Zero, 23 },
                Package () { 0x0016FFFF, 2, Zero, 20 }, Package () { 0x0016FFFF, 3, Zero, 21 },
                Package () { 0x0017FFFF, 0, Zero, 23 }, Package () { 0x0017FFFF, 1, Zero, 20 },
                Package () { 0x0017FFFF, 2, Zero, 21 }, Package () { 0x0017FFFF, 3, Zero, 22 },
                Package () { 0x0018FFFF, 0, Zero, 20 }, Package () { 0x0018FFFF, 1, Zero, 21 },
                Package () { 0x0018FFFF, 2, Zero, 22 }, Package () { 0x0018FFFF, 3, Zero, 23 },
                Package () { 0x0019FFFF, 0, Zero, 16 }, Package () { 0x0019FFFF, 1, Zero, 17 },
                Package () { 0x0019FFFF, 2, Zero, 18 }, Package () { 0x0019FFFF, 3, Zero, 19 },
                Package () { 0x001AFFFF, 0, Zero, 16 }, Package () { 0x001AFFFF, 1, Zero, 17 },
                Package () { 0x001AFFFF, 2, Zero, 18 }, Package () { 0x001AFFFF, 3, Zero, 19 },
                Package () { 0x001BFFFF, 0, Zero, 16 }, Package () { 0x001BFFFF, 1, Zero, 17 },
                Package () { 0x001BFFFF, 2, Zero, 18 }, Package () { 0x001BFFFF, 3, Zero, 19 },
                Package () { 0x001CFFFF, 0, Zero, 16 }, Package () { 0x001CFFFF, 1, Zero, 17 },
                Package () { 0x001CFFFF, 2, Zero, 18 }, Package () { 0x001CFFFF, 3, Zero, 19 },
                Package () { 0x001DFFFF, 0, Zero, 16 }, Package () { 0x001DFFFF, 1, Zero, 17 },
                Package () { 0x001DFFFF, 2, Zero, 18 }, Package () { 0x001DFFFF, 3, Zero, 19 },
                Package () { 0x001EFFFF, 0, Zero, 16 }, Package () { 0x001EFFFF, 1, Zero, 17 },
                Package () { 0x001EFFFF, 2, Zero, 18 }, Package () { 0x001EFFFF, 3, Zero, 19 },
                Package () { 0x001FFFFF, 0, Zero, 16 }, Package () { 0x001FFFFF, 1, Zero, 17 },
                Package () { 0x001FFFFF, 2, Zero, 18 }, Package () { 0x001FFFFF, 3, Zero, 19 }
            })
            Name (PRTP, Package (128)
            {
                Package () { 0x0000FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0000FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0000FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0000FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0001FFFF, 0, \_SB.LNKF, 0 }, Package () { 0x0001FFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x0001FFFF, 2, \_SB.LNKH, 0 }, Package () { 0x0001FFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x0002FFFF, 0, \_SB.LNKG, 0 }, Package () { 0x0002FFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x0002FFFF, 2, \_SB.LNKE, 0 }, Package () { 0x0002FFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x0003FFFF, 0, \_SB.LNKH, 0 }, Package () { 0x0003FFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x0003FFFF, 2, \_SB.LNKF, 0 }, Package () { 0x0003FFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x0004FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0004FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0004FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0004FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0005FFFF, 0, \_SB.LNKF, 0 }, Package () { 0x0005FFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x0005FFFF, 2, \_SB.LNKH, 0 }, Package () { 0x0005FFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x0006FFFF, 0, \_SB.LNKG, 0 }, Package () { 0x0006FFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x0006FFFF, 2, \_SB.LNKE, 0 }, Package () { 0x0006FFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x0007FFFF, 0, \_SB.LNKH, 0 }, Package () { 0x0007FFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x0007FFFF, 2, \_SB.LNKF, 0 }, Package () { 0x0007FFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x0008FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0008FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0008FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0008FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0009FFFF, 0, \_SB.LNKF, 0 }, Package () { 0x0009FFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x0009FFFF, 2, \_SB.LNKH, 0 }, Package () { 0x0009FFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x000AFFFF, 0, \_SB.LNKG, 0 }, Package () { 0x000AFFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x000AFFFF, 2, \_SB.LNKE, 0 }, Package () { 0x000AFFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x000BFFFF, 0, \_SB.LNKH, 0 }, Package () { 0x000BFFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x000BFFFF, 2, \_SB.LNKF, 0 }, Package () { 0x000BFFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x000CFFFF, 0, \_SB.LNKE, 0 }, Package () { 0x000CFFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x000CFFFF, 2, \_SB.LNKG, 0 }, Package () { 0x000CFFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x000DFFFF, 0, \_SB.LNKF, 0 }, Package () { 0x000DFFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x000DFFFF, 2, \_SB.LNKH, 0 }, Package () { 0x000DFFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x000EFFFF, 0, \_SB.LNKG, 0 }, Package () { 0x000EFFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x000EFFFF, 2, \_SB.LNKE, 0 }, Package () { 0x000EFFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x000FFFFF, 0, \_SB.LNKH, 0 }, Package () { 0x000FFFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x000FFFFF, 2, \_SB.LNKF, 0 }, Package () { 0x000FFFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x0010FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0010FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0010FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0010FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0011FFFF, 0, \_SB.LNKF, 0 }, Package () { 0x0011FFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x0011FFFF, 2, \_SB.LNKH, 0 }, Package () { 0x0011FFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x0012FFFF, 0, \_SB.LNKG, 0 }, Package () { 0x0012FFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x0012FFFF, 2, \_SB.LNKE, 0 }, Package () { 0x0012FFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x0013FFFF, 0, \_SB.LNKH, 0 }, Package () { 0x0013FFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x0013FFFF, 2, \_SB.LNKF, 0 }, Package () { 0x0013FFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x0014FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0014FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0014FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0014FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0015FFFF, 0, \_SB.LNKF, 0 }, Package () { 0x0015FFFF, 1, \_SB.LNKG, 0 },
                Package () { 0x0015FFFF, 2, \_SB.LNKH, 0 }, Package () { 0x0015FFFF, 3, \_SB.LNKE, 0 },
                Package () { 0x0016FFFF, 0, \_SB.LNKG, 0 }, Package () { 0x0016FFFF, 1, \_SB.LNKH, 0 },
                Package () { 0x0016FFFF, 2, \_SB.LNKE, 0 }, Package () { 0x0016FFFF, 3, \_SB.LNKF, 0 },
                Package () { 0x0017FFFF, 0, \_SB.LNKH, 0 }, Package () { 0x0017FFFF, 1, \_SB.LNKE, 0 },
                Package () { 0x0017FFFF, 2, \_SB.LNKF, 0 }, Package () { 0x0017FFFF, 3, \_SB.LNKG, 0 },
                Package () { 0x0018FFFF, 0, \_SB.LNKE, 0 }, Package () { 0x0018FFFF, 1, \_SB.LNKF, 0 },
                Package () { 0x0018FFFF, 2, \_SB.LNKG, 0 }, Package () { 0x0018FFFF, 3, \_SB.LNKH, 0 },
                Package () { 0x0019FFFF, 0, \_SB.LNKA, 0 }, Package () { 0x0019FFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x0019FFFF, 2, \_SB.LNKC, 0 }, Package () { 0x0019FFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001AFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001AFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001AFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001AFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001BFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001BFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001BFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001BFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001CFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001CFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001CFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001CFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001DFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001DFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001DFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001DFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001EFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001EFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001EFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001EFFFF, 3, \_SB.LNKD, 0 },
                Package () { 0x001FFFFF, 0, \_SB.LNKA, 0 }, Package () { 0x001FFFFF, 1, \_SB.LNKB, 0 },
                Package () { 0x001FFFFF, 2, \_SB.LNKC, 0 }, Package () { 0x001FFFFF, 3, \_SB.LNKD, 0 }
            })

            Device (ISA)
            {
                Name (_ADR, 0x001F0000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x0C)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8,
                    Offset (8),
                    PRQE, 8, PRQF, 8, PRQG, 8, PRQH, 8
                }

                Include ("isa_devices.asl")
            }

            // What is taken and is no device of its own.
            Device (MRES)
            {
                Name (_HID, EisaId ("PNP0C02"))
                Name (_UID, One)
                Name (_CRS, ResourceTemplate ()
                {
                    Memory32Fixed (ReadWrite, 0xB0000000, 0x10000000) // configuration space
                    IO (Decode16, 0x0600, 0x0600, 1, 0x80) // power management
                })
            }
        }

        // What the interrupt links share: a routing register of the bridge holds the IRQ, bit 7 means
        // not routed.
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
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQA, 0x80, \_SB.PCI0.ISA.PRQA) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQA) }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQB, 0x80, \_SB.PCI0.ISA.PRQB) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQB) }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQC, 0x80, \_SB.PCI0.ISA.PRQC) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQC) }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQD, 0x80, \_SB.PCI0.ISA.PRQD) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQD) }
        }
        Device (LNKE)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQE)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQE, 0x80, \_SB.PCI0.ISA.PRQE) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQE)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQE) }
        }
        Device (LNKF)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 5)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQF)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQF, 0x80, \_SB.PCI0.ISA.PRQF) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQF)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQF) }
        }
        Device (LNKG)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 6)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQG)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQG, 0x80, \_SB.PCI0.ISA.PRQG) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQG)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQG) }
        }
        Device (LNKH)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 7)
            Method (_PRS, 0) { Return (LPRS) }
            Method (_STA, 0) { Return (LSTA (\_SB.PCI0.ISA.PRQH)) }
            Method (_DIS, 0) { Or (\_SB.PCI0.ISA.PRQH, 0x80, \_SB.PCI0.ISA.PRQH) }
            Method (_CRS, 0) { Return (LCRS (\_SB.PCI0.ISA.PRQH)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, SRSI) Store (SRSI, \_SB.PCI0.ISA.PRQH) }
        }
    }
}
