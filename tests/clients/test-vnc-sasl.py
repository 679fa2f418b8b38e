# SPDX-License-Identifier: LGPL-2.1-or-later
"""
VNC by SASL: in the clear with what a mechanism seals, inside TLS, names that may, and lengths that lie. Usage:
test-vnc-sasl.py SOURCE-ROOT BUILD-ROOT
"""
import os
import pty
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests", "house"))
import certificates  # noqa: E402
import rfb  # noqa: E402
import sasl  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("backplane-vnc-sasl-")
BASE = ("-M", "pc", "-accel", "qtest", "-nodefaults", "-vga", "std")
CONF = "mech_list: %s\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\n"


def path(*parts):
    return os.path.join(DIR, *parts)


def configured(mechanisms):
    """The environment of an emulator whose qemu.conf has these."""
    tool = shutil.which("saslpasswd2") or shutil.which("saslpasswd2", path="/usr/sbin")
    if not tool:
        raise tap.Skip("saslpasswd2 is missing (sasl2-bin)")
    if not os.path.exists(path("users")):
        for user, password in (("fred", "letmein"), ("joe", "tomato")):
            subprocess.run([tool, "-c", "-p", "-f", path("users"), user], input=password, text=True, check=True,
                           timeout=WAIT)
    where = path(mechanisms.replace(" ", "-"))
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, "qemu.conf"), "w", encoding="ascii") as f:
        f.write(CONF % (mechanisms, path("users")))
    return {"SASL_CONF_PATH": where}


def emulator(vnc, mechanisms, *objects):
    words = [w for o in objects for w in ("-object", o)]
    return Emulator(PROGRAM, *words, "-vnc", "unix:%s,sasl=on%s" % (path("s"), vnc), quiet=BASE,
                    env=configured(mechanisms))


def tls_context():
    if not os.path.exists(path("ca")):
        tls_context.ca = certificates.Authority(path("ca"))
        tls_context.ca.sign(path("server"), "server")
    c = ssl.create_default_context(cafile=path("ca", "ca-cert.pem"))
    c.check_hostname = False  # a path has none
    return c


def certificates_of(name):
    if not os.path.exists(path(name)):
        tls_context.ca.sign(path(name), "client", "cn = viewer.example.com\norganization = Example\nsigning_key\n"
                            "tls_www_client\n")


def plain_socket(where="s"):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(WAIT)
    s.connect(path(where))
    return s


def connect(user="fred", password="letmein", mechanism=None, tls=None, sock=None, **options):
    s = sock or plain_socket()
    try:
        return rfb.Client(s, tls=tls, sasl=sasl.Client(user, password, mechanism, tls is not None), **options)
    except Exception:
        s.close()
        raise


def turned_away(**options):
    try:
        connect(**options).close()
    except (rfb.Refused, rfb.Closed, sasl.Refused, OSError) as why:
        return why
    return None


def takes_a_picture(c):
    c.set_encodings(rfb.RAW)
    c.request()
    assert c.update() >= 1
    assert len(c.pixels) == c.width * c.height * 3 and c.width


def what_follows_is_sealed_without_tls():
    with emulator("", "DIGEST-MD5 SCRAM-SHA-1 PLAIN") as e:
        c = connect()
        assert c.mechanisms == b"DIGEST-MD5", c.mechanisms  # the others seal nothing
        assert c.sasl.sealed and c.sasl.strength() >= 56
        takes_a_picture(c)
        info = e.command("query-vnc")["return"]
        assert info["auth"] == "sasl" and info["clients"][0]["sasl_username"].startswith("fred"), info
        c.close()
        for version in (b"003.007", b"003.008"):
            takes_a_picture(connect(version=version))


def wrong_words_are_turned_away():
    with emulator("", "DIGEST-MD5") as e:
        for user, password in (("fred", "tomato"), ("nobody", "letmein"), ("fred", "")):
            assert turned_away(user=user, password=password), (user, password)
        assert "3.7" in str(turned_away(version=b"003.003"))
        assert e.command("query-vnc")["return"]["clients"] == []
        takes_a_picture(connect())


