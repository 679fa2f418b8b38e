/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reference counts: a table (level 1 of the cache) leads to blocks of counts (level 0). Clusters are found from a hint
 * on. What is given back keeps its count until no table on stable storage refers to it any more: so nothing is used
 * twice, whenever the power goes, and at worst a cluster is lost until the image is checked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

int refcounts_open(struct qcow *s, struct bp_error *err)
{
    uint64_t bytes = (uint64_t)s->reftable_clusters << s->cluster_bits, entries = bytes / 8;
    uint8_t *raw = malloc(bytes);
    int ret;

    s->ref_bits = s->cluster_bits + 3 - s->refcount_order;
    s->reftable = malloc(bytes);
    if (!raw || !s->reftable) {
        free(raw);
        return bp_fail(err, ENOMEM, "qcow2: no memory for the refcount table");
    }
    ret = io_child(s, s->file, BP_BLOCK_READ, s->reftable_offset, raw, bytes);
    for (uint64_t i = 0; i < entries; i++) {
        s->reftable[i] = get_be64(raw + 8 * i) & ~UINT64_C(511); /* the lowest bits mean nothing yet */
        if (s->reftable[i])
            s->reftable_used = i + 1;
    }
    free(raw);
    return ret < 0 ? bp_fail(err, -ret, "qcow2: the refcount table cannot be read: %s", strerror(-ret)) : 0;
}

static uint64_t reftable_entries(const struct qcow *s)
{
    return ((uint64_t)s->reftable_clusters << s->cluster_bits) / 8;
}

static uint64_t load_count(const struct qcow *s, const uint8_t *data, uint64_t index)
{
    switch (s->refcount_order) {
    case 0: return data[index / 8] >> index % 8 & 1;
    case 1: return data[index / 4] >> 2 * (index % 4) & 3;
    case 2: return data[index / 2] >> 4 * (index % 2) & 15;
    case 3: return data[index];
    case 4: return get_be16(data + 2 * index);
    case 5: return get_be32(data + 4 * index);
    default: return get_be64(data + 8 * index);
    }
}

static void store_count(const struct qcow *s, uint8_t *data, uint64_t index, uint64_t v)
{
    unsigned bits = 1u << s->refcount_order;

    if (bits < 8) {
        unsigned shift = (unsigned)(index % (8 / bits)) * bits;
        uint8_t *p = &data[index / (8 / bits)], mask = (uint8_t)(((1u << bits) - 1) << shift);

        *p = (uint8_t)((*p & ~mask) | (v << shift & mask));
        return;
    }
    switch (s->refcount_order) {
    case 3: data[index] = (uint8_t)v; break;
    case 4: put_be16(data + 2 * index, (uint16_t)v); break;
    case 5: put_be32(data + 4 * index, (uint32_t)v); break;
    default: put_be64(data + 8 * index, v); break;
    }
}

static uint64_t most_count(const struct qcow *s)
{
    return s->refcount_order == 6 ? INT64_MAX : (UINT64_C(1) << (1u << s->refcount_order)) - 1;
}

/* The slice with a cluster's count; *ret_slice NULL: there is no block for it. */
static int find(struct qcow *s, uint64_t cluster, struct slice **ret_slice, uint64_t *ret_index)
{
    uint64_t n = cluster >> s->ref_bits, at, block_at, per_slice;
    int ret;

    *ret_slice = NULL;
    block_at = n < reftable_entries(s) ? s->reftable[n] : 0;
    if (!block_at)
        return 0;
    if (block_at & (s->cluster - 1))
        return header_damaged(s, "a refcount block is not where a cluster begins", block_at);
    per_slice = (uint64_t)s->meta.size * 8 >> s->refcount_order;
    at = cluster & ((UINT64_C(1) << s->ref_bits) - 1);
    ret = meta_get(&s->meta, block_at + at / per_slice * s->meta.size, 0, ret_slice);
    *ret_index = at % per_slice;
    return ret;
}

int refcount_get(struct qcow *s, uint64_t cluster, uint64_t *ret_count)
{
    struct slice *slice;
    uint64_t index;
    int ret = find(s, cluster, &slice, &index);

    if (ret < 0)
        return ret;
    *ret_count = slice ? load_count(s, slice->data, index) : 0;
    meta_put(slice);
    return 0;
}

/* ---- clusters that were never used ---- */

/* Its count changes: it is in use, or was. */
static void used(struct qcow *s, uint64_t cluster)
{
    if (cluster >= s->virgin)
        s->virgin = cluster + 1;
}

