#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMware SVGA II by its device header: registers, modes, the FIFO and its commands, fences and interrupts, and FIFOs
that make no sense."""
import random

from qtest import Tap
from vgacard import BAR0 as FB, BAR2 as FIFO, COLOURS, PALETTE, Card, same

PORT = 0xC000
ID, ENABLE, WIDTH, HEIGHT, DEPTH, BPP, PSEUDO, RED = 0, 1, 2, 3, 6, 7, 8, 9
PITCH, VRAM, CAPS, MEM_SIZE, DONE, SYNC, BUSY, CURSOR_ID, SCRATCH_SIZE, REGS, LOCK, MASK = (
    12, 15, 17, 19, 20, 21, 22, 24, 29, 30, 32, 33)
MIN, MAX, NEXT, STOP, FIFO_CAPS, FENCE, FIFO_LOCK, GOAL, FIFO_BUSY = 0, 1, 2, 3, 4, 6, 8, 289, 290


class Svga(Card):
    def __init__(self, q):
        super().__init__(q)
        self.config(0x10, PORT)
        self.config(0x14, FB)
        self.config(0x18, FIFO)
        self.config(0x04, 7)
        self.first, self.end = 0x1000, 0x8000

    def get(self, reg):
        self.q.outl(PORT, reg)
        return self.q.inl(PORT + 1)

    def set(self, reg, value):
        self.q.outl(PORT, reg)
        self.q.outl(PORT + 1, value)

    def fifo(self, index, value=None):
        if value is None:
            return self.q.readl(FIFO + 4 * index)
        self.q.writel(FIFO + 4 * index, value)

    def start(self, width=320, height=200, bits=32, fifo=True):
        assert self.get(ID) == 0x90000002
        for reg, value in ((WIDTH, width), (HEIGHT, height), (BPP, bits), (ENABLE, 1)):
            self.set(reg, value)
        if fifo:
            for index, value in ((MIN, self.first), (MAX, self.end), (NEXT, self.first), (STOP, self.first)):
                self.fifo(index, value)
            self.set(DONE, 1)

    def queue(self, *words):
        at = self.fifo(NEXT)
        for word in words:
            self.fifo(at // 4, word & 0xFFFFFFFF)
            at = self.first if at + 4 == self.end else at + 4
        self.fifo(NEXT, at)

    def do(self, *words):
        self.queue(*words)
        self.set(SYNC, 1)
        assert self.get(BUSY) == 0

    def interrupt(self):
        """(status of the function's pin, sources)"""
        return self.config(4) >> 19 & 1, self.q.inl(PORT + 8)


# ---- registers ----

def function_is_that_of_the_card(q):
    c = Svga(q)
    assert c.config(0) == 0x040515AD and c.config(8) >> 16 == 0x0300 and c.config(0x2C) == 0x040515AD
    for offset, size in ((0x10, 0xFFFFFFF1), (0x14, 0xFF000008), (0x18, 0xFFE00008)):
        c.config(offset, 0xFFFFFFFF)
        assert c.config(offset) == size, hex(offset)


def versions_are_agreed_on(q):
    c = Svga(q)
    c.set(ID, 0x90000003)
    assert c.get(ID) == 0x90000002
    c.set(ID, 0x90000000)
    assert c.get(ID) == 0x90000000 and c.get(CAPS) == 0  # the first version has none
    c.set(ID, 0x90000002)
    assert c.get(CAPS) == 0x002683E3
    assert (c.get(VRAM), c.get(MEM_SIZE), c.get(REGS), c.get(SCRATCH_SIZE)) == (16 << 20, 2 << 20, 291, 64)
    for reg, value, kept in ((1024, 0x101, 1), (1024 + 767, 0x99, 0x99), (1024 + 768, 0xABCDEF01, 0xABCDEF01),
                             (1024 + 768 + 63, 0x12345678, 0x12345678), (1024 + 768 + 64, 1, 0)):
        c.set(reg, value)
        assert c.get(reg) == kept, reg


def modes_say_what_they_are(q):
    c = Svga(q)
    for bits, depth, masks, pitch in ((8, 8, [0, 0, 0], 644), (15, 15, [0x7C00, 0x3E0, 0x1F], 1284),
                                      (16, 16, [0xF800, 0x7E0, 0x1F], 1284), (24, 24, [0xFF0000, 0xFF00, 0xFF], 1924),
                                      (32, 24, [0xFF0000, 0xFF00, 0xFF], 2564)):
        c.set(WIDTH, 641)
        c.set(BPP, bits)
        assert (c.get(DEPTH), c.get(PSEUDO), [c.get(RED + i) for i in range(3)]) == (depth, bits == 8, masks), bits
        assert c.get(PITCH) == pitch, (bits, c.get(PITCH))
    c.set(LOCK, 4096)
    assert c.get(PITCH) == 4096
    c.set(LOCK, 100)  # shorter than a line
    assert c.get(PITCH) == 2564
    for reg, value in ((WIDTH, 0), (WIDTH, 8193), (HEIGHT, 0), (HEIGHT, 0xFFFFFFFF), (BPP, 7), (BPP, 0)):
        before = c.get(reg)
        c.set(reg, value)
        assert c.get(reg) == before, (reg, value)


# ---- pictures ----

def pixel_of(data, bits, pitch):
    size = (bits + 7) // 8

    def pixel(x, y):
        at = y * pitch + x * size
        value = int.from_bytes(data[at:at + size], "little")
        if bits == 8:
            return COLOURS[value]
        if size > 2:
            return bytes((value >> 16 & 255, value >> 8 & 255, value & 255))
        parts = ((10, 5), (5, 5), (0, 5)) if bits == 15 else ((11, 5), (5, 6), (0, 5))
        parts = [((value >> shift) % (1 << n), n) for shift, n in parts]
        return bytes(v << (8 - n) | v >> (2 * n - 8) for v, n in parts)
    return pixel


def pictures_of_every_depth_are_exact(q):
    c, r = Svga(q), random.Random(1)
    for i, colour in enumerate(PALETTE):
        for part in range(3):
            c.set(1024 + 3 * i + part, colour[part] << 2 | colour[part] >> 4)
    for bits in (8, 15, 16, 24, 32):
        c.start(101, 40, bits, fifo=False)
        pitch = c.get(PITCH)
        data = r.randbytes(pitch * 40)
        q.write(FB, data)
        same(c.screen(), 101, 40, pixel_of(data, bits, pitch))


def pitch_can_be_locked_in_the_fifo(q):
    c, r = Svga(q), random.Random(2)
    c.start(64, 20)
    c.fifo(FIFO_LOCK, 1024)
    data = r.randbytes(1024 * 20)
    q.write(FB, data)
    same(c.screen(), 64, 20, pixel_of(data, 32, 1024))


def picture_of_the_vga_comes_back(q):
    c = Svga(q)
    c.mode(3)
    q.write(0xB8000, b"".join(bytes((ch, 7)) for ch in b"before"))
    c.start()
    assert c.screen()[:2] == (320, 200)
    c.set(ENABLE, 3)  # hidden: the FIFO works, the VGA is seen
    assert c.screen()[:2] == (720, 400), c.screen()[:2]
    c.do(30, 77)
    assert c.fifo(FENCE) == 77
    c.set(ENABLE, 0)
    assert q.qmp("query-screen-text")["lines"][0].startswith("before")
    assert c.vbe(320, 200, 32) == 1 and c.screen()[:2] == (320, 200)  # the BIOS's way


def modes_beyond_memory_stay_dark(q):
    c = Svga(q)
    c.start(8192, 8192)
    c.do(3, 0, 0, 8, 8, 8000, 8000)
    c.do(2, 1, 0, 0, 8192, 8192)
    assert not any(c.screen()[2])


# ---- commands ----

def rectangles_are_those_of_a_model(q):
    c, r = Svga(q), random.Random(3)
    for bits in (8, 16, 32):
        c.start(100, 50, bits)
        size, pitch = bits // 8, c.get(PITCH)
        memory = bytearray(r.randbytes(pitch * 50))
        q.write(FB, bytes(memory))
        for _ in range(60):
            w, h = r.randrange(1, 60), r.randrange(1, 30)
            x, y, to_x, to_y = r.randrange(100 - w), r.randrange(50 - h), r.randrange(100 - w), r.randrange(50 - h)
            if r.randrange(3) == 0:
                colour = r.getrandbits(32)
                c.do(2, colour, x, y, w, h)
                for row in range(y, y + h):
                    memory[row * pitch + x * size:row * pitch + (x + w) * size] = colour.to_bytes(4, "little")[:size] * w
            else:
                c.do(*((3, x, y, to_x, to_y, w, h) if r.randrange(2) else (14, x, y, to_x, to_y, w, h, 3)))
                lines = [bytes(memory[(y + i) * pitch + x * size:(y + i) * pitch + (x + w) * size]) for i in range(h)]
                for i, line in enumerate(lines):
                    at = (to_y + i) * pitch + to_x * size
                    memory[at:at + len(line)] = line
            assert q.read(FB, len(memory)) == bytes(memory), bits


def rectangles_outside_of_the_screen_are_refused(q):
    c = Svga(q)
    c.start(100, 50)
    before = bytes(range(256)) * 80
    q.write(FB, before)
    for args in ((3, 1, 1, 1, 1, 100, 1), (3, 0, 0, 0, 1, 1, 50), (3, 0xFFFFFFFF, 0, 0, 0, 2, 1), (2, 7, 99, 0, 2, 1),
                 (3, 0, 0xFFFFFFF0, 0, 0, 1, 0x20), (2, 7, 0, 0xFFFFFFFF, 1, 1), (2, 7, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)):
        c.do(*args)
    assert q.read(FB, len(before)) == before


def commands_wait_until_they_are_whole(q):
    c = Svga(q)
    c.start()
    c.do(2, 0x11223344, 0, 0)
    assert q.readl(FB) == 0 and c.fifo(STOP) == c.first
    c.do(1, 1)
    assert q.readl(FB) == 0x11223344 and c.fifo(STOP) == c.fifo(NEXT)


def ring_goes_on_at_its_beginning(q):
    c = Svga(q)
    c.first, c.end = 0x1000, 0x1000 + 4 * 11
    c.start()
    for i in range(40):
        c.do(2, i + 1, i, 0, 1, 1)
    assert [q.readl(FB + 4 * i) for i in range(40)] == list(range(1, 41))
    for i in range(20):
        c.do(33, 5, 8, 0, 0, 30, i)  # what escapes carry is skipped
        assert c.fifo(FENCE) == i


def fences_interrupt(q):
    c = Svga(q)
    c.start()
    c.do(30, 1)
    assert c.interrupt() == (0, 0) and c.fifo(FENCE) == 1
    c.set(MASK, 1)
    c.do(30, 2)
    assert c.interrupt() == (1, 1)
    q.outl(PORT + 8, 1)
    assert c.interrupt() == (0, 0)
    c.set(MASK, 6)
    c.fifo(GOAL, 4)
    c.do(30, 3)
    assert c.interrupt() == (1, 2)
    c.do(30, 4)
    assert c.interrupt() == (1, 6)
    q.outl(PORT + 8, 2)
    assert c.interrupt() == (1, 4)
    c.set(MASK, 0)
    assert c.interrupt()[0] == 0


def device_says_when_it_sleeps(q):
    c = Svga(q)
    c.start()
    assert c.fifo(FIFO_CAPS) == 0x75
    c.fifo(FIFO_BUSY, 1)
    c.do(30, 9)
    assert c.fifo(FIFO_BUSY) == 0


def unknown_commands_end_the_queue(q):
    c = Svga(q)
    c.start()
    for bad in (0, 4, 34, 1000, 0xFFFFFFFF):
        c.do(bad, 30, 5)
        assert c.fifo(STOP) == c.fifo(NEXT) and c.fifo(FENCE) != 5
    c.do(22, 0, 0, 0, 0xFFFF, 0xFFFF, 0)  # a pointer that is too large
    c.do(30, 6)
    assert c.fifo(FENCE) == 6


def senseless_fifos_harm_nobody(q):
    c, r = Svga(q), random.Random(4)
    for at, bad in ((STOP, 0x8000), (STOP, 0xFFC), (STOP, 0x1002), (NEXT, 0x8000), (NEXT, 0xFFC), (MAX, 0x200004),
                    (MAX, 0x1000), (MIN, 12)):
        c.start()
        c.queue(30, 99)
        c.fifo(at, bad)
        stop = c.fifo(STOP)
        c.set(SYNC, 1)
        assert c.fifo(FENCE) != 99 and c.fifo(STOP) == stop, (at, bad)
    for _ in range(300):
        c.start()
        for index in range(4):
            if r.randrange(3) == 0:
                c.fifo(index, r.choice((0, 4, 16, 0x1001, 0x1FFFFC, 0x200000, 0x200004, 0xFFFFFFFC, r.getrandbits(32))))
        for _ in range(8):
            c.fifo(0x400 + r.randrange(64), r.choice((1, 2, 3, 19, 22, 25, 30, 33, 0xFFFFFFFF, r.randrange(300))))
        c.set(SYNC, 1)
        c.get(BUSY)
    c.start()
    c.do(30, 11)
    assert c.fifo(FENCE) == 11


MACHINE = ["-M", "pc", "-vga", "vmware"]
tap = Tap()
for case in (function_is_that_of_the_card, versions_are_agreed_on, modes_say_what_they_are,
             pictures_of_every_depth_are_exact, pitch_can_be_locked_in_the_fifo, picture_of_the_vga_comes_back,
             modes_beyond_memory_stay_dark, rectangles_are_those_of_a_model, rectangles_outside_of_the_screen_are_refused,
             commands_wait_until_they_are_whole, ring_goes_on_at_its_beginning, fences_interrupt,
             device_says_when_it_sleeps, unknown_commands_end_the_queue, senseless_fifos_harm_nobody):
    tap.machine_case(case.__name__, MACHINE, case)
tap.done()
