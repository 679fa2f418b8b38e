#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sound cards with Linux's drivers, all in one machine: each plays a tone of its own into a file, and one more of each
records what a sound server of the host has."""
import os
import re
import subprocess
import sys

from console import TOP, Tap
from linux import Guest

sys.path.insert(0, os.path.join(TOP, "tests/qtest"))
from ac97 import read_wav, without_silence  # noqa: E402
from soundserver import Home, pulse  # noqa: E402

DRIVERS = ("virtio_snd", "snd_hda_codec_generic", "snd_hda_intel", "snd_intel8x0", "snd_ens1370")
# The driver's name in /proc/asound/cards, the devices, the rate and the Hz that are played.
CARDS = {"virtio-snd": (("virtio-sound-pci,jacks=2,chmaps=2",), 48000, 1000),
         "HDA-Intel": (("intel-hda,id={0}-hda", "hda-duplex,bus={0}-hda.0"), 44100, 700),
         "ICH": (("AC97",), 48000, 1300), "ENS1370": (("ES1370",), 44100, 500)}
RECORDED = 900


def machine(folder, server):
    """Four cards that play, then four that record."""
    args = ["-M", "q35", "-m", "512", "-nic", "none", "-audiodev", f"pa,id=mic,server={server},in.name=first.monitor"]
    for name in CARDS:
        args += ["-audiodev", f"wav,id={name},path={folder}/{name}.wav"]
    for purpose in CARDS, dict.fromkeys(CARDS, "mic"):
        for name, (devices, _, _) in CARDS.items():
            audiodev = name if purpose is CARDS else "mic"
            for device in devices:
                last = f",audiodev={audiodev}" if device == devices[-1] else ""
                args += ["-device", device.format(audiodev) + last]
    return args


def build(folder):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sound.c")
    subprocess.run(["gcc", "-O2", "-static", "-o", f"{folder}/sound", source, "-lm"], check=True)
    return f"{folder}/sound"


class Sound:
    """What happened in the guest: text, and the file of each card."""

    def __init__(self, home):
        pulse(home, f"module-sine sink=first frequency={RECORDED} rate=44100")
        with Guest(*machine(home.path, home.env["PULSE_SERVER"]), newer=True, drivers=DRIVERS,
                   programs=(build(home.path),)) as g:
            text = g.run("cat /proc/asound/cards")
            self.numbers = {}
            for number, name in re.findall(r"^ *(\d+) \[[^]]*\]: (\S+) - ", text, re.M):
                self.numbers.setdefault(name, []).append(number)
            assert {name: len(n) for name, n in self.numbers.items()} == dict.fromkeys(CARDS, 2), text
            self.said = {}
            for name, (_, rate, hertz) in CARDS.items():
                play, record = self.numbers[name]
                self.said[name] = g.run(f"sound mixer {play}; sound mixer {record}; sound play {play} {rate} {hertz} "
                                        f"500; sound record {record} {rate} 300", 200)
            self.messages = g.run("dmesg | grep -iE 'snd|hda|ac97|virtio'")
            # The first card plays into a file. Its driver measures, and says what it goes by.
            first = re.search(r"snd_intel8x0 (\S+):", self.messages)[1]
            found = dict(re.findall(r"(\S+): clocking to (\d+)", self.messages))
            self.clock = int(found[first]) if first in found else None
            self.clocks = [int(n) for n in found.values()]
            g.console.type("poweroff -f\n")
            assert g.console.wait(60) == 0
        self.files = {name: read_wav(os.path.join(home.path, name + ".wav")) for name in CARDS}


def median_hertz(samples, rate):
    """By the distance of rising zero crossings that is the most usual: a gap changes nothing."""
    at = [i + a / (a - b) for i, (a, b) in enumerate(zip(samples, samples[1:])) if a < 0 <= b]
    steps = sorted(b - a for a, b in zip(at, at[1:]))
    return rate / steps[len(steps) // 2]


def plays(sound, name):
    hertz = CARDS[name][2]
    assert re.search(r"played (\d+) of \1 frames", sound.said[name]), sound.said[name]
    file_rate, _, frames = sound.files[name]
    left, right = ([f[side] for f in without_silence(frames)] for side in (0, 1))
    assert len(left) > 0.4 * file_rate and max(left) > 4000, (len(left), max(left))
    for side in left, right:
        assert abs(median_hertz(side, file_rate) - hertz) < hertz / 1000, median_hertz(side, file_rate)


def records(sound, name):
    found = re.search(r"recorded (\d+) frames, loudest (\d+), ([\d.]+) Hz", sound.said[name])
    assert found, sound.said[name]
    frames, loudest, hertz = int(found[1]), int(found[2]), float(found[3])
    # AC97's driver sets rates by the clock that it measured (below), as far as the codec has them.
    wanted = [RECORDED] + ([RECORDED * 48000 / clock for clock in sound.clocks] if name == "ICH" else [])
    assert frames > 10000 and loudest > 1000, found[0]
    assert any(abs(hertz - w) < w / 100 for w in wanted), (found[0], sound.clocks)


def ac97_s_clock_is_right(sound):
    """The driver measures it: of the card that plays into a file. A sound server takes frames in bursts, which spoils
    the measurement of the other."""
    assert abs(sound.clock - 48000) < 500, sound.messages


CASES = (("virtio_snd_plays_a_tone", plays, "virtio-snd"), ("virtio_snd_records_a_tone", records, "virtio-snd"),
         ("hda_intel_plays_a_tone", plays, "HDA-Intel"), ("hda_intel_records_a_tone", records, "HDA-Intel"),
         ("ich_plays_a_tone", plays, "ICH"), ("ich_records_a_tone", records, "ICH"),
         ("ens1370_plays_a_tone", plays, "ENS1370"), ("ens1370_records_a_tone", records, "ENS1370"))


def main():
    tap = Tap()
    done = []
    with Home() as home:
        def start():
            done.append(Sound(home))
        tap.case("drivers_find_all_cards", start)
        for case, does, name in CASES:
            tap.case(case, lambda d=does, n=name: d(done[0], n))
        if done and done[0].clock is None:
            tap.skip("ac97_s_clock_is_right", "the driver has not said what it measured")
        else:
            tap.case("ac97_s_clock_is_right", lambda: ac97_s_clock_is_right(done[0]))
    tap.done()


if __name__ == "__main__":
    main()
