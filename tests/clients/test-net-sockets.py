# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks over sockets (stream, dgram, socket): the other side is this test, or another machine.

usage: test-net-sockets.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import ALL, MAC, Wire, old_options, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-sockets-")
LIBC = ctypes.CDLL(None, use_errno=True)
FRAME = ALL + MAC + b"\x88\xb5" + bytes(range(200))
BACK = MAC + b"\x52\x54\0\0\0\x01" + b"\x88\xb5" + b"back" * 300


@contextlib.contextmanager
def machine(netdev, name="one", pass_fds=()):
    """A machine with this netdev and the end of its wire, as wire.emulator."""
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    wire = Wire(folder)
    try:
        with Emulator(PROGRAM, "-M", "none", *options(folder, netdev), pass_fds=pass_fds) as e:
            wire.emulator = e
            yield wire
    finally:
        wire.close()


def refused(netdev, *words):
    said = fails(PROGRAM, "-M", "none", "-netdev", netdev)
    for word in words:
        assert word in said, (word, said)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def framed(data):
    return struct.pack(">I", len(data)) + data


def exactly(s, count):
    data = b""
    while len(data) < count:
        part = s.recv(count - len(data))
        assert part, "the connection ended"
        data += part
    return data


def both_ways(wire, s, told=True):
    """Frames get from the wire to a connection and back. `told`: an event says when it is there. (A connection that is
    made while the machine starts may be there before anybody is told of events.)"""
    s.settimeout(20)
    data = wire.emulator.wait_event("NETDEV_STREAM_CONNECTED") if told else None
    wire.send(FRAME)
    length = struct.unpack(">I", exactly(s, 4))[0]
    assert exactly(s, length) == FRAME
    whole = framed(BACK)
    s.sendall(whole[:7])  # in two pieces
    s.sendall(whole[7:] + framed(FRAME))
    assert wire.frame(20) == BACK
    assert wire.frame(20) == FRAME
    return data


def machines_hear_each_other(a, b):
    end = time.monotonic() + 20
    got = None
    while got is None:  # the connection may still be made
        assert time.monotonic() < end, "nothing comes"
        a.send(FRAME)
        got = b.frame(0.5)
    assert got == FRAME
    while b.frame(0.2) is not None:
        pass
    b.send(BACK)
    assert a.frame(20) == BACK
    assert a.frame(0.2) is None and b.frame(0.2) is None, "a frame comes back to who sent it"


# ---- stream ----

def listening_stream_takes_a_connection():
    port = free_port()
    with machine("stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%d" % port) as w:
        for _ in range(2):  # one after the other
            with socket.create_connection(("127.0.0.1", port), 20) as s:
                data = both_ways(w, s)
                assert data["netdev-id"] == "n" and data["addr"].startswith("127.0.0.1:"), data
            assert w.emulator.wait_event("NETDEV_STREAM_DISCONNECTED") == {"netdev-id": "n"}


def connecting_stream_comes_back():
    path = os.path.join(FOLDER, "server")
    with machine("stream,server=off,addr.type=unix,addr.path=%s,reconnect-ms=20" % path) as w:
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(path)
                s.listen(1)
                s.settimeout(20)
                with s.accept()[0] as c:
                    both_ways(w, c)
            os.unlink(path)
            w.emulator.wait_event("NETDEV_STREAM_DISCONNECTED")


def stream_tries_ports_up_to_the_last():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        if port > 65500:
            raise tap.Skip("the kernel gave one of the last ports")
        with machine("stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%d,addr.to=%d" % (port, port + 30)) as w:
            text = w.emulator.command("human-monitor-command", command_line="info network")["return"]
            chosen = int(text.split("listening at 127.0.0.1:")[1].split()[0])
            assert port < chosen <= port + 30
            with socket.create_connection(("127.0.0.1", chosen), 20) as s:
                both_ways(w, s)
        refused("stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%d" % port, "Address already in use")


