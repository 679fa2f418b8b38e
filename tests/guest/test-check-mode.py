#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-accel tcg,check=on: Debian's kernel starts its second processor while each block also runs on the interpreter; with
BACKPLANE_LONG=1 (the nightly test) it comes to its first program."""
import os
import platform
import re

from console import BINARY, Console, Tap, guest_files

LONG = os.environ.get("BACKPLANE_LONG") == "1"
ESCAPE = "\x01"


def counts_of(console):
    """Of each processor: blocks that were equal, equal but for undefined flags, explained by what others wrote; and
    instructions and blocks that were not compared."""
    console.type(ESCAPE + "c")
    console.expect("(qemu) ", 60)
    console.type("info jit\n")
    seen = "".join(console.expect("strings in pieces", 60) for _ in range(2))
    counts = [[int(n) for n in m] for m in re.findall(
        r"checked blocks +(\d+) equal, (\d+) but for undefined flags, (\d+) with", seen)]
    apart = [[int(n) for n in m] for m in re.findall(r"not compared +(\d+) instr[^,]*, (\d+) blocks", seen)]
    console.type("info status\n")
    console.expect("VM status: running", 60)
    console.type(ESCAPE + "c")
    print("# %s, not compared %s" % (counts, apart))
    assert "differ" not in console.log, console.log[-2000:]
    assert len(counts) == 2, counts
    equal = sum(c[0] for c in counts)
    # What others wrote explains few differences, and nearly everything is compared.
    assert equal > 5_000_000 and sum(c[2] for c in counts) * 1000 < equal, counts
    assert sum(sum(a) for a in apart) * 20 < equal, apart
    return counts


class Guest:
    def __init__(self):
        kernel, initrd = guest_files()
        # Its clock is read without leaving the translation.
        self.console = Console([BINARY, "-accel", "tcg,check=on", "-cpu", "max,+invtsc", "-smp", "2", "-m", "256",
                                "-nographic", "-kernel", kernel, "-initrd", initrd, "-append",
                                "console=ttyS0 nokaslr"])

    def every_block_is_compared(self):
        self.console.expect("Freeing SMP alternatives memory", 600)
        counts_of(self.console)

    def second_processor_is_compared(self):
        self.console.expect("Total of 2 processors activated", 600)
        counts = counts_of(self.console)
        assert all(c[0] > 1000 for c in counts), counts

    def first_program_is_compared(self):
        self.console.expect("Backplane guest is up", 2000)
        counts = counts_of(self.console)
        assert sum(c[0] for c in counts) > 100_000_000, counts


tap = Tap()
if platform.machine() == "x86_64":
    guest = Guest()
    try:
        tap.case("every_block_of_a_boot_is_compared", guest.every_block_is_compared)
        tap.case("blocks_of_the_second_processor_are_compared", guest.second_processor_is_compared)
        if LONG:
            tap.case("every_block_to_the_first_program_is_compared", guest.first_program_is_compared)
    finally:
        guest.console.close()
else:
    tap.skip("every_block_of_a_boot_is_compared", "the translator needs an x86-64 host")
tap.done()
