#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""LSI 53C895A and 53C810, Am53C974: SCRIPTS programs and commands as drivers give them, long transfers, reselection,
what goes wrong, programs that make no sense, random accesses."""
import os
import random
import struct
import tempfile

from parallel_scsi import (ABRT, BF, CALL, CDB, CLEAR_ACK, COMMAND, DATA, DATA_IN, DATA_OUT, FLY, IID, INT, IO, JUMP, MA,
                           MESSAGE, MESSAGE_OUT, MMIO, MOVE, RAM, RETURN, RST, SCRIPT, SELECT, SET_ATN, SIR,
                           SSI, STATUS, STO, TABLE, UDC, WAIT_DISCONNECT, WAIT_RESELECT, WHEN, Lsi, PcScsi, step, wait)
from qtest import Failed, QTest, Tap

SIZE = 16 << 20
LONG = (3 << 20) + 512


def machine(adapter, kind, function, *more):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-parallel-scsi-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "32", "-device", adapter + ",addr=5,id=s", "-drive",
                        f"file={f.name},format=raw,if=none,id=d", "-device", "scsi-hd,drive=d,scsi-id=0", *more]) as q:
                function(kind(q), f)
    return run


def lsi(function, *more):
    return machine("lsi53c895a", Lsi, function, *more)


def pcscsi(function, *more):
    return machine("am53c974", PcScsi, function, *more)


def null(name, size=1 << 20, read_zeroes="on"):
    return ["-blockdev", f"driver=null-co,node-name={name},size={size},read-zeroes={read_zeroes}"]


def read10(lba, blocks):
    return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)


def write10(lba, blocks):
    return struct.pack(">BBIBHB", 0x2A, 0, lba, 0, blocks, 0)


INQUIRY, SENSE = [0x12, 0, 0, 0, 36, 0], [3, 0, 0, 0, 18, 0]


# ---- both ----
def says_what_it_is(h, f):
    assert h.command(0, INQUIRY, (DATA_IN, 36)) == 0
    assert h.q.read(DATA + 8, 24) == b"QEMU    QEMU HARDDISK   "
    h.settle(0)
    assert h.command(0, [0x25] + [0] * 9, (DATA_IN, 8)) == 0
    assert h.q.read(DATA, 8) == struct.pack(">II", SIZE // 512 - 1, 512)
    assert h.command(0, [0x1A, 8, 4, 0, 28, 0], (DATA_IN, 28)) == 0
    page = h.q.read(DATA + 4, 24)
    assert page[:2] == b"\4\x16" and int.from_bytes(page[2:5], "big") * page[5] > 0, page
    assert h.command(0, [0xA0] + [0] * 5 + [0, 0, 0, 16, 0, 0], (DATA_IN, 16)) == 0
    assert h.q.read(DATA, 16) == struct.pack(">IIQ", 8, 0, 0)


def moves_data(h, f):
    h.settle(0)
    data = os.urandom(LONG)
    h.q.write(DATA, data)
    assert h.command(0, write10(7, LONG // 512), (DATA_OUT, LONG)) == 0
    assert os.pread(f.fileno(), LONG, 7 * 512) == data
    h.q.memset(DATA, LONG, 0)
    assert h.command(0, read10(7, LONG // 512), (DATA_IN, LONG)) == 0
    assert h.q.read(DATA, LONG) == data
    assert h.command(0, [0x35] + [0] * 9) == 0


def sense_is_kept_for_who_asks(h, f):
    assert h.command(0, [0] * 6) == 2
    assert h.command(0, SENSE, (DATA_IN, 18)) == 0
    d = h.q.read(DATA, 18)
    assert d[0] == 0x70 and d[2] == 6 and d[12:14] == b"\x29\0", d
    assert h.command(0, read10(SIZE // 512, 1)) == 2
    assert h.command(0, INQUIRY, (DATA_IN, 36)) == 0
    assert h.command(0, SENSE, (DATA_IN, 18)) == 0
    d = h.q.read(DATA, 18)
    assert d[2] == 5 and d[12:14] == b"\x21\0", d
    assert h.command(0, SENSE, (DATA_IN, 18)) == 0 and h.q.read(DATA, 18)[2] == 0
    assert h.command(0, [0xA8] + [0] * 5 + [0, 2, 0, 0, 0, 0]) == 2  # more than a command may move
    assert h.command(0, SENSE, (DATA_IN, 18)) == 0 and h.q.read(DATA, 18)[2] == 5
    assert h.command(0, [0] * 6, lun=3) == 2  # nobody is there
    assert h.command(0, SENSE, (DATA_IN, 18), lun=3) == 0 and h.q.read(DATA, 18)[12] == 0x25
    assert h.command(0, [0] * 6) == 0


UNITS = [*null("a"), *null("b", 2 << 20), *null("c", 4 << 20), "-device", "scsi-hd,drive=a,scsi-id=0,lun=5", "-device",
         "scsi-hd,drive=b,scsi-id=6", "-device", "scsi-cd,drive=c,scsi-id=2,lun=1"]


def units_are_where_they_were_put(h, f):
    for target, lun, kind, capacity in ((0, 0, 0, SIZE // 512), (0, 5, 0, 2048), (6, 0, 0, 4096), (2, 1, 5, 2048)):
        assert h.command(target, INQUIRY, (DATA_IN, 36), lun=lun) == 0
        assert h.q.readb(DATA) == kind
        assert h.command(target, [0] * 6, lun=lun) == 2
        assert h.command(target, [0x25] + [0] * 9, (DATA_IN, 8), lun=lun) == 0
        assert h.q.read(DATA, 4) == struct.pack(">I", capacity - 1), (target, lun)


def units_come_and_go(h, f):
    h.q.qmp("device_add", {"driver": "scsi-hd", "drive": "e", "id": "late", "scsi-id": 3, "bus": "s.0"})
    h.settle(3)
    h.q.qmp("device_del", {"id": "late"})
    wait(h.q, lambda: "late" not in str(h.q.qmp("qom-list", {"path": "/machine/peripheral"})), "it stays")
    gone(h, 3)
    for prop, words in (("scsi-id=7", "own on this bus"), ("lun=8", "up to 7")):
        try:
            h.q.qmp("device_add", dict({"driver": "scsi-hd", "drive": "e", "bus": "s.0"},
                                       **{prop.split("=")[0]: int(prop.split("=")[1])}))
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(prop + " is taken")
    h.q.qmp("device_del", {"id": "s"})
    wait(h.q, lambda: h.f.read(0) == 0xFFFFFFFF, "it stays")


def gone(h, target):
    if isinstance(h, Lsi):
        assert h.run(SELECT(target), 0, MOVE(6, 1), MESSAGE) == (0, STO)
    else:
        assert h.select(target, [0] * 6)[1] == 0x20


def after_reset_all_works(h, f):
    h.settle(0)
    h.q.qmp("system_reset")
    type(h)(h.q).settle(0)


# ---- 53C895A ----
def registers_have_their_values(h, f):
    assert h.f.read(0) == 0x00121000 and h.f.read(8) >> 16 == 0x0100
    for bar, size in ((0x10, 0x100), (0x14, 0x400), (0x18, 0x2000)):
        h.f.write(bar, 0xFFFFFFFF)
        assert (1 << 32) - (h.f.read(bar) & ~15) == size
    h = Lsi(h.q)
    assert h.r(0x00) == 0xC0 and h.r(0x0C) == 0x80 and h.r(0x0F) == 2 and h.r(0x46) == 0xD0 and h.r(0x52) & 0x20
    h.w32(0x34, 0x12345678)
    assert h.r32(0x34) == h.q.inl(IO + 0x34) == h.q.readl(MMIO + 0x134) == 0x12345678
    h.w32(0x0C, 0xFFFFFFFF)
    assert h.r32(0x0C) & 0xE2F0FFFD == 0x02000080
    h.q.write(RAM, bytes(range(256)) * 32)
    assert h.q.read(RAM, 8192) == bytes(range(256)) * 32
    h.w(0x14, 0x40)
    assert h.r32(0x34) == 0


def the_53c810_is_a_smaller_one():
    with QTest(["-M", "pc", "-device", "lsi53c810,addr=5", *null("a"), "-device", "scsi-hd,drive=a,scsi-id=1"]) as q:
        h = Lsi(q)
        assert h.f.read(0) == 0x00011000 and h.f.read(0x18) == 0
        h.settle(1)
        assert h.run(SELECT(9), 0, MOVE(6, 1), MESSAGE) == (0, STO)


def nobody_answers(h, f):
    assert h.run(SELECT(4), 0, 0x7834AB00, 0, JUMP(WHEN(MESSAGE_OUT)), 0, INT, 1) == (0, STO)
    assert h.r32(0x2C) == SCRIPT + 24 and h.r(0x34) == 0xAB  # it went on until it needed the target
    assert h.run(SELECT(4, atn=False), 0, MOVE(2, 6), CDB) == (0, STO)
    h.settle(0)


def selections_without_attention(h, f):
    """Straight to the command, unit 0; or, as firmware does it, with a message all the same, and a long command."""
    h.settle(0)
    h.q.write(CDB, bytes(INQUIRY) + bytes(10))
    h.q.write(MESSAGE, b"\x80")
    rest = (MOVE(1, 36), DATA, MOVE(3, 1), STATUS, MOVE(7, 1), STATUS + 1, INT, 1)
    for words in ((MOVE(2, 6), CDB), (MOVE(6, 1), MESSAGE, MOVE(2, 16), CDB), (MOVE(2, 6), CDB)):
        h.q.memset(DATA, 36, 0)
        assert h.run(SELECT(0, atn=False), 0, *words, *rest) == (SIR, 0), words
        assert h.q.read(DATA + 8, 4) == b"QEMU"
    assert h.run(SELECT(0), 0, JUMP(WHEN(COMMAND)), SCRIPT + 24, INT, 1, INT, 2) == (SIR, 0) and h.r32(0x30) == 1


def targets_that_work_keep_the_bus(h, f):
    """IDENTIFY does not let them disconnect: whoever waits for a phase waits."""
    h.settle(0)
    h.q.write(MESSAGE, b"\x80")
    h.q.write(CDB, read10(0, 8))
    for phase, wanted in ((DATA_IN, 1), (MESSAGE_OUT, 2)):
        assert h.run(SELECT(0), 0, MOVE(6, 1), MESSAGE, MOVE(2, 10), CDB, JUMP(WHEN(phase)), SCRIPT + 40, INT, 2, INT,
                     1) == (SIR, 0)
        assert h.r32(0x30) == wanted and h.r(0x0B) == 0xA1 and h.r(0x0E) & 7 == DATA_IN


def tables_say_where(h, f):
    h.settle(0)
    h.w32(0x10, TABLE)
    h.q.write(TABLE, struct.pack("<IIIIIIII", 0x33000500, 1, MESSAGE, 10, CDB, 512, DATA, 0))
    h.q.write(TABLE - 8, struct.pack("<II", 1, STATUS))
    h.q.write(MESSAGE, b"\x80")
    h.q.write(CDB, read10(1, 1))
    os.pwrite(f.fileno(), b"z" * 512, 512)
    assert h.run(SELECT(0, table=True), 0, MOVE(6, 0, True), 4, MOVE(2, 0, True), 12, MOVE(1, 0, True), 20,
                 MOVE(3, 0, True), 0xFFFFF8, MOVE(7, 1), STATUS + 1, 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0,
                 INT, 5) == (SIR, 0)
    assert h.r(3) == 0x33 and h.r(5) == 5 and h.r32(0x30) == 5
    assert h.q.read(DATA, 512) == b"z" * 512 and h.q.readb(STATUS) == 0
    # Indirect: the address stands at the address.
    h.q.write(TABLE + 64, struct.pack("<I", STATUS + 64))
    h.q.write(CDB, bytes(6))
    assert h.run(SELECT(0), 0, MOVE(6, 1), MESSAGE, MOVE(2, 6), CDB, MOVE(3, 1) | 0x20000000, TABLE + 64,
                 MOVE(7, 1), STATUS + 1, 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 5) == (SIR, 0)
    assert h.q.readb(STATUS + 64) == 0 and h.r(8) == 0


def addresses_above_4_gib():
    """By the upper byte of a table's entry, by a selector, and by a third word."""
    with QTest(["-M", "q35", "-m", "5G", "-device", "lsi53c895a,addr=5", *null("a"), "-device",
                "scsi-hd,drive=a,scsi-id=0"]) as q:
        h = Lsi(q)
        high = 0x1_2000_0000
        q.write(MESSAGE, b"\x80")
        q.write(CDB, bytes(INQUIRY))
        for way, control in enumerate((6, 2, 1)):
            h.w(0x57, control)
            h.w32(0x60 + 4 * 3, 1)  # SCRATCHF: index 3
            h.w32(0x10, TABLE)
            q.write(high, bytes(36))
            q.write(TABLE, struct.pack("<II", 36 | (1 << 24 if way == 0 else 3 << 24), high & 0xFFFFFFFF))
            data = (MOVE(1, 36), high & 0xFFFFFFFF, 1) if way == 2 else (MOVE(1, 0, True), 0)
            more = (0,) if way == 2 else ()
            assert h.run(SELECT(0), 0, MOVE(6, 1), MESSAGE, *more, MOVE(2, 6), CDB, *more, *data, MOVE(3, 1), STATUS,
                         *more, MOVE(7, 1), STATUS + 1, *more, 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0,
                         INT, 5) == (SIR, 0)
            assert q.read(high + 8, 4) == b"QEMU", way
        # Selectors beyond the scratch registers, a table up there, a program up there.
        for selector, reg in ((16, 0xA0), (21, 0xB4)):
            h = Lsi(q)
            h.w(0x57, 2)
            h.w32(reg, 1)
            h.w32(0xAC, 1)
            h.w32(0x10, 0x2100_0000)
            q.write(high, bytes(36))
            q.write(0x1_2100_0000, struct.pack("<II", selector << 24 | 36, high & 0xFFFFFFFF))
            assert h.run(SELECT(0), 0, MOVE(6, 1), MESSAGE, MOVE(2, 6), CDB, MOVE(1, 0, True), 0, MOVE(3, 1), STATUS,
                         MOVE(7, 1), STATUS + 1, 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 5) == (SIR, 0)
            assert q.read(high + 8, 4) == b"QEMU", selector
        h.w32(0xA8, 1)
        q.write(0x1_2200_0000, struct.pack("<II", INT, 0x99))
        h.w32(0x2C, 0x2200_0000)
        assert h.end() == (SIR, 0) and h.r32(0x30) == 0x99


