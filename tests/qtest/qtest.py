# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drives devices without a guest, over the qtest protocol, and prints results as TAP.

    from qtest import QTest, Tap

    def counts_down(q):
        q.outb(0x43, 0x30)
        q.clock_step(1000)
        assert q.inb(0x40) == 0

    tap = Tap()
    tap.machine_case("counter counts down", ["-M", "pc"], counts_down)
    tap.done()

The program is the one of the build directory in BACKPLANE_BUILD (default: build/ of this tree).
Leaves out: nothing of the protocol; QMP beside it is for what only it can do.
"""
import base64
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "tests", "house"))
from tap import recv_all  # noqa: E402, F401 -- for tests
SILENCE = 300  # seconds in which the machine protocol has to say something
TIMEOUT = float(os.environ.get("QTEST_TIMEOUT", "60"))  # seconds for one answer


socket.setdefaulttimeout(300)  # nothing is waited for without an end


def program(arch="x86_64"):
    build = os.environ.get("BACKPLANE_BUILD", os.path.join(TOP, "build"))
    return os.path.join(build, "backplane-system-" + arch)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Failed(AssertionError):
    """The emulator answered FAIL, or ended."""


class QTest:
    """One machine. Lines that were intercepted have their levels in `irqs`, by number."""

    def __init__(self, args=(), arch="x86_64", accel="qtest"):
        self.irqs = {}
        self.events = []
        self._rest = b""
        self._dir = tempfile.TemporaryDirectory(prefix="qtest-")
        path = os.path.join(self._dir.name, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(TIMEOUT)
        self._errors = open(os.path.join(self._dir.name, "errors"), "w+b")
        command = [program(arch), "-display", "none", "-nodefaults", "-accel", accel,
                   "-qtest", "unix:" + path, "-qmp", "stdio", *args]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._errors, preexec_fn=_die_with_parent)
        self._socket = None
        try:
            self._socket = self._accept(listener)
            self._qmp_read()  # the greeting: the machine stands
            self.qmp("qmp_capabilities")
        except BaseException:
            self.close()
            raise
        finally:
            listener.close()

    def _accept(self, listener):
        listener.settimeout(0.1)
        waited = 0.0
        while True:
            try:
                connection = listener.accept()[0]
                connection.settimeout(TIMEOUT)
                return connection
            except socket.timeout:
                waited += 0.1
                if self.process.poll() is not None:
                    raise Failed("the emulator ended: " + self.errors()) from None
                if waited > TIMEOUT:
                    raise Failed("the emulator does not connect") from None

    def errors(self):
        """What it wrote to standard error so far."""
        self._errors.flush()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close(self):
        """Ends the emulator; gives its exit status (negative: the signal that ended it)."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        if self._socket:
            self._socket.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self._errors.close()
        self._dir.cleanup()
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is not None and kind is None:
            raise Failed("the emulator ended: " + self.errors())
        errors = self.errors()
        status = self.close()
        if kind is None and status != 0:
            raise Failed("the emulator ended with status %d: %s" % (status, errors))

    # ---- the protocol ----

    def _line(self):
        while b"\n" not in self._rest:
            part = self._socket.recv(1 << 16)
            if not part:
                self.process.wait(60)
                raise Failed("the emulator ended: " + self.errors())
            self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def command(self, *words):
        """Sends one command; gives the words after OK."""
        self._socket.sendall((" ".join(str(w) for w in words) + "\n").encode())
        while True:
            answer = self._line().split()
            if answer[0] == "IRQ":
                self.irqs[int(answer[2])] = answer[1] == "raise"
            elif answer[0] == "OK":
                return answer[1:]
            else:
                raise Failed(" ".join(answer))

    def _get(self, name, address):
        return int(self.command(name, hex(address))[0], 0)

    def _put(self, name, address, value):
        self.command(name, hex(address), hex(value))

    def outb(self, port, value):
        self._put("outb", port, value)

    def outw(self, port, value):
        self._put("outw", port, value)

    def outl(self, port, value):
        self._put("outl", port, value)

    def inb(self, port):
        return self._get("inb", port)

    def inw(self, port):
        return self._get("inw", port)

    def inl(self, port):
        return self._get("inl", port)

    def writeb(self, address, value):
        self._put("writeb", address, value)

    def writew(self, address, value):
        self._put("writew", address, value)

    def writel(self, address, value):
        self._put("writel", address, value)

    def writeq(self, address, value):
        self._put("writeq", address, value)

    def readb(self, address):
        return self._get("readb", address)

    def readw(self, address):
        return self._get("readw", address)

    def readl(self, address):
        return self._get("readl", address)

    def readq(self, address):
        return self._get("readq", address)

    def read(self, address, size):
        return base64.b64decode(self.command("b64read", hex(address), size)[0])

    def write(self, address, data):
        self.command("b64write", hex(address), len(data), base64.b64encode(data).decode())

    def memset(self, address, size, byte):
        self.command("memset", hex(address), size, byte)

    def clock_step(self, ns=None):
        """Lets ns pass (default: until the next timer); gives the new time."""
        return int(self.command("clock_step", *([] if ns is None else [ns]))[0])

    def clock_set(self, ns):
        return int(self.command("clock_set", ns)[0])

    def now(self):
        return self.clock_step(0)

    def path(self, device):
        """The path of a device that is named by its type, when the board made only one."""
        if "/" in device:
            return device
        found = [folder + "/" + child["name"]
                 for folder in ("/machine/unattached", "/machine/peripheral")
                 for child in self.qmp("qom-list", {"path": folder})
                 if child["type"] == "child<%s>" % device]
        return found[0] if len(found) == 1 else device

    def irq_intercept_in(self, device, *name):
        self.command("irq_intercept_in", self.path(device), *name)

    def irq_intercept_out(self, device, *name):
        self.command("irq_intercept_out", self.path(device), *name)

    def set_irq_in(self, device, name, number, level):
        self.command("set_irq_in", self.path(device), name, number, level)

    def irq(self, number):
        """Is the intercepted line up?"""
        return self.irqs.get(number, False)

    # ---- QMP beside it ----

    def _qmp_read(self):
        watch = threading.Timer(SILENCE, self.process.kill)  # nothing hangs for ever
        watch.daemon = True
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line:
            self.process.wait(60)
            raise Failed("the emulator ended: " + self.errors())
        return json.loads(line)

    def qmp(self, name, arguments=None):
        """What the command returns; events that come before go to `events`."""
        request = {"execute": name}
        if arguments is not None:
            request["arguments"] = arguments
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            reply = self._qmp_read()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise Failed(reply["error"]["desc"])
            else:
                return reply["return"]


class Tap:
    """Counts cases and prints them in the Test Anything Protocol, version 12."""

    def __init__(self):
        self.count = self.failed = 0

    def _result(self, ok, name, note=""):
        self.count += 1
        self.failed += not ok
        print("%sok %d - %s%s" % ("" if ok else "not ", self.count, name, note), flush=True)

    def case(self, name, function, *args):
        """Runs function(*args); an exception fails the case."""
        try:
            function(*args)
        except Exception:  # whatever it is belongs to this case alone
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            self._result(False, name)
        else:
            self._result(True, name)

    def machine_case(self, name, machine_args, function):
        """Runs function(q) on a machine of its own."""
        def run():
            with QTest(machine_args) as q:
                function(q)
        self.case(name, run)

    def skip(self, name, why):
        self._result(True, name, " # SKIP " + why)

    def done(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)
