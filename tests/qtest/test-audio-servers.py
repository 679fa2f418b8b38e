#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Back ends with the servers and libraries that they are for: PulseAudio, PipeWire, ALSA, SDL. An AC97 card
plays 1 kHz, the peer's own tools record it: the pitch is right within a thousandth. The clock of the
machine is stepped as real time passes.
"""
import json
import os
import statistics
import struct
import threading
import time

from ac97 import start_card, tone
from qtest import Tap
from soundmachine import SLOW, Machine, frames_of, is_the_tone, play, record, record_pulse
from soundserver import Home, Missing, needs, pulse

# ---- PulseAudio ----

def pulseaudio_hears_the_tone():
    with Home() as home:
        pulse(home)
        record_pulse(home)
        with Machine(home, "-audiodev", "pa,id=a", "-device", "AC97,audiodev=a,addr=4") as q:
            said = play(q, heard=home.file("heard"))
            inputs = home.run("pactl", "-f", "json", "list", "sink-inputs").stdout
            assert "ac97.out" in inputs, inputs
            assert "latency" in said, said
        is_the_tone(frames_of(home.file("heard")), 44100)


def pulseaudio_s_keys_do_what_they_say():
    with Home() as home:
        pulse(home)
        server = home.env.pop("PULSE_SERVER")
        with Machine(home, "-audiodev", "pa,id=a,server=%s,out.name=second,out.stream-name=guest,out.latency=200000,"
                     "out.voices=2,out.format=f32,out.frequency=32000" % server, "-device", "AC97,audiodev=a,addr=4",
                     "-device", "AC97,audiodev=a,addr=5") as q:
            home.env["PULSE_SERVER"] = server
            record_pulse(home, "second")
            play(q, heard=home.file("heard"))
            got = json.loads(home.run("pactl", "-f", "json", "list", "sink-inputs").stdout)
            sinks = {s["index"]: s["name"] for s in json.loads(
                home.run("pactl", "-f", "json", "list", "sinks").stdout)}
            assert len(got) == 2, got
            for one in got:
                assert sinks[one["sink"]] == "second", one
                assert one["properties"]["media.name"] == "guest", one
                assert one["sample_specification"] == "float32le 2ch 32000Hz", one
                assert one["buffer_latency_usec"] <= 220000, one
        is_the_tone(frames_of(home.file("heard")), 44100)


def pulseaudio_has_the_latency_that_was_asked_for():
    """What the server says of the streams while they run: longer where more was asked for."""
    seen = {}
    for latency in (20000, 300000):
        with Home() as home:
            pulse(home)
            with Machine(home, "-audiodev", "pa,id=a,in.name=first.monitor,in.latency=%d,out.latency=%d" % (
                    latency, latency), "-device", "AC97,audiodev=a,addr=4") as q:
                for kind, run in (("sink-inputs", lambda: play(q, 3)), ("source-outputs", lambda: record(q))):
                    thread = threading.Thread(target=run)
                    thread.start()
                    found = []
                    while thread.is_alive():
                        for one in json.loads(home.run("pactl", "-f", "json", "list", kind).stdout or "[]"):
                            found.append(sum(v for k, v in one.items() if k.endswith("latency_usec")))
                    thread.join()
                    # What waits to be played, when it has settled; and what has come, which goes in large pieces.
                    seen[(kind, latency)] = (max(found) if kind == "source-outputs" else
                                             statistics.median(found[len(found) // 3:]))
    for kind in ("sink-inputs", "source-outputs"):
        assert seen[(kind, 300000)] > 3 * seen[(kind, 20000)], seen
        assert 50000 < seen[(kind, 300000)] < 700000, seen


def pulseaudio_is_recorded_from():
    import struct
    with Home() as home:
        pulse(home)
        with open(home.file("tone"), "wb") as f:
            for left, right in tone(44100, 1000, 44100 * 6):
                f.write(struct.pack("<hh", left, right))
        home.start("pacat", "-d", "first", "--rate=44100", "--channels=2", "--format=s16le", "--raw",
                   "--latency-msec=20", home.file("tone"))
        with Machine(home, "-audiodev", "pa,id=a,in.name=first.monitor", "-device", "AC97,audiodev=a,addr=4") as q:
            start_card(q)
            q.outw(0xC000 + 0x1C, 0)  # record gain
            for n in range(32):
                q.write(0x100000 + 8 * n, struct.pack("<II", 0x200000 + 0x8000 * n, 0x4000))
            q.outl(0xC100, 0x100000)
            q.outb(0xC105, 31)
            q.outb(0xC10B, 1)
            begin, now = time.monotonic(), 0.0
            while now < 20 * SLOW and q.inb(0xC104) < 8:
                passed = time.monotonic() - begin
                q.clock_step(int((passed - now) * 1e9))
                now = passed
                time.sleep(0.005)
            index = q.inb(0xC104)
            assert index >= 8, index
            data = q.read(0x200000, 0x8000 * index)
        is_the_tone(list(struct.iter_unpack("<hh", data)), 48000)


def pulseaudio_that_is_not_there_is_told():
    with Home() as home:
        needs("pulseaudio")
        try:
            with Machine(home, "-audiodev", "pa,id=a,server=unix:" + home.file("none")):
                raise AssertionError("it started")
        except AssertionError as e:
            assert "no PulseAudio server at unix:" in str(e), e


def pulseaudio_may_go_away():
    with Home() as home:
        pulse(home)
        with Machine(home, "-audiodev", "pa,id=a", "-device", "AC97,audiodev=a,addr=4") as q:
            play(q, 0.3)
            home.processes[0].kill()
            home.processes[0].wait()
            play(q, 0.5)
            assert "the server is gone" in q.errors()
            q._errors.truncate(0)


# ---- PipeWire ----

def pipewire(home):
    needs("pipewire", "wireplumber", "pw-record", "pw-dump", "pw-cli", "dbus-run-session")
    home.start("pipewire")
    home.wait("PipeWire", lambda: os.path.exists(home.file("pipewire-0")))
    home.start("dbus-run-session", "--", "wireplumber")
    for name in ("first", "second"):
        home.start("pw-cli", "-m", "create-node", "adapter",
                   "{ factory.name=support.null-audio-sink node.name=%s media.class=Audio/Sink object.linger=true "
                   "audio.position=[FL FR] monitor.channel-volumes=true }" % name)
    home.wait("its sinks", lambda: {"first", "second"} <= set(nodes(home)))


def nodes(home):
    try:
        dump = json.loads(home.run("pw-dump").stdout or "[]")
    except ValueError:
        return {}
    return {o["info"]["props"].get("node.name"): o for o in dump if o["type"] == "PipeWire:Interface:Node"}


def pipewire_hears_the_tone():
    with Home() as home:
        pipewire(home)
        with Machine(home, "-audiodev", "pipewire,id=a,out.name=second,out.stream-name=guest,out.latency=100000",
                     "-device", "AC97,audiodev=a,addr=4") as q:
            home.start("pw-record", "--target", "second", "-P", "{ stream.capture.sink=true }", "--rate", "44100",
                       "--channels", "2", "--format", "s16", home.file("heard.wav"))
            home.wait("pw-record", lambda: "pw-record" in nodes(home))
            play(q, 0.5)  # it is linked meanwhile
            node = nodes(home)["guest"]["info"]["props"]
            assert node["node.latency"] == "4410/44100", node
            assert node["target.object"] == "second", node
            play(q, heard=home.file("heard.wav"))
        home.processes[-1].terminate()
        home.processes[-1].wait()
        is_the_tone(frames_of(home.file("heard.wav")), 44100)


def pipewire_that_is_not_there_is_told():
    with Home() as home:
        try:
            with Machine(home, "-audiodev", "pipewire,id=a"):
                raise AssertionError("it started")
        except AssertionError as e:
            assert "no PipeWire server" in str(e), e


# ---- ALSA ----

def alsa(home, text):
    with open(home.file(".asoundrc"), "w") as f:
        f.write(text)


def alsa_hears_the_tone():
    with Home() as home:
        heard = home.file("heard")
        alsa(home, """pcm.slow { type null }
