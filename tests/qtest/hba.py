# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drivers of SCSI host adapters over qtest: pvscsi, MegaRAID SAS, Fusion-MPT SAS. They write what they are told, so
that tests can break the rules. submit() gives a token, wait() how that command ended: ("ok", SCSI status, sense, bytes
that moved), or a word for what the adapter itself says."""
import struct

from virtio import Function, until

BAR, PORTS = 0xE0000000, 0xC000
BASE, LISTS, SENSE, DATA = 0x100000, 0x180000, 0x1C0000, 0x200000
SLOT = 5


class Adapter:
    def __init__(self, q):
        self.q, self.f = q, Function(q, SLOT)
        self.count = 0
        for bar in range(0x10, 0x28, 4):
            self.f.write(bar, PORTS if self.f.read(bar) & 1 else 0)
        self.f.write(self.bar, BAR)
        self.f.write(4, 7, "w")
        self.set_up()

    def reg(self, at, value=None):
        return self.q.readl(BAR + at) if value is None else self.q.writel(BAR + at, value)

    def list_at(self, pieces, slot):
        """A list of data in memory, in the adapter's form."""
        at = LISTS + 0x1000 * (slot % 32)
        self.q.write(at, self.form_list(pieces))
        return at

    def sense(self, slot, length):
        return self.q.read(SENSE + 128 * slot, length) if length else b""

    def command(self, cdb, out=b"", room=0, target=0, lun=0, pieces=None):
        """Data, the sense key and code, or the adapter's word."""
        pieces = pieces or [(DATA, len(out) or room)]
        if out:
            left = out
            for at, size in pieces:
                self.q.write(at, left[:size])
                left = left[size:]
        word, status, sense, moved = self.wait(self.submit(cdb, len(out), room, target, lun, pieces))
        if word != "ok":
            return word
        if status == 2:
            return "%x/%02x%02x" % (sense[2], sense[12], sense[13])
        assert status == 0, status
        data = b"".join(self.q.read(at, size) for at, size in pieces) if room else b""
        return data[:moved] if moved is not None else data

    def settle(self, target=0):
        """The unit attention of power-on."""
        assert self.command([0] * 6, target=target) == "6/2900"


class Pvscsi(Adapter):
    name, bar, ids = "pvscsi", 0x10, (0x07C015AD, 0x010000)
    state, requests, completions, messages = BASE, BASE + 0x1000, BASE + 0x2000, BASE + 0x3000

    def order(self, number, data=b""):
        self.reg(0, number)
        for (word,) in struct.iter_unpack("<I", data):
            self.reg(4, word)
        return self.reg(8)

    def set_up(self, pages=1):
        self.q.memset(self.state, 4096, 0xFF)
        self.order(1)
        rings = [self.requests >> 12] + [0] * 31 + [self.completions >> 12] + [0] * 31
        assert self.order(3, struct.pack("<IIQ64Q", 1, 1, self.state >> 12, *rings)) == 0
        assert self.order(8, struct.pack("<II16Q", 1, 0, self.messages >> 12, *[0] * 15)) == 0
        assert struct.unpack("<6I", self.q.read(self.state, 24)) == (0, 0, 5, 0, 0, 7)
        self.reg(0x2010, 15)
        self.produced = self.consumed = self.heard = 0
        self.ended = {}

    def form_list(self, pieces):
        return b"".join(struct.pack("<QII", at, size, 0) for at, size in pieces)

    def put(self, descriptor, ring=True):
        self.q.write(self.requests + 128 * (self.produced % 32), descriptor.ljust(128, b"\0"))
        self.produced += 1
        self.q.writel(self.state, self.produced)
        if ring:
            self.reg(0x4018, 0)

    def submit(self, cdb, out=0, room=0, target=0, lun=0, pieces=(), flags=None, ring=True, sense=128, bus=0):
        self.count += 1
        slot, size = self.count % 32, out or room
        at = pieces[0][0] if len(pieces) == 1 else self.list_at(pieces, slot) if pieces else 0
        if flags is None:
            flags = (1 if len(pieces) > 1 else 0) | (16 if out else 8 if room else 4)
        self.q.memset(SENSE + 128 * slot, 128, 0)
        self.put(struct.pack("<QQQQII16sB8sBBBB", self.count, at, size, SENSE + 128 * slot, sense, flags, bytes(cdb),
                             len(cdb), bytes([0, lun] + [0] * 6), 0, bus, target, 0), ring)
        return self.count

    def fetch(self):
        if self.q.readl(self.state + 12) == self.consumed:
            return False
        d = self.q.read(self.completions + 32 * (self.consumed % 128), 24)
        context, moved, sense, host, status = struct.unpack("<QQIHH", d)
        self.consumed += 1
        self.q.writel(self.state + 16, self.consumed)
        word = {0: "ok", 0x11: "nobody", 0x1A: "bad", 0x25: "reset", 0x26: "aborted"}[host]
        self.ended[context] = (word, status, self.sense(context % 32, sense), moved)
        return True

    def wait(self, token):
        until(lambda: token in self.ended or self.fetch() and token in self.ended, "the request is not completed")
        return self.ended.pop(token)

    def abort(self, token):
        self.order(6, struct.pack("<QII", token, 0, 0))

    def reset_bus(self):
        self.order(4)

    def reset_unit(self):
        assert self.order(5, struct.pack("<I8s", 0, bytes(8))) == 0

    def event(self):
        """What came or went: kind and target."""
        until(lambda: self.q.readl(self.state + 128) > self.heard, "no message comes")
        kind, bus, target, lun = struct.unpack("<III8s", self.q.read(self.messages + 128 * (self.heard % 32), 20))
        self.heard += 1
        self.q.writel(self.state + 132, self.heard)
        assert bus == 0 and lun == bytes(8)
        return "came" if kind == 0 else "went", target


