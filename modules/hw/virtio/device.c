// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What all virtio devices have (Virtual I/O Device 1.2, chapters 2 and 3): status, features,
 * configuration space, reset. Registers are the transports'.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "engine.h"

#define STATUS_WRITABLE (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK | STATUS_FEATURES_OK | STATUS_FAILED)

static bool is_master(const struct bp_virtio *v)
{
    return !v->transport.master || v->transport.master(v->transport_opaque);
}

bool virtio_works(const struct bp_virtio *v)
{
    return v->running && !v->broken && !v->draining && is_master(v);
}

static void set_running(struct bp_virtio *v, bool on)
{
    if (v->running == on)
        return;
    v->running = on;
    if (v->class->running)
        v->class->running(v->opaque, on);
}

static void interrupt_config(struct bp_virtio *v)
{
    if (v->transport.interrupt)
        v->transport.interrupt(v->transport_opaque, NULL);
}

static void forget_all(struct bp_virtio *v)
{
    for (unsigned i = 0; i < v->count; i++)
        virtq_forget(v->queues[i]);
    v->draining = v->orphans > 0;
}

void virtio_broken(struct bp_virtio *v, const char *why)
{
    if (v->broken)
        return;
    bp_guest_error(why, "%s: the driver broke a rule: %s", v->class->name, why);
    v->broken = true;
    forget_all(v);
    if (!v->legacy) {
        v->status |= STATUS_NEEDS_RESET;
        v->generation++;
        if (v->status & STATUS_DRIVER_OK)
            interrupt_config(v);
    }
    if (v->class->running && v->running)
        v->class->running(v->opaque, false);
    v->running = false;
}

/* ---- features ---- */
static uint64_t common_features(const struct bp_virtio *v)
{
    uint64_t f = 0;

    f |= v->indirect_desc ? BP_VIRTIO_BIT(BP_VIRTIO_INDIRECT_DESC) : 0;
    f |= v->event_idx ? BP_VIRTIO_BIT(BP_VIRTIO_EVENT_IDX) : 0;
    if (!v->transport.modern_only) {
        f |= v->notify_on_empty ? BP_VIRTIO_BIT(BP_VIRTIO_NOTIFY_ON_EMPTY) : 0;
        f |= v->any_layout ? BP_VIRTIO_BIT(BP_VIRTIO_ANY_LAYOUT) : 0;
    }
    if (v->transport.legacy_only)
        return f & v->limit;
    f |= BP_VIRTIO_BIT(BP_VIRTIO_VERSION_1);
    f |= v->iommu_platform ? BP_VIRTIO_BIT(BP_VIRTIO_ACCESS_PLATFORM) : 0;
    f |= v->packed ? BP_VIRTIO_BIT(BP_VIRTIO_RING_PACKED) : 0;
    f |= v->in_order ? BP_VIRTIO_BIT(BP_VIRTIO_IN_ORDER) : 0;
    f |= v->notification_data ? BP_VIRTIO_BIT(BP_VIRTIO_NOTIFICATION_DATA) : 0;
    f |= v->queue_reset ? BP_VIRTIO_BIT(BP_VIRTIO_RING_RESET) : 0;
    return f & v->limit;
}

uint64_t virtio_offered(struct bp_virtio *v)
{
    uint64_t own = v->class->features;

    if (v->class->offer)
        own = v->class->offer(v->opaque, own) & own;
    return own | common_features(v);
}

static int negotiate(struct bp_virtio *v, bool legacy)
{
    uint64_t f = v->driver_features, ring = BP_VIRTIO_BIT(BP_VIRTIO_RING_PACKED) |
        BP_VIRTIO_BIT(BP_VIRTIO_IN_ORDER) | BP_VIRTIO_BIT(BP_VIRTIO_NOTIFICATION_DATA) |
        BP_VIRTIO_BIT(BP_VIRTIO_RING_RESET);
    int ret = 0;

    if (f & ~virtio_offered(v))
        return -EINVAL;
    if (!virtio_has(v, BP_VIRTIO_VERSION_1) && ((f & ring) || (!legacy && v->transport.modern_only)))
        return -EINVAL;
    if (v->iommu_platform && !legacy && !virtio_has(v, BP_VIRTIO_ACCESS_PLATFORM))
        return -EINVAL; /* 6.1: the device may insist */
    if (v->class->negotiated)
        ret = v->class->negotiated(v->opaque, f);
    for (unsigned i = 0; ret == 0 && i < v->count; i++)
        virtq_settle(v->queues[i]);
    return ret;
}

