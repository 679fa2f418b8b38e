/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sparse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#define PIECE ((uint64_t)1 << 20) /* bytes that are copied at a time */
#define MOST_UNITS (UINT64_C(1) << 30)

int sparse_open(struct sparse *s, uint32_t slice, uint64_t cache_bytes, struct bp_error *err)
{
    s->lock = bp_co_mutex_new();
    s->idle = bp_co_queue_new();
    if (meta_init(&s->meta, block, s->file, s->file, slice, (const uint64_t[META_KINDS]){cache_bytes, cache_bytes}) < 0)
        return bp_fail(err, ENOMEM, "no memory for the cache of the image's tables");
    return 0;
}

static int begin(struct sparse *s);

/* Every table, and the data that they lead to, is on stable storage. Under the lock. */
static int sync_tables(struct sparse *s)
{
    int ret = meta_write(&s->meta, META_LEVELS - 1);

    return ret == 0 && s->ops->sync ? s->ops->sync(s) : ret;
}

int sparse_settle(struct sparse *s)
{
    int ret;

    bp_co_mutex_lock(s->lock);
    ret = sync_tables(s);
    if (ret == 0 && s->marked) {
        ret = meta_sync(&s->meta);
        if (ret == 0 && s->ops->settle)
            ret = s->ops->settle(s);
        if (ret == 0)
            ret = meta_sync(&s->meta);
        if (ret == 0)
            s->marked = false;
    }
    bp_co_mutex_unlock(s->lock);
    return ret;
}

void sparse_free(struct sparse *s)
{
    meta_free(&s->meta);
    bp_co_mutex_free(s->lock);
    if (s->idle)
        bp_co_queue_free(s->idle);
    s->lock = NULL;
    s->idle = NULL;
}

void sparse_close(struct bp_block_node *node)
{
    struct bp_block_open_flags flags = {.size = sizeof(flags)};
    struct sparse *s = block->state(node);
    int ret;

    block->open_flags(node, &flags);
    ret = flags.read_only ? 0 : sparse_settle(s);
    if (ret < 0)
        bp_warn("node '%s': the tables of its image could not be written: %s", block->node_name(node), strerror(-ret));
    sparse_free(s);
}

int table_get(struct sparse *s, uint64_t offset, unsigned level, void *entry, unsigned bytes)
{
    struct slice *slice;
    int ret = meta_get(&s->meta, offset, level, &slice);

    if (ret < 0)
        return ret;
    memcpy(entry, slice->data + offset % s->meta.size, bytes);
    meta_put(slice);
    return 0;
}

int table_put(struct sparse *s, uint64_t offset, unsigned level, const void *entry, unsigned bytes)
{
    struct slice *slice;
    int ret = meta_get(&s->meta, offset, level, &slice);

    if (ret < 0)
        return ret;
    memcpy(slice->data + offset % s->meta.size, entry, bytes);
    meta_dirty(&s->meta, slice);
    meta_put(slice);
    return 0;
}

int file_zeroes(struct bp_block_child *file, uint64_t at, uint64_t bytes)
{
    int64_t there = block->child_length(file);
    int ret = there < 0 ? (int)there : 0;

    if (ret == 0 && (uint64_t)there > at)
        ret = format_io(file, BP_BLOCK_WRITE_ZEROES, at, NULL,
                        (uint64_t)there - at < bytes ? (uint64_t)there - at : bytes);
    return ret == 0 && (uint64_t)there < at + bytes ? block->child_resize(file, at + bytes, false, NULL) : ret;
}

int file_copy(struct bp_block_child *file, uint64_t from, uint64_t to, uint64_t bytes)
{
    uint8_t *buf = malloc((size_t)(bytes < PIECE ? bytes : PIECE));
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t done = 0, n; ret == 0 && done < bytes; done += n) {
        n = bytes - done < PIECE ? bytes - done : PIECE;
        ret = format_io(file, BP_BLOCK_READ, from + done, buf, n);
        if (ret == 0)
            ret = format_io(file, BP_BLOCK_WRITE, to + done, buf, n);
    }
    free(buf);
    return ret;
}

int tables_sync(struct sparse *s, unsigned level)
{
    int ret = meta_write(&s->meta, level);

    return ret == 0 ? meta_sync(&s->meta) : ret;
}

