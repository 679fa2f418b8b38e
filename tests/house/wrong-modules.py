#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program among modules that are wrong on purpose: it starts, tells of each, and refuses a
device of theirs with one line that names the cause.

usage: wrong-modules.py BUILD-ROOT FOLDER
"""
import os
import subprocess
import sys

from qmp import Emulator, fails
from tap import run

BUILD, FOLDER = sys.argv[1:3]
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
ENV = {"BACKPLANE_MODULE_PATH": FOLDER}
REASONS = {  # device: what the one line must hold
    "broken-abi": "abi major 99 (here 1)",
    "broken-stamp": "exact stamp another-build",
    "broken-table": "no symbol bp_module",
    "broken-symbol": "needs symbol bp_there_is_no_such_function",
    "broken-library": "needs library libbackplane-absent.so.1",
    "broken-init": "the moon is not full",
    "broken-cycle-a": "broken-cycle-a -> broken-cycle-b -> broken-cycle-a",
    "broken-import": "uses interface isa/1 (BP_USE), which its table does not import: BP_IMPORT is",
    "broken-requires": "requires interface broken-absent/3",
    "broken-notes": "broken-hidden, which its notes do not list",
    "test-god": "test-good",
}


def each_refusal_is_one_line_with_its_cause():
    for device, reason in REASONS.items():
        said = fails(PROGRAM, "-machine", "none", "-device", device, env=ENV)
        assert said.count("\n") == 1 and reason in said, "%s: %s" % (device, said)


def the_machine_starts_and_tells_of_them():
    with Emulator(PROGRAM, "-machine", "none", env=ENV) as e:
        assert e.command("query-status")["return"]["status"] in ("running", "prelaunch")
        modules = e.command("query-modules")["return"]["modules"]
        failed = {os.path.basename(m["file"]): m["reason"] for m in modules
                  if m["state"] == "failed"}
        for name, reason in (("wrong-abi.so", "abi major"), ("wrong-stamp.so", "exact stamp"),
                             ("truncated.so", "is truncated"), ("no-elf.so", "not an ELF file"),
                             ("twin.so", "which module test-good")):
            assert reason in failed[name], failed


def device_add_refuses_and_the_machine_goes_on():
    with Emulator(PROGRAM, "-machine", "none", env=ENV) as e:
        reply = e.command("device_add", driver="broken-init", id="x")
        assert "the moon is not full" in reply["error"]["desc"], reply
        assert "return" in e.command("query-status")


def module_dir_option_finds_them_too():
    said = fails(PROGRAM, "-module-dir", FOLDER, "-machine", "none", "-device", "broken-init")
    assert "the moon is not full" in said, said


def device_help_lists_good_ones_among_them():
    listed = subprocess.run([PROGRAM, "-device", "help"], env={**os.environ, **ENV}, timeout=30,
                            capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "test-good" in listed.stdout
    assert "broken-abi" not in listed.stdout


run([each_refusal_is_one_line_with_its_cause, the_machine_starts_and_tells_of_them,
     device_add_refuses_and_the_machine_goes_on, module_dir_option_finds_them_too,
     device_help_lists_good_ones_among_them])