static void set_driver_features(struct bp_virtio *v, uint64_t features)
{
    if (v->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK)) {
        bp_guest_error("virtio-late-features", "%s: features are chosen after FEATURES_OK", v->class->name);
        return;
    }
    v->driver_features = features;
}

/* ---- reset ---- */
/* In the state of power-on; what is in flight may still end. */
static void reset(struct bp_virtio *v)
{
    set_running(v, false);
    forget_all(v);
    for (unsigned i = 0; i < v->count; i++)
        virtq_reset_registers(v->queues[i]);
    v->status = 0;
    v->driver_features = 0;
    v->broken = v->legacy = false;
    if (v->class->reset)
        v->class->reset(v->opaque);
    if (v->transport.reset)
        v->transport.reset(v->transport_opaque);
}

static void reset_ended(struct bp_virtq *q)
{
    q->resetting = false;
    if (q->enabled) /* a legacy driver set it up anew meanwhile */
        virtq_schedule(q);
    else
        virtq_reset_registers(q);
}

void virtio_orphan_ended(struct bp_virtio *v)
{
    bool over = --v->orphans == 0 && v->draining;

    v->draining = v->draining && !over;
    for (unsigned i = 0; i < v->count; i++) {
        struct bp_virtq *q = v->queues[i];

        if (q->resetting && q->orphans == 0)
            reset_ended(q);
        if (over && q->enabled)
            virtq_schedule(q);
    }
}

/* ---- status ---- */
static uint8_t status(struct bp_virtio *v)
{
    /* While requests of before the reset are in flight it has not ended. Drivers of other transports
     * don't wait for it: they are told so at once, and their queues are handled later. */
    if (v->draining && v->status == 0 && v->transport.waits_for_reset && !v->legacy)
        return STATUS_ACKNOWLEDGE;
    return v->status;
}

static void ring_all(struct bp_virtio *v)
{
    for (unsigned i = 0; i < v->count; i++) {
        if (v->queues[i]->enabled)
            virtq_schedule(v->queues[i]);
    }
}

static void start(struct bp_virtio *v)
{
    if (v->legacy && negotiate(v, true) < 0) {
        virtio_broken(v, "it uses features that were not offered");
        return;
    }
    if (!v->legacy && !(v->status & STATUS_FEATURES_OK)) {
        virtio_broken(v, "DRIVER_OK comes before FEATURES_OK");
        return;
    }
    set_running(v, true);
    ring_all(v);
}

static void set_status(struct bp_virtio *v, uint8_t value, bool legacy)
{
    uint8_t old = v->status, rises;

    if (value == 0) {
        reset(v);
        return;
    }
    v->legacy = legacy;
    value &= STATUS_WRITABLE;
    rises = value & (uint8_t)~old;
    if ((rises & STATUS_FEATURES_OK) && (legacy || negotiate(v, false) < 0))
        value &= (uint8_t)~STATUS_FEATURES_OK;
    v->status = value | (old & STATUS_NEEDS_RESET);
    if ((rises & STATUS_DRIVER_OK) && !v->broken && !v->running)
        start(v);
    else if (!(value & STATUS_DRIVER_OK) && (old & STATUS_DRIVER_OK))
        set_running(v, false);
}

/* Before 1.0 drivers used queues before DRIVER_OK. */
static void start_early(struct bp_virtio *v)
{
    if (v->legacy && !v->running && !v->broken && (v->status & STATUS_DRIVER))
        start(v);
}

/* ---- configuration space ---- */
static void bring_up_to_date(struct bp_virtio *v)
{
    if (v->class->config_read)
        v->class->config_read(v->opaque);
}

static uint64_t config_read(struct bp_virtio *v, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    bring_up_to_date(v);
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | (offset + i < v->config_size ? v->config[offset + i] : 0);
    return value;
}

