/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What -h, -version and "help" arguments print, as text or, with format=json, for programs: all of
 * it from the descriptors (reference.h), so that nothing is loaded for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "kind.h"
#include "log.h"
#include "options.h"
#include "program.h"
#include "reference.h"
#include "run.h"
#include "version.h"

static const char *text_of(struct bp_value *dict, const char *key)
{
    const char *text = bp_value_get_string(dict, key);

    return text ? text : "";
}

/* Takes the reference. */
static int print_json(struct bp_value *value)
{
    char *text = bp_value_print(value, true);

    puts(text);
    free(text);
    bp_value_unref(value);
    return 0;
}

static int wants_json(struct bp_value *args, bool *ret_json, struct bp_error *err)
{
    const char *format = bp_value_get_string(args, "format");

    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return bp_fail(err, EINVAL, "there is no help in format '%.60s'; accepted: text, json",
                       format);
    *ret_json = format && *format == 'j';
    return 0;
}

/* ---- entries under headings ---- */

struct grouping {
    const char *key; /* member of an entry that says which group it is in */
    const char *const (*order)[2]; /* its value and the heading; those not here come after */
    const char *heading; /* of the latter: a format */
    void (*print)(struct bp_value *entry);
    bool spaced; /* an empty line between groups only, not before the first */
};

static unsigned print_group(const struct grouping *g, struct bp_value *list, const char *value,
                            const char *heading, unsigned before)
{
    unsigned count = 0;

    for (size_t i = 0; i < bp_value_length(list); i++) {
        if (strcmp(text_of(bp_value_at(list, i), g->key), value) != 0)
            continue;
        if (count++ == 0)
            printf("%s%s:\n", before == 0 && g->spaced ? "" : "\n", heading);
        g->print(bp_value_at(list, i));
    }
    return before + count;
}

static void print_grouped(const struct grouping *g, struct bp_value *list)
{
    GHashTable *done = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned printed = 0;

    for (unsigned i = 0; g->order[i][0]; i++) {
        printed = print_group(g, list, g->order[i][0], g->order[i][1], printed);
        g_hash_table_add(done, (void *)g->order[i][0]);
    }
    for (size_t i = 0; i < bp_value_length(list); i++) {
        const char *value = text_of(bp_value_at(list, i), g->key);
        char *heading;

        if (!g_hash_table_add(done, (void *)value))
            continue;
        heading = g_strdup_printf("%s%s", *value ? value : "Uncategorized", g->heading);
        *heading = g_ascii_toupper(*heading);
        printed = print_group(g, list, value, heading, printed);
        g_free(heading);
    }
    g_hash_table_destroy(done);
}

/* ---- -h ---- */

static void print_option(struct bp_value *o)
{
    const char *alias = text_of(o, "alias"), *argument = text_of(o, "argument");
    char head[512];

    g_snprintf(head, sizeof(head), "-%s%s%s%s%s", text_of(o, "name"), *alias ? " or -" : "", alias,
               *argument ? " " : "", argument);
    if (strlen(head) < 16)
        printf("%-15s %s\n", head, text_of(o, "summary"));
    else
        printf("%s\n                %s\n", head, text_of(o, "summary"));
}

static void help_usage(void)
{
    static const char *const order[][2] = {
        {"Standard options", "Standard options"}, {"Boot options", "Boot options"},
        {"Devices and objects", "Devices and objects"},
        {"Character devices", "Character devices"},
        {"Consoles and monitors", "Consoles and monitors"},
        {"Debug and expert options", "Debug and expert options"}, {NULL, NULL}};
    static const struct grouping groups = {"group", order, "", print_option, false};
    struct bp_value *options = bpc_reference_options();

    printf("QEMU emulator version %s (its command line; this is Backplane %s)\n",
           BPC_COMPATIBLE_VERSION, BP_VERSION);
    printf("usage: %s [options]\n", bpc_program_name());
    print_grouped(&groups, options);
    printf("\nOne dash or two; \"help\" as an argument shows what an option accepts "
           "(help,format=json: for programs).\n");
    bp_value_unref(options);
}

static void help_everything(void)
{
    print_json(bpc_reference_all());
}

/* ---- properties and keys ---- */

