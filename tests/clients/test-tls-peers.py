# SPDX-License-Identifier: LGPL-2.1-or-later
"""
TLS and rights against peers that are not what they should be, and files that are somewhere else later.
Usage: test-tls-peers.py SOURCE-ROOT BUILD-ROOT
"""
import base64
import ctypes
import ctypes.util
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import certificates  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402
from secure import (DN, PROGRAM, QUIET, WAIT, X509, Client, ca_words, client_words, emulator, free_port,  # noqa: E402
                    gnutls, path, pki, refused, server, small_group, write)


def gets_in(port, *words):
    with gnutls(port, *(words or client_words())) as c:
        return c.talks()


def wait_until(condition, what):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Daemon:
    """One that has gone into the background, begun in a folder; `with`."""

    def __init__(self, folder, words):
        self.pid = path("pid")
        done = subprocess.run([PROGRAM, *QUIET, "-display", "none", "-daemonize", "-pidfile", self.pid, *words], cwd=folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, check=False)
        assert done.returncode == 0, done

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        with open(self.pid, encoding="ascii") as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(self.pid), "it ends")


# ---- files, later ----

PSK = ("--priority", "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK")


def psk_words(user, key):
    return (*PSK, "--pskusername", user, "--pskkey", key)


def keys_are_found_after_daemonize():
    folder = path("psk-daemon")
    os.makedirs(folder)
    write("psk-daemon/keys.psk", "early:0123456789abcdef\n#c3bc:00112233445566778899\n")
    port, words = server("tls-creds-psk,id=tls0,endpoint=server,dir=.")
    with Daemon(folder, words):
        assert gets_in(port, *psk_words("early", "0123456789abcdef"))
        assert gets_in(port, *psk_words("\u00fc", "00112233445566778899"))
        assert not gets_in(port, *psk_words("early", "0123456789abcdee"))
        assert not gets_in(port, *psk_words("late", "abcdefabcdef"))
        write("psk-daemon/keys.psk", "late:abcdefabcdef\n")  # whoever is added may come
        assert gets_in(port, *psk_words("late", "abcdefabcdef"))
        assert not gets_in(port, *psk_words("early", "0123456789abcdef"))
        os.unlink(os.path.join(folder, "keys.psk"))  # those that were stay
        assert gets_in(port, *psk_words("late", "abcdefabcdef"))


def rules_are_found_after_daemonize():
    pki()
    folder = path("rules")
    allow = json.dumps({"rules": [{"match": DN, "policy": "allow"}]})
    os.makedirs(folder)
    write("rules/acl", allow)
    port, words = server(X509 + path("server"), "authz-list-file,id=auth0,filename=acl", keys=",tls-authz=auth0")
    with Daemon(folder, words):
        assert gets_in(port)
        write("rules/acl", "{}")
        assert not gets_in(port)
        os.rename(folder, path("rules-old"))  # another folder takes its place
        os.makedirs(folder)
        write("rules/acl", allow)
        assert gets_in(port)
        shutil.rmtree(folder)
        assert gets_in(port)  # what it said before goes on
        os.makedirs(folder)
        write("rules/acl", "{}")
        assert not gets_in(port)


def documented_rules_decide():
    """The manual's, for names of users, without the comma that JSON does not have."""
    os.makedirs(path("users"))
    names = ("fred", "bob", "danb", "dan", "dan*", "daniel", "Fred", "alice")
    write("users/keys.psk", "".join("%s:%032x\n" % (name, n + 1) for n, name in enumerate(names)))
    acl = write("users.acl", """{
  "rules": [
    { "match": "fred", "policy": "allow", "format": "exact" },
    { "match": "bob", "policy": "allow", "format": "exact" },
    { "match": "danb", "policy": "deny", "format": "glob" },
    { "match": "dan*", "policy": "allow", "format": "exact" }
  ],
  "policy": "deny"
}
""")
    port, words = server("tls-creds-psk,id=tls0,endpoint=server,dir=" + path("users"),
                         "authz-listfile,id=auth0,refresh=on,filename=" + acl, keys=",tls-authz=auth0")
    with emulator(words):
        for n, name in enumerate(names):  # what is exact is no pattern
            assert gets_in(port, *psk_words(name, "%032x" % (n + 1))) == (name in ("fred", "bob", "dan*")), name


def openssl(port, *args):
    return Client("openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2", *args)


