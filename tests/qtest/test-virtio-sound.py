#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtio sound device: what it says of itself, the states of its streams, what is played is in the file of -audiodev wav
sample for sample, what is recorded comes at its rate. The clock is stepped by hand."""
import os
import random
import struct
import subprocess
import tempfile

from ac97 import SECOND, hertz_of, read_wav, tone, without_silence
from qtest import QTest, Tap, program
from virtio import Modern, Packed, PACKED, Split, VERSION_1

REQUEST, ANSWER, SOUND, STATUS, CAUGHT = 0x300000, 0x310000, 0x400000, 0x600000, 0x700000
OK, BAD_MSG, NOT_SUPP, IO_ERR = 0x8000, 0x8001, 0x8002, 0x8003
JACK_INFO, REMAP, INFO, SET, PREPARE, RELEASE, START, STOP, CHMAP_INFO = 1, 2, *range(0x100, 0x106), 0x200
CONTROL, EVENTS, TX, RX = range(4)
CARD = ["-M", "pc", "-audiodev", "none,id=a", "-device", "virtio-sound-pci,audiodev=a,addr=5"]


class Card:
    def __init__(self, q, ring=Split):
        self.q, self.t = q, Modern(q)
        self.rings = [ring(q, 0x100000 + 0x10000 * n, n) for n in range(4)]
        self.begin(ring)

    def begin(self, ring=Split):
        self.t.start([VERSION_1] + ([PACKED] if ring is Packed else []), queues=self.rings)

    def ask(self, request, room=4):
        """(status, what follows it)"""
        self.q.write(REQUEST, request)
        self.q.memset(ANSWER, max(room, 4), 0xEE)
        self.rings[CONTROL].add([(REQUEST, len(request), False)] + ([(ANSWER, room, True)] if room else []))
        self.used = self.rings[CONTROL].wait()[1]
        answer = self.q.read(ANSWER, max(room, 4))
        return struct.unpack_from("<I", answer)[0], answer[4:]

    def info(self, code, first, count, size):
        return self.ask(struct.pack("<IIII", code, first, count, size), 4 + count * size)

    def go(self, *codes, stream=0):
        return [self.ask(struct.pack("<II", code, stream))[0] for code in codes]

    def set(self, stream=0, rate=7, form=5, channels=2, buffer=16384, period=4096, features=0):
        return self.ask(struct.pack("<IIIIIBBBB", SET, stream, buffer, period, features, channels, form, rate, 0))[0]

    def play(self, data, at=SOUND, stream=0, status=STATUS):
        self.q.write(at, struct.pack("<I", stream) + data)
        self.q.memset(status, 8, 0xEE)
        self.rings[TX].add([(at, 4 + len(data), False), (status, 8, True)])

    def record(self, size, at=CAUGHT, stream=1):
        self.q.write(at - 16, struct.pack("<I", stream))
        self.q.memset(at, size + 8, 0xEE)
        self.rings[RX].add([(at - 16, 4, False), (at, size + 8, True)])

    def status(self, at=STATUS):
        return struct.unpack("<II", self.q.read(at, 8))

    def pass_time(self, hundredths):
        for _ in range(hundredths):
            self.q.clock_step(SECOND // 100)


def what_it_takes_is_checked():
    for bad in ("streams=0", "streams=65", "jacks=65", "chmaps=65", "channels=0", "channels=9", "audiodev=x"):
        run = subprocess.run([program(), "-display", "none", "-nodefaults", "-accel", "qtest", "-device",
                              "virtio-sound-pci," + bad], timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, check=False)
        assert run.returncode == 1 and bad.split("=")[0] in run.stderr, (bad, run.stderr)


def it_says_what_there_is(q):
    c = Card(q)
    assert struct.unpack("<III", c.t.config(0, 12)) == (2, 3, 2)
    q.writel(c.t.device + 4, 77)
    assert struct.unpack("<III", c.t.config(0, 12)) == (2, 3, 2)
    status, data = c.info(INFO, 0, 3, 32)
    assert status == OK and c.used == 4 + 96
    for n in range(3):
        nid, features, formats, rates, direction, least, most = struct.unpack_from("<IIQQBBB", data, 32 * n)
        assert (nid, features, formats, rates) == (0, 0, 0xe0078, 0x3fff), hex(formats)
        assert (direction, least, most) == (n & 1, 1, 2) and data[32 * n + 27:32 * n + 32] == bytes(5)
    status, jacks = c.info(JACK_INFO, 0, 2, 24)
    assert status == OK and struct.unpack("<IIIIB7x", jacks[:24]) == (0, 0, 0x01014010, 0x10, 1)
    assert struct.unpack("<IIIIB7x", jacks[24:]) == (0, 0, 0x01a19020, 0x20, 1)
    status, maps = c.info(CHMAP_INFO, 0, 2, 24)
    assert status == OK and maps == bytes(4) + bytes((0, 2, 3, 4)) + bytes(20) + bytes((1, 2, 3, 4)) + bytes(16)
    # Items of other sizes are cut off, or have zeros behind; from any one on.
    assert c.info(INFO, 2, 1, 8) == (OK, data[64:72])
    assert c.info(INFO, 1, 2, 40) == (OK, data[32:64] + bytes(8) + data[64:96] + bytes(8))
    assert c.info(INFO, 3, 0, 32) == (OK, b"")
    for first, count, size in ((0, 4, 32), (4, 0, 32), (0xffffffff, 2, 32), (0, 1, 0), (0, 1, 1025)):
        assert c.info(INFO, first, count, size)[0] == BAD_MSG, (first, count, size)
    assert c.ask(struct.pack("<IIII", INFO, 0, 3, 32), 99)[0] == BAD_MSG  # no room for all


def requests_that_make_no_sense_are_refused(q):
    c = Card(q)
    assert c.ask(struct.pack("<IIII", REMAP, 0, 1, 0))[0] == NOT_SUPP
    assert c.ask(struct.pack("<IIII", REMAP, 2, 1, 0))[0] == BAD_MSG
    for code in (0, 3, 0xff, 0x106, 0x201, 0xffffffff):
        assert c.ask(struct.pack("<IIII", code, 0, 0, 0))[0] == NOT_SUPP, code
    for code in (INFO, JACK_INFO, CHMAP_INFO, REMAP, SET, PREPARE):
        assert c.ask(struct.pack("<I", code) + bytes(3))[0] == BAD_MSG, code
    assert c.ask(b"\1\0\0")[0] == BAD_MSG and c.ask(b"\0\3\0\0")[0] == NOT_SUPP
    assert c.go(PREPARE, stream=3) == [BAD_MSG] and c.set(stream=3) == BAD_MSG
    assert c.ask(struct.pack("<II", PREPARE, 0), 3)[1] == b"" and c.used == 0
    assert c.ask(struct.pack("<II", PREPARE, 0), 0) and c.used == 0
    for wrong in ({"rate": 14}, {"form": 2}, {"form": 20}, {"channels": 0}, {"channels": 3}, {"features": 1}):
        assert c.set(**wrong) == NOT_SUPP, wrong
    assert c.set(period=0) == c.set(buffer=4095) == BAD_MSG
    assert c.go(PREPARE) == [BAD_MSG]  # nothing of that was set
    assert c.set(period=4096, buffer=4096) == OK


def streams_go_from_state_to_state(q):
    """Each request in each state, by the specification's table."""
    allowed = {"new": {SET}, "set": {SET, PREPARE}, "prepared": {SET, PREPARE, RELEASE, START}, "started": {STOP},
               "stopped": {START, RELEASE}, "released": {SET, PREPARE}}
    way = {"new": (), "set": (SET,), "prepared": (SET, PREPARE), "started": (SET, PREPARE, START),
           "stopped": (SET, PREPARE, START, STOP), "released": (SET, PREPARE, RELEASE)}
    c = Card(q)

    def send(code):
        return c.set() if code == SET else c.go(code)[0]
    for state, codes in way.items():
        for code in (SET, PREPARE, RELEASE, START, STOP):
            c.begin()
            assert all(send(step) == OK for step in codes), state
            assert send(code) == (OK if code in allowed[state] else BAD_MSG), (state, hex(code))


