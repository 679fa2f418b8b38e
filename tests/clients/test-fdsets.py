# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Sets of file descriptors: -add-fd, add-fd, remove-fd and query-fdsets, and files named /dev/fdset/N.
Usage: test-fdsets.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import socket
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("fdsets-")


class Monitor:
    """QMP on a Unix socket of which we hold one end, so that descriptors can be passed."""

    def __init__(self, *args, pass_fds=()):
        ours, theirs = socket.socketpair()
        self.socket = ours
        ours.settimeout(WAIT)
        self.process = subprocess.Popen(
            [PROGRAM, "-nodefaults", "-display", "none", "-accel", "qtest", "-chardev",
             "socket,id=m,fd=%d" % theirs.fileno(), "-mon", "m,mode=control", *args],
            pass_fds=[theirs.fileno(), *pass_fds], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        theirs.close()
        self.text = ""

    def __enter__(self):
        self._read()
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()
        self.socket.close()

    def _read(self):
        while "\n" not in self.text:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError("the emulator ended: " + self.process.stderr.read())
            self.text += data.decode()
        line, self.text = self.text.split("\n", 1)
        return json.loads(line)

    def reply(self, name, fds=(), **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): v for key, v in arguments.items()}
        socket.send_fds(self.socket, [json.dumps(request).encode()], list(fds))
        while "event" in (reply := self._read()):
            pass
        return reply

    def ask(self, name, fds=(), **arguments):
        reply = self.reply(name, fds, **arguments)
        assert "return" in reply, (name, reply)
        return reply["return"]

    def error(self, name, fds=(), **arguments):
        reply = self.reply(name, fds, **arguments)
        assert "error" in reply, (name, reply)
        return reply["error"]["desc"]


def image(name, byte):
    path = os.path.join(DIR, name)
    with open(path, "wb") as f:
        f.write(bytes([byte]) * 65536)
    return path


def refused(*args, pass_fds=()):
    run = subprocess.run([PROGRAM, "-nodefaults", "-display", "none", "-accel", "qtest", *args], pass_fds=pass_fds,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, check=False)
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, (args, run)
    return run.stderr


def sets_of_the_command_line_are_told():
    path = image("told", 1)
    one, two = os.open(path, os.O_RDWR), os.open(path, os.O_RDONLY)
    with Monitor("-add-fd", "fd=%d,set=2,opaque=rdwr:%s" % (one, path),
                 "-add-fd", "fd=%d,set=2,opaque=ronly:%s" % (two, path),
                 "-add-fd", "fd=%d,set=0" % one, pass_fds=[one, two]) as m:
        sets = m.ask("query-fdsets")
        assert [s["fdset-id"] for s in sets] == [0, 2], sets
        assert [f.get("opaque") for f in sets[1]["fds"]] == ["rdwr:" + path, "ronly:" + path], sets
        assert "opaque" not in sets[0]["fds"][0]
        links = [os.readlink("/proc/%d/fd/%d" % (m.process.pid, f["fd"])) for s in sets for f in s["fds"]]
        assert links == [path] * 3, links
    os.close(one)
    os.close(two)


def standard_streams_and_strangers_are_refused():
    for fd in (0, 1, 2):
        assert "standard input" in refused("-add-fd", "fd=%d,set=2" % fd)
    assert "not open" in refused("-add-fd", "fd=700,set=2")
    assert "set" in refused("-add-fd", "fd=9") and "fd" in refused("-add-fd", "set=9")
    spare = os.open("/dev/null", os.O_RDWR)
    assert "'set'" in refused("-add-fd", "fd=%d,set=-1" % spare, pass_fds=[spare])
    os.close(spare)
    assert "/dev/fdset/7" in refused("-drive", "if=none,format=raw,file=/dev/fdset/7")
    assert "/dev/fdset/x" in refused("-drive", "if=none,format=raw,file=/dev/fdset/x")


