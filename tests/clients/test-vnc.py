#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VNC server: what clients see equals screendump in every encoding and pixel format, what they type and
point at arrives, passwords, sharing, sockets, and clients that are slow or hostile."""
import contextlib
import os
import random
import shutil
import socket
import struct
import sys
import threading
import time

SOURCE, BUILD, SCREEN = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import rfb  # noqa: E402
from ac97 import OUT, SECOND, hertz_of, lay_buffers, set_rate, start_card, tone  # noqa: E402
from qtest import Failed, QTest  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("vnc-")
MEMORY, REGISTERS = 0xE0000000, 0xE8000000
PICTURES = (rfb.RAW, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE)
KEY_A, KEY_1, KEY_LEFTSHIFT, KEY_RIGHTCTRL, KEY_Z, KEY_Y, KEY_RIGHTALT = 30, 2, 42, 97, 44, 21, 100
BTN_LEFT, BTN_RIGHT, BTN_MIDDLE = 0x110, 0x111, 0x112


class Machine(QTest):
    """A machine with a test screen and a VNC server on a UNIX socket."""

    def __init__(self, *args, screen="width=640,height=480", vnc=""):
        Machine.count = getattr(Machine, "count", 0) + 1
        self.path = os.path.join(FOLDER, "vnc%d" % Machine.count)
        super().__init__(["-M", "pc", "-modules", "preload=" + os.path.join(SCREEN, "screen.so"), "-device",
                          "test-screen,id=screen," + screen, "-vnc", "unix:%s%s" % (self.path, vnc), *args])

    def connect(self, **options):
        return rfb.Client(rfb.connect(path=self.path), **options)

    def size(self):
        return self.readl(REGISTERS), self.readl(REGISTERS + 4)

    def paint(self, x, y, w, h, rows):
        """Pixels as 0xRRGGBB numbers, row by row."""
        stride = self.size()[0] * 4
        for n, row in enumerate(rows):
            self.write(MEMORY + (y + n) * stride + x * 4, struct.pack("<%dI" % w, *row))

    def shown(self):
        """What the guest shows: bytes, three for each pixel."""
        width, height = self.size()
        end = MEMORY + width * height * 4
        pixels = b"".join(self.read(at, min(1 << 20, end - at)) for at in range(MEMORY, end, 1 << 20))
        out = bytearray(width * height * 3)
        out[0::3], out[1::3], out[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
        return bytes(out)

    def dump(self):
        """What screendump gives: (width, height, bytes)."""
        path = os.path.join(FOLDER, "dump.ppm")
        self.qmp("screendump", {"filename": path})
        with open(path, "rb") as f:
            assert f.readline() == b"P6\n"
            width, height = map(int, f.readline().split())
            f.readline()
            return width, height, f.read()

    def inputs(self):
        """What the screen's keyboard and pointer got."""
        found = []
        for _ in range(self.readl(REGISTERS + 12)):
            kind, code, value = (self.readl(REGISTERS + at) for at in (16, 20, 24))
            found.append((kind, code, value - (1 << 32) if value >> 31 else value))
        return found

    def wait_events(self, count):
        found = []
        deadline = time.monotonic() + 60
        while len(found) < count and time.monotonic() < deadline:
            self.qmp("query-status")
            found += self.inputs()
        return found


def mixed(width, height, seed):
    """A picture with flat areas, text-like patterns, few and many colours."""
    rand = random.Random(seed)
    rows = [[0x203040] * width for _ in range(height)]
    for _ in range(60):
        x, y = rand.randrange(width), rand.randrange(height)
        w, h = rand.randrange(1, 120), rand.randrange(1, 70)
        kind = rand.randrange(5)
        colours = [rand.getrandbits(24) for _ in range((1, 2, 9, 90, 1000)[kind])]
        for yy in range(y, min(y + h, height)):
            row = rows[yy]
            for xx in range(x, min(x + w, width)):
                row[xx] = colours[0] if kind == 0 else rand.choice(colours)
            if kind == 3:  # runs
                row[x:x + w] = sorted(row[x:x + w])
    return rows


def rgb(rows, format_=None):
    convert = format_.expected if format_ else lambda c: c
    known = {}
    out = []
    for row in rows:
        for pixel in row:
            if pixel not in known:
                known[pixel] = convert(bytes((pixel >> 16, pixel >> 8 & 255, pixel & 255)))
            out.append(known[pixel])
    return b"".join(out)


def same(client, wanted, what):
    if bytes(client.pixels) == wanted:
        return
    at = next(i for i in range(0, len(wanted), 3) if client.pixels[i:i + 3] != wanted[i:i + 3]) // 3
    raise AssertionError("%s: pixel %d,%d is %s, not %s" % (
        what, at % client.width, at // client.width, client.pixels[at * 3:at * 3 + 3].hex(),
        wanted[at * 3:at * 3 + 3].hex()))


# ---- pictures ----

def viewers_see_what_screendump_sees():
    with Machine(screen="width=333,height=207") as q:
        q.paint(0, 0, 333, 207, mixed(333, 207, 9))
        width, height, dumped = q.dump()
        c = q.connect()
        c.request()
        c.update()
        assert (width, height) == (c.width, c.height)
        same(c, dumped, "screendump")


def every_encoding_shows_the_picture():
    with Machine(screen="width=333,height=207") as q:
        q.paint(0, 0, 333, 207, mixed(333, 207, 1))
        for encoding in (*PICTURES, rfb.TIGHT_PNG):
            c = q.connect()
            c.set_encodings(encoding)
            c.request()
            c.update()
            if encoding == rfb.TIGHT_PNG and not shutil.which("pngtopnm"):
                raise Skip("pngtopnm is missing (package netpbm)")
            same(c, q.shown(), "encoding %d" % encoding)
            if encoding == rfb.ZRLE:
                assert c.tiles >= {"raw", "packed", "indexed"}, c.tiles
            c.close()


FORMATS = {
    "32 bits, little-endian": rfb.Format(),
    "32 bits, big-endian": rfb.Format(big=True),
    "32 bits, upper three bytes": rfb.Format(shifts=(8, 16, 24)),
    "32 bits, blue first": rfb.Format(shifts=(0, 8, 16)),
    "32 bits, depth 32": rfb.Format(depth=32),
    "16 bits, 5-6-5": rfb.Format(16, 16, maxes=(31, 63, 31), shifts=(11, 5, 0)),
    "16 bits, 5-5-5, big-endian": rfb.Format(16, 15, True, (31, 31, 31), (10, 5, 0)),
    "8 bits, 3-3-2": rfb.Format(8, 8, maxes=(7, 7, 3), shifts=(0, 3, 6)),
    "8 bits, colour map": rfb.Format(8, 8, maxes=(0, 0, 0), shifts=(0, 0, 0), true=False),
}


