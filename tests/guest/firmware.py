# SPDX-License-Identifier: LGPL-2.1-or-later
"""Firmware that runs: what it says on its debug port and serial port, and what it is told by QMP."""
import os
import sys
import time

from console import BINARY, SLOW, TOP

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from qmp import Emulator  # noqa: E402
from tap import work_folder  # noqa: E402


class Firmware:
    """The emulator with its interpreter, the text of SeaBIOS's debug port (0x402) and of the serial port."""

    def __init__(self, *args, debug=True):
        self.folder = work_folder("firmware-")
        self.paths = {name: os.path.join(self.folder, name) for name in ("debug", "serial")}
        wanted = ["-nodefaults", "-display", "none", "-accel", "interp", "-machine", "graphics=off",
                  "-serial", "file:" + self.paths["serial"]]
        if debug:
            wanted += ["-chardev", "file,id=dbg,path=" + self.paths["debug"], "-device",
                       "isa-debugcon,iobase=0x402,chardev=dbg"]
        self.emulator = Emulator(BINARY, *args, quiet=wanted)

    def __enter__(self):
        self.emulator.__enter__()
        return self

    def __exit__(self, *exception):
        self.emulator.__exit__(*exception)

    def text(self, where):
        try:
            with open(self.paths[where], "rb") as f:
                return f.read().decode("latin-1").replace("\r", "")
        except FileNotFoundError:
            return ""

    def expect(self, where, what, seconds=60, times=1):
        """Waits until it stands there so many times; returns all of the text."""
        end = time.monotonic() + seconds * SLOW
        while self.text(where).count(what) < times:
            if self.emulator.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("%r did not come %d times from the %s port: %r" %
                                     (what, times, where, self.text(where)[-1500:]))
            time.sleep(0.05)
        return self.text(where)

    def command(self, name, **arguments):
        reply = self.emulator.command(name, **arguments)
        assert "return" in reply, (name, reply)
        return reply["return"]


