#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The USB network card as a driver of Ethernet Control Model sees it, on xHCI; its cable ends in a socket of ours."""
import os
import socket
import struct
import tempfile

from qtest import Failed, QTest, Tap
from usb import BABBLE, DATA, IOC, ISP, NORMAL, SHORT, STALL, SUCCESS, XHCI

MAC, PEER = b"\x52\x54\x00\x12\x34\x56", b"\x52\x54\x00\xaa\xbb\xcc"
ALL, GROUP = b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x42"
IN, OUT, NOTIFY = 3, 4, 7  # device context indices
PROMISCUOUS, ALL_MULTICAST, DIRECTED, BROADCAST, MULTICAST = 1, 2, 4, 8, 16
AT = {IN: DATA + 0x10000, OUT: DATA + 0x20000, NOTIFY: DATA + 0x30000}


class Card:
    def __init__(self, q, peer, guest):
        self.q, self.x, self.peer, self.guest = q, XHCI(q), peer, guest
        x = self.x
        x.reset_port(1)
        code, self.slot = x.address(1, 3, 64)
        assert code == SUCCESS and x.control(self.slot, 0, 9, 1)[0] == SUCCESS

    def start(self):
        x = self.x
        assert x.control(self.slot, 1, 11, 1, 1)[0] == SUCCESS
        assert x.configure(self.slot, (0x81, 6, 512), (2, 2, 512), (0x83, 7, 16)) == SUCCESS
        self.filter(DIRECTED | BROADCAST)
        return self

    def filter(self, bits):
        assert self.x.control(self.slot, 0x21, 0x43, bits)[0] == SUCCESS

    def put(self, dci, size):
        self.x.put(self.slot, dci, AT[dci], size, NORMAL << 10 | IOC | ISP)

    def wait(self, dci, size):
        _, _, code, left, control = self.x.wait(32)
        assert control >> 16 & 31 == dci and code in (SUCCESS, SHORT), (code, control >> 16 & 31)
        return self.q.read(AT[dci], size - left) if size > left else b""

    def send(self, data):
        """One packet or more of the guest."""
        if data:
            self.q.write(AT[OUT], data)
        self.put(OUT, len(data))
        self.wait(OUT, len(data))

    def receive(self, size=2048):
        self.put(IN, size)
        return self.wait(IN, size)

    def cable(self, frame):
        self.peer.sendto(frame, self.guest)


def case(function, start=True):
    def run():
        with tempfile.TemporaryDirectory(prefix="backplane-usb-net-") as folder:
            here, there = os.path.join(folder, "peer"), os.path.join(folder, "guest")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                peer.bind(here)
                peer.settimeout(20)
                with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,addr=5", "-netdev",
                            f"dgram,id=n,local.type=unix,local.path={there},remote.type=unix,remote.path={here}",
                            "-device", "usb-net,netdev=n,id=card,mac=52:54:00:12:34:56"]) as q:
                    card = Card(q, peer, there)
                    function(card.start() if start else card)
    return run


def frame(to, size, fill=0x41):
    return (to + PEER + b"\x88\xb5").ljust(size, bytes([fill]))


def says_what_it_is(c):
    x = c.x
    code, d = x.control(c.slot, 0x80, 6, 0x200, 0, 255)
    assert code == SUCCESS and d[4] == 2 and len(d) == d[2] | d[3] << 8
    kinds, at = [], 0
    while at < len(d):
        kinds.append((d[at + 1], d[at + 2:at + d[at]]))
        at += d[at]
    assert [(k, b[3:6]) for k, b in kinds if k == 4] == [(4, bytes([2, 6, 0])), (4, bytes([10, 0, 0])),
                                                         (4, bytes([10, 0, 0]))]
    assert [b[2] for k, b in kinds if k == 4] == [1, 0, 2]  # endpoints of each
    ethernet = next(b for k, b in kinds if k == 0x24 and b[0] == 15)
    assert struct.unpack("<H", ethernet[6:8])[0] == 1514
    name = x.control(c.slot, 0x80, 6, 0x300 | ethernet[1], 0x409, 255)[1][2:].decode("utf-16le")
    assert name == "525400123456", name


