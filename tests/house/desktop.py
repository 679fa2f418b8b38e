# SPDX-License-Identifier: LGPL-2.1-or-later
"""A desktop without a screen (Xvfb), a machine with a picture, and what is seen of one on the other."""
import os
import random
import shutil
import struct
import subprocess
import sys
import time

from qtest import Failed, QTest
from tap import Skip

MEMORY, REGISTERS = 0xE0000000, 0xE8000000


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Skip("%s is missing (./dev setup installs it)" % tool)


def wait(condition, what, seconds=float(os.environ.get("DESKTOP_WAIT", "60"))):
    deadline = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.1)


def netpbm(data):
    """(width, height, pixels) of a PPM file with 8 bits for each colour."""
    words, at = [], 0
    while len(words) < 4:
        end = min(i for i in (data.find(b" ", at), data.find(b"\n", at)) if i >= 0)
        words.append(data[at:end])
        at = end + 1
    assert words[0] == b"P6" and words[3] == b"255", words
    return int(words[1]), int(words[2]), data[at:]


def draws_by_opengl(pid):
    """Mesa draws with threads of its own, where the computer has no graphics processor (an Xvfb has none)."""
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, thread), encoding="utf-8") as f:
            if f.read().startswith("llvmpipe"):
                return True
    return False


# XFixes tells the pointer's picture: one that is hidden has no dot.
CURSOR = """
import ctypes
x, f = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXfixes.so.3")
class Image(ctypes.Structure):
    _fields_ = [("x", ctypes.c_short), ("y", ctypes.c_short), ("width", ctypes.c_ushort), ("height", ctypes.c_ushort),
                ("xhot", ctypes.c_ushort), ("yhot", ctypes.c_ushort), ("serial", ctypes.c_ulong),
                ("pixels", ctypes.POINTER(ctypes.c_ulong))]
x.XOpenDisplay.restype = ctypes.c_void_p
f.XFixesGetCursorImage.restype = ctypes.POINTER(Image)
d = ctypes.c_void_p(x.XOpenDisplay(None))
i = f.XFixesGetCursorImage(d).contents
print("visible" if any(i.pixels[n] >> 24 & 255 for n in range(i.width * i.height)) else "hidden")
"""


