#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The serial mouse as a driver sees it: switched on by DTR and RTS, packets of Microsoft's protocol, a third button."""
from qtest import QTest, Tap

COM1 = 0x3F8
tap = Tap()


def take(q, count):
    """So many bytes, and no more."""
    got = b""
    for _ in range(2000):
        if q.inb(COM1 + 5) & 1:
            got += bytes([q.inb(COM1)])
        elif len(got) >= count:
            break
        else:
            q.qmp("query-status")
    assert len(got) == count, got
    return got


def move(q, *events):
    kinds = {"x": ("rel", "axis"), "y": ("rel", "axis")}
    q.qmp("input-send-event", {"events": [
        {"type": "rel", "data": {"axis": name, "value": value}} if name in kinds else
        {"type": "btn", "data": {"button": name, "down": value}} for name, value in events]})


def on(q):
    q.outb(COM1 + 4, 0)
    q.outb(COM1 + 4, 3)
    return take(q, 2)


def packets(data):
    """(dx, dy, left, right) of each; no packet has a fourth byte."""
    found = []
    for at in range(0, len(data), 3):
        a, b, c = data[at:at + 3]
        assert a & 0x40 and not (b | c) & 0x40, data
        dx, dy = (a & 3) << 6 | b, (a >> 2 & 3) << 6 | c
        found.append((dx - 256 if dx > 127 else dx, dy - 256 if dy > 127 else dy, a >> 5 & 1, a >> 4 & 1))
    return found


def says_what_it_is(q):
    assert "serial mouse" not in q.qmp("human-monitor-command", {"command-line": "info mice"})
    assert on(q) == b"M3"
    assert "serial mouse" in q.qmp("human-monitor-command", {"command-line": "info mice"})
    assert on(q) == b"M3"


def motion_and_buttons_are_told(q):
    on(q)
    move(q, ("x", 5), ("y", -3))
    assert packets(take(q, 3)) == [(5, -3, 0, 0)]
    move(q, ("left", True))
    assert packets(take(q, 3)) == [(0, 0, 1, 0)]
    move(q, ("right", True), ("x", -100))
    assert packets(take(q, 3)) == [(-100, 0, 1, 1)]
    move(q, ("left", False), ("right", False))
    assert packets(take(q, 3)) == [(0, 0, 0, 0)]
    move(q, ("x", 300), ("y", -129))
    assert packets(take(q, 9)) == [(127, -128, 0, 0), (127, -1, 0, 0), (46, 0, 0, 0)]


def middle_button_has_a_byte_of_its_own(q):
    on(q)
    move(q, ("middle", True))
    assert take(q, 4) == b"\x40\0\0\x20"
    move(q, ("x", 1), ("y", 1))
    assert take(q, 4) == b"\x40\1\1\x20"
    move(q, ("middle", False))
    assert take(q, 4) == b"\x40\0\0\0"
    move(q, ("x", 2), ("y", 0))
    assert take(q, 3) == b"\x40\2\0"


def switched_off_it_says_nothing(q):
    on(q)
    q.outb(COM1 + 4, 1)
    move(q, ("x", 5), ("y", 5))
    take(q, 0)
    q.outb(COM1 + 4, 3)
    assert take(q, 2) == b"M3"


def chardev_is_the_same(q):
    says_what_it_is(q)
    motion_and_buttons_are_told(q)


for case in (says_what_it_is, motion_and_buttons_are_told, middle_button_has_a_byte_of_its_own,
             switched_off_it_says_nothing):
    tap.machine_case(case.__name__, ["-M", "pc", "-serial", "msmouse"], case)
tap.machine_case("chardev_is_the_same", ["-M", "pc", "-chardev", "msmouse,id=m", "-serial", "chardev:m"],
                 chardev_is_the_same)
tap.done()
