#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The NVMe controller as a driver sees it: registers, administration, data, what is refused, resets, hot-plug."""
import os
import struct
import tempfile

from nvme import ASQ, BAR, Controller, DATA, DEPTH, LIST, SQ
from qtest import Failed, QTest, Tap
from virtio import until

SIZE = 8 << 20


def with_disk(function, props="", drive=""):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-nvme-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "16", "-drive", f"file={f.name},format=raw,if=none,id=d{drive}", "-device",
                        f"nvme,addr=5,drive=d,serial=number-1,id=disk{props}"]) as q:
                function(q, f)
    return run


def says_what_it_is(q, f):
    c = Controller(q)
    assert c.f.read(0) == 0x00101B36 and c.f.read(8) >> 8 == 0x010802
    assert q.readl(BAR + 8) == 0x00010400 and q.readq(BAR) & 0xFFFF == 2047
    assert c.admin.command(6, prp1=DATA, dwords=[1]) == (0, 0)
    assert q.read(DATA + 4, 20) == b"number-1".ljust(20) and q.readb(DATA + 512) == 0x66
    assert q.readl(DATA + 516) == 1
    assert c.admin.command(6, 1, DATA, dwords=[0])[0] == 0 and q.readq(DATA) == SIZE // 512
    assert q.readb(DATA + 130) == 9
    assert c.admin.command(6, 0, DATA, dwords=[2])[0] == 0 and q.readq(DATA) == 1
    assert c.admin.command(6, 2, DATA, dwords=[0])[0] == 0x400B
    assert c.admin.command(9, dwords=[7, 0xFFFE | 0xFFFE << 16]) == (0, 63 << 16 | 63)
    assert c.admin.command(10, dwords=[6]) == (0, 1)
    assert c.admin.command(9, dwords=[6, 0])[0] == 0 and c.admin.command(10, dwords=[6]) == (0, 0)
    assert c.admin.command(2, 0xFFFFFFFF, DATA, dwords=[127 << 16 | 2])[0] == 0 and q.readb(DATA + 3) == 100
    assert c.admin.command(2, 0, DATA, dwords=[127 << 16 | 0x77])[0] == 0x4109


