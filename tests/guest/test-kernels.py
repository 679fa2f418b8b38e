#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernels that are no bzImages: a Multiboot and a PVH kernel of our own say what they were told, with firmware and without;
Debian's Xen and Debian's Linux as an ELF file start."""
import glob
import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

from console import BINARY, SLOW, TOP, Console, guest_files
from packages import package_tree
from small import FLAGS, SOURCES, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import Skip, run  # noqa: E402

BIOS = ("-bios", "bios-256k.bin")
SCRIPT = """OUTPUT_FORMAT(elf32-i386)
ENTRY(entry)
PHDRS { all PT_LOAD FLAGS(7); note PT_NOTE FLAGS(4); }
SECTIONS
{
    . = 0x100000;
    .head : { KEEP(*(.multiboot)) } :all
    .note : { KEEP(*(.note.Xen)) } :all :note
    .text : { *(.text*) *(.rodata*) *(.data*) } :all
    .bss : { *(.bss*) *(COMMON) } :all
    /DISCARD/ : { *(.eh_frame*) *(.note.*) *(.comment*) }
}
"""
folder = tempfile.TemporaryDirectory(prefix="backplane-kernels-")


def path(name):
    return os.path.join(folder.name, name)


def kernel(name, *flags):
    why = lacking()
    if why:
        raise Skip(why)
    if not os.path.exists(path(name)):
        with open(path("script"), "w") as f:
            f.write(SCRIPT)
        subprocess.run(["gcc", *FLAGS, *flags, "-c", os.path.join(SOURCES, "facts.c"), "-o", path(name + ".o")],
                       check=True)
        subprocess.run(["ld", "-m", "elf_i386", "--no-warn-rwx-segments", "-T", path("script"), path(name + ".o"),
                        "-o", path(name)], check=True)
    return path(name)


def said(*args, seconds=120):
    done = subprocess.run([BINARY, "-m", "64", "-nodefaults", "-display", "none", "-serial", "stdio", *args],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds * SLOW)
    text = done.stdout.decode("latin-1").replace("\r", "")
    assert done.returncode == 0 and "done" in text, (done.returncode, text, done.stderr)
    return text


def numbers(text, name):
    return [int(value, 16) for value in re.findall("^%s ([0-9a-f]{8})$" % name, text, re.M)]


def words(text, name):
    return re.findall("^%s '(.*)'$" % name, text, re.M)


def modules():
    for name, contents in (("first", b"one\0"), ("second", b"two, longer\0")):
        with open(path(name), "wb") as f:
            f.write(contents)
    return "%s console=a,,b root=/dev/x,%s" % (path("first"), path("second"))


def check_map(text, sizes):
    """Nearly all of the 64 MiB, in entries of the protocol's size."""
    count, = numbers(text, "map_entries")
    usable, = numbers(text, "map_usable_kib")
    assert 3 <= count <= 64 and numbers(text, "map_sizes") == [count if sizes else 0], text
    assert 62 << 10 < usable <= 64 << 10, text


def multiboot_kernel_is_told(*args):
    image = kernel("multiboot")
    text = said("-kernel", image, "-append", "some words", "-initrd", modules(), *args)
    assert numbers(text, "eax") == [0x2BADB002] and numbers(text, "bss") == [0] and numbers(text, "mode") == [1], text
    assert numbers(text, "flags")[0] & 0x4D == 0x4D, text
    assert 600 <= numbers(text, "lower")[0] <= 640 and numbers(text, "upper")[0] == 63 << 10, text
    assert words(text, "cmdline") == [image + " some words"], text
    assert words(text, "loader") == ["Backplane"], text
    assert numbers(text, "module_page") == [0, 0] and numbers(text, "module_size") == [4, 12], text
    assert words(text, "module_words") == [path("first") + " console=a,b root=/dev/x", path("second")], text
    assert words(text, "module") == ["one", "two, longer"], text
    check_map(text, True)
    return text


def pvh_kernel_is_told(*args):
    modules()
    text = said("-kernel", kernel("pvh", "-DPVH"), "-append", "some words", "-initrd", path("first"), *args)
    assert numbers(text, "magic") == [0x336EC578] and numbers(text, "version") == [1], text
    assert numbers(text, "bss") == [0] and numbers(text, "mode") == [1], text
    assert words(text, "cmdline") == ["some words"] and words(text, "module") == ["one"], text
    assert numbers(text, "module_size") == [4], text
    assert bool(numbers(text, "rsdp")[0]) != bool(args), text
    check_map(text, False)


