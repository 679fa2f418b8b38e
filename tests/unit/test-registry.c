/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry: all or nothing, older descriptors, loading on demand, nearest names. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/host/chardev.h>
#include <bp/device.h>
#include <bp/exact/machine.h>

#include "kind.h"
#include "registry.h"
#include "type.h"

static const char *const serial_aliases[] = {"uart", NULL};
#define CLASS(NAME, ...)                                                                           \
    {                                                                                              \
        .type = {.size = sizeof(struct bp_device_class), .name = NAME, .summary = "a " NAME},      \
        __VA_ARGS__                                                                                \
    }
static const struct bp_device_class serial =
    CLASS("isa-serial", .bus = "isa", .aliases = serial_aliases);
static const struct bp_device_class parallel = CLASS("isa-parallel", .bus = "isa");
static const struct bp_device_class other_serial = CLASS("isa-serial");
static const struct bp_device_class named_uart = CLASS("uart");
static const struct bp_chardev_class null_chardev = {
    .type = {.size = sizeof(struct bp_chardev_class), .name = "chardev-null", .summary = "nowhere",
             .kind = &bp_chardev_kind}};
static const int isa_table = 1;
static const struct bp_interface isa = {sizeof(isa), "isa", 1, 0, &isa_table};

static void registered_is_found(void)
{
    const struct bp_provide provides[] = {{BP_PROVIDE_DEVICE, &serial},
                                          {BP_PROVIDE_OTHER, &null_chardev},
                                          {BP_PROVIDE_KIND, &bp_chardev_kind},
                                          {BP_PROVIDE_INTERFACE, &isa},
                                          {BP_PROVIDE_END, NULL}};
    const void *table;
    g_assert_cmpint(bpc_register_all("serial", provides, NULL), ==, 0);
    g_assert_true(bpc_find(BP_PROVIDE_DEVICE, "isa-serial") == &serial);
    g_assert_true(bpc_find(BP_PROVIDE_DEVICE, "uart") == &serial);
    g_assert_true(bpc_find(bpc_kind_from_name("chardev", 7), "null") == &null_chardev);
    g_assert_null(bpc_find(BP_PROVIDE_BUS, "isa-serial"));
    g_assert_cmpint(bpc_require_interface("isa", 1, &table, NULL), ==, 0);
    g_assert_true(table == &isa_table);
    g_assert_cmpint(bpc_require_interface("isa", 2, &table, NULL), ==, -ENOENT);
}

static void duplicate_registers_nothing(void)
{
    const struct bp_provide provides[] = {
        {BP_PROVIDE_DEVICE, &parallel}, {BP_PROVIDE_DEVICE, &other_serial}, {BP_PROVIDE_END, NULL}};
    struct bp_error err = {0};
    g_assert_cmpint(bpc_register_all("rogue", provides, &err), ==, -EEXIST);
    g_assert_nonnull(strstr(err.message, "'serial'"));
    g_assert_null(bpc_find(BP_PROVIDE_DEVICE, "isa-parallel"));
    const struct bp_provide twice[] = {
        {BP_PROVIDE_DEVICE, &parallel}, {BP_PROVIDE_DEVICE, &parallel}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("rogue", twice, &err), ==, -EEXIST);
    g_assert_null(bpc_find(BP_PROVIDE_DEVICE, "isa-parallel"));
}

static void name_wins_over_alias(void)
{
    const struct bp_provide provides[] = {{BP_PROVIDE_DEVICE, &named_uart}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("uart", provides, NULL), ==, 0);
    g_assert_true(bpc_find(BP_PROVIDE_DEVICE, "uart") == &named_uart);
    g_assert_true(bpc_find(BP_PROVIDE_DEVICE, "isa-serial") == &serial);
}

