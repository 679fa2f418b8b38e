#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that devices bring: -m slots= and maxmem=, pc-dimm, nvdimm; ACPI's registers at 0xa00; NFIT and _DSM."""
import struct
import subprocess
import tempfile

import fwcfg
from qtest import Tap, program
from virtio import Modern, Split, VERSION_1

MIB, GIB = 1 << 20, 1 << 30
SLOTS = ["-m", "128M,slots=4,maxmem=2G"]
ADDRESS_LOW, ADDRESS_HIGH, SIZE_LOW, SIZE_HIGH, NODE, FLAGS = 0xa00, 0xa04, 0xa08, 0xa0c, 0xa10, 0xa14
SELECT, OST_EVENT, OST_STATUS = 0xa00, 0xa04, 0xa08
DSM, PAGE = 0xa18, 0x200000


def ram(name, size):
    return ["-object", f"memory-backend-ram,id={name},size={size}"]


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


def fails(q, words, command, arguments):
    try:
        q.qmp(command, arguments)
    except AssertionError as error:
        assert words in str(error), (words, error)
    else:
        raise AssertionError("%s was taken, not refused with '%s'" % (arguments, words))


def sizes_are_checked():
    for words, text in (("slots specified but no maxmem", "128M,slots=2"), ("aligned to multiple of 4096",
                        "64M,slots=2,maxmem=100000001"), ("is equal to the initial", "128M,slots=2,maxmem=128M"),
                        ("must be at least the initial", "128M,slots=2,maxmem=64M"), ("0..256", "1M,slots=257"),
                        ("at most 64T", "128M,slots=2,maxmem=128T")):
        refused(words, "-m", text)
    refused("machine 'isapc' offers no memory hot-plug", "-M", "isapc", *SLOTS)


def modules_are_checked():
    refused("specify the maxmem option", *ram("m", "64M"), "-device", "pc-dimm,memdev=m")
    refused("specify the 'slots' option", "-m", "128M,maxmem=1G", *ram("m", "64M"), "-device", "pc-dimm,memdev=m")
    refused("'memdev' property is not set", *SLOTS, "-device", "pc-dimm")
    refused("in use by pc-dimm", *SLOTS, *ram("m", "64M"), "-device", "pc-dimm,memdev=m", "-device", "pc-dimm,memdev=m")
    refused("not enough space", *SLOTS, *ram("m", "3G"), "-device", "pc-dimm,memdev=m")
    refused("valid range is [0-3]", *SLOTS, *ram("m", "64M"), "-device", "pc-dimm,memdev=m,slot=4")
    refused("outside of the range", *SLOTS, *ram("m", "64M"), "-device", "pc-dimm,memdev=m,addr=0x200000")
    refused("must be aligned", *SLOTS, *ram("m", "64M"), "-device", "pc-dimm,memdev=m,addr=0x100001000")
    refused("exceeds the number of numa nodes: 1", *SLOTS, *ram("m", "64M"), "-device", "pc-dimm,memdev=m,node=1")
    refused("nvdimm=on", *SLOTS, *ram("m", "64M"), "-device", "nvdimm,memdev=m")
    nvdimm = ["-M", "q35,nvdimm=on", *SLOTS, *ram("m", "64M"), "-device"]
    refused("label-size", *nvdimm, "nvdimm,memdev=m,label-size=4K")
    refused("too small to contain the labels", *nvdimm, "nvdimm,memdev=m,label-size=64M")
    refused("'memdev' property is not set", *SLOTS, "-device", "virtio-pmem-pci")
    refused("specify the maxmem", *ram("m", "64M"), "-device", "virtio-pmem-pci,memdev=m")
    mem = ["-m", "128M,maxmem=2G", *ram("m", "64M"), "-device"]
    refused("power of two", *mem, "virtio-mem-pci,memdev=m,block-size=3M")
    refused("cannot exceed", *mem, "virtio-mem-pci,memdev=m,requested-size=128M")
    refused("blocks of", *mem, "virtio-mem-pci,memdev=m,block-size=128M")
    refused("8-4-4-4-12", *nvdimm, "nvdimm,memdev=m,uuid=12345")


