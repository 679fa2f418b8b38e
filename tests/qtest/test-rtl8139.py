# SPDX-License-Identifier: LGPL-2.1-or-later
"""Realtek RTL8139C+ by its data sheet: EEPROM, both ways to send and to receive, filters, checksums, lies of guests."""
import random
import struct

from nic import ALL, DATA, MAC, MEMORY, PEER, PORTS, RING, Nic, checksum, frame, ipv4, tcp, tcp_sum
from qtest import Tap

TSD, TSAD, RBSTART, CR, CAPR, CBR, IMR, ISR, TCR, RCR, CR9346 = 0x10, 0x20, 0x30, 0x37, 0x38, 0x3A, 0x3C, 0x3E, 0x40, 0x44, 0x50
MAR, BMSR, MSR, TPPOLL, CPCR, RDSAR, TCTR, TIMERINT = 8, 0x64, 0x58, 0xD9, 0xE0, 0xE4, 0x48, 0x54
OWN, EOR, FS, LS, LARGE = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27


class Rtl8139(Nic):
    def __init__(self):
        super().__init__("rtl8139", ["ports", "memory"])
        self.base = MEMORY + (1 << 20)

    def b(self, at, value=None):
        return self.readb(self.base + at) if value is None else self.writeb(self.base + at, value)

    def w(self, at, value=None):
        return self.readw(self.base + at) if value is None else self.writew(self.base + at, value)

    def l(self, at, value=None):
        return self.readl(self.base + at) if value is None else self.writel(self.base + at, value)

    def start(self, rcr=0x8A):
        """C mode: a ring of 8 KiB; physical matches, broadcast, WRAP."""
        self.b(CR, 0x10)
        self.l(RBSTART, DATA)
        self.b(CR, 0x0C)
        self.l(RCR, rcr)

    def start_plus(self, extra=0):
        self.b(CR, 0x10)
        for n in range(4):
            self.write(RING + 16 * n, struct.pack("<IIQ", OWN | (EOR if n == 3 else 0) | 1600, 0, DATA + 2048 * n))
            self.write(RING + 0x1000 + 16 * n, bytes(16))
        self.w(CPCR, 3 | extra)
        self.l(RDSAR, RING)
        self.l(0x20, RING + 0x1000)
        self.b(CR, 0x0C)
        self.l(RCR, 0x0A)

    def heard(self, data):
        """C mode: is it received? Told by a broadcast behind it."""
        before = self.w(CBR)
        self.send(data)
        self.send(frame(b"behind", ALL))
        self.eventually(lambda: self.w(CBR) != before, "the broadcast")
        at = before
        while True:
            length = self.readw(DATA + at + 2)
            if self.read(DATA + at + 18, 6) == b"behind":
                break
            at += (length + 7) & ~3
            self.eventually(lambda at=at: self.w(CBR) > at, "the broadcast")
        self.w(CAPR, (self.w(CBR) - 16) & 0xFFFF)
        return at != before


def eeprom_tells_the_address(q):
    words = []
    for word in (0, 7, 8, 9):
        q.b(CR9346, 0x88)
        for bit in "110" + format(word, "06b"):
            for clock in (0, 4, 0):
                q.b(CR9346, 0x88 | int(bit) << 1 | clock)
        value = 0
        for _ in range(16):
            q.b(CR9346, 0x8C)
            value = value << 1 | q.b(CR9346) & 1
            q.b(CR9346, 0x88)
        words.append(value)
        q.b(CR9346, 0x80)
    assert words[0] == 0x8129, hex(words[0])
    assert struct.pack("<3H", *words[1:]) == MAC
    assert q.read(q.base, 6) == MAC
    assert q.l(TCR) & 0x7CC00000 == 0x74800000, "no C+"
    assert q.w(BMSR) & 4 and not q.b(MSR) & 4
    assert q.inl(PORTS) == struct.unpack("<I", MAC[:4])[0], "the ports show the same"


def slots_send_in_turn(q):
    q.start()
    q.w(IMR, 4)
    for n in range(6):
        data = frame(bytes([n]) * (50 + n), PEER, MAC)
        q.write(DATA + 0x10000, data)
        q.l(TSAD + 4 * (n % 4), DATA + 0x10000)
        q.l(TSD + 4 * (n % 4), len(data))
        assert q.sent() == data
        assert q.l(TSD + 4 * (n % 4)) & 0xA000 == 0xA000
        assert q.w(ISR) & 4
        q.w(ISR, 4)
        assert not q.w(ISR) & 4


