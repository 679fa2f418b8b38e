# SPDX-License-Identifier: LGPL-2.1-or-later
"""
backplane-monitor beside an emulator: commands, events, descriptors, statuses; at a terminal; over a monitor for people.
Usage: test-monitor.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import tap  # noqa: E402

CLIENT = os.path.join(sys.argv[2], "backplane-monitor")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("monitor-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
OK, REFUSED, USAGE, CONNECTION, TIMEOUT = range(5)


def path(name):
    return os.path.join(FOLDER, name)


def client(*args, status=OK, text=None, **more):
    done = subprocess.run([CLIENT, *args], capture_output=True, text=True, timeout=WAIT, input=text, check=False,
                          **({"stdin": subprocess.DEVNULL} if text is None else {}), **more)
    assert done.returncode == status, (args, done)
    return done.stdout if status == OK else done.stdout + done.stderr


class Machine:
    """An emulator with two monitors for programs, `q` and `r`, and one for people, `h`."""

    def __init__(self, *args):
        self.process = subprocess.Popen([PROGRAM, "-M", "none", "-display", "none", "-blockdev",
                                         "driver=null-co,node-name=n,size=1M", *args] +
                                        [word for name in "qr" for word in
                                         ("-qmp", "unix:%s,server=on,wait=off" % path(name))] +
                                        ["-monitor", "unix:%s,server=on,wait=off" % path("h")],
                                        stdin=subprocess.DEVNULL)
        end = time.monotonic() + WAIT
        while not os.path.exists(path("h")):
            assert self.process.poll() is None and time.monotonic() < end, "it does not start"
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        for name in "qrh":
            if os.path.exists(path(name)):
                os.unlink(path(name))


def commands_are_written_as_words():
    with Machine() as m:
        assert json.loads(client(path("q"), "query-status")) == {"status": "running", "running": True}
        assert client("unix:" + path("q"), "stop") == ""
        assert client("--json", path("q"), "query-status") == '{"status":"paused","running":false}\n'
        client(path("q"), "blockdev-add", "driver=null-co", "node-name=m", "size=0x2000", "read-only=on")
        client(path("q"), "blockdev-add", '{"driver": "raw", "node-name": "o", "file": "m"}')
        client(path("q"), "blockdev-add", "driver=raw", "node-name=p", "file.driver=null-co", "file.size=4096")
        nodes = json.loads(client(path("q"), "query-named-block-nodes", "flat=true"))
        assert {n["node-name"]: n["ro"] for n in nodes if n["node-name"] in "mnop"} == {
            "m": True, "n": False, "o": False, "p": False}, nodes
        client(path("q"), "transaction", 'actions=[{"type": "block-dirty-bitmap-add", "data": {"node": "n", '
               '"name": "b"}}]')
        assert client(path("q"), '{"execute": "query-name"}') == ""
        assert client(path("q"), "human-monitor-command", "command-line=info status") == "VM status: paused\n"
        assert client(path("q"), "hmp", "info", "status") == "VM status: paused\n"
        said = client("--json", path("q"), "blockdev-del", "node-name=none", status=REFUSED)
        assert json.loads(said.splitlines()[0])["error"]["class"] == "GenericError" and "none" in said, said
        for args, status, word in ((("blockdev-del", "node-name=none"), REFUSED, "none"),
                                   (("nonsense",), REFUSED, "nonsense"),
                                   (("block_resize", "node-name=n", "size=abc"), USAGE, "size"),
                                   (("block_resize", "node-name=n", "size"), USAGE, "KEY=VALUE"),
                                   (("set_link", "name=x", "up=maybe"), USAGE, "bool"),
                                   (("transaction", "actions=x"), USAGE, "JSON list"),
                                   (("transaction", "actions.1=x"), USAGE, "from 0 on"),
                                   (("set-action", "reboot=fly"), USAGE, "one of"),
                                   (("blockdev-add", "{\"driver\""), USAGE, "JSON"),
                                   (("{\"exec\": 1}",), USAGE, "execute")):
            assert word in client(path("q"), *args, status=status), args
        assert m.process.poll() is None
        assert client(path("q"), "quit") == ""
        assert m.process.wait(WAIT) == 0


def help_comes_from_what_answers():
    with Machine():
        names = client(path("q"), "help").split("\n")
        assert "query-status" in names and "blockdev-add" in names and names == sorted(names[:-1]) + [""]
        said = client(path("q"), "help", "block_resize")
        assert "  size=  int\n" in said and "node-name=  str (may be left out)" in said, said
        assert "list of" in client(path("q"), "help", "transaction")
        assert "one of " in client(path("q"), "help", "set-action")
        assert "no arguments" in client(path("q"), "help", "stop")
        assert "nonsense" in client(path("q"), "help", "nonsense", status=REFUSED)


def events_are_waited_for():
    with Machine():
        assert client("--wait", "STOP", path("q"), "stop") == "STOP\n"
        assert "not come" in client("--timeout", "0.2", "--wait", "STOP", path("q"), "stop", status=TIMEOUT)
        waits = subprocess.Popen([CLIENT, "--json", "--wait", "RESUME", "--wait", "SHUTDOWN", path("q")],
                                 stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + WAIT
        while waits.poll() is None:  # it may listen only after the first ones
            client(path("r"), "stop")
            client(path("r"), "cont")
            assert time.monotonic() < end, "nothing was heard"
        said, _ = waits.communicate(timeout=WAIT)
        assert json.loads(said)["event"] == "RESUME" and waits.returncode == 0, said
        gone = subprocess.Popen([CLIENT, "--wait", "NEVER", path("q"), "query-status"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        assert "{" in gone.stdout.readline()
        client(path("r"), "quit")
        _, said = gone.communicate(timeout=WAIT)
        assert gone.returncode == CONNECTION and "closed" in said, said


def descriptors_go_along():
    with Machine():
        with open(path("file"), "w+b") as f:
            client("--fd", str(f.fileno()), path("q"), "add-fd", "fdset-id=7", pass_fds=(f.fileno(),))
            shown = json.loads(client(path("q"), "query-fdsets"))
            assert [s["fdset-id"] for s in shown] in ([7], []), shown  # it goes with the monitor that gave it
        said = client(path("q"), "getfd", "fdname=x", status=REFUSED)
        assert "SCM_RIGHTS" in said or "descriptor" in said, said


def lines_come_from_a_file():
    with Machine():
        said = client(path("q"), text="# a comment\nstop\n\nquery-status\nhmp info name\nblockdev-del node-name='n'\n")
        assert '"paused"' in said and "STOP" in said, said
        said = client(path("q"), text="nonsense\nquery-status\nhmp 'info\n", status=USAGE)
        assert '"paused"' in said and "no end" in said, said


class Terminal:
    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(CLIENT, [CLIENT, *args])
        self.seen = b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text):
        end = time.monotonic() + WAIT
        while text.encode() not in self.seen:
            assert time.monotonic() < end, (text, self.seen)
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    assert text.encode() in self.seen, (text, self.seen)
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def end(self):
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def terminals_have_completion_and_events():
    if b"libedit" not in subprocess.run(["ldd", CLIENT], capture_output=True, check=False).stdout:
        raise tap.Skip("this build has no libedit")
    with Machine():
        t = Terminal(path("q"))
        t.expect("(qmp) ")
        t.type("query-statu\t\n")
        t.expect('"running": true')
        client(path("r"), "stop")
        t.expect("STOP")  # nobody has typed anything
        t.type("query-na")
        t.expect("query-na")
        client(path("r"), "cont")
        t.expect("RESUME")
        t.expect("query-na")  # what was typed is still there
        t.type("me\n")
        t.type("block_res\t node-n\t")
        t.expect("ame=")  # the rest of the word
        t.type("n si\t")
        t.expect("ze=")
        t.type("1M\n")
        t.expect("argument 'size' expects int")
        t.type("set-action panic=shut\t")
        t.expect("down")
        t.type("\n")
        t.expect("(qmp) ")
        t.type("set-action panic=fly\n")
        t.expect("one of ")
        t.type("help set_link\n")
        t.expect("bool")
        t.type("exit\n")
        assert t.end() == OK
        t = Terminal(path("q"))
        t.expect("(qmp) ")
        client(path("r"), "quit")
        t.expect("closed")
        assert t.end() == CONNECTION


def monitors_for_people_are_spoken_to():
    with Machine() as m:
        assert client(path("h"), "info", "status") == "VM status: running\n"
        assert "unknown" in client(path("h"), "nonsense").lower()
        t = Terminal(path("h"))
        t.expect("(qemu) ")
        t.type("info statu\t")
        t.expect("status")
        t.type("\r")
        t.expect("VM status: running")
        t.type("\x1d")
        assert t.end() == OK
        assert "for people" in client("--json", path("h"), "info", "status", status=USAGE)
        client(path("h"), "quit")
        assert m.process.wait(WAIT) == 0


def peers_that_misbehave_are_told():
    for text, status, word in ((b"{\"QMP\": ", CONNECTION, "closed"), (b"[]", CONNECTION, "closed"),
                               (b"{\"hello\": 1}", CONNECTION, "QMP"), (b"{\"QMP\": {}} x", CONNECTION, "QMP"),
                               (b"", CONNECTION, "closes"), (b"{\"QMP\": {}}{\"a\": \xff}", CONNECTION, "QMP")):
        server = socket.socket(socket.AF_UNIX)
        server.bind(path("s"))
        server.listen(1)

        def answer(data=text, there=server):
            c, _ = there.accept()
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
            while c.recv(4096):
                pass
            c.close()

        thread = threading.Thread(target=answer)
        thread.start()
        said = client(path("s"), "query-status", status=status)
        thread.join()
        server.close()
        os.unlink(path("s"))
        assert word in said, (text, said)
    server = socket.socket(socket.AF_INET)
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    said = client("--timeout", "0.2", "127.0.0.1:%d" % server.getsockname()[1], "query-status", status=TIMEOUT)
    assert "greet" in said, said
    server.close()
    for args, status, word in (((path("nothing"), "stop"), CONNECTION, "nothing"), ((), USAGE, "usage"),
                               (("--timeout", "x", path("q")), USAGE, "seconds"), (("--fd", "x", "q"), USAGE, "--fd"),
                               (("--nonsense",), USAGE, "nonsense"), (("x" * 200,), CONNECTION, "107"),
                               (("127.0.0.1:1", "stop"), CONNECTION, "127.0.0.1:1")):
        assert word in client(*args, status=status), args
    assert "--wait" in client("--help") and "version" in client("--version")


tap.run([commands_are_written_as_words, help_comes_from_what_answers, events_are_waited_for, descriptors_go_along,
         lines_come_from_a_file, terminals_have_completion_and_events, monitors_for_people_are_spoken_to,
         peers_that_misbehave_are_told])
