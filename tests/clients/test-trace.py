#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trace points: -trace, -d trace:, the monitors, each back end, and a module from outside of the tree.

usage: test-trace.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import subprocess
import sys

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from qmp import Emulator, fails  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

os.environ.setdefault("BACKPLANE_BUILD", BUILD)
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
from ata import READ, Ide  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
READER = os.path.join(SOURCE, "tools/read-trace.py")
WORK = work_folder("backplane-trace-")
MODULE = """#include <bp/command.h>
#include <bp/trace.h>
BP_TRACE_POINT(lit, "acme_lamp_lit", "lamp %s; %u lumen");
static int light(struct bp_error *err) { bp_trace(lit, "desk", 800u); return 0; }
BP_COMMAND(acme, "acme-light", "Lights it", NULL, NONE, NULL, light, 0);
BP_MODULE("acme-traced", "A lamp with a trace point", BP_NO_IMPORTS, {BP_PROVIDE_COMMAND, &acme});
"""


def path(name, text=None):
    full = os.path.join(WORK, name)
    if text is not None:
        with open(full, "w") as f:
            f.write(text)
    return full


def told(*args, env=None, commands=()):
    """What the emulator says on standard error until it quits."""
    with Emulator(PROGRAM, "-machine", "none", *args, env=env) as e:
        for command in commands:
            reply = e.command(command)
            assert "return" in reply, reply
        e.command("query-name")
        e.command("quit")
        e.process.wait(60)
        return e.process.stderr.read()


