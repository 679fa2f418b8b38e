#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QMP client against the real program: greeting, negotiation, stream parsing, errors, events,
several monitors at once, slow readers, hostile input, descriptors, and the human monitor."""
import array
import json
import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BACKPLANE_BUILD") or (sys.argv[2] if len(sys.argv) > 2 else os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
BASE = ["-M", "none", "-accel", "qtest", "-nodefaults", "-display", "none"]
TIMEOUT = 60


class Client:
    def __init__(self, path, greet=True):
        deadline = time.time() + TIMEOUT
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(TIMEOUT)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.time() > deadline:
                    raise
                time.sleep(0.01)
        self.buffer = b""
        self.events = []
        self.greeting = self.read() if greet else None

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def read(self):
        while b"\n" not in self.buffer:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def reply(self):
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def run(self, name, **arguments):
        self.send({"execute": name, "arguments": arguments})
        return self.reply()

    def ok(self, name, **arguments):
        answer = self.run(name, **arguments)
        assert "return" in answer, (name, answer)
        return answer["return"]

    def error(self, name, **arguments):
        answer = self.run(name, **arguments)
        assert "error" in answer, (name, answer)
        return answer["error"]

    def negotiate(self, **arguments):
        self.ok("qmp_capabilities", **arguments)
        return self

    def wait_event(self, name):
        for event in self.events:
            if event["event"] == name:
                return event
        while True:
            message = self.read()
            if message.get("event") == name:
                return message

    def close(self):
        self.sock.close()


class Machine:
    """The program with QMP monitors on unix sockets."""

    def __init__(self, *options, monitors=1, base=None):
        self.dir = tempfile.TemporaryDirectory()
        self.paths = [os.path.join(self.dir.name, f"qmp{n}") for n in range(monitors)]
        argv = [PROGRAM] + (BASE if base is None else base)
        for path in self.paths:
            argv += ["-qmp", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen(argv + list(options), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def client(self, n=0, greet=True):
        return Client(self.paths[n], greet)

    def alive(self):
        return self.process.poll() is None

    def end(self):
        return self.process.wait(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive():
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.dir.cleanup()


def greeting_names_version():
    with Machine() as m:
        version = m.client().greeting["QMP"]
        assert version["version"]["qemu"] == {"major": 9, "minor": 1, "micro": 0}
        assert version["version"]["package"].startswith("backplane-")
        assert version["capabilities"] == ["oob"]


def command_before_negotiation_is_refused():
    with Machine() as m:
        c = m.client()
        assert c.error("query-status")["class"] == "CommandNotFound"
        c.negotiate(enable=["oob"])
        assert c.ok("query-version")["package"]
        assert c.error("qmp_capabilities")["class"] == "CommandNotFound"


def unknown_capability_is_refused():
    with Machine() as m:
        c = m.client()
        assert c.error("qmp_capabilities", enable=["warp"])["class"] == "GenericError"
        c.negotiate()


def id_is_echoed():
    with Machine() as m:
        c = m.client().negotiate()
        for ident in ("x", 7, None, [1, {"a": 2}], {"k": "v"}, True, 18446744073709551615):
            c.send({"execute": "query-name", "id": ident})
            answer = c.reply()
            assert answer["id"] == ident and "return" in answer
            c.send({"execute": "no-such-command", "id": ident})
            answer = c.reply()
            assert answer["id"] == ident and answer["error"]["class"] == "CommandNotFound"


def requests_come_as_a_stream():
    with Machine() as m:
        c = m.client().negotiate()
        c.send(b'{"execute":"query-name","id":1}{"execute":"query-name","id":2} \n'
               b'{"execute":"query-name","id":3}')
        assert [c.reply()["id"] for _ in range(3)] == [1, 2, 3]
        for byte in b'{"execute": "query-name", "id": "slow\\u00e9 {]"}':
            c.send(bytes([byte]))
        assert c.reply()["id"] == "slow\u00e9 {]"


def malformed_request_gets_an_error():
    with Machine() as m:
        c = m.client().negotiate()
        for text in (b"{]\n", b'"string"\n', b"[]\n", b"{}\n", b'{"execute":5}\n',
                     b'{"execute":"query-name","extra":1}\n',
                     b'{"execute":"query-name","arguments":[]}\n',
                     b'{"execute":"query-name","arguments":{"a":1}}\n',
                     b'{"execute":"qom-list"}\n', b'{"execute":"qom-list","arguments":{"path":1}}\n',
                     b'{"execute":"query-name","exec-oob":"query-name"}\n'):
            c.send(text)
            answer = c.reply()
            assert answer["error"]["class"] == "GenericError", (text, answer)
            assert answer["error"]["desc"]
        c.ok("query-status")


def random_bytes_do_no_harm():
    pieces = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"1e999", b"-", b"nul", b"true", b"\xff",
              b"\x00", b"\n", b"execute", b'"execute"', b"\\u12", b"\\", b'{"execute":"stop"}',
              b"9" * 400, b"[" * 2000]
    rng = random.Random(1)
    with Machine() as m:
        for _ in range(30):
            c = m.client()
            c.send(b'{"execute":"qmp_capabilities"}')
            c.reply()
            c.send(b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 60))))
            c.close()
        c = m.client().negotiate()
        assert c.ok("query-status")["status"]
        assert m.alive()


def events_precede_the_reply():
    with Machine("-S") as m:
        c = m.client().negotiate()
        assert c.ok("query-status") == {"status": "prelaunch", "running": False}
        c.ok("cont")
        assert [e["event"] for e in c.events] == ["RESUME"]
        assert c.ok("query-status") == {"status": "running", "running": True}
        c.ok("stop")
        assert [e["event"] for e in c.events] == ["RESUME", "STOP"]
        assert c.events[0]["timestamp"]["seconds"] > 1600000000
        assert 0 <= c.events[0]["timestamp"]["microseconds"] < 1000000
        assert c.ok("query-status") == {"status": "paused", "running": False}


def monitors_are_independent():
    with Machine(monitors=3) as m:
        first, second, third = m.client(0), m.client(1), m.client(2)
        first.negotiate()
        second.negotiate()
        first.ok("stop")
        assert second.wait_event("STOP")
        third.negotiate()
        assert not third.events
        assert third.ok("query-status")["status"] == "paused"


def client_may_come_back():
    with Machine() as m:
        for _ in range(3):
            c = m.client()
            assert c.error("query-status")["class"] == "CommandNotFound"
            c.negotiate()
            c.close()


def reader_that_is_slow_gets_everything():
    with Machine() as m:
        c = m.client().negotiate()
        count = 100
        sent = b"".join(b'{"execute":"query-qmp-schema","id":%d}' % n for n in range(count))
        c.send(sent)
        time.sleep(0.3)
        for n in range(count):
            assert c.reply()["id"] == n
        c.ok("query-status")


def quit_ends_with_shutdown_event():
    with Machine() as m:
        c = m.client().negotiate()
        c.ok("quit")
        event = c.wait_event("SHUTDOWN")
        assert event["data"] == {"guest": False, "reason": "host-qmp-quit"}
        assert m.end() == 0


def signal_ends_with_shutdown_event():
    for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Machine() as m:
            c = m.client().negotiate()
            m.process.send_signal(signo)
            assert c.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-signal"}
            assert m.end() == 0


def reset_is_announced():
    with Machine() as m:
        c = m.client().negotiate()
        c.ok("system_reset")
        event = c.wait_event("RESET")
        assert event["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
        c.ok("system_powerdown")
        c.wait_event("POWERDOWN")


def schema_is_closed():
    """Every type that is named exists, and every command that is listed has an entry."""
    with Machine() as m:
        c = m.client().negotiate()
        schema = {e["name"]: e for e in c.ok("query-qmp-schema")}
        commands = {e["name"] for e in c.ok("query-commands")}
        assert commands == {n for n, e in schema.items() if e["meta-type"] == "command"}
        for entry in schema.values():
            kind = entry["meta-type"]
            named = []
            if kind == "command":
                named = [entry["arg-type"], entry["ret-type"]]
            elif kind == "event":
                named = [entry["arg-type"]]
            elif kind == "array":
                named = [entry["element-type"]]
            elif kind == "object":
                named = [x["type"] for x in entry["members"] + entry.get("variants", [])]
            elif kind == "alternate":
                named = [x["type"] for x in entry["members"]]
            elif kind == "enum":
                assert entry["values"]
            else:
                assert kind == "builtin", kind
            for name in named:
                assert name in schema, (entry, name)
        features = schema["device_add"]["features"]
        assert "json-cli-hotplug" in features
        assert {"STOP", "RESUME", "SHUTDOWN", "RESET", "POWERDOWN", "DEVICE_DELETED"} <= \
            {n for n, e in schema.items() if e["meta-type"] == "event"}


def bytes_are_those_that_scripts_expect():
    """Compared with QEMU's own: spaces, ASCII, single quotes, line ends of monitor commands."""
    def line(c, request):
        c.send(request)
        while b"\n" not in c.buffer:
            c.buffer += c.sock.recv(65536)
        text, c.buffer = c.buffer.split(b"\n", 1)
        return text.rstrip(b"\r")

    with Machine("-name", "caf\u00e9 \u20ac \U0001f600", "-chardev", "ringbuf,id=r") as m:
        c = m.client()
        assert line(c, b'{"execute":"qmp_capabilities"}\n') == b'{"return": {}}'
        assert line(c, b"{'execute':'query-name','id':'a\\'b'}") == \
            b'{"return": {"name": "caf\\u00E9 \\u20AC \\uD83D\\uDE00"}, "id": "a\'b"}'
        assert line(c, b"{'execute':'nope'}").startswith(
            b'{"error": {"class": "CommandNotFound", "desc": "')
        text = line(c, b"{'execute':'human-monitor-command','arguments':{'command-line':'info status'}}")
        assert text.endswith(b'\\r\\n"}') and b"VM status" in text, text
        text = json.loads(line(c, {"execute": "human-monitor-command",
                                   "arguments": {"command-line": "help"}}))["return"]
        assert text.count("\n") == text.count("\r\n") > 20, text
        assert line(c, "{'execute':'ringbuf-write','arguments':{'device':'r','data':'\u00fc\u007f'}}"
                    .encode()) == b'{"return": {}}'
        assert line(c, b"{'execute':'ringbuf-read','arguments':{'device':'r','size':9}}") == \
            b'{"return": "\\u00FC\\u007F"}'


