#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The USB sound card, and isochronous transfers of OHCI, UHCI and xHCI: what a driver sends each millisecond is found
in a WAV file as it was."""
import os
import struct
import tempfile

from qtest import Failed, QTest, Tap
from usb import DOORBELLS, IOC, STALL, SUCCESS, XHCI
from usb_lists import BAR, FRAMES, OHCI, UHCI, request

PACKET, RATE = 192, 48000
ISO, ITDS, SOUND = 0x300000, 0x310000, 0x400000  # descriptors; sound
SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_RES = 1, 0x81, 0x82, 0x83, 0x84


def sound(frames):
    return b"".join(struct.pack("<hh", (7 * n & 0x3FFF) + 1, -(5 * n & 0x3FFF) - 1) for n in range(frames))


class Machine(QTest):
    def __init__(self, controller):
        self.folder = tempfile.TemporaryDirectory(prefix="backplane-usb-audio-")
        self.wav = os.path.join(self.folder.name, "out.wav")
        super().__init__(["-M", "pc", "-m", "16", "-audiodev", f"wav,id=a,path={self.wav},out.frequency={RATE}",
                          "-device", controller + ",addr=5", "-device", "usb-audio,audiodev=a"])

    def heard(self):
        """What was played, without the silence before and after it."""
        with open(self.wav, "rb") as f:
            data = f.read()[44:]
        data = data[:len(data) // 4 * 4]
        first = next((at for at in range(0, len(data), 4) if data[at:at + 4] != bytes(4)), len(data))
        last = max((at + 4 for at in range(0, len(data), 4) if data[at:at + 4] != bytes(4)), default=first)
        return data[first:last]


class OnUHCI(UHCI):
    def play(self, data):
        """From the frame after the next one on; one descriptor for each."""
        q = self.q
        q.write(SOUND, data)
        count = (len(data) + PACKET - 1) // PACKET
        at = (q.inw(self.BASE + 6) + 2) & 1023
        for n in range(count):
            length = min(PACKET, len(data) - PACKET * n)
            q.write(ISO + 16 * n, struct.pack("<4I", self.head(None) | 2, 1 << 25 | 1 << 23, 0xE1 | 5 << 8 | 1 << 15 |
                                              (length - 1) << 21, SOUND + PACKET * n))
            q.writel(FRAMES + 4 * ((at + n) & 1023), ISO + 16 * n)
        self.step(count + 4)
        done = [q.readl(ISO + 16 * n + 4) for n in range(count)]
        assert all(d & 0xFFFF0000 == 1 << 25 and (d + 1) & 0x7FF == min(PACKET, len(data) - PACKET * n)
                   for n, d in enumerate(done)), [hex(d) for d in done]
        self.link()


class OnOHCI(OHCI):
    def play(self, data):
        q = self.q
        q.write(SOUND, data)
        count = (len(data) + PACKET - 1) // PACKET
        number = (q.readl(BAR + 0x3C) + 2) & 0xFFFF
        itds = [ITDS + 32 * n for n in range((count + 7) // 8)]
        for n, at in enumerate(itds):
            first, packets = SOUND + 8 * PACKET * n, min(8, count - 8 * n)
            last = min(first + packets * PACKET, SOUND + len(data)) - 1
            offsets = [(first + PACKET * p) - (first & ~4095) for p in range(8)]
            q.write(at, struct.pack("<4I8H", ((number + 8 * n) & 0xFFFF) | 7 << 21 | packets - 1 << 24 | 0xF << 28,
                                    first & ~4095, at + 32, last, *[0xE000 | o for o in offsets]))
        q.write(ISO, struct.pack("<4I", 5 | 1 << 7 | 1 << 11 | 1 << 15 | PACKET << 16, itds[-1] + 32, itds[0], 0))
        q.write(FRAMES, struct.pack("<I", ISO) * 32)
        self.step(count + 4)
        assert q.readl(ISO + 8) & ~3 == itds[-1] + 32
        for n, at in enumerate(itds):
            words = struct.unpack("<4I8H", q.read(at, 32))
            assert words[0] >> 28 == 0 and words[4:4 + min(8, count - 8 * n)] == (0,) * min(8, count - 8 * n), words
        q.writel(BAR + 0x0C, 0x7F)
        q.write(FRAMES, struct.pack("<I", 0) * 32)


class OnXHCI:
    def __init__(self, q):
        self.q, self.x = q, XHCI(q)
        self.x.reset_port(1)
        code, self.slot = self.x.address(1, 1, 64)
        assert code == SUCCESS

    def enumerate(self):
        assert self.x.control(self.slot, 0, 9, 1)[0] == SUCCESS

    def control(self, setup, length=0, data=b""):
        kind, code, value, index, size = struct.unpack("<BBHHH", setup)
        code, got = self.x.control(self.slot, kind, code, value, index, size, data)
        assert code == SUCCESS, code
        return got

    def open(self):
        x = self.x
        assert x.configure(self.slot, (0x01, 1, PACKET)) == SUCCESS
        x.q.writel(x.contexts(self.slot)[0] + 64, 3 << 16 | 1)  # every millisecond
        x.event_count = 0

    def step(self, frames):
        self.q.clock_step(1000000 * frames)

    def play(self, data):
        x, q = self.x, self.q
        q.write(SOUND, data)
        at = 0
        ended = []
        while at < len(data) or len(ended) < (len(data) + PACKET - 1) // PACKET:
            for _ in range(16):
                if at < len(data):
                    x.put(self.slot, 2, SOUND + at, min(PACKET, len(data) - at), 5 << 10 | IOC | 1 << 31, False)
                    at += PACKET
            x.set(DOORBELLS + 4 * self.slot, 2)
            q.qmp("query-status")
            for _ in range(16):
                self.step(1)
                while (e := x.event(False)):
                    ended.append(e[2])
        assert [c for c in ended if c != 14] == [SUCCESS] * ((len(data) + PACKET - 1) // PACKET), ended
        assert 14 in ended  # it ran dry


def case(driver, function):
    def run():
        with Machine("qemu-xhci" if driver is OnXHCI else driver.device) as q:
            d = driver(q)
            if driver is OnXHCI:
                d.enumerate()
            function(q, d)
    return run


def start(q, d):
    d.control(request(1, 11, 1, 1))
    if isinstance(d, OnXHCI):
        d.open()


def what_is_sent_is_heard(q, d):
    start(q, d)
    data = sound(48 * 130 + 17)  # the last packet is short
    d.play(data)
    d.step(400)
    got = q.heard()
    assert got == data, (len(got), len(data))
    d.control(request(1, 11, 0, 1))
    d.step(100)
    size = os.path.getsize(q.wav)
    d.step(300)
    assert os.path.getsize(q.wav) == size  # nothing runs
    start(q, d)
    d.step(50)
    d.play(data[:192 * 40])
    d.step(400)
    q.qmp("stop")
    assert q.heard()[-192 * 40:] == data[:192 * 40]


def volume_is_set(q, d):
    def ask(code, selector, channel, size):
        return d.control(request(0xA1, code, selector << 8 | channel, 2 << 8, size), size)
    for channel in (1, 2):
        assert struct.unpack("<hhh", b"".join(ask(c, 2, channel, 2) for c in (GET_MIN, GET_MAX, GET_RES))) == (
            -15360, 0, 256)
        d.control(request(0x21, SET_CUR, 2 << 8 | channel, 2 << 8, 2), 2, struct.pack("<h", -256 * 6 * channel))
        assert struct.unpack("<h", ask(GET_CUR, 2, channel, 2))[0] == -256 * 6 * channel
    assert ask(GET_CUR, 1, 0, 1) == b"\0"
    start(q, d)
    loud = struct.pack("<hh", 16000, 16000) * 48 * 60
    d.play(loud)
    d.step(300)
    left, right = struct.unpack("<hh", q.heard()[4000:4004])
    assert abs(left - 8019) < 30 and abs(right - 4019) < 30, (left, right)
    d.control(request(0x21, SET_CUR, 1 << 8, 2 << 8, 1), 1, b"\1")
    before = len(q.heard())
    d.play(loud)
    d.step(300)
    assert len(q.heard()) == before
    for bad in ((0xA1, GET_CUR, 3 << 8, 2 << 8, 2), (0xA1, GET_MIN, 1 << 8, 2 << 8, 1), (0x21, SET_CUR, 0x203, 0x200, 2),
                (0xA1, GET_CUR, 0x200, 0x300, 2), (0x22, SET_CUR, 1 << 8, 1, 3)):
        kind, code, value, index, size = bad
        assert d.x.control(d.slot, kind, code, value, index, size, bytes(size))[0] == STALL, bad
        d.x.recover(d.slot, 1)


def descriptors_are_those_of_the_class(q, d):
    got = d.control(request(0x80, 6, 0x200, 0, 255), 255)
    parts, at = [], 0
    while at < len(got):
        parts.append(got[at:at + got[at]])
        at += got[at]
    header = next(p for p in parts if p[1:3] == b"\x24\1" and len(p) == 9)
    assert struct.unpack("<H", header[5:7])[0] == sum(len(p) for p in parts[2:6])
    endpoint = next(p for p in parts if p[1] == 5)
    assert len(endpoint) == 9 and endpoint[2:7] == struct.pack("<BBHB", 1, 9, PACKET, 1)
    assert sum(len(p) for p in parts) == struct.unpack("<H", got[2:4])[0] == len(got)


def frames_that_are_over_are_given_back(q, d):
    start(q, d)
    at = q.readl(BAR + 0x3C)
    for n, first in enumerate((at - 20, at - 3, at + 1)):
        q.write(ITDS + 32 * n, struct.pack("<4I8H", first & 0xFFFF | 7 << 21 | 0xF << 28, SOUND, ITDS + 32 * n + 32,
                                           SOUND + 191, *[0xE000] * 8))
    q.write(ISO, struct.pack("<4I", 5 | 1 << 7 | 1 << 11 | 1 << 15 | PACKET << 16, ITDS + 96, ITDS, 0))
    q.write(FRAMES, struct.pack("<I", ISO) * 32)
    d.step(3)
    assert [q.readl(ITDS + 32 * n) >> 28 for n in range(3)] == [8, 8, 0] and q.readl(ISO + 8) & ~3 == ITDS + 96


def nonsense_does_no_harm(q, d):
    start(q, d)
    for word in (0xE000, 0xFFFF, 0x1FFF):
        q.write(ITDS, struct.pack("<4I8H", q.readl(BAR + 0x3C) + 1 & 0xFFFF | 7 << 24 | 0xF << 28, 0xF0000000, ITDS + 32,
                                  0xF0001FFF, *[word, 0xE010] * 4))
        for way in (0, 1, 2, 3):
            q.write(ISO, struct.pack("<4I", 5 | 1 << 7 | way << 11 | 1 << 15 | PACKET << 16, ITDS + 32, ITDS, 0))
            q.write(FRAMES, struct.pack("<I", ISO) * 32)
            d.step(12)
    assert not q.readl(BAR + 0x0C) & 0x10
    q.write(FRAMES, struct.pack("<I", 0) * 32)
    d.control(request(1, 11, 0, 1))


def frames_are_waited_for(q, d):
    """A descriptor says in which frame it wants to go; what is late is missed."""
    x = d.x
    start(q, d)
    frame = x.reg(0x1000) >> 3
    for length, when in ((4, frame + 20), (8, frame + 40), (12, frame - 30)):
        x.put(d.slot, 2, SOUND, length, 5 << 10 | IOC | (when & 0x7FF) << 20, False)
    x.set(DOORBELLS + 4 * d.slot, 2)
    q.qmp("query-status")
    times = []
    for n in range(60):
        d.step(1)
        while (e := x.event(False)):
            times.append((n, e[2]))
    assert [code for _, code in times][:3] == [SUCCESS, SUCCESS, 23], times
    assert abs(times[0][0] - 19) <= 2 and abs(times[1][0] - 39) <= 2, times


def each_has_its_millisecond(q, d):
    x = d.x
    start(q, d)
    for n in range(16):
        x.put(d.slot, 2, SOUND, PACKET, 5 << 10 | IOC | 1 << 31, False)
    x.set(DOORBELLS + 4 * d.slot, 2)
    q.qmp("query-status")
    came = 0
    for n in range(16):
        while (e := x.event(False)):
            came += 1
        assert n <= came <= n + 2, (n, came)
        d.step(1)


def without_a_bus_it_is_refused():
    for words in (("usb-audio,audiodev=nope",), ("usb-audio,port=9",)):
        try:
            QTest(["-M", "pc", "-device", "qemu-xhci", "-device", *words]).close()
        except Failed as error:
            assert "audiodev" in str(error) or "port" in str(error), error
        else:
            raise AssertionError("it is taken")


tap = Tap()
for DRIVER in (OnUHCI, OnOHCI, OnXHCI):
    tap.case(DRIVER.__name__[2:] + ": what is sent is heard", case(DRIVER, what_is_sent_is_heard))
tap.case("descriptors are those of the class", case(OnXHCI, descriptors_are_those_of_the_class))
tap.case("volume is set", case(OnXHCI, volume_is_set))
tap.case("OHCI: frames that are over are given back", case(OnOHCI, frames_that_are_over_are_given_back))
tap.case("OHCI: nonsense does no harm", case(OnOHCI, nonsense_does_no_harm))
tap.case("XHCI: frames are waited for", case(OnXHCI, frames_are_waited_for))
tap.case("XHCI: each has its millisecond", case(OnXHCI, each_has_its_millisecond))
tap.case("what is not there is refused", without_a_bus_it_is_refused)
tap.done()
