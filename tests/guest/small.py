# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small guests of our own: compiles one of tests/guest/small/, runs it, reads its `NAME VALUE` lines."""
import os
import platform
import re
import shutil
import subprocess
import tempfile

from console import BINARY, SLOW, TOP

SOURCES = os.path.join(TOP, "tests/guest/small")
FLAGS = ["-m32", "-march=i686", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector",
         "-fcf-protection=none", "-mno-sse", "-nostdlib", "-Wall", "-Wextra", "-Werror"]


def lacking():
    """Why small guests cannot be compiled here, or None."""
    if platform.machine() not in ("x86_64", "i686"):
        return "small guests are x86 code: they are compiled on x86 only"
    for tool in ("gcc", "ld", "objcopy"):
        if not shutil.which(tool):
            return "%s is missing (package build-essential)" % tool
    return None


class Guests:
    """Compiled guests, in a folder that goes with the object."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-small-")

    def close(self):
        self.folder.cleanup()

    def image(self, name):
        def path(suffix):
            return os.path.join(self.folder.name, name + suffix)

        if not os.path.exists(path(".bin")):
            objects = []
            for source in (os.path.join(SOURCES, "start.S"), os.path.join(SOURCES, name + ".c")):
                objects.append(path("-" + os.path.basename(source) + ".o"))
                subprocess.run(["gcc", *FLAGS, "-c", source, "-o", objects[-1]], check=True)
            subprocess.run(["ld", "-m", "elf_i386", "--no-warn-rwx-segments", "-T",
                            os.path.join(SOURCES, "small.ld"), *objects, "-o", path(".elf")],
                           check=True)
            subprocess.run(["objcopy", "-O", "binary", path(".elf"), path(".bin")], check=True)
            with open(path(".bin"), "r+b") as f:  # whole pages, so that no read of it ends early
                f.truncate((os.path.getsize(path(".bin")) + 8191) // 4096 * 4096)
        return path(".bin")

    def text(self, name, *options, seconds=60):
        """What the guest printed until it powered the machine off."""
        command = [BINARY, "-m", "64", "-nodefaults", "-display", "none", "-serial", "stdio",
                   "-kernel", self.image(name), *options]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=seconds * SLOW)
        text = run.stdout.decode("latin-1")
        assert run.returncode == 0, "status %d: %s %s" % (run.returncode, text, run.stderr)
        return text

    def values(self, name, *options, seconds=60):
        """The lines as a dict; of a name that comes twice, the last."""
        text = self.text(name, *options, seconds=seconds)
        assert "done" in text, text
        return {word: int(value, 16)
                for word, value in re.findall(r"^(\w+) ([0-9a-f]{8})\s*$", text, re.M)}
