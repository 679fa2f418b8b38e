#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The OHCI controller as a driver sees it: registers, root hub, lists that make sense, and those that do not."""
import random
import struct

from qtest import Failed, QTest, Tap
from virtio import Function, until

BAR, HCCA, ED, TDS, DATA = 0xE0000000, 0x100000, 0x110000, 0x120000, 0x130000
CONTROL, COMMAND, STATUS, ENABLE, PORT = 0x04, 0x08, 0x0C, 0x10, 0x54
SETUP, OUT, IN = 0, 1, 2
ROUND, SKIP = 1 << 18, 1 << 14
FRAME = 1000000
STALL, SILENT, OVERRUN, UNDERRUN, BUFFER = 4, 5, 8, 9, 12
LAST = TDS + 0x1000


class OHCI:
    def __init__(self, q, slot=5):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, BAR)
        self.f.write(4, 6, "w")
        q.writel(BAR + COMMAND, 1)
        assert not q.readl(BAR + COMMAND) & 1 and q.readl(BAR + CONTROL) >> 6 == 3
        q.memset(HCCA, 256, 0)
        q.writel(BAR + 0x18, HCCA)
        q.writel(BAR + ENABLE, 0x8000007F)

    def reset_port(self, n=0):
        self.q.writel(BAR + PORT + 4 * n, 1 << 4)
        self.q.writel(BAR + PORT + 4 * n, 31 << 16)

    def ed(self, head, address=0, endpoint=0, flags=0, tail=LAST, link=0, at=ED):
        self.q.write(at, struct.pack("<IIII", address | endpoint << 7 | 64 << 16 | flags, tail, head, link))

    def td(self, n, pid, length, buffer=DATA, link=None, flags=ROUND):
        at = TDS + 16 * n
        self.q.write(at, struct.pack("<IIII", flags | pid << 19 | 7 << 21 | 0xF << 28, buffer if length else 0,
                                     LAST if link is None else link, buffer + length - 1 if length else 0))
        return at

    def run(self, frames=3, lists=0x34):
        self.q.writel(BAR + 0x20, ED)
        self.q.writel(BAR + CONTROL, 0x80 | lists)
        self.q.writel(BAR + COMMAND, 2)
        self.q.clock_step(FRAME * frames)

    def queue(self, tds, address=0, endpoint=0, flags=ROUND):
        """[(pid, length, buffer)]: (condition code, bytes left) of each after some frames."""
        for n, (pid, length, buffer) in enumerate(tds):
            self.td(n, pid, length, buffer, LAST if n + 1 == len(tds) else TDS + 16 * (n + 1), flags)
        self.ed(TDS, address, endpoint)
        self.run()
        self.q.writel(BAR + STATUS, 0x7F)
        found = []
        for n in range(len(tds)):
            word, at, _, end = struct.unpack("<IIII", self.q.read(TDS + 16 * n, 16))
            found.append((word >> 28, end - at + 1 if at else 0))
        return found

    def control(self, setup, length=0, address=0):
        self.q.write(DATA, setup)
        to_host = setup[0] & 0x80
        return self.queue([(SETUP, 8, DATA)] + ([(IN if to_host else OUT, length, DATA + 0x100)] if length else []) +
                          [(OUT if to_host and length else IN, 0, 0)], address)


def case(function, *devices):
    def run():
        more = [word for d in devices for word in ("-device", d)]
        with QTest(["-M", "pc", "-m", "16", "-device", "pci-ohci,addr=5", *more]) as q:
            function(q)
    return run


def request(kind, code, value=0, index=0, size=0):
    return struct.pack("<BBHHH", kind, code, value, index, size)


def fine(results):
    return all(code == 0 for code, _ in results)


def configure(o, address=5):
    o.reset_port()
    assert fine(o.control(request(0, 5, address)))
    assert fine(o.control(request(0, 9, 1), 0, address))


