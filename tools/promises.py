#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ledger of promises: docs/promises.tsv, a line for each thing that is promised, with its state
and the tests that prove it.

usage: promises.py list [--state STATE] [AREA|ID...]       rows with states, and counts by area
       promises.py set ID STATE [TESTS [NOTE]]             move a row, and write the page for users
       promises.py try PROGRAM [--state STATE] [AREA|ID...] do what tests/house/promises-tries.tsv has for
                                                           each row, and say what came of it
       promises.py ran MESON-LOGS                          whether the named tests ran and passed

States: works (a test that can fail does the thing as a user would), partly (the note says what is
missing), refused (the program refuses it in one line that names it), planned (neither), elsewhere
(no such host can show it)."""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEDGER = os.path.join(TOP, "docs", "promises.tsv")
TRIES = os.path.join(TOP, "tests", "house", "promises-tries.tsv")
COLUMNS = ["id", "area", "option", "what_must_work", "state", "tests", "note"]
STATES = ["works", "partly", "refused", "planned", "elsewhere"]


def table(path):
    """Rows of a tab-separated file as dictionaries by the names of its first line."""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    head = lines[0]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(head):
            raise ValueError("%s:%d has %d columns, not %d" % (
                os.path.basename(path), number, len(line), len(head)))
    return [dict(zip(head, line)) for line in lines[1:]]


def ledger():
    return table(LEDGER)


def counts(rows):
    """{state: how many}, and how many of the rows can be shown on such a host."""
    of = {state: sum(row["state"] == state for row in rows) for state in STATES}
    return of, len(rows) - of["elsewhere"]


def named_tests(row):
    """[(test, case)] of a row; test is suite/name."""
    found = []
    for part in filter(None, (p.strip() for p in row["tests"].split(";"))):
        test, separator, case = part.partition(": ")
        if not separator:
            raise ValueError("%s: %r is not SUITE/TEST: CASE" % (row["id"], part))
        found.append((test.strip(), case.strip()))
    return found


# ---- trying ----

class Place:
    """A folder with the files that attempts name as %T/..."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="promises-")
        path = self.folder.name
        for name, data in (("disk.img", bytes(1 << 20)), ("text", b"text\n"),
                           ("config", b'[device "d"]\n  driver = "isa-serial"\n'),
                           ("multiboot", (0x1badb002).to_bytes(4, "little") + bytes(4) +
                            (0x100000000 - 0x1badb002).to_bytes(4, "little") + bytes(8192))):
            with open(os.path.join(path, name), "wb") as file:
                file.write(data)
        return path

    def __exit__(self, *exception):
        self.folder.cleanup()


