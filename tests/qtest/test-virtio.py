#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtio engine and its PCI transport, with the entropy device, which needs one queue and nothing else."""
import os
import socket
import tempfile
import threading

from qtest import Failed, QTest, Tap, recv_all
from virtio import (ACKNOWLEDGE, DRIVER, DRIVER_OK, EVENT_IDX, FEATURES_OK, IN_ORDER, INDIRECT, INDIRECT_DESC,
                    NEXT, PACKED, RING_RESET, VERSION_1, WRITE, Function, Legacy, Modern, Packed, Split, until)

RING, DATA, TABLE = 0x100000, 0x200000, 0x300000
RNG = ["-M", "pc", "-m", "16", "-device", "virtio-rng-pci,addr=5"]


def rng(extra=""):
    return RNG[:-1] + [RNG[-1] + extra]


def filled(q, addr, length):
    """Were so many random bytes written there, and not more? (A run of 16 zeroes by chance: 2^-128.)"""
    return q.read(addr, length).count(0) < length // 2 and q.readq(addr + length) == 0


# ---- identity ----

def transitional_is_1005(q):
    f = Function(q)
    assert f.read(0) == 0x10051AF4 and f.read(8, "b") == 0 and f.read(0x2C) == 0x00041AF4, hex(f.read(0x2C))
    assert f.read(0x10) & 1 and f.read(0x20) & 15 == 12


def modern_is_1044(q):
    f = Function(q)
    assert f.read(0) == 0x10441AF4 and f.read(8, "b") == 1
    assert f.read(0x10) == 0 and f.read(0x20) & 15 == 12


def legacy_has_no_capabilities(q):
    f = Function(q)
    assert f.read(0) == 0x10051AF4 and not any(number == 9 for _, number in f.capabilities()) and f.read(0x20) == 0


# ---- rings ----

def start(q, ring=Split, bits=(), transport=Modern, size=None):
    t = transport(q)
    r = ring(q, RING, size=size)
    wanted = list(bits) + ([] if t.legacy else [VERSION_1]) + ([PACKED] if ring is Packed else [])
    t.start(wanted, queues=[r])
    return t, r


def fills(ring, bits=(), transport=Modern, indirect=False, rounds=40):
    def run(q):
        t, r = start(q, ring, bits, transport)
        for n in range(rounds):
            addr = DATA + 4096 * (n % 64)
            parts = [(addr, 24, True), (addr + 24, 40, True)]
            ident = r.add(parts, indirect=TABLE if indirect else None)
            got = r.wait()
            assert got == (ident, 64), (n, got, ident)
            assert filled(q, addr, 64), n
            q.memset(addr, 64, 0)
        assert t.isr() & 1
    return run


def interrupts_by_event_index(q):
    t, r = start(q, Split, [EVENT_IDX])
    q.writew(r.avail + 4 + 2 * r.size, 1)  # used_event: tell me of the second
    r.add([(DATA, 16, True)])
    r.wait()
    assert t.isr() & 1  # the first look of a device tells always
    r.add([(DATA, 16, True)])
    r.wait()
    until(lambda: t.isr() & 1)
    q.writew(r.avail + 4 + 2 * r.size, 100)
    r.add([(DATA, 16, True)])
    r.wait()
    assert not t.isr()


def no_interrupt_flag_is_heeded(q):
    t, r = start(q)
    q.writew(r.avail, 1)
    r.add([(DATA, 16, True)])
    r.wait()
    assert not t.isr()


def queue_reset_begins_anew(q):
    t, r = start(q, Split, [RING_RESET])
    r.add([(DATA, 16, True)])
    r.wait()
    t.reset_queue(0)
    assert t.queue_max(0) == 8 and q.readw(t.common + 28) == 0
    r.set_up(t)
    r.add([(DATA, 16, True)])
    assert r.wait() == (0, 16)


def features_not_offered_are_refused(q):
    t = Modern(q)
    t.reset()
    t.set_status(ACKNOWLEDGE | DRIVER)
    t.set_features(1 << VERSION_1 | 1 << 17)
    t.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
    assert not t.status() & FEATURES_OK


def stays_quiet_until_it_may_be_master(q):
    t, r = start(q)
    t.f.write(4, 2, "w")
    r.add([(DATA, 16, True)])
    q.clock_step(1000)
    assert r.poll() is None
    t.f.write(4, 6, "w")
    r.wait()