static void malformed_descriptors_are_refused(void)
{
    static const struct bp_device_class no_name = {.type = {.size = sizeof(no_name)}};
    static const struct bp_device_class tiny = {.type = {.size = 8, .name = "tiny"}};
    static const struct bp_device_class huge = {.type = {.size = 1u << 30, .name = "huge"}};
    const void *bad[] = {&no_name, &tiny, &huge, NULL};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        const struct bp_provide provides[] = {{BP_PROVIDE_DEVICE, bad[i]}, {BP_PROVIDE_END, NULL}};
        g_assert_cmpint(bpc_register_all("bad", provides, NULL), ==, -EINVAL);
    }
    const struct bp_provide unknown[] = {{99, &parallel}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("bad", unknown, NULL), ==, -EINVAL);
}

static void older_descriptor_is_widened_with_zeros(void)
{
    /* Behind the old descriptor lies something else. */
    static struct {
        struct bp_type_info type;
        const char *bus;
        void *garbage[16];
    } old = {.type = {.size = offsetof(struct bp_device_class, category), .name = "old-device"},
             .bus = "isa",
             .garbage = {(void *)1, (void *)1, (void *)1, (void *)1}};
    const struct bp_provide provides[] = {{BP_PROVIDE_DEVICE, &old}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("old", provides, NULL), ==, 0);
    const struct bp_device_class *class = bpc_find(BP_PROVIDE_DEVICE, "old-device");
    g_assert_cmpstr(class->bus, ==, "isa");
    g_assert_null(class->attach);
    g_assert_null(class->aliases);
}

/* ---- what is told of kinds and classes ---- */

static const struct bp_cpu_class fast_cpu = {
    .type = {.size = sizeof(struct bp_cpu_class), .name = "fast-any-cpu"}, .model = "fast", .arch = "any"};
static const struct bp_accel_class slow_accel = {
    .type = {.size = sizeof(struct bp_accel_class), .name = "slow"}, .arch = "abacus"};
static const struct bp_board_class flat_board = {
    .type = {.size = sizeof(struct bp_board_class), .name = "flat"}, .arch = "any"};

static void note_attributes(const struct bpc_known *known, void *opaque)
{
    g_string_append_printf(opaque, "%s:%s ", known->name, known->attributes);
}

static void assert_attributes(enum bp_provide_kind kind, const char *name, const char *attributes)
{
    GString *all = g_string_new(NULL);
    char *want = g_strdup_printf("%s:%s ", name, attributes);
    bpc_each_known(kind, note_attributes, all);
    g_assert_nonnull(strstr(all->str, want));
    g_free(want);
    g_string_free(all, TRUE);
}

static void registered_classes_tell_what_notes_would(void)
{
    const struct bp_provide provides[] = {{BP_PROVIDE_CPU, &fast_cpu}, {BP_PROVIDE_ACCEL, &slow_accel},
                                          {BP_PROVIDE_BOARD, &flat_board}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("classes", provides, NULL), ==, 0);
    assert_attributes(BP_PROVIDE_CPU, "fast-any-cpu", "arch=any;model=fast");
    assert_attributes(BP_PROVIDE_ACCEL, "slow", "arch=abacus");
    assert_attributes(BP_PROVIDE_BOARD, "flat", "arch=any");
    assert_attributes(BP_PROVIDE_DEVICE, "isa-serial", "bus=isa;user=yes");
}

static int lamp_option(void)
{
    return 0;
}
static const struct bp_command lamp_command = {
    .size = sizeof(struct bp_command), .name = "query-lamps", .summary = "which shine",
    .fn = (void (*)(void))lamp_option};
static const struct bp_event lamp_event = {
    .size = sizeof(struct bp_event), .name = "LAMP_ON", .summary = "one shines"};

static void note_summary(const struct bpc_known *known, void *opaque)
{
    g_string_append_printf(opaque, "%s:%s;", known->name, known->summary);
}

static void assert_summary(enum bp_provide_kind kind, const char *wanted)
{
    GString *all = g_string_new(NULL);
    bpc_each_known(kind, note_summary, all);
    if (!strstr(all->str, wanted))
        g_error("'%s' is not in '%s'", wanted, all->str);
    g_string_free(all, TRUE);
}

