#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clipboards and the agent: -chardev qemu-vdagent with an agent that the test plays at a serial port, and with the real
spice-vdagentd and spice-vdagent on an X server; at the other side a program on D-Bus.
Usage: test-clipboard.py SOURCE-ROOT BUILD-ROOT"""
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import time

SOURCE, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from dbusclient import Clipboard, Qmp, needed, turn, wait  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("clipboard-")
os.environ.update(HOME=FOLDER, XDG_RUNTIME_DIR=FOLDER, DISPLAY="", GIO_USE_VFS="local")
PORT = 0x3F8
MOUSE, CONTENT, CAPABILITIES, GRAB, REQUEST, RELEASE = 1, 4, 6, 7, 8, 9
CAN_MOUSE, CAN_REPLY, CAN_COPY, CAN_SELECT = 0, 2, 5, 6
ALL = (CAN_MOUSE, CAN_REPLY, CAN_COPY, CAN_SELECT)
TEXT, PNG = "text/plain;charset=utf-8", "image/png"
SEED = 3


class Machine(QTest):
    count = 0

    def __init__(self, keys=",clipboard=on", *options, front=("-serial", "chardev:agent")):
        needed()
        Machine.count += 1
        path = os.path.join(FOLDER, "qmp%d" % Machine.count)
        super().__init__(["-M", "pc", "-display", "dbus,p2p=yes", "-qmp", "unix:%s,server=on,wait=off" % path, "-chardev",
                          "qemu-vdagent,id=agent" + keys, *front, *options])
        self.monitor = Qmp(path)

    def client(self):
        return Clipboard(self.monitor.peer())

    def put(self, data):
        for byte in data:
            self.outb(PORT, byte)

    def take(self):
        got = bytearray()
        while self.inb(PORT + 5) & 1:
            got.append(self.inb(PORT))
        return bytes(got)

    def close(self):
        self.monitor.close()
        return super().close()


class Agent:
    """The guest's side of the channel, at a serial port."""

    def __init__(self, q, capabilities=ALL, request=0):
        self.q, self.rest, self.seen, self.parts = q, b"", [], {1: b"", 2: b""}
        self.send(CAPABILITIES, struct.pack("<II", request, sum(1 << n for n in capabilities)))

    def send(self, kind, data, port=1, chunk=2048):
        message = struct.pack("<IIQI", 1, kind, 0, len(data)) + data
        for at in range(0, len(message), chunk):
            part = message[at:at + chunk]
            self.q.put(struct.pack("<II", port, len(part)) + part)

    def turn(self):
        self.rest += self.q.take()
        while len(self.rest) >= 8:
            port, size = struct.unpack_from("<II", self.rest)
            assert size <= 2048 and port in (1, 2), (port, size)
            if len(self.rest) < 8 + size:
                return
            self.parts[port] += self.rest[8:8 + size]
            self.rest = self.rest[8 + size:]
            if len(self.parts[port]) < 20:
                continue
            protocol, kind, _, length = struct.unpack_from("<IIQI", self.parts[port])
            assert protocol == 1
            if len(self.parts[port]) >= 20 + length:
                self.seen.append((port, kind, self.parts[port][20:20 + length]))
                self.parts[port] = self.parts[port][20 + length:]

    def got(self, kind, port=1):
        self.turn()
        return [data for p, k, data in self.seen if k == kind and p == port]

    def wait(self, kind, count=1, port=1):
        """The data of the newest of a kind."""
        wait(lambda: len(self.got(kind, port)) >= count, lambda: "message %d does not come: %s" % (kind, self.seen[-5:]))
        return self.got(kind, port)[-1]


def begins(machine, capabilities=ALL):
    """A client and an agent that know each other."""
    client, agent = machine.client(), Agent(machine, capabilities)
    agent.wait(CAPABILITIES)
    return client, agent


def with_both(function):
    def case():
        with Machine() as q:
            function(q, *begins(q))
            assert q.qmp("query-status")["running"] is not None
    case.__name__ = function.__name__
    return case


