/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that write zeroes, or give clusters back. [co], any context */
#include <errno.h>
#include <stdlib.h>

#include "qcow2.h"

static int write_zero_bytes(struct qcow *s, uint64_t guest, uint64_t bytes)
{
    struct iovec iov = {calloc(1, (size_t)bytes), (size_t)bytes};
    int ret = iov.iov_base ? write_range(s, guest, bytes, &iov, 1, 0) : -ENOMEM;

    free(iov.iov_base);
    return ret;
}

enum erase { ERASE_ZERO, ERASE_ZERO_UNMAP, ERASE_DISCARD };

/* The cluster stays where it is, and what is in it may go. */
static void erase_in_place(struct qcow *s, uint8_t *at, uint64_t entry)
{
    put_be64(at, (entry & (OFFSET_MASK | COPIED)) | (s->subs == 1 ? ZERO : 0));
    if (s->subs > 1)
        put_be64(at + 8, (uint64_t)UINT32_MAX << 32);
    if (s->discard_requests)
        io_child(s, s->file, BP_BLOCK_DISCARD, entry & OFFSET_MASK, NULL, s->cluster);
}

static void erase_entry(struct qcow *s, uint8_t *at, enum erase how)
{
    uint64_t entry = get_be64(at), zero;
    bool keep = how == ERASE_ZERO && is_own(s, entry);
    bool hide = s->backing && s->version >= 3; /* what is below would show */

    if (how != ERASE_ZERO && !hide && !s->backing)
        zero = 0;
    else
        zero = s->subs > 1 ? 0 : ZERO;
    if (s->version < 3)
        zero = 0;
    if (s->no_unref && how != ERASE_ZERO && is_own(s, entry)) {
        erase_in_place(s, at, entry);
        return;
    }
    if (!s->backing && s->subs == 1 && entry_type(s, entry, 0, 0) == UNALLOCATED)
        return;
    put_be64(at, (keep ? entry & (OFFSET_MASK | COPIED) : 0) | (keep && s->subs == 1 ? ZERO : zero));
    if (s->subs > 1)
        put_be64(at + 8, how != ERASE_ZERO && !s->backing ? 0 : (uint64_t)UINT32_MAX << 32);
    if (!keep)
        entry_free(s, entry, how == ERASE_ZERO ? s->discard_other : s->discard_requests);
}

/* Whole clusters; the last one may go beyond the end of the disk. */
static int erase(struct qcow *s, uint64_t guest, uint64_t end, enum erase how)
{
    struct range r;
    int ret;

    ret = range_lock(s, &r, guest, end - guest, true);
    if (ret < 0)
        return ret;
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    while (ret == 0 && guest < end) {
        struct slice *slice;
        struct extent e;
        uint8_t *at;

        /* No table is made for what is nothing already. */
        ret = map_find(s, guest, end - guest, &e);
        if (ret == 0 && e.bytes >= s->cluster && e.type == UNALLOCATED && !s->backing) {
            guest += down(e.bytes, s->cluster);
            continue;
        }
        if (ret == 0)
            ret = map_entry(s, guest, true, &slice, &at);
        if (ret < 0)
            break;
        for (; guest < end && at < slice->data + s->meta.size; guest += s->cluster, at += s->entry)
            erase_entry(s, at, how);
        meta_dirty(&s->meta, slice);
        meta_put(slice);
    }
    bp_co_mutex_unlock(s->lock);
    range_unlock(s, &r);
    return ret;
}

int qcow_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct qcow *s = block->state(node);
    uint64_t end = req->offset + req->bytes, first = up(req->offset, s->cluster), last = down(end, s->cluster);
    int ret = 0;

    if (end == s->size) /* nothing lies behind it */
        last = up(end, s->cluster);
    if ((s->version < 3 && s->backing) || has_data_file(s))
        return -ENOTSUP;
    if (first >= last)
        return req->flags & BP_BLOCK_NO_FALLBACK ? -ENOTSUP : write_zero_bytes(s, req->offset, req->bytes);
    if (first > req->offset)
        ret = write_zero_bytes(s, req->offset, first - req->offset);
    if (ret == 0)
        ret = erase(s, first, last, req->flags & BP_BLOCK_MAY_UNMAP || s->version < 3 ? ERASE_ZERO_UNMAP : ERASE_ZERO);
    if (ret == 0 && end > last)
        ret = write_zero_bytes(s, last, end - last);
    return ret;
}

int qcow_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct qcow *s = block->state(node);
    uint64_t end = req->offset + req->bytes, first = up(req->offset, s->cluster), last = down(end, s->cluster);

    if (end == s->size)
        last = up(end, s->cluster);
    if (first >= last || has_data_file(s) || (s->version < 3 && s->backing))
        return 0;
    return erase(s, first, last, ERASE_DISCARD);
}
