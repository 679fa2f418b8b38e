/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* query-block, query-named-block-nodes, query-blockstats: what there is, as QMP clients know it. [main] */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/device.h>

#include "jobs.h"

#define SET(DICT, KEY, KIND, VALUE) bp_value_set(DICT, KEY, bp_value_##KIND(VALUE))

static const char *driver_name(const struct bp_block_node *node)
{
    return node->driver->type.name + sizeof("block-") - 1;
}

const char *node_shown_name(const struct bp_block_node *node)
{
    return node->filename ? node->filename : "";
}

static struct bp_block_node *backing_of(struct bp_block_node *node)
{
    struct bp_block_child *c = node_child_role(node, BP_BLOCK_BACKING);

    if (c)
        return c->node;
    c = node->driver->flags & BP_BLOCK_FILTER ? node_primary(node) : NULL;
    return c && c->node ? backing_of(c->node) : NULL;
}

static int64_t allocated(struct bp_block_node *node)
{
    struct bp_block_child *primary = node_primary(node);

    if (node->driver->allocated)
        return node->driver->allocated(node);
    return primary && primary->node ? allocated(primary->node) : -ENOTSUP;
}

/* ---- an image ---- */

struct bp_value *image_info(struct bp_block_node *node, bool chain)
{
    struct bp_block_node *backing = backing_of(node);
    struct bp_block_info info = {.size = sizeof(info)};
    struct bp_value *v = bp_value_dict();
    int64_t bytes = allocated(node);

    SET(v, "filename", string, node_shown_name(node));
    SET(v, "format", string, driver_name(node));
    SET(v, "virtual-size", int, __atomic_load_n(&node->length, __ATOMIC_ACQUIRE));
    if (bytes >= 0)
        SET(v, "actual-size", int, bytes);
    if (node->driver->info && node->driver->info(node, &info) == 0) {
        SET(v, "dirty-flag", bool, info.dirty);
        if (info.cluster_size)
            SET(v, "cluster-size", int, info.cluster_size);
        if (info.encrypted)
            SET(v, "encrypted", bool, true);
        if (info.specific)
            bp_value_set(v, "format-specific", info.specific);
        if (info.backing_file) {
            char *full = image_resolve(node, info.backing_file);

            SET(v, "backing-filename", string, info.backing_file);
            SET(v, "full-backing-filename", string, full);
            free(full);
        }
        if (info.backing_format)
            SET(v, "backing-filename-format", string, info.backing_format);
        if (node->driver->snapshot) {
            struct bp_value *list = NULL;

            if (node->driver->snapshot(node, BP_BLOCK_SNAPSHOT_LIST, NULL, &list, NULL) == 0 &&
                bp_value_length(list) > 0)
                bp_value_set(v, "snapshots", bp_value_ref(list));
            bp_value_unref(list);
        }
        free(info.backing_file);
        free(info.backing_format);
    } else {
        SET(v, "dirty-flag", bool, false);
    }
    if (backing) {
        SET(v, "backing-filename", string, node_shown_name(backing));
        SET(v, "full-backing-filename", string, node_shown_name(backing));
        if (chain)
            bp_value_set(v, "backing-image", image_info(backing, true));
    }
    return v;
}

static void add_limits(struct bp_value *v, const struct bp_value *limits)
{
    static const char *const always[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};

    for (unsigned i = 0; i < BP_COUNT(always); i++)
        SET(v, always[i], int, 0);
    for (const struct throttle_key *k = throttle_keys; limits && k->flat; k++)
        if (bp_value_has(limits, k->dashed))
            bp_value_set(v, k->qmp, bp_value_ref(bp_value_get(limits, k->dashed)));
    if (limits && bp_value_has(limits, "group"))
        bp_value_set(v, "group", bp_value_ref(bp_value_get(limits, "group")));
}

/* BlockDeviceInfo */
static struct bp_value *device_info(struct bp_blk *blk, struct bp_block_node *node, bool flat)
{
    static const char *const detects[] = {"off", "on", "unmap"};
    struct bp_block_node *backing = backing_of(node);
    struct bp_value *v = bp_value_dict(), *cache = bp_value_dict();
    int depth = 0;

    SET(v, "file", string, node_shown_name(node));
    SET(v, "node-name", string, node->name);
    SET(v, "ro", bool, node->flags.read_only);
    SET(v, "drv", string, driver_name(node));
    for (struct bp_block_node *b = backing; b; b = backing_of(b))
        depth++;
    if (backing)
        SET(v, "backing_file", string, node_shown_name(backing));
    SET(v, "backing_file_depth", int, depth);
    SET(v, "active", bool, true);
    SET(v, "encrypted", bool, false);
    SET(v, "detect_zeroes", string, detects[node->detect]);
    add_limits(v, blk ? blk->throttle : NULL);
    if (node->bitmaps)
        bp_value_set(v, "dirty-bitmaps", bitmaps_info(node));
    bp_value_set(v, "image", image_info(node, !flat));
    SET(cache, "writeback", bool, blk ? blk->write_cache : true);
    SET(cache, "direct", bool, node->direct);
    SET(cache, "no-flush", bool, node->no_flush);
    bp_value_set(v, "cache", cache);
    SET(v, "write_threshold", uint, __atomic_load_n(&node->threshold, __ATOMIC_ACQUIRE));
    return v;
}

static bool held_any(struct bp_blk *blk, int error)
{
    bool found = false;

    pthread_mutex_lock(&blk->lock);
    for (struct bp_blk_request *r = blk->requests; r; r = r->next)
        found |= r->held && (error == 0 || r->ret == -error);
    pthread_mutex_unlock(&blk->lock);
    return found;
}

