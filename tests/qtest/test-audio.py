#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sound cards and the mixing engine: what a card plays is found in the file of -audiodev wav, sample for sample
where nothing is converted, at the right pitch where it is. The clock is stepped by hand."""
import math
import os
import struct
import tempfile
import wave

from qtest import QTest, Tap

SECOND = 1000000000
CODEC, MASTER = 0xC000, 0xC100  # where the BARs are put
LIST, SOUND = 0x100000, 0x200000
OUT = MASTER + 0x10


def config(q, devfn, offset, value, size=4):
    q.outl(0xCF8, 0x80000000 | devfn << 8 | offset & ~3)
    (q.outl if size == 4 else q.outw)(0xCFC + (offset & 3), value)


def start_card(q):
    config(q, 4 << 3, 0x10, CODEC)
    config(q, 4 << 3, 0x14, MASTER)
    config(q, 4 << 3, 4, 5, 2)
    q.outl(MASTER + 0x2C, 2)
    assert q.inl(MASTER + 0x30) & 0x100, "the codec is not ready"
    q.outw(CODEC + 0x02, 0)       # master: 0 dB
    q.outw(CODEC + 0x18, 0x0808)  # PCM: 0 dB


def set_rate(q, rate):
    q.outw(CODEC + 0x2A, 1)
    q.outw(CODEC + 0x2C, rate)
    assert q.inw(CODEC + 0x2C) == rate


def lay_buffers(q, frames, pieces, interrupt=False):
    """The frames (pairs of 16-bit numbers) in so many buffers; the number of the last one."""
    each = (len(frames) + pieces - 1) // pieces
    at = SOUND
    for n in range(pieces):
        part = frames[n * each:(n + 1) * each]
        data = b"".join(struct.pack("<hh", *f) for f in part)
        if data:
            q.write(at, data)
        q.write(LIST + 8 * n, struct.pack("<II", at, 2 * len(part) | (1 << 31 if interrupt else 0)))
        at += len(data)
    q.outl(OUT, LIST)
    q.outb(OUT + 5, pieces - 1)


def read_wav(path):
    with wave.open(path) as f:
        assert f.getsampwidth() == 2
        data = f.readframes(f.getnframes())
        return f.getframerate(), f.getnchannels(), list(struct.iter_unpack("<%dh" % f.getnchannels(), data))


def tone(rate, hertz, frames, loud=20000):
    return [(round(loud * math.sin(2 * math.pi * hertz * i / rate)),) * 2 for i in range(frames)]


def hertz_of(samples, rate):
    """By its rising zero crossings, to a fraction of a sample."""
    at = [i + samples[i] / (samples[i] - samples[i + 1])
          for i in range(len(samples) - 1) if samples[i] < 0 <= samples[i + 1] and samples[i] != samples[i + 1]]
    return rate * (len(at) - 1) / (at[-1] - at[0])


def without_silence(frames):
    first = next(i for i, f in enumerate(frames) if any(f))
    last = max(i for i, f in enumerate(frames) if any(f))
    return frames[first:last + 1]


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


def mono_and_other_sample_formats_come_out(_):
    rate, channels, got = play(tone(48000, 500, 4800), 48000, driver=",out.frequency=48000,out.channels=1")
    assert (rate, channels) == (48000, 1)
    assert [f[0] for f in got[:4800]] == [f[0] for f in tone(48000, 500, 4800)]


def guest_format_is_the_file_s_without_fixed_settings(_):
    frames = tone(48000, 700, 4800)
    rate, channels, got = play(frames, 48000, driver=",out.mixing-engine=off,out.fixed-settings=off")
    assert (rate, channels) == (48000, 2)
    assert got[:4800] == frames


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


tap = Tap()
for case in (what_is_played_at_the_host_rate_is_in_the_file_sample_for_sample, another_rate_keeps_the_pitch,
             mono_and_other_sample_formats_come_out, guest_format_is_the_file_s_without_fixed_settings,
             volume_and_mute_are_heard, two_cards_are_mixed):
    tap.case(case.__name__, lambda c=case: c(None))
CARD = ["-M", "pc", "-audiodev", "none,id=a", "-device", "AC97,audiodev=a,addr=4"]
for case in (the_card_plays_at_the_pace_of_guest_time, each_buffer_and_the_last_interrupt,
             more_buffers_after_the_end_go_on, what_is_recorded_from_nothing_is_silence_at_its_rate,
             lists_that_make_no_sense_end, codec_keeps_what_it_has_and_no_more):
    tap.machine_case(case.__name__, CARD, case)
tap.machine_case("query_audiodevs_tells", ["-M", "pc", "-audiodev",
                                           '{"driver":"none","id":"a","out":{"frequency":8000,"channels":1,'
                                           '"format":"u8"}}'], query_audiodevs_tells)
tap.done()
