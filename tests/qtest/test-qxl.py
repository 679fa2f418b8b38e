#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""QXL by SPICE's protocol header: ROM, slots, surfaces, drawing commands against a model, what is released, interrupts,
and rings and addresses that make no sense."""
import random
import struct

from qtest import Tap
from qxlcard import (ADD_ASYNC, COMMANDS, CURSOR, CURSORS, DESTROY, DISPLAY, IO_CMD, IRQ_MASK, MONITORS, MONITORS_CONFIG,
                     NOTIFY_CMD, OOM, PENDING, PORT, PUT, RAM, RELEASES, RESET, RGB555, RGB565, ROM, UPDATE_IRQ, VRAM, XRGB,
                     Qxl)
from vgacard import same

class Screen:
    """A surface of 32 bits, as the commands leave it."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.pixels = [[0] * width for _ in range(height)]

    def paint(self, bbox, pixel, rop=PUT, clips=None):
        left, top, right, bottom = bbox
        for y in range(max(top, 0), min(bottom, self.height)):
            for x in range(max(left, 0), min(right, self.width)):
                if clips is None or any(c[0] <= x < c[2] and c[1] <= y < c[3] for c in clips):
                    self.pixels[y][x] = self.rop(rop, pixel(x, y), self.pixels[y][x]) & 0xFFFFFFFF

    @staticmethod
    def rop(rop, s, d):
        s = ~s if rop & 3 else s
        d = ~d if rop & 4 else d
        v = {8: s, 16: s | d, 32: s & d, 64: s ^ d, 128: 0, 256: -1, 512: ~d}.get(rop & 0x3F8, d)
        return ~v if rop & 0x400 else v

    def bytes(self):
        return struct.pack("<%dI" % (self.width * self.height), *[p for row in self.pixels for p in row])


# ---- the device ----

def function_and_rom_are_those_of_the_header(q):
    c = Qxl(q)
    assert c.config(0) == 0x01001B36 and c.config(8) >> 16 == 0x0300 and c.config(8) & 0xFF == 4
    for offset, size in ((0x10, 0xFC000000), (0x14, 0xFC000000), (0x18, 0xFFFFE000), (0x1C, 0xFFFFFFE1)):
        c.config(offset, 0xFFFFFFFF)
        assert c.config(offset) == size, hex(offset)
        c.config(offset, {0x10: RAM, 0x14: VRAM, 0x18: ROM, 0x1C: PORT}[offset])
    assert q.read(ROM, 4) == b"QXRO" and q.read(c.header, 4) == b"QXRA"
    words = struct.unpack("<14I", q.read(ROM, 56))
    assert words[7] * 4096 + words[8] == words[11] and words[8] == words[10] == 16 << 20 and words[13] == 1024
    assert q.read(ROM + 64, 5) == bytes((1, 7, 8, 8, 0))
    count = q.readl(ROM + words[6])
    modes = [struct.unpack("<5I", q.read(ROM + words[6] + 4 + 32 * i, 20)) for i in range(count)]
    assert (3, 720, 480, 32, 2880) in modes and all(m[2] * m[4] <= 16 << 20 for m in modes), modes
    q.writel(ROM, 0)
    assert q.read(ROM, 4) == b"QXRO"
    assert [q.readl(c.header + COMMANDS + 4 * i) for i in range(5)] == [32, 0, 1, 0, 0]
    assert q.readl(c.header + RELEASES) == 8


def primary_surface_is_shown(q):
    c, r = Qxl(q), random.Random(1)
    for form, size in ((XRGB, 4), (RGB555, 2), (RGB565, 2)):
        for sign in (1, -1):
            stride = 100 * size + 8
            c.primary(100, 40, form, sign * stride, 4096)
            assert not any(c.screen()[2])  # it is cleared
            data = r.randbytes(stride * 40)
            q.write(RAM + 4096, data)

            def pixel(x, y):
                at = (y if sign > 0 else 39 - y) * stride + x * size
                v = int.from_bytes(data[at:at + size], "little")
                if size == 4:
                    return bytes((v >> 16 & 255, v >> 8 & 255, v & 255))
                parts = ((10, 5), (5, 5), (0, 5)) if form == RGB555 else ((11, 5), (5, 6), (0, 5))
                parts = [((v >> shift) % (1 << n), n) for shift, n in parts]
                return bytes(p << (8 - n) | p >> (2 * n - 8) for p, n in parts)
            same(c.screen(), 100, 40, pixel)
    c.primary(100, 40, stride=408, offset=4096, flags=1)  # its data is kept
    assert any(c.screen()[2])