def option_groups_have_their_names():
    with Machine() as m:
        c = m.client().negotiate()
        listed = {x["option"]: {p["name"] for p in x["parameters"]}
                  for x in c.ok("query-command-line-options")}
        assert {"order", "once", "strict"} <= listed["boot-opts"] == listed["boot"]
        assert {"cpus", "cores", "maxcpus"} <= listed["smp-opts"] == listed["smp"]
        assert {"size", "slots", "maxmem"} <= listed["memory"] == listed["m"]
        assert {"hpet", "acpi", "usb", "dump-guest-core", "type"} <= listed["machine"], listed["machine"]
        one = c.ok("query-command-line-options", option="smp-opts")
        assert len(one) == 1 and one[0]["option"] == "smp-opts", one
        assert "nope" in c.error("query-command-line-options", option="nope")["desc"]


def probed_types_that_are_not_here_have_no_properties():
    with Machine() as m:
        c = m.client().negotiate()
        for name in ("memory-backend-file", "memory-backend-memfd", "none-machine", "generic-pc-machine",
                     "max-x86_64-cpu"):
            assert isinstance(c.ok("qom-list-properties", typename=name), list), name
        for name in ("of-tomorrow-machine", "of-tomorrow-x86_64-cpu"):  # by their kind, not by their names
            assert c.ok("qom-list-properties", typename=name) == [], name
        assert "nope" in c.error("qom-list-properties", typename="nope-device")["desc"]
        assert "nope" in c.error("qom-list-properties", typename="nope")["desc"]