def configuration_window_reaches_registers(q):
    t = Modern(q)
    f = t.f
    at = next(at for at, number in f.capabilities() if number == 9 and f.read(at + 3, "b") == 5)
    f.write(at + 4, 4, "b")
    f.write(at + 8, 18)
    f.write(at + 12, 2)
    assert f.read(at + 16) == 1  # num_queues
    f.write(at + 8, 20)
    f.write(at + 12, 1)
    f.write(at + 16, ACKNOWLEDGE, "b")
    assert t.status() == ACKNOWLEDGE


def period_limits(q):
    t, r = start(q)
    r.add([(DATA, 24, True)])
    assert r.wait() == (0, 10)
    r.add([(DATA, 24, True)])
    q.clock_step(500000)
    assert r.poll() is None
    q.clock_step(600000)
    assert r.wait() == (1, 10)


# ---- where random bytes come from ----

def file_gives_the_bytes():
    with tempfile.TemporaryDirectory(prefix="backplane-rng-") as folder:
        path = os.path.join(folder, "pipe")
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)
        os.write(pipe, b"these are not random at all....!")
        with QTest([*RNG[:-2], "-object", f"rng-random,id=r,filename={path}", "-device",
                    "virtio-rng-pci,addr=5,rng=r"]) as q:
            t, r = start(q)
            r.add([(DATA, 32, True)])
            assert r.wait() == (0, 32) and q.read(DATA, 32) == b"these are not random at all....!"
            r.add([(DATA, 32, True)])  # the pipe is empty
            q.clock_step(1000)
            assert r.poll() is None
            t.reset()
        os.close(pipe)


def opened(q, path):
    """How often the emulator has the file open."""
    folder = "/proc/%d/fd" % q.process.pid
    return sum(os.path.realpath(os.path.join(folder, fd)) == path for fd in os.listdir(folder))


def file_is_urandom_unless_told_otherwise():
    with QTest(RNG[:-2]) as q:
        before = opened(q, "/dev/urandom")
    for given, path in (("", "/dev/urandom"), (",filename=/dev/random", "/dev/random")):
        with QTest([*RNG[:-2], "-object", "rng-random,id=r" + given, "-device", "virtio-rng-pci,addr=5,rng=r"]) as q:
            assert opened(q, path) == 1 + (before if not given else 0), given
            assert q.qmp("qom-get", {"path": "/objects/r", "property": "filename"}) == path
            t, r = start(q)
            r.add([(DATA, 64, True)])
            assert r.wait() == (0, 64) and filled(q, DATA, 64)


def daemon_gives_the_bytes():
    """One that speaks the entropy gathering daemon's protocol: 2, how many; then they come."""
    with tempfile.TemporaryDirectory(prefix="backplane-egd-") as folder:
        path = os.path.join(folder, "egd")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        asked = []

        def serve():
            peer = listener.accept()[0]
            while True:
                command = recv_all(peer, 2)
                if len(command) < 2:
                    return
                asked.append(command[0])
                peer.sendall(b"g" * command[1])

        threading.Thread(target=serve, daemon=True).start()
        with QTest([*RNG[:-2], "-chardev", f"socket,id=c,path={path}", "-object", "rng-egd,id=r,chardev=c",
                    "-device", "virtio-rng-pci,addr=5,rng=r"]) as q:
            t, r = start(q)
            for n in range(3):
                r.add([(DATA, 300, True)])
                assert r.wait() == (n, 255) and q.read(DATA, 255) == b"g" * 255
        assert asked == [2, 2, 2], asked


def object_gives_the_bytes():
    with QTest([*RNG[:-2], "-object", "rng-builtin,id=r", "-device", "virtio-rng-pci,addr=5,rng=r"]) as q:
        t, r = start(q)
        r.add([(DATA, 64, True)])
        assert r.wait() == (0, 64) and filled(q, DATA, 64)


def seeds_give_the_same_bytes_again():
    def seen(*options):
        with QTest([*RNG[:-2], "-object", "rng-builtin,id=r", "-device", "virtio-rng-pci,addr=5,rng=r", *options]) as q:
            t, r = start(q)
            r.add([(DATA, 64, True)])
            assert r.wait() == (0, 64)
            return q.read(DATA, 64)
    first = seen("-seed", "5")
    assert first == seen("-seed", "5") and len(set(first)) > 16
    assert len({first, seen("-seed", "6"), seen(), seen()}) == 4


