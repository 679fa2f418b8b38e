# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of a Python test as TAP: each is a function; an exception or assertion is a failure."""
import sys
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here."""


def run(cases):
    print("1..%d" % len(cases), flush=True)
    bad = 0
    for number, function in enumerate(cases, 1):
        verdict, note = "ok", ""
        try:
            function()
        except Skip as reason:
            note = " # SKIP %s" % reason
        except Exception:  # any failure of a case is the case's
            verdict = "not ok"
            bad += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
        print("%s %d - %s%s" % (verdict, number, function.__name__, note), flush=True)
    sys.exit(1 if bad else 0)
