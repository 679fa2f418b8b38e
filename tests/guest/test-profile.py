#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-profile: what a guest executes, sampled from outside, as stacks that flame graph tools read."""
import os
import platform
import re
import subprocess
import sys
import tempfile

from console import BINARY, TOP, Console, guest_files
from linux import with_programs
from small import Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import Skip, run  # noqa: E402

BOOT_SECONDS = 300
ESCAPE = "\x01"
guests = Guests()


def folded(path):
    """{stack: count}; each line is well formed, no stack comes twice."""
    with open(path, encoding="utf-8") as file:
        lines = [re.fullmatch(r"([^ \n]+(?:;[^ ;\n]+)+) (\d+)\n", line) for line in file]
    assert lines and all(lines), "a line is not FRAME;FRAME COUNT"
    stacks = {m[1]: int(m[2]) for m in lines}
    assert len(stacks) == len(lines), "a stack comes twice"
    return stacks


def share(stacks, which):
    total = sum(stacks.values())
    part = sum(count for stack, count in stacks.items() if which(stack))
    print("# %d of %d samples" % (part, total))
    return total, part / total


def hot_loop_gets_its_share(accel):
    if why := lacking():
        raise Skip(why)
    guests.image("hot")
    elf = os.path.join(guests.folder.name, "hot.elf")
    names = subprocess.run(["nm", elf], stdout=subprocess.PIPE, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        out, symbols = os.path.join(folder, "out"), os.path.join(folder, "System.map")
        with open(symbols, "w", encoding="ascii") as file:
            file.write(names)
        guests.text("hot", "-accel", accel, "-profile", "%s,map=%s" % (out, symbols), seconds=120)
        stacks = folded(out)
    # Firmware is executed, too: what lies under kmain() is the guest's.
    mine = {stack: count for stack, count in stacks.items() if ";kmain" in stack}
    total, hot = share(mine, lambda stack: stack.endswith(";kmain;in_turn;hot_loop"))
    assert total > 100 and hot >= 0.9, sorted(mine.items(), key=lambda item: -item[1])[:10]
    assert share(stacks, lambda stack: stack in mine)[1] > 0.5, stacks


def a_hot_loop_gets_its_share():
    hot_loop_gets_its_share("tcg" if platform.machine() == "x86_64" else "interp")


def so_it_does_on_the_interpreter():
    hot_loop_gets_its_share("interp")


def so_it_does_under_kvm():
    try:
        with open("/dev/kvm", "r+b", buffering=0):
            pass
    except OSError as error:
        raise Skip("/dev/kvm: %s" % error.strerror) from None
    hot_loop_gets_its_share("kvm")


def kernel_and_programs_are_named():
    """The kernel's own table is found in the guest's memory (with KASLR), a program of the guest by its file."""
    kernel, initrd = guest_files()
    with tempfile.TemporaryDirectory() as folder:
        program, out, mine = (os.path.join(folder, name) for name in ("hotloop", "out", "initrd"))
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hotloop.c")
        subprocess.run(["gcc", "-O0", "-o", program, source], check=True)
        with_programs(initrd, mine, program)
        console = Console([BINARY, "-accel", "tcg", "-m", "512", "-smp", "2", "-nographic", "-kernel", kernel,
                           "-initrd", mine, "-append", "console=ttyS0", "-profile", "%s,elf=%s" % (out, program)])
        try:
            console.expect("Backplane guest is up", BOOT_SECONDS)
            console.expect("# ", 30)
            console.type("/usr/bin/hotloop 8\n")
            console.expect("it has worked", 120)
            console.expect("# ", 30)
            console.type("dd if=/dev/urandom of=/dev/null bs=65536 count=1000\n")
            console.expect("records out", 120)
            console.type(ESCAPE + "x")
            assert console.wait(60) == 0
        finally:
            console.close()
        stacks = folded(out)
    program = {stack: count for stack, count in stacks.items() if ";main;" in stack and stack.startswith("user;")}
    total, hot = share(program, lambda stack: stack.endswith(";main;working;spinning"))
    assert total > 100 and hot >= 0.9, sorted(program.items(), key=lambda item: -item[1])[:10]
    inside = {stack: count for stack, count in stacks.items() if stack.startswith("kernel;")}
    total, named = share(inside, lambda stack: not re.search(r";\[0x[0-9a-f]+\]$", stack))
    assert total > 100 and named > 0.5, sorted(inside.items(), key=lambda item: -item[1])[:20]
    assert share(inside, lambda stack: "chacha" in stack)[1] > 0.05, sorted(inside.items(), key=lambda item: -item[1])


def what_cannot_be_is_told():
    with tempfile.TemporaryDirectory() as folder:
        text, out = os.path.join(folder, "text"), os.path.join(folder, "out")
        with open(text, "w", encoding="ascii") as file:
            file.write("no map\n")
        for argument, words in (
                (os.path.join(folder, "none", "out"), "cannot write"), (out + ",rate=0", "rate"),
                (out + ",map=" + text, "System.map"), (out + ",map=" + text + "x", "cannot open map"),
                (out + ",elf=" + text, "no ELF file"), (out + ",elf=" + folder + "/x", "cannot open ELF")):
            said = subprocess.run([BINARY, "-display", "none", "-nodefaults", "-profile", argument], text=True,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
            assert said.returncode == 1 and words in said.stderr, (argument, said.stderr)
        said = subprocess.run([BINARY, "-machine", "none", "-display", "none", "-profile", out], text=True,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        assert said.returncode == 1 and "no x86 processor" in said.stderr, said.stderr


try:
    run([a_hot_loop_gets_its_share, so_it_does_on_the_interpreter, so_it_does_under_kvm, kernel_and_programs_are_named,
         what_cannot_be_is_told])
finally:
    guests.close()
