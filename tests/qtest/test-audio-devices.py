#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Back ends of sound devices: OSS, ALSA's descriptors, sndio, the buffers of SDL. What is played is heard where it
comes out: padsp serves /dev/dsp and ALSA's plugin a PCM on a PulseAudio server, whose monitor is recorded.
"""
import glob
import os
import re
import socket
import struct
import sys
import time

from ac97 import tone
from qtest import Failed, Tap
from soundmachine import Machine, frames_of, is_the_tone, play, play_unattended, record, record_pulse
from soundserver import Home, Missing, needs, pulse

CARD = ("-device", "AC97,audiodev=a,addr=4")


def padsp():
    """The library with which padsp starts programs (its script in bookworm names it wrongly)."""
    found = glob.glob("/usr/lib/*/pulseaudio/libpulsedsp.so")
    if not found:
        raise Missing("libpulsedsp is not installed")
    return found[0]


def machine_under(home, preload, *args, **more):
    """Only the machine runs with it, not the test's own tools."""
    before = dict(home.env)
    home.env.update(LD_PRELOAD=preload, **more)
    try:
        return Machine(home, *args)
    finally:
        home.env = before


def is_broken(path):
    """The tone has gaps."""
    try:
        is_the_tone(frames_of(path), 44100)
    except AssertionError as e:
        assert "the longest stretch" in str(e), e
        return True
    return False


# ---- OSS ----

def oss(home, keys="", **more):
    return machine_under(home, padsp(), "-audiodev", "oss,id=a" + keys, *CARD, PADSP_DEBUG="1", **more)


def oss_hears_the_tone():
    with Home() as home:
        pulse(home)
        with oss(home) as q:
            record_pulse(home)
            said = play(q, heard=home.file("heard"))
            assert "OSS Emulation" in home.run("pactl", "list", "sink-inputs").stdout
            assert " 0 of them missing" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)


def oss_devices_are_those_that_were_named():
    with Home() as home:
        pulse(home)
        with oss(home, ",out.dev=/dev/adsp,out.try-poll=off") as q:
            record_pulse(home)
            play(q, heard=home.file("heard"))
        is_the_tone(frames_of(home.file("heard")), 44100)
        for wrong, why in (("/dev/nowhere", "'/dev/nowhere': No such file"), ("/dev/null", "'/dev/null' is no OSS")):
            try:
                with oss(home, ",out.dev=" + wrong):
                    raise AssertionError("it started")
            except Failed as e:
                assert why in str(e), e


def oss_is_recorded_from():
    with Home() as home:
        pulse(home)
        home.start("pacat", "-d", "first", "--rate=44100", "--channels=2", "--format=s16le", "--raw",
                   "--latency-msec=20", write_tone(home))
        with oss(home, ",in.dev=/dev/dsp", PULSE_SOURCE="first.monitor") as q:
            frames = record(q)
        is_the_tone(frames, 48000)


def oss_buffers_are_cut_as_told():
    """-1 for the policy: the sizes of the buffer are used. Others are told to version 4, which padsp is not."""
    with Home() as home:
        pulse(home)
        for keys, pieces, size in ((",out.buffer-count=8", 8, 1024), (",out.buffer-count=2", 2, 4096),
                                   (",out.buffer-count=4,out.buffer-length=100000", 4, 4096)):
            with oss(home, ",dsp-policy=-1" + keys) as q:
                play(q, 0.3)
                told = q.errors()
            assert "fragsize=%d, fragstotal=%d," % (size, pieces) in told, (keys, told[:3000])
            assert "unknown ioctl 0xc004502d" not in told, told[:3000]  # SNDCTL_DSP_POLICY
        with oss(home, ",dsp-policy=3") as q:
            play(q, 0.3)
            told = q.errors()
        assert re.search("unknown ioctl 0xc004502d.*\n.*SNDCTL_DSP_SETFRAGMENT: 0x0004000b", told), told[:3000]


def oss_calls_when_it_has_room():
    """With a timer that looks once a second only what the descriptor says keeps the tone whole."""
    with Home() as home:
        pulse(home)
        with oss(home, ",timer-period=1000000") as q:
            record_pulse(home)
            said = play_unattended(q, 3)
            assert "running by its calls" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)
    with Home() as home:
        pulse(home)
        with oss(home, ",timer-period=1000000,out.try-poll=off") as q:
            record_pulse(home)
            said = play_unattended(q, 3)
            assert "running," in said, said
        assert is_broken(home.file("heard"))