def what_clients_probe_is_answered():
    with Machine() as m:
        c = m.client().negotiate()
        assert c.ok("query-migrate-capabilities") == [{"capability": "events", "state": False}]
        for name in ("query-tpm-models", "query-tpm-types", "query-tpm"):
            assert c.ok(name) == [], name
        for name in ("query-sev", "query-sev-capabilities", "query-sgx", "query-sgx-capabilities"):
            error = c.error(name)
            assert error["class"] == "GenericError" and "not there" in error["desc"], (name, error)


def cpu_models_are_expanded():
    for base in (None, ["-M", "pc", "-S", "-nodefaults", "-display", "none"]):
        with Machine(base=base) as m:
            c = m.client().negotiate()
            expand = lambda name, **props: c.ok("query-cpu-model-expansion", type="full",
                                                model={"name": name, "props": props})["model"]
            least, most = expand("qemu64"), expand("max")
            assert least["name"] == "qemu64" and most["name"] == "max"
            assert least["props"].keys() == most["props"].keys()
            assert all(isinstance(v, bool) for v in most["props"].values()), most
            assert least["props"]["sse2"] and most["props"]["sse2"]
            assert sum(least["props"].values()) < sum(most["props"].values())
            changed = expand("max", sse2=False)["props"]
            assert not changed["sse2"] and changed["lm"]
            static = c.ok("query-cpu-model-expansion", type="static", model={"name": "Nehalem"})["model"]
            assert static["name"] == "base" and static["props"] == expand("Nehalem")["props"], static
            assert not any(expand("base")["props"].values())
            for wanted, word in (({"name": "nohost"}, "nohost"), ({"name": "max", "props": {"nope": True}}, "nope"),
                                 ({"name": "max", "props": 1}, "props")):
                error = c.error("query-cpu-model-expansion", type="full", model=wanted)
                assert error["class"] == "GenericError" and word in error["desc"], error
            assert len([o for o in c.ok("qom-list", path="/machine/unattached")
                        if o["type"].endswith("-cpu>")]) == (1 if base else 0)


