# SPDX-License-Identifier: LGPL-2.1-or-later
"""-spice: spicy-screenshot takes the picture that screendump has; remote-viewer shows it in its window and sends keys;
passwords, TLS, sockets and channels are as told. Usage: test-spice.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import socket
import subprocess
import sys

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import Desktop, Screen, need, netpbm, wait  # noqa: E402
from tap import run, work_folder  # noqa: E402

FOLDER = work_folder("spice-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
ENV = {**os.environ, "HOME": FOLDER, "XDG_RUNTIME_DIR": FOLDER, "DISPLAY": "", "GIO_USE_VFS": "local"}
MAIN, DISPLAY, INPUTS, CURSOR = 1, 2, 3, 4


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


def addresses_are_as_told():
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
        assert screenshot(uri, "--password=lion", seconds=10) is None
        assert screenshot(uri, seconds=10) is None
        sees(q, uri, "--password=tiger")
        assert q.qmp("query-spice")["auth"] == "spice"
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1" % port) as q:
        assert screenshot(uri, "--password=x", seconds=10) is None, "there is no password, and it let somebody in"


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


def what_cannot_be_is_refused_in_words():
    for keys, words in (("disable-ticketing=on", "port"), ("port=0", "65535"), ("port=70000", "65535"),
                        ("port=5999,password-secret=none", "secret 'none'"), ("port=5999,gl=on", "gl"),
                        ("port=5999,rendernode=/dev/dri/renderD128", "rendernode"),
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


run([client_sees_what_screendump_says, every_compression_shows_the_same, addresses_are_as_told, password_is_asked_for, tls_wants_the_right_authority, keys_and_ciphers_are_as_told,
     channels_are_forced_into_a_mode, viewer_shows_and_types, what_cannot_be_is_refused_in_words, other_keys_are_taken,
     noise_is_survived])