def oss_falls_back_to_the_timer():
    """aoss serves read() and write(), but a descriptor that is ready all the time."""
    with Home() as home:
        pulse(home)
        needs("aoss")
        with open(home.file(".asoundrc"), "w") as f:
            f.write("pcm.dsp0 { type pulse }")
        with machine_under(home, "libaoss.so", "-audiodev", "oss,id=a", *CARD) as q:
            record_pulse(home)
            said = play(q, heard=home.file("heard"))
            assert "running," in said, said
            assert "has room all the time; a timer looks instead" in q.errors(), q.errors()
        is_the_tone(frames_of(home.file("heard")), 44100)


def device(home, keys):
    """A device of version 4 whose buffer can be mapped: dsp-shim.c."""
    home.told = home.file("told")
    if os.path.exists(home.told):
        os.unlink(home.told)
    return machine_under(home, os.path.join(os.environ["BACKPLANE_BUILD"], "tests/qtest/dsp-shim.so"), "-audiodev",
                         "oss,id=a" + keys, *CARD, DSP_HEARD=home.file("heard"), DSP_TOLD=home.told)


def oss_plays_from_the_mapped_buffer():
    with Home() as home:
        with device(home, ",try-mmap=on,out.try-poll=off,dsp-policy=-1,out.buffer-count=8") as q:
            said = play_unattended(q, 3)
            assert re.search(r"ac97.out: .*, latency (\d+) us", said), said
            latency = int(re.search(r"ac97.out: .*, latency (\d+) us", said).group(1))
            assert 10000 < latency < 46440 + 1000, said
        assert "mapped 8192\n" in read(home.told), read(home.told)
        is_the_tone(frames_of(home.file("heard")), 44100, least=2.5)
        with device(home, ",out.try-poll=off"):
            pass
        assert "mapped" not in read(home.told), read(home.told)


def oss_is_silent_when_frames_come_late():
    """What lies in the mapped buffer is heard once."""
    with Home() as home:
        with device(home, ",try-mmap=on,out.try-poll=off,dsp-policy=-1") as q:
            play_unattended(q, 0.5)
            q.outb(0xC11B, 0)  # the card stops
            time.sleep(0.1)
            play_unattended(q, 0.5)
            q.qmp("stop")  # so does guest time, and the timer with it
            time.sleep(1)
        heard = [left for left, _ in frames_of(home.file("heard"))]
        assert max(heard) > 15000, max(heard)
        # The buffer turns about 21 times in a second.
        loud = sum(any(abs(v) > 2000 for v in heard[-i - 400:-i]) for i in range(400, 40000, 400))
        assert loud < 99, loud


def oss_writes_where_nothing_can_be_mapped():
    with Home() as home:
        pulse(home)
        with oss(home, ",try-mmap=on") as q:
            record_pulse(home)
            play(q, heard=home.file("heard"))
            assert "the buffer of '/dev/dsp' cannot be mapped" in q.errors()
        is_the_tone(frames_of(home.file("heard")), 44100)


def oss_devices_are_opened_as_told():
    with Home() as home:
        for keys, opened, policy in (("", "", "policy 5"), (",exclusive=on,dsp-policy=0", " exclusively", "policy 0"),
                                     (",exclusive=off,dsp-policy=10", "", "policy 10"),
                                     (",dsp-policy=-1,in.buffer-count=2,out.buffer-count=16", "", None)):
            with device(home, keys):
                pass
            told = read(home.told).splitlines()
            assert told[0] == "open in" + opened and "open out" + opened in told, (keys, told)
            if policy:
                assert told.count(policy) == len(told) - 2 == 2, (keys, told)  # fragments are the device's affair
            else:
                assert told == ["open in", "fragments 2 of 4096", "open out", "fragments 16 of 512"], told
        for wrong in (-2, 11):
            try:
                with device(home, ",dsp-policy=%d" % wrong):
                    raise AssertionError("it started")
            except Failed as e:
                assert "dsp-policy" in str(e), e


# ---- ALSA ----

def alsa_pulse(home):
    with open(home.file(".asoundrc"), "w") as f:
        f.write("pcm.served { type pulse }")


def alsa_calls_when_it_has_room():
    with Home() as home:
        pulse(home)
        alsa_pulse(home)
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=served,in.dev=null,timer-period=1000000", *CARD) as q:
            record_pulse(home)
            said = play_unattended(q, 3)
            assert "running by its calls" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)
    with Home() as home:
        pulse(home)
        alsa_pulse(home)
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=served,in.dev=null,timer-period=1000000,out.try-poll=off",
                     *CARD) as q:
            record_pulse(home)
            said = play_unattended(q, 3)
            assert "running," in said, said
        assert is_broken(home.file("heard"))


