# SPDX-License-Identifier: LGPL-2.1-or-later
"""AMD Am79C970A by its data sheet: registers of both widths, rings of all software styles, filters, polling, lies of guests."""
import binascii
import random
import struct
import sys

from nic import ALL, DATA, MAC, MEMORY, PEER, PORTS, RING, Nic, frame
from qtest import Tap

INIT, STRT, STOP, DEMAND, TX_ON, RX_ON, IENA, INTR = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
IDON, TINT, RINT, MERR = 0x100, 0x200, 0x400, 0x800
BLOCK, RX, TX, BUFFERS = RING, RING + 0x1000, RING + 0x2000, DATA
OWN, STP, ENP, ERR, BUFF = 1 << 31, 1 << 25, 1 << 24, 1 << 30, 1 << 26
SIZE = 512


class Pcnet(Nic):
    style = 2

    def __init__(self):
        super().__init__("pcnet", ["ports", "memory"])
        self.base = MEMORY + (1 << 20)
        self.wide = False

    def go_wide(self):
        self.writel(self.base + 0x10, 0)
        self.wide = True

    def reg(self, n, value=None):
        at, get, put = self.base + 0x10 + n * (4 if self.wide else 2), *((self.readl, self.writel) if self.wide
                                                                        else (self.readw, self.writew))
        return get(at) if value is None else put(at, value)

    def csr(self, n, value=None):
        self.reg(1, n)
        return self.reg(0, value)

    def bcr(self, n, value=None):
        self.reg(1, n)
        return self.reg(3, value)

    # -- descriptors of the style --
    def place(self, ring, n):
        return ring + n * (16 if self.style else 8)

    def give(self, ring, n, buffer, size, flags=0):
        status = flags | OWN | 0xF000 | (-size & 0xFFF)
        at = self.place(ring, n)
        if self.style == 0:
            self.write(at, struct.pack("<IHH", buffer & 0xFFFFFF | status & 0xFF000000, status & 0xFFFF, 0))
        elif self.style == 3:
            self.write(at, struct.pack("<IIII", 0, status, buffer, 0))
        else:
            self.write(at, struct.pack("<IIII", buffer, status, 0, 0))

    def seen(self, ring, n):
        """Flags, and the count of the message."""
        at = self.place(ring, n)
        if self.style == 0:
            return self.readl(at) & 0xFF000000, self.readw(at + 6) & 0xFFF
        return self.readl(at + 4), self.readl(at + (0 if self.style == 3 else 8)) & 0xFFF

    def start(self, mode=0, groups=0, count=4, csr4=0x0915):
        self.csr(0, STOP)
        self.bcr(20, self.style)
        self.csr(3, 0)
        self.csr(4, csr4)
        code = count.bit_length() - 1
        if self.style:
            self.write(BLOCK, struct.pack("<HBB6sHQII", mode, code << 4, code << 4, MAC, 0, groups, RX, TX))
        else:
            self.write(BLOCK, struct.pack("<H6sQII", mode, MAC, groups, RX | code << 29, TX | code << 29))
        for n in range(count):
            self.give(RX, n, BUFFERS + SIZE * n, SIZE)
            self.write(self.place(TX, n), bytes(16 if self.style else 8))
        self.csr(1, BLOCK & 0xFFFF)
        self.csr(2, BLOCK >> 16)
        self.csr(0, INIT)
        assert self.csr(0) & IDON and self.csr(0) & INTR
        self.csr(0, IDON | STRT)
        assert self.csr(0) & (TX_ON | RX_ON | IDON) == TX_ON | RX_ON
        self.rx = self.tx = 0
        self.count = count

    def transmit(self, data, parts=1):
        size = -(-len(data) // parts)
        self.write(DATA + 0x10000, data)
        first = self.tx
        for i in range(parts):
            part = data[i * size:(i + 1) * size]
            self.give(TX, self.tx, DATA + 0x10000 + i * size, len(part),
                      (STP if i == 0 else 0) | (ENP if i == parts - 1 else 0))
            self.tx = (self.tx + 1) % self.count
        self.csr(0, DEMAND)
        return first

    def heard(self):
        """A frame over as many descriptors as it has."""
        data, flags = b"", 0
        while not flags & ENP:
            self.eventually(lambda: not self.seen(RX, self.rx)[0] & OWN, "a frame")
            flags, length = self.seen(RX, self.rx)
            assert bool(flags & STP) == (data == b"")
            data += self.read(BUFFERS + SIZE * self.rx, SIZE)
            self.give(RX, self.rx, BUFFERS + SIZE * self.rx, SIZE)
            self.rx = (self.rx + 1) % self.count
        return flags, data[:length]


def registers_of_both_widths(q):
    assert q.csr(88) == 0x1003 and q.csr(89) == 0x0262
    assert q.read(q.base, 6) == MAC and q.read(q.base + 14, 2) == b"WW"
    assert q.inl(PORTS) == struct.unpack("<I", MAC[:4])[0]
    assert q.csr(0) == STOP and q.bcr(4) == 0x80C0
    assert q.readl(q.base + 0x10) == 0xFFFFFFFF, "it has 16 bits"
    prom = q.read(q.base, 16)
    assert struct.unpack("<H", prom[12:14])[0] == sum(prom[:12] + prom[14:])
    q.go_wide()
    assert q.csr(88) == 0x1003 and q.bcr(18) & 0x80
    assert q.readw(q.base + 0x10) == 0xFFFF, "it has 32 bits"
    q.csr(76, 0)
    assert q.csr(76), "no ring is empty"
    q.csr(16, 0x1234)
    assert q.csr(1) == 0x1234
    q.bcr(20, 3)
    assert q.csr(58) == 0x0303


def frames_go_both_ways(q):
    for parts in (1, 2, 3):
        q.start()
        for n in range(6):
            data = frame(bytes([n]) * (300 + 200 * n), PEER, MAC)
            first = q.transmit(data, parts)
            assert q.sent() == data
            assert q.csr(0) & TINT and q.csr(0) & INTR
            for i in range(parts):
                assert not q.seen(TX, (first + i) % 4)[0] & (OWN | ERR)
            q.csr(0, TINT)
            assert not q.csr(0) & TINT
            data = frame(bytes([n]) * (46 + 250 * n))
            q.send(data)
            flags, got = q.heard()
            assert got[:-4] == data and not flags & ERR, (len(got), len(data))
            assert binascii.crc32(data) == struct.unpack("<I", got[-4:])[0]
            assert q.csr(0) & RINT
            q.csr(0, RINT)


def short_frames_are_padded(q):
    q.start()
    q.transmit(b"\xff" * 20)
    assert q.sent() == b"\xff" * 20 + bytes(40)
    q.start(mode=8)  # the guest has its own check sequence, at the end
    q.transmit(b"\xfe" * 64 + b"FCS.")
    assert q.sent() == b"\xfe" * 64
    q.start(csr4=0x0515)  # padding is stripped where the frame says its length
    q.send(frame(b"short", kind=5))
    assert q.heard()[1] == frame(b"short", kind=5)


def full_ring_keeps_the_next_frame(q):
    q.start()
    for n in range(7):
        q.send(frame(bytes([n]) * 400))
    for n in range(7):
        assert q.heard()[1][14:-4] == bytes([n]) * 400
        q.clock_step(3000000)  # it looks for descriptors again
    q.start()
    q.send(frame(b"x" * 1500, ALL) + bytes(2000))  # longer than the four
    flags, got = q.heard()
    assert flags & ERR and flags & BUFF


def card_polls(q):
    q.start()
    data = frame(b"polled" * 20, PEER, MAC)
    q.write(DATA + 0x10000, data)
    q.give(TX, 0, DATA + 0x10000, len(data), STP | ENP)
    assert q.nothing_sent() is None
    q.clock_step(3000000)
    assert q.sent() == data
    q.start(csr4=0x1915)  # not with DPOLL
    q.give(TX, 0, DATA + 0x10000, len(data), STP | ENP)
    q.clock_step(9000000)
    assert q.nothing_sent() is None
    q.csr(5, 1)
    q.csr(0, DEMAND)
    assert q.nothing_sent() is None and q.csr(5) & 1, "suspended"
    q.csr(5, 0)
    assert q.sent() == data


def filters_keep_what_is_not_for_us(q):
    group, other = b"\x01\0\x5e\0\0\x01", b"\x52\x54\0\x99\x99\x99"
    bit = (binascii.crc32(group) ^ 0xFFFFFFFF) >> 26
    for mode, groups, to, wanted in ((0, 0, ALL, 20), (0x4000, 0, ALL, None), (0, 0, group, None), (0, 1 << bit, group, 21),
                                     (0, ~(1 << bit) & (1 << 64) - 1, group, None), (0, 0, other, None), (0x8000, 0, other, 0),
                                     (0, 0, MAC, 22), (0xA000, 0, MAC, 0)):
        q.start(mode, groups)
        q.send(frame(b"first." * 10, to))
        q.send(frame(b"second" * 10, MAC))
        flags, got = q.heard()
        assert (got[14:20] == b"first.") == (wanted is not None), (hex(mode), groups, to)
        if wanted:
            assert flags & 0x700000 == 1 << wanted or q.style == 0


def looped_back_frames_stay_within(q):
    q.start(mode=4)
    q.transmit(frame(b"loop" * 20))
    assert q.heard()[1][:-4] == frame(b"loop" * 20)
    assert q.nothing_sent() is None
    q.send(frame(b"from outside" * 9))
    q.transmit(frame(b"again" * 20))
    assert q.heard()[1][14:19] == b"again"
    for where in (BUFFERS, q.base, 0xFFFFFFF0):
        q.give(RX, q.rx, where, SIZE)
        q.give(TX, q.tx, where, 400, STP | ENP)
        q.tx = (q.tx + 1) % 4
        q.rx = (q.rx + 1) % 4
        q.csr(0, DEMAND)
    assert q.qmp("query-status")


def line_follows_its_masks(q):
    q.watch_line()
    q.start()
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert q.csr(0) & (TINT | INTR | IENA) == TINT | INTR and not q.line()
    q.csr(0, IENA)
    assert q.line()
    q.csr(3, TINT)
    assert not q.line() and not q.csr(0) & INTR
    q.csr(3, 0)
    q.csr(0, TINT | IENA)
    assert not q.line() and not q.csr(0) & TINT
    q.csr(4, 0x0995)  # the user's own interrupt
    assert q.line() and q.csr(4) & 0x40
    q.csr(4, 0x0955)
    assert not q.line() and not q.csr(4) & 0x40
    q.csr(4, 0x0911)  # told that a transmission begins
    q.transmit(frame(b"x" * 60, PEER, MAC))
    q.csr(0, TINT | IENA)
    assert q.line() and q.csr(4) & 8
    q.csr(4, 0x0919)
    assert not q.line()
    q.csr(5, 0x8000)
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert not q.csr(0) & TINT, "it does not want to know"
    q.csr(0, STOP)
    assert q.csr(0) == STOP


def missing_memory_is_told(q):
    q.csr(0, STOP)
    q.csr(1, 0)
    q.csr(2, 0xF000)
    q.bcr(20, 2)
    q.csr(0, INIT)
    assert q.csr(0) & MERR and not q.csr(0) & IDON
    q.csr(0, MERR)
    q.readw(q.base + 0x14)  # RESET
    assert q.csr(0) == STOP


def parts_without_a_frame_are_given_back(q):
    q.start()
    q.write(DATA + 0x10000, frame(b"good" * 20, PEER, MAC))
    q.give(TX, 0, DATA + 0x10000, 94, ENP)  # an end without a beginning
    q.give(TX, 1, DATA + 0x10000, 94, STP | ENP)
    q.csr(0, DEMAND)
    assert q.sent() == frame(b"good" * 20, PEER, MAC)
    assert not q.seen(TX, 0)[0] & OWN


def random_registers_and_descriptors_never_hurt(q):
    rand = random.Random(970)
    for n in range(1500):
        if n % 50 == 0:
            q.style = rand.randrange(4)
            q.start(rand.choice((0, 4, 0x8000, 0x800C)), rand.getrandbits(64), rand.choice((1, 4, 16)))
            q.write(TX, rand.randbytes(256))
            q.write(RX, rand.randbytes(rand.choice((16, 256))))
            for d in range(16):
                q.writel(TX + 16 * d + 8 * (q.style == 3), DATA + rand.randrange(70000))
        q.csr(rand.choice((0, 3, 4, 5, 15, 24, 30, 72, 74, 76, 78, 47, rand.randrange(128))), rand.getrandbits(16))
        q.bcr(rand.randrange(32), rand.getrandbits(8))
        if n % 3 == 0:
            q.csr(0, STRT | DEMAND | IENA)
            q.clock_step(2500000)
        if n % 5 == 0:
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 4092, 9000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


class Style0(Pcnet):
    style = 0


class Style3(Pcnet):
    style = 3


tap = Tap()
wanted = sys.argv[1:]
BOTH = (frames_go_both_ways, full_ring_keeps_the_next_frame, filters_keep_what_is_not_for_us)
for name, card, cases in (
        ("", Pcnet, (registers_of_both_widths, short_frames_are_padded, card_polls, looped_back_frames_stay_within,
                     line_follows_its_masks, missing_memory_is_told, parts_without_a_frame_are_given_back, *BOTH,
                     random_registers_and_descriptors_never_hurt)),
        ("_in_16_bits", Style0, BOTH), ("_in_the_other_order", Style3, BOTH)):
    for case in cases:
        def with_card(case=case, card=card):
            with card() as q:
                case(q)
        if not wanted or case.__name__ + name in wanted:
            tap.case(case.__name__ + name, with_card)
tap.done()
