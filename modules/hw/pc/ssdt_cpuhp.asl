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
        Field (CPUR, DWordAcc, NoLock, WriteAsZeros)
        {
            CSEL, 32, // the processor that the next is about
            CFLG, 32, // bit 0 it is there; bit 1 it came, writing 1 forgets
            CNXT, 32  // the first one that came; 0xFFFFFFFF: none
        }
        Mutex (CLCK, 0)
        Method (CSTA, 1, NotSerialized)
        {
            Acquire (CLCK, 0xFFFF)
            Store (Arg0, CSEL)
            Store (CFLG, Local0)
            Release (CLCK)
            If (And (Local0, One)) { Return (0x0F) }
            Return (Zero)
        }
        // A local APIC's entry of the MADT: number and APIC id are the same.
        Method (CMAT, 1, Serialized)
        {
            Name (ENTR, Buffer () { 0, 8, 0, 0, 0, 0, 0, 0 })
            Store (Arg0, Index (ENTR, 2))
            Store (Arg0, Index (ENTR, 3))
            If (CSTA (Arg0)) { Store (One, Index (ENTR, 4)) } Else { Store (Zero, Index (ENTR, 4)) }
            Return (ENTR)
        }
        Method (CSCN, 0, Serialized)
        {
            While (One)
            {
                Acquire (CLCK, 0xFFFF)
                Store (CNXT, Local0)
                If (LNotEqual (Local0, 0xFFFFFFFF))
                {
                    Store (Local0, CSEL)
                    Store (2, CFLG)
                }
                Release (CLCK)
                If (LEqual (Local0, 0xFFFFFFFF)) { Break }
                CTFY (Local0, One)
            }
        }
    }
    Scope (\_GPE)
    {
        Method (_E02) { \_SB.CSCN () }
    }
}
