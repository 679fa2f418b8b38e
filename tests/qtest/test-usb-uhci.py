#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""UHCI controllers as a driver sees them: registers, ports, schedules that make sense, and those that do not."""
import random
import struct

from qtest import Failed, QTest, Tap
from virtio import Function, until

PORTS, FRAMES, QH, TDS, DATA = 0xC000, 0x100000, 0x110000, 0x120000, 0x130000
END, QUEUE, DEPTH = 1, 2, 4
ACTIVE, STALLED, BABBLE, NAK, TIMEOUT, IOC, SPD = 1 << 23, 1 << 22, 1 << 20, 1 << 19, 1 << 18, 1 << 24, 1 << 29
IN, OUT, SETUP = 0x69, 0xE1, 0x2D
FRAME = 1000000


class UHCI:
    def __init__(self, q, slot=5, function=0):
        self.q, self.f = q, Function(q, slot, function)
        self.f.write(0x20, PORTS | 1)
        self.f.write(4, 5, "w")
        q.outw(PORTS, 2)
        assert q.inw(PORTS) == 0 and q.inw(PORTS + 2) == 0x20
        q.write(FRAMES, struct.pack("<I", QH | QUEUE) * 1024)
        q.write(QH, struct.pack("<II", END, END))
        q.outl(PORTS + 8, FRAMES)
        q.outw(PORTS + 4, 15)

    def run(self, frames=3):
        self.q.outw(PORTS, 0x81)
        self.q.clock_step(FRAME * frames)

    def port(self, n=0):
        return self.q.inw(PORTS + 0x10 + 2 * n)

    def reset_port(self, n=0):
        self.q.outw(PORTS + 0x10 + 2 * n, 0x200)
        self.q.outw(PORTS + 0x10 + 2 * n, 0)
        self.q.outw(PORTS + 0x10 + 2 * n, 4 | 2 | 8)

    def td(self, n, pid, length, address=0, endpoint=0, control=ACTIVE, link=None, buffer=DATA):
        at = TDS + 32 * n
        self.q.write(at, struct.pack("<IIII", END if link is None else link, control,
                                     pid | address << 8 | endpoint << 15 | ((length - 1) & 0x7FF) << 21, buffer))
        return at

    def queue(self, *tds):
        """[(pid, length, buffer)]; gives control words after some frames."""
        for n, (pid, length, buffer, address, endpoint, more) in enumerate(tds):
            link = END if n + 1 == len(tds) else TDS + 32 * (n + 1) | DEPTH
            self.td(n, pid, length, address, endpoint, ACTIVE | more, link, buffer)
        self.q.write(QH, struct.pack("<II", END, TDS))
        self.run()
        return [self.q.readl(TDS + 32 * n + 4) for n in range(len(tds))]

    def control(self, setup, length=0, address=0, packet=8):
        self.q.write(DATA, setup)
        to_host = setup[0] & 0x80
        tds = [(SETUP, 8, DATA, address, 0, 0)]
        for at in range(0, length, packet):
            tds.append((IN if to_host else OUT, min(packet, length - at), DATA + 0x100 + at, address, 0, 0))
        tds.append((OUT if to_host and length else IN, 0, 0, address, 0, IOC))
        return self.queue(*tds)


def case(function, device="usb-tablet", controller="piix3-usb-uhci"):
    def run():
        with QTest(["-M", "pc", "-m", "16", "-device", controller + ",addr=5,id=u", "-device", device + ",id=d"]) as q:
            function(q)
    return run


def length(control):
    return (control + 1) & 0x7FF


def request(kind, code, value=0, index=0, size=0):
    return struct.pack("<BBHHH", kind, code, value, index, size)


def configure(u, address=5):
    u.reset_port()
    assert not any(c & ACTIVE for c in u.control(request(0, 5, address)))
    assert not any(c & (ACTIVE | STALLED) for c in u.control(request(0, 9, 1), address=address))


