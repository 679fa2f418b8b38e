#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parallel ports against IEEE 1284 and Microsoft's ECP description, and the options -parallel and
-debugcon."""
import os
import socket
import subprocess
import tempfile

from qtest import QTest, Tap, program, recv_all

BASE = 0x378
ECP = BASE + 0x400


def to_file(function, *args, options=("-parallel", "file:%s")):
    """Runs function(q) on a pc; gives what arrived in the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "printed")
        with QTest(["-M", "pc", *(o.replace("%s", path) for o in options), *args]) as q:
            function(q)
        with open(path, "rb") as f:
            return f.read()


def strobe(q, byte, base=BASE, control=0x0C):
    q.outb(base, byte)
    q.outb(base + 2, control | 1)
    q.outb(base + 2, control)


def strobed_bytes_reach_the_back_end():
    def printing(q):
        for byte in b"Hello\n\0\xff":
            assert q.inb(BASE + 1) & 0x80  # not busy
            strobe(q, byte)
            assert q.inb(BASE) == byte
        q.outb(BASE, ord("x"))  # no strobe
        strobe(q, ord("y"), control=0x08)  # the printer is held in reset
    assert to_file(printing) == b"Hello\n\0\xff"


def acknowledge_interrupts_when_it_may(q):
    q.irq_intercept_in("isa-i8259")
    rises = []
    for control in (0x0C, 0x1C):
        q.irqs.clear()
        strobe(q, 1, control=control)
        rises.append(7 in q.irqs)
    assert rises == [False, True], rises


def registers_read_back(q):
    assert q.inb(BASE + 2) == 0xCC and q.inb(BASE + 1) == 0xDE
    for value in (0, 0x55, 0xAA, 0xFF):
        q.outb(BASE, value)
        assert q.inb(BASE) == value
    q.outb(BASE + 2, 0x2E)  # in mode SPP there is no direction
    assert q.inb(BASE + 2) == 0xCE


def bidirectional_port_lets_go_of_the_lines(q):
    q.outb(ECP + 2, 0x34)  # mode PS/2, as Linux looks for it
    assert q.inb(ECP + 2) == 0x35
    q.outb(BASE, 0x12)
    q.outb(BASE + 2, 0x2C)
    assert q.inb(BASE + 2) == 0xEC and q.inb(BASE) == 0xFF
    q.outb(ECP + 2, 0x14)
    assert q.inb(BASE + 2) == 0xCC and q.inb(BASE) == 0x12


def test_mode_shows_the_fifo(q):
    q.outb(ECP + 2, 0xD4)
    assert q.inb(ECP + 2) & 3 == 1
    depth = 0
    while not q.inb(ECP + 2) & 2:
        q.outb(ECP, 0x40 + depth)
        depth += 1
    assert depth == 16
    q.outb(ECP, 0xEE)  # one too many is lost
    q.outb(ECP + 2, 0xD0)  # service interrupts
    threshold = 0
    while not q.inb(ECP + 2) & 4:
        assert q.inb(ECP) == 0x40 + threshold
        threshold += 1
    assert threshold == 8, threshold
    for n in range(threshold, 16):
        assert q.inb(ECP) == 0x40 + n
    assert q.inb(ECP + 2) & 3 == 1
    q.outb(ECP + 2, 0xF4)  # configuration
    assert q.inb(ECP) & 0xF4 == 0x14 and q.inb(ECP + 1) >> 3 & 7 == 1


def fifo_modes_send():
    def sending(q):
        for mode in (0x54, 0x74):
            q.outb(ECP + 2, mode)
            for byte in b"0123456789abcdefghij":
                assert q.inb(ECP + 2) & 3 == 1
                q.outb(ECP, byte)
        q.outb(BASE + 2, 0x2C)
        q.outb(ECP, ord("!"))  # the other way
    assert to_file(sending) == b"0123456789abcdefghij" * 2


def epp_carries_both_ways():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        with QTest(["-M", "pc", "-chardev", "socket,id=p,path=%s,server=on,wait=off" % path,
                    "-parallel", "chardev:p"]) as q, socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(30)
            peer.connect(path)
            q.outb(ECP + 2, 0x54)
            q.outb(BASE + 4, 1)  # not while its FIFO has the port
            q.outb(ECP + 2, 0x14)
            q.outb(BASE + 3, 0x40)  # but as it is first, and in mode EPP
            q.outb(ECP + 2, 0x94)
            q.outb(BASE + 3, 0x41)
            q.outl(BASE + 4, 0x45444342)
            assert recv_all(peer, 6) == b"@ABCDE"
            assert q.inb(BASE + 4) == 0xFF and q.inb(BASE + 1) & 1
            q.outb(BASE + 1, 1)
            assert not q.inb(BASE + 1) & 1
            sent = bytes(range(100))
            peer.sendall(sent)
            got = b""
            while len(got) < len(sent):
                byte = q.inb(BASE + 4)
                if q.inb(BASE + 1) & 1:  # nothing there yet
                    q.outb(BASE + 1, 1)
                    q.qmp("query-status")
                else:
                    got += bytes([byte])
            assert got == sent