static void each_sort_of_thing_has_its_line(void)
{
    const struct bp_provide provides[] = {{BP_PROVIDE_COMMAND, &lamp_command},
                                          {BP_PROVIDE_EVENT, &lamp_event}, {BP_PROVIDE_END, NULL}};
    struct bpc_type type;
    g_assert_cmpint(bpc_register_all("lamps", provides, NULL), ==, 0);
    assert_summary(BP_PROVIDE_KIND, "chardev:Character devices;");
    assert_summary(BP_PROVIDE_COMMAND, "query-lamps:which shine;");
    assert_summary(BP_PROVIDE_EVENT, "LAMP_ON:one shines;");
    assert_summary(BP_PROVIDE_DEVICE, "isa-serial:a isa-serial;");
    assert_summary(bpc_kind_from_name("chardev", 7), "null:nowhere;");
    /* A type is known by its public name, which the kind's prefix is part of. */
    g_assert_true(bpc_type_find("chardev-null", &type));
    g_assert_cmpstr(type.name, ==, "chardev-null");
    g_assert_false(bpc_type_find("chardev-", &type));
    g_assert_false(bpc_type_find("chardev-blue", &type));
    g_assert_false(bpc_type_find("null", &type));
}

static void options_name_kinds(void)
{
    g_assert_cmpint(bpc_kind_of_option("device"), ==, BP_PROVIDE_DEVICE);
    g_assert_cmpint(bpc_kind_of_option("accel"), ==, BP_PROVIDE_ACCEL);
    g_assert_cmpint(bpc_kind_of_option("cpu"), ==, BP_PROVIDE_CPU);
    g_assert_cmpint(bpc_kind_of_option("chardev"), ==, bpc_kind_from_name("chardev", 7));
    g_assert_cmpint(bpc_kind_of_option("abacus"), ==, BP_PROVIDE_END);
}

/* ---- a loader ---- */

static unsigned loads;

static int load(enum bp_provide_kind kind, const char *name, struct bp_error *err)
{
    loads++;
    if (kind == BP_PROVIDE_DEVICE && !strcmp(name, "isa-parallel")) {
        const struct bp_provide provides[] = {{BP_PROVIDE_DEVICE, &parallel},
                                              {BP_PROVIDE_END, NULL}};
        return bpc_register_all("parallel", provides, err);
    }
    if (!strcmp(name, "broken"))
        return bp_fail(err, ENOEXEC, "module 'broken': wrong ABI");
    return bp_fail(err, ENOENT, "nobody provides %s", name);
}

static void each(enum bp_provide_kind kind, void (*fn)(const struct bpc_known *known, void *opaque),
                 void *opaque)
{
    static const struct bpc_known known[] = {
        {BP_PROVIDE_DEVICE, "isa-parallel", "port", "bus=isa;user=yes", "parallel", false},
        {BP_PROVIDE_DEVICE, "isa-serial", "port", "bus=isa;user=yes;x=y", "serial", false},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        if (known[i].kind == kind)
            fn(&known[i], opaque);
    }
}

static void note_name(const struct bpc_known *known, void *opaque)
{
    g_string_append_printf(opaque, "%s%s ", known->name, known->loaded ? "+" : "-");
}

static void unloaded_is_loaded_on_demand(void)
{
    static const struct bpc_loader loader = {.load = load, .each = each};
    const void *desc;
    struct bp_error err = {0};
    bpc_registry_set_loader(&loader);
    GString *names = g_string_new(NULL);
    bpc_each_known(BP_PROVIDE_DEVICE, note_name, names);
    g_assert_cmpstr(names->str, ==, "isa-parallel- isa-serial+ old-device+ uart+ ");
    g_string_free(names, TRUE);
    g_assert_cmpuint(loads, ==, 0);
    assert_attributes(BP_PROVIDE_DEVICE, "isa-serial", "bus=isa;user=yes;x=y"); /* the note says more */
    assert_attributes(BP_PROVIDE_DEVICE, "isa-parallel", "bus=isa;user=yes");
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "isa-parallel", &desc, &err), ==, 0);
    g_assert_true(desc == &parallel);
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "isa-parallel", &desc, &err), ==, 0);
    g_assert_cmpuint(loads, ==, 1);
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "broken", &desc, &err), ==, -ENOEXEC);
    g_assert_nonnull(strstr(err.message, "wrong ABI"));
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "nothing-like-it", &desc, &err), ==, -ENOENT);
}

