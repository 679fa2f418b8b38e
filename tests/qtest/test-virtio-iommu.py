#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtio IOMMU: domains, mappings and faults as a driver asks for them, with edu as the endpoint behind it; VIOT."""
import os
import struct
import subprocess

import fwcfg
from qtest import QTest, Tap, program
from virtio import Function, Modern, Split, VERSION_1

MEMORY, BUFFER = 0xe4000000, 0x40000
REQUEST, ANSWER, EVENT = 0x300000, 0x301000, 0x302000
ATTACH, DETACH, MAP, UNMAP, PROBE = range(1, 6)
OK, IOERR, UNSUPP, DEVERR, INVAL, RANGE, NOENT = range(7)
EDU = 6 << 3
IOMMU = ["-M", "q35", "-device", "virtio-iommu-pci,addr=5", "-device", "edu,addr=6,dma_mask=0xffffffffffff"]


def refused(words, *args):
    run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", *args], timeout=60,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == 1 and words in run.stderr, (args, run.returncode, run.stderr)


class Iommu:
    def __init__(self, q):
        self.q, self.t = q, Modern(q)
        f = Function(q, 6)
        f.write(0x10, MEMORY)
        f.write(4, 6, "w")
        self.requests, self.events = Split(q, 0x100000, 0), Split(q, 0x120000, 1)
        self.t.start([VERSION_1, 0, 1, 2, 4, 6], queues=[self.requests, self.events])
        self.events.add([(EVENT, 24, True)])

    def ask(self, data, room=4):
        self.q.write(REQUEST, data)
        self.q.memset(ANSWER, room, 0xEE)
        self.requests.add([(REQUEST, len(data), False), (ANSWER, room, True)])
        self.requests.wait()
        return self.q.read(ANSWER, room)

    def attach(self, domain, endpoint=EDU, flags=0):
        return self.ask(struct.pack("<IIIII", ATTACH, domain, endpoint, flags, 0))[0]

    def detach(self, domain, endpoint=EDU):
        return self.ask(struct.pack("<IIIQ", DETACH, domain, endpoint, 0))[0]

    def map(self, domain, first, last, target, flags=3):
        return self.ask(struct.pack("<IIQQQI", MAP, domain, first, last, target, flags))[0]

    def unmap(self, domain, first, last):
        return self.ask(struct.pack("<IIQQI", UNMAP, domain, first, last, 0))[0]

    def dma(self, address, length, write):
        q = self.q
        q.writeq(MEMORY + 0x80, BUFFER if write else address)
        q.writeq(MEMORY + 0x88, address if write else BUFFER)
        q.writeq(MEMORY + 0x90, length)
        q.writeq(MEMORY + 0x98, 3 if write else 1)
        q.clock_step(200000000)

    def moves(self, source, destination, text=b"through the domain"):
        """Does it get from one address of the device to another?"""
        self.dma(source, len(text), False)
        self.dma(destination, len(text), True)


def what_it_takes_is_checked():
    refused("for machine q35", "-M", "pc", "-device", "virtio-iommu-pci")
    refused("accepted are 4k", "-M", "q35", "-device", "virtio-iommu-pci,granule=5k")
    refused("32..64", "-M", "q35", "-device", "virtio-iommu-pci,aw-bits=31")
    refused("one IOMMU", "-M", "q35", "-device", "intel-iommu", "-device", "virtio-iommu-pci")


def configuration(q):
    t = Modern(q)
    return struct.unpack("<QQQIIIB", t.config(0, 37))


def configuration_and_table_tell_of_it(q):
    assert configuration(q) == (~0xfff & (1 << 64) - 1, 0, (1 << 39) - 1, 0, 0xffffffff, 512, 1)
    data = fwcfg.file(q, "etc/acpi/tables")
    at = data.index(b"VIOT")
    viot = data[at:at + struct.unpack_from("<I", data, at + 4)[0]]
    assert struct.unpack_from("<HH", viot, 36) == (3, 48) and len(viot) == 112
    assert struct.unpack_from("<BBHHHQ", viot, 48) == (3, 0, 16, 0, 0x28, 0)
    for n, (first, last) in enumerate(((0, 0x27), (0x29, 0xffff))):
        assert struct.unpack_from("<BBHIHHHHH", viot, 64 + 24 * n) == (1, 0, 24, first, 0, 0, first, last, 48)


