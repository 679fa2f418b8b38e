#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB disks (bulk-only) as a driver sees them, on xHCI: commands, phases that do not fit, resets, hot-plug."""
import os
import struct
import tempfile

from qtest import Failed, QTest, Tap
from usb import DATA, IOC, ISP, NORMAL, STALL, SUCCESS, TRANSACTION
from usb_disks import FAILED, PASSED, Disk, rw
from virtio import until

SIZE = 8 << 20


def with_disk(function, device="usb-storage,drive=d,id=u", more=(), drive=""):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-usb-") as f:
            f.truncate(SIZE)
            with QTest(["-M", "pc", "-m", "16", "-device", "qemu-xhci,id=x,addr=5", "-drive",
                        f"file={f.name},format=raw,if=none,id=d{drive}", "-device", device, *more]) as q:
                function(Disk(q), f)
    return run


def says_what_it_is(d, f):
    x = d.x
    code, desc = x.control(d.slot, 0x80, 6, 0x200, 0, 255)
    assert desc[14:17] == bytes([8, 6, 0x50]) and len(desc) == 9 + 9 + 2 * 13, desc
    assert x.control(d.slot, 0x80, 6, 0xF00, 0, 255)[1][:2] == bytes([5, 15])
    assert x.control(d.slot, 0xA1, 0xFE, 0, 0, 1) == (SUCCESS, b"\0")
    assert x.control(d.slot, 0x80, 6, 0x303, 0x409, 255)[1][2:].decode("utf-16le") == "number-7"
    status, data = d.read([0x12, 0, 0, 0, 36, 0], 36)
    assert status == PASSED and data[1] == 0x80 and data[8:12] == b"QEMU"
    assert d.plain([0] * 6) == FAILED and d.sense() == "6/2900" and d.sense() == "0/0000"
    assert d.plain([0] * 6) == PASSED
    assert d.read([0x25] + [0] * 9, 8) == (PASSED, struct.pack(">II", SIZE // 512 - 1, 512))
    status, data = d.read([0x12, 1, 0x80, 0, 64, 0], 64)
    assert data[4:] == b"number-7" and d.residue == 64 - len(data)


def moves_data(d, f):
    d.settle()
    for blocks in (1, 8, 120):
        data = os.urandom(512 * blocks)
        assert d.write(rw(0x2A, 100, blocks), data) == PASSED and d.residue == 0
        assert os.pread(f.fileno(), len(data), 51200) == data
        assert d.read(rw(0x28, 100, blocks), len(data)) == (PASSED, data)
    # In pieces, as controllers that work by packets do it.
    d.send(rw(0x28, 100, 8), 4096)
    got = b"".join(d.x.bulk(d.slot, 0x81, length=1024)[1] for _ in range(4))
    assert got == data[:4096] and d.status() == PASSED
    d.send(rw(0x2A, 300, 4), 2048, False)
    for n in range(4):
        assert d.x.bulk(d.slot, 0x02, data[512 * n:512 * n + 512]) == (SUCCESS, 512)
    assert d.status() == PASSED and os.pread(f.fileno(), 2048, 300 * 512) == data[:2048]


def phases_that_do_not_fit_end_in_words(d, f):
    d.settle()
    assert d.read(rw(0x28, SIZE // 512, 1), 512) == (FAILED, b"") and d.sense() == "5/2100"
    status, data = d.read(rw(0x28, 0, 2), 512)  # less room than the command moves
    assert status == FAILED and d.sense() == "5/2400"
    status, data = d.read([0x25] + [0] * 9, 512)  # more room
    assert status == PASSED and len(data) == 8 and d.residue == 504
    assert d.plain([0xFF] * 6) == FAILED and d.sense() == "5/2000"
    d.send(rw(0x28, 0, 0xFFFF), 0x7FFFFFFF)  # more than any buffer
    code, _ = d.x.bulk(d.slot, 0x81, length=512)
    assert code == STALL
    d.x.recover(d.slot, 3)
    assert d.x.control(d.slot, 2, 1, 0, 0x81)[0] == SUCCESS
    assert d.status() == FAILED
    assert d.plain([0] * 6) == PASSED


def what_is_no_command_stalls_until_a_reset(d, f):
    d.settle()
    for bad in (b"USBC", b"USBX".ljust(31, b"\0"), b"USBC".ljust(31, b"\0"), b"USBC".ljust(32, b"\1"),
                b"USBC".ljust(13, b"\0") + b"\xF0\6" + bytes(16), b"USBC".ljust(14, b"\0") + b"\x1F" + bytes(16)):
        assert d.x.bulk(d.slot, 0x02, bad)[0] == STALL, bad
        assert d.x.bulk(d.slot, 0x81, length=13)[0] == STALL
        d.x.recover(d.slot, 3)
        assert d.x.control(d.slot, 2, 1, 0, 0x81)[0] == SUCCESS
        assert d.x.bulk(d.slot, 0x81, length=13)[0] == STALL  # clearing the halt is not enough
        d.reset()
        assert d.plain([0] * 6) == PASSED
    d.send(rw(0x2A, 0, 1), 512, False)
    assert d.x.bulk(d.slot, 0x02, bytes(1024))[0] == STALL  # more than it was told
    d.reset()
    assert d.x.bulk(d.slot, 0x81, length=13)[0] == STALL  # nothing was asked
    d.reset()
    assert d.plain([0] * 6) == PASSED


def goes_while_it_is_read(d, f):
    q, x = d.q, d.x
    d.settle()
    for n in range(4):
        d.send(rw(0x28, 0, 128), 65536)
        x.put(d.slot, 3, DATA, 65536, NORMAL << 10 | IOC | ISP)
        q.qmp("device_del", {"id": "u"})
        assert x.wait(32)[2] in (SUCCESS, TRANSACTION)
        until(lambda: not x.portsc(5) & 1)
        x.start()
        q.qmp("device_add", {"driver": "usb-storage", "id": "u", "drive": "d", "port": "1"})
        d.open(5)
        d.settle()
        assert d.read(rw(0x28, 0, 1), 512)[0] == PASSED


def bot_takes_units(d, f):
    assert d.x.control(d.slot, 0xA1, 0xFE, 0, 0, 1) == (SUCCESS, b"\2")
    for lun in (0, 2):
        d.send([0] * 6, lun=lun)
        assert d.status() == FAILED and d.sense() == "6/2900"
    d.send([0x12, 0, 0, 0, 36, 0], 36, lun=2)
    code, data = d.x.bulk(d.slot, 0x81, length=36)
    assert data[0] == 5 and d.status() == PASSED
    d.send([0x12, 0, 0, 0, 36, 0], 36, lun=1)
    assert d.x.bulk(d.slot, 0x81, length=36)[1][0] == 0x7F and d.status() == PASSED


def what_is_said_of_it_is_the_disks(d, f):
    """Properties of a disk, given to usb-storage."""
    q = d.q
    d.settle()
    disk = "/machine/peripheral/u/disk"
    for prop, value in (("rerror", "stop"), ("werror", "report"), ("write-cache", "off"), ("account-failed", "off"),
                        ("account-invalid", "on"), ("discard_granularity", 4096), ("physical_block_size", 4096),
                        ("min_io_size", 8192), ("share-rw", True)):
        assert q.qmp("qom-get", {"path": disk, "property": prop}) == value, prop
    status, data = d.read([0x1A, 8, 8, 0, 64, 0], 64)  # MODE SENSE, the page of caching
    assert status == PASSED and not data[4 + 2] & 4, data
    d.send(rw(0x28, 0, 8), 4096)  # an error that stops the machine
    until(lambda: q.qmp("query-status")["status"] == "io-error")
    q.qmp("cont")
    assert d.x.bulk(d.slot, 0x81, length=4096) == (SUCCESS, bytes(4096)) and d.status() == PASSED


def without_a_disk_it_is_refused():
    try:
        QTest(["-M", "pc", "-device", "qemu-xhci", "-device", "usb-storage"]).close()
    except Failed as error:
        assert "drive" in str(error), error
    else:
        raise AssertionError("it is taken")


DEVICE = "usb-storage,drive=d,id=u,port=1"
tap = Tap()
tap.case("it says what it is", with_disk(says_what_it_is, DEVICE + ",serial=number-7,removable=on"))
tap.case("data go to and fro", with_disk(moves_data, DEVICE))
tap.case("phases that do not fit end in words", with_disk(phases_that_do_not_fit_end_in_words, DEVICE))
tap.case("what is no command stalls until a reset", with_disk(what_is_no_command_stalls_until_a_reset, DEVICE))
tap.case("it goes while it is read", with_disk(goes_while_it_is_read, DEVICE))
tap.case("usb-bot takes SCSI units", with_disk(
    bot_takes_units, "usb-bot,id=u,port=1",
    ("-device", "scsi-hd,bus=u.0,lun=0,drive=d", "-device", "scsi-cd,bus=u.0,scsi-id=0,lun=2")))
tap.case("what is said of it is the disk's", with_disk(
    what_is_said_of_it_is_the_disks,
    DEVICE.replace("drive=d", "drive=broken") + ",rerror=stop,werror=report,write-cache=off,account-failed=off,"
    "account-invalid=on,discard_granularity=4096,physical_block_size=4096,min_io_size=8192,share-rw=on",
    ("-blockdev", "driver=null-co,node-name=n,size=8M,read-zeroes=on", "-blockdev",
     "driver=blkdebug,node-name=broken,image=n,inject-error.0.event=read_aio,inject-error.0.once=on")))
tap.case("without a disk it is refused", without_a_disk_it_is_refused)
tap.done()
