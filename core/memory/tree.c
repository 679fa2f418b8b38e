/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree of regions as text, for `info mtree`. Disabled regions are left out. */
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include <glib.h>

#include "memory.h"

static const char *type_name(const struct bp_region *region)
{
    switch (region->type) {
    case BPC_RAM:
        return region->readonly ? "rom" : "ram";
    case BPC_ROM:
        return region->has_ops ? "romd" : "rom";
    case BPC_IOMMU:
        return "iommu";
    case BPC_ALIAS:
        return region->readonly && region->target->type == BPC_RAM ? "rom"
                                                                  : type_name(region->target);
    default:
        return "i/o";
    }
}

static uint64_t last_of(uint64_t first, uint64_t size)
{
    return size == UINT64_MAX ? UINT64_MAX : first + size - (size > 0);
}

static int by_address(gconstpointer a, gconstpointer b)
{
    const struct bp_region *x = *(struct bp_region *const *)a, *y = *(struct bp_region *const *)b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return y->priority - x->priority;
}

/* Regions shown through an alias are remembered, each once, to be shown on their own. */
static void print(GString *text, struct bp_region *region, uint64_t base, unsigned indent,
                  GPtrArray *aliased)
{
    GPtrArray *children;

    if (!region->enabled || region->visiting)
        return;
    g_string_append_printf(text, "%*s%016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER
                           "x (prio %d, %s): ", (int)indent, "", base, last_of(base, region->size),
                           region->priority, type_name(region));
    if (region->type == BPC_ALIAS) {
        g_string_append_printf(text, "alias %s @%s %016" G_GINT64_MODIFIER "x-%016"
                               G_GINT64_MODIFIER "x\n", region->name, region->target->name,
                               region->target_offset, last_of(region->target_offset, region->size));
        if (!g_ptr_array_find(aliased, region->target, NULL))
            g_ptr_array_add(aliased, region->target);
        return;
    }
    g_string_append_printf(text, "%s\n", region->name);
    region->visiting = true;
    children = g_ptr_array_new();
    for (struct bp_region *child = region->children; child; child = child->next)
        g_ptr_array_add(children, child);
    g_ptr_array_sort(children, by_address);
    for (guint i = 0; i < children->len; i++) {
        struct bp_region *child = g_ptr_array_index(children, i);

        print(text, child, base + child->offset, indent + 2, aliased);
    }
    g_ptr_array_free(children, true);
    region->visiting = false;
}

char *bpc_memory_tree_text(void)
{
    GString *text = g_string_new(NULL);
    GPtrArray *aliased = g_ptr_array_new(), *names = g_ptr_array_new();

    bp_machine_lock(NULL);
    for (struct bp_space *space = bpc_space_all(); space; space = space->next)
        g_ptr_array_insert(names, 0, space); /* the oldest first */
    for (guint i = 0; i < names->len; i++) {
        struct bp_space *space = g_ptr_array_index(names, i);

        g_string_append_printf(text, "address-space: %s\n", space->name);
        print(text, space->root, space->root->offset, 2, aliased);
        g_string_append_c(text, '\n');
    }
    for (guint i = 0; i < aliased->len; i++) { /* grows while it is walked */
        struct bp_region *region = g_ptr_array_index(aliased, i);

        if (region->parent)
            continue; /* shown in its own place */
        g_string_append_printf(text, "memory-region: %s\n", region->name);
        print(text, region, region->offset, 2, aliased);
        g_string_append_c(text, '\n');
    }
    bp_machine_unlock(NULL);
    g_ptr_array_free(aliased, true);
    g_ptr_array_free(names, true);
    return g_string_free(text, false);
}

void bpc_view_log(const char *space, const struct bpc_view *view)
{
    GString *text = g_string_new(NULL);

    g_string_printf(text, "PAGE: %s: %zu ranges\n", space, view->count);
    for (const struct bpc_range *r = view->ranges; r < view->ranges + view->count; r++) {
        g_string_append_printf(text, "  %016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER "x %s %s", r->first, r->last,
                               r->readonly && r->region->type == BPC_RAM ? "rom" : type_name(r->region),
                               r->region->name);
        if (r->offset)
            g_string_append_printf(text, " @%016" G_GINT64_MODIFIER "x", r->offset);
        g_string_append_c(text, '\n');
    }
    bp_log(BP_LOG_PAGE, "%s", text->str);
    g_string_free(text, TRUE);
}
