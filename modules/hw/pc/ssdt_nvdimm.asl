/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NVDIMMs (ACPI 6.4, 9.20): the root, and what their _DSM do: a page of memory, whose address the board puts into
 * NVIA, takes handle, revision, function and argument; a write to port 0xa18 has it answered in place (acpi-nvdimm.c).
 * The devices NV00, NV01, ... stand in a table that the board builds.
 */
DefinitionBlock ("ssdt_nvdimm.aml", "SSDT", 2, "BKPLNE", "BKPLNVDM", 1)
{
    Name (\NVIA, 0xFEEDF00D)
    Scope (\_SB)
    {
        Device (NVDR)
        {
            Name (_HID, "ACPI0012")
            OperationRegion (NPIO, SystemIO, 0x0A18, 4)
            Field (NPIO, DWordAcc, NoLock, Preserve) { NTFI, 32 }
            Method (NCAL, 5, Serialized) // UUID, revision, function, arguments, handle
            {
                OperationRegion (NRAM, SystemMemory, \NVIA, 0x1000)
                Field (NRAM, DWordAcc, NoLock, Preserve) { HDLE, 32, REVS, 32, FUNC, 32, FARG, 32672 }
                Field (NRAM, DWordAcc, NoLock, Preserve) { RLEN, 32, ODAT, 32736 }
                If (Arg4) { Store (ToUUID ("4309AC30-0D11-11E4-9191-0800200C9A66"), Local0) }
                Else { Store (ToUUID ("2F10E7A4-9E91-11E4-89D3-123B93F75CBA"), Local0) }
                If (LNotEqual (Arg0, Local0)) { Return (Buffer (One) { 0 }) }
                Store (Arg4, HDLE)
                Store (Arg1, REVS)
                Store (Arg2, FUNC)
                If (LAnd (LEqual (ObjectType (Arg3), 4), LEqual (SizeOf (Arg3), One)))
                {
                    Store (Index (Arg3, Zero), Local2)
                    Store (DerefOf (Local2), Local3)
                    Store (Local3, FARG)
                }
                Store (\NVIA, NTFI)
                Store (RLEN, Local1)
                Store (ODAT, Local5)
                CreateField (Local5, Zero, ShiftLeft (Local1, 3), OBUF)
                Concatenate (Buffer (Zero) { }, OBUF, Local6)
                Return (Local6)
            }
            Method (_DSM, 4, NotSerialized) { Return (NCAL (Arg0, Arg1, Arg2, Arg3, Zero)) }
        }
    }
}
