# SPDX-License-Identifier: LGPL-2.1-or-later
"""
I/O threads as users and management tools meet them: threads in /proc, their properties, what may be changed
while they run. Usage: test-iothreads.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
# With an accelerator that runs code: under qtest all threads are folded into one.
RUNS = ("-nodefaults", "-display", "none", "-accel", "interp", "-S")
WAIT = 20 * float(os.environ.get("BACKPLANE_SLOW", "1"))


def answer(emulator, name, **arguments):
    reply = emulator.command(name, **arguments)
    assert "return" in reply, (name, reply)
    return reply["return"]


def refused(*args):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *args],
                          capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def tasks(emulator):
    return {int(name) for name in os.listdir("/proc/%d/task" % emulator.process.pid)}


def threads_are_there_and_named():
    with Emulator(PROGRAM, "-M", "none", "-name", "n,debug-threads=on", "-object", "iothread,id=io1", "-object",
                  "iothread,id=io2", quiet=RUNS) as machine:
        shown = {entry["id"]: entry for entry in answer(machine, "query-iothreads")}
        assert sorted(shown) == ["io1", "io2"], shown
        assert len({entry["thread-id"] for entry in shown.values()}) == 2
        for name, entry in shown.items():
            assert entry["thread-id"] in tasks(machine) and entry["thread-id"] != machine.process.pid
            with open("/proc/%d/task/%d/comm" % (machine.process.pid, entry["thread-id"]),
                      encoding="ascii") as file:
                assert name in file.read()


def they_come_and_go():
    with Emulator(PROGRAM, "-M", "none", quiet=RUNS) as machine:
        before = tasks(machine)
        answer(machine, "object-add", qom_type="iothread", id="late")
        entry, = answer(machine, "query-iothreads")
        assert entry["id"] == "late" and entry["thread-id"] in tasks(machine) - before
        os.sched_setaffinity(entry["thread-id"], {min(os.sched_getaffinity(0))})  # as taskset does
        answer(machine, "object-del", id="late")
        assert answer(machine, "query-iothreads") == [] and entry["thread-id"] not in tasks(machine)


def properties_are_shown():
    keys = "poll-max-ns=1000,poll-grow=4,poll-shrink=2,aio-max-batch=8"
    with Emulator(PROGRAM, "-M", "none", "-object", "iothread,id=io1," + keys, "-object",
                  "iothread,id=io2") as machine:
        shown = {entry["id"]: entry for entry in answer(machine, "query-iothreads")}
        for key in keys.split(","):
            name, value = key.split("=")
            assert shown["io1"][name] == int(value), shown
            assert answer(machine, "qom-get", path="/objects/io1", property=name) == int(value)
        assert shown["io2"]["poll-max-ns"] == 32768 and shown["io2"]["poll-grow"] == 0, shown
    assert "poll-grow" in refused("-M", "none", "-object", "iothread,id=i,poll-grow=-1")
    assert "id" in refused("-M", "none", "-object", "iothread")


def polling_changes_at_run_time():
    """The manual's example, typed at the monitor."""
    with Emulator(PROGRAM, "-M", "none", "-object", "iothread,id=iothread1") as machine:
        text = answer(machine, "human-monitor-command",
                      command_line="qom-set /objects/iothread1 poll-max-ns 100000")
        assert text == "", text
        entry, = answer(machine, "query-iothreads")
        assert entry["poll-max-ns"] == 100000
        text = answer(machine, "human-monitor-command", command_line="qom-get /objects/iothread1 poll-max-ns")
        assert text.strip() == "100000", text
        text = answer(machine, "human-monitor-command", command_line="qom-list /objects")
        assert "iothread1 (child<iothread>)" in text, text
        text = answer(machine, "human-monitor-command", command_line="qom-set /objects/iothread1 poll-max-ns much")
        assert "poll-max-ns" in text, text
        answer(machine, "qom-set", path="/objects/iothread1", property="aio-max-batch", value=3)
        entry, = answer(machine, "query-iothreads")
        assert entry["aio-max-batch"] == 3


def a_device_without_threads_refuses_one():
    line = refused("-M", "pc", "-object", "iothread,id=io1", "-device", "isa-serial,iothread=io1")
    assert "iothread" in line and "isa-serial" in line, line


tap.run([threads_are_there_and_named, they_come_and_go, properties_are_shown, polling_changes_at_run_time,
         a_device_without_threads_refuses_one])
