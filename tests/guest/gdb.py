# SPDX-License-Identifier: LGPL-2.1-or-later
"""gdb's remote serial protocol spoken by hand, and gdb itself with a script of commands."""
import os
import re
import shutil
import socket
import subprocess
import time

from console import SLOW

WAIT = 60 * SLOW


def connect(path):
    end = time.monotonic() + WAIT
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(WAIT)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            assert time.monotonic() < end, "nobody listens on " + path
            time.sleep(0.05)


class Client:
    """One connection; packets are acknowledged until no_ack()."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = b""
        self.ack = True
        self.console = ""

    def close(self):
        self.stream.close()

    def _byte(self):
        if not self.buffer:
            self.buffer = self.stream.recv(65536)
            assert self.buffer, "the stub hung up"
        byte, self.buffer = self.buffer[:1], self.buffer[1:]
        return byte

    def raw(self, data):
        self.stream.sendall(data)

    def send(self, text):
        data = text.encode("latin-1")
        self.raw(b"$%s#%02x" % (data, sum(data) & 0xff))
        if self.ack:
            assert self._byte() == b"+", "the packet was not acknowledged"

    def receive(self):
        """The next packet that is no text for the console."""
        while True:
            byte = self._byte()
            assert byte == b"$", byte
            data = b""
            while (byte := self._byte()) != b"#":
                data += byte
            told = int(self._byte() + self._byte(), 16)
            assert told == sum(data) & 0xff, "the checksum is wrong"
            if self.ack:
                self.raw(b"+")
            if data[:1] == b"O" and data != b"OK":
                self.console += bytes.fromhex(data[1:].decode()).decode()
                continue
            return re.sub(rb"}(.)", lambda m: bytes([m[1][0] ^ 0x20]), data, flags=re.S).decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.receive()

    def no_ack(self):
        assert self.ask("QStartNoAckMode") == "OK"
        self.ack = False

    def registers(self):
        """Numbers of the registers by name, as the description has them."""
        text, at = "", 0
        while True:
            part = self.ask("qXfer:features:read:target.xml:%x,7ff" % at)
            text += part[1:]
            at += len(part) - 1
            if part[0] == "l":
                break
        self.description = text
        return {name: n for n, name in enumerate(re.findall(r'<reg name="(\w+)"', text))}


def lacking():
    return None if shutil.which("gdb") else "gdb is missing (package gdb)"


def gdb(*commands, seconds=60, env=None):
    """What gdb says to these commands."""
    run = subprocess.run(["gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off",
                          *[word for command in commands for word in ("-ex", command)]],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         timeout=seconds * SLOW, env={**os.environ, **(env or {})})
    return run.stdout.decode(errors="replace")
