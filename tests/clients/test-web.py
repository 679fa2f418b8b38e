# SPDX-License-Identifier: LGPL-2.1-or-later
"""-display web in a browser (Chromium without a screen, driven by its DevTools protocol over pipes): the page shows what
screendump says, keys, clicks and pasted text arrive, the buttons do what they say, text consoles are tabs; and what
strangers get.
Usage: test-web.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import base64
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import rfb  # noqa: E402
from desktop import Screen, need, wait  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("web-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
KEY, ABS = 1, 3


class Browser:
    """A page in Chromium."""

    def __init__(self, url):
        need("chromium")
        self.to_read, to_write = os.pipe()
        from_read, self.from_write = os.pipe()
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&%d 4>&%d; exec "$@"' % (from_read, to_write), "bash", "chromium", "--headless",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             "--user-data-dir=" + os.path.join(FOLDER, "chromium"), "about:blank"], pass_fds=[from_read, to_write],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(from_read)
        os.close(to_write)
        self.rest, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url=url)["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.bringToFront")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.from_write)
        os.close(self.to_read)

    def message(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            ready = select.select([self.to_read], [], [], max(0, end - time.monotonic()))[0]
            data = os.read(self.to_read, 1 << 20) if ready else b""
            assert data, "the browser says nothing"
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.from_write, json.dumps(request).encode() + b"\0")
        while True:
            reply = self.message()
            if reply.get("id") == self.number:
                assert "result" in reply, reply
                return reply["result"]

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector, dx=None, dy=None):
        x, y, w, h = self.value("(() => { const r = document.querySelector('%s').getBoundingClientRect();"
                                "return [r.x, r.y, r.width, r.height]; })()" % selector)
        place = {"x": x + (w / 2 if dx is None else dx), "y": y + (h / 2 if dy is None else dy), "button": "left",
                 "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"], y=place["y"])
        self.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def key(self, key, code):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)

    def lines(self, name):
        """The text of a console's terminal."""
        return self.value("""(() => {
            const tab = [...document.querySelectorAll('#tabs button')].find(t => t.dataset.name === 'console-%s');
            if (!tab) return null;
            const buffer = tab.terminal._core.buffer, lines = [];
            for (let i = 0; i < buffer.lines.length; i++) lines.push(buffer.translateBufferLineToString(i, true));
            return lines.join('\\n').trimEnd(); })()""" % name)

    def enter(self, text):
        for character in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def canvas(self):
        """What the screen shows: (width, height, rgb), or None."""
        text = self.value("""(() => {
            const c = document.querySelector('#screen canvas');
            if (!c || !c.width) return null;
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let s = '';
            for (let i = 0; i < d.length; i += 4) s += String.fromCharCode(d[i], d[i + 1], d[i + 2]);
            return [c.width, c.height, btoa(s)]; })()""")
        return (text[0], text[1], base64.b64decode(text[2])) if text else None


def machine(*options, addr=""):
    if not os.path.isfile("/usr/share/novnc/core/rfb.js"):
        raise Skip("noVNC is missing (package novnc)")
    return Screen(MODULE, "-display", "web" + addr, *options)


def address(q):
    said = re.search(r"http://([0-9.]+):([0-9]+)/([0-9a-f]{32})/", q.errors())
    assert said, q.errors()
    return said[0], said[1], int(said[2]), said[3]


def ask(port, request, host="127.0.0.1"):
    """Status and body of an answer."""
    with socket.create_connection((host, port), timeout=SECONDS) as s:
        s.sendall(request)
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b" ")[1].decode() if data else "", head, body


def get(port, path):
    return ask(port, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())


def browser_shows_what_screendump_says():
    with machine("-name", "zebra") as q, Browser(address(q)[0]) as b:
        wait(lambda: b.canvas() == q.dump(FOLDER), "the picture does not come")
        assert "zebra" in b.value("document.title")
        q.draw(12)
        wait(lambda: b.canvas() == q.dump(FOLDER), "what the guest drew later does not come")
        q.resize(520, 333)
        q.draw(13)
        wait(lambda: b.canvas() == q.dump(FOLDER), "the new size does not come")
        assert q.qmp("query-display-options") == {"type": "web"}


