# SPDX-License-Identifier: LGPL-2.1-or-later
"""-display curses in tmux: what the terminal shows is what query-screen-text says, keys arrive.
Usage: test-curses.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import json
import os
import pty
import select
import shlex
import socket
import subprocess
import sys
import time

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))

from desktop import REGISTERS, need, wait  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("curses-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))


class Terminal:
    """The emulator in a terminal of its own."""

    count = 0

    def __init__(self, *options, columns=100, lines=45):
        need("tmux")
        Terminal.count += 1  # a server that ends may still have its socket
        self.socket, self.qmp_path = (os.path.join(FOLDER, "%s%d" % (name, Terminal.count)) for name in ("tmux", "qmp"))
        command = [PROGRAM, "-nodefaults", "-m", "32", "-qmp", "unix:%s,server=on,wait=off" % self.qmp_path, *options]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), "-e", "LC_ALL=C.UTF-8",
                  "%s 2> %s/errors; echo ended with $?; sleep 1000" % (shlex.join(command), FOLDER))

    def connects(self):
        """The socket is there a moment before it listens."""
        try:
            self.qmp_socket.connect(self.qmp_path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def __enter__(self):
        self.qmp_socket = socket.socket(socket.AF_UNIX)
        self.qmp_socket.settimeout(SECONDS)
        wait(self.connects, "the emulator does not start: %s" % self.shown())
        self.file = self.qmp_socket.makefile("rw")
        self.file.readline()
        self.qmp("qmp_capabilities")
        return self

    def __exit__(self, *exception):
        self.qmp_socket.close()
        self.tmux("kill-server")
        if os.path.exists(self.qmp_path):
            os.unlink(self.qmp_path)

    def tmux(self, *args):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(["tmux", "-u", "-S", self.socket, *args], env=env, capture_output=True, text=True,
                              check=True).stdout

    def qmp(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" not in reply:
                return reply.get("return")

    def shown(self, *options):
        return [line.rstrip() for line in self.tmux("capture-pane", "-p", *options).split("\n")]

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def screen(self):
        reply = self.qmp("query-screen-text")  # none in a mode that has no text
        return [line.rstrip() for line in reply["lines"]] if reply else []

    def same(self, words):
        """Both show the same, and the words are there."""
        def look():
            lines = self.screen()
            return self.shown()[:len(lines)] == lines and any(words in line for line in lines)
        wait(look, lambda: "%r does not come: %s\n%s" % (words, self.screen(), self.shown()))


def needs_firmware():
    if not os.path.exists("/usr/share/seabios/vgabios-stdvga.bin"):
        raise Skip("no firmware")


def firmware(*options, display="curses"):
    needs_firmware()
    return Terminal("-accel", "interp", "-vga", "std", "-display", display, *options)


def terminal_shows_the_text_screen():
    with firmware() as t:
        t.same("No bootable device")
        t.qmp("quit")
        wait(lambda: any("ended with 0" in line for line in t.shown()), "the terminal is not given back")


def typed_keys_reach_the_guest():
    with firmware("-boot", "menu=on,splash-time=60000") as t:
        t.same("for boot menu")
        t.keys("Escape")
        t.same("Select boot device:")


# A boot sector that puts three bytes into the corner of the screen and halts.
SECTOR = bytes.fromhex("b800b8 8ed8 c606000082 c6060200d4 c606040003 f4 ebfd").ljust(510, b"\0") + b"\x55\xaa"


def characters_are_those_of_the_charset():
    disk = os.path.join(FOLDER, "disk")
    with open(disk, "wb") as f:
        f.write(SECTOR.ljust(1 << 20, b"\0"))
    for charset, want in (("", "\u00e9\u2558\u2665"), (",charset=CP437", "\u00e9\u2558\u2665"),
                          (",charset=CP850", "\u00e9\u00c8\u2665")):
        with firmware("-drive", "file=%s,format=raw,if=ide,snapshot=on" % disk, display="curses" + charset) as t:
            wait(lambda: t.shown()[0].startswith(want), lambda: "%s: %r" % (charset, t.shown()[0]))


def graphics_are_told_of():
    needs_firmware()
    with Terminal("-accel", "qtest", "-M", "pc", "-modules", "preload=" + os.path.join(MODULE, "screen.so"), "-vga", "none",
                  "-device", "test-screen,width=400,height=300", "-display", "curses") as t:
        wait(lambda: any("400 x 300 Graphic mode" in line for line in t.shown()), lambda: "not told of: %s" % t.shown())


def consoles_are_switched_by_alt_and_a_number():
    needs_firmware()
    with firmware("-modules", "preload=" + os.path.join(MODULE, "screen.so"), "-device",
                  "test-screen,width=400,height=300") as t:
        t.same("No bootable device")
        t.keys("M-2")
        wait(lambda: any("400 x 300 Graphic mode" in line for line in t.shown()), lambda: "no other: %s" % t.shown())
        t.keys("M-1")
        t.same("No bootable device")


def keys_are_those_of_the_layout():
    """What is typed at the terminal is pressed as on the keyboard that -k names."""
    for language, text, want in ((None, "y?", [(21, 1), (21, 0), (42, 1), (53, 1), (53, 0), (42, 0)]),
                                 ("de", "y?\u00f6@", [(44, 1), (44, 0), (42, 1), (12, 1), (12, 0), (42, 0), (39, 1), (39, 0),
                                                     (100, 1), (16, 1), (16, 0), (100, 0)]),
                                 ("fr", "a1", [(16, 1), (16, 0), (42, 1), (2, 1), (2, 0), (42, 0)])):
        with Terminal(*SCREEN, "-modules", "preload=" + os.path.join(MODULE, "screen.so"), "-display", "curses",
                      *(("-k", language) if language else ()), "-qtest", "unix:%s/qtest,server=on,wait=off" % FOLDER) as t:
            wait(lambda: any("Graphic mode" in line for line in t.shown()), lambda: "not told of: %s" % t.shown())
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.join(FOLDER, "qtest"))
                lines = s.makefile("rw")

                def readl(offset):
                    lines.write("readl 0x%x\n" % (REGISTERS + offset))
                    lines.flush()
                    return int(lines.readline().split()[1], 16)
                t.keys("-l", text)
                seen = []

                def look():
                    for _ in range(readl(12)):
                        kind, code, value = (readl(at) for at in (16, 20, 24))
                        if kind == 1:
                            seen.append((code, value))
                    return len(seen) >= len(want)
                wait(look, lambda: "%s: %s" % (language, seen))
                assert seen == want, (language, seen)


def the_monitor_is_a_console():
    with firmware("-monitor", "vc") as t:
        t.same("No bootable device")
        t.keys("M-2")
        wait(lambda: any("(qemu)" in line for line in t.shown()), lambda: "no monitor: %s" % t.shown())
        t.keys("i", "n", "f", "o", "Space", "s", "t", "a", "t", "u", "s", "Enter")
        wait(lambda: any("VM status: running" in line for line in t.shown()), lambda: "no answer: %s" % t.shown())
        t.keys("M-1")
        t.same("No bootable device")


def new_sizes_of_the_terminal_are_followed():
    with firmware() as t:
        t.same("No bootable device")
        t.tmux("resize-window", "-x", "60", "-y", "20")
        wait(lambda: t.shown()[:19] == [line[:60].rstrip() for line in t.screen()][:19], lambda: "%s" % t.shown())
        t.tmux("resize-window", "-x", "90", "-y", "30")
        t.same("No bootable device")


def cpu_of(pid):
    """Seconds that a process has computed."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def assert_idle(pid):
    """Who waits for what does not come computes nothing: of four seconds less than one."""
    before, end = cpu_of(pid), time.monotonic() + 4
    while time.monotonic() < end:
        select.select([], [], [], end - time.monotonic())
    used = cpu_of(pid) - before
    assert used < 1, "%g s of 4 s" % used