def modules_are_found_and_told_of(q):
    q.writel(4 * GIB + 16, 0x12345678)
    assert q.readl(4 * GIB + 16) == 0x12345678
    devices = {d["data"]["id"]: d for d in q.qmp("query-memory-devices")}
    assert devices["a"] == {"type": "dimm", "data": {
        "id": "a", "addr": 4 * GIB, "size": 256 * MIB, "slot": 2, "node": 0, "memdev": "/objects/m1",
        "hotplugged": False, "hotpluggable": True}}, devices
    assert devices["b"]["data"]["addr"] == 4 * GIB + 256 * MIB and devices["b"]["data"]["slot"] == 0
    text = q.qmp("human-monitor-command", {"command-line": "info memory-devices"}).replace("\r", "")
    assert 'Memory device [dimm]: "a"\n  addr: 0x100000000\n  slot: 2\n  node: 0\n  size: 268435456\n' in text, text
    text = q.qmp("human-monitor-command", {"command-line": "info memory_size_summary"})
    assert text.split() == ["base", "memory:", str(128 * MIB), "plugged", "memory:", str(320 * MIB)], text
    assert struct.unpack("<Q", fwcfg.file(q, "etc/reserved-memory-end"))[0] == 4 * GIB + 6 * GIB


def selected(q, slot):
    q.outl(SELECT, slot)
    return (q.inl(ADDRESS_HIGH) << 32 | q.inl(ADDRESS_LOW), q.inl(SIZE_HIGH) << 32 | q.inl(SIZE_LOW), q.inl(NODE),
            q.inb(FLAGS))


def registers_follow_a_module_that_comes_and_goes(q, hidden=False):
    assert selected(q, 0) == (0, 0, 0, 0) and selected(q, 300) == (0, 0, 0, 0)
    q.qmp("object-add", {"qom-type": "memory-backend-ram", "id": "m", "size": 128 * MIB})
    q.qmp("device_add", {"driver": "pc-dimm", "id": "d", "memdev": "m", "slot": 3})
    assert selected(q, 3) == (4 * GIB, 128 * MIB, 0, 3)
    q.outb(FLAGS, 2)
    assert q.inb(FLAGS) == 1
    fails(q, "in use", "object-del", {"id": "m"})
    fails(q, "does not listen", "device_del", {"id": "d"})
    q.outw(0x604, 1)         # ACPI mode (SCI_EN), and event 3 enabled
    q.outb(0xafe2, 8)        # GPE0 enable
    q.qmp("device_del", {"id": "d"})
    assert selected(q, 3)[3] == 5 and q.inb(0xafe0) & 8
    fails(q, "unplug", "device_del", {"id": "d"})
    q.outb(FLAGS, 4)
    q.outl(OST_EVENT, 3)
    q.outl(OST_STATUS, 1)    # not accepted
    seen = {e["event"]: e["data"] for e in q.events} if q.qmp("query-status") else {}
    assert seen["ACPI_DEVICE_OST"]["info"] == {"device": "d", "slot": "3", "slot-type": "DIMM", "source": 3,
                                              "status": 1}, seen
    assert seen["DEVICE_UNPLUG_GUEST_ERROR"]["device"] == "d"
    assert ("MEM_UNPLUG_ERROR" in seen) == (not hidden), seen
    assert hidden or (seen["MEM_UNPLUG_ERROR"]["device"] == "d" and "'d'" in seen["MEM_UNPLUG_ERROR"]["msg"]), seen
    assert q.qmp("query-acpi-ospm-status")[3]["status"] == 1
    q.qmp("device_del", {"id": "d"})
    q.outb(FLAGS, 8)
    q.qmp("query-status")
    assert [e for e in q.events if e["event"] == "DEVICE_DELETED"], q.events
    assert selected(q, 3) == (0, 0, 0, 0) and q.qmp("query-memory-devices") == []
    q.qmp("object-del", {"id": "m"})


