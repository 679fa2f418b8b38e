#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtio crypto device and its back end: sessions, vectors of SP 800-38A, long requests beside openssl, refusals."""
import os
import shutil
import struct
import subprocess

from qtest import Tap, program
from virtio import Modern, Packed, PACKED, Split, VERSION_1

REQUEST, IN, OUT = 0x300000, 0x400000, 0x600000
ECB, CBC, CTR = 2, 3, 4
OK, ERR, BADMSG, NOTSUPP, INVSESS, NOSPC = range(6)
DEVICE = ["-object", "cryptodev-backend-builtin,id=c", "-device", "virtio-crypto-pci,cryptodev=c,addr=5"]
KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
TEXT = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


class Crypto:
    def __init__(self, q, ring=Split, queues=1):
        self.q, self.t = q, Modern(q)
        self.queues = [ring(q, 0x100000 + 0x20000 * n, n, 64) for n in range(queues + 1)]
        self.t.start([VERSION_1] + ([PACKED] if ring is Packed else []), queues=self.queues)
        self.control = self.queues[-1]

    def ask(self, ring, parts, room, more=0):
        """What stands in the writable part (`room` bytes of data, then `more`)."""
        self.q.write(REQUEST, parts)
        self.q.memset(OUT, room + more, 0xEE)
        ring.add([(REQUEST, min(len(parts), 72), False)] + ([(REQUEST + 72, len(parts) - 72, False)]
                 if len(parts) > 72 else []) + [(OUT, room + more, True)])
        ring.wait()
        return self.q.read(OUT, room + more)

    def open(self, algorithm, encrypt, key, length=None, kind=1):
        """(status, session)"""
        head = struct.pack("<IIII", 2, algorithm, 0, 0)
        body = struct.pack("<IIII", algorithm, len(key) if length is None else length, 1 if encrypt else 2, 0)
        answer = self.ask(self.control, head + body.ljust(48, b"\0") + struct.pack("<II", kind, 0) + key, 16)
        session, status = struct.unpack_from("<QI", answer)
        return status, session

    def close(self, session):
        return self.ask(self.control, struct.pack("<IIIIQ", 3, 0, 0, 0, session).ljust(72, b"\0"), 1)[0]

    def run(self, session, encrypt, data, vector=b"", queue=0, length=None, kind=1, opcode=None):
        """status, data"""
        head = struct.pack("<IIQII", (0 if encrypt else 1) if opcode is None else opcode, 0, session, 0, 0)
        size = len(data) if length is None else length
        body = struct.pack("<IIII", len(vector), size, size, 0).ljust(40, b"\0") + struct.pack("<II", kind, 0)
        answer = self.ask(self.queues[queue], head + body + vector + data, len(data), 1)
        return answer[-1], answer[:-1]


def back_ends_are_checked():
    refused("in use by device", *DEVICE, "-device", "virtio-crypto-pci,cryptodev=c")
    refused("expects a valid object", "-device", "virtio-crypto-pci")
    refused("'x'", "-device", "virtio-crypto-pci,cryptodev=x")
    refused("1..64", "-object", "cryptodev-backend-builtin,id=c,queues=0")


def configuration_tells_what_it_can(q):
    c = Crypto(q)
    config = struct.unpack("<12IQ", c.t.config(0, 56))
    assert config == (1, 1, 1, 0x1c, 0, 0, 0, 0, 0, 32, 0, 0, 1 << 20), config
    try:
        q.qmp("object-del", {"id": "c"})
    except AssertionError as error:
        assert "in use" in str(error), error
    else:
        raise AssertionError("a back end in use was deleted")


def vectors_of_the_standard(q, ring=Split):
    c = Crypto(q, ring)
    iv, counter = bytes(range(16)), bytes(range(0xf0, 0x100))
    for algorithm, vector, want in (
            (ECB, b"", "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"),
            (CBC, iv, "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"),
            (CTR, counter, "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")):
        status, session = c.open(algorithm, True, KEY)
        assert status == OK
        assert c.run(session, True, TEXT, vector) == (OK, bytes.fromhex(want)), algorithm
        assert c.close(session) == OK and c.close(session) == INVSESS
        status, session = c.open(algorithm, False, KEY)
        assert c.run(session, False, bytes.fromhex(want), vector) == (OK, TEXT), algorithm
        c.close(session)


