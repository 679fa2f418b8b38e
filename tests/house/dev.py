#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The script ./dev: what it passes on, what it says when something is wrong. Where a case would build,
the tools and the emulator are replaced by scripts.

usage: dev.py SOURCE-ROOT BUILD-ROOT
"""
import json
import os
import shutil
import subprocess
import sys

from tap import run, work_folder

SOURCE, BUILD = (os.path.realpath(a) for a in sys.argv[1:3])
WORK = work_folder("backplane-dev-")
TREE = os.path.join(WORK, "tree")
ELSEWHERE = os.path.join(WORK, "elsewhere")


def script(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)


def touch(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w"):
        pass


def prepare():
    os.mkdir(ELSEWHERE)
    os.mkdir(TREE)
    shutil.copy(os.path.join(SOURCE, "dev"), TREE)
    for tool in ("ninja", "meson", "gcc", "iasl", "busybox", "pkg-config"):
        script(os.path.join(WORK, "bin", tool), "exit 0\n")
    script(os.path.join(TREE, "build/backplane-system-x86_64"), 'pwd; echo "$@"\n')
    touch(os.path.join(TREE, "build/build.ninja"))
    for name in ("tools/guest-init", "tools/make-initramfs.py"):
        touch(os.path.join(TREE, name))
    for name in ("vmlinuz", "initrd.gz"):
        path = os.path.join(TREE, ".cache/guest", name)
        touch(path)
        os.utime(path, (2 ** 31, 2 ** 31))


def dev(*args, tree=TREE, path=os.path.join(WORK, "bin") + ":" + os.environ["PATH"], **env):
    return subprocess.run([os.path.join(tree, "dev"), *args], cwd=ELSEWHERE, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=100,
                          env={**os.environ, "PATH": path, **env})


def boot_takes_paths_from_the_caller_s_folder():
    done = dev("boot", "-device", "./x.so")
    assert done.returncode == 0, done.stderr
    where, said = done.stdout.splitlines()[-2:]
    assert where == ELSEWHERE and said.endswith("-append console=ttyS0 -device ./x.so"), done.stdout
    assert "-kernel %s/.cache/guest/vmlinuz" % TREE in said, said


def run_takes_paths_from_the_caller_s_folder():
    for env in {}, {"BUILD": "build"}, {"BUILD": os.path.join(TREE, "build")}:
        done = dev("run", "--", "-kernel", "k", **env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [ELSEWHERE, "-kernel k"], done.stdout


def unknown_suite_is_answered_with_those_there_are():
    done = dev("test", "quik", tree=SOURCE, path=os.environ["PATH"], BUILD=BUILD)
    assert done.returncode == 1, done.stdout
    said = done.stderr.splitlines()[-1]
    assert said.startswith("dev: test: there is no suite 'quik'; there are: "), said
    there = said.split(": ")[-1].split()
    assert {"quick", "house", "guest", "nightly"} <= set(there), there
    with open(os.path.join(SOURCE, "dev")) as f:
        usage = f.read().split("test [SUITE...]")[1].split("check [")[0]
    assert all(suite in usage for suite in there), "the usage does not name all of %s" % there


def unknown_command_is_told():
    done = dev("tset")
    assert done.returncode == 1 and done.stderr.endswith("dev: tset is not a command\n"), done.stderr


def abi_without_its_tools_says_so():
    done = subprocess.run([sys.executable, os.path.join(SOURCE, "tools/abi.py"), "check", SOURCE,
                           "none"], text=True, capture_output=True, env={"PATH": WORK})
    assert done.returncode == 1, done
    assert done.stderr == ("abi: abidw is missing; Debian's package abigail-tools has it (./dev setup "
                           "check installs it)\n"), done.stderr


def count_names_the_slowest_ten():
    logs = os.path.join(WORK, "logs")
    os.mkdir(logs)
    with open(os.path.join(logs, "testlog.json"), "w") as f:
        for n in range(12):
            f.write(json.dumps({"name": "t%d" % n, "result": "OK", "duration": n}) + "\n")
    with open(os.path.join(logs, "testlog.junit.xml"), "w") as f:
        f.write('<testsuites><testsuite name="p"><testcase name="a"/></testsuite></testsuites>')
    done = subprocess.run([sys.executable, os.path.join(SOURCE, "tools/count-tests.py"), logs],
                          capture_output=True, text=True)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0] == "slowest:" and lines[-1] == "1 passed, 0 failed, 0 skipped", lines
    assert [line.split()[-1] for line in lines[1:-1]] == ["t%d" % n for n in range(11, 1, -1)], lines


def count_says_why_a_case_failed():
    logs = os.path.join(WORK, "why")
    os.mkdir(logs)
    with open(os.path.join(logs, "testlog.json"), "w") as f:
        f.write(json.dumps({"name": "p:s / t", "result": "ERROR", "duration": 1, "stdout":
                            "ok 1 a\n# before\nnot ok 2 b\n# because\n# " + "x" * 1000 + "end\n1..2\n"}) + "\n")
    with open(os.path.join(logs, "testlog.junit.xml"), "w") as f:
        f.write('<testsuites><testsuite name="t"><testcase name="1 a"/><testcase name="2 b"><failure/></testcase>'
                '</testsuite></testsuites>')
    done = subprocess.run([sys.executable, os.path.join(SOURCE, "tools/count-tests.py"), logs],
                          capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped", done
    at = lines.index("t: 2 b")
    assert lines[at + 1:at + 3] == ["# before", "# because"], lines
    assert lines[at + 3].endswith("xend") and len(lines[at + 3]) < 700, lines


prepare()
run([boot_takes_paths_from_the_caller_s_folder, run_takes_paths_from_the_caller_s_folder,
     unknown_suite_is_answered_with_those_there_are, unknown_command_is_told,
     abi_without_its_tools_says_so, count_names_the_slowest_ten, count_says_why_a_case_failed])
