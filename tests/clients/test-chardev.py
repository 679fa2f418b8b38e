# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Character devices as people and programs meet them: a terminal with the multiplexer, sockets, a
pseudo-terminal, pipes, files, ring buffers. Usage: test-chardev.py SOURCE-ROOT BUILD-ROOT
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
BASE = [PROGRAM, "-M", "none", "-accel", "qtest", "-display", "none", "-nodefaults"]
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))
WAIT = 60 * SLOW
DIR = tap.work_folder("backplane-chardev-")


class Run:
    """The emulator; ends with the `with` block."""

    def __init__(self, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        self.process = subprocess.Popen([*BASE, *args], **options)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("SIGTERM did not end it")
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            if stream:
                stream.close()


def read_until(fd, what, seconds=None):
    """Reads from a descriptor or socket until `what` (bytes) has come; returns all of it."""
    fd = fd if isinstance(fd, int) else fd.fileno()
    data, end = b"", time.monotonic() + (seconds or WAIT)
    while what not in data:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        assert ready, "%r did not come: %r" % (what, data)
        part = os.read(fd, 65536)
        assert part, "%r did not come before the end: %r" % (what, data)
        data += part
    return data


def dial(path):
    """Connects to a Unix socket that is about to appear."""
    end = time.monotonic() + WAIT
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            assert time.monotonic() < end, path + " did not appear"
            time.sleep(0.01)


class Qmp:
    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rw")
        self.greeting = json.loads(self.file.readline())
        self("qmp_capabilities")

    def __call__(self, name, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): v for key, v in arguments.items()}
        self.file.write(json.dumps(request) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" not in reply:
                return reply

    def close(self):
        self.file.close()
        self.sock.close()


def refused(*args):
    run = subprocess.run([*BASE, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=WAIT)
    assert run.returncode == 1, (run.returncode, run.stderr)
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


# ---- terminal and multiplexer ----

def heed_signals():
    for signo in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(signo, signal.SIG_DFL)


class Terminal:
    def __init__(self, *args):
        self.master, self.slave = pty.openpty()
        self.modes = termios.tcgetattr(self.slave)
        self.flags = fcntl.fcntl(self.slave, fcntl.F_GETFL)
        # Whoever runs the tests may ignore hang-ups (nohup, some CI systems), and a shell's background jobs ignore
        # SIGINT and SIGQUIT; what a terminal starts does not.
        self.process = subprocess.Popen(
            [*BASE, *args], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=heed_signals)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def type(self, data):
        os.write(self.master, data)

    def expect(self, what):
        return read_until(self.master, what)

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait_raw(self, raw):
        end = time.monotonic() + WAIT
        while self.raw() != raw:
            assert time.monotonic() < end, "terminal is%s raw" % (" not" if raw else "")
            time.sleep(0.01)

    def ended(self):
        status = self.process.wait(WAIT)
        assert termios.tcgetattr(self.slave) == self.modes, "terminal modes are not restored"
        assert fcntl.fcntl(self.slave, fcntl.F_GETFL) == self.flags, "descriptor flags changed"
        return status


MUX = ("-chardev", "stdio,id=m,mux=on,signal=off", "-mon", "m")


def escape_x_ends_and_restores_terminal():
    with Terminal(*MUX) as t:
        t.expect(b"(qemu) ")
        t.wait_raw(True)
        t.type(b"\x01x")
        t.expect(b"Terminated")
        assert t.ended() == 0


def escape_h_helps_and_doubled_is_sent():
    with Terminal(*MUX) as t:
        t.expect(b"(qemu) ")
        t.type(b"\x01h")
        text = t.expect(b"C-a C-a  sends C-a")
        for key in b"hxtbc":
            assert b"C-a %c    " % key in text, text
        t.type(b"inf o\x01\x01\x1b[C\x05")  # Ctrl-a goes to the start of the line
        t.type(b"\x01x")
        assert t.ended() == 0


def escape_c_switches_front_ends():
    with Terminal(*MUX, "-mon", "m") as t:
        t.expect(b"(qemu) ")
        t.type(b"\x01c")
        t.expect(b"monitor - type 'help'")
        t.type(b"info chardev\r")
        t.expect(b"m: filename=")
        t.type(b"\x01cinfo status\r")
        t.expect(b"VM status")
        t.type(b"\x01x")
        assert t.ended() == 0


def echr_changes_escape():
    with Terminal(*MUX, "-echr", "0x14") as t:
        t.expect(b"(qemu) ")
        t.type(b"\x14h")
        t.expect(b"C-t h    print this help")
        t.type(b"\x14x")
        assert t.ended() == 0
    assert "-echr" in refused("-echr", "300")


def escape_is_heard_when_guest_does_not_read():
    with Terminal("-M", "pc", "-nographic", "-serial", "mon:stdio") as t:
        t.wait_raw(True)
        for _ in range(30):
            t.type(b"x" * 1000)
            time.sleep(0.01)
        t.type(b"\x01x")
        t.expect(b"Terminated")
        assert t.ended() == 0


def timestamps_stand_before_lines():
    with Terminal(*MUX) as t:
        t.expect(b"(qemu) ")
        t.type(b"\x01tinfo version\r")
        text = t.expect(b"backplane")
        assert re.search(rb"\[00:00:0\d\.\d{3}\]", text), text
        t.type(b"\x01x")
        assert t.ended() == 0


def signals_restore_terminal():
    for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV,
                  signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        with Terminal(*MUX) as t:
            t.expect(b"(qemu) ")
            t.wait_raw(True)
            t.process.send_signal(signo)
            status = t.ended()
            assert status in (0, 1, -signo), (signo, status)  # 1: a sanitizer's report


def stopping_gives_terminal_back():
    with Terminal(*MUX) as t:
        t.expect(b"(qemu) ")
        # In an orphaned process group the stop is discarded: only the modes' way back is seen.
        t.process.send_signal(signal.SIGTSTP)
        time.sleep(0.2)
        t.process.send_signal(signal.SIGCONT)
        t.wait_raw(True)
        t.type(b"\x01x")
        assert t.ended() == 0


def ctrl_c_is_a_signal_without_mux():
    with Terminal("-chardev", "stdio,id=m", "-mon", "m") as t:
        t.expect(b"(qemu) ")
        assert termios.tcgetattr(t.slave)[3] & termios.ISIG
        t.type(b"\x01x")  # no multiplexer: nothing happens
        t.process.send_signal(signal.SIGINT)
        t.ended()


def bad_option_leaves_terminal_alone():
    with Terminal("-chardev", "stdio,id=m", "-chardev", "null,id=m") as t:
        t.expect(b"already exists")
        assert t.ended() == 1


def stdio_works_on_pipes():
    run = subprocess.run([*BASE, "-chardev", "stdio,id=m", "-mon", "m"], capture_output=True,
                         input=b"info status\nquit\n", timeout=WAIT)
    assert run.returncode == 0 and b"VM status" in run.stdout, run
    assert "multiple" in refused("-chardev", "stdio,id=a", "-chardev", "stdio,id=b")


# ---- sockets ----

def unix_server_serves_one_client_after_another():
    path = os.path.join(DIR, "a.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path):
        for _ in range(3):
            q = Qmp(dial(path))
            assert q.greeting["QMP"]
            assert q("query-chardev")["return"][0]["filename"].startswith("unix:" + path)
            q.close()
    assert not os.path.exists(path), "the socket is left behind"


def old_one_word_booleans_work():
    path = os.path.join(DIR, "b.sock")
    with Run("-qmp", "unix:%s,server,nowait" % path):
        q = Qmp(dial(path))
        q.close()


def server_waits_for_its_client():
    path = os.path.join(DIR, "c.sock")
    with Run("-chardev", "socket,id=s,path=%s,server=on" % path, "-mon", "s") as run:
        err = read_until(run.process.stderr, b"waiting for connection")
        assert path.encode() in err
        s = dial(path)
        read_until(s, b"(qemu) ")
        s.close()


def waiting_leaves_the_terminal_and_signals_alone():
    path = os.path.join(DIR, "w.sock")
    base = ("-nographic", "-qmp", "unix:%s,server=on" % path, "-serial", "mon:stdio")
    with Terminal(*base) as t:
        assert b"on: unix:" in t.expect(b"server=on\r\n"), "how it says that it waits"
        assert not t.raw()
        t.process.send_signal(signal.SIGINT)
        t.ended()
        assert not os.path.exists(path)
    with Terminal(*base) as t:
        t.expect(b"waiting for connection on")
        t.process.terminate()
        t.ended()
        assert not os.path.exists(path), "the socket is left behind"
    with Terminal(*base) as t:
        t.expect(b"waiting for connection on")
        q = Qmp(dial(path))
        t.wait_raw(True)
        assert q("query-status")["return"]["status"] in ("running", "prelaunch")
        t.type(b"\x01x")
        t.ended()


def waiting_serves_other_monitors():
    path, other = os.path.join(DIR, "x.sock"), os.path.join(DIR, "y.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % other, "-chardev",
             "socket,id=s,path=%s,server=on" % path, "-mon", "s") as run:
        q = Qmp(dial(other))
        assert q("query-status")["return"]["status"] == "prelaunch"
        assert q("chardev-add", id="t", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": os.path.join(DIR, "z.sock")}},
            "wait": True}})["return"] == {}
        s = dial(path)
        read_until(s, b"(qemu) ")
        q("quit")
        assert run.process.wait(WAIT) == 0
        s.close()
        q.close()


def started_machines_do_not_wait_for_new_sockets():
    path, late = os.path.join(DIR, "v.sock"), os.path.join(DIR, "u.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path):
        q = Qmp(dial(path))
        assert q("chardev-add", id="t", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": late}}, "wait": True}})["return"] == {}
        assert q("query-status")["return"]["status"] in ("running", "prelaunch")
        assert q("chardev-remove", id="t")["return"] == {} and not os.path.exists(late)
        q.close()


def daemons_use_no_terminal():
    for args in (("-monitor", "stdio"), ("-qmp", "stdio"), ("-serial", "mon:stdio"),
                 ("-chardev", "stdio,id=s")):
        with Terminal("-daemonize", *args) as t:
            text = t.expect(b"leaves the terminal")
            assert b"cannot use stdio with -daemonize" in text, text
            assert t.ended() == 1 and not t.raw()
    path, pid = os.path.join(DIR, "daemon.sock"), os.path.join(DIR, "daemon.pid")
    subprocess.run([*BASE, "-daemonize", "-pidfile", pid, "-qmp", "unix:daemon.sock,server=on,wait=off"],
                   check=True, timeout=WAIT, cwd=DIR)
    q = Qmp(dial(path))
    reply = q("chardev-add", id="s", backend={"type": "stdio", "data": {}})
    assert "daemonize" in reply["error"]["desc"], reply
    q("quit")
    q.close()
    end = time.monotonic() + WAIT
    while os.path.exists(path) or os.path.exists(pid):
        assert time.monotonic() < end, "files of a daemon are left behind"
        time.sleep(0.01)


def served_socket_is_not_taken_over():
    path = os.path.join(DIR, "o.sock")
    with Run("-chardev", "socket,id=s,path=%s,server=on" % path, "-mon", "s") as run:
        read_until(run.process.stderr, b"waiting for connection")
        assert "another process listens there" in refused("-qmp", "unix:%s,server=on,wait=off" % path)
        assert os.path.exists(path)
        s = dial(path)  # the first one still waits: it was not disturbed
        read_until(s, b"(qemu) ")
        os.unlink(path)  # somebody puts another in its place
        with socket.socket(socket.AF_UNIX) as mine:
            mine.bind(path)
        s.sendall(b"quit\n")
        assert run.process.wait(WAIT) == 0
        s.close()
        assert os.path.exists(path), "removed a file that was not ours"
    os.unlink(path)


def abstract_name_works():
    name = "backplane-test-%d" % os.getpid()
    with Run("-qmp", "unix:%s,abstract=on,server=on,wait=off" % name):
        q = Qmp(dial("\0" + name))
        q.close()


def stale_socket_is_replaced_but_no_file():
    path = os.path.join(DIR, "d.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.close()
    with Run("-qmp", "unix:%s,server=on,wait=off" % path):
        q = Qmp(dial(path))
        q.close()
    with open(path, "w") as f:
        f.write("precious")
    assert "Address already in use" in refused("-qmp", "unix:%s,server=on,wait=off" % path)
    with open(path) as f:
        assert f.read() == "precious"


def tcp_server_takes_next_port():
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with Run("-qmp", "tcp:127.0.0.1:%d,to=%d,server=on,wait=off" % (port, min(port + 20, 65535)),
             "-qmp", "unix:%s/e.sock,server=on,wait=off" % DIR):
        q = Qmp(dial(DIR + "/e.sock"))
        name = q("query-chardev")["return"][0]["filename"]
        found = re.fullmatch(r"disconnected:tcp:127\.0\.0\.1:(\d+),server=on", name)
        assert found and int(found.group(1)) > port, name
        t = Qmp(socket.create_connection(("127.0.0.1", int(found.group(1)))))
        assert " <-> 127.0.0.1:" in t("query-chardev")["return"][0]["filename"]
        t.close()
        q.close()
    taken.close()


def telnet_negotiates_and_doubles():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Run("-monitor", "telnet:127.0.0.1:%d,server=on,wait=off" % port):
        end = time.monotonic() + WAIT
        while True:
            try:
                s = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.01)
        text = read_until(s, b"(qemu) ")
        assert text.startswith(b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"), text
        # Answers, a sub-negotiation and a no-op, all in pieces, are no input.
        for part in (b"\xff", b"\xfd\x01\xff\xfa\x18\x00xterm\xff", b"\xf0\xff\xf1info sta",
                     b"tus\r\0"):
            s.sendall(part)
            time.sleep(0.02)
        read_until(s, b"VM status")
        s.close()


def client_reconnects():
    path = os.path.join(DIR, "f.sock")
    with Run("-chardev", "socket,id=c,path=%s,reconnect-ms=50" % path, "-mon", "c,mode=control"):
        time.sleep(0.2)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(1)
            server.settimeout(WAIT)
            for _ in range(2):
                conn, _ = server.accept()
                q = Qmp(conn)
                q.close()
    text = refused("-chardev", "socket,id=c,path=%s/none" % DIR)
    assert "Failed to connect" in text and "none" in text


def inherited_listening_socket_works():
    path = os.path.join(DIR, "g.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        with Run("-chardev", "socket,id=s,fd=%d,server=on,wait=off" % server.fileno(),
                 "-mon", "s,mode=control", pass_fds=[server.fileno()]):
            q = Qmp(dial(path))
            q.close()


def descriptors_arrive():
    path = os.path.join(DIR, "h.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path):
        q = Qmp(dial(path))
        read_end, write_end = os.pipe()
        request = json.dumps({"execute": "getfd", "arguments": {"fdname": "x"}}).encode()
        socket.send_fds(q.sock, [request], [write_end])
        reply = json.loads(q.file.readline())
        os.close(read_end)
        os.close(write_end)
        if reply.get("error", {}).get("class") == "CommandNotFound":
            raise tap.Skip("no getfd command")
        assert reply == {"return": {}}, reply
        assert "error" in q("getfd", fdname="y")
        q.close()


def passed_descriptors_are_addresses():
    path = os.path.join(DIR, "hh.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path):
        q = Qmp(dial(path))
        here, there = socket.socketpair()
        request = json.dumps({"execute": "getfd", "arguments": {"fdname": "chan"}}).encode()
        socket.send_fds(q.sock, [request], [there.fileno()])
        assert json.loads(q.file.readline()) == {"return": {}}
        there.close()
        backend = {"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "chan"}},
                                              "server": False}}
        assert q("chardev-add", id="c", backend=backend)["return"] == {}
        assert "chan" in q("chardev-add", id="d", backend=backend)["error"]["desc"]  # taken
        assert q("chardev-remove", id="c")["return"] == {}
        assert here.recv(1) == b"", "it was not ours"
        here.close()
        q.close()


# ---- the others ----

def pty_is_announced_and_answers():
    with Run("-chardev", "pty,id=p", "-mon", "p") as run:
        line = run.process.stdout.readline().decode()
        found = re.fullmatch(r"char device redirected to (/dev/pts/\d+) \(label p\)\n", line)
        assert found, line
        for _ in range(2):
            fd = os.open(found.group(1), os.O_RDWR | os.O_NOCTTY)
            got, end = b"", time.monotonic() + WAIT
            while b"VM status" not in got:  # what is typed before it is seen that somebody is there is lost
                assert time.monotonic() < end, got
                os.write(fd, b"info status\r")
                while select.select([fd], [], [], 0.5)[0]:
                    got += os.read(fd, 4096)
            os.close(fd)


def file_keeps_output_and_gives_input():
    out, commands = os.path.join(DIR, "out"), os.path.join(DIR, "commands")
    with open(commands, "w") as f:
        f.write("info status\nquit\n")
    for n, append in ((1, "off"), (2, "on")):
        run = subprocess.run([*BASE, "-chardev", "file,id=f,path=%s,input-path=%s,append=%s"
                              % (out, commands, append), "-mon", "f"], stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=WAIT)
        assert run.returncode == 0, run
        with open(out) as f:
            assert f.read().count("VM status") == n
    assert "Could not open" in refused("-chardev", "file,id=f,path=/nonexistent/x")


def logfile_gets_a_copy():
    log = os.path.join(DIR, "log")
    run = subprocess.run([*BASE, "-chardev", "stdio,id=m,logfile=" + log, "-mon", "m"],
                         input=b"info status\nquit\n", capture_output=True, timeout=WAIT)
    with open(log, "rb") as f:
        assert f.read() == run.stdout


def pipe_pair_works():
    base = os.path.join(DIR, "fifo")
    os.mkfifo(base + ".in")
    os.mkfifo(base + ".out")
    with Run("-monitor", "pipe:" + base):
        reader = os.open(base + ".out", os.O_RDONLY | os.O_NONBLOCK)
        read_until(reader, b"(qemu) ")
        writer = os.open(base + ".in", os.O_WRONLY)
        os.write(writer, b"info status\n")
        read_until(reader, b"VM status")
        os.close(writer)
        os.close(reader)


def udp_carries_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.settimeout(WAIT)
        with Run("-monitor", "udp:127.0.0.1:%d@127.0.0.1:0" % here.getsockname()[1]):
            data, peer = here.recvfrom(2000)
            here.sendto(b"info status\n", peer)
            while b"VM status" not in data:
                data += here.recv(2000)


def commands_add_show_and_remove():
    path = os.path.join(DIR, "i.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path, "-chardev", "null,id=n"):
        q = Qmp(dial(path))
        names = [entry["name"] for entry in q("query-chardev-backends")["return"]]
        ours = {"null", "stdio", "file", "pipe", "pty", "socket", "ringbuf", "udp"}
        assert ours <= set(names), names
        ring = {"type": "ringbuf", "data": {"size": 16}}
        assert "return" in q("chardev-add", id="r", backend=ring)
        assert "already exists" in q("chardev-add", id="r", backend={"type": "null", "data": {}})[
            "error"]["desc"]
        assert "power of two" in q("chardev-add", id="x", backend={
            "type": "ringbuf", "data": {"size": 15}})["error"]["desc"]
        assert "error" in q("chardev-add", id="9bad", backend={"type": "null", "data": {}})
        second = os.path.join(DIR, "j.sock")
        assert "return" in q("chardev-add", id="s", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": second}}}})
        shown = {c["label"]: c for c in q("query-chardev")["return"]}
        assert shown["s"]["filename"] == "disconnected:unix:%s,server=on" % second, shown
        assert shown["compat_monitor0"]["frontend-open"] and not shown["n"]["frontend-open"]
        assert q("chardev-add", id="p", backend={"type": "pty", "data": {}})["return"][
            "pty"].startswith("/dev/pts/")
        assert q("chardev-send-break", id="n")["return"] == {}
        for label in ("n", "r", "s", "p"):
            assert q("chardev-remove", id=label)["return"] == {}
        assert not os.path.exists(second)
        assert "not found" in q("chardev-remove", id="n")["error"]["desc"]
        assert "busy" in q("chardev-remove", id="compat_monitor0")["error"]["desc"]
        q.close()


def ring_buffer_is_written_and_read():
    path = os.path.join(DIR, "k.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path, "-chardev", "ringbuf,id=r,size=4k",
             "-mon", "r"):
        q = Qmp(dial(path))
        assert "(qemu)" in q("ringbuf-read", device="r", size=4096)["return"]
        q("ringbuf-write", device="r", data="info status\n")
        assert q("ringbuf-read", device="r", size=4)["return"] == "info"
        assert q("ringbuf-read", device="r", size=4096)["return"] == " status\n"
        q("ringbuf-write", device="r", data="aW5mbyBzdGF0dXMK", format="base64")
        assert q("ringbuf-read", device="r", size=64, format="base64")["return"] == "aW5mbyBzdGF0dXMK"
        assert "error" in q("ringbuf-write", device="r", data="a", format="base64")
        for n in range(2000):  # more than it holds: the newest bytes stay
            q("ringbuf-write", device="r", data="%04d\n" % n)
        kept = q("ringbuf-read", device="r", size=1 << 20)["return"]
        assert len(kept) == 4096 and kept.endswith("1998\n1999\n"), kept[-20:]
        assert q("ringbuf-read", device="r", size=1, format="base64")["return"] == ""
        refusal = q("ringbuf-read", device="compat_monitor0", size=1)["error"]["desc"]
        assert "not a ringbuf" in refusal, refusal
        q.close()


def slow_reader_does_not_stop_us():
    path, slow = os.path.join(DIR, "l.sock"), os.path.join(DIR, "m.sock")
    with Run("-qmp", "unix:%s,server=on,wait=off" % path, "-monitor",
             "unix:%s,server=on,wait=off" % slow):
        q, s = Qmp(dial(path)), dial(slow)
        s.setblocking(False)
        sent = 0
        try:
            while sent < 2000000:
                sent += s.send(b"help\n" * 1000)
        except BlockingIOError:
            pass
        assert "return" in q("query-status")
        s.setblocking(True)
        s.close()
        assert "return" in q("query-status")
        q.close()


def short_forms_and_json_work():
    path, out = os.path.join(DIR, "n.sock"), os.path.join(DIR, "n.out")
    with socket.socket(socket.AF_INET) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.listen(1)
        port = peer.getsockname()[1]
        with Run("-qmp", "unix:%s,server=on,wait=off" % path, "-serial", "null", "-serial", "none",
                 "-serial", "pty", "-serial", "file:" + out, "-serial", "tcp:[::1]:0,server,nowait",
                 "-serial", "tcp:127.0.0.1:%d" % port, "-serial", "mon:null",
                 "-serial", "chardev:j",
                 "-chardev", '{"id":"j","backend":"ringbuf","size":4096}',
                 "--chardev", "backend=null,id=k,logfile=%s2" % out):
            q = Qmp(dial(path))
            shown = {c["label"]: c["filename"] for c in q("query-chardev")["return"]}
            assert shown["serial0"] == "null" and "serial1" not in shown, shown
            assert shown["serial2"].startswith("pty:/dev/pts/"), shown
            assert shown["serial3"] == "file" and os.path.exists(out)
            assert shown["serial4"].startswith("disconnected:tcp:[::1]:"), shown
            assert shown["serial5"] == "tcp:127.0.0.1:%d" % port, shown
            assert shown["j"] == "ringbuf" and shown["k"] == "null", shown
            q.close()


def mistakes_are_named():
    for args, word in (
            (("-chardev", "null"), "id"), (("-chardev", "socket,id=x"), "no host or path"),
            (("-chardev", "bogus,id=x"), "bogus"), (("-chardev", "null,id=x,bogus=1"), "bogus"),
            (("-chardev", "null,id=x,mux=maybe"), "mux"), (("-serial", "vc:x"), "vc:800x600"),
            (("-serial", "what:is"), "not a valid char driver"),
            (("-monitor", "chardev:none"), "none"), (("-monitor", "tcp:nowhere"), "HOST:PORT"),
            (("-chardev", "socket,id=x,path=/tmp/x,wait=off"), "wait"),
            (("-chardev", "socket,id=x,path=" + "y" * 200), "107"),
            (("-chardev", "file,id=x"), "no filename"),
            (("-serial", "tcp:127.0.0.1:70000"), "65535"), (("-serial", "udp:127.0.0.1:65536"), "65535"),
            (("-serial", "udp:127.0.0.1:1@:70000"), "localport"), (("-serial", "tcp:127.0.0.1:-1"), "65535"),
            (("-qmp", "tcp:127.0.0.1:0,ipv4=off,ipv6=off,server=on,wait=off"), "both be off"),
            (("-chardev", "udp,id=x,port=1,ipv4=off,ipv6=off"), "both be off"),
            (("-chardev", "bogus"), "file, hub, msmouse, null"), (("-serial", "con:"), "not built yet"),
            (("-serial", "websocket:127.0.0.1:1"), "needs server=on"),
            (("-chardev", "socket,id=x,path=/tmp/x,tn3270=on"), "telnet=on"),
            (("-chardev", "spicevmc,id=a,name=vdagent"), "spice"),
            (("-chardev", "null,id=m,mux=on", *("-mon", "m") * 5), "-mon chardev=m: "),
            (("-chardev", "pipe,id=x,path=/none"), "/none")):
        text = refused(*args)
        assert word in text, (args, text)


CASES = [
    escape_x_ends_and_restores_terminal, escape_h_helps_and_doubled_is_sent,
    escape_c_switches_front_ends, echr_changes_escape,
    escape_is_heard_when_guest_does_not_read, timestamps_stand_before_lines,
    signals_restore_terminal, stopping_gives_terminal_back, ctrl_c_is_a_signal_without_mux,
    bad_option_leaves_terminal_alone, stdio_works_on_pipes,
    unix_server_serves_one_client_after_another, old_one_word_booleans_work,
    server_waits_for_its_client, waiting_leaves_the_terminal_and_signals_alone,
    waiting_serves_other_monitors, started_machines_do_not_wait_for_new_sockets,
    daemons_use_no_terminal, served_socket_is_not_taken_over, abstract_name_works, stale_socket_is_replaced_but_no_file,
    tcp_server_takes_next_port, telnet_negotiates_and_doubles, client_reconnects,
    inherited_listening_socket_works, descriptors_arrive,
    passed_descriptors_are_addresses, pty_is_announced_and_answers,
    file_keeps_output_and_gives_input, logfile_gets_a_copy, pipe_pair_works, udp_carries_datagrams,
    commands_add_show_and_remove, ring_buffer_is_written_and_read, slow_reader_does_not_stop_us,
    short_forms_and_json_work, mistakes_are_named,
]

if __name__ == "__main__":
    tap.run(CASES)
