/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What -h, -version and "help" arguments print: all of it from the tables and the modules' notes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "config.h"
#include "log.h"
#include "options.h"
#include "registry.h"
#include "schema.h"
#include "type.h"

/* The version whose command line and protocols this one follows; clients parse it. */
#define COMPATIBLE_VERSION "9.1.0"

void bpc_help_version(void)
{
    printf("Backplane, command line of QEMU emulator version %s (Backplane %s)\n",
           COMPATIBLE_VERSION, BP_VERSION);
}

static void print_option(const struct bp_option *o)
{
    char head[256];

    g_snprintf(head, sizeof(head), "-%s%s%s%s%s", o->name, o->alias ? " or -" : "",
               o->alias ? o->alias : "", o->arg ? " " : "", o->arg ? o->arg : "");
    if (strlen(head) < 16)
        printf("%-15s %s\n", head, o->help);
    else
        printf("%s\n                %s\n", head, o->help);
}

static const struct bp_option *const *const tables[] = {
    bpc_process_options, bpc_machine_options, bpc_device_options,
};

static bool is_listed(const struct bp_option *option)
{
    for (size_t t = 0; t < BP_COUNT(tables); t++) {
        for (const struct bp_option *const *o = tables[t]; *o; o++) {
            if (*o == option)
                return true;
        }
    }
    return false;
}

static void print_group(const char *group)
{
    printf("\n%s:\n", group);
    for (size_t t = 0; t < BP_COUNT(tables); t++) {
        for (const struct bp_option *const *o = tables[t]; *o; o++) {
            if ((*o)->group && strcmp((*o)->group, group) == 0)
                print_option(*o);
        }
    }
}

static void print_module_option(const struct bpc_known *known, void *opaque)
{
    const struct bp_option *option = bpc_find(BP_PROVIDE_OPTION, known->name);
    bool *any = opaque;

    if (option && is_listed(option))
        return;
    if (!*any)
        printf("\nOptions of installed modules:\n");
    *any = true;
    if (option)
        print_option(option);
    else
        printf("-%-14s %s\n", known->name, known->summary);
}

void bpc_help_usage(void)
{
    bool any = false;

    printf("QEMU emulator version %s (its command line; this is Backplane %s)\n",
           COMPATIBLE_VERSION, BP_VERSION);
    printf("usage: %s [options]\n", bpc_program_name());
    print_group("Standard options");
    print_group("Boot options");
    print_group("Devices and objects");
    print_group("Consoles and monitors");
    print_group("Debug and expert options");
    bpc_each_known(BP_PROVIDE_OPTION, print_module_option, &any);
    printf("\nOne dash or two; \"help\" as an argument shows what an option accepts.\n");
}

/* ---- keys and properties ---- */

static int by_name(const void *a, const void *b)
{
    const struct bp_field *const *fa = a, *const *fb = b;

    return strcmp((*fa)->name, (*fb)->name);
}

static void print_field(const struct bp_field *f)
{
    char type[128], head[256];

    bpc_schema_type_name(f, type, sizeof(type));
    g_snprintf(head, sizeof(head), "  %s=<%s>", f->name, type);
    printf("%-26s", head);
    if (f->help)
        printf(" - %s", f->help);
    if (f->def)
        printf(" (default: %s)", f->def);
    printf("\n");
}

void bpc_help_keys(const char *title, const struct bp_field *fields)
{
    GPtrArray *sorted = g_ptr_array_new();

    for (const struct bp_field *f = fields; f && f->name; f++) {
        if (!(f->flags & (BP_FIELD_HIDDEN | BP_FIELD_READ_ONLY)))
            g_ptr_array_add(sorted, (void *)f);
    }
    g_ptr_array_sort(sorted, by_name);
    printf("%s\n", title);
    for (unsigned i = 0; i < sorted->len; i++)
        print_field(g_ptr_array_index(sorted, i));
    if (sorted->len == 0)
        printf("  none\n");
    g_ptr_array_free(sorted, TRUE);
}

static void print_property(struct bp_value *p)
{
    const char *help = bp_value_get_string(p, "description");
    struct bp_value *def = bp_value_get(p, "default-value");
    char head[256];

    g_snprintf(head, sizeof(head), "  %s=<%s>", bp_value_get_string(p, "name"),
               bp_value_get_string(p, "type"));
    printf("%-26s", head);
    if (help && *help)
        printf(" - %s", help);
    if (def) {
        char *text = bp_value_print(def, false);

        printf(" (default: %s)", text);
        free(text);
    }
    printf("\n");
}

