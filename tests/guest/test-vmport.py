#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMware's port: what it answers is the same on each accelerator; a kernel that believes that it runs on VMware takes
its clock from there, and its driver the pointer."""
import os
import re
import socket
import sys
import time
import uuid

import linux
from console import BINARY, SLOW, TOP, Console
from small import Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
import tap  # noqa: E402

guests = Guests()
ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
UNKNOWN, ERROR, VERSION_ID, MAGIC = 0xffffffff, 0xffff0000, 0x3442554a, 0x564d5868
# It takes itself for VMware's guest by the serial number when no hypervisor is told by CPUID.
VMWARE = ("-cpu", "qemu64,hypervisor=off", "-smbios", "type=1,serial=VMware-56 4d 00")


def answers(*options):
    """Of each question the four registers."""
    if lacking():
        raise tap.Skip(lacking())
    text = guests.text("vmport", *options, seconds=120 * SLOW)
    found = {"hostile": [int(re.search(r"^hostile ([0-9a-f]{8})", text, re.M).group(1), 16)]}
    for name, registers in re.findall(r"^([a-z]+)\r?\n((?:e.x [0-9a-f]{8}\r?\n){4})", text, re.M):
        found[name] = [int(word, 16) for word in re.findall(r" ([0-9a-f]{8})", registers)]
    assert len(found) == 26, text
    return found


def hostile_sum():
    """What the guest's last question comes to: how the mouse has to answer."""
    arguments = (0x45414552, 0x45414552, 0x4c455252, 0x53424152, 0xf5, 0, 1, UNKNOWN)
    seed, total, on, failed, queue = 1, 0, False, False, []
    for _ in range(3000):
        seed = (seed * 1664525 + 1013904223) & UNKNOWN
        argument, command, eax = arguments[seed >> 29], 39 + (seed >> 16 & 0xff) % 3, 0
        if command == 40:
            eax = ERROR if failed or not on else len(queue)
        elif command == 41 and argument in (0x45414552, 0xf5):
            on, failed = argument != 0xf5, False
            queue = [VERSION_ID] if on else []
        elif command == 39 and on and not failed and 0 < argument <= len(queue):
            eax = queue.pop()
        elif command == 39:
            failed = True
        total = (total * 31 + eax) & UNKNOWN
    return total


def port_answers(accel):
    seen = answers("-accel", accel, "-uuid", str(ID))
    eax = {name: registers[0] for name, registers in seen.items()}
    assert seen["version"] == [6, MAGIC, 2, 0xee005658], seen
    assert b"".join(word.to_bytes(4, "little") for word in seen["uuid"]) == ID.bytes, seen
    assert eax["memory"] == 64 and eax["vcpu"] == 8, seen
    assert seen["hz"][0] // 1000000 == eax["mhz"] and seen["hz"][1:3] == [0, seen["hz"][0]], seen
    assert 1.6e9 < eax["time"] < 2 ** 32 and seen["time"][1] < 1000000 and seen["time"][2:] == [1000000, 0], seen
    # Neither a command nor the magic number that is not known changes a register but EAX.
    for name, ebx, ecx in (("restrict", 1, 86), ("unknown", 5, 99), ("far", 6, 0xffff), ("magic", 7, 10)):
        assert seen[name] == [UNKNOWN, ebx, ecx, 0xee005658], (name, seen)
    assert seen["high"] == seen["version"], "the upper half of ECX is no part of the command"
    # The mouse: until it is enabled, when too much was asked for and when it is off its status is an error.
    assert [eax[name] for name in ("disabled", "enable", "status", "id", "empty", "none", "error", "again", "two",
                                   "absolute", "kept", "off", "gone")] == [
        ERROR, 0, 1, VERSION_ID, 0, 0, ERROR, 0, 1, 0, 1, 0, ERROR], seen
    assert eax["hostile"] == hostile_sum(), seen


def port_answers_interp():
    port_answers("interp")


def port_answers_tcg():
    port_answers("tcg")


def port_answers_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("/dev/kvm is missing, or not for this user")
    port_answers("kvm")


def switched_off_nobody_answers():
    for given in ("vmport=off", "i8042=off"):
        seen = answers("-M", "pc," + given)
        assert all(registers[0] == UNKNOWN for name, registers in seen.items() if name != "hostile"), (given, seen)
    seen = answers("-M", "pc,vmport=on,i8042=off")
    assert seen["version"][0] == 6 and seen["disabled"][0] == seen["enable"][0] == UNKNOWN, seen
    seen = answers("-global", "vmport.vmware-vmx-version=9", "-global", "vmport.vmware-vmx-type=4")
    assert seen["version"][0] == 9 and seen["version"][2] == 4, seen


