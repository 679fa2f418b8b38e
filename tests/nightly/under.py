#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests under what looks for errors at run time.

usage: under.py valgrind    the small guest of tests/guest/test-lifetimes.py under valgrind's memcheck
       under.py tsan        test-lifetimes.py and test-threads.py, with Linux, in a build with ThreadSanitizer
                            (build-tsan, as ./dev tsan makes it)

BACKPLANE_BUILD names the build that valgrind runs.
"""
import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import Skip, run, work_folder  # noqa: E402

WORK = work_folder("backplane-under-")
BUILD = os.path.abspath(os.environ.get("BACKPLANE_BUILD", os.path.join(TOP, "build")))
TSAN = os.path.join(TOP, "build-tsan")


def guest_test(name, **env):
    """Runs one; its lines are comments of ours. True: all its cases passed."""
    with subprocess.Popen([sys.executable, os.path.join(TOP, "tests/guest", name)], stdout=subprocess.PIPE,
                          text=True, env={**os.environ, **env}) as child:
        for line in child.stdout:
            print("# " + line, end="", flush=True)
    return child.returncode == 0


def valgrind_finds_nothing_while_memory_comes_and_goes():
    if not shutil.which("valgrind"):
        raise Skip("there is no valgrind")
    program = os.path.join(WORK, "program")
    with open(program, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\nexec valgrind -q --num-callers=24 --log-file=%s/log-%%p %s/backplane-system-x86_64 "$@"\n'
                % (WORK, BUILD))
    os.chmod(program, 0o755)
    passed = guest_test("test-lifetimes.py", BACKPLANE_BUILD=BUILD, BACKPLANE_PROGRAM=program,
                        BACKPLANE_SHORT="1", BACKPLANE_SLOW="30", BACKPLANE_TSAN="0")
    logs = glob.glob(WORK + "/log-*")
    assert len(logs) >= 2, "valgrind was not at work"
    said = ""
    for path in logs:
        with open(path, encoding="utf-8", errors="replace") as f:
            said += f.read()
    assert not said, said[:5000]
    assert passed


def build_with_thread_sanitizer():
    if not os.path.exists(os.path.join(TSAN, "build.ninja")):
        subprocess.run(["meson", "setup", TSAN, TOP, "-Db_sanitize=thread", "-Db_lundef=false",
                        "-Dbuildtype=debugoptimized", "-Dassert_marks=true"], check=True,
                       stdout=subprocess.DEVNULL)
    done = subprocess.run(["ninja", "-C", TSAN], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def thread_sanitizer_finds_nothing_while_memory_comes_and_goes():
    assert guest_test("test-lifetimes.py", BACKPLANE_BUILD=TSAN, BACKPLANE_TSAN="1")


def thread_sanitizer_finds_nothing_while_the_machine_is_disturbed():
    assert guest_test("test-threads.py", BACKPLANE_BUILD=TSAN, BACKPLANE_TSAN="1")


if sys.argv[1:] == ["valgrind"]:
    run([valgrind_finds_nothing_while_memory_comes_and_goes])
elif sys.argv[1:] == ["tsan"]:
    run([build_with_thread_sanitizer, thread_sanitizer_finds_nothing_while_memory_comes_and_goes,
         thread_sanitizer_finds_nothing_while_the_machine_is_disturbed])
else:
    sys.exit(__doc__)
