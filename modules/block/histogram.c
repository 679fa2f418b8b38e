/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long requests took: block-latency-histogram-set, told in query-blockstats. */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define MAX_BOUNDS 4096u

static const char *const shown[HISTOGRAMS] = {"rd_latency_histogram", "wr_latency_histogram",
                                              "flush_latency_histogram"};
static const char *const keys[HISTOGRAMS] = {"boundaries-read", "boundaries-write", "boundaries-flush"};

void histograms_free(struct bp_blk *blk)
{
    for (unsigned i = 0; i < HISTOGRAMS; i++) {
        free(blk->histograms[i].bounds);
        free(blk->histograms[i].bins);
        blk->histograms[i] = (struct histogram){NULL, NULL, 0};
    }
}

/* Under the blk's lock. */
void histograms_count(struct bp_blk *blk, enum bp_block_op op, uint64_t ns)
{
    struct histogram *h = op == BP_BLOCK_READ ? &blk->histograms[0] : op == BP_BLOCK_FLUSH ? &blk->histograms[2]
                          : op == BP_BLOCK_DISCARD ? NULL : &blk->histograms[1];
    unsigned low = 0, high;

    if (!h || !h->bins)
        return;
    for (high = h->count; low < high;) { /* the first boundary above it */
        unsigned middle = low + (high - low) / 2;

        if (h->bounds[middle] > ns)
            high = middle;
        else
            low = middle + 1;
    }
    h->bins[low]++;
}

void histograms_show(struct bp_blk *blk, struct bp_value *to)
{
    for (unsigned i = 0; i < HISTOGRAMS; i++) {
        struct bp_value *v, *bounds, *bins;

        pthread_mutex_lock(&blk->lock);
        if (blk->histograms[i].bins) {
            v = bp_value_dict();
            bounds = bp_value_list();
            bins = bp_value_list();
            for (unsigned n = 0; n < blk->histograms[i].count; n++)
                bp_value_append(bounds, bp_value_uint(blk->histograms[i].bounds[n]));
            for (unsigned n = 0; n <= blk->histograms[i].count; n++)
                bp_value_append(bins, bp_value_uint(blk->histograms[i].bins[n]));
            bp_value_set(v, "boundaries", bounds);
            bp_value_set(v, "bins", bins);
            bp_value_set(to, shown[i], v);
        }
        pthread_mutex_unlock(&blk->lock);
    }
}

static int take(struct bp_value *list, const char *key, struct histogram *ret, struct bp_error *err)
{
    size_t count = bp_value_length(list);
    struct histogram h;

    if (bp_value_type(list) != BP_VALUE_LIST || count == 0 || count > MAX_BOUNDS)
        return bp_fail(err, EINVAL, "member '%s' expects a list of 1 to %u numbers of nanoseconds", key, MAX_BOUNDS);
    h.bounds = bp_alloc(count * sizeof(*h.bounds));
    h.bins = bp_alloc((count + 1) * sizeof(*h.bins));
    h.count = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        h.bounds[i] = bp_value_as_uint(bp_value_at(list, i));
        if (h.bounds[i] == 0 || (i > 0 && h.bounds[i] <= h.bounds[i - 1])) {
            free(h.bounds);
            free(h.bins);
            return bp_fail(err, EINVAL, "member '%s' expects numbers above 0, each larger than the one before", key);
        }
    }
    *ret = h;
    return 0;
}

int qmp_histogram_set(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct histogram fresh[HISTOGRAMS] = {{NULL, NULL, 0}};
    struct bp_value *all = bp_value_get(args, "boundaries");
    struct bp_blk *blk = medium_blk(NULL, bp_value_get_string(args, "id"), err);
    bool any = all != NULL;
    int ret = blk ? 0 : -ENOENT;

    for (unsigned i = 0; ret == 0 && i < HISTOGRAMS; i++) {
        struct bp_value *own = bp_value_get(args, keys[i]);

        any |= own != NULL;
        if (own || all)
            ret = take(own ? own : all, own ? keys[i] : "boundaries", &fresh[i], err);
    }
    if (ret == 0) {
        pthread_mutex_lock(&blk->lock);
        if (!any)
            histograms_free(blk);
        for (unsigned i = 0; i < HISTOGRAMS; i++) {
            struct histogram old = blk->histograms[i];

            if (!fresh[i].bins)
                continue;
            blk->histograms[i] = fresh[i];
            fresh[i] = old;
        }
        pthread_mutex_unlock(&blk->lock);
        *ret_value = bp_value_dict();
    }
    for (unsigned i = 0; i < HISTOGRAMS; i++) {
        free(fresh[i].bounds);
        free(fresh[i].bins);
    }
    return ret;
}

static const struct bp_schema numbers = {"uint64List", BP_KIND_LIST, .element_kind = BP_KIND_UINT64};
static const struct bp_field args_of_set[] = {
    BP_ARG("id", STRING, "the device"),
    BP_ARG_TYPED("boundaries", LIST, &numbers, BP_FIELD_OPTIONAL,
                 "nanoseconds between bins; none at all: no histograms"),
    BP_ARG_TYPED("boundaries-read", LIST, &numbers, BP_FIELD_OPTIONAL, "the same for reads"),
    BP_ARG_TYPED("boundaries-write", LIST, &numbers, BP_FIELD_OPTIONAL, "the same for writes"),
    BP_ARG_TYPED("boundaries-flush", LIST, &numbers, BP_FIELD_OPTIONAL, "the same for flushes"), BP_FIELDS_END};
BP_COMMAND(cmd_histogram, "block-latency-histogram-set", "count how long requests of a disk take", args_of_set, NONE,
           NULL, qmp_histogram_set, BP_COMMAND_RAW | BP_COMMAND_COROUTINE);
