# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sound servers of the host, each in a folder of its own, for tests."""
import os
import shutil
import subprocess
import tempfile
import time

SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))


class Missing(Exception):
    pass


def needs(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Missing(name + " is not installed")


class Home:
    """A folder for a server of our own, with what it needs in the environment; its processes end with it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="audio-")
        self.path = self.folder.name
        os.chmod(self.path, 0o700)
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("PULSE", "PIPEWIRE", "DBUS"))},
                    "HOME": self.path, "XDG_RUNTIME_DIR": self.path, "XDG_CONFIG_HOME": self.path,
                    "XDG_STATE_HOME": self.path, "DISPLAY": "", "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        self.processes = []
        return self

    def start(self, *command, **more):
        log = open(self.file("log-%d" % len(self.processes)), "w")
        self.processes.append(subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL,
                                               stdout=more.get("stdout", log), stderr=log, cwd=self.path))
        return self.processes[-1]

    def file(self, name):
        return os.path.join(self.path, name)

    def run(self, *command):
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30, cwd=self.path)

    def wait(self, what, condition):
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        logs = ""
        for n in range(len(self.processes)):
            with open(self.file("log-%d" % n)) as f:
                logs += f.read()[-600:]
        raise AssertionError("%s did not come: %s" % (what, logs))

    def __exit__(self, *exception):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.folder.cleanup()


def pulse(home, *more):
    """PulseAudio with two sinks that nobody hears, and `more` modules."""
    needs("pulseaudio", "pactl", "parec")
    home.start("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no",
               "-L", "module-native-protocol-unix socket=%s auth-anonymous=1" % home.file("socket"),
               "-L", "module-null-sink sink_name=first rate=44100",
               "-L", "module-null-sink sink_name=second rate=44100", *(a for m in more for a in ("-L", m)))
    home.env["PULSE_SERVER"] = "unix:" + home.file("socket")
    home.wait("PulseAudio", lambda: home.run("pactl", "info").returncode == 0)
