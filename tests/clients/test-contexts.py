#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Contexts as a user sees them: I/O threads, commands that wait, what is told of loops and of crashes."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

source, build, modules = sys.argv[1:4]
sys.path.insert(0, os.path.join(source, "tests/house"))
from qmp import QUIET, Emulator  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

PROGRAM = os.path.join(build, "backplane-system-x86_64")
PATIENT = ("-modules", "preload=" + os.path.join(modules, "patient.so"))
RUNNING = ("-nodefaults", "-display", "none", "-M", "none")
OPTIONS = json.load(open(os.path.join(build, "meson-info/intro-buildoptions.json")))
SANITIZED = any(o["name"] == "b_sanitize" and o["value"] not in ("none", [], "") for o in OPTIONS)


def ok(reply):
    assert "return" in reply, reply
    return reply["return"]


def threads(e):
    """{thread id: name}"""
    folder = "/proc/%d/task" % e.process.pid
    return {int(t): open("%s/%s/comm" % (folder, t)).read().strip() for t in os.listdir(folder)}


def iothreads_are_threads_with_their_parameters():
    with Emulator(PROGRAM, "-object", "iothread,id=io0,poll-max-ns=5000,poll-grow=3,aio-max-batch=7",
                  "-object", "iothread,id=io1", quiet=RUNNING) as e:
        first, second = ok(e.command("query-iothreads"))
        assert first["id"] == "io0" and second["id"] == "io1", (first, second)
        assert first["poll-max-ns"] == 5000 and first["poll-grow"] == 3, first
        assert first["poll-shrink"] == 0 and first["aio-max-batch"] == 7, first
        assert second["poll-max-ns"] == 32768, second
        names = threads(e)
        assert names[first["thread-id"]] == "IO io0" and names[second["thread-id"]] == "IO io1", names
        ok(e.command("qom-set", path="/objects/io0", property="poll-max-ns", value=100000))
        assert ok(e.command("query-iothreads"))[0]["poll-max-ns"] == 100000
        assert "error" in e.command("qom-set", path="/objects/io0", property="thread-pool-min", value=65)
        assert ok(e.command("qom-get", path="/objects/io0", property="thread-pool-min")) == 0
        assert "error" in e.command("qom-set", path="/objects/io0", property="poll-max-ns", value=-1)
        ok(e.command("object-del", id="io0"))
        assert [t["id"] for t in ok(e.command("query-iothreads"))] == ["io1"]
        assert first["thread-id"] not in threads(e)
        ok(e.command("object-add", qom_type="iothread", id="io0"))
        assert [t["id"] for t in ok(e.command("query-iothreads"))] == ["io1", "io0"]


def unused_iothread_starts_no_thread():
    with Emulator(PROGRAM, "-object", "iothread,id=io0", quiet=RUNNING) as e:
        assert "IO io0" not in threads(e).values()


def under_qtest_they_are_folded():
    with Emulator(PROGRAM, "-object", "iothread,id=io0") as e:
        assert ok(e.command("query-iothreads"))[0]["thread-id"] == e.process.pid
        contexts = ok(e.command("query-contexts"))["contexts"]
        assert [c["folded"] for c in contexts] == [False, True], contexts


def contexts_and_lock_are_told():
    with Emulator(PROGRAM, "-object", "iothread,id=io0", "-enable-sync-profile", quiet=RUNNING) as e:
        told = ok(e.command("query-contexts"))
        main_one = told["contexts"][0]
        assert main_one["name"] == "main" and main_one["thread-id"] == e.process.pid, main_one
        assert main_one["callbacks"] > 0 and main_one["longest-ns"] > 0, main_one
        assert main_one["longest-kind"] and main_one["longest-owner"], main_one
        lock = told["machine-lock"]
        assert lock["profiling"] and lock["taken"] > 0 and lock["held-ns"] > 0, lock
        text = ok(e.command("human-monitor-command", command_line="info contexts"))
        assert "main: thread %d" % e.process.pid in text and "machine lock: taken" in text, text
        ok(e.command("human-monitor-command", command_line="sync-profile off"))
        assert not ok(e.command("query-contexts"))["machine-lock"]["profiling"]
        text = ok(e.command("human-monitor-command", command_line="sync-profile"))
        assert text == "sync-profile is off\r\n", text