/* ---- who is at blocks ---- */

/* Under the lock, in which the block was found. */
static void block_enter(struct sparse *s)
{
    __atomic_add_fetch(&s->busy, 1, __ATOMIC_SEQ_CST);
}

static void block_leave(struct sparse *s)
{
    if (__atomic_sub_fetch(&s->busy, 1, __ATOMIC_SEQ_CST) > 0 || !__atomic_load_n(&s->wanted, __ATOMIC_SEQ_CST))
        return;
    bp_co_mutex_lock(s->lock); /* who waits has looked, and waits */
    bp_co_queue_wake_all(s->idle);
    bp_co_mutex_unlock(s->lock);
}

/* Under the lock: until it is given up nobody is at a block. */
static int be_alone(struct sparse *s)
{
    int ret = 0;

    __atomic_store_n(&s->wanted, true, __ATOMIC_SEQ_CST);
    while (ret == 0 && __atomic_load_n(&s->busy, __ATOMIC_SEQ_CST))
        ret = block->may_wait() ? bp_co_queue_wait(s->idle, s->lock) : -EWOULDBLOCK;
    __atomic_store_n(&s->wanted, false, __ATOMIC_SEQ_CST);
    return ret;
}

/* ---- vectors ---- */

/* Vectors of `bytes` bytes from `skip` on; malloc'd. */
static struct iovec *cut(const struct bp_block_request *req, uint64_t skip, uint64_t bytes, unsigned *ret_n)
{
    struct iovec *to = malloc(((size_t)req->iov_count + 1) * sizeof(*to));
    unsigned used = 0;

    for (unsigned i = 0; to && i < req->iov_count && bytes > 0; i++) {
        uint64_t len = req->iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len = len - skip < bytes ? len - skip : bytes;
        to[used].iov_base = (char *)req->iov[i].iov_base + skip;
        to[used++].iov_len = (size_t)len;
        bytes -= len;
        skip = 0;
    }
    *ret_n = used;
    return to;
}

/* Copies `bytes` bytes at `skip` of the request from a buffer; NULL: zeroes. */
static void scatter(const struct bp_block_request *req, uint64_t skip, uint64_t bytes, const uint8_t *from)
{
    for (unsigned i = 0; i < req->iov_count && bytes > 0; i++) {
        uint64_t len = req->iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len = len - skip < bytes ? len - skip : bytes;
        if (from)
            memcpy((char *)req->iov[i].iov_base + skip, from, (size_t)len);
        else
            memset((char *)req->iov[i].iov_base + skip, 0, (size_t)len);
        from = from ? from + len : NULL;
        bytes -= len;
        skip = 0;
    }
}

/* A part of a request goes to a child. */
static int pass(struct bp_block_child *child, enum bp_block_op op, uint64_t at, const struct bp_block_request *req,
                uint64_t skip, uint64_t bytes)
{
    struct bp_block_request part = {.size = sizeof(part), .flags = req->flags & ~BP_BLOCK_COMPRESSED, .offset = at,
                                    .bytes = bytes, .account = req->account};
    struct iovec *iov = NULL;
    int ret;

    if (req->iov) {
        iov = cut(req, skip, bytes, &part.iov_count);
        if (!iov)
            return -ENOMEM;
        part.iov = iov;
    }
    ret = block->child_request(child, op, &part);
    free(iov);
    return ret;
}

/* ---- reading ---- */

static bool goes_on(const struct sparse_place *a, const struct sparse_place *b)
{
    return a->kind == b->kind && a->kind != SPARSE_PACKED &&
           (a->kind != SPARSE_DATA || (a->file == b->file && a->host + a->bytes == b->host));
}

/* What is at `offset`, as far as it is of one kind and in a row. Under the lock. */
static int locate(struct sparse *s, uint64_t offset, uint64_t bytes, struct sparse_place *ret)
{
    unsigned turns = 0;
    int r;

    ret->bytes = bytes;
    r = s->ops->find(s, offset, ret);
    while (r == 0 && ret->bytes < bytes && turns++ < 4096) {
        struct sparse_place next = {.bytes = bytes - ret->bytes};

        if (s->ops->find(s, offset + ret->bytes, &next) < 0 || !goes_on(ret, &next))
            break;
        ret->bytes += next.bytes;
    }
    return r;
}

