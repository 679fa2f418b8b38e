// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Queues: requests are taken from a ring, their memory is mapped, and they are handed back. What is in
 * flight is known in the order in which it was taken; so it can be saved by where it stands in the ring,
 * and IN_ORDER (2.7.9) can be kept. After a reset of queue or device what is still in flight is
 * orphaned: its end is awaited, and nothing of it reaches the ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/trace.h>

#include "engine.h"

BP_TRACE_POINT(virtio_queue_notify, "virtio_queue_notify", "device %p queue %u");

#define POOL_MAX 64u

bool virtq_works(const struct bp_virtq *q)
{
    return q->enabled && !q->resetting && virtio_works(q->virtio);
}

/* ---- requests ---- */
static struct request *request_get(struct bp_virtq *q)
{
    struct request *r = q->pool;

    if (r) {
        q->pool = r->next;
        q->pooled--;
        memset(r->pub.own, 0, q->info.own_size);
    } else {
        r = calloc(1, sizeof(*r) + q->info.own_size + 16);
        if (!r)
            return NULL;
        r->pub.own = (uint8_t *)r + ((sizeof(*r) + 15) & ~(size_t)15);
        r->pub.queue = q;
    }
    r->done = r->replayed = false;
    r->written = 0;
    return r;
}

static void request_free(struct request *r)
{
    free(r->addresses);
    free(r);
}

static void request_put(struct bp_virtq *q, struct request *r)
{
    if (q->pooled >= POOL_MAX) {
        request_free(r);
        return;
    }
    r->next = q->pool;
    q->pool = r;
    q->pooled++;
}

/* Unmaps all: of the writable part `written` bytes were filled. Lets go of the lock where it is I/O. */
static void unmap(struct request *r, uint64_t written)
{
    struct bp_dma *out = r->out_map, *in = r->in_map;

    r->out_map = r->in_map = NULL;
    (void)bp_dma_unmap(out, 0);
    (void)bp_dma_unmap(in, written);
}

static void link_newest(struct bp_virtq *q, struct request *r)
{
    r->next = NULL;
    r->prev = q->newest;
    if (q->newest)
        q->newest->next = r;
    else
        q->oldest = r;
    q->newest = r;
    q->in_flight++;
}

static void unlink_request(struct bp_virtq *q, struct request *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        q->oldest = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        q->newest = r->prev;
    q->in_flight--;
}

/* ---- mapping ---- */
static void memory_is_free(void *queue)
{
    struct bp_virtq *q = queue;
    struct bp_device *dev = q->virtio->dev;

    bp_device_lock(dev);
    bp_dma_wait_free(q->wait);
    q->wait = NULL;
    bp_device_unlock(dev);
    virtq_schedule(q);
}

/* What is readable is one mapping, and what is writable another: each descriptor goes behind those before it. */
static int map_one(struct bp_virtq *q, struct request *r, const struct desc *d)
{
    const struct virtio_transport *t = &q->virtio->transport;
    bool in = d->flags & DESC_WRITE;
    struct bp_dma **map = in ? &r->in_map : &r->out_map;
    struct bp_access who = {.size = sizeof(who)};

    if (d->len == 0)
        return 0;
    *(in ? &r->pub.in_bytes : &r->pub.out_bytes) += d->len;
    if (*map)
        return bp_dma_map_more(*map, virtio_dma(q->virtio), d->addr, d->len);
    if (t->requester)
        t->requester(q->virtio->transport_opaque, &who);
    return bp_dma_map(virtio_dma(q->virtio), d->addr, d->len, in ? BP_DMA_FROM_DEVICE : BP_DMA_TO_DEVICE, &who, map);
}

static void show_vectors(struct request *r)
{
    if (r->out_map)
        r->pub.out = bp_dma_vectors(r->out_map, &r->pub.out_count);
    if (r->in_map)
        r->pub.in = bp_dma_vectors(r->in_map, &r->pub.in_count);
}