def played(args, *streams, device=""):
    """The file, after the streams (kind of ring, parameters, data in pieces) played one after the other."""
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "out.wav")
        with QTest(["-M", "pc", "-audiodev", "wav,id=a,path=%s%s" % (path, args), *CARD[4:-1],
                    CARD[-1] + (",packed=on" if streams[0][0] is Packed else "") + device]) as q:
            for ring, parameters, pieces in streams:
                c = Card(q, ring)
                assert c.set(**parameters) == OK and c.go(PREPARE) == [OK]
                for n, piece in enumerate(pieces):
                    c.play(piece, SOUND + 0x40000 * n, status=STATUS + 8 * n)
                assert c.go(START) == [OK]
                for n in range(len(pieces)):
                    for _ in range(400):
                        if c.status(STATUS + 8 * n)[0] == OK:
                            break
                        c.pass_time(1)
                    assert c.status(STATUS + 8 * n)[0] == OK, n
                    c.rings[TX].wait()
                c.pass_time(30)  # what waits in the engine
                assert c.go(STOP, RELEASE) == [OK, OK]
        return read_wav(path)


def what_is_played_is_in_the_file_sample_for_sample():
    for ring in (Split, Packed):
        frames = [((i * 7919) % 65536 - 32768 or 1, (i * 104729) % 65536 - 32768 or 1) for i in range(9000)]
        data = b"".join(struct.pack("<hh", *f) for f in frames)
        _, _, got = played(",out.frequency=48000", (ring, {}, [data[:4000], data[4000:4004], data[4004:]]))
        begin = got.index(frames[0])
        assert got[begin:begin + len(frames)] == frames, ring


