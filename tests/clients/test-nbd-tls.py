# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Network block devices over TLS: our client with nbdkit and qemu-nbd, our server with nbdinfo, nbdcopy, qemu-img and
our client; certificates, pre-shared keys, rights, who is refused, and peers that break off.
Usage: test-nbd-tls.py SOURCE-ROOT BUILD-ROOT
"""
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(sys.argv[1], "tests/house"))
import certificates  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("nbd-tls-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 5 * 1048576 + 4096
SUBJECT = "CN=client.example.com"


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0, data=None):
    program = shutil.which(args[0])
    if not program:
        raise tap.Skip(args[0] + " is missing")
    done = subprocess.run([program, *args[1:]], capture_output=True, text=True, timeout=WAIT, input=data or "",
                          cwd=FOLDER, check=False)
    assert (done.returncode == 0) == (status == 0), (args, done)
    return done.stdout + done.stderr


def certified():
    """Folders `pki` and `other`, whose authority nobody of the first knows; keys for `keys.psk`."""
    for name in ("pki", "other"):
        if os.path.exists(path(name)):
            continue
        authority = certificates.Authority(path(name), name)
        authority.sign(path(name), "server")
        authority.sign(path(name), "client")
    for folder, key in (("psk", "5a"), ("wrong-psk", "5b")):
        os.makedirs(path(folder), exist_ok=True)
        with open(path(folder + "/keys.psk"), "w", encoding="ascii") as f:
            f.write("someone:" + key * 32 + "\nqemu:" + "77" * 32 + "\n")


def creds(end, folder="pki", more=""):
    return "tls-creds-x509,id=t,endpoint=%s,dir=%s%s" % (end, path(folder), more)


def psk(end, more=""):
    return "tls-creds-psk,id=t,endpoint=%s,dir=%s%s" % (end, path("psk"), more)


def raw(name, seed):
    data = random.Random(seed).randbytes(SIZE)
    with open(path(name), "wb") as f:
        f.write(data)
    return data


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def opened(port, *more):
    return "driver=nbd,server.type=inet,server.host=127.0.0.1,server.port=%d,tls-creds=t" % port + "".join(
        "," + m for m in more)


class Server:
    """A foreign server in the foreground; `with`."""

    def __init__(self, port, *args):
        if not shutil.which(args[0]):
            raise tap.Skip(args[0] + " is missing")
        self.process = subprocess.Popen(args, cwd=FOLDER, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            assert self.process.poll() is None, args
            try:
                socket.create_connection(("127.0.0.1", port), WAIT).close()
                return
            except OSError:
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


def kit(port, *args):
    return Server(port, "nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "--exit-with-parent", *args)


def copied(port, objects, *more):
    run(TOOL, "convert", "--object", objects, "--image-opts", opened(port, *more), "-O", "raw", "copy")
    return content("copy")


def refused(port, objects, *more):
    return run(TOOL, "info", "--object", objects, "--image-opts", opened(port, *more), status=1)


def nbdkit_is_read_and_written():
    certified()
    data, port = raw("a.raw", 1), free_port()
    with kit(port, "--tls=require", "--tls-certificates=" + path("pki"), "--tls-verify-peer", "file", "a.raw"):
        assert copied(port, creds("client")) == data
        assert copied(port, creds("client"), "tls-hostname=localhost") == data
        raw("new.raw", 2)
        run(TOOL, "convert", "-n", "--object", creds("client"), "-f", "raw", "-O", "raw", "--target-image-opts",
            "new.raw", opened(port))
        assert content("a.raw") == content("new.raw") != data
        said = refused(port, creds("client"), "tls-hostname=elsewhere.example.com")
        assert "certificate" in said and "name" in said, said
        assert "not trusted" in refused(port, creds("client", "other"))
        said = run(TOOL, "info", "nbd://127.0.0.1:%d" % port, status=1)
        assert "TLS" in said and "tls-creds=" in said, said
    with kit(port, "--tls=require", "--tls-psk=" + path("psk/keys.psk"), "file", "a.raw"):
        assert copied(port, psk("client", ",username=someone")) == content("new.raw")
        said = refused(port, psk("client", ",username=someone").replace(path("psk"), path("wrong-psk")))
        assert "TLS" in said, said
    with kit(port, "--tls=off", "file", "a.raw"):
        assert "server has no TLS" in refused(port, creds("client"))
    with kit(port, "--oldstyle", "file", "a.raw"):
        assert "has no TLS" in refused(port, creds("client"))


def qemu_nbd_is_read():
    certified()
    data, port = raw("b.raw", 3), free_port()
    with Server(port, "qemu-nbd", "-t", "-e", "5", "-f", "raw", "-b", "127.0.0.1", "-p", str(port), "--object",
                creds("server"), "--tls-creds", "t", "b.raw"):
        assert copied(port, creds("client")) == data
    with Server(port, "qemu-nbd", "-t", "-e", "5", "-f", "raw", "-b", "127.0.0.1", "-p", str(port), "--object",
                psk("server"), "--tls-creds", "t", "b.raw"):
        assert copied(port, psk("client")) == data


def wrong_keys_are_one_line():
    certified()
    port = free_port()
    for objects, how, word in (
            (creds("server"), opened(port), "endpoint=server"),
            (creds("client"), opened(port).replace("=t", "=u"), "'u'"),
            (creds("client"), "driver=nbd,path=/nowhere,tls-hostname=x", "tls-creds= is missing")):
        said = run(TOOL, "info", "--object", objects, "--image-opts", how, status=1)
        assert word in said, (how, said)
    said = run(TOOL, "info", "--object", "tls-creds-x509,id=t,endpoint=client,dir=/nowhere", "x", status=1)
    assert "--object" in said and "/nowhere" in said, said
    assert "--object" in run(TOOL, "info", "--object", status=1)


class Exporting(Emulator):
    def __init__(self, *objects):
        args = []
        for o in objects:
            args += ["-object", o]
        super().__init__(PROGRAM, "-M", "none", *args, "-blockdev",
                         "driver=file,node-name=f,filename=" + path("disk"), "-blockdev",
                         "driver=raw,file=f,node-name=d")

    def start(self, port, **more):
        reply = self.command("nbd-server-start", addr={"type": "inet", "data": {
            "host": "127.0.0.1", "port": str(port)}}, tls_creds="t", **more)
        assert reply == {"return": {}}, reply
        reply = self.command("block-export-add", id="e", type="nbd", node_name="d", name="x", writable=True)
        assert reply == {"return": {}}, reply


def libnbd(port, user="", tail=""):
    return "nbds://%s127.0.0.1:%d/x?tls-%s" % (user, port, tail or "certificates=" + path("pki"))


def clients_come_by_tls_and_no_other_way():
    certified()
    data, port = raw("disk", 4), free_port()
    with Exporting(creds("server")) as e:
        e.start(port)
        assert run("nbdinfo", "--size", libnbd(port)).strip() == str(SIZE)
        assert "x" in run("nbdinfo", "--list", libnbd(port))
        run("nbdcopy", libnbd(port), "copy")
        assert content("copy") == data
        run("qemu-img", "convert", "--object", creds("client"), "--image-opts", opened(port, "export=x"), "-O", "raw",
            "copy2")
        assert content("copy2") == data
        assert copied(port, creds("client"), "export=x") == data
        new = raw("new", 5)
        run("nbdcopy", "--flush", "new", libnbd(port))
        assert content("disk") == new
        run("nbdinfo", "--size", "nbd://127.0.0.1:%d/x" % port, status=1)
        run("nbdinfo", "--list", "nbd://127.0.0.1:%d/" % port, status=1)
        said = run(TOOL, "info", "nbd://127.0.0.1:%d/x" % port, status=1)
        assert "TLS comes first" in said, said
        run("nbdinfo", "--size", libnbd(port, tail="certificates=" + path("other")), status=1)
        with socket.create_connection(("127.0.0.1", port), WAIT) as s:  # by its name, in the clear: hung up on
            s.settimeout(WAIT)
            s.sendall(struct.pack(">I", 3) + option(1, b"x"))
            assert len(received(s)) == 18
        assert run("nbdinfo", "--size", libnbd(port)).strip() == str(SIZE)
    with Exporting(psk("server")) as e:
        e.start(port)
        uri = libnbd(port, "someone@", "psk-file=" + path("psk/keys.psk"))
        assert run("nbdinfo", "--size", uri).strip() == str(SIZE)
        run("nbdinfo", "--size", uri.replace("someone", "nobody"), status=1)


def rights_are_asked_for():
    certified()
    raw("disk", 6)
    port = free_port()
    for identity, status in ((SUBJECT, 0), ("CN=another.example.com", 1)):
        with Exporting(creds("server"), "authz-simple,id=a,identity=" + identity) as e:
            e.start(port, tls_authz="a")
            run("nbdinfo", "--size", libnbd(port), status=status)
            assert "return" in e.command("nbd-server-stop")
            if status:
                reply = e.command("object-del", id="a")
                assert reply == {"return": {}}, reply
                e.start(port, tls_authz="a")  # nobody says who may: nobody may
                run("nbdinfo", "--size", libnbd(port), status=1)
    with Exporting(creds("client")) as e:
        for more, word in (({"tls_creds": "t"}, "client"), ({"tls_creds": "u"}, "'u'"),
                           ({"tls_authz": "a"}, "'tls-creds' is missing")):
            reply = e.command("nbd-server-start", addr={"type": "inet", "data": {
                "host": "127.0.0.1", "port": str(port)}}, **more)
            assert word in reply["error"]["desc"] or "other end" in reply["error"]["desc"], reply


def restarts_are_survived_over_tls():
    certified()
    data, port = raw("c.raw", 7), free_port()
    with open(path("to"), "wb") as f:
        f.truncate(SIZE)
    serve = ("--tls=require", "--tls-certificates=" + path("pki"), "file", "c.raw")
    server = kit(port, *serve)
    try:
        with Emulator(PROGRAM, "-M", "none", "-object", creds("client"), "-blockdev",
                      opened(port, "reconnect-delay=60", "node-name=n"), "-blockdev",
                      "driver=file,filename=%s,node-name=to" % path("to")) as e:
            server.__exit__()
            reply = e.command("blockdev-backup", job_id="j", device="n", target="to", sync="full")
            assert reply == {"return": {}}, reply
            time.sleep(0.5)
            server = kit(port, *serve)
            e.wait_event("BLOCK_JOB_COMPLETED")
        assert content("to") == data
    finally:
        server.__exit__()


def option(number, data):
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def received(s):
    data = b""
    while True:
        part = s.recv(65536)
        if not part:
            return data
        data += part


def peers_that_break_off_or_rave_do_no_harm():
    certified()
    raw("disk", 8)
    port, rand = free_port(), random.Random(9)
    context = ssl.create_default_context(cafile=path("pki/ca-cert.pem"))
    context.load_cert_chain(path("pki/client-cert.pem"), path("pki/client-key.pem"))
    context.check_hostname = False

    def talk(how):
        with socket.create_connection(("127.0.0.1", port), WAIT) as s:
            s.settimeout(5)
            s.sendall(struct.pack(">I", 3) + option(5, b"" if how else b"x"))
            tap.recv_all(s, 18 + 20)
            if how == 1:
                s.sendall(rand.randbytes(3000))
            elif how == 2:  # what is said in the clear after the word is no part of what follows
                s.sendall(option(8, b""))
            elif how == 3:
                return
            elif how > 3:
                t = context.wrap_socket(s)
                t.sendall(option(5, b"") if how == 4 else rand.randbytes(rand.randrange(1, 40000)))
                if how == 4:
                    assert struct.unpack(">QIII", t.recv(20))[2] == (1 << 31) + 3
                if how == 6:
                    t.sendall(option(8, b"") + option(7, struct.pack(">I", 1) + b"x" + struct.pack(">H", 0)) +
                              struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 1 << 20))
                    t.recv(100)
            else:
                return
            try:
                s.recv(10)
            except OSError:
                pass
    with Exporting(creds("server")) as e:
        e.start(port, handshake_max_seconds=2, max_connections=0)
        threads = [threading.Thread(target=lambda h=h: quietly(talk, h)) for h in (0, 1, 2, 3, 4, 5, 6) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        talk(4)
        assert run("nbdinfo", "--size", libnbd(port)).strip() == str(SIZE)
        assert "return" in e.command("nbd-server-stop")


def quietly(function, *args):
    try:
        function(*args)
    except OSError:
        pass


tap.run([nbdkit_is_read_and_written, qemu_nbd_is_read, wrong_keys_are_one_line,
         clients_come_by_tls_and_no_other_way, rights_are_asked_for, restarts_are_survived_over_tls,
         peers_that_break_off_or_rave_do_no_harm])
