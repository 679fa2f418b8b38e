# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of a Python test as TAP: each is a function; an exception or assertion is a failure."""
import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

# Who runs tests ends what takes too long; folders and children are cleared up even then.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

# The desktop of who runs them is no test's: those that open windows have their own.
for _name in ("DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(_name, None)


# Nothing is waited for without an end; whoever expects an answer sooner says so.
socket.setdefaulttimeout(300)


def recv_all(s, count):
    """So many bytes, fewer at the end. (A socket with a timeout does not heed MSG_WAITALL.)"""
    data = b""
    while len(data) < count and (part := s.recv(count - len(data))):
        data += part
    return data


class Skip(Exception):
    """Raised by a case that cannot run here."""


# Waits until the other end of its input is gone, with whoever held it.
CLEAR = 'trap "" HUP INT TERM; cd /; read -r nothing; chmod -R u+rwX "$1"; exec rm -rf "$1"'


def work_folder(prefix, where=None):
    """A temporary folder that goes when the test ends, in whatever way: a process removes it."""
    path = tempfile.mkdtemp(prefix=prefix, dir=where)
    watcher = subprocess.Popen(["sh", "-c", CLEAR, "sh", path], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)

    def end():
        watcher.stdin.close()
        watcher.wait()
    atexit.register(end)
    return path


def run(cases):
    print("1..%d" % len(cases), flush=True)
    bad = 0
    for number, function in enumerate(cases, 1):
        verdict, note = "ok", ""
        try:
            function()
        except Skip as reason:
            note = " # SKIP %s" % reason
        except Exception:  # any failure of a case is the case's
            verdict = "not ok"
            bad += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
        print("%s %d - %s%s" % (verdict, number, function.__name__, note), flush=True)
    sys.exit(1 if bad else 0)
