#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What boards lay out before the first instruction: tables for the guest (ACPI 6.4 chapter 5, MultiProcessor
Specification 1.4 chapter 4, the BIOS data area), functions of the PCI bus, processors' features."""
import os
import struct
import tempfile
import time

from qtest import QTest, Tap

# What is on in each model; the rest is off.
QEMU64 = """apic clflush cmov cx16 cx8 de fpu fxsr hypervisor lahf-lm lm mca mce mmx msr mtrr nx pae pat pge pni
pse pse36 sep sse sse2 syscall tsc x2apic"""
# Other names of features, and what is no feature
OTHERS = set("""sse3 pclmuldq sse4-1 sse4-2 xd ffxsr i64 lzcnt check enforce host-phys-bits full-cpuid-auto-level l3-cache
tcg-cpuid kvm migratable pmu""".split())
MAX = QEMU64 + """ vme pclmulqdq ssse3 fma sse4.1 sse4.2 aes xsave avx f16c rdrand avx2 rdseed clflushopt clwb sha-ni umip
pku vaes vpclmulqdq la57 rdpid fsrm xsaveerptr wbnoinvd xsaveopt xsavec xgetbv1 xsaves 3dnowprefetch abm adx arat bmi1 bmi2 erms fsgsbase invpcid invtsc movbe pcid pdpe1gb popcnt rdtscp
smap smep topoext tsc-deadline"""


def bzimage():
    """The least that the 32-bit boot protocol asks of a kernel: a HLT."""
    image = bytearray(1024)
    image[0x1f1] = 1
    struct.pack_into("<H", image, 0x1fe, 0xaa55)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x020f)
    image[0x211] = 1
    struct.pack_into("<I", image, 0x214, 0x100000)
    struct.pack_into("<I", image, 0x22c, 0x7fffffff)
    struct.pack_into("<I", image, 0x230, 0x200000)
    image[0x234] = 1
    struct.pack_into("<I", image, 0x238, 2047)
    struct.pack_into("<Q", image, 0x258, 0x1000000)
    struct.pack_into("<I", image, 0x260, 0x100000)
    return bytes(image) + b"\xf4" * 4096


def booted(function, *args):
    with tempfile.NamedTemporaryFile(suffix=".bz") as kernel:
        kernel.write(bzimage())
        kernel.flush()
        with QTest(["-M", "pc", "-kernel", kernel.name, *args]) as q:
            function(q)


def disk_for_windows_2000_is_busy_after_each_block(q):
    """For a millisecond; others only until the file has it."""
    for register, value in ((0x40, 0x80008000), (0x04, 1)):  # both channels answer
        q.outl(0xCF8, 0x80000900 | register)
        q.outl(0xCFC, value)
    q.outb(0x3F6, 0)
    for port, value in ((0x1F6, 0xE0), (0x1F2, 2), (0x1F3, 5), (0x1F4, 0), (0x1F5, 0), (0x1F7, 0x30)):
        q.outb(port, value)
    for block in range(2):
        assert q.inb(0x1F7) & 0x88 == 0x08, hex(q.inb(0x1F7))
        for word in range(256):
            q.outw(0x1F0, 0x2000 + block)
        assert q.inb(0x1F7) & 0x80
        q.clock_step(999999)
        assert q.inb(0x1F7) & 0x80
        q.clock_step(1)
        while q.inb(0x1F7) & 0x80:
            time.sleep(0.01)
    assert q.inb(0x1F7) & 0x89 == 0
    with open(q.disk, "rb") as disk:
        data = disk.read()[5 * 512:7 * 512]
    assert data == b"\0\x20" * 256 + b"\1\x20" * 256, data[:8]


def windows_2000():
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.truncate(1 << 20)
        for option in (["-win2k-hack"], ["-global", "ide-device.win2k-install-hack=on"]):
            with QTest(["-M", "pc", *option, "-drive", "format=raw,file=" + disk.name]) as q:
                q.disk = disk.name
                disk_for_windows_2000_is_busy_after_each_block(q)
                assert "not used" not in q.errors(), q.errors()


def sums_to_zero(data):
    return sum(data) % 256 == 0


def table(q, at):
    size = struct.unpack("<I", q.read(at + 4, 4))[0]
    data = q.read(at, size)
    assert sums_to_zero(data), (hex(at), data[:4])
    return data


def acpi_tables(q):
    low = q.read(0xe0000, 0x20000)
    at = low.index(b"RSD PTR ")
    assert at % 16 == 0 and sums_to_zero(low[at:at + 20])
    root = table(q, struct.unpack_from("<I", low, at + 16)[0])
    assert root[:4] == b"RSDT"
    tables = [table(q, p) for p, in struct.iter_unpack("<I", root[36:])]
    return {t[:4]: t for t in tables}


