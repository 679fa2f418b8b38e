# SPDX-License-Identifier: LGPL-2.1-or-later
"""An AC97 card in slot 4, driven from outside, and what its sound is looked at with."""
import math
import struct
import wave

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