def head_shows_its_part(q):
    c, r = Qxl(q), random.Random(2)
    c.primary(100, 40)
    data = r.randbytes(100 * 40 * 4)
    q.write(RAM, data)
    for head, shown in (((50, 20, 30, 10), (30, 10, 50, 20)), ((50, 20, 60, 10), (100, 40, 0, 0)),
                        ((0xFFFFFFFF, 20, 2, 10), (100, 40, 0, 0))):
        config = struct.pack("<HH7I", 1, 0, 0, 0, head[2], head[3], head[0], head[1], 0)
        q.writeq(c.header + MONITORS_CONFIG, c.alloc(config))
        c.io(MONITORS)

        def pixel(x, y):
            at = 4 * ((y + shown[3]) * 100 + x + shown[2])
            return data[at + 2:at - 1 if at else None:-1] if at else bytes((data[2], data[1], data[0]))
        same(c.screen(), shown[0], shown[1], pixel)


def picture_of_the_vga_comes_back(q):
    c = Qxl(q)
    c.mode(3)
    q.write(0xB8000, b"".join(bytes((ch, 7)) for ch in b"before"))
    c.primary(100, 40, offset=1 << 20)
    assert c.screen()[:2] == (100, 40)
    c.io(DESTROY)
    assert q.qmp("query-screen-text")["lines"][0].startswith("before")
    c.primary(100, 40, offset=1 << 20)
    c.io(RESET)
    assert c.screen()[:2] == (720, 400)
    assert q.readb(ROM + 68) == 1  # slots of before are of another generation
    c.primary(100, 40, offset=1 << 20)
    assert c.screen()[:2] == (720, 400)


# ---- drawing ----

def rectangle(r, screen, beyond=8):
    x, y = r.randrange(-beyond, screen.width), r.randrange(-beyond, screen.height)
    return x, y, x + r.randrange(1, 40), y + r.randrange(1, 30)


def some_clips(r, screen):
    return None if r.randrange(2) else [rectangle(r, screen) for _ in range(r.randrange(1, 5))]


def compare(c, screen, what, where=RAM):
    got = c.q.read(where, screen.width * screen.height * 4)
    if got != screen.bytes():
        want = screen.bytes()
        at = next(i for i in range(0, len(want), 4) if got[i:i + 4] != want[i:i + 4])
        raise AssertionError("%s: %d,%d is %s, not %s" % (what, at // 4 % screen.width, at // 4 // screen.width,
                                                          got[at:at + 4].hex(), want[at:at + 4].hex()))


ROPS = [op | flags for op in (8, 16, 32, 64, 128, 256, 512) for flags in (0, 4, 0x400)] + [9, 65]


def fills_are_those_of_a_model(q):
    c, r, screen = Qxl(q), random.Random(3), Screen(100, 40)
    c.primary(100, 40)
    for rop in ROPS * 2:
        bbox, colour, clips = rectangle(r, screen), r.getrandbits(32), some_clips(r, screen)
        c.fill(bbox, colour, rop, clips=clips)
        screen.paint(bbox, lambda x, y: colour, rop, clips)
        compare(c, screen, ("fill", bbox, rop, clips))
    for kind, rop in ((6, 128), (7, 256), (8, 512)):
        bbox = rectangle(r, screen)
        c.draw(kind, bbox, bytes(17))
        screen.paint(bbox, lambda x, y: 0, rop)
        compare(c, screen, kind)


def copies_are_those_of_a_model(q):
    c, r, screen = Qxl(q), random.Random(4), Screen(100, 40)
    c.primary(100, 40)
    for n in range(150):
        form, size = r.choice(((6, 2), (7, 3), (8, 4), (9, 4)))
        width, height = r.randrange(1, 40), r.randrange(1, 30)
        stride, down = width * size + r.choice((0, 4)), bool(r.randrange(2))
        data = r.randbytes(stride * height)
        image = c.bitmap(width, height, form, data, stride, r.choice((1, 3)), down, direct=n % 4 == 0)
        left, top = r.choice((0, r.randrange(width))), r.choice((0, r.randrange(height)))
        area = left, top, r.randrange(left, width) + 1, r.randrange(top, height) + 1
        x, y = r.randrange(-5, 90), r.randrange(-5, 35)
        more = r.choice((1, 1, 2))
        bbox = x, y, x + (area[2] - area[0]) * more, y + (area[3] - area[1]) * more
        rop, clips = r.choice((PUT, r.choice(ROPS))), some_clips(r, screen)

        def pixel(px, py):
            sx, sy = left + (px - x) // more, top + (py - y) // more
            at = (sy if down else height - 1 - sy) * stride + sx * size
            v = int.from_bytes(data[at:at + size], "little")
            if size == 2:
                parts = [v >> shift & 31 for shift in (10, 5, 0)]
                parts = [p << 3 | p >> 2 for p in parts]
                return 0xFF000000 | parts[0] << 16 | parts[1] << 8 | parts[2]
            return v if size == 4 else 0xFF000000 | v
        c.copy(bbox, image, area, rop, clips=clips)
        screen.paint(bbox, pixel, rop, clips)
        compare(c, screen, ("copy", n, form, bbox, rop, clips))