def alsa_calls_when_frames_have_come():
    with Home() as home:
        pulse(home)
        alsa_pulse(home)
        home.start("pacat", "-d", "first", "--rate=44100", "--channels=2", "--format=s16le", "--raw",
                   "--latency-msec=20", write_tone(home))
        home.env["PULSE_SOURCE"] = "first.monitor"
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=null,in.dev=served,timer-period=1000000", *CARD) as q:
            frames = record(q)
            said = q.qmp("human-monitor-command", {"command-line": "info audio"})
            assert "running by its calls" in said, said
        is_the_tone(frames, 48000)


def alsa_stands_while_the_machine_does():
    """Its calls cost nothing then, and go on with the machine."""
    with Home() as home:
        pulse(home)
        alsa_pulse(home)
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=served,in.dev=null", *CARD) as q:
            record_pulse(home)
            play(q, 0.3)
            q.qmp("stop")
            time.sleep(0.5)
            before = seconds_of_work(q)
            time.sleep(1)
            assert seconds_of_work(q) - before < 0.1
            q.qmp("cont")
            said = play(q, heard=home.file("heard"))
            assert "running by its calls" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)


def alsa_falls_back_to_the_timer():
    """A device without a clock has room all the time: the machine is not kept busy by it."""
    with Home() as home:
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=null,in.dev=null,out.buffer-length=10000", *CARD) as q:
            said = play_unattended(q, 5)
            assert "by its calls" not in said, said
            assert "has room all the time; a timer looks instead" in q.errors(), q.errors()


# ---- sndio ----

def sndiod(home):
    """Its servers, one to play and one to record: ALSA's plugin does not do both in step. Their names."""
    needs("sndiod", "setpriv")
    with open(home.file(".asoundrc"), "w") as f:
        f.write("pcm.!hw { @args [ CARD ] @args.CARD { type string default 0 } type plug slave.pcm { type pulse } }")
    os.chmod(home.path, 0o755)
    os.chmod(home.file("socket"), 0o777)
    home.env["PULSE_SOURCE"] = "first.monitor"
    recorder = start_sndiod(home, "rec")
    return start_sndiod(home, "play"), recorder


def start_sndiod(home, mode):
    """On an ALSA device that PulseAudio is. Root's would become a user that cannot come in here."""
    unit = free_unit()
    home.start(*(("setpriv", "--reuid=65534", "--clear-groups") if os.getuid() == 0 else ()), "sndiod", "-ddd",
               "-L", "127.0.0.1", "-U", str(unit), "-r", "44100", "-m", mode, "-f", "rsnd/0", "-s", mode)
    log = home.sndiod = home.file("log-%d" % (len(home.processes) - 1))
    home.wait("sndiod", lambda: "default/server.device" in read(log))
    return "snd@127.0.0.1,%d/%s" % (unit, mode)


def read(path):
    with open(path) as f:
        return f.read()


def free_unit():
    for unit in range(16):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as it does itself
            try:
                s.bind(("127.0.0.1", 11025 + unit))
                return unit
            except OSError:
                continue
    raise AssertionError("sixteen servers run already")


def sndio_hears_the_tone():
    with Home() as home:
        pulse(home)
        home.env["AUDIOPLAYDEVICE"], home.env["AUDIORECDEVICE"] = sndiod(home)
        with Machine(home, "-audiodev", "sndio,id=a", *CARD) as q:  # `default` is that one
            record_pulse(home)
            said = play(q, heard=home.file("heard"))
            assert " 0 of them missing" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)


def sndio_devices_are_those_that_were_named():
    with Home() as home:
        pulse(home)
        out, source = (name.replace(",", ",,") for name in sndiod(home))
        with Machine(home, "-audiodev", "sndio,id=a,out.dev=%s,in.dev=%s" % (out, source), *CARD) as q:
            record_pulse(home)
            play(q, heard=home.file("heard"))
        is_the_tone(frames_of(home.file("heard")), 44100)
        try:
            with Machine(home, "-audiodev", "sndio,id=a,in.dev=%s,out.dev=%sx" % (source, out), *CARD):
                raise AssertionError("it started")
        except Failed as e:
            assert "sndio has no device '%sx' to play on" % out.replace(",,", ",") in str(e), e