@with_both
def text_goes_both_ways(q, client, agent):
    agent.send(GRAB, struct.pack("<BxxxII", 0, 1, 2))
    wait(lambda: client.grabs, "the client hears nothing of the guest's text")
    assert client.grabs[-1] == (0, 1, [TEXT, PNG]), client.grabs
    answer = client.request(0, PNG, TEXT)
    assert agent.wait(REQUEST) == struct.pack("<BxxxI", 0, 1), "text is preferred"
    assert not answer
    text = "für alle ".encode() * 700  # several chunks
    agent.send(CONTENT, struct.pack("<BxxxI", 0, 1) + text, chunk=1000)  # the real one sends one chunk
    wait(lambda: answer, "the text does not come")
    assert not isinstance(answer[0], str), answer
    assert (answer[0][0], bytes(answer[0][1])) == (TEXT, text)
    client.grab(0, {TEXT: text + b"!", "x/y": b"unknown"})
    assert agent.wait(GRAB) == struct.pack("<BxxxI", 0, 1)
    agent.send(REQUEST, struct.pack("<BxxxI", 0, 1))
    assert agent.wait(CONTENT) == struct.pack("<BxxxI", 0, 1) + text + b"!"
    assert client.asked == [(0, [TEXT])], client.asked
    client.grab(1, {PNG: b"\x89PNG"})
    assert agent.wait(GRAB, 2) == struct.pack("<BxxxI", 1, 2)
    agent.send(REQUEST, struct.pack("<BxxxI", 1, 2))
    assert agent.wait(CONTENT, 2) == struct.pack("<BxxxI", 1, 2) + b"\x89PNG"


@with_both
def what_is_not_there_is_said(q, client, agent):
    assert "content" in client.remote.refused(*client.PATH, "Request", "(uas)", 0, [TEXT])
    agent.send(REQUEST, struct.pack("<BxxxI", 0, 1))
    assert agent.wait(CONTENT) == struct.pack("<BxxxI", 0, 0), "there is nothing yet"
    client.grab(0, {TEXT: b"x"})
    agent.wait(GRAB)
    client.content.clear()
    agent.send(REQUEST, struct.pack("<BxxxI", 0, 1))
    assert agent.wait(CONTENT, 2) == struct.pack("<BxxxI", 0, 0), "the client has lost it"
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: client.grabs, "the client hears nothing")
    answer = client.request(0, TEXT)
    agent.wait(REQUEST)
    assert "already" in client.remote.refused(*client.PATH, "Request", "(uas)", 0, [TEXT])
    agent.send(CONTENT, struct.pack("<BxxxI", 0, 0))
    wait(lambda: answer, "there is no answer")
    assert "no such content" in answer[0], answer
    answer = client.request(0, TEXT)
    agent.wait(REQUEST, 2)
    agent.send(RELEASE, struct.pack("<Bxxx", 0))
    wait(lambda: answer and client.released, "the guest's release is not heard")
    assert "no such content" in answer[0] and client.released == [(0,)]
    # Other content in between: what was asked for is gone, and the new one can be had at once.
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: len(client.grabs) == 2, "the client hears nothing")
    answer = client.request(0, TEXT)
    agent.wait(REQUEST, 3)
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: len(client.grabs) == 3, "the client hears nothing")
    again = client.request(0, TEXT)
    agent.wait(REQUEST, 4)
    agent.send(CONTENT, struct.pack("<BxxxI", 0, 1) + b"new")
    wait(lambda: answer and again, "there is no answer")
    assert "no such content" in answer[0] and bytes(again[0][1]) == b"new", (answer, again)
    answer = client.request(2, TEXT)
    wait(lambda: answer, "there is no answer")
    assert "(uas)" not in answer[0] and "content" in answer[0]


@with_both
def owner_who_never_answers_is_given_up(q, client, agent):
    client.holds = True
    client.grab(0, {TEXT: b"x"})
    agent.wait(GRAB)
    agent.send(REQUEST, struct.pack("<BxxxI", 0, 1))
    wait(lambda: client.held, "the client is not asked")
    assert not agent.got(CONTENT)
    assert agent.wait(CONTENT) == struct.pack("<BxxxI", 0, 0)
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: client.grabs, "the client hears nothing")
    answer = client.request(0, TEXT)
    wait(lambda: answer, "a request of the client waits for ever")
    assert "no such content" in answer[0]


