# SPDX-License-Identifier: LGPL-2.1-or-later
"""Digital 21143 by its hardware reference manual: SROM, MII, lists of both kinds, setup frames, timer, lies of guests."""
import binascii
import random
import struct
import sys

from nic import ALL, DATA, MAC, MEMORY, PEER, RING, Nic, frame
from qtest import Tap

BUS, TX_POLL, RX_POLL, RX_LIST, TX_LIST, STATUS, MODE, ENABLE, SERIAL, TIMER = 0, 1, 2, 3, 4, 5, 6, 7, 9, 11
OWN = 1 << 31
FS, LS, IC, SETUP, END, CHAIN = 1 << 29, 1 << 30, 1 << 31, 1 << 27, 1 << 25, 1 << 24
SR, ST = 2, 1 << 13
TI, TU, RI, RU, NIS, AIS = 1, 4, 0x40, 0x80, 1 << 16, 1 << 15
RX, TX = RING, RING + 0x1000


class Tulip(Nic):
    def __init__(self):
        super().__init__("tulip", ["ports", "memory"])
        self.base = MEMORY + (1 << 20)

    def csr(self, n, value=None):
        return self.readl(self.base + 8 * n) if value is None else self.writel(self.base + 8 * n, value)

    def give(self, n, control, buffer, other=0):
        self.write(TX + 16 * n, struct.pack("<IIII", OWN, control, buffer, other))

    def give_rx(self, n, chain=False):
        control = 1000 | (CHAIN if chain else 600 << 11 | (END if n == 3 else 0))
        other = RX + 16 * ((n + 1) % 4) if chain else DATA + 2048 * n + 1000
        self.write(RX + 16 * n, struct.pack("<IIII", OWN, control, DATA + 2048 * n, other))

    def setup(self, addresses, flags=0):
        data = b"".join(a[0:2] + a[0:2] + a[2:4] + a[2:4] + a[4:6] + a[4:6] for a in addresses)
        self.setup_raw((data + data[-12:] * 16)[:192], flags)

    def setup_raw(self, data, flags=0):
        self.write(DATA + 0x20000, data)
        self.give(self.tx, SETUP | IC | flags | 192 | (END if self.tx == 7 else 0), DATA + 0x20000)
        at = TX + 16 * self.tx
        self.tx = (self.tx + 1) % 8
        self.csr(TX_POLL, 1)
        assert self.readl(at) == 0x7FFFFFFF

    def start(self, mode=0, addresses=(MAC,), flags=0, chain=False, enable=0x1FFFF):
        self.csr(BUS, 1)
        self.csr(BUS, 0)
        for n in range(4):
            self.give_rx(n, chain)
        self.write(TX, bytes(128))
        self.csr(RX_LIST, RX)
        self.csr(TX_LIST, TX)
        self.csr(ENABLE, enable)
        self.csr(MODE, mode | SR | ST)
        self.tx = self.rx = 0
        self.setup(addresses, flags)
        self.csr(STATUS, 0xFFFFFFFF)

    def heard(self, chain=False):
        data, status = b"", 0
        while not status & 0x100:
            at = RX + 16 * self.rx
            self.eventually(lambda at=at: not self.readl(at) & OWN, "a frame")
            status = self.readl(at)
            assert bool(status & 0x200) == (data == b"")
            data += self.read(DATA + 2048 * self.rx, 1000 if chain else 1600)
            self.give_rx(self.rx, chain)
            self.rx = (self.rx + 1) % 4
        length = status >> 16 & 0x3FFF
        return status, data[:length]

    def transmit(self, data, second=0):
        self.write(DATA + 0x10000, data)
        self.give(self.tx, FS | LS | IC | len(data) - second | second << 11 | (END if self.tx == 7 else 0), DATA + 0x10000,
                  DATA + 0x10000 + len(data) - second)
        at = TX + 16 * self.tx
        self.tx = (self.tx + 1) % 8
        self.csr(TX_POLL, 1)
        return at


def srom_describes_the_card(q):
    words = []
    for n in range(64):
        q.csr(SERIAL, 0x4800)
        q.csr(SERIAL, 0x4801)
        for bit in "110" + format(n, "06b"):
            q.csr(SERIAL, 0x4801 | int(bit) << 2)
            q.csr(SERIAL, 0x4803 | int(bit) << 2)
        assert not q.csr(SERIAL) & 8
        value = 0
        for _ in range(16):
            q.csr(SERIAL, 0x4801)
            q.csr(SERIAL, 0x4803)
            value = value << 1 | q.csr(SERIAL) >> 3 & 1
        words.append(value)
    data = struct.pack("<64H", *words)
    assert data[20:26] == MAC and data[18] == 3 and data[19] == 1
    assert struct.unpack("<H", data[126:])[0] == binascii.crc32(data[:126]) & 0xFFFF


