# SPDX-License-Identifier: LGPL-2.1-or-later
"""User networking reaches hosts beyond its own without any privilege: a second network namespace is far away.

usage: test-net-user-far.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from wire import MAC, Tcp, Wire, checksum, options  # noqa: E402

INSIDE = "BACKPLANE_TEST_NAMESPACE"
RANGE = "/proc/sys/net/ipv4/ping_group_range"
if INSIDE not in os.environ:
    probe = ["unshare", "-Urnm", "sh", "-c", "ip link add name one type veth peer name two && echo 0 0 > " + RANGE]
    if shutil.which("ip") and shutil.which("setpriv") and \
            subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        os.execvpe("unshare", ["unshare", "-Urnm", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    print("1..0 # SKIP no pairs of interfaces in namespaces here (iproute2, util-linux, user namespaces)")
    sys.exit(0)

FOLDER = tap.work_folder("net-user-far-")
PROGRAM = os.path.join(FOLDER, "without-privileges")
HERE, THERE, HERE6, THERE6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
# Echoes what comes by UDP, and says a line to who connects.
SERVER = """
import socket, sys, threading
def udp(family, to):
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind((to, 7))
    while True:
        data, source = s.recvfrom(2000); s.sendto(b"far: " + data, source)
def tcp(family, to):
    s = socket.socket(family, socket.SOCK_STREAM); s.bind((to, 13)); s.listen(5)
    while True:
        c, source = s.accept(); c.sendall(b"hello from far away\\n"); c.close()
for f in udp, tcp:
    for family, to in (socket.AF_INET, "192.0.2.2"), (socket.AF_INET6, "2001:db8::2"):
        threading.Thread(target=f, args=(family, to), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def far_host():
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; read x; ip link set lo up; ip addr add %s/24 dev two; ip -6 addr add "
                           "%s/64 dev two nodad; ip link set two up; exec %s -c '%s'" % (THERE, THERE6, sys.executable, SERVER)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "up\n"
            ip("link", "set", "lo", "up")
            ip("link", "add", "name", "one", "type", "veth", "peer", "name", "two")
            ip("link", "set", "two", "netns", str(process.pid))
            ip("addr", "add", HERE + "/24", "dev", "one")
            ip("-6", "addr", "add", HERE6 + "/64", "dev", "one", "nodad")
            ip("link", "set", "one", "up")
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def network(keys=""):
    """Its wire; the emulator has no capabilities."""
    wire = Wire(FOLDER)
    try:
        with Emulator(PROGRAM, "-M", "none", *options(FOLDER, "user" + keys)) as e:
            wire.emulator = e
            with open("/proc/%d/status" % e.process.pid, encoding="ascii") as f:
                status = dict(line.split(":\t") for line in f.read().splitlines() if ":\t" in line)
            assert int(status["CapEff"], 16) == 0, status["CapEff"]
            yield wire
    finally:
        wire.close()


def allow_pings():
    """A namespace begins without; what was allowed is not forbidden again here, where group 1 is unknown."""
    with open(RANGE, "w", encoding="ascii") as f:
        f.write("0 0")


def far_host_answers_pings():
    allow_pings()
    with network() as w:
        w.macs[THERE] = w.mac_of("10.0.2.2")
        w.ping("10.0.2.2")
        w.ping(THERE)


def far_host_serves():
    """No leave is needed for that."""
    with network() as w:
        w.send_udp(THERE, 4007, 7, b"are you there?", mac=w.mac_of("10.0.2.2"))
        assert w.udp(4007) == (b"far: are you there?", THERE, 7)
        w.macs[THERE] = w.mac_of("10.0.2.2")
        c = Tcp(w, THERE, 13, 40013)
        assert c.connect()
        assert c.read(1000) == b"hello from far away\n"
    with network(",restrict=on") as w:
        w.send_udp(THERE, 4007, 7, b"leak", mac=w.mac_of("10.0.2.2"))
        try:
            w.udp(4007, seconds=1)
        except AssertionError:
            return
        raise AssertionError("the guest reaches it")


def forbidden_ping_is_told():
    with network() as w:
        w.macs[THERE] = w.mac_of("10.0.2.2")
        try:
            w.ping(THERE, seconds=2)
        except AssertionError as error:
            assert "does not come" in str(error)
        else:
            raise AssertionError("it came through")
        w.ping("10.0.2.2")
        send6(w, THERE6, 58, b"\x80\0\0\0\0\x07\0\x01" + b"how far?", 2)
        w.ping("10.0.2.2")
        w.emulator.process.terminate()
        said = w.emulator.process.stderr.read()
    assert said.count("net.ipv4.ping_group_range") == 1, said


# ---- IPv6 ----

OURS = socket.inet_pton(socket.AF_INET6, "fec0::5054:ff:fe12:3456")


def send6(w, to, protocol, body, at):
    """With its checksum at `at`."""
    to = socket.inet_pton(socket.AF_INET6, to)
    body = body[:at] + b"\0\0" + body[at + 2:]
    value = checksum(OURS + to + struct.pack(">IHBB", len(body), 0, 0, protocol) + body) or 0xFFFF
    body = body[:at] + struct.pack(">H", value) + body[at + 2:]
    w.send(b"\x52\x56\0\0\0\x02" + MAC + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(body), protocol, 255) + OURS + to + body)


