#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SeaBIOS boots from disks, CDs and floppies: a boot sector reads the next sector by BIOS and prints it on COM1."""
import os
import shutil
import struct
import subprocess
import tempfile
import time

import packages
from bootable import cd, disk
from console import BINARY, SLOW, Console, Tap

SECONDS = 120


def prints(text, *args):
    console = Console([BINARY, "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none", *args])
    try:
        console.expect(text, SECONDS)
    finally:
        console.close()


def boots(what, make, *args):
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        path = os.path.join(folder, "image")
        make(path, what)
        prints(what, *(arg.replace("IMAGE", path) for arg in args))


def megabytes(path, text):
    disk(path, text, 8 << 20)


def floppy(path, text):
    disk(path, text, 1440 << 10)


def ide_disk():
    boots("the IDE disk is booted", megabytes, "-hda", "IMAGE")
    boots("the image without an option is booted", megabytes, "IMAGE")


def virtio_disk():
    for machine in ("pc", "q35"):
        boots("the virtio disk is booted", megabytes, "-machine", machine, "-drive", "file=IMAGE,format=raw,if=virtio")
    boots("the modern virtio disk is booted", megabytes, "-drive", "file=IMAGE,format=raw,if=none,id=d", "-device",
          "virtio-blk-pci-non-transitional,drive=d,bootindex=0")


def virtio_scsi_disk():
    boots("the SCSI disk is booted", megabytes, "-drive", "file=IMAGE,format=raw,if=none,id=d", "-device",
          "virtio-scsi-pci", "-device", "scsi-hd,drive=d,bootindex=0")


def parallel_scsi():
    boots("the disk of if=scsi is booted", megabytes, "-machine", "q35", "-drive", "file=IMAGE,format=raw,if=scsi")
    boots("the disk on an Am53C974 is booted", megabytes, "-drive", "file=IMAGE,format=raw,if=none,id=d", "-device",
          "am53c974", "-device", "scsi-hd,drive=d,bootindex=0")
    boots("the CD on a 53C895A is booted", cd, "-drive", "file=IMAGE,format=raw,if=none,id=d,readonly=on", "-device",
          "lsi53c895a", "-device", "scsi-cd,drive=d,scsi-id=3,bootindex=0")


def slave_disk_by_bootindex():
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
        megabytes(first, "the first disk is booted")
        megabytes(second, "the second disk is booted")
        prints("the second disk is booted", "-drive", f"file={first},format=raw", "-drive",
               f"file={second},format=raw,if=none,id=b", "-device", "ide-hd,drive=b,bus=ide.0,unit=1,bootindex=0")


def cdrom():
    boots("the CD is booted", cd, "-cdrom", "IMAGE", "-boot", "d")


def floppy_disk():
    boots("the floppy is booted", floppy, "-drive", "file=IMAGE,format=raw,if=floppy", "-boot", "a")
    boots("the floppy of -fda is booted", floppy, "-fda", "IMAGE", "-boot", "a")


def order_decides():
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        a, c, d = (os.path.join(folder, name) for name in "acd")
        floppy(a, "the floppy is booted")
        megabytes(c, "the IDE disk is booted")
        cd(d, "the CD is booted")
        media = ("-fda", a, "-hda", c, "-cdrom", d)
        for order, what in (("order=a", "the floppy"), ("order=c", "the IDE disk"), ("order=dc", "the CD")):
            prints(what + " is booted", *media, "-boot", order)
        console = Console([BINARY, "-m", "64", "-display", "none", "-serial", "mon:stdio", *media, "-boot", "once=d"])
        try:
            console.expect("the CD is booted", SECONDS)
            console.type("\x01c")
            console.expect("(qemu) ", 30)
            console.type("system_reset\n\x01c")
            console.expect("the IDE disk is booted", SECONDS)
        finally:
            console.close()


def unsigned(path, text):
    floppy(path, text)
    with open(path, "r+b") as f:
        f.seek(510)
        f.write(b"\0\0")


def floppy_without_signature():
    for option in (("-no-fd-bootchk",), ("-machine", "fd-bootchk=off")):
        boots("the unsigned floppy is booted", unsigned, "-fda", "IMAGE", "-boot", "a", *option)
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        path, other = os.path.join(folder, "image"), os.path.join(folder, "other")
        unsigned(path, "the unsigned floppy is booted")
        megabytes(other, "the disk is booted instead")
        prints("the disk is booted instead", "-fda", path, "-hda", other, "-boot", "ac")


def bitmap(path, width, height):
    size = width * height * 3
    with open(path, "wb") as f:
        f.write(struct.pack("<2sIII", b"BM", 54 + size, 0, 54))
        f.write(struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 2835, 2835, 0, 0))
        f.write(bytes((0x30, 0x80, 0xd0)) * (width * height))