def groups_are_those_of_the_file_or_well_known_ones():
    os.makedirs(path("group"))
    os.makedirs(path("no-group"))
    for folder in ("group", "no-group"):
        write(folder + "/keys.psk", "qemu:00112233445566778899aabbccddeeff\n")
    small_group(path("group", "dh-params.pem"))
    psk = ("-psk", "00112233445566778899aabbccddeeff", "-psk_identity", "qemu", "-cipher",
           "DHE-PSK-AES128-GCM-SHA256:@SECLEVEL=0")
    anonymous = ("-cipher", "ADH-AES128-GCM-SHA256:@SECLEVEL=0")
    for creds, folder, client, bits in (
            ("tls-creds-psk", "group", psk, b"1024"), ("tls-creds-psk", "no-group", psk, b"2048"),
            ("tls-creds-anon", "group", anonymous, b"1024"), ("tls-creds-anon", "no-group", anonymous, b"2048")):
        port, words = server("%s,id=tls0,endpoint=server,dir=%s" % (creds, path(folder)))
        with emulator(words), openssl(port, *client) as c:
            assert c.until(b"Server Temp Key: DH, " + bits + b" bits"), (creds, folder, c.seen)


def our_client_knows_nobody():
    """Anonymous credentials; that they verify nobody is no matter of verify-peer."""
    for more in ("", ",verify-peer=on", ",verify-peer=off"):
        port = free_port()
        with Client("openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-nocert", "-tls1_2", "-cipher",
                    "aNULL:@SECLEVEL=0") as c:
            assert c.until(b"ACCEPT"), c.seen
            with emulator(["-object", "tls-creds-anon,id=c,endpoint=client" + more, "-chardev",
                           "socket,id=m,host=127.0.0.1,port=%d,tls-creds=c" % port, "-mon", "m,mode=control"]):
                assert c.until(b'"QMP"'), c.seen


# ---- accounts ----

def in_own_pam(folder, words):
    """An emulator that finds this folder as /etc/pam.d."""
    script = write("inside", '#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/pam.d && exec "$@"\' %s %s "$@"\n'
                   % (folder, PROGRAM))
    os.chmod(script, 0o755)
    return Emulator(script, *words, quiet=QUIET)


def need_pam():
    places = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib64")
    for module in ("pam_listfile.so", "pam_permit.so", "pam_exec.so"):
        if not any(os.path.exists(os.path.join(d, "security", module)) for d in places):
            raise tap.Skip(module + " is missing")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        raise tap.Skip("mount namespaces need root")


def pam_folder(name, **services):
    folder = path(name)
    os.makedirs(folder)
    for service, text in services.items():
        write(os.path.join(name, service), text)
    return folder


def accounts_of_pam_decide():
    """pam_listfile as in the manual; its files are put where PAM looks in a mount namespace of our own."""
    pki()
    need_pam()
    allow = write("vnc.allow", DN + "\n")
    folder = pam_folder("pam.d", **{"qemu-vnc": "account requisite pam_listfile.so item=user sense=allow file=%s\n" % allow})
    for service, listed, good in (("qemu-vnc", DN, True), ("qemu-vnc", "CN=other", False), ("no-such", DN, False)):
        write("vnc.allow", listed + "\n")
        port, words = server(X509 + path("server"), "authz-pam,id=auth0,service=" + service, keys=",tls-authz=auth0")
        with in_own_pam(folder, words):
            assert gets_in(port) == good, (service, listed)
    assert "is not the name of a file" in refused("-object", "authz-pam,id=a,service=../x")


def services_without_accounts_let_nobody_in():
    """PAM would ask "other", which lets everybody in here."""
    pki()
    need_pam()
    assert "lower case" in refused("-object", "authz-pam,id=a,service=Vnc")
    folder = pam_folder("pam.other", other="account required pam_permit.so\n",
                        nothing="# account required pam_permit.so\nauth required pam_permit.so\n",
                        bare="auth required \\\n account pam_permit.so\n",
                        around="@include nothing\naccount include bare\n", loop="@include loop\n",
                        direct="auth required pam_permit.so\n-account [success=ok default=die] \\\n pam_permit.so\n",
                        indirect="@include direct\n", typed="account substack direct\n")
    port, words = server(X509 + path("server"), keys=",tls-authz=auth0")
    with in_own_pam(folder, words) as e:
        for service, good in (("nothing", False), ("bare", False), ("around", False), ("loop", False), ("direct", True),
                              ("indirect", True), ("typed", True)):
            e.command("object-add", **{"qom-type": "authz-pam", "id": "auth0", "service": service})
            assert gets_in(port) == good, service
            e.command("object-del", id="auth0")