def slots_are_filled_and_emptied(q):
    for n in range(5):
        q.qmp("object-add", {"qom-type": "memory-backend-ram", "id": f"m{n}", "size": 128 * MIB})
    for n in range(4):
        q.qmp("device_add", {"driver": "pc-dimm", "id": f"d{n}", "memdev": f"m{n}"})
        assert selected(q, n)[:2] == (4 * GIB + 128 * MIB * n, 128 * MIB), n
    fails(q, "no free slots", "device_add", {"driver": "pc-dimm", "id": "d4", "memdev": "m4"})
    q.outl(SELECT, 1)
    q.outb(FLAGS, 8)  # a guest may eject what nobody asked it for
    q.qmp("query-status")
    fails(q, "slot 2 is busy", "device_add", {"driver": "pc-dimm", "id": "d4", "memdev": "m4", "slot": 2})
    fails(q, "conflicts with memory device id='d0'", "device_add",
          {"driver": "pc-dimm", "id": "d4", "memdev": "m4", "addr": 4 * GIB})
    q.qmp("device_add", {"driver": "pc-dimm", "id": "d4", "memdev": "m4"})
    assert selected(q, 1)[:2] == (4 * GIB + 128 * MIB, 128 * MIB)


def without_acpi_nothing_comes(q):
    q.qmp("object-add", {"qom-type": "memory-backend-ram", "id": "m", "size": 128 * MIB})
    fails(q, "acpi=off", "device_add", {"driver": "pc-dimm", "id": "d", "memdev": "m"})


# ---- NVDIMMs ----

def nfit_of(q):
    data = fwcfg.file(q, "etc/acpi/tables")
    at = data.index(b"NFIT")
    return data[at:at + struct.unpack_from("<I", data, at + 4)[0]]


def nfit_tells_of_nvdimms(q):
    data, nfit = fwcfg.file(q, "etc/acpi/tables"), nfit_of(q)
    assert len(nfit) == 40 + 2 * (56 + 48 + 32) and nfit[8] == 1
    at = 40
    for n, (handle, address, length, flags) in enumerate(((1, 4 * GIB, 64 * MIB, 0),
                                                         (2, 4 * GIB + 64 * MIB, 128 * MIB - 0x20000, 8))):
        assert struct.unpack_from("<HHHHII", nfit, at) == (0, 56, n + 1, 3, 0, 0)
        assert nfit[at + 16:at + 32].hex() == "79d3f066f3b47440ac430d3318b78cdb"
        assert struct.unpack_from("<QQQ", nfit, at + 32) == (address, length, 0x8008)
        assert struct.unpack_from("<HHIHHHHQQQHHH", nfit, at + 56) == (
            1, 48, handle, handle - 1, 0, n + 1, n + 1, length, 0, 0, 0, 1, flags)
        assert struct.unpack_from("<HHH", nfit, at + 104) == (4, 32, n + 1)
        at += 136
    assert data.count(b"ACPI0012") == 1 and b"NV00" in data and b"NV01" in data
    names = {d["type"] for d in q.qmp("query-memory-devices")}
    assert names == {"nvdimm"}
    fails(q, "hot unplug is not supported", "device_del", {"id": "n0"})


def dsm(q, handle, function, argument=b""):
    q.write(PAGE, struct.pack("<III", handle, 1, function) + argument)
    q.outl(DSM, PAGE)
    size = q.readl(PAGE)
    assert size <= 4092, size
    return q.read(PAGE + 4, size)


