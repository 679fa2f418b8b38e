#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines of many parts: 288 processors, a terabyte, 200 disks, 100 that are plugged while it runs. They start, what is there
is seen where a guest looks, and what each costs is bounded."""
import os
import re
import struct
import subprocess
import time

import fwcfg
from qtest import QTest, Tap, program
from virtio import Function, until

DISKS, PLUGGED = 200, 100
MOST = 0.002  # seconds of processor time for each device; measured: a tenth of that


def cpu(q):
    with open(f"/proc/{q.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disks(count):
    for n in range(count):
        yield from ("-blockdev", f"driver=null-co,node-name=n{n},size={(n + 1) << 20},read-zeroes=on", "-device",
                    f"virtio-blk-pci,drive=n{n},id=d{n},multifunction=on,addr={4 + n // 8:x}.{n % 8}")


def function(q, number):
    return Function(q, 4 + number // 8, number % 8)


def started(count):
    with QTest(["-M", "pc", "-nodefaults", *disks(count)]) as q:
        spent = cpu(q)
        if count:
            assert all(function(q, n).read(0) == 0x10011AF4 for n in range(count)), "a disk is missing"
            assert len(q.qmp("query-block")) == count
        return spent


def two_hundred_disks():
    none, all_ = min(started(0) for _ in range(3)), min(started(DISKS) for _ in range(3))
    each = (all_ - none) / DISKS
    print(f"# {each * 1000:.3f} ms of processor time for each disk", flush=True)
    assert each < MOST, each


def a_hundred_are_plugged(q):
    for n in range(PLUGGED):
        q.qmp("blockdev-add", {"driver": "null-co", "node-name": f"p{n}", "size": 1 << 20, "read-zeroes": True})
    before, begin = cpu(q), time.monotonic()
    for n in range(PLUGGED):
        q.qmp("device_add", {"driver": "virtio-blk-pci", "drive": f"p{n}", "id": f"d{n}", "multifunction": True,
                             "addr": f"{4 + n // 8:x}.{7 - n % 8}"})
    print(f"# {(cpu(q) - before) / PLUGGED * 1000:.2f} ms of processor time for each, "
          f"{(time.monotonic() - begin) / PLUGGED * 1000:.2f} ms", flush=True)
    # Functions beside function 0 come with it: Linux and the standard look at 0 first.
    for n in range(PLUGGED - PLUGGED % 8):
        assert Function(q, 4 + n // 8, 7 - n % 8).read(0) == 0x10011AF4, n


def units_are_plugged_and_unplugged(q):
    """A bus where nobody is asked: a hundred disks come and go, three times."""
    for n in range(PLUGGED):
        q.qmp("blockdev-add", {"driver": "null-co", "node-name": f"p{n}", "size": 1 << 20, "read-zeroes": True})
    for _ in range(3):
        for n in range(PLUGGED):
            q.qmp("device_add", {"driver": "scsi-hd", "drive": f"p{n}", "id": f"d{n}", "scsi-id": n, "bus": "s.0"})
        for n in range(PLUGGED):
            q.qmp("device_del", {"id": f"d{n}"})
        until(lambda: not [x for x in q.qmp("qom-list", {"path": "/machine/peripheral"}) if x["name"][0] == "d"])


def processors_are_there(q):
    cpus = q.qmp("query-cpus-fast")
    assert {c["cpu-index"] for c in cpus} == set(range(255))
    assert struct.unpack("<H", fwcfg.item(q, 5, 2)) == (255,)


# Beyond 254, where x2APIC and an IOMMU are needed.
MANY, IOMMU = 288, ["-device", "intel-iommu,intremap=on,eim=on"]
NODES = ["-m", "128M", *(word for n in range(2) for word in (
    "-object", f"memory-backend-ram,id=m{n},size=64M", "-numa", f"node,memdev=m{n},cpus={n * 144}-{n * 144 + 143}"))]


def tables(q, name):
    data = fwcfg.file(q, "etc/acpi/tables")
    return [data[at:at + struct.unpack_from("<I", data, at + 4)[0]] for at in
            (m.start() for m in re.finditer(re.escape(name), data)) if at % 16 == 0]


def entries(table, at):
    while at < len(table):
        yield table[at:at + table[at + 1]]
        at += table[at + 1]
    assert at == len(table), (at, len(table))


def processors_beyond_254_are_told(q):
    assert {c["cpu-index"] for c in q.qmp("query-cpus-fast")} == set(range(MANY))
    assert struct.unpack("<H", fwcfg.item(q, 5, 2)) == struct.unpack("<H", fwcfg.item(q, 15, 2)) == (MANY,)
    q.outb(0x70, 0x5F)
    assert q.inb(0x71) == 0  # has no room for it
    found = list(entries(tables(q, b"APIC")[0], 44))
    small = [(e[2], e[3], struct.unpack_from("<I", e, 4)[0]) for e in found if e[0] == 0]
    large = [struct.unpack_from("<HIII", e, 2) for e in found if e[0] == 9]
    assert small == [(n, n, 1) for n in range(255)], small
    assert large == [(0, n, 1, n) for n in range(255, MANY)], large
    assert [e for e in found if e[0] == 10] == [struct.pack("<BBHIBBH", 10, 12, 0, 0xFFFFFFFF, 1, 0, 0)]
    found = list(entries(tables(q, b"SRAT")[0], 48))
    assert [(e[2], e[3]) for e in found if e[0] == 0] == [(n // 144, n) for n in range(255)]
    assert [struct.unpack_from("<HIIIII", e, 2) for e in found if e[0] == 2] == \
        [(0, 1, n, 1, 0, 0) for n in range(255, MANY)]
    for number in (254, 255, 256, MANY - 1):
        q.outl(0xAF00, number)
        q.outb(0xAF05, 3)
        assert (q.inb(0xAF04), q.inl(0xAF08)) == (1, number), number
    q.outl(0xAF00, MANY)
    assert q.inb(0xAF04) == 0
    assert "id 287, base 0xfee00800" in q.qmp("human-monitor-command", {"command-line": "info lapic 287"})
    with open(f"/proc/{q.process.pid}/status", encoding="ascii") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    assert resident < 1 << 19, resident


def the_last_one_may_come_later(q):
    def state():
        q.outl(0xAF00, MANY - 1)
        return q.inb(0xAF04)

    assert state() == 0
    q.qmp("device_add", {"driver": "qemu64-x86_64-cpu", "id": "c", "socket-id": 0, "core-id": MANY - 1, "thread-id": 0})
    q.outb(0xAF05, 0)
    assert q.inl(0xAF08) == MANY - 1 and q.inb(0xAF04) == 3  # it is there, and came


def what_ids_beyond_254_need_is_said():
    def refused(words, *args):
        run = subprocess.run([program(), "-display", "none", "-nodefaults", "-S", *args], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert run.returncode == 1 and words in run.stderr, (args, run)

    for smp in ("288", "1,maxcpus=288", "255,sockets=85,cores=3"):
        refused("intel-iommu,intremap=on,eim=on", "-M", "q35", "-smp", smp)
    refused("intel-iommu,intremap=on,eim=on", "-M", "q35", "-smp", "256", "-device", "intel-iommu,eim=off")
    refused("intel-iommu,intremap=on,eim=on", "-M", "q35", "-smp", "256", "-device", "intel-iommu,intremap=off")
    refused("use intremap=on", "-M", "q35", "-device", "intel-iommu,intremap=off,eim=on")
    refused("x2apic=on", "-M", "q35", "-smp", "256", "-cpu", "qemu64,x2apic=off", "-device", "intel-iommu")
    refused("at most 288", "-M", "q35", "-smp", "289", "-device", "intel-iommu")
    refused("at most 255", "-M", "pc-q35-2.7", "-smp", "256", "-device", "intel-iommu")
    refused("at most 255", "-M", "pc", "-smp", "256")
    refused("take machine q35", "-M", "pc", "-smp", "255,sockets=85,cores=3")


def memory_is_there(q):
    for at in (0x100000, 0xBFFFF000, 1 << 32, 1 << 39, (1 << 40) - 4096):
        q.writeq(at, at ^ 0x5A5A)
    for at in (0x100000, 1 << 32, 1 << 39, (1 << 40) - 4096):
        assert q.readq(at) == at ^ 0x5A5A, hex(at)
    assert q.qmp("query-memory-size-summary")["base-memory"] == 1 << 40
    with open(f"/proc/{q.process.pid}/status", encoding="ascii") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    assert resident < 1 << 20, resident  # KiB: what is not written takes nothing


if __name__ == "__main__":
    tap = Tap()
    tap.case("200 disks are seen", two_hundred_disks)
    tap.machine_case("100 disks are plugged", ["-M", "pc", "-nodefaults"], a_hundred_are_plugged)
    tap.machine_case("100 units come and go", ["-M", "pc", "-nodefaults", "-device", "virtio-scsi-pci,id=s"],
                     units_are_plugged_and_unplugged)
    tap.machine_case("255 processors are there", ["-M", "q35", "-nodefaults", "-smp", "255"], processors_are_there)
    tap.machine_case("288 processors are told", ["-M", "q35", "-nodefaults", "-smp", str(MANY), *IOMMU, *NODES],
                     processors_beyond_254_are_told)
    tap.machine_case("the last one of 288 may come later", ["-M", "q35", "-nodefaults", "-smp", f"1,maxcpus={MANY}", *IOMMU],
                     the_last_one_may_come_later)
    tap.case("what ids beyond 254 need is said", what_ids_beyond_254_need_is_said)
    tap.machine_case("a terabyte is there", ["-M", "q35", "-nodefaults", "-m", "1T"], memory_is_there)
    tap.done()
