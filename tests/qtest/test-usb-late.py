#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that answer later, never, or after their packet was cancelled, on each kind of controller, with what drivers do
meanwhile: take transfers back, reset ports and controllers, pull the plug. usb-late ends the program when it is
given, or asked to cancel, what it must not be; USB disks have units whose commands end late."""
import os
import random
import struct

from qtest import QTest, Tap
from usb import DATA, DOORBELLS, EVENTS, IOC, ISP, NORMAL, SET_DEQUEUE, STOP_EP, SUCCESS, XHCI, Ring
from usb_disks import IN_AT, READ_READY, UAS, Disk, rw
from usb_lists import BAR, DRIVERS, EHCI, ENDPOINTS, GONE, INTERRUPT, OHCI, UHCI, XHCIDriver
from virtio import until

MODULE = os.path.join(os.environ.get("BACKPLANE_BUILD", "build"), "tests", "module", "usb-late.so")
BY_CHANCE, AT_ONCE, NAKS, LATER, NEVER, LATER_BY_CHANCE = range(6)


def machine(*words):
    return QTest(["-modules", "preload=" + MODULE, "-M", "pc", "-m", "16", *words])


def late(driver, function, seed=1):
    def run():
        with machine("-device", driver.device + ",addr=5", "-device", f"usb-late,id=late,seed={seed},port=1") as q:
            function(driver(q))
    return run


def data_come_in_order(d):
    """Nothing is lost or comes twice, however late each packet ends."""
    chance = random.Random(7)
    d.way(LATER_BY_CHANCE)
    at, left = dict.fromkeys(ENDPOINTS, 0), dict.fromkeys(ENDPOINTS, 25)
    for _ in range(3000):
        for e in ENDPOINTS:
            if e in d.busy:
                got = d.take(e)
                assert got != GONE
                if got is None:
                    continue
                size = got if isinstance(got, int) else len(got)
                assert size == d.length[e], (hex(e), size)
                if e & 0x80:
                    assert got == bytes((at[e] + n) & 255 for n in range(size)), hex(e)
                at[e] += size
            elif left[e] and chance.random() < 0.5:
                left[e] -= 1
                length = chance.choice((1, 8, d.packet - 1, d.packet)) if e != INTERRUPT else 8
                if e & 0x80:
                    d.put(e, length=length)
                else:
                    d.put(e, bytes((at[e] + n) & 255 for n in range(length)))
        if not d.busy and not any(left.values()):
            break
        d.step()
        if chance.random() < 0.1:
            d.way(chance.choice((LATER_BY_CHANCE, AT_ONCE, NAKS, LATER)), 3)
        elif chance.random() < 0.2:
            d.way(LATER_BY_CHANCE)
    else:
        raise AssertionError("they do not come")
    counts = d.counts()
    assert counts["wrong"] == 0 and counts["cancelled"] == 0 and counts["ended"] > 20, counts


def drivers_do_as_they_like(d):
    chance = random.Random(11)
    took = 0
    for n in range(250):
        for e in ENDPOINTS:
            if e not in d.busy and chance.random() < 0.6:
                length = chance.choice((1, 8, d.packet)) if e != INTERRUPT else 8
                d.put(e, **({"length": length} if e & 0x80 else {"data": bytes(length)}))
            elif e in d.busy:
                took += d.take(e) is not None
        what = chance.random()
        if what < 0.35 and d.busy:
            d.remove(chance.choice(sorted(d.busy)))
        elif what < 0.40 and d.device != "qemu-xhci":
            d.open_port()
            d.start()
        elif what < 0.43:
            d.start()
        elif what < 0.46:
            d.q.qmp("device_del", {"id": "late"})
            d.step(chance.randrange(3))
            d.q.qmp("device_add", {"driver": "usb-late", "id": "late", "seed": n, "port": "1"})
            d.start()
        elif what < 0.48:
            d.q.qmp("system_reset")
            d.step(0)
            d.start()
        d.step(chance.randrange(4))
    d.remove_all()
    d.step(1100)  # a whole schedule: what was met only once is waited for
    counts = d.counts()
    assert counts["waiting"] == 0 and counts["jobs"] == 0 and took > 20, (counts, took)


def what_is_taken_back_is_cancelled(d):
    """In the time that the specification gives, and no other one is."""
    d.way(NEVER)
    for e in ENDPOINTS:
        d.put(e, **({"length": 8} if e & 0x80 else {"data": bytes(8)}))
    d.step(3 * d.interval)
    assert d.counts()["waiting"] == 5
    for n, e in enumerate((0x81, 0x04, INTERRUPT, 0x02, 0x83), 1):
        d.remove(e)
        counts = d.counts()
        assert counts["cancelled"] == n and counts["waiting"] == 5 - n, (hex(e), counts)
        assert counts["given"] == 5, counts
    d.way(LATER, 40)
    for e in ENDPOINTS:
        d.put(e, **({"length": 8} if e & 0x80 else {"data": bytes(8)}))
    d.step(41 + 3 * d.interval)
    assert all(d.take(e) in (8, bytes(range(8))) for e in ENDPOINTS)


def rare_interrupts_are_waited_for(d):
    """A schedule that comes by every 128 frames, and a device that needs longer than that."""
    d.interval = 128
    d.way(LATER, 300)
    d.put(INTERRUPT, length=8)
    d.step(10 * d.interval)
    assert d.take(INTERRUPT) == bytes(range(8))
    assert d.counts()["given"] == 1


def doorbell_leaves_the_periodic_schedule(d):
    d.interval = 32
    d.way(NEVER)
    d.put(INTERRUPT, length=8)
    d.put(0x81, length=8)
    d.step(40)
    for _ in range(5):
        d.ring()
        d.step(3)
    counts = d.counts()
    assert counts["given"] == 2 and counts["cancelled"] == 0, counts


def schedules_that_stand_have_nothing(d):
    d.way(NEVER)
    for at, bits in ((0x80011, 2), (0x80021, 2), (0x80030, 1)):
        for e in (0x81, INTERRUPT):
            if e not in d.busy:
                d.put(e, length=8)
        d.step(2 * d.interval)
        before = d.counts()
        d.q.writel(0xE0000020, at)  # asynchronous, periodic, all of it
        d.q.writel(0xE0000020, d.ON)
        d.step(2 * d.interval)
        after = d.counts()
        assert after["cancelled"] - before["cancelled"] == (2 if bits == 1 else 1), (hex(at), before, after)


def newer_transfers_take_the_place(d):
    """Of one that was met once, and is not on the list any more."""
    d.way(NEVER)
    d.put(0x81, length=8)
    d.step(1)
    at = d.td(0x81) + 0x40
    d.write_td(at, 0x69, 8, d.buffer(0x81), 5, 0x81)
    d.q.writel(d.head(0x81) + 4, at)
    d.step(3)
    counts = d.counts()
    assert counts["given"] == 2 and counts["cancelled"] == 1 and counts["waiting"] == 1, counts


def isochronous_packets_have_one_chance(d):
    """Whether the device answers at once, not now, later or never."""
    ways = (AT_ONCE, NAKS, LATER, NEVER, AT_ONCE)
    q, at, buffer = d.q, 0x310000, 0x320000
    got = []
    if isinstance(d, XHCIDriver):
        assert d.x.configure(d.slot, (0x86, 5, 64)) == SUCCESS
        q.writel(d.x.contexts(d.slot)[0] + 32 * 13, 3 << 16 | 1)
    for n, way in enumerate(ways):
        d.way(way, 5)
        q.write(buffer, b"\xEE" * 64)
        if isinstance(d, UHCI):
            q.write(at, struct.pack("<4I", d.head(None) | 2, 1 << 25 | 1 << 23, 0x69 | 5 << 8 | 6 << 15 | 15 << 21, buffer))
            q.writel(0x100000 + 4 * ((q.inw(d.BASE + 6) + 1) & 1023), at)
            d.step(3)
            word = q.readl(at + 4)
            assert not word & (1 << 23 | 0x7F << 16), hex(word)
            got.append((word + 1) & 0x7FF)
            d.link()
        elif isinstance(d, OHCI):
            q.write(at, struct.pack("<4I8H", (q.readl(BAR + 0x3C) + 1) & 0xFFFF | 0xF << 28, buffer, at + 32, buffer + 15,
                                    *[0xE000] * 8))
            q.write(at + 64, struct.pack("<4I", 5 | 6 << 7 | 2 << 11 | 1 << 15 | 64 << 16, at + 32, at, 0))
            q.write(0x100000, struct.pack("<I", at + 64) * 32)
            d.step(3)
            assert q.readl(at) >> 28 == 0 and q.readw(at + 16) >> 12 == (0 if way == AT_ONCE else 9)
            got.append(q.readw(at + 16) & 0x7FF)
            q.write(0x100000, struct.pack("<I", 0) * 32)
            q.writel(BAR + 0x0C, 0x7F)
        else:
            d.x.put(d.slot, 13, buffer, 16, 5 << 10 | IOC | ISP | 1 << 31)
            q.qmp("query-status")
            d.step(2)
            until(lambda: d.result(0x81) is None and 13 in d.x.ended)
            got.append(16 - d.x.ended.pop(13)[1])
        if way == AT_ONCE:
            assert q.read(buffer, 16) == bytes(range(n and 16, (n and 16) + 16))
        else:
            assert q.read(buffer, 16) == b"\xEE" * 16
    assert got == [16, 0, 0, 0, 16], got
    counts = d.counts()
    assert counts["cancelled"] == 2 and counts["waiting"] == 0, counts


def turns_are_short(d):
    """However much is asked for at once, others are heard in between."""
    x, dci = d.x, d.dci(2)
    assert x.command(STOP_EP, 0, 0, d.slot << 24 | dci << 16) == SUCCESS
    x.rings[d.slot, dci] = Ring(x.q, 0x900000, 4096)
    assert x.command(SET_DEQUEUE, 0x900001, 0, d.slot << 24 | dci << 16) == SUCCESS
    d.way(AT_ONCE)
    for _ in range(20):
        for n in range(8):
            for part in range(256):  # 16 MiB less a little
                x.put(d.slot, dci, 0x800000, 65535, NORMAL << 10 | (IOC if part == 255 else 16), False)
        x.set(DOORBELLS + 4 * d.slot, dci)
        places = [(x.event_at + n) % 64 for n in range(8)]
        cycles = [x.event_cycle ^ (at < x.event_at) for at in places]
        ring = x.q.read(EVENTS, 16 * 64)
        came = sum(ring[16 * at + 12] & 1 == cycle for at, cycle in zip(places, cycles))
        for _ in places:
            assert x.event()[2] == SUCCESS
        if came < 8:
            return
    raise AssertionError("all of it moves in one turn")


def data_of_packets_are_bounded():
    """Three devices that never answer, and six packets of 16 MiB: some wait until others are taken back."""
    devices = [w for n in range(3) for w in ("-device", f"usb-late,way={NEVER},port={n + 1}")]
    with machine("-device", "qemu-xhci,addr=5", *devices) as q:
        x, slots = XHCI(q), []
        for port in (5, 6, 7):
            until(lambda: x.portsc(port) & 1)
            x.reset_port(port)
            code, slot = x.address(port, 4, 512)
            assert code == SUCCESS and x.control(slot, 0, 9, 1)[0] == SUCCESS
            assert x.configure(slot, (0x81, 6, 1024), (0x83, 6, 1024)) == SUCCESS
            slots.append(slot)
        for n, (slot, dci) in enumerate((slot, dci) for slot in slots for dci in (3, 7)):
            x.rings[slot, dci] = Ring(q, 0x900000 + 0x2000 * n, 512)
            assert x.command(STOP_EP, 0, 0, slot << 24 | dci << 16) == SUCCESS
            assert x.command(SET_DEQUEUE, x.rings[slot, dci].at | 1, 0, slot << 24 | dci << 16) == SUCCESS
            for part in range(256):
                x.put(slot, dci, 0x800000, 65536 if part else 0, NORMAL << 10 | (IOC if part == 255 else 16), False)
            x.set(DOORBELLS + 4 * slot, dci)

        def given():
            return sum(struct.unpack("<I", x.control(s, 0xC0, 2, 0, 0, 24)[1][:4])[0] for s in slots)

        for n in range(10):
            assert given() == 4
        assert x.command(STOP_EP, 0, 0, slots[0] << 24 | 3 << 16) == SUCCESS
        until(lambda: given() == 5)
        q.qmp("qom-list", {"path": "/machine"})
        assert given() == 5


def uas(function):
    def run():
        with machine("-device", "qemu-xhci,addr=5", "-device", "usb-uas,id=u", "-device",
                     "scsi-late,bus=u.0,scsi-id=0,lun=0,id=unit") as q:
            u = UAS(q)
            u.command(1, [0] * 6)
            assert u.result(1) == "6/2900"
            function(u)
    return run


def aborted_commands_count(u):
    """Their data are there until the unit has ended them."""
    full = 0
    for tag in range(100, 120):
        u.command(tag, rw(0x28, 0, 0x4000))  # 8 MiB
        if u.task(1, 50, tag) == 0 and u.q.qmp("qom-get", {"path": "unit", "property": "count"}) == tag - 99:
            continue
        full += 1
    assert u.q.qmp("qom-get", {"path": "unit", "property": "most"}) == 4 and full == 16
    u.q.clock_step(2000 * 1000000)
    u.command(1, rw(0x28, 0, 0x4000))
    u.q.clock_step(1000 * 1000000)
    assert u.status()[:2] == (READ_READY, 1)
    assert u.task(1, 51, 1) == 0
    for tag in range(200, 300):
        u.command(tag, [0] * 6)
        assert u.task(1, 52, tag) == 0
    assert u.q.qmp("qom-get", {"path": "unit", "property": "most"}) <= 64
    u.command(2, [0] * 6)
    assert u.result(2) == 0x28
    u.q.clock_step(1000 * 1000000)
    u.command(3, [0] * 6)
    u.q.clock_step(1000 * 1000000)
    assert u.result(3) == 0


def units_go_while_they_work(u):
    for n in range(8):
        u.command(10 + n, rw(0x28, 0, 64))
        u.task(1, 50, 10 + n) if n % 2 else None
    u.q.qmp("device_del", {"id": "unit"})
    u.put(5, IN_AT, 96)
    u.command(30, [0] * 6)
    u.q.qmp("device_add", {"driver": "scsi-late", "id": "unit", "bus": "u.0", "scsi-id": 0, "lun": 0})
    for n in range(8):
        u.command(40 + n, rw(0x2A, 0, 64))
    u.q.qmp("device_del", {"id": "u"})
    u.q.clock_step(3000 * 1000000)


def bot(function):
    def run():
        with machine("-device", "qemu-xhci,addr=5", "-device", "usb-bot,id=u,port=1", "-device",
                     "scsi-late,bus=u.0,lun=0,id=unit") as q:
            function(Disk(q))
    return run


def commands_wait_for_those_that_were_aborted(d):
    d.plain([0] * 6)
    for n in range(5):
        d.send(rw(0x28, 0, 0x1000), 2 << 20)
        d.reset()
        assert d.q.qmp("qom-get", {"path": "unit", "property": "count"}) == 1
        d.x.put(d.slot, 4, DATA, 31, NORMAL << 10 | IOC | ISP)  # the next one is not taken yet
        got = d.x.event(False)
        assert got is None, got
        d.q.clock_step(1000 * 1000000)
        assert d.x.wait(32)[2] != SUCCESS  # nonsense stood there, but now it was looked at
        d.reset()
    d.send([0] * 6)
    d.q.clock_step(1000 * 1000000)
    assert d.status() == 0
    assert d.q.qmp("qom-get", {"path": "unit", "property": "most"}) == 1


def plug_is_pulled_while_it_works(d):
    d.plain([0] * 6)
    for n in range(4):
        d.send(rw(0x28, 0, 128), 65536)
        if n % 2:
            d.reset()
        else:
            d.x.put(d.slot, 3, DATA, 65536, NORMAL << 10 | IOC | ISP)
        d.q.qmp("device_del", {"id": "unit" if n == 2 else "u"})
        if n == 2:
            d.q.qmp("device_del", {"id": "u"})
        d.q.clock_step(2000 * 1000000)
        until(lambda: not d.x.portsc(5) & 1)
        d.x.start()
        d.q.qmp("device_add", {"driver": "usb-bot", "id": "u", "port": "1"})
        d.q.qmp("device_add", {"driver": "scsi-late", "id": "unit", "bus": "u.0", "lun": 0})
        d.open(5)
        d.plain([0] * 6)


tap = Tap()
for DRIVER in DRIVERS:
    NAME = DRIVER.device + ": "
    tap.case(NAME + "data come in order", late(DRIVER, data_come_in_order, 3))
    tap.case(NAME + "what is taken back is cancelled", late(DRIVER, what_is_taken_back_is_cancelled))
    for SEED in (5, 6):
        tap.case(NAME + f"drivers do as they like ({SEED})", late(DRIVER, drivers_do_as_they_like, SEED))
for DRIVER in (OHCI, UHCI, XHCIDriver):
    tap.case(DRIVER.device + ": isochronous packets have one chance", late(DRIVER, isochronous_packets_have_one_chance))
for DRIVER in (EHCI, UHCI):
    tap.case(DRIVER.device + ": rare interrupts are waited for", late(DRIVER, rare_interrupts_are_waited_for))
tap.case("newer transfers take the place of what is gone", late(UHCI, newer_transfers_take_the_place))
tap.case("a doorbell leaves the periodic schedule alone", late(EHCI, doorbell_leaves_the_periodic_schedule))
tap.case("schedules that stand have nothing under way", late(EHCI, schedules_that_stand_have_nothing))
tap.case("turns of xHCI are short", late(XHCIDriver, turns_are_short))
tap.case("data of packets on their way are bounded", data_of_packets_are_bounded)
tap.case("usb-uas counts aborted commands", uas(aborted_commands_count))
tap.case("units of usb-uas go while they work", uas(units_go_while_they_work))
tap.case("a bulk-only command waits for what was aborted", bot(commands_wait_for_those_that_were_aborted))
tap.case("the plug is pulled while a disk works", bot(plug_is_pulled_while_it_works))
tap.done()
