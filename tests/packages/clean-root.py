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

SOURCE = os.path.realpath(sys.argv[1])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

import root as clean  # noqa: E402
from tap import run, work_folder  # noqa: E402

OUT = os.path.join(SOURCE, "build-packages")
ROOT = clean.Root(os.path.join(SOURCE, ".cache/clean-root"))
SEED = 20
PROGRAM = clean.PROGRAM
WORK = work_folder("backplane-clean-root-")


def nothing_is_left():
    packages = ROOT.installed()
    if packages:
        ROOT.purge(*packages)
    assert not ROOT.installed(), ROOT.installed()
    assert not ROOT.leftovers(), ROOT.leftovers()


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
    with ROOT.machine("-machine", "none") as e:
        assert e.command("query-status")["return"]["status"] == "running"
        assert "hw-none" in clean.mapped_modules(e), clean.mapped_modules(e)
    assert "isa-serial" not in ROOT.devices()
    boards = ROOT.command(PROGRAM, "-machine", "help")
    assert "none" in boards and "\npc" not in boards, boards
    ROOT.index_is_fresh()
    nothing_is_left()


def what_is_not_installed_is_named_with_its_package():
    ROOT.install("backplane-core")
    for package, command_line in {"x86": "-machine pc", "interp": "-machine none -accel interp",
                                  "testdev": "-machine none -device isa-debug-exit"}.items():
        said = ROOT.refusal(*command_line.split())
        assert "apt install backplane-" + package in said, said
    nothing_is_left()


def x86_and_interpreter_run_a_pc_with_what_it_uses():
    ROOT.install("backplane-x86", "backplane-interp", "backplane-testdev")
    ROOT.index_is_fresh()
    with ROOT.machine("-machine", "pc", "-accel", "interp") as e:
        assert e.command("query-status")["return"]["status"] == "running"
        mapped = clean.mapped_modules(e)
        assert {"board-pc", "cpu-x86", "accel-interp", "isa", "pci"} <= mapped, mapped
        unused = {"accel-qtest", "hw-debug-exit", "hw-debugcon", "chardev-udp", "hw-none"}
        assert not unused & mapped, unused & mapped
    nothing_is_left()


def a_package_counts_at_once_when_it_comes_and_goes():
    ROOT.install("backplane-x86", "backplane-interp")
    assert "isa-debug-exit" not in ROOT.devices()
    before = ROOT.index_is_fresh()
    ROOT.install("backplane-testdev")
    assert "isa-debug-exit" in ROOT.devices()
    after = ROOT.index_is_fresh()
    its = {os.path.basename(path) for path in ROOT.command("dpkg", "-L", "backplane-testdev").split()
           if path.endswith(".so")}
    assert {"accel-qtest.so", "hw-debug-exit.so", "hw-debugcon.so", "hw-edu.so"} <= its, its
    assert set(after) - set(before) == its, (before, after)
    ROOT.command("apt-get", "remove", "-q", "-y", "backplane-testdev")
    assert "isa-debug-exit" not in ROOT.devices()
    assert set(ROOT.index_is_fresh()) == set(before)
    said = ROOT.refusal("-machine", "pc", "-accel", "interp", "-device", "isa-debug-exit")
    assert "apt install backplane-testdev" in said, said
    nothing_is_left()


def works_with(names):
    ROOT.install(*names)
    if "backplane-core" in ROOT.installed():
        ROOT.devices()
        assert "hw-none" in ROOT.command("backplane-module", "list")
        with ROOT.machine("-machine", "none") as e:
            assert e.command("query-status")["return"]["status"] == "running"
        ROOT.index_is_fresh()
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
        with ROOT.machine("-machine", "pc", "-accel", "interp", "-S") as e:
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
        with ROOT.machine("-machine", "none", program="/usr/bin/" + name) as e:
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
    with ROOT.machine("-machine", "pc", "-accel", "interp", "-S", "-device",
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
    inode = os.stat(os.path.join(ROOT.module_dir(), "board-pc.so")).st_ino
    with ROOT.machine("-machine", "pc", "-accel", "interp") as e:
        ROOT.offer(sorted(glob.glob(folder + "/*.deb")))
        ROOT.command("apt-get", "upgrade", "-q", "-y")
        assert os.stat(os.path.join(ROOT.module_dir(), "board-pc.so")).st_ino != inode
        assert e.command("query-status")["return"]["status"] == "running"
        assert "return" in e.command("system_reset")
        assert "isa-serial" in str(e.command("qom-list-types"))
        assert "return" in e.command("quit")
        assert e.process.wait(timeout=20) == 0
    with ROOT.machine("-machine", "pc", "-accel", "interp") as e:
        assert e.command("query-status")["return"]["status"] == "running"
    nothing_is_left()


CASES = [lintian_finds_no_errors_or_warnings, core_alone_runs_the_empty_machine,
         what_is_not_installed_is_named_with_its_package,
         x86_and_interpreter_run_a_pc_with_what_it_uses,
         a_package_counts_at_once_when_it_comes_and_goes,
         every_package_alone_installs_works_and_goes, pairs_of_packages_install_work_and_go,
         the_monitor_disassembles_with_its_package, qemus_names_start_the_same_program,
         a_module_is_built_from_the_dev_package_alone, a_running_machine_survives_an_upgrade]


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
    reason = clean.hindrance()
    if reason:
        run([clean.skipped(case, reason) for case in CASES])
    clean.enter_namespace()
    try:
        clean.run(os.path.join(SOURCE, "packaging/build.sh"), "deb", OUT,
                  env={**os.environ, "PACKAGE_CFLAGS": clean.CFLAGS}, timeout=2000)
        ROOT.bootstrap()
        ROOT.unpack()
        ROOT.offer(debs())
        run([afterwards(case) for case in CASES])
    finally:
        ROOT.remove()


main()
