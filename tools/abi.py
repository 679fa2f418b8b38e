#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ABI of the public tier against its stored baseline, with libabigail's abidw and abidiff.

usage: abi.py check|accept SOURCE-ROOT LIBRARY      LIBRARY: libbackplane.so.1.x with debugging data

check says in one line whether modules built against the baseline still work; accept makes the
library the baseline, which is only right before 1.0 is released, or to record what was appended.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

BASELINE = "module-api/abi/libbackplane-1.0.abi"
LAYOUT = "module-api/abi/layout-1.0.c"
DROP = """[suppress_function]
  symbol_name_regexp = ^bpc_
  drop = yes
[suppress_variable]
  symbol_name_regexp = ^bpc_
  drop = yes
[suppress_function]
  symbol_name_regexp = ^(%s)$
  drop = yes
[suppress_type]
  name_regexp = ^(%s|bpc_.*)$
  drop = yes
"""


def opaque_types(headers):
    """Structures that the headers name and do not show: what is in them is nobody's business."""
    text = ""
    for path in glob.glob(os.path.join(headers, "**", "*.h"), recursive=True):
        with open(path) as f:
            text += re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    shown = set(re.findall(r"struct (\w+) \{", text))
    return sorted(set(re.findall(r"struct (bp_\w+)", text)) - shown)


def node_symbols(source, node):
    """The functions that the version map gives to a node."""
    with open(os.path.join(source, "core/libbackplane.map")) as f:
        text = re.sub(r"#.*", "", f.read())
    found = re.search(r"%s\s*\{\s*global:(.*?)(local:|\})" % re.escape(node), text, re.S)
    return sorted(re.findall(r"\w+", found[1])) if found else []


def describe(library, headers, output, drop=()):
    """Writes what abidw says of a library; only types that the headers declare count."""
    with tempfile.NamedTemporaryFile("w", suffix=".suppr") as suppressions:
        suppressions.write(DROP % ("|".join(drop or ["none"]),
                                   "|".join(opaque_types(headers) or ["none"])))
        suppressions.flush()
        subprocess.run(["abidw", "--headers-dir", headers, "--drop-private-types", "--no-show-locs",
                        "--no-corpus-path", "--no-comp-dir-path", "--suppressions",
                        suppressions.name, "--out-file", output, library], check=True)


def compare(old, new):
    """(is it compatible, one line, abidiff's whole report)"""
    done = subprocess.run(["abidiff", "--no-show-locs", old, new], capture_output=True, text=True)
    report = done.stdout + done.stderr
    if done.returncode & 3:
        raise RuntimeError("abidiff failed: " + report)
    broken = []
    for line in report.splitlines():
        line = line.strip()
        if "[D]" in line or "[C]" in line or re.search(
                r"(offset|size|type) changed|type of|enumerator .* (changed|deleted)|data member "
                r"deletion|data member insertion", line):
            broken.append(line)
    added = re.findall(r"\[A\] '(?:function|variable) ([^']*)'", report)
    names = [re.search(r"(\w+)\(", a)[1] if "(" in a else a for a in added]
    if done.returncode == 0:
        return True, "compatible: nothing changed", report
    if done.returncode & 8 or broken:
        return False, "BROKEN: " + "; ".join(broken[:6] or ["see the report"]), report
    return True, "compatible; added: " + (", ".join(names) or "members only"), report


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("check", "accept"):
        sys.exit(__doc__)
    for tool in ("abidw", "abidiff"):
        if not shutil.which(tool):
            sys.exit("abi: %s is missing; Debian's package abigail-tools has it (./dev setup check "
                     "installs it)" % tool)
    action, source, library = sys.argv[1:]
    baseline = os.path.join(source, BASELINE)
    drop = node_symbols(source, "BACKPLANE_EXACT")
    if action == "accept":
        os.makedirs(os.path.dirname(baseline), exist_ok=True)
        describe(library, os.path.join(source, "module-api"), baseline, drop)
        with open(os.path.join(source, LAYOUT), "w") as out:
            subprocess.run([sys.executable, os.path.join(source, "tools/abi-layout.py"), source],
                           stdout=out, check=True)
        print("the baseline is now that of " + library)
        return
    with tempfile.NamedTemporaryFile(suffix=".abi") as now:
        describe(library, os.path.join(source, "module-api"), now.name, drop)
        good, verdict, report = compare(baseline, now.name)
    print("ABI 1.0: " + verdict)
    if not good:
        print(report)
        sys.exit(1)


if __name__ == "__main__":
    main()
