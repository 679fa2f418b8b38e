#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtio GPU as its driver sees it: pictures, scan-outs, the pointer, EDID, sizes that viewers wish for; and what a
driver says that makes no sense."""
import random
import socket
import struct
import tempfile
import time

from qtest import QTest, Tap
from virtio import VERSION_1, Modern, Split

CONTROL, CURSOR, REQUEST, REPLY, BACKING = 0x100000, 0x110000, 0x200000, 0x208000, 0x400000
EDID = 1
GPU = ["-M", "pc", "-m", "32", "-vga", "none", "-device", "virtio-gpu-pci,addr=5,xres=800,yres=600"]
(DISPLAY_INFO, CREATE, UNREF, SET_SCANOUT, FLUSH, TRANSFER, ATTACH, DETACH) = range(0x100, 0x108)
GET_EDID, UPDATE_CURSOR, MOVE_CURSOR = 0x10A, 0x300, 0x301
OK, OK_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
UNSPEC, NO_MEMORY, BAD_SCANOUT, BAD_RESOURCE, _, BAD_PARAMETER = range(0x1200, 0x1206)


class Gpu:
    def __init__(self, q, bits=(EDID,)):
        self.q, self.t = q, Modern(q)
        self.control, self.cursor = Split(q, CONTROL, 0), Split(q, CURSOR, 1)
        self.offered = self.t.start([VERSION_1, *bits], queues=[self.control, self.cursor])

    def ask(self, kind, body=b"", room=2048, fence=None, queue=None):
        """Type and body of the answer."""
        q = self.q
        head = struct.pack("<IIQIB3x", kind, 0 if fence is None else 1, fence or 0, 0, 0)
        q.write(REQUEST, head + body)
        q.memset(REPLY, 0, 32)
        queue = queue or self.control
        queue.add([(REQUEST, 24 + len(body), False), (REPLY, room, True)])
        _, length = queue.wait()
        data = q.read(REPLY, length) if length else b""
        if fence is not None:
            assert struct.unpack("<IQ", data[4:16]) == (1, fence), data
        return (struct.unpack("<I", data[:4])[0], data[24:]) if len(data) >= 4 else (0, b"")

    def say(self, want, kind, fmt, *values, **more):
        got = self.ask(kind, struct.pack("<" + fmt, *values), **more)[0]
        assert got == want, "%#x %s: %#x, not %#x" % (kind, values, got, want)

    def resource(self, number, width, height, kind=2, pixels=None, pieces=1):
        self.say(OK, CREATE, "IIII", number, kind, width, height)
        size = (4 * width * height + pieces - 1) // pieces // 4 * 4 + 4
        entries = [(BACKING + i * 2 * size, size) for i in range(pieces)]
        self.say(OK, ATTACH, "II" + "QII" * pieces, number, pieces, *sum(((a, n, 0) for a, n in entries), ()))
        if pixels is not None:
            for i, (addr, n) in enumerate(entries):
                self.q.write(addr, pixels[i * n:(i + 1) * n])
            self.say(OK, TRANSFER, "IIIIQII", 0, 0, width, height, 0, number, 0)


def dump(q, head=0):
    with tempfile.NamedTemporaryFile() as f:
        q.qmp("screendump", {"filename": f.name, "device": "/machine/peripheral-anon/device[0]", "head": head}
              if head else {"filename": f.name})
        magic, size, _, pixels = f.read().split(b"\n", 3)
    assert magic == b"P6"
    return tuple(map(int, size.split())), pixels


def noise(width, height, seed=1):
    return random.Random(seed).randbytes(4 * width * height)


def rgb_of(pixels, order):
    out = bytearray(len(pixels) // 4 * 3)
    for i in range(3):
        out[i::3] = pixels[order[i]::4]
    return bytes(out)


def identity_and_configuration(q):
    g = Gpu(q)
    assert g.t.f.read(0) == 0x10501AF4 and g.t.f.read(8) >> 8 == 0x038000 and g.offered >> EDID & 1
    assert struct.unpack("<IIII", g.t.config(0, 16)) == (0, 0, 1, 0)
    kind, body = g.ask(DISPLAY_INFO, fence=77)
    assert kind == OK_INFO and struct.unpack("<6I", body[:24]) == (0, 0, 800, 600, 1, 0) and not any(body[24:])


def pictures_of_every_format_are_shown(q):
    for kind, order in ((1, (2, 1, 0)), (2, (2, 1, 0)), (3, (1, 2, 3)), (4, (1, 2, 3)), (67, (0, 1, 2)),
                        (68, (3, 2, 1)), (121, (3, 2, 1)), (134, (0, 1, 2))):
        g = Gpu(q)
        pixels = noise(67, 33, kind)
        g.resource(5, 67, 33, kind, pixels, pieces=3)
        g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 67, 33, 0, 5)
        g.say(OK, FLUSH, "IIIIII", 0, 0, 67, 33, 5, 0)
        assert dump(q) == ((67, 33), rgb_of(pixels, order)), kind


def parts_are_transferred_and_flushed(q):
    g = Gpu(q)
    old, new = noise(64, 48, 1), noise(64, 48, 2)
    g.resource(1, 64, 48, 2, old)
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 64, 48, 0, 1)
    q.write(BACKING, new)
    g.say(OK, TRANSFER, "IIIIQII", 10, 20, 30, 5, 4 * (20 * 64 + 10), 1, 0)
    assert dump(q)[1] == rgb_of(old, (2, 1, 0)), "it is shown before the flush"
    g.say(OK, FLUSH, "IIIIII", 10, 20, 30, 5, 1, 0)
    want = bytearray(old)
    for y in range(20, 25):
        at = 4 * (y * 64 + 10)
        want[at:at + 120] = new[at:at + 120]
    assert dump(q)[1] == rgb_of(bytes(want), (2, 1, 0))
    # A part of it on the screen.
    g.say(OK, SET_SCANOUT, "IIIIII", 8, 8, 32, 16, 0, 1)
    part = b"".join(want[4 * (y * 64 + 8):4 * (y * 64 + 40)] for y in range(8, 24))
    assert dump(q) == ((32, 16), rgb_of(part, (2, 1, 0)))
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 0, 0, 0, 0)
    assert not any(dump(q)[1])


def screens_beside_each_other(q):
    g = Gpu(q)
    first, second = noise(40, 30, 1), noise(50, 20, 2)
    g.resource(1, 40, 30, 2, first)
    g.resource(2, 50, 20, 2, second)
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 40, 30, 0, 1)
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 50, 20, 1, 2)
    g.say(BAD_SCANOUT, SET_SCANOUT, "IIIIII", 0, 0, 50, 20, 2, 2)
    assert dump(q)[1] == rgb_of(first, (2, 1, 0))
    assert dump(q, 1) == ((50, 20), rgb_of(second, (2, 1, 0)))


def edid_has_the_preferred_mode(q):
    g = Gpu(q)
    kind, body = g.ask(GET_EDID, struct.pack("<II", 0, 0))
    size = struct.unpack("<I", body[:4])[0]
    edid = body[8:8 + size]
    assert kind == OK_EDID and size == 256 and edid[:8] == bytes.fromhex("00ffffffffffff00")
    assert sum(edid[:128]) & 255 == 0 and sum(edid[128:]) & 255 == 0
    assert (edid[56] | edid[58] >> 4 << 8, edid[59] | edid[61] >> 4 << 8) == (800, 600)
    assert g.ask(GET_EDID, struct.pack("<II", 1, 0))[0] == BAD_SCANOUT


def what_makes_no_sense_is_refused(q):
    g = Gpu(q)
    for width, height, want in ((0, 5, BAD_PARAMETER), (5, 0, BAD_PARAMETER), (1 << 31, 1 << 31, BAD_PARAMETER),
                                (16384, 16384, NO_MEMORY), (0xFFFFFFFF, 1, BAD_PARAMETER)):
        g.say(want, CREATE, "IIII", 9, 2, width, height)
    g.say(BAD_PARAMETER, CREATE, "IIII", 9, 5, 10, 10)
    g.say(BAD_RESOURCE, CREATE, "IIII", 0, 2, 10, 10)
    g.say(OK, CREATE, "IIII", 9, 2, 20, 20)
    g.say(BAD_RESOURCE, CREATE, "IIII", 9, 2, 10, 10)
    g.say(UNSPEC, TRANSFER, "IIIIQII", 0, 0, 20, 20, 0, 9, 0)
    g.say(UNSPEC, ATTACH, "II", 9, 1)
    g.say(UNSPEC, ATTACH, "II", 9, 0xFFFFFFFF)
    g.say(UNSPEC, ATTACH, "II", 9, 0)
    g.say(OK, ATTACH, "IIQII", 9, 1, BACKING, 800, 0)
    g.say(UNSPEC, ATTACH, "IIQII", 9, 1, BACKING, 800, 0)
    g.say(UNSPEC, TRANSFER, "IIIIQII", 0, 0, 20, 20, 0, 9, 0)  # half of it is there
    g.say(OK, DETACH, "II", 9, 0)
    g.say(UNSPEC, DETACH, "II", 9, 0)
    g.say(OK, ATTACH, "IIQII", 9, 1, 0xFFFFFFFFFFFF0000, 0xFFFFFFFF, 0)
    g.say(UNSPEC, TRANSFER, "IIIIQII", 0, 0, 20, 20, 0, 9, 0)
    for x, y, w, h in ((0, 0, 21, 1), (0, 0, 1, 21), (20, 0, 1, 1), (0xFFFFFFFF, 0, 2, 1), (0, 0, 0xFFFFFFFF, 1),
                       (0, 0, 0, 1)):
        g.say(BAD_PARAMETER, TRANSFER, "IIIIQII", x, y, w, h, 0, 9, 0)
        g.say(BAD_PARAMETER, FLUSH, "IIIIII", x, y, w, h, 9, 0)
        g.say(BAD_PARAMETER, SET_SCANOUT, "IIIIII", x, y, w, h, 0, 9)
    g.say(BAD_PARAMETER, TRANSFER, "IIIIQII", 0, 0, 1, 1, 1 << 40, 9, 0)
    g.say(BAD_SCANOUT, SET_SCANOUT, "IIIIII", 0, 0, 20, 20, 1, 9)
    for kind in (UNREF, DETACH, ATTACH):
        g.say(BAD_RESOURCE, kind, "II", 77, 0)
    g.say(BAD_RESOURCE, FLUSH, "IIIIII", 0, 0, 1, 1, 77, 0)
    g.say(UNSPEC, 0x1FF, "")
    g.say(UNSPEC, 0x108, "II", 0, 0)
    assert g.ask(DISPLAY_INFO, room=4)[0] == OK_INFO
    g.say(OK, UNREF, "II", 9, 0)


def memory_is_bounded(q):
    g = Gpu(q)
    made = 0
    for number in range(1, 200):
        got = g.ask(CREATE, struct.pack("<IIII", number, 2, 1024, 1024))[0]
        if got == NO_MEMORY:
            break
        assert got == OK, hex(got)
        made += 1
    assert made == 3, made
    g.say(OK, UNREF, "II", 1, 0)
    g.say(OK, CREATE, "IIII", 1, 2, 1024, 1024)
    g.say(NO_MEMORY, SET_SCANOUT, "IIIIII", 0, 0, 1024, 1024, 0, 1)  # what is shown counts
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 512, 512, 0, 1)
    g.say(OK, UNREF, "II", 2, 0)
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 1024, 1024, 0, 1)
    g.say(NO_MEMORY, CREATE, "IIII", 2, 2, 1024, 1024)
    g.say(OK, SET_SCANOUT, "IIIIII", 0, 0, 0, 0, 0, 0)
    g.say(OK, CREATE, "IIII", 2, 2, 1024, 1024)
    g = Gpu(q)  # a reset lets go of all
    for number in range(1, 4):
        g.say(OK, CREATE, "IIII", number, 2, 1024, 1024)


def resources_are_counted(q):
    """Small ones, too: 16384 at most, then the next is refused until one goes."""
    g, n = Gpu(q), 16384
    bodies = [struct.pack("<IIQIB3xIIII", CREATE, 0, 0, 0, 0, number, 2, 1, 1) for number in range(1, n + 2)]
    for first in range(0, n, 100):
        chunk = bodies[first:min(first + 100, n)]
        q.write(0x600000, b"".join(chunk))
        for at in range(len(chunk)):
            g.control.add([(0x600000 + 40 * at, 40, False), (REPLY, 24, True)], kick=at + 1 == len(chunk))
        for _ in chunk:
            g.control.wait()
        assert struct.unpack("<I", q.read(REPLY, 4))[0] == OK, first
    g.say(NO_MEMORY, CREATE, "IIII", n + 1, 2, 1, 1)
    g.say(OK, UNREF, "II", 7, 0)
    g.say(OK, CREATE, "IIII", n + 1, 2, 1, 1)


def wishes_of_viewers_reach_the_driver(q):
    g = Gpu(q)
    port = int(q.qmp("query-vnc")["service"])
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        f = s.makefile("rb")
        f.read(12)
        s.sendall(b"RFB 003.008\n")
        f.read(f.read(1)[0])
        s.sendall(b"\1")
        f.read(4)
        s.sendall(b"\1")
        f.read(24 - 4)
        f.read(struct.unpack(">I", f.read(4))[0])
        s.sendall(struct.pack(">BxHii", 2, 2, -308, 0))
        s.sendall(struct.pack(">BxHHBxIHHHHI", 251, 1024, 768, 1, 1, 0, 0, 1024, 768, 0))
        end = time.monotonic() + 60
        while struct.unpack("<I", g.t.config(0, 4))[0] != 1:
            assert time.monotonic() < end, "no event comes"
            time.sleep(0.05)
        body = g.ask(DISPLAY_INFO)[1]
        assert struct.unpack("<6I", body[:24]) == (0, 0, 1024, 768, 1, 0)
        edid = g.ask(GET_EDID, struct.pack("<II", 0, 0))[1][8:]
        assert (edid[56] | edid[58] >> 4 << 8, edid[59] | edid[61] >> 4 << 8) == (1024, 768)
        q.writel(g.t.device + 4, 1)
        assert struct.unpack("<II", g.t.config(0, 8)) == (0, 0)


def pointer_has_a_picture(q):
    g = Gpu(q)
    g.resource(3, 64, 64, 1, noise(64, 64))
    body = struct.pack("<8I", 0, 5, 6, 0, 3, 1, 2, 0)
    assert g.ask(UPDATE_CURSOR, body, queue=g.cursor)[0] == 0
    for scanout, resource, hot in ((0, 77, 0), (5, 3, 0), (0, 3, 1000), (0, 0, 0)):
        g.ask(UPDATE_CURSOR, struct.pack("<8I", scanout, 5, 6, 0, resource, hot, hot, 0), queue=g.cursor)
        g.ask(MOVE_CURSOR, struct.pack("<8I", scanout, 0xFFFFFFFF, 6, 0, resource, hot, hot, 0), queue=g.cursor)
    g.say(OK, UNREF, "II", 3, 0)


def random_requests_are_survived(q):
    g, rand = Gpu(q), random.Random(5)
    for _ in range(4000):
        kind = rand.choice((*range(0x100, 0x10C), 0x300, 0x301, rand.getrandbits(32)))
        words = [rand.choice((0, 1, 2, 3, 16, 64, 100, BACKING, rand.getrandbits(32)))
                 for _ in range(rand.randrange(14))]
        g.ask(kind, struct.pack("<%dI" % len(words), *words), room=rand.choice((0, 24, 2048)) or 1,
              queue=rand.choice((g.control, g.control, g.cursor)))
        if rand.random() < 0.02:
            dump(q)
    assert g.ask(DISPLAY_INFO)[0] == OK_INFO
    assert q.process.poll() is None


tap = Tap()
tap.machine_case("identity_and_configuration", GPU, identity_and_configuration)
tap.machine_case("pictures_of_every_format_are_shown", GPU, pictures_of_every_format_are_shown)
tap.machine_case("parts_are_transferred_and_flushed", GPU, parts_are_transferred_and_flushed)
tap.machine_case("screens_beside_each_other", [*GPU[:-1], "virtio-gpu-pci,addr=5,max_outputs=2"],
                 screens_beside_each_other)
tap.machine_case("edid_has_the_preferred_mode", GPU, edid_has_the_preferred_mode)
tap.machine_case("what_makes_no_sense_is_refused", GPU, what_makes_no_sense_is_refused)
tap.machine_case("resources_are_counted", GPU, resources_are_counted)
tap.machine_case("memory_is_bounded", [*GPU[:-1], "virtio-gpu-pci,addr=5,max_hostmem=16M"], memory_is_bounded)
tap.machine_case("wishes_of_viewers_reach_the_driver", [*GPU, "-vnc", "127.0.0.1:90,to=199"],
                 wishes_of_viewers_reach_the_driver)
tap.machine_case("pointer_has_a_picture", GPU, pointer_has_a_picture)
tap.machine_case("random_requests_are_survived", GPU, random_requests_are_survived)
tap.done()
