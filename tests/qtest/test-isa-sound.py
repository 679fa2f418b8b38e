#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ISA sound cards beside the Sound Blaster: Crystal's CS4231A, AdLib's OPL2, Gravis's UltraSound. What they play is found in the file of
-audiodev wav."""
import math
import os
import struct
import subprocess
import tempfile

from ac97 import SECOND, hertz_of, read_wav, tone, without_silence
from i8237 import dma_channel
from qtest import QTest, Tap, program

WSS, SOUND, FM = 0x534, 0x200000, 0x388
CRYSTAL = ["-M", "pc", "-audiodev", "none,id=a", "-device", "cs4231a,audiodev=a"]
ADLIB = ["-M", "pc", "-audiodev", "none,id=a", "-device", "adlib,audiodev=a"]


def pending(q, line):
    """Of the 8259s: the line is up, which they show when it is by level."""
    port = 0xa0 if line > 7 else 0x20
    q.outb(0x4d0 + line // 8, 1 << line % 8)
    q.outb(port, 0x0a)
    return q.inb(port) >> line % 8 & 1


def what_they_take_is_checked():
    for bad in ("cs4231a,irq=16", "cs4231a,dma=4", "cs4231a,iobase=0xfffd", "adlib,iobase=0xfff1",
                "gus,irq=16", "gus,dma=4", "gus,iobase=0xfe01"):
        run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", "-M", "pc", "-audiodev",
                              "none,id=a", "-device", bad + ",audiodev=a"], timeout=60, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        assert run.returncode == 1 and bad.split("=")[0].split(",")[1] in run.stderr, (bad, run.stderr)


def put(q, register, value):
    q.outb(WSS, q.inb(WSS) & 0x60 | register)
    q.outb(WSS + 1, value)


def get(q, register):
    q.outb(WSS, q.inb(WSS) & 0x60 | register)
    return q.inb(WSS + 1)


def change(q, form, interface, count):
    """As drivers do: formats with MCE, then the count, then it goes."""
    q.outb(WSS, 0x40 | 8)
    q.outb(WSS + 1, form)
    q.outb(WSS, 0x40 | 28)
    q.outb(WSS + 1, form)
    q.outb(WSS, 0x40 | 9)
    q.outb(WSS + 1, interface & ~3)
    q.outb(WSS, 0)
    for register in (6, 7):
        put(q, register, 0)
    put(q, 15, count - 1 & 0xff)
    put(q, 14, count - 1 >> 8)
    put(q, 31, count - 1 & 0xff)
    put(q, 30, count - 1 >> 8)
    put(q, 9, interface)


def crystal_says_what_it_is(q):
    assert q.inb(WSS) == 0x40 and q.inb(WSS + 2) & 1 == 0
    q.outb(WSS, 0)
    assert get(q, 12) == 0x8a
    put(q, 12, 0x45)
    assert get(q, 12) == 0xca and get(q, 25) == 0xa0
    put(q, 25, 0)
    put(q, 11, 0xff)
    assert get(q, 25) == 0xa0 and get(q, 11) == 0
    put(q, 18, 0x15)
    assert get(q, 18) == 0x15 and get(q, 2) == 0x88
    put(q, 12, 0)
    assert get(q, 18) == 0x88  # there are sixteen registers now
    put(q, 8, 0x5b)
    assert get(q, 8) == 0  # without MCE a format stays
    q.outb(WSS, 0x48)
    q.outb(WSS + 1, 0x5b)
    assert q.inb(WSS + 1) == 0x5b
    put(q, 9, 0x0c)
    q.outb(WSS, 9)
    q.outb(WSS + 1, 0xff)
    assert q.inb(WSS + 1) == 0x0f


def played(form, data, bits="", count=None):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path + bits, "-device", "cs4231a,audiodev=a"]) as q:
            put(q, 12, 0x40)
            q.write(SOUND, data)
            dma_channel(q, 3, SOUND, len(data))
            change(q, form, 5, count or len(data))
            for _ in range(30):
                q.clock_step(SECOND // 100)
            put(q, 9, 4)
            q.clock_step(SECOND // 10)
        return read_wav(path)


def crystal_plays_words_sample_for_sample():
    frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(2048)]
    for form, fmt in ((0x5b, "<hh"), (0xdb, ">hh")):
        _, channels, got = played(form, b"".join(struct.pack(fmt, *f) for f in frames))
        assert channels == 2 and got[:2048] == frames and got[2048:4096] == frames, hex(form)


def mu_law(value):
    sign, magnitude = (0, value) if value >= 0 else (0x80, -value)
    magnitude = min(magnitude + 132, 32767)
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | magnitude >> segment + 3 & 15) & 0xff


def a_law(value):
    sign, magnitude = (0x80, value) if value >= 0 else (0, -value)
    segment = max(magnitude.bit_length() - 8, 0)
    return (sign | segment << 4 | magnitude >> (segment + 3 if segment else 4) & 15) ^ 0x55


def crystal_plays_bytes_of_each_kind():
    wanted = [v[0] for v in tone(44100, 441, 4400)]
    for form, code in ((0x0b, lambda v: (v >> 8) + 128), (0x2b, mu_law), (0x6b, a_law)):
        _, _, got = played(form, bytes(code(v) for v in wanted))
        for heard, value in zip(got, wanted):
            assert heard[0] == heard[1] and abs(heard[0] - value) <= max(256, abs(value) // 20), (hex(form), value)


def crystal_s_rates_keep_the_pitch():
    for form, rate in ((0x40, 8000), (0x42, 16000), (0x46, 32000), (0x4c, 48000), (0x4e, 9600), (0x41, 5513),
                       (0x47, 22050), (0x49, 37800), (0x4d, 33075)):
        hertz = rate / (rate // 500)
        data = b"".join(struct.pack("<h", v[0]) for v in tone(rate, hertz, rate // 500 * 100))
        _, _, got = played(form, data)
        assert abs(hertz_of([f[0] for f in without_silence(got)][500:-500], 44100) - hertz) < 2, rate


def crystal_counts_and_interrupts(q):
    put(q, 12, 0x40)
    put(q, 10, 2)
    q.write(SOUND, bytes(8192))
    dma_channel(q, 3, SOUND, 8192)
    change(q, 0x5b, 5, 441)  # frames: a hundredth of a second
    seen = 0
    for _ in range(20):
        q.clock_step(SECOND // 100)
        if q.inb(WSS + 2) & 1:
            assert get(q, 24) & 0x10 and pending(q, 9)
            seen += 1
            put(q, 10, 0)
            assert not pending(q, 9)
            put(q, 10, 2)
            q.outb(WSS + 2, 0)
            assert not pending(q, 9) and not q.inb(WSS + 2) & 1 and not get(q, 24) & 0x30
    assert 17 <= seen <= 20, seen
    put(q, 9, 4)
    q.clock_step(SECOND // 10)
    q.outb(WSS + 2, 0)
    q.clock_step(SECOND // 10)
    assert not q.inb(WSS + 2) & 1
    change(q, 0x5b, 5, 441)
    q.outb(WSS, 0x20 | 24)  # an interrupt that waits stops transfers
    q.clock_step(SECOND // 50)
    assert q.inb(WSS + 2) & 1
    q.outb(WSS + 1, 0x6f)  # the register's bit is acknowledged with 0
    q.clock_step(SECOND // 50)
    assert q.inb(WSS + 2) & 1
    q.outb(0x0a, 4 | 3)  # masked: it waits
    q.outb(WSS, 0)
    q.outb(WSS + 2, 0)
    q.clock_step(SECOND // 10)
    assert not q.inb(WSS + 2) & 1


def crystal_records_silence(q):
    put(q, 12, 0x40)
    for form, silence in ((0x5b, b"\0\0"), (0x0b, b"\x80"), (0xdb, b"\0\0"), (0x2b, b"\xff"), (0x6b, b"\x55")):
        q.memset(SOUND, 4096, 0x33)
        dma_channel(q, 3, SOUND, 4096, to_memory=True)
        change(q, form, 6, 100)
        for _ in range(15):
            q.clock_step(SECOND // 100)
        got = q.read(SOUND, 4096)
        if silence in (b"\xff", b"\x55"):  # two codes are next to nothing
            assert set(got) <= {0xff, 0x7f} | {0x55, 0xd5}, (hex(form), set(got))
        else:
            assert got == silence * (4096 // len(silence)), hex(form)
        assert q.inb(WSS + 2) & 1 and get(q, 24) & 0x20
        put(q, 9, 4)
        q.outb(WSS + 2, 0)
    change(q, 0x0b, 2, 100)  # not without a channel of its own
    q.clock_step(SECOND // 10)
    assert not q.inb(WSS + 2) & 1


def fm(q, register, value, port=FM):
    q.outb(port, register)
    q.outb(port + 1, value)


def adlib_s_timers_show_that_it_is_there(q):
    """The way of its manual."""
    for port in (FM, 0x220, 0x228):
        fm(q, 4, 0x60, port)
        fm(q, 4, 0x80, port)
        assert q.inb(port) & 0xe0 == 0
        fm(q, 2, 0xff, port)
        fm(q, 4, 0x21, port)
        q.clock_step(79000)
        assert q.inb(port) & 0xe0 == 0
        q.clock_step(2000)
        assert q.inb(port) & 0xe0 == 0xc0
        fm(q, 4, 0x60, port)
        fm(q, 4, 0x80, port)
        assert q.inb(port) & 0xe0 == 0
    fm(q, 3, 0xf0)
    fm(q, 4, 0x42)
    q.clock_step(16 * 320000 - 1000)
    assert q.inb(FM) & 0xe0 == 0
    q.clock_step(2000)
    assert q.inb(FM) & 0xe0 == 0xa0
    fm(q, 4, 0x62)  # masked; it runs on
    fm(q, 4, 0x80)
    q.clock_step(20 * 320000)
    assert q.inb(FM) & 0xe0 == 0


def sung(registers, then=(), hundredths=30, more=60):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device", "adlib,audiodev=a"]) as q:
            for register, value in registers:
                fm(q, register, value)
            for _ in range(hundredths):
                q.clock_step(SECOND // 100)
            for register, value in then:
                fm(q, register, value)
            for _ in range(more):
                q.clock_step(SECOND // 100)
        return [f[0] for f in without_silence(read_wav(path)[2])]


# A sine of channel 0: the carrier alone, as loud as can be, at once, for as long as the key is down.
CARRIER = [(0x20, 0x21), (0x40, 0x3f), (0x60, 0xf0), (0x80, 0x0f), (0x23, 0x21), (0x43, 0), (0x63, 0xf0), (0x83, 0x0f),
           (0xc0, 0)]


def note(number, block, on=True):
    return [(0xa0, number & 0xff), (0xb0, (0x20 if on else 0) | block << 2 | number >> 8)]


def adlib_sings_at_its_pitch():
    for number, block in ((577, 4), (345, 6), (1023, 3), (580, 0)):
        hertz = number * 49716 / 2 ** (20 - block)
        got = sung(CARRIER + note(number, block), note(number, block, False), more=3)
        assert abs(hertz_of(got[300:12000], 44100) - hertz) < hertz / 500, (number, block, hertz)
        assert 3700 < max(got[1000:12000]) < 4400, max(got)
    for multiple, factor in ((0, 0.5), (3, 3), (11, 10), (15, 15)):
        got = sung(CARRIER + [(0x23, 0x20 | multiple)] + note(577, 3), more=0)
        wanted = factor * 577 * 49716 / 2 ** 17
        assert abs(hertz_of(got[300:12000], 44100) - wanted) < wanted / 500, multiple


def adlib_s_levels_and_envelopes_are_heard():
    def loud(samples):
        return max(samples) if samples else 0
    full = loud(sung(CARRIER + note(577, 4), more=0))
    for level, db in ((8, 6), (32, 24)):
        got = loud(sung(CARRIER + [(0x43, level)] + note(577, 4), more=0))
        assert abs(got / full - 10 ** (-db / 20)) < 0.03, (level, got, full)
    # It falls to the sustain level, 12 dB, and stays; without EG type it falls on.
    got = sung(CARRIER + [(0x63, 0xfa), (0x83, 0x47)] + note(577, 4), more=0)
    assert abs(loud(got[8000:12000]) / full - 10 ** (-12 / 20)) < 0.03, loud(got[8000:12000])
    got = sung(CARRIER + [(0x23, 1), (0x63, 0xfa), (0x83, 0x47)] + note(577, 4), more=0)
    assert loud(got[10000:12000]) < full / 10
    # Rate 7 with the block's 2: 31 takes 39.28 / (2^6 * 7/4) = 0.35 s.
    got = sung(CARRIER + [(0x83, 0x07)] + note(577, 4), note(577, 4, False), 10, 60)
    assert 0.25 < len(got) / 44100 - 0.1 < 0.45, len(got)
    # An attack that takes its time.
    got = sung(CARRIER + [(0x63, 0x60)] + note(577, 4), more=0)
    assert loud(got[:500]) < full / 4 and loud(got[10000:12000]) > full * 0.9, (loud(got[:500]), loud(got[10000:]))


def adlib_s_waves_differ():
    """Half sines, absolute sines, pulses of a quarter: by what is below zero, and how often it rises."""
    low = {}
    for form in range(4):
        got = sung([(1, 0x20), (0xe3, form)] + CARRIER + note(577, 4), more=0)[1000:12000]
        low[form] = sum(v < -300 for v in got) / len(got)
        mean = sum(got) / len(got) / max(got)
        assert abs(mean - (0, 0.318, 0.637, 0.318)[form]) < 0.06, (form, mean)
    assert low[0] > 0.4 and max(low[1], low[2], low[3]) < 0.2, low
    got = sung([(0xe3, 2)] + CARRIER + note(577, 4), more=0)[1000:12000]
    assert sum(v < -300 for v in got) > 4000  # not selected: a sine
    # A modulator makes it richer, the sum of both is twice as loud; feedback changes the first.
    plain = sung(CARRIER + note(577, 4), more=0)
    rich = sung(CARRIER + [(0x40, 0x10)] + note(577, 4), more=0)
    both = sung(CARRIER + [(0x40, 0), (0xc0, 1)] + note(577, 4), more=0)
    back = sung(CARRIER + [(0x40, 0), (0xc0, 0x0f)] + note(577, 4), more=0)

    def turns(samples):
        return sum(a < b >= c for a, b, c in zip(samples, samples[1:], samples[2:]))
    assert turns(rich) > 2 * turns(plain) and 1.8 < max(both) / max(plain) < 2.2 and both != back


def adlib_s_drums_are_heard():
    for bit, at in ((0x10, 0x13), (0x08, 0x14), (0x04, 0x12), (0x02, 0x15), (0x01, 0x11)):
        slots = [r for s in range(0x10, 0x16) for r in ((0x20 + s, 1), (0x40 + s, 0 if s == at else 63), (0x60 + s, 0xf6),
                                                        (0x80 + s, 0x06))]
        keys = [r for c in (6, 7, 8) for r in ((0xa0 + c, 0x57), (0xb0 + c, 0x09))]
        got = sung(slots + keys + [(0xbd, 0x20), (0xbd, 0x20 | bit)], more=0)
        assert max(got) > 2000, (hex(bit), max(got))


def adlib_takes_whatever_comes(q):
    for turn in range(4):
        for register in range(256):
            fm(q, register, (register * 73 + turn * 91) & 0xff)
        q.clock_step(SECOND // 20)
    q.qmp("system_reset")
    assert q.inb(FM) & 0xe0 == 0
    q.clock_step(SECOND // 20)


# ---- UltraSound ----

GUS = ["-M", "pc", "-audiodev", "none,id=a", "-device", "gus,audiodev=a"]
BASE, GF1 = 0x240, 0x340
SINE = bytes(round(100 * math.sin(2 * math.pi * i / 100)) & 0xff for i in range(100))


class Gravis:
    def __init__(self, q, active=14):
        self.q = q
        self.reg(0x4c, 0)
        self.reg(0x4c, 7)
        q.outb(BASE, 8)
        self.reg(0x0e, 0xc0 | active - 1)
        self.rate = round(1e6 / (1.619695497 * active))

    def reg(self, n, value=None, wide=False):
        self.q.outb(GF1 + 3, n)
        if value is None:
            return self.q.inw(GF1 + 4) if wide else self.q.inb(GF1 + 5)
        if wide:
            self.q.outw(GF1 + 4, value)
        else:
            self.q.outb(GF1 + 5, value)
        return None

    def poke(self, at, data):
        for n, byte in enumerate(data):
            self.reg(0x43, at + n & 0xffff, True)
            self.reg(0x44, at + n >> 16)
            self.q.outb(GF1 + 7, byte)

    def address(self, high, at):
        self.reg(high, int(at) >> 7, True)
        self.reg(high + 1, int(at * 512) & 0xffff, True)

    def play(self, voice, at, length, hertz, volume=0xfff0, control=0x08, pan=7, wide=False):
        self.q.outb(GF1 + 2, voice)
        self.address(2, at)
        self.address(4, at + length - 1 / 16)
        self.address(0xa, at)
        self.step = round(hertz * length / self.rate * 512)
        self.reg(1, self.step << 1, True)
        self.reg(0xc, pan)
        self.reg(9, volume, True)
        self.reg(0xd, 3)
        self.reg(0, control | (4 if wide else 0))


def gravis_sings(act, hundredths=30, active=14):
    """Both sides, and the card's rate."""
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device", "gus,audiodev=a"]) as q:
            g = Gravis(q, active)
            g.poke(0x1000, SINE)
            act(g)
            for _ in range(hundredths):
                q.clock_step(SECOND // 100)
        frames = without_silence(read_wav(path)[2])
        return [f[0] for f in frames], [f[1] for f in frames]


def gravis_memory_is_there(q):
    g = Gravis(q)
    for at in (0, 0x3ffff, 0x40000, 0xfffff):
        g.poke(at, bytes((at >> 12 ^ 0x5a,)))
    for at in (0, 0x3ffff, 0x40000, 0xfffff):
        g.reg(0x43, at & 0xffff, True)
        g.reg(0x44, at >> 16)
        assert q.inb(GF1 + 7) == (at >> 12 ^ 0x5a) & 0xff, hex(at)
    q.outb(GF1 + 2, 31)
    for n, value in ((1, 0x1234), (2, 0x1abc), (3, 0xffe0), (4, 0x0123), (5, 0x4560), (9, 0xabc0), (0xa, 7), (0xb, 8)):
        g.reg(n, value, True)
        assert g.reg(0x80 | n, wide=True) == value, n
    for n, value in ((6, 0x41), (7, 0x12), (8, 0xef), (0xc, 9), (0xd, 3), (0, 3)):
        g.reg(n, value)
        assert g.reg(0x80 | n) == value, n
    q.outb(GF1 + 2, 30)
    assert g.reg(0x81, wide=True) == 0 and g.reg(0x80) == 3 and g.reg(0x8c) == 7
    assert g.reg(0x8e) == 0xcd and g.reg(0x4c) == 7 and g.reg(0x8f) == 0xe0 and q.inb(BASE + 6) == 0
    g.reg(0x4c, 0)
    q.outb(GF1 + 2, 31)
    assert g.reg(0x81, wide=True) == 0


def gravis_sings_at_its_pitch():
    for active, hertz in ((14, 440), (20, 1000), (32, 300)):
        left, right = gravis_sings(lambda g, h=hertz: g.play(0, 0x1000, 100, h), active=active)
        assert abs(hertz_of(left[500:12000], 44100) - hertz) < hertz / 100, (active, hertz)
        assert len(left) > 12000 and max(abs(a - b) for a, b in zip(left, right)) < 0.1 * max(left)
    # Words, at addresses of half their number in the second quarter.
    def words(g):
        g.poke(0x40000 + 0x200, b"".join(struct.pack("<h", round(25000 * math.sin(2 * math.pi * i / 50)))
                                         for i in range(50)))
        g.play(3, 0x40000 + 0x100, 50, 500, wide=True)
    left, _ = gravis_sings(words)
    assert abs(hertz_of(left[500:12000], 44100) - 500) < 5


def gravis_volumes_and_places_are_heard():
    full = max(gravis_sings(lambda g: g.play(0, 0x1000, 100, 440, pan=0), 10)[0])
    assert full > 20000, full
    for volume, part in ((0xf000, 256 / 511), (0xeff0, 0.5), (0xcff0, 1 / 8)):
        got = max(gravis_sings(lambda g, v=volume: g.play(0, 0x1000, 100, 440, v, pan=0), 10)[0])
        assert abs(got / full - part) < 0.02, (hex(volume), got / full)
    left, right = gravis_sings(lambda g: g.play(0, 0x1000, 100, 440, pan=15), 10)
    assert max(left) < 10 and max(right) > 20000
    # Two voices are added up; one that stands still is not heard; without the DAC none is.
    def two(g):
        for n in (0, 5):
            g.play(n, 0x1000, 100, 440, 0xdff0, pan=0)
    one = max(gravis_sings(lambda g: g.play(0, 0x1000, 100, 440, 0xdff0, pan=0), 10)[0])
    assert 1.9 < max(gravis_sings(two, 10)[0]) / one < 2.1

    # Up from nothing: 63 in each 8th frame over 4096 takes 520 frames.
    def ramp(g):
        g.play(0, 0x1000, 100, 2000, 0, pan=0)
        for n, value in ((6, 0x7f), (7, 0), (8, 0xff), (0xd, 0)):
            g.reg(n, value)
    got = gravis_sings(ramp, 10)[0]
    assert max(got[-500:]) > 20000 and max(got[:150]) < 5000, (max(got[:150]), max(got[-500:]))


def gravis_loops_turn_and_end(q):
    g = Gravis(q)
    g.poke(0x1000, SINE)
    q.outb(BASE, 8)
    g.play(2, 0x1000, 100, 441, control=0x20)  # once, and it is told
    q.clock_step(SECOND // 10)
    assert g.reg(0x80) & 0xa1 == 0xa1 and q.inb(BASE + 6) == 0x20
    for out, at, value in ((1, BASE, 8), (0, BASE, 0), (1, BASE, 8)):
        q.outb(at, value)
        assert pending(q, 7) == out
    g.reg(0x4c, 3)
    assert not pending(q, 7)
    g.reg(0x4c, 7)
    assert pending(q, 7) and g.reg(0x8a, wide=True) == 0x1063 >> 7
    assert g.reg(0x8f) == 0x62 and q.inb(BASE + 6) == 0 and g.reg(0x8f) == 0xe0
    assert g.reg(0x80) & 0x81 == 1
    g.play(2, 0x1000, 100, 441, control=0x18)  # to and fro
    seen = set()
    for _ in range(60):
        q.clock_step(SECOND // 1000)
        seen.add(g.reg(0x80) & 0x41)
        at = g.reg(0x8a, wide=True) << 7 | g.reg(0x8b, wide=True) >> 9
        assert 0x1000 <= at <= 0x1064, hex(at)
    assert seen == {0, 0x40}, seen
    g.play(2, 0x1000, 100, 441, control=0x20)
    g.reg(0xd, 7)  # roll over: it is told, and goes on
    q.clock_step(SECOND // 10)
    assert not g.reg(0x80) & 1 and q.inb(BASE + 6) == 0x20 and g.reg(0x8a, wide=True) > 0x1064 >> 7
    g.reg(0, 3)
    g.reg(0x8f)
    # A ramp down that is told, and stands at its end.
    for n, value in ((6, 0x3f), (7, 0x10), (8, 0xff)):
        g.reg(n, value)
    g.reg(9, 0xfff0, True)
    g.reg(0xd, 0x60)
    q.clock_step(SECOND // 10)
    assert g.reg(0x8d) & 0x81 == 0x81 and q.inb(BASE + 6) == 0x40 and g.reg(0x89, wide=True) == 0x1000
    assert g.reg(0x8f) == 0xa2 and q.inb(BASE + 6) == 0


def gravis_takes_samples_by_dma(q):
    g = Gravis(q)
    data = bytes(range(256)) * 20
    q.write(SOUND, data)
    for control, change in ((0x21, lambda d: d), (0xa1, lambda d: bytes(b ^ 0x80 for b in d)),
                            (0xe1, lambda d: bytes(b ^ (0x80 if n & 1 else 0) for n, b in enumerate(d)))):
        dma_channel(q, 3, SOUND, len(data))
        q.outb(0x0b, 0x4b)  # once
        g.reg(0x42, 0x20000 >> 4, True)
        g.reg(0x41, control)
        for _ in range(50):
            q.clock_step(1000)
            if q.inb(BASE + 6) & 0x80:
                break
        assert q.inb(BASE + 6) == 0x80 and g.reg(0x41) & 0x41 == 0x40 and g.reg(0x41) & 0x40 == 0
        assert q.inb(BASE + 6) == 0
        got = []
        for n in (0, 1, 255, 4095, 4096, 5119, 5120):
            g.reg(0x43, n, True)
            g.reg(0x44, 2)
            got.append(q.inb(GF1 + 7))
        wanted = change(data)
        assert got == [wanted[n] for n in (0, 1, 255, 4095, 4096, 5119)] + [0], hex(control)
    q.memset(SOUND, len(data), 0)  # and back
    dma_channel(q, 3, SOUND, 512, to_memory=True)
    q.outb(0x0b, 0x47)
    g.reg(0x42, 0x20000 >> 4, True)
    g.reg(0x41, 0x03)
    q.clock_step(1000000)
    assert q.read(SOUND, 512) == wanted[:512] and q.inb(BASE + 6) == 0


def gravis_timers_run(q):
    g = Gravis(q)
    g.reg(0x46, 0xff)
    g.reg(0x47, 0xfe)
    g.reg(0x45, 0x0c)
    q.outb(BASE + 8, 4)
    q.outb(BASE + 9, 3)
    q.clock_step(79000)
    assert q.inb(BASE + 6) == 0 and q.inb(BASE + 8) == 0
    q.clock_step(2000)
    assert q.inb(BASE + 6) == 4 and q.inb(BASE + 8) == 0xc0
    q.clock_step(640000 - 80000)
    assert q.inb(BASE + 6) == 0xc and q.inb(BASE + 8) == 0xe0
    g.reg(0x45, 8)
    assert q.inb(BASE + 6) == 8
    g.reg(0x45, 0)
    q.outb(BASE + 9, 0x80)
    assert q.inb(BASE + 6) == 0 and q.inb(BASE + 8) == 0
    q.outb(BASE + 9, 0x60)
    q.clock_step(SECOND // 100)
    assert q.inb(BASE + 6) == 0 and q.inb(BASE + 8) == 0


def gravis_takes_whatever_comes(q):
    g = Gravis(q, 32)
    for turn in range(8):
        for voice in range(32):
            q.outb(GF1 + 2, voice)
            for n in range(16):
                g.reg(n, (voice * 7919 + n * 104729 + turn * 31337) & 0xffff, True)
        for n in range(0x40, 0x50):
            g.reg(n, (n * 7919 + turn * 31337) & 0xffff | 0x0101 * (n == 0x4c), True)
        q.clock_step(SECOND // 50)
    q.qmp("system_reset")
    assert q.inb(BASE + 6) == 0


tap = Tap()
for case in (what_they_take_is_checked, crystal_plays_words_sample_for_sample, crystal_plays_bytes_of_each_kind,
             crystal_s_rates_keep_the_pitch, adlib_sings_at_its_pitch, adlib_s_levels_and_envelopes_are_heard,
             adlib_s_waves_differ, adlib_s_drums_are_heard, gravis_sings_at_its_pitch,
             gravis_volumes_and_places_are_heard):
    tap.case(case.__name__, case)
for case in (crystal_says_what_it_is, crystal_counts_and_interrupts, crystal_records_silence):
    tap.machine_case(case.__name__, CRYSTAL, case)
for case in (adlib_s_timers_show_that_it_is_there, adlib_takes_whatever_comes):
    tap.machine_case(case.__name__, ADLIB, case)
for case in (gravis_memory_is_there, gravis_loops_turn_and_end, gravis_takes_samples_by_dma, gravis_timers_run,
             gravis_takes_whatever_comes):
    tap.machine_case(case.__name__, GUS, case)
tap.done()
