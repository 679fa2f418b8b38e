#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of a guest's accesses leaves /dev/kvm, as query-stats counts it: doorbells do not. The same guests see the same
machine under the interpreter. One visible line says so where there is no KVM."""
import json
import os
import subprocess
import sys

import gdb
from console import BINARY, SLOW
from small import TOP, Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
import tap  # noqa: E402

WAIT = 60 * SLOW
guests = Guests()
FOLDER = tap.work_folder("backplane-kvm-exits-")
SPLIT, OFF = "kvm,kernel-irqchip=split", "kvm,kernel-irqchip=off"


def need_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("/dev/kvm is missing, or not for this user: nothing runs on the host's processor here")
    if lacking():
        raise tap.Skip(lacking())


class Machine:
    """A small guest that takes bytes by COM1, and what is counted of it."""

    def __init__(self, accel, guest, *extra):
        path = os.path.join(FOLDER, "serial")
        self.process = subprocess.Popen(
            [BINARY, "-accel", accel, "-m", "64", "-nodefaults", "-display", "none", "-qmp", "stdio", "-kernel",
             guests.image(guest), "-serial", "unix:%s,server=on,wait=off" % path, "-S", *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.kvm = accel.startswith("kvm")
        self.ask("qmp_capabilities")
        self.wire = gdb.connect(path)
        self.wire.settimeout(WAIT)
        self.lines = self.wire.makefile("r", encoding="latin-1", newline="\n")
        self.ask("cont")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wire.close()
        self.process.kill()
        self.process.communicate()

    def ask(self, command, **arguments):
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}))
        self.process.stdin.flush()
        while True:
            message = json.loads(self.process.stdout.readline())
            assert "error" not in message, message
            if "return" in message:
                return message["return"]

    def until(self, word):
        """The numbers of the guest's lines up to the one of this name."""
        seen = {}
        while word not in seen:
            line = self.lines.readline().split()
            assert line, (seen, "the guest is silent")
            seen[line[0]] = int(line[1], 16) if len(line) > 1 else None
        return seen

    def send(self, text, word):
        self.wire.sendall(text.encode())
        return self.until(word)

    def count(self, name):
        """Of the machine, or of all processors."""
        seen = [s["value"] for target in ("vm", "vcpu") for r in self.ask("query-stats", target=target)
                for s in r["stats"] if s["name"] == name]
        assert seen, name
        return sum(seen)

    def made(self, name, text, word):
        """How much is counted meanwhile; and what the guest said."""
        before = self.count(name) if self.kvm else 0
        seen = self.send(text, word)
        return (self.count(name) if self.kvm else 0) - before, seen


TESTDEV = ("-device", "pci-testdev,addr=5")
WRITES = 1000


def doorbells_do_not_leave_the_guest():
    """Of memory and of ports, with any value and with one: the device hears of them, and there are no exits but those of
    its header."""
    need_kvm()
    for accel in ("interp", "kvm", SPLIT, OFF):
        with Machine(accel, "bells", *TESTDEV) as m:
            m.until("ready")
            for name, first in (("user_mmio_exits", 0), ("user_io_exits", 3)):
                left, seen = m.made(name, str(first), "count")
                assert seen["count"] == WRITES and (left > WRITES or not m.kvm), (accel, name, left, seen)
                for test, most in ((1, 200), (2, 200)):
                    left, seen = m.made(name, str(first + test), "count")
                    assert 1 <= seen["count"] <= WRITES + 1 and left < most, (accel, name, test, left, seen)
                    if m.kvm:
                        assert m.count("ioeventfds") == 1 + (first > 0), m.count("ioeventfds")


def doorbells_follow_their_region():
    need_kvm()
    for accel in ("interp", "kvm"):
        with Machine(accel, "bells", *TESTDEV) as m:
            m.until("ready")
            m.send("2", "count")
            for _ in range(4):
                left, seen = m.made("user_mmio_exits", "m", "count")
                assert 1 <= seen["count"] - seen["before"] <= WRITES and left < 200, (accel, left, seen)
            m.ask("stop")
            m.ask("cont")
            left, seen = m.made("user_mmio_exits", "2", "count")
            assert seen["count"] >= 1 and left < 200, (left, seen)
            m.send("0", "count")  # its bell goes
            if m.kvm:
                assert m.count("ioeventfds") == 0
            m.send("q", "done")


try:
    tap.run([doorbells_do_not_leave_the_guest, doorbells_follow_their_region])
finally:
    guests.close()
