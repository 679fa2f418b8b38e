# SPDX-License-Identifier: LGPL-2.1-or-later
"""
TLS and rights on the socket chardev: the machine protocol behind it, GnuTLS's and OpenSSL's clients and servers at
the other end, certificates of certtool. Usage: test-tls.py SOURCE-ROOT BUILD-ROOT
"""
import asyncio
import json
import os
import shutil
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

# ---- certificates ----

def clients_with_a_certificate_get_in():
    pki()
    port, words = server(X509 + path("server"))
    with emulator(words):
        with gnutls(port, *client_words()) as c:
            assert c.talks(), c.seen
        with gnutls(port, *ca_words()) as c:  # verify-peer is on
            assert not c.talks(), c.seen
        with Client("openssl", "s_client", "-quiet", "-connect", "127.0.0.1:%d" % port, "-CAfile",
                    path("ca", "ca-cert.pem"), "-cert", path("client", "client-cert.pem"), "-key",
                    path("client", "client-key.pem"), "-verify_return_error") as c:
            assert c.talks(), c.seen
        with socket.create_connection(("127.0.0.1", port), WAIT) as s:  # without TLS
            s.sendall(b'{"execute": "qmp_capabilities"}\n' * 20)
            got = b""
            try:
                while part := s.recv(4096):
                    got += part
            except ConnectionResetError:
                pass
            assert b"QMP" not in got, got


def who_knocks_for_ever_fills_no_log():
    pki()
    port, words = server(X509 + path("server"))
    with emulator(words) as e:
        for _ in range(1500):  # far more warnings than a pipe that nobody reads takes
            with socket.create_connection(("127.0.0.1", port), WAIT) as s:
                s.sendall(b"no TLS at all, but long enough for a record")
                try:
                    while s.recv(4096):  # until it is shown out: more at a time than may wait are let wait a second
                        pass
                except ConnectionResetError:
                    pass
        with gnutls(port, *client_words()) as c:
            assert c.talks(), c.seen
        e.command("qmp_capabilities")
        e.command("quit")
        assert e.process.stderr.read().count("handshake failed") == 1


def without_verification_everybody_gets_in():
    pki()
    port, words = server(X509 + path("server") + ",verify-peer=off")
    with emulator(words), gnutls(port, *ca_words()) as c:
        assert c.talks(), c.seen


def revoked_certificates_do_not_get_in():
    ca = pki()
    ca.sign(path("thief"), "client")
    shutil.copytree(path("server"), path("strict"))
    ca.revoke(path("thief", "client-cert.pem"), path("strict", "ca-crl.pem"))
    port, words = server(X509 + path("strict"))
    with emulator(words):
        with gnutls(port, *client_words("thief")) as c:
            assert not c.talks(), c.seen
        with gnutls(port, *client_words()) as c:
            assert c.talks(), c.seen
    port, words = server(X509 + path("server"))
    with emulator(words), gnutls(port, *client_words("thief")) as c:  # the list is what keeps it out
        assert c.talks(), c.seen


def files_that_are_missing_or_bad_are_named():
    pki()
    assert "is no directory" in refused("-object", X509 + path("nothing-here"))
    os.makedirs(path("empty"), exist_ok=True)
    assert "ca-cert.pem" in refused("-object", X509 + path("empty"))
    assert "is no directory" in refused("-object", X509 + path("done"))
    assert "'dir' is missing" in refused("-object", "tls-creds-x509,id=t,endpoint=server")
    for name in ("ca-cert.pem", "server-cert.pem", "server-key.pem", "dh-params.pem", "ca-crl.pem"):
        folder = path("bad-" + name)
        shutil.copytree(path("server"), folder)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write("no PEM\n")
        assert name in refused("-object", X509 + folder), name
    folder = path("half")
    shutil.copytree(path("server"), folder)
    os.unlink(os.path.join(folder, "server-key.pem"))
    assert "server-key.pem" in refused("-object", X509 + folder)