def phases_that_do_not_match(h, f):
    h.settle(0)
    h.q.write(MESSAGE, b"\x80")
    h.q.write(CDB, bytes(INQUIRY))
    begin = (SELECT(0), 0, MOVE(6, 1), MESSAGE, MOVE(2, 6), CDB, MOVE(1, 100), DATA)
    assert h.run(*begin) == (0, MA)
    assert h.r32(0x24) & 0xFFFFFF == 64 and h.r32(0x28) == DATA + 36 and h.r32(0x2C) == SCRIPT + 32
    assert h.r(0x0E) & 7 == 3 and h.r(0x14) & 8 and h.r(0x20) == 64
    # With jumps: the same, and where it goes on is what the direction says.
    for control, jump in ((0x80, 0xC0), (0xC0, 0xC4)):
        h = Lsi(h.q)
        h.w(1, 8)
        assert h.end()[1] == RST
        h.w(1, 0)
        h.settle(0)
        h.q.write(CDB, bytes(INQUIRY))
        h.q.write(MESSAGE, b"\x80")
        h.w(0x56, control)
        h.w32(0xC0, SCRIPT + 0x800)
        h.w32(0xC4, SCRIPT + 0x800)
        h.w32(jump, SCRIPT + 0x400)
        h.q.write(SCRIPT + 0x400, struct.pack("<II", INT, 0x77))
        h.q.write(SCRIPT + 0x800, struct.pack("<II", INT, 0x88))
        h.w32(0x10, TABLE)
        h.q.write(TABLE + 16, struct.pack("<II", 100, DATA))
        assert h.run(*begin[:6], MOVE(1, 0, True), 16) == (SIR, 0)
        assert h.r32(0x30) == 0x77
        assert h.r32(0xC8) == 64 and h.r32(0xCC) == DATA + 36 and h.r32(0xD0) == TABLE + 16
        assert h.r32(0xD4) == SCRIPT + 24 and h.r32(0xD8) & 0xFFFFFF == 36
    # Other phases interrupt all the same, unless ENNDJ says otherwise.
    assert h.run(MOVE(2, 1), DATA) == (0, MA)
    h.w(0x56, 0xE0)
    h.w32(0xC0, SCRIPT + 0x400)
    assert h.run(MOVE(2, 1), DATA) == (SIR, 0) and h.r32(0x30) == 0x77