def keys_clicks_and_pasted_text_arrive():
    with machine() as q, Browser(address(q)[0]) as b:
        wait(lambda: b.canvas() == q.dump(FOLDER), "the picture does not come")
        seen = []
        b.click("#screen canvas", 100, 30)
        want = {(KEY, 0x110, 1), (KEY, 0x110, 0), (ABS, 0, 100 * 32767 // 399), (ABS, 1, 30 * 32767 // 299)}
        wait(lambda: seen.extend(q.inputs()) or want <= set(seen), lambda: "missing: %s" % (want - set(seen)))
        b.key("a", "KeyA")
        b.key("ArrowRight", "ArrowRight")
        want = {(KEY, 30, 1), (KEY, 30, 0), (KEY, 106, 1), (KEY, 106, 0)}
        wait(lambda: seen.extend(q.inputs()) or want <= set(seen), lambda: "missing: %s" % (want - set(seen)))
        q.inputs()
        b.click("#show-paste")
        wait(lambda: not b.value("document.getElementById('paste').hidden"), "no place for text opens")
        b.value("document.getElementById('text').value = 'uName\\n'")
        b.click("#type")
        keys = []
        wait(lambda: keys.extend(e[1:] for e in q.inputs() if e[0] == KEY) or len(keys) >= 14, lambda: "typed: %s" % keys)
        want = [(22, 1), (22, 0), (42, 1), (49, 1), (42, 0), (49, 0), (30, 1), (30, 0), (50, 1), (50, 0), (18, 1), (18, 0),
                (28, 1), (28, 0)]
        assert keys == want, keys


def buttons_do_what_they_say():
    with machine() as q, Browser(address(q)[0]) as b:
        wait(lambda: b.canvas() == q.dump(FOLDER), "the picture does not come")

        def told(event):
            q.qmp("query-status")
            return any(e["event"] == event for e in q.events)
        b.click("#down")
        wait(lambda: told("POWERDOWN"), "it is not told to power down")
        b.click("#reset")
        wait(lambda: told("RESET"), "it is not reset")
        q.inputs()
        b.click("#cad")
        keys = []
        wait(lambda: keys.extend(e[1:] for e in q.inputs() if e[0] == KEY) or len(keys) >= 6, lambda: "keys: %s" % keys)
        assert [k for k in keys if k[1] == 1] == [(29, 1), (56, 1), (111, 1)], keys


class Serial:
    """The guest's first serial port, through its registers."""

    def __init__(self, q):
        self.q = q

    def say(self, text):
        for byte in text.encode():
            self.q.outb(0x3F8, byte)

    def hear(self, count):
        heard = bytearray()
        wait(lambda: self.take(heard) or len(heard) >= count, lambda: "heard only %r" % bytes(heard[-80:]))
        return bytes(heard)

    def take(self, heard):
        self.q.qmp("query-status")
        while self.q.inb(0x3FD) & 1:
            heard.append(self.q.inb(0x3F8))


def need_terminal():
    if not os.path.isfile("/usr/share/nodejs/xterm/lib/Terminal.js"):
        raise Skip("xterm.js is missing (package node-xterm)")


def text_consoles_are_tabs():
    need_terminal()
    with machine("-serial", "vc", "-monitor", "vc") as q:
        guest = Serial(q)
        guest.say("before: \u00e4\r\n\x1b[31mred\x1b[0m \x1b[6n\x1b[c")  # it asks where the cursor is, and who this is
        asked = guest.hear(6)
        with Browser(address(q)[0]) as b:
            wait(lambda: b.lines("serial0"), "the console does not come")
            wait(lambda: b.lines("serial0") == "before: \u00e4\nred", lambda: b.lines("serial0"))
            assert b.value("[...document.querySelectorAll('#tabs button')].map(t => t.textContent)") == [
                "Screen", "compat_monitor1", "serial0"]
            assert not b.value("document.getElementById('screen').hidden")
            b.click("#tabs button[data-name=console-serial0]")
            assert b.value("document.getElementById('screen').hidden")
            b.enter("hi\r")
            more = guest.hear(3)
            assert more == b"hi\r", (asked, more)  # and no second answer
            guest.say("\r\nand later")
            wait(lambda: b.lines("serial0").endswith("red\nand later"), lambda: b.lines("serial0"))
            b.click("#tabs button[data-name=console-compat_monitor1]")
            b.enter("info name\r")
            wait(lambda: "info name\n" in b.lines("compat_monitor1"), lambda: b.lines("compat_monitor1"))
            b.click("#tabs button[data-name=screen]")
            wait(lambda: b.canvas() == q.dump(FOLDER), "the picture does not come")
            q.inputs()
            b.key("a", "KeyA")
            seen = []
            wait(lambda: seen.extend(q.inputs()) or {(KEY, 30, 1), (KEY, 30, 0)} <= set(seen), lambda: "%s" % seen)
    with machine("-serial", "none", "-monitor", "none", "-parallel", "none") as q, Browser(address(q)[0]) as b:
        wait(lambda: b.canvas() == q.dump(FOLDER), "the picture does not come")
        assert b.value("document.getElementById('tabs').hidden")


def console(q, name):
    _, _, port, token = address(q)
    return rfb.WebSocket(socket.create_connection(("127.0.0.1", port), timeout=SECONDS),
                         "/%s/console/%s" % (token, name))


def heard(ws, until):
    text = b""
    while not until(text):
        text += ws.recv(1 << 20)
    return text


def what_is_typed_waits_for_the_guest():
    with machine("-serial", "vc", "-monitor", "vc") as q:
        guest, ws = Serial(q), console(q, "serial0")
        text = b"".join(b"%05d " % n for n in range(3000))
        ws.send_frame(1, text[:9000])  # as text
        ws.sendall(text[9000:])
        assert guest.hear(len(text)) == text
        # Who comes later gets what is kept, from the beginning of a line on; and what is new, both.
        monitor = console(q, "compat_monitor1")
        size = 0
        while size < 150000:
            monitor.sendall(b"help\n")
            size += len(heard(monitor, lambda t: t.endswith(b"(qemu) ") and len(t) > 1000))
        late = console(q, "compat_monitor1")
        kept = heard(late, lambda t: t.endswith(b"(qemu) "))
        assert 60000 < len(kept) <= 65536 and kept.startswith(b"\n"), (len(kept), kept[:80])
        late.sendall(b"info name\n")
        for ws in (monitor, late):
            assert b"info name" in heard(ws, lambda t: t.count(b"(qemu) ") == 1)


def consoles_come_and_go():
    with machine("-serial", "none", "-monitor", "none", "-parallel", "none") as q:
        _, _, port, token = address(q)

        def listed():
            return json.loads(get(port, "/%s/consoles" % token)[2])
        assert listed() == []
        q.qmp("chardev-add", {"id": "late", "backend": {"type": "vc", "data": {"cols": 100, "rows": 30}}})
        assert listed() == [{"id": "late", "columns": 100, "rows": 30}]
        held = [console(q, "late") for _ in range(64)]
        q.qmp("chardev-remove", {"id": "late"})
        assert listed() == []
        for ws in held:
            try:
                while ws.sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        for name in ("late", "none"):
            try:
                console(q, name)
                raise AssertionError("a console that is not there")
            except (rfb.Closed, ConnectionResetError):
                pass


def who_does_not_read_a_console_is_cut_off():
    with machine("-monitor", "vc", "-serial", "none") as q:
        ws, other = console(q, "compat_monitor1"), console(q, "compat_monitor1")
        ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        size = 0
        while size < 12 << 20:
            other.sendall(b"help\n" * 20)
            size += len(heard(other, lambda t: t.count(b"(qemu) ") >= 20))
        total = 0
        try:
            while True:
                total += len(ws.recv(1 << 20))
        except (rfb.Closed, ConnectionResetError):
            pass
        assert total < size, total


def text_of_the_screen_is_copied():
    """The first screen is a text console here: there is no adapter."""
    if not os.path.isfile("/usr/share/novnc/core/rfb.js"):
        raise Skip("noVNC is missing (package novnc)")
    with QTest(["-M", "pc", "-vga", "none", "-nodefaults", "-display", "web", "-chardev", "vc,id=c", "-serial",
                "chardev:c"]) as q:
        Serial(q).say("\r\n  one \u00e4   \r\n\r\nthree \u2502\r\n")
        _, _, port, token = address(q)
        status, head, body = get(port, "/%s/text" % token)
        assert (status, body.decode()) == ("200", "\n  one \u00e4\n\nthree \u2502\n"), (status, body)
        assert b"charset=utf-8" in head, head
        with Browser(address(q)[0]) as b:
            wait(lambda: b.canvas(), "the picture does not come")
            b.click("#copy")
            wait(lambda: b.value("document.getElementById('text').value") == body.decode(), "the text does not come")
            assert not b.value("document.getElementById('paste').hidden")
    with machine() as q:
        _, _, port, token = address(q)
        assert get(port, "/%s/text" % token)[0] == "404"


def strangers_get_nothing():
    with machine() as q:
        _, host, port, token = address(q)
        assert host == "127.0.0.1"
        good = "/%s/" % token
        assert get(port, good)[0] == "200" and get(port, good + "page.js")[0] == "200"
        assert get(port, good + "novnc/core/rfb.js")[0] == "200"
        wrong = ("0" if token[0] != "0" else "1") + token[1:]
        for path in ("/", "/" + token, "/%s/" % wrong, "/%s/page.js" % wrong, "/%s/rfb" % wrong, good + "x",
                     "/%s/consoles" % wrong, "/%s/text" % wrong, "/%s/console/serial0" % wrong, good + "console/",
                     good + "console/../rfb", good + "xterm/../../../../etc/passwd", good + "xterm/",
                     good + "novnc/../../../etc/passwd", good + "novnc//etc/passwd", good + "novnc/core",
                     good + "novnc/%2e%2e/x", good + "novnc/", "/" + "a" * 200):
            status, _, body = get(port, path)
            assert status == "404" and body == b"404 Not Found", (path, status)
        for request, status in ((b"POST %s HTTP/1.1\r\n\r\n" % good.encode(), "405"), (b"GET \r\n\r\n", "400"),
                                (b"GET /\0 HTTP/1.1\r\n\r\n", "400"), (b"x" * 8192, "431"),
                                (b"GET /" + b"a" * 500 + b" HTTP/1.1\r\n\r\n", "400")):
            assert ask(port, request)[0] == status, (request[:40], status)
        assert b"Content-Security-Policy" in get(port, good)[1]
        status, _, _ = get(port, good + "rfb")
        assert status == "400", status
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.2", port)) != 0, "it listens on more than the loopback address"


def pages_of_others_get_no_screen():
    with machine("-serial", "vc") as q:
        _, _, port, token = address(q)

        def upgrade(what, *lines):
            request = ("GET /%s/%s HTTP/1.1" % (token, what), "Connection: Upgrade", "Upgrade: websocket",
                       "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", "")
            with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as s:
                s.sendall("\r\n".join(request).encode())
                return s.recv(65536).split(b" ")[1].decode()
        ours = "127.0.0.1:%d" % port
        for lines, status in ((("Host: " + ours, "Origin: http://" + ours), "101"),
                              (("Host: Desk.example", "Origin: https://desk.example"), "101"),  # behind a proxy
                              (("Host: " + ours,), "101"),  # no browser
                              (("Host: " + ours, "Origin: http://evil.example"), "403"),
                              (("Host: " + ours, "Origin: http://%s0" % ours), "403"),
                              (("Host: " + ours, "Origin: null"), "403"), (("Host: " + ours, "Origin: " + ours), "403"),
                              (("Origin: http://" + ours,), "403")):
            for what in ("rfb", "console/serial0"):
                assert upgrade(what, *lines) == status, (what, lines, status)


def stalled_visitors_cost_little():
    with machine() as q:
        port, token = address(q)[2:]
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for s in held[:20]:
            s.sendall(b"GET /%s/novnc/core/rfb.js HTTP/1.1\r\n" % token.encode())
        assert q.qmp("query-status")["running"]
        for s in held:
            s.close()
        wait(lambda: get(port, "/%s/" % token)[0] == "200", "it serves nobody any more")


def addresses_are_as_told():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    for addr, reached in ((":%d", "127.0.0.1 127.0.0.2 ::1"), ("[::1]:%d", "::1"), ("[::]:%d", "::1"),
                          ("0.0.0.0:%d", "127.0.0.1 127.0.0.2"), ("localhost:%d", "127.0.0.1")):
        with machine(addr=",addr=" + addr % port):
            for host in ("127.0.0.1", "127.0.0.2", "::1"):
                with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
                    if addr != "localhost:%d" or host != "::1":  # where there is that name for it
                        assert (s.connect_ex((host, port)) == 0) == (host in reached.split()), (addr, host)
    with socket.socket() as s:  # a part of what was asked for is not enough
        s.bind(("127.0.0.1", port))
        s.listen()
        done = subprocess.run([PROGRAM, "-accel", "qtest", "-display", "web,addr=:%d" % port], capture_output=True,
                              text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 1 and "in use" in done.stderr, done
    with machine(addr=",addr=127.0.0.1:%d" % port) as q:
        assert address(q)[2] == port
    with machine() as first, machine() as second:
        assert address(first)[2] != address(second)[2] and address(first)[3] != address(second)[3]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        for addr, words in (("127.0.0.1", "HOST:PORT"), ("127.0.0.1:0", "65535"), ("127.0.0.1:x", "HOST:PORT"),
                            ("127.0.0.1:99999", "65535"), ("no.such.host.invalid:6080", "no.such.host.invalid"),
                            ("127.0.0.1:%d" % s.getsockname()[1], "in use")):
            done = subprocess.run([PROGRAM, "-accel", "qtest", "-display", "web,addr=" + addr], capture_output=True,
                                  text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
            said = done.stderr.strip().splitlines()
            assert done.returncode == 1 and len(said) == 1 and words in said[0], (addr, done)


run([browser_shows_what_screendump_says, keys_clicks_and_pasted_text_arrive, buttons_do_what_they_say,
     text_consoles_are_tabs, what_is_typed_waits_for_the_guest, consoles_come_and_go,
     who_does_not_read_a_console_is_cut_off, text_of_the_screen_is_copied,
     strangers_get_nothing, pages_of_others_get_no_screen, stalled_visitors_cost_little, addresses_are_as_told])