static int read_below(struct sparse *s, uint64_t at, const struct bp_block_request *req, uint64_t done, uint64_t bytes)
{
    int64_t below = s->backing ? block->child_length(s->backing) : 0;
    uint64_t there = below < 0 || (uint64_t)below <= at ? 0 : (uint64_t)below - at;
    int ret = 0;

    if (below < 0)
        return (int)below;
    there = there < bytes ? there : bytes;
    if (there)
        ret = pass(s->backing, BP_BLOCK_READ, at, req, done, there);
    if (there < bytes)
        scatter(req, done + there, bytes - there, NULL);
    return ret;
}

static int read_packed(struct sparse *s, uint64_t at, const struct bp_block_request *req, uint64_t done, uint64_t bytes)
{
    uint8_t *buf = malloc((size_t)bytes);
    int ret = buf ? 0 : -ENOMEM;

    if (ret == 0) {
        bp_co_mutex_lock(s->lock);
        ret = s->ops->unpack(s, at, buf, bytes);
        bp_co_mutex_unlock(s->lock);
    }
    if (ret == 0)
        scatter(req, done, bytes, buf);
    free(buf);
    return ret;
}

int sparse_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct sparse *s = block->state(node);
    int ret = 0;

    for (uint64_t done = 0; ret == 0 && done < req->bytes;) {
        uint64_t at = req->offset + done;
        struct sparse_place place = {.bytes = 0};

        bp_co_mutex_lock(s->lock);
        ret = locate(s, at, req->bytes - done, &place);
        if (ret == 0)
            block_enter(s);
        bp_co_mutex_unlock(s->lock);
        if (ret < 0)
            break;
        switch (place.kind) {
        case SPARSE_DATA: ret = pass(place.file, BP_BLOCK_READ, place.host, req, done, place.bytes); break;
        case SPARSE_BELOW: ret = read_below(s, at, req, done, place.bytes); break;
        case SPARSE_ZERO: scatter(req, done, place.bytes, NULL); break;
        case SPARSE_PACKED: ret = read_packed(s, at, req, done, place.bytes); break;
        }
        block_leave(s);
        done += place.bytes;
    }
    return ret;
}

/* ---- writing ---- */

static int begin(struct sparse *s)
{
    int ret = s->marked || !s->ops->begin ? 0 : s->ops->begin(s);

    if (ret == 0)
        s->marked = true;
    return ret;
}

/* What the disk has from `from` to `to`, which has no place of its own yet, is copied into the new room; bytes of the
 * file from `blank` on are zeroes. */
static int copy_old(struct sparse *s, const struct sparse_room *room, enum sparse_kind kind, uint64_t from, uint64_t to,
                    uint64_t blank)
{
    bool zero = kind == SPARSE_ZERO || (kind == SPARSE_BELOW && !s->backing);
    uint8_t *buf;
    int ret = 0;

    if (zero) {
        uint64_t first = room->host + (from - room->start), last = room->host + (to - room->start);

        last = last < blank ? last : blank;
        return last > first ? format_io(room->file, BP_BLOCK_WRITE_ZEROES, first, NULL, last - first) : 0;
    }
    if (from == to)
        return 0;
    buf = malloc((size_t)(to - from < PIECE ? to - from : PIECE));
    if (!buf)
        return -ENOMEM;
    for (uint64_t at = from, n; ret == 0 && at < to; at += n) {
        struct iovec iov = {buf, 0};
        struct bp_block_request req = {.size = sizeof(req), .iov = &iov, .iov_count = 1};

        n = to - at < PIECE ? to - at : PIECE;
        req.bytes = iov.iov_len = (size_t)n;
        ret = kind == SPARSE_PACKED ? s->ops->unpack(s, at, buf, n) : read_below(s, at, &req, 0, n);
        if (ret == 0)
            ret = format_io(room->file, BP_BLOCK_WRITE, room->host + (at - room->start), buf, n);
    }
    free(buf);
    return ret;
}

/* A part of the disk gets its place, with `bytes` bytes of the request in it, and old content around them. Under the
 * lock. */
