#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How fast guest code runs: the work of cpu-guest.c on the host itself, under an accelerator of ours and
under Debian's QEMU, turn by turn in one run, with the kernel of `./dev boot`; and a boot to power-off.

usage: cpu.py BUILD-ROOT GUEST-FOLDER [--rounds N] [--rows NAME,...] [--accel NAME] [--alone]
--alone: without the peer
"""
import argparse
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpu-guest.c")
LIMIT = 600  # seconds for all rows
PEER = "qemu-system-x86_64"


def record(name, mode, data=b"", device=(0, 0)):
    """A file of a cpio archive in the format that Linux unpacks ("newc")."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def archive(program):
    with open(program, "rb") as file:
        init = file.read()
    return (record("dev", 0o040755) + record("dev/console", 0o020600, device=(5, 1)) +
            record("init", 0o100755, init) + record("TRAILER!!!", 0))


def parse(text):
    rows = {name: (float(seconds), check)
            for name, seconds, check in re.findall(r"row (\S+) ([0-9.]+) ([0-9a-f]+)", text)}
    if "rows end" not in text:
        sys.exit("it did not come to its end; the last output:\n" + text[-3000:])
    return rows


def on_host(program, rows):
    return parse(subprocess.run([program] + [rows] * bool(rows), stdout=subprocess.PIPE, text=True,
                                timeout=LIMIT, check=True).stdout)


def in_guest(command, folder, guest, rows):
    line = "console=ttyS0 quiet panic=-1 mitigations=off" + (" -- " + rows if rows else "")
    begin = time.perf_counter()
    done = subprocess.run(
        command + ["-cpu", "max", "-m", "512", "-display", "none", "-serial", "stdio", "-no-reboot",
                   "-kernel", os.path.join(guest, "vmlinuz"),
                   "-initrd", os.path.join(folder, "rows.cpio"), "-append", line],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
    seconds = time.perf_counter() - begin
    rows = parse(done.stdout.decode(errors="replace"))
    # Start to power-off, without the rows.
    rows["boot"] = (seconds - sum(row[0] for row in rows.values()), "")
    return rows


def medians(runs):
    return {name: statistics.median(run[name][0] for run in runs) for name in runs[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("guest")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", default="")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    ours = [os.path.join(options.build, "backplane-system-x86_64"), "-accel", options.accel]
    if os.environ.get("BENCH_MODULES"):
        ours[1:1] = ["-module-dir", os.environ["BENCH_MODULES"]]
    who = {"native": None, "ours": ours}
    if not options.alone and shutil.which(PEER):
        who["peer"] = [PEER, "-accel", "tcg"]
    runs = {name: [] for name in who}
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as folder:
        program = os.path.join(folder, "rows")
        subprocess.run(["gcc", "-O2", "-static", "-o", program, SOURCE, "-lm"], check=True)
        with open(os.path.join(folder, "rows.cpio"), "wb") as file:
            file.write(archive(program))
        for _ in range(options.rounds):
            for name, command in who.items():
                runs[name].append(in_guest(command, folder, options.guest, options.rows) if command
                                  else on_host(program, options.rows))
    report(runs)


def report(runs):
    times = {name: medians(of) for name, of in runs.items()}
    ratios = []
    print("| work | native | Backplane | x native | QEMU | QEMU / Backplane |")
    print("|---|---|---|---|---|---|")
    for row, ours in times["ours"].items():
        native, peer = times["native"].get(row), times.get("peer", {}).get(row)
        checks = {run[row][1] for of in runs.values() for run in of if row in run}
        if len(checks) > 1:
            sys.exit("%s: not the same result everywhere: %s" % (row, checks))
        if peer and row != "boot":
            ratios.append(peer / ours)
        print("| %s | %s | %.3f | %s | %s | %s |" % (
            row, "%.3f" % native if native else "", ours, "%.1f" % (ours / native) if native else "",
            "%.3f" % peer if peer else "", "%.1fx" % (peer / ours) if peer else ""))
    if ratios:
        print("\ngeometric mean of the %d ratios without the boot: %.2f" % (
            len(ratios), math.exp(sum(map(math.log, ratios)) / len(ratios))))


main()
