/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From guest clusters to clusters of the file: L1 (in memory, written through level 3 of the cache), L2 (level 2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

int map_open(struct qcow *s, struct bp_error *err)
{
    uint64_t bytes = (uint64_t)s->l1_size * 8;
    uint8_t *raw = malloc(bytes ? bytes : 1);
    int ret = 0;

    s->entry = s->incompat & INCOMPAT_EXTENDED_L2 ? 16 : 8;
    s->l2_bits = s->cluster_bits - (s->entry == 16 ? 4 : 3);
    s->subs = s->entry == 16 ? 32 : 1;
    s->sub = s->cluster / s->subs;
    s->l1 = malloc(bytes ? bytes : 1);
    if (!raw || !s->l1)
        ret = bp_fail(err, ENOMEM, "qcow2: no memory for the L1 table");
    else if (bytes && (ret = io_child(s, s->file, BP_BLOCK_READ, s->l1_offset, raw, bytes)) < 0)
        bp_fail(err, -ret, "qcow2: the L1 table cannot be read: %s", strerror(-ret));
    for (uint32_t i = 0; ret == 0 && i < s->l1_size; i++)
        s->l1[i] = get_be64(raw + 8 * (uint64_t)i);
    free(raw);
    return ret;
}

/* ---- L1 ---- */

int l1_write(struct qcow *s, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        uint64_t at = s->l1_offset + 8 * i;
        struct slice *slice;
        int ret = meta_get(&s->meta, at, 3, &slice);

        if (ret < 0)
            return ret;
        put_be64(slice->data + (at & (s->meta.size - 1)), s->l1[i]);
        meta_dirty(&s->meta, slice);
        meta_put(slice);
    }
    return 0;
}

int l1_grow(struct qcow *s, uint64_t entries)
{
    uint64_t bytes = up(entries * 8, s->cluster), offset, got, old_offset = s->l1_offset, old_size = s->l1_size;
    uint64_t *l1, *before = s->l1;
    uint8_t *raw;
    int ret;

    if (entries <= s->l1_size)
        return 0;
    if (entries * 8 > MAX_L1)
        return -EFBIG;
    ret = clusters_alloc(s, bytes >> s->cluster_bits, bytes >> s->cluster_bits, &offset, &got);
    if (ret < 0)
        return ret;
    l1 = calloc(1, bytes);
    raw = calloc(1, bytes);
    if (!l1 || !raw) {
        free(l1);
        free(raw);
        clusters_free(s, offset, got, s->discard_other);
        return -ENOMEM;
    }
    memcpy(l1, before, old_size * 8);
    for (uint64_t i = 0; i < old_size; i++)
        put_be64(raw + 8 * i, l1[i]);
    ret = meta_write(&s->meta, 3);
    if (ret == 0)
        ret = io_child(s, s->file, BP_BLOCK_WRITE, offset, raw, bytes);
    free(raw);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0) {
        s->l1_offset = offset;
        s->l1_size = (uint32_t)entries;
        ret = header_write(s);
        if (ret == 0)
            ret = meta_sync(&s->meta);
        if (ret < 0) {
            s->l1_offset = old_offset;
            s->l1_size = (uint32_t)old_size;
        }
    }
    if (ret < 0) {
        free(l1);
        clusters_free(s, offset, got, s->discard_other);
        return ret;
    }
    s->l1 = l1;
    free(before);
    if (old_size)
        clusters_free(s, old_offset, up(old_size * 8, s->cluster) >> s->cluster_bits, s->discard_other);
    return 0;
}

/* ---- L2 ---- */

static int check_l2(struct qcow *s, uint64_t offset)
{
    if (offset & (s->cluster - 1))
        return header_damaged(s, "an L2 table is not where a cluster begins", offset);
    if (s->overlap && overlap_constant(s, offset, s->cluster))
        return header_damaged(s, "an L2 table is where another table is", offset);
    return 0;
}

/* A table of our own where there is none, or one that a snapshot has, too. */
static int new_l2(struct qcow *s, uint64_t n)
{
    uint64_t old = s->l1[n] & OFFSET_MASK, offset, got;
    int ret = clusters_alloc(s, 1, 1, &offset, &got);

    if (ret < 0)
        return ret;
    if (old) {
        uint8_t *copy = malloc(s->cluster);

        ret = copy ? meta_write(&s->meta, 2) : -ENOMEM;
        if (ret == 0)
            ret = io_child(s, s->file, BP_BLOCK_READ, old, copy, s->cluster);
        if (ret == 0)
            ret = io_child(s, s->file, BP_BLOCK_WRITE, offset, copy, s->cluster);
        free(copy);
    } else {
        ret = io_child(s, s->file, BP_BLOCK_WRITE_ZEROES, offset, NULL, s->cluster);
    }
    if (ret == 0) {
        uint64_t before = s->l1[n];

        s->l1[n] = offset | COPIED;
        ret = l1_write(s, n, 1);
        if (ret < 0)
            s->l1[n] = before;
    }
    if (ret < 0)
        clusters_free(s, offset, 1, s->discard_other);
    else if (old)
        clusters_free(s, old, 1, s->discard_other);
    return ret;
}

