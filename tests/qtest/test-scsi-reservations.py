#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two virtio SCSI hosts whose disks are one node: persistent reservations and RESERVE (6) between them, PREEMPT AND ABORT
of a write that the other has under way, each host in a thread of its own. All rules: module-reservations."""
import struct
import tempfile

from qtest import QTest, Tap
from virtio import until
from vscsi import ABORTED, Host, lun

SIZE = 8 << 20
REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, ABORT = range(6)
WRITE_EXCLUSIVE, EXCLUSIVE, REGISTRANTS = 1, 3, 6
READ, WRITE, READY = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0] * 6


def reserve(host, action, kind, key, new_key=0, flags=0):
    return host.command([0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0],
                        out=struct.pack(">QQ4xB3x", key, new_key, flags))


def keys(host):
    d = host.command([0x5E, 0, 0, 0, 0, 0, 0, 1, 0, 0], room=256)
    return [key for key, in struct.iter_unpack(">Q", d[8:])]


def with_hosts(function, more=(), node="d"):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-reserve-") as f:
            f.truncate(SIZE)
            args = ["-M", "pc", "-m", "32", "-blockdev", f"driver=file,filename={f.name},node-name=d", *more, "-object",
                    "iothread,id=i0", "-object", "iothread,id=i1"]
            for n in (0, 1):
                args += ["-device", f"virtio-scsi-pci,id=h{n},addr={5 + n},iothread=i{n}", "-device",
                         f"scsi-hd,bus=h{n}.0,scsi-id=0,drive={node},share-rw=on,id=s{n}"]
            with QTest(args) as q:
                hosts = [Host(q, slot=5 + n, number=n) for n in (0, 1)]
                for host in hosts:
                    host.settle()
                function(q, *hosts)
    return run


def hosts_exclude_each_other(q, a, b):
    assert keys(a) == keys(b) == []
    assert reserve(a, REGISTER, 0, 0, 0xA) == b"" and reserve(b, REGISTER, 0, 0, 0xB) == b""
    assert sorted(keys(a)) == sorted(keys(b)) == [0xA, 0xB]
    status = a.command([0x5E, 3, 0, 0, 0, 0, 0, 1, 0, 0], room=256)
    assert len(status) == 8 + 2 * 48 and status[32 + 4:32 + 12] != status[80 + 4:80 + 12]  # two initiators
    assert reserve(a, RESERVE, WRITE_EXCLUSIVE, 0xA) == b""
    assert b.command(READ, room=512) == bytes(512) and b.command(WRITE, out=bytes(512)) == "conflict"
    assert a.command(WRITE, out=b"a" * 512) == b"" and b.command(READ, room=512) == b"a" * 512
    assert reserve(b, RESERVE, EXCLUSIVE, 0xB) == "conflict"
    assert reserve(b, PREEMPT, EXCLUSIVE, 0xB, 0xA) == b""
    assert a.command(READY) == "6/2a05" and a.command(READ, room=512) == "conflict"
    assert b.command(WRITE, out=b"b" * 512) == b"" and keys(a) == [0xB]
    assert reserve(b, CLEAR, 0, 0xB) == b"" and a.command(READ, room=512) == b"b" * 512
    assert reserve(a, REGISTER, 0, 0, 0xA, 1) == "5/2600"  # APTPL
    assert a.command([0x16, 0, 0, 0, 0, 0]) == b"" and b.command(READY) == "conflict"
    assert b.task(5) == 0 and b.command(READY) == "6/2900" and b.command(READY) == b""


def resets_of_a_host_leave_them(q, a, b):
    assert reserve(a, REGISTER, 0, 0, 0xA) == b"" and reserve(a, RESERVE, REGISTRANTS, 0xA) == b""
    a = Host(q, slot=5)  # a driver that begins anew
    a.command(READY)
    assert keys(a) == [0xA] and b.command(READ, room=512) == "conflict"
    q.qmp("device_del", {"id": "s0"})
    until(lambda: keys(b) == [])
    assert b.command(WRITE, out=bytes(512)) == b""


def writes_under_way_are_aborted(q, a, b):
    assert reserve(a, REGISTER, 0, 0, 0xA) == b"" and reserve(b, REGISTER, 0, 0, 0xB) == b""
    assert reserve(a, RESERVE, EXCLUSIVE, 0xA) == b""
    assert a.command(WRITE, out=bytes(512)) == b""  # what may be written at once; the next one waits for minutes
    a.submit(WRITE, out=b"a" * 512)
    assert reserve(b, ABORT, EXCLUSIVE, 0xB, 0xA) == b""
    assert a.ring.poll() and a.answer()[0] == ABORTED
    assert a.command(READY) == "6/2a05" and a.command(WRITE, out=bytes(512)) == "conflict"


def other_disks_are_not_concerned(q, a, b):
    assert reserve(a, REGISTER, 0, 0, 0xA) == b"" and reserve(a, RESERVE, EXCLUSIVE, 0xA) == b""
    q.qmp("device_add", {"driver": "scsi-hd", "bus": "h1.0", "scsi-id": 4, "drive": "e", "id": "other"})
    b.target = lun(4)
    b.command(READY)
    assert b.command(WRITE, out=bytes(512)) == b"" and keys(b) == []


# A byte a second.
SLOW = ["-object", "throttle-group,id=g,x-bps-write=1", "-blockdev",
        "driver=throttle,throttle-group=g,file=d,node-name=slow"]
tap = Tap()
tap.case("hosts exclude each other", with_hosts(hosts_exclude_each_other))
tap.case("resets leave reservations, unplugging takes them along", with_hosts(resets_of_a_host_leave_them))
tap.case("writes under way are aborted", with_hosts(writes_under_way_are_aborted, SLOW, "slow"))
tap.case("other disks are not concerned", with_hosts(other_disks_are_not_concerned, (
    "-blockdev", "driver=null-co,node-name=e,size=1048576,read-zeroes=on")))
tap.done()
