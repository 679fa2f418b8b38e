#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SeaBIOS, as Debian's package has it, starts on board pc, does as -boot says, and says what it finds."""
import os
import shutil
import subprocess
import sys
import time

from console import BINARY, TOP, guest_files
from firmware import Firmware

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from qmp import fails  # noqa: E402
from tap import run, work_folder  # noqa: E402

SEABIOS = "/usr/share/seabios/bios-256k.bin"
GREETING = "SeaBIOS (version"
NO_DISK = "No bootable device."


def starts_without_a_disk_and_says_so():
    with Firmware() as machine:
        machine.expect("serial", NO_DISK)
        serial, debug = machine.text("serial"), machine.text("debug")
    assert GREETING in serial and "Booting from Hard Disk..." in serial, serial
    assert "QEMU fw_cfg DMA interface supported" in debug and "Found 1 cpu(s)" in debug, debug
    assert "Using pmtimer, ioport 0x608" in debug, debug
    assert "PS2 keyboard initialized" in debug, debug
    # The loader's script placed our tables: SeaBIOS finds them by the root pointer that it made.
    assert "(via xsdt)" in debug and "ACPI: parse DSDT at" in debug, debug


def finds_memory_and_processors():
    with Firmware("-m", "5G", "-smp", "3") as machine:
        debug = machine.expect("debug", NO_DISK)
    assert "Found 3 cpu(s)" in debug, debug
    assert "0000000100000000 - 0000000180000000 = 1 RAM" in debug or \
        "0000000100000000 - 0000000200000000 = 1 RAM" in debug, debug


def no_graphics_puts_its_text_on_the_serial_port():
    with Firmware("-machine", "graphics=on") as machine:
        machine.expect("debug", NO_DISK)
        assert machine.text("serial") == "", machine.text("serial")


def failed_boot_is_tried_again_after_reboot_timeout():
    with Firmware("-boot", "reboot-timeout=200") as machine:
        serial = machine.expect("serial", GREETING, times=3)
        assert "Retrying in" in serial and "Rebooting" in serial, serial
    with Firmware("-boot", "reboot-timeout=-1") as machine:
        serial = machine.expect("serial", NO_DISK)
        assert "Retrying" not in serial, serial


def menu_waits_as_long_as_splash_time_says():
    with Firmware("-boot", "menu=on,splash-time=1") as machine:
        serial = machine.expect("serial", NO_DISK)
    assert "Press ESC for boot menu" in serial, serial
    began = time.monotonic()
    with Firmware("-boot", "menu=on,splash-time=6000") as machine:
        machine.expect("serial", NO_DISK)
    assert time.monotonic() - began > 5.9  # firmware's own time would be 2.5 seconds
    with Firmware("-boot", "menu=off") as machine:
        serial = machine.expect("serial", NO_DISK)
    assert "boot menu" not in serial, serial


def strict_tries_nothing_without_a_bootindex():
    with Firmware("-boot", "strict=on") as machine:
        serial = machine.expect("serial", NO_DISK)
    assert "Booting from" not in serial, serial


def system_reset_starts_it_again():
    with Firmware() as machine:
        machine.expect("serial", NO_DISK)
        machine.command("system_reset")
        machine.expect("serial", NO_DISK, times=2)


def say(text):
    """Code that says it on the debug port and returns."""
    return b"\xba\x02\x04" + b"".join(b"\xb0" + bytes([c]) + b"\xee" for c in text.encode()) + b"\xcb"


def option_rom(path, text, boots=None, bad=False):
    """One that says `text` when it is initialised, and `boots` when it is booted from (PnP BIOS 1.0a, 3.1)."""
    rom = bytearray(512)
    rom[:3] = b"\x55\xab\x01" if bad else b"\x55\xaa\x01"
    code = say(text)
    rom[3:6] = b"\xe9" + (0x60 - 6).to_bytes(2, "little")
    rom[0x60:0x60 + len(code)] = code
    if boots:
        rom[0x1a:0x1c] = b"\x20\0"
        header = bytearray(b"$PnP\x01\x02\0\0\0\0" + bytes(8) + b"\x02\0\0\x04" + bytes(4) +
                           b"\0\x01" + bytes(4))
        header[9] = -sum(header) & 0xff
        rom[0x20:0x40] = header
        code = say(boots)[:-1] + b"\xcd\x18\xcb"
        rom[0x100:0x100 + len(code)] = code
    rom[511] = -sum(rom) & 0xff
    with open(path, "wb") as f:
        f.write(rom)
    return path


def option_roms_run():
    folder = work_folder("roms-")
    with Firmware("-option-rom", option_rom(folder + "/one.rom", "<first>"), "-option-rom",
                  "romfile=%s,bootindex=3" % option_rom(folder + "/two.rom", "<second>")) as machine:
        debug = machine.expect("debug", NO_DISK)
    assert "<first>" in debug and "<second>" in debug, debug
    assert "55 aa" in fails(BINARY, "-option-rom", option_rom(folder + "/bad.rom", "x", bad=True))
    assert "/nope" in fails(BINARY, "-option-rom", folder + "/nope")
    assert "bootindex=1" in fails(BINARY, "-option-rom", folder + "/one.rom,bootindex=1", "-option-rom",
                                  folder + "/two.rom,bootindex=1")


