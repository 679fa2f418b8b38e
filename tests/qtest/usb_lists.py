# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drivers that keep transfers of several endpoints under way on EHCI, OHCI, UHCI and xHCI, by one set of calls, and take
them back as each specification wants it. For usb-late: bulk 0x81, 2, 0x83, 4, interrupt 0x85."""
import struct

import usb
from usb import IOC, ISP, NORMAL, SUCCESS, XHCI
from virtio import Function, until

FRAME = 1000000
ADDRESS = 5
ENDPOINTS = (0x81, 0x02, 0x83, 0x04, 0x85)
INTERRUPT = 0x85
BAR, FRAMES, HEADS, TDS, DATA = 0xE0000000, 0x100000, 0x110000, 0x120000, 0x200000
GONE = -1  # a result: it failed


def request(kind, code, value=0, index=0, size=0):
    return struct.pack("<BBHHH", kind, code, value, index, size)


class Driver:
    """A place for each endpoint: its queue head, its descriptor, its data. `busy`: those that have a transfer."""
    packet, interval = 64, 8

    def __init__(self, q):
        self.q, self.f = q, Function(q, 5)
        self.start()

    def start(self):
        self.busy, self.linked, self.length = set(), [], {}
        self.reset()
        self.enumerate()

    def place(self, endpoint):
        return 0 if endpoint is None else 1 + ENDPOINTS.index(endpoint)

    def head(self, endpoint):
        return HEADS + 0x100 * self.place(endpoint)

    def td(self, endpoint):
        return TDS + 0x100 * self.place(endpoint)

    def buffer(self, endpoint):
        return DATA + 0x10000 * self.place(endpoint)

    def step(self, frames=1):
        self.q.clock_step(FRAME * frames)

    def enumerate(self):
        self.open_port()
        self.control(request(0, 5, ADDRESS), address=0)
        self.control(request(0, 9, 1))

    def counts(self):
        names = ("given", "ended", "cancelled", "waiting", "jobs", "wrong")
        return dict(zip(names, struct.unpack("<6I", self.control(request(0xC0, 2, 0, 0, 24), 24))))

    def way(self, way, ms=0):
        self.control(request(0x40, 1, way, ms))

    def put(self, endpoint, data=None, length=0):
        """Starts a transfer of an endpoint that has none."""
        assert endpoint not in self.busy
        if data is not None:
            self.q.write(self.buffer(endpoint), data)
            length = len(data)
        self.length[endpoint] = length
        self.busy.add(endpoint)
        self.begin(endpoint, length)

    def take(self, endpoint):
        """None: not yet; GONE; the bytes that came, or how many went."""
        done = self.result(endpoint)
        if done is None:
            return None
        self.busy.discard(endpoint)
        if done == GONE or not endpoint & 0x80:
            return done
        return self.q.read(self.buffer(endpoint), done)

    def remove(self, endpoint):
        self.take_back(endpoint)
        self.busy.discard(endpoint)

    def remove_all(self):
        for endpoint in sorted(self.busy):
            self.remove(endpoint)

    def control(self, setup, length=0, address=ADDRESS):
        self.q.write(self.buffer(None), setup)
        stages = [("setup", 8, self.buffer(None))]
        if length:
            stages.append(("in", length, self.buffer(None) + 0x100))
        stages.append(("out" if length else "in", 0, 0))
        assert self.run(stages, address), "a control transfer fails"
        return self.q.read(self.buffer(None) + 0x100, length) if length else b""

    def wait(self, done):
        for _ in range(100):
            self.step()
            if done():
                return
        raise AssertionError("nothing happens in 100 frames")


class EHCI(Driver):
    device, packet = "usb-ehci", 512
    CMD, STS, PERIODIC, ASYNC, FLAG, PORT = 0x20, 0x24, 0x34, 0x38, 0x60, 0x64
    ON = 0x80031
    PIDS = {"out": 0, "in": 1, "setup": 2}

    def reset(self):
        q = self.q
        self.f.write(0x10, BAR)
        self.f.write(4, 6, "w")
        q.writel(BAR + self.CMD, 2)
        q.write(FRAMES, struct.pack("<I", 1) * 1024)
        q.writel(BAR + self.PERIODIC, FRAMES)
        q.writel(BAR + self.ASYNC, self.head(None))
        self.write_head(None, 0)
        self.link()
        q.writel(BAR + self.FLAG, 1)
        q.writel(BAR + self.CMD, self.ON)

    def open_port(self):
        self.q.writel(BAR + self.PORT, 0x100)
        self.q.writel(BAR + self.PORT, 0)

    def write_head(self, endpoint, address=ADDRESS):
        self.q.write(self.head(endpoint) + 4, struct.pack(
            "<11I", address | ((endpoint or 0) & 15) << 8 | 2 << 12 | 1 << 14 | (endpoint is None) << 15 |
            (64 if endpoint is None else 512) << 16, 1 << 30, 0, 1, 1, 0, 0, 0, 0, 0, 0))

    def link(self):
        """The ring, and the periodic schedule's one head."""
        ring = [None] + [e for e in self.linked if e != INTERRUPT]
        for at, after in zip(ring, ring[1:] + ring[:1]):
            self.q.writel(self.head(at), self.head(after) | 2)
        first = self.head(INTERRUPT) | 2 if INTERRUPT in self.linked else 1
        if first != 1:
            self.q.writel(self.head(INTERRUPT), 1)
        self.q.write(FRAMES, struct.pack("<%dI" % self.interval, first, *[1] * (self.interval - 1)) *
                     (1024 // self.interval))

    def write_td(self, at, pid, length, buffer, following=1):
        self.q.write(at, struct.pack("<8I", following, 1, 0x80 | pid << 8 | 3 << 10 | length << 16, buffer,
                                     *[(buffer & ~4095) + 4096 * n for n in range(1, 5)]))

    def run(self, stages, address):
        at = self.td(None)
        for n, (kind, length, buffer) in enumerate(stages):
            self.write_td(at + 32 * n, self.PIDS[kind], length, buffer, 1 if n + 1 == len(stages) else at + 32 * n + 32)
        self.write_head(None, address)
        self.q.writel(self.head(None) + 16, at)
        tokens = [at + 32 * n + 8 for n in range(len(stages))]
        self.wait(lambda: not self.q.readl(tokens[-1]) & 0x80 or any(self.q.readl(t) & 0x40 for t in tokens))
        return not any(self.q.readl(t) & 0xC0 for t in tokens)

    def begin(self, endpoint, length):
        self.write_td(self.td(endpoint), endpoint >> 7, length, self.buffer(endpoint))
        self.write_head(endpoint)
        self.q.writel(self.head(endpoint) + 16, self.td(endpoint))
        if endpoint not in self.linked:
            self.linked.append(endpoint)
            self.link()

    def result(self, endpoint):
        token = self.q.readl(self.td(endpoint) + 8)
        return None if token & 0x80 else GONE if token & 0x40 else self.length[endpoint] - (token >> 16 & 0x7FFF)

    def take_back(self, endpoint):
        self.linked.remove(endpoint)
        self.link()
        if endpoint == INTERRUPT: # no doorbell, but that it was not met where it has its place
            self.step(2 * self.interval)
        else:
            self.ring()

    def ring(self):
        self.q.writel(BAR + self.CMD, self.ON | 0x40)
        self.wait(lambda: self.q.readl(BAR + self.STS) & 0x20)
        self.q.writel(BAR + self.STS, 0x20)


class OHCI(Driver):
    device = "pci-ohci"
    PIDS = {"setup": 0, "out": 1, "in": 2}
    SKIP = 1 << 14

    def reset(self):
        q = self.q
        self.f.write(0x10, BAR)
        self.f.write(4, 6, "w")
        q.writel(BAR + 8, 1)
        q.memset(FRAMES, 256, 0)
        q.writel(BAR + 0x18, FRAMES)
        self.link()
        q.writel(BAR + 4, 0xB4)

    def open_port(self):
        self.q.writel(BAR + 0x54, 0x10)
        self.q.writel(BAR + 0x54, 31 << 16)

    def write_ed(self, endpoint, head, address=ADDRESS, flags=0):
        self.q.write(self.head(endpoint), struct.pack("<III", address | ((endpoint or 0) & 15) << 7 | 64 << 16 | flags,
                                                      self.td(endpoint) + 0xF0, head))

    def link(self):
        bulk = [e for e in self.linked if e != INTERRUPT]
        for at, after in zip(bulk, bulk[1:] + [None]):
            self.q.writel(self.head(at) + 12, 0 if after is None else self.head(after))
        first = self.head(INTERRUPT) if INTERRUPT in self.linked else 0
        if first:
            self.q.writel(first + 12, 0)
        self.q.write(FRAMES, struct.pack("<%dI" % self.interval, first, *[0] * (self.interval - 1)) *
                     (32 // self.interval))
        self.q.writel(BAR + 0x28, self.head(bulk[0]) if bulk else 0)
        self.q.writel(BAR + 8, 4)

    def write_td(self, at, pid, length, buffer, following):
        self.q.write(at, struct.pack("<4I", 1 << 18 | pid << 19 | 7 << 21 | 0xF << 28, buffer if length else 0, following,
                                     buffer + length - 1 if length else 0))

    def run(self, stages, address):
        at = self.td(None)
        for n, (kind, length, buffer) in enumerate(stages):
            self.write_td(at + 16 * n, self.PIDS[kind], length, buffer, at + (0xF0 if n + 1 == len(stages) else
                                                                              16 * n + 16))
        self.write_ed(None, at, address)
        self.q.writel(self.head(None) + 12, 0)
        self.q.writel(BAR + 0x20, self.head(None))
        self.q.writel(BAR + 8, 2)
        codes = [at + 16 * n for n in range(len(stages))]
        self.wait(lambda: self.q.readl(codes[-1]) >> 28 != 15 or any(0 < self.q.readl(c) >> 28 < 15 for c in codes))
        self.q.writel(BAR + 0x0C, 0x7F)
        return not any(self.q.readl(c) >> 28 for c in codes)

    def begin(self, endpoint, length):
        self.write_td(self.td(endpoint), 2 if endpoint & 0x80 else 1, length, self.buffer(endpoint),
                      self.td(endpoint) + 0xF0)
        self.write_ed(endpoint, self.td(endpoint))
        if endpoint not in self.linked:
            self.linked.append(endpoint)
            self.link()
        self.q.writel(BAR + 8, 4)

    def result(self, endpoint):
        word, at, _, end = struct.unpack("<4I", self.q.read(self.td(endpoint), 16))
        if word >> 28 == 15:
            return None
        self.q.writel(BAR + 0x0C, 0x7F)
        return GONE if word >> 28 else self.length[endpoint] - (end - at + 1 if at else 0)

    def take_back(self, endpoint):
        self.q.writel(self.head(endpoint), self.q.readl(self.head(endpoint)) | self.SKIP)
        self.step(1 if endpoint != INTERRUPT else 2 * self.interval)
        self.linked.remove(endpoint)
        self.link()
        if endpoint == INTERRUPT:
            self.step(2 * self.interval)


class UHCI(Driver):
    device = "piix3-usb-uhci"
    BASE = 0xC000
    PIDS = {"in": 0x69, "out": 0xE1, "setup": 0x2D}

    def reset(self):
        q = self.q
        self.f.write(0x20, self.BASE | 1)
        self.f.write(4, 5, "w")
        q.outw(self.BASE, 2)
        q.outl(self.BASE + 8, FRAMES)
        q.writel(self.head(None) + 4, 1)
        self.link()
        q.outw(self.BASE, 0x81)

    def open_port(self):
        for value in (0x200, 0, 4 | 2 | 8):
            self.q.outw(self.BASE + 0x10, value)

    def link(self):
        ring = [None] + [e for e in self.linked if e != INTERRUPT]
        for at, after in zip(ring, ring[1:] + ["end"]):
            self.q.writel(self.head(at), 1 if after == "end" else self.head(after) | 2)
        first = self.head(None) | 2
        if INTERRUPT in self.linked:
            self.q.writel(self.head(INTERRUPT), first)
        self.q.write(FRAMES, struct.pack("<%dI" % self.interval, self.head(INTERRUPT) | 2 if INTERRUPT in self.linked
                                         else first, *[first] * (self.interval - 1)) * (1024 // self.interval))

    def write_td(self, at, pid, length, buffer, address, endpoint, following=1):
        self.q.write(at, struct.pack("<4I", following, 1 << 23, pid | address << 8 | (endpoint & 15) << 15 |
                                     ((length - 1) & 0x7FF) << 21, buffer))

    def run(self, stages, address):
        at = self.td(None)
        for n, (kind, length, buffer) in enumerate(stages):
            self.write_td(at + 32 * n, self.PIDS[kind], length, buffer, address, 0,
                          1 if n + 1 == len(stages) else at + 32 * n + 32 | 4)
        self.q.writel(self.head(None) + 4, at)
        words = [at + 32 * n + 4 for n in range(len(stages))]
        self.wait(lambda: not self.q.readl(words[-1]) & 1 << 23 or any(self.q.readl(w) & 1 << 22 for w in words))
        return not any(self.q.readl(w) & 3 << 22 for w in words)

    def begin(self, endpoint, length):
        self.write_td(self.td(endpoint), self.PIDS["in" if endpoint & 0x80 else "out"], length, self.buffer(endpoint),
                      ADDRESS, endpoint)
        self.q.writel(self.head(endpoint) + 4, self.td(endpoint))
        if endpoint not in self.linked:
            self.linked.append(endpoint)
            self.link()

    def result(self, endpoint):
        word = self.q.readl(self.td(endpoint) + 4)
        return None if word & 1 << 23 else GONE if word & 1 << 22 else (word + 1) & 0x7FF

    def take_back(self, endpoint):
        self.q.writel(self.head(endpoint) + 4, 1)
        self.linked.remove(endpoint)
        self.link()
        self.step(1 if endpoint != INTERRUPT else 2 * self.interval)


class Ring3(XHCI):
    """Events of transfers are kept while something else is waited for."""
    def wait(self, kind):
        while True:
            e = self.event()
            if e[0] == kind and (kind != 32 or e[4] >> 16 & 31 == 1):
                return e
            self.keep(e)

    def keep(self, e):
        if e[0] == 32 and e[2] not in (14, 15):  # not that an isochronous ring ran dry
            self.ended[e[4] >> 16 & 31] = e[2:4]


class XHCIDriver(Driver):
    device, packet = "qemu-xhci", 1024

    def reset(self):
        self.x = Ring3(self.q)
        self.x.ended = {}

    def enumerate(self):
        x = self.x
        until(lambda: x.portsc(5) & 1)
        x.reset_port(5)
        code, self.slot = x.address(5, 4, 512)
        assert code == SUCCESS, code
        assert x.control(self.slot, 0, 9, 1)[0] == SUCCESS
        assert x.configure(self.slot, (0x81, 6, 1024), (2, 2, 1024), (0x83, 6, 1024), (4, 2, 1024),
                           (0x85, 7, 64)) == SUCCESS

    def dci(self, endpoint):
        return (endpoint & 15) * 2 + (endpoint >> 7)

    def control(self, setup, length=0, address=ADDRESS):
        kind, code, value, index, size = struct.unpack("<BBHHH", setup)
        code, data = self.x.control(self.slot, kind, code, value, index, size)
        assert code == SUCCESS, code
        return data

    def begin(self, endpoint, length):
        self.x.put(self.slot, self.dci(endpoint), self.buffer(endpoint), length, NORMAL << 10 | IOC | ISP)

    def buffer(self, endpoint):
        return usb.DATA + 0x100000 + 0x10000 * self.place(endpoint)

    def result(self, endpoint):
        while (e := self.x.event(False)):
            self.x.keep(e)
        code, left = self.x.ended.pop(self.dci(endpoint), (None, 0))
        return None if code is None else self.length[endpoint] - left if code in (SUCCESS, usb.SHORT) else GONE

    def take_back(self, endpoint):
        x, dci = self.x, self.dci(endpoint)
        ring = x.rings[self.slot, dci]
        if x.ep_state(self.slot, dci) == 1:
            assert x.command(usb.STOP_EP, 0, 0, self.slot << 24 | dci << 16) == SUCCESS
        elif x.ep_state(self.slot, dci) == 2:
            assert x.command(usb.RESET_EP, 0, 0, self.slot << 24 | dci << 16) == SUCCESS
        assert x.command(usb.SET_DEQUEUE, ring.at + 16 * ring.n | ring.cycle, 0, self.slot << 24 | dci << 16) == SUCCESS
        self.result(endpoint)


DRIVERS = (EHCI, OHCI, UHCI, XHCIDriver)
