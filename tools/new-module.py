#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a module that builds and passes its test: the source, its line in meson.build, the test.

usage: new-module.py KIND NAME     KIND: device, chardev, object, command; NAME: like my-card
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEAD = """/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* @name@: what it is, which specification it follows, and what it leaves out. */
"""
SOURCES = {
    "device": HEAD + """#include <bp/isa.h>

struct @ident@ {
    uint16_t iobase;
    uint8_t value;
};

static const struct bp_field @ident@_props[] = {
    BP_PROP("iobase", UINT16, struct @ident@, iobase, "0x300", "I/O port"),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {
    BP_SAVE(UINT8, struct @ident@, value),
    BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};

BP_USE(isa, struct bp_isa_interface, "isa", 1);

static uint64_t @ident@_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct @ident@ *)opaque)->value;
}

static void @ident@_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct @ident@ *)opaque)->value = (uint8_t)value;
}

static const struct bp_region_ops @ident@_ops = {
    .read = @ident@_read, .write = @ident@_write, .max_access = 1};

static int @ident@_attach(struct bp_device *dev, struct bp_error *err)
{
    struct @ident@ *s = bp_device_state(dev);

    return isa->add_ports(dev, s->iobase, 1, "@name@", &@ident@_ops, s, NULL, err);
}

static void @ident@_reset(struct bp_device *dev)
{
    ((struct @ident@ *)bp_device_state(dev))->value = 0;
}

BP_DEVICE(@ident@, "@name@", "isa", "One line of help", struct @ident@, @ident@_props,
          &@ident@_state, .attach = @ident@_attach, .reset = @ident@_reset, .category = "misc");
static const struct bp_import @ident@_imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
""",
    "chardev": HEAD + """#include <bp/chardev.h>

struct @ident@ {
    uint64_t written; /* bytes */
};

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

static int @ident@_open(struct bp_chardev *chr, struct bp_error *err)
{
    chardev->opened(chr);
    return 0;
}

static int @ident@_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct @ident@ *s = chardev->state(chr);

    s->written += len;
    return (int)len;
}

BP_CHARDEV(@ident@, "@name@", "One line of help", struct @ident@, NULL, .open = @ident@_open,
           .write = @ident@_write);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_CHARDEV, &@ident@});
""",
    "object": HEAD + """#include <bp/module.h>
#include <bp/object.h>

struct @ident@ {
    uint32_t level;
};

static const struct bp_field @ident@_props[] = {
    BP_PROP_RANGE("level", UINT32, struct @ident@, level, "1", 1, 10, "how much"),
    BP_FIELDS_END};

static int @ident@_complete(struct bp_object *obj, struct bp_error *err)
{
    return 0;
}

BP_NOTE("provides=object:@name@;summary=One line of help");
static const struct bp_object_class @ident@ = {
    .type = {.size = sizeof(struct bp_object_class), .name = "@name@",
             .summary = "One line of help", .state_size = sizeof(struct @ident@),
             .props = @ident@_props},
    .complete = @ident@_complete};
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &@ident@});
""",
    "command": HEAD + """#include <bp/command.h>

static const struct bp_field @ident@_args[] = {
    BP_ARG("value", INT64, "a number"),
    BP_FIELDS_END};

static int @ident@_run(int64_t value, struct bp_value **ret_value, struct bp_error *err)
{
    *ret_value = bp_value_int(value);
    return 0;
}

BP_COMMAND(@ident@, "@name@", "One line of help", @ident@_args, INT64, NULL, @ident@_run, 0);
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_COMMAND, &@ident@});
""",
}
TEST_HEAD = """/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* @name@ on the fake host. */
#include <glib.h>

#include <bp/test.h>
@include@
static struct bp_test_host *host;
"""
TEST_MAIN = """
int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0)
        g_error("%s", err.message);
    g_test_add_func("/@name@/@case@", @case@);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
"""
DEVICE_TEST = """
static void written_value_reads_back_until_reset(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    g_assert_cmpint(bp_test_device(host, "@name@", NULL, &dev, &err), ==, 0);
    bp_test_out(host, 0x300, 0x5a, 1);
    g_assert_cmpuint(bp_test_in(host, 0x300, 1), ==, 0x5a);
    bp_test_reset(host);
    g_assert_cmpuint(bp_test_in(host, 0x300, 1), ==, 0);
    bp_device_destroy(dev);
}
"""
LOAD_TEST = """
static void module_provides_it(void)
{
    struct bp_error err = {0};
    const void *desc;

    g_assert_cmpint(bp_test_load(host, "@module@", &err), ==, 0);
    g_assert_cmpint(bpc_require(@PROVIDE@, "@name@", &desc, &err), ==, 0);
}
"""
FOLDERS = {"device": ("modules/hw/misc", "hw"), "chardev": ("modules/chardev", "chardev"),
           "object": ("modules/objects", "object"), "command": ("modules/commands", "command")}


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


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SOURCES:
        sys.exit(__doc__)
    kind, name = sys.argv[1:]
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        sys.exit("new-module: %r is not a name like my-card" % name)
    folder, prefix = FOLDERS[kind]
    values = {"name": name, "ident": name.replace("-", "_"), "module": prefix + "-" + name,
              "PROVIDE": "BP_PROVIDE_" + kind.upper(),
              "include": "" if kind == "device" else '\n#include "registry.h"\n',
              "case": "written_value_reads_back_until_reset" if kind == "device" else
                      "module_provides_it"}

    def fill(template):
        return re.sub(r"@(\w+)@", lambda m: values[m[1]], template)

    source, test = "%s/%s.c" % (folder, name), "tests/module/test-%s.c" % name
    for path in (source, test):
        if read(path) is not None:
            sys.exit("new-module: %s exists already" % path)
    write(source, fill(SOURCES[kind]))
    add_to_meson(folder, "bp_modules += {'%s': {'sources': files('%s.c')}}\n" % (
        values["module"], name))
    write(test, fill(TEST_HEAD + (DEVICE_TEST if kind == "device" else LOAD_TEST) + TEST_MAIN))
    meson = read("tests/module/meson.build")
    entry = "module_tests = {\n"
    change("tests/module/meson.build", meson.replace(
        entry, "%s  '%s': files('test-%s.c'),\n" % (entry, name, name), 1))
    print("now: ./dev test module")


main()
