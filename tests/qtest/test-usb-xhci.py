#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The xHCI controller and HID devices as a driver sees them: registers, ports, slots, transfers, what is refused."""
import random
import struct

from qtest import Failed, QTest, Tap
from usb import (BABBLE, C, CH, CONFIGURE, COMMAND_NOOP, DATA, DISABLE_SLOT, DOORBELLS, ENABLE_SLOT, EVENTS, IDT, IOC,
                 ISP, LINK, NORMAL, OP, RESET_DEVICE, RINGS, RUNTIME, SETUP, SHORT, STALL, STOP_EP, SUCCESS, TABLE,
                 TRANSACTION, TRB_ERROR, XHCI)
from virtio import until

MACHINE = ["-M", "pc", "-m", "16", "-device"]


def case(function, *devices, props=""):
    def run():
        more = [word for d in devices for word in ("-device", d)]
        with QTest([*MACHINE, "qemu-xhci,id=x,addr=5" + props, *more]) as q:
            function(q)
    return run


def says_what_it_is(q):
    x = XHCI(q)
    assert x.f.read(0) == 0x000D1B36 and x.f.read(8) >> 8 == 0x0C0330 and x.f.read(0x60, "b") == 0x30
    assert x.reg(0) == 0x01000040 and x.reg(4) == 64 | 16 << 8 | 8 << 24
    assert x.reg(0x14) == 0x2000 and x.reg(0x18) == 0x1000
    at = (x.reg(0x10) >> 16) * 4
    found = []
    while True:
        v = x.reg(at)
        found.append((v >> 24, x.reg(at + 8) & 0xFFFF, x.reg(at + 4)))
        if not v >> 8 & 0xFF:
            break
        at += (v >> 8 & 0xFF) * 4
    assert found == [(2, 0x401, 0x20425355), (3, 0x405, 0x20425355)], found
    assert x.command(COMMAND_NOOP) == SUCCESS
    frame = x.reg(RUNTIME)
    q.clock_step(1000000)
    assert x.reg(RUNTIME) - frame & 0x3FFF == 8


def bring_up(x, port=1):
    x.reset_port(port)
    code, slot = x.address(port)
    assert code == SUCCESS, code
    return slot


def tablet_is_enumerated(q):
    x = XHCI(q)
    assert x.portsc(1) & 1 and x.portsc(1) >> 10 & 15 == 3 and not x.portsc(1) & 2 and not x.portsc(5) & 1
    slot = bring_up(x)
    assert x.portsc(1) & 2
    assert q.readl(x.contexts(slot)[0] + 12) == 2 << 27 | slot
    code, d = x.control(slot, 0x80, 6, 0x100, 0, 18)
    assert code == SUCCESS and d[:8] == bytes([18, 1, 0, 2, 0, 0, 0, 64]) and d[8:12] == b"\x27\x06\x01\x00", d
    code, d = x.control(slot, 0x80, 6, 0x200, 0, 255)  # shorter than asked for
    assert code == SUCCESS and len(d) == 34 and d[2] == 34 and d[9:18] == bytes([9, 4, 0, 0, 1, 3, 0, 0, 0])
    assert d[27:34] == bytes([7, 5, 0x81, 3, 8, 0, 4])
    code, d = x.control(slot, 0x80, 6, 0x302, 0x409, 255)
    assert d[2:].decode("utf-16le") == "QEMU USB Tablet"
    assert x.control(slot, 0x80, 6, 0x600, 0, 10)[1][:2] == bytes([10, 6])
    assert x.control(slot, 0, 9, 1)[0] == SUCCESS and x.control(slot, 0x80, 8, 0, 0, 1)[1] == b"\1"
    code, hid = x.control(slot, 0x81, 6, 0x2100, 0, 255)
    assert len(hid) == 9 and x.control(slot, 0x81, 6, 0x2200, 0, 255)[1][:2] == b"\5\1"
    assert len(x.control(slot, 0x81, 6, 0x2200, 0, 255)[1]) == hid[7]
    assert "Product QEMU USB Tablet" in q.qmp("human-monitor-command", {"command-line": "info usb"})


