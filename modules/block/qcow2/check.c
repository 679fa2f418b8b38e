/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking: every table is walked and what refers to each cluster is counted; then the stored counts are compared.
 * Too high a count is a leak, too low a one is damage, since the cluster may be given out again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

#define MAX_CLUSTERS (UINT64_C(1) << 32)
#define MOST_BITMAP_ENTRIES (1u << 21) /* 1 GiB of the smallest clusters */

struct look {
    struct qcow *s;
    struct bp_block_check *ret;
    uint32_t fix;
    uint32_t *count;
    uint64_t clusters; /* that are counted */
    uint64_t highest, last_data;
};

static void say(struct look *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct look *l, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    if (!l->ret->say)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    l->ret->say(l->ret->opaque, text);
}

static void refer(struct look *l, uint64_t offset, uint64_t bytes, const char *what)
{
    uint64_t first = offset >> l->s->cluster_bits, last = (offset + bytes - 1) >> l->s->cluster_bits;

    if (!bytes)
        return;
    if (offset > INT64_MAX - bytes || last >= l->clusters) {
        say(l, "ERROR: %s at %#llx lies beyond the end of the image file", what, (unsigned long long)offset);
        l->ret->corruptions++;
        return;
    }
    for (uint64_t c = first; c <= last; c++)
        if (l->count[c] < UINT32_MAX)
            l->count[c]++;
    if (last > l->highest)
        l->highest = last;
}

/* ---- tables ---- */

static int look_at_entry(struct look *l, uint8_t *at, bool active, bool *ret_changed)
{
    struct qcow *s = l->s;
    uint64_t entry = get_be64(at), offset, stored;
    uint32_t bytes;
    int ret;

    if (entry & COMPRESSED) {
        packed_place(s, entry, &offset, &bytes);
        refer(l, offset, bytes, "compressed data");
        if (entry & COPIED) {
            say(l, "ERROR: a compressed cluster says that it is not shared: %#llx", (unsigned long long)entry);
            l->ret->corruptions++;
        }
        if (active) {
            l->ret->compressed_clusters++;
            l->ret->allocated_clusters++;
            l->ret->fragmented_clusters++;
        }
        return 0;
    }
    offset = down(entry & OFFSET_MASK, s->cluster);
    if (entry & OFFSET_MASK & (s->cluster - 1)) {
        say(l, "ERROR: a data cluster at %#llx is not where a cluster begins",
            (unsigned long long)(entry & OFFSET_MASK));
        l->ret->corruptions++;
        return 0;
    }
    if (!offset || has_data_file(s)) {
        l->ret->allocated_clusters += active && has_data_file(s) && entry & COPIED;
        return 0;
    }
    refer(l, offset, s->cluster, "data");
    if (!active)
        return 0;
    l->ret->allocated_clusters++;
    if (l->last_data && offset != l->last_data + s->cluster)
        l->ret->fragmented_clusters++;
    l->last_data = offset;
    ret = refcount_get(s, offset >> s->cluster_bits, &stored);
    if (ret < 0)
        return ret;
    if ((stored == 1) != !!(entry & COPIED)) {
        bool fix = l->fix & BP_BLOCK_FIX_ERRORS;

        say(l, "%s: what the table says of sharing and the count differ: data at %#llx, refcount=%llu",
            fix ? "Repairing" : "ERROR", (unsigned long long)offset, (unsigned long long)stored);
        if (fix) {
            put_be64(at, (entry & ~COPIED) | (stored == 1 ? COPIED : 0));
            *ret_changed = true;
            l->ret->corruptions_fixed++;
        } else {
            l->ret->corruptions++;
        }
    }
    return 0;
}

static int look_at_table(struct look *l, uint64_t table, bool active)
{
    struct qcow *s = l->s;

    for (uint64_t at = table; at < table + s->cluster; at += s->meta.size) {
        struct slice *slice;
        bool changed = false;
        int ret = meta_get(&s->meta, at, 2, &slice);

        for (uint32_t i = 0; ret == 0 && i < s->meta.size; i += s->entry)
            ret = look_at_entry(l, slice->data + i, active, &changed);
        if (ret < 0)
            return ret;
        if (changed)
            meta_dirty(&s->meta, slice);
        meta_put(slice);
    }
    return 0;
}

