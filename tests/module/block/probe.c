/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk for tests: what is written to its ports becomes a request. Port base+0: operation (0 read, 1 write,
 * 2 flush, 3 discard, 4 zeroes) starts it; base+4: first sector; base+8: sectors, at most 128; base+12: the word
 * that a write repeats. Reads: base+0 requests that have not ended; base+4 errno of the last one that
 * ended; base+8 the first word of the last read; base+12 how many have ended. Works off the machine lock,
 * in an I/O thread when told to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/device.h>
#include <bp/host/block.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(block, "block", 1), {0}};

struct probe {
    struct bp_blk_conf conf;
    struct bp_object *iothread;
    struct bp_participant *participant;
    struct bp_blk *blk;
    uint32_t iobase, sector, sectors, word;
    uint32_t flying, error, first, ended;
    bool removable, open, locked;
};

struct flight {
    struct probe *s;
    enum bp_block_op op;
    struct iovec iov;
    uint32_t buf[];
};

static void done(void *opaque, int ret)
{
    struct flight *f = opaque;
    struct probe *s = f->s;

    s->flying--;
    s->ended++;
    s->error = (uint32_t)-ret;
    if (f->op == BP_BLOCK_READ)
        s->first = f->buf[0];
    free(f);
    bp_participant_idle(s->participant);
}

static void start(struct probe *s, uint32_t op)
{
    size_t bytes = s->sectors * 512u;
    bool data = op == BP_BLOCK_READ || op == BP_BLOCK_WRITE;
    struct flight *f = calloc(1, sizeof(*f) + (data ? bytes : 0));
    struct bp_block_request req = {.size = sizeof(req), .offset = s->sector * UINT64_C(512), .bytes = bytes};

    if (!f || op > BP_BLOCK_WRITE_ZEROES) {
        free(f);
        return;
    }
    f->s = s;
    f->op = (enum bp_block_op)op;
    f->iov = (struct iovec){f->buf, bytes};
    for (size_t i = 0; data && i < bytes / 4; i++)
        f->buf[i] = s->word;
    req.iov = data ? &f->iov : NULL;
    req.iov_count = data ? 1 : 0;
    s->flying++;
    block->submit(s->blk, f->op, op == BP_BLOCK_FLUSH ? NULL : &req, done, f);
}

static void probe_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct probe *s = opaque;

    (void)size;
    switch (addr) {
    case 0:
        start(s, (uint32_t)value);
        break;
    case 4:
        s->sector = (uint32_t)value;
        break;
    case 8:
        s->sectors = (uint32_t)value > 128 ? 128 : (uint32_t)value;
        break;
    case 12:
        s->word = (uint32_t)value;
        break;
    case 16:
        s->locked = value & 1;
        if (s->open != (value >> 1 & 1)) {
            s->open = value >> 1 & 1;
            block->tray(s->blk, s->open);
        }
        break;
    }
}

static uint64_t probe_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct probe *s = opaque;
    const uint32_t values[] = {s->flying, s->error, s->first, s->ended};

    (void)size;
    return addr / 4 < 4 ? values[addr / 4] : (uint64_t)s->locked | (uint64_t)s->open << 1;
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = probe_read, .write = probe_write,
                                         .min_access = 4, .max_access = 4};

static bool busy(void *opaque)
{
    const struct probe *s = opaque;

    return block->in_flight(s->blk) > 0;
}

static const struct bp_participant_ops participant_ops = {.size = sizeof(participant_ops), .busy = busy};

static bool tray_open(void *opaque)
{
    return ((struct probe *)opaque)->open;
}

static bool medium_locked(void *opaque)
{
    return ((struct probe *)opaque)->locked;
}

static void media_changed(void *opaque, bool loaded)
{
    struct probe *s = opaque;

    s->open = !loaded;
    block->tray(s->blk, s->open);
}

static const struct bp_blk_ops fixed = {.size = sizeof(fixed)};
static const struct bp_blk_ops removable = {
    .size = sizeof(removable), .flags = BP_BLK_REMOVABLE, .media_changed = media_changed,
    .tray_open = tray_open, .medium_locked = medium_locked};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct probe *s = bp_device_state(dev);
    int ret = isa->add_ports(dev, (uint16_t)s->iobase, 32, "disk-probe", &ops, s, NULL, err);

    if (ret < 0)
        return ret;
    ret = block->open(dev, NULL, NULL, &s->conf, s->removable ? &removable : &fixed, s, &s->blk, err);
    if (ret == 0)
        ret = block->conf_complete(s->blk, &s->conf, err);
    if (ret < 0) {
        block->close(s->blk);
        return ret;
    }
    s->sectors = 1;
    s->participant = bp_participant_new(bp_device_owner(dev), &participant_ops, s);
    return 0;
}

static void detach(struct bp_device *dev)
{
    block->close(((struct probe *)bp_device_state(dev))->blk);
}

static const struct bp_field props[] = {
    BP_PROP("iobase", UINT32, struct probe, iobase, "0x5d0", "first I/O port"),
    BP_PROP("removable", BOOL, struct probe, removable, "off", "it takes other media"),
    BP_PROP_IOTHREAD("iothread", struct probe, iothread), BP_BLK_PROPS(struct probe, conf), BP_FIELDS_END};
BP_HOTPLUG_DEVICE(probe, "disk-probe", "isa", "Disk for tests", struct probe, props, NULL, .category = "misc",
                  .attach = attach, .detach = detach, .threads = BP_THREADS_OWN);
BP_MODULE("test-disk-probe", "Disk for tests", imports, {BP_PROVIDE_DEVICE, &probe});