def bad_sources_are_refused_in_words():
    for args, words in ((["-object", "rng-random,id=r,filename=/etc/passwd"], "come to an end"),
                        (["-object", "rng-egd,id=r"], "chardev=ID"),
                        (["-object", "rng-random,id=r,filename=/nowhere"], "/nowhere"),
                        *((["-seed", number], "expects a number") for number in
                          ("x", "", "-1", "5x", "18446744073709551616")),
                        (["-device", "virtio-rng-pci,period=0"], "not 0")):
        try:
            QTest(["-M", "pc", *args]).close()
        except Failed as error:
            assert words in str(error), error
        else:
            raise AssertionError("%s is taken" % args)


# ---- broken rules ----

def breaks(name, prepare, ring=Split, bits=(INDIRECT_DESC,)):
    def run(q):
        t, r = start(q, ring, bits)
        prepare(q, r)
        t.notify(0)
        t.until_broken()
        assert q.qmp("query-status")["running"]
        r2 = ring(q, RING)  # and after a reset it works again
        t.start([VERSION_1, *bits] + ([PACKED] if ring is Packed else []), queues=[r2])
        r2.add([(DATA, 16, True)])
        assert r2.wait()[1] == 16
    tap.machine_case(name, rng(",packed=on"), run)


def loop(q, r):
    r.put(0, DATA, 8, NEXT | WRITE, 1)
    r.put(1, DATA, 8, NEXT | WRITE, 0)
    r.offer(0)


def indirect(table, length=None, flags=INDIRECT):
    def prepare(q, r):
        q.write(TABLE, table or b"x")
        r.put(0, TABLE, len(table) if length is None else length, flags, 1)
        r.offer(0)
    return prepare


def one(addr, length, flags, following=0):
    def prepare(q, r):
        r.put(0, addr, length, flags, following)
        r.offer(0)
    return prepare


def order(q, r):
    r.put(0, DATA, 8, NEXT | WRITE, 1)
    r.put(1, DATA, 8, 0)
    r.offer(0)


def jump(q, r):
    r.put(0, DATA, 8, WRITE)
    r.offer(0, by=r.size + 1)


def second_indirect(q, r):
    r.put(0, DATA, 8, NEXT, 1)
    r.put(1, TABLE, 16, INDIRECT)
    r.offer(0)


def entry(addr, length, flags, following=0):
    import struct
    return struct.pack("<QIHH", addr, length, flags, following)


def packed_one(addr, length, flags):
    def prepare(q, r):
        r.put(0, addr, length, 0, flags | r.flags(True))
    return prepare


def packed_hole(q, r):
    r.put(0, DATA, 8, 0, NEXT | WRITE | r.flags(True))


def packed_round(q, r):
    for i in range(r.size):
        r.put(i, DATA, 8, 0, NEXT | WRITE | r.flags(True))


class LostUsed(Split):
    """The used ring's entries lie beyond memory (16 MiB): that shows when one is handed back."""

    def set_up(self, transport):
        self.transport = transport
        self.size = transport.queue_max(self.index)
        self.desc, self.avail, self.used = self.base, self.base + 16 * self.size, (16 << 20) - 4
        self.q.memset(self.base, 0x4000, 0)
        self.avail_idx = self.free = 0
        transport.enable(self.index, self.size, self.desc, self.avail, self.used)


def held_request_is_let_go_once(index, *requests, features=()):
    """The device holds what it hands back then; a request that were let go twice kept the reset from ending."""
    def run(q):
        t = Modern(q)
        for _ in range(3):
            t.reset()
            r = LostUsed(q, RING, index=index)
            t.start([VERSION_1, *features], queues=[r])
            for parts in requests:
                r.add(parts)
            t.until_broken()
        t.reset()
    return run


tap = Tap()
tap.machine_case("transitional device is 1af4:1005 with both interfaces", RNG, transitional_is_1005)
tap.machine_case("non-transitional name is 1af4:1044 without I/O BAR",
                 ["-M", "pc", "-device", "virtio-rng-pci-non-transitional,addr=5"], modern_is_1044)
tap.machine_case("disable-legacy=on does the same", rng(",disable-legacy=on"), modern_is_1044)
tap.machine_case("disable-modern=on leaves the legacy interface", rng(",disable-modern=on"),
                 legacy_has_no_capabilities)
for ring in (Split, Packed):
    what = ring.__name__.lower()
    tap.machine_case(what + " ring is served round and round", rng(",packed=on"), fills(ring))
    tap.machine_case(what + " ring with indirect tables", rng(",packed=on"),
                     fills(ring, [INDIRECT_DESC], indirect=True))
    tap.machine_case(what + " ring with event index", rng(",packed=on"), fills(ring, [EVENT_IDX]))
    tap.machine_case(what + " ring in order", rng(",packed=on,in_order=on"), fills(ring, [IN_ORDER]))
