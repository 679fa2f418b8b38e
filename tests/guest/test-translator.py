#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the translator tells of itself while Debian's kernel runs on it."""
import os
import platform
import re
import signal
import struct
import subprocess
import tempfile
import time

from console import BINARY, SLOW, Console, Tap, guest_files

KERNEL, INITRD = guest_files()
BOOT_SECONDS = 150
ESCAPE = "\x01"
LOADED = 0x100000
LOAD = struct.Struct("<IIQIIQQQQ")


def machine(*extra, accel="tcg"):
    return Console([BINARY, "-accel", accel, "-m", "512", "-nographic", "-kernel", KERNEL, "-initrd", INITRD,
                    "-append", "console=ttyS0 nokaslr", *extra])


def to_shell(console):
    console.expect("Backplane guest is up", BOOT_SECONDS)
    console.expect("# ", 30)


def records(data):
    """(address, bytes of code, name) of each record of a jitdump."""
    magic, version, size, machine_id = struct.unpack_from("<IIII", data)
    assert (magic, version, size, machine_id) == (0x4a695444, 1, 40, 62), (hex(magic), version, size, machine_id)
    at, found, count = size, [], 0
    while at + LOAD.size <= len(data):
        kind, total, _, _, _, vma, address, code, index = LOAD.unpack_from(data, at)
        if at + total > len(data):
            break  # the last one, as the process was ended
        assert kind == 0 and vma == address and index == count, (kind, vma, address, index, count)
        name = data[at + LOAD.size:data.index(b"\0", at + LOAD.size)].decode("ascii")
        assert total == LOAD.size + len(name) + 1 + code, (total, name, code)
        found.append((address, code, name))
        count += 1
        at += total
    return found


def code_is_named():
    """The map and the dump have the same blocks, the kernel's among them; perf learns of the dump by a mapping."""
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            console = machine("-perfmap", "-jitdump")
        finally:
            os.chdir(here)
        names = "/tmp/perf-%d.map" % console.process.pid
        dump = os.path.join(folder, "jit-%d.dump" % console.process.pid)
        try:
            to_shell(console)
            with open("/proc/%d/maps" % console.process.pid, encoding="utf-8") as file:
                assert any("r-xp" in line and line.rstrip().endswith(dump) for line in file), "no marker"
            console.type(ESCAPE + "x")
            console.wait(30)
            with open(names, encoding="ascii") as file:
                lines = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (\S+)\n", line) for line in file]
            assert all(lines) and len(lines) > 1000, len(lines)
            with open(dump, "rb") as file:
                data = file.read()
            named = [(int(m[1], 16), int(m[2], 16), m[3]) for m in lines]
            assert named == records(data)
            assert sum(name.startswith("guest-ffffffff8") for _, _, name in named) > 1000
        finally:
            console.close()
            if os.path.exists(names):
                os.unlink(names)


def counts_are_shown():
    console = machine()
    try:
        to_shell(console)
        console.type(ESCAPE + "c")
        console.expect("(qemu) ", 10)
        console.type("info jit\n")
        seen = console.expect("pages invalidated", 60)
        blocks, insns = (int(re.search(word + r" +(\d+)", seen)[1]) for word in ("TB count", "guest instructions"))
        assert blocks > 5000 and insns > 2 * blocks, (blocks, insns)
        console.expect("(qemu) ", 10)
        console.type("info opcount\n")
        console.expect("left it", 60)
        seen = console.expect("(qemu) ", 10)
        counts = {m[1]: int(m[2]) for m in re.finditer(r"^((?:0f )?[0-9a-f]{2}) (\d+) \d+\r*$", seen, re.M)}
        assert counts.get("0f 31", 0) > 100, "RDTSC %s" % counts.get("0f 31")
        console.type(ESCAPE + "x")
        assert console.wait(30) == 0
    finally:
        console.close()


