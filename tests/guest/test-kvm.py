#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests on the host's processor, by /dev/kvm: they see the machine that the other accelerators show them. One visible
line says so where there is no KVM. Nothing here is faster or slower than something else: nested KVMs are slow."""
import json
import os
import re
import struct
import subprocess
import sys

import gdb
from bootable import disk
from console import BINARY, SLOW, Console
from small import SOURCES, TOP, Guests, lacking

sys.path.insert(0, os.path.join(TOP, "tests/house"))
import tap  # noqa: E402

WAIT = 120 * SLOW
guests = Guests()
FOLDER = tap.work_folder("backplane-kvm-")
QUIET = ("-nodefaults", "-display", "none")


def need_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("/dev/kvm is missing, or not for this user: nothing runs on the host's processor here")
    if lacking():
        raise tap.Skip(lacking())


class Machine:
    """One that is talked to by QMP."""

    def __init__(self, accel, *extra):
        self.process = subprocess.Popen([BINARY, "-accel", accel, "-m", "64", *QUIET, "-qmp", "stdio", *extra],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.events = []
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def line(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def ask(self, command, **arguments):
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}))
        self.process.stdin.flush()
        while True:
            message = self.line()
            assert "error" not in message, message
            if "return" in message:
                return message["return"]
            if "event" in message:
                self.events.append(message["event"])

    def hmp(self, command):
        return self.ask("human-monitor-command", **{"command-line": command}).replace("\r", "")

    def until(self, event):
        while event not in self.events:
            message = self.line()
            if "event" in message:
                self.events.append(message["event"])


def firmware(name, source):
    """An image of 64 KiB of real mode code."""
    path = os.path.join(FOLDER, name)
    subprocess.run(["gcc", "-m32", "-c", source, "-o", path + ".o"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0", "--oformat", "binary", "-e", "_start", path + ".o",
                    "-o", path], check=True)
    return path


def halted(machine):
    """The registers once it halts with interrupts off."""
    while "halted=1" not in (text := machine.hmp("info registers")):
        assert "rip=" in text, text
    return text


SPLIT = "kvm,kernel-irqchip=split"
OFF = "kvm,kernel-irqchip=off"


def registers_and_memory(kvm):
    need_kvm()
    image = firmware("state.bin", os.path.join(os.path.dirname(SOURCES), "kvm-state.S"))
    seen = {}
    for accel in ("interp", kvm):
        with Machine(accel, "-bios", image) as m:
            registers = halted(m)
            seen[accel] = registers.splitlines() + m.hmp("xp /600wx 0x5000").splitlines()
            seen[accel] += m.hmp("info lapic").splitlines()
            # What is written comes to the processor, and back: it is stopped and goes on in between.
            m.ask("stop")
            m.ask("cont")
            assert m.hmp("info registers") == registers
    assert "fs =0018 0000000000001234 00000fff 4093" in seen[kvm], seen[kvm]
    assert seen[kvm] == seen["interp"], [pair for pair in zip(seen["interp"], seen[kvm]) if pair[0] != pair[1]]


def registers_and_memory_are_the_interpreters():
    registers_and_memory("kvm")


def so_they_are_with_other_interrupt_controllers():
    for kvm in (SPLIT, OFF):
        registers_and_memory(kvm)


def small_guests(kvm):
    need_kvm()
    for name, *options in (("init", "-smp", "2"), ("ferr",), ("tables", "-smp", "3"), ("a20",), ("reset",)):
        texts = [guests.text(name, "-accel", accel, *options, seconds=WAIT) for accel in ("tcg", kvm)]
        assert texts[0] == texts[1], (name, texts)
    for name in ("pic", "hpet"):
        seen = guests.values(name, "-accel", kvm, seconds=WAIT)
        for word in ("timer", "rtc") if name == "pic" else ("periodic", "periodic32", "level", "legacy"):
            assert seen[word] >= 3, (name, seen)


def small_guests_see_the_same_machine():
    small_guests("kvm")


def small_guests_see_it_with_other_interrupt_controllers():
    for kvm in (SPLIT, OFF):
        small_guests(kvm)


def x2apic_and_deadlines_are_the_kernels():
    """As the interpreter has them; monitors see what the kernel has."""
    need_kvm()
    seen = []
    for accel in ("interp", SPLIT, "kvm"):
        path = os.path.join(FOLDER, "x2apic-serial")
        with Machine(accel, "-cpu", "qemu64,+x2apic,+tsc-deadline", "-kernel", guests.image("x2apic"), "-serial",
                     "file:" + path) as m:
            halted(m)
            with open(path, encoding="latin-1") as file:
                seen.append(file.read().split() + m.hmp("info lapic").splitlines())
    for words in seen:
        of = {name: words[words.index(name) + 1] for name in ("serial", "again", "in_service")}
        # An interrupt is in service while its handler runs, and a level comes until it is quiet: three times. A KVM that
        # executes guests without the processor's help (kvm_pvm) ends some where they are delivered, or all: then the level
        # asks for the next one before the handler has looked, four times, and fewer are seen in service.
        counts = [int(value, 16) for value in of.values()]
        by_software = os.path.exists("/sys/module/kvm_pvm") and words is not seen[0]
        assert counts == [3, 3, 3] or by_software and set(counts[:2]) <= {3, 4} and counts[2] <= 3, words
        for name in of:
            words[words.index(name) + 1] = "00000003"
    assert seen[0] == seen[1] == seen[2], seen
    words = dict(zip(seen[2][::2], seen[2][1::2]))
    assert all(int(words[name], 16) == 1 for name in ("x2apic", "has_deadline", "self", "deadline")), words
    assert int(words["serial"], 16) >= 3 and int(words["again"], 16) >= 3, words
    assert "TPR 0x10" in " ".join(seen[2]) and "x2APIC" in " ".join(seen[2]), seen[2]


def more_processors_than_xapic_has_ids():
    need_kvm()
    for count, options in ((3, ()), (260, ("-device", "intel-iommu,intremap=on,eim=on"))):
        seen = guests.values("many", "-accel", SPLIT, "-M", "q35", "-smp", str(count), *options, seconds=600)
        assert seen["started"] == seen["once"] == seen["others"] == count - 1, seen
        assert seen["by_id"] == seen["by_logical_id"] == count, seen
        assert seen["missed"] == seen["wrong_id"] == 0, seen


PLUG = {"socket-id": 0, "thread-id": 0}


def processors_come_and_go(*accels):
    """A guest starts those that come, and gives back those that are asked for; one that comes again in another's place is
    as a new one, and the kernel has its number already."""
    need_kvm()
    path = os.path.join(FOLDER, "cpus-serial")
    for accel in accels:
        with Machine(accel, "-M", "pc", "-smp", "1,maxcpus=3", "-kernel", guests.image("cpus"), "-serial",
                     "unix:%s,server=on,wait=off" % path, "-S", "-no-shutdown") as m:
            wire = gdb.connect(path)
            with wire.makefile("r", encoding="latin-1", newline="\n") as take:
                def until(word):
                    lines = [take.readline().split()]
                    while word not in lines[-1]:
                        assert lines[-1], (accel, lines, m.hmp("info registers -a"))
                        lines.append(take.readline().split())
                    return {line[0]: int(line[1], 16) for line in lines if len(line) == 2}

                m.ask("cont")
                until("waits")
                for turn, core in enumerate((1, 2, 1, 2)):
                    name = "c%d" % turn
                    m.ask("device_add", driver="qemu64-x86_64-cpu", id=name, **PLUG, **{"core-id": core})
                    seen = until("works")
                    assert seen == {"came": core, "id": core, "apic": core << 24, "svr": 0xff, "tpr": 0, "timer": 0x10000,
                                    "count": 0, "messages": 3, "ticks": 1}, (accel, turn, seen)
                    assert [c["cpu-index"] for c in m.ask("query-cpus-fast")] == [0, core]
                    if turn == 2:  # it is there while its machine stands, and when it goes on
                        m.ask("stop")
                        assert m.hmp("info registers -a").count("rip=") == 2
                        m.ask("cont")
                    m.ask("device_del", id=name)
                    assert until("went") == {"went": core}, accel
                    m.until("DEVICE_DELETED")
                    m.events.remove("DEVICE_DELETED")
                    assert [c["cpu-index"] for c in m.ask("query-cpus-fast")] == [0]
            wire.close()
            m.until("SHUTDOWN")


def processors_come_and_go_with_the_kernels_controllers():
    processors_come_and_go("interp", "kvm")


def processors_come_and_go_with_other_controllers():
    processors_come_and_go(SPLIT, OFF)


def firmware_boots_a_disk(*machine, kvm="kvm"):
    need_kvm()
    path = os.path.join(FOLDER, "disk")
    disk(path, "booted by kvm", 8 << 20)
    console = Console([BINARY, "-accel", kvm, "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none",
                       *machine, "-drive", "file=%s,format=raw" % path])
    try:
        console.expect("booted by kvm", 120)
    finally:
        console.close()


def firmware_boots_a_disk_on_pc():
    firmware_boots_a_disk("-M", "pc")


def firmware_boots_a_disk_on_q35_with_two_processors():
    firmware_boots_a_disk("-M", "q35", "-smp", "2")


def firmware_boots_a_disk_with_other_interrupt_controllers():
    firmware_boots_a_disk("-M", "q35", "-smp", "2", kvm=SPLIT)
    firmware_boots_a_disk("-M", "pc", kvm=OFF)


def flash_is_rom_that_takes_commands():
    """In its command mode a read is the chip's answer; then its bytes are back. The guest runs from the same chip's
    other half meanwhile, in RAM."""
    need_kvm()
    source = os.path.join(FOLDER, "flash.S")
    with open(source, "w") as f:
        f.write("""
    .code16
    .globl _start
