# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ledger of promises keeps its word: rows are complete, states are allowed, what is said to work
has tests that exist and passed, what is said to be refused is refused by name in one line.

usage: promises.py SOURCE-ROOT BUILD-ROOT
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys

ROOT, BUILD = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests", "house")]
import compatibility  # noqa: E402
import promises  # noqa: E402
import tap  # noqa: E402

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
# What is promised does not change by the way: number of rows, and a hash of ids, areas and wording.
ROWS = 1036
WORDING = "3911498f801928af"


def wording(rows):
    text = "\n".join("\t".join(row[column] for column in promises.COLUMNS[:4]) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fine(wrong):
    assert not wrong, "\n".join(wrong[:40])


def each_promise_has_a_row_and_an_allowed_state():
    rows = promises.ledger()
    assert list(rows[0]) == promises.COLUMNS, list(rows[0])
    ids = [row["id"] for row in rows]
    fine(sorted({"%s stands twice" % name for name in ids if ids.count(name) > 1}))
    fine(["%s: state %r is not one of %s" % (row["id"], row["state"], ", ".join(promises.STATES))
          for row in rows if row["state"] not in promises.STATES])
    found = wording(rows)
    assert (len(rows), found) == (ROWS, WORDING), "%d rows, wording %s: ids, areas and wording are " \
        "promised; change ROWS and WORDING here only with what is promised" % (len(rows), found)


def rows_agree_with_the_reference():
    for up in ("..", os.path.join("..", "..")):
        reference = os.path.join(ROOT, up, "shared", "reference")
        if os.path.exists(os.path.join(reference, "features.tsv")):
            break
    else:
        raise tap.Skip("the lists of features are not beside this tree")
    wanted = promises.table(os.path.join(reference, "features.tsv")) + \
        promises.table(os.path.join(reference, "beyond.tsv"))
    columns = promises.COLUMNS[:4]
    wanted = [tuple(row[column] for column in columns) for row in wanted]
    ours = [tuple(row[column] for column in columns) for row in promises.ledger()]
    fine(["missing or reworded: " + row[0] for row in wanted if row not in set(ours)] +
         ["not known there: " + row[0] for row in ours if row not in set(wanted)])


def what_works_has_tests_and_what_works_partly_has_words():
    wrong = []
    for row in promises.ledger():
        tests = promises.named_tests(row)
        if row["state"] == "works" and not tests:
            wrong.append("%s works, and no test shows it" % row["id"])
        if row["state"] == "partly" and not row["note"]:
            wrong.append("%s works partly, and nothing says what is missing" % row["id"])
        if row["state"] not in ("works", "partly") and tests:
            wrong.append("%s is %s and names a test" % (row["id"], row["state"]))
    fine(wrong)


class Tests:
    """The tests of the build, and which cases each has."""

    def __init__(self):
        with open(os.path.join(BUILD, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
            self.tests = {"%s/%s" % (suite.split(":")[-1], test["name"]): test
                          for test in json.load(file) for suite in test["suite"]}
        self.text = {}

    def cases(self, name):
        """Text that names the cases: a script's own, or the list a program gives."""
        if name not in self.text:
            test = self.tests[name]
            scripts = [word for word in test["cmd"] if word.endswith(".py") and os.path.exists(word)]
            if scripts:
                with open(scripts[0], encoding="utf-8") as file:
                    self.text[name] = file.read()
            else:
                self.text[name] = subprocess.run(
                    [test["cmd"][0], "-l"], env={**os.environ, **test["env"]}, cwd=test["workdir"],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60,
                    stdin=subprocess.DEVNULL, check=False).stdout
        return self.text[name]


def named_tests_exist():
    tests, verdicts, wrong = Tests(), promises.ran(os.path.join(BUILD, "meson-logs")), []
    for row in promises.ledger():
        for name, case in promises.named_tests(row):
            if name not in tests.tests:
                # What this build leaves out (a library is missing) is a line of its meson.build.
                if not built_elsewhere(name):
                    wrong.append("%s: there is no test %s" % (row["id"], name))
            elif (name, case) not in verdicts and not re.search(
                    r"(?<![\w/-])%s(?![\w-])" % re.escape(case), tests.cases(name)):
                wrong.append("%s: %s has no case %s" % (row["id"], name, case))
    fine(wrong)


def built_elsewhere(name):
    suite, _, test = name.partition("/")
    path = os.path.join(ROOT, "tests", suite, "meson.build")
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        return "'%s'" % test in file.read()


def named_tests_that_ran_have_passed():
    verdicts = promises.ran(os.path.join(BUILD, "meson-logs"))
    fine(["%s: %s: %s is %s" % (row["id"], *test, verdicts[test])
          for row in promises.ledger() for test in promises.named_tests(row)
          if verdicts.get(test) == "not ok"])


def refused_things_are_refused_in_one_line_that_names_them():
    tries = {row["id"]: row for row in promises.table(promises.TRIES)}
    rows = promises.ledger()
    fine(["%s has no line in %s" % (row["id"], os.path.basename(promises.TRIES))
          for row in rows if row["id"] not in tries] +
         ["%s is tried and not promised" % name for name in tries.keys() - {row["id"] for row in rows}])
    refused = [tries[row["id"]] for row in rows if row["state"] == "refused"]
    assert refused
    fine(["%s is refused, and nothing tries it" % how["id"] for how in refused if how["try"] == "-"])
    with promises.Place() as place, concurrent.futures.ThreadPoolExecutor(2) as pool:
        def outcome(how):
            return promises.attempt(PROGRAM, how["try"], how["names"], place, 100)
        results = list(pool.map(outcome, refused))
    print("# %d refusals were tried" % len(refused))
    fine(["%s is said to be refused (now built? ./dev promises set ID STATE TESTS NOTE): %s: %s %s" % (
        how["id"], how["try"], what, text)
        for how, (what, text) in zip(refused, results) if what != "refused"])


def page_for_users_is_current():
    with open(os.path.join(ROOT, "docs", "compatibility.md"), encoding="utf-8") as file:
        assert file.read() == compatibility.page(promises.ledger()), \
            "docs/compatibility.md is old: run tools/compatibility.py"


def ledger_is_counted():
    of, shown = promises.counts(promises.ledger())
    print("# promises: %d of %d work (%s)" % (of["works"], shown, ", ".join(
        "%d %s" % (of[state], state) for state in promises.STATES[1:])))
    assert sum(of.values()) == len(promises.ledger())


tap.run([each_promise_has_a_row_and_an_allowed_state, rows_agree_with_the_reference,
         what_works_has_tests_and_what_works_partly_has_words, named_tests_exist,
         named_tests_that_ran_have_passed, refused_things_are_refused_in_one_line_that_names_them,
         page_for_users_is_current, ledger_is_counted])
