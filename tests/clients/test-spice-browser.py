# SPDX-License-Identifier: LGPL-2.1-or-later
"""spice-html5 in Chromium without a screen, which comes to -spice through websockify: its canvas has the picture that
screendump has, and follows it; keys and clicks arrive. Usage: test-spice-browser.py SOURCE-ROOT BUILD-ROOT
SCREEN-MODULE-FOLDER"""
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import Screen, need, wait  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("spice-browser-")
HTML5 = "/usr/share/spice-html5"
PAGE = """<!DOCTYPE html><meta charset="utf-8"><div id="screen"></div><div id="message"></div>
<script type="module">
import * as Spice from "/spice-html5/main.js";
const post = (path, body) => fetch(path, {method: "POST", body});
const main = new Spice.SpiceMainConn({uri: "ws://127.0.0.1:PORT/", screen_id: "screen", message_id: "message",
                                      password: "PASSWORD", onerror: e => post("/error", String(e && e.message))});
setInterval(async () => {
    const canvas = document.querySelector("#screen canvas");
    if (!canvas || !canvas.width) return;
    const answer = await post("/picture/" + canvas.width + "x" + canvas.height,
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    for (const [kind, init] of JSON.parse(await answer.text()))
        canvas.dispatchEvent(kind.startsWith("key") ? new KeyboardEvent(kind, init) : new MouseEvent(kind, init));
}, 300);
</script>"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    """The page tries once."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Page(http.server.BaseHTTPRequestHandler):
    """spice-html5's files, a page that uses them, and what that page posts; the answer is what shall happen to it."""

    posted = {}
    page = ""
    events = "[]"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/":
            data, kind = Page.page.encode(), "text/html"
        else:
            name = os.path.normpath(HTML5 + path.removeprefix("/spice-html5"))
            if not name.startswith(HTML5) or not os.path.isfile(name):
                self.send_error(404)
                return
            with open(name, "rb") as f:
                data, kind = f.read(), "text/javascript"
        self.answer(data, kind)

    def do_POST(self):
        Page.posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        events, Page.events = Page.events, "[]"
        self.answer(events.encode(), "application/json")

    def answer(self, data, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        try:
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            pass  # the browser is gone

    def log_message(self, *words):
        pass


class Browser:
    """Chromium with the page, and the way from it to a SPICE server."""

    def __init__(self, port, password=""):
        need("chromium", "websockify")
        if not os.path.isfile(HTML5 + "/main.js"):
            raise Skip("spice-html5 is missing (package spice-html5)")
        gate = free_port()
        Page.posted, Page.events = {}, "[]"
        Page.page = PAGE.replace("PORT", str(gate)).replace("PASSWORD", password)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.processes = []
        self.start("websockify", "127.0.0.1:%d" % gate, "127.0.0.1:%d" % port)
        try:
            wait(lambda: listens(gate), "websockify does not come")
        except AssertionError:
            self.__exit__()
            raise
        self.start("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--user-data-dir=" + os.path.join(FOLDER, "chromium"),
                   "http://127.0.0.1:%d/" % self.server.server_address[1])

    def start(self, *command):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL, start_new_session=True))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.server.shutdown()

    def shows(self, picture):
        width, height, rgb = picture
        rgba = Page.posted.get("/picture/%dx%d" % (width, height), b"")
        return b"".join(rgba[i:i + 3] for i in range(0, len(rgba), 4)) == rgb


def said():
    return {path: len(data) if path.startswith("/picture") else data for path, data in Page.posted.items()}


def the_page_shows_the_picture():
    for keys in ("", ",image-compression=quic", ",image-compression=lz"):
        port = free_port()
        with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on%s" % (port, keys)) as q:
            with Browser(port) as page:
                for seed in (1, 2):  # what is there when it comes, and what changes
                    q.draw(seed)
                    want = q.dump(FOLDER)
                    wait(lambda: page.shows(want), lambda: "%s: the page shows another picture: %s" % (keys, said()))
                assert q.qmp("query-spice")["channels"], "nobody is there"


def keys_and_clicks_arrive():
    port = free_port()
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on" % port) as q:
        with Browser(port) as page:
            want = q.dump(FOLDER)
            wait(lambda: page.shows(want), lambda: "no picture: %s" % said())
            Page.events = ('[["keydown", {"keyCode": 65}], ["keyup", {"keyCode": 65}],'
                           ' ["mousedown", {"button": 0}], ["mouseup", {"button": 0}]]')
            seen, expected = [], {(1, 30, 1), (1, 30, 0), (1, 0x110, 1), (1, 0x110, 0)}
            wait(lambda: seen.extend(q.inputs()) or expected <= set(seen), lambda: "only %s" % seen)


def a_password_is_asked_for():
    port = free_port()
    with Screen(MODULE, "-object", "secret,id=word,data=right", "-spice",
                "port=%d,addr=127.0.0.1,password-secret=word" % port) as q:
        want = q.dump(FOLDER)
        with Browser(port, "wrong") as page:
            wait(lambda: b"Permission denied." in Page.posted.get("/error", b""), lambda: "no refusal: %s" % said())
            assert not page.shows(want)
        with Browser(port, "right") as page:
            wait(lambda: page.shows(want), lambda: "no picture: %s" % said())


run([the_page_shows_the_picture, keys_and_clicks_arrive, a_password_is_asked_for])
