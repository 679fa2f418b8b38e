#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nanoseconds of a look-up, a load, a store and a register's load in the memory core: medians of 21
runs. With another build's program, turn by turn, so that both see the same computer.

usage: memory.py BUILD-ROOT [OTHER-PROGRAM]
"""
import os
import re
import statistics
import subprocess
import sys

RUNS = 21


def one_run(program):
    out = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: float(ns) for name, ns in re.findall(r"(\w+) ([0-9.]+)", out)}


def main():
    programs = [os.path.join(sys.argv[1], "tests/bench/bench-memory"), *sys.argv[2:3]]
    runs = [[] for _ in programs]
    for _ in range(RUNS):
        for program, list_ in zip(programs, runs):
            list_.append(one_run(program))
    for name in runs[0][0]:
        medians = [statistics.median(run[name] for run in list_) for list_ in runs]
        print("%-9s %7.2f ns" % (name, medians[0]) + (
            "   other: %7.2f ns, %+.1f %%" % (medians[1], (medians[0] / medians[1] - 1) * 100)
            if len(medians) > 1 else ""))


main()