def reports(x, slot, n=1, size=8):
    """What comes from the interrupt endpoint."""
    found = []
    for _ in range(n):
        _, _, code, left, _ = x.wait(32)
        assert code in (SUCCESS, SHORT), code
        found.append(x.q.read(DATA + 0x1000, size - left))
        x.put(slot, 3, DATA + 0x1000, size, NORMAL << 10 | IOC | ISP)
    return found


def start_hid(x, slot, size=8):
    assert x.control(slot, 0, 9, 1)[0] == SUCCESS
    assert x.configure(slot, (0x81, 7, 8)) == SUCCESS
    x.put(slot, 3, DATA + 0x1000, size, NORMAL << 10 | IOC | ISP)


def tablet_moves(q):
    x = XHCI(q)
    slot = bring_up(x)
    start_hid(x, slot)
    until(lambda: any(m["absolute"] and m["current"] for m in q.qmp("query-mice")))
    q.qmp("input-send-event", {"events": [{"type": "abs", "data": {"axis": "x", "value": 0x1234}},
                                          {"type": "abs", "data": {"axis": "y", "value": 0x7654}}]})
    assert reports(x, slot)[0] == struct.pack("<BHHbb", 0, 0x1234, 0x7654, 0, 0)
    q.qmp("input-send-event", {"events": [{"type": "btn", "data": {"button": "left", "down": True}}]})
    assert reports(x, slot)[0][0] == 1


def keyboard_types(q):
    x = XHCI(q)
    slot = bring_up(x)
    start_hid(x, slot)
    q.qmp("send-key", {"keys": [{"type": "qcode", "data": "shift"}, {"type": "qcode", "data": "a"}]})
    assert reports(x, slot, 2) == [bytes([2] + [0] * 7), bytes([2, 0, 4, 0, 0, 0, 0, 0])]
    q.clock_step(200000000)
    assert reports(x, slot, 2)[-1] == bytes(8)
    assert x.control(slot, 0x21, 9, 0x200, 0, 1, b"\2")[0] == SUCCESS
    assert x.control(slot, 0xA1, 1, 0x100, 0, 8)[1] == bytes(8)
    assert x.control(slot, 0x21, 10, 0x300)[0] == SUCCESS and x.control(slot, 0xA1, 2, 0, 0, 1)[1] == b"\3"
    q.clock_step(13000000)
    assert reports(x, slot)[0] == bytes(8)  # idle: told again


def stalls_and_goes_on(q):
    x = XHCI(q)
    slot = bring_up(x)
    for bad in ((0x80, 6, 0x900, 0, 18), (0xC0, 0x55, 0, 0, 4), (0, 9, 7), (0x80, 6, 0x37F, 0x409, 255),
                (0x01, 11, 5, 0), (0x02, 3, 0, 0x85)):
        assert x.control(slot, *bad)[0] == STALL, bad
        assert x.ep_state(slot, 1) == 2
        x.recover(slot, 1)
        # Whatever of that transfer still stands in the ring was skipped.
        assert x.control(slot, 0x80, 8, 0, 0, 1) == (SUCCESS, b"\0")


def setup_length_is_bounded(q):
    """CVE-2020-14364: a length that the device's own buffer does not have."""
    x = XHCI(q)
    slot = bring_up(x)
    for kind in (0x80, 0):
        for length in (4097, 0xFFFF):
            assert x.control(slot, kind, 6 if kind else 9, 0x100, 0, length)[0] == STALL
            x.recover(slot, 1)
    # More than the set-up packet told: OUT and IN.
    setup = struct.unpack("<Q", struct.pack("<BBHHH", 0x21, 9, 0x200, 0, 1))[0]
    x.put(slot, 1, setup, 8, SETUP << 10 | IDT | 2 << 16, False)
    x.put(slot, 1, DATA, 0x10000, 3 << 10 | IOC)
    assert x.wait(32)[2] == STALL
    x.recover(slot, 1)
    assert x.control(slot, 0x80, 8, 0, 0, 1) == (SUCCESS, b"\0")


def room_that_is_too_small_is_babble(q):
    x = XHCI(q)
    slot = bring_up(x)
    start_hid(x, slot, 2)
    q.qmp("send-key", {"keys": [{"type": "qcode", "data": "a"}]})
    assert x.wait(32)[2] == BABBLE and x.ep_state(slot, 3) == 2