def logged(items, enough, *extra, accel="tcg"):
    """The beginning of a log: until it has as many lines, or until `enough` says so of its text."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        console = machine("-d", items, "-D", log, *extra, accel=accel)
        end = time.monotonic() + BOOT_SECONDS
        try:
            while True:
                if os.path.exists(log):
                    with open(log, encoding="utf-8", errors="replace") as file:
                        text = file.read()
                    if enough(text) if callable(enough) else text.count("\n") > enough:
                        return text
                assert time.monotonic() < end and console.process.poll() is None, text[-500:]
                time.sleep(0.05)
        finally:
            console.close()


def most_in_a_row(log):
    """How often one block was shown as the same one ran again."""
    most = row = 0
    before = None
    for address in re.findall(r"^Trace 0: 0x[0-9a-f]+ \[([0-9a-f]{16})/[0-9a-f]{8}\]$", log, re.M):
        row = row + 1 if address == before else 0
        before = address
        most = max(most, row)
    return most


def blocks_are_logged():
    """Loops of one block are shown each time, or as they are entered; the host's code; single instructions."""
    every, entered = most_in_a_row(logged("exec,nochain", 200000)), most_in_a_row(logged("exec", 20000))
    assert every > 10 * entered, (every, entered)
    start = ("-dfilter", "0xffffffff81000000+0x1000000")
    host = logged("out_asm", 10000, *start)
    assert len(re.findall(r"^OUT: \[size=\d+\] of 0xffffffff81", host, re.M)) > 100
    assert re.search(r"^0x[0-9a-f]+:  ", host, re.M)
    single = logged("in_asm", 1000, *start, accel="tcg,one-insn-per-tb=on")
    blocks = [block for block in single.split("----------------\n") if block.startswith("IN:")][:-1]
    assert blocks and all(len(re.findall(r"^0x", block, re.M)) == 1 for block in blocks)


def what_is_made_of_instructions_is_logged():
    """Each instruction's share of the host's code, one behind the other and as long as -d out_asm says in all."""
    text = logged("op,out_asm", 12000, "-dfilter", "0xffffffff81000000+0x1000000")
    sizes = {a: int(n) for n, a in re.findall(r"^OUT: \[size=(\d+)\] of 0x([0-9a-f]+)", text, re.M)}
    blocks = re.findall(r"^OP: (\d+) instructions at 0x([0-9a-f]+), mode [0-9a-f]{8}\n((?:  0x.*\n)+)", text, re.M)
    assert len(blocks) > 100, text[:1000]
    kinds, checked = set(), 0
    for count, address, lines in blocks[:-1]:
        rows = re.findall(r"^  0x([0-9a-f]+) \+(\d+) +host \+0x([0-9a-f]+) +(\d+): (.*)$", lines, re.M)
        assert 1 <= len(rows) <= int(count) and rows[0][0] == address, lines
        for before, after in zip(rows, rows[1:]):
            assert int(before[0], 16) + int(before[1]) == int(after[0], 16), lines
            assert int(before[2], 16) + int(before[3]) == int(after[2], 16), lines
        if address.lstrip("0") in sizes:
            assert int(rows[-1][2], 16) + int(rows[-1][3]) <= sizes[address.lstrip("0")], lines
            checked += 1
        kinds |= {word for row in rows for word in row[4].split(", ")}
    assert checked > 50 and {"translated", "memory", "left to the interpreter", "sets the flags"} <= kinds, kinds


def layout_of_memory_is_logged():
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        console = machine("-d", "page", "-D", log)
        try:
            to_shell(console)
        finally:
            console.close()
        with open(log, encoding="utf-8") as f:
            text = f.read()
    tables = re.findall(r"^PAGE: (\S+): (\d+) ranges\n((?:  [0-9a-f]{16}-.*\n)*)", text, re.M)
    assert {"memory", "I/O"} <= {name for name, _, _ in tables}, text[:1000]
    assert all(int(count) == len(rows.splitlines()) for _, count, rows in tables)
    last = [rows for name, _, rows in tables if name == "memory"][-1]
    assert re.search(r"^  0000000000000000-[0-9a-f]{16} ram \S", last, re.M), last
    assert re.search(r"^  00000000fee00000-\S+ i/o \S", last, re.M), last