static void config_write(struct bp_virtio *v, unsigned offset, unsigned size, uint64_t value)
{
    uint8_t old[BP_VIRTIO_MAX_CONFIG];

    if (offset >= v->config_size)
        return;
    if (size > v->config_size - offset)
        size = v->config_size - offset;
    memcpy(old, v->config, v->config_size);
    if (!v->class->config_written)
        return; /* nothing of it is writable */
    for (unsigned i = 0; i < size; i++, value >>= 8)
        v->config[offset + i] = (uint8_t)value;
    v->class->config_written(v->opaque, offset, size, old);
}

static void config_changed(struct bp_virtio *v)
{
    v->generation++;
    if (v->running)
        interrupt_config(v);
}

/* ---- queues, as registers show them ---- */
static uint16_t queue_max(struct bp_virtq *q)
{
    return q->initial;
}

static bool queue_enabled(struct bp_virtq *q)
{
    return q->enabled;
}

static bool queue_resetting(struct bp_virtq *q)
{
    return q->resetting;
}

static struct virtio_queue_setup queue_setup(struct bp_virtq *q)
{
    return (struct virtio_queue_setup){q->size, q->desc, q->driver, q->device};
}

static void set_queue(struct bp_virtq *q, const struct virtio_queue_setup *setup)
{
    if (q->enabled) {
        bp_guest_error("virtio-enabled-queue", "%s: a queue is set up while it is enabled",
                       q->virtio->class->name);
        return;
    }
    q->size = setup->size;
    q->desc = setup->desc;
    q->driver = setup->driver;
    q->device = setup->device;
}

static bool bad_size(const struct bp_virtq *q)
{
    return q->size == 0 || q->size > q->initial || (!q->packed && (q->size & (q->size - 1)));
}

static void enable(struct bp_virtq *q, bool legacy)
{
    struct bp_virtio *v = q->virtio;

    if (q->enabled || v->broken || (q->resetting && !legacy))
        return;
    virtq_settle(q);
    if (bad_size(q)) {
        virtio_broken(v, "a queue has an impossible size");
        return;
    }
    if ((q->desc & 15) || (q->driver & (q->packed ? 3 : 1)) || (q->device & 3)) {
        virtio_broken(v, "a part of a ring is not aligned");
        return;
    }
    if (!legacy && !(v->status & STATUS_FEATURES_OK)) {
        virtio_broken(v, "a queue is enabled before FEATURES_OK");
        return;
    }
    q->avail = q->avail_seen = q->used = 0;
    q->avail_wrap = q->used_wrap = true;
    q->event_valid = false;
    q->kicks = true;
    q->enabled = true;
    virtq_schedule(q);
}

static void disable(struct bp_virtq *q)
{
    struct bp_virtio *v = q->virtio;
    bool were = q->in_flight > 0;

    if (!q->enabled)
        return;
    virtq_forget(q);
    q->enabled = false;
    q->resetting = true;
    if (were && q->info.reset)
        q->info.reset(v->opaque, q);
    if (q->orphans == 0)
        virtq_reset_registers(q);
}

static void ring(struct bp_virtq *q)
{
    start_early(q->virtio);
    virtq_schedule(q);
}

/* A bell of a legacy transport may be the first use. */
static void rung(void *queue)
{
    struct bp_virtq *q = queue;

    start_early(q->virtio);
    virtq_handle(q);
}

static int bell(struct bp_virtq *q, struct bp_region *region, uint64_t offset, unsigned access_size,
                bool match_value, struct bp_error *err)
{
    const struct bp_doorbell_match match = {
        .size = sizeof(match), .offset = offset, .access_size = access_size,
        .flags = match_value ? BP_DOORBELL_MATCH_VALUE : 0, .value = match_value ? q->index : 0};
    struct bp_doorbell *made;
    int ret = bp_doorbell_new(bp_device_owner(q->virtio->dev), NULL, region, &match, rung, q, &made, err);

    if (ret == 0 && q->bell_count < VIRTQ_BELLS)
        q->bells[q->bell_count++] = made;
    return ret;
}

/* ---- life ---- */
static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_virtio *v = state;

    (void)err;
    v->dev = bp_device_from_object(obj);
    v->bells = bp_region_new_io(bp_device_owner(v->dev), "virtio-bells", BP_VIRTIO_MAX_QUEUES,
                                &(const struct bp_region_ops){.size = sizeof(struct bp_region_ops)}, v);
    return 0;
}