def machines_and_types_are_listed():
    with Machine() as m:
        c = m.client().negotiate()
        machines = {x["name"]: x for x in c.ok("query-machines")}
        assert "none" in machines
        assert any(x.get("alias") == "pc" for x in machines.values())
        types = {t["name"] for t in c.ok("qom-list-types")}
        assert {"isa-serial", "chardev-socket"} <= types, types
        assert {t["name"] for t in c.ok("qom-list-types", implements="chardev")} <= types
        for name in sorted(types):
            c.ok("qom-list-properties", typename=name)
        names = {p["name"] for p in c.ok("device-list-properties", typename="isa-serial")}
        assert "chardev" in names
        assert c.error("device-list-properties", typename="nope")["class"] == "DeviceNotFound"
        assert any(x["option"] == "smp" and any(p["name"] == "cores" for p in x["parameters"])
                   for x in c.ok("query-command-line-options"))


def object_tree_is_readable():
    with Machine("-name", "guest=tree") as m:
        c = m.client().negotiate()

        def walk(path, depth):
            count = 1
            for entry in c.ok("qom-list", path=path):
                if entry["type"].startswith("child<") and depth < 8:
                    count += walk(path.rstrip("/") + "/" + entry["name"], depth + 1)
                elif not entry["type"].startswith("child<"):
                    c.run("qom-get", path=path, property=entry["name"])
            return count
        assert walk("/", 0) > 3
        assert c.ok("qom-get", path="/machine", property="type").startswith("none")
        assert c.error("qom-list", path="/nope")["class"] == "DeviceNotFound"
        assert c.error("qom-get", path="/machine", property="nope")["class"] == "GenericError"
        assert c.ok("query-name") == {"name": "tree"}


def objects_come_and_go():
    with Machine("-object", "secret,id=first,data=aGVsbG8=,format=base64") as m:
        c = m.client().negotiate()
        c.ok("object-add", **{"qom-type": "secret", "id": "second", "data": "x"})
        names = [entry["name"] for entry in c.ok("qom-list", path="/objects")]
        assert "first" in names and "second" in names, names
        c.error("object-add", **{"qom-type": "secret", "id": "second", "data": "x"})
        c.error("object-add", **{"qom-type": "secret", "id": "third", "data": "a!", "format": "base64"})
        c.error("object-add", **{"qom-type": "secret", "id": "third"})
        c.error("object-add", **{"qom-type": "nope", "id": "third"})
        c.ok("object-del", id="second")
        c.error("object-del", id="second")
        assert [e["name"] for e in c.ok("qom-list", path="/objects")].count("second") == 0