FAULT = r"^MMU: CPU 0: (read|write|fetch) of [0-9a-f]{16}: page fault [0-9a-f]+$"


def registers_translations_and_far_transfers_are_logged():
    for accel in ("tcg", "interp"):
        text = logged("cpu,exec,nochain", 20000, accel=accel)
        shown = re.findall(r"^Trace 0: .*\[([0-9a-f]{16})/[0-9a-f]{8}\]\nCPU 0\n((?:.+\n)+?)(?=Trace|\n|CPU)", text, re.M)
        assert len(shown) > 50, text[:1000]
        for address, registers in shown[:50]:  # what runs is what RIP says (bases are zero in this boot)
            rip = re.search(r"^rip=([0-9a-f]+)", registers, re.M)
            assert rip and int(rip[1], 16) == int(address, 16), (address, registers)
        text = logged("mmu", lambda t: t.count("\n") > 60000 and re.search(FAULT, t, re.M), accel=accel)
        found = re.findall(r"^MMU: CPU 0: (read|write|fetch) of ([0-9a-f]{16}): page ([0-9a-f]+)", text, re.M)
        assert {kind for kind, _, _ in found} == {"read", "write", "fetch"}, text[:1000]
        assert re.search(FAULT, text, re.M), text[:1000]
        kernel = {(int(lin, 16) & ~0xfff) - int(phys, 16) for kind, lin, phys in found
                  if kind == "fetch" and re.match("ffffffff[89ab]", lin)}
        assert len(kernel) == 1, kernel  # the kernel's text lies in one piece
        text = logged("pcall", 20, accel=accel)
        assert re.search(r"^iret 0010:ffffffff[0-9a-f]{8} from 0010:ffffffff[0-9a-f]{8} cpl 0 on CPU 0$", text, re.M), text
        assert re.search(r"^(lret|ljmp|lcall) 0010:", text, re.M), text


def blocks_are_unchained_while_they_run():
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        console = machine("-D", log)
        try:
            to_shell(console)
            console.type("sha256sum /dev/zero &\n")  # has loops of one block
            console.expect("# ", 30)
            console.type(ESCAPE + "c")
            console.expect("(qemu) ", 10)
            console.type("log exec,nochain\n")
            console.expect("(qemu) ", 30)
            end = time.monotonic() + 100
            while not os.path.exists(log) or os.path.getsize(log) < 4 << 20:
                assert time.monotonic() < end and console.process.poll() is None, "nothing is logged"
                time.sleep(0.05)
        finally:
            console.close()
        with open(log, encoding="utf-8", errors="replace") as file:
            most = most_in_a_row(file.read(4 << 20))
        assert most >= 20, most  # chained: 2


def only_translated_code_has_names():
    for option in ("-perfmap", "-jitdump"):
        said = subprocess.run([BINARY, "-accel", "interp", "-display", "none", "-nodefaults", option], text=True,
                              stderr=subprocess.PIPE, timeout=60)
        assert said.returncode == 1 and "-accel tcg" in said.stderr, said.stderr
    with tempfile.TemporaryDirectory() as folder:
        pidfile = os.path.join(folder, "pid")
        subprocess.run([BINARY, "-accel", "tcg", "-display", "none", "-nodefaults", "-perfmap", "-jitdump", "-daemonize",
                        "-pidfile", pidfile], check=True, cwd=folder, timeout=60)
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        try:  # those of the process that stays
            assert os.path.getsize(os.path.join(folder, "jit-%d.dump" % pid)) > 40
            assert os.path.getsize("/tmp/perf-%d.map" % pid) > 0
        finally:
            os.kill(pid, signal.SIGTERM)
            os.unlink("/tmp/perf-%d.map" % pid)