tap.machine_case("legacy interface serves a ring", RNG, fills(Split, transport=Legacy))
tap.machine_case("without doorbells registers ring", rng(",ioeventfd=off"), fills(Split))
tap.machine_case("a page for each queue's notifications", rng(",page-per-vq=on"), fills(Split))
tap.machine_case("used_event decides about interrupts", RNG, interrupts_by_event_index)
tap.machine_case("NO_INTERRUPT is heeded", RNG, no_interrupt_flag_is_heeded)
tap.machine_case("a queue that was reset begins anew", RNG, queue_reset_begins_anew)
tap.machine_case("features that are not offered are refused", RNG, features_not_offered_are_refused)
tap.machine_case("nothing is accessed before bus mastering is on", RNG, stays_quiet_until_it_may_be_master)
tap.machine_case("registers are reached through configuration space", RNG, configuration_window_reaches_registers)
tap.machine_case("max-bytes is given once in a period", rng(",max-bytes=10,period=1"), period_limits)
tap.case("rng-random gives what its file gives", file_gives_the_bytes)
tap.case("rng-random reads urandom unless told otherwise", file_is_urandom_unless_told_otherwise)
tap.case("rng-egd gives what its daemon gives", daemon_gives_the_bytes)
tap.case("rng-builtin gives random bytes", object_gives_the_bytes)
tap.case("-seed gives the same random bytes again", seeds_give_the_same_bytes_again)
tap.case("bad sources are refused in words", bad_sources_are_refused_in_words)

MACHINE = ["-M", "pc", "-m", "16", "-device"]
tap.machine_case("statistics that cannot be handed back are let go", [*MACHINE, "virtio-balloon-pci,addr=5"],
                 held_request_is_let_go_once(2, [(DATA, 10, False)], [(DATA, 10, False)], features=[1]))
tap.machine_case("pages that cannot be handed back are let go", [*MACHINE, "virtio-balloon-pci,addr=5"],
                 held_request_is_let_go_once(0, [(DATA, 4, False)]))
tap.machine_case("output that cannot be handed back is let go",
                 [*MACHINE, "virtio-serial-pci,addr=5", "-chardev", "null,id=c", "-device", "virtconsole,chardev=c"],
                 held_request_is_let_go_once(1, [(DATA, 4, False)]))
breaks("a loop of descriptors breaks the device", loop)
breaks("a next beyond the table breaks it", one(DATA, 8, NEXT | WRITE, 999))
breaks("memory that is not there breaks it", one(0xF0000000000, 8, WRITE))
breaks("a length beyond memory breaks it", one(DATA, 0xFFFFFFF0, WRITE))
breaks("a readable part after a writable one breaks it", order)
breaks("a head beyond the table breaks it", lambda q, r: r.offer(r.size))
breaks("an available index that jumps breaks it", jump)
breaks("an indirect table of 17 bytes breaks it", indirect(entry(DATA, 8, WRITE) + b"x"))
breaks("an empty indirect table breaks it", indirect(b"", 0))
breaks("an indirect table of 1 MiB breaks it", indirect(entry(DATA, 8, WRITE), 1 << 20))
breaks("an indirect table in an indirect table breaks it", indirect(entry(TABLE, 16, INDIRECT)))
breaks("a loop in an indirect table breaks it",
       indirect(entry(DATA, 8, NEXT | WRITE, 1) + entry(DATA, 8, NEXT | WRITE, 0)))
breaks("an indirect next beyond its table breaks it", indirect(entry(DATA, 8, NEXT | WRITE, 5)))
breaks("indirect together with next breaks it", indirect(entry(DATA, 8, WRITE), flags=INDIRECT | NEXT))
breaks("indirect after direct descriptors breaks it", second_indirect)
breaks("indirect that was not negotiated breaks it", indirect(entry(DATA, 8, WRITE)), bits=())
breaks("an indirect table in registers of the device breaks it", one(0xE0000000, 16, INDIRECT))
breaks("packed: memory that is not there breaks it", packed_one(0xF0000000000, 8, WRITE), Packed)
breaks("packed: a chain's next that is not available breaks it", packed_hole, Packed)
breaks("packed: a chain round the ring breaks it", packed_round, Packed)
breaks("packed: indirect together with next breaks it", packed_one(TABLE, 16, INDIRECT | NEXT), Packed)
tap.done()
