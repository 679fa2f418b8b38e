#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""UEFI firmware (Debian's OVMF) as a user starts it: a pair of flash chips on board q35, to its shell on the serial
line; a variable that the guest has set is there after the program was killed."""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "house"))
from console import BINARY, SLOW, Console, Tap, guest_files  # noqa: E402

WHOLE = "/usr/share/ovmf/OVMF.fd"
CODE, VARS = ("/usr/share/OVMF/OVMF_%s_4M.fd" % name for name in ("CODE", "VARS"))
SECONDS = 200


def start(variables, *args):
    # Without a network, which firmware would try for minutes.
    return Console([BINARY, "-M", "q35", "-m", "512", "-nic", "none", "-display", "none", "-monitor", "none",
                    "-serial", "stdio",
                    "-drive", f"if=pflash,format=raw,readonly=on,file={CODE}",
                    "-drive", f"if=pflash,format=raw,file={variables}", *args])


def to_shell(console):
    console.expect("Interactive Shell", SECONDS)
    console.expect("to skip", SECONDS)
    console.type("\033")
    console.expect("Shell> ", SECONDS)


def variable_survives_a_kill():
    with tempfile.TemporaryDirectory(prefix="backplane-uefi-") as folder:
        variables = os.path.join(folder, "vars.fd")
        shutil.copyfile(VARS, variables)
        console = start(variables)
        try:
            to_shell(console)
            console.type("set colour green\r")
            console.expect("Shell> ", 60)
            console.type("ver\r")
            console.expect("UEFI v2.", 60)
        finally:
            console.close()  # SIGKILL
        console = start(variables)
        try:
            to_shell(console)
            console.type("echo it is %colour%\r")
            console.expect("it is green", 60)
        finally:
            console.close()


def kernel_starts_by_its_efi_stub():
    kernel, initrd = guest_files()
    with tempfile.TemporaryDirectory(prefix="backplane-uefi-") as folder:
        variables = os.path.join(folder, "vars.fd")
        shutil.copyfile(VARS, variables)
        console = start(variables, "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0")
        try:
            console.expect("EFI v2.", SECONDS)
            console.expect("Backplane guest is up", SECONDS)
            console.expect("# ", 30)
            console.type("test -d /sys/firmware/efi && echo firmware is $((6 * 7))\n")
            console.expect("firmware is 42", 30)
        finally:
            console.close()


def menu_is_waited_for_as_splash_time_says():
    """From the moment that the screen is cleared; on escape its menus come instead of what is started."""
    with tempfile.TemporaryDirectory(prefix="backplane-uefi-") as folder:
        variables = os.path.join(folder, "vars.fd")
        shutil.copyfile(VARS, variables)
        console = start(variables, "-boot", "menu=on,splash-time=12000")
        try:
            console.expect("\033[2J", SECONDS)
            began = time.monotonic()
            console.expect("BdsDxe: starting", SECONDS)
            assert time.monotonic() - began > 11.5
        finally:
            console.close()
        console = start(variables, "-boot", "menu=on,splash-time=60000")
        try:
            console.expect("\033[2J", SECONDS)
            time.sleep(2)
            console.type("\033")
            assert "Internal Shell" not in console.expect("Boot Manager", SECONDS)
        finally:
            console.close()
        console = start(variables, "-boot", "menu=off")
        try:
            console.expect("\033[2J", SECONDS)
            began = time.monotonic()
            console.expect("BdsDxe: starting", SECONDS)
            assert time.monotonic() - began < 11 * SLOW
        finally:
            console.close()


def bios_of_pc_is_uefi():
    """One image of code and variables, which are forgotten; on board pc OVMF counts processors by their hot-plug."""
    console = Console([BINARY, "-M", "pc", "-m", "256", "-smp", "2", "-nic", "none", "-display", "none", "-monitor",
                       "none", "-serial", "stdio", "-bios", WHOLE])
    try:
        to_shell(console)
        console.type("ver\r")
        console.expect("UEFI v2.", 60)
    finally:
        console.close()


tap = Tap()
for name, function in (("shell_comes_up_and_a_variable_survives_a_kill", variable_survives_a_kill),
                       ("kernel_starts_by_its_efi_stub", kernel_starts_by_its_efi_stub),
                       ("menu_is_waited_for_as_splash_time_says", menu_is_waited_for_as_splash_time_says),
                       ("bios_of_pc_is_uefi", bios_of_pc_is_uefi)):
    if os.path.exists(CODE) and os.path.exists(WHOLE):
        tap.case(name, function)
    else:
        tap.skip(name, "there is no %s or no %s" % (CODE, WHOLE))
tap.done()