_start: cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    lgdtl %cs:gdtr
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $0xfffffe00
    .org 0xf000
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: .word 0x17
    .long 0xfffff000
    .org 0xf800
marker: .long 0xa5a55a5a
body: # copied to 0x7000
    movb $0x90, 0xffff0000
    movb 0xffff0000, %al
    movb %al, 0x5000
    movb $0xff, 0xffff0000
    movl 0xfffff800, %eax
    movl %eax, 0x5004
    movl $0x12345678, 0xfffff800
    movb $0xff, 0xffff0000
    movl 0xfffff800, %eax
    movl %eax, 0x5008
1:  hlt
    jmp 1b
    .org 0xfe00
    .code32
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movl $0xfffff804, %esi
    movl $0x7000, %edi
    movl $0x100, %ecx
    cld
    rep movsb
    movl $0x7000, %eax
    jmp *%eax
    .org 0xfff0
    .code16
    ljmpw $0xf000, $_start
    .org 0x10000
""".replace("body: # copied to 0x7000", "    .code32\nbody:"))
    image = firmware("flash.bin", source)
    seen = []
    for accel in ("interp", "kvm"):
        with Machine(accel, "-drive", "if=pflash,format=raw,file=%s,readonly=off" % image) as m:
            halted(m)
            seen.append(m.hmp("xp /3wx 0x5000"))
    assert seen[0] == seen[1] and "0xa5a55a5a" in seen[1], seen


def stops_and_goes_on(kvm):
    need_kvm()
    path = os.path.join(FOLDER, "disk-anew")
    disk(path, "from the beginning", 8 << 20)
    serial = os.path.join(FOLDER, "serial")
    with Machine(kvm, "-drive", "file=%s,format=raw" % path, "-serial", "file:" + serial) as m:
        for times in (1, 2):
            while open(serial, encoding="latin-1").read().count("from the beginning") < times:
                m.ask("stop")
                assert m.ask("query-status")["status"] == "paused"
                m.ask("cont")
            assert "halted=1" in halted(m)
            m.ask("system_reset")
        m.until("RESET")
        assert m.hmp("info kvm") == "kvm support: enabled\n"


def it_stops_goes_on_and_starts_anew():
    stops_and_goes_on("kvm")


def it_does_so_with_other_interrupt_controllers():
    for kvm in (SPLIT, OFF):
        stops_and_goes_on(kvm)


def controllers(machine):
    """What goes on is left out."""
    return re.sub(r"irr=\w\w|level \d", "", machine.hmp("info pic") + machine.hmp("info ioapic"))


def controllers_come_and_go():
    """A machine that stands has them in its devices, one that runs where the accelerator has them; monitors see one as
    the other, under names that tell."""
    need_kvm()
    seen = {}
    for accel, names in (("interp", ("isa-i8259", "ioapic", "isa-pit", "apic")), (SPLIT, ("isa-i8259", "ioapic", "isa-pit",
                         "kvm-apic")), ("kvm", ("kvm-i8259", "kvm-ioapic", "kvm-pit", "kvm-apic"))):
        path = os.path.join(FOLDER, "chips-serial")
        with Machine(accel, "-kernel", guests.image("chips"), "-serial", "unix:%s,server=on,wait=off" % path, "-S") as m:
            wire = gdb.connect(path)
            m.ask("cont")
            with wire.makefile("rb") as take:
                assert take.readline() == b"stop\r\n"
                running = controllers(m)
                tree = m.hmp("qom-list /machine/unattached")
                m.ask("stop")
                assert controllers(m) == running
                m.ask("cont")
                m.ask("stop")
                m.ask("cont")
                wire.sendall(b"x")
                seen[accel] = [line.split() for line in take.read().decode().splitlines()]
            wire.close()
            assert all("<%s>" % name in tree for name in names), (accel, tree)
            assert "isr=01" in running and "irq_base=20" in running and "hprio=5" in running, running
    assert seen["interp"] == seen[SPLIT] == seen["kvm"], seen
    words = dict(pair for pair in seen["kvm"] if len(pair) == 2)
    expected = {"entry9": 0x5a000000, "entry9low": 0x1a961, "isr": 1, "imr": 0xfe, "elcr": 0xc20, "slave": 0, "mask": 0xff,
                "channel2": 1, "status1": 0x36, "channel1": 1, "goes_on": 1}
    assert {name: int(words[name], 16) for name in expected} == expected, words


def interrupts_come_while_a20_is_masked():
    """The interpreter runs such a guest, with the devices' controllers, and gives it back."""
    need_kvm()
    source = os.path.join(FOLDER, "a20.S")
    with open(source, "w") as f:
        f.write("""
    .code16
    .globl _start
_start: xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movw $timer, 0x80
    movw %cs, 0x82
    movw $0, 0x5000
    movb $0x11, %al; outb %al, $0x20
    movb $0x20, %al; outb %al, $0x21
    movb $4, %al; outb %al, $0x21
    movb $1, %al; outb %al, $0x21
    movb $0xfe, %al; outb %al, $0x21
    movb $0x34, %al; outb %al, $0x43
    movb $0xa9, %al; outb %al, $0x40
    movb $4, %al; outb %al, $0x40
    movl $0x1b, %ecx # the local APIC lets the 8259 through
    rdmsr
    andl $~0x800, %eax
    wrmsr
    sti
    movw $5, %bx
    call wait
    movb $0xdd, %al; outb %al, $0x64
    movb $0, %al; outb %al, $0x92
    movw $0xffff, %dx
    movw %dx, %es
    movl $0x11111111, 0x500
    movl $0x22222222, %es:0x510
    movl 0x500, %eax
    movl %eax, 0x5004
    movw $10, %bx
    call wait
    movb $2, %al; outb %al, $0x92
    movw $15, %bx
    call wait
    movl $0x33333333, 0x500
    movl $0x22222222, %es:0x510
    cmpl $0x33333333, 0x500
    jne 1f
    movl %es:0x510, %eax
    movl %eax, 0x5008
    cli
1:  hlt
    jmp 1b
wait: hlt
    cmpw %bx, 0x5000
    jb wait
    ret
timer: pushw %ax
    incw 0x5000
    movb $0x20, %al; outb %al, $0x20
    popw %ax
    iret
    .org 0xfff0
    ljmpw $0xf000, $_start
    .org 0x10000
""")
    image = firmware("a20.bin", source)
    for accel in ("interp", "kvm", OFF):
        with Machine(accel, "-bios", image) as m:
            while int((words := m.hmp("xp /3wx 0x5000").split()[1:])[2], 16) != 0x22222222:
                assert len(words) == 3, words
            assert int(words[0], 16) & 0xffff >= 15 and int(words[1], 16) == 0x22222222, (accel, words)


