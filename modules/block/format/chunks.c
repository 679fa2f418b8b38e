/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

int chunks_open(struct chunks *s, struct bp_error *err)
{
    s->lock = bp_co_mutex_new();
    s->unpacked = malloc((size_t)s->most_bytes + 1);
    s->packed = malloc((size_t)s->most_packed + 1);
    return s->unpacked && s->packed ? 0 : bp_fail(err, ENOMEM, "no memory for chunks of %llu bytes",
                                                  (unsigned long long)s->most_bytes);
}

void chunks_free(struct chunks *s)
{
    bp_co_mutex_free(s->lock);
    free(s->unpacked);
    free(s->packed);
    s->lock = NULL;
    s->unpacked = s->packed = NULL;
}

void chunks_close(struct bp_block_node *node)
{
    chunks_free(block->state(node));
}

int unpack_zlib(const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t bytes)
{
    uLongf length = (uLongf)bytes;

    return uncompress(to, &length, from, (uLong)packed) == Z_OK && length == bytes ? 0 : -EIO;
}

struct unpacking {
    struct chunks *s;
    const struct chunk *chunk;
    int ret;
};

static void unpack_it(void *opaque)
{
    struct unpacking *u = opaque;
    const struct chunk *c = u->chunk;

    u->ret = u->s->unpack(c->packing, u->s->packed, c->packed, u->s->unpacked, c->bytes);
}

/* Brings the chunk into memory. Under the lock. */
static int load(struct chunks *s, const struct chunk *c)
{
    struct unpacking u = {s, c, 0};
    int ret;

    if (s->last.bytes && s->last.start == c->start)
        return 0;
    if (c->bytes > s->most_bytes || c->packed > s->most_packed)
        return -EIO;
    s->last.bytes = 0;
    ret = format_io(s->file, BP_BLOCK_READ, c->host, s->packed, c->packed);
    if (ret < 0)
        return ret;
    if (block->may_wait())
        bp_co_worker(unpack_it, &u);
    else
        unpack_it(&u);
    if (u.ret == 0)
        s->last = *c;
    return u.ret;
}

static void scatter(const struct bp_block_request *req, uint64_t skip, const uint8_t *from, uint64_t bytes)
{
    for (unsigned i = 0; i < req->iov_count && bytes > 0; i++) {
        uint64_t len = req->iov[i].iov_len;
        uint8_t *at = req->iov[i].iov_base;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len = len - skip < bytes ? len - skip : bytes;
        if (from)
            memcpy(at + skip, from, (size_t)len);
        else
            memset(at + skip, 0, (size_t)len);
        from = from ? from + len : NULL;
        bytes -= len;
        skip = 0;
    }
}

/* What lies there as it is, in pieces that fit the buffer; it is not kept. */
static int read_plain(struct chunks *s, const struct chunk *c, uint64_t inside, const struct bp_block_request *req,
                      uint64_t done, uint64_t bytes)
{
    int ret = 0;

    s->last.bytes = 0;
    for (uint64_t at = 0, n; ret == 0 && at < bytes; at += n) {
        n = bytes - at < s->most_bytes ? bytes - at : s->most_bytes;
        ret = format_io(s->file, BP_BLOCK_READ, c->host + inside + at, s->unpacked, n);
        if (ret == 0)
            scatter(req, done + at, s->unpacked, n);
    }
    return ret;
}

int chunks_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct chunks *s = block->state(node);
    uint64_t done = 0;
    int ret = 0;

    bp_co_mutex_lock(s->lock);
    while (ret == 0 && done < req->bytes) {
        uint64_t at = req->offset + done, n;
        struct chunk c;

        s->find(s, at, &c);
        n = c.start + c.bytes - at;
        n = n < req->bytes - done ? n : req->bytes - done;
        if (c.packing == PACKING_NONE) {
            ret = read_plain(s, &c, at - c.start, req, done, n);
        } else if (c.packing == PACKING_ZERO) {
            scatter(req, done, NULL, n);
        } else {
            ret = load(s, &c);
            if (ret == 0)
                scatter(req, done, s->unpacked + (at - c.start), n);
        }
        done += n;
    }
    bp_co_mutex_unlock(s->lock);
    return ret;
}

int64_t chunks_length(struct bp_block_node *node)
{
    return (int64_t)((struct chunks *)block->state(node))->length;
}
