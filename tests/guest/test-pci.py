#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel on board q35: buses behind ports, switches and bridges are found, cards come and go while it
runs."""
import json
import os
import socket

from console import BINARY, Console, Tap, guest_files
from firmware import Firmware
from tap import work_folder

KERNEL, INITRD = guest_files()
WORK = work_folder("guest-pci-")
BOOT_SECONDS = 240
ROUNDS = int(os.environ.get("BACKPLANE_ROUNDS", "3"))
TREE = ["-device", "pcie-root-port,id=rp0,addr=3,chassis=1", "-device", "edu,bus=rp0",
        "-device", "pcie-root-port,id=rp1,addr=4,chassis=2",
        "-device", "pcie-root-port,id=rp2,addr=5,chassis=3", "-device", "x3130-upstream,bus=rp2,id=up",
        "-device", "xio3130-downstream,bus=up,id=d0,addr=0,chassis=4", "-device", "edu,bus=d0",
        "-device", "pcie-root-port,id=rp3,addr=6,chassis=5", "-device", "pcie-pci-bridge,bus=rp3,id=p",
        "-device", "edu,bus=p,addr=2", "-device", "i82801b11-bridge,id=dmi,addr=1e",
        "-device", "pci-bridge,bus=dmi,id=br,addr=1,chassis_nr=6", "-device", "edu,bus=br,addr=7"]


class Guest:
    def __init__(self, *extra, append="console=ttyS0"):
        path = os.path.join(WORK, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        self.console = Console([BINARY, "-m", "512", "-nographic", "-kernel", KERNEL, "-initrd", INITRD, "-append",
                                append, "-qmp", "unix:%s,server=on,wait=off" % path, *extra])
        self.log = self.console.expect("Backplane guest is up", BOOT_SECONDS)
        self.console.expect("# ", 60)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(300)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.events = []
        self.qmp("qmp_capabilities")

    def qmp(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" in reply:
                self.events.append(reply)
            assert "error" not in reply, reply
            if "return" in reply:
                return reply["return"]

    def event(self, name):
        """The data of the next one of this name; others stay."""
        while True:
            for at, seen in enumerate(self.events):
                if seen["event"] == name:
                    return self.events.pop(at)["data"]
            self.events.append(json.loads(self.file.readline()))

    def ask(self, command, answer, seconds=60):
        self.console.type(command + "\n")
        return self.console.expect(answer, seconds)

    def wait_for(self, condition, seconds=60):
        self.ask("n=0; while ! (%s) && [ $n -lt %d ]; do sleep 1; n=$((n+1)); done; (%s) && echo ye''s"
                 % (condition, seconds, condition), "\nyes", 3 * seconds)

    def close(self):
        self.socket.close()
        self.console.close()


def guest(*extra, **more):
    def with_guest(function):
        def run():
            g = Guest(*extra, **more)
            try:
                function(g)
                g.console.type("poweroff -f\n")
                assert g.console.wait(120) == 0
            finally:
                g.close()
        return run
    return with_guest


@guest("-M", "q35", *TREE, "-smp", "2")
def every_function_is_found(g):
    for line in g.log.splitlines():
        bad = "ACPI Error" in line or "ACPI BIOS Error" in line or "BAR" in line and "failed" in line or \
            "can't" in line and "pci" in line or "firmware bug" in line.lower()
        assert not bad, line
    seen = g.ask("cat /sys/bus/pci/devices/*/uevent | grep PCI_ID | sort | uniq -c; echo en''d", "\nend")
    for ids, number in (("8086:29C0", 1), ("8086:2918", 1), ("8086:2930", 1), ("1234:11E8", 4), ("1B36:000C", 4),
                        ("104C:8232", 1), ("104C:8233", 1), ("1B36:000E", 1), ("1B36:0001", 1), ("8086:244E", 1)):
        assert "%d PCI_ID=%s" % (number, ids) in seen, (ids, seen)
    # Each has its BAR inside the windows of the bridges above it.
    g.ask("for d in /sys/bus/pci/devices/*; do read a b c < $d/resource; echo $(cat $d/device) $a; done "
          "| grep -c '0x11e8 0x00000000[c-f]'; echo en''d", "\n4")
    assert "MMCONFIG" in g.log


def come_and_go(g, where, bus, **place):
    there = "grep -q 1234:11E8 %s 2>/dev/null" % where
    for _ in range(2):
        g.qmp("device_add", driver="edu", bus=bus, id="card", **place)
        g.wait_for(there)
        g.qmp("device_del", id="card")
        g.wait_for("! " + there)
        for _ in range(60):
            names = [d["name"] for d in g.qmp("qom-list", path="/machine/peripheral")]
            if "card" not in names:
                break
            g.ask("sleep 1; echo slep''t", "slept")
        assert "card" not in names, "the guest let go of it, and it stays"


@guest("-M", "q35", *TREE)
def cards_come_and_go_in_ports(g):
    come_and_go(g, "/sys/bus/pci/devices/0000:00:04.0/*/uevent", "rp1")


@guest("-M", "pc", "-device", "pci-bridge,id=br,addr=6,chassis_nr=1")
def cards_come_and_go_by_acpi(g):
    come_and_go(g, "/sys/bus/pci/devices/0000:00:05.0/uevent", "pci.0", addr="5")
    come_and_go(g, "/sys/bus/pci/devices/0000:01:03.0/uevent", "br", addr="3")


CPU = "/sys/devices/system/cpu/cpu%d"


def processor_comes(g, name, core, number, count):
    """It is the guest's processor `number` then, of so many."""
    g.qmp("device_add", driver="qemu64-x86_64-cpu", id=name, **{"socket-id": 0, "core-id": core, "thread-id": 0})
    g.wait_for("echo 1 > %s/online && [ $(grep -c ^processor /proc/cpuinfo) = %d ]" % (CPU % number, count))