def says_what_it_is(q):
    u = UHCI(q)
    assert u.f.read(0) == 0x70208086 and u.f.read(8) >> 8 == 0x0C0300 and u.f.read(0x60, "b") == 0x10
    assert u.f.read(0x3D, "b") == 4 and q.inb(PORTS + 12) == 0x40
    assert u.port() & 0x181 == 0x81 and u.port(1) == 0x80 and q.inw(PORTS + 0x14) == 0xFFFF
    q.outw(PORTS + 6, 0x123)
    assert q.inw(PORTS + 6) == 0x123
    u.run(5)
    assert q.inw(PORTS + 6) == 0x128 and not q.inw(PORTS + 2) & 0x20
    q.outw(PORTS, 0)
    assert q.inw(PORTS + 2) & 0x20


def device_is_enumerated(q):
    u = UHCI(q)
    u.reset_port()
    assert u.port() & 5 == 5
    done = u.control(request(0x80, 6, 0x100, 0, 18), 18)
    assert not any(c & (ACTIVE | STALLED) for c in done) and [length(c) for c in done] == [8, 8, 8, 2, 0]
    d = q.read(DATA + 0x100, 18)
    assert d[:4] == bytes([18, 1, 0x10, 1]) and d[7] == 8 and d[8:12] == b"\x27\6\1\0", d
    assert q.inw(PORTS + 2) & 1
    q.outw(PORTS + 2, 1)
    assert not q.inw(PORTS + 2) & 1
    configure(u)
    assert u.control(request(0x80, 8, 0, 0, 1), 1, 5)[1] & (ACTIVE | STALLED) == 0 and q.readb(DATA + 0x100) == 1
    assert u.control(request(0x80, 8, 0, 0, 1), 1, 0)[0] & TIMEOUT  # nobody has that address now


def interrupts_come_and_naks_wait(q):
    u = UHCI(q)
    configure(u)
    control = u.queue((IN, 8, DATA + 0x200, 5, 1, IOC))[0]
    assert control & ACTIVE and control & NAK
    q.qmp("input-send-event", {"events": [{"type": "abs", "data": {"axis": "x", "value": 0x1111}},
                                          {"type": "abs", "data": {"axis": "y", "value": 0x2222}}]})
    q.clock_step(3 * FRAME)
    control = q.readl(TDS + 4)
    assert not control & (ACTIVE | STALLED) and length(control) == 7
    assert q.read(DATA + 0x200, 5) == struct.pack("<BHH", 0, 0x1111, 0x2222)
    q.qmp("input-send-event", {"events": [{"type": "btn", "data": {"button": "left", "down": True}}]})
    assert u.queue((IN, 4, DATA + 0x200, 5, 1, IOC))[0] & (BABBLE | STALLED) == BABBLE | STALLED
    assert q.inw(PORTS + 2) & 2


def stalls_are_told(q):
    u = UHCI(q)
    u.reset_port()
    done = u.control(request(0x80, 6, 0x900, 0, 18), 18)
    assert done[1] & STALLED and not done[1] & ACTIVE and done[2] & ACTIVE
    assert q.inw(PORTS + 2) & 2
    for size in (4097, 0xFFFF):  # CVE-2020-14364
        assert u.control(request(0, 9, 1, 0, size), 8)[1] & STALLED
        assert u.control(request(0x80, 6, 0x100, 0, size), 8)[1] & STALLED
    # More data than the set-up packet told.
    q.write(DATA, request(0x21, 10, 0, 0, 2))
    done = u.queue((SETUP, 8, DATA, 0, 0, 0), (OUT, 2, DATA + 64, 0, 0, 0), (OUT, 8, DATA + 64, 0, 0, 0))
    assert not done[1] & STALLED and done[2] & STALLED
    assert u.control(request(0x80, 8, 0, 0, 1), 1)[1] & (ACTIVE | STALLED) == 0


def circles_end(q):
    """Queue heads and descriptors that lead to themselves, or to each other: a frame has an end."""
    u = UHCI(q)
    u.reset_port()
    for frame, head, td in ((QH | QUEUE, (QH | QUEUE, END), None), (QH | QUEUE, (QH | QUEUE, QH | QUEUE), None),
                            (QH | QUEUE, (QH + 16 | QUEUE, TDS), TDS | DEPTH), (TDS, (END, END), TDS),
                            (QH | QUEUE, (QH | QUEUE, TDS), QH | QUEUE)):
        q.write(FRAMES, struct.pack("<I", frame) * 1024)
        q.write(QH, struct.pack("<II", *head))
        q.write(QH + 16, struct.pack("<II", QH | QUEUE, END))
        if td is not None:
            u.td(0, IN, 8, 0, 0, ACTIVE, td)
        before = q.inw(PORTS + 6)
        u.run(20)
        assert q.inw(PORTS + 6) - before & 0x7FF == 20, (hex(frame), q.inw(PORTS + 6), before)
    q.write(FRAMES, struct.pack("<I", QH | QUEUE) * 1024)
    assert not u.control(request(0x80, 8, 0, 0, 1), 1)[1] & ACTIVE


