#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A core of a later version meets a module of today: a copy of the tree in which every public
descriptor has one more member and the ABI's minor is one higher is built, and the stored binary of
1.0 must work in it; in a copy with another major it must be refused in words.

usage: upgrade.py SOURCE-ROOT
"""
import glob
import os
import re
import shutil
import subprocess
import sys

from qmp import Emulator, fails
from tap import Skip, run, work_folder

SOURCE = sys.argv[1]
OLD = os.path.join(SOURCE, "tests/abi/1.0", os.uname().machine)
WORK = work_folder("backplane-upgrade-")
TREE = os.path.join(WORK, "tree")
BUILD = os.path.join(WORK, "build")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
ENV = {"BACKPLANE_MODULE_PATH": OLD}
# It opens every class: appending to it would move what stands behind. It grows into `reserved`.
# A buffer in a device's state is no descriptor.
NEVER_APPENDED = {"bp_type_info", "bp_state_bytes"}


def copy_tree():
    shutil.copytree(SOURCE, TREE, ignore=shutil.ignore_patterns("build", "build-*", ".git", ".cache",
                                                                "__pycache__"))


def append_members():
    """Adds a member to each struct that begins with its size, or with struct bp_type_info."""
    changed = []
    folder = os.path.join(TREE, "module-api/bp")
    for path in sorted(glob.glob(folder + "/**/*.h", recursive=True)):
        with open(path) as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)

        def add(match):
            if match[1] in NEVER_APPENDED:
                return match[0]
            changed.append(match[1])
            return match[0][:-len("};")] + "    void *appended_later;\n};"
        text = re.sub(r"struct (bp_\w+) \{\s*(?:uint32_t size;|uint32_t magic;\s*"
                      r"uint32_t size;|struct bp_type_info type;)[^{}]*\};", add, text)
        with open(path, "w") as f:
            f.write(text)
    return changed


def set_abi(major, minor):
    path = os.path.join(TREE, "module-api/bp/base.h")
    with open(path) as f:
        text = f.read()
    text = re.sub(r"(#define BP_ABI_MAJOR) \d+", r"\1 %d" % major, text)
    text = re.sub(r"(#define BP_ABI_MINOR) \d+", r"\1 %d" % minor, text)
    with open(path, "w") as f:
        f.write(text)


def build():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        subprocess.run(["meson", "setup", BUILD, TREE, "-Dtests=false", "-Dbuildtype=plain",
                        "-Dcapstone=disabled", "-Dvnc=disabled"], check=True, capture_output=True)
    targets = subprocess.run(["ninja", "-C", BUILD, "-t", "targets", "all"], check=True,
                             capture_output=True, text=True).stdout
    modules = [m for m in re.findall(r"(?m)^(modules/[\w-]+\.so): ", targets)
               if "accel-interp" not in m]  # large, and not needed
    done = subprocess.run(["ninja", "-C", BUILD, "backplane-system-x86_64", *modules],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def a_module_of_1_0_works_in_a_core_whose_descriptors_grew():
    if not os.path.isdir(OLD):
        raise Skip("no stored binary is for this processor")
    copy_tree()
    changed = append_members()
    print("# appended to: " + " ".join(changed), flush=True)
    for name in ("bp_device_class", "bp_module", "bp_command", "bp_isa_interface", "bp_option"):
        assert name in changed, changed
    set_abi(1, 1)
    subprocess.run(["cc", "-std=c11", "-fsyntax-only", "-I", os.path.join(TREE, "module-api"),
                    os.path.join(SOURCE, "module-api/abi/layout-1.0.c")], check=True)
    build()
    with Emulator(PROGRAM, "-machine", "pc", "-device", "sample-scratch,id=s,iobase=0x310",
                  env=ENV) as e:
        assert e.command("qom-get", path="/machine/peripheral/s",
                         property="iobase") == {"return": 0x310}
        loaded = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
        assert loaded["sample-scratch"]["abi"] == "1.0", loaded["sample-scratch"]
        assert loaded["isa"]["abi"] == "1.1", loaded["isa"]
        assert "return" in e.command("system_reset")


def a_module_of_1_0_is_refused_by_another_major():
    if not os.path.isdir(OLD):
        raise Skip("no stored binary is for this processor")
    set_abi(2, 0)
    build()
    said = fails(PROGRAM, "-machine", "pc", "-device", "sample-scratch", env=ENV)
    assert "it was built for abi major 1 (here 2)" in said, said


run([a_module_of_1_0_works_in_a_core_whose_descriptors_grew,
     a_module_of_1_0_is_refused_by_another_major])