SCREEN = ("-accel", "qtest", "-M", "pc", "-vga", "none", "-device",
          "test-screen,id=seat,width=400,height=300")


def keys_that_nobody_takes_cost_nothing():
    with Terminal(*SCREEN, "-modules", "preload=" + os.path.join(MODULE, "screen.so"), "-display", "curses") as t:
        wait(lambda: any("400 x 300 Graphic mode" in line for line in t.shown()), lambda: "not told of: %s" % t.shown())
        # What the screen's keyboard does not take waits, up to a limit.
        press = [{"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": "f8"}}} for down in (True, False)]
        sent = 0
        while t.qmp("input-send-event", device="seat", events=press) is not None:
            sent += 1
        assert sent > 3000, sent
        t.keys("a", "b", "c")
        pid = int(t.tmux("list-panes", "-F", "#{pane_pid}"))
        child = int(subprocess.run(["pgrep", "-P", str(pid), "-f", "curses"], capture_output=True, text=True,
                                   check=True).stdout.split()[0])
        assert_idle(child)


def terminals_that_go_cost_nothing():
    ours, theirs = pty.openpty()
    path = os.path.join(FOLDER, "gone")
    with subprocess.Popen([PROGRAM, "-nodefaults", *SCREEN, "-modules", "preload=" + os.path.join(MODULE, "screen.so"),
                           "-display", "curses", "-qmp", "unix:%s,server=on,wait=off" % path], stdin=theirs,
                          stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"},
                          start_new_session=True) as p:
        try:
            os.close(theirs)
            shown = b""
            while b"Graphic" not in shown:
                assert select.select([ours], [], [], SECONDS)[0], shown
                shown += os.read(ours, 65536)
            os.close(ours)
            assert_idle(p.pid)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(SECONDS)
                s.connect(path)
                assert b"QMP" in s.recv(65536), "it answers no more"
        finally:
            p.kill()


def mistakes_are_told():
    ours, theirs = pty.openpty()
    done = subprocess.run([PROGRAM, "-accel", "qtest", "-nodefaults", "-display", "curses", "-display", "curses"],
                          stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=SECONDS,
                          env={**os.environ, "TERM": "xterm"}, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1 and "once" in done.stderr, done
    for options, words, status in ((("-display", "curses"), "no terminal", 0),
                                   (("-display", "curses,charset=nonsense"), "CP850", 1)):
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-nodefaults", "-monitor", "stdio", *options], input="quit\n",
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == status and words in done.stderr, done


run([terminal_shows_the_text_screen, typed_keys_reach_the_guest, characters_are_those_of_the_charset, graphics_are_told_of,
     consoles_are_switched_by_alt_and_a_number, keys_are_those_of_the_layout, the_monitor_is_a_console, new_sizes_of_the_terminal_are_followed,
     keys_that_nobody_takes_cost_nothing, terminals_that_go_cost_nothing, mistakes_are_told])