def broken_kernel(path):
    """By the 32-bit boot protocol: an IDT of zeros, but for entry 3, which is a TSS's descriptor; then INT3."""
    idt, pointer = LOADED + 0x100, LOADED + 0x80
    code = bytearray(0x200)
    code[0:9] = b"\x0f\x01\x1d" + struct.pack("<I", pointer) + b"\xcc\xf4"
    struct.pack_into("<HI", code, 0x80, 0xff, idt)
    struct.pack_into("<Q", code, 0x100 + 3 * 8, 0x0000890000080000)
    head = bytearray(1024)
    head[0x1f1] = 1
    head[0x1fe:0x208] = b"\x55\xaa\xeb\x66HdrS\x0f\x02"
    head[0x211] = 1
    struct.pack_into("<I", head, 0x214, LOADED)
    struct.pack_into("<II", head, 0x22c, 0x7fffffff, 0x1000)
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<Q", head, 0x258, LOADED)
    struct.pack_into("<I", head, 0x260, len(code))
    with open(path, "wb") as file:
        file.write(head + code)
    return idt


def triple_fault_has_a_story():
    for accel in ("tcg", "interp"):
        with tempfile.TemporaryDirectory() as folder:
            log, kernel = os.path.join(folder, "log"), os.path.join(folder, "kernel")
            idt = broken_kernel(kernel)
            console = Console([BINARY, "-accel", accel, "-nodefaults", "-display", "none", "-no-reboot", "-m", "16",
                               "-kernel", kernel, "-d", "guest_errors", "-D", log])
            try:
                assert console.wait(60) == 0
            finally:
                console.close()
            with open(log, encoding="ascii") as file:
                story = file.read()
        lines = story[story.index("Triple fault. The last exceptions:"):].splitlines()[1:]
        assert len(lines) == 6, story
        for k, (vector, code, entry) in enumerate((("0d", 0x1a, 3), ("0d", 0x6b, 13), ("0d", 0x43, 8))):
            line, wrong = lines[2 * k].strip(), lines[2 * k + 1].strip()
            assert line.startswith("%s code %04x at 0010:%016x, level 0" % (vector, code, LOADED + 7)), line
            assert wrong == ("what was wrong: entry %x of the IDT at %016x, limit ff: it is not what is needed there" %
                             (entry, idt)), wrong
        assert "while one was delivered" in lines[2] and "while" not in lines[0], story


PLANTED = """
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start
    .text
    .globl _start
    .type _start, @function
_start: lidt pointer
    jmp breaks_off
    .type breaks_off, @function
breaks_off: nop
    int3
    .data
    .balign 8
idt: .fill 3, 8, 0
    .quad 0x0000890000080000 # of entry 3: a TSS's, no gate
    .fill 28, 8, 0
pointer: .word PLANTED_LIMIT
    .long idt
"""


def planted(folder, limit):
    """A kernel that is an ELF file, with names. PVH's note says where it starts."""
    source, kernel = os.path.join(folder, "planted.S"), os.path.join(folder, "planted-%x" % limit)
    with open(source, "w", encoding="ascii") as file:
        file.write(PLANTED.replace("PLANTED_LIMIT", str(limit)))
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext-segment=0x200000,--build-id=none", "-o", kernel,
                    source], check=True)
    return kernel


