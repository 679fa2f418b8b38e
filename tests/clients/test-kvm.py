# SPDX-License-Identifier: LGPL-2.1-or-later
"""What -accel kvm says when it cannot, and what takes its place. Usage: test-kvm.py SOURCE-ROOT BUILD-ROOT"""
import os
import platform
import re
import shutil
import subprocess
import sys

os.environ.setdefault("BACKPLANE_BUILD", sys.argv[2])
sys.path[:0] = [os.path.join(sys.argv[1], "tests", folder) for folder in ("house", "qtest")]
import tap  # noqa: E402
from qmp import Emulator  # noqa: E402

PROGRAM = os.path.join(sys.argv[2], "backplane-system-x86_64")
WAIT = 60 * float(os.environ.get("BACKPLANE_SLOW", "1"))
FOLDER = tap.work_folder("backplane-kvm-options-")
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
                 ("-accel", "kvm", "-accel", "tcg"), ("-accel", "kvm,kernel-irqchip=off"),
                 ("-accel", "kvm,kernel-irqchip=split")):
        with Emulator(PROGRAM, *args, quiet=QUIET) as machine:
            assert machine.command("query-kvm")["return"] == {"enabled": True, "present": True}, args
            assert accelerators(machine) == {"kvm"}, args
    line = refused("-accel", "kvm,kernel-irqchip=on")
    assert "kernel-irqchip=on" in line and "kernel-irqchip=split or off" in line, line
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


def shim():
    """A library that listens to what is asked of KVM, and the file that it writes."""
    if not shutil.which("gcc"):
        raise tap.Skip("gcc is missing")
    path = os.path.join(FOLDER, "shim.so")
    if not os.path.exists(path):
        subprocess.run(["gcc", "-shared", "-fPIC", os.path.join(sys.argv[1], "tests/clients/kvm-shim.c"), "-o", path, "-ldl"],
                       check=True)
    log = os.path.join(FOLDER, "shim.log")
    if os.path.exists(log):
        os.unlink(log)
    environment = {"LD_PRELOAD": path, "KVM_SHIM_LOG": log}
    if subprocess.run([PROGRAM, "-version"], env={**os.environ, **environment}, capture_output=True, check=False).returncode:
        raise tap.Skip("this program does not take a library in front of its own (a sanitizer)")
    return environment


def heard(environment):
    with open(environment["KVM_SHIM_LOG"], encoding="ascii") as file:
        return file.read()


def asked(*args):
    """What a machine asked of KVM by the time that it stands."""
    environment = shim()
    with Emulator(PROGRAM, *args, quiet=QUIET, env={**os.environ, **environment}) as machine:
        machine.command("query-status")
    return heard(environment) if os.path.exists(environment["KVM_SHIM_LOG"]) else ""


def shadow_memory_is_set_in_pages():
    need_kvm()
    assert re.search("^pages 8192$", asked("-accel", "kvm,kvm-shadow-mem=32M"), re.M)
    assert "pages" not in asked("-accel", "kvm")
    line = refused("-accel", "kvm,kvm-shadow-mem=4096")
    assert "kvm-shadow-mem=4096" in line and "256 KiB" in line, line


def dirty_rings_have_sizes():
    need_kvm()
    assert re.search(r"^cap (192|223) 8000$", asked("-accel", "kvm,dirty-ring-size=2048"), re.M)
    assert not re.search(r"^cap (192|223)", asked("-accel", "kvm,dirty-ring-size=0"), re.M)
    for size in ("1", "512", "1000", "3000", "2147483648"):
        line = refused("-accel", "kvm,dirty-ring-size=" + size)
        assert "dirty-ring-size=" + size in line and "power of two from 1024 to" in line, line


def notify_exits_go_on_or_stop():
    need_kvm()
    if "cap 219" not in asked("-accel", "kvm"):  # this processor has none: the default does without, others are told
        line = refused("-accel", "kvm,notify-vmexit=internal-error")
        assert "notify-vmexit=internal-error" in line and "no notify exits" in line, line
        assert "no notify exits" in refused("-accel", "kvm,notify-vmexit=run,notify-window=100")
    assert "notify-window=5" in refused("-accel", "kvm,notify-vmexit=disable,notify-window=5")
    assert "run, internal-error, disable" in refused("-accel", "kvm,notify-vmexit=often")
    for value, flags, state in (("run", "0", "running"), ("internal-error", "0", "internal-error"),
                                ("run", "1", "internal-error"), ("disable", None, None)):
        environment = {**shim(), "KVM_SHIM_NOTIFY": flags or "0"}
        window = "" if value == "disable" else ",notify-window=128000"
        with Emulator(PROGRAM, "-accel", "kvm,notify-vmexit=%s%s" % (value, window), quiet=("-nodefaults", "-display", "none"),
                      env={**os.environ, **environment}) as machine:
            while "notified" not in heard(environment) if os.path.exists(environment["KVM_SHIM_LOG"]) else True:
                machine.command("query-status")
            if state == "internal-error":
                while (now := machine.command("query-status")["return"]["status"]) != state:
                    assert now == "running", now
            elif state:
                assert machine.command("query-status")["return"]["status"] == state
        enabled = "cap 219 1f400%08x\n" % 3
        assert (enabled in heard(environment)) == (value != "disable"), (value, heard(environment))


def power_states_are_the_guests():
    need_kvm()
    assert re.search(r"^cap 143 [0-9a-f]+$", asked("-accel", "kvm", "-overcommit", "cpu-pm=on"), re.M)
    assert "cap 143" not in asked("-accel", "kvm", "-overcommit", "cpu-pm=off")
    assert "cap 143" not in asked("-accel", "kvm")
    line = refused("-accel", "tcg", "-overcommit", "cpu-pm=on")
    assert "cpu-pm=on" in line and "'tcg'" in line and "-accel kvm" in line, line


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


tap.run([shadow_memory_is_set_in_pages, dirty_rings_have_sizes, notify_exits_go_on_or_stop, power_states_are_the_guests,
         wrong_nodes_are_errors, the_next_accelerator_takes_its_place, it_runs_when_it_is_asked_for,
         node_may_be_a_descriptor, models_have_what_the_processor_has])
