#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages in a system that has nothing else: any subset installs, works and goes without
a trace; what is missing is named with its package; a module is built from backplane-dev alone.

usage: clean-root.py SOURCE-ROOT

Needs root (debootstrap, chroot) and, the first time, Debian's mirror.
"""
import glob
import os
import random
import shutil
import subprocess
import sys
import tempfile

import root as clean

SOURCE = os.path.realpath(sys.argv[1])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

from qmp import Emulator  # noqa: E402
from tap import Skip, run  # noqa: E402

OUT = os.path.join(SOURCE, "build-packages")
ROOT = clean.Root(os.path.join(SOURCE, ".cache/clean-root"))
SEED = 20
PROGRAM = "/usr/bin/backplane-system-x86_64"
HEADLESS = ("-nodefaults", "-display", "none")
WORK = tempfile.mkdtemp(prefix="backplane-clean-root-")


def module_dir():
    return os.path.dirname(glob.glob(ROOT.inside("/usr/lib/*/backplane/hw-none.so"))[0])


def machine(*args, program=PROGRAM, env=None):
    """A machine inside. exec all the way: its process is ours."""
    script = os.path.join(WORK, "start")
    settings = " ".join("%s='%s'" % item for item in {**clean.ENVIRONMENT, **(env or {})}.items())
    with open(script, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec env -i %s chroot '%s' '%s' \"$@\"\n" % (settings, ROOT.path, program))
    os.chmod(script, 0o755)
    return Emulator(script, *args, quiet=HEADLESS)


def mapped_modules(emulator):
    with open("/proc/%d/maps" % emulator.process.pid, encoding="utf-8") as f:
        paths = {line.split(None, 5)[5].strip() for line in f if ".so" in line}
    return {os.path.basename(p)[:-3] for p in paths if "/backplane/" in p and p.endswith(".so")}


def devices():
    """Names in `-device help`."""
    return ROOT.command(PROGRAM, "-device", "help")


def refusal(*args):
    status, output = ROOT.result(PROGRAM, *HEADLESS, *args)
    assert status == 1, "status %d: %s" % (status, output)
    return output


def nothing_is_left():
    packages = ROOT.installed()
    if packages:
        ROOT.purge(*packages)
    assert not ROOT.installed(), ROOT.installed()
    assert not ROOT.leftovers(), ROOT.leftovers()


def index_is_fresh():
    """What the trigger wrote is what writing it now gives."""
    path = os.path.join(module_dir(), "modules.idx")
    with open(path, "rb") as f:
        before = f.read()
    ROOT.command("backplane-module", "index", path[len(ROOT.path):-len("/modules.idx")])
    with open(path, "rb") as f:
        assert f.read() == before, "the trigger left an index that is out of date"
    files = [f for f in os.listdir(module_dir()) if f.endswith(".so")]
    assert all(name.encode() in before for name in files)
    return files


def debs(pattern="*.deb"):
    return sorted(glob.glob(os.path.join(OUT, pattern)))


def package_names():
    return sorted(os.path.basename(deb).split("_")[0] for deb in debs())


# ---- cases: each begins and ends without our packages ----

def lintian_finds_no_errors_or_warnings():
    changes = debs("*.changes")
    assert len(changes) == 1, changes
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes[0]],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def core_alone_runs_the_empty_machine():
    ROOT.install("backplane-core")
    assert sorted(ROOT.installed()) == ["backplane-core", "libbackplane1"], ROOT.installed()
    with machine("-machine", "none") as e:
        assert e.command("query-status")["return"]["status"] == "running"
        assert "hw-none" in mapped_modules(e), mapped_modules(e)
    assert "isa-serial" not in devices()
    boards = ROOT.command(PROGRAM, "-machine", "help")
    assert "none" in boards and "\npc" not in boards, boards
    index_is_fresh()
    nothing_is_left()


def what_is_not_installed_is_named_with_its_package():
    ROOT.install("backplane-core")
    for package, command_line in {"x86": "-machine pc", "interp": "-machine none -accel interp",
                                  "testdev": "-machine none -device isa-debug-exit"}.items():
        said = refusal(*command_line.split())
        assert "apt install backplane-" + package in said, said
    nothing_is_left()


def x86_and_interpreter_run_a_pc_with_what_it_uses():
    ROOT.install("backplane-x86", "backplane-interp", "backplane-testdev")
    index_is_fresh()
    with machine("-machine", "pc", "-accel", "interp") as e:
        assert e.command("query-status")["return"]["status"] == "running"
        mapped = mapped_modules(e)
        assert {"board-pc", "cpu-x86", "accel-interp", "isa", "pci"} <= mapped, mapped
        unused = {"accel-qtest", "hw-debug-exit", "hw-debugcon", "chardev-udp", "hw-none"}
        assert not unused & mapped, unused & mapped
    nothing_is_left()


def a_package_counts_at_once_when_it_comes_and_goes():
    ROOT.install("backplane-x86", "backplane-interp")
    assert "isa-debug-exit" not in devices()
    before = index_is_fresh()
    ROOT.install("backplane-testdev")
    assert "isa-debug-exit" in devices()
    after = index_is_fresh()
    assert set(after) - set(before) == {"accel-qtest.so", "hw-debug-exit.so", "hw-debugcon.so"}
    ROOT.command("apt-get", "remove", "-q", "-y", "backplane-testdev")
    assert "isa-debug-exit" not in devices()
    assert set(index_is_fresh()) == set(before)
    said = refusal("-machine", "pc", "-accel", "interp", "-device", "isa-debug-exit")
    assert "apt install backplane-testdev" in said, said
    nothing_is_left()


def works_with(names):
    ROOT.install(*names)
    if "backplane-core" in ROOT.installed():
        devices()
        assert "hw-none" in ROOT.command("backplane-module", "list")
        with machine("-machine", "none") as e:
            assert e.command("query-status")["return"]["status"] == "running"
        index_is_fresh()
    nothing_is_left()


def every_package_alone_installs_works_and_goes():
    for name in package_names():
        works_with([name])


def pairs_of_packages_install_work_and_go():
    pairs = random.Random(SEED)
    for _ in range(4):
        works_with(pairs.sample(package_names(), 2))


def the_monitor_disassembles_with_its_package():
    def examine():
        with machine("-machine", "pc", "-accel", "interp", "-S") as e:
            return str(e.command("human-monitor-command", command_line="x /2i 0xffff0"))

    ROOT.install("backplane-x86", "backplane-interp")
    said = examine()
    assert "apt install backplane-disassembler" in said, said
    ROOT.install("backplane-disassembler")
    said = examine()
    assert "apt install" not in said and "0x000ffff0:" in said, said
    nothing_is_left()


def qemus_names_start_the_same_program():
    ROOT.install("backplane-qemu")
    for name in ("qemu-system-x86_64", "qemu-system-i386"):
        with machine("-machine", "none", program="/usr/bin/" + name) as e:
            assert e.command("query-status")["return"]["status"] == "running"
    status, said = ROOT.result("apt-get", "install", "-s", "--no-install-recommends",
                               "backplane-qemu", "qemu-system-x86")
    assert status != 0 and "onflicts" in said, said
    nothing_is_left()


def a_module_is_built_from_the_dev_package_alone():
    ROOT.install("backplane-dev", "backplane-x86", "backplane-interp", *clean.BUILD_TOOLS)
    folder = ROOT.inside("/tmp/sample")
    shutil.copytree(os.path.join(SOURCE, "samples/out-of-tree"), folder)
    ROOT.command("sh", "-ec", "cd /tmp/sample; meson setup build --werror; ninja -C build; "
                 "meson test -C build --print-errorlogs")
    assert "1/1" in ROOT.command("sh", "-c", "cd /tmp/sample; meson test -C build")
    environment = {"BACKPLANE_MODULE_PATH": "/tmp/sample/build"}
    with machine("-machine", "pc", "-accel", "interp", "-S", "-device",
                 "sample-scratch,id=s,iobase=0x310", env=environment) as e:
        reply = e.command("qom-get", path="/machine/peripheral/s", property="iobase")
        assert reply == {"return": 0x310}, reply
    shutil.rmtree(folder)
    nothing_is_left()


def newer(deb, folder):
    """The same package as a later version."""
    tree = os.path.join(folder, "tree")
    clean.run("dpkg-deb", "-R", deb, tree)
    path = os.path.join(tree, "DEBIAN/control")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    old = next(line.split()[1] for line in text.splitlines() if line.startswith("Version:"))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("Version: " + old, "Version: %s+1" % old)
                .replace("(= %s)" % old, "(= %s+1)" % old))
    clean.run("dpkg-deb", "-b", tree, folder)
    shutil.rmtree(tree)


def a_running_machine_survives_an_upgrade():
    folder = os.path.join(WORK, "newer")
    os.makedirs(folder)
    for deb in debs():
        newer(deb, folder)
    ROOT.install("backplane-x86", "backplane-interp", "backplane-testdev")
    inode = os.stat(os.path.join(module_dir(), "board-pc.so")).st_ino
    with machine("-machine", "pc", "-accel", "interp") as e:
        ROOT.offer(sorted(glob.glob(folder + "/*.deb")))
        ROOT.command("apt-get", "upgrade", "-q", "-y")
        assert os.stat(os.path.join(module_dir(), "board-pc.so")).st_ino != inode
        assert e.command("query-status")["return"]["status"] == "running"
        assert "return" in e.command("system_reset")
        assert "isa-serial" in str(e.command("qom-list-types"))
        assert "return" in e.command("quit")
        assert e.process.wait(timeout=20) == 0
    with machine("-machine", "pc", "-accel", "interp") as e:
        assert e.command("query-status")["return"]["status"] == "running"
    nothing_is_left()


CASES = [lintian_finds_no_errors_or_warnings, core_alone_runs_the_empty_machine,
         what_is_not_installed_is_named_with_its_package,
         x86_and_interpreter_run_a_pc_with_what_it_uses,
         a_package_counts_at_once_when_it_comes_and_goes,
         every_package_alone_installs_works_and_goes, pairs_of_packages_install_work_and_go,
         the_monitor_disassembles_with_its_package, qemus_names_start_the_same_program,
         a_module_is_built_from_the_dev_package_alone, a_running_machine_survives_an_upgrade]


def skipped(case):
    def skip():
        raise Skip("debootstrap and chroot need root")
    skip.__name__ = case.__name__
    return skip


def afterwards(case):
    """A failing case must not take the next ones with it."""
    def cleaning():
        try:
            case()
        except BaseException:
            packages = ROOT.installed()
            if packages:
                ROOT.result("apt-get", "purge", "-q", "-y", *packages)
            raise
    cleaning.__name__ = case.__name__
    return cleaning


def main():
    if os.geteuid() != 0:
        run([skipped(case) for case in CASES])
    clean.enter_namespace()
    try:
        clean.run(os.path.join(SOURCE, "packaging/build.sh"), "deb", OUT)
        ROOT.bootstrap()
        ROOT.unpack()
        ROOT.offer(debs())
        run([afterwards(case) for case in CASES])
    finally:
        ROOT.remove()
        shutil.rmtree(WORK)


main()
