#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel finds nothing to complain of here that it does not also find under Debian's QEMU."""
import re
import shutil

from console import BINARY, Console, Tap, guest_files

KERNEL, INITRD = guest_files()
PEER = shutil.which("qemu-system-x86_64")


def complaints(binary, extra):
    """Kernel messages of level warning and worse, with numbers blanked."""
    console = Console([binary, "-m", "512", "-nographic", "-no-reboot", *extra, "-kernel", KERNEL,
                       "-initrd", INITRD, "-append", "console=ttyS0 loglevel=1"])
    try:
        console.expect("Backplane guest is up", 150)
        console.expect("# ", 30)
        console.type("dmesg -r; echo e''nd\n")
        text = console.expect("\nend", 90)
        console.type("poweroff -f\n")
        console.wait(60)
    finally:
        console.close()
    found = {}
    for line in text.splitlines():
        match = re.match(r"<(\d+)>\[ *[\d.]+\] (.*)", line.strip())
        if not match:
            continue
        level, message = int(match.group(1)) & 7, match.group(2)
        if level <= 4 or re.search(r"firmware bug|BIOS bug|BUG:|WARNING:", message, re.I):
            found[re.sub(r"0x[0-9a-f]+|[0-9a-f]{6,}|\d+", "N", message)] = message
    assert re.search(r"<\d+>\[", text), "dmesg printed nothing"
    return found


def nothing_new():
    theirs = complaints(PEER, ["-accel", "tcg"])
    new = None
    # What the kernel says of clocks depends on how busy this computer is just then: what comes once
    # and not again is the host's doing. What is wrong here comes every time.
    for boots in range(1, 4):
        ours = complaints(BINARY, [])
        found = {key: message for key, message in ours.items() if key not in theirs}
        new = found if new is None else {key: new[key] for key in new if key in found}
        if not new:
            break
    assert not new, "only here:\n" + "\n".join(new.values())
    return f"{len(ours)} here, {len(theirs)} under the peer, {boots} boots"


tap = Tap()
if PEER:
    tap.case("kernel_complains_of_nothing_new", nothing_new)
else:
    tap.skip("kernel_complains_of_nothing_new", "qemu-system-x86_64 is not installed")
tap.done()
