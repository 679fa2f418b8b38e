#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's standard kernel draws on graphics cards by its own drivers: what it puts into its frame buffer is what
screendump shows."""
import os
import subprocess
import sys
import tempfile
import time

import disk
from console import BINARY, SLOW, Console, Tap

BOOT_SECONDS = 400
DRIVERS = ("virtio_pci", "virtio_gpu")


def run(console, command, seconds=200):
    console.type(command + "; echo; echo en''d\n")
    text = console.expect("\nend", seconds)
    console.expect("# ", 60)
    return text.replace("\r", "")


def monitor(console, line):
    console.type("\x01c")
    console.expect("(qemu) ", 30)
    console.type(line + "\n")
    console.expect("(qemu) ", 30)
    console.type("\x01c\n")
    console.expect("# ", 60)


def picture(console, folder):
    path = os.path.join(folder, "screen.ppm")
    monitor(console, "screendump " + path)
    with open(path, "rb") as f:
        _, size, _, pixels = f.read().split(b"\n", 3)
    width, height = map(int, size.split())
    return width, height, pixels


def frame_buffer_shows_what_the_kernel_draws(driver, name, width, height, bits, card, lines=100):
    blue, red, green = ((r"\037\000", r"\000\370", r"\340\007") if bits == 16 else
                        (r"\377\000\000\000", r"\000\000\377\000", r"\000\377\000\000"))
    kernel, initrd = disk.guest((driver,))
    with tempfile.TemporaryDirectory(prefix="backplane-gpu-") as folder:
        console = Console([BINARY, "-m", "512", "-nographic", "-nodefaults", "-serial", "mon:stdio", "-kernel", kernel,
                           "-initrd", initrd, "-append", "console=ttyS0 quiet " + disk.SPARED, *card])
        try:
            console.expect("Disk guest is up", BOOT_SECONDS)
            console.expect("# ", 60)
            text = run(console, "cat /sys/class/graphics/fb0/virtual_size /sys/class/graphics/fb0/bits_per_pixel "
                       "/sys/class/graphics/fb0/name")
            assert f"{width},{height}\n{bits}\n" in text and name in text, text
            text = run(console, "dmesg | grep -c 'colour frame buffer device'")
            assert "\n1\n" in text, text
            # Blue with a pixel of red at the end of each line, then green.
            run(console, "echo -ne '\\033[?25l' > /dev/tty0; "
                f"i=1; while [ $i -lt {width} ]; do printf '{blue}'; i=$((i+1)); done > /b; printf '{red}' >> /b; "
                f"i=0; while [ $i -lt {width} ]; do printf '{green}'; i=$((i+1)); done > /g; "
                f"i=0; while [ $i -lt {lines} ]; do cat /b; i=$((i+1)); done > /p; "
                f"i=0; while [ $i -lt {lines} ]; do cat /g; i=$((i+1)); done >> /p; cat /p > /dev/fb0")
            want = (b"\0\0\xff" * (width - 1) + b"\xff\0\0") * lines + b"\0\xff\0" * width * lines
            end = time.monotonic() + 60 * SLOW
            while True:
                got = picture(console, folder)
                if got[:2] == (width, height) and got[2][:len(want)] == want:
                    break
                assert time.monotonic() < end, (got[:2], got[2][:30])
                time.sleep(0.5)
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


def card_shows_what_the_kernel_draws(*card):
    kernel, initrd = disk.guest(DRIVERS)
    with tempfile.TemporaryDirectory(prefix="backplane-gpu-") as folder:
        console = Console([BINARY, "-m", "512", "-nographic", "-nodefaults", "-serial", "mon:stdio", "-kernel", kernel,
                           "-initrd", initrd, "-append", "console=ttyS0 quiet", *card])
        try:
            console.expect("Disk guest is up", BOOT_SECONDS)
            console.expect("# ", 60)
            text = run(console, "cat /sys/class/graphics/fb0/virtual_size /sys/class/graphics/fb0/bits_per_pixel; "
                       "cat /sys/class/drm/card0-Virtual-1/modes | head -n 1; cat /sys/class/graphics/fb0/name; "
                       "wc -c < /sys/class/drm/card0-Virtual-1/edid")
            assert "800,600" in text and "\n32\n" in text and "\n800x600\n" in text and "virtio_gpu" in text, text
            assert "\n256\n" in text, text
            # 100 lines of blue, then 100 of red (bytes b, g, r, x); the cursor is switched off.
            run(console, "echo -ne '\\033[?25l' > /dev/tty0; "
                "i=0; while [ $i -lt 800 ]; do printf '\\377\\000\\000\\000'; i=$((i+1)); done > /b; "
                "i=0; while [ $i -lt 800 ]; do printf '\\000\\000\\377\\000'; i=$((i+1)); done > /r; "
                "i=0; while [ $i -lt 100 ]; do cat /b; i=$((i+1)); done > /p; "
                "i=0; while [ $i -lt 100 ]; do cat /r; i=$((i+1)); done >> /p; cat /p > /dev/fb0")
            want = b"\x00\x00\xff" * 80000 + b"\xff\x00\x00" * 80000
            end = time.monotonic() + 60 * SLOW
            while True:
                width, height, pixels = picture(console, folder)
                if (width, height) == (800, 600) and pixels[:480000] == want:
                    break
                assert time.monotonic() < end, (width, height, pixels[:30])
                time.sleep(0.5)
            console.type("poweroff -f\n")
            assert console.wait(120) == 0
        finally:
            console.close()


try:
    disk.guest(DRIVERS)
except (OSError, subprocess.SubprocessError) as error:
    print(f"1..0 # SKIP Debian's kernel package cannot be had: {error}")
else:
    tap = Tap()

    def case(name, *card, function=card_shows_what_the_kernel_draws):
        if not sys.argv[1:] or name in sys.argv[1:]:
            tap.case(name, lambda: function(*card))

    case("virtio_gpu_shows_what_the_kernel_draws", "-device", "virtio-gpu-pci,xres=800,yres=600")
    case("virtio_vga_shows_what_the_kernel_draws", "-vga", "virtio", "-global", "virtio-vga.xres=800", "-global",
         "virtio-vga.yres=600")
    case("cirrus_shows_what_the_kernel_draws", "cirrus", "cirrusdrmfb", 1024, 768, 16, ("-vga", "cirrus"),
         function=frame_buffer_shows_what_the_kernel_draws)
    case("vmware_shows_what_the_kernel_draws", "vmwgfx", "vmwgfxdrmfb", 1280, 800, 32, ("-vga", "vmware"),
         function=frame_buffer_shows_what_the_kernel_draws)
    case("qxl_shows_what_the_kernel_draws", "qxl", "qxldrmfb", 1024, 768, 32, ("-vga", "qxl"),
         function=frame_buffer_shows_what_the_kernel_draws)
    tap.done()