static int fill(struct sparse *s, const struct bp_block_request *req, uint64_t done, enum sparse_kind kind,
                uint64_t *bytes)
{
    uint64_t at = req->offset + done, end, blank;
    struct sparse_room room = {.file = s->file};
    int64_t length;
    int ret = s->ops->room(s, at, &room);

    if (ret < 0)
        return ret;
    end = room.start + room.bytes;
    *bytes = end - at < *bytes ? end - at : *bytes;
    end = end < s->length ? end : s->length; /* behind the end of the disk is nothing to keep */
    length = block->child_length(room.file);
    if (length < 0)
        return (int)length;
    blank = (uint64_t)length;
    if (blank < room.host + room.bytes && (*bytes < room.bytes || !req->iov)) {
        ret = block->child_resize(room.file, room.host + room.bytes, false, NULL);
        if (ret < 0)
            return ret;
    }
    if (at > room.start)
        ret = copy_old(s, &room, kind, room.start, at, blank);
    if (ret == 0 && end > at + *bytes)
        ret = copy_old(s, &room, kind, at + *bytes, end, blank);
    if (ret == 0 && room.start + room.bytes > end && end >= at + *bytes)
        ret = copy_old(s, &room, SPARSE_ZERO, end, room.start + room.bytes, blank);
    if (ret == 0)
        ret = pass(room.file, req->iov ? BP_BLOCK_WRITE : BP_BLOCK_WRITE_ZEROES, room.host + (at - room.start), req,
                   done, *bytes);
    return ret < 0 ? ret : s->ops->enter(s, &room);
}

/* Zeroes for what has no place: nothing to be done, or said in the tables. 1: it has to be written. */
static int zero_unplaced(struct sparse *s, enum sparse_kind kind, uint64_t at, uint64_t left, uint64_t *bytes)
{
    uint64_t n;
    int ret;

    if (kind == SPARSE_ZERO || (kind == SPARSE_BELOW && !s->backing))
        return 0;
    if (!s->ops->enter_zero || at % s->block || left < (s->length - at < s->block ? s->length - at : s->block))
        return 1;
    ret = begin(s);
    if (ret == 0)
        ret = s->ops->enter_zero(s, at, &n);
    if (ret == -ENOTSUP)
        return 1;
    if (ret == 0)
        *bytes = n < left ? n : left;
    return ret;
}

static int write_part(struct sparse *s, const struct bp_block_request *req, uint64_t done, uint64_t *bytes)
{
    enum bp_block_op op = req->iov ? BP_BLOCK_WRITE : BP_BLOCK_WRITE_ZEROES;
    struct sparse_place place = {.bytes = 0};
    uint64_t left = req->bytes - done, at = req->offset + done;
    int ret;

    bp_co_mutex_lock(s->lock);
    ret = locate(s, at, left, &place);
    *bytes = place.bytes;
    if (ret == 0 && place.kind != SPARSE_DATA && op == BP_BLOCK_WRITE_ZEROES) {
        ret = zero_unplaced(s, place.kind, at, left, bytes);
        if (ret <= 0)
            goto out;
        ret = 0;
    }
    if (ret == 0)
        ret = begin(s);
    if (ret == 0 && place.kind != SPARSE_DATA)
        ret = fill(s, req, done, place.kind, bytes);
    if (ret == 0 && place.kind == SPARSE_DATA)
        block_enter(s);
out:
    bp_co_mutex_unlock(s->lock);
    if (ret < 0 || place.kind != SPARSE_DATA)
        return ret;
    ret = pass(place.file, op, place.host, req, done, *bytes);
    block_leave(s);
    return ret;
}

static int write_all(struct sparse *s, const struct bp_block_request *req)
{
    int ret = 0;

    for (uint64_t done = 0, n = 0; ret == 0 && done < req->bytes; done += n)
        ret = write_part(s, req, done, &n);
    return ret;
}

int sparse_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_all(block->state(node), req);
}

int sparse_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_all(block->state(node), req);
}

/* Blocks keep their places; the file below may give up what it holds there. */
int sparse_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct sparse *s = block->state(node);
    int ret = 0;

    for (uint64_t done = 0; ret == 0 && done < req->bytes;) {
        struct sparse_place place = {.bytes = 0};

        bp_co_mutex_lock(s->lock);
        ret = locate(s, req->offset + done, req->bytes - done, &place);
        if (ret == 0)
            block_enter(s);
        bp_co_mutex_unlock(s->lock);
        if (ret < 0)
            break;
        if (place.kind == SPARSE_DATA)
            ret = format_io(place.file, BP_BLOCK_DISCARD, place.host, NULL, place.bytes);
        block_leave(s);
        done += place.bytes;
    }
    return ret;
}

