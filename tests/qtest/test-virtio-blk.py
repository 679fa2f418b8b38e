#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtio disk as a driver sees it: each kind of request, each way to be refused, hot-plug, saved settings."""
import os
import struct
import tempfile

from qtest import Failed, QTest, Tap
from virtio import PACKED, RING_RESET, VERSION_1, Function, Legacy, Modern, Packed, Split, until

RING, DATA, HEADER, STATUS, SEGMENT = 0x100000, 0x200000, 0x300000, 0x301000, 0x302000
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, SECURE_ERASE = 0, 1, 4, 8, 11, 13, 14
OK, IOERR, UNSUPP = 0, 1, 2
SIZE = 8 << 20
RO, FLUSH_BIT, MQ, DISCARD_BIT, ZEROES_BIT = 5, 9, 12, 13, 14


class Disk:
    def __init__(self, q, ring=Split, bits=(FLUSH_BIT, DISCARD_BIT, ZEROES_BIT), transport=Modern, index=0):
        self.q, self.t = q, transport(q)
        self.ring = ring(q, RING, index=index)
        bits = list(bits) + ([] if self.t.legacy else [VERSION_1]) + ([PACKED] if ring is Packed else [])
        if self.t.legacy:
            bits = [b for b in bits if b < 32]
        self.t.start(bits, queues=[self.ring])

    def submit(self, kind, sector, parts, reserved=0):
        self.q.write(HEADER, struct.pack("<IIQ", kind, reserved, sector))
        self.q.writeb(STATUS, 0xEE)
        return self.ring.add([(HEADER, 16, False), *parts, (STATUS, 1, True)])

    def request(self, kind, sector, parts):
        ident = self.submit(kind, sector, parts)
        used, length = self.ring.wait()
        assert used == ident
        return self.q.readb(STATUS), length

    def write(self, sector, data):
        self.q.write(DATA, data)
        return self.request(OUT, sector, [(DATA, len(data), False)])[0]

    def read(self, sector, size):
        status, length = self.request(IN, sector, [(DATA, size, True)])
        assert length == size + 1, (length, size)
        return status, self.q.read(DATA, size)

    def range(self, kind, sector, sectors, flags=0):
        self.q.write(SEGMENT, struct.pack("<QII", sector, sectors, flags))
        return self.request(kind, 0, [(SEGMENT, 16, False)])[0]


def with_disk(device, function, *more, drive=""):
    def run():
        with tempfile.NamedTemporaryFile(prefix="backplane-vblk-") as f:
            f.truncate(SIZE)
            args = ["-M", "pc", "-m", "16", "-drive", f"file={f.name},format=raw,if=none,id=d{drive}", "-device",
                    f"virtio-blk-pci,addr=5,drive=d{device}", *more]
            with QTest(args) as q:
                function(q, f)
    return run


def moves_data(ring, transport=Modern):
    def run(q, f):
        d = Disk(q, ring, transport=transport)
        data = os.urandom(8192)
        assert d.write(7, data) == OK
        assert os.pread(f.fileno(), 8192, 7 * 512) == data
        q.memset(DATA, 8192, 0)
        assert d.read(7, 8192) == (OK, data)
        assert d.request(FLUSH, 0, [])[0] == OK
        q.write(DATA, data)  # in pieces that no sector knows of
        pieces = [(DATA, 100, False), (DATA + 100, 1, False), (DATA + 101, 3995, False)]
        assert d.request(OUT, 100, pieces)[0] == OK
        assert os.pread(f.fileno(), 4096, 100 * 512) == data[:4096]
    return run


def header_and_data_share_descriptors(q, f):
    d = Disk(q)
    data = os.urandom(512)
    q.write(HEADER, struct.pack("<IIQ", OUT, 0, 3) + data)
    d.ring.add([(HEADER, 528, False), (STATUS, 1, True)])
    d.ring.wait()
    assert q.readb(STATUS) == OK and os.pread(f.fileno(), 512, 3 * 512) == data
    q.write(HEADER, struct.pack("<IIQ", IN, 0, 3))
    d.ring.add([(HEADER, 16, False), (DATA, 513, True)])
    d.ring.wait()
    assert q.read(DATA, 512) == data and q.readb(DATA + 512) == OK


def bad_requests_end_with_errors(q, f):
    d = Disk(q)
    end = SIZE // 512
    assert d.write(end, bytes(512)) == IOERR
    assert d.write(end - 1, bytes(1024)) == IOERR
    assert d.write(2 ** 64 - 1, bytes(512)) == IOERR
    assert d.write(0, bytes(511)) == IOERR
    assert d.request(99, 0, [])[0] == UNSUPP and d.range(SECURE_ERASE, 0, 8) == UNSUPP
    assert d.range(DISCARD, end - 1, 2) == IOERR and d.range(WRITE_ZEROES, 0, 2 ** 32 - 1) == IOERR
    assert d.range(DISCARD, 0, 8, 1) == UNSUPP and d.range(WRITE_ZEROES, 0, 8, 2) == UNSUPP
    assert d.write(end - 1, bytes(512)) == OK
    assert not d.t.broken()


