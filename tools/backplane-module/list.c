/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backplane-module list: the modules of all directories, or of some, with their state. */
#include <stdio.h>
#include <string.h>

#include "directories.h"
#include "tool.h"

static bool provides_kind(const struct bp_value *module, const char *kind)
{
    const struct bp_value *provides = bp_value_get(module, "provides");
    size_t length = strlen(kind);

    for (size_t i = 0; i < bp_value_length(provides); i++) {
        const char *text = bp_value_as_string(bp_value_at(provides, i));

        if (strncmp(text, kind, length) == 0 && text[length] == ':')
            return true;
    }
    return false;
}

static bool stands_in(const struct bp_value *module, char **directories, int count)
{
    const char *own = bp_value_get_string(module, "directory");
    bool found = count == 0;

    for (int i = 0; i < count && !found && own; i++) {
        char *path = g_canonicalize_filename(directories[i], NULL);

        found = strcmp(path, own) == 0;
        g_free(path);
    }
    return found;
}

static void print_one(const struct bp_value *m)
{
    const char *reason = bp_value_get_string(m, "reason");
    const struct bp_value *provides = bp_value_get(m, "provides");

    printf("%-20s %-9s", bp_value_get_string(m, "name"), bp_value_get_string(m, "state"));
    if (reason)
        printf(" %s", reason);
    for (size_t i = 0; !reason && i < bp_value_length(provides); i++)
        printf(" %s", bp_value_as_string(bp_value_at(provides, i)));
    putchar('\n');
}

static void add_name(const struct bpc_known *known, void *opaque)
{
    GString *names = opaque;

    g_string_append_printf(names, ", %s", known->name);
}

static void note_any(const struct bpc_known *known, void *opaque)
{
    *(bool *)opaque = true;
}

/* One that the core knows, that a framework declares, or of which there is something at least. */
static bool is_known(const char *kind)
{
    enum bp_provide_kind number = bpc_kind_from_name(kind, strlen(kind));
    bool any = bpc_kind(number) != NULL;

    if (!any)
        bpc_each_known(number, note_any, &any);
    return any;
}

static int tell_kinds(const char *kind)
{
    GString *names = g_string_new(kind_name(BP_PROVIDE_END + 1));

    for (unsigned k = BP_PROVIDE_END + 2; k < BP_PROVIDE_OTHER; k++)
        g_string_append_printf(names, ", %s", kind_name(k));
    bpc_each_known(BP_PROVIDE_KIND, add_name, names);
    tool_usage(&command_list, "there is no kind %s; kinds: %s", kind, names->str);
    g_string_free(names, TRUE);
    return TOOL_TROUBLE;
}

static int list(const char *kind, bool json, char **directories, int count)
{
    struct bp_value *all, *chosen = bp_value_list();
    const struct bp_value *modules;
    struct bp_value *query;

    for (int i = 0; i < count; i++) {
        if (!g_file_test(directories[i], G_FILE_TEST_IS_DIR)) {
            bp_value_unref(chosen);
            return tool_error("%s is not a directory", directories[i]);
        }
        directories_add(directories[i]);
    }
    if (kind && !is_known(kind)) {
        bp_value_unref(chosen);
        return tell_kinds(kind);
    }
    query = modules_query();
    modules = bp_value_get(query, "modules");
    for (size_t i = 0; i < bp_value_length(modules); i++) {
        struct bp_value *m = bp_value_at(modules, i);

        if (stands_in(m, directories, count) && (!kind || provides_kind(m, kind)))
            bp_value_append(chosen, bp_value_ref(m));
    }
    for (size_t i = 0; !json && i < bp_value_length(chosen); i++)
        print_one(bp_value_at(chosen, i));
    if (json) {
        all = bp_value_dict();
        bp_value_set(all, "modules", bp_value_ref(chosen));
        tool_print_json(all);
    }
    bp_value_unref(chosen);
    bp_value_unref(query);
    return TOOL_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"provides", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'}, {0}};
    const char *kind = NULL;
    bool json = false;
    int c, status;

    while ((c = tool_option(&command_list, argc, argv, ":h", options, &status)) != -1) {
        if (c == '?')
            return status;
        if (c == 'j')
            json = true;
        else
            kind = optarg;
    }
    if (kind && kind_from_name(kind, strlen(kind)) == BP_PROVIDE_END)
        return tool_usage(&command_list, "%s is no name of a kind: those have small letters, digits "
                          "and '-'", kind);
    return list(kind, json, argv + optind, argc - optind);
}

const struct subcommand command_list = {
    "list", "[--json] [--provides KIND] [DIR...]", "List modules, what they provide, or why not",
    "\nWithout a DIR: the modules that the emulator would find.\n\n"
    "      --provides KIND   only modules that provide something of the kind (device, bus, ...)\n"
    "      --json            everything known, as JSON\n"
    "  -h, --help            this text\n",
    run};
