# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual's example of hostfwd: an X server in the guest, Debian's Xvfb, and programs of the host that open their
windows there."""
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import network  # noqa: E402
from console import SLOW, Skip, Tap  # noqa: E402

KEYBOARD = "/usr/share/X11/xkb"
SECONDS = 60 * SLOW


def files():
    """What Xvfb needs beside itself, by names in the guest."""
    more = {"usr/bin/xkbcomp": shutil.which("xkbcomp")}
    for path in glob.glob(KEYBOARD + "/*/*") + glob.glob(KEYBOARD + "/symbols/*/*"):
        if os.path.isfile(path):
            more[path.lstrip("/")] = path
    return more


def free_display():
    """A number whose port nobody has: X servers listen at 6000 and up."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1] - 6000


def ask(display, *command):
    done = subprocess.run([command[0], "-display", "127.0.0.1:%d" % display, *command[1:]], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
    return done.stdout


def until(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.2)


def windows_open_in_the_guest():
    for tool in ("Xvfb", "xkbcomp", "xterm", "xdpyinfo", "xwininfo"):
        if not shutil.which(tool):
            raise Skip("%s is missing (./dev setup installs it)" % tool)
    display = free_display()
    with tempfile.TemporaryDirectory(prefix="backplane-x11-") as folder, network.Guest(
            ("virtio_net", "virtio_pci"), "-nic", "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:%d-:6000" % (6000 + display),
            memory="320", boot=240, programs=("Xvfb",), more=files()) as g:
        g.dhcp()
        g.run("mkdir -p /tmp/.X11-unix; (Xvfb :0 -screen 0 523x307x24 -listen tcp -ac > /tmp/log 2>&1 &)")
        until(lambda: "523x307 pixels" in ask(display, "xdpyinfo"),
              lambda: "%s\n%s" % (ask(display, "xdpyinfo")[:500], g.status("cat /tmp/log")[1]))
        said = os.path.join(folder, "said")
        xterm = subprocess.Popen(["xterm", "-display", "127.0.0.1:%d" % display, "-title", "of the host", "-geometry",
                                  "40x10+11+22", "-e", "sh", "-c", "echo $DISPLAY > %s; read -r nothing" % said],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            until(lambda: "IsViewable" in ask(display, "xwininfo", "-name", "of the host") or xterm.poll() is not None,
                  lambda: ask(display, "xwininfo", "-root", "-tree"))
            text = ask(display, "xwininfo", "-name", "of the host")
            assert "Absolute upper-left X:  11" in text and "Absolute upper-left Y:  22" in text, text
            # Guest's own view: the window's connection comes from the host, by the forwarded port.
            until(lambda: os.path.exists(said) and ":%d" % display in open(said, encoding="ascii").read(),
                  lambda: "the shell in the window does not run")
            assert ":1770 " in g.run("grep ' 01 ' /proc/net/tcp /proc/net/tcp6")
        finally:
            xterm.terminate()
            xterm.communicate()
        until(lambda: "IsViewable" not in ask(display, "xwininfo", "-name", "of the host"), lambda: "its window stays")


tap = Tap()
tap.case("windows_open_in_the_guest", windows_open_in_the_guest)
tap.done()