def ranges_are_zeroed_and_discarded(q, f):
    d = Disk(q)
    assert d.write(0, b"\xaa" * 16384) == OK
    assert d.range(WRITE_ZEROES, 8, 8) == OK
    assert os.pread(f.fileno(), 16384, 0) == b"\xaa" * 4096 + bytes(4096) + b"\xaa" * 8192
    assert d.range(WRITE_ZEROES, 16, 8, 1) == OK
    assert os.pread(f.fileno(), 4096, 8192) == bytes(4096)
    assert d.range(DISCARD, 0, 32) == OK


def discard_that_was_not_negotiated_is_unsupported(q, f):
    d = Disk(q, bits=(FLUSH_BIT,))
    assert d.range(DISCARD, 0, 8) == UNSUPP and d.range(WRITE_ZEROES, 0, 8) == UNSUPP


def tells_its_serial(q, f):
    d = Disk(q)
    assert d.request(GET_ID, 0, [(DATA, 20, True)]) == (OK, 21)
    assert q.read(DATA, 20) == b"number-9" + bytes(12)


def configuration_says_what_it_is(q, f):
    d = Disk(q)
    capacity, = struct.unpack("<Q", d.t.config(0, 8))
    assert capacity == SIZE // 512 and struct.unpack("<I", d.t.config(20, 4))[0] == 512
    assert struct.unpack("<I", d.t.config(12, 4))[0] == 254
    assert struct.unpack("<H", d.t.config(34, 2))[0] == 4
    assert struct.unpack("<III", d.t.config(36, 12))[:2] == (4194303, 1)


def queues_work_each(q, f):
    for index in range(4):
        d = Disk(q, index=index)
        assert d.write(index, bytes([index + 1]) * 512) == OK
    assert os.pread(f.fileno(), 2048, 0) == b"".join(bytes([i + 1]) * 512 for i in range(4))


def read_only_says_so(q, f):
    t = Modern(q)
    assert t.start([VERSION_1]) >> RO & 1
    d = Disk(q)
    assert d.write(0, bytes(512)) == IOERR and d.read(0, 512)[0] == OK


def request_without_status_breaks(q, f):
    d = Disk(q)
    q.write(HEADER, struct.pack("<IIQ", IN, 0, 0))
    d.ring.add([(HEADER, 16, False)])
    d.t.until_broken()
    d = Disk(q)
    assert d.read(0, 512)[0] == OK


def short_header_breaks(q, f):
    d = Disk(q)
    d.ring.add([(HEADER, 15, False), (STATUS, 1, True)])
    d.t.until_broken()


def reset_ends_what_was_held(q, f):
    """A request that waits for a person (werror=stop) does not outlive a reset."""
    d = Disk(q, bits=(RING_RESET,))
    d.submit(OUT, 0, [(DATA, 512, False)])
    until(lambda: q.qmp("query-status")["status"] == "io-error")
    q.qmp("cont")
    until(lambda: q.qmp("query-status")["status"] == "io-error")
    d.t.reset()
    q.qmp("cont")
    d = Disk(q)
    assert d.read(8, 512)[0] == OK


def waits_for_bounce_memory():
    """Data for memory that is not RAM go through the host's (4 MiB of it): the second 3 MiB wait for the first."""
    with tempfile.TemporaryDirectory(prefix="backplane-vblk-") as folder:
        disk, flash = os.path.join(folder, "disk"), os.path.join(folder, "flash")
        for name in (disk, flash):
            with open(name, "wb") as f:
                f.truncate(4 << 20)
        with QTest(["-M", "pc", "-m", "16", "-drive", f"if=pflash,format=raw,file={flash}", "-drive",
                    f"file={disk},format=raw,if=none,id=d", "-device", "virtio-blk-pci,addr=5,drive=d"]) as q:
            d = Disk(q)
            idents = []
            for n in range(4):
                q.write(HEADER + 64 * n, struct.pack("<IIQ", IN, 0, 0))
                q.writeb(STATUS + n, 0xEE)
                data = (0xFFC00000, 3 << 20, True) if n < 3 else (DATA, 512, True)
                idents.append(d.ring.add([(HEADER + 64 * n, 16, False), data, (STATUS + n, 1, True)], kick=n == 3))
            answered = [d.ring.wait()[0] for _ in range(4)]
            assert sorted(answered) == sorted(idents), (answered, idents)
            assert q.read(STATUS, 4) == bytes(4), q.read(STATUS, 4)
            assert d.read(0, 512) == (OK, bytes(512))


def is_unplugged_with_requests_in_flight(q, f):
    d = Disk(q)
    for n in range(20):
        q.write(HEADER + 64 * n, struct.pack("<IIQ", IN, 0, n))
        d.ring.add([(HEADER + 64 * n, 16, False), (DATA + 4096 * n, 4096, True), (STATUS + n, 1, True)], kick=n == 19)
    q.qmp("device_del", {"id": "disk"})
    until(lambda: Function(q).read(0) == 0xFFFFFFFF)
    q.qmp("device_add", {"driver": "virtio-blk-pci", "id": "disk", "drive": "d", "addr": "5"})
    assert Disk(q).read(0, 512)[0] == OK


