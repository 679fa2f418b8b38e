# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine whose AC97 card plays to a sound server of the host, and how what was heard is judged."""
import os
import struct
import time

from ac97 import OUT, hertz_of, lay_buffers, set_rate, start_card, tone
from qtest import QTest

SECONDS = 1.5
RATE = 48000
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
try:
    os.nice(-15)  # servers and machines have to keep up with real time, whatever else runs
except PermissionError:
    pass


class Machine(QTest):
    """With the server's environment: the program inherits ours while it is started."""

    def __init__(self, home, *args):
        before = dict(os.environ)
        os.environ.update(home.env)
        for name in set(before) - set(home.env):
            del os.environ[name]
        try:
            super().__init__(["-M", "pc", *args])
        finally:
            os.environ.clear()
            os.environ.update(before)


def play(q, seconds=SECONDS, heard=None):
    """A tone of a kilohertz from the card, while real time passes: so long, or until there is a second
    of it in a file (servers may have silence prepared that comes first)."""
    start_card(q)
    set_rate(q, RATE)
    frames = tone(RATE, 1000, int(RATE * 0.3))
    lay_buffers(q, frames, 4)
    q.outb(OUT + 0xB, 1)
    begin, now, looked = time.monotonic(), 0.0, 0.0
    while now < (20 * SLOW if heard else seconds):
        passed = time.monotonic() - begin
        if passed > now:
            q.clock_step(int((passed - now) * 1e9))
            now = passed
        q.outb(OUT + 5, (q.inb(OUT + 4) + 3) % 4)  # it never comes to the end
        time.sleep(0.005)
        if heard and now > looked + 0.5:
            looked = now
            if os.path.exists(heard) and seconds_heard(heard) > 1.2:
                break
    return q.qmp("human-monitor-command", {"command-line": "info audio"})


def play_unattended(q, seconds):
    """As play(), and nobody looks at the card meanwhile: what is moved, moves by itself."""
    start_card(q)
    set_rate(q, RATE)
    lay_buffers(q, tone(RATE, 1000, int(RATE * (seconds + 2))), 31)
    q.outb(OUT + 0xB, 1)
    begin, now = time.monotonic(), 0.0
    while now < seconds:
        passed = time.monotonic() - begin
        q.clock_step(int((passed - now) * 1e9))
        now = passed
        time.sleep(0.005)
    return q.qmp("human-monitor-command", {"command-line": "info audio"})


def seconds_heard(path):
    """Of what is no silence, at 44100 frames of four bytes a second."""
    with open(path, "rb") as f:
        data = f.read()
    return len(data[44:].lstrip(b"\0")) / 176400


def is_the_tone(frames, rate, least=0.5):
    """At least so many seconds of it without a gap."""
    samples = [f if isinstance(f, int) else f[0] for f in frames]
    loud, best, at = 0, (0, 0), None
    quiet = 0
    for i, v in enumerate(samples):  # the longest stretch without a millisecond of silence
        if abs(v) > 2000:
            if at is None:
                at = i
            quiet, loud = 0, i
        elif at is not None:
            quiet += 1
            if quiet > rate // 1000:
                best = max(best, (loud - at, at))
                at = None
    if at is not None:
        best = max(best, (loud - at, at))
    length, begin = best
    assert length >= least * rate, "the longest stretch has %.3f s of %.3f s" % (length / rate, len(samples) / rate)
    hertz = hertz_of(samples[begin:begin + length], rate)
    assert abs(hertz - 1000) < 1.5, "%.2f Hz" % hertz


def frames_of(path, channels=2, width=2):
    """Of a WAV file, or of raw samples, even when its writer was stopped."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] == b"RIFF":
        data = data[data.index(b"data") + 8:]
    n = len(data) // (channels * width)
    if width == 4:  # 32 bits: the upper ones
        return [(struct.unpack_from("<i", data, i * channels * 4)[0] >> 16,) for i in range(n)]
    return [struct.unpack_from("<%dh" % channels, data, i * channels * 2) for i in range(n)]


def record(q, least=8):
    """What the card records, at 48000 frames a second: so many buffers of 8192 frames while real time passes."""
    start_card(q)
    q.outw(0xC000 + 0x1C, 0)  # record gain
    for n in range(32):
        q.write(0x100000 + 8 * n, struct.pack("<II", 0x200000 + 0x8000 * n, 0x4000))
    q.outl(0xC100, 0x100000)
    q.outb(0xC105, 31)
    q.outb(0xC10B, 1)
    begin, now = time.monotonic(), 0.0
    while now < 20 * SLOW and q.inb(0xC104) < least:
        passed = time.monotonic() - begin
        q.clock_step(int((passed - now) * 1e9))
        now = passed
        time.sleep(0.005)
    index = q.inb(0xC104)
    assert index >= least, index
    return list(struct.iter_unpack("<hh", q.read(0x200000, 0x8000 * index)))


def record_pulse(home, sink="first"):
    home.start("parec", "-d", sink + ".monitor", "--rate=44100", "--channels=2", "--format=s16le",
               "--latency-msec=20", "--raw", home.file("heard"))
    home.wait("parec", lambda: "parec" in home.run("pactl", "list", "source-outputs").stdout)
