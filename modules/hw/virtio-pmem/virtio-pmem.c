/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent memory device (Virtual I/O Device 1.2, 5.19): a memory back end among the guest's addresses
 * (-m maxmem=), and a queue of flushes, each of which ends when the back end's file is on its medium. A coroutine
 * waits for that; the device's context does not.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/host/virtio.h>
#include <bp/memory-device.h>
#include <bp/ram.h>
#include <bp/value.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);

#define FLUSH 0u

struct vpmem {
    struct bp_object *memdev;
    uint64_t memaddr; /* wanted, then had */
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *queue;
    struct bp_region *ram;
    struct bp_virtq_request *current;
    bool busy; /* a coroutine works on the queue */
    int fd;    /* of the memory, borrowed; -1: none */
    int result;
};

static void sync_file(void *opaque)
{
    struct vpmem *s = opaque;

    s->result = s->fd < 0 || fdatasync(s->fd) == 0 ? 0 : -errno;
}

/* The next request; NULL: there is none, and handle() is called for the next one. [locked] */
static struct bp_virtq_request *next(struct vpmem *s)
{
    struct bp_virtq_request *r = NULL;

    while (s->virtio && virtio->is_running(s->virtio) && !(r = virtio->pop(s->queue))) {
        if (!virtio->kicks(s->queue, true))
            break;
    }
    return r;
}

static void work(void *opaque)
{
    struct vpmem *s = opaque;

    for (;;) {
        uint32_t type = UINT32_MAX, answer;

        bp_device_lock(s->dev);
        s->current = next(s);
        s->busy = s->current != NULL;
        if (s->current)
            bp_virtq_read(s->current, 0, &type, sizeof(type));
        bp_device_unlock(s->dev);
        if (!s->busy)
            return;
        s->result = -EINVAL;
        if (le32toh(type) == FLUSH)
            bp_co_worker(sync_file, s);
        answer = htole32(s->result ? UINT32_MAX : 0); /* -1: the flush failed */
        bp_device_lock(s->dev);
        if (s->current) /* else a reset took it away */
            virtio->complete(s->queue, s->current, bp_virtq_write(s->current, 0, &answer, sizeof(answer)));
        s->current = NULL;
        bp_device_unlock(s->dev);
    }
}

static bool handle(void *opaque, struct bp_virtq *queue)
{
    struct vpmem *s = opaque;
    struct bp_error err = {0};
    struct bp_co *co;

    (void)queue;
    if (s->busy)
        return false;
    if (bp_co_new(bp_device_owner(s->dev), bp_device_context(s->dev), "virtio-pmem", work, s, &co, &err) < 0) {
        virtio->broken(s->virtio, "the host has no stack for a flush");
        return false;
    }
    s->busy = true;
    bp_co_wake(co);
    bp_co_unref(co);
    return false;
}

static void let_go(struct vpmem *s)
{
    if (s->current)
        virtio->drop(s->queue, s->current);
    s->current = NULL;
}

static void reset(void *opaque)
{
    let_go(opaque);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    let_go(opaque);
}

static const struct bp_virtio_class class = {.size = sizeof(class), .id = 27, .config_size = 16, .name = "virtio-pmem",
                                             .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .reset = reset};
static const struct bp_virtq_info queue_info = {.size = sizeof(queue_info), .entries = 128, .handle = handle,
                                                .reset = reset_queue};

/* ---- life ---- */

static void describe(struct bp_device *dev, struct bp_value *info);

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct vpmem *s = state;
    struct bp_memory_device what = {.size = sizeof(what), .type = "virtio-pmem", .addr = s->memaddr, .slot = -1,
                                    .describe = describe};
    uint64_t config[2], offset;
    int ret;

    s->dev = bp_device_from_object(obj);
    if (!s->memdev)
        return bp_fail(err, EINVAL, "'memdev' property is not set: virtio-pmem takes the id of an -object "
                       "memory-backend-file (with share=on, to keep what is written)");
    ret = bp_ram_take(bp_object_id(s->memdev), bp_device_owner(s->dev), "virtio-pmem", &s->ram, err);
    if (ret < 0)
        return ret;
    s->fd = bp_region_fd(s->ram, &offset);
    what.plugged = bp_region_size(s->ram);
    ret = bp_memory_device_claim(s->dev, s->ram, &what, &s->memaddr, NULL, err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &queue_info, &s->queue, err);
    if (ret < 0)
        return ret;
    config[0] = htole64(s->memaddr);
    config[1] = htole64(bp_region_size(s->ram));
    memcpy(virtio->config(s->virtio), config, sizeof(config));
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct vpmem *s = state;

    (void)obj;
    if (s->virtio)
        let_go(s);
    s->virtio = NULL;
}

static const struct bp_field props[] = {
    BP_PROP_LINK("memdev", "memory-backend", struct vpmem, memdev, "back end that is its memory"),
    BP_PROP("memaddr", UINT64, struct vpmem, memaddr, "0", "where it lies; 0: the first place that is free"),
    BP_FIELDS_END};

static const struct bp_level_class vpmem = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-pmem-base",
             .summary = "Persistent memory device", .state_size = sizeof(struct vpmem), .props = props},
    .attach = attach, .detach = detach};

static void describe(struct bp_device *dev, struct bp_value *info)
{
    const struct vpmem *s = bp_object_level(bp_device_object(dev), &vpmem);

    bp_value_set(info, "memdev", bp_value_string(bp_object_path(s->memdev)));
}

BP_VIRTIO_NAMES(pmem, "virtio-pmem", 0x0500, "Persistent memory device", &vpmem, .category = "storage");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), {0}};
BP_MODULE("hw-virtio-pmem", "Virtio persistent memory device", imports, {BP_PROVIDE_DEVICE, &pmem_pci},
          {BP_PROVIDE_DEVICE, &pmem_device});
