# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulator with QMP on its standard input and output, for tests of the program as a whole."""
import json
import os
import resource
import subprocess
import threading
import time

SILENCE = 120  # s: a test that waits for what does not come ends
# No guest code runs in these tests.
QUIET = ("-nodefaults", "-display", "none", "-accel", "qtest")


def cpu_seconds(pid=None):
    """Processor time: of a process, or of the children that were waited for. Limits on how long a thing
    takes are for this: by the clock, others that run at the same time would count."""
    if pid is None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Emulator:
    def __init__(self, program, *args, env=None, quiet=QUIET, pass_fds=(), user=None):
        self.process = subprocess.Popen(
            [program, *quiet, "-qmp", "stdio", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})}, pass_fds=pass_fds, user=user,
            extra_groups=None if user is None else [])
        self.events = []

    def __enter__(self):
        self.greeting = self.read()
        self.command("qmp_capabilities")
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def read(self):
        end = time.monotonic() + SILENCE
        watch = threading.Timer(SILENCE, self.process.kill)
        watch.daemon = True
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line and time.monotonic() >= end:
            raise AssertionError("the emulator said nothing for %d s" % SILENCE)
        if not line:
            raise AssertionError("the emulator ended: " + self.process.stderr.read())
        return json.loads(line)

    def command(self, name, /, **arguments):
        """The reply, {"return":...} or {"error":...}; events go to `events`."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): v for key, v in arguments.items()}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while True:
            reply = self.read()
            if "event" not in reply:
                return reply
            self.events.append(reply)

    def wait_event(self, name):
        """The data of the next event of this name, which may have come already."""
        while True:
            for at, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[:at + 1]
                    return event.get("data")
            self.events.append(self.read())

    def job_ended(self, job):
        """The data of the end of this block job, which may have come already; those of others stay."""
        while True:
            for at, event in enumerate(self.events):
                if event["event"] == "BLOCK_JOB_COMPLETED" and event["data"]["device"] == job:
                    return self.events.pop(at)["data"]
            self.events.append(self.read())


def fails(program, *args, env=None):
    """Runs a command line that must be refused; returns what it said."""
    run = subprocess.run([program, *QUIET, *args], capture_output=True, text=True, timeout=60,
                         env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    assert run.returncode == 1, "status %d: %s" % (run.returncode, run.stderr)
    return run.stderr


class StorageDaemon(Emulator):
    """backplane-storage-daemon with a monitor on its standard input and output; `with`."""

    def __init__(self, program, folder, *args):
        # pylint: disable=super-init-not-called
        self.process = subprocess.Popen(
            [program, "--chardev", "stdio,id=m", "--monitor", "m", *args], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
            env={**os.environ, "DISPLAY": ":99"})
        self.events = []

    def ok(self, name, /, **arguments):
        reply = self.command(name, **arguments)
        assert "return" in reply, (name, reply)
        return reply["return"]
