# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The process: -sandbox, -run-with, -runas. Usage: test-process.py SOURCE-ROOT BUILD-ROOT FOLDER-OF-TEST-MODULES
sandbox|none
"""
import os
import pwd
import signal
import subprocess
import sys
import time

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", "house")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
MODULES = sys.argv[3]
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
DIR = tap.work_folder("process-")
DENY = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def need_sandbox():
    if sys.argv[4] != "sandbox":
        raise tap.Skip("built without libseccomp")


def need_root():
    if os.getuid() != 0:
        raise tap.Skip("only root can become somebody else")


def status(pid, key, thread=None):
    with open("/proc/%d/%sstatus" % (pid, "task/%s/" % thread if thread else "")) as f:
        return next(line.split(":", 1)[1].split() for line in f if line.startswith(key + ":"))


def refused(*args):
    run = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", "-accel", "qtest", *args], capture_output=True,
                         text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    assert run.returncode == 1, (args, run)
    return run.stderr


def call(e, name):
    """What the monitor says, or the signal that ended the process."""
    try:
        return e.command("human-monitor-command", command_line="test-call " + name)["return"].strip()
    except (AssertionError, BrokenPipeError):
        return signal.Signals(-e.process.wait(WAIT)).name


def machine_runs_with_every_class_denied():
    need_sandbox()
    with Emulator(PROGRAM, "-sandbox", DENY, "-M", "pc", "-m", "32", quiet=("-nodefaults", "-display", "none")) as e:
        for thread in os.listdir("/proc/%d/task" % e.process.pid):
            assert status(e.process.pid, "Seccomp", thread) == ["2"], thread
        assert status(e.process.pid, "NoNewPrivs") == ["1"]
        assert e.command("query-status")["return"]["status"] == "running"
        assert "return" in e.command("device_add", driver="edu", id="d")
        assert "return" in e.command("object-add", qom_type="iothread", id="t")
        assert "return" in e.command("stop") and "return" in e.command("cont")
        e.command("quit")
        assert e.process.wait(WAIT) == 0


def each_class_is_denied_by_itself():
    need_sandbox()
    for option, outcomes in (
            ("off", {"fork": "done", "setuid": "done", "priority": "done", "obsolete": "failed: EINVAL"}),
            ("on", {"fork": "done", "setuid": "done", "priority": "done", "obsolete": "SIGSYS", }),
            ("on,obsolete=allow", {"obsolete": "failed: EINVAL"}),
            ("on,spawn=deny", {"setuid": "done", "fork": "failed: EPERM", "priority": "done"}),
            ("on,elevateprivileges=deny", {"fork": "done", "setuid": "SIGSYS"}),
            ("on,elevateprivileges=children", {"fork": "done", "setuid": "done"}),
            ("on,resourcecontrol=deny", {"fork": "done", "priority": "failed: EPERM"}),
            ("on,obsolete=allow,spawn=allow", {"swapon": "SIGSYS"})):
        with Emulator(PROGRAM, "-module-dir", MODULES, "-sandbox", option) as e:
            for name, outcome in outcomes.items():
                assert call(e, name) == outcome, (option, name, outcome)


def program_that_may_not_start_is_told_and_the_machine_goes_on():
    need_sandbox()
    need_root()
    text = refused("-sandbox", "on,spawn=deny", "-netdev", "tap,id=n,ifname=bptest%d,script=/bin/true")
    if "/dev/net/tun" in text:
        raise tap.Skip("no TAP interfaces here")
    assert "/bin/true" in text and "Operation not permitted" in text, text


def wrong_words_are_refused():
    need_sandbox()
    for option, word in (("maybe", "enable"), ("on,spawn=children", "spawn"), ("on,nosuch=deny", "nosuch"),
                         ("on,obsolete=no", "obsolete")):
        assert word in refused("-sandbox", option), option
    assert "'user'" in refused("-run-with", "user=no-such-user-here")
    for text in ("12", "a:b", "1:2:3", "1:", "-1:2", "99999999999:1"):
        assert "'user'" in refused("-run-with", "user=" + text), text
    assert "/no/such/folder" in refused("-run-with", "chroot=/no/such/folder")
    assert "async-teardown" in refused("-run-with", "async-teardown=perhaps")


def guest_starts_as_another_user():
    need_root()
    nobody = pwd.getpwnam("nobody")
    for option, uid, gid in ((("-run-with", "user=nobody"), nobody.pw_uid, nobody.pw_gid),
                             (("-run-with", "user=4321:8765"), 4321, 8765),
                             (("-runas", "nobody"), nobody.pw_uid, nobody.pw_gid)):
        with Emulator(PROGRAM, *option) as e:
            assert status(e.process.pid, "Uid") == [str(uid)] * 4, option
            assert status(e.process.pid, "Gid") == [str(gid)] * 4, option
            groups = [int(g) for g in status(e.process.pid, "Groups")]
            assert groups == (sorted(os.getgrouplist("nobody", gid)) if uid != 4321 else [8765]), (option, groups)
            for thread in os.listdir("/proc/%d/task" % e.process.pid):
                assert status(e.process.pid, "Uid", thread) == [str(uid)] * 4, thread
            e.process.kill()
            said = e.process.stderr.read()
            assert ("deprecated: use -run-with user=nobody" in said) == (option[0] == "-runas"), said


def guest_starts_in_another_root():
    need_root()
    root = os.path.join(DIR, "root")
    os.makedirs(root, exist_ok=True)
    with Emulator(PROGRAM, "-run-with", "chroot=%s,user=nobody" % root) as e:
        assert os.readlink("/proc/%d/root" % e.process.pid) == root
        assert os.readlink("/proc/%d/cwd" % e.process.pid) == root
        assert "error" in e.command("screendump", filename="/etc/x")


def cleaner_outlives_the_process():
    with Emulator(PROGRAM, "-M", "pc", "-m", "64", "-run-with", "async-teardown=on") as e:
        name = "cleanup/%d" % e.process.pid
        mine = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/comm" % pid) as f:
                    if f.read().strip() == name[:15]:
                        mine.append(int(pid))
            except OSError:
                pass
        assert len(mine) == 1, (name, mine)
        assert status(mine[0], "PPid") == [str(e.process.pid)]
        assert os.listdir("/proc/%d/fd" % mine[0]) == [], "it holds nothing open"
        with open("/proc/%d/smaps" % mine[0]) as ours, open("/proc/%d/smaps" % e.process.pid) as its:
            assert len(ours.read().splitlines()) > 100 and its.read(1), "it shares the address space"
        e.process.kill()
        e.process.wait()
        end = time.monotonic() + WAIT
        while os.path.exists("/proc/%d/maps" % mine[0]) and status(mine[0], "State")[0] not in "ZX":
            assert time.monotonic() < end, "it did not end"
            time.sleep(0.05)


tap.run([machine_runs_with_every_class_denied, each_class_is_denied_by_itself,
         program_that_may_not_start_is_told_and_the_machine_goes_on, wrong_words_are_refused,
         guest_starts_as_another_user, guest_starts_in_another_root, cleaner_outlives_the_process])
