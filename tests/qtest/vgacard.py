# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of VGA-like adapters share: the card at its ports, and its pictures."""
import random
import tempfile

BAR0, BAR2 = 0xE0000000, 0xF0000000
ATTRIBUTES = list(range(6)) + [0x14, 7] + list(range(0x38, 0x40))
# Registers of modes as the technical reference's tables have them: miscellaneous output, sequencer 0-4,
# CRT controller 0-18h, graphics controller 0-8, attribute controller 0-14h.
MODES = {
    0x03: (0x67, [3, 0, 3, 0, 2],
           [0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F,
            0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF],
           [0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF], ATTRIBUTES + [0x0C, 0, 0x0F, 8, 0]),
    0x12: (0xE3, [3, 1, 0x0F, 0, 6],
           [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xEA, 0x8C, 0xDF, 0x28,
            0, 0xE7, 4, 0xE3, 0xFF],
           [0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF], ATTRIBUTES + [1, 0, 0x0F, 0, 0]),
    0x13: (0x63, [3, 1, 0x0F, 0, 0x0E],
           [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28,
            0x40, 0x96, 0xB9, 0xA3, 0xFF],
           [0, 0, 0, 0, 0, 0x40, 5, 0x0F, 0xFF], list(range(16)) + [0x41, 0, 0x0F, 0, 0]),
    0x04: (0x63, [3, 9, 3, 0, 2],
           [0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14,
            0, 0x96, 0xB9, 0xA2, 0xFF],
           [0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF],
           [0, 0x13, 0x15, 0x17, 2, 4, 6, 7] + list(range(0x10, 0x18)) + [1, 0, 3, 0, 0]),
}


class Card:
    def __init__(self, q):
        self.q = q
        self.config(0x10, BAR0)
        self.config(0x18, BAR2)
        self.config(0x04, 3)

    def config(self, offset, value=None):
        self.q.outl(0xCF8, 0x80001000 | offset)
        if value is None:
            return self.q.inl(0xCFC)
        self.q.outl(0xCFC, value)

    def put(self, port, index, value):
        self.q.outw(port, index | value << 8)

    def seq(self, index, value):
        self.put(0x3C4, index, value)

    def gr(self, index, value):
        self.put(0x3CE, index, value)

    def cr(self, index, value):
        self.put(0x3D4, index, value)

    def ar(self, index, value):
        self.q.inb(0x3DA)
        self.q.outb(0x3C0, index)
        self.q.outb(0x3C0, value)
        self.q.inb(0x3DA)
        self.q.outb(0x3C0, 0x20)

    def dispi(self, index, value=None):
        self.q.outw(0x1CE, index)
        if value is None:
            return self.q.inw(0x1CF)
        self.q.outw(0x1CF, value)

    def palette(self, colours):
        self.q.outb(0x3C8, 0)
        for colour in colours:
            for part in colour:
                self.q.outb(0x3C9, part)

    def mode(self, number, palette=None):
        misc, seq, crtc, gr, ar = MODES[number]
        self.dispi(4, 0)
        self.q.outb(0x3C2, misc)
        for i, value in enumerate(seq):
            self.seq(i, value)
        self.cr(0x11, 0)
        for i, value in enumerate(crtc):
            self.cr(i, value)
        for i, value in enumerate(gr):
            self.gr(i, value)
        self.q.inb(0x3DA)
        for i, value in enumerate(ar):
            self.q.outb(0x3C0, i)
            self.q.outb(0x3C0, value)
        self.q.outb(0x3C0, 0x20)
        self.palette(palette or PALETTE)

    def vbe(self, width, height, bits, virtual=None, flags=0x41):
        self.dispi(4, 0)
        self.dispi(1, width)
        self.dispi(2, height)
        self.dispi(3, bits)
        self.dispi(4, flags)
        if virtual:
            self.dispi(6, virtual)
        self.q.inb(0x3DA)
        self.q.outb(0x3C0, 0x20)
        return self.dispi(4) & 1

    def screen(self):
        """(width, height, bytes of the pixels)"""
        with tempfile.NamedTemporaryFile() as file:
            self.q.qmp("screendump", {"filename": file.name})
            data = file.read()
        magic, size, depth, pixels = data.split(b"\n", 3)
        assert (magic, depth) == (b"P6", b"255"), data[:20]
        width, height = map(int, size.split())
        assert len(pixels) == 3 * width * height
        return width, height, pixels


rand = random.Random(4)
PALETTE = [tuple(rand.randrange(64) for _ in range(3)) for _ in range(256)]


def wide(colour):
    return bytes(part << 2 | part >> 4 for part in colour)


COLOURS = [wide(colour) for colour in PALETTE]


def same(screen, width, height, pixel):
    """Compares with pixel(x, y)."""
    assert screen[:2] == (width, height), screen[:2]
    expected = b"".join(pixel(x, y) for y in range(height) for x in range(width))
    if screen[2] != expected:
        at = next(i for i in range(0, len(expected), 3) if screen[2][i:i + 3] != expected[i:i + 3])
        raise AssertionError("pixel %d,%d is %s, expected %s" % (at // 3 % width, at // 3 // width, screen[2][at:at + 3],
                                                                expected[at:at + 3]))
