#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Do the tests notice when the core is wrong? One small edit at a time (a comparison flipped, a call
dropped, a constant off by one, a condition turned round) is compiled into a copy of libbackplane, and tests
run on that copy: the suites quick and module, then those of others that the file concerns (CONCERNED). An edit
that some test fails on, or hangs on, was caught.

usage: seeded-edits.py [--seed N] [--count N] [--floor PERCENT] [--only FILE:LINE] [--first TEST,...] [--tests PATTERN]
                       FILE|FOLDER...

BACKPLANE_BUILD names a built build directory; nothing in it or in the sources changes. Edits that do not
compile, or compile to the same machine code, don't count and others are taken. Those of
equivalent-edits.txt change nothing that anybody could see; they are told apart. TAP; a folder passes when
FLOOR per cent of the others are caught.
"""
import argparse
import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests/house"))
from tap import work_folder  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BACKPLANE_BUILD", os.path.join(TOP, "build")))
WORK = work_folder("backplane-edits-")
LIBRARY = "core/libbackplane.so.1.0.0"
KINDS = ("compare", "operator", "constant", "condition", "drop")

COMPARE = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
OPERATOR = {"&&": "||", "||": "&&", "+": "-", "-": "+", "|": "&", "&": "|", "+=": "-=", "-=": "+=",
            "|=": "&=", "&=": "|=", "<<": ">>", ">>": "<<"}
# Between blanks: no pointers, addresses or signs.
BINARY = re.compile(r"(?<= )(==|!=|<=|>=|<<|>>|&&|\|\||\+=|-=|\|=|&=|<|>|\+|-|\||&)(?= )")
NUMBER = re.compile(r"(?<![\w.\"])(0x[0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.\"])")
CONDITION = re.compile(r"^(\s*(?:\} else )?(?:if|while) )\((.*)\)( \{)?$")
# A statement of one line that calls or assigns; what declares cannot go.
STATEMENT = re.compile(r"^(\s+)((?:[\w>\-.\[\]*()&]+ [|&+\-]?= |\*?[\w>\-.\[\]]+(?:\+\+|--);|[a-z_]\w*\().*;)$")
# Tests of slower suites, by the beginning of a file's path.
CONCERNED = {
    "core/loop/": ("last-words", "contexts", "iothreads"),
    "core/memory/": ("test-ram", "memory-backends"),
    "core/type/": ("help", "defaults", "qmp"),
    "core/device/": ("test-board", "cpus", "qmp"),
    "core/machine/": ("cpus", "machine", "hmp"),
    "core/control/": ("qmp", "hmp", "contexts", "fdsets", "compat", "completion"),
    "core/options/": ("options", "help", "compat", "process", "machine"),
}
# How large a variable is on the stack.
ARRAY = re.compile(r"^\s+(?:static |const |unsigned )*(?:char|u?int\d*_t|struct \w+) [^=]*\[")
# What tells, or checks what cannot be, is not what these tests are for.
SPARED = re.compile(r"\b(assert|g_assert\w*|bpc_assert_\w+|static_assert|bp_log\w*|bpc_log\w*|abort)\s*\(")


def blank(text):
    """The same text without comments and literals, at the same places."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                  lambda m: re.sub(r"[^\n]", "\x01", m.group(0)), text, flags=re.S)


def bodies(lines):
    """Numbers of the lines inside functions."""
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("}"):
            inside = False
        if inside:
            yield number
        if line.rstrip() == "{":
            inside = True


def edits_of_line(line, plain):
    """(kind, new line) of one line."""
    def put(begin, end, new):
        return line[:begin] + new + line[end:]

    for m in BINARY.finditer(plain):
        table = COMPARE if m.group(1) in COMPARE else OPERATOR
        yield "compare" if table is COMPARE else "operator", put(*m.span(1), table[m.group(1)])
    for m in NUMBER.finditer(plain):
        if ARRAY.match(plain) and plain[m.start() - 1] == "[":
            continue
        digits = m.group(1)
        base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" and digits.isdigit() else 10
        yield "constant", put(*m.span(1), {16: "0x%x", 8: "0%o", 10: "%d"}[base] % (int(digits, base) + 1))
    m = CONDITION.match(plain)
    if m and m.group(2).count("(") == m.group(2).count(")"):
        yield "condition", put(*m.span(2), "!(" + line[m.start(2):m.end(2)] + ")")
    m = STATEMENT.match(plain)
    if m and plain.count("(") == plain.count(")") and not m.group(2).startswith("return"):
        yield "drop", put(*m.span(2), ";")
    if re.match(r"^\s+(break|continue|return);$", plain):
        yield "drop", re.sub(r"\b(break|continue|return);", ";", line)