void clusters_look(struct qcow *s)
{
    int64_t length = s->data == s->file && !s->crypt && block->child_grows_zero(s->file) ? block->child_length(s->file)
                                                                                       : -1;

    s->virgin = length < 0 ? UINT64_MAX : up((uint64_t)length, s->cluster) >> s->cluster_bits;
}

/* ---- growth ---- */

static int write_entry(struct qcow *s, uint64_t n)
{
    struct slice *slice;
    int ret = meta_get(&s->meta, s->reftable_offset + 8 * n, 1, &slice);

    if (ret < 0)
        return ret;
    put_be64(slice->data + ((s->reftable_offset + 8 * n) & (s->meta.size - 1)), s->reftable[n]);
    meta_dirty(&s->meta, slice);
    meta_put(slice);
    return 0;
}

static int zero_cluster(struct qcow *s, uint64_t offset)
{
    meta_drop(&s->meta, offset, s->cluster);
    return io_child(s, s->file, BP_BLOCK_WRITE_ZEROES, offset, NULL, s->cluster);
}

/* A block for counts from cluster `n << ref_bits` on, which lies at cluster `at`: by custom in the first of those. */
static int new_block(struct qcow *s, uint64_t n, uint64_t at)
{
    uint64_t offset = at << s->cluster_bits, index;
    struct slice *slice;
    int ret;

    if (at > (uint64_t)INT64_MAX >> s->cluster_bits || offset > (uint64_t)INT64_MAX - s->cluster)
        return -EFBIG;
    if (n == 0)
        return header_damaged(s, "the first clusters are not counted", 0);
    if (overlap_constant(s, offset, s->cluster))
        return header_damaged(s, "a cluster with a table in it has no reference count", offset);
    ret = overlap_check(s, offset, s->cluster);
    if (ret == 0)
        ret = zero_cluster(s, offset);
    if (ret < 0)
        return ret;
    s->reftable[n] = offset;
    if (n >= s->reftable_used)
        s->reftable_used = n + 1;
    ret = find(s, at, &slice, &index);
    if (ret == 0) {
        store_count(s, slice->data, index, 1);
        used(s, at);
        meta_dirty(&s->meta, slice);
        meta_put(slice);
        ret = write_entry(s, n);
    }
    if (ret < 0)
        s->reftable[n] = 0;
    return ret;
}

/* A longer table, in the first clusters that the present one does not reach. */
static int grow_table(struct qcow *s, uint64_t entries)
{
    uint64_t old_offset = s->reftable_offset, old_clusters = s->reftable_clusters, old = reftable_entries(s);
    uint64_t first = old << s->ref_bits, clusters, want = entries + entries / 2 + 1, *table, *before = s->reftable;
    uint64_t blocks = 1;
    uint8_t *raw;
    int ret;

    /* With what the table itself and its blocks need. */
    clusters = up(want * 8, s->cluster) >> s->cluster_bits;
    while (((first + clusters + clusters / 8 + 2) >> s->ref_bits) + 2 > clusters << s->cluster_bits >> 3)
        clusters++;
    while (blocks << s->ref_bits < blocks + clusters)
        blocks++;
    if (blocks >> s->ref_bits || clusters << s->cluster_bits > MAX_REFTABLE)
        return -EFBIG;
    table = calloc(clusters, s->cluster);
    raw = malloc(clusters << s->cluster_bits);
    if (!table || !raw) {
        free(table);
        free(raw);
        return -ENOMEM;
    }
    ret = meta_write(&s->meta, 1); /* the present table, before it goes */
    memcpy(table, before, old * 8);
    s->reftable = table;
    s->reftable_clusters = (uint32_t)clusters;
    /* After the blocks that count all this. The table is written as a whole, not by its slices. */
    s->reftable_offset = (first + blocks) << s->cluster_bits;
    meta_drop(&s->meta, s->reftable_offset, clusters << s->cluster_bits);
    for (uint64_t n = 0; ret == 0 && n < blocks; n++)
        ret = new_block(s, old + n, first + n);
    for (uint64_t c = first + blocks; ret == 0 && c < first + blocks + clusters; c++)
        ret = refcount_set(s, c, 1);
    if (ret == 0)
        ret = meta_write(&s->meta, 0);
    for (uint64_t i = 0; i < clusters << s->cluster_bits >> 3; i++)
        put_be64(raw + 8 * i, table[i]);
    if (ret == 0) {
        meta_drop(&s->meta, s->reftable_offset, clusters << s->cluster_bits);
        ret = io_child(s, s->file, BP_BLOCK_WRITE, s->reftable_offset, raw, clusters << s->cluster_bits);
    }
    free(raw);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0)
        ret = header_write(s);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret < 0) {
        s->reftable = before;
        s->reftable_offset = old_offset;
        s->reftable_clusters = (uint32_t)old_clusters;
        free(table);
        return ret;
    }
    free(before);
    clusters_free(s, old_offset, old_clusters, s->discard_other);
    return 0;
}