def surround_goes_through_when_nothing_is_mixed():
    for channels, places in ((6, (3, 4, 7, 8, 5, 6)), (8, (3, 4, 7, 8, 5, 6, 9, 10)), (2, (3, 4))):
        frames = [tuple((i * 7919 * (n + 1)) % 65536 - 32768 or 1 for n in range(channels)) for i in range(9000)]
        data = b"".join(struct.pack("<%dh" % channels, *f) for f in frames)
        asked = (Split, {"channels": channels, "buffer": 65536, "period": 16384}, [data])
        rate, heard, got = played(",out.mixing-engine=off,out.fixed-settings=off", asked,
                                  device=",channels=%d" % channels)
        assert (rate, heard) == (48000, channels)
        begin = got.index(frames[0])
        assert got[begin:begin + len(frames)] == frames, channels
        # With the engine it is stereo: what is behind and in the middle is heard at the sides.
        rate, heard, got = played(",out.frequency=48000", asked, device=",channels=%d" % channels)
        assert (rate, heard) == (48000, 2)
        with QTest([*CARD[:-1], CARD[-1] + ",chmaps=1,channels=%d" % channels]) as q:
            c = Card(q)
            assert c.info(INFO, 0, 1, 32)[1][26] == channels
            assert c.info(CHMAP_INFO, 0, 1, 24)[1][5:6 + channels] == bytes((channels, *places))
            assert c.set(channels=channels, period=4096) == OK and c.set(channels=channels + 1) == NOT_SUPP


