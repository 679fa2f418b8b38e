/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What query-modules and `info modules` show: each module that was found, its state, why it cannot be
 * loaded, and what packages would add. Nothing is opened or looked up twice for it: a thousand
 * modules are a matter of milliseconds.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <bp/value.h>

#include "modules.h"
#include "near.h"
#include "packages.h"
#include "policy.h"

static void set_text(struct bp_value *dict, const char *key, const char *text)
{
    if (text && text[0])
        bp_value_set(dict, key, bp_value_string(text));
}

/* Loaded ones stay loaded, whatever the policy says now. */
static const char *state_of(const struct module *m, const char **ret_reason)
{
    static const char *const states[] = {"available", "loading", "loaded", "failed"};

    *ret_reason = m->error;
    if (m->state != MODULE_LOADED && policy_denies_module(m->name, ret_reason))
        return "denied";
    return states[m->state];
}

static struct bp_value *describe_module(const struct module *m)
{
    struct bp_value *dict = bp_value_dict(), *requires = bp_value_list();
    struct bp_value *provides = bp_value_list();
    const char *reason, *state = state_of(m, &reason);

    bp_value_set(dict, "name", bp_value_string(m->name));
    bp_value_set(dict, "state", bp_value_string(state));
    bp_value_set(dict, "file", bp_value_string(m->file));
    if (m->source->only) { /* no directory of modules: a file of its own */
        bp_value_set(dict, "origin", bp_value_string("path"));
    } else {
        bp_value_set(dict, "origin", bp_value_string(m->source->origin));
        bp_value_set(dict, "directory", bp_value_string(m->source->path));
    }
    set_text(dict, "summary", m->summary);
    set_text(dict, "version", m->version);
    set_text(dict, "license", m->license);
    set_text(dict, "abi", m->abi);
    set_text(dict, "tier", m->tier);
    bp_value_set(dict, "rank", bp_value_int(m->rank));
    for (unsigned i = 0; i < m->requires->len; i++)
        bp_value_append(requires, bp_value_string(m->requires->pdata[i]));
    bp_value_set(dict, "requires", requires);
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (!p->alias)
            bp_value_append(provides, bp_value_string_printf("%s:%s", bpc_kind_name(p->kind),
                                                             p->name));
    }
    bp_value_set(dict, "provides", provides);
    bp_value_set(dict, "pinned", bp_value_bool(module_pinned(m)));
    set_text(dict, "reason", reason);
    return dict;
}

struct missing {
    GHashTable *found; /* names of modules */
    struct bp_value *list;
};

static void add_missing(const char *name, void *opaque)
{
    struct missing *missing = opaque;
    struct bp_value *dict;

    if (g_hash_table_contains(missing->found, name))
        return;
    if (!missing->list)
        missing->list = bp_value_list();
    dict = bp_value_dict();
    bp_value_set(dict, "name", bp_value_string(name));
    bp_value_set(dict, "package", bp_value_string(packages_find_module(name)));
    bp_value_append(missing->list, dict);
}

static struct bp_value *describe_directories(void)
{
    const GPtrArray *sources = modules_sources();
    struct bp_value *list = bp_value_list();

    for (unsigned i = 0; i < sources->len; i++) {
        const struct source *s = sources->pdata[i];
        struct bp_value *dict;

        if (s->only)
            continue;
        dict = bp_value_dict();
        bp_value_set(dict, "directory", bp_value_string(s->path));
        bp_value_set(dict, "origin", bp_value_string(s->origin));
        bp_value_set(dict, "indexed", bp_value_bool(!s->no_index));
        set_text(dict, "reason", s->no_index);
        bp_value_append(list, dict);
    }
    return list;
}

struct bp_value *modules_query(void)
{
    const GPtrArray *all;
    struct bp_value *dict = bp_value_dict(), *list = bp_value_list();
    struct missing missing = {g_hash_table_new(g_str_hash, g_str_equal), NULL};

    modules_verify_all();
    all = modules_all();
    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];

        bp_value_append(list, describe_module(m));
        g_hash_table_add(missing.found, (char *)m->name);
    }
    packages_each(BP_PROVIDE_END, add_missing, &missing);
    g_hash_table_unref(missing.found);
    bp_value_set(dict, "generation", bp_value_string_printf("%016" PRIx64, modules_generation()));
    bp_value_set(dict, "locked", bp_value_bool(load_locked()));
    bp_value_set(dict, "directories", describe_directories());
    bp_value_set(dict, "modules", list);
    if (missing.list)
        bp_value_set(dict, "missing", missing.list);
    return dict;
}

int modules_tell_unknown(const char *name, struct bp_error *err)
{
    const char *package = packages_find_module(name);
    const GPtrArray *all = modules_all();
    struct bpc_near near;
    const char *hint;
    char names[256];

    if (package) {
        hint = packages_hint(package);
        return bp_fail(err, ENOENT, "there is no module %.200s; package %s has it%s%s", name,
                       package, *hint ? "; " : "", hint);
    }
    bpc_near_init(&near, name);
    for (unsigned i = 0; i < all->len; i++)
        bpc_near_offer(&near, ((const struct module *)all->pdata[i])->name);
    bpc_near_print(&near, names, sizeof(names));
    return bp_fail(err, ENOENT, "there is no module %.200s%s%s", name,
                   *names ? "; near names: " : "", names);
}

int modules_query_one(const char *name_or_path, struct bp_value **ret_value, struct bp_error *err)
{
    struct module *m;
    int r = 0;

    if (strchr(name_or_path, '/') || g_str_has_suffix(name_or_path, ".so"))
        r = modules_add_file(name_or_path, &m, err);
    else
        m = modules_find(name_or_path);
    if (r < 0)
        return r;
    if (!m)
        return modules_tell_unknown(name_or_path, err);
    *ret_value = describe_module(m);
    return 0;
}
