#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtio network card whose rings another process serves: what that process hears, in which order; frames, resets,
stops, lost connections; processes that do not keep to the protocol."""
import os
import random
import struct
import tempfile
import time
from contextlib import contextmanager

import vhost
from qtest import Failed, QTest, Tap
from vhost import (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_VRING_BASE, LOG_ALL, NET, PROTOCOL, RINGS,
                   SET_FEATURES, SET_LOG_BASE, SET_MEM_TABLE, SET_OWNER, SET_PROTOCOL_FEATURES, SET_VRING_ADDR,
                   SET_VRING_BASE, SET_VRING_CALL, SET_VRING_ENABLE, SET_VRING_KICK, SET_VRING_NUM, Peer, reply)
from virtio import PACKED, VERSION_1, Legacy, Modern, Packed, Split, until

RX, TX, CONTROL, IN, OUT, ASK = 0x100000, 0x110000, 0x140000, 0x200000, 0x400000, 0x600000
MEMORY = ("-m", "64", "-object", "memory-backend-memfd,id=mem,size=64M,share=on", "-machine", "memory-backend=mem")
CSUM, MRG, STATUS, CTRL, MULTI = 0, 15, 16, 17, 22
SEED = 15


@contextmanager
def machine(netdev="", card="", chardev="", peer=None, memory=MEMORY, extra=()):
    with tempfile.TemporaryDirectory(prefix="vhost-user-") as folder:
        path = os.path.join(folder, "s")
        other = peer(path) if peer else Peer(path)
        try:
            with QTest(["-M", "pc", *memory, "-chardev", "socket,id=c,path=%s%s" % (path, chardev), "-netdev",
                        "vhost-user,id=n,chardev=c" + netdev, "-device",
                        "virtio-net-pci,netdev=n,id=card,addr=4,mac=52:54:00:12:34:56" + card, *extra]) as q:
                yield q, other
        finally:
            other.close()


class Card:
    def __init__(self, q, bits=(MRG,), transport=Modern, ring=Split, pairs=1, start=True):
        self.q, self.t, self.pairs = q, transport(q, 4), pairs
        bits = [*bits, *([] if self.t.legacy else [VERSION_1]), *([PACKED] if ring is Packed else [])]
        if pairs > 1:
            bits += [CTRL, MULTI]
        self.bits = bits
        self.rings = [ring(q, RX + 0x10000 * n, n) for n in range(2 * pairs)]
        self.control = ring(q, CONTROL + 0x100000, 2 * pairs)
        self.head = 10 if self.t.legacy else 12
        if start:
            self.start()

    def start(self):
        self.t.start(self.bits, queues=self.rings + ([self.control] if self.pairs > 1 else []))

    def round(self, data, pair=0):
        """Sends a frame; gives what comes back."""
        rx, tx = self.rings[2 * pair:2 * pair + 2]
        rx.add([(IN + 0x10000 * pair, 2048, True)])
        self.q.write(OUT + 0x10000 * pair, bytes(self.head) + data)
        tx.add([(OUT + 0x10000 * pair, self.head, False), (OUT + 0x10000 * pair + self.head, len(data), False)])
        tx.wait()
        length = rx.wait()[1]
        return self.q.read(IN + 0x10000 * pair, length)[self.head:]

    def ask(self, kind, command, data):
        self.q.write(ASK, struct.pack("BB", kind, command) + data)
        self.control.add([(ASK, 2 + len(data), False), (ASK + 0x8000, 1, True)])
        self.control.wait()
        return self.q.readb(ASK + 0x8000)

    def link(self):
        return struct.unpack("<H", self.t.config(6, 2))[0] & 1


def frame(n):
    return bytes([n & 255]) * (60 + n % 1400)


def peer_hears_what_the_protocol_says():
    with machine() as (q, peer):
        Card(q)
        peer.wait(SET_VRING_ENABLE, 2)
        heard = peer.requests()
        assert heard[:5] == [GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_OWNER], heard
        assert heard[5:8] == [SET_MEM_TABLE, SET_LOG_BASE, SET_FEATURES], heard
        ring = [SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ADDR, SET_VRING_CALL, SET_VRING_KICK]
        assert heard[8:] == ring * 2 + [SET_VRING_ENABLE] * 2, heard
        features = struct.unpack("=Q", peer.wait(SET_FEATURES))[0]
        assert features == 1 << MRG | 1 << VERSION_1 | PROTOCOL | LOG_ALL, hex(features)
        assert struct.unpack("=Q", peer.wait(SET_PROTOCOL_FEATURES))[0] == 1 | 2 | 8
        assert [fds for request, _, fds in peer.heard if request in (SET_VRING_CALL, SET_VRING_KICK)] == [1] * 4
        assert (0, 0xA0000) in [(start, size) for start, size, _, _ in peer.memory] or \
            any(start == 0 and size >= 0xA0000 for start, size, _, _ in peer.memory), peer.memory
        q.write(0x300000, b"seen by both")
        memory, at = peer.guest(0x300000, 12)
        assert memory[at:at + 12] == b"seen by both"
        memory[at:at + 12] = b"and the same"
        assert q.read(0x300000, 12) == b"and the same"
        assert peer.wait(SET_VRING_NUM) == struct.pack("=II", 1, 256)
        assert peer.wait(SET_VRING_BASE) == struct.pack("=II", 1, 0)


def peer_of_the_first_protocol_is_served():
    """One without protocol features: nothing is enabled, a ring is when it has its descriptor."""
    with machine(peer=lambda path: Peer(path, NET | RINGS)) as (q, peer):
        card = Card(q)
        assert card.round(frame(5)) == frame(5)
        heard = peer.requests()
        assert not {GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE, SET_LOG_BASE} & set(heard)


def frames_go_round():
    for transport, card in ((Modern, ""), (Legacy, ""), (Modern, ",vectors=0"), (Legacy, ",vectors=0")):
        with machine(card=card, netdev=",vhostforce=on") as (q, peer):
            c = Card(q, transport=transport)
            for n in range(300):
                assert c.round(frame(n)) == frame(n), n
            if card:  # without messages its line says so
                until(lambda c=c: c.t.isr() & 1, "no interrupt comes")


def shortcut_makes_both():
    """-nic vhost-user: the card in slot 3 is a virtio network card, because it is asked for."""
    with tempfile.TemporaryDirectory(prefix="vhost-user-") as folder:
        peer = Peer(os.path.join(folder, "s"))
        try:
            with QTest(["-M", "pc", *MEMORY, "-chardev", "socket,id=c,path=" + peer.path, "-nic",
                        "vhost-user,chardev=c,model=virtio-net-pci,addr=4"]) as q:
                assert Card(q).round(frame(7)) == frame(7)
        finally:
            peer.close()


def several_pairs_go_round():
    with machine(",queues=2", ",mq=on") as (q, peer):
        card = Card(q, pairs=2)
        assert struct.unpack("<H", card.t.config(8, 2))[0] == 2
        peer.wait(SET_VRING_ENABLE, 2)
        assert {struct.unpack("=II", p) for r, p, _ in peer.heard if r == SET_VRING_ENABLE} == {(0, 1), (1, 1)}
        assert card.round(frame(7), 0) == frame(7)
        assert card.ask(4, 0, struct.pack("<H", 2)) == 0
        peer.wait(SET_VRING_ENABLE, payload=struct.pack("=II", 3, 1))
        assert card.round(frame(8), 1) == frame(8)
        assert card.ask(4, 0, struct.pack("<H", 1)) == 0
        peer.wait(SET_VRING_ENABLE, payload=struct.pack("=II", 2, 0))
        assert card.round(frame(9), 0) == frame(9)


def what_the_peer_lacks_is_not_offered():
    with machine(peer=lambda path: Peer(path, NET & ~1 | RINGS & ~(1 << 34) | PROTOCOL)) as (q, peer):
        offered = Card(q, start=False).t.features()
        assert not offered & 1 << CSUM and not offered & 1 << 40 and offered & 1 << MRG and offered & 1 << STATUS
        assert not offered & 1 << 10 and offered & 1 << VERSION_1
    with machine(card=",packed=on", peer=lambda path: Peer(path, NET | RINGS & ~(1 << 34) | PROTOCOL)) as (q, peer):
        assert not Card(q, start=False).t.features() & 1 << PACKED


def reset_waits_for_the_peer():
    with machine() as (q, peer):
        card = Card(q)
        assert card.round(frame(3)) == frame(3)
        peer.answers[GET_VRING_BASE] = lambda p, payload: time.sleep(0.7) or True
        started = time.monotonic()
        card.t.set_status(0)
        assert card.t.status() != 0, "it is still at work"
        until(lambda: card.t.status() == 0)
        assert time.monotonic() - started > 1.2
        del peer.answers[GET_VRING_BASE]
        card.start()
        for n in range(20):
            assert card.round(frame(n)) == frame(n)


def machine_that_stands_has_its_rings_back():
    with machine() as (q, peer):
        card = Card(q)
        for n in range(5):
            assert card.round(frame(n)) == frame(n)
        q.qmp("stop")
        peer.wait(GET_VRING_BASE, 2)
        q.qmp("cont")
        assert struct.unpack("=II", peer.wait(SET_VRING_BASE, 4)) == (1, 5)
        assert card.round(frame(9)) == frame(9)


def packed_rings_keep_their_place():
    with machine(card=",packed=on") as (q, peer):
        peer.quiet = {1}
        Card(q, ring=Packed)
        assert struct.unpack("=II", peer.wait(SET_VRING_BASE, 2)) == (1, 0x80008000)
        for place in (0x80058007, 0x00090003):
            heard = len(peer.requests())
            peer.answers[GET_VRING_BASE] = lambda p, payload, place=place: reply(
                GET_VRING_BASE, payload[:4] + struct.pack("=I", place))
            q.qmp("stop")
            until(lambda heard=heard: peer.requests()[heard:].count(GET_VRING_BASE) == 2)
            q.qmp("cont")
            until(lambda heard=heard: peer.requests()[heard:].count(SET_VRING_BASE) == 2)
            assert struct.unpack("=II", peer.wait(SET_VRING_BASE)) == (1, place)
        peer.answers[GET_VRING_BASE] = lambda p, payload: reply(GET_VRING_BASE, payload[:4] + b"\xff" * 4)
        q.qmp("stop")  # beyond the ring
        until(lambda: "does not keep to" in q.errors())


def lost_connection_comes_back():
    with machine(chardev=",reconnect-ms=50") as (q, peer):
        card = Card(q)
        for n in range(4):
            assert card.round(frame(n)) == frame(n)
        assert card.link()
        for again in range(2, 5):
            heard = len(peer.requests())
            peer.hang_up()
            until(lambda again=again: peer.connections == again)
            until(lambda heard=heard: peer.requests()[heard:].count(SET_VRING_ENABLE) == 2)
            assert struct.unpack("=II", peer.wait(SET_VRING_BASE))[1] == again + 2
            assert card.round(frame(again)) == frame(again)
            assert card.link()


def cable_is_out_while_nobody_is_there():
    with machine() as (q, peer):
        card = Card(q)
        assert card.link()
        peer.hang_up()
        until(lambda: not card.link(), "the link stays")
        text = q.qmp("human-monitor-command", {"command-line": "info network"})
        assert "nobody is there" in str(text), text
        card.t.reset()
        card.start()


def peer_that_comes_with_less_is_refused():
    with machine(chardev=",reconnect-ms=50") as (q, peer):
        Card(q, bits=(MRG, CSUM))
        peer.wait(SET_VRING_ENABLE, 2)
        peer.features = NET & ~1 | RINGS | PROTOCOL
        peer.hang_up()
        until(lambda: "uses features 0x1," in q.errors(), "it is not refused")


def writes_of_the_peer_are_told():
    """The log's bits are taken before the driver is interrupted."""
    with machine() as (q, peer):
        card = Card(q)
        assert card.round(frame(1)) == frame(1)
        flags = struct.unpack("=IIQQQQ", peer.wait(SET_VRING_ADDR))
        assert flags[1] == 1 and flags[5] == card.rings[1].used, flags
        assert len(peer.log) >= (64 << 20) // 4096 // 8
        for page in (0x200, 0x201, 0x3FFF):
            peer.log[page // 8] |= 1 << page % 8
            peer.ring_bell(0)
            until(lambda page=page: not peer.log[page // 8], "the bit stays")
        for at in range(len(peer.log)):  # pages that there are, and those that there are not
            peer.log[at] = 255
        peer.ring_bell(0)
        until(lambda: not any(peer.log[i] for i in range(0, len(peer.log), 97)))
        assert card.round(frame(2)) == frame(2)


def ring_outside_of_memory_is_the_drivers_fault():
    with machine() as (q, peer):
        card = Card(q, start=False)
        card.rings[1].base = 0x7000000  # beyond 64 MiB
        q.memset = lambda *a: None
        card.start()
        card.t.until_broken()
        assert peer.connection, "the peer cannot help it"
        del q.memset
        good = Card(q)
        assert good.round(frame(4)) == frame(4)


BAD = {
    "another request": lambda r: reply(r + 1, bytes(8)),
    "no answer's flag": lambda r: reply(r, bytes(8), flags=1),
    "another version": lambda r: reply(r, bytes(8), flags=6),
    "too short": lambda r: reply(r, bytes(7)),
    "too long": lambda r: reply(r, bytes(9)),
    "4 GiB": lambda r: reply(r, bytes(8), size=0xFFFFFFFF),
    "nothing": lambda r: None,
}


def peer_that_lies_is_disconnected():
    for name, bad in BAD.items():
        for request in (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_MEM_TABLE, SET_LOG_BASE, GET_VRING_BASE):
            if request == SET_LOG_BASE and name in ("too short", "too long", "no answer's flag"):
                continue

            def liar(path, request=request, bad=bad):
                peer = Peer(path)
                peer.answers[request] = (lambda p, payload: None) if bad(1) is None else bad(request)
                return peer
            with machine(peer=liar) as (q, peer):
                early = request in (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM)
                card = Card(q, bits=())
                if request == GET_VRING_BASE:
                    peer.wait(SET_VRING_ENABLE, 2)
                    card.t.set_status(0)
                    until(lambda card=card: card.t.status() == 0, name)
                until(lambda peer=peer: peer.connection is None, (name, request))
                until(lambda card=card: not card.link(), (name, request))
                if bad(1) is not None:
                    until(lambda q=q: "does not keep to" in q.errors(), (name, request, early))


def memory_that_is_not_taken_ends_it():
    def refuses(path):
        peer = Peer(path)
        peer.answers[SET_MEM_TABLE] = reply(SET_MEM_TABLE, struct.pack("=Q", 1))
        return peer
    with machine(peer=refuses) as (q, peer):
        Card(q)
        until(lambda: "does not take the guest's memory" in q.errors())


def silence_is_not_waited_for_for_ever():
    def silent(path):
        peer = Peer(path)
        peer.answers[GET_FEATURES] = b""
        return peer
    with machine(peer=silent) as (q, peer):
        started = time.monotonic()
        q.qmp("query-status")
        assert time.monotonic() - started < 5, "the monitor waits, too"
        until(lambda: "does not answer" in q.errors())


def noise_does_no_harm():
    noise = random.Random(SEED)
    for n in range(60):
        def noisy(path):
            peer = Peer(path)
            request = noise.choice((GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_MEM_TABLE, SET_LOG_BASE,
                                    GET_VRING_BASE, SET_OWNER, SET_VRING_KICK))
            data = bytearray(reply(request, noise.randbytes(8)))
            for _ in range(noise.randrange(4)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            peer.answers[request] = bytes(data[:noise.randrange(len(data) + 1)]) + noise.randbytes(noise.randrange(40))
            return peer
        with machine(peer=noisy) as (q, peer):
            card = Card(q, bits=(), start=False)
            if card.t.features() >> VERSION_1 & 1:
                card.start()
            card.t.set_status(0)
            peer.hang_up()
            until(lambda card=card: card.t.status() == 0, (SEED, n))


def plugged_and_unplugged():
    with tempfile.TemporaryDirectory(prefix="vhost-user-") as folder:
        peer = Peer(os.path.join(folder, "s"))
        try:
            with QTest(["-M", "pc", *MEMORY]) as q:
                for turn in range(3):
                    q.qmp("chardev-add", {"id": "c", "backend": {"type": "socket", "data": {
                        "addr": {"type": "unix", "data": {"path": peer.path}}, "server": False}}})
                    q.qmp("netdev_add", {"type": "vhost-user", "id": "n", "chardev": "c"})
                    q.qmp("device_add", {"driver": "virtio-net-pci", "netdev": "n", "id": "card", "bus": "pci.0", "addr": "4"})
                    until(lambda turn=turn: peer.requests().count(SET_OWNER) == turn + 1)
                    assert Card(q, bits=()).round(frame(turn)) == frame(turn)
                    for command, name in (("netdev_del", "n"), ("chardev-remove", "c")):
                        try:
                            q.qmp(command, {"id": name})
                            raise AssertionError(command + " takes what is in use")
                        except Failed:
                            pass
                    q.qmp("device_del", {"id": "card"})
                    q.outl(0xAE08, 1 << 4)  # the guest lets go of the slot (ACPI)
                    until(lambda: not any("card" in str(d) for d in q.qmp("query-pci")[0]["devices"]))
                    q.qmp("netdev_del", {"id": "n"})
                    q.qmp("chardev-remove", {"id": "c"})
        finally:
            peer.close()


def wrong_keys_are_refused_in_words():
    with tempfile.TemporaryDirectory(prefix="vhost-user-") as folder:
        peer = Peer(os.path.join(folder, "s"))
        socket = "socket,id=c,path=" + peer.path

        def refused(words, chardev, netdev, *more, memory=MEMORY):
            try:
                with QTest(["-M", "pc", *memory, "-chardev", chardev, "-netdev", netdev, *more]):
                    raise AssertionError("%r is taken" % (netdev,))
            except Failed as e:
                for word in words:
                    assert word in str(e), (word, str(e))
        card = ("-device", "virtio-net-pci,netdev=n")
        try:
            refused(("no UNIX socket", "chardev 'c'"), "null,id=c", "vhost-user,id=n,chardev=c")
            refused(("no UNIX socket",), "socket,id=c,host=127.0.0.1,port=0,server=on,wait=off", "vhost-user,id=n,chardev=c")
            refused(("no chardev 'd'",), "null,id=c", "vhost-user,id=n,chardev=d")
            refused(("'chardev' is missing",), "null,id=c", "vhost-user,id=n")
            refused(("queues",), socket, "vhost-user,id=n,chardev=c,queues=0")
            refused(("queues",), socket, "vhost-user,id=n,chardev=c,queues=129")
            refused(("not shared", "share=on"), socket, "vhost-user,id=n,chardev=c", *card, memory=("-m", "64"))
            refused(("not shared",), socket, "vhost-user,id=n,chardev=c", *card, memory=(
                "-m", "64", "-object", "memory-backend-memfd,id=mem,size=64M,share=off", "-machine", "memory-backend=mem"))
            refused(("only virtio-net",), socket, "vhost-user,id=n,chardev=c", "-device", "e1000,netdev=n")
            refused(("no packets for a hub",), socket, "vhost-user,id=n,chardev=c", "-netdev", "hubport,id=h,hubid=0,netdev=n")
            refused(("no packets pass",), socket, "vhost-user,id=n,chardev=c", "-object", "filter-buffer,id=f,netdev=n,interval=1")
            refused(("iommu_platform",), socket, "vhost-user,id=n,chardev=c", "-device",
                    "virtio-net-pci,netdev=n,iommu_platform=on")
            refused(("in use",), socket, "vhost-user,id=n,chardev=c", "-netdev", "vhost-user,id=m,chardev=c")
        finally:
            peer.close()
        peer = Peer(os.path.join(folder, "s"), queues=1)
        try:
            with QTest(["-M", "pc", *MEMORY, "-chardev", socket, "-netdev", "vhost-user,id=n,chardev=c,queues=2"]) as q:
                until(lambda: "2 pairs of queues are wanted" in q.errors())
        finally:
            peer.close()


tap = Tap()
for case in (peer_hears_what_the_protocol_says, peer_of_the_first_protocol_is_served, frames_go_round, shortcut_makes_both,
             several_pairs_go_round, what_the_peer_lacks_is_not_offered, reset_waits_for_the_peer,
             machine_that_stands_has_its_rings_back, packed_rings_keep_their_place, lost_connection_comes_back,
             cable_is_out_while_nobody_is_there, peer_that_comes_with_less_is_refused, writes_of_the_peer_are_told,
             ring_outside_of_memory_is_the_drivers_fault, peer_that_lies_is_disconnected,
             memory_that_is_not_taken_ends_it, silence_is_not_waited_for_for_ever, noise_does_no_harm,
             plugged_and_unplugged, wrong_keys_are_refused_in_words):
    tap.case(case.__name__, case)
tap.done()
