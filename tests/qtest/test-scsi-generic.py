#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SCSI devices of the host (scsi-block, scsi-generic), which a preloaded library plays (sg-shim.c): commands that go to them as
they come, what goes wrong there, what is refused."""
import contextlib
import os
import struct
import tempfile
import time

from hba import Pvscsi
from qtest import Failed, QTest, Tap
from virtio import until
from vscsi import ABORTED, HEAD, RESPONSE, Host

SIZE = 8 << 20
MANY = 0x1000000
READY, SENSE = [0] * 6, [3, 0, 0, 0, 18, 0]
SHIM = os.path.join(os.environ["BACKPLANE_BUILD"], "tests/qtest/sg-shim.so")


def rw(opcode, lba, blocks):
    return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)


@contextlib.contextmanager
def preloaded(path, **more):
    """Programs that start meanwhile see the device."""
    names = {"LD_PRELOAD": SHIM, "SG_SHIM_FILE": os.path.realpath(path),
             **{"SG_SHIM_" + name.upper(): str(value) for name, value in more.items()}}
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Device:
    """The file behind it, what goes wrong there, and what it was told."""

    def __init__(self, path):
        self.path = path

    def wrong(self, *lines):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        os.rename(self.path + ".new", self.path + ".ctl")

    def log(self):
        with open(self.path + ".log", encoding="ascii") as f:
            return [line.split() for line in f]

    def read(self, at, size):
        with open(self.path, "rb") as f:
            f.seek(at)
            return f.read(size)


def start(path, device, drive, more=(), host=""):
    return QTest(["-M", "pc", "-m", "64", "-drive", f"if=none,id=d,file={path},{drive}", *more, "-device",
                  "virtio-scsi-pci,id=h,addr=5" + host, "-device", device + ",drive=d,id=s,scsi-id=0"])


def with_device(function, device="scsi-block", drive="driver=host_device", more=(), host="", **shim):
    def run():
        with tempfile.TemporaryDirectory(prefix="backplane-sg-") as folder:
            path = os.path.join(folder, "device")
            with open(path, "wb") as f:
                f.truncate(SIZE)
            with preloaded(path, **shim), start(path, device, drive, more, host) as q:
                h = Host(q)
                assert h.command(READY) == "6/2900"
                function(h, Device(path))
    return run


def commands_go_through(h, d):
    inquiry = h.command([0x12, 0, 0, 0, 96, 0], room=96)
    assert inquiry[8:36] == b"SHIM    A device of host0001" and len(inquiry) == 36
    assert h.command([0x12, 1, 0x80, 0, 64, 0], room=64)[4:] == b"shim-7"
    assert h.command([0x25] + [0] * 9, room=8) == struct.pack(">II", SIZE // 512 - 1, 512)
    data = os.urandom(8192)
    assert h.command(rw(0x2A, 9, 16), out=data) == b"" and d.read(9 * 512, 8192) == data
    assert h.command(rw(0x28, 9, 16), room=8192) == data
    assert h.command([0xC1] + [0] * 9, out=data[:100]) == b""  # of the vendor's
    assert d.read(0, 100) == bytes(b ^ 255 for b in data[:100])
    assert h.command([0xDD] + [0] * 9) == "5/2000"
    assert h.command([0xA0] + [0] * 5 + [0, 0, 1, 0, 0, 0], room=256)[:16] == struct.pack(">IIQ", 8, 0, 0)
    d.wrong("3 nothing")
    assert h.command(SENSE, room=18)[2:14:10] == b"\x02\x3a"  # the device's own
    codes = [line[0] for line in d.log()]
    assert codes.count("a0") == 0 and codes.count("03") == 1 and codes.count("2a") == 1, codes
    assert ["28", "in", "8192", "0", "30000"] in d.log() and ["00", "none", "0", "0", "30000"] not in d.log()[:1]


def pieces_are_handed_over(h, d):
    """Two vectors, and nearly as many as a request has."""
    h = Host(h.q, features=[28])  # tables of descriptors
    h.command(READY)
    data = os.urandom(900 * 512)
    h.q.write(0x800000, data)
    for count, size in ((2, 4096), (900, 512)):
        h.q.write(HEAD, h.target + struct.pack("<QBBB", count, 0, 0, 0) +
                  rw(0x2A, 0, count * size // 512).ljust(32, b"\0"))
        h.ring.add([(HEAD, 51, False), *((0x800000 + n * size, size, False) for n in range(count)),
                    (RESPONSE, 108, True)], indirect=0xA00000)
        h.ring.wait()
        assert h.answer()[:2] == (0, 0), count
        assert d.read(0, count * size) == data[:count * size], count


def pieces_beyond_the_kernels_are_copied():
    """A list of 1500, of another adapter: the host's kernel takes 1024."""
    with tempfile.TemporaryDirectory(prefix="backplane-sg-") as folder:
        path = os.path.join(folder, "device")
        with open(path, "wb") as f:
            f.truncate(SIZE)
        with preloaded(path), QTest(["-M", "pc", "-m", "64", "-drive", f"if=none,id=d,file={path},driver=host_device",
                                     "-device", "pvscsi,addr=5", "-device", "scsi-generic,drive=d,scsi-id=0"]) as q:
            h, data = Pvscsi(q), os.urandom(1500 * 512)
            h.settle()
            pieces = [(MANY + 1024 * n, 512) for n in range(1500)]
            assert h.command(rw(0x2A, 0, 1500), out=data, pieces=pieces) == b""
            assert Device(path).read(0, len(data)) == data and Device(path).log()[-1][:4] == [
                "2a", "out", str(len(data)), "0"]
            q.memset(MANY, 1024 * 1500, 0)
            assert h.command(rw(0x28, 0, 1500), room=len(data), pieces=pieces) == data