def tagged_commands_reselect(h, f):
    """Four at a time, which the disk holds until each has been given."""
    h.settle(0)
    rand = random.Random(3)
    blocks = [rand.randrange(0, 30000) for _ in range(4)]
    for n, lba in enumerate(blocks):
        os.pwrite(f.fileno(), bytes([0x41 + n]) * 4096, lba * 512)
        h.q.write(MESSAGE, bytes([0xC0, 0x20, 0x50 + n]))
        h.q.write(CDB, read10(lba, 8))
        assert h.run(SELECT(0), 0, MOVE(6, 3), MESSAGE, MOVE(2, 10), CDB, MOVE(7, 1), STATUS, 0x7C027F00, 0,
                     CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 1) == (SIR, 0)
        assert h.q.readb(STATUS) == 4
    seen = set()
    for _ in blocks:
        assert h.run(WAIT_RESELECT, SCRIPT, MOVE(7, 1), STATUS, CLEAR_ACK, 0, MOVE(7, 2), STATUS + 1, CLEAR_ACK, 0,
                     MOVE(1, 4096), DATA, MOVE(3, 1), STATUS + 3, MOVE(7, 1), STATUS + 4, 0x7C027F00, 0, CLEAR_ACK, 0,
                     WAIT_DISCONNECT, 0, INT, 2) == (SIR, 0)
        identify, simple, tag, status, message = h.q.read(STATUS, 5)
        assert (identify, simple, status, message) == (0x80, 0x20, 0, 0) and h.r(0x0A) == 0x80
        assert h.q.read(DATA, 4096) == bytes([0x41 + tag - 0x50]) * 4096
        seen.add(tag)
    assert seen == {0x50, 0x51, 0x52, 0x53}
    # Nobody is left; the processor is woken by SIGP and goes where the instruction says.
    h.begin(WAIT_RESELECT, SCRIPT + 16, INT, 3, INT, 4)
    for _ in range(3):
        step(h.q)
    assert h.ended() is None and h.r(0x15) & 2
    h.w(0x14, 0x20)
    assert h.end() == (SIR, 0) and h.r32(0x30) == 4
    assert h.r(0x14) & 0x20 and h.r(0x1A) & 0x40 and not h.r(0x14) & 0x20


