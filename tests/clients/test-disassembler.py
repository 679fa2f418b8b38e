#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""x /i and xp /i beside objdump -d: addresses, bytes and lengths in 16, 32 and 64-bit code, in the
mode in which a guest's processor is; and what is said when the module is not there.

usage: test-disassembler.py SOURCE-ROOT BUILD-ROOT
"""
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "house"))
from qmp import Emulator
from tap import run, work_folder

BUILD = os.path.abspath(sys.argv[2])
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
WORK = work_folder("backplane-disassembler-")
LOAD, SAMPLE = 0x100000, 0x104000
SPIN = LOAD + 0x1000
NOISE, NOISE_BYTES = 0x108000, random.Random(7).randbytes(20000)

# Starts in 32-bit code; leads the processor to the mode and spins there.
START = """
.code32
    lgdt gdtr
    .if MODE == 64
    movl $0x11003, 0x10000
    movl $0x12003, 0x11000
    movl $0x83, 0x12000
    movl $0x10000, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    .endif
    .if MODE == 16
    ljmp $16, $spin - 0x100000
    .else
    ljmp $MODE, $spin
    .endif
    .balign 8
gdt: .quad 0
    .org gdt + 16
    .quad 0x00009b100000ffff  /* 16: code of 16 bits, from 1 MiB */
    .org gdt + 32
    .quad 0x00cf9b000000ffff  /* 32 */
    .org gdt + 64
    .quad 0x00af9b000000ffff  /* 64 */
gdtr: .word 71
    .long gdt
    .org 0x1000
spin: .byte 0xeb, 0xfe        /* jmp . in any mode */
    .org 0x4000
"""
# Of each form of instruction some; assembled for each mode.
COMMON = """
    nop; ret; hlt; cli; sti; cld; std; clc; stc; cmc; lahf; sahf; leave; cpuid; rdtsc; rdmsr; wrmsr
    wbinvd; ud2; int3; int $0x80; iretl; cwtl; cltd
    movb $1, %al; movw $0x1234, %bx; movl $0x12345678, %ecx
    addb %al, %ah; addw %bx, %cx; addl %edx, %esi; adcl $5, %eax; sbbl $0x12345, %ebx
    andw $0xff0, %dx; orb $3, %cl; xorl %eax, %eax; cmpl $-1, %edi; testl %eax, %eax
    notl %eax; negw %ax; mull %ecx; imull %ecx, %edx; imull $100, %ecx, %edx; divw %bx; idivl %ecx
    shll $3, %eax; shrw $1, %ax; sarb %cl, %al; roll $7, %ebx; rcrw $2, %dx
    shldl $4, %eax, %ebx; shrdl %cl, %eax, %ebx; bt %eax, %ebx; btsl $3, %ecx; bsf %eax, %ebx
    bswap %eax; xchgl %eax, %ebx; cmpxchgl %eax, %ecx; xaddl %eax, %ebx
    movzbl %al, %ecx; movzwl %ax, %ecx; movsbl %al, %ecx; sete %al; cmovne %eax, %ebx
    inb $0x60, %al; outb %al, $0x80; inl %dx, %eax; outw %ax, %dx
    rep movsb; rep movsl; repne scasb; repe cmpsb; stosl; lodsb; stosw; insb; outsl
    movl %eax, %ds; movl %ds, %eax; smsw %ax
    fninit; fld1; fldpi; faddp; fsqrt; fstp %st(1); fxch
    addps %xmm0, %xmm1; mulsd %xmm2, %xmm3; pxor %mm0, %mm1; movaps %xmm1, %xmm2
    pshufd $0x1b, %xmm1, %xmm2; cvtsi2sd %eax, %xmm0; sfence; mfence; lfence; pause; emms
