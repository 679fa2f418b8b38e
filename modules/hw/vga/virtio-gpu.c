/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtio GPU (Virtual I/O Device 1.2, 5.7): pictures that the driver draws in memory of its own and has copied into
 * resources here, scan-outs, a pointer, EDID. Requests are taken on the main loop, since consoles live there. Left out:
 * 3D (virgl), blobs; saving while a driver has resources.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vga.h"
#include "virtio-gpu.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(display, struct bp_display_interface, "display", 1);
BP_USE(pci, struct bp_pci_interface, "pci", 1);
const struct bp_pci_interface *const *const gpu_pci_bus = &pci;
const struct bp_virtio_interface *const *const gpu_virtio = &virtio;
const struct bp_display_interface *const *const gpu_display = &display;

#define F_EDID 1u
enum { CFG_EVENTS_READ = 0, CFG_EVENTS_CLEAR = 4, CFG_SCANOUTS = 8, CFG_SIZE = 16 };
#define EVENT_DISPLAY 1u

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* ---- queues ---- */

/* True: there is more, which is for the next turn. */
static bool take(struct virtio_gpu *s, struct bp_virtq *queue)
{
    struct bp_virtq_request *r;
    unsigned n = 0;

    while (n++ < 64 && s->moved < GPU_TURN && (r = virtio->pop(queue))) {
        uint64_t written = 0;

        if (queue == s->control)
            written = gpu_request(s, r);
        else
            gpu_cursor_request(s, r);
        virtio->push(queue, r, written);
    }
    virtio->flush(queue);
    return n > 64 || s->moved >= GPU_TURN || virtio->kicks(queue, true);
}

static void work(void *opaque)
{
    struct virtio_gpu *s = opaque;
    bool more = false;

    bp_device_lock(s->dev);
    if (s->reset_due)
        gpu_forget_all(s);
    s->reset_due = false;
    s->moved = 0;
    more |= take(s, s->cursor); /* first: it moves little, and waits for no picture */
    more |= take(s, s->control);
    bp_device_unlock(s->dev);
    if (more)
        bp_deferred_schedule(s->work);
}

static bool handle(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    bp_deferred_schedule(((struct virtio_gpu *)opaque)->work);
    return false;
}

static void reset(void *opaque)
{
    struct virtio_gpu *s = opaque;

    s->reset_due = true;
    put32(virtio->config(s->virtio) + CFG_EVENTS_READ, 0);
    bp_deferred_schedule(s->work);
}

/* ---- configuration ---- */

static uint64_t offer(void *opaque, uint64_t features)
{
    const struct virtio_gpu *s = opaque;

    return s->edid ? features : features & ~BP_VIRTIO_BIT(F_EDID);
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct virtio_gpu *s = opaque;
    uint8_t *config = virtio->config(s->virtio);
    uint32_t clear = get32(config + CFG_EVENTS_CLEAR);

    (void)offset;
    (void)size;
    memcpy(config, old, CFG_SIZE);
    put32(config + CFG_EVENTS_READ, get32(old + CFG_EVENTS_READ) & ~clear);
}

/* ---- consoles ---- */

int gpu_wish(void *opaque, const struct bp_ui_info *info)
{
    struct gpu_scanout *out = opaque;
    struct virtio_gpu *s = out->gpu;
    uint8_t *config;

    if (!info->width || !info->height)
        return 0;
    bp_device_lock(s->dev);
    if (out->width != info->width || out->height != info->height) {
        out->width = info->width;
        out->height = info->height;
        config = virtio->config(s->virtio);
        put32(config + CFG_EVENTS_READ, get32(config + CFG_EVENTS_READ) | EVENT_DISPLAY);
        virtio->config_changed(s->virtio);
    }
    bp_device_unlock(s->dev);
    return 0;
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops), .ui_info = gpu_wish};

