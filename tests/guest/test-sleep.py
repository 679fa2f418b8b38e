#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel suspends to RAM and wakes: by the clock's alarm, the power button and system_wakeup; with SeaBIOS and
without firmware, on pc and q35. What ran before goes on after it."""
import json
import os
import socket
import sys
import tempfile

import disk
from console import BINARY, Console, Tap, needed

BOOT_SECONDS = 400


class Monitor:
    """QMP; its events are kept."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(300)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.events = []
        self.lines.readline()
        self.command("qmp_capabilities")

    def message(self):
        text = self.lines.readline()
        assert text, "the monitor ended"
        return json.loads(text)

    def command(self, name):
        self.socket.sendall(json.dumps({"execute": name}).encode() + b"\n")
        while True:
            reply = self.message()
            if "event" not in reply:
                assert "return" in reply, (name, reply)
                return reply["return"]
            self.events.append(reply["event"])

    def wait(self, event):
        while event not in self.events:
            message = self.message()
            if "event" in message:
                self.events.append(message["event"])
        del self.events[:self.events.index(event) + 1]


def boot(folder, *args):
    kernel, initrd = needed(disk.guest)
    path = os.path.join(folder, "qmp")
    console = Console([BINARY, "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio", "-qmp",
                       f"unix:{path},server=on,wait=off", "-kernel", kernel, "-initrd", initrd,
                       "-append", "console=ttyS0 no_console_suspend", *args])
    console.expect("Disk guest is up", BOOT_SECONDS)
    console.expect("# ", 60)
    return console, Monitor(path)


def run(console, command, seconds=120):
    console.type(command + "; echo; echo en''d\n")
    text = console.expect("\nend", seconds)
    console.expect("# ", 60)
    return text.replace("\r", "")


def go_to_sleep(console, alarm=""):
    console.type(f"{alarm}sync; echo mem > /sys/power/state; echo awa''ke; echo $((6 * 7))\n")


def is_awake(console):
    console.expect("awake", 200)
    console.expect("42", 20)
    console.expect("# ", 20)


def sleeps_and_wakes(ways, *args):
    with tempfile.TemporaryDirectory(prefix="backplane-sleep-") as folder:
        console, monitor = boot(folder, *args)
        try:
            text = run(console, "cat /sys/power/mem_sleep; dmesg | grep 'supports S'")
            assert "deep" in text and "S0 S3 S4 S5" in text, text
            run(console, "mkdir -p /kept; echo kept > /kept/file; sleep 100000 & echo $! > /kept/pid")
            for way in ways:
                alarm = "echo 0 > /sys/class/rtc/rtc0/wakealarm; echo +4 > /sys/class/rtc/rtc0/wakealarm; "
                go_to_sleep(console, alarm if way == "alarm" else "")
                monitor.wait("SUSPEND")
                if way == "alarm":
                    pass
                elif way == "button":
                    assert monitor.command("query-status")["status"] == "suspended"
                    monitor.command("system_powerdown")
                else:
                    monitor.command("system_wakeup")
                monitor.wait("WAKEUP")
                is_awake(console)
            text = run(console, "cat /kept/file; kill -0 $(cat /kept/pid) && echo the job is the''re; "
                       "echo came back $(cat /sys/power/suspend_stats/success) times; "
                       "dmesg | grep -E 'BUG|Call Trace|Oops|hung' || echo nothing ba''d")
            for wanted in ("kept", "the job is there", f"came back {len(ways)} times", "nothing bad"):
                assert wanted in text, (wanted, text)
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


CASES = (
    ("pc_sleeps_and_wakes_with_seabios", ("alarm", "button", "monitor"), "-M", "pc", "-bios", "bios-256k.bin"),
    ("q35_sleeps_and_wakes_with_seabios", ("alarm", "monitor"), "-M", "q35", "-bios", "bios-256k.bin"),
    ("pc_sleeps_and_wakes_without_firmware", ("alarm", "button"), "-M", "pc", "-smp", "2"),
    ("q35_sleeps_and_wakes_without_firmware", ("alarm",), "-M", "q35"),
)
tap = Tap()
for name, *rest in CASES:
    if len(sys.argv) < 2 or name in sys.argv[1:]:
        tap.case(name, sleeps_and_wakes, *rest)
tap.done()