static int need_block(struct qcow *s, uint64_t cluster)
{
    uint64_t n = cluster >> s->ref_bits;
    int ret = n >= reftable_entries(s) ? grow_table(s, n + 1) : 0;

    if (ret == 0 && !s->reftable[n])
        ret = new_block(s, n, n << s->ref_bits);
    return ret;
}

/* ---- counting ---- */

int refcount_set(struct qcow *s, uint64_t cluster, uint64_t value)
{
    struct slice *slice;
    uint64_t index;
    int ret = need_block(s, cluster);

    if (ret == 0)
        ret = find(s, cluster, &slice, &index);
    if (ret < 0)
        return ret;
    store_count(s, slice->data, index, value);
    used(s, cluster);
    meta_dirty(&s->meta, slice);
    meta_put(slice);
    return 0;
}

int refcount_add(struct qcow *s, uint64_t cluster, uint64_t count, int64_t add)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t now;
        int ret = refcount_get(s, cluster + i, &now);

        if (ret < 0)
            return ret;
        if (add > 0 && now > most_count(s) - (uint64_t)add)
            return -EINVAL;
        if (add < 0 && now < (uint64_t)-add)
            return header_damaged(s, "more references go than are counted", (cluster + i) << s->cluster_bits);
        ret = refcount_set(s, cluster + i, now + (uint64_t)add);
        if (ret < 0)
            return ret;
        if (now + (uint64_t)add == 0 && cluster + i < s->hint)
            s->hint = cluster + i;
    }
    return 0;
}

/* ---- giving out ---- */

/* Never what a table of ours lies in, whatever the counts say. */
static bool is_ours(const struct qcow *s, uint64_t offset)
{
    return overlap_constant(s, offset, s->cluster);
}

static int free_run(struct qcow *s, uint64_t first, uint64_t want, uint64_t *ret_got)
{
    uint64_t got = 0;

    while (got < want) {
        uint64_t count;
        int ret = need_block(s, first + got);

        if (ret == 0)
            ret = refcount_get(s, first + got, &count);
        if (ret < 0)
            return ret;
        if (count)
            break;
        if (is_ours(s, (first + got) << s->cluster_bits))
            return header_damaged(s, "a cluster with a table in it counts as free", (first + got) << s->cluster_bits);
        got++;
    }
    *ret_got = got;
    return 0;
}

static int give_out(struct qcow *s, uint64_t want, uint64_t least, uint64_t *ret_offset, uint64_t *ret_got,
                    bool *ret_virgin)
{
    uint64_t at = s->hint, got = 0;
    int ret;

    for (;;) {
        ret = free_run(s, at, want, &got);
        if (ret < 0)
            return ret;
        if (got >= least)
            break;
        at += got + 1;
        if (least == 1)
            s->hint = at;
    }
    if (at + got > (uint64_t)INT64_MAX >> s->cluster_bits)
        return -EFBIG;
    ret = overlap_check(s, at << s->cluster_bits, got << s->cluster_bits);
    if (ret < 0)
        return ret;
    *ret_virgin = at >= s->virgin;
    for (uint64_t i = 0; i < got; i++) {
        ret = refcount_set(s, at + i, 1);
        if (ret < 0)
            return ret;
    }
    if (at == s->hint)
        s->hint = at + got;
    meta_drop(&s->meta, at << s->cluster_bits, got << s->cluster_bits);
    *ret_offset = at << s->cluster_bits;
    *ret_got = got;
    return 0;
}

int clusters_alloc(struct qcow *s, uint64_t want, uint64_t least, uint64_t *ret_offset, uint64_t *ret_got)
{
    bool virgin;

    return give_out(s, want, least, ret_offset, ret_got, &virgin);
}

int clusters_alloc_data(struct qcow *s, uint64_t want, uint64_t *ret_offset, uint64_t *ret_got, bool *ret_virgin)
{
    return give_out(s, want, 1, ret_offset, ret_got, ret_virgin);
}

static uint64_t tail_room(const struct qcow *s, uint64_t tail)
{
    return s->cluster - (tail & (s->cluster - 1));
}