def inside_tls_every_mechanism_will_do():
    context = tls_context()
    with emulator(",tls-creds=tls0", "SCRAM-SHA-1 PLAIN",
                  "tls-creds-x509,id=tls0,endpoint=server,verify-peer=off,dir=" + path("server")) as e:
        for mechanism in (b"SCRAM-SHA-1", b"PLAIN"):
            c = connect(tls=context, mechanism=mechanism)
            assert c.vencrypt == 264 and not c.sasl.sealed
            takes_a_picture(c)
            c.close()
            assert turned_away(tls=context, mechanism=mechanism, password="tomato")
        server = e.command("query-vnc-servers")["return"][0]
        assert server["auth"] == "vencrypt" and server["vencrypt"] == "x509-sasl", server
        assert turned_away(mechanism=b"SCRAM-SHA-1")  # in the clear


def nobody_comes_in_without_a_name():
    """ANONYMOUS is never offered, as without a mech_list it would be wherever its plug-in is installed."""
    context = tls_context()
    with emulator(",tls-creds=tls0", "ANONYMOUS PLAIN",
                  "tls-creds-x509,id=tls0,endpoint=server,verify-peer=off,dir=" + path("server")):
        assert turned_away(tls=context, mechanism=b"ANONYMOUS")
        takes_a_picture(connect(tls=context, mechanism=b"PLAIN"))


def browsers_prove_it_too():
    with emulator(",websocket=unix:%s" % path("w"), "DIGEST-MD5"):
        c = connect(sock=rfb.WebSocket(plain_socket("w")))
        assert c.sasl.sealed
        takes_a_picture(c)
        assert turned_away(sock=rfb.WebSocket(plain_socket("w")), password="tomato")


def names_that_may_come_in():
    with emulator(",sasl-authz=auth0", "DIGEST-MD5") as e:
        assert "may not" in str(turned_away())  # there is no such object
        user = None
        for rule, good in (("fred*", True), ("joe*", False), ("*", True)):
            reply = e.command("object-add", **{"qom-type": "authz-list", "id": "auth0", "rules": [
                {"match": rule, "policy": "allow", "format": "glob"}]})
            assert reply == {"return": {}}, reply
            why = turned_away()
            assert (why is None) == good, (rule, why)
            assert good or "may not" in str(why)
            if good:
                c = connect()
                user = e.command("query-vnc")["return"]["clients"][0]["sasl_username"]
                c.close()
            e.command("object-del", id="auth0")
        e.command("object-add", **{"qom-type": "authz-simple", "id": "auth0", "identity": user})
        assert turned_away() is None and turned_away(user="joe", password="tomato")


def wait_for_no_echo(fd):
    """Programs drop what was typed ahead when they turn the echo off, which they do after the prompt."""
    until = time.monotonic() + WAIT
    while termios.tcgetattr(fd)[3] & termios.ECHO and time.monotonic() < until:
        time.sleep(0.01)