def every_pixel_format_in_every_encoding():
    with Machine(screen="width=150,height=90") as q:
        rows = mixed(150, 90, 2)
        q.paint(0, 0, 150, 90, rows)
        for name, format_ in FORMATS.items():
            table = rfb.Format(8, 8, maxes=(7, 7, 3), shifts=(0, 3, 6)) if not format_.true else format_
            wanted = rgb(rows, table)
            for encoding in PICTURES:
                c = q.connect()
                c.set_format(format_)
                c.set_encodings(encoding)
                c.request()
                c.update()
                if format_.true:
                    same(c, wanted, "%s, encoding %d" % (name, encoding))
                else:
                    near = max(abs(a - b) for a, b in zip(c.pixels, wanted))
                    assert near <= 1, near  # 16 bits of a colour map, cut to 8
                c.close()


def tight_takes_each_of_its_forms():
    with Machine(screen="width=64,height=64") as q:
        rand = random.Random(3)
        for colours, form in ((1, "fill"), (2, "two"), (200, "palette"), (1 << 24, "pixels")):
            choice = [rand.getrandbits(24) for _ in range(min(colours, 5000))]
            rows = [[rand.choice(choice) for _ in range(64)] for _ in range(64)]
            q.paint(0, 0, 64, 64, rows)
            c = q.connect()
            c.set_encodings(rfb.TIGHT, -23)  # a quality, but the server loses nothing
            c.request()
            c.update()
            assert c.forms == {form}, (c.forms, form)
            same(c, rgb(rows), form)
            c.close()


def small_changes_come_alone():
    with Machine() as q:
        for encoding in PICTURES:
            c = q.connect()
            c.set_encodings(encoding)
            c.request()
            c.update()
            q.paint(300, 200, 3, 2, [[0xFF0000 + encoding] * 3] * 2)
            c.request(incremental=True)
            assert c.update() == 1
            same(c, q.shown(), "after a change, encoding %d" % encoding)
            c.request(incremental=True)  # nothing changes: no answer
            c.sock.settimeout(0.5)
            with contextlib.suppress(socket.timeout):
                c.update()
                raise AssertionError("an update without a change")
            c.sock.settimeout(rfb.TIMEOUT)
            q.paint(5, 5, 1, 1, [[0x123456 + encoding]])
            c.update()
            same(c, q.shown(), "after waiting")
            c.close()


def part_of_the_picture_can_be_asked_for():
    with Machine() as q:
        q.paint(0, 0, 640, 480, mixed(640, 480, 4))
        c = q.connect()
        c.set_encodings(rfb.ZRLE)
        c.request(area=(100, 100, 50, 20))
        c.update()
        whole = q.shown()
        for y in range(100, 120):
            at = (y * 640 + 100) * 3
            assert c.pixels[at:at + 150] == whole[at:at + 150], y
        assert not any(c.pixels[:3 * 640 * 80])
        c.request(incremental=True)  # the rest has not been sent
        c.update()
        same(c, whole, "the rest")
        for area in ((0, 0, 0, 0), (640, 480, 10, 10), (65535, 65535, 65535, 65535), (600, 400, 65535, 65535)):
            c.request(area=area)
            c.update()
        same(c, whole, "odd areas")


def lossy_server_sends_jpeg_when_asked():
    if not shutil.which("jpegtopnm"):
        raise Skip("jpegtopnm is missing (package netpbm)")
    with Machine(screen="width=128,height=128", vnc=",lossy=on") as q:
        rows = [[(x << 16 | y << 8 | (x ^ y)) for x in range(0, 256, 2)] for y in range(0, 256, 2)]
        q.paint(0, 0, 128, 128, rows)
        for qualities, form in (((-23,), "jpeg"), ((), "gradient")):
            c = q.connect()
            c.set_encodings(rfb.TIGHT, *qualities)
            c.request()
            c.update()
            assert c.forms == {form}, c.forms
            error = sum(abs(a - b) for a, b in zip(c.pixels, rgb(rows))) / len(c.pixels)
            assert error < (12 if form == "jpeg" else 1e-9), error
            c.close()


def new_size_is_told():
    with Machine() as q:
        for kind in (rfb.DESKTOP_SIZE, rfb.EXTENDED_DESKTOP_SIZE):
            q.writel(REGISTERS, 640)
            q.writel(REGISTERS + 4, 480)
            c = q.connect()
            c.set_encodings(rfb.ZRLE, kind)
            c.request()
            c.update()
            for width, height in ((800, 600), (100, 37), (1920, 1080)):
                q.writel(REGISTERS, width)
                q.writel(REGISTERS + 4, height)
                q.paint(0, 0, width, 30, mixed(width, 30, width))
                c.notices.clear()
                c.request(incremental=True)
                c.update()
                assert (c.width, c.height) == (width, height) and c.notices[0][0] == kind, c.notices
                same(c, q.shown(), "%dx%d" % (width, height))
            c.close()
        # One that can't hear of it gets what fits.
        c = q.connect()
        c.set_encodings(rfb.RAW)
        c.request()
        c.update()
        q.writel(REGISTERS, 300)
        q.writel(REGISTERS + 4, 200)
        c.request()
        c.update()
        assert (c.width, c.height) == (1920, 1080)
        q.writel(REGISTERS, 4000)
        q.writel(REGISTERS + 4, 3000)
        c.request()
        c.update()


def client_that_asks_for_a_size_is_told_whose_it_is():
    with Machine() as q:
        c = q.connect()
        c.set_encodings(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE)
        c.request()
        c.update()
        c.notices.clear()
        c.send(">BxHHBx" + "IHHHHI", 251, 1024, 768, 1, 0, 0, 0, 1024, 768, 0)
        c.request()
        c.update()
        (kind, reason, status, width, height, _), = c.notices
        assert (kind, reason, status, width, height) == (rfb.EXTENDED_DESKTOP_SIZE, 1, 1, 640, 480), c.notices


def cursor_is_sent():
    with Machine() as q:
        plain, alpha = q.connect(), q.connect()
        plain.set_encodings(rfb.RAW, rfb.CURSOR)
        alpha.set_encodings(rfb.RAW, rfb.ALPHA_CURSOR)
        q.writel(REGISTERS + 8, 1)
        for c in (plain, alpha):
            c.request()
            c.update()
        cursor = [n for n in plain.notices if n[0] == rfb.CURSOR][-1]
        assert cursor[1:5] == (1, 2, 5, 3), cursor
        pixels, mask = cursor[5][:60], cursor[5][60:]
        assert mask == bytes((0b01010000, 0b10101000, 0b01010000)), mask.hex()
        assert pixels[4:8] == bytes((0, 1, 1, 0)), pixels.hex()
        cursor = [n for n in alpha.notices if n[0] == rfb.ALPHA_CURSOR][-1]
        assert cursor[5][:8] == bytes((0, 0, 0, 0, 1, 1, 0, 255)), cursor
        q.writel(REGISTERS + 8, 0)
        plain.request()
        plain.update()
        assert plain.notices[-1][:5] == (rfb.CURSOR, 0, 0, 0, 0), plain.notices


# ---- keys and pointers ----

