# SPDX-License-Identifier: LGPL-2.1-or-later
"""-spice on links of two speeds, made in a network namespace of our own: with jpeg-wan-compression=auto and
zlib-glz-wan-compression=auto pictures lose some, or are packed again, where the link is slow. Usage: test-spice-slow.py
SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import shutil
import socket
import subprocess
import sys
import time

APART = "BACKPLANE_SPICE_SLOW"
if APART not in os.environ and shutil.which("unshare"):  # where it may: the case tells why not
    os.environ[APART] = "asked for"
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0:
        os.environ[APART] = "is"
        os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])
SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

from desktop import MEMORY, Screen, need  # noqa: E402
from spicelink import DISPLAY, DRAW_COPY, MAIN, Channel, image_type  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402

FOLDER = work_folder("spice-slow-")
SECONDS = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
SLOW = 3000000  # bits a second; from 10 million on the server calls a link fast


def ip(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip("%s: %s" % (" ".join(words), done.stderr.strip()))


def link(rate):
    """The loopback of this namespace carries so many bits a second; None: all."""
    need("ip", "tc")
    if os.environ.get(APART) != "is":
        raise Skip("no network namespace may be made here")
    ip("ip", "link", "set", "lo", "mtu", "1500", "up")
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], capture_output=True, check=False)
    if rate:
        ip("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", str(rate), "burst", "16k", "limit", "1m")


def drawn(q):
    """A picture as programs draw them."""
    drawn.seed += 1
    q.draw(drawn.seed)


drawn.seed = 20


def gradient(q):
    """A picture as a camera makes them."""
    gradient.seed += 1
    start, both = gradient.seed % 11 * 9, q.width + q.height
    q.write(MEMORY, b"".join(bytes((start + (x + y) * 150 // both, x * 200 // q.width, y * 200 // q.height, 0))
                             for y in range(q.height) for x in range(q.width)))


gradient.seed = 0


def kinds_of_image(keys, draw, rate):
    """How what draw(q) makes comes to a client whose link has that rate, and how fast that was, in bits a second."""
    link(rate)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with Screen(MODULE, "-spice", "port=%d,addr=127.0.0.1,disable-ticketing=on%s" % (port, keys)) as q:
        with Channel(port, MAIN, seconds=SECONDS) as first:
            begin = time.monotonic()
            first.measure()
            speed = 8 * 250000 / (time.monotonic() - begin)
            time.sleep(0.3)  # the last answer arrives
            with Channel(port, DISPLAY, first.session, seconds=SECONDS) as c:
                c.wait(DRAW_COPY)
                draw(q)
                return {image_type(c.wait(DRAW_COPY)) for _ in range(2) if not draw(q)}, speed


def slow_links_get_what_is_small():
    need("openssl")
    for keys in ("", ",jpeg-wan-compression=auto,zlib-glz-wan-compression=auto"):
        for draw, want in ((gradient, {"jpeg"}), (drawn, {"zlib-glz"})):
            found, speed = kinds_of_image(keys, draw, SLOW)
            assert speed < 2 * SLOW, speed
            assert found == want, (keys, found)


def fast_links_get_all_of_it():
    need("openssl")
    for keys in ("", ",jpeg-wan-compression=auto,zlib-glz-wan-compression=auto"):
        for draw, want in ((gradient, {"quic"}), (drawn, {"glz"})):
            found, speed = kinds_of_image(keys, draw, None)
            assert found == want, (keys, found, speed)


def never_is_never_on_slow_links():
    need("openssl")
    for keys, draw, want in ((",jpeg-wan-compression=never", gradient, {"quic"}),
                             (",zlib-glz-wan-compression=never", drawn, {"glz"})):
        found, _ = kinds_of_image(keys, draw, SLOW)
        assert found == want, (keys, found)


run([slow_links_get_what_is_small, fast_links_get_all_of_it, never_is_never_on_slow_links])
