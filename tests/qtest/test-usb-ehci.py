#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""EHCI controllers and their companions as a driver sees them: ports that change owners, schedules, and bad ones."""
import random
import struct

from qtest import Failed, QTest, Tap
from virtio import Function, until

BAR, FRAMES, QH, QTDS, DATA = 0xE0000000, 0x100000, 0x110000, 0x120000, 0x130000
CMD, STS, INTR, INDEX, PERIODIC, ASYNC, FLAG, PORT = 0x20, 0x24, 0x28, 0x2C, 0x34, 0x38, 0x60, 0x64
END, IS_QH = 1, 2
ACTIVE, HALTED, BUFFER, BABBLE, TRANSACTION, IOC = 0x80, 0x40, 0x20, 0x10, 8, 1 << 15
OUT, IN, SETUP = 0, 1, 2
FRAME = 1000000
OWNER, RESET, ENABLED = 1 << 13, 1 << 8, 4


class EHCI:
    def __init__(self, q, slot=5):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, BAR)
        self.f.write(4, 6, "w")
        q.writel(BAR + CMD, 2)
        assert q.readl(BAR + CMD) == 0x80000 and q.readl(BAR + STS) == 0x1000
        q.write(FRAMES, struct.pack("<I", END) * 1024)
        q.writel(BAR + PERIODIC, FRAMES)
        q.writel(BAR + ASYNC, QH)
        self.head(END)
        q.writel(BAR + INTR, 0x3F)
        q.writel(BAR + FLAG, 1)

    def head(self, first, address=0, endpoint=0, at=QH, link=None):
        self.q.write(at, struct.pack("<IIIIIIIIIIII", at | IS_QH if link is None else link,
                                     address | endpoint << 8 | 2 << 12 | 1 << 14 | 1 << 15 | 64 << 16, 1 << 30, 0,
                                     first, END, 0, 0, 0, 0, 0, 0))

    def run(self, frames=3, schedules=0x20):
        self.q.writel(BAR + CMD, 0x80001 | schedules)
        self.q.clock_step(FRAME * frames)

    def stop(self):
        self.q.writel(BAR + CMD, 0x80000)

    def port(self, n=0):
        return self.q.readl(BAR + PORT + 4 * n)

    def set_port(self, value, n=0):
        self.q.writel(BAR + PORT + 4 * n, value)

    def reset_port(self, n=0):
        self.set_port(RESET | 2, n)
        self.set_port(0, n)

    def qtd(self, n, pid, length, buffer=DATA, more=0, link=None, alternate=END):
        self.q.write(QTDS + 32 * n, struct.pack("<IIIIIIII", END if link is None else link, alternate,
                                                ACTIVE | pid << 8 | 3 << 10 | length << 16 | more, buffer,
                                                *[(buffer & ~4095) + 4096 * i for i in range(1, 5)]))

    def queue(self, tds, address=0, endpoint=0):
        """[(pid, length, buffer, more)]: tokens after some frames."""
        self.stop()
        for n, (pid, length, buffer, more) in enumerate(tds):
            self.qtd(n, pid, length, buffer, more, END if n + 1 == len(tds) else QTDS + 32 * (n + 1))
        self.head(QTDS, address, endpoint)
        self.run()
        return [self.q.readl(QTDS + 32 * n + 8) for n in range(len(tds))]

    def control(self, setup, length=0, address=0):
        self.q.write(DATA, setup)
        to_host = setup[0] & 0x80
        return self.queue([(SETUP, 8, DATA, 0)] +
                          ([(IN if to_host else OUT, length, DATA + 0x100, 0)] if length else []) +
                          [(OUT if to_host and length else IN, 0, 0, IOC)], address)


def case(function, *devices, controller="usb-ehci,addr=5,id=e"):
    def run():
        more = [word for d in devices for word in ("-device", d)]
        with QTest(["-M", "pc", "-m", "16", "-device", controller, *more]) as q:
            function(q)
    return run


def request(kind, code, value=0, index=0, size=0):
    return struct.pack("<BBHHH", kind, code, value, index, size)


def left(token):
    return token >> 16 & 0x7FFF


def bad(tokens):
    return any(t & (ACTIVE | HALTED) for t in tokens)


def configure(e, address=5):
    e.reset_port()
    assert e.port() & ENABLED
    assert not bad(e.control(request(0, 5, address)))
    assert not bad(e.control(request(0, 9, 1), 0, address))


def says_what_it_is(q):
    e = EHCI(q)
    assert e.f.read(0) == 0x24CD8086 and e.f.read(8) >> 8 == 0x0C0320 and e.f.read(0x60, "b") == 0x20
    assert q.readl(BAR) == 0x01000020 and q.readl(BAR + 4) == 6 and q.readl(BAR + 8) == 0
    assert e.port() & 0x3003 == 0x1003 and e.port(1) & 0x3001 == 0x1000
    e.run(16, 0)
    assert q.readl(BAR + INDEX) == 128 and not q.readl(BAR + STS) & 0x1000
    e.stop()
    assert q.readl(BAR + STS) & 0x1000


