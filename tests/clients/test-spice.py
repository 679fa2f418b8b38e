# SPDX-License-Identifier: LGPL-2.1-or-later
"""-spice: spicy-screenshot takes the picture that screendump has; remote-viewer shows it in its window and sends keys;
passwords, TLS, sockets and channels are as told. Usage: test-spice.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import sasl  # noqa: E402
from desktop import MEMORY, REGISTERS, Desktop, Screen, draws_by_opengl, need, netpbm, wait  # noqa: E402
from qtest import Failed, QTest  # noqa: E402
from qxlcard import Qxl  # noqa: E402
from spicelink import DRAW_COPY, PERMISSION_DENIED, STREAM_CREATE, Channel, Refused, image_type  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("spice-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
ENV = {**os.environ, "HOME": FOLDER, "XDG_RUNTIME_DIR": FOLDER, "DISPLAY": "", "GIO_USE_VFS": "local"}
MAIN, DISPLAY, INPUTS, CURSOR = 1, 2, 3, 4
GIVES_UP = 25  # seconds; the library waits 30 for a client that takes nothing


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def screenshot(*options, seconds=SECONDS):
    """What a SPICE client sees: (width, height, rgb); None: it was not let in."""
    need("spicy-screenshot")
    path = os.path.join(FOLDER, "shot.ppm")
    if os.path.exists(path):
        os.unlink(path)
    try:
        subprocess.run(["spicy-screenshot", "--out-file=" + path, *options], env=ENV, capture_output=True,
                       timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return netpbm(f.read())


def sees(q, *options):
    want = q.dump(FOLDER)
    wait(lambda: screenshot(*options) == want, "%s: another picture, or none" % (options,))


def lets_in(port, password):
    need("openssl")
    try:
        Channel(port, MAIN, password=password, seconds=SECONDS).socket.close()
    except Refused as why:
        assert why.args[0] == PERMISSION_DENIED, why
        return False
    return True


def told(q, name, arguments):
    """Why a command fails."""
    try:
        q.qmp(name, arguments)
    except Failed as why:
        return str(why)
    raise AssertionError("%s %s is taken" % (name, arguments))


def noise(q):
    """A picture that nothing makes small."""
    q.write(MEMORY, os.urandom(4 * q.width * q.height))


def memory_of(q):
    """What the process has in RAM, in bytes."""
    with open("/proc/%d/statm" % q.process.pid, encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def as_a_camera(q, seed):
    return b"".join(bytes((seed * 9 + (x + y) * 150 // (q.width + q.height), x * 200 // q.width, y * 200 // q.height, 0))
                    for y in range(q.height) for x in range(q.width))


def gradient(q):
    """A picture as a camera makes them."""
    gradient.seed += 1
    q.write(MEMORY, as_a_camera(q, gradient.seed % 11))


gradient.seed = 0


class Stalled:
    """A viewer that has a picture and a pointer, and takes nothing any more."""

    def __init__(self, q, port):
        need("openssl")
        self.channels = [Channel(port, MAIN, seconds=SECONDS)]
        self.channels += [Channel(port, kind, self.channels[0].session, room=4096, seconds=SECONDS)
                          for kind in (DISPLAY, CURSOR)]
        same, last = 0, 0
        while same < 10:  # pictures change, and no more of them is on its way
            noise(q)
            now = self.channels[1].server_side()[1]
            same, last = same + 1 if now == last > 100000 else 0, now

    def is_there(self):
        return all(c.server_side()[0] == 1 for c in self.channels[1:])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for c in self.channels:
            c.socket.close()


def refused(*args):
    done = subprocess.run([PROGRAM, "-accel", "qtest", "-display", "none", *args], capture_output=True, text=True,
                          timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def client_sees_what_screendump_says():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port) as q:
        uri = "--uri=spice://127.0.0.1:%d" % port
        sees(q, uri)
        q.draw(12)
        sees(q, uri)
        q.resize(520, 333)
        q.draw(13)
        sees(q, uri)
        assert q.qmp("query-spice")["port"] == port and q.qmp("query-spice")["auth"] == "none"
        assert "%d" % port in q.qmp("human-monitor-command", {"command-line": "info spice"})


def every_compression_shows_the_same():
    for keys in ("image-compression=auto_lz", "image-compression=quic", "image-compression=glz", "image-compression=lz",
                 "image-compression=off", "image-compression=auto_glz,jpeg-wan-compression=never",
                 "jpeg-wan-compression=auto,zlib-glz-wan-compression=always", "zlib-glz-wan-compression=never"):
        port = free_port()
        with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on,%s" % (port, keys)) as q:
            sees(q, "--uri=spice://127.0.0.1:%d" % port)


def kinds_of_image(keys, draw):
    """How what draw(q) makes comes to a client: names of the protocol's kinds of image."""
    port = free_port()
    need("openssl")
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on,%s" % (port, keys)) as q:
        with Channel(port, MAIN, seconds=SECONDS) as first, Channel(port, DISPLAY, first.session, seconds=SECONDS) as c:
            c.wait(DRAW_COPY)
            draw(q)
            return {image_type(c.wait(DRAW_COPY)) for _ in range(2) if not draw(q)}