HELD = ["-blockdev", "driver=null-co,node-name=slow,size=1048576,read-zeroes=on,latency-ns=400000000000", "-device",
        "scsi-hd,drive=slow,scsi-id=1"]


def held_commands(h, count=3, first=0, cdb=read10(0, 1)):
    for n in range(first, first + count):
        h.q.write(MESSAGE, bytes([0xC0, 0x20, n]))
        h.q.write(CDB, cdb)
        assert h.run(SELECT(1), 0, MOVE(6, 3), MESSAGE, MOVE(2, 10), CDB, MOVE(7, 1), STATUS, 0x7C027F00, 0,
                     CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 1) == (SIR, 0)


def message(h, target, data, more=()):
    h.q.write(MESSAGE, bytes(data))
    return h.run(SELECT(target), 0, 0x7C027F00, 0, MOVE(6, len(data)), MESSAGE, *(more or (WAIT_DISCONNECT, 0, INT, 9)))


def commands_are_aborted(h, f):
    h.settle(1)
    held_commands(h)
    assert message(h, 1, [0xC0, 0x20, 1, 0x0D]) == (SIR, 0)  # ABORT TAG
    held_commands(h, 1, 1)  # it may be used again
    assert message(h, 1, [0x80, 6]) == (SIR, 0)  # ABORT
    held_commands(h)
    assert message(h, 1, [0x80, 0x0C]) == (SIR, 0)  # BUS DEVICE RESET
    assert h.command(1, [0] * 6) == 2
    held_commands(h)
    assert h.command(1, [0] * 6) == 0
    # Who does not say that he expects it is told.
    h.q.write(MESSAGE, b"\x80\x06")
    assert h.run(SELECT(1), 0, MOVE(6, 2), MESSAGE, WAIT_DISCONNECT, 0, INT, 9)[1] == UDC
    held_commands(h)
    h.w(1, 8)
    assert h.end() == (0, RST) and h.r(0x0D) & 2
    h.w(1, 0)
    h.settle(1)
    held_commands(h)


def one_tag_is_one_command(h, f):
    h.settle(1)
    held_commands(h, 1)
    assert h.command(1, read10(0, 1), message=b"\x20\0") == 8  # BUSY


def what_is_held_is_bounded(h, f):
    """Commands of 32 MiB each, on a disk that does not answer."""
    h.settle(1)
    long = struct.pack(">BBIBHB", 0x28, 0, 0, 0, 65535, 0)
    for n in range(2):
        held_commands(h, 1, n, long)
    h.q.write(MESSAGE, bytes([0xC0, 0x20, 2]))
    h.q.write(CDB, long)
    assert h.run(SELECT(1), 0, MOVE(6, 3), MESSAGE, MOVE(2, 10), CDB, MOVE(3, 1), STATUS, MOVE(7, 1), STATUS + 1,
                 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 2) == (SIR, 0)
    assert h.q.readb(STATUS) == 0x28  # TASK SET FULL


BIG = ["-blockdev", "driver=null-co,node-name=slow,size=1073741824,read-zeroes=on,latency-ns=400000000000", "-device",
       "scsi-hd,drive=slow,scsi-id=1"]


def messages_are_answered(h, f):
    h.settle(0)
    # What it was asked for is agreed to; what it does not know it rejects; a rejected DISCONNECT does not happen.
    h.q.write(CDB, bytes(6))
    for out, back in (([0x80, 1, 3, 1, 25, 8], [1, 3, 1, 25, 8]), ([0x80, 1, 2, 3, 1], [1, 2, 3, 1]),
                      ([0x80, 1, 6, 4, 9, 0, 31, 1, 2], [7]), ([0x80, 0x13], [7])):
        h.q.write(MESSAGE, bytes(out))
        assert h.run(SELECT(0), 0, MOVE(6, len(out)), MESSAGE, MOVE(7, len(back)), STATUS + 8, CLEAR_ACK, 0,
                     MOVE(2, 6), CDB, MOVE(3, 1), STATUS, MOVE(7, 1), STATUS + 1, 0x7C027F00, 0, CLEAR_ACK, 0,
                     WAIT_DISCONNECT, 0, INT, 1) == (SIR, 0), out
        assert h.q.read(STATUS + 8, len(back)) == bytes(back) and h.q.readb(STATUS) == 0
    h.q.write(MESSAGE, bytes([0xC0, 7]))
    h.q.write(CDB, read10(0, 1))
    assert h.run(SELECT(0), 0, MOVE(6, 1), MESSAGE, MOVE(2, 10), CDB, MOVE(7, 1), STATUS, SET_ATN, 0, CLEAR_ACK, 0,
                 MOVE(6, 1), MESSAGE + 1, MOVE(1, 512), DATA, MOVE(3, 1), STATUS + 1, MOVE(7, 1), STATUS + 2,
                 0x7C027F00, 0, CLEAR_ACK, 0, WAIT_DISCONNECT, 0, INT, 1) == (SIR, 0)
    assert h.q.read(STATUS, 3) == b"\4\0\0"