def names(env=None):
    done = subprocess.run([PROGRAM, "-trace", "help"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.split("\n")[:-1]


def help_lists_points_of_core_and_modules():
    listed = names()
    assert listed == sorted(listed), listed
    assert {"irq_line", "memory_region_map", "qmp_command", "qmp_return", "run_state", "blk_request_begin",
            "blk_request_end", "virtio_queue_notify", "virtio_pci_interrupt", "net_packet"} <= set(listed), listed


def patterns_choose_points():
    err = told("-trace", "qmp_*")
    assert re.search(r"^\d+@\d+\.\d{6}:qmp_command command query-name$", err, re.M), err
    assert ":qmp_return command query-name\n" in err and "memory_region_map" not in err, err
    err = told("-trace", "enable=qmp_*", "-trace", "-qmp_return")
    assert ":qmp_command command query-name" in err and "qmp_return" not in err, err
    assert "@" not in told(), "points are off unless asked for"


def a_name_that_nobody_has_is_warned_about():
    assert "no trace point matches 'nothing_such'" in told("-trace", "nothing_such")
    assert "no trace point matches 'nothing_such'" in told("-d", "trace:nothing_such")
    assert "warning" not in told("-trace", "qmp_command")


def an_events_file_is_read():
    file = path("events", "# points\n\n  qmp_*  \n-qmp_return\n")
    err = told("-trace", "events=" + file)
    assert ":qmp_command command query-name" in err and "qmp_return" not in err, err
    assert "cannot open events file" in fails(PROGRAM, "-trace", "events=" + path("missing"))
    assert "line 1 is too long" in fails(PROGRAM, "-trace", "events=" + path("long", "x" * 400 + "\n"))
    assert "line 2: the name of a trace point" in fails(PROGRAM, "-trace", "events=" + path("minus", "qmp_*\n-\n"))


def the_log_item_does_the_same():
    log = path("log")
    err = told("-d", "trace:qmp_command,trace:run_state", "-D", log)
    with open(log) as f:
        lines = f.read()
    assert "qmp_command" not in err, err
    assert ":qmp_command command query-name\n" in lines and "qmp_return" not in lines, lines


def the_file_is_read_by_its_reader():
    file = path("simple")
    err = told("-trace", "qmp_*,file=" + file)
    assert "qmp_command" not in err, err
    done = subprocess.run([sys.executable, READER, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert any(re.fullmatch(r"\d+\.\d{9} \d+ qmp_command command query-name", line) for line in lines), lines
    assert any(line.endswith("qmp_return command query-name") for line in lines), lines
    with open(file, "rb") as f:
        whole = f.read()
    with open(file, "wb") as f:
        f.write(whole[:-3])
    done = subprocess.run([sys.executable, READER, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "is cut in the record" in done.stderr, done
    both = told("-trace", "qmp_*,file=" + file, "-trace", "backend=log")
    assert ":qmp_command" in both and os.path.getsize(file) > 100, both


def wrong_places_are_refused():
    assert "cannot write trace file" in fails(PROGRAM, "-trace", "file=/nowhere/t")
    assert "needs a file" in fails(PROGRAM, "-trace", "backend=simple")
    assert "backend=simple" in fails(PROGRAM, "-trace", "backend=log,file=" + path("t"))
    fails(PROGRAM, "-trace", "backend=dtrace")
    assert "No space left" in fails(PROGRAM, "-trace", "qmp_*,file=/dev/full")


def ftrace_is_refused_where_it_is_not():
    with open("/proc/self/mounts") as f:
        mounted = any(line.split()[2] == "tracefs" for line in f)
    if mounted:
        raise Skip("tracefs is mounted")
    error = fails(PROGRAM, "-trace", "qmp_*,backend=ftrace")
    assert "tracefs, which is not mounted here" in error and "mount -t tracefs" in error, error


def with_tracefs(*args):
    """Runs a command where tracefs is mounted, for itself alone."""
    mount = "mount -t tracefs none /sys/kernel/tracing && exec \"$@\""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "sh", "-c", mount, "sh", "cat",
                                            "/sys/kernel/tracing/trace_marker_raw"], capture_output=True,
                                           check=False).returncode == 32:
        raise Skip("tracefs cannot be mounted here")
    return subprocess.Popen(["unshare", "-m", "sh", "-c", mount, "sh", *args], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def the_kernel_s_trace_has_what_passes():
    run_it = with_tracefs(PROGRAM, "-machine", "none", "-display", "none", "-monitor", "none", "-qmp", "stdio", "-trace",
                          "qmp_*,backend=ftrace")
    out, err = run_it.communicate('{"execute": "qmp_capabilities"}{"execute": "query-name"}{"execute": "quit"}',
                                  timeout=60)
    assert run_it.returncode == 0, (out, err)
    trace, _ = with_tracefs("cat", "/sys/kernel/tracing/trace").communicate(timeout=60)
    mine = [line for line in trace.split("\n") if re.search(r"-%d\s" % run_it.pid, line) and "qmp_" in line]
    assert any("query-name" in line for line in mine), (trace[-2000:], err)


def monitors_switch_points():
    file = path("later")
    with Emulator(PROGRAM, "-machine", "none") as e:
        def state(name):
            return e.command("trace-event-get-state", name=name)

        def hmp(line):
            return e.command("human-monitor-command", command_line=line)["return"]
        off = [{"name": "qmp_command", "state": "disabled", "vcpu": False}]
        assert state("qmp_command") == {"return": off}
        assert e.command("trace-event-set-state", name="qmp_*", enable=True) == {"return": {}}
        assert [p["state"] for p in state("qmp_*")["return"]] == ["enabled"] * 3
        assert 'no trace point "x"' in state("x")["error"]["desc"]
        assert 'no trace point "x"' in e.command("trace-event-set-state", name="x", enable=True)["error"]["desc"]
        assert state("x*") == {"return": []}
        assert "vcpu" in e.command("trace-event-get-state", name="*", vcpu=0)["error"]["desc"]
        assert hmp("trace-event qmp_return off") == ""
        shown = hmp("info trace-events").replace("\r", "")
        assert "qmp_command : state 1\n" in shown and "qmp_return : state 0\n" in shown, shown
        assert "Error" in hmp("trace-event nothing on") and "Error" in hmp("trace-file on")
        assert hmp("trace-file set " + file) == ""
        e.command("query-status")
        assert hmp("trace-file flush") == ""
        with open(file, "rb") as f:
            assert b"command query-status" in f.read()
        hmp("trace-file off")
        assert hmp("trace-file").strip() == 'Trace file "%s" off.' % file
        e.command("quit")
        e.process.wait(60)


def devices_pass_points():
    disk = path("disk")
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    with QTest(["-M", "pc", "-drive", "file=%s,format=raw,if=ide" % disk, "-netdev", "hubport,id=n,hubid=1", "-device",
                "e1000,netdev=n", "-device", "virtio-rng-pci", "-trace", "*", "-trace", "-qmp_*"]) as q:
        assert Ide(q).do(READ, sectors=2) == 0
        q.qmp("announce-self", {"initial": 50, "max": 100, "rounds": 1, "step": 10})
        q.qmp("stop")
        err = q.errors()
    for point in (r"memory_region_map region \S+ in \S+ offset 0x[0-9a-f]+ size 0x[0-9a-f]+ priority -?\d+",
                  r"irq_line line \S+\[\d+\] level 1", r"net_packet from port 0x[0-9a-f]+ queue 0 length \d+",
                  r"run_state from \d+ to \d+"):
        assert re.search(r"^\d+@\d+\.\d{6}:" + point + "$", err, re.M), (point, err[-2000:])
    begun = re.search(r":blk_request_begin request (0x\w+) of \S+ op \d+ offset 0 bytes 1024$", err, re.M)
    assert begun and ":blk_request_end request %s result 0\n" % begun[1] in err, err[-2000:]
    assert "qmp_" not in err


def a_module_from_outside_is_listed_and_works():
    place = path("modules")
    os.makedirs(place)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "backplane"], text=True, capture_output=True, check=True,
                           env={**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled")})
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
                    "-fvisibility=hidden", "-Wl,-z,noexecstack", "-o", os.path.join(place, "acme-traced.so"),
                    path("acme.c", MODULE), *flags.stdout.split()], check=True, timeout=60)
    env = {"BACKPLANE_MODULE_PATH": place}
    assert "acme_lamp_lit" in names(env) and "acme_lamp_lit" not in names()
    subprocess.run([os.path.join(BUILD, "backplane-module"), "index", place], check=True, timeout=60)
    assert "acme_lamp_lit" in names(env)
    err = told("-trace", "acme_*", env=env, commands=("acme-light",))
    assert ":acme_lamp_lit lamp desk; 800 lumen\n" in err and "warning" not in err, err
    with Emulator(PROGRAM, "-machine", "none", "-trace", "acme_*", env=env) as e:
        state = {m["name"]: m["state"] for m in e.command("query-modules")["return"]["modules"]}
        assert state["acme-traced"] == "available", "listing points loads nothing"
    wrong = MODULE.replace('"desk", 800u', '"desk", "dim"')
    done = subprocess.run(["cc", "-Wall", "-Werror", "-fsyntax-only", path("wrong.c", wrong), *flags.stdout.split()],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "format" in done.stderr, "arguments are checked against the format"


run([help_lists_points_of_core_and_modules, patterns_choose_points, a_name_that_nobody_has_is_warned_about,
     an_events_file_is_read, the_log_item_does_the_same, the_file_is_read_by_its_reader, wrong_places_are_refused,
     ftrace_is_refused_where_it_is_not, the_kernel_s_trace_has_what_passes, monitors_switch_points, devices_pass_points,
     a_module_from_outside_is_listed_and_works])