def keys_arrive_by_symbol_and_by_code():
    with Machine(vnc=",key-delay-ms=0") as q:
        c = q.connect()
        for keysym in (ord("a"), ord("1"), 0xFFE4):
            c.key(keysym, True)
            c.key(keysym, False)
        assert [e for e in q.wait_events(6)] == [
            (1, code, down) for code in (KEY_A, KEY_1, KEY_RIGHTCTRL) for down in (1, 0)]
        c.key(ord("A"), True)  # without Shift
        c.key(ord("A"), False)
        assert q.wait_events(4) == [(1, KEY_LEFTSHIFT, 1), (1, KEY_A, 1), (1, KEY_LEFTSHIFT, 0), (1, KEY_A, 0)]
        c.key(0xFFE1, True)  # and with it
        c.key(ord("A"), True)
        c.key(ord("A"), False)
        c.key(0xFFE1, False)
        assert q.wait_events(4) == [(1, KEY_LEFTSHIFT, 1), (1, KEY_A, 1), (1, KEY_A, 0), (1, KEY_LEFTSHIFT, 0)]
        c.set_encodings(rfb.RAW, rfb.EXTENDED_KEY)
        c.request()
        c.update()
        assert (rfb.EXTENDED_KEY, 0) in c.notices
        c.extended_key(ord("q"), 0x1E, True)
        c.extended_key(ord("q"), 0x1E, False)
        c.extended_key(0, 0x9D, True)
        c.extended_key(0, 0x9D, False)
        assert q.wait_events(4) == [(1, KEY_A, 1), (1, KEY_A, 0), (1, KEY_RIGHTCTRL, 1), (1, KEY_RIGHTCTRL, 0)]
        c.key(0x1234567, True)  # no key has it
        c.key(ord("z"), False)  # is not down
        c.key(ord("a"), True)
        assert q.wait_events(1) == [(1, KEY_A, 1)]
        c.close()  # what is down goes up
        assert q.wait_events(1) == [(1, KEY_A, 0)]


def layout_decides_which_key_it_is():
    for option, codes in ((("-k", "de"), [KEY_Y, KEY_Z, 12]), (("-k", "en-us"), [KEY_Z, KEY_Y, 53]),
                          ((), [KEY_Z, KEY_Y, 53])):
        with Machine(*option, vnc=",key-delay-ms=0") as q:
            c = q.connect()
            for keysym in (ord("z"), ord("y"), ord("/") if codes[2] == 53 else 0xDF):
                c.key(keysym, True)
                c.key(keysym, False)
            assert [e[1] for e in q.wait_events(6)][::2] == codes
    with Machine("-k", "ru", vnc=",key-delay-ms=0") as q:
        c = q.connect()
        for keysym in (0x6C6, ord("a")):  # Cyrillic ef, and a Latin letter all the same
            c.key(keysym, True)
            c.key(keysym, False)
        assert [e[1] for e in q.wait_events(4)] == [KEY_A] * 4
    try:
        with Machine("-k", "tlh"):
            raise AssertionError("it was accepted")
    except Failed as error:
        assert "tlh" in str(error) and "en-us" in str(error), error


OWN_KEYMAP = """xkb_keymap {
    xkb_keycodes { <AD01> = 24; <AC01> = 38; };
    xkb_types { include "complete" };
    xkb_compat { include "complete" };
    xkb_symbols { key <AD01> { [ z, Z ] }; key <AC01> { [ q, Q ] }; };
};
"""


def keymaps_stand_where_they_are_told():
    folder = os.path.join(FOLDER, "own")
    os.makedirs(folder + "/keymaps")
    for name, text in (("mine", OWN_KEYMAP), ("de", OWN_KEYMAP), ("wrong", "# no keymap\nshift 0x2a\n")):
        with open(os.path.join(folder, "keymaps", name), "w", encoding="utf-8") as f:
            f.write(text)
    for name in ("mine", "de"):
        with Machine("-L", folder, "-k", name, vnc=",key-delay-ms=0") as q:
            c = q.connect()
            for letter in "zq":
                c.key(ord(letter), True)
                c.key(ord(letter), False)
            assert [e[1] for e in q.wait_events(4)] == [16, 16, 30, 30]  # those of q and a on en-us
    for name, word in (("wrong", "XKB"), ("../keymaps/mine", "keymaps/mine")):
        try:
            with Machine("-L", folder, "-k", name):
                raise AssertionError("it was accepted")
        except Failed as error:
            assert word in str(error), error


LAYOUTS = ("ar da de de-ch en-gb en-us es et fi fo fr fr-be fr-ca fr-ch hr hu is it ja lt lv mk nl nl-be no pl pt "
           "pt-br ru sl sv th tr").split()


def every_layout_is_loaded():
    """Each has the digit 1, on a key of its own or, as the French and the Belgians do, with Shift."""
    assert len(LAYOUTS) == 33
    for layout in LAYOUTS:
        with Machine("-k", layout, vnc=",key-delay-ms=0") as q:
            c = q.connect()
            c.key(ord("1"), True)
            c.key(ord("1"), False)
            shifted = layout in ("fr", "fr-be", "nl-be")
            found = q.wait_events(4 if shifted else 2)
            assert ((1, KEY_LEFTSHIFT, 1) in found) == shifted, (layout, found)


def symbols_come_with_their_modifiers():
    """A client that names a symbol alone: what is held for it is up again before the next key can come."""
    for layout, keysym, modifiers, code in (("de", ord("@"), [KEY_RIGHTALT], 16), ("de", ord('"'), [KEY_LEFTSHIFT], 3),
                                            ("de", 0xBF, [KEY_LEFTSHIFT, KEY_RIGHTALT], 12),
                                            ("fr", ord("1"), [KEY_LEFTSHIFT], 2), ("fr", ord("#"), [KEY_RIGHTALT], 4),
                                            ("fr", ord("a"), [], 16),
                                            # dead keys: acute, grave, circumflex; circumflex, diaeresis
                                            ("de", 0xFE51, [], 13), ("de", 0xFE50, [KEY_LEFTSHIFT], 13),
                                            ("de", 0xFE52, [], 41), ("fr", 0xFE52, [], 26),
                                            ("fr", 0xFE57, [KEY_LEFTSHIFT], 26),
                                            # 1, End, + and Num Lock of the keypad
                                            ("de", 0xFFB1, [KEY_LEFTSHIFT], 79), ("de", 0xFF9C, [], 79),
                                            ("de", 0xFFAB, [], 78), ("de", 0xFF7F, [], 69)):
        with Machine("-k", layout, vnc=",key-delay-ms=0") as q:
            c = q.connect()
            c.key(keysym, True)
            c.key(keysym, False)
            wanted = [*[(1, m, 1) for m in modifiers], (1, code, 1), *[(1, m, 0) for m in modifiers[::-1]], (1, code, 0)]
            found = q.wait_events(len(wanted))
            assert found == wanted, (layout, chr(keysym), found)
    with Machine("-k", "de", vnc=",key-delay-ms=0") as q:
        c = q.connect()
        for keysym, down in ((0xFE03, True), (ord("@"), True), (ord("@"), False), (0xFE03, False)):
            c.key(keysym, down)  # a client that holds AltGr itself
        found = q.wait_events(4)
        assert found == [(1, KEY_RIGHTALT, 1), (1, 16, 1), (1, 16, 0), (1, KEY_RIGHTALT, 0)], found


