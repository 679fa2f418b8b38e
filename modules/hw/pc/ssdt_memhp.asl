/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that comes and goes while the machine runs (acpi-memhp.c has the registers). The devices MP00, MP01, ...,
 * their number MDNR, and the method MTFY that notifies the one of a slot stand in a table that the board builds.
 * Event 3.
 */
DefinitionBlock ("ssdt_memhp.aml", "SSDT", 2, "BKPLNE", "BKPLMEM", 1)
{
    External (\_SB.MTFY, MethodObj)
    External (\_SB.MDNR, IntObj)
    Scope (\_SB)
    {
        Device (MHPC)
        {
            Name (_HID, EisaId ("PNP0A06"))
            Name (_UID, "Memory hot-plug")
            Name (_STA, 0x0B)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0A00, 0x0A00, 1, 0x18) })
        }
        OperationRegion (MHPR, SystemIO, 0x0A00, 0x18)
        Field (MHPR, DWordAcc, NoLock, Preserve)
        {
            MBAL, 32, // of the slot that is selected: address,
            MBAH, 32,
            MLEL, 32, // length,
            MLEH, 32,
            MPXN, 32  // and NUMA node
        }
        Field (MHPR, ByteAcc, NoLock, WriteAsZeros)
        {
            Offset (0x14),
            MENA, 1, // it is there
            MINS, 1, // it came; writing 1 forgets
            MRMV, 1, // it is asked to go; writing 1 forgets
            MEJT, 1  // writing 1: it goes
        }
        Field (MHPR, DWordAcc, NoLock, Preserve)
        {
            MSEL, 32, // written: the slot that the others are about
            MOEV, 32, // what the system says of an event,
            MOSC, 32  // and how it went
        }
        Mutex (MLCK, 0)
        Method (MSTA, 1, NotSerialized)
        {
            Acquire (MLCK, 0xFFFF)
            Store (Arg0, MSEL)
            Store (MENA, Local0)
            Release (MLCK)
            If (Local0) { Return (0x0F) }
            Return (Zero)
        }
        // In a descriptor of a QWord range the least address begins at byte 14, the length at 38.
        Method (MCRS, 1, Serialized)
        {
            Name (AREA, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0, 0xFFFFFFFFFFFFFFFE, 0, 0xFFFFFFFFFFFFFFFF,,, PLAC)
            })
            CreateDWordField (AREA, PLAC._MIN, MINL)
            CreateDWordField (AREA, 18, MINH)
            CreateQWordField (AREA, PLAC._MIN, MINQ)
            CreateQWordField (AREA, PLAC._MAX, MAXQ)
            CreateDWordField (AREA, PLAC._LEN, LENL)
            CreateDWordField (AREA, 42, LENH)
            CreateQWordField (AREA, PLAC._LEN, LENQ)
            Acquire (MLCK, 0xFFFF)
            Store (Arg0, MSEL)
            Store (MBAL, MINL)
            Store (MBAH, MINH)
            Store (MLEL, LENL)
            Store (MLEH, LENH)
            Release (MLCK)
            Subtract (Add (MINQ, LENQ), One, MAXQ)
            Return (AREA)
        }
        Method (MPXM, 1, NotSerialized)
        {
            Acquire (MLCK, 0xFFFF)
            Store (Arg0, MSEL)
            Store (MPXN, Local0)
            Release (MLCK)
            Return (Local0)
        }
        Method (MOST, 3, NotSerialized)
        {
            Acquire (MLCK, 0xFFFF)
            Store (Arg0, MSEL)
            Store (Arg1, MOEV)
            Store (Arg2, MOSC)
            Release (MLCK)
            Return (Zero)
        }
        Method (MEJ0, 1, NotSerialized)
        {
            Acquire (MLCK, 0xFFFF)
            Store (Arg0, MSEL)
            Store (One, MEJT)
            Release (MLCK)
            Return (Zero)
        }
        Method (MSCN, 0, Serialized)
        {
            Acquire (MLCK, 0xFFFF)
            Store (Zero, Local0)
            While (LLess (Local0, MDNR))
            {
                Store (Local0, MSEL)
                If (MINS)
                {
                    Store (One, MINS)
                    MTFY (Local0, One)
                }
                ElseIf (MRMV)
                {
                    Store (One, MRMV)
                    MTFY (Local0, 3)
                }
                Increment (Local0)
            }
            Release (MLCK)
        }
    }
    Scope (\_GPE)
    {
        Method (_E03) { \_SB.MSCN () }
    }
}
