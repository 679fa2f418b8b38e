# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel 8255x by its software developer's manual: EEPROM, MDI, command blocks, receive areas, statistics, lies of guests."""
import random
import struct
import sys

from nic import ALL, DATA, MAC, MEMORY, PEER, RING, Nic, frame
from qtest import Tap

ACK, COMMAND, MASK, POINTER, PORT, EEPROM, MDI = 1, 2, 3, 4, 8, 0x0E, 0x10
CX, FR, CNA, RNR = 0x80, 0x40, 0x20, 0x10
START, RESUME, DUMP_AT, DUMP, CU_BASE, DUMP_RESET = 0x10, 0x20, 0x40, 0x50, 0x60, 0x70
RU_START, RU_RESUME, RU_ABORT, RU_BASE = 1, 2, 4, 6
EL, S, I, FLEXIBLE = 0x8000, 0x4000, 0x2000, 8
CONFIG = bytes((22, 8, 0, 1, 0, 0, 0x26, 3, 1, 0, 0x2E, 0, 0x60, 0, 0xF2, 0xC8, 0, 0x40, 0xFA, 0x80, 0x3F, 5))
CB, RFD, COUNTS = RING, RING + 0x4000, RING + 0x8000


class I8255x(Nic):
    model = "i82559c"

    def __init__(self):
        super().__init__(self.model, ["memory", "ports", "memory"])
        self.base = MEMORY

    def b(self, at, value=None):
        return self.readb(self.base + at) if value is None else self.writeb(self.base + at, value)

    def l(self, at, value=None):
        return self.readl(self.base + at) if value is None else self.writel(self.base + at, value)

    def scb(self, command, pointer=0):
        self.l(POINTER, pointer)
        self.b(COMMAND, command)
        assert self.b(COMMAND) == 0

    def states(self):
        return self.b(0) >> 6, self.b(0) >> 2 & 15

    def mdi(self, reg, value=None, phy=1):
        self.l(MDI, (2 if value is None else 1) << 26 | phy << 21 | reg << 16 | (value or 0))
        result = self.l(MDI)
        assert result & 1 << 28
        return result & 0xFFFF

    def block(self, command, data, at=CB, link=0xFFFFFFFF):
        self.write(at, struct.pack("<HHI", 0, command, link) + data)

    def run(self, command, data):
        self.block(command | EL, data)
        self.scb(START, CB)
        return self.readw(CB)

    def start(self, config=CONFIG, areas=4, size=1600):
        self.l(PORT, 0)
        self.b(MASK, 1)
        self.scb(CU_BASE)
        self.scb(RU_BASE)
        assert self.run(2, config) == 0xA000
        assert self.run(1, MAC) == 0xA000
        for n in range(areas):
            self.write(RFD + 2048 * n, struct.pack("<HHIIHH", 0, EL if n == areas - 1 else 0, RFD + 2048 * ((n + 1) % areas),
                                                   0xFFFFFFFF, 0, size))
        self.b(ACK, 0xFF)
        self.scb(RU_START, RFD)
        assert self.states() == (0, 4)
        self.at = 0

    def heard(self):
        at = RFD + 2048 * self.at
        self.eventually(lambda: self.readw(at) & 0x8000, "a frame")
        count = self.readw(at + 12)
        assert count & 0xC000 == 0xC000
        self.at += 1
        return self.readw(at), self.read(at + 16, count & 0x3FFF)

    def tcb(self, data, at, flags=0, link=0xFFFFFFFF):
        self.block(4 | flags, struct.pack("<IHBB", 0xFFFFFFFF, len(data) | 0x8000, 1, 0) + data, at, link)


