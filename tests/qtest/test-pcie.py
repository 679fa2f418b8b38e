#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Board q35 by its data sheets (316966 Q35, 316972 ICH9): configuration space by both mechanisms, interrupt
routing, power management; buses behind bridges and ports; native hot-plug (PCI Express Base 3.0, 6.7)."""
import os
import shutil
import subprocess
import tempfile
import time

from qtest import QTest, Tap

ECAM = 0xB0000000
LPC, SMBUS = 0xF8, 0xFB
EDU = 0x11E81234


def config(q, bus, devfn, offset, value=None, width="l"):
    q.outl(0xCF8, 0x80000000 | bus << 16 | devfn << 8 | offset & 0xFC)
    port = 0xCFC + offset % 4
    if value is None:
        return getattr(q, "in" + width)(port)
    return getattr(q, "out" + width)(port, value)


def map_ecam(q, base=ECAM, bits=1):
    config(q, 0, 0, 0x64, base >> 32)
    config(q, 0, 0, 0x60, base & 0xFFFFFFFF | bits)


def at(bus, devfn, offset, base=ECAM):
    return base + (bus << 20 | devfn << 12 | offset)


def open_bridge(q, devfn, bus, memory=0xE0000000, size=0x100000):
    """Bus `bus` behind the bridge, with one window of memory."""
    config(q, 0, devfn, 0x18, bus << 8 | bus << 16)
    config(q, 0, devfn, 0x20, memory >> 16 | (memory + size - 1) >> 16 << 16 & 0xFFF00000)
    config(q, 0, devfn, 0x04, 7, "w")


def capability(q, bus, devfn, wanted):
    where = config(q, bus, devfn, 0x34, None, "b")
    while where and config(q, bus, devfn, where, None, "b") != wanted:
        where = config(q, bus, devfn, where + 1, None, "b")
    return where


def identities(q):
    assert config(q, 0, 0, 0) == 0x29C08086
    assert config(q, 0, LPC, 0) == 0x29188086
    assert config(q, 0, LPC, 8) >> 8 == 0x060100
    assert config(q, 0, SMBUS, 0) == 0x29308086
    assert config(q, 0, 0x08, 0) == 0xFFFFFFFF


def both_mechanisms_reach_the_same_registers(q):
    assert q.readl(at(0, LPC, 0)) == 0xFFFFFFFF, "it is off after a reset"
    map_ecam(q)
    assert q.readl(at(0, LPC, 0)) == 0x29188086
    assert q.readw(at(0, LPC, 2)) == 0x2918 and q.readb(at(0, LPC, 1)) == 0x80
    q.writeb(at(0, LPC, 0x60), 0x0B)
    assert config(q, 0, LPC, 0x60, None, "b") == 0x0B
    assert q.readl(at(0, LPC, 0x100)) == 0xFFFFFFFF, "a conventional function has 256 bytes"
    map_ecam(q, 0x8_0000_0000)
    assert q.readl(at(0, LPC, 0)) == 0xFFFFFFFF
    assert q.readl(at(0, LPC, 0, 0x8_0000_0000)) == 0x29188086
    map_ecam(q, ECAM, 5)  # 64 MiB: buses 0 to 63
    assert q.readl(at(0, 0, 0)) == 0x29C08086
    assert config(q, 0, 0, 0x60) == ECAM | 5
    q.writel(at(0, 0, 0x60), 0)  # through itself
    assert q.readl(at(0, 0, 0)) == 0xFFFFFFFF


def shadow_ram_follows_pam(q):
    q.writeb(0xC0000, 0x55)
    assert q.readb(0xC0000) == 0xFF
    config(q, 0, 0, 0x91, 0x33, "b")
    q.writeb(0xC0000, 0x55)
    assert q.readb(0xC0000) == 0x55
    config(q, 0, 0, 0x91, 0x11, "b")
    q.writeb(0xC0000, 0xAA)
    assert q.readb(0xC0000) == 0x55


def raised(q, gsi):
    lines = q.qmp("human-monitor-command", {"command-line": "info irq"}).splitlines()
    return any(line.split(":")[0].strip() == str(gsi) and "asserted" in line for line in lines)


def edu_interrupt(q, memory, on):
    q.writel(memory + (0x60 if on else 0x64), 1)


def pins_reach_their_pirq(q):
    """edu in slot 5, INTA: PIRQ F, which is pin 21 of the I/O APIC, and the ISA interrupt that 0x69 says."""
    config(q, 0, 0x28, 0x10, 0xE0000000)
    config(q, 0, 0x28, 0x04, 6, "w")
    config(q, 0, LPC, 0x69, 0x0B, "b")
    edu_interrupt(q, 0xE0000000, True)
    assert raised(q, 21) and raised(q, 11)
    config(q, 0, LPC, 0x69, 0x80, "b")
    assert raised(q, 21) and not raised(q, 11)
    config(q, 0, LPC, 0x69, 0x05, "b")
    assert raised(q, 5)
    edu_interrupt(q, 0xE0000000, False)
    assert not raised(q, 21) and not raised(q, 5)


def slots_of_the_chipset_are_routed_by_rcba(q):
    """edu in slot 1c: D28IR says where its INTA leads, PIRQ A at first."""
    config(q, 0, 0xE0, 0x10, 0xE0000000)
    config(q, 0, 0xE0, 0x04, 6, "w")
    config(q, 0, LPC, 0xF0, 0xFED1C001)
    assert q.readw(0xFED1C000 + 0x3146) == 0x3210
    edu_interrupt(q, 0xE0000000, True)
    assert raised(q, 16)
    q.writew(0xFED1C000 + 0x3146, 0x3217)
    assert raised(q, 23) and not raised(q, 16)
    edu_interrupt(q, 0xE0000000, False)
    assert not raised(q, 23)


def power_management_is_where_pmbase_says(q):
    config(q, 0, LPC, 0x40, 0x0401)
    config(q, 0, LPC, 0x44, 0x80, "b")
    first = q.inl(0x408)
    q.clock_step(10 ** 9)
    passed = (q.inl(0x408) - first) & 0xFFFFFF
    assert abs(passed - 3579545) < 4, passed
    q.outb(0xB2, 2)
    assert q.inw(0x404) & 1, "ACPI mode"
    q.outw(0x402, 0x100)
    q.qmp("system_powerdown")
    assert q.inw(0x400) & 0x100 and raised(q, 9)
    q.outw(0x400, 0x100)
    assert not raised(q, 9)
    q.outb(0x428, 2)
    assert q.inb(0x428) == 2 and q.inb(0x420) == 0


def cf9_resets(q):
    config(q, 0, LPC, 0x60, 0x05, "b")
    q.outb(0xCF9, 2)
    q.outb(0xCF9, 6)
    end = time.monotonic() + 30
    while config(q, 0, LPC, 0x60, None, "b") != 0x80:
        assert time.monotonic() < end, "no reset"
        time.sleep(0.01)


def functions_behind_a_port_answer(q):
    open_bridge(q, 0x20, 3)
    assert config(q, 3, 0, 0) == EDU
    assert config(q, 3, 8, 0) == 0xFFFFFFFF, "a link has one slot"
    exp = capability(q, 0, 0x20, 0x10)
    assert config(q, 0, 0x20, exp + 2, None, "w") & 0x1F2 == 0x142, "root port with a slot, version 2"
    assert config(q, 0, 0x20, exp + 0x1A, None, "w") & 0x40, "a card is present"
    assert config(q, 0, 0x20, exp + 0x12, None, "w") & 0x2000, "its link is up"
    config(q, 3, 0, 0x10, 0xE0000000)
    config(q, 3, 0, 4, 6, "w")
    assert q.readl(0xE0000000) == 0x010000ED
    config(q, 0, 0x20, 0x20, 0x0000FFF0)
    assert q.readl(0xE0000000) == 0xFFFFFFFF


def switch_makes_three_buses(q):
    config(q, 0, 0x20, 0x18, 0x00050100)
    config(q, 1, 0, 0x18, 0x00050201)
    assert config(q, 2, 0, 0) == 0x8233104C
    config(q, 2, 8, 0x18, 0x00030302)
    assert config(q, 3, 0, 0) == EDU
    assert config(q, 1, 0, 0) == 0x8232104C
    seen = q.qmp("query-pci")
    port = next(d for d in seen[0]["devices"] if d["qdev_id"] == "rp")["pci_bridge"]
    assert port["bus"]["secondary"] == 1 and port["bus"]["subordinate"] == 5, port
    down = port["devices"][0]["pci_bridge"]["devices"]
    assert [d["pci_bridge"]["bus"]["secondary"] for d in down] == [0, 3], down
    assert down[1]["pci_bridge"]["devices"][0]["id"] == {
        "vendor": 0x1234, "device": 0x11E8, "subsystem-vendor": 0x1AF4, "subsystem": 0x1100}, down[1]
    text = q.qmp("human-monitor-command", {"command-line": "info pci"})
    assert "Bus  3, device   0, function 0" in text and "secondary bus 3" in text, text


def port_events(q, exp):
    return config(q, 0, 0x20, exp + 0x1A, None, "w")


def card_comes_and_goes_natively(q):
    """As a driver does it: see the card, turn power and indicator on; see the button, turn both off."""
    exp = capability(q, 0, 0x20, 0x10)
    open_bridge(q, 0x20, 3)
    assert port_events(q, exp) & 0x40 == 0
    q.qmp("device_add", {"driver": "edu", "bus": "rp", "id": "card"})
    assert port_events(q, exp) & 0x48 == 0x48, "present, and it changed"
    assert config(q, 3, 0, 0) == 0xFFFFFFFF, "it has no power"
    config(q, 0, 0x20, exp + 0x1A, 0x11F, "w")
    config(q, 0, 0x20, exp + 0x18, 0x01C0, "w")
    assert port_events(q, exp) & 0x150 == 0x150, "command done, link changed"
    assert config(q, 3, 0, 0) == EDU
    config(q, 0, 0x20, exp + 0x1A, 0x11F, "w")
    q.qmp("device_del", {"id": "card"})
    assert port_events(q, exp) & 1, "the button"
    assert config(q, 3, 0, 0) == EDU, "it stays until it is let go"
    config(q, 0, 0x20, exp + 0x18, 0x07C0, "w")
    event(q, "DEVICE_DELETED")
    assert port_events(q, exp) & 0x48 == 0x08
    assert config(q, 3, 0, 0) == 0xFFFFFFFF


def event(q, name):
    while True:
        for i, seen in enumerate(q.events):
            if seen["event"] == name:
                del q.events[:i + 1]
                return seen.get("data")
        message = q._qmp_read()
        assert "event" in message, message
        q.events.append(message)


def interrupt_of_a_slot_follows_its_enable(q):
    exp = capability(q, 0, 0x20, 0x10)
    config(q, 0, 0x20, exp + 0x18, 0x07E8, "w")  # presence, interrupt
    config(q, 0, 0x20, exp + 0x1A, 0x11F, "w")
    assert not raised(q, 20)
    q.qmp("device_add", {"driver": "edu", "bus": "rp", "id": "card"})
    assert raised(q, 20), "slot 4, INTA: PIRQ E"
    config(q, 0, 0x20, exp + 0x1A, 0x11F, "w")
    assert not raised(q, 20)
    q.qmp("device_del", {"id": "card"})
    event(q, "DEVICE_DELETED")


def refused(q, name, arguments, words):
    try:
        q.qmp(name, arguments)
    except Exception as e:
        assert words in str(e), e
        return
    raise AssertionError("it was accepted")


def slot_that_cannot_refuses(q):
    refused(q, "device_add", {"driver": "edu", "bus": "rp", "id": "card"}, "hotplug=off")
    refused(q, "device_add", {"driver": "edu", "bus": "rp", "addr": "1", "id": "card"}, "slot 1 is not on this bus")


# ---- what lspci makes of it ----

def walk(q, bus, found):
    """All functions from a bus on, whose bridges get numbers; returns the highest number."""
    last = bus
    for devfn in range(256):
        if q.readl(at(bus, devfn, 0)) == 0xFFFFFFFF:
            continue
        if q.readb(at(bus, devfn, 0x0E)) & 0x7F == 1:
            q.writel(at(bus, devfn, 0x18), bus | last + 1 << 8 | 0xFF << 16)
            last = walk(q, last + 1, found)
            q.writeb(at(bus, devfn, 0x1A), last)
        size = 256 if q.readl(at(bus, devfn, 0x100)) == 0xFFFFFFFF else 4096
        found.append(("%02x:%02x.%d" % (bus, devfn >> 3, devfn & 7), q.read(at(bus, devfn, 0), size)))
    return last


def lspci_finds_nothing_odd(q):
    found = []
    map_ecam(q)
    walk(q, 0, found)
    with tempfile.NamedTemporaryFile("w", suffix=".lspci") as dump:
        for name, data in sorted(found):
            dump.write(name + " x\n")
            for i in range(0, len(data), 16):
                dump.write("%02x: %s\n" % (i, data[i:i + 16].hex(" ")))
            dump.write("\n")
        dump.flush()
        # Without resources of the host's kernel and hardware database.
        done = subprocess.run(["lspci", "-F", dump.name, "-vv", "-n"], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    functions = [line for line in done.stdout.splitlines() if line[:1].isalnum()]
    assert len(functions) == len(found) and len(found) >= 14, functions
    for odd in ("!!!", "nknown", "access denied", "<chain", "<?>", "<available"):
        assert odd not in done.stdout, [line for line in done.stdout.splitlines() if odd in line]
    for wanted in ("Express (v2) Root Port (Slot+)", "Express (v2) Upstream Port", "Express (v2) Downstream Port (Slot+)",
                   "PCI-Express to PCI/PCI-X Bridge", "Power Management version 3", "MSI: Enable-",
                   "Slot ID: 0 slots, First+, chassis 06", "Capabilities: [50] Subsystem"):
        assert wanted in done.stdout, (wanted, done.stdout)


TREE = ["-device", "pcie-root-port,id=rp0,addr=3,chassis=1", "-device", "edu,bus=rp0",
        "-device", "ioh3420,id=rp2,addr=5,chassis=3", "-device", "x3130-upstream,bus=rp2,id=up",
        "-device", "xio3130-downstream,bus=up,id=d0,addr=0,chassis=4", "-device", "edu,bus=d0",
        "-device", "pcie-root-port,id=rp3,addr=6,chassis=5", "-device", "pcie-pci-bridge,bus=rp3,id=p",
        "-device", "edu,bus=p,addr=2", "-device", "i82801b11-bridge,id=dmi,addr=1e",
        "-device", "pci-bridge,bus=dmi,id=br,addr=1,chassis_nr=6", "-device", "i6300esb,bus=br,addr=2"]
PORT = ["-device", "pcie-root-port,id=rp,addr=4"]
t = Tap()
for name, args, function in (
        ("identities_are_those_of_the_sheets", [], identities),
        ("both_mechanisms_reach_the_same_registers", [], both_mechanisms_reach_the_same_registers),
        ("shadow_ram_follows_pam", [], shadow_ram_follows_pam),
        ("pins_reach_their_pirq", ["-device", "edu,addr=5"], pins_reach_their_pirq),
        ("slots_of_the_chipset_are_routed_by_rcba", ["-device", "edu,addr=1c"],
         slots_of_the_chipset_are_routed_by_rcba),
        ("power_management_is_where_pmbase_says", [], power_management_is_where_pmbase_says),
        ("cf9_resets", [], cf9_resets),
        ("functions_behind_a_port_answer", [*PORT, "-device", "edu,bus=rp"], functions_behind_a_port_answer),
        ("switch_makes_three_buses",
         [*PORT, "-device", "x3130-upstream,bus=rp,id=up", "-device", "xio3130-downstream,bus=up,id=d0,addr=0,slot=1",
          "-device", "xio3130-downstream,bus=up,id=d1,addr=1,slot=2", "-device", "edu,bus=d1"],
         switch_makes_three_buses),
        ("card_comes_and_goes_natively", PORT, card_comes_and_goes_natively),
        ("interrupt_of_a_slot_follows_its_enable", PORT, interrupt_of_a_slot_follows_its_enable),
        ("slot_that_cannot_refuses", ["-device", "pcie-root-port,id=rp,addr=4,hotplug=off"],
         slot_that_cannot_refuses)):
    t.machine_case(name, ["-M", "q35", *args], function)
if shutil.which("lspci"):
    t.machine_case("lspci_finds_nothing_odd", ["-M", "q35", *TREE], lspci_finds_nothing_odd)
else:
    t.skip("lspci_finds_nothing_odd", "pciutils is not installed")
t.done()
