# SPDX-License-Identifier: LGPL-2.1-or-later
"""What -accel kvm says when it cannot, and what takes its place. Usage: test-kvm.py SOURCE-ROOT BUILD-ROOT"""
import os
import platform
import re
import shutil
import subprocess
import sys
import time

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
                 ("-accel", "kvm,kernel-irqchip=split"), ("-accel", "kvm,kernel-irqchip=on")):
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


def asked(*args, lacks=""):
    """What a machine asked of KVM by the time that it stands."""
    environment = {**shim(), "KVM_SHIM_LACKS": lacks}
    with Emulator(PROGRAM, *args, quiet=QUIET, env={**os.environ, **environment}) as machine:
        machine.command("query-status")
    return heard(environment) if os.path.exists(environment["KVM_SHIM_LOG"]) else ""


def interrupt_controllers_are_the_kernels():
    """All of them by default, where it has them; else its local APICs, else none."""
    need_kvm()
    for args in (("-accel", "kvm"), ("-accel", "kvm,kernel-irqchip=on"), ("-M", "pc,kernel-irqchip=on", "-accel", "kvm")):
        text = asked(*args)
        assert re.search("^irqchip$", text, re.M) and re.search("^pit 1$", text, re.M), (args, text)
    for args in (("-accel", "kvm,kernel-irqchip=split"), ("-M", "q35,kernel_irqchip=split", "-accel", "kvm")):
        text = asked(*args)
        assert "irqchip" not in text and "pit" not in text and "cap 121 18" in text, (args, text)
    for args in (("-accel", "kvm,kernel-irqchip=off"), ("-M", "pc,kernel-irqchip=on", "-accel", "kvm,kernel-irqchip=off")):
        text = asked(*args)
        assert "irqchip" not in text and "cap 121" not in text, (args, text)
    no_chips, no_lapics = ",0,", ",0,121,"  # KVM_CAP_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP
    assert "irqchip" not in (text := asked("-accel", "kvm", lacks=no_chips)) and "cap 121 18" in text, text
    assert "irqchip" not in (text := asked("-accel", "kvm", lacks=no_lapics)) and "cap 121" not in text, text
    for value, lacks in (("on", no_chips), ("split", no_lapics)):
        done = subprocess.run([PROGRAM, *QUIET, "-accel", "kvm,kernel-irqchip=" + value], capture_output=True, text=True,
                              timeout=WAIT, env={**os.environ, **shim(), "KVM_SHIM_LACKS": lacks}, check=False)
        assert done.returncode == 1 and "kernel-irqchip=%s: the host's kernel has no" % value in done.stderr, done
    # The speaker's tone is heard of a timer of the program's own.
    text = asked("-accel", "kvm", "-audiodev", "none,id=a", "-M", "pc,pcspk-audiodev=a")
    assert "irqchip" in text and "pit" not in text, text


def who_cannot_have_them_says_so():
    need_kvm()
    iommu = ("-M", "q35", "-device", "intel-iommu,intremap=on")
    for args in (("-accel", "kvm"), ("-accel", "kvm,kernel-irqchip=on")):
        done = run(*args, *iommu)
        assert done.returncode == 1 and "kernel-irqchip=split, or off" in done.stderr, done
    for value in ("split", "off"):
        with Emulator(PROGRAM, "-accel", "kvm,kernel-irqchip=" + value, *iommu, quiet=QUIET) as machine:
            machine.command("query-status")
    with Emulator(PROGRAM, "-accel", "kvm", "-M", "q35", "-device", "intel-iommu", quiet=QUIET) as machine:
        machine.command("query-status")
    line = refused("-M", "pc,kernel-irqchip=on", "-accel", "tcg")
    assert "-machine kernel-irqchip=on" in line and "'tcg'" in line and "-accel kvm" in line, line
    assert "on, off, split" in refused("-M", "pc,kernel-irqchip=maybe", "-accel", "kvm")
    with Emulator(PROGRAM, "-M", "pc,kernel-irqchip=off", "-accel", "tcg", quiet=QUIET) as machine:
        assert accelerators(machine) == {"tcg"}


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


