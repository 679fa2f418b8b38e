#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtio SCSI host, disks and CD-ROM drives as a driver sees them: commands, refusals, task management, hot-plug."""
import os
import struct
import tempfile

from qtest import Failed, QTest, Tap
from virtio import Packed, Split, until
from vscsi import BAD_TARGET, DATA, HEAD, Host, INCORRECT_LUN, lun, OK, REJECTED, RESPONSE, TASK

SIZE = 8 << 20


def with_disk(function, device="scsi-hd,drive=d", drive="", ring=Split, host="", more=()):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-vscsi-") as f:
            f.truncate(SIZE)
            args = ["-M", "pc", "-m", "16", "-device", f"virtio-scsi-pci,id=s,addr=5{host}", "-drive",
                    f"file={f.name},format=raw,if=none,id=d{drive}", "-device", device, *more]
            with QTest(args) as q:
                function(Host(q, ring), f)
    return run


def tells_of_power_on_once(h, f):
    assert h.command([0] * 6) == "6/2900"
    assert h.command([0] * 6) == b""


def says_what_it_is(h, f):
    d = h.command([0x12, 0, 0, 0, 36, 0], room=36)
    assert d[0] == 0 and d[8:16] == b"QEMU    " and d[16:32] == b"QEMU HARDDISK   ", d
    assert h.command([0x12, 1, 0, 0, 64, 0], room=64)[4:] == bytes([0, 0x80, 0x83, 0xB0, 0xB1, 0xB2])
    assert h.command([0x12, 1, 0x80, 0, 64, 0], room=64)[4:] == b"serial-5"
    assert h.command([0x12, 1, 0x55, 0, 64, 0], room=64) == "5/2400"
    h.settle()
    assert h.command([0x25] + [0] * 9, room=8) == struct.pack(">II", SIZE // 512 - 1, 512)
    d = h.command([0x9E, 0x10] + [0] * 11 + [32, 0, 0], room=32)
    assert d[:12] == struct.pack(">QI", SIZE // 512 - 1, 512) and d[14] == 0x80
    assert h.command([0x1A, 8, 8, 0, 255, 0], room=255)[4:7] == bytes([8, 18, 4])  # caching, WCE
    assert h.command([0xA0] + [0] * 5 + [0, 0, 1, 0, 0, 0], room=256)[:16] == struct.pack(">IIQ", 8, 0, 0)


def rw(opcode, lba, blocks):
    if opcode in (0x28, 0x2A):
        return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)
    if opcode in (0x88, 0x8A):
        return struct.pack(">BBQIBB", opcode, 0, lba, blocks, 0, 0)
    if opcode in (0xA8, 0xAA):
        return struct.pack(">BBIIBB", opcode, 0, lba, blocks, 0, 0)
    return struct.pack(">BBHBB", opcode, lba >> 16, lba & 0xFFFF, blocks, 0)


def moves_data(h, f):
    h.settle()
    for n, (write, read) in enumerate(((0x0A, 0x08), (0x2A, 0x28), (0xAA, 0xA8), (0x8A, 0x88))):
        data = os.urandom(4096)
        assert h.command(rw(write, 10 + 8 * n, 8), out=data) == b""
        assert os.pread(f.fileno(), 4096, (10 + 8 * n) * 512) == data
        assert h.command(rw(read, 10 + 8 * n, 8), room=4096) == data
    assert h.command(rw(0x28, 10, 1), room=4096) == h.command(rw(0x08, 10, 1), room=512)
    assert h.command([0x35] + [0] * 9) == b""


def bad_commands_get_sense(h, f):
    h.settle()
    end = SIZE // 512
    assert h.command(rw(0x28, end, 1), room=512) == "5/2100"
    assert h.command(rw(0x88, 2 ** 63, 1), room=512) == "5/2100"
    assert h.command(rw(0x28, end - 1, 2), room=1024) == "5/2100"
    assert h.command(rw(0x28, 0, 2), room=512) == "5/2400"  # less room than the command moves
    assert h.command([0xFF] * 6) == "5/2000"
    assert h.command([0x1A, 0, 0xC8, 0, 255, 0], room=255) == "5/3900"
    assert h.command([0] * 6, target=lun(0, 3)) == "5/2500"
    assert h.command([0x12, 0, 0, 0, 36, 0], room=36, target=lun(0, 3))[0] == 0x7F
    for bad in (lun(7), bytes(8), bytes([1, 0, 0x80, 0, 0, 0, 0, 0])):
        h.submit([0] * 6, target=bad)
        h.ring.wait()
        assert h.answer()[0] == BAD_TARGET, bad
    assert not h.t.broken()


def ranges_are_zeroed_and_unmapped(h, f):
    h.settle()
    assert h.command(rw(0x2A, 0, 64), out=b"\xAA" * 32768) == b""
    assert h.command(struct.pack(">BBQIBB", 0x93, 0, 8, 8, 0, 0), out=bytes(512)) == b""
    assert os.pread(f.fileno(), 12288, 0) == b"\xAA" * 4096 + bytes(4096) + b"\xAA" * 4096
    assert h.command(struct.pack(">BBQIBB", 0x93, 0, 16, 300, 0, 0), out=b"\x55" * 512) == b""
    assert os.pread(f.fileno(), 300 * 512, 16 * 512) == b"\x55" * 512 * 300
    unmap = struct.pack(">HHI", 22, 16, 0) + struct.pack(">QII", 0, 8, 0)
    assert h.command(struct.pack(">BBIBHB", 0x42, 0, 0, 0, len(unmap), 0), out=unmap) == b""
    assert os.pread(f.fileno(), 4096, 0) == bytes(4096)
    unmap = struct.pack(">HHI", 22, 16, 0) + struct.pack(">QII", SIZE // 512, 8, 0)
    assert h.command(struct.pack(">BBIBHB", 0x42, 0, 0, 0, len(unmap), 0), out=unmap) == "5/2100"


def cache_is_switched(h, f):
    h.settle()
    select = bytes(4) + bytes([8, 18, 0]) + bytes(17)
    assert h.command([0x15, 0x10, 0, 0, len(select), 0], out=select) == b""
    assert h.command([0x1A, 8, 8, 0, 255, 0], room=255)[6] == 0
    assert h.command([0x15, 0x10, 0, 0, 5, 0], out=bytes(5)) == "5/2600"


def cd_has_a_table_of_contents(h, f):
    h.settle()
    assert h.command([0x12, 0, 0, 0, 36, 0], room=36)[:2] == b"\x05\x80"
    assert h.command([0x25] + [0] * 9, room=8) == struct.pack(">II", SIZE // 2048 - 1, 2048)
    toc = h.command([0x43] + [0] * 6 + [0, 255, 0], room=255)
    assert toc[2:4] == b"\x01\x01" and struct.unpack(">I", toc[16:20])[0] == SIZE // 2048
    assert h.command(rw(0x28, 0, 1), room=2048) == bytes(2048)
    assert h.command([0x2A] + [0] * 9) == "5/2000"
    assert h.command([0x1B, 0, 0, 0, 2, 0]) == b""  # out with it
    until(lambda: h.q.qmp("query-block")[0].get("tray_open"))
    assert h.command([0] * 6) == "2/3a02"
    h.q.qmp("blockdev-close-tray", {"device": "d"})
    until(lambda: h.command([0] * 6) in ("6/2800", b""))


def tasks_are_managed(h, f):
    h.settle()
    assert h.task(6, tag=99) == OK and h.task(0, tag=99) == OK  # no such request: that is no error
    assert h.task(5, target=lun(0, 9)) == INCORRECT_LUN and h.task(5, target=lun(9)) == BAD_TARGET
    assert h.task(2) == REJECTED and h.task(99) == REJECTED
    assert h.task(5) == OK and h.command([0] * 6) == "6/2900"
    assert h.task(4) == OK and h.command([0] * 6) == "6/2900"


def held_request_is_aborted(q):
    h = Host(q)
    h.settle()
    h.submit(rw(0x2A, 0, 1), out=bytes(512))
    until(lambda: q.qmp("query-status")["status"] == "io-error")
    q.qmp("cont")
    until(lambda: q.qmp("query-status")["status"] == "io-error")
    q.qmp("qom-list", {"path": "/machine"})
    h.t.reset()
    q.qmp("cont")
    h = Host(q)
    h.settle()
    assert len(h.command(rw(0x28, 0, 1), room=512)) == 512


def units_come_and_go(h, f):
    for n in range(4):
        h.events.add([(0x310000 + 16 * n, 16, True)])
    h.q.qmp("device_add", {"driver": "scsi-hd", "drive": "e", "id": "late", "scsi-id": 3, "lun": 2})
    h.events.wait()
    assert h.q.read(0x310000, 16) == struct.pack("<I", 1) + lun(3, 2) + struct.pack("<I", 1)
    assert h.command([0] * 6, target=lun(3, 2)) == "6/2900"
    h.q.qmp("device_del", {"id": "late"})
    h.events.wait()
    assert h.q.read(0x310010, 16) == struct.pack("<I", 1) + lun(3, 2) + struct.pack("<I", 2)
    h.submit([0] * 6, target=lun(3, 2))
    h.ring.wait()
    assert h.answer()[0] == BAD_TARGET
    h.submit(rw(0x28, 0, 8), room=4096)
    h.q.qmp("device_del", {"id": "s"})
    until(lambda: h.t.f.read(0) == 0xFFFFFFFF)


def short_requests_break(h, f):
    h.q.write(HEAD, bytes(51))
    h.ring.add([(HEAD, 50, False), (RESPONSE, 108, True)])
    h.t.until_broken()
    h = Host(h.q)
    h.ring.add([(HEAD, 51, False), (RESPONSE, 107, True)])
    h.t.until_broken()
    h = Host(h.q)
    h.control.add([(TASK, 4, False), (TASK + 64, 1, True)])
    h.t.until_broken()


def bad_places_are_refused_in_words():
    with tempfile.NamedTemporaryFile(prefix="backplane-vscsi-") as f:
        f.truncate(SIZE)
        drive = ["-M", "pc", "-device", "virtio-scsi-pci", "-drive", f"file={f.name},format=raw,if=none,id=d",
                 "-device"]
        for prop, words in (("scsi-id=256", "up to 255"), ("lun=16384", "up to 16383"), ("channel=1", "up to 0"),
                            ("serial=" + "x" * 37, "36 characters")):
            try:
                QTest([*drive, "scsi-hd,drive=d," + prop]).close()
            except Failed as error:
                assert words in str(error), error
            else:
                raise AssertionError(prop + " is taken")


FAILING = ["-blockdev", "driver=null-co,node-name=null,size=8388608,read-zeroes=on", "-blockdev",
           "driver=blkdebug,node-name=bad,image=null,inject-error.0.event=none,inject-error.0.iotype=write,"
           "inject-error.0.errno=5", "-device", "virtio-scsi-pci,addr=5", "-device", "scsi-hd,drive=bad,werror=stop"]

tap = Tap()
tap.case("power-on is told once", with_disk(tells_of_power_on_once))
tap.case("a disk says what it is", with_disk(says_what_it_is, "scsi-hd,drive=d,serial=serial-5"))
tap.case("data go to and fro", with_disk(moves_data))
tap.case("data go to and fro on packed rings", with_disk(moves_data, ring=Packed, host=",packed=on"))
tap.case("bad commands get sense data", with_disk(bad_commands_get_sense))
tap.case("ranges are zeroed, filled and unmapped", with_disk(ranges_are_zeroed_and_unmapped, drive=",discard=unmap"))
tap.case("the write cache is switched", with_disk(cache_is_switched))
tap.case("a CD has a table of contents and a tray", with_disk(cd_has_a_table_of_contents, "scsi-cd,drive=d",
                                                               ",readonly=on"))
tap.case("tasks are managed", with_disk(tasks_are_managed))
tap.machine_case("a reset ends a request that waits for a person", ["-M", "pc", "-m", "16", *FAILING],
                 held_request_is_aborted)
tap.case("units come and go, and are told", with_disk(units_come_and_go, more=(
    "-blockdev", "driver=null-co,node-name=e,size=1048576,read-zeroes=on")))
tap.case("short requests break the host", with_disk(short_requests_break))
tap.case("bad places are refused in words", bad_places_are_refused_in_words)
tap.done()
