/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backplane-module info: what a module file says of itself, without running any of its code. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packages.h"
#include "schema.h"
#include "tool.h"

static void set_text(struct bp_value *dict, const char *key, const char *text)
{
    if (text && *text)
        bp_value_set(dict, key, bp_value_string(text));
}

static void add_fields(const char *what, const struct bp_field *fields, void *opaque)
{
    struct bp_value *list = opaque;
    char type[128];

    for (const struct bp_field *f = fields; f && f->name; f++) {
        struct bp_value *dict = bp_value_dict();

        bpc_schema_type_name(f, type, sizeof(type));
        bp_value_set(dict, "name", bp_value_string(f->name));
        bp_value_set(dict, "what", bp_value_string(what));
        bp_value_set(dict, "type", bp_value_string(type));
        set_text(dict, "default", f->def);
        set_text(dict, "description", f->help);
        bp_value_append(list, dict);
    }
}

static struct bp_value *describe_provide(const struct module_file *file,
                                         const struct description *d)
{
    struct bp_value *dict = bp_value_dict(), *fields = bp_value_list();
    char *summary = NULL, *attributes = module_file_attributes(file, d->kind, d->name, &summary);
    struct bp_error err = {0};
    void *desc = NULL;

    bp_value_set(dict, "kind", bp_value_string(d->kind));
    bp_value_set(dict, "name", bp_value_string(d->name));
    set_text(dict, "summary", summary);
    set_text(dict, "attributes", attributes);
    if (describe_unpack(d->kind, d->packed, d->size, &desc, &err) == 0)
        tool_each_fields(d->kind, desc, add_fields, fields);
    else
        bp_value_set(dict, "problem", bp_value_string(err.message));
    if (bp_value_length(fields))
        bp_value_set(dict, "fields", fields);
    else
        bp_value_unref(fields);
    free(desc);
    g_free(summary);
    g_free(attributes);
    return dict;
}

static void add_symbol(const char *name, const char *version, void *opaque)
{
    struct bp_value *dict;

    if (!g_str_has_prefix(name, "bp_") && !g_str_has_prefix(name, "bpc_"))
        return;
    dict = bp_value_dict();
    bp_value_set(dict, "name", bp_value_string(name));
    bp_value_set(dict, "version", bp_value_string(version));
    bp_value_append(opaque, dict);
}

static void add_library(const char *library, void *opaque)
{
    bp_value_append(opaque, bp_value_string(library));
}