def processor_goes(g, name, count):
    g.qmp("device_del", id=name)
    assert g.event("DEVICE_DELETED") == {"device": name, "path": "/machine/peripheral/" + name}
    g.wait_for("[ $(grep -c ^processor /proc/cpuinfo) = %d ]" % count)


def processors_come_and_go(g):
    processor_comes(g, "c2", 2, 1, 2)
    processor_comes(g, "c1", 1, 2, 3)
    # The kernel takes one offline by itself that it is asked for, and ejects it.
    processor_goes(g, "c2", 2)
    assert [c["cpu-index"] for c in g.qmp("query-cpus-fast")] == [0, 1]
    g.wait_for("[ ! -d %s ]" % CPU % 1)
    # It is as a new one when it comes again, while the others work.
    g.console.type("(while :; do :; done) & (while :; do :; done) &\n")
    for n in range(ROUNDS):
        processor_comes(g, "again%d" % n, 2, 1, 3)
        processor_goes(g, "again%d" % n, 2)
    said = [e["data"]["info"] for e in g.events if e["event"] == "ACPI_DEVICE_OST"]
    assert {(i["slot-type"], i["source"], i["status"]) for i in said} - {("CPU", 3, 0)} == \
        {("CPU", 1, 0), ("CPU", 3, 132)}, said  # 132: it is under way
    # Or the guest gives it back unasked.
    g.console.type("echo 1 > $(readlink -f %s/firmware_node)/eject\n" % CPU % 2)
    assert g.event("DEVICE_DELETED")["device"] == "c1"
    g.wait_for("[ $(grep -c ^processor /proc/cpuinfo) = 1 ] && ! dmesg | grep 'Eject incomplete'")


def firmware_sets_q35_up():
    with Firmware("-machine", "q35", *TREE) as machine:
        debug = machine.expect("debug", "No bootable device.")
    assert "PCIe: using q35 mmconfig at 0xb0000000" in debug and "Found 4 cpu" not in debug, debug
    assert "PCI: init bdf=00:1f.0 id=8086:2918" in debug and "Using pmtimer, ioport 0x608" in debug, debug
    assert "ACPI: parse DSDT at" in debug, debug
    # It found what is behind the bridges, gave it numbers, and opened windows for it.
    for function in ("id=1b36:000c", "id=104c:8233", "id=1b36:0001", "id=1234:11e8"):
        assert function in debug, (function, debug)


tap = Tap()
tap.case("firmware_sets_q35_up", firmware_sets_q35_up)
tap.case("every_function_behind_ports_and_bridges_is_found", every_function_is_found)
tap.case("cards_come_and_go_in_ports", cards_come_and_go_in_ports)
tap.case("cards_come_and_go_by_acpi", cards_come_and_go_by_acpi)
tap.case("processors_come_and_go_on_pc", guest("-M", "pc", "-smp", "1,maxcpus=4")(processors_come_and_go))
tap.case("processors_come_and_go_on_q35", guest("-M", "q35", "-smp", "1,maxcpus=4", "-accel", "tcg,thread=single")(processors_come_and_go))
tap.done()
