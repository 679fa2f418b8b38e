// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Entropy device (Virtual I/O Device 1.2, 5.4): fills buffers of the driver with random bytes of a back end,
 * up to so many in a period. One buffer at a time. Back ends work on the main loop under the machine lock.
 */
#include <errno.h>
#include <limits.h>

#include <bp/clock.h>
#include <bp/host/rng.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(rng, struct bp_rng_interface, "rng", 1);

struct virtio_rng {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *queue;
    struct bp_object *backend;
    uint64_t max_bytes;
    uint32_t period_ms;
    uint64_t quota; /* bytes left in this period */
    struct bp_timer *timer;
    struct bp_owner *main; /* its calls hold the machine lock */
    struct bp_deferred *fetch;
    struct bp_virtq_request *current;
    struct bp_rng_request ask; /* for `current`, while `asked` */
    bool asked, cancelled;
    uint8_t buffer[BP_RNG_MAX];
};

static void fetched(struct bp_rng_request *ask, int ret)
{
    struct virtio_rng *s = ask->opaque;
    uint64_t n;

    bp_device_lock(s->dev);
    n = ret > 0 ? (uint64_t)ret : 0;
    s->asked = false;
    if (s->current) {
        n = bp_virtq_write(s->current, 0, s->buffer, n);
        virtio->complete(s->queue, s->current, n);
        s->current = NULL;
        s->quota -= n < s->quota ? n : s->quota;
    }
    bp_device_unlock(s->dev);
    bp_deferred_schedule(s->fetch);
}

/* Takes the next buffer; true: s->ask is to be sent. [locked] */
static bool next(struct virtio_rng *s)
{
    uint64_t bytes;

    while (!s->current && s->quota > 0) {
        s->current = virtio->pop(s->queue);
        if (!s->current && !virtio->kicks(s->queue, true))
            return false;
        if (s->current && s->current->in_bytes == 0) {
            virtio->complete(s->queue, s->current, 0);
            s->current = NULL;
        }
        if (!s->current && !virtio->is_running(s->virtio))
            return false;
    }
    if (!s->current)
        return false;
    if (!bp_timer_pending(s->timer))
        bp_timer_set(s->timer, bp_timer_now(s->timer) + (int64_t)s->period_ms * 1000000);
    bytes = s->current->in_bytes < s->quota ? s->current->in_bytes : s->quota;
    s->ask = (struct bp_rng_request){.size = sizeof(s->ask), .buf = s->buffer, .done = fetched, .opaque = s,
                                     .bytes = bytes < BP_RNG_MAX ? (uint32_t)bytes : BP_RNG_MAX};
    return true;
}

/* In the main context, under the machine lock. */
static void fetch(void *opaque)
{
    struct virtio_rng *s = opaque;
    bool go = false;

    if (!s->virtio)
        return;
    if (s->cancelled && s->asked) {
        rng->cancel(s->backend, &s->ask);
        s->asked = false;
    }
    bp_device_lock(s->dev);
    if (s->cancelled && s->current) {
        virtio->drop(s->queue, s->current);
        s->current = NULL;
    }
    s->cancelled = false;
    if (!s->asked)
        go = s->asked = next(s);
    bp_device_unlock(s->dev);
    if (go)
        rng->request(s->backend, &s->ask);
}

static bool handle(void *opaque, struct bp_virtq *queue)
{
    struct virtio_rng *s = opaque;

    (void)queue;
    if (!s->current && s->quota > 0)
        bp_deferred_schedule(s->fetch);
    return false; /* fetch() asks for calls when it finds nothing */
}

static void period_over(void *opaque)
{
    struct virtio_rng *s = opaque;

    s->quota = s->max_bytes;
    bp_deferred_schedule(s->fetch);
}

static void let_go(struct virtio_rng *s)
{
    if (s->current) {
        s->cancelled = true;
        bp_deferred_schedule(s->fetch);
    }
}

static void reset(void *opaque)
{
    struct virtio_rng *s = opaque;

    s->quota = s->max_bytes;
    let_go(s);
}

static void running(void *opaque, bool on)
{
    if (!on)
        let_go(opaque);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    let_go(opaque);
}

static const struct bp_virtio_class class = {.size = sizeof(class), .id = 4, .name = "virtio-rng", .running = running,
                                             .reset = reset};
static const struct bp_virtq_info queue_info = {.size = sizeof(queue_info), .entries = 8, .handle = handle,
                                                .reset = reset_queue};

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct virtio_rng *s = state;
    int ret;

    s->dev = bp_device_from_object(obj);
    if (s->max_bytes == 0 || s->max_bytes > INT64_MAX || s->period_ms == 0)
        return bp_fail(err, EINVAL, "%s: max-bytes (1 to 2^63-1) and period (at least 1 ms) are not 0",
                       bp_object_type(obj));
    s->quota = s->max_bytes;
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-rng", bp_device_id(s->dev), 0);
    s->fetch = bp_deferred_new(s->main, NULL, fetch, s);
    s->timer = bp_timer_new(bp_device_owner(s->dev), NULL, BP_CLOCK_VIRTUAL, period_over, s);
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    return ret < 0 ? ret : virtio->add_queue(s->virtio, &queue_info, &s->queue, err);
}

static void detach(struct bp_object *obj, void *state)
{
    struct virtio_rng *s = state;

    (void)obj;
    if (s->asked)
        rng->cancel(s->backend, &s->ask);
    if (s->current)
        virtio->drop(s->queue, s->current);
    s->current = NULL;
    s->virtio = NULL;
}

static const struct bp_field props[] = {
    BP_PROP_LINK("rng", BP_RNG_TYPE, struct virtio_rng, backend,
            "source of the bytes; the host's generator when not given"),
    BP_PROP("max-bytes", UINT64, struct virtio_rng, max_bytes, "9223372036854775807",
            "bytes that a period gives at most"),
    BP_PROP("period", UINT32, struct virtio_rng, period_ms, "65536", "length of a period in ms"),
    BP_FIELDS_END,
};

static const struct bp_level_class virtio_rng = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-rng-base",
             .summary = "Entropy device", .state_size = sizeof(struct virtio_rng), .props = props},
    .attach = attach, .detach = detach};

BP_VIRTIO_TRANSITIONAL_NAMES(entropy, "virtio-rng", 0x00ff, "Entropy device", &virtio_rng, .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(rng, "rng", 1), {0}};
BP_MODULE("hw-virtio-rng", "Virtio entropy device", imports, {BP_PROVIDE_DEVICE, &entropy_pci},
          {BP_PROVIDE_DEVICE, &entropy_transitional}, {BP_PROVIDE_DEVICE, &entropy_modern},
          {BP_PROVIDE_DEVICE, &entropy_device});