def phy_is_reached_bit_by_bit(q):
    def clock(bit, read=False):
        value = 0x40000 if read else bit << 17
        q.csr(SERIAL, value)
        result = q.csr(SERIAL) >> 19 & 1
        q.csr(SERIAL, value | 1 << 16)
        return result

    def mdio(reg, value=None, phy=1):
        for bit in "1" * 33 + "01" + ("10" if value is None else "01") + format(phy, "05b") + format(reg, "05b"):
            clock(int(bit))
        if value is None:
            bits = [clock(0, True) for _ in range(19)]
            assert phy != 1 or bits[1] == 0, "its turnaround"
            return int("".join(map(str, bits[2:18])), 2)
        for bit in "10" + format(value, "016b"):
            clock(int(bit))
        return clock(0, True)
    assert mdio(2) == 0x2000 and mdio(1) & 0x24 == 0x24 and mdio(2, phy=3) == 0xFFFF
    mdio(4, 0x0081)
    assert mdio(4) == 0x0081
    q.qmp("set_link", {"name": "n", "up": False})
    assert not mdio(1) & 4
    q.qmp("set_link", {"name": "n", "up": True})
    assert mdio(1) & 4


def lists_of_both_kinds(q):
    for chain in (False, True):
        q.start(chain=chain)
        for n in range(9):
            data = frame(bytes([n]) * (60 + 150 * n), PEER, MAC)
            at = q.transmit(data, 40 if n % 2 else 0)
            assert q.sent() == data
            assert q.readl(at) == 0 and q.csr(STATUS) & (TI | TU | NIS) == TI | TU | NIS
            q.csr(STATUS, 0x1FFFF)
            assert not q.csr(STATUS) & (TI | NIS)
            data = frame(bytes([n]) * (46 + 170 * n))
            q.send(data)
            status, got = q.heard(chain)
            assert got[:-4] == data and not status & 0xC000DC80, hex(status)
            assert binascii.crc32(data) == struct.unpack("<I", got[-4:])[0]
            assert q.csr(STATUS) & RI


def frames_of_several_parts(q):
    q.start()
    data = frame(bytes(n & 255 for n in range(500)), PEER, MAC)
    q.write(DATA + 0x10000, data)
    q.give(1, FS | 100 << 11 | 14, DATA + 0x10000, DATA + 0x10000 + 14)
    q.csr(TX_POLL, 1)
    assert q.nothing_sent() is None, "its end is missing"
    q.give(2, LS | 400, DATA + 0x10000 + 114)
    q.csr(TX_POLL, 1)
    assert q.sent() == data and q.readl(TX + 16) == q.readl(TX + 32) == 0
    q.tx = 3
    q.transmit(b"\xff" * 20)
    assert q.sent() == b"\xff" * 20 + bytes(40), "padded"
    q.give(4, LS | 100, DATA + 0x10000)  # no beginning
    q.tx = 5
    q.transmit(data)
    assert q.sent() == data and q.readl(TX + 64) == 0
    q.csr(BUS, 4 << 2)  # four words between descriptors
    q.csr(MODE, 0)
    q.csr(TX_LIST, TX)
    q.give(0, FS | LS | 60, DATA + 0x10000)
    q.give(2, FS | LS | END | 70, DATA + 0x10000)
    q.csr(MODE, ST)
    assert len(q.sent()) == 60 and len(q.sent()) == 70


def full_list_keeps_the_next_frame(q):
    q.start()
    for n in range(7):
        q.send(frame(bytes([n]) * 700))
    q.eventually(lambda: q.csr(STATUS) & RU, "no descriptor")
    assert q.csr(STATUS) >> 17 & 7 == 4
    for n in range(7):
        assert q.heard()[1][14:-4] == bytes([n]) * 700
        q.csr(RX_POLL, 1)
    for n in range(5):
        q.send(frame(bytes([n]) * 700))
    for n in range(5):
        assert q.heard()[1][14:-4] == bytes([n]) * 700
        q.clock_step(2000000)  # it looks again by itself
    q.start()
    q.writel(RX + 4, END | 100)
    q.send(frame(b"long" * 200))
    status, _ = q.heard()
    assert status & 0xC000 == 0xC000, "it has no room for the end"


