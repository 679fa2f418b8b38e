#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's standard kernel with its own drivers on IDE, ATAPI and AHCI: what it writes is there, in the image too."""
import hashlib
import os
import random
import re
import shutil
import subprocess
import tempfile

import disk
from console import BINARY, Console, Tap

BOOT_SECONDS = 300
MKFS = shutil.which("mkfs.ext4") or "/sbin/mkfs.ext4"
FSCK = shutil.which("e2fsck") or "/sbin/e2fsck"


def image(path, size, filesystem):
    with open(path, "wb") as f:
        f.truncate(size)
    if filesystem:
        subprocess.run([MKFS, "-q", "-F", path], check=True)


def pattern(path, size):
    """A medium with contents that are nowhere else."""
    data = random.Random(size).randbytes(size)
    with open(path, "wb") as f:
        f.write(data)
    return hashlib.md5(data).hexdigest()


def boot(*args):
    kernel, initrd = disk.guest()
    console = Console([BINARY, "-m", "512", "-nographic", "-kernel", kernel, "-initrd", initrd,
                       "-append", "console=ttyS0 quiet", *args])
    console.expect("Disk guest is up", BOOT_SECONDS)
    console.expect("# ", 60)
    return console


def run(console, command, seconds=120):
    """What a command of the guest prints."""
    console.type(command + "; echo; echo en''d\n")
    text = console.expect("\nend", seconds)
    console.expect("# ", 60)
    return text.replace("\r", "")


def write_and_read(console, device, where):
    """A file is written, the medium unmounted, and the file read from it again."""
    text = run(console, f"mount /dev/{device} /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null && "
               "md5sum /mnt/file && umount /mnt && echo 3 > /proc/sys/vm/drop_caches && "
               f"mount /dev/{device} /mnt && md5sum /mnt/file && umount /mnt", 300)
    sums = re.findall(r"([0-9a-f]{32})  /mnt/file", text)
    assert len(sums) == 2 and sums[0] == sums[1], f"{where}: {text!r}"