def bootindex_decides_who_is_first():
    folder = work_folder("order-")
    one, two = (option_rom("%s/%s.rom" % (folder, name), "", "<boot %s>" % name) for name in ("one", "two"))
    for first, second in ((1, 2), (2, 1), (70000, 69999)):
        with Firmware("-option-rom", "%s,bootindex=%d" % (one, first), "-option-rom",
                      "%s,bootindex=%d" % (two, second)) as machine:
            debug = machine.expect("debug", NO_DISK)
        assert "Searching bootorder for: /rom@genroms/one.rom" in debug, debug
        assert (debug.index("<boot one>") < debug.index("<boot two>")) == (first < second), (first, second, debug)
    with Firmware("-boot", "strict=on", "-option-rom", one, "-option-rom", two + ",bootindex=0") as machine:
        debug = machine.expect("debug", NO_DISK)
    assert "<boot two>" in debug and "<boot one>" not in debug, debug


def kernel_starts_through_firmware():
    kernel, initrd = guest_files()
    with Firmware("-m", "256", "-bios", "bios-256k.bin", "-kernel", kernel, "-initrd", initrd, "-append",
                  "console=ttyS0 through=firmware") as machine:
        serial = machine.expect("serial", "Backplane guest is up", seconds=300)
        debug = machine.text("debug")
    assert "Booting from ROM..." in debug and "/rom@genroms/linuxboot.bin" in debug, debug
    assert "Command line: console=ttyS0 through=firmware\n" in serial, serial[:3000]
    # Firmware's memory map, the tables that it placed: not what the board leaves where no firmware runs.
    assert "DMI: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1." in serial, serial[:6000]
    assert "ACPI: XSDT 0x" in serial and "ACPI BIOS Error" not in serial, serial[:8000]


def kernel_without_32_bit_entry_is_started_by_firmware():
    # mov si, 0x80; 1: cs lodsb; test al, al; jz 2f; mov dx, 0x3f8; out dx, al; jmp 1b; 2: cli; hlt; jmp 2b
    code = bytes.fromhex("be8000 2eac 84c0 7406 baf803 ee ebf4 fa f4 ebfc")
    image = bytearray(5 * 512 + 512)
    image[0x1f1] = 4
    image[0x1fe:0x211] = b"\x55\xaa\xeb\x66HdrS\x07\x02".ljust(19, b"\0")
    image[0x211] = 1  # LOADED_HIGH; code32_start stays 0
    image[0x22c:0x230] = b"\xff\xff\xff\x7f"
    image[0x238:0x23c] = b"\xff\x07\0\0"
    image[0x268:0x268 + len(code)] = code
    image[0x280:0x29b] = b"set-up code runs from ROM\r\n"
    path = work_folder("real-") + "/real.bin"
    with open(path, "wb") as f:
        f.write(image)
    for board in ("pc", "q35"):
        with Firmware("-M", board, "-kernel", path) as machine:
            machine.expect("serial", "set-up code runs from ROM")
            assert "Booting from ROM..." in machine.text("debug"), machine.text("debug")
    said = fails(BINARY, "-machine", "firmware=nope.bin", "-kernel", path)
    assert "nope.bin" in said, said


def tables_that_come_while_firmware_runs_have_room():
    # MCFG comes when firmware has set the window up; so many tables before it that the script's page ends somewhere.
    path = work_folder("table-") + "/body"
    with open(path, "wb") as f:
        f.write(bytes(4))
    for more in range(6):
        with Firmware("-machine", "q35", *("-acpitable", "sig=ZZZZ,data=" + path) * more) as machine:
            machine.expect("debug", NO_DISK)
            machine.command("quit")
            said = machine.emulator.process.stderr.read()
        assert "grew" not in said and "warning" not in said, (more, said)


def firmware_is_found_where_it_is_told():
    folder = work_folder("bios-")
    shutil.copy(SEABIOS, folder + "/mine.bin")
    for args in (("-bios", folder + "/mine.bin"), ("-L", folder, "-bios", "mine.bin"),
                 ("-L", folder, "-machine", "firmware=mine.bin"), ("-bios", SEABIOS)):
        with Firmware(*args) as machine:
            machine.expect("serial", NO_DISK)
    option_rom(folder + "/vgabios-isavga.bin", "<a VGA BIOS of my own>")
    with Firmware("-M", "isapc", "-vga", "std", "-L", folder) as machine:
        assert "<a VGA BIOS of my own>" in machine.expect("debug", NO_DISK)
    said = subprocess.run([BINARY, "-L", folder, "-L", "help"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0].strip() == folder and "/usr/share/seabios" in said, said
    assert "nope.bin" in fails(BINARY, "-bios", "nope.bin")
    with open(folder + "/odd.bin", "wb") as f:
        f.write(bytes(65537))
    assert "64 KiB" in fails(BINARY, "-bios", folder + "/odd.bin")
    assert "-bios" in fails(BINARY, "-machine", "none", "-bios", folder + "/mine.bin")


def wrong_boot_options_name_what_is_right():
    for wrong, right in (("order=e", "n to p"), ("once=acdn", "three"), ("splash-time=65536", "65535"),
                         ("reboot-timeout=65536", "65535"), ("reboot-timeout=-2", "-1"), ("menu=maybe", "on"),
                         ("splash=/nonexistent/x", "/nonexistent/x"),
                         ("splash=" + os.path.abspath(__file__), "24 bits")):
        said = fails(BINARY, "-boot", wrong)
        assert right in said and len(said.splitlines()) == 1, (wrong, said)


run([starts_without_a_disk_and_says_so, finds_memory_and_processors, no_graphics_puts_its_text_on_the_serial_port,
     failed_boot_is_tried_again_after_reboot_timeout,
     menu_waits_as_long_as_splash_time_says, strict_tries_nothing_without_a_bootindex,
     system_reset_starts_it_again, option_roms_run, bootindex_decides_who_is_first,
     kernel_starts_through_firmware, kernel_without_32_bit_entry_is_started_by_firmware,
     tables_that_come_while_firmware_runs_have_room, firmware_is_found_where_it_is_told,
     wrong_boot_options_name_what_is_right])