static int attached(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_virtio *v = state;

    if (!v->class)
        return bp_fail(err, EINVAL, "device type '%s' does not say what virtio device it is",
                       bp_object_type(obj));
    return 0;
}

static void fini(struct bp_object *obj, void *state)
{
    struct bp_virtio *v = state;

    (void)obj;
    for (unsigned i = 0; i < v->count; i++)
        virtq_free(v->queues[i]);
    free(v->queues);
    free(v->config);
    virtio_shared_leave(v);
}

static void device_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct bp_virtio *v = state;

    (void)dev, (void)scope;
    if (v->class)
        reset(v);
}

static const struct bp_field props[] = {
    BP_PROP("indirect_desc", BOOL, struct bp_virtio, indirect_desc, "on", "offers indirect descriptors"),
    BP_PROP("event_idx", BOOL, struct bp_virtio, event_idx, "on", "offers event indices"),
    BP_PROP("notify_on_empty", BOOL, struct bp_virtio, notify_on_empty, "on",
            "offers interrupts when a queue has become empty, to legacy drivers"),
    BP_PROP("any_layout", BOOL, struct bp_virtio, any_layout, "on",
            "offers any division of requests into descriptors, to legacy drivers"),
    BP_PROP("iommu_platform", BOOL, struct bp_virtio, iommu_platform, "off",
            "addresses go through the platform's IOMMU"),
    BP_PROP("packed", BOOL, struct bp_virtio, packed, "off", "offers packed rings"),
    BP_PROP("queue_reset", BOOL, struct bp_virtio, queue_reset, "on", "offers resets of single queues"),
    BP_PROP("in_order", BOOL, struct bp_virtio, in_order, "off", "offers to end requests in order"),
    BP_PROP("notification_data", BOOL, struct bp_virtio, notification_data, "off",
            "offers notifications that say how far the driver is"),
    BP_FIELDS_END,
};

BP_NOTE("provides=abstract:virtio;summary=Virtio device");
const struct bp_level_class virtio_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio",
             .parent = "device",
             .summary = "Virtio device", .state_size = sizeof(struct bp_virtio), .props = props,
             .state = &virtio_state},
    .attach = attach, .attached = attached, .fini = fini, .reset = device_reset};

/* ---- interfaces ---- */
static int setup(struct bp_device *dev, const struct bp_virtio_class *class, void *opaque,
                 struct bp_virtio **ret_virtio, struct bp_error *err)
{
    struct bp_virtio *v = bp_object_level(bp_device_object(dev), &virtio_level);

    if (!v || v->class)
        return bp_fail(err, EINVAL, "device type '%s' is no virtio device, or is set up twice",
                       bp_device_class(dev)->type.name);
    if (class->config_size > BP_VIRTIO_MAX_CONFIG)
        return bp_fail(err, EINVAL, "%s: %u bytes of configuration are too many", class->name,
                       class->config_size);
    v->config = calloc(1, class->config_size + 1u);
    if (!v->config)
        return bp_fail(err, ENOMEM, "%s: no memory for its configuration", class->name);
    v->config_size = class->config_size;
    v->class = class;
    v->opaque = opaque;
    v->limit = UINT64_MAX;
    *ret_virtio = v;
    return 0;
}

static int add_queue(struct bp_virtio *v, const struct bp_virtq_info *info, struct bp_virtq **ret_queue,
                     struct bp_error *err)
{
    struct bp_virtq *q = NULL, **more;
    int ret;

    if (v->count >= BP_VIRTIO_MAX_QUEUES)
        return bp_fail(err, EINVAL, "%s: more than %u queues", v->class->name, BP_VIRTIO_MAX_QUEUES);
    more = realloc(v->queues, (v->count + 1) * sizeof(*more));
    if (!more)
        return bp_fail(err, ENOMEM, "%s: no memory for a queue", v->class->name);
    v->queues = more;
    ret = virtq_new(v, info, &q, err);
    if (ret < 0)
        return ret;
    v->queues[v->count++] = q;
    *ret_queue = q;
    return 0;
}

static void set_vectors(struct bp_virtio *v, unsigned vectors)
{
    v->vectors = vectors;
}

