# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel's gigabit cards by their manuals, in what they have in common: EEPROM, PHY, legacy descriptors, filters,
checksums, segments, lies of guests; and messages of MSI-X."""
import random
import struct

from nic import ALL, DATA, MAC, MEMORY, PEER, PORTS, RING, Nic, checksum, frame, ipv4, tcp, tcp_sum

CTRL, STATUS, EECD, EERD, MDIC, ICR, ICS, IMS, IMC = 0, 8, 0x10, 0x14, 0x20, 0xC0, 0xC8, 0xD0, 0xD8
RCTL, TCTL, RDBAL, RDLEN, RDH, RDT = 0x100, 0x400, 0x2800, 0x2808, 0x2810, 0x2818
TDBAL, TDLEN, TDH, TDT, GPRC, GPTC, RXCSUM, MTA, RAL, VFTA = (0x3800, 0x3808, 0x3810, 0x3818, 0x4074, 0x4080, 0x5000,
                                                              0x5200, 0x5400, 0x5600)
EN, UPE, MPE, LPE, BAM, VFE, SECRC = 2, 8, 0x10, 0x20, 0x8000, 0x40000, 0x4000000
EOP, IFCS, IC, RS, DEXT, VLE, TSE = 1, 2, 4, 8, 0x20, 0x40, 4
TX_RING, RX_RING, TX_DATA, RX_DATA = RING, RING + 0x1000, DATA, DATA + 0x100000


MESSAGES = 0x1F0000
# A key, addresses, ports and hashes as Microsoft's "Verifying the RSS Hash Calculation" has them.
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
VERIFIED = ((66, 9, 149, 187, 161, 142, 100, 80, 2794, 1766, 0x323E8FC2, 0x51CCC178),
            (199, 92, 111, 2, 65, 69, 140, 83, 14230, 4739, 0xD718262A, 0xC626B0EA))



class Gigabit(Nic):
    """`bars` and what the models differ in: where EERD has its address and its sign of being done, the PHY's number."""
    model, bars, eerd_shift, eerd_done, phy = "e1000", ["memory", "ports"], 8, 0x10, (0x141, 0xC20)

    def __init__(self):
        super().__init__(self.model, self.bars)
        self.tail = 0
        self.ports = PORTS + (self.bars.index("ports") << 8) if "ports" in self.bars else None

    def enable_messages(self, count):
        """MSI-X, whose messages go to MESSAGES, 16 bytes apart, each with its number + 0x50."""
        at = self.config(0x34, size=1)
        while self.config(at, size=1) != 0x11:
            at = self.config(at + 1, size=1)
            assert at, "no MSI-X"
        control = self.config(at + 2, size=2)
        assert control + 1 == count, control
        table = MEMORY + (self.config(at + 4) << 20)
        for n in range(count):
            self.write(table + 16 * n, struct.pack("<QII", MESSAGES + 16 * n, n + 0x50, 0))
        self.config(at + 2, control | 0x8000, 2)

    def put_key(self):
        for n in range(0, 40, 4):
            self.put(0x5C80 + n, struct.unpack("<I", KEY[n:n + 4])[0])

    def message(self, n):
        """Was it sent? Then it is taken."""
        sent = self.readl(MESSAGES + 16 * n)
        assert sent in (0, n + 0x50)
        self.writel(MESSAGES + 16 * n, 0)
        return sent != 0

    def get(self, register):
        return self.readl(MEMORY + register)

    def put(self, register, value):
        self.writel(MEMORY + register, value)

    def set_up(self, rctl=EN | BAM | SECRC, descriptors=8):
        self.put(TDBAL, TX_RING)
        self.put(TDLEN, 0x80)
        self.put(TCTL, EN | 8)
        for n in range(descriptors):
            self.write(RX_RING + 16 * n, struct.pack("<QQ", RX_DATA + 4096 * n, 0))
        self.put(RDBAL, RX_RING)
        self.put(RDLEN, descriptors * 16)
        self.put(RDH, 0)
        self.put(RDT, descriptors - 1)
        self.put(RCTL, rctl)

    def descriptor(self, data):
        self.write(TX_RING + 16 * self.tail, data)
        self.tail = (self.tail + 1) % 8
        self.put(TDT, self.tail)

    def transmit(self, data, command=EOP | IFCS | RS, sum_at=0, sum_from=0, special=0):
        self.write(TX_DATA, data)
        self.descriptor(struct.pack("<QHBBBBH", TX_DATA, len(data), sum_at, command, 0, sum_from, special))

    def received(self, n=0):
        """Status, errors and bytes of the n-th receive descriptor, when it is done."""
        self.eventually(lambda: self.readb(RX_RING + 16 * n + 12) & 1, "a frame")
        length, _, status, errors, special = struct.unpack("<HHBBH", self.read(RX_RING + 16 * n + 8, 8))
        return status, errors, self.read(RX_DATA + 4096 * n, length), special

    def heard(self, data):
        """Is it received? Told by a broadcast behind it."""
        before = self.get(RDH)
        self.send(data)
        self.send(frame(b"behind", ALL))
        self.eventually(lambda: self.get(RDH) != before, "the broadcast")
        self.eventually(lambda: b"behind" in self.read(RX_DATA + 4096 * ((self.get(RDH) - 1) % 8), 60), "the broadcast")
        return (self.get(RDH) - before) % 8 == 2


