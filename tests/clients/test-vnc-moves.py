#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VNC server with pictures that move: what was scrolled or dragged is copied by the client itself (CopyRect), what
changes again and again goes coarsely and is made good, and the gradient filter loses nothing. What a client has equals
screendump each time.
Usage: test-vnc-moves.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import contextlib
import os
import random
import socket
import struct
import sys
import threading
import time

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import rfb  # noqa: E402
from desktop import MEMORY, Desktop, Screen, need, wait  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("moves-")
WIDTH, HEIGHT = 400, 300
PICTURES = (rfb.RAW, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE)


class Picture:
    """What the guest shows: rows of numbers 0xRRGGBB."""

    def __init__(self, seed=1, colours=12):
        rand = random.Random(seed)
        self.rand = rand
        self.rows = [[0x102030] * WIDTH for _ in range(HEIGHT)]
        self.palette = [rand.getrandbits(24) for _ in range(colours)]
        self.scribble(0, 0, WIDTH, HEIGHT)

    def scribble(self, x, y, w, h):
        """Lines such as text has."""
        for row in range(y, y + h):
            at = x
            while at < x + w:
                length = self.rand.randrange(1, 9)
                end = min(at + length, x + w)
                self.rows[row][at:end] = [self.rand.choice(self.palette)] * (end - at)
                at = end

    def move(self, x, y, w, h, dx, dy):
        part = [self.rows[row][x:x + w] for row in range(y, y + h)]
        for n, line in enumerate(part):
            self.rows[y + dy + n][x + dx:x + dx + w] = line

    def show(self, q):
        q.write(MEMORY, b"".join(struct.pack("<%dI" % WIDTH, *row) for row in self.rows))

    def rgb(self):
        return b"".join(bytes((p >> 16, p >> 8 & 255, p & 255)) for row in self.rows for p in row)


def machine(vnc=""):
    machine.count = getattr(machine, "count", 0) + 1
    path = os.path.join(FOLDER, "vnc%d" % machine.count)
    q = Screen(MODULE, "-vnc", "unix:%s%s" % (path, vnc), width=WIDTH, height=HEIGHT)
    q.path = path
    return q


def viewer(q, *encodings, format_=None):
    c = rfb.Client(rfb.connect(path=q.path))
    if format_:
        c.set_format(format_)
    c.set_encodings(*encodings)
    c.request()
    c.update()
    return c


