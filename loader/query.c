/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What query-modules and `info modules` show: each module found, its state, and why it failed. */
#include <bp/value.h>

#include "modules.h"

static void set_text(struct bp_value *dict, const char *key, const char *text)
{
    if (text && text[0])
        bp_value_set(dict, key, bp_value_string(text));
}

struct bp_value *modules_query(void)
{
    static const char *const states[] = {"available", "loading", "loaded", "failed"};
    const GPtrArray *all = modules_all();
    struct bp_value *list = bp_value_list();

    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];
        struct bp_value *dict = bp_value_dict(), *provides = bp_value_list();

        bp_value_set(dict, "name", bp_value_string(m->name));
        bp_value_set(dict, "state", bp_value_string(states[m->state]));
        bp_value_set(dict, "file", bp_value_string(m->file));
        set_text(dict, "summary", m->summary);
        set_text(dict, "version", m->version);
        set_text(dict, "license", m->license);
        set_text(dict, "abi", m->abi);
        set_text(dict, "tier", m->tier);
        for (unsigned j = 0; j < m->provides->len; j++) {
            const struct provide *p = m->provides->pdata[j];

            if (!p->alias)
                bp_value_append(provides, bp_value_string_printf("%s:%s", bpc_kind_name(p->kind),
                                                                 p->name));
        }
        bp_value_set(dict, "provides", provides);
        set_text(dict, "error", m->error);
        bp_value_append(list, dict);
    }
    return list;
}
