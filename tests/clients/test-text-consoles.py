#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Text consoles (chardev vc): what programs write is shown as another terminal (tmux) shows it, what people type in a
viewer arrives, sizes, colours, the past, and what is a console by default.
Usage: test-text-consoles.py SOURCE-ROOT BUILD-ROOT"""
import contextlib
import os
import random
import re
import subprocess
import sys
import time

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import rfb  # noqa: E402
from desktop import need, netpbm, wait  # noqa: E402
from qtest import Failed, QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("text-consoles-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
CONTROL, ALT, SHIFT, ALTGR, RETURN = 0xFFE3, 0xFFE9, 0xFFE1, 0xFE03, 0xFF0D
UP, PAGE_UP, PAGE_DOWN, BACKSPACE, HOME, F1, F5 = 0xFF52, 0xFF55, 0xFF56, 0xFF08, 0xFF50, 0xFFBE, 0xFFC2


class Console(QTest):
    """A machine whose port e9 writes to a text console."""

    def __init__(self, *options, size=",cols=40,rows=12"):
        super().__init__(["-M", "pc", "-chardev", "vc,id=console" + size, "-debugcon", "chardev:console", *options])

    def put(self, data):
        for byte in data if isinstance(data, bytes) else data.encode():
            self.outb(0xE9, byte)

    def text(self, device="console"):
        return self.qmp("query-screen-text", {"device": "/chardevs/" + device})

    def lines(self, device="console"):
        return [line.rstrip() for line in self.text(device)["lines"]]

    def cursor(self):
        cursor = self.text().get("cursor")
        return cursor and (cursor["row"], cursor["column"])

    def picture(self, device="console"):
        path = os.path.join(FOLDER, "dump.ppm")
        self.qmp("screendump", {"filename": path, "device": "/chardevs/" + device})
        with open(path, "rb") as f:
            return netpbm(f.read())


# What is written to 40 x 12 cells: how the screen begins, where the cursor is then (None: it is hidden).
SEQUENCES = (
    (b"plain\r\nlines\r\n", ["plain", "lines", ""], (2, 0)),
    (b"a\tb\tc", ["a       b       c"], (0, 17)),
    (b"over\rO\b\bX", ["Xver"], (0, 1)),
    (b"\033[3;5Hhere", ["", "", "    here"], (2, 8)),
    (b"x" * 45, ["x" * 40, "x" * 5], (1, 5)),
    (b"x" * 40 + b"\r\n.", ["x" * 40, "."], (1, 1)),
    (b"\033[?7l" + b"x" * 44 + b"y", ["x" * 39 + "y"], (0, 39)),
    (b"\033[2J\033[12;1Hlast\n\rnew", [""] * 10 + ["last", "new"], (11, 3)),
    (b"one\r\ntwo\r\nthree\033[2;1H\033[M", ["one", "three"], (1, 0)),
    (b"one\r\ntwo\033[1;1H\033[2L", ["", "", "one", "two"], (0, 0)),
    (b"abcdef\033[3D\033[2P", ["abcf"], (0, 3)),
    (b"abcdef\033[4D\033[2@", ["ab  cdef"], (0, 2)),
    (b"abcdef\033[5D\033[3X", ["a   ef"], (0, 1)),
    (b"abcdef\033[3D\033[K", ["abc"], (0, 3)),
    (b"abcdef\033[3D\033[1K", ["    ef"], (0, 3)),
    (b"abcdef\033[2K", [""], (0, 6)),
    (b"a\r\nb\r\nc\033[2;1H\033[J", ["a", "", ""], (1, 0)),
    (b"a\r\nb\r\nc\033[2;1H\033[1J", ["", "", "c"], (1, 0)),
    (b"\033[2;4r\033[4;1Hone\ntwo\nthree", ["", "one", "   two", "      three"], (3, 11)),
    (b"a\r\nb\r\nc\033[2;3r\033[2;1H\033M", ["a", "", "b"], (1, 0)),
    (b"a\r\nb\033[S", ["b"], (1, 1)),
    (b"a\r\nb\033[T", ["", "a", "b"], (1, 1)),
    (b"\033[5;5H\0337\033[1;1H\0338x", [""] * 4 + ["    x"], (4, 5)),
    (b"\033[5;5H\033[s\033[H\033[uy", [""] * 4 + ["    y"], (4, 5)),
    (b"main\033[?1049halternate\033[?1049l.", ["main."], (0, 5)),
    (b"main\033[?1049h\033[Hother", ["other"], (0, 5)),
    (b"\033(0lqk\033(B x", ["\u250c\u2500\u2510 x"], (0, 5)),
    (b"\033)0a\016q\017q", ["a\u2500q"], (0, 3)),
    ("\u00e9\u2550\u263a\u20ac\u4e2d".encode(), ["\u00e9\u2550\u263a??"], (0, 5)),
    (b"\xff\xc3(\xe2\x82 \xc0\xaf", ["??(? ??"], (0, 7)),
    (b"x\033[4b", ["xxxxx"], (0, 5)),
    (b"ab\033[4h\033[2Dxy", ["xyab"], (0, 2)),
    (b"\033[?6h\033[3;6r\033[Htop\033[20;1Hend", ["", "", "top", "", "", "end"], (5, 3)),
    (b"\033]0;a title\007shown\033]2;other\033\\.", ["shown."], (0, 6)),
    (b"\033P1$r\033\\x\033_y\033\\z", ["xz"], (0, 2)),
    (b"\033[?25l", [""], None), (b"\033[?25l\033[?25h", [""], (0, 0)),
    (b"\033[20hx\ny", ["x", "y"], (1, 1)),
    (b"\033[3g\033[1;6H\033H\r\tx", ["     x"], (0, 6)),
    (b"\033[6dx\033[9Gy", [""] * 5 + ["x       y"], (5, 9)),
    (b"\033[10;10H\033[3A\033[2C\033[1B\033[4Dx", [""] * 7 + ["       x"], (7, 8)),
    (b"\033[5;5H\033[2Ex\033[3Fy", [""] * 3 + ["y", "", "", "x"], (3, 1)),
    (b"ab\033[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mc", ["abc"], (0, 3)),
    (b"a\033[999999999999Cb", ["a" + " " * 38 + "b"], (0, 39)),
    (b"a\033[>1;2;3qb\033[!pc\033[ qd\033[?1;2zde", ["abcdde"], (0, 6)),
    (b"a\033[3\030b\033[\032c", ["abc"], (0, 3)),
    (b"text\033cnew", ["new"], (0, 3)),
    (b"text\033#8", ["E" * 40] * 12, (0, 0)),
    (b"a\033[Ib\033[2Zc", ["c       b"], (0, 1)),
)


def sequences_do_what_they_should():
    with Console() as q:
        for data, lines, cursor in SEQUENCES:
            q.put(b"\033c")
            q.put(data)
            shown = q.lines()
            assert shown == lines + [""] * (12 - len(lines)), (data, shown)
            assert q.cursor() == cursor, (data, q.cursor())


@contextlib.contextmanager
def other_terminal(columns, rows):
    """tmux's terminal; what is written to the pipe is shown there."""
    need("tmux")
    path, fifo = os.path.join(FOLDER, "tmux"), os.path.join(FOLDER, "fifo")
    if not os.path.exists(fifo):
        os.mkfifo(fifo)

    def tmux(*args):
        return subprocess.run(["tmux", "-u", "-S", path, "-f", "/dev/null", *args], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8"}, check=True).stdout

    tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "stty raw -echo; cat %s; sleep 1000" % fifo)
    tmux("set", "status", "off")
    try:
        with open(fifo, "wb", buffering=0) as to:
            yield to, tmux
    finally:
        tmux("kill-server")


