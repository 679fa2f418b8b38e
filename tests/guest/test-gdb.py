#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stub for gdb: gdb debugs a small guest and Debian's kernel; the protocol by hand where gdb would not go."""
import json
import os
import re
import socket
import subprocess
import sys

import gdb
import small
from console import BINARY, SLOW, TOP, Console, guest_files

sys.path.insert(0, os.path.join(TOP, "tests", "house"))
import tap  # noqa: E402

DIR = tap.work_folder("gdb-")
GUESTS = small.Guests() if not small.lacking() else None
WAIT = 60 * SLOW


class Machine:
    """A small guest that waits for its debugger on a Unix socket (or runs at once)."""

    def __init__(self, *extra, device=None, waits=True):
        if GUESTS is None:
            raise tap.Skip(small.lacking())
        self.path = os.path.join(DIR, "socket")
        self.image = GUESTS.image("pic")
        self.symbols = self.image.replace(".bin", ".elf")
        self.process = subprocess.Popen(
            [BINARY, "-m", "64", "-nodefaults", "-display", "none", "-serial", "file:" + self.path + ".serial",
             "-kernel", self.image, "-gdb", device or "unix:%s,server=on,wait=off" % self.path,
             *(["-S"] if waits else []), *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def tell(self, command):
        """What QMP on standard input and output answers; events are dropped."""
        self.process.stdin.write(json.dumps({"execute": command}))
        self.process.stdin.flush()
        while '"return"' not in (line := self.process.stdout.readline()):
            assert line and '"error"' not in line, line
        return line

    def client(self):
        return gdb.Client(gdb.connect(self.path))

    def symbol(self, name):
        out = subprocess.run(["nm", self.symbols], check=True, stdout=subprocess.PIPE, text=True).stdout
        return int(re.search(r"^(\w+) \w %s$" % name, out, re.M)[1], 16)

    def serial(self):
        with open(self.path + ".serial") as f:
            return f.read()


def need_gdb():
    if gdb.lacking():
        raise tap.Skip(gdb.lacking())


def gdb_debugs_a_guest():
    need_gdb()
    with Machine() as m:
        main, count = m.symbol("kmain"), m.symbol("timer_count")
        out = gdb.gdb("set architecture i386:x86-64", "target remote " + m.path, "info threads",
                      "add-symbol-file " + m.symbols, "break *%#x" % main, "continue", "x/i $pc",
                      "stepi", "stepi", "print/x $pc", "set $rbx = 0x1234", "print/x $rbx", "delete",
                      "set {int}0x3000 = 0x5566", "x/xw 0x3000", "watch *(int *)%#x" % count, "continue",
                      "print *(int *)%#x" % count, "continue", "monitor info status", "delete", "detach")
        assert "Thread 1 (CPU 0, qemu64)" in out, out
        assert re.search(r"Breakpoint 1, 0x0*%x in kmain" % main, out), out
        assert "$1 = %#x" % (main + 2) in out and "$2 = 0x1234" in out, out
        assert re.search(r"0x3000:\s+0x00005566", out), out
        assert re.search(r"Old value = 0\s+New value = 1\s.*timer_body", out, re.S), out
        assert re.search(r"Old value = 1\s+New value = 2", out), out
        assert "$3 = 1" in out and "VM status: paused" in out.replace(" (debug)", ""), out
        assert "detached" in out, out
        # It goes on, and ends as if nobody had looked.
        assert m.process.wait(WAIT) == 0
        assert "done" in m.serial(), m.serial()


def gdb_starts_the_emulator_over_a_pipe():
    need_gdb()
    if GUESTS is None:
        raise tap.Skip(small.lacking())
    command = "%s -m 64 -nodefaults -display none -kernel %s -S -gdb stdio" % (BINARY, GUESTS.image("pic"))
    out = gdb.gdb("set architecture i386:x86-64", "target remote | exec " + command, "info registers rip",
                  "stepi", "print $pc != 0x100000", "kill")
    assert re.search(r"rip\s+0x100000 ", out) and "$1 = 1" in out and "killed" in out, out


def thousand_steps_and_stops_lose_nothing():
    with Machine() as m:
        c = m.client()
        c.no_ack()
        pc = c.registers()["rip"]
        seen = set()
        for n in range(1000):
            assert c.ask("vCont;s:1").startswith("T05thread:1;"), n
            seen.add(c.ask("p%x" % pc))
        assert len(seen) > 10, seen
        body = m.symbol("timer_body")
        assert c.ask("Z0,%x,1" % body) == "OK"
        assert c.ask("c").startswith("T05thread:1;")
        assert c.ask("p%x" % pc) == body.to_bytes(8, "little").hex()
        assert c.ask("z0,%x,1" % body) == "OK"
        assert c.ask("D") == "OK"
        assert m.process.wait(WAIT) == 0


def registers_and_memory_are_read_and_written():
    with Machine() as m:
        c = m.client()
        regs = c.registers()
        assert "<architecture>i386:x86-64</architecture>" in c.description
        for name in ("rax", "r15", "rip", "eflags", "cs", "st7", "fop", "xmm15", "mxcsr", "gs_base", "cr3", "efer"):
            assert name in regs, name
        assert len(c.ask("g")) >= 2 * (16 * 8 + 8 + 7 * 4 + 80 + 8 * 4 + 256 + 4 + 16)
        for name, value in (("r9", "0102030405060708"), ("xmm3", "00112233445566778899aabbccddeeff"),
                            ("st2", "00000000000000c00040"), ("fs_base", "0000adde00000000")):
            assert c.ask("P%x=%s" % (regs[name], value)) == "OK", name
            assert c.ask("p%x" % regs[name]) == value, name
        everything = c.ask("g")
        assert c.ask("G" + everything) == "OK" and c.ask("g") == everything
        assert c.ask("P%x=01000000" % regs["cr0"]).startswith("E"), "a width that it has not"
        assert c.ask("p4000") == "E16"
        assert c.ask("M5000,4:01020304") == "OK" and c.ask("m5000,4") == "01020304"
        assert c.ask("X5004,3:a}\x03c") == "OK" and c.ask("m5004,3") == "612363"
        assert c.ask("m5000,0") == "" and c.ask("mzz,1") == "E16"
        c.ask("Qqemu.PhyMemMode:1")
        assert c.ask("qqemu.PhyMemMode") == "1" and c.ask("m5000,4") == "01020304"


def watchpoints_stop_behind_the_access():
    with Machine() as m:
        c = m.client()
        count = m.symbol("rtc_count")
        for kind, word in ((2, "watch"), (3, "rwatch"), (4, "awatch")):
            assert c.ask("Z%d,%x,4" % (kind, count)) == "OK"
            assert "%s:%x;" % (word, count) in c.ask("c"), word
            assert c.ask("z%d,%x,4" % (kind, count)) == "OK"
        # Both kinds of code points are told apart.
        c.ask("qSupported:swbreak+;hwbreak+")
        for kind, word in ((0, "swbreak"), (1, "hwbreak")):
            at = m.symbol("rtc_body" if kind else "timer_body")
            assert c.ask("Z%d,%x,1" % (kind, at)) == "OK"
            assert word + ":;" in c.ask("c")
            assert c.ask("z%d,%x,1" % (kind, at)) == "OK"
            assert c.ask("s").startswith("T05")


def client_interrupts_and_sees_others_stop_it():
    with Machine("-qmp", "stdio") as m:
        c = m.client()
        # It loops in place, and nobody debugs it.
        assert c.ask("P%x=%s" % (c.registers()["rip"], (0x4000).to_bytes(8, "little").hex())) == "OK"
        assert c.ask("M4000,2:ebfe") == "OK" and c.ask("D") == "OK"
        c.close()
        c = m.client()
        c.no_ack()
        assert c.ask("?").startswith("T02"), "the machine stops for its debugger"
        assert c.ask("Z0,f0000000,1") == "OK"
        for _ in range(3):
            c.send("c")
            c.raw(b"\x03")
            assert c.receive().startswith("T02thread:1;")
        c.send("c")
        m.tell("qmp_capabilities")
        while '"running": true' not in m.tell("query-status"):  # two clients: neither knows when the other is heard
            pass
        m.tell("stop")
        assert c.receive().startswith("T02thread:1;")
        # A client that vanishes takes its points along.
        c.close()
        d = m.client()
        assert d.ask("?").startswith("T02")
        d.send("k")
        assert m.process.wait(WAIT) == 0


def stub_stops_nobody_until_a_client_comes():
    with Machine(waits=False) as m:
        assert m.process.wait(WAIT) == 0, "it ran to its end though nobody debugs it"
        assert "done" in m.serial(), m.serial()
    with Machine("-qmp", "stdio", waits=False, device="none") as m:
        m.tell("qmp_capabilities")
        assert '"running": true' in m.tell("query-status")
    # One that is there, but runs: it stops when the client comes, and ends after the client went.
    with Machine("-qmp", "stdio", "-action", "shutdown=pause", waits=False) as m:
        m.tell("qmp_capabilities")
        c = m.client()
        c.no_ack()
        assert c.ask("?")[:3] in ("T02", "T03"), "it stands: paused, or at its end"
        assert '"running": false' in m.tell("query-status")


def processors_that_were_held_go_on_when_the_client_vanishes():
    with Machine("-smp", "2") as m:
        c = m.client()
        c.no_ack()
        c.send("vCont;c:2")  # the first, on which the guest runs, stands
        c.raw(b"$qC#b4"[:3])  # behind it in the stream: what came before is being worked on
        c.stream.settimeout(1)
        try:
            assert not c.stream.recv(1), "the machine ended, or stopped, by itself"
        except TimeoutError:
            pass
        assert m.serial() == ""
        c.close()
        assert m.process.wait(WAIT) == 0
        assert "done" in m.serial(), m.serial()


def nonsense_gets_an_error_or_nothing():
    with Machine() as m:
        c = m.client()
        c.raw(b"garbage$?#00")
        assert c._byte() == b"-", "a wrong checksum is told"
        c.raw(b"$m0,\xff$?#3f")  # the first one was cut off
        assert c._byte() == b"+" and c.receive().startswith("T")
        c.raw(b"$" + b"A" * 100000 + b"#00")
        assert c._byte() == b"-"
        assert c.ask("vMustReplyEmpty") == "" and c.ask("@") == "" and c.ask("") == ""
        assert "backwards is not built" in c.ask("bs") and "backwards is not built" in c.ask("bc")
        for text in ("Z9,0,1", ):
            assert c.ask(text) == "", text
        for text in ("Z2,0,0", "Z0", "P", "Pzz", "G1", "Hg99", "Hx1", "T99", "Mffff,10:00", "X0,5:ab", "m,",
                     "vCont;q", "vCont;s:x", "qXfer:features:read:target.xml:zz",
                     "qXfer:features:read:other.xml:0,100", "qThreadExtraInfo,77", "qRcmd,zz", "Qqemu.sstep=44"):
            assert re.fullmatch(r"E[0-9a-f]{2}", c.ask(text)), text
        for n in range(1024):
            assert c.ask("Z0,%x,1" % (0x100000000 + n)) == "OK"
        assert c.ask("Z0,200000000,1").startswith("E"), "more points than there is room for"
        assert c.ask("qRcmd," + b"nosuch".hex()) == "OK" and "unknown command" in c.console
        # It does not saw off the branch that it sits on.
        assert c.ask("qRcmd," + b"gdbserver none".hex()) == "OK" and "use another monitor" in c.console
        assert c.ask("qC") == "QC1"


def monitor_starts_and_ends_the_stub():
    with Machine("-monitor", "stdio", device="none") as m:
        def say(line):
            m.process.stdin.write(line + "\n")
            m.process.stdin.flush()
        say("gdbserver unix:%s,server=on,wait=off" % m.path)
        c = m.client()
        assert c.ask("qC") == "QC1"
        c.close()
        say("gdbserver none")
        say("gdbserver nosuch:device")
        say("quit")
        out = m.process.communicate(timeout=WAIT)[0]
        assert "Waiting for gdb connection on device" in out and "Disabled gdbserver" in out, out
        assert "could not open the debugger's device 'nosuch:device'" in out, out


def stub_listens_on_other_devices():
    with Machine("-qmp", "stdio", device="pty") as m:
        words = []
        for command in ("qmp_capabilities", "query-chardev"):
            m.process.stdin.write(json.dumps({"execute": command}))
        m.process.stdin.flush()
        while not words:
            words = re.findall(r'"label": "gdb".*?|"pty:(/dev/pts/\d+)"', m.process.stdout.readline())
            words = [w for w in words if w]
        fd = os.open(words[0], os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"$qC#b4")
        text = b""
        while b"#" not in text:
            text += os.read(fd, 100)
        assert b"$QC1#" in text, text
        os.close(fd)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(WAIT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with Machine("-qmp", "stdio", device="udp:127.0.0.1:%d@127.0.0.1:%d" % (ours.getsockname()[1], port)) as m:
            m.tell("qmp_capabilities")  # so it listens by now
            text = b""
            ours.sendto(b"$qC#b4", ("127.0.0.1", port))
            while b"#" not in text:
                text += ours.recv(100)
            assert b"$QC1#" in text, text
    # -s means the port that gdb's users know.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("0.0.0.0", 1234))
            taken.listen()
        except OSError:
            pass  # somebody has it: that does as well
        run = subprocess.run([BINARY, "-nodefaults", "-display", "none", "-S", "-s"], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=WAIT, check=False)
        assert run.returncode == 1 and "1234" in run.stderr, run
    for accel, word in (("qtest", "qtest"),):
        run = subprocess.run([BINARY, "-nodefaults", "-display", "none", "-accel", accel, "-gdb", "stdio"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, check=False)
        assert run.returncode == 1 and word in run.stderr, run


def tcp_example_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Machine(device="tcp::%d" % port) as m:
        m.process.poll()
        for _ in range(int(WAIT * 20)):
            try:
                c = gdb.Client(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
                break
            except OSError:
                gdb.time.sleep(0.05)
        assert c.ask("qC") == "QC1"


# ---- Debian's kernel ----

def kernel_symbols(kernel, initrd):
    """An ELF file that has the kernel's symbols, as the guest itself tells them."""
    names = ("start_kernel", "jiffies_64", "kernel_init", "init_uts_ns", "saved_command_line")
    console = Console([BINARY, "-m", "512", "-nographic", "-kernel", kernel, "-initrd", initrd,
                       "-append", "console=ttyS0 nokaslr"])
    try:
        console.expect("# ", 200)
        console.type("grep -wE '%s' /proc/kallsyms; echo li''sted; poweroff -f\n" % "|".join(names))
        text = console.expect("\nlisted", 60)
        console.wait(60)
    finally:
        console.close()
    found = dict((name, int(address, 16)) for address, name in re.findall(r"\b(ffff\w{12}) \w (\w+)", text))
    path = os.path.join(DIR, "symbols")
    with open(path + ".s", "w") as f:
        for name in names:
            assert name in found, text
            f.write(".globl %s\n%s = %#x\n" % (name, name, found[name]))
    subprocess.run(["gcc", "-c", path + ".s", "-o", path], check=True)
    return path, found


def linux_kernel_is_debugged():
    need_gdb()
    kernel, initrd = guest_files()
    path, symbols = kernel_symbols(kernel, initrd)
    listen = os.path.join(DIR, "linux")
    console = Console([BINARY, "-m", "512", "-smp", "2", "-nographic", "-kernel", kernel, "-initrd", initrd,
                       "-append", "console=ttyS0 nokaslr", "-S", "-gdb", "unix:%s,server=on,wait=off" % listen])
    try:
        gdb.connect(listen).close()
        out = gdb.gdb("set architecture i386:x86-64", "target remote " + listen, "add-symbol-file " + path,
                      "hbreak *%#x" % symbols["start_kernel"], "continue", "print $pc == %#x" % symbols["start_kernel"],
                      "stepi", "stepi", "stepi", "print $pc != %#x" % symbols["start_kernel"], "info threads",
                      "delete", "break *%#x" % symbols["kernel_init"], "continue", "x/2i $pc",
                      "print $pc == %#x" % symbols["kernel_init"], "delete",
                      "watch *(unsigned long *)%#x" % symbols["jiffies_64"], "continue", "continue", "bt 3",
                      "x/s *(char **)%#x" % symbols["saved_command_line"], "delete", "detach", seconds=300)
        assert "$1 = 1" in out and "$2 = 1" in out and "$3 = 1" in out, out
        assert "Thread 1 (CPU 0, qemu64)" in out and "Thread 2 (CPU 1, qemu64)" in out, out
        values = [int(v) for v in re.findall(r"(?:Old|New) value = (\d+)", out)]
        assert len(values) == 4 and values[1] == values[0] + 1 and values[3] == values[2] + 1, out
        assert "console=ttyS0 nokaslr" in out, out
        assert "#0 " in out, out
        console.expect("# ", 200)
        console.type("nproc; echo dead''line; poweroff -f\n")
        assert "\n2" in console.expect("\ndeadline", 60).replace("\r", "")
        assert console.wait(60) == 0
    finally:
        console.close()


tap.run([gdb_debugs_a_guest, gdb_starts_the_emulator_over_a_pipe, thousand_steps_and_stops_lose_nothing,
         registers_and_memory_are_read_and_written, watchpoints_stop_behind_the_access,
         client_interrupts_and_sees_others_stop_it, stub_stops_nobody_until_a_client_comes,
         processors_that_were_held_go_on_when_the_client_vanishes, nonsense_gets_an_error_or_nothing,
         monitor_starts_and_ends_the_stub, stub_listens_on_other_devices,
         tcp_example_listens, linux_kernel_is_debugged])
