# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filters of networks: dump, buffer, mirror, redirector; between the guest's end of a wire and the far one.

usage: test-net-filters.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import ALL, MAC, Wire, checksum, ip_bytes, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-filters-")
OUT = ALL + MAC + b"\x88\xb5" + b"from the guest" * 10
BACK = MAC + b"\x52\x54\0\0\0\x01" + b"\x88\xb5" + b"from afar" * 10


class Far:
    """The far end: the netdev's own socket."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(FOLDER, "far-us"))
        self.socket.settimeout(20)

    def send(self, frame):
        self.socket.sendto(frame, os.path.join(FOLDER, "far-them"))

    def frame(self, seconds=20):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(70000)
        except socket.timeout:
            return None

    def close(self):
        self.socket.close()
        os.unlink(os.path.join(FOLDER, "far-us"))


@contextlib.contextmanager
def line(*more):
    """Both ends and the emulator between them."""
    wire, far = Wire(FOLDER), Far()
    network = "dgram,local.type=unix,local.path=%s/far-them,remote.type=unix,remote.path=%s/far-us" % (FOLDER, FOLDER)
    try:
        with Emulator(PROGRAM, "-M", "none", *options(FOLDER, network), *more) as e:
            yield wire, far, e
    finally:
        wire.close()
        far.close()


def listener(name):
    path = os.path.join(FOLDER, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    s.settimeout(20)
    return s, ("-chardev", "socket,id=%s,path=%s" % (name, path))


def record(s, seconds=20, more=0):
    def exactly(count):
        data = b""
        while len(data) < count:
            part = s.recv(count - len(data))
            assert part, "it ended"
            data += part
        return data
    s.settimeout(seconds)
    return exactly(struct.unpack(">I", exactly(4))[0] + more)


def refused(keys, *words, more=()):
    said = fails(PROGRAM, "-M", "none", "-netdev", "hubport,id=n,hubid=0", *more, "-object", keys)
    for word in words:
        assert word in said, (word, said)


def unfiltered_line_works():
    with line() as (wire, far, _):
        wire.send(OUT)
        assert far.frame() == OUT
        far.send(BACK)
        assert wire.frame(20) == BACK


def dump_is_read_by_tcpdump_while_it_grows():
    path = os.path.join(FOLDER, "dump.pcap")
    udp = struct.pack(">HHHH", 53, 4444, 8 + 5, 0) + b"hello"
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ip_bytes("10.0.2.2") + ip_bytes("10.0.2.15")
    packet = MAC + b"\x52\x54\0\0\0\x02\x08\0" + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp
    with line("-object", "filter-dump,id=d,netdev=n,file=%s" % path,
              "-object", "filter-dump,id=short,netdev=n,maxlen=20,queue=tx,file=%s.short" % path) as (wire, far, _):
        far.send(packet)
        assert wire.frame(20) == packet
        wire.send(OUT)
        assert far.frame() == OUT
        with open(path, "rb") as f:
            data = f.read()
        magic, major, minor, _, _, most, kind = struct.unpack("<IHHIIII", data[:24])
        assert (magic, major, minor, most, kind) == (0xA1B2C3D4, 2, 4, 65536, 1)
        seconds, _, kept, length = struct.unpack("<IIII", data[24:40])
        assert abs(seconds - time.time()) < 600 and kept == length == len(packet)
        assert data[40:40 + length] == packet and data[-len(OUT):] == OUT
        with open(path + ".short", "rb") as f:
            short = f.read()
        assert len(short) == 24 + 16 + 20 and struct.unpack("<II", short[32:40]) == (20, len(packet))
        if shutil.which("tcpdump"):
            text = subprocess.run(["tcpdump", "-nr", path], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True).stdout
            assert "10.0.2.2.53 > 10.0.2.15.4444" in text and len(text.splitlines()) >= 2, text


def buffer_delivers_at_the_end_of_its_interval():
    with line("-object", "filter-buffer,id=b,netdev=n,interval=300000") as (wire, far, e):
        far.frame(0.5)
        start = time.monotonic()
        waits = []
        for _ in range(3):
            wire.send(OUT)
            wire.send(BACK)
            start = time.monotonic()
            assert far.frame() == OUT
            waits.append(time.monotonic() - start)
            assert far.frame(0.25) == BACK, "both come together"
        assert max(waits) > 0.1, waits
        e.command("qom-set", path="/objects/b", property="status", value=False)
        for _ in range(3):  # nothing is held while it is off
            start = time.monotonic()
            wire.send(OUT)
            assert far.frame() == OUT
            waits.append(time.monotonic() - start)
        assert min(waits[3:]) < 0.1, waits


def object_add_and_del_change_the_line():
    with line() as (wire, far, e):
        assert "return" in e.command("object-add", qom_type="filter-buffer", id="b", netdev="n", interval=4000000000)
        wire.send(OUT)
        assert far.frame(0.3) is None
        assert "b: type=filter-buffer,netdev=n,queue=all,status=on" in \
            e.command("human-monitor-command", command_line="info network")["return"]
        assert "return" in e.command("object-del", id="b")
        assert far.frame() == OUT, "what was held goes on"
        wire.send(BACK)
        assert far.frame() == BACK


def mirror_copies_to_its_chardev():
    s, chardev = listener("m")
    with s, line(*chardev, "-object", "filter-mirror,id=f,netdev=n,queue=rx,outdev=m") as (wire, far, _), s.accept()[0] as c:
        wire.send(OUT)
        assert far.frame() == OUT and record(c) == OUT
        far.send(BACK)
        assert wire.frame(20) == BACK
        wire.send(BACK)
        assert record(c) == BACK, "what the netdev sends is not its queue"
    s, chardev = listener("m")
    with s, line(*chardev, "-object", "filter-mirror,id=f,netdev=n,queue=tx,outdev=m,vnet_hdr_support=on") as \
            (wire, far, _), s.accept()[0] as c:
        far.send(BACK)
        assert wire.frame(20) == BACK
        data = record(c, more=4)
        assert struct.unpack(">I", data[:4])[0] == 10 and data[14:] == BACK


def redirector_moves_and_injects():
    out, out_chardev = listener("ro")
    inn, in_chardev = listener("ri")
    with out, inn, line(*out_chardev, *in_chardev, "-object", "filter-redirector,id=f,netdev=n,queue=rx,outdev=ro",
                        "-object", "filter-redirector,id=g,netdev=n,queue=rx,indev=ri") as (wire, far, _), \
            out.accept()[0] as c, inn.accept()[0] as d:
        wire.send(OUT)
        assert record(c) == OUT
        assert far.frame(0.3) is None, "it was moved, not copied"
        # The last filter is nearest to the guest: what it injects meets the other one.
        d.sendall(struct.pack(">I", len(BACK)) + BACK)
        assert record(c) == BACK
        d.sendall(struct.pack(">I", 1 << 30) + bytes(100000))
        far.send(BACK)
        assert wire.frame(20) == BACK


def redirectors_of_two_machines_make_one_line():
    """As the manual's COLO arrangement: what the guest sends leaves by one chardev and comes back by another."""
    out, out_chardev = listener("to")
    inn, in_chardev = listener("from")
    with out, inn, line(*out_chardev, *in_chardev, "-object", "filter-redirector,id=f,netdev=n,queue=rx,indev=from",
                        "-object", "filter-redirector,id=g,netdev=n,queue=rx,outdev=to") as (wire, far, _), \
            out.accept()[0] as c, inn.accept()[0] as d:
        wire.send(OUT)
        moved = record(c)
        d.sendall(struct.pack(">I", len(moved)) + moved)
        assert far.frame() == OUT


