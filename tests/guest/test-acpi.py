#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The board's ACPI tables as a guest finds them in memory: reachable from the root pointer, sums right,
accepted by iasl, and telling of the processors, I/O APIC and HPET that are there."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from console import TOP, guest_files

sys.path.insert(0, os.path.join(TOP, "tests", "qtest"))
from qtest import Tap  # noqa: E402

# The board writes tables for a kernel that it starts itself; none of its code runs here.
KERNEL, _ = guest_files()


def tables(q):
    """{signature: bytes} of all tables, from the root pointer on."""
    low = q.read(0xe0000, 0x20000)
    at = next((n for n in range(0, len(low), 16) if low[n:n + 8] == b"RSD PTR "), None)
    assert at is not None, "no root pointer"
    assert sum(low[at:at + 20]) % 256 == 0, "sum of the root pointer"
    found = {}

    def take(address):
        size = q.readl(address + 4)
        data = q.read(address, size)
        name = data[:4].decode()
        assert 36 <= size <= 1 << 20 and (name == "FACS" or sum(data) % 256 == 0), (name, size)
        found[name] = data
        return data

    root = take(int.from_bytes(low[at + 16:at + 20], "little"))
    for n in range(36, len(root), 4):
        table = take(int.from_bytes(root[n:n + 4], "little"))
        if table[:4] == b"FACP":
            take(int.from_bytes(table[40:44], "little"))
            facs = int.from_bytes(table[36:40], "little")
            if facs:
                assert q.read(facs, 4) == b"FACS" and facs % 64 == 0
    return found


def all_tables(q):
    """The bytes of each table that the root table lists, and of the DSDT."""
    low = q.read(0xe0000, 0x20000)
    at = next(n for n in range(0, len(low), 16) if low[n:n + 8] == b"RSD PTR ")

    def take(address):
        return q.read(address, q.readl(address + 4))

    root = take(int.from_bytes(low[at + 16:at + 20], "little"))
    found = [take(int.from_bytes(root[n:n + 4], "little")) for n in range(36, len(root), 4)]
    fadt = next(data for data in found if data[:4] == b"FACP")
    return found + [take(int.from_bytes(fadt[40:44], "little"))]


def they_are_found_and_summed(q):
    found = tables(q)
    assert {"RSDT", "FACP", "DSDT", "APIC", "HPET"} <= set(found), sorted(found)


