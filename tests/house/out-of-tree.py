#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sample outside the tree: built with meson and with the compiler alone, each finding Backplane
by pkg-config only, then loaded with -device.

usage: out-of-tree.py SOURCE-ROOT BUILD-ROOT
"""
import os
import shutil
import subprocess
import sys

from qmp import Emulator
from tap import Skip, run, work_folder

SOURCE, BUILD = sys.argv[1:3]
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-out-of-tree-")
LIBRARY_ENV = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, "core")}
ENV = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "meson-uninstalled")}


def make(*command, **options):
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def device_works(folder):
    with Emulator(PROGRAM, "-machine", "pc", "-device",
                  "sample-scratch,id=s,iobase=0x310", env={"BACKPLANE_MODULE_PATH": folder}) as e:
        reply = e.command("qom-get", path="/machine/peripheral/s", property="iobase")
        assert reply == {"return": 0x310}, reply
        modules = {m["name"]: m for m in e.command("query-modules")["return"]["modules"]}
        assert modules["sample-scratch"]["state"] == "loaded", modules["sample-scratch"]
        assert modules["sample-scratch"]["file"].startswith(folder)


def pkg_config_shows_the_api_alone():
    flags = subprocess.run(["pkg-config", "--cflags", "backplane"], env=ENV, capture_output=True,
                           text=True, check=True).stdout.split()
    folders = [os.path.realpath(f[2:]) for f in flags if f.startswith("-I")]
    assert os.path.realpath(os.path.join(SOURCE, "module-api")) in folders, folders
    core = os.path.realpath(os.path.join(SOURCE, "core"))
    assert not any(f.startswith(core) for f in folders), folders


def built_with_meson_it_loads():
    copy = os.path.join(WORK, "copy")
    shutil.copytree(os.path.join(SOURCE, "samples/out-of-tree"), copy)
    make("meson", "setup", "build", "--werror", cwd=copy)
    # A sanitized fake host does not link with a test that is not.
    make("ninja", "-C", "build", *(["sample-scratch.so"] if os.environ.get("BP_SANITIZED") else []),
         cwd=copy)
    device_works(os.path.join(copy, "build"))


def its_own_test_passes_on_the_fake_host():
    copy = os.path.join(WORK, "copy")
    if os.environ.get("BP_SANITIZED"):
        raise Skip("the fake host is built with a sanitizer, the sample is not")
    listed = subprocess.run(["meson", "test", "-C", "build", "--list"], cwd=copy, env=LIBRARY_ENV,
                            capture_output=True, text=True)
    assert "scratch" in listed.stdout, listed.stdout
    done = subprocess.run(["meson", "test", "-C", "build", "--print-errorlogs"], cwd=copy,
                          env=LIBRARY_ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def built_with_cc_it_loads():
    folder = os.path.join(WORK, "cc")
    os.mkdir(folder)
    make("sh", "-c", '${CC:-cc} -std=c11 -O2 -Wall -shared -fPIC -fvisibility=hidden '
         '$(pkg-config --cflags backplane) "$1" -o "$2" $(pkg-config --libs backplane)', "sh",
         os.path.join(SOURCE, "samples/out-of-tree/sample-scratch.c"),
         os.path.join(folder, "sample-scratch.so"))
    device_works(folder)


run([pkg_config_shows_the_api_alone, built_with_meson_it_loads,
     its_own_test_passes_on_the_fake_host, built_with_cc_it_loads])
