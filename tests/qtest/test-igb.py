# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel 82576 by its datasheet: what it has in common with others (gigabit.py), advanced descriptors, sixteen queues,
MSI-X, semaphores, segments in tunnels."""
import struct

import gigabit
from gigabit import BAM, CTRL, EN, ICR, ICS, IMS, RCTL, RX_DATA, RX_RING, RXCSUM, SECRC, TCTL, TX_DATA, TX_RING, VERIFIED, \
    Gigabit, flow, run
from nic import MAC, PEER, checksum, frame, ipv4, tcp, tcp_sum
from qtest import Tap

GPIE, EICS, EIMS, EIMC, EIAC, EIAM, EICR, EITR, IVAR, IVAR_MISC = (0x1514, 0x1520, 0x1524, 0x1528, 0x152C, 0x1530, 0x1580,
                                                                   0x1680, 0x1700, 0x1740)
RX, TX, MRQC, RETA, RLPML, SWSM, RAL_MORE = 0xC000, 0xE000, 0x5818, 0x5C00, 0x5004, 0x5B50, 0x54E0
SYSTIML, SYSTIMH, TIMINCA = 0xB600, 0xB604, 0xB608
ENABLE, DROP = 1 << 25, 1 << 31
IP, L4 = 0x100, 0x200
DATA_TYPE, EOP, IFCS, RS, DEXT, VLE, TSE = 3 << 20, 1 << 24, 1 << 25, 1 << 27, 1 << 29, 1 << 30, 1 << 31


class Igb(Gigabit):
    model, bars, eerd_shift, eerd_done, phy = "igb", ["memory", None, "ports", "memory"], 2, 2, (0x2A8, 0x391)

    def advanced(self, kind=1, at=0, more=0):
        """Eight advanced receive descriptors in queue `at`: packets to 2 KB, headers to 256 bytes."""
        base, ring = RX + 0x40 * at, RX_RING + 0x1000 * at
        for n in range(8):
            to = RX_DATA + 0x10000 * at + 0x1000 * n
            self.write(ring + 16 * n, struct.pack("<QQ", to, to + 0xC00))
        self.put(base + 0x0C, 2 | 4 << 8 | kind << 25 | more)
        self.put(base, ring)
        self.put(base + 8, 128)
        self.put(base + 0x10, 0)
        self.put(base + 0x28, ENABLE)
        self.put(base + 0x18, 7)
        self.put(RCTL, EN | BAM | SECRC)

    def done(self, n=0, at=0):
        """Types and header, hash, status and errors, length, tag of a descriptor, when it is done."""
        where = RX_RING + 0x1000 * at + 16 * n
        self.eventually(lambda: self.readl(where + 8) & 1, "a frame")
        return struct.unpack("<IIIHH", self.read(where, 16))

    def data(self, n, length, at=0, header=False):
        return self.read(RX_DATA + 0x10000 * at + 0x1000 * n + (0xC00 if header else 0), length)

    def transmitter(self, at=0):
        base = TX + 0x40 * at
        self.put(base, TX_RING)
        self.put(base + 8, 128)
        self.put(base + 0x28, ENABLE)
        self.put(TCTL, EN | 8)

    def give(self, *descriptors, at=0):
        for d in descriptors:
            self.write(TX_RING + 16 * self.tail, d)
            self.tail = (self.tail + 1) % 8
        self.put(TX + 0x40 * at + 0x18, self.tail)


def context(mac, ip, kind, l4=0, mss=0, tag=0, index=0):
    """kind: 0x400 IPv4, 0x800 TCP, 0x1000 SCTP."""
    return struct.pack("<IIII", tag << 16 | mac << 9 | ip, 0, kind | 2 << 20 | DEXT, mss << 16 | l4 << 8 | index << 4)


def data(address, length, command=EOP, options=0, index=0, payload=0):
    return struct.pack("<QII", address, length | command | IFCS | RS | DEXT | DATA_TYPE, payload << 14 | index << 4 | options)


def advanced_descriptor_tells_types_and_hash(q):
    q.put_key()
    q.put(MRQC, 0x00C30002)
    q.put(RXCSUM, 0x2300)
    q.advanced()
    q.send(flow(0))
    types, value, status, length, _ = q.done()
    assert (types & 15, value) == (1, VERIFIED[0][11]) and types >> 4 & 0xFFF == 0x11, hex(types)
    assert status & 0x43 == 0x43 and q.data(0, length) == flow(0)
    q.send(flow(1, 17))
    types, value, status, _, _ = q.done(1)
    assert (types & 15, value) == (7, VERIFIED[1][11]) and types >> 4 & 0xFFF == 0x21, hex(types)
    good = frame(ipv4(tcp(b"good" * 20)))
    q.send(good)
    assert q.done(2)[2] & 0x600000E2 == 0x62
    q.send(good[:-1] + b"!")
    assert q.done(3)[2] & 0x600000E2 == 0x20000062
    q.put(CTRL, q.get(CTRL) | 0x40000000)
    q.send(MAC + PEER + b"\x81\0\x20\x65\x08\0" + b"z" * 60)
    _, _, status, length, tag = q.done(4)
    assert status & 8 and tag == 0x2065 and q.data(4, length) == frame(b"z" * 60)


def queues_are_chosen_by_the_table(q):
    q.put_key()
    q.put(MRQC, 0x00030002)
    q.put(IVAR + 4 * 3, 0x80 | 0x87 << 16)  # receive 3: bit 0, receive 11: bit 7
    q.put(GPIE, 0x10)
    q.advanced(at=3)
    q.advanced(at=11)
    for n, queue in ((0, 3), (1, 11)):
        entry = VERIFIED[n][11] & 127
        q.put(RETA + (entry & ~3), queue << entry % 4 * 8)
        q.send(flow(n))
        q.done(0, at=queue)
        assert q.get(EICR) == (0x80 if n else 1), hex(q.get(EICR))
        q.put(EICR, 0xFF)
    q.put(RX + 0x40 * 3 + 0x28, 0)
    q.send(flow(0))
    q.send(flow(1))
    q.done(1, at=11)
    assert not q.readl(RX_RING + 0x3000 + 16 + 8) & 1, "queue 3 is off"


def header_goes_into_a_buffer_of_its_own(q):
    q.advanced(2)
    payload = bytes(n % 251 for n in range(1000))
    whole = frame(ipv4(tcp(payload)))
    q.send(whole)
    types, _, _, length, _ = q.done()
    assert types >> 31 and types >> 21 & 0x3FF == 54 and length == 1000, hex(types)
    assert q.data(0, 54, header=True) == whole[:54] and q.data(0, 1000) == payload
    plain = frame(payload, kind=0x88B5)
    q.send(plain)
    types, _, _, length, _ = q.done(1)
    assert not types >> 31 and length == len(plain) and q.data(1, length) == plain
    q.put(RX + 0x0C, 2 | 4 << 8 | 5 << 25)  # always split
    q.send(plain)
    types, _, _, length, _ = q.done(2)
    assert types >> 31 and types >> 21 & 0x3FF == 256 and q.data(2, 256, header=True) + q.data(2, length) == plain


def full_queue_drops_where_it_is_told_to(q):
    q.advanced(more=DROP)
    for n in range(9):
        q.send(frame(bytes([n]) * 60))
    q.eventually(lambda: q.get(RX + 0x10) == 7, "the seventh")
    q.eventually(lambda: q.get(RX + 0x30) + q.get(RX + 0x30) > 0 or q.get(0x40D0) == 7, "a drop")
    q.put(RX + 0x18, 5)
    q.send(frame(b"later" * 20))
    q.done(7)
    assert q.data(7, 114) == frame(b"later" * 20), "those between are lost"


def longer_than_said_is_not_taken(q):
    q.advanced()
    q.put(RCTL, EN | BAM | SECRC | 0x20)
    q.put(RLPML, 3000)
    q.send(frame(bytes(3100), kind=0x88B5))
    long = frame(bytes(n % 251 for n in range(2900)), kind=0x88B5)
    q.send(long)
    assert q.done(0)[2] & 3 == 1 and q.done(1)[2] & 3 == 3
    assert q.data(0, 2048) + q.data(1, len(long) - 2048) == long


def later_addresses_are_ours_too(q):
    q.advanced()
    other = b"\x52\x54\0\x77\x77\x77"
    q.put(RAL_MORE + 8 * 7, struct.unpack("<I", other[:4])[0])
    q.put(RAL_MORE + 8 * 7 + 4, 0x80000000 | struct.unpack("<H", other[4:])[0])
    q.send(frame(b"1" * 60, b"\x52\x54\0\x77\x77\x78"))
    q.send(frame(b"2" * 60, other))
    q.done()
    assert q.data(0, 74) == frame(b"2" * 60, other)


def checksums_and_tags_come_from_the_context(q):
    q.put(CTRL, q.get(CTRL) | 0x40000000)
    q.transmitter(9)
    want = frame(ipv4(tcp(b"payload")), PEER, MAC)
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 6, 27)
    blank = want[:24] + b"\0\0" + want[26:50] + struct.pack(">H", checksum(pseudo) ^ 0xFFFF) + want[52:]
    q.write(TX_DATA, blank)
    q.put(IVAR + 4, 0x80808080 | 5 << 24)
    q.put(GPIE, 0x10)
    q.give(context(14, 20, 0xC00, tag=0x2064, index=1), data(TX_DATA, len(blank), EOP | VLE, IP | L4, 1), at=9)
    assert q.sent() == want[:12] + b"\x81\0\x20\x64" + want[12:]
    assert q.readl(TX_RING + 16 + 12) == 1 and q.get(EICR) == 1 << 5
    # SCTP's CRC, of a packet whose sum is known: RFC 3720's 32 zeroes but for the place of the sum.
    chunk = bytes(8) + bytes(4) + bytes(20)
    packet = frame(ipv4(chunk, 132), PEER, MAC)
    q.write(TX_DATA, packet)
    q.give(context(14, 20, 0x1400), data(TX_DATA, len(packet), EOP, IP | L4), at=9)
    assert q.sent()[42:46] == bytes.fromhex("aa36918a"), "32 bytes of zeroes"


def cut_into_segments(q, outer=b"", shift=0):
    payload = bytes(n * 7 & 255 for n in range(5000))
    head = outer + frame(ipv4(tcp(b"", flags=0x19)), PEER, MAC)
    at = len(outer) + 14
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 6, 0)
    head = head[:at + 2] + b"\0\0" + head[at + 4:at + 10] + b"\0\0" + head[at + 12:at + 36] + \
        struct.pack(">H", checksum(pseudo) ^ 0xFFFF) + head[at + 38:]
    q.write(TX_DATA, head + payload)
    q.give(context(at, 20, 0xC00, 20, 1400, tag=9),
           data(TX_DATA, len(head), TSE | (VLE if shift else 0), IP | L4, payload=5000),
           data(TX_DATA + len(head), 5000, EOP | TSE))
    got, at = b"", at + shift
    for n in range(4):
        f = q.sent()
        assert f[:12] == head[:12] and f[12 + shift:at] == head[12:at - shift], n
        assert checksum(f[at:at + 20]) == 0, "IP of segment %d" % n
        assert struct.unpack(">HH", f[at + 2:at + 6]) == (len(f) - at, 7 + n)
        assert tcp_sum(f[at + 20:]) == 0, "TCP of segment %d" % n
        assert struct.unpack(">I", f[at + 24:at + 28])[0] == 1000 + len(got)
        assert bool(f[at + 33] & 1) == (n == 3), "FIN is the last one's"
        got += f[at + 40:]
    assert got == payload and q.nothing_sent() is None


def segments_are_cut_by_the_context(q):
    q.transmitter()
    cut_into_segments(q)


def segments_in_a_tunnel_are_cut_inside(q):
    q.transmitter()
    outer = PEER + MAC + b"\x08\0" + ipv4(bytes(16), 17)[:28] + bytes(8)
    cut_into_segments(q, outer)
    q.put(CTRL, q.get(CTRL) | 0x40000000)
    cut_into_segments(q, outer, 4)


def datagrams_are_cut(q):
    q.transmitter()
    payload = bytes(n * 5 & 255 for n in range(2500))
    head = frame(ipv4(struct.pack(">HHHH", 5, 6, 0, 0), 17), PEER, MAC)
    pseudo = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HH", 17, 0)
    head = head[:40] + struct.pack(">H", checksum(pseudo) ^ 0xFFFF)
    q.write(TX_DATA, head + payload)
    q.give(context(14, 20, 0x400, 8, 1000), data(TX_DATA, len(head) + 2500, EOP | TSE, IP | L4, payload=2500))
    got = b""
    for _ in range(3):
        f = q.sent()
        assert struct.unpack(">H", f[38:40])[0] == len(f) - 34 and checksum(f[14:34]) == 0
        assert tcp_sum(f[34:], protocol=17) in (0, 0xFFFF)
        got += f[42:]
    assert got == payload


def messages_go_to_their_vectors(q):
    q.enable_messages(10)
    q.put(GPIE, 0x10)
    q.put(IVAR, 0x80 | 0x83 << 8)
    q.put(IVAR_MISC, 0x89 << 8)
    q.put(EIAC, 0x20B)
    q.put(EIMS, 0x20B)
    q.put(IMS, 4)
    q.advanced()
    q.send(frame(b"x" * 100))
    q.done()
    q.eventually(lambda: q.message(0), "the message of receive queue 0")
    q.transmitter()
    q.write(TX_DATA, frame(b"x" * 100, PEER, MAC))
    q.give(data(TX_DATA, 114))
    assert q.message(3) and not q.message(0) and not q.message(9)
    q.put(ICS, 4)
    assert q.message(9), "a change of the link"
    assert q.get(ICR) & 4 and not q.get(ICR) & 4
    q.put(EIMC, 8)
    q.put(EICS, 8)
    assert not q.message(3)
    q.put(EIMS, 8)
    assert q.message(3) and q.get(EICR) == 0


def masks_clear_themselves_and_messages_keep_their_distance(q):
    q.enable_messages(10)
    q.put(GPIE, 0x40000010)
    q.put(EIAM, 2)
    q.put(EIAC, 6)
    q.put(EIMS, 6)
    q.put(EICS, 2)
    assert q.message(1) and q.get(EIMS) == 4
    q.put(EITR + 8, 100 << 2)
    q.put(EICS, 4)
    assert q.message(2)
    q.put(EICS, 4)
    q.clock_step(99000)
    assert not q.message(2)
    q.clock_step(2000)
    assert q.message(2)


def one_interrupt_serves_all_without_messages(q):
    q.put(IVAR, 0x82)
    q.put(IMS, 0x84)
    q.advanced()
    q.send(frame(b"x" * 100))
    q.done()
    assert q.config(6, size=2) & 8, "the pin"
    value = q.get(ICR)
    assert value & 0x80000080 == 0x80000080, hex(value)
    assert not q.config(6, size=2) & 8 and q.get(ICR) == 0
    assert q.get(EICR) == 4 and q.get(EICR) == 0, "the queue's bit"


def semaphore_has_one_holder(q):
    assert not q.get(SWSM) & 1 and q.get(SWSM) & 1
    q.put(SWSM, 0)
    assert not q.get(SWSM) & 1


def clock_counts(q):
    q.put(TIMINCA, 1 << 24 | 3)  # 3 each 16 ns
    q.put(SYSTIMH, 7)
    q.put(SYSTIML, 100)
    before = q.get(SYSTIML)
    q.clock_step(1600)
    assert q.get(SYSTIML) - before == 300 and q.get(SYSTIMH) == 7


def old_places_are_the_same_registers(q):
    q.put(0x2900 + 4, 0x1234)
    assert q.get(RX + 0x40 + 4) == 0x1234
    q.put(TX + 0xC0, 0x5678FFFF)
    assert q.get(0x3B00) == 0x5678FF80
    q.put(CTRL, 0x4000000)
    assert q.get(RX + 0x44) == 0 and q.get(0x3828) == ENABLE and q.get(TX + 0x68) == 0


def random_advanced_descriptors_never_hurt(q):
    q.put(RX + 0x0C, 1 << 25)
    registers = [RX + n for n in (0x0C, 0x10, 0x18, 0x28, 0x40, 0x48, 0x4C, 0x58, 0x68)]
    registers += [TX + n for n in (0x10, 0x18, 0x28, 0x40, 0x48, 0x58, 0x68)]
    gigabit.random_descriptors_and_registers_never_hurt(q, registers + [GPIE, EICS, EIMS, EIAM, IVAR, IVAR_MISC, EITR, MRQC,
                                                                        RETA, RLPML, TIMINCA, SYSTIML])


COMMON = tuple(c for c in gigabit.CASES if c is not gigabit.segments_are_cut_with_right_headers)  # older descriptors
run(Tap(), Igb, COMMON + (
    advanced_descriptor_tells_types_and_hash, queues_are_chosen_by_the_table, header_goes_into_a_buffer_of_its_own,
    full_queue_drops_where_it_is_told_to, longer_than_said_is_not_taken, later_addresses_are_ours_too,
    checksums_and_tags_come_from_the_context, segments_are_cut_by_the_context, segments_in_a_tunnel_are_cut_inside,
    datagrams_are_cut, messages_go_to_their_vectors, masks_clear_themselves_and_messages_keep_their_distance,
    one_interrupt_serves_all_without_messages, semaphore_has_one_holder, clock_counts, old_places_are_the_same_registers,
    random_advanced_descriptors_never_hurt))