def random_stream(rng):
    """What terminals agree about: text, moving, erasing, regions, lines and characters that come and go."""
    def number(most):
        return b"%d" % rng.randrange(1, most)

    out = []
    for _ in range(60):
        choice = rng.randrange(12)
        if choice < 4:
            out.append(bytes(rng.choice(b"abcdefghij .#") for _ in range(rng.randrange(1, 18))))
        elif choice == 4:
            out.append(b"\r\n" * rng.randrange(1, 4))
        elif choice == 5:
            out.append(b"\033[%s;%sH" % (number(15), number(45)))
        elif choice == 6:
            out.append(b"\033[%s%c" % (number(6), rng.choice(b"ABCDG")))
        elif choice == 7:
            out.append(b"\033[%d%c" % (rng.randrange(3), rng.choice(b"JK")))
        elif choice == 8:  # outside of a region, and about the column afterwards, tmux has its own mind
            what = rng.choice(b"LMP@XS")
            out.append(b"\033[r\033[%s;%sH" % (number(12), b"1" if what in b"LM" else number(40)))
            out.append(b"\033[%s%c" % (number(5), what))
        elif choice == 9:
            top = rng.randrange(1, 9)
            out.append(b"\033[%d;%dr" % (top, rng.randrange(top + 1, 13)))
        elif choice == 10:
            out.append(rng.choice((b"\0337", b"\0338", b"\033M", b"\033D", b"\033E", b"\b", b"\t", b"\033[r")))
        else:
            out.append(rng.choice((b"\033[1;31m", b"\033[m", b"\033[7m", b"\033[38;5;200m")))
    return b"".join(out)


