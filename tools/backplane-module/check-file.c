/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks of a module file as it stands: fitness, notes, symbols, constructors (check.h). */
#include <string.h>

#include <bp/device.h>

#include "check.h"

/* One is the compiler's own: frame_dummy of its start files. */
#define USUAL_CONSTRUCTORS 1u

static unsigned check_notes(const struct check *check)
{
    static const char *const keys[] = {"name", "summary", "version", "license", "abi", "tier"};
    const char *name = module_file_note(&check->file, "name");
    unsigned bad = 0;

    for (unsigned i = 0; i < BP_COUNT(keys); i++)
        if (!*module_file_note(&check->file, keys[i])) {
            check_bad("its notes have no %s (BP_MODULE makes them)", keys[i]);
            bad++;
        }
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.")]) {
        check_bad("its name %s has other characters than a-z, 0-9, \"-\" and \".\"", name);
        bad++;
    }
    return bad;
}

static unsigned check_table_against_notes(const struct check *check)
{
    const struct module_table *table = &check->file.table;
    const char *name = module_file_note(&check->file, "name");
    unsigned bad = 0;

    if (!table->name || strcmp(table->name, name) != 0) {
        check_bad("its table is that of %s, its notes that of %s",
                  table->name ? table->name : "a module without a name", name);
        bad++;
    }
    for (size_t i = 0; i < table->provide_count; i++) {
        const struct description *d = &table->provides[i];
        char *note = g_strdup_printf("%s:%s", d->kind, d->name);

        if (!module_file_has_note(&check->file, "provides", note)) {
            check_bad("it provides %s, which its notes do not list", note);
            bad++;
        }
        g_free(note);
    }
    for (size_t i = 0; i < table->import_count; i++) {
        char *note = g_strdup_printf("%s/%u", table->imports[i].name, table->imports[i].major);

        if (!module_file_has_note(&check->file, "requires", note)) {
            check_bad("it imports %s, which its notes do not list (BP_USE makes the note)", note);
            bad++;
        }
        g_free(note);
    }
    return bad;
}

static unsigned check_notes_against_table(const struct check *check)
{
    const struct module_table *table = &check->file.table;
    unsigned bad = 0;

    for (const char *r = notes_next(&check->file.notes, NULL); r;
         r = notes_next(&check->file.notes, r)) {
        bool found = !g_str_has_prefix(r, "provides=") && !g_str_has_prefix(r, "requires=");
        const char *value = strchr(r, '=');

        if (g_str_has_prefix(r, "provides=")) {
            char *kind = g_strndup(value + 1, strcspn(value + 1, ":"));

            found = kind_is_noted_only(kind);
            g_free(kind);
        }
        for (size_t i = 0; !found && i < table->provide_count && r[0] == 'p'; i++) {
            const struct description *d = &table->provides[i];
            char *text = g_strdup_printf("=%s:%s", d->kind, d->name);
            size_t length = strlen(text);

            found = strncmp(value, text, length) == 0 && (!value[length] || value[length] == ';');
            g_free(text);
        }
        for (size_t i = 0; !found && i < table->import_count && r[0] == 'r'; i++) {
            char *text = g_strdup_printf("=%s/%u", table->imports[i].name, table->imports[i].major);

            found = strcmp(value, text) == 0;
            g_free(text);
        }
        if (!found) {
            check_bad("its notes say %s, its table does not%s", r,
                      r[0] == 'r' ? " (BP_USE needs a BP_IMPORT in the list of imports)" : "");
            bad++;
        }
    }
    return bad;
}

void check_file(const struct check *check, const struct description *thing)
{
    struct bp_error err = {0};
    unsigned bad;

    if (image_check(check->file.image, &err) < 0) {
        check_bad("it %s", err.message);
        return;
    }
    bad = check_notes(check);
    if (!check->file.has_table) {
        check_bad("it %s", check->file.table_error.message);
        return;
    }
    bad += check_table_against_notes(check) + check_notes_against_table(check);
    if (!bad)
        check_ok("fit to be loaded; notes and table agree on %zu things",
                 check->file.table.provide_count);
}

/* ---- symbols ---- */

struct symbols {
    bool exact;
    unsigned ours, bad;
};

static void check_symbol(const char *name, const char *version, void *opaque)
{
    struct symbols *s = opaque;

    if (!g_str_has_prefix(name, "bp_") && !g_str_has_prefix(name, "bpc_") &&
        !g_str_has_prefix(version, "BACKPLANE_"))
        return;
    s->ours++;
    if (g_str_has_prefix(version, "BACKPLANE_" BP_STR(BP_ABI_MAJOR) ".") || s->exact)
        return;
    if (!*version) {
        check_warning("%s has no version: was it linked with `pkg-config --libs backplane`?", name);
        return;
    }
    s->bad++;
    check_bad("%s is of %s, which modules of the tier \"public\" may not use", name, version);
}

void check_symbols(const struct check *check, const struct description *thing)
{
    struct symbols s = {
        .exact = g_str_has_prefix(module_file_note(&check->file, "tier"), "exact:")};

    image_each_undefined(check->file.image, check_symbol, &s);
    if (!s.bad)
        check_ok("%u functions of the host, all of its tier (%s)", s.ours,
                 module_file_note(&check->file, "tier"));
}

void check_constructors(const struct check *check, const struct description *thing)
{
    unsigned count = image_constructors(check->file.image);

    if (count > USUAL_CONSTRUCTORS)
        check_warning("%u functions run as soon as it is loaded, before the host can refuse it; "
                      "constant tables need none", count - USUAL_CONSTRUCTORS);
    else
        check_ok("none but the compiler's");
}