def dsm_reads_and_writes_labels(q):
    assert dsm(q, 0, 0) == bytes(4) and dsm(q, 1, 0) == bytes(4)  # the root, and one without labels
    assert dsm(q, 2, 0) == b"\x71\0\0\0"
    assert dsm(q, 1, 4) == b"\1\0\0\0" and dsm(q, 9, 4) == b"\2\0\0\0" and dsm(q, 2, 7) == b"\1\0\0\0"
    assert struct.unpack("<III", dsm(q, 2, 4)) == (0, 128 << 10, 4064)
    text = bytes(range(251)) * 16
    assert dsm(q, 2, 6, struct.pack("<II", 0x1000, len(text)) + text) == bytes(4)
    assert dsm(q, 2, 5, struct.pack("<II", 0x1000, len(text))) == bytes(4) + text
    assert dsm(q, 2, 5, struct.pack("<II", (128 << 10) - 4, 4)) == bytes(8)
    for offset, length in ((128 << 10, 4), ((128 << 10) - 4, 8), (0, 4065), (0xffffffff, 1), (4, 0xffffffff)):
        assert dsm(q, 2, 5, struct.pack("<II", offset, length)) == b"\3\0\0\0", (offset, length)
        assert dsm(q, 2, 6, struct.pack("<II", offset, length)) == b"\3\0\0\0", (offset, length)
    # Labels are not in what the guest maps, and lie at the file's end.
    with open(FILE.name, "rb") as f:
        f.seek((128 << 20) - (128 << 10) + 0x1000)
        assert f.read(len(text)) == text
    q.outl(DSM, 0xfffff000)  # where nothing is: no answer, no harm


def labels_that_cannot_be_written_stay(q):
    """The back end is for reading alone: the function is not offered, and a guest that calls it is told so."""
    assert dsm(q, 1, 0) == b"\x31\0\0\0"
    text = dsm(q, 1, 5, struct.pack("<II", 0x2000, 16))
    assert dsm(q, 1, 6, struct.pack("<II", 0x2000, 16) + b"sixteen letters!") == b"\1\0\0\0"
    assert dsm(q, 1, 5, struct.pack("<II", 0x2000, 16)) == text and text[:4] == bytes(4)
    q.write(4 * GIB + 16, b"no")
    assert q.read(4 * GIB + 16, 2) == bytes(2)
    assert struct.unpack_from("<H", nfit_of(q), 40 + 56 + 44)[0] == 8  # the guest is told not to write


# ---- virtio-pmem ----

def virtio_pmem_flushes(q):
    t, ring = Modern(q), Split(q, 0x100000)
    t.start([VERSION_1], queues=[ring])
    start, size = struct.unpack("<QQ", t.config(0, 16))
    assert (start, size) == (4 * GIB, 128 * MIB)
    q.write(start + 12345, b"kept by a flush")

    def ask(request, room=4):
        q.write(0x300000, request)
        q.memset(0x301000, 8, 0xEE)
        ring.add([(0x300000, len(request), False), (0x301000, room, True)])
        ring.wait()
        return q.readl(0x301000)

    assert ask(bytes(4)) == 0
    with open(FILE.name, "rb") as f:
        f.seek(12345)
        assert f.read(15) == b"kept by a flush"
    assert ask(b"\1\0\0\0") == 0xffffffff and ask(b"\0") == 0xffffffff  # no such request; half of one
    for _ in range(40):
        ring.add([(0x300000, 4, False), (0x301000, 4, True)])
    t.reset()  # with some under way
    t.start([VERSION_1], queues=[ring])
    assert ask(bytes(4)) == 0 and not t.broken()
    info = q.qmp("query-memory-devices")[0]
    assert info == {"type": "virtio-pmem", "data": {"id": "v", "memaddr": 4 * GIB, "size": 128 * MIB,
                                                   "memdev": "/objects/m1"}}, info


# ---- virtio-mem ----

def large_blocks_are_aligned(q):
    """Blocks of 8 GiB lie at their multiples, wherever the range for memory devices begins."""
    t = Modern(q)
    assert struct.unpack("<QH6xQQ", t.config(0, 32)) == (8 * GIB, 0, 8 * GIB, 8 * GIB)


