# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Serial ports, monitors and multiplexers as the manual's examples start them, and what is promised of
character devices beside what test-chardev.py does. Usage: test-ports.py SOURCE-ROOT BUILD-ROOT
"""
import ctypes
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import termios
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from qtest import QTest  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
WAIT = 60 * SLOW
COM1, COM2 = 0x3f8, 0x2f8
DIR = tap.work_folder("ports-")


def refused(*args):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *args],
                          capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def answer(emulator, name, **arguments):
    reply = emulator.command(name, **arguments)
    assert "return" in reply, (name, reply)
    return reply["return"]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dial(address, family=socket.AF_INET):
    end = time.monotonic() + WAIT
    while True:
        s = socket.socket(family)
        s.settimeout(WAIT)
        try:
            s.connect(address)
            return s
        except OSError:
            s.close()
            assert time.monotonic() < end, "nobody listens on %r" % (address,)
            time.sleep(0.02)


def receive(s, what):
    data = b""
    while what not in data:
        part = s.recv(4096)
        assert part, "%r did not come: %r" % (what, data)
        data += part
    return data


def send(q, port, text):
    """The guest writes to a serial port."""
    for byte in text:
        q.outb(port, byte)


def fetch(q, port, size):
    """What the guest reads from a serial port."""
    data, end = b"", time.monotonic() + WAIT
    while len(data) < size:
        if q.inb(port + 5) & 1:
            data += bytes([q.inb(port)])
        assert time.monotonic() < end, data
    return data


def both_ways(q, port, s):
    send(q, port, b"out!")
    receive(s, b"out!")
    s.sendall(b"in")
    assert fetch(q, port, 2) == b"in"


# ---- serial ports ----

def tcp_examples_work():
    port = free_port()
    # The manual's spelling: host and port, listening, not waiting.
    with QTest(["-M", "pc", "-serial", "tcp:127.0.0.1:%d,server=on,wait=off" % port]) as q:
        s = dial(("127.0.0.1", port))
        both_ways(q, COM1, s)
        s.close()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT)
        with QTest(["-M", "pc", "-serial", "tcp:127.0.0.1:%d" % server.getsockname()[1]]) as q:
            s = server.accept()[0]
            s.settimeout(WAIT)
            both_ways(q, COM1, s)
            s.close()
    # The manual's spelling without a colon: listen on that port, and wait.
    port = free_port()
    with subprocess.Popen([PROGRAM, "-M", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", "-serial",
                           "tcp:%d,server=on" % port], stderr=subprocess.PIPE) as waiting:
        assert b"waiting for connection" in waiting.stderr.readline()
        dial(("127.0.0.1", port)).close()
        waiting.terminate()
    # Without a host the server is reached by every address.
    port = free_port()
    with QTest(["-M", "pc", "-serial", "tcp::%d,server=on,wait=off" % port]) as q:
        s = dial(("127.0.0.2", port))
        both_ways(q, COM1, s)
        s.close()


def udp_examples_work():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.settimeout(WAIT)
        port, source = here.getsockname()[1], free_port(socket.SOCK_DGRAM)
        with QTest(["-M", "pc", "-serial", "udp:127.0.0.1:%d" % port]) as q:
            send(q, COM1, b"a")
            assert here.recvfrom(100)[0] == b"a"
        for form in ("udp::%d@:%d" % (port, source), "udp:127.0.0.1:%d@:%d" % (port, source),
                     "udp:%d@:%d" % (port, source)):
            with QTest(["-M", "pc", "-serial", form]) as q:
                send(q, COM1, b"b")
                data, peer = here.recvfrom(100)
                assert data == b"b" and peer[1] == source, (form, data, peer)
                here.sendto(b"c", ("127.0.0.1", source))
                assert fetch(q, COM1, 1) == b"c"


def udp_goes_to_this_host_in_the_family_asked_for():
    for family, host, keys in ((socket.AF_INET, "127.0.0.1", ""), (socket.AF_INET, "127.0.0.1", ",ipv4=on"),
                               (socket.AF_INET6, "::1", ",host=::1,ipv6=on")):
        with socket.socket(family, socket.SOCK_DGRAM) as here:
            here.bind((host, 0))
            here.settimeout(WAIT)
            with QTest(["-M", "pc", "-chardev", "udp,id=u,port=%d%s" % (here.getsockname()[1], keys),
                        "-serial", "chardev:u"]) as q:
                send(q, COM1, b"u")
                assert here.recvfrom(100)[0] == b"u", keys
    for keys in ("127.0.0.1,ipv6=on", "::1,ipv4=on"):
        assert keys.split(",")[0] in refused("-M", "none", "-chardev", "udp,id=u,port=9,host=" + keys), keys


def unix_pipe_and_file_carry_the_port():
    path = os.path.join(DIR, "serial")
    with QTest(["-M", "pc", "-serial", "unix:%s,server=on,wait=off" % path]) as q:
        s = dial(path, socket.AF_UNIX)
        both_ways(q, COM1, s)
        s.close()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path + ".s")
        server.listen(1)
        server.settimeout(WAIT)
        with QTest(["-M", "pc", "-serial", "unix:" + path + ".s"]) as q:
            s = server.accept()[0]
            s.settimeout(WAIT)
            both_ways(q, COM1, s)
            s.close()
    with QTest(["-M", "pc", "-serial", "file:" + path + ".out"]) as q:
        send(q, COM1, b"kept")
        q.qmp("query-name")
        with open(path + ".out", "rb") as file:
            assert file.read() == b"kept"
    os.mkfifo(path + ".in")
    os.remove(path + ".out")
    os.mkfifo(path + ".out")
    with QTest(["-M", "pc", "-serial", "pipe:" + path]) as q:
        reader = os.open(path + ".out", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path + ".in", os.O_WRONLY)
        send(q, COM1, b"pipe")
        assert select.select([reader], [], [], WAIT)[0] and os.read(reader, 10) == b"pipe"
        os.write(writer, b"yes")
        assert fetch(q, COM1, 3) == b"yes"
        os.close(reader)
        os.close(writer)
    assert "/nope" in refused("-M", "pc", "-serial", "pipe:" + DIR + "/nope")


def several_ports_are_at_their_places():
    outputs = [os.path.join(DIR, "com%d" % n) for n in range(4)]
    args = ["-M", "pc"]
    for path in outputs:
        args += ["-serial", "file:" + path]
    with QTest(args) as q:
        for n, port in enumerate((COM1, COM2, 0x3e8, 0x2e8)):
            send(q, port, b"port %d" % n)
        q.qmp("query-name")
    for n, path in enumerate(outputs):
        with open(path, "rb") as file:
            assert file.read() == b"port %d" % n
    with QTest(["-M", "pc", "-serial", "none", "-serial", "null"]) as q:
        assert q.inb(COM1 + 5) == 0xff, "-serial none leaves the place empty"
        send(q, COM2, b"dropped")
        assert q.inb(COM2 + 5) == 0x60, "-serial null is a port whose output goes nowhere"


def fifth_port_is_refused():
    four = ["-serial", "null"] * 4
    with QTest(["-M", "pc", *four, "-serial", "none"]) as q:
        assert q.inb(0x2e8 + 5) == 0x60
    line = refused("-M", "pc", *four, "-serial", "null")
    assert "-serial" in line and "4" in line, line


def named_chardev_becomes_the_port():
    path = os.path.join(DIR, "named")
    with QTest(["-M", "pc", "-chardev", "file,id=f,path=" + path, "-serial", "chardev:f"]) as q:
        send(q, COM1, b"named")
        q.qmp("query-name")
        with open(path, "rb") as file:
            assert file.read() == b"named"
    assert "nope" in refused("-M", "pc", "-serial", "chardev:nope")
    assert "'c'" in refused("-M", "pc", "-chardev", "null,id=c", "-serial", "chardev:c", "-serial", "chardev:c")


# ---- one terminal for several ----

def one_terminal_serves_monitor_and_two_ports():
    """The manual's example: -chardev stdio,mux=on and three users of it."""
    master, slave = pty.openpty()
    with QTestOnTerminal(slave, ["-chardev", "stdio,mux=on,id=char0", "-mon", "chardev=char0,mode=readline",
                                 "-serial", "chardev:char0", "-serial", "chardev:char0"]) as q:
        # Output of each comes at once; input goes to one at a time, and Ctrl-a c turns to the next.
        send(q, COM1, b"first")
        see(master, b"first")
        send(q, COM2, b"second")
        see(master, b"second")
        turns = []
        for _ in range(6):
            os.write(master, b"\x01cprint 6*7\r")
            turns.append(who_heard(q, master))
        assert turns[:3] == turns[3:] and sorted(turns[:3]) == ["com1", "com2", "monitor"], turns
    os.close(master)
    os.close(slave)


