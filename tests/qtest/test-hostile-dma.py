#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices are told to move data to and from every register that the machine has, their own included, and to find their
descriptors there. Nothing crashes or hangs, and after a reset the device does its work."""
import struct
import tempfile

from ata import READ, WRITE, Ahci, Ide, config
from qtest import QTest, Tap

BUFFER, TABLE = 0x100000, 0x180000
FIXED = {"vga window": 0xA0000, "flash": 0xFFFFF000, "ioapic": 0xFEC00000, "hpet": 0xFED00000, "local apic": 0xFEE00000,
         "nowhere": 0x40000000, "edge of ram": (16 << 20) - 256, "end of the space": 0xFFFFFFFF_FFFFFF00,
         "rom": 0xC0000}
CARDS = ["-device", "edu,addr=10,dma_mask=0xffffffffffffffff", "-device", "i6300esb,addr=11", "-device",
         "pvpanic-pci,addr=12", "-device", "pci-testdev,addr=13", "-vga", "none", "-device", "VGA,addr=14",
         "-device", "ahci,addr=15,id=sata", "-no-shutdown", "-action", "panic=none"]


class Machine:
    """All cards with their BARs placed."""

    def __init__(self, q, board):
        self.q, self.board = q, board
        self.setup()

    def setup(self):
        self.at = 0xE0000000
        self.regions = dict(FIXED)
        if self.board == "q35":
            config(self.q, 0, 0x60, 0xB0000001)
            self.regions["ecam"] = 0xB0000000 + (0x15 << 15)
        self.places = {}
        for slot, name in ((0x10, "edu"), (0x11, "i6300esb"), (0x12, "pvpanic"), (0x13, "testdev"), (0x14, "vga"),
                           (0x15, "ahci")):
            self.places[name] = self.assign(slot << 3, name)

    def assign(self, function, name):
        """Places the memory BARs; gives the address of the first."""
        first = None
        for bar in range(0x10, 0x28, 4):
            config(self.q, function, bar, 0xFFFFFFFF)
            size = config(self.q, function, bar)
            if size & 1 or not size & ~15:
                config(self.q, function, bar, 0xC100 + 0x40 * (function >> 3) if size else 0)
                continue
            size = (1 << 32) - (size & ~15)
            self.at = (self.at + size - 1) // size * size
            config(self.q, function, bar, self.at)
            first = first or self.at
            self.regions["%s bar %x" % (name, bar)] = self.at
            self.at += size
        config(self.q, function, 4, 7)
        return first

    def answers(self, what):
        status = self.q.qmp("query-status")["status"]
        # The notice of a shutdown may be what was written to the panic device.
        assert status in ("running", "prelaunch", "paused", "shutdown"), (what, status)

    def again(self):
        """As after a reset."""
        self.q.qmp("system_reset")
        self.setup()


def disk(path):
    with open(path, "wb") as f:
        f.write(bytes(range(256)) * 256)
        f.truncate(1440 << 10)


def works(q, drive):
    pattern = bytes(range(256)) * 2
    assert drive.do(WRITE, 9, pattern) == 0
    tag = drive.start(READ, 9)
    assert drive.wait(tag) == 0 and drive.data(tag, 512) == pattern


def settle(q):
    """What was started has ended, as far as it ends."""
    for _ in range(20):
        q.clock_step(1000000)
        q.qmp("query-status")


def ahci(m):
    base = m.places["ahci"]
    port = base + 0x100
    for name, target in [*m.regions.items(), ("own port", port), ("own data base", base)]:
        for where in ("data in", "data out", "table", "list", "received"):
            m.again()
            q = m.q
            q.writel(base + 4, 0x80000000)
            place = {key: target if where == key else usual for key, usual in
                     (("table", TABLE), ("list", TABLE + 0x1000), ("received", TABLE + 0x2000))}
            data = target if where in ("data in", "data out") else BUFFER
            command = 0x35 if where == "data out" else 0x25
            fis = bytes([0x27, 0x80, command, 0, 9, 0, 0, 0x40, 0, 0, 0, 0, 8, 0, 0, 0])
            q.write(TABLE, fis.ljust(0x80, b"\0") + struct.pack("<QII", data, 0, 4095))
            q.write(TABLE + 0x1000, struct.pack("<IIQ", 0x10005 | (0x40 if where == "data out" else 0), 0, place["table"]))
            q.writel(port, place["list"] & 0xFFFFFFFF)
            q.writel(port + 4, place["list"] >> 32)
            q.writel(port + 8, place["received"] & 0xFFFFFFFF)
            q.writel(port + 12, place["received"] >> 32)
            q.writel(port + 0x18, 0x11)
            q.writel(port + 0x38, 1)
            settle(q)
            m.answers((name, where))
    m.again()
    drive = Ahci(m.q, function=0x15 << 3)
    works(m.q, drive)


def ide(m):
    q = m.q
    for name, target in m.regions.items():
        if target >> 32:
            continue  # it has 32 address bits
        for where in ("data in", "data out", "table"):
            m.again()
            drive = Ide(q)
            q.write(drive.TABLE, struct.pack("<II", target & ~1 if where != "table" else BUFFER, 0x80001000))
            q.outl(drive.BMDMA + 4, target if where == "table" else drive.TABLE)
            q.outb(0x1F6, 0x40)
            for byte in (1, 0):
                for n, value in enumerate((8, 9, 0, 0)):
                    q.outb(0x1F2 + n, 0 if byte else value)
            q.outb(0x1F7, 0x35 if where == "data out" else 0x25)
            q.outb(drive.BMDMA, 1 if where == "data out" else 9)
            settle(q)
            m.answers((name, where))
    m.again()
    works(q, Ide(q))


def edu(m):
    base, q = m.places["edu"], m.q
    for name, target in [*m.regions.items(), ("own dma registers", base + 0x80), ("own buffer", base + 0x40000)]:
        for way in (1, 3, 7):  # from memory, to memory, with an interrupt
            m.again()
            q.writeq(base + 0x80, target if way == 1 else 0x40000)
            q.writeq(base + 0x88, 0x40000 if way == 1 else target)
            q.writeq(base + 0x90, 256)
            q.writeq(base + 0x98, way)
            q.clock_step(200000000)
            m.answers((name, way))
            assert not q.readq(base + 0x98) & 1 or name.startswith(("edu", "own")), (name, way)
    m.again()
    q.write(BUFFER, b"twice over")
    for source, target, way in ((BUFFER, 0x40000, 1), (0x40000, BUFFER + 4096, 3)):
        for offset, value in ((0x80, source), (0x88, target), (0x90, 10), (0x98, way)):
            q.writeq(base + offset, value)
        q.clock_step(200000000)
    assert q.read(BUFFER + 4096, 10) == b"twice over"


def fw_cfg(m):
    q = m.q

    def go(descriptor):
        q.outl(0x514, int.from_bytes((descriptor >> 32).to_bytes(4, "big"), "little"))
        q.outl(0x518, int.from_bytes((descriptor & 0xFFFFFFFF).to_bytes(4, "big"), "little"))

    for name, target in m.regions.items():
        for control in (0x0000000A, 0x00190000 | 0xA, 4, 0x10):  # select and read; the directory; skip; write
            q.write(TABLE, struct.pack(">IIQ", control, 256, target))
            go(TABLE)
            m.answers((name, control))
        go(target)
        m.answers((name, "descriptor"))
    m.again()
    q.write(TABLE, struct.pack(">IIQ", 0xA, 4, BUFFER))  # select 0, read
    go(TABLE)
    assert q.read(BUFFER, 4) == b"QEMU" and q.readl(TABLE) == 0


def floppy(m):
    """The DMA controller has 24 address bits: it reaches the VGA's window and the holes below 1 MiB."""
    q = m.q

    def byte(value):
        for _ in range(1000):
            if q.inb(0x3F4) & 0xC0 == 0x80:
                break
            q.clock_step(1000000)
        q.outb(0x3F5, value)

    def transfer(target, mode, command):
        q.outb(0xD6, 0xC0)  # the cascade
        q.outb(0xD4, 0)
        q.outb(0x0A, 6)
        q.outb(0x0B, mode)
        q.outb(0x0C, 0)
        for value in (target & 0xFF, target >> 8 & 0xFF):
            q.outb(4, value)
        q.outb(0x81, target >> 16)
        q.outb(0x0C, 0)
        for value in (0xFF, 1):
            q.outb(5, value)
        q.outb(0x0A, 2)
        q.outb(0x3F2, 0x1C)
        q.outb(0x3F7, 0)
        q.clock_step(1000000000)
        for _ in range(4):  # what the reset left
            byte(8)
            q.inb(0x3F5), q.inb(0x3F5)
        for value in (3, 0xAF, 2):
            byte(value)
        for value in (command, 0, 0, 0, 1, 2, 18, 27, 0xFF):
            byte(value)
        for _ in range(200):
            q.clock_step(10000000)
            if q.inb(0x3F4) & 0xD0 == 0xD0:
                break
        return [q.inb(0x3F5) for _ in range(7)]

    for target in (0xA0000, 0xB8000, 0xC0000, 0xF0000, 0xFFFE00, 0xFFFF80, 0):
        for mode, command in ((0x46, 0xE6), (0x4A, 0xC5)):
            m.again()
            q.outb(0x3F2, 0)
            transfer(target, mode, command)
            m.answers((hex(target), command))
    m.again()
    q.write(BUFFER, b"round about" * 40)
    for target, mode, command in ((BUFFER, 0x4A, 0xC5), (BUFFER + 4096, 0x46, 0xE6)):
        q.outb(0x3F2, 0)
        result = transfer(target, mode, command)
        assert result[0] & 0xC0 == 0, result
    assert q.read(BUFFER + 4096, 440) == b"round about" * 40


def hostile(board, function, *args):
    def run():
        with tempfile.NamedTemporaryFile() as file:
            disk(file.name)
            with QTest(["-M", board, "-m", "16", *CARDS, *(arg.replace("IMAGE", file.name) for arg in args)]) as q:
                function(Machine(q, board))
    return run


tap = Tap()
DRIVE = ("-drive", "file=IMAGE,format=raw,if=none,id=d,file.locking=off")
for board in ("pc", "q35"):
    tap.case("ahci_of_%s_is_pointed_at_every_register" % board,
             hostile(board, ahci, *DRIVE, "-device", "ide-hd,drive=d,bus=sata.0"))
    tap.case("edu_of_%s_is_pointed_at_every_register" % board, hostile(board, edu))
    tap.case("fw_cfg_of_%s_is_pointed_at_every_register" % board, hostile(board, fw_cfg))
tap.case("ide_is_pointed_at_every_register", hostile("pc", ide, *DRIVE, "-device", "ide-hd,drive=d,bus=ide.0"))
tap.case("floppy_is_pointed_at_what_it_reaches", hostile("pc", floppy, "-drive", "file=IMAGE,format=raw,if=floppy"))
tap.done()