def jpeg(path, width, height):
    pixels = b"P6\n%d %d\n255\n" % (width, height) + bytes((0xd0, 0x80, 0x30)) * (width * height)
    with open(path, "wb") as f:
        f.write(subprocess.run(["pnmtojpeg", "--quality=100"], input=pixels, check=True, stdout=subprocess.PIPE).stdout)


def is_shown(data, width, height):
    """The picture of one colour, as exact as its format and the mode of 16 bits are."""
    if not data.startswith(b"P6\n%d %d\n255\n" % (width, height)):
        return False
    pixels = data[-3 * width * height:]
    return all(abs(pixels[at] - (0xd0, 0x80, 0x30)[at % 3]) < 16 for at in range(0, len(pixels), 997))


def splash_of(make, width, height):
    """It fills its mode until the time is over."""
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        picture, dump = os.path.join(folder, "boot.pic"), os.path.join(folder, "dump.ppm")
        make(picture, width, height)
        began = time.monotonic()
        console = Console([BINARY, "-m", "64", "-display", "none", "-serial", "none", "-monitor", "stdio", "-boot",
                           f"menu=on,splash={picture},splash-time=5000"])
        try:
            seen, end = [], time.monotonic() + SECONDS * SLOW
            console.expect("(qemu) ", 30)
            while len(seen) < 2:  # it comes, and it goes
                assert time.monotonic() < end, seen
                console.type(f"screendump {dump}\n")
                console.expect("(qemu) ", 30)
                with open(dump, "rb") as f:
                    shown = is_shown(f.read(), width, height)
                if shown != (seen[-1] if seen else False):
                    seen.append(shown)
                time.sleep(0.2)
            assert seen == [True, False], seen
            # However slow this computer is, it is not gone before; firmware's own time would be half of it.
            assert time.monotonic() - began > 4.9
        finally:
            console.close()


def splash():
    splash_of(bitmap, 640, 480)


def splash_of_800x600():
    splash_of(bitmap, 800, 600)


def splash_without_a_mode_is_firmwares_to_refuse():
    """It has the picture, and no mode of that size: so it says, and the screen stays text (as under Debian's QEMU)."""
    for width, height in ((320, 240), (800, 640)):
        with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
            picture, log = os.path.join(folder, "boot.bmp"), os.path.join(folder, "log")
            bitmap(picture, width, height)
            open(log, "w", encoding="latin-1").close()
            console = Console([BINARY, "-m", "64", "-display", "none", "-serial", "none", "-monitor", "stdio",
                               "-debugcon", f"file:{log}", "-global", "isa-debugcon.iobase=0x402",
                               "-boot", f"menu=on,splash={picture},splash-time=100"])
            try:
                end = time.monotonic() + SECONDS * SLOW
                text = ""
                while f"failed to find a videomode with {width}x{height} 24bpp" not in text:
                    assert time.monotonic() < end, text[-1000:]
                    time.sleep(0.2)
                    with open(log, encoding="latin-1") as f:
                        text = f.read()
            finally:
                console.close()


def splash_as_jpeg():
    splash_of(jpeg, 640, 480)


def ahci_disk_of_a_pc():
    boots("the AHCI disk is booted", megabytes, "-device", "ahci,id=sata", "-drive",
          "file=IMAGE,format=raw,if=none,id=d", "-device", "ide-hd,drive=d,bus=sata.3,bootindex=1")


def q35_disk():
    boots("the disk of a q35 is booted", megabytes, "-machine", "q35", "-hda", "IMAGE")


