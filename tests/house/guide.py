#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds and runs every block of docs/module-author-guide.md, then drives the device it made.

A fenced block says what it is: "LANGUAGE file=NAME" is written to that file ("append": added to
it), "sh run" is run by bash, and an "output" block after it is what it must print. Any other block
is an error: nothing in the guide goes unproved. What must work in a guest as well is in
tests/guest/test-guide.py.

usage: guide.py SOURCE-ROOT BUILD-ROOT
       guide.py --extract SOURCE-ROOT BUILD-ROOT DIRECTORY      (writes and builds, for that test)
"""
import difflib
import os
import re
import shutil
import subprocess
import sys

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"(\w+) file=([A-Za-z0-9_.-]+)( append)?$")


def blocks(source):
    """(line, info string, text) of each fenced block."""
    with open(os.path.join(source, "docs/module-author-guide.md"), encoding="utf-8") as f:
        guide = f.read()
    return [(guide.count("\n", 0, m.start()) + 1, m[1].strip(), m[2])
            for m in FENCE.finditer(guide)]


def wrap_compiler(folder):
    """In a sanitized build modules and their tests are compiled alike: this cc does it."""
    path = os.path.join(folder, "bin")
    os.mkdir(path)
    if os.environ.get("BP_SANITIZED"):
        with open(os.path.join(path, "cc"), "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nexec /usr/bin/cc -fsanitize=address,undefined "$@"\n')
        os.chmod(os.path.join(path, "cc"), 0o755)
    return path


def environment(build, tools=""):
    return {**os.environ, "LC_ALL": "C", "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "PKG_CONFIG_PATH": os.path.join(build, "meson-uninstalled"),
            "PATH": (tools and tools + ":") + build + ":" + os.environ["PATH"]}


def put(folder, info, text):
    """Writes a block that is a file; None when it is not one."""
    m = FILE.match(info)
    if not m:
        return None
    path = os.path.join(folder, m[2])
    assert bool(m[3]) == os.path.exists(path), "%s: 'append' goes with a file that exists" % m[2]
    with open(path, "a" if m[3] else "w", encoding="utf-8") as f:
        f.write(text)
    return m[2]


def shell(folder, build, text, expected):
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", text], cwd=folder,
                          env=environment(build, folder + ".tools/bin"), capture_output=True,
                          text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, "status %d\n%s%s" % (done.returncode, done.stdout, done.stderr)
    assert "warning:" not in done.stderr, done.stderr
    if expected is not None and done.stdout != expected:
        raise AssertionError("the output differs:\n" + "\n".join(difflib.unified_diff(
            expected.splitlines(), done.stdout.splitlines(), "guide", "seen", lineterm="")) +
            "\n" + done.stderr)


def walk(source, build, folder):
    """Yields (name, function) for each block, to be called in order."""
    todo = blocks(source)
    for i, (line, info, text) in enumerate(todo):
        following = todo[i + 1] if i + 1 < len(todo) else (0, "", "")
        expected = following[2] if following[1] == "output" else None
        if info == "sh run":
            yield line, info, lambda t=text, e=expected: shell(folder, build, t, e)
        elif info == "output":
            assert i and todo[i - 1][1] == "sh run", "line %d: output of what?" % line
        else:
            def write(info=info, text=text, line=line):
                assert put(folder, info, text), "line %d: what proves '%s'?" % (line, info)
            yield line, info, write


def compiles_without_warnings(folder, build, compiler):
    """Every C file, all warnings an error."""
    flags = subprocess.run(["pkg-config", "--cflags", "backplane", "backplane-fakehost"],
                           env=environment(build), capture_output=True, text=True,
                           check=True).stdout.split()
    count = 0
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".c"):
            continue
        count += 1
        for standard in ("-std=c11", "-std=gnu17"):
            done = subprocess.run([compiler, standard, "-D_DEFAULT_SOURCE", "-O2", "-Wall",
                                   "-Wextra", "-Werror", "-fPIC", "-c", "-o", os.devnull, *flags,
                                   name], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    assert count >= 5, "only %d C files in the guide" % count


def driven_at_random(folder, build, kind):
    """The driver of tests/module/test-every-device.c: random accesses, resets, saved state."""
    done = subprocess.run([os.path.join(build, "tests/module/test-every-device"), "--one", kind],
                          env={**os.environ, "BP_TEST_ROUNDS": "20000",
                               "BACKPLANE_MODULES": folder + ":" + os.path.join(build, "modules")},
                          capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, "status %d: %s" % (done.returncode, done.stderr)


def extract(source, build, folder):
    for line, info, do in walk(source, build, folder):
        if info != "sh run" or "-shared" in blocks_by_line(source)[line]:
            do()


def blocks_by_line(source):
    return {line: text for line, _, text in blocks(source)}


def main():
    source, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    sys.path.insert(0, os.path.join(source, "tests", "house"))
    from tap import run, work_folder
    work = work_folder("backplane-guide-")
    folder = work + "/guide"
    os.mkdir(folder)
    os.mkdir(folder + ".tools")
    wrap_compiler(folder + ".tools")
    cases = []

    def case(name, function):
        function.__name__ = name
        cases.append(function)

    for line, info, do in walk(source, build, folder):
        case(re.sub(r"\W+", "_", "line_%d_%s" % (line, info)), do)
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            case("every_c_file_compiles_without_warnings_by_" + compiler,
                 lambda c=compiler: compiles_without_warnings(folder, build, c))
    for kind in ("hello", "adder", "coder"):
        case("random_accesses_to_%s_do_no_harm" % kind,
             lambda k=kind: driven_at_random(folder, build, k))
    run(cases)


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "--extract":
        extract(os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3]), sys.argv[4])
    else:
        main()
