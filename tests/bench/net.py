#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How fast a guest's network is: TCP to and from the host through user networking, a TAP interface and passt, and between
two guests (our named switch, the peer's socket), under our translator with default options and under Debian's QEMU, turn
by turn in one run. Medians, ratios, and the CPU time of the emulators (and passt). net-peer.c is at both ends.

Everything is in a network namespace of its own; root's rights are needed for that.

usage: net.py BUILD-ROOT [--rounds N] [--seconds S] [--ways user,tap,passt,guests] [--alone]
--seconds: of each row; --alone: without the peer
"""
import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../guest"))
import network  # noqa: E402

PEER = "qemu-system-x86_64"
CLONE_NEWNET = 0x40000000
PORT = "5077"
ROWS = {"send": "guest to host", "receive": "host to guest", "ask": "questions"}
BETWEEN = {"send": "guest to guest", "ask": "questions"}
TICKS = os.sysconf("SC_CLK_TCK")
MAC = ["52:54:00:00:77:%02x" % n for n in (1, 2)]


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder, self.samples = options, folder, {}
        self.program = os.path.join(folder, "net-peer")
        subprocess.run(["cc", "-O2", "-static", "-o", self.program, os.path.join(HERE, "net-peer.c")], check=True)
        self.server = subprocess.Popen([self.program, "serve", PORT], stdout=subprocess.PIPE, start_new_session=True)
        self.server.stdout.readline()

    def guest(self, binary, address, netdev, mac=MAC[0]):
        g = network.Guest(("virtio_pci", "virtio_net"), "-accel", "tcg", "-netdev", netdev,
                          "-device", "virtio-net-pci,netdev=n,mac=" + mac, binary=binary,
                          more={"bin/net-peer": self.program})
        g.run("ip link set eth0 up; ip addr add %s/24 dev eth0" % address)
        return g

    def measure(self, way, who, g, to, pids, rows):
        end = time.monotonic() + 60
        while g.status("ping -c 1 -W 1 " + to, 60)[0] != 0 and time.monotonic() < end:
            pass
        for row in rows:
            before = cpu_seconds(pids)
            text = g.run("net-peer %s %s %s %s" % (row, to, PORT, self.options.seconds), 60 + 3 * self.options.seconds)
            spent = cpu_seconds(pids) - before
            count, took = (float(word) for word in text.rsplit(row + " ", 1)[1].split()[:2])
            unit = 1 if row == "ask" else 2 ** 20
            self.samples.setdefault((way, row), {}).setdefault(who, []).append(
                (count / took / unit, spent / count * unit))
            print("%s, %s, %s: %.0f" % (way, who, row, count / took / unit), file=sys.stderr)

    # ---- ways ----

    def user(self, who, binary):
        with contextlib.closing(self.guest(binary, "10.0.2.15", "user,id=n")) as g:
            self.measure("user", who, g, "10.0.2.2", [g.console.process.pid], ROWS)

    def tap(self, who, binary):
        with contextlib.closing(self.guest(binary, "10.7.0.2", "tap,id=n,ifname=bench0,script=no,downscript=no")) as g:
            ip("link set bench0 up")
            ip("addr replace 10.7.0.1/24 dev bench0")
            self.measure("tap", who, g, "10.7.0.1", [g.console.process.pid], ROWS)

    def passt(self, who, binary):
        path = os.path.join(self.folder, "passt")
        server = subprocess.Popen(["passt", "-f", "-s", path, "--runas", "0"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(path):
                assert server.poll() is None, "passt does not start"
                time.sleep(0.02)
            netdev = "stream,id=n,server=off,addr.type=unix,addr.path=" + path
            with contextlib.closing(self.guest(binary, "10.8.0.2", netdev)) as g:
                self.measure("passt", who, g, "10.8.0.1", [g.console.process.pid, server.pid], ROWS)
        finally:
            server.kill()
            server.wait()

    def guests(self, who, binary):
        """Ours by the named switch, and both by the socket that the peer has."""
        ways = {"socket": ("socket,id=n,listen=127.0.0.1:5078", "socket,id=n,connect=127.0.0.1:5078")}
        if who == "Backplane":
            ways["switch"] = ("switch,id=n,name=bench", "switch,id=n,name=bench")
        for name, (first, second) in ways.items():
            with contextlib.closing(self.guest(binary, "10.9.0.1", first)) as a, \
                    contextlib.closing(self.guest(binary, "10.9.0.2", second, MAC[1])) as b:
                a.run("(net-peer serve %s > /dev/null &)" % PORT)
                self.measure("guests", who + (", switch" if name == "switch" else ""), b, "10.9.0.1",
                             [a.console.process.pid, b.console.process.pid], BETWEEN)

    def report(self):
        print("| network | row | emulator | MiB/s or answers/s | CPU for each, microseconds | Backplane / it |\n"
              "|---|---|---|---|---|---|")
        for (way, row), found in self.samples.items():
            median = {who: [statistics.median(s[n] for s in values) for n in (0, 1)] for who, values in found.items()}
            best = max(median[who][0] for who in median if who.startswith("Backplane"))
            for who, (rate, cpu) in median.items():
                print("| %s | %s | %s | %.0f | %.0f | %.2fx |" % (way, (BETWEEN if way == "guests" else ROWS)[row], who,
                                                                rate, cpu * 1e6, best / rate))


def main():
    # Whoever ends it ends its guests and servers, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--ways", default="user,tap,passt,guests")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        sys.exit("net: a network namespace of its own cannot be made (are you root?)")
    for words in ("link set lo up", "link add out0 type veth peer name out1", "link set out1 up", "addr add 10.8.0.2/24 dev out0", "link set out0 up",
                  "route add default via 10.8.0.1 dev out0"):
        ip(words)
    emulators = {"Backplane": os.path.join(options.build, "backplane-system-x86_64")}
    if not options.alone and shutil.which(PEER):
        emulators["QEMU"] = shutil.which(PEER)
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as folder:
        bench = Bench(options, folder)
        try:
            for _ in range(options.rounds):
                for way in options.ways.split(","):
                    for who, binary in emulators.items():
                        getattr(bench, way)(who, binary)
        finally:
            bench.server.kill()
            bench.server.wait()
    bench.report()


main()
