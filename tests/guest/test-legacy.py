#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Code that is not 64-bit in real guests: firmware, a 32-bit program under Debian's 64-bit kernel; by night (`nightly`)
under Debian's 32-bit kernels, with two levels of paging and with PAE."""
import glob
import os
import re
import subprocess
import sys
import tempfile

from console import BINARY, SLOW, Tap, guest_files
from packages import foreign_tree

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "user32.c")
# As processors say it: where the host runs 32-bit programs, it is asked, too.
EXPECTED = {"decimal": "70771b5a", "registers": "12340000", "thread-area": "00006666",
            "limits": "fb5a5b87", "narrow-code": "0000a314",
            "floating": "820caf3d",
            "changed-code": "0952f492", "strings": "1b38d9a0", "pair": "71c729de", "loop": "8105a38d",
            "fib": "00001a6d", "memory": "8a568354"}
folder = tempfile.TemporaryDirectory(prefix="backplane-legacy-")


def record(name, mode, data=b"", device=(0, 0)):
    """A file of a cpio archive in the format that Linux unpacks ("newc")."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def said(text):
    rows = dict(re.findall("^([a-z-]+) ([0-9a-f]{8})$", text.replace("\r", ""), re.M))
    assert "end" in rows, text[-1500:]
    return {name: value for name, value in rows.items() if not name.startswith("ms-") and name != "end"}


def program():
    path = os.path.join(folder.name, "user32")
    if not os.path.exists(path):
        subprocess.run(["gcc", "-m32", "-O2", "-march=i686", "-mfpmath=387", "-static", "-nostdlib", "-ffreestanding",
                        "-fno-pie", "-no-pie", "-fno-stack-protector", "-fcf-protection=none", "-Wl,-e,start",
                        "-DLOOPS=2000000", "-DFIB=20", "-DROUNDS=10", "-o", path, SOURCE], check=True)
    return path


def run(kernel, *extra):
    initrd = os.path.join(folder.name, "initrd")
    with open(program(), "rb") as file:
        init = file.read()
    with open(initrd, "wb") as file:
        file.write(record("dev", 0o040755) + record("dev/console", 0o020600, device=(5, 1)) +
                   record("init", 0o100755, init) + record("TRAILER!!!", 0))
    done = subprocess.run([BINARY, "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio",
                           "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append",
                           "console=ttyS0 quiet panic=-1", *extra], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=200 * SLOW)
    assert done.returncode == 0, done.stdout[-1500:]
    return said(done.stdout.decode("latin-1"))


def processor_says_so():
    try:
        done = subprocess.run([program()], stdout=subprocess.PIPE, text=True, timeout=60)
    except OSError:
        return "skipped: this host runs no 32-bit programs"
    if done.returncode:
        return "skipped: this host does not let it have the segments that it wants"
    rows = said(done.stdout)
    rows.update({"narrow-code": EXPECTED["narrow-code"]} if rows["narrow-code"] == "0000dead" else {})
    assert rows == EXPECTED, rows
    return None


def firmware_and_a_program_under_a_64_bit_kernel():
    """This kernel gives no segments of 16-bit code."""
    rows = run(guest_files()[0], "-bios", "bios-256k.bin")
    assert rows == {**EXPECTED, "narrow-code": "0000dead"}, rows


def kernel_of_32_bits(name, *extra):
    rows = run(glob.glob(foreign_tree(name, "i386") + "/boot/vmlinuz-*")[0], *extra)
    assert rows == EXPECTED, rows


tap = Tap()
if "nightly" in sys.argv:
    tap.case("two_levels_of_paging", kernel_of_32_bits, "linux-image-686")
    tap.case("physical_address_extension", kernel_of_32_bits, "linux-image-686-pae", "-bios", "bios-256k.bin")
    tap.case("two_processors", kernel_of_32_bits, "linux-image-686-pae", "-smp", "2")
else:
    tap.case("processors_say_what_is_expected", processor_says_so)
    tap.case("firmware_and_a_32_bit_program_run_translated", firmware_and_a_program_under_a_64_bit_kernel)
tap.done()
