/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of PCI cards behind a bridge on the root bus: the board writes the bridge's slot into the name
 * SFF_, and the number that the registers know the bus by into BSEL.
 */
DefinitionBlock ("ssdt_pcihp_bus.aml", "SSDT", 2, "BKPLNE", "BKPLHPB", 1)
{
    External (\_SB.PCI0.PEJ, MethodObj)
    External (\_SB.PCI0.PRM, MethodObj)
    External (\_SB.PCI0.PUP, MethodObj)
    External (\_SB.PCI0.PDN, MethodObj)
    External (\_SB.PCI0.SFF, DeviceObj)
    Scope (\_SB.PCI0.SFF)
    {
        Name (BSEL, 0xEE)
        Device (S00) { Name (_ADR, 0x00000000) Name (_SUN, 0) Method (_RMV) { Return (PRM (BSEL, 0)) } Method (_EJ0, 1) { PEJ (BSEL, 0) } }
        Device (S01) { Name (_ADR, 0x00010000) Name (_SUN, 1) Method (_RMV) { Return (PRM (BSEL, 1)) } Method (_EJ0, 1) { PEJ (BSEL, 1) } }
        Device (S02) { Name (_ADR, 0x00020000) Name (_SUN, 2) Method (_RMV) { Return (PRM (BSEL, 2)) } Method (_EJ0, 1) { PEJ (BSEL, 2) } }
        Device (S03) { Name (_ADR, 0x00030000) Name (_SUN, 3) Method (_RMV) { Return (PRM (BSEL, 3)) } Method (_EJ0, 1) { PEJ (BSEL, 3) } }
        Device (S04) { Name (_ADR, 0x00040000) Name (_SUN, 4) Method (_RMV) { Return (PRM (BSEL, 4)) } Method (_EJ0, 1) { PEJ (BSEL, 4) } }
        Device (S05) { Name (_ADR, 0x00050000) Name (_SUN, 5) Method (_RMV) { Return (PRM (BSEL, 5)) } Method (_EJ0, 1) { PEJ (BSEL, 5) } }
        Device (S06) { Name (_ADR, 0x00060000) Name (_SUN, 6) Method (_RMV) { Return (PRM (BSEL, 6)) } Method (_EJ0, 1) { PEJ (BSEL, 6) } }
        Device (S07) { Name (_ADR, 0x00070000) Name (_SUN, 7) Method (_RMV) { Return (PRM (BSEL, 7)) } Method (_EJ0, 1) { PEJ (BSEL, 7) } }
        Device (S08) { Name (_ADR, 0x00080000) Name (_SUN, 8) Method (_RMV) { Return (PRM (BSEL, 8)) } Method (_EJ0, 1) { PEJ (BSEL, 8) } }
        Device (S09) { Name (_ADR, 0x00090000) Name (_SUN, 9) Method (_RMV) { Return (PRM (BSEL, 9)) } Method (_EJ0, 1) { PEJ (BSEL, 9) } }
        Device (S0A) { Name (_ADR, 0x000A0000) Name (_SUN, 10) Method (_RMV) { Return (PRM (BSEL, 10)) } Method (_EJ0, 1) { PEJ (BSEL, 10) } }
        Device (S0B) { Name (_ADR, 0x000B0000) Name (_SUN, 11) Method (_RMV) { Return (PRM (BSEL, 11)) } Method (_EJ0, 1) { PEJ (BSEL, 11) } }
        Device (S0C) { Name (_ADR, 0x000C0000) Name (_SUN, 12) Method (_RMV) { Return (PRM (BSEL, 12)) } Method (_EJ0, 1) { PEJ (BSEL, 12) } }
        Device (S0D) { Name (_ADR, 0x000D0000) Name (_SUN, 13) Method (_RMV) { Return (PRM (BSEL, 13)) } Method (_EJ0, 1) { PEJ (BSEL, 13) } }
        Device (S0E) { Name (_ADR, 0x000E0000) Name (_SUN, 14) Method (_RMV) { Return (PRM (BSEL, 14)) } Method (_EJ0, 1) { PEJ (BSEL, 14) } }
        Device (S0F) { Name (_ADR, 0x000F0000) Name (_SUN, 15) Method (_RMV) { Return (PRM (BSEL, 15)) } Method (_EJ0, 1) { PEJ (BSEL, 15) } }
        Device (S10) { Name (_ADR, 0x00100000) Name (_SUN, 16) Method (_RMV) { Return (PRM (BSEL, 16)) } Method (_EJ0, 1) { PEJ (BSEL, 16) } }
        Device (S11) { Name (_ADR, 0x00110000) Name (_SUN, 17) Method (_RMV) { Return (PRM (BSEL, 17)) } Method (_EJ0, 1) { PEJ (BSEL, 17) } }
        Device (S12) { Name (_ADR, 0x00120000) Name (_SUN, 18) Method (_RMV) { Return (PRM (BSEL, 18)) } Method (_EJ0, 1) { PEJ (BSEL, 18) } }
        Device (S13) { Name (_ADR, 0x00130000) Name (_SUN, 19) Method (_RMV) { Return (PRM (BSEL, 19)) } Method (_EJ0, 1) { PEJ (BSEL, 19) } }
        Device (S14) { Name (_ADR, 0x00140000) Name (_SUN, 20) Method (_RMV) { Return (PRM (BSEL, 20)) } Method (_EJ0, 1) { PEJ (BSEL, 20) } }
        Device (S15) { Name (_ADR, 0x00150000) Name (_SUN, 21) Method (_RMV) { Return (PRM (BSEL, 21)) } Method (_EJ0, 1) { PEJ (BSEL, 21) } }
        Device (S16) { Name (_ADR, 0x00160000) Name (_SUN, 22) Method (_RMV) { Return (PRM (BSEL, 22)) } Method (_EJ0, 1) { PEJ (BSEL, 22) } }
        Device (S17) { Name (_ADR, 0x00170000) Name (_SUN, 23) Method (_RMV) { Return (PRM (BSEL, 23)) } Method (_EJ0, 1) { PEJ (BSEL, 23) } }
        Device (S18) { Name (_ADR, 0x00180000) Name (_SUN, 24) Method (_RMV) { Return (PRM (BSEL, 24)) } Method (_EJ0, 1) { PEJ (BSEL, 24) } }
        Device (S19) { Name (_ADR, 0x00190000) Name (_SUN, 25) Method (_RMV) { Return (PRM (BSEL, 25)) } Method (_EJ0, 1) { PEJ (BSEL, 25) } }
        Device (S1A) { Name (_ADR, 0x001A0000) Name (_SUN, 26) Method (_RMV) { Return (PRM (BSEL, 26)) } Method (_EJ0, 1) { PEJ (BSEL, 26) } }
        Device (S1B) { Name (_ADR, 0x001B0000) Name (_SUN, 27) Method (_RMV) { Return (PRM (BSEL, 27)) } Method (_EJ0, 1) { PEJ (BSEL, 27) } }
        Device (S1C) { Name (_ADR, 0x001C0000) Name (_SUN, 28) Method (_RMV) { Return (PRM (BSEL, 28)) } Method (_EJ0, 1) { PEJ (BSEL, 28) } }
        Device (S1D) { Name (_ADR, 0x001D0000) Name (_SUN, 29) Method (_RMV) { Return (PRM (BSEL, 29)) } Method (_EJ0, 1) { PEJ (BSEL, 29) } }
        Device (S1E) { Name (_ADR, 0x001E0000) Name (_SUN, 30) Method (_RMV) { Return (PRM (BSEL, 30)) } Method (_EJ0, 1) { PEJ (BSEL, 30) } }
        Device (S1F) { Name (_ADR, 0x001F0000) Name (_SUN, 31) Method (_RMV) { Return (PRM (BSEL, 31)) } Method (_EJ0, 1) { PEJ (BSEL, 31) } }
        Method (DVNT, 2)
        {
            If (And (Arg0, 0x00000001)) { Notify (S00, Arg1) }
            If (And (Arg0, 0x00000002)) { Notify (S01, Arg1) }
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
            DVNT (PUP (BSEL), 1)
            DVNT (PDN (BSEL), 3)
        }
    }
}
