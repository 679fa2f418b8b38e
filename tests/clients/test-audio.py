#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
-audiodev and -audio as users type them: what is listed, made and refused.
Usage: test-audio.py SOURCE-ROOT BUILD-ROOT
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")


def prints(*args):
    run = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    return run.stdout


def audiodevs(*args):
    with Emulator(PROGRAM, "-M", "none", *args) as e:
        return e.command("query-audiodevs")["return"]


def drivers_are_listed():
    for args in (["-audiodev", "help"], ["-audiodev", "driver=help"], ["-audio", "driver=help"]):
        lines = [line.split()[0] for line in prints(*args).splitlines()[1:]]
        assert {"none", "wav"} <= set(lines), (args, lines)
        assert lines == sorted(lines)
    assert "path=<str>" in prints("-audiodev", "wav,help")


def models_are_listed():
    lines = prints("-audio", "none,model=help").splitlines()
    assert lines[0] == "Valid audio device model names:"
    assert "ac97" in [line.split()[0] for line in lines[1:]], lines


def the_shortcut_makes_card_and_back_end():
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "a.wav")
        with Emulator(PROGRAM, "-M", "pc", "-audio", "wav,path=%s,model=ac97" % path) as short, \
                Emulator(PROGRAM, "-M", "pc", "-audiodev", "wav,id=audiodev0,path=" + path + "2", "-device",
                         "AC97,audiodev=audiodev0") as long:
            said = []
            for e in (short, long):
                cards = [d for d in e.command("qom-list", path="/machine/peripheral-anon")["return"]
                         if d["type"] == "child<AC97>"]
                assert len(cards) == 1, cards
                card = "/machine/peripheral-anon/" + cards[0]["name"]
                said.append((e.command("query-audiodevs")["return"],
                             e.command("qom-get", path=card, property="audiodev")["return"]))
            assert said[0] == said[1], said


def without_a_model_it_is_the_default():
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = os.path.join(folder, "a.wav")
        with Emulator(PROGRAM, "-M", "pc", "-audio", "wav,path=" + path, "-device", "AC97") as e:
            text = e.command("human-monitor-command", command_line="info audio")["return"]
            assert "ac97.out" in text, text
        with open(path, "rb") as f:
            assert f.read(4) == b"RIFF"


def none_is_heard_nowhere():
    with Emulator(PROGRAM, "-M", "pc", "-audio", "none", "-device", "AC97") as e:
        assert [d["driver"] for d in e.command("query-audiodevs")["return"]] == ["none"]


def the_manual_s_example_is_the_same_both_ways():
    """-audiodev DRIVER,id=X -device sb16,audiodev=X and -audio DRIVER,model=sb16."""
    said = []
    for args in (["-audiodev", "none,id=audiodev0", "-device", "sb16,audiodev=audiodev0"],
                 ["-audio", "none,model=sb16"]):
        with Emulator(PROGRAM, "-M", "pc", *args) as e:
            text = e.command("human-monitor-command", command_line="info qtree")["return"]
            said.append((e.command("query-audiodevs")["return"], text))
    assert said[0] == said[1] and "sb16" in said[0][1]


def a_card_without_any_still_works():
    with Emulator(PROGRAM, "-M", "pc", "-device", "AC97", ) as e:
        assert len(e.command("query-audiodevs")["return"]) == 1


def keys_of_both_directions_are_taken():
    got = audiodevs("-audiodev", "none,id=example,in.frequency=44110,out.frequency=8000",
                    "-audiodev", "none,id=b,out.channels=1,out.voices=3,out.buffer-length=20000,timer-period=1000")
    assert got[0]["in"]["frequency"] == 44110 and got[0]["out"]["frequency"] == 8000, got
    assert got[1]["out"]["channels"] == 1 and got[1]["in"]["channels"] == 2
    assert got[1]["out"]["voices"] == 3 and got[1]["out"]["buffer-length"] == 20000
    assert got[1]["timer-period"] == 1000 and got[0]["timer-period"] == 10000


def mistakes_are_told():
    for args, words in (
            (["-audiodev", "none"], ["-audiodev none", "id"]),
            (["-audiodev", "none,id=a", "-audiodev", "none,id=a"], ["'a'", "taken"]),
            (["-audiodev", "none,id=a,bad=1"], ["bad"]),
            (["-audiodev", "none,id=a,out.bad=1"], ["out.bad"]),
            (["-audiodev", "bad,id=a"], ["bad", "none"]),
            (["-audiodev", "none,id=a,out.format=s12"], ["out.format", "s12", "f32"]),
            (["-audiodev", "none,id=a,in.format=x"], ["in.format", "s16"]),
            (["-audiodev", "none,id=a,out.frequency=10"], ["out.frequency", "1000"]),
            (["-audiodev", "none,id=a,out.channels=9"], ["out.channels"]),
            (["-audiodev", "none,id=a,out.channels=6"], ["out.mixing-engine=off"]),
            (["-audiodev", "none,id=a,out.mixing-engine=off"], ["out.fixed-settings=off"]),
            (["-audiodev", "none,id=a,in.fixed-settings=off,in.frequency=8000"], ["in.frequency"]),
            (["-audiodev", "none,id=a,timer-period=1"], ["timer-period"]),
            (["-M", "pc", "-audiodev", "wav,id=a,path=/nonexistent/a.wav", "-device", "AC97,audiodev=a"],
             ["/nonexistent/a.wav", "No such file"]),
            (["-M", "pc", "-audiodev", "wav,id=a,path=/dev/null", "-device", "AC97,audiodev=a"], ["/dev/null"]),
            (["-M", "pc", "-device", "AC97,audiodev=missing"], ["missing"]),
            (["-M", "pc", "-audio", "none,model=bad"], ["bad", "model=help"]),
            (["-audiodev", "coreaudio,id=a"], ["coreaudio", "macOS"])):
        said = fails(PROGRAM, *args)
        assert said.count("\n") == 1 and all(word in said for word in words), (args, said)


def one_file_serves_one_stream():
    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        said = fails(PROGRAM, "-M", "pc", "-audiodev",
                     "wav,id=a,out.voices=2,path=" + os.path.join(folder, "a.wav"), "-device", "AC97,audiodev=a",
                     "-device", "AC97,audiodev=a")
        assert "out.voices=1" in said, said


tap.run([drivers_are_listed, models_are_listed, the_shortcut_makes_card_and_back_end,
         without_a_model_it_is_the_default, none_is_heard_nowhere, a_card_without_any_still_works,
         the_manual_s_example_is_the_same_both_ways,
         keys_of_both_directions_are_taken, mistakes_are_told, one_file_serves_one_stream])