def num_lock_of_the_guest_counts():
    """Shift makes the other symbol of a key of the keypad: which one it needs it for, the light tells."""
    with Machine("-k", "de", vnc=",key-delay-ms=0") as q:
        c = q.connect()
        for light, keysym, shifted in ((2, 0xFFB1, False), (2, 0xFF9C, True), (2, 0xFFAB, False), (2, ord("!"), True),
                                       (0, 0xFFB1, True), (0, 0xFF9C, False), (4, 0xFF9C, False)):
            q.writel(REGISTERS + 28, light)
            c.key(keysym, True)
            c.key(keysym, False)
            found = q.wait_events(4 if shifted else 2)
            assert [e for e in found if e[1] == KEY_LEFTSHIFT] == ([(1, 42, 1), (1, 42, 0)] if shifted else []), (
                light, keysym, found)


def pointer_arrives():
    with Machine() as q:
        c = q.connect()
        c.pointer(0, 639, 479)
        c.pointer(1, 0, 0)
        c.pointer(0, 0, 0)
        c.pointer(4 | 2, 320, 240)
        c.pointer(8, 320, 240)  # the wheel, and the buttons go up
        c.pointer(0, 9999, 9999)
        found = q.wait_events(15)
        assert found[:6] == [(3, 0, 32767), (3, 1, 32767), (3, 0, 0), (3, 1, 0), (1, BTN_LEFT, 1),
                             (1, BTN_LEFT, 0)], found
        assert sorted(found[8:12]) == [(1, BTN_RIGHT, 0), (1, BTN_RIGHT, 1), (1, BTN_MIDDLE, 0),
                                       (1, BTN_MIDDLE, 1)], found
        assert found[12:] == [(2, 8, 1), (3, 0, 32767), (3, 1, 32767)], found
    with Machine(screen="tablet=off") as q:
        c = q.connect()
        for buttons in (8, 0, 16, 0, 32, 0, 64, 0, 128, 0):
            c.pointer(buttons, 5, 5)
        assert q.wait_events(6) == [(2, 8, 1), (2, 8, -1), (2, 6, -1), (2, 6, 1), (1, 0x113, 1), (1, 0x113, 0)]


def relative_pointer_is_told_and_used():
    with Machine(screen="tablet=off") as q:
        c = q.connect()
        c.pointer(0, 100, 100)  # from nowhere
        c.pointer(0, 110, 95)
        assert q.wait_events(2) == [(2, 0, 10), (2, 1, -5)]
        c.set_encodings(rfb.RAW, rfb.POINTER_TYPE)
        c.request()
        c.update()
        assert (rfb.POINTER_TYPE, 0) in c.notices
        c.pointer(0, 0x7FFF + 7, 0x7FFF - 9)
        assert q.wait_events(2) == [(2, 0, 7), (2, 1, -9)]


def ten_thousand_events_lose_nothing():
    with Machine(vnc=",key-delay-ms=0") as q:
        c = q.connect()
        rand = random.Random(5)
        wanted, sent = [], b""
        for n in range(5000):
            letter = rand.choice("asdfjkl")
            code = {"a": 30, "s": 31, "d": 32, "f": 33, "j": 36, "k": 37, "l": 38}[letter]
            wanted += [(1, code, 1), (1, code, 0)]
            sent += struct.pack(">BBxxI", 4, 1, ord(letter)) + struct.pack(">BBxxI", 4, 0, ord(letter))
            if n % 10 == 0:
                wanted += [(1, BTN_LEFT, 1), (1, BTN_LEFT, 0)]
                sent += struct.pack(">BBHH", 5, 1, 0, 0) + struct.pack(">BBHH", 5, 0, 0, 0)
        c.sock.settimeout(None)
        thread = threading.Thread(target=c.sock.sendall, args=(sent,))
        thread.start()
        found = [e for e in q.wait_events(len(wanted)) if e[0] == 1]
        thread.join()
        assert found == wanted, (len(found), len(wanted))


def keys_keep_their_distance():
    with Machine(vnc=",key-delay-ms=100") as q:
        c = q.connect()
        start = time.monotonic()
        for _ in range(3):
            c.key(ord("a"), True)
            c.key(ord("a"), False)
        assert len(q.wait_events(6)) == 6
        assert time.monotonic() - start >= 0.5


# ---- handshake, passwords, sharing ----

def every_version_is_spoken():
    with Machine(vnc=",password=on") as q:
        q.qmp("set_password", {"protocol": "vnc", "password": "secret12"})
        for version in (b"003.003", b"003.005", b"003.007", b"003.008", b"003.889"):
            c = q.connect(version=version, password="secret12")
            c.request()
            c.update()
            c.close()
            try:
                q.connect(version=version, password="wrong")
            except rfb.Refused as error:
                assert version < b"003.008" or "wrong password" in str(error), error
            else:
                raise AssertionError("the wrong password was good")
    with Machine() as q:
        for version in (b"003.003", b"003.007", b"003.008"):
            q.connect(version=version).close()


def password_is_set_changed_and_expires():
    def refused(q, password, why):
        try:
            q.connect(password=password)
        except rfb.Refused as error:
            assert why in str(error), error
        else:
            raise AssertionError("it was let in")

    hmp = lambda q, line: q.qmp("human-monitor-command", {"command-line": line})
    with Machine(vnc=",password=on") as q:
        assert q.qmp("query-vnc")["auth"] == "vnc"
        refused(q, "", "no password is set")
        q.qmp("set_password", {"protocol": "vnc", "password": "one", "connected": "keep"})
        c = q.connect(password="one")
        refused(q, "two", "wrong")
        q.qmp("change-vnc-password", {"password": "two"})
        refused(q, "one", "wrong")
        q.connect(password="two").close()
        assert hmp(q, "set_password vnc three") == ""
        q.connect(password="three").close()
        for when, good in (("now", False), ("never", True), ("+0", False), ("+600", True), ("1", False),
                           (str(int(time.time()) + 600), True)):
            q.qmp("expire_password", {"protocol": "vnc", "time": when})
            if good:
                q.connect(password="three").close()
            else:
                refused(q, "three", "expired")
        assert hmp(q, "expire_password vnc now") == ""
        refused(q, "three", "expired")
        c.request()  # who is there stays
        c.update()
        for command, arguments, words in (
                ("set_password", {"protocol": "spice", "password": "x"}, "SPICE"),
                ("set_password", {"protocol": "vnc", "password": "x", "connected": "fail"}, "keep"),
                ("set_password", {"protocol": "vnc", "password": "x", "display": "other"}, "other"),
                ("expire_password", {"protocol": "vnc", "time": "soon"}, "+SECONDS"),
                ("display-reload", {"type": "vnc", "tls-certs": True}, "TLS")):
            try:
                q.qmp(command, arguments)
            except Failed as error:
                assert words in str(error), error
            else:
                raise AssertionError(command)
    with Machine() as q:
        try:
            q.qmp("change-vnc-password", {"password": "x"})
        except Failed as error:
            assert "password=on" in str(error), error
        else:
            raise AssertionError("it was accepted")
    with Machine("-object", "secret,id=s,data=hidden", vnc=",password-secret=s") as q:
        q.connect(password="hidden").close()
        refused(q, "wrong", "wrong")