def sites(path, text):
    lines, plain = text.split("\n"), blank(text).split("\n")
    for number in bodies(plain):
        if SPARED.search(plain[number]) or plain[number].lstrip().startswith("#"):
            continue
        for kind, new in edits_of_line(lines[number], plain[number]):
            if new != lines[number]:
                yield kind, path, number, lines[number], new


class Bench:
    """Compiles one file of the core into a library of its own, and runs tests on it."""

    def __init__(self, first, tests):
        with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as f:
            self.commands = {os.path.normpath(os.path.join(c["directory"], c["file"])): c for c in json.load(f)}
        self.link = self.commands_of(LIBRARY)[-1]
        self.plain = {}
        self.sources = {}
        self.tests = []
        for test in json.loads(self.output(["meson", "introspect", "--tests", BUILD])):
            suites = {s.split(":")[-1] for s in test["suite"]}
            program = test["cmd"][0]
            if tests and not re.fullmatch(tests, test["name"]):
                continue
            test["quick"] = bool(suites & {"quick", "module"} and program.startswith(BUILD))
            if test["quick"] or suites & {"clients", "qtest"}:
                self.tests.append(test)
        self.tests.sort(key=lambda t: t["name"])
        self.first = first
        self.chosen = bool(tests)
        self.took = {}

    @staticmethod
    def output(command):
        return subprocess.run(command, cwd=BUILD, check=True, capture_output=True, text=True).stdout

    def commands_of(self, target):
        return self.output(["ninja", "-t", "commands", target]).strip().split("\n")

    def source(self, path):
        """As it was when it was first asked for."""
        if path not in self.sources:
            with open(os.path.join(TOP, path), encoding="utf-8") as f:
                self.sources[path] = f.read()
        return self.sources[path]

    def compile(self, path, text):
        """The object of this text in place of `path`'s; None when it is not C."""
        command = self.commands[os.path.join(TOP, path)]
        source, made = os.path.join(WORK, os.path.basename(path)), os.path.join(WORK, "edited.o")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        words, skip = [], False
        for word in shlex.split(command["command"]):
            if skip or word in ("-MD", "ccache", "-g"):
                skip = False
            elif word in ("-MQ", "-MF", "-o"):
                skip = True
            elif word == command["file"]:
                words.append(source)
            else:
                words.append(word)
        words += ["-iquote", os.path.join(TOP, os.path.dirname(path)), "-w", "-o", made]
        done = subprocess.run(words, cwd=BUILD, capture_output=True, check=False)
        return made if done.returncode == 0 else None

    def code(self, made):
        """What there is to run and to read, to tell edits that change nothing."""
        return self.output(["objdump", "-drs", "-j", ".text", "-j", ".text.unlikely", "-j", ".rodata",
                            "-j", ".data.rel.ro.local", "-j", ".data", made]).split("\n", 3)[-1]

    def same(self, path, made):
        if path not in self.plain:
            edited = made + ".edited"
            os.rename(made, edited)
            self.plain[path] = self.code(self.compile(path, self.source(path)))
            os.rename(edited, made)
        return self.code(made) == self.plain[path]

    def library(self, path, made):
        """The edited object stands before the archives: whole archives would give its names twice, so the
        archive of that folder is copied with the object replaced."""
        folder = path.split("/")[1]
        archive = "core/libcore-%s.a" % folder
        member = os.path.basename(self.commands[os.path.join(TOP, path)]["output"])
        copied = os.path.join(WORK, "edited.a")
        members = self.output(["ar", "t", archive]).split()
        if os.path.exists(copied):
            os.remove(copied)
        # meson's archives are thin: their members stand beside them.
        objects = [m if os.path.isabs(m) else os.path.join(BUILD, m) for m in members]
        subprocess.run(["ar", "crs", copied] + [made if os.path.basename(o) == member else o for o in objects],
                       cwd=BUILD, check=True)
        out = os.path.join(WORK, "libbackplane.so.1")
        words = [copied if w == archive else w for w in shlex.split(self.link)]
        words[words.index("-o") + 1] = out
        subprocess.run(words, cwd=BUILD, check=True, capture_output=True)

    def run(self, test, limit):
        """True: it passed."""
        env = {**os.environ, **test["env"], "TMPDIR": WORK, "MALLOC_PERTURB_": "85"}
        env["LD_LIBRARY_PATH"] = WORK + ":" + env.get("LD_LIBRARY_PATH", "")
        began = time.monotonic()

        def bounds():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
                f.write("1000") # what eats all memory goes first

        with subprocess.Popen(test["cmd"], env=env, cwd=WORK, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=bounds) as child:
            try:
                passed = child.wait(timeout=limit) == 0
            except subprocess.TimeoutExpired:
                passed = False
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.took[test["name"]] = max(self.took.get(test["name"], 0), time.monotonic() - began if passed else 0)
        return passed

    @staticmethod
    def concerned(path):
        return [name for start, names in CONCERNED.items() if path.startswith(start) for name in names]

    def baseline(self, paths):
        """The tests that pass on the copy without an edit; those alone can catch one."""
        path = "core/loop/clock.c"
        self.library(path, self.compile(path, self.source(path)))
        wanted = {name for path in paths for name in self.concerned(path)}
        if not self.chosen:
            self.tests = [t for t in self.tests if t["quick"] or t["name"] in wanted]
        good = [t for t in self.tests if self.run(t, 120)]
        for test in self.tests:
            if test not in good:
                print("# %s does not pass without any edit and is left out" % test["name"], flush=True)
        self.tests = sorted(good, key=lambda t: self.took[t["name"]])
        assert self.tests, "no test passes on a copy of the library"

    def catch(self, path):
        """The name of the test that fails, or None. Those named like the file or its folder come first."""
        words = re.split(r"[-/.]", path)[1:-1]
        concerned = self.concerned(path)

        def order(test):
            name = test["name"]
            return (name not in self.first, not test["quick"], not any(w in name for w in words))
        for test in sorted((t for t in self.tests if self.chosen or t["quick"] or t["name"] in concerned), key=order):
            limit = 15 + 10 * self.took[test["name"]]
            # Twice: a test that fails once in a while has not caught it.
            if not self.run(test, limit) and not self.run(test, limit):
                return test["name"]
        return None


