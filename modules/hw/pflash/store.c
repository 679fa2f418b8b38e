/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A flash chip's contents on a block device. The guest's program and erase commands change memory at once; what
 * changed is written behind them, one request at a time, each of all that changed so far: the image is always as
 * the chip was at some moment. When nothing is left to be written, it is flushed.
 */
#include "pflash.h"

#include <bp/log.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define block (*pflash_block)

#define CHUNK (1u << 20)

static void drained_begin(void *opaque)
{
    (void)opaque; /* what is submitted all the same is queued */
}

static const struct bp_blk_ops ops = {
    .size = sizeof(ops), .flags = BP_BLK_READ_ONLY_OK, .drained_begin = drained_begin};

static void write_behind(void *opaque);

int pflash_store_open(struct pflash_store *s, struct bp_device *dev, uint64_t *ret_length, struct bp_error *err)
{
    int64_t length;
    int ret;

    s->dev = dev;
    *ret_length = 0;
    if (!s->conf.drive)
        return 0;
    ret = block->open(dev, bp_device_owner(dev), NULL, &s->conf, &ops, s, &s->blk, err);
    if (ret == 0)
        ret = block->conf_complete(s->blk, &s->conf, err);
    if (ret < 0)
        return ret;
    length = block->length(s->blk);
    if (length < 0)
        return bp_fail(err, (int)-length, "drive '%s': %s", block->name(s->blk), strerror((int)-length));
    *ret_length = (uint64_t)length;
    s->deferred = bp_deferred_new(bp_device_owner(dev), NULL, write_behind, s);
    return 0;
}

int pflash_store_read(struct pflash_store *s, uint8_t *memory, uint64_t size, struct bp_error *err)
{
    s->memory = memory;
    s->size = size;
    if (!s->blk)
        memset(memory, 0xff, size);
    for (uint64_t at = 0; s->blk && at < size; at += CHUNK) {
        uint64_t n = size - at < CHUNK ? size - at : CHUNK;
        struct iovec iov = {memory + at, n};
        struct bp_block_request req = {.size = sizeof(req), .offset = at, .bytes = n, .iov = &iov, .iov_count = 1};
        int ret = block->now(s->blk, BP_BLOCK_READ, &req);

        if (ret < 0)
            return bp_fail(err, -ret, "drive '%s': its contents cannot be read: %s", block->name(s->blk),
                           strerror(-ret));
    }
    return 0;
}

/* What the guest changed last, when the device leaves before it was written behind. */
static void write_rest(struct pflash_store *s)
{
    struct iovec iov = {s->memory + s->first, s->end - s->first};
    struct bp_block_request req = {.size = sizeof(req), .offset = s->first, .bytes = iov.iov_len, .iov = &iov,
                                   .iov_count = 1};

    if (s->first != s->end && block->now(s->blk, BP_BLOCK_WRITE, &req) < 0)
        bp_warn("flash chip on drive '%s': what changed last could not be written", block->name(s->blk));
    s->first = s->end = 0;
}

static void extend(struct pflash_store *s, uint64_t offset, uint64_t bytes)
{
    if (s->first == s->end) {
        s->first = offset;
        s->end = offset + bytes;
        return;
    }
    if (offset < s->first)
        s->first = offset;
    if (offset + bytes > s->end)
        s->end = offset + bytes;
}

void pflash_store_close(struct pflash_store *s)
{
    if (s->copy) /* under way, held or throttled: it ended with the device, perhaps before it was written */
        extend(s, s->writing_at, s->iov.iov_len);
    write_rest(s);
    block->close(s->blk);
    s->blk = NULL;
    free(s->copy);
    s->copy = NULL;
}

bool pflash_store_writable(const struct pflash_store *s)
{
    return !s->blk || block->writable(s->blk);
}

static void done(void *opaque, int ret)
{
    struct pflash_store *s = opaque;

    if (ret < 0)
        bp_warn("flash chip on drive '%s': a write failed: %s; its image is older than what the guest sees",
                block->name(s->blk), strerror(-ret));
    free(s->copy);
    s->copy = NULL;
    s->writing = false;
    write_behind(s);
}

static void flushed(void *opaque, int ret)
{
    (void)ret; /* reported by the block layer's policy */
    ((struct pflash_store *)opaque)->writing = false;
    write_behind(opaque);
}

static void write_behind(void *opaque)
{
    struct pflash_store *s = opaque;
    uint64_t first = s->first, bytes = s->end - s->first;

    if (s->writing || !s->blk)
        return;
    if (bytes == 0) {
        if (s->unflushed) {
            s->unflushed = false;
            s->writing = true;
            block->submit(s->blk, BP_BLOCK_FLUSH, NULL, flushed, s);
        }
        return;
    }
    s->copy = bp_alloc(bytes);
    memcpy(s->copy, s->memory + first, bytes);
    s->iov = (struct iovec){s->copy, bytes};
    s->writing_at = first;
    s->first = s->end = 0;
    s->writing = s->unflushed = true;
    struct bp_block_request req = {.size = sizeof(req), .offset = first, .bytes = bytes, .iov = &s->iov,
                                   .iov_count = 1};
    block->submit(s->blk, BP_BLOCK_WRITE, &req, done, s);
}

void pflash_store_dirty(struct pflash_store *s, uint64_t offset, uint64_t bytes)
{
    if (!s->blk)
        return;
    extend(s, offset, bytes);
    bp_deferred_schedule(s->deferred);
}
