# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMware's vmxnet3 as its driver's headers describe it: activation, rings and their generations, buffers for heads and
bodies, checksums, segments, filters, receive-side scaling, interrupts, counters, lies of guests."""
import random
import struct

from gigabit import KEY, MESSAGES, VERIFIED, Gigabit, flow
from nic import ALL, MAC, MEMORY, PEER, checksum, frame, ipv4, tcp, tcp_sum
from qtest import Tap

REGISTERS = MEMORY + 0x100000
VRRS, UVRS, DSAL, DSAH, CMD, MACL, MACH, INTX, ECR = 0, 8, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40
IMR, TXPROD, RXPROD = 0, 0x600, 0x800
ACTIVATE, QUIESCE, RESET, RX_MODE, MAC_FILTERS, VLAN_FILTERS, RSSIDT, FEATURE = (0xCAFE0000, 0xCAFE0001, 0xCAFE0002,
                                                                                0xCAFE0003, 0xCAFE0004, 0xCAFE0005,
                                                                                0xCAFE0006, 0xCAFE0009)
QUEUE_STATUS, STATS, LINK, MAC_LOW, MAC_HIGH = 0xF00D0000, 0xF00D0001, 0xF00D0002, 0xF00D0003, 0xF00D0004
SHARED, QUEUES, SCALING, LIST = 0x100000, 0x101000, 0x103000, 0x104000
TX, TX_DONE, RX, RX2, RX_DONE, DATA, RX_DATA = 0x110000, 0x111000, 0x120000, 0x121000, 0x122000, 0x200000, 0x300000
UNICAST, MULTICAST, BROADCAST, ALL_MULTI, PROMISCUOUS = 1, 2, 4, 8, 16
RXCSUM, RSS, RXVLAN = 1, 2, 4
BODY, GENERATION = 1 << 14, 1 << 31
EOP, CQ, TI = 0x1000, 0x2000, 0x8000
SLOTS = 8


class Vmxnet3(Gigabit):
    model, bars = "vmxnet3", ["memory", "memory", "memory"]

    def __init__(self):
        super().__init__()
        self.tx_at, self.tx_generation = 0, 1

    def get(self, register):
        return self.readl(REGISTERS + register)

    def put(self, register, value):
        self.writel(REGISTERS + register, value)

    def command(self, *words):
        """QTest's, or a command of the card's: its result."""
        if isinstance(words[0], str):
            return super().command(*words)
        self.put(CMD, words[0])
        return self.get(CMD)

    def areas(self, mode=UNICAST | BROADCAST, features=RXCSUM | RXVLAN, rx=1, mtu=1500, auto_mask=0, sizes=(2048,) * SLOTS,
              bodies=()):
        """The shared area, the queues' descriptors, and rings. `bodies`: slots of the first ring that are such."""
        misc = struct.pack("<IIIIQQQIIIHBB16x", 1, 0, 1, 1, features, 0, QUEUES, 0, 512, mtu, 1, 1, rx)
        interrupts = struct.pack("<BBB25xI8x", auto_mask, 3, 2, 0)
        filters = struct.pack("<IHHQ", mode, 0, 0, LIST) + b"\xff" * 512
        self.write(SHARED, struct.pack("<II", 3133079265, 720) + misc + interrupts + filters +
                   struct.pack("<IIQ", 1, 176, SCALING) + bytes(32) + bytes(24))
        self.write(QUEUES, bytes(16) + struct.pack("<QQQQQIIIIBBHI", TX, 0, TX_DONE, 0, 0, SLOTS, 0, SLOTS, 0, 0, 0, 0, 0) +
                   bytes(176))
        for n in range(rx):
            self.write(QUEUES + 256 * (n + 1), bytes(16) + struct.pack(
                "<QQQQQIIIIBBHI", RX + 0x8000 * n, RX2 + 0x8000 * n, RX_DONE + 0x8000 * n, 0, 0, SLOTS, SLOTS, 2 * SLOTS, 0,
                1, 0, 0, 0) + bytes(176))
            for i in range(SLOTS):
                self.receive_slot(i, sizes[i], n, i in bodies)
                self.write(RX2 + 0x8000 * n + 16 * i, struct.pack("<QII", RX_DATA + 0x80000 + 0x1000 * i,
                                                                   2048 | BODY | GENERATION, 0))
        self.put(DSAL, SHARED)
        self.put(DSAH, 0)

    def receive_slot(self, i, size=2048, queue=0, body=False, generation=GENERATION):
        self.write(RX + 0x8000 * queue + 16 * i, struct.pack("<QII", RX_DATA + 0x40000 * queue + 0x1000 * i,
                                                             size | (BODY if body else 0) | generation, 0))

    def start(self, **keys):
        self.areas(**keys)
        assert self.command(ACTIVATE) == 0

    def transmit(self, *parts, mode=0, header=0, rest=0, tag=None, last=EOP | CQ):
        """One packet of these parts, at DATA and on."""
        at = DATA
        for n, part in enumerate(parts):
            self.write(at, part)
            three = header | mode << 10 | (last if n + 1 == len(parts) else 0) | (TI | tag << 16 if tag else 0)
            self.write(TX + 16 * self.tx_at, struct.pack("<QII", at, len(part) & 0x3FFF | self.tx_generation << 14 | rest << 18,
                                                         three))
            at += len(part)
            self.tx_at += 1
            if self.tx_at == SLOTS:
                self.tx_at, self.tx_generation = 0, 1 - self.tx_generation
        self.writel(MEMORY + TXPROD, self.tx_at)

    def done(self, n=0, generation=1, queue=0):
        """Words of a completion, when it is there."""
        where = RX_DONE + 0x8000 * queue + 16 * n
        self.eventually(lambda: self.readl(where + 12) >> 31 == generation, "a frame")
        return struct.unpack("<IIII", self.read(where, 16))

    def got(self, n=0, generation=1, queue=0):
        """The bytes of a frame in one buffer."""
        zero, _, two, _ = self.done(n, generation, queue)
        assert zero & 0xC000 == 0xC000, "a whole one"
        return self.read(RX_DATA + 0x40000 * queue + 0x1000 * (zero & 0xFFF), two & 0x3FFF)


