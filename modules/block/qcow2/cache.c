/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of an image's tables stays in memory, and for how long when nobody uses them. */
#include <bp/clock.h>

#include "qcow2.h"

#define MOST_MAPS (32u << 20)
#define SECOND INT64_C(1000000000)

/* Bytes of the tables that are kept: of L2 tables as many as there can be, and counts of a few clusters, or what is
 * left of what both may take. */
void cache_bytes(const struct qcow *s, uint64_t ret_bytes[META_KINDS])
{
    uint64_t maps = (s->size >> s->cluster_bits) * s->entry + s->cluster, counts = 4 * (uint64_t)s->cluster;
    uint64_t both = s->cache_size;

    if (s->l2_cache_size)
        maps = s->l2_cache_size;
    else if (!both)
        maps = maps < MOST_MAPS ? maps : MOST_MAPS;
    else if (maps > both - (both < counts ? both : counts))
        maps = both - (both < counts ? both : counts);
    if (s->refcount_cache_size)
        counts = s->refcount_cache_size;
    else if (both)
        counts = both - maps;
    if (both && s->refcount_cache_size && !s->l2_cache_size)
        maps = both - counts;
    ret_bytes[META_COUNTS] = counts;
    ret_bytes[META_MAPS] = maps;
}

static void clean_tables(void *opaque)
{
    struct qcow *s = opaque;

    bp_co_mutex_lock(s->lock);
    meta_age(&s->meta);
    if (s->clean_timer)
        bp_timer_set(s->clean_timer, bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)s->clean_interval * SECOND);
    bp_co_mutex_unlock(s->lock);
}

static void clean_is_due(void *opaque)
{
    struct qcow *s = opaque;
    struct bp_co *co;

    if (bp_co_new(NULL, bp_context_main(NULL), "qcow2-clean", clean_tables, s, &co, NULL) < 0)
        return;
    bp_co_enter(co);
    bp_co_unref(co);
}

void clean_begin(struct qcow *s)
{
    if (!s->clean_interval)
        return;
    s->clean_timer = bp_timer_new(block->owner(s->node), bp_context_main(NULL), BP_CLOCK_REALTIME, clean_is_due, s);
    bp_timer_set(s->clean_timer, bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)s->clean_interval * SECOND);
}

/* Who waits for the lock in clean_tables() has had it before. */
void clean_end(struct qcow *s)
{
    struct bp_timer *timer = s->clean_timer;

    s->clean_timer = NULL;
    bp_timer_free(timer);
    bp_co_mutex_lock(s->lock);
    bp_co_mutex_unlock(s->lock);
}
