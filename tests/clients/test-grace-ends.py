#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines whose grace periods end at once, and whose freed memory is overwritten: nothing is looked at after it was
given up, while devices come and go, at a reset, and when the machine ends.

usage: test-grace-ends.py SOURCE-ROOT BUILD-ROOT SHIM
"""
import json
import os
import subprocess
import sys

SOURCE, BUILD, SHIM = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
from tap import run  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
CARDS = ("edu", "e1000", "rtl8139", "virtio-rng-pci", "virtio-serial-pci", "virtio-balloon-pci", "qemu-xhci", "AC97",
         "virtio-vga", "pci-testdev")


def lives(machine, accel, *commands):
    said = "".join(json.dumps({"execute": name, "arguments": arguments})
                   for name, arguments in (("qmp_capabilities", {}), *commands, ("quit", {})))
    done = subprocess.run((PROGRAM, "-M", machine, "-accel", accel, "-nodefaults", "-display", "none", "-qmp", "stdio",
                           "-boot", "reboot-timeout=1"), input=said, capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "LD_PRELOAD": SHIM, "MALLOC_PERTURB_": "165"})
    assert done.returncode == 0 and "signal" not in done.stderr, (machine, accel, done)
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum("return" in r for r in replies) == len(commands) + 2, replies


def machines_end():
    for machine in ("pc", "q35", "microvm", "isapc", "none"):
        for accel in ("tcg", "interp", "qtest"):
            lives(machine, accel)


def machines_end_after_a_reset():
    for machine in ("pc", "q35"):
        for accel in ("tcg", "interp"):
            lives(machine, accel, ("system_reset", {}), ("stop", {}), ("cont", {}), ("system_reset", {}))


def cards_come_and_go():
    """The guest has no driver that lets one go: a reset does."""
    for accel in ("tcg", "interp", "qtest"):
        lives("pc", accel, *[("device_add", {"driver": card, "id": card}) for card in CARDS], ("query-pci", {}),
              ("system_reset", {}), *[("device_del", {"id": card}) for card in CARDS], ("stop", {}),
              ("system_reset", {}), ("query-pci", {}), ("cont", {}))


run([machines_end, machines_end_after_a_reset, cards_come_and_go])