def says_what_it_is(q):
    o = OHCI(q)
    assert o.f.read(0) == 0x003F106B and o.f.read(8) >> 8 == 0x0C0310 and q.readl(BAR) == 0x10
    assert q.readl(BAR + 0x48) & 0xFF == 3 and q.readl(BAR + 0x34) == 0x27782EDF
    assert q.readl(BAR + PORT) & 0x10101 == 0x10101 and not q.readl(BAR + PORT + 4) & 1
    o.run(5, 0)
    assert q.readl(BAR + 0x3C) == 5 and q.readw(HCCA + 0x80) == 5 and q.readl(BAR + STATUS) & 4
    q.writel(BAR + STATUS, 4)
    assert not q.readl(BAR + STATUS) & 4


def device_is_enumerated(q):
    o = OHCI(q)
    o.reset_port()
    assert fine(o.control(request(0x80, 6, 0x100, 0, 18), 18))
    assert q.read(DATA + 0x100, 4) == bytes([18, 1, 0x10, 1])
    assert q.readl(HCCA + 0x84) & ~15 == TDS + 32  # the last one that was done comes first
    assert fine(o.control(request(0x80, 6, 0x200, 0, 255), 255))
    results = o.queue([(SETUP, 8, DATA), (IN, 255, DATA + 0xF90), (OUT, 0, 0)])  # short, and over a page
    assert fine(results) and results[1][1] == 255 - 34 and q.read(DATA + 0xF90, 4) == bytes([9, 2, 34, 0])
    results = o.queue([(SETUP, 8, DATA), (IN, 255, DATA + 0x100), (OUT, 0, 0)], flags=0)
    assert results[1][0] == UNDERRUN and results[2][0] == 15
    configure(o)
    assert fine(o.control(request(0x80, 8, 0, 0, 1), 1, 5)) and q.readb(DATA + 0x100) == 1
    assert o.control(request(0x80, 8, 0, 0, 1), 1)[0][0] == SILENT


def interrupts_come_by_the_periodic_list(q):
    o = OHCI(q)
    configure(o)
    o.td(0, IN, 8, DATA + 0x200)
    o.ed(TDS, 5, 1, at=ED + 0x100)
    q.write(HCCA, struct.pack("<I", ED + 0x100) * 32)
    o.run(3, 4)
    assert q.readl(TDS) >> 28 == 15
    q.qmp("input-send-event", {"events": [{"type": "abs", "data": {"axis": "x", "value": 0x1111}},
                                          {"type": "abs", "data": {"axis": "y", "value": 0x2222}}]})
    q.clock_step(3 * FRAME)
    assert q.readl(TDS) >> 28 == 0 and q.read(DATA + 0x200, 5) == struct.pack("<BHH", 0, 0x1111, 0x2222)
    q.qmp("input-send-event", {"events": [{"type": "btn", "data": {"button": "left", "down": True}}]})
    assert o.queue([(IN, 4, DATA + 0x200)], 5, 1)[0][0] == OVERRUN


def stalls_are_told(q):
    o = OHCI(q)
    o.reset_port()
    assert o.control(request(0x80, 6, 0x900, 0, 18), 18)[1][0] == STALL and q.readl(ED + 8) & 1
    for size in (4097, 0xFFFF):  # CVE-2020-14364
        assert o.control(request(0x80, 6, 0x100, 0, size), 64)[1][0] == STALL
        assert o.control(request(0, 9, 1, 0, size), 64)[1][0] == STALL
    q.write(DATA, request(0x21, 10, 0, 0, 2))
    results = o.queue([(SETUP, 8, DATA), (OUT, 2, DATA), (OUT, 0x1800, DATA)])
    assert results[1][0] == 0 and results[2][0] == STALL
    q.write(TDS, struct.pack("<IIII", ROUND | OUT << 19, DATA + 64, LAST, DATA))  # it ends before it begins
    o.ed(TDS)
    o.run()
    assert q.readl(TDS) >> 28 == SILENT
    assert o.queue([(IN, 8, 0xF0000000)], 0)[0][0] in (BUFFER, STALL)
    assert fine(o.control(request(0x80, 8, 0, 0, 1), 1))