def another_terminal_shows_the_same():
    """Each stream is put into both, from a clean screen on."""
    with other_terminal(40, 12) as (to, tmux), Console() as q:
        for seed in range(40):
            data = b"\033c\033[H\033[2J" + random_stream(random.Random(seed))
            q.put(data)
            to.write(data + b"\033[r\033[m\033[13;1H\033]2;done %d\033\\" % seed)
            wait(lambda: tmux("display-message", "-p", "#{pane_title}").strip() == "done %d" % seed, "tmux is silent")
            theirs = [line.rstrip() for line in tmux("capture-pane", "-p").split("\n")[:12]]
            assert q.lines() == theirs, "seed %d: %r\n%s\n%s" % (seed, data, "\n".join(q.lines()), "\n".join(theirs))


def colours_are_the_table_s():
    """The pixels of a full block, and of the corner of an empty cell."""
    block = "\u2588".encode()
    with Console() as q:
        for sequence, foreground, background in (
                (b"", 0xAAAAAA, 0), (b"\033[1m", 0xFFFFFF, 0), (b"\033[31m", 0xAA0000, 0), (b"\033[1;31m", 0xFF5555, 0),
                (b"\033[94;42m", 0x5555FF, 0x00AA00), (b"\033[7;33m", 0, 0xAA5500), (b"\033[38;5;208m", 0xFF8700, 0),
                (b"\033[38;2;1;2;3;48;2;250;240;230m", 0x010203, 0xFAF0E6), (b"\033[48;5;250m", 0xAAAAAA, 0xBCBCBC),
                (b"\033[8;31m", 0, 0), (b"\033[2m", 0x555555, 0), (b"\033[31;39;41;49m", 0xAAAAAA, 0),
                (b"\033[31;1m\033[22m", 0xAA0000, 0), (b"\033[107;30m", 0, 0xFFFFFF)):
            q.put(b"\033c" + sequence + block + b"  \033[m\033[5;1H")
            width, _, pixels = q.picture()
            seen = [int.from_bytes(pixels[at:at + 3], "big") for at in (3 * (8 * width + 3), 3 * 12)]
            assert seen == [foreground, background], (sequence, [hex(v) for v in seen])
        q.put(b"\033c\033[?5h")  # all of it the other way round
        assert q.picture()[2][:3] == b"\xaa\xaa\xaa" or q.picture()[2][-3:] == b"\xaa\xaa\xaa"
        q.put(b"\033c \033[4m \033[m\033[5;1H")
        width, _, pixels = q.picture()
        assert pixels[3 * (14 * width + 8):][:24] == b"\xaa" * 24, "no line under the cell"


def sizes_are_pixels_or_characters():
    for options, size, cells in (("", (640, 384), (80, 24)), (",width=800,height=600", (800, 600), (100, 37)),
                                 (",cols=100,rows=30", (800, 480), (100, 30)), (",width=83,rows=2", (83, 32), (10, 2))):
        with Console(size=options) as q:
            assert q.picture()[:2] == size, (options, q.picture()[:2])
            assert (q.text()["columns"], q.text()["rows"]) == cells, options
    for text, size in (("vc", (640, 384)), ("vc:800x600", (800, 600)), ("vc:60Cx20C", (480, 320)),
                       ("vc:60Cx100", (480, 100))):
        with QTest(["-M", "pc", "-serial", text]) as q:
            assert Console.picture(q, "serial0")[:2] == size, text
    with QTest(["-M", "pc"]) as q:
        q.qmp("chardev-add", {"id": "hot", "backend": {"type": "vc", "data": {"cols": 20, "rows": 5}}})
        assert Console.picture(q, "hot")[:2] == (160, 80)
        q.qmp("chardev-remove", {"id": "hot"})
        try:
            Console.picture(q, "hot")
            raise AssertionError("it is still there")
        except Failed:
            pass
    for options, words in ((("-serial", "vc:80C"), "vc:800x600"), (("-serial", "vc:axb"), "vc:800x600"),
                           (("-serial", "vc:80x24C9"), "vc:800x600"), (("-serial", "vc:"), "vc:800x600"),
                           (("-chardev", "vc,id=c,width=100,cols=4"), "not both"), (("-serial", "vc:4x100"), "8 to 4096"),
                           (("-serial", "vc:9999Cx24C"), "1 to 512"), (("-chardev", "vc,id=c,rows=257"), "1 to 256"),
                           (("-chardev", "vc,id=c,height=15"), "16 to 4096"), (("-chardev", "vc,id=c,lines=3"), "lines")):
        done = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-display", "none", *options], text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and words in done.stderr, (options, done)


