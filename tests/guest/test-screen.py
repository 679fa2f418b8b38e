#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel on its screen: the console of the VGA is read as text, and keys are typed."""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "house"))
import packages  # noqa: E402
from console import BINARY, Tap, guest_files  # noqa: E402
from qmp import Emulator  # noqa: E402

KERNEL, INITRD = guest_files()
BOOT_SECONDS = 150
NAMES = {" ": "spc", "\n": "ret", "-": "minus", "/": "slash", ".": "dot", ";": "semicolon", "=": "equal",
         "'": "apostrophe", "[": "bracket_left", "]": "bracket_right", "\\": "backslash", ",": "comma"}
SHIFTED = dict(zip("!@#$%^&*()_+{}|:\"<>?", "1234567890-=[]\\;',./"))


def lines(e):
    reply = e.command("query-screen-text")
    return [line.rstrip() for line in reply["return"]["lines"]] if "return" in reply else []


def expect(e, fits, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = lines(e)
        if fits(seen):
            return seen
        time.sleep(0.2)
    raise AssertionError("\n".join(lines(e)))


def key(name, down):
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


def type_text(e, text):
    for char in text:
        plain = SHIFTED.get(char, char.lower())
        name = NAMES.get(plain, plain)
        events = [key(name, True), key(name, False)]
        if char in SHIFTED or char.isupper():
            events = [key("shift", True), *events, key("shift", False)]
        reply = e.command("input-send-event", events=events)
        assert reply == {"return": {}}, reply


def machine(*extra):
    return Emulator(BINARY, "-m", "512", "-kernel", KERNEL, "-initrd", INITRD, "-append", "console=tty0", *extra,
                    quiet=("-display", "none"))


def every_line(seen):
    return [line for line in seen if line.startswith("line")] == ["line%d" % n for n in range(20)]


def typed_commands_are_answered_on_the_screen():
    with machine() as e:
        # A late line of the kernel may stand behind it.
        expect(e, lambda seen: any(line.startswith("guest#") for line in seen), BOOT_SECONDS)
        sent = "The_quick 'brown' {fox}: jumps | over <12> lazy & (dogs) + 3*4 = 5%"
        type_text(e, "clear; echo \"%s\"; echo $((6 * 7))\n" % sent)
        seen = expect(e, lambda seen: "42" in seen, 60)
        assert sent in seen, seen
        # Fast and much: nothing is lost.
        type_text(e, "".join("echo line%d >> /tmp/lines\n" % n for n in range(20)) + "clear; cat /tmp/lines\n")
        expect(e, every_line, 60)
        with tempfile.NamedTemporaryFile() as file:
            assert e.command("screendump", filename=file.name) == {"return": {}}
            assert file.read(15) == b"P6\n720 400\n255\n"
        type_text(e, "clear; cat /proc/bus/input/devices | grep Name\n")
        expect(e, lambda seen: any("AT Translated Set 2 keyboard" in line for line in seen), 60)


def from_disc(image):
    return Emulator(BINARY, "-m", "64", "-cdrom", image, "-boot", "d", quiet=("-display", "none"))


def memory_test_draws_its_screen(image):
    with from_disc(image) as e:
        expect(e, lambda seen: seen and "Memtest86+ v" in seen[0] and any("Errors: 0" in line for line in seen), BOOT_SECONDS)
        seen = expect(e, lambda seen: seen and any("<F1> Configuration" in line for line in seen), BOOT_SECONDS)
        assert "\u2500\u2500\u2500\u2534" in seen[6], seen[6]  # line drawing
        with tempfile.NamedTemporaryFile() as file:
            assert e.command("screendump", filename=file.name) == {"return": {}}
            header, pixels = file.read(15), file.read()
        assert header == b"P6\n720 400\n255\n"
        assert pixels[-3:] == b"\xaa\xaa\xaa" and b"\0\0\xaa" in pixels, pixels[-3:]  # grey bar, blue screen


def boot_loader_shows_its_menu(image):
    with from_disc(image) as e:
        expect(e, lambda seen: any("GNU GRUB  version" in line for line in seen) and
               any("\u250c\u2500\u2500" in line for line in seen), BOOT_SECONDS)  # with its frame
        type_text(e, "c")
        expect(e, lambda seen: any(line.startswith("grub>") for line in seen), BOOT_SECONDS)
        typed = "grub> "
        for part in ("echo six", " times s", "even"):  # the BIOS keeps fifteen keys while GRUB draws
            type_text(e, part)
            typed += part
            expect(e, lambda seen, typed=typed: any(line.startswith(typed.rstrip()) for line in seen), BOOT_SECONDS)
        type_text(e, "\n")
        expect(e, lambda seen: "six times seven" in seen, BOOT_SECONDS)


tap = Tap()
tap.case("typed_commands_are_answered_on_the_screen", typed_commands_are_answered_on_the_screen)
for name, function, package, image in (
        ("memory_test_draws_its_screen", memory_test_draws_its_screen, "memtest86+",
         "usr/lib/memtest86+/memtest86+x64.iso"),
        ("boot_loader_shows_its_menu", boot_loader_shows_its_menu, "grub-rescue-pc",
         "usr/lib/grub-rescue/grub-rescue-cdrom.iso")):
    try:
        tree = packages.package_tree(package)
    except (OSError, subprocess.SubprocessError) as error:
        tap.skip(name, "Debian's package %s cannot be had: %s" % (package, error))
        continue
    found = os.path.join(tree, image)
    if not os.path.exists(found):
        found = os.path.join(tree, "boot", os.path.basename(image))
    tap.case(name, function, found)
tap.done()