def acpi_names_what_is_there(q):
    tables = acpi_tables(q)
    assert {b"FACP", b"APIC"} <= set(tables), tables.keys()
    table(q, struct.unpack_from("<I", tables[b"FACP"], 40)[0])  # the DSDT
    madt = tables[b"APIC"]
    assert struct.unpack_from("<I", madt, 36)[0] == 0xfee00000
    at, cpus, io, overrides = 44, [], [], {}
    while at < len(madt):
        kind, size = madt[at:at + 2]
        if kind == 0:
            assert size == 8
            cpus.append(madt[at + 3])
            assert madt[at + 4] & 1
        elif kind == 1:
            assert size == 12
            io.append(struct.unpack_from("<II", madt, at + 4))
        elif kind == 2:
            assert size == 10
            overrides[madt[at + 3]] = struct.unpack_from("<I", madt, at + 4)[0]
        assert size >= 2
        at += size
    assert at == len(madt) and cpus == [0, 1] and io == [(0xfec00000, 0)], (cpus, io)
    assert overrides[0] == 2


def vga_is_told_absent_only_where_there_is_none():
    for args, absent in (("-vga", "none"), 4), (("-vga", "std"), 0), (("-vga", "none", "-device", "isa-vga"), 0):
        for board in "pc", "q35":
            booted(lambda q, want=absent: eq(acpi_tables(q)[b"FACP"][109] & 4, want), "-M", board, *args)


def eq(got, want):
    assert got == want, (got, want)


def multiprocessor_tables_add_up(q):
    low = q.read(0x9f000, 0x61000)
    at = low.index(b"_MP_")
    assert at % 16 == 0 and sums_to_zero(low[at:at + 16])
    config = struct.unpack_from("<I", low, at + 4)[0]
    size = struct.unpack("<H", q.read(config + 4, 2))[0]
    data = q.read(config, size)
    assert data[:4] == b"PCMP" and sums_to_zero(data)
    assert data[8:28] == b"BKPLNE  Backplane PC"
    entries, at, kinds = struct.unpack_from("<H", data, 34)[0], 44, []
    for _ in range(entries):
        kinds.append(data[at])
        at += 20 if data[at] == 0 else 8
    assert at == size and kinds.count(0) == 2 and kinds.count(2) == 1, kinds


def data_area_names_ports_and_memory(q):
    assert q.readw(0x400) == 0x3f8 and q.readw(0x402) == 0x2f8 and q.readw(0x404) == 0
    assert q.readw(0x410) == 2 | 4 | 2 << 9, hex(q.readw(0x410))
    assert q.readb(0x412) == 0
    assert q.readw(0x413) * 1024 == q.readw(0x40e) * 16
    assert q.readb(q.readw(0x40e) * 16) == 1


def query_pci_lists_the_functions():
    with QTest(["-M", "pc"]) as q:
        bus, = q.qmp("query-pci")
        seen = {(d["slot"], d["function"]): d["id"]["device"] for d in bus["devices"]}
        for slot, function, device in ((0, 0, 0x1237), (1, 0, 0x7000), (1, 3, 0x7113)):
            assert seen[slot, function] == device, seen


def query_pci_tells_where_bars_are():
    with QTest(["-M", "pc", "-vga", "std"]) as q:
        for function, offset, value in ((0x10, 0x10, 0xF0000008), (0x10, 0x18, 0xF1000000), (0x10, 0x30, 0xF2000001),
                                        (0x10, 4, 2), (0x09, 0x20, 0x1001), (0x09, 4, 1)):
            q.outl(0xCF8, 0x80000000 | function << 8 | offset)
            q.outl(0xCFC, value)
        bus, = q.qmp("query-pci")
        seen = {(d["slot"], d["function"]): [r["address"] for r in d["regions"]] for d in bus["devices"]}
        assert seen[2, 0] == [0xF0000000, 0xF1000000, 0xF2000000] and seen[1, 1] == [0x1000], seen
        said = q.qmp("human-monitor-command", {"command-line": "info pci"})
        for text in ("BAR0: 32 bit prefetchable memory at 0xf0000000", "BAR2: 32 bit memory at 0xf1000000",
                     "BAR6: 32 bit memory at 0xf2000000", "BAR4: I/O at 0x1000 "):
            assert text in said, (text, said)


def empty_board_has_its_memory_at_0():
    with QTest(["-M", "none", "-m", "1"]) as q:
        for at in (0, 0x80000, 0xffffc):
            q.writel(at, 0x12340000 + (at >> 8))
            assert q.readl(at) == 0x12340000 + (at >> 8)
        assert q.readl(0x100000) == 0xffffffff


def features_on(model):
    with QTest(["-M", "pc", "-S", "-cpu", model], accel="interp") as q:
        cpu = "/machine/unattached/device[0]"
        names = [p["name"] for p in q.qmp("qom-list", {"path": cpu}) if p["type"] == "bool"]
        return {name for name in names if name not in OTHERS and q.qmp("qom-get", {"path": cpu, "property": name}) is True}


