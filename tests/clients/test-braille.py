#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-chardev braille between two of Debian's brltty: the host's has a virtual display, which is played here, and offers
BrlAPI; the guest's drives the terminal on the serial line. Usage: test-braille.py SOURCE-ROOT BUILD-ROOT"""
import os
import pty
import random
import re
import select
import socket
import subprocess
import sys
import time
import tty

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import need, wait  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402
from usb import SUCCESS, XHCI  # noqa: E402

FOLDER = work_folder("braille-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
os.environ.update(HOME=FOLDER, BRLAPI_AUTH="none", BRLAPI_HOST="127.0.0.1:%d" % random.randrange(20000, 40000))
os.environ.pop("WINDOWPATH", None)
os.environ.pop("CONTROLVT", None)
PORT = 0x3F8
SECONDS = 20 * float(os.environ.get("BACKPLANE_SLOW", "1"))


def brltty(name, *options):
    """One that touches nothing of the computer's own."""
    need("brltty")
    home = os.path.join(FOLDER, name)
    os.makedirs(home, exist_ok=True)
    log = os.path.join(home, "log")
    with open(log, "wb") as f:
        process = subprocess.Popen(["brltty", "-q", "-n", "-e", "-l", "info,brlkeys", "-x", "no", "-s", "no", "-f", "/dev/null",
                                    "-P", os.path.join(home, "pid"), "-W", home, "-U", home, *options], stderr=f,
                                   stdout=subprocess.DEVNULL)
    return process, log


def cells_of(text):
    """Dots as brltty's virtual display has them ("125|15| |"), as bytes: dot 1 is bit 0."""
    return bytes(sum(1 << (int(dot) - 1) for dot in cell.strip()) for cell in text.rstrip("|").split("|"))


class Display:
    """The host's: what brltty shows on it, and commands that a person gives."""

    def __init__(self, cells="40"):
        path = os.path.join(FOLDER, "vr")
        if os.path.exists(path):
            os.unlink(path)
        self.process, self.log = brltty("host", "-b", "vr", "-d", "server:" + path, "-A",
                                        "Auth=none,Host=" + os.environ["BRLAPI_HOST"])
        wait(lambda: os.path.exists(path), "the host's brltty does not come")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.rest, self.seen = b"", []
        self.say("cells " + cells)
        wait(lambda: self.turn() or self.seen, "the host's display shows nothing")
        port = 4101 + int(os.environ["BRLAPI_HOST"].split(":")[1])
        wait(lambda: self.answers(port), "BrlAPI does not come")

    def answers(self, port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def turn(self):
        while select.select([self.socket], [], [], 0)[0]:
            data = self.socket.recv(65536)
            if not data:
                return
            self.rest += data
        *lines, self.rest = self.rest.split(b"\n")
        self.seen += [cells_of(line.decode()[9:-1]) for line in lines if line.startswith(b"Braille")]

    def shows(self, cells):
        self.turn()
        return self.seen and self.seen[-1][:len(cells)] == cells and not any(self.seen[-1][len(cells):])


class Line(QTest):
    """A machine whose serial line is the terminal's."""

    def __init__(self, *options):
        super().__init__(["-M", "pc", *(options or ("-chardev", "braille,id=b", "-serial", "chardev:b"))])

    def send(self, data):
        for byte in data:
            self.outb(PORT, byte)

    def take(self, count=4096, seconds=0.3):
        got, end = b"", time.monotonic() + seconds
        while time.monotonic() < end and len(got) < count:
            if self.inb(PORT + 5) & 1:
                got += bytes([self.inb(PORT)])
                end = max(end, time.monotonic() + 0.2)
        return got

    def expect(self, data):
        got = self.take(len(data), SECONDS)
        assert got == data, "%s, not %s" % (got.hex(" "), data.hex(" "))


def terminal_says_who_it_is():
    with Display() as display, Line() as q:
        q.send(b"\x1b\x84")
        q.expect(b"\x1b\x84Baum Vario 40   ")
        q.send(b"\x1b\x01\0\x1b\x08")  # cells that are none: how many are there?
        q.expect(b"\x1b\x01\x28\x1b\x24\0")
        q.send(b"\x1b\x8a\x1b\x50\x05\0\0\0\0\x1b\x1b\x04\x1b\x05noise\x1b\x84")
        q.expect(b"\x1b\x84Baum Vario 40   ")
        assert q.take() == b""
        assert not display.shows(b"x")
        assert "braille" in str(q.qmp("query-chardev"))


def cells_are_shown():
    with Display() as display, Line() as q:
        for dots in (bytes(range(40)), bytes([0xFF]) * 40, bytes(40), bytes(range(200, 240))):
            q.send(b"\x1b\x01" + dots.replace(b"\x1b", b"\x1b\x1b"))
            wait(lambda dots=dots: display.shows(dots), lambda: "it shows %s" % display.seen[-1:])
        shown = bytes(range(200, 240))
        q.send(b"\x1b\x01" + bytes([1]) * 39 + b"\x1b\x84")  # one is missing: not shown
        q.expect(b"\x1b\x01\x28\x1b\x84Baum Vario 40   ")
        time.sleep(0.3)
        assert display.shows(shown), display.seen[-1]
        q.send(b"\x1b\x01" + bytes([3]) * 60)  # more than there are: the rest is nothing
        wait(lambda: display.shows(bytes([3]) * 40), lambda: "it shows %s" % display.seen[-1:])


def other_displays_have_their_size():
    for size, cells, name in (("20", 20, "Baum Vario 40   "), ("64", 64, "Baum Vario 80   "),
                              ("40 2", 80, "Baum Vario 80   "), ("84", 80, "Baum Vario 80   ")):
        with Display(size) as display, Line() as q:
            q.send(b"\x1b\x84\x1b\x01\0\x1b\x08")
            q.expect(b"\x1b\x84" + name.encode() + bytes([0x1B, 1, cells, 0x1B, 0x24, 0]))
            q.send(b"\x1b\x01" + bytes(range(100, 100 + cells)))
            wait(lambda d=display, n=cells: d.shows(bytes(range(100, 100 + n))), lambda: "it shows %s" % display.seen[-1:])
            display.say("route 19")
            routing = bytearray((cells + 7) // 8)
            routing[19 // 8] = 1 << 19 % 8
            q.expect(b"\x1b\x22" + bytes(routing) + b"\x1b\x22" + bytes(len(routing)))


def commands_are_keys():
    with Display() as display, Line() as q:
        q.send(b"\x1b\x01" + bytes(40))
        for command, keys in (("lnup", 8), ("lndn", 32), ("fwinlt", 2), ("fwinrt", 16), ("top", 9), ("bot", 36),
                              ("home", 42), ("back", 33), ("help", 19), ("chrlt", 5), ("nxdifln", 48), ("freeze", 11)):
            display.say(command)
            q.expect(bytes([0x1B, 0x24, keys, 0x1B, 0x24, 0]))
        display.say("prindent 39")
        q.expect(b"\x1b\x24\x03\x1b\x22\0\0\0\0\x80\x1b\x22\0\0\0\0\0\x1b\x24\0")
        display.say("route 4")
        q.expect(b"\x1b\x22\x10\0\0\0\0\x1b\x22\0\0\0\0\0")
        display.say("saylouder")  # no key means that
        assert q.take() == b""


def keys_wait_for_the_guest():
    with Display() as display, Line() as q:
        for command in ["lnup"] * 20 + ["lndn"]:
            display.say(command)
            time.sleep(0.1)  # the virtual display takes one at a time
        q.expect(b"\x1b\x24\x08\x1b\x24\0" * 20 + b"\x1b\x24\x20\x1b\x24\0")


def brltty_of_the_guest_drives_it():
    """Its message is on the host's display, and what the person does there is a command here."""
    with Display() as display, Line() as q:
        master, slave = pty.openpty()
        tty.setraw(slave)
        process, log = brltty("guest", "-b", "bm", "-d", "serial:" + os.ttyname(slave), "-X", "message=hello", "-A", "none",
                              "-N")

        def text():
            with open(log, encoding="utf-8", errors="replace") as f:
                return f.read()

        def carry(condition):
            def step():
                if select.select([master], [], [], 0.01)[0]:
                    q.send(os.read(master, 512))
                while q.inb(PORT + 5) & 1:
                    os.write(master, bytes([q.inb(PORT)]))
                display.turn()
                return condition()
            return step
        try:
            hello = bytes((0x13, 0x11, 0x07, 0x07, 0x15))  # h e l l o; the cursor (dots 7 and 8) is at the first
            wait(carry(lambda: any(bytes([c[0] & 0x3F]) + c[1:5] == hello for c in display.seen)),
                 lambda: "the guest's text does not come: %s" % text()[-2000:])
            assert "Baum Vario 40" in text() or "bm [Baum]" in text()
            display.say("lndn")
            wait(carry(lambda: re.search(r"Display6 .*LNDN", text())), lambda: "no key comes: %s" % text()[-2000:])
            display.say("route 2")
            wait(carry(lambda: re.search(r"RoutingKey.3 .*ROUTE", text())), lambda: "no key comes: %s" % text()[-2000:])
        finally:
            process.terminate()
            process.wait()
            os.close(master)
            os.close(slave)


def short_form_is_the_same():
    with Display() as display, Line("-serial", "braille") as q:
        q.send(b"\x1b\x01" + bytes(range(60, 100)))
        wait(lambda: display.shows(bytes(range(60, 100))), "it is not shown")


def usb_terminals_are_known_by_their_number():
    with Display() as display:
        for options in (("-device", "qemu-xhci,addr=5", "-chardev", "braille,id=b", "-device", "usb-braille,chardev=b"),
                        ("-device", "qemu-xhci,addr=5", "-usbdevice", "braille")):
            with QTest(["-M", "pc", "-m", "16", *options]) as q:
                if "-usbdevice" in options:
                    assert "USB BRAILLE" in q.qmp("human-monitor-command", {"command-line": "info usb"})
                    assert "usb-braille0" in str(q.qmp("query-chardev"))
                    continue
                x = XHCI(q)
                x.reset_port(1)
                code, slot = x.address(1, 1, 8)
                assert code == SUCCESS
                code, descriptor = x.control(slot, 0x80, 6, 0x0100, 0, 18)
                assert code == SUCCESS and descriptor[8:12] == b"\x03\x04\x72\xfe", descriptor.hex()
                assert x.control(slot, 0, 9, 1)[0] == SUCCESS
                assert x.configure(slot, (0x81, 6, 64), (0x02, 2, 64)) == SUCCESS
                assert x.bulk(slot, 2, b"\x1b\x01" + bytes(range(80, 120)))[0] == SUCCESS
                wait(lambda: display.shows(bytes(range(80, 120))), "it is not shown")


def machine_goes_on_without_the_server():
    with Display() as display:
        with Line() as q:
            q.send(b"\x1b\x01" + bytes([7]) * 40)
            wait(lambda: display.shows(bytes([7]) * 40), "it is not shown")
            display.process.terminate()
            display.process.wait()
            wait(lambda: "BrlAPI server is gone" in q.errors(), "nothing is said of it")
            q.send(b"\x1b\x01" + bytes([8]) * 40 + b"\x1b\x84")
            assert q.take() == b"", "the terminal is switched off"
            assert q.errors().count("gone") == 1, q.errors()
            assert q.qmp("query-status")["running"]


def without_a_server_it_is_refused():
    for options in (("-chardev", "braille,id=b"), ("-serial", "braille"), ("-usbdevice", "braille")):
        done = subprocess.run([PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", *options], text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and "no BrlAPI server" in done.stderr and done.stderr.count("\n") == 1, done
    done = subprocess.run([PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", "-chardev", "braille,id=b,x=1"],
                          text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and ".x'" in done.stderr, done


if __name__ == "__main__":
    run([terminal_says_who_it_is, cells_are_shown, other_displays_have_their_size, commands_are_keys,
         keys_wait_for_the_guest, brltty_of_the_guest_drives_it, short_form_is_the_same,
         usb_terminals_are_known_by_their_number, machine_goes_on_without_the_server, without_a_server_it_is_refused])
