/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Defaults that are changed for all objects of a type: by the board, for the version that it stands for,
 * and by the user (-global DRIVER.PROPERTY=VALUE). */
#include <errno.h>
#include <glib.h>

#include <bp/log.h>

#include "object.h"

struct global {
    char *driver, *property, *value;
    bool used;
};

static GPtrArray *globals;

int bpc_global_add(const char *driver, const char *property, const char *value,
                   struct bp_error *err)
{
    if (!*driver || !*property)
        return bp_fail(err, EINVAL,
                       "-global expects driver.property=value or "
                       "driver=..,property=..,value=..");
    if (!globals)
        globals = g_ptr_array_new();
    struct global *g = g_new0(struct global, 1);
    g->driver = g_strdup(driver);
    g->property = g_strdup(property);
    g->value = g_strdup(value);
    g_ptr_array_add(globals, g);
    return 0;
}

static const struct bp_compat *const *compat;
static const char *compat_board;

void bpc_compat_set(const char *board, const struct bp_compat *const *tables)
{
    compat_board = board;
    compat = tables;
}

static int apply_compat(struct bp_object *obj, struct bp_error *err)
{
    for (const struct bp_compat *const *table = compat; table && *table; table++) {
        for (const struct bp_compat *c = *table; c->type; c++) {
            if (!bp_object_is_a(obj, c->type))
                continue;
            int ret = bp_object_set_text(obj, c->property, c->value, err);
            if (ret < 0) {
                bp_error_prefix(err, "machine '%s' sets %s.%s=%s", compat_board, c->type,
                                c->property, c->value);
                return ret;
            }
        }
    }
    return 0;
}

int bpc_global_apply(struct bp_object *obj, struct bp_error *err)
{
    int compatible = apply_compat(obj, err);
    if (compatible < 0)
        return compatible;
    for (guint i = 0; globals && i < globals->len; i++) {
        struct global *g = globals->pdata[i];
        if (!bp_object_is_a(obj, g->driver))
            continue;
        g->used = true;
        int ret = bp_object_set_text(obj, g->property, g->value, err);
        if (ret < 0) {
            bp_error_prefix(err, "-global %s.%s=%s", g->driver, g->property, g->value);
            return ret;
        }
    }
    return 0;
}

void bpc_global_warn_unused(void)
{
    for (guint i = 0; globals && i < globals->len; i++) {
        struct global *g = globals->pdata[i];
        if (!g->used)
            bp_warn("global %s.%s=%s not used", g->driver, g->property, g->value);
        g->used = true; /* said once */
    }
}