def object_that_waits_for_a_pipe_holds_up_nobody():
    with Machine(monitors=3) as m:
        fifo = os.path.join(m.dir.name, "fifo")
        os.mkfifo(fifo)
        pipe = os.open(fifo, os.O_RDWR)
        slow, other, goer = (m.client(n).negotiate() for n in range(3))
        slow.send({"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "file": fifo}})
        begin = time.monotonic()
        for _ in range(20):
            other.ok("query-status")
        assert time.monotonic() - begin < 15, "others waited for the pipe"
        assert "s" not in [entry["name"] for entry in other.ok("qom-list", path="/objects")]
        # What is not ready is nobody's to use, but its name is taken.
        other.error("qom-get", path="/objects/s", property="file")
        assert "not found" in other.error("object-del", id="s")["desc"]
        assert "uplicate" in other.error("object-add", **{"qom-type": "secret", "id": "s", "data": "x"})["desc"]
        # A client that goes gives up; its name is free again.
        goer.send({"execute": "object-add", "arguments": {"qom-type": "secret", "id": "g", "file": fifo}})
        other.ok("query-status")
        goer.close()
        deadline = time.monotonic() + TIMEOUT
        while "error" in other.run("object-add", **{"qom-type": "secret", "id": "g", "data": "x"}):
            assert time.monotonic() < deadline, "the name stays taken"
            time.sleep(0.01)
        os.write(pipe, b"password")
        os.close(pipe)
        assert slow.reply() == {"return": {}}
        names = [entry["name"] for entry in other.ok("qom-list", path="/objects")]
        assert "s" in names and "g" in names, names
        other.ok("object-del", id="s")
        # One that nobody ever writes to does not keep the program from ending.
        pipe = os.open(fifo, os.O_RDWR)
        slow.send({"execute": "object-add", "arguments": {"qom-type": "secret", "id": "t", "file": fifo}})
        other.ok("query-status")
        other.ok("quit")
        assert m.end() == 0
        os.close(pipe)


def chardevs_come_and_go():
    with Machine() as m:
        c = m.client().negotiate()
        c.ok("chardev-add", id="c0", backend={"type": "null", "data": {}})
        assert "c0" in [x["label"] for x in c.ok("query-chardev")]
        assert c.error("chardev-add", id="c0", backend={"type": "null", "data": {}})
        answer = c.ok("chardev-add", id="c1", backend={"type": "pty", "data": {}})
        assert answer["pty"].startswith("/dev/pts/")
        c.ok("chardev-remove", id="c0")
        c.ok("chardev-remove", id="c1")
        assert c.error("chardev-remove", id="c0")
        assert [x["label"] for x in c.ok("query-chardev")] == ["compat_monitor0"]


def descriptor_gets_a_name():
    with Machine() as m:
        c = m.client().negotiate()
        assert c.error("getfd", fdname="a")["class"] == "GenericError"
        read_end, write_end = os.pipe()
        c.sock.sendmsg([b'{"execute":"getfd","arguments":{"fdname":"a"}}'],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write_end]))])
        assert c.reply() == {"return": {}}
        os.close(write_end)
        assert not select.select([read_end], [], [], 0)[0]
        c.ok("closefd", fdname="a")
        assert os.read(read_end, 1) == b""
        os.close(read_end)
        assert c.error("closefd", fdname="a")["class"] == "GenericError"


def memory_is_saved():
    with Machine("-m", "1M") as m:
        c = m.client().negotiate()
        path = os.path.join(m.dir.name, "memory")
        c.ok("pmemsave", val=0, size=10000, filename=path)
        assert os.path.getsize(path) == 10000
        assert c.error("pmemsave", val=2**64 - 1, size=2, filename=path)
        assert c.error("pmemsave", val=0, size=1, filename="/nonexistent/x")
        assert c.error("memsave", val=0, size=1, filename=path)


