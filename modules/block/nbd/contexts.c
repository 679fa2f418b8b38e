/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What NBD clients may ask of an export's blocks (doc/proto.md, "Metadata querying"):
 * base:allocation; and, as the documentation of QEMU's NBD contexts has them, qemu:allocation-depth
 * and qemu:dirty-bitmap:NAME. Their numbers are 0, 1, and 2 and more in the order of the export's
 * bitmaps. [co], main context
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server.h"

#define MAX_EXTENTS 128u
#define BITMAP_PREFIX "qemu:dirty-bitmap:"
enum { CONTEXT_BASE, CONTEXT_DEPTH, CONTEXT_BITMAPS };

/* Its name, malloc'd; NULL: the export has no such context. */
static char *context_name(const struct export *e, unsigned id)
{
    const char *bitmap;
    size_t size;
    char *name;

    if (id == CONTEXT_BASE)
        return bp_strdup("base:allocation");
    if (id == CONTEXT_DEPTH)
        return e->depth ? bp_strdup("qemu:allocation-depth") : NULL;
    if (id - CONTEXT_BITMAPS >= e->bitmap_count)
        return NULL;
    bitmap = e->bitmaps[id - CONTEXT_BITMAPS];
    size = sizeof(BITMAP_PREFIX) + strlen(bitmap);
    name = bp_alloc(size);
    memcpy(name, BITMAP_PREFIX, sizeof(BITMAP_PREFIX) - 1);
    memcpy(name + sizeof(BITMAP_PREFIX) - 1, bitmap, strlen(bitmap) + 1);
    return name;
}

/* Does a query mean it? Lists take the beginnings that end with a colon, too. */
static bool is_meant(const char *name, const uint8_t *query, size_t length, bool list)
{
    size_t n = strlen(name);

    if (length == n && !memcmp(query, name, n))
        return true;
    return list && length > 0 && length < n && query[length - 1] == ':' &&
           !memcmp(query, name, length);
}

/* Contexts that the queries at `at` mean, as bits; -1: they are not well-formed. */
static int64_t wanted_contexts(const struct export *e, const uint8_t *data, uint32_t length,
                               uint32_t at, bool list)
{
    uint32_t queries = get32(data + at), found = 0;

    at += 4;
    for (uint32_t i = 0; i < queries; i++) {
        uint32_t size = length - at >= 4 ? get32(data + at) : UINT32_MAX;

        if (length - at < 4 || size > length - at - 4)
            return -1;
        for (unsigned id = 0; id < CONTEXT_BITMAPS + MAX_BITMAPS; id++) {
            char *name = context_name(e, id);

            found |= name && is_meant(name, data + at + 4, size, list) ? UINT32_C(1) << id : 0;
            free(name);
        }
        at += 4 + size;
    }
    return list && queries == 0 ? UINT32_MAX : found;
}

static int tell_contexts(struct client *c, uint32_t option, const struct export *e, uint32_t ids)
{
    int ret = 0;

    for (unsigned id = 0; ret == 0 && id < CONTEXT_BITMAPS + MAX_BITMAPS; id++) {
        char *name = ids >> id & 1 ? context_name(e, id) : NULL;
        size_t n = name ? strlen(name) : 0;
        uint8_t *reply = name ? bp_alloc(4 + n) : NULL;

        if (name) {
            put32(reply, id);
            memcpy(reply + 4, name, n);
            ret = client_answer(c, option, REP_META, reply, (uint32_t)(4 + n));
        }
        free(reply);
        free(name);
    }
    return ret == 0 ? client_answer(c, option, REP_ACK, NULL, 0) : ret;
}

int serve_meta(struct client *c, uint32_t option, const uint8_t *data, uint32_t length)
{
    uint32_t at;
    char *name = option_name(data, length, &at);
    struct export *e = name ? export_find(name) : NULL;
    int64_t ids;
    int ret;

    free(name);
    if (!name || length - at < 4 || !c->structured)
        return client_refuse(c, option, REP_ERR_INVALID,
                             "the option is not well-formed, or comes too early");
    if (!e)
        return client_refuse(c, option, REP_ERR_UNKNOWN, "there is no export of that name");
    ids = wanted_contexts(e, data, length, at, option == OPT_LIST_META);
    if (ids < 0)
        return client_refuse(c, option, REP_ERR_INVALID, "a query is not well-formed");
    if (option == OPT_SET_META) {
        c->contexts = (uint32_t)ids;
        c->contexts_of = e;
    }
    e->refs++; /* the client may take its time */
    ret = tell_contexts(c, option, e, (uint32_t)ids);
    export_unref(e);
    return ret;
}

