# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Large reads of raw files over NBD, which the host's kernel sends out of its cache: what clients get is the same,
whatever becomes of the cache, the file and the connection. Usage: test-nbd-splice.py SOURCE-ROOT BUILD-ROOT SHIM
"""
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import FOLDER, WAIT, path, raw  # noqa: E402

NBD = os.path.join(sys.argv[2], "backplane-nbd")
SOCK = path("s")
LOG = path("log")
SIZE = 8 << 20
READ, DISC, DF = 0, 2, 4
EIO = 5


class Server:
    def __init__(self, *args, bad=None):
        for name in (SOCK, LOG):
            if os.path.exists(name):
                os.unlink(name)
        more = {"SPLICE_SHIM_BAD": str(bad)} if bad is not None else {}
        self.process = subprocess.Popen(
            [NBD, "-k", SOCK, "-t", "-e", "0", "-f", "raw", *args], cwd=FOLDER, text=True, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, env={**os.environ, "LD_PRELOAD": sys.argv[3], "SPLICE_SHIM_LOG": LOG, **more})
        deadline = time.monotonic() + WAIT
        while not os.path.exists(SOCK):
            assert self.process.poll() is None and time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)

    def pipes(self):
        folder, count = "/proc/%d/fd/" % self.process.pid, 0
        for fd in os.listdir(folder):
            try:
                count += os.readlink(folder + fd).startswith("pipe:")
            except FileNotFoundError:  # closed meanwhile
                pass
        return count

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        alive = self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=WAIT)[1]
        if kind:
            print("# " + said.replace("\n", "\n# "), file=sys.stderr)
        else:
            assert alive and self.process.returncode == 0, (alive, self.process.returncode, said)


class Client:
    """By hand: what comes is looked at byte by byte."""

    def __init__(self, structured):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT)
        deadline = time.monotonic() + WAIT
        while self.socket.connect_ex(SOCK):  # it is there before anybody listens
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        self.get(18)
        self.socket.sendall(struct.pack(">I", 3))
        if structured:
            self.option(8, b"")
        self.option(7, struct.pack(">IH", 0, 0))

    def get(self, count):
        return tap.recv_all(self.socket, count)

    def option(self, number, data):
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        kind = 0
        while kind != 1:
            _, _, kind, length = struct.unpack(">QIII", self.get(20))
            assert kind < 1 << 31, self.get(length)
            self.get(length)

    def ask(self, cookie, offset, length, flags=0, kind=READ):
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, cookie, offset, length))

    def chunk(self):
        """Cookie, whether it is the last one, and (kind, offset or None, data)."""
        magic, = struct.unpack(">I", self.get(4))
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", self.get(12))
            return cookie, True, ("error", None, error) if error else ("data", None, None)
        assert magic == 0x668e33ef, hex(magic)
        flags, kind, cookie, length = struct.unpack(">HHQI", self.get(16))
        data = self.get(length)
        if kind == 1:
            return cookie, flags & 1, ("data", struct.unpack(">Q", data[:8])[0], data[8:])
        if kind & 1 << 15:
            error, text = struct.unpack(">IH", data[:6])
            return cookie, flags & 1, ("error", struct.unpack(">Q", data[6 + text:])[0] if kind & 2 else None, error)
        assert kind == 0 and not data, (kind, data)
        return cookie, flags & 1, ("none", None, b"")

    def read(self, offset, length, flags=0):
        """What it is told of a range, and in how many parts; or where there was an error."""
        self.ask(7, offset, length, flags)
        got, last, parts = bytearray(length), False, 0
        while not last:
            cookie, last, (kind, at, data) = self.chunk()
            assert cookie == 7
            if kind == "error":
                return at, data
            if at is None:
                return self.get(length), 1
            got[at - offset:at - offset + len(data)] = data
            parts += 1
        return bytes(got), parts

    def close(self):
        self.ask(0, 0, 0, kind=DISC)
        self.socket.close()


def spliced():
    """Bytes that went by splice since it was asked last."""
    if not os.path.exists(LOG):
        return 0
    with open(LOG, encoding="ascii") as f:
        count = sum(int(line) for line in f)
    os.unlink(LOG)
    return count


def forget(name, offset=0, length=0):
    with open(path(name), "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


def can_splice():
    """The host's kernel tells what it has cached (Linux 6.5), and reads no more than that when it is told so."""
    if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) < (6, 5):
        return False
    with open(path("disk"), "rb") as f:
        try:
            return os.preadv(f.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT) == 1
        except OSError:
            return False


def whatever_is_read_comes_as_it_is():
    data = raw("disk", SIZE, 1)
    rand = random.Random(5)
    with Server("-r", "disk"):
        for structured in (False, True):
            client = Client(structured)
            for turn in range(60):
                at = rand.randrange(SIZE - 70000) & rand.choice((-1, -512, -4096))
                length = min(rand.choice((512, 65536, 70001, 1 << 18, 1 << 20, 3 << 20)), SIZE - at)
                if turn % 7 == 6:
                    forget("disk", rand.randrange(SIZE), 1 << 20)
                got, parts = client.read(at, length, rand.choice((0, DF)) if structured else 0)
                assert got == data[at:at + length], (structured, at, length)
                assert parts == 1 or length > 65536, parts
            count = spliced()
            if can_splice():
                assert count > 1 << 20, "nothing went by splice"
            client.close()


