# SPDX-License-Identifier: LGPL-2.1-or-later
"""A driver of USB controllers over qtest: xHCI 1.2 as far as tests want it. It writes what it is told, so that they can
break the rules."""
import struct

from virtio import Function, until

BAR = 0xE0000000
OP, RUNTIME, DOORBELLS = 0x40, 0x1000, 0x2000
DCBAA, COMMANDS, EVENTS, TABLE, CONTEXTS, RINGS, DATA = (0x100000, 0x110000, 0x120000, 0x130000, 0x140000, 0x200000,
                                                         0x400000)
NORMAL, SETUP, DATA_STAGE, STATUS, LINK, EVENT_DATA, NOOP = 1, 2, 3, 4, 6, 7, 8
ENABLE_SLOT, DISABLE_SLOT, ADDRESS, CONFIGURE, EVALUATE, RESET_EP, STOP_EP, SET_DEQUEUE, RESET_DEVICE = range(9, 18)
COMMAND_NOOP = 23
SUCCESS, BABBLE, TRANSACTION, TRB_ERROR, STALL, SHORT, STOPPED = 1, 3, 4, 5, 6, 13, 26
C, CH, IOC, IDT, ISP = 1, 16, 32, 64, 4
IN, OUT = 0x80, 0


class Ring:
    def __init__(self, q, at, size=64):
        self.q, self.at, self.size = q, at, size
        q.memset(at, 16 * size, 0)
        self.n, self.cycle = 0, 1

    def put(self, parameter, status, control):
        """Gives where it stands."""
        if self.n == self.size - 1:
            self.q.write(self.at + 16 * self.n, struct.pack("<QII", self.at, 0, LINK << 10 | 2 | self.cycle))
            self.n, self.cycle = 0, self.cycle ^ 1
        at = self.at + 16 * self.n
        self.q.write(at, struct.pack("<QII", parameter, status, control | self.cycle))
        self.n += 1
        return at