class Watched(Console):
    """With a VNC server, whose client types."""

    def __init__(self, *options, **more):
        Watched.count = getattr(Watched, "count", 0) + 1
        self.path = os.path.join(FOLDER, "vnc%d" % Watched.count)
        super().__init__("-vnc", "unix:" + self.path, *options, **more)
        self.client = rfb.Client(rfb.connect(path=self.path))
        self.client.set_encodings(rfb.RAW, rfb.DESKTOP_SIZE)

    def __exit__(self, *exception):
        self.client.close()
        return super().__exit__(*exception)

    def press(self, *keysyms):
        for keysym in keysyms:
            self.client.key(keysym, True)
        for keysym in reversed(keysyms):
            self.client.key(keysym, False)

    def type(self, text):
        for c in text:
            self.press(RETURN if c == "\n" else ord(c))

    def show(self, number):
        self.press(CONTROL, ALT, ord(str(number)))

    def sees(self, device):
        """The client has the picture of the console."""
        def same():
            self.client.request()
            self.client.update()
            width, height, pixels = self.picture(device)
            if (self.client.width, self.client.height) != (width, height):
                return False
            shown = bytes(self.client.pixels)
            return [shown[n:n + 3] for n in range(0, len(shown), 3)][16 * width:] == [
                pixels[n:n + 3] for n in range(0, len(pixels), 3)][16 * width:] if len(shown) == len(pixels) else False
        wait(same, "the client does not see %s" % device)


def keys_reach_the_monitor():
    with Watched("-monitor", "vc", "-vga", "std", "-S") as q:
        q.show(3)  # behind the display adapter and the console that -chardev names
        q.type("info status\n")
        name = "compat_monitor1"  # that of -qmp is the first
        wait(lambda: "VM status: paused" in str(q.lines(name)), lambda: "no answer: %s" % q.lines(name))
        q.sees(name)
        q.type("info chardev\n" * 8)  # what goes off the top is looked at with Ctrl or Shift and a page key
        wait(lambda: "VM status" not in str(q.lines(name)), "it does not scroll")
        for keys in ((CONTROL, PAGE_UP), (SHIFT, PAGE_UP)):
            for _ in range(9):
                q.press(*keys)
            wait(lambda: "VM status" in str(q.lines(name)), "the past does not come")
            assert "cursor" not in q.text(name), "the cursor is in the past"
            for _ in range(9):
                q.press(keys[0], PAGE_DOWN)
            wait(lambda: "VM status" not in str(q.lines(name)), "the present does not come")
        q.press(CONTROL, UP)
        before = q.lines(name)
        q.press(CONTROL, PAGE_UP)
        wait(lambda: q.lines(name) != before, "it does not move")
        q.type("x")  # who types sees it
        wait(lambda: "cursor" in q.text(name), "the cursor does not come back")
        assert q.lines(name)[q.text(name)["cursor"]["row"]].endswith("x")
        q.show(1)
        q.type("zzz")
        time.sleep(0.3)
        assert "zzz" not in str(q.lines(name)), "what is for the guest came to the monitor"


def typed(q, expected):
    """What the UART has got."""
    got = b""

    def look():
        nonlocal got
        while q.inb(0x3FD) & 1:
            got += bytes([q.inb(0x3F8)])
        return got == expected
    wait(look, lambda: "%r, not %r" % (got, expected), 20)