def circles_end(q):
    o = OHCI(q)
    o.reset_port()
    o.ed(LAST, link=ED)
    q.write(HCCA, struct.pack("<I", ED) * 32)
    o.run(10)
    q.writel(BAR + 0x28, ED)
    q.writel(BAR + COMMAND, 6)
    q.clock_step(10 * FRAME)
    o.td(0, IN, 0, link=TDS)  # a descriptor that leads to itself
    o.ed(TDS, link=ED)
    o.run(10)
    assert q.readl(BAR + 0x3C) == 30 and not q.readl(BAR + STATUS) & 0x10
    o = OHCI(q)
    o.reset_port()
    assert fine(o.control(request(0x80, 8, 0, 0, 1), 1))


def nonsense_stops_it(q):
    for what in ("hcca", "ed", "td"):
        for where in (0xF0000000, BAR + 0x100):
            o = OHCI(q)
            o.reset_port()
            if what == "hcca":
                q.writel(BAR + 0x18, where)
            o.ed(where if what == "td" else LAST)
            q.writel(BAR + 0x20, ED)
            o.run(3, 0x34)
            if what == "ed":
                q.writel(BAR + 0x20, where)
                q.writel(BAR + COMMAND, 2)
                q.clock_step(3 * FRAME)
            assert q.readl(BAR + STATUS) & 0x10 and q.readl(BAR + CONTROL) >> 6 == 0, (what, hex(where))
    for where in (BAR, BAR + 0x50):  # its own registers: read, but never written
        o = OHCI(q)
        q.writel(BAR + 0x18, where & ~255)
        o.ed(where)
        o.run(3)
    o = OHCI(q)
    o.reset_port()
    assert fine(o.control(request(0x80, 8, 0, 0, 1), 1))


def device_comes_and_goes(q):
    o = OHCI(q)
    configure(o)
    q.qmp("device_add", {"driver": "usb-mouse", "id": "m", "port": "3"})
    assert q.readl(BAR + PORT + 8) & 0x10001 == 0x10001 and q.readl(BAR + STATUS) & 0x40
    q.qmp("device_del", {"id": "m"})
    until(lambda: not q.readl(BAR + PORT + 8) & 1)


def impossible_numbers_of_ports_are_refused():
    for ports in (0, 16):
        try:
            QTest(["-M", "pc", "-device", "pci-ohci,num-ports=%d" % ports]).close()
        except Failed as error:
            assert "1 to 15" in str(error), error
        else:
            raise AssertionError("%d ports are had" % ports)


def lists_by_chance_do_no_harm(q):
    chance = random.Random(9)
    for _ in range(30):
        o = OHCI(q)
        o.reset_port()
        for at in (HCCA, ED, TDS):
            words = [chance.choice((chance.getrandbits(32), 0, ED, ED + 16, TDS, TDS + 16, DATA, DATA + 63, LAST,
                                    0xFEE00000, BAR, 64 << 16, ROUND | IN << 19, OUT << 19)) for _ in range(64)]
            q.write(at, struct.pack("<64I", *words))
        o.run(4)
        q.writel(BAR + 4 * chance.randrange(24), chance.getrandbits(32))
    o = OHCI(q)
    o.reset_port()
    assert fine(o.control(request(0x80, 8, 0, 0, 1), 1))


tap = Tap()
tap.case("it says what it is", case(says_what_it_is, "usb-tablet"))
tap.case("a device is enumerated", case(device_is_enumerated, "usb-tablet"))
tap.case("interrupts come by the periodic list", case(interrupts_come_by_the_periodic_list, "usb-tablet"))
tap.case("stalls are told", case(stalls_are_told, "usb-tablet"))
tap.case("circles end", case(circles_end, "usb-tablet"))
tap.case("nonsense stops it until a reset", case(nonsense_stops_it, "usb-tablet"))
tap.case("a device comes and goes", case(device_comes_and_goes, "usb-tablet"))
tap.case("lists by chance do no harm", case(lists_by_chance_do_no_harm, "usb-tablet"))
tap.case("impossible numbers of ports are refused", impossible_numbers_of_ports_are_refused)
tap.done()
