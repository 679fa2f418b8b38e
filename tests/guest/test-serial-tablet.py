#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A serial tablet with Linux's driver of Wacom's protocol IV: where the pen is, its tip and its switches."""
import re

from console import Tap
from linux import Guest
from packages import package_tree

TYPES = {(0, 0): "sync", (1, 0x140): "pen", (1, 0x14A): "tip", (1, 0x14B): "switch", (1, 0x141): "eraser",
         (3, 0): "x", (3, 1): "y", (3, 0x18): "pressure"}


class Tablet:
    def __init__(self):
        self.guest = Guest("-M", "pc", "-m", "256", "-nic", "none", "-serial", "wctablet",
                           drivers=("serport", "wacom_serial4", "evdev"),
                           programs=(package_tree("inputattach") + "/usr/bin/inputattach",))
        self.guest.run("inputattach --wacom_iv --daemon /dev/ttyS1; sleep 1")
        self.devices = self.guest.run("cat /proc/bus/input/devices")
        self.event = re.search(r'N: Name="(Wacom[^"]*)".*?H: Handlers=.*?(event\d+)', self.devices, re.S)

    def events(self, *sent):
        """What the guest's driver makes of events that are sent together, one group after another: each when what the
        one before it caused has come."""
        self.guest.run("rm -f /tmp/events; (dd if=/dev/input/%s bs=24 of=/tmp/events 2>/dev/null &)" % self.event[2])
        self.guest.run("for i in $(seq 200); do ls -l /proc/$(pidof dd)/fd | grep -q %s && break; sleep 0.1; done"
                       % self.event[2])
        for group in sent:
            size = int(self.guest.run("stat -c 'size %s' /tmp/events").split("size ")[1].split()[0])
            self.guest.qmp("input-send-event", events=group)
            self.guest.run("for i in $(seq 200); do [ $(stat -c %%s /tmp/events) -gt %d ] && break; sleep 0.1; done; sleep 0.1"
                           % size)
        self.guest.run("killall dd")
        words = re.findall(r"[0-9a-f]{2}", self.guest.run("od -An -v -t x1 /tmp/events | tr -d '\\n'"))
        data = bytes(int(w, 16) for w in words)
        found = []
        for at in range(0, len(data) - 23, 24):
            kind, code = int.from_bytes(data[at + 16:at + 18], "little"), int.from_bytes(data[at + 18:at + 20], "little")
            found.append((TYPES.get((kind, code), (kind, code)), int.from_bytes(data[at + 20:at + 24], "little")))
        return [e for e in found if e[0] != "sync"]


def at(x, y):
    return [{"type": "abs", "data": {"axis": axis, "value": value}} for axis, value in (("x", x), ("y", y))]


def button(name, down):
    return [{"type": "btn", "data": {"button": name, "down": down}}]


def driver_knows_it(tablet):
    assert tablet.event and "PenPartner" in tablet.event[1] or "Penpartner" in tablet.event[1], tablet.devices
    text = tablet.guest.run("dmesg | grep -i wacom")
    assert "5040" in text or "1.3" in text or "Wacom" in text, text


def pen_moves(tablet):
    found = tablet.events(at(0, 0), at(16384, 32767))
    assert ("pen", 1) in found and ("x", 2519) in found and ("y", 3779) in found, found


def tip_and_switches_are_told(tablet):
    found = tablet.events(at(10000, 10000), button("left", True), button("left", False), button("right", True),
                          button("right", False), button("middle", True), button("middle", False))
    keys = [e for e in found if e[0] in ("tip", "switch", "eraser")]
    assert keys == [(k, v) for k in ("tip", "switch", "eraser") for v in (1, 0)], found
    pressures = [v for k, v in found if k == "pressure"]
    assert pressures == [254, 0], found


def it_is_a_pointer_of_the_machine(tablet):
    mice = tablet.guest.qmp("query-mice")
    assert any(m["name"] == "Wacom PenPartner" and m["absolute"] and m["current"] for m in mice), mice


if __name__ == "__main__":
    tap = Tap()
    tablet = Tablet()
    with tablet.guest:
        for case in (driver_knows_it, it_is_a_pointer_of_the_machine, pen_moves, tip_and_switches_are_told):
            tap.case(case.__name__, case, tablet)
    tap.done()
