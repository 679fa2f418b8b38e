#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Somebody types and clicks over VNC for ten minutes while the picture changes: every key and every click arrives once and
in order, the last position of the pointer is the last one sent, and the client's picture is the machine's at the end
of every minute, in another encoding each.

usage: vnc-typing.py SOURCE-ROOT BUILD-ROOT FOLDER-OF-TEST-MODULES [SECONDS]
"""
import os
import random
import struct
import sys
import threading
import time

SOURCE, BUILD, SCREEN = sys.argv[1:4]
SECONDS = float((sys.argv[4:] or ["600"])[0])
sys.path[:0] = [os.path.join(SOURCE, "tests", folder) for folder in ("house", "qtest")]
os.environ["BACKPLANE_BUILD"] = BUILD
import rfb  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("vnc-typing-")
MEMORY, REGISTERS = 0xE0000000, 0xE8000000
WIDTH, HEIGHT = 800, 600
KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm1234567890 ", (*range(16, 26), *range(30, 39), *range(44, 51), *range(2, 12), 57)))
BUTTONS = {1: 0x110, 2: 0x112, 4: 0x111}


class Person(threading.Thread):
    """Types words, clicks, moves; keeps what has to arrive."""

    def __init__(self, client, seed):
        super().__init__()
        self.client, self.rand, self.wanted, self.at, self.over = client, random.Random(seed), [], (0, 0), False

    def run(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if self.rand.randrange(3):
                for _ in range(self.rand.randrange(1, 9)):
                    letter = self.rand.choice(list(KEYS))
                    for down in (True, False):
                        self.client.key(ord(letter), down)
                        self.wanted.append((1, KEYS[letter], int(down)))
                    time.sleep(self.rand.uniform(0, 0.12))
            else:
                for _ in range(self.rand.randrange(1, 30)):
                    self.at = self.rand.randrange(WIDTH), self.rand.randrange(HEIGHT)
                    self.client.pointer(0, *self.at)
                button = self.rand.choice(list(BUTTONS))
                for _ in range(self.rand.randrange(1, 3)):
                    for down in (button, 0):
                        self.client.pointer(down, *self.at)
                        self.wanted.append((1, BUTTONS[button], int(bool(down))))
            time.sleep(self.rand.uniform(0, 0.3))
        self.over = True


def inputs(q):
    found = []
    q.qmp("query-status")
    for _ in range(q.readl(REGISTERS + 12)):
        found.append(tuple(q.readl(REGISTERS + at) for at in (16, 20, 24)))
    return found


def paint(q, rand):
    x, y = rand.randrange(WIDTH - 64), rand.randrange(HEIGHT - 16)
    for row in range(16):
        colours = [rand.getrandbits(24) for _ in range(rand.choice((1, 64)))]
        q.write(MEMORY + ((y + row) * WIDTH + x) * 4, struct.pack("<64I", *(colours * 64)[:64]))


def picture(q):
    pixels = q.read(MEMORY, WIDTH * HEIGHT * 4)
    out = bytearray(WIDTH * HEIGHT * 3)
    out[0::3], out[1::3], out[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    return out


def nothing_is_lost():
    path = os.path.join(FOLDER, "vnc")
    with QTest(["-M", "pc", "-modules", "preload=" + os.path.join(SCREEN, "screen.so"), "-device",
                "test-screen,id=screen,width=%d,height=%d" % (WIDTH, HEIGHT), "-vnc", "unix:" + path]) as q:
        typist = rfb.Client(rfb.connect(path=path))
        person, rand, found, last = Person(typist, 1), random.Random(2), [], [0, 0]
        person.start()
        encodings, next_look, looks = [rfb.TIGHT, rfb.ZRLE, rfb.HEXTILE, rfb.RAW], time.monotonic(), 0

        def take():
            for kind, code, value in inputs(q):
                if kind == 1:
                    found.append((kind, code, value))
                else:
                    last[code] = value
        while not person.over:
            take()
            paint(q, rand)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + SECONDS / 10
                viewer = rfb.Client(rfb.connect(path=path))
                viewer.set_encodings(encodings[looks % len(encodings)])
                for incremental in (False, True):
                    viewer.request(incremental=incremental)
                    if not incremental:
                        viewer.update()
                        paint(q, rand)
                viewer.update()
                end = time.monotonic() + 60
                while viewer.pixels != picture(q):
                    assert time.monotonic() < end, "the pictures differ"
                    viewer.request(incremental=False)
                    viewer.update()
                viewer.close()
                looks += 1
            time.sleep(0.02)
        person.join()
        end = time.monotonic() + 120
        while len(found) < len(person.wanted) and time.monotonic() < end:
            take()
        assert found == person.wanted, (len(found), len(person.wanted))
        take()
        for axis, size in ((0, WIDTH), (1, HEIGHT)):
            assert abs(last[axis] - person.at[axis] * 32767 / (size - 1)) <= 1, (last, person.at)
        assert looks >= 10
        print("# %d keys and clicks, %d looks" % (len(found), looks), flush=True)


run([nothing_is_lost])