/* The range, where it is narrower than that of the type (which is not worth a word). */
static void print_range(struct bp_value *p)
{
    static const struct {
        const char *type, *min, *max;
    } whole[] = {
        {"uint8", "0", "255"}, {"uint16", "0", "65535"}, {"uint32", "0", "4294967295"},
        {"uint64", "0", "18446744073709551615"}, {"size", "0", "18446744073709551615"},
        {"int8", "-128", "127"}, {"int16", "-32768", "32767"},
        {"int32", "-2147483648", "2147483647"},
        {"int64", "-9223372036854775808", "9223372036854775807"},
    };
    char *min, *max;
    bool all = false;

    if (!bp_value_has(p, "min"))
        return;
    min = bp_value_print(bp_value_get(p, "min"), false);
    max = bp_value_print(bp_value_get(p, "max"), false);
    for (size_t i = 0; i < BP_COUNT(whole); i++)
        all |= strcmp(text_of(p, "type"), whole[i].type) == 0 && strcmp(min, whole[i].min) == 0 &&
               strcmp(max, whole[i].max) == 0;
    if (!all)
        printf(strcmp(min, max) ? " [%s..%s]" : " [%s]", min, max);
    free(min);
    free(max);
}

static void print_property(struct bp_value *p)
{
    struct bp_value *def = bp_value_get(p, "default"), *choices = bp_value_get(p, "choices");
    const char *help = text_of(p, "help");
    char head[256];

    g_snprintf(head, sizeof(head), "  %s=<%s>", text_of(p, "name"), text_of(p, "type"));
    printf("%-26s", head);
    if (*help)
        printf(" - %s", help);
    print_range(p);
    for (size_t i = 0; i < bp_value_length(choices); i++)
        printf("%s%s%s", i ? "|" : " [", bp_value_as_string(bp_value_at(choices, i)),
               i + 1 == bp_value_length(choices) ? "]" : "");
    if (def) {
        char *text = bp_value_print(def, false);
        const char *plain = bp_value_as_string(def);

        printf(" (default: %s)", plain ? plain : text);
        free(text);
    }
    printf("\n");
}

static bool is_settable(struct bp_value *property)
{
    struct bp_value *flags = bp_value_get(property, "flags");

    for (size_t i = 0; i < bp_value_length(flags); i++) {
        const char *flag = bp_value_as_string(bp_value_at(flags, i));

        if (strcmp(flag, "hidden") == 0 || strcmp(flag, "read-only") == 0)
            return false;
    }
    return true;
}

static void print_properties(const char *title, struct bp_value *list)
{
    unsigned count = 0;

    printf("%s:\n", title);
    for (size_t i = 0; i < bp_value_length(list); i++) {
        if (is_settable(bp_value_at(list, i))) {
            print_property(bp_value_at(list, i));
            count++;
        }
    }
    if (count == 0)
        printf("  none\n");
}

static int help_keys(const struct bp_option *option, bool json)
{
    struct bp_value *keys = bpc_reference_fields(option->keys), *dict;
    char *title;

    if (json) {
        dict = bp_value_dict();
        bp_value_set(dict, "name", bp_value_string(option->name));
        bp_value_set(dict, "properties", keys);
        return print_json(dict);
    }
    title = g_strdup_printf("Keys of -%s", option->name);
    print_properties(title, keys);
    g_free(title);
    bp_value_unref(keys);
    return 0;
}

/* ---- devices, machines, ... ---- */

static int help_one(enum bp_provide_kind kind, const char *name, bool json, struct bp_error *err)
{
    const struct bp_type_info *info;
    struct bp_value *value;
    char *title;
    int ret = bpc_reference_find(kind, name, &info, err);

    if (ret < 0)
        return ret;
    value = bpc_reference_class(kind, bpc_reference_module(kind, info), info, true);
    if (json)
        return print_json(value);
    title = g_strdup_printf("%s options", strchr(name, '/') ? text_of(value, "name") : name);
    print_properties(title, bp_value_get(value, "properties"));
    g_free(title);
    bp_value_unref(value);
    return 0;
}

static void print_name(struct bp_value *entry)
{
    printf("  %-20s %s\n", text_of(entry, "name"), text_of(entry, "summary"));
}

static void print_machine(struct bp_value *m)
{
    struct bp_value *aliases = bp_value_get(m, "aliases");
    const char *name = text_of(m, "name"), *summary = text_of(m, "summary");

    for (size_t i = 0; i < bp_value_length(aliases); i++)
        printf("%-20s %s (alias of %s)\n", bp_value_as_string(bp_value_at(aliases, i)), summary,
               name);
    printf("%-20s %s%s\n", name, summary,
           bp_value_as_bool(bp_value_get(m, "default")) ? " (default)"
           : bp_value_as_bool(bp_value_get(m, "deprecated")) ? " (deprecated)" : "");
}

