#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time from exec to the kernel's first line and to the shell of the guest that `./dev boot` starts: as it starts it, and
through firmware; beside Debian's emulator (translating, which always has its firmware), turn by turn.

usage: boot.py BUILD-ROOT GUEST-FOLDER [ROUNDS] [EMULATOR-ARGUMENTS...]
"""
import os
import select
import shutil
import statistics
import subprocess
import sys
import time

LIMIT = 300  # seconds
MARKS = (("kernel", b"Linux version"), ("shell", b"Backplane guest is up"))


def one_boot(program, guest, extra):
    begin = time.perf_counter()
    process = subprocess.Popen(
        [program, "-m", "512", "-nographic", "-kernel", os.path.join(guest, "vmlinuz"), "-initrd",
         os.path.join(guest, "initrd.gz"), "-append", "console=ttyS0 earlyprintk=serial", *extra],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    seen, times = b"", {}
    try:
        while len(times) < len(MARKS):
            left = begin + LIMIT - time.perf_counter()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                sys.exit("no shell within %d s; the last output:\n%s" % (
                    LIMIT, seen[-2000:].decode(errors="replace")))
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                sys.exit("the emulator ended; its output:\n" + seen[-2000:].decode(errors="replace"))
            seen += piece
            for name, mark in MARKS:
                if name not in times and mark in seen:
                    times[name] = time.perf_counter() - begin
        return times
    finally:
        process.kill()
        process.communicate()


def main():
    build, guest = sys.argv[1:3]
    extra = sys.argv[3:]
    rounds = int(extra.pop(0)) if extra and extra[0].isdigit() else 1
    program = os.path.join(build, "backplane-system-x86_64")
    ways = {"Backplane": (program, []), "Backplane, SeaBIOS": (program, ["-bios", "bios-256k.bin"])}
    peer = shutil.which("qemu-system-x86_64")
    ways["Backplane, microvm"] = (program, ["-M", "microvm"])
    if peer:
        ways["QEMU, SeaBIOS"] = (peer, ["-accel", "tcg"])
        # With its ACPI tables Debian's kernel finds no timer there, and stops.
        ways["QEMU, microvm"] = (peer, ["-M", "microvm,acpi=off", "-accel", "tcg"])
    samples = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (path, more) in ways.items():
            samples[name].append(one_boot(path, guest, [*more, *extra]))
    print("exec to ... (medians of %d)" % rounds)
    for name, found in samples.items():
        print("%-20s" % name + "".join("  %s %.2f s (%s)" % (
            mark, statistics.median(s[mark] for s in found), ", ".join("%.2f" % s[mark] for s in found))
            for mark, _ in MARKS))


main()