def frames_go_both_ways(c):
    for size in (60, 511, 512, 513, 1024, 1514):
        sent = frame(PEER, size, size & 255)
        c.send(sent)
        if size % 512 == 0:
            c.send(b"")  # it ends with a whole packet
        assert c.peer.recv(2048) == sent, size
        c.cable(frame(MAC, size, size & 255))
        assert c.receive() == frame(MAC, size, size & 255)
    # In packets, as other controllers do it.
    sent = frame(PEER, 1024)
    for at in range(0, 1024, 512):
        c.send(sent[at:at + 512])
    c.send(b"")
    assert c.peer.recv(2048) == sent
    c.cable(frame(MAC, 1024))
    assert c.receive(512) + c.receive(512) == frame(MAC, 1024) and c.receive(512) == b""
    c.cable(frame(MAC, 100))
    assert c.receive(512) == frame(MAC, 100)
    for n in range(20):  # more than it keeps
        c.cable(frame(MAC, 64 + n, n))
    for n in range(20):
        assert c.receive() == frame(MAC, 64 + n, n)


def filters_let_through_what_they_say(c):
    seen = {"own": MAC, "other": PEER, "all": ALL, "group": GROUP, "another": b"\x01\x00\x5e\x00\x00\x43"}
    groups = struct.pack("6s6s", b"\x01\x00\x5e\x01\x02\x03", GROUP)
    assert c.x.control(c.slot, 0x21, 0x40, 2, 0, 12, groups)[0] == SUCCESS
    for bits, come in ((0, ()), (DIRECTED, ("own",)), (BROADCAST, ("all",)), (MULTICAST, ("group",)),
                       (ALL_MULTICAST, ("group", "another")), (PROMISCUOUS, tuple(seen)),
                       (DIRECTED | MULTICAST, ("own", "group"))):
        c.filter(bits)
        for n, to in enumerate(seen.values()):
            c.cable(frame(to, 60, n))
        c.q.qmp("query-status")
        c.filter(PROMISCUOUS)
        c.cable(frame(MAC, 60, 99))
        got = []
        while not got or got[-1][-1] != 99:
            got.append(c.receive())
        assert {g[:6] for g in got[:-1]} == {seen[name] for name in come}, (bits, got)
    for request, value, size in ((0x40, 33, 198), (0x40, 2, 6), (0x44, 0, 0), (0x45, 0, 0)):
        assert c.x.control(c.slot, 0x21, request, value, 0, size, bytes(size))[0] == STALL
        c.x.recover(c.slot, 1)


def cable_is_told(c):
    def told():
        c.put(NOTIFY, 16)
        return c.wait(NOTIFY, 16)
    assert told() == bytes([0xA1, 0, 1, 0, 0, 0, 0, 0])
    assert told() == bytes([0xA1, 0x2A, 0, 0, 0, 0, 8, 0]) + struct.pack("<II", 100000000, 100000000)
    c.put(NOTIFY, 16)
    c.q.qmp("set_link", {"name": "card", "up": False})
    assert c.wait(NOTIFY, 16) == bytes([0xA1, 0, 0, 0, 0, 0, 0, 0])
    assert told()[8:] == bytes(8)
    c.put(NOTIFY, 4)
    c.q.qmp("set_link", {"name": "card", "up": True})
    assert c.x.wait(32)[2] == BABBLE


def nonsense_is_dropped(c):
    c.send(frame(PEER, 2000))  # longer than any frame
    c.send(b"short")
    c.send(b"")
    c.send(frame(PEER, 60))
    assert c.peer.recv(4096) == frame(PEER, 60)
    c.send(frame(PEER, 512))
    assert c.x.control(c.slot, 1, 11, 1, 1)[0] == SUCCESS  # the beginning of a frame is forgotten
    c.send(frame(PEER, 61))
    assert c.peer.recv(4096) == frame(PEER, 61)
    c.cable(frame(MAC, 1514) + b"1")
    c.cable(frame(MAC, 60))
    assert c.receive() == frame(MAC, 60)


def sleeping_card_takes_nothing(c):
    c.cable(frame(MAC, 60, 1))
    c.q.qmp("query-status")
    c.start()
    c.cable(frame(MAC, 60, 2))
    assert c.receive() == frame(MAC, 60, 2)


def bad_properties_are_refused_in_words():
    for prop, words in (("mac=01:00:00:00:00:00", "multicast"), ("netdev=nope", "nope")):
        try:
            QTest(["-M", "pc", "-device", "qemu-xhci", "-device", "usb-net," + prop]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError(prop + " is taken")


tap = Tap()
tap.case("it says what it is", case(says_what_it_is))
tap.case("frames go both ways", case(frames_go_both_ways))
tap.case("filters let through what they say", case(filters_let_through_what_they_say))
tap.case("the cable is told", case(cable_is_told))
tap.case("nonsense is dropped", case(nonsense_is_dropped))
tap.case("a card that sleeps takes nothing", case(sleeping_card_takes_nothing, False))
tap.case("bad properties are refused in words", bad_properties_are_refused_in_words)
tap.done()