def what_goes_wrong_is_told(h, d):
    for line, told in (("errno 1", "5/2000"), ("errno 16", "5/2400"), ("errno 5", "b/0006"), ("errno 13", "5/2500"),
                       ("errno 7b", "2/3a00"), ("host 1", "5/2500"), ("host 4", "5/2500"), ("host 3", "b/2e02"),
                       ("host 6", "b/4700"), ("host 7", "b/0006"), ("host 8", "6/2900"), ("host 5", "b/0006"),
                       ("sense 3 1100", "3/1100"), ("descriptor 3 1100 1234", "3/1100"), ("status 18", "conflict")):
        d.wrong("28 " + line)
        assert h.command(rw(0x28, 0, 1), room=512) == told, line
    for line, status in (("errno b", 8), ("errno c", 0x28), ("host 2", 8), ("host d", 8), ("status 8", 8),
                         ("status 28", 0x28)):
        d.wrong("28 " + line)
        h.submit(rw(0x28, 0, 1), room=512)
        h.ring.wait()
        assert h.answer()[:2] == (0, status), line
    d.wrong("28 descriptor 1 1701 5678")
    h.submit(rw(0x28, 0, 1), room=512)
    h.ring.wait()
    sense = h.answer()[2]
    assert sense == struct.pack(">BBBIB4xHxBH", 0xF0, 0, 0x21, 0x5678, 10, 0x1701, 0xC0, 0x5678), sense
    d.wrong("28 short 200")
    assert len(h.command(rw(0x28, 0, 1), room=512)) == 0x200
    d.wrong("28 short 40")
    assert len(h.command(rw(0x28, 0, 1), room=512)) == 0x40
    d.wrong("2a sense 7 2700")
    assert h.command(rw(0x2A, 0, 1), out=bytes(512)) == "7/2700" and len(h.command(rw(0x28, 0, 1), room=512)) == 512


def slow_commands_hold_up_nobody(h, d):
    d.wrong("28 sleep 320")  # 800 ms
    begin = time.monotonic()
    h.submit(rw(0x28, 0, 1), room=512)
    h.q.qmp("query-status")
    assert h.ring.poll() is None and time.monotonic() - begin < 0.6
    h.command(READY)  # ends before, or after: it is the ring's next
    d.wrong("28 nothing")
    h.ring.wait()
    h.submit(rw(0x28, 0, 1), room=512)
    h.ring.wait()
    d.wrong("28 sleep 320")
    h.submit(rw(0x28, 0, 1), room=512)
    until(lambda: [line[0] for line in d.log()].count("28") == 3)
    assert h.task(5) == 0  # ends when the host's command has
    assert h.ring.poll() and h.answer()[0] == ABORTED


def disks_that_leave_wait_for_their_commands(h, d):
    d.wrong("28 sleep 320")
    h.submit(rw(0x28, 0, 1), room=512)
    until(lambda: [line[0] for line in d.log()].count("28") == 1)
    h.q.qmp("device_del", {"id": "s"})
    h.ring.wait()
    until(lambda: not any(x["name"] == "s" for x in h.q.qmp("qom-list", {"path": "/machine/peripheral"})))


def limits_are_the_hosts(h, d):
    pages = h.command([0x12, 1, 0, 0, 64, 0], room=64)
    assert pages[3:] == bytes([5, 0, 0x80, 0x83, 0xB0, 0xB1]), pages
    page = h.command([0x12, 1, 0xB0, 0, 64, 0], room=64)
    assert page[:4] == bytes([0, 0xB0, 0, 60]) and struct.unpack(">I", page[8:12])[0] == 131072 // 512, page
    assert h.command([0x12, 1, 0xB0, 0, 10, 0], room=64) == page[:10]
    assert h.command(rw(0x28, 0, 257), room=257 * 512) == "5/2400"  # who does not ask
    assert len(h.command(rw(0x28, 0, 256), room=256 * 512)) == 131072


def devices_limits_are_lowered(h, d):
    page = h.command([0x12, 1, 0xB0, 0, 64, 0], room=64)
    assert struct.unpack(">II", page[8:16]) == (256, 256), page
    assert h.command([0x12, 1, 0, 0, 64, 0], room=64)[3:] == bytes([5, 0, 0x80, 0x83, 0xB0, 0xB1])