class QTestOnTerminal(QTest):
    """QMP goes through a socket, so that standard input and output are the terminal's."""

    def __init__(self, terminal, args):
        self._terminal = terminal
        self._path = os.path.join(DIR, "qtest")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._path)
        listener.listen(1)
        listener.settimeout(WAIT)
        self.irqs, self.events, self._rest = {}, [], b""
        self.process = subprocess.Popen(
            [PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", "-M", "pc", "-qtest",
             "unix:" + self._path, *args], stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True)
        self._socket = listener.accept()[0]
        self._socket.settimeout(WAIT)
        listener.close()

    def errors(self):
        return ""

    def close(self):
        self.process.terminate()
        status = self.process.wait(WAIT)
        self._socket.close()
        os.remove(self._path)
        return status


def see(fd, what):
    data, end = b"", time.monotonic() + WAIT
    while what not in data:
        assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], (what, data)
        data += os.read(fd, 4096)
    return data


def who_heard(q, terminal):
    """Which of the three took the line "print 6*7"."""
    end, shown = time.monotonic() + WAIT, b""
    while time.monotonic() < end:
        for name, port in (("com1", COM1), ("com2", COM2)):
            if q.inb(port + 5) & 1:
                assert fetch(q, port, 10) == b"print 6*7\r"
                return name
        if select.select([terminal], [], [], 0.02)[0]:
            shown += os.read(terminal, 4096)
            if b"42" in shown:
                return "monitor"
    raise AssertionError("nobody took the line: %r" % shown)


