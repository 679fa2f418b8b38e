#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Board microvm: virtio devices in their slots, told on the kernel's command line; Debian's kernel starts on it without
firmware, with several processors, uses a disk, a network card and entropy, and starts again when it reboots."""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

import disk
from console import BINARY, TOP, Console

sys.path[:0] = [os.path.join(TOP, "tests", folder) for folder in ("qtest", "house")]
from qmp import fails  # noqa: E402
from qtest import QTest, Tap  # noqa: E402

SLOT, STEP, SLOTS = 0xFEB00000, 0x200, 8
IRQS = (5, 6, 7, 10, 11, 12, 14, 15)
DRIVERS = ("crc32c_generic", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "ext4")


def parts_are_there(q):
    for n in range(SLOTS):
        assert q.readl(SLOT + n * STEP) == 0x74726976 and q.readl(SLOT + n * STEP + 8) == 0, n
    q.outl(0xCF8, 0x80000000)
    assert q.inl(0xCFC) == 0xFFFFFFFF  # no PCI
    assert q.inb(0x64) == 0xFF  # no keyboard
    q.outb(0x70, 0x0D)
    assert q.inb(0x71) == 0x80  # a clock
    q.outw(0x510, 0)
    assert bytes(q.inb(0x511) for _ in range(4)) == b"QEMU"  # fw_cfg's signature
    q.writel(0xFEC00000, 1)
    assert q.readl(0xFEC00010) >> 16 & 0xFF == 23  # an I/O APIC with 24 pins


def devices_take_the_slots_in_turn():
    with QTest(["-M", "microvm", "-device", "virtio-rng-device", "-device", "virtio-serial-device"]) as q:
        assert [q.readl(SLOT + n * STEP + 8) for n in range(3)] == [4, 3, 0]
        assert q.readl(SLOT + 4) == 1
    with QTest(["-M", "microvm", "-global", "virtio-mmio.force-legacy=off", "-device", "virtio-rng-device"]) as q:
        assert q.readl(SLOT + 4) == 2


def command_line(kernel, *args, append="quiet"):
    """Of the kernel, as it stands in memory after a reset."""
    with QTest(["-M", "microvm,acpi=off", "-kernel", kernel, "-append", append, *args]) as q:
        at = struct.unpack("<I", q.read(0x10228, 4))[0]
        return q.read(at, 2048).partition(b"\0")[0].decode()


def kernels_are_told_of_the_devices():
    kernel = disk.guest(DRIVERS)[0]
    device = ("-device", "virtio-rng-device")
    assert command_line(kernel) == "quiet"
    assert command_line(kernel, *device) == "quiet virtio_mmio.device=512@0xfeb00000:5"
    assert command_line(kernel, *device, append="") == "virtio_mmio.device=512@0xfeb00000:5"
    assert command_line(kernel, *device, "-machine", "auto-kernel-cmdline=off") == "quiet"
    told = command_line(kernel, *device * SLOTS).split()
    assert told[1:] == ["virtio_mmio.device=512@%#x:%d" % (SLOT + n * STEP, IRQS[n]) for n in range(SLOTS)], told


def processor_is_the_best_there_is():
    with QTest(["-M", "microvm"]) as q:
        machines = q.qmp("query-machines")
        assert {m["name"]: m.get("default-cpu-type") for m in machines}["microvm"] == "max-x86_64-cpu"
        paths = [c["qom-path"] for c in q.qmp("query-cpus-fast")]
        assert [q.qmp("qom-get", {"path": path, "property": "type"}) for path in paths] == ["max-x86_64-cpu"]


def defaults_of_other_boards_are_left_out():
    """Without -nodefaults, as people type it: there is nothing for what a PC has by default."""
    done = subprocess.run([BINARY, "-M", "microvm", "-display", "none", "-qmp", "stdio", "-S"], capture_output=True,
                          input='{"execute": "qmp_capabilities"}{"execute": "quit"}', text=True, timeout=60, check=False)
    assert done.returncode == 0 and '"return"' in done.stdout, done


def mistakes_are_named():
    for args, words in ((("-device", "e1000"), "bus"), (("-vga", "std"), "-vga none"),
                        (("-M", "pit=off"), "pit=on"), (("-device", "virtio-rng-device") * 9, "virtio-bus"),
                        (("-parallel", "null"), "-parallel none"), (("-m", "1M"), "2 MiB"), (("-usb",), "usb"),
                        (("-drive", "if=ide,file=/dev/null,format=raw"), "ide"), (("-append", "a"), "-kernel")):
        said = fails(BINARY, "-M", "microvm", *args)
        assert words in said, (args, said)


def kernel_uses_its_devices():
    kernel, initrd = disk.guest(DRIVERS)
    with tempfile.TemporaryDirectory(prefix="microvm-") as folder, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        image, peer = os.path.join(folder, "disk"), os.path.join(folder, "peer")
        with open(image, "wb") as f:
            f.write(b"first sector".ljust(1 << 20, b"\1"))
        s.bind(peer)
        s.settimeout(120)
        console = Console([
            BINARY, "-M", "microvm", "-smp", "2", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none",
            "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet reboot=t " +
            disk.SPARED, "-drive", "if=virtio,format=raw,file=" + image, "-device", "virtio-rng-device", "-netdev",
            "dgram,id=n,local.type=unix,local.path=%s-2,remote.type=unix,remote.path=%s" % (peer, peer), "-device",
            "virtio-net-device,netdev=n,mac=52:54:00:12:34:56"])
        try:
            for start in range(2):
                console.expect("Disk guest is up", 400)
                console.expect("# ", 60)
                console.type("head -c 12 /dev/vda; echo; echo kept | dd of=/dev/vda bs=512 seek=9 conv=fsync 2>&1; "
                             "dd if=/dev/vda bs=512 skip=9 count=1 2>/dev/null | head -c 4; echo; nproc; "
                             "head -c 8 /dev/hwrng | wc -c; cat /sys/class/net/eth0/address; ls /sys/bus/pci 2>&1; "
                             "ip link set eth0 up; grep -c virtio /proc/interrupts; echo en''d\n")
                text = console.expect("\nend", 200).replace("\r", "")
                for line in ("first sector", "kept", "2", "8", "52:54:00:12:34:56"):
                    assert re.search("^%s$" % line, text, re.M), (line, text)
                assert s.recv(2048)[6:12] == bytes.fromhex("525400123456")  # of IPv6, to find neighbours
                console.expect("# ", 60)
                console.type("poweroff -f\n" if start else "reboot -f\n")
            assert console.wait(60) == 0
        finally:
            console.close()
        with open(image, "rb") as f:
            assert f.read()[9 * 512:][:5] == b"kept\n"


tap = Tap()
tap.machine_case("parts_are_there", ["-M", "microvm"], parts_are_there)
tap.case("devices_take_the_slots_in_turn", devices_take_the_slots_in_turn)
tap.case("kernels_are_told_of_the_devices", kernels_are_told_of_the_devices)
tap.case("processor_is_the_best_there_is", processor_is_the_best_there_is)
tap.case("defaults_of_other_boards_are_left_out", defaults_of_other_boards_are_left_out)
tap.case("mistakes_are_named", mistakes_are_named)
tap.case("kernel_uses_its_devices", kernel_uses_its_devices)
tap.done()
