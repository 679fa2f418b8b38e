# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A serial port whose other side is changed while the guest uses it (chardev-change), or is several at once (hub). Usage:
test-chardev-change.py SOURCE-ROOT BUILD-ROOT
"""
import os
import re
import select
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("backplane-chardev-change-")
DATA, STATUS, RECEIVED = 0x3F8, 0x3FD, 1


def path(name):
    return os.path.join(DIR, name)


def machine(*args):
    return Emulator(PROGRAM, "-M", "pc", *args)


def done(e, command, **arguments):
    reply = e.command(command, **arguments)
    assert "return" in reply, (command, arguments, reply)
    return reply["return"]


def refused(e, command, words, **arguments):
    reply = e.command(command, **arguments)
    assert "error" in reply and words in reply["error"]["desc"], (command, arguments, reply)


def human(e, line):
    return done(e, "human-monitor-command", **{"command-line": line})


def server(name):
    return {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": path(name)}}, "server": True}}


def served(name):
    return "socket,id=%s,path=%s,server=on,wait=off" % (name, path(name))


def dial(name):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(WAIT)
    s.connect(path(name))
    return s


def send(e, text):
    for byte in text:
        human(e, "o /b 0x%x 0x%x" % (DATA, byte))


def register(e, port):
    return int(re.search(r"= 0x([0-9a-f]+)", human(e, "i /b 0x%x" % port))[1], 16)


def arrives(e, s, text):
    """To the guest, from a peer."""
    s.sendall(text)
    got, end = b"", time.monotonic() + WAIT
    while len(got) < len(text) and time.monotonic() < end:
        if register(e, STATUS) & RECEIVED:
            got += bytes([register(e, DATA)])
    assert got == text, got


def receives(s, text):
    got = b""
    while len(got) < len(text):
        part = s.recv(len(text) - len(got))
        assert part, got
        got += part
    assert got == text, got


def silent(s):
    return not select.select([s], [], [], 0.2)[0]


def entry(e, label):
    return next(c for c in done(e, "query-chardev") if c["label"] == label)


def back_end_changes_under_a_port():
    with machine("-chardev", served("a"), "-serial", "chardev:a") as e:
        a = dial("a")
        send(e, b"one")
        receives(a, b"one")
        for name in "bcd":
            done(e, "chardev-change", id="a", backend=server(name))
            assert a.recv(1) == b"", "its peer is let go"
            a.close()
            send(e, b"lost")  # nobody is there
            a = dial(name)
            done(e, "query-status")  # it is let in
            arrives(e, a, b"in " + name.encode())
            send(e, b"out " + name.encode())
            receives(a, b"out " + name.encode())
            shown = entry(e, "a")
            assert name in os.path.basename(shown["filename"].split(",")[0]) and shown["frontend-open"], shown
        assert len(done(e, "query-chardev")) == 2, "that, and the monitor's"
        assert not any(os.path.exists(path(name)) for name in "abc"), "their sockets have gone"
        refused(e, "chardev-remove", "busy", id="a")


def what_fails_leaves_it_as_it_was():
    with machine("-chardev", served("a"), "-serial", "chardev:a", "-chardev", "null,id=m,mux=on") as e:
        a = dial("a")
        for backend, words in ((server("no/such/folder"), "no/such/folder"),
                               ({"type": "file", "data": {"out": DIR}}, DIR),
                               ({"type": "serial", "data": {"device": "/dev/null"}}, "is no terminal")):
            refused(e, "chardev-change", words, id="a", backend=backend)
        refused(e, "chardev-change", "'zzz'", id="zzz", backend={"type": "null", "data": {}})
        refused(e, "chardev-change", "multiplexer", id="m", backend={"type": "null", "data": {}})
        assert "multiplexer" in human(e, "chardev-change a null,mux=on")
        assert "backend" in human(e, "chardev-change a id=x")
        send(e, b"still")
        receives(a, b"still")
        arrives(e, a, b"there")


def nobody_changes_what_he_came_by():
    with machine("-chardev", served("a"), "-mon", "chardev=a,mode=control") as e:
        a = dial("a")
        with a.makefile("rw") as lines:
            assert "QMP" in lines.readline()
            for command in ('{"execute": "qmp_capabilities"}', '{"execute": "chardev-change", "arguments": {"id": "a", '
                            '"backend": {"type": "null", "data": {}}}}'):
                lines.write(command)
                lines.flush()
                reply = lines.readline()
                while '"event"' in reply:
                    reply = lines.readline()
            assert "is busy" in reply, reply
        done(e, "chardev-change", id="a", backend=server("b"))  # another may
        assert a.recv(1) == b""
        assert b"QMP" in dial("b").recv(100)


def answers_are_those_of_the_new_one():
    with machine("-serial", "null", "-chardev", "null,id=r") as e:
        e.process.stdin.write('{"execute": "chardev-change", "arguments": {"id": "serial0", "backend": {"type": "pty", '
                              '"data": {}}}}\n')
        e.process.stdin.flush()
        told = e.process.stdout.readline()  # for people
        reply = e.read()
        while "event" in reply:
            reply = e.read()
        name = reply["return"]["pty"]
        assert name in told, told
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        done(e, "query-status")
        end = time.monotonic() + WAIT
        while not select.select([fd], [], [], 0.1)[0] and time.monotonic() < end:
            send(e, b"?")  # a pty is looked at now and then
        assert os.read(fd, 1) == b"?"
        os.close(fd)
        # One without a front end; the human monitor's command; and what commands of its own do.
        assert human(e, "chardev-change r ringbuf,size=64") == ""
        done(e, "ringbuf-write", device="r", data="kept")
        assert done(e, "ringbuf-read", device="r", size=10) == "kept"
        assert entry(e, "r")["filename"].startswith("ringbuf")
        done(e, "chardev-remove", id="r")
        assert "r" not in [c["label"] for c in done(e, "query-chardev")]
        done(e, "chardev-add", id="r", backend={"type": "null", "data": {}})


def log_of_the_new_one_is_its_own():
    with machine("-chardev", "null,id=s,logfile=" + path("old-log"), "-serial", "chardev:s") as e:
        send(e, b"before")
        done(e, "chardev-change", id="s", backend={"type": "file", "data": {"out": path("out"), "logfile": path("log")}})
        send(e, b"after")
    for name, text in (("old-log", b"before"), ("out", b"after"), ("log", b"after")):
        with open(path(name), "rb") as f:
            assert f.read() == text, name


def hub_sends_to_all_and_hears_all():
    with machine("-chardev", served("a"), "-chardev", served("b"), "-chardev", "file,id=f,path=" + path("copy"),
                 "-chardev", "hub,id=h,chardevs.0=a,chardevs.1=b,chardevs.2=f", "-serial", "chardev:h") as e:
        a = dial("a")
        done(e, "query-status")
        send(e, b"first ")
        receives(a, b"first ")
        b = dial("b")
        done(e, "query-status")
        send(e, b"second")
        receives(a, b"second")
        receives(b, b"second")
        arrives(e, a, b"from a")
        arrives(e, b, b"from b")
        assert silent(a) and silent(b), "what one says, the others do not hear"
        a.close()
        send(e, b"!")
        receives(b, b"!")
        refused(e, "chardev-remove", "busy", id="a")
    with open(path("copy"), "rb") as f:
        assert f.read() == b"first second!"


def one_that_does_not_read_holds_up_nobody():
    count = 70000  # more than the framework keeps for one
    with machine("-chardev", served("a"), "-chardev", "file,id=f,path=" + path("all"),
                 "-chardev", "hub,id=h,chardevs.0=a,chardevs.1=f", "-device", "isa-debugcon,chardev=h,iobase=0xe9",
                 "-qtest", "unix:%s,server=on,wait=off" % path("q")) as e:
        a = dial("a")
        done(e, "query-status")
        q = dial("q")
        for _ in range(count // 1000):
            q.sendall(b"outb 0xe9 0x78\n" * 1000)
            receives(q, b"OK\n" * 1000)
        got = b""
        while not silent(a):
            got += a.recv(1 << 16)
        assert 1 << 16 <= len(got) < count, len(got)
        a.close()
    assert os.path.getsize(path("all")) == count


def hubs_are_added_by_commands_too():
    with machine("-chardev", served("a")) as e:
        refused(e, "chardev-add", "no other chardev 'zzz'", id="h",
                backend={"type": "hub", "data": {"chardevs": ["a", "zzz"]}})
        refused(e, "chardev-add", "no other chardev 'h'", id="h", backend={"type": "hub", "data": {"chardevs": ["h"]}})
        refused(e, "chardev-add", "no chardevs given", id="h", backend={"type": "hub", "data": {"chardevs": []}})
        done(e, "chardev-add", id="h", backend={"type": "hub", "data": {"chardevs": ["a"]}})
        refused(e, "chardev-add", "already in use", id="i", backend={"type": "hub", "data": {"chardevs": ["a"]}})
        done(e, "chardev-remove", id="h")
        done(e, "chardev-remove", id="a")


def mistakes_of_a_hub_are_named():
    for keys, words in (("", "no chardevs given"), (",chardevs.1=n", "element 0 is missing"),
                        (",chardevs.0=n,chardevs.4=n", "chardevs.4"), (",chardevs.0=n,chardevs.1=n", "already in use")):
        run = subprocess.run([PROGRAM, "-M", "none", "-accel", "qtest", "-display", "none", "-nodefaults", "-chardev",
                              "null,id=n", "-chardev", "hub,id=h" + keys], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, timeout=WAIT, check=False)
        assert run.returncode == 1 and words in run.stderr and len(run.stderr.splitlines()) == 1, (keys, run)


tap.run([back_end_changes_under_a_port, what_fails_leaves_it_as_it_was,
         nobody_changes_what_he_came_by, answers_are_those_of_the_new_one,
         log_of_the_new_one_is_its_own, hub_sends_to_all_and_hears_all, one_that_does_not_read_holds_up_nobody,
         hubs_are_added_by_commands_too, mistakes_of_a_hub_are_named])