def models_have_their_features():
    assert features_on("qemu64") == set(QEMU64.split()), sorted(features_on("qemu64"))
    assert features_on("max") == set(MAX.split()), sorted(features_on("max"))


def no_model_has_what_accelerators_do_not_execute():
    """What is asked for by name is checked; what a model has by itself must pass, too."""
    with QTest(["-M", "pc", "-S", "-cpu", "qemu64," + ",".join("+" + n for n in MAX.split())],
               accel="interp") as q:
        assert not q.errors(), q.errors()
    assert features_on("qemu64," + ",".join("+" + n for n in MAX.split())) == set(MAX.split())


# SDM volume 3, table 10-1
RESET = """rip=000000000000fff0 rflags=00000002; es =0000 0000000000000000 0000ffff 0093;
cs =f000 00000000ffff0000 0000ffff 009b; ldt=0000 0000000000000000 0000ffff 0082;
tr =0000 0000000000000000 0000ffff 008b; gdt=     0000000000000000 0000ffff; idt=     0000000000000000 0000ffff;
cr0=60000010 cr2=0000000000000000 cr3=0000000000000000 cr4=00000000; dr6=00000000ffff0ff0 dr7=0000000000000400;
fcw=0040 fsw=0000 valid=ff mxcsr=00001f80"""


def processor_starts_as_documented():
    with QTest(["-M", "pc", "-S"], accel="interp") as q:
        q.qmp("system_reset")
        said = q.qmp("human-monitor-command", {"command-line": "info registers"})
        for part in RESET.replace("\n", " ").split("; "):
            assert part.strip() in said, (part, said)


def features_are_taken_and_given():
    assert features_on("max,-pni") == set(MAX.split()) - {"pni"}
    assert features_on("qemu64,pni=off,popcnt=on") == set(QEMU64.split()) - {"pni"} | {"popcnt"}


def processor_that_came_is_counted_at_the_next_reset():
    def counted(q):
        q.outb(0x70, 0x5f)
        q.outw(0x510, 0x05)
        return q.inb(0x71), q.inb(0x511) | q.inb(0x511) << 8

    with QTest(["-M", "pc", "-smp", "1,maxcpus=3"]) as q:
        assert counted(q) == (0, 1), counted(q)
        q.qmp("device_add", {"driver": "qemu64-x86_64-cpu", "socket-id": 0, "core-id": 1, "thread-id": 0})
        assert counted(q) == (0, 1), counted(q)
        q.qmp("system_reset")
        assert counted(q) == (1, 2), counted(q)


