# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drivers of USB disks on xHCI: bulk-only (Disk), USB attached SCSI (UAS)."""
import struct

from usb import IOC, ISP, NORMAL, SHORT, SUCCESS, XHCI
from virtio import until

PASSED, FAILED = 0, 1
STATUS_AT, IN_AT, OUT_AT = 0x500000, 0x600000, 0x700000
SENSE, RESPONSE, READ_READY, WRITE_READY = 3, 4, 6, 7
COMMAND, STATUS, DATA_IN, DATA_OUT = 2, 5, 7, 8  # device context indices


def rw(opcode, lba, blocks):
    return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)


class Disk:
    def __init__(self, q, port=5):
        self.q, self.x, self.tag = q, XHCI(q), 0
        self.open(port)

    def open(self, port):
        x = self.x
        until(lambda: x.portsc(port) & 1)
        x.reset_port(port)
        code, self.slot = x.address(port, 4, 512)
        assert code == SUCCESS, code
        assert x.control(self.slot, 0, 9, 1)[0] == SUCCESS
        assert x.configure(self.slot, (0x81, 6, 1024), (0x02, 2, 1024)) == SUCCESS

    def send(self, cdb, length=0, to_host=True, lun=0):
        self.tag += 1
        cbw = struct.pack("<IIIBBB", 0x43425355, self.tag, length, 0x80 if to_host else 0, lun, len(cdb)) + bytes(cdb)
        code, n = self.x.bulk(self.slot, 0x02, cbw.ljust(31, b"\0"))
        assert (code, n) == (SUCCESS, 31), (code, n)

    def status(self):
        code, d = self.x.bulk(self.slot, 0x81, length=13)
        assert code == SUCCESS, code
        signature, tag, self.residue, status = struct.unpack("<IIIB", d)
        assert signature == 0x53425355 and tag == self.tag
        return status

    def read(self, cdb, length):
        self.send(cdb, length)
        code, d = self.x.bulk(self.slot, 0x81, length=length)
        assert code == SUCCESS and len(d) == length, code
        return self.status(), d[:length - self.residue]

    def write(self, cdb, data):
        self.send(cdb, len(data), False)
        assert self.x.bulk(self.slot, 0x02, data) == (SUCCESS, len(data))
        return self.status()

    def plain(self, cdb):
        self.send(cdb)
        return self.status()

    def settle(self):
        self.plain([0] * 6)

    def sense(self):
        status, d = self.read([3, 0, 0, 0, 18, 0], 18)
        assert status == PASSED
        return "%x/%02x%02x" % (d[2], d[12], d[13])

    def reset(self):
        x = self.x
        assert x.control(self.slot, 0x21, 0xFF)[0] == SUCCESS
        for dci, address in ((3, 0x81), (4, 0x02)):
            if x.ep_state(self.slot, dci) == 2:
                x.recover(self.slot, dci)
            assert x.control(self.slot, 2, 1, 0, address)[0] == SUCCESS


class UAS:
    def __init__(self, q):
        self.q, self.x = q, XHCI(q)
        x = self.x
        x.reset_port(1)
        code, self.slot = x.address(1, 3, 64)
        assert code == SUCCESS and x.control(self.slot, 0, 9, 1)[0] == SUCCESS
        assert x.configure(self.slot, (0x01, 2, 512), (0x82, 6, 512), (0x83, 6, 512), (0x04, 2, 512)) == SUCCESS
        self.pending = {}

    def put(self, dci, at, size):
        self.x.put(self.slot, dci, at, size, NORMAL << 10 | IOC | ISP)

    def wait(self, dci, size):
        """Bytes that went over at an endpoint."""
        while not self.pending.get(dci):
            _, _, code, left, control = self.x.wait(32)
            self.pending.setdefault(control >> 16 & 31, []).append((code, left))
        code, left = self.pending[dci].pop(0)
        assert code in (SUCCESS, SHORT), code
        return size - left

    def send(self, iu):
        self.q.write(0x4F0000, iu)
        self.put(COMMAND, 0x4F0000, len(iu))
        self.wait(COMMAND, len(iu))

    def command(self, tag, cdb, lun=0):
        self.send(struct.pack(">BBHBBBBHIH", 1, 0, tag, 0, 0, 0, 0, lun, 0, 0) + bytes(cdb).ljust(16, b"\0"))

    def status(self):
        """Kind, tag, rest."""
        self.put(STATUS, STATUS_AT, 96)
        n = self.wait(STATUS, 96)
        d = self.q.read(STATUS_AT, n)
        return d[0], d[2] << 8 | d[3], d

    def result(self, tag):
        kind, got, d = self.status()
        assert (kind, got) == (SENSE, tag), (kind, got)
        return "%x/%02x%02x" % (d[18], d[28], d[29]) if d[6] == 2 else d[6]

    def read(self, tag, cdb, length, lun=0):
        self.command(tag, cdb, lun)
        assert self.status()[:2] == (READ_READY, tag)
        self.put(DATA_IN, IN_AT, length)
        n = self.wait(DATA_IN, length)
        assert self.result(tag) == 0
        return self.q.read(IN_AT, n)

    def write(self, tag, cdb, data):
        self.command(tag, cdb)
        assert self.status()[:2] == (WRITE_READY, tag)
        self.q.write(OUT_AT, data)
        self.put(DATA_OUT, OUT_AT, len(data))
        assert self.wait(DATA_OUT, len(data)) == len(data)
        return self.result(tag)

    def task(self, function, tag=99, managed=0, lun=0):
        self.send(struct.pack(">BBHBBHHIH", 5, 0, tag, function, 0, managed, lun, 0, 0))
        kind, got, d = self.status()
        assert (kind, got) == (RESPONSE, tag), (kind, got)
        return d[7]
