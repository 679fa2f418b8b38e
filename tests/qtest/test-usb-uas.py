#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB attached SCSI as a driver sees it, on xHCI: several commands at once, task management, what makes no sense."""
import os
import struct
import tempfile

from qtest import QTest, Tap
from usb import BABBLE, IOC, ISP, NORMAL, SHORT, STALL, SUCCESS, XHCI

SIZE = 8 << 20
STATUS_AT, IN_AT, OUT_AT = 0x500000, 0x600000, 0x700000
SENSE, RESPONSE, READ_READY, WRITE_READY = 3, 4, 6, 7
COMMAND, STATUS, DATA_IN, DATA_OUT = 2, 5, 7, 8  # device context indices


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


def case(function):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-uas-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,addr=5", "-device", "usb-uas,id=u", "-drive",
                        f"file={f.name},format=raw,if=none,id=d", "-device",
                        "scsi-hd,bus=u.0,scsi-id=0,lun=0,drive=d"]) as q:
                function(UAS(q), f)
    return run


def rw(opcode, lba, blocks):
    return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)


def says_what_it_is(u, f):
    code, d = u.x.control(u.slot, 0x80, 6, 0x200, 0, 255)
    assert code == SUCCESS and d[14:17] == bytes([8, 6, 0x62])
    pipes = [d[at + 2] for at in range(9 + 9, len(d), 11) if d[at] == 7]
    assert pipes == [1, 0x82, 0x83, 4] and [d[at + 9] for at in range(18, len(d), 11)] == [1, 2, 3, 4]
    d = u.read(1, [0x12, 0, 0, 0, 36, 0], 36)
    assert d[0] == 0 and d[8:12] == b"QEMU"
    u.command(2, [0] * 6)
    assert u.result(2) == "6/2900"
    assert u.read(3, [0x25] + [0] * 9, 8) == struct.pack(">II", SIZE // 512 - 1, 512)
    assert len(u.read(4, [0x12, 1, 0x80, 0, 200, 0], 200)) < 200


def moves_data(u, f):
    u.command(1, [0] * 6)
    u.result(1)
    for blocks in (1, 8, 100):
        data = os.urandom(512 * blocks)
        assert u.write(7, rw(0x2A, 50, blocks), data) == 0
        assert os.pread(f.fileno(), len(data), 50 * 512) == data
        assert u.read(8, rw(0x28, 50, blocks), len(data)) == data


def several_at_once(u, f):
    u.command(1, [0] * 6)
    u.result(1)
    for tag in range(10, 18):
        os.pwrite(f.fileno(), bytes([tag]) * 512, tag * 512)
        u.command(tag, rw(0x28, tag, 1))
    left = set(range(10, 18))
    while left:
        kind, tag, d = u.status()
        if kind == READ_READY:
            u.put(DATA_IN, IN_AT, 512)
            assert u.wait(DATA_IN, 512) == 512 and u.q.read(IN_AT, 512) == bytes([tag]) * 512
        else:
            assert kind == SENSE and d[6] == 0
            left.remove(tag)
    for tag in range(40):  # more than it keeps
        u.command(100 + tag, rw(0x2A, 0, 1))
        if tag == 31:
            u.put(STATUS, STATUS_AT, 96)
            u.wait(STATUS, 96)
            assert u.q.readb(STATUS_AT) == WRITE_READY
            break
    u.command(200, [0] * 6)
    kind, tag, d = u.status()
    assert (kind, tag, d[7]) == (RESPONSE, 200, 2)
    assert u.task(2) == 0
    u.command(201, [0] * 6)
    assert u.result(201) == 0


def nonsense_is_answered(u, f):
    u.command(1, [0] * 6)
    u.result(1)
    for iu in (b"\1\0\0\5", b"\x77".ljust(32, b"\0"), struct.pack(">BBHBBBB", 1, 0, 5, 0, 0, 4, 0).ljust(32, b"\0")):
        u.send(iu)
        kind, tag, d = u.status()
        assert kind == RESPONSE and d[7] == 2, d
    u.command(5, rw(0x28, SIZE // 512, 1))
    assert u.result(5) == "5/2100"
    u.command(6, struct.pack(">BBIIBB", 0xA8, 0, 0, 0x7FFFFFFF, 0, 0))  # more than any buffer
    assert u.result(6) == 0x28
    u.command(7, rw(0x2A, 0, 2))
    u.command(7, [0] * 6)  # a tag that is in use: both end
    kind, tag, d = u.status()
    assert (kind, tag, d[7]) == (RESPONSE, 7, 10)
    u.command(8, rw(0x2A, 0, 1))
    assert u.task(0x80, 50, 8) == 8 and u.task(1, 51, 8) == 0 and u.task(0x80, 52, 8) == 0
    assert u.task(0x55) == 4 and u.task(8, lun=3) == 9 and u.task(8) == 0 and u.task(0x10) == 0
    u.command(9, [0] * 6)
    assert u.result(9) == "6/2900"
    u.command(10, [0] * 6, 3)
    assert u.result(10) == "5/2500"
    u.command(11, rw(0x2A, 0, 1))
    assert u.status()[0] == WRITE_READY
    u.put(DATA_OUT, OUT_AT, 1024)  # more than the command has
    assert u.x.wait(32)[2] == STALL
    u.x.recover(u.slot, DATA_OUT)
    assert u.x.control(u.slot, 2, 1, 0, 4)[0] == SUCCESS and u.task(1, 60, 11) == 0
    u.command(12, [0] * 6)
    u.put(STATUS, STATUS_AT, 8)
    assert u.x.wait(32)[2] == BABBLE


tap = Tap()
tap.case("it says what it is", case(says_what_it_is))
tap.case("data go to and fro", case(moves_data))
tap.case("several commands are under way at once", case(several_at_once))
tap.case("nonsense is answered", case(nonsense_is_answered))
tap.done()
