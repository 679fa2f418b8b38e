#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The text on a screen in graphics modes: read with console fonts that lie in the guest's memory."""
import random

from qtest import Failed, Tap

BAR0, BAR2 = 0xE0000000, 0xF0000000
BLOCKS = range(0xDB, 0xE0)


def font(seed, width, height):
    """Random glyphs in the order of code page 437, with its block characters and spaces."""
    r, row = random.Random(seed), width // 8
    glyphs = [bytes([0] * row + [r.getrandbits(8) for _ in range((height - 4) * row)] + [0] * 3 * row) for _ in range(256)]
    full, none = b"\xff" * row, b"\0" * row
    left, right = (b"\xf0", b"\x0f") if row == 1 else (b"\xff\0", b"\0\xff")
    half = height // 2
    glyphs[0xDB:0xE0] = [full * height, none * half + full * half, left * height, right * height,
                         full * half + none * half]
    for blank in (0, 0x20, 0xFF):
        glyphs[blank] = none * height
    return glyphs


class Screen:
    def __init__(self, q, width, height):
        self.q, self.width, self.height = q, width, height
        for offset, value in ((0x10, BAR0), (0x18, BAR2), (4, 3)):
            q.outl(0xCF8, 0x80001000 | offset)
            q.outl(0xCFC, value)
        for index, value in ((4, 0), (1, width), (2, height), (3, 32), (4, 0x41)):
            q.outw(0x1CE, index)
            q.outw(0x1CF, value)
        q.inb(0x3BA)
        q.outb(0x3C0, 0x20)
        self.pixels = bytearray(4 * width * height)

    def put(self, glyph, x, y, fore, back, size, flip=0):
        width, height = size
        row = width // 8
        for line in range(height):
            dots = int.from_bytes(glyph[line * row:(line + 1) * row], "big")
            if line >= height - flip:
                dots ^= (1 << width) - 1
            at = 4 * ((y * height + line) * self.width + x * width)
            self.pixels[at:at + 4 * width] = b"".join(
                (fore if dots >> (width - 1 - i) & 1 else back).to_bytes(4, "little") for i in range(width))

    def show(self):
        self.q.write(BAR0, bytes(self.pixels))


def draw(q, glyphs, size, seed, columns, rows, flips=()):
    screen, r = Screen(q, columns * size[0], rows * size[1]), random.Random(seed)
    text = [[r.choice((0x20, r.randrange(33, 127))) for _ in range(columns)] for _ in range(rows)]
    for y, line in enumerate(text):
        back = r.getrandbits(24)
        for x, char in enumerate(line):
            screen.put(glyphs[char], x, y, back ^ 0xFFFFFF, back, size, flips.get((x, y), 0) if flips else 0)
    screen.show()
    return ["".join(map(chr, line)) for line in text]


def text_is_read_with_a_font_in_memory(q):
    glyphs = font(1, 8, 16)
    q.write(0x00345678, b"".join(glyphs))
    text = draw(q, glyphs, (8, 16), 2, 80, 25)
    reply = q.qmp("query-screen-text")
    assert (reply["mode"], reply["columns"], reply["rows"], reply["unknown"]) == ("graphics", 80, 25, 0), reply
    assert reply["lines"] == text


def large_fonts_are_found_too(q):
    glyphs = font(3, 16, 32)
    q.write(0x00200001, b"".join(glyphs))
    text = draw(q, glyphs, (16, 32), 4, 60, 20)
    reply = q.qmp("query-screen-text")
    assert reply["lines"] == text and reply["unknown"] == 0


def font_that_fits_is_chosen(q):
    fonts = [font(5, 8, 16), font(6, 8, 8), font(7, 8, 14)]
    for i, glyphs in enumerate(fonts):
        q.write(0x00300000 + 0x40000 * i, b"".join(glyphs))
    text = draw(q, fonts[1], (8, 8), 8, 80, 50)
    assert q.qmp("query-screen-text")["lines"] == text
    text = draw(q, fonts[2], (8, 14), 9, 80, 25)  # another one later
    assert q.qmp("query-screen-text")["lines"] == text


def cursors_are_seen_through(q):
    glyphs = font(10, 8, 16)
    q.write(0x00500000, b"".join(glyphs))
    text = draw(q, glyphs, (8, 16), 11, 80, 25, {(3, 4): 2, (10, 10): 16, (79, 24): 4})
    assert q.qmp("query-screen-text")["lines"] == text


def what_is_no_text_is_told(q):
    glyphs = font(12, 8, 16)
    q.write(0x00500000, b"".join(glyphs))
    text = draw(q, glyphs, (8, 16), 13, 80, 25)
    noise = random.Random(14)
    q.write(BAR0, bytes(noise.getrandbits(8) for _ in range(4 * 640 * 16)))
    reply = q.qmp("query-screen-text")
    assert reply["unknown"] == 80
    assert reply["lines"] == ["\ufffd" * 80] + text[1:]


def without_a_font_it_is_said(q):
    Screen(q, 640, 400).show()
    q.writel(BAR0, 0xFFFFFF)
    try:
        q.qmp("query-screen-text")
    except Failed as why:
        assert "font" in str(why) and "screendump" in str(why), why
    else:
        raise AssertionError("not refused")


def monitor_shows_the_lines(q):
    glyphs = font(15, 8, 16)
    q.write(0x00500000, b"".join(glyphs))
    text = draw(q, glyphs, (8, 16), 16, 80, 25)
    seen = q.qmp("human-monitor-command", {"command-line": "screen-text"}).replace("\r\n", "\n")
    assert seen.split("\n")[:25] == [line.rstrip() for line in text]


tap = Tap()
for case in (text_is_read_with_a_font_in_memory, large_fonts_are_found_too, font_that_fits_is_chosen,
             cursors_are_seen_through, what_is_no_text_is_told, without_a_font_it_is_said, monitor_shows_the_lines):
    tap.machine_case(case.__name__, ["-M", "pc", "-m", "64", "-device", "VGA,addr=02.0,rombar=0"], case)
tap.done()
