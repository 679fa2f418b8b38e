#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Debian packages bring that can be booted starts, as a disk, a CD, a floppy, a kernel, a BIOS, from UEFI: it
says on the screen or on the serial line what it says under Debian's QEMU. With BACKPLANE_PROGRAM that one is run.

usage: test-images.py [NAME...]
"""
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "house"))
import packages  # noqa: E402
from console import BINARY, SLOW, Console, Tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from tap import work_folder  # noqa: E402

SECONDS = float(os.environ.get("IMAGE_SECONDS", "600"))
WORK = work_folder("guest-images-")
OVMF = "/usr/share/OVMF/OVMF_%s_4M.fd"
INSTALLER = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/"


def uefi():
    variables = os.path.join(WORK, "vars.fd")
    shutil.copyfile(OVMF % "VARS", variables)
    return ["-M", "q35", "-m", "256", "-drive", "if=pflash,format=raw,readonly=on,file=" + OVMF % "CODE", "-drive",
            "if=pflash,format=raw,file=" + variables]


def efi(path):
    """From a FAT disk, under the name that firmware looks for."""
    disk = os.path.join(WORK, "esp")
    with open(disk, "wb") as f:
        f.truncate(64 << 20)
    for command in (["mformat", "-i", disk, "-h", "16", "-s", "63", "-t", "130", "::"],
                    ["mmd", "-i", disk, "::/EFI", "::/EFI/BOOT"], ["mcopy", "-i", disk, path, "::/EFI/BOOT/BOOTX64.EFI"]):
        subprocess.run(command, check=True)
    return [*uefi(), "-drive", f"file={disk},format=raw"]


def cd(path):
    return ["-m", "256", "-cdrom", path, "-boot", "d"]


def floppy(path):
    return ["-m", "256", "-drive", f"file={path},format=raw,if=floppy,readonly=on", "-boot", "a"]


def disk(path):
    return ["-m", "256", "-snapshot", "-drive", f"file={path},format=raw"]


def kernel(path):
    return ["-m", "256", "-kernel", path]


def bios(path):
    return ["-m", "256", "-bios", path]


def blind(path):
    """Without a VGA: U-Boot of 32 bits runs its ROM in real mode and reads beyond a segment's limit there, which no
    processor allows (nor KVM); a translator that looks at no limits lets it."""
    return [*bios(path), "-vga", "none"]


def memdisk(path):
    """A floppy disk in memory, by SYSLINUX's memdisk."""
    rescue = os.path.join(packages.package_tree("grub-rescue-pc"), "usr/lib/grub-rescue/grub-rescue-floppy.img")
    return ["-m", "256", "-kernel", path, "-initrd", rescue]


def installer(console):
    def options(path):
        return ["-m", "1024", "-kernel", path, "-initrd", os.path.join(os.path.dirname(path), "initrd.gz"), "-append",
                console + " fb=false priority=high"]
    return options