def endpoints_stop_and_start(q):
    x = XHCI(q)
    slot = bring_up(x)
    start_hid(x, slot)
    assert x.ep_state(slot, 3) == 1
    q.writel(EVENTS, 0)
    at = x.commands.put(0, 0, STOP_EP << 10 | slot << 24 | 3 << 16)
    x.set(DOORBELLS, 0)
    assert x.wait(33)[1] == at and x.ep_state(slot, 3) == 3
    assert x.command(STOP_EP, 0, 0, slot << 24 | 3 << 16) == 19
    x.set(DOORBELLS + 4 * slot, 3)
    assert x.ep_state(slot, 3) == 1
    q.qmp("send-key", {"keys": [{"type": "qcode", "data": "b"}]})
    assert reports(x, slot)[0][2] == 5
    assert x.command(RESET_DEVICE, 0, 0, slot << 24) == SUCCESS and x.ep_state(slot, 3) == 0
    assert x.command(DISABLE_SLOT, 0, 0, slot << 24) == SUCCESS
    assert x.command(DISABLE_SLOT, 0, 0, slot << 24) == 11


def bad_commands_get_codes(q):
    x = XHCI(q)
    assert x.command(63) == TRB_ERROR and x.command(12, 0, 0, 5 << 24) == 11
    assert x.command(ENABLE_SLOT) == SUCCESS
    slot = x.slot
    assert x.command(CONFIGURE, 0x150000, 0, slot << 24) == 19
    assert x.command(11, 0xF0000000000, 0, slot << 24) == 17  # its context is nowhere
    assert x.command(STOP_EP, 0, 0, slot << 24) == TRB_ERROR
    assert x.command(STOP_EP, 0, 0, slot << 24 | 1 << 16) == 12
    for n in range(15):
        assert x.command(ENABLE_SLOT) == SUCCESS
    assert x.command(ENABLE_SLOT) == 9  # as many as CONFIG said
    x.start()
    assert x.address(3)[0] == TRANSACTION  # nobody is there
    assert x.address(200)[0] == TRANSACTION and x.address(1, route=0x11111)[0] == TRANSACTION
    slot = bring_up(x)
    assert x.configure(slot, (0x81, 4, 8)) == 17 and x.configure(slot, (0x01, 7, 8)) == 17
    assert x.address(1)[0] == TRB_ERROR  # it has a slot
    assert x.address(1, route=0x10)[0] == TRANSACTION  # the same place in other words
    assert x.control(slot, 0x80, 8, 0, 0, 1) == (SUCCESS, b"\0")


def rings_without_end_are_left(q):
    """Links in a circle, descriptors without end, sizes beyond all memory: bounded work, then an error."""
    x = XHCI(q)
    slot = bring_up(x)
    start_hid(x, slot)
    ring = RINGS + 0x80000
    for n, (trbs, error) in enumerate(((struct.pack("<QII", ring, 0, LINK << 10 | C), True),
                                       (struct.pack("<QII", ring + 16, 0, LINK << 10 | C) * 2, True),
                                       (struct.pack("<QII", DATA, 0x1FFFF, NORMAL << 10 | CH | C) * 300, True),
                                       (struct.pack("<QII", DATA, 0, NORMAL << 10 | CH | C) * 300, True),
                                       (struct.pack("<QII", DATA, 8, 5 << 10 | C), True),
                                       (struct.pack("<QII", DATA, 8, 2 << 10 | C), True),
                                       (struct.pack("<QII", DATA, 8, 33 << 10 | C), True),
                                       (struct.pack("<QII", DATA, 8, NORMAL << 10 | CH | C), False))):
        q.memset(ring, 0x2000, 0)
        q.write(ring, trbs)
        x.command(STOP_EP, 0, 0, slot << 24 | 3 << 16)
        assert x.command(16, ring | 1, 0, slot << 24 | 3 << 16) == SUCCESS, n
        x.set(DOORBELLS + 4 * slot, 3)
        if error:
            assert x.wait(32)[2] == TRB_ERROR and x.ep_state(slot, 3) == 4, n
        else:
            assert x.ep_state(slot, 3) == 1
    assert x.control(slot, 0x80, 8, 0, 0, 1) == (SUCCESS, b"\1")


