# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Disk images over HTTP, HTTPS, FTP and FTPS: lighttpd, and servers in this process that see what is asked for.
Usage: test-curl.py SOURCE-ROOT BUILD-ROOT
"""
import base64
import http.server
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path[:0] = [os.path.join(sys.argv[1], folder) for folder in ("tests/house", "tests/guest")]
import bootable  # noqa: E402
import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402

TOOL = os.path.join(sys.argv[2], "backplane-img")
PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
FOLDER = tap.work_folder("curl-")
WAIT = 120 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SIZE = 3 * 1048576 + 512
DATA = random.Random(1).randbytes(SIZE)


def path(name):
    return os.path.join(FOLDER, name)


def run(*args, status=0):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                          cwd=FOLDER, check=False)
    assert done.returncode == status, (args, done)
    return done.stdout if status == 0 else done.stdout + done.stderr


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


with open(path("disk.raw"), "wb") as disk:
    disk.write(DATA)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET(head=True)

    def do_GET(self, head=False):
        server = self.server
        server.seen.append((self.path, dict(self.headers)))
        if self.path.startswith("/slow"):
            server.over.wait(WAIT)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/disk.raw")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("/secret") and self.headers.get("Authorization") != "Basic " + base64.b64encode(
                b"user:pa:ss").decode():
            self.send_error(401)
            return
        if self.path.startswith("/cookie") and self.headers.get("Cookie") != "a=1; b=2":
            self.send_error(403)
            return
        if self.path.startswith("/nothing"):
            self.send_error(404)
            return
        ranged = self.headers.get("Range")
        data = DATA
        if self.path.startswith(("/image", "/cd")):
            data = content(self.path[1:])
        size = len(data)
        if ranged and not self.path.startswith("/whole"):
            first, last = ranged.partition("=")[2].split("-")
            data = data[int(first):int(last) + 1]
            if self.path.startswith("/short"):
                data = data[:len(data) // 2]
            self.send_response(206)
            self.send_header("Content-Range", "bytes %s-%s/%d" % (first, last, size))
        else:
            self.send_response(200)
        if not self.path.startswith("/norange"):
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not head:
            self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def certified():
    """A server's side of TLS, as 127.0.0.1; nobody but cert.pem itself vouches for it."""
    if not shutil.which("openssl"):
        raise tap.Skip("openssl is missing")
    if not os.path.exists(path("cert.pem")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path("key.pem"), "-out",
                        path("cert.pem")], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("cert.pem"), path("key.pem"))
    return context