def smaller_limits_stay(h, d):
    assert struct.unpack(">I", h.command([0x12, 1, 0xB0, 0, 64, 0], room=64)[8:12])[0] == 16


def drives_are_cds_too(h, d):
    assert h.command([0x12, 0, 0, 0, 36, 0], room=36)[:2] == b"\x05\x80"
    assert h.command([0x25] + [0] * 9, room=8) == struct.pack(">II", SIZE // 2048 - 1, 2048)
    assert len(h.command(rw(0x28, 4, 2), room=4096)) == 4096


def a_tape_is_generic(h, d):
    assert h.command([0x12, 0, 0, 0, 36, 0], room=36)[0] == 1
    assert h.command([0x01] + [0] * 5) == b"" and d.log()[-1][0] == "01"  # REWIND
    assert all(line[0] != "25" for line in d.log())


def read_only_devices_say_so(h, d):
    d.wrong("2a errno 1")
    assert h.command(rw(0x2A, 0, 1), out=bytes(512)) == "7/2700"


def timeouts_are_the_users(h, d):
    assert h.command(READY) == b"" and d.log()[-1] == ["00", "none", "0", "0", "5000"]


def refused(words, device, drive, shim=None):
    with tempfile.TemporaryDirectory(prefix="backplane-sg-") as folder:
        path = os.path.join(folder, "device")
        with open(path, "wb") as f:
            f.truncate(SIZE)
        if shim and "ctl" in shim:
            Device(path).wrong(shim.pop("ctl"))
        with preloaded(path, **(shim or {})) if shim is not None else contextlib.nullcontext():
            try:
                start(path, device, drive).close()
            except Failed as error:
                assert words in str(error), error
                assert "error" in str(error).lower() or ":" in str(error)
            else:
                raise AssertionError("taken: " + words)


def what_is_no_device_is_refused_in_words():
    refused("is no SCSI device of the host", "scsi-block", "format=raw")
    refused("is no SCSI device of the host", "scsi-generic", "format=raw")
    refused("is no device; driver=file opens files", "scsi-generic", "driver=host_device")
    refused("is neither a disk nor a CD-ROM drive (its type is 1): scsi-generic", "scsi-block", "driver=host_device",
            {"type": 1})
    refused("takes no SCSI commands: Operation not permitted", "scsi-generic", "driver=host_device",
            {"ctl": "12 errno 1"})
    refused("does not say what it is (INQUIRY: status 0, host status 1)", "scsi-block", "driver=host_device",
            {"ctl": "12 host 1"})
    refused("does not say what it is (INQUIRY: status 2", "scsi-block", "driver=host_device",
            {"ctl": "12 sense 5 2400"})
    refused("is no SCSI device of the host", "scsi-block", "format=raw,offset=512", {})
    refused("io_timeout", "scsi-block,io_timeout=0", "driver=host_device", {})
    try:
        QTest(["-M", "pc", "-device", "virtio-scsi-pci", "-device", "scsi-block"]).close()
    except Failed as error:
        assert "property 'drive' is missing" in str(error), error
    else:
        raise AssertionError("a device without a drive is taken")


tap = Tap()
tap.case("commands go through", with_device(commands_go_through))
tap.case("commands go through a raw node", with_device(commands_go_through, drive="format=raw"))
tap.case("commands go through a character device", with_device(commands_go_through, "scsi-generic", kind="char"))
tap.case("commands go through in a thread", with_device(commands_go_through, more=("-object", "iothread,id=i0"),
                                                               host=",iothread=i0"))
tap.case("pieces are handed over", with_device(pieces_are_handed_over))
tap.case("pieces beyond the kernel's are copied", pieces_beyond_the_kernels_are_copied)
tap.case("what goes wrong is told", with_device(what_goes_wrong_is_told))
tap.case("slow commands hold up nobody", with_device(slow_commands_hold_up_nobody))
tap.case("disks that leave wait for their commands", with_device(disks_that_leave_wait_for_their_commands))
tap.case("limits are the host's", with_device(limits_are_the_hosts, max=131072))
tap.case("the device's own limits are lowered", with_device(devices_limits_are_lowered, max=131072, limits=65536))
tap.case("limits of a character device are bytes", with_device(devices_limits_are_lowered, "scsi-generic", kind="char",
                                                               max=131072, limits=65536))
tap.case("smaller limits stay", with_device(smaller_limits_stay, max=131072, limits=16))
tap.case("drives are CDs too", with_device(drives_are_cds_too, type=5))
tap.case("a tape is generic", with_device(a_tape_is_generic, "scsi-generic", kind="char", type=1))
tap.case("read-only devices say so", with_device(read_only_devices_say_so, drive="driver=host_device,readonly=on"))
tap.case("timeouts are the user's", with_device(timeouts_are_the_users, "scsi-block,io_timeout=5"))
tap.case("what is no device is refused in words", what_is_no_device_is_refused_in_words)
tap.done()
