#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The device of docs/module-author-guide.md in a real guest: Linux lists it, a write to its
doorbell from guest code makes it send an MSI-X message at once, and that reaches the processor (as an NMI,
which Linux reports without a driver).
"""
import os
import re
import subprocess
import sys

from console import BINARY, BUILD, TOP, Console, Tap, guest_files

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import work_folder  # noqa: E402

WORK = work_folder("backplane-guide-guest-")
BANNER = "Backplane guest is up"
BOOT_SECONDS = 150
LIST = "cd /sys/bus/pci/devices; for d in *; do echo $d `cat $d/class $d/vendor $d/device`; done"


def shell(console, command, seconds=60):
    """What a command prints in the guest."""
    console.type(command + "; echo en''d\n")
    return console.expect("\nend", seconds).split("\n", 1)[-1]


def boot():
    kernel, initrd = guest_files()
    subprocess.run([sys.executable, os.path.join(TOP, "tests/house/guide.py"), "--extract", TOP,
                    BUILD, WORK], check=True)
    console = Console([BINARY, "-m", "512", "-nographic", "-no-reboot", "-kernel", kernel,
                       "-initrd", initrd, "-append", "console=ttyS0", "-device",
                       os.path.join(WORK, "adder.so") + ",addr=5"])
    console.expect(BANNER, BOOT_SECONDS)
    console.expect("# ", 30)
    return console


def linux_lists_it(console):
    seen = shell(console, LIST)  # what lspci shows, in a guest without it
    assert "0000:00:05.0 0x120000 0x1234 0x0add" in seen, seen


def its_message_reaches_the_processor(console):
    device = "/sys/bus/pci/devices/0000:00:05.0"
    seen = shell(console, "head -n 2 %s/resource" % device)
    bars = re.findall(r"^0x([0-9a-f]+) ", seen, re.M)
    assert len(bars) == 2 and int(bars[0], 16) and int(bars[1], 16), seen
    registers, table = (int(b, 16) for b in bars)
    # Memory and bus master on; MSI-X on; vector 1 (error) is an NMI to processor 0, not masked.
    shell(console, r"printf '\006' | dd of=%s/config bs=1 seek=4 conv=notrunc" % device)
    shell(console, r"printf '\200' | dd of=%s/config bs=1 seek=67 conv=notrunc" % device)
    for address, value in ((table + 16, 0xfee00000), (table + 20, 0), (table + 24, 0x400),
                           (table + 28, 0)):
        shell(console, "devmem 0x%x 32 0x%x" % (address, value))
    assert "0x31444441" in shell(console, "devmem 0x%x 32" % registers)
    assert "NMI" not in shell(console, "dmesg | grep 'NMI received'").replace("'NMI received'", "")
    # A job that is too long fails inside of the write itself.
    shell(console, "devmem 0x%x 32 0xffffffff" % (registers + 8))
    shell(console, "devmem 0x%x 32 1" % (registers + 12))
    assert "0x00000004" in shell(console, "devmem 0x%x 32" % (registers + 4))
    seen = shell(console, "dmesg | tail -n 5")
    assert re.search(r"NMI received for unknown reason \w+ on CPU 0", seen), seen


def main():
    tap = Tap()
    console = None
    try:
        console = boot()
        tap.case("linux_lists_it", linux_lists_it, console)
        tap.case("its_message_reaches_the_processor", its_message_reaches_the_processor, console)
    finally:
        if console:
            console.close()
    tap.done()


main()
