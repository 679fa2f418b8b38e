#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./dev new-module`: what it writes compiles without warnings, loads and works.

usage: new-module.py SOURCE-ROOT BUILD-ROOT CC
"""
import os
import shutil
import subprocess
import sys

from qmp import Emulator
from tap import run, work_folder

SOURCE, BUILD, CC = sys.argv[1:4]
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-new-module-")
MODULES = os.path.join(WORK, "built")
KINDS = {"device": "modules/hw/misc", "pci-device": "modules/hw/misc", "chardev": "modules/chardev",
         "block-driver": "modules/block", "netdev": "modules/net", "nic": "modules/hw/misc", "display": "modules/ui",
         "object": "modules/object", "command": "modules/commands", "option": "modules/commands",
         "hmp-command": "modules/commands", "framework": "modules/host"}


def tool(*args):
    return subprocess.run([sys.executable, os.path.join(WORK, "tools/new-module.py"), *args],
                          capture_output=True, text=True)


def prepare():
    os.makedirs(MODULES)
    for path in ("tools/new-module.py", "modules/meson.build", "modules/hw/misc/meson.build",
                 "modules/chardev/meson.build", "modules/block/meson.build", "modules/net/meson.build",
                 "modules/object/meson.build", "modules/ui/meson.build",
                 "tests/module/meson.build"):
        os.makedirs(os.path.dirname(os.path.join(WORK, path)), exist_ok=True)
        shutil.copy(os.path.join(SOURCE, path), os.path.join(WORK, path))
    shutil.copytree(os.path.join(SOURCE, "kit/templates"), os.path.join(WORK, "kit/templates"))


def each_kind_is_written_and_compiles_without_warnings():
    for kind, folder in KINDS.items():
        name = "my-" + kind
        made = tool(kind, name)
        assert made.returncode == 0, made.stderr
        built = subprocess.run(
            [*CC.split(), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror",
             "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-shared", "-fPIC",
             "-fvisibility=hidden", "-I", os.path.join(SOURCE, "module-api"),
             "-I", os.path.join(WORK, "module-api"),
             os.path.join(WORK, folder, name + ".c"), "-o", os.path.join(MODULES, name + ".so"),
             "-L", os.path.join(BUILD, "core"), "-lbackplane"], capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        with open(os.path.join(WORK, folder, "meson.build")) as f:
            assert "files('%s.c')" % name in f.read()
        with open(os.path.join(WORK, "tests/module/meson.build")) as f:
            assert "files('test-%s.c')" % name in f.read()
        assert os.path.exists(os.path.join(WORK, "tests/module/test-%s.c" % name))


def what_is_written_loads_and_works():
    with Emulator(PROGRAM, "-machine", "pc", "-device", "my-device,id=d",
                  "-device", "my-pci-device,id=p,addr=5", "-my-option", "3,quiet=on",
                  "-chardev", "my-chardev,id=c", "-blockdev",
                  "driver=my-block-driver,node-name=b", "-netdev", "my-netdev,id=n", "-device", "my-nic,netdev=n", "-object", "my-object,id=o,level=3",
                  "-my-framework", "plain,id=f,level=7", "-display", "my-display",
                  env={"BACKPLANE_MODULE_PATH": MODULES}) as e:
        assert e.command("my-command", value=-7) == {"return": -7}
        assert e.command("qom-get", path="/my-framework/f", property="worked") == {"return": True}
        assert e.command("qom-get", path="/objects/o", property="level") == {"return": 3}
        assert e.command("qom-get", path="/machine/peripheral/d", property="iobase") == {
            "return": 0x300}
        said = e.command("human-monitor-command", command_line="my-hmp-command 42")["return"]
        assert said.strip() == "the value is 42", said
        assert "c" in [c["label"] for c in e.command("query-chardev")["return"]]


def bad_names_and_existing_files_are_refused():
    for args in (("device", "Bad"), ("device", "../x"), ("thing", "x"), ("device",),
                 ("device", "my-device")):
        assert tool(*args).returncode != 0, args


prepare()
run([each_kind_is_written_and_compiles_without_warnings, what_is_written_loads_and_works,
     bad_names_and_existing_files_are_refused])
