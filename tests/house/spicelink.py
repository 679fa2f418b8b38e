# SPDX-License-Identifier: LGPL-2.1-or-later
"""One channel of the SPICE protocol from the client's side: the handshake with its ticket, then messages."""
import socket
import struct
import subprocess
import tempfile

MAIN, DISPLAY, INPUTS, CURSOR = 1, 2, 3, 4
OK, PERMISSION_DENIED = 0, 7
MAIN_INIT, STREAM_CREATE, DRAW_COPY = 103, 122, 304
IMAGES = {0: "bitmap", 1: "quic", 101: "lz", 102: "glz", 103: "cached", 104: "surface", 105: "jpeg", 106: "cached",
          107: "zlib-glz", 108: "jpeg-alpha", 109: "lz4", 100: "lz-palette"}
AUTH_SELECTION, AUTH_SPICE, AUTH_SASL, MINI_HEADER = 1 << 0, 1 << 1, 1 << 2, 1 << 3


class Refused(Exception):
    """The server's number for why."""


def encrypt(key, text):
    if not any(key):
        return bytes(128)  # the server takes no ticket
    with tempfile.NamedTemporaryFile() as f:
        f.write(key)
        f.flush()
        return subprocess.run(["openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", f.name, "-pkeyopt",
                               "rsa_padding_mode:oaep"], input=text.encode() + b"\0", capture_output=True,
                              check=True).stdout


class Channel:
    def __init__(self, address, kind, session=0, password="", seconds=60, room=0, sasl=None):
        """address: a port of this host, or a UNIX socket's path; room: of the buffer for what comes; sasl: a
        sasl.Client that proves instead of a password."""
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(seconds)
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.connect(address if isinstance(address, str) else ("127.0.0.1", address))
        self.rest, self.kind, self.session, self.unacknowledged, self.window = b"", kind, session, 0, 0
        body = struct.pack("<IBBIIII", session, kind, 0, 1, 0, 18, AUTH_SELECTION | AUTH_SPICE | AUTH_SASL | MINI_HEADER)
        self.socket.sendall(b"REDQ" + struct.pack("<III", 2, 2, len(body)) + body)
        magic, _, _, size = struct.unpack("<4sIII", self.take(16))
        assert magic == b"REDQ", magic
        reply = self.take(size)
        self.check(struct.unpack_from("<I", reply)[0])
        if sasl:
            self.socket.sendall(struct.pack("<I", 2))
            self.prove(sasl)
        else:
            self.socket.sendall(struct.pack("<I", 1) + encrypt(reply[4:166], password))
        self.check(struct.unpack("<I", self.take(4))[0])
        if sasl:
            self.socket = sasl.wrap(self.socket)
            self.check(struct.unpack("<I", self.take(4))[0])
        if kind == MAIN:
            self.session = struct.unpack_from("<I", self.wait(MAIN_INIT))[0]
        if kind == DISPLAY:
            self.send(101, struct.pack("<BqBi", 1, 8 << 20, 1, 1 << 20))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def check(self, number):
        if number != OK:
            self.socket.close()
            raise Refused(number)

    def prove(self, sasl):
        offered = self.take(struct.unpack("<I", self.take(4))[0])
        name, first = sasl.start(offered)
        said = name, first + b"\0" if first is not None else b""
        over = False
        while not over:
            for words in said:
                self.socket.sendall(struct.pack("<I", len(words)) + words)
            answer = self.take(struct.unpack("<I", self.take(4))[0])
            over = self.take(1) == b"\1"
            if not sasl.over:
                step = sasl.step(answer[:-1] if answer else None)
                said = (step + b"\0" if step is not None else b"",)
            else:
                said = (b"",)

    def take(self, size):
        while len(self.rest) < size:
            more = self.socket.recv(size - len(self.rest))  # what was sealed is more at times
            if not more:
                raise EOFError("the server has closed the channel")
            self.rest += more
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def send(self, kind, body=b""):
        self.socket.sendall(struct.pack("<HI", kind, len(body)) + body)

    def message(self):
        kind, size = struct.unpack("<HI", self.take(6))
        body = self.take(size)
        if kind == 3:  # how often to acknowledge
            generation, self.window = struct.unpack("<II", body)
            self.send(1, struct.pack("<I", generation))
            self.unacknowledged = 0
        elif kind == 4:  # ping
            self.send(3, body[:12])
        self.unacknowledged += kind != 3
        if self.window and self.unacknowledged >= self.window:
            self.send(2)
            self.unacknowledged = 0
        return kind, body

    def measure(self):
        """Lets the server find out how fast its link is: of three pings the last is a long one. The main channel's."""
        self.send(104)  # attach channels
        pings = 0
        while pings < 3:
            pings += self.message()[0] == 4

    def wait(self, wanted):
        while True:
            kind, body = self.message()
            if kind == wanted:
                return body

    def server_side(self):
        """(state, bytes that wait to be sent) of the server's socket, as the kernel has it; state 1: it is connected."""
        ours, theirs = self.socket.getsockname()[1], self.socket.getpeername()[1]
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in list(f)[1:]:
                words = line.split()
                if [int(w.split(":")[1], 16) for w in words[1:3]] == [theirs, ours]:
                    return int(words[3], 16), int(words[4].split(":")[0], 16)
        return None, 0


def image_type(body):
    """Of what a message DRAW_COPY has: IMAGES has the names."""
    clip, at = body[20], 21
    if clip == 1:
        at += 4 + 16 * struct.unpack_from("<I", body, at)[0]
    return IMAGES[body[struct.unpack_from("<I", body, at)[0] + 8]]
