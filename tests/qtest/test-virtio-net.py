#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtio network card as a driver sees it (Virtual I/O Device 1.2, 5.1): frames both ways over each kind of ring,
merged buffers, what is left to do for the other side, filters by the control queue, and headers that lie."""
import random
import struct

from nic import ALL, MAC, PEER, Nic, checksum, frame, ipv4, tcp, tcp_sum
from qtest import Failed, QTest, Tap
from virtio import PACKED, VERSION_1, Function, Legacy, Modern, Packed, Split, until

RX, TX, CONTROL, IN, OUT, ASK = 0x100000, 0x110000, 0x120000, 0x200000, 0x400000, 0x600000
CSUM, GUEST_CSUM, GUEST_OFFLOADS, GUEST_TSO4, HOST_TSO4, MRG, CTRL, CTRL_RX, CTRL_VLAN, CTRL_EXTRA, CTRL_MAC = \
    0, 1, 2, 7, 11, 15, 17, 18, 19, 20, 23
FILTERS = (MRG, CTRL, CTRL_RX, CTRL_VLAN, CTRL_EXTRA, CTRL_MAC)
NEEDS_CSUM, TCPV4 = 1, 1
SEED = 11


class Card:
    def __init__(self, q, bits=(MRG,), ring=Split, transport=Modern, slot=4, base=0, **where):
        self.q, self.t, self.base = q, transport(q, slot, **where), base
        bits = [b for b in bits if b < 32 or not self.t.legacy] + ([] if self.t.legacy else [VERSION_1])
        bits += [PACKED] if ring is Packed else []
        self.head = 12 if MRG in bits or not self.t.legacy else 10
        self.rx, self.tx = (ring(q, at + base, n) for n, at in enumerate((RX, TX)))
        self.control = ring(q, CONTROL + base, 2)
        self.t.start(bits, queues=[self.rx, self.tx] + ([self.control] if CTRL in bits else []))
        self.buffers, self.next = {}, 0

    def give(self, count=1, size=2048):
        for _ in range(count):
            at = IN + self.base + 2048 * (self.next % 512)
            self.next += 1
            self.buffers[self.rx.add([(at, size, True)], kick=False)] = at
        self.t.notify(0)

    def frame(self):
        """(header, frame) that came."""
        ident, length = self.rx.wait()
        data = self.q.read(self.buffers.pop(ident), length)
        for _ in range(struct.unpack("<H", data[10:12])[0] - 1 if self.head == 12 else 0):
            ident, length = self.rx.wait()
            data += self.q.read(self.buffers.pop(ident), length)
        return data[:self.head], data[self.head:]

    def send(self, data, header=None, meanwhile=None):
        header = header or bytes(self.head)
        self.q.write(OUT + self.base, header + data)
        self.tx.add([(OUT + self.base, len(header), False), (OUT + self.base + len(header), len(data), False)])
        if meanwhile:
            until(lambda: meanwhile() and False or self.tx.poll(), "the frame is not sent")
        else:
            self.tx.wait()

    def ask(self, kind, command, data=b""):
        self.q.write(ASK + self.base, struct.pack("BB", kind, command) + data)
        self.q.writeb(ASK + self.base + 0x8000, 0xEE)
        self.control.add([(ASK + self.base, 2 + len(data), False), (ASK + self.base + 0x8000, 1, True)])
        self.control.wait()
        return self.q.readb(ASK + self.base + 0x8000)


def with_card(function, **how):
    def run():
        with Nic("virtio-net-pci", (), ",packed=on" if how.get("ring") is Packed else "") as q:
            function(q, Card(q, **how))
    return run


def frames_go_both_ways(q, card):
    for n in range(600):  # round the rings
        card.give()
        data = frame(bytes([n & 255]) * (46 + n % 1400))
        q.send(data)
        assert card.frame()[1] == data, n
        card.send(data[::-1])
        assert q.sent() == data[::-1], n


def a_frame_takes_several_buffers(q, card):
    card.give(40, 128)
    data = frame(bytes(range(250)) * 6)
    q.send(data)
    head, got = card.frame()
    assert got == data and struct.unpack("<H", head[10:])[0] == 12  # (12 + 1514) / 128


def frame_that_no_buffers_hold_is_lost_alone(q, card):
    card.give(100, 16)  # 64 of them hold 1024 bytes
    q.send(frame(b"long" * 350))
    q.send(frame(b"short" * 10))
    assert card.frame()[1] == frame(b"short" * 10)


def frames_wait_for_buffers(q, card):
    data = [frame(bytes([n]) * 100) for n in range(5)]
    for f in data:
        q.send(f)
    for f in data:
        card.give()
        assert card.frame()[1] == f


def hears(q, card, data):
    """Is it given to the driver? A frame that always passes follows it."""
    last = frame(b"last" * 20)
    q.send(data)
    q.send(last)
    first = card.frame()[1]
    card.give(2)
    if first == data:
        assert card.frame()[1] == last
        return True
    assert first == last, first
    return False


def filters_are_the_driver_s(q, card):
    card.give(20)
    other, group = frame(b"o" * 60, b"\x52\x54\0\0\0\x77"), frame(b"g" * 60, b"\x01\0\x5e\0\0\x05")
    everybody = frame(b"e" * 60, ALL)
    assert hears(q, card, other) and hears(q, card, group) and hears(q, card, everybody)
    assert card.ask(0, 0, b"\0") == 0  # no longer promiscuous
    assert not hears(q, card, other) and not hears(q, card, group) and hears(q, card, everybody)
    assert card.ask(0, 1, b"\1") == 0 and hears(q, card, group)  # all groups
    assert card.ask(0, 1, b"\0") == 0 and not hears(q, card, group)
    assert card.ask(1, 0, struct.pack("<I", 1) + other[:6] + struct.pack("<I", 1) + group[:6]) == 0
    assert hears(q, card, other) and hears(q, card, group)
    assert card.ask(0, 3, b"\1") == 0 and not hears(q, card, group)  # none of any group
    assert card.ask(0, 3, b"\0") == 0 and card.ask(0, 5, b"\1") == 0 and not hears(q, card, everybody)
    many = b"".join(b"\x52\x54\1\0\0" + bytes([n]) for n in range(100))
    assert card.ask(1, 0, struct.pack("<I", 100) + many + bytes(4)) == 0  # more than fit: all pass
    assert hears(q, card, other)


def vlans_pass_when_they_are_told(q, card):
    card.give(20)

    def tagged(number):
        return MAC + PEER + struct.pack(">HHH", 0x8100, number, 0x0800) + b"v" * 60
    assert card.ask(0, 0, b"\0") == 0
    assert not hears(q, card, tagged(5)), "no VLAN was told"
    assert card.ask(2, 0, struct.pack("<H", 5)) == 0
    assert hears(q, card, tagged(5)) and hears(q, card, tagged(0xE005)) and not hears(q, card, tagged(6))
    assert card.ask(2, 1, struct.pack("<H", 5)) == 0 and not hears(q, card, tagged(5))
    assert card.ask(2, 0, struct.pack("<H", 4096)) == 1, "there are 4096"


def address_changes(q, card):
    card.give(20)
    assert card.ask(0, 0, b"\0") == 0 and card.ask(1, 1, b"\x52\x54\0\0\0\x77") == 0
    q.send(frame(b"o" * 60, b"\x52\x54\0\0\0\x77"))
    assert card.frame()[1][:6] == b"\x52\x54\0\0\0\x77"
    assert card.t.config(0, 6) == b"\x52\x54\0\0\0\x77"


def wrong_commands_are_refused(q, card):
    for kind, command, data in ((0, 0, b""), (0, 6, b"\1"), (1, 0, b""), (1, 1, MAC[:5]),
                                (2, 2, b"\0\0"), (2, 0, b"\0"), (4, 0, b"\2\0"), (5, 0, bytes(8)), (9, 0, b""), (255, 255, b"\0" * 100)):
        assert card.ask(kind, command, data) == 1, (kind, command)
    card.give()
    q.send(frame(b"still" * 20))
    assert card.frame()[1] == frame(b"still" * 20)


def unfinished():
    """A TCP segment whose checksum is left to the other side: the header and the frame."""
    packet = bytearray(frame(ipv4(tcp(b"hello" * 30))))
    pseudo = checksum(bytes(packet[26:34]) + struct.pack(">HH", 6, len(packet) - 34)) ^ 0xFFFF
    packet[50:52] = struct.pack(">H", pseudo)
    return struct.pack("<BBHHHHH", NEEDS_CSUM, 0, 0, 0, 34, 16, 0), bytes(packet)


def checksums_are_filled_in(q, card):
    header, data = unfinished()
    card.send(data, header)
    got = q.sent()
    assert tcp_sum(got[34:]) == 0 and got[:50] == data[:50]


def large_segments_are_cut(q, card):
    payload = bytes(n * 7 & 255 for n in range(9000))
    data = frame(ipv4(tcp(payload)))
    card.send(data, struct.pack("<BBHHHHH", NEEDS_CSUM, TCPV4, 54, 1000, 34, 16, 0))
    got = b""
    while len(got) < 9000:
        f = q.sent()
        assert len(f) <= 1054 and checksum(f[14:34]) == 0 and tcp_sum(f[34:]) == 0
        got += f[54:]
    assert got == payload


def offloads_stay_as_told():
    """Two cards at a hub; one leaves checksums to the other, which takes them, or not any more."""
    with QTest(["-M", "pc", "-netdev", "hubport,id=a,hubid=0", "-netdev", "hubport,id=b,hubid=0", "-device",
                "virtio-net-pci,netdev=a,addr=4,mac=52:54:00:aa:bb:cc", "-device",
                "virtio-net-pci,netdev=b,addr=5,mac=52:54:00:12:34:56"]) as q:
        one = Card(q, (CSUM, MRG))
        two = Card(q, (GUEST_CSUM, GUEST_OFFLOADS, MRG, CTRL), slot=5, base=0x1000000, memory=0xE0100000)
        two.give(20)
        header, data = unfinished()

        def left_to_it():
            one.send(data, header)
            head, got = two.frame()
            assert head[0] & NEEDS_CSUM or tcp_sum(got[34:]) == 0
            return bool(head[0] & NEEDS_CSUM)
        assert left_to_it()
        assert two.ask(5, 0, struct.pack("<Q", 0)) == 0
        assert not left_to_it()
        q.qmp("stop")
        q.qmp("cont")
        assert not left_to_it(), "a pause made the card forget"
        assert two.ask(5, 0, struct.pack("<Q", 1 << GUEST_CSUM)) == 0 and left_to_it()
        assert two.ask(5, 0, struct.pack("<Q", 1 << 40)) == 1


def lying_headers_harm_nobody(q, card):
    rng = random.Random(SEED)
    for n in range(1500):
        data = frame(ipv4(tcp(b"x" * rng.choice((0, 1, 40, 1000, 5000)))) if rng.randrange(2) else rng.randbytes(60))
        data = data[:rng.choice((len(data), rng.randrange(1, len(data))))]
        edges = (0, 1, 13, 14, 33, 34, 50, 53, 54, len(data) - 2, len(data) - 1, len(data), 0x7FFF, 0xFFFF)
        header = struct.pack("<BBHHHHH", rng.choice((0, 1, 2, 4, 7, 255)), rng.choice((0, 1, 3, 4, 5, 0x80, 0x81, 255)),
                             *(rng.choice(edges) & 0xFFFF for _ in range(4)), rng.randrange(3))
        card.send(data, header, lambda: [None for _ in iter(q.nothing_sent, None)])  # a segment may be one byte
    whole = frame(b"whole" * 20)
    came = []  # what still waited, and it: the socket holds a few only
    card.send(whole, meanwhile=lambda: came.extend(iter(q.nothing_sent, None)))
    while whole not in came:
        came.append(q.sent())


tap = Tap()
def old_option_says_how_many_vectors():
    """-net nic: at hub 0, vectors=0 leaves MSI-X out."""
    for words, vectors in (("", 4), (",vectors=0", 0), (",vectors=5", 5)):
        with QTest(["-M", "pc", "-net", "nic,model=virtio,addr=4" + words]) as q:
            f = Function(q, 4)
            at = f.capability(0x11)
            assert (f.read(at + 2, "w") + 1 if at else 0) == vectors, (words, at)


STANDBY = 62
PRIMARY = {"driver": "e1000", "id": "p", "addr": "6", "failover_pair_id": "s"}


def pair(*more, before=(), off=False):
    return QTest(["-M", "pc", *before, "-device", "virtio-net-pci,id=s,addr=5" + ("" if off else ",failover=on"), *more])


def negotiations(q):
    """Events of that since the last look."""
    q.qmp("query-status")
    seen = [e["data"] for e in q.events if e["event"] == "FAILOVER_NEGOTIATED"]
    q.events.clear()
    return seen


def there(q):
    return Function(q, 6).read(0) == 0x100E8086


def names(q):
    return [d["name"] for d in q.qmp("qom-list", {"path": "/machine/peripheral"})]


def primary_waits_for_the_standby_s_driver():
    device = ("-device", "e1000,id=p,addr=6,failover_pair_id=s")
    for before, after in ((device, ()), ((), device)):
        with pair(*after, before=before) as q:
            assert not there(q) and "p" in names(q)
            driver = Modern(q, 5)
            assert driver.start((VERSION_1,), ready=False) >> STANDBY & 1, "it is not offered"
            assert not there(q) and not negotiations(q), "it comes to a driver that knows nothing of it"
            driver.start((VERSION_1, STANDBY), ready=False)
            until(lambda: there(q), "it does not come")
            assert negotiations(q) == [{"device-id": "s"}]
            assert q.qmp("qom-get", {"path": "/machine/peripheral/p", "property": "hotplugged"})
            driver.start((VERSION_1, STANDBY))
            assert there(q) and len(negotiations(q)) <= 1
            # As the guest ejects it: it goes, and while the driver knows the next one comes at once.
            q.qmp("device_del", {"id": "p"})
            q.outl(0xAE08, 1 << 6)
            until(lambda: "p" not in names(q), "it does not go")
            assert not there(q)
            q.qmp("device_add", PRIMARY)
            assert there(q)
            q.qmp("device_del", {"id": "p"})
            q.outl(0xAE08, 1 << 6)
            until(lambda: "p" not in names(q), "it does not go")
            # Not so when it does not know any more.
            driver.reset()
            q.qmp("query-status")
            q.qmp("device_add", PRIMARY)
            assert not there(q) and "p" in names(q)
            q.events.clear()
            q.qmp("device_del", {"id": "p"})
            assert "p" not in names(q) and [e["data"]["device"] for e in q.events if e["event"] == "DEVICE_DELETED"] == ["p"]
            driver.start((VERSION_1, STANDBY))
            until(lambda: negotiations(q), "the event does not come again")
            assert not there(q)


def two_may_wait_and_the_rest_goes_on():
    with pair("-device", "e1000,id=p,addr=6,failover_pair_id=s", "-device", "e1000,id=other,addr=6,failover_pair_id=s",
              "-device", "rtl8139,id=third,addr=7,failover_pair_id=s") as q:
        Modern(q, 5).start((VERSION_1, STANDBY))
        until(lambda: Function(q, 7).read(0) == 0x813910EC, "the last does not come")
        assert there(q) and "p" in names(q) and "other" not in names(q), "two are in one slot"
        assert "'other' had waited, and cannot come" in q.errors() and "slot 6" in q.errors()
    with pair("-device", "e1000,id=p,addr=6,failover_pair_id=s") as q:  # it ends while it waits
        assert not there(q)


def without_failover_nobody_waits():
    with pair(off=True) as q:
        driver = Modern(q, 5)
        assert not driver.start((VERSION_1,)) >> STANDBY & 1
        for arguments, words in ((PRIMARY, "failover=on"), ({**PRIMARY, "failover_pair_id": "none"}, "'none'"),
                                 ({**PRIMARY, "failover_pair_id": "p"}, "'p'"),
                                 ({**PRIMARY, "driver": "virtio-rng-pci"}, "network card")):
            try:
                q.qmp("device_add", arguments)
                raise AssertionError("%s is taken" % arguments)
            except Failed as why:
                assert words in str(why), (words, why)
            assert "p" not in names(q)
    for words, said in (("pcie-root-port,id=r -device e1000e,bus=pcie.0,failover_pair_id=s", "does not support hotplugging"),
                        ("pcie-root-port,id=r -device e1000e,bus=r,failover_pair_id=r", "nobody can wait"),
                        ("pcie-root-port,id=r -device e1000e,bus=r,failover_pair_id=t", "none of this id")):
        try:
            with QTest(["-M", "q35", "-device", "virtio-net-pci,id=s,failover=on", "-device", *words.split()]):
                raise AssertionError("%s is taken" % words)
        except Failed as why:
            assert said in str(why), (said, why)


tap.case("the primary waits for the standby's driver", primary_waits_for_the_standby_s_driver)
tap.case("two may wait and the rest goes on", two_may_wait_and_the_rest_goes_on)
tap.case("without failover nobody waits", without_failover_nobody_waits)
tap.case("the old option says how many vectors", old_option_says_how_many_vectors)
for ring, transport, kind in ((Split, Modern, "split"), (Packed, Modern, "packed"), (Split, Legacy, "legacy")):
    tap.case("frames go both ways: %s" % kind, with_card(frames_go_both_ways, ring=ring, transport=transport))
tap.case("frames go both ways without merging", with_card(frames_go_both_ways, bits=()))
tap.case("a frame takes several buffers", with_card(a_frame_takes_several_buffers))
tap.case("a frame that no buffers hold is lost alone", with_card(frame_that_no_buffers_hold_is_lost_alone))
tap.case("frames wait for buffers", with_card(frames_wait_for_buffers))
tap.case("filters are the driver's", with_card(filters_are_the_driver_s, bits=FILTERS))
tap.case("VLANs pass when they are told", with_card(vlans_pass_when_they_are_told, bits=FILTERS))
tap.case("the address changes", with_card(address_changes, bits=FILTERS))
tap.case("wrong commands are refused", with_card(wrong_commands_are_refused, bits=FILTERS))
tap.case("checksums are filled in", with_card(checksums_are_filled_in, bits=(CSUM, MRG)))
tap.case("large segments are cut", with_card(large_segments_are_cut, bits=(CSUM, HOST_TSO4, MRG)))
tap.case("offloads stay as told", offloads_stay_as_told)
tap.case("lying headers harm nobody", with_card(lying_headers_harm_nobody, bits=(CSUM, HOST_TSO4, MRG)))
tap.done()