def newcomers_hear_what_there_is():
    with Machine() as q:
        client = q.client()
        client.grab(0, {TEXT: b"was there"})
        client.grab(1, {TEXT: b"marked"})
        agent = Agent(q, request=1)
        agent.wait(CAPABILITIES, 2)  # one as it began, one as it was asked
        first = agent.got(CAPABILITIES)
        assert [struct.unpack("<I", data[:4])[0] for data in first] == [1, 0], first
        assert struct.unpack("<I", first[0][4:8])[0] & (1 << CAN_MOUSE | 1 << CAN_COPY | 1 << CAN_SELECT) == 0x61, first
        wait(lambda: sorted(agent.got(GRAB)) == [struct.pack("<BxxxI", n, 1) for n in (0, 1)],
             lambda: "the agent hears of %s" % agent.got(GRAB))
        agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
        wait(lambda: client.grabs, "the first client hears nothing")
        assert "registered" in q.monitor.peer().refused("Clipboard", "Clipboard", "Release", "(u)", 0)
        other = q.monitor.peer()
        assert "another client" in other.refused("Clipboard", "Clipboard", "Register")
        client.remote.call(*client.PATH, "Unregister")
        assert "registered" in client.remote.refused(*client.PATH, "Unregister")
        second = Clipboard(other)
        wait(lambda: second.grabs, "the second client does not hear what there is")
        assert second.grabs == [(0, 1, [TEXT])], second.grabs
        # Its connection ends: what it had is gone.
        second.grab(2, {TEXT: b"mine"})
        assert agent.wait(GRAB, 3) == struct.pack("<BxxxI", 2, 1)
        other.close()
        assert agent.wait(RELEASE, 2) == struct.pack("<Bxxx", 2), agent.got(RELEASE)
        q.client()


@with_both
def grabs_that_cross_have_serials(q, client, agent):
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: client.grabs, "the client hears nothing")
    agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
    wait(lambda: len(client.grabs) == 2, "the client hears nothing of the second")
    assert [serial for _, serial, _ in client.grabs] == [1, 2]
    client.grab(0, {TEXT: b"late"}, serial=1)
    agent.q.qmp("query-status")
    assert not agent.got(GRAB), "one that is late takes it away"
    client.grab(0, {TEXT: b"same"}, serial=2)
    agent.wait(GRAB)
    for selection in (3, 0xFFFFFFFF):
        assert "selection" in client.remote.refused(*client.PATH, "Grab", "(uuas)", selection, 9, [TEXT])
        assert "selection" in client.remote.refused(*client.PATH, "Request", "(uas)", selection, [TEXT])


def agents_of_old_have_one_selection():
    with Machine() as q:
        client, agent = begins(q, (CAN_COPY,))
        agent.send(GRAB, struct.pack("<I", 1))
        wait(lambda: client.grabs, "the client hears nothing")
        assert client.grabs[0][0] == 0
        answer = client.request(0, TEXT)
        assert agent.wait(REQUEST) == struct.pack("<I", 1)
        agent.send(CONTENT, struct.pack("<I", 1) + b"plain")
        wait(lambda: answer, "the text does not come")
        client.grab(1, {TEXT: b"x"})
        client.grab(0, {TEXT: b"y"})
        assert agent.wait(GRAB) == struct.pack("<I", 1)
        agent.send(REQUEST, struct.pack("<I", 1))
        assert agent.wait(CONTENT) == struct.pack("<I", 1) + b"y" and len(agent.got(GRAB)) == 1


def clipboard_is_off_unless_told():
    with Machine(keys="") as q:
        client, agent = begins(q)
        assert struct.unpack("<I", agent.got(CAPABILITIES)[0][4:8])[0] & 1 << CAN_COPY == 0
        agent.send(GRAB, struct.pack("<BxxxI", 0, 1))
        client.grab(0, {TEXT: b"x"})
        q.qmp("query-status")
        turn(0.2)
        assert not client.grabs and not agent.got(GRAB)


def events(q, *what):
    q.qmp("input-send-event", {"events": list(what)})


def at(axis, value):
    return {"type": "abs", "data": {"axis": axis, "value": value}}


def button(name, down):
    return {"type": "btn", "data": {"button": name, "down": down}}


