#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The standard VGA by its documentation: registers, write and read modes of the graphics controller,
pictures of the modes of the BIOS and of VBE, and what guests have done to such adapters: views that
reach beyond the end of memory, banks that are not there, cursors outside of the screen."""
import random
import tempfile

from qtest import Failed, Tap
from vgacard import BAR0, BAR2, COLOURS, MODES, PALETTE, Card, same

# ---- PCI ----

def function_is_that_of_the_card(q):
    c = Card(q)
    assert c.config(0) == 0x11111234
    assert c.config(8) == 0x03000002
    assert c.config(0x2C) == 0x11001AF4
    c.config(0x10, 0xFFFFFFFF)
    c.config(0x18, 0xFFFFFFFF)
    assert c.config(0x10) == 0xFF000008  # 16 MiB, prefetchable
    assert c.config(0x18) == 0xFFFFF000
    c.config(0x30, 0xFFFFFFFF)
    assert c.config(0x30) & 0xFFFF0000  # a ROM
    assert c.config(0x3C) >> 8 & 0xFF == 0  # no interrupt


def registers_in_memory_are_those_of_the_ports(q):
    c = Card(q)
    q.writeb(BAR2 + 0x402, 0x67)  # miscellaneous output
    assert q.inb(0x3CC) == 0x67
    q.writew(BAR2 + 0x404, 0x0F02)  # index and value at once
    q.outb(0x3C4, 2)
    assert q.inb(0x3C5) == 0x0F
    assert q.readw(BAR2 + 0x500) == 0xB0C5
    q.writew(BAR2 + 0x502, 1024)
    assert c.dispi(1) == 1024
    assert q.readw(BAR2 + 0x514) == 256  # 16 MiB in units of 64 KiB
    assert q.readl(BAR2 + 0x600) == 8
    assert q.readl(BAR2 + 0x604) == 0x1E1E1E1E


def edid_has_the_preferred_mode(q):
    Card(q)
    edid = q.read(BAR2, 256)
    assert edid[:8] == b"\0\xff\xff\xff\xff\xff\xff\0"
    assert sum(edid[:128]) % 256 == 0 and sum(edid[128:]) % 256 == 0
    assert edid[18:20] == b"\1\4" and edid[126] == 1 and edid[128] == 2
    t = edid[54:72]
    assert (t[2] | t[4] >> 4 << 8, t[5] | t[7] >> 4 << 8) == (1440, 900)
    clock = (t[0] | t[1] << 8) * 10000
    total = (1440 + (t[3] | (t[4] & 15) << 8)) * (900 + (t[6] | (t[7] & 15) << 8))
    assert abs(clock / total - 75) < 0.5, clock / total


# ---- registers ----

def registers_keep_their_bits(q):
    c = Card(q)
    q.outb(0x3C2, 0x67)
    for port, count, bits in ((0x3C4, 5, [3, 0x3D, 0x0F, 0x3F, 0x0E]),
                              (0x3CE, 9, [0x0F, 0x0F, 0x0F, 0x1F, 3, 0x7B, 0x0F, 0x0F, 0xFF])):
        for i in range(count):
            c.put(port, i, 0xFF)
            q.outb(port, i)
            assert q.inb(port + 1) == bits[i], (port, i)
    for i in range(0x19):
        c.cr(i, i ^ 0x55)
        q.outb(0x3D4, i)
        assert q.inb(0x3D5) == i ^ 0x55, i
    c.cr(0x11, 0x80)  # protects 0 to 7, but for a bit of line compare
    c.cr(0, 0xAA)
    c.cr(7, 0xFF)
    q.outb(0x3D4, 0)
    assert q.inb(0x3D5) == 0x55
    q.outb(0x3D4, 7)
    assert q.inb(0x3D5) == 7 ^ 0x55 | 0x10


def colour_and_monochrome_have_their_ports(q):
    c = Card(q)
    q.outb(0x3C2, 0x66)
    assert q.inb(0x3D4) == 0xFF and q.inb(0x3DA) == 0xFF
    q.outb(0x3B4, 0x0E)
    q.outb(0x3B5, 0x12)
    assert q.inb(0x3B5) == 0x12
    q.outb(0x3C2, 0x67)
    assert q.inb(0x3B5) == 0xFF
    q.outb(0x3D4, 0x0E)
    assert q.inb(0x3D5) == 0x12
    assert c.config(0) == 0x11111234


def palette_goes_on_by_itself(q):
    c = Card(q)
    c.palette(PALETTE)
    q.outb(0x3C7, 10)
    assert q.inb(0x3C7) & 3 == 3
    got = [q.inb(0x3C9) for _ in range(6)]
    assert tuple(got) == PALETTE[10] + PALETTE[11]
    q.outb(0x3C8, 255)
    assert q.inb(0x3C7) & 3 == 0
    for value in (0xFF, 0x40, 0x3F, 1, 2, 3):  # six bits each; wraps around
        q.outb(0x3C9, value)
    q.outb(0x3C7, 255)
    assert [q.inb(0x3C9) for _ in range(6)] == [0x3F, 0, 0x3F, 1, 2, 3]


def attribute_port_alternates(q):
    Card(q)
    q.outb(0x3C2, 0x67)
    q.inb(0x3DA)
    q.outb(0x3C0, 3)
    q.outb(0x3C0, 0x2A)
    q.outb(0x3C0, 0x23)  # with the picture on the palette is not written
    assert q.inb(0x3C1) == 0x2A
    q.outb(0x3C0, 0x15)
    assert q.inb(0x3C1) == 0x2A
    q.inb(0x3DA)
    q.outb(0x3C0, 3)
    assert q.inb(0x3C0) == 3 or q.inb(0x3C0) == 0


def retrace_comes_seventy_times_a_second(q):
    c = Card(q)
    c.mode(3)
    rises, before = 0, 0
    for _ in range(2000):
        now = q.inb(0x3DA) & 8
        rises += bool(now and not before)
        before = now
        q.clock_step(50000)
    assert 6 <= rises <= 8, rises  # in a tenth of a second


# ---- the graphics controller ----

class Planes:
    """What the technical reference says of an access to planar memory."""

    def __init__(self):
        self.memory = {}
        self.latch = [0] * 4
        self.gr = [0] * 9
        self.mask = 15

    def read(self, address):
        self.latch = list(self.memory.get(address, (0,) * 4))
        if not self.gr[5] & 8:
            return self.latch[self.gr[4] & 3]
        match = 0xFF
        for plane in range(4):
            if self.gr[7] >> plane & 1:
                match &= self.latch[plane] ^ (0 if self.gr[2] >> plane & 1 else 0xFF)
        return match

    def write(self, address, byte):
        count, function = self.gr[3] & 7, self.gr[3] >> 3 & 3
        turned = (byte >> count | byte << (8 - count)) & 0xFF
        cell = list(self.memory.get(address, (0,) * 4))
        for plane in range(4):
            mode, bits, latch = self.gr[5] & 3, self.gr[8], self.latch[plane]
            value = turned
            if mode == 0 and self.gr[1] >> plane & 1 or mode == 3:
                value = 0xFF * (self.gr[0] >> plane & 1)
            if mode == 2:
                value = 0xFF * (byte >> plane & 1)
            if mode == 3:
                bits &= turned
            value = (value, value & latch, value | latch, value ^ latch)[function]
            value = latch if mode == 1 else value & bits | latch & ~bits & 0xFF
            if self.mask >> plane & 1:
                cell[plane] = value
        self.memory[address] = tuple(cell)


def planar_accesses_are_as_documented(q):
    c, model, r = Card(q), Planes(), random.Random(7)
    c.mode(0x12)
    for index, value in enumerate(MODES[0x12][3]):
        model.gr[index] = value
    for step in range(4000):
        kind = r.randrange(4)
        if kind == 0:
            index = r.choice((0, 1, 2, 3, 4, 5, 7, 8))
            value = r.getrandbits(8) & (0x0F, 0x0F, 0x0F, 0x1F, 3, 0x0B, 0, 0x0F, 0xFF)[index]
            c.gr(index, value)
            model.gr[index] = value
        elif kind == 1 and r.randrange(4) == 0:
            model.mask = r.randrange(16)
            c.seq(2, model.mask)
        elif kind == 2:
            address = r.randrange(8)
            value = q.readb(0xA0000 + address)
            assert value == model.read(address), (step, address)
        else:
            address, value = r.randrange(8), r.getrandbits(8)
            q.writeb(0xA0000 + address, value)
            model.write(address, value)
    for address, cell in sorted(model.memory.items()):
        assert tuple(q.read(BAR0 + 4 * address, 4)) == cell, address


def windows_are_where_the_register_says(q):
    c = Card(q)
    c.mode(0x12)
    for select, inside, outside in ((0, (0xA0000, 0xBFFFF), ()), (1, (0xA0000, 0xAFFFF), (0xB0000, 0xB8000)),
                                    (2, (0xB0000, 0xB7FFF), (0xA0000, 0xB8000)),
                                    (3, (0xB8000, 0xBFFFF), (0xA0000, 0xB7FFF))):
        c.gr(6, select << 2 | 1)
        for address in inside:
            q.writeb(address, 0x5A)
            assert q.readb(address) == 0x5A, (select, hex(address))
        for address in outside:
            q.writeb(address, 0x33)
            assert q.readb(address) == 0xFF, (select, hex(address))


def careless_firmware_is_shown(q):
    """GRUB as the BIOS leaves memory off, sequencer and CRT controller in reset; emulators show it all the same."""
    c = Card(q)
    c.mode(3)
    load_font(c, font())
    misc = MODES[3][0]
    q.write(0xB8000, bytes((65, 7, 66, 0x17)) * 1000)
    before = c.screen()
    q.outb(0x3C2, misc & ~2)
    c.seq(0, 0)
    c.cr(0x17, MODES[3][2][0x17] & ~0x80)
    assert c.screen() == before and q.qmp("query-screen-text")["lines"][0] == "AB" * 40
    q.writeb(0xB8000, 0x43)
    assert q.readb(0xB8000) == 0x43 and q.qmp("query-screen-text")["lines"][0][:3] == "CBA"
    q.inb(0x3DA)
    q.outb(0x3C0, 0)  # this does turn it off
    assert not any(c.screen()[2])


# ---- text ----

def font():
    r = random.Random(11)
    return [bytes(r.getrandbits(8) for _ in range(16)) + bytes(16) for _ in range(256)]


def load_font(c, glyphs, at=0):
    c.seq(2, 4)
    c.seq(4, 6)
    c.gr(5, 0)
    c.gr(6, 4)
    c.q.write(0xA0000 + at, b"".join(glyphs))
    c.seq(2, 3)
    c.seq(4, 2)
    c.gr(5, 0x10)
    c.gr(6, 0x0E)


def text_pixel(glyphs, text, columns=80, blink=True, cursor=None, second=None):
    dac = MODES[3][4]

    def pixel(x, y):
        cell = y // 16 * columns + x // 9
        char, attr = text[2 * cell], text[2 * cell + 1]
        shape = (second if second and attr & 8 else glyphs)[char][y % 16]
        if x % 9 < 8:
            on = shape >> (7 - x % 9) & 1
        else:
            on = shape & 1 if 0xC0 <= char < 0xE0 else 0
        if cursor and cell == cursor[0] and cursor[1] <= y % 16 <= cursor[2]:
            on = 1
        return COLOURS[dac[attr & 15 if on else (attr >> 4 & (7 if blink else 15))]]
    return pixel


def picture_of_text_is_exact(q):
    c, glyphs, r = Card(q), font(), random.Random(12)
    text = bytes(r.getrandbits(8) for _ in range(4000))
    c.mode(3)
    load_font(c, glyphs)
    q.write(0xB8000, text)
    c.cr(0x0E, 2)
    c.cr(0x0F, 7)  # cell 519
    same(c.screen(), 720, 400, text_pixel(glyphs, text, cursor=(519, 13, 14)))
    c.cr(0x0A, 0x2D)  # the cursor off
    c.ar(0x10, 4)     # the high bit is of the background's colour
    same(c.screen(), 720, 400, text_pixel(glyphs, text, blink=False))


def second_font_is_chosen_by_the_attribute(q):
    c, glyphs, r = Card(q), font(), random.Random(13)
    other = glyphs[::-1]
    text = bytes(r.getrandbits(8) for _ in range(4000))
    c.mode(3)
    load_font(c, glyphs)
    load_font(c, other, 0x6000)  # map 5
    q.write(0xB8000, text)
    c.cr(0x0A, 0x20)
    c.seq(3, 0x24)  # attribute bit 3: map 5, else map 0
    same(c.screen(), 720, 400, text_pixel(glyphs, text, second=other))


def screen_can_be_scrolled_and_split(q):
    c, glyphs, r = Card(q), font(), random.Random(14)
    text = bytes(r.getrandbits(8) for _ in range(8192))
    c.mode(3)
    load_font(c, glyphs)
    q.write(0xB8000, text)
    c.cr(0x0A, 0x20)
    c.cr(0x0D, 83)       # begins at cell 83
    c.cr(8, 5)           # with the sixth line
    c.ar(0x13, 2)        # three dots further on
    c.cr(7, 0x0F)        # line compare 199: then from cell 0 on
    c.cr(9, 0x0F)
    c.cr(0x18, 199)
    plain = text_pixel(glyphs, text, columns=80)

    def pixel(x, y):
        if y > 199:
            return moved(x + 3, y - 200, 0)
        return moved(x + 3, y + 5, 83)

    def moved(x, y, first):
        cell = first + y // 16 * 80 + x // 9
        return plain(cell % 80 * 9 + x % 9, cell // 80 * 16 + y % 16)
    same(c.screen(), 720, 400, pixel)


def text_is_read_exactly(q):
    c, r = Card(q), random.Random(15)
    text = bytes(r.getrandbits(8) for _ in range(4000))
    c.mode(3)
    q.write(0xB8000, text)
    c.cr(0x0F, 85)
    reply = q.qmp("query-screen-text")
    codes = "".join(bytes((char,)).decode("cp437") if 32 <= char < 127 else "?" for char in text[::2])
    lines = reply["lines"]
    assert (reply["mode"], reply["columns"], reply["rows"], len(lines)) == ("text", 80, 25, 25)
    assert reply["cursor"] == {"column": 5, "row": 1}
    for row in range(25):
        for column in range(80):
            if codes[row * 80 + column] != "?":
                assert lines[row][column] == codes[row * 80 + column], (row, column)
            char = text[2 * (row * 80 + column)]
            if 128 <= char < 255:
                assert lines[row][column] == bytes((char,)).decode("cp437"), (row, column)


# ---- graphics ----

def picture_of_sixteen_colours_is_exact(q):
    c, r = Card(q), random.Random(16)
    planes = [bytes(r.getrandbits(8) for _ in range(38400)) for _ in range(4)]
    c.mode(0x12)
    for plane in range(4):
        c.seq(2, 1 << plane)
        q.write(0xA0000, planes[plane])
    dac = MODES[0x12][4]

    def pixel(x, y):
        at, shift = y * 80 + x // 8, 7 - x % 8
        return COLOURS[dac[sum((planes[p][at] >> shift & 1) << p for p in range(4))]]
    same(c.screen(), 640, 480, pixel)


def picture_of_256_colours_is_exact(q):
    c, r = Card(q), random.Random(17)
    data = bytes(r.getrandbits(8) for _ in range(64000))
    c.mode(0x13)
    q.write(0xA0000, data)
    same(c.screen(), 640, 400, lambda x, y: COLOURS[data[y // 2 * 320 + x // 2]])
    assert q.read(0xA0000, 64000) == data
    c.seq(2, 5)  # two planes only: through the controller
    q.write(0xA0000, bytes(64000))
    masked = bytes(0 if i % 4 in (0, 2) else byte for i, byte in enumerate(data))
    same(c.screen(), 640, 400, lambda x, y: COLOURS[masked[y // 2 * 320 + x // 2]])


def unchained_planes_have_every_fourth_pixel(q):
    c, r = Card(q), random.Random(18)
    planes = [bytes(r.getrandbits(8) for _ in range(16000)) for _ in range(4)]
    c.mode(0x13)
    c.seq(4, 6)
    c.cr(0x14, 0)
    c.cr(0x17, 0xE3)
    for plane in range(4):
        c.seq(2, 1 << plane)
        q.write(0xA0000, planes[plane])
    same(c.screen(), 640, 400, lambda x, y: COLOURS[planes[x // 2 % 4][y // 2 * 80 + x // 8]])


def picture_of_the_colour_adapter_is_exact(q):
    c, r = Card(q), random.Random(19)
    data = bytes(r.getrandbits(8) for _ in range(16384))
    c.mode(4)
    q.write(0xB8000, data)
    attributes = MODES[4][4]

    def pixel(x, y):
        line, dot = y // 2, x // 2
        byte = data[line % 2 * 0x2000 + line // 2 * 80 + dot // 4]
        return COLOURS[attributes[byte >> (6 - dot % 4 * 2) & 3]]
    same(c.screen(), 640, 400, pixel)


# ---- VBE ----

def vbe_pixel(data, bits, stride, first=0):
    size = (bits + 7) // 8

    def pixel(x, y):
        at = first + y * stride + x * size
        value = int.from_bytes(data[at:at + size], "little")
        if bits == 8:
            return COLOURS[value]
        if bits == 15:
            parts = [(value >> shift & 31, 5) for shift in (10, 5, 0)]
        elif bits == 16:
            parts = [(value >> 11, 5), (value >> 5 & 63, 6), (value & 31, 5)]
        else:
            return bytes((value >> 16 & 255, value >> 8 & 255, value & 255))
        return bytes(v << (8 - n) | v >> (2 * n - 8) for v, n in parts)
    return pixel


def vbe_case(bits):
    def run(q):
        c, r = Card(q), random.Random(bits)
        size = (bits + 7) // 8
        c.mode(0x13)
        assert c.vbe(320, 200, bits, virtual=333) == 1
        assert c.dispi(6) == 333 and c.dispi(7) == min(65535, (16 << 20) // (333 * size))
        data = bytes(r.getrandbits(8) for _ in range(333 * 230 * size))
        q.write(BAR0, data)
        same(c.screen(), 320, 200, vbe_pixel(data, bits, 333 * size))
        c.dispi(8, 13)
        c.dispi(9, 30)
        same(c.screen(), 320, 200, vbe_pixel(data, bits, 333 * size, 30 * 333 * size + 13 * size))
    return run


def planes_of_a_vbe_mode_are_shown(q):
    c, r = Card(q), random.Random(20)
    c.mode(0x12)
    assert c.vbe(800, 600, 4) == 1
    planes = [bytes(r.getrandbits(8) for _ in range(60000)) for _ in range(4)]
    for plane in range(4):
        c.seq(2, 1 << plane)
        q.write(0xA0000, planes[plane])
    dac = MODES[0x12][4]
    same(c.screen(), 800, 600, lambda x, y: COLOURS[dac[sum(
        (planes[p][y * 100 + x // 8] >> (7 - x % 8) & 1) << p for p in range(4))]])


def banks_show_their_part_of_memory(q):
    c = Card(q)
    c.mode(0x13)
    assert c.vbe(1024, 768, 32) == 1
    for bank in (0, 1, 47, 255):
        c.dispi(5, bank)
        q.writel(0xA0000, 0x01020304 + bank)
        q.writel(0xAFFFC, 0x11121314 + bank)
        assert q.readl(BAR0 + (bank << 16)) == 0x01020304 + bank
        assert q.readl(BAR0 + (bank << 16) + 0xFFFC) == 0x11121314 + bank
    for bank in (256, 257, 0x7FFF, 0xFFFF):  # beyond the end: none of them
        c.dispi(5, bank)
        assert c.dispi(5) == 0, bank
        q.writel(0xAFFFC, 0x55AA55AA)
        assert q.readl(BAR0 + 0xFFFC) == 0x55AA55AA
    c.dispi(4, 0)
    c.mode(0x12)
    c.dispi(5, 200)  # without VBE there are no banks
    q.writeb(0xA0000, 0x77)
    assert q.readb(BAR0) == 0x77


def modes_beyond_memory_are_refused(q):
    c = Card(q)
    assert c.vbe(4096, 2160, 32) == 0  # 34 MiB
    assert c.vbe(0, 600, 32) == 0
    assert c.vbe(800, 0, 32) == 0
    assert c.vbe(800, 600, 7) == 0
    assert c.vbe(65535, 65535, 32) == 0
    assert c.vbe(2048, 1536, 32) == 1
    c.dispi(6, 65535)  # a line so long that the last ones are not there
    c.dispi(9, 65535)
    c.dispi(8, 65535)
    assert c.dispi(6) * 4 * 1536 <= 16 << 20
    assert (c.dispi(9) + 1536) * c.dispi(6) * 4 <= 16 << 20
    assert c.dispi(8) + 2048 <= c.dispi(6)
    assert c.screen()[:2] == (2048, 1536)
    c.dispi(4, 3)
    assert (c.dispi(1), c.dispi(2), c.dispi(3)) == (16000, 12000, 32)  # capabilities


def enabling_clears_memory_unless_told(q):
    c = Card(q)
    q.writel(BAR0 + 4096, 0x12345678)
    assert c.vbe(640, 480, 32, flags=0xC1) == 1
    assert q.readl(BAR0 + 4096) == 0x12345678
    assert c.vbe(640, 480, 32) == 1
    assert q.readl(BAR0 + 4096) == 0


def wide_palette_has_eight_bits(q):
    c = Card(q)
    c.mode(0x13)
    assert c.vbe(320, 200, 8, flags=0x61) == 1
    q.outb(0x3C8, 9)
    for part in (0xFE, 0x81, 0x03):
        q.outb(0x3C9, part)
    q.write(BAR0, b"\x09" * 64000)
    assert set(zip(*[iter(c.screen()[2])] * 3)) == {(0xFE, 0x81, 0x03)}


# ---- what guests have done to such adapters ----

def views_beyond_the_end_harm_nobody(q):
    c = Card(q)
    r = random.Random(21)
    for mode in (3, 0x12, 0x13, 4):
        c.mode(mode)
        for _ in range(12):
            c.cr(0x0C, r.choice((0xFF, r.getrandbits(8))))
            c.cr(0x0D, r.choice((0xFF, r.getrandbits(8))))
            c.cr(0x13, r.choice((0xFF, 0, r.getrandbits(8))))
            c.cr(0x01, r.choice((0xFF, 0, 79)))
            c.cr(0x12, r.choice((0xFF, 0, 0x8F)))
            c.cr(0x07, r.choice((0xFF, 0, 0x1F)))
            c.cr(0x09, r.choice((0xFF, 0, 0x4F, 0x1F, 0x80)))
            c.cr(0x08, r.choice((0xFF, 0, 0x60)))
            c.cr(0x14, r.choice((0xFF, 0x40, 0x1F)))
            c.cr(0x17, r.choice((0xFF, 0xA3, 0x80, 0x87)))
            c.seq(1, r.choice((0, 1, 8, 9)))
            c.seq(3, r.getrandbits(6))
            width, height, _ = c.screen()
            assert 0 < width <= 4096 and 0 < height <= 4096


def cursors_outside_of_the_screen_harm_nobody(q):
    c, glyphs = Card(q), font()
    c.mode(3)
    load_font(c, glyphs)
    q.write(0xB8000, bytes(4000))
    c.cr(0x0A, 0)
    c.cr(0x0B, 0x1F)
    expected = None
    for place in (2000, 2047, 4000, 0x7FFF, 0xFFFF):
        c.cr(0x0E, place >> 8)
        c.cr(0x0F, place & 0xFF)
        screen = c.screen()
        assert expected is None or screen == expected, place
        expected = screen
    for first, last in ((31, 31), (20, 3), (0x1F, 0)):
        c.cr(0x0A, first)
        c.cr(0x0B, last)
        c.cr(0x0E, 0)
        c.cr(0x0F, 0)
        assert c.screen() == expected, (first, last)


def fonts_of_any_height_harm_nobody(q):
    c = Card(q)
    c.mode(3)
    for height in (1, 2, 3, 8, 31, 32):
        for preset in (0, 1, 31):
            c.cr(9, 0x40 | height - 1)
            c.cr(8, preset)
            assert c.screen()[:2] == (720, 400)


def writes_beyond_the_planes_wrap(q):
    c = Card(q)
    c.mode(0x12)
    c.gr(6, 1)  # 128 KiB of window before 64 KiB of planes
    q.writeb(0xBFFFF, 0xA5)
    assert q.readb(0xAFFFF) == 0xA5
    assert q.readl(BAR0 + 4 * 0xFFFF) == 0xA5A5A5A5
    assert q.readl(BAR0 + 0x40000) == 0


def reset_leaves_vbe(q):
    c = Card(q)
    assert c.vbe(640, 480, 32) == 1
    q.qmp("system_reset")
    q.qmp("query-status")
    c = Card(q)
    assert c.dispi(4) == 0 and c.dispi(0) == 0xB0C5


def second_card_has_a_screen_of_its_own(q):
    c = Card(q)
    c.mode(0x13)
    q.outl(0xCF8, 0x80002810)
    q.outl(0xCFC, 0xE8000000)
    q.outl(0xCF8, 0x80002818)
    q.outl(0xCFC, 0xF0100000)
    q.outl(0xCF8, 0x80002804)
    q.outl(0xCFC, 2)
    second = 0xF0100000
    for index, value in ((1, 320), (2, 200), (3, 32), (4, 0x41)):
        q.writew(second + 0x500 + 2 * index, value)
    if q.args_type == "secondary-vga":
        q.writeb(second + 0x402, 0x67)
        q.readb(second + 0x41A)
        q.writeb(second + 0x400, 0x20)
    q.write(0xE8000000, b"\x01\x02\x03\x00" * 64000)
    with tempfile.NamedTemporaryFile() as file:
        q.qmp("screendump", {"filename": file.name, "device": "second", "head": 0})
        data = file.read()
    assert data == b"P6\n320 200\n255\n" + b"\x03\x02\x01" * 64000
    assert c.screen()[:2] == (640, 400)


def second_of(kind):
    def run(q):
        q.args_type = kind
        second_card_has_a_screen_of_its_own(q)
    return run


def refused(q, **arguments):
    try:
        q.qmp("screendump", {"filename": "/nonexistent/x", **arguments})
    except Failed as why:
        return str(why)
    raise AssertionError("not refused: %s" % arguments)


def pictures_of_what_is_not_there_are_refused(q):
    assert "nope" in refused(q, device="nope")
    assert "head" in refused(q, head=1)
    assert "no screen" in refused(q, device="/machine", head=0)
    assert "1 screen" in refused(q, device="card", head=1)
    assert "/nonexistent/x" in refused(q)


ARGS = ["-M", "pc", "-device", "VGA,id=card,addr=02.0,xres=1440,yres=900,refresh_rate=75000"]
tap = Tap()
for case in (function_is_that_of_the_card, registers_in_memory_are_those_of_the_ports, edid_has_the_preferred_mode,
             registers_keep_their_bits, colour_and_monochrome_have_their_ports, palette_goes_on_by_itself,
             attribute_port_alternates, retrace_comes_seventy_times_a_second, planar_accesses_are_as_documented,
             windows_are_where_the_register_says, careless_firmware_is_shown, picture_of_text_is_exact, second_font_is_chosen_by_the_attribute,
             screen_can_be_scrolled_and_split, text_is_read_exactly, picture_of_sixteen_colours_is_exact,
             picture_of_256_colours_is_exact, unchained_planes_have_every_fourth_pixel,
             picture_of_the_colour_adapter_is_exact, planes_of_a_vbe_mode_are_shown, banks_show_their_part_of_memory,
             modes_beyond_memory_are_refused, enabling_clears_memory_unless_told, wide_palette_has_eight_bits,
             views_beyond_the_end_harm_nobody, cursors_outside_of_the_screen_harm_nobody,
             fonts_of_any_height_harm_nobody, writes_beyond_the_planes_wrap, reset_leaves_vbe,
             pictures_of_what_is_not_there_are_refused):
    tap.machine_case(case.__name__, ARGS, case)
for name, bits in (("picture_of_vbe_with_8_bits_is_exact", 8), ("picture_of_vbe_with_15_bits_is_exact", 15),
                   ("picture_of_vbe_with_16_bits_is_exact", 16), ("picture_of_vbe_with_24_bits_is_exact", 24),
                   ("picture_of_vbe_with_32_bits_is_exact", 32)):
    tap.machine_case(name, ARGS, vbe_case(bits))
for name, kind in (("secondary_vga_has_a_screen_of_its_own", "secondary-vga"),
                   ("bochs_display_has_a_screen_of_its_own", "bochs-display")):
    tap.machine_case(name, ARGS + ["-device", kind + ",id=second,addr=05.0"], second_of(kind))
tap.done()