def triple_fault_is_told_with_names():
    """Also without -d, unless the guest wanted it so: by an IDT of no length."""
    accels = ["tcg", "interp"] + (["kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else [])
    with tempfile.TemporaryDirectory() as folder:
        bad, wanted = planted(folder, 0xff), planted(folder, 0)
        for accel in accels:
            for kernel in (bad, wanted):
                done = subprocess.run([BINARY, "-accel", accel, "-nodefaults", "-display", "none", "-no-reboot", "-m", "16",
                                       "-kernel", kernel], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      timeout=60 * SLOW, check=True, text=True)
                if kernel == wanted:
                    assert "Triple fault" not in done.stderr, (accel, done.stderr)
                    continue
                assert "(breaks_off+0x1)" in done.stderr and "(_start" not in done.stderr, (accel, done.stderr)
                assert "what was wrong: entry 3 of the IDT" in done.stderr, (accel, done.stderr)
                assert done.stderr.count("Triple fault. The last exceptions:") == 1, (accel, done.stderr)


def linux_names_where_it_ended():
    """reboot=t: an IDT of no length and INT3. Its names are in its own memory."""
    with tempfile.TemporaryDirectory() as folder:
        source, program, initrd, log = (os.path.join(folder, name) for name in ("init.c", "init", "initrd", "log"))
        with open(source, "w", encoding="ascii") as file:
            file.write("#include <sys/reboot.h>\nint main(void) { return reboot(RB_AUTOBOOT); }\n")
        subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True)
        with open(program, "rb") as file:
            init = file.read()
        with open(initrd, "wb") as file:
            file.write(record("dev", 0o040755) + record("dev/console", 0o020600, device=(5, 1)) +
                       record("init", 0o100755, init) + record("TRAILER!!!", 0))
        subprocess.run([BINARY, "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot", "-kernel",
                        KERNEL, "-initrd", initrd, "-append", "quiet reboot=t", "-d", "guest_errors", "-D", log],
                       stdin=subprocess.DEVNULL, timeout=BOOT_SECONDS * SLOW, check=True)
        with open(log, encoding="latin-1") as file:
            story = file.read()
    last = story[story.index("Triple fault. The last exceptions:"):].splitlines()
    assert any("(native_machine_emergency_restart+0x" in line for line in last), last


def record(name, mode, data=b"", device=(0, 0)):
    """A file of a cpio archive in the format that Linux unpacks ("newc")."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def two_processors_see_writes_in_order():
    """Litmus tests of the memory order, and locked instructions whose effects are counted."""
    with tempfile.TemporaryDirectory() as folder:
        program, initrd = os.path.join(folder, "litmus"), os.path.join(folder, "initrd")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "litmus.c")
        subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", program, source], check=True)
        with open(program, "rb") as file:
            init = file.read()
        with open(initrd, "wb") as file:
            file.write(record("dev", 0o040755) + record("dev/console", 0o020600, device=(5, 1)) +
                       record("init", 0o100755, init) + record("TRAILER!!!", 0))
        done = subprocess.run([BINARY, "-accel", "tcg", "-smp", "2", "-m", "256", "-nodefaults", "-display", "none",
                               "-serial", "stdio", "-no-reboot", "-kernel", KERNEL, "-initrd", initrd, "-append",
                               "console=ttyS0 quiet panic=-1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              timeout=BOOT_SECONDS * SLOW, check=True)
    text = done.stdout.decode(errors="replace").replace("\r", "")
    counts = dict(re.findall(r"^([a-z-]+) (\d+)$", text, re.M))
    assert set(counts) == {"message", "load-store", "mfence", "xchg", "coherence", "counter", "split", "pair", "bits",
                           "guarded"} and "\nend\n" in text, text[-1000:]
    assert set(counts.values()) == {"0"}, counts


tap = Tap()
CASES = (("code_is_named_for_perf", code_is_named), ("counts_are_shown", counts_are_shown),
         ("blocks_are_logged", blocks_are_logged),
         ("what_is_made_of_instructions_is_logged", what_is_made_of_instructions_is_logged),
         ("layout_of_memory_is_logged", layout_of_memory_is_logged),
         ("registers_translations_and_far_transfers_are_logged", registers_translations_and_far_transfers_are_logged),
         ("blocks_are_unchained_while_they_run", blocks_are_unchained_while_they_run),
         ("only_translated_code_has_names", only_translated_code_has_names),
         ("triple_fault_has_a_story", triple_fault_has_a_story),
         ("triple_fault_is_told_with_names", triple_fault_is_told_with_names),
         ("linux_names_where_it_ended", linux_names_where_it_ended),
         ("two_processors_see_writes_in_order", two_processors_see_writes_in_order))
for title, case in CASES:
    if platform.machine() == "x86_64":
        tap.case(title, case)
    else:
        tap.skip(title, "the translator needs an x86-64 host")
tap.done()
