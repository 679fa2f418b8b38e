#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual: pages render without a warning, say all that the emulator has, and nothing by hand."""
import filecmp
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

SOURCE, BUILD = sys.argv[1:3]
import tap

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
MADE = os.path.join(BUILD, "docs")
PAGES = sorted(glob.glob(os.path.join(MADE, "*.[17]")) +
               glob.glob(os.path.join(SOURCE, "docs", "man", "*.[17]")))


def rendered(path, *options):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", *options, path],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80",
                               "MANROFFOPT": "", "MANPAGER": "cat"})
    return done


def page(name):
    """A page as plain words, without line breaks."""
    text = re.sub(".\x08|\x1b\\[[0-9;]*m", "", rendered(os.path.join(MADE, name)).stdout)
    return re.sub(r"\s+", " ", text)


def need_man():
    if not shutil.which("man"):
        raise tap.Skip("man is not installed (./dev setup check)")


def pages_render_without_warnings():
    need_man()
    assert len(PAGES) == 4 + len(glob.glob(os.path.join(SOURCE, "docs/man/*.[1-8]"))) > 4, PAGES
    for path in PAGES:
        done = rendered(path)
        assert done.returncode == 0 and not done.stderr, (path, done.stderr)
        for section in ("NAME", "DESCRIPTION", "SEE ALSO"):
            assert re.search("^%s$" % section, done.stdout, re.M), (path, section)


def a_broken_page_would_be_noticed():
    need_man()
    with tempfile.NamedTemporaryFile("w", suffix=".1") as file:
        file.write('.TH X 1\n.SH NAME\nx \\- y\n.NOSUCHMACRO\n')
        file.flush()
        assert "NOSUCHMACRO" in rendered(file.name).stderr


def pages_are_clean_text():
    for path in PAGES:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert text.endswith("\n") and "SPDX-License-Identifier" in text, path
        assert not [c for c in text if ord(c) < 32 and c != "\n"], path
        assert re.search(r"^\.SH \"?NAME\"?\n(\.PP\n)?backplane(\\-[a-z]+)+ +\\- ", text, re.M), path
        for line in text.splitlines():
            if not line.startswith((".", "'")):
                assert not re.search(r"(?<!\\)-", line), (path, line)
        for place in (os.path.abspath(SOURCE), os.path.abspath(BUILD)):
            assert place not in text, (path, place)


def everything_is_there():
    need_man()
    facts = json.loads(subprocess.run([PROGRAM, "-help-json"], stdout=subprocess.PIPE, check=True,
                                      timeout=60).stdout)
    system, devices = page("backplane-system.1"), page("backplane-devices.7")
    qmp, hmp = page("backplane-qmp.7"), page("backplane-hmp.7")
    missing = ["-" + o["name"] for o in facts["options"] if "-" + o["name"] not in system]
    for key in ("machines", "cpus", "accelerators", "objects"):
        missing += [t["name"] for t in facts[key] if t["name"] not in system]
    assert "chardev" in [k["name"] for k in facts["kinds"]]
    missing += [t["name"] for k in facts["kinds"] for t in k["members"] if t["name"] not in system]
    for device in facts["devices"]:
        missing += [n for n in [device["name"]] + [p["name"] + "=" for p in device["properties"]]
                    if n not in devices]
    for command in facts["commands"] + facts["events"]:
        fields = command.get("arguments", command.get("data", []))
        missing += [n for n in [command["name"]] + [f["name"] + ": " for f in fields] if n not in qmp]
    missing += [c["name"] for c in facts["monitor-commands"] if c["name"] not in hmp]
    assert not missing, missing


def markdown_has_the_same_entries():
    with open(os.path.join(MADE, "backplane-devices.md"), encoding="utf-8") as file:
        text = file.read()
    assert "### isa-serial\n" in text and "- `iobase`=*uint32*: " in text, text[:2000]
    assert len(glob.glob(os.path.join(MADE, "*.md"))) == 4


def keys_are_those_of_the_multiplexer():
    """Said by hand in tools/manual.py; the program says them itself after Ctrl-a h."""
    need_man()
    done = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-nographic"], timeout=60,
                          input=b"\x01h\x01x", stdout=subprocess.PIPE, check=True)
    lines = re.findall(r"^C-a (\w) +(.*)\r$", done.stdout.decode(), re.M)
    said = page("backplane-system.1")
    assert len(lines) == 6, done.stdout
    for key, text in lines:
        assert re.search("Ctrl.a %s %s" % (key, re.escape(text)), said, re.I), (key, text)
    assert said.count("Ctrl-a ") + said.count("Ctrl\u2010a ") >= len(lines) + 1, said


def examples_are_accepted():
    """As far as the options go: `-version` at the end ends the reading of the command line."""
    with open(os.path.join(MADE, "backplane-system.md"), encoding="utf-8") as file:
        text = file.read()
    text = text[text.index("## Examples"):]
    lines = [line[4:] for line in text.splitlines() if line.startswith("    backplane-system-")]
    assert len(lines) >= 6, text
    for line in lines:
        for command in line.split("; "):
            name, *argv = shlex.split(command)
            assert os.path.exists(os.path.join(BUILD, name)), name
            done = subprocess.run([PROGRAM, *argv, "-version"], capture_output=True, text=True,
                                  timeout=60)
            assert done.returncode == 0 and not done.stderr, (command, done)


def writing_again_gives_the_same():
    with tempfile.TemporaryDirectory() as where:
        subprocess.run([sys.executable, os.path.join(SOURCE, "tools", "manual.py"), PROGRAM, where],
                       check=True, timeout=60)
        made = sorted(os.listdir(where))
        assert len(made) == 8, made
        same, other, errors = filecmp.cmpfiles(where, MADE, made, shallow=False)
        assert sorted(same) == made, (other, errors)


tap.run([pages_render_without_warnings, a_broken_page_would_be_noticed, pages_are_clean_text,
         everything_is_there, markdown_has_the_same_entries,
         keys_are_those_of_the_multiplexer, examples_are_accepted, writing_again_gives_the_same])
