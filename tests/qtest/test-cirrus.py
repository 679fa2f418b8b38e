#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CL-GD5446 by its technical reference: registers and their key, banks, pictures of packed pixels, the pointer,
and the BitBLT engine against a model that works byte by byte."""
import random

from qtest import Tap
from vgacard import BAR0, BAR2 as BAR1, COLOURS, Card, same

MEMORY = 4 << 20
MASK = MEMORY - 1
FEED = BAR0 + (16 << 20)
ROPS = {0x00: lambda s, d: 0, 0x05: lambda s, d: s & d, 0x06: lambda s, d: d, 0x09: lambda s, d: s & ~d,
        0x0B: lambda s, d: ~d, 0x0D: lambda s, d: s, 0x0E: lambda s, d: 0xFF, 0x50: lambda s, d: ~s & d,
        0x59: lambda s, d: s ^ d, 0x6D: lambda s, d: s | d, 0x90: lambda s, d: ~(s | d), 0x95: lambda s, d: ~(s ^ d),
        0xAD: lambda s, d: s | ~d, 0xD0: lambda s, d: ~s, 0xD6: lambda s, d: ~s | d, 0xDA: lambda s, d: ~(s & d)}


class Cirrus(Card):
    def __init__(self, q, unlocked=True):
        super().__init__(q)
        self.config(0x14, BAR1)
        q.outb(0x3C2, 0x67)
        if unlocked:
            self.seq(6, 0x12)

    def get(self, port, index):
        self.q.outb(port, index)
        return self.q.inb(port + 1)

    def hidden(self, value=None):
        for _ in range(4):
            self.q.inb(0x3C6)
        if value is None:
            return self.q.inb(0x3C6)
        self.q.outb(0x3C6, value)

    def packed(self, width, height, select, hidden, pitch, start=0):
        """A mode of packed pixels; `select` is what SR7 says of the pixels."""
        self.mode(0x12)
        self.cr(0x11, 0x0C)  # not protected
        self.seq(7, 1 | select << 1)
        self.hidden(hidden)
        self.cr(1, width // 8 - 1)
        self.cr(0x12, (height - 1) & 0xFF)
        self.cr(7, 0x10 | (height - 1) >> 7 & 2 | (height - 1) >> 3 & 0x40)
        self.cr(9, 0x40)
        self.cr(0x13, pitch // 8 & 0xFF)
        self.cr(0x0C, start >> 10 & 0xFF)
        self.cr(0x0D, start >> 2 & 0xFF)
        self.cr(0x1B, pitch // 8 >> 4 & 0x10 | start >> 18 & 1 | start >> 17 & 0x0C)
        self.cr(0x1D, start >> 14 & 0x80)

    def blt(self, b, mmio):
        """Registers of an operation, and its start: by ports or in memory."""
        if mmio:
            q, at = self.q, BAR1 + 0x100
            q.writel(at, b.bg)
            q.writel(at + 4, b.fg)
            q.writel(at + 8, b.width - 1 | (b.height - 1) << 16)
            q.writel(at + 0x0C, b.dpitch | b.spitch << 16)
            q.writel(at + 0x14, b.src | b.clip << 24)
            q.writel(at + 0x18, b.mode | b.rop << 16 | b.ext << 24)
            q.writew(at + 0x1C, b.key)
            q.writel(at + 0x10, b.dst)
            q.writeb(at + 0x40, 2)
            return
        for i, (low, high) in enumerate(((0, 1), (0x10, 0x11), (0x12, 0x13), (0x14, 0x15))):
            self.gr(low, b.bg >> 8 * i & 0xFF)
            self.gr(high, b.fg >> 8 * i & 0xFF)
        for index, value, count in ((0x20, b.width - 1, 2), (0x22, b.height - 1, 2), (0x24, b.dpitch, 2),
                                    (0x26, b.spitch, 2), (0x28, b.dst, 3), (0x2C, b.src, 3), (0x34, b.key, 2)):
            for i in range(count):
                self.gr(index + i, value >> 8 * i & 0xFF)
        self.gr(0x2F, b.clip)
        self.gr(0x30, b.mode)
        self.gr(0x32, b.rop)
        self.gr(0x33, b.ext)
        self.gr(0x31, 2)


class Blt:
    """What the technical reference says of an operation, one byte after the other."""
    fg = bg = key = clip = ext = mode = src = dst = 0
    dpitch = spitch = 256
    rop = 0x0D

    def __init__(self, width, height, **rest):
        self.width, self.height = width, height
        for name, value in rest.items():
            setattr(self, name, value)
        self.bytes = (self.mode >> 4 & 3) + 1
        self.expand, self.pattern, self.transparent = self.mode & 0x80, self.mode & 0x40, self.mode & 8
        self.system = self.mode & 4 and not self.pattern
        pixels = -(-width // self.bytes)
        self.line = -(-pixels // 8) if self.expand else width
        if not self.expand or self.ext & 1:
            self.line = -(-self.line // 4) * 4

    def bits(self, memory, data, row, pixel):
        if self.ext & 4:
            return 1
        if self.pattern:
            byte = memory[((self.src & ~7) + (self.src + row & 7)) & MASK]
            value = byte >> (7 - pixel % 8) & 1
        elif data is not None:
            value = data[row * self.line + pixel // 8] >> (7 - pixel % 8) & 1
        else:
            value = memory[(self.src + row * self.line + pixel // 8) & MASK] >> (7 - pixel % 8) & 1
        return value ^ (1 if self.ext & 2 else 0)

    def source(self, memory, data, row, i):
        """(byte, whether it is written)"""
        pixel, part, n = i // self.bytes, i % self.bytes, self.bytes
        if self.expand:
            on = self.bits(memory, data, row, pixel)
            return (self.fg if on else self.bg) >> 8 * part & 0xFF, on or not self.transparent
        if self.pattern:
            stride = 8 * (4 if n == 3 else n)
            at = (self.src & ~(8 * stride - 1)) + (self.src + row & 7) * stride

            def read(k):
                return memory[(at + k % (8 * n)) & MASK]
        elif data is not None:
            def read(k):
                return data[row * self.line + k]
        else:
            sign = -1 if self.mode & 1 else 1
            base = self.src + sign * row * self.spitch - (self.width - 1 if self.mode & 1 else 0)

            def read(k):
                return memory[(base + k) & MASK]
        shown = True
        if self.transparent and n <= 2 and pixel * n + n <= self.width:
            shown = any(read(pixel * n + k) != self.key >> 8 * k & 0xFF for k in range(n))
        return read(i), shown

    def run(self, memory, data=None):
        back = self.mode & 1 and not self.mode & 0xC0
        skip = (self.clip & 31 if self.bytes == 3 else (self.clip & 7) * self.bytes) if self.mode & 0xC0 else 0
        for row in range(self.height):
            base = self.dst + (-row if back else row) * self.dpitch - (self.width - 1 if back else 0)
            line = [self.source(memory, data, row, i) for i in range(self.width)]
            for i, (byte, shown) in enumerate(line):
                at = (base + i) & MASK
                if shown and i >= skip:
                    memory[at] = ROPS[self.rop](byte, memory[at]) & 0xFF


class Tried:
    """The card's memory and the model's, which have to be the same after each operation."""

    def __init__(self, q, seed):
        self.q, self.c, self.r = q, Cirrus(q), random.Random(seed)
        self.places = ((0, 0x8000), (MEMORY - 0x4000, 0x4000))
        self.memory = bytearray(MEMORY)
        for at, count in self.places:
            self.memory[at:at + count] = self.r.randbytes(count)
            q.write(BAR0 + at, bytes(self.memory[at:at + count]))

    def do(self, b, data=None, port=FEED, mmio=None):
        if data is None and b.system:
            data = self.r.randbytes(b.line * b.height)
        self.c.blt(b, self.r.randrange(2) if mmio is None else mmio)
        if b.system:
            assert self.c.get(0x3CE, 0x31) & 9 == 9  # it waits for data
            padded = data + bytes(-len(data) % 4)
            for i in range(0, len(padded), 4):
                self.q.writel(port + i % 0x8000, int.from_bytes(padded[i:i + 4], "little"))
        assert self.c.get(0x3CE, 0x31) & 0x0B == 0
        b.run(self.memory, data if b.system else None)
        for at, count in self.places:
            if self.q.read(BAR0 + at, count) != bytes(self.memory[at:at + count]):
                got = self.q.read(BAR0 + at, count)
                first = next(i for i in range(count) if got[i] != self.memory[at + i])
                raise AssertionError("at %x: %02x, expected %02x after %s" % (at + first, got[first],
                                                                             self.memory[at + first], vars(b)))


# ---- registers ----

def function_is_that_of_the_chip(q):
    c = Cirrus(q)
    assert c.config(0) == 0x00B81013 and c.config(8) >> 16 == 0x0300
    assert c.config(0x2C) == 0x11001AF4  # Linux's driver takes no other
    c.config(0x10, 0xFFFFFFFF)
    c.config(0x14, 0xFFFFFFFF)
    assert c.config(0x10) == 0xFE000008 and c.config(0x14) == 0xFFFFF000
    assert c.get(0x3D4, 0x27) == 0xB8
    assert c.get(0x3C4, 0x0F) == 0x98  # four MiB


def extensions_have_a_key(q):
    c = Cirrus(q, unlocked=False)
    assert c.get(0x3C4, 6) == 0x0F
    for port, index in ((0x3C4, 7), (0x3C4, 0x1F), (0x3CE, 9), (0x3CE, 0x31), (0x3D4, 0x1B), (0x3D4, 0x27)):
        c.put(port, index, 0x55)
        assert c.get(port, index) == 0xFF, (port, index)
    c.hidden(0xC5)
    c.seq(6, 0x12)
    assert c.get(0x3C4, 6) == 0x12 and c.get(0x3C4, 7) == 0 and c.get(0x3CE, 9) == 0 and c.get(0x3D4, 0x1B) == 0
    assert c.hidden() == 0
    c.seq(7, 0xE1)
    c.gr(9, 0x12)
    c.cr(0x1B, 0x22)
    c.hidden(0xC5)
    assert (c.get(0x3C4, 7), c.get(0x3CE, 9), c.get(0x3D4, 0x1B), c.hidden()) == (0xE1, 0x12, 0x22, 0xC5)
    assert q.inb(0x3C6) == 0xFF  # and then the mask again
    c.seq(6, 0xFF)
    assert c.get(0x3C4, 6) == 0x0F and c.get(0x3C4, 7) == 0xFF
    c.seq(6, 0xFA)  # bits 7, 6, 5 and 3 do not matter
    assert c.get(0x3C4, 6) == 0x12


def registers_in_memory_are_those_of_the_ports(q):
    c = Cirrus(q)
    q.writeb(BAR1 + 4, 7)
    q.writeb(BAR1 + 5, 0x19)
    assert c.get(0x3C4, 7) == 0x19
    q.writel(BAR1 + 0x100, 0x44332211)
    q.writel(BAR1 + 0x104, 0x88776655)
    assert [c.get(0x3CE, i) for i in (0, 0x10, 0x12, 0x14, 1, 0x11, 0x13, 0x15)] == [
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]
    q.writel(BAR1 + 0x108, 0xFFFFFFFF)
    assert q.readl(BAR1 + 0x108) == 0x07FF1FFF
    assert c.get(0x3CE, 0x21) == 0x1F and c.get(0x3CE, 0x23) == 7
    c.gr(6, 4)
    c.seq(0x17, 0x24)  # at b8000
    q.writeb(0xB8008, 0x5A)
    assert c.get(0x3CE, 0x20) == 0x5A
    c.seq(0x17, 0x64)  # at the end of memory
    q.writeb(BAR0 + MEMORY - 0x100 + 8, 0xA5)
    assert c.get(0x3CE, 0x20) == 0xA5
    c.seq(0x17, 0x20)
    q.writeb(BAR0 + MEMORY - 0x100 + 8, 0x33)
    assert c.get(0x3CE, 0x20) == 0xA5 and q.readb(BAR0 + MEMORY - 0x100 + 8) == 0x33


def banks_show_their_part_of_memory(q):
    c = Cirrus(q)
    c.packed(640, 480, 0, 0, 640)
    for bank in (0, 1, 7, 255):
        c.gr(9, bank)
        q.writel(0xA0000, 0x01020304 + bank)
        assert q.readl(BAR0 + (bank << 12)) == 0x01020304 + bank
    c.gr(9, 255)
    q.writel(0xAFFFC, 0x55)
    assert q.readl(BAR0 + (255 << 12) + 0xFFFC) == 0x55
    c.gr(0x0B, 0x20)  # units of 16 KiB
    c.gr(9, 252)
    q.writel(0xAFFFC, 0x11121314)
    assert q.readl(BAR0 + MEMORY - 4) == 0x11121314
    c.gr(9, 255)  # the last 48 KiB are not there
    q.writel(0xA3FFC, 0x66)
    q.writel(0xA4000, 0x77)
    assert q.readl(BAR0 + MEMORY - 4) == 0x66 and q.readl(0xA4000) == 0xFFFFFFFF
    c.gr(0x0B, 1)  # two banks
    c.gr(9, 3)
    c.gr(0x0A, 0x40)
    q.writel(0xA0010, 0x1111)
    q.writel(0xA8010, 0x2222)
    assert q.readl(BAR0 + 0x3010) == 0x1111 and q.readl(BAR0 + 0x40010) == 0x2222
    assert q.readl(0xA8010) == 0x2222 and q.readl(0xA0010) == 0x1111
    c.seq(7, 0)  # planes again: four bytes at each address
    c.gr(0x0B, 0)
    c.gr(9, 1)
    c.mode(0x12)
    q.writeb(0xA0001, 0x99)
    assert q.readl(BAR0 + 0x1004) == 0x99999999


# ---- pictures ----

def pixel_of(data, kind, pitch):
    size = {"8": 1, "15": 2, "16": 2, "24": 3, "32": 4}[kind]

    def pixel(x, y):
        at = y * pitch + x * size
        value = int.from_bytes(data[at:at + size], "little")
        if kind == "8":
            return COLOURS[value]
        if size > 2:
            return bytes((value >> 16 & 255, value >> 8 & 255, value & 255))
        parts = ((10, 5), (5, 5), (0, 5)) if kind == "15" else ((11, 5), (5, 6), (0, 5))
        parts = [((value >> shift) % (1 << n), n) for shift, n in parts]
        return bytes(v << (8 - n) | v >> (2 * n - 8) for v, n in parts)
    return pixel


def picture_case(kind, select, hidden, pitch, start):
    def run(q):
        c, r = Cirrus(q), random.Random(int(kind))
        c.packed(320, 200, select, hidden, pitch, start)
        data = r.randbytes(pitch * 200)
        q.write(BAR0 + start, data)
        same(c.screen(), 320, 200, pixel_of(data, kind, pitch))
    return run


def lines_can_be_shown_twice(q):
    c, r = Cirrus(q), random.Random(31)
    c.packed(320, 400, 0, 0, 320)
    c.cr(9, 0x41)
    data = r.randbytes(320 * 200)
    q.write(BAR0, data)
    pixel = pixel_of(data, "8", 320)
    same(c.screen(), 320, 400, lambda x, y: pixel(x, y // 2))


def pictures_beyond_the_end_harm_nobody(q):
    c, r = Cirrus(q), random.Random(32)
    for _ in range(40):
        c.packed(r.choice((8, 640, 2048)), r.choice((1, 480, 1024)), r.randrange(8), r.choice((0, 0xC1, 0x80, 0xC5)),
                 r.choice((0, 8, 4088)), r.choice((0, MEMORY - 4, r.randrange(MEMORY))))
        c.cr(9, r.choice((0, 0x80, 0x1F)))
        width, height, _ = c.screen()
        assert 0 < width <= 4096 and 0 < height <= 4096


def text_is_shown_with_locked_extensions(q):
    c = Cirrus(q, unlocked=False)
    c.mode(3)
    q.write(0xB8000, b"".join(bytes((ch, 7)) for ch in b"text as before"))
    assert q.qmp("query-screen-text")["lines"][0].startswith("text as before")


# ---- the engine ----

def copies_of_every_direction_are_exact(q):
    t = Tried(q, 1)
    for _ in range(40):
        width, height, back = t.r.randrange(1, 90), t.r.randrange(1, 12), t.r.randrange(2)
        low = 0x3000 if back else 0
        t.do(Blt(width, height, mode=back, src=low + t.r.randrange(0x3000), dst=low + t.r.randrange(0x3000),
                 rop=t.r.choice(list(ROPS)), spitch=t.r.choice((0, 97, 256)), dpitch=t.r.choice((97, 256))))


def overlapping_copies_are_those_of_the_direction(q):
    t = Tried(q, 2)
    for back, dx, dy in ((1, 3, 0), (1, 0, 2), (1, 2, 1), (0, -3, 0), (0, 0, -2), (0, -1, -1)):
        at = 0x4000 + (9 * 256 + 99 if back else 0)
        t.do(Blt(100, 10, mode=back, src=at, dst=at + dx + dy * 256))


def operations_of_every_rop_are_exact(q):
    t = Tried(q, 3)
    for rop in ROPS:
        t.do(Blt(61, 4, src=0x1000, dst=0x2003, rop=rop))
    before = q.read(BAR0, 0x8000)
    t.c.blt(Blt(61, 4, src=0x1000, dst=0x2003, rop=0x77), True)  # there is none of this number
    assert q.read(BAR0, 0x8000) == before


def memory_wraps_at_its_end(q):
    t = Tried(q, 4)
    t.do(Blt(300, 3, src=MEMORY - 100, dst=0x3000, mode=0))
    t.do(Blt(300, 3, src=0x3000, dst=MEMORY - 200, mode=0))
    t.do(Blt(300, 3, src=100, dst=0x5000, mode=1))  # the first bytes lie before the beginning
    t.do(Blt(300, 3, src=0x5000, dst=50, mode=1, dpitch=100))
    t.do(Blt(40, 4, src=MEMORY - 7, dst=MEMORY - 20, mode=0x80, fg=0x12, bg=0x34))


def expansion_of_every_depth_is_exact(q):
    t = Tried(q, 5)
    for _ in range(60):
        depth = t.r.randrange(4)
        t.do(Blt(t.r.randrange(1, 100), t.r.randrange(1, 12), mode=0x80 | depth << 4 | t.r.choice((0, 8)) |
                 t.r.choice((0, 4)), ext=t.r.randrange(4), src=t.r.randrange(0x3000), dst=t.r.randrange(0x3000),
                 fg=t.r.getrandbits(32), bg=t.r.getrandbits(32), rop=t.r.choice(list(ROPS)),
                 clip=t.r.choice((0, t.r.randrange(32)))), port=t.r.choice((FEED, BAR0, 0xA0000)))


def patterns_of_every_depth_are_exact(q):
    t = Tried(q, 6)
    for _ in range(60):
        depth, bits = t.r.randrange(4), t.r.choice((0, 0x80))
        t.do(Blt(t.r.randrange(1, 100), t.r.randrange(1, 20), mode=0x40 | bits | depth << 4 | t.r.choice((0, 8)),
                 ext=t.r.choice((0, 2)) if bits else 0, src=t.r.randrange(0x3000), dst=0x3000 + t.r.randrange(0x3000),
                 fg=t.r.getrandbits(32), bg=t.r.getrandbits(32), key=t.r.getrandbits(16),
                 rop=t.r.choice(list(ROPS)), clip=t.r.choice((0, t.r.randrange(32)))))


def fills_are_solid(q):
    t = Tried(q, 7)
    for depth in range(4):
        t.do(Blt(4 * 37, 9, mode=0xC0 | depth << 4, ext=4, dst=0x1234, fg=0xA1B2C3D4, src=0x5000))


def transparent_pixels_are_left(q):
    t = Tried(q, 8)
    for mode, size in ((8, 1), (0x18, 2), (9, 1), (0x19, 2), (12, 1), (0x1C, 2), (0x48, 1), (0x58, 2)):
        data = bytes(t.r.choice((0x11, 0x22)) for _ in range(0x4000))
        q.write(BAR0, data)
        t.memory[:0x4000] = data
        fed = bytes(t.r.choice((0x11, 0x22)) for _ in range(60 * 8))
        b = Blt(60, 8, mode=mode, src=0x2100, dst=0x1900, key=0x2211)
        t.do(b, data=fed if b.system else None)
        assert size in (1, 2)


def images_come_from_the_cpu(q):
    t = Tried(q, 9)
    for port in (FEED, BAR0, 0xA0000):
        for width in (1, 4, 61):
            t.do(Blt(width, 5, mode=4, dst=t.r.randrange(0x3000), rop=t.r.choice(list(ROPS))), port=port)
    t.c.blt(Blt(8, 2, mode=4, dst=0x100), True)
    q.writel(FEED, 0)
    assert t.c.get(0x3CE, 0x31) & 1
    t.c.gr(0x31, 4)  # reset: what was not fed is not drawn
    assert t.c.get(0x3CE, 0x31) & 9 == 0
    q.writel(BAR0 + 0x200, 0x12345678)  # memory again
    assert q.readl(BAR0 + 0x200) == 0x12345678


def writing_the_destination_starts_by_itself(q):
    t = Tried(q, 10)
    b = Blt(20, 3, src=0x100, dst=0x2000)
    t.c.gr(0x31, 0x80)
    t.c.blt(Blt(1, 1, src=0, dst=0, rop=6), True)
    t.c.gr(0x31, 0x80)
    for offset, value in ((8, 19 | 2 << 16), (0x0C, 256 | 256 << 16), (0x14, b.src), (0x18, b.rop << 16), (0x10, b.dst)):
        q.writel(BAR1 + 0x100 + offset, value)
    b.run(t.memory)
    assert q.read(BAR0, 0x8000) == bytes(t.memory[:0x8000])


# ---- all ----

MACHINE = ["-M", "pc", "-vga", "cirrus"]
tap = Tap()
for case in (function_is_that_of_the_chip, extensions_have_a_key, registers_in_memory_are_those_of_the_ports,
             banks_show_their_part_of_memory):
    tap.machine_case(case.__name__, MACHINE, case)
for name, *how in (("picture_of_8_bits_is_exact", "8", 0, 0, 328, 0),
                   ("picture_of_15_bits_is_exact", "15", 3, 0x80, 640, 0x20008),
                   ("picture_of_16_bits_is_exact", "16", 3, 0xC1, 4080, 4),
                   ("picture_of_16_bits_at_twice_the_clock_is_exact", "16", 1, 0xC1, 648, 0),
                   ("picture_of_24_bits_is_exact", "24", 2, 0xC5, 960, 0x80000),
                   ("picture_of_32_bits_is_exact", "32", 4, 0xC5, 2048, 0x200000)):
    tap.machine_case(name, MACHINE, picture_case(*how))
for case in (lines_can_be_shown_twice, pictures_beyond_the_end_harm_nobody, text_is_shown_with_locked_extensions,
             copies_of_every_direction_are_exact, overlapping_copies_are_those_of_the_direction,
             operations_of_every_rop_are_exact, memory_wraps_at_its_end, expansion_of_every_depth_is_exact,
             patterns_of_every_depth_are_exact, fills_are_solid, transparent_pixels_are_left, images_come_from_the_cpu,
             writing_the_destination_starts_by_itself):
    tap.machine_case(case.__name__, MACHINE, case)


def isa_has_window_and_ports(q):
    q.outb(0x3C2, 0x67)
    q.outw(0x3C4, 0x1206)
    q.outb(0x3D4, 0x27)
    assert q.inb(0x3D5) == 0xB8
    for port, value in ((0x3C4, 0x0107), (0x3CE, 0x0506), (0x3CE, 0x1009)):
        q.outw(port, value)
    q.writel(0xA0000, 0x12345678)
    q.outw(0x3CE, 0x0F09)
    assert q.readl(0xA1000) == 0x12345678


def memory_of(code):
    def run(q):
        q.outb(0x3C2, 0x67)
        q.outw(0x3C4, 0x1206)
        q.outb(0x3C4, 0x0F)
        assert q.inb(0x3C5) == code
    return run


for mib, code_ in ((1, 0x10), (2, 0x18), (8, 0x98)):
    tap.machine_case("memory_of_%d_mib_is_told" % mib, ["-M", "isapc", "-vga", "none", "-device",
                                                        "isa-cirrus-vga,vgamem_mb=%d" % mib], memory_of(code_))
tap.machine_case("isa_has_window_and_ports", ["-M", "isapc", "-vga", "cirrus"], isa_has_window_and_ports)
tap.done()