def certificates_are_looked_at_before_anybody_comes():
    ca = pki()
    base = "cn = x\nsigning_key\n"
    for name, template, words in (
            ("old", base + "tls_www_server\nactivation_date = 2001-01-01\nexpiration_date = 2002-01-01\n",
             "has expired"),
            ("young", base + "tls_www_server\nactivation_date = 2090-01-01\nexpiration_date = 2091-01-01\n",
             "not yet active"),
            ("authority", base + "ca\ncert_signing_key\n", "basic constraints show a CA")):
        ca.sign(path(name), "server", template)
        assert words in refused("-object", X509 + path(name)), name
        port, args = server(X509 + path(name) + ",sanity-check=off")
        with emulator(args):
            pass
    # The authority beside it is another one.
    certificates.Authority(path("other"), "Other authority")
    shutil.copytree(path("server"), path("stranger"))
    shutil.copy(path("other", "ca-cert.pem"), path("stranger", "ca-cert.pem"))
    assert "hasn't got a known issuer" in refused("-object", X509 + path("stranger"))
    # An authority that is none.
    plain = certificates.Authority(path("plain"), "No authority", "signing_key\n")
    plain.sign(path("plain"), "server")
    text = refused("-object", X509 + path("plain"))
    assert "basic constraints" in text and "CA" in text, text
    # Wrong purpose: critical extensions bind; certtool's are not critical, so openssl makes one.
    make_critical(path("purpose"), "critical,clientAuth", "digitalSignature")
    assert "purpose does not allow use with a TLS server" in refused("-object", X509 + path("purpose"))
    make_critical(path("usage"), "serverAuth", "critical,cRLSign")
    assert "usage does not permit" in refused("-object", X509 + path("usage"))


def make_critical(folder, purpose, usage):
    os.makedirs(folder)
    config = os.path.join(folder, "config")
    with open(config, "w", encoding="utf-8") as f:
        f.write("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=x\n[ext]\nbasicConstraints=CA:false\n"
                "extendedKeyUsage=%s\nkeyUsage=%s\n" % (purpose, usage))
    key, request = os.path.join(folder, "server-key.pem"), os.path.join(folder, "request")
    certificates.run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request,
                     "-config", config)
    certificates.run("openssl", "x509", "-req", "-in", request, "-CA", path("ca", "ca-cert.pem"), "-CAkey",
                     path("ca", "ca-key.pem"), "-days", "9", "-extfile", config, "-extensions", "ext", "-set_serial",
                     "5", "-out", os.path.join(folder, "server-cert.pem"))
    shutil.copy(path("ca", "ca-cert.pem"), os.path.join(folder, "ca-cert.pem"))


def encrypted_keys_need_their_password():
    pki()
    shutil.copytree(path("server"), path("locked"))
    certificates.run("openssl", "pkcs8", "-topk8", "-in", path("server", "server-key.pem"), "-out",
                     path("locked", "server-key.pem"), "-passout", "pass:letmein")
    creds = X509 + path("locked")
    assert "passwordid" in refused("-object", creds)
    assert "does not fit" in refused("-object", "secret,id=s,data=wrong", "-object", creds + ",passwordid=s")
    assert "no secret 'nosuch'" in refused("-object", creds + ",passwordid=nosuch")
    port, words = server(creds + ",passwordid=s", "secret,id=s,data=letmein")
    with emulator(words), gnutls(port, *client_words()) as c:
        assert c.talks(), c.seen


def priorities_bind():
    pki()
    assert "NOSUCH" in refused("-object", X509 + path("server") + ",priority=NORMAL:NOSUCH")
    port, words = server(X509 + path("server") + ",priority=NORMAL:-VERS-ALL:+VERS-TLS1.2")
    with emulator(words):
        with gnutls(port, *client_words()) as c:
            assert c.talks() and b"TLS1.2" in c.seen, c.seen
        with gnutls(port, *client_words(), "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3") as c:
            assert not c.talks(), c.seen


def parameters_of_diffie_hellman_are_those_of_the_file():
    pki()
    shutil.copytree(path("server"), path("dh"))
    small_group(path("dh", "dh-params.pem"))
    for folder, bits in (("dh", b"1024 bits"), ("server", b"2048 bits")):
        port, words = server(X509 + path(folder) + ",verify-peer=off,priority=NORMAL:-KX-ALL:+DHE-RSA:+DHE-DSS")
        make = path(folder)
        # A key of RSA, as DHE wants.
        certificates.run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile",
                         os.path.join(make, "server-key.pem"))
        pki.ca.sign(make, "server", key=False)
        with emulator(words), Client("openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2", "-cipher",
                                     "DHE:@SECLEVEL=0") as c:
            assert c.until(b"Server Temp Key: DH, " + bits), (folder, c.seen)


# ---- keys, and nothing ----