def pictures_are_compressed_as_told():
    def drawn(q):
        drawn.seed += 1
        q.draw(drawn.seed)
    drawn.seed = 20
    for keys, draw, want in (("image-compression=quic", drawn, {"quic"}), ("image-compression=glz", drawn, {"glz"}),
                             ("image-compression=lz", drawn, {"lz"}), ("image-compression=off", drawn, {"bitmap"}),
                             ("image-compression=auto_glz", drawn, {"glz"}), ("image-compression=auto_lz", drawn, {"lz"}),
                             ("agent-mouse=on", drawn, {"glz"}),
                             ("jpeg-wan-compression=always", gradient, {"jpeg"}),
                             ("jpeg-wan-compression=never", gradient, {"quic"}),
                             ("zlib-glz-wan-compression=always", drawn, {"zlib-glz"})):
        found = kinds_of_image(keys, draw)
        for _ in range(4):  # photographs that are looked at while they are drawn come in parts, some of which are none
            if draw != gradient or found - want != {"glz"}:
                break
            print("#", keys, "came as", sorted(found))
            found = kinds_of_image(keys, draw)
        assert found == want, (keys, found)


def as_a_program(q, seed):
    """Edges everywhere, as text and charts have them."""
    rand = random.Random(seed)
    return b"".join(rand.choice((b"\0\0\0\0", b"\xff\xff\xff\0")) for _ in range(q.width * q.height))


def videos_are_found_when_asked_for():
    """All that moves; with filter what moves and does not look like a program's drawing."""
    need("openssl")
    for keys, picture, most, found in (
            ("streaming-video=all", as_a_camera, 600, True), ("streaming-video=all", as_a_program, 600, True),
            ("streaming-video=filter", as_a_camera, 600, True), ("streaming-video=filter", as_a_program, 100, False),
            ("streaming-video=off", as_a_camera, 60, False), ("agent-mouse=on", as_a_camera, 60, False)):
        port = free_port()
        with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on,%s" % (port, keys)) as q:
            with Channel(port, MAIN, seconds=SECONDS) as first, Channel(port, DISPLAY, first.session, seconds=SECONDS) as c:
                c.wait(DRAW_COPY)
                frames, n, streams = [picture(q, seed) for seed in range(8)], 0, 0
                while n < most and not streams:
                    q.write(MEMORY, frames[n % 8])
                    streams += c.message()[0] == STREAM_CREATE
                    n += 1
                assert bool(streams) == found, (keys, picture.__name__, n)


