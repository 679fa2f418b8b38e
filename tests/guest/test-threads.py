#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two vCPUs, their devices and the monitor at once: a booting machine is stopped, continued, examined and
reset all the time, then it boots. In a build with ThreadSanitizer (./dev tsan guest) no data race may
be reported, except in the guest's own memory, where guests race as they like.

usage: test-threads.py      (BACKPLANE_BUILD names the build)
"""
import os
import random
import re
import sys
import time

import console

sys.path.insert(0, os.path.join(console.TOP, "tests/house"))
import races  # noqa: E402
from qmp import Emulator  # noqa: E402
from tap import run, work_folder  # noqa: E402

SLOW = 30 if races.THREADS else console.SLOW
WORK = work_folder("backplane-threads-")
ROUNDS = 60


def machine():
    kernel, initrd = console.guest_files()
    return Emulator(console.BINARY, "-m", "512", "-smp", "2", *races.main_memory("512M"), "-kernel", kernel,
                    "-initrd", initrd, "-append", "console=ttyS0 no_timer_check" + races.LINUX, "-serial",
                    "file:%s/serial" % WORK, env=races.environment(WORK),
                    quiet=("-nodefaults", "-display", "none"))


def status(e):
    return e.command("query-status")["return"]["status"]


def disturb(e, dice, number):
    """One round; each command must be answered."""
    assert "return" in e.command("stop")
    assert status(e) == "paused"
    if number % 3 == 0:
        said = e.command("human-monitor-command", command_line="info registers -a")["return"]
        assert len(re.findall("(?i)rip", said)) >= 2, said
    if number % 7 == 0:
        assert "return" in e.command("system_reset")
    assert len(e.command("query-cpus-fast")["return"]) == 2
    assert "return" in e.command("cont")
    assert status(e) == "running"
    if number % 10 == 9:
        assert "return" in e.command("system_reset")
    time.sleep(dice.uniform(0, 0.15))


def wait_for_shell():
    end = time.monotonic() + 60 * SLOW
    while time.monotonic() < end:
        with open(WORK + "/serial", "rb") as f:
            text = f.read()
        if b"Backplane guest is up" in text:
            return
        time.sleep(0.5)
    raise AssertionError("no shell; the end was: %r" % text[-1500:])


def disturbed_machine_goes_on_and_boots():
    dice = random.Random(7)
    with machine() as e:
        for number in range(ROUNDS):
            disturb(e, dice, number)
        wait_for_shell()
        assert "return" in e.command("stop")
        assert "return" in e.command("quit")
        assert e.process.wait(timeout=20 * SLOW) == 0


def only_the_guest_s_memory_is_raced_for():
    races.judge(WORK)


run([disturbed_machine_goes_on_and_boots, only_the_guest_s_memory_is_raced_for])
