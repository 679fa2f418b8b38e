#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small PCI devices by their public descriptions and data sheets: edu, pci-testdev, pvpanic-pci, i6300esb;
and pc-testdev."""
from qtest import Failed, QTest, Tap

MEMORY, PORTS = 0xF0000000, 0xC000
TICK = 32768 * 1000 / 33.0  # ns


class Function:
    """The function in slot 5."""

    def __init__(self, q):
        self.q = q

    def _at(self, offset):
        self.q.outl(0xCF8, 0x80002800 | offset & 0xFC)
        return 0xCFC + offset % 4

    def read(self, offset, width="l"):
        return getattr(self.q, "in" + width)(self._at(offset))

    def write(self, offset, value, width="l"):
        getattr(self.q, "out" + width)(self._at(offset), value)

    def ids(self):
        return "%08x" % self.read(0)

    def place(self):
        self.write(0x10, MEMORY)
        self.write(0x14, PORTS)
        self.write(4, 7, "w")
        return MEMORY

    def capability(self, wanted):
        at = self.read(0x34, "b")
        while at and self.read(at, "b") != wanted:
            at = self.read(at + 1, "b")
        return at


def event(q, name):
    while True:
        for at, seen in enumerate(q.events):
            if seen["event"] == name:
                del q.events[:at + 1]
                return seen.get("data")
        message = q._qmp_read()
        assert "event" in message, message
        q.events.append(message)


def names(q):
    q.qmp("query-status")
    return [e["event"] for e in q.events]


# ---- edu ----

def edu_identifies_and_inverts(q):
    f = Function(q)
    assert f.ids() == "11e81234" and f.read(8) == 0x00FF0010, hex(f.read(8))
    f.write(0x10, 0xFFFFFFFF)
    assert f.read(0x10) == 0xFFF00000
    base = f.place()
    assert q.readl(base) == 0x010000ED
    q.writel(base + 4, 0x12345678)
    assert q.readl(base + 4) == 0xEDCBA987


def edu_computes_factorials(q):
    base = Function(q).place()
    for n, want in ((0, 1), (1, 1), (5, 120), (13, 6227020800 & 0xFFFFFFFF), (33, 0x80000000), (34, 0),
                    (0xFFFFFFFF, 0)):
        q.writel(base + 8, n)
        assert q.readl(base + 0x20) & 1
        q.writel(base + 8, 3)  # busy: not taken
        q.clock_step(1000000)
        assert not q.readl(base + 0x20) & 1 and q.readl(base + 8) == want, (n, q.readl(base + 8))
    assert q.readl(base + 0x24) == 0


def edu_interrupts_by_its_pin(q):
    base = Function(q).place()
    q.outl(0xCF8, 0x80000860)
    q.outl(0xCFC, 0x0B0B0B0B)  # PIRQ A to D: interrupt 11
    q.irq_intercept_in("ioapic")
    q.writel(base + 0x20, 0x80)
    q.writel(base + 8, 4)
    q.clock_step(1000000)
    assert q.readl(base + 0x24) == 1 and any(q.irqs.values()), q.irqs
    q.writel(base + 0x64, 1)
    assert q.readl(base + 0x24) == 0 and not any(q.irqs.values()), q.irqs
    q.writel(base + 0x60, 0x30)
    q.writel(base + 0x60, 0x40)
    q.writel(base + 0x64, 0x30)
    assert q.readl(base + 0x24) == 0x40 and any(q.irqs.values())
    q.writel(base + 0x64, 0x40)
    assert not any(q.irqs.values())


def edu_interrupts_by_message(q):
    f = Function(q)
    base = f.place()
    msi = f.capability(5)
    wide = f.read(msi + 2, "w") & 0x80
    f.write(msi + 4, 0xFEE00000)
    f.write(msi + (12 if wide else 8), 0x61, "w")
    f.write(msi + 2, f.read(msi + 2, "w") | 1, "w")
    q.writel(0xFEE000F0, 0x1FF)
    q.writel(base + 0x60, 1)
    assert q.readl(0xFEE00200 + (0x61 >> 5) * 16) == 1 << (0x61 & 31)


def dma(q, base, source, destination, count, command):
    q.writeq(base + 0x80, source)
    q.writeq(base + 0x88, destination)
    q.writeq(base + 0x90, count)
    q.writeq(base + 0x98, command)
    busy = q.readq(base + 0x98) & 1
    q.clock_step(10000000)
    assert busy and not q.readq(base + 0x98) & 1


def edu_moves_memory_both_ways(q):
    base = Function(q).place()
    data = bytes(i * 7 & 0xFF for i in range(4096))
    q.write(0x10000, data)
    dma(q, base, 0x10000, 0x40000, 4096, 1)
    dma(q, base, 0x40010, 0x20000, 100, 1 | 2 | 4)
    assert q.read(0x20000, 101) == data[16:116] + b"\0"
    assert q.readl(base + 0x24) == 0x100


def edu_refuses_what_is_not_its_buffer(q):
    base = Function(q).place()
    q.write(0x20000, b"x" * 64)
    for source, count in ((0x40000, 4097), (0x3FFFF, 1), (0x41000, 1), (0x40FFF, 2), (0, 16),
                          (0xFFFFFFFFFFFFFFFF, 1), (0x40000, 0xFFFFFFFFFFFFFFFF)):
        dma(q, base, source, 0x20000, count, 3)
        assert q.read(0x20000, 64) == b"x" * 64, (hex(source), count)
    dma(q, base, 0x41000, 0x20000, 0, 3)
    # Its own registers and buffer as guest memory; and beyond its mask.
    for address in (base, base + 0x98, base + 0x40000, 0xFEE00000, 0xFFFFFFFFFFFFF000):
        dma(q, base, 0x40000, address, 64, 3)
        dma(q, base, address, 0x40000, 64, 1)
    assert q.readl(base) == 0x010000ED
    f = Function(q)
    f.write(4, 3, "w")  # no bus master
    dma(q, base, 0x40000, 0x20000, 16, 3)
    assert q.read(0x20000, 16) == b"x" * 16


def edu_mask_cuts_addresses(q):
    base = Function(q).place()
    q.write(0x1234, b"masked")
    dma(q, base, 0x7000001234, 0x40000, 6, 1)
    dma(q, base, 0x40000, 0x30000, 6, 3)
    assert q.read(0x30000, 6) == b"masked"


# ---- pci-testdev ----

def count_writes(q, get, put, base, kind):
    seen = []
    for test in range(256):
        put("b", base, test)
        width = get("b", base + 1)
        if width not in (1, 2, 4):
            break
        offset, data = get("l", base + 4), get("l", base + 8)
        name = bytes(get("b", base + 16 + i) for i in range(32)).split(b"\0")[0].decode()
        assert get("l", base + 12) == 0
        for n in range(1, 4):
            put({1: "b", 2: "w", 4: "l"}[width], base + offset, data)
            assert get("l", base + 12) == n, (name, n)
        put({1: "b", 2: "w", 4: "l"}[width], base + offset + 8, data)
        put({1: "b", 2: "w", 4: "l"}[width], base + offset, data ^ 1)
        put("b", base + offset, data & 0xFF)
        assert get("l", base + 12) == (4 if "wildcard" in name else 3), name
        seen.append(name)
    assert seen == [kind + "-" + n for n in ("no-eventfd", "wildcard-eventfd", "datamatch-eventfd")], seen


def testdev_counts_writes(q):
    f = Function(q)
    assert f.ids() == "00051b36"
    base = f.place()
    assert f.read(0x14) == PORTS | 1
    count_writes(q, lambda w, a: getattr(q, "read" + w)(a), lambda w, a, v: getattr(q, "write" + w)(a, v),
                 base, "mmio")
    count_writes(q, lambda w, a: getattr(q, "in" + w)(a), lambda w, a, v: getattr(q, "out" + w)(a, v),
                 PORTS, "portio")
    f.write(0x18, 0xFFFFFFFF)
    assert f.read(0x18) == 0


def testdev_has_a_bar_of_any_size(q):
    f = Function(q)
    f.write(0x18, 0xFFFFFFFF)
    f.write(0x1C, 0xFFFFFFFF)
    assert f.read(0x18) == 0xC and f.read(0x1C) == 0xFFFFFFF0, (hex(f.read(0x18)), hex(f.read(0x1C)))


def odd_membar_is_refused():
    for size in ("3G", "8"):
        try:
            with QTest(["-M", "pc", "-device", "pci-testdev,membar=" + size]):
                raise AssertionError("it was accepted")
        except Failed as error:
            assert "membar" in str(error) and "power of two" in str(error), error


# ---- pvpanic-pci ----

def pvpanic_tells_of_a_panic(q):
    f = Function(q)
    assert f.ids() == "00111b36" and f.read(8) >> 16 == 0x0880
    base = f.place()
    assert q.readb(base) == 7 and q.readb(base + 1) == 0
    q.writeb(base + 1, 1)
    q.writeb(base, 2)
    assert event(q, "GUEST_CRASHLOADED") == {"action": "run"}
    q.writeb(base, 1)
    assert event(q, "GUEST_PANICKED") == {"action": "pause"}
    assert q.qmp("query-status")["status"] == "guest-panicked"


# ---- i6300esb ----

def unlocked(q, address, value, width="l"):
    q.writew(MEMORY + 0xC, 0x80)
    q.writew(MEMORY + 0xC, 0x86)
    getattr(q, "write" + width)(address, value)


def reload(q):
    unlocked(q, MEMORY + 0xC, 0x100, "w")


def start(q, first, second, config=0x03, lock=2):
    f = Function(q)
    f.place()
    f.write(0x60, config, "w")
    unlocked(q, MEMORY, first)
    unlocked(q, MEMORY + 4, second)
    f.write(0x68, lock, "b")
    return f


def i6300esb_counts_two_stages(q):
    f = start(q, 999, 499)
    assert f.ids() == "25ab8086"
    q.clock_step(int(1499 * TICK))
    assert "WATCHDOG" not in names(q)
    reload(q)
    q.clock_step(int(1499 * TICK))
    assert "WATCHDOG" not in names(q)
    q.clock_step(int(2 * TICK))
    assert event(q, "WATCHDOG") == {"action": "none"}
    assert q.readw(MEMORY + 0xC) == 0x200
    unlocked(q, MEMORY + 0xC, 0x200, "w")
    assert q.readw(MEMORY + 0xC) == 0


def i6300esb_prescaler(q):
    start(q, 999, 499, config=0x07)
    q.clock_step(int(1499 * TICK / 1024))
    assert "WATCHDOG" not in names(q)
    q.clock_step(int(2 * TICK / 1024))
    event(q, "WATCHDOG")


def i6300esb_needs_both_keys(q):
    start(q, 999, 499)
    for bytes_ in ((), (0x80,), (0x86, 0x80), (0x80, 0x80), (0x80, 0x86, 0x11)):
        q.clock_step(int(700 * TICK))
        for byte in bytes_:
            q.writew(MEMORY + 0xC, byte)
        q.writew(MEMORY + 0xC, 0x100)
        q.clock_step(int(700 * TICK))
        assert "WATCHDOG" not in names(q), bytes_
        q.clock_step(int(200 * TICK))
        event(q, "WATCHDOG")
        Function(q).write(0x68, 0, "b")
        Function(q).write(0x68, 2, "b")


def i6300esb_first_stage_shows(q):
    start(q, 99, 999, config=0)
    q.clock_step(int(99 * TICK))
    assert q.readl(MEMORY + 8) == 0
    q.clock_step(int(2 * TICK))
    assert q.readl(MEMORY + 8) == 1
    unlocked(q, MEMORY + 8, 1)
    assert q.readl(MEMORY + 8) == 0


def i6300esb_lock_holds_until_reset(q):
    f = start(q, 99, 99, lock=3)
    f.write(0x68, 0, "b")
    assert f.read(0x68, "b") == 3
    q.clock_step(int(201 * TICK))
    event(q, "WATCHDOG")
    event(q, "RESET")
    assert f.read(0x68, "b") == 0
    f.place()
    assert q.readw(MEMORY + 0xC) == 0x200  # why it was reset
    f.write(0x68, 4, "b")
    assert f.read(0x68, "b") == 4


def i6300esb_can_be_stopped_or_silenced(q):
    f = start(q, 99, 99)
    f.write(0x68, 0, "b")
    q.clock_step(int(1000 * TICK))
    f.write(0x60, 0x23, "w")
    f.write(0x68, 2, "b")
    q.clock_step(int(201 * TICK))
    assert q.readw(MEMORY + 0xC) == 0x200
    f.write(0x68, 0, "b")
    f.write(0x60, 3, "w")
    f.write(0x68, 6, "b")  # free running
    q.clock_step(int(1000 * TICK))
    assert "WATCHDOG" not in names(q)


def documented_lines_pause_the_guest():
    for options in (("-device", "i6300esb,addr=5", "-watchdog-action", "pause"),
                    ("-action", "panic=none", "-action", "reboot=shutdown,shutdown=pause", "-device",
                     "i6300esb,addr=5", "-action", "watchdog=pause")):
        with QTest(["-M", "pc", *options]) as q:
            start(q, 99, 99)
            q.clock_step(int(201 * TICK))
            assert event(q, "WATCHDOG") == {"action": "pause"}
            event(q, "STOP")
            assert q.qmp("query-status")["status"] == "watchdog"


# ---- pc-testdev ----

def pc_testdev_keeps_and_interrupts(q):
    q.outl(0xE0, 0x12345678)
    assert q.inb(0xE1) == 0x56 and q.inw(0xE2) == 0x1234 and q.inl(0xE0) == 0x12345678
    q.outb(0xE3, 0xAA)
    assert q.inl(0xE0) == 0xAA345678
    for width, value in (("b", 0x12), ("w", 0x1234), ("l", 0x12345678), ("q", 0x123456789ABCDEF0)):
        getattr(q, "write" + width)(0xFF000010, value)
        assert getattr(q, "read" + width)(0xFF000010) == value
    assert q.readb(0xFF00FFFF) == 0
    q.irq_intercept_in("ioapic")
    for line in (3, 14, 15):
        q.outb(0x2000 + line, 1)
        assert q.irq(line) and q.inb(0x2000 + line) == 1
        q.outb(0x2000 + line, 0)
        assert not q.irq(line)


def pc_testdev_takes_pages_away_for_a_moment(q):
    """What stays is all that one processor sees of it; the peer's port reads as 0, too."""
    assert q.inl(0xE4) == 0 and q.inb(0xE7) == 0
    q.writeq(0x200000, 0x123456789ABCDEF0)
    q.writel(0xFF000020, 0xCAFE)
    for address in (0x200000, 0x200FFF, 0xFF000000, 0xFEC00000, 0xFFFFFFFF, 0xA0000, 0x12345000):
        q.outl(0xE4, address)
        assert q.inl(0xE4) == 0
    q.outw(0xE4, 0x2000)
    q.outb(0xE5, 0x20)
    assert q.readq(0x200000) == 0x123456789ABCDEF0 and q.readl(0xFF000020) == 0xCAFE
    q.writeq(0x200000, 1)
    assert q.readq(0x200000) == 1
    seen = q.qmp("human-monitor-command", {"command-line": "info mtree"})
    assert "pc-testdev-flush" in seen and "pc-testdev-nothing" not in seen, seen