static void print_device(struct bp_value *device)
{
    struct bp_value *aliases = bp_value_get(device, "aliases");

    if (!bp_value_as_bool(bp_value_get(device, "user-creatable")))
        return;
    printf("name \"%s\", bus %s", text_of(device, "name"), text_of(device, "bus"));
    for (size_t i = 0; i < bp_value_length(aliases); i++)
        printf(", alias \"%s\"", bp_value_as_string(bp_value_at(aliases, i)));
    if (*text_of(device, "summary"))
        printf(", desc \"%s\"", text_of(device, "summary"));
    printf("\n");
}

static void print_devices(struct bp_value *all)
{
    static const char *const order[][2] = {
        {"bridge", "Controller/Bridge/Hub devices"}, {"usb", "USB devices"},
        {"storage", "Storage devices"}, {"network", "Network devices"},
        {"input", "Input devices"}, {"display", "Display devices"}, {"sound", "Sound devices"},
        {"misc", "Misc devices"}, {"cpu", "CPU devices"}, {"watchdog", "Watchdog devices"},
        {NULL, NULL}};
    static const struct grouping groups = {"category", order, " devices", print_device, true};
    struct bp_value *list = bp_value_list();

    for (size_t i = 0; i < bp_value_length(all); i++) {
        if (bp_value_as_bool(bp_value_get(bp_value_at(all, i), "user-creatable")))
            bp_value_append(list, bp_value_ref(bp_value_at(all, i)));
    }
    print_grouped(&groups, list);
    bp_value_unref(list);
}

/* The features that can be switched, as a model (any of them) has them. */
static void print_flags(const char *model)
{
    const struct bp_type_info *info;
    size_t column = 0;

    if (bpc_reference_find(BP_PROVIDE_CPU, model, &info, NULL) < 0)
        return;
    printf("\nRecognized CPUID flags:");
    for (const struct bp_field *f = info->props; f && f->name; f++) {
        if (f->kind != BP_KIND_BOOL || f->def) /* what has a default is no flag of a processor */
            continue;
        if (column == 0 || column + strlen(f->name) > 76)
            column = (size_t)printf("\n ") - 1;
        column += (size_t)printf(" %s", f->name);
    }
    printf("\n");
}

static void help_list(enum bp_provide_kind number, const char *option)
{
    const struct bp_kind *kind = bpc_kind(number);
    struct bp_value *list = bpc_reference_list(number, false);
    void (*print)(struct bp_value *entry) = number == BP_PROVIDE_BOARD ? print_machine : print_name;

    if (number == BP_PROVIDE_DEVICE) {
        print_devices(list);
    } else {
        if (kind && kind->heading)
            printf("%s\n", kind->heading);
        else
            printf("Names for -%s:\n", option);
        for (size_t i = 0; i < bp_value_length(list); i++)
            print(bp_value_at(list, i));
        if (number == BP_PROVIDE_CPU && bp_value_length(list) > 0)
            print_flags(text_of(bp_value_at(list, 0), "name"));
    }
    bp_value_unref(list);
}

static int help_option(const struct bp_option *option, struct bp_value *args, struct bp_error *err)
{
    enum bp_provide_kind kind = bpc_kind_of_option(option->name);
    const char *name = bp_value_get_string(args, option->implied ? option->implied : "name");
    bool json;
    int ret = wants_json(args, &json, err);

    if (ret < 0)
        return ret;
    if (kind != BP_PROVIDE_END && name)
        return help_one(kind, name, json, err);
    if (kind != BP_PROVIDE_END && json)
        return print_json(bpc_reference_list(kind, true));
    if (kind != BP_PROVIDE_END)
        help_list(kind, option->name);
    else if (option->show_help && !(json && option->keys))
        return option->show_help(args, err);
    else
        return help_keys(option, json);
    return 0;
}

static void help_items(struct bp_value *args, const char *title, struct bp_value *list)
{
    bool json = false;

    if (wants_json(args, &json, NULL) == 0 && json) {
        print_json(list);
        return;
    }
    if (title)
        printf("%s\n", title);
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *item = bp_value_at(list, i);

        if (*text_of(item, "summary"))
            printf("%-15s %s\n", text_of(item, "name"), text_of(item, "summary"));
        else
            printf("%s\n", text_of(item, "name"));
    }
    bp_value_unref(list);
}

const struct bpc_program bpc_program_description = {
    .usage = help_usage, .everything = help_everything, .option = help_option,
    .items = help_items, .complete = complete_main,
    .options_not_built = program_options_not_built,
    .properties_not_built = program_properties_not_built,
    .hmp_not_built = program_hmp_not_built};