/* The cluster behind a tail's becomes its own, if nobody has it. */
static int tail_cross(struct qcow *s, uint64_t tail, bool *ret_crossed)
{
    uint64_t next = (tail >> s->cluster_bits) + 1, count;
    int ret = refcount_get(s, next, &count);

    *ret_crossed = false;
    if (ret == 0 && count == 0)
        ret = need_block(s, next);
    if (ret == 0)
        ret = refcount_get(s, next, &count);
    if (ret < 0 || count || is_ours(s, next << s->cluster_bits))
        return ret;
    *ret_crossed = true;
    return refcount_set(s, next, 1);
}

static int tail_may_grow(struct qcow *s, uint64_t tail, bool *ret_may)
{
    uint64_t count;
    int ret = refcount_get(s, tail >> s->cluster_bits, &count);

    *ret_may = ret == 0 && count < most_count(s);
    return ret;
}

/* The tail with the least room that suffices; or one that can go on in the next cluster. *ret_tail NULL: none. */
static int tail_choose(struct qcow *s, uint32_t bytes, uint64_t **ret_tail)
{
    uint64_t *best = NULL;
    bool fits = false;
    int ret;

    *ret_tail = NULL;
    for (unsigned i = 0; i < PACK_TAILS; i++)
        if (s->tails[i] && tail_room(s, s->tails[i]) >= bytes &&
            (!best || tail_room(s, s->tails[i]) < tail_room(s, *best)))
            best = &s->tails[i];
    if (best) {
        ret = tail_may_grow(s, *best, &fits);
        if (fits)
            *ret_tail = best;
        return ret;
    }
    for (unsigned i = 0; i < PACK_TAILS; i++) {
        if (!s->tails[i])
            continue;
        ret = tail_may_grow(s, s->tails[i], &fits);
        if (ret == 0 && fits)
            ret = tail_cross(s, s->tails[i], &fits);
        if (ret < 0)
            return ret;
        if (fits) {
            *ret_tail = &s->tails[i];
            return 0;
        }
    }
    return 0;
}

/* An empty place for a tail, or that of the one with the least room. */
static uint64_t *tail_place(struct qcow *s)
{
    uint64_t *least = &s->tails[0];

    for (unsigned i = 0; i < PACK_TAILS && *least; i++)
        if (!s->tails[i] || tail_room(s, s->tails[i]) < tail_room(s, *least))
            least = &s->tails[i];
    return least;
}

int bytes_alloc(struct qcow *s, uint32_t bytes, uint64_t *ret_offset)
{
    uint64_t *tail, offset, got;
    int ret = tail_choose(s, bytes, &tail);

    if (ret < 0)
        return ret;
    if (tail) { /* one more reference to the cluster that it begins in */
        offset = *tail;
        ret = refcount_add(s, offset >> s->cluster_bits, 1, 1);
    } else {
        ret = clusters_alloc(s, 1, 1, &offset, &got);
        tail = tail_place(s);
    }
    if (ret < 0)
        return ret;
    *tail = (offset + bytes) & (s->cluster - 1) ? offset + bytes : 0;
    *ret_offset = offset;
    return 0;
}

/* ---- taking back ---- */

void clusters_free(struct qcow *s, uint64_t offset, uint64_t clusters, bool discard)
{
    struct freed *f, *last = s->freed ? s->freed_last : NULL;

    if (last && last->discard == discard && last->offset + (last->clusters << s->cluster_bits) == offset) {
        last->clusters += clusters;
        return;
    }
    f = bp_alloc(sizeof(*f));
    *f = (struct freed){NULL, offset, clusters, discard};
    if (last)
        last->next = f;
    else
        s->freed = f;
    s->freed_last = f;
}

int refcounts_settle(struct qcow *s)
{
    int ret = 0;

    while (ret == 0 && s->freed) {
        struct freed *f = s->freed;

        s->freed = f->next;
        ret = refcount_add(s, f->offset >> s->cluster_bits, f->clusters, -1);
        for (uint64_t i = 0; ret == 0 && i < f->clusters; i++) {
            uint64_t count = 1, at = f->offset + (i << s->cluster_bits);

            ret = refcount_get(s, at >> s->cluster_bits, &count);
            if (ret < 0 || count)
                continue;
            meta_drop(&s->meta, at, s->cluster);
            for (unsigned t = 0; t < PACK_TAILS; t++)
                if (s->tails[t] && down(s->tails[t], s->cluster) == at)
                    s->tails[t] = 0;
            if (f->discard)
                io_child(s, s->file, BP_BLOCK_DISCARD, at, NULL, s->cluster);
        }
        free(f);
    }
    return ret;
}