def eeprom_tells_the_address(q):
    def lines(data=0, clock=0, select=2):
        q.b(EEPROM, select | data << 2 | clock)

    def command(bits, answer=0):
        lines()
        value = 0
        for bit in bits:
            lines(int(bit))
            lines(int(bit), 1)
        if answer:
            assert not q.b(EEPROM) & 8, "a zero comes first"
        for _ in range(answer):
            lines()
            lines(0, 1)
            value = value << 1 | q.b(EEPROM) >> 3 & 1
        lines(select=0)
        return value

    def words():
        return [command("110" + format(n, "06b"), 16) for n in range(64)]
    assert struct.pack("<3H", *words()[:3]) == MAC and sum(words()) & 0xFFFF == 0xBABA
    twice = command("110000000", 32)  # word after word
    assert twice == words()[0] << 16 | words()[1]
    before = words()
    command("101" + format(60, "06b") + format(0x1234, "016b"))
    assert words() == before, "writing was not enabled"
    command("10011" + "0000")
    command("101" + format(60, "06b") + format(0x1234, "016b"))
    assert words()[60] == 0x1234 and words()[:60] == before[:60]
    command("111" + format(60, "06b"))
    assert words()[60] == 0xFFFF
    command("10000" + "0000")
    command("111" + format(61, "06b"))
    assert words()[61] == before[61]


def phy_answers(q):
    assert q.mdi(2) == 0x02A8 and q.mdi(1) & 0x24 == 0x24 and q.mdi(0) == 0x3100
    assert q.mdi(2, phy=2) == 0xFFFF, "there is one only"
    q.mdi(4, 0x0061)
    assert q.mdi(4) == 0x0061 and q.mdi(5) & 0x1E0 == 0x1E0
    q.qmp("set_link", {"name": "n", "up": False})
    assert not q.mdi(1) & 4 and q.b(0x1D) == 0
    q.qmp("set_link", {"name": "n", "up": True})
    assert q.mdi(1) & 4 and q.b(0x1D) == 7
    q.mdi(0, 0x8000)
    assert q.mdi(0) == 0x3100 and q.mdi(4) == 0x05E1
    q.l(MDI, 1 << 29 | 2 << 26 | 1 << 21)
    assert q.b(ACK) & 8


def card_tests_itself(q):
    q.write(DATA, b"\xff" * 8)
    q.l(PORT, DATA | 1)
    assert q.readl(DATA) not in (0, 0xFFFFFFFF) and q.readl(DATA + 4) == 0


def blocks_send(q):
    q.start()
    small, plain = frame(b"s" * 10, PEER, MAC), frame(b"p" * 600, PEER, MAC)
    q.tcb(small, CB, I, CB + 0x400)
    q.tcb(plain, CB + 0x400, S | I, CB + 0x800)
    q.scb(START, CB)
    got = q.sent()
    assert got[:24] == small and len(got) == 60, "padded"
    assert q.sent() == plain
    assert q.readw(CB) == q.readw(CB + 0x400) == 0xA000
    assert q.states() == (1, 4) and q.b(ACK) & (CX | CNA) == CX | CNA
    big = frame(bytes(n & 255 for n in range(1400)), PEER, MAC)
    q.write(DATA, big)
    q.block(4 | FLEXIBLE | EL, struct.pack("<IHBB", CB + 0x900, 0, 1, 3) + struct.pack("<IIII", DATA, 14, DATA + 14, 1000),
            CB + 0x800)
    q.write(CB + 0x900, struct.pack("<II", DATA + 1014, 400 | 1 << 16))
    q.scb(RESUME)
    assert q.sent() == big and q.states()[0] == 0
    q.scb(RESUME)  # nothing to go on with
    assert q.nothing_sent() is None
    standard = bytearray(CONFIG)
    standard[6] |= 0x10
    q.start(bytes(standard))
    q.block(4 | FLEXIBLE | EL, struct.pack("<IHBB", CB + 0x900, 0, 1, 1))
    q.write(CB + 0x900, struct.pack("<IIII", DATA, 100 | 1 << 16, DATA, 100))
    q.writeb(CB + 15, 2)  # one more than its last
    q.scb(START, CB)
    assert q.sent() == big[:100]
    inserted = bytearray(CONFIG)
    inserted[10] &= ~8
    q.start(bytes(inserted))
    q.tcb(frame(b"x" * 60, PEER, b"\0" * 6), CB, EL)
    q.scb(START, CB)
    assert q.sent() == frame(b"x" * 60, PEER, MAC)


