#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Nth allocation fails: at start, and while modules are loaded. The program then ends with one
line that says so and status 1, or goes on; it never crashes or hangs.

usage: test-alloc-fail.py BUILD-ROOT SOURCE-ROOT

By day some two thousand N of each case are tried, spread evenly; with BACKPLANE_LONG=1 (the nightly test) every one.
ALLOC_STEP=K in the environment asks for one in K.
"""
import concurrent.futures
import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios

BUILD, SOURCE = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from tap import run, work_folder  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-alloc-")
SHIM = os.path.join(WORK, "alloc-fail.so")
# Two libraries say so and abort themselves: glib for a thread's private data, liburcu for its thread.
ABORT_LINES = ("GLib (gthread-posix.c): Unexpected error from C library during 'malloc'",
               "(urcu-call-rcu-impl.h:")
BY_DAY = 2000
QUIT = '{"execute":"qmp_capabilities"}{"execute":"quit"}'
MACHINE = (PROGRAM, "-nodefaults", "-display", "none", "-accel", "qtest", "-qmp", "stdio", "-S")


def once(command, stdin, number):
    env = {**os.environ, "LD_PRELOAD": SHIM}
    if number:
        env["ALLOC_FAIL"] = str(number)
    else:
        env["ALLOC_COUNT"] = WORK + "/count"
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, env=env)


def judge(command, stdin, number):
    """None, or what is wrong."""
    try:
        done = once(command, stdin, number)
    except subprocess.TimeoutExpired:
        return "allocation %d: hangs" % number
    if done.returncode == -signal.SIGABRT and any(
            line.startswith(ABORT_LINES) for line in done.stderr.splitlines()):
        return None
    if done.returncode not in (0, 1):
        return "allocation %d: status %d: %s" % (number, done.returncode, done.stderr[-300:])
    if done.returncode == 1 and not done.stderr.strip() and "error" not in done.stdout:
        return "allocation %d: ends without a word" % number
    return None


def every_failure(command, stdin):
    done = once(command, stdin, 0)
    assert done.returncode == 0, done.stderr
    with open(WORK + "/count") as f:
        total = int(f.read())
    assert total > 100, total
    by_day = 1 if os.environ.get("BACKPLANE_LONG") else max(1, total // BY_DAY)
    numbers = range(1, total + 1, int(os.environ.get("ALLOC_STEP", by_day)))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [w for w in pool.map(lambda n: judge(command, stdin, n), numbers) if w]
    print("# %d of %d allocations failed in turn" % (len(numbers), total), flush=True)
    assert not wrong, "\n".join(wrong[:10] + ["%d in all" % len(wrong)])


def listing_devices_survives():
    every_failure((PROGRAM, "-device", "help"), "")


def start_of_an_empty_machine_survives():
    every_failure((*MACHINE, "-machine", "none"), QUIT)


def start_of_a_pc_survives():
    every_failure((*MACHINE, "-machine", "pc"), QUIT)


def loading_a_module_survives():
    every_failure((*MACHINE, "-machine", "none"),
                  '{"execute":"qmp_capabilities"}'
                  '{"execute":"module-load","arguments":{"name":"hw-hpet"}}'
                  '{"execute":"object-add","arguments":{"qom-type":"secret","id":"s","data":"x"}}'
                  '{"execute":"quit"}')


if os.environ.get("BP_SANITIZED"):
    print("1..0 # SKIP a sanitizer brings its own allocator")
    sys.exit(0)
@contextlib.contextmanager
def pseudo_terminal():
    terminal, inner = pty.openpty()
    try:
        yield terminal, inner
    finally:
        os.close(terminal)
        os.close(inner)


def once_on_a_terminal(number):
    """The monitor on a pseudo-terminal, which is in raw mode meanwhile: (status, its modes are back)"""
    env = {**os.environ, "LD_PRELOAD": SHIM,
           **({"ALLOC_FAIL": str(number)} if number else {"ALLOC_COUNT": WORK + "/count"})}
    with pseudo_terminal() as (terminal, inner):
        before = termios.tcgetattr(inner)
        os.write(terminal, b"quit\n")
        process = subprocess.Popen((PROGRAM, "-nodefaults", "-display", "none", "-accel", "qtest",
                                    "-machine", "none", "-monitor", "stdio"), stdin=inner,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        try:
            status = process.wait(20)
        finally:
            process.kill()
        return status, termios.tcgetattr(inner) == before


def terminal_is_as_it_was():
    assert once_on_a_terminal(0) == (0, True)
    with open(WORK + "/count") as f:
        total = int(f.read())
    ended = 0
    for number in range(total - 300, total):
        status, back = once_on_a_terminal(number)
        assert back or status == -signal.SIGABRT, "allocation %d: status %d" % (number, status)
        ended += status == 1
    print("# ended early in %d of 300" % ended, flush=True)
    assert ended > 50, ended


subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", SHIM,
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "alloc-fail.c")], check=True)
run([listing_devices_survives, start_of_an_empty_machine_survives, start_of_a_pc_survives,
     loading_a_module_survives, terminal_is_as_it_was])
