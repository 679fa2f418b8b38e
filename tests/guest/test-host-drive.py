#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulator inside of its own guest: Linux's CD drive there is the outer machine's, so that driver `host_cdrom` meets
the kernel's ioctls, and a tray that somebody else moves."""
import os
import subprocess
import sys
import time

from console import BINARY, SLOW, TOP, Tap
from linux import Guest

sys.path.insert(0, os.path.join(TOP, "tests", "house"))
from tap import work_folder  # noqa: E402

WORK = work_folder("host-drive-")
BUILD = os.path.dirname(BINARY)
INNER = "-accel qtest -display none -nodefaults -M pc -m 16 -monitor stdio"
# What such a machine loads.
MODULES = ("accel-qtest", "block", "block-host-cdrom", "block-raw", "board-pc", "chardev", "chardev-stdio", "cpu-x86",
           "display", "hw-acpi-tables", "hw-apic", "hw-fdc", "hw-fw-cfg", "hw-hpet", "hw-i8042", "hw-i8237", "hw-i8254",
           "hw-i8259", "hw-ide", "hw-ide-piix", "hw-ioapic", "hw-mc146818", "hw-pc-dimm", "hw-pflash", "hw-piix",
           "hw-smbios", "hw-smbus-eeprom", "hw-vmport", "i2c", "isa", "net", "pci")


def bare(path):
    """Without what debuggers want, of which there is much."""
    target = os.path.join(WORK, os.path.basename(path))
    subprocess.run(["strip", "--strip-debug", "-o", target, path], check=True)
    return target


def program():
    """It and what belongs to it, as the build folder has it."""
    files = {"bp/" + os.path.basename(BINARY): bare(BINARY),
             "bp/core/libbackplane.so.1": bare(os.path.join(BUILD, "core", "libbackplane.so.1"))}
    files.update(("bp/modules/%s.so" % name, bare(os.path.join(BUILD, "modules", name + ".so"))) for name in MODULES)
    return files


def disc(name, sectors):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.write(name.encode().ljust(2048) * sectors)
    return path


def outer_tray(g):
    return next(b for b in g.qmp("query-block") if b["device"] == "ide1-cd0")["tray_open"]


def until(true, what):
    end = time.monotonic() + 90 * SLOW
    while not true():
        assert time.monotonic() < end, what
        time.sleep(1)


def trays_are_one():
    first, second = disc("first", 200), disc("second", 300)
    with Guest("-m", "512", "-M", "pc", "-cdrom", first, drivers=("ata_piix", "sr_mod"), more=program()) as g:
        def says(command, *wanted):
            """What the inner monitor answers, once it says that."""
            def there():
                seen.append(g.run("echo '%s' >&3; sleep 1; tail -n 8 /out" % command))
                return all(word in seen[-1] for word in wanted)
            seen = []
            until(there, (command, wanted, seen))

        g.run("mkfifo /in; /bp/%s %s -cdrom /dev/sr0 </in >/out 2>&1 & exec 3>/in" % (os.path.basename(BINARY), INNER))
        says("info block ide1-cd0", "/dev/sr0 (raw, read-only)", "tray closed")
        says("qom-list /block-nodes", "block-host_cdrom")
        # Somebody opens the drive, and puts another disc in.
        g.qmp("blockdev-open-tray", device="ide1-cd0")
        says("info block ide1-cd0", "none", "tray open")
        g.qmp("blockdev-change-medium", device="ide1-cd0", filename=second)
        says("info block ide1-cd0", "/dev/sr0 (raw, read-only)", "tray closed")
        # The inner machine opens it.
        assert not outer_tray(g)
        g.run("echo eject ide1-cd0 >&3")
        until(lambda: outer_tray(g), "the outer tray does not open")
        g.run("echo quit >&3; wait")


tap = Tap()
tap.case("tray_of_linux_and_of_its_guest_are_one", trays_are_one)
tap.done()
