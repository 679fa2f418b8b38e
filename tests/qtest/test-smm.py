#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""System management mode as far as the boards have to do with it: SMRAM and its lock, the top segment, SMIs of the APM
ports and what enables and locks them, the files by which firmware asks for SMIs to all processors."""
from qtest import Failed, QTest, Tap

PC, Q35 = ["-M", "pc,smm=on"], ["-M", "q35,smm=on", "-m", "256"]
OPEN, LOCK, ENABLE = 0x40, 0x10, 0x08
LOW, TOP = 0xA0000, 256 << 20
APM = 0xB2


def config(q, devfn, reg, value=None, size=1):
    q.outl(0xCF8, 0x80000000 | devfn << 8 | reg & ~3)
    port = 0xCFC + (reg & 3)
    if value is None:
        return {1: q.inb, 2: q.inw, 4: q.inl}[size](port)
    {1: q.outb, 2: q.outw, 4: q.outl}[size](port, value)
    return value


class Pulses(dict):
    """How often each line was raised."""

    def __init__(self):
        super().__init__()
        self.count = {}

    def __setitem__(self, number, up):
        super().__setitem__(number, up)
        if up:
            self.count[number] = self.count.get(number, 0) + 1


def smis(q, device):
    q.irq_intercept_out(device, "smi")
    q.irqs = Pulses()
    return q.irqs.count


def low_area_opens_until_it_is_locked(q, reg):
    assert q.readl(LOW) == 0xFFFFFFFF
    config(q, 0, reg, OPEN | ENABLE | 2)
    q.writel(LOW, 0x534D4D21)
    assert q.readl(LOW) == 0x534D4D21
    config(q, 0, reg, ENABLE | 2)
    assert q.readl(LOW) == 0xFFFFFFFF
    config(q, 0, reg, OPEN | ENABLE | LOCK | 2)  # a lock closes
    assert config(q, 0, reg) == ENABLE | LOCK | 2, hex(config(q, 0, reg))
    assert q.readl(LOW) == 0xFFFFFFFF
    config(q, 0, reg, OPEN | 2)
    assert config(q, 0, reg) == ENABLE | LOCK | 2
    q.qmp("system_reset")
    q.qmp("query-status")
    assert config(q, 0, reg) == 2
    config(q, 0, reg, OPEN | ENABLE | 2)
    assert q.readl(LOW) == 0x534D4D21


def top_segment_is_nobody_elses(q):
    for code, size in ((0, 1), (1, 2), (2, 8), (3, 16)):
        start = TOP - (size << 20)
        q.writel(start, 0x12340000 | size)
        q.writel(start - 4, 0x4321)
        config(q, 0, 0x9D, ENABLE | 2)
        config(q, 0, 0x9E, 0x39 | code << 1)
        assert q.readl(start) == 0xFFFFFFFF and q.readl(TOP - 4) == 0xFFFFFFFF, size
        assert q.readl(start - 4) == 0x4321
        q.writel(start, 0)
        config(q, 0, 0x9D, 2)  # G_SMRAME rules
        assert q.readl(start) == 0x12340000 | size, hex(q.readl(start))
        config(q, 0, 0x9E, 0x38)


def top_segment_is_locked_with_the_rest(q):
    config(q, 0, 0x9E, 0x3D)
    config(q, 0, 0xAC, (TOP - (8 << 20)) | 5, 4)  # TSEGMB: where firmware notes that it begins
    config(q, 0, 0x9D, ENABLE | LOCK | 2)
    config(q, 0, 0x9E, 0x38)
    assert config(q, 0, 0x9E) == 0x3D
    config(q, 0, 0xAC, 0x12300000, 4)
    assert config(q, 0, 0xAC, None, 4) == TOP - (8 << 20)
    assert q.readl(TOP - 4) == 0xFFFFFFFF
    q.qmp("system_reset")
    q.qmp("query-status")
    assert config(q, 0, 0x9E) == 0x38 and config(q, 0, 0xAC, None, 4) == 0
    config(q, 0, 0xAC, 0x12300000, 4)
    assert config(q, 0, 0xAC, None, 4) == 0x12300000
    assert q.readl(TOP - 4) != 0xFFFFFFFF


def larger_segment_is_offered(q):
    config(q, 0, 0x50, 0xFFFF, 2)
    assert config(q, 0, 0x50, None, 2) == 16


def no_larger_segment_is_offered(q):
    config(q, 0, 0x50, 0xFFFF, 2)
    assert config(q, 0, 0x50, None, 2) == 0xFFFF


def piix4_raises_when_enabled(q):
    count = smis(q, "PIIX4_PM")
    q.outb(APM, 0x42)
    assert not count
    config(q, 0x0B, 0x5B, 0x02)
    q.outb(APM, 0x42)
    q.outb(APM + 1, 7)  # the status port is no command
    q.inb(APM)
    assert count == {0: 1}, count
    assert q.inb(APM) == 0x42


def ich9_raises_when_enabled(q):
    smi_en, smi_sts = 0x630, 0x634
    count = smis(q, "ICH9-LPC")
    q.outb(APM, 1)
    assert not count and q.inl(smi_en) == 0
    q.outl(smi_en, 0x21)
    q.outb(APM, 0x42)
    q.inb(APM)
    assert count == {0: 1}, count
    assert q.inl(smi_sts) & 0x20
    q.outl(smi_sts, 0x20)
    assert not q.inl(smi_sts) & 0x20
    # SMI_LOCK: the global enable and the lock itself stay as they are.
    config(q, 0xF8, 0xA0, 0x10)
    q.outl(smi_en, 0)
    assert q.inl(smi_en) == 1
    config(q, 0xF8, 0xA0, 0)
    assert config(q, 0xF8, 0xA0) & 0x10
    q.qmp("system_reset")
    q.qmp("query-status")
    assert not config(q, 0xF8, 0xA0) & 0x10
    assert q.inl(smi_en) == 0, hex(q.inl(smi_en))


def without_it_firmware_finds_it_set_up(q, board):
    if board == "pc":
        assert config(q, 0x0B, 0x5B) & 0x02
        count = smis(q, "PIIX4_PM")
    else:
        assert q.inl(0x630) & 0x20
        config(q, 0, 0x9D, ENABLE | 2)
        config(q, 0, 0x9E, 0x39)
        q.writel((128 << 20) - 4, 5)
        assert q.readl((128 << 20) - 4) == 5
        count = smis(q, "ICH9-LPC")
    q.outb(APM, 0x42)
    q.inb(APM)
    assert not count
    assert "etc/smi/features-ok" not in files(q)


# ---- fw_cfg ----

def files(q):
    q.outw(0x510, 0x19)
    found = {}
    for _ in range(int.from_bytes(bytes(q.inb(0x511) for _ in range(4)), "big")):
        entry = bytes(q.inb(0x511) for _ in range(64))
        found[entry[8:].split(b"\0")[0].decode()] = int.from_bytes(entry[4:6], "big")
    return found


def read(q, key, size):
    q.outw(0x510, key)
    return int.from_bytes(bytes(q.inb(0x511) for _ in range(size)), "little")


def write(q, key, value):
    control, data = 0x1000, 0x1100
    q.write(data, value.to_bytes(8, "little"))
    q.write(control, (key << 16 | 0x18).to_bytes(4, "big") + (8).to_bytes(4, "big") + data.to_bytes(8, "big"))
    q.outl(0x514, 0)
    q.outl(0x518, int.from_bytes(control.to_bytes(4, "big"), "little"))
    assert q.readl(control) == 0


def firmware_may_ask_for_smis_to_all(q):
    count = smis(q, "ICH9-LPC")
    q.outl(0x630, 0x21)
    keys = files(q)
    supported, requested, ok = (keys["etc/smi/" + name] for name in ("supported-features", "requested-features",
                                                                     "features-ok"))
    assert read(q, supported, 8) == 1
    write(q, requested, 3)  # more than there is
    assert read(q, ok, 1) == 0
    q.outb(APM, 1)
    q.inb(APM)
    assert count == {0: 1}, count
    write(q, requested, 1)
    assert read(q, ok, 1) == 1
    q.outb(APM, 1)
    q.inb(APM)
    assert count == {0: 1, 1: 1}, count
    write(q, requested, 0)  # too late: it stands
    assert read(q, ok, 1) == 1
    q.outb(APM, 1)
    q.inb(APM)
    assert count == {0: 1, 1: 2}, count
    q.qmp("system_reset")
    q.qmp("query-status")
    assert read(q, requested, 8) == 0
    q.outl(0x630, 0x21)
    q.outb(APM, 1)
    q.inb(APM)
    assert count == {0: 2, 1: 2}, count


def wrong_word_is_refused():
    try:
        with QTest(["-M", "pc,smm=perhaps"]):
            pass
    except Failed as error:
        assert "smm=perhaps" in str(error) and "auto" in str(error), error
        return
    raise AssertionError("it started")


tap = Tap()
tap.machine_case("pc_low_area_opens_until_it_is_locked", PC, lambda q: low_area_opens_until_it_is_locked(q, 0x72))
tap.machine_case("q35_low_area_opens_until_it_is_locked", Q35, lambda q: low_area_opens_until_it_is_locked(q, 0x9D))
tap.machine_case("top_segment_is_nobody_elses", Q35, top_segment_is_nobody_elses)
tap.machine_case("top_segment_is_locked_with_the_rest", Q35, top_segment_is_locked_with_the_rest)
tap.machine_case("larger_segment_is_offered", Q35, larger_segment_is_offered)
tap.machine_case("no_larger_segment_is_offered", Q35 + ["-global", "mch.extended-tseg-mbytes=0"],
                 no_larger_segment_is_offered)
tap.machine_case("piix4_raises_when_enabled", PC, piix4_raises_when_enabled)
tap.machine_case("ich9_raises_when_enabled", Q35, ich9_raises_when_enabled)
for board in ("pc", "q35"):
    tap.machine_case(board + "_without_it_firmware_finds_it_set_up", ["-M", board + ",smm=off"],
                     lambda q, b=board: without_it_firmware_finds_it_set_up(q, b))
tap.machine_case("firmware_may_ask_for_smis_to_all", Q35, firmware_may_ask_for_smis_to_all)
tap.case("wrong_word_is_refused", wrong_word_is_refused)
tap.done()