def copies_inside_of_a_surface_overlap(q):
    c, r, screen = Qxl(q), random.Random(5), Screen(60, 30)
    c.primary(60, 30)
    data = r.randbytes(60 * 30 * 4)
    q.write(RAM, data)
    screen.pixels = [list(struct.unpack("<60I", data[y * 240:y * 240 + 240])) for y in range(30)]
    for _ in range(30):
        w, h = r.randrange(1, 40), r.randrange(1, 20)
        x, y, to_x, to_y = r.randrange(60 - w), r.randrange(30 - h), r.randrange(60 - w), r.randrange(30 - h)
        before = [list(row) for row in screen.pixels]
        clips = some_clips(r, screen)
        c.copy_bits((to_x, to_y, to_x + w, to_y + h), x, y, clips=clips)
        screen.paint((to_x, to_y, to_x + w, to_y + h), lambda px, py: before[py - to_y + y][px - to_x + x], clips=clips)
        compare(c, screen, (x, y, to_x, to_y, w, h))
    c.copy_bits((0, 0, 20, 20), 41, 0)  # from beyond the edge
    c.copy_bits((0, 0, 20, 20), -1, 0)
    c.copy_bits((0, 0, 20, 20), 0, 0x7FFFFFFF)
    compare(c, screen, "outside")


def surfaces_are_drawn_and_copied(q):
    c, screen, other = Qxl(q), Screen(64, 32), Screen(20, 10)
    c.primary(64, 32)
    c.surface(5, 20, 10, offset=0x10000)
    c.fill((0, 0, 20, 10), 0x11223344, surface=5)
    c.fill((5, 2, 9, 4), 0xAABBCCDD, surface=5)
    other.paint((0, 0, 20, 10), lambda x, y: 0x11223344)
    other.paint((5, 2, 9, 4), lambda x, y: 0xAABBCCDD)
    compare(c, other, "surface", VRAM + 0x10000)
    image = c.alloc(struct.pack("<QBBIII", 0, 104, 0, 20, 10, 5))
    c.copy((10, 10, 26, 18), image, (2, 1, 18, 9))
    screen.paint((10, 10, 26, 18), lambda x, y: other.pixels[y - 10 + 1][x - 10 + 2])
    compare(c, screen, "copy of a surface")
    c.push(5, struct.pack("<IBI20xI", 5, 1, 0, 0))  # it goes
    c.copy((0, 0, 16, 8), image, (2, 1, 18, 9))
    compare(c, screen, "copy of none")


def what_is_not_built_draws_nothing(q):
    c, screen = Qxl(q), Screen(64, 32)
    c.primary(64, 32)
    image = c.bitmap(8, 8, 8, bytes(256), 32)
    c.fill((0, 0, 9, 9), 1, mask=image)
    c.copy((0, 0, 8, 8), image, (0, 0, 8, 8), mask=image)
    for kind in (2, 5, 9, 10, 11, 12, 13, 14, 99):
        c.draw(kind, (0, 0, 9, 9), bytes(64))
    compare(c, screen, "nothing")
    assert len(c.released()) == 11


# ---- rings ----

def everything_is_released_once(q):
    c = Qxl(q)
    c.primary(64, 32)
    sent = [c.fill((0, 0, 2, 2), i) & 0xFFFFFFFF for i in range(30)]
    got = c.released()
    assert sorted(got) == sorted(sent), (len(got), len(sent))
    assert c.released() == []


def interrupts_are_those_that_were_asked_for(q):
    c = Qxl(q)
    c.primary(64, 32)
    c.slot(3, VRAM, VRAM + 4096, port=ADD_ASYNC)
    assert q.readl(c.header + PENDING) == IO_CMD and c.interrupt() == 0
    q.writel(c.header + IRQ_MASK, IO_CMD)
    c.io(UPDATE_IRQ)
    assert c.interrupt() == 1
    q.writel(c.header + PENDING, 0)
    c.io(UPDATE_IRQ)
    assert c.interrupt() == 0
    q.writel(c.header + IRQ_MASK, DISPLAY | CURSOR)
    q.writel(c.header + RELEASES + 8, 1)  # when something is released
    c.fill((0, 0, 2, 2), 5)
    assert c.interrupt() == 1 and q.readl(c.header + PENDING) == DISPLAY
    q.writel(c.header + PENDING, 0)
    q.writel(c.header + CURSORS + 16, 1)  # when there is room again
    c.push(3, struct.pack("<B", 2) + bytes(140), ring=CURSORS)
    assert c.interrupt() == 1 and q.readl(c.header + PENDING) == CURSOR


