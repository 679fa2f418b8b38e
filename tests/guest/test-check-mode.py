#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-accel tcg,check=on: Debian's kernel starts its second processor while each block also runs on the interpreter; with
BACKPLANE_LONG=1 (the nightly test) it comes to its first program."""
import os
import platform
import re

from console import BINARY, Console, Tap, guest_files

LONG = os.environ.get("BACKPLANE_LONG") == "1"
BOOT_SECONDS = 2000 if LONG else 280
ESCAPE = "\x01"


def every_block_is_compared():
    kernel, initrd = guest_files()
    console = Console([BINARY, "-accel", "tcg,check=on", "-smp", "2", "-m", "256", "-nographic", "-kernel", kernel,
                       "-initrd", initrd, "-append", "console=ttyS0 nokaslr"])
    try:
        console.expect("Backplane guest is up" if LONG else "Total of 2 processors activated", BOOT_SECONDS)
        console.type(ESCAPE + "c")
        console.expect("(qemu) ", 60)
        console.type("info jit\n")
        seen = "".join(console.expect("strings in pieces", 60) for _ in range(2))
        counts = [[int(n) for n in m] for m in re.findall(
            r"checked blocks +(\d+) equal, (\d+) but for undefined flags, (\d+) with", seen)]
        apart = [[int(n) for n in m] for m in re.findall(r"not compared +(\d+) instr[^,]*, (\d+) blocks", seen)]
        print("# %s, not compared %s" % (counts, apart))
        equal = sum(c[0] for c in counts)
        assert len(counts) == 2 and equal > (100_000_000 if LONG else 5_000_000), counts
        assert all(c[0] > 1000 for c in counts), counts
        # What others wrote explains few differences, and nearly everything is compared.
        assert sum(c[2] for c in counts) * 1000 < equal, counts
        assert sum(sum(a) for a in apart) * 20 < equal, apart
        console.type("info status\n")
        console.expect("VM status: running", 60)
        assert "differ" not in console.text, console.text[-2000:]
    finally:
        console.close()


tap = Tap()
if platform.machine() == "x86_64":
    tap.case("every_block_of_a_boot_is_compared", every_block_is_compared)
else:
    tap.skip("every_block_of_a_boot_is_compared", "the translator needs an x86-64 host")
tap.done()