def card_says_what_it_is(q):
    assert (q.get(VRRS), q.get(UVRS)) == (1, 1)
    low, high = struct.unpack("<IH", MAC)
    assert (q.command(MAC_LOW), q.command(MAC_HIGH)) == (low, high) == (q.get(MACL), q.get(MACH))
    assert q.command(LINK) == 10000 << 16 | 1
    q.qmp("set_link", {"name": "n", "up": False})
    assert q.command(LINK) == 0
    assert q.command(0xCAFE000F) != 0 and q.command(0xF00D0012) != 0, "of later revisions"


def activation_looks_at_what_it_gets(q):
    assert q.command(ACTIVATE) != 0, "there is no shared area"
    for at, value in ((SHARED, b"\0"), (SHARED + 62, b"\x09"), (SHARED + 63, b"\0"), (SHARED + 82, b"\x19"),
                      (QUEUES + 56, struct.pack("<I", 4097)), (QUEUES + 64, bytes(4)), (QUEUES + 256 + 56, bytes(4)),
                      (QUEUES + 256 + 64, struct.pack("<I", 8193)), (QUEUES + 72, b"\x19"), (QUEUES + 16, bytes(8))):
        q.areas()
        q.write(at, value)
        assert q.command(ACTIVATE) != 0, hex(at)
    q.start()
    assert q.command(ACTIVATE) != 0, "it is active"
    assert q.readb(QUEUES + 256) == 1, "it wants to be told of buffers"
    assert q.command(RESET) == 0 and q.command(ACTIVATE) == 0


