#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sound cards and the mixing engine: what a card plays is found in the file of -audiodev wav, sample for sample
where nothing is converted, at the right pitch where it is. The clock is stepped by hand."""
import math
import os
import struct
import tempfile
import wave

from ac97 import (CODEC, LIST, MASTER, OUT, SECOND, SOUND, config, hertz_of, lay_buffers, read_wav, set_rate,
                  start_card, tone, without_silence)
from i8237 import dma_channel
from qtest import QTest, Tap

def play(frames, rate, pieces=4, driver="", card=(), steps=200, before=None):
    """What the file holds after the card played the frames."""
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        args = ["-M", "pc", "-audiodev", "wav,id=a,path=%s%s" % (path, driver),
                "-device", "AC97,audiodev=a,addr=4", *card]
        with QTest(args) as q:
            start_card(q)
            set_rate(q, rate)
            if before:
                before(q)
            lay_buffers(q, frames, pieces)
            q.outb(OUT + 0xB, 1)
            for _ in range(steps):
                q.clock_step(SECOND // 100)
            assert q.inw(OUT + 6) & 7 == 7, "status %#x: it has not come to the end" % q.inw(OUT + 6)
        return read_wav(path)


def what_is_played_at_the_host_rate_is_in_the_file_sample_for_sample(_):
    frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(9000)]
    rate, channels, got = play(frames, 48000, driver=",out.frequency=48000")
    assert (rate, channels) == (48000, 2)
    assert got[:len(frames)] == frames, "first difference at %d" % next(
        (i for i, (a, b) in enumerate(zip(got, frames)) if a != b), -1)
    assert not any(any(f) for f in got[len(frames):])


def another_rate_keeps_the_pitch(_):
    for guest in (8000, 22050, 48000):
        _, _, got = play(tone(guest, 1000, guest), guest)
        heard = [f[0] for f in without_silence(got)]
        hertz = hertz_of(heard, 44100)
        assert abs(hertz - 1000) < 1, "%d: %.2f Hz" % (guest, hertz)
        assert abs(len(heard) / 44100 - 1) < 0.01, "%d: %.3f s" % (guest, len(heard) / 44100)
        peak = max(heard)
        assert 19000 < peak < 21000, "%d: %d" % (guest, peak)


def timer_comes_as_often_as_told(_):
    """With each turn of it something more is in the file: counted in steps of a millisecond of guest time."""
    for option, period in (("", 10), (",timer-period=4000", 4), (",timer-period=50000", 50)):
        with tempfile.TemporaryDirectory(prefix="audio-") as folder:
            path = os.path.join(folder, "out.wav")
            with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=%s%s" % (path, option), "-device",
                        "AC97,audiodev=a,addr=4"]) as q:
                start_card(q)
                set_rate(q, 48000)
                lay_buffers(q, tone(48000, 1000, 48000), 4)
                q.outb(OUT + 0xB, 1)
                size, turns = os.path.getsize(path), 0
                for _ in range(400):
                    q.clock_step(SECOND // 1000)
                    now = os.path.getsize(path)
                    turns += now != size
                    size = now
            assert 0.9 * 400 / period - 1 <= turns <= 400 / period + 1, (option, turns)


def mono_comes_out(_):
    rate, channels, got = play(tone(48000, 500, 4800), 48000, driver=",out.frequency=48000,out.channels=1")
    assert (rate, channels) == (48000, 1)
    assert [f[0] for f in got[:4800]] == [f[0] for f in tone(48000, 500, 4800)]


def guest_format_is_the_file_s_without_fixed_settings(_):
    frames = tone(48000, 700, 4800)
    rate, channels, got = play(frames, 48000, driver=",out.mixing-engine=off,out.fixed-settings=off")
    assert (rate, channels) == (48000, 2)
    assert got[:4800] == frames


def each_sample_format_comes_out(_):
    """Those that a file has; the tone is the same in each."""
    for name, width, scale in (("u8", 1, 256), ("s16", 2, 1), ("s32", 4, 1 / 65536)):
        with tempfile.TemporaryDirectory(prefix="audio-") as folder:
            path = os.path.join(folder, "out.wav")
            with QTest(["-M", "pc", "-audiodev", "wav,id=a,out.frequency=48000,out.format=%s,path=%s" % (name, path),
                        "-device", "AC97,audiodev=a,addr=4"]) as q:
                start_card(q)
                lay_buffers(q, tone(48000, 1000, 4800), 2)
                q.outb(OUT + 0xB, 1)
                for _ in range(20):
                    q.clock_step(SECOND // 100)
            with wave.open(path) as f:
                assert (f.getsampwidth(), f.getframerate()) == (width, 48000), name
                data = f.readframes(4800)
        got = [v - 128 for v in data] if width == 1 else struct.unpack("<9600h" if width == 2 else "<9600i", data)
        for heard, meant in zip(got[::2], tone(48000, 1000, 4800)):
            assert abs(heard * scale - meant[0]) <= max(1, scale), (name, heard, meant)


def another_rate_keeps_what_was_recorded(_):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,out.frequency=48000,path=" + path, "-device",
                    "AC97,audiodev=a,addr=4"]) as q:
            start_card(q)
            for rate in (48000, 24000):
                set_rate(q, rate)
                lay_buffers(q, [(rate // 10, rate // 10)] * 4800, 2)
                q.outb(OUT + 0xB, 1)
                for _ in range(40):
                    q.clock_step(SECOND // 100)
                assert q.inw(OUT + 6) & 7 == 7
                q.outb(OUT + 0xB, 0)
                q.outb(OUT + 0xB, 2)
        got = [f[0] for f in read_wav(path)[2]]
        assert got.count(4800) == 4800 and abs(sum(abs(v - 2400) < 50 for v in got) - 9600) < 200, len(got)


def volume_and_mute_are_heard(_):
    frames = [(16000, 16000)] * 4800

    def quieter(q):
        q.outw(CODEC + 0x02, 0x0400)  # left: 4 steps of 1.5 dB

    _, _, got = play(frames, 48000, driver=",out.frequency=48000", before=quieter)
    assert abs(got[100][0] - 16000 * 10 ** (-6 / 20)) < 2 and got[100][1] == 16000, got[100]
    _, _, got = play(frames, 48000, driver=",out.frequency=48000",
                     before=lambda q: q.outw(CODEC + 0x02, 0x8000))
    assert not any(any(f) for f in got)


def two_cards_are_mixed(_):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,out.frequency=48000,path=" + path,
                    "-device", "AC97,audiodev=a,addr=4", "-device", "AC97,audiodev=a,addr=5"]) as q:
            start_card(q)
            lay_buffers(q, [(1000, -2000)] * 4800, 2)
            config(q, 5 << 3, 0x10, 0xC400)
            config(q, 5 << 3, 0x14, 0xC500)
            config(q, 5 << 3, 4, 5, 2)
            q.outl(0xC500 + 0x2C, 2)
            q.outw(0xC402, 0)
            q.outw(0xC418, 0x0808)
            q.outl(0xC510, LIST)
            q.outb(0xC515, 1)
            q.outb(OUT + 0xB, 1)
            q.outb(0xC510 + 0xB, 1)
            for _ in range(30):
                q.clock_step(SECOND // 100)
        _, _, got = read_wav(path)
        assert (2000, -4000) in got, sorted(set(got))[:8]


def the_card_plays_at_the_pace_of_guest_time(q):
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, [(1, 1)] * 32000, 1)
    q.outb(OUT + 0xB, 1)
    left = []
    for _ in range(30):
        q.clock_step(SECOND // 50)
        left.append(q.inw(OUT + 8))
    gone = 64000 - left[-1]
    assert abs(gone - 2 * 48000 * 0.6) < 2 * 48000 * 0.02, gone
    assert left == sorted(left, reverse=True)


def each_buffer_and_the_last_interrupt(q):
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, [(5, 5)] * 4000, 4, interrupt=True)
    q.outb(OUT + 0xB, 0x15)
    status, seen = 0, []
    for _ in range(20):
        q.clock_step(SECOND // 100)
        status = q.inw(OUT + 6)
        if status & 0xC:
            seen.append(status)
            assert q.inl(MASTER + 0x30) & 0x40
            q.outw(OUT + 6, 0x1C)
            assert not q.inl(MASTER + 0x30) & 0x40
    assert len(seen) == 4, seen
    assert seen[-1] & 4 and not any(s & 4 for s in seen[:-1]), seen
    # More buffers: it goes on by itself.
    lay_buffers(q, [(5, 5)] * 4000, 4)
    q.outb(OUT + 5, 3)
    assert q.inb(OUT + 4) == 3


def more_buffers_after_the_end_go_on(q):
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, [(5, 5)] * 4000, 8)
    q.outb(OUT + 5, 3)
    q.outb(OUT + 0xB, 1)
    for _ in range(20):
        q.clock_step(SECOND // 100)
    assert q.inw(OUT + 6) & 3 == 3 and q.inb(OUT + 4) == 3
    q.outb(OUT + 5, 7)
    assert not q.inw(OUT + 6) & 3 and q.inb(OUT + 4) == 4
    for _ in range(20):
        q.clock_step(SECOND // 100)
    assert q.inw(OUT + 6) & 3 == 3 and q.inb(OUT + 4) == 7


def the_position_is_that_of_now(q):
    """Drivers measure a card's clock by it; voices move in steps of 10 ms else."""
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, [(1, 1)] * 32000, 1)
    first = q.inw(OUT + 8)
    q.outb(OUT + 0xB, 1)
    before = 0
    for ms in range(1, 30):
        q.clock_step(SECOND // 1000)
        gone = (first or 64000) - q.inw(OUT + 8)
        assert gone > before, ms
        before = gone
    # What a resampler takes ahead is played later.
    assert abs(gone - 29 * 96) < 500, gone


def what_is_recorded_from_nothing_is_silence_at_its_rate(q):
    start_card(q)
    q.write(SOUND, b"\x55" * 8192)
    q.write(LIST, struct.pack("<II", SOUND, 4096))
    q.outl(MASTER, LIST)
    q.outb(MASTER + 0xB, 1)
    for _ in range(10):
        q.clock_step(SECOND // 100)
    assert q.inw(MASTER + 6) & 3 == 3
    assert q.read(SOUND, 8192) == b"\0" * 8192


def lists_that_make_no_sense_end(q):
    start_card(q)
    for entry in ((0xFFFFFFF0, 0xFFFF), (0, 0), (0xC0000000, 1), (0xFEE00000, 0x8000FFFE)):
        for n in range(32):
            q.write(LIST + 8 * n, struct.pack("<II", *entry))
        q.outl(OUT, LIST)
        q.outb(OUT + 5, 31)
        q.outb(OUT + 0xB, 1)
        for _ in range(5):
            q.clock_step(SECOND // 100)
        q.outb(OUT + 0xB, 0)
        q.outb(OUT + 0xB, 2)
        assert q.inw(OUT + 6) == 1 and q.inb(OUT + 4) == 0
    q.outl(OUT, 0xFFFFFFF8)
    q.outb(OUT + 5, 31)
    q.outb(OUT + 0xB, 1)
    q.clock_step(SECOND // 100)


def codec_keeps_what_it_has_and_no_more(q):
    start_card(q)
    q.outw(CODEC + 0x02, 0xFFFF)
    assert q.inw(CODEC + 0x02) == 0x9F1F
    q.outw(CODEC + 0x7C, 0)
    assert (q.inw(CODEC + 0x7C), q.inw(CODEC + 0x7E)) == (0x8384, 0x7600)
    q.outw(CODEC + 0x2C, 8000)
    assert q.inw(CODEC + 0x2C) == 48000, "variable rates are off"
    q.outw(CODEC + 0x2A, 1)
    for wanted, had in ((8000, 8000), (100, 8000), (44100, 44100), (65535, 48000)):
        q.outw(CODEC + 0x2C, wanted)
        assert q.inw(CODEC + 0x2C) == had
    q.outw(CODEC, 0)
    assert q.inw(CODEC + 0x02) == 0x8000 and q.inw(CODEC + 0x2C) == 48000


def query_audiodevs_tells(q):
    got = q.qmp("query-audiodevs")
    assert [d["id"] for d in got] == ["a"] and got[0]["driver"] == "none", got
    assert got[0]["out"] == {"mixing-engine": True, "fixed-settings": True, "frequency": 8000, "channels": 1,
                             "format": "u8", "voices": 1}, got


# ---- HD Audio ----

HDA, STREAM = 0xE0000000, 0xE0000100  # its BAR; the first output stream


class Codec:
    """Immediate commands to the codec at address 0."""

    def __init__(self, q, devfn=6 << 3):
        self.q = q
        config(q, devfn, 0x10, HDA)
        config(q, devfn, 4, 6, 2)
        q.writel(HDA + 8, 1)
        assert q.readl(HDA + 8) & 1
        assert q.readw(HDA + 0xE) == 1, "no codec announced itself"

    def __call__(self, node, verb, payload=0):
        word = node << 20 | (verb << 8 | payload if verb > 0xF else verb << 16 | payload)
        self.q.writel(HDA + 0x60, word)
        self.q.writew(HDA + 0x68, 1)
        assert self.q.readw(HDA + 0x68) & 3 == 2, "no response"
        self.q.writew(HDA + 0x68, 2)
        return self.q.readl(HDA + 0x64)


def play_hda(q, codec, frames, word=0x11, loops=1, seconds=0.5):
    data = b"".join(struct.pack("<hh", *f) for f in frames)
    half = len(data) // 8 * 4
    q.write(SOUND, data)
    q.write(LIST, struct.pack("<QIIQII", SOUND, half, 1, SOUND + half, len(data) - half, 1))
    codec(2, 0x2, word)        # the converter's format
    codec(2, 0x706, 0x10)      # stream 1
    codec(3, 0x707, 0x40)      # the pin is an output
    q.writel(STREAM + 0x08, len(data))
    q.writew(STREAM + 0x0C, 1)
    q.writew(STREAM + 0x12, word)
    q.writel(STREAM + 0x18, LIST)
    q.writel(STREAM, 0x100006)  # stream 1, run, interrupt on completion
    for _ in range(int(100 * seconds)):
        q.clock_step(SECOND // 100)


def hda_plays_sample_for_sample(_):
    frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(4096)]
    for controller, codec in (("intel-hda", "hda-duplex"), ("ich9-intel-hda", "hda-output"),
                              ("intel-hda", "hda-micro")):
        with tempfile.TemporaryDirectory(prefix="audio-") as folder:
            path = os.path.join(folder, "out.wav")
            with QTest(["-M", "pc", "-audiodev", "wav,id=a,out.frequency=48000,path=" + path, "-device",
                        controller + ",addr=6", "-device", codec + ",audiodev=a"]) as q:
                play_hda(q, Codec(q), frames)
            rate, channels, got = read_wav(path)
            assert (rate, channels) == (48000, 2)
            assert got[:4096] == frames and got[4096:8192] == frames, "it does not go round"


def hda_s_rates_keep_the_pitch(_):
    for word, rate in ((0x4011, 44100), (0x0511, 8000), (0x0A11, 32000), (0x0811, 96000)):
        with tempfile.TemporaryDirectory(prefix="audio-") as folder:
            path = os.path.join(folder, "out.wav")
            with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device", "intel-hda,addr=6",
                        "-device", "hda-output,audiodev=a"]) as q:
                play_hda(q, Codec(q), tone(rate, 1000, rate // 100 * 40), word)
            got = [f[0] for f in without_silence(read_wav(path)[2])]
            hertz = hertz_of(got, 44100)
            assert abs(hertz - 1000) < 1, "%#x: %.2f" % (word, hertz)


def hda_codec_says_what_it_is(q):
    c = Codec(q)
    assert c(0, 0xF00, 0) == 0x1AF40022
    assert c(0, 0xF00, 4) == 0x00010001, "one function group"
    assert c(1, 0xF00, 5) == 1
    assert c(1, 0xF00, 4) == 0x00020004, "four widgets"
    assert [c(n, 0xF00, 9) >> 20 for n in (2, 3, 4, 5)] == [0, 4, 1, 4]
    assert c(3, 0xF02) == 2 and c(4, 0xF02) == 5
    assert c(2, 0xF00, 0x12) & 0x7F00 == 74 << 8
    c(2, 0x3, 0xB000 | 30)
    assert c(2, 0xB, 0xA000) == 30 and c(2, 0xB, 0x8000) == 30
    c(2, 0x3, 0x9000 | 0x80 | 100)
    assert c(2, 0xB, 0x8000) == 0x80 | 74, "more steps than there are"
    assert c(9, 0xF00, 9) == 0, "no such node"
    c(1, 0x7FF)
    assert c(2, 0xB, 0x8000) == 74


def hda_rings_answer_and_interrupt(q):
    Codec(q)
    q.writel(HDA + 0x40, LIST)
    q.writel(HDA + 0x50, LIST + 0x1000)
    q.writew(HDA + 0x4A, 0x8000)
    assert q.readw(HDA + 0x4A) & 0x8000
    q.writew(HDA + 0x4A, 0)
    assert q.readw(HDA + 0x4A) == 0
    q.writew(HDA + 0x58, 0x8000)
    q.writew(HDA + 0x5A, 2)
    q.writeb(HDA + 0x5C, 3)
    q.writel(HDA + 0x20, 0xC0000000)
    q.write(LIST + 4, struct.pack("<II", 0x000F0000, 0x000F0004))
    q.writeb(HDA + 0x4C, 2)
    q.writew(HDA + 0x48, 1)
    assert q.readw(HDA + 0x58) == 1 and not q.readb(HDA + 0x5D)
    q.writew(HDA + 0x48, 2)
    assert q.readw(HDA + 0x58) == 2 and q.readb(HDA + 0x5D) == 1
    assert q.readl(HDA + 0x24) == 0xC0000000
    assert struct.unpack("<IIII", q.read(LIST + 0x1008, 16)) == (0x1AF40022, 0, 0x00010001, 0)
    q.writeb(HDA + 0x5D, 1)
    assert not q.readl(HDA + 0x24)
    # A write pointer beyond the ring is taken modulo its size, and the ring is gone round once at most.
    q.writew(HDA + 0x48, 0xFFFF)
    assert q.readw(HDA + 0x4A) == 0xFF


def hda_position_and_clock_advance(q):
    c = Codec(q)
    q.writel(HDA + 0x70, (LIST + 0x2000) | 1)
    before = q.readl(HDA + 0x30)
    play_hda(q, c, tone(48000, 1000, 48000), seconds=0.25)
    assert abs(q.readl(HDA + 0x30) - before - 6000000) < 24000
    at = q.readl(STREAM + 4)
    assert abs(at - 48000) < 2500, at
    assert q.readl(HDA + 0x2000 + 0x104) == at, "the alias"
    assert struct.unpack("<I", q.read(LIST + 0x2000 + 8 * 4, 4))[0] == at
    q.writel(STREAM, 0x100000)
    q.clock_step(SECOND // 10)
    assert q.readl(STREAM + 4) == at
    q.writel(STREAM, 1)
    assert q.readl(STREAM) & 1 and q.readl(STREAM + 4) == 0


def hda_lists_that_make_no_sense_end(q):
    c = Codec(q)
    for entry in ((0xFFFFFFFFFFFFFFF0, 0xFFFFFFFF, 1), (HDA, 0x1000, 1), (SOUND, 0, 1), (0, 1, 1)):
        for n in range(256):
            q.write(LIST + 16 * n, struct.pack("<QII", *entry))
        c(2, 0x706, 0x10)
        q.writel(STREAM + 8, 0xFFFFFFFF)
        q.writew(STREAM + 0xC, 255)
        q.writel(STREAM + 0x18, LIST)
        q.writel(STREAM, 0x10001E)
        for _ in range(3):
            q.clock_step(SECOND // 50)
        q.writel(STREAM, 0)
        q.writel(STREAM, 1)
        q.writel(STREAM, 0)
    q.writel(STREAM + 0x18, 0xFFFFFF80)
    q.writel(STREAM + 0x1C, 0xFFFFFFFF)
    q.writel(STREAM, 0x10001E)
    q.clock_step(SECOND // 50)
    assert q.readb(STREAM + 3) & 0x10, "no descriptor error"
    assert c(0, 0xF00, 0) == 0x1AF40022


# ---- ES1370 ----

ES = 0xC200


def start_es1370(q, rate=None):
    config(q, 7 << 3, 0x10, ES)
    config(q, 7 << 3, 4, 5, 2)
    if rate:
        q.outl(ES, (1411200 // rate - 2) << 16 | 2)


def play_es1370(q, frames, which=1, control=0x22, serial=0xC):
    """which 1: DAC2 in stereo of 16 bits, with an interrupt at the end of the buffer."""
    q.write(SOUND, b"".join(struct.pack("<hh", *f) for f in frames))
    q.outl(ES + 0xC, 0xC)
    q.outl(ES + 0x30 + 8 * which, SOUND)
    q.outl(ES + 0x34 + 8 * which, len(frames) - 1)
    q.outl(ES + 0x24 + 4 * which, len(frames) - 1)
    q.outl(ES + 0x20, serial | 0x100 << which)
    q.outl(ES, q.inl(ES) | control)


def es1370_plays_sample_for_sample(_):
    frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(4096)]
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,out.frequency=44100,path=" + path, "-device",
                    "ES1370,audiodev=a,addr=7"]) as q:
            start_es1370(q, 44100)
            play_es1370(q, frames)
            for _ in range(30):
                q.clock_step(SECOND // 100)
            assert q.inl(ES + 4) == 0x80000002, "%#x" % q.inl(ES + 4)
            q.outl(ES + 0x20, 0xC)
            assert q.inl(ES + 4) == 0
        rate, channels, got = read_wav(path)
        assert (rate, channels) == (44100, 2)
        assert got[:4096] == frames and got[4096:8192] == frames, "it does not go round"


def es1370_stops_and_pauses(q):
    start_es1370(q, 44100)
    play_es1370(q, [(1, 1)] * 1000, serial=0xC | 0x4000)  # DAC2 stops after the count
    for _ in range(10):
        q.clock_step(SECOND // 100)
    assert q.inl(ES + 4) == 0x80000002
    frame = q.inl(ES + 0x3C) >> 16
    q.clock_step(SECOND // 10)
    assert q.inl(ES + 0x3C) >> 16 == frame
    q.outl(ES, q.inl(ES) & ~0x20)
    play_es1370(q, [(1, 1)] * 40000, serial=0xC | 0x1000)  # paused
    q.clock_step(SECOND // 10)
    assert q.inl(ES + 0x28) >> 16 == 39999
    q.outl(ES + 0x20, 0xC)
    for _ in range(10):
        q.clock_step(SECOND // 100)
    gone = 39999 - (q.inl(ES + 0x28) >> 16)
    assert abs(gone - 4410) < 500, gone


def es1370_s_first_dac_has_four_rates(_):
    for n, rate in enumerate((5512, 11025, 22050, 44100)):
        with tempfile.TemporaryDirectory(prefix="audio-") as folder:
            path = os.path.join(folder, "out.wav")
            with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device",
                        "ES1370,audiodev=a,addr=7"]) as q:
                start_es1370(q)
                play_es1370(q, tone(rate, 500, rate // 5), which=0, control=0x42 | n << 12, serial=3)
                for _ in range(30):
                    q.clock_step(SECOND // 100)
            got = [f[0] for f in without_silence(read_wav(path)[2])]
            hertz = hertz_of(got[200:6000], 44100)
            assert abs(hertz - 500) < 1, "%d: %.2f" % (rate, hertz)


# ---- Sound Blaster 16 ----

SB = 0x220


def dsp(q, *data):
    for byte in data:
        assert not q.inb(SB + 0xC) & 0x80
        q.outb(SB + 0xC, byte)


def dsp_read(q):
    assert q.inb(SB + 0xE) & 0x80, "nothing to be read"
    return q.inb(SB + 0xA)


def start_sb16(q):
    q.outb(SB + 6, 1)
    q.outb(SB + 6, 0)
    assert dsp_read(q) == 0xAA


def sb16_says_what_it_is(q):
    start_sb16(q)
    dsp(q, 0xE1)
    assert (dsp_read(q), dsp_read(q)) == (4, 5)
    dsp(q, 0xE0, 0x5A)
    assert dsp_read(q) == 0xA5
    dsp(q, 0xE4, 0x77, 0xE8)
    assert dsp_read(q) == 0x77
    dsp(q, 0xE3)
    assert bytes(dsp_read(q) for _ in range(9)) == b"COPYRIGHT"
    q.outb(SB + 4, 0x80)
    assert q.inb(SB + 5) == 2
    q.outb(SB + 4, 0x81)
    assert q.inb(SB + 5) == 0x22
    dsp(q, 0xF2)
    q.outb(SB + 4, 0x82)
    assert q.inb(SB + 5) == 1
    q.inb(SB + 0xE)
    assert q.inb(SB + 5) == 0


def sb16_plays_words_sample_for_sample(_):
    frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(2048)]
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device", "sb16,audiodev=a"]) as q:
            start_sb16(q)
            q.write(SOUND, b"".join(struct.pack("<hh", *f) for f in frames))
            dma_channel(q, 5, SOUND, 4096)
            dsp(q, 0x41, 44100 >> 8, 44100 & 0xFF, 0xB6, 0x30, 4095 & 0xFF, 4095 >> 8)
            interrupts = 0
            for _ in range(30):
                q.clock_step(SECOND // 100)
                q.outb(SB + 4, 0x82)
                if q.inb(SB + 5) & 2:
                    interrupts += 1
                    q.inb(SB + 0xF)
            assert 4 <= interrupts <= 7, interrupts
        rate, channels, got = read_wav(path)
        assert (rate, channels) == (44100, 2)
        assert got[:2048] == frames and got[2048:4096] == frames


def sb16_plays_bytes_of_the_old_commands(_):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=" + path, "-device", "sb16,audiodev=a"]) as q:
            start_sb16(q)
            wave_ = bytes(128 + round(100 * math.sin(2 * math.pi * i * 500 / 10000))
                          for i in range(2000))
            q.write(SOUND, wave_)
            dma_channel(q, 1, SOUND, 2000)
            dsp(q, 0xD1, 0x40, 156, 0x48, 1999 & 0xFF, 1999 >> 8, 0x1C)  # 1000000 / (256 - 156) = 10 kHz
            for _ in range(50):
                q.clock_step(SECOND // 100)
            dsp(q, 0xD0)
            q.clock_step(SECOND // 10)
        got = [f[0] for f in without_silence(read_wav(path)[2])]
        hertz = hertz_of(got, 44100)
        assert abs(hertz - 500) < 1, hertz


def sb16_stops_and_waits(q):
    start_sb16(q)
    dma_channel(q, 5, SOUND, 4096)
    dsp(q, 0x41, 44100 >> 8, 44100 & 0xFF, 0xB0, 0x10, 999 & 0xFF, 999 >> 8)  # once
    for _ in range(10):
        q.clock_step(SECOND // 100)
    q.outb(SB + 4, 0x82)
    assert q.inb(SB + 5) == 2
    q.inb(SB + 0xF)
    q.clock_step(SECOND // 10)
    assert q.inb(SB + 5) == 0, "it went on"
    dsp(q, 0xB6, 0x10, 999 & 0xFF, 999 >> 8)
    q.clock_step(SECOND // 10)
    dsp(q, 0xB6, 0x30, 0, 0)  # pairs of samples in a block of one: it ends, and so do we
    for _ in range(3):
        q.clock_step(SECOND // 100)
    q.inb(SB + 0xF)
    dsp(q, 0xB6, 0x10, 999 & 0xFF, 999 >> 8)
    dsp(q, 0xD9)  # after this block
    for _ in range(10):
        q.clock_step(SECOND // 100)
    q.inb(SB + 0xF)
    q.clock_step(SECOND // 10)
    assert q.inb(SB + 5) == 0
    q.outb(0xD4, 4 | 1)  # masked: it waits, for ever
    dsp(q, 0xB6, 0x10, 999 & 0xFF, 999 >> 8)
    q.clock_step(SECOND)
    assert q.inb(SB + 5) == 0
    for byte in range(256):  # whatever comes
        dsp(q, byte, 0xFF, 0xFF, 0xFF)
    q.clock_step(SECOND)
    start_sb16(q)


# ---- the speaker ----

def speaker_is_heard_at_its_pitch(_):
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc,pcspk-audiodev=a", "-audiodev", "wav,id=a,path=" + path]) as q:
            q.outb(0x43, 0xB6)
            q.outb(0x42, 1193 & 0xFF)
            q.outb(0x42, 1193 >> 8)  # 1000 Hz
            q.clock_step(SECOND // 10)
            q.outb(0x61, q.inb(0x61) | 3)
            for _ in range(50):
                q.clock_step(SECOND // 100)
            q.outb(0x61, q.inb(0x61) & ~3)
            q.clock_step(SECOND // 10)
        got = [f[0] for f in read_wav(path)[2]]
        assert abs(len(got) / 44100 - 0.5) < 0.03, len(got)
        hertz = hertz_of(got, 44100)
        assert abs(hertz - 1193182 / 1193) < 1, hertz


def es1370_keeps_to_its_buffer_when_a_format_is_not_had(q):
    """Without mixing the host's silence has no unsigned bytes: such a channel stands still."""
    config(q, 7 << 3, 0x10, ES)
    config(q, 7 << 3, 4, 5, 2)
    q.outl(ES + 0xC, 0xD)
    q.outl(ES + 0x30, SOUND)
    q.outl(ES + 0x34, 0xFFFF)
    q.outl(ES + 0x2C, 0xFFFF)
    for serial in (0x30, 0x00, 0x20, 0x10):  # 16 bits in stereo, 8 bits in mono, ...
        q.outl(ES + 0x20, serial)
        q.outl(ES, 2 << 16 | 0x12)
        for _ in range(20):
            q.clock_step(SECOND // 100)
        q.outl(ES, 2)
    assert q.inl(ES + 0x20) == 0x10


tap = Tap()
for case in (what_is_played_at_the_host_rate_is_in_the_file_sample_for_sample, another_rate_keeps_the_pitch,
             mono_comes_out, each_sample_format_comes_out, another_rate_keeps_what_was_recorded,
             guest_format_is_the_file_s_without_fixed_settings,
             volume_and_mute_are_heard, timer_comes_as_often_as_told, two_cards_are_mixed, hda_plays_sample_for_sample, hda_s_rates_keep_the_pitch,
             es1370_plays_sample_for_sample, es1370_s_first_dac_has_four_rates, sb16_plays_words_sample_for_sample,
             sb16_plays_bytes_of_the_old_commands, speaker_is_heard_at_its_pitch):
    tap.case(case.__name__, lambda c=case: c(None))
CARD = ["-M", "pc", "-audiodev", "none,id=a", "-device", "AC97,audiodev=a,addr=4"]
for case in (the_card_plays_at_the_pace_of_guest_time, the_position_is_that_of_now, each_buffer_and_the_last_interrupt,
             more_buffers_after_the_end_go_on, what_is_recorded_from_nothing_is_silence_at_its_rate,
             lists_that_make_no_sense_end, codec_keeps_what_it_has_and_no_more):
    tap.machine_case(case.__name__, CARD, case)
for case in (hda_codec_says_what_it_is, hda_rings_answer_and_interrupt, hda_position_and_clock_advance,
             hda_lists_that_make_no_sense_end):
    tap.machine_case(case.__name__, ["-M", "pc", "-audiodev", "none,id=a", "-device", "intel-hda,addr=6", "-device",
                                     "hda-duplex,audiodev=a"], case)
for case in (sb16_says_what_it_is, sb16_stops_and_waits):
    tap.machine_case(case.__name__, ["-M", "pc", "-audiodev", "none,id=a", "-device", "sb16,audiodev=a"], case)
tap.machine_case("es1370_stops_and_pauses", ["-M", "pc", "-audiodev", "none,id=a", "-device",
                                             "ES1370,audiodev=a,addr=7"], es1370_stops_and_pauses)
tap.machine_case("es1370_keeps_to_its_buffer_when_a_format_is_not_had",
                 ["-M", "pc", "-audiodev", "none,id=a,in.mixing-engine=off,in.fixed-settings=off", "-device",
                  "ES1370,audiodev=a,addr=7"], es1370_keeps_to_its_buffer_when_a_format_is_not_had)
tap.machine_case("query_audiodevs_tells", ["-M", "pc", "-audiodev",
                                           '{"driver":"none","id":"a","out":{"frequency":8000,"channels":1,'
                                           '"format":"u8"}}'], query_audiodevs_tells)
tap.done()