pcm.heard { type plug slave.pcm { type file slave.pcm slow file %s format raw } }""" % heard)
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=heard,in.dev=null,out.frequency=44100,out.format=s16,"
                     "out.period-length=10000,threshold=20000,out.try-poll=off",
                     "-device", "AC97,audiodev=a,addr=4") as q:
            play(q, heard=heard)
        is_the_tone(frames_of(heard), 44100)


def alsa_is_recorded_from():
    with Home() as home:
        with open(home.file("tone"), "wb") as f:
            for left, right in tone(44100, 1000, 44100 * 60):
                f.write(struct.pack("<hh", left, right))
        alsa(home, """pcm.silent { type null }
pcm.tone { type file slave.pcm silent file /dev/null infile %s format raw }""" % home.file("tone"))
        with Machine(home, "-audiodev", "alsa,id=a,out.dev=null,in.dev=tone,in.frequency=44100,in.format=s16",
                     "-device", "AC97,audiodev=a,addr=4") as q:
            frames = record(q)
        is_the_tone(frames, 48000)


# What ALSA's library has agreed to, told by a library that is loaded before it.
ALSA_TELLS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef int set(void *, void *);
int snd_pcm_hw_params_get_period_time(const void *, unsigned *, int *);
int snd_pcm_hw_params_get_buffer_time(const void *, unsigned *, int *);
int snd_pcm_sw_params_get_start_threshold(const void *, unsigned long *);
int snd_pcm_stream(void *);
static void tell(const char *what, void *pcm, unsigned long value)
{
    FILE *f = fopen(getenv("ALSA_TELLS"), "a");
    fprintf(f, "%s %s %lu\n", snd_pcm_stream(pcm) ? "in" : "out", what, value);
    fclose(f);
}
int snd_pcm_hw_params(void *pcm, void *hw)
{
    int r = ((set *)dlsym(RTLD_NEXT, "snd_pcm_hw_params"))(pcm, hw), dir;
    unsigned value = 0;
    snd_pcm_hw_params_get_period_time(hw, &value, &dir);
    tell("period", pcm, value);
    snd_pcm_hw_params_get_buffer_time(hw, &value, &dir);
    tell("buffer", pcm, value);
    return r;
}
int snd_pcm_sw_params(void *pcm, void *sw)
{
    int r = ((set *)dlsym(RTLD_NEXT, "snd_pcm_sw_params"))(pcm, sw);
    unsigned long value = 0;
    snd_pcm_sw_params_get_start_threshold(sw, &value);
    tell("threshold", pcm, value);
    return r;
}
"""


