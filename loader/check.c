/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A module's table against its notes and against this program, field by field, before it is linked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kinds.h"
#include "open.h"

static void note_text(GString *why, const char *field, const char *has, const char *notes)
{
    if (!has || strcmp(has, notes) != 0)
        g_string_append_printf(why, "%s%s %s (notes: %s)", why->len ? ", " : "", field,
                               has ? has : "(none)", notes);
}

static int check_head(struct module *m, const struct module_table *t)
{
    GString *why = g_string_new(NULL);
    char abi[32];
    int ret = 0;

    snprintf(abi, sizeof(abi), "%u.%u", t->abi_major, t->abi_minor);
    if (t->magic != BP_MODULE_MAGIC) {
        g_string_append_printf(why, "magic 0x%08x (here 0x%08x)", t->magic, BP_MODULE_MAGIC);
    } else if (t->size < MODULE_TABLE_LEAST) {
        g_string_append_printf(why, "size %u (here %zu)", t->size, MODULE_TABLE_LEAST);
    } else if (t->abi_major != BP_ABI_MAJOR || t->abi_minor > BP_ABI_MINOR) {
        g_string_append_printf(why, "abi %s (here %d.%d)", abi, BP_ABI_MAJOR, BP_ABI_MINOR);
    } else {
        note_text(why, "abi", abi, m->abi);
        note_text(why, "name", t->name, m->name);
        note_text(why, "tier", t->tier, m->tier);
        if (!t->has_provides)
            g_string_append_printf(why, "%sno list of what it provides", why->len ? ", " : "");
    }
    if (why->len)
        ret = module_refuse(m, true, ENOEXEC, "does not fit this program: its table bp_module "
                           "has %s", why->str);
    g_string_free(why, TRUE);
    return ret;
}

static bool in_notes(const struct module *m, const char *kind_name, const char *name)
{
    enum bp_provide_kind kind = bpc_kind_from_name(kind_name, strlen(kind_name));

    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (p->kind == kind && !p->alias && strcmp(p->name, name) == 0)
            return true;
    }
    return false;
}

static bool in_table(const struct module_table *t, const struct provide *wanted)
{
    for (size_t i = 0; i < t->provide_count; i++)
        if (strcmp(t->provides[i].kind, bpc_kind_name(wanted->kind)) == 0 &&
            strcmp(t->provides[i].name, wanted->name) == 0)
            return true;
    return false;
}

static int compare_provides(struct module *m, const struct module_table *t)
{
    for (size_t i = 0; i < t->provide_count; i++)
        if (!in_notes(m, t->provides[i].kind, t->provides[i].name))
            return module_refuse(m, true, ENOEXEC, "provides %s %s, which its notes do not list",
                                 t->provides[i].kind, t->provides[i].name);
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (!p->alias && !kind_is_noted_only(bpc_kind_name(p->kind)) && !in_table(t, p))
            return module_refuse(m, true, ENOEXEC, "does not provide %s %s, which its notes list",
                                 bpc_kind_name(p->kind), p->name);
    }
    return 0;
}

static int compare_imports(struct module *m, const struct module_table *t)
{
    for (size_t i = 0; i < t->import_count; i++) {
        char key[160];

        snprintf(key, sizeof(key), "%s/%u", t->imports[i].name, t->imports[i].major);
        if (!g_ptr_array_find_with_equal_func(m->requires, key, g_str_equal, NULL))
            return module_refuse(m, true, ENOEXEC, "imports interface %s, which its notes do not "
                                 "list", key);
    }
    /* A pointer that nobody fills would be followed by the module's first call. */
    for (unsigned i = 0; i < m->requires->len; i++) {
        const char *interface = m->requires->pdata[i];

        if (!describe_imports(t, interface))
            return module_refuse(m, true, ENOEXEC, "uses interface %s (BP_USE), which its table does "
                                 "not import: BP_IMPORT is missing in its list of imports", interface);
    }
    return 0;
}

int check_table(struct module *m, const struct module_table *table)
{
    int ret = check_head(m, table);

    if (ret == 0)
        ret = compare_provides(m, table);
    return ret < 0 ? ret : compare_imports(m, table);
}

int check_linked(struct module *m)
{
    const struct bp_module *d = m->desc;

    if (d->magic != BP_MODULE_MAGIC || d->size < MODULE_TABLE_LEAST || d->abi_major != BP_ABI_MAJOR ||
        !d->name || strcmp(d->name, m->name) != 0 || !d->tier || strcmp(d->tier, m->tier) != 0 ||
        !d->provides)
        return module_refuse(m, true, ENOEXEC, "is not what its file says: its table changed while "
                             "it was linked");
    for (const struct bp_provide *p = d->provides; p->kind != BP_PROVIDE_END; p++) {
        const struct bp_type_info *info = p->desc;
        const char *name = bpc_provide_name(p), *kind = bpc_kind_name(p->kind);

        if (p->kind == BP_PROVIDE_OTHER && info && info->kind && info->kind->name)
            kind = info->kind->name;
        if (!name || !in_notes(m, kind, name))
            return module_refuse(m, true, ENOEXEC, "provides %s %s, which its notes do not list",
                                 kind, name ? name : "without a name");
    }
    return 0;
}
