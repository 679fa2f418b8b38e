# SPDX-License-Identifier: LGPL-2.1-or-later
"""-netdev af-xdp at a pair of veth interfaces in a network namespace of the test's: frames both ways in each mode, queues,
a program of somebody else's, and no program left behind.

usage: test-net-xdp.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time

SOURCE, BUILD = (os.path.realpath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import ALL, MAC, Wire, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
HEAD = ALL + b"\x52\x54\0\0\0\x01" + b"\x88\xb5"
BACK = ALL + MAC + b"\x88\xb5"
CLONE_NEWNET, AF_XDP, SOCK_RAW = 0x40000000, 44, 3
FLOWS = 200


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def reason_not_to():
    """AF_XDP needs the rights of the machine's root, the kernel's sockets and iproute2."""
    if os.geteuid() != 0:
        return "only root may"
    try:
        socket.socket(AF_XDP, SOCK_RAW, 0).close()
        ip("-V")
    except OSError as error:
        return str(error)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        return "no network namespace can be made"
    try:
        ip("link", "add", "bpx0", "numrxqueues", "4", "numtxqueues", "4", "type", "veth", "peer", "name", "bpx1",
           "numrxqueues", "4", "numtxqueues", "4")
        for name in ("bpx0", "bpx1"):
            with contextlib.suppress(FileNotFoundError), \
                    open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name, "w", encoding="ascii") as f:
                f.write("1")  # a kernel without IPv6 says nothing of its own anyway
            ip("link", "set", name, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        return "no veth interfaces: %s" % error
    return None


@contextlib.contextmanager
def machine(keys, pass_fds=()):
    wire = Wire(FOLDER)
    peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    peer.bind(("bpx1", 0x88B5))
    peer.settimeout(60)
    wire.peer = peer
    try:
        with Emulator(PROGRAM, "-M", "none", *options(FOLDER, "af-xdp,ifname=bpx0" + keys), pass_fds=pass_fds) as e:
            wire.emulator = e
            yield wire
    finally:
        peer.close()
        wire.close()


def both_ways(w):
    for n in range(3000):  # round the rings, whose frames are 1024
        data = HEAD + n.to_bytes(4, "big") + bytes(46 + n % 1400)
        w.peer.send(data)
        assert w.wait(lambda f: f if f.startswith(HEAD) else None, what="frame %d" % n) == data, n
        data = BACK + n.to_bytes(4, "big") + bytes(46 + n % 1400)
        w.send(data)
        while True:
            got, sender = w.peer.recvfrom(70000)
            if sender[2] != socket.PACKET_OUTGOING:
                break
        assert got == data, n


def attached():
    return json.loads(ip("-j", "-d", "link", "show", "dev", "bpx0"))[0].get("xdp")


def frames_go_both_ways_in_each_mode():
    for keys, mode in (("", None), (",mode=skb", 2), (",mode=native", 1), (",mode=skb,force-copy=on", 2)):
        with machine(",queues=4" + keys) as w:
            assert attached() and (mode is None or attached()["mode"] == mode), (keys, attached())
            both_ways(w)
            text = w.emulator.command("human-monitor-command", command_line="info network")["return"]
            assert "ifname=bpx0,queues=0 to 3" in text, text
        assert not attached(), keys


def send_flows(mark):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:  # one: the kernel waits long when such a socket goes
        for n in range(FLOWS):  # what the kernel spreads by: addresses and ports of UDP
            packet = bytes([0x45, 0, 0, 40, 0, n, 0, 0, 64, 17, 0, 0, 10, 0, 0, n, 10, 0, 1, n]) + \
                n.to_bytes(2, "big") + (7 * n).to_bytes(2, "big") + bytes([0, 20, 0, 0]) + bytes(31) + bytes([mark])
            raw.sendto(MAC + b"\x52\x54\0\0\0\x01" + b"\x08\0" + packet, ("bpx1", 0x0800))


def flows(w, expected=None):
    """Sends frames of many flows, and gives the numbers of those that came: a second round, whose frames are marked, tells
    when the first is over, as queues keep the order. `expected` (of several queues): the second begins when they came."""
    came, marked, asked, end = set(), set(), False, time.monotonic() + 60
    send_flows(0)
    while not (asked and marked >= came):
        frame = w.frame(end - time.monotonic())
        if frame is None:
            break
        if frame[12:14] != b"\x08\0":
            continue
        (marked if frame[-1] else came).add(frame[19])
        if not asked and (expected is None or came >= expected):
            asked = True
            send_flows(1)
    return came


def each_queue_is_served():
    one = []
    for first in range(4):
        with machine(",start-queue=%d" % first) as w:
            one.append(flows(w))
    everything = set(range(FLOWS))
    assert sum(len(o) for o in one) == FLOWS and set().union(*one) == everything, [len(o) for o in one]
    for keys, expected in ((",queues=4", everything), (",start-queue=1,queues=2", one[1] | one[2]),
                           (",queues=3", one[0] | one[1] | one[2])):
        with machine(keys) as w:
            assert flows(w, expected) == expected, keys


def bursts(w, count, down=()):
    """So many frames at once get to the interface, however few the kernel takes in one call."""
    w.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    for words in down:
        ip("link", "set", "bpx0", words)
    w.emulator.process.send_signal(signal.SIGSTOP)  # the frames pile up in front of it
    sent = 0
    w.socket.setblocking(False)
    try:
        for n in range(count):
            w.send(BACK + n.to_bytes(4, "big") + bytes(60))
            sent += 1
    except BlockingIOError:
        pass
    finally:
        w.socket.setblocking(True)
        w.emulator.process.send_signal(signal.SIGCONT)
    return sent


def heard(w, count):
    for n in range(count):
        while True:
            got, sender = w.peer.recvfrom(70000)
            if sender[2] != socket.PACKET_OUTGOING:
                break
        assert got[14:18] == n.to_bytes(4, "big"), (n, count, got)


def bursts_leave_nothing_behind():
    with machine(",queues=4") as w:
        for _ in range(5):
            sent = bursts(w, 500)
            assert sent > 1
            heard(w, sent)
        # What an interface that is down does not take it gets when it is up; nobody spins meanwhile.
        sent = bursts(w, 500, ("down",))
        before = os.times()
        w.emulator.command("query-status")
        with open("/proc/%d/stat" % w.emulator.process.pid, encoding="ascii") as f:
            began = sum(int(t) for t in f.read().rsplit(")", 1)[1].split()[11:13])
        while os.times().elapsed < before.elapsed + 2:
            time.sleep(0.1)
        with open("/proc/%d/stat" % w.emulator.process.pid, encoding="ascii") as f:
            used = sum(int(t) for t in f.read().rsplit(")", 1)[1].split()[11:13]) - began
        assert used < 0.5 * os.sysconf("SC_CLK_TCK"), used
        ip("link", "set", "bpx0", "up")
        heard(w, sent)


class Foreign:
    """A program as somebody else would load it, by libbpf: what comes on queue n goes to the n-th socket."""

    def __init__(self, queues):
        self.bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self.map = self.bpf.bpf_map_create(17, b"test", 4, 4, queues, None)
        code = self.code()
        self.program = self.bpf.bpf_prog_load(6, b"test", b"GPL", code, ctypes.c_size_t(len(code) // 8), None)
        assert self.map >= 0 and self.program >= 0, ctypes.get_errno()
        self.link = self.bpf.bpf_link_create(self.program, socket.if_nametoindex("bpx0"), 37, None)
        assert self.link >= 0, ctypes.get_errno()
        self.sockets = []
        for n in range(queues):
            s = socket.socket(AF_XDP, SOCK_RAW, 0)
            key, value = ctypes.c_uint32(n), ctypes.c_int(s.fileno())
            assert self.bpf.bpf_map_update_elem(self.map, ctypes.byref(key), ctypes.byref(value), ctypes.c_uint64(0)) == 0
            self.sockets.append(s)

    def code(self):
        def one(opcode, to=0, source=0, offset=0, value=0):
            return bytes([opcode, source << 4 | to]) + offset.to_bytes(2, "little") + value.to_bytes(4, "little")
        return one(0x61, 2, 1, 16) + one(0x18, 1, 1, 0, self.map) + one(0) + one(0xB7, 3, 0, 0, 2) + \
            one(0x85, 0, 0, 0, 51) + one(0x95)

    def close(self):
        for s in self.sockets:
            s.close()
        for fd in (self.link, self.program, self.map):
            os.close(fd)


def sockets_of_another_program_are_taken():
    three = set()
    for first in range(3):
        with machine(",start-queue=%d" % first) as w:
            three |= flows(w)
    assert 0 < len(three) < FLOWS
    foreign = Foreign(3)
    try:
        numbers = [s.fileno() for s in foreign.sockets]
        with machine(",queues=3,inhibit=on,sock-fds=%d:%d:%d" % tuple(numbers), tuple(numbers)) as w:
            assert flows(w, three) == three
        assert attached(), "the program is not ours to take away"
    finally:
        foreign.close()


def no_program_outlives_a_kill():
    with machine("") as w:
        assert attached()
        w.emulator.process.send_signal(signal.SIGKILL)
        w.emulator.process.wait(60)
        end = time.monotonic() + 60
        while attached():
            assert time.monotonic() < end, "the program stays"
            time.sleep(0.02)


def wrong_keys_are_refused_in_words():
    for keys, words in (("", ("ifname",)), (",ifname=none0", ("none0", "No such device")),
                        (",ifname=bpx0,mode=fast", ("native or skb",)), (",ifname=bpx0,queues=0", ("queues",)),
                        (",ifname=bpx0,queues=5", ("queue 4", "is there such a queue")),
                        (",ifname=bpx0,inhibit=on", ("sock-fds",)), (",ifname=bpx0,sock-fds=3", ("inhibit=on",)),
                        (",ifname=bpx0,queues=2,inhibit=on,sock-fds=0", ("1 descriptors for queues=2",)),
                        (",ifname=bpx0,inhibit=on,sock-fds=77", ("no descriptor 77",)),
                        (",ifname=bpx0,inhibit=on,sock-fds=0", ("option",)),
                        (",ifname=bpx0,inhibit=on,sock-fds=0,mode=skb", ("mode",))):
        said = fails(PROGRAM, "-M", "none", "-netdev", "af-xdp,id=n" + keys)
        for word in words:
            assert word in said, (word, said)
        assert not attached(), keys


why = reason_not_to()
if why:
    print("1..0 # SKIP " + why)
    sys.exit(0)
FOLDER = tap.work_folder("net-xdp-")
tap.run([frames_go_both_ways_in_each_mode, each_queue_is_served, bursts_leave_nothing_behind,
         sockets_of_another_program_are_taken,
         no_program_outlives_a_kill, wrong_keys_are_refused_in_words])