def device_is_enumerated(q):
    e = EHCI(q)
    e.reset_port()
    done = e.control(request(0x80, 6, 0x100, 0, 18), 18)
    assert not bad(done) and [left(t) for t in done] == [0, 0, 0], done
    assert q.read(DATA + 0x100, 8) == bytes([18, 1, 0, 2, 0, 0, 0, 64])
    assert q.readl(BAR + STS) & 1
    done = e.control(request(0x80, 6, 0x200, 0, 255), 255)
    assert not bad(done) and left(done[1]) == 255 - 34
    assert q.read(DATA + 0x100, 4) == bytes([9, 2, 34, 0])
    # Over the border of a page.
    q.write(DATA, request(0x80, 6, 0x200, 0, 34))
    assert not bad(e.queue([(SETUP, 8, DATA, 0), (IN, 34, DATA + 0x2FF0, 0), (OUT, 0, 0, IOC)]))
    assert q.read(DATA + 0x2FF0, 4) == bytes([9, 2, 34, 0])
    configure(e)
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1, 5)) and q.readb(DATA + 0x100) == 1
    assert e.control(request(0x80, 8, 0, 0, 1), 1)[0] & (HALTED | TRANSACTION) == HALTED | TRANSACTION


def interrupts_come_by_the_periodic_schedule(q):
    e = EHCI(q)
    configure(e)
    e.stop()
    e.qtd(0, IN, 8, DATA + 0x200, IOC)
    e.head(QTDS, 5, 1, QH + 0x100, END)
    q.write(FRAMES, struct.pack("<I", QH + 0x100 | IS_QH) * 1024)
    e.run(5, 0x10)
    assert q.readl(QTDS + 8) & ACTIVE
    q.qmp("input-send-event", {"events": [{"type": "abs", "data": {"axis": "x", "value": 0x1111}},
                                          {"type": "abs", "data": {"axis": "y", "value": 0x2222}}]})
    q.clock_step(3 * FRAME)
    assert not q.readl(QTDS + 8) & (ACTIVE | HALTED) and left(q.readl(QTDS + 8)) == 1
    assert q.read(DATA + 0x200, 5) == struct.pack("<BHH", 0, 0x1111, 0x2222)
    q.qmp("input-send-event", {"events": [{"type": "btn", "data": {"button": "left", "down": True}}]})
    assert e.queue([(IN, 4, DATA + 0x200, IOC)], 5, 1)[0] & (HALTED | BABBLE) == HALTED | BABBLE


def stalls_are_told(q):
    e = EHCI(q)
    e.reset_port()
    done = e.control(request(0x80, 6, 0x900, 0, 18), 18)
    assert done[1] & HALTED and done[2] & ACTIVE and q.readl(BAR + STS) & 2
    for size in (4097, 0xFFFF):  # CVE-2020-14364
        assert e.control(request(0x80, 6, 0x100, 0, size), 64)[1] & HALTED
        assert e.control(request(0, 9, 1, 0, size), 64)[1] & HALTED
    q.write(DATA, request(0x21, 10, 0, 0, 2))
    done = e.queue([(SETUP, 8, DATA, 0), (OUT, 2, DATA, 0), (OUT, 0x4000, DATA, 0)])
    assert not done[1] & HALTED and done[2] & HALTED
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1))


def descriptors_without_sense_halt_their_queue(q):
    e = EHCI(q)
    e.reset_port()
    for tds in ([(3, 8, DATA, 0)], [(IN, 0x5001, DATA, 0)], [(OUT, 0x7FFF, DATA, 0)], [(SETUP, 8, 0xF0000000, 0)],
                [(SETUP, 8, DATA, 5 << 12)], [(OUT, 0x5000, DATA + 8, 0)]):
        assert e.queue(tds)[0] & HALTED, tds
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1))
    q.write(DATA, request(0x80, 6, 0x100, 0, 18))
    done = e.queue([(SETUP, 8, DATA, 0), (IN, 18, 0xF0000000, 0)])  # its buffer is where nothing is
    assert done[1] & (HALTED | BUFFER) == HALTED | BUFFER


def circles_end(q):
    e = EHCI(q)
    e.reset_port()
    e.head(END, link=QH | IS_QH)
    e.run(10)
    for link in (QTDS, QTDS + 32):  # descriptors in a circle
        e.stop()
        e.qtd(0, IN, 0, DATA, 0, QTDS + 32)
        e.qtd(1, IN, 0, DATA, 0, link)
        e.head(QTDS)
        e.run(10)
        assert not q.readl(BAR + STS) & 0x10
    e.stop()
    e.head(END, at=QH + 0x80, link=QH + 0x80 | IS_QH)  # a list that does not lead back to its head
    e.head(END, link=QH + 0x80 | IS_QH)
    e.run(10)
    before = q.readl(BAR + INDEX)
    for entry in (FRAMES, QH | IS_QH, QH | 4, QH | 6):  # all kinds, leading to themselves
        q.write(FRAMES, struct.pack("<I", entry) * 1024)
        q.writel(QH, entry)
        e.run(10, 0x30)
    assert q.readl(BAR + INDEX) - before == 320
    assert not q.readl(BAR + STS) & 0x10
    e = EHCI(q)
    e.reset_port()
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1))