def transfers_of_no_length_in_a_circle_end(q):
    """A ring of descriptors that move nothing and link to themselves (zero-length loops): other work goes on."""
    x = XHCI(q)
    slot = bring_up(x)
    ring = RINGS + 0x80000
    q.write(ring, struct.pack("<QII", 0, 0, 8 << 10 | C) + struct.pack("<QII", ring, 0, LINK << 10 | C))
    x.command(STOP_EP, 0, 0, slot << 24 | 1 << 16)
    assert x.command(16, ring | 1, 0, slot << 24 | 1 << 16) == SUCCESS
    x.set(DOORBELLS + 4 * slot, 1)
    for _ in range(20):
        assert x.command(COMMAND_NOOP) == SUCCESS
    assert x.command(STOP_EP, 0, 0, slot << 24 | 1 << 16) == SUCCESS
    commands = x.commands.at
    q.write(0x150000, struct.pack("<QII", 0, 0, COMMAND_NOOP << 10 | C) +
            struct.pack("<QII", 0x150000, 0, LINK << 10 | C))
    x.set(OP + 0x18, 4)
    until(lambda: not x.reg(OP + 0x18) & 8)
    x.set(OP + 0x18, 0x150000 | 1)
    x.set(OP + 0x1C, 0)
    x.set(DOORBELLS, 0)  # events are not taken: it waits for that
    q.clock_step(1000000)
    assert x.reg(OP + 4) & 0x1004 == 0
    x.start()
    assert x.commands.at == commands and x.command(COMMAND_NOOP) == SUCCESS


def addresses_in_mmio_do_no_harm(q):
    """Rings, contexts and buffers that lie in the controller's own registers, or nowhere."""
    for bad in (0xE0000000, 0xE0000040, 0xE0002000, 0xFEE00000, 0xFFFFFFF0, 0xF0000000000, 2 ** 64 - 64):
        x = XHCI(q)
        slot = bring_up(x)
        start_hid(x, slot)
        x.put(slot, 1, struct.unpack("<Q", struct.pack("<BBHHH", 0x80, 6, 0x100, 0, 18))[0], 8,
              SETUP << 10 | IDT | 3 << 16, False)
        x.put(slot, 1, bad, 18, 3 << 10 | 1 << 16 | IOC)
        q.clock_step(1000000)
        x.set(OP + 0x30, bad & 0xFFFFFFC0)
        x.set(OP + 0x34, bad >> 32)
        x.commands.put(bad & ~63, 0, 11 << 10 | slot << 24)
        x.commands.put(bad, 0, 16 << 10 | slot << 24 | 3 << 16)
        x.set(DOORBELLS, 0)
        x.set(DOORBELLS + 4 * slot, 3)
        q.write(TABLE, struct.pack("<QII", bad & ~63, 64, 0))
        x.set(RUNTIME + 0x30, TABLE)
        x.set(RUNTIME + 0x34, 0)
        x.commands.put(0, 0, COMMAND_NOOP << 10)
        x.set(DOORBELLS, 0)
        x.set(OP + 0x18, bad & 0xFFFFFFC0)
        q.clock_step(1000000)
    x = XHCI(q)
    assert x.command(COMMAND_NOOP) == SUCCESS


def devices_come_and_go(q):
    x = XHCI(q)
    while x.event(False):
        pass
    q.qmp("device_add", {"driver": "usb-kbd", "id": "k", "port": "2"})
    assert x.wait(34)[1] >> 24 == 2 and x.portsc(2) & 0x20001 == 0x20001
    slot = bring_up(x, 2)
    start_hid(x, slot)
    q.qmp("device_del", {"id": "k"})
    until(lambda: not x.portsc(2) & 3)
    assert x.control(slot, 0x80, 8, 0, 0, 1)[0] == TRANSACTION
    for words, device in (("in use", {"driver": "usb-mouse", "port": "1"}), ("no port 9", {"driver": "usb-mouse",
                                                                             "port": "9"}),
                          ("1 and 2", {"driver": "usb-mouse", "usb_version": 3})):
        try:
            q.qmp("device_add", device)
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError("%s is taken" % device)
    for n in range(3):
        q.qmp("device_add", {"driver": "usb-mouse", "id": "m%d" % n})
    try:
        q.qmp("device_add", {"driver": "usb-mouse"})
    except Failed as error:
        assert "no free port" in str(error), error
    else:
        raise AssertionError("a fifth device has a place")
    q.qmp("system_reset")
    until(lambda: x.f.read(4, "w") == 0)
    assert bring_up(XHCI(q))


