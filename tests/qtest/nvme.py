# SPDX-License-Identifier: LGPL-2.1-or-later
"""A driver of NVMe controllers, for the tests."""
import struct

from virtio import Function, until

BAR, ASQ, ACQ, SQ, CQ, DATA, LIST = 0xE0000000, 0x100000, 0x110000, 0x120000, 0x130000, 0x200000, 0x300000
DEPTH = 16


class Queue:
    def __init__(self, q, number, sq, cq):
        self.q, self.number, self.sq, self.cq = q, number, sq, cq
        self.tail = self.head = 0
        self.phase = 1
        q.memset(cq, 16 * DEPTH, 0)

    def put(self, opcode, nsid=0, prp1=0, prp2=0, dwords=(), flags=0, ring=True):
        dwords = list(dwords) + [0] * (6 - len(dwords))
        self.q.write(self.sq + 64 * self.tail, struct.pack("<BBHIQQQQ6I", opcode, flags, self.tail + 1, nsid, 0, 0,
                                                            prp1, prp2, *dwords))
        self.tail = (self.tail + 1) % DEPTH
        if ring:
            self.q.writel(BAR + 0x1000 + 8 * self.number, self.tail)

    def get(self):
        """Status and result of the next completion."""
        def come():
            return self.q.readw(self.cq + 16 * self.head + 14) & 1 == self.phase
        until(come, "the command is not completed")
        result, _, _, _, cid, status = struct.unpack("<IIHHHH", self.q.read(self.cq + 16 * self.head, 16))
        self.cid = cid
        self.head = (self.head + 1) % DEPTH
        if self.head == 0:
            self.phase ^= 1
        self.q.writel(BAR + 0x1004 + 8 * self.number, self.head)
        return status >> 1, result

    def command(self, *args, **more):
        self.put(*args, **more)
        return self.get()


class Controller:
    def __init__(self, q, io=True):
        self.q, self.f = q, Function(q)
        self.f.write(0x10, BAR)
        self.f.write(0x14, 0)
        self.f.write(4, 6, "w")
        q.writel(BAR + 0x14, 0)
        until(lambda: not q.readl(BAR + 0x1C) & 1)
        q.writel(BAR + 0x24, (DEPTH - 1) << 16 | DEPTH - 1)
        q.writeq(BAR + 0x28, ASQ)
        q.writeq(BAR + 0x30, ACQ)
        self.admin = Queue(q, 0, ASQ, ACQ)
        q.writel(BAR + 0x14, 4 << 20 | 6 << 16 | 1)
        until(lambda: q.readl(BAR + 0x1C) & 1, "the controller is not ready")
        if io:
            assert self.admin.command(5, prp1=CQ, dwords=[(DEPTH - 1) << 16 | 1, 1 << 16 | 3]) == (0, 0)
            assert self.admin.command(1, prp1=SQ, dwords=[(DEPTH - 1) << 16 | 1, 1 << 16 | 1]) == (0, 0)
            self.io = Queue(q, 1, SQ, CQ)

    def rw(self, opcode, lba, blocks, prp1=DATA, prp2=0, flags=0):
        return self.io.command(opcode, 1, prp1, prp2, [lba & 0xFFFFFFFF, lba >> 32, blocks - 1 | flags])[0]