int map_entry(struct qcow *s, uint64_t guest, bool write, struct slice **ret_slice, uint8_t **ret_at)
{
    uint64_t n = guest >> (s->cluster_bits + s->l2_bits), table, at;
    int ret;

    *ret_slice = NULL;
    if (n >= s->l1_size)
        return write ? -EINVAL : 0;
    if (write && !(s->l1[n] & OFFSET_MASK && s->l1[n] & COPIED)) {
        ret = s->l1[n] & OFFSET_MASK ? check_l2(s, s->l1[n] & OFFSET_MASK) : 0;
        if (ret == 0)
            ret = new_l2(s, n);
        if (ret < 0)
            return ret;
    }
    table = s->l1[n] & OFFSET_MASK;
    if (!table)
        return 0;
    ret = check_l2(s, table);
    if (ret < 0)
        return ret;
    at = table + (guest >> s->cluster_bits & ((UINT64_C(1) << s->l2_bits) - 1)) * s->entry;
    ret = meta_get(&s->meta, at, 2, ret_slice);
    if (ret == 0)
        *ret_at = (*ret_slice)->data + (at & (s->meta.size - 1));
    return ret;
}

/* ---- entries ---- */

enum cluster_type entry_type(const struct qcow *s, uint64_t entry, uint64_t bitmap, unsigned sub)
{
    bool there = entry & OFFSET_MASK || (has_data_file(s) && entry & COPIED);

    if (entry & COMPRESSED)
        return PACKED;
    if (s->subs > 1) {
        if (bitmap >> (32 + sub) & 1)
            return there ? ZERO_ALLOCATED : ZERO_PLAIN;
        return there && bitmap >> sub & 1 ? NORMAL : UNALLOCATED;
    }
    if (s->version >= 3 && entry & ZERO)
        return there ? ZERO_ALLOCATED : ZERO_PLAIN;
    return there ? NORMAL : UNALLOCATED;
}

void packed_place(const struct qcow *s, uint64_t entry, uint64_t *ret_offset, uint32_t *ret_bytes)
{
    unsigned shift = 62 - (s->cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C(1) << shift) - 1);
    uint64_t sectors = (entry & ~(COPIED | COMPRESSED)) >> shift;

    *ret_offset = offset;
    *ret_bytes = (uint32_t)((sectors + 1) * 512 - (offset & 511));
}

void entry_free(struct qcow *s, uint64_t entry, bool discard)
{
    uint64_t offset;
    uint32_t bytes;

    if (entry & COMPRESSED) {
        packed_place(s, entry, &offset, &bytes);
        clusters_free(s, down(offset, s->cluster),
                      (up(offset + bytes, s->cluster) - down(offset, s->cluster)) >> s->cluster_bits, discard);
    } else if (entry & OFFSET_MASK && !has_data_file(s)) {
        clusters_free(s, down(entry & OFFSET_MASK, s->cluster), 1, discard);
    }
}

static bool goes_on(const struct extent *e, enum cluster_type type, uint64_t host, bool own)
{
    if (type != e->type)
        return false;
    if (type == NORMAL || type == ZERO_ALLOCATED)
        return host == e->host + e->bytes && own == e->own;
    return type != PACKED;
}

int map_find(struct qcow *s, uint64_t guest, uint64_t bytes, struct extent *ret)
{
    uint64_t in_cluster = guest & (s->cluster - 1), table_end, slice_left;
    struct slice *slice;
    uint8_t *at;
    int r = map_entry(s, guest, false, &slice, &at);

    if (r < 0)
        return r;
    table_end = down(guest, (uint64_t)s->cluster << s->l2_bits) + ((uint64_t)s->cluster << s->l2_bits);
    if (bytes > table_end - guest)
        bytes = table_end - guest;
    if (!slice) {
        *ret = (struct extent){.type = UNALLOCATED, .bytes = bytes};
        return 0;
    }
    slice_left = (uint64_t)(slice->data + s->meta.size - at) / s->entry * s->cluster - in_cluster;
    if (bytes > slice_left)
        bytes = slice_left;
    *ret = (struct extent){.bytes = 0};
    for (uint64_t pos = guest; ret->bytes < bytes;) {
        uint64_t inside = pos & (s->cluster - 1), entry = get_be64(at), bitmap = s->subs > 1 ? get_be64(at + 8) : 0;
        uint64_t step = s->sub - (inside & (s->sub - 1)), host = down(entry & OFFSET_MASK, s->cluster) + inside;
        enum cluster_type type = entry_type(s, entry, bitmap, (unsigned)(inside / s->sub));
        bool own = entry & COPIED;

        if (type != PACKED && (entry & OFFSET_MASK & (s->cluster - 1))) {
            meta_put(slice);
            return header_damaged(s, "a data cluster is not where a cluster begins", entry & OFFSET_MASK);
        }
        if (ret->bytes == 0) {
            ret->type = type;
            ret->own = own;
            ret->host = host;
            if (type == PACKED) {
                packed_place(s, entry, &ret->host, &ret->packed_bytes);
                step = s->cluster - inside;
            }
        } else if (!goes_on(ret, type, host, own)) {
            break;
        }
        ret->bytes += step < bytes - ret->bytes ? step : bytes - ret->bytes;
        pos += step;
        if ((pos & (s->cluster - 1)) == 0)
            at += s->entry;
    }
    meta_put(slice);
    if ((ret->type == NORMAL || ret->type == ZERO_ALLOCATED) && s->overlap && !has_data_file(s) &&
        overlap_constant(s, ret->host, ret->bytes))
        return header_damaged(s, "data is where a table is", ret->host);
    return 0;
}
