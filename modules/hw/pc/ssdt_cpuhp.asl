/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processors that come and go while the machine runs (acpi-cpuhp.c has the registers). The devices C000, C001, ... and
 * the method CTFY that notifies the one of a number stand in a table that the board builds. Event 2.
 */
DefinitionBlock ("ssdt_cpuhp.aml", "SSDT", 2, "BKPLNE", "BKPLCPU", 1)
{
    External (\_SB.CTFY, MethodObj)
    Scope (\_SB)
    {
        Device (CPUC)
        {
            Name (_HID, EisaId ("PNP0A06"))
            Name (_UID, "CPU hot-plug")
            Name (_STA, 0x0B)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0xAF00, 0xAF00, 1, 0x0C) })
        }
        OperationRegion (CPUR, SystemIO, 0xAF00, 0x0C)
        Field (CPUR, ByteAcc, NoLock, WriteAsZeros)
        {
            Offset (4),
            CENA, 1, // the processor that is selected is there
            CINS, 1, // it came; writing 1 forgets
            CRMV, 1, // it is to go; writing 1 forgets
            CEJT, 1, // writing 1 lets go of it
            Offset (5),
            CCMD, 8  // 0: select one that came or is to go; 1, 2: CDAT is event, status of _OST
        }
        Field (CPUR, DWordAcc, NoLock, Preserve)
        {
            CSEL, 32, // the processor that the others are about
            Offset (8),
            CDAT, 32  // its number
        }
        Mutex (CLCK, 0)
        Method (CSTA, 1, NotSerialized)
        {
            Acquire (CLCK, 0xFFFF)
            Store (Arg0, CSEL)
            Store (CENA, Local0)
            Release (CLCK)
            If (Local0) { Return (0x0F) }
            Return (Zero)
        }
        // A local APIC's entry of the MADT: number and APIC id.
        Method (CMAT, 2, Serialized)
        {
            Name (ENTR, Buffer () { 0, 8, 0, 0, 0, 0, 0, 0 })
            Store (Arg0, Index (ENTR, 2))
            Store (Arg1, Index (ENTR, 3))
            If (CSTA (Arg0)) { Store (One, Index (ENTR, 4)) } Else { Store (Zero, Index (ENTR, 4)) }
            Return (ENTR)
        }
        // The same of one beyond 254: APIC id, flags and number have 32 bits.
        Method (CXMT, 2, Serialized)
        {
            Name (ENTR, Buffer (16) { 9, 16 })
            CreateDWordField (ENTR, 4, APID)
            CreateDWordField (ENTR, 8, FLGS)
            CreateDWordField (ENTR, 12, NUMB)
            Store (Arg1, APID)
            Store (Arg0, NUMB)
            If (CSTA (Arg0)) { Store (One, FLGS) } Else { Store (Zero, FLGS) }
            Return (ENTR)
        }
        Method (COST, 3, NotSerialized)
        {
            Acquire (CLCK, 0xFFFF)
            Store (Arg0, CSEL)
            Store (One, CCMD)
            Store (Arg1, CDAT)
            Store (2, CCMD)
            Store (Arg2, CDAT)
            Release (CLCK)
            Return (Zero)
        }
        Method (CEJ0, 1, NotSerialized)
        {
            Acquire (CLCK, 0xFFFF)
            Store (Arg0, CSEL)
            Store (One, CEJT)
            Release (CLCK)
            Return (Zero)
        }
        Method (CSCN, 0, Serialized)
        {
            While (One)
            {
                Acquire (CLCK, 0xFFFF)
                Store (Zero, CCMD)
                Store (CDAT, Local0)
                Store (CINS, Local1)
                Store (CRMV, Local2)
                If (Local1) { Store (One, CINS) }
                ElseIf (Local2) { Store (One, CRMV) }
                Release (CLCK)
                If (Local1) { CTFY (Local0, One) }
                ElseIf (Local2) { CTFY (Local0, 3) }
                Else { Break }
            }
        }
    }
    Scope (\_GPE)
    {
        Method (_E02) { \_SB.CSCN () }
    }
}
