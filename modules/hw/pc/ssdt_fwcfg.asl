/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware configuration device (selector, data and DMA ports). */
DefinitionBlock ("ssdt_fwcfg.aml", "SSDT", 2, "BKPLNE", "BKPLFWCF", 1)
{
    External (\_SB.PCI0, DeviceObj)
    Scope (\_SB.PCI0)
    {
        Device (FWCF)
        {
            Name (_HID, "QEMU0002")
            Name (_STA, 0x0B)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0510, 0x0510, 1, 0x0C) })
        }
    }
}
