# SPDX-License-Identifier: LGPL-2.1-or-later
"""A NIC on its PCI bus, driven by qtest, whose cable ends in a datagram socket of ours."""
import os
import socket
import struct
import tempfile

from qtest import QTest

MEMORY = 0xE0000000
PORTS = 0xC000
RING, DATA = 0x100000, 0x200000
PEER = b"\x52\x54\x00\xaa\xbb\xcc"
MAC = b"\x52\x54\x00\x12\x34\x56"
ALL = b"\xff" * 6


class Nic(QTest):
    """`bars`: what each is: "memory", "ports" or None."""

    def __init__(self, model, bars, extra="", slot=4, machine=("-M", "pc")):
        self.cable = tempfile.TemporaryDirectory(prefix="nic-")
        self.guest_path = os.path.join(self.cable.name, "guest")
        self.peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.peer.bind(os.path.join(self.cable.name, "peer"))
        self.peer.settimeout(20)
        super().__init__([*machine, "-netdev", "dgram,id=n,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s"
                          % (self.guest_path, os.path.join(self.cable.name, "peer")), "-device",
                          "%s,netdev=n,mac=52:54:00:12:34:56%s%s" % (model, "" if slot is None else ",addr=%#x" % slot, extra)])
        self.slot = slot
        if slot is None:  # on no PCI bus
            return
        for n, kind in enumerate(bars):
            if kind:
                self.config(0x10 + 4 * n, MEMORY + (n << 20) if kind == "memory" else PORTS + (n << 8))
        self.config(0x04, 7, 2)

    def close(self):
        status = super().close()
        self.peer.close()
        self.cable.cleanup()
        return status

    def config(self, offset, value=None, size=4):
        self.outl(0xCF8, 0x80000000 | self.slot << 11 | offset & ~3)
        put, get = {1: (self.outb, self.inb), 2: (self.outw, self.inw), 4: (self.outl, self.inl)}[size]
        if value is None:
            return get(0xCFC + (offset & 3))
        return put(0xCFC + (offset & 3), value)

    def watch_line(self):
        """On the board pc: all pins lead to line 10; line() tells how it stands."""
        self.outl(0xCF8, 0x80000000 | 1 << 11 | 0x60)
        self.outl(0xCFC, 0x0A0A0A0A)
        self.irq_intercept_in("ioapic")

    def line(self):
        return self.irq(10)

    def send(self, frame):
        """From the peer to the NIC."""
        self.peer.sendto(frame, self.guest_path)

    def try_send(self, frame):
        """The same, unless the NIC has been full for long."""
        self.peer.setblocking(False)
        try:
            self.peer.sendto(frame, self.guest_path)
        except BlockingIOError:
            pass
        finally:
            self.peer.settimeout(20)

    def sent(self):
        """What the NIC sent."""
        return self.peer.recv(70000)

    def nothing_sent(self):
        """Nothing more was sent up to now."""
        self.peer.setblocking(False)
        try:
            return self.peer.recv(70000)
        except BlockingIOError:
            return None
        finally:
            self.peer.settimeout(20)

    def eventually(self, condition, what="it"):
        """Frames come by the main loop: a few round trips later."""
        for _ in range(2000):
            if condition():
                return
            self.qmp("query-status")
        raise AssertionError("%s does not come" % what)


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(payload, protocol=6, source=b"\x0a\0\0\x01", to=b"\x0a\0\0\x02", ident=7):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident, 0, 64, protocol, 0) + source + to
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def tcp_sum(segment, source=b"\x0a\0\0\x01", to=b"\x0a\0\0\x02", protocol=6):
    return checksum(source + to + struct.pack(">HH", protocol, len(segment)) + segment)


def tcp(payload, sequence=1000, flags=0x18):
    head = struct.pack(">HHIIBBHHH", 1234, 80, sequence, 0, 0x50, flags, 8192, 0, 0)
    return head[:16] + struct.pack(">H", tcp_sum(head + payload)) + head[18:] + payload


def frame(payload, to=MAC, source=PEER, kind=0x0800):
    return to + source + struct.pack(">H", kind) + payload
