#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A parallel port of the host's, where the host is a guest: Linux's parport_pc and ppdev drive a port of this program's,
and the program itself, started in there, has it as its own."""
import glob
import os
import re
import socket
import tempfile

from console import BINARY, Tap
from linux import Guest

BUILD = os.path.dirname(BINARY)
# What an ISA machine of registers alone loads, and Linux's printer at its other end.
MODULES = ("accel-qtest", "board-pc", "chardev", "chardev-parallel", "chardev-stdio", "cpu-x86", "display", "hw-*",
           "isa", "i2c", "net", "pci", "block")
INNER = ("BACKPLANE_MODULE_PATH=/usr/bin backplane-system-x86_64 -M isapc -accel qtest -nodefaults -display none "
         "-monitor stdio")


def modules():
    return sorted({path for name in MODULES for path in glob.glob(os.path.join(BUILD, "modules", name + ".so"))})


class Port:
    """The port's other end, and a shell in the guest that has it."""

    def __init__(self, folder):
        path = os.path.join(folder, "port")
        self.guest = Guest("-M", "pc", "-m", "512", "-nic", "none", "-chardev", f"socket,id=port,path={path},server=on,wait=off",
                           "-parallel", "chardev:port", drivers=("parport_pc", "ppdev"), programs=(BINARY, *modules()))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(20)
        if os.environ.get("SHOW"):
            print(self.guest.run("dmesg | grep -i parp; lsmod"))
        self.guest.run("mknod /dev/parport0 c 99 0; mknod /dev/null c 1 3 2>&-")

    def said(self, *lines, options="-parallel /dev/parport0"):
        """Of the program in the guest, to commands of its monitor."""
        typed = "".join(line + "\\n" for line in (*lines, "quit"))
        return self.guest.run("printf '%s' | " % typed + INNER + " " + options + " 2>&1")

    def inner(self, *accesses):
        """Accesses to ports, "378=41" writes and "379" reads; what was read."""
        lines = [("o /b 0x%s 0x%s" % tuple(a.split("="))) if "=" in a else "i /b 0x" + a for a in accesses]
        text = self.said(*lines)
        values = [int(v, 16) for v in re.findall(r"\[0x0*[0-9a-f]+\] = 0x([0-9a-f]+)", text)]
        assert len(values) == sum("=" not in a for a in accesses), text
        return values

    def arrived(self, count):
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data

    def nothing_more(self):
        self.socket.settimeout(0.3)
        try:
            more = self.socket.recv(100)
        except TimeoutError:
            more = b""
        self.socket.settimeout(20)
        return more == b""


def bytes_leave_with_the_strobe(port):
    accesses = []
    for byte in b"line":
        accesses += ["378=%x" % byte, "37a=d", "37a=c"]
    assert port.inner(*accesses, "378", "37a") == [ord("e"), 0xcc]
    assert port.arrived(4) == b"line" and port.nothing_more()


def status_lines_are_the_port_s(port):
    assert port.inner("379", "379=1", "379") == [0xde, 0xde]


def enhanced_cycles_go_both_ways(port):
    assert port.inner("37b=11", "37c=22", "37d=33") == []
    assert port.arrived(3) == b"\x11\x22\x33" and port.nothing_more()
    port.socket.sendall(b"\x5a\xa5")
    # At last nobody answers: the bit of the timeout, until it is written.
    assert port.inner("37c", "37b", "379", "37c", "379", "379=1", "379") == [0x5a, 0xa5, 0xde, 0xff, 0xdf, 0xde]


def extended_registers_are_not_there(port):
    assert port.inner("77a=34", "77a", "778") == [0xff, 0xff]


def two_cannot_have_it(port):
    text = port.said("info status", options="-parallel /dev/parport0 -chardev parallel,id=b,path=/dev/parport0")
    assert "'/dev/parport0' cannot be claimed, somebody else has it" in text, text


def other_files_are_none(port):
    text = port.said("info status", options="-chardev parallel,id=b,path=/dev/null")
    assert "'/dev/null' is no parallel port" in text, text


if __name__ == "__main__":
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="backplane-parport-") as where:
        port = Port(where)
        with port.guest:
            for case in (bytes_leave_with_the_strobe, status_lines_are_the_port_s, enhanced_cycles_go_both_ways,
                         extended_registers_are_not_there, two_cannot_have_it, other_files_are_none):
                tap.case(case.__name__, case, port)
    tap.done()
