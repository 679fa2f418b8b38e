// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Block device (Virtual I/O Device 1.2, 5.2) on the block framework: several queues, flush, discard, write
 * zeroes. Left out: secure erase, lifetime, zones, the legacy SCSI commands and barriers. Without
 * iothread= it works in the machine's I/O context.
 */
#include <errno.h>
#include <string.h>

#include <bp/run.h>

#include "virtio-blk.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_virtio_interface *vblk_virtio;
const struct bp_block_interface *vblk_block;

#define AUTO_QUEUES 65535u
#define MAX_QUEUES 1024u
#define MOST_SECTORS 4194303u /* what a request of the block layer takes at most, in sectors of 512 */

/* ---- configuration ---- */
static void put(uint8_t *to, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++, value >>= 8)
        to[i] = (uint8_t)value;
}

static void show_capacity(struct vblk *s)
{
    int64_t length = block->length(s->blk);

    put(virtio->config(s->virtio) + CFG_CAPACITY, 8, length > 0 ? (uint64_t)length / SECTOR : 0);
}

static unsigned log2_of(uint32_t n)
{
    return n ? 31u - (unsigned)__builtin_clz(n) : 0;
}

static void fill_config(struct vblk *s)
{
    uint8_t *c = virtio->config(s->virtio);
    const struct bp_blk_conf *conf = &s->conf;
    uint32_t block_size = conf->logical_block_size, align = conf->discard_granularity;

    if (!s->report_granularity || align == 0 || align == UINT32_MAX)
        align = block_size;
    show_capacity(s);
    put(c + CFG_SEG_MAX, 4, s->seg_max_adjust ? s->queue_size - 2u : 126);
    put(c + CFG_GEOMETRY, 2, conf->cyls);
    c[CFG_GEOMETRY + 2] = (uint8_t)conf->heads;
    c[CFG_GEOMETRY + 3] = (uint8_t)conf->secs;
    put(c + CFG_BLK_SIZE, 4, block_size);
    c[CFG_TOPOLOGY] = (uint8_t)(log2_of(conf->physical_block_size) - log2_of(block_size));
    put(c + CFG_TOPOLOGY + 2, 2, conf->min_io_size / block_size);
    put(c + CFG_TOPOLOGY + 4, 4, conf->opt_io_size / block_size);
    c[CFG_WCE] = block->write_cache(s->blk);
    put(c + CFG_NUM_QUEUES, 2, s->num_queues);
    put(c + CFG_DISCARD, 4, s->discard ? s->max_discard : 0);
    put(c + CFG_DISCARD + 4, 4, s->discard);
    put(c + CFG_DISCARD + 8, 4, s->discard ? align / SECTOR : 0);
    put(c + CFG_WRITE_ZEROES, 4, s->write_zeroes ? s->max_zeroes : 0);
    put(c + CFG_WRITE_ZEROES + 4, 4, s->write_zeroes);
    c[CFG_WRITE_ZEROES + 8] = 1; /* may unmap */
}

static uint64_t offer(void *opaque, uint64_t features)
{
    const struct vblk *s = opaque;
    uint64_t without = 0;

    without |= block->writable(s->blk) ? BP_VIRTIO_BIT(F_RO) : 0;
    without |= s->config_wce ? 0 : BP_VIRTIO_BIT(F_CONFIG_WCE);
    without |= s->num_queues > 1 ? 0 : BP_VIRTIO_BIT(F_MQ);
    without |= s->discard ? 0 : BP_VIRTIO_BIT(F_DISCARD);
    without |= s->write_zeroes ? 0 : BP_VIRTIO_BIT(F_WRITE_ZEROES);
    return features & ~without;
}

static void show_cache(struct vblk *s, bool on)
{
    block->set_write_cache(s->blk, on);
    virtio->config(s->virtio)[CFG_WCE] = on;
}

/* 5.2.6.2: a driver that knows neither FLUSH nor the switch gets no volatile cache. */
static int negotiated(void *opaque, uint64_t features)
{
    struct vblk *s = opaque;

    if (!(features & (BP_VIRTIO_BIT(F_FLUSH) | BP_VIRTIO_BIT(F_CONFIG_WCE))))
        show_cache(s, false);
    return 0;
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct vblk *s = opaque;
    uint8_t *c = virtio->config(s->virtio);
    uint8_t wanted = c[CFG_WCE];

    memcpy(c, old, CFG_SIZE);
    if (offset <= CFG_WCE && offset + size > CFG_WCE && virtio->has(s->virtio, F_CONFIG_WCE))
        show_cache(s, wanted != 0);
}