static int help_type(const char *type, const char *shown, bool device, struct bp_error *err)
{
    struct bp_value *list;
    int r = bpc_type_properties(type, device, &list, err);

    if (r < 0)
        return r;
    printf("%s options:\n", shown);
    for (size_t i = 0; i < bp_value_length(list); i++)
        print_property(bp_value_at(list, i));
    bp_value_unref(list);
    return 0;
}

/* ---- lists ---- */

/* Value of one ";key=value" attribute of a note, g_malloc'd, or NULL. */
static char *attribute(const struct bpc_known *known, const char *key)
{
    char *value = NULL;
    char **parts = g_strsplit(known->attributes, ";", -1);
    size_t n = strlen(key);

    for (char **p = parts; *p; p++) {
        if (strncmp(*p, key, n) == 0 && (*p)[n] == '=')
            value = g_strdup(*p + n + 1);
    }
    g_strfreev(parts);
    return value;
}

static bool for_this_arch(const struct bpc_known *known)
{
    char *arch = attribute(known, "arch");
    bool yes = !arch || strcmp(arch, "any") == 0;

    if (!yes) {
        char **names = g_strsplit(arch, ",", -1);

        yes = g_strv_contains((const char *const *)names, bpc_config.arch);
        g_strfreev(names);
    }
    g_free(arch);
    return yes;
}

/* Which board is the default, and its alias, stand in the class: the (small) module is loaded. One
 * that is broken cannot be used, so it is not listed. */
static void print_machine(const struct bpc_known *known, void *opaque)
{
    const struct bp_board_class *board;
    const void *desc;

    (void)opaque;
    if (!for_this_arch(known) || bpc_require(BP_PROVIDE_BOARD, known->name, &desc, NULL) < 0)
        return;
    board = desc;
    if (strcmp(board->type.name, known->name) != 0)
        return;
    if (board->alias)
        printf("%-20s %s (alias of %s)\n", board->alias, known->summary, known->name);
    printf("%-20s %s%s\n", known->name, known->summary, board->is_default ? " (default)" : "");
}

int bpc_help_machine(struct bp_value *args, struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "type");

    if (type) {
        const void *desc;
        int r = bpc_require(BP_PROVIDE_BOARD, type, &desc, err);

        if (r < 0)
            return r;
        char *name = g_strdup_printf("%s-machine", ((const struct bp_type_info *)desc)->name);
        r = help_type(name, type, false, err);
        g_free(name);
        return r;
    }
    printf("Supported machines are:\n");
    bpc_each_known(BP_PROVIDE_BOARD, print_machine, NULL);
    return 0;
}

static void print_device(const struct bpc_known *known, void *opaque)
{
    char *bus = attribute(known, "bus"), *user = attribute(known, "user");

    (void)opaque;
    if (!user || strcmp(user, "yes") == 0) {
        printf("name \"%s\"", known->name);
        if (bus && *bus && strcmp(bus, "NULL") != 0)
            printf(", bus %s", bus);
        printf(", desc \"%s\"\n", known->summary);
    }
    g_free(bus);
    g_free(user);
}

int bpc_help_device(struct bp_value *args, struct bp_error *err)
{
    const char *driver = bp_value_get_string(args, "driver");

    if (driver)
        return help_type(driver, driver, true, err);
    printf("Devices:\n");
    bpc_each_known(BP_PROVIDE_DEVICE, print_device, NULL);
    return 0;
}

static void print_name(const struct bpc_known *known, void *opaque)
{
    (void)opaque;
    printf("  %-20s %s\n", known->name, known->summary);
}

int bpc_help_object(struct bp_value *args, struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "qom-type");

    if (type)
        return help_type(type, type, false, err);
    printf("List of user creatable objects:\n");
    bpc_each_known(BP_PROVIDE_OBJECT, print_name, NULL);
    return 0;
}

static void print_cpu(const struct bpc_known *known, void *opaque)
{
    char *model = attribute(known, "model");

    (void)opaque;
    if (for_this_arch(known))
        printf("  %-20s %s\n", model ? model : known->name, known->summary);
    g_free(model);
}

int bpc_help_cpu(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    printf("Available CPUs:\n");
    bpc_each_known(BP_PROVIDE_CPU, print_cpu, NULL);
    return 0;
}

static void print_accel(const struct bpc_known *known, void *opaque)
{
    (void)opaque;
    if (for_this_arch(known))
        printf("%-10s %s\n", known->name, known->summary);
}

int bpc_help_accel(struct bp_value *args, struct bp_error *err)
{
    const char *name = bp_value_get_string(args, "accel");

    if (name) {
        char *type = g_strdup_printf("%s-accel", name);
        int r = help_type(type, name, false, err);

        g_free(type);
        return r;
    }
    printf("Accelerators supported:\n");
    bpc_each_known(BP_PROVIDE_ACCEL, print_accel, NULL);
    return 0;
}