def flow(n, protocol=6):
    """A packet of a row of VERIFIED."""
    to, source, ports = bytes(VERIFIED[n][4:8]), bytes(VERIFIED[n][:4]), struct.pack(">HH", *VERIFIED[n][8:10])
    return frame(ipv4(ports + tcp(b"payload")[4:], protocol, source, to))


def eeprom_and_phy_tell_who_it_is(q):
    words = []
    for n in range(64):
        q.put(EERD, n << q.eerd_shift | 1)
        value = q.get(EERD)
        assert value & q.eerd_done, hex(value)
        words.append(value >> 16)
    assert struct.pack("<3H", *words[:3]) == MAC
    assert sum(words) & 0xFFFF == 0xBABA, hex(sum(words))
    q.put(EECD, 0x40)
    assert q.get(EECD) & 0x80, "no grant"
    for register, want in enumerate(q.phy, 2):
        q.put(MDIC, 0x08000000 | 1 << 21 | register << 16)
        assert q.get(MDIC) & 0xFFFF == want and q.get(MDIC) & 0x10000000
    q.put(MDIC, 0x08000000 | 2 << 21)
    assert q.get(MDIC) & 0x40000000, "there is no PHY 2"
    assert q.get(STATUS) & 2


def frame_goes_out_and_says_so(q):
    q.set_up()
    q.put(IMS, 1)
    q.transmit(frame(b"x" * 100, PEER, MAC))
    assert q.sent() == frame(b"x" * 100, PEER, MAC)
    assert q.readb(TX_RING + 12) & 1
    assert q.get(TDH) == 1
    assert q.get(ICR) & 1 and q.get(ICR) == 0
    assert q.get(GPTC) == 1 and q.get(GPTC) == 0
    q.transmit(b"short", EOP | IFCS)
    assert q.sent() == b"short" + bytes(55)
    assert not q.readb(TX_RING + 16 + 12) & 1, "nobody asked for a report"


def checksum_goes_where_the_descriptor_says(q):
    q.set_up()
    data = frame(ipv4(tcp(b"payload")), PEER, MAC)
    blank = data[:24] + b"\0\0" + data[26:]
    q.transmit(blank, EOP | IFCS | IC | RS, sum_at=24, sum_from=14)
    got = q.sent()
    # The manual sums to the end of the packet: right for a packet that is a header.
    assert got[24:26] == struct.pack(">H", checksum(blank[14:])), got[24:26]