class Megasas(Adapter):
    name, bar, ids = "megasas", 0x10, (0x00601000, 0x010400)
    queue, producer, info, eventdata = BASE + 0x40000, BASE + 0x50000, BASE + 0x51000, BASE + 0x52000
    entries, scsi = 64, 3
    reply_bit, form = 0x80000000, 2

    def set_up(self):
        self.reg(0x20, 2)
        assert self.reg(0xB0) >> 28 == 0xB
        self.reg(0xA0, 0xFFFFFFFF)
        self.reg(0x34, ~self.reply_bit & 0xFFFFFFFF)
        self.fetched, self.replied = 0, set()
        self.q.writeq(self.producer, 0)
        self.q.write(self.info, struct.pack("<IIQQQ", 0, self.entries, self.queue, self.producer, self.producer + 8))
        assert self.frame(struct.pack("<BBBBIIIHHIQ", 0, 0, 0xFF, 0, 0, 0, 0, 1, 0, 32, self.info)) == 0
        assert self.reg(0xB0) >> 28 == 0xC

    def place(self, n):
        return BASE + 512 * (n % 64)

    def post(self, frame, high=None):
        self.count += 1
        at = self.place(self.count)
        self.q.write(at, frame.ljust(64, b"\0"))
        self.q.writel(at + 8, self.count)
        if high is None:
            self.reg(0x40, at | 1)
        else:
            self.reg(0xC4, high)
            self.reg(0xC0, at | 1)
        return self.count

    def frame(self, frame, **more):
        """The status of one that is not put into the reply queue."""
        token = self.post(frame, **more)
        until(lambda: self.q.readb(self.place(token) + 2) != 0xFF, "the frame is not completed")
        return self.q.readb(self.place(token) + 2)

    def dcmd(self, opcode, size=0, at=DATA, mbox=bytes(12), flags=0x11, count=1):
        return self.frame(struct.pack("<BBBIBIIHHII12sII", 5, 0, 0xFF, 0, count, 0, 0, flags, 0, size, opcode, mbox, at,
                                      size))

    def form_list(self, pieces):
        if self.form & 0x20:
            return b"".join(struct.pack("<QII", at, size, 0) for at, size in pieces)
        return b"".join(struct.pack("<QI" if self.form & 2 else "<II", at, size) for at, size in pieces)

    def submit(self, cdb, out=0, room=0, target=0, lun=0, pieces=(), flags=None, sense=128):
        size = out or room
        if flags is None:
            flags = self.form | (8 if out else 0x10 if room else 0)
        slot = (self.count + 1) % 64
        self.q.memset(SENSE + 128 * slot, 128, 0)
        pieces = [p for p in pieces if p[1]] if len(pieces) == 1 else pieces
        head = struct.pack("<BBBBBBBBIIHHIQ16s", self.scsi, sense, 0xFF, 0, target, lun, len(cdb), len(pieces), 0, 0,
                           flags, 0, size, SENSE + 128 * slot, bytes(cdb))
        return self.post(head + self.form_list(pieces))

    def blocks(self, write, lba, count, pieces):
        """Of a logical drive."""
        return self.post(struct.pack("<BBBBBBBBIIHHIQQ", 2 if write else 1, 0, 0xFF, 0, 0, 0, 0, len(pieces), 0, 0,
                                     self.form, 0, count, 0, lba) + self.form_list(pieces))

    def fetch(self):
        while self.q.readl(self.producer) != self.fetched:
            self.replied.add(self.q.readl(self.queue + 4 * self.fetched))
            self.fetched = (self.fetched + 1) % self.entries

    def wait(self, token):
        def come():
            self.fetch()
            return token in self.replied
        until(come, "the frame is not completed")
        self.replied.remove(token)
        status, scsi = self.q.read(self.place(token) + 2, 2)
        if status in (0, 0x2D):
            return "ok", scsi, self.sense(token % 64, 18), None
        return {3: "bad", 0x0C: "nobody", 0x2E: "reset"}.get(status, status), scsi, b"", 0

    def abort(self, token):
        assert self.frame(struct.pack("<BBBBIIIHHIIIQ", 6, 0, 0xFF, 0, 0, 0, 0, 1, 0, 0, token, 0,
                                      self.place(token))) == 0

    def reset_bus(self):
        assert self.dcmd(0x08010100) == 0

    def reset_unit(self):
        assert self.dcmd(0x08010200) == 0

    def listen(self):
        """Waits for the event after the newest one."""
        assert self.dcmd(0x01040100, 20) == 0
        mbox = struct.pack("<III", self.q.readl(DATA) + 1, 0xFE00FFFF, 0)
        self.listening = self.post(struct.pack("<BBBIBIIHHII12sII", 5, 0, 0xFF, 0, 1, 0, 0, 0x10, 0, 256, 0x01040500,
                                               mbox, self.eventdata, 256))

    def event(self):
        assert self.wait(self.listening)[0] == "ok"
        code, target = self.q.readl(self.eventdata + 8), self.q.readw(self.eventdata + 32)
        self.listen()
        return {0x8A: "came", 0x5B: "came", 0x8B: "went", 0x70: "went"}[code], target


