#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes assertions of the size and of every member's offset of what the public headers declare, as
this machine's compiler lays it out (from its debugging data).

usage: abi-layout.py SOURCE-ROOT >module-api/abi/layout-1.0.c      (./dev abi accept does it)

A structure that may grow at its end (docs/abi.md) must be at least as large; the others as large.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

NO_PROMISE = ("exact/", "draft/", "test.h")  # parts of paths: no promise, and the fake host's
HEAD = """/* SPDX-License-Identifier: MIT */
/*
 * Made by ./dev abi accept. How ABI 1.0 lays out what modules and the core share, on %s.
 * That this compiles is the test: members may be appended where docs/abi.md says so, none may move.
 */
"""
ENTRY = re.compile(r"^ *<([0-9a-f]+)><[0-9a-f]+>: Abbrev Number: \d+ \(DW_TAG_(\w+)\)", re.M)


def attribute(text, name):
    found = re.search(r"DW_AT_%s\s*:\s*(?:\(.*?\): *)?(.*?) *$" % name, text, re.M)
    return found[1] if found else None


def structures(dump):
    """name -> (size, [(member, offset, type's reference)]) of each complete structure."""
    found, current = {}, None
    parts = ENTRY.split(dump)
    for depth, tag, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        depth = int(depth, 16)
        if tag == "structure_type" and depth == 1:
            name, size = attribute(text, "name"), attribute(text, "byte_size")
            current = found.setdefault(name, (int(size, 0), [])) if name and size else None
        elif depth == 1:
            current = None
        elif depth == 2 and tag == "member" and current:
            name = attribute(text, "name")
            if name and not attribute(text, "bit_size"):
                current[1].append((name, int(attribute(text, "data_member_location"), 0)))
    return found


def main():
    source = sys.argv[1]
    headers = sorted(h for h in glob.glob(os.path.join(source, "module-api/bp/**/*.h"), recursive=True)
                     if not any(part in h for part in NO_PROMISE))
    includes = "".join("#include <%s>\n" % os.path.relpath(h, os.path.join(source, "module-api")) for h in headers)
    with tempfile.TemporaryDirectory(prefix="backplane-layout-") as work:
        made = os.path.join(work, "all.o")
        subprocess.run(["cc", "-g", "-fno-eliminate-unused-debug-types", "-gdwarf-4", "-c", "-x", "c",
                        "-I", os.path.join(source, "module-api"), "-o", made, "-"],
                       input=includes, text=True, check=True)
        dump = subprocess.run(["readelf", "--debug-dump=info", made], capture_output=True, text=True,
                              check=True).stdout
    print(HEAD % os.uname().machine + "#include <stddef.h>\n\n" + includes)
    print("#ifdef __%s__" % os.uname().machine)
    for name, (size, members) in sorted(structures(dump).items()):
        if not name.startswith("bp_"):
            continue
        opening = [member for member, _ in members[:2]]
        grows = name != "bp_type_info" and ("size" in opening or "type" in opening[:1])
        print("_Static_assert(sizeof(struct %s) %s %d, \"%s\");" % (name, ">=" if grows else "==",
                                                                 size, name))
        for member, offset in members:
            print("_Static_assert(offsetof(struct %s, %s) == %d, \"%s.%s\");" % (
                name, member, offset, name, member))
    print("#endif")


main()
