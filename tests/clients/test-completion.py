#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion in real shells, typed on a terminal: bash (without bash-completion), zsh and fish."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests", "house"))
import tap
from qmp import cpu_seconds

PROGRAM = os.path.join(os.path.abspath(BUILD), "backplane-system-x86_64")
NAME = "backplane-system-x86_64"
SCRIPTS = os.path.join(SOURCE, "completions")
# What is typed before TAB, and the arguments that the shell then has.
CASES = (
    ("-devi", ["-device"]),
    ("--devi", ["--device"]),
    ("-device isa-debugc", ["-device", "isa-debugcon"]),
    ("-device isa-serial,bau", ["-device", "isa-serial,baudbase="]),
    ("-device isa-serial,irq=3,bau", ["-device", "isa-serial,irq=3,baudbase="]),
    ("-M pc,acpi=of", ["-M", "pc,acpi=off"]),
    ("-machine pc,hpe", ["-machine", "pc,hpet="]),
    ("-cpu hos", ["-cpu", "host"]),
    ("-accel inte", ["-accel", "interp"]),
    ("-object sec", ["-object", "secret"]),
    ("-chardev sock", ["-chardev", "socket"]),
    ("-chardev socket,id=x,telne", ["-chardev", "socket,id=x,telnet="]),
    ("-smp 2,threa", ["-smp", "2,threads="]),
    ("-rtc clock=ho", ["-rtc", "clock=host"]),
    ("-chardev null,id=foobar -device isa-serial,chardev=foo",
     ["-chardev", "null,id=foobar", "-device", "isa-serial,chardev=foobar"]),
    ("-kernel kerne", ["-kernel", "kernel-image"]),
    ("-chardev file,id=a,path=kerne", ["-chardev", "file,id=a,path=kernel-image"]),
    ("kerne", ["kernel-image"]),
)


def ask(*words):
    """The program's own answer; the last word is the one to complete."""
    done = subprocess.run([PROGRAM, "-complete", str(len(words)), "--", NAME, *words],
                          capture_output=True, text=True, timeout=20, check=True)
    mode, *lines = done.stdout.splitlines()
    return mode, [line.split("\t")[0] for line in lines]