def abstract_names_are_tight_or_padded():
    name = "backplane-test-%d" % os.getpid()
    for tight, address in (("on", "\0" + name), ("off", ("\0" + name).ljust(108, "\0"))):
        with machine("stream,server=on,addr.type=unix,addr.path=%s,addr.abstract=on,addr.tight=%s" % (name, tight)) as w, \
                socket.socket(socket.AF_UNIX) as s:
            s.connect(address.encode())
            both_ways(w, s)


def stream_takes_a_descriptor():
    ours, theirs = socket.socketpair()
    with ours, theirs, machine("stream,addr.type=fd,addr.str=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),)) as w:
        both_ways(w, ours, told=False)
    with open(os.devnull, "rb") as f:
        refused("stream,id=n,addr.type=fd,addr.str=0", "no stream socket")
        assert f


def stream_speaks_multipath_tcp():
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError as error:
        raise tap.Skip("this kernel has no multipath TCP: %s" % error)
    with s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        s.settimeout(20)
        with machine("stream,addr.type=inet,addr.host=127.0.0.1,addr.port=%d,addr.mptcp=on" % s.getsockname()[1]) as w, \
                s.accept()[0] as c:
            assert protocol_and_keep_alive(w.emulator.process.pid, s.getsockname()[1]) == (262, 0)
            both_ways(w, c, told=False)


def protocol_and_keep_alive(pid, port):
    """(SO_PROTOCOL, SO_KEEPALIVE) of the process's connection to this port."""
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            fd = LIBC.syscall(438, pidfd, int(name), 0)  # pidfd_getfd
            if fd < 0:
                continue
            try:
                s = socket.socket(fileno=fd)
            except OSError:
                os.close(fd)
                continue
            with s:
                if s.family == socket.AF_INET and is_connected_to(s, port):
                    return (s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL),
                            s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    finally:
        os.close(pidfd)
    raise AssertionError("the machine has no connection to port %d" % port)


def is_connected_to(s, port):
    try:
        return s.getpeername()[1] == port
    except OSError:
        return False


def stream_keeps_a_connection_alive():
    for text, alive in (("", 0), (",addr.keep-alive=off", 0), (",addr.keep-alive=on", 1)):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(1)
            s.settimeout(20)
            port = s.getsockname()[1]
            with machine("stream,addr.type=inet,addr.host=127.0.0.1,addr.port=%d%s" % (port, text)) as w, s.accept()[0] as c:
                both_ways(w, c, told=False)
                assert protocol_and_keep_alive(w.emulator.process.pid, port) == (socket.IPPROTO_TCP, alive), text


def only_sockets_that_nobody_serves_make_way():
    path = os.path.join(FOLDER, "place")
    for kind, netdev in ((socket.SOCK_STREAM, "stream,id=n,server=on,addr.type=unix,addr.path=%s" % path),
                         (socket.SOCK_DGRAM, "dgram,id=n,local.type=unix,local.path=%s,remote.type=unix,"
                                             "remote.path=%s-2" % (path, path))):
        with open(path, "wb") as f:
            f.write(b"something of value")
        refused(netdev, "Address already in use")
        with open(path, "rb") as f:
            assert f.read() == b"something of value"
        os.unlink(path)
        for theirs, listens in ((socket.SOCK_STREAM, True), (socket.SOCK_STREAM, False), (socket.SOCK_DGRAM, False)):
            with socket.socket(socket.AF_UNIX, theirs) as s:
                s.bind(path)
                if listens:
                    s.listen(1)
                refused(netdev, path, "another process serves this socket")
                assert os.path.exists(path)
                s.setblocking(False)
                try:
                    s.accept() if listens else s.recv(1)
                    raise AssertionError("whoever serves it was disturbed")
                except OSError as e:
                    assert e.errno in (errno.EAGAIN, errno.EINVAL), e
            os.unlink(path)
        with Emulator(PROGRAM, "-M", "none", "-netdev", netdev) as e:  # what is left of it may go
            os.unlink(path)
            with socket.socket(socket.AF_UNIX, kind) as s:
                s.bind(path)
                assert "return" in e.command("quit")
                e.process.wait(20)
                assert os.path.exists(path), "another's socket went"
        os.unlink(path)


def paths_are_those_of_the_beginning_after_daemonize():
    """Where a client goes again, where datagrams go to, and what is removed."""
    folder = os.path.join(FOLDER, "daemon")
    os.makedirs(folder)
    pid = os.path.join(folder, "pid")
    words = ["-netdev", "stream,id=s,server=on,addr.type=unix,addr.path=listens", "-netdev",
             "stream,id=c,addr.type=unix,addr.path=called,reconnect-ms=20", "-netdev",
             "dgram,id=d,local.type=unix,local.path=near,remote.type=unix,remote.path=far", "-netdev",
             "hubport,id=p1,hubid=1,netdev=c", "-netdev", "hubport,id=p2,hubid=1,netdev=d",
             "-chardev", "socket,id=h,path=heard,server=on,wait=off", "-chardev", "socket,id=k,path=called,reconnect-ms=20"]
    done = subprocess.run([PROGRAM, "-M", "none", "-display", "none", "-daemonize", "-pidfile", "pid", *words], cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done
    with open(pid, encoding="ascii") as f:
        number = int(f.read())
    try:
        assert {"listens", "near", "heard"} <= set(os.listdir(folder))
        with socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far:
            s.bind(os.path.join(folder, "called"))
            s.listen(4)
            s.settimeout(60)
            far.bind(os.path.join(folder, "far"))
            far.settimeout(60)
            with s.accept()[0] as one, s.accept()[0] as two:  # a network and a character device, in any order
                for c in (one, two):
                    c.sendall(framed(FRAME))
                assert far.recv(4096) == FRAME
    finally:
        os.kill(number, signal.SIGTERM)
        end = time.monotonic() + 60
        while {"pid", "listens", "near", "heard"} & set(os.listdir(folder)):
            assert time.monotonic() < end, os.listdir(folder)
            time.sleep(0.02)


def stream_keeps_to_its_family():
    port = free_port()
    with machine("stream,server=on,addr.type=inet,addr.host=localhost,addr.port=%d,addr.ipv4=on,addr.ipv6=off" % port) as w, \
            socket.create_connection(("127.0.0.1", port), 20) as s:
        both_ways(w, s)


def frame_of_a_gigabyte_ends_the_connection():
    path = os.path.join(FOLDER, "hostile")
    with machine("stream,server=on,addr.type=unix,addr.path=" + path) as w:
        for attack in (struct.pack(">I", 1 << 30), struct.pack(">I", 0xFFFFFFFF) + bytes(100000), framed(b"")[:3]):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                w.emulator.wait_event("NETDEV_STREAM_CONNECTED")
                with contextlib.suppress(OSError):
                    s.sendall(attack)
                    if len(attack) > 3:
                        assert s.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            both_ways(w, s)


def peer_that_reads_nothing_holds_up_nobody():
    path = os.path.join(FOLDER, "slow")
    with machine("stream,server=on,addr.type=unix,addr.path=" + path) as w, socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        w.emulator.wait_event("NETDEV_STREAM_CONNECTED")
        w.socket.setblocking(False)
        for _ in range(20000):
            with contextlib.suppress(BlockingIOError):
                w.send(FRAME)
        assert w.emulator.command("query-status")["return"]
        s.settimeout(20)
        for _ in range(100):  # what comes is whole
            assert exactly(s, struct.unpack(">I", exactly(s, 4))[0]) == FRAME


def two_machines_hear_each_other_by_stream():
    path = os.path.join(FOLDER, "pair")
    with machine("stream,server=on,addr.type=unix,addr.path=" + path) as a, \
            machine("stream,server=off,addr.type=unix,addr.path=%s,reconnect-ms=50" % path, "two") as b:
        machines_hear_each_other(a, b)


# ---- dgram ----

def datagrams_go_between_two_ports():
    one, two = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    keys = "dgram,local.type=inet,local.host=127.0.0.1,local.port=%d,remote.type=inet,remote.host=127.0.0.1,remote.port=%d"
    with machine(keys % (one, two)) as a, machine(keys % (two, one), "two") as b:
        machines_hear_each_other(a, b)


def datagrams_go_between_two_paths():
    one, two = os.path.join(FOLDER, "d1"), os.path.join(FOLDER, "d2")
    keys = "dgram,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s"
    with machine(keys % (one, two)) as a, machine(keys % (two, one), "two") as b:
        machines_hear_each_other(a, b)


def dgram_takes_a_descriptor():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, machine("dgram,local.type=fd,local.str=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),)) as w:
        ours.settimeout(20)
        w.send(FRAME)
        assert ours.recv(70000) == FRAME
        ours.send(BACK)
        assert w.frame(20) == BACK
        ours.send(b"")
        ours.send(bytes(66000))
        ours.send(FRAME)
        assert w.frame(20) == FRAME, "only what is a frame"


def three_machines_share_a_group():
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         socket.inet_aton("230.0.0.77") + socket.inet_aton("127.0.0.1"))
        except OSError as error:
            raise tap.Skip("no multicast here: %s" % error)
    new = "dgram,remote.type=inet,remote.host=230.0.0.77,remote.port=%d,local.type=inet,local.host=127.0.0.1" % port
    old = "socket,mcast=230.0.0.77:%d,localaddr=127.0.0.1" % port
    with machine(new) as a, machine(old, "two") as b, machine(new, "three") as c:
        machines_hear_each_other(a, b)
        while c.frame(0.2) is not None:
            pass
        a.send(FRAME)
        assert b.frame(20) == FRAME and c.frame(20) == FRAME


def group_is_reached_by_a_descriptor():
    """Of a socket that has joined it: what is sent goes to the group, what the group says is heard."""
    port = free_port(socket.SOCK_DGRAM)
    with contextlib.ExitStack() as stack:
        ends = []
        for _ in range(2):
            s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("230.0.0.78", port))
                s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                             socket.inet_aton("230.0.0.78") + socket.inet_aton("127.0.0.1"))
                s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            except OSError as error:
                raise tap.Skip("no multicast here: %s" % error)
            ends.append(s)
        ours, theirs = ends
        ours.settimeout(60)
        with machine("dgram,remote.type=inet,remote.host=230.0.0.78,remote.port=%d,local.type=fd,local.str=%d" % (
                port, theirs.fileno()), pass_fds=(theirs.fileno(),)) as w:
            w.send(FRAME)
            assert ours.recv(70000) == FRAME
            ours.sendto(BACK, ("230.0.0.78", port))
            assert w.frame(60) == BACK


