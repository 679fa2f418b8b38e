#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Tools for images beside Debian's qemu-utils and nbdkit, turn by turn in one run. Medians of the rounds, and how many
times their time ours is.

usage: img.py BUILD-ROOT [ROUNDS [MIB]]
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from convert import fill

WRITES = 20000


def seconds(*command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def served(folder, server, source):
    """Copying an export that the command line `server` serves at the socket."""
    socket = os.path.join(folder, "socket")
    if os.path.exists(socket):
        os.unlink(socket)
    with subprocess.Popen([*server, source], stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not os.path.exists(socket):
                assert process.poll() is None and time.monotonic() < end, server
                time.sleep(0.01)
            return seconds("nbdcopy", "--connections=4", "nbd+unix:///?socket=" + socket, "null:")
        finally:
            process.terminate()


class Work:
    """What is timed; each method takes a folder and the tools of a side."""

    def __init__(self, folder, build):
        self.folder = folder
        self.ours = {n: os.path.join(build, "backplane-" + n) for n in ("img", "nbd")}
        self.theirs = {n: shutil.which("qemu-" + n) for n in ("img", "nbd")}

    def path(self, name):
        return os.path.join(self.folder, name)

    def compress(self, tools):
        return seconds(tools["img"], "convert", "-c", "-f", "raw", "-O", "qcow2", self.path("in.raw"),
                       self.path("out.qcow2"))

    def read_back(self, tools):
        return seconds(tools["img"], "convert", "-f", "qcow2", "-O", "raw", self.path("packed.qcow2"),
                       self.path("out.raw"))

    def allocate(self, tools):
        image = self.path("new.qcow2")
        if os.path.exists(image):
            os.unlink(image)
        subprocess.run([tools["img"], "create", "-q", "-f", "qcow2", image, "4G"], check=True)
        return seconds(tools["img"], "bench", "-q", "-f", "qcow2", "-w", "-c", str(WRITES), "-s", "4096", "-S", "65536",
                       "-d", "16", image)

    def info(self, tools):
        return seconds("sh", "-c", 'for i in 1 2 3 4 5 6 7 8 9 10; do "$0" info -f qcow2 "$1"; done', tools["img"],
                       self.path("packed.qcow2"))

    def serve(self, tools):
        return served(self.folder, [tools["nbd"], "-t", "-r", "-e", "0", "-k", self.path("socket"), "-f", "raw"],
                      self.path("big.raw"))

    def serve_nbdkit(self, tools):
        if tools is self.ours:
            return self.serve(tools)
        return served(self.folder, ["nbdkit", "-f", "-r", "-U", self.path("socket"), "file"], self.path("big.raw"))


ROWS = (("compress to qcow2", "compress", "at most 0.20"), ("read it back", "read_back", "at most 0.50"),
        ("%d allocating writes" % WRITES, "allocate", "at most 0.50"), ("info, 10 times", "info", "at most 0.40"),
        ("serve and copy 1 GiB, qemu-nbd", "serve", "at most 0.70"),
        ("serve and copy 1 GiB, nbdkit", "serve_nbdkit", "at most 1.10"))


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    mib = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    for needed in ("qemu-img", "qemu-nbd", "nbdkit", "nbdcopy"):
        if not shutil.which(needed):
            sys.exit("%s is missing (qemu-utils, nbdkit, libnbd-bin)" % needed)
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as folder:
        work = Work(folder, os.path.abspath(sys.argv[1]))
        fill(work.path("in.raw"), mib)
        fill(work.path("big.raw"), 1024)
        subprocess.run([work.theirs["img"], "convert", "-c", "-f", "raw", "-O", "qcow2", work.path("in.raw"),
                        work.path("packed.qcow2")], check=True)
        times = {}
        for turn in range(rounds):
            for name, method, _ in ROWS:
                for side in ("ours", "theirs"):
                    took = getattr(work, method)(getattr(work, side))
                    times.setdefault((name, side), []).append(took)
                    print("round %d: %s, %s: %.2f s" % (turn + 1, name, side, took), file=sys.stderr)
    print("| work | ours, s | theirs, s | ours / theirs | aim |\n|---|---|---|---|---|")
    for name, _, aim in ROWS:
        ours, theirs = (statistics.median(times[name, side]) for side in ("ours", "theirs"))
        print("| %s | %.2f | %.2f | %.2f | %s |" % (name, ours, theirs, ours / theirs, aim))


if __name__ == "__main__":
    main()
