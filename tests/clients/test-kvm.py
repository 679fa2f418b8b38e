# SPDX-License-Identifier: LGPL-2.1-or-later
"""What -accel kvm says when it cannot, and what takes its place. Usage: test-kvm.py SOURCE-ROOT BUILD-ROOT"""
import os
import platform
import re
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
QUIET = ("-nodefaults", "-display", "none", "-S")


def run(*args, files=()):
    return subprocess.run([PROGRAM, *QUIET, *args], capture_output=True, text=True, timeout=WAIT, pass_fds=files,
                          stdin=subprocess.DEVNULL, check=False)


def refused(*args, files=()):
    done = run(*args, files=files)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, (args, done)
    return lines[0]


def need_module():
    if platform.machine() != "x86_64":
        raise tap.Skip("the module accel-kvm is for hosts of x86-64")


def need_kvm():
    need_module()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("/dev/kvm is missing, or not for this user")


def accelerators(machine):
    with open("/proc/%d/maps" % machine.process.pid, encoding="ascii") as file:
        return set(re.findall(r"accel-(\w+)\.so", file.read()))


def wrong_nodes_are_errors():
    need_module()
    line = refused("-accel", "kvm,device=/nonexistent/kvm")
    assert "-accel: accelerator 'kvm': cannot open '/nonexistent/kvm'" in line and "-accel tcg" in line, line
    line = refused("-accel", "kvm,device=/dev/null")
    assert "'/dev/null' is not a node of KVM" in line and "/dev/kvm" in line, line
    line = refused("-accel", "kvm,device=/dev/fdset/7")
    assert "/dev/fdset/7" in line and "-add-fd" in line, line
    assert "nosuch" in refused("-accel", "kvm,nosuch=1")
    assert "on, off, split" in refused("-accel", "kvm,kernel-irqchip=maybe")
    if not os.path.exists("/dev/kvm"):
        line = refused("-enable-kvm")
        assert "-enable-kvm: " in line and "/dev/kvm" in line and "kvm-intel or kvm-amd" in line, line


def the_next_accelerator_takes_its_place():
    need_module()
    args = ("-accel", "kvm,device=/nonexistent/kvm", "-accel", "tcg")
    with Emulator(PROGRAM, *args, quiet=QUIET) as machine:
        assert accelerators(machine) == {"kvm", "tcg"}
        assert not machine.command("query-kvm")["return"]["enabled"]
        machine.process.kill()
        text = machine.process.stderr.read()
        assert "/nonexistent/kvm" in text and "trying the next one" in text, text


def it_runs_when_it_is_asked_for():
    need_kvm()
    for args in (("-accel", "kvm"), ("-enable-kvm",), ("-M", "pc,accel=kvm:tcg"), ("-accel", "kvm,device=/dev/kvm"),
                 ("-accel", "kvm", "-accel", "tcg"), ("-accel", "kvm,kernel-irqchip=off")):
        with Emulator(PROGRAM, *args, quiet=QUIET) as machine:
            assert machine.command("query-kvm")["return"] == {"enabled": True, "present": True}, args
            assert accelerators(machine) == {"kvm"}, args
    with Emulator(PROGRAM, quiet=QUIET) as machine:
        assert accelerators(machine) == {"tcg"}, "tcg is the default"


def node_may_be_a_descriptor():
    need_kvm()
    fd = os.open("/dev/kvm", os.O_RDWR)
    read_only = os.open("/dev/kvm", os.O_RDONLY)
    null = os.open("/dev/null", os.O_RDWR)
    try:
        done = subprocess.run([PROGRAM, *QUIET, "-add-fd", "fd=%d,set=9" % fd, "-accel", "kvm,device=/dev/fdset/9",
                               "-monitor", "stdio"], input="info kvm\nquit\n", pass_fds=(fd,), capture_output=True,
                              text=True, timeout=WAIT, check=False)
        assert done.returncode == 0 and "kvm support: enabled" in done.stdout, done
        line = refused("-add-fd", "fd=%d,set=9" % read_only, "-accel", "kvm,device=/dev/fdset/9", files=(read_only,))
        assert "/dev/fdset/9" in line and "reading and writing" in line, line
        line = refused("-add-fd", "fd=%d,set=9" % null, "-accel", "kvm,device=/dev/fdset/9", files=(null,))
        assert "not a node of KVM" in line, line
    finally:
        for number in (fd, read_only, null):
            os.close(number)


def models_have_what_the_processor_has():
    need_kvm()
    done = run("-accel", "kvm", "-cpu", "max,+fma4,enforce")
    assert done.returncode == 1 and "accelerator 'kvm' does not execute" in done.stderr and "fma4" in done.stderr, done
    with Emulator(PROGRAM, "-accel", "kvm", "-cpu", "host", quiet=QUIET) as machine:
        vendor = machine.command("qom-get", path="/machine/unattached/device[0]", property="vendor")["return"]
        with open("/proc/cpuinfo", encoding="ascii") as file:
            assert re.search(r"vendor_id\s*: (\S+)", file.read())[1] == vendor
        assert machine.command("qom-get", path="/machine/unattached/device[0]", property="unavailable-features")["return"] == []
        machine.process.kill()
        assert "host" not in machine.process.stderr.read()


tap.run([wrong_nodes_are_errors, the_next_accelerator_takes_its_place, it_runs_when_it_is_asked_for,
         node_may_be_a_descriptor, models_have_what_the_processor_has])
