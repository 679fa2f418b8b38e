#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Assembles 16-bit code that starts at 0 into a C array. Usage: rom-header.py AS LD SOURCE HEADER NAME"""
import os
import subprocess
import sys
import tempfile

assembler, linker, source, header, name = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    parts, code = os.path.join(folder, "code.o"), os.path.join(folder, "code.bin")
    subprocess.run([assembler, "--32", "-o", parts, source], check=True)
    subprocess.run([linker, "-m", "elf_i386", "-Ttext=0", "--oformat", "binary", "-e", "_start", "-o", code, parts],
                   check=True)
    with open(code, "rb") as f:
        data = f.read()
with open(header, "w", encoding="ascii") as f:
    f.write("static const unsigned char %s[] = {\n" % name)
    for at in range(0, len(data), 16):
        f.write("    " + " ".join("0x%02x," % byte for byte in data[at:at + 16]) + "\n")
    f.write("};\n")