def frames_go_out_in_their_generations(q):
    q.start()
    for n in range(20):
        q.transmit(frame(bytes([n]) * 50, PEER, MAC), b"tail")
        assert q.sent() == frame(bytes([n]) * 50, PEER, MAC) + b"tail"
        word, _, _, last = struct.unpack("<IIII", q.read(TX_DONE + 16 * (n % SLOTS), 16))
        assert word == (2 * n + 1) % SLOTS and last == (0 if n // SLOTS % 2 else GENERATION), (word, hex(last))
    q.writel(MEMORY + TXPROD, 3)
    assert q.nothing_sent() is None, "these are of the last generation"
    q.transmit(frame(b"quiet" * 20, PEER, MAC), last=EOP)
    assert q.sent() == frame(b"quiet" * 20, PEER, MAC)
    assert q.readl(TX_DONE + 16 * 4 + 12) == 0, "nobody asked for a completion in the third round"
    assert q.command(QUIESCE) == 0
    q.transmit(frame(b"never" * 20, PEER, MAC))
    assert q.nothing_sent() is None


def checksums_tags_and_segments_are_made(q):
    q.start()
    want = frame(ipv4(tcp(b"payload" * 9)), PEER, MAC)
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 6, 20 + 63)
    q.transmit(want[:50] + struct.pack(">H", checksum(pseudo) ^ 0xFFFF) + want[52:], mode=2, header=34, rest=50, tag=0x2064)
    assert q.sent() == want[:12] + b"\x81\0\x20\x64" + want[12:]
    payload = bytes(n * 7 & 255 for n in range(5000))
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 6, 0)
    head = frame(ipv4(tcp(b"", flags=0x19)), PEER, MAC)
    head = head[:50] + struct.pack(">H", checksum(pseudo) ^ 0xFFFF) + head[52:]
    q.transmit(head, payload, mode=3, header=54, rest=1400)
    got = b""
    for n in range(4):
        f = q.sent()
        assert checksum(f[14:34]) == 0 and tcp_sum(f[34:]) == 0, n
        assert struct.unpack(">I", f[38:42])[0] == 1000 + len(got)
        got += f[54:]
    assert got == payload
    q.transmit(head, payload, mode=3, header=58, rest=1400)
    q.transmit(head, payload, mode=3, header=54, rest=0)
    q.transmit(b"short", mode=0)
    assert q.nothing_sent() is None, "these cannot be"
    assert q.command(STATS) == 0
    counters = struct.unpack("<10Q", q.read(QUEUES + 88, 80))
    assert counters[:4] == (4, 5054, 2, len(want) + 4 + 5054) and counters[8] == 3, counters


def frames_come_in_with_what_is_in_them(q):
    q.start()
    good = frame(ipv4(tcp(b"hello" * 20)))
    for n, (data, facts) in enumerate(((good, 0x2D0000), (good[:-1] + b"!", 0x2C0000), (good[:22] + b"\x01" + good[23:], 0x250000))):
        q.send(data)
        zero, _, two, three = q.done(n)
        assert q.got(n) == data and not zero & 1 << 30, hex(zero)
        assert three & 0x7F0000 == facts and three >> 24 & 127 == 3, (n, hex(three))
        assert zero >> 16 & 0x3FF == 0 and not two >> 15
    q.send(frame(b"no ip" * 20, kind=0x88B5))
    assert q.done(3)[0] & 1 << 30, "nothing was summed"
    q.send(MAC + PEER + b"\x81\0\x20\x65" + good[12:])
    _, _, two, three = q.done(4)
    assert two >> 15 == 0x2065 << 1 | 1 and three & 0x90000 == 0x90000 and q.got(4) == good
    q.send(b"\x52\x54\0\x12\x34\x56" + b"short")
    q.send(frame(b"s", kind=0x88B5))
    assert q.got(5) == frame(b"s", kind=0x88B5) + bytes(45)
    assert q.command(STATS) == 0
    counters = struct.unpack("<10Q", q.read(QUEUES + 256 + 88, 80))
    assert counters[2] == 6 and counters[3] == 4 * len(good) + 4 + 114 + 15, counters


def long_frame_takes_heads_and_bodies(q):
    q.start(mtu=9000, sizes=(1000,) * SLOTS, bodies=(1, 4))
    data = frame(bytes(n % 251 for n in range(6500)), kind=0x88B5)
    q.send(data)
    got, places = b"", []
    for n in range(5):
        zero, _, two, _ = q.done(n)
        ring, slot = zero >> 16 & 0x3FF, zero & 0xFFF
        places.append((ring, slot, zero >> 14 & 3))
        got += q.read(RX_DATA + (0x80000 if ring else 0) + 0x1000 * slot, two & 0x3FFF)
    assert places == [(0, 0, 2), (0, 1, 0), (1, 0, 0), (1, 1, 0), (1, 2, 1)], places
    assert got == data
    for n in range(2):
        q.send(frame(bytes([n]) * 600))
    assert [q.done(n)[0] & 0xFFF for n in (5, 6)] == [2, 3]
    q.send(frame(bytes(600)))
    assert q.done(7)[0] & 0xFFFF == 0xC005, "slot 4 is for bodies"
    q.send(frame(bytes(9020)))
    q.send(frame(b"behind" * 90))
    assert q.done(8)[0] & 0xFFFF == 0xC006, "longer than the MTU"


