#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints a file that -trace file=FILE wrote (docs/tracing.md): "SECONDS THREAD NAME TEXT", one line for each point passed.

usage: read-trace.py FILE
"""
import struct
import sys

HEADER, RECORD = struct.Struct("<8sII"), struct.Struct("<IIIIQ")
NAME = 0x80000000


def read(path):
    """(time in ns, thread, name, text) of each point passed. ValueError: what is wrong with the file."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < HEADER.size:
        raise ValueError("is no trace file: it has %d bytes" % len(data))
    magic, version, at = HEADER.unpack_from(data)
    if magic != b"BPTRACE\n" or version != 1 or at < HEADER.size:
        raise ValueError("is no trace file of version 1")
    names = {}
    while at < len(data):
        if len(data) - at < RECORD.size:
            raise ValueError("is cut in the record at byte %d" % at)
        length, point, thread, _, time = RECORD.unpack_from(data, at)
        text = data[at + RECORD.size:at + RECORD.size + length]
        if len(text) < length:
            raise ValueError("is cut in the record at byte %d" % at)
        at += RECORD.size + length
        if point & NAME:
            names[point & ~NAME] = text.decode(errors="replace")
        elif point not in names:
            raise ValueError("has a point without a name: %d" % point)
        else:
            yield time, thread, names[point], text.decode(errors="replace")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        for time, thread, name, text in read(sys.argv[1]):
            print("%d.%09d %d %s %s" % (time // 10**9, time % 10**9, thread, name, text))
    except (OSError, ValueError) as error:
        sys.exit("read-trace: %s: %s" % (sys.argv[1], error))


if __name__ == "__main__":
    main()
