#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""query-boot-timeline: where the time of a boot went, in one that has all phases, and after the guest's reboot."""
import json
import os
import socket
import tempfile
import time

from console import BINARY, Console, Tap, guest_files

PHASES = ("startup", "firmware", "loader", "kernel", "init", "stopped")


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            reply = json.loads(self.lines.readline())
            if "event" not in reply:
                assert "return" in reply, (name, reply)
                return reply["return"]


def is_whole(found, wall):
    parts = sum(found[name] for name in PHASES)
    assert abs(parts - found["total"]) <= len(PHASES), found  # each is rounded
    if wall:
        asked, answered = wall  # since it was started, which takes a busy host its time
        assert 1000 * asked - 5000 <= found["total"] <= 1000 * answered + 50, (found, wall)


def all_phases_are_timed():
    kernel, initrd = guest_files()
    with tempfile.TemporaryDirectory(prefix="backplane-timeline-") as folder:
        path = os.path.join(folder, "qmp")
        begun = time.monotonic()
        console = Console([BINARY, "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio", "-qmp",
                           f"unix:{path},server=on,wait=off", "-bios", "bios-256k.bin", "-kernel", kernel, "-initrd",
                           initrd, "-append", "console=ttyS0"])
        try:
            console.expect("Linux version", 150)
            monitor = Monitor(path)
            found = monitor.command("query-boot-timeline")
            assert found["phase"] in ("loader", "kernel") and found["init"] == 0, found
            console.expect("Backplane guest is up", 200)
            console.expect("# ", 30)
            console.type("i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; echo counted $i\n")
            console.expect("counted 2000", 60)
            asked = time.monotonic() - begun
            found = monitor.command("query-boot-timeline")
            wall = asked, time.monotonic() - begun
            assert found["phase"] == "init" and all(found[name] > 0 for name in PHASES[:5]), found
            assert found["stopped"] == 0, found
            is_whole(found, wall)
            monitor.command("stop")
            time.sleep(0.3)
            monitor.command("cont")
            asked = time.monotonic() - begun
            again = monitor.command("query-boot-timeline")
            assert again["stopped"] >= 300 and again["kernel"] == found["kernel"], (found, again)
            is_whole(again, (asked, time.monotonic() - begun))
            text = monitor.command("human-monitor-command", **{"command-line": "info boot-timeline"})
            assert "firmware" in text and "(now)" in text and "total" in text, text
            monitor.command("system_reset")
            found = monitor.command("query-boot-timeline")
            assert found["startup"] == 0 and found["phase"] in ("firmware", "init"), found
            console.expect("Linux version", 200)
            found = monitor.command("query-boot-timeline")
            assert found["startup"] == 0 and found["firmware"] > 0 and found["init"] == 0, found
            is_whole(found, None)
        finally:
            console.close()


tap = Tap()
tap.case("all_phases_are_timed", all_phases_are_timed)
tap.done()