def blocked_signals(pid, name):
    """Those that the thread of this name blocks."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task), encoding="ascii") as f:
            status = f.read()
        if "Name:\t%s\n" % name in status:
            mask = int(re.search(r"^SigBlk:\t([0-9a-f]+)$", status, re.M)[1], 16)
            return {n for n in range(1, 65) if mask >> (n - 1) & 1}
    raise AssertionError("there is no thread '%s'" % name)


def slow_accounts_hold_up_nobody():
    pki()
    need_pam()
    os.mkfifo(path("asked"))
    os.mkfifo(path("answer"))
    ask = write("ask", "#!/bin/sh\necho asked >%s\nread -r answer <%s\nexit $answer\n" % (path("asked"), path("answer")))
    os.chmod(ask, 0o755)
    folder = pam_folder("pam.slow", slow="account required pam_exec.so %s\n" % ask)
    port, words = server(X509 + path("server"), "authz-pam,id=auth0,service=slow", keys=",tls-authz=auth0")
    with in_own_pam(folder, words) as e:
        for answer in ("0", "1"):
            with gnutls(port, *client_words()) as c:
                with open(path("asked"), encoding="ascii") as f:
                    assert f.read() == "asked\n"
                assert "return" in e.command("query-status")  # the main loop goes on
                blocked = blocked_signals(e.process.pid, "authz-pam")
                assert signal.SIGTERM in blocked and signal.SIGSEGV not in blocked, blocked  # a fault is told
                with open(path("answer"), "w", encoding="ascii") as f:
                    f.write(answer + "\n")
                assert c.talks() == (answer == "0"), c.seen
        with gnutls(port, *client_words()):
            with open(path("asked"), encoding="ascii") as f:
                f.read()
            e.command("object-del", id="auth0")  # what asks outlives it
            assert "return" in e.command("quit")
            e.process.wait(WAIT)
            with open(path("answer"), "w", encoding="ascii") as f:
                f.write("0\n")


# ---- peers ----

def certificates_are_for_one_end():
    ca = pki()
    ca.sign(path("swapped"), "client", "cn = x\nsigning_key\ntls_www_server\n")
    ca.sign(path("plain"), "client", "cn = x\nsigning_key\n")  # no purpose: for all
    port, words = server(X509 + path("server"))
    with emulator(words):
        assert not gets_in(port, *client_words("swapped"))
        assert gets_in(port, *client_words("plain"))


def hears_our_client(listener, context):
    """Does it talk to who listens?"""
    raw, _ = listener.accept()
    raw.settimeout(WAIT)
    try:
        with context.wrap_socket(raw, server_side=True) as s:
            return b"QMP" in s.recv(4096)
    except OSError:
        raw.close()
        return False


def our_client_wants_a_server_with_that_name():
    ca = pki()
    purpose = "cn = x\nsigning_key\ndns_name = localhost\ndns_name = vm.example.com\ntls_www_%s\n"
    ca.sign(path("named"), "server", purpose % "server")
    ca.sign(path("other-end"), "server", purpose % "client")
    client = "tls-creds-x509,id=c,endpoint=client,dir=" + path("client")
    chardev = "socket,id=m,path=%s,tls-creds=c" % path("unix")
    assert "'tls-hostname' is missing" in refused("-object", client, "-chardev", chardev)
    assert "needs 'tls-creds'" in refused("-chardev", "socket,id=m,path=%s,tls-hostname=x" % path("unix"))
    assert "is a client's" in refused("-object", X509 + path("server"), "-chardev",
                                      "socket,id=m,path=%s,server=on,tls-creds=tls0,tls-hostname=x" % path("unix"))
    for folder, host, more, good in (
            ("named", ",tls-hostname=vm.example.com", "", True), ("named", ",tls-hostname=other.example.com", "", False),
            ("named", "", ",verify-peer=off", True), ("other-end", ",tls-hostname=vm.example.com", "", False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path(folder, "server-cert.pem"), path(folder, "server-key.pem"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path("unix"))
            listener.listen()
            listener.settimeout(WAIT)
            with emulator(["-object", client + more, "-chardev", chardev + host, "-mon", "m,mode=control"]):
                assert hears_our_client(listener, context) == good, (folder, host, more)
        os.unlink(path("unix"))


def who_only_warns_is_sent_away():
    """Before the handshake: records of type alert, level 1 (RFC 5246, 7.2)."""
    pki()
    port, words = server(X509 + path("server"))
    with emulator(words) as e, socket.create_connection(("127.0.0.1", port), WAIT) as s:
        s.settimeout(WAIT)
        s.sendall(bytes((21, 3, 1, 0, 2, 1, 90)) * 200)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
        e.command("quit")
        text = e.process.stderr.read()
        assert "handshake failed" in text and "too long" not in text, text


def warning_client(port, count):
    """GnuTLS's own client, which warns as often; then what it hears."""
    lib = ctypes.CDLL(ctypes.util.find_library("gnutls") or "libgnutls.so.30")
    session, creds = ctypes.c_void_p(), ctypes.c_void_p()
    lib.gnutls_anon_allocate_client_credentials(ctypes.byref(creds))
    lib.gnutls_init(ctypes.byref(session), ctypes.c_uint(2))
    lib.gnutls_priority_set_direct(session, b"NORMAL:-KX-ALL:+ANON-ECDH:-VERS-TLS1.3", None)
    lib.gnutls_credentials_set(session, 2, creds)
    lib.gnutls_record_recv.restype = ctypes.c_ssize_t
    with socket.create_connection(("127.0.0.1", port), WAIT) as s:
        s.setblocking(True)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b"\x3c" + bytes(15))
        lib.gnutls_transport_set_int2(session, s.fileno(), s.fileno())
        assert lib.gnutls_handshake(session) == 0
        for _ in range(count):
            if lib.gnutls_alert_send(session, 1, 90) < 0:
                break
        buffer, heard = ctypes.create_string_buffer(65536), b""
        while (n := lib.gnutls_record_recv(session, buffer, ctypes.c_size_t(65536))) > 0:
            heard += buffer.raw[:n]
            if count < 9 and b"QMP" in heard:
                break
        lib.gnutls_deinit(session)
    return n, heard