def moves_data(q, f):
    c = Controller(q)
    for size, place in ((512, 0), (4096, 0), (8192, 0), (4096, 512), (65536, 0), (65536, 1024)):
        data = os.urandom(size)
        pages = [DATA + 0x10000 + 8192 * n for n in range(20)]  # none beside another
        at, left, n = place, data, 0
        while left:
            q.write(pages[n] + at, left[:4096 - at])
            left, at, n = left[4096 - at:], 0, n + 1
        prp2 = pages[1] if n == 2 else LIST if n > 2 else 0
        if n > 2:
            q.write(LIST, struct.pack("<%dQ" % (n - 1), *pages[1:n]))
        assert c.rw(1, 100, size // 512, pages[0] + place, prp2) == 0, (size, place)
        assert os.pread(f.fileno(), size, 100 * 512) == data, (size, place)
        for page in pages[:n]:
            q.memset(page, 4096, 0)
        assert c.rw(2, 100, size // 512, pages[0] + place, prp2) == 0
        got = b"".join(q.read(page, 4096) for page in pages[:n])[place:place + size]
        assert got == data, (size, place)
    assert c.io.command(0, 1)[0] == 0


def many_rounds_and_full_queues(q, f):
    c = Controller(q)
    for n in range(3 * DEPTH):
        assert c.rw(2, n, 1) == 0
    for n in range(DEPTH - 1):
        c.io.put(2, 1, DATA, 0, [n, 0, 0], ring=n == DEPTH - 2)
    for n in range(DEPTH - 1):
        assert c.io.get()[0] == 0
    assert c.rw(2, 0, 1) == 0


def bad_commands_get_status(q, f):
    c = Controller(q)
    end = SIZE // 512
    assert c.rw(2, end, 1) == 0x4080 and c.rw(1, end - 1, 2) == 0x4080 and c.rw(2, 2 ** 63, 1) == 0x4080
    assert c.rw(2, 0, 1, DATA + 1) == 0x4013 and c.rw(2, 0, 16, DATA, DATA + 512) == 0x4013
    assert c.rw(2, 0, 1, 0xF0000000000) == 4 and c.rw(2, 0, 2048) == 0x4002
    assert c.io.command(2, 2, DATA, 0, [0, 0, 0])[0] == 0x400B and c.io.command(0x7F, 1)[0] == 0x4001
    for opcode, dwords, status in ((5, [DEPTH << 16 | 1, 1], 0x4101), (5, [DEPTH << 16 | 99, 1], 0x4101),
                                   (5, [2, 1], 0x4102), (5, [DEPTH << 16 | 2, 0], 0x4002),
                                   (5, [DEPTH << 16 | 2, 999 << 16 | 1], 0x4108),
                                   (1, [DEPTH << 16 | 2, 5 << 16 | 1], 0x4100), (4, [1], 0x410C), (0, [9], 0x4101),
                                   (0x77, [], 0x4001), (10, [0x77], 0x4002)):
        assert c.admin.command(opcode, prp1=SQ, dwords=dwords)[0] == status, (opcode, dwords)
    assert c.rw(2, 0, 1) == 0


def zeroes_and_deallocation(q, f):
    c = Controller(q)
    q.memset(DATA, 4096, 0xAA)
    for lba in (0, 8, 16):
        assert c.rw(1, lba, 8) == 0
    assert c.rw(8, 8, 8) == 0
    assert os.pread(f.fileno(), 12288, 0) == b"\xAA" * 4096 + bytes(4096) + b"\xAA" * 4096
    q.write(LIST, struct.pack("<IIQIIQ", 0, 8, 0, 0, 8, 16))
    assert c.io.command(9, 1, LIST, 0, [1, 4])[0] == 0
    assert os.pread(f.fileno(), 12288, 0) == bytes(12288)
    q.write(LIST, struct.pack("<IIQ", 0, 8, SIZE // 512))
    assert c.io.command(9, 1, LIST, 0, [0, 4])[0] == 0x4080


def impossible_set_up_is_fatal(q, f):
    c = Controller(q)
    q.writel(BAR + 0x14, 0)
    q.writeq(BAR + 0x28, ASQ + 8)
    q.writel(BAR + 0x14, 1)
    assert q.readl(BAR + 0x1C) == 2
    c = Controller(q)
    assert c.rw(2, 0, 1) == 0
    c.io.sq = 0  # its queue is made anew where no memory is
    assert c.admin.command(0, dwords=[1])[0] == 0
    assert c.admin.command(1, prp1=0xF0000000000, dwords=[(DEPTH - 1) << 16 | 1, 1 << 16 | 1])[0] == 0
    q.writel(BAR + 0x1008, 1)
    until(lambda: q.readl(BAR + 0x1C) & 2)
    assert Controller(q).rw(2, 0, 1) == 0


def is_unplugged_with_commands_in_flight(q, f):
    c = Controller(q)
    for n in range(DEPTH - 1):
        c.io.put(2, 1, DATA, 0, [n, 0, 0], ring=n == DEPTH - 2)
    q.qmp("device_del", {"id": "disk"})
    until(lambda: c.f.read(0) == 0xFFFFFFFF)
    q.qmp("device_add", {"driver": "nvme", "id": "disk", "drive": "d", "serial": "again", "addr": "5"})
    assert Controller(q).rw(2, 0, 1) == 0


def bad_properties_are_refused_in_words():
    with tempfile.NamedTemporaryFile(prefix="backplane-nvme-") as f:
        f.truncate(SIZE)
        drive = ["-M", "pc", "-drive", f"file={f.name},format=raw,if=none,id=d", "-device"]
        for prop, words in (("drive=d", "serial= is missing"), ("serial=x", "drive"),
                            ("drive=d,serial=x,max_ioqpairs=65", "1 to 64"), ("drive=d,serial=x,mdts=10", "0 to 9")):
            try:
                QTest([*drive, "nvme," + prop]).close()
            except Failed as error:
                assert words in str(error), error
            else:
                raise AssertionError(prop + " is taken")


tap = Tap()
tap.case("it says what it is", with_disk(says_what_it_is))
tap.case("data go to and fro", with_disk(moves_data))
tap.case("queues go round, and are filled", with_disk(many_rounds_and_full_queues))
tap.case("bad commands get their status", with_disk(bad_commands_get_status))
tap.case("blocks are zeroed and deallocated", with_disk(zeroes_and_deallocation, drive=",discard=unmap"))
tap.case("an impossible set-up is fatal until the next reset", with_disk(impossible_set_up_is_fatal))
tap.case("it is unplugged with commands in flight", with_disk(is_unplugged_with_commands_in_flight))
tap.case("bad properties are refused in words", bad_properties_are_refused_in_words)
tap.done()
