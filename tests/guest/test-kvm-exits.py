#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of a guest's accesses leaves /dev/kvm, as query-stats counts it: doorbells do not; interrupts of other processes
come there by the kernel alone. The same guests see the same machine under the interpreter. One visible line says so
where there is no KVM."""
import json
import os
import subprocess
import sys
import time

import gdb
from console import BINARY, SLOW
from small import TOP, Guests, lacking

sys.path[:0] = [os.path.join(TOP, "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from vhost import SET_VRING_KICK, Peer  # noqa: E402

WAIT = 60 * SLOW
guests = Guests()
FOLDER = tap.work_folder("backplane-kvm-exits-")
SPLIT, OFF = "kvm,kernel-irqchip=split", "kvm,kernel-irqchip=off"


def need_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("/dev/kvm is missing, or not for this user: nothing runs on the host's processor here")
    if lacking():
        raise tap.Skip(lacking())


class Machine:
    """A small guest that takes bytes by COM1, and what is counted of it."""

    def __init__(self, accel, guest, *extra):
        path = os.path.join(FOLDER, "serial")
        self.process = subprocess.Popen(
            [BINARY, "-accel", accel, "-m", "64", "-nodefaults", "-display", "none", "-qmp", "stdio", "-serial",
             "unix:%s,server=on,wait=off" % path, "-S", *(("-kernel", guests.image(guest)) if guest else ()), *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.kvm = accel.startswith("kvm")
        self.ask("qmp_capabilities")
        self.wire = gdb.connect(path)
        self.wire.settimeout(WAIT)
        self.lines = self.wire.makefile("r", encoding="latin-1", newline="\n")
        self.ask("cont")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wire.close()
        self.process.kill()
        self.process.communicate()

    def ask(self, command, **arguments):
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}))
        self.process.stdin.flush()
        while True:
            message = json.loads(self.process.stdout.readline())
            assert "error" not in message, message
            if "return" in message:
                return message["return"]

    def until(self, word):
        """The numbers of the guest's lines up to the one of this name."""
        seen = {}
        while word not in seen:
            line = self.lines.readline().split()
            assert line, (seen, "the guest is silent")
            seen[line[0]] = int(line[1], 16) if len(line) > 1 else None
        return seen

    def send(self, text, word):
        self.wire.sendall(text.encode())
        return self.until(word)

    def count(self, name):
        """Of the machine, or of all processors."""
        seen = [s["value"] for target in ("vm", "vcpu") for r in self.ask("query-stats", target=target)
                for s in r["stats"] if s["name"] == name]
        assert seen, name
        return sum(seen)

    def made(self, name, text, word):
        """How much is counted meanwhile; and what the guest said."""
        before = self.count(name) if self.kvm else 0
        seen = self.send(text, word)
        return (self.count(name) if self.kvm else 0) - before, seen


TESTDEV = ("-device", "pci-testdev,addr=5")
WRITES = 5000
MOST = WRITES // 2  # beside the writes: of COM1, and of the device's header


def doorbells_do_not_leave_the_guest():
    """Of memory and of ports, with any value and with one: the device hears of them, and there are no exits but those of
    its header."""
    need_kvm()
    for accel in ("interp", "kvm", SPLIT, OFF):
        with Machine(accel, "bells", *TESTDEV) as m:
            m.until("ready")
            for name, first in (("user_mmio_exits", 0), ("user_io_exits", 3)):
                left, seen = m.made(name, str(first), "count")
                assert seen["count"] == WRITES and (left > WRITES or not m.kvm), (accel, name, left, seen)
                for test in (1, 2):
                    left, seen = m.made(name, str(first + test), "count")
                    assert 1 <= seen["count"] <= WRITES + 1 and left < MOST, (accel, name, test, left, seen)
                    if m.kvm:
                        assert m.count("ioeventfds") == 1 + (first > 0), m.count("ioeventfds")


def doorbells_follow_their_region():
    need_kvm()
    for accel in ("interp", "kvm"):
        with Machine(accel, "bells", *TESTDEV) as m:
            m.until("ready")
            m.send("2", "count")
            for _ in range(4):
                left, seen = m.made("user_mmio_exits", "m", "count")
                assert 1 <= seen["count"] - seen["before"] <= WRITES and left < MOST, (accel, left, seen)
            m.ask("stop")
            m.ask("cont")
            left, seen = m.made("user_mmio_exits", "2", "count")
            assert seen["count"] >= 1 and left < MOST, (left, seen)
            m.send("0", "count")  # its bell goes
            if m.kvm:
                assert m.count("ioeventfds") == 0
            m.send("q", "done")


