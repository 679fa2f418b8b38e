#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What public descriptions of vulnerabilities say of devices of these classes, tried on ours: each entry of the table has
the identifier, what a guest or a client did there, and a function that does it here. The machine has to live on, and
where the description names a wrong effect, the right one is looked for. For flash chips none is public.
"""
import os
import socket
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../house"))
import rfb  # noqa: E402
from qtest import QTest, Tap  # noqa: E402
from qxlcard import CURSORS, Qxl  # noqa: E402
from tap import work_folder  # noqa: E402

FOLDER = work_folder("vulnerabilities-")
TABLE = 0x10000
DATA = 0x20000


def image(name, length):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as f:
        f.write(bytes(i % 251 for i in range(4096)) * (length // 4096))
    return path


FLOPPY, DISK, CD = image("floppy.img", 1474560), image("disk.img", 1 << 20), image("cd.iso", 1 << 20)


def alive(q):
    assert q.qmp("query-status")["status"] in ("running", "prelaunch", "paused")


# ---- floppy ----

def fdc(q, *data, often=1):
    for byte in data * often:
        q.outb(0x3F5, byte)


def fifo_of_commands_without_end(q):
    q.outb(0x3F2, 0x1C)
    for command in (0x0A, 0x8E):
        fdc(q, command)
        fdc(q, 0x7F, often=3000)
        q.outb(0x3F2, 0x08)
        q.outb(0x3F2, 0x1C)
    for _ in range(3000):
        q.inb(0x3F5)


def commands_to_a_drive_that_is_not_there(q):
    for drive in range(4):
        q.outb(0x3F2, 0x1C | drive)
        for command in (0x46, 0x45, 0x42, 0x4D, 0x0F, 0x07, 0x04, 0x08, 0x0A):
            fdc(q, command, drive, 0, 0, 1, 2, 18, 27, 255)
            fdc(q, 0xAA, often=600)
            for _ in range(20):
                q.inb(0x3F5)
        q.outb(0x3F2, 0x08)


def dma(q, channel_count, address):
    q.outb(0x0A, 6)
    q.outb(0x0C, 0)
    q.outb(0x0B, 0x46)
    q.outb(0x04, address & 255)
    q.outb(0x04, address >> 8 & 255)
    q.outb(0x81, address >> 16)
    q.outb(0x05, channel_count & 255)
    q.outb(0x05, channel_count >> 8)
    q.outb(0x0A, 2)


def sectors_longer_than_the_buffer(q):
    q.outb(0x3F2, 0x1C)
    fdc(q, 0x07, 0)
    q.clock_step(10 ** 9)
    for size in (2, 3, 7, 255):
        for last in (0, 1, 255):
            dma(q, 0xFFFF, DATA)
            fdc(q, 0xE6, 4, 0, 1, 1, size, last, 27, 255)
            q.clock_step(10 ** 8)
            q.outb(0x3F2, 0x08)
            q.outb(0x3F2, 0x1C)


# ---- IDE ----

def ide(q, base, command, feature=0, count=1, low=0, mid=0, high=0, device=0xE0):
    for reg, value in ((6, device), (1, feature), (2, count), (3, low), (4, mid), (5, high), (7, command)):
        q.outb(base + reg, value)
    for _ in range(200):
        if not q.inb(base + 7) & 0x80:
            break
        q.clock_step(1000000)


def drain(q, base, words):
    for _ in range(words):
        q.inw(base)


def packet(q, data, limit=0xFFFE):
    ide(q, 0x170, 0xA0, 0, 0, 0, limit & 255, limit >> 8, 0xA0)
    for at in range(0, 12, 2):
        q.outw(0x170, data[at] | data[at + 1] << 8)
    for _ in range(100):
        if not q.inb(0x177) & 0x80:
            break
        q.clock_step(1000000)


def reads_beyond_an_answer(q):
    ide(q, 0x170, 0xA1, device=0xA0)
    drain(q, 0x170, 6000)
    for command in (0xE7, 0xEC, 0x08, 0xEF):
        ide(q, 0x170, command, device=0xA0)
        drain(q, 0x170, 3000)
        for _ in range(3000):
            q.outw(0x170, 0xFFFF)
    packet(q, bytes([0x12, 0, 0, 0, 255]) + bytes(7), 0)
    drain(q, 0x170, 3000)


def self_tests_fill_the_log(q):
    for _ in range(45):
        ide(q, 0x1F0, 0xB0, 0xD4, 0, 1, 0x4F, 0xC2)
    ide(q, 0x1F0, 0xB0, 0xD5, 1, 6, 0x4F, 0xC2)
    drain(q, 0x1F0, 256)


def native_max_of_an_empty_drive(q):
    for command in (0xF8, 0x27, 0x70, 0x91, 0x20, 0xC8, 0x25):
        ide(q, 0x170, command, device=0xE0)
        drain(q, 0x170, 600)


def reads_far_beyond_a_disc(q):
    for lba in (0xFFFFFFFF, 0x7FFFFFFF, 0x200):
        packet(q, struct.pack(">BBIIBB", 0xA8, 0, lba, 0xFFFFFFFF, 0, 0))
        drain(q, 0x170, 4096)
        packet(q, struct.pack(">BBIBHBBB", 0x28, 0, lba, 0, 0xFFFF, 0, 0, 0))
        drain(q, 0x170, 4096)


def master(q):
    """Where the bus master of the PIIX lies; it may read and write memory."""
    def config(register, value=None):
        q.outl(0xCF8, 0x80000900 | register)
        return q.inl(0xCFC) if value is None else q.outl(0xCFC, value)
    config(0x20, 0xC000)
    config(4, 7)
    config(0x40, 0x80008000)
    return 0xC000


def start(q, base, command, table, write):
    q.writel(TABLE + 4 * len(table), 0)
    for n, word in enumerate(table):
        q.writel(TABLE + 4 * n, word)
    q.outl(base + 4, TABLE)
    q.outb(base, 0 if write else 8)
    ide(q, 0x1F0, command, count=8)
    q.outb(base, 1 if write else 9)


def a_reset_does_not_send_a_write_elsewhere(q):
    with open(DISK, "rb") as f:
        before = f.read(4096)
    base = master(q)
    q.memset(DATA, 4096, 0xEE)
    for control in (4, 0):
        for reg, value in ((6, 0xE0), (2, 8), (3, 200), (4, 0), (5, 0)):
            q.outb(0x1F0 + reg, value)
        q.writel(TABLE, DATA)
        q.writel(TABLE + 4, 0x80001000)
        q.outl(base + 4, TABLE)
        q.outb(0x1F7, 0xCA)
        q.outb(base, 1)
        q.outb(0x3F6, control)
    q.outb(0x3F6, 0)
    q.clock_step(10 ** 8)
    q.qmp("human-monitor-command", {"command-line": "info block"})
    with open(DISK, "rb") as f:
        assert f.read(4096) == before, "the first sectors were written to"


def lists_that_never_end(q):
    base = master(q)
    for table in ([DATA, 0] * 400, [DATA, 2] * 3000, [DATA, 0x80000002], [DATA, 1, DATA, 3, DATA, 0x80000001],
                  [0xFFFFFFFE, 0x80000000]):
        for write, command in ((False, 0xC8), (True, 0xCA)):
            start(q, base, command, table, write)
            for _ in range(5):
                q.clock_step(10 ** 7)
            q.outb(base, 0)
            q.outb(0x3F6, 4)
            q.outb(0x3F6, 0)


def a_master_without_a_drive(q):
    base = master(q)
    for channel in (base, base + 8):
        q.outl(channel + 4, TABLE)
        for value in (9, 8, 1, 0, 9, 0):
            q.outb(channel, value)
        q.outb(channel + 2, 0xFF)


# ---- AHCI ----

def queued_commands_that_are_cut_off(q):
    q.outl(0xCF8, 0x8000FA24)
    q.outl(0xCFC, 0xE0000000)
    q.outl(0xCF8, 0x8000FA04)
    q.outl(0xCFC, 6)
    hba, port = 0xE0000000, 0xE0000100
    q.writel(hba + 4, 0x80000002)
    q.writel(port, TABLE)
    q.writel(port + 8, TABLE + 0x1000)
    for n in range(32):
        q.writel(TABLE + 32 * n, 0x00010005)
        q.writel(TABLE + 32 * n + 8, DATA)
    q.write(DATA, bytes([0x27, 0x80, 0x60, 1, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0]) + bytes(112))
    q.writel(DATA + 128, DATA + 4096)
    q.writel(DATA + 140, 0x1FF)
    for _ in range(30):
        q.writel(port + 0x18, 0x11)
        q.writel(port + 0x34, 0xFFFFFFFF)
        q.writel(port + 0x38, 0xFFFFFFFF)
        q.writel(port + 0x18, 0x10)
        q.writel(port + 0x2C, 1)
        q.writel(port + 0x2C, 0)
    q.clock_step(10 ** 8)


# ---- VGA ----

def vbe(q, index, value):
    q.outw(0x1CE, index)
    q.outw(0x1CF, value)


def shown(q):
    with tempfile.NamedTemporaryFile(dir=FOLDER) as f:
        q.qmp("screendump", {"filename": f.name})


def reject(function):
    def tried(q):
        function(q)
        try:
            shown(q)
        except Exception as error:  # pylint: disable=broad-except
            assert "screen" in str(error) or "picture" in str(error) or "console" in str(error), error
    return tried


@reject
def banks_beyond_the_memory(q):
    for bits in (4, 8, 32):
        for index, value in ((4, 0), (1, 1024), (2, 768), (3, bits), (4, 1)):
            vbe(q, index, value)
        for bank in (0, 1, 255, 256, 0x7FFF, 0xFFFF):
            vbe(q, 5, bank)
            for at in (0xA0000, 0xAFFFF, 0xB8000, 0xBFFFF):
                q.writeb(at, 0x5A)
                q.readb(at)


@reject
def modes_larger_than_the_memory(q):
    for index, value in ((4, 0), (1, 16000), (2, 16000), (3, 32), (6, 0xFFFF), (7, 0xFFFF), (4, 0x41)):
        vbe(q, index, value)
    for index, value in ((8, 0xFFFF), (9, 0xFFFF), (6, 1), (6, 0xFFFF)):
        vbe(q, index, value)


def crtc(q, index, value):
    q.outb(0x3D4, index)
    q.outb(0x3D5, value)


@reject
def registers_under_a_vbe_mode(q):
    for index, value in ((1, 640), (2, 480), (3, 8), (4, 0x41)):
        vbe(q, index, value)
    for index, value in ((0x11, 0), (0x13, 255), (0x0C, 255), (0x0D, 255), (0x14, 255), (0x17, 0xFF), (9, 0x9F),
                         (0x12, 255), (7, 255), (0x18, 1)):
        crtc(q, index, value)
        q.outb(0x3C4, 4)
        q.outb(0x3C5, 0xFF)
        q.outb(0x3CE, 6)
        q.outb(0x3CF, value & 0x0F)


@reject
def text_beyond_the_memory(q):
    q.outb(0x3CE, 6)
    q.outb(0x3CF, 0x0E)
    for index, value in ((0x11, 0), (1, 255), (0x12, 255), (7, 0xFF), (9, 0), (0x0C, 255), (0x0D, 255), (0x13, 255),
                         (0x0E, 255), (0x0F, 255)):
        crtc(q, index, value)
    shown(q)
    crtc(q, 9, 31)


@reject
def starts_at_the_end_of_the_memory(q):
    for value in (0x40, 0x20, 0x60):
        q.outb(0x3CE, 5)
        q.outb(0x3CF, value)
        q.outb(0x3CE, 6)
        q.outb(0x3CF, 5)
        for index, number in ((0x11, 0), (0x0C, 255), (0x0D, 255), (0x13, 255), (1, 255), (0x12, 255), (0x18, 9)):
            crtc(q, index, number)
        shown(q)


# ---- fw_cfg ----

def keys_that_there_are_none_of(q):
    for key in (0xFFFF, 0x7FFF, 0x4000, 0xC01F, 0x8FFF, 0x3FFF, 0x0FFF):
        q.outw(0x510, key)
        for _ in range(300):
            q.inb(0x511)
            q.outb(0x511, 0x41)


# ---- VNC ----

def sent(*messages):
    """The messages reach a machine with a viewer; another viewer is served afterwards."""
    def tried(q):
        c = rfb.Client(rfb.connect(path=q.vnc))
        for data in messages:
            try:
                c.sock.sendall(data)
            except OSError:
                break
        q.qmp("query-vnc")
        second = rfb.Client(rfb.connect(path=q.vnc))
        second.request()
        second.update()
        second.close()
        c.close()
    return tried


FULL = struct.pack(">BBHHHH", 3, 0, 0, 0, 65535, 65535)
FORMATS = b"".join(struct.pack(">BxxxBBBBHHHBBBxxx", 0, bits, depth, 1, 1, m, m, m, 255, 8, 0)
                   for bits, depth, m in ((255, 24, 255), (0, 0, 0), (1, 1, 1)))


def sizes_that_change_under_a_viewer(q):
    c = rfb.Client(rfb.connect(path=q.vnc))
    c.set_encodings(rfb.ZRLE, rfb.DESKTOP_SIZE)
    for width, height in ((1, 1), (641, 3), (2047, 1025), (15, 4000), (640, 480)):
        for index, value in ((4, 0), (1, width), (2, height), (3, 32), (4, 0x41)):
            vbe(q, index, value)
        c.sock.sendall(FULL)
        q.qmp("query-vnc")
    c.close()


def handshake_without_end(q):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(q.web)
        try:
            s.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200000)
        except OSError:
            pass
        q.qmp("query-vnc")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(q.web)
    web = rfb.WebSocket(sock)
    for head in (b"\x82\xff" + b"\x7f" + b"\xff" * 7 + bytes(4), b"\x82\xfe\xff\xff" + bytes(4)):
        try:
            sock.sendall(head + bytes(100000))
        except OSError:
            break
    q.qmp("query-vnc")
    web.close()


def an_empty_password_opens_nothing(q):
    q.qmp("set_password", {"protocol": "vnc", "password": ""})
    sock = rfb.connect(path=q.vnc)
    assert sock.recv(12) == b"RFB 003.008\n"
    sock.sendall(b"RFB 003.008\n")
    kinds = sock.recv(16)
    assert kinds[0] == len(kinds) - 1 and 1 not in kinds[1:], kinds  # 1: nobody has to say anything
    sock.close()


# ---- Cirrus's BitBLT engine ----

class Blitter:
    """The card with a few megabytes that are known, and its registers in memory."""

    def __init__(self, q):
        self.q = q
        for offset, value in ((0x10, 0xE0000000), (0x14, 0xF0000000), (0x04, 3)):
            q.outl(0xCF8, 0x80001000 | offset)
            q.outl(0xCFC, value)
        q.outb(0x3C2, 0x67)
        q.outw(0x3C4, 0x1206)

    def blt(self, width, height, dst, src, mode, rop=0x0D, pitch=0x1FFF, ext=0):
        for offset, value in ((8, width - 1 | (height - 1) << 16), (0x0C, pitch | pitch << 16), (0x14, src),
                              (0x18, mode | rop << 16 | ext << 24), (0x10, dst)):
            self.q.writel(0xF0000100 + offset, value)
        self.q.writeb(0xF0000140, 2)

    def feed(self, count, byte=0xA5):
        for _ in range(count):
            self.q.writel(0xE1000000, byte * 0x01010101)


def blits_over_every_end(q):
    b = Blitter(q)
    for mode in (0, 1, 8, 9, 0x80, 0xC0, 0x40, 0x70, 0xF0, 0xB0):
        for dst, src in ((0x3FFFFF, 0), (0, 0x3FFFFF), (0x3FFFFF, 0x3FFFFF), (0, 0)):
            for rop in (0x0D, 0x59, 0x00):
                b.blt(8192, 3, dst, src, mode, rop)
    q.qmp("screendump", {"filename": os.path.join(FOLDER, "blits.ppm")})


def a_blit_backwards_from_the_beginning(q):
    b = Blitter(q)
    q.writel(0xE03FFFFC, 0x04030201)  # what lies before the beginning is the end
    b.blt(5, 1, 0x1004, 0, 1)
    assert q.read(0xE0001001, 3) == b"\2\3\4"
    b.blt(8192, 2048, 0, 0, 1, pitch=0x1FFF)


def the_cpu_blits_beyond_the_end(q):
    b = Blitter(q)
    b.blt(64, 2, 0x3FFFE0, 0, 4, pitch=64)
    b.feed(32)
    assert q.read(0xE03FFFE0, 32) == b"\xa5" * 32 and q.read(0xE0000000, 96) == b"\xa5" * 96
    assert q.readb(0xE0000060) == 0
    b.blt(8192, 1, 0x3FFFFF, 0, 4)
    b.feed(2048)


def pixels_of_no_width(q):
    b = Blitter(q)
    for mode in range(0, 256, 3):
        b.blt(1, 1, 0, 0, mode, pitch=0)
        q.writeb(0xF0000140, 4)


def blits_while_the_screen_gets_smaller(q):
    b = Blitter(q)
    c = rfb.Client(rfb.connect(path=q.vnc))
    c.set_encodings(rfb.ZRLE, rfb.DESKTOP_SIZE)
    for index, value in ((6, 1), (5, 0x40)):
        q.outw(0x3CE, index | value << 8)
    q.outw(0x3C4, 0x0107)
    q.inb(0x3DA)
    q.outb(0x3C0, 0x20)
    for columns, lines in ((0xFF, 0xFF), (0x10, 0x10), (0x8F, 0x8F), (0, 0)):
        q.outw(0x3D4, 1 | columns << 8)
        q.outw(0x3D4, 0x12 | lines << 8)
        b.blt(8192, 40, 0, 0x1000, 0)
        c.sock.sendall(FULL)
        q.qmp("query-vnc")
    c.close()


def patterns_beyond_the_end(q):
    b = Blitter(q)
    for mode in (0x40, 0x50, 0x60, 0x70, 0xC0, 0xF0):
        b.blt(256, 9, 0x100, 0x3FFFF9, mode)
        b.blt(256, 9, 0x100, 0x3FFFFF, mode, ext=4)


def bytes_through_the_window_beyond_the_end(q):
    Blitter(q)
    for index, value in ((5, 4), (6, 5), (9, 0xFF), (0x0A, 0xFF), (0x0B, 0x3F)):
        q.outw(0x3CE, index | value << 8)
    for mode in (0, 1, 0x0F):
        q.outw(0x3C4, 7 | mode << 8)
        for at in (0xA0000, 0xA7FFF, 0xA8000, 0xAFFFF):
            q.writel(at, 0xFFFFFFFF)
            q.readl(at)


# ---- VMware's FIFO ----

class Svga:
    """The card in a mode of 640 x 480, with a FIFO of 64 KiB."""

    def __init__(self, q):
        self.q = q
        for offset, value in ((0x10, 0xC000), (0x14, 0xE0000000), (0x18, 0xF0000000), (0x04, 3)):
            q.outl(0xCF8, 0x80001000 | offset)
            q.outl(0xCFC, value)
        for reg, value in ((2, 640), (3, 480), (7, 32), (1, 1)):
            self.set(reg, value)
        self.ring(0x1000, 0x11000, 0x1000, 0x1000)
        self.set(20, 1)

    def set(self, reg, value):
        self.q.outl(0xC000, reg)
        self.q.outl(0xC001, value)

    def ring(self, *words):
        for i, word in enumerate(words):
            self.q.writel(0xF0000000 + 4 * i, word)

    def do(self, *words):
        self.ring(0x1000, 0x11000, 0x1000, 0x1000)
        for i, word in enumerate(words):
            self.q.writel(0xF0001000 + 4 * i, word & 0xFFFFFFFF)
        self.q.writel(0xF0000008, 0x1000 + 4 * len(words))
        self.set(21, 1)


def rectangles_outside_of_the_screen(q):
    s = Svga(q)
    for args in ((0, 0, 639, 479, 2, 2), (-1, -1, 0, 0, 640, 480), (0, 0, 0, 0, -1, -1), (639, 0, 0, 0, 2, 1),
                 (0, 0x7FFFFFFF, 0, 0, 1, 0x7FFFFFFF), (0, 0, -640, 0, 640, 480)):
        s.do(3, *args)
        s.do(1, *args[2:])
    for args in ((639, 479, 2, 2), (-1, 0, 2, 1), (0, -1, 1, 2), (0, 0, -1, 1), (0, 480, 1, 1), (640, 0, 1, 1)):
        s.do(2, 0xFFFFFF, *args)
    assert not any(q.read(0xE0000000, 640 * 480 * 4))


def fifos_that_never_end(q):
    s = Svga(q)
    for ring in ((0x1000, 0x11000, 0x20000, 0x1000), (0x1000, 0x11000, 0x10FFC, 0x20000), (0, 0, 0, 0),
                 (0x1000, 0x1000, 0x1000, 0x1000), (0x1002, 0x11001, 0x1003, 0x1001)):
        s.ring(*ring)
        s.set(21, 1)
        q.outl(0xC000, 22)
        q.inl(0xC001)


def fifos_beyond_their_memory(q):
    s = Svga(q)
    for ring in ((0x1000, 0x80000000, 0x7FFFFFF0, 0x1FFFF0), (0, 0xFFFFFFFC, 0xFFFFFFF8, 0xFFFFFFF0),
                 (4, 0x200004, 0x200000, 0x1FFFFC), (0x1FFFFC, 0x200000, 0x1FFFFC, 0x1FFFFC)):
        s.ring(*ring)
        s.set(21, 1)


def pointers_larger_than_their_masks(q):
    s = Svga(q)
    for width, height, depth in ((64, 64, 64), (0, 64, 1), (0x8000, 0x8000, 1), (-1, 1, 32), (256, 256, 33), (257, 1, 1)):
        s.do(19, 0, 0, 0, width, height, depth, depth, *[0xFFFFFFFF] * 64)
        s.do(19, 0, 0, 0, width, height, 1, depth, *[0xFFFFFFFF] * 64)
        s.do(22, 0, -1, -1, width, height, *[0xFFFFFFFF] * 64)


# ---- QXL ----

def releases_of_nothing(q):
    c = Qxl(q)
    c.primary(64, 32)
    for address in (0, 1 << 56, c.address(0xFFFFFFFFFFFF), c.header - 0xE0000000 - 4 | 1 << 56):
        for kind in (1, 2, 3, 4, 5):
            c.command(kind, address)
    c.io(4)
    c.io(23)
    c.released()


def qxl_pointer(c, kind, width, height, size, chunk=64):
    shape = c.alloc(struct.pack("<QHHHHHIIQQ", 0, kind, width, height, 0xFFFF, 0xFFFF, size, chunk, 0, 0) + b"\xff" * 64)
    c.push(3, struct.pack("<BhhBQ", 0, 5, 6, 1, shape) + bytes(136), ring=CURSORS)


def pointers_whose_size_overflows(q):
    c = Qxl(q)
    for width, height in ((0xFFFF, 0xFFFF), (0x8000, 0x8001), (0xFFFF, 1), (257, 1), (0, 0xFFFF), (256, 256)):
        for kind in range(8):
            qxl_pointer(c, kind, width, height, 0xFFFFFFFF)


def pointers_with_less_than_their_size(q):
    c = Qxl(q)
    for chunk in (0, 1, 63, 64, 0xFFFFFFFF, 0x80000000):
        qxl_pointer(c, 0, 64, 64, 16384, chunk)
        qxl_pointer(c, 1, 64, 64, 4, chunk)


def images_at_the_end_of_a_slot(q):
    c = Qxl(q)
    c.primary(64, 32)
    q.write(c.header - 4096, bytes(4096))
    end = c.address(c.header - 0xE0000000)
    for back in range(1, 320, 5):
        for kind in (1, 3, 5):
            c.command(kind, end - back)
        c.copy((0, 0, 8, 8), end - back, (0, 0, 8, 8))
        c.fill((0, 0, 8, 8), 1, clips=[(0, 0, 4, 4)])
    bitmap = struct.pack("<QBBIIBBIIIQQ", 0, 0, 0, 8, 8, 8, 5, 8, 8, 32, 0, end - 255)
    c.copy((0, 0, 8, 8), c.alloc(bitmap), (0, 0, 8, 8))  # a byte too long
    assert q.readl(0xE0000000) == 1


BARE = ["-M", "pc", "-nodefaults"]
FDC = [*BARE, "-drive", "file=%s,format=raw,if=floppy,snapshot=on" % FLOPPY]
IDE = [*BARE, "-drive", "file=%s,format=raw,if=ide,index=0" % DISK, "-drive",
       "file=%s,format=raw,if=ide,index=2,media=cdrom" % CD]
EMPTY = [*BARE, "-drive", "if=ide,index=2,media=cdrom"]
AHCI = ["-M", "q35", "-nodefaults", "-drive", "file=%s,format=raw,if=none,id=d,snapshot=on" % DISK, "-device",
        "ide-hd,drive=d,bus=ide.0"]
VGA = [*BARE, "-vga", "std"]
CIRRUS = [*BARE, "-vga", "cirrus"]
CIRRUS_VNC = [*CIRRUS, "-vnc", "unix:{vnc}"]
VMWARE = [*BARE, "-vga", "vmware"]
QXL = [*BARE, "-vga", "qxl"]
VNC = [*VGA, "-vnc", "unix:{vnc},websocket=unix:{web}"]
WORD = [*VGA, "-vnc", "unix:{vnc},password=on"]

PUBLISHED = [
    ("CVE-2015-3456", "the floppy controller's FIFO takes parameters without end", FDC, fifo_of_commands_without_end),
    ("CVE-2021-20196", "the floppy controller transfers with a drive that is not there", BARE,
     commands_to_a_drive_that_is_not_there),
    ("CVE-2020-25741", "the floppy controller writes without a medium", BARE + ["-device", "floppy"],
     commands_to_a_drive_that_is_not_there),
    ("CVE-2021-3507", "a floppy is read by DMA beyond the controller's buffer", FDC, sectors_longer_than_the_buffer),
    ("CVE-2015-5154", "ATAPI data is read and written beyond the drive's buffer", IDE, reads_beyond_an_answer),
    ("CVE-2014-2894", "SMART self-tests beyond the end of their log", IDE, self_tests_fill_the_log),
    ("CVE-2015-6855", "READ NATIVE MAX of a drive without a medium", EMPTY, native_max_of_an_empty_drive),
    ("CVE-2020-29443", "ATAPI reads from addresses beyond the disc", IDE, reads_far_beyond_a_disc),
    ("CVE-2023-5088", "a reset sends a write under way to sector 0", IDE, a_reset_does_not_send_a_write_elsewhere),
    ("CVE-2014-9718", "bus master lists that move nothing and do not end", IDE, lists_that_never_end),
    ("CVE-2019-20175", "bus master lists whose length is no whole sector", IDE, lists_that_never_end),
    ("CVE-2020-25743", "a bus master is stopped where there is no drive", BARE, a_master_without_a_drive),
    ("CVE-2016-1568", "queued commands are cut off by a reset of the port", AHCI, queued_commands_that_are_cut_off),
    ("CVE-2016-3710", "VGA banks beyond the memory", VGA, banks_beyond_the_memory),
    ("CVE-2016-3712", "VGA registers are changed under a VBE mode", VGA, registers_under_a_vbe_mode),
    ("CVE-2014-3615", "VBE resolutions larger than the memory", VGA, modes_larger_than_the_memory),
    ("CVE-2018-7858", "VBE offsets beyond the memory", VGA, modes_larger_than_the_memory),
    ("CVE-2018-5683", "text is drawn from beyond the memory", VGA, text_beyond_the_memory),
    ("CVE-2017-13672", "graphics begin at the end of the memory", VGA, starts_at_the_end_of_the_memory),
    ("CVE-2017-13673", "graphics are split at a line, and beyond the memory", VGA, starts_at_the_end_of_the_memory),
    ("CVE-2007-1320", "rectangles of a blit that are not in memory", CIRRUS, blits_over_every_end),
    ("CVE-2008-4539", "a blit's source ends beyond the memory", CIRRUS, blits_over_every_end),
    ("CVE-2014-8106", "a blit's pitches lead beyond the memory", CIRRUS, blits_over_every_end),
    ("CVE-2016-9603", "blits while a viewer's screen gets smaller", CIRRUS_VNC, blits_while_the_screen_gets_smaller),
    ("CVE-2016-9921", "blits of pixels that have no width", CIRRUS, pixels_of_no_width),
    ("CVE-2017-2615", "a blit goes backwards over the beginning", CIRRUS, a_blit_backwards_from_the_beginning),
    ("CVE-2017-2620", "the CPU is a blit's source, its destination beyond the end", CIRRUS,
     the_cpu_blits_beyond_the_end),
    ("CVE-2017-7718", "blits read beyond the memory", CIRRUS, blits_over_every_end),
    ("CVE-2017-7980", "patterns of a blit lie beyond the memory", CIRRUS, patterns_beyond_the_end),
    ("CVE-2017-15289", "extended write modes beyond the memory", CIRRUS, bytes_through_the_window_beyond_the_end),
    ("CVE-2014-3689", "rectangles outside of VMware's screen", VMWARE, rectangles_outside_of_the_screen),
    ("CVE-2016-4453", "VMware's FIFO never ends", VMWARE, fifos_that_never_end),
    ("CVE-2016-4454", "VMware's FIFO lies beyond its memory", VMWARE, fifos_beyond_their_memory),
    ("CVE-2016-7170", "VMware's pointers are larger than their masks", VMWARE, pointers_larger_than_their_masks),
    ("CVE-2019-12155", "QXL releases what is nowhere", QXL, releases_of_nothing),
    ("CVE-2021-4206", "QXL's pointers whose size overflows", QXL, pointers_whose_size_overflows),
    ("CVE-2021-4207", "QXL's pointers have less than their size", QXL, pointers_with_less_than_their_size),
    ("CVE-2022-4144", "QXL's structures reach beyond a slot", QXL, images_at_the_end_of_a_slot),
    ("CVE-2016-1714", "fw_cfg is read and written by keys beyond the table", BARE, keys_that_there_are_none_of),
    ("CVE-2015-5239", "cut text of 4 GiB", VNC, sent(struct.pack(">BxxxI", 6, 0xFFFFFFFF), b"x" * 65536)),
    ("CVE-2022-3165", "cut text of a negative length", VNC, sent(struct.pack(">Bxxxi", 6, -4) + bytes(4),
                                                                 struct.pack(">BxxxI", 6, 0x80000000))),
    ("CVE-2014-7815", "pixels of 255 bits", VNC, sent(FORMATS + FULL)),
    ("CVE-2015-8504", "pixels whose largest values are 0", VNC, sent(FORMATS[20:] + FULL * 3)),
    ("CVE-2017-15124", "a viewer that asks and does not read", VNC, sent(FULL * 20000)),
    ("CVE-2015-5225", "the screen's size changes under a viewer", VNC, sizes_that_change_under_a_viewer),
    ("CVE-2015-1779", "WebSocket handshakes and frames without end", VNC, handshake_without_end),
    ("CVE-2017-15268", "WebSocket clients that do not read", VNC, handshake_without_end),
    ("CVE-2011-0011", "an empty password switches passwords off", WORD, an_empty_password_opens_nothing),
]


def tried(args, function):
    def case():
        number = tried.count = getattr(tried, "count", 0) + 1
        names = {"vnc": os.path.join(FOLDER, "v%d" % number), "web": os.path.join(FOLDER, "w%d" % number)}
        with QTest([a.format(**names) for a in args]) as q:
            q.vnc, q.web = names["vnc"], names["web"]
            function(q)
            alive(q)
    return case


t = Tap()
for identifier, words, machine, function_ in PUBLISHED:
    t.case("%s: %s" % (identifier, words), tried(machine, function_))
t.done()