def sharing_is_as_told():
    def stays(q, first, second):
        """Is the first client there still, and has the second come in?"""
        a = q.connect(shared=first)
        try:
            b = q.connect(shared=second)
            b.request()
            b.update()
            came = True
        except rfb.Closed:
            came = False
        try:
            a.request()
            a.update()
            there = True
        except (rfb.Closed, BrokenPipeError, ConnectionResetError):
            there = False
        return there, came

    for policy, first, second, want in (
            ("", True, True, (True, True)), ("", True, False, (False, True)), ("", False, True, (True, False)),
            (",share=allow-exclusive", False, False, (False, True)),
            (",share=force-shared", False, False, (True, True)), (",share=ignore", False, False, (True, True))):
        with Machine(vnc=policy) as q:
            assert stays(q, first, second) == want, (policy, first, second)


def clients_are_listed_and_told_of():
    with Machine("-name", "machine of many words") as q:
        assert q.qmp("query-vnc")["clients"] == []
        c = q.connect()
        assert "machine of many words" in c.name, c.name
        q.qmp("query-status")
        seen = [e["event"] for e in q.events]
        assert seen[-2:] == ["VNC_CONNECTED", "VNC_INITIALIZED"], seen
        data = q.events[-1]["data"]
        assert data["client"]["family"] == "unix" and data["server"]["service"] == q.path[:31], data
        assert data["server"]["auth"] == "none" and data["client"]["websocket"] is False
        assert len(q.qmp("query-vnc")["clients"]) == 1
        server, = q.qmp("query-vnc-servers")
        assert server["id"] == "default" and len(server["clients"]) == 1 and len(server["server"]) == 1
        said = q.qmp("human-monitor-command", {"command-line": "info vnc"})
        assert "default" in said and "640x480" in said, said
        c.close()
        deadline = time.monotonic() + 30
        while q.qmp("query-vnc")["clients"] and time.monotonic() < deadline:
            pass
        q.qmp("query-status")
        assert q.events[-1]["event"] == "VNC_DISCONNECTED"


# ---- sockets ----

def free_display(count=1):
    """Displays whose ports, of RFB and of WebSocket, are free; tests that run beside this one begin elsewhere."""
    for tried in range(80):
        n, socks = 10 + (os.getpid() + tried) % 80, []
        try:
            for port in (base + n + k for k in range(count) for base in (5900, 5700)):
                s = socket.socket()
                socks.append(s)
                s.bind(("127.0.0.1", port))
            return n
        except OSError:
            continue
        finally:
            for s in socks:
                s.close()
    raise Skip("no free display number")


def plain(*args):
    return QTest(["-M", "pc", *args])


def display_number_is_a_port():
    n = free_display()
    with plain("-vnc", "127.0.0.1:%d" % n) as q:
        c = rfb.Client(rfb.connect(5900 + n))
        info = q.qmp("query-vnc")
        assert (info["host"], info["service"], info["family"]) == ("127.0.0.1", str(5900 + n), "ipv4"), info
        assert info["clients"][0]["host"] == "127.0.0.1"
        c.request()
        c.update()
        assert (c.width, c.height) == (640, 480)  # no screen: a blank one
    with plain("-vnc", ":%d" % n):  # no host: any address
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((host, 5900 + n), 30) as s:
                assert s.recv(12) == b"RFB 003.008\n", host


def next_free_number_is_taken():
    n = free_display(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 5900 + n))
        taken.listen()
        with plain("-vnc", "127.0.0.1:%d,to=%d" % (n, n + 1)) as q:
            assert q.qmp("query-vnc")["service"] == str(5900 + n + 1)
        try:
            with plain("-vnc", "127.0.0.1:%d" % n):
                raise AssertionError("it was accepted")
        except Failed as error:
            assert str(5900 + n) in str(error) and "in use" in str(error), error


def server_calls_a_listening_viewer():
    with socket.socket() as viewer:
        viewer.bind(("127.0.0.1", 0))
        viewer.listen()
        viewer.settimeout(60)
        port = viewer.getsockname()[1]
        with plain("-vnc", "127.0.0.1:%d,reverse=on" % port):
            c = rfb.Client(viewer.accept()[0])
            c.request()
            c.update()
    try:
        with plain("-vnc", "127.0.0.1:%d,reverse=on" % port):
            raise AssertionError("it was accepted")
    except Failed as error:
        assert "no viewer answers" in str(error), error


def websocket_shows_the_same():
    with Machine(vnc=",websocket=unix:%s/ws" % FOLDER) as q:
        q.paint(0, 0, 640, 480, mixed(640, 480, 6))
        ws = rfb.WebSocket(rfb.connect(path=FOLDER + "/ws"))
        c = rfb.Client(ws)
        for encoding in PICTURES:
            c.set_encodings(encoding)
            c.request()
            c.update()
            same(c, q.shown(), "encoding %d" % encoding)
        assert q.qmp("query-vnc")["clients"][0]["websocket"] is True
        ws.send_frame(9, b"are you there")
        assert ws.frame() == (10, b"are you there")
        for n, byte in enumerate(struct.pack(">BBHHHH", 3, 0, 0, 0, 640, 480)):  # one message in many frames
            ws.send_frame(2 if n == 0 else 0, bytes([byte]), final=n == 9)
        c.update()
        for said, answer in ((b"\x03\xe8bye", b"\x03\xe8"), (b"", b"")):
            other = rfb.WebSocket(rfb.connect(path=FOLDER + "/ws"))
            other.send_frame(8, said)
            kind = None
            while kind != 8:
                kind, payload = other.frame()
            assert payload == answer, payload
        ws.send_frame(8, b"")
        with contextlib.suppress(rfb.Closed, ConnectionResetError):
            while True:
                ws.frame()
        deadline = time.monotonic() + 30
        while q.qmp("query-vnc")["clients"] and time.monotonic() < deadline:
            pass
        assert not q.qmp("query-vnc")["clients"]
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"A" * 10000):
            s = rfb.connect(path=FOLDER + "/ws")
            s.sendall(request)
            s.settimeout(60)
            answer = s.recv(4096)
            assert not answer or b"400" in answer, answer
            s.close()


def websocket_has_a_port_of_its_own():
    n = free_display()
    with plain("-vnc", "127.0.0.1:%d,websocket=on" % n) as q:
        rfb.Client(rfb.WebSocket(rfb.connect(5700 + n))).close()
        assert [e["websocket"] for e in q.qmp("query-vnc-servers")[0]["server"]] == [False, True]
        for port in (5700 + n, 5900 + n):  # on that address, and on no other of this computer's
            with socket.create_connection(("127.0.0.1", port), 30):
                pass
            try:
                socket.create_connection(("127.0.0.2", port), 30).close()
            except ConnectionRefusedError:
                continue
            raise AssertionError("port %d is open on another address" % port)
    with plain("-vnc", "127.0.0.1:%d,websocket=%d" % (n, 5700 + n)):
        rfb.Client(rfb.WebSocket(rfb.connect(5700 + n))).close()
    with plain("-vnc", "127.0.0.1:%d,websocket=127.0.0.1:%d" % (n, 5700 + n)):
        rfb.Client(rfb.WebSocket(rfb.connect(5700 + n))).close()


