#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Local APIC and I/O APIC of board pc: SDM volume 3 chapter 11, 82093AA data sheet."""
from qtest import QTest, Tap

LAPIC = 0xFEE00000
IOAPIC = 0xFEC00000


def machine():
    return QTest(["-M", "pc"])


def reset_values(q):
    assert q.readl(LAPIC + 0x30) & 0xFF == 0x14, "version"
    assert q.readl(LAPIC + 0xF0) == 0xFF, "SVR: software disabled"
    assert q.readl(LAPIC + 0xE0) == 0xFFFFFFFF, "DFR: flat"
    for offset in range(0x320, 0x380, 0x10):
        assert q.readl(LAPIC + offset) == 0x10000, f"LVT {offset:#x} is masked"


def io_register(q, index, value=None):
    q.writel(IOAPIC, index)
    if value is None:
        return q.readl(IOAPIC + 0x10)
    q.writel(IOAPIC + 0x10, value)
    return None


def timer_one_shot(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC + 0x3E0, 0xB)      # divide by 1
    q.writel(LAPIC + 0x320, 0x41)     # one-shot, vector 0x41
    q.writel(LAPIC + 0x380, 1000)     # 1000 ns
    q.clock_step(400)
    left = q.readl(LAPIC + 0x390)
    assert 0 < left <= 600, f"count after 400 ns is {left}"
    assert q.readl(LAPIC + 0x220) & 2 == 0, "not yet"
    q.clock_step(700)
    assert q.readl(LAPIC + 0x390) == 0
    assert q.readl(LAPIC + 0x220) & 2, "vector 0x41 is requested"


def timer_periodic(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC + 0x3E0, 0x0)      # divide by 2
    q.writel(LAPIC + 0x320, 0x20050)
    q.writel(LAPIC + 0x380, 500)      # a period of 1000 ns
    q.clock_step(2500)
    assert q.readl(LAPIC + 0x220) & (1 << 16)
    left = q.readl(LAPIC + 0x390)
    assert 240 <= left <= 260, f"half way through the third period: {left}"


def self_ipi(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC + 0x300, 0x40000 | 0x62)
    assert q.readl(LAPIC + 0x230) & 4, "vector 0x62"


def illegal_vector(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC + 0x300, 0x40000 | 0x05)
    q.writel(LAPIC + 0x280, 0)
    assert q.readl(LAPIC + 0x280) == 0x20, "send illegal vector"


def ioapic_version(q):
    assert io_register(q, 1) == 0x170020
    for pin in range(24):
        assert io_register(q, 0x10 + 2 * pin) == 0x10000, f"pin {pin} is masked"


def ioapic_edge(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    io_register(q, 0x10 + 2 * 4, 0x71)  # pin 4: fixed, edge, vector 0x71
    q.set_irq_in("ioapic", "irq", 4, 1)
    assert q.readl(LAPIC + 0x230) & (1 << 17)
    assert q.readl(LAPIC + 0x1B0) & (1 << 17) == 0, "TMR says edge"


def ioapic_level(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    io_register(q, 0x10 + 2 * 10, 0x8072)  # level, vector 0x72
    q.set_irq_in("ioapic", "irq", 10, 1)
    assert io_register(q, 0x10 + 2 * 10) & 0x4000, "remote IRR"
    assert q.readl(LAPIC + 0x1B0) & (1 << 18), "TMR says level"
    q.writel(IOAPIC + 0x40, 0x72)  # EOI with the line still up: it fires again
    assert io_register(q, 0x10 + 2 * 10) & 0x4000
    q.set_irq_in("ioapic", "irq", 10, 0)
    q.writel(IOAPIC + 0x40, 0x72)
    assert io_register(q, 0x10 + 2 * 10) & 0x4000 == 0


def msi(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC, 0x83)  # a message to processor 0, vector 0x83
    assert q.readl(LAPIC + 0x240) & 8


def msi_destinations(q):
    q.writel(LAPIC + 0xF0, 0x1FF)
    q.writel(LAPIC + 0xD0, 2 << 24)     # logical ID 2, flat
    q.writel(LAPIC + 0x2004, 0x84)      # logical 2
    q.writel(LAPIC + 0x1004, 0x85)      # logical 1: nobody
    q.writel(LAPIC + 0x1000, 0x86)      # physical 1: nobody
    q.writel(LAPIC + 0xFF000, 0x87)     # physical, all
    assert q.readl(LAPIC + 0x240) == 1 << 4 | 1 << 7, hex(q.readl(LAPIC + 0x240))
    assert q.readl(LAPIC + 0x1000) == 0xFFFFFFFF, "the decoder of messages has nothing to read"


tap = Tap()
for name, function in (("reset_gives_documented_values", reset_values),
                       ("one_shot_timer_requests_its_vector", timer_one_shot),
                       ("periodic_timer_keeps_its_phase", timer_periodic),
                       ("self_ipi_sets_irr", self_ipi),
                       ("illegal_vector_sets_esr", illegal_vector),
                       ("ioapic_reset_masks_all_pins", ioapic_version),
                       ("ioapic_edge_delivers_once", ioapic_edge),
                       ("ioapic_level_waits_for_eoi", ioapic_level),
                       ("msi_write_is_delivered", msi),
                       ("msi_reaches_whom_it_names", msi_destinations)):
    def run(function=function):
        with machine() as q:
            function(q)
    tap.case(name, run)
tap.done()