def keys_reach_a_serial_port():
    with Watched("-serial", "vc", "-vga", "std") as q:
        for byte in b"from the guest\r\n":
            q.outb(0x3F8, byte)
        wait(lambda: q.lines("serial0")[0] == "from the guest", "it is not shown")
        # Consoles: the display adapter, then the one named first.
        number = 3
        q.show(number)
        q.sees("serial0")
        q.type("aZ~")
        typed(q, b"aZ~")
        q.press(RETURN)
        q.press(BACKSPACE)
        q.press(CONTROL, ord("c"))
        q.press(ALT, ord("x"))
        typed(q, b"\r\x7f\x03\x1bx")
        for byte in b"\033[20h":  # the mode in which Return is two
            q.outb(0x3F8, byte)
        q.press(RETURN)
        typed(q, b"\r\n")
        q.press(UP)
        q.press(HOME)
        q.press(F1)
        q.press(F5)
        q.press(0xFFFF)
        typed(q, b"\033[A\033[H\033OP\033[15~\033[3~")
        for byte in b"\033[?1h":
            q.outb(0x3F8, byte)
        q.press(UP)
        typed(q, b"\033OA")
        for question, answer in ((b"\033[6n", b"\033[2;1R"), (b"\033[5n", b"\033[0n"), (b"\033[c", b"\033[?6c"),
                                 (b"\033[18t", b"\033[8;24;80t"), (b"\033[>c", b"\033[>0;10;0c"), (b"\033Z", b"\033[?6c")):
            for byte in question:
                q.outb(0x3F8, byte)
            typed(q, answer)


def layout_is_that_of_k():
    with Watched("-serial", "vc", "-vga", "std", "-k", "de") as q:
        q.show(3)
        q.sees("serial0")
        q.type("zy-\u00f6")
        q.press(ALTGR, ord("@"))
        typed(q, "zy-\u00f6@".encode())


def many_keys_that_nobody_reads_do_no_harm():
    with Watched("-serial", "vc", "-vga", "std") as q:
        q.show(3)
        q.sees("serial0")
        for _ in range(6000):
            q.client.key(ord("k"), True)
            q.client.key(ord("k"), False)
        q.show(1)  # the viewer is not held up
        q.client.request()
        q.client.update()
        got = b""
        deadline = time.monotonic() + 20
        while len(got) < 3000 and time.monotonic() < deadline:
            while q.inb(0x3FD) & 1:
                got += bytes([q.inb(0x3F8)])
        assert len(got) >= 3000 and set(got) == {ord("k")}, len(got)


def consoles_come_and_go_under_viewers():
    with Watched("-vga", "std") as q:
        q.qmp("chardev-add", {"id": "hot", "backend": {"type": "vc", "data": {}}})
        q.show(3)
        q.sees("hot")
        q.qmp("chardev-remove", {"id": "hot"})
        q.show(2)
        q.put(b"still here")
        q.sees("console")
        q.qmp("chardev-add", {"id": "hot", "backend": {"type": "vc", "data": {"cols": 30, "rows": 9}}})
        q.show(3)
        q.sees("hot")


def defaults_are_consoles_where_there_is_a_display():
    def made(*options):
        command = [PROGRAM, "-M", "pc", "-accel", "qtest", "-S", "-qmp", "stdio", *options]
        done = subprocess.run(command, input='{"execute":"qmp_capabilities"}{"execute":"query-chardev"}{"execute":"quit"}',
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
        return re.findall('"label": "([a-z_0-9]*)", "filename": "vc"', done.stdout) + re.findall(
            '"filename": "vc", "label": "([a-z_0-9]*)"', done.stdout)
    path = "unix:" + os.path.join(FOLDER, "default")
    names = made("-vnc", path)
    assert len(names) == 3 and names[0].startswith("compat_monitor") and {"serial0", "parallel0"} < set(names), names
    assert made("-vnc", path, "-serial", "null", "-parallel", "none", "-monitor", "null") == []
    assert made("-vnc", path, "-nodefaults") == []
    assert made("-display", "none") == []


def hostile_bytes_do_no_harm():
    with Console(size=",cols=7,rows=3") as q:
        rng = random.Random(5)
        for _ in range(300):
            q.put(b"\033" + bytes(rng.choice(b"[[[[]?>;:0123456789!#()789cDEHMABCDGHJKLMPSTXZ@bdefghlmnrstu\033\016\r\n")
                                  for _ in range(rng.randrange(1, 24))) + rng.randbytes(rng.randrange(6)))
        q.put(b"\033\\\030\033cend")
        assert q.lines()[0] == "end", q.lines()


run([sequences_do_what_they_should, another_terminal_shows_the_same, colours_are_the_table_s,
     sizes_are_pixels_or_characters, keys_reach_the_monitor, keys_reach_a_serial_port, layout_is_that_of_k,
     many_keys_that_nobody_reads_do_no_harm, consoles_come_and_go_under_viewers,
     defaults_are_consoles_where_there_is_a_display, hostile_bytes_do_no_harm])
