#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gate of the module ABI: headers against the library, the library against the stored baseline,
modules against their tier, and binaries of released versions in today's emulator.

usage: abi.py SOURCE-ROOT BUILD-ROOT
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tools"))
import abi  # noqa: E402
from qmp import Emulator  # noqa: E402
from tap import Skip, run  # noqa: E402

LIBRARY = os.path.join(BUILD, "core/libbackplane.so.1.0.0")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
API = os.path.join(SOURCE, "module-api")
SANITIZED = os.environ.get("BP_SANITIZED")


def exported():
    """name -> version node"""
    out = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True,
                         check=True).stdout
    return dict(re.findall(r" [A-Z] (bpc?_\w+)@@?(\w[\w.]*)", out))


def declared():
    """Functions of the API's headers that the library has to have."""
    names = set()
    for path in glob.glob(os.path.join(API, "bp/**/*.h"), recursive=True):
        if os.path.basename(path) == "test.h":
            continue  # the fake host's
        with open(path) as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        text = re.sub(r"(?m)^\s*#(?:.*\\\n)*.*$", "", text)
        text = re.sub(r"static inline.*?\n\}", "", text, flags=re.S)
        names |= set(re.findall(r"(?m)^[a-z][\w \*]*?\b(bp_\w+)\(", text))
        names |= set(re.findall(r"(?m)^extern [\w ]+?\b(bp_\w+);", text))
    return names


def every_declared_function_is_exported_and_the_other_way_round():
    public = {n for n, node in exported().items() if n.startswith("bp_")}
    assert declared() - public == set(), "not in core/libbackplane.map: %s" % sorted(
        declared() - public)
    assert public - declared() == set(), "in no header: %s" % sorted(public - declared())


def nodes_keep_the_tiers_apart():
    nodes = exported()
    assert set(nodes.values()) == {"BACKPLANE_1.0", "BACKPLANE_EXACT", "BACKPLANE_PRIVATE"}, nodes
    assert all((node == "BACKPLANE_PRIVATE") == n.startswith("bpc_") for n, node in nodes.items())
    modules = glob.glob(os.path.join(BUILD, "modules/*.so"))
    assert len(modules) > 20
    for module in modules:
        with open(module, "rb") as f:
            public = b"tier=public\0" in f.read()
        undefined = subprocess.run(["nm", "-D", "--undefined-only", module], capture_output=True,
                                   text=True, check=True).stdout
        wrong = re.findall(r"(\w+)@BACKPLANE_(?:EXACT|PRIVATE)" if public else
                           r"(\w+)@BACKPLANE_PRIVATE", undefined)
        assert not wrong, "%s (%s tier) uses %s" % (module, "public" if public else "exact", wrong)


def library_is_compatible_with_the_baseline():
    if SANITIZED:
        raise Skip("a sanitized library has other symbols")
    with tempfile.NamedTemporaryFile(suffix=".abi") as now:
        abi.describe(LIBRARY, API, now.name, abi.node_symbols(SOURCE, "BACKPLANE_EXACT"))
        good, verdict, report = abi.compare(os.path.join(SOURCE, abi.BASELINE), now.name)
    print("# ABI 1.0: " + verdict, flush=True)
    assert good, report + "\n(./dev abi accept makes it the baseline: before the first release only)"


def layout_errors(headers):
    """What the assertions of sizes and offsets say of these headers."""
    done = subprocess.run(["cc", "-std=c11", "-fsyntax-only", "-I", headers,
                           os.path.join(SOURCE, abi.LAYOUT)], capture_output=True, text=True)
    assert done.returncode == 0 or "static assertion failed" in done.stderr, done.stderr
    return re.findall(r"static assertion failed: \"([^\"]+)\"", done.stderr)


def no_member_moved_since_1_0():
    """And one that would move is named."""
    assert layout_errors(API) == []
    with tempfile.TemporaryDirectory(prefix="backplane-abi-") as work:
        shutil.copytree(API + "/bp", work + "/bp")
        path = work + "/bp/device.h"
        with open(path) as f:
            text = f.read()
        assert "struct bp_device_class {\n    struct bp_type_info type;\n" in text
        with open(path, "w") as f:
            f.write(text.replace("struct bp_device_class {\n    struct bp_type_info type;\n",
                                 "struct bp_device_class {\n    struct bp_type_info type;\n"
                                 "    void *between;\n"))
        wrong = layout_errors(work)
    assert wrong and all(w.startswith("bp_device_class.") for w in wrong), wrong


HEADER = """struct thing { unsigned size; int a; %s };
int bp_one(const struct thing *t, %s x);
%s
"""
CODE = """#include "thing.h"
int bp_one(const struct thing *t, %s x) { return t->a + (int)x; }
%s
"""
TWO = ("int bp_two(void);", "int bp_two(void) { return 2; }")
THREE = ("int bp_two(void); int bp_three(void);",
         "int bp_two(void) { return 2; } int bp_three(void) { return 3; }")


def build_thing(folder, members, kind, functions):
    os.makedirs(folder)
    with open(folder + "/thing.h", "w") as f:
        f.write(HEADER % (members, kind, functions[0]))
    with open(folder + "/thing.c", "w") as f:
        f.write(CODE % (kind, functions[1]))
    subprocess.run(["cc", "-g", "-shared", "-fPIC", folder + "/thing.c", "-o",
                    folder + "/libthing.so"], check=True)
    abi.describe(folder + "/libthing.so", folder, folder + "/thing.abi")
    return folder + "/thing.abi"


def gate_tells_breaks_from_additions():
    cases = {"removed function": (False, "int b;", "int", ("", "")),
             "changed parameter": (False, "int b;", "long", TWO),
             "member in the middle": (False, "int between; int b;", "int", TWO),
             "appended function": (True, "int b;", "int", THREE)}
    with tempfile.TemporaryDirectory(prefix="backplane-abi-") as work:
        old = build_thing(work + "/old", "int b;", "int", TWO)
        for number, (name, (compatible, *thing)) in enumerate(cases.items()):
            new = build_thing("%s/new-%d" % (work, number), *thing)
            good, verdict, report = abi.compare(old, new)
            print("# %s: %s" % (name, verdict), flush=True)
            assert good == compatible, name + ": " + report


def binaries_of_released_versions_load_and_work():
    folders = glob.glob(os.path.join(SOURCE, "tests/abi/*", os.uname().machine))
    if not folders:
        raise Skip("no stored binary is for this processor")
    for folder in folders:
        with Emulator(PROGRAM, "-machine", "pc", "-device", "sample-scratch,id=s,iobase=0x310",
                      env={"BACKPLANE_MODULE_PATH": folder}) as e:
            reply = e.command("qom-get", path="/machine/peripheral/s", property="iobase")
            assert reply == {"return": 0x310}, reply
            loaded = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
            assert loaded["sample-scratch"]["state"] == "loaded", loaded["sample-scratch"]
            assert loaded["sample-scratch"]["file"].startswith(folder), loaded["sample-scratch"]


run([every_declared_function_is_exported_and_the_other_way_round, nodes_keep_the_tiers_apart,
     library_is_compatible_with_the_baseline, no_member_moved_since_1_0,
     gate_tells_breaks_from_additions,
     binaries_of_released_versions_load_and_work])