def known_users_with_their_key_get_in():
    os.makedirs(path("psk"))
    for user in ("qemu", "other"):
        certificates.run("psktool", "-u", user, "-p", path("psk", "keys.psk"))
    with open(path("psk", "keys.psk"), encoding="utf-8") as f:
        keys = dict(line.strip().split(":") for line in f)
    port, words = server("tls-creds-psk,id=tls0,endpoint=server,dir=" + path("psk"))
    psk = ("--priority", "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK")
    with emulator(words):
        with gnutls(port, *psk, "--pskusername", "other", "--pskkey", keys["other"]) as c:
            assert c.talks(), c.seen
        with gnutls(port, *psk, "--pskusername", "nobody", "--pskkey", keys["other"]) as c:
            assert not c.talks(), c.seen
        with gnutls(port, *psk, "--pskusername", "qemu", "--pskkey", keys["other"]) as c:
            assert not c.talks(), c.seen
    # Our own client, under its default name and under another.
    for user, more in (("qemu", ""), ("other", ",username=other")):
        port = free_port()
        with Client("openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-nocert", "-tls1_2", "-cipher",
                    "PSK:@SECLEVEL=0", "-psk", keys[user], "-psk_identity", user) as c:
            assert c.until(b"ACCEPT"), c.seen
            with emulator(["-object", "tls-creds-psk,id=c,endpoint=client,dir=" + path("psk") + more, "-chardev",
                           "socket,id=m,host=127.0.0.1,port=%d,tls-creds=c" % port, "-mon", "m,mode=control"]):
                assert c.until(b'"QMP"') and b"identity not what" not in c.seen, c.seen
    os.makedirs(path("keyless"))
    assert "keys.psk" in refused("-object", "tls-creds-psk,id=t,endpoint=server,dir=" + path("keyless"))
    assert "'nobody'" in refused("-object", "tls-creds-psk,id=t,endpoint=client,username=nobody,dir=" + path("psk"))


def nobody_is_known_by_anonymous_credentials():
    port, words = server("tls-creds-anon,id=tls0,endpoint=server")
    with emulator(words), gnutls(port, "--priority", "NORMAL:-KX-ALL:+ANON-ECDH:+ANON-DH:-VERS-TLS1.3") as c:
        assert c.talks(), c.seen
    os.makedirs(path("anon"))
    small_group(path("anon", "dh-params.pem"))
    port, words = server("tls-creds-anon,id=tls0,endpoint=server,dir=%s,verify-peer=on" % path("anon"))
    with emulator(words), gnutls(port, "--priority", "NORMAL:-KX-ALL:+ANON-DH:-VERS-TLS1.3:-GROUP-ALL:%PROFILE_VERY_WEAK",
                                 "--verbose") as c:
        assert c.talks(), c.seen
        assert b"1024 bits" in c.seen, c.seen


# ---- our client ----