def interrupt_key_reaches_the_guest():
    """-serial mon:stdio: Ctrl-C is the guest's, Ctrl-a c the monitor's, Ctrl-a b a break."""
    master, slave = pty.openpty()
    with QTestOnTerminal(slave, ["-serial", "mon:stdio"]) as q:
        end = time.monotonic() + WAIT
        while termios.tcgetattr(slave)[3] & termios.ISIG:
            assert time.monotonic() < end, "Ctrl-C is a signal still"
            time.sleep(0.01)
        os.write(master, b"\x03")
        assert fetch(q, COM1, 1) == b"\x03"
        os.write(master, b"\x01b")
        wait_break(q, COM1)
        os.write(master, b"\x01cinfo status\r")
        see(master, b"VM status: running")
    os.close(master)
    os.close(slave)


def wait_break(q, port):
    """A break: a zero byte that has the line status's bit for it."""
    end = time.monotonic() + WAIT
    while not q.inb(port + 5) & 0x10:
        assert time.monotonic() < end, "no break has come"


def telnet_carries_port_monitor_and_break():
    """The manual's example: -serial mon:telnet::4444,server=on,wait=off."""
    port = free_port()
    with QTest(["-M", "pc", "-serial", "mon:telnet::%d,server=on,wait=off" % port]) as q:
        s = dial(("127.0.0.1", port))
        both_ways(q, COM1, s)
        s.sendall(b"\xff\xf3")  # IAC BREAK, as telnet's "send break"
        wait_break(q, COM1)
        q.inb(COM1)
        s.sendall(b"\x01cinfo status\r\0")
        receive(s, b"VM status: running")
        s.close()