def agents_move_the_pointer():
    with Machine("", "-device", "VGA") as q:
        agent = Agent(q)
        agent.wait(CAPABILITIES)
        wait(lambda: any(m["current"] and m["absolute"] and "SPICE" in m["name"] for m in q.qmp("query-mice")),
             "the agent's pointer is not the current one")
        events(q, at("x", 32767), at("y", 0))
        x, y, buttons, display = struct.unpack("<IIIB", agent.wait(MOUSE, 1, port=2))
        width, height = x + 1, None
        assert (y, buttons, display) == (0, 0, 0) and width in (640, 720), x
        events(q, at("y", 32767))
        height = struct.unpack("<IIIB", agent.wait(MOUSE, 2, port=2))[1] + 1
        assert height in (400, 480), height
        events(q, at("x", 16384), at("y", 8192), button("left", True))
        assert struct.unpack("<IIIB", agent.wait(MOUSE, 3, port=2)) == \
            (16384 * (width - 1) // 32767, 8192 * (height - 1) // 32767, 2, 0)
        events(q, button("left", False), button("right", True), button("middle", True), button("side", True))
        assert struct.unpack("<IIIB", agent.wait(MOUSE, 4, port=2))[2] == 8 | 4 | 64
        events(q, button("right", False), button("middle", False), button("side", False))
        agent.wait(MOUSE, 5, port=2)
        for name, bit in (("wheel-up", 16), ("wheel-down", 32)):
            del agent.seen[:]
            events(q, button(name, True), button(name, False))
            agent.wait(MOUSE, 2, port=2)
            assert [struct.unpack("<IIIB", d)[2] for d in agent.got(MOUSE, 2)] == [bit, 0], (name, agent.seen)
        # It leaves its pointer when it says that it has none.
        agent.send(CAPABILITIES, struct.pack("<II", 0, 1 << CAN_COPY))
        wait(lambda: not any("SPICE" in m["name"] for m in q.qmp("query-mice")), "the pointer stays")
    with Machine(keys=",mouse=off") as q:
        agent = Agent(q)
        assert not struct.unpack("<I", agent.wait(CAPABILITIES)[4:8])[0] & 1
        assert not any("SPICE" in m["name"] for m in q.qmp("query-mice"))


def agent_is_there_while_its_port_is_open():
    """The port of a virtio console without a driver: nobody has it open. And one that is plugged in."""
    front = ("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=com.redhat.spice.0")
    with Machine(front=front) as q:
        assert not any("SPICE" in m["name"] for m in q.qmp("query-mice"))
        q.qmp("chardev-add", {"id": "b", "backend": {"type": "qemu-vdagent", "data": {"mouse": False, "clipboard": True}}})
        assert {c["label"]: c["frontend-open"] for c in q.qmp("query-chardev")}["b"] is False
        q.qmp("chardev-remove", {"id": "b"})


def noise_does_no_harm():
    noise = random.Random(SEED)
    with Machine() as q:
        client = q.client()
        for n in range(40):
            agent = Agent(q) if n % 8 == 0 else agent
            kind = noise.choice((MOUSE, 3, CONTENT, CAPABILITIES, GRAB, REQUEST, RELEASE, 16, noise.getrandbits(32)))
            agent.send(kind, noise.choice((b"", noise.randbytes(noise.randrange(40)), struct.pack("<BxxxI", noise.randrange(4), 1))),
                       port=noise.choice((1, 2)), chunk=noise.choice((1, 7, 2048)))
            agent.q.take()
        q.put(struct.pack("<II", 1, 20) + struct.pack("<IIQI", 1, CONTENT, 0, 0xFFFFFFFF))  # a size that is only said
        for _ in range(5):
            q.put(struct.pack("<II", 1, 200) + bytes(200))
        q.put(struct.pack("<II", 9, 0xFFFFFFFF) + noise.randbytes(300))
        assert "return" in q.monitor.ask('{"execute":"query-status"}')
        client.grab(0, {TEXT: b"x"})


class Real:
    """spice-vdagentd and spice-vdagent, with an X server of their own, on the wire to the machine's serial port."""

    def __init__(self, q):
        for tool in ("Xvfb", "xclip", "spice-vdagent"):
            if not shutil.which(tool):
                raise Skip("%s is missing (./dev setup installs it)" % tool)
        daemon = shutil.which("spice-vdagentd") or "/usr/sbin/spice-vdagentd"
        self.q, self.processes = q, []
        paths = {name: os.path.join(FOLDER, name) for name in ("port", "daemon", "uinput")}
        for path in paths.values():
            if os.path.exists(path):
                os.unlink(path)
        with open(paths["uinput"], "wb"):
            pass
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(paths["port"])
        listener.listen(1)
        self.env = dict(os.environ, DISPLAY=self.screen())
        self.start(daemon, "-x", "-X", "-f", "-d", "-u", paths["uinput"], "-s", paths["port"], "-S", paths["daemon"])
        wait(lambda: os.path.exists(paths["daemon"]), self.log)
        self.start("spice-vdagent", "-x", "-d", "-s", paths["port"], "-S", paths["daemon"])
        listener.settimeout(30)
        self.wire = listener.accept()[0]
        self.wire.setblocking(False)
        listener.close()
        self.uinput = paths["uinput"]

    def start(self, *command):
        log = open(os.path.join(FOLDER, "log-%d" % len(self.processes)), "wb")  # pylint: disable=consider-using-with
        self.processes.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        log.close()

    def log(self):
        return "".join(open(os.path.join(FOLDER, "log-%d" % n), errors="replace").read()[-1500:]
                       for n in range(len(self.processes)) if os.path.exists(os.path.join(FOLDER, "log-%d" % n)))

    def screen(self):
        ours, theirs = os.pipe()
        self.processes.append(subprocess.Popen(["Xvfb", "-displayfd", str(theirs), "-screen", "0", "640x480x24", "-nolisten",
                                                "tcp"], pass_fds=[theirs], stderr=subprocess.DEVNULL))
        os.close(theirs)
        with os.fdopen(ours) as f:
            return ":" + f.readline().strip()

    def turn(self):
        """Bytes both ways."""
        data = self.q.take()
        if data:
            self.wire.sendall(data)
        if select.select([self.wire], [], [], 0)[0]:
            self.q.put(self.wire.recv(256))

    def until(self, condition, what):
        wait(lambda: self.turn() or condition(), lambda: "%s\n%s" % (what, self.log()))

    def copy(self, text, selection="clipboard"):
        subprocess.run(["xclip", "-selection", selection, "-i"], input=text, env=self.env, check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def paste(self, selection="clipboard"):
        process = subprocess.Popen(["xclip", "-selection", selection, "-o"], env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        self.until(lambda: process.poll() is not None, "nothing is pasted")
        return process.stdout.read()

    def close(self):
        self.wire.close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


def the_real_agent_copies_and_pastes():
    with Machine() as q:
        client, real = q.client(), Real(q)
        try:
            real.until(lambda: any("SPICE" in m["name"] for m in q.qmp("query-mice")), "the agent does not begin")
            text = "aus dem Gast ✂ ".encode() * 300
            end = time.monotonic() + 60
            while not client.grabs:  # the session's agent may come late
                assert time.monotonic() < end, real.log()
                real.copy(text)
                began = time.monotonic()
                while not client.grabs and time.monotonic() < began + 3:
                    real.turn()
                    turn(0.01)
            assert TEXT in client.grabs[-1][2] and client.grabs[-1][0] == 0, client.grabs
            answer = client.request(0, TEXT)
            real.until(lambda: answer, "the guest's text does not come")
            assert not isinstance(answer[0], str), (answer, real.log())
            assert bytes(answer[0][1]) == text
            client.grab(0, {TEXT: b"from the host " * 400})
            real.until(lambda: b"from the host" in real.paste(), "the host's text does not come")
            assert real.paste() == b"from the host " * 400
            client.grab(1, {TEXT: b"marked"})
            real.until(lambda: real.paste("primary") == b"marked", "what is marked does not come")
        finally:
            real.close()


if __name__ == "__main__":
    run([text_goes_both_ways, what_is_not_there_is_said, owner_who_never_answers_is_given_up, newcomers_hear_what_there_is,
         grabs_that_cross_have_serials, agents_of_old_have_one_selection, clipboard_is_off_unless_told,
         agents_move_the_pointer, agent_is_there_while_its_port_is_open, noise_does_no_harm,
         the_real_agent_copies_and_pastes])
