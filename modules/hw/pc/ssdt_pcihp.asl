/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of PCI cards on the root bus of board pc (acpi-pcihp.c has the registers): a slot whose card
 * came is checked by the system, one whose card is asked to go is ejected. Event 1. Buses behind
 * bridges add themselves by ssdt_pcihp_bus.asl.
 */
DefinitionBlock ("ssdt_pcihp.aml", "SSDT", 2, "BKPLNE", "BKPLHP", 1)
{
    External (\_SB.PCI0, DeviceObj)
    Scope (\_SB.PCI0)
    {
        OperationRegion (PHPR, SystemIO, 0xAE00, 0x14)
        Field (PHPR, DWordAcc, NoLock, WriteAsZeros)
        {
            PCIU, 32, // slots whose card came, of bus BNUM; reading forgets
            PCID, 32, // slots whose card is asked to go; reading forgets
            PEJC, 32, // a bit ejects
            PRMV, 32, // slots whose card may go
            BNUM, 32
        }
        Mutex (BLCK, 0)
        Method (PEJ, 2, NotSerialized)
        {
            Acquire (BLCK, 0xFFFF)
            Store (Arg0, BNUM)
            Store (ShiftLeft (One, Arg1), PEJC)
            Release (BLCK)
        }
        Method (PRM, 2, NotSerialized)
        {
            Acquire (BLCK, 0xFFFF)
            Store (Arg0, BNUM)
            Store (And (ShiftRight (PRMV, Arg1), One), Local0)
            Release (BLCK)
            Return (Local0)
        }
        Method (PUP, 1, NotSerialized)
        {
            Acquire (BLCK, 0xFFFF)
            Store (Arg0, BNUM)
            Store (PCIU, Local0)
            Release (BLCK)
            Return (Local0)
        }
        Method (PDN, 1, NotSerialized)
        {
            Acquire (BLCK, 0xFFFF)
            Store (Arg0, BNUM)
            Store (PCID, Local0)
            Release (BLCK)
            Return (Local0)
        }
        Device (PHPC)
        {
            Name (_HID, EisaId ("PNP0A06"))
            Name (_UID, "PCI hot-plug")
            Name (_STA, 0x0B)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0xAE00, 0xAE00, 1, 0x14) })
        }
        Device (S02) { Name (_ADR, 0x00020000) Name (_SUN, 2) Method (_RMV) { Return (PRM (0, 2)) } Method (_EJ0, 1) { PEJ (0, 2) } }
        Device (S03) { Name (_ADR, 0x00030000) Name (_SUN, 3) Method (_RMV) { Return (PRM (0, 3)) } Method (_EJ0, 1) { PEJ (0, 3) } }
        Device (S04) { Name (_ADR, 0x00040000) Name (_SUN, 4) Method (_RMV) { Return (PRM (0, 4)) } Method (_EJ0, 1) { PEJ (0, 4) } }
        Device (S05) { Name (_ADR, 0x00050000) Name (_SUN, 5) Method (_RMV) { Return (PRM (0, 5)) } Method (_EJ0, 1) { PEJ (0, 5) } }
        Device (S06) { Name (_ADR, 0x00060000) Name (_SUN, 6) Method (_RMV) { Return (PRM (0, 6)) } Method (_EJ0, 1) { PEJ (0, 6) } }
        Device (S07) { Name (_ADR, 0x00070000) Name (_SUN, 7) Method (_RMV) { Return (PRM (0, 7)) } Method (_EJ0, 1) { PEJ (0, 7) } }
        Device (S08) { Name (_ADR, 0x00080000) Name (_SUN, 8) Method (_RMV) { Return (PRM (0, 8)) } Method (_EJ0, 1) { PEJ (0, 8) } }
        Device (S09) { Name (_ADR, 0x00090000) Name (_SUN, 9) Method (_RMV) { Return (PRM (0, 9)) } Method (_EJ0, 1) { PEJ (0, 9) } }
        Device (S0A) { Name (_ADR, 0x000A0000) Name (_SUN, 10) Method (_RMV) { Return (PRM (0, 10)) } Method (_EJ0, 1) { PEJ (0, 10) } }
        Device (S0B) { Name (_ADR, 0x000B0000) Name (_SUN, 11) Method (_RMV) { Return (PRM (0, 11)) } Method (_EJ0, 1) { PEJ (0, 11) } }
        Device (S0C) { Name (_ADR, 0x000C0000) Name (_SUN, 12) Method (_RMV) { Return (PRM (0, 12)) } Method (_EJ0, 1) { PEJ (0, 12) } }
        Device (S0D) { Name (_ADR, 0x000D0000) Name (_SUN, 13) Method (_RMV) { Return (PRM (0, 13)) } Method (_EJ0, 1) { PEJ (0, 13) } }
        Device (S0E) { Name (_ADR, 0x000E0000) Name (_SUN, 14) Method (_RMV) { Return (PRM (0, 14)) } Method (_EJ0, 1) { PEJ (0, 14) } }
        Device (S0F) { Name (_ADR, 0x000F0000) Name (_SUN, 15) Method (_RMV) { Return (PRM (0, 15)) } Method (_EJ0, 1) { PEJ (0, 15) } }
        Device (S10) { Name (_ADR, 0x00100000) Name (_SUN, 16) Method (_RMV) { Return (PRM (0, 16)) } Method (_EJ0, 1) { PEJ (0, 16) } }
        Device (S11) { Name (_ADR, 0x00110000) Name (_SUN, 17) Method (_RMV) { Return (PRM (0, 17)) } Method (_EJ0, 1) { PEJ (0, 17) } }
        Device (S12) { Name (_ADR, 0x00120000) Name (_SUN, 18) Method (_RMV) { Return (PRM (0, 18)) } Method (_EJ0, 1) { PEJ (0, 18) } }
        Device (S13) { Name (_ADR, 0x00130000) Name (_SUN, 19) Method (_RMV) { Return (PRM (0, 19)) } Method (_EJ0, 1) { PEJ (0, 19) } }
        Device (S14) { Name (_ADR, 0x00140000) Name (_SUN, 20) Method (_RMV) { Return (PRM (0, 20)) } Method (_EJ0, 1) { PEJ (0, 20) } }
        Device (S15) { Name (_ADR, 0x00150000) Name (_SUN, 21) Method (_RMV) { Return (PRM (0, 21)) } Method (_EJ0, 1) { PEJ (0, 21) } }
        Device (S16) { Name (_ADR, 0x00160000) Name (_SUN, 22) Method (_RMV) { Return (PRM (0, 22)) } Method (_EJ0, 1) { PEJ (0, 22) } }
        Device (S17) { Name (_ADR, 0x00170000) Name (_SUN, 23) Method (_RMV) { Return (PRM (0, 23)) } Method (_EJ0, 1) { PEJ (0, 23) } }
        Device (S18) { Name (_ADR, 0x00180000) Name (_SUN, 24) Method (_RMV) { Return (PRM (0, 24)) } Method (_EJ0, 1) { PEJ (0, 24) } }
        Device (S19) { Name (_ADR, 0x00190000) Name (_SUN, 25) Method (_RMV) { Return (PRM (0, 25)) } Method (_EJ0, 1) { PEJ (0, 25) } }
        Device (S1A) { Name (_ADR, 0x001A0000) Name (_SUN, 26) Method (_RMV) { Return (PRM (0, 26)) } Method (_EJ0, 1) { PEJ (0, 26) } }
        Device (S1B) { Name (_ADR, 0x001B0000) Name (_SUN, 27) Method (_RMV) { Return (PRM (0, 27)) } Method (_EJ0, 1) { PEJ (0, 27) } }
        Device (S1C) { Name (_ADR, 0x001C0000) Name (_SUN, 28) Method (_RMV) { Return (PRM (0, 28)) } Method (_EJ0, 1) { PEJ (0, 28) } }
        Device (S1D) { Name (_ADR, 0x001D0000) Name (_SUN, 29) Method (_RMV) { Return (PRM (0, 29)) } Method (_EJ0, 1) { PEJ (0, 29) } }
        Device (S1E) { Name (_ADR, 0x001E0000) Name (_SUN, 30) Method (_RMV) { Return (PRM (0, 30)) } Method (_EJ0, 1) { PEJ (0, 30) } }
        Device (S1F) { Name (_ADR, 0x001F0000) Name (_SUN, 31) Method (_RMV) { Return (PRM (0, 31)) } Method (_EJ0, 1) { PEJ (0, 31) } }
        Method (DVNT, 2)
        {
            If (And (Arg0, 0x00000004)) { Notify (S02, Arg1) }
            If (And (Arg0, 0x00000008)) { Notify (S03, Arg1) }
            If (And (Arg0, 0x00000010)) { Notify (S04, Arg1) }
            If (And (Arg0, 0x00000020)) { Notify (S05, Arg1) }
            If (And (Arg0, 0x00000040)) { Notify (S06, Arg1) }
            If (And (Arg0, 0x00000080)) { Notify (S07, Arg1) }
            If (And (Arg0, 0x00000100)) { Notify (S08, Arg1) }
            If (And (Arg0, 0x00000200)) { Notify (S09, Arg1) }
            If (And (Arg0, 0x00000400)) { Notify (S0A, Arg1) }
            If (And (Arg0, 0x00000800)) { Notify (S0B, Arg1) }
            If (And (Arg0, 0x00001000)) { Notify (S0C, Arg1) }
            If (And (Arg0, 0x00002000)) { Notify (S0D, Arg1) }
            If (And (Arg0, 0x00004000)) { Notify (S0E, Arg1) }
            If (And (Arg0, 0x00008000)) { Notify (S0F, Arg1) }
            If (And (Arg0, 0x00010000)) { Notify (S10, Arg1) }
            If (And (Arg0, 0x00020000)) { Notify (S11, Arg1) }
            If (And (Arg0, 0x00040000)) { Notify (S12, Arg1) }
            If (And (Arg0, 0x00080000)) { Notify (S13, Arg1) }
            If (And (Arg0, 0x00100000)) { Notify (S14, Arg1) }
            If (And (Arg0, 0x00200000)) { Notify (S15, Arg1) }
            If (And (Arg0, 0x00400000)) { Notify (S16, Arg1) }
            If (And (Arg0, 0x00800000)) { Notify (S17, Arg1) }
            If (And (Arg0, 0x01000000)) { Notify (S18, Arg1) }
            If (And (Arg0, 0x02000000)) { Notify (S19, Arg1) }
            If (And (Arg0, 0x04000000)) { Notify (S1A, Arg1) }
            If (And (Arg0, 0x08000000)) { Notify (S1B, Arg1) }
            If (And (Arg0, 0x10000000)) { Notify (S1C, Arg1) }
            If (And (Arg0, 0x20000000)) { Notify (S1D, Arg1) }
            If (And (Arg0, 0x40000000)) { Notify (S1E, Arg1) }
            If (And (Arg0, 0x80000000)) { Notify (S1F, Arg1) }
        }
        Method (PCNT)
        {
            DVNT (PUP (0), 1)
            DVNT (PDN (0), 3)
        }
    }
    External (\_SB.PCI0.S02.PCNT, MethodObj)
    External (\_SB.PCI0.S03.PCNT, MethodObj)
    External (\_SB.PCI0.S04.PCNT, MethodObj)
    External (\_SB.PCI0.S05.PCNT, MethodObj)
    External (\_SB.PCI0.S06.PCNT, MethodObj)
    External (\_SB.PCI0.S07.PCNT, MethodObj)
    External (\_SB.PCI0.S08.PCNT, MethodObj)
    External (\_SB.PCI0.S09.PCNT, MethodObj)
    External (\_SB.PCI0.S0A.PCNT, MethodObj)
    External (\_SB.PCI0.S0B.PCNT, MethodObj)
    External (\_SB.PCI0.S0C.PCNT, MethodObj)
    External (\_SB.PCI0.S0D.PCNT, MethodObj)
    External (\_SB.PCI0.S0E.PCNT, MethodObj)
    External (\_SB.PCI0.S0F.PCNT, MethodObj)
    External (\_SB.PCI0.S10.PCNT, MethodObj)
    External (\_SB.PCI0.S11.PCNT, MethodObj)
    External (\_SB.PCI0.S12.PCNT, MethodObj)
    External (\_SB.PCI0.S13.PCNT, MethodObj)
    External (\_SB.PCI0.S14.PCNT, MethodObj)
    External (\_SB.PCI0.S15.PCNT, MethodObj)
    External (\_SB.PCI0.S16.PCNT, MethodObj)
    External (\_SB.PCI0.S17.PCNT, MethodObj)
    External (\_SB.PCI0.S18.PCNT, MethodObj)
    External (\_SB.PCI0.S19.PCNT, MethodObj)
    External (\_SB.PCI0.S1A.PCNT, MethodObj)
    External (\_SB.PCI0.S1B.PCNT, MethodObj)
    External (\_SB.PCI0.S1C.PCNT, MethodObj)
    External (\_SB.PCI0.S1D.PCNT, MethodObj)
    External (\_SB.PCI0.S1E.PCNT, MethodObj)
    External (\_SB.PCI0.S1F.PCNT, MethodObj)
    Scope (\_GPE)
    {
        Method (_E01)
        {
            \_SB.PCI0.PCNT ()
            If (CondRefOf (\_SB.PCI0.S02.PCNT)) { \_SB.PCI0.S02.PCNT () }
            If (CondRefOf (\_SB.PCI0.S03.PCNT)) { \_SB.PCI0.S03.PCNT () }
            If (CondRefOf (\_SB.PCI0.S04.PCNT)) { \_SB.PCI0.S04.PCNT () }
            If (CondRefOf (\_SB.PCI0.S05.PCNT)) { \_SB.PCI0.S05.PCNT () }
            If (CondRefOf (\_SB.PCI0.S06.PCNT)) { \_SB.PCI0.S06.PCNT () }
            If (CondRefOf (\_SB.PCI0.S07.PCNT)) { \_SB.PCI0.S07.PCNT () }
            If (CondRefOf (\_SB.PCI0.S08.PCNT)) { \_SB.PCI0.S08.PCNT () }
            If (CondRefOf (\_SB.PCI0.S09.PCNT)) { \_SB.PCI0.S09.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0A.PCNT)) { \_SB.PCI0.S0A.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0B.PCNT)) { \_SB.PCI0.S0B.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0C.PCNT)) { \_SB.PCI0.S0C.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0D.PCNT)) { \_SB.PCI0.S0D.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0E.PCNT)) { \_SB.PCI0.S0E.PCNT () }
            If (CondRefOf (\_SB.PCI0.S0F.PCNT)) { \_SB.PCI0.S0F.PCNT () }
            If (CondRefOf (\_SB.PCI0.S10.PCNT)) { \_SB.PCI0.S10.PCNT () }
            If (CondRefOf (\_SB.PCI0.S11.PCNT)) { \_SB.PCI0.S11.PCNT () }
            If (CondRefOf (\_SB.PCI0.S12.PCNT)) { \_SB.PCI0.S12.PCNT () }
            If (CondRefOf (\_SB.PCI0.S13.PCNT)) { \_SB.PCI0.S13.PCNT () }
            If (CondRefOf (\_SB.PCI0.S14.PCNT)) { \_SB.PCI0.S14.PCNT () }
            If (CondRefOf (\_SB.PCI0.S15.PCNT)) { \_SB.PCI0.S15.PCNT () }
            If (CondRefOf (\_SB.PCI0.S16.PCNT)) { \_SB.PCI0.S16.PCNT () }
            If (CondRefOf (\_SB.PCI0.S17.PCNT)) { \_SB.PCI0.S17.PCNT () }
            If (CondRefOf (\_SB.PCI0.S18.PCNT)) { \_SB.PCI0.S18.PCNT () }
            If (CondRefOf (\_SB.PCI0.S19.PCNT)) { \_SB.PCI0.S19.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1A.PCNT)) { \_SB.PCI0.S1A.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1B.PCNT)) { \_SB.PCI0.S1B.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1C.PCNT)) { \_SB.PCI0.S1C.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1D.PCNT)) { \_SB.PCI0.S1D.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1E.PCNT)) { \_SB.PCI0.S1E.PCNT () }
            If (CondRefOf (\_SB.PCI0.S1F.PCNT)) { \_SB.PCI0.S1F.PCNT () }
        }
    }
}