class Called:
    """A network card whose rings another process serves, and the guest's count of that one's interrupts."""

    def __init__(self, accel, *extra):
        path = os.path.join(FOLDER, "peer")
        self.peer = Peer(path)
        self.m = Machine(accel, "callfd", "-object", "memory-backend-memfd,id=mem,size=64M,share=on", "-machine",
                         "memory-backend=mem", "-chardev", "socket,id=c,path=" + path, "-netdev", "vhost-user,id=n,chardev=c",
                         "-device", "virtio-net-pci,netdev=n,addr=4,disable-legacy=on", *extra)
        self.irqfds(0)
        self.m.until("ready")
        self.peer.wait(SET_VRING_KICK, 2)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.m.__exit__()
        self.peer.close()

    def seen(self, **what):
        """Until the guest has counted so much."""
        end = time.monotonic() + WAIT
        while True:
            counted = self.m.send("c", "counted")
            if all(counted[name] == value for name, value in what.items()):
                return counted
            assert time.monotonic() < end, (what, counted)

    def irqfds(self, count):
        end = time.monotonic() + WAIT
        while self.m.kvm and self.m.count("irqfds") != count:
            assert time.monotonic() < end, (count, self.m.count("irqfds"))

    def obey(self, text):
        """And it has been done."""
        self.m.send(text + "c", "counted")


def interrupts_of_other_processes_are_the_kernels():
    """Masked, they wait in their pending bit, and nothing comes with another's message. No message is sent by a thread of
    ours but those that waited."""
    need_kvm()
    for accel, there in (("interp", 0), ("kvm", 2), (SPLIT, 2), (OFF, 0)):
        with Called(accel) as s:
            s.irqfds(there)
            before = s.m.count("messages_signalled") if s.m.kvm else 0
            for n in range(1, 21):
                s.peer.ring_bell(1)
                s.peer.ring_bell(0)
                s.seen(first=n, second=n, other=0, pending=0)
            for hold, go, most in (("m", "u", 1), ("f", "g", 0)):
                n += 1
                s.obey(hold)
                s.irqfds(most if there else 0)
                s.peer.ring_bell(1)
                s.seen(second=n - 1, pending=2)
                s.obey(go)
                s.irqfds(there)
                s.seen(first=20, second=n, pending=0)
            s.obey("b")  # a function that has not the bus sends nothing
            s.irqfds(0)
            s.obey("n")
            s.irqfds(there)
            s.obey("d")
            s.peer.ring_bell(1)
            s.seen(second=n, other=1)
            s.m.ask("stop")
            s.irqfds(0)
            s.m.ask("cont")
            s.irqfds(there)
            s.peer.wait(SET_VRING_KICK, 4)
            s.peer.ring_bell(1)
            s.seen(second=n, other=2)
            if there:
                assert s.m.count("messages_signalled") - before == 2, s.m.count("messages_signalled")
            s.peer.hang_up()
            s.irqfds(0)


def notifications_go_to_other_processes_alone():
    """Nobody here hears of them; with kernel-irqchip=off neither. What the interpreter makes comes by us."""
    need_kvm()
    path = os.path.join(FOLDER, "trace")
    for accel, alone in (("interp", False), ("kvm", True), (OFF, True)):
        heard = []
        with Called(accel, "-d", "trace:virtio_queue_notify", "-D", path) as s:
            s.peer.echo = heard.append
            s.obey("")
            for n in range(1, 101):
                s.obey("k")
                end = time.monotonic() + WAIT
                while len(heard) < n:
                    assert time.monotonic() < end, (accel, heard)
            assert set(heard) == {1}, heard
            s.m.ask("stop")  # then they are ours
            s.m.ask("cont")
            s.peer.wait(SET_VRING_KICK, 4)
            s.obey("k")
        with open(path, encoding="ascii") as f:
            noticed = f.read().count("virtio_queue_notify")
        assert (noticed < 50) == alone and noticed, (accel, noticed)  # some when rings begin


