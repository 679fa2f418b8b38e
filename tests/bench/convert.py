#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long it takes to compress an image of programs and texts, beside Debian's qemu-img, turn by turn: with what each
does when nothing is said, and with the same compression. Medians of the rounds, and the sizes of the images.

usage: convert.py BUILD-ROOT [ROUNDS [MIB]]
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

KINDS = (("as it is", ()), ("zlib", ("-o", "compression_type=zlib")), ("zstd", ("-o", "compression_type=zstd")))
PLACES = ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/include", "/usr/share/doc")


def fill(path, mib):
    with open(path, "wb") as out:
        for place in PLACES:
            end = out.tell() + (mib << 20) // len(PLACES)
            for folder, _, names in os.walk(place):
                for name in sorted(names):
                    whole = os.path.join(folder, name)
                    if os.path.isfile(whole) and not os.path.islink(whole) and out.tell() < end:
                        with open(whole, "rb") as part:
                            out.write(part.read(end - out.tell()))
        out.truncate(mib << 20)


def seconds(*command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - begin


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    mib = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    peer = shutil.which("qemu-img")
    tools = [("backplane-img", os.path.join(sys.argv[1], "backplane-img"))] + ([("qemu-img", peer)] if peer else [])
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as folder:
        source = os.path.join(folder, "in.raw")
        fill(source, mib)
        results = {}
        for turn in range(rounds):
            for kind, options in KINDS:
                for name, tool in tools:
                    target = os.path.join(folder, "out.qcow2")
                    took = seconds(tool, "convert", "-c", "-f", "raw", "-O", "qcow2", *options, source, target)
                    results.setdefault((kind, name), []).append((took, os.stat(target).st_size))
                    print("round %d: %s %s: %.2f s" % (turn + 1, kind, name, took), file=sys.stderr)
    print("| compression | tool | seconds | bytes |\n|---|---|---|---|")
    for (kind, name), got in results.items():
        print("| %s | %s | %.2f | %d |" % (kind, name, statistics.median(t for t, _ in got), got[0][1]))
    if peer:
        ours, theirs = (statistics.median(t for t, _ in results["as it is", name]) for name, _ in tools)
        print("\nwhere nothing is said: %.1f times as quick" % (theirs / ours))


if __name__ == "__main__":
    main()