def addresses_are_as_told():
    def reached(host, family=socket.AF_INET):
        with socket.socket(family) as s:
            s.settimeout(SECONDS)
            return s.connect_ex((host, port)) == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        outside = s.connect_ex(("192.0.2.1", 9)) == 0 and s.getsockname()[0]  # this host's, where there is a network
    for keys, hosts in (("", "127.0.0.1 127.0.0.2"), (",addr=127.0.0.1", "127.0.0.1"),
                        (",addr=localhost,ipv4=on", "127.0.0.1"), (",ipv6=off", "127.0.0.1 127.0.0.2"),
                        (",ipv4=off", "::1"), (",ipv4=on,ipv6=off", "127.0.0.1 127.0.0.2"), (",addr=::1", "::1")):
        port = free_port()
        with Screen(MODULE, "-spice", "port=%d,disable-ticketing=on%s" % (port, keys)):
            for host in ("127.0.0.1", "127.0.0.2", "::1"):
                if keys or ":" not in host:
                    assert reached(host, socket.AF_INET6 if ":" in host else socket.AF_INET) == (host in hosts.split()), (
                        keys, host)
            if outside:
                assert reached(outside) == ("127.0.0.2" in hosts), (keys, outside)
    path = os.path.join(FOLDER, "socket")
    q = Screen(MODULE, "-spice", "unix=on,addr=%s,disable-ticketing=on" % path)
    try:
        sees(q, "--uri=spice+unix://" + path)
        q.qmp("quit")
        wait(lambda: not os.path.exists(path), "the socket stays")
    finally:
        q.close()
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,ipv4=on,disable-ticketing=on" % port) as q:
        sees(q, "--uri=spice://127.0.0.1:%d" % port)
        with socket.socket(socket.AF_INET6) as s:
            assert s.connect_ex(("::1", port)) != 0, "it listens on IPv6"
    with Screen(MODULE, "-spice", "port=%d,ipv6=on,addr=::1,disable-ticketing=on" % port) as q:
        sees(q, "--host=::1", "--port=%d" % port)
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, "it listens on IPv4"


def password_is_asked_for():
    port = free_port()
    uri = "--uri=spice://127.0.0.1:%d" % port
    with Screen(MODULE, "-object", "secret,id=s,data=tiger", "-spice",
                "port=%d,addr=127.0.0.1,password-secret=s" % port) as q:
        assert not lets_in(port, "lion") and not lets_in(port, "") and lets_in(port, "tiger")
        sees(q, uri, "--password=tiger")
        assert q.qmp("query-spice")["auth"] == "spice"
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1" % port) as q:
        assert not lets_in(port, "x") and not lets_in(port, ""), "there is no password, and it let somebody in"


def certificates():
    """A folder as x509-dir has it, made by openssl; the key of key.pem is encrypted."""
    need("openssl")
    folder = os.path.join(FOLDER, "pki")
    if os.path.exists(folder):
        return folder
    os.mkdir(folder)

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, capture_output=True, check=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-days", "2",
            "-subj", "/CN=authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server-key.pem", "-out", "server.csr", "-subj",
            "/CN=127.0.0.1")
    with open(os.path.join(folder, "names"), "w", encoding="ascii") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-extfile", "names", "-in", "server.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days",
            "2", "-out", "server-cert.pem")
    openssl("rsa", "-in", "server-key.pem", "-aes128", "-passout", "pass:zebra", "-out", "secret-key.pem")
    openssl("dhparam", "-dsaparam", "-out", "dh.pem", "2048")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other-key.pem", "-out", "other-ca.pem", "-days",
            "2", "-subj", "/CN=another")
    return folder


def channels(q, condition):
    """Whether each channel of a client is encrypted, by type, when `condition` holds for it."""
    def look():
        found = {c["channel-type"]: c["tls"] for c in q.qmp("query-spice")["channels"]}
        return found if condition(found) else None
    return wait(look, lambda: "channels: %s" % q.qmp("query-spice")["channels"])


def viewer_channels(q, *options):
    """The channels of remote-viewer, when its window shows what screendump says."""
    need("remote-viewer")
    with Desktop(FOLDER) as d:
        d.start("remote-viewer", *options)
        wait(lambda: d.shows(q.dump(FOLDER)), "the picture does not come")
        return channels(q, lambda found: {MAIN, DISPLAY, INPUTS, CURSOR} <= set(found))