class Place:
    """A directory with a program of the name that prints its arguments, unless it is asked."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.realpath(self.directory.name)
        os.mkdir(self.path + "/bin")
        os.mkdir(self.path + "/home")
        wrapper = os.path.join(self.path, "bin", NAME)
        with open(wrapper, "w", encoding="utf-8") as f:
            f.write('#!/bin/sh\n[ "$1" = -complete ] && exec "%s" "$@"\n'
                    "printf 'GOT(%%s)\\n' \"$@\"\necho DONE\n" % PROGRAM)
        os.chmod(wrapper, 0o755)
        os.mkdir(self.path + "/files")
        with open(self.path + "/files/kernel-image", "w", encoding="utf-8"):
            pass
        return self

    def __exit__(self, *exception):
        self.directory.cleanup()

    def environment(self):
        return {"PATH": self.path + "/bin:" + os.environ["PATH"], "HOME": self.path + "/home",
                "TERM": "dumb", "LC_ALL": "C.UTF-8", "HISTFILE": "",
                **{k: v for k, v in os.environ.items() if k.startswith(("LD_", "ASAN", "TSAN"))}}


class Terminal:
    """A shell at the other end of a pseudo terminal."""

    def __init__(self, place, argv, setup):
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.chdir(place.path + "/files")
            os.execvpe(argv[0], argv, place.environment())
        self.send(setup + "; echo REA''DY\n")
        self.until("READY")

    def close(self):
        os.close(self.master)
        os.kill(self.process, 9)
        os.waitpid(self.process, 0)

    def send(self, text):
        os.write(self.master, text.encode())

    def until(self, mark, seconds=20.0):
        text, end = "", time.monotonic() + seconds
        while mark not in text:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError("no %r in %r" % (mark, text))
            text += os.read(self.master, 65536).decode(errors="replace")
        return text

    def complete(self, typed):
        """The arguments after TAB."""
        self.send("%s %s\t" % (NAME, typed))
        time.sleep(0.25)  # what is typed before the answer would belong to it
        self.send("\n")
        return re.findall(r"GOT\((.*?)\)", self.until("DONE"))


def need(shell):
    if not shutil.which(shell):
        raise tap.Skip("%s is not installed (./dev setup check)" % shell)


def on_terminal(argv, setup):
    wrong = []
    with Place() as place:
        terminal = Terminal(place, argv, setup)
        try:
            for typed, expected in CASES:
                got = terminal.complete(typed)
                if got != expected:
                    wrong.append((typed, got))
        finally:
            terminal.close()
    assert not wrong, wrong


def program_answers():
    assert ask("-device", "isa-debugc") == ("open", ["isa-debugcon"])
    mode, words = ask("-device", "isa-serial,irq=3,")
    assert mode == "open" and "isa-serial,irq=3,iobase=" in words
    assert "isa-serial,irq=3,irq=" not in words, "it is given already"
    assert "isa-serial,irq=3,help" in words
    mode, words = ask("-device", "")
    assert "isa-serial" in words and "help" in words and "i440FX" not in words
    assert ask("-M", "pc,acpi=") == ("open", ["pc,acpi=on", "pc,acpi=off"])
    assert ask("-M", "pc-i440fx-9") == ("open", ["pc-i440fx-9.0", "pc-i440fx-9.1"])
    assert ask("-M", "pc-q35-9.1") == ("open", ["pc-q35-9.1"]) and ask("-M", "q") == ("open", ["q35"])
    assert ask("-device", "driver=isa-serial,iob") == ("open", ["driver=isa-serial,iobase="])
    assert ask("-cpu", "qemu64,+fsgs") == ("open", ["qemu64,+fsgsbase"])
    assert ask("-cpu", "qemu64,fsgs") == ("open", ["qemu64,fsgsbase="])
    assert ask("-chardev", "socket,ipv4=") == (
        "open", ["socket,ipv4=auto", "socket,ipv4=on", "socket,ipv4=off"])
    assert ask("-action", "panic=e") == ("open", ["panic=exit-failure"])
    assert ask("-S", "-nodef") == ("words", ["-nodefaults"])
    assert ask("-module-dir", "") == ("files ", [])
    assert ask("-device", "nope,") == ("open", ["nope,driver=", "nope,id=", "nope,bus=", "nope,help"])
    assert ask("-nope", "-nope") == ("words", [])
    assert ask("-display", "n") == ("open", ["none"])
    assert ask("-serial", "mo") == ("open", ["mon:stdio"])
    assert ask("-monitor", "teln") == ("open", ["telnet:"])
    assert ask("-serial", "file:/x") == ("files file:", [])
    assert ask("-d", "unimp,guest_") == ("open", ["unimp,guest_errors"])
    assert ask("-machine", "pc,accel=inte") == ("open", ["pc,accel=interp"])
    assert ask("-machine", "pc,accel=qtest:inte") == ("open", ["pc,accel=qtest:interp"])
    assert ask("-chardev", "null,id=abc", "-mon", "chardev=a") == ("open", ["chardev=abc"])


def wrong_questions_are_refused():
    for argv in ((), ("1",), ("1", "--"), ("0", "--", "x", "y"), ("x", "--", "x", "y"),
                 ("9", "--", "x", "y"), ("-1", "--", "x", "y"), ("1", "x", "y"), ("2", "--", "x", "y")):
        done = subprocess.run([PROGRAM, "-complete", *argv], capture_output=True, text=True, timeout=20,
                              check=False)
        assert done.returncode == 1 and "-complete" in done.stderr and not done.stdout, (argv, done)


def odd_words_do_no_harm():
    for word in ("", ",", ",,", "=", "a=", "isa-serial,=", "{", "{\"", "isa-serial,,,", "\xff", "a" * 70000,
                 "isa-serial," + "a=b," * 2000, "+", "driver=", "driver=driver=", "\t\n", "./x.so,"):
        for option in ("-device", "-machine", "-cpu", "-smp", "-chardev", "-d", "-nope"):
            ask(option, word)


def answer_comes_quickly():
    times = []
    for _ in range(10):
        start = cpu_seconds()
        ask("-device", "isa-serial,")
        times.append(cpu_seconds() - start)
    print("# best of 10: %.1f ms" % (min(times) * 1000))
    assert min(times) < (2 if os.environ.get("BP_SANITIZED") else 0.1), times


def bash_completes():
    need("bash")
    on_terminal(["bash", "--norc", "--noprofile", "-i"],
                "PS1='$ '; bind 'set enable-bracketed-paste off'; . %s/bash/backplane" % SCRIPTS)


def bash_lists_choices():
    need("bash")
    with Place() as place:
        terminal = Terminal(place, ["bash", "--norc", "--noprofile", "-i"],
                            "PS1='$ '; bind 'set enable-bracketed-paste off'; . %s/bash/backplane" % SCRIPTS)
        try:
            terminal.send(NAME + " -device isa-\t\t")
            shown = terminal.until("isa-serial")
            assert "isa-debugcon" in shown and "isa-debug-exit" in shown, shown
        finally:
            terminal.close()


def zsh_completes():
    need("zsh")
    on_terminal(["zsh", "-f", "-i"],
                "PS1='%% '; unsetopt zle_bracketed_paste 2>/dev/null; fpath=(%s/zsh $fpath); "
                "autoload -Uz compinit && compinit -u -D" % SCRIPTS)


def fish_completes():
    need("fish")
    wrong = []
    with Place() as place:
        for typed, expected in CASES:
            script = "source %s/fish/backplane.fish; complete -C'%s %s'" % (SCRIPTS, NAME, typed)
            done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True,
                                  timeout=60, env=place.environment(), cwd=place.path + "/files",
                                  check=True)
            words = [line.split("\t")[0] for line in done.stdout.splitlines()]
            if words != [expected[-1]]:
                wrong.append((typed, words, done.stderr))
    assert not wrong, wrong


tap.run([program_answers, wrong_questions_are_refused, odd_words_do_no_harm, answer_comes_quickly,
         bash_completes, bash_lists_choices, zsh_completes, fish_completes])
