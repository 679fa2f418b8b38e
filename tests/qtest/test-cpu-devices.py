#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processors that come and go: device_add, device_del, and ACPI's registers at 0xaf00 as a guest's methods use them."""
import random

from qtest import QTest, Tap

SELECT, FLAGS, COMMAND, DATA = 0xaf00, 0xaf04, 0xaf05, 0xaf08
THERE, CAME, ASKED, EJECT = 1, 2, 4, 8
NEXT, OST_EVENT, OST_STATUS = 0, 1, 2
TYPE = "qemu64-x86_64-cpu"
MACHINE = ["-smp", "1,maxcpus=4"]


def flags(q, n):
    q.outl(SELECT, n)
    return q.inb(FLAGS)


def let_go(q, n):
    q.outl(SELECT, n)
    q.outb(FLAGS, EJECT)


def add(q, n, name="c"):
    q.qmp("device_add", {"driver": TYPE, "id": name, "socket-id": 0, "core-id": n, "thread-id": 0})


def event(q, name):
    for _ in range(1000):
        for e in q.events:
            if e["event"] == name:
                q.events.remove(e)
                return e["data"]
        q.qmp("query-status")
    raise AssertionError("no event " + name)


def refused(q, name, arguments):
    try:
        q.qmp(name, arguments)
    except Exception as error:  # noqa: BLE001 -- whatever says no
        return str(error)
    raise AssertionError((name, arguments))


def indices(q):
    return [c["cpu-index"] for c in q.qmp("query-cpus-fast")]


def guest_is_asked_and_lets_go(q):
    add(q, 2)
    assert flags(q, 2) == THERE | CAME
    q.outb(COMMAND, NEXT)
    assert q.inl(DATA) == 2
    q.outb(FLAGS, CAME)
    assert flags(q, 2) == THERE
    q.qmp("device_del", {"id": "c"})
    assert flags(q, 2) == THERE | ASKED and flags(q, 0) == THERE and flags(q, 1) == 0
    q.outb(COMMAND, NEXT)
    assert q.inl(DATA) == 2
    q.outb(FLAGS, ASKED)
    assert flags(q, 2) == THERE and indices(q) == [0, 2]
    let_go(q, 2)
    assert flags(q, 2) == 0
    assert event(q, "DEVICE_DELETED") == {"device": "c", "path": "/machine/peripheral/c"}
    assert indices(q) == [0] and flags(q, 2) == 0
    assert "not found" in refused(q, "device_del", {"id": "c"})


def guest_says_no(q):
    add(q, 1)
    q.qmp("device_del", {"id": "c"})
    q.outl(SELECT, 1)
    for command, value in ((OST_EVENT, 3), (OST_STATUS, 1)):
        q.outb(COMMAND, command)
        q.outl(DATA, value)
    assert event(q, "ACPI_DEVICE_OST")["info"] == {"device": "c", "slot": "1", "slot-type": "CPU", "source": 3, "status": 1}
    assert event(q, "DEVICE_UNPLUG_GUEST_ERROR")["device"] == "c"
    assert indices(q) == [0, 1]
    said = q.qmp("query-acpi-ospm-status")
    assert [(i["slot"], i["source"], i["status"]) for i in said if i["slot-type"] == "CPU"] == \
        [("0", 0, 0), ("1", 3, 1), ("2", 0, 0), ("3", 0, 0)], said
    q.qmp("device_del", {"id": "c"})  # and is asked again
    assert flags(q, 1) & ASKED


def first_one_stays(q):
    said = refused(q, "device_del", {"id": "/machine/unattached/device[0]"})
    assert "boot CPU" in said, said
    let_go(q, 0)
    assert flags(q, 0) == THERE and indices(q) == [0]


def one_of_the_start_goes_and_comes_again(q):
    let_go(q, 1)
    assert event(q, "DEVICE_DELETED")["path"].startswith("/machine/unattached/device[")
    assert indices(q) == [0]
    add(q, 1)
    assert indices(q) == [0, 1]


def many_come_and_go(q):
    for n in range(60):
        add(q, 1 + n % 3, "c%d" % n)
        q.outl(0xfee00300 - 0xfee00000 + 0xaf00, 0)  # nothing: beside the registers
        q.writel(0xfee00300, 0x000c4500)  # INIT to all others: none of them has gone
        let_go(q, 1 + n % 3)
        q.writel(0xfee00300, 0x000c4500)
        event(q, "DEVICE_DELETED")
        if n % 10 == 0:
            q.qmp("system_reset")
            event(q, "RESET")


def registers_take_anything(q):
    dice = random.Random(7)
    for n in range(2000):
        port = dice.randrange(SELECT, SELECT + 12)
        value = dice.choice((0, 1, 2, 3, 4, 8, 15, 255, 256, 0x7fffffff, 0xffffffff, dice.getrandbits(32)))
        (q.outb, q.outw, q.outl)[dice.randrange(3)](port, value & 0xffffffff)
        (q.inb, q.inw, q.inl)[dice.randrange(3)](port)
        if n % 200 == 0 and 1 not in indices(q):
            add(q, 1, "r%d" % n)
    assert 0 in indices(q)


def without_acpi_nobody_can_be_asked():
    with QTest(["-M", "pc", *MACHINE, "-machine", "acpi=off", "-device",
                TYPE + ",id=c,socket-id=0,core-id=1,thread-id=0"]) as q:
        said = refused(q, "device_del", {"id": "c"})
        assert "acpi=off" in said and indices(q) == [0, 1], said


tap = Tap()
for board in ("pc", "q35"):
    for case in (guest_is_asked_and_lets_go, guest_says_no, first_one_stays, many_come_and_go, registers_take_anything):
        tap.machine_case("%s: %s" % (board, case.__name__.replace("_", " ")), ["-M", board, *MACHINE], case)
    tap.machine_case("%s: one of the start goes and comes again" % board, ["-M", board, "-smp", "2,maxcpus=4"],
                     one_of_the_start_goes_and_comes_again)
tap.case("without ACPI nobody can be asked", without_acpi_nobody_can_be_asked)
tap.done()