def filters_keep_what_is_not_for_us(q):
    group, other = b"\x01\0\x5e\0\0\x01", b"\x52\x54\0\x99\x99\x99"
    for mode, addresses, flags, to, wanted in (
            (0, (MAC,), 0, ALL, True), (0, (MAC,), 0, group, False), (0, (MAC, group), 0, group, True),
            (0x80, (MAC,), 0, group, True), (0, (MAC,), 0, other, False), (0x40, (MAC,), 0, other, True),
            (0, (other,) * 2, 1 << 28, group, True)):
        q.start(mode, addresses, flags)
        q.send(frame(b"first." * 10, to))
        q.send(frame(b"second" * 10, MAC))
        status, got = q.heard()
        assert (got[14:20] == b"first.") == wanted, (hex(mode), addresses, to)
        assert bool(status & 0x400) == (to[0] & 1 and wanted), hex(status)
        assert bool(status & 1 << 30) == (mode != 0 and wanted), hex(status)
    bit = (binascii.crc32(group) ^ 0xFFFFFFFF) & 511
    for one, wanted in ((bit, True), (bit ^ 1, False)):
        q.start()
        table = bytearray(192)
        table[one // 16 * 4 + one // 8 % 2] |= 1 << one % 8
        for n in range(6):
            table[156 + n // 2 * 4 + n % 2] = MAC[n]
            table[n // 2 * 4 + n % 2] |= other[n]  # where other frames have an address, these have bits
        q.setup_raw(bytes(table), 1 << 22)
        assert q.csr(MODE) & 0x15 == 1
        q.send(frame(b"not ours" * 8, other))
        q.send(frame(b"first." * 10, group))
        q.send(frame(b"second" * 10, MAC))
        assert (q.heard()[1][14:20] == b"first.") == wanted


def looped_back_frames_stay_within(q):
    q.start(mode=0x400)
    q.transmit(frame(b"loop" * 20))
    assert q.heard()[1][:-4] == frame(b"loop" * 20) and q.nothing_sent() is None
    for where in (DATA, TX, q.base, 0xFFFFFFF0):
        q.csr(RX_LIST, where)
        q.give(q.tx, FS | LS | CHAIN | 1000, where, TX)
        q.csr(TX_POLL, 1)
        q.csr(TX_LIST, TX)
        q.tx = 0
    assert q.qmp("query-status")


def timer_counts_and_calls(q):
    q.start()
    q.csr(TIMER, 100)
    q.clock_step(81920 * 60)
    assert 39 <= q.csr(TIMER) & 0xFFFF <= 41 and not q.csr(STATUS) & 0x800
    q.clock_step(81920 * 41)
    assert q.csr(STATUS) & (0x800 | NIS) == 0x800 | NIS
    q.csr(STATUS, 0x800)
    q.clock_step(81920 * 201)
    assert not q.csr(STATUS) & 0x800, "once"
    q.csr(TIMER, 1 << 16 | 10)
    for _ in range(2):
        q.clock_step(81920 * 11)
        assert q.csr(STATUS) & 0x800
        q.csr(STATUS, 0x800)
    q.csr(TIMER, 0)
    q.clock_step(81920 * 40)
    assert not q.csr(STATUS) & 0x800


def line_follows_its_masks(q):
    q.watch_line()
    q.start(enable=0)
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert q.csr(STATUS) & TI and not q.csr(STATUS) & NIS and not q.line()
    q.csr(ENABLE, TI)
    assert q.csr(STATUS) & NIS and not q.line()
    q.csr(ENABLE, TI | NIS)
    assert q.line()
    q.csr(STATUS, TI | NIS)
    assert not q.line()
    q.csr(ENABLE, 2 | AIS)
    q.csr(MODE, 0)
    assert q.csr(STATUS) & (2 | AIS) == 2 | AIS and q.line()


def random_registers_and_descriptors_never_hurt(q):
    rand = random.Random(21143)
    for n in range(1500):
        if n % 40 == 0:
            q.start(rand.choice((0, 0x40, 0x80, 0x400)), chain=rand.getrandbits(1))
            for d in range(8):
                q.write(TX + 16 * d, struct.pack("<IIII", OWN, rand.getrandbits(32), DATA + rand.randrange(70000),
                                                 rand.choice((TX, RX, DATA, q.base))))
            for d in range(4):
                q.writel(RX + 16 * d + 4, rand.getrandbits(32))
        q.csr(rand.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 11, rand.randrange(16))),
              rand.choice((rand.getrandbits(32), TX, RX, SR | ST, 0)))
        rand.choice((q.readb, q.readw, q.readl))(q.base + rand.randrange(125))
        if n % 3 == 0:
            q.csr(MODE, SR | ST | rand.choice((0, 0x400)))
            q.csr(TX_LIST, TX)
            q.csr(RX_LIST, RX)
            q.csr(TX_POLL, 1)
            q.clock_step(100000)
        if n % 5 == 0:
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 4092, 9000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


tap = Tap()
for case in (srom_describes_the_card, phy_is_reached_bit_by_bit, lists_of_both_kinds, frames_of_several_parts,
             full_list_keeps_the_next_frame, filters_keep_what_is_not_for_us, looped_back_frames_stay_within,
             timer_counts_and_calls, line_follows_its_masks, random_registers_and_descriptors_never_hurt):
    def with_card(case=case):
        with Tulip() as q:
            case(q)
    if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
        tap.case(case.__name__, with_card)
tap.done()