def typed_to_gvnccapture(display, user, password):
    """How it ended; it asks for both on its terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("timeout", ["timeout", str(int(WAIT)), "gvnccapture", display, path("shot.png")])
    said, answers = b"", [(b"sername", user), (b"assword", password)]
    while True:
        try:
            part = os.read(fd, 1000)
        except OSError:
            part = b""
        if not part:
            break
        said += part
        if answers and answers[0][0] in said:
            prompt, answer = answers.pop(0)
            if prompt == b"assword":
                wait_for_no_echo(fd)
            os.write(fd, answer.encode() + b"\n")
    os.close(fd)
    return os.waitpid(pid, 0)[1], said


def gvnccapture_takes_the_picture():
    if not shutil.which("gvnccapture"):
        raise tap.Skip("gvnccapture is missing (gvncviewer)")
    with Emulator(PROGRAM, "-vnc", "127.0.0.1:60,to=999,sasl=on", quiet=BASE, env=configured("DIGEST-MD5")) as e:
        display = "127.0.0.1:%d" % (int(e.command("query-vnc")["return"]["service"]) - 5900)
        status, said = typed_to_gvnccapture(display, "fred", "tomato")
        assert status != 0 and not os.path.exists(path("shot.png")), said
        status, said = typed_to_gvnccapture(display, "fred", "letmein")
        assert status == 0 and open(path("shot.png"), "rb").read(4) == b"\x89PNG", said


def greeted():
    s = plain_socket()
    c = rfb.Client(s, begin=False)
    c.read(12)
    s.sendall(b"RFB 003.008\n")
    assert c.read(c.read(1)[0]) == b"\x14"
    s.sendall(b"\x14")
    c.read(c.unpack(">I")[0])
    return c


def lengths_that_lie_end_the_connection():
    name = struct.pack(">I10s", 10, b"DIGEST-MD5")
    with emulator("", "DIGEST-MD5") as e:
        for words in (struct.pack(">I", 0), struct.pack(">I", 21) + b"A" * 21, struct.pack(">I", 0xFFFFFFFF),
                      struct.pack(">I4s", 4, b"A\0BC"), name + struct.pack(">I", (1 << 20) + 1),
                      name + struct.pack(">I", 0xFFFFFFFF), struct.pack(">I5sI", 5, b"PLAIN", 0),
                      struct.pack(">I3sI", 3, b"MD5", 0), name + struct.pack(">I", 1 << 20) + b"A" * (1 << 20)):
            c = greeted()
            try:
                c.sock.sendall(words)
                c.read(1)
                raise AssertionError("still there after %r" % words[:40])
            except (rfb.Closed, BrokenPipeError, ConnectionResetError):
                c.close()
        # What was to be sealed, and is not.
        c = connect()
        c.sock.sock.sendall(b"\0\0\0\4abcd" * 20)
        try:
            c.sock = c.sock.sock
            c.read(1)
            raise AssertionError("still there after what is not sealed")
        except (rfb.Closed, ConnectionResetError):
            c.close()
        assert e.command("query-vnc")["return"]["clients"] == []
        takes_a_picture(connect())


def keys_that_do_not_fit_are_refused():
    for vnc, mechanisms, words in (
            (",sasl-authz=a", "DIGEST-MD5", "needs 'sasl=on'"), (",sasl=on,password=on", "DIGEST-MD5", "exclude"),
            (",sasl=on", "PLAIN", "that encrypts")):
        run = subprocess.run([PROGRAM, *BASE, "-vnc", "unix:%s%s" % (path("s"), vnc)], capture_output=True, text=True,
                             timeout=WAIT, stdin=subprocess.DEVNULL, check=False,
                             env={**os.environ, **configured(mechanisms)})
        assert run.returncode == 1 and words in run.stderr, run


REALM = """[libdefaults]
 default_realm = EXAMPLE.COM
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 EXAMPLE.COM = {
  kdc = 127.0.0.1:%(port)d
 }
[domain_realm]
 %(host)s = EXAMPLE.COM
"""
KDC = """[kdcdefaults]
 kdc_listen = 127.0.0.1:%(port)d
 kdc_tcp_listen = 127.0.0.1:%(port)d
[realms]
 EXAMPLE.COM = {
  database_name = %(dir)s/principal
  key_stash_file = %(dir)s/stash
  acl_file = %(dir)s/kadm5.acl
 }
