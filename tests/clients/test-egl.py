# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenGL without a window: what -display egl-headless draws is seen over VNC and by screendump as the guest wrote it;
devices that are none are refused.
Usage: test-egl.py SOURCE-ROOT BUILD-ROOT SCREEN-MODULE-FOLDER"""
import os
import random
import struct
import subprocess
import sys

SOURCE, BUILD, MODULE = sys.argv[1:4]
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))
sys.path.insert(0, os.path.join(SOURCE, "tests/qtest"))
os.environ["BACKPLANE_BUILD"] = BUILD

import rfb  # noqa: E402
from desktop import MEMORY, Desktop, Screen, draws_by_opengl, wait  # noqa: E402
from qtest import QTest  # noqa: E402
from tap import Skip, run, work_folder  # noqa: E402
from vgacard import Card  # noqa: E402

FOLDER = work_folder("egl-")
PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
VNC = os.path.join(FOLDER, "vnc")


def machine(*options, display="egl-headless", **more):
    return Screen(MODULE, "-display", display, "-vnc", "unix:" + VNC, *options, **more)


def shows(viewer, want):
    viewer.request()
    viewer.update()
    return (viewer.width, viewer.height, bytes(viewer.pixels)) == want


def vnc_shows_what_opengl_draws():
    """Whole pictures, small changes, sizes that are multiples of nothing, or larger than what is drawn at once."""
    with machine() as q:
        assert draws_by_opengl(q.process.pid), "there is no OpenGL"
        assert "llvmpipe" in q.errors() or os.path.exists("/dev/dri"), "nothing is said of the processor: " + q.errors()
        assert q.qmp("query-display-options") == {"type": "egl-headless"}
        for number, size in enumerate(((400, 300), (333, 211), (2100, 490), (501, 1100))):
            q.resize(*size)
            q.draw(20 + number)
            want = q.written()
            assert q.dump(FOLDER) == want, "screendump: %s" % (size,)
            viewer = rfb.Client(rfb.connect(path=VNC))
            wait(lambda: shows(viewer, want), "VNC: %s" % (size,))
            for at in (0, 4 * (size[0] + 1), 4 * (size[0] * size[1] - 1)):
                q.write(MEMORY + at, struct.pack("<I", 0x00C08040 + number))
            changed = q.written()
            assert changed != want
            wait(lambda: shows(viewer, changed), "VNC, what changed: %s" % (size,))
            viewer.close()


def text_is_the_same():
    """A screen of characters, without a font but with all colours."""
    def picture(display):
        with QTest(["-M", "pc", "-vga", "std", "-display", display, "-vnc", "unix:" + VNC]) as q:
            card = Card(q)
            card.mode(3)
            card.cr(0x0A, 0x2D)  # no cursor, and nothing that blinks
            card.ar(0x10, 4)
            viewer = rfb.Client(rfb.connect(path=VNC))
            viewer.request()
            viewer.update()
            q.write(0xB8000, random.Random(5).randbytes(4000))
            wait(lambda: viewer.request() or viewer.update() or len(set(viewer.pixels)) > 2, "no text comes")
            viewer.close()
            return viewer.width, viewer.height, bytes(viewer.pixels)
    plain = picture("none")
    assert plain[:2] == (720, 400) and picture("egl-headless") == plain


def windows_that_draw_so_are_not_disturbed():
    """GTK has a context of GLX on the main thread; SDL has another thread."""
    spice = "unix=on,addr=%s,disable-ticketing=on,gl=on" % os.path.join(FOLDER, "beside")
    here = [d for d in ("gtk,gl=on", "sdl,gl=core") if os.path.exists(os.path.join(BUILD, "modules/ui-%s.so" % d[:3]))]
    if not here or not os.path.exists(os.path.join(BUILD, "modules/ui-spice.so")):
        raise Skip("this build has no windows, or no SPICE")
    for display in here:
        with Desktop(FOLDER) as d, machine("-spice", spice, display=display, env=d.env) as q:
            viewer = rfb.Client(rfb.connect(path=VNC))
            for seed in (31, 32):
                q.draw(seed)
                wait(lambda: d.shows(q.written()), "%s: the window" % display)
                wait(lambda: shows(viewer, q.written()), "%s: VNC" % display)
            viewer.close()
            assert "no more" not in q.errors(), q.errors()


def refused(*options, lines=1):
    done = subprocess.run([PROGRAM, "-M", "pc", "-accel", "qtest", *options], text=True, capture_output=True,
                          timeout=60, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == lines, (options, done)
    return done.stderr


def what_is_no_device_is_refused():
    paper = os.path.join(FOLDER, "paper")
    with open(paper, "w", encoding="ascii"):
        pass
    spice = "unix=on,addr=%s,disable-ticketing=on,gl=on" % os.path.join(FOLDER, "s")
    for path, words in (("/nowhere/renderD128", "No such file"), (paper, "no DRI device"),
                        ("/dev/null", "no DRI device"), (FOLDER, "directory")):
        for options in (("-display", "egl-headless,rendernode=" + path),
                        ("-display", "none", "-spice", spice + ",rendernode=" + path)):
            said = refused(*options)
            assert "rendernode" in said and path in said and words in said, said
    assert "already" in refused("-display", "egl-headless", "-spice", spice, lines=2)


def without_opengl_it_is_refused():
    """Of a driver that is too old, and of none: EGL is told to look for drivers where there are none."""
    said = refused_in({"MESA_GL_VERSION_OVERRIDE": "2.1", "MESA_GLES_VERSION_OVERRIDE": "2.0"})
    assert "OpenGL" in said, said
    said = refused_in({"__EGL_VENDOR_LIBRARY_DIRS": FOLDER})
    assert "OpenGL" in said, said


def refused_in(env):
    before = dict(os.environ)
    os.environ.update(env)
    try:
        return refused("-display", "egl-headless")
    finally:
        os.environ.clear()
        os.environ.update(before)


run([vnc_shows_what_opengl_draws, text_is_the_same, windows_that_draw_so_are_not_disturbed,
     what_is_no_device_is_refused, without_opengl_it_is_refused])