def fifth_user_of_a_multiplexer_is_refused():
    users = ["-chardev", "null,id=m,mux=on"]
    for _ in range(4):
        users += ["-mon", "chardev=m"]
    with Emulator(PROGRAM, "-M", "none", *users) as machine:
        answer(machine, "query-status")
    assert "'m'" in refused("-M", "none", *users, "-mon", "chardev=m")


# ---- sockets ----

def log_is_appended_when_told():
    path = os.path.join(DIR, "chardev.log")
    for append, expected in (("off", 1), ("on", 2), ("off", 1)):
        with QTest(["-M", "pc", "-serial", "chardev:c",
                    "-chardev", "null,id=c,logfile=%s,logappend=%s" % (path, append)]) as q:
            send(q, COM1, b"line\n")
            q.qmp("query-name")
        with open(path, "rb") as file:
            assert file.read() == b"line\n" * expected, append


def family_is_what_was_asked_for():
    base = "socket,id=c,port=0,server=on,wait=off,host="
    for keys, shown in (("127.0.0.1,ipv4=on", "tcp:127.0.0.1:"), ("127.0.0.1,ipv6=off", "tcp:127.0.0.1:"),
                        ("::1,ipv6=on", "tcp:[::1]:"), ("::1", "tcp:[::1]:")):
        with Emulator(PROGRAM, "-M", "none", "-chardev", base + keys) as machine:
            name = {c["label"]: c["filename"] for c in answer(machine, "query-chardev")}["c"]
            assert shown in name, (keys, name)
    for keys in ("127.0.0.1,ipv6=on", "127.0.0.1,ipv4=off", "::1,ipv4=on", "::1,ipv6=off"):
        line = refused("-M", "none", "-chardev", base + keys)
        assert keys.split(",")[0] in line, line


def abstract_names_have_the_length_that_was_asked_for():
    name = "backplane-ports-%d" % os.getpid()
    for tight, address in (("on", "\0" + name), ("off", "\0" + name + "\0" * (107 - len(name)))):
        with Emulator(PROGRAM, "-M", "none", "-qmp",
                      "unix:%s,abstract=on,tight=%s,server=on,wait=off" % (name, tight)):
            s = dial(address, socket.AF_UNIX)
            receive(s, b"QMP")
            s.close()


def descriptor_of(pid, fd):
    """A copy of another process's descriptor (pidfd_getfd)."""
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(438, os.pidfd_open(pid), fd, 0)
    if copy < 0:
        raise tap.Skip("pidfd_getfd: " + os.strerror(ctypes.get_errno()))
    return copy


