/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Things named by their module's file: -device ./card.so, or ./cards.so:NAME when the file has
 * several. Nothing is loaded here: the name that is found is then asked for as any other.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"
#include "safety.h"

/* A thing that users may make. */
static bool fits(const struct provide *p, enum bp_provide_kind kind)
{
    return p->kind == kind && !p->alias && !strstr(p->attributes, "user=no");
}

/* The one that is meant: `name`, or the only one when it is NULL. */
static int choose(const struct module *m, enum bp_provide_kind kind, const char *name,
                  const char **ret_name, struct bp_error *err)
{
    const char *kind_name = bpc_kind_name(kind), *found = NULL;
    GString *names = g_string_new(NULL);
    unsigned count = 0;
    int ret = 0;

    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (!fits(p, kind))
            continue;
        count++;
        if (!name || strcmp(name, p->name) == 0)
            found = p->name;
        if (names->len < 400)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", p->name);
    }
    if (count == 0)
        ret = bp_fail(err, ENOENT, "module %s (%s) has no %s that can be made by its file", m->name,
                    m->file, kind_name);
    else if (name && !found)
        ret = bp_fail(err, ENOENT, "module %s (%s) has no %s '%.100s'; it has: %s", m->name, m->file,
                    kind_name, name, names->str);
    else if (!name && count > 1)
        ret = bp_fail(err, EINVAL, "module %s (%s) has several: %s; say which, as %s:NAME", m->name,
                    m->file, names->str, m->file);
    else
        *ret_name = found;
    g_string_free(names, TRUE);
    return ret;
}

int modules_resolve_file(enum bp_provide_kind kind, const char *path, const char **ret_name,
                         struct bp_error *err)
{
    const char *colon = strrchr(path, ':'), *name = NULL;
    char *file = NULL;
    struct module *m;
    int ret;

    if (safety_privileged())
        return bp_fail(err, EPERM, "'%.200s' is not loaded: files are not taken by their path when "
                       "privileges were raised", path);
    /* A colon may belong to the path. */
    if (colon && colon > strrchr(path, '/') && access(path, F_OK) < 0) {
        name = colon + 1;
        file = g_strndup(path, (gsize)(colon - path));
    }
    ret = modules_add_file(file ? file : path, &m, err);
    g_free(file);
    if (ret < 0)
        return ret;
    if (m->state == MODULE_FAILED)
        return bp_fail(err, m->code, "%s", m->error);
    return choose(m, kind, name, ret_name, err);
}
