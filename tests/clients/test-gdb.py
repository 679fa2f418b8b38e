#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/gdb/backplane-gdb.py on a stopped emulator in which a coroutine waits."""
import os
import shutil
import subprocess
import sys
import time

source, build, modules = sys.argv[1:4]
sys.path.insert(0, os.path.join(source, "tests/house"))
from qmp import Emulator  # noqa: E402
from tap import Skip, run  # noqa: E402

PROGRAM = os.path.join(build, "backplane-system-x86_64")


def coroutines_and_objects_are_shown():
    if not shutil.which("gdb"):
        raise Skip("there is no gdb")
    with Emulator(PROGRAM, "-object", "iothread,id=io7", "-modules",
                  "preload=" + os.path.join(modules, "patient.so"),
                  quiet=("-nodefaults", "-display", "none", "-M", "none")) as e:
        e.process.stdin.write('{"execute":"patient-sleep","arguments":{"ms":3600000}}\n')
        e.process.stdin.write('{"execute":"query-name"}\n')
        e.process.stdin.flush()
        for _ in range(10):  # until it has begun
            told = subprocess.run(
                ["gdb", "-nx", "-batch", "-p", str(e.process.pid), "-ex",
                 "source " + os.path.join(source, "tools/gdb/backplane-gdb.py"),
                 "-ex", "backplane coroutines bt", "-ex", "backplane objects 1", "-ex", "detach"],
                capture_output=True, text=True, timeout=120)
            if "ptrace" in told.stderr and "not permitted" in told.stderr:
                raise Skip("gdb may not look at processes here")
            if "1 coroutines" in told.stdout:
                break
            time.sleep(0.2)
        out = told.stdout
        assert "'patient-sleep' of the core : waiting in context 'main'" in out, out + told.stderr
        assert "1 coroutines" in out and "bp_co_sleep" in out and "patient_sleep" in out, out
        assert "/objects (container)" in out and "  /io7 (iothread)" in out, out
        # and it goes on as if nothing had been
        os.kill(e.process.pid, 15)
        assert e.process.wait(timeout=30) == 0


sys.exit(run([coroutines_and_objects_are_shown]))