def shown(machine, lines):
    """The bytes of one pixel in each of these lines of the screen."""
    path = os.path.join(FOLDER, "screen.ppm")
    machine.ask("screendump", filename=path)
    with open(path, "rb") as f:
        picture = f.read()
    assert picture.startswith(b"P6\n640 480\n255\n"), picture[:20]
    pixels = picture[-640 * 480 * 3:]
    return [pixels[(line * 640 + 320) * 3] for line in lines]


def viewer(path):
    """Somebody who watches by VNC (RFC 6143), so that only what was written is looked at again."""
    wire = gdb.connect(path)
    take = wire.makefile("rb")
    assert take.read(12) == b"RFB 003.008\n"
    wire.sendall(b"RFB 003.008\n")
    assert 1 in take.read(take.read(1)[0])
    wire.sendall(b"\1")
    assert take.read(4) == bytes(4)
    wire.sendall(b"\1")
    width, height = struct.unpack(">HH16x", take.read(20))
    take.read(struct.unpack(">I", take.read(4))[0])
    wire.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    assert take.read(1) == b"\0", "an update has begun"
    return wire


def screen_follows_what_was_written():
    """The kernel says which pages of the display's memory were: by a bitmap, or by a list, which is full at times."""
    need_kvm()
    image = firmware("screen.bin", os.path.join(os.path.dirname(SOURCES), "kvm-screen.S"))
    path = os.path.join(FOLDER, "screen-serial")
    for keys in ("", ",dirty-ring-size=1024", ",kvm-shadow-mem=4M"):
        with Machine("kvm" + keys, "-bios", image, "-device", "bochs-display,addr=2", "-serial",
                     "unix:%s,server=on,wait=off" % path, "-vnc", "unix:" + path + "-vnc") as m:
            wire, watching = gdb.connect(path), viewer(path + "-vnc")
            for sent, expected in ((b"a", b"aaaa"), (b"B", b"aBBa"), (b"cdefgh", b"hhhh"), (b"D", b"hDDh"), (b"E", b"hEEh")):
                for byte in sent:
                    wire.sendall(bytes([byte]))
                    assert wire.recv(1) == bytes([byte])
                assert bytes(shown(m, (0, 32, 47, 48))) == expected, (keys, sent)
            wire.close()
            watching.close()