def attempt(program, what, names, place, timeout=20):
    """Carries out one try; (outcome, text). Outcomes: starts, ends, answers, refused, unknown (the
    option or command is not known), error (refused, yet without its name, or in several lines)."""
    what = what.replace("%T", place)
    kind, _, rest = what.partition(": ")
    if kind in ("qmp", "hmp"):
        return ask(program, kind, rest, timeout)
    words = shlex.split(what)
    command = [program]
    if not {"-accel", "-enable-kvm", "-incoming"} & set(words) and "accel=" not in what:
        command += ["-accel", "qtest"]
    if not {"-display", "-nographic", "-vnc", "-spice", "-daemonize"} & set(words):
        command += ["-display", "none"]
    if not re.search(r"stdio|-daemonize", what):  # else nobody else may have the terminal
        command += ["-qmp", "stdio"]
    if not {"-serial", "-nographic", "-monitor", "-parallel"} & set(words):
        command += ["-nodefaults"]
    command += words
    talks = "stdio" in command
    try:
        run = subprocess.run(command, input=b'{"execute":"qmp_capabilities"}{"execute":"quit"}',
                             timeout=timeout if talks else 3,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    except subprocess.TimeoutExpired as late:  # nobody can tell it to end
        if talks:
            return "error", "did not end in %d s" % timeout
        return "starts", (late.stderr or b"").decode(errors="replace").strip()
    out, err = (text.decode(errors="replace") for text in (run.stdout, run.stderr))
    if '"QMP"' in out:
        return "starts", err.strip()
    if run.returncode == 0:
        return "ends", (out or err).strip()
    lines = err.strip().splitlines()
    if re.search(r"no such option|not an option|unknown option", err):
        return "unknown", err.strip()
    wanted = names or [w for w in words if w.startswith("-") and len(w) > 1][-1]
    if run.returncode == 1 and len(lines) == 1 and (wanted == "-" or wanted in lines[0]):
        return "refused", err.strip()
    return "error", "%d: %s" % (run.returncode, err.strip())


def ask(program, kind, what, timeout):
    name, _, arguments = what.partition(" ")
    request = {"execute": name}
    if kind == "hmp":
        request = {"execute": "human-monitor-command", "arguments": {"command-line": what}}
    elif arguments:
        request["arguments"] = json.loads(arguments)
    text = '{"execute":"qmp_capabilities"}%s{"execute":"quit"}' % json.dumps(request)
    run = subprocess.run([program, "-accel", "qtest", "-nodefaults", "-display", "none", "-qmp", "stdio"],
                         input=text.encode(), timeout=timeout, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, check=False)
    replies = [json.loads(line) for line in run.stdout.splitlines()]
    replies = [reply for reply in replies if "return" in reply or "error" in reply]
    if len(replies) < 2:
        return "error", run.stderr.decode(errors="replace").strip()
    answer = replies[1]
    if "error" in answer:
        unknown = answer["error"]["class"] == "CommandNotFound"
        return "unknown" if unknown else "error", answer["error"]["desc"]
    if isinstance(answer["return"], str) and re.search("unknown command|no such command", answer["return"]):
        return "unknown", answer["return"].strip()
    return "answers", json.dumps(answer["return"])


# ---- what ran ----

def ran(logs):
    """{(suite/test, case): verdict} of the run that meson logged; verdicts: ok, skip, not ok."""
    verdicts = {}
    try:
        with open(os.path.join(logs, "testlog.json"), encoding="utf-8") as file:
            results = [json.loads(line) for line in file]
    except (OSError, ValueError):
        return verdicts
    for result in results:
        suites, _, name = result["name"].rpartition(" / ")
        suite = suites.split(":")[-1].split("+")[0]
        test = "%s/%s" % (suite, name)
        if not name:
            continue
        verdicts[test, ""] = {"OK": "ok", "SKIP": "skip"}.get(result["result"], "not ok")
        for verdict, case, skip in re.findall(
                r"^(ok|not ok) \d+(?: -)? (.*?)(?: # (SKIP|skip).*)?$", result.get("stdout") or "", re.M):
            verdicts[test, case.strip()] = "skip" if skip and verdict == "ok" else verdict
    return verdicts


def report_run(logs):
    verdicts = ran(logs)
    rows = ledger()
    seen = {"ok": 0, "skip": 0, "not ok": 0, "not run": 0}
    bad = []
    for test in sorted({t for row in rows for t in named_tests(row)}):
        verdict = verdicts.get(test)
        if verdict is None:
            verdict = "not ok" if (test[0], "") in verdicts and verdicts[test[0], ""] == "ok" else "not run"
        seen[verdict] += 1
        if verdict == "not ok":
            bad.append("%s: %s" % test)
    of, shown = counts(rows)
    print("promises: %d of %d work" % (of["works"], shown))
    print("tests that prove them: %d passed, %d failed, %d skipped, %d not in this run" % (
        seen["ok"], seen["not ok"], seen["skip"], seen["not run"]))
    for name in bad:
        print("not proven: " + name)
    return 1 if bad else 0


# ---- the command ----

def move(name, state, tests="", note=""):
    """Gives a row a new state; tests and note are those given, and no others."""
    rows = ledger()
    found = [row for row in rows if row["id"] == name]
    if not found or state not in STATES:
        sys.exit("promises: set ID STATE [TESTS [NOTE]]; %s" % (
            "there is no row " + name if not found else "a state is one of " + ", ".join(STATES)))
    found[0].update(state=state, tests=tests, note=note)
    named_tests(found[0])
    with open(LEDGER, "w", encoding="utf-8") as file:
        for line in [COLUMNS] + [[row[column] for column in COLUMNS] for row in rows]:
            file.write("\t".join(line) + "\n")
    import compatibility  # it imports this file
    compatibility.main([])


def chosen(rows, words, state):
    areas = {row["area"] for row in rows}
    ids = {row["id"] for row in rows}
    for word in words:
        if word not in areas | ids:
            sys.exit("promises: %s is no area and no row; areas: %s" % (word, " ".join(sorted(areas))))
    return [row for row in rows if (not words or row["area"] in words or row["id"] in words) and
            (not state or row["state"] == state)]


def show(rows):
    for row in rows:
        print("%-9s %-34s %s" % (row["state"], row["id"], row["option"]))
        if row["note"]:
            print("%-9s %-34s   %s" % ("", "", row["note"]))
    print()
    print("%-16s" % "area" + "".join("%10s" % state for state in STATES))
    for area in sorted({row["area"] for row in rows}) + [None]:
        of, _ = counts([row for row in rows if area in (None, row["area"])])
        print("%-16s" % (area or "all") + "".join("%10d" % of[state] for state in STATES))
    of, shown = counts(rows)
    print("promises: %d of %d work" % (of["works"], shown))


def main():
    words = sys.argv[1:]
    state = None
    if "--state" in words:
        at = words.index("--state")
        state = words[at + 1] if at + 1 < len(words) else ""
        if state not in STATES:
            sys.exit("promises: a state is one of " + ", ".join(STATES))
        del words[at:at + 2]
    if words[:1] == ["list"]:
        show(chosen(ledger(), words[1:], state))
        return 0
    if words[:1] == ["set"] and 3 <= len(words) <= 5:
        move(*words[1:])
        return 0
    if words[:1] == ["try"] and len(words) > 1:
        tries = {row["id"]: row for row in table(TRIES)}
        with Place() as place:
            for row in chosen(ledger(), words[2:], state):
                how = tries[row["id"]]
                if how["try"] == "-":
                    continue
                outcome, text = attempt(words[1], how["try"], how["names"], place)
                print("%s\t%s\t%s\t%s\t%s" % (row["id"], row["state"], outcome, how["try"],
                                              " / ".join(text.splitlines())[:300]))
        return 0
    if words[:1] == ["ran"] and len(words) == 2:
        return report_run(words[1])
    sys.exit(__doc__)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.stderr.close()
