#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a VNC client waits for a full frame of a still screen, beside Debian's emulator, request by request: from
the request to the last byte, for each encoding. The screen is what firmware leaves when nothing can be booted (720x400
text), and a picture of many colours (800x600) that firmware shows at its start. Medians of the rounds.

usage: vnc.py BUILD-ROOT [ROUNDS]
"""
import os
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(TOP, "tests", "house"))
import rfb  # noqa: E402

ENCODINGS = (("raw", rfb.RAW), ("hextile", rfb.HEXTILE), ("tight", rfb.TIGHT), ("zrle", rfb.ZRLE))
QUIET = 0.03  # seconds without a byte end a frame


def picture(path):
    """A picture such as desktops have: gradients, edges, text-like noise."""
    rows = []
    for y in range(600):
        row = bytearray()
        for x in range(800):
            if (x // 100 + y // 100) % 3 == 0:
                row += bytes((x * 255 // 800, y * 255 // 600, 128))
            elif (x // 100 + y // 100) % 3 == 1:
                row += bytes((240, 240, 240)) if (x * 7 + y * 13) % 11 else bytes((20, 20, 20))
            else:
                row += bytes((0x30, 0x50, 0x80))
        rows.append(bytes(row))
    size = len(rows) * len(rows[0])
    with open(path, "wb") as f:
        f.write(struct.pack("<2sIII", b"BM", 54 + size, 0, 54))
        f.write(struct.pack("<IiiHHIIiiII", 40, 800, 600, 1, 24, 0, size, 2835, 2835, 0, 0))
        f.write(b"".join(reversed(rows)))


class Server:
    def __init__(self, program, folder, name, splash):
        self.path = os.path.join(folder, name)
        extra = ["-boot", "menu=on,splash=%s,splash-time=60000" % splash] if splash else []
        self.process = subprocess.Popen([program, "-m", "64", "-nodefaults", "-vga", "std", "-display", "none", "-vnc",
                                         "unix:" + self.path, *extra], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def settled(self, size):
        """Waits until the screen is of that size and stands still."""
        end, last = time.monotonic() + 120, None
        while time.monotonic() < end:
            try:
                client = rfb.Client(rfb.connect(path=self.path))
                client.set_encodings(rfb.RAW)
                client.request()
                client.update()
                now = (client.width, client.height), bytes(client.pixels)
                client.close()
                if now[0] == size and now == last:
                    return
                last = now
            except (OSError, rfb.Closed):
                pass
            time.sleep(2)
        sys.exit("%s does not come to rest at %s" % (self.process.args[0], size))

    def connect(self, encoding):
        self.client = rfb.Client(rfb.connect(path=self.path))
        self.client.set_encodings(encoding)

    def frame(self):
        """(milliseconds, bytes) of one."""
        sock, size = self.client.sock, 0
        begin = last = time.perf_counter()
        self.client.request()
        while select.select([sock], [], [], QUIET if size else 10)[0]:
            piece = sock.recv(1 << 20)
            if not piece:
                sys.exit("the emulator closed the connection")
            size += len(piece)
            last = time.perf_counter()
        return (last - begin) * 1e3, size

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(programs, rounds, folder, splash, size):
    servers = {name: Server(program, folder, name.lower(), splash) for name, program in programs.items()}
    try:
        for server in servers.values():
            server.settled(size)
        for name, encoding in ENCODINGS:
            for server in servers.values():
                server.connect(encoding)
                server.frame()
            found = {key: [] for key in servers}
            for _ in range(rounds):
                for key, server in servers.items():
                    found[key].append(server.frame())
            print("%dx%d %-8s" % (*size, name) + "".join(
                "  %s %.2f ms, %d bytes" % (key, statistics.median(ms for ms, _ in frames),
                                            statistics.median(n for _, n in frames))
                for key, frames in found.items()), flush=True)
    finally:
        for server in servers.values():
            server.end()


def main():
    rounds = int((sys.argv[2:] or ["101"])[0])
    programs = {"Backplane": os.path.join(sys.argv[1], "backplane-system-x86_64")}
    peer = shutil.which("qemu-system-x86_64")
    if peer:
        programs["QEMU"] = peer
    with tempfile.TemporaryDirectory(prefix="backplane-bench-vnc-") as folder:
        splash = os.path.join(folder, "splash.bmp")
        picture(splash)
        measure(programs, rounds, folder, None, (720, 400))
        measure(programs, rounds, folder, splash, (800, 600))


main()
