#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Viewers of others show what the guest shows: TigerVNC's in each encoding (in an X server of its own),
gvnccapture, vncsnapshot; and keys and clicks in TigerVNC's window arrive."""
import http.server
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

SOURCE, BUILD, SCREEN = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import certificates  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("viewers-")
MEMORY, REGISTERS = 0xE0000000, 0xE8000000
WIDTH, HEIGHT = 400, 300
NOVNC = "/usr/share/novnc"


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Skip("%s is missing (./dev setup installs it)" % tool)


def free_display():
    for tried in range(80):
        n = 10 + (os.getpid() + tried) % 80  # tests that run beside this one begin elsewhere
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", 5900 + n))
                return n
            except OSError:
                pass
    raise Skip("no free display number")


class Machine(QTest):
    def __init__(self, *options, objects=()):
        self.number = free_display()
        super().__init__([*objects, "-M", "pc", "-modules", "preload=" + os.path.join(SCREEN, "screen.so"), "-device",
                          "test-screen,width=%d,height=%d" % (WIDTH, HEIGHT), "-vnc",
                          "127.0.0.1:%d%s" % (self.number, "".join(options))])
        rand = random.Random(11)
        pixels = [0x305070] * (WIDTH * HEIGHT)
        for _ in range(120):
            x, y, w, h = rand.randrange(WIDTH), rand.randrange(HEIGHT), rand.randrange(1, 90), rand.randrange(1, 60)
            colours = [rand.getrandbits(24) for _ in range(rand.choice((1, 1, 2, 8, 400)))]
            for yy in range(y, min(y + h, HEIGHT)):
                for xx in range(x, min(x + w, WIDTH)):
                    pixels[yy * WIDTH + xx] = rand.choice(colours)
        self.write(MEMORY, struct.pack("<%dI" % len(pixels), *pixels))
        self.rgb = b"".join(bytes((p >> 16, p >> 8 & 255, p & 255)) for p in pixels)

    def clients(self):
        return len(self.qmp("query-vnc")["clients"])

    def wait(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(what)
            time.sleep(0.1)

    def inputs(self):
        found = []
        for _ in range(self.readl(REGISTERS + 12)):
            kind, code, value = (self.readl(REGISTERS + at) for at in (16, 20, 24))
            found.append((kind, code, value))
        return found


def netpbm(data):
    """(width, height, pixels) of a PPM file with 8 bits for each colour."""
    words, at = [], 0
    while len(words) < 4:
        end = min(i for i in (data.find(b" ", at), data.find(b"\n", at)) if i >= 0)
        words.append(data[at:end])
        at = end + 1
    assert words[0] == b"P6" and words[3] == b"255", words
    return int(words[1]), int(words[2]), data[at:]


class Xvfb:
    """An X server without a screen."""

    def __enter__(self):
        read, write = os.pipe()
        # Without -noreset it begins anew when the last client goes, and who comes then is turned away.
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-noreset",
                                        "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            self.name = ":" + f.readline().strip()
        self.env = {**os.environ, "DISPLAY": self.name, "HOME": FOLDER}
        return self

    def __exit__(self, *exception):
        self.server.terminate()
        self.server.wait()

    def picture(self):
        dump = subprocess.run(["xwd", "-root", "-silent"], env=self.env, capture_output=True, check=True).stdout
        return netpbm(subprocess.run(["xwdtopnm"], input=dump, capture_output=True, check=True).stdout)

    def shows(self, rgb):
        """Where the picture stands on it, or None."""
        width, height, pixels = self.picture()
        row = rgb[:WIDTH * 3]
        at = pixels.find(row)
        while at >= 0:
            x, y = at // 3 % width, at // 3 // width
            if at % 3 == 0 and x + WIDTH <= width and y + HEIGHT <= height and all(
                    pixels[((y + n) * width + x) * 3:((y + n) * width + x + WIDTH) * 3] ==
                    rgb[n * WIDTH * 3:(n + 1) * WIDTH * 3] for n in range(HEIGHT)):
                return x, y
            at = pixels.find(row, at + 1)
        return None


def viewer(x, q, *options):
    return subprocess.Popen(["xtigervncviewer", "-RemoteResize=0", "-AutoSelect=0", "-FullColor=1", "-NoJPEG=1",
                             "-MenuKey=", "-ViewOnly=0", *options, "127.0.0.1::%d" % (5900 + q.number)],
                            env=x.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end(process):
    process.terminate()
    process.communicate()


def tigervnc_shows_the_picture_in_each_encoding():
    need("xtigervncviewer", "Xvfb", "xwd", "xwdtopnm")
    for encoding in ("Raw", "Hextile", "ZRLE", "Tight"):
        with Machine() as q, Xvfb() as x:
            process = viewer(x, q, "-PreferredEncoding=" + encoding)
            try:
                q.wait(lambda: x.shows(q.rgb), "%s: the picture does not come: %s" % (encoding, process.poll()))
                q.write(MEMORY, bytes(WIDTH * 4) * 40)  # the top goes black
                q.rgb = bytes(WIDTH * 3) * 40 + q.rgb[WIDTH * 3 * 40:]
                q.wait(lambda: x.shows(q.rgb), encoding + ": the change does not come")
            finally:
                end(process)


def tigervnc_comes_by_tls():
    need("xtigervncviewer", "Xvfb", "xwd", "xwdtopnm", "tigervncpasswd")
    folder = os.path.join(FOLDER, "pki")
    certificates.Authority(folder).sign(folder, "server")
    password = os.path.join(FOLDER, "password")
    with open(password, "wb") as f:
        f.write(subprocess.run(["tigervncpasswd", "-f"], input=b"eight888\n", capture_output=True, check=True).stdout)
    x509 = "tls-creds-x509,id=tls0,endpoint=server,verify-peer=off,dir=" + folder
    for creds, more, options in (
            (x509, "", ("-SecurityTypes=X509None", "-X509CA=" + os.path.join(folder, "ca-cert.pem"))),
            (x509, ",password=on", ("-SecurityTypes=X509Vnc", "-passwd=" + password,
                                    "-X509CA=" + os.path.join(folder, "ca-cert.pem"))),
            ("tls-creds-anon,id=tls0,endpoint=server", "", ("-SecurityTypes=TLSNone",))):
        with Machine(",tls-creds=tls0", more, objects=["-object", creds]) as q, Xvfb() as x:
            if more:
                q.qmp("set_password", {"protocol": "vnc", "password": "eight888"})
            process = viewer(x, q, *options)
            try:
                q.wait(lambda: x.shows(q.rgb), "%s: the picture does not come: %s" % (options, process.poll()))
                assert q.qmp("query-vnc")["auth"] == "vencrypt"
            finally:
                end(process)


def keys_and_clicks_in_tigervnc_arrive():
    need("xtigervncviewer", "Xvfb", "xwd", "xwdtopnm", "xdotool")
    with Machine() as q, Xvfb() as x:
        process = viewer(x, q)
        try:
            q.wait(lambda: x.shows(q.rgb), "the picture does not come")
            at = x.shows(q.rgb)
            tool = lambda *words: subprocess.run(["xdotool", *map(str, words)], env=x.env, check=True)
            tool("mousemove", at[0] + 200, at[1] + 150, "click", 1)
            found = []
            q.wait(lambda: found.extend(q.inputs()) or (1, 0x110, 0) in found, "the click does not come")
            assert (1, 0x110, 1) in found, found
            x_events = [v for k, c, v in found if (k, c) == (3, 0)]
            assert abs(x_events[-1] - 200 * 32767 // (WIDTH - 1)) < 200, x_events
            found.clear()
            tool("search", "--onlyvisible", "--name", "Backplane", "windowfocus")
            text = "the quick brown fox" * 5
            tool("type", "--delay", "15", text)
            wanted = [(1, code, down) for letter in text for code in
                      [{" ": 57}.get(letter) or dict(zip("qwertyuiopasdfghjklzxcvbnm", [*range(16, 26), *range(30, 39),
                                                                                         *range(44, 51)]))[letter]]
                      for down in (1, 0)]
            q.wait(lambda: found.extend(e for e in q.inputs() if e[0] == 1 and e[2] != 2) or
                   len(found) >= len(wanted), "keys are missing: %s" % found)
            downs = [e for e in found if e[2] == 1]
            assert [e[1] for e in downs] == [e[1] for e in wanted if e[2]], (found, wanted)
        finally:
            end(process)


def gvnccapture_takes_the_picture():
    need("gvnccapture", "pngtopnm")
    with Machine() as q:
        path = os.path.join(FOLDER, "capture.png")
        subprocess.run(["gvnccapture", "-q", "127.0.0.1:%d" % q.number, path], check=True, timeout=120,
                       stdin=subprocess.DEVNULL)
        ppm = subprocess.run(["pngtopnm", path], capture_output=True, check=True).stdout
        assert netpbm(ppm) == (WIDTH, HEIGHT, q.rgb)


def vncsnapshot_with_a_password_takes_the_picture():
    need("vncsnapshot", "jpegtopnm", "tigervncpasswd")
    with Machine(",password=on") as q:
        q.qmp("set_password", {"protocol": "vnc", "password": "eight888"})
        secret, path = os.path.join(FOLDER, "passwd"), os.path.join(FOLDER, "shot.jpg")
        with open(secret, "wb") as f:
            subprocess.run(["tigervncpasswd", "-f"], input=b"eight888\n", stdout=f, check=True)
        for encodings in ("raw", "hextile", "zlib", "tight"):
            subprocess.run(["vncsnapshot", "-quiet", "-passwd", secret, "-encodings", encodings, "-quality", "100",
                            "127.0.0.1:%d" % q.number, path], check=True, timeout=120, capture_output=True)
            ppm = subprocess.run(["jpegtopnm", path], capture_output=True, check=True).stdout
            width, height, pixels = netpbm(ppm)
            assert (width, height) == (WIDTH, HEIGHT), (width, height)
            # Its file is a JPEG, which is no exact picture.
            error = sum(abs(a - b) for a, b in zip(pixels, q.rgb)) / len(q.rgb)
            assert error < 25, (encodings, error)


PAGE = """<!DOCTYPE html><meta charset="utf-8"><div id="screen" style="width:100%;height:100%"></div>
<script type="module">
import RFB from "/novnc/core/rfb.js";
const rfb = new RFB(document.getElementById("screen"), "ws://127.0.0.1:PORT/", {shared: true});
rfb.scaleViewport = false;
const post = (path, body) => fetch(path, {method: "POST", body});
rfb.addEventListener("disconnect", e => post("/gone", String(e.detail.clean)));
setInterval(() => {
    const canvas = document.querySelector("canvas");
    if (!canvas || !canvas.width) return;
    post("/picture/" + canvas.width + "x" + canvas.height,
         canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
}, 500);
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    """noVNC's files, a page that uses them, and what that page posts."""

    posted = {}
    port = 0

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/":
            data, kind = PAGE.replace("PORT", str(Page.port)).encode(), "text/html"
        else:
            name = os.path.normpath(NOVNC + path.removeprefix("/novnc"))
            if not name.startswith(NOVNC) or not os.path.isfile(name):
                self.send_error(404)
                return
            with open(name, "rb") as f:
                data, kind = f.read(), "text/javascript"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        Page.posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


def novnc_in_a_browser_shows_the_picture():
    need("chromium")
    if not os.path.isfile(NOVNC + "/core/rfb.js"):
        raise Skip("noVNC is missing (package novnc)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        Page.port = free.getsockname()[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Machine(",websocket=127.0.0.1:%d" % Page.port) as q:
        browser = subprocess.Popen(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                    "--user-data-dir=" + os.path.join(FOLDER, "chromium"),
                                    "http://127.0.0.1:%d/" % server.server_address[1]], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            def shows():
                rgba = Page.posted.get("/picture/%dx%d" % (WIDTH, HEIGHT), b"")
                return b"".join((rgba[i:i + 3] for i in range(0, len(rgba), 4))) == q.rgb

            q.wait(shows, "noVNC does not show the picture: %s" % {k: len(v) for k, v in Page.posted.items()})
            assert q.qmp("query-vnc")["clients"][0]["websocket"]
            q.write(MEMORY, bytes(WIDTH * 4) * 40)
            q.rgb = bytes(WIDTH * 3) * 40 + q.rgb[WIDTH * 3 * 40:]
            q.wait(shows, "noVNC does not show the change")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            server.shutdown()


run([tigervnc_shows_the_picture_in_each_encoding, tigervnc_comes_by_tls, keys_and_clicks_in_tigervnc_arrive,
     gvnccapture_takes_the_picture, vncsnapshot_with_a_password_takes_the_picture,
     novnc_in_a_browser_shows_the_picture])