def segments_are_cut_with_right_headers(q):
    q.set_up()
    payload = bytes(n * 7 & 255 for n in range(5000))
    head = frame(ipv4(tcp(b"", flags=0x19)), PEER, MAC)
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 6, 0)
    head = head[:16] + b"\0\0" + head[18:24] + b"\0\0" + head[26:50] + struct.pack(">H", checksum(pseudo) ^ 0xFFFF) + \
        head[52:]
    q.write(TX_DATA, head + payload)
    # TSE, TCP, IP, DEXT in the context; 54 bytes of headers, 1400 of payload each.
    q.write(TX_RING, struct.pack("<BBHBBHIBBH", 14, 24, 33, 34, 50, 0, 5000 | (0x20 | TSE | 3) << 24, 0, 54, 1400))
    q.write(TX_RING + 16, struct.pack("<QIBBH", TX_DATA, 54 | 1 << 20 | (DEXT | TSE | IFCS) << 24, 0, 3, 0))
    q.write(TX_RING + 32, struct.pack("<QIBBH", TX_DATA + 54, 5000 | 1 << 20 | (DEXT | TSE | IFCS | RS | EOP) << 24,
                                      0, 0, 0))
    q.put(TDT, 3)
    got = b""
    for n in range(4):
        f = q.sent()
        assert checksum(f[14:34]) == 0, "IP of segment %d" % n
        assert struct.unpack(">H", f[16:18])[0] == len(f) - 14
        assert struct.unpack(">H", f[18:20])[0] == 7 + n
        assert tcp_sum(f[34:]) == 0, "TCP of segment %d" % n
        assert struct.unpack(">I", f[38:42])[0] == 1000 + len(got)
        assert bool(f[47] & 1) == (n == 3), "FIN is the last one's"
        got += f[54:]
    assert got == payload
    assert q.readb(TX_RING + 32 + 12) & 1


def vlan_tag_is_inserted_and_stripped(q):
    q.set_up()
    q.put(CTRL, q.get(CTRL) | 0x40000000)
    q.transmit(frame(b"y" * 60, PEER, MAC), EOP | IFCS | RS | VLE, special=0x2064)
    assert q.sent() == PEER + MAC + b"\x81\0\x20\x64\x08\0" + b"y" * 60
    q.send(MAC + PEER + b"\x81\0\x20\x65\x08\0" + b"z" * 60)
    status, _, data, special = q.received()
    assert status & 8 and special == 0x2065 and data == frame(b"z" * 60), data
    q.put(RCTL, EN | BAM | SECRC | VFE)
    assert not q.heard(MAC + PEER + b"\x81\0\0\x07\x08\0" + b"z" * 60)
    q.put(VFTA, 1 << 7)
    assert q.heard(MAC + PEER + b"\x81\0\0\x07\x08\0" + b"z" * 60)


def frame_comes_in_with_its_checksums_judged(q):
    q.set_up()
    q.put(RXCSUM, 0x300)
    q.put(IMS, 0x80)
    good = frame(ipv4(tcp(b"hello" * 20)))
    q.send(good)
    status, errors, data, _ = q.received()
    assert data == good and status & 0x62 == 0x62 and errors == 0, (status, errors)
    assert q.get(ICR) & 0x80
    assert q.get(GPRC) == 1
    q.send(good[:-1] + b"!")
    status, errors, _, _ = q.received(1)
    assert status & 0x60 == 0x60 and errors == 0x20, (status, errors)
    q.send(good[:22] + b"\x01" + good[23:])
    assert q.received(2)[1] & 0x40
    q.send(frame(b"no ip", kind=0x88B5))
    status, errors, data, _ = q.received(3)
    assert status & 4 and len(data) == 60


def long_frame_takes_several_descriptors(q):
    q.set_up(EN | BAM | SECRC | LPE)
    data = frame(bytes(n & 255 for n in range(5000)), kind=0x88B5)
    q.send(data)
    parts = [q.received(n) for n in range(3)]
    assert b"".join(p[2] for p in parts) == data
    assert [p[0] & 2 for p in parts] == [0, 0, 2]
    q.put(RCTL, EN | BAM | SECRC)
    assert not q.heard(data), "longer than 1522 bytes without LPE"


def filters_keep_what_is_not_for_us(q):
    q.set_up()
    other, group = b"\x52\x54\0\x99\x99\x99", b"\x01\0\x5e\x01\x02\x03"
    assert q.heard(frame(b"1" * 60))
    assert not q.heard(frame(b"2" * 60, other))
    assert not q.heard(frame(b"3" * 60, group))
    q.put(RDT, (q.get(RDH) - 1) % 8)
    value = (group[4] | group[5] << 8) >> 4 & 0xFFF
    q.put(MTA + 4 * (value >> 5), 1 << (value & 31))
    assert q.heard(frame(b"4" * 60, group))
    q.put(RDT, (q.get(RDH) - 1) % 8)
    q.put(RCTL, EN | BAM | SECRC | UPE)
    assert q.heard(frame(b"5" * 60, other))


