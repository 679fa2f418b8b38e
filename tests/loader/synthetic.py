# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many modules from one: the compiled template with another number in its names and build-id."""
import os
import re

BUILD_ID = re.compile(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", re.S)


def make(template, number):
    """The bytes of module synthetic-NUMBER (four digits)."""
    digits = b"%04d" % number
    data = bytearray(template.replace(b"QQQQ", digits))
    found = BUILD_ID.search(data)
    if found:
        data[found.start(1):found.start(1) + 4] = digits
    return bytes(data)


def fill(folder, template_file, count):
    """Writes synthetic-0000.so and so on into a folder."""
    with open(template_file, "rb") as f:
        template = f.read()
    assert b"QQQQ" in template
    for number in range(count):
        with open(os.path.join(folder, "synthetic-%04d.so" % number), "wb") as f:
            f.write(make(template, number))