static int look_at_l1(struct look *l, uint64_t offset, uint64_t *l1, uint32_t size, bool active)
{
    struct qcow *s = l->s;

    refer(l, offset, (uint64_t)size * 8, "an L1 table");
    for (uint32_t i = 0; i < size; i++) {
        uint64_t table = l1[i] & OFFSET_MASK, stored;
        int ret;

        if (!table)
            continue;
        if (table & (s->cluster - 1) || table >> s->cluster_bits >= l->clusters) {
            say(l, "ERROR: there can be no L2 table at %#llx", (unsigned long long)table);
            l->ret->corruptions++;
            continue;
        }
        refer(l, table, s->cluster, "an L2 table");
        ret = look_at_table(l, table, active);
        if (ret == 0 && active)
            ret = refcount_get(s, table >> s->cluster_bits, &stored);
        if (ret < 0)
            return ret;
        if (!active || (stored == 1) == !!(l1[i] & COPIED))
            continue;
        say(l, "%s: what the L1 table says of sharing and the count differ: L2 table at %#llx, refcount=%llu",
            l->fix & BP_BLOCK_FIX_ERRORS ? "Repairing" : "ERROR", (unsigned long long)table,
            (unsigned long long)stored);
        if (!(l->fix & BP_BLOCK_FIX_ERRORS)) {
            l->ret->corruptions++;
            continue;
        }
        l1[i] = table | (stored == 1 ? COPIED : 0);
        ret = l1_write(s, i, 1);
        if (ret < 0)
            return ret;
        l->ret->corruptions_fixed++;
    }
    return 0;
}

static int look_at_snapshots(struct look *l)
{
    struct qcow *s = l->s;
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < s->snapshot_count; i++) {
        const struct snapshot *n = &s->snapshots[i];
        uint64_t bytes = (uint64_t)n->l1_size * 8, *l1 = malloc(bytes ? bytes : 1);

        ret = !l1 ? -ENOMEM : bytes ? io_child(s, s->file, BP_BLOCK_READ, n->l1_offset, l1, bytes) : 0;
        for (uint32_t e = 0; ret == 0 && e < n->l1_size; e++)
            l1[e] = get_be64((uint8_t *)&l1[e]);
        if (ret == 0)
            ret = look_at_l1(l, n->l1_offset, l1, n->l1_size, false);
        free(l1);
    }
    refer(l, s->snapshots_offset, s->snapshots_bytes, "the snapshot table");
    return ret;
}

