#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests on the host's processor, by /dev/kvm: they see the machine that the other accelerators show them. One visible
line says so where there is no KVM. Nothing here is faster or slower than something else: nested KVMs are slow."""
import json
import os
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


def so_they_are_with_local_apics_in_the_kernel():
    registers_and_memory(SPLIT)


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


def small_guests_see_it_with_local_apics_in_the_kernel():
    small_guests(SPLIT)


def x2apic_and_deadlines_are_the_kernels():
    """As the interpreter has them; monitors see what the kernel has."""
    need_kvm()
    seen = []
    for accel in ("interp", SPLIT):
        path = os.path.join(FOLDER, "x2apic-serial")
        with Machine(accel, "-cpu", "qemu64,+x2apic,+tsc-deadline", "-kernel", guests.image("x2apic"), "-serial",
                     "file:" + path) as m:
            halted(m)
            with open(path, encoding="latin-1") as file:
                seen.append(file.read().split() + m.hmp("info lapic").splitlines())
    assert seen[0] == seen[1], seen
    words = dict(zip(seen[1][::2], seen[1][1::2]))
    assert all(int(words[name], 16) == 1 for name in ("x2apic", "has_deadline", "self", "deadline")), words
    assert int(words["serial"], 16) >= 3 and int(words["again"], 16) >= 3, words
    assert "TPR 0x10" in " ".join(seen[1]) and "x2APIC" in " ".join(seen[1]), seen[1]


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


def firmware_boots_a_disk_with_local_apics_in_the_kernel():
    firmware_boots_a_disk("-M", "pc", kvm=SPLIT)
    firmware_boots_a_disk("-M", "q35", "-smp", "2", kvm=SPLIT)


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


def it_does_so_with_local_apics_in_the_kernel():
    stops_and_goes_on(SPLIT)


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


def debugger_steps_and_stops():
    need_kvm()
    image = guests.image("pic")
    out = subprocess.run(["nm", image.replace(".bin", ".elf")], check=True, stdout=subprocess.PIPE, text=True).stdout
    symbols = {word[2]: int(word[0], 16) for word in map(str.split, out.splitlines()) if len(word) == 3}
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


try:
    tap.run([registers_and_memory_are_the_interpreters, small_guests_see_the_same_machine, firmware_boots_a_disk_on_pc,
             so_they_are_with_local_apics_in_the_kernel, small_guests_see_it_with_local_apics_in_the_kernel,
             x2apic_and_deadlines_are_the_kernels, firmware_boots_a_disk_with_local_apics_in_the_kernel,
             it_does_so_with_local_apics_in_the_kernel,
             firmware_boots_a_disk_on_q35_with_two_processors, flash_is_rom_that_takes_commands,
             it_stops_goes_on_and_starts_anew, triple_fault_resets_and_is_told,
             screen_follows_what_was_written, power_states_do_not_keep_it_from_running, debugger_steps_and_stops])
finally:
    guests.close()
