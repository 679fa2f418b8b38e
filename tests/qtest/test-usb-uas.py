#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB attached SCSI as a driver sees it, on xHCI: several commands at once, task management, what makes no sense."""
import os
import struct
import tempfile

from qtest import QTest, Tap
from usb import BABBLE, STALL, SUCCESS
from usb_disks import (DATA_IN, DATA_OUT, IN_AT, OUT_AT, READ_READY, RESPONSE, SENSE, STATUS, STATUS_AT, UAS,
                       WRITE_READY, rw)

SIZE = 8 << 20


def case(function):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-uas-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,addr=5", "-device", "usb-uas,id=u", "-drive",
                        f"file={f.name},format=raw,if=none,id=d", "-device",
                        "scsi-hd,bus=u.0,scsi-id=0,lun=0,drive=d"]) as q:
                function(UAS(q), f)
    return run


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