class Client:
    """One QMP client on a socket."""

    def __init__(self, path, oob=False):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.read()
        self.send("qmp_capabilities", enable=["oob"] if oob else [])
        self.read()

    def send(self, name, out_of_band=False, id=None, **arguments):
        request = {"exec-oob" if out_of_band else "execute": name, "arguments": arguments}
        if id is not None:
            request["id"] = id
        self.socket.sendall(json.dumps(request).encode())

    def read(self):
        while True:
            message = json.loads(self.lines.readline())
            if "event" not in message:
                return message

    def close(self):
        self.lines.close()
        self.socket.close()


class Patient:
    def __enter__(self):
        self.path = os.path.join(work_folder("contexts-"), "q")
        self.emulator = Emulator(PROGRAM, *PATIENT, "-qmp", "unix:%s,server=on,wait=off" % self.path,
                                 quiet=RUNNING)
        return self.emulator.__enter__()

    def __exit__(self, *exception):
        self.emulator.__exit__(*exception)


def waiting_command_keeps_order_and_lets_others_go_on():
    patient = Patient()
    with patient as e:
        one, two = Client(patient.path, oob=True), None
        one.send("patient-sleep", id="long", ms=300)
        one.send("query-status", id="after")
        one.send("patient-cancelled", out_of_band=True, id="between")
        assert ok(e.command("query-status"))["status"]  # another client waits for nobody
        order = [one.read()["id"] for _ in range(3)]
        assert order == ["between", "long", "after"], order
        one.send("patient-sleep", id="none", ms=0)
        assert one.read() == {"return": 0, "id": "none"}
        for i in range(30):
            one.send("patient-sleep" if i % 3 == 0 else "query-name", id=i,
                     **({"ms": 1} if i % 3 == 0 else {}))
        assert [one.read()["id"] for _ in range(30)] == list(range(30))
        one.close()


def client_that_goes_cancels_its_command():
    patient = Patient()
    with patient as e:
        one = Client(patient.path)
        one.send("patient-sleep", ms=3600000)
        one.send("query-name")
        time.sleep(0.1)
        assert ok(e.command("patient-cancelled")) == 0
        one.close()
        for _ in range(1200):
            if ok(e.command("patient-cancelled")) == 1:
                break
            time.sleep(0.05)
        assert ok(e.command("patient-cancelled")) == 1
        one = Client(patient.path)  # and the next one is served
        one.send("query-name")
        assert "return" in one.read()
        one.close()


def human_monitor_waits_too():
    patient = Patient()
    with patient as e:
        assert ok(e.command("human-monitor-command", command_line="patient_sleep 5")) == "slept\r\n"
    with subprocess.Popen([PROGRAM, *RUNNING, *PATIENT, "-monitor", "stdio"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        out, err = p.communicate("patient_sleep 50\nsync-profile\nquit\n", timeout=30)
        assert out.index("slept") < out.index("sync-profile is off"), out
        assert p.returncode == 0, p.returncode
        assert err.endswith("patient: the end\n"), err  # fini


def last_words(*args, act):
    with Emulator(PROGRAM, *args, quiet=RUNNING) as e:
        act(e)
        status = e.process.wait(timeout=30)
        return status, e.process.stderr.read()


def fatal_signal_names_the_module():
    if SANITIZED:
        raise Skip("the sanitizer tells of it")
    status, text = last_words(*PATIENT, act=lambda e: (
        e.process.stdin.write('{"execute":"patient-crash"}\n'), e.process.stdin.flush()))
    assert status == -signal.SIGSEGV, status
    assert "fatal signal SIGSEGV in module patient 1.0 (patient+0x" in text, text
    for signo in (signal.SIGABRT, signal.SIGBUS):
        status, text = last_words(act=lambda e: e.process.send_signal(signo))
        assert status == -signo, status
        assert "backplane: fatal signal " + signo.name in text, text


sys.exit(run([
    iothreads_are_threads_with_their_parameters,
    unused_iothread_starts_no_thread,
    under_qtest_they_are_folded,
    contexts_and_lock_are_told,
    waiting_command_keeps_order_and_lets_others_go_on,
    client_that_goes_cancels_its_command,
    human_monitor_waits_too,
    fatal_signal_names_the_module,
]))