def trusting(*args):
    """A command that finds cert.pem where the host has the certificates that it trusts."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    tool = ["unshare", "-r", "-m", "sh", "-c", 'mount --bind "$1" %s && shift && exec "$@"' % bundle, "sh",
            path("cert.pem")]
    if not os.path.exists(bundle) or subprocess.run([*tool, "true"], capture_output=True, check=False).returncode:
        raise tap.Skip("whom the host trusts cannot be changed here")
    return [*tool, *args]


class Ftp:
    """Passive only; what it is told is in `seen`."""

    def __init__(self, tls=False):
        self.context = certified() if tls else None
        self.seen = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "ftp%s://127.0.0.1:%d" % ("s" if tls else "", self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def wrap(self, peer):
        return self.context.wrap_socket(peer, server_side=True) if self.context else peer

    def talk(self, peer):
        peer.settimeout(WAIT)
        try:
            with self.wrap(peer) as peer, peer.makefile("r") as lines:
                peer.sendall(b"220 hello\r\n")
                self.serve(peer, lines)
        except (OSError, ValueError):
            pass

    def serve(self, peer, lines):
        name, at = None, 0
        words = {"USER": "331 and", "PASS": "230 in", "PWD": '257 "/"', "CWD": "250 there", "TYPE": "200 so",
                 "PBSZ": "200 0", "PROT": "200 so", "NOOP": "200 so"}
        for line in lines:
            self.seen.append(line.strip())
            verb, _, rest = line.strip().partition(" ")
            answer = words.get(verb.upper(), "502 no")
            if verb == "USER" and rest != "anonymous":
                name = rest
            if verb == "PASS" and name and (name, rest) != ("user", "pa:ss"):
                answer = "530 no"
            if verb == "SIZE":
                answer = "213 %d" % SIZE if rest == "disk.raw" else "550 none"
            if verb == "EPSV":
                data = socket.create_server(("127.0.0.1", 0))
                answer = "229 (|||%d|)" % data.getsockname()[1]
            if verb == "REST":
                at, answer = int(rest), "350 from there"
            if verb == "RETR":
                data.settimeout(WAIT)
                with data.accept()[0] as to:
                    peer.sendall(b"150 here\r\n")
                    try:
                        with self.wrap(to) as to:
                            to.sendall(DATA[at:])
                        answer = "226 all"
                    except OSError:
                        answer = "426 broken off"
                data.close()
                at = 0
            peer.sendall(answer.encode() + b"\r\n")
            if verb == "QUIT":
                return

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.close()


class Web:
    def __init__(self, tls=False):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.seen = []
        self.server.over = threading.Event()
        if tls:
            self.server.socket = certified().wrap_socket(self.server.socket, server_side=True)
        self.url = "http%s://127.0.0.1:%d" % ("s" if tls else "", self.server.server_port)
        self.seen = self.server.seen
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()


def images_are_read_from_a_web_server():
    with Web() as web:
        run("convert", "-f", "raw", "-O", "raw", web.url + "/disk.raw", "out.raw")
        assert content("out.raw") == DATA
        assert all(h.get("Range") for _, h in web.seen[1:]), web.seen
        run("convert", "-O", "raw", "--image-opts", "driver=http,url=%s/moved" % web.url, "out.raw")
        assert content("out.raw") == DATA
        for name, word in (("/nothing", "404"), ("/norange", "Accept-Ranges")):
            assert word in run("info", web.url + name, status=1)
        for name in ("/short", "/whole"):
            run("convert", "-f", "raw", "-O", "raw", web.url + name, "out.raw", status=1)
    assert "http" in run("info", web.url + "/disk.raw", status=1)


def answers(server, port):
    """Does it listen? False: it has ended, its port was taken."""
    end = time.monotonic() + WAIT
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return server.poll() is None
        except OSError:
            assert time.monotonic() < end, "lighttpd does not listen"
            time.sleep(0.05)
    return False


def lighttpd_serves_images():
    program = shutil.which("lighttpd") or "/usr/sbin/lighttpd"
    if not os.path.exists(program):
        raise tap.Skip("lighttpd is missing")
    for _ in range(20):
        port = random.randrange(20000, 60000)
        with open(path("conf"), "w") as f:
            f.write('server.document-root = "%s"\nserver.bind = "127.0.0.1"\nserver.port = %d\n' % (FOLDER, port))
        server = subprocess.Popen([program, "-D", "-f", path("conf")], stderr=subprocess.DEVNULL)
        if answers(server, port):
            break
    try:
        run("convert", "-f", "raw", "-O", "raw", "http://127.0.0.1:%d/disk.raw" % port, "out.raw")
        assert content("out.raw") == DATA
    finally:
        server.kill()
        server.wait()


def names_and_passwords_are_given():
    with Web() as web:
        url = web.url.replace("//", "//user:pa%3Ass@") + "/secret"
        run("convert", "-f", "raw", "-O", "raw", url, "out.raw")
        assert content("out.raw") == DATA
        assert "401" in run("info", web.url + "/secret", status=1)
        wrong = web.url.replace("//", "//user:gehe@im@") + "/secret"
        for said in (run("info", wrong, status=1), run("compare", wrong, wrong, status=2),
                     fails(PROGRAM, "-M", "none", "-drive", "if=none,file=" + wrong)):
            assert "gehe" not in said and "im@" not in said and "user@127.0.0.1" in said, said
        with Emulator(PROGRAM, "-M", "none", "-object", "secret,id=s,data=pa:ss", "-blockdev",
                      "driver=http,node-name=n,read-only=on,username=user,password-secret=s,url=%s/secret" % web.url,
                      "-drive", "if=none,id=d,format=raw,file=" + url) as e:
            nodes = e.command("query-named-block-nodes")["return"]
            assert {n["image"]["virtual-size"] for n in nodes} == {SIZE}, nodes
            assert not [n for n in nodes if "pa:ss" in n["file"] or "pa%3Ass" in n["file"]], nodes


def images_are_read_from_ftp_servers():
    with Ftp() as ftp:
        run("convert", "-f", "raw", "-O", "raw", ftp.url + "/disk.raw", "out.raw")
        assert content("out.raw") == DATA
        assert any(s.startswith("REST ") and s != "REST 0" for s in ftp.seen), ftp.seen
        run("convert", "-O", "raw", "--image-opts", "driver=ftp,url=%s/disk.raw,cookie=a=1" % ftp.url, "out.raw")
        assert content("out.raw") == DATA
        assert not [s for s in ftp.seen if "a=1" in s], ftp.seen
        url = ftp.url.replace("//", "//user:pa%3Ass@")
        run("convert", "-f", "raw", "-O", "raw", url + "/disk.raw", "out.raw")
        assert "USER user" in ftp.seen and content("out.raw") == DATA
        run("info", ftp.url.replace("//", "//user:wrong@") + "/disk.raw", status=1)
        run("info", ftp.url + "/nothing", status=1)
        said = fails(PROGRAM, "-M", "none", "-blockdev", "driver=ftp,node-name=n,url=%s/disk.raw" % ftp.url)
        assert "read-only" in said, said
        with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=ftp,node-name=n,read-only=on,url=%s/disk.raw" %
                      ftp.url) as e:
            assert e.command("query-named-block-nodes")["return"][0]["ro"]


def images_are_read_over_tls_from_whom_the_host_trusts():
    for server in (Web, Ftp):
        with server(tls=True) as there:
            said = run("info", there.url + "/disk.raw", status=1)
            assert "ertificate" in said, said
            image = "driver=%s,timeout=100,url=%s/disk.raw" % (there.url.partition(":")[0], there.url)
            run("convert", "-O", "raw", "--image-opts", image + ",sslverify=off", "out.raw")
            assert content("out.raw") == DATA
            os.unlink(path("out.raw"))
            subprocess.run(trusting(TOOL, "convert", "-O", "raw", "--image-opts", image, path("out.raw")), check=True,
                           timeout=WAIT)
            assert content("out.raw") == DATA


def nothing_is_written():
    with Web() as web:
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file=%s/disk.raw" % web.url) as e:
            shown, = e.command("query-block")["return"]
            assert shown["inserted"]["ro"], shown
        said = fails(PROGRAM, "-M", "none", "-blockdev", "driver=http,node-name=n,url=%s/disk.raw" % web.url)
        assert "read-only" in said, said
        run("bench", "-q", "-w", "-f", "raw", "-c", "1", web.url + "/disk.raw", status=1)


def keys_of_drives_reach_it():
    with Web() as web:
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,format=raw,file.driver=http,file.url=%s/disk.raw,"
                      "file.readahead=64k,file.timeout=30" % web.url) as e:
            assert e.command("query-block")["return"][0]["inserted"]["image"]["virtual-size"] == SIZE
        del web.seen[:]
        run("dd", "--image-opts", "if=driver=http,url=%s/disk.raw,readahead=65536" % web.url, "of=part.raw", "bs=512",
            "count=256")
        assert content("part.raw") == DATA[:131072]
        ranges = [h["Range"] for _, h in web.seen if "Range" in h]
        assert ranges == ["bytes=0-65535", "bytes=65536-131071"], ranges
        del web.seen[:]
        run("dd", "--image-opts", "if=driver=http,url=%s/disk.raw?x=1&y" % web.url, "of=part.raw", "bs=512", "count=1")
        assert content("part.raw") == DATA[:512]
        assert [(p, h["Range"]) for p, h in web.seen if "Range" in h] == [("/disk.raw?x=1&y", "bytes=0-262143")], web.seen
        for key in ("readahead=1000", "readahead=1G", "timeout=99999"):
            said = run("info", "--image-opts", "driver=http,url=%s/x,%s" % (web.url, key), status=1)
            assert key.partition("=")[0] in said, said
        assert "http://" in run("info", "--image-opts", "driver=http,url=ftp://x/y", status=1)


def cookies_are_sent():
    with Web() as web:
        with Emulator(PROGRAM, "-M", "none", "-object", "secret,id=c,data=a=1; b=2", "-drive",
                      "if=none,id=d,format=raw,file.driver=http,file.url=%s/cookie,file.cookie=a=1; b=2" % web.url,
                      "-drive", "if=none,id=e,format=raw,file.driver=http,file.url=%s/cookie,file.cookie-secret=c" %
                      web.url) as e:
            assert len(e.command("query-block")["return"]) == 2
        assert "403" in run("info", web.url + "/cookie", status=1)


def slow_servers_are_given_up():
    with Web() as web:
        said = run("info", "--image-opts", "driver=http,timeout=1,url=%s/slow" % web.url, status=1)
        assert "imed out" in said, said
        begin = time.monotonic()
        said = run("info", web.url + "/slow", status=1)
        assert "imed out" in said and time.monotonic() - begin > 4, said  # 5 s without a word


def certificates_are_checked():
    with Web(tls=True) as web:
        said = run("info", web.url + "/disk.raw", status=1)
        assert "ertificate" in said, said
        run("convert", "-O", "raw", "--image-opts", "driver=https,sslverify=off,url=%s/disk.raw" % web.url, "out.raw")
        assert content("out.raw") == DATA
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,media=cdrom,format=raw,file.driver=https,"
                      "file.url=%s/disk.raw,file.sslverify=off,file.readahead=64k,file.timeout=10,readonly=on" %
                      web.url) as e:
            shown, = [b for b in e.command("query-block")["return"] if b.get("inserted")]
            assert shown["inserted"]["image"]["virtual-size"] == SIZE, shown
        # The manual's example of a host that nobody vouches for, with its port and all of its path.
        backing = ('json:{"file.driver":"https",, "file.url":"%s/secret/folder?dcPath=ha-dc&dsName=ds",, '
                   '"file.sslverify":"off",, "file.readahead":"64k",, "file.timeout":10}' %
                   web.url.replace("//", "//user:pa%3Ass@"))
        run("create", "-q", "-f", "qcow2", "-o", "backing_file=" + backing + ",backing_fmt=raw", "vsphere.qcow2")
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,file=" + path("vsphere.qcow2")) as e:
            shown = e.command("query-block")["return"][0]["inserted"]["image"]
            assert shown["backing-image"]["virtual-size"] == (SIZE + 511) // 512 * 512, shown
        del web.seen[:]
        run("bench", "-q", "-w", "-c", "1", "-s", "4096", "--pattern=5", "vsphere.qcow2")
        run("convert", "-O", "raw", "vsphere.qcow2", "out.raw")
        assert content("out.raw")[:SIZE] == b"\5" * 4096 + DATA[4096:]
        assert [p for p, h in web.seen if h.get("Range") == "bytes=4096-69631" and
                p == "/secret/folder?dcPath=ha-dc&dsName=ds"], web.seen


def prints_of_cd(*command):
    """Firmware boots from the CD, and what is on it prints its words on COM1."""
    said = path("said")
    done = subprocess.Popen([*command, "-m", "64", "-display", "none", "-monitor", "none", "-boot", "d", "-serial",
                             "file:" + said], stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + WAIT
        while not os.path.exists(said) or b"the CD of the web is booted" not in content("said"):
            assert done.poll() is None and time.monotonic() < end, command
            time.sleep(0.05)
    finally:
        done.kill()
        done.wait()
        os.unlink(said)


def machines_boot_from_a_cd_of_the_web():
    bootable.cd(path("cd.iso"), "the CD of the web is booted")
    for tls in (False, True):
        with Web(tls=tls) as web:
            program = trusting(PROGRAM) if tls else [PROGRAM]
            prints_of_cd(*program, "--drive", "media=cdrom,file=%s/cd.iso,readonly=on" % web.url)
            prints_of_cd(*program, "--drive", "media=cdrom,file.driver=%s,file.url=%s/cd.iso,readonly=on" %
                         (web.url.partition(":")[0], web.url))
            assert [h for p, h in web.seen if p == "/cd.iso" and h.get("Range")], web.seen


def overlays_stand_on_web_images():
    run("convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image.qcow2")
    with Web() as web:
        with Emulator(PROGRAM, "-M", "none", "-blockdev", "driver=qcow2,node-name=disk,read-only=on,file.driver=http,"
                      "file.filename=%s/image.qcow2" % web.url) as e:
            node, = [n for n in e.command("query-named-block-nodes")["return"] if n["node-name"] == "disk"]
            assert node["image"]["format"] == "qcow2", node
            assert node["image"]["virtual-size"] == (SIZE + 511) // 512 * 512, node
        backing = 'json:{"driver":"qcow2","file":{"driver":"http","url":"%s/image.qcow2","readahead":65536}}' % web.url
        run("create", "-q", "-f", "qcow2", "-o", "backing_file=" + backing.replace(",", ",,") + ",backing_fmt=qcow2",
            "over.qcow2")
        run("bench", "-q", "-w", "-c", "3", "-s", "4096", "--pattern=5", "over.qcow2")
        run("convert", "-O", "raw", "over.qcow2", "out.raw")
        assert content("out.raw")[:SIZE] == b"\5" * 12288 + DATA[12288:]
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,copy-on-read=on,file=" + path("over.qcow2")) as e:
            assert not e.command("query-block")["return"][0]["inserted"]["ro"]
        # As the manual writes it: the file's keys alone.
        backing = 'json:{"file.driver":"http", "file.url":"%s/image.qcow2", "file.readahead":"64k", "file.timeout":10}'
        backing %= web.url
        run("create", "-q", "-f", "qcow2", "-o", "backing_fmt=qcow2,backing_file=" + backing.replace(",", ",,"),
            "over2.qcow2")
        run("convert", "-O", "raw", "over2.qcow2", "out.raw")
        assert content("out.raw")[:SIZE] == DATA
        del web.seen[:]
        with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,copy-on-read=on,file=" + path("over2.qcow2"),
                      "-drive", "if=none,id=e,readonly=on,file=" + backing.replace(",", ",,")) as e:
            shown = {b["device"]: b["inserted"] for b in e.command("query-block")["return"]}
            assert shown["d"]["image"]["backing-image"]["format"] == "qcow2", shown
            assert shown["e"]["drv"] == "qcow2" and shown["e"]["ro"], shown
        assert [h for _, h in web.seen if h.get("Range") == "bytes=0-65535"], web.seen
        # What is read through it stays in the overlay, and the server is not asked again.
        tool = shutil.which("qemu-io")
        if not tool:
            raise tap.Skip("all but what is copied on reading: qemu-io is missing")
        assert "written to" in fails(PROGRAM, "-M", "none", "-drive", "if=none,id=d,copy-on-read=on,readonly=on,file=" +
                                     path("over2.qcow2"))
        for copies in (False, True):  # not without being told
            with Emulator(PROGRAM, "-M", "none", "-drive", "if=none,id=d,%sfile=%s" %
                          ("copy-on-read=on," if copies else "", path("over2.qcow2"))) as e:
                e.command("nbd-server-start", addr={"type": "unix", "data": {"path": path("s")}})
                e.command("nbd-server-add", device="d", name="d")
                for again in (False, True):
                    del web.seen[:]
                    subprocess.run([tool, "-r", "-f", "raw", "-c", "read 1M 64k", "nbd+unix:///d?socket=" + path("s")],
                                   check=True, timeout=WAIT, capture_output=True)
                    assert bool([1 for _, h in web.seen if "Range" in h]) != again, web.seen
                e.command("quit")
                e.process.wait(WAIT)
            there = allocated("over2.qcow2")
            assert 65536 <= there <= 262144 if copies else there == 0, there


def allocated(name):
    """Bytes that are in an image itself."""
    parts = json.loads(run("map", "--output=json", "-U", "--image-opts", "driver=qcow2,file.driver=file,backing=,"
                           "file.filename=" + name))
    return sum(p["length"] for p in parts if p["data"])


tap.run([images_are_read_from_a_web_server, lighttpd_serves_images, names_and_passwords_are_given, nothing_is_written,
         images_are_read_from_ftp_servers, images_are_read_over_tls_from_whom_the_host_trusts, keys_of_drives_reach_it, cookies_are_sent, slow_servers_are_given_up, certificates_are_checked,
         machines_boot_from_a_cd_of_the_web, overlays_stand_on_web_images])