# ---- socket ----

def old_keys_join_two_machines():
    port = free_port()
    with machine("socket,listen=127.0.0.1:%d" % port) as a, \
            machine("socket,connect=127.0.0.1:%d" % port, "two") as b:
        machines_hear_each_other(a, b)
    one, two = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    keys = "socket,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d"
    with machine(keys % (one, two)) as a, machine(keys % (two, one), "two") as b:
        machines_hear_each_other(a, b)


def old_fd_is_of_the_kind_that_it_is():
    ours, theirs = socket.socketpair()
    with ours, theirs, machine("socket,fd=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),)) as w:
        both_ways(w, ours, told=False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, machine("socket,fd=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),)) as w:
        ours.settimeout(20)
        w.send(FRAME)
        assert ours.recv(70000) == FRAME


# ---- l2tpv3 ----

def old_backends_are_at_hub_0():
    path = os.path.join(FOLDER, "old")
    os.makedirs(path)
    port, ours, theirs = free_port(), free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    for backend in ("socket,listen=127.0.0.1:%d,name=blue" % port,
                    "l2tpv3,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=%d,dstport=%d,txsession=1,rxsession=1,counter=off,"
                    "name=blue" % (theirs, ours)):
        wire = Wire(path)
        with contextlib.closing(wire), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, \
                Emulator(PROGRAM, "-M", "none", *old_options(path, backend)) as e:
            wire.emulator = e
            s.bind(("127.0.0.1", ours))
            s.settimeout(60)
            text = e.command("human-monitor-command", command_line="info network")["return"]
            assert "blue: index=0," in text and "type=hubport,hub=0" in text, text
            if backend.startswith("socket"):
                with socket.create_connection(("127.0.0.1", port), 60) as c:
                    end = time.monotonic() + 60  # what is sent before it is accepted is lost
                    while "link down" in e.command("human-monitor-command", command_line="info network")["return"]:
                        assert time.monotonic() < end, "the connection is not accepted"
                        time.sleep(0.02)
                    both_ways(wire, c, told=False)
                continue
            head = struct.pack(">II", 0x30000, 1)
            wire.send(FRAME)
            assert s.recv(70000) == head + FRAME
            s.sendto(head + BACK, ("127.0.0.1", theirs))
            assert wire.frame(60) == BACK


def pseudowire_has_the_form_of_the_rfc():
    ours, theirs = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    keys = "l2tpv3,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=%d,dstport=%d,txsession=0x11223344,rxsession=77" % (theirs, ours)
    for more, sent, received in (
            ("", struct.pack(">III", 0x30000, 0x11223344, 0), struct.pack(">III", 0x30000, 77, 5)),
            (",counter=off", struct.pack(">II", 0x30000, 0x11223344), struct.pack(">II", 0x30000, 77)),
            (",txcookie=0xabcd,rxcookie=0x1234,counter=off", struct.pack(">III", 0x30000, 0x11223344, 0xABCD),
             struct.pack(">III", 0x30000, 77, 0x1234)),
            (",txcookie=0xabcd00000001,rxcookie=0x123400000002,cookie64=on,offset=8",
             struct.pack(">IIQI", 0x30000, 0x11223344, 0xABCD00000001, 0) + bytes(8),
             struct.pack(">IIQI", 0x30000, 77, 0x123400000002, 9) + bytes(8))):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", ours))
            s.connect(("127.0.0.1", theirs))
            s.settimeout(20)
            with machine(keys + more) as w:
                w.send(FRAME)
                assert s.recv(70000) == sent + FRAME, more
                for wrong in (received[:4] + b"\0\0\0\x4e" + received[8:] + FRAME, received[:-1], b"", b"\0\2" + received[2:] + FRAME,
                              received + FRAME[:13]):
                    s.send(wrong)
                if "cookie" in more:
                    s.send(received[:11] + b"\x77" + received[12:] + FRAME)
                s.send(received + BACK)
                assert w.frame(20) == BACK, more
                if "counter=off" not in more:  # what came already does not come again
                    s.send(received + BACK)
                    assert w.frame(0.3) is None


def two_machines_hear_each_other_by_pseudowire():
    one, two = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    for more in ("", ",counter=on,pincounter=on", ",ipv6=on"):
        host = "::1" if "ipv6" in more else "127.0.0.1"
        keys = "l2tpv3,src=%s,dst=%s,udp=on,srcport=%%d,dstport=%%d,txsession=0xffffffff,rxsession=0xffffffff%s" % (host, host, more)
        with machine(keys % (one, two)) as a, machine(keys % (two, one), "two") as b:
            machines_hear_each_other(a, b)


# ---- switch ----

def machines_of_a_switch_are_told_apart():
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    with machine("switch,name=lab") as a, machine("switch,name=lab", "two") as b, machine("switch,name=lab", "three") as c, \
            machine("switch,name=other", "four") as d:
        a.send(FRAME)
        assert b.frame(20) == FRAME and c.frame(20) == FRAME
        assert d.frame(0.3) is None and a.frame(0.1) is None
        b.send(BACK)  # to a, which has been heard
        assert a.frame(20) == BACK
        assert c.frame(0.3) is None, "it is known where a is"
        for w in (a, b, c, d):
            assert w.emulator.command("netdev_del", id="n") == {"return": {}}
    assert os.listdir(os.path.join(FOLDER, "backplane-switch")) == [], "nothing is left behind"


def nics_of_a_switch_have_addresses_of_their_own():
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    texts = []
    for _ in range(2):
        with Emulator(PROGRAM, "-M", "pc", "-nic", "switch,name=lab") as e:
            text = e.command("human-monitor-command", command_line="info network")["return"]
            texts.append(text.split("macaddr=")[1][:17])
    assert texts[0] != texts[1] and "52:54:00:12:34:56" not in texts, texts


def switch_is_late_and_lossy_as_it_is_told():
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    with machine("switch,name=lab,delay=100") as a, machine("switch,name=lab", "two") as b:
        for _ in range(3):
            start = time.monotonic()
            a.send(FRAME)
            assert b.frame(20) == FRAME
            assert time.monotonic() - start > 0.09
    got = []
    for seed in (7, 7, 8):
        with machine("switch,name=lab,loss=20,seed=%d" % seed) as a, machine("switch,name=lab", "two") as b:
            heard = []
            for n in range(400):
                a.send(FRAME[:14] + struct.pack(">I", n) + bytes(50))
                while True:
                    f = b.frame(0.002)
                    if f is None:
                        break
                    heard.append(struct.unpack(">I", f[14:18])[0])
            while True:
                f = b.frame(1)
                if f is None:
                    break
                heard.append(struct.unpack(">I", f[14:18])[0])
            got.append(heard)
    assert got[0] == got[1] != got[2]
    assert all(280 < len(heard) < 360 for heard in got), [len(heard) for heard in got]
    with machine("switch,name=lab,rate=800000") as a, machine("switch,name=lab", "two") as b:
        start = time.monotonic()
        for n in range(20):
            a.send(FRAME[:14] + bytes(986))
        for n in range(20):
            assert b.frame(20) is not None
        assert time.monotonic() - start > 0.17, "20 kB at 100 kB a second take 200 ms"


def slow_member_of_a_switch_gets_frames_in_order():
    """It stands while they are sent: what it gets is in order, and nobody else waits for it for long."""
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    with machine("switch,name=lab") as a, machine("switch,name=lab", "two") as b, \
            machine("switch,name=lab", "three") as c:
        b.send(BACK)  # a knows where b is, from here on
        assert a.frame(20) == BACK and c.frame(20) == BACK
        b.emulator.process.send_signal(signal.SIGSTOP)
        to_b = BACK[6:12] + MAC + b"\x88\xb5"
        for n in range(1500):
            a.send(to_b + struct.pack(">I", n) + bytes(1200))
        a.send(FRAME)
        assert c.frame(20) == FRAME
        b.emulator.process.send_signal(signal.SIGCONT)
        heard = []
        while (f := b.frame(1)) is not None:
            if f.startswith(to_b):
                heard.append(struct.unpack(">I", f[14:18])[0])
        assert heard == sorted(set(heard)) and heard[0] == 0 and len(heard) >= 10, (len(heard), heard[:20])
        a.send(to_b + b"again" + bytes(60))
        while (f := b.frame(20)) and not f.startswith(to_b + b"again"):
            pass
        assert f, "who was slow hears again"


def datagrams_that_are_none_of_a_switch_are_left():
    """Whatever another program of the user's sends there; frames behind are heard."""
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    with machine("switch,name=lab") as a, machine("switch,name=lab", "two") as b:
        folder = os.path.join(FOLDER, "backplane-switch/lab")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            for name in os.listdir(folder):
                try:
                    s.connect(os.path.join(folder, name))
                except ConnectionRefusedError:  # of one that was killed
                    continue
                for what in (b"", b"bps1", b"bps2" + bytes(100), FRAME, b"bps1" + bytes(19), b"bps1" + bytes(200),
                             b"bps1" + struct.pack("<I", 0xFFFFFFFF) + bytes(100), b"bps1" + bytes(180000),
                             b"bps1" + struct.pack("<IBBHHHHHHI", 60, 3, 0x81, 9999, 1, 9999, 9999, 0, 0, 0) + bytes(60)):
                    s.send(what)
        a.send(FRAME)
        while (f := b.frame(20)) != FRAME:
            assert f, "a frame comes through"


def wrong_keys_are_refused_in_words():
    os.environ["XDG_RUNTIME_DIR"] = FOLDER
    refused("l2tpv3,id=n,src=127.0.0.1,dst=127.0.0.1", "'txsession' is missing")
    refused("l2tpv3,id=n,dst=127.0.0.1,txsession=1", "'src' is missing")
    refused("l2tpv3,id=n,src=127.0.0.1,dst=127.0.0.1,txsession=x", "txsession=x")
    refused("l2tpv3,id=n,src=127.0.0.1,dst=127.0.0.1,txsession=1,txcookie=0x100000000", "32 bits")
    refused("l2tpv3,id=n,src=127.0.0.1,dst=127.0.0.1,txsession=1,udp=on", "srcport")
    refused("switch,id=n", "'name' is missing")
    refused("switch,id=n,name=../x", "no name")
    refused("switch,id=n,name=x,delay=5,jitter=6", "jitter=6")
    refused("switch,id=n,name=x,loss=101", "0 to 100")
    refused("stream,id=n", "'addr' is missing")
    refused("stream,id=n,addr.type=inet,addr.host=x", "port")
    refused("stream,id=n,addr.type=unix", "path")
    refused("stream,id=n,addr.type=pigeon,addr.path=x", "inet")
    refused("stream,id=n,addr.type=inet,addr.host=localhost,addr.port=1,addr.numeric=on", "localhost")
    refused("stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=1,addr.keep-alive=on", "keep-alive")
    refused("stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=1,reconnect-ms=5", "for a client")
    refused("stream,id=n,addr.type=unix,addr.path=/nonexistent/s", "/nonexistent/s", "No such file")
    refused("stream,id=n,addr.type=fd,addr.str=77", "77", "descriptor")
    refused("stream,id=n,addr.type=inet,addr.host=::1,addr.port=1,addr.ipv4=off,addr.ipv6=off", "both be off")
    refused("dgram,id=n", "'local' or 'remote' is missing")
    refused("dgram,id=n,remote.type=inet,remote.host=127.0.0.1,remote.port=1", "'local' is missing")
    refused("socket,id=n", "exactly one")
    refused("socket,id=n,listen=:1,connect=:2", "exactly one")
    refused("socket,id=n,listen=1", "HOST:PORT")
    refused("socket,id=n,mcast=127.0.0.1:1", "multicast")
    refused("socket,id=n,udp=127.0.0.1:1", "localaddr")


def nobody_listens_at_a_socket_that_was_removed():
    path = os.path.join(FOLDER, "gone")
    with Emulator(PROGRAM, "-M", "none") as e:
        assert "return" in e.command("netdev_add", type="stream", id="a", server=True,
                                     addr={"type": "unix", "path": path})
        assert os.path.exists(path)
        assert "return" in e.command("netdev_del", id="a")
        assert not os.path.exists(path)


tap.run([listening_stream_takes_a_connection, connecting_stream_comes_back, stream_tries_ports_up_to_the_last,
         abstract_names_are_tight_or_padded, stream_takes_a_descriptor, stream_speaks_multipath_tcp,
         stream_keeps_a_connection_alive, only_sockets_that_nobody_serves_make_way,
         paths_are_those_of_the_beginning_after_daemonize,
         stream_keeps_to_its_family, frame_of_a_gigabyte_ends_the_connection,
         peer_that_reads_nothing_holds_up_nobody, two_machines_hear_each_other_by_stream,
         datagrams_go_between_two_ports, datagrams_go_between_two_paths, dgram_takes_a_descriptor,
         three_machines_share_a_group, group_is_reached_by_a_descriptor, old_keys_join_two_machines, old_fd_is_of_the_kind_that_it_is,
         old_backends_are_at_hub_0, pseudowire_has_the_form_of_the_rfc, two_machines_hear_each_other_by_pseudowire,
         machines_of_a_switch_are_told_apart, nics_of_a_switch_have_addresses_of_their_own,
         switch_is_late_and_lossy_as_it_is_told, slow_member_of_a_switch_gets_frames_in_order,
         datagrams_that_are_none_of_a_switch_are_left, wrong_keys_are_refused_in_words, nobody_listens_at_a_socket_that_was_removed])