def formats_and_rates_keep_the_pitch():
    def packed(fmt, scale, offset, rate, channels):
        return b"".join(struct.pack(fmt, *((round(v[0] * scale) + offset if scale else v[0] / 32768.0),) * channels)
                        for v in tone(rate, 500, rate // 2))
    for form, rate, channels, data in ((4, 1, 1, packed("<B", 1 / 256, 128, 8000, 1)),
                                       (3, 2, 2, packed("<bb", 1 / 256, 0, 11025, 2)),
                                       (18, 5, 1, packed("<I", 65536, 1 << 31, 32000, 1)),
                                       (19, 10, 2, packed("<ff", 0, 0, 96000, 2))):
        _, _, got = played("", (Split, {"form": form, "rate": rate, "channels": channels}, [data]))
        heard = [f[0] for f in without_silence(got)]
        middle = heard[1000:-1000]
        assert abs(hertz_of(middle, 44100) - 500) < 2 and 18000 < max(middle) < 22000, (form, max(middle))
        assert abs(len(heard) / 44100 - 0.5) < 0.05, (form, len(heard))


def buffers_are_taken_at_the_pace_of_time(q):
    c = Card(q)
    assert c.set() == OK and c.go(PREPARE) == [OK]
    for n in range(10):
        c.play(bytes(19200), SOUND + 0x8000 * n, status=STATUS + 8 * n)  # a tenth of a second
    c.pass_time(20)
    assert c.rings[TX].poll() is None  # it is not started
    assert c.go(START) == [OK]
    done = []
    for _ in range(10):
        c.pass_time(10)
        while c.rings[TX].poll():
            done.append(1)
    assert 8 <= len(done) <= 10, len(done)
    assert all(c.status(STATUS + 8 * n)[0] == OK for n in range(len(done)))
    assert c.status()[1] <= 192000, c.status()  # latency, in bytes
    assert c.go(STOP) == [OK]
    before = len(done)
    for n in range(3):
        c.play(bytes(19200), SOUND + 0x8000 * (n + 10), status=STATUS + 8 * (n + 10))
    c.pass_time(40)
    while c.rings[TX].poll():
        done.append(1)
    assert len(done) == before  # it stands
    assert c.go(RELEASE) == [OK]
    for n in range(before, 13):
        assert c.status(STATUS + 8 * n) == (IO_ERR, 0), n  # they came back before the answer
    while c.rings[TX].poll():
        done.append(1)
    assert len(done) == 13


def buffers_of_no_stream_come_back(q):
    c = Card(q)
    c.play(b"data")
    c.rings[TX].wait()
    assert c.status() == (BAD_MSG, 0)  # it is not prepared
    assert c.set() == OK and c.go(PREPARE) == [OK]
    for stream in (1, 3, 0xffffffff):
        c.play(b"data", stream=stream)
        c.rings[TX].wait()
        assert c.status() == (BAD_MSG, 0), stream
    c.record(64, stream=0)
    c.rings[RX].wait()
    assert c.status(CAUGHT + 64) == (BAD_MSG, 0)
    q.write(SOUND, struct.pack("<I", 0))
    for parts in ([(SOUND, 3, False), (STATUS, 8, True)], [(SOUND, 4, False), (STATUS, 7, True)], [(SOUND, 8, False)]):
        c.rings[TX].add(parts)
        c.rings[TX].wait()
    c.play(b"")      # no frame
    c.play(b"abc", status=STATUS + 8)
    assert c.go(START) == [OK]
    c.pass_time(10)
    for n in range(2):
        c.rings[TX].wait()
        assert c.status(STATUS + 8 * n)[0] == OK
    assert not c.t.broken()


def silence_is_recorded_at_its_rate(q):
    c = Card(q)
    assert c.set(stream=1, rate=6, channels=1) == OK and c.go(PREPARE, stream=1) == [OK]
    for n in range(10):
        c.record(8820, CAUGHT + 0x8000 * n)  # a tenth of a second
    c.pass_time(10)
    assert c.rings[RX].poll() is None
    assert c.go(START, stream=1) == [OK]
    c.pass_time(52)
    done = 0
    while c.rings[RX].poll():
        assert q.read(CAUGHT + 0x8000 * done, 8820) == bytes(8820) and c.status(CAUGHT + 0x8000 * done + 8820)[0] == OK
        done += 1
    assert 4 <= done <= 5, done
    assert c.go(STOP, RELEASE, stream=1) == [OK, OK]
    while c.rings[RX].poll():
        done += 1
    assert done == 10 and c.status(CAUGHT + 0x8000 * 9 + 8820) == (IO_ERR, 0)


def a_reset_lets_everything_go(q):
    c = Card(q)
    for again in range(3):
        assert c.set() == OK and c.go(PREPARE, START) == [OK, OK], again
        for n in range(8):
            c.play(bytes(19200), SOUND + 0x8000 * n, status=STATUS + 8 * n)
        assert c.set(stream=1) == OK and c.go(PREPARE, START, stream=1) == [OK, OK]
        c.record(19200)
        c.pass_time(3)
        if again == 1:
            q.qmp("system_reset")
            c = Card(q)
        else:
            c.begin()
        assert c.go(PREPARE, START, STOP, RELEASE) == [BAD_MSG] * 4
        assert "playing" not in q.qmp("human-monitor-command", {"command-line": "info audio"})


def whatever_comes_it_goes_on(q):
    """Requests by chance: it answers, and a right one works afterwards."""
    chance = random.Random(20261130)
    c = Card(q)
    for _ in range(400):
        kind = chance.randrange(4)
        if kind == 0:
            code = chance.choice((1, 2, *range(0x100, 0x106), 0x200, chance.getrandbits(32)))
            words = [chance.choice((0, 1, 2, 8, chance.getrandbits(32))) for _ in range(5)]
            c.ask(struct.pack("<6I", code, *words)[:chance.randrange(1, 25)], chance.choice((0, 3, 4, 36, 200)))
        elif kind == 1:
            c.go(*chance.choices((PREPARE, START, STOP, RELEASE), k=3), stream=chance.randrange(2))
            c.set(stream=chance.randrange(2), rate=chance.randrange(15), form=chance.randrange(26),
                  channels=chance.randrange(4))
        elif kind == 2 and c.rings[TX].free < 60:
            c.play(bytes(chance.randrange(3000)), SOUND + 0x1000 * chance.randrange(64), chance.randrange(2))
            c.record(chance.randrange(3000), CAUGHT + 0x1000 * chance.randrange(1, 64), chance.randrange(2))
        else:
            c.pass_time(1)
    c.begin()
    assert c.set() == OK and c.go(PREPARE, START, STOP, RELEASE) == [OK] * 4


tap = Tap()
for case in (what_it_takes_is_checked, what_is_played_is_in_the_file_sample_for_sample,
             surround_goes_through_when_nothing_is_mixed, formats_and_rates_keep_the_pitch):
    tap.case(case.__name__, case)
tap.machine_case("it_says_what_there_is", [*CARD[:-1], CARD[-1] + ",jacks=2,streams=3,chmaps=2"], it_says_what_there_is)
tap.machine_case("requests_that_make_no_sense_are_refused", [*CARD[:-1], CARD[-1] + ",jacks=2"],
                 requests_that_make_no_sense_are_refused)
for case in (streams_go_from_state_to_state, buffers_are_taken_at_the_pace_of_time, buffers_of_no_stream_come_back,
             silence_is_recorded_at_its_rate, a_reset_lets_everything_go, whatever_comes_it_goes_on):
    tap.machine_case(case.__name__, CARD, case)
tap.done()