def virtio_mem_stays_while_its_memory_is_used(q):
    t, ring = Modern(q), Split(q, 0x100000)
    t.start([VERSION_1], queues=[ring])
    start = struct.unpack("<Q", t.config(16, 8))[0]

    def ask(kind, count):
        q.write(0x300000, struct.pack("<H6xQHxxxxxx", kind, start, count))
        ring.add([(0x300000, 24, False), (0x301000, 10, True)])
        ring.wait()
        assert q.readw(0x301000) == 0

    ask(0, 4)
    fails(q, "requested-size=0", "device_del", {"id": "v"})
    q.outl(0xae08, 1 << 5)  # the guest ejects it without being asked
    q.qmp("query-status")
    assert q.qmp("query-memory-devices")[0]["data"]["size"] == 8 * MIB
    q.write(start, b"still there")
    assert q.read(start, 11) == b"still there"
    ask(1, 4)
    q.qmp("device_del", {"id": "v"})
    q.outl(0xae08, 1 << 5)
    q.qmp("query-status")
    assert [e for e in q.events if e["event"] == "DEVICE_DELETED"] and q.qmp("query-memory-devices") == []


def virtio_mem_gives_and_takes_blocks(q):
    t, ring = Modern(q), Split(q, 0x100000)
    t.start([VERSION_1], queues=[ring])
    block, node, start, size, usable, plugged, requested = struct.unpack("<QH6xQQQQQ", t.config(0, 56))
    assert (block, node, start, size, usable, plugged, requested) == (
        2 * MIB, 0, 4 * GIB, 256 * MIB, 256 * MIB, 0, 64 * MIB)

    def ask(kind, first=0, count=1, request=None):
        """(answer, state)"""
        data = struct.pack("<H6xQHxxxxxx", kind, start + first * block, count) if request is None else request
        q.write(0x300000, data)
        q.memset(0x301000, 10, 0xEE)
        ring.add([(0x300000, len(data), False), (0x301000, 10, True)])
        ring.wait()
        return struct.unpack("<H6xH", q.read(0x301000, 10))

    plug, unplug, everything, state = range(4)
    ack, nack, _, error = range(4)
    assert ask(plug, 0, 16) == (ack, 0) and ask(plug, 20, 16) == (ack, 0) and ask(plug, 50)[0] == nack
    assert struct.unpack("<Q", t.config(40, 8))[0] == 64 * MIB
    assert ask(state, 0, 16) == (ack, 0) and ask(state, 16, 4) == (ack, 1) and ask(state, 10, 20) == (ack, 2)
    q.write(start + block, b"in the second block")
    assert q.read(start + block, 19) == b"in the second block"
    for words in ((plug, 0), (unplug, 16), (unplug, 10, 20), (plug, 128), (plug, 127, 2), (state, 0, 0), (9, 0),
                  (state, 0, 0xffff)):
        assert ask(*words)[0] == error, words
    assert ask(plug, request=b"short")[0] == error
    assert ask(state, request=struct.pack("<H6xQHxxxxxx", state, start + 5, 1))[0] == error
    assert ask(state, request=struct.pack("<H6xQHxxxxxx", state, 0, 1))[0] == error
    assert ask(unplug, 1)[0] == ack and q.read(start + block, 19) == bytes(19)
    fails(q, "has to be properly aligned", "qom-set", {"path": "v", "property": "requested-size", "value": 5})
    fails(q, "cannot exceed", "qom-set", {"path": "v", "property": "requested-size", "value": 512 * MIB})
    q.qmp("qom-set", {"path": "v", "property": "requested-size", "value": 128 * MIB})
    assert struct.unpack("<Q", t.config(48, 8))[0] == 128 * MIB and ask(plug, 50)[0] == ack
    assert q.qmp("qom-get", {"path": "v", "property": "size"}) == 64 * MIB
    assert ask(everything, request=struct.pack("<H22x", everything))[0] == ack
    assert q.qmp("query-memory-devices")[0]["data"]["size"] == 0
    assert ask(plug, 0, 4)[0] == ack
    q.qmp("system_reset")
    assert q.qmp("query-memory-size-summary")["plugged-memory"] == 0