def granule_and_width_are_chosen(q):
    found = configuration(q)
    assert found[0] == ~0xffff & (1 << 64) - 1 and found[2] == (1 << 64) - 1 and found[6] == 0
    i = Iommu(q)
    assert i.attach(1) == OK
    assert i.map(1, 0x1000, 0x1fff, 0x20000) == RANGE and i.map(1, 0x10000, 0x1ffff, 0x20000) == OK
    assert i.map(1, 0xffffffffffff0000, 0xffffffffffffffff, 0x20000) == OK


def granules_are_those_asked_for():
    def check(q, page):
        assert configuration(q)[0] == ~(page - 1) & (1 << 64) - 1
        i = Iommu(q)
        assert i.attach(1) == OK
        q.write(0x80000 + page, b"through the domain")
        assert i.map(1, 0x10000, 0x10000 + page - 1, 0x80000 + page) == OK
        i.moves(0x10000, 0x10080)
        assert q.read(0x80080 + page, 18) == b"through the domain"
        if page > 4096:
            assert i.map(1, 0x40000, 0x40fff, 0) == RANGE and i.map(1, 0x40000, 0x40000 + page - 1, 0x1000) == RANGE

    for name, page in (("4k", 4096), ("8k", 8192), ("16k", 16384), ("64k", 65536), ("host", os.sysconf("SC_PAGESIZE"))):
        with QTest(["-M", "q35", "-device", "virtio-iommu-pci,addr=5,granule=" + name, *IOMMU[4:]]) as q:
            check(q, page)


def without_a_domain_it_is_bypassed_or_not(q):
    i = Iommu(q)
    q.write(0x20000, b"through the domain")
    i.moves(0x20000, 0x21000)
    assert q.read(0x21000, 18) == b"through the domain"
    q.writeb(i.t.device + 36, 0)
    i.moves(0x20000, 0x22000)
    assert q.read(0x22000, 18) == bytes(18)
    i.events.wait()
    assert struct.unpack("<B3xIIIQ", q.read(EVENT, 24))[0] == 1
    q.writeb(i.t.device + 36, 7)
    assert q.readb(i.t.device + 36) == 0
    assert i.attach(9, flags=1) == OK  # a domain that passes all
    i.moves(0x20000, 0x23000)
    assert q.read(0x23000, 18) == b"through the domain" and i.attach(9, endpoint=8) == INVAL
    assert i.map(9, 0, 0xfff, 0) == INVAL


def mappings_lead_to_memory(q):
    i = Iommu(q)
    q.write(0x25000, b"through the domain")
    assert i.map(5, 0x1000, 0x1fff, 0x25000) == NOENT
    assert i.attach(5) == OK and i.attach(5) == OK
    assert i.map(5, 0x1000, 0x1fff, 0x25000, 1) == OK and i.map(5, 0x2000, 0x5fff, 0x30000) == OK
    i.moves(0x1000, 0x5ff8)
    assert q.read(0x33ff8, 8) == b"through " and q.read(0x34000, 10) == bytes(10)  # its end is not mapped
    i.events.wait()
    assert struct.unpack("<B3xIIIQ", q.read(EVENT, 24)) == (2, 0x102, EDU, 0, 0x6000)
    i.dma(0x1000, 4, True)  # for reading only
    assert q.read(0x25000, 7) == b"through"
    for words in ((5, 0x5000, 0x8fff, 0), (5, 0x3000, 0x3fff, 0), (5, 0, 0xffff, 0), (5, 0x9000, 0x8fff, 0),
                  (5, 0x9000, 0x9fff, 0, 8)):
        assert i.map(*words) == INVAL, words
    assert i.map(5, 0x9800, 0x9fff, 0) == RANGE and i.map(5, 1 << 39, (1 << 39) + 0xfff, 0) == RANGE
    assert i.unmap(5, 0x3000, 0x3fff) == RANGE and i.unmap(5, 0x1000, 0x4fff) == RANGE
    assert i.unmap(5, 0x7000, 0x7fff) == OK and i.unmap(6, 0, 0xfff) == NOENT
    assert i.unmap(5, 0, 0xffff) == OK and i.map(5, 0x3000, 0x3fff, 0x25000) == OK
    i.moves(0x3000, 0x3100)
    assert q.read(0x25100, 18) == b"through the domain"
    assert i.attach(6) == OK  # it moves, and the old domain goes with its last endpoint
    assert i.map(5, 0x8000, 0x8fff, 0) == NOENT and i.map(6, 0x3000, 0x3fff, 0x26000) == OK
    i.moves(0x3000, 0x3100)
    assert i.detach(5) == INVAL and i.detach(6, 1 << 16) == NOENT and i.detach(6) == OK
    assert i.map(6, 0x8000, 0x8fff, 0) == NOENT
    assert i.attach(7, 1 << 16) == NOENT and i.attach(7, flags=2) == INVAL