static void mistyped_names_have_near_ones(void)
{
    char near[256];
    bpc_nearest(BP_PROVIDE_DEVICE, "isa-seral", near, sizeof(near));
    g_assert_cmpstr(near, ==, "isa-serial");
    bpc_nearest(BP_PROVIDE_DEVICE, "parallel", near, sizeof(near));
    g_assert_cmpstr(near, ==, "isa-parallel");
    bpc_nearest(BP_PROVIDE_DEVICE, "qxl", near, sizeof(near));
    g_assert_cmpstr(near, ==, "");
    bpc_nearest(BP_PROVIDE_DEVICE, "isa-seral", near, 4);
    g_assert_cmpstr(near, ==, "");
    g_assert_cmpint(bpc_kind_from_name("device:x", 6), ==, BP_PROVIDE_DEVICE);
    g_assert_cmpint(bpc_kind_from_name("devi", 4), >, BP_PROVIDE_OTHER); /* somebody may declare it */
    g_assert_cmpint(bpc_kind_from_name("Devi", 4), ==, BP_PROVIDE_END);
    g_assert_cmpint(bpc_kind_from_name("", 0), ==, BP_PROVIDE_END);
    g_assert_cmpstr(bpc_kind_name(BP_PROVIDE_HMP), ==, "hmp");
}

static void each_board(enum bp_provide_kind kind,
                       void (*fn)(const struct bpc_known *known, void *opaque), void *opaque)
{
    const struct bpc_known board = {.kind = BP_PROVIDE_BOARD, .name = "pc-i440fx-9.1", .summary = "",
                                    .attributes = "arch=x86_64;alias=pc;x=y", .module = "board"};
    if (kind == BP_PROVIDE_BOARD)
        fn(&board, opaque);
}

static bool missing(enum bp_provide_kind kind, const char *name, char *buf, size_t size)
{
    bool exact = strcmp(name, "isa-serail") == 0;
    g_strlcpy(buf, !*name ? "; any" : exact ? "; package p has it" : "", size);
    return exact;
}

static int resolve_file(enum bp_provide_kind kind, const char *path, const char **ret_name,
                        struct bp_error *err)
{
    *ret_name = "of-file";
    return 0;
}

static void what_is_missing_is_explained(void)
{
    static const struct bpc_loader loader = {
        .each = each_board, .missing = missing, .resolve_file = resolve_file};
    static const struct bpc_loader bare = {.each = each_board};
    struct bp_error err = {0};
    const char *name = NULL;
    const void *desc;
    char hint[BPC_HINT_SIZE];

    bpc_registry_set_loader(&loader);
    /* Where a package has the very name, near ones would mislead. */
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "isa-serail", &desc, &err), ==, -ENOENT);
    g_assert_cmpstr(err.message, ==, "No device 'isa-serail' is known; package p has it");
    g_assert_cmpint(bpc_describe(BP_PROVIDE_DEVICE, "isa-seral", &desc, &err), ==, -ENOENT);
    g_assert_cmpstr(err.message, ==, "No device 'isa-seral' is known; near names: isa-serial");
    bpc_missing_hint(BP_PROVIDE_BOARD, "pcc", hint, sizeof(hint));
    g_assert_cmpstr(hint, ==, "; near names: pc");
    bpc_missing_hint(BP_PROVIDE_BOARD, "", hint, sizeof(hint));
    g_assert_cmpstr(hint, ==, "; any");
    /* Names of files go to the loader; others are themselves. */
    g_assert_cmpint(bpc_resolve_file(BP_PROVIDE_DEVICE, "./a.so", &name, &err), ==, 0);
    g_assert_cmpstr(name, ==, "of-file");
    g_assert_cmpint(bpc_resolve_file(BP_PROVIDE_DEVICE, "a.so", &name, &err), ==, 0);
    g_assert_cmpstr(name, ==, "a.so");
    bpc_registry_set_loader(&bare);
    g_assert_cmpint(bpc_resolve_file(BP_PROVIDE_DEVICE, "./a.so", &name, &err), ==, -ENOSYS);
    bpc_missing_hint(BP_PROVIDE_DEVICE, "qxl", hint, sizeof(hint));
    g_assert_cmpstr(hint, ==, "");
    bpc_registry_set_loader(NULL);
}

