# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks driven over qtest as a guest's driver does: by the PIIX's bus master, and by AHCI with queued commands.

    with QTest(["-M", "pc", "-hda", path]) as q:
        disk = Ide(q)
        tag = disk.start(WRITE, sector, data)
        assert disk.wait(tag) == 0              # or the error register

Leaves out: interrupts (completions are polled), everything but reading, writing and flushing.
"""
import time

READ, WRITE, FLUSH, WRITE_FUA = "read", "write", "flush", "write fua"
SLOT = 1 << 16  # bytes of memory for the data of a request


def config(q, function, offset, value=None):
    q.outl(0xCF8, 0x80000000 | function << 8 | offset & 0xFC)
    if value is None:
        return q.inl(0xCFC)
    q.outl(0xCFC, value)
    return value


class Hung(AssertionError):
    """A request does not end."""


class Disk:
    """`limit`: seconds after which a request counts as hung."""

    limit = 30

    def wait(self, tag):
        end = time.monotonic() + self.limit
        while True:
            done = self.ended(tag)
            if done is not None:
                return done
            if time.monotonic() > end:
                raise Hung("a request has not ended after %d s" % self.limit)

    def do(self, op, sector=0, data=b"", sectors=1):
        """0, or the error register."""
        return self.wait(self.start(op, sector, data, sectors))


class Ide(Disk):
    """The first disk of the PIIX."""

    slots = 1
    BMDMA, TASK, TABLE, DATA = 0xC000, 0x1F0, 0x100000, 0x110000

    def __init__(self, q, function=0x09):
        self.q = q
        config(q, function, 0x40, 0x80008000)  # both channels decode
        config(q, function, 0x20, self.BMDMA | 1)
        config(q, function, 0x04, 5)
        q.outb(0x3F6, 2)  # no interrupts
        self.failed = 0

    def start(self, op, sector=0, data=b"", sectors=1):
        q, size = self.q, len(data) or sectors * 512
        q.outb(self.BMDMA, 0)
        q.outb(self.BMDMA + 2, 6)
        if op != FLUSH:
            q.write(self.TABLE, self.DATA.to_bytes(4, "little") + (size & 0xFFFF).to_bytes(2, "little") + b"\0\x80")
            q.outl(self.BMDMA + 4, self.TABLE)
        if op in (WRITE, WRITE_FUA):
            q.write(self.DATA, data)
        q.outb(self.TASK + 6, 0x40)
        for byte in (1, 0):  # the high halves first
            q.outb(self.TASK + 2, size // 512 >> 8 * byte & 0xFF)
            for n in range(3):
                q.outb(self.TASK + 3 + n, sector >> 8 * (n + 3 * byte) & 0xFF)
        q.outb(self.TASK + 7, {READ: 0x25, WRITE: 0x35, FLUSH: 0xEA, WRITE_FUA: 0x3D}[op])
        if op != FLUSH:
            q.outb(self.BMDMA, 9 if op == READ else 1)
        return 0

    def ended(self, tag):
        status = self.q.inb(0x3F6)
        if status & 0x88:
            return None
        return self.q.inb(self.TASK + 1) if status & 1 else 0

    def data(self, tag, size):
        return self.q.read(self.DATA, size)


class Ahci(Disk):
    """Disk of a port of an AHCI adapter (default: q35's own), with its commands queued; flushes are not."""

    BASE, LIST, FIS, TABLES, DATA = 0xE0000000, 0x100000, 0x101000, 0x102000, 0x200000

    def __init__(self, q, function=0xFA, port=0, slots=16):
        self.q, self.slots, self.free = q, slots, list(range(slots))
        config(q, function, 0x24, self.BASE)
        config(q, function, 0x04, 6)
        self.put, self.get = q.writel, q.readl
        self.put(self.BASE + 4, 0x80000000)
        self.port = self.BASE + 0x100 + port * 0x80
        self.begin()

    def begin(self, again=False):
        """After an error too (`again`): all that was queued is gone."""
        q = self.q
        for bit in (1, 0x10):  # commands first, then received frames
            self.put(self.port + 0x18, self.get(self.port + 0x18) & ~bit)
            end = time.monotonic() + self.limit
            while self.get(self.port + 0x18) & (0x8000 if bit == 1 else 0x4000):
                if time.monotonic() > end:
                    raise Hung("the port does not stop")
        if again:  # the disk takes nothing else after an error in its queue
            self.put(self.port + 0x2C, 1)
            self.q.clock_step(1000000)
            self.put(self.port + 0x2C, 0)
            self.q.clock_step(10000000)
            end = time.monotonic() + self.limit
            while self.get(self.port + 0x28) & 15 != 3 or self.get(self.port + 0x20) & 0x88:
                if time.monotonic() > end:
                    raise Hung("the link does not come back")
        self.put(self.port + 0x30, 0xFFFFFFFF)
        self.put(self.port + 0x10, 0xFFFFFFFF)
        self.put(self.port, self.LIST)
        self.put(self.port + 4, 0)
        self.put(self.port + 8, self.FIS)
        self.put(self.port + 12, 0)
        self.put(self.port + 0x18, 0x11)
        q.write(self.LIST, bytes(1024))
        self.free = list(range(self.slots))

    def start(self, op, sector=0, data=b"", sectors=1):
        q, size = self.q, len(data) or sectors * 512
        queued = op != FLUSH
        while not self.free or not queued and len(self.free) < self.slots:
            raise AssertionError("no slot is free")
        tag = self.free.pop(0)
        table, place = self.TABLES + 256 * tag, self.DATA + SLOT * tag
        count = size // 512
        command = {READ: 0x60, WRITE: 0x61, WRITE_FUA: 0x61, FLUSH: 0xEA}[op]
        lba = sector.to_bytes(6, "little")
        device = 0xC0 if op == WRITE_FUA else 0x40
        if queued:
            fis = bytes([0x27, 0x80, command, count & 0xFF, *lba[:3], device, *lba[3:], count >> 8, tag << 3, 0, 0, 0])
        else:
            fis = bytes([0x27, 0x80, command, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0])
        q.write(table, fis)
        if queued:
            q.write(table + 0x80, place.to_bytes(8, "little") + bytes(4) + (size - 1).to_bytes(4, "little"))
        if op in (WRITE, WRITE_FUA):
            q.write(place, data)
        flags = 5 | (0x40 if op in (WRITE, WRITE_FUA) else 0) | (0x10000 if queued else 0)
        q.write(self.LIST + 32 * tag, flags.to_bytes(4, "little") + bytes(4) + table.to_bytes(8, "little"))
        if queued:
            self.put(self.port + 0x34, 1 << tag)
        self.put(self.port + 0x38, 1 << tag)
        return tag

    def ended(self, tag):
        interrupts = self.get(self.port + 0x10)
        if interrupts & 0x78000000:
            error = self.get(self.port + 0x20) >> 8 & 0xFF
            self.begin(True)
            return error or 0xFF
        if (self.get(self.port + 0x38) | self.get(self.port + 0x34)) >> tag & 1:
            return None
        self.free.append(tag)
        return 0

    def data(self, tag, size):
        return self.q.read(self.DATA + SLOT * tag, size)
