/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processors that come while the machine runs (acpi-cpuhp.c has the registers). The devices C000, C001, ... and
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
            Offset (5),
            CCMD, 8  // 0: select one that came, if one did
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
        Method (CSCN, 0, Serialized)
        {
            While (One)
            {
                Acquire (CLCK, 0xFFFF)
                Store (Zero, CCMD)
                Store (CDAT, Local0)
                Store (CINS, Local1)
                If (Local1) { Store (One, CINS) }
                Release (CLCK)
                If (LNot (Local1)) { Break }
                CTFY (Local0, One)
            }
        }
    }
    Scope (\_GPE)
    {
        Method (_E02) { \_SB.CSCN () }
    }
}
