#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How fast a guest reads a virtio disk: Debian's kernel under our translator with default options, and under Debian's QEMU
(translating as well) with its default options and with those that its users tune (I/O thread, io_uring), turn by
turn in one run. Medians, ratios, and the process's CPU time for each request. A program of ours, disk-guest.c, reads.
The host's own reads of the same file (disk-host.c) are the limit.

usage: disk.py BUILD-ROOT [--rounds N] [--seconds S] [--mib N] [--alone]
--seconds: of each row; --mib: the disk's size; --alone: without the peer
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../guest"))
from console import Console  # noqa: E402
import disk  # noqa: E402
from linux import with_programs  # noqa: E402

PEER = "qemu-system-x86_64"
ROWS = ("1M", "4k-depth-1", "4k-depth-32")
BYTES = {"1M": 1 << 20, "4k-depth-1": 4096, "4k-depth-32": 4096}
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def one_run(command, kernel, initrd, seconds):
    """name: (requests a second, CPU seconds of the process for each)"""
    console = Console([*command, "-m", "512", "-display", "none", "-serial", "stdio", "-monitor", "none", "-kernel",
                       kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet mitigations=off " + disk.SPARED])
    found = {}
    try:
        console.expect("Disk guest is up", 300)
        console.expect("# ", 60)
        console.type(f"stty -echo; disk-guest /dev/vda {seconds}\n")
        for name in ROWS:
            console.expect(f"row {name} begins", 60)
            before = cpu_seconds(console.process.pid)
            console.type("\n")
            console.expect(f"row {name} ", seconds * 3 + 60)
            spent = cpu_seconds(console.process.pid) - before
            count, took = re.match(r"(\d+) ([0-9.]+)", console.expect("\n", 10)).groups()
            found[name] = int(count) / float(took), spent / int(count)
        return found
    finally:
        console.close()


def host_alone(program, image, seconds):
    """The same of the host's own reads out of its page cache, one after the other: the limit of all of them."""
    text = subprocess.run([program, image, str(seconds)], check=True, capture_output=True, text=True).stdout
    found = {name: (int(count) / float(took), float(cpu) / int(count))
             for name, count, took, cpu in (line.split() for line in text.splitlines())}
    return {row: found[row.split("-", maxsplit=1)[0]] for row in ROWS}


def ways(build, image, alone):
    plain = ["-drive", f"file={image},format=raw,if=virtio"]
    tuned = ["-object", "iothread,id=io", "-blockdev", f"driver=file,filename={image},aio=io_uring,node-name=f",
             "-blockdev", "driver=raw,file=f,node-name=r", "-device", "virtio-blk-pci,drive=r,iothread=io"]
    found = {"Backplane": [os.path.join(build, "backplane-system-x86_64"), "-accel", "tcg", *plain]}
    peer = None if alone else shutil.which(PEER)
    if peer:
        found["QEMU"] = [peer, "-accel", "tcg", *plain]
        found["QEMU, tuned"] = [peer, "-accel", "tcg", *tuned]
    return found


def report(samples):
    median = {key: [statistics.median(s[n] for s in values) for n in (0, 1)] for key, values in samples.items()}
    names = list(dict.fromkeys(name for name, _ in samples))
    print("| reads | emulator | requests/s | MiB/s | CPU for each, microseconds | Backplane / it |\n"
          "|---|---|---|---|---|---|")
    for row in ROWS:
        for name in names:
            rate, cpu = median[name, row]
            print(f"| {row} | {name} | {rate:.0f} | {rate * BYTES[row] / 2 ** 20:.0f} | {cpu * 1e6:.1f} | "
                  f"{median['Backplane', row][0] / rate:.2f}x |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    samples = {}
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as folder:
        program, host, initrd, image = (os.path.join(folder, name) for name in ("disk-guest", "disk-host", "initrd", "disk"))
        for one in (program, host):
            subprocess.run(["cc", "-O2", "-static", "-o", one, os.path.join(HERE, os.path.basename(one) + ".c")], check=True)
        kernel, plain = disk.guest(("virtio_pci", "virtio_blk"))
        with_programs(plain, initrd, program)
        with open(image, "wb") as f:
            for _ in range(options.mib):
                f.write(os.urandom(1 << 20))
        for turn in range(options.rounds):
            for name, command in {**ways(options.build, image, options.alone), "the host alone": None}.items():
                for row, sample in (one_run(command, kernel, initrd, options.seconds) if command else
                                    host_alone(host, image, options.seconds)).items():
                    samples.setdefault((name, row), []).append(sample)
                    print(f"round {turn + 1}: {name}, {row}: {sample[0]:.0f} requests/s, "
                          f"{sample[1] * 1e6:.1f} us of CPU for each", file=sys.stderr)
    report(samples)


main()
