# SPDX-License-Identifier: LGPL-2.1-or-later
"""NE2000 cards by the data sheets of the DP8390D and the RTL8029AS: PROM, remote DMA, both directions, filters, lies of guests."""
import binascii
import random
import struct
import subprocess
import sys

from nic import ALL, MAC, PEER, PORTS, Nic, frame
from qtest import Tap, program

START, STOP, NO_DMA, TRANSMIT, READ, WRITE, SEND = 0x02, 0x01, 0x20, 0x04, 0x08, 0x10, 0x18
RECEIVED, TRANSMITTED, DONE, RESET = 1, 2, 0x40, 0x80
FIRST, LAST, TX = 0x46, 0x80, 0x40


class Ne2k(Nic):
    isa = False

    def __init__(self):
        if self.isa:
            super().__init__("ne2k_isa", [], ",irq=10", slot=None)
            self.base = 0x300
        else:
            super().__init__("ne2k_pci", ["ports"])
            self.base = PORTS

    def b(self, at, value=None):
        return self.inb(self.base + at) if value is None else self.outb(self.base + at, value)

    def page(self, n, at, value=None):
        self.b(0, n << 6 | NO_DMA | START)
        result = self.b(at, value)
        self.b(0, NO_DMA | START)
        return result

    def remote(self, address, count, command):
        for at, value in ((8, address & 255), (9, address >> 8), (10, count & 255), (11, count >> 8), (0, command | START)):
            self.b(at, value)

    def fetch(self, address, count):
        self.remote(address, count, READ)
        data = b"".join(struct.pack("<H", self.inw(self.base + 16)) for _ in range(count // 2))
        assert self.b(7) & DONE
        self.b(7, DONE)
        return data

    def store(self, address, data):
        data += bytes(len(data) & 1)
        self.remote(address, len(data), WRITE)
        for n in range(0, len(data), 2):
            self.outw(self.base + 16, struct.unpack_from("<H", data, n)[0])

    def start(self, rcr=0x04, groups=0):
        self.b(0, NO_DMA | STOP)
        for at, value in ((14, 0x49), (12, 0x20), (13, 2), (4, TX), (1, FIRST), (2, LAST), (3, FIRST), (7, 0xFF), (15, 0)):
            self.b(at, value)
        self.b(0, 0x40 | NO_DMA | STOP)
        for n in range(6):
            self.b(1 + n, MAC[n])
        for n in range(8):
            self.b(8 + n, groups)
        self.b(7, FIRST + 1)
        self.b(0, NO_DMA | START)
        self.b(13, 0)
        self.b(12, rcr)
        self.at = FIRST + 1

    def heard(self):
        """The next frame of the ring."""
        self.eventually(lambda: self.page(1, 7) != self.at, "a frame")
        status, following, length = struct.unpack("<BBH", self.fetch(self.at << 8, 4))
        assert status & 1
        data = self.fetch((self.at << 8) + 4, length + 1 & ~1)[:length]
        self.at = following
        self.b(3, self.at - 1 if self.at > FIRST else LAST - 1)
        assert binascii.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "its FCS"
        return status, data[:-4]

    def transmit(self, data):
        self.store(TX << 8, data)
        self.b(5, len(data) & 255)
        self.b(6, len(data) >> 8)
        self.b(0, NO_DMA | START | TRANSMIT)


def prom_tells_the_address(q):
    q.b(14, 0x49)
    q.remote(0, 32, READ)
    data = bytes(q.b(16) for _ in range(16))  # in words, a byte's access takes a word
    assert data[:6] == MAC and data[14:] == b"WW", data
    assert q.b(7) & DONE
    q.b(7, DONE)
    q.b(14, 0x48)
    q.remote(0, 32, READ)
    data = bytes(q.b(16) for _ in range(32))
    assert data[::2] == data[1::2] and data[:12:2] == MAC
    if not q.isa:
        assert q.b(10) == 0x50 and q.b(11) == 0x43, "an RTL8029AS says so"


def port_resets(q):
    q.start()
    assert not q.b(7) & RESET
    q.b(0x18)
    assert q.b(7) & RESET and q.b(0) == 0x21


def memory_holds_what_is_written(q):
    q.start()
    data = bytes(n * 7 & 255 for n in range(600))
    q.store(0x4000, data)
    assert q.fetch(0x4000, 600) == data
    assert q.fetch(0x40FE, 4) == data[0xFE:0x102]
    assert q.fetch(0x8000, 2) == b"\xff\xff", "nothing above"
    q.store(LAST * 256 - 2, b"end!")  # the end of the ring leads to its beginning
    assert q.fetch(LAST * 256 - 2, 4) == b"end!" and q.fetch(FIRST * 256, 2) == b"d!"


def frames_are_sent(q):
    q.start()
    q.b(15, TRANSMITTED)
    for n in (60, 61, 1514):
        data = frame(bytes(n - 14), PEER, MAC)
        q.transmit(data)
        assert q.sent() == data and q.b(7) & TRANSMITTED and q.b(4) & 1 and not q.b(0) & TRANSMIT
        q.b(7, 0xFF)
        assert not q.b(7) & TRANSMITTED
    q.b(13, 2)  # loopback: nothing goes out
    q.transmit(frame(b"loop" * 20, PEER, MAC))
    assert q.nothing_sent() is None and q.b(7) & TRANSMITTED


def ring_goes_round(q):
    q.start()
    for n in range(30):
        data = frame(bytes([n]) * (1500 - 37 * n))
        q.send(data)
        status, got = q.heard()
        assert got == data and not status & 0x20


def command_without_start_or_stop_leaves_it_running(q):
    """Linux chooses pages so while it empties the ring."""
    q.start()
    for command in (NO_DMA, 0x40 | NO_DMA, NO_DMA):
        q.b(0, command)
    data = frame(b"goes on" * 20)
    q.send(data)
    assert q.heard()[1] == data
    q.b(0, NO_DMA | STOP)
    q.b(0, NO_DMA)
    assert q.b(0) & 3 == STOP and q.b(7) & RESET, "nor does it start what was stopped"


def packets_that_are_left_are_told_again(q):
    """A driver that takes some of many, clears the interrupt and goes, would else hear of nothing any more."""
    q.start()
    for _ in range(16):
        q.send(frame(bytes(1400)))
    q.eventually(lambda: q.page(1, 7) - q.at > 30, "a ring that is nearly full")
    q.b(7, 1)
    assert q.b(7) & 1, "one waits for room"
    for _ in range(16):
        q.heard()
    q.b(7, 1)
    assert not q.b(7) & 1, "all are taken"


def full_ring_keeps_the_next_frame(q):
    for length, count in ((1400, 16), (700, 24)):  # the shorter ones fill it to the last page
        q.start()
        for n in range(count):
            q.send(frame(bytes([n]) * length))
        for n in range(count):
            assert q.heard()[1][14:] == bytes([n]) * length
    assert not q.b(7) & 0x10, "nothing overflows"


def filters_keep_what_is_not_for_us(q):
    group, other = b"\x01\0\x5e\0\0\x01", b"\x52\x54\0\x99\x99\x99"
    for rcr, groups, to, wanted in ((0, 0, ALL, False), (4, 0, ALL, True), (4, 0xFF, group, False), (0xC, 0xFF, group, True),
                                    (0xC, 0, group, False), (4, 0, other, False), (0x14, 0, other, True), (0, 0, MAC, True)):
        q.start(rcr, groups)
        q.send(frame(b"first." * 10, to))
        q.send(frame(b"second" * 10, MAC))
        status, got = q.heard()
        assert (got[14:20] == b"first.") == (wanted or to == MAC), (rcr, groups, to)
        if got[14:20] == b"first.":
            assert bool(status & 0x20) == bool(to[0] & 1)
    q.start(0xC)
    crc = binascii.crc32(group) ^ 0xFFFFFFFF  # its six highest bits, the first on the wire highest
    bit = int(format(crc & 63, "06b")[::-1], 2)
    q.page(1, 8 + bit // 8, 1 << bit % 8)
    q.send(frame(b"its bit" * 9, group))
    assert q.heard()[1][14:21] == b"its bit"
    q.start(0x24)
    q.send(frame(b"monitored" * 7))
    q.eventually(lambda: q.b(15), "a count")
    assert q.b(15) == 0, "read, it is 0"


def packet_is_sent_to_the_host(q):
    """The command that needs no address: the oldest of the ring."""
    q.start()
    q.b(3, FIRST + 1)
    q.page(1, 7, FIRST + 1)
    data = frame(b"automatic" * 8)
    q.send(data)
    q.eventually(lambda: q.page(1, 7) != FIRST + 1, "a frame")
    q.b(0, SEND | START)
    got = b"".join(struct.pack("<H", q.inw(q.base + 16)) for _ in range((len(data) + 4) // 2))
    assert got[4:] == data and q.b(7) & DONE and q.b(3) == got[1]


def line_follows_its_mask(q):
    q.watch_line()
    q.start()
    q.transmit(frame(b"x" * 60, PEER, MAC))
    assert q.b(7) & TRANSMITTED and not q.line()
    q.b(15, TRANSMITTED)
    assert q.line()
    q.b(7, TRANSMITTED)
    assert not q.line()
    q.b(15, RECEIVED)
    q.send(frame(b"a" * 60))
    q.eventually(lambda: q.b(7) & RECEIVED, "a frame")
    assert q.line()
    q.b(15, 0)
    assert not q.line() and q.b(7) & RECEIVED
    q.b(0, NO_DMA | STOP)
    assert q.b(7) & RESET
    q.b(7, 0xFF)
    assert q.b(7) == RESET, "no write clears it"


def random_registers_never_hurt(q):
    rand = random.Random(8390)
    for n in range(2500):
        if n % 100 == 0:
            q.start(rand.getrandbits(6))
        at = rand.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 24, rand.randrange(32)))
        if rand.random() < 0.3:
            q.b(at)
        else:
            rand.choice((q.outb, q.outw, q.outl))(q.base + at, rand.getrandbits(8))
        if n % 7 == 0:
            q.b(0, rand.choice((READ, WRITE, SEND)) | START | rand.choice((0, TRANSMIT)))
            for _ in range(4):
                q.inl(q.base + 16)
        if n % 5 == 0:
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 5000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


class Ne2kIsa(Ne2k):
    isa = True


def bad_jumpers_are_refused():
    for keys, word in (("irq=16", "irq"), ("iobase=0x10000", "iobase")):
        run = subprocess.run([program(), "-M", "pc", "-device", "ne2k_isa," + keys], stderr=subprocess.PIPE, text=True, timeout=120)
        assert run.returncode and word in run.stderr, run.stderr


tap = Tap()
wanted = sys.argv[1:]
for name, card in (("pci", Ne2k), ("isa", Ne2kIsa)):
    for case in (prom_tells_the_address, port_resets, memory_holds_what_is_written, frames_are_sent, ring_goes_round,
                 command_without_start_or_stop_leaves_it_running, packets_that_are_left_are_told_again,
                 full_ring_keeps_the_next_frame, filters_keep_what_is_not_for_us, packet_is_sent_to_the_host,
                 line_follows_its_mask, random_registers_never_hurt):
        def with_card(case=case, card=card):
            with card() as q:
                case(q)
        label = "%s_%s" % (name, case.__name__)  # isa_ring_goes_round, and so on
        if not wanted or label in wanted:
            tap.case(label, with_card)
tap.case("bad_jumpers_are_refused", bad_jumpers_are_refused)
tap.done()