def who_only_warns_later_is_sent_away():
    port, words = server("tls-creds-anon,id=tls0,endpoint=server")
    with emulator(words):
        n, heard = warning_client(port, 8)
        assert n > 0 and b"QMP" in heard, (n, heard)
        n, heard = warning_client(port, 100)
        assert n in (0, -10, -54, -110), n  # closed; not GNUTLS_E_AGAIN (-28): nobody did


# ---- WebSocket ----

def frame(opcode, payload):
    mask = b"\x12\x34\x56\x78"
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


def read_exactly(s, count):
    got = b""
    while len(got) < count:
        part = s.recv(count - len(got))
        assert part, got
        got += part
    return got


def read_frame(s):
    head = read_exactly(s, 2)
    length = head[1] & 127
    if length == 126:
        length = int.from_bytes(read_exactly(s, 2), "big")
    return head[0] & 15, read_exactly(s, length)


def web_socket(name):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(WAIT)
    s.connect(name)
    s.sendall(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
              b"Sec-WebSocket-Protocol: binary\r\n\r\n" % base64.b64encode(bytes(16)))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return s


def ends_of_the_web_are_answered():
    name = path("web")
    with emulator(["-chardev", "socket,id=w,path=%s,server=on,wait=off,websocket=on" % name, "-mon", "w,mode=control"]) as e:
        for payload in (b"\x03\xe8bye", b""):
            with web_socket(name) as s:
                assert b"QMP" in read_frame(s)[1]
                s.sendall(frame(8, payload) + frame(2, b"{}"))
                assert read_frame(s) == (8, payload[:2])  # RFC 6455, 5.5.1: why, not in which words
                assert s.recv(1) == b""
        with web_socket(name) as s:  # we end it
            assert b"QMP" in read_frame(s)[1]
            e.command("quit")
            while (got := read_frame(s))[0] != 8:
                pass
            assert got[1][:2] == b"\x03\xe9", got


tap.run([documented_rules_decide, groups_are_those_of_the_file_or_well_known_ones, our_client_knows_nobody,
         keys_are_found_after_daemonize, rules_are_found_after_daemonize, accounts_of_pam_decide,
         services_without_accounts_let_nobody_in, slow_accounts_hold_up_nobody, certificates_are_for_one_end,
         our_client_wants_a_server_with_that_name, who_only_warns_is_sent_away, who_only_warns_later_is_sent_away,
         ends_of_the_web_are_answered])
