#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option of the manual is known: built, or in the table of what is not built yet; never both. No command of
the human monitor is in that table and built."""
import json
import os
import re
import subprocess
import sys

SOURCE, BUILD = sys.argv[1:3]
import tap

PROGRAM = os.path.join(BUILD, "backplane-system-x86_64")
LIST = os.path.join(SOURCE, "tests", "house", "manual-options.txt")
TABLE = os.path.join(SOURCE, "program", "not-built.c")


def manual():
    with open(LIST, encoding="ascii") as file:
        return [line.strip() for line in file if not line.startswith("#")]


def table():
    with open(TABLE, encoding="ascii") as file:
        text = file.read()
    rows = re.search(r"program_options_not_built\[\] = \{\n(.*?)\n\};", text, re.S)[1]
    return re.findall(r'^    \{"([^"]+)", (?:NULL|"([^"]*)"), (NULL|")', rows, re.M)


def built():
    facts = json.loads(subprocess.run([PROGRAM, "-help-json"], stdout=subprocess.PIPE, check=True,
                                      timeout=60).stdout)
    return {name for o in facts["options"] for name in (o["name"], o.get("alias")) if name}


def every_option_of_the_manual_is_known():
    known = built() | {row[0] for row in table()} | {row[1] for row in table()}
    assert len(manual()) > 120 and len(table()) > 20, (len(manual()), len(table()))
    unknown = [name for name in manual() if name not in known]
    assert not unknown, "neither built nor in program/not-built.c: %s" % unknown


def no_option_is_built_and_called_not_built():
    both = [row[0] for row in table() if row[0] in built()]
    assert not both, "built by now: remove their lines from program/not-built.c: %s" % both


def the_table_has_each_once_and_the_manual_has_it():
    names = [row[0] for row in table()]
    assert len(names) == len(set(names)), names
    assert not set(names) - set(manual()), set(names) - set(manual())


def each_is_refused_by_name_with_what_is_missing():
    for name, _, arg in table():
        argv = ["-" + name] + ([] if arg == "NULL" else ["surely-nothing-of-this-name"])
        done = subprocess.run([PROGRAM, "-M", "none", "-S", *argv, "-version"], text=True,
                              capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        if arg == "NULL" and done.returncode == 0:
            continue  # switches off what is not there
        assert done.returncode == 1, (argv, done)
        lines = done.stderr.strip().split("\n")
        assert len(lines) == 1 and ": -%s" % name in lines[0], (argv, lines)
        assert re.search("not built yet: .{3,}", lines[0]), (argv, lines)
        if arg != "NULL":
            done = subprocess.run([PROGRAM, "-" + name], text=True, capture_output=True, timeout=30)
            assert done.returncode == 1 and "an argument is missing" in done.stderr, done


def no_command_is_built_and_called_not_built():
    with open(TABLE, encoding="ascii") as file:
        rows = re.search(r"program_hmp_not_built\[\] = \{\n(.*?)\n\};", file.read(), re.S)[1]
    names = re.findall(r'^    \{"([^"]+)", ', rows, re.M)
    assert len(names) > 20 and names == sorted(set(names)), names
    asked = "".join("help %s\n" % name for name in names) + "quit\n"
    told = subprocess.run([PROGRAM, "-M", "none", "-display", "none", "-nodefaults", "-monitor", "stdio"], input=asked,
                          capture_output=True, text=True, timeout=120, check=True).stdout
    refused = set(re.findall(r"Error: '([^']+)' is not built yet", told))
    assert refused == set(names), "built by now: remove their lines from program/not-built.c: %s" % (
        sorted(set(names) - refused))


tap.run([every_option_of_the_manual_is_known, no_option_is_built_and_called_not_built,
         the_table_has_each_once_and_the_manual_has_it,
         each_is_refused_by_name_with_what_is_missing, no_command_is_built_and_called_not_built])