/* ---- life ---- */

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 16, .name = "virtio-gpu", .config_size = CFG_SIZE, .features = BP_VIRTIO_BIT(F_EDID),
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .offer = offer, .config_written = config_written, .reset = reset};
static const struct bp_virtq_info control_queue = {.size = sizeof(control_queue), .entries = 256, .handle = handle};
static const struct bp_virtq_info cursor_queue = {.size = sizeof(cursor_queue), .entries = 16, .handle = handle};

int gpu_attach(struct bp_object *obj, struct virtio_gpu *s, unsigned first, struct bp_error *err)
{
    int ret;

    s->dev = bp_device_from_object(obj);
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &control_queue, &s->control, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &cursor_queue, &s->cursor, err);
    if (ret < 0)
        return ret;
    put32(virtio->config(s->virtio) + CFG_SCANOUTS, s->max_outputs);
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-gpu", bp_device_id(s->dev), 0);
    s->work = bp_deferred_new(s->main, NULL, work, s);
    s->scanouts[0].width = s->xres;
    s->scanouts[0].height = s->yres;
    for (unsigned i = 0; i < s->max_outputs; i++)
        s->scanouts[i].gpu = s;
    for (unsigned i = first; i < s->max_outputs && ret == 0; i++)
        ret = display->console_new(obj, i, &console_ops, &s->scanouts[i], &s->scanouts[i].console, err);
    return ret;
}

void gpu_detach(struct virtio_gpu *s)
{
    gpu_forget_all(s);
    for (unsigned i = 0; i < s->max_outputs; i++) {
        display->console_free(s->scanouts[i].console);
        s->scanouts[i].console = NULL;
    }
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    int ret = gpu_attach(obj, state, 0, err);

    if (ret < 0)
        gpu_detach(state);
    return ret;
}

static void detach(struct bp_object *obj, void *state)
{
    (void)obj;
    gpu_detach(state);
}

int gpu_before_save(void *state, struct bp_error *err)
{
    const struct virtio_gpu *s = state;

    if (s->count && !s->reset_due)
        return bp_fail(err, ENOTSUP, "virtio-gpu: pictures that its driver has here are not part of a saved state: "
                       "it can be saved before a driver starts, or with another display device (-vga std)");
    return 0;
}

static const struct bp_state_field fields[] = {BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .before_save = gpu_before_save};

static const struct bp_field props[] = {
    BP_PROP_RANGE("max_outputs", UINT32, struct virtio_gpu, max_outputs, "1", 1, GPU_SCANOUTS, "screens"),
    BP_PROP("max_hostmem", SIZE, struct virtio_gpu, max_hostmem, "256M",
            "bytes that all resources and what is shown may take"),
    BP_PROP("edid", BOOL, struct virtio_gpu, edid, "on", "monitors describe themselves"),
    BP_PROP_RANGE("xres", UINT32, struct virtio_gpu, xres, "1280", 16, 16000, "preferred width in pixels"),
    BP_PROP_RANGE("yres", UINT32, struct virtio_gpu, yres, "800", 16, 12000, "preferred height in pixels"),
    BP_FIELDS_END};

static const struct bp_level_class gpu = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-gpu-base",
             .summary = "Virtio GPU", .state_size = sizeof(struct virtio_gpu), .props = props,
             .state = &table},
    .attach = attach, .detach = detach};
BP_VIRTIO_NAMES(gpu, "virtio-gpu", 0x0380, "Virtio GPU", &gpu, .category = "display", .replaces_default = "vga");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(virtio, "virtio", 1, 1), BP_IMPORT(display, "display", 1),
                                           BP_IMPORT_MINOR(pci, "pci", 1, 1), {0}};
BP_MODULE("hw-virtio-gpu", "Virtio GPU", imports, {BP_PROVIDE_DEVICE, &gpu_pci}, {BP_PROVIDE_DEVICE, &gpu_device},
          {BP_PROVIDE_DEVICE, &virtio_vga});
