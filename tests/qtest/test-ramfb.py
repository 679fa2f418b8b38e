#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ramfb: a frame buffer in guest RAM, told by firmware through fw_cfg."""
import random
import struct
import tempfile

from qtest import Tap

FRAME, WORK = 0x01000000, 0x00200000
FORMATS = {"XR24": (4, lambda v: bytes((v >> 16 & 255, v >> 8 & 255, v & 255))),
           "XB24": (4, lambda v: bytes((v & 255, v >> 8 & 255, v >> 16 & 255))),
           "RG24": (3, lambda v: bytes((v >> 16 & 255, v >> 8 & 255, v & 255)))}


def dma(q, control, address, length):
    q.write(WORK, struct.pack(">IIQ", control, length, address))
    q.outl(0x514, 0)
    q.outl(0x518, int.from_bytes(struct.pack(">I", WORK), "little"))
    assert q.read(WORK, 4) == b"\0\0\0\0", "the transfer failed"


def file_key(q, name):
    q.outw(0x510, 0x19)
    count = int.from_bytes(bytes(q.inb(0x511) for _ in range(4)), "big")
    for _ in range(count):
        size, key, _, file = struct.unpack(">IHH56s", bytes(q.inb(0x511) for _ in range(64)))
        if file.rstrip(b"\0").decode() == name:
            return key, size
    raise AssertionError("no file " + name)


def tell(q, fourcc, width, height, stride, address=FRAME):
    key, size = file_key(q, "etc/ramfb")
    assert size == 28
    q.write(WORK + 64, struct.pack(">QIIIII", address, int.from_bytes(fourcc.encode(), "little"), 0, width, height, stride))
    dma(q, key << 16 | 0x18, WORK + 64, 28)


def screen(q):
    with tempfile.NamedTemporaryFile() as file:
        q.qmp("screendump", {"filename": file.name})
        return file.read()


def picture(width, height, pixels):
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


BLANK = picture(640, 480, bytes(3 * 640 * 480))


def frame_buffer_is_shown(q):
    assert screen(q) == BLANK
    r = random.Random(1)
    for fourcc, (size, colour) in FORMATS.items():
        data = bytes(r.getrandbits(8) for _ in range(210 * 100 * size))
        q.write(FRAME, data)
        tell(q, fourcc, 200, 100, 210 * size)
        expected = b"".join(colour(int.from_bytes(data[(y * 210 + x) * size:(y * 210 + x + 1) * size], "little"))
                            for y in range(100) for x in range(200))
        assert screen(q) == picture(200, 100, expected), fourcc
    q.write(FRAME, b"\xff" * 3)  # what the guest draws later is seen
    assert screen(q)[15:18] == b"\xff\xff\xff"


def frame_buffers_that_are_none_stay_dark(q):
    for arguments in (("ABCD", 640, 480, 2560), ("XR24", 640, 480, 100), ("XR24", 65535, 65535, 0),
                      ("XR24", 640, 480, 2560, 0xF0000000), ("XR24", 640, 480, 2560, 0xFFFFFFFFFFFFFFFF),
                      ("XR24", 640, 480, 2560, 0x03FFF000), ("XR24", 0, 480, 2560), ("XR24", 640, 480, 0xFFFFFFFF)):
        tell(q, *arguments)
        assert screen(q) == BLANK, arguments
    tell(q, "XR24", 320, 200, 0)
    assert screen(q)[:15] == b"P6\n320 200\n255\n"


def memory_kib(q):
    with open("/proc/%d/status" % q.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def between_lines_nothing_is_read_or_kept(q):
    end = 64 << 20  # of RAM
    q.write(end - 4096 - 16, b"\x11" * 16)
    q.write(end - 16, b"\x22" * 16)
    tell(q, "XR24", 4, 2, 4096, end - 4096 - 16)  # the second line's rest would lie behind it
    assert screen(q) == picture(4, 2, b"\x11" * 12 + b"\x22" * 12)
    for n in range(12):  # the guest's memory itself counts from here on
        q.write(FRAME + (n << 22), bytes(4 << 20))
    before = memory_kib(q)
    tell(q, "XR24", 4, 48, 1 << 20)
    q.write(FRAME + (47 << 20), b"\x33" * 16)
    assert screen(q) == picture(4, 48, bytes(12 * 47) + b"\x33" * 12)
    assert memory_kib(q) - before < 16 << 10


def reset_makes_it_dark(q):
    tell(q, "XR24", 320, 200, 1280)
    assert screen(q)[:15] == b"P6\n320 200\n255\n"
    q.qmp("system_reset")
    q.qmp("query-status")
    assert screen(q) == BLANK


tap = Tap()
for case in (frame_buffer_is_shown, frame_buffers_that_are_none_stay_dark, between_lines_nothing_is_read_or_kept,
             reset_makes_it_dark):
    tap.machine_case(case.__name__, ["-M", "pc", "-m", "64", "-device", "ramfb"], case)
tap.done()