def full_ring_keeps_the_next_frame(q):
    q.start()
    for n in range(10):
        q.send(frame(bytes([n]) * 60))
    q.done(7)
    assert not q.readl(RX_DONE + 16 * 8 + 12), "there are no more buffers"
    q.receive_slot(0, generation=0)
    q.receive_slot(1, generation=0)
    q.writel(MEMORY + RXPROD, 2)
    assert q.got(8) == frame(bytes([8]) * 60) and q.got(9) == frame(bytes([9]) * 60)
    assert q.command(STATS) == 0
    assert struct.unpack("<10Q", q.read(QUEUES + 256 + 88, 80))[8] >= 1


def filters_keep_what_is_not_for_us(q):
    other, group = b"\x52\x54\0\x99\x99\x99", b"\x01\0\x5e\x01\x02\x03"
    q.start(mode=UNICAST)
    seen = [0]

    def heard(data):
        """Is it received? Told by one for us behind it."""
        q.send(data)
        q.send(frame(b"behind" * 12))
        both = q.got(seen[0] % 16, 1 - seen[0] // 16 % 2) != frame(b"behind" * 12)
        seen[0] += 2 if both else 1
        if both:
            q.got((seen[0] - 1) % 16, 1 - (seen[0] - 1) // 16 % 2)
        refill()
        return both

    given = [SLOTS]

    def refill():
        while given[0] < seen[0] + SLOTS:
            q.receive_slot(given[0] % SLOTS, generation=0 if given[0] // SLOTS % 2 else GENERATION)
            given[0] += 1
        q.writel(MEMORY + RXPROD, 0)

    def mode(value):
        q.writel(SHARED + 120, value)
        assert q.command(RX_MODE) == 0

    assert not heard(frame(b"1" * 60, other)) and not heard(frame(b"2" * 60, ALL)) and not heard(frame(b"3" * 60, group))
    mode(UNICAST | BROADCAST | MULTICAST)
    assert heard(frame(b"4" * 60, ALL)) and not heard(frame(b"5" * 60, group))
    q.write(LIST, b"\x01\0\x5e\x09\x09\x09" + group)
    q.writew(SHARED + 124, 12)
    assert q.command(MAC_FILTERS) == 0 and heard(frame(b"6" * 60, group))
    assert not heard(frame(b"7" * 60, b"\x01\0\x5e\x01\x02\x04"))
    mode(UNICAST | ALL_MULTI)
    assert heard(frame(b"8" * 60, b"\x01\0\x5e\x01\x02\x04"))
    q.write(SHARED + 136, bytes(512))
    q.writel(SHARED + 136, 1 << 7)
    assert q.command(VLAN_FILTERS) == 0
    assert not heard(MAC + PEER + b"\x81\0\x20\x65" + bytes(60)) and heard(MAC + PEER + b"\x81\0\x20\x07" + bytes(60))
    mode(PROMISCUOUS | UNICAST)
    assert heard(frame(b"9" * 60, other)) and heard(MAC + PEER + b"\x81\0\x20\x65" + bytes(60))
    mode(UNICAST)
    q.put(MACL, struct.unpack("<I", other[:4])[0])
    q.put(MACH, struct.unpack("<H", other[4:])[0])
    q.send(frame(b"a" * 60))
    q.send(frame(b"b" * 60, other))
    assert q.got(seen[0] % 16, 1 - seen[0] // 16 % 2) == frame(b"b" * 60, other)


def queues_are_chosen_by_the_table(q):
    table = [0] * 128
    for n in range(2):
        table[VERIFIED[n][11] % 128] = n
    q.write(SCALING, struct.pack("<HHHH", 3, 1, 40, 128) + KEY + bytes(table))
    q.start(features=RXCSUM | RSS, rx=2)
    for n in range(2):
        q.send(flow(n))
        zero, value, _, _ = q.done(0, queue=n)
        assert (zero >> 26 & 15, value) == (2, VERIFIED[n][11]), (hex(zero), hex(value))
        assert zero >> 16 & 0x3FF == n and q.got(0, queue=n) == flow(n)
    q.send(flow(0, 99))
    assert q.done(1)[1] == VERIFIED[0][10] and q.done(1)[0] >> 26 & 15 == 1
    q.writew(SCALING, 0)
    assert q.command(RSSIDT) == 0
    q.send(flow(1))
    assert q.done(2)[0] >> 26 & 15 == 0


def interrupts_are_masked_and_sent(q):
    q.enable_messages(25)
    q.start(auto_mask=1)
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert not q.message(0), "all are masked at first"
    q.writel(MEMORY + IMR, 0)
    assert q.message(0) and q.readl(MEMORY + IMR) == 1, "it masks itself"
    q.writel(MEMORY + IMR + 8, 0)
    q.send(frame(b"x" * 60))
    q.eventually(lambda: q.message(1), "the message of the receive queue")
    q.writel(MEMORY + IMR + 16, 0)
    q.qmp("set_link", {"name": "n", "up": False})
    assert q.message(2) and q.readl(SHARED + 696) == 4 == q.get(ECR)
    q.put(ECR, 4)
    assert q.readl(SHARED + 696) == 0 == q.get(ECR)


def pin_is_raised_until_its_cause_is_read(q):
    q.start()
    q.writel(MEMORY + IMR, 0)
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert q.config(6, size=2) & 8
    assert q.get(INTX) == 1 and not q.config(6, size=2) & 8 and q.get(INTX) == 0
    assert q.readl(MEMORY + IMR) == 0, "it does not mask itself unless told to"


def random_descriptors_and_areas_never_hurt(q):
    rand = random.Random(3)
    for n in range(1200):
        if n % 40 == 0:
            q.command(RESET)
            q.tx_at, q.tx_generation = 0, 1
            q.areas(mode=31, mtu=rand.choice((1500, 9000, 0xFFFFFFFF)), rx=rand.randrange(1, 9),
                    sizes=[rand.choice((0, 1, 64, 2048, 16383)) for _ in range(SLOTS)], bodies=rand.sample(range(SLOTS), 3))
            for _ in range(rand.randrange(3)):
                q.write(rand.choice((SHARED, QUEUES, QUEUES + 256)) + rand.randrange(0, 200), rand.randbytes(4))
            q.command(ACTIVATE)
        where = rand.choice((TX, RX, RX2)) + 16 * rand.randrange(SLOTS)
        base = rand.choice((DATA, MEMORY, REGISTERS, 0xFFFFFFFF0, rand.getrandbits(64)))
        q.write(where, struct.pack("<QII", base, rand.getrandbits(32), rand.getrandbits(32)))
        q.writel(MEMORY + rand.choice((TXPROD, RXPROD, 0xA00, rand.randrange(0, 0x1000, 4))), rand.getrandbits(4))
        if n % 3 == 0:
            q.put(rand.choice((DSAH, CMD, MACL, INTX, ECR)) if n % 30 == 0 else CMD,
                  rand.choice((RX_MODE, MAC_FILTERS, VLAN_FILTERS, RSSIDT, FEATURE, STATS, QUEUE_STATUS, rand.getrandbits(32))))
        if n % 4 == 0:
            q.try_send(rand.choice((rand.randbytes(rand.choice((1, 14, 60, 1500, 9000, 20000))), flow(n % 2))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


tap = Tap()
for case in (card_says_what_it_is, activation_looks_at_what_it_gets, frames_go_out_in_their_generations,
             checksums_tags_and_segments_are_made, frames_come_in_with_what_is_in_them, long_frame_takes_heads_and_bodies,
             full_ring_keeps_the_next_frame, filters_keep_what_is_not_for_us, queues_are_chosen_by_the_table,
             interrupts_are_masked_and_sent, pin_is_raised_until_its_cause_is_read, random_descriptors_and_areas_never_hurt):
    def with_card(case=case):
        with Vmxnet3() as q:
            case(q)
    tap.case(case.__name__, with_card)
tap.done()