def nonsense_stops_it(q):
    for what in ("pid", "length", "frames", "queue", "td", "buffer"):
        u = UHCI(q)
        u.reset_port()
        if what == "pid":
            u.td(0, 0x55, 8)
        elif what == "length":
            u.td(0, IN, 0x500 + 1)
        elif what == "buffer":
            u.td(0, OUT, 8, buffer=0xF0000000)
        q.write(QH, struct.pack("<II", END, 0xF0000000 if what == "td" else TDS))
        if what == "queue":
            q.write(FRAMES, struct.pack("<I", 0xF0000000 | QUEUE) * 1024)
        if what == "frames":
            q.outl(PORTS + 8, 0xF0000000)
        u.run()
        assert q.inw(PORTS + 2) & 0x38 in (0x28, 0x30), (what, hex(q.inw(PORTS + 2)))
    u = UHCI(q)
    u.reset_port()
    assert not u.control(request(0x80, 8, 0, 0, 1), 1)[1] & ACTIVE


def device_comes_and_goes(q):
    u = UHCI(q)
    configure(u)
    q.outw(PORTS + 0x10, 0xE)
    q.qmp("device_del", {"id": "d"})
    until(lambda: u.port() & 0xF == 0xA)
    assert u.control(request(0x80, 8, 0, 0, 1), 1, 5)[0] & TIMEOUT
    q.qmp("device_add", {"driver": "usb-mouse", "id": "m", "port": "2"})
    assert u.port(1) & 3 == 3
    for n in range(2):
        try:
            q.qmp("device_add", {"driver": "usb-mouse"})
        except Failed as error:
            assert "no free port" in str(error) and n == 1, error


def hub_leads_to_what_is_behind(q):
    q.qmp("device_add", {"driver": "usb-kbd", "id": "k", "port": "1.3"})
    u = UHCI(q)
    configure(u, 2)
    assert not any(c & STALLED for c in u.control(request(0xA0, 6, 0x2900, 0, 9), 9, 2))
    assert q.read(DATA + 0x100, 3) == bytes([9, 0x29, 8])

    def status(port):
        assert not any(c & STALLED for c in u.control(request(0xA3, 0, 0, port, 4), 4, 2))
        return struct.unpack("<HH", q.read(DATA + 0x100, 4))

    assert status(3) == (0, 0)
    assert not any(c & STALLED for c in u.control(request(0x23, 3, 8, 3), 0, 2))  # power
    assert status(3) == (0x101, 1)
    assert not u.queue((IN, 2, DATA + 0x200, 2, 1, IOC))[0] & (ACTIVE | STALLED)
    assert q.readw(DATA + 0x200) == 1 << 3
    assert u.control(request(0x80, 8, 0, 0, 1), 1, 0)[0] & TIMEOUT  # not enabled yet
    assert not any(c & STALLED for c in u.control(request(0x23, 3, 4, 3), 0, 2))  # reset
    assert status(3) == (0x103, 0x11)
    assert not any(c & STALLED for c in u.control(request(0x23, 1, 16, 3), 0, 2))
    assert not any(c & STALLED for c in u.control(request(0x23, 1, 20, 3), 0, 2))
    assert u.queue((IN, 2, DATA + 0x200, 2, 1, IOC))[0] & NAK
    assert not any(c & (ACTIVE | STALLED) for c in u.control(request(0, 5, 9)))
    assert not any(c & STALLED for c in u.control(request(0x80, 6, 0x100, 0, 18), 18, 9))
    assert q.readb(DATA + 0x100) == 18
    for bad in (request(0xA3, 0, 0, 9, 4), request(0x23, 3, 99, 3), request(0x23, 1, 99, 3), request(0xA3, 0, 0, 0, 4)):
        assert any(c & STALLED for c in u.control(bad, 4 if bad[0] & 0x80 else 0, 2)), bad
    try:
        q.qmp("device_del", {"id": "d"})
    except Failed as error:
        assert "port 3" in str(error), error
    else:
        raise AssertionError("a hub goes with what is plugged into it")
    q.qmp("device_del", {"id": "k"})
    until(lambda: status(3) == (0x100, 3))
    assert u.control(request(0x80, 8, 0, 0, 1), 1, 9)[0] & TIMEOUT
    for n in range(2, 6):  # five hubs stand in a row, a sixth does not
        q.qmp("device_add", {"driver": "usb-hub", "port": "1" + ".1" * (n - 1)})
    for words, device in (("in a row", {"driver": "usb-hub", "port": "1" + ".1" * 5}),
                          ("1 to 8", {"driver": "usb-hub", "port": "2", "ports": 9}),
                          ("no port 1.9", {"driver": "usb-kbd", "port": "1.9"})):
        try:
            q.qmp("device_add", device)
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError("%s is taken" % device)