def registers_are_computed_with(h, f):
    def one(word, scratch, carry=False, sfbr=0):
        h.w(0x34, scratch)
        h.w(0x08, sfbr)
        assert h.run(0x58000400 if carry else 0x60000400, 0, word, 0, 0x80080000 | 0x00200000, SCRIPT + 32, INT, 0, INT,
                     1) == (SIR, 0)
        return h.r(0x34), h.r(0x08), h.r32(0x30)

    assert one(0x7834FF00, 1) == (0xFF, 0, 0)             # load
    assert one(0x79340000, 0x81) == (2, 0, 1)             # shift left, through carry
    assert one(0x79340000, 1, carry=True) == (3, 0, 0)
    assert one(0x7D340000, 0x81, carry=True) == (0xC0, 0, 1)
    assert one(0x7A341000, 1) == (0x11, 0, 0) and one(0x7B34FF00, 0x0F) == (0xF0, 0, 0)
    assert one(0x7C340F00, 0x55) == (5, 0, 0)
    assert one(0x7E340100, 0xFF) == (0, 0, 1) and one(0x7E340100, 1, carry=True) == (2, 0, 0)
    assert one(0x7F340100, 1, carry=True) == (3, 0, 0)
    assert one(0x72340000, 7) == (7, 7, 0)                # to SFBR
    assert one(0x6A340100, 0, sfbr=8) == (9, 8, 0)        # from SFBR
    assert one(0x7EB40000, 4, sfbr=3) == (7, 3, 0)        # with SFBR
    # Jumps: by data with a mask, by carry, to and fro, calls.
    for data, mask, value, wanted in ((5, 0, 5, True), (5, 0, 4, False), (0xF5, 0xF0, 5, True)):
        h.w(8, data)
        assert h.run(0x800C0000 | mask << 8 | value, SCRIPT + 16, INT, 0, INT, 1) == (SIR, 0)
        assert h.r32(0x30) == wanted
    assert h.run(CALL, SCRIPT + 24, INT, 3, INT, 0, RETURN, 0) == (SIR, 0) and h.r32(0x30) == 3
    assert h.run(0x80880000, 8, INT, 0, 0x80880000, 0xFFFFF0, INT, 1, at=SCRIPT)[0] == SIR and h.r32(0x30) == 0
    assert h.run(0x80000000, 0, FLY, 0, INT, 2) == (SIR, 0) and h.r(0x14) & 4
    h.w(0x14, 4)
    assert not h.r(0x14) & 4


def memory_is_moved(h, f):
    data = os.urandom(100000)
    h.q.write(DATA, data)
    assert h.run(0xC0000000 | 100000, DATA, DATA + 0x80000, INT, 0) == (SIR, 0)
    assert h.q.read(DATA + 0x80000, 100000) == data
    long = os.urandom((2 << 20) + 77)
    h.q.write(DATA, long)
    assert h.run(0xC0000000 | len(long), DATA, DATA + 0x400001, INT, 0) == (SIR, 0)
    assert h.q.read(DATA + 0x400001, len(long)) == long
    # To and from registers, by their address, RAM of its own, and programs there.
    h.q.writel(DATA, 0xCAFE0123)
    assert h.run(0xC0000004, DATA, MMIO + 0x34, 0xC0000004, MMIO + 0x34, DATA + 8, INT, 0) == (SIR, 0)
    assert h.r32(0x34) == h.q.readl(DATA + 8) == 0xCAFE0123
    h.w32(0x10, DATA)
    assert h.run(0xF15C0003, 0, 0xF05C0002, 0xFFFFF0, 0xE1600001, DATA + 1, 0xE05C0004, DATA + 16, INT, 7,
                 at=RAM) == (SIR, 0)
    assert h.r32(0x5C) == 0x00FE0123 and h.q.readw(DATA - 16) == 0x0123 and h.r(0x60) == 1
    assert h.q.readl(DATA + 16) == 0x00FE0123 and h.r32(0x2C) == RAM + 40


def endless_programs_do_no_harm(h, f):
    for words in ((JUMP(), SCRIPT), (0xC0000000 | 0xFFFFFF, DATA, DATA, JUMP(), SCRIPT),
                  (0xC0000000 | 0xFFFFFF, MMIO + 0x1000, DATA, JUMP(), SCRIPT)):
        h.begin(*words)
        for _ in range(20):
            step(h.q)
            assert h.q.qmp("query-status")["status"] in ("running", "prelaunch")
        if not h.ended():
            assert h.r(0x15) & 2
            h.w(0x14, 0x80)
            assert h.end()[0] & ABRT
            h.w(0x14, 0)
    h.begin(JUMP(), SCRIPT)
    h.w(0x14, 0x40)
    h.w(0x14, 0)
    step(h.q)
    assert not h.r(0x15) & 2
    h.settle(0)


def programs_are_single_stepped(h, f):
    h.w(0x3B, 0x10)
    assert h.run(0x80000000, 0, 0x80000000, 0, INT, 1) == (SSI, 0) and h.r32(0x2C) == SCRIPT + 8
    h.w(0x3B, 0x14)
    assert h.end() == (SSI, 0) and h.r32(0x2C) == SCRIPT + 16
    h.w(0x3B, 0)
    h.w(0x38, 1)
    h.w32(0x2C, SCRIPT + 16)
    step(h.q)
    assert h.ended() is None
    h.w(0x3B, 4)
    assert h.end() == (SIR, 0)


def wrong_programs_are_told(h, f):
    for words in ((0xB8000000, 0), (0x80480000, 0, 0), (0xC0000000, DATA, DATA), (0xE1340000, DATA), (0xE1360003, DATA),
                  (0xE1340005, DATA), (0xC2000004, DATA, DATA)):
        assert h.run(*words) == (IID, 0), words
    h.w(0, 1)
    assert h.run(SELECT(0), 0) == (IID, 0) and h.run(MOVE(0, 1), DATA) == (IID, 0)
    h.w(0, 0)
    for words in ((0xE1340004, 0x70000000), (0xC0000004, DATA, 0x70000000), (MOVE(6, 1, True), 0)):
        h.w32(0x10, 0x70000000)
        assert h.run(*words)[0] == BF, words
    h.w32(0x2C, 0x70000000)
    assert h.end() == (BF, 0)
    h = Lsi(h.q, master=False)
    assert h.run(INT, 0) == (BF, 0)
    Lsi(h.q).settle(0)


def interrupts_are_as_asked_for(h, f):
    def status():  # of INTA
        return h.f.read(6, "w") & 8

    h.run(INT, 0)
    assert not status()
    h.w(0x39, 4)
    h.begin(INT, 0)
    wait(h.q, status, "no interrupt")
    h.w(0x3B, 2)
    assert not status()
    h.w(0x3B, 0)
    h.w(0x15, 1)
    assert not status()
    h.w(0x15, 0)
    assert status()
    h.r(0x0C)
    assert not status()
    h.w(0x41, 4)
    h.begin(SELECT(5), 0, MOVE(6, 1), MESSAGE)
    wait(h.q, status, "no interrupt")
    h.r(0x42)
    assert status() and h.r(0x43) == 4 and not status()
    h.begin(FLY, 0, WAIT_RESELECT, 0)
    wait(h.q, status, "no interrupt")
    h.w(0x14, 4)
    assert not status()
    h.w(0x41, 2)
    h.w(0x49, 3)
    wait(h.q, status, "no interrupt of the timer")
    assert h.r(0x43) == 2