class Mouse:
    """The small guest that does what letters say, and a monitor."""

    def __init__(self, accel):
        if lacking():
            raise tap.Skip(lacking())
        path = os.path.join(guests.folder.name, "qmp-" + accel)
        self.console = Console([BINARY, "-accel", accel, "-m", "64", "-nodefaults", "-display", "none",
                                "-serial", "stdio", "-qmp", f"unix:{path},server=on,wait=off",
                                "-kernel", guests.image("vmmouse")])
        end = time.monotonic() + 60 * SLOW
        while not os.path.exists(path):
            assert time.monotonic() < end
            time.sleep(0.1)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()
        self.qmp("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.console.close()

    qmp = linux.Guest.qmp
    events = []

    def do(self, letters):
        for letter in letters:
            self.console.type(letter)
            text = self.console.expect("so\r", 120)
        return text

    def fetch(self):
        """Was there something to say, and the packets."""
        numbers = [int(word, 16) for word in re.findall(r"^\w+ ([0-9a-f]{8})", self.do("d"), re.M)]
        return numbers[0], list(zip(*[iter(numbers[1:])] * 4))


def more_than_it_holds_comes_in_order():
    with Mouse("tcg") as m:
        m.do("pa")
        for n in range(400):
            send(m, ("x", n), ("y", 32767 - n))
        nudged, packets = m.fetch()
        assert nudged == 0x21, nudged
        end = time.monotonic() + 60 * SLOW
        while len(packets) < 400 and time.monotonic() < end:
            packets += m.fetch()[1]
        scaled = [n * 65535 // 32767 for n in range(32768)]
        assert packets == [(0, scaled[n], scaled[32767 - n], 0) for n in range(400)], (len(packets), packets[-3:])
        send(m, ("left", True), ("right", True), ("middle", True))
        send(m, ("x", 5), ("left", False), ("right", False), ("middle", False))
        assert [p[0] for p in m.fetch()[1]] == [0x20, 0x30, 0x38, 0x38, 0x18, 0x08, 0]
        # A reset of its mode forgets what was there.
        send(m, ("x", 7))
        m.do("a")
        assert m.fetch()[1] == []


def relative_it_tells_ways():
    with Mouse("interp") as m:
        m.do("r")
        send(m, ("dx", 3), ("dy", 4))
        nudged, packets = m.fetch()
        assert nudged == 0, "the PS/2 mouse is off: it says nothing"
        m.do("p")
        send(m, ("dx", -300), ("dy", -2), ("dx", 1))
        send(m, ("wheel-down", True), ("wheel-down", False))
        send(m, ("wheel-up", True), ("wheel-up", False), ("dx", 1))
        nudged, more = m.fetch()
        assert nudged == 0x21, nudged
        assert packets + more == [(0x10000, 3, UNKNOWN + 1 - 4, 0), (0x10000, UNKNOWN + 1 - 299, 2, 0),
                                  (0x10000, 0, 0, 1), (0x10000, 1, 0, UNKNOWN)], packets + more


def events(guest, act):
    """What came from the mouse (type, code, value) when act() was called."""
    guest.run("for e in 1 2 3 4; do grep -q VMMouse /sys/class/input/event$e/device/name && cat /dev/input/event$e > "
              "/tmp/e$e & done; sleep 1")
    act()
    for _ in range(60):
        text = guest.run("sleep 1; cat /tmp/e? | hexdump -v -e '12/2 \"%04x \" \"\\n\"'")
        words = [[int(word, 16) for word in line.split()] for line in text.split("\n") if len(line.split()) == 12]
        found = [(w[8], w[9], w[10] | w[11] << 16) for w in words if w[8] in (1, 2, 3)]
        if found:
            break
    guest.run("kill $(jobs -p); rm /tmp/e?")
    return found


def send(guest, *given):
    axes = {"x": ("abs", "x"), "y": ("abs", "y"), "dx": ("rel", "x"), "dy": ("rel", "y")}
    guest.qmp("input-send-event", events=[
        {"type": axes[name][0], "data": {"axis": axes[name][1], "value": value}} if name in axes else
        {"type": "btn", "data": {"button": name, "down": value}} for name, value in given])


def driver_of_vmware_has_the_pointer():
    with linux.Guest("-m", "256", *VMWARE, drivers=("psmouse", "evdev")) as guest:
        told = guest.run("dmesg")
        assert "Hypervisor detected: VMware" in told and "TSC freq read from hypervisor : 1000.000 MHz" in told, told
        devices = guest.run("cat /proc/bus/input/devices")
        assert devices.count('Name="VirtualPS/2 VMware VMMouse"') == 2 and "Version=0006" in devices, devices
        mice = guest.hmp("info mice")
        assert re.search(r"^\* Mouse #\d+: VMware mouse \(absolute\)", mice, re.M) and "PS/2 Mouse" in mice, mice
        seen = events(guest, lambda: send(guest, ("x", 16384), ("y", 32767), ("left", True)))
        assert {(3, 0, 0x8000), (3, 1, 0xffff), (1, 0x110, 1)} <= set(seen), seen
        # A click within one gesture, and a wheel.
        seen = events(guest, lambda: send(guest, ("left", False), ("middle", True), ("middle", False), ("x", 0),
                                          ("wheel-up", True), ("wheel-up", False)))
        assert [e for e in seen if e[1] == 0x112] == [(1, 0x112, 1), (1, 0x112, 0)], seen
        assert {(1, 0x110, 0), (3, 0, 0), (2, 8, 1)} <= set(seen), seen
        # Unloaded the PS/2 mouse is what there is.
        guest.run("rmmod psmouse")
        mice = guest.hmp("info mice")
        assert "VMware" not in mice and "* Mouse" in mice, mice


try:
    tap.run([port_answers_interp, port_answers_tcg, port_answers_kvm, switched_off_nobody_answers,
             more_than_it_holds_comes_in_order, relative_it_tells_ways, driver_of_vmware_has_the_pointer])
finally:
    guests.close()