def our_client_wants_the_right_host():
    pki()
    client = "tls-creds-x509,id=c,endpoint=client,dir=" + path("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("server", "server-cert.pem"), path("server", "server-key.pem"))
    context.load_verify_locations(path("ca", "ca-cert.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    for host, good in (("127.0.0.1", True), ("127.0.0.2", False)):
        with socket.socket() as listener:
            listener.bind(("", 0))
            listener.listen()
            listener.settimeout(WAIT)
            port = listener.getsockname()[1]
            words = ["-object", client, "-chardev", "socket,id=m,host=%s,port=%d,tls-creds=c" % (host, port), "-mon",
                     "m,mode=control"]
            with emulator(words):
                raw, _ = listener.accept()
                raw.settimeout(WAIT)
                try:
                    with context.wrap_socket(raw, server_side=True) as s:
                        name = dict(x[0] for x in s.getpeercert()["subject"])["commonName"]
                        assert name == "laptop.example.com"
                        got = s.recv(4096)
                except OSError as e:
                    assert not good, e
                    got = b""
                assert (b"QMP" in got) == good, (host, got)


def credentials_are_for_one_end():
    pki()
    text = refused("-object", "tls-creds-x509,id=c,endpoint=client,dir=" + path("client"), "-chardev",
                   "socket,id=x,path=%s,server=on,wait=off,tls-creds=c" % path("s"))
    assert "Expected TLS credentials for a server endpoint" in text, text
    text = refused("-object", X509 + path("server"), "-chardev", "socket,id=x,path=%s,tls-creds=tls0" % path("s"))
    assert "Expected TLS credentials for a client endpoint" in text, text
    text = refused("-chardev", "socket,id=x,path=%s,server=on,wait=off,tls-creds=none" % path("s"))
    assert "No TLS credentials with id 'none'" in text, text
    text = refused("-object", "secret,id=k,data=x", "-chardev", "socket,id=x,path=%s,server=on,tls-creds=k" % path("s"))
    assert "is not TLS credentials but secret" in text, text
    text = refused("-chardev", "socket,id=x,path=%s,server=on,tls-authz=a" % path("s"))
    assert "'tls-authz' needs 'tls-creds'" in text, text


# ---- rights ----

def gets_in(port):
    with gnutls(port, *client_words()) as c:
        return c.talks()


def names_are_allowed_one_by_one():
    pki()
    for identity, good in ((DN.replace(",", ",,"), True), ("CN=somebody else", False)):
        port, words = server(X509 + path("server"), "authz-simple,id=auth0,identity=" + identity, keys=",tls-authz=auth0")
        with emulator(words):
            assert gets_in(port) == good, identity
    assert "'identity'" in refused("-object", "authz-simple,id=a")


def files_of_rules_decide():
    pki()
    rules = {"rules": [{"match": "CN=danb*", "policy": "deny", "format": "glob"},
                       {"match": DN, "policy": "allow", "format": "exact"}], "policy": "deny"}
    acl = write("rules.acl", json.dumps(rules))
    for kind in ("authz-listfile", "authz-list-file", "authz-simple"):  # the manual has all three
        port, words = server(X509 + path("server"), "%s,id=auth0,filename=%s,refresh=on" % (kind, acl),
                             keys=",tls-authz=auth0")
        with emulator(words):
            assert gets_in(port), kind
            put(acl, {"rules": [{"match": "CN=lap*", "policy": "deny", "format": "glob"}, *rules["rules"]]})
            wait_until(lambda: not gets_in(port))
            put(acl, {"rules": [{"match": "CN=lap*", "policy": "allow", "format": "glob"}]})
            wait_until(lambda: gets_in(port))
            put(acl, {"rules": [{"match": "CN=lap*", "policy": "allow", "format": "exact"}]})
            wait_until(lambda: not gets_in(port))
            put(acl, rules)
            wait_until(lambda: gets_in(port))
            with open(acl, "w", encoding="utf-8") as f:
                f.write("{ broken")
            assert gets_in(port)  # what it said before goes on
            put(acl, rules)
    port, words = server(X509 + path("server"), "authz-listfile,id=auth0,filename=%s,refresh=off" % acl,
                         keys=",tls-authz=auth0")
    with emulator(words):
        put(acl, {"policy": "deny"})
        assert gets_in(port)


def put(name, rules):
    """As an editor does: another file takes its place."""
    write("new", json.dumps(rules))
    os.replace(path("new"), name)


def wait_until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def files_that_are_no_rules_are_refused():
    for text, words in (
            ('{"rules": [{"match": "fred", "policy": "allow"},], "policy": "deny"}', "no comma before a closing bracket"),
            ('[]', "an object"), ('{"rule": []}', "no 'rule'"), ('{"policy": "maybe"}', '"allow" or "deny"'),
            ('{"rules": {}}', "a list"), ('{"rules": [1]}', "list of objects"),
            ('{"rules": [{"match": "x"}]}', "needs 'match' and 'policy'"),
            ('{"rules": [{"match": "x", "policy": "allow", "format": "regexp"}]}', '"exact" or "glob"'),
            ('{"rules": [{"match": "x", "policy": "allow", "kind": 1}]}', "no 'kind'")):
        text = refused("-object", "authz-listfile,id=a,filename=" + write("bad.acl", text))
        assert words in text, (words, text)
    assert "Unable to read" in refused("-object", "authz-listfile,id=a,filename=/no/such,refresh=off")
    assert "Unable to read" in refused("-object", "authz-listfile,id=a,filename=/no/such")


def lists_decide_and_come_late():
    """The object is looked up when somebody comes: absent, nobody gets in."""
    pki()
    port, words = server(X509 + path("server"), keys=",tls-authz=auth0")
    with emulator(words) as e:
        e.command("qmp_capabilities")
        assert not gets_in(port)
        e.command("object-add", **{"qom-type": "authz-list", "id": "auth0", "policy": "deny", "rules": [
            {"match": "CN=lap*", "policy": "allow", "format": "glob"}]})
        assert gets_in(port)
        e.command("object-del", id="auth0")
        assert not gets_in(port)
        e.command("object-add", **{"qom-type": "authz-list", "id": "auth0", "policy": "allow", "rules": [
            {"match": "CN=lap*", "policy": "deny"}]})
        assert gets_in(port)  # not exactly that name
        e.command("object-del", id="auth0")
        e.command("object-add", **{"qom-type": "authz-simple", "id": "auth0", "identity": "nobody"})
        assert not gets_in(port)


# ---- WebSocket ----

def web_client(url, context=None):
    try:
        import websockets
    except ImportError:
        raise tap.Skip("python3-websockets is missing")

    async def talk():
        async with websockets.connect(url, ssl=context, subprotocols=["binary"], open_timeout=WAIT) as ws:
            seen = b""
            while b"QMP" not in seen:
                seen += await asyncio.wait_for(ws.recv(), WAIT)
            # In pieces, as text, and with a ping between them; an answer that has many frames.
            request = '{"execute": "qmp_capabilities"}{"execute": "query-qmp-schema", "id": "last"}'
            await ws.send(request[:7].encode())
            await asyncio.wait_for(await ws.ping(), WAIT)
            await ws.send([part.encode() for part in request[7:]])  # one message of many frames
            while b'"id": "last"' not in seen:
                seen += await asyncio.wait_for(ws.recv(), WAIT)
            return seen
    return asyncio.run(talk())


def clients_of_the_web_talk():
    port = free_port()
    for words in (["-chardev", "socket,id=m,host=127.0.0.1,port=%d,server=on,wait=off,websocket=on" % port, "-mon",
                   "m,mode=control"],
                  ["-qmp", "websocket:127.0.0.1:%d,server=on,wait=off" % port]):
        with emulator(words):
            for _ in range(2):  # and again
                got = web_client("ws://127.0.0.1:%d" % port)
                lines = got.strip().split(b"\r\n")
                assert len(json.loads(lines[-1])["return"]) > 100
            with socket.create_connection(("127.0.0.1", port), WAIT) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert s.recv(4096).startswith(b"HTTP/1.1 400 "), "no WebSocket"
            web_client("ws://127.0.0.1:%d" % port)
    assert "needs server=on" in refused("-chardev", "socket,id=x,host=127.0.0.1,port=1,websocket=on")
    assert "exclude each other" in refused("-chardev", "socket,id=x,path=%s,server=on,websocket=on,telnet=on" % path("s"))


def clients_of_the_web_talk_with_tls():
    pki()
    port, words = server(X509 + path("server") + ",verify-peer=off", keys=",websocket=on")
    context = ssl.create_default_context(cafile=path("ca", "ca-cert.pem"))
    with emulator(words):
        web_client("wss://127.0.0.1:%d" % port, context)


def telnet_goes_through_tls():
    pki()
    port, words = server(X509 + path("server"), keys=",telnet=on")
    with emulator(words), gnutls(port, *client_words()) as c:
        assert c.talks() and b"\xff\xfb\x01" in c.seen, c.seen


# ---- suites ----

def suites_are_those_of_the_priority():
    assert "NOSUCH" in refused("-object", "tls-cipher-suites,id=s,priority=NOSUCH")
    if not os.path.exists("/etc/gnutls/config"):
        assert "@SYSTEM" in refused("-object", "tls-cipher-suites,id=s,priority=@SYSTEM")


tap.run([clients_with_a_certificate_get_in, who_knocks_for_ever_fills_no_log,
         without_verification_everybody_gets_in, revoked_certificates_do_not_get_in,
         files_that_are_missing_or_bad_are_named, certificates_are_looked_at_before_anybody_comes,
         encrypted_keys_need_their_password, priorities_bind, parameters_of_diffie_hellman_are_those_of_the_file,
         known_users_with_their_key_get_in, nobody_is_known_by_anonymous_credentials, our_client_wants_the_right_host,
         credentials_are_for_one_end, names_are_allowed_one_by_one, files_of_rules_decide,
         files_that_are_no_rules_are_refused, lists_decide_and_come_late,
         clients_of_the_web_talk, clients_of_the_web_talk_with_tls, telnet_goes_through_tls, suites_are_those_of_the_priority])