def random_programs_do_no_harm(h, f):
    rand = random.Random(int(os.environ.get("BP_TEST_SEED", "1")))
    opcodes = (0x40000000, 0x41000000, 0x42000000, 0x48000000, 0x50000000, 0x58000048, 0x60000048, 0x78000000,
               0x70000000, 0x68000000, 0x80080000, 0x80830000, 0x88080000, 0x90080000, 0x98180000, 0xC0000000,
               0xE0000000, 0xF1000000)
    places = (DATA, SCRIPT, TABLE, MMIO, RAM, CDB, MESSAGE, 0x70000000, 0xFFFFFFF0)
    for turn in range(int(os.environ.get("BP_TEST_ROUNDS", "150"))):
        h.w(0x14, 0x40)
        h.w(0x14, 0)
        words = [SELECT(rand.randrange(2)), 0, MOVE(6, rand.randrange(1, 5)), MESSAGE,
                 MOVE(2, rand.choice((6, 10, 12))), CDB]
        if rand.randrange(3) == 0:
            words = []
        while len(words) < 60:
            kind = rand.randrange(8)
            if kind == 0:
                words += [rand.getrandbits(32), rand.getrandbits(32)]
            elif kind < 4:
                words += [rand.randrange(8) << 24 | rand.choice((0, 0x08000000, 0x10000000, 0x20000000)) | rand.choice(
                    (0, 1, 2, 3, 512, 0xFFFF)), rand.choice(places)]
            else:
                words += [rand.choice(opcodes) | rand.getrandbits(20) * rand.randrange(2), rand.choice(places)]
        h.q.write(MESSAGE, bytes(rand.choice((0x80, 0xC0, 0x20, 1, 3, 6, 7, 0x0C, 0x0D, rand.randrange(256)))
                                 for _ in range(16)))
        h.q.write(CDB, bytes([rand.choice((0, 3, 0x12, 0x1A, 0x28, 0x2A, 0x25, 0xA0, rand.randrange(256))), 0, 0, 0,
                              rand.randrange(256), rand.randrange(3), 0, 0, rand.randrange(20), 0, 0, 0]))
        h.q.write(TABLE, bytes(rand.getrandbits(8) for _ in range(64)))
        h.w32(0x10, rand.choice(places))
        h.begin(*words)
        for _ in range(4):
            h.w(rand.randrange(256) if rand.randrange(4) else 0x2F, rand.getrandbits(8))
            h.r(rand.randrange(256))
            step(h.q)
    h.q.qmp("system_reset")
    Lsi(h.q).settle(0)


# ---- Am53C974 ----
def ports_have_their_values(h, f):
    assert h.f.read(0) == 0x20201022 and h.f.read(8) >> 16 == 0x0100
    h.f.write(0x10, 0xFFFFFFFF)
    assert (1 << 32) - (h.f.read(0x10) & ~3) == 128
    h = PcScsi(h.q)
    assert h.r(14) == 0x12 and h.r(4) == 0x10 and h.r(7) == 0 and h.r(8) == 7
    for reg in (8, 11, 12, 13):
        h.w(reg, 0x55)
        assert h.r(reg) == 0x55
    h.w(11, 0x40)
    for reg, byte in ((0, 0x11), (1, 0x22), (14, 0x33)):
        h.w(reg, byte)
    h.w(3, 0x80)
    assert (h.r(0), h.r(1), h.r(14)) == (0x11, 0x22, 0x33) and not h.r(4) & 0x10
    for n in range(20):
        h.w(2, n)
    assert h.r(7) & 31 == 16 and h.r(2) == 0
    h.w(3, 1)
    assert h.r(7) & 31 == 0
    assert h.select(4, [0] * 6)[1] == 0x20
    h.w(3, 0x10)
    assert h.interrupt()[1] == 0x40  # no target is connected
    h.w(3, 0x33)
    assert h.interrupt()[1] == 0x40


def lists_of_pages_say_where(h, f):
    h.settle(0)
    h.w(11, 0x40)
    data = os.urandom(3 * 4096)
    os.pwrite(f.fileno(), data, 0)
    pages = [DATA + 0x5000, DATA + 0x1000, DATA + 0x9000, DATA + 0x3000]
    h.q.write(TABLE, struct.pack("<4I", *pages))
    assert h.select(0, read10(0, 24))[1] == 0x18
    h.dma(len(data), True, 0x300, TABLE)
    assert h.interrupt()[1] == 0x10
    assert h.r32(0x4C) == 0 and h.r32(0x54) & 8
    got = b"".join(h.q.read(page, 4096) for page in pages)
    assert got[0x300:0x300 + len(data)] == data
    assert h.complete() == 0


def bytes_go_through_the_fifo(h, f):
    h.settle(0)
    h.w(4, 0)
    h.w(2, 0x80)
    h.w(3, 0x43)  # select and stop
    status, what = h.interrupt()
    assert what == 0x18 and status & 7 == 6
    for byte in [1, 3, 1, 25, 8]:
        h.w(2, byte)
    h.w(3, 0x10)
    status, what = h.interrupt()
    assert what == 0x10 and status & 7 == 7
    back = []
    for _ in range(5):
        h.w(3, 0x10)
        assert h.interrupt()[1] == 8
        back.append(h.r(2))
        h.w(3, 0x12)
        status, what = h.interrupt()
        assert what == 0x10
    assert back == [1, 3, 1, 25, 8] and status & 7 == 2
    for byte in INQUIRY:
        h.w(2, byte)
    h.w(3, 0x10)
    status, what = h.interrupt()
    assert what == 0x10 and status & 7 == 1
    data = []
    for _ in range(36):
        h.w(3, 0x10)
        assert h.interrupt()[1] == 0x10
        data.append(h.r(2))
    assert bytes(data[8:12]) == b"QEMU"
    assert h.complete() == 0


def transfers_end_early(h, f):
    h.settle(0)
    assert h.select(0, INQUIRY)[1] == 0x18
    h.dma(100, True)
    status, what = h.interrupt()
    assert what == 0x10 and status & 0x17 == 3 and h.r(0) == 64 and h.r32(0x4C) == 64 and h.r32(0x50) == DATA + 36
    assert h.complete() == 0
    h.w(4, 0)
    for byte in bytes([0x80]) + read10(0, 1):
        h.w(2, byte)
    h.w(3, 0x42)
    h.interrupt()
    h.w(1, 2)
    h.w(0, 0)
    h.w(3, 0x98)  # padding: read and thrown away
    assert h.interrupt()[1] == 0x10
    assert h.complete() == 0