def answers_come_in_one_part_where_it_is_asked_for():
    data = raw("disk", SIZE, 2)
    with Server("-r", "disk"):
        client = Client(True)
        got, parts = client.read(4096, 5 << 20)
        assert got == data[4096:4096 + (5 << 20)] and (parts > 1 or not can_splice()), parts
        assert spliced() == (5 << 20 if can_splice() else 0)
        got, parts = client.read(4096, 5 << 20, DF)
        assert got == data[4096:4096 + (5 << 20)] and parts == 1, parts
        client.close()


def several_requests_at_once_are_all_answered():
    data = raw("disk", SIZE, 3)
    with Server("-r", "disk"):
        client, got, ends = Client(True), bytearray(SIZE), set()
        for i in range(64):
            client.ask(i, i << 17, 1 << 17)
        while len(ends) < 64:
            cookie, last, (kind, at, part) = client.chunk()
            assert kind == "data" and cookie << 17 <= at < cookie + 1 << 17, (kind, at, cookie)
            got[at:at + len(part)] = part
            if last:
                assert cookie not in ends
                ends.add(cookie)
        assert got == data
        client.close()


def an_error_in_the_middle_is_told_with_its_place():
    data, bad = raw("disk", SIZE, 4), 2 << 20
    if not can_splice():
        raise tap.Skip("the host's kernel is older than 6.5, or its file system does not tell what is cached")
    with Server("-r", "disk", bad=bad):
        client = Client(True)
        where, error = client.read(0, 4 << 20)
        assert error == EIO and 0 < where <= bad, (where, error)
        assert spliced() == where
        assert client.read(0, 1 << 20)[0] == data[:1 << 20]
        where, error = client.read(bad, 1 << 20)
        assert (where, error) == (None, EIO), (where, error)
        client.close()
        client = Client(False)
        assert client.read(bad, 1 << 20) == (None, EIO)
        assert client.read(0, 1 << 20)[0] == data[:1 << 20]
        client.close()


def what_was_cut_off_reads_as_zeroes():
    data = raw("disk", SIZE, 6)
    with Server("-r", "disk"):
        client = Client(True)
        assert client.read(0, 2 << 20)[0] == data[:2 << 20]
        os.truncate(path("disk"), (1 << 20) + 5000)
        got, _ = client.read(1 << 19, 3 << 20)
        assert got == data[1 << 19:(1 << 20) + 5000] + bytes((3 << 20) - (1 << 19) - 5000)
        simple = Client(False)
        assert simple.read(1 << 19, 1 << 20)[0] == got[:1 << 20]
        assert client.read(0, 1 << 20)[0] == data[:1 << 20]
        simple.close()
        client.close()


def what_was_written_is_what_is_read():
    data = bytearray(raw("disk", SIZE, 7))
    rand = random.Random(8)
    with Server("disk"):
        clients = [Client(True), Client(True)]
        for _ in range(40):
            at, piece = rand.randrange(SIZE - (1 << 18)), rand.randbytes(rand.choice((512, 100000)))
            writer = rand.choice(clients)
            writer.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, 9, at, len(piece)) + piece)
            assert writer.chunk() == (9, True, ("data", None, None))
            data[at:at + len(piece)] = piece
            begin = max(0, at - 50000)
            for client in clients:
                assert client.read(begin, 1 << 18)[0] == data[begin:begin + (1 << 18)]
        assert spliced() > 0 or not can_splice()
        for client in clients:
            client.close()


def who_hangs_up_in_the_middle_harms_nobody():
    data = raw("disk", SIZE, 9)
    with Server("-r", "disk") as server:
        before = server.pipes()
        for turn in range(20):
            client = Client(turn % 2)
            for i in range(16):
                client.ask(i, 0, 1 << 20)
            client.get(turn * 1000)
            client.socket.close()
        rest = Client(True)
        assert rest.read(0, SIZE)[0] == data
        rest.close()
        deadline = time.monotonic() + WAIT
        while server.pipes() > before:
            assert time.monotonic() < deadline, "pipes are left behind"
            time.sleep(0.05)
        waits = Client(True)  # the server ends while it has much to tell
        for i in range(16):
            waits.ask(i, 0, 1 << 20)
        time.sleep(0.2)
    waits.socket.close()


tap.run([whatever_is_read_comes_as_it_is, answers_come_in_one_part_where_it_is_asked_for,
         several_requests_at_once_are_all_answered, an_error_in_the_middle_is_told_with_its_place,
         what_was_cut_off_reads_as_zeroes, what_was_written_is_what_is_read, who_hangs_up_in_the_middle_harms_nobody])
