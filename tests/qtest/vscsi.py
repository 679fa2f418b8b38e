# SPDX-License-Identifier: LGPL-2.1-or-later
"""A driver of virtio SCSI hosts, for the tests."""
import struct

from virtio import MEMORY, Modern, Packed, PACKED, Split, VERSION_1

HEAD, DATA, RESPONSE, TASK = 0x300000, 0x200000, 0x301000, 0x302000
GOOD, CHECK, CONFLICT = 0, 2, 0x18
OK, BAD_TARGET, ABORTED, INCORRECT_LUN, SUCCEEDED, REJECTED = 0, 3, 2, 12, 10, 11


def lun(target, unit=0):
    return bytes([1, target, 0x40 | unit >> 8, unit & 255, 0, 0, 0, 0])


class Host:
    """One in a slot of bus 0; `number` sets apart what several have in memory."""

    def __init__(self, q, ring=Split, slot=5, number=0, features=()):
        self.q, self.t = q, Modern(q, slot, MEMORY + 0x4000000 * number)
        self.base = 0x300000 * number
        self.queues = [ring(q, self.base + 0x100000 + 0x8000 * n, n) for n in range(3)]
        self.t.start([VERSION_1, 1, 2, *features] + ([PACKED] if ring is Packed else []), queues=self.queues)
        self.control, self.events, self.ring = self.queues
        self.tag = 0
        self.target = lun(0)

    def submit(self, cdb, out=b"", room=0, target=None, at=HEAD, response=RESPONSE, data=DATA):
        at, response, data = self.base + at, self.base + response, self.base + data
        self.tag += 1
        head = (target or self.target) + struct.pack("<QBBB", self.tag, 0, 0, 0) + bytes(cdb).ljust(32, b"\0")
        self.q.write(at, head)
        self.q.memset(response, 108, 0xEE)
        parts = [(at, len(head), False)]
        if out:
            self.q.write(data, out)
            parts.append((data, len(out), False))
        parts.append((response, 108, True))
        if room:
            parts.append((data, room, True))
        return self.ring.add(parts)

    def answer(self, response=RESPONSE):
        response += self.base
        sense_len, residual, _, status, code = struct.unpack("<IIHBB", self.q.read(response, 12))
        self.residual = residual
        return code, status, self.q.read(response + 12, sense_len) if sense_len else b""

    def command(self, cdb, out=b"", room=0, target=None):
        """data, or the sense key and code, or "conflict"."""
        self.submit(cdb, out, room, target)
        self.ring.wait()
        code, status, sense = self.answer()
        assert code == OK, code
        if status == CHECK:
            return "%x/%02x%02x" % (sense[2] & 15, sense[12], sense[13])
        if status == CONFLICT:
            return "conflict"
        assert status == GOOD, status
        return self.q.read(self.base + DATA, room - self.residual) if room > self.residual else b""

    def settle(self):
        self.command([0] * 6)  # takes the unit attention of power-on

    def task(self, function, target=None, tag=0):
        at = self.base + TASK
        self.q.write(at, struct.pack("<II", 0, function) + (target or self.target) + struct.pack("<Q", tag))
        self.q.writeb(at + 64, 0xEE)
        self.control.add([(at, 24, False), (at + 64, 1, True)])
        self.control.wait()
        return self.q.readb(at + 64)