def commands_come_by_dma(h, f):
    h.settle(0)
    os.pwrite(f.fileno(), b"d" * 512, 512 * 9)
    h.q.write(MESSAGE, b"\xc0\x20\x05" + read10(9, 1))
    h.q.write(MESSAGE + 64, b"\x80" + read10(9, 1))
    for command, address, length in ((0xC2, MESSAGE + 64, 11), (0xC6, MESSAGE, 13)):
        for reg, byte in ((4, 0), (0, length), (1, 0), (14, 0), (11, 0x40)):
            h.w(reg, byte)
        h.w32(0x44, length)
        h.w32(0x48, address)
        h.w(3, command)
        assert h.r(0) == length
        h.q.outb(IO + 0x40, 3)
        wait(h.q, lambda: h.r(4) & 0x80, "no interrupt comes")
        assert h.r(6) == 4 and h.r(7) >> 5 == 4 and h.r(4) & 0x10 and h.r32(0x54) & 8
        assert h.r(5) == 0x18 and h.r(6) == 0
        if h.r(4) & 7 == 7:  # it disconnects
            h.w(3, 3)
            assert h.interrupt()[1] == 0x80
            continue
        h.dma(512, True)
        assert h.interrupt()[1] == 0x10 and h.q.read(DATA, 512) == b"d" * 512
        assert h.complete() == 0


def steps_of_a_selection_are_told(h, f):
    h.settle(0)
    h.w(4, 0)
    h.w(2, 0x80)
    h.w(3, 0x43)
    wait(h.q, lambda: h.r(4) & 0x80, "no interrupt comes")
    assert h.r(6) == 1 and h.r(7) == 0x20 and h.r(5) == 0x18
    h.w(3, 3)
    assert h.interrupt()[1] == 0x80
    h.settle(0)
    for byte in bytes([0x80]) + read10(0, 1)[:4]:
        h.w(2, byte)
    h.w(3, 0x42)
    wait(h.q, lambda: h.r(4) & 0x80, "no interrupt comes")
    assert h.r(6) == 3 and h.r(4) & 7 == 2  # it wants the rest of the command
    h.r(5)
    for byte in read10(0, 1)[4:]:
        h.w(2, byte)
    h.w(3, 0x10)
    assert h.interrupt()[0] & 7 == 1
    h.w(8, 0x47)
    h.w(3, 3)
    # A selection without ATN, and the end of a command that takes its time, asked for at once.
    h.settle(0)
    for byte in [0x35] + [0] * 9:
        h.w(2, byte)
    h.w(3, 0x41)
    h.w(3, 0x11)
    what = 0
    while not what & 8 or h.r(7) & 31 < 2:
        what = h.interrupt()[1]
    assert (h.r(2), h.r(2)) == (0, 0)


def transfers_are_padded(h, f):
    h.settle(0)
    os.pwrite(f.fileno(), b"x" * 1024, 0)
    assert h.select(0, write10(0, 1))[1] == 0x18
    for reg, byte in ((0, 0), (1, 2), (14, 0), (11, 0x40)):
        h.w(reg, byte)
    h.w(3, 0x98)
    assert h.interrupt()[1] == 0x10 and h.complete() == 0
    assert os.pread(f.fileno(), 1024, 0) == bytes(512) + b"x" * 512


def the_bus_is_reset(h, f):
    h.settle(0)
    h.w(3, 3)
    assert h.interrupt()[1] == 0x80
    h.settle(0)
    h.w(8, 0x47)
    h.w(3, 3)
    assert not h.r(4) & 0x80
    h.settle(0)


def disconnected_commands_come_back(h, f):
    h.settle(0)
    os.pwrite(f.fileno(), b"w" * 4096, 4096)
    status, what = h.select(0, read10(8, 8), 0x46, [0xC0, 0x20, 0x77])
    assert what == 0x18 and status & 7 == 7
    h.w(3, 0x10)
    assert h.interrupt()[1] == 8 and h.r(2) == 4
    h.w(3, 0x12)
    assert h.interrupt()[1] == 0x20
    h.w(3, 0x44)
    status, what = h.interrupt()
    assert what == 0x0C and h.r(7) & 31 == 2 and h.r(2) == 0x81 and h.r(2) == 0x80
    h.w(3, 0x12)
    status, what = h.interrupt()
    assert what == 0x10 and status & 7 == 7
    h.dma(2, True)
    h.w(3, 0x12)  # given before the interrupt of the other one was read
    assert h.interrupt()[1] == 8 and h.q.read(DATA, 2) == b"\x20\x77"
    status, what = h.interrupt()
    assert what == 0x10 and status & 7 == 1
    h.dma(4096, True)
    assert h.interrupt()[1] == 0x10 and h.q.read(DATA, 4096) == b"w" * 4096
    assert h.complete() == 0


def wrong_dma_is_an_error(h, f):
    h.settle(0)
    for address, to_memory, mdl in ((0x70000000, True, None), (DATA, False, None), (0, True, 0x70000000)):
        assert h.select(0, INQUIRY)[1] == 0x18
        h.dma(36, to_memory, address, mdl)
        for _ in range(3):
            step(h.q)
        assert h.r32(0x54) & 2 and not h.r(4) & 0x80
        h.w(8, 0x47)
        h.w(3, 3)
        h.settle(0)