def same(q, c, what):
    width, height, rgb = q.dump(FOLDER)
    assert (width, height) == (c.width, c.height)
    if bytes(c.pixels) != rgb:
        wrong = [i // 3 for i in range(0, len(rgb), 3) if c.pixels[i:i + 3] != rgb[i:i + 3]]
        raise AssertionError("%s: %d pixels are wrong, the first at %d,%d" % (
            what, len(wrong), wrong[0] % width, wrong[0] // width))


def next_picture(q, c, picture, what):
    """(pixels that were copied, bytes that came) with the next update."""
    c.copied = c.copies = 0
    picture.show(q)
    c.request(incremental=True)
    before = c.received
    c.update()
    same(q, c, what)
    return c.copied, c.received - before


# ---- CopyRect ----

def what_scrolls_is_copied_in_every_encoding():
    with machine() as q:
        for encoding in PICTURES:
            p = Picture()
            p.show(q)
            c, plain = viewer(q, encoding, rfb.COPY_RECT), viewer(q, encoding)
            same(q, c, "the first picture")
            for dy in (-16, -16, -7, 20):  # up by a line of text and by some pixels, and down
                h = HEIGHT - abs(dy)
                p.move(0, max(-dy, 0), WIDTH, h, 0, dy)
                p.scribble(0, h if dy < 0 else 0, WIDTH, abs(dy))
                copied, size = next_picture(q, c, p, "encoding %d, scrolled by %d" % (encoding, dy))
                assert copied >= WIDTH * (h - 40), (encoding, dy, copied)
                none, more = next_picture(q, plain, p, "without CopyRect")
                assert none == 0 and size * 4 < more, (encoding, dy, size, more)
            c.close()
            plain.close()


def windows_that_are_dragged_are_copied():
    with machine() as q:
        p = Picture()
        desk = [list(row) for row in p.rows]
        x, y, w, h = 37, 41, 190, 130
        p.palette = [p.rand.getrandbits(24) for _ in range(12)]
        p.scribble(x, y, w, h)
        window = [row[x:x + w] for row in p.rows[y:y + h]]
        p.show(q)
        c = viewer(q, rfb.ZRLE, rfb.COPY_RECT)
        for dx, dy in ((13, 0), (-9, 0), (0, 11), (0, -5), (17, 23), (-21, 30), (19, -14), (-8, -33), (150, 90)):
            x, y = x + dx, y + dy
            p.rows = [list(row) for row in desk]
            for n, line in enumerate(window):
                p.rows[y + n][x:x + w] = line
            copied, _ = next_picture(q, c, p, "dragged by %d, %d" % (dx, dy))
            assert copied >= (w - 8) * (h - 8), (dx, dy, copied)


def what_is_copied_to_elsewhere_stays_where_it_was():
    with machine() as q:
        p = Picture()
        p.show(q)
        c = viewer(q, rfb.ZRLE, rfb.COPY_RECT)
        p.move(0, 0, WIDTH, 150, 0, 150)
        next_picture(q, c, p, "the half once more")
        p.scribble(0, 100, WIDTH, 3)
        copied, _ = next_picture(q, c, p, "a line changes")
        assert copied == 0, copied
        p.rows[20][7] ^= 0xFF
        next_picture(q, c, p, "a pixel changes")


def random_pictures_stay_right():
    with machine() as q:
        p = Picture(7)
        p.show(q)
        c = viewer(q, rfb.TIGHT, rfb.COPY_RECT)
        copied = 0
        for n in range(60):
            for _ in range(p.rand.randrange(1, 4)):
                w, h = p.rand.randrange(1, WIDTH), p.rand.randrange(1, HEIGHT)
                x, y = p.rand.randrange(WIDTH - w + 1), p.rand.randrange(HEIGHT - h + 1)
                if p.rand.randrange(3):
                    p.move(x, y, w, h, p.rand.randrange(WIDTH - w + 1) - x, p.rand.randrange(HEIGHT - h + 1) - y)
                else:
                    p.scribble(x, y, min(w, 90), min(h, 40))
            p.rows[0][0] = n  # something changes in any case
            copied += next_picture(q, c, p, "picture %d" % n)[0]
        assert copied > 10 * WIDTH * 16, copied


def only_what_a_client_has_is_copied():
    with machine() as q:
        p = Picture()
        p.show(q)
        c = rfb.Client(rfb.connect(path=q.path))
        c.set_encodings(rfb.ZRLE, rfb.COPY_RECT)
        c.request(area=(0, 0, WIDTH, 100))
        c.update()
        p.move(0, 16, WIDTH, HEIGHT - 16, 0, -16)
        p.scribble(0, HEIGHT - 16, WIDTH, 16)
        next_picture(q, c, p, "part was known")
        # Colours that it lost do not come back by copying.
        poor = rfb.Format(8, 8, maxes=(7, 7, 3), shifts=(0, 3, 6))
        c = viewer(q, rfb.RAW, rfb.COPY_RECT, format_=poor)
        c.set_format(rfb.Format())
        p.move(0, 16, WIDTH, HEIGHT - 16, 0, -16)
        p.scribble(0, HEIGHT - 16, WIDTH, 16)
        assert next_picture(q, c, p, "after another format")[0] == 0
        p.move(0, 16, WIDTH, HEIGHT - 16, 0, -16)
        p.scribble(0, HEIGHT - 16, WIDTH, 16)
        assert next_picture(q, c, p, "and then")[0] > WIDTH * 200
        # All of it is asked for: all of it comes.
        c.copied, before = 0, c.received
        c.request()
        c.update()
        assert c.copied == 0 and c.received - before > WIDTH * HEIGHT * 4
        # A part is asked for: nothing is copied into the rest.
        p.move(0, 16, WIDTH, HEIGHT - 16, 0, -16)
        p.scribble(0, HEIGHT - 16, WIDTH, 16)
        p.show(q)
        was = bytes(c.pixels)
        c.request(incremental=True, area=(0, 0, WIDTH, 16))
        c.update()
        assert c.copied == 0 and c.pixels[WIDTH * 16 * 3:] == was[WIDTH * 16 * 3:]
        c.request(incremental=True)
        c.update()
        same(q, c, "the rest")


def new_sizes_begin_anew():
    with machine() as q:
        p = Picture()
        p.show(q)
        c = viewer(q, rfb.ZRLE, rfb.COPY_RECT, rfb.DESKTOP_SIZE)
        for width, height in ((320, 200), (640, 350), (WIDTH, HEIGHT)):
            q.resize(width, height)
            c.request(incremental=True)
            c.update()
            same(q, c, "%dx%d" % (width, height))
        p.move(0, 16, WIDTH, HEIGHT - 16, 0, -16)
        p.show(q)
        c.request(incremental=True)
        c.update()
        same(q, c, "scrolled")


def nothing_goes_twice():
    """What changed and became again what it was is not sent to who takes CopyRect."""
    with machine() as q:
        p = Picture()
        p.show(q)
        c = viewer(q, rfb.RAW, rfb.COPY_RECT)
        was = [list(row) for row in p.rows]
        p.scribble(0, 0, WIDTH, HEIGHT)
        p.show(q)
        q.dump(FOLDER)  # somebody has looked at it
        p.rows = was
        p.rows[299][399] ^= 1
        size = next_picture(q, c, p, "back again")[1]
        assert size < 64 * 16 * 4 + 100, size


def tigervnc_shows_what_moves():
    need("xtigervncviewer")
    with machine() as q, Desktop(FOLDER) as desktop:
        p = Picture()
        p.show(q)
        relay = Relay(q.path)
        process = desktop.start("xtigervncviewer", "-RemoteResize=0", "-AutoSelect=0", "-FullColor=1", "-NoJPEG=1",
                                "-PreferredEncoding=ZRLE", "127.0.0.1::%d" % relay.port)
        wait(lambda: desktop.shows(q.dump(FOLDER)), lambda: "the picture does not come: %s" % process.poll())
        for n in range(6):
            h = HEIGHT - 16
            p.move(0, 16, WIDTH, h, 0, -16)
            p.scribble(0, h, WIDTH, 16)
            before = relay.size
            p.show(q)
            wait(lambda: desktop.shows(q.dump(FOLDER)), "what was scrolled does not come")
            assert relay.size - before < WIDTH * 16 * 4 * 3, (n, relay.size - before)  # it was copied


class Relay:
    """A port that leads one viewer to a UNIX socket; counts what comes from there."""

    def __init__(self, path):
        self.size = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = rfb.connect(path=path)
        self.server.settimeout(None)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        viewer_ = self.listener.accept()[0]
        threading.Thread(target=self.copy, args=(viewer_, self.server, False), daemon=True).start()
        self.copy(self.server, viewer_, True)

    def copy(self, from_, to, counts):
        with contextlib.suppress(OSError):
            while True:
                data = from_.recv(1 << 20)
                if not data:
                    return
                to.sendall(data)
                self.size += len(data) if counts else 0


# ---- losses ----

def film(q, n, rows=range(64, 192)):
    """A picture of a video: smooth, of many colours, none like the one before."""
    pixels = [((x * 3 + n * 17) & 255) << 16 | ((y * 2 + x + n * 29) & 255) << 8 | (x ^ y ^ n * 37) & 255
              for y in rows for x in range(WIDTH)]
    q.write(MEMORY + rows[0] * WIDTH * 4, struct.pack("<%dI" % len(pixels), *pixels))


def error(q, c):
    rgb = q.dump(FOLDER)[2]
    return sum(abs(a - b) for a, b in zip(c.pixels, rgb)) / len(rgb)


def quiet(c):
    """Nothing comes for a while."""
    c.request(incremental=True)
    c.sock.settimeout(3)
    try:
        c.update()
        return False
    except socket.timeout:
        return True
    finally:
        c.sock.settimeout(rfb.TIMEOUT)


def play(q, c, until, first=0, most=200):
    """Pictures of a video, until something is so; how large updates were."""
    for n in range(first, first + most):
        film(q, n)
        c.request(incremental=True)
        c.forms, before = set(), c.received
        c.update()
        if until(c.received - before):
            return c.received - before
    raise AssertionError("it does not come to that")


def videos_go_coarsely_and_are_made_good():
    need("jpegtopnm")
    with machine(",lossy=on") as q:
        Picture().show(q)
        c = viewer(q, rfb.TIGHT, -23)
        # The first picture of it has the quality that was asked for, those later less: far fewer bytes.
        first = play(q, c, lambda size: c.forms == {"jpeg"})
        coarse = play(q, c, lambda size: c.forms == {"jpeg"} and size * 2 < first, 1)
        assert error(q, c) > 0.1, "nothing was lost"
        # And then, without a change and with losses no more:
        c.forms = set()
        end = time.monotonic() + rfb.TIMEOUT
        while bytes(c.pixels) != q.dump(FOLDER)[2] and time.monotonic() < end:
            c.request(incremental=True)
            c.update()
        same(q, c, "made good")
        assert "jpeg" not in c.forms and c.forms, c.forms
        assert quiet(c), "it is sent again and again"
        assert coarse < first


def videos_that_move_on_are_copied_and_made_good():
    need("jpegtopnm")
    with machine(",lossy=on") as q:
        Picture().show(q)
        c = viewer(q, rfb.TIGHT, rfb.COPY_RECT, -23)
        first = play(q, c, lambda size: c.forms == {"jpeg"})
        play(q, c, lambda size: c.forms == {"jpeg"} and size * 2 < first, 1)
        data = q.read(MEMORY, WIDTH * HEIGHT * 4)
        q.write(MEMORY, data[WIDTH * 4 * 16:] + bytes(WIDTH * 4 * 16))
        end = time.monotonic() + rfb.TIMEOUT
        while bytes(c.pixels) != q.dump(FOLDER)[2] and time.monotonic() < end:
            c.request(incremental=True)
            c.update()
        same(q, c, "made good")
        assert c.copied, "nothing was copied"


def videos_keep_their_quality_when_told():
    """non-adaptive=on; and without lossy=on, or a quality, nothing is lost at all."""
    need("jpegtopnm")
    with machine(",lossy=on,non-adaptive=on") as q:
        Picture().show(q)
        c = viewer(q, rfb.TIGHT, -23)
        sizes = []
        for n in range(12):
            film(q, n)
            c.request(incremental=True)
            c.forms, before = set(), c.received
            c.update()
            sizes.append(c.received - before)
            assert c.forms == {"jpeg"}, c.forms
        assert min(sizes) * 4 > max(sizes) * 3, sizes
        assert quiet(c), "what was sent is sent again"
    for options, encodings in (("", (rfb.TIGHT, -23)), (",lossy=on", (rfb.TIGHT,)), (",lossy=on", (rfb.ZRLE, -23))):
        with machine(options) as q:
            Picture().show(q)
            c = viewer(q, *encodings)
            for n in range(8):
                film(q, n)
                c.request(incremental=True)
                c.update()
                same(q, c, "%s %s" % (options, encodings))


GRADIENT_FORMATS = (rfb.Format(), rfb.Format(big=True), rfb.Format(shifts=(8, 16, 24)), rfb.Format(depth=32),
                    rfb.Format(16, 16, maxes=(31, 63, 31), shifts=(11, 5, 0)),
                    rfb.Format(16, 15, True, (31, 31, 31), (10, 5, 0)))


def photographs_are_filtered_and_exact():
    with machine(",lossy=on") as q, machine() as other:
        rows = []
        rand = random.Random(5)
        for y in range(HEIGHT):
            rows.append([min(255, (x * x // 700 + y) // 3 + rand.randrange(3)) << 16 |
                         min(255, (x + y * y // 400) // 3 + rand.randrange(3)) << 8 |
                         (x * 2 + y) // 5 + rand.randrange(3)
                         for x in range(WIDTH)])
        for machine_ in (q, other):
            machine_.write(MEMORY, b"".join(struct.pack("<%dI" % WIDTH, *row) for row in rows))
        for format_ in GRADIENT_FORMATS:
            c = viewer(q, rfb.TIGHT, format_=format_)
            many = format_.bits == 32
            assert c.forms == {"gradient"} or not many, c.forms
            wanted = b"".join(format_.expected(bytes((p >> 16, p >> 8 & 255, p & 255))) for row in rows for p in row)
            assert bytes(c.pixels) == wanted, vars(format_)
            if format_.rgb:
                plain = viewer(other, rfb.TIGHT, format_=format_)
                assert "gradient" not in plain.forms and c.received * 10 < plain.received * 9, (
                    c.received, plain.received)


run([what_scrolls_is_copied_in_every_encoding, windows_that_are_dragged_are_copied,
     what_is_copied_to_elsewhere_stays_where_it_was, random_pictures_stay_right, only_what_a_client_has_is_copied,
     new_sizes_begin_anew, nothing_goes_twice, tigervnc_shows_what_moves, videos_go_coarsely_and_are_made_good,
     videos_that_move_on_are_copied_and_made_good, videos_keep_their_quality_when_told,
     photographs_are_filtered_and_exact])
