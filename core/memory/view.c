/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flat views: the tree of regions below a root, seen from above, as a sorted array of disjoint
 * ranges. Building walks the tree from the highest priority down and fills the holes that are left.
 */
#include <bp/memory.h>

#include <glib.h>

#include "memory.h"
#include "read-side.h"

/* Addresses on the way may lie below zero or beyond 2^64 (aliases, windows). */
typedef __int128 wide;

static wide wide_size(const struct bp_region *region)
{
    return region->size == UINT64_MAX ? (wide)1 << 64 : (wide)region->size;
}

/* Puts [low, high) of a region whose byte 0 is at `base` into the holes of the view. */
static void fill(GArray *ranges, struct bp_region *region, wide base, wide low, wide high,
                 bool readonly)
{
    guint i = 0, end = ranges->len;

    while (i < end) { /* the first range that ends after `low` */
        guint middle = (i + end) / 2;

        if ((wide)g_array_index(ranges, struct bpc_range, middle).last < low)
            i = middle + 1;
        else
            end = middle;
    }
    while (low < high) {
        wide next = high, resume = high;

        if (i < ranges->len) {
            const struct bpc_range *there = &g_array_index(ranges, struct bpc_range, i);

            next = MIN((wide)there->first, high);
            resume = (wide)there->last + 1;
        }
        if (low < next) {
            struct bpc_range range = {
                .first = (uint64_t)low, .last = (uint64_t)(next - 1), .region = region,
                .offset = (uint64_t)(low - base), .readonly = readonly,
                .logged = region->logs != 0,
            };

            if (region->host && !region->indirect)
                range.host = region->host + range.offset;

            g_array_insert_val(ranges, i, range);
            i++;
        }
        low = MAX(low, MAX(next, resume));
        i++;
    }
}

/* `base`: address of the region's byte 0; only [low, high) shows. */
static void render(GArray *ranges, struct bp_region *region, wide base, wide low, wide high,
                   bool readonly)
{
    low = MAX(low, base);
    high = MIN(high, base + wide_size(region));
    if (!region->enabled || region->visiting || bpc_region_dead(region) || low >= high)
        return;
    region->visiting = true;
    readonly |= region->readonly;
    for (struct bp_region *child = region->children; child; child = child->next)
        render(ranges, child, base + child->offset, low, high, readonly);
    if (region->type == BPC_ALIAS)
        render(ranges, region->target, base - region->target_offset, low, high, readonly);
    else if (region->type != BPC_CONTAINER)
        fill(ranges, region, base, low, high, readonly);
    region->visiting = false;
}

static bool joins(const struct bpc_range *a, const struct bpc_range *b)
{
    return a->last + 1 == b->first && a->region == b->region && a->readonly == b->readonly &&
           !a->host == !b->host &&
           a->offset + (b->first - a->first) == b->offset;
}

struct bpc_view *bpc_view_build(struct bp_region *root)
{
    GArray *ranges = g_array_new(false, false, sizeof(struct bpc_range));
    struct bpc_view *view;
    uint64_t *lasts;
    size_t count = 0;

    render(ranges, root, 0, 0, (wide)1 << 64, false);
    view = g_malloc(sizeof(*view) + ranges->len * (sizeof(struct bpc_range) + sizeof(*lasts)));
    lasts = (uint64_t *)&view->ranges[ranges->len];
    for (guint i = 0; i < ranges->len; i++) {
        const struct bpc_range *range = &g_array_index(ranges, struct bpc_range, i);

        if (count > 0 && joins(&view->ranges[count - 1], range))
            view->ranges[count - 1].last = range->last;
        else
            view->ranges[count++] = *range;
    }
    view->count = count;
    view->lasts = lasts;
    view->largest = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct bpc_range *range = &view->ranges[i], *most = view->largest;

        lasts[i] = range->last;
        bpc_region_ref(range->region);
        if (range->host && (!most || range->last - range->first > most->last - most->first))
            view->largest = range;
    }
    g_array_free(ranges, true);
    return view;
}

static bool same(const struct bpc_range *a, const struct bpc_range *b)
{
    return a->first == b->first && a->last == b->last && a->region == b->region &&
           a->offset == b->offset && a->readonly == b->readonly && a->host == b->host &&
           a->logged == b->logged;
}

bool bpc_view_equal(const struct bpc_view *a, const struct bpc_view *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same(&a->ranges[i], &b->ranges[i]))
            return false;
    return true;
}

struct bp_section bpc_section_of(const struct bpc_range *range)
{
    uint64_t span = range->last - range->first;

    return (struct bp_section){
        .size = sizeof(struct bp_section), .region = range->region, .start = range->first,
        .offset = range->offset, .length = span == UINT64_MAX ? span : span + 1,
        .host = range->host, .readonly = range->readonly, .logged = range->logged,
        .coalesced = range->region->type == BPC_IO && range->region->ops.coalesced,
    };
}

static void tell(void (*fn)(void *opaque, const struct bp_section *section), void *opaque,
                 const struct bpc_range *range)
{
    struct bp_section section = bpc_section_of(range);

    if (fn)
        fn(opaque, &section);
}

/* Tells of the ranges of `in` that `other` does not have. Both are sorted. */
static void tell_missing(const struct bpc_view *in, const struct bpc_view *other,
                         void (*fn)(void *opaque, const struct bp_section *section), void *opaque)
{
    size_t j = 0;

    for (size_t i = 0; i < in->count; i++) {
        while (j < other->count && other->ranges[j].first < in->ranges[i].first)
            j++;
        if (j == other->count || !same(&in->ranges[i], &other->ranges[j]))
            tell(fn, opaque, &in->ranges[i]);
    }
}

void bpc_view_tell_changes(const struct bpc_view *before, const struct bpc_view *after,
                           const struct bpc_listener *listener)
{
    const struct bp_memory_listener *table = &listener->copy;

    if (table->begin)
        table->begin(listener->opaque);
    tell_missing(before, after, table->removed, listener->opaque);
    tell_missing(after, before, table->added, listener->opaque);
    if (table->commit)
        table->commit(listener->opaque);
}

/* ---- the end of a view ---- */

#ifdef __SANITIZE_THREAD__
char bpc_grace;
#endif

void bpc_view_free(struct bpc_view *view)
{
    for (size_t i = 0; i < view->count; i++)
        bpc_region_unref(view->ranges[i].region);
    g_free(view);
}

/* Views that wait for their readers; so many at most, or a map that is changed in a loop would fill
 * the memory of the host. */
#define RETIRED_MAX 4096u /* whoever publishes waits: read-side sections are short, and span no lock */
static unsigned retired; /* atomic */

static void free_retired(void *opaque)
{
    bpc_view_free(opaque);
    __atomic_sub_fetch(&retired, 1, __ATOMIC_RELEASE);
}

unsigned bpc_views_retired(void)
{
    return __atomic_load_n(&retired, __ATOMIC_ACQUIRE);
}

void bpc_view_retire(struct bpc_view *view)
{
    if (__atomic_add_fetch(&retired, 1, __ATOMIC_ACQUIRE) > RETIRED_MAX) {
        BPC_TELL_LEAVING();
        synchronize_rcu();
        free_retired(view);
    } else {
        bpc_grace_call(free_retired, view);
    }
}
