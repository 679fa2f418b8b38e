#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the font of text consoles out of GNU Unifont's: the characters of code page 437 in cells of 8 x 16 dots, as a
table in C. Usage: console-font.py UNIFONT.HEX CP437.C OUTPUT"""
import re
import sys

HEIGHT = 16


def narrow(rows):
    """Cells of 16 dots as 8: of each two dots one that is set shows."""
    made = []
    for row in rows:
        made.append(sum(0x80 >> i for i in range(8) if row >> (14 - 2 * i) & 3))
    return made


def glyphs(path, wanted):
    found = {}
    with open(path) as lines:
        for line in lines:
            code, dots = line.strip().split(":")
            code = int(code, 16)
            if code not in wanted:
                continue
            digits = len(dots) // HEIGHT
            rows = [int(dots[i * digits:(i + 1) * digits], 16) for i in range(HEIGHT)]
            found[code] = rows if digits == 2 else narrow(rows)
    return found


def main():
    font, page, output = sys.argv[1:4]
    with open(page) as source:
        table = source.read().split("{", 1)[1]
    characters = [int(text, 16) for text in re.findall("0x([0-9a-f]{4})", table)]
    found = glyphs(font, set(characters))
    missing = [code for code in characters if code not in found]
    if len(characters) != 256 or missing:
        sys.exit("%s: %d characters, without %s" % (font, len(characters), ["%04x" % code for code in missing]))
    with open(output, "w") as to:
        to.write("static const unsigned char console_font[256 * %d] = {\n" % HEIGHT)
        for code in characters:
            to.write("    %s, /* U+%04X */\n" % (", ".join("0x%02x" % row for row in found[code]), code))
        to.write("};\n")


main()