def display_option_is_the_same():
    path = os.path.join(FOLDER, "display-option")
    with QTest(["-M", "pc", "-display", "vnc=unix:%s,password=on" % path]) as q:
        q.qmp("set_password", {"protocol": "vnc", "password": "x"})
        rfb.Client(rfb.connect(path=path), password="x").close()
    assert not os.path.exists(path)


def power_is_the_clients_where_it_may():
    for allowed in (True, False):
        with Machine(vnc=",power-control=on" if allowed else "") as q:
            c = q.connect()
            c.set_encodings(rfb.RAW, rfb.XVP)
            for code, name in ((2, "POWERDOWN"), (4, "RESET")):
                c.send(">BxBB", 250, 1, code)
                c.request()
                c.update()
                q.qmp("query-status")
                q.qmp("query-status")
                assert (name in [e["event"] for e in q.events]) == allowed, (name, allowed)
            assert (("xvp", (1, 1)) in c.notices) == allowed and (("xvp", (1, 0)) in c.notices) != allowed


def what_cannot_be_is_refused_in_words():
    for text, words in (("bogus", ("bogus", "unix:PATH")), (":99999", ("99999",)), (":x", (":x",)),
                        ("127.0.0.1:1,tls-creds=tls0", ("No TLS credentials", "tls0")),
                        ("127.0.0.1:1,sasl-authz=a", ("sasl-authz", "sasl=on")), ("127.0.0.1:1,acl=on,sasl-authz=a,sasl=on", ("acl",)),
                        ("127.0.0.1:1,share=maybe", ("share", "ignore")),
                        ("127.0.0.1:1,colour=red", ("colour",)), ("127.0.0.1:1,password-secret=none", ("secret",)),
                        ("unix:" + "x" * 200, ("UNIX",)), ("127.0.0.1:1,display=nix", ("nix",)),
                        ("unix:%s/a,websocket=on" % FOLDER, ("websocket",))):
        try:
            with plain("-vnc", text):
                raise AssertionError("accepted: " + text)
        except Failed as error:
            assert all(word in str(error) for word in ("-vnc", *words)), (text, error)
    with plain("-vnc", "none") as q:
        assert q.qmp("query-vnc") == {"enabled": False} and q.qmp("query-vnc-servers") == []
        assert q.qmp("human-monitor-command", {"command-line": "info vnc"}).strip() == "None"


def hmp(q, line):
    return q.qmp("human-monitor-command", {"command-line": line})


def server_of_none_is_started_and_moved_later():
    first, second = (os.path.join(FOLDER, name) for name in ("moved1", "moved2"))
    with plain("-vga", "std", "-vnc", "none,password=on") as q:
        assert q.qmp("query-vnc") == {"enabled": False}
        assert hmp(q, "change vnc unix:" + first) == ""
        assert q.qmp("query-vnc")["enabled"] is True and q.qmp("query-vnc")["service"] == first
        assert "missing" in hmp(q, "change vnc password")
        assert hmp(q, "change vnc password sesame") == ""
        c = rfb.Client(rfb.connect(path=first), password="sesame")
        c.request()
        c.update()
        assert hmp(q, "change vnc unix:" + second) == ""
        try:
            while True:
                c.request()
                c.update()
        except (OSError, rfb.Closed):
            pass
        assert not os.path.exists(first) and os.path.exists(second)
        rfb.Client(rfb.connect(path=second), password="sesame").close()
        assert "Error" in hmp(q, "change vnc nonsense") and not q.qmp("query-vnc")["enabled"]
        assert "alone" in hmp(q, "change vnc :1,to=9")
        n = free_display()
        assert hmp(q, "change vnc 127.0.0.1:%d" % n) == ""
        rfb.Client(rfb.connect(5900 + n), password="sesame").close()
        assert hmp(q, "change vnc none") == "" and not q.qmp("query-vnc")["enabled"]
    with plain() as q:
        assert "Error" in hmp(q, "change vnc 127.0.0.1:1")


def passed_connections_become_clients():
    path = os.path.join(FOLDER, "passing")
    with plain("-vga", "std", "-vnc", "none,password=on", "-qmp", "unix:%s,server=on,wait=off" % path) as q:
        qmp = socket.socket(socket.AF_UNIX)
        qmp.connect(path)
        lines = qmp.makefile("r")
        lines.readline()

        def ask(text, *fds):
            socket.send_fds(qmp, [text.encode()], list(fds))
            while True:
                line = lines.readline()
                if '"event"' not in line:
                    return line

        assert "return" in ask('{"execute":"qmp_capabilities"}')
        hmp(q, "set_password vnc sesame")
        for more, password in (('', "sesame"), (',"skipauth":true', None)):
            ours, theirs = socket.socketpair()
            assert "return" in ask('{"execute":"getfd","arguments":{"fdname":"x"}}', theirs.fileno())
            theirs.close()
            line = ask('{"execute":"add_client","arguments":{"protocol":"vnc","fdname":"x"%s}}' % more)
            assert '"return"' in line, line
            c = rfb.Client(ours, password=password)
            c.request()
            c.update()
            assert q.qmp("query-vnc")["enabled"] is True
            c.close()
        read, write = os.pipe()
        ask('{"execute":"getfd","arguments":{"fdname":"p"}}', read)
        for arguments, words in (('"protocol":"vnc","fdname":"p"', "stream socket"),
                                 ('"protocol":"vnc","fdname":"nix"', "nix"), ('"protocol":"rdp","fdname":"p"', "rdp"),
                                 ('"protocol":"@dbus-display","fdname":"p"', "no @dbus-display server"),
                                 ('"protocol":"spice","fdname":"p"', "spice")):
            line = ask('{"execute":"add_client","arguments":{%s}}' % arguments)
            assert '"error"' in line and words in line.lower(), line
        os.close(read)
        os.close(write)
        qmp.close()


CARD = ("-device", "AC97,audiodev=a,addr=4", "-audiodev", "none,id=a")


def ask_for_sound(c, what, *more):
    c.send(">BBH" + ("BBI" if more else ""), 255, 1, what, *more)


