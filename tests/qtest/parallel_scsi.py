# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parallel SCSI adapters driven over qtest: a SCRIPTS assembler and the registers of the 53C895A, the Am53C974's ports.

    with QTest(["-M", "pc", "-device", "lsi53c895a,addr=5", ...]) as q:
        lsi = Lsi(q)
        lsi.run(SELECT(0), 0, ...)
"""
import struct
import time

from qtest import TIMEOUT
from virtio import Function

SCRIPT, TABLE, MESSAGE, CDB, STATUS, DATA = 0x100000, 0x110000, 0x120000, 0x121000, 0x122000, 0x200000
DATA_OUT, DATA_IN, COMMAND, STATUS_PHASE, MESSAGE_OUT, MESSAGE_IN = 0, 1, 2, 3, 6, 7
IO, MMIO, RAM = 0xC000, 0xE0000000, 0xE0002000
SIR, IID, ABRT, BF, SSI = 4, 1, 0x10, 0x20, 8
MA, UDC, RST, STO = 0x80, 4, 2, 0x400  # STO in the second byte


def SELECT(target, atn=True, table=False):
    return (0x40000000 | atn << 24 | table << 25 | target << 16) if not table else 0x42000000 | atn << 24


def MOVE(phase, count, table=False):
    return phase << 24 | count | (0x18000000 if table else 0x08000000)


def JUMP(condition=0x00080000):
    return 0x80000000 | condition


def WHEN(phase, wanted=True):
    return 0x00030000 | wanted << 19 | phase << 24


INT, RETURN, CALL = 0x98080000, 0x90080000, 0x88080000
WAIT_DISCONNECT, WAIT_RESELECT, CLEAR_ACK, SET_ATN = 0x48000000, 0x50000000, 0x60000040, 0x58000008
FLY = 0x98180000


def step(q):
    """Guest time goes on, and the main loop has a turn."""
    q.clock_step(200000)


def wait(q, true, what):
    end = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < end, what
        step(q)


class Lsi:
    def __init__(self, q, slot=5, master=True):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, IO)
        self.f.write(0x14, MMIO)
        self.f.write(0x18, RAM)
        self.f.write(4, 7 if master else 3, "w")
        self.r, self.w = (lambda reg: q.readb(MMIO + reg)), (lambda reg, v: q.writeb(MMIO + reg, v))
        self.r32, self.w32 = (lambda reg: q.readl(MMIO + reg)), (lambda reg, v: q.writel(MMIO + reg, v))
        self.w(0x14, 0x40)
        self.w(0x14, 0)

    def begin(self, *words, at=SCRIPT):
        self.q.write(at, struct.pack("<%dI" % len(words), *words))
        self.w32(0x2C, at)

    def ended(self):
        """DSTAT and both SIST bytes, when something of them is there; None: not yet."""
        if not self.r(0x14) & 3:
            return None
        return self.r(0x0C) & 0x7F, self.r(0x42) | self.r(0x43) << 8

    def end(self):
        wait(self.q, lambda: self.r(0x14) & 3, "the program does not end")
        return self.ended()

    def run(self, *words, at=SCRIPT):
        self.begin(*words, at=at)
        return self.end()

    def command(self, target, cdb, data=(), lun=0, message=b"", ends=(SIR, 0)):
        """A whole command without disconnection: status. `data`: phase and length of a move at DATA."""
        self.q.write(MESSAGE, bytes([0x80 | lun]) + message)
        self.q.write(CDB, bytes(cdb))
        moves = [MOVE(data[0], data[1]), DATA] if data else []
        got = self.run(SELECT(target), 0, MOVE(6, 1 + len(message)), MESSAGE, MOVE(2, len(cdb)), CDB, *moves,
                       MOVE(3, 1), STATUS, MOVE(7, 1), STATUS + 1, 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0,
                       INT, 0x1234)
        assert got == ends, got
        return self.q.readb(STATUS)

    def settle(self, *targets):
        for target in targets:
            assert self.command(target, [0] * 6) == 2  # power-on is told
            assert self.command(target, [0] * 6) == 0


class PcScsi:
    """Registers by their numbers; DMA's by their addresses."""

    def __init__(self, q, slot=5):
        self.q, self.f = q, Function(q, slot)
        self.f.write(0x10, IO)
        self.f.write(4, 5, "w")
        self.w(3, 2)

    def r(self, reg):
        return self.q.inb(IO + 4 * reg)

    def w(self, reg, value):
        self.q.outb(IO + 4 * reg, value)

    def r32(self, reg):
        return self.q.inl(IO + reg)

    def w32(self, reg, value):
        self.q.outl(IO + reg, value)

    def interrupt(self):
        """Status and interrupt, which is read."""
        wait(self.q, lambda: self.r(4) & 0x80, "no interrupt comes")
        return self.r(4), self.r(5)

    def select(self, target, cdb, command=0x42, message=b"\x80"):
        self.w(4, target)
        for byte in bytes(message) + bytes(cdb):
            self.w(2, byte)
        self.w(3, command)
        return self.interrupt()

    def dma(self, length, to_memory, address=DATA, mdl=None):
        self.w(11, 0x40)  # 24 bits
        for n in range(2):
            self.w(n, length >> 8 * n & 255)
        self.w(14, length >> 16 & 255)
        self.w32(0x44, length)
        self.w32(0x48, address)
        if mdl:
            self.w32(0x58, mdl)
        self.w(3, 0x90)
        self.q.outb(IO + 0x40, 3 | to_memory << 7 | (0x10 if mdl else 0))

    def complete(self):
        """Status of the command, and the bus is free."""
        self.w(3, 0x11)
        assert self.interrupt()[1] == 8
        status, message = self.r(2), self.r(2)
        assert message == 0, message
        self.w(3, 0x12)
        assert self.interrupt()[1] == 0x20
        return status

    def command(self, target, cdb, data=(), lun=0):
        got = self.select(target, cdb, message=[0x80 | lun])
        assert got[1] == 0x18, got
        if data:
            self.dma(data[1], data[0] == 1)
            assert self.interrupt()[1] == 0x10
        return self.complete()

    def settle(self, *targets):
        for target in targets:
            assert self.command(target, [0] * 6) == 2
            assert self.command(target, [0] * 6) == 0