tap = Tap()


def pc(function, device, *options):
    tap.machine_case(function.__name__, ["-M", "pc", *options, "-device", device], function)


for case in (edu_identifies_and_inverts, edu_computes_factorials, edu_interrupts_by_its_pin,
             edu_interrupts_by_message, edu_moves_memory_both_ways, edu_refuses_what_is_not_its_buffer,
             edu_mask_cuts_addresses):
    pc(case, "edu,addr=5")
pc(testdev_counts_writes, "pci-testdev,addr=5")
pc(testdev_has_a_bar_of_any_size, "pci-testdev,addr=5,membar=64G")
tap.case("odd_membar_is_refused", odd_membar_is_refused)
pc(pvpanic_tells_of_a_panic, "pvpanic-pci,addr=5", "-action", "panic=pause")
for case in (i6300esb_counts_two_stages, i6300esb_prescaler, i6300esb_needs_both_keys,
             i6300esb_first_stage_shows, i6300esb_can_be_stopped_or_silenced):
    pc(case, "i6300esb,addr=5", "-watchdog-action", "none")
pc(i6300esb_lock_holds_until_reset, "i6300esb,addr=5")
tap.case("documented_lines_pause_the_guest", documented_lines_pause_the_guest)
pc(pc_testdev_keeps_and_interrupts, "pc-testdev")
pc(pc_testdev_takes_pages_away_for_a_moment, "pc-testdev")
tap.done()