"""


def full_name():
    """Of this host, as the library finds it."""
    name = socket.gethostname()
    if "." not in name:
        try:
            name = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3] or name
        except OSError:
            pass  # nobody knows this host by its name: it has no longer one
    return name.lower()


def a_kerberos_ticket_is_the_proof():
    """A realm of our own, with fred in it and the service vnc of this host."""
    places = os.environ.get("PATH", "") + ":/usr/sbin"
    tools = {name: shutil.which(name, path=places) for name in ("kdb5_util", "kadmin.local", "krb5kdc", "kinit")}
    if None in tools.values() or not any(os.path.exists(os.path.join(d, "libgssapiv2.so")) for d in (
            "/usr/lib/%s-linux-gnu/sasl2" % os.uname().machine, "/usr/lib/sasl2", "/usr/lib64/sasl2")):
        raise tap.Skip("needs krb5-kdc, krb5-admin-server, krb5-user and libsasl2-modules-gssapi-mit")
    os.makedirs(path("kdc"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        facts = {"port": probe.getsockname()[1], "host": full_name(), "dir": path("kdc")}
    for name, text in (("krb5.conf", REALM), ("kdc.conf", KDC),
                       ("qemu.conf", "mech_list: GSSAPI\nkeytab: %(dir)s/keytab\n")):
        with open(path("kdc", name), "w", encoding="ascii") as f:
            f.write(text % facts)
    ours = {"KRB5_CONFIG": path("kdc", "krb5.conf"), "KRB5_KDC_PROFILE": path("kdc", "kdc.conf"),
            "KRB5CCNAME": "FILE:" + path("kdc", "tickets")}
    env = {**os.environ, **ours}

    def run(name, *words, check=True, **options):
        return subprocess.run([tools[name], *words], env=env, capture_output=True, text=True, timeout=WAIT, check=check,
                              **options)
    run("kdb5_util", "-r", "EXAMPLE.COM", "create", "-s", "-P", "x", "-W")
    for query in ("addprinc -pw letmein fred", "addprinc -randkey vnc/%(host)s" % facts,
                  "ktadd -k %(dir)s/keytab vnc/%(host)s" % facts):
        run("kadmin.local", "-q", query)
    with subprocess.Popen([tools["krb5kdc"], "-n"], env=env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as kdc:
        try:
            end = time.monotonic() + WAIT
            while run("kinit", "fred", check=False, input="letmein\n").returncode:
                assert time.monotonic() < end and kdc.poll() is None, "no ticket"
                time.sleep(0.2)
            os.environ.update(ours)  # the library reads them here, too
            with Emulator(PROGRAM, "-vnc", "unix:%s,sasl=on" % path("s"), quiet=BASE,
                          env={"SASL_CONF_PATH": path("kdc")}) as e:
                proof = sasl.Client("fred", "", server=facts["host"])
                c = rfb.Client(plain_socket(), sasl=proof)
                assert c.mechanisms == b"GSSAPI" and proof.sealed and proof.strength() >= 56
                takes_a_picture(c)
                assert e.command("query-vnc")["return"]["clients"][0]["sasl_username"] == "fred"
                c.close()
                os.unlink(path("kdc", "tickets"))
                try:
                    rfb.Client(plain_socket(), sasl=sasl.Client("fred", "", server=facts["host"])).close()
                    raise AssertionError("in without a ticket")
                except sasl.Refused:
                    pass
        finally:
            kdc.kill()


def lists_of_the_monitor_decide():
    context = tls_context()
    pki_client = path("viewer")
    certificates_of("viewer")
    context.load_cert_chain(os.path.join(pki_client, "client-cert.pem"), os.path.join(pki_client, "client-key.pem"))
    with emulator(",acl=on,tls-creds=tls0", "SCRAM-SHA-1",
                  "tls-creds-x509,id=tls0,endpoint=server,dir=" + path("server")) as e:
        def hmp(line):
            return e.command("human-monitor-command", **{"command-line": line})["return"].replace("\r", "")

        def user_and_certificate():
            return turned_away(tls=context) is None
        assert hmp("acl_show vnc.username") == "policy: deny\n" == hmp("acl_show vnc.x509dname")
        assert not user_and_certificate()
        assert "added rule at position 1" in hmp("acl_add vnc.x509dname CN=viewer.example.com,O=Example allow")
        assert "may not" in str(turned_away(tls=context))  # the certificate may, the user not yet
        assert "added rule at position 1" in hmp("acl_add vnc.username fr* allow")
        assert user_and_certificate()
        assert "added rule at position 1" in hmp("acl_add vnc.username fred* deny 1")
        assert hmp("acl_show vnc.username") == "policy: deny\n1: deny fred*\n2: allow fr*\n"
        assert not user_and_certificate()
        assert "removed rule at position 1" in hmp("acl_remove vnc.username fred*") and user_and_certificate()
        assert "removed all rules" in hmp("acl_reset vnc.username") and not user_and_certificate()
        assert "set to 'allow'" in hmp("acl_policy vnc.username allow") and user_and_certificate()
        assert "removed all" in hmp("acl_reset vnc.x509dname") and not user_and_certificate()
        for line, words in (("acl_show none", "no access control list"), ("acl_policy vnc.username maybe", "not allow"),
                            ("acl_add vnc.username x deny 9", "1 to 1"), ("acl_add vnc.username x maybe", "not allow"),
                            ("acl_remove vnc.username x", "no rule")):
            assert words in hmp(line), (line, hmp(line))
        e.process.kill()
        assert "acl=on is deprecated" in e.process.communicate()[1]


tap.run([what_follows_is_sealed_without_tls, wrong_words_are_turned_away, inside_tls_every_mechanism_will_do,
         nobody_comes_in_without_a_name, browsers_prove_it_too, names_that_may_come_in, gvnccapture_takes_the_picture,
         lengths_that_lie_end_the_connection,
         lists_of_the_monitor_decide,
         a_kerberos_ticket_is_the_proof, keys_that_do_not_fit_are_refused])
