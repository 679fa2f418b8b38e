#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel that panics says so by its own drivers of pvpanic, and the host does what it was told to do then."""
import json
import os
import socket
import subprocess
import sys
import tempfile

import disk
from console import BINARY, SLOW, Console, Tap

DRIVERS = ("pvpanic_pci", "pvpanic_mmio")


def panics(*device):
    """Ends the process: its exit status, and the events that came until then."""
    kernel, initrd = disk.guest(DRIVERS)
    with tempfile.TemporaryDirectory(prefix="backplane-panic-") as folder:
        path = os.path.join(folder, "qmp")
        console = Console([BINARY, "-m", "512", "-nographic", "-nodefaults", "-serial", "stdio", "-kernel", kernel, "-initrd",
                           initrd, "-append", "console=ttyS0 quiet", "-qmp", f"unix:{path},server=on,wait=off", *device])
        try:
            console.expect("Disk guest is up", 400)
            console.expect("# ", 60)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(120 * SLOW)
                s.connect(path)
                with s.makefile("rw") as lines:
                    lines.readline()
                    lines.write('{"execute": "qmp_capabilities"}\n')
                    lines.flush()
                    lines.readline()
                    console.type("mount -t proc proc /proc 2>/dev/null; echo c > /proc/sysrq-trigger\n")
                    events = [json.loads(line) for line in lines]
            status = console.wait(60)
        finally:
            console.close()
    return status, events


def kernel_tells(device):
    for action, wanted, ends in (("shutdown", "poweroff", 0), ("exit-failure", "poweroff", 1)):
        status, events = panics("-device", device, "-action", "panic=" + action)
        assert status == ends, (action, status, events)
        told = [event["data"] for event in events if event["event"] == "GUEST_PANICKED"]
        assert told and told[0]["action"] == wanted, (action, events)
        assert any(event["event"] == "SHUTDOWN" and event["data"]["reason"] == "guest-panic" for event in events), events


tap = Tap()
try:
    disk.guest(DRIVERS)
except (OSError, subprocess.SubprocessError) as error:
    print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
else:
    for name, device in (("kernels_driver_of_the_pci_card_tells", "pvpanic-pci"),
                         ("kernels_driver_of_the_isa_device_tells", "pvpanic")):
        if name in (sys.argv[1:] or [name]):
            tap.case(name, kernel_tells, device)
    tap.done()