def memory_goes_to_a_pipe_while_others_are_served():
    with Machine("-m", "1M", monitors=2) as m:
        c, other = m.client().negotiate(), m.client(1).negotiate()
        path = os.path.join(m.dir.name, "pipe")
        os.mkfifo(path)
        assert path in c.error("pmemsave", val=0, size=1, filename=path)["desc"]  # nobody reads
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        c.send({"execute": "pmemsave", "arguments": {"val": 0, "size": 1 << 20, "filename": path}})
        other.ok("query-status")
        got = 0
        while got < 1 << 20:
            got += len(os.read(reader, 65536))
        assert c.reply() == {"return": {}}
        # One that would never end ends with its client.
        c.send({"execute": "pmemsave", "arguments": {"val": 0, "size": 1 << 62, "filename": path}})
        got = 0
        while got < 1 << 22:  # it may not have opened the pipe yet
            got += len(os.read(reader, 65536))
        c.close()
        while os.read(reader, 65536):
            pass
        os.close(reader)
        other.ok("query-status")


def files_that_block_hold_up_nobody():
    with Machine() as m:
        c = m.client().negotiate()
        path = os.path.join(m.dir.name, "pipe")
        os.mkfifo(path)
        log = {"type": "null", "data": {"logfile": path}}
        file = {"type": "file", "data": {"out": path}}
        assert path in c.error("object-add", **{"qom-type": "secret", "id": "s", "file": path})["desc"]
        for readonly in (False, True):
            assert "error" in c.run("object-add", **{
                "qom-type": "memory-backend-file", "id": "m", "size": 4096, "mem-path": path, "readonly": readonly})
        for backend in (log, file):
            assert path in c.error("chardev-add", id="c", backend=backend)["desc"]
        reader = os.open(path, os.O_RDWR)
        os.write(reader, b"word")
        c.ok("chardev-add", id="c", backend=log)
        c.ok("object-add", **{"qom-type": "secret", "id": "s", "file": "/dev/null"})
        os.close(reader)


def human_commands_answer():
    with Machine() as m:
        c = m.client().negotiate()

        def hmp(line):
            return c.ok("human-monitor-command", **{"command-line": line}).replace("\r\n", "\n")
        assert hmp("info version").startswith("9.1.0")
        assert hmp("info status") == "VM status: running\n"
        assert hmp("print 1+2*(3-1)") == "5\n"
        assert hmp("p /x 0xff<<4") == "0xff0\n"
        assert hmp("p 7/0").strip() == "division by zero"
        assert hmp("x /2i 0") == "No CPU available\n"
        assert hmp("bogus").startswith("unknown command")
        assert "system_reset" in hmp("help") and "info" in hmp("help")
        assert "info mtree" in hmp("info")
        assert "Error" in hmp("device_add nope")
        assert "Error" in hmp("device_del nope")
        assert hmp("xp /4xb 0x1000").count("0x") == 4
        for name in ("qtree", "qom-tree", "mtree", "chardev", "modules", "registers", "registers -a",
                     "cpus", "name"):
            hmp("info " + name)
        hmp("stop")
        assert hmp("info status").startswith("VM status: paused")


def hostile_human_lines_do_no_harm():
    rng = random.Random(2)
    words = ["print", "p", "x", "xp", "info", "help", "device_add", "object_add", "log", "cpu",
             "/99999999999xb", "/x", "/", "(", ")", "((((((((((", "-", "--", "~", "0x", "$", "$rip",
             "'", "'a", '"', '"a\\', "%s%n", "\t", "\x7f", "\u00e9", "99999999999999999999", "1/0",
             "1%0", "1<<64", "=", ",,", "a=", "a.b=1", "qom-tree", "/machine", "..", "-a", "help"]
    with Machine() as m:
        c = m.client().negotiate()
        for _ in range(3000):
            line = rng.choice([" ", ""]).join(rng.choice(words) for _ in range(rng.randrange(7)))
            c.ok("human-monitor-command", **{"command-line": line})
        c.ok("human-monitor-command", **{"command-line": "print " + "(" * 3000})
        c.ok("human-monitor-command", **{"command-line": "print " + "-" * 3000 + "1"})
        assert m.alive()


