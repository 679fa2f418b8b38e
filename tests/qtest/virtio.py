# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtio driver over qtest: transports (PCI modern and legacy, MMIO) and rings (split, packed). It writes what
it is told, so that tests can break the rules; see Virtual I/O Device 1.2."""
import struct
import time

MEMORY, PORTS = 0xE0000000, 0xC000
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15
INDIRECT_DESC, EVENT_IDX, VERSION_1, PACKED, IN_ORDER, NOTIFICATION_DATA, RING_RESET = 28, 29, 32, 34, 35, 38, 40
TIMEOUT = 30.0


def until(true, what="that does not come"):
    """Contexts have threads of their own, or are served between two commands: looks until it is so."""
    end = time.monotonic() + TIMEOUT
    while not true():
        if time.monotonic() > end:
            raise AssertionError(what)
        time.sleep(0.002)


class Function:
    """Configuration space of a function on bus 0."""

    def __init__(self, q, slot=5, function=0):
        self.q, self.slot, self.function = q, slot, function

    def _at(self, offset):
        self.q.outl(0xCF8, 0x80000000 | self.slot << 11 | self.function << 8 | offset & 0xFC)
        return 0xCFC + offset % 4

    def read(self, offset, width="l"):
        return getattr(self.q, "in" + width)(self._at(offset))

    def write(self, offset, value, width="l"):
        getattr(self.q, "out" + width)(self._at(offset), value)

    def capabilities(self):
        at = self.read(0x34, "b")
        while at:
            yield at, self.read(at, "b")
            at = self.read(at + 1, "b")

    def capability(self, wanted):
        return next((at for at, number in self.capabilities() if number == wanted), 0)


class Transport:
    """What all have: negotiation."""

    def reset(self):
        self.set_status(0)
        until(lambda: self.status() == 0, "the reset does not end")

    def start(self, wanted, ready=True, queues=()):
        """Negotiates: wanted is a list of bits; sets queues up; then DRIVER_OK."""
        self.reset()
        self.set_status(ACKNOWLEDGE)
        self.set_status(ACKNOWLEDGE | DRIVER)
        offered = self.features()
        chosen = sum(1 << bit for bit in wanted)
        self.set_features(chosen)
        if not self.legacy:
            self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
            assert self.status() & FEATURES_OK, "features %#x are refused, %#x offered" % (chosen, offered)
        for queue in queues:
            queue.set_up(self)
        if ready:
            self.set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK | (0 if self.legacy else FEATURES_OK))
        return offered

    def broken(self):
        return bool(self.status() & NEEDS_RESET)

    def until_broken(self):
        until(self.broken, "DEVICE_NEEDS_RESET does not come")


class Modern(Transport):
    legacy = False

    def __init__(self, q, slot=5, memory=MEMORY):
        self.q, self.f = q, Function(q, slot)
        f = self.f
        f.write(0x20, memory)
        f.write(0x24, 0)
        f.write(0x14, memory + 0x1000000)
        f.write(4, 6, "w")
        self.parts = {}
        for at, number in f.capabilities():
            if number == 9 and f.read(at + 4, "b") == 4:
                kind = f.read(at + 3, "b")
                self.parts[kind] = memory + f.read(at + 8)
                if kind == 2:
                    self.step = f.read(at + 16)
        self.common, self.notify_at, self.isr_at, self.device = (self.parts.get(k) for k in (1, 2, 3, 4))

    def status(self):
        return self.q.readb(self.common + 20)

    def set_status(self, value):
        self.q.writeb(self.common + 20, value)

    def features(self):
        value = 0
        for half in (1, 0):
            self.q.writel(self.common, half)
            value = value << 32 | self.q.readl(self.common + 4)
        return value

    def set_features(self, value):
        for half in (0, 1):
            self.q.writel(self.common + 8, half)
            self.q.writel(self.common + 12, value >> 32 * half & 0xFFFFFFFF)

    def select(self, index):
        self.q.writew(self.common + 22, index)

    def queue_max(self, index):
        self.select(index)
        return self.q.readw(self.common + 24)

    def enable(self, index, size, desc, driver, device):
        self.select(index)
        self.q.writew(self.common + 24, size)
        for at, value in ((32, desc), (40, driver), (48, device)):
            self.q.writel(self.common + at, value & 0xFFFFFFFF)
            self.q.writel(self.common + at + 4, value >> 32)
        self.q.writew(self.common + 28, 1)

    def reset_queue(self, index):
        self.select(index)
        self.q.writew(self.common + 58, 1)
        until(lambda: self.q.readw(self.common + 58) == 0)

    def notify(self, index, data=None):
        at = self.notify_at + index * self.step
        if data is None:
            self.q.writew(at, index)
        else:
            self.q.writel(at, data << 16 | index)

    def isr(self):
        return self.q.readb(self.isr_at)

    def config(self, offset, size):
        return self.q.read(self.device + offset, size)


class Legacy(Transport):
    legacy = True

    def __init__(self, q, slot=5):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, PORTS)
        self.f.write(4, 5, "w")

    def status(self):
        return self.q.inb(PORTS + 18)

    def set_status(self, value):
        self.q.outb(PORTS + 18, value)

    def features(self):
        return self.q.inl(PORTS)

    def set_features(self, value):
        self.q.outl(PORTS + 4, value)

    def queue_max(self, index):
        self.q.outw(PORTS + 14, index)
        return self.q.inw(PORTS + 12)

    def enable(self, index, size, desc, driver, device):
        assert size == self.queue_max(index)
        self.q.outl(PORTS + 8, desc >> 12)

    def notify(self, index, data=None):
        self.q.outw(PORTS + 16, index)

    def isr(self):
        return self.q.inb(PORTS + 19)

    def config(self, offset, size):
        return bytes(self.q.inb(PORTS + 20 + offset + i) for i in range(size))


class Split:
    """A split ring at `base` (of pages of its own), laid out as legacy drivers do."""

    def __init__(self, q, base, index=0, size=None):
        self.q, self.base, self.index, self.size = q, base, index, size
        self.avail_idx = self.used_seen = self.free = 0

    def set_up(self, transport):
        self.transport = transport
        self.size = self.size or transport.queue_max(self.index)
        n = self.size
        self.desc, self.avail = self.base, self.base + 16 * n
        self.used = (self.avail + 6 + 2 * n + 4095) & ~4095
        self.q.memset(self.base, self.used + 6 + 8 * n - self.base, 0)
        self.avail_idx = self.used_seen = self.free = 0
        transport.enable(self.index, n, self.desc, self.avail, self.used)

    def put(self, slot, addr, length, flags, following=0):
        self.q.write(self.desc + 16 * slot, struct.pack("<QIHH", addr, length, flags, following))

    def offer(self, head, by=1):
        self.q.writew(self.avail + 4 + 2 * (self.avail_idx % self.size), head)
        self.avail_idx = (self.avail_idx + by) & 0xFFFF
        self.q.writew(self.avail + 2, self.avail_idx)

    def add(self, parts, kick=True, indirect=None):
        """parts: [(addr, len, writable)]; indirect: where the table goes. Gives the head."""
        head = self.free
        if indirect is not None:
            table = b"".join(struct.pack("<QIHH", a, n, (WRITE if w else 0) | (NEXT if i + 1 < len(parts) else 0),
                                         i + 1) for i, (a, n, w) in enumerate(parts))
            self.q.write(indirect, table)
            self.put(head, indirect, len(table), INDIRECT)
            self.free = (self.free + 1) % self.size
        else:
            for i, (a, n, w) in enumerate(parts):
                last = i + 1 == len(parts)
                self.put(self.free, a, n, (WRITE if w else 0) | (0 if last else NEXT), (self.free + 1) % self.size)
                self.free = (self.free + 1) % self.size
        self.offer(head)
        if kick:
            self.transport.notify(self.index)
        return head

    def poll(self):
        """The next used entry (id, len), or None."""
        if self.q.readw(self.used + 2) == self.used_seen:
            return None
        entry = struct.unpack("<II", self.q.read(self.used + 4 + 8 * (self.used_seen % self.size), 8))
        self.used_seen = (self.used_seen + 1) & 0xFFFF
        return entry

    def wait(self):
        got = []

        def come():
            entry = self.poll()
            if entry:
                got.append(entry)
            return bool(got)
        until(come, "the request is not used")
        return got[0]


class Packed:
    """A packed ring at `base`."""

    def __init__(self, q, base, index=0, size=None):
        self.q, self.base, self.index, self.size = q, base, index, size

    def set_up(self, transport):
        self.transport = transport
        self.size = self.size or transport.queue_max(self.index)
        self.driver = self.base + 16 * self.size
        self.device = self.driver + 4
        self.q.memset(self.base, 16 * self.size + 8, 0)
        self.at, self.wrap, self.used_at, self.used_wrap, self.ident = 0, True, 0, True, 0
        self.slots = {}
        transport.enable(self.index, self.size, self.base, self.driver, self.device)

    def flags(self, wrap):
        return AVAIL if wrap else USED

    def put(self, slot, addr, length, ident, flags):
        self.q.write(self.base + 16 * slot, struct.pack("<QIHH", addr, length, ident, flags))

    def add(self, parts, kick=True, indirect=None):
        ident = self.ident
        self.ident = (self.ident + 1) % self.size
        if indirect is not None:
            table = b"".join(struct.pack("<QIHH", a, n, 0, WRITE if w else 0) for a, n, w in parts)
            self.q.write(indirect, table)
            parts, extra = [(indirect, len(table), False)], INDIRECT
        else:
            extra = 0
        first = None
        for i, (a, n, w) in enumerate(parts):
            flags = (WRITE if w else 0) | (NEXT if i + 1 < len(parts) else 0) | extra | self.flags(self.wrap)
            if first is None:
                first = (self.at, a, n, flags)
            else:
                self.put(self.at, a, n, ident, flags)
            self.at += 1
            if self.at == self.size:
                self.at, self.wrap = 0, not self.wrap
        self.put(first[0], first[1], first[2], ident, first[3])
        self.slots[ident] = len(parts)
        if kick:
            self.transport.notify(self.index)
        return ident

    def poll(self):
        _, length, ident, flags = struct.unpack("<QIHH", self.q.read(self.base + 16 * self.used_at, 16))
        if bool(flags & AVAIL) != self.used_wrap or bool(flags & USED) != self.used_wrap:
            return None
        self.used_at += self.slots.pop(ident)
        if self.used_at >= self.size:
            self.used_at -= self.size
            self.used_wrap = not self.used_wrap
        return ident, length

    wait = Split.wait