def ring_of_bytes_holds_frames_with_their_header(q):
    q.start()
    assert q.b(CR) & 1, "it is empty"
    at = 0
    for n in range(12):  # more than once round
        data = frame(bytes([n]) * (700 + n))
        q.send(data)
        q.eventually(lambda: not q.b(CR) & 1, "the frame")
        status, length = struct.unpack("<HH", q.read(DATA + at, 4))
        assert status & 0x4001 == 0x4001 and length == len(data) + 4, (hex(status), length)
        assert q.read(DATA + at + 4, len(data)) == data
        at = (at + length + 7) & ~3
        at %= 8192
        q.w(CAPR, (at - 16) & 0xFFFF)
        assert q.w(CBR) == at and q.b(CR) & 1


def full_ring_keeps_the_next_frame(q):
    q.start()
    for n in range(8):
        q.send(frame(bytes([n]) * 1400))
    q.eventually(lambda: q.w(ISR) & 0x10, "an overflow")
    before = q.w(CBR)
    q.w(CAPR, (before - 16) & 0xFFFF)
    q.eventually(lambda: q.w(CBR) != before, "the frame that waited")


def filters_keep_what_is_not_for_us(q):
    q.start()
    other, group = b"\x52\x54\0\x99\x99\x99", b"\x01\0\x5e\0\0\x01"
    assert q.heard(frame(b"1" * 60))
    assert not q.heard(frame(b"2" * 60, other))
    assert not q.heard(frame(b"3" * 60, group))
    q.l(RCR, 0x8E)
    q.l(MAR, 0xFFFFFFFF)
    q.l(MAR + 4, 0xFFFFFFFF)
    assert q.heard(frame(b"4" * 60, group))
    q.l(MAR, 0)
    q.l(MAR + 4, 0)
    assert not q.heard(frame(b"5" * 60, group))
    q.l(RCR, 0x8F)
    assert q.heard(frame(b"6" * 60, other))


def descriptors_send_with_sums_and_tags(q):
    q.start_plus()
    right = frame(ipv4(tcp(b"data" * 50)), PEER, MAC)
    blank = right[:24] + b"\0\0" + right[26:50] + b"\0\0" + right[52:]
    q.write(DATA + 0x10000, blank)
    ring = RING + 0x1000
    q.write(ring, struct.pack("<IIQ", OWN | FS | 100, 0, DATA + 0x10000))
    q.write(ring + 16, struct.pack("<IIQ", OWN | LS | EOR | 7 << 16 | len(blank) - 100, 0, DATA + 0x10000 + 100))
    q.write(ring, struct.pack("<I", OWN | FS | 7 << 16 | 100))
    q.b(TPPOLL, 0x40)
    assert q.sent() == right
    assert not q.readl(ring) & OWN and not q.readl(ring + 16) & OWN and not q.b(TPPOLL) & 0x40
    q.write(DATA + 0x10000, frame(b"v" * 60, PEER, MAC))
    q.write(ring, struct.pack("<IIQ", OWN | FS | LS | 74, 1 << 17 | 0x6420, DATA + 0x10000))
    q.b(TPPOLL, 0x40)
    assert q.sent() == PEER + MAC + b"\x81\0\x20\x64\x08\0" + b"v" * 60


def large_send_is_cut(q):
    q.start_plus()
    payload = bytes(n * 5 & 255 for n in range(4000))
    q.write(DATA + 0x10000, frame(ipv4(tcp(payload)), PEER, MAC))
    q.write(RING + 0x1000, struct.pack("<IIQ", OWN | FS | LS | LARGE | 1400 << 16 | 54 + 4000, 0, DATA + 0x10000))
    q.b(TPPOLL, 0x40)
    got = b""
    for _ in range(3):
        f = q.sent()
        assert checksum(f[14:34]) == 0 and tcp_sum(f[34:]) == 0
        got += f[54:]
    assert got == payload