def terminal_edits_lines():
    master, slave = pty.openpty()
    process = subprocess.Popen([PROGRAM] + BASE + ["-monitor", "stdio"], stdin=slave, stdout=slave,
                               stderr=slave)
    os.close(slave)
    seen = b""

    def expect(text):
        nonlocal seen
        deadline = time.time() + TIMEOUT
        while text not in seen:
            assert time.time() < deadline, (text, seen)
            if select.select([master], [], [], 0.1)[0]:
                seen = (seen + os.read(master, 4096)).replace(b"\r\r\n", b"\r\n")
        seen = seen[seen.index(text) + len(text):]

    try:
        expect(b"(qemu) ")
        os.write(master, b"prin 4+5\x1b[D\x1b[D\x1b[D\x1b[Dt\r")  # left, insert in the middle
        expect(b"\r\n9\r\n(qemu) ")
        os.write(master, b"xx\x15print 0\x7f3\x01\x05\r")         # Ctrl-u, backspace, Ctrl-a, Ctrl-e
        expect(b"\r\n3\r\n(qemu) ")
        os.write(master, b"\x1b[A\x1b[A\r")                       # up, up
        expect(b"\r\n9\r\n(qemu) ")
        os.write(master, b"info vers\t\r")
        expect(b"9.1.0")
        expect(b"(qemu) ")
        os.write(master, b"print 1 junk\x17\x17 8\r")             # Ctrl-w twice
        expect(b"\r\n8\r\n(qemu) ")
        os.write(master, b"quit\r")
        assert process.wait(TIMEOUT) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


def pretty_monitor_indents():
    with tempfile.TemporaryDirectory() as where:
        path = os.path.join(where, "qmp")
        process = subprocess.Popen([PROGRAM] + BASE + ["-qmp-pretty",
                                                       f"unix:{path},server=on,wait=off"])
        try:
            c = Client(path, greet=False)
            text = b""
            while text.count(b"{") == 0 or text.count(b"{") != text.count(b"}"):
                text += c.sock.recv(4096)
            assert text.count(b"\n") > 3
            assert "QMP" in json.loads(text)
        finally:
            process.terminate()
            assert process.wait(TIMEOUT) == 0


def daemon_is_ready_when_parent_exits():
    with tempfile.TemporaryDirectory() as where:
        path, pidfile = os.path.join(where, "qmp"), os.path.join(where, "pid")
        argv = [PROGRAM, "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
                "none,accel=kvm:tcg", "-qmp", f"unix:{path},server=on,wait=off", "-pidfile",
                pidfile, "-daemonize"]
        assert subprocess.run(argv, timeout=TIMEOUT).returncode == 0
        with open(pidfile) as f:
            pid = int(f.read())
        c = Client(path).negotiate()
        assert c.ok("query-status")["status"] == "prelaunch"
        assert subprocess.run(argv, timeout=TIMEOUT, capture_output=True).returncode == 1
        os.kill(pid, signal.SIGTERM)
        c.wait_event("SHUTDOWN")
        deadline = time.time() + TIMEOUT
        while os.path.exists(pidfile):
            assert time.time() < deadline
            time.sleep(0.01)


TESTS = [greeting_names_version, command_before_negotiation_is_refused,
         unknown_capability_is_refused, id_is_echoed, requests_come_as_a_stream,
         malformed_request_gets_an_error, random_bytes_do_no_harm, events_precede_the_reply,
         monitors_are_independent, client_may_come_back, reader_that_is_slow_gets_everything,
         quit_ends_with_shutdown_event, signal_ends_with_shutdown_event, reset_is_announced,
         schema_is_closed, bytes_are_those_that_scripts_expect, option_groups_have_their_names,
         probed_types_that_are_not_here_have_no_properties, what_clients_probe_is_answered,
         cpu_models_are_expanded, machines_and_types_are_listed, object_tree_is_readable,
         objects_come_and_go, object_that_waits_for_a_pipe_holds_up_nobody, chardevs_come_and_go, descriptor_gets_a_name, memory_is_saved,
         memory_goes_to_a_pipe_while_others_are_served, files_that_block_hold_up_nobody, human_commands_answer,
         hostile_human_lines_do_no_harm, terminal_edits_lines, pretty_monitor_indents,
         daemon_is_ready_when_parent_exits]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} {test.__name__}", flush=True)
        except Exception as error:  # a test that fails must not stop the others
            failed += 1
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            line = error.__traceback__
            while line.tb_next:
                line = line.tb_next
            print(f"not ok {number} {test.__name__}\n# line {line.tb_lineno}: {text[:500]}",
                  flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