int sparse_flush(struct bp_block_node *node)
{
    struct sparse *s = block->state(node);
    int ret;

    bp_co_mutex_lock(s->lock);
    ret = sync_tables(s);
    bp_co_mutex_unlock(s->lock);
    return ret;
}

int sparse_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct sparse *s = block->state(node);
    int ret;

    if (length % 512 && !exact)
        length = round_up(length, 512);
    if (length % 512)
        return bp_fail(err, EINVAL, "the length of an image of this format is a multiple of 512");
    if (length < s->length)
        return bp_fail(err, ENOTSUP, "images of this format are not made shorter");
    if (s->backing)
        return bp_fail(err, ENOTSUP, "an image that stands on another one is not made longer");
    bp_co_mutex_lock(s->lock);
    ret = be_alone(s);
    if (ret == 0)
        ret = begin(s);
    if (ret == 0)
        ret = sync_tables(s);
    if (ret < 0)
        bp_fail(err, -ret, "the image cannot be written: %s", strerror(-ret));
    else if (length > s->length)
        ret = s->ops->grow(s, length, err);
    if (ret == 0)
        s->length = length;
    bp_co_mutex_unlock(s->lock);
    return ret;
}

/* ---- facts ---- */

int sparse_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct sparse *s = block->state(node);
    struct sparse_place place = {.bytes = 0};
    int r;

    bp_co_mutex_lock(s->lock);
    r = locate(s, offset, bytes, &place);
    bp_co_mutex_unlock(s->lock);
    if (r < 0)
        return r;
    ret->bytes = place.bytes;
    switch (place.kind) {
    case SPARSE_DATA:
        ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_OFFSET_VALID;
        ret->map = place.host;
        ret->file = block->child_node(place.file);
        break;
    case SPARSE_PACKED:
        ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_COMPRESSED;
        break;
    case SPARSE_ZERO: ret->flags = BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_ALLOCATED; break;
    case SPARSE_BELOW: ret->flags = s->backing ? 0 : BP_BLOCK_STATUS_ZERO; break;
    }
    return 0;
}

int64_t sparse_length(struct bp_block_node *node)
{
    return (int64_t)((struct sparse *)block->state(node))->length;
}

int sparse_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                  struct bp_error *err)
{
    int ret = 0;

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "the format's own keys cannot be changed while the image is open");
    if (flags->read_only)
        ret = sparse_settle(block->state(node));
    return ret < 0 ? bp_fail(err, -ret, "the image's tables cannot be written: %s", strerror(-ret)) : 0;
}

void sparse_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = 0;
    limits->memory_alignment = 0;
}

void sparse_changed(struct bp_block_node *node)
{
    struct sparse *s = block->state(node);

    s->backing = block->child(node, "backing");
}

/* ---- checks ---- */

int claims_init(struct claims *c, uint64_t length, uint32_t unit)
{
    *c = (struct claims){.units = divide_up(length, unit), .unit = unit};
    if (c->units > MOST_UNITS)
        return -EFBIG;
    c->bits = calloc((size_t)(c->units / 64 + 1), sizeof(uint64_t));
    return c->bits ? 0 : -ENOMEM;
}

void claims_free(struct claims *c)
{
    free(c->bits);
    c->bits = NULL;
}

bool claims_take(struct claims *c, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset / c->unit, last = bytes ? (offset + bytes - 1) / c->unit : first;
    bool free = true;

    if (bytes == 0)
        return true;
    if (last >= c->units || offset + bytes < offset)
        return false;
    for (uint64_t i = first; i <= last; i++) {
        free = free && !(c->bits[i / 64] >> (i % 64) & 1);
        c->bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return free;
}

uint64_t claims_free_units(const struct claims *c)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < c->units; i++)
        n += !(c->bits[i / 64] >> (i % 64) & 1);
    return n;
}

void check_say(struct bp_block_check *check, const char *format, ...)
{
    char text[200];
    va_list args;

    if (!check->say)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check->say(check->opaque, text);
}