/* BP_VIRTQ_ADDRESSES: the addresses as they are. */
static int list_addresses(struct request *r, const struct chain *chain)
{
    struct iovec *to = realloc(r->addresses, chain->count * sizeof(*to));

    if (!to)
        return -ENOMEM;
    r->addresses = to;
    r->pub.out = to;
    for (unsigned i = 0; i < chain->count; i++) {
        const struct desc *d = &chain->desc[i];
        bool in = d->flags & DESC_WRITE;

        to[i] = (struct iovec){(void *)(uintptr_t)d->addr, d->len};
        *(in ? &r->pub.in_bytes : &r->pub.out_bytes) += d->len;
        ++*(in ? &r->pub.in_count : &r->pub.out_count);
    }
    r->pub.in = to + r->pub.out_count;
    return 0;
}

static const char *check(const struct chain *chain)
{
    uint64_t bytes = 0;
    bool writable = false;

    for (unsigned i = 0; i < chain->count; i++) {
        if (writable && !(chain->desc[i].flags & DESC_WRITE))
            return "a readable descriptor follows a writable one";
        writable |= chain->desc[i].flags & DESC_WRITE;
        bytes += chain->desc[i].len;
    }
    return bytes > UINT32_MAX ? "a request has more than 4 GiB" : NULL; /* 2.7.4 */
}

/* Maps what the chain describes. -EAGAIN: no bounce buffers now. */
static int map_chain(struct bp_virtq *q, struct request *r, const struct chain *chain)
{
    uint32_t epoch = q->epoch;
    int ret = 0;

    r->pub.out = r->pub.in = NULL;
    r->pub.out_count = r->pub.in_count = 0;
    r->pub.out_bytes = r->pub.in_bytes = 0;
    if (q->info.flags & BP_VIRTQ_ADDRESSES)
        return list_addresses(r, chain);
    for (unsigned i = 0; ret == 0 && i < chain->count; i++) {
        ret = map_one(q, r, &chain->desc[i]);
        if (q->epoch != epoch)
            ret = -ECANCELED;
    }
    if (ret == 0)
        show_vectors(r);
    else
        unmap(r, 0);
    return ret;
}

/* ---- taking ---- */
static int ring_pop(struct bp_virtq *q, const struct flight *at, struct chain *chain)
{
    return q->packed ? packed_pop(q, at, chain) : split_pop(q, at, chain);
}

static void ring_unpop(struct bp_virtq *q, const struct request *r)
{
    if (r->replayed)
        q->replay_next--; /* the last that was taken */
    else if (q->packed)
        packed_unpop(q, r);
    else
        split_unpop(q, r);
}

static void try_later(struct bp_virtq *q)
{
    if (!q->wait)
        q->wait = bp_dma_when_free(bp_device_owner(q->virtio->dev), memory_is_free, q);
}

static struct bp_virtq_request *take(struct bp_virtq *q)
{
    const struct flight *at = q->replay_next < q->replay_count ? &q->replay[q->replay_next] : NULL;
    struct request *r;
    struct chain chain;
    uint32_t epoch = q->epoch;
    const char *why;
    int ret;

    if (q->in_flight >= q->size && !at) {
        if (!virtq_empty(q))
            virtio_broken(q->virtio, "more is available than the ring holds");
        return NULL;
    }
    if (ring_pop(q, at, &chain) <= 0)
        return NULL;
    if (at)
        q->replay_next++;
    why = check(&chain);
    r = why ? NULL : request_get(q);
    if (!r) {
        virtio_broken(q->virtio, why ? why : "the host has no memory left");
        return NULL;
    }
    r->head = chain.head;
    r->slots = chain.slots;
    r->position = chain.position;
    r->wrap = chain.wrap;
    r->replayed = at != NULL;
    r->epoch = epoch;
    ret = map_chain(q, r, &chain);
    if (ret == 0) {
        link_newest(q, r);
        return &r->pub;
    }
    if (ret == -EAGAIN) {
        ring_unpop(q, r);
        try_later(q);
    } else if (ret != -ECANCELED) {
        virtio_broken(q->virtio, ret == -EMSGSIZE ? "a request is too large for where it lies"
                                                  : "a request lies where no memory is");
    }
    request_put(q, r);
    return NULL;
}