static int judge(enum bp_provide_kind kind, const char **name, struct bp_error *err)
{
    if (strcmp(*name, "isa-serial") == 0)
        return bp_fail(err, EPERM, "denied");
    if (strcmp(*name, "lpt") == 0)
        *name = "isa-parallel";
    return 0;
}

static void the_administrators_word_counts_for_loaded_things(void)
{
    static const struct bpc_loader loader = {.judge = judge};
    struct bp_error err = {0};
    const void *desc = NULL;

    bpc_registry_set_loader(&loader);
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "lpt", &desc, &err), ==, 0);
    g_assert_true(desc == bpc_find(BP_PROVIDE_DEVICE, "isa-parallel"));
    desc = NULL;
    g_assert_cmpint(bpc_describe(BP_PROVIDE_DEVICE, "lpt", &desc, &err), ==, 0);
    g_assert_true(desc == bpc_find(BP_PROVIDE_DEVICE, "isa-parallel"));
    /* Registered, by its name and by an alias of its own. */
    const struct bp_device_class *class = bpc_find(BP_PROVIDE_DEVICE, "isa-serial");
    g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, "isa-serial", &desc, &err), ==, -EPERM);
    g_assert_cmpint(bpc_describe(BP_PROVIDE_DEVICE, "isa-serial", &desc, &err), ==, -EPERM);
    g_assert_cmpstr(err.message, ==, "denied");
    for (const char *const *alias = class->aliases; alias && *alias; alias++)
        if (bpc_find(BP_PROVIDE_DEVICE, *alias) == class)
            g_assert_cmpint(bpc_require(BP_PROVIDE_DEVICE, *alias, &desc, &err), ==, -EPERM);
    bpc_registry_set_loader(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/registry/registered_is_found", registered_is_found);
    g_test_add_func("/registry/duplicate_registers_nothing", duplicate_registers_nothing);
    g_test_add_func("/registry/name_wins_over_alias", name_wins_over_alias);
    g_test_add_func("/registry/malformed_descriptors_are_refused",
                    malformed_descriptors_are_refused);
    g_test_add_func("/registry/older_descriptor_is_widened_with_zeros",
                    older_descriptor_is_widened_with_zeros);
    g_test_add_func("/registry/registered_classes_tell_what_notes_would",
                    registered_classes_tell_what_notes_would);
    g_test_add_func("/registry/each_sort_of_thing_has_its_line", each_sort_of_thing_has_its_line);
    g_test_add_func("/registry/options_name_kinds", options_name_kinds);
    g_test_add_func("/registry/unloaded_is_loaded_on_demand", unloaded_is_loaded_on_demand);
    g_test_add_func("/registry/mistyped_names_have_near_ones", mistyped_names_have_near_ones);
    g_test_add_func("/registry/what_is_missing_is_explained", what_is_missing_is_explained);
    g_test_add_func("/registry/the_administrators_word_counts_for_loaded_things",
                    the_administrators_word_counts_for_loaded_things);
    return g_test_run();
}