def many_mappings_are_found_and_gone(q):
    i = Iommu(q)
    assert i.attach(1) == OK
    order = [n * 37 % 101 for n in range(101)]
    for n in order:
        assert i.map(1, n << 13, (n << 13) + 0xfff, 0x400000 + (n << 12)) == OK
    for n in (0, 50, 100):
        q.write(0x400000 + (n << 12), b"%03d" % n)
        i.dma(n << 13, 3, False)
        i.dma((n << 13) + 0x800, 3, True)
        assert q.read(0x400800 + (n << 12), 3) == b"%03d" % n
    assert i.unmap(1, 40 << 13, (60 << 13) + 0xfff) == OK
    assert i.map(1, 40 << 13, (60 << 13) + 0xfff, 0) == OK and i.map(1, 39 << 13, (39 << 13) + 0xfff, 0) == INVAL
    i.t.reset()
    i.t.start([VERSION_1, 0, 1, 2, 4, 6], queues=[i.requests, i.events])
    assert i.map(1, 0, 0xfff, 0) == NOENT


def probes_and_nonsense(q):
    i = Iommu(q)
    answer = i.ask(struct.pack("<II", PROBE, EDU) + bytes(64), 516)
    assert answer[512] == OK and struct.unpack_from("<HHBxxxQQ", answer) == (1, 20, 1, 0xfee00000, 0xfeefffff)
    assert answer[24:512] == bytes(488)
    assert i.ask(struct.pack("<II", PROBE, EDU) + bytes(64), 100)[0] == INVAL
    assert i.ask(struct.pack("<II", PROBE, 1 << 20) + bytes(64), 516)[512] == NOENT
    assert i.ask(bytes(20))[0] == UNSUPP and i.ask(b"\x06" + bytes(40))[0] == UNSUPP
    assert i.ask(b"\x03\0\0")[0] == UNSUPP and i.ask(b"\x03" + bytes(20))[0] == INVAL
    assert not i.t.broken()


def what_came_first_is_behind_it_too(q):
    i = Iommu(q)
    q.writeb(i.t.device + 36, 0)
    i.moves(0x20000, 0x22000)
    i.events.wait()
    assert struct.unpack("<B3xIIIQ", q.read(EVENT, 24))[0] == 1


def it_is_there_from_the_start(q):
    try:
        q.qmp("device_add", {"driver": "virtio-iommu-pci", "bus": "rp"})
    except AssertionError as error:
        assert "from the start, in a slot of bus pcie.0" in str(error), error
    else:
        raise AssertionError("an IOMMU came while the machine ran")


tap = Tap()
tap.case("what_it_takes_is_checked", what_it_takes_is_checked)
tap.machine_case("granule_and_width_are_chosen", ["-M", "q35", "-device",
                 "virtio-iommu-pci,addr=5,granule=64k,aw-bits=64,boot-bypass=off", *IOMMU[4:]],
                 granule_and_width_are_chosen)
tap.case("granules_are_those_asked_for", granules_are_those_asked_for)
for case in (configuration_and_table_tell_of_it, without_a_domain_it_is_bypassed_or_not, mappings_lead_to_memory,
             many_mappings_are_found_and_gone, probes_and_nonsense):
    tap.machine_case(case.__name__, IOMMU, case)
tap.machine_case("what_came_first_is_behind_it_too", [*IOMMU[:2], *IOMMU[4:], *IOMMU[2:4]],
                 what_came_first_is_behind_it_too)
tap.machine_case("it_is_there_from_the_start", ["-M", "q35", "-device", "pcie-root-port,id=rp,chassis=1"],
                 it_is_there_from_the_start)
tap.done()