def handshake(port, *args):
    """What openssl says of the server at a port."""
    return subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2", *args], input="",
                          capture_output=True, text=True, timeout=SECONDS, check=False).stdout


def tls_wants_the_right_authority():
    folder, port = certificates(), free_port()
    with Screen(MODULE, "-spice", "tls-port=%d,addr=127.0.0.1,disable-ticketing=on,x509-dir=%s" % (port, folder)) as q:
        uri, subject = "spice://127.0.0.1?tls-port=%d" % port, "--spice-host-subject=CN=127.0.0.1"
        assert set(viewer_channels(q, uri, "--spice-ca-file=%s/ca-cert.pem" % folder, subject).values()) == {True}
        assert q.qmp("query-spice")["tls-port"] == port
        assert "Verify return code: 0 (ok)" in handshake(port, "-CAfile", folder + "/ca-cert.pem")
        assert "Verify return code: 0 (ok)" not in handshake(port, "-CAfile", folder + "/other-ca.pem")


def keys_and_ciphers_are_as_told():
    folder, port = certificates(), free_port()
    files = "x509-cacert-file=%s/ca-cert.pem,x509-cert-file=%s/server-cert.pem,x509-key-file=%s/secret-key.pem" % (
        folder, folder, folder)
    with Screen(MODULE, "-spice", "tls-port=%d,addr=127.0.0.1,disable-ticketing=on,%s,x509-key-password=zebra,"
                "x509-dh-key-file=%s/dh.pem" % (port, files, folder)):
        assert "Verify return code: 0 (ok)" in handshake(port, "-CAfile", folder + "/ca-cert.pem")
        assert "Cipher is DHE-RSA-AES256-GCM-SHA384" in handshake(port, "-cipher", "DHE-RSA-AES256-GCM-SHA384")
    said = refused("-M", "pc", "-spice", "tls-port=%d,addr=127.0.0.1,disable-ticketing=on,%s,x509-key-password=no" % (
        port, files))
    assert "key" in said, said
    with Screen(MODULE, "-spice", "tls-port=%d,addr=127.0.0.1,disable-ticketing=on,x509-dir=%s,"
                "tls-ciphers=ECDHE-RSA-AES256-GCM-SHA384" % (port, folder)) as q:
        assert "Cipher is ECDHE-RSA-AES256-GCM-SHA384" in handshake(port)
        assert "Cipher is (NONE)" in handshake(port, "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
        assert not q.ended()


def channels_are_forced_into_a_mode():
    folder, port, tls_port = certificates(), free_port(), free_port()
    both = "port=%d,tls-port=%d,addr=127.0.0.1,disable-ticketing=on,x509-dir=%s" % (port, tls_port, folder)
    options = ("spice://127.0.0.1?port=%d&tls-port=%d" % (port, tls_port),
               "--spice-ca-file=%s/ca-cert.pem" % folder, "--spice-host-subject=CN=127.0.0.1")
    with Screen(MODULE, "-spice", both + ",tls-channel=inputs,tls-channel=main") as q:
        found = viewer_channels(q, *options)
        assert found[INPUTS] and found[MAIN] and not found[DISPLAY], found
    with Screen(MODULE, "-spice", both + ",tls-channel=default,plaintext-channel=cursor") as q:
        found = viewer_channels(q, *options)
        assert found[INPUTS] and found[DISPLAY] and not found[CURSOR], found


def viewer_shows_and_types():
    need("remote-viewer")
    port = free_port()
    with Desktop(FOLDER) as d, Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port) as q:
        d.start("remote-viewer", "spice://127.0.0.1:%d" % port)
        wait(lambda: d.shows(q.dump(FOLDER)), "the picture does not come")
        x, y = d.shows(q.dump(FOLDER))
        d.run("xdotool", "mousemove", str(x + 100), str(y + 30))
        seen = []
        wait(lambda: seen.extend(q.inputs()) or any(e[0] == 3 for e in seen), "the pointer does not come")
        d.run("xdotool", "click", "1")
        d.run("xdotool", "key", "a", "Right")
        want = {(1, 0x110, 1), (1, 0x110, 0), (1, 30, 1), (1, 30, 0), (1, 106, 1), (1, 106, 0)}
        wait(lambda: seen.extend(q.inputs()) or want <= set(seen), lambda: "missing: %s" % (want - set(seen)))
        wait(lambda: {"SPICE_CONNECTED", "SPICE_INITIALIZED"} <= {e["event"] for e in q.events} or q.qmp("query-status")
             is None, "no events")


