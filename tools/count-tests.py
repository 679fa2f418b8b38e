#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts test cases in meson's logs; the last line is "N passed, N failed, N skipped". Before it the
slowest ten tests, which are programs of one or more cases.

usage: count-tests.py MESON-LOGS

A TAP program counts once per case, any other test once. A program that failed although none of its
cases did (it crashed, or ran out of time) counts as one failure more. The status is 0 when
something ran and nothing failed.
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as xml

# What a test printed may hold what XML cannot: escape sequences of a guest's terminal, say.
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
REASON_LINES = 6
GOOD = {"OK", "EXPECTEDFAIL", "SKIP"}


def cases(junit):
    """[passed, failed, skipped], "TEST: CASE" of those that failed, names of tests with such."""
    count, failures, tests = [0, 0, 0], [], set()
    with open(junit, encoding="utf-8", errors="replace") as f:
        text = NO_XML.sub("?", f.read())
    for suite in xml.fromstring(text).iter("testsuite"):
        for case in suite.iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                count[1] += 1
                failures.append("%s: %s" % (suite.get("name"), case.get("name")))
                # Cases of a TAP program are in a suite of its own; single tests share the project's.
                tests.update(name.split(" / ")[-1] for name in (suite.get("name"), case.get("name")))
            elif "skipped" in kinds:
                count[2] += 1
            else:
                count[0] += 1
    return count, failures, tests


def reasons(results):
    """What TAP programs say in front of or behind a case that failed: {test and case: [line]}."""
    said = {}
    for result in results:
        lines = NO_XML.sub("?", result.get("stdout", "")).splitlines()
        for n, line in enumerate(lines):
            if not line.startswith("not ok ") or " # SKIP" in line or " # TODO" in line:
                continue
            first = end = n
            while first and lines[first - 1].startswith("#") and n - first < REASON_LINES:
                first -= 1
            while end + 1 < len(lines) and lines[end + 1].startswith("#") and end - n < REASON_LINES:
                end += 1
            # The end of a long line says what was there instead.
            said["%s: %s" % (result["name"].split(" / ")[-1], line[len("not ok "):])] = [
                more if len(more) <= 600 else more[:200] + " ... " + more[-400:]
                for more in lines[first:n] + lines[n + 1:end + 1]]
    return said


def print_slowest(results):
    slowest = sorted(results, key=lambda r: -r.get("duration", 0))[:10]
    if len(results) > 1:
        print("slowest:")
        for result in slowest:
            print("  %7.1f s  %s" % (result.get("duration", 0), result["name"]))


def main():
    logs = sys.argv[1]
    results = []
    try:
        with open(os.path.join(logs, "testlog.json")) as f:
            results = [json.loads(line) for line in f]
        total, failures, tests = cases(os.path.join(logs, "testlog.junit.xml"))
    except (OSError, ValueError, xml.ParseError) as error:
        print("no test results: %s" % error)
        total, failures, tests = [0, 0, 0], [], set()
    for result in results:
        if result["result"] in GOOD:
            continue
        if result["name"].split(" / ")[-1] not in tests:
            total[1] += 1
            failures.append("%s: %s" % (result["name"], result["result"]))
    print_slowest(results)
    for name, why in reasons(results).items():
        print("\n".join(["", name] + why))
    for failure in failures:
        print("FAILED: " + failure)
    print("%d passed, %d failed, %d skipped" % tuple(total))
    return 1 if total[1] or not total[0] else 0


sys.exit(main())