def iasl_takes_them_apart(q):
    assert shutil.which("iasl"), "iasl (acpica-tools) is needed to build, and is not here"
    with tempfile.TemporaryDirectory() as folder:
        for name, data in tables(q).items():
            path = os.path.join(folder, name)
            with open(path + ".dat", "wb") as file:
                file.write(data)
            done = subprocess.run(["iasl", "-d", name + ".dat"], cwd=folder, capture_output=True, text=True,
                                  timeout=60, check=False)
            text = done.stdout + done.stderr
            assert done.returncode == 0 and os.path.exists(path + ".dsl"), (name, text)
            for line in text.splitlines():
                assert "Error" not in line and "Incorrect checksum" not in line, (name, line)
        # What was taken apart can be put together again.
        done = subprocess.run(["iasl", "-p", "again", "DSDT.dsl"], cwd=folder, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def nodes_and_memory_are_told(q):
    """What comes with -numa, hmat=on and nvdimm=on, and the Q35's configuration space."""
    found = tables(q)
    assert {"SRAT", "SLIT", "HMAT", "NFIT", "MCFG"} <= set(found), sorted(found)
    iasl_takes_them_apart(q)


INTERRUPT = "(89 06 00 09 01 0A 00 00 00 79 00)"  # a resource template: interrupt 10
ARGUMENTS = {"_SRS": INTERRUPT,
             # PCI's host bridge capabilities; a PCI function's specific methods
             "_OSC": "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66) 1 3 (00 00 00 00 1F 00 00 00 1F 00 00 00)",
             "_DSM": "(D0 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 C3 43 4D) 1 0 [ ]",
             "_OST": "3 0 (00)"}  # what happened to a request to eject


def acpiexec(folder, commands, registers="0xFF"):
    done = subprocess.run(["acpiexec", "-di", "-to", "2", "-fv", registers, *sorted(os.listdir(folder))], cwd=folder,
                          input="\n".join(commands) + "\nquit\n", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout + done.stderr


def every_method_is_evaluated(q):
    assert shutil.which("acpiexec"), "acpiexec (acpica-tools) is needed to build, and is not here"
    with tempfile.TemporaryDirectory() as folder:
        for n, data in enumerate(all_tables(q)):
            with open(os.path.join(folder, "%s%d.dat" % (data[:4].decode(), n)), "wb") as file:
                file.write(data)
        methods = [(name, int(count)) for name, count in
                   re.findall(r"^\s+(\\\S+) Method\s+0x\w+ \w+ Args (\d)", acpiexec(folder, ["methods"]), re.M)
                   if name != "\\_OSI" and not name.startswith("\\_TI.")]  # these two are acpiexec's own
        assert len(methods) > 40, methods
        commands = {name: "evaluate %s %s" % (name, ARGUMENTS.get(name[-4:], "1 " * count)) for name, count in methods}
        text = acpiexec(folder, commands.values())
        # Registers that always read the same may keep a method waiting for ever: these are tried with other ones.
        waiting = [name for name in commands if "Evaluation of %s failed with status AE_AML_LOOP_TIMEOUT" % name in text]
        assert len(waiting) < 5, waiting
        if waiting:
            text = acpiexec(folder, [command for name, command in commands.items() if name not in waiting])
            text += acpiexec(folder, [commands[name] for name in waiting], "0x00")
    for name, _ in methods:
        assert "valuation of %s" % name in text, (name, text[-1000:])
        # What it returns may be longer than what acpiexec shows (a routing table): that is all it says then.
        at = text.replace(name + " failed with status AE_BUFFER_OVERFLOW", "").find("Evaluation of %s failed" % name)
        assert at < 0, text[max(0, at - 1000):at + 300]
    for line in text.splitlines():
        if not re.search("^Unexpected AE_|AE_BUFFER_OVERFLOW|AML Debugger buffer", line):  # it tries what is not there, whatever the tables
            assert "ACPI Error" not in line and "ACPI Exception" not in line and "ACPI Warning" not in line, line


def entries(table):
    at, found = 44, []
    while at < len(table):
        size = table[at + 1]
        assert size >= 2 and at + size <= len(table), "entry of %d bytes at %d" % (size, at)
        found.append((table[at], table[at:at + size]))
        at += size
    return found


def processors_and_io_apic_are_told(q):
    found = entries(tables(q)["APIC"])
    enabled = [data[3] for kind, data in found if kind == 0 and data[4] & 1]
    assert sorted(enabled) == [0, 1, 2], enabled
    apics = [(int.from_bytes(data[4:8], "little"), int.from_bytes(data[8:12], "little"))
             for kind, data in found if kind == 1]
    assert apics == [(0xfec00000, 0)], apics
    # The timer is wired to input 2 of the I/O APIC.
    assert (0, 2) in [(data[3], int.from_bytes(data[4:8], "little")) for kind, data in found if kind == 2]


def power_management_is_where_it_is_told(q):
    fadt = tables(q)["FACP"]
    control = int.from_bytes(fadt[64:68], "little")
    assert int.from_bytes(fadt[46:48], "little") == 9, "system control interrupt"
    q.outw(control, 0)
    assert q.inw(control) & 0x2000 == 0
    timer = int.from_bytes(fadt[76:80], "little")
    before = q.inl(timer)
    q.clock_step(1000000)
    assert (q.inl(timer) - before) % (1 << 24) in range(3500, 3660), "3.579545 MHz"


def power_button_is_told(q):
    fadt = tables(q)["FACP"]
    event = int.from_bytes(fadt[56:60], "little")  # status, and enable behind it
    control = int.from_bytes(fadt[64:68], "little")
    q.irq_intercept_in("ioapic")
    if not q.inw(control) & 1:  # ACPI takes over, by the command that the table names
        q.outb(int.from_bytes(fadt[48:52], "little"), fadt[52])
    assert q.inw(control) & 1, "SCI_EN"
    q.outw(event, 0xffff)
    q.outw(event + 2, 0x100)
    assert q.inw(event) & 0x100 == 0
    q.qmp("system_powerdown")
    assert q.inw(event) & 0x100, "the button's status bit"
    assert q.irq(9), "the system control interrupt"
    q.outw(event, 0x100)
    assert q.inw(event) & 0x100 == 0 and not q.irq(9)


def ids_have_holes_where_levels_are_no_powers_of_two(q):
    found = [data for kind, data in entries(tables(q)["APIC"]) if kind == 0]
    assert [data[2] for data in found] == list(range(6)), found
    assert [data[3] for data in found] == [0, 1, 2, 4, 5, 6], found


def hpet_goes_with_the_option(q):
    assert "HPET" not in tables(q)


tap = Tap()
for case in (they_are_found_and_summed, iasl_takes_them_apart, processors_and_io_apic_are_told,
             power_management_is_where_it_is_told, power_button_is_told):
    tap.machine_case(case.__name__, ["-M", "pc", "-smp", "3", "-kernel", KERNEL], case)
NODES = ["-M", "q35,hmat=on,nvdimm=on", "-m", "128,slots=2,maxmem=1G", "-smp", "2", "-object",
         "memory-backend-ram,id=m0,size=64M", "-object", "memory-backend-ram,id=m1,size=64M", "-object",
         "memory-backend-ram,id=m2,size=16M", "-numa", "node,nodeid=0,memdev=m0,cpus=0-1", "-numa",
         "node,nodeid=1,memdev=m1,initiator=0", "-numa", "dist,src=0,dst=1,val=20", "-numa",
         "hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=access-latency,latency=5", "-numa",
         "hmat-cache,node-id=0,size=10K,level=1,associativity=direct,policy=write-back,line=8", "-device",
         "nvdimm,memdev=m2", "-kernel", KERNEL]
tap.machine_case("nodes_and_memory_are_told", NODES, nodes_and_memory_are_told)
ALL = ["-smp", "2,maxcpus=4", "-device", "pvpanic", "-device", "vmgenid,guid=auto", "-serial", "null", "-serial", "null",
       "-kernel", KERNEL]
for board in ("pc", "q35"):
    tap.machine_case(board + "_every_method_is_evaluated", ["-M", board, *ALL], every_method_is_evaluated)
tap.machine_case("ids_have_holes_where_levels_are_no_powers_of_two",
                 ["-M", "pc", "-smp", "6,sockets=2,cores=3", "-kernel", KERNEL],
                 ids_have_holes_where_levels_are_no_powers_of_two)
tap.machine_case("hpet_goes_with_the_option", ["-M", "pc,hpet=off", "-kernel", KERNEL], hpet_goes_with_the_option)
tap.done()