def stalled_viewers_cost_little():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on,image-compression=off" % port) as q:
        with Stalled(q, port) as viewer:
            before = memory_of(q)
            for i in range(600):
                q.writel(REGISTERS + 8, 255 + i % 2)
            grown = memory_of(q) - before
            assert grown < 64 << 20 and viewer.is_there(), "%u MB for pictures of the pointer" % (grown >> 20)
            q.qmp("stop")
            assert viewer.is_there(), "the machine stopped after the viewer was given up"
            q.qmp("cont")
            q.resize(520, 333)
            longest = 0
            while viewer.is_there():  # the library gives it up
                start = time.monotonic()
                assert q.qmp("query-status")["running"]
                longest = max(longest, time.monotonic() - start)
            assert longest < GIVES_UP, "nothing went on for %u s" % longest
        q.draw(13)
        sees(q, "--uri=spice://127.0.0.1:%d" % port)


def passwords_are_set_and_expire():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1" % port) as q:
        def error(name, **arguments):
            return told(q, name, arguments)
        assert not lets_in(port, "tiger")
        q.qmp("set_password", {"protocol": "spice", "password": "tiger"})
        assert lets_in(port, "tiger") and not lets_in(port, "lion") and not lets_in(port, "")
        q.qmp("human-monitor-command", {"command-line": "set_password spice lion"})
        assert lets_in(port, "lion") and not lets_in(port, "tiger")
        for when, good in (("now", False), ("never", True), ("1335196800", False), ("+86400", True),
                           ("%d" % (time.time() + 86400), True)):
            q.qmp("expire_password", {"protocol": "spice", "time": when})
            assert lets_in(port, "lion") == good, when
        q.qmp("human-monitor-command", {"command-line": "expire_password spice now"})
        q.qmp("set_password", {"protocol": "spice", "password": "zebra"})
        assert not lets_in(port, "zebra"), "a new password has another time"
        q.qmp("expire_password", {"protocol": "spice", "time": "never"})
        with Channel(port, MAIN, password="zebra", seconds=SECONDS) as c:
            wait(lambda: q.qmp("query-spice")["channels"], "no channel")
            q.qmp("set_password", {"protocol": "spice", "password": "horse", "connected": "keep"})
            assert "connected" in error("set_password", protocol="spice", password="cow", connected="fail")
            assert lets_in(port, "horse") and not lets_in(port, "cow")
            q.qmp("set_password", {"protocol": "spice", "password": "cow", "connected": "disconnect"})
            try:
                while c.message():
                    pass
            except (EOFError, ConnectionError):
                pass
            wait(lambda: not q.qmp("query-spice")["channels"], "it stays")
        assert "60" in error("set_password", protocol="spice", password="x" * 61)
        assert "60" in error("set_password", protocol="spice", password="")
        assert "no name" in error("expire_password", protocol="spice", time="now", display="x")
        assert "now, never" in error("expire_password", protocol="spice", time="soon")
        assert "VNC" in error("set_password", protocol="vnc", password="x")
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port) as q:
        assert "disable-ticketing" in told(q, "set_password", {"protocol": "spice", "password": "x"})
    with Screen(MODULE) as q:
        assert "SPICE" in told(q, "set_password", {"protocol": "spice", "password": "x"})
        assert "SPICE" in told(q, "expire_password", {"protocol": "spice", "time": "now"})