def known():
    """(path, line, edited line) -> why nobody could see it."""
    found = {}
    with open(os.path.join(HERE, "equivalent-edits.txt"), encoding="utf-8") as f:
        for block in f.read().split("\n\n"):
            lines = [line for line in block.split("\n") if line and not line.startswith("#")]
            if lines:
                path, old, new, *why = lines
                found[path, old[2:].strip(), new[2:].strip()] = " ".join(w.strip() for w in why)
    return found


def drawn(bench, paths, seed):
    """All edits in an order that the seed gives; each kind has the same share as long as it lasts."""
    lots = {kind: [] for kind in KINDS}
    for path in paths:
        for edit in sites(path, bench.source(path)):
            lots[edit[0]].append(edit)
    draw = random.Random(seed)
    for lot in lots.values():
        draw.shuffle(lot)
    while any(lots.values()):
        for kind in KINDS:
            if lots[kind]:
                yield lots[kind].pop()


def try_edits(bench, paths, options):
    equivalent = known()
    caught, survived, same, tried = 0, [], 0, 0
    for kind, path, number, old, new in drawn(bench, paths, options.seed):
        if options.only and options.only != "%s:%d" % (path, number + 1):
            continue
        if tried == options.count:
            break
        lines = bench.source(path).split("\n")
        lines[number] = new
        made = bench.compile(path, "\n".join(lines))
        if not made or bench.same(path, made):
            continue
        tried += 1
        if (path, old.strip(), new.strip()) in equivalent:
            same += 1
            continue
        bench.library(path, made)
        who = bench.catch(path)
        caught += who is not None
        if who is None:
            survived.append(path)
        print("# %s %s:%d (%s)\n#   - %s\n#   + %s" % ("caught by %s:" % who if who else "SURVIVED", path, number + 1,
                                                      kind, old.strip(), new.strip()), flush=True)
    return caught, len(survived), same


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=50, help="edits of each argument")
    parser.add_argument("--floor", type=int, default=70, help="how many per cent must be caught")
    parser.add_argument("--only", help="edits of this FILE:LINE alone")
    parser.add_argument("--first", default="", help="tests to begin with, by their names in meson")
    parser.add_argument("--tests", default="", help="only the tests whose names match this pattern as a whole")
    parser.add_argument("what", nargs="+", help="files, folders, or several joined by commas")
    options = parser.parse_args()
    groups = []
    for what in options.what:
        groups.append([])
        for part in what.split(","):
            whole = os.path.join(TOP, part)
            groups[-1] += [part] if os.path.isfile(whole) else sorted(
                os.path.join(part, name) for name in os.listdir(whole) if name.endswith(".c"))
    bench = Bench(options.first.split(","), options.tests)
    bench.baseline(sum(groups, []))
    print("1..%d" % len(groups), flush=True)
    bad = False
    for number, (what, paths) in enumerate(zip(options.what, groups), 1):
        caught, survived, same = try_edits(bench, paths, options)
        share = 100 * caught // (caught + survived) if caught + survived else 100
        good = share >= options.floor
        bad |= not good
        print("# %s: %d of %d edits caught (%d %%), %d more that change nothing"
              % (what, caught, caught + survived, share, same))
        print("%sok %d - edits_of_%s_are_caught" % ("" if good else "not ", number,
                                                   re.sub(r"\W+", "_", what)), flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