def rings_that_make_no_sense_are_emptied(q):
    c = Qxl(q)
    c.primary(64, 32)
    for ring in (COMMANDS, CURSORS, RELEASES):
        for prod in (33, 0x80000000, 0xFFFFFFFF):
            q.writel(c.header + ring, 0)
            q.writel(c.header + ring + 4, prod)
            c.io(NOTIFY_CMD)
            c.io(OOM)
            if ring != RELEASES:
                assert q.readl(c.header + ring + 12) == prod
    q.writel(c.header + RELEASES + 4, 0)
    q.writel(c.header + RELEASES + 12, 0)
    c.fill((0, 0, 1, 1), 77)
    assert q.readl(RAM) == 77


def addresses_are_checked(q):
    c = Qxl(q)
    c.primary(64, 32)
    end = c.header - RAM
    for address in (0, 1, 1 << 56 | 1 << 48, 1 << 56 | end - 4, 1 << 56 | 0xFFFFFFFFFFFF, 7 << 56, 9 << 56, 255 << 56,
                    3 << 56, (1 << 64) - 1):
        for kind in range(7):
            c.command(kind, address)
            c.command(kind, address, ring=CURSORS)
    image = c.bitmap(8, 8, 8, bytes(256), 32)
    loop = c.alloc(struct.pack("<IQQ", 0, 0, c.address(c.next)))  # a chunk that is its own next
    for bad in (0, c.address(end - 8), c.bitmap(8, 8, 8, bytes(4), 32), c.bitmap(8, 8, 8, bytes(256), 4),
                c.bitmap(0, 8, 8, bytes(256), 32), c.bitmap(1 << 31, 1 << 31, 8, bytes(8), 0xFFFFFFFF),
                c.alloc(struct.pack("<QBBIIBBIIIQQ", 0, 0, 0, 8, 8, 8, 4, 8, 8, 32, 0, loop))):
        c.copy((0, 0, 8, 8), bad, (0, 0, 8, 8))
    for area in ((0, 0, 9, 8), (-1, 0, 8, 8), (4, 4, 4, 8), (0, 0, 0x7FFFFFFF, 0x7FFFFFFF), (8, 8, 0, 0)):
        c.copy((0, 0, 8, 8), image, area)
    for bbox in ((0, 0, 0, 0), (5, 5, 4, 4), (-0x80000000, 0, 0x7FFFFFFF, 1), (0, -0x80000000, 1, 0x7FFFFFFF)):
        c.fill(bbox, 0xFFFFFFFF)
    c.fill((0, 0, 1, 1), 1, surface=1023)
    c.fill((0, 0, 1, 1), 1, surface=0xFFFFFFFF)
    for number, width, height, stride, slot in ((0, 4, 4, 16, 2), (1024, 4, 4, 16, 2), (1, 0, 4, 16, 2), (1, 4, 4, 8, 2),
                                                (1, 16385, 4, 65540, 2), (1, 64, 0xFFFFFFFF, 256, 2), (1, 4, 4, 16, 5),
                                                (1, 4, 4, -0x80000000, 2), (1, 4, 4, 18, 2)):
        c.surface(number, width, height, stride=stride, slot=slot)
        c.fill((0, 0, 4, 4), 0xFFFFFFFF, surface=1)
    assert not any(q.read(RAM, 64 * 32 * 4))
    for start, stop in ((0, 1 << 32), (RAM - 4096, RAM + 4096), (RAM, VRAM + 1), (VRAM, VRAM), (VRAM + 8, VRAM), (0, 0)):
        c.slot(4, start, stop)
        c.surface(1, 4, 4, slot=4)
    for port in range(32):
        c.io(port, 0xFFFFFFFF)


MACHINE = ["-M", "pc", "-vga", "qxl"]
tap = Tap()
for case in (function_and_rom_are_those_of_the_header, primary_surface_is_shown, head_shows_its_part,
             picture_of_the_vga_comes_back, fills_are_those_of_a_model, copies_are_those_of_a_model,
             copies_inside_of_a_surface_overlap, surfaces_are_drawn_and_copied, what_is_not_built_draws_nothing,
             everything_is_released_once, interrupts_are_those_that_were_asked_for, rings_that_make_no_sense_are_emptied,
             addresses_are_checked):
    tap.machine_case(case.__name__, MACHINE, case)
tap.done()
