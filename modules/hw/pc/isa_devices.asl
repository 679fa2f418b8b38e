// SPDX-License-Identifier: LGPL-2.1-or-later
// The ISA devices that every PC has; included below the bridge to their bus.
Device (PIC)
{
    Name (_HID, EisaId ("PNP0000"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x20, 0x20, 1, 2)
        IO (Decode16, 0xA0, 0xA0, 1, 2)
        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
        IRQNoFlags () { 2 }
    })
}
Device (DMAC)
{
    Name (_HID, EisaId ("PNP0200"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x00, 0x00, 1, 0x10)
        IO (Decode16, 0x80, 0x80, 1, 0x10)
        IO (Decode16, 0xC0, 0xC0, 1, 0x20)
        DMA (Compatibility, NotBusMaster, Transfer8_16) { 4 }
    })
}
Device (PIT)
{
    Name (_HID, EisaId ("PNP0100"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x40, 0x40, 1, 4)
        IRQNoFlags () { 0 }
    })
}
Device (RTC)
{
    Name (_HID, EisaId ("PNP0B00"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x70, 0x70, 1, 8)
        IRQNoFlags () { 8 }
    })
}
Device (KBD)
{
    Name (_HID, EisaId ("PNP0303"))
    Name (_CRS, ResourceTemplate ()
    {
        IO (Decode16, 0x60, 0x60, 1, 1)
        IO (Decode16, 0x64, 0x64, 1, 1)
        IRQNoFlags () { 1 }
    })
}
Device (MOU)
{
    Name (_HID, EisaId ("PNP0F13"))
    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
}
