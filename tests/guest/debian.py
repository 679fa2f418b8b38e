# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian system that starts from its own disk (root.py), as somebody at its serial console and at the monitor."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import root
from console import BINARY, SLOW, TOP, Console
from disk import SPARED

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import work_folder  # noqa: E402

OVMF = ["/usr/share/OVMF/OVMF_%s_4M.fd" % name for name in ("CODE", "VARS")]
BOOT_SECONDS = 900  # a busy computer that interprets
WORK = work_folder("guest-debian-", root.CACHE if os.path.isdir(root.CACHE) else None)
# How the disk is connected, by name: board, options (IMAGE, FLOPPY)
DISKS = {
    "ide": ("pc", ["-drive", "file=IMAGE,format=raw"]),
    "ahci": ("q35", ["-drive", "file=IMAGE,format=raw"]),
    "ahci-of-pc": ("pc", ["-device", "ahci,id=sata", "-drive", "file=IMAGE,format=raw,if=none,id=root", "-device",
                          "ide-hd,drive=root,bus=sata.0,bootindex=1"]),
    "floppy": ("pc", ["-drive", "file=FLOPPY,format=raw,if=floppy", "-drive", "file=IMAGE,format=raw", "-boot", "a"]),
}
SMALL = "init=/small"
QUICK = SMALL + " " + SPARED


class Debian:
    """One machine. Without `copy` nothing that it writes is kept."""

    def __init__(self, disk="ide", *extra, uefi=False, cpus=1, parameters=QUICK, copy=False, binary=BINARY):
        board, options = DISKS[disk]
        image, floppy = root.make()
        self.image = image
        if copy:
            self.image = os.path.join(WORK, "root.img")
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, self.image], check=True)
        path = os.path.join(WORK, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        if uefi:
            variables = os.path.join(WORK, "vars.fd")
            shutil.copyfile(OVMF[1], variables)
            options = ["-drive", "if=pflash,format=raw,readonly=on,file=" + OVMF[0], "-drive",
                       "if=pflash,format=raw,file=" + variables, *options]
        self.console = Console([
            binary, "-M", board, "-m", "512", "-smp", str(cpus), "-display", "none", "-serial", "stdio", "-monitor",
            "none", "-qmp", "unix:%s,server=on,wait=off" % path, *([] if copy else ["-snapshot"]),
            *(option.replace("IMAGE", self.image).replace("FLOPPY", floppy) for option in options), *extra,
            *root.parameters(parameters)])
        self.path = path
        self.socket = self.file = None
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.socket:
            self.socket.close()
        self.console.close()

    # ---- the monitor ----

    def qmp(self, name, **arguments):
        if not self.socket:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(300)
            self.socket.connect(self.path)
            self.file = self.socket.makefile("rw")
            self.file.readline()
            self.qmp("qmp_capabilities")
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" in reply:
                self.events.append(reply)
                continue
            assert "error" not in reply, reply
            if "return" in reply:
                return reply["return"]

    def heard(self, event):
        """Waits for an event, and forgets it."""
        self.qmp("query-status")
        while event not in [e["event"] for e in self.events]:
            message = json.loads(self.file.readline())
            if "event" in message:
                self.events.append(message)
        self.events = [e for e in self.events if e["event"] != event]

    # ---- the console ----

    def login(self):
        """Waits for the system, and for a shell; gives what was seen before."""
        began = time.monotonic()
        seen = self.console.expect("debian login: ", BOOT_SECONDS)
        self.seconds = time.monotonic() - began
        self.console.type("root\n")
        self.console.expect("Password: ", 120)
        self.console.type("backplane\n")
        self.console.expect("# ", 240)
        self.console.type("exec sh\n")
        self.console.type("stty -echo; PS1= PS2=; dmesg -n 1; echo rea''dy\n")
        self.console.expect("ready", 120)
        return seen

    def ask(self, command, seconds=300):
        """What a command prints."""
        self.console.type("{ %s\n} 2>&1; echo; echo '<e''nd>'\n" % command)
        return self.console.expect("<end>", seconds).replace("\r", "").strip("\n")

    def check(self, command, seconds=300):
        """The same, but it has to succeed."""
        text, _, status = self.ask("%s\necho status-$?" % command, seconds).rpartition("status-")
        assert status == "0", (command, status, text[-1500:])
        return text

    def wait_for(self, condition, seconds=120):
        end = time.monotonic() + seconds * SLOW
        while "yes" not in self.ask("%s && echo yes" % condition):
            assert time.monotonic() < end, condition
            time.sleep(0.5)

    def powers_off(self):
        self.console.type("poweroff -f\n")
        assert self.console.wait(240) == 0
        if self.image.startswith(WORK):
            is_clean(self.image)


def is_clean(image):
    """The root of an image that is not in use."""
    done = subprocess.run([shutil.which("e2fsck") or "/sbin/e2fsck", "-fn", "%s?offset=%d" % (
        image, root.ROOT_AT * root.SECTOR)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    # The file system was in use to the end: its journal is played back at the next start.
    assert done.returncode == 0, done.stdout


def warnings(text):
    """Messages of level warning and worse of `dmesg -r`, with what differs from start to start blanked."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"<(\d+)>\[ *[\d.]+\] (.*)", line.strip())
        if match and int(match.group(1)) & 7 <= 4:
            found[re.sub(r"0x[0-9a-f]+|[0-9a-f]{6,}|\d+", "N", match.group(2))] = match.group(2)
    return found