def pvh_module_has_spaces_in_its_name():
    modules()
    shutil.copyfile(path("first"), path("first of all"))
    text = said("-kernel", kernel("pvh", "-DPVH"), "-initrd", path("first of all"))
    assert words(text, "module") == ["one"], text


def multiboot_without_firmware():
    # 16 MiB in 16 ways, lines of 64 bytes: by it programs choose how they copy.
    assert numbers(multiboot_kernel_is_told(), "last_cache") == [0x00808140]
    assert numbers(multiboot_kernel_is_told("-M", "q35", "-cpu", "qemu64,l3-cache=off"), "last_cache") == [0]


def multiboot_with_firmware():
    multiboot_kernel_is_told(*BIOS)


def pvh_without_firmware():
    pvh_kernel_is_told()


def pvh_with_firmware():
    pvh_kernel_is_told(*BIOS)


def wrong_ones_are_refused():
    for name, contents, initrd, what in (
            ("wide", b"\177ELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(200), None, "without program headers"),
            ("other", b"\177ELF\1\1\1" + bytes(9) + b"\2\0\x28\0" + bytes(200), None, "another processor"),
            ("flags", (0x1BADB002).to_bytes(4, "little") + (8).to_bytes(4, "little")
             + (2 ** 32 - 0x1BADB00A).to_bytes(4, "little") + bytes(100), None, "what is not known"),
            (None, None, "/nowhere words", "-initrd /nowhere: "), (None, None, path("first") + ",", "a file's name")):
        modules()
        if name:
            with open(path(name), "wb") as f:
                f.write(contents)
        image = path(name) if name else kernel("multiboot")
        done = subprocess.run([BINARY, "-accel", "qtest", "-display", "none", "-nodefaults", "-kernel", image,
                               *(["-initrd", initrd] if initrd else [])], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and what in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def xen():
    tree = package_tree("xen-hypervisor-4.17-amd64")
    with gzip.open(glob.glob(tree + "/boot/xen-*-amd64.gz")[0]) as packed, open(path("xen"), "wb") as f:
        f.write(packed.read())
    return path("xen")


def xen_starts_with_its_modules():
    """It finds memory, its console and both modules, and goes on to make its first domain of them."""
    image, initrd = guest_files()
    console = Console([BINARY, "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", xen(),
                       "-append", "console=com1 com1=115200 no-real-mode loglvl=all", "-initrd",
                       "%s earlyprintk=xen,,keep root=/dev/xvda1,%s" % (image, initrd)])
    try:
        console.expect("Xen version 4.17", 100)
        console.expect("Command line: console=com1 com1=115200 no-real-mode loglvl=all", 30)
        console.expect("Multiboot-e820 RAM map", 60)
        console.expect("(XEN) System RAM: 5", 100)
    finally:
        console.close()


def unpacked_linux():
    image, initrd = guest_files()
    with open(image, "rb") as f:
        data = f.read()
    start = (data[0x1F1] + 1) * 512 + int.from_bytes(data[0x248:0x24C], "little")
    packed = data[start:start + int.from_bytes(data[0x24C:0x250], "little")]
    if packed[:6] == b"\xfd7zXZ\0":
        elf = lzma.LZMADecompressor().decompress(packed)
    elif packed[:2] == b"\x1f\x8b":
        elf = zlib.decompressobj(31).decompress(packed)
    else:
        raise Skip("the kernel is packed by %s, which Python cannot unpack" % packed[:6].hex())
    with open(path("vmlinux"), "wb") as f:
        f.write(elf)
    return path("vmlinux"), initrd


def unpacked_linux_starts(*args):
    image, initrd = unpacked_linux()
    console = Console([BINARY, "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", image,
                       "-initrd", initrd, "-append", "console=ttyS0", *args])
    try:
        console.expect("Linux version", 150)
        console.expect("Backplane guest is up", 250)
        console.expect("# ", 30)
        console.type("dmesg | grep -c 'ACPI: RSDP'; echo $((6 * 7))\n")
        console.expect("1", 60)
        console.expect("42", 60)
    finally:
        console.close()


def unpacked_linux_starts_without_firmware():
    unpacked_linux_starts()


def unpacked_linux_starts_with_firmware():
    unpacked_linux_starts(*BIOS)


try:
    cases = [multiboot_without_firmware, multiboot_with_firmware, pvh_without_firmware, pvh_with_firmware,
             pvh_module_has_spaces_in_its_name,
             wrong_ones_are_refused, xen_starts_with_its_modules, unpacked_linux_starts_without_firmware,
             unpacked_linux_starts_with_firmware]
    run([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
finally:
    folder.cleanup()