def interrupts_are_messages_or_a_line(q):
    q.outl(0xCF8, 0x80000860)
    q.outl(0xCFC, 0x0B0B0B0B)  # PIRQ A to D: interrupt 11
    x = XHCI(q)
    q.irq_intercept_in("ioapic")
    assert x.command(COMMAND_NOOP) == SUCCESS
    assert x.reg(OP + 4) & 8 and x.reg(RUNTIME + 0x20) & 1
    assert any(q.irqs.values()), q.irqs
    x.set(RUNTIME + 0x20, 3)
    q.clock_step(0)
    assert not any(q.irqs.values())
    x.set(OP + 4, 8)
    assert not x.reg(OP + 4) & 8
    assert x.f.capability(0x11), "no MSI-X"


def accesses_by_chance_do_no_harm(q):
    chance = random.Random(12)
    for _ in range(6):
        x = XHCI(q)
        slot = bring_up(x)
        start_hid(x, slot)
        for _ in range(400):
            at = chance.choice((0x40, 0x44, 0x58, 0x5C, 0x70, 0x78, 0x440 + 16 * chance.randrange(9), 0x1020 +
                                4 * chance.randrange(16), 0x2000 + 4 * chance.randrange(4), 4 * chance.randrange(4096)))
            x.set(at, chance.choice((chance.getrandbits(32), chance.randrange(40), RINGS + 0x11000, EVENTS)))
            if chance.randrange(4) == 0:
                q.writel(chance.choice((RINGS, EVENTS, TABLE, 0x140000)) + 4 * chance.randrange(1024),
                         chance.choice((chance.getrandbits(32), chance.randrange(64) << 10 | 1)))
            x.reg(4 * chance.randrange(4096))
    x = XHCI(q)
    assert x.command(COMMAND_NOOP) == SUCCESS


def bad_properties_are_refused_in_words():
    for prop, words in (("p2=16", "up to 15"), ("p2=0,p3=0", "at least one port"), ("intrs=3", "1, 2, 4, 8"),
                        ("slots=65", "1 to 64")):
        try:
            QTest([*MACHINE, "qemu-xhci," + prop]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(prop + " is taken")


tap = Tap()
tap.case("it says what it is", case(says_what_it_is))
tap.case("a tablet is enumerated", case(tablet_is_enumerated, "usb-tablet"))
tap.case("a tablet moves", case(tablet_moves, "usb-tablet"))
tap.case("a keyboard types", case(keyboard_types, "usb-kbd"))
tap.case("what is not known stalls, and it goes on", case(stalls_and_goes_on, "usb-tablet"))
tap.case("the length of a set-up packet is bounded", case(setup_length_is_bounded, "usb-kbd"))
tap.case("room that is too small is babble", case(room_that_is_too_small_is_babble, "usb-kbd"))
tap.case("endpoints stop and start", case(endpoints_stop_and_start, "usb-kbd"))
tap.case("bad commands get their codes", case(bad_commands_get_codes, "usb-tablet"))
tap.case("rings without end are left", case(rings_without_end_are_left, "usb-tablet"))
tap.case("transfers of no length in a circle end", case(transfers_of_no_length_in_a_circle_end, "usb-tablet"))
tap.case("addresses in registers, or nowhere, do no harm", case(addresses_in_mmio_do_no_harm, "usb-tablet"))
tap.case("devices come and go", case(devices_come_and_go, "usb-tablet"))
tap.case("interrupts are messages, or a line", case(interrupts_are_messages_or_a_line))
tap.case("accesses by chance do no harm", case(accesses_by_chance_do_no_harm, "usb-tablet"))
tap.case("bad properties are refused in words", bad_properties_are_refused_in_words)
tap.done()