def devices_of_the_host():
    """Block devices, as a disk and as a CD whose sectors have 2048 bytes: loop devices stand for them."""
    with tempfile.TemporaryDirectory(prefix="backplane-disk-boot-") as folder:
        for make, text, loop, args in (
                (megabytes, "a disk of the host is booted", [], ("-hda", "DEVICE")),
                (megabytes, "a disk without cache is booted", [], ("-drive", "file=DEVICE,format=raw,cache=none")),
                (megabytes, "a disk of large sectors is booted", ["--sector-size", "4096"],
                 ("-drive", "file=DEVICE,format=raw,cache=none,aio=io_uring")),
                (megabytes, "a disk that cannot be written is booted", ["--read-only"],
                 ("-drive", "driver=raw,file.driver=host_device,file.filename=DEVICE,if=virtio,read-only=on")),
                (cd, "a CD of the host is booted", ["--read-only", "--sector-size", "2048"],
                 ("-cdrom", "DEVICE", "-boot", "d"))):
            path = os.path.join(folder, "image")
            make(path, text)
            with open(path, "ab") as f:
                f.truncate(-(-os.path.getsize(path) // 4096) * 4096)
            name = subprocess.run(["losetup", "--find", "--show", *loop, path], check=True, stdout=subprocess.PIPE,
                                  text=True).stdout.strip()
            try:
                prints(text, *(arg.replace("DEVICE", name) for arg in args))
            finally:
                subprocess.run(["losetup", "--detach", name], check=True)


def q35_cdrom():
    boots("the CD of a q35 is booted", cd, "-machine", "q35", "-cdrom", "IMAGE", "-boot", "d")


def usb_disk(*controller):
    def case():
        boots("the USB disk is booted", megabytes, *controller, "-drive", "file=IMAGE,format=raw,if=none,id=d",
              "-device", "usb-storage,drive=d,bootindex=0")
    return case


def grub_menu(*args):
    """GRUB's rescue images draw their menu: it is read off the screen."""
    console = Console([BINARY, "-m", "128", "-display", "none", "-serial", "none", "-monitor", "stdio", *args])
    try:
        console.expect("(qemu) ", 30)
        end = time.monotonic() + SECONDS * SLOW
        screen = ""
        while "GNU GRUB" not in screen or "Memtest86+" not in screen:
            assert time.monotonic() < end, screen
            time.sleep(1)
            console.type("screen-text\n")
            screen = console.expect("(qemu) ", 30)
    finally:
        console.close()


def grub():
    return os.path.join(packages.package_tree("grub-rescue-pc"), "usr/lib/grub-rescue")


def grub_cd():
    grub_menu("-cdrom", os.path.join(grub(), "grub-rescue-cdrom.iso"), "-boot", "d")


def grub_floppy():
    grub_menu("-drive", f"file={grub()}/grub-rescue-floppy.img,format=raw,if=floppy,readonly=on", "-boot", "a")


def grub_ahci_cd():
    grub_menu("-device", "ahci,id=sata", "-drive", f"file={grub()}/grub-rescue-cdrom.iso,format=raw,if=none,id=c,"
              "media=cdrom", "-device", "ide-cd,drive=c,bus=sata.0,bootindex=0")


if __name__ == "__main__":
    tap = Tap()
    tap.case("ide_disk_boots", ide_disk)
    tap.case("virtio_disk_boots", virtio_disk)
    tap.case("virtio_scsi_disk_boots", virtio_scsi_disk)
    tap.case("parallel_scsi_boots", parallel_scsi)
    tap.case("slave_disk_with_bootindex_0_boots_first", slave_disk_by_bootindex)
    tap.case("cd_boots", cdrom)
    tap.case("floppy_boots", floppy_disk)
    tap.case("order_decides_what_boots_and_once_is_once", order_decides)
    tap.case("floppy_without_signature_boots_when_told", floppy_without_signature)
    tap.case("splash_is_on_the_screen_for_its_time", splash)
    tap.case("splash_may_have_other_sizes", splash_of_800x600)
    tap.case("splash_without_a_mode_is_firmwares_to_refuse", splash_without_a_mode_is_firmwares_to_refuse)
    if shutil.which("pnmtojpeg"):
        tap.case("splash_may_be_a_jpeg", splash_as_jpeg)
    else:
        tap.skip("splash_may_be_a_jpeg", "pnmtojpeg is missing (package netpbm)")
    tap.case("disk_on_ahci_boots", ahci_disk_of_a_pc)
    tap.case("q35_disk_boots", q35_disk)
    if os.geteuid() == 0 and os.path.exists("/dev/loop-control") and shutil.which("losetup"):
        tap.case("devices_of_the_host_boot", devices_of_the_host)
    else:
        tap.skip("devices_of_the_host_boot", "loop devices are root's (losetup, package mount), or there are none")
    tap.case("q35_cd_boots", q35_cdrom)
    tap.case("usb_disk_on_xhci_boots", usb_disk("-device", "qemu-xhci"))
    tap.case("usb_disk_on_uhci_boots", usb_disk("-usb"))
    tap.case("usb_disk_on_ehci_boots", usb_disk("-machine", "q35", "-usb"))
    why = None
    try:
        grub()
    except (OSError, subprocess.SubprocessError) as error:
        why = f"Debian's package grub-rescue-pc cannot be had: {error}"
    for name, case in (("grub_shows_its_menu_from_cd", grub_cd), ("grub_shows_its_menu_from_floppy", grub_floppy),
                       ("grub_shows_its_menu_from_cd_on_ahci", grub_ahci_cd)):
        if why:
            tap.skip(name, why)
        else:
            tap.case(name, case)
    tap.done()
