#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Board isapc: a PC without PCI. Its parts are where they always were, firmware runs in the copy of itself that stands in
memory, Debian's kernel starts by firmware and finds no PCI."""
import os
import sys

from console import BINARY, TOP, Console, guest_files
from firmware import Firmware

sys.path[:0] = [os.path.join(TOP, "tests", folder) for folder in ("qtest", "house")]
from qmp import fails  # noqa: E402
from qtest import QTest, Tap  # noqa: E402


def parts_are_there_and_pci_is_not(q):
    q.outl(0xCF8, 0x80000000)
    assert q.inl(0xCFC) == 0xFFFFFFFF
    assert q.inb(0x64) != 0xFF and q.inb(0x1F7) != 0xFF and q.inb(0x3F4) != 0xFF
    q.outb(0x70, 0x0D)
    assert q.inb(0x71) == 0x80
    q.writel(0xD0000, 0x12345678)  # memory all the way
    q.writel(0xF0000, 0x87654321)
    assert q.readl(0xD0000) == 0x12345678 and q.readl(0xF0000) == 0x87654321
    bios = q.read(0xFFFF0, 16)
    assert bios == q.read(0xFFFFFFF0, 16) and bios[0] == 0xEA, bios
    q.writel(0xFFFF0, 0)
    q.qmp("system_reset")
    q.qmp("query-status")
    assert q.read(0xFFFF0, 16) == bios
    assert q.readl(0xD0000) == 0x12345678


def mistakes_are_named():
    for args, words in ((("-smp", "2"), "at most 1"), (("-m", "4G"), "3584 MiB"),
                        (("-device", "VGA"), "bus"), (("-machine", "smm=on"), "smm=off"),
                        (("-machine", "smm=perhaps"), "on, off and auto")):
        said = fails(BINARY, "-M", "isapc", *args)
        assert words in said, said


def firmware_looks_for_disks():
    with Firmware("-M", "isapc") as f:
        f.expect("debug", "No bootable device", 200)
        text = f.text("debug")
        assert "Found 1 cpu(s)" in text, text


def kernel_starts():
    kernel, initrd = guest_files()
    console = Console([BINARY, "-M", "isapc", "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio",
                       "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0"])
    try:
        console.expect("Backplane guest is up", 300)
        console.expect("# ", 30)
        console.type("ls /sys/bus/pci/devices | wc -l; grep -c 'XT-PIC.*timer' /proc/interrupts; echo $((6 * 7))\n")
        text = console.expect("42", 60)
        assert text.split("\n")[-3].strip() == "0", text
    finally:
        console.close()


tap = Tap()
tap.machine_case("parts_are_there_and_pci_is_not", ["-M", "isapc"], parts_are_there_and_pci_is_not)
tap.case("mistakes_are_named", mistakes_are_named)
tap.case("firmware_looks_for_disks", firmware_looks_for_disks)
tap.case("kernel_starts", kernel_starts)
tap.done()