FILE = tempfile.NamedTemporaryFile(prefix="backplane-labels-")
FILE.truncate(128 << 20)
NVDIMMS = ["-M", "q35,nvdimm=on", *SLOTS, *ram("m0", "64M"), "-device", "nvdimm,memdev=m0,id=n0", "-object",
           f"memory-backend-file,id=m1,size=128M,mem-path={FILE.name},share=on", "-device",
           "nvdimm,memdev=m1,label-size=128K,unarmed=on,id=n1,uuid=6ba7b810-9dad-11d1-80b4-00c04fd430c8"]

READ_ONLY = tempfile.NamedTemporaryFile(prefix="backplane-labels-")
READ_ONLY.truncate(64 << 20)


def read_only(share):
    return ["-M", "q35,nvdimm=on", *SLOTS, "-object", f"memory-backend-file,id=m,size=64M,mem-path={READ_ONLY.name},"
            f"readonly=on,share={share}", "-device", "nvdimm,memdev=m,label-size=128K,id=n"]


tap = Tap()
tap.case("sizes_are_checked", sizes_are_checked)
tap.case("modules_are_checked", modules_are_checked)
tap.machine_case("modules_are_found_and_told_of", [*SLOTS, *ram("m1", "256M"), *ram("m2", "64M"), "-device",
                 "pc-dimm,memdev=m1,id=a,slot=2", "-device", "pc-dimm,memdev=m2,id=b"], modules_are_found_and_told_of)
tap.machine_case("registers_follow_a_module_that_comes_and_goes", SLOTS, registers_follow_a_module_that_comes_and_goes)
tap.machine_case("deprecated_events_are_hidden", [*SLOTS, "-compat", "deprecated-output=hide"],
                 lambda q: registers_follow_a_module_that_comes_and_goes(q, hidden=True))
tap.machine_case("slots_are_filled_and_emptied", ["-M", "q35", *SLOTS], slots_are_filled_and_emptied)
tap.machine_case("without_acpi_nothing_comes", ["-M", "pc,acpi=off", *SLOTS], without_acpi_nothing_comes)
tap.machine_case("nfit_tells_of_nvdimms", NVDIMMS, nfit_tells_of_nvdimms)
tap.machine_case("dsm_reads_and_writes_labels", NVDIMMS, dsm_reads_and_writes_labels)
for share in ("on", "off"):
    tap.machine_case("labels_that_cannot_be_written_stay, share=" + share, read_only(share),
                     labels_that_cannot_be_written_stay)
tap.machine_case("virtio_pmem_flushes", ["-m", "128M,maxmem=2G", "-object",
                 f"memory-backend-file,id=m1,size=128M,mem-path={FILE.name},share=on", "-device",
                 "virtio-pmem-pci,memdev=m1,id=v,addr=5"], virtio_pmem_flushes)
tap.machine_case("virtio_mem_stays_while_its_memory_is_used", ["-m", "128M,maxmem=2G", *ram("m", "256M"), "-device",
                 "virtio-mem-pci,memdev=m,id=v,addr=5,requested-size=64M"], virtio_mem_stays_while_its_memory_is_used)
tap.machine_case("large_blocks_are_aligned", ["-m", "128M,maxmem=40G", *ram("m", "8G"), "-device",
                 "virtio-mem-pci,memdev=m,id=v,addr=5,block-size=8G"], large_blocks_are_aligned)
tap.machine_case("virtio_mem_gives_and_takes_blocks", ["-m", "128M,maxmem=2G", *ram("m", "256M"), "-device",
                 "virtio-mem-pci,memdev=m,id=v,addr=5,requested-size=64M"], virtio_mem_gives_and_takes_blocks)
tap.done()
