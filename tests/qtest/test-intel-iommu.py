#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Intel VT-d: registers, root, context and page tables that a driver lays out, faults, the invalidation queue; edu is
the device behind it."""
import struct
import subprocess
import tempfile

import fwcfg
from qtest import QTest, Tap, program
from virtio import INDIRECT, INDIRECT_DESC, VERSION_1, WRITE, Function, Modern, Split, until

REGS, MEMORY = 0xfed90000, 0xe0000000
CAP, ECAP, COMMAND, STATUS, ROOT, FAULTS, EVENT = 0x08, 0x10, 0x18, 0x1c, 0x20, 0x34, 0x38
HEAD, TAIL, QUEUE, DONE, DONE_EVENT, RECORD = 0x80, 0x88, 0x90, 0x9c, 0xa0, 0x220
TRANSLATE, SET_ROOT, QUEUE_ON = 1 << 31, 1 << 30, 1 << 26
ROOTS, CONTEXTS, TABLES, LIST = 0x100000, 0x101000, 0x110000, 0x180000
BUFFER = 0x40000  # of edu
MEMORY_END = 128 << 20
IOMMU = ["-M", "q35", "-device", "intel-iommu", "-device", "edu,addr=5,dma_mask=0xffffffffffff"]


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


class Iommu:
    def __init__(self, q, levels=3):
        self.q, self.levels = q, levels
        f = Function(q)
        f.write(0x10, MEMORY)
        f.write(4, 6, "w")
        self.next = TABLES + 0x1000
        q.memset(ROOTS, 0x2000, 0)
        q.memset(TABLES, 0x40000, 0)
        q.writeq(ROOTS, CONTEXTS | 1)
        self.context(TABLES | 1)

    def context(self, low, devfn=0x28):
        self.q.writeq(CONTEXTS + 16 * devfn, low)
        self.q.writeq(CONTEXTS + 16 * devfn + 8, self.levels - 2 | 7 << 8)

    def map(self, address, target, rights=3, level=1):
        table = TABLES
        for n in range(self.levels, level, -1):
            at = table + 8 * (address >> (12 + 9 * (n - 1)) & 511)
            if not self.q.readq(at) & 3:
                self.q.writeq(at, self.next | 3)
                self.next += 0x1000
            table = self.q.readq(at) & ~0xfff
        self.q.writeq(table + 8 * (address >> (12 + 9 * (level - 1)) & 511),
                      target | rights | (0x80 if level > 1 else 0))

    def on(self):
        self.q.writeq(REGS + ROOT, ROOTS)
        self.q.writel(REGS + COMMAND, SET_ROOT)
        self.q.writel(REGS + COMMAND, TRANSLATE)
        assert self.q.readl(REGS + STATUS) == TRANSLATE | SET_ROOT, hex(self.q.readl(REGS + STATUS))

    def dma(self, address, length, write):
        q = self.q
        q.writeq(MEMORY + 0x80, BUFFER if write else address)
        q.writeq(MEMORY + 0x88, address if write else BUFFER)
        q.writeq(MEMORY + 0x90, length)
        q.writeq(MEMORY + 0x98, 3 if write else 1)
        q.clock_step(200000000)
        assert not q.readq(MEMORY + 0x98) & 1

    def fault(self):
        """(requester, reason, a read, page), or None; it is cleared."""
        low, high = self.q.readq(REGS + RECORD), self.q.readq(REGS + RECORD + 8)
        if not high >> 63:
            assert not self.q.readl(REGS + FAULTS) & 2
            return None
        assert self.q.readl(REGS + FAULTS) & 2
        self.q.writel(REGS + RECORD + 12, 1 << 31)
        assert not self.q.readl(REGS + FAULTS) & 2
        return high & 0xffff, high >> 32 & 0xff, bool(high >> 62 & 1), low


def what_it_takes_is_checked():
    refused("for machine q35", "-M", "pc", "-device", "intel-iommu")
    refused("39 and 48", "-M", "q35", "-device", "intel-iommu,aw-bits=40")
    refused("auto, on, off", "-M", "q35", "-device", "intel-iommu,intremap=perhaps")
    refused("a machine has one", "-M", "q35", "-device", "intel-iommu", "-device", "intel-iommu")


def registers_tell_what_it_can(q):
    cap, ecap = q.readq(REGS + CAP), q.readq(REGS + ECAP)
    assert q.readl(REGS) == 0x10 and cap >> 8 & 31 == 2 and cap >> 16 & 63 == 38 and not cap & 0x80, hex(cap)
    assert cap >> 34 & 15 == 3 and (cap >> 24 & 0x3ff) * 16 == RECORD
    assert ecap & 2 and not ecap & 4 and ecap & 0x18 == 0x18 and ecap >> 20 & 15 == 15 and (ecap >> 8 & 0x3ff) * 16 == 0xf0
    dmar = table(q)
    assert dmar[36:38] == b"\x26\1" and dmar[48:] == struct.pack("<HHBBHQBBHBBBB", 0, 24, 1, 0, 0, REGS, 3, 8, 0, 0, 0xf0,
                                                                0x1f, 0)


def table(q):
    data = fwcfg.file(q, "etc/acpi/tables")
    at = data.index(b"DMAR")
    return data[at:at + struct.unpack_from("<I", data, at + 4)[0]]


def other_capabilities_are_told(q):
    cap, ecap = q.readq(REGS + CAP), q.readq(REGS + ECAP)
    assert cap >> 8 & 31 == 6 and cap >> 16 & 63 == 47 and cap & 0x80 and ecap & 0x1c == 4
    assert table(q)[36:38] == b"\x2f\0" and table(q)[64:] == struct.pack("<HHBBH", 2, 8, 1, 0, 0)
    four = Iommu(q, levels=4)
    four.map(0x7fff00001000, 0x20000)
    four.on()
    q.write(0x20010, b"four levels")
    four.dma(0x7fff00001010, 11, False)
    four.dma(0x7fff00001100, 11, True)
    assert q.read(0x20100, 11) == b"four levels" and four.fault() is None
    three = Iommu(q)
    three.map(0x1000, 0x20000)
    three.dma(0x1000, 8, True)
    assert three.fault() is None
    three.dma(1 << 39, 8, False)  # beyond what three levels have
    assert three.fault()[1] == 4


def before_it_is_on_addresses_are_those_of_memory(q):
    i = Iommu(q)
    q.write(0x20000, b"identity")
    i.dma(0x20000, 8, False)
    i.dma(0x21000, 8, True)
    assert q.read(0x21000, 8) == b"identity"


def pages_lead_to_memory(q):
    i = Iommu(q)
    i.map(0x1000, 0x25000)
    i.map(0x2000, 0x21000)
    i.map(0x40000000, 0, level=3)
    i.map(0x200000, 0x400000, level=2)
    i.on()
    data = bytes(range(256)) * 8
    q.write(0x25800, data[:0x800])
    q.write(0x21000, data[:0x100])
    i.dma(0x1f00, 0x200, False)  # over two pages that are not next to each other
    i.dma(0x200010, 0x200, True)
    assert q.read(0x400010, 0x200) == data[0x700:0x800] + data[:0x100]
    i.dma(0x40500000, 0x200, True)
    assert q.read(0x500000, 0x200) == q.read(0x400010, 0x200) and i.fault() is None
    # A table at the end of memory: nothing behind its last entry is looked at.
    q.writeq(q.readq(TABLES) & ~0xfff | 8 * 3, MEMORY_END - 4096 | 3)
    q.writeq(MEMORY_END - 8, 0x23000 | 3)
    i.dma(0x7ff000, 0x20, True)
    assert q.read(0x23000, 0x20) == data[0x700:0x720] and i.fault() is None


def faults_are_recorded(q):
    i = Iommu(q)
    i.map(0x1000, 0x20000, 1)
    i.map(0x2000, 0x21000, 2)
    i.map(0x3000, 0xff0000000000)
    i.on()
    q.write(0x20000, b"untouched")
    i.dma(0x1000, 8, True)
    assert i.fault() == (0x28, 5, False, 0x1000) and q.read(0x20000, 9) == b"untouched"
    i.dma(0x2008, 8, False)
    assert i.fault() == (0x28, 6, True, 0x2000)
    i.dma(0x5000, 8, False)
    assert i.fault() == (0x28, 6, True, 0x5000)
    i.dma(1 << 39, 8, False)
    assert i.fault() == (0x28, 4, True, 1 << 39)
    i.dma(0x3000, 8, False)  # mapped to where nothing is
    assert i.fault() is None
    i.dma(0x5000, 8, False)
    i.dma(0x6000, 8, False)
    assert q.readl(REGS + FAULTS) & 3 == 3  # there is one record
    assert i.fault()[3] == 0x5000
    q.writel(REGS + FAULTS, 1)
    for low, reason in ((0, 2), (TABLES | 0xd, 3), (TABLES | 5, 3)):
        i.context(low)
        i.dma(0x1000, 8, False)
        assert i.fault()[1] == reason, low
    i.context(TABLES | 3)  # its faults are not to be told
    i.dma(0x7000, 8, False)
    assert i.fault() is None
    i.context(0xfffffffff000 | 1)
    i.dma(0x1000, 8, False)
    assert i.fault()[1] == 7
    i.context(9)  # passed through
    i.dma(0x20000, 8, True)
    assert i.fault() is None and q.read(0x20000, 9) != b"untouched"
    q.writeq(ROOTS, 0)
    i.dma(0x1000, 8, False)
    assert i.fault()[1] == 1


def a_fault_sends_a_message(q):
    i = Iommu(q)
    q.writel(0xfee000f0, 0x1ff)
    q.writel(REGS + EVENT + 4, 0x45)
    q.writel(REGS + EVENT + 8, 0xfee00000)
    i.on()
    i.dma(0x1000, 8, False)
    assert q.readl(REGS + EVENT) == 3 << 30  # masked: it waits
    q.writel(REGS + EVENT, 0)
    assert q.readl(REGS + EVENT) == 0 and q.readl(0xfee00220) == 1 << 5
    i.fault()
    # A function's own messages are not translated.
    i.dma(0xfee00000, 4, True)
    assert i.fault() is None


def the_queue_is_worked_through(q):
    i = Iommu(q)
    q.memset(LIST, 4096, 0)
    q.writeq(REGS + QUEUE, LIST)
    q.writel(REGS + COMMAND, QUEUE_ON)
    for n, (low, high) in enumerate(((1, 0), (2, 0x1000), (1, 0), (4, 0), (5 | 0x20 | 0x1234 << 32, LIST + 0x800),
                                     (5 | 0x10, 0))):
        q.writeq(LIST + 16 * n, low)
        q.writeq(LIST + 16 * n + 8, high)
    q.writel(0xfee000f0, 0x1ff)
    q.writel(REGS + DONE_EVENT + 4, 0x46)
    q.writel(REGS + DONE_EVENT + 8, 0xfee00000)
    q.writel(REGS + DONE_EVENT, 0)
    q.writel(REGS + DONE_EVENT + 12, 0x12)
    assert [q.readl(REGS + DONE_EVENT + 4 * n) for n in range(5)] == [0, 0x46, 0xfee00000, 0x12, 0]
    assert [q.readl(REGS + EVENT + 4 * n) for n in range(5)] == [1 << 31, 0, 0, 0, 0]
    q.writel(REGS + DONE_EVENT + 12, 0)
    q.writeq(REGS + TAIL, 5 * 16)
    assert q.readl(REGS + DONE) == 0 and q.readl(LIST + 0x800) == 0x1234
    q.writeq(REGS + TAIL, 6 * 16)
    assert q.readq(REGS + HEAD) == 6 * 16 and q.readl(LIST + 0x800) == 0x1234
    assert q.readl(REGS + DONE) == 1 and q.readl(0xfee00220) == 1 << 6
    q.writel(REGS + DONE, 1)
    assert q.readl(REGS + DONE) == 0
    for kind in (15, 3):  # there is no such descriptor; nor the other, without device-iotlb=on
        q.writeq(LIST + 16 * 6, kind)
        q.writeq(REGS + TAIL, 7 * 16)
        assert q.readl(REGS + FAULTS) & 0x10 and q.readq(REGS + HEAD) == 6 * 16, kind
        q.writel(REGS + FAULTS, 0x10 if kind == 15 else 0)
    q.writeq(LIST + 16 * 6, 1)
    q.writel(REGS + FAULTS, 0x10)
    assert q.readq(REGS + HEAD) == 7 * 16
    q.writeq(REGS + TAIL, 0x7fff0)  # outside
    assert q.readl(REGS + FAULTS) & 0x10
    i.q.qmp("system_reset")
    assert q.readl(REGS + STATUS) == 0 and q.readq(REGS + HEAD) == 0 and q.readl(REGS + FAULTS) == 0


def commands_of_registers_are_done_at_once(q):
    """As wide as was asked for: everything, a domain, a device or page."""
    q.writeq(REGS + 0xf0, 0x123456789000)
    for width in (1, 2, 3):
        q.writeq(REGS + 0x28, 1 << 63 | width << 61 | 0x1234)
        assert q.readq(REGS + 0x28) == width << 61 | width << 59 | 0x1234
        q.writel(REGS + 0xf8, 0)
        q.writel(REGS + 0xfc, 1 << 31 | width << 28 | 7)
        assert q.readq(REGS + 0xf8) == width << 60 | width << 57 | 7 << 32 and q.readl(REGS + 0xf8) == 0
        assert q.readq(REGS + 0xf0) == 0x123456789000


def the_queue_may_write_to_its_own_registers(q):
    """A descriptor that waits has a word written, here to the queue's tail: it is carried out once all the same."""
    Iommu(q)
    q.memset(LIST, 4096, 0)
    q.writeq(REGS + QUEUE, LIST)
    q.writel(REGS + COMMAND, QUEUE_ON)
    for n, tail in ((0, 32), (1, 32)):
        q.writeq(LIST + 16 * n, 5 | 0x20 | tail << 32)
        q.writeq(LIST + 16 * n + 8, REGS + TAIL)
    q.writeq(REGS + TAIL, 16)
    assert q.readq(REGS + HEAD) == 32 and q.readq(REGS + TAIL) == 32