def power_states_do_not_keep_it_from_running():
    need_kvm()
    for kvm in ("kvm", SPLIT):
        for name in ("pic", "init"):
            seen = guests.values(name, "-accel", kvm, "-smp", "2", "-overcommit", "cpu-pm=on", seconds=WAIT)
            assert seen["timer"], (kvm, name, seen)


def triple_fault_resets_and_is_told():
    need_kvm()
    source = os.path.join(FOLDER, "triple.S")
    with open(source, "w") as f:
        f.write("""
    .code16
    .globl _start
_start: lgdtl %cs:gdtr
    lidtl %cs:none
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $0xfffff000
    .org 0xe000
gdt: .quad 0, 0x00cf9b000000ffff
gdtr: .word 0xf
    .long 0xffffe000
none: .word 0
    .long 0
    .org 0xf000
    .code32
    nop
    int3
    .org 0xfff0
    .code16
    ljmpw $0xf000, $_start
    .org 0x10000
""")
    image, log = firmware("triple.bin", source), os.path.join(FOLDER, "log")
    done = subprocess.run([BINARY, "-accel", "kvm", "-m", "64", *QUIET, "-bios", image, "-no-reboot", "-d", "guest_errors",
                           "-D", log], stdin=subprocess.DEVNULL, timeout=WAIT)
    assert done.returncode == 0
    text = open(log).read()
    assert "riple fault" in text and "0008:00000000fffff001" in text, text