GRUB = ("GNU GRUB", "Memtest86+")
LANGUAGES = ("Select a language", "Language:", "English")
# name, package, path in it (or of what is installed), options from the path, where it speaks, what it says
IMAGES = (
    ("installer_on_serial", "debian-installer-12-netboot-amd64", INSTALLER + "linux",
     installer("console=ttyS0"), "serial", LANGUAGES),
    ("installer_on_screen", "debian-installer-12-netboot-amd64", INSTALLER + "linux",
     installer("vga=normal"), "screen", LANGUAGES),
    ("grub_cd", "grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-cdrom.iso", cd, "screen", GRUB),
    ("grub_floppy", "grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-floppy.img", floppy, "screen", GRUB),
    ("grub_usb_as_a_disk", "grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-usb.img", disk, "screen", GRUB),
    ("grub_as_bios", "grub-firmware-qemu", "usr/share/qemu/grub.bin", bios, "screen", ("GNU GRUB",)),
    ("grub_efi", "grub-efi-amd64-bin", "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", efi, "serial",
     ("GNU GRUB",)),
    ("ipxe_cd", "ipxe", "usr/lib/ipxe/ipxe.iso", cd, "screen", ("iPXE", "No more network devices")),
    ("ipxe_kernel", "ipxe", "usr/lib/ipxe/ipxe.lkrn", kernel, "screen", ("iPXE", "No more network devices")),
    ("ipxe_efi", "ipxe", "usr/lib/ipxe/ipxe.efi", efi, "serial", ("iPXE", "No more network devices")),
    ("memtest_cd_64", "memtest86+", "usr/lib/memtest86+/memtest86+x64.iso", cd, "screen", ("Memtest86+ v", "Errors: 0")),
    ("memtest_cd_32", "memtest86+", "usr/lib/memtest86+/memtest86+ia32.iso", cd, "screen",
     ("Memtest86+ v", "Errors: 0")),
    ("memtest_kernel_64", "memtest86+", "boot/memtest86+x64.bin", kernel, "screen", ("Memtest86+ v", "Errors: 0")),
    ("memtest_kernel_32", "memtest86+", "boot/memtest86+ia32.bin", kernel, "screen", ("Memtest86+ v", "Errors: 0")),
    ("memtest_efi", "memtest86+", "boot/memtest86+x64.efi", efi, "pixels", ()),
    ("memdisk", "syslinux-common", "usr/lib/syslinux/memdisk", memdisk, "screen", GRUB),
    ("u_boot_32", "u-boot-qemu", "usr/lib/u-boot/qemu-x86/u-boot.rom", blind, "serial", ("U-Boot 20", "=> ")),
    ("u_boot_64", "u-boot-qemu", "usr/lib/u-boot/qemu-x86_64/u-boot.rom", bios, "serial", ("U-Boot 20", "=> ")),
    ("systemd_boot", "systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootx64.efi", efi, "serial",
     ("Reboot Into Firmware Interface",)),
    ("refind", "refind", "usr/share/refind/refind/refind_x64.efi", efi, "serial", ("rEFInd",)),
    ("efi_hello", "efitools", "usr/lib/efitools/x86_64-linux-gnu/HelloWorld.efi", efi, "serial", ("Hello",)),
    ("efi_keytool", "efitools", "usr/lib/efitools/x86_64-linux-gnu/KeyTool.efi", efi, "serial", ("KeyTool",)),
)


def screen(e):
    reply = e.command("query-screen-text")
    if "return" in reply:
        return "\n".join(line.rstrip() for line in reply["return"]["lines"])
    path = os.path.join(WORK, "cells")  # of an emulator without this command
    e.command("pmemsave", val=0xB8000, size=4000, filename=path)
    with open(path, "rb") as f:
        cells = f.read()[::2].decode("cp437")
    return "\n".join(cells[at:at + 80].rstrip() for at in range(0, 2000, 80))


def on_screen(options, wanted):
    with Emulator(BINARY, *options, quiet=("-display", "none", "-nic", "none")) as e:
        end, seen = time.monotonic() + SECONDS * SLOW, ""
        while not all(word in seen for word in wanted):
            assert time.monotonic() < end, seen
            time.sleep(1)
            seen = screen(e)


def on_serial(options, wanted):
    console = Console([BINARY, "-display", "none", "-nic", "none", "-serial", "stdio", "-monitor", "none", *options])
    try:
        end, seen = time.monotonic() + SECONDS * SLOW, ""
        while not all(word in seen for word in wanted):
            assert time.monotonic() < end and console.process.poll() is None, console.text[-2000:]
            console._read(1)
            seen = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", console.text)
    finally:
        console.close()


def pixels(options, _):
    """Something is drawn that is more than one colour, and goes on to change."""
    with Emulator(BINARY, *options, quiet=("-display", "none", "-nic", "none")) as e:
        path, pictures, end = os.path.join(WORK, "picture.ppm"), set(), time.monotonic() + SECONDS * SLOW
        while len(pictures) < 6:
            assert time.monotonic() < end, len(pictures)
            time.sleep(2)
            assert e.command("screendump", filename=path) == {"return": {}}
            with open(path, "rb") as f:
                pictures.add(hash(f.read()))


SPEAK = {"screen": on_screen, "serial": on_serial, "pixels": pixels}


def main():
    tap = Tap()
    for name, package, path, options, where, wanted in IMAGES:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        if options is efi and not (os.path.exists(OVMF % "CODE") and shutil.which("mformat")):
            tap.skip(name, "OVMF or mtools are not installed")
            continue
        try:
            found = os.path.join(packages.package_tree(package), path)
        except (OSError, subprocess.SubprocessError) as error:
            tap.skip(name, f"Debian's package {package} cannot be had: {error}")
            continue
        tap.case(name, SPEAK[where], options(found), wanted)
    tap.done()


main()
