# SPDX-License-Identifier: LGPL-2.1-or-later
"""A person at a terminal: starts the emulator on a pseudo-terminal, types, reads what appears."""
import codecs
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("BACKPLANE_BUILD", os.path.join(TOP, "build"))
# Something that runs it (under valgrind, say) may stand in for the program.
BINARY = os.environ.get("BACKPLANE_PROGRAM", os.path.join(BUILD, "backplane-system-x86_64"))
# Sanitized builds are several times slower.
SLOW = float(os.environ.get("BACKPLANE_SLOW", "1"))


def guest_files():
    """Kernel and initramfs as `./dev boot` makes them."""
    out = subprocess.run([os.path.join(TOP, "dev"), "boot", "--prepare"], check=True,
                         stdout=subprocess.PIPE, text=True).stdout.split()
    return out[-2], out[-1]


class Console:
    """One run of a program whose terminal we hold."""

    def __init__(self, argv):
        self.master, slave = pty.openpty()
        self.modes = termios.tcgetattr(slave)
        self.slave = slave
        self.text = ""  # since the last expect()
        self.log = ""   # all
        # A character may come in two reads.
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.start = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, close_fds=True)

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        text = self.decoder.decode(data)
        self.text += text
        self.log += text
        return bool(data)

    def hear(self, seconds):
        """Waits for more text, which is added to `text`; False: none came."""
        return self._read(seconds)

    def expect(self, what, seconds):
        """Waits until `what` has appeared since the last expect(); returns the text up to it."""
        end = time.monotonic() + seconds * SLOW
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or (not self._read(min(left, 0.5)) and self.process.poll() is not None
                             and not self._read(0)):
                raise AssertionError(f"{what!r} did not appear within {seconds} s; the end was: "
                                     f"{self.text[-1500:]!r}")
        before, self.text = self.text.split(what, 1)
        return before

    def wait(self, seconds):
        """Waits for the program's end; returns its exit status."""
        end = time.monotonic() + seconds * SLOW
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"still running after {seconds} s: {self.text[-1500:]!r}")
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


socket.setdefaulttimeout(600)  # nothing is waited for without an end


class Skip(Exception):
    """Raised by a case that cannot run here."""


def needed(get, *args):
    """What get(*args) gives: Debian's packages, without which a case is skipped."""
    try:
        return get(*args)
    except (OSError, subprocess.SubprocessError) as error:
        raise Skip(f"Debian's packages cannot be had: {error}") from None


class Tap:
    """Runs cases and prints TAP."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def case(self, name, function, *args):
        self.number += 1
        start = time.monotonic()
        try:
            note = function(*args)
            skipped = note[9:] if note and note.startswith("skipped: ") else None
            print(f"ok {self.number} {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
            print(f"# {time.monotonic() - start:.1f} s{'; ' + note if note and not skipped else ''}", flush=True)
        except Skip as reason:
            print(f"ok {self.number} {name} # SKIP {reason}", flush=True)
        except Exception as error:  # a case must not take the others along
            self.failed += 1
            print(f"not ok {self.number} {name}", flush=True)
            for line in str(error).splitlines() or [repr(error)]:
                print(f"# {line}", flush=True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} {name} # SKIP {why}", flush=True)

    def done(self):
        print(f"1..{self.number}", flush=True)
        sys.exit(1 if self.failed else 0)