struct bp_virtq_request *virtq_pop(struct bp_virtq *q)
{
    struct bp_virtq_request *r;

    if (!virtq_works(q) || q->popping || virtq_is_external(q))
        return NULL;
    if (q->handling && q->turn == 0) {
        q->over = true;
        return NULL;
    }
    q->popping = true;
    r = take(q);
    q->popping = false;
    q->turn -= r && q->turn;
    return r;
}

bool virtq_empty(struct bp_virtq *q)
{
    if (!virtq_works(q) || virtq_is_external(q))
        return true;
    if (q->replay_next < q->replay_count)
        return false;
    return q->packed ? packed_empty(q) : split_empty(q);
}

void virtq_unpop(struct bp_virtq *q, struct bp_virtq_request *request)
{
    struct request *r = (struct request *)request;

    if (r->epoch != q->epoch) {
        virtq_drop(q, request);
        return;
    }
    ring_unpop(q, r);
    unlink_request(q, r);
    unmap(r, 0);
    request_put(q, r);
}

/* ---- handing back ---- */
static void ring_push(struct bp_virtq *q, const struct request *r)
{
    uint32_t written = r->written > UINT32_MAX ? UINT32_MAX : (uint32_t)r->written;

    if (!virtq_works(q))
        return;
    q->moved += r->pub.in_bytes + r->pub.out_bytes;
    if (q->packed)
        packed_push(q, r, written);
    else
        split_push(q, r, written);
}

static void push_in_order(struct bp_virtq *q)
{
    struct request *r;

    while ((r = q->oldest) && r->done) {
        unlink_request(q, r);
        ring_push(q, r);
        request_put(q, r);
    }
}

void virtq_push(struct bp_virtq *q, struct bp_virtq_request *request, uint64_t written)
{
    struct request *r = (struct request *)request;

    if (written > request->in_bytes)
        written = request->in_bytes;
    r->written = written;
    unmap(r, r->epoch == q->epoch ? written : 0);
    if (r->epoch != q->epoch) {
        request_put(q, r);
        q->orphans--;
        virtio_orphan_ended(q->virtio);
        return;
    }
    r->done = true;
    if (q->in_order) {
        push_in_order(q);
        return;
    }
    unlink_request(q, r);
    ring_push(q, r);
    request_put(q, r);
}

/* Requests that end while handle() takes others up are shown together at its end, but for much data: the driver is to
 * work on these meanwhile. */
#define MUCH (128u << 10)

void virtq_flush(struct bp_virtq *q)
{
    bool interrupt;

    if (!virtq_works(q) || q->batch == 0 || (q->handling && q->moved < MUCH))
        return;
    q->moved = 0;
    interrupt = q->packed ? packed_flush(q) : split_flush(q);
    if (interrupt && virtq_works(q))
        q->virtio->transport.interrupt(q->virtio->transport_opaque, q);
}

void virtq_complete(struct bp_virtq *q, struct bp_virtq_request *request, uint64_t written)
{
    virtq_push(q, request, written);
    virtq_flush(q);
}

void virtq_drop(struct bp_virtq *q, struct bp_virtq_request *request)
{
    bool current = ((struct request *)request)->epoch == q->epoch;

    virtq_push(q, request, 0);
    if (current)
        virtq_flush(q);
}

/* ---- kicks ---- */
#define TURN 1024u /* requests that one call may have */

bool virtq_kicks(struct bp_virtq *q, bool wanted)
{
    if (!virtq_works(q) || virtq_is_external(q))
        return false;
    q->kicks = wanted;
    if (q->packed)
        packed_kicks(q, wanted);
    else
        split_kicks(q, wanted);
    return wanted && !q->wait && !virtq_empty(q); /* what waits for memory is handled when there is some */
}