def latencies_are_counted(q, f):
    del f
    d = Disk(q)

    def shown(key):
        stats, = [s["stats"] for s in q.qmp("query-blockstats") if s.get("device") == "d"]
        return stats.get(key)
    assert shown("rd_latency_histogram") is None
    q.qmp("block-latency-histogram-set", {"id": "disk", "boundaries": [10, 1000000000000], "boundaries-write": [5]})
    for _ in range(7):
        d.read(0, 512)
    assert d.write(0, bytes(512)) == OK and d.request(FLUSH, 0, [])[0] == OK
    assert shown("rd_latency_histogram") == {"boundaries": [10, 1000000000000], "bins": [0, 7, 0]}
    assert sum(shown("wr_latency_histogram")["bins"]) == 1 and sum(shown("flush_latency_histogram")["bins"]) == 1
    for wrong in ([], [0], [5, 5], [9, 3]):
        try:
            q.qmp("block-latency-histogram-set", {"id": "disk", "boundaries": wrong})
            raise AssertionError(wrong)
        except Failed as e:
            assert "boundaries" in str(e), e
    assert shown("rd_latency_histogram")["bins"] == [0, 7, 0]
    q.qmp("block-latency-histogram-set", {"id": "disk"})
    assert shown("rd_latency_histogram") is None


def drives_of_the_board(q):
    found = [e for e in q.qmp("qom-list", {"path": "/machine/unattached"}) if e["type"] == "child<virtio-blk-pci>"]
    assert len(found) == 2, found


def board_makes_drives():
    with tempfile.NamedTemporaryFile(prefix="backplane-vblk-") as f:
        f.truncate(SIZE)
        for machine in ("pc", "q35"):
            with QTest(["-M", machine, "-drive", f"file={f.name},format=raw,if=virtio,read-only=on", "-drive",
                        f"file={f.name},format=raw,if=virtio,index=1,read-only=on"]) as q:
                drives_of_the_board(q)


def refused(*args):
    try:
        QTest(["-M", "pc", *args]).close()
    except Failed as error:
        return str(error)
    raise AssertionError("it started")


def bad_properties_are_refused_in_words():
    with tempfile.NamedTemporaryFile(prefix="backplane-vblk-") as f:
        f.truncate(SIZE)
        drive = ["-drive", f"file={f.name},format=raw,if=none,id=d", "-device"]
        for prop, words in (("queue-size=100", "powers of two"), ("num-queues=0", "1 to 1024"),
                            ("serial=123456789012345678901", "20 characters"), ("max-discard-sectors=0", "from 1 to")):
            assert words in refused(*drive, "virtio-blk-pci,drive=d," + prop), prop
        assert "drive" in refused("-device", "virtio-blk-pci")
        both = "virtio-blk-pci,drive=d,disable-modern=on,disable-legacy=on"
        assert "nothing is left" in refused(*drive, both)


FAILING = ["-blockdev", "driver=null-co,node-name=null,size=8388608,read-zeroes=on", "-blockdev",
           "driver=blkdebug,node-name=bad,image=null,inject-error.0.event=none,inject-error.0.iotype=write,"
           "inject-error.0.errno=5", "-device", "virtio-blk-pci,addr=5,drive=bad,werror=stop"]

tap = Tap()
tap.case("data go to and fro on a split ring", with_disk("", moves_data(Split)))
tap.case("data go to and fro on a packed ring", with_disk(",packed=on", moves_data(Packed)))
tap.case("data go to and fro through the legacy interface", with_disk("", moves_data(Split, Legacy)))
tap.case("header and data may share a descriptor", with_disk("", header_and_data_share_descriptors))
tap.case("bad requests end with errors", with_disk("", bad_requests_end_with_errors))
tap.case("ranges are zeroed and discarded", with_disk("", ranges_are_zeroed_and_discarded, drive=",discard=unmap"))
tap.case("discard that was not negotiated is unsupported",
         with_disk("", discard_that_was_not_negotiated_is_unsupported))
tap.case("it tells its serial number", with_disk(",serial=number-9", tells_its_serial))
tap.case("configuration says what it is", with_disk(",num-queues=4", configuration_says_what_it_is))
tap.case("each of four queues works", with_disk(",num-queues=4", queues_work_each))
tap.case("a read-only disk says so", with_disk("", read_only_says_so, drive=",readonly=on"))
tap.case("a request without room for its status breaks it", with_disk("", request_without_status_breaks))
tap.case("a short header breaks it", with_disk("", short_header_breaks))
tap.machine_case("a reset ends a request that waits for a person", ["-M", "pc", "-m", "16", *FAILING],
                 lambda q: reset_ends_what_was_held(q, None))
tap.case("requests wait for bounce memory", waits_for_bounce_memory)
tap.case("it is unplugged with requests in flight", with_disk(",id=disk", is_unplugged_with_requests_in_flight))
tap.case("latencies are counted", with_disk(",id=disk", latencies_are_counted))
tap.case("if=virtio drives become disks of the board", board_makes_drives)
tap.case("bad properties are refused in words", bad_properties_are_refused_in_words)
tap.done()