def descriptors_receive_and_judge(q):
    q.start_plus(0x60)
    good = frame(ipv4(tcp(b"hello" * 20)))
    for n, (data, want) in enumerate(((good, 0x20000), (good[:-1] + b"!", 0x24000), (good[:22] + b"\1" + good[23:], 0x30000))):
        q.send(data)
        q.eventually(lambda n=n: not q.readl(RING + 16 * n) & OWN, "a frame")
        status = q.readl(RING + 16 * n)
        assert status & 0x7C000 == want, (n, hex(status))
        assert status & 0x3FFF == len(data) + 4 and status & (FS | LS) == FS | LS
        assert q.read(DATA + 2048 * n, len(data)) == data
    q.send(MAC + PEER + b"\x81\0\x20\x65\x08\0" + b"z" * 60)
    q.eventually(lambda: not q.readl(RING + 48) & OWN, "a tagged frame")
    assert q.readl(RING + 52) == 0x16520 and q.read(DATA + 2048 * 3, 74) == frame(b"z" * 60)
    q.send(good)
    q.eventually(lambda: q.w(ISR) & 0x10, "an overflow")
    q.writel(RING, OWN | 1600)
    q.w(IMR, 0x7F)  # what drivers do when they have given new descriptors
    q.eventually(lambda: not q.readl(RING) & OWN, "the frame that waited")
    q.writel(RING + 16, OWN | 1600)
    q.writel(RING + 32, 0)
    q.send(good)
    q.eventually(lambda: not q.readl(RING + 16) & OWN, "another frame")
    q.send(good)
    q.eventually(lambda: q.w(ISR) & 0x10, "an overflow")
    q.writel(RING + 32, OWN | 1600)
    q.w(ISR, 0x10)
    q.eventually(lambda: not q.readl(RING + 32) & OWN, "the frame that waited")
    q.writel(RING + 48, 0)
    q.send(good)
    q.eventually(lambda: q.w(ISR) & 0x10, "an overflow")
    q.writel(RING + 48, OWN | 1600)
    q.b(CR, 0x0C)
    q.eventually(lambda: not q.readl(RING + 48) & OWN, "the frame that waited")


def timer_counts_and_calls(q):
    q.l(TCTR, 0)
    q.clock_step(3000)
    assert q.l(TCTR) in (99, 100, 101)
    q.l(TIMERINT, 1000)
    q.l(TCTR, 0)
    q.clock_step(29000)
    assert not q.w(ISR) & 0x4000
    q.clock_step(2000)
    assert q.w(ISR) & 0x4000


def looped_back_frames_stay_within(q):
    q.start(0x8F)
    q.l(TCR, 0x60000)
    data = frame(b"loop" * 20)
    q.write(DATA + 0x10000, data)
    q.l(TSAD, DATA + 0x10000)
    q.l(TSD, len(data))
    assert q.read(DATA + 4, len(data)) == data
    assert q.nothing_sent() is None
    # A slot that lies in the ring that it is looped back to, on the registers, and in nowhere.
    for where in (DATA, q.base, 0xFFFFFFF0):
        q.l(RBSTART, where)
        for n in range(5):
            q.l(TSAD + 4 * (n % 4), where)
            q.l(TSD + 4 * (n % 4), 1792)
    assert q.qmp("query-status")


def random_registers_and_descriptors_never_hurt(q):
    rand = random.Random(8139)
    for n in range(2500):
        if n % 60 == 0:
            (q.start_plus if n % 120 else q.start)(rand.choice((0x60, 0)) if n % 120 else rand.getrandbits(16) | 0xF)
            q.write(RING + 0x1000, rand.randbytes(64))
            for d in range(4):
                q.writel(RING + 0x1000 + 16 * d + 8, DATA + rand.randrange(70000))
                q.writel(RING + 0x1000 + 16 * d + 12, 0)
        at = rand.choice((TSD, TSD + 4, TSAD, RBSTART, CAPR, RCR, TCR, TPPOLL, CPCR, RDSAR, 0x20, CR, rand.randrange(253)))
        rand.choice((q.b, q.w, q.l))(at, rand.choice((rand.getrandbits(8), rand.getrandbits(16), rand.getrandbits(24))))
        if n % 4 == 0:
            q.b(CR, 0x0C)
            q.b(TPPOLL, 0xC0)
        if n % 5 == 0:
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 9000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


tap = Tap()
for case in (eeprom_tells_the_address, slots_send_in_turn, ring_of_bytes_holds_frames_with_their_header,
             full_ring_keeps_the_next_frame, filters_keep_what_is_not_for_us, descriptors_send_with_sums_and_tags,
             large_send_is_cut, descriptors_receive_and_judge, timer_counts_and_calls, looped_back_frames_stay_within,
             random_registers_and_descriptors_never_hurt):
    def with_card(case=case):
        with Rtl8139() as q:
            case(q)
    tap.case(case.__name__, with_card)
tap.done()
