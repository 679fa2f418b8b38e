#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel brings up 288 processors, those beyond 254 as x2APICs behind an IOMMU that remaps interrupts. All of them
translate its code, each for itself, which takes minutes."""
import os
import re
import sys

from console import BINARY, TOP, Console, guest_files

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import run  # noqa: E402

COUNT = 288
SECONDS = 3000
# So that no processor measures what it knows already: how fast it is, and that its time stamp counter goes with the others'.
KNOWN = "lpj=4000000 tsc=reliable"


def linux_brings_all_of_them_up():
    kernel, initrd = guest_files()
    console = Console([BINARY, "-M", "q35", "-smp", str(COUNT), "-m", "1G", "-display", "none", "-nodefaults", "-serial",
                       "stdio", "-device", "intel-iommu,intremap=on,eim=on", "-kernel", kernel, "-initrd", initrd, "-append",
                       "console=ttyS0 " + KNOWN])
    try:
        console.expect("processors activated", SECONDS)
        text = console.log
        with open(f"/proc/{console.process.pid}/status", encoding="ascii") as f:
            resident = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        print(f"# {resident} KiB of memory", flush=True)
    finally:
        console.close()
    assert f"Allowing {COUNT} CPUs, 0 hotplug CPUs" in text and f"Total of {COUNT} processors" in text, text[-2000:]
    assert "x2apic: enabled by BIOS" in text and "Enabled IRQ remapping in x2apic mode" in text, text
    assert not re.search(r"x2apic entry ignored|CPU\d+: failed to|not responding", text), text
    assert resident < 3 << 20, resident


run([linux_brings_all_of_them_up])