def areas_receive(q):
    q.start()
    for n in range(4):
        data = frame(bytes([n]) * (46 + 400 * n))
        q.send(data)
        status, got = q.heard()
        assert got == data and status == 0xA000, hex(status)
        assert q.b(ACK) & FR
    assert q.states()[1] == 2 and q.b(ACK) & RNR
    q.send(frame(b"waits" * 20))
    q.write(RFD + 2048, struct.pack("<HHIIHH", 0, 0, RFD, 0xFFFFFFFF, 0, 50))
    q.write(RFD, struct.pack("<HHIIHH", 0, EL, RFD, 0xFFFFFFFF, 0, 0))  # of no size: it stops there
    q.scb(RU_START, RFD + 2048)
    q.at = 1
    status, got = q.heard()
    assert got == frame(b"waits" * 20)[:50] and status & 0x2200 == 0x200, "what has no room is cut"
    q.send(frame(b"later" * 20))
    q.eventually(lambda: q.states()[1] == 2, "the end")
    assert q.readw(RFD) == 0
    flexible = struct.pack("<HHIIHH", 0, S | FLEXIBLE, RFD, RFD + 0x1000, 0, 0)
    q.write(RFD, flexible)
    for n in range(3):
        q.write(RFD + 0x1000 + 16 * n, struct.pack("<IIIH", 0, RFD + 0x1010 + 16 * n, DATA + 100 * n, 60 | (EL if n == 2 else 0)))
    q.scb(RU_START, RFD)
    q.eventually(lambda: q.readw(RFD) & 0x8000, "a frame")
    assert q.read(DATA, 60) + q.read(DATA + 100, 54) == frame(b"later" * 20)
    assert q.readw(RFD + 0x1000) == 0x4000 | 60 and q.readw(RFD + 0x1010) == 0xC000 | 54
    assert q.states()[1] == 1
    q.scb(RU_RESUME)
    assert q.states()[1] == 4
    q.scb(RU_ABORT)
    assert q.states()[1] == 0


def filters_keep_what_is_not_for_us(q):
    group, other = b"\x01\0\x5e\0\0\x07", b"\x52\x54\0\x99\x99\x99"

    def changed(at, bits):
        config = bytearray(CONFIG)
        config[at] ^= bits
        return bytes(config)
    for config, groups, to, wanted in ((CONFIG, (), ALL, 2), (changed(15, 2), (), ALL, None), (CONFIG, (), group, None),
                                       (CONFIG, (group,), group, 2), (CONFIG, (b"\x01\0\x5e\0\0\x09",), group, None),
                                       (changed(21, 8), (), group, 2), (CONFIG, (), other, None),
                                       (changed(15, 1), (), other, 2), (CONFIG, (), MAC, 0)):
        q.start(config)
        assert q.run(3, struct.pack("<H", 6 * len(groups)) + b"".join(groups)) == 0xA000
        q.send(frame(b"first." * 10, to))
        q.send(frame(b"second" * 10, MAC))
        status, got = q.heard()
        assert (got[14:20] == b"first.") == (wanted is not None), (config, groups, to)
        if wanted is not None:
            assert status & 2 == wanted
    q.start(changed(18, 4))
    q.send(frame(b"with FCS" * 10))
    assert len(q.heard()[1]) == 98


def counters_are_dumped(q, length=80):
    q.start()
    q.tcb(frame(b"x" * 60, PEER, MAC), CB, EL)
    q.scb(START, CB)
    q.scb(START, CB)
    q.send(frame(b"y" * 60))
    q.heard()
    q.scb(DUMP_AT, COUNTS)
    for command, end in ((DUMP, 0xA005), (DUMP_RESET, 0xA007), (DUMP, 0xA005)):
        q.write(COUNTS, b"\xff" * 96)
        q.scb(command)
        assert q.readl(COUNTS + length) == end and q.readl(COUNTS + length + 4) == 0xFFFFFFFF
        counted = (q.readl(COUNTS), q.readl(COUNTS + 36))
        assert counted == ((2, 1) if command != DUMP or counted[0] else (0, 0)), counted
    assert counted == (0, 0)
    if length == 80:  # without those of TCO
        q.run(2, CONFIG[:6] + bytes((CONFIG[6] & ~4,)) + CONFIG[7:])
        q.write(COUNTS, b"\xff" * 96)
        q.scb(DUMP)
        assert q.readl(COUNTS + 64) == 0xA005 and q.readl(COUNTS + 68) == 0xFFFFFFFF
        q.run(2, CONFIG[:6] + bytes((CONFIG[6] & ~0x24,)) + CONFIG[7:])
        q.scb(DUMP)
        assert q.readl(COUNTS + 76) == 0xA005