def packed_rings_too(q):
    vectors_of_the_standard(q, Packed)


def long_requests_are_as_openssl_does_them(q):
    c = Crypto(q, queues=3)
    data = os.urandom(0x10000 + 48)
    for n, (name, algorithm, size) in enumerate((("aes-256-cbc", CBC, 32), ("aes-192-ctr", CTR, 24),
                                                ("aes-256-ecb", ECB, 32))):
        key, vector = os.urandom(size), os.urandom(16) if algorithm != ECB else b""
        text = data if algorithm != CTR else data[:-5]
        command = ["openssl", "enc", "-" + name, "-nopad", "-K", key.hex()] + (["-iv", vector.hex()] if vector else [])
        want = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout
        status, session = c.open(algorithm, True, key)
        assert status == OK and c.run(session, True, text, vector, n) == (OK, want), name


def what_makes_no_sense_is_refused(q):
    c = Crypto(q)
    assert c.open(1, True, KEY)[0] == NOTSUPP            # ARC4
    assert c.open(CBC, True, KEY[:15])[0] == ERR and c.open(CBC, True, KEY, 0xffffffff)[0] == BADMSG
    assert c.open(CBC, True, KEY, 24)[0] == BADMSG       # says more than there is
    assert c.open(CBC, True, KEY, kind=2)[0] == NOTSUPP  # chained
    status, session = c.open(CBC, True, KEY)
    iv = bytes(16)
    assert c.run(session, False, TEXT, iv)[0] == ERR     # the other direction
    assert c.run(session + 1, True, TEXT, iv)[0] == INVSESS and c.run(1 << 40, True, TEXT, iv)[0] == INVSESS
    assert c.run(session, True, TEXT[:20], iv)[0] == BADMSG
    assert c.run(session, True, TEXT, iv[:8])[0] == BADMSG
    for length in (48, 0xfffffff0, 1 << 20, 16):
        assert c.run(session, True, TEXT, iv, length=length)[0] == (OK if length == 16 else BADMSG), length
    assert c.run(session, True, TEXT, iv, opcode=0x100)[0] == NOTSUPP  # a hash
    assert c.run(session, True, TEXT, iv, kind=2)[0] == NOTSUPP
    assert c.ask(c.queues[0], b"short", 0, 1) == bytes([BADMSG])
    assert c.ask(c.control, b"short", 1) == bytes([BADMSG])
    sessions = [c.open(CTR, True, KEY) for _ in range(256)]
    assert sessions[-1][0] == NOSPC and sessions[0][0] == OK
    c.t.reset()
    c.t.start([VERSION_1], queues=c.queues)
    assert c.run(session, True, TEXT, iv)[0] == INVSESS and c.open(CTR, True, KEY)[0] == OK
    assert not c.t.broken()


tap = Tap()
tap.case("back_ends_are_checked", back_ends_are_checked)
tap.machine_case("configuration_tells_what_it_can", DEVICE, configuration_tells_what_it_can)
tap.machine_case("vectors_of_the_standard", DEVICE, vectors_of_the_standard)
tap.machine_case("packed_rings_too", [*DEVICE[:3], DEVICE[3] + ",packed=on"], packed_rings_too)
if shutil.which("openssl"):
    tap.machine_case("long_requests_are_as_openssl_does_them", [DEVICE[0], DEVICE[1] + ",queues=3", *DEVICE[2:]],
                     long_requests_are_as_openssl_does_them)
else:
    tap.skip("long_requests_are_as_openssl_does_them", "openssl is missing")
tap.machine_case("what_makes_no_sense_is_refused", DEVICE, what_makes_no_sense_is_refused)
tap.done()
