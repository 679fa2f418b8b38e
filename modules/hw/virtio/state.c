// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is saved of a virtio device: what the driver set up, how far each queue is, and which requests
 * were in flight, by where they stand in their rings. Those are handed out again once the machine goes
 * on, in the order in which they were taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define MAX_FLIGHT (BP_VIRTIO_MAX_QUEUES * BP_VIRTQ_MAX_SIZE)

static const struct bp_state_field flight_fields[] = {
    BP_SAVE(UINT16, struct flight, queue), BP_SAVE(UINT16, struct flight, head),
    BP_SAVE(UINT16, struct flight, position), BP_SAVE_RANGE(UINT8, struct flight, wrap, 0, 1), BP_SAVE_END};
static const struct bp_state_table flight_table = {.version = 1, .oldest = 1, .fields = flight_fields};

static const struct bp_state_field queue_fields[] = {
    BP_SAVE(UINT16, struct saved_queue, size),
    BP_SAVE(UINT16, struct saved_queue, avail),
    BP_SAVE(UINT16, struct saved_queue, used),
    BP_SAVE(UINT64, struct saved_queue, desc),
    BP_SAVE(UINT64, struct saved_queue, driver),
    BP_SAVE(UINT64, struct saved_queue, device),
    BP_SAVE_RANGE(UINT8, struct saved_queue, enabled, 0, 1),
    BP_SAVE_RANGE(UINT8, struct saved_queue, kicks, 0, 1),
    BP_SAVE_RANGE(UINT8, struct saved_queue, avail_wrap, 0, 1),
    BP_SAVE_RANGE(UINT8, struct saved_queue, used_wrap, 0, 1),
    BP_SAVE_RANGE(UINT8, struct saved_queue, event_valid, 0, 1),
    BP_SAVE_END};
static const struct bp_state_table queue_table = {.version = 1, .oldest = 1, .fields = queue_fields};

enum { FLAG_LEGACY = 1, FLAG_BROKEN = 2, FLAG_RUNNING = 4 };

static void add_flight(struct bp_virtio *v, const struct bp_virtq *q, uint16_t head, uint16_t position, bool wrap)
{
    v->flight[v->flight_count++] = (struct flight){q->index, head, position, wrap};
}

static void save_queue(struct bp_virtio *v, struct bp_virtq *q)
{
    v->saved[q->index] = (struct saved_queue){
        .size = q->size, .avail = q->avail, .used = q->used, .desc = q->desc, .driver = q->driver,
        .device = q->device, .enabled = q->enabled, .kicks = q->kicks, .avail_wrap = q->avail_wrap,
        .used_wrap = q->used_wrap, .event_valid = q->event_valid};
    for (const struct request *r = q->oldest; r; r = r->next)
        add_flight(v, q, r->head, r->position, r->wrap);
    for (unsigned i = q->replay_next; i < q->replay_count; i++)
        add_flight(v, q, q->replay[i].head, q->replay[i].position, q->replay[i].wrap);
}

static int before_save(void *state, struct bp_error *err)
{
    struct bp_virtio *v = state;
    size_t flights = 0;

    free(v->saved);
    free(v->flight);
    v->flight_count = v->saved_count = 0;
    for (unsigned i = 0; i < v->count; i++)
        flights += v->queues[i]->in_flight + v->queues[i]->replay_count - v->queues[i]->replay_next;
    v->saved = calloc(v->count + 1, sizeof(*v->saved));
    v->flight = calloc(flights + 1, sizeof(*v->flight));
    if (!v->saved || !v->flight)
        return bp_fail(err, ENOMEM, "virtio: no memory to save queues");
    for (unsigned i = 0; i < v->count; i++) {
        virtq_flush(v->queues[i]);
        save_queue(v, v->queues[i]);
    }
    v->saved_count = v->count;
    v->saved_flags = (uint8_t)((v->legacy ? FLAG_LEGACY : 0) | (v->broken ? FLAG_BROKEN : 0) |
                               (v->running ? FLAG_RUNNING : 0));
    return 0;
}

static int check_queue(const struct bp_virtio *v, const struct bp_virtq *q, const struct saved_queue *s,
                       struct bp_error *err)
{
    bool packed = virtio_has(v, BP_VIRTIO_RING_PACKED);

    if (!s->enabled)
        return 0;
    if (s->size == 0 || s->size > q->initial || (!packed && (s->size & (s->size - 1))) ||
        (packed && (s->avail >= s->size || s->used >= s->size)))
        return bp_fail(err, EINVAL, "%s: queue %u of %u entries is impossible", v->class->name, q->index,
                       s->size);
    return 0;
}

