# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the Remote Framebuffer protocol (RFC 6143 and the community's specification), for tests: it
takes apart every encoding itself and keeps the picture as bytes, three for each pixel."""
import base64
import hashlib
import os
import socket
import struct
import zlib

RAW, COPY_RECT, HEXTILE, ZLIB, TIGHT, ZRLE, TIGHT_PNG = 0, 1, 5, 6, 7, 16, -260
DESKTOP_SIZE, CURSOR, POINTER_TYPE, EXTENDED_KEY, AUDIO, LED_STATE = -223, -239, -257, -258, -259, -261
DESKTOP_NAME, EXTENDED_DESKTOP_SIZE, XVP, ALPHA_CURSOR = -307, -308, -309, -314
TIMEOUT = 60


class Closed(Exception):
    """The server ended the connection."""


class Refused(Exception):
    """The server said why not."""


class WebSocket:
    """A stream socket in frames of RFC 6455."""

    def __init__(self, sock, resource="/", protocol="binary"):
        self.sock, self.rest, self.frames = sock, b"", b""
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
                      % (resource, key, protocol)).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = sock.recv(4096)
            if not part:
                raise Closed
            head += part
        head, self.rest = head.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
                                  .digest()).decode()
        if not lines[0].startswith("HTTP/1.1 101") or "Sec-WebSocket-Accept: " + accept not in lines:
            raise Refused(head.decode())

    def _raw(self, size):
        while len(self.rest) < size:
            part = self.sock.recv(65536)
            if not part:
                raise Closed
            self.rest += part
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def frame(self):
        """(opcode, payload) of the next frame."""
        first, size = self._raw(2)
        if size == 126:
            size, = struct.unpack(">H", self._raw(2))
        elif size == 127:
            size, = struct.unpack(">Q", self._raw(8))
        return first & 15, self._raw(size)

    def recv(self, size):
        while not self.frames:
            opcode, payload = self.frame()
            if opcode == 2:
                self.frames = payload
        data, self.frames = self.frames[:size], self.frames[size:]
        return data

    def send_frame(self, opcode, data, final=True):
        mask = os.urandom(4)
        head = bytes([opcode | (0x80 if final else 0)])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 65536:
            head += struct.pack(">BH", 0xFE, len(data))
        else:
            head += struct.pack(">BQ", 0xFF, len(data))
        self.sock.sendall(head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data)))

    def sendall(self, data):
        self.send_frame(2, data)

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def close(self):
        self.sock.close()


class Format:
    """How pixels stand in bytes."""

    def __init__(self, bits=32, depth=24, big=False, maxes=(255, 255, 255), shifts=(16, 8, 0), true=True):
        self.bits, self.depth, self.big, self.maxes, self.shifts, self.true = bits, depth, big, maxes, shifts, true
        self.size = bits // 8
        used = sum(m << s for m, s in zip(maxes, shifts))
        self.packed = self.size
        self.shift = 0
        if bits == 32 and true and depth <= 24:
            if not used & 0xFF000000:
                self.packed = 3
            elif not used & 0xFF:
                self.packed, self.shift = 3, 8
        self.rgb = bits == 32 and depth == 24 and maxes == (255, 255, 255)
        self.colours = None  # of a colour map

    def wire(self):
        return struct.pack(">BBBBHHHBBBxxx", self.bits, self.depth, self.big, self.true, *self.maxes, *self.shifts)

    def colour(self, number):
        if not self.true:
            return self.colours[number]
        return bytes(((number >> s & m) * 255 + m // 2) // m for s, m in zip(self.shifts, self.maxes))

    def pixel(self, data):
        return self.colour(int.from_bytes(data, "big" if self.big else "little"))

    def cpixel(self, data):
        return self.colour(int.from_bytes(data, "big" if self.big else "little") << self.shift)

    def tpixel(self, data):
        return bytes(data) if self.rgb else self.pixel(data)

    def expected(self, rgb):
        """What an exact colour becomes in this format."""
        return self.colour(sum((c * m + 127) // 255 << s for c, m, s in zip(rgb, self.maxes, self.shifts)))


class Client:
    """Connected and through the handshake, unless `begin` is False."""

    def __init__(self, sock, version=b"003.008", password=None, shared=True, begin=True, tls=None,
                 sasl=None):
        """`tls`: an ssl.SSLContext; then the server has to offer VeNCrypt. `sasl`: a sasl.Client."""
        self.tls, self.vencrypt, self.sasl = tls, None, sasl
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.rest = b""
        self.format = Format()
        self.streams = {}
        self.notices = []
        self.copied = self.copies = 0  # pixels, rectangles
        self.received = 0  # bytes that were read
        self.sound = bytearray()
        self.version, self.password, self.shared = version, password, shared
        if begin:
            self.begin()

    def close(self):
        self.sock.close()

    def read(self, size):
        while len(self.rest) < size:
            try:
                part = self.sock.recv(1 << 20)
            except ConnectionResetError:
                part = b""
            if not part:
                raise Closed
            self.rest += part
        data, self.rest = self.rest[:size], self.rest[size:]
        self.received += size
        return data

    def unpack(self, layout):
        return struct.unpack(layout, self.read(struct.calcsize(layout)))

    def send(self, layout, *values):
        self.sock.sendall(struct.pack(layout, *values))

    # ---- handshake ----

    def begin(self):
        said = self.read(12)
        assert said == b"RFB 003.008\n", said
        self.sock.sendall(b"RFB " + self.version + b"\n")
        old = self.version < b"003.007"
        if old:
            kind, = self.unpack(">I")
            if kind == 0:
                raise Refused(self.read(self.unpack(">I")[0]).decode())
        else:
            kinds = self.read(self.read(1)[0])
            kind = 19 if self.tls else 20 if self.sasl else 2 if 2 in kinds else 1
            if not kinds:
                raise Refused(self.read(self.unpack(">I")[0]).decode())
            if kind not in kinds:
                raise Refused("types of security: %r" % kinds)
            self.send("B", kind)
            if kind == 19:
                kind = self.secure()
        if kind == 2:
            self.sock.sendall(vnc_response(self.password or "", self.read(16)))
        if kind == 20:
            self.prove()
        if kind in (2, 20) or self.version >= b"003.008":
            result, = self.unpack(">I")
            if result:
                if self.version >= b"003.008":
                    raise Refused(self.read(self.unpack(">I")[0]).decode())
                raise Refused("without a reason")
        if kind == 20:
            self.sock = self.sasl.wrap(self.sock)
        self.send("B", self.shared)
        self.width, self.height = self.unpack(">HH")
        self.server_format = self.read(16)
        self.name = self.read(self.unpack(">I")[0]).decode()
        self.pixels = bytearray(self.width * self.height * 3)

    def secure(self):
        """VeNCrypt 0.2; returns the type of security inside."""
        assert self.read(2) == b"\0\2"
        self.sock.sendall(b"\0\2")
        assert self.read(1) == b"\0"
        kinds = self.unpack(">%dI" % self.read(1)[0])
        self.vencrypt = kinds[0]
        self.send(">I", kinds[0])
        assert self.read(1) == b"\1" and not self.rest
        self.sock = self.tls.wrap_socket(self.sock)
        return 20 if kinds[0] in (263, 264) else 2 if kinds[0] in (258, 261) else 1

    def prove(self):
        """SASL: data has a zero behind it, and its length counts that."""
        self.mechanisms = self.read(self.unpack(">I")[0])
        mechanism, data = self.sasl.start(self.mechanisms)
        self.send(">I%ds" % len(mechanism), len(mechanism), mechanism)
        over = False
        while True:
            self.sock.sendall(b"\0\0\0\0" if data is None else struct.pack(">I", len(data) + 1) + data + b"\0")
            size, = self.unpack(">I")
            answer = self.read(size)[:-1] if size else None
            over = self.read(1) == b"\1"
            if self.sasl.over and over:
                return
            data = self.sasl.step(answer)
            if over:
                return

    # ---- what it says ----

    def set_format(self, format_):
        self.format = format_
        self.sock.sendall(b"\0\0\0\0" + format_.wire())

    def set_encodings(self, *encodings):
        self.sock.sendall(struct.pack(">BxH%di" % len(encodings), 2, len(encodings), *encodings))

    def request(self, incremental=False, area=None):
        self.send(">BBHHHH", 3, incremental, *(area or (0, 0, self.width, self.height)))

    def key(self, keysym, down):
        self.send(">BBxxI", 4, down, keysym)

    def extended_key(self, keysym, code, down):
        self.send(">BBHII", 255, 0, down, keysym, code)

    def pointer(self, buttons, x, y):
        self.send(">BBHH", 5, buttons, x, y)

    # ---- what it hears ----

    def update(self):
        """Waits for an update with pictures; gives how many rectangles it had."""
        while True:
            kind = self.read(1)[0]
            if kind == 0:
                count, = self.unpack(">xH")
                pictures = sum(self._rectangle() for _ in range(count))
                if pictures or count == 0:
                    return pictures
            elif kind == 1:
                first, count = self.unpack(">xHH")
                colours = self.format.colours = self.format.colours or [b"\0\0\0"] * 256
                for n in range(count):
                    colours[first + n] = bytes(v >> 8 for v in self.unpack(">HHH"))
            elif kind == 255:
                self._audio()
            elif kind == 250:
                self.notices.append(("xvp", self.unpack(">xBB")))
            elif kind != 2:
                raise AssertionError("message of kind %d" % kind)

    def _audio(self):
        what, = self.unpack(">xH")
        if what == 2:
            self.sound += self.read(self.unpack(">I")[0])
        else:
            self.notices.append(("sound", what))

    def hear(self):
        """Takes what comes until sound has come."""
        before = len(self.sound)
        while len(self.sound) == before:
            kind = self.read(1)[0]
            if kind == 255:
                self._audio()
            elif kind == 0:
                count, = self.unpack(">xH")
                for _ in range(count):
                    self._rectangle()
            else:
                raise AssertionError("message of kind %d" % kind)

    def _rectangle(self):
        x, y, w, h, encoding = self.unpack(">HHHHi")
        pictures = {RAW: self._raw, HEXTILE: self._hextile, ZLIB: self._zlib, TIGHT: self._tight, ZRLE: self._zrle,
                    TIGHT_PNG: self._tight, COPY_RECT: self._copy}
        if encoding in pictures:
            assert x + w <= self.width and y + h <= self.height, (x, y, w, h)
            pictures[encoding](x, y, w, h)
            return 1
        if encoding == EXTENDED_DESKTOP_SIZE:
            screens = self.read(self.read(4)[0] * 16)
            self.notices.append((encoding, x, y, w, h, screens))
            self._resize(w, h)
        elif encoding == DESKTOP_SIZE:
            self.notices.append((encoding, w, h))
            self._resize(w, h)
        elif encoding == CURSOR:
            self.notices.append((encoding, x, y, w, h, self.read(w * h * self.format.size + (w + 7) // 8 * h)))
        elif encoding == ALPHA_CURSOR:
            assert self.unpack(">i") == (RAW,)
            self.notices.append((encoding, x, y, w, h, self.read(w * h * 4)))
        elif encoding == LED_STATE:
            self.notices.append((encoding, self.read(1)[0]))
        elif encoding == DESKTOP_NAME:
            self.notices.append((encoding, self.read(self.unpack(">I")[0]).decode()))
        elif encoding in (POINTER_TYPE, EXTENDED_KEY, AUDIO):
            self.notices.append((encoding, x))
        else:
            raise AssertionError("encoding %d" % encoding)
        return 0

    def _resize(self, width, height):
        if (width, height) != (self.width, self.height):
            self.width, self.height = width, height
            self.pixels = bytearray(width * height * 3)

    def _put(self, x, y, w, h, pixels):
        for row in range(h):
            at = ((y + row) * self.width + x) * 3
            self.pixels[at:at + w * 3] = pixels[row * w * 3:(row + 1) * w * 3]

    def _fill(self, x, y, w, h, colour):
        self._put(x, y, w, h, colour * (w * h))

    def _many(self, data, size, convert):
        known = {}
        out = []
        for at in range(0, len(data), size):
            part = bytes(data[at:at + size])
            if part not in known:
                known[part] = convert(part)
            out.append(known[part])
        return b"".join(out)

    def _raw(self, x, y, w, h):
        size = self.format.size
        self._put(x, y, w, h, self._many(self.read(w * h * size), size, self.format.pixel))

    def _copy(self, x, y, w, h):
        from_x, from_y = self.unpack(">HH")
        assert from_x + w <= self.width and from_y + h <= self.height, (from_x, from_y, w, h)
        lines = [((from_y + row) * self.width + from_x) * 3 for row in range(h)]
        self._put(x, y, w, h, b"".join(self.pixels[at:at + w * 3] for at in lines))
        self.copied += w * h
        self.copies += 1

    def _inflate(self, stream, data):
        if stream not in self.streams:
            self.streams[stream] = zlib.decompressobj()
        return self.streams[stream].decompress(data)

    def _zlib(self, x, y, w, h):
        data = self._inflate("zlib", self.read(self.unpack(">I")[0]))
        assert len(data) == w * h * self.format.size
        self._put(x, y, w, h, self._many(data, self.format.size, self.format.pixel))

    def _hextile(self, x0, y0, w0, h0):
        size, pixel = self.format.size, self.format.pixel
        background = foreground = None
        for y in range(y0, y0 + h0, 16):
            for x in range(x0, x0 + w0, 16):
                w, h = min(16, x0 + w0 - x), min(16, y0 + h0 - y)
                flags = self.read(1)[0]
                if flags & 1:
                    self._raw(x, y, w, h)
                    background = foreground = None
                    continue
                if flags & 2:
                    background = pixel(self.read(size))
                if flags & 4:
                    foreground = pixel(self.read(size))
                self._fill(x, y, w, h, background)
                for _ in range(self.read(1)[0] if flags & 8 else 0):
                    colour = pixel(self.read(size)) if flags & 16 else foreground
                    at, extent = self.read(2)
                    sx, sy, sw, sh = at >> 4, at & 15, (extent >> 4) + 1, (extent & 15) + 1
                    assert sx + sw <= w and sy + sh <= h
                    self._fill(x + sx, y + sy, sw, sh, colour)
                if flags & 16:
                    foreground = None

    def _zrle(self, x0, y0, w0, h0):
        data = self._inflate("zrle", self.read(self.unpack(">I")[0]))
        self.tiles = getattr(self, "tiles", set())
        at, packed, pixel = 0, self.format.packed, self.format.cpixel
        for y in range(y0, y0 + h0, 64):
            for x in range(x0, x0 + w0, 64):
                w, h = min(64, x0 + w0 - x), min(64, y0 + h0 - y)
                kind = data[at]
                at += 1
                count = 1 if kind == 1 else kind if 2 <= kind <= 16 else kind - 128 if kind >= 130 else 0
                palette = [pixel(data[at + i * packed:at + (i + 1) * packed]) for i in range(count)]
                at += count * packed
                self.tiles.add("raw" if kind == 0 else "solid" if kind == 1 else "packed" if kind <= 16 else
                               "plain" if kind == 128 else "indexed")
                if kind == 0:
                    self._put(x, y, w, h, self._many(data[at:at + w * h * packed], packed, pixel))
                    at += w * h * packed
                elif kind == 1:
                    self._fill(x, y, w, h, palette[0])
                elif kind <= 16:
                    bits = 1 if count <= 2 else 2 if count <= 4 else 4
                    out = []
                    for _ in range(h):
                        line = int.from_bytes(data[at:at + (w * bits + 7) // 8], "big")
                        whole = (w * bits + 7) // 8 * 8
                        at += whole // 8
                        out += [palette[line >> (whole - bits * (i + 1)) & ((1 << bits) - 1)] for i in range(w)]
                    self._put(x, y, w, h, b"".join(out))
                else:
                    assert kind == 128 or kind >= 130, kind
                    out, left = [], w * h
                    while left:
                        length = 1
                        if kind == 128:
                            colour = pixel(data[at:at + packed])
                            at += packed
                        else:
                            colour = palette[data[at] & 127]
                            at += 1
                        if kind == 128 or data[at - 1] & 128:
                            while data[at] == 255:
                                length += 255
                                at += 1
                            length += data[at]
                            at += 1
                        assert length <= left
                        out.append(colour * length)
                        left -= length
                    self._put(x, y, w, h, b"".join(out))
        assert at == len(data), (at, len(data))

    def _length(self):
        value = shift = 0
        for n in range(3):
            byte = self.read(1)[0]
            value |= (byte & (0x7F if n < 2 else 0xFF)) << shift
            if n == 2 or not byte & 0x80:
                return value
            shift += 7

    def _tight_data(self, stream, size):
        if size < 12:
            return self.read(size)
        data = self._inflate(("tight", stream), self.read(self._length()))
        assert len(data) == size, (len(data), size)
        return data

    def _tight(self, x, y, w, h):
        size = 3 if self.format.rgb else self.format.size
        pixel = self.format.tpixel
        control = self.read(1)[0]
        self.forms = getattr(self, "forms", set())
        assert not control & 15, control
        if control == 0x80:
            self.forms.add("fill")
            self._fill(x, y, w, h, pixel(self.read(size)))
        elif control in (0x90, 0xA0):
            self.forms.add("jpeg" if control == 0x90 else "png")
            self._put(x, y, w, h, self.picture(self.read(self._length()), w, h))
        else:
            assert not control & 0x80, control
            stream, kind = control >> 4 & 3, self.read(1)[0] if control & 0x40 else 0
            if kind == 0:
                self.forms.add("pixels")
                self._put(x, y, w, h, self._many(self._tight_data(stream, w * h * size), size, pixel))
                return
            if kind == 2:
                self.forms.add("gradient")
                self._put(x, y, w, h, self._gradient(self._tight_data(stream, w * h * size), w, h))
                return
            assert kind == 1, kind
            count = self.read(1)[0] + 1
            palette = [pixel(self.read(size)) for _ in range(count)]
            self.forms.add("two" if count == 2 else "palette")
            if count > 2:
                data = self._tight_data(stream, w * h)
                self._put(x, y, w, h, b"".join(palette[i] for i in data))
                return
            line = (w + 7) // 8
            data = self._tight_data(stream, line * h)
            self._put(x, y, w, h, b"".join(palette[data[r * line + i // 8] >> (7 - i % 8) & 1]
                                           for r in range(h) for i in range(w)))

    def _gradient(self, data, w, h):
        """Pixels of what the gradient filter has left."""
        f, size = self.format, 3 if self.format.rgb else self.format.size
        maxes = (255, 255, 255) if f.rgb else f.maxes
        above, out = [(0, 0, 0)] * w, []
        for row in range(h):
            left = across = (0, 0, 0)
            line = []
            for column in range(w):
                at = (row * w + column) * size
                if f.rgb:
                    missed = data[at:at + 3]
                else:
                    value = int.from_bytes(data[at:at + size], "big" if f.big else "little")
                    missed = [value >> s & m for s, m in zip(f.shifts, maxes)]
                up = above[column]
                left = tuple(max(0, min(m, a + b - c)) + d & m
                             for a, b, c, d, m in zip(left, up, across, missed, maxes))
                across = up
                line.append(left)
            above = line
            out.append(b"".join(bytes((v * 255 + m // 2) // m for v, m in zip(pixel, maxes)) for pixel in line))
        return b"".join(out)

    def picture(self, data, w, h):
        """Pixels of a JPEG or PNG file."""
        import subprocess
        tool = "pngtopnm" if data[:4] == b"\x89PNG" else "jpegtopnm"
        ppm = subprocess.run([tool], input=data, capture_output=True, check=True).stdout
        head, rest = ppm.split(b"\n", 1)
        assert head == b"P6", head
        while rest.startswith(b"#"):
            rest = rest.split(b"\n", 1)[1]
        size, rest = rest.split(b"\n", 1)
        assert tuple(map(int, size.split())) == (w, h), size
        return rest.split(b"\n", 1)[1]


def vnc_response(password, challenge):
    """RFC 6143, 7.2.2: the challenge, encrypted with the password, whose bits are the other way round."""
    key = bytes(int("{:08b}".format(b)[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
    return des(key, challenge[:8]) + des(key, challenge[8:16])


# ---- DES (FIPS 46-3) ----

_IP = [58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40,
       32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5,
       63, 55, 47, 39, 31, 23, 15, 7]
_E = [32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18, 19, 20, 21, 20,
      21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1]
_P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11,
      4, 25]
_PC1 = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
        63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4]
_PC2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47,
        55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32]
_SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1]
_SBOXES = [
    [14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
     4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13],
    [15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
     0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9],
    [10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
     13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12],
    [7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
     10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14],
    [2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
     4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3],
    [12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
     9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13],
    [4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
     1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12],
    [13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
     7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11],
]


def _permute(bits, table):
    return [bits[i - 1] for i in table]


def des(key, block):
    bits = lambda data: [b >> i & 1 for b in data for i in range(7, -1, -1)]
    half = _permute(bits(key), _PC1)
    c, d, keys = half[:28], half[28:], []
    for n in _SHIFTS:
        c, d = c[n:] + c[:n], d[n:] + d[:n]
        keys.append(_permute(c + d, _PC2))
    data = _permute(bits(block), _IP)
    left, right = data[:32], data[32:]
    for k in keys:
        mixed = [a ^ b for a, b in zip(_permute(right, _E), k)]
        out = []
        for box in range(8):
            six = mixed[box * 6:box * 6 + 6]
            value = _SBOXES[box][(six[0] << 1 | six[5]) * 16 + (six[1] << 3 | six[2] << 2 | six[3] << 1 | six[4])]
            out += [value >> 3 & 1, value >> 2 & 1, value >> 1 & 1, value & 1]
        left, right = right, [a ^ b for a, b in zip(left, _permute(out, _P))]
    final = [0] * 64
    for at, place in enumerate(_IP):
        final[place - 1] = (right + left)[at]
    return bytes(int("".join(map(str, final[i:i + 8])), 2) for i in range(0, 64, 8))


def connect(port=None, path=None, host="127.0.0.1"):
    if path:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)  # waits while others do
        sock.settimeout(TIMEOUT)
        return sock
    return socket.create_connection((host, port), TIMEOUT)