def nodelay_reaches_the_socket():
    for keys, wanted in (("nodelay=on", 1), ("nodelay=off", 0), ("", 0)):
        port = free_port()
        with Emulator(PROGRAM, "-M", "none", "-chardev", ("socket,id=c,host=127.0.0.1,port=%d,server=on,"
                                                          "wait=off,%s" % (port, keys)).rstrip(",")) as machine:
            s = dial(("127.0.0.1", port))
            end = time.monotonic() + WAIT
            while " <-> " not in {c["label"]: c["filename"] for c in answer(machine, "query-chardev")}["c"]:
                assert time.monotonic() < end
            folder = "/proc/%d/fd" % machine.process.pid
            found = []
            for fd in os.listdir(folder):
                if not os.readlink(os.path.join(folder, fd)).startswith("socket:"):
                    continue
                with socket.socket(fileno=descriptor_of(machine.process.pid, int(fd))) as copy:
                    if copy.family == socket.AF_INET and not copy.getsockopt(socket.SOL_SOCKET,
                                                                            socket.SO_ACCEPTCONN):
                        found.append(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            assert [bool(v) for v in found] == [bool(wanted)], (keys, found)
            s.close()


def options_that_contradict_are_refused():
    unix = "socket,id=c,path=%s/c,server=on,wait=off" % DIR
    assert "reconnect" in refused("-M", "none", "-chardev", unix + ",reconnect-ms=5")
    assert "to" in refused("-M", "none", "-chardev",
                           "socket,id=c,host=127.0.0.1,port=0,server=on,wait=off,to=high")
    assert "port" in refused("-M", "none", "-chardev", "udp,id=c")
    assert "port" in refused("-M", "none", "-chardev", "socket,id=c,host=127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert str(port) in refused("-M", "none", "-chardev", "socket,id=c,host=127.0.0.1,port=%d" % port)
    for length, fine in ((127, True), (128, False)):
        name = "x" * length
        if fine:
            with Emulator(PROGRAM, "-M", "none", "-chardev", "null,id=" + name) as machine:
                assert name in [c["label"] for c in answer(machine, "query-chardev")]
        else:
            assert "127" in refused("-M", "none", "-chardev", "null,id=" + name)
    assert "power of two" in refused("-M", "none", "-chardev", "ringbuf,id=c,size=1000")
    assert "already exists" in refused("-M", "none", "-chardev", "null,id=c", "-chardev", "null,id=c")


# ---- monitors ----

def monitor_examples_work():
    port = free_port()
    for args in (["-qmp", "tcp:localhost:%d,server=on,wait=off" % port],
                 ["-chardev", "socket,id=mon1,host=localhost,port=%d,server=on,wait=off" % port,
                  "-mon", "chardev=mon1,mode=control,pretty=on"]):
        with Emulator(PROGRAM, "-M", "none", *args):
            s = dial(("localhost", port), *(() if works_v4(port) else (socket.AF_INET6,)))
            text = receive(s, b"capabilities")
            assert (b"\n    " in text) == ("pretty=on" in args[-1]), text
            s.close()
    assert "pretty" in refused("-M", "none", "-chardev", "null,id=m", "-mon", "chardev=m,pretty=on")


def works_v4(port):
    """Whether an IPv4 server is there (localhost may be ::1); waits until one of both is."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for family in (socket.AF_INET, socket.AF_INET6):
            with socket.socket(family) as s:
                if not s.connect_ex(("localhost", port)):
                    return family == socket.AF_INET
        time.sleep(0.02)
    raise AssertionError("nobody listens")


def monitor_is_on_any_device_or_none():
    path = os.path.join(DIR, "hmp")
    with Emulator(PROGRAM, "-M", "none", "-monitor", "unix:%s,server=on,wait=off" % path):
        s = dial(path, socket.AF_UNIX)
        receive(s, b"(qemu) ")
        s.sendall(b"info status\n")
        receive(s, b"VM status: running")
        s.close()
    done = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-nographic", "-monitor", "none",
                           "-serial", "none", "-qmp", "stdio"], timeout=WAIT, capture_output=True, check=False,
                          input=b'{"execute":"qmp_capabilities"}{"execute":"query-chardev"}{"execute":"quit"}')
    labels = [c["label"] for line in done.stdout.splitlines() for reply in [json.loads(line)]
              if isinstance(reply.get("return"), list) for c in reply["return"]]
    # The parallel port that nobody spoke of is the null device, with -nographic as without.
    assert sum(label.startswith("compat_monitor") for label in labels) == 1, done
    assert set(labels) <= {"parallel0", "compat_monitor0", "compat_monitor1"}, done


def escape_character_is_read_in_both_notations():
    for text in ("0x14", "20"):
        master, slave = pty.openpty()
        process = subprocess.Popen([PROGRAM, "-M", "none", "-accel", "qtest", "-nographic", "-echr", text],
                                   stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        see(master, b"(qemu) ")
        os.write(master, b"\x14h")
        assert re.search(rb"C-t h", see(master, b"C-t C-t")), text
        os.write(master, b"\x14x")
        assert process.wait(WAIT) == 0
        os.close(master)
        os.close(slave)


def terminal_of_the_host_follows_the_guest():
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    os.set_blocking(master, False)
    with QTest(["-nodefaults", "-serial", os.ttyname(slave)]) as q:
        for byte in b"up":
            q.outb(COM1, byte)
        text, end = b"", time.monotonic() + WAIT
        while text != b"up":
            assert time.monotonic() < end, text
            if select.select([master], [], [], 0.1)[0]:
                text += os.read(master, 10)
        os.write(master, b"d\r\n\x03")  # raw: nothing is changed on the way, and nothing is a signal
        got = b""
        while got != b"d\r\n\x03":
            assert time.monotonic() < end, got
            if q.inb(COM1 + 5) & 1:
                got += bytes([q.inb(COM1)])
        for lcr, bits in ((0x03, (termios.CS8, 0, 0)), (0x1e, (termios.CS7, termios.PARENB, termios.CSTOPB)),
                          (0x09, (termios.CS6, termios.PARENB | termios.PARODD, 0))):
            for divisor, speed in ((1, termios.B115200), (12, termios.B9600), (96, termios.B1200)):
                q.outb(COM1 + 3, 0x80 | lcr)
                q.outb(COM1, divisor)
                q.outb(COM1 + 1, 0)
                q.outb(COM1 + 3, lcr)
                now = termios.tcgetattr(slave)
                assert now[4] == now[5] == speed, (lcr, divisor, now)
                # A pseudo terminal knows no sizes but eight bits, and no parity: it forgets them.
                assert now[2] & termios.CSTOPB == bits[2], (lcr, now)
                assert now[2] & termios.CSIZE in (bits[0], termios.CS8) and not now[3] & termios.ISIG, (lcr, now)
    after = termios.tcgetattr(slave)
    assert [after[i] for i in (0, 1, 3)] == [before[i] for i in (0, 1, 3)], (before, after)
    os.close(slave)
    os.close(master)
    with Emulator(PROGRAM, "-chardev", "null,id=n") as e:
        m, s = pty.openpty()
        backend = {"type": "serial", "data": {"device": os.ttyname(s)}}
        assert answer(e, "chardev-add", id="t", backend=backend) == {}
        labels = {c["label"]: c["filename"] for c in answer(e, "query-chardev")}
        assert labels["t"] == "serial:" + os.ttyname(s), labels
        os.close(m)
        os.close(s)
    assert "no terminal" in refused("-chardev", "serial,id=x,path=/dev/null")
    assert "/dev/nosuchtty" in refused("-serial", "/dev/nosuchtty")
    assert "path" in refused("-chardev", "serial,id=x")
    assert "no terminal" in refused("-chardev", "tty,id=x,path=/dev/zero")


def pty_has_a_link_while_it_lives():
    link = os.path.join(DIR, "pty,link")
    for option in (("-chardev", "pty,id=c,path=" + link.replace(",", ",,"), "-mon", "c"), ("-monitor", "pty:" + link),
                   ("-serial", "pty:" + link, "-monitor", "stdio")):
        process = subprocess.Popen([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *option],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        announced = process.stdout.readline().decode()
        end = time.monotonic() + WAIT
        while not os.path.lexists(link):
            assert time.monotonic() < end and process.poll() is None, announced
            time.sleep(0.05)
        assert " %s " % os.readlink(link) in announced, announced
        if "stdio" in option:
            process.stdin.write(b"quit\n")
            process.stdin.flush()
        else:
            fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
            see(fd, b"(qemu) ")
            os.write(fd, b"quit\r")
            os.close(fd)
        assert process.wait(WAIT) == 0
        process.communicate()
        assert not os.path.lexists(link), option
    open(link, "w").close()
    assert "pty,link" in refused("-serial", "pty:" + link)
    os.unlink(link)


try:
    tap.run([terminal_of_the_host_follows_the_guest, pty_has_a_link_while_it_lives, tcp_examples_work, udp_examples_work, udp_goes_to_this_host_in_the_family_asked_for,
             unix_pipe_and_file_carry_the_port, several_ports_are_at_their_places, fifth_port_is_refused,
             named_chardev_becomes_the_port,
             one_terminal_serves_monitor_and_two_ports, interrupt_key_reaches_the_guest,
             telnet_carries_port_monitor_and_break, fifth_user_of_a_multiplexer_is_refused,
             log_is_appended_when_told, family_is_what_was_asked_for,
             abstract_names_have_the_length_that_was_asked_for, nodelay_reaches_the_socket,
             options_that_contradict_are_refused, monitor_examples_work, monitor_is_on_any_device_or_none,
             escape_character_is_read_in_both_notations])
finally:
    shutil.rmtree(DIR, ignore_errors=True)
