# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filters of COLO: the comparer between two machines' packets, the rewriter of TCP numbers, and the manual's
arrangement of two machines, without checkpoints.

usage: test-net-colo.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import os
import random
import select
import socket
import struct
import sys
import threading
import time

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import MAC, Wire, checksum, ip_bytes, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-colo-")
PEER = b"\x52\x54\0\0\0\x09"
GUEST, CLIENT = "10.8.0.2", "10.8.0.9"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SEED = 5


def ip4(source, target, protocol, payload, ident=1, trailer=b""):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident, 0, 64, protocol, 0) + ip_bytes(source) + ip_bytes(target)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return (MAC + PEER if target == GUEST else PEER + MAC) + b"\x08\0" + head + payload + trailer


def ip6(payload, protocol):
    return PEER + MAC + b"\x86\xdd" + struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + b"\xfd" * 16 + b"\xfe" * 16 + payload


def tcp(seq, ack, flags, data=b"", back=False, extra=b"", port=80):
    """A segment of the guest, or (back) of its client."""
    source, target = (CLIENT, GUEST) if back else (GUEST, CLIENT)
    ports = (4000, port) if back else (port, 4000)
    head = struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (5 + len(extra) // 4) << 4, flags, 5000, 0, 0) + extra
    pseudo = ip_bytes(source) + ip_bytes(target) + struct.pack(">HH", 6, len(head) + len(data))
    value = checksum(pseudo + head + data)
    return ip4(source, target, 6, head[:16] + struct.pack(">H", value) + head[18:] + data)


def udp(data, sport=53, ident=1):
    return ip4(GUEST, CLIENT, 17, struct.pack(">HHHH", sport, 4000, 8 + len(data), 0) + data, ident)


def numbers(frame):
    """Sequence and acknowledgement of a segment, whose sum is right."""
    segment = frame[34:14 + struct.unpack(">H", frame[16:18])[0]]
    assert checksum(frame[26:34] + struct.pack(">HH", 6, len(segment)) + segment) == 0, "a wrong sum"
    return struct.unpack(">II", segment[4:12])


class Stream:
    """A chardev's other end, with records."""

    def __init__(self, name):
        path = os.path.join(FOLDER, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.settimeout(20)
        self.words = ("-chardev", "socket,id=%s,path=%s" % (name, path))

    def accept(self):
        self.c = self.listener.accept()[0]
        self.c.settimeout(20)

    def send(self, packet, header=None):
        body = packet if header is None else header + packet
        self.c.sendall(struct.pack(">I", len(body)) + (b"" if header is None else struct.pack(">I", len(header))) + body)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.c.recv(count - len(data))
            assert part, "it ended"
            data += part
        return data

    def record(self, more=0):
        return self.exactly(struct.unpack(">I", self.exactly(4))[0] + more)

    def nothing(self, seconds=0.3):
        self.c.settimeout(seconds)
        try:
            data = self.c.recv(10000)
            raise AssertionError("there is %r" % data)
        except socket.timeout:
            pass
        finally:
            self.c.settimeout(20)

    def close(self):
        self.c.close()
        self.listener.close()


@contextlib.contextmanager
def comparer(keys="", notify=True):
    streams = [Stream(name) for name in ("pri", "sec", "out", "note")]
    words = [word for s in streams for word in s.words]
    with Emulator(PROGRAM, "-M", "none", *words, "-object", "iothread,id=i", "-object",
                  "colo-compare,id=comp0,primary_in=pri,secondary_in=sec,outdev=out,iothread=i%s%s"
                  % (",notify_dev=note" if notify else "", keys)) as e:
        for s in streams:
            s.accept()
        yield (*streams, e)
        assert e.command("query-status")["return"]
    for s in streams:
        s.close()


def same_packets_are_released():
    with comparer() as (pri, sec, out, note, _):
        for packet, twin in ((udp(b"the same"), udp(b"the same", ident=9)), (tcp(1, 1, ACK, b"abc"), tcp(1, 77, ACK, b"abc")),
                             (ip4(GUEST, CLIENT, 1, b"\0\0\0\0echo"), ip4(GUEST, CLIENT, 1, b"\0\0\0\0echo", 5)),
                             (ip6(b"\x99" * 40, 58), ip6(b"\x99" * 40, 58)),
                             (ip4(GUEST, CLIENT, 17, b"rest of it", 1), ip4(GUEST, CLIENT, 17, b"rest of it", 3))):
            pri.send(packet)
            out.nothing(0.15)
            sec.send(twin)
            assert out.record() == packet, "the primary's one goes out"
        sec.send(udp(b"first of the secondary"))
        out.nothing(0.15)
        pri.send(udp(b"first of the secondary"))
        assert out.record() == udp(b"first of the secondary")
        note.nothing(0.1)


def what_is_not_compared_goes_at_once():
    with comparer() as (pri, sec, out, note, _):
        arp = b"\xff" * 6 + MAC + b"\x08\x06" + bytes(40)
        for packet in (arp, tcp(5, 6, ACK), tcp(5, 0, SYN), tcp(9, 9, RST | ACK), tcp(9, 9, FIN | ACK), MAC + PEER + b"\x88\xb5hello"):
            sec.send(packet)
            pri.send(packet)
            assert out.record() == packet
        out.nothing(0.2)
        note.nothing(0.1)


def segments_are_compared_by_their_bytes():
    """However they were cut, sent again, with the number running over."""
    noise = random.Random(SEED)
    base = 0xFFFFFF00
    with comparer() as (pri, sec, out, note, _):
        data = noise.randbytes(3000)
        at = [0, 0]
        sent = []
        while min(at) < len(data):
            side = noise.randrange(2) if max(at) < len(data) else at.index(min(at))
            n = noise.randrange(1, 400)
            start = at[side] - (noise.randrange(50) if noise.randrange(4) == 0 and at[side] > 50 else 0)
            packet = tcp(base + start, 1, ACK | PSH, data[start:start + n])
            (pri, sec)[side].send(packet)
            at[side] = max(at[side], min(start + n, len(data)))
            if side == 0:
                sent.append(packet)
        for packet in sent:
            assert out.record() == packet
        note.nothing(0.2)


def different_packets_call_for_a_checkpoint():
    for first, second in ((udp(b"one"), udp(b"two")), (udp(b"one"), udp(b"one more")),
                          (tcp(1, 1, ACK, b"abcd"), tcp(1, 1, ACK, b"abXd")), (tcp(1, 1, ACK, b"ab"), tcp(1, 1, ACK, b"cbaa"))):
        with comparer() as (pri, sec, out, note, _):
            other = udp(b"of another connection", 99)
            pri.send(other)
            pri.send(first)
            out.nothing(0.15)
            sec.send(second)
            assert note.record() == b"DO_CHECKPOINT"
            assert out.record() == other and out.record() == first, "all go out, in their order"
            pri.send(udp(b"after it"))
            sec.send(udp(b"after it"))
            assert out.record() == udp(b"after it")
            note.nothing(0.1)


def packets_are_held_for_a_time():
    with comparer(",compare_timeout=600,expired_scan_cycle=50") as (pri, _, out, note, __):
        started = time.monotonic()
        pri.send(udp(b"alone"))
        out.nothing(0.3)
        assert out.record() == udp(b"alone")
        assert time.monotonic() - started >= 0.55
        assert note.record() == b"DO_CHECKPOINT"
    with comparer(",compare_timeout=50,expired_scan_cycle=1500") as (pri, _, out, note, __):
        pri.send(udp(b"seen at a look"))
        assert out.record() == udp(b"seen at a look")
        seen = time.monotonic()
        pri.send(udp(b"seen at the next look"))
        assert out.record() == udp(b"seen at the next look")
        assert time.monotonic() - seen >= 0.7, "looks come too often"
    with comparer(",compare_timeout=200,expired_scan_cycle=50", notify=False) as (pri, sec, out, note, _):
        sec.send(udp(b"of the secondary alone"))
        time.sleep(0.6)
        pri.send(udp(b"new"))
        sec.send(udp(b"new"))
        assert out.record() == udp(b"new"), "what was old is forgotten"


def bytes_left_out_are_waited_for():
    with comparer(",compare_timeout=500,expired_scan_cycle=50") as (pri, sec, out, note, _):
        pri.send(tcp(100, 1, ACK, b"abc"))
        sec.send(tcp(103, 1, ACK, b"def"))
        out.nothing(0.2)
        assert out.record() == tcp(100, 1, ACK, b"abc") and note.record() == b"DO_CHECKPOINT"


def thread_time(pid, thread):
    with open("/proc/%d/task/%d/schedstat" % (pid, thread), encoding="ascii") as f:
        return int(f.read().split()[0])


def iothread_compares():
    """What is compared costs its thread time, and the iothread stays while it is in use."""
    with comparer() as (pri, sec, out, note, e):
        thread = e.command("query-iothreads")["return"][0]["thread-id"]
        assert thread != e.process.pid, "nothing lives in the iothread, which has no thread then"
        for _ in range(20):  # threads have begun
            pri.send(tcp(5, 6, ACK))
            assert out.record() == tcp(5, 6, ACK)
        before = thread_time(e.process.pid, thread)
        time.sleep(0.2)
        idle = thread_time(e.process.pid, thread) - before
        for n in range(400):
            for s in (pri, sec):
                s.send(udp(b"%d" % n * 300, 1000 + n))
            assert out.record() == udp(b"%d" % n * 300, 1000 + n)
        spent = thread_time(e.process.pid, thread) - before - idle
        assert spent > idle and spent > 400000, (idle, spent)
        assert "error" in e.command("object-del", id="i"), "the iothread goes while it is in use"
        pri.send(udp(b"held to the end"))
        out.nothing(0.15)
        assert "return" in e.command("object-del", id="comp0")
        assert out.record() == udp(b"held to the end")
        assert "return" in e.command("object-del", id="i")


def many_in_a_row_all_come():
    """More than the queue to the iothread holds; fewer bytes than may wait for a slow reader."""
    count = 15000
    with comparer() as (pri, _, out, __, ___):
        packet = tcp(5, 6, ACK)
        sender = threading.Thread(target=lambda: [pri.send(packet) for _ in range(count)], daemon=True)
        sender.start()
        for _ in range(count):
            assert out.record() == packet
        sender.join()


def notify_dev_is_read():
    """However much is said there."""
    with comparer() as (pri, sec, out, note, _):
        for _ in range(3000):
            note.send(b"whatever Xen may say" * 20)
        pri.send(udp(b"one"))
        sec.send(udp(b"two"))
        assert note.record() == b"DO_CHECKPOINT" and out.record() == udp(b"one")
        note.c.sendall(b"\xff" * 5000)
        pri.send(udp(b"three"))
        sec.send(udp(b"four"))
        assert note.record() == b"DO_CHECKPOINT" and out.record() == udp(b"three")


def queue_has_an_end():
    with comparer(",max_queue_size=10") as (pri, _, out, note, __):
        for n in range(10):
            pri.send(udp(b"%d" % n, 1000 + n))
        out.nothing(0.2)
        pri.send(udp(b"one more"))
        for n in range(10):
            assert out.record() == udp(b"%d" % n, 1000 + n)
        assert note.record() == b"DO_CHECKPOINT"
        out.nothing(0.2)


def headers_of_virtio_are_passed():
    header = bytes((1, 0, 0, 0, 0, 0, 34, 0, 16, 0))
    with comparer(",vnet_hdr_support=on") as (pri, sec, out, _, __):
        pri.send(tcp(1, 1, ACK, b"abc"), header)
        sec.send(tcp(1, 1, ACK, b"abc"), bytes(10))
        assert out.record(4) == struct.pack(">I", 10) + header + tcp(1, 1, ACK, b"abc")


def hostile_packets_do_no_harm():
    noise = random.Random(SEED)
    seeds = [tcp(1, 1, ACK, b"abcdef"), udp(b"hello"), ip6(b"\x01" * 30, 6), ip6(b"\x01" * 8, 17), ip4(GUEST, CLIENT, 1, b"x")]
    with comparer() as (pri, sec, out, note, e):
        out.c.setblocking(False)
        note.c.setblocking(False)
        for _ in range(6000):
            packet = bytearray(noise.choice(seeds))
            for _ in range(noise.randrange(4)):
                packet[noise.randrange(12, len(packet))] = noise.choice((0, 1, 0x0F, 0x45, 0x80, 0xF0, 0xFF, noise.randrange(256)))
            packet = bytes(packet[:noise.randrange(1, len(packet) + 1)])
            noise.choice((pri, sec)).send(packet)
            for s in (out, note):
                with contextlib.suppress(BlockingIOError):
                    s.c.recv(1 << 16)
        assert e.command("query-status")["return"]


@contextlib.contextmanager
def secondary(*more, keys=""):
    """The guest's end of a wire, and the far one, with a rewriter between them."""
    wire = Wire(FOLDER)
    far = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    far.bind(os.path.join(FOLDER, "far-us"))
    far.settimeout(20)
    network = "dgram,local.type=unix,local.path=%s/far-them,remote.type=unix,remote.path=%s/far-us" % (FOLDER, FOLDER)
    try:
        with Emulator(PROGRAM, "-M", "none", *options(FOLDER, network), *more, "-object",
                      "filter-rewriter,id=rew0,netdev=n,queue=all" + keys) as e:
            yield wire, far, lambda data: far.sendto(data, os.path.join(FOLDER, "far-them")), e
    finally:
        wire.close()
        far.close()
        os.unlink(os.path.join(FOLDER, "far-us"))


def numbers_become_the_primarys():
    for primary, ours in ((1000, 777000), (0xFFFFFFF0, 5), (9, 0xFFFFFFFE)):
        with secondary() as (wire, far, from_far, _):
            from_far(tcp(50, 0, SYN, back=True))
            assert numbers(wire.frame(20)) == (50, 0)
            wire.send(tcp(ours, 51, SYN | ACK))
            assert numbers(far.recv(2000)) == (ours, 51), "nobody knows better yet"
            from_far(tcp(51, primary + 1, ACK, back=True))
            assert numbers(wire.frame(20)) == (51, (ours + 1) & 0xFFFFFFFF)
            wire.send(tcp(ours + 1, 51, ACK | PSH, b"from the guest"))
            frame = far.recv(2000)
            assert numbers(frame) == ((primary + 1) & 0xFFFFFFFF, 51) and frame.endswith(b"from the guest")
            sack = struct.pack(">BBBBII", 1, 1, 5, 10, (primary + 5) & 0xFFFFFFFF, (primary + 9) & 0xFFFFFFFF)
            from_far(tcp(51, primary + 1 + 14, ACK, b"odd", back=True, extra=sack))
            frame = wire.frame(20)
            assert numbers(frame) == (51, (ours + 15) & 0xFFFFFFFF)
            assert struct.unpack(">II", frame[58:66]) == ((ours + 5) & 0xFFFFFFFF, (ours + 9) & 0xFFFFFFFF)
            wire.send(udp(b"no TCP"))
            assert far.recv(2000) == udp(b"no TCP")
            wire.send(tcp(ours + 15, 54, RST | ACK))
            assert numbers(far.recv(2000))[0] == (primary + 15) & 0xFFFFFFFF
            wire.send(tcp(8, 9, ACK, port=81))
            assert numbers(far.recv(2000)) == (8, 9), "another connection"


def guests_own_connections_are_rewritten():
    with secondary() as (wire, far, from_far, _):
        wire.send(tcp(300, 0, SYN))
        assert numbers(far.recv(2000)) == (300, 0)
        from_far(tcp(70, 9001, SYN | ACK, back=True))  # the primary's began with 9000
        assert numbers(wire.frame(20)) == (70, 301)
        wire.send(tcp(301, 71, ACK, b"x"))
        assert numbers(far.recv(2000)) == (9001, 71)


def rewriter_stands_hostile_packets():
    noise = random.Random(SEED)
    with secondary() as (wire, far, from_far, e):
        for n in range(5000):
            flags = noise.choice((SYN, SYN | ACK, ACK, RST, 255))
            extra = noise.randbytes(4 * noise.randrange(11))
            packet = bytearray(tcp(noise.randrange(1 << 32), noise.randrange(1 << 32), flags, b"abc", n & 1 == 0, extra,
                                   noise.randrange(65536)))
            for _ in range(noise.randrange(3)):
                packet[noise.randrange(12, len(packet))] = noise.randrange(256)
            packet = bytes(packet[:noise.randrange(14, len(packet) + 1)])
            if n & 1:
                wire.send(packet)
            else:
                from_far(packet)
            for end in (far, wire.socket):
                while select.select([end], [], [], 0)[0]:
                    end.recv(70000)
        assert e.command("query-status")["return"]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def two_machines_are_one():
    """The manual's arrangement; then the primary is lost, and the connection goes on with the secondary."""
    mirror, compare1, compare0, compare_out = free_ports(4)
    folders = [os.path.join(FOLDER, name) for name in ("primary", "other")]
    ends, fars = [], []
    for folder in folders:
        os.mkdir(folder)
        ends.append(Wire(folder))
        far = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        far.bind(os.path.join(folder, "far-us"))
        far.settimeout(20)
        fars.append(far)

    def network(folder):
        return options(folder, "dgram,local.type=unix,local.path=%s/far-them,remote.type=unix,remote.path=%s/far-us"
                       % (folder, folder), "hn0")

    def inet(name, port, server):
        return ("-chardev", "socket,id=%s,host=127.0.0.1,port=%d%s" % (name, port, ",server=on,wait=off" if server else ""))
    one = Emulator(PROGRAM, "-M", "none", *network(folders[0]), *inet("mirror0", mirror, True), *inet("compare1", compare1, True),
                   *inet("compare0", compare0, True), *inet("compare0-0", compare0, False),
                   *inet("compare_out", compare_out, True), *inet("compare_out0", compare_out, False),
                   "-object", "iothread,id=iothread1",
                   "-object", "filter-mirror,id=m0,netdev=hn0,queue=tx,outdev=mirror0",
                   "-object", "filter-redirector,netdev=hn0,id=redire0,queue=rx,indev=compare_out",
                   "-object", "filter-redirector,netdev=hn0,id=redire1,queue=rx,outdev=compare0",
                   "-object", "colo-compare,id=comp0,primary_in=compare0-0,secondary_in=compare1,outdev=compare_out0,"
                   "iothread=iothread1")
    with one, Emulator(PROGRAM, "-M", "none", *network(folders[1]), *inet("red0", mirror, False), *inet("red1", compare1, False),
                       "-object", "filter-redirector,id=f1,netdev=hn0,queue=tx,indev=red0",
                       "-object", "filter-redirector,id=f2,netdev=hn0,queue=rx,outdev=red1",
                       "-object", "filter-rewriter,id=rew0,netdev=hn0,queue=all") as two:
        def client(data, to=0):
            fars[to].sendto(data, os.path.join(folders[to], "far-them"))
        client(tcp(50, 0, SYN, back=True))
        assert numbers(ends[0].frame(20)) == numbers(ends[1].frame(20)) == (50, 0), "both guests hear it"
        ends[0].send(tcp(1000, 51, SYN | ACK))
        ends[1].send(tcp(777000, 51, SYN | ACK))
        assert numbers(fars[0].recv(2000)) == (1000, 51)
        client(tcp(51, 1001, ACK | PSH, b"question", back=True))
        assert numbers(ends[0].frame(20)) == (51, 1001) and numbers(ends[1].frame(20)) == (51, 777001)
        ends[0].send(tcp(1001, 59, ACK | PSH, b"the answer"))
        fars[0].settimeout(0.3)
        with contextlib.suppress(socket.timeout):
            raise AssertionError("it is not held: %r" % fars[0].recv(2000))
        fars[0].settimeout(20)
        ends[1].send(tcp(777001, 59, ACK | PSH, b"the answer"))
        assert fars[0].recv(2000) == tcp(1001, 59, ACK | PSH, b"the answer")
        # The primary is lost; the secondary's own network takes over, as its operator says.
        one.process.kill()
        one.process.wait(60)
        for name in ("f1", "f2"):
            assert two.command("object-del", id=name) == {"return": {}}
        client(tcp(59, 1011, ACK | PSH, b"another one", back=True), 1)
        assert numbers(ends[1].frame(20)) == (59, 777011)
        ends[1].send(tcp(777011, 70, ACK | PSH, b"of the secondary"))
        frame = fars[1].recv(2000)
        assert numbers(frame) == (1011, 70) and frame.endswith(b"of the secondary")
    for end in ends:
        end.close()
    for far in fars:
        far.close()


def wrong_keys_are_refused_in_words():
    def refused(keys, *words):
        said = fails(PROGRAM, "-M", "none", "-netdev", "hubport,id=n,hubid=0", "-chardev", "null,id=a", "-chardev",
                     "null,id=b", "-chardev", "null,id=c", "-object", "iothread,id=i", "-object", keys)
        for word in words:
            assert word in said, (word, said)
    good = "colo-compare,id=f,primary_in=a,secondary_in=b,outdev=c,iothread=i"
    for key in ("primary_in", "secondary_in", "outdev", "iothread"):
        refused(",".join(word for word in good.split(",") if not word.startswith(key)), "'%s' is missing" % key)
    refused(good.replace("outdev=c", "outdev=a"), "different chardevs")
    refused(good.replace("secondary_in=b", "secondary_in=a"), "different chardevs")
    refused(good.replace("iothread=i", "iothread=z"), "'iothread': iothread 'z' not found")
    refused(good.replace("outdev=c", "outdev=z"), "no chardev 'z'")
    refused(good + ",notify_dev=z", "no chardev 'z'")
    refused(good + ",compare_timeout=0", "compare_timeout")
    refused(good + ",expired_scan_cycle=0", "expired_scan_cycle")
    refused(good + ",max_queue_size=0", "max_queue_size")
    refused("filter-rewriter,id=f", "'netdev' is missing")
    refused("filter-rewriter,id=f,netdev=z", "no netdev 'z'")


tap.run([same_packets_are_released, what_is_not_compared_goes_at_once, segments_are_compared_by_their_bytes,
         different_packets_call_for_a_checkpoint, packets_are_held_for_a_time, bytes_left_out_are_waited_for,
         iothread_compares, many_in_a_row_all_come, notify_dev_is_read, queue_has_an_end, headers_of_virtio_are_passed, hostile_packets_do_no_harm, numbers_become_the_primarys,
         guests_own_connections_are_rewritten, rewriter_stands_hostile_packets, two_machines_are_one,
         wrong_keys_are_refused_in_words])