def clients_prove_who_they_are():
    tool = shutil.which("saslpasswd2") or shutil.which("saslpasswd2", path="/usr/sbin")
    if not tool:
        raise Skip("saslpasswd2 is missing (sasl2-bin)")
    conf, database, port = os.path.join(FOLDER, "sasl"), os.path.join(FOLDER, "sasl", "db"), free_port()
    os.makedirs(conf)
    subprocess.run([tool, "-p", "-c", "-f", database, "-u", socket.gethostname(), "fred"], input=b"letmein", check=True)
    with open(os.path.join(conf, "qemu.conf"), "w", encoding="ascii") as f:
        f.write("mech_list: DIGEST-MD5\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\n" % database)

    def comes(password):
        try:
            with Channel(port, MAIN, seconds=SECONDS, sasl=sasl.Client("fred", password, service=b"spice")) as c:
                return c.session != 0
        except (Refused, EOFError, ConnectionError, sasl.Refused):
            return False
    for more, auth in (("", "sasl"), (",disable-ticketing=on", "sasl")):
        with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,sasl=on%s" % (port, more), env={"SASL_CONF_PATH": conf}) as q:
            assert q.qmp("query-spice")["auth"] == auth
            assert comes("letmein") and not comes("wrong") and comes("letmein")
            try:
                Channel(port, MAIN, seconds=SECONDS).socket.close()
                raise AssertionError("in without a proof")
            except (Refused, EOFError, ConnectionError):
                pass


def sockets_go_with_their_server():
    path = os.path.join(FOLDER, "mine")
    option = "unix=on,addr=%s,disable-ticketing=on" % path

    def left_by(command):
        q = Screen(MODULE, "-spice", option)
        try:
            command(q)
            wait(q.ended, "it goes on")
        finally:
            q.close()
        return os.path.exists(path)
    assert not left_by(lambda q: q.qmp("quit"))
    assert not left_by(lambda q: q.process.terminate())
    assert left_by(lambda q: q.process.kill())  # what it left makes way

    def another(q):
        said = refused("-M", "pc", "-spice", option)
        assert "another process" in said, said
        assert os.path.exists(path) and lets_in(path, ""), "the second one took the socket of the first"
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            q.qmp("quit")
            wait(q.ended, "it goes on")
    assert left_by(another), "what somebody else put there was taken away"
    os.unlink(path)
    with open(path, "w", encoding="ascii"):
        pass
    said = refused("-M", "pc", "-spice", option)
    assert path in said and os.path.isfile(path), said
    os.unlink(path)
    assert "path" in refused("-M", "pc", "-spice", "unix=on,addr=/%s,disable-ticketing=on" % ("x" * 200))
    refused("-M", "pc", "-spice", option, "-device", "no-such-device")
    assert not os.path.exists(path), "a start that failed leaves its socket"