def viewers_hear_the_card():
    """In each format that they can ask for: what they hear has the pitch of what the card plays."""
    with Machine(*CARD, vnc=",audiodev=a") as q:
        start_card(q)
        set_rate(q, 48000)
        c = q.connect()
        c.set_encodings(rfb.RAW, rfb.AUDIO)
        c.request()
        c.update()
        assert (rfb.AUDIO, 0) in c.notices, c.notices
        for number, channels, rate, layout in ((None, 2, 44100, "<hh"), (3, 2, 48000, "<hh"), (3, 1, 22050, "<h"), (0, 1, 16000, "B"),
                                               (5, 2, 48000, "<ii"), (2, 2, 44100, "<HH"), (1, 2, 8000, "bb")):
            c.notices.clear()
            c.sound.clear()
            if number is not None:
                ask_for_sound(c, 2, number, channels, rate)
            ask_for_sound(c, 0)
            c.request()
            c.update()  # it was heard
            lay_buffers(q, tone(48000, 1000, 24000), 4)
            q.outb(OUT + 0xB, 1)
            for _ in range(60):
                q.clock_step(SECOND // 100)
                if q.inw(OUT + 6) & 7 == 7:
                    break
            size = struct.calcsize(layout)
            while len(c.sound) < size * rate * 4 // 10:
                c.hear()
            assert ("sound", 1) in c.notices, c.notices
            samples = [f[0] for f in struct.iter_unpack(layout, bytes(c.sound[:len(c.sound) // size * size]))]
            middle = {"B": 128, "<HH": 32768}.get(layout, 0)
            heard = [v - middle for v in samples][rate // 20:rate * 35 // 100]
            hertz = hertz_of(heard, rate)
            assert abs(hertz - 1000) < 2, (layout, rate, hertz)
            most = {"<hh": 20000, "<h": 20000, "B": 78, "<ii": 20000 << 16, "<HH": 20000, "bb": 78}[layout]
            assert 0.9 * most < max(heard) < 1.1 * most, (layout, max(heard))
            q.outb(OUT + 0xB, 0)
            q.outb(OUT + 0xB, 2)
            ask_for_sound(c, 1)
            q.clock_step(SECOND // 10)
            while ("sound", 0) not in c.notices:
                c.request()
                c.update()
        c.close()
        # Who asks for what was not offered is gone; others are not.
        for message in (struct.pack(">BBHBBI", 255, 1, 2, 6, 2, 44100), struct.pack(">BBHBBI", 255, 1, 2, 3, 3, 44100),
                        struct.pack(">BBHBBI", 255, 1, 2, 3, 2, 0xFFFFFFFF), struct.pack(">BBH", 255, 1, 3)):
            c = q.connect()
            c.sock.sendall(message)
            try:
                while c.sock.recv(65536):
                    pass
            except OSError:
                pass
        q.connect().close()
    try:
        with Machine(*CARD, vnc=",audiodev=other"):
            raise AssertionError("taken: an audiodev that is not there")
    except Failed as error:
        assert "other" in str(error), error
    with Machine(*CARD) as q:
        c = q.connect()
        c.set_encodings(rfb.RAW, rfb.AUDIO)
        c.request()
        c.update()
        assert not any(notice[0] == rfb.AUDIO for notice in c.notices), c.notices


def viewers_that_do_not_take_sound_cost_a_bounded_amount():
    with Machine(*CARD, vnc=",audiodev=a") as q:
        start_card(q)
        set_rate(q, 48000)
        c = q.connect()
        c.set_encodings(rfb.RAW, rfb.AUDIO)
        ask_for_sound(c, 2, 5, 2, 192000)
        ask_for_sound(c, 0)
        c.request()
        c.update()

        def memory():
            with open("/proc/%d/statm" % q.process.pid, encoding="ascii") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        before = memory()
        for _ in range(20):
            lay_buffers(q, tone(48000, 1000, 24000), 4)
            q.outb(OUT + 0xB, 1)
            for _ in range(50):
                q.clock_step(SECOND // 100)
            q.outb(OUT + 0xB, 0)
            q.outb(OUT + 0xB, 2)
        assert memory() - before < 8 << 20, "%d bytes more" % (memory() - before)
        q.connect().close()


def wishes_of_viewers_reach_the_edid_of_the_vga():
    path = os.path.join(FOLDER, "edid")
    registers = 0xE1000000
    with plain("-device", "VGA,addr=5,xmax=1920,ymax=1200", "-vnc", "unix:" + path) as q:
        for offset, value in ((0x18, registers), (4, 2)):
            q.outl(0xCF8, 0x80000000 | 5 << 11 | offset)
            q.outl(0xCFC, value)

        def preferred():
            edid = q.read(registers, 128)
            assert edid[:8] == b"\0\xff\xff\xff\xff\xff\xff\0" and sum(edid) % 256 == 0
            return edid[56] | (edid[58] & 0xF0) << 4, edid[59] | (edid[61] & 0xF0) << 4
        first = preferred()
        c = rfb.Client(rfb.connect(path=path))
        c.set_encodings(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE)
        c.request()
        c.update()
        for size, status, now in (((1024, 600), 4, (1024, 600)), ((1920, 1201), 1, (1024, 600)), ((1600, 900), 4, (1600, 900))):
            c.notices.clear()
            c.send(">BxHHBx" + "IHHHHI", 251, *size, 1, 0, 0, 0, *size, 0)
            c.request()
            c.update()
            assert c.notices[0][1:3] == (1, status), (size, c.notices)
            assert preferred() == now != first, (size, preferred())
        c.close()
    with plain("-device", "VGA,edid=off", "-vnc", "unix:" + path) as q:
        c = rfb.Client(rfb.connect(path=path))
        c.set_encodings(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE)
        c.request()
        c.update()
        c.notices.clear()
        c.send(">BxHHBx" + "IHHHHI", 251, 800, 600, 1, 0, 0, 0, 800, 600, 0)
        c.request()
        c.update()
        assert c.notices[0][1:3] == (1, 1), c.notices
        c.close()


def only_a_socket_gives_way_to_a_socket():
    path = os.path.join(FOLDER, "precious")
    with open(path, "w") as f:
        f.write("kept")
    try:
        with plain("-vnc", "unix:" + path):
            raise AssertionError("accepted")
    except Failed as error:
        assert "-vnc" in str(error) and path in str(error), error
    with open(path) as f:
        assert f.read() == "kept"
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with plain("-vnc", "unix:" + path):
        rfb.Client(rfb.connect(path=path)).close()


def socket_that_is_served_is_not_taken_over():
    path = os.path.join(FOLDER, "served")
    with plain("-vnc", "unix:" + path):
        try:
            with plain("-vnc", "unix:" + path):
                raise AssertionError("accepted")
        except Failed as error:
            assert "-vnc" in str(error) and path in str(error) and "serves" in str(error), error
        rfb.Client(rfb.connect(path=path)).close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path + "d")
        try:
            with plain("-vnc", "unix:" + path + "d"):
                raise AssertionError("accepted")
        except Failed as error:
            assert "serves" in str(error), error


# ---- slow and hostile clients ----

def memory_kib(q):
    with open("/proc/%d/status" % q.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def stalled_clients_cost_a_bounded_amount():
    with Machine(screen="width=1600,height=1200") as q:
        rows = mixed(1600, 100, 7)
        clients = []
        for _ in range(10):
            c = q.connect()
            c.set_encodings(rfb.RAW)
            c.request()
            clients.append(c)
        for n in range(5):  # nobody reads
            q.paint(0, n * 200, 1600, 100, rows)
            q.qmp("query-status")
        before = memory_kib(q)
        for n in range(40):
            q.paint(0, n * 25, 1600, 100, rows[::-1 if n % 2 else 1])
            for c in clients:
                c.request(incremental=True)
            q.qmp("query-status")
        grown = memory_kib(q) - before
        assert grown < 10 * 14000, grown  # one picture (7.5 MiB) and one buffer for each at most
        for c in clients[:2]:  # and who reads on sees the present
            c.update()
            c.request()
            c.update()
            c.request()
            while bytes(c.pixels) != q.shown():
                c.update()
                c.request()
            c.close()


def who_reads_no_answers_can_ask_no_more():
    ping = b"\x89\xfd" + bytes(4) + b"p" * 125
    with Machine(vnc=",websocket=unix:%s/flood" % FOLDER) as q:
        plain_client, ws = q.connect(), rfb.WebSocket(rfb.connect(path=FOLDER + "/flood"))
        for sock, question in ((ws.sock, ping), (plain_client.sock, struct.pack(">BxBB", 250, 1, 2))):
            data, sent = question * (65536 // len(question)), 0
            with contextlib.suppress(socket.timeout):
                sock.settimeout(5)
                while sent < 64 << 20:
                    sent += sock.send(data[sent % len(question):])
            assert sent < 64 << 20, "answers to %d bytes are kept" % sent
            sock.settimeout(60)
        frames = [ws.frame() for _ in range(1001)]  # the server's version too
        assert frames.count((10, b"p" * 125)) == 1000, frames[:3]


HOSTILE = {
    "cut text of 4 GiB": struct.pack(">BxxxI", 6, 0xFFFFFFFF),
    "cut text longer than allowed": struct.pack(">BxxxI", 6, (16 << 20) + 1),
    "pixel format of 0 bits": struct.pack(">Bxxx", 0) + bytes(16),
    "pixel format of 24 bits": struct.pack(">Bxxx", 0) + rfb.Format(24, 24).wire(),
    "pixel format with shifts of 255": struct.pack(">Bxxx", 0) + rfb.Format(shifts=(255, 255, 255)).wire(),
    "pixel format with maxima that do not fit": struct.pack(">Bxxx", 0) + rfb.Format(8, 8).wire(),
    "an unknown message": b"\x63" + bytes(100),
    "audio that was not offered": struct.pack(">BBHI", 255, 1, 0, 0),
    "a kind of power that there is none of": struct.pack(">BxBB", 250, 1, 99),
}
HARMLESS = {
    "pixel format with maxima of 0": struct.pack(">Bxxx", 0) + rfb.Format(maxes=(0, 0, 0)).wire() +
                                     struct.pack(">BBHHHH", 3, 0, 0, 0, 640, 480),
    "65535 encodings": struct.pack(">BxH", 2, 65535) + struct.pack(">i", -1) * 65535,
    "no encodings": struct.pack(">BxH", 2, 0) + struct.pack(">BBHHHH", 3, 0, 0, 0, 640, 480),
    "requests outside": struct.pack(">BBHHHH", 3, 0, 65535, 65535, 65535, 65535) * 50,
    "many requests": struct.pack(">BBHHHH", 3, 0, 0, 0, 65535, 65535) * 500,
    "cut text of 1 MiB": struct.pack(">BxxxI", 6, 1 << 20) + b"x" * (1 << 20),
    "a desktop of 255 screens": struct.pack(">BxHHBx", 251, 65535, 65535, 255) + bytes(16 * 255),
    "a desktop of no size": struct.pack(">BxHHBx", 251, 0, 0, 0),
    "pointers outside": struct.pack(">BBHH", 5, 255, 65535, 65535) * 50,
    "odd keys": b"".join(struct.pack(">BBHII", 255, 0, 1, 0xFFFFFFFF, code) for code in (0, 255, 1 << 31)),
}


def hostile_messages_end_only_their_client():
    with Machine() as q:
        for name, data in HOSTILE.items():
            c = q.connect()
            c.sock.sendall(data)
            try:
                while True:
                    c.read(1)
            except (rfb.Closed, ConnectionResetError):
                c.close()
                continue
            raise AssertionError(name)
        for name, data in HARMLESS.items():
            for encoding in PICTURES:
                c = q.connect()
                c.set_encodings(encoding, rfb.DESKTOP_SIZE, rfb.EXTENDED_DESKTOP_SIZE, rfb.CURSOR)
                c.sock.sendall(data)
                c.close()
        c = q.connect()
        c.request()
        c.update()


def bad_handshakes_end_only_their_client():
    with Machine() as q:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"RFB 004.000\n", b"RFB 003.00x\n", b"RFB 003.008\n\x00",
                     b"RFB 003.008\n\x02", b"RFB 003.008\n\xff" + bytes(100), b"\0" * 4096):
            s = rfb.connect(path=q.path)
            s.settimeout(60)
            s.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                while s.recv(4096):
                    pass
            s.close()
        rand = random.Random(8)
        for _ in range(200):
            s = rfb.connect(path=q.path)
            with contextlib.suppress(OSError):
                s.sendall(b"RFB 003.008\n\x01\x01" + bytes(rand.choice((0, 2, 3, 4, 5, 6, 250, 251, 255,
                                                                       rand.randrange(256)))
                                                           for _ in range(rand.randrange(200))))
            s.close()
        q.connect().close()


def more_clients_than_allowed_wait_outside():
    with Machine() as q:
        clients = [rfb.connect(path=q.path) for _ in range(64)]
        for s in clients:
            s.settimeout(60)
            assert s.recv(12) == b"RFB 003.008\n"
        extra = rfb.connect(path=q.path)
        extra.settimeout(60)
        assert extra.recv(12) == b""
        clients.pop().close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, rfb.Closed):
                q.connect().close()
                return
        raise AssertionError("nobody is let in again")


run([viewers_see_what_screendump_sees, every_encoding_shows_the_picture, every_pixel_format_in_every_encoding, tight_takes_each_of_its_forms,
     small_changes_come_alone, part_of_the_picture_can_be_asked_for, lossy_server_sends_jpeg_when_asked,
     new_size_is_told, client_that_asks_for_a_size_is_told_whose_it_is, cursor_is_sent,
     keys_arrive_by_symbol_and_by_code, layout_decides_which_key_it_is,
     keymaps_stand_where_they_are_told, every_layout_is_loaded,
     symbols_come_with_their_modifiers, num_lock_of_the_guest_counts, pointer_arrives,
     relative_pointer_is_told_and_used, ten_thousand_events_lose_nothing, keys_keep_their_distance,
     every_version_is_spoken, password_is_set_changed_and_expires, sharing_is_as_told,
     clients_are_listed_and_told_of, display_number_is_a_port, next_free_number_is_taken,
     server_calls_a_listening_viewer, websocket_shows_the_same, websocket_has_a_port_of_its_own,
     display_option_is_the_same, power_is_the_clients_where_it_may, what_cannot_be_is_refused_in_words,
     viewers_hear_the_card, viewers_that_do_not_take_sound_cost_a_bounded_amount,
     server_of_none_is_started_and_moved_later, passed_connections_become_clients,
     wishes_of_viewers_reach_the_edid_of_the_vga, only_a_socket_gives_way_to_a_socket, socket_that_is_served_is_not_taken_over,
     stalled_clients_cost_a_bounded_amount, who_reads_no_answers_can_ask_no_more, hostile_messages_end_only_their_client,
     bad_handshakes_end_only_their_client, more_clients_than_allowed_wait_outside])
