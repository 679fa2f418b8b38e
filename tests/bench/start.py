#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Start-up, measured beside Debian's emulator in one run, turn by turn, so that both see the same
computer: time from exec to the QMP greeting and to the first reply, resident memory then, of an empty
machine and of a whole PC (stopped), and `-device help`; and what a thousand more modules in the path,
with an index, add to the greeting and to `-device help`. Medians of the rounds. Cold: the same greetings
after the kernel dropped its caches (as root), in a third of the rounds.

usage: start.py BUILD-ROOT [ROUNDS]
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "loader"))
import synthetic  # noqa: E402

ARGS = ["-nodefaults", "-display", "none", "-qmp", "stdio"]
DROP = "/proc/sys/vm/drop_caches"
TARGETS = {"greeting ms": 5, "first reply ms": 5, "resident MiB": 10, "pc: greeting ms": 5,
           "pc: first reply ms": 5, "pc: resident MiB": 10, "-device help ms": 5,
           "+1000: growth ms": 1, "+1000: help ms": 10,
           "cold: greeting ms": None, "cold pc: greeting ms": None}


def one_start(program, prefix, *machine):
    begin = time.perf_counter()
    process = subprocess.Popen([program, *machine, *ARGS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, bufsize=0)
    try:
        assert b"QMP" in process.stdout.readline()
        greeting = time.perf_counter() - begin
        process.stdin.write(b'{"execute":"qmp_capabilities"}\n')
        assert b"return" in process.stdout.readline()
        reply = time.perf_counter() - begin
        with open("/proc/%d/status" % process.pid) as f:
            resident = int(re.search(r"VmRSS:\s*(\d+)", f.read())[1]) / 1024
        process.stdin.write(b'{"execute":"quit"}\n')
        process.wait(10)
    finally:
        process.kill()
        process.communicate()
    return {prefix + "greeting ms": greeting * 1e3, prefix + "first reply ms": reply * 1e3,
            prefix + "resident MiB": resident}


def can_drop():
    """Pages that nobody maps leave the page cache: files are read from the disk again."""
    try:
        os.sync()
        with open(DROP, "w") as f:
            f.write("3\n")
        return True
    except OSError:
        return False


def one_cold_start(program):
    """Nothing when caches cannot be dropped here."""
    sample = {}
    for prefix, *machine in (("cold: ", "-machine", "none"), ("cold pc: ", "-machine", "pc", "-S")):
        if can_drop():
            start = one_start(program, prefix, *machine)
            sample[prefix + "greeting ms"] = start[prefix + "greeting ms"]
    return sample


def one_help(program, what, *args):
    begin = time.perf_counter()
    subprocess.run([program, *args, "-device", "help"], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)
    return {what: (time.perf_counter() - begin) * 1e3}


def thousand_modules(build, folder):
    """A directory of a thousand modules with their index."""
    here = os.path.join(build, "tests", "loader")
    synthetic.fill(folder, os.path.join(here, "synthetic.so"), 1000)
    subprocess.run([os.path.join(here, "make-index"), folder], check=True, stdout=subprocess.DEVNULL)


def with_thousand(program, folder, plain):
    """`plain`: a greeting of the same turn, without them."""
    more = one_start(program, "", "-module-dir", folder, "-machine", "none")
    return {"+1000: growth ms": more["greeting ms"] - plain,
            **one_help(program, "+1000: help ms", "-module-dir", folder)}


def main():
    build, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 21
    programs = {"backplane": os.path.join(build, "backplane-system-x86_64")}
    other = shutil.which("qemu-system-x86_64")
    if other:
        programs["other"] = other
    samples = {name: [] for name in programs}
    thousand = tempfile.TemporaryDirectory(prefix="bp-bench-")
    thousand_modules(build, thousand.name)
    for turn in range(rounds + 1):
        for name, program in programs.items():
            sample = {**one_start(program, "", "-machine", "none"),
                      **one_start(program, "pc: ", "-machine", "pc", "-S"),
                      **one_help(program, "-device help ms")}
            if name == "backplane":
                sample.update(with_thousand(program, thousand.name, sample["greeting ms"]))
            if turn:  # the first turn only warms the page cache
                samples[name].append(sample)
    cold = {name: [] for name in programs}
    for _ in range(max(1, rounds // 3)):
        for name, program in programs.items():
            cold[name].append(one_cold_start(program))
    result = {}
    print("%-20s %12s %12s %8s %8s" % ("median of %d" % rounds, *(list(programs) + ["-"])[:2],
                                       "ratio", "target"))
    for what, target in TARGETS.items():
        from_rounds = cold if what.startswith("cold") else samples
        medians = {name: statistics.median(s[what] for s in from_rounds[name]) for name in programs
                   if what in from_rounds[name][0]}
        if not medians:
            print("%-20s not measured: only root may drop caches" % what)
            continue
        ours, theirs = medians["backplane"], medians.get("other")
        print("%-20s %12.2f %12s %8s %8s%s" % (
            what, ours, "%.2f" % theirs if theirs else "-",
            "%.1fx" % (theirs / ours) if theirs else "-", target or "-",
            " missed" if target and ours > target else ""))
        result[what] = medians
    print(json.dumps(result))


main()
