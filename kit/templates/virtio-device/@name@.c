/* SPDX-License-Identifier: MIT */
/* @name@: what it is, which specification it follows, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/host/virtio.h>

/* Gives each request's bytes back, added to a key that the driver may set. */
#define TYPE 0x3fu /* of virtio devices: use one that is assigned to you */
#define CHUNK 256u
enum { CFG_KEY = 0, CFG_SIZE = 4 };

struct @ident@ {
    struct bp_virtio *virtio;
    struct bp_virtq *queue;
    uint8_t start;
};

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);

static const struct bp_field @ident@_props[] = {
    BP_PROP("start", UINT8, struct @ident@, start, "1", "key after a reset"),
    BP_FIELDS_END};

/* One request: what the driver gives is read into memory of our own before anything depends on it. */
static uint64_t @ident@_answer(struct @ident@ *s, const struct bp_virtq_request *r)
{
    uint8_t key = virtio->config(s->virtio)[CFG_KEY], buf[CHUNK];
    uint64_t at = 0, n;

    while ((n = bp_virtq_read(r, at, buf, sizeof(buf))) > 0) {
        for (uint64_t i = 0; i < n; i++)
            buf[i] = (uint8_t)(buf[i] + key);
        at += bp_virtq_write(r, at, buf, n);
        if (at >= r->in_bytes)
            break;
    }
    return at;
}

/* In the device's context, under its lock and without the machine lock. */
static bool @ident@_handle(void *opaque, struct bp_virtq *queue)
{
    struct @ident@ *s = opaque;
    struct bp_virtq_request *r;

    while ((r = virtio->pop(queue)))
        virtio->push(queue, r, @ident@_answer(s, r));
    virtio->flush(queue);
    return true;
}

/* Other bytes than the key are not writable: `old` has them. */
static void @ident@_config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct @ident@ *s = opaque;

    for (unsigned i = CFG_KEY + 1; i < CFG_SIZE; i++)
        virtio->config(s->virtio)[i] = old[i];
}

static void @ident@_reset(void *opaque)
{
    struct @ident@ *s = opaque;

    virtio->config(s->virtio)[CFG_KEY] = s->start;
}

static const struct bp_virtio_class @ident@_class = {
    .size = sizeof(@ident@_class), .id = TYPE, .name = "@name@", .config_size = CFG_SIZE,
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .config_written = @ident@_config_written, .reset = @ident@_reset};
static const struct bp_virtq_info @ident@_queue = {
    .size = sizeof(@ident@_queue), .entries = 64, .handle = @ident@_handle};

static int @ident@_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct @ident@ *s = state;
    int r = virtio->setup(bp_device_from_object(obj), &@ident@_class, s, &s->virtio, err);

    return r < 0 ? r : virtio->add_queue(s->virtio, &@ident@_queue, &s->queue, err);
}

/* Described once; the names that users give are for PCI and for MMIO. Rings, registers and what is saved of them
 * (configuration space too) are the framework's; state of your own goes into a bp_state_table here. */
static const struct bp_level_class @ident@_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE,
             .name = "@name@-base", .summary = "One line of help", .state_size = sizeof(struct @ident@), .props = @ident@_props},
    .attach = @ident@_attach};
BP_VIRTIO_NAMES(@ident@, "@name@", 0x00ff, "One line of help", &@ident@_level, .category = "misc");

static const struct bp_import @ident@_imports[] = {BP_IMPORT(virtio, "virtio", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@_pci},
          {BP_PROVIDE_DEVICE, &@ident@_device});