def what_cannot_be_is_refused_in_words():
    none = "port=5999,disable-ticketing=on,"
    for keys, words in ((none + "x509-dir=/tmp", "tls-port"), (none + "x509-key-file=/tmp/x", "tls-port"),
                        (none + "x509-key-password=x", "tls-port"), (none + "x509-cert-file=/tmp/x", "tls-port"),
                        (none + "x509-cacert-file=/tmp/x", "tls-port"), (none + "x509-dh-key-file=/tmp/x", "tls-port"),
                        (none + "tls-ciphers=DEFAULT", "tls-port"), (none + "ipv4=off,ipv6=off", "no address"),
                        ("port=5999,sasl=on,password-secret=s", "sasl"),
                        ("port=5999,disable-ticketing=on,password-secret=s", "disable-ticketing"),
                        ("tls-port=5999,plaintext-channel=main", "plaintext-channel"),
                        ("unix=on,addr=/tmp/x,port=5999", "port"), ("unix=on,addr=/tmp/x,tls-port=5999", "tls-port"),
                        ("unix=on,addr=/tmp/x,ipv4=on", "ipv4"), ("tls-port=5999,ipv4=off", "addr=ADDRESS"),
                        (none + "addr=no.such.host.invalid", "no.such.host.invalid"),
                        ("disable-ticketing=on", "port"), ("port=0", "65535"), ("port=70000", "65535"),
                        ("port=5999,password-secret=none", "secret 'none'"), ("port=5999,gl=on", "unix=on"),
                        ("unix=on,addr=/tmp/x,rendernode=/dev/null", "gl=on"),
                        ("unix=on,addr=/tmp/x,gl=on,rendernode=/dev/null", "no DRI device"),
                        ("unix=on,addr=/tmp/x,gl=on,rendernode=/nowhere/r", "No such file"),
                        ("port=5999,image-compression=zip", "auto_glz"), ("port=5999,streaming-video=some", "filter"),
                        ("port=5999,tls-channel=main", "tls-port"), ("port=5999,plaintext-channel=sofa", "inputs"),
                        ("tls-port=5999,x509-dir=/nonexistent", "/nonexistent"), ("unix=on", "addr"),
                        ("port=5999,jpeg-wan-compression=x", "never"), ("port=5999,color=red", "color")):
        said = refused("-M", "pc", "-spice", keys)
        assert words in said, (keys, said)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        said = refused("-M", "pc", "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % s.getsockname()[1])
        assert "in use" in said, said


def opengl_draws_for_clients_here():
    """gl=on, which is for UNIX sockets; what it draws comes as any other picture."""
    path = os.path.join(FOLDER, "gl")
    for keys, by_opengl in (("", False), (",gl=off", False), (",gl=on", True)):
        with Screen(MODULE, "-spice", "unix=on,addr=%s,disable-ticketing=on%s" % (path, keys)) as q:
            assert draws_by_opengl(q.process.pid) == by_opengl, keys
            for size in ((400, 300), (520, 333)):
                q.resize(*size)
                q.draw(sum(size))
                wait(lambda: screenshot("--uri=spice+unix://" + path) == q.written(), "another picture, or none: " + keys)


def other_keys_are_taken():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on,disable-copy-paste=on,agent-mouse=off,"
                "disable-agent-file-xfer=on,playback-compression=off,streaming-video=all,seamless-migration=on" % port) as q:
        sees(q, "--uri=spice://127.0.0.1:%d" % port)
        q.qmp("stop")
        q.qmp("cont")
        q.draw(15)
        sees(q, "--uri=spice://127.0.0.1:%d" % port)


def noise_is_survived():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port) as q:
        for data in (b"", b"\0" * 4096, b"REDQ" + b"\xff" * 64, b"REDQ\2\0\0\0\2\0\0\0\xff\xff\xff\x7f", os.urandom(999)):
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.sendall(data)
        sees(q, "--uri=spice://127.0.0.1:%d" % port)


def guests_of_qxl_are_seen():
    port = free_port()
    with QTest(["-M", "pc", "-vga", "qxl", "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port]) as q:
        c = Qxl(q)
        c.primary(200, 100)
        data = os.urandom(60 * 40 * 4)
        c.fill((0, 0, 200, 100), 0x00336699)
        c.copy((30, 20, 90, 60), c.bitmap(60, 40, 8, data, 240), (0, 0, 60, 40))
        want = c.screen()
        assert want[:2] == (200, 100)
        wait(lambda: screenshot("--uri=spice://127.0.0.1:%d" % port) == want, "a QXL's picture does not come")


run([client_sees_what_screendump_says, every_compression_shows_the_same, pictures_are_compressed_as_told,
     videos_are_found_when_asked_for,
     addresses_are_as_told, password_is_asked_for, tls_wants_the_right_authority, keys_and_ciphers_are_as_told,
     channels_are_forced_into_a_mode, viewer_shows_and_types, what_cannot_be_is_refused_in_words,
     opengl_draws_for_clients_here, other_keys_are_taken, noise_is_survived, stalled_viewers_cost_little,
     passwords_are_set_and_expire, clients_prove_who_they_are,
     sockets_go_with_their_server, guests_of_qxl_are_seen])
