# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Exports of the emulator for NBD clients: nbdinfo, nbdcopy, qemu-io, qemu-img and our own; and clients that send rubbish.
Usage: test-nbd-server.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("export-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SOCK = os.path.join(FOLDER, "s")
SIZE = 6 * 1048576


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    program = shutil.which(args[0])
    if not program:
        raise tap.Skip(args[0] + " is missing")
    done = subprocess.run([program, *args[1:]], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert (done.returncode == 0) == (status == 0), (args, done)
    return done.stdout


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def disk():
    rand, data = random.Random(1), bytearray(SIZE)
    for at in range(0, SIZE, 1 << 20):
        if rand.randrange(2):
            data[at:at + (1 << 19)] = rand.randbytes(1 << 19)
    with open(path("raw"), "wb") as f:
        f.write(data)
    run(TOOL, "convert", "-f", "raw", "-O", "qcow2", "raw", "disk.qcow2")
    return bytes(data)


def ok(reply):
    assert reply == {"return": {}}, reply


class Exporting(Emulator):
    def __init__(self, *args):
        if os.path.exists(SOCK):
            os.unlink(SOCK)
        super().__init__(PROGRAM, "-M", "none", "-drive", "if=none,id=d,file=" + path("disk.qcow2"), *args)

    def start(self, **more):
        ok(self.command("nbd-server-start", addr={"type": "unix", "data": {"path": SOCK}}, **more))


def url(name):
    return "nbd+unix:///%s?socket=%s" % (name, SOCK)


def others_read_and_write():
    data = bytearray(disk())
    with Exporting() as e:
        e.start()
        ok(e.command("nbd-server-add", device="d", name="ex", writable=True, description="a disk"))
        info = json.loads(run("nbdinfo", "--json", url("ex")))["exports"][0]
        assert info["export-size"] == SIZE and info["contexts"] == ["base:allocation"], info
        assert "a disk" in run("nbdinfo", "--list", url(""))
        parts = json.loads(run("nbdinfo", "--map", "--json", url("ex")))
        zero = [all(not data[i] for i in range(p["offset"], p["offset"] + p["length"], 512)) for p in parts]
        assert sum(p["length"] for p in parts) == SIZE
        assert all(z for z, p in zip(zero, parts) if p["type"] & 2), parts
        run("nbdcopy", url("ex"), "copy")
        assert content("copy") == data
        for at, byte in ((12345, 7), (3 << 20, 8)):
            run("qemu-io", "-f", "raw", "-c", "write -P %d %d 70000" % (byte, at), "-c", "flush", url("ex"))
            data[at:at + 70000] = bytes([byte]) * 70000
        run("qemu-io", "-f", "raw", "-c", "write -z 100000 300000", "-c", "write -z -u 2M 1M", "-c", "discard 4M 64k",
            url("ex"))
        data[100000:400000] = bytes(300000)
        data[2 << 20:3 << 20] = bytes(1 << 20)
        data[4 << 20:(4 << 20) + 65536] = bytes(65536)
        run(TOOL, "convert", "-f", "raw", "-O", "raw", url("ex"), "copy")
        seen = bytearray(content("copy"))
        seen[4 << 20:(4 << 20) + 65536] = bytes(65536)  # what is discarded may be anything
        assert seen == data
        rand = random.Random(2).randbytes(SIZE)
        with open(path("new"), "wb") as f:
            f.write(rand)
        run("nbdcopy", "--flush", "new", url("ex"))
        exports = e.command("query-block-exports")["return"]
        assert [(x["id"], x["type"]) for x in exports] == [("ex", "nbd")], exports
        ok(e.command("nbd-server-stop"))
        assert e.wait_event("BLOCK_EXPORT_DELETED") == {"id": "ex"}
        assert not os.path.exists(SOCK)
    run("qemu-img", "check", "-q", "disk.qcow2")
    run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "new", "disk.qcow2")


def option(number, data):
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def connected(port, name):
    return choose(socket.create_connection(("127.0.0.1", port), WAIT), name)


def choose(client, name):
    """A client that has chosen an export (NBD_OPT_GO) and asks for nothing."""
    client.settimeout(WAIT)
    client.sendall(struct.pack(">I", 3) + option(7, struct.pack(">I", len(name)) + name + struct.pack(">H", 0)))
    with client.makefile("rb") as f:
        assert f.read(18)[:16] == b"NBDMAGICIHAVEOPT"
        kind = None
        while kind != 1:  # NBD_REP_ACK
            kind, length = struct.unpack(">QIII", f.read(20))[2:]
            assert kind < 1 << 31, f.read(length)
            f.read(length)
    return client


def exports_come_and_go():
    disk()
    with Exporting("-blockdev", "driver=null-co,node-name=n,size=1M,read-zeroes=on") as e:
        assert "no NBD server" in e.command("nbd-server-add", device="d")["error"]["desc"]
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        ok(e.command("nbd-server-start", addr={"type": "inet", "data": {"host": "127.0.0.1", "port": str(port)}},
                     max_connections=2))
        assert "error" in e.command("nbd-server-start", addr={"type": "unix", "data": {"path": SOCK}})
        ok(e.command("block-export-add", type="nbd", id="x1", node_name="n", name="zeroes"))
        assert "error" in e.command("block-export-add", type="nbd", id="x1", node_name="n", name="other")
        assert "not built" in e.command("block-export-add", type="fuse", id="f", node_name="n")["error"]["desc"]
        assert "'nix'" in e.command("block-export-add", type="nbd", id="y", node_name="nix")["error"]["desc"]
        assert "error" in e.command("blockdev-del", node_name="n")  # in use
        target = "nbd://127.0.0.1:%d/" % port
        run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0 0 1M", target + "zeroes")
        run("nbdinfo", "--size", target + "nothing", status=1)
        run("qemu-io", "-f", "raw", "-c", "write 0 512", target + "zeroes", status=1)
        with connected(port, b"zeroes") as client:
            assert "clients" in e.command("block-export-del", id="x1")["error"]["desc"]
            ok(e.command("block-export-del", id="x1", mode="hard"))
            assert client.recv(1) == b"", "the client is still served"
        assert e.wait_event("BLOCK_EXPORT_DELETED") == {"id": "x1"}
        ok(e.command("blockdev-del", node_name="n"))
        assert "'x1'" in e.command("block-export-del", id="x1")["error"]["desc"]


def ended(client, dribble=b""):
    """It is sent away, though it sends something now and then."""
    end = time.monotonic() + WAIT
    client.settimeout(0.1)
    while time.monotonic() < end:
        try:
            if dribble:
                client.sendall(dribble)
            if not client.recv(65536):
                return True
        except TimeoutError:
            pass
        except OSError:
            return True
    return False


def knock():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(WAIT)
    client.connect(SOCK)
    return client


def handshakes_take_their_time_and_no_longer():
    disk()
    with Exporting() as e:
        e.start(handshake_max_seconds=1, max_connections=4)
        ok(e.command("nbd-server-add", device="d", name="ex"))
        with chosen(b"ex") as client:
            for dribble in (b"", b"I"):
                with knock() as knocking:
                    assert ended(knocking, dribble), "it may knock for ever: %r" % dribble
            assert len(block_of(client)) == 512, "whoever has chosen may be idle"
        ok(e.command("nbd-server-stop"))
        e.start(handshake_max_seconds=0, max_connections=0)
        ok(e.command("nbd-server-add", device="d", name="ex"))
        with chosen(b"ex") as client:
            knocking = [knock() for _ in range(65)]
            assert ended(knocking[0]), "any number of clients may knock"
            for k in knocking[1:]:
                assert len(tap.recv_all(k, 18)) == 18, "more than the oldest one were sent away"
            assert len(block_of(client)) == 512, "it had chosen before the others came"
            for k in knocking:
                k.close()
        ok(e.command("nbd-server-stop"))


def chosen(name):
    return choose(knock(), name)


def block_of(client):
    client.settimeout(WAIT)
    client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 512))
    assert tap.recv_all(client, 16)[:8] == struct.pack(">II", 0x67446698, 0)
    return tap.recv_all(client, 512)


