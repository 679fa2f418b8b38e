#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time from exec to the shell of the guest that `./dev boot` starts.

usage: boot.py BUILD-ROOT GUEST-FOLDER [ROUNDS] [EMULATOR-ARGUMENTS...]
"""
import os
import select
import statistics
import subprocess
import sys
import time

LIMIT = 300  # seconds


def one_boot(program, guest, extra):
    begin = time.perf_counter()
    process = subprocess.Popen(
        [program, "-m", "512", "-nographic", "-kernel", os.path.join(guest, "vmlinuz"),
         "-initrd", os.path.join(guest, "initrd.gz"), "-append", "console=ttyS0", *extra],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    seen = b""
    try:
        while b"Backplane guest is up" not in seen:
            left = begin + LIMIT - time.perf_counter()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                sys.exit("no shell within %d s; the last output:\n%s" % (
                    LIMIT, seen[-2000:].decode(errors="replace")))
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                sys.exit("the emulator ended; its output:\n" + seen[-2000:].decode(errors="replace"))
            seen += piece
        return time.perf_counter() - begin
    finally:
        process.kill()
        process.communicate()


def main():
    build, guest = sys.argv[1:3]
    extra = sys.argv[3:]
    rounds = int(extra.pop(0)) if extra and extra[0].isdigit() else 1
    program = os.path.join(build, "backplane-system-x86_64")
    times = [one_boot(program, guest, extra) for _ in range(rounds)]
    print("exec to shell: median %.2f s of %d (%s)" % (
        statistics.median(times), rounds, ", ".join("%.2f" % t for t in times)))


main()
