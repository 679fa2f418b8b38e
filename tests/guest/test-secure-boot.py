#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Firmware that needs system management mode. Debian's OVMF for Secure Boot on q35: its variables are in a flash chip that
only SMM can write, keys are enrolled, and what nobody signed does not start. SeaBIOS with SMM, on both boards."""
import os
import shutil
import subprocess
import sys
import tempfile

from console import BINARY, Console, Tap, guest_files
from firmware import Firmware

CODE, VARS, KEYS = ("/usr/share/OVMF/OVMF_" + name for name in ("CODE_4M.secboot.fd", "VARS_4M.fd", "VARS_4M.ms.fd"))
SECONDS = 400


class Machine:
    def __init__(self, variables, *args):
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-secure-")
        path = os.path.join(self.folder.name, "vars.fd")
        shutil.copyfile(variables, path)
        self.console = Console([
            BINARY, "-M", "q35,smm=on", "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,format=raw,readonly=on,file={CODE}",
            "-drive", f"if=pflash,format=raw,file={path}", *args])

    def __enter__(self):
        return self.console

    def __exit__(self, *exception):
        self.console.close()
        self.folder.cleanup()


def to_shell(console):
    console.expect("Interactive Shell", SECONDS)
    console.expect("to skip", SECONDS)
    console.type("\033")
    console.expect("Shell> ", SECONDS)


def shell_sets_a_variable_through_smm():
    with Machine(VARS) as console:
        to_shell(console)
        console.type("set colour green\r")
        console.expect("Shell> ", 100)
        console.type("set colour\r")
        console.expect("green", 100)


def kernel_starts_by_its_efi_stub():
    kernel, initrd = guest_files()
    with Machine(VARS, "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0") as console:
        console.expect("EFI v2.", SECONDS)
        console.expect("Backplane guest is up", SECONDS)
        console.expect("# ", 30)


def disk_with_a_kernel(folder):
    """A FAT disk whose boot loader is Debian's kernel, which is an EFI program."""
    path, kernel = os.path.join(folder, "efi.img"), guest_files()[0]
    with open(path, "wb") as f:
        f.truncate(128 * 16 * 63 * 512)
    for command in (["mformat", "-i", path, "-h", "16", "-s", "63", "-t", "128", "::"],
                    ["mmd", "-i", path, "::/EFI", "::/EFI/BOOT"], ["mcopy", "-i", path, kernel, "::/EFI/BOOT/BOOTX64.EFI"]):
        subprocess.run(command, check=True)
    return ["-drive", "format=raw,file=" + path]


def unsigned_kernel_does_not_start_when_keys_are_enrolled():
    """Debian's kernel is signed by Debian, whose key is not among Microsoft's; nor has somebody signed the shell."""
    with tempfile.TemporaryDirectory(prefix="backplane-secure-") as folder:
        disk = disk_with_a_kernel(folder)
        with Machine(KEYS, *disk) as console:
            text = console.expect("Access Denied", SECONDS) + console.expect("Security Violation", SECONDS)
            text += console.expect("No bootable option", SECONDS)
            assert "EFI stub" not in text and "Shell>" not in text, text
        with Machine(VARS, *disk) as console:
            console.expect('starting Boot0001 "UEFI QEMU HARDDISK', SECONDS)


def two_processors_meet_in_the_mode():
    """An SMI of the APM port reaches both, as firmware asks for; then a kernel starts both."""
    kernel, initrd = guest_files()
    with Machine(VARS, "-smp", "2", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0") as console:
        console.expect("Backplane guest is up", SECONDS)
        console.expect("# ", 30)
        console.type("echo there are $(grep -c ^processor /proc/cpuinfo) of $((1 + 1))\n")
        console.expect("there are 2 of 2", 60)


def seabios_sets_smm_up(board):
    with Firmware("-M", board + ",smm=on") as f:
        text = f.expect("debug", "No bootable device", 300)
        assert "SMM" not in text or "fail" not in text.lower().split("smm")[1][:40], text


tap = Tap()
CASES = [(board + "_seabios_starts_with_smm", seabios_sets_smm_up, board) for board in ("pc", "q35")]
if os.path.exists(CODE):
    CASES += [(f.__name__, f) for f in (shell_sets_a_variable_through_smm, kernel_starts_by_its_efi_stub,
                                        two_processors_meet_in_the_mode)]
    if shutil.which("mformat"):
        name = unsigned_kernel_does_not_start_when_keys_are_enrolled.__name__
        CASES.append((name, unsigned_kernel_does_not_start_when_keys_are_enrolled))
    else:
        tap.skip("unsigned_kernel_does_not_start_when_keys_are_enrolled", "mformat is missing (mtools)")
else:
    tap.skip("secure_boot", "there is no " + CODE)
for name, function, *rest in CASES:
    if len(sys.argv) < 2 or name in sys.argv[1:]:
        tap.case(name, function, *rest)
tap.done()