def alsa_gets_lengths_as_told():
    needs("cc")
    with Home() as home:
        with open(home.file("tells.c"), "w") as f:
            f.write(ALSA_TELLS)
        made = home.run("cc", "-shared", "-fPIC", "-w", "-o", home.file("tells.so"), home.file("tells.c"), "-ldl",
                        "-lasound")
        if made.returncode and "-lasound" in made.stderr:
            raise Missing("libasound2-dev is not installed")
        assert made.returncode == 0, made.stderr
        alsa(home, "pcm.silent { type null }")
        home.env.update(LD_PRELOAD=home.file("tells.so"), ALSA_TELLS=home.file("told"))

        def told(options):
            if os.path.exists(home.file("told")):
                os.unlink(home.file("told"))
            with Machine(home, "-audiodev", "alsa,id=a,out.dev=silent,in.dev=silent" + options, "-device",
                         "AC97,audiodev=a,addr=4") as q:
                play(q, 0.2)
                record(q, 1)
            with open(home.file("told"), encoding="ascii") as f:
                return {tuple(words[:2]): int(words[2]) for words in map(str.split, f)}
        seen = told(",out.period-length=10000,in.period-length=20000,out.buffer-length=80000,in.buffer-length=120000,"
                    "threshold=30000,out.frequency=48000")
        wanted = {("out", "period"): 10000, ("in", "period"): 20000, ("out", "buffer"): 80000,
                  ("in", "buffer"): 120000, ("out", "threshold"): 1440}
        for what, value in wanted.items():
            assert abs(seen[what] - value) <= value // 50, (what, seen)
        seen = told("")
        assert seen[("out", "threshold")] == 1, seen  # it starts with the first frame
        for side in ("in", "out"):
            assert 80000 < seen[(side, "buffer")] < 100000, seen
            assert seen[(side, "buffer")] // 5 < seen[(side, "period")] < seen[(side, "buffer")] // 3, seen


def alsa_devices_that_are_not_there_are_told():
    with Home() as home:
        try:
            with Machine(home, "-audiodev", "alsa,id=a,out.dev=nowhere", "-device", "AC97,audiodev=a"):
                raise AssertionError("it started")
        except AssertionError as e:
            assert "nowhere" in str(e) and "aplay -L" in str(e), e


# ---- SDL ----

def sdl_hears_the_tone():
    with Home() as home:
        home.env.update(SDL_AUDIODRIVER="disk", SDL_DISKAUDIOFILE=home.file("heard"),
                        SDL_DISKAUDIOFILEIN="/dev/zero")
        with Machine(home, "-audiodev", "sdl,id=a,out.buffer-count=2", "-device", "AC97,audiodev=a,addr=4") as q:
            play(q, heard=home.file("heard"))
        is_the_tone(frames_of(home.file("heard")), 44100)


# ---- no choice ----

def without_a_word_the_best_that_opens_is_taken():
    with Home() as home:
        with Machine(home, "-device", "AC97,addr=4") as q:
            drivers = [d["driver"] for d in q.qmp("query-audiodevs")]
            assert len(drivers) == 1 and drivers[0] not in ("pa", "pipewire", "wav"), drivers
        pulse(home)
        with Machine(home, "-device", "AC97,addr=4") as q:
            assert [d["driver"] for d in q.qmp("query-audiodevs")] == ["pa"]


tap = Tap()
for case in (pulseaudio_hears_the_tone, pulseaudio_s_keys_do_what_they_say,
             pulseaudio_has_the_latency_that_was_asked_for, pulseaudio_is_recorded_from,
             pulseaudio_that_is_not_there_is_told, pulseaudio_may_go_away, pipewire_hears_the_tone,
             pipewire_that_is_not_there_is_told, alsa_hears_the_tone, alsa_is_recorded_from, alsa_gets_lengths_as_told,
             alsa_devices_that_are_not_there_are_told,
             sdl_hears_the_tone, without_a_word_the_best_that_opens_is_taken):
    tap.case(case.__name__, case)
tap.done()
