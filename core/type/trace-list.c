/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bp_trace_each(): the trace points of the core, and those that modules tell of in their notes. */
#include <glib.h>
#include <string.h>

#include "marks.h"
#include "registry.h"
#include "trace.h"

struct listed {
    const char *name, *format;
};

static void collect(const struct bpc_known *known, void *opaque)
{
    const struct listed one = {known->name, known->summary};
    g_array_append_val((GArray *)opaque, one);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

unsigned bp_trace_each(const char *pattern, void (*fn)(const char *name, const char *format, void *opaque),
                       void *opaque)
{
    bpc_assert_locked();
    GArray *all = g_array_new(FALSE, FALSE, sizeof(struct listed));
    unsigned count = 0;
    for (struct bp_trace_point *const *p = bpc_trace_points; *p; p++) {
        const struct listed one = {(*p)->name, (*p)->format};
        g_array_append_val(all, one);
    }
    bpc_each_known(bpc_kind_from_name("trace", strlen("trace")), collect, all);
    g_array_sort(all, by_name);
    for (guint i = 0; i < all->len; i++) {
        const struct listed *one = &g_array_index(all, struct listed, i);
        if (pattern && !bpc_trace_matches(pattern, one->name))
            continue;
        count++;
        if (fn)
            fn(one->name, one->format, opaque);
    }
    g_array_free(all, TRUE);
    return count;
}
