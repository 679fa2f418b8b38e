#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes an initramfs: busybox, an init script and /dev/console, as a gzipped cpio archive.

usage: make-initramfs.py BUSYBOX INIT OUTPUT

The archive is in the "newc" format (Linux Documentation/driver-api/early-userspace/buffer-format)
and is written here rather than with cpio(1), because only root may make a device node to archive.
"""
import gzip
import stat
import sys


def entry(number, name, mode, data=b"", rdev=(0, 0)):
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)


def main():
    busybox, init, output = sys.argv[1:]
    files = [(folder, stat.S_IFDIR | 0o755) for folder in ("bin", "dev")]
    files.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    files.append(("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)))
    with open(busybox, "rb") as f:
        files.append(("bin/busybox", stat.S_IFREG | 0o755, f.read()))
    files.append(("bin/sh", stat.S_IFLNK | 0o777, b"busybox"))
    with open(init, "rb") as f:
        files.append(("init", stat.S_IFREG | 0o755, f.read()))
    archive = b"".join(entry(n + 1, *f) for n, f in enumerate(files))
    archive += entry(0, "TRAILER!!!", 0)
    with open(output, "wb") as f:
        f.write(gzip.compress(archive, 6, mtime=0))


main()
