# SPDX-License-Identifier: LGPL-2.1-or-later
"""An emulator whose monitor is behind TLS, and who talks to it. For tests with arguments SOURCE-ROOT BUILD-ROOT."""
import base64
import os
import select
import shutil
import socket
import subprocess
import sys
import time

import certificates
import tap
from qmp import Emulator

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("backplane-tls-")
QUIET = ("-M", "none", "-accel", "qtest", "-nodefaults")


def path(*parts):
    return os.path.join(DIR, *parts)


def write(name, text):
    with open(path(name), "w", encoding="utf-8") as f:
        f.write(text)
    return path(name)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Client:
    """A program that talks to the server's port; `with`."""

    def __init__(self, *args):
        if not shutil.which(args[0]):
            raise tap.Skip(args[0] + " is missing")
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def until(self, what):
        """Did it come before the end?"""
        end = time.monotonic() + WAIT
        while what not in self.seen:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            assert ready, (what, self.seen)
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                return False
            self.seen += part
        return True

    def talks(self):
        """Does a monitor answer?"""
        if not self.until(b'"QMP"'):
            return False
        self.process.stdin.write(b'{"execute": "qmp_capabilities"}\n{"execute": "query-name", "id": 7}\n')
        self.process.stdin.flush()
        return self.until(b'"id": 7')


def gnutls(port, *args):
    return Client("gnutls-cli", "--port", str(port), *args, "127.0.0.1")


def server(creds, *more, keys=""):
    """An emulator whose monitor is behind TLS: arguments, port."""
    port = free_port()
    words = [w for o in (*more, creds) for w in ("-object", o)]
    return port, [*words, "-chardev", "socket,id=m,host=127.0.0.1,port=%d,server=on,wait=off,tls-creds=tls0%s" % (
        port, keys), "-mon", "m,mode=control"]


def emulator(words):
    return Emulator(PROGRAM, *words, quiet=QUIET)


def refused(*args):
    run = subprocess.run([PROGRAM, *QUIET, "-display", "none", *args], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=WAIT, check=False)
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, run
    return run.stderr


def pki():
    """Made once: an authority, a server's folder, a client's."""
    if not os.path.exists(path("done")):
        ca = certificates.Authority(path("ca"))
        ca.sign(path("server"), "server")
        ca.sign(path("client"), "client", "cn = laptop.example.com\norganization = \"Example Org\"\nlocality = London\n"
                "state = London\ncountry = GB\nsigning_key\nencryption_key\ntls_www_client\n")
        pki.ca = ca
        write("done", "")
    return pki.ca


X509 = "tls-creds-x509,id=tls0,endpoint=server,dir="
DN = "CN=laptop.example.com,O=Example Org,L=London,ST=London,C=GB"


def ca_words():
    return ("--x509cafile", path("ca", "ca-cert.pem"))


def client_words(folder="client"):
    return (*ca_words(), "--x509certfile", path(folder, "client-cert.pem"), "--x509keyfile",
            path(folder, "client-key.pem"))


def small_group(name):
    """A group of 1024 bits, that of RFC 2409, 6.2: no named one that anybody would choose."""
    p = bytes.fromhex("00FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF"
                      "9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE"
                      "386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF")
    integers = b"\x02\x81\x81" + p + b"\x02\x01\x02"
    der = b"\x30\x81" + bytes([len(integers)]) + integers
    with open(name, "w", encoding="utf-8") as f:
        f.write("-----BEGIN DH PARAMETERS-----\n%s-----END DH PARAMETERS-----\n" % base64.encodebytes(der).decode())