def counters_of_an_82557(q):
    counters_are_dumped(q, 64)


def causes_have_masks(q):
    q.watch_line()
    q.start()
    q.b(MASK, 0)
    assert not q.line()
    q.b(MASK, 2)
    assert q.line() and q.b(ACK) == 4 and q.b(MASK) == 0
    q.b(MASK, 1)
    assert not q.line()
    q.b(MASK, 0)
    q.b(ACK, 4)
    assert not q.line() and q.b(ACK) == 0
    q.b(MASK, 0x80 | 0x20)
    q.tcb(frame(b"x" * 60, PEER, MAC), CB, EL | I)
    q.scb(START, CB)
    assert q.b(ACK) == 0xA0 and not q.line()
    q.b(MASK, 0x20)
    assert q.line()


def looped_back_frames_stay_within(q):
    config = bytearray(CONFIG)
    config[10] |= 0x40
    q.start(bytes(config))
    q.tcb(frame(b"loop" * 30), CB, EL)
    q.scb(START, CB)
    assert q.heard()[1] == frame(b"loop" * 30) and q.nothing_sent() is None
    for where in (CB, q.base, 0xFFFFFFF0):  # areas upon blocks, upon registers, nowhere
        q.tcb(frame(b"loop" * 30), CB, 0, CB)
        q.scb(RU_START, where)
        q.scb(START, CB)
    assert q.qmp("query-status")


def list_without_an_end_lets_others_work(q):
    q.start()
    q.block(0, b"", CB, CB)
    q.scb(START, CB)
    assert q.states()[0] == 2
    q.clock_step(1000000)
    q.writew(CB + 2, EL)
    q.clock_step(1000000)
    assert q.states()[0] == 0
    q.scb(START, 0xF0000000)
    assert q.states()[0] == 0, "no block there"


def random_registers_and_blocks_never_hurt(q):
    rand = random.Random(8255)
    for n in range(1500):
        if n % 40 == 0:
            q.start(bytes((22,)) + rand.randbytes(21), 4, rand.choice((0, 60, 1600)))
        at = CB + 64 * rand.randrange(64)
        q.write(at, struct.pack("<HHIIHBB", 0, rand.choice((4, 12, 2, 3, 6, rand.getrandbits(16))), CB + 64 * rand.randrange(64),
                                rand.choice((CB, DATA, 0xFFFFFFFF, q.base)), rand.getrandbits(16), 1, rand.getrandbits(8)))
        q.scb(rand.choice((START, RESUME, DUMP, RU_START, 0xA0, rand.getrandbits(8))), at)
        reg = rand.randrange(64)
        rand.choice((q.b, q.l))(reg, rand.getrandbits(8) if reg < 8 or reg > 12 else DATA | rand.getrandbits(4))
        q.b(reg)
        if n % 4 == 0:
            q.scb(RU_START, RFD + 2048 * rand.randrange(4))
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 4092, 9000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


class I82557b(I8255x):
    model = "i82557b"


tap = Tap()
wanted = sys.argv[1:]
for case in (eeprom_tells_the_address, phy_answers, card_tests_itself, blocks_send, areas_receive,
             filters_keep_what_is_not_for_us, counters_are_dumped, counters_of_an_82557, causes_have_masks,
             looped_back_frames_stay_within, list_without_an_end_lets_others_work, random_registers_and_blocks_never_hurt):
    def with_card(case=case):
        with (I82557b if case is counters_of_an_82557 else I8255x)() as q:
            case(q)
    if not wanted or case.__name__ in wanted:
        tap.case(case.__name__, with_card)
tap.done()
