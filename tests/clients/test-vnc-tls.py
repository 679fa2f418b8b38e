# SPDX-License-Identifier: LGPL-2.1-or-later
"""
VNC by TLS: VeNCrypt and wss, passwords inside, names that may, certificates that are read again. Usage:
test-vnc-tls.py SOURCE-ROOT BUILD-ROOT
"""
import os
import shutil
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import certificates  # noqa: E402
import rfb  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("backplane-vnc-tls-")
BASE = ("-M", "pc", "-accel", "qtest", "-nodefaults", "-vga", "std")
DN = "CN=viewer.example.com,O=Example"


def path(*parts):
    return os.path.join(DIR, *parts)


def pki():
    if not os.path.exists(path("ca")):
        pki.ca = certificates.Authority(path("ca"))
        pki.ca.sign(path("server"), "server")
        pki.ca.sign(path("client"), "client", "cn = viewer.example.com\norganization = Example\nsigning_key\n"
                    "tls_www_client\n")
    return pki.ca


def emulator(vnc, *objects):
    words = [w for o in objects for w in ("-object", o)]
    e = Emulator(PROGRAM, *words, "-vnc", "unix:%s%s" % (path("s"), vnc), quiet=BASE)
    return e


def context(client=True):
    c = ssl.create_default_context(cafile=path("ca", "ca-cert.pem"))
    c.check_hostname = False  # a path has none
    if client:
        c.load_cert_chain(path("client", "client-cert.pem"), path("client", "client-key.pem"))
    return c


def connect(tls, where="s", web=False, **options):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(WAIT)
    s.connect(path(where))
    if web:
        s = rfb.WebSocket(tls.wrap_socket(s))
        tls = None
    try:
        return rfb.Client(s, tls=tls, **options)
    except Exception:
        s.close()
        raise


def turned_away(*words, **options):
    try:
        connect(*words, **options).close()
    except (rfb.Refused, rfb.Closed, OSError) as why:
        return why
    return None


X509 = "tls-creds-x509,id=tls0,endpoint=server,dir="


def viewers_come_by_certificates():
    pki()
    with emulator(",tls-creds=tls0", X509 + path("server")) as e:
        e.command("qmp_capabilities")
        c = connect(context())
        assert c.vencrypt == 260 and (c.width, c.height) != (0, 0)
        info = e.command("query-vnc")["return"]
        assert info["auth"] == "vencrypt" and info["clients"][0]["x509_dname"] == DN, info
        server = e.command("query-vnc-servers")["return"][0]
        assert server["auth"] == "vencrypt" and server["vencrypt"] == "x509-none", server
        c.close()
        assert turned_away(context(client=False))  # verify-peer is on
        assert turned_away(None)  # in the clear
        assert turned_away(None, version=b"003.003")  # and of old


def passwords_go_inside():
    pki()
    with emulator(",tls-creds=tls0,password=on", X509 + path("server") + ",verify-peer=off") as e:
        e.command("qmp_capabilities")
        e.command("set_password", protocol="vnc", password="letmein")
        c = connect(context(False), password="letmein")
        assert c.vencrypt == 261
        c.close()
        assert "wrong password" in str(turned_away(context(False), password="other"))
        assert e.command("query-vnc-servers")["return"][0]["vencrypt"] == "x509-vnc"


def names_that_may_come_in():
    pki()
    with emulator(",tls-creds=tls0,tls-authz=auth0", X509 + path("server")) as e:
        e.command("qmp_capabilities")
        assert turned_away(context())  # there is no such object
        for identity, good in ((DN, True), ("CN=other", False)):
            e.command("object-add", **{"qom-type": "authz-simple", "id": "auth0", "identity": identity})
            assert (turned_away(context()) is None) == good, identity
            e.command("object-del", id="auth0")
        assert turned_away(context())


def browsers_come_by_wss():
    pki()
    with emulator(",websocket=unix:%s,tls-creds=tls0" % path("w"), X509 + path("server")):
        c = connect(context(), where="w", web=True)
        assert c.vencrypt is None and c.width
        c.close()
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(WAIT)
        s.connect(path("w"))
        try:
            rfb.WebSocket(s)
            raise AssertionError("in the clear")
        except (rfb.Refused, rfb.Closed, OSError, ValueError, UnicodeDecodeError):
            s.close()


def certificates_are_read_again():
    ca = pki()
    shutil.copytree(path("server"), path("changing"))
    with emulator(",tls-creds=tls0", X509 + path("changing")) as e:
        e.command("qmp_capabilities")

        def number():
            c = connect(context())
            found = c.sock.getpeercert()["serialNumber"]
            c.close()
            return found
        before = number()
        ca.sign(path("changing"), "server")
        assert number() == before
        assert e.command("display-reload", type="vnc", **{"tls-certs": True}) == {"return": {}}
        after = number()
        assert after != before
        os.unlink(path("changing", "server-key.pem"))
        answer = e.command("display-reload", type="vnc", **{"tls-certs": True})
        assert "server-key.pem" in answer["error"]["desc"], answer
        assert number() == after


def keys_that_do_not_fit_are_refused():
    pki()
    for vnc, objects, words in (
            (",tls-creds=none", (), "No TLS credentials with id 'none'"), (",tls-authz=a", (), "needs 'tls-creds'"),
            (",tls-creds=c", ("tls-creds-x509,id=c,endpoint=client,dir=" + path("client"),), "server endpoint")):
        words_ = [w for o in objects for w in ("-object", o)]
        run = subprocess.run([PROGRAM, *BASE, *words_, "-vnc", "unix:%s%s" % (path("s"), vnc)], capture_output=True,
                             text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
        assert run.returncode == 1 and words in run.stderr, run


tap.run([viewers_come_by_certificates, passwords_go_inside, names_that_may_come_in, browsers_come_by_wss,
         certificates_are_read_again, keys_that_do_not_fit_are_refused])
