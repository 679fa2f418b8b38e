/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading compressed clusters: those that follow each other come with one request and are unpacked by one worker, where
 * they belong if that is one piece of memory. [co], any context
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

#define BATCH 16u
#define RUN 64u
#define BATCH_BYTES (1u << 20) /* of the guest's, and at most so many in the file: one cluster may be as long, too */

struct packed {
    uint64_t host, inside, bytes, skip; /* inside: where in the cluster what is wanted begins */
    uint32_t packed_bytes;
};

struct batch {
    const struct qcow *s;
    const struct iovec *iov;
    unsigned n, count;
    uint64_t base, end; /* in the file */
    const uint8_t *data;
    int ret;
    struct packed list[BATCH];
};

uint64_t packed_run(struct qcow *s, uint64_t guest, uint64_t bytes, const struct extent *e)
{
    uint64_t done = e->bytes;
    struct extent next;

    for (unsigned i = 1; i < RUN && done < bytes; i++) {
        if (map_find(s, guest + done, bytes - done, &next) < 0 || next.type != PACKED)
            break;
        done += next.bytes;
    }
    return done;
}

static bool take(struct batch *b, uint64_t inside, const struct extent *e, uint64_t skip)
{
    uint64_t end = e->host + e->packed_bytes;

    if (b->count > 0 && (b->count == BATCH || e->host < b->base || end - b->base > BATCH_BYTES))
        return false;
    if (b->count == 0)
        b->base = e->host;
    if (b->end < end)
        b->end = end;
    b->list[b->count++] = (struct packed){e->host, inside, e->bytes, skip, e->packed_bytes};
    return true;
}

/* The first one, and others after it. A cluster that cannot be found says so when it is its turn. */
static uint64_t collect(struct qcow *s, struct batch *b, uint64_t guest, uint64_t bytes, const struct extent *first,
                        uint64_t skip)
{
    uint64_t done = first->bytes, most = bytes < BATCH_BYTES ? bytes : BATCH_BYTES;

    take(b, guest & (s->cluster - 1), first, skip);
    bp_co_mutex_lock(s->lock);
    while (done < most) {
        struct extent e;

        if (map_find(s, guest + done, bytes - done, &e) < 0 || e.type != PACKED || !take(b, 0, &e, skip + done))
            break;
        done += e.bytes;
    }
    bp_co_mutex_unlock(s->lock);
    return done;
}

/* Where a whole cluster goes; NULL: to several places, or not all of it is wanted. */
static uint8_t *straight(const struct batch *b, const struct packed *p)
{
    uint64_t skip = p->skip;
    unsigned i = 0;

    if (p->bytes < b->s->cluster)
        return NULL;
    for (; i < b->n && skip >= b->iov[i].iov_len; i++)
        skip -= b->iov[i].iov_len;
    return i < b->n && b->iov[i].iov_len - skip >= p->bytes ? (uint8_t *)b->iov[i].iov_base + skip : NULL;
}

static void unpack_all(void *opaque)
{
    struct batch *b = opaque;
    struct unpacker u = {NULL, NULL};
    uint8_t *spare = NULL;

    for (unsigned i = 0; b->ret == 0 && i < b->count; i++) {
        const struct packed *p = &b->list[i];
        uint8_t *to = straight(b, p);

        if (!to && !spare)
            spare = malloc(b->s->cluster);
        if (!to && !spare)
            b->ret = -ENOMEM;
        else
            b->ret = unpack(b->s, &u, b->data + (p->host - b->base), p->packed_bytes, to ? to : spare);
        if (b->ret == 0 && !to)
            copy_out(b->iov, b->n, p->skip, spare + p->inside, p->bytes);
    }
    free(spare);
    unpack_end(&u);
}

int read_packed(struct qcow *s, uint64_t guest, uint64_t bytes, struct extent *e, const struct iovec *iov, unsigned n,
                uint64_t skip)
{
    struct batch b = {.s = s, .iov = iov, .n = n};
    uint8_t *data;

    e->bytes = collect(s, &b, guest, bytes, e, skip);
    data = malloc((size_t)(b.end - b.base));
    if (!data)
        return -ENOMEM;
    b.data = data;
    b.ret = io_child(s, s->file, BP_BLOCK_READ, b.base, data, b.end - b.base);
    if (b.ret == 0 && block->may_wait())
        bp_co_worker(unpack_all, &b);
    else if (b.ret == 0)
        unpack_all(&b);
    free(data);
    return b.ret;
}
