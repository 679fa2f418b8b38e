#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Linux finds its way on the machine with every kernel parameter that makes it do without a part of it, and
says so itself when the processor does not suffice.

usage: test-parameters.py [nightly [FROM]]     (nightly: the long list of params.txt, from its FROM-th on)
"""
import os
import sys

from console import BINARY, TOP, Console, guest_files

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import run  # noqa: E402

KERNEL, INITRD = guest_files()
BANNER = "Backplane guest is up"
INTERRUPTS = "cat /proc/interrupts"

# (parameters, options of the machine, command in the guest, what its answer has to hold)
SHORT = (
    ("nolapic", (), INTERRUPTS, ("XT-PIC",)),
    # Debian's kernel reads no MP tables, but the routing table of the BIOS.
    ("acpi=off", (), INTERRUPTS + "; dmesg | grep router", ("XT-PIC", "PIIX/ICH IRQ router")),
    ("noapic nolapic_timer", (), INTERRUPTS, ("XT-PIC",)),
    ("clocksource=hpet", ("-smp", "2"), INTERRUPTS + "; cd /sys/devices/system/clocksource/clocksource0; "
     "cat current_clocksource", ("IO-APIC", "CPU1", "\nhpet")),
)
HERE = os.path.dirname(os.path.abspath(__file__))


def long_list():
    """The lines of params.txt."""
    found = []
    with open(os.path.join(HERE, "params.txt"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#"):
                continue
            text, options, command, words = ([part.strip() for part in line.split("|")] + ["", "", ""])[:4]
            words = [word.replace("\\n", "\n") for word in words.split(", ") if word]
            found.append((text, tuple(options.split()), command or INTERRUPTS, words))
    return found


def machine(parameters, *options):
    return Console([BINARY, "-m", "512", "-nographic", "-no-reboot", *options, "-kernel", KERNEL,
                    "-initrd", INITRD, "-append", "console=ttyS0 " + parameters])


def restarts(console):
    console.type("reboot -f\n")
    status = console.wait(60)  # -no-reboot: a reset ends the program
    assert status == 0, "exit status %s" % status


def boots(parameters, options, command, wanted):
    console = machine(parameters, *options)
    try:
        console.expect(BANNER, 150)
        console.expect("# ", 30)
        if command == "reboot":
            restarts(console)
            return
        console.type("clear; sleep 1; echo; " + command + "; echo e''nd\n")  # a timer that counts
        text = console.expect("\nend", 60).replace("\r", "") + "\n"
        for word in wanted:
            assert word in text, "%s: %r is not in %s" % (parameters, word, text)
    finally:
        console.close()


def boot_case(entry):
    def case():
        boots(*entry)
    case.__name__ = "boots_with_" + "".join(c if c.isalnum() else "_" for c in " ".join((entry[0], *entry[1])))
    return case


def restart_through_the_bios_resets():
    console = machine("reboot=bios")
    try:
        console.expect(BANNER, 150)
        console.expect("# ", 30)
        restarts(console)
    finally:
        console.close()


def kernel_names_what_the_processor_lacks():
    for feature, messages in (("fxsr", ("features not present on the CPU:", "fxsr")),
                              ("lm", ("requires an x86-64 CPU, but only detected an i",))):
        console = machine("", "-cpu", "qemu64,-" + feature)
        try:
            for message in messages:
                console.expect(message, 60)
            console.expect("Unable to boot", 20)
        finally:
            console.close()


if "nightly" in sys.argv[1:]:
    run([boot_case(entry) for entry in long_list()[int((sys.argv[2:] or ["1"])[0]) - 1:]])
else:
    run([boot_case(entry) for entry in SHORT] +
        [restart_through_the_bios_resets, kernel_names_what_the_processor_lacks])
