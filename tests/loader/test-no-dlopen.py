#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Help, listing and introspection open no module: every module file that the dynamic linker opens is
counted (its own trace, LD_DEBUG=files), and over QMP the mappings of the process are compared. With a
thousand modules more in the path, too.

usage: test-no-dlopen.py BUILD-ROOT SOURCE-ROOT
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

BUILD, SOURCE = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests", "house"))
from qmp import Emulator  # noqa: E402
from tap import run  # noqa: E402
import synthetic  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
HERE = os.path.join(BUILD, "tests", "loader")
COUNT = 1000
thousand = tempfile.TemporaryDirectory(prefix="bp-thousand-")


def run_counted(*args):
    """Standard output, and the files that were opened as modules: the linker traces what it is
    asked for by dlopen() and what that needs."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        result = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60,
                                stdin=subprocess.DEVNULL,
                                env={**os.environ, "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": trace})
        text = ""
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as f:
                text += f.read()
    assert text.count("libbackplane") > 0, "the trace works"
    opened = re.findall(r"opening file=(\S+)", text)
    opened = [f for f in opened if "libbackplane" not in f]
    dynamic = re.findall(r"file=(\S+) \[0\];\s+dynamically loaded", text)
    return result, sorted(set(dynamic) | {f for f in opened if "/modules/" in f or "/fd/" in f})


def help_of(*args):
    result, opened = run_counted(*args)
    assert result.returncode == 0, result.stderr
    assert not opened, "%s opened %s" % (args, opened)
    assert result.stdout.strip(), args
    return result.stdout


def the_counting_counts():
    result, opened = run_counted("-machine", "none", "-nodefaults", "-display", "none", "-device",
                                 "isa-serial")
    assert opened, "a device that is made is a module that is opened"


def help_opens_nothing():
    for option in ("-device", "-machine", "-cpu", "-object", "-chardev", "-accel"):
        help_of(option, "help")
    assert "-device" in help_of("-h")


def help_of_each_device_opens_nothing():
    names = re.findall(r'name "([^"]+)"', help_of("-device", "help"))
    assert len(names) >= 3, names
    with_keys = 0
    for name in names:
        with_keys += "=" in help_of("-device", name + ",help")
    assert with_keys, "no device told of its properties"


def modules_of(emulator):
    """Files of modules that are mapped, by their inodes: a module may be opened through /proc."""
    with open("/proc/%d/maps" % emulator.process.pid) as f:
        return {line.split(None, 5)[5].strip() for line in f
                if line.count("/") and ".so" in line and
                ("/modules/" in line or "synthetic" in line)}


def introspection_opens_nothing():
    with Emulator(PROGRAM, "-machine", "none") as e:
        before = modules_of(e)
        for name in ("qom-list-types", "query-qmp-schema", "query-command-line-options",
                     "query-machines", "query-commands", "query-modules"):
            reply = e.command(name)
            assert "return" in reply and reply["return"], (name, reply)
        devices = [t["name"] for t in e.command("qom-list-types", implements="device")["return"]]
        assert "isa-serial" in devices
        described = 0
        for name in devices:
            reply = e.command("device-list-properties", typename=name)
            described += "return" in reply and len(reply["return"]) > 0
        assert described > 3, "properties of %d devices" % described
        assert modules_of(e) == before, modules_of(e) - before


def what_processors_lack_is_asked_of_their_module_alone():
    """Which features a model cannot have here depends on the accelerator: its module works that out."""
    with Emulator(PROGRAM, "-machine", "none") as e:
        before = modules_of(e)
        assert e.command("query-cpu-definitions")["return"]
        assert {os.path.basename(path) for path in modules_of(e) - before} <= {"cpu-x86.so"}, modules_of(e) - before


def loading_is_seen_in_the_mappings():
    with Emulator(PROGRAM, "-machine", "none") as e:
        before = modules_of(e)
        assert "return" in e.command("module-load", name="hw-debugcon")
        assert modules_of(e) - before


def start(*args):
    begin = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "-nodefaults", "-display", "none", "-machine", "none", "-qmp",
                                "stdio", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               bufsize=0)
    try:
        assert b"QMP" in process.stdout.readline()
        return (time.perf_counter() - begin) * 1e3
    finally:
        process.kill()
        process.communicate()


def a_thousand_modules_are_listed_from_files():
    synthetic.fill(thousand.name, os.path.join(HERE, "synthetic.so"), COUNT)
    text = help_of("-module-dir", thousand.name, "-device", "help")
    assert text.count('"synthetic-') == COUNT, text.count('"synthetic-')


def a_thousand_modules_are_listed_from_the_index():
    said = subprocess.run([os.path.join(HERE, "make-index"), thousand.name], check=True, timeout=60,
                          capture_output=True, text=True).stdout
    assert said.startswith("%d modules, %d provides, 0 bad" % (COUNT, COUNT)), said
    text = help_of("-module-dir", thousand.name, "-device", "help")
    assert text.count('"synthetic-') == COUNT
    assert "level=" in help_of("-module-dir", thousand.name, "-device", "synthetic-0500,help")


def each_of_them_is_described():
    with Emulator(PROGRAM, "-machine", "none", "-module-dir", thousand.name) as e:
        before = modules_of(e)
        for number in range(0, COUNT, 37):
            reply = e.command("device-list-properties", typename="synthetic-%04d" % number)
            assert "level" in [p["name"] for p in reply["return"]], reply
        assert len(e.command("query-qmp-schema")["return"]) > 10
        assert modules_of(e) == before


def start_up_with_a_thousand_modules():
    """Told, never judged: computers differ."""
    plain, more, files = [], [], []
    for _ in range(15):
        plain.append(start())
        more.append(start("-module-dir", thousand.name))
    os.unlink(os.path.join(thousand.name, "modules.idx"))
    for _ in range(5):
        files.append(start("-module-dir", thousand.name))
    print("# start to greeting, least (median) of 15: %.2f (%.2f) ms; with %d modules more %.2f (%.2f)"
          " ms; without their index %.2f ms" % (
              min(plain), statistics.median(plain), COUNT, min(more), statistics.median(more),
              min(files)))


run([the_counting_counts, help_opens_nothing, help_of_each_device_opens_nothing,
     introspection_opens_nothing, what_processors_lack_is_asked_of_their_module_alone,
     loading_is_seen_in_the_mappings,
     a_thousand_modules_are_listed_from_files, a_thousand_modules_are_listed_from_the_index,
     each_of_them_is_described, start_up_with_a_thousand_modules])
