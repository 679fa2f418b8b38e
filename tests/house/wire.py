# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest without a machine: frames in and out of a network, and as much of ARP, IP, UDP and TCP as a test needs.

The network is joined by a hub with a datagram socket, whose other end is ours.
"""
import os
import select
import socket
import struct
import time

MAC = b"\x52\x54\x00\x12\x34\x56"
ALL = b"\xff" * 6
WAIT = 20  # seconds for what must come


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ip_bytes(text):
    return socket.inet_aton(text)


def options(folder, network, name="n"):
    """Command line: `network` (as "user,restrict=on") on a hub with our socket."""
    return ["-netdev", "%s,id=%s" % (network, name), "-netdev", "dgram,id=wire,local.type=unix,local.path=%s/them,"
            "remote.type=unix,remote.path=%s/us" % (folder, folder),
            "-netdev", "hubport,id=p0,hubid=1,netdev=" + name, "-netdev", "hubport,id=p1,hubid=1,netdev=wire"]


def old_options(folder, backend):
    """The same with -net, whose hub is number 0."""
    return ["-net", backend, "-netdev", "dgram,id=wire,local.type=unix,local.path=%s/them,"
            "remote.type=unix,remote.path=%s/us" % (folder, folder), "-netdev", "hubport,id=p1,hubid=0,netdev=wire"]


class Wire:
    def __init__(self, folder):
        self.folder = folder
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(folder, "us"))
        self.ip = "10.0.2.15"
        self.macs = {}
        self.others = []  # frames that came while something else was waited for
        self.ident = 0

    def close(self):
        self.socket.close()
        os.unlink(os.path.join(self.folder, "us"))

    # ---- frames ----

    def send(self, frame):
        self.socket.sendto(frame, os.path.join(self.folder, "them"))

    def frame(self, seconds):
        """The next one, or None. Questions for our address are answered on the way."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            frame = self.socket.recv(70000)
            if frame[12:14] == b"\x08\x06":
                self.arp(frame)
            else:
                return frame

    def arp(self, frame):
        operation = struct.unpack(">H", frame[20:22])[0]
        self.macs[socket.inet_ntoa(frame[28:32])] = frame[22:28]
        if operation == 1 and frame[38:42] == ip_bytes(self.ip):
            self.send(frame[6:12] + MAC + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + MAC +
                      frame[38:42] + frame[22:32])

    def wait(self, match, seconds=WAIT, what="a frame"):
        """The first frame for which match(frame) gives something; that."""
        for frame in list(self.others):
            found = match(frame)
            if found is not None:
                self.others.remove(frame)
                return found
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            frame = self.frame(end - time.monotonic())
            if frame is None:
                break
            found = match(frame)
            if found is not None:
                return found
            self.others.append(frame)
        raise AssertionError("%s does not come" % what)

    def mac_of(self, address):
        if address == "255.255.255.255":
            return ALL
        end = time.monotonic() + WAIT
        while address not in self.macs:
            assert time.monotonic() < end, "nobody has %s" % address
            self.send(ALL + MAC + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + MAC + ip_bytes(self.ip) +
                      bytes(6) + ip_bytes(address))
            frame = self.frame(0.5)
            if frame is not None:
                self.others.append(frame)
        return self.macs[address]

    # ---- IPv4 ----

    def send_ip(self, to, protocol, payload, source=None, mac=None):
        self.ident += 1
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), self.ident & 0xFFFF, 0, 64, protocol, 0) + \
            ip_bytes(source or self.ip) + ip_bytes(to)
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        self.send((mac or self.mac_of(to)) + MAC + b"\x08\0" + head + payload)

    @staticmethod
    def ip_of(frame, protocol, source=None):
        """Payload and source of an IPv4 packet of this protocol; None otherwise."""
        if frame[12:14] != b"\x08\0" or frame[23] != protocol:
            return None
        if source and frame[26:30] != ip_bytes(source):
            return None
        length = struct.unpack(">H", frame[16:18])[0]
        return frame[14 + (frame[14] & 15) * 4:14 + length], socket.inet_ntoa(frame[26:30])

    def transport(self, to, protocol, head, at, payload):
        pseudo = ip_bytes(self.ip) + ip_bytes(to) + struct.pack(">HH", protocol, len(head) + len(payload))
        value = checksum(pseudo + head + payload)
        return head[:at] + struct.pack(">H", value or 0xFFFF) + head[at + 2:] + payload

    def send_udp(self, to, sport, dport, payload, source=None, mac=None):
        head = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0)
        if source is None:
            self.send_ip(to, 17, self.transport(to, 17, head, 6, payload), mac=mac)
        else:
            self.send_ip(to, 17, head + payload, source, mac)

    def udp(self, dport, seconds=WAIT, what="a datagram"):
        """Payload, address and port of the next datagram for this port."""
        def match(frame):
            found = self.ip_of(frame, 17)
            if found and struct.unpack(">H", found[0][2:4])[0] == dport:
                return found[0][8:], found[1], struct.unpack(">H", found[0][:2])[0]
            return None
        return self.wait(match, seconds, what)

    def ping(self, to, seconds=WAIT):
        body = struct.pack(">HH", 77, 1) + b"are you there?"
        self.send_ip(to, 1, b"\x08\0" + struct.pack(">H", checksum(b"\x08\0\0\0" + body)) + body)

        def match(frame):
            found = self.ip_of(frame, 1, to)
            return found[0] if found and found[0][0] == 0 and found[0][4:] == body else None
        return self.wait(match, seconds, "an echo from " + to)

    # ---- DHCP (RFC 2131) ----

    def dhcp(self, seconds=WAIT):
        """Asks for an address; gives the options of the answer by number, with `yiaddr` and `file`."""
        def ask(kind, extra=b""):
            body = struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x12345678, 0, 0x8000) + bytes(16) + MAC + bytes(10 + 192) + \
                b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + extra + b"\x37\x09\x01\x03\x06\x0c\x0f\x42\x43\x77\x36\xff"
            self.send_udp("255.255.255.255", 68, 67, body, "0.0.0.0", ALL)
            return self.udp(68, seconds, "an answer of DHCP")[0]

        def read(body):
            found, at = {"yiaddr": socket.inet_ntoa(body[16:20]), "file": body[108:236].split(b"\0")[0]}, 240
            while at < len(body) and body[at] != 255:
                if body[at] == 0:
                    at += 1
                    continue
                found[body[at]] = body[at + 2:at + 2 + body[at + 1]]
                at += 2 + body[at + 1]
            return found
        offer = read(ask(1))
        assert offer[53] == b"\x02", offer
        self.ip = "0.0.0.0"
        ack = read(ask(3, b"\x32\x04" + ip_bytes(offer["yiaddr"]) + b"\x36\x04" + offer[54]))
        assert ack[53] == b"\x05", ack
        self.ip = ack["yiaddr"]
        return ack