def symbols_of(image):
    out = subprocess.run(["nm", image.replace(".bin", ".elf")], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {word[2]: int(word[0], 16) for word in map(str.split, out.splitlines()) if len(word) == 3}


def debugger_steps_and_stops():
    need_kvm()
    image = guests.image("pic")
    symbols = symbols_of(image)
    path = os.path.join(FOLDER, "gdb")
    with Machine("kvm", "-kernel", image, "-S", "-gdb", "unix:%s,server=on,wait=off" % path) as m:
        c = gdb.Client(gdb.connect(path))
        regs = c.registers()

        def pc():
            return int.from_bytes(bytes.fromhex(c.ask("p%x" % regs["rip"])), "little")

        assert c.ask("Z0,%x,1" % symbols["kmain"]) == "OK"
        assert "T05" in c.ask("c") and pc() == symbols["kmain"]
        assert c.ask("z0,%x,1" % symbols["kmain"]) == "OK"
        assert c.ask("s").startswith("T05") and symbols["kmain"] < pc() < symbols["kmain"] + 16
        assert c.ask("P%x=7856341200000000" % regs["rdi"]) == "OK"
        assert c.ask("s").startswith("T05") and c.ask("p%x" % regs["rdi"]) == "7856341200000000"
        # Data is the interpreter's, and more points than the processor has.
        assert c.ask("Z2,%x,4" % symbols["timer_count"]) == "OK"
        assert "watch:%x;" % symbols["timer_count"] in c.ask("c")
        assert c.ask("z2,%x,4" % symbols["timer_count"]) == "OK"
        for n in range(5):
            assert c.ask("Z0,%x,1" % (0x9000 + n)) == "OK"
        assert c.ask("Z0,%x,1" % symbols["rtc_body"]) == "OK"
        assert "T05" in c.ask("c") and pc() == symbols["rtc_body"]
        for n in range(5):
            assert c.ask("z0,%x,1" % (0x9000 + n)) == "OK"
        assert c.ask("D") == "OK"
        c.close()
        m.until("SHUTDOWN")


def local_apics_come_for_a_debugger():
    """A point of data makes the whole guest the interpreter's: interrupts of the local APIC reach it there, and the
    kernel's again afterwards."""
    need_kvm()
    image = guests.image("x2apic")
    symbols = symbols_of(image)
    for kvm in ("kvm", SPLIT):
        path, serial = os.path.join(FOLDER, "gdb-lapic"), os.path.join(FOLDER, "gdb-serial")
        with Machine(kvm, "-cpu", "qemu64,+x2apic,+tsc-deadline", "-kernel", image, "-S", "-serial", "file:" + serial, "-gdb",
                     "unix:%s,server=on,wait=off" % path) as m:
            c = gdb.Client(gdb.connect(path))
            for name in ("self_count", "deadline_count"):
                assert c.ask("Z2,%x,4" % symbols[name]) == "OK"
                assert "watch:%x;" % symbols[name] in c.ask("c"), (kvm, name)
                assert c.ask("z2,%x,4" % symbols[name]) == "OK"
            assert c.ask("D") == "OK"
            c.close()
            halted(m)
            with open(serial, encoding="latin-1") as file:
                assert "halts" in file.read(), kvm


try:
    tap.run([registers_and_memory_are_the_interpreters, small_guests_see_the_same_machine, firmware_boots_a_disk_on_pc,
             so_they_are_with_other_interrupt_controllers, small_guests_see_it_with_other_interrupt_controllers,
             x2apic_and_deadlines_are_the_kernels, more_processors_than_xapic_has_ids,
             firmware_boots_a_disk_with_other_interrupt_controllers,
             it_does_so_with_other_interrupt_controllers,
             firmware_boots_a_disk_on_q35_with_two_processors, flash_is_rom_that_takes_commands,
             processors_come_and_go_with_the_kernels_controllers, processors_come_and_go_with_other_controllers,
             it_stops_goes_on_and_starts_anew, controllers_come_and_go,
             interrupts_come_while_a20_is_masked, triple_fault_resets_and_is_told,
             screen_follows_what_was_written, power_states_do_not_keep_it_from_running, debugger_steps_and_stops,
             local_apics_come_for_a_debugger])
finally:
    guests.close()