/* ---- block status ---- */

/* One extent of a context from `at` on. */
static int extent(const struct export *e, unsigned id, uint64_t at, uint64_t bytes,
                  uint64_t *ret_bytes, uint32_t *ret_state)
{
    struct bp_block_status status = {.size = sizeof(status)};
    uint64_t dirty, dirty_bytes;
    int ret;

    if (id >= CONTEXT_BITMAPS) {
        ret =
            block->bitmap_next(e->node, e->bitmaps[id - CONTEXT_BITMAPS], at, &dirty, &dirty_bytes);
        if (ret < 0)
            return ret;
        *ret_state = ret == 1 && dirty <= at;
        *ret_bytes = ret == 0 || dirty >= at + bytes ? bytes
                     : dirty > at                    ? dirty - at
                                                     : dirty + dirty_bytes - at;
        *ret_bytes = *ret_bytes < bytes ? *ret_bytes : bytes;
        return 0;
    }
    ret = block->status(e->blk, at, bytes, &status);
    if (id == CONTEXT_DEPTH)
        *ret_state = status.flags & BP_BLOCK_STATUS_ALLOCATED ? status.depth + 1 : 0;
    else
        *ret_state = (status.flags & BP_BLOCK_STATUS_DATA ? 0 : STATE_HOLE) |
                     (status.flags & BP_BLOCK_STATUS_ZERO ? STATE_ZERO : 0);
    *ret_bytes = status.bytes;
    return ret;
}

/* Chunk of one context: one extent, or as many as fit; neighbours that are alike are one. Its
 * length, or -errno. */
static int fill_chunk(const struct export *e, unsigned id, uint16_t flags, uint64_t at,
                      uint64_t end, uint8_t *chunk)
{
    uint32_t n = 0, most = flags & CMD_REQ_ONE ? 1 : MAX_EXTENTS, last = 0;

    while (at < end) {
        uint64_t bytes;
        uint32_t state;
        int ret = extent(e, id, at, end - at, &bytes, &state);

        if (ret < 0)
            return ret;
        if (n > 0 && state == last) {
            put32(chunk + 24 + 8 * (n - 1), get32(chunk + 24 + 8 * (n - 1)) + (uint32_t)bytes);
        } else if (n == most) {
            break;
        } else {
            put32(chunk + 24 + 8 * n, (uint32_t)bytes);
            put32(chunk + 28 + 8 * n, state);
            last = state;
            n++;
        }
        at += bytes;
    }
    put32(chunk + 16, 4 + 8 * n);
    put32(chunk + 20, id);
    return (int)(24 + 8 * n);
}

int serve_status(struct client *c, uint64_t cookie, uint16_t flags, uint64_t offset, uint32_t bytes)
{
    unsigned count = (unsigned)__builtin_popcount(c->contexts), n = 0;
    uint8_t *chunks = malloc((size_t)count * (24 + 8 * MAX_EXTENTS)), *at = chunks;
    int ret = chunks ? 0 : -ENOMEM;

    for (unsigned id = 0; ret >= 0 && id < CONTEXT_BITMAPS + MAX_BITMAPS; id++) {
        if (!(c->contexts >> id & 1))
            continue;
        ret = fill_chunk(c->export, id, flags, offset, offset + bytes, at);
        if (ret < 0)
            break;
        put32(at, NBD_STRUCTURED);
        put16(at + 4, ++n == count ? CHUNK_DONE : 0);
        put16(at + 6, CHUNK_STATUS);
        put64(at + 8, cookie);
        at += ret;
    }
    if (ret >= 0) {
        bp_co_mutex_lock(c->sending);
        if (client_write(c, chunks, (size_t)(at - chunks)) < 0)
            shutdown(c->wire.fd, SHUT_RDWR);
        bp_co_mutex_unlock(c->sending);
    }
    free(chunks);
    return ret < 0 ? ret : 0;
}