class XHCI:
    def __init__(self, q, slot=5):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, BAR)
        self.f.write(0x14, 0)
        self.f.write(4, 6, "w")
        self.start()

    def reg(self, at):
        return self.q.readl(BAR + at)

    def set(self, at, value):
        self.q.writel(BAR + at, value)

    def start(self, run=True):
        q = self.q
        self.set(OP, 2)
        assert self.reg(OP) == 0 and self.reg(OP + 4) & 1
        q.memset(DCBAA, 4096, 0)
        self.set(OP + 0x38, 16)
        self.set(OP + 0x30, DCBAA)
        self.set(OP + 0x34, 0)
        self.commands = Ring(q, COMMANDS)
        self.set(OP + 0x18, COMMANDS | 1)
        self.set(OP + 0x1C, 0)
        self.event_at, self.event_cycle, self.event_size = 0, 1, 64
        q.memset(EVENTS, 16 * 64, 0)
        q.write(TABLE, struct.pack("<QII", EVENTS, 64, 0))
        self.set(RUNTIME + 0x28, 1)
        self.set(RUNTIME + 0x38, EVENTS)
        self.set(RUNTIME + 0x3C, 0)
        self.set(RUNTIME + 0x30, TABLE)
        self.set(RUNTIME + 0x34, 0)
        self.set(RUNTIME + 0x20, 2)
        self.rings, self.slots = {}, {}
        if run:
            self.set(OP, 5)

    def event(self, wait=True):
        """The next one: type, parameter, code, rest of status, control."""
        def come():
            return self.q.readl(EVENTS + 16 * self.event_at + 12) & 1 == self.event_cycle
        if not wait and not come():
            return None
        until(come, "no event comes")
        parameter, status, control = struct.unpack("<QII", self.q.read(EVENTS + 16 * self.event_at, 16))
        self.event_at += 1
        if self.event_at == self.event_size:
            self.event_at, self.event_cycle = 0, self.event_cycle ^ 1
        self.set(RUNTIME + 0x38, EVENTS + 16 * self.event_at | 8)
        self.set(RUNTIME + 0x3C, 0)
        return control >> 10 & 63, parameter, status >> 24, status & 0xFFFFFF, control

    def wait(self, kind):
        while True:
            e = self.event()
            if e[0] == kind:
                return e

    def command(self, kind, parameter=0, status=0, control=0):
        at = self.commands.put(parameter, status, kind << 10 | control)
        self.set(DOORBELLS, 0)
        e = self.wait(33)
        assert e[1] == at, (hex(e[1]), hex(at))
        self.slot = e[4] >> 24
        return e[2]

    def portsc(self, n):
        return self.reg(0x440 + 16 * (n - 1))

    def port(self, n, value):
        self.set(0x440 + 16 * (n - 1), value)

    def reset_port(self, n):
        self.port(n, 1 << 4 | 1 << 9)
        until(lambda: self.portsc(n) & 1 << 21)
        self.port(n, 0x21 << 16 | 1 << 9)

    # ---- slots ----
    def contexts(self, slot):
        return CONTEXTS + 0x2000 * slot, CONTEXTS + 0x2000 * slot + 0x1000

    def address(self, port, speed=3, packet=64, route=0, block=False):
        assert self.command(ENABLE_SLOT) == SUCCESS
        slot = self.slot
        device, given = self.contexts(slot)
        self.q.memset(device, 0x2000, 0)
        self.q.writeq(DCBAA + 8 * slot, device)
        self.rings[slot, 1] = Ring(self.q, RINGS + 0x10000 * slot)
        self.q.write(given, struct.pack("<II", 0, 3).ljust(32, b"\0") +
                     struct.pack("<IIII", route | speed << 20 | 1 << 27, port << 16, 0, 0).ljust(32, b"\0") +
                     struct.pack("<IIQI", 0, 3 << 1 | 4 << 3 | packet << 16, self.rings[slot, 1].at | 1, 8))
        return self.command(ADDRESS, given, 0, slot << 24 | (1 << 9 if block else 0)), slot

    def configure(self, slot, *endpoints):
        """endpoints: (address, type: 2 bulk OUT, 6 bulk IN, 7 interrupt IN, largest packet)"""
        device, given = self.contexts(slot)
        add, contexts, last = 1, {}, 1
        for address, kind, packet in endpoints:
            dci = (address & 15) * 2 + (address >> 7)
            add |= 1 << dci
            last = max(last, dci)
            self.rings[slot, dci] = Ring(self.q, RINGS + 0x10000 * slot + 0x1000 * dci)
            contexts[dci] = struct.pack("<IIQI", 0, 3 << 1 | kind << 3 | packet << 16, self.rings[slot, dci].at | 1,
                                        packet)
        self.q.memset(given, 0x1000, 0)
        self.q.write(given, struct.pack("<II", 0, add))
        self.q.write(given + 32, self.q.read(device, 16))
        self.q.writel(given + 32, self.q.readl(given + 32) & 0x07FFFFFF | last << 27)
        for dci, bytes_ in contexts.items():
            self.q.write(given + 32 * (dci + 1), bytes_)
        return self.command(CONFIGURE, given, 0, slot << 24)

    def ep_state(self, slot, dci):
        return self.q.readl(self.contexts(slot)[0] + 32 * dci) & 7

    def put(self, slot, dci, parameter, length, control, ring=True):
        at = self.rings[slot, dci].put(parameter, length, control)
        if ring:
            self.set(DOORBELLS + 4 * slot, dci)
        return at

    def control(self, slot, kind, request, value=0, index=0, length=0, data=b""):
        """(code, bytes) of a control transfer."""
        setup = struct.unpack("<Q", struct.pack("<BBHHH", kind, request, value, index, length))[0]
        self.put(slot, 1, setup, 8, SETUP << 10 | IDT | (0 if not length else 3 if kind & IN else 2) << 16, False)
        if data:
            self.q.write(DATA, data)
        if length:
            self.put(slot, 1, DATA, length, DATA_STAGE << 10 | ISP | (1 << 16 if kind & IN else 0), False)
        self.put(slot, 1, 0, 0, STATUS << 10 | IOC | (0 if kind & IN and length else 1 << 16))
        got = length
        while True:
            _, _, code, left, control = self.wait(32)
            assert control >> 24 == slot and control >> 16 & 31 == 1
            if code == SHORT:
                got -= left
                continue
            return code, self.q.read(DATA, got) if kind & IN and got and code == SUCCESS else b""

    def recover(self, slot, dci):
        """After a stall: the endpoint goes on behind what failed."""
        ring = self.rings[slot, dci]
        assert self.command(RESET_EP, 0, 0, slot << 24 | dci << 16) == SUCCESS
        assert self.command(SET_DEQUEUE, ring.at + 16 * ring.n | ring.cycle, 0, slot << 24 | dci << 16) == SUCCESS

    def bulk(self, slot, address, data=b"", length=0):
        """(code, bytes that went over or came)"""
        dci = (address & 15) * 2 + (address >> 7)
        if data:
            self.q.write(DATA + 0x10000, data)
        size = length or len(data)
        self.put(slot, dci, DATA + 0x10000, size, NORMAL << 10 | IOC | ISP)
        _, _, code, left, _ = self.wait(32)
        return code, self.q.read(DATA + 0x10000, size - left) if address & IN and size > left else size - left