static void reset(void *opaque)
{
    struct vblk *s = opaque;

    vblk_cancel_all(s, NULL);
    show_cache(s, s->write_cache);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    vblk_cancel_all(opaque, queue);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 2, .name = "virtio-blk", .config_size = CFG_SIZE,
    .features = BP_VIRTIO_BIT(F_SEG_MAX) | BP_VIRTIO_BIT(F_GEOMETRY) | BP_VIRTIO_BIT(F_RO) |
        BP_VIRTIO_BIT(F_BLK_SIZE) | BP_VIRTIO_BIT(F_FLUSH) | BP_VIRTIO_BIT(F_TOPOLOGY) |
        BP_VIRTIO_BIT(F_CONFIG_WCE) | BP_VIRTIO_BIT(F_MQ) | BP_VIRTIO_BIT(F_DISCARD) |
        BP_VIRTIO_BIT(F_WRITE_ZEROES),
    .offer = offer, .negotiated = negotiated, .config_written = config_written, .reset = reset};

/* ---- what the block layer says: on the main thread, under the machine lock ---- */
static void resized(void *opaque)
{
    struct vblk *s = opaque;

    if (!s->virtio)
        return;
    bp_device_lock(s->dev);
    show_capacity(s);
    virtio->config_changed(s->virtio);
    bp_device_unlock(s->dev);
}

static const struct bp_blk_ops ops = {.size = sizeof(ops), .flags = BP_BLK_READ_ONLY_OK, .resized = resized};

/* ---- draining ---- */
static void drain_begin(void *opaque)
{
    ((struct vblk *)opaque)->drained = true;
}

static bool busy(void *opaque)
{
    const struct vblk *s = opaque;

    return s->blk && (block->in_flight(s->blk) > 0 || s->waiting);
}

static void drain_end(void *opaque)
{
    struct vblk *s = opaque;

    s->drained = false;
    for (unsigned i = 0; s->virtio && i < virtio->queues(s->virtio); i++)
        virtio->schedule(virtio->queue(s->virtio, i));
}

static const struct bp_participant_ops participant_ops = {
    .size = sizeof(participant_ops), .drain_begin = drain_begin, .busy = busy, .drain_end = drain_end};

/* ---- life ---- */
static int check(struct vblk *s, const char *type, struct bp_error *err)
{
    if (s->num_queues == AUTO_QUEUES)
        s->num_queues = (uint16_t)bp_machine_cpus(bp_device_machine(s->dev));
    if (s->num_queues == 0 || s->num_queues > MAX_QUEUES)
        return bp_fail(err, EINVAL, "%s: num-queues=%u: 1 to %u are possible", type, s->num_queues, MAX_QUEUES);
    if (s->queue_size < 4 || s->queue_size > BP_VIRTQ_MAX_SIZE || (s->queue_size & (s->queue_size - 1)))
        return bp_fail(err, EINVAL, "%s: queue-size=%u: powers of two from 4 to %u are possible", type,
                       s->queue_size, BP_VIRTQ_MAX_SIZE);
    if (s->serial && strlen(s->serial) > ID_SIZE)
        return bp_fail(err, EINVAL, "%s: serial=%s: at most %u characters", type, s->serial, ID_SIZE);
    if (s->max_discard == 0 || s->max_discard > MOST_SECTORS || s->max_zeroes == 0 || s->max_zeroes > MOST_SECTORS)
        return bp_fail(err, EINVAL, "%s: max-discard-sectors and max-write-zeroes-sectors are from 1 to %u", type,
                       MOST_SECTORS);
    if (!(s->conf.drive && *s->conf.drive))
        return bp_fail(err, EINVAL, "%s: property 'drive' is missing: which disk does it show?", type);
    return 0;
}