def geometry_of_a_disk(end, size=64 << 20):
    """(cylinders, heads, sectors, how they are translated) of a disk whose partition table ends with these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(446) + bytes((0x80, 0, 2, 0, 0xee, *end, 1, 0, 0, 0)) + b"\xff\xff\1\0" + bytes(48) + b"\x55\xaa")
        file.truncate(size)
        file.flush()
        with QTest(["-M", "pc", "-drive", "file=%s,format=raw" % file.name]) as q:
            def cell(number):
                q.outb(0x70, number)
                return q.inb(0x71)
            return cell(0x1b) | cell(0x1c) << 8, cell(0x1d), cell(0x23), cell(0x39) & 3


def partition_tables_of_all_kinds_are_lived_with():
    plain, small = (64 << 20) // 512 // (16 * 63), (64 << 20) // 512 // (8 * 17)
    assert geometry_of_a_disk((0, 0, 0)) == (plain, 16, 63, 0)
    assert geometry_of_a_disk((7, 17, 5)) == (small, 8, 17, 0)
    assert geometry_of_a_disk((15, 63, 5)) == (plain, 16, 63, 0)
    # More heads than such a disk has are the BIOS's translation: 255 as fdisk has it, 256 of a GPT.
    for heads in (254, 255, 16):
        assert geometry_of_a_disk((heads, 255, 255)) == (plain, 16, 63, 1), heads


def functions_of_the_chips_have_their_status():
    """Timing of DEVSEL and back-to-back cycles as the data sheets of 82371SB and 82371AB have them; ids of who made it."""
    with QTest(["-M", "pc", "-device", "i6300esb,addr=5"]) as q:
        for slot, function, offset, value in ((1, 0, 4, 0x02000000), (1, 1, 4, 0x02800000), (1, 3, 4, 0x02800000),
                                              (1, 0, 0x70, 0x80), (1, 0, 0x74, 0x0C0C0000), (1, 0, 0x78, 2),
                                              (1, 0, 0xA0, 8), (1, 0, 0xA8, 15), (5, 0, 0x2C, 0x11001AF4)):
            q.outl(0xCF8, 0x80000000 | slot << 11 | function << 8 | offset)
            assert q.inl(0xCFC) == value, (slot, function, hex(offset), hex(q.inl(0xCFC)))


def firmware_counts_processors_by_hot_plug():
    """As the public description has it: the newer interface is found, and all that can be are gone through."""
    def count(q):
        q.outl(0xAF00, 0)
        q.outl(0xAF00, 0)
        q.outb(0xAF05, 0)
        assert q.inl(0xAF00) == 0
        there = possible = 0
        while True:
            there += q.inb(0xAF04) & 1
            possible += 1
            q.outl(0xAF00, possible)
            selected = q.inl(0xAF08)
            assert selected in (0, possible) and possible < 300, (selected, possible)
            if selected == 0:
                return there, possible

    with QTest(["-M", "pc", "-smp", "2,maxcpus=5"]) as q:
        assert count(q) == (2, 5), count(q)
        q.qmp("device_add", {"driver": "qemu64-x86_64-cpu", "socket-id": 0, "core-id": 3, "thread-id": 0})
        assert count(q) == (3, 5), count(q)
        q.outl(0xAF00, 1)
        q.outb(0xAF05, 0)  # the one that came
        assert q.inl(0xAF08) == 3 and q.inb(0xAF04) == 3
        q.outb(0xAF05, 3)
        assert (q.inl(0xAF08), q.inl(0xAF00)) == (3, 0)
        q.outb(0xAF04, 2)
        assert q.inb(0xAF04) == 1
        q.outl(0xAF00, 1)
        q.outb(0xAF05, 0)
        assert q.inl(0xAF08) == 1 and q.inb(0xAF04) == 1
    with QTest(["-M", "pc"]) as q:
        assert count(q) == (1, 1), count(q)
    with QTest(["-M", "pc", "-smp", "1,sockets=2,cores=3,threads=1,maxcpus=6"]) as q:
        count(q)
        for number, identity in ((2, 2), (3, 4), (5, 6)):  # three cores have two bits of an APIC id
            q.outl(0xAF00, number)
            q.outb(0xAF05, 3)
            assert (q.inl(0xAF08), q.inl(0xAF00)) == (identity, 0), (number, q.inl(0xAF08))


def keys_leave_line_20s_gate_alone():
    """It is told only when it changes: by 0xd1, 0xdd and 0xdf, not with each byte of a key."""
    class Told(dict):
        times = 0

        def __setitem__(self, number, up):
            super().__setitem__(number, up)
            self.times += 1

    with QTest(["-M", "pc"]) as q:
        q.irq_intercept_out("i8042", "a20")
        q.irqs = Told()
        for _ in range(5):
            q.outb(0x60, 0xF4)
            q.inb(0x60)
        assert q.irqs.times == 0, q.irqs.times
        for command, up in ((0xDD, False), (0xDD, False), (0xDF, True)):
            q.outb(0x64, command)
            q.inb(0x64)
            assert q.irq(0) == up, hex(command)
        assert q.irqs.times <= 3, q.irqs.times


tap = Tap()
tap.case("disk_for_windows_2000_is_busy_after_each_block", windows_2000)
CPUS = ("-smp", "2", "-serial", "null", "-serial", "null")
tap.case("acpi_names_what_is_there", booted, acpi_names_what_is_there, *CPUS)
tap.case("vga_is_told_absent_only_where_there_is_none", vga_is_told_absent_only_where_there_is_none)
tap.case("multiprocessor_tables_add_up", booted, multiprocessor_tables_add_up, *CPUS)
tap.case("data_area_names_ports_and_memory", booted, data_area_names_ports_and_memory, *CPUS)
tap.case("query_pci_lists_the_functions", query_pci_lists_the_functions)
tap.case("query_pci_tells_where_bars_are", query_pci_tells_where_bars_are)
tap.case("empty_board_has_its_memory_at_0", empty_board_has_its_memory_at_0)
tap.case("models_have_their_features", models_have_their_features)
tap.case("no_model_has_what_accelerators_do_not_execute", no_model_has_what_accelerators_do_not_execute)
tap.case("keys_leave_line_20s_gate_alone", keys_leave_line_20s_gate_alone)
tap.case("processor_starts_as_documented", processor_starts_as_documented)
tap.case("features_are_taken_and_given", features_are_taken_and_given)
tap.case("processor_that_came_is_counted_at_the_next_reset", processor_that_came_is_counted_at_the_next_reset)
tap.case("partition_tables_of_all_kinds_are_lived_with", partition_tables_of_all_kinds_are_lived_with)
tap.case("functions_of_the_chips_have_their_status", functions_of_the_chips_have_their_status)
tap.case("firmware_counts_processors_by_hot_plug", firmware_counts_processors_by_hot_plug)
tap.done()