def every_port_has_its_place():
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, str(n)) for n in range(3)]
        options = [word for path in paths for word in ("-parallel", "file:" + path)]
        with QTest(["-M", "pc", *options]) as q:
            for n, base in enumerate((0x378, 0x278, 0x3BC)):
                strobe(q, ord("A") + n, base)
            assert q.inb(0x3BC + 3) == 0xFF
        for n, path in enumerate(paths):
            with open(path, "rb") as f:
                assert f.read() == b"ABC"[n:n + 1]


def there_is_one_by_default():
    for options, there in (((), False), (("-device", "isa-parallel"), True)):
        with QTest(["-M", "pc", *options]) as q:  # with -nodefaults
            assert (q.inb(BASE + 1) != 0xFF) == there, options
    for options, there in (((), True), (("-parallel", "none"), False),
                           (("-device", "isa-parallel,iobase=0x278"), False)):
        run = subprocess.run([program(), "-M", "pc", "-S", "-display", "none", "-accel", "qtest", "-monitor", "stdio",
                              *options], input="info qtree\nquit\n", capture_output=True, text=True, timeout=60)
        assert ("iobase = 888" in run.stdout) == there, (options, run.stdout, run.stderr)


def more_than_three_are_refused():
    run = subprocess.run([program(), "-M", "none", "-display", "none", *["-parallel", "null"] * 4],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == 1 and "3 parallel ports" in run.stderr, run


def documented_multiplexers_work():
    """Monitor and parallel port on one, two serial ports on the other."""
    with tempfile.TemporaryDirectory() as folder:
        path, server = os.path.join(folder, "a"), socket.create_server(("127.0.0.1", 0))
        server.settimeout(30)
        with QTest(["-M", "pc", "-chardev", "socket,path=%s,server=on,wait=off,mux=on,id=char0" % path,
                    "-chardev", "tcp,host=127.0.0.1,port=%d,mux=on,id=char1" % server.getsockname()[1],
                    "-mon", "chardev=char0,mode=readline", "-parallel", "chardev:char0",
                    "-serial", "chardev:char1", "-serial", "chardev:char1"]) as q:
            peers = [socket.socket(socket.AF_UNIX), server.accept()[0]]
            peers[0].connect(path)
            for peer in peers:
                peer.settimeout(30)
            for byte in b"<printed>":
                strobe(q, byte)
            q.outb(0x3F8, ord("1"))
            q.outb(0x2F8, ord("2"))
            assert recv_all(peers[1], 2) == b"12"
            said = b""
            peers[0].sendall(b"\x01c")  # from the printer to the monitor
            while b"<printed>" not in said or b"(qemu)" not in said:
                more = peers[0].recv(4096)
                assert more, said
                said += more
            for peer in (*peers, server):
                peer.close()


def debugcon_carries_text():
    def writing(q):
        assert q.inb(0xE9) == 0xE9
        for byte in b"debug\n":
            q.outb(0xE9, byte)
    assert to_file(writing, options=("-debugcon", "file:%s")) == b"debug\n"
    assert to_file(writing, options=("-chardev", "file,path=%s,id=d", "-debugcon", "chardev:d")) == b"debug\n"
    with QTest(["-M", "pc", "-debugcon", "none"]) as q:
        assert q.inb(0xE9) == 0xFF


tap = Tap()
PC = ["-M", "pc", "-parallel", "null"]
tap.case("strobed_bytes_reach_the_back_end", strobed_bytes_reach_the_back_end)
tap.machine_case("acknowledge_interrupts_when_it_may", PC, acknowledge_interrupts_when_it_may)
tap.machine_case("registers_read_back", PC, registers_read_back)
tap.machine_case("bidirectional_port_lets_go_of_the_lines", PC, bidirectional_port_lets_go_of_the_lines)
tap.machine_case("test_mode_shows_the_fifo", PC, test_mode_shows_the_fifo)
tap.case("fifo_modes_send", fifo_modes_send)
tap.case("epp_carries_both_ways", epp_carries_both_ways)
tap.case("every_port_has_its_place", every_port_has_its_place)
tap.case("there_is_one_by_default", there_is_one_by_default)
tap.case("more_than_three_are_refused", more_than_three_are_refused)
tap.case("documented_multiplexers_work", documented_multiplexers_work)
tap.case("debugcon_carries_text", debugcon_carries_text)
tap.done()
