#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices are told to move data to and from every register that the machine has, their own included, and to find their
descriptors there. Nothing crashes or hangs, and after a reset the device does its work."""
import struct
import tempfile

from ata import READ, WRITE, Ahci, Ide, config
from qtest import QTest, Tap
from virtio import Modern, Split, VERSION_1, until

BUFFER, TABLE, RINGS = 0x100000, 0x180000, 0x200000
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


def targets(m, base):
    """With the registers of a card that is placed by its own case."""
    return [*m.regions.items(), ("own registers", base)]


def virtio_blk(m):
    """Rings, indirect tables, headers, data and status bytes lie in registers."""
    place = 0xD0000000
    for name, target in targets(m, place):
        for where in ("descriptors", "available", "used", "header", "data in", "data out", "status", "indirect"):
            m.again()
            q, transport = m.q, Modern(m.q, 0x16, place)
            ring = Split(q, RINGS, size=8)
            transport.start([VERSION_1, 28], ready=False, queues=[ring])
            at = {"descriptors": ring.desc, "available": ring.avail, "used": ring.used}
            if where in at:
                at[where] = target & ~15
                transport.enable(0, 8, *at.values())
            transport.set_status(15)
            out = where == "data out"
            q.write(BUFFER, struct.pack("<IIQ", 1 if out else 0, 0, 9))
            parts = [(target if where == "header" else BUFFER, 16, False),
                     (target if where.startswith("data") else BUFFER + 4096, 512, not out),
                     (target if where == "status" else BUFFER + 64, 1, True)]
            ring.add(parts)
            if where == "indirect":
                ring.put(0, target & ~15, 48, 4)
                transport.notify(0)
            settle(q)
            m.answers((name, where))
    m.again()
    transport = Modern(m.q, 0x16, place)
    ring = Split(m.q, RINGS, size=8)
    transport.start([VERSION_1], queues=[ring])
    m.q.write(BUFFER, struct.pack("<IIQ", 0, 0, 0))
    m.q.writeb(BUFFER + 64, 0xEE)
    ring.add([(BUFFER, 16, False), (BUFFER + 4096, 512, True), (BUFFER + 64, 1, True)])
    ring.wait()
    assert m.q.readb(BUFFER + 64) == 0 and m.q.read(BUFFER + 4096, 512) == bytes(range(256)) * 2


def nvme(m):
    """Queues, lists of pages and data lie in registers; the doorbells are the target as well."""
    base = 0xD8000000

    def start(admin=RINGS, completions=RINGS + 4096):
        q = m.q
        config(q, 0x16 << 3, 0x10, base)
        config(q, 0x16 << 3, 0x14, 0)
        config(q, 0x16 << 3, 4, 6)
        q.writel(base + 0x14, 0)
        q.writel(base + 0x24, 15 << 16 | 15)
        q.writeq(base + 0x28, admin)
        q.writeq(base + 0x30, completions)
        q.writel(base + 0x14, 4 << 20 | 6 << 16 | 1)

    def put(queue, slot, opcode, one, two=0, dwords=()):
        m.q.write(queue + 64 * slot, struct.pack("<BBHIQQQQ6I", opcode, 0, slot + 1, 1 if opcode < 3 else 0, 0, 0, one, two,
                                                 *(list(dwords) + [0] * (6 - len(dwords)))))

    def queues(io=RINGS + 0x2000, completions=RINGS + 0x3000):
        put(RINGS, 0, 5, completions, dwords=(15 << 16 | 1, 1))
        put(RINGS, 1, 1, io, dwords=(15 << 16 | 1, 1 << 16 | 1))
        m.q.writel(base + 0x1000, 2)
        settle(m.q)

    for name, target in targets(m, base):
        aligned = target & ~4095
        for where in ("admin", "completions", "io", "io completions", "data in", "data out", "list"):
            m.again()
            m.q.memset(RINGS, 0x8000, 0)
            start(aligned if where == "admin" else RINGS, aligned if where == "completions" else RINGS + 4096)
            queues(aligned if where == "io" else RINGS + 0x2000,
                   aligned if where == "io completions" else RINGS + 0x3000)
            put(RINGS + 0x2000, 0, 1 if where == "data out" else 2, target & ~3 if where.startswith("data") else BUFFER,
                aligned if where == "list" else 0, (8, 0, 31 if where == "list" else 0))
            m.q.writel(base + 0x1008, 1)
            settle(m.q)
            m.answers((name, where))
    m.again()
    m.q.memset(RINGS, 0x8000, 0)
    start()
    queues()
    put(RINGS + 0x2000, 0, 2, BUFFER, dwords=(0, 0, 0))
    m.q.writel(base + 0x1008, 1)
    until(lambda: m.q.readw(RINGS + 0x3000 + 14) == 1, "the read is not completed")
    assert m.q.read(BUFFER, 512) == bytes(range(256)) * 2


def e1000(m):
    """Rings and frames lie in registers; frames that it sends come back to it (RCTL.LBM) and are written there."""
    base = 0xD8000000

    def start(sent, received):
        q = m.q
        config(q, 0x16 << 3, 0x10, base)
        config(q, 0x16 << 3, 4, 7)
        for ring, at in ((0x3800, sent), (0x2800, received)):
            q.writel(base + ring, at & 0xFFFFFFF0)
            q.writel(base + ring + 4, at >> 32)
            q.writel(base + ring + 8, 128)
        q.writel(base + 0x2818, 7)
        q.writel(base + 0x100, 2 | 8 | 3 << 6 | 0x8000)  # on, everybody's, in a loop
        q.writel(base + 0x400, 2 | 8)

    def send(data, into, ring=RINGS):
        for n in range(8):
            m.q.write(RINGS + 0x1000 + 16 * n, struct.pack("<QQ", into, 0))
        m.q.write(ring, struct.pack("<QHBBBBH", data, 64, 0, 0xB, 0, 0, 0))
        m.q.writel(base + 0x3818, 1)
        settle(m.q)

    for name, target in targets(m, base):
        for where in ("sent", "received", "frame", "buffer"):
            m.again()
            m.q.write(BUFFER, b"\xff" * 12 + b"\x88\xb5" + bytes(50))
            start(target if where == "sent" else RINGS, target if where == "received" else RINGS + 0x1000)
            send(target if where == "frame" else BUFFER, target if where == "buffer" else BUFFER + 4096)
            m.answers((name, where))
    m.again()
    m.q.write(BUFFER, b"\xff" * 12 + b"\x88\xb5" + bytes(range(50)))
    start(RINGS, RINGS + 0x1000)
    send(BUFFER, BUFFER + 4096)
    until(lambda: m.q.readb(RINGS + 12) & 1, "the frame is not sent")
    until(lambda: m.q.read(BUFFER + 4096, 64) == m.q.read(BUFFER, 64), "the frame does not come back")


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
    for name, function, words in (("virtio_blk", virtio_blk, (*DRIVE, "-device", "virtio-blk-pci,drive=d,addr=16")),
                                  ("nvme", nvme, (*DRIVE, "-device", "nvme,drive=d,serial=s,addr=16")),
                                  ("e1000", e1000, ("-netdev", "socket,id=n,udp=127.0.0.1:9,localaddr=127.0.0.1:0",
                                                    "-device", "e1000,netdev=n,addr=16"))):
        tap.case("%s_of_%s_is_pointed_at_every_register" % (name, board), hostile(board, function, *words))
    tap.case("fw_cfg_of_%s_is_pointed_at_every_register" % board, hostile(board, fw_cfg))
tap.case("ide_is_pointed_at_every_register", hostile("pc", ide, *DRIVE, "-device", "ide-hd,drive=d,bus=ide.0"))
tap.case("floppy_is_pointed_at_what_it_reaches", hostile("pc", floppy, "-drive", "file=IMAGE,format=raw,if=floppy"))
tap.done()
