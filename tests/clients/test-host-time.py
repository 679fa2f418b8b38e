#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody sets the host's clock while a guest runs: the guest's follows with -rtc clock=host, and does not with the
others.

usage: test-host-time.py SOURCE-ROOT BUILD-ROOT SHIM
"""
import calendar
import os
import sys
import time

SOURCE, BUILD, SHIM = sys.argv[1:4]
os.environ["BACKPLANE_BUILD"] = BUILD
sys.path[:0] = [os.path.join(SOURCE, "tests", folder) for folder in ("house", "qtest")]
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("host-time-")
FILE = os.path.join(FOLDER, "seconds")
DAY = 86400


def set_ahead(seconds):
    with open(FILE + ".new", "w", encoding="ascii") as f:
        f.write(str(seconds))
    os.rename(FILE + ".new", FILE)


def machine(*args):
    set_ahead(0)
    os.environ.update(LD_PRELOAD=SHIM, HOST_TIME_FILE=FILE)
    try:
        return QTest(["-M", "pc", *args])
    finally:
        del os.environ["LD_PRELOAD"], os.environ["HOST_TIME_FILE"]


def cmos(q, index):
    q.outb(0x70, index)
    value = q.inb(0x71)
    return (value >> 4) * 10 + (value & 15)


def clock(q):
    """What the guest's clock shows, in seconds since the epoch; read until it does not change meanwhile."""
    while True:
        shown = tuple(cmos(q, index) for index in (0x32, 9, 8, 7, 4, 2, 0))
        if shown == tuple(cmos(q, index) for index in (0x32, 9, 8, 7, 4, 2, 0)):
            century, year, month, day, hour, minute, second = shown
            return calendar.timegm((century * 100 + year, month, day, hour, minute, second))


def jump(q, seconds):
    """How far the guest's clock goes when the host's is set, but for the time that passes."""
    before, began = clock(q), time.monotonic()
    set_ahead(seconds)
    after, passed = clock(q), time.monotonic() - began
    return after - before, passed


def host_clock_is_followed():
    with machine() as q:
        for seconds, expected in ((3 * DAY, 3 * DAY), (DAY, -2 * DAY), (0, -DAY)):
            moved, passed = jump(q, seconds)
            assert expected <= moved <= expected + passed + 1, (seconds, moved, passed)
    with machine("-rtc", "base=localtime,clock=host") as q:
        moved, passed = jump(q, DAY)
        assert DAY <= moved <= DAY + passed + 1, (moved, passed)


def other_clocks_do_not_see_it():
    for args in (("-rtc", "clock=rt"), ("-rtc", "clock=vm"), ("-rtc", "base=2020-02-29T12:00:00,clock=rt")):
        with machine(*args) as q:
            moved, passed = jump(q, 3 * DAY)
            assert 0 <= moved <= passed + 1, (args, moved, passed)


try:
    run([host_clock_is_followed, other_clocks_do_not_see_it])
finally:
    set_ahead(0)
