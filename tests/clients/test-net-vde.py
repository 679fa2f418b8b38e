# SPDX-License-Identifier: LGPL-2.1-or-later
"""-netdev vde at a real vde_switch: two machines hear each other; port, group and mode; a switch that goes.

usage: test-net-vde.py SOURCE-ROOT BUILD-ROOT
"""
import contextlib
import grp
import os
import shutil
import socket
import stat
import subprocess
import sys
import time

SOURCE, BUILD = (os.path.realpath(path) for path in sys.argv[1:3])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

import tap  # noqa: E402
from qmp import Emulator, fails  # noqa: E402
from wire import ALL, MAC, Wire, old_options, options  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
FOLDER = tap.work_folder("net-vde-")
FRAME = ALL + MAC + b"\x88\xb5" + bytes(range(200))
BACK = ALL + b"\x52\x54\0\0\0\x01" + b"\x88\xb5" + b"back" * 300  # the switch remembers where an address was


@contextlib.contextmanager
def switch(name, *more):
    """A switch at its folder; a hub, so that nothing has to be learned first."""
    path = os.path.join(FOLDER, name)
    process = subprocess.Popen(["vde_switch", "-F", "-hub", "-sock", path, *more], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not os.path.exists(os.path.join(path, "ctl")):
            assert time.monotonic() < end and process.poll() is None, "vde_switch does not start"
            time.sleep(0.02)
        yield path, process
    finally:
        process.terminate()
        process.wait(60)
        process.stdin.close()


@contextlib.contextmanager
def machine(netdev, name, words=options):
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    wire = Wire(folder)
    try:
        with Emulator(PROGRAM, "-M", "none", *words(folder, netdev)) as e:
            wire.emulator = e
            yield wire
    finally:
        wire.close()


def need():
    if not shutil.which("vde_switch"):
        raise tap.Skip("vde_switch is not installed (vde2)")


def two_machines_hear_each_other():
    need()
    with switch("lab") as (path, _), machine("vde,sock=" + path, "one") as a, machine("vde,sock=%s,port=7" % path, "two") as b:
        for sender, hearer, frame in ((a, b, FRAME), (b, a, BACK)):
            for n in range(40):
                sender.send(frame + bytes([n]))
                assert hearer.wait(lambda f: f if f.startswith(frame) else None) == frame + bytes([n]), n
        assert "sock=" + path in a.emulator.command("human-monitor-command", command_line="info network")["return"]
        with Emulator(PROGRAM, "-nodefaults", "-nic", "vde,model=e1000,sock=" + path) as e:
            text = e.command("human-monitor-command", command_line="info network")["return"]
            assert "e1000" in text and "sock=" + path in text, text


def old_backend_is_at_hub_0():
    need()
    with switch("old") as (path, _), machine("vde,sock=%s,name=blue" % path, "one", old_options) as a, \
            machine("vde,sock=" + path, "two") as b:
        a.send(FRAME)
        assert b.wait(lambda f: f if f.startswith(FRAME) else None) == FRAME
        text = a.emulator.command("human-monitor-command", command_line="info network")["return"]
        assert "blue: index=0," in text and "type=hubport,hub=0" in text, text


def other_group():
    """One that the test may give away and that files do not have anyway."""
    mine = set(os.getgroups()) - {os.getegid()} if os.geteuid() else {g.gr_gid for g in grp.getgrall()} - {os.getegid()}
    for number in sorted(mine):
        with contextlib.suppress(KeyError):
            return grp.getgrgid(number)
    raise tap.Skip("there is no other group")


def port_belongs_to_who_was_told():
    need()
    group = other_group()
    with switch("shared") as (path, _):
        with machine("vde,sock=%s,port=3,group=%s,mode=640" % (path, group.gr_name), "one"):
            # It is there, as the machine is.
            (name,) = (name for name in os.listdir(path) if name != "ctl")
            assert name.startswith("003."), name
            assert stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode) == 0o640, name
        # Our own end has a name until the switch knows it: a switch that asks the test first.
        said = fails(PROGRAM, "-M", "none", "-netdev", "vde,id=n,sock=%s,group=no-such-group" % path)
        assert "no-such-group" in said and "group of this host" in said, said
    own = os.path.join(FOLDER, "asked")
    os.makedirs(own)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(own, "ctl"))
        s.listen(4)
        s.settimeout(60)
        process = subprocess.Popen(
            [PROGRAM, "-M", "none", "-display", "none", "-netdev", "vde,id=n,sock=%s,group=%s,mode=604" % (own, group.gr_name)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with s.accept()[0] as c:
                c.settimeout(60)
                assert c.recv(4096)  # it asks: its end is there
                (name,) = (name for name in os.listdir(own) if name != "ctl")
                there = os.stat(os.path.join(own, name))
                assert stat.S_IMODE(there.st_mode) == 0o604 and there.st_gid == group.gr_gid, (there, group)
        finally:
            process.kill()
            process.wait()


def switch_that_is_silent_is_told_of():
    """It takes the connection and says nothing."""
    folder = os.path.join(FOLDER, "silent")
    os.makedirs(folder)
    with socket.socket(socket.AF_UNIX) as s, Emulator(PROGRAM, "-M", "none") as e:
        s.bind(os.path.join(folder, "ctl"))
        s.listen(4)
        error = e.command("netdev_add", type="vde", id="n", sock=folder)["error"]
        assert "does not answer" in error["desc"], error
        assert "return" in e.command("query-status")
        e.command("quit")
        assert e.process.wait(60) == 0


def users_without_privileges_come_in():
    """As nobody, where the test is root's: whom a mode shuts out is no longer shut out by what root may."""
    need()
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise tap.Skip("needs root and setpriv, to be somebody else")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    folder = os.path.join(FOLDER, "theirs")
    os.makedirs(folder)
    os.chown(folder, 65534, 65534)
    for path in (FOLDER, folder):
        os.chmod(path, 0o755)
    path = os.path.join(folder, "s")
    process = subprocess.Popen([*user, "vde_switch", "-F", "-hub", "-sock", path], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not os.path.exists(os.path.join(path, "ctl")):
            assert time.monotonic() < end and process.poll() is None, "vde_switch does not start"
            time.sleep(0.02)
        done = subprocess.run([*user, PROGRAM, "-M", "none", "-netdev", "vde,id=n,sock=" + path, "-qmp", "stdio",
                               "-display", "none"], input='{"execute":"qmp_capabilities"}{"execute":"quit"}',
                              capture_output=True, text=True, timeout=60, check=False)
        if "ermission" in done.stderr and "vde" not in done.stderr:
            raise tap.Skip("another user cannot run what was built here: " + done.stderr)
        assert done.returncode == 0 and '"QMP"' in done.stdout, done
    finally:
        process.terminate()
        process.wait(60)
        process.stdin.close()


def switch_that_goes_pulls_the_cable():
    need()
    with switch("short") as (path, process), machine("vde,sock=" + path, "one") as a:
        process.terminate()
        process.wait(60)
        end = time.monotonic() + 60
        while "the switch has gone" not in \
                a.emulator.command("human-monitor-command", command_line="info network")["return"]:
            assert time.monotonic() < end, "nothing is noticed"
            time.sleep(0.02)
        a.send(FRAME)
        assert "return" in a.emulator.command("query-status")


def wrong_keys_are_refused_in_words():
    for netdev, words in (("vde,id=n,sock=%s/none" % FOLDER, ("cannot connect to the switch", "vde_switch")),
                          ("vde,id=n,sock=/,mode=9", ("mode=9", "octal")), ("vde,id=n,port=70000", ("70000",)),
                          ("vde,id=n,sockt=/", ("sockt",))):
        said = fails(PROGRAM, "-M", "none", "-netdev", netdev)
        for word in words:
            assert word in said, (word, said)


tap.run([two_machines_hear_each_other, old_backend_is_at_hub_0, port_belongs_to_who_was_told, switch_that_is_silent_is_told_of, users_without_privileges_come_in,
         switch_that_goes_pulls_the_cable,
         wrong_keys_are_refused_in_words])