/* BlockInfo */
static struct bp_value *blk_info(struct bp_blk *blk)
{
    struct bp_value *v = bp_value_dict();
    bool removable = blk->ops_flags & BP_BLK_REMOVABLE;

    SET(v, "device", string, blk->name ? blk->name : "");
    SET(v, "type", string, "unknown");
    SET(v, "removable", bool, removable || !blk->open);
    SET(v, "locked", bool, blk->locked);
    if (blk->dev) {
        SET(v, "qdev", string, blk_device_path(blk));
        SET(v, "io-status", string, held_any(blk, ENOSPC) ? "nospace" : held_any(blk, 0) ? "failed" : "ok");
    }
    if (removable)
        SET(v, "tray_open", bool, blk_tray_is_open(blk));
    if (blk_inserted(blk))
        bp_value_set(v, "inserted", device_info(blk, blk->root.node, false));
    return v;
}

int qmp_query_block(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        if (blk->name || blk->dev)
            bp_value_append(list, blk_info(blk));
    *ret_value = list;
    return 0;
}

int qmp_query_named_block_nodes(bool has_flat, bool flat, struct bp_value **ret_value,
                                struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct bp_block_node *n = block_nodes; n; n = n->next)
        if (n->opened)
            bp_value_append(list, device_info(NULL, n, has_flat && flat));
    *ret_value = list;
    return 0;
}

/* ---- statistics ---- */

static const struct {
    const char *name;
    enum bp_block_op op;
    bool bytes;
} counted[] = {
    {"rd", BP_BLOCK_READ, true}, {"wr", BP_BLOCK_WRITE, true}, {"flush", BP_BLOCK_FLUSH, false},
    {"unmap", BP_BLOCK_DISCARD, true},
};

static void set_joined(struct bp_value *v, const char *a, const char *b, const char *c, uint64_t n)
{
    char key[64];

    snprintf(key, sizeof(key), "%s%s%s", a, b, c);
    bp_value_set(v, key, bp_value_uint(n));
}

static struct bp_value *counters(struct bp_blk *blk, struct bp_block_node *node)
{
    struct bp_value *v = bp_value_dict();
    struct block_stats s = {.last_access = 0};

    if (blk) {
        pthread_mutex_lock(&blk->lock);
        s = blk->stats;
        pthread_mutex_unlock(&blk->lock);
    }
    /* Zeroes that are written count as writes. */
    s.bytes[BP_BLOCK_WRITE] += s.bytes[BP_BLOCK_WRITE_ZEROES];
    s.operations[BP_BLOCK_WRITE] += s.operations[BP_BLOCK_WRITE_ZEROES];
    s.failed[BP_BLOCK_WRITE] += s.failed[BP_BLOCK_WRITE_ZEROES];
    s.ns[BP_BLOCK_WRITE] += s.ns[BP_BLOCK_WRITE_ZEROES];
    for (unsigned i = 0; i < BP_COUNT(counted); i++) {
        enum bp_block_op op = counted[i].op;

        if (counted[i].bytes)
            set_joined(v, counted[i].name, "_bytes", "", s.bytes[op]);
        set_joined(v, counted[i].name, "_operations", "", s.operations[op]);
        set_joined(v, counted[i].name, "_total_time_ns", "", s.ns[op]);
        if (op != BP_BLOCK_FLUSH)
            set_joined(v, counted[i].name, "_merged", "", 0);
        set_joined(v, "failed_", counted[i].name, "_operations", s.failed[op]);
        set_joined(v, "invalid_", counted[i].name, "_operations", s.invalid[op]);
    }
    bp_value_set(v, "wr_highest_offset",
                 bp_value_uint(node ? __atomic_load_n(&node->highest_write, __ATOMIC_RELAXED) : 0));
    if (s.last_access)
        bp_value_set(v, "idle_time_ns", bp_value_int(bp_clock_ns(BP_CLOCK_REALTIME) - s.last_access));
    SET(v, "account_invalid", bool, blk ? blk->account_invalid : true);
    SET(v, "account_failed", bool, blk ? blk->account_failed : true);
    bp_value_set(v, "timed_stats", bp_value_list());
    if (blk)
        histograms_show(blk, v);
    return v;
}

/* BlockStats: with what is below. */
static struct bp_value *stats_of(struct bp_blk *blk, struct bp_block_node *node, bool below)
{
    struct bp_value *v = bp_value_dict();
    struct bp_block_child *primary;
    struct bp_block_node *backing;

    if (blk) {
        SET(v, "device", string, blk->name ? blk->name : "");
        if (blk->dev)
            SET(v, "qdev", string, blk_device_path(blk));
    }
    if (node)
        SET(v, "node-name", string, node->name);
    bp_value_set(v, "stats", counters(blk, node));
    if (!node || !below)
        return v;
    primary = node_primary(node);
    if (primary && primary->node)
        bp_value_set(v, "parent", stats_of(NULL, primary->node, true));
    backing = backing_of(node);
    if (backing)
        bp_value_set(v, "backing", stats_of(NULL, backing, true));
    return v;
}

int qmp_query_blockstats(bool has_nodes, bool nodes, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    if (has_nodes && nodes) {
        for (struct bp_block_node *n = block_nodes; n; n = n->next)
            if (n->opened)
                bp_value_append(list, stats_of(NULL, n, false));
    } else {
        for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
            if (blk->name || blk->dev)
                bp_value_append(list, stats_of(blk, blk->root.node, true));
    }
    *ret_value = list;
    return 0;
}
