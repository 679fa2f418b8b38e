#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-icount and -accel tcg,thread=single: guest time is a number of instructions, the same in each run."""
import json
import os
import platform
import re
import socket
import sys
import tempfile
import time

from console import BINARY, SLOW, TOP, Console, guest_files, needed
from small import Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import Skip, run  # noqa: E402

guests = Guests()
SAME = ("-rtc", "base=2020-01-01,clock=vm", "-seed", "1")
UP = "Backplane guest is up"
BOOT_SECONDS = 240
# Instructions between two RDTSCs of tests/guest/small/icount.c
COUNTS = {"few": 5, "loop": 2003, "string": 7, "port": 6, "traps": 303}


def small(*options, same=SAME):
    why = lacking()
    if why:
        raise Skip(why)
    return guests.values("icount", "-cpu", "max", *options, *same)


def only_here(accel):
    if accel == "tcg" and platform.machine() != "x86_64":
        raise Skip("tcg translates on x86-64 hosts only")


class Boot:
    """Debian's kernel with a shell on the serial line, and a QMP client beside it."""

    def __init__(self, *options, append=""):
        kernel, initrd = needed(guest_files)
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-icount-")
        path = os.path.join(self.folder.name, "qmp")
        self.console = Console([BINARY, "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio", "-qmp",
                                f"unix:{path},server=on,wait=off", "-kernel", kernel, "-initrd", initrd, "-append",
                                "console=ttyS0 nokaslr " + append, *options])
        self.log = self.console.expect(UP, BOOT_SECONDS)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.qmp("qmp_capabilities")

    def qmp(self, name, **arguments):
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            reply = json.loads(self.lines.readline())
            if "event" not in reply:
                assert "return" in reply, (name, reply)
                return reply["return"]

    def run(self, command, seconds=120):
        self.console.type("echo be''gin; " + command + "; echo en''d\n")
        return self.console.expect("\nend", seconds).replace("\r", "").split("begin\n", 1)[1]

    def __enter__(self):
        self.console.expect("# ", 60)
        return self

    def __exit__(self, *_):
        self.console.close()
        self.socket.close()
        self.folder.cleanup()


def each_instruction_takes_its_time():
    only_here("tcg")
    for accel in ("tcg", "tcg,one-insn-per-tb=on", "interp"):
        for shift in (0, 3, 10):
            seen = small("-accel", accel, "-icount", f"shift={shift},sleep=off")
            for name, count in COUNTS.items():
                assert seen[name] == count << shift, (accel, shift, name, seen)
            assert seen["copied"] == 1, seen


def translator_counts_as_the_interpreter():
    only_here("tcg")
    first = small("-accel", "interp", "-icount", "shift=2,sleep=off")
    for accel in ("interp", "tcg", "tcg", "tcg,one-insn-per-tb=on", "tcg,tb-size=1,split-wx=on"):
        assert small("-accel", accel, "-icount", "shift=2,sleep=off") == first, accel
    other = small("-accel", "tcg", "-icount", "shift=2,sleep=off", same=(*SAME[:-1], "2"))
    assert other["random"] != first["random"] and {**other, "random": 0} == {**first, "random": 0}, (first, other)


def timers_agree_with_the_time_stamp_counter():
    only_here("tcg")
    seen = small("-accel", "tcg", "-icount", "shift=1,sleep=off")
    assert abs(seen["pit"] - 999849) < 2000, seen  # 1193 ticks of 1193182 a second; the loop asks every 400 ns
    assert 1000000 <= seen["hpet"] < 1001000, seen
    assert seen["slept"] == 1 and 5000000 <= seen["apic"] < 5001000, seen  # ticks of 1 ns
    assert 2950 <= seen["rtc"] <= 3050, seen


def idle_time_jumps_or_follows_the_host():
    only_here("tcg")
    start = time.monotonic()
    small("-accel", "tcg", "-icount", "shift=3,sleep=on")
    assert time.monotonic() - start >= 3, "three seconds of the RTC passed sooner"
    with Boot("-icount", "shift=3,sleep=off", *SAME) as guest:
        start = time.monotonic()
        first, last = [float(t) for t in re.findall(r"^([0-9.]+) ", guest.run(
            "cat /proc/uptime; sleep 600; cat /proc/uptime", 300), re.M)]
        assert 600 <= last - first < 610, (first, last)
        assert time.monotonic() - start < 300 * SLOW, "ten minutes of sleep did not jump"


def boots_are_the_same_again():
    only_here("tcg")
    for cpus in ("1", "2"):
        logs = []
        for _ in range(2):
            guest = Boot("-smp", cpus, "-icount", "shift=3,sleep=off", *SAME)
            executed = guest.qmp("human-monitor-command", **{"command-line": "info jit"})
            assert re.search(r"executed +[0-9]+, 8 ns each", executed), executed
            guest.__exit__()
            logs.append(guest.log)
        assert len(logs[0].splitlines()) > 100 and "smp: Brought up 1 node, %s CPU" % cpus in logs[0], logs[0]
        assert logs[0] == logs[1], "two boots differ: " + str([
            pair for pair in zip(logs[0].splitlines(), logs[1].splitlines()) if pair[0] != pair[1]][:3])


def automatic_shift_keeps_to_the_host_s_time():
    only_here("tcg")
    with Boot("-icount", "shift=auto") as guest:
        for _ in range(3):
            start = time.monotonic()
            first, last = [float(t) for t in re.findall(r"^([0-9.]+) ", guest.run(
                "cat /proc/uptime; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; cat /proc/uptime"), re.M)]
            wall = time.monotonic() - start
        assert abs((last - first) - wall) < 3, (first, last, wall)


def guest_that_is_late_is_told_of():
    only_here("tcg")
    with Boot("-icount", "shift=0,align=on") as guest:
        text = guest.log + guest.console.text
        assert "the guest is late by" in text and "shift" in text, text[-500:]
        assert re.search(r"late at most +[1-9][0-9]* us",
                         guest.qmp("human-monitor-command", **{"command-line": "info jit"}))


def two_processors_share_a_thread():
    only_here("tcg")
    with Boot("-accel", "tcg,thread=single", "-smp", "2") as guest:
        threads = {cpu["thread-id"] for cpu in guest.qmp("query-cpus-fast")}
        assert len(threads) == 1, threads
        assert str(threads.pop()) in os.listdir(f"/proc/{guest.console.process.pid}/task")
        assert guest.run("grep -c ^processor /proc/cpuinfo").strip() == "2"
        both = guest.run("for n in 1 2; do (i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; echo done $n) & done; wait")
        assert "done 1" in both and "done 2" in both, both
        guest.qmp("stop")
        guest.qmp("cont")
        assert guest.run("echo alive").strip() == "alive"


try:
    run([each_instruction_takes_its_time, translator_counts_as_the_interpreter,
         timers_agree_with_the_time_stamp_counter, idle_time_jumps_or_follows_the_host, boots_are_the_same_again,
         automatic_shift_keeps_to_the_host_s_time, guest_that_is_late_is_told_of, two_processors_share_a_thread])
finally:
    guests.close()