"""
SAMPLES = {
    16: COMMON + """
    movw (%bx,%si), %ax; movb 4(%bp), %cl; movl 0x1234(%di), %eax; movw %ax, 0x4567
    movl (%eax,%ebx,4), %ecx; movl $0x55667788, 0x11223344(%eax,%ecx,8); lgdtw (%bx); lidtw 2(%si)
    pushw %ax; popw %es; pushl %eax; pushw $0x1234; pushf; popal; pushaw; daa; aaa; bound %ax, (%bx)
    ljmp $0xf000, $0xe05b; lcall $0x1000, $0x20; lretw; incw %ax; decl %eax; les (%bx), %ax
    """,
    32: COMMON + """
    movl (%eax), %ebx; movb 4(%ebp), %cl; movl 0x12345678(,%edi,8), %eax; movw %ax, 0x45678
    movl %fs:(%eax), %ebx; movl %gs:0x30, %eax; lea 8(%esp,%ebx,2), %eax; lgdt (%eax)
    pushl %eax; popl %es; pushl $0x12345; pushl $3; pushf; popal; pushal; das; aam
    ljmp $8, $0x12345; lcall *(%eax); jmp *%eax; call *4(%ebx); incl %eax; decb (%ecx); lds (%eax), %ecx
    lock cmpxchg8b (%esi); fildll (%eax); fstpt 8(%ebx); movups (%eax), %xmm0; int $3; enter $16, $1
    movl %cr0, %eax; movl %eax, %cr3
    """,
    64: COMMON + """
    movq (%rax), %rbx; movb 4(%rbp), %r8b; movabs $0x1122334455667788, %rax; movl %eax, 0x100(%rip)
    movq %gs:0x28, %rcx; lea (%r12,%r13,8), %r14; pushq %r15; popq %rax; pushq $0x12345; swapgs
    syscall; sysretq; iretq; cqto; cmpxchg16b (%rdi); movslq %eax, %rcx; xorq %r9, %r9; addq $8, %rsp
    movups %xmm9, (%r10); cvttsd2si %xmm8, %r11; movnti %rax, (%rbx); bswap %r12; crc32b %al, %ecx
    popcntq %rax, %rbx; jmp *%rax; call *8(%rip); testb $1, (%r13); movq %cr8, %rax; invlpg (%rax)
    """,
}


def tool(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=WORK)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def compiled_code():
    """The first kilobytes of real 64-bit code: the text of the C library that python runs on."""
    tool("objcopy", "-O", "binary", "--only-section=.text", os.path.join(BUILD, "core",
         "libbackplane.so.1"), "real.bin")
    with open(os.path.join(WORK, "real.bin"), "rb") as f:
        return f.read(6000)


def kernel(mode):
    """A bzImage by the 32-bit boot protocol whose protected-mode part is START and the sample."""
    source = "MODE = %d\n%s\n.code%d\n%s\n" % (mode, START, mode, SAMPLES[mode])
    name = "mode%d" % mode
    with open(os.path.join(WORK, name + ".s"), "w", encoding="ascii") as f:
        f.write(source)
    tool("as", "--64" if mode == 64 else "--32", "-o", name + ".o", name + ".s")
    tool("ld", "-m", "elf_x86_64" if mode == 64 else "elf_i386", "-Ttext", hex(LOAD), "-e",
         hex(LOAD), "-o", name + ".elf", name + ".o")
    tool("objcopy", "-O", "binary", "-j", ".text", name + ".elf", name + ".bin")
    with open(os.path.join(WORK, name + ".bin"), "rb") as f:
        code = f.read()
    if mode == 64:
        code += compiled_code()
    code = code.ljust(NOISE - LOAD, b"\0") + NOISE_BYTES
    head = bytearray(1024)
    head[0x1f1] = 1
    head[0x1fe:0x206] = b"\x55\xaa\xeb\x66HdrS"
    head[0x206:0x208] = b"\x0f\x02"
    head[0x211] = 1
    struct.pack_into("<I", head, 0x214, LOAD)
    struct.pack_into("<I", head, 0x22c, 0x7fffffff)
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<Q", head, 0x258, LOAD)
    struct.pack_into("<I", head, 0x260, len(code))
    path = os.path.join(WORK, name + ".kernel")
    with open(path, "wb") as f:
        f.write(head + code)
    with open(os.path.join(WORK, name + ".sample"), "wb") as f:
        f.write(code[SAMPLE - LOAD:])
    return path


def hmp(e, line):
    return e.command("human-monitor-command", command_line=line)["return"].replace("\r", "")


def start(mode, program=PROGRAM, env=None, log=None, more=()):
    return Emulator(program, *more, *(("-d", "in_asm,cpu_reset", "-D", log) if log else ()), "-machine", "pc", "-accel", "interp", "-m", "16", "-kernel",
                    kernel(mode), quiet=("-nodefaults", "-display", "none"), env=env)


def wait_for_mode(e):
    until = time.monotonic() + 20
    while int(hmp(e, "print /x $pc"), 0) != SPIN:
        assert time.monotonic() < until, hmp(e, "info registers")
        time.sleep(0.02)


LINE = re.compile(r"0x([0-9a-f]{8,}):  ((?:[0-9a-f]{2} ?)+?)(?:  +(\S.*))?$")


def ours(text):
    """(address, bytes, text) of each instruction; long ones take two lines."""
    found = []
    for line in text.splitlines():
        address, data, words = LINE.match(line).groups()
        data = bytes.fromhex(data)
        if words is None:
            found[-1] = (found[-1][0], found[-1][1] + data, found[-1][2])
        else:
            found.append((int(address, 16), data, words))
    return found


def theirs(mode, count):
    machine = {16: "i8086", 32: "i386", 64: "i386:x86-64"}[mode]
    text = tool("objdump", "-D", "-b", "binary", "-m", machine, "--insn-width=16",
                "--adjust-vma=%#x" % SAMPLE, "mode%d.sample" % mode)
    found = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) >= 2 and parts[0].endswith(":"):
            found.append((int(parts[0][:-1], 16), bytes.fromhex(parts[1]),
                          parts[2] if len(parts) > 2 else ""))
    return found[:count]


def compare(mode, count):
    with start(mode) as e:
        wait_for_mode(e)
        for command in ("x", "xp"):
            mine = ours(hmp(e, "%s /%di %#x" % (command, count, SAMPLE)))
            other = theirs(mode, count)
            assert len(mine) == len(other) == count, (len(mine), len(other))
            for a, b in zip(mine, other):
                assert a[:2] == b[:2], "%s: %r, objdump: %r" % (command, a, b)
        assert "  jmp  " in hmp(e, "x /1i $pc"), hmp(e, "x /1i $pc")


def code_of_16_bits():
    compare(16, 120)


def code_of_32_bits():
    compare(32, 120)


def code_of_64_bits():
    compare(64, 700)


def logged(log, mode, *more):
    """Addresses of the instructions that the log has after the guest has come to its end."""
    if os.path.exists(log):
        os.unlink(log)
    with start(mode, log=log, more=more) as e:
        wait_for_mode(e)
        e.command("quit")
        e.process.wait(120)
    with open(log) as f:
        return [int(a, 16) for a in re.findall(r"^0x([0-9a-f]+):  ", f.read(), re.M)]


def log_is_about_the_addresses_that_were_asked_for():
    log = os.path.join(WORK, "filtered")
    everything = logged(log, 32)
    assert LOAD in everything and SPIN in everything and len(everything) >= 3, everything
    for option in ("%#x+0x10" % SPIN, "%#x-0x1000" % (SPIN + 0xfff), "%#x..%#x" % (SPIN, SPIN + 1)):
        assert logged(log, 32, "-dfilter", option) == [SPIN], option
    # What overlaps is shown as a whole; other ranges do not matter. As in the manual, with 64 bits.
    first = logged(log, 32, "-dfilter", "0x8000..0x8fff,0xffffffff00080000+0x200,%#x+1" % LOAD)
    assert LOAD in first and SPIN not in first, first
    assert logged(log, 32, "-dfilter", "0x8000..0x8fff,0xffffffff00060000-0x1000,0xffffffff00080000+0x200") == []
    for option, word in (("0x8000..0x8fff,0xffffffff000080000+0x200", "0xffffffff000080000' does not fit 64 bits"),
                         ("12", "START+SIZE"), ("", "a range is missing"), ("1+", "address"), ("5..1", "no such addresses"),
                         ("1-5", "no such addresses"), ("1+0", "no such addresses"), ("1+2x", "unexpected 'x'"),
                         ("-5", "address"), ("1..2,", "address")):
        done = subprocess.run([PROGRAM, "-display", "none", "-dfilter", option], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 1 and word in done.stderr and "-dfilter" in done.stderr, (option, done)


def any_bytes_are_shown_in_order():
    for mode in (16, 32, 64):
        with start(mode) as e:
            wait_for_mode(e)
            found = ours(hmp(e, "xp /1000i %#x" % NOISE))
        expected = NOISE
        for address, data, text in found:
            assert address == expected and 1 <= len(data) <= 15 and text, (address, data, text)
            assert data == NOISE_BYTES[address - NOISE:][:len(data)], (address, data)
            expected += len(data)
        assert len(found) == 1000, len(found)


def the_format_is_that_of_scripts():
    with start(32) as e:
        wait_for_mode(e)
        assert hmp(e, "x /1i $pc") == "0x00101000:  eb fe                    jmp      0x101000\n", \
            repr(hmp(e, "x /1i $pc"))
        assert hmp(e, "x/2i $eip").startswith("0x00101000:  eb fe  ")
        assert hmp(e, "xp /2i 0x7fffffff0") == "0x7fffffff0: unable to read memory\n"
        assert "format i is for x and xp" in hmp(e, "print /i 4")


def the_modes_own_text():
    with start(16) as e:
        wait_for_mode(e)
        said = hmp(e, "x /200i %#x" % SAMPLE)
        assert "ljmpw    $0xf000:$0xe05b" in said, said
        assert "movl     $0x55667788, 0x11223344(%eax, %ecx, 8)" in said, said


def logged_code(mode, **options):
    path = os.path.join(WORK, "log-%d" % mode)
    with start(mode, log=path, **options) as e:
        wait_for_mode(e)
    with open(path, encoding="ascii") as file:
        return file.read()


def guest_code_is_logged():
    for mode in (32, 64):
        text = logged_code(mode)
        assert "----------------\nIN: \n0x00100000:  0f 01 15 " in text, text[:300]
        assert re.search(r"^0x00100000:  0f 01 15 .* lgdtl ", text, re.M), text[:300]
        assert re.search(r"^0x%08x:  .* jmp " % SPIN, text, re.M), text[-300:]
    assert re.search(r"^CPU Reset \(CPU 0\)\nrax=", text, re.M), text[:300]


def without_the_module_its_package_is_named():
    folder = os.path.join(WORK, "no-disassembler")
    shutil.copytree(os.path.join(BUILD, "modules"), folder,
                    ignore=lambda d, names: [n for n in names if not n.endswith(".so") or
                                             n == "disas-capstone.so"])
    with open(os.path.join(folder, "catalogue"), "w", encoding="ascii") as f:
        f.write("install apt install %s\n"
                "interface:disassembler/1\tdisas-capstone\tbackplane-disassembler\n")
    os.makedirs(os.path.join(WORK, "bin"))
    program = os.path.join(WORK, "bin", "backplane-system-x86_64")
    shutil.copy(PROGRAM, program)
    os.rename(folder, os.path.join(WORK, "bin", "modules"))
    with start(32, program, {"LD_LIBRARY_PATH": os.path.join(BUILD, "core")}) as e:
        said = hmp(e, "x /2i $pc")
        assert said.startswith("Error: x /i needs interface disassembler/1: "), said
        assert "package backplane-disassembler has it; install it with: apt install " \
               "backplane-disassembler" in said, said
        assert "xp /i needs" in hmp(e, "xp /2i 0")
        assert hmp(e, "x /2xw 0").startswith("0000000000000000:"), "the other formats go on"
    log = logged_code(32, program=program, env={"LD_LIBRARY_PATH": os.path.join(BUILD, "core")})
    assert re.search(r"^0x00100000:  0f 01 15 ([0-9a-f]{2} ){1,5} *$", log, re.M), log[:300]


run([code_of_16_bits, code_of_32_bits, code_of_64_bits, any_bytes_are_shown_in_order, log_is_about_the_addresses_that_were_asked_for,
     the_format_is_that_of_scripts, the_modes_own_text, guest_code_is_logged,
     without_the_module_its_package_is_named])
