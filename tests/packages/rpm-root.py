#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The RPM packages, installed with their dependencies and triggers by rpm into a system that has
nothing else. Its libraries are Debian's; a package made here stands for those of an RPM distribution.

usage: rpm-root.py SOURCE-ROOT

Needs root (debootstrap, chroot) and, the first time, Debian's mirror.
"""
import glob
import os
import re
import subprocess
import sys

SOURCE = os.path.realpath(sys.argv[1])
sys.path.insert(0, os.path.join(SOURCE, "tests/house"))

import root as clean  # noqa: E402
from tap import run, work_folder  # noqa: E402

OUT = os.path.join(SOURCE, "build-packages")
ROOT = clean.Root(os.path.join(SOURCE, ".cache/clean-root"))
WORK = work_folder("backplane-rpm-root-")
BASE = """Name: distribution
Version: 1
Release: 1
Summary: What an RPM distribution would have
License: MIT
BuildArch: noarch
AutoReqProv: no
%s
%%description
%%files
# As their C library does, before others' triggers.
%%transfiletriggerin -P 2000000 -- /usr/lib64
/sbin/ldconfig
"""


RPM = ("rpm", "--force-debian", "--root", ROOT.path)


def rpm(*arguments):
    return clean.run(*RPM, *arguments)


def files():
    """name of a package -> its file"""
    return {re.sub(r"-[^-]+-[^-]+$", "", os.path.basename(f)): f
            for f in glob.glob(OUT + "/*.rpm")}


def lines(option, *packages):
    text = clean.run("rpm", "-qp", option, *packages)
    return {line.strip() for line in text.splitlines() if line.strip()}


def install_base():
    """Provides all that our packages require of others, so that rpm checks what they require of
    each other."""
    ours = lines("--provides", *files().values())
    wanted = {w for w in lines("--requires", *files().values())
              if w not in ours and w.split()[0] not in {o.split()[0] for o in ours}
              and not w.startswith("rpmlib(")}
    assert not any("backplane" in w for w in wanted), wanted
    spec = os.path.join(WORK, "distribution.spec")
    with open(spec, "w", encoding="utf-8") as f:
        f.write(BASE % "".join("Provides: %s\n" % w for w in sorted(wanted)))
    clean.run("rpmbuild", "-bb", "--define", "_topdir " + WORK, spec)
    rpm("-i", glob.glob(WORK + "/RPMS/noarch/*.rpm")[0])


def install(*packages):
    rpm("-i", *[files()[name] for name in packages])


def with_needs(*packages):
    """These and, as dnf would choose them, those of ours that they need."""
    provided = {line.split()[0]: name for name, path in files().items() for line in lines("--provides", path)}
    names, new = set(), set(packages)
    while new:
        names |= new
        needed = {provided.get(line.split()[0]) for line in lines("--requires", *[files()[n] for n in new])}
        new = needed - names - {None}
    return sorted(names)


def erase_all():
    ours = [name for name in rpm("-qa", "--qf", "%{NAME}\n").split() if "backplane" in name]
    if ours:
        rpm("-e", *ours)


def nothing_is_left():
    erase_all()
    found = [path for path in clean.run("find", ".", "-xdev", cwd=ROOT.path).split()
             if "backplane" in path]
    assert not found, found


# ---- cases: each begins and ends without our packages ----

def core_alone_runs_the_empty_machine_and_names_what_is_missing():
    install("libbackplane1", "backplane-core")
    ROOT.index_is_fresh()
    with ROOT.machine("-machine", "none") as e:
        assert e.command("query-status")["return"]["status"] == "running"
    for package, command_line in {"x86": "-machine pc", "interp": "-machine none -accel interp",
                                  "testdev": "-machine none -device isa-debug-exit"}.items():
        said = ROOT.refusal(*command_line.split())
        assert "dnf install backplane-" + package in said, said
    nothing_is_left()


def a_package_counts_at_once_when_it_comes_and_goes():
    install(*with_needs("backplane-x86", "backplane-interp"))
    with ROOT.machine("-machine", "pc", "-accel", "interp") as e:
        assert e.command("query-status")["return"]["status"] == "running"
    assert "isa-debug-exit" not in ROOT.devices()
    before = set(ROOT.index_is_fresh())
    install("backplane-testdev")
    assert "isa-debug-exit" in ROOT.devices()
    listed = subprocess.run(["rpm", "-qpl", files()["backplane-testdev"]], check=True, capture_output=True,
                            text=True, timeout=60).stdout.split()
    its = {os.path.basename(path) for path in listed if path.endswith(".so")}
    assert {"accel-qtest.so", "hw-debug-exit.so", "hw-debugcon.so", "hw-edu.so"} <= its, its
    assert set(ROOT.index_is_fresh()) - before == its, its
    rpm("-e", "backplane-testdev")
    assert "isa-debug-exit" not in ROOT.devices()
    assert set(ROOT.index_is_fresh()) == before
    nothing_is_left()


def generated_dependencies_are_enforced():
    def refused(*packages):
        done = subprocess.run([*RPM, "-i", *[files()[p] for p in packages]],
                              capture_output=True, text=True, timeout=300)
        assert done.returncode != 0, packages
        return done.stderr

    said = refused("backplane-testdev")
    for word in ("backplane-interface-isa-1 is needed by backplane-testdev", "libbackplane.so.1",
                 "backplane-core is needed"):
        assert word in said, said
    assert "backplane-interface-isa-1" in refused("libbackplane1", "backplane-core",
                                                  "backplane-testdev")
    install(*with_needs("backplane-testdev"))
    provider = rpm("-q", "--whatprovides", "backplane-device-isa-debug-exit")
    assert provider.startswith("backplane-testdev-"), provider
    nothing_is_left()


def all_packages_install_together_and_belong_to_the_table():
    install(*files())
    # A missing or changed file would be told. Debian has no rpm user database.
    changed = subprocess.run([*RPM, "-Va", "--nodeps", "--nouser", "--nogroup"],
                             capture_output=True, text=True, timeout=300).stdout
    wrong = [line for line in changed.splitlines() if "modules.idx" not in line]
    assert not wrong, wrong
    assert "0x000ffff0:" in disassembled()
    nothing_is_left()


def disassembled():
    with ROOT.machine("-machine", "pc", "-accel", "interp", "-S") as e:
        return str(e.command("human-monitor-command", command_line="x /2i 0xffff0"))


CASES = [core_alone_runs_the_empty_machine_and_names_what_is_missing,
         a_package_counts_at_once_when_it_comes_and_goes, generated_dependencies_are_enforced,
         all_packages_install_together_and_belong_to_the_table]


def afterwards(case):
    """A failing case must not take the next ones with it."""
    def cleaning():
        try:
            case()
        except BaseException:
            erase_all()
            raise
    cleaning.__name__ = case.__name__
    return cleaning


def main():
    reason = clean.hindrance()
    if reason:
        run([clean.skipped(case, reason) for case in CASES])
    clean.enter_namespace()
    try:
        clean.run(os.path.join(SOURCE, "packaging/build.sh"), "rpm", OUT,
                  env={**os.environ, "PACKAGE_CFLAGS": clean.CFLAGS}, timeout=2000)
        ROOT.bootstrap()
        ROOT.unpack()
        ROOT.command("apt-get", "install", "-q", "-y", "--no-install-recommends", *clean.LIBRARIES)
        ROOT.write("/etc/ld.so.conf.d/rpm.conf", "/usr/lib64\n")
        install_base()
        run([afterwards(case) for case in CASES])
    finally:
        ROOT.remove()


main()
