/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generation counter; the board puts the address of its page into VGIA. A change is event 5. */
DefinitionBlock ("ssdt_vmgenid.aml", "SSDT", 2, "BKPLNE", "BKPLVGEN", 1)
{
    Name (\VGIA, 0xFEEDF00D)
    Scope (\_SB)
    {
        Device (VGEN)
        {
            Method (_HID, 0, NotSerialized)
            {
                Return ("QEMUVGID")
            }
            Name (_CID, "VM_Gen_Counter")
            Name (_DDN, "VM_Gen_Counter")
            Method (_STA, 0, NotSerialized)
            {
                If (LEqual (\VGIA, Zero))
                {
                    Return (Zero)
                }
                Return (0x0F)
            }
            Method (ADDR, 0, Serialized)
            {
                Name (PKG, Package (2) { 0, 0 })
                Store (Add (\VGIA, 0x28), Index (PKG, 0))
                Return (PKG)
            }
        }
    }
    Scope (\_GPE)
    {
        Method (_E05, 0, NotSerialized)
        {
            Notify (\_SB.VGEN, 0x80)
        }
    }
}