def clients_may_send_what_they_like():
    disk()
    with Exporting() as e:
        e.start(max_connections=0)
        ok(e.command("nbd-server-add", device="d", name="ex", writable=True))
        rand = random.Random(3)

        name = struct.pack(">I", 2) + b"ex"

        def attack():
            talk = struct.pack(">I", 3) + option(8, b"") + option(
                10, name + struct.pack(">II", 1, 15) + b"base:allocation") + option(7, name + struct.pack(">HH", 1, 3))
            for _ in range(6):
                kind = rand.choice((0, 1, 3, 4, 6, 7, 9))
                length = rand.choice((0, 1, 512, 65536, 1 << 20))
                talk += struct.pack(">IHHQQI", 0x25609513, rand.choice((0, 1, 8)), kind, rand.getrandbits(60),
                                    rand.choice((0, 4096, SIZE - 512, SIZE, 1 << 62)), length)
                talk += bytes(length) if kind == 1 else b""
            talk = bytearray(talk)
            for _ in range(rand.choice((0, 1, 2, 9))):
                talk[rand.randrange(min(len(talk), 200))] = rand.randrange(256)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(SOCK)
                sender = threading.Thread(target=lambda: quietly(s.sendall, talk))
                sender.start()
                for _ in range(rand.randrange(40)):
                    s.settimeout(0.02)
                    if quietly(s.recv, 65536) in (None, b""):
                        break
                quietly(s.shutdown, socket.SHUT_RDWR)
                sender.join()

        def quietly(function, *args):
            try:
                return function(*args)
            except OSError:
                return None
        for _ in range(150):
            attack()
        assert e.command("query-status")["return"]
        run("nbdinfo", "--size", url("ex"))
        ok(e.command("nbd-server-stop"))
    run("qemu-img", "check", "-q", "disk.qcow2")


tap.run([others_read_and_write, exports_come_and_go, handshakes_take_their_time_and_no_longer,
         clients_may_send_what_they_like])