def nonsense_stops_it(q):
    for register, schedules in ((ASYNC, 0x20), (PERIODIC, 0x10)):
        for where in (0xF0000000, BAR + 0x1000):
            e = EHCI(q)
            q.writel(BAR + register, where)
            e.run(3, schedules)
            assert q.readl(BAR + STS) & 0x1010 == 0x1010, hex(where)
    for where in (BAR, BAR + CMD):  # its own registers: read, but never written
        e = EHCI(q)
        q.writel(BAR + ASYNC, where)
        e.run(3)
        q.writel(BAR + PERIODIC, where)
        e.run(3, 0x30)
    e = EHCI(q)
    e.reset_port()
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1))


def doorbell_is_answered(q):
    e = EHCI(q)
    e.run(1)
    q.writel(BAR + CMD, 0x80061)
    q.clock_step(FRAME)
    assert q.readl(BAR + STS) & 0x20 and not q.readl(BAR + CMD) & 0x40
    q.writel(BAR + STS, 0x3F)
    assert not q.readl(BAR + STS) & 0x3F


def ports_change_owners(q):
    """A device of full speed is the companion's, one of high speed is so until the EHCI takes it."""
    e = EHCI(q)
    uhci = Function(q, 6)
    uhci.write(0x20, 0xC001)
    uhci.write(4, 5, "w")
    assert q.readl(BAR + 4) == 6 | 2 << 8 | 1 << 12
    q.writel(BAR + FLAG, 0)
    q.outw(0xC000, 2)
    assert q.inw(0xC010) & 1 and q.inw(0xC012) & 1 and not e.port() & 1 and not e.port(1) & 1
    q.writel(BAR + FLAG, 1)
    assert not q.inw(0xC010) & 1 and not q.inw(0xC012) & 1 and e.port() & 1 and e.port(1) & 1
    e.reset_port(0)
    e.reset_port(1)
    assert e.port() & ENABLED and not e.port(1) & ENABLED
    e.set_port(OWNER, 1)
    assert q.inw(0xC012) & 3 == 3 and e.port(1) & (OWNER | 1) == OWNER
    q.qmp("device_del", {"id": "slow"})
    until(lambda: not q.inw(0xC012) & 1)
    assert not e.port(1) & OWNER  # it comes back
    q.qmp("device_add", {"driver": "usb-kbd", "port": "2"})
    assert e.port(1) & 3 == 3
    try:
        q.qmp("device_add", {"driver": "usb-kbd", "usb_version": 1, "port": "3"})
    except Failed as error:
        assert "works at full speed" in str(error), error
    else:
        raise AssertionError("a port without a companion takes a device of full speed")


def schedules_by_chance_do_no_harm(q):
    chance = random.Random(5)
    for _ in range(30):
        e = EHCI(q)
        e.reset_port()
        for at in (FRAMES, QH, QTDS):
            words = [chance.choice((chance.getrandbits(32), END, QH | IS_QH, QTDS, QTDS + 32, QH + 64 | IS_QH, DATA,
                                    ACTIVE | IN << 8 | 8 << 16, ACTIVE | OUT << 8 | 0x2000 << 16, 0xFEE00000, BAR))
                     for _ in range(256)]
            q.write(at, struct.pack("<256I", *words))
        e.run(4, 0x30)
        q.writel(BAR + 4 * chance.randrange(40), chance.getrandbits(32))
    e = EHCI(q)
    e.reset_port()
    assert not bad(e.control(request(0x80, 8, 0, 0, 1), 1))


def bad_properties_are_refused_in_words():
    for props, words in (("masterbus=nope", "no bus of an EHCI"), ("masterbus=e.0,firstport=5", "0 to 5")):
        try:
            QTest(["-M", "pc", "-device", "usb-ehci,id=e", "-device", "ich9-usb-uhci1," + props]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(props + " is taken")


tap = Tap()
tap.case("it says what it is", case(says_what_it_is, "usb-tablet"))
tap.case("a device is enumerated", case(device_is_enumerated, "usb-tablet"))
tap.case("interrupts come by the periodic schedule", case(interrupts_come_by_the_periodic_schedule, "usb-tablet"))
tap.case("stalls are told", case(stalls_are_told, "usb-tablet"))
tap.case("descriptors without sense halt their queue", case(descriptors_without_sense_halt_their_queue, "usb-tablet"))
tap.case("circles end", case(circles_end, "usb-tablet"))
tap.case("nonsense stops it until a reset", case(nonsense_stops_it, "usb-tablet"))
tap.case("the doorbell is answered", case(doorbell_is_answered))
tap.case("ports change owners", case(ports_change_owners, "ich9-usb-uhci1,addr=6,masterbus=e.0,firstport=0",
                                     "usb-tablet,port=1", "usb-mouse,id=slow,usb_version=1,port=2"))
tap.case("schedules by chance do no harm", case(schedules_by_chance_do_no_harm, "usb-tablet"))
tap.case("bad properties are refused in words", bad_properties_are_refused_in_words)
tap.done()