def random_schedules_do_no_harm(q):
    chance = random.Random(7)
    for _ in range(30):
        u = UHCI(q)
        u.reset_port()
        for at in (FRAMES, QH, TDS):
            words = [chance.choice((chance.getrandbits(32), END, QH | QUEUE, TDS | DEPTH, TDS + 32, ACTIVE | IOC,
                                    IN | 7 << 21, OUT | 7 << 21, SETUP | 7 << 21, DATA, 0xFEE00000))
                     for _ in range(256)]
            q.write(at, struct.pack("<256I", *words))
        u.run(4)
        q.outw(PORTS + chance.randrange(16) * 2, chance.getrandbits(16))
    u = UHCI(q)
    u.reset_port()
    assert not u.control(request(0x80, 8, 0, 0, 1), 1)[1] & ACTIVE


def moved(q, dx):
    q.qmp("input-send-event", {"events": [{"type": "rel", "data": {"axis": "x", "value": dx}}]})


def mouse_takes_over_when_it_is_activated(q):
    """Of -usbdevice: until a guest has configured it, movements are the PS/2 mouse's."""
    def ps2():
        until(lambda: q.inb(0x64) & 1, "the PS/2 mouse says nothing")
        assert q.inb(0x64) & 0x20
        return q.inb(0x60)

    def current():
        return [m["name"] for m in q.qmp("query-mice") if m["current"]]

    q.outb(0x64, 0xA8)
    q.outb(0x64, 0xD4)
    q.outb(0x60, 0xF4)
    assert ps2() == 0xFA and "PS/2" in current()[0]
    moved(q, 5)
    assert [ps2() for _ in range(3)] == [8, 5, 0] and not q.inb(0x64) & 1
    u = UHCI(q, 1, 2)
    configure(u)
    assert "USB" in current()[0], q.qmp("query-mice")
    moved(q, 7)
    done = u.queue((IN, 8, DATA, 5, 1, 0))
    assert not done[0] & (ACTIVE | STALLED) and struct.unpack("<bbb", q.read(DATA, 3)) == (0, 7, 0)
    assert not q.inb(0x64) & 1


tap = Tap()
tap.case("it says what it is", case(says_what_it_is))
tap.case("a device is enumerated", case(device_is_enumerated))
tap.case("interrupts come, and NAKs wait", case(interrupts_come_and_naks_wait))
tap.case("stalls are told", case(stalls_are_told))
tap.case("circles end", case(circles_end))
tap.case("nonsense stops it until a reset", case(nonsense_stops_it))
tap.case("a device comes and goes", case(device_comes_and_goes))
tap.case("a hub leads to what is behind it", case(hub_leads_to_what_is_behind, "usb-hub,port=1"))
tap.case("schedules by chance do no harm", case(random_schedules_do_no_harm))
tap.machine_case("mouse_takes_over_when_it_is_activated", ["-M", "pc", "-m", "16", "-usbdevice", "mouse"],
                 mouse_takes_over_when_it_is_activated)
tap.done()