def heard6(w, source, protocol, seconds=20):
    """The next packet of a protocol from there; who asks for our address is told it."""
    source = socket.inet_pton(socket.AF_INET6, source)

    def match(frame):
        if frame[12:14] != b"\x86\xdd":
            return None
        if frame[20] == 58 and frame[54] == 135 and frame[62:78] == OURS:
            send6(w, socket.inet_ntop(socket.AF_INET6, frame[22:38]), 58, b"\x88\0\0\0\x60\0\0\0" + OURS + b"\x02\x01" + MAC, 2)
        return frame[54:] if frame[20] == protocol and frame[22:38] == source else None
    return w.wait(match, seconds, "an answer")


def far_host_serves_by_ipv6():
    with network() as w:
        data = b"are you there?"
        send6(w, THERE6, 17, struct.pack(">HHHH", 4006, 7, 8 + len(data), 0) + data, 6)
        assert heard6(w, THERE6, 17)[8:] == b"far: " + data
        send6(w, THERE6, 6, struct.pack(">HHIIBBHHH", 40006, 13, 77, 0, 0x50, 2, 60000, 0, 0), 16)
        assert heard6(w, THERE6, 6)[13] & 0x12 == 0x12


def far_host_answers_pings_by_ipv6():
    allow_pings()
    with network() as w:
        send6(w, THERE6, 58, b"\x80\0\0\0\0\x07\0\x01" + b"how far?", 2)
        answer = heard6(w, THERE6, 58, 5)
        assert answer[0] == 129 and answer[4:] == b"\0\x07\0\x01how far?", answer
        pseudo = socket.inet_pton(socket.AF_INET6, THERE6) + OURS + struct.pack(">IHBB", len(answer), 0, 0, 58)
        assert checksum(pseudo + answer) == 0
        for n in range(100):  # more than it keeps sockets for
            send6(w, THERE6, 58, struct.pack(">HHHH", 0x8000, 0, 100 + n, n) + b"x" * n, 2)
            answer = heard6(w, THERE6, 58, 5)
            assert answer[4:8] == struct.pack(">HH", 100 + n, n) and len(answer) == 8 + n
        assert len(os.listdir("/proc/%d/fd" % w.emulator.process.pid)) < 100
    with network(",restrict=on") as w:
        send6(w, THERE6, 58, b"\x80\0\0\0\0\x07\0\x01" + b"a leak?", 2)
        try:
            heard6(w, THERE6, 58, 1)
        except AssertionError:
            return
        raise AssertionError("the guest reaches it")


binary = os.path.join(BUILD, "backplane-system-x86_64")
with open(PROGRAM, "w", encoding="ascii") as script:
    script.write("#!/bin/sh\nexec setpriv --securebits=+noroot,+noroot_locked --bounding-set=-all --inh-caps=-all %s \"$@\"\n" % binary)
os.chmod(PROGRAM, 0o755)
with far_host():
    tap.run([far_host_serves, far_host_serves_by_ipv6, forbidden_ping_is_told, far_host_answers_pings,
             far_host_answers_pings_by_ipv6])