static int open_disk(struct vblk *s, const char *type, struct bp_error *err)
{
    struct bp_context *ctx;
    int64_t length;
    int ret = 0;

    if (!s->iothread) {
        ret = virtio->shared_context(s->virtio, &ctx, err);
        if (ret == 0)
            bp_device_set_context(s->dev, ctx);
    }
    if (ret == 0)
        ret = block->open(s->dev, bp_device_owner(s->dev), NULL, &s->conf, &ops, s, &s->blk, err);
    if (ret < 0)
        return ret;
    ret = block->conf_complete(s->blk, &s->conf, err);
    if (ret == 0)
        ret = block->geometry(s->blk, &s->conf, 65535, 255, 255, err);
    length = block->length(s->blk);
    if (ret == 0 && length < 0)
        ret = bp_fail(err, (int)-length, "%s: the length of '%s': %s", type, block->name(s->blk),
                      strerror((int)-length));
    if (ret == 0 && !s->serial && block->serial(s->blk))
        s->serial = bp_strdup(block->serial(s->blk));
    s->write_cache = block->write_cache(s->blk);
    return ret;
}

static int add_queues(struct vblk *s, struct bp_error *err)
{
    const struct bp_virtq_info info = {.size = sizeof(info), .entries = s->queue_size, .own_size = sizeof(struct job),
                                       .handle = vblk_handle, .reset = reset_queue};
    struct bp_virtq *queue;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < s->num_queues; i++)
        ret = virtio->add_queue(s->virtio, &info, &queue, err);
    return ret;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct vblk *s = state;
    const char *type = bp_object_type(obj);
    int ret;

    vblk_virtio = virtio;
    vblk_block = block;
    s->dev = bp_device_from_object(obj);
    s->waiting_tail = &s->waiting;
    ret = check(s, type, err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = open_disk(s, type, err);
    if (ret == 0)
        ret = add_queues(s, err);
    if (ret < 0) {
        block->close(s->blk);
        s->blk = NULL;
        s->virtio = NULL;
        return ret;
    }
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-blk", bp_device_id(s->dev), 0);
    s->submit = bp_deferred_new(s->main, NULL, vblk_submit_waiting, s);
    s->participant = bp_participant_new(bp_device_owner(s->dev), &participant_ops, s);
    fill_config(s);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct vblk *s = state;

    (void)obj;
    if (!s->blk)
        return;
    block->close(s->blk);
    s->blk = NULL;
    vblk_forget_all(s);
    s->virtio = NULL;
}

static const struct bp_field props[] = {
    BP_BLK_PROPS(struct vblk, conf),
    BP_BLK_GEOMETRY_PROPS(struct vblk, conf),
    BP_PROP_BOOTINDEX(struct vblk, conf.bootindex),
    BP_PROP_IOTHREAD("iothread", struct vblk, iothread),
    BP_PROP("serial", STRING, struct vblk, serial, NULL,
            "serial number, up to 20 characters; as -drive says when not given"),
    BP_PROP("num-queues", UINT16, struct vblk, num_queues, "65535", "queues; 65535: one for each processor"),
    BP_PROP("queue-size", UINT16, struct vblk, queue_size, "256", "entries of each queue, a power of two"),
    BP_PROP("seg-max-adjust", BOOL, struct vblk, seg_max_adjust, "on",
            "requests may have as many parts as a queue has entries"),
    BP_PROP("config-wce", BOOL, struct vblk, config_wce, "on", "the driver may switch the write cache"),
    BP_PROP("discard", BOOL, struct vblk, discard, "on", "offers discard"),
    BP_PROP("write-zeroes", BOOL, struct vblk, write_zeroes, "on", "offers writing of zeroes"),
    BP_PROP("report-discard-granularity", BOOL, struct vblk, report_granularity, "on",
            "tells discard_granularity; off: that of sectors"),
    BP_PROP("max-discard-sectors", UINT32, struct vblk, max_discard, "4194303", "most sectors of one discard"),
    BP_PROP("max-write-zeroes-sectors", UINT32, struct vblk, max_zeroes, "4194303",
            "most sectors of one writing of zeroes"),
    BP_FIELDS_END,
};

static const struct bp_level_class vblk_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-blk-base",
             .summary = "Virtio disk", .state_size = sizeof(struct vblk), .props = props},
    .attach = attach, .detach = detach};

BP_VIRTIO_TRANSITIONAL_NAMES(disk, "virtio-blk", 0x0100, "Virtio disk", &vblk_level, .category = "storage",
                             .boot_suffix = "disk@0,0");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("hw-virtio-blk", "Virtio disk", imports, {BP_PROVIDE_DEVICE, &disk_pci},
          {BP_PROVIDE_DEVICE, &disk_transitional}, {BP_PROVIDE_DEVICE, &disk_modern},
          {BP_PROVIDE_DEVICE, &disk_device});