class Desktop:
    """An X server without a screen, with a window manager when asked for."""

    def __init__(self, folder, manager=False, size="1000x700"):
        need("Xvfb", "xdotool", "xwd", *(["openbox", "wmctrl"] if manager else []))
        self.folder, self.manager, self.size, self.processes = folder, manager, size, []

    def __enter__(self):
        read, write = os.pipe()
        # Without -noreset it begins anew when the last client goes, and who comes then is turned away.
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", self.size + "x24",
                                        "-noreset", "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            self.name = ":" + f.readline().strip()
        self.env = {**os.environ, "DISPLAY": self.name, "HOME": self.folder, "NO_AT_BRIDGE": "1"}
        if self.manager:
            self.start("openbox", "--sm-disable")
            wait(lambda: self.run("wmctrl", "-m", check=False), "no window manager comes")
        return self

    def __exit__(self, *exception):
        for process in [*reversed(self.processes), self.server]:
            process.terminate()
            process.wait()

    def start(self, *command):
        self.processes.append(subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def run(self, *command, check=True):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done
        return done.stdout if done.returncode == 0 else ""

    def windows(self, title):
        return self.run("xdotool", "search", "--onlyvisible", "--name", title, check=False).split()

    def title(self, window):
        return self.run("xdotool", "getwindowname", window, check=False).strip()

    def geometry(self, window):
        """x, y, width, height on the screen."""
        found = dict(line.split("=") for line in self.run("xdotool", "getwindowgeometry", "--shell", window).split())
        return tuple(int(found[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def pointer_is_seen(self):
        return self.run(sys.executable, "-c", CURSOR).strip() == "visible"

    def picture(self):
        def taken():
            """xwd asks every window, and fails when one goes meanwhile."""
            done = subprocess.run(["xwd", "-root", "-silent"], env=self.env, capture_output=True, check=False)
            return done.stdout if done.returncode == 0 else None
        dump = wait(taken, "xwd takes no picture")
        words = struct.unpack(">25I", dump[:100])
        width, height, step, stride = words[4], words[5], words[11] // 8, words[12]
        assert words[7] == 0 and step in (3, 4), words  # least significant byte first
        data, rgb = dump[words[0] + 12 * words[19]:], bytearray(3 * width * height)
        for y in range(height):
            line = data[y * stride:y * stride + step * width]
            for i in range(3):
                rgb[3 * y * width + i:3 * (y + 1) * width:3] = line[2 - i::step]
        return width, height, bytes(rgb)

    def shows(self, picture):
        """Where a picture (width, height, rgb) stands on it, or None."""
        w, h, rgb = picture
        width, height, pixels = self.picture()
        at = pixels.find(rgb[:w * 3])
        while at >= 0:
            x, y = at // 3 % width, at // 3 // width
            if at % 3 == 0 and x + w <= width and y + h <= height and all(
                    pixels[((y + n) * width + x) * 3:((y + n) * width + x + w) * 3] == rgb[n * w * 3:(n + 1) * w * 3]
                    for n in range(h)):
                return x, y
            at = pixels.find(rgb[:w * 3], at + 1)
        return None


class Screen(QTest):
    """A machine with the test's screen, keyboard and pointer (tests/module/screen)."""

    def __init__(self, module, *options, width=400, height=300, device="", env=None):
        self.width, self.height = width, height
        old = dict(os.environ)
        os.environ.update(env or {})
        try:
            super().__init__(["-M", "pc", "-modules", "preload=" + os.path.join(module, "screen.so"), "-device",
                              "test-screen,id=seat,width=%d,height=%d%s" % (width, height, device), *options])
        finally:
            os.environ.clear()
            os.environ.update(old)
        self.draw(11)

    def draw(self, seed):
        rand = random.Random(seed)
        pixels = [0x305070] * (self.width * self.height)
        for _ in range(120):
            x, y = rand.randrange(self.width), rand.randrange(self.height)
            w, h = rand.randrange(1, 90), rand.randrange(1, 60)
            colours = [rand.getrandbits(24) for _ in range(rand.choice((1, 1, 2, 8, 400)))]
            for yy in range(y, min(y + h, self.height)):
                for xx in range(x, min(x + w, self.width)):
                    pixels[yy * self.width + xx] = rand.choice(colours)
        self.write(MEMORY, struct.pack("<%dI" % len(pixels), *pixels))

    def resize(self, width, height):
        self.width, self.height = width, height
        self.writel(REGISTERS, width)
        self.writel(REGISTERS + 4, height)

    def written(self):
        """What the guest has in its memory, whoever shows it: width, height, rgb."""
        size = self.width * self.height
        pixels, rgb = struct.unpack("<%dI" % size, self.read(MEMORY, 4 * size)), bytearray(3 * size)
        for i in range(3):
            rgb[i::3] = bytes(p >> (16 - 8 * i) & 255 for p in pixels)
        return self.width, self.height, bytes(rgb)

    def dump(self, folder):
        """What screendump says: width, height, rgb."""
        path = os.path.join(folder, "dump.ppm")
        self.qmp("screendump", {"filename": path})
        with open(path, "rb") as f:
            return netpbm(f.read())

    def inputs(self):
        found = []
        for _ in range(self.readl(REGISTERS + 12)):
            kind, code, value = (self.readl(REGISTERS + at) for at in (16, 20, 24))
            found.append((kind, code, value - (1 << 32) if value >> 31 else value))
        return found

    def fill(self):
        """Sends keys until nobody takes more."""
        press = [{"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": "f8"}}} for down in (True, False)]
        for most in (16, 1):
            try:
                while True:
                    self.qmp("input-send-event", {"device": "seat", "events": press * most})
            except Failed as why:
                assert "has not taken" in str(why), why

    def ended(self):
        return self.process.poll() is not None