def full_ring_keeps_the_next_frame(q):
    q.set_up()
    for n in range(9):
        q.send(frame(bytes([n]) * 60))
    q.eventually(lambda: q.get(RDH) == 7, "the seventh")
    assert q.get(ICR) & 0x40, "no RXO"
    q.put(RDT, 5)
    q.eventually(lambda: q.get(RDH) == 1, "the ninth")
    assert q.read(RX_DATA + 4096 * 7, 20)[14] == 7 and q.read(RX_DATA, 20)[14] == 8


def pulled_cable_is_told(q):
    q.set_up()
    q.get(ICR)
    q.qmp("set_link", {"name": "n", "up": False})
    assert not q.get(STATUS) & 2
    assert q.get(ICR) & 4
    q.qmp("set_link", {"name": "n", "up": True})
    assert q.get(STATUS) & 2 and q.get(ICR) & 4


def registers_behind_ports_are_the_same(q):
    port = q.ports
    q.outl(port, RAL)
    assert q.inl(port + 4) == struct.unpack("<I", MAC[:4])[0]
    q.outl(port, IMS)
    q.outl(port + 4, 0x15)
    assert q.get(IMS) == 0x15


def lying_rings_end(q):
    """Tails outside of the ring, rings in nowhere and on registers: each ends, and what is right works afterwards."""
    for base, length, head, tail in ((TX_RING, 0x80, 0, 0xFFFF), (TX_RING, 0x80, 0xFFFF, 3), (0xFFFFFFF0, 0x80, 0, 5),
                                     (MEMORY, 0xFFF80, 0, 0x7FFF), (TX_RING, 0, 0, 5)):
        q.put(TDBAL, base)
        q.put(TDLEN, length)
        q.put(TDH, head)
        q.put(TCTL, EN)
        q.put(TDT, tail)
    while q.nothing_sent() is not None:
        pass
    q.put(CTRL, 0x4000000)
    q.tail = 0
    for n in range(8):
        q.write(TX_RING + 16 * n, bytes(16))
    q.set_up()
    q.transmit(frame(b"still here" * 10, PEER, MAC))
    assert q.sent() == frame(b"still here" * 10, PEER, MAC)


def random_descriptors_and_registers_never_hurt(q, more=()):
    rand = random.Random(82540)
    registers = [*more, CTRL, RCTL, TCTL, RDT, TDT, RDH, TDH, RDLEN, TDLEN, RXCSUM, ICS, IMS, MDIC, EECD, RAL + 4, 0x38]
    for n in range(1500):
        if n % 50 == 0:
            q.set_up(rand.choice((EN | UPE | MPE | LPE, EN | BAM | 0xC0, EN | 0x2030000 | BAM | LPE)))
            q.write(TX_RING, b"".join(struct.pack("<QII", DATA + rand.randrange(70000), rand.getrandbits(32),
                                                  rand.getrandbits(32)) for _ in range(8)))
        q.put(rand.choice(registers), rand.choice((rand.getrandbits(32), rand.getrandbits(4), 0x3FFFFF2)) & ~0x4000000)
        q.put(TDT, rand.randrange(9))
        if n % 5 == 0:
            q.try_send(rand.randbytes(rand.choice((1, 14, 60, 1500, 9000, 20000))))
        while q.nothing_sent() is not None:
            pass
    assert q.qmp("query-status")


CASES = (eeprom_and_phy_tell_who_it_is, frame_goes_out_and_says_so, checksum_goes_where_the_descriptor_says,
         segments_are_cut_with_right_headers, vlan_tag_is_inserted_and_stripped,
         frame_comes_in_with_its_checksums_judged, long_frame_takes_several_descriptors,
         filters_keep_what_is_not_for_us, full_ring_keeps_the_next_frame, pulled_cable_is_told,
         registers_behind_ports_are_the_same, lying_rings_end, random_descriptors_and_registers_never_hurt)


def run(tap, card, cases):
    for case in cases:
        def with_card(case=case):
            with card() as q:
                case(q)
        tap.case(case.__name__, with_card)
    tap.done()