def sndio_is_recorded_from():
    """The player and the machine may each be late for a while: what is missing then would make the tone another one."""
    with Home() as home:
        pulse(home)
        out, source = (name.replace(",", ",,") for name in sndiod(home))
        audiodev = "sndio,id=a,in.latency=500000,in.dev=%s,out.dev=%s" % (source, out)
        with Machine(home, "-audiodev", audiodev, *CARD) as q:
            home.start("pacat", "-d", "first", "--rate=44100", "--channels=2", "--format=s16le", "--raw",
                       "--latency-msec=100", write_tone(home))
            frames = record(q)
        is_the_tone(frames, 48000)


def sndio_buffers_are_as_long_as_told():
    with Home() as home:
        pulse(home)
        out, source = (name.replace(",", ",,") for name in sndiod(home))
        for keys, frames in (("", 2048), (",out.latency=100000", 4410), (",out.latency=300000", 13230)):
            with Machine(home, "-audiodev", "sndio,id=a,out.dev=%s,in.dev=%s%s" % (out, source, keys), *CARD):
                pass
            got = [int(n) for n in re.findall(r"(\d+) frame buffer", read(home.sndiod))][-1]
            assert abs(got - frames) < 481, (keys, got)  # in blocks of the server's


# ---- SDL ----

# What SDL is asked for, told by a library that is loaded before it.
SDL_TELLS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
struct spec { int rate; unsigned short format; unsigned char channels, silence; unsigned short samples; };
unsigned SDL_OpenAudioDevice(const char *name, int input, const struct spec *wanted, struct spec *got, int changes)
{
    unsigned (*theirs)(const char *, int, const struct spec *, struct spec *, int) =
        dlsym(RTLD_NEXT, "SDL_OpenAudioDevice");
    FILE *f = fopen(getenv("SDL_TELLS"), "a");
    fprintf(f, "%s %u\n", input ? "in" : "out", wanted->samples);
    fclose(f);
    return theirs(name, input, wanted, got, changes);
}
"""


def sdl_s_buffers_are_as_told():
    """SDL is asked for pieces of that size, and what waits for it is so many of them."""
    needs("cc")
    with Home() as home:
        with open(home.file("tells.c"), "w") as f:
            f.write(SDL_TELLS)
        made = home.run("cc", "-shared", "-fPIC", "-w", "-o", home.file("tells.so"), home.file("tells.c"), "-ldl",
                        "-Wl,--no-as-needed", "-l:libSDL2-2.0.so.0")
        assert made.returncode == 0, made.stderr
        for keys, pieces in (("", (512, 512, 4)), (",in.buffer-count=2,out.buffer-count=1", (1024, 2048, 1)),
                             (",out.buffer-count=16,out.buffer-length=200000", (512, 512, 16)),
                             (",out.buffer-count=2,out.buffer-length=200000", (512, 4096, 2))):
            with machine_under(home, home.file("tells.so"), "-audiodev", "sdl,id=a" + keys, *CARD,
                               SDL_TELLS=home.file("told"), SDL_AUDIODRIVER="disk", SDL_DISKAUDIOFILEIN="/dev/zero",
                               SDL_DISKAUDIOFILE=home.file("heard")) as q:
                said = play(q, 1)
            told = read(home.file("told")).split()[-4:]
            frames, count = pieces[1], pieces[2]
            assert told == ["in", str(pieces[0]), "out", str(frames)], (keys, told)
            latency = int(re.search(r"ac97.out: .*, latency (\d+) us", said).group(1))
            wanted = frames * count / 44100 * 1e6 + 20000  # two turns of the timer besides
            assert wanted - frames / 44100 * 1e6 - 20000 < latency < wanted + 10000, (keys, latency, wanted)


def seconds_of_work(q):
    with open("/proc/%d/stat" % q.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def write_tone(home):
    with open(home.file("tone"), "wb") as f:
        for left, right in tone(44100, 1000, 44100 * 60):
            f.write(struct.pack("<hh", left, right))
    return home.file("tone")


tap = Tap()
for case in (oss_hears_the_tone, oss_devices_are_those_that_were_named, oss_is_recorded_from,
             oss_buffers_are_cut_as_told, oss_calls_when_it_has_room, oss_falls_back_to_the_timer,
             oss_plays_from_the_mapped_buffer, oss_is_silent_when_frames_come_late,
             oss_writes_where_nothing_can_be_mapped, oss_devices_are_opened_as_told,
             alsa_calls_when_it_has_room, alsa_calls_when_frames_have_come, alsa_stands_while_the_machine_does,
             alsa_falls_back_to_the_timer, sndio_hears_the_tone, sndio_devices_are_those_that_were_named,
             sndio_is_recorded_from, sndio_buffers_are_as_long_as_told,
             sdl_s_buffers_are_as_told):
    if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
        continue
    tap.case(case.__name__, case)
tap.done()
