/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines of the policy whose names match nothing: an administrator who denies `cpu:max` must not believe
 * that it is denied when its name is another one. What packages of this version have counts as there,
 * whether or not it is installed.
 */
#include <fnmatch.h>
#include <string.h>

#include <bp/log.h>

#include "modules.h"
#include "near.h"
#include "packages.h"
#include "policy.h"

struct look {
    const char *pattern;
    enum bp_provide_kind kind; /* BP_PROVIDE_END: names of modules */
    bool found;
    struct bpc_near near;
};

static void look_at(struct look *look, const char *name)
{
    look->found |= fnmatch(look->pattern, name, 0) == 0;
    bpc_near_offer(&look->near, name);
}

static void look_at_package(const char *name, void *opaque)
{
    look_at(opaque, name);
}

static void look_at_module(const struct module *m, struct look *look)
{
    if (look->kind == BP_PROVIDE_END)
        look_at(look, m->name);
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (p->kind == look->kind)
            look_at(look, p->name);
    }
}

static bool is_there(struct look *look)
{
    const GPtrArray *all = modules_all();

    bpc_near_init(&look->near, look->pattern);
    for (unsigned i = 0; i < all->len && !look->found; i++)
        look_at_module(all->pdata[i], look);
    if (!look->found)
        packages_each(look->kind, look_at_package, look);
    return look->found;
}

static void tell(const struct policy_line *line, struct look *look)
{
    const char *kind = look->kind == BP_PROVIDE_END ? "module" : bpc_kind_name(look->kind);
    char near[256];

    bpc_near_print(&look->near, near, sizeof(near));
    bp_warn("%s: %s: there is no %s %s%s%s, so the line does nothing", line->where, line->verb, kind,
            look->pattern, *near ? "; near names: " : "", near);
}

static void check_line(const struct policy_line *line, void *opaque)
{
    struct look subject = {.pattern = line->name, .kind = line->kind};
    /* An alias means another name of the kind; a preference names a module. */
    struct look object = {.pattern = line->other,
                          .kind = line->invents ? line->kind : BP_PROVIDE_END};

    (void)opaque;
    if (!line->invents && !is_there(&subject))
        tell(line, &subject);
    else if (line->other && !is_there(&object))
        tell(line, &object);
}

void policy_tell_strays(void)
{
    policy_each(check_line, NULL);
}
