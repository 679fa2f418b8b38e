#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a SPICE client (spice-gtk's library) has beside the screen: sound both ways, ports, and the channel of the guest's
agent, whose side is played here. Usage: test-spice-channels.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import ctypes
import os
import socket
import struct
import subprocess
import sys
import time

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import spiceclient  # noqa: E402
from ac97 import CODEC, OUT, SECOND, SOUND, hertz_of, lay_buffers, set_rate, start_card, tone  # noqa: E402
from desktop import Desktop, Screen, draws_by_opengl, need, wait  # noqa: E402
from qtest import QTest  # noqa: E402
from spiceclient import Client  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("spice-channels-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
os.environ.update(HOME=FOLDER, XDG_RUNTIME_DIR=FOLDER, DISPLAY="", GIO_USE_VFS="local")
PORT = 0x3F8
MOUSE, MONITORS, REPLY, CLIPBOARD, CAPABILITIES, GRAB, REQUEST, FILE_START = 1, 2, 3, 4, 6, 7, 8, 10
SERVER_MOUSE, CLIENT_MOUSE = 1, 2


class Machine(QTest):
    def __init__(self, *options, keys=""):
        if not spiceclient.Spice:
            raise Skip("no spice-gtk for Python")
        Machine.count = getattr(Machine, "count", 0) + 1
        self.path = os.path.join(FOLDER, "socket%d" % Machine.count)
        super().__init__(["-M", "pc", "-vga", "std", "-spice", "addr=%s,unix=on,disable-ticketing=on%s" % (self.path, keys),
                          *options])

    def client(self, name="main"):
        return Client(self.path, name)


def play(q, client, frames, seconds=60):
    """Lets the card play and the clock run as fast as the client takes it."""
    start_card(q)
    set_rate(q, 48000)
    lay_buffers(q, frames, 8)
    q.outb(OUT + 0xB, 1)
    end = time.monotonic() + seconds
    while q.inw(OUT + 6) & 7 != 7:
        q.clock_step(SECOND // 100)
        client.turn(0.008)
        assert time.monotonic() < end, "it does not come to the end"


def samples_of(client):
    return [f[0] for f in struct.iter_unpack("<hh", bytes(client.sound[:len(client.sound) // 4 * 4]))]


CARD = ("-device", "AC97,audiodev=a,addr=4", "-audiodev", "spice,id=a")


def client_hears_the_card(keys="", exact=False):
    with Machine(*CARD, keys=keys) as q, q.client("playback") as c:
        frames = tone(48000, 1000, 48000)
        play(q, c, frames)
        c.wait(lambda: len(c.sound) > 3 * 48000, lambda: "%d bytes of sound" % len(c.sound))
        assert c.started == (2, 48000), c.started
        heard = samples_of(c)
        loud = [i for i, v in enumerate(heard) if abs(v) > 1000]
        middle = heard[loud[0] + 4800:loud[0] + 33600]
        hertz = hertz_of(middle, 48000)
        assert abs(hertz - 1000) < 1, "%.2f Hz" % hertz
        assert 17000 < max(middle) < 23000, max(middle)
        wanted = [f[0] for f in frames]
        first = heard.index(wanted[1]) - 1 if wanted[1] in heard else -1
        same = first >= 0 and heard[first:first + 20000] == wanted[:20000]
        assert same == exact, "compressed or not: %s, not %s" % (same, exact)


def sound_is_compressed_unless_told():
    client_hears_the_card(keys=",playback-compression=off", exact=True)


def spice_is_the_default_back_end():
    with Machine("-device", "AC97,addr=4") as q, q.client("playback") as c:
        play(q, c, tone(48000, 500, 24000))
        c.wait(lambda: len(c.sound) > 48000, "nothing is heard")
        assert c.started == (2, 48000), c.started


def guest_records_the_client():
    with Machine(*CARD) as q, q.client("record") as c:
        start_card(q)
        q.outw(CODEC + 0x1C, 0)  # the gain of what is recorded: 0 dB
        q.outl(0xC100, 0x100000)  # PCM in: its list
        for n in range(2):
            q.write(0x100000 + 8 * n, struct.pack("<II", SOUND + 96000 * n, 2 * 24000))
        q.outb(0xC105, 1)
        q.outb(0xC10B, 1)
        c.wait(lambda: c.samples, lambda: "the client is not asked to record", 20)
        assert c.samples == (2, 48000), c.samples
        data = b"".join(struct.pack("<hh", *f) for f in tone(48000, 1000, 48000))
        at, end = 0, time.monotonic() + 60
        while q.inw(0xC106) & 7 != 7:
            piece = data[at % 96000:at % 96000 + 1920]
            held = ctypes.create_string_buffer(piece)
            c.channels["record"].send_data(ctypes.addressof(held), len(piece), int(time.monotonic() * 1000) & 0xFFFFFFFF)
            at += 1920
            c.turn(0.01)
            q.clock_step(SECOND // 100)
            assert time.monotonic() < end
        got = [v[0] for v in struct.iter_unpack("<hh", q.read(SOUND, 192000))]
        loud = [i for i, v in enumerate(got) if abs(v) > 3000]
        assert len(loud) > 10000, "%d samples are loud" % len(loud)
        piece = got[loud[2000]:loud[2000] + 1800]
        assert abs(hertz_of(piece, 48000) - 1000) < 30, hertz_of(piece, 48000)


def passed_connections_become_clients():
    path = os.path.join(FOLDER, "passing")
    with Machine("-qmp", "unix:%s,server=on,wait=off" % path) as q:
        qmp = socket.socket(socket.AF_UNIX)
        qmp.connect(path)
        lines = qmp.makefile("r")
        lines.readline()

        def ask(text, *fds):
            socket.send_fds(qmp, [text.encode()], list(fds))
            line = lines.readline()
            while '"event"' in line:
                line = lines.readline()
            return line

        ask('{"execute":"qmp_capabilities"}')
        ours, theirs = socket.socketpair()
        ask('{"execute":"getfd","arguments":{"fdname":"x"}}', theirs.fileno())
        theirs.close()
        line = ask('{"execute":"add_client","arguments":{"protocol":"spice","fdname":"x","skipauth":true}}')
        assert '"return"' in line, line
        # The link message of a main channel without capabilities; the answer has its magic and no error.
        ours.sendall(b"REDQ" + struct.pack("<III", 2, 2, 18) + struct.pack("<IBBIII", 0, 1, 0, 0, 0, 18))
        ours.settimeout(60)
        answer = b""
        while len(answer) < 20:
            more = ours.recv(4096)
            assert more, answer
            answer += more
        assert answer[:4] == b"REDQ" and struct.unpack_from("<I", answer, 16) == (0,), answer
        ours.close()
        qmp.close()


def started_by(q, name):
    """The address that xdg-open is given."""
    def told():
        try:
            with open(name, encoding="ascii") as f:
                return f.read().strip()
        except FileNotFoundError:
            return None
    return wait(told, "no viewer is started: %s" % q.errors())


def app_has_a_viewer_and_ports():
    """-display spice-app: an xdg-open that starts remote-viewer, which shows the screen; and what is a text console
    elsewhere is a port."""
    if not spiceclient.Spice:
        raise Skip("no spice-gtk for Python")
    need("remote-viewer")
    tools, note = (os.path.join(FOLDER, name) for name in ("tools", "opened"))
    os.mkdir(tools)
    with open(os.path.join(tools, "xdg-open"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho \"$1\" > %s.new; mv %s.new %s\n[ -n \"$DISPLAY\" ] && exec remote-viewer \"$1\"\n"
                % (note, note, note))
    os.chmod(os.path.join(tools, "xdg-open"), 0o755)
    path = tools + ":" + os.environ["PATH"]
    for display, by_opengl in (("spice-app", False), ("spice-app,gl=on", True)):
        with Desktop(FOLDER) as d, Screen(MODULE, "-display", display, env={**d.env, "PATH": path,
                                                                            "XDG_RUNTIME_DIR": FOLDER}) as q:
            wait(lambda: d.shows(q.written()), "the viewer does not show the screen")
            assert draws_by_opengl(q.process.pid) == by_opengl, display
            address = started_by(q, note)
            assert address.startswith("spice+unix://" + FOLDER), address
            place = os.path.dirname(address[len("spice+unix://"):])
            assert os.stat(place).st_mode & 0o777 == 0o700
        assert not os.path.exists(place), "the folder stays"
        os.unlink(note)
    before, os.environ["PATH"] = os.environ["PATH"], path
    with QTest(["-M", "pc", "-vga", "std", "-display", "spice-app", "-serial", "vc:800x600", "-monitor", "vc"]) as q:
        with Client(started_by(q, note)[len("spice+unix://"):], "port") as c:
            c.wait(lambda: len(c.ports) == 2, lambda: "ports: %s" % list(c.ports))
            assert set(c.ports) == {"org.qemu.console.serial.0", "org.qemu.monitor.hmp.1"}, list(c.ports)
            monitor, text = c.ports["org.qemu.monitor.hmp.1"]
            monitor.write_async(b"info status\r", None, None)
            c.wait(lambda: b"VM status: running" in text, lambda: "answer: %r" % text)
            send(q, b"hello")
            c.wait(lambda: b"hello" in c.ports["org.qemu.console.serial.0"][1], "nothing of the serial port comes")
    os.environ["PATH"] = before


def without_a_server_it_is_refused():
    for options in (("-audiodev", "spice,id=a"), ("-chardev", "spicevmc,id=a,name=vdagent"),
                    ("-chardev", "spiceport,id=a,name=org.example.0")):
        done = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-display", "none", *options], text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and "-spice" in done.stderr, done
    for options, words in (("spicevmc,id=a,name=nonsense", "vdagent"), ("spicevmc,id=a", "'name' is missing"),
                           ("spiceport,id=a", "'name' is missing"), ("spicevmc,id=a,name=port", "vdagent")):
        done = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-display", "none", "-spice",
                               "addr=%s/never,unix=on,disable-ticketing=on" % FOLDER, "-chardev", options], text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and words in done.stderr, (options, done)


def received(q, client, count=1):
    """What the guest gets at its serial port."""
    got = bytearray()

    def look():
        while q.inb(PORT + 5) & 1:
            got.append(q.inb(PORT))
        return len(got) >= count
    client.wait(look, lambda: "%d of %d bytes came: %r" % (len(got), count, bytes(got[-80:])))
    return bytes(got)


def send(q, data):
    for byte in data:
        q.outb(PORT, byte)


def ports_carry_bytes():
    with Machine("-chardev", "spiceport,id=p,name=org.example.port.0", "-serial", "chardev:p", "-monitor",
                 "chardev:m", "-chardev", "spiceport,id=m,name=org.example.monitor") as q, q.client("port") as c:
        c.wait(lambda: {"org.example.port.0", "org.example.monitor"} <= set(c.ports), lambda: "ports: %s" % list(c.ports))
        port, data = c.ports["org.example.port.0"]
        c.wait(lambda: port.get_property("port-opened"), "the port is not open")
        send(q, b"from the guest")
        c.wait(lambda: b"from the guest" in data, lambda: "came: %r" % data)
        port.write_async(b"from the client", None, None)
        assert received(q, c, 15) == b"from the client"
        monitor, text = c.ports["org.example.monitor"]
        monitor.write_async(b"info status\r", None, None)
        c.wait(lambda: b"VM status: running" in text, lambda: "answer: %r" % text)
        # A guest that writes much and a client that comes late.
        for _ in range(40):
            send(q, b"x" * 1000)
            c.turn(0.02)
        c.wait(lambda: data.count(b"x") == 40000, lambda: "%d of 40000" % data.count(b"x"))
        q.qmp("chardev-add", {"id": "hot", "backend": {"type": "spiceport", "data": {"fqdn": "org.example.hot"}}})
        q.qmp("chardev-remove", {"id": "hot"})


class Agent:
    """The guest's side of the agent's channel, at a serial port."""

    def __init__(self, q, client, capabilities):
        self.q, self.client, self.rest, self.seen = q, client, b"", []
        client.wait(lambda: client.main("agent-connected"), "the agent is not connected")
        bits = sum(1 << n for n in capabilities)
        self.send(CAPABILITIES, struct.pack("<II", 1, bits))

    def send(self, kind, data):
        message = struct.pack("<IIQI", 1, kind, 0, len(data)) + data
        send(self.q, struct.pack("<II", 1, len(message)) + message)

    def turn(self):
        while self.q.inb(PORT + 5) & 1:
            self.rest += bytes([self.q.inb(PORT)])
        while len(self.rest) >= 8:
            port, size = struct.unpack_from("<II", self.rest)
            if len(self.rest) < 8 + size:
                return
            _, kind, _, length = struct.unpack_from("<IIQI", self.rest, 8)
            self.seen.append((port, kind, self.rest[28:28 + length]))
            self.rest = self.rest[8 + size:]

    def got(self, kind):
        self.turn()
        return [data for _, k, data in self.seen if k == kind]


AGENT = ("-chardev", "spicevmc,id=agent,name=vdagent", "-serial", "chardev:agent")
ALL = (0, 1, 2, 3, 5, 6)


def agent_has_a_channel(keys="", copies=True, files=True, mouse=True):
    with Machine(*AGENT, keys=keys) as q, q.client("inputs") as c:
        agent = Agent(q, c, ALL)
        c.wait(lambda: agent.got(CAPABILITIES), "the client says nothing of itself")
        c.wait(lambda: c.channels["main"].agent_test_capability(1), "the client hears nothing of the agent")
        assert c.channels["main"].agent_test_capability(5) == copies
        # The guest has something to paste; the client has.
        agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
        c.channels["main"].clipboard_selection_grab(0, [1])
        if copies:
            c.wait(lambda: c.grabs, "the client hears nothing of the guest's clipboard")
            c.wait(lambda: agent.got(GRAB), "the agent hears nothing of the client's clipboard")
            agent.send(REQUEST, struct.pack("<BxxxI", 0, 1))
            c.wait(lambda: c.wants, "the client is not asked for its clipboard")
            c.channels["main"].clipboard_selection_notify(0, 1, b"pasted text")
            c.wait(lambda: any(b"pasted text" in data for data in agent.got(CLIPBOARD)), "the text does not come")
        # Where the pointer is.
        c.wait(lambda: c.main("mouse-mode") == (CLIENT_MOUSE if mouse else SERVER_MOUSE),
               lambda: "mouse mode %d" % c.main("mouse-mode"), 20)
        if mouse:
            c.channels["inputs"].position(123, 45, 0, 0)
            c.wait(lambda: any(struct.unpack_from("<II", data) == (123, 45) for data in agent.got(MOUSE)),
                   lambda: "positions: %s" % agent.got(MOUSE))
        # A file of the client's.
        path = os.path.join(FOLDER, "a file")
        with open(path, "wb") as f:
            f.write(b"some bytes")
        c.channels["main"].file_copy_async([spiceclient.Gio.File.new_for_path(path)], spiceclient.Gio.FileCopyFlags.NONE, None, None, None, None)
        if files:
            c.wait(lambda: any(b"a file" in data for data in agent.got(FILE_START)), "the file does not come")
        else:
            c.turn(1.5)
            assert not agent.got(FILE_START), "a file comes"
        if not copies:
            assert not c.grabs and not agent.got(GRAB), "clipboards are told of"


def copies_are_forbidden():
    agent_has_a_channel(keys=",disable-copy-paste=on", copies=False)


def files_are_forbidden():
    agent_has_a_channel(keys=",disable-agent-file-xfer=on", files=False)


def agents_do_not_move_the_pointer():
    agent_has_a_channel(keys=",agent-mouse=off", mouse=False)


def agent_is_there_while_its_port_is_open():
    """The port of a virtio console: without a driver nobody has it open."""
    with Machine("-chardev", "spicevmc,id=agent,name=vdagent", "-device", "virtio-serial-pci", "-device",
                 "virtserialport,chardev=agent,name=com.redhat.spice.0") as q, q.client("main") as c:
        c.turn(1)
        assert not c.main("agent-connected"), "there is an agent"


def noise_of_the_agent_does_no_harm():
    with Machine(*AGENT) as q, q.client("main") as c:
        c.wait(lambda: c.main("agent-connected"), "the agent is not connected")
        for data in (b"\xff" * 600, struct.pack("<II", 1, 0xFFFFFFFF) + b"x" * 300, os.urandom(3000)):
            send(q, data)
            c.turn(0.1)
        assert q.qmp("query-status")["running"]
        q.qmp("query-spice")


if __name__ == "__main__":
    run([client_hears_the_card, sound_is_compressed_unless_told, spice_is_the_default_back_end, guest_records_the_client,
         passed_connections_become_clients, app_has_a_viewer_and_ports, without_a_server_it_is_refused, ports_carry_bytes, agent_has_a_channel, copies_are_forbidden,
         files_are_forbidden, agents_do_not_move_the_pointer, agent_is_there_while_its_port_is_open,
         noise_of_the_agent_does_no_harm])
