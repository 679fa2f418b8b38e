# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel 82574L by its datasheet: what it has in common with others (gigabit.py), extended and split descriptors, two
queues, MSI-X, the clock of IEEE 1588."""
import struct

import gigabit
from gigabit import CTRL, EN, BAM, ICR, ICS, IMC, IMS, LPE, RCTL, RDBAL, RDH, RDLEN, RDT, RX_DATA, RX_RING, RXCSUM, SECRC, \
    VERIFIED, Gigabit, flow, run
from nic import MAC, PEER, frame, ipv4, tcp
from qtest import Tap

EIAC, IAM, IVAR, EITR, CTRL_EXT, RFCTL, PSRCTL, MRQC, RETA = (0xDC, 0xE0, 0xE4, 0xE8, 0x18, 0x5008, 0x2170, 0x5818,
                                                              0x5C00)
SYSTIML, SYSTIMH, TIMINCA = 0xB600, 0xB604, 0xB608


class E1000e(Gigabit):
    model, bars, eerd_shift, eerd_done, phy = "e1000e", ["memory", None, "ports", "memory"], 2, 2, (0x141, 0xCB1)

    def extended(self, rctl=EN | BAM | SECRC, size=16, at=0):
        """Eight extended receive descriptors, of `size` bytes each, in queue `at`."""
        stride, ring = at * 0x100, RX_RING + 0x1000 * at
        for n in range(8):
            buffers = [RX_DATA + 0x40000 * at + 0x4000 * n + 0x1000 * b for b in range(4)]
            self.write(ring + size * n, struct.pack("<QQQQ", *buffers)[:size] if size > 16 else
                       struct.pack("<QQ", buffers[0], 0))
        self.put(RFCTL, 0x8000)
        self.put(RDBAL + stride, ring)
        self.put(RDLEN + stride, 8 * size)
        self.put(RDH + stride, 0)
        self.put(RDT + stride, 7 * size // 16)  # places of 16 bytes, whatever is in them
        self.put(RCTL, rctl)

    def done(self, n=0, size=16, at=0):
        """RSS, hash, status and errors, length, tag of a descriptor, when it is done; what is behind them."""
        where = RX_RING + 0x1000 * at + size * n
        self.eventually(lambda: self.readl(where + 8) & 1, "a frame")
        return struct.unpack("<IIIHH", self.read(where, 16)), self.read(where + 16, 8)

    def scaling(self):
        self.put_key()
        self.put(MRQC, 0x00030001)
        self.put(RXCSUM, 0x2300)


def extended_descriptor_tells_status_and_hash(q):
    q.scaling()
    q.extended()
    for n in range(2):
        q.send(flow(n))
        (rss, value, status, length, _), _ = q.done(n)
        assert (rss & 15, value) == (1, VERIFIED[n][11]), (rss, hex(value))
        assert status & 0x42 == 0x42 and status & 3 == 3 and length == len(flow(n)), (hex(status), length)
    q.send(flow(0, 99))
    (rss, value, status, _, _), _ = q.done(2)
    assert (rss & 15, value) == (2, VERIFIED[0][10]), (rss, hex(value))
    assert not status & 0x20, "there is no TCP"
    good = frame(ipv4(tcp(b"good" * 20)))
    q.send(good)
    assert q.done(3)[0][2] & 0x600000E2 == 0x62
    q.send(good[:-1] + b"!")
    assert q.done(4)[0][2] & 0x600000E2 == 0x20000062
    q.put(RXCSUM, 0x300)
    q.send(good)
    assert q.done(5)[0][:2] == (0, 7), "the identification of IP"


def queues_are_chosen_by_the_table(q):
    q.scaling()
    q.extended()
    q.extended(at=1)
    for n in range(2):
        entry = VERIFIED[n][11] & 127
        q.put(RETA + (entry & ~3), 0x80 << entry % 4 * 8 if n else 0)
        q.send(flow(n))
        q.done(0, at=n)
        assert q.get(ICR) & 0x300000 == 0x100000 << n


def header_goes_into_a_buffer_of_its_own(q):
    q.extended(EN | BAM | SECRC | LPE | 0x400, 32)
    q.put(PSRCTL, 2 | 1 << 8 | 1 << 16 | 1 << 24)  # 256, 1024, 1024, 1024
    payload = bytes(n % 251 for n in range(2000))
    data = frame(ipv4(tcp(payload)))
    q.send(data)
    (_, _, status, length, _), rest = q.done(0, 32)
    header, one, two, three = struct.unpack("<4H", rest)
    assert (length, header, one, two, three) == (54, 0x8036, 1024, 976, 0), (length, hex(header), one, two, three)
    assert status & 3 == 3
    assert q.read(RX_DATA, 54) == data[:54]
    assert q.read(RX_DATA + 0x1000, 1024) + q.read(RX_DATA + 0x2000, 976) == payload
    plain = frame(payload[:1400], kind=0x88B5)  # nothing to split
    q.send(plain)
    (_, _, _, length, _), rest = q.done(1, 32)
    assert (length, *struct.unpack("<4H", rest)) == (256, 0, 1024, 134, 0), (length, rest)
    assert q.read(RX_DATA + 0x4000, 256) + q.read(RX_DATA + 0x5000, 1024) + q.read(RX_DATA + 0x6000, 134) == plain
    q.send(frame(ipv4(tcp(bytes(5000)))))
    assert q.done(2, 32)[0][2] & 3 == 1 and q.done(3, 32)[0][2] & 3 == 3, "one descriptor is not enough"


def messages_go_to_their_vectors(q):
    q.enable_messages(5)
    q.put(IVAR, 0x8 | 0xB << 8 | 0xC << 16)  # receive 0, transmit 3, others 4
    q.put(EIAC, 0x500000)
    q.put(IMS, 0x1500004)
    q.set_up()
    q.send(frame(b"x" * 100))
    q.received()
    q.eventually(lambda: q.message(0), "the message of receive queue 0")
    assert not q.get(IMS) & ~0x1500004 and q.get(IMS) & 0x100000
    q.transmit(frame(b"x" * 100, PEER, MAC))
    assert q.message(3) and not q.message(0) and not q.message(4)
    q.put(ICS, 4)
    assert q.message(4), "a change of the link"
    q.put(ICS, 4)
    assert not q.message(4), "it was told already"
    assert q.get(ICR) & 0x1000004 == 0x1000004 and q.get(ICR) == 0
    q.put(IMC, 4)
    q.put(ICS, 4)
    assert not q.message(4), "it is masked"
    q.put(IMS, 4)
    assert q.message(4)


def masks_clear_themselves(q):
    q.enable_messages(5)
    q.put(IVAR, 0x8)
    q.put(IAM, 0x100000)
    q.put(CTRL_EXT, 0x1000000)
    q.put(IMS, 0x100000)
    q.put(ICS, 0x100000)
    assert q.message(0) and not q.get(IMS) & 0x100000
    q.put(ICR, 0x100000)
    q.put(ICS, 0x100000)
    assert not q.message(0)
    q.put(IMS, 0x100000)
    assert q.message(0)


def messages_keep_their_distance(q):
    q.enable_messages(5)
    q.put(IVAR, 0x9)
    q.put(EITR + 4, 1000)  # 256 microseconds
    q.put(EIAC, 0x100000)
    q.put(IMS, 0x100000)
    q.put(ICS, 0x100000)
    assert q.message(1)
    q.put(ICS, 0x100000)
    assert not q.message(1)
    q.clock_step(255000)
    assert not q.message(1)
    q.clock_step(2000)
    assert q.message(1)


def cause_is_kept_until_it_interrupts(q):
    q.put(IMS, 4)
    q.put(ICS, 1)
    assert q.get(ICR) == 1 and q.get(ICR) == 1, "nothing was asserted: a read changes nothing"
    q.put(ICS, 4)
    assert q.get(ICR) == 0x80000005 and q.get(ICR) == 0


def clock_counts(q):
    q.put(TIMINCA, 2 << 24 | 5)  # 5 each 80 ns
    q.put(SYSTIMH, 7)
    q.put(SYSTIML, 100)
    before = q.get(SYSTIML)
    q.clock_step(8000)
    assert q.get(SYSTIML) - before == 500 and q.get(SYSTIMH) == 7


def reset_forgets_all(q):
    q.put(IVAR, 0x8)
    q.put(0x5400, 1)
    q.put(CTRL, 0x4000000)
    assert q.get(IVAR) == 0 and q.get(0x5400) == struct.unpack("<I", MAC[:4])[0] and not q.get(CTRL) & 0x4000000


def random_split_descriptors_never_hurt(q):
    q.put(RFCTL, 0x8000)
    gigabit.random_descriptors_and_registers_never_hurt(q, [RFCTL, PSRCTL, MRQC, RETA, IVAR, EIAC, IAM, CTRL_EXT, EITR,
                                                            0x2900, 0x2908, 0x2918, 0x3900, 0x3908, 0x3918, TIMINCA, SYSTIML])


run(Tap(), E1000e, gigabit.CASES + (
    extended_descriptor_tells_status_and_hash, queues_are_chosen_by_the_table, header_goes_into_a_buffer_of_its_own,
    messages_go_to_their_vectors, masks_clear_themselves, messages_keep_their_distance, cause_is_kept_until_it_interrupts,
    clock_counts, reset_forgets_all, random_split_descriptors_never_hurt))