def random_accesses_do_no_harm(h, f):
    rand = random.Random(int(os.environ.get("BP_TEST_SEED", "1")))
    commands = (0, 1, 2, 3, 0x10, 0x90, 0x11, 0x12, 0x18, 0x98, 0x1A, 0x1B, 0x41, 0x42, 0xC2, 0x43, 0x46, 0xC6, 0x44,
                0x45)
    for _ in range(4 * int(os.environ.get("BP_TEST_ROUNDS", "150"))):
        kind = rand.randrange(6)
        if kind == 0:
            for _ in range(rand.randrange(17)):
                h.w(2, rand.choice((0x80, 0xC0, 0x12, 0x28, 3, 0, 1, 6, 0x20, 36, rand.randrange(256))))
            h.w(4, rand.randrange(3))
            h.w(3, rand.choice((0x42, 0x43, 0x46, 0x41)))
        elif kind == 1:
            h.w(3, rand.choice(commands))
        elif kind == 2:
            h.dma(rand.choice((0, 1, 2, 36, 512, 70000)), rand.randrange(2),
                  rand.choice((DATA, 0, 0x70000000, MESSAGE)), rand.choice((None, TABLE, 0x70000000)))
        elif kind == 3:
            h.w(rand.randrange(16), rand.randrange(256))
        elif kind == 4:
            h.w32(0x40 + 4 * rand.randrange(16), rand.choice((0, 3, 0x83, 0x93, rand.getrandbits(32))))
        else:
            h.r(rand.randrange(16))
            h.r32(0x40 + 4 * rand.randrange(16))
        if rand.randrange(4) == 0:
            step(h.q)
    h.q.qmp("system_reset")
    PcScsi(h.q).settle(0)


def drives_of_if_scsi_are_there():
    with tempfile.NamedTemporaryFile(prefix="backplane-parallel-scsi-") as f:
        f.truncate(SIZE)
        for board in ("pc", "q35"):
            with QTest(["-M", board, "-drive", f"file={f.name},format=raw,if=scsi", "-drive", "if=scsi,media=cdrom",
                        "-drive", f"file={f.name},format=raw,if=scsi,index=8,file.locking=off,read-only=on", *null("n"),
                        "-device", "scsi-hd,drive=n,scsi-id=5"]) as q:
                info = q.qmp("human-monitor-command", {"command-line": "info qtree"})
                first, second = info.split("bus: scsi.1")
                assert info.count("dev: lsi53c895a") == 2, info
                assert [word in first for word in ("dev: scsi-hd", "dev: scsi-cd", "address 0:0:0", "address 0:1:0",
                                                   "address 0:5:0")] == [True] * 5, info
                assert "address 0:1:0" in second and "scsi1-hd1" in second, info
        for args, words in ((["-M", "isapc"], "no such place"),
                            (["-M", "pc", "-drive", "if=scsi,bus=9"], "no such place"),
                            (["-M", "pc", "-drive", "if=scsi,bus=0,unit=7"], "units 0 to 6")):
            try:
                QTest([*args, "-drive", f"file={f.name},format=raw,if=scsi"]).close()
            except Failed as error:
                assert words in str(error), error
            else:
                raise AssertionError(f"{args} is taken")


tap = Tap()
tap.case("53c895a: says what it is", lsi(says_what_it_is))
tap.case("53c895a: data go to and fro", lsi(moves_data))
tap.case("53c895a: sense is kept for who asks", lsi(sense_is_kept_for_who_asks))
tap.case("53c895a: units are where they were put", lsi(units_are_where_they_were_put, *UNITS))
tap.case("53c895a: units come and go", lsi(units_come_and_go, *null("e")))
tap.case("53c895a: after a reset all works", lsi(after_reset_all_works))
tap.case("am53c974: says what it is", pcscsi(says_what_it_is))
tap.case("am53c974: data go to and fro", pcscsi(moves_data))
tap.case("am53c974: sense is kept for who asks", pcscsi(sense_is_kept_for_who_asks))
tap.case("am53c974: units are where they were put", pcscsi(units_are_where_they_were_put, *UNITS))
tap.case("am53c974: units come and go", pcscsi(units_come_and_go, *null("e")))
tap.case("am53c974: after a reset all works", pcscsi(after_reset_all_works))
tap.case("53c895a: registers have their values", lsi(registers_have_their_values))
tap.case("53c810: a smaller one", the_53c810_is_a_smaller_one)
tap.case("53c895a: a selection that nobody answers", lsi(nobody_answers))
tap.case("53c895a: selections without attention", lsi(selections_without_attention))
tap.case("53c895a: targets that work keep the bus", lsi(targets_that_work_keep_the_bus))
tap.case("53c895a: tables say where", lsi(tables_say_where))
tap.case("53c895a: addresses above 4 GiB", addresses_above_4_gib)
tap.case("53c895a: phases that do not match", lsi(phases_that_do_not_match))
tap.case("53c895a: tagged commands reselect", lsi(tagged_commands_reselect))
tap.case("53c895a: commands are aborted", lsi(commands_are_aborted, *HELD))
tap.case("53c895a: one tag is one command", lsi(one_tag_is_one_command, *HELD))
tap.case("53c895a: what is held is bounded", lsi(what_is_held_is_bounded, *BIG))
tap.case("53c895a: messages are answered", lsi(messages_are_answered))
tap.case("53c895a: registers are computed with", lsi(registers_are_computed_with))
tap.case("53c895a: memory is moved", lsi(memory_is_moved))
tap.case("53c895a: endless programs do no harm", lsi(endless_programs_do_no_harm))
tap.case("53c895a: programs are single-stepped", lsi(programs_are_single_stepped))
tap.case("53c895a: wrong programs are told", lsi(wrong_programs_are_told))
tap.case("53c895a: interrupts are as asked for", lsi(interrupts_are_as_asked_for))
tap.case("53c895a: random programs do no harm", lsi(random_programs_do_no_harm, *HELD))
tap.case("am53c974: ports have their values", pcscsi(ports_have_their_values))
tap.case("am53c974: lists of pages say where", pcscsi(lists_of_pages_say_where))
tap.case("am53c974: bytes go through the FIFO", pcscsi(bytes_go_through_the_fifo))
tap.case("am53c974: transfers end early", pcscsi(transfers_end_early))
tap.case("am53c974: commands come by DMA", pcscsi(commands_come_by_dma))
tap.case("am53c974: steps of a selection are told", pcscsi(steps_of_a_selection_are_told))
tap.case("am53c974: transfers are padded", pcscsi(transfers_are_padded))
tap.case("am53c974: the bus is reset", pcscsi(the_bus_is_reset))
tap.case("am53c974: disconnected commands come back", pcscsi(disconnected_commands_come_back))
tap.case("am53c974: wrong DMA is an error", pcscsi(wrong_dma_is_an_error))
tap.case("am53c974: random accesses do no harm", pcscsi(random_accesses_do_no_harm, *HELD))
tap.case("drives of if=scsi are there", drives_of_if_scsi_are_there)
tap.done()