def they_come_to_a_debugged_guest():
    """A point of data makes the guest the interpreter's, with the devices' local APICs: the main loop hears of them."""
    need_kvm()
    path = os.path.join(FOLDER, "gdb")
    with Called("kvm", "-gdb", "unix:%s,server=on,wait=off" % path) as s:
        s.irqfds(2)
        s.peer.ring_bell(1)
        s.seen(second=1)
        c = gdb.Client(gdb.connect(path))
        assert c.ask("Z2,%x,4" % 0x3000000) == "OK"
        c.send("c")
        s.irqfds(0)
        for n in range(2, 6):
            s.peer.ring_bell(1)
            s.seen(second=n)
        c.raw(b"\x03")
        assert c.receive().startswith("T")
        assert c.ask("z2,%x,4" % 0x3000000) == "OK"
        assert c.ask("D") == "OK"
        c.close()
        s.irqfds(2)
        s.peer.ring_bell(1)
        s.seen(second=6)


WINDOW = ("-device", "VGA,addr=2")


def writes_that_may_be_late_do_not_leave_the_guest():
    """They are there for who reads them, and in their place among writes to ports."""
    need_kvm()
    seen = []
    for accel in ("interp", "kvm", OFF):
        with Machine(accel, "late", *WINDOW) as m:
            m.until("begins")
            left, _ = m.made("user_mmio_exits", "x", "written")
            assert left < 0x8000 // 50, left
            words = m.lines.readline().split() + [m.lines.readline().split() for _ in range(4)]
            if m.kvm:
                assert m.count("coalesced_writes") > 0x8000 * 9 // 10, m.count("coalesced_writes")
            seen.append(words)
    assert seen[0] == seen[1] == seen[2] and len({line[1] for line in seen[0][2:]}) == 4, seen


def viewers_see_them():
    """The processor goes on behind them."""
    need_kvm()
    source, path = os.path.join(FOLDER, "late.S"), os.path.join(FOLDER, "late")
    with open(source, "w") as f:
        f.write("""
    .code16
    .globl _start
_start: movw $0x12, %ax
    int $0x10
    cli
    movw $0xa000, %ax
    movw %ax, %es
    xorw %di, %di
    movw $100, %cx
1:  movb $0xff, %es:(%di)
    incw %di
    loop 1b
    movw $0x3f8, %dx
    movb $'x', %al
    outb %al, %dx
    movw $50, %cx
2:  movb $0xff, %es:(%di)
    incw %di
    loop 2b
3:  jmp 3b
    .org 510
    .word 0xaa55
    .org 65536
""")
    subprocess.run(["gcc", "-m32", "-c", source, "-o", path + ".o"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "_start", path + ".o", "-o",
                    path], check=True)
    pictures = []
    for accel in ("interp", "kvm"):
        with Machine(accel, None, "-vga", "std", "-drive", "format=raw,file=" + path) as m:
            while m.lines.read(1) != "x":
                pass
            end = time.monotonic() + WAIT
            while True:
                m.ask("screendump", filename=path + ".ppm")
                with open(path + ".ppm", "rb") as f:
                    picture = f.read()
                if picture.startswith(b"P6\n640 480\n255\n") and picture[15:15 + 3 * 1200] == b"\xff" * (3 * 1200):
                    break
                assert time.monotonic() < end, picture[:60]
            pictures.append(picture)
            if m.kvm:
                assert m.count("coalesced_writes") >= 150
    assert pictures[0] == pictures[1]


def registers_of_processors_are_the_interpreters():
    """Which there are, what those hold that do not count, and whether they can be written: the kernel's own, and those of
    its interfaces, are not there."""
    need_kvm()
    for model in ("qemu64", "Skylake-Client-v1"):
        for accel in ("interp", "tcg", "kvm", SPLIT, OFF):
            with Machine(accel, "msrs", "-cpu", model) as m:
                lines = [["begins"]]
                while lines[-1] != ["over"]:
                    lines.append(m.lines.readline().split())
                    assert lines[-1], (accel, "the guest is silent")
                if m.kvm:
                    assert m.count("user_msr_exits") > 0x500, m.count("user_msr_exits")
            if accel == "interp":
                first = lines
                assert len(first) > 100 and ["m0000008b", "0000000100000000", "writable"] in first, first
            if accel == OFF:  # which has no TSC deadline timer
                first = [line for line in first if line[0] != "m000006e0"]
            assert lines[1:] == first[1:], (accel, [pair for pair in zip(first, lines) if pair[0] != pair[1]])


try:
    tap.run([registers_of_processors_are_the_interpreters,
             writes_that_may_be_late_do_not_leave_the_guest, viewers_see_them,
             doorbells_do_not_leave_the_guest, doorbells_follow_their_region,
             interrupts_of_other_processes_are_the_kernels, notifications_go_to_other_processes_alone, they_come_to_a_debugged_guest])
finally:
    guests.close()
