#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SCSI host adapters as their drivers see them (pvscsi, megasas, megasas-gen2, mptsas1068): data, refusals, resets,
units that come and go, and rings, frames and messages that make no sense."""
import os
import random
import struct
import tempfile

from hba import BAR, BASE, DATA, LISTS, Megasas, MegasasGen2, Mptsas, Pvscsi
from qtest import Failed, QTest, Tap
from virtio import until

SIZE = 8 << 20
FAILING = ["-blockdev", "driver=null-co,node-name=null,size=8388608,read-zeroes=on", "-blockdev",
           "driver=blkdebug,node-name=bad,image=null,inject-error.0.event=none,inject-error.0.iotype=write,"
           "inject-error.0.errno=5"]


def rw(opcode, lba, blocks):
    return [opcode, 0, *struct.pack(">I", lba), 0, *struct.pack(">H", blocks), 0]


def with_disk(kind, function):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-hba-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "16", "-drive", f"file={f.name},format=raw,if=none,id=d", *FAILING, "-device",
                        kind.name + ",addr=5,id=hba", "-device", "scsi-hd,drive=d,scsi-id=0,id=s", "-device",
                        "scsi-hd,drive=bad,scsi-id=2,werror=stop"]) as q:
                function(kind(q), f)
    return run


# ---- all of them ----
def moves_data(h, f):
    assert (h.f.read(0), h.f.read(8) >> 8) == h.ids
    h.settle()
    data = os.urandom(5 * 4096 + 1536)
    # pieces that touch and that don't, odd addresses, and more of them than fit beside a command
    pieces = [(DATA + 0x10000 * n + 4 * n, 4096) for n in range(5)]
    pieces += [(DATA + 0x60003 + 700 * n, 192) for n in range(8)]
    assert h.command(rw(0x2A, 100, len(data) // 512), out=data, pieces=pieces) == b""
    assert os.pread(f.fileno(), len(data), 51200) == data
    for at, size in pieces:
        h.q.memset(at, size, 0)
    assert h.command(rw(0x28, 100, len(data) // 512), room=len(data), pieces=pieces) == data
    data = os.urandom(2 << 20)
    assert h.command(rw(0x2A, 0, 4096), out=data) == b"" and os.pread(f.fileno(), len(data), 0) == data
    h.q.memset(DATA, len(data), 0)
    assert h.command(rw(0x28, 0, 4096), room=len(data)) == data
    tokens = [h.submit(rw(0x28, n, 1), 0, 512, 0, 0, [(DATA + 512 * n, 512)]) for n in range(24)]
    for n, token in enumerate(tokens):
        assert h.wait(token)[:2] == ("ok", 0)
        assert h.q.read(DATA + 512 * n, 512) == data[512 * n:512 * n + 512]
    # less than there is room for
    h.q.memset(DATA, 255, 0xEE)
    inquiry = h.command([0x12, 0, 0, 0, 255, 0], room=255)
    assert inquiry[:2] == b"\0\0" and b"QEMU" in inquiry[:36] and inquiry[36 + 60:] == b"\xEE" * len(inquiry[96:])


def refuses(h, f):
    h.settle()
    assert h.command(rw(0x28, SIZE // 512, 1), room=512) == "5/2100"
    assert h.command([0xFF] * 10) == "5/2000"
    token = h.submit([0xFF] * 10, sense=4)
    assert h.wait(token)[1] == 2
    assert h.command([0] * 6, target=5) == "nobody" and h.command([0] * 6, target=255) == "nobody"
    if h.name.startswith(("pvscsi", "mptsas")):
        assert h.command([0x12, 0, 0, 0, 36, 0], room=36, lun=1)[0] == 0x7F
    assert h.command(rw(0x28, 0, 1), room=512, pieces=[(0xF0000000, 512)]) == "bad"
    assert h.command(rw(0x28, 0, 2), room=1024, pieces=[(DATA, 512), (0xF0000000, 512)]) == "bad"
    assert h.command(rw(0x28, 0, 8), room=512) == "5/2400"  # the guest has less room than it asks for
    h.f.write(4, 3, "w")  # no bus master: it reaches nothing, and goes on afterwards
    h.submit(rw(0x28, 0, 1), 0, 512, 0, 0, [(DATA, 512)])
    h.f.write(4, 7, "w")
    h.set_up()
    h.command([0] * 6)  # it may have reset the disks
    assert h.command(rw(0x28, 0, 1), room=512) == bytes(512)


def is_managed(h, f):
    """A write that waits for a person is aborted, or ended by resets; after a reset nothing is heard of it."""
    h.settle()
    h.settle(2)
    for end in (h.abort, lambda _: h.reset_bus(), None):
        h.q.qmp("cont")
        token = h.submit(rw(0x2A, 0, 1), 512, 0, 2, 0, [(DATA, 512)])
        until(lambda: h.q.qmp("query-status")["status"] == "io-error")
        h.q.qmp("cont")
        until(lambda: h.q.qmp("query-status")["status"] == "io-error")
        if end:
            end(token)
            assert h.wait(token)[0] in ("aborted", "reset"), token
            if end != h.abort:
                h.settle()
                h.settle(2)
    h.set_up()
    h.q.qmp("cont")
    h.command([0] * 6)
    assert h.command(rw(0x28, 0, 1), room=512) == bytes(512)
    h.reset_unit()
    h.settle()


def units_come_and_go(h, f):
    if hasattr(h, "listen"):
        h.listen()
    h.q.qmp("blockdev-add", {"driver": "null-co", "node-name": "e", "size": 1048576})
    h.q.qmp("device_add", {"driver": "scsi-hd", "drive": "e", "id": "late", "scsi-id": 3})
    assert h.event() == ("came", 3)
    h.settle(3)
    h.q.qmp("device_del", {"id": "late"})
    assert h.event() == ("went", 3)
    assert h.command([0] * 6, target=3) == "nobody"
    h.command([0] * 6)
    for _ in range(8):
        h.submit(rw(0x28, 0, 128), 0, 65536, 0, 0, [(DATA, 65536)])
    h.q.qmp("device_del", {"id": "s"})
    assert h.event() == ("went", 0)
    for _ in range(8):
        h.submit(rw(0x28, 0, 128), 0, 65536, 2, 0, [(DATA, 65536)])
    h.q.qmp("device_del", {"id": "hba"})
    until(lambda: h.f.read(0) == 0xFFFFFFFF)
    h.q.qmp("device_add", {"driver": h.name.split(",")[0], "id": "again", "addr": "5"})
    assert type(h)(h.q).command([0] * 6) == "nobody"


def nonsense_does_no_harm(h, f):
    """Registers, frames, rings and lists of random words, some of which lead to the adapter itself."""
    rand = random.Random(h.name)
    h.settle()
    words = (0, 1, 2, 4, 0xFFFFFFFF, BASE, LISTS, DATA, BAR, BAR + 0x40, BAR + 0x4018, 0xFFF, 0x80000000, 0x12000010,
             0x33000010, 128)
    registers = (0, 4, 8, 0x20, 0x30, 0x34, 0x40, 0x44, 0x48, 0xA0, 0xC0, 0xC4, 0xF8, 0xFC,
                 0x100C, 0x2010, 0x3014, 0x4018)
    for n in range(250):
        if n % 50 == 0:
            h.q.qmp("cont")  # a write to the disk that fails stops the machine
            h.f.write(4, 7, "w")
            h.set_up()
        for place in (BASE + 4 * rand.randrange(0x400), LISTS, DATA):
            h.q.write(place, struct.pack("<16I", *(rand.choice((rand.choice(words), rand.getrandbits(32)))
                                                    for _ in range(16))))
        for _ in range(3):
            h.reg(rand.choice(registers), rand.choice((BASE, BASE + 128 * rand.randrange(64), rand.choice(words))))
        h.nonsense(rand)
    h.q.qmp("system_reset")
    h.q.qmp("cont")
    h = type(h)(h.q)
    h.settle()
    assert len(h.command(rw(0x28, 0, 1), room=512)) == 512


def pvscsi_nonsense(h, rand):
    if h.q.readl(h.state) - h.q.readl(h.state + 4) > 4:
        h.set_up()
    h.produced = h.q.readl(h.state + 4)
    h.put(bytes(rand.getrandbits(8) for _ in range(36)) + struct.pack(
        "<I16sB", rand.getrandbits(5), bytes(rw(0x28, 0, 1) + [0] * 6), 10) + bytes([0, 0] + [0] * 8 + [0]))
    h.submit(rw(0x28, 0, 4), 0, 2048, 0, 0, [(LISTS, 0), (LISTS, 0)], flags=9)


def megasas_nonsense(h, rand):
    cdb = bytes(rw(0x28, 0, 4))
    h.post(bytes([rand.randrange(9), 128, 255, 0, 0, 0, 10, rand.choice((1, 3, 255))]) + bytes(8) + struct.pack(
        "<HHI", rand.getrandbits(6), 0, 2048) + struct.pack("<Q", DATA) + cdb.ljust(16, b"\0") +
        bytes(rand.getrandbits(8) for _ in range(16)))
    h.dcmd_later(rand.choice((0x01010000, 0x03010000, 0x01040500, 0x01101000, rand.getrandbits(32))))


def mptsas_nonsense(h, rand):
    h.count += 1
    h.post(bytes([0, 0, 0, rand.choice((0, 0, 1, 2, 4, 5, 7, 0x1B, rand.getrandbits(8)))]) + bytes(
        rand.getrandbits(8) for _ in range(124)))
    h.submit(rw(0x28, 0, 4), 0, 2048, 0, 0, sgl=struct.pack("<IQ", 0x32000040, LISTS))
    h.reg(0x44, rand.choice((BASE + 0x40000, BAR, 0xF0000000)))


Pvscsi.nonsense, Megasas.nonsense, Mptsas.nonsense = pvscsi_nonsense, megasas_nonsense, mptsas_nonsense
Megasas.dcmd_later = lambda h, opcode: h.post(struct.pack("<BBBIBIIHHII12sII", 5, 0, 0xFF, 0, 1, 0, 0, 0x11, 0, 2048,
                                                          opcode, bytes(12), DATA, 2048))


# ---- each by itself ----
def pvscsi_rules(h, f):
    h.settle()
    assert h.order(77) == 0xFFFFFFFF and h.order(10) == 0xFFFFFFFF  # no such command; no threshold
    h.reg(4, 1)  # data of none
    h.reg(0, 8)
    assert h.reg(8) == 34  # words that it takes
    assert h.order(7, struct.pack("<QQII", DATA, 0, 0x1958, 0)) == 0
    assert struct.unpack("<IHHH", h.q.read(DATA, 10)) == (0x1958, 120, 0, 0) and h.q.readl(DATA + 472) == 64
    assert h.order(7, struct.pack("<QQII", DATA, 0, 0x1959, 0)) == 0 and h.q.readw(DATA + 6) == 0x1A
    for pages in (0, 3, 64, 0xFFFFFFFF):
        assert h.order(3, struct.pack("<IIQ64Q", pages, 1, 0x100, *[0] * 64)) == 0xFFFFFFFF, pages
        assert h.order(8, struct.pack("<II16Q", pages, 0, *[0] * 16)) == 0xFFFFFFFF, pages
    assert h.wait(h.submit([0] * 6, bus=1))[0] == "nobody"
    assert h.wait(h.submit([0] * 6, flags=2))[0] == "bad" and h.wait(h.submit([0] * 6, flags=24))[0] == "bad"
    # the interrupt's status is kept until it is cleared, and masked
    assert h.reg(0x100C) == 1
    h.reg(0x100C, 1)
    assert h.reg(0x100C) == 0
    # a list that leads to itself ends; one in two parts works
    h.q.write(LISTS, struct.pack("<QII", LISTS, 0, 1))
    assert h.wait(h.submit(rw(0x28, 0, 1), 0, 512, 0, 0, [(LISTS, 0)], flags=9))[0] == "bad"
    h.q.write(LISTS, struct.pack("<QIIQII", DATA, 256, 0, LISTS + 64, 0, 1))
    h.q.write(LISTS + 64, struct.pack("<QII", DATA + 1024, 256, 0))
    h.q.memset(DATA, 4096, 0xAA)
    assert h.wait(h.submit(rw(0x28, 0, 1), 0, 512, 0, 0, [(LISTS, 0)], flags=9)) == ("ok", 0, b"", 512)
    assert h.q.read(DATA, 2048) == bytes(256) + b"\xAA" * 768 + bytes(256) + b"\xAA" * 768
    # data for what is no memory (the table of messages) are written there, as many as moved, and no more
    os.pwrite(f.fileno(), b"\x44" * 512, 0)
    table = BAR + 0x6000
    assert h.command(rw(0x28, 0, 1), room=512, pieces=[(DATA, 256), (table, 12), (DATA + 256, 244)]) == b"\x44" * 512
    assert h.q.read(table, 12) == b"\x44" * 12
    assert len(h.command([0x12, 0, 0, 0, 108, 0], room=108, pieces=[(DATA, 96), (table, 12)])) <= 96
    assert h.q.read(table, 12) == b"\x44" * 12
    assert h.command(rw(0x2A, 1, 1), out=b"\x88" * 512, pieces=[(DATA, 500), (table, 12)]) == b""
    assert os.pread(f.fileno(), 512, 512) == b"\x88" * 512
    # a producer beyond the ring is no request; completions that are not fetched hold requests back
    h.q.writel(h.state, h.produced + 33)
    h.reg(0x4018, 0)
    assert h.q.readl(h.state + 4) == h.produced
    h.q.writel(h.state, h.produced)
    for n in range(140):
        h.submit([0] * 6)
        if h.q.readl(h.state + 4) != h.produced:
            break
    assert n == 128, n
    h.produced -= 1
    while h.fetch():
        pass
    h.reg(0x4018, 0)
    until(lambda: h.q.readl(h.state + 4) == h.q.readl(h.state))


def megasas_rules(h, f):
    h.settle()
    physical = "jbod" in h.name
    assert h.dcmd(0x01010000, 2048) == 0
    info = h.q.read(DATA, 2048)
    assert struct.unpack_from("<II", info, 0) == (h.f.read(0), h.f.read(0x2C))
    assert struct.unpack_from("<HH", info, 1464) == (h.reg(0xB0) & 0xFFFF, h.reg(0xB0) >> 16 & 0xFF)
    assert struct.unpack_from("<3H", info, 1472 + 2 * 3) == (2, 2, 0)
    assert h.dcmd(0x03010000, 1032) == 0
    lds = struct.unpack_from("<IIIBxxxQIBxxxQ", h.q.read(DATA, 40))
    assert lds == ((0,) + (0,) * 7 if physical else (2, 0, 0, 3, 0, 2, 3, 0)), lds
    assert h.dcmd(0x03010100, 75) == 0
    assert h.q.read(DATA, 13) == (struct.pack("<II3x2x", 11, 0) if physical else struct.pack("<II3xBB", 13, 2, 0, 2))
    assert h.dcmd(0x02010100, 4096, mbox=b"\5".ljust(12, b"\0")) == 0
    assert h.q.readl(DATA + 4) == (2 if physical else 0)
    if physical:
        assert (h.q.readw(DATA + 8), h.q.readw(DATA + 32)) == (0, 2)
    for opcode in (0x01101000, 0x01050000, 0x01060000, 0x01020100, 0x02010000):
        assert h.dcmd(opcode, 64) == 0, hex(opcode)
    assert h.dcmd(0x12345678) == 2 and h.dcmd(0x08010200, mbox=b"\x09".ljust(12, b"\0")) == 0x0C
    assert h.dcmd(0x01010000, 2048, at=0xF0000000) == 3 and h.dcmd(0x01010000, 2048, count=0) == 3
    assert h.frame(struct.pack("<BBBBIIIH", 7, 0, 0xFF, 0, 0, 0, 0, 1)) == 1
    assert h.frame(struct.pack("<BBBBIIIHHIIIQ", 6, 0, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0, 0, BASE)) == 5
    # the kind of drive that it does not have; by the other port
    h.scsi ^= 7
    assert h.command([0] * 6) == "nobody"
    h.scsi ^= 7
    assert h.frame(struct.pack("<BBBBIIIHHIQ", 0, 0, 0xFF, 0, 0, 0, 0, 1, 0, 32, 0xF0000000), high=0) == 3
    h.q.write(h.info, struct.pack("<II", 0, 0))
    assert h.frame(struct.pack("<BBBBIIIHHIQ", 0, 0, 0xFF, 0, 0, 0, 0, 1, 0, 32, h.info)) == 3
    # every form of lists, and blocks of logical drives
    for form in (0, 2, 0x20):
        h.form = form
        data = os.urandom(1024)
        pieces = [(DATA, 700), (DATA + 0x1001, 324)]
        assert h.command(rw(0x2A, 7, 2), out=data, pieces=pieces) == b"" and os.pread(f.fileno(), 1024, 7 * 512) == data
        if not physical:
            h.q.memset(DATA, 8192, 0)
            assert h.wait(h.blocks(False, 7, 2, pieces))[:2] == ("ok", 0)
            assert h.q.read(DATA, 700) + h.q.read(DATA + 0x1001, 324) == data
            assert h.wait(h.blocks(True, 9, 2, pieces))[:2] == ("ok", 0) and os.pread(f.fileno(), 1024, 9 * 512) == data
            assert h.wait(h.blocks(False, 1 << 40, 1, pieces))[1] == 2
    # interrupts; states; the diagnostic register
    assert h.reg(0x30) == h.reply_bit
    h.reg(0xA0, h.reply_bit)
    assert h.reg(0x30) == 0
    h.reg(0xF8, 4)
    assert h.reg(0xB0) >> 28 == 0xC
    h.reg(0x20, 0x20)
    assert h.reg(0xB0) >> 28 == 0xF
    for key in (0, 4, 0xB, 2, 7, 0xD):
        h.reg(0xFC, key)
    assert h.reg(0xF8) & 0x80
    h.reg(0xF8, 0x84)
    assert h.reg(0xB0) >> 28 == 0xB
    h.q.writel(h.producer, 5)  # the queue goes on where the driver says
    h.q.write(h.info + 4, struct.pack("<I", h.entries))
    h.fetched = 5
    assert h.frame(struct.pack("<BBBBIIIHHIQ", 0, 0, 0xFF, 0, 0, 0, 0, 1, 0, 32, h.info)) == 0
    assert h.wait(h.submit([0] * 6))[0] == "ok"
    h.reg(0x20, 2)
    assert h.command_early([0] * 6, 0) == 0x32 and h.command_early([0] * 6, 1) in (0, 0x2D)
    h.set_up()
    h.listen()  # a second one takes the place of the first, and is aborted
    first = h.listening
    h.listen()
    assert h.wait(first)[0] == 0x23
    h.abort(h.listening)
    assert h.wait(h.listening)[0] == 0x23


Megasas.command_early = lambda h, cdb, flags: h.frame(struct.pack("<BBBBBBBBIIHHIQ16s", h.scsi, 0, 0xFF, 0, 0, 0, 6, 0,
                                                                  0, 0, flags, 0, 0, 0, bytes(cdb)))


def mptsas_rules(h, f):
    h.settle()
    port = h.handshake(struct.pack("<III", 5 << 24, 0, 0))
    assert port[0x15] == 0x30 and struct.unpack_from("<3H", port, 0x16) == (8, 8, 8)
    assert struct.unpack_from("<H", h.handshake(struct.pack("<III", 5 << 24, 1 << 16, 0)), 0x0E) == (7,)
    assert struct.unpack_from("<H", h.handshake(struct.pack("<III", 0x55 << 24, 0, 0)), 0x0E) == (1,)
    assert struct.unpack_from("<H", h.handshake(struct.pack("<III", 4 << 24, 0, 0)), 0x0E) == (7,)  # too short
    assert struct.unpack_from("<H", h.handshake(bytes(64)), 0x0E) == (1,)  # SCSI I/O goes by the FIFO
    # pages: headers, what is there, what is not
    assert h.config(9, 0)[1][4:14] == b"LSISAS1068" and h.config(9, 77)[0] == 0x22 and h.config(3, 0)[0] == 0x21
    assert h.config(1, 0, action=2)[0] == 0x20 and h.config(0x11, 0)[0] == 0x21
    assert struct.unpack_from("<II", h.config(1, 0)[1], 0x0C)[0] == h.f.read(0)
    status, unit = h.config(0x10, 0)
    assert status == 0 and unit[0x0C] == 8 and struct.unpack_from("<BBBBIHH", unit, 0x10) == (0, 0, 0, 9, 0x41, 9, 1)
    assert struct.unpack_from("<BBBBIHH", unit, 0x20) == (1, 0, 0, 0, 0x41, 0, 2)
    assert len(h.config(0x10, 1)[1]) == 0x14 + 96 and len(h.config(0x13, 1, 7)[1]) == 0x1C
    assert struct.unpack_from("<H", h.config(0x13, 0, 2)[1], 0x14) == (11,) and h.config(0x13, 0, 8)[0] == 0x22
    handles, at = [], 0xFFFF
    while True:
        status, page = h.config(0x12, 0, at)
        if status:
            break
        at = struct.unpack_from("<H", page, 0x18)[0]
        handles.append(at)
    assert status == 0x22 and handles == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11], handles
    by_target, by_handle = h.config(0x12, 0, 1 << 28 | 2)[1], h.config(0x12, 0, 2 << 28 | 11)[1]
    assert by_target == by_handle and struct.unpack_from("<HBB", by_target, 0x18) == (11, 2, 0)
    assert h.config(0x12, 0, 1 << 28 | 3)[0] == 0x22 and h.config(0x12, 0, 2 << 28 | 10)[0] == 0x22
    assert h.config(0x12, 1, 2 << 28 | 1)[0] == 0x22 and h.config(0x12, 1, 2 << 28 | 9)[0] == 0
    assert h.config(0x12, 2, 2 << 28 | 9)[0] == 0
    assert h.config(0x15, 0, 0xFFFF)[0] == 0 and h.config(0x15, 0, 1)[0] == 0x22
    # lists: another kind of element, a chain to itself, one that ends early
    for sgl, word in ((struct.pack("<IQ", 0x02000000, 0), "bad"), (struct.pack("<IQ", 0x3200000C, LISTS), "bad"),
                      (bytes(80), "bad"), (struct.pack("<II", 0xD1000200, DATA), "ok")):
        h.q.write(LISTS, struct.pack("<IQ", 0x3200000C, LISTS))
        assert h.wait(h.submit(rw(0x28, 0, 1), 0, 512, 0, 0, sgl=sgl))[0] == word, sgl
    assert h.wait(h.submit([0] * 6, bus=1))[0] == 0x41
    assert h.wait(h.submit([0] * 6, control=0x03000000))[0] == 7
    # tasks
    assert h.task(0)[0] == 4 and h.task(8)[0] == 4 and h.task(1, target=4)[0] == 9 and h.task(5, lun=3)[0] == 9
    assert h.task(7, 12345) == (0, 0) and h.task(3) == (0, 0)
    h.settle()
    # phys: resets of links; of drives
    for operation, phy, status in ((6, 0, 0), (8, 7, 0), (6, 8, 7), (7, 1, 7), (7, 2, 0), (1, 0, 0), (9, 0, 7)):
        reply = h.message(0x1B, bytes([operation, 0, 0, 0x1B]), bytes([0, 0, phy, 0]) + bytes(16))
        assert struct.unpack_from("<H", reply, 0x0E) == (status,), operation
    # without frames replies wait for one
    h.reg(0, 0x40 << 24)
    h.handshake(struct.pack("<BBBBBBBBIHHIII", 4, 0, 0, 2, 0, 8, 1, 0, 1, 80, 0, 0, 0, 0) + bytes(16))
    token = h.submit([0xFF] * 10)
    assert h.reg(0x44) == 0xFFFFFFFF
    h.reg(0x44, h.replies)
    assert h.wait(token)[1] == 2
    # the diagnostic register's reset
    h.reg(8, 4)
    assert h.reg(0) >> 28 == 2
    for key in (0xF, 4, 0xB, 2, 7, 0xD):
        h.reg(4, key)
    assert h.reg(8) & 0x80
    h.reg(8, 0x84)
    assert h.reg(8) & 0x20 and h.reg(0) >> 28 == 1
    # a request where no memory is, or replies that nobody fetches: a fault, until the next reset
    h.set_up()
    h.reg(0x40, 0xF0000000)
    assert h.reg(0) == 0x40008112
    h.reg(0, 0x42 << 24 | 3 << 16)  # it listens no more
    assert h.reg(0) == 0x40008112
    h.set_up()
    for _ in range(520):
        h.submit([0] * 6)
        if h.reg(0) >> 28 != 2:
            break
    assert h.reg(0) >> 28 == 4
    h.set_up()
    assert h.command([0] * 6) == b""


def refused_in_words():
    for device, words in (("megasas,max_cmds=4", "8 to 4095"), ("megasas,max_sge=200", "1 to 128"),
                          ("megasas,hba_serial=" + "x" * 32, "31 characters"), ("pvscsi,use_msg=300", "use_msg")):
        try:
            QTest(["-M", "pc", "-device", device]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(device + " is taken")
    for adapter, place, words in (("megasas", "scsi-id=64", "up to 63"), ("megasas", "lun=1", "up to 0"),
                                  ("megasas,use_jbod=on", "scsi-id=128", "up to 127"),
                                  ("pvscsi", "scsi-id=64", "up to 63"), ("pvscsi", "lun=1", "up to 0"),
                                  ("mptsas1068", "scsi-id=8", "up to 7")):
        try:
            QTest(["-M", "pc", "-device", adapter, "-blockdev", "driver=null-co,node-name=e,size=1048576", "-device",
                   "scsi-hd,drive=e," + place]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(place + " is taken")


if __name__ == "__main__":
    tap = Tap()
    tap.case("pvscsi: data go to and fro", with_disk(Pvscsi, moves_data))
    tap.case("pvscsi: it refuses what cannot be", with_disk(Pvscsi, refuses))
    tap.case("pvscsi: commands are aborted and reset", with_disk(Pvscsi, is_managed))
    tap.case("pvscsi: units come and go", with_disk(Pvscsi, units_come_and_go))
    tap.case("pvscsi: it keeps to its interface", with_disk(Pvscsi, pvscsi_rules))
    tap.case("pvscsi: nonsense does no harm", with_disk(Pvscsi, nonsense_does_no_harm))
    tap.case("megasas: data go to and fro", with_disk(Megasas, moves_data))
    tap.case("megasas: it refuses what cannot be", with_disk(Megasas, refuses))
    tap.case("megasas: commands are aborted and reset", with_disk(Megasas, is_managed))
    tap.case("megasas: units come and go", with_disk(Megasas, units_come_and_go))
    tap.case("megasas: it keeps to its interface", with_disk(Megasas, megasas_rules))
    tap.case("megasas: nonsense does no harm", with_disk(Megasas, nonsense_does_no_harm))
    tap.case("megasas-gen2: data go to and fro", with_disk(MegasasGen2, moves_data))
    tap.case("megasas-gen2: it refuses what cannot be", with_disk(MegasasGen2, refuses))
    tap.case("megasas-gen2: commands are aborted and reset", with_disk(MegasasGen2, is_managed))
    tap.case("megasas-gen2: units come and go", with_disk(MegasasGen2, units_come_and_go))
    tap.case("megasas-gen2: it keeps to its interface", with_disk(MegasasGen2, megasas_rules))
    tap.case("megasas-gen2: nonsense does no harm", with_disk(MegasasGen2, nonsense_does_no_harm))
    tap.case("mptsas1068: data go to and fro", with_disk(Mptsas, moves_data))
    tap.case("mptsas1068: it refuses what cannot be", with_disk(Mptsas, refuses))
    tap.case("mptsas1068: commands are aborted and reset", with_disk(Mptsas, is_managed))
    tap.case("mptsas1068: units come and go", with_disk(Mptsas, units_come_and_go))
    tap.case("mptsas1068: it keeps to its interface", with_disk(Mptsas, mptsas_rules))
    tap.case("mptsas1068: nonsense does no harm", with_disk(Mptsas, nonsense_does_no_harm))
    tap.case("bad properties and places are refused in words", refused_in_words)
    tap.done()
