#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host makes no more threads (a limit of its cgroup, say), from the Nth on. What needs one says so and
is undone; nothing crashes or hangs.

usage: test-no-threads.py SOURCE-ROOT BUILD-ROOT SHIM
"""
import json
import os
import signal
import subprocess
import sys

SOURCE, BUILD, SHIM = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from tap import run  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
QUIET = (PROGRAM, "-nodefaults", "-display", "none", "-qmp", "stdio", "-S")
# liburcu cannot do without its own; it says so and aborts.
LIBRARY = "(urcu-call-rcu-impl.h:"


def once(fails_from, commands, *argv):
    """(status, replies and errors, standard error)"""
    said = '{"execute":"qmp_capabilities"}' + "".join(json.dumps(c) for c in commands) + '{"execute":"quit"}'
    done = subprocess.run((*QUIET, *argv), input=said, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "LD_PRELOAD": SHIM, "THREAD_FAIL": str(fails_from)})
    aborted = done.returncode == -signal.SIGABRT and LIBRARY in done.stderr
    assert aborted or done.returncode in (0, 1), done
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def processor_without_a_thread_ends_the_start_in_words():
    """Whatever else has a thread before: each of the three is the first that gets none."""
    said = []
    while len(said) < 40 and (not said or "CPU 2" not in said[-1]):
        said.append(once(len(said) + 1, [], "-M", "pc", "-accel", "interp", "-smp", "3")[2])
    for index in range(3):
        assert any("cannot start the thread of CPU %d: Resource temporarily unavailable" % index in s
                   for s in said), said


def iothread_without_a_thread_says_so():
    """It starts when something needs it, or when somebody asks for its number."""
    ask = {"execute": "query-iothreads"}
    add = {"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "two"}}
    for number in (1, 2):
        _, replies, _ = once(number, [ask, add, ask], "-M", "none", "-object", "iothread,id=one")
        errors = [r["error"]["desc"] for r in replies if "error" in r]
        assert errors == [errors[0]] * (3 - number), replies
        assert "cannot be started: Resource temporarily unavailable" in errors[0], errors


def memory_is_preallocated_without_helpers():
    argv = ("-M", "none", "-object", "memory-backend-ram,id=m,size=8M,prealloc=on,prealloc-threads=4")
    query = {"execute": "query-memdev"}
    for number in range(1, 5):
        _, replies, _ = once(number, [query], *argv)
        assert [m["size"] for r in replies if isinstance(r.get("return"), list) for m in r["return"]] == [8 << 20], \
            replies


run([processor_without_a_thread_ends_the_start_in_words, iothread_without_a_thread_says_so,
     memory_is_preallocated_without_helpers])