def drive_takes_the_descriptor_of_its_mode():
    # Which one it is can be told: each is of a file of its own.
    writable, readable = image("writable", 0x11), image("readable", 0x22)
    fds = [os.open(writable, os.O_RDWR), os.open(readable, os.O_RDONLY)]
    options = ["-add-fd", "fd=%d,set=2,opaque=rdwr:%s" % (fds[0], writable),
               "-add-fd", "fd=%d,set=2,opaque=ronly:%s" % (fds[1], readable)]

    def opened(m):
        there = set()
        for number in os.listdir("/proc/%d/fd" % m.process.pid):
            try:
                path = os.readlink("/proc/%d/fd/%s" % (m.process.pid, number))
                with open("/proc/%d/fdinfo/%s" % (m.process.pid, number), encoding="ascii") as f:
                    if "lock:" not in f.read():  # what holds locks is of the file as it was first opened
                        there.add((path, number))
            except OSError:
                pass
        return [sum(path == name for name, _ in there) for path in (writable, readable)]

    # The set has a duplicate, the program the original; what is open beside these is the drive's.
    for where, chosen in (("index=0,media=disk", 0), ("if=none,readonly=on", 1)):
        with Monitor(*options, "-drive", "file=/dev/fdset/2,format=raw," + where,
                     pass_fds=fds) as m:
            info = m.ask("query-block")
            assert any(b.get("inserted", {}).get("file") == "/dev/fdset/2" for b in info), info
            counts = opened(m)
            assert counts[chosen] > 2 and counts[1 - chosen] == 2, (where, counts)
    for fd in fds:
        os.close(fd)
    only = os.open(readable, os.O_RDONLY)
    assert "/dev/fdset/2" in refused("-add-fd", "fd=%d,set=2" % only, "-blockdev",
                                     "driver=file,node-name=n,filename=/dev/fdset/2", pass_fds=[only])
    os.close(only)


def descriptors_are_passed_used_and_removed():
    path = image("passed", 0x33)
    fd = os.open(path, os.O_RDWR)
    with Monitor() as m:
        assert "SCM_RIGHTS" in m.error("add-fd", fdset_id=1)
        first = m.ask("add-fd", [fd], opaque="a disk")
        assert first["fdset-id"] == 0, first
        second = m.ask("add-fd", [fd], fdset_id=0)
        assert second["fdset-id"] == 0 and second["fd"] != first["fd"]
        assert m.ask("add-fd", [fd])["fdset-id"] == 1
        assert "non-negative" in m.error("add-fd", [fd], fdset_id=-3)
        m.ask("blockdev-add", driver="file", node_name="n", filename="/dev/fdset/0")
        m.ask("remove-fd", fdset_id=0, fd=first["fd"])
        assert "fdset-id:0, fd:%d" % first["fd"] in m.error("remove-fd", fdset_id=0, fd=first["fd"])
        m.ask("remove-fd", fdset_id=0)
        assert "fdset-id:0" in m.error("remove-fd", fdset_id=0)
        assert [s["fdset-id"] for s in m.ask("query-fdsets")] == [1]
        # What was opened stays open.
        assert m.ask("query-named-block-nodes")[0]["node-name"] == "n"
        m.ask("blockdev-del", node_name="n")
        assert "/dev/fdset/0" in m.error("blockdev-add", driver="file", node_name="n", filename="/dev/fdset/0")
    os.close(fd)


def files_and_logs_of_ports_come_from_sets():
    read, write = os.pipe()
    path = os.path.join(DIR, "out")
    out = os.open(path, os.O_WRONLY | os.O_CREAT)
    with Monitor("-add-fd", "fd=%d,set=0,opaque=log" % write, "-add-fd", "fd=%d,set=1" % out, "-chardev",
                 "file,id=c,path=/dev/fdset/1,logfile=/dev/fdset/0,logappend=on", "-serial", "chardev:c",
                 "-qtest", "unix:%s,server=on,wait=off" % os.path.join(DIR, "qtest"), pass_fds=[write, out]):
        with socket.socket(socket.AF_UNIX) as q:
            q.settimeout(WAIT)
            q.connect(os.path.join(DIR, "qtest"))
            for byte in b"hello":
                q.sendall(b"outb 0x3f8 %#x\n" % byte)
                assert q.recv(100).strip() == b"OK"
        text = b""
        while len(text) < 5:
            text += os.read(read, 5)
        assert text == b"hello", text
        with open(path, "rb") as f:
            assert f.read() == b"hello"
    for fd in (read, write, out):
        os.close(fd)


tap.run([sets_of_the_command_line_are_told, standard_streams_and_strangers_are_refused,
         drive_takes_the_descriptor_of_its_mode, descriptors_are_passed_used_and_removed,
         files_and_logs_of_ports_come_from_sets])
