#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small guests find the PC as its firmware would have left it, and its parts as their data sheets say."""
import os
import sys

from small import TOP, Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import Skip, run  # noqa: E402

guests = Guests()


def values(name, *options, seconds=60):
    why = lacking()
    if why:
        raise Skip(why)
    return guests.values(name, *options, seconds=seconds)


def untouched_apic_passes_8259_interrupts():
    seen = values("pic")
    # Virtual wire (MultiProcessor Specification 1.4, 3.6.2.2): enabled, LINT0 ExtINT, LINT1 NMI.
    assert seen["svr"] & 0x100, seen
    assert seen["lint0"] & 0x10700 == 0x700 and seen["lint1"] & 0x10700 == 0x400, seen
    assert seen["timer"] >= 3 and seen["rtc"] >= 3, seen


def init_resets_the_local_apic():
    seen = values("init", "-smp", "2")
    assert seen["phase"] == 2, seen
    assert seen["before"] & 1, "the first life had no interrupt pending: %s" % seen
    assert seen["svr"] == 0xff, seen
    assert seen["timer"] == 0x10000 and seen["lint0"] == 0x10000, seen
    assert seen["irr"] == seen["tpr"] == seen["count"] == 0, seen
    assert seen["id"] == 1 << 24, seen


def hpet_reaches_the_io_apic():
    seen = values("hpet")
    assert seen["route"] == 2, seen
    assert seen["oneshot"] == 1, seen
    for name in ("periodic", "periodic32", "level", "legacy"):
        assert seen[name] >= 3, seen


def fpu_error_without_ne_is_irq_13():
    seen = values("ferr")
    assert seen["irq13"] == 1 and seen["again"] == 2, seen
    assert seen["status"] & 0x84 == 0x84, "error summary and zero divide: %s" % seen
    assert seen["requests"] == 0 and seen["others"] == 0, seen


def tables_without_acpi_are_whole():
    seen = values("tables", "-smp", "3")
    assert seen["floating"] and seen["mp_sum"] == seen["config_sum"] == 0, seen
    assert seen["entries"] == seen["counted"], seen
    assert seen["processors"] == 3 and seen["boot"] == 1 and seen["ioapics"] == 1, seen
    assert seen["timer_pin"] == 2 and seen["extint"] == 1 and seen["nmi"] == 1, seen
    assert seen["bad_ids"] == 0, seen
    assert seen["pir"] and seen["pir_sum"] == 0, seen
    # Slot 3 pin A goes to PIRQC, and there to the interrupt that both tables and the chipset name.
    assert seen["pir_link"] == 0x62 and seen["routed"] == seen["mp_pci_pin"], seen
    assert seen["pm_line"] == 9, seen


def a20_is_masked_only_when_nobody_lets_it_through():
    seen = values("a20")
    assert seen["start"] == seen["keyboard"] == seen["port92"] == seen["again"] == seen["both"] == seen["end"] == 1, seen
    assert seen["neither"] == seen["last"] == 0, seen


def entry_of_the_bios_resets_the_machine():
    why = lacking()
    if why:
        raise Skip(why)
    text = guests.text("reset")
    assert text.count("marker ") == 2 and "marker 0000005a" in text, text
    assert "model 000000fc" in text, text
    assert "top 00000001" in text, text


def more_processors_than_xapic_has_ids():
    """Each is started, takes interrupts by its id, its logical id and with all others; then with ids that have holes."""
    iommu = "-M", "q35", "-device", "intel-iommu,intremap=on,eim=on"
    for count, last, handed, options in (
            (3, 2, 2, ("-smp", "3")), (288, 287, 3, (*iommu, "-smp", "288")),
            (7, 8, 3, (*iommu, "-smp", "7,maxcpus=255,sockets=85,cores=3"))):
        seen = values("many", *options, seconds=400)
        assert (seen["processors"], seen["last"], seen["handed_over"]) == (count, last, handed), seen
        assert seen["started"] == seen["once"] == seen["others"] == count - 1, seen
        assert seen["by_id"] == seen["by_logical_id"] == seen["all"] == count, seen
        assert seen["missed"] == seen["wrong_id"] == 0, seen


try:
    run([untouched_apic_passes_8259_interrupts, init_resets_the_local_apic, hpet_reaches_the_io_apic,
         fpu_error_without_ne_is_irq_13, tables_without_acpi_are_whole, entry_of_the_bios_resets_the_machine,
         a20_is_masked_only_when_nobody_lets_it_through, more_processors_than_xapic_has_ids])
finally:
    guests.close()
