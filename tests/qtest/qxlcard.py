# SPDX-License-Identifier: LGPL-2.1-or-later
"""A driver of QXL, as far as tests need one."""
import struct

from vgacard import Card

RAM, VRAM, ROM, PORT = 0xE0000000, 0xE8000000, 0xF0000000, 0xC000
NOTIFY_CMD, NOTIFY_CURSOR, UPDATE_IRQ, OOM, RESET, ADD, CREATE, DESTROY = 0, 1, 3, 4, 5, 8, 12, 13
ADD_ASYNC, FLUSH_RELEASE, MONITORS = 17, 23, 24
PENDING, IRQ_MASK, COMMANDS, SLOT, SURFACE, MONITORS_CONFIG = 4, 8, 4108, 5276, 5292, 5340
CURSORS = COMMANDS + 20 + 32 * 16
RELEASES = CURSORS + 20 + 32 * 16
DISPLAY, CURSOR, IO_CMD = 1, 2, 4
XRGB, RGB555, RGB565, ARGB = 32, 16, 80, 96
PUT = 8


def box(left, top, right, bottom):
    return struct.pack("<4i", top, left, bottom, right)


class Qxl(Card):
    """With slot 1 over RAM, slot 2 over video RAM, and memory for commands from 17 MiB on."""

    def __init__(self, q):
        super().__init__(q)
        for offset, value in ((0x10, RAM), (0x14, VRAM), (0x18, ROM), (0x1C, PORT), (4, 7)):
            self.config(offset, value)
        self.header = RAM + q.readl(ROM + 11 * 4)
        self.next = 17 << 20
        self.generation = 0
        self.slot(1, RAM, self.header)
        self.slot(2, VRAM, VRAM + (64 << 20))

    def io(self, port, value=0):
        self.q.outl(PORT + port, value)

    def slot(self, number, start, end, port=ADD):
        self.q.write(self.header + SLOT, struct.pack("<QQ", start, end))
        self.io(port, number)

    def address(self, offset, slot=1):
        return slot << 56 | self.generation << 48 | offset

    def alloc(self, data):
        """Puts bytes into RAM; their address."""
        at, self.next = self.next, self.next + (len(data) + 63 & ~63)
        self.q.write(RAM + at, data)
        return self.address(at)

    def primary(self, width, height, form=XRGB, stride=None, offset=0, flags=0):
        stride = stride or width * (4 if form in (XRGB, ARGB) else 2)
        self.q.write(self.header + SURFACE, struct.pack("<IIiIIIIIQ", width, height, stride, form, 0, 0, flags, 0,
                                                        self.address(offset)))
        self.io(CREATE)

    def push(self, kind, body, ring=COMMANDS, ident=None):
        """A command: release info and what follows; the address of it."""
        at = self.alloc(struct.pack("<Q", self.next if ident is None else ident) + body)
        self.command(kind, at, ring)
        return at

    def command(self, kind, address, ring=COMMANDS):
        prod = self.q.readl(self.header + ring + 4)
        self.q.write(self.header + ring + 20 + prod % 32 * 16, struct.pack("<QII", address, kind, 0))
        prod = prod + 1 & 0xFFFFFFFF
        self.q.writel(self.header + ring + 4, prod)
        if self.q.readl(self.header + ring + 8) == prod:
            self.io(NOTIFY_CURSOR if ring == CURSORS else NOTIFY_CMD)

    def draw(self, kind, bbox, union, surface=0, clips=None):
        clip = struct.pack("<IQ", 0, 0)
        if clips is not None:
            data = b"".join(box(*r) for r in clips)
            half = len(clips) // 2 * 16  # in two chunks
            second = self.alloc(struct.pack("<IQQ", len(data) - half, 0, 0) + data[half:])
            clip = struct.pack("<IQ", 1, self.alloc(struct.pack("<IIQQ", len(clips), half, 0, second) + data[:half]))
        body = struct.pack("<IBBB", surface, 1, kind, 0) + bytes(16) + box(*bbox) + clip + struct.pack("<I3i", 0, -1, -1, -1)
        return self.push(1, (body + bytes(48) + union).ljust(320, b"\0"))

    def fill(self, bbox, colour, rop=PUT, mask=0, **rest):
        return self.draw(1, bbox, struct.pack("<II12xHBiiQ", 1, colour, rop, 0, 0, 0, mask), **rest)

    def bitmap(self, width, height, form, data, stride, chunks=1, down=True, direct=False):
        if direct:
            at = self.alloc(data)
        else:
            at, step = 0, -(-len(data) // chunks)
            for i in reversed(range(0, len(data), step)):
                part = data[i:i + step]
                at = self.alloc(struct.pack("<IQQ", len(part), 0, at) + part)
        head = struct.pack("<QBBII", 0, 0, 0, width, height)
        return self.alloc(head + struct.pack("<BBIIIQQ", form, 4 * down + direct, width, height, stride, 0, at))

    def copy(self, bbox, image, area, rop=PUT, mask=0, **rest):
        return self.draw(3, bbox, struct.pack("<Q", image) + box(*area) + struct.pack("<HBBiiQ", rop, 0, 0, 0, 0, mask),
                         **rest)

    def copy_bits(self, bbox, x, y, **rest):
        return self.draw(4, bbox, struct.pack("<ii", x, y), **rest)

    def surface(self, number, width, height, form=XRGB, offset=0, stride=None, slot=2):
        stride = stride or width * (4 if form in (XRGB, ARGB) else 2)
        self.push(5, struct.pack("<IBIIIIiQ", number, 0, 0, form, width, height, stride, self.address(offset, slot)))

    def interrupt(self):
        return self.config(4) >> 19 & 1

    def released(self):
        """Ids, as a driver collects them."""
        ids = []
        while True:
            self.io(FLUSH_RELEASE)
            prod, cons = self.q.readl(self.header + RELEASES + 4), self.q.readl(self.header + RELEASES + 12)
            if prod == cons:
                return ids
            ident = self.q.readq(self.header + RELEASES + 20 + cons % 8 * 8)
            while ident:
                ids.append(ident)
                ident = self.q.readq(RAM + ident)
            self.q.writel(self.header + RELEASES + 12, cons + 1)