static unsigned vectors(struct bp_virtio *v)
{
    return v->vectors ? v->vectors : v->count + 1;
}

static uint8_t *config(struct bp_virtio *v)
{
    return v->config;
}

static uint64_t features(struct bp_virtio *v)
{
    return v->driver_features;
}

static bool has(struct bp_virtio *v, unsigned bit)
{
    return virtio_has(v, bit);
}

static bool is_running(struct bp_virtio *v)
{
    return virtio_works(v);
}

static struct bp_device *device(struct bp_virtio *v)
{
    return v->dev;
}

static unsigned queues(struct bp_virtio *v)
{
    return v->count;
}

static struct bp_virtq *queue(struct bp_virtio *v, unsigned index)
{
    return index < v->count ? v->queues[index] : NULL;
}

static unsigned queue_index(struct bp_virtq *q)
{
    return q->index;
}

static void *queue_opaque(struct bp_virtq *q)
{
    return q->virtio->opaque;
}

static unsigned in_flight(struct bp_virtq *q)
{
    return q->in_flight;
}

static void limit(struct bp_virtio *v, uint64_t mask)
{
    v->limit = mask;
}

static void hold(struct bp_virtio *v)
{
    v->orphans++;
}

const struct bp_virtio_interface virtio_table = {
    .size = sizeof(struct bp_virtio_interface),
    .setup = setup,
    .add_queue = add_queue,
    .set_vectors = set_vectors,
    .config = config,
    .config_changed = config_changed,
    .features = features,
    .has = has,
    .is_running = is_running,
    .device = device,
    .queues = queues,
    .queue = queue,
    .index = queue_index,
    .opaque = queue_opaque,
    .pop = virtq_pop,
    .empty = virtq_empty,
    .push = virtq_push,
    .flush = virtq_flush,
    .complete = virtq_complete,
    .unpop = virtq_unpop,
    .drop = virtq_drop,
    .kicks = virtq_kicks,
    .schedule = virtq_schedule,
    .in_flight = in_flight,
    .enabled = queue_enabled,
    .broken = virtio_broken,
    .shared_context = virtio_shared_context,
    .read_memory = virtio_read_memory,
    .limit = limit,
    .ring = virtq_ring,
    .set_position = virtq_set_position,
    .interrupt = virtq_interrupt, .interrupt_fd = virtq_interrupt_fd, .kick_fd = virtq_kick_fd,
    .hold = hold,
    .release = virtio_orphan_ended,
};

static struct bp_virtio *of(struct bp_device *dev)
{
    struct bp_virtio *v = bp_object_level(bp_device_object(dev), &virtio_level);

    return v && v->class ? v : NULL;
}

static const struct bp_virtio_class *class_of(struct bp_virtio *v)
{
    return v->class;
}

static void bind(struct bp_virtio *v, const struct virtio_transport *ops, void *opaque)
{
    v->transport = *ops;
    v->transport_opaque = opaque;
}

static void unbind(struct bp_virtio *v)
{
    v->running = false;
    v->transport = (struct virtio_transport){0};
}

static uint64_t driver_features(struct bp_virtio *v)
{
    return v->driver_features;
}

static uint8_t generation(struct bp_virtio *v)
{
    bring_up_to_date(v);
    return v->generation;
}

static uint32_t config_size(struct bp_virtio *v)
{
    return v->config_size;
}

const struct virtio_transport_interface virtio_transport_table = {
    .size = sizeof(struct virtio_transport_interface),
    .of = of,
    .class = class_of,
    .bind = bind,
    .unbind = unbind,
    .vectors = vectors,
    .offered = virtio_offered,
    .driver_features = driver_features,
    .set_driver_features = set_driver_features,
    .status = status,
    .set_status = set_status,
    .generation = generation,
    .config_read = config_read,
    .config_write = config_write,
    .config_size = config_size,
    .queue = queue,
    .queue_index = queue_index,
    .queue_max = queue_max,
    .queue_enabled = queue_enabled,
    .queue_resetting = queue_resetting,
    .queue_setup = queue_setup,
    .set_queue = set_queue,
    .enable = enable,
    .disable = disable,
    .bell = bell,
    .ring = ring,
    .ring_all = ring_all,
};