void virtq_schedule(struct bp_virtq *q)
{
    bp_doorbell_ring(q->bell);
}

/* A driver that makes more available as fast as it is taken has the context's others wait no longer than a turn. */
void virtq_handle(void *queue)
{
    struct bp_virtq *q = queue;

    bp_trace(virtio_queue_notify, (void *)q->virtio, (unsigned)q->index);
    if (virtq_is_external(q)) {
        if (virtq_works(q))
            (void)q->info.handle(q->virtio->opaque, q);
        return;
    }
    q->turn = TURN;
    while (virtq_works(q) && !q->popping) {
        bool all;

        (void)virtq_kicks(q, false);
        q->handling = true;
        q->over = false;
        all = q->info.handle(q->virtio->opaque, q);
        q->handling = false;
        virtq_flush(q);
        if (q->over)
            virtq_schedule(q);
        if (q->over || !all || !virtq_kicks(q, true))
            return;
    }
}

/* ---- resets ---- */
void virtq_settle(struct bp_virtq *q)
{
    const struct bp_virtio *v = q->virtio;

    q->packed = virtio_has(v, BP_VIRTIO_RING_PACKED);
    q->event_idx = virtio_has(v, BP_VIRTIO_EVENT_IDX);
    q->in_order = virtio_has(v, BP_VIRTIO_IN_ORDER);
}

void virtq_forget(struct bp_virtq *q)
{
    struct request *next;

    q->epoch++;
    q->orphans += q->in_flight;
    q->virtio->orphans += q->in_flight;
    for (struct request *r = q->oldest; r; r = next) {
        next = r->next;
        if (r->done) { /* held back to keep the order: ended already */
            request_put(q, r);
            q->orphans--;
            q->virtio->orphans--;
        }
    }
    q->in_flight = 0;
    q->oldest = q->newest = NULL;
    q->batch = 0;
    q->moved = 0;
    q->first_flags_due = false;
    free(q->replay);
    q->replay = NULL;
    q->replay_count = q->replay_next = 0;
}

void virtq_reset_registers(struct bp_virtq *q)
{
    q->enabled = q->resetting = false;
    q->size = q->initial;
    q->desc = q->driver = q->device = 0;
    q->avail = q->avail_seen = q->used = 0;
    q->avail_wrap = q->used_wrap = true;
    q->event_valid = false;
    q->kicks = true;
}

/* ---- life ---- */
int virtq_new(struct bp_virtio *v, const struct bp_virtq_info *info, struct bp_virtq **ret_queue,
              struct bp_error *err)
{
    const struct bp_doorbell_match match = {.size = sizeof(match), .offset = v->count};
    struct bp_virtq *q;
    int ret;

    if (!info->handle || info->entries == 0 || info->entries > BP_VIRTQ_MAX_SIZE ||
        (info->entries & (info->entries - 1)))
        return bp_fail(err, EINVAL, "%s: a queue of %u entries: powers of two up to %u are possible",
                       v->class->name, info->entries, BP_VIRTQ_MAX_SIZE);
    q = calloc(1, sizeof(*q));
    if (!q)
        return bp_fail(err, ENOMEM, "%s: no memory for a queue", v->class->name);
    q->virtio = v;
    memcpy(&q->info, info, info->size < sizeof(q->info) ? info->size : sizeof(q->info));
    q->index = (uint16_t)v->count;
    q->initial = info->entries;
    virtq_reset_registers(q);
    ret = bp_doorbell_new(bp_device_owner(v->dev), NULL, v->bells, &match, virtq_handle, q, &q->bell, err);
    if (ret < 0) {
        free(q);
        return ret;
    }
    *ret_queue = q;
    return 0;
}

void virtq_free(struct bp_virtq *q)
{
    struct request *r;

    while ((r = q->pool)) {
        q->pool = r->next;
        request_free(r);
    }
    free(q->replay);
    free(q);
}