def is_clean(path):
    check = subprocess.run([FSCK, "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert check.returncode == 0, check.stdout


def name_of(console, host):
    """The guest's name of the disk on a SCSI host whose path has this text."""
    text = run(console, f"for d in /sys/block/sd* /sys/block/sr*; do readlink $d; done | grep {host}")
    names = [line.split("/")[-1] for line in text.splitlines() if "/block/s" in line and host in line]
    assert names, text
    return names


def ide_and_ahci(folder):
    ide, sata, cd = (os.path.join(folder, name) for name in ("ide.img", "sata.img", "cd.img"))
    image(ide, 64 << 20, True)
    image(sata, 64 << 20, True)
    digest = pattern(cd, 2 << 20)
    console = boot("-drive", f"file={ide},format=raw", "-cdrom", cd, "-device", "ahci,id=sata,addr=06.0",
                   "-drive", f"file={sata},format=raw,if=none,id=second", "-device",
                   "ide-hd,drive=second,bus=sata.0,serial=backplane-1")
    try:
        on_ide, on_ahci = name_of(console, "0000:00:01.1"), name_of(console, "0000:00:06.0")
        yield "both controllers have their drives", len(on_ide) == 2 and len(on_ahci) == 1
        write_and_read(console, [n for n in on_ide if n.startswith("sd")][0], "IDE")
        write_and_read(console, on_ahci[0], "AHCI")
        text = run(console, "dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum", 300)
        yield "the CD has what its image has", digest in text
        text = run(console, f"cat /sys/block/{on_ahci[0]}/device/vpd_pg80 | tr -d '\\000'")
        yield "the serial number is the user's", "backplane-1" in text
        errors = run(console, "dmesg | grep -iE 'exception|failed command|i/o error|timeout' | grep -v sr0")
        yield "the kernel has nothing to complain of", "ata" not in errors.replace("dmesg | grep", "").lower()
        console.type("sync; poweroff -f\n")
        yield "it powers off", console.wait(120) == 0
    finally:
        console.close()
    is_clean(ide)
    is_clean(sata)


def floppy_is_read_and_written():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        path = os.path.join(folder, "floppy.img")
        digest = pattern(path, 1440 << 10)
        console = boot("-fda", path)
        try:
            text = run(console, "dd if=/dev/fd0 bs=18k 2>/dev/null | md5sum", 400)
            assert digest in text, text
            run(console, "yes backplane | dd of=/dev/fd0 bs=512 seek=100 count=9 2>/dev/null; sync", 300)
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()
        with open(path, "rb") as f:
            data = f.read()
        assert data[100 * 512:109 * 512] == (b"backplane\n" * 500)[:9 * 512], "what was written is not in the image"
        assert len(data) == 1440 << 10


PLACES = ("ata1/host0/target0:0:0/", "ata1/host0/target0:0:1/", "ata2/host1/target1:0:0/", "ata2/host1/target1:0:1/")


def media(folder):
    """Six media with contents of their own: paths, and digests by path."""
    paths = [os.path.join(folder, name) for name in ("a", "b", "c", "d", "x", "y")]
    return paths, {path: pattern(path, size) for path, size in
                   zip(paths, [(1 << 20) + 2048 * n for n in range(4)] + [1440 << 10, 720 << 10])}


def contents(console, device):
    found = re.search("([0-9a-f]{32})  -", run(console, f"dd if=/dev/{device} bs=2048 2>/dev/null | md5sum", 400))
    return found and found.group(1)


def expect_on_cables(console, wanted):
    """`wanted`: for each of the four places the kind of device, and the digest of its medium."""
    text = run(console, "for d in /sys/block/s[dr]*; do readlink $d; done")
    for place, (kind, digest) in zip(PLACES, wanted):
        names = re.findall(re.escape(place) + r"\S*/block/(\w+)", text)
        assert len(names) == 1 and names[0].startswith(kind), (place, text)
        if digest:
            found = contents(console, names[0])
            assert found == digest, (place, names, found)


def kernel_sees_each_drive_in_its_place():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        (a, b, c, d, x, y), digests = media(folder)
        console = boot(a, "-hdb", b, "-hdc", c, "-hdd", d, "-fdb", x)
        try:
            expect_on_cables(console, [("sd", digests[path]) for path in (a, b, c, d)])
            found = contents(console, "fd1")
            assert found == digests[x], found
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


def image_without_an_option_is_sda():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        path = os.path.join(folder, "disk.img")
        digest = pattern(path, 1 << 20)
        console = boot(path)
        try:
            text = run(console, "readlink /sys/block/sda; readlink /sys/bus/pci/devices/0000:00:01.1/driver")
            assert PLACES[0] in text and "drivers/ata_piix" in text, text
            assert contents(console, "sda") == digest
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


def kernel_sees_what_drive_options_place():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        (a, b, c, d, x, y), digests = media(folder)
        console = boot("-drive", f"file={a}", "-drive", "if=ide,index=1,media=cdrom", "-drive",
                       f"file={c},index=2,media=cdrom", "-drive", f"file={d},bus=1,unit=1,media=disk", "-drive",
                       f"file={x},index=0,if=floppy", "-drive", f"file={y},index=1,if=floppy")
        try:
            expect_on_cables(console, [("sd", digests[a]), ("sr", None), ("sr", digests[c]), ("sd", digests[d])])
            assert contents(console, "fd0") == digests[x]
            assert contents(console, "fd1") == digests[y]
            console.type("\x01c")
            console.expect("(qemu) ", 30)
            console.type(f"change ide0-cd1 {b} raw\n")
            console.expect("(qemu) ", 30)
            console.type("\x01c\n")
            console.expect("# ", 60)
            expect_on_cables(console, [("sd", None), ("sr", digests[b])])
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


def q35_has_its_disk_on_ahci():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        path = os.path.join(folder, "disk.img")
        image(path, 64 << 20, True)
        console = boot("-machine", "q35", "-drive", f"file={path},format=raw", "-global",
                       "ide-hd.physical_block_size=4096")
        try:
            name = name_of(console, "0000:00:1f.2")[0]
            text = run(console, f"cat /sys/block/{name}/queue/physical_block_size")
            assert "\n4096\n" in text, text
            write_and_read(console, name, "AHCI")
            console.type("sync; poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()
        is_clean(path)


def kernel_writes_and_reads_ide_and_ahci_disks():
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        for what, good in ide_and_ahci(folder):
            assert good, what


if not os.path.exists(MKFS) or not os.path.exists(FSCK):
    print("1..0 # SKIP mkfs.ext4 and e2fsck are missing (e2fsprogs)")
else:
    try:
        disk.guest()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
    else:
        tap = Tap()
        tap.case("kernel_writes_and_reads_ide_and_ahci_disks", kernel_writes_and_reads_ide_and_ahci_disks)
        tap.case("kernel_sees_each_drive_in_its_place", kernel_sees_each_drive_in_its_place)
        tap.case("image_without_an_option_is_sda", image_without_an_option_is_sda)
        tap.case("kernel_sees_what_drive_options_place", kernel_sees_what_drive_options_place)
        tap.case("q35_has_its_disk_on_ahci", q35_has_its_disk_on_ahci)
        tap.case("floppy_is_read_and_written", floppy_is_read_and_written)
        tap.done()