ENTRIES, INTERRUPTS, REMAP, SET_ENTRIES, COMPATIBLE = 0x190000, 0xb8, 1 << 25, 1 << 24, 1 << 23


class Remapper:
    """Interrupts of edu, by message or by its pin of the I/O APIC, with a table of 256 entries."""

    def __init__(self, q, bits=0, table=0):
        self.q, self.i = q, Iommu(q)
        f = self.i.function = Function(q)
        q.memset(ENTRIES, 4096, 0)
        q.writel(0xfee000f0, 0x1ff)
        self.msi = f.capability(5)
        q.writeq(REGS + INTERRUPTS, ENTRIES | table | 7)
        q.writel(REGS + COMMAND, SET_ENTRIES)
        q.writel(REGS + COMMAND, REMAP | bits)
        assert q.readl(REGS + STATUS) == REMAP | SET_ENTRIES | bits, hex(q.readl(REGS + STATUS))

    def entry(self, index, low, high=0):
        self.q.writeq(ENTRIES + 16 * index, low)
        self.q.writeq(ENTRIES + 16 * index + 8, high)

    def send(self, index, data=0, more=0x10):
        """A message that names the entry."""
        f = self.i.function
        f.write(self.msi + 4, 0xfee00000 | (index & 0x7fff) << 5 | (index >> 15) << 2 | more)
        wide = f.read(self.msi + 2, "w") & 0x80
        if wide:
            f.write(self.msi + 8, 0)
        f.write(self.msi + (12 if wide else 8), data, "w")
        f.write(self.msi + 2, f.read(self.msi + 2, "w") | 1, "w")
        self.q.writel(MEMORY + 0x60, 1)
        self.q.writel(MEMORY + 0x64, 1)

    def arrived(self, vector):
        return self.q.readl(0xfee00200 + 0x10 * (vector // 32)) >> vector % 32 & 1


def messages_go_where_their_entry_says(q):
    r = Remapper(q)
    r.entry(5, 0x47 << 16 | 1, 1 << 18 | 0x28)
    r.send(5)
    assert r.arrived(0x47) and r.i.fault() is None
    r.entry(6, 0x48 << 16 | 1)
    r.send(4, data=2, more=0x18)  # with a subhandle
    assert r.arrived(0x48)
    r.entry(6, 0x4e << 16 | 3 << 5 | 1)  # a delivery mode that is none
    r.send(6)
    assert not r.arrived(0x4e) and r.i.fault() is None
    r.entry(7, 0x49 << 16 | 1 << 40 | 1)  # another processor's
    r.send(7)
    assert not r.arrived(0x49) and r.i.fault() is None
    r.entry(7, 0x49 << 16 | 0xff << 40 | 1)
    r.send(7)
    assert r.arrived(0x49)
    for n, (who, kind) in enumerate(((0x2c, 1 << 16), (0x2e, 2 << 16), (0x2f, 3 << 16), (0, 1 << 19 | 0)), 1):
        r.entry(8, (0x50 + n) << 16 | 1, kind | who if kind >> 19 else 1 << 18 | kind | who)
        r.send(8)
        assert r.arrived(0x50 + n) and r.i.fault() is None, n
    # Memory accesses to the same place are messages, too.
    q.writel(0x40000, 0)
    r.entry(9, 0x60 << 16 | 1, 1 << 18 | 0x28)
    r.i.dma(0x40000, 4, False)
    r.i.dma(0xfee00130, 4, True)
    assert r.arrived(0x60)
    q.qmp("system_reset")
    assert q.readl(REGS + STATUS) == 0


def destinations_have_32_bits(q):
    r = Remapper(q, table=1 << 11)
    for n, (who, comes) in enumerate(((0, True), (0x100, False), (0xff, False), (0xffffffff, True))):
        r.entry(5, who << 32 | (0x47 + n) << 16 | 1)
        r.send(5)
        assert r.arrived(0x47 + n) == comes and r.i.fault() is None, hex(who)
    r.send(5, more=0)  # what names no entry does not pass then
    assert r.i.fault()[1] == 0x25


def destinations_have_8_bits_without(q):
    assert q.readq(REGS + ECAP) & 0x18 == 8
    r = Remapper(q, table=1 << 11)
    r.entry(5, 0xff << 40 | 0x47 << 16 | 1)
    r.send(5)
    assert r.arrived(0x47) and r.i.fault() is None


def messages_that_may_not_pass_are_told(q):
    r = Remapper(q)
    faulty = ((256, 0, 0, 0x21), (5, 0, 0, 0x22), (5, 0x47 << 16 | 1, 1 << 18 | 0x30, 0x26),
              (5, 0x47 << 16 | 1, 1 << 19 | 0x0102, 0x26), (5, 0x47 << 16 | 1, 3 << 18, 0x26),
              (5, 0x47 << 16 | 0x8001, 0, 0x24), (5, 0x47 << 16 | 1 << 24 | 1, 0, 0x24), (5, 0x47 << 16 | 1, 1 << 20, 0x24))
    for index, low, high, reason in faulty:
        if index < 256:
            r.entry(index, low, high)
        r.send(index)
        assert r.i.fault() == (0x28, reason, False, index << 48), (index, hex(low), hex(high))
    r.entry(5, 2)  # whose faults are not to be told
    r.send(5)
    assert r.i.fault() is None and not r.arrived(0x47)
    r.send(0, data=0x47, more=0)  # names no entry
    assert r.i.fault() == (0x28, 0x25, False, 0) and not r.arrived(0x47)
    q.writel(REGS + COMMAND, REMAP | COMPATIBLE)
    r.send(0, data=0x47, more=0)
    assert r.i.fault() is None and r.arrived(0x47)
    q.writeq(REGS + INTERRUPTS, 0xfed00007)  # where no memory is
    q.writel(REGS + COMMAND, REMAP | SET_ENTRIES)
    r.send(5)
    assert r.i.fault() == (0x28, 0x23, False, 5 << 48)
    q.writeq(REGS + INTERRUPTS, ENTRIES | 0x807)  # destinations of 32 bits: what names no entry never passes
    q.writel(REGS + COMMAND, REMAP | SET_ENTRIES | COMPATIBLE)
    r.send(0, data=0x48, more=0)
    assert r.i.fault()[1] == 0x25 and not r.arrived(0x48)
    r.entry(5, 0x49 << 16 | 1)
    r.send(5)
    assert r.arrived(0x49)
    q.writel(REGS + COMMAND, 0)
    r.send(0, data=0x4a, more=0)
    assert r.arrived(0x4a)


def pins_go_where_their_entry_says(q):
    r = Remapper(q)

    def pin(high, low):
        for at, value in ((0x10 + 2 * 21 + 1, high), (0x10 + 2 * 21, low)):
            q.writel(0xfec00000, at)
            q.writel(0xfec00010, value)

    r.entry(9, 0x58 << 16 | 0x11, 1 << 18 | 0xf0f8)
    pin(9 << 17 | 1 << 16, 1 << 15 | 0x21)
    q.writel(0xfec00000, 0x10 + 2 * 21 + 1)
    assert q.readl(0xfec00010) == 9 << 17 | 1 << 16
    q.writel(MEMORY + 0x60, 1)
    assert r.arrived(0x58) and q.readl(0xfee00180 + 0x10 * 2) >> 0x18 & 1 and not r.arrived(0x21)
    q.writel(MEMORY + 0x64, 1)
    q.writel(0xfec00040, 0x21)  # the pin's own vector ends it
    r.entry(9, 0x59 << 16 | 0x11, 1 << 18 | 0x28)
    q.writel(MEMORY + 0x60, 1)
    assert not r.arrived(0x59) and r.i.fault() == (0xf0f8, 0x26, False, 9 << 48)
    q.writel(MEMORY + 0x64, 1)
    q.writel(0xfec00040, 0x21)
    pin(0, 1 << 15 | 0x22)
    q.writel(MEMORY + 0x60, 1)
    assert not r.arrived(0x22) and r.i.fault() == (0xf0f8, 0x25, False, 0)


FIRST = ["-M", "q35", "-device", "edu,addr=5,dma_mask=0xffffffffffff", "-device", "pci-bridge,chassis_nr=1,id=b,addr=6",
         "-device", "edu,bus=b,addr=1", "-blockdev", "null-co,node-name=n,read-zeroes=on", "-device",
         "nvme,drive=n,serial=1,addr=7", "-device", "virtio-rng-pci,addr=8,iommu_platform=on", "-device", "intel-iommu"]
BEHIND, PLATFORM = MEMORY + 0x2000000, 33


def who_came_first_is_behind_it_too(q):
    i = Iommu(q)
    i.on()
    i.dma(0x5000, 8, False)
    assert i.fault()[0] == 0x28
    bridge = Function(q, 6)
    bridge.write(0x18, 0x010100)
    bridge.write(0x20, BEHIND >> 16 | BEHIND & 0xfff00000)
    bridge.write(4, 6, "w")
    for at, value in ((0x10, BEHIND), (4, 6)):
        q.outl(0xcf8, 0x80010800 | at)
        q.outl(0xcfc, value)
    for at, value in ((0x80, 0x6000), (0x88, BUFFER), (0x90, 8), (0x98, 1)):
        q.writeq(BEHIND + at, value)
    q.clock_step(200000000)
    fault = i.fault()
    assert fault[0] >> 8 == 1 and fault[1:] == (1, True, 0x6000), fault
    nvme, bar = Function(q, 7), MEMORY + 0x3000000
    nvme.write(0x10, bar)
    nvme.write(0x14, 0)
    nvme.write(4, 6, "w")
    q.writel(bar + 0x24, 0xf000f)
    q.writeq(bar + 0x28, 0x7000)
    q.writeq(bar + 0x30, 0x8000)
    q.writel(bar + 0x14, 4 << 20 | 6 << 16 | 1)
    until(lambda: q.readl(bar + 0x1c) & 1, "the controller is not ready")
    q.writel(bar + 0x1000, 1)
    until(lambda: q.readl(REGS + FAULTS) & 2, "nvme reached memory")
    assert i.fault() == (0x38, 2, True, 0x7000)
    t, ring = Modern(q, 8, MEMORY + 0x4000000), Split(q, 0x100000)
    t.start([VERSION_1, PLATFORM], queues=[ring])
    ring.add([(0x9000, 16, True)])
    t.until_broken()
    assert i.fault()[0] == 0x40


def a_virtio_card_reads_its_pictures_through_it(q):
    i = Iommu(q)
    for page in (0, 0x200000):
        i.map(page, page, level=2)
    i.map(0x400000, 0x800000, level=2)
    i.context(TABLES | 1, 0x40)
    t, ring = Modern(q, 8, MEMORY + 0x4000000), Split(q, 0x200000)
    t.start([VERSION_1, PLATFORM], queues=[ring])
    i.on()

    def ask(kind, fmt, *values):
        body = struct.pack("<I20x" + fmt, kind, *values)
        q.write(0x300000, body)
        ring.add([(0x300000, len(body), False), (0x301000, 24, True)])
        ring.wait()
        assert q.readl(0x301000) == 0x1100, kind

    pixels = bytes(range(256)) * 4
    q.write(0x800000, pixels)
    ask(0x101, "IIII", 5, 2, 16, 16)
    ask(0x106, "IIQII", 5, 1, 0x400000, 1024, 0)
    ask(0x105, "IIIIQII", 0, 0, 16, 16, 0, 5, 0)
    ask(0x103, "IIIIII", 0, 0, 16, 16, 0, 5)
    ask(0x104, "IIIIII", 0, 0, 16, 16, 5, 0)
    with tempfile.NamedTemporaryFile() as f:
        q.qmp("screendump", {"filename": f.name})
        shown = f.read().split(b"\n", 3)[3]
    assert shown[0::3] == pixels[2::4] and i.fault() is None


ATS = ["-M", "q35", "-device", "virtio-rng-pci,addr=8,iommu_platform=on,ats=on,id=r", "-device", "edu,addr=5"]
ECAM = 0xb0000000


class Keeper:
    """A source of random bytes that keeps translations: what it writes shows where an address leads. Its ring is
    in the same pages as before, by a large page."""

    def __init__(self, q, kind=5):
        self.q, self.i = q, Iommu(q)
        self.i.map(0, 0, level=2)  # rings, and memory that its addresses do not lead to
        self.i.context(TABLES | kind, 0x40)
        self.card = Modern(q, 8, MEMORY + 0x4000000)
        self.ring = Split(q, 0x140000)
        self.show()
        at = 0x100
        while q.readl(self.register(at)) & 0xffff != 0xf:
            at = q.readl(self.register(at)) >> 20
            assert at, "no ATS capability"
        self.at = self.register(at)
        self.tail = 0
        q.writeq(REGS + QUEUE, LIST)
        q.writel(REGS + COMMAND, QUEUE_ON)

    def show(self):
        """Registers beyond 255 are memory."""
        for at, value in ((0x64, 0), (0x60, ECAM | 1)):
            Function(self.q, 0).write(at, value)

    def register(self, offset):
        return ECAM + (0x40 << 12) + offset

    def enable(self, on=True):
        self.q.writew(self.at + 6, 0x8000 if on else 0)
        assert self.q.readw(self.at + 6) == (0x8000 if on else 0)

    def begin(self, *features):
        self.i.on()
        self.q.writel(REGS + COMMAND, QUEUE_ON | TRANSLATE)
        self.card.start([VERSION_1, PLATFORM, *features], queues=[self.ring])

    def leads_to(self, address, *pages):
        """Which of the pages gets the bytes."""
        for page in pages:
            self.q.memset(page, 64, 0)
        self.ring.add([(address, 64, True)])
        self.ring.wait()
        return [page for page in pages if any(self.q.read(page, 64))]

    def tell(self, *descriptors):
        """Descriptors, and one that waits for them."""
        for low, high in (*descriptors, (5 | 0x20 | 0xabcd << 32, LIST + 0x800)):
            self.q.writeq(LIST + self.tail, low)
            self.q.writeq(LIST + self.tail + 8, high)
            self.tail += 16
        self.q.writel(LIST + 0x800, 0)
        self.q.writeq(REGS + TAIL, self.tail)
        assert self.q.readl(LIST + 0x800) == 0xabcd and self.q.readq(REGS + HEAD) == self.tail

    def forget(self, address, who=0x40, large=0):
        self.tell((3 | who << 32, address | large))


A, B = 0x60000, 0x61000


def a_device_keeps_what_it_was_told(q):
    k = Keeper(q)
    assert q.readl(k.at) & 0xfffff == 0x1000f and q.readw(k.at + 4) == 0x20 and q.readw(k.at + 6) == 0
    k.i.map(0x400000, A)
    k.begin()
    assert k.leads_to(0x400000, A, B) == [A]
    k.i.map(0x400000, B)
    assert k.leads_to(0x400000, A, B) == [B]  # without ATS each access is looked up
    k.enable()
    assert k.leads_to(0x400000, A, B) == [B]
    k.i.map(0x400000, A)
    assert k.leads_to(0x400000, A, B) == [B]  # it is kept
    k.ring.add([(0xfee05000, 4, True)])  # a message, to no processor: it is not asked for
    k.ring.wait()
    k.tell((2 | 2 << 4, 0))  # the IOMMU's own are others
    assert k.leads_to(0x400000, A, B) == [B]
    k.forget(0x400000, who=0x48)
    k.forget(0x401000)
    assert k.leads_to(0x400000, A, B) == [B]  # somebody else's; another page
    k.forget(0x400000)
    assert k.leads_to(0x400000, A, B) == [A]
    k.i.map(0x400000, B)
    k.enable(False)
    k.enable()
    assert k.leads_to(0x400000, A, B) == [B] and k.i.fault() is None


def stretches_are_forgotten_whole(q):
    """A size of 2, 4, 8 pages is told by the lowest 0 of the page number; all ones is everything."""
    k = Keeper(q)
    pages = [0x400000 + 0x1000 * n for n in range(9)]
    k.begin()
    k.enable()
    for told, gone in ((0x400000 | 1, 2), (0x401000 | 1, 4), (0x403000 | 1, 8), (~0xfff & (1 << 64) - 1 | 1, 9),
                       ((1 << 63) - 0x1000 | 1, 9)):
        for page in pages:
            k.i.map(page, A)
        k.forget((1 << 64) - 0x1000, large=1)
        assert all(k.leads_to(page, A, B) == [A] for page in pages)
        for page in pages:
            k.i.map(page, B)
        k.tell((3 | 0x40 << 32, told))
        assert [k.leads_to(page, A, B) for page in pages] == [[B]] * gone + [[A]] * (9 - gone), hex(told)
    k.i.map(0x600000, 0x800000, level=2)
    assert k.leads_to(0x612000, 0x812000, 0xa12000) == [0x812000]
    k.i.map(0x600000, 0xa00000, level=2)
    k.forget(0x7ff000)  # any page of a large one
    assert k.leads_to(0x612000, 0x812000, 0xa12000) == [0xa12000]
    k.i.map(0x800000, B)
    assert k.leads_to(0x600000, 0xa00000) == [0xa00000] and k.leads_to(0x800000, 0xc00000, B) == [B]


def what_was_unmapped_is_not_reached(q):
    k = Keeper(q)
    k.i.map(0x400000, A)
    k.begin()
    k.enable()
    assert k.leads_to(0x400000, A) == [A]
    k.i.map(0x400000, A, rights=0)
    k.forget(0x400000)
    q.memset(A, 64, 0)
    k.ring.add([(0x400000, 64, True)])
    k.card.until_broken()
    assert not any(q.read(A, 64))
    assert k.i.fault() is None  # what is asked for and is not there is no fault
    k.i.map(0x400000, A, rights=1)
    k.card.start([VERSION_1, PLATFORM], queues=[k.ring])
    k.ring.add([(0x400000, 64, True)])
    k.card.until_broken()
    assert not any(q.read(A, 64))


def what_may_be_written_is_not_read(q):
    """Of what is kept, each access has to have its right."""
    k = Keeper(q)

    def indirect():
        """A descriptor that leads to a table in the page; what the table names is filled."""
        q.write(A, struct.pack("<QIHH", B, 64, WRITE, 0))
        q.memset(B, 64, 0)
        k.ring.put(k.ring.free, 0x400000, 16, INDIRECT)
        k.ring.offer(k.ring.free)
        k.card.notify(0)

    k.i.map(0x400000, A, rights=2)
    k.begin(INDIRECT_DESC)
    k.enable()
    assert k.leads_to(0x400000, A) == [A]
    indirect()
    k.card.until_broken()
    assert not any(q.read(B, 64)) and k.i.fault() is None
    k.i.map(0x400000, A)  # more may be done now, which nobody has to be told: it asks again
    k.begin(INDIRECT_DESC)
    indirect()
    k.ring.wait()
    assert any(q.read(B, 64))


def faults_are_told_in_words():
    with tempfile.NamedTemporaryFile(mode="r") as log, QTest([*IOMMU, "-d", "guest_errors", "-D", log.name]) as q:
        i = Iommu(q)
        i.on()
        i.dma(0x5008, 8, False)
        assert "function 00:05.0 may not reach 0x5008 (reason 6)" in log.read()


def contexts_say_who_may_ask(q):
    k = Keeper(q, 1)
    k.i.map(0x400000, A)
    k.begin()
    assert k.leads_to(0x400000, A) == [A]
    k.enable()
    k.ring.add([(0x400000, 64, True)])
    k.card.until_broken()
    high = q.readq(REGS + RECORD + 8)
    assert high >> 60 & 3 == 1 and k.i.fault()[:2] == (0x40, 13)
    k.i.context(TABLES | 9, 0x40)  # passed through: there is nothing to keep
    k.card.start([VERSION_1, PLATFORM], queues=[k.ring])
    assert k.leads_to(A, A) == [A] and k.i.fault() is None
    q.writel(REGS + COMMAND, QUEUE_ON)
    k.i.context(0, 0x40)
    assert k.leads_to(B, B) == [B]
    k.i.context(TABLES | 5, 0x40)
    k.begin()
    assert k.leads_to(0x400000, A) == [A]
    q.qmp("system_reset")
    k.show()
    assert not q.readw(k.at + 6)


def a_conventional_slot_has_no_ats(q):
    f = Function(q, 8)
    assert f.read(0, "w") == 0x1af4 and not f.capability(0x10)


tap = Tap()
tap.case("what_it_takes_is_checked", what_it_takes_is_checked)
tap.case("faults_are_told_in_words", faults_are_told_in_words)
tap.machine_case("registers_tell_what_it_can", IOMMU, registers_tell_what_it_can)
tap.machine_case("other_capabilities_are_told", ["-M", "q35", "-device",
                 "intel-iommu,aw-bits=48,caching-mode=on,device-iotlb=on,intremap=off", *IOMMU[4:]],
                 other_capabilities_are_told)
for case in (before_it_is_on_addresses_are_those_of_memory, pages_lead_to_memory, faults_are_recorded,
             a_fault_sends_a_message, the_queue_is_worked_through,
             commands_of_registers_are_done_at_once, the_queue_may_write_to_its_own_registers, messages_go_where_their_entry_says,
             messages_that_may_not_pass_are_told, pins_go_where_their_entry_says):
    tap.machine_case(case.__name__, IOMMU, case)
for case, first in ((a_device_keeps_what_it_was_told, True), (stretches_are_forgotten_whole, False),
                    (what_was_unmapped_is_not_reached, False), (what_may_be_written_is_not_read, False), (contexts_say_who_may_ask, False)):
    iommu = ["-device", "intel-iommu,device-iotlb=on"]
    tap.machine_case(case.__name__, (ATS[:2] + iommu + ATS[2:]) if first else ATS + iommu, case)
tap.machine_case("destinations_have_32_bits", IOMMU, destinations_have_32_bits)
tap.machine_case("destinations_have_8_bits_without", ["-M", "q35", "-device", "intel-iommu,eim=off", *IOMMU[4:]],
                 destinations_have_8_bits_without)
tap.machine_case("a_conventional_slot_has_no_ats", ["-M", "pc", *ATS[2:]], a_conventional_slot_has_no_ats)
tap.machine_case("who_came_first_is_behind_it_too", FIRST, who_came_first_is_behind_it_too)
tap.machine_case("a_virtio_card_reads_its_pictures_through_it", ["-M", "q35", "-vga", "none", *IOMMU[2:], "-device",
                 "virtio-gpu-pci,addr=8,iommu_platform=on"], a_virtio_card_reads_its_pictures_through_it)
tap.done()