class Tcp:
    """One connection, in order and without loss."""

    def __init__(self, wire, to, dport, sport):
        self.wire, self.to, self.dport, self.sport = wire, to, dport, sport
        self.sequence, self.expected, self.ended = 5000, 0, False
        self.data = b""

    def send(self, flags, payload=b"", extra=b""):
        head = struct.pack(">HHIIBBHHH", self.sport, self.dport, self.sequence, self.expected,
                           (5 + len(extra) // 4) << 4, flags, 65000, 0, 0) + extra
        self.wire.send_ip(self.to, 6, self.wire.transport(self.to, 6, head, 16, payload))
        self.sequence = (self.sequence + len(payload) + bool(flags & 3)) & 0xFFFFFFFF

    def segment(self, seconds=WAIT, what="a segment"):
        def match(frame):
            found = self.wire.ip_of(frame, 6, self.to)
            if found and struct.unpack(">HH", found[0][:4]) == (self.dport, self.sport):
                return found[0]
            return None
        return self.wire.wait(match, seconds, what)

    def connect(self, seconds=WAIT):
        """Says hello; False: refused. Raises when nothing comes."""
        self.send(2)
        s = self.segment(seconds, "an answer to SYN")
        if s[13] & 4:
            return False
        assert s[13] & 0x12 == 0x12, s[13]
        self.expected = (struct.unpack(">I", s[4:8])[0] + 1) & 0xFFFFFFFF
        self.send(0x10)
        return True

    @classmethod
    def accept(cls, wire, port):
        """The next connection that somebody makes to us."""
        def match(frame):
            found = wire.ip_of(frame, 6)
            if found and struct.unpack(">H", found[0][2:4])[0] == port and found[0][13] & 0x12 == 2:
                return found
            return None
        s, source = wire.wait(match, WAIT, "a connection to port %d" % port)
        c = cls(wire, source, struct.unpack(">H", s[:2])[0], port)
        c.expected = (struct.unpack(">I", s[4:8])[0] + 1) & 0xFFFFFFFF
        c.send(0x12)
        return c

    def write(self, payload):
        for at in range(0, len(payload), 1400):
            self.send(0x18, payload[at:at + 1400])

    def read(self, count):
        """So many bytes, or all up to the end."""
        while len(self.data) < count and not self.ended:
            s = self.segment(what="data")
            at = (s[12] >> 4) * 4
            assert not s[13] & 4, "the connection is reset"
            if struct.unpack(">I", s[4:8])[0] != self.expected:
                continue  # sent again
            self.data += s[at:]
            self.expected = (self.expected + len(s) - at + (s[13] & 1)) & 0xFFFFFFFF
            self.ended = bool(s[13] & 1)
            if len(s) > at or self.ended:
                self.send(0x10)
        data, self.data = self.data[:count], self.data[count:]
        return data