class MegasasGen2(Megasas):
    name, bar, ids = "megasas-gen2,use_jbod=on", 0x14, (0x00791000, 0x010400)
    reply_bit, form, scsi = 1, 0x20, 4


class Mptsas(Adapter):
    name, bar, ids = "mptsas1068", 0x14, (0x00541000, 0x010000)
    replies = BASE + 0x40000
    notes = False

    def handshake(self, message):
        """A message by the doorbell, word by word."""
        words = [w for (w,) in struct.iter_unpack("<I", message)]
        self.reg(0x30, 0)
        self.reg(0, 0x42 << 24 | len(words) << 16)
        assert self.reg(0x30) & 1 and self.reg(0) & 0x08000000
        self.reg(0x30, 0)
        for word in words:
            self.reg(0, word)
        reply = b""
        while len(reply) < 4 or len(reply) < 4 * reply[2]:
            assert self.reg(0x30) & 1
            reply += struct.pack("<H", self.reg(0) & 0xFFFF)
            self.reg(0x30, 0)
        assert self.reg(0x30) & 1
        self.reg(0x30, 0)
        assert not self.reg(0) & 0x08000000
        return reply

    def set_up(self):
        self.reg(0, 0x40 << 24)
        assert self.reg(0) >> 28 == 1
        facts = self.handshake(struct.pack("<II I", 3 << 24, 0, 0x77))
        assert facts[3] == 3 and struct.unpack_from("<H", facts, 0x0E) == (0,) and facts[8] == 0x77
        for n in range(32):
            self.reg(0x44, self.replies + 128 * n)
        init = self.handshake(struct.pack("<BBBBBBBBIHHIII", 4, 0, 0, 2, 0, 8, 1, 0, 1, 80, 0, 0, 0, 0) + bytes(16))
        assert struct.unpack_from("<H", init, 0x0E) == (0,) and self.reg(0) >> 28 == 2
        assert struct.unpack_from("<H", self.handshake(struct.pack("<III", 6 << 24, 0, 2)), 0x0E) == (0,)
        self.reg(0x34, 1)
        self.ended, self.events = {}, []

    def form_list(self, pieces):
        if not pieces:
            return struct.pack("<IQ", 0xD3000000, 0)
        elements = [struct.pack("<IQ", 0x12000000 | size, at) for at, size in pieces]
        elements[-1] = struct.pack("<IQ", 0xD3000000 | pieces[-1][1], pieces[-1][0])
        return b"".join(elements)

    def post(self, frame):
        at = BASE + 128 * (self.count % 64)
        self.q.write(at, frame.ljust(128, b"\0"))
        self.reg(0x40, at)
        return self.count

    def submit(self, cdb, out=0, room=0, target=0, lun=0, pieces=(), control=None, sense=128, bus=0, sgl=None):
        self.count += 1
        slot, size = self.count % 64, out or room
        if control is None:
            control = 0x01000000 if out else 0x02000000 if room else 0
        self.q.memset(SENSE + 128 * slot, 128, 0)
        if sgl is None and len(pieces) > 6:  # more than a frame has room for: a chain
            at = self.list_at(pieces[5:], slot)
            sgl = self.form_list(pieces[:5])[:-12] + struct.pack("<IQ", 0x92000000 | pieces[4][1], pieces[4][0])
            sgl += struct.pack("<IQ", 0x32000000 | 12 * len(pieces[5:]), at)
        head = struct.pack("<BBBBBBBBI8sI16sII", target, bus, 0, 0, len(cdb), sense, 0, 0, self.count,
                           bytes([0, lun] + [0] * 6), control, bytes(cdb), size, SENSE + 128 * slot)
        return self.post(head + (self.form_list(pieces) if sgl is None else sgl))

    def fetch(self):
        word = self.reg(0x44)
        if word == 0xFFFFFFFF:
            return
        if not word >> 31:
            self.ended[word] = ("ok", 0, b"", None)
            return
        at = word << 1 & 0xFFFFFFFF
        reply = self.q.read(at, 80)
        self.reg(0x44, at)
        context, status = struct.unpack_from("<I2xH", reply, 8)
        if reply[3] == 7:
            self.events.append(reply)
        elif reply[3] or status not in (0, 0x45):
            word = {3: "bad", 0x42: "nobody", 0x43: "nobody", 0x48: "aborted"}.get(status, status)
            self.ended[context] = (word if not reply[3] else reply, 0, b"", 0)
        else:
            moved, sense = struct.unpack_from("<II", reply, 0x14)
            assert reply[0x0D] == (1 if sense else 0)
            self.ended[context] = ("ok", reply[0x0C], self.sense(context % 64, sense), moved)

    def wait(self, token):
        def come():
            self.fetch()
            return token in self.ended
        until(come, "the request is not completed")
        return self.ended.pop(token)

    def message(self, function, head=b"", rest=b"", context=None):
        """One by the FIFO; its reply."""
        self.count += 1
        token = self.post(head.ljust(3, b"\0")[:3] + bytes([function]) + head[4:].ljust(4, b"\0")[:4] +
                          struct.pack("<I", self.count) + rest)
        if function == 7:
            return token
        return self.wait(token)[0]

    def config(self, kind, number, address=0, action=1, size=512):
        """Status, and the page."""
        extended = kind >= 0x10
        self.q.memset(DATA, 512, 0)
        reply = self.message(4, bytes([action, 0, 0, 4, 0, 0, kind if extended else 0, 0]), bytes(8) + struct.pack(
            "<BBBBIIQ", 0, 0, number, 0xF if extended else kind, address, 0xD3000000 | size, DATA))
        length = struct.unpack_from("<H", reply, 4)[0] if extended else reply[0x15]
        return struct.unpack_from("<H", reply, 0x0E)[0], self.q.read(DATA, 4 * length) if length and action else b""

    def task(self, kind, token=0, target=0, lun=0):
        """ResponseCode, how many were ended."""
        reply = self.message(1, bytes([target, 0, 0, 1, 0, kind, 0, 0]), bytes([0, lun] + [0] * 6) + bytes(28) +
                             struct.pack("<I", token))
        return reply[4], struct.unpack_from("<I", reply, 0x14)[0]

    def abort(self, token):
        assert self.task(1, token)[0] == 0

    def reset_bus(self):
        assert self.task(4)[0] == 0

    def reset_unit(self):
        assert self.task(5)[0] == 0

    def listen(self):
        self.message(7, b"\1\0\0\7")
        until(lambda: (self.fetch(), self.events)[1])
        assert self.events.pop()[0x14] == 0x0A

    def event(self):
        def come():
            self.fetch()
            return [e for e in self.events if e[0x14] == 0x0F]
        until(come, "no event comes")
        links = [e for e in self.events if e[0x14] == 0x12]
        e = come()[0]
        assert len(links) == 1 and links[0][0x1C] == e[0x1C]
        assert links[0][0x1D] == (0x90 if e[0x1E] == 3 else 0x09)
        self.events = []
        return "came" if e[0x1E] == 3 else "went", e[0x1C]
