#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What public descriptions of vulnerabilities say of SCSI units and host adapters, NVMe, virtio rings and USB storage, tried on
ours, as test-vulnerabilities does for older devices. Afterwards the machine lives on, and the device works with a driver that
begins anew. OHCI, UHCI, EHCI and xHCI have theirs in their own tests; for IPMI's interfaces none is public.
"""
import struct

from hba import BAR, BASE, DATA, Megasas, Mptsas, Pvscsi
from nvme import BAR as NVME, Controller
from parallel_scsi import (DATA_IN, INT, JUMP, MMIO, MOVE, SCRIPT, SELECT, Lsi, PcScsi, step)
from qtest import QTest, Tap
from usb_disks import UAS
from virtio import INDIRECT_DESC, MEMORY
from vscsi import HEAD, RESPONSE, Host

READ, READY = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0] * 6
NULL = ["-blockdev", "driver=null-co,node-name=n,size=8388608,read-zeroes=on"]


def with_disk(device):
    return ["-M", "pc", "-m", "32", *NULL, "-device", device + ",addr=5,id=h", "-device", "scsi-hd,drive=n,scsi-id=0"]


# ---- units ----
def commands_longer_than_the_bus_has_room(q):
    h = Host(q)
    q.writel(h.t.device + 24, 255)  # cdb_size
    for code in range(256):
        cdb = bytes([code, *[0xFF] * 254])
        q.write(HEAD, h.target + struct.pack("<QBBB", code, 0, 0, 0) + cdb)
        h.ring.add([(HEAD, 19 + 255, False), (RESPONSE, 108, True)])
        h.ring.wait()


def mode_pages_of_every_length(q):
    h = Host(q)
    h.settle()
    for page in (0x3F, 0x08, 0x00, 0x01, 0x3E):
        for length in (0, 1, 3, 4, 5, 8, 11, 12, 24, 64, 127, 128, 255):
            h.command([0x15, 0x10, 0, 0, length, 0], out=(bytes(4) + bytes([page, 0xFF])).ljust(255, b"\xFF")[:length])
            h.command([0x1A, 0, page, 0xFF, length, 0], room=max(length, 1))
            h.command([0x5A, 0, page, 0xFF, 0, 0, 0, 0, length, 0], room=max(length, 1))


def blocks_of_no_bytes(q):
    h = Host(q)
    h.settle()
    for size in (0, 1, 0xFFFFFF):
        h.command([0x15, 0x10, 0, 0, 12, 0], out=bytes([0, 0, 0, 8, 0, 0, 0, 0]) + struct.pack(">I", size))
        h.command([0x55, 0x10, 0, 0, 0, 0, 0, 0, 16, 0], out=bytes([0] * 7 + [8] + [0] * 4) + struct.pack(">I", size))
    assert h.command([0x25] + [0] * 9, room=8)[4:] == struct.pack(">I", 512)


# ---- rings ----
def tables_of_wrong_lengths(q):
    for length in (0, 15, 17, 0xFFFFFFF0, 16 * 70000):
        h = Host(q, features=[INDIRECT_DESC])
        h.ring.put(0, 0xA00000, length, 4)
        h.ring.offer(0)
        h.t.notify(2)
        h.t.until_broken()


def queues_that_are_not_there(q):
    h = Host(q)
    for number in (3, 4, 64, 1023, 1024, 65535):
        h.t.select(number)
        q.writew(h.t.notify_at, number)
        q.writel(h.t.notify_at, number)


def a_ring_that_is_fuller_than_it_is_long(q):
    for by in (257, 0x7FFF, 0xFFFF):
        h = Host(q)
        h.ring.put(0, HEAD, 51, 0)
        h.ring.offer(0, by=by)
        h.t.notify(2)
        h.t.until_broken()


def descriptors_of_no_bytes_in_a_circle(q):
    h = Host(q)
    for n in range(4):
        h.ring.put(n, HEAD, 0, 1, (n + 1) % 4)
    h.ring.offer(0)
    h.t.notify(2)
    h.t.until_broken()


def queues_of_impossible_sizes(q):
    h = Host(q)
    for size in (0, 3, 1025, 65535):
        h.t.reset()
        h.t.set_status(3)
        h.t.select(2)
        q.writew(h.t.common + 24, size)
        q.writew(h.t.common + 28, 1)
        h.t.set_status(7)
        h.t.notify(2)


def requests_that_lie_in_the_devices_registers(q):
    h = Host(q)
    h.settle()
    for at in range(0, 0x4000, 0x200):
        h.q.write(HEAD, h.target + struct.pack("<QBBB", at, 0, 0, 0) + bytes(READ).ljust(32, b"\0"))
        h.ring.add([(HEAD, 51, False), (RESPONSE, 108, True), (MEMORY + at, 512, True)])
        q.qmp("query-status")
        if h.t.broken() or not h.t.status() & 4:
            h = Host(q)
            h.settle()


def nothing_of_the_host_is_told(q):
    """Data of a command that fails, and what is beyond an answer, stay as they were."""
    h = Host(q)
    h.settle()
    q.memset(0x200000, 4096, 0xA5)
    assert h.command([0x28, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 8, 0], room=4096) == "5/2100"
    assert q.read(0x200000, 4096) == b"\xA5" * 4096
    assert len(h.command([0x12, 0, 0, 0, 255, 0], room=255)) == 36 and q.read(0x200000 + 36, 1000) == b"\xA5" * 1000


# ---- megasas ----
class NoInit(Megasas):
    def set_up(self):
        self.reg(0x20, 2)


def frames_before_the_first_one(q):
    h = NoInit(q)
    for command in range(1, 9):
        h.post(struct.pack("<BBBB", command, 0, 0xFF, 0))
        h.post(struct.pack("<BBBBBBBBIIHHI", command, 128, 0xFF, 0, 0, 0, 16, 1, 0, 0, 2, 0, 512))


def orders_with_data_that_are_too_short(q):
    h = Megasas(q)
    for opcode in (0x01020200, 0x01020100, 0x01010000, 0x02010000, 0x03010000, 0x03010100, 0x04010000, 0x01040300,
                   0x01080101, 0x08010100):
        for size in (0, 1, 7, 32):
            q.memset(DATA, 8192, 0xA5)
            h.dcmd(opcode, size)
            assert q.read(DATA + size, 4096) == b"\xA5" * 4096, hex(opcode)
            h.dcmd(opcode, size, count=0, flags=0)
            h.dcmd(opcode, size, at=0xFFFFFFF0)


def reply_queues_that_point_anywhere(q):
    h = Megasas(q)
    for value in (0xFFFFFFFF, 0x7FFFFFFF, 64, 1 << 20):
        q.writel(h.producer, value)
        q.writel(h.producer + 8, value)
        for _ in range(4):
            h.submit(READY)
        q.qmp("query-status")
        h = Megasas(q)


# ---- pvscsi ----
def rings_of_too_many_pages(q):
    h = Pvscsi(q)
    for pages in (0, 33, 1000, 0xFFFFFFFF):
        h.order(1)
        assert h.order(3, struct.pack("<IIQ64Q", pages, pages, BASE >> 12, *[BASE >> 12] * 64)) != 0, pages
        h.order(1)
        h.set_up()
        assert h.order(8, struct.pack("<II16Q", pages, 0, *[BASE >> 12] * 16)) != 0, pages
    q.writel(h.state + 128, 0xFFFFFFF0)


def lists_that_lead_to_themselves(q):
    h = Pvscsi(q)
    h.settle()
    for size, flags in ((0, 0), (0, 1), (0, 2), (1, 1), (0xFFFFFFFF, 1)):
        q.write(0x180000, struct.pack("<QII", 0x180000, size, flags) * 256)
        h.submit(READ, room=1 << 20, pieces=[(0x180000, size), (0x180000, size)])
        q.qmp("query-status")


def requests_without_end(q):
    h = Pvscsi(q)
    for produced in (0xFFFFFFFF, 0x80000000, 33, 1000):
        q.writel(h.state, produced)
        h.reg(0x4018, 0)
        q.qmp("query-status")
        h = Pvscsi(q)


# ---- mptsas ----
def pages_for_too_little_room(q):
    h = Mptsas(q)
    for kind in (*range(0, 0x10), *range(0x10, 0x18)):
        for number in range(0, 4):
            for size in (0, 1, 4, 32):
                q.memset(DATA, 1024, 0xA5)
                h.message(4, bytes([1, 0, 0, 4, 0, 0, kind if kind >= 0x10 else 0, 0]), bytes(8) + struct.pack(
                    "<BBBBIIQ", 0, 0, number, 0xF if kind >= 0x10 else kind, 0, 0xD3000000 | size, DATA))
                assert q.read(DATA + size, 256) == b"\xA5" * 256, (kind, number, size)


def lists_of_nonsense_then_resets(q):
    h = Mptsas(q)
    h.settle()
    for word in (0, 0x92000000, 0x32000000 | 12, 0x30000000, 0xFF000000, 0x13FFFFFF):
        for _ in range(3):
            h.submit(READ, room=1 << 16, sgl=struct.pack("<IQ", word, BASE + 128) * 6)
        h.reset_unit()
        h = Mptsas(q)


# ---- 53C895A ----
def run_a_while(q, lsi, *words):
    lsi.begin(*words)
    for _ in range(20):
        step(q)
    lsi.w(0x14, 0x40)
    lsi.w(0x14, 0)


def messages_beyond_what_the_target_says(q):
    lsi = Lsi(q)
    lsi.settle(0)
    run_a_while(q, lsi, SELECT(0), 0, MOVE(6, 0xFFFFFF), 0x120000, MOVE(7, 0xFFFFFF), 0x130000, INT, 1)
    for message in (b"\x01\xFF\x00" + bytes(20), b"\x80\x23", b"\x80" * 32, b"\x01\x00"):
        q.write(0x120000, message)
        run_a_while(q, lsi, SELECT(0), 0, MOVE(6, len(message)), 0x120000, MOVE(7, 64), 0x130000, INT, 1)


def programs_without_end(q):
    lsi = Lsi(q)
    run_a_while(q, lsi, JUMP(), SCRIPT)
    q.memset(SCRIPT, 1 << 20, 0)
    q.write(SCRIPT + (1 << 20), struct.pack("<II", JUMP(), SCRIPT))
    run_a_while(q, lsi, 0x80000000, 0)


def aborts_again_and_again(q):
    lsi = Lsi(q)
    lsi.settle(0)
    for message in (6, 0x0C, 0x0D, 0x0E, 5):
        q.write(0x120000, bytes([0x80, 0x20, 1, message, message, message]))
        q.write(0x121000, bytes(READ))
        run_a_while(q, lsi, SELECT(0), 0, MOVE(6, 3), 0x120000, MOVE(2, 10), 0x121000, 0x58000008, 0, MOVE(6, 3),
                    0x120003, MOVE(6, 1), 0x120003, MOVE(1, 512), 0x200000, INT, 1)


def data_that_go_to_its_registers(q):
    lsi = Lsi(q)
    lsi.settle(0)
    for at in (0, 0x14, 0x2C, 0x30, 0x40):
        q.write(0x120000, b"\x80")
        q.write(0x121000, bytes(READ))
        run_a_while(q, lsi, SELECT(0), 0, MOVE(6, 1), 0x120000, MOVE(2, 10), 0x121000, MOVE(DATA_IN, 512), MMIO + at,
                    INT, 1)


# ---- Am53C974 ----
def bytes_beyond_the_fifo(q):
    p = PcScsi(q)
    for _ in range(4000):
        p.w(2, 0xC0)
    for _ in range(100):
        p.r(2)
    for command in range(256):
        p.w(3, command)
        p.w(2, command)
        p.r(5)


def transfers_of_nobody(q):
    p = PcScsi(q)
    for command in (0x90, 0x10, 0x98, 0x91, 0x11, 0x92, 0x12, 0xC1, 0xC2, 0xC3, 0xC6, 0x41, 0x42, 0x43, 0x46):
        for length in (0, 1, 16, 0x7FFF, 0xFFFFFF):
            p.dma(length, length & 1)
            p.w(3, command)
            q.outb(0xC040, 3)
            p.r(5)
            p.w(3, 2)


def transfers_that_are_too_long(q):
    p = PcScsi(q)
    for cdb in (READ, [0x12, 0, 0, 0, 36, 0], [0x03, 0, 0, 0, 18, 0]):
        for length in (0xFFFFFF, 40, 1):
            p.select(0, cdb)
            p.dma(length, 1)
            for _ in range(5):
                step(q)
            p.r(5)
            p.w(3, 2)
            p.w(3, 3)
            for _ in range(5):
                step(q)
            p.r(5)


# ---- NVMe ----
def queues_and_data_in_its_own_registers(q):
    for at in (0, 0x14, 0x1000, 0x1008, 0x2000):
        c = Controller(q)
        c.io.put(2, 1, NVME + at, 0, [0, 0, 7])
        c.admin.put(5, prp1=NVME + 0x1000, dwords=[15 << 16 | 2, 1 << 16 | 3])
        c.admin.put(1, prp1=NVME + 0x1000, dwords=[15 << 16 | 2, 2 << 16 | 1])
        q.writel(NVME + 0x1010, 1)
        q.qmp("query-status")


def registers_beyond_the_last_one(q):
    c = Controller(q)
    for at in (0x1000 + 8 * 64, 0x3000, 0x3FF8, 0x3FFF):
        for write, read in ((q.writeb, q.readb), (q.writew, q.readw), (q.writel, q.readl), (q.writeq, q.readq)):
            write(NVME + at, 0xFF)
            read(NVME + at)
    c.f.write(0x18, 0xE8000000)
    q.writel(0xE8000000, 1)


def logs_beyond_their_end(q):
    c = Controller(q)
    for page in range(0, 0x20):
        for offset in (0, 4, 0xFFC, 0xFFFFFFFC):
            q.memset(0x200000, 8192, 0xA5)
            c.admin.command(2, 0xFFFFFFFF, 0x200000, dwords=[3 << 16 | page, 0, offset, offset])
            assert q.read(0x200000 + 16, 4096) == b"\xA5" * 4096, page


# ---- UAS ----
def streams_and_tags_without_bound(q):
    u = UAS(q)
    for tag in (0, 33, 0x7FFF, 0xFFFF):
        u.send(struct.pack(">BBHBBBBHIH", 1, 0, tag, 0, 0, 0, 0, 0, 0, 0) + bytes(16))
        u.status()
    u.put(2 * 3 + 1, 0x4A0000, 0xFFFF)
    q.qmp("query-status")


# ---- afterwards ----
def virtio_works(q):
    h = Host(q)
    for _ in range(3):
        if len(h.command(READ, room=512)) == 512:
            return
    raise AssertionError("the disk does not work any more")


def adapter_works(kind):
    def check(q):
        h = kind(q)
        for _ in range(3):
            got = h.command(READ, room=512)
            if got == bytes(512):
                return
        raise AssertionError(got)
    return check


def lsi_works(q):
    lsi = Lsi(q)
    lsi.w(1, 8)  # the bus is reset
    lsi.w(1, 0)
    lsi.r(0x42), lsi.r(0x43)
    lsi.w(0x14, 0x40)
    lsi.w(0x14, 0)
    for _ in range(4):
        if lsi.command(0, READY) == 0:
            break
    assert lsi.command(0, READ, data=(DATA_IN, 512)) == 0


def pcscsi_works(q):
    p = PcScsi(q)
    p.w(3, 3)
    for _ in range(5):
        step(q)
    p.r(5)
    p.w(3, 2)
    for _ in range(4):
        if p.command(0, READY) == 0:
            break
    assert p.command(0, READ, data=(DATA_IN, 512)) == 0


def nvme_works(q):
    assert Controller(q).rw(2, 0, 1) == 0


def uas_works(q):
    u = UAS(q)
    assert len(u.read(1, [0x12, 0, 0, 0, 36, 0], 36)) == 36


VIRTIO = with_disk("virtio-scsi-pci"), virtio_works
MEGASAS, PVSCSI = (with_disk("megasas"), adapter_works(Megasas)), (with_disk("pvscsi"), adapter_works(Pvscsi))
MPTSAS, LSI = (with_disk("mptsas1068"), adapter_works(Mptsas)), (with_disk("lsi53c895a"), lsi_works)
AMD = with_disk("am53c974"), pcscsi_works
DISK = ["-M", "pc", "-m", "32", *NULL, "-device", "nvme,drive=n,serial=1,addr=5"], nvme_works
USB = ["-M", "pc", "-m", "32", *NULL, "-device", "qemu-xhci,addr=5", "-device", "usb-uas,id=u", "-device",
       "scsi-hd,bus=u.0,scsi-id=0,lun=0,drive=n"], uas_works

PUBLISHED = [
    ("CVE-2015-5158", "commands longer than the bus has room for", VIRTIO, commands_longer_than_the_bus_has_room),
    ("CVE-2021-3930", "mode pages of every length", VIRTIO, mode_pages_of_every_length),
    ("CVE-2023-42467", "blocks of no bytes by MODE SELECT", VIRTIO, blocks_of_no_bytes),
    ("CVE-2011-2212", "indirect tables of wrong lengths", VIRTIO, tables_of_wrong_lengths),
    ("CVE-2011-2512", "notifications of queues that are not there", VIRTIO, queues_that_are_not_there),
    ("CVE-2016-5403", "more requests than the ring is long", VIRTIO, a_ring_that_is_fuller_than_it_is_long),
    ("CVE-2016-6490", "descriptors of no bytes, in a circle", VIRTIO, descriptors_of_no_bytes_in_a_circle),
    ("CVE-2017-17381", "queues of impossible sizes", VIRTIO, queues_of_impossible_sizes),
    ("CVE-2024-3446", "data that go to the device's own registers", VIRTIO, requests_that_lie_in_the_devices_registers),
    ("CVE-2024-8612", "memory of the host in answers that are short", VIRTIO, nothing_of_the_host_is_told),
    ("CVE-2017-9503", "megasas: frames before the first one", MEGASAS, frames_before_the_first_one),
    ("CVE-2016-5105", "megasas: orders whose data are too short", MEGASAS, orders_with_data_that_are_too_short),
    ("CVE-2016-5106", "megasas: properties that are not there", MEGASAS, orders_with_data_that_are_too_short),
    ("CVE-2016-5337", "megasas: memory of the host in an answer", MEGASAS, orders_with_data_that_are_too_short),
    ("CVE-2016-5107", "megasas: frames beyond the table", MEGASAS, reply_queues_that_point_anywhere),
    ("CVE-2020-13362", "megasas: a reply queue that points anywhere", MEGASAS, reply_queues_that_point_anywhere),
    ("CVE-2016-4952", "pvscsi: rings of too many pages", PVSCSI, rings_of_too_many_pages),
    ("CVE-2017-8112", "pvscsi: message rings of too many pages", PVSCSI, rings_of_too_many_pages),
    ("CVE-2016-7156", "pvscsi: lists that lead to themselves", PVSCSI, lists_that_lead_to_themselves),
    ("CVE-2016-7421", "pvscsi: requests without end", PVSCSI, requests_without_end),
    ("CVE-2016-7157", "mptsas1068: pages for too little room", MPTSAS, pages_for_too_little_room),
    ("CVE-2016-7423", "mptsas1068: lists of nonsense", MPTSAS, lists_of_nonsense_then_resets),
    ("CVE-2021-3392", "mptsas1068: a request that failed is still waited for", MPTSAS, lists_of_nonsense_then_resets),
    ("CVE-2018-18849", "53c895a: messages beyond what was said", LSI, messages_beyond_what_the_target_says),
    ("CVE-2019-12068", "53c895a: programs without end", LSI, programs_without_end),
    ("CVE-2022-0216", "53c895a: a command is aborted twice", LSI, aborts_again_and_again),
    ("CVE-2023-0330", "53c895a: data that go to its registers", LSI, data_that_go_to_its_registers),
    ("CVE-2016-4439", "am53c974: bytes beyond the FIFO", AMD, bytes_beyond_the_fifo),
    ("CVE-2016-5338", "am53c974: bytes beyond the FIFO, read", AMD, bytes_beyond_the_fifo),
    ("CVE-2016-4441", "am53c974: commands by DMA longer than the buffer", AMD, transfers_of_nobody),
    ("CVE-2016-5238", "am53c974: commands without DMA longer than the buffer", AMD, bytes_beyond_the_fifo),
    ("CVE-2016-6351", "am53c974: DMA beyond the buffer", AMD, transfers_that_are_too_long),
    ("CVE-2020-35504", "am53c974: a transfer without a command", AMD, transfers_of_nobody),
    ("CVE-2020-35505", "am53c974: a selection of nobody", AMD, transfers_of_nobody),
    ("CVE-2020-35506", "am53c974: a reset in the middle of a transfer", AMD, transfers_that_are_too_long),
    ("CVE-2024-24474", "am53c974: less is left than was asked for", AMD, transfers_that_are_too_long),
    ("CVE-2021-3929", "nvme: queues and data in its own registers", DISK, queues_and_data_in_its_own_registers),
    ("CVE-2018-16847", "nvme: accesses beyond its memory", DISK, registers_beyond_the_last_one),
    ("CVE-2021-3947", "nvme: logs beyond their end", DISK, logs_beyond_their_end),
    ("CVE-2021-3713", "uas: streams and tags without bound", USB, streams_and_tags_without_bound),
]


def tried(machine, function):
    def case():
        args, works = machine
        with QTest(args) as q:
            function(q)
            assert q.qmp("query-status")["status"] in ("running", "prelaunch", "paused")
            works(q)
    return case


if __name__ == "__main__":
    tap = Tap()
    for identifier, words, machine_, function_ in PUBLISHED:
        tap.case("%s: %s" % (identifier, words), tried(machine_, function_))
    tap.done()
