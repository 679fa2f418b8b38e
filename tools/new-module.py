#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a module into this tree from kit/templates, so that it builds and passes its test: the
source, its line in meson.build, the test. Outside of the tree: `backplane-module new`.

usage: new-module.py KIND NAME     KIND: isa-device (or device), pci-device, block-driver, chardev, netdev, nic, display,
                                   object, command, option, hmp-command, framework; NAME: like my-card
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Kind of template: folder, and what the module's name begins with.
FOLDERS = {"isa-device": ("modules/hw/misc", "hw"), "pci-device": ("modules/hw/misc", "hw"),
           "block-driver": ("modules/block", "block"), "chardev": ("modules/chardev", "chardev"),
           "netdev": ("modules/net", "net"), "nic": ("modules/hw/misc", "hw"),
           "display": ("modules/ui", "ui"), "object": ("modules/object", "object"),
           "command": ("modules/commands", "monitor"), "option": ("modules/commands", "option"),
           "hmp-command": ("modules/commands", "monitor"), "framework": ("modules/host", "host")}
# A framework's header is for other modules: not promised yet, so in a room of its own.
HEADERS = "module-api/bp/draft"
ALIASES = {"device": "isa-device"}


def write(path, content):
    full = os.path.join(ROOT, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w") as f:
        f.write(content)
    print("wrote   " + path)


def read(path):
    full = os.path.join(ROOT, path)
    if not os.path.exists(full):
        return None
    with open(full) as f:
        return f.read()


def change(path, content):
    with open(os.path.join(ROOT, path), "w") as f:
        f.write(content)
    print("changed " + path)


def add_to_meson(folder, line):
    path = folder + "/meson.build"
    old = read(path)
    if old is None:
        write(path, "# SPDX-License-Identifier: LGPL-2.1-or-later\n" + line)
        parent = os.path.dirname(folder) + "/meson.build"
        entry = "subdir('%s')\n" % os.path.basename(folder)
        text = read(parent)
        # The list of modules must be complete before it is walked.
        at = text.find("\nmodule_targets")
        change(parent, text + entry if at < 0 else text[:at] + entry + text[at:])
    else:
        change(path, old + line)


def header(name, values):
    text = read("kit/templates/framework/@name@.h")
    return re.sub(r"@(\w+)@", lambda m: values[m[1]], text)


def template(kind, name, values):
    """A template as a file of this tree, which has another licence than the templates."""
    text = read("kit/templates/%s/%s" % (kind, name))
    text = text.replace('#include "@name@.h"', '#include <%s/@name@.h>' % HEADERS.partition("/")[2])
    text = text.replace("SPDX-License-Identifier: MIT", "SPDX-License-Identifier: LGPL-2.1-or-later")
    text = text.replace('#define BP_MODULE_LICENSE "MIT"\n', "")
    return re.sub(r"@(\w+)@", lambda m: values[m[1]], text)


def main():
    kind = ALIASES.get(sys.argv[1], sys.argv[1]) if len(sys.argv) == 3 else None
    if kind not in FOLDERS:
        sys.exit(__doc__)
    name = sys.argv[2]
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        sys.exit("new-module: %r is not a name like my-card" % name)
    folder, prefix = FOLDERS[kind]
    ident = name.replace("-", "_")
    values = {"name": name, "ident": ident, "IDENT": ident.upper(), "module": prefix + "-" + name}
    source, test = "%s/%s.c" % (folder, name), "tests/module/test-%s.c" % name
    for path in (source, test):
        if read(path) is not None:
            sys.exit("new-module: %s exists already" % path)
    write(source, template(kind, "@name@.c", values))
    if kind == "framework":
        write("%s/%s.h" % (HEADERS, name), header(name, values))
    add_to_meson(folder, "bp_modules += {'%s': {'sources': files('%s.c')}}\n" % (
        values["module"], name))
    write(test, template(kind, "test-@name@.c", values))
    meson = read("tests/module/meson.build")
    entry = "module_tests = {\n"
    change("tests/module/meson.build", meson.replace(
        entry, "%s  '%s': files('test-%s.c'),\n" % (entry, name, name), 1))
    print("now: ./dev test module")


main()