/* The directory of bitmaps, their tables and data. */
static int look_at_bitmaps(struct look *l)
{
    struct qcow *s = l->s;

    for (struct extension *e = s->extensions; e; e = e->next) {
        uint64_t size, offset, at = 0;
        uint8_t *dir;
        int ret;

        if (e->type != EXT_BITMAPS || e->length < 24 || !(s->autoclear & AUTOCLEAR_BITMAPS))
            continue;
        size = get_be64(e->data + 8);
        offset = get_be64(e->data + 16);
        if (size > 64u << 20)
            return -EINVAL;
        refer(l, offset, size, "the directory of bitmaps");
        dir = malloc(size ? size : 1);
        ret = dir ? io_child(s, s->file, BP_BLOCK_READ, offset, dir, size) : -ENOMEM;
        while (ret == 0 && at + 24 <= size) {
            uint64_t table = get_be64(dir + at);
            uint32_t entries = get_be32(dir + at + 8), extra = get_be32(dir + at + 20);

            if (entries > MOST_BITMAP_ENTRIES) {
                say(l, "ERROR: the table of a bitmap cannot have %u entries", entries);
                l->ret->corruptions++;
                entries = 0;
            }
            refer(l, table, (uint64_t)entries * 8, "the table of a bitmap");
            for (uint32_t i = 0; ret == 0 && i < entries && table >> s->cluster_bits < l->clusters; i++) {
                uint8_t raw[8];

                ret = io_child(s, s->file, BP_BLOCK_READ, table + 8 * (uint64_t)i, raw, 8);
                if (ret == 0 && get_be64(raw) & OFFSET_MASK)
                    refer(l, get_be64(raw) & OFFSET_MASK, s->cluster, "a bitmap");
            }
            at += up(24 + (uint64_t)extra + get_be16(dir + at + 18), 8);
        }
        free(dir);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int look_at_counts(struct look *l)
{
    struct qcow *s = l->s;
    uint64_t entries = ((uint64_t)s->reftable_clusters << s->cluster_bits) / 8;

    refer(l, s->reftable_offset, (uint64_t)s->reftable_clusters << s->cluster_bits, "the refcount table");
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t at = s->reftable[i];

        if (!at)
            continue;
        if (at & (s->cluster - 1) || at >> s->cluster_bits >= l->clusters) {
            say(l, "ERROR: there can be no refcount block at %#llx", (unsigned long long)at);
            l->ret->check_errors++;
            return -EINVAL;
        }
        refer(l, at, s->cluster, "a refcount block");
    }
    return 0;
}

/* ---- comparing ---- */

static int compare(struct look *l)
{
    struct qcow *s = l->s;

    for (uint64_t c = 0; c < l->clusters; c++) {
        uint64_t stored, found = l->count[c];
        bool leak, fix;
        int ret = refcount_get(s, c, &stored);

        if (ret < 0)
            return ret;
        if (stored == found)
            continue;
        leak = stored > found;
        fix = l->fix & (leak ? BP_BLOCK_FIX_LEAKS : BP_BLOCK_FIX_ERRORS);
        say(l, "%s cluster %llu refcount=%llu reference=%llu", fix ? "Repairing" : leak ? "Leaked" : "ERROR",
            (unsigned long long)c, (unsigned long long)stored, (unsigned long long)found);
        if (fix) {
            ret = refcount_set(s, c, found);
            if (ret < 0)
                return ret;
            l->ret->leaks_fixed += leak;
            l->ret->corruptions_fixed += !leak;
            s->hint = 0;
        } else {
            l->ret->leaks += leak;
            l->ret->corruptions += !leak;
        }
    }
    return 0;
}

static int walk(struct look *l)
{
    struct qcow *s = l->s;
    int ret;

    refer(l, 0, s->cluster, "the header");
    refer(l, s->luks_offset, s->luks_offset ? s->luks_bytes : 0, "the LUKS header");
    ret = look_at_counts(l);
    if (ret == 0)
        ret = look_at_l1(l, s->l1_offset, s->l1, s->l1_size, true);
    if (ret == 0)
        ret = look_at_snapshots(l);
    if (ret == 0)
        ret = look_at_bitmaps(l);
    return ret;
}

static int save_repairs(struct look *l)
{
    struct qcow *s = l->s;
    uint64_t old = s->incompat;
    int ret = meta_write(&s->meta, META_LEVELS - 1);

    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret < 0 || s->version < 3)
        return ret;
    if (!l->ret->corruptions && !l->ret->check_errors)
        s->incompat &= ~(uint64_t)(INCOMPAT_DIRTY | INCOMPAT_CORRUPT);
    if (s->incompat == old)
        return 0;
    ret = header_write(s);
    return ret < 0 ? ret : meta_sync(&s->meta);
}

/* Counts that a repair makes move what the tables say: looked at once more. */
static int look_and_fix(struct qcow *s, uint32_t fix, struct bp_block_check *ret_check)
{
    struct look l = {.s = s, .ret = ret_check, .fix = 0};
    int64_t length = block->child_length(s->file);
    int ret;

    if (length < 0)
        return (int)length;
    l.clusters = (up((uint64_t)length, s->cluster) >> s->cluster_bits) + (64u << 20 >> s->cluster_bits) + 1;
    if (l.clusters > MAX_CLUSTERS)
        return -EFBIG;
    l.count = calloc(l.clusters, sizeof(*l.count));
    if (!l.count)
        return -ENOMEM;
    if (fix) { /* counts first: what the tables say of sharing follows from them */
        struct bp_block_check silent = {.size = sizeof(silent)};

        l.ret = &silent;
        ret = walk(&l);
        l.ret = ret_check;
        l.fix = fix;
        if (ret == 0)
            ret = compare(&l);
        memset(l.count, 0, l.clusters * sizeof(*l.count));
        l.highest = l.last_data = 0;
        if (ret == 0)
            ret = walk(&l);
        if (ret == 0)
            ret = save_repairs(&l);
    } else {
        ret = walk(&l);
        if (ret == 0)
            ret = compare(&l);
    }
    ret_check->total_clusters = up(s->size, s->cluster) >> s->cluster_bits;
    ret_check->image_end = (l.highest + 1) << s->cluster_bits;
    free(l.count);
    return ret;
}

int check_locked(struct qcow *s, uint32_t fix, struct bp_block_check *ret)
{
    int r = qcow_sync(s);

    return r < 0 ? r : look_and_fix(s, fix, ret);
}

int qcow_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    int r;

    if (fix && s->read_only)
        return bp_fail(err, EACCES, "the image is read-only: it cannot be repaired");
    bp_co_mutex_lock(s->lock);
    r = check_locked(s, fix, ret);
    bp_co_mutex_unlock(s->lock);
    return r < 0 ? bp_fail(err, -r, "qcow2: the check came to no end: %s", strerror(-r)) : 0;
}
