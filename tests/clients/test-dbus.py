#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""-display dbus with clients by GLib's GDBus, on a message bus of the test's own and as peers: what they see is what
screendump says, what they type and point at arrives; sound both ways, and character devices.
Usage: test-dbus.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import socket
import struct
import subprocess
import sys

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from ac97 import CODEC, OUT, SECOND, SOUND, hertz_of, lay_buffers, set_rate, start_card, tone  # noqa: E402
from dbusclient import Bus, Hearer, Qmp, Recorder, Viewer, needed, turn, wait  # noqa: E402
from desktop import MEMORY, REGISTERS, Screen, draws_by_opengl  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("dbus-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
os.environ.update(HOME=FOLDER, XDG_RUNTIME_DIR=FOLDER, DISPLAY="", GIO_USE_VFS="local")
os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
KEY, REL, ABS = 1, 2, 3
PORT = 0x3F8


class Shown:
    """A machine with the test's screen, and a peer."""

    def __init__(self, *options, display="dbus,p2p=yes", screen=Screen, **more):
        needed()
        Shown.count = getattr(Shown, "count", 0) + 1
        path = os.path.join(FOLDER, "qmp%d" % Shown.count)
        monitor = ("-qmp", "unix:%s,server=on,wait=off" % path)
        self.machine = screen(MODULE, "-display", display, *monitor, *options, **more) if screen else \
            QTest(["-M", "pc", "-display", display, *monitor, *options])
        self.qmp = Qmp(path)

    def __enter__(self):
        self.peer = self.qmp.peer()
        return self.machine, self.peer

    def __exit__(self, *exception):
        self.qmp.close()
        self.machine.close()


def sees(q, viewer, what="the picture does not come"):
    wanted = q.dump(FOLDER)
    wait(lambda: viewer.picture() == wanted, what)


def viewers_see_what_screendump_sees():
    with Shown() as (q, peer):
        first = Viewer(peer)
        sees(q, first)
        assert first.calls.count("Scanout") == 1, first.calls
        second = Viewer(peer)
        sees(q, second)
        q.draw(12)
        sees(q, first, "what the guest drew later does not come")
        sees(q, second, "the second one does not see it")
        for viewer in (first, second):
            del viewer.calls[:]
        q.write(MEMORY + 4 * (100 * q.width + 30), b"\x11\x22\x33\0" * 40)
        sees(q, first, "a line does not come")
        sees(q, second)
        assert first.calls == ["Update"] and second.calls == ["Update"], (first.calls, second.calls)
        q.resize(520, 333)
        q.draw(13)
        sees(q, first, "the new size does not come")
        sees(q, second)
        assert "Scanout" in first.calls
        second.close()
        q.draw(14)
        sees(q, first, "one who left took the other one along")


def who_stalls_sees_the_newest_picture_later():
    with Shown() as (q, peer):
        slow, fast = Viewer(peer), Viewer(peer)
        sees(q, slow)
        sees(q, fast)
        slow.stalled = True
        before = len(slow.calls)
        for seed in range(20, 26):
            q.draw(seed)
            sees(q, fast, "the other one is held up")
        turn(0.3)
        assert len(slow.calls) - before <= 40, "%d calls without an answer" % (len(slow.calls) - before)
        assert slow.picture() != fast.picture()
        slow.go_on()
        sees(q, slow, "it does not go on")


def consoles_say_what_they_are():
    with Shown("-name", "zebra", "-uuid", "12345678-9abc-def0-1234-56789abcdef0", "-device", "VGA,addr=7", "-serial",
               "vc:640x320") as (q, peer):
        vm = peer.get("VM", "VM")
        assert vm == {"Name": "zebra", "UUID": "12345678-9abc-def0-1234-56789abcdef0", "ConsoleIDs": vm["ConsoleIDs"],
                      "Interfaces": []} and len(vm["ConsoleIDs"]) == 3, vm
        all_of = [peer.get("Console_%d" % n, "Console") for n in vm["ConsoleIDs"]]
        by = {c["Label"]: c for c in all_of}
        assert by["VGA"]["DeviceAddress"] == "pci/0000/07.0" and by["VGA"]["Head"] == 0, by
        assert by["test-screen"]["DeviceAddress"] == "" and by["test-screen"]["Type"] == "Graphic", by
        assert (by["test-screen"]["Width"], by["test-screen"]["Height"]) == (400, 300), by
        assert by["serial0"]["Type"] == "Text" and by["serial0"]["Width"] == 640, by
        text = vm["ConsoleIDs"][all_of.index(by["serial0"])]
        viewer = Viewer(peer, "Console_%d" % text)
        wait(lambda: viewer.picture() and viewer.picture()[0] == 640, "the text console is not seen")
        before = viewer.picture()
        q.outb(PORT, ord("#"))
        wait(lambda: viewer.picture() != before, "what the guest writes there is not seen")
        assert "Mouse" in peer.refused("Console_%d" % text, "Mouse", "Press", "(u)", 0)
        screen = "Console_%d" % vm["ConsoleIDs"][all_of.index(by["test-screen"])]
        changes = []
        peer.connection.signal_subscribe(None, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                         "/org/qemu/Display1/" + screen, None, 0, lambda *a: changes.append(a[5].unpack()))
        looks = Viewer(peer, screen)
        wait(looks.picture, "no picture")
        q.resize(500, 300)
        wait(lambda: ("org.qemu.Display1.Console", {"Width": 500}, []) in changes, lambda: "no change is told: %s" % changes)


def bridges_stand_in_addresses():
    with Shown("-device", "pci-bridge,id=b,chassis_nr=1,addr=6", "-device", "secondary-vga,bus=b,addr=3",
               screen=None) as (_, peer):
        assert peer.get("Console_0", "Console")["DeviceAddress"] == "pci/0000/06.0/03.0", peer.get("Console_0", "Console")


def requested_sizes_reach_the_guest():
    """Of a card that tells them to the guest (EDID); the test's does not."""
    with Shown() as (q, peer):
        assert peer.refused("Console_0", "Console", "SetUIInfo", "(qqiiuu)", 300, 200, 0, 0, 800, 600)
        assert "16384" in peer.refused("Console_0", "Console", "SetUIInfo", "(qqiiuu)", 3, 2, 0, 0, 1 << 31, 600)
        assert q.width == 400
    with Shown("-vga", "std", screen=None) as (q, peer):
        peer.call("Console_0", "Console", "SetUIInfo", "(qqiiuu)", 300, 200, 0, 0, 1152, 864)


def cursors_are_defined_and_placed():
    with Shown() as (q, peer):
        viewer = Viewer(peer)
        sees(q, viewer)
        assert viewer.cursor is None
        q.writel(REGISTERS + 8, 1)
        wait(lambda: viewer.cursor, "no cursor is defined")
        assert viewer.cursor == (5, 3, 1, 2, b"".join(struct.pack("<I", 0xFF000000 | i << 16 | i << 8 if i % 2 else 0)
                                                       for i in range(15))), viewer.cursor
        q.writel(REGISTERS + 8, 200)
        wait(lambda: viewer.cursor[:2] == (200, 200), "no larger cursor")
        late = Viewer(peer)
        wait(lambda: late.cursor and late.cursor[:2] == (200, 200), "who comes later has none")


def keys_and_pointers_arrive():
    with Shown() as (q, peer):
        for down, number in (("Press", 0x1E), ("Release", 0x1E), ("Press", 0x9D), ("Release", 0x9D)):
            peer.call("Console_0", "Keyboard", down, "(u)", number)
        assert q.inputs() == [(KEY, 30, 1), (KEY, 30, 0), (KEY, 97, 1), (KEY, 97, 0)]
        assert "0xffff" in peer.refused("Console_0", "Keyboard", "Press", "(u)", 0xFFFF)
        assert peer.get("Console_0", "Keyboard") == {"Modifiers": 0}
        assert peer.get("Console_0", "Mouse") == {"IsAbsolute": True}
        for number in range(7):
            peer.call("Console_0", "Mouse", "Press", "(u)", number)
            peer.call("Console_0", "Mouse", "Release", "(u)", number)
        wanted = []
        for code in (0x110, 0x112, 0x111, 1, -1, 0x113, 0x114):
            wanted += [(KEY, code, 1), (KEY, code, 0)] if code > 1 else [(REL, 8, code)]
        assert q.inputs() == wanted
        assert "no button 7" in peer.refused("Console_0", "Mouse", "Press", "(u)", 7)
        peer.call("Console_0", "Mouse", "SetAbsPosition", "(uu)", 399, 0)
        assert q.inputs() == [(ABS, 0, 32767), (ABS, 1, 0)]
        assert "400 x 300" in peer.refused("Console_0", "Mouse", "SetAbsPosition", "(uu)", 400, 0)
        assert "SetAbsPosition" in peer.refused("Console_0", "Mouse", "RelMotion", "(ii)", 1, 1)
        q.qmp("stop")
        assert "does not run" in peer.refused("Console_0", "Keyboard", "Press", "(u)", 0x1E)


def relative_pointers_move():
    with Shown(device=",tablet=off") as (q, peer):
        assert peer.get("Console_0", "Mouse") == {"IsAbsolute": False}
        peer.call("Console_0", "Mouse", "RelMotion", "(ii)", -7, 12)
        assert q.inputs() == [(REL, 0, -7), (REL, 1, 12)]
        assert "RelMotion" in peer.refused("Console_0", "Mouse", "SetAbsPosition", "(uu)", 1, 1)


def fingers_touch():
    with Shown(device=",touch=on") as (q, peer):
        assert peer.get("Console_0", "MultiTouch") == {"MaxSlots": 10}
        touch = ("Console_0", "MultiTouch", "SendEvent", "(utdd)")
        peer.call(*touch, 0, 2, 399.0, 0.0)
        peer.call(*touch, 1, 2, 199.5, 299.0)
        peer.call(*touch, 2, 2, 199.5, 299.0)
        got = q.inputs()
        assert got == [(ABS, 0x2F, 2), (ABS, 0x39, 2), (ABS, 0x35, 32767), (ABS, 0x36, 0), (ABS, 0x2F, 2),
                       (ABS, 0x35, 16384), (ABS, 0x36, 32767), (ABS, 0x2F, 2), (ABS, 0x39, -1)], got
        assert "slots" in peer.refused(*touch, 0, 10, 1.0, 1.0)
        assert "slots" in peer.refused(*touch, 4, 0, 1.0, 1.0)
        for x in (-1.0, 400.0, float("nan"), float("inf")):
            assert "not on the screen" in peer.refused(*touch, 0, 0, x, 1.0)
    with Shown() as (q, peer):
        assert "touch screen" in peer.refused(*touch, 0, 2, 1.0, 1.0)


def keys_go_up_when_who_held_them_leaves():
    with Shown() as (q, peer):
        peer.call("Console_0", "Keyboard", "Press", "(u)", 0x2A)
        assert q.inputs() == [(KEY, 42, 1)]
        peer.close()
        wait(lambda: (KEY, 42, 0) in q.inputs(), "the key stays down")


def machine_is_on_the_bus():
    with Bus(FOLDER) as bus:
        with Screen(MODULE, "-display", "dbus,addr=" + bus.address, "-name", "first") as q:
            remote = bus.remote()
            assert remote.get("VM", "VM")["Name"] == "first"
            viewer = Viewer(remote)
            sees(q, viewer)
            q.draw(31)
            sees(q, viewer)
            tree = subprocess.run(["busctl", "--address=" + bus.address, "--list", "tree", "org.qemu"], text=True,
                                  capture_output=True, check=True).stdout.split()
            assert {"/org/qemu/Display1/VM", "/org/qemu/Display1/Console_0"} <= set(tree), tree
            told = subprocess.run(["gdbus", "introspect", "--xml", "--address", bus.address, "--dest", "org.qemu",
                                   "--object-path", "/org/qemu/Display1/Console_0"], text=True, capture_output=True,
                                  check=True).stdout
            for word in ("RegisterListener", "SetUIInfo", "SetAbsPosition", "DeviceAddress", "SendEvent", "Modifiers"):
                assert '"%s"' % word in told, word
            second = Screen(MODULE, "-display", "dbus", "-name", "second", env={"DBUS_SESSION_BUS_ADDRESS": bus.address})
            assert remote.get("VM", "VM")["Name"] == "first", "the name is taken away"
        with second:
            wait(lambda: remote.get("VM", "VM")["Name"] == "second", "the name is not passed on")


def end_of_the_bus_is_survived():
    with Bus(FOLDER) as bus:
        with Screen(MODULE, "-display", "dbus,addr=" + bus.address) as q:
            viewer = Viewer(bus.remote())
            sees(q, viewer)
            bus.process.terminate()
            bus.process.wait()
            wait(lambda: "bus is gone" in q.errors(), "nothing is said of it")
            q.draw(41)
            sees(q, viewer, "who looks has a connection of his own")


def opengl_draws_the_same():
    """What it draws comes as any other picture: there is no DMABUF."""
    for mode in ("off", "on", "core", "es"):
        with Shown(display="dbus,p2p=yes,gl=" + mode) as (q, peer):
            viewer = Viewer(peer)
            assert draws_by_opengl(q.process.pid) == (mode != "off"), mode
            for size in ((400, 300), (333, 207)):
                q.resize(*size)
                q.draw(sum(size))
                wait(lambda: viewer.picture() == q.written(), "the picture does not come: gl=%s, %s" % (mode, size))
                q.write(MEMORY, b"\x11\x22\x33\0" * 9)
                wait(lambda: viewer.picture() == q.written(), "what changed does not come: gl=%s, %s" % (mode, size))
    for mode, version in (("core", "MESA_GL_VERSION_OVERRIDE"), ("es", "MESA_GLES_VERSION_OVERRIDE")):
        done = subprocess.run([PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "dbus,p2p=yes,gl=" + mode],
                              text=True, env={**os.environ, version: "2.0"}, capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and "gl" in done.stderr and "OpenGL" in done.stderr, done


def mistakes_are_named():
    with Bus(FOLDER) as bus:
        pass
    for display, more, words in (
            ("dbus,addr=unix:path=/nowhere/bus", (), ("addr", "/nowhere/bus", "No such file")),
            ("dbus,addr=" + bus.address, (), ("addr", "no message bus")), ("dbus,addr=nonsense", (), ("addr",)),
            ("dbus,gl=maybe", (), ("gl",)), ("dbus,p2p=yes,addr=unix:path=/x", (), ("addr", "p2p")),
            ("dbus,p2p=yes,audiodev=nix", (), ("audiodev", "nix")),
            ("dbus,p2p=yes,audiodev=n", ("-audiodev", "none,id=n"), ("audiodev", "no -audiodev dbus")),
            ("none", ("-audiodev", "dbus,id=n"), ("dbus", "-display dbus")),
            ("none", ("-chardev", "dbus,id=n"), ("dbus", "-display dbus")),
            ("dbus,p2p=yes", ("-chardev", "dbus,id=a-b", "-chardev", "dbus,id=a.b"), ("Chardev_a_b", "taken")),
            ("dbus,p2p=yes", ("-display", "dbus,p2p=yes"), ("once",))):
        done = subprocess.run([PROGRAM, "-M", "pc", "-accel", "qtest", "-display", display, *more], text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and all(word in done.stderr for word in words), (display, more, done)
    with QTest(["-M", "pc", "-display", "dbus"]) as q:  # no session: it goes on without
        assert "no message bus of a session" in q.errors(), q.errors()


def add_client_is_refused_where_there_are_no_peers():
    with Bus(FOLDER) as bus:
        shown = Shown(display="dbus,addr=" + bus.address)
        with shown.machine:
            ours, theirs = socket.socketpair()
            line = shown.qmp.add(theirs.fileno())
            assert "p2p=yes" in line and "DeviceNotActive" in line, line
            shown.qmp.close()
            ours.close()
            theirs.close()
    shown = Shown()
    with shown as (q, peer):
        ours, theirs = socket.socketpair()
        line = shown.qmp.add(theirs.fileno(), ',"tls":true')
        assert "TLS" in line, line
        held = [ours, theirs]
        for n in range(16):
            held += socket.socketpair()
            line = shown.qmp.add(held[-1].fileno())
            assert ('"return"' in line) == (n < 15), (n, line)
        assert peer.get("VM", "VM")["Name"]
        for s in held:
            s.close()

        def another():
            held[:] = socket.socketpair()
            return '"return"' in shown.qmp.add(held[-1].fileno())
        wait(another, "those who left still count")


def nonsense_does_no_harm():
    shown = Shown()
    with shown as (q, peer):
        viewer = Viewer(peer)
        sees(q, viewer)
        for data in (b"", b"\0", b"\0AUTH\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 65536,
                     b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n" + b"l\1\0\1" + b"\xff" * 400,
                     b"\0AUTH EXTERNAL " + b"30" * 5000 + b"\r\n"):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                assert '"return"' in shown.qmp.add(theirs.fileno())
                theirs.close()
                try:
                    ours.sendall(data)
                except OSError:
                    pass
        with open("/dev/null", "rb") as null:
            assert "no stream socket" in peer.refused("Console_0", "Console", "RegisterListener", "(h)", 0,
                                                      fds=[null.fileno()])
        for _ in range(20):  # listeners that leave before they said a word, or say nonsense
            ours, theirs = socket.socketpair()
            with ours, theirs:
                peer.call("Console_0", "Console", "RegisterListener", "(h)", 0, fds=[theirs.fileno()])
                ours.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + os.urandom(300))
        assert peer.refused("Console_0", "Console", "RegisterListener")
        assert peer.refused("Console_0", "Keyboard", "Press", "(s)", "a")
        assert peer.refused("Console_9", "Keyboard", "Press", "(u)", 1)
        assert peer.refused("VM", "Nothing", "At")
        q.draw(51)
        sees(q, viewer, "it sees nothing after that")


def peers_prove_who_they_are():
    shown = Shown()
    uid = "".join("%02x" % ord(c) for c in str(os.geteuid()))
    other = "".join("%02x" % ord(c) for c in str(os.geteuid() + 1))
    with shown as (q, _):
        def say(*lines):
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    assert '"return"' in shown.qmp.add(theirs.fileno())
                ours.settimeout(60)
                ours.sendall(b"\0")
                got = []
                for line in lines:
                    ours.sendall(line.encode() + b"\r\n")
                    got.append(ours.recv(200).decode().split(" ")[0].strip() if line != "BEGIN" else "")
                if lines[-1] == "BEGIN":
                    ours.settimeout(0.3)
                    try:
                        got[-1] = "closed" if ours.recv(1) == b"" else "?"
                    except socket.timeout:
                        got[-1] = "open"
                    except ConnectionResetError:
                        got[-1] = "closed"
                return got
        assert say("AUTH EXTERNAL " + uid, "NEGOTIATE_UNIX_FD", "BEGIN") == ["OK", "AGREE_UNIX_FD", "open"]
        assert say("AUTH", "AUTH EXTERNAL", "DATA", "BEGIN") == ["REJECTED", "DATA", "OK", "open"]
        assert say("AUTH EXTERNAL", "DATA " + uid, "BEGIN") == ["DATA", "OK", "open"]
        assert say("AUTH EXTERNAL " + other, "BEGIN") == ["REJECTED", "closed"]
        assert say("AUTH EXTERNAL " + uid + "30", "BEGIN") == ["REJECTED", "closed"]
        assert say("AUTH ANONYMOUS 78", "NEGOTIATE_UNIX_FD", "BEGIN") == ["REJECTED", "ERROR", "closed"]
        assert say("AUTH EXTERNAL " + uid, "AUTH", "BEGIN") == ["OK", "REJECTED", "closed"]
        assert say(*["AUTH"] * 8, "DATA")[-2:] == ["REJECTED", ""]


def listeners_are_bounded():
    with Shown() as (q, peer):
        held = []
        for _ in range(64):
            held += socket.socketpair()
            peer.call("Console_0", "Console", "RegisterListener", "(h)", 0, fds=[held[-1].fileno()])
        assert "64 listeners" in peer.refused("Console_0", "Console", "RegisterListener", "(h)", 0, fds=[held[-1].fileno()])
        for s in held:
            s.close()
        viewers = []

        def another():
            viewers.append(Viewer(peer))
            return True
        wait(lambda: another() if not viewers else viewers[0].picture(), "those who left still count")


def who_reads_nothing_is_let_go():
    """Asks and asks, and never reads an answer: the memory that this takes has an end."""
    shown = Shown()
    with shown as (q, peer):
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                assert '"return"' in shown.qmp.add(theirs.fileno())
            ours.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
            path, method = b"/org/qemu/Display1/Console_0", b"Introspect"
            interface = b"org.freedesktop.DBus.Introspectable"
            fields = b""
            for code, kind, text in ((1, b"o", path), (2, b"s", interface), (3, b"s", method)):
                fields += b"\0" * (-len(fields) % 8) + bytes([code, 1]) + kind + b"\0"
                fields += struct.pack("<I", len(text)) + text + b"\0"
            one = b"l\1\0\1" + struct.pack("<III", 0, 1, len(fields)) + fields
            one += b"\0" * (-len(one) % 8)
            ours.settimeout(20)
            try:
                for _ in range(400):
                    ours.sendall(one * 100)
                raise AssertionError("it may go on for ever")
            except (BrokenPipeError, ConnectionResetError):
                pass
        assert peer.get("VM", "VM")["Name"]


CARD = ("-device", "AC97,audiodev=a,addr=4", "-audiodev", "dbus,id=a")


def play(q, frames, condition):
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, frames, 8)
    q.outb(OUT + 0xB, 1)

    def step():
        q.clock_step(SECOND // 100)
        return condition()
    wait(step, "the card does not come to the end")


def peers_hear_the_card():
    with Shown(*CARD, display="dbus,p2p=yes,audiodev=a") as (q, peer):
        hearer = Hearer(peer)
        frames = tone(48000, 1000, 48000)
        play(q, frames, lambda: q.inw(OUT + 6) & 7 == 7 and len(hearer.sound) > 3 * 44100)
        formats = list(hearer.formats.values())
        assert formats == [(16, True, False, 44100, 2, 4, 4 * 44100, False)], formats
        assert list(hearer.enabled.values()) == [True], hearer.enabled
        heard = [f[0] for f in struct.iter_unpack("<hh", bytes(hearer.sound[:len(hearer.sound) // 4 * 4]))]
        loud = [i for i, v in enumerate(heard) if abs(v) > 1000]
        hertz = hertz_of(heard[loud[0] + 4410:loud[0] + 30000], 44100)
        assert abs(hertz - 1000) < 1, "%.2f Hz" % hertz
        late = Hearer(peer)
        wait(lambda: late.formats, "who comes later is not told")
        q.outb(OUT + 0xB, 0)

        def stopped():
            q.clock_step(SECOND // 10)
            return list(hearer.enabled.values()) == [False]
        wait(stopped, "the end is not told")


def guest_records_a_peer():
    data, asked = b"".join(struct.pack("<hh", *f) for f in tone(44100, 1000, 44100)), []

    def give(size):
        at = sum(asked) % 176400
        asked.append(size)
        return (data + data)[at:at + size]
    with Shown(*CARD, display="dbus,p2p=yes,audiodev=a") as (q, peer):
        recorder = Recorder(peer, give)
        start_card(q)
        q.outw(CODEC + 0x1C, 0)  # the gain of what is recorded: 0 dB
        q.outl(0xC100, 0x100000)  # PCM in: its list
        for n in range(2):
            q.write(0x100000 + 8 * n, struct.pack("<II", SOUND + 96000 * n, 2 * 24000))
        q.outb(0xC105, 1)
        q.outb(0xC10B, 1)

        def done():
            q.clock_step(SECOND // 100)
            turn(0.01)
            return q.inw(0xC106) & 7 == 7
        wait(done, "the card does not come to the end")
        assert asked and recorder.calls[:1] == ["Init"], recorder.calls[:4]
        assert list(recorder.formats.values()) == [(16, True, False, 44100, 2, 4, 4 * 44100, False)], recorder.formats
        got = [v[0] for v in struct.iter_unpack("<hh", q.read(SOUND, 192000))]
        loud = [i for i, v in enumerate(got) if abs(v) > 3000]
        assert len(loud) > 10000, "%d samples are loud" % len(loud)
        piece = got[loud[2000]:loud[2000] + 1800]
        assert abs(hertz_of(piece, 48000) - 1000) < 30, hertz_of(piece, 48000)


def sound_without_listeners_goes_on():
    with Shown(*CARD, display="dbus,p2p=yes,audiodev=a") as (q, peer):
        play(q, tone(48000, 500, 24000), lambda: q.inw(OUT + 6) & 7 == 7)
        hearer = Hearer(peer)
        wait(lambda: hearer.formats, "no stream is told")
    with Shown(*CARD) as (q, peer):  # not offered
        assert peer.refused("Audio", "Audio", "RegisterOutListener", "(h)", 0, fds=[0])


def character_devices_are_registered():
    with Shown("-chardev", "dbus,id=line.0,name=org.example.serial.0", "-serial", "chardev:line.0") as (q, peer):
        about = peer.get("Chardev_line_0", "Chardev")
        assert about == {"Name": "org.example.serial.0", "FEOpened": True, "Echo": False, "Owner": "",
                         "Interfaces": []}, about
        q.outb(PORT, ord("x"))  # nobody is there
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                peer.call("Chardev_line_0", "Chardev", "Register", "(h)", 0, fds=[theirs.fileno()])
            ours.settimeout(60)
            for byte in b"from the guest":
                q.outb(PORT, byte)
            got = b""
            while len(got) < 14:
                got += ours.recv(100)
            assert got == b"from the guest", got
            ours.sendall(b"to")
            for byte in b"to":
                wait(lambda: q.inb(PORT + 5) & 1, "nothing comes")
                assert q.inb(PORT) == byte
            peer.call("Chardev_line_0", "Chardev", "SendBreak")
            wait(lambda: q.inb(PORT + 5) & 0x10, "no break comes")
            second, theirs = socket.socketpair()
            with second, theirs:
                peer.call("Chardev_line_0", "Chardev", "Register", "(h)", 0, fds=[theirs.fileno()])
                assert ours.recv(10) == b"", "the first one has it still"
                second.settimeout(60)
                q.outb(PORT, ord("2"))
                assert second.recv(10) == b"2"
    with Bus(FOLDER) as bus, Screen(MODULE, "-display", "dbus,addr=" + bus.address, "-chardev", "dbus,id=c", "-serial",
                                    "chardev:c"):
        remote = bus.remote()
        ours, theirs = socket.socketpair()
        with theirs:
            remote.call("Chardev_c", "Chardev", "Register", "(h)", 0, fds=[theirs.fileno()])
        assert remote.get("Chardev_c", "Chardev")["Owner"] == remote.connection.get_unique_name()
        ours.close()
        wait(lambda: remote.get("Chardev_c", "Chardev")["Owner"] == "", "who left owns it still")


if __name__ == "__main__":
    run([viewers_see_what_screendump_sees, who_stalls_sees_the_newest_picture_later, consoles_say_what_they_are,
         bridges_stand_in_addresses, requested_sizes_reach_the_guest, cursors_are_defined_and_placed,
         keys_and_pointers_arrive, relative_pointers_move, fingers_touch, keys_go_up_when_who_held_them_leaves,
         machine_is_on_the_bus, end_of_the_bus_is_survived, opengl_draws_the_same, mistakes_are_named,
         add_client_is_refused_where_there_are_no_peers, nonsense_does_no_harm, peers_prove_who_they_are, listeners_are_bounded,
         who_reads_nothing_is_let_go, peers_hear_the_card, guest_records_a_peer, sound_without_listeners_goes_on,
         character_devices_are_registered])