def what_linux_counts_is_shown():
    need_kvm()
    with Emulator(PROGRAM, "-accel", "kvm", "-smp", "2", quiet=("-nodefaults", "-display", "none")) as machine:
        def ask(command, **arguments):
            reply = machine.command(command, **arguments)
            assert "return" in reply, (command, arguments, reply)
            return reply["return"]
        schemas = {s["target"]: {v["name"]: v for v in s["stats"]} for s in ask("query-stats-schemas", provider="kvm")}
        if not schemas:
            raise tap.Skip("this kernel has no KVM_GET_STATS_FD")
        assert set(schemas) == {"vm", "vcpu"} and schemas["vcpu"]["exits"]["type"] == "cumulative", schemas
        assert schemas["vcpu"]["guest_mode"]["unit"] == "boolean"
        halted = schemas["vcpu"]["halt_wait_ns"]
        assert (halted["unit"], halted["base"], halted["exponent"]) == ("seconds", 10, -9), halted
        assert schemas["vcpu"]["halt_wait_hist"]["type"] == "log2-histogram"
        (vm,) = ask("query-stats", target="vm")
        assert vm["provider"] == "kvm" and {s["name"] for s in vm["stats"]} == set(schemas["vm"])
        paths = [c["qom-path"] for c in ask("query-cpus-fast")]
        counted = {c["qom-path"]: {s["name"]: s["value"] for s in c["stats"]} for c in ask("query-stats", target="vcpu")}
        assert set(counted) == set(paths), counted.keys()
        for numbers in counted.values():
            assert set(numbers) == set(schemas["vcpu"])
            assert isinstance(numbers["halt_wait_hist"], list) and isinstance(numbers["guest_mode"], bool)
        one = {"target": "vcpu", "vcpus": [paths[0]], "providers": [{"provider": "kvm", "names": ["exits"]}]}
        end = time.monotonic() + WAIT  # the firmware runs
        while (more := ask("query-stats", **one))[0]["stats"][0]["value"] <= 100 and time.monotonic() < end:
            time.sleep(0.05)
        assert [c["qom-path"] for c in more] == [paths[0]] and [s["name"] for s in more[0]["stats"]] == ["exits"], more
        assert more[0]["stats"][0]["value"] > 100, more
        assert ask("query-stats", target="vcpu", providers=[{"provider": "cryptodev"}]) == []
        assert ask("query-stats", target="cryptodev") == [] == ask("query-stats-schemas", provider="cryptodev")
        for arguments, words in (({"target": "vcpu", "vcpus": ["/machine"]}, "is no processor"),
                                 ({"target": "vm", "vcpus": [paths[0]]}, "'vcpus'")):
            error = machine.command("query-stats", **arguments)["error"]
            assert words in error["desc"], error
        text = ask("human-monitor-command", **{"command-line": "info stats vcpu"})
        assert "CPU 1:" in text and re.search(r"exits: \d+", text) and "[1]=" in text, text
        assert "vm or vcpu" in ask("human-monitor-command", **{"command-line": "info stats disk"})


def nothing_is_counted_without_it():
    need_module()
    with Emulator(PROGRAM, "-accel", "qtest", quiet=QUIET) as machine:
        assert machine.command("query-stats", target="vm")["return"] == []
        assert machine.command("query-stats-schemas")["return"] == []
        assert "-accel kvm" in machine.command("human-monitor-command", **{"command-line": "info stats vm"})["return"]


tap.run([what_linux_counts_is_shown, nothing_is_counted_without_it, interrupt_controllers_are_the_kernels, who_cannot_have_them_says_so, shadow_memory_is_set_in_pages, dirty_rings_have_sizes, notify_exits_go_on_or_stop, power_states_are_the_guests,
         wrong_nodes_are_errors, the_next_accelerator_takes_its_place, it_runs_when_it_is_asked_for,
         node_may_be_a_descriptor, models_have_what_the_processor_has])