def reader_that_is_slow_loses_whole_packets():
    s, chardev = listener("slow")
    with s, line(*chardev, "-object", "filter-mirror,id=f,netdev=n,queue=rx,outdev=slow") as (wire, far, e), s.accept()[0] as c:
        big = OUT + bytes(30000)
        for _ in range(300):
            wire.send(big)
            assert far.frame() == big
        assert e.command("query-status")["return"]
        got = 0
        with contextlib.suppress(socket.timeout):
            while True:
                assert record(c, 1) == big, "a record is broken"
                got += 1
        assert 10 < got < 300, got


def wrong_keys_are_refused_in_words():
    refused("filter-dump,id=f", "'netdev' is missing")
    refused("filter-dump,id=f,netdev=zz", "no netdev 'zz'")
    refused("filter-dump,id=f,netdev=n,file=/nonexistent/f", "/nonexistent/f")
    refused("filter-dump,id=f,netdev=n,maxlen=0", "maxlen")
    refused("filter-buffer,id=f,netdev=n", "interval")
    refused("filter-buffer,id=f,netdev=n,interval=0", "interval")
    refused("filter-buffer,id=f,netdev=n,interval=1,queue=up", "queue")
    refused("filter-buffer,id=f,netdev=n,interval=1,position=middle", "head, tail or id=")
    refused("filter-buffer,id=f,netdev=n,interval=1,position=id=zz", "no filter 'zz'")
    refused("filter-buffer,id=f,netdev=n,interval=1,insert=beside", "insert")
    refused("filter-mirror,id=f,netdev=n", "'outdev' is missing")
    refused("filter-mirror,id=f,netdev=n,outdev=zz", "no chardev 'zz'")
    refused("filter-redirector,id=f,netdev=n", "'indev' and 'outdev'")
    refused("filter-redirector,id=f,netdev=n,indev=a,outdev=a", "different", more=("-chardev", "null,id=a"))


tap.run([unfiltered_line_works, dump_is_read_by_tcpdump_while_it_grows, buffer_delivers_at_the_end_of_its_interval,
         object_add_and_del_change_the_line, mirror_copies_to_its_chardev, redirector_moves_and_injects,
         redirectors_of_two_machines_make_one_line, reader_that_is_slow_loses_whole_packets,
         wrong_keys_are_refused_in_words])