static void set_build_id(struct bp_value *dict, const struct image *image)
{
    size_t length;
    const uint8_t *id = image_build_id(image, &length);
    char text[2 * IMAGE_BUILD_ID_MAX + 1] = "";

    for (size_t i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    set_text(dict, "build-id", text);
}

static void set_table(struct bp_value *dict, const struct module_file *file)
{
    struct bp_value *provides = bp_value_list(), *imports = bp_value_list();

    for (size_t i = 0; i < file->table.provide_count; i++)
        bp_value_append(provides, describe_provide(file, &file->table.provides[i]));
    for (size_t i = 0; i < file->table.import_count; i++) {
        const struct described_import *import = &file->table.imports[i];

        bp_value_append(imports, bp_value_string_printf("%s/%u.%u", import->name, import->major,
                                                        import->minor));
    }
    bp_value_set(dict, "provides", provides);
    bp_value_set(dict, "imports", imports);
    bp_value_set(dict, "init-function", bp_value_bool(file->table.has_init));
}

static struct bp_value *describe_file(const struct module_file *file)
{
    static const char *const keys[] = {"name", "summary", "version", "license", "abi", "tier",
                                       "rank", "arch"};
    struct bp_value *dict = bp_value_dict(), *requires = bp_value_list();
    struct bp_value *symbols = bp_value_list(), *libraries = bp_value_list();
    struct bp_error err = {0};

    for (unsigned i = 0; i < BP_COUNT(keys); i++)
        set_text(dict, keys[i], module_file_note(file, keys[i]));
    bp_value_set(dict, "file", bp_value_string(file->path));
    bp_value_set(dict, "size", bp_value_uint(file->size));
    set_build_id(dict, file->image);
    for (const char *r = notes_next(&file->notes, NULL); r; r = notes_next(&file->notes, r))
        if (g_str_has_prefix(r, "requires="))
            bp_value_append(requires, bp_value_string(strchr(r, '=') + 1));
    bp_value_set(dict, "requires", requires);
    if (file->has_table)
        set_table(dict, file);
    else
        bp_value_set(dict, "problem", bp_value_string(file->table_error.message));
    if (image_check(file->image, &err) < 0)
        bp_value_set(dict, "unfit", bp_value_string(err.message));
    bp_value_set(dict, "constructors", bp_value_uint(image_constructors(file->image)));
    image_each_undefined(file->image, add_symbol, symbols);
    image_each_needed(file->image, add_library, libraries);
    bp_value_set(dict, "symbols", symbols);
    bp_value_set(dict, "libraries", libraries);
    set_text(dict, "package", packages_find_module(module_file_note(file, "name")));
    return dict;
}

/* ---- as text ---- */

static void print_provide(const struct bp_value *p)
{
    const char *summary = bp_value_get_string(p, "summary");
    const char *attributes = bp_value_get_string(p, "attributes");
    const struct bp_value *fields = bp_value_get(p, "fields");

    printf("provides      %s %s%s%s%s%s%s\n", bp_value_get_string(p, "kind"),
           bp_value_get_string(p, "name"), attributes ? " (" : "", attributes ? attributes : "",
           attributes ? ")" : "", summary ? ": " : "", summary ? summary : "");
    if (bp_value_has(p, "problem"))
        printf("              its descriptor %s\n", bp_value_get_string(p, "problem"));
    for (size_t i = 0; fields && i < bp_value_length(fields); i++) {
        const struct bp_value *f = bp_value_at(fields, i);
        const char *def = bp_value_get_string(f, "default");
        const char *help = bp_value_get_string(f, "description");

        printf("              %s %s: %s%s%s%s%s\n", bp_value_get_string(f, "what"),
               bp_value_get_string(f, "name"), bp_value_get_string(f, "type"), def ? " = " : "",
               def ? def : "", help ? "; " : "", help ? help : "");
    }
}

static void print_strings(const char *head, const struct bp_value *list)
{
    for (size_t i = 0; list && i < bp_value_length(list); i++)
        printf("%-13s %s\n", head, bp_value_as_string(bp_value_at(list, i)));
}

static int print_member(const char *key, struct bp_value *member, void *opaque)
{
    switch (bp_value_type(member)) {
    case BP_VALUE_STRING: printf("%-13s %s\n", key, bp_value_as_string(member)); break;
    case BP_VALUE_INT: printf("%-13s %" PRIu64 "\n", key, bp_value_as_uint(member)); break;
    case BP_VALUE_BOOL:
        if (bp_value_as_bool(member))
            printf("%-13s yes\n", key);
        break;
    default:
        if (strcmp(key, "provides") == 0) {
            for (size_t i = 0; i < bp_value_length(member); i++)
                print_provide(bp_value_at(member, i));
        } else if (strcmp(key, "symbols") == 0) {
            for (size_t i = 0; i < bp_value_length(member); i++)
                printf("symbol        %s %s\n",
                       bp_value_get_string(bp_value_at(member, i), "name"),
                       bp_value_get_string(bp_value_at(member, i), "version"));
        } else {
            print_strings(key, member);
        }
    }
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct bp_error err = {0};
    struct module_file file;
    struct bp_value *dict;
    const char *path;
    bool json = false;
    int c, status;

    while ((c = tool_option(&command_info, argc, argv, ":h", options, &status)) != -1) {
        if (c == '?')
            return status;
        json = true;
    }
    if (optind + 1 != argc)
        return tool_usage(&command_info, "one FILE or NAME is needed");
    if (tool_find_file(argv[optind], &path, &err) < 0 ||
        module_file_open(path, &file, &err) < 0) {
        tool_error("%s", err.message);
        return TOOL_NO;
    }
    dict = describe_file(&file);
    if (json) {
        tool_print_json(bp_value_ref(dict));
    } else {
        bp_value_each(dict, print_member, NULL);
    }
    bp_value_unref(dict);
    module_file_close(&file);
    return TOOL_OK;
}

const struct subcommand command_info = {
    "info", "[--json] FILE|NAME", "Tell what a module has and needs, without running its code",
    "\nFILE has a slash or ends with .so; NAME is that of an installed module.\n\n"
    "      --json   the same as JSON\n"
    "  -h, --help   this text\n",
    run};
