# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Images that are only read: DMG, cloop, Bochs, as their programs make them, beside Debian's qemu-img.
Usage: test-packed-formats.py SOURCE-ROOT BUILD-ROOT
"""
import base64
import bz2
import os
import random
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402
from images import content, damage_is_refused, patch, path, peer, raw, run  # noqa: E402

ZERO, PLAIN, IGNORED, ZLIB, BZIP2, END = 0, 1, 2, 0x80000005, 0x80000006, 0xffffffff


def write(name, data):
    with open(path(name), "wb") as f:
        f.write(data)


def dmg(name, data, kinds, chunk=128, types=None):
    """A disk image of chunks of so many sectors, their kinds in turn, in two tables."""
    body, tables = b"", []
    sectors = len(data) // 512
    half = sectors // 2 // chunk * chunk
    for first, last in ((0, half), (half, sectors)):
        entries = b""
        for n, at in enumerate(range(first, last, chunk)):
            count = min(chunk, last - at)
            piece, kind = data[at * 512:(at + count) * 512], kinds[n % len(kinds)]
            kind = kind if kind != ZERO or not any(piece) else ZLIB
            packed = {ZERO: b"", IGNORED: b"", PLAIN: piece}.get(kind)
            if packed is None:
                packed = zlib.compress(piece) if kind == ZLIB else bz2.compress(piece)
            entries += struct.pack(">IIQQQQ", (types or {}).get(kind, kind), 0, at - first, count, len(body), len(packed))
            body += packed
        entries += struct.pack(">IIQQQQ", END, 0, last - first, 0, len(body), 0)
        head = struct.pack(">4sIQQQII", b"mish", 1, first, last - first, 0, 0, 0) + bytes(24) + bytes(136)
        tables.append(head + struct.pack(">I", len(entries) // 40) + entries)
    listed = "".join("<dict><key>Attributes</key><string>0x0050</string><key>Data</key><data>\n%s\n</data></dict>"
                     % base64.encodebytes(t).decode().strip().replace("\n", "\n\t\t") for t in tables)
    plist = ('<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict><key>resource-fork</key><dict>'
             "<key>blkx</key><array>%s</array></dict></dict></plist>\n" % listed).encode()
    trailer = bytearray(512)
    trailer[:12] = struct.pack(">4sII", b"koly", 4, 512)
    trailer[24:40] = struct.pack(">QQ", 0, len(body))
    trailer[56:64] = struct.pack(">II", 1, 1)
    trailer[216:232] = struct.pack(">QQ", len(body), len(plist))
    trailer[492:500] = struct.pack(">Q", sectors)
    write(name, body + plist + trailer)


def disk_images_of_macos_are_read():
    data = raw("from.raw", 3 * 1048576 + 512 * 77, "dmg")
    for kinds in ((ZLIB,), (PLAIN, ZERO), (BZIP2,), (ZLIB, ZERO, PLAIN, BZIP2)):
        dmg("a.dmg", data, kinds)
        run("convert", "-f", "dmg", "-O", "raw", "a.dmg", "to.raw")
        assert content("to.raw") == data, kinds
        if BZIP2 not in kinds:  # which the peer has in a package of its own
            peer("convert", "-f", "dmg", "-O", "raw", "a.dmg", "to.raw")
            assert content("to.raw") == data, kinds
    assert "file format: dmg" in run("info", "a.dmg")
    run("compare", "-q", "-f", "dmg", "-F", "raw", "a.dmg", "from.raw")
    said = run("bench", "-w", "-c", "1", "-f", "dmg", "a.dmg", status=1)
    assert "cannot write" in said, said
    assert "making images" in run("create", "-f", "dmg", "new.dmg", "1M", status=1)


def damaged_disk_images_are_refused():
    data = raw("from.raw", 1048576, "dmgd")
    dmg("d.dmg", data, (ZLIB, PLAIN))
    q = struct.Struct(">Q").pack
    damage_is_refused("dmg", "d.dmg", (
        (-512, b"x", "no trailer"), (-512 + 216, q(1 << 60), "property list"), (-512 + 224, q(1 << 60), "property list"),
        (-512 + 224, q(0), "resource fork"), (-512 + 224, q(10), "no block tables"), (-512 + 492, q(1 << 60), "damaged"),
        (-512 + 24, q(1 << 60), "damaged")))
    for kind, word in ((0x80000004, "ADC"), (0x80000007, "LZFSE"), (0x80000008, "LZMA"), (0x77, "not known")):
        dmg("k.dmg", data, (ZLIB,), types={ZLIB: kind})
        assert word in run("info", "-f", "dmg", "k.dmg", status=1), kind
    dmg("b.dmg", data, (ZLIB,))
    at = content("b.dmg").find(b"\x78\x9c", 100)
    patch("b.dmg", at + 8, b"\xff" * 16)
    run("convert", "-f", "dmg", "-O", "raw", "b.dmg", "to.raw", status=1)


def compressed_loop_images_are_read():
    data = raw("from.raw", 1048576 + 65536, "cloop")
    for size in (65536, 512 * 24):
        full = data + bytes(-len(data) % size)
        packed = [zlib.compress(full[at:at + size]) for at in range(0, len(full), size)]
        script = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
        head = script.ljust(128, b"\0") + struct.pack(">II", size, len(packed))
        at = 136 + 8 * (len(packed) + 1)
        for piece in packed:
            head += struct.pack(">Q", at)
            at += len(piece)
        write("a.cloop", head + struct.pack(">Q", at) + b"".join(packed))
        for tool in (run, peer):
            tool("convert", "-O", "raw", "a.cloop", "to.raw")
            assert content("to.raw") == full, (size, tool)
    q = struct.Struct(">I").pack
    damage_is_refused("cloop", "a.cloop", (
        (0, b"x", "no header"), (128, q(0), "block has"), (128, q(1000), "block has"), (128, q(0x7ffffe00), "block has"),
        (132, q(0xffffffff), "beyond the end"), (132, q(0x7ffffe), "beyond the end"),
        (144, b"\xff" * 8, "cannot end"), (152, bytes(8), "cannot end")))


def growing_images_of_bochs_are_read():
    rand = random.Random(5)
    extent, extents = 65536, 20
    for version, field in ((0x10000, 84), (0x20000, 88)):
        disk = bytearray(extent * extents - 512)
        catalog, body = [0xffffffff] * extents, b""
        for number, at in enumerate((3, 0, 19)):
            bits, piece = bytearray(512), bytearray(extent)
            for sector in range(extent // 512):
                piece[sector * 512:sector * 512 + 512] = rand.randbytes(512)
                if sector % 3 != 1:
                    bits[sector // 8] |= 1 << sector % 8
                    where = at * extent + sector * 512
                    disk[where:where + 512] = piece[sector * 512:sector * 512 + 512]
            del disk[extent * extents - 512:]
            catalog[at] = number
            body += bits + piece
        head = bytearray(512)
        head[:22], head[32:39], head[48:55] = b"Bochs Virtual HD Image", b"Redolog", b"Growing"
        head[64:84] = struct.pack("<IIIII", version, 512, extents, 512, extent)
        head[field:field + 8] = struct.pack("<Q", len(disk))
        write("a.bochs", head + struct.pack("<%dI" % extents, *catalog) + body)
        for tool in (run, peer):
            tool("convert", "-O", "raw", "a.bochs", "to.raw")
            assert content("to.raw") == disk, (version, tool)
    le = struct.Struct("<I").pack
    damage_is_refused("bochs", "a.bochs", (
        (0, b"x", "no header"), (32, b"x", "another kind"), (64, le(3), "another kind"), (80, le(1000), "extent has"),
        (76, le(0), "extent has"), (76, le(1), "extent has"), (72, le(0xffffffff), "catalogue"),
        (68, le(0xfffffff0), "catalogue"),
        (88, b"\xff" * 8, "does not fit")))


tap.run([disk_images_of_macos_are_read, damaged_disk_images_are_refused, compressed_loop_images_are_read,
         growing_images_of_bochs_are_read])
