#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pen tablet as a driver sees it, on xHCI."""
import struct

from qtest import QTest, Tap
from usb import BABBLE, DATA, IOC, ISP, NORMAL, SHORT, STALL, SUCCESS, XHCI
from virtio import until

REPORT = DATA + 0x1000
ERASER, BARREL, IN_RANGE = 0x20, 0x40, 0x80


class Tablet:
    def __init__(self, q):
        self.q, self.x = q, XHCI(q)
        self.x.reset_port(1)
        code, self.slot = self.x.address(1, 1, 8)
        assert code == SUCCESS and self.x.control(self.slot, 0, 9, 1)[0] == SUCCESS
        assert self.x.configure(self.slot, (0x81, 7, 8)) == SUCCESS
        until(lambda: any(m["absolute"] and m["current"] for m in q.qmp("query-mice")))

    def ask(self, size=8):
        self.x.put(self.slot, 3, REPORT, size, NORMAL << 10 | IOC | ISP)

    def report(self):
        """X, Y, switches, pressure."""
        _, _, code, left, _ = self.x.wait(32)
        assert code == SHORT and left == 1, (code, left)
        d = struct.unpack("<BHHBb", self.q.read(REPORT, 7))
        assert d[0] == 2
        return d[1:]

    def act(self, x=None, y=None, **buttons):
        moves = [{"type": "abs", "data": {"axis": axis, "value": v}} for axis, v in (("x", x), ("y", y)) if v is not None]
        self.q.qmp("input-send-event", {"events": moves + [
            {"type": "btn", "data": {"button": name, "down": down}} for name, down in buttons.items()]})

    def after(self, **what):
        self.ask()
        self.act(**what)
        return self.report()


def says_what_it_is(t):
    x = t.x
    assert x.control(t.slot, 0x80, 6, 0x100, 0, 18)[1][8:12] == struct.pack("<HH", 0x056A, 0)
    hid = x.control(t.slot, 0x81, 6, 0x2100, 0, 255)[1]
    code, d = x.control(t.slot, 0x81, 6, 0x2200, 0, 255)
    assert len(d) == hid[7] and d[:4] == b"\x05\x0d\x09\x02"
    assert x.control(t.slot, 0xA1, 1, 0x302, 0, 2) == (SUCCESS, b"\2\1")
    assert x.control(t.slot, 0x21, 9, 0x302, 0, 2, b"\2\2")[0] == SUCCESS
    assert x.control(t.slot, 0xA1, 1, 0x302, 0, 2) == (SUCCESS, b"\2\2")
    for bad in (b"\1\2", b"\2\3", b"\2\0"):
        assert x.control(t.slot, 0x21, 9, 0x302, 0, 2, bad)[0] == STALL, bad
        x.recover(t.slot, 1)
    assert x.control(t.slot, 0xA1, 1, 0x102, 0, 7)[1][5] == IN_RANGE


def pen_draws(t):
    assert t.after(x=0, y=0) == (0, 0, IN_RANGE, -127)
    assert t.after(x=32767, y=32767) == (5040, 3780, IN_RANGE, -127)
    assert t.after(x=16384, y=8192) == (2520, 945, IN_RANGE, -127)
    assert t.after(left=True) == (2520, 945, IN_RANGE, 127)
    assert t.after(right=True) == (2520, 945, IN_RANGE | BARREL, 127)
    assert t.after(left=False, right=False) == (2520, 945, IN_RANGE, -127)
    assert t.after(middle=True) == (2520, 945, IN_RANGE | ERASER, 127)
    assert t.after(middle=False) == (2520, 945, IN_RANGE, -127)


def strokes_wait_until_they_are_fetched(t):
    for n in range(20):
        t.act(x=n * 1000, left=bool(n % 2))
    for n in range(20):
        t.ask()
        assert t.report() == (n * 1000 * 5040 // 32767, 0, IN_RANGE, 127 if n % 2 else -127), n
    t.act(x=7)
    t.ask(4)
    assert t.x.wait(32)[2] == BABBLE


def case(function):
    def run():
        with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,addr=5", "-device", "usb-wacom-tablet"]) as q:
            function(Tablet(q))
    return run


tap = Tap()
tap.case("it says what it is", case(says_what_it_is))
tap.case("a pen draws", case(pen_draws))
tap.case("strokes wait until they are fetched", case(strokes_wait_until_they_are_fetched))
tap.done()