static void load_queue(struct bp_virtq *q, const struct saved_queue *s)
{
    virtq_forget(q);
    virtq_reset_registers(q);
    virtq_settle(q);
    q->size = s->size;
    q->avail = q->avail_seen = s->avail;
    q->used = s->used;
    q->desc = s->desc;
    q->driver = s->driver;
    q->device = s->device;
    q->enabled = s->enabled;
    q->kicks = s->kicks;
    q->avail_wrap = s->avail_wrap;
    q->used_wrap = s->used_wrap;
    q->event_valid = s->event_valid;
}

/* What was in flight there is handed out first. */
static int load_flights(struct bp_virtio *v, struct bp_virtq *q, struct bp_error *err)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < v->flight_count; i++)
        n += v->flight[i].queue == q->index;
    if (n == 0)
        return 0;
    if (n > q->size || !q->enabled)
        return bp_fail(err, EINVAL, "%s: %u requests in flight in queue %u of %u entries", v->class->name, n,
                       q->index, q->size);
    q->replay = calloc(n, sizeof(*q->replay));
    if (!q->replay)
        return bp_fail(err, ENOMEM, "%s: no memory for requests in flight", v->class->name);
    for (uint32_t i = 0; i < v->flight_count; i++) {
        const struct flight *f = &v->flight[i];

        if (f->queue != q->index)
            continue;
        if (q->packed ? f->position >= q->size : f->head >= q->size)
            return bp_fail(err, EINVAL, "%s: a request in flight stands beyond queue %u", v->class->name,
                           q->index);
        q->replay[q->replay_count++] = *f;
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct bp_virtio *v = state;
    int ret = 0;

    (void)version;
    if (v->saved_count != v->count)
        return bp_fail(err, EINVAL, "%s: the state has %u queues, the device %u", v->class->name,
                       v->saved_count, v->count);
    /* Before FEATURES_OK anything may stand there. */
    if (((v->status & STATUS_FEATURES_OK) || (v->saved_flags & FLAG_RUNNING)) &&
        (v->driver_features & ~virtio_offered(v)))
        return bp_fail(err, EINVAL, "%s: the driver uses features 0x%llx, which are not offered here",
                       v->class->name, (unsigned long long)(v->driver_features & ~virtio_offered(v)));
    for (unsigned i = 0; ret == 0 && i < v->count; i++)
        ret = check_queue(v, v->queues[i], &v->saved[i], err);
    for (uint32_t i = 0; ret == 0 && i < v->flight_count; i++) {
        if (v->flight[i].queue >= v->count)
            ret = bp_fail(err, EINVAL, "%s: a request in flight is of no queue", v->class->name);
    }
    for (unsigned i = 0; ret == 0 && i < v->count; i++) {
        load_queue(v->queues[i], &v->saved[i]);
        ret = load_flights(v, v->queues[i], err);
    }
    if (ret < 0)
        return ret;
    v->legacy = v->saved_flags & FLAG_LEGACY;
    v->broken = v->saved_flags & FLAG_BROKEN;
    v->running = false;
    return 0;
}

/* With all levels in place: the device hears what its driver had chosen. */
static int loaded(void *state, struct bp_error *err)
{
    struct bp_virtio *v = state;

    if (!(v->saved_flags & FLAG_RUNNING) || v->broken)
        return 0;
    if (v->class->negotiated && v->class->negotiated(v->opaque, v->driver_features) < 0)
        return bp_fail(err, EINVAL, "%s: the driver's features 0x%llx do not go together", v->class->name,
                       (unsigned long long)v->driver_features);
    v->running = true;
    if (v->class->running)
        v->class->running(v->opaque, true);
    for (unsigned i = 0; i < v->count; i++) {
        if (v->queues[i]->enabled)
            virtq_schedule(v->queues[i]);
    }
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct bp_virtio, status),
    BP_SAVE(UINT8, struct bp_virtio, generation),
    BP_SAVE_RANGE(UINT8, struct bp_virtio, saved_flags, 0, 7),
    BP_SAVE(UINT64, struct bp_virtio, driver_features),
    BP_SAVE_MEMORY(struct bp_virtio, config, config_size),
    BP_SAVE_VECTOR(struct bp_virtio, saved, saved_count, BP_VIRTIO_MAX_QUEUES, &queue_table),
    BP_SAVE_VECTOR(struct bp_virtio, flight, flight_count, MAX_FLIGHT, &flight_table),
    BP_SAVE_END};
const struct bp_state_table virtio_state = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load,
    .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};
