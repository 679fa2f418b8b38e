# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel with a shell on the serial line, and a QMP client beside it."""
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

import disk
from console import BINARY, SLOW, Console, needed

BOOT_SECONDS = 400


def with_programs(initrd, target, *names, more=None):
    """An initramfs with programs of this host, and the libraries that they need, beside what it has. `more`: others, by
    their names in the guest."""
    files, folders = {}, {"lib", "lib64", "usr", "usr/bin", "usr/lib"}
    programs = {"usr/bin/" + os.path.basename(path): path for path in map(shutil.which, names)}
    for name, path in {**programs, **(more or {})}.items():
        files[name] = path
        listed = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                check=False).stdout  # of a static one it says so, and fails
        for library in re.findall(r"(/\S+)", listed):
            files[library.lstrip("/")] = library
    for name in files:
        while name := os.path.dirname(name):
            folders.add(name)
    entries = [(folder, 0o040755) for folder in sorted(folders)]
    for name, path in files.items():
        with open(path, "rb") as f:
            entries.append((name, 0o100755, f.read()))
    data = b"".join(disk.entry(n + 1, *e) for n, e in enumerate(entries)) + disk.entry(0, "TRAILER!!!", 0)
    with open(initrd, "rb") as f:
        first = f.read()
    with open(target, "wb") as f:
        f.write(first + bytes(-len(first) % 4) + gzip.compress(data, 1, mtime=0))


class Monitored:
    """A machine with a QMP client beside it."""

    def connect(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60 * SLOW)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        json.loads(self.lines.readline())
        self.events = []
        self.qmp("qmp_capabilities")

    def disconnect(self):
        self.lines.close()
        self.socket.close()

    def qmp(self, name, /, **arguments):
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        while True:
            message = json.loads(self.lines.readline())
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise AssertionError(message["error"]["desc"])
            else:
                return message["return"]

    def event(self, name):
        while True:
            for at, seen in enumerate(self.events):
                if seen["event"] == name:
                    return self.events.pop(at)["data"]
            message = json.loads(self.lines.readline())
            assert "event" in message, message
            self.events.append(message)

    def hmp(self, line):
        return self.qmp("human-monitor-command", **{"command-line": line})


class Guest(Monitored):
    """Debian's kernel with a shell on the serial line, and a QMP client beside it."""

    def __init__(self, *args, drivers=(), programs=(), more=None, append="", newer=False):
        kernel, initrd = needed(disk.guest, tuple(drivers) or ("crc32c_generic",), newer)
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-linux-")
        if programs or more:
            with_programs(initrd, os.path.join(self.folder.name, "initrd"), *programs, more=more)
            initrd = os.path.join(self.folder.name, "initrd")
        path = os.path.join(self.folder.name, "qmp")
        self.console = Console([BINARY, "-nographic", "-nodefaults", "-serial", "stdio", "-monitor", "none",
                                "-qmp", f"unix:{path},server=on,wait=off", "-kernel", kernel, "-initrd", initrd,
                                "-append", "console=ttyS0 quiet " + disk.SPARED + append, *args])
        self.console.expect("Disk guest is up", BOOT_SECONDS)
        self.console.expect("# ", 60)
        self.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.console.close()
        self.disconnect()
        self.folder.cleanup()

    def run(self, command, seconds=120):
        self.console.type("echo be''gin; " + command + "; echo; echo en''d\n")
        text = self.console.expect("\nend", seconds)
        self.console.expect("# ", 60)
        return text.replace("\r", "").split("begin\n", 1)[1]
