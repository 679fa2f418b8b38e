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
from disk import SPARED

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


def boot(*args, drivers=disk.DRIVERS):
    kernel, initrd = disk.guest(drivers)
    console = Console([BINARY, "-m", "512", "-nographic", "-kernel", kernel, "-initrd", initrd,
                       "-append", "console=ttyS0 quiet " + SPARED, *args])
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


def poweroff(console):
    console.type("sync; poweroff -f\n")
    assert console.wait(120) == 0


class First:
    """A guest with disks on IDE, ATAPI and AHCI and a floppy disk; cases share it."""

    def __init__(self, folder):
        self.ide, self.sata, self.cd, self.floppy = (os.path.join(folder, name) for name in ("ide", "sata", "cd", "fd"))
        image(self.ide, 64 << 20, True)
        image(self.sata, 64 << 20, True)
        self.digest, self.floppy_digest = pattern(self.cd, 2 << 20), pattern(self.floppy, 1440 << 10)
        self.console = boot("-drive", f"file={self.ide},format=raw", "-cdrom", self.cd, "-fda", self.floppy, "-device",
                            "ahci,id=sata,addr=06.0", "-drive", f"file={self.sata},format=raw,if=none,id=second",
                            "-device", "ide-hd,drive=second,bus=sata.0,serial=backplane-1")

    def kernel_writes_and_reads_ide_and_ahci_disks(self):
        console = self.console
        on_ide, on_ahci = name_of(console, "0000:00:01.1"), name_of(console, "0000:00:06.0")
        assert len(on_ide) == 2 and len(on_ahci) == 1, (on_ide, on_ahci)
        write_and_read(console, [n for n in on_ide if n.startswith("sd")][0], "IDE")
        write_and_read(console, on_ahci[0], "AHCI")
        text = run(console, "dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum", 300)
        assert self.digest in text, "the CD has not what its image has: " + text
        text = run(console, f"cat /sys/block/{on_ahci[0]}/device/vpd_pg80 | tr -d '\\000'")
        assert "backplane-1" in text, text
        errors = run(console, "dmesg | grep -iE 'exception|failed command|i/o error|timeout' | grep -v sr0")
        assert "ata" not in errors.replace("dmesg | grep", "").lower(), errors

    def floppy_is_read_and_written(self):
        text = run(self.console, "dd if=/dev/fd0 bs=18k 2>/dev/null | md5sum", 400)
        assert self.floppy_digest in text, text
        run(self.console, "yes backplane | dd of=/dev/fd0 bs=512 seek=100 count=9 2>/dev/null; sync", 300)

    def images_have_what_was_written(self):
        poweroff(self.console)
        is_clean(self.ide)
        is_clean(self.sata)
        with open(self.floppy, "rb") as f:
            data = f.read()
        assert data[100 * 512:109 * 512] == (b"backplane\n" * 500)[:9 * 512], "what was written is not in the image"
        assert len(data) == 1440 << 10

    CASES = (kernel_writes_and_reads_ide_and_ahci_disks, floppy_is_read_and_written, images_have_what_was_written)


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


class Second:
    """A guest with an image without an option and three drives beside it; cases share it."""

    def __init__(self, folder):
        (self.a, self.b, self.c, self.d, self.x, _), self.digests = media(folder)
        self.console = boot(self.a, "-hdb", self.b, "-hdc", self.c, "-hdd", self.d, "-fdb", self.x)

    def image_without_an_option_is_sda(self):
        """The first of the first cable; the kernel, which looks at all drives at once, may give it another letter."""
        text = run(self.console,
                   "for d in /sys/block/sd?; do readlink $d; done; readlink /sys/bus/pci/devices/0000:00:01.1/driver")
        found = re.findall(re.escape(PLACES[0]) + r"\S*/block/(sd[a-d])", text)
        assert len(found) == 1 and "drivers/ata_piix" in text, text
        assert contents(self.console, found[0]) == self.digests[self.a]

    def kernel_sees_each_drive_in_its_place(self):
        expect_on_cables(self.console, [("sd", self.digests[path]) for path in (self.a, self.b, self.c, self.d)])
        found = contents(self.console, "fd1")
        assert found == self.digests[self.x], found
        poweroff(self.console)

    CASES = (image_without_an_option_is_sda, kernel_sees_each_drive_in_its_place)


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


FAT_DRIVERS = (*disk.DRIVERS, "vfat", "nls_ascii", "nls_cp437")
FAT_NAMES = ("READ.ME", "lower.txt", "Mixed Case", "x" * 255, "\u00e4rger.txt", "\U0001f600.txt", "folder/inside",
             "folder/deep er/still deeper")


def fat_folder(folder):
    """The digests of what is in it."""
    digests = {}
    for n, name in enumerate(FAT_NAMES):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        digests[name] = pattern(path, 10000 * n + 1)
    return digests


def kernel_mounts_a_folder_as_a_fat_disk():
    """One that it may write to above an overlay, and a floppy disk; then the folder is as it was."""
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as top:
        wide, small = os.path.join(top, "wide"), os.path.join(top, "small")
        digests = {"disk": fat_folder(wide), "floppy": fat_folder(small)}
        console = boot("-drive", f"file=fat:32:{wide},format=raw,snapshot=on", "-drive",
                       f"file=fat:floppy:{small},format=raw,if=floppy,readonly=on", drivers=FAT_DRIVERS)
        try:
            name = name_of(console, "0000:00:01.1")[0]
            for device, kind in ((name + "1", "disk"), ("fd0", "floppy")):
                run(console, f"mount -t vfat -o ro,utf8 /dev/{device} /mnt", 300)
                found = run(console, "cd /mnt; find . -type f -exec md5sum {} +; cd /", 300)
                found = dict(line.split("  ./")[::-1] for line in found.splitlines() if "  ./" in line)
                assert found == digests[kind], (kind, found)
                run(console, "umount /mnt")
            text = run(console,
                       f"mount -t vfat -o utf8 /dev/{name}1 /mnt && rm -r /mnt/folder && echo new > /mnt/new && "
                       "cp /mnt/new /mnt/READ.ME && sync && umount /mnt && dmesg | grep -i fat-fs", 300)
            assert "error" not in text.lower() and "not properly unmounted" not in text, text
            poweroff(console)
        finally:
            console.close()
        for where, kind in ((wide, "disk"), (small, "floppy")):
            now = {os.path.relpath(os.path.join(root, name), where): hashlib.md5(open(os.path.join(root, name),
                                                                                      "rb").read())
                   .hexdigest() for root, _, names in os.walk(where) for name in names}
            assert now == digests[kind], (kind, now)


def share_a_guest(tap, kind):
    with tempfile.TemporaryDirectory(prefix="backplane-disks-") as folder:
        guest = None

        def case(function):
            nonlocal guest
            guest = guest or kind(folder)
            function(guest)
        try:
            for function in kind.CASES:
                tap.case(function.__name__, case, function)
        finally:
            if guest:
                guest.console.close()


if not os.path.exists(MKFS) or not os.path.exists(FSCK):
    print("1..0 # SKIP mkfs.ext4 and e2fsck are missing (e2fsprogs)")
else:
    try:
        disk.guest()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
    else:
        tap = Tap()
        share_a_guest(tap, First)
        share_a_guest(tap, Second)
        tap.case("kernel_sees_what_drive_options_place", kernel_sees_what_drive_options_place)
        tap.case("q35_has_its_disk_on_ahci", q35_has_its_disk_on_ahci)
        tap.case("kernel_mounts_a_folder_as_a_fat_disk", kernel_mounts_a_folder_as_a_fat_disk)
        tap.done()
