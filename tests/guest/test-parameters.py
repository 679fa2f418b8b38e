#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Linux finds its way on the machine with every kernel parameter that makes it do without a part of it, and
says so itself when the processor does not suffice.

usage: test-parameters.py [nightly]     (nightly: the long list)
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
LONG = [(text, (), INTERRUPTS, ()) for text in (
    "acpi=off nolapic", "acpi=off noapic", "acpi=off nosmp", "pci=noacpi",
    "acpi=ht", "acpi=strict", "acpi=rsdt", "acpi=noirq", "noapic",
    "nolapic_timer", "nosmp", "maxcpus=0", "nox2apic", "x2apic_phys", "lapic=notscdeadline", "notsc",
    "tsc=unstable", "clocksource=hpet", "clocksource=pit", "clocksource=acpi_pm", "hpet=disable", "nohpet",
    "no_timer_check", "acpi_skip_timer_override", "disable_mtrr_cleanup", "nopat", "pci=nomsi", "pci=conf1",
    "pci=bios", "pci=biosirq", "pci=routeirq", "pci=nocrs", "pci=noacpi noapic", "mem=256M", "noxsave",
    "mce=off", "idle=poll", "idle=halt", "pnp=off", "pnpacpi=off", "nohz=off", "highres=off",
    "lpj=4000000", "nosmap nosmep", "noinvpcid nopcid", "noreplace-smp", "irqpoll", "acpi_sci=edge",
    "i8042.noaux i8042.nopnp")]


def machine(parameters, *options):
    return Console([BINARY, "-m", "512", "-nographic", "-no-reboot", *options, "-kernel", KERNEL,
                    "-initrd", INITRD, "-append", "console=ttyS0 " + parameters])


def boots(parameters, options, command, wanted):
    console = machine(parameters, *options)
    try:
        console.expect(BANNER, 150)
        console.expect("# ", 30)
        console.type("clear; sleep 1; " + command + "; echo e''nd\n")  # a timer that counts
        text = console.expect("\nend", 60).replace("\r", "")
        for word in wanted:
            assert word in text, "%s: %r is not in %s" % (parameters, word, text)
    finally:
        console.close()


def boot_case(entry):
    def case():
        boots(*entry)
    case.__name__ = "boots_with_" + "".join(c if c.isalnum() else "_" for c in entry[0])
    return case


def restart_through_the_bios_resets():
    console = machine("reboot=bios")
    try:
        console.expect(BANNER, 150)
        console.expect("# ", 30)
        console.type("reboot -f\n")
        status = console.wait(60)  # -no-reboot: a reset ends the program
        assert status == 0, "exit status %s" % status
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
    run([boot_case(entry) for entry in LONG])
else:
    run([boot_case(entry) for entry in SHORT] +
        [restart_through_the_bios_resets, kernel_names_what_the_processor_lacks])
