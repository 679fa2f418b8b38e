/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A block/1 for tests of disks: images are memory of the test's program. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake-block.h"

static struct fake_disk *of(struct bp_blk *blk)
{
    return (struct fake_disk *)blk;
}

static int fake_open(struct bp_device *dev, struct bp_owner *owner, struct bp_context *ctx,
                     struct bp_blk_conf *conf, const struct bp_blk_ops *ops, void *opaque,
                     struct bp_blk **ret_blk, struct bp_error *err)
{
    (void)dev, (void)owner, (void)ctx;
    for (struct fake_disk *d = fake_disks; d->name; d++) {
        if (!conf->drive || strcmp(d->name, conf->drive) != 0)
            continue;
        d->ops = ops;
        d->opaque = opaque;
        d->write_cache = true;
        d->tail = &d->pending;
        d->pending = NULL;
        *ret_blk = (struct bp_blk *)d;
        return 0;
    }
    return bp_fail(err, ENOENT, "no drive '%s'", conf->drive ? conf->drive : "");
}

/* Nobody hears of what is under way. */
static void fake_close(struct bp_blk *blk)
{
    struct fake_disk *d = of(blk);

    while (d->pending) {
        struct fake_pending *p = d->pending;

        d->pending = p->next;
        free(p);
    }
    d->tail = &d->pending;
    d->ops = NULL;
}

static int fake_conf_complete(struct bp_blk *blk, struct bp_blk_conf *conf, struct bp_error *err)
{
    (void)blk, (void)err;
    if (!conf->logical_block_size)
        conf->logical_block_size = 512;
    if (!conf->physical_block_size)
        conf->physical_block_size = 512;
    if (conf->discard_granularity == UINT32_MAX)
        conf->discard_granularity = 4096;
    if (!conf->write_cache)
        conf->write_cache = 1;
    return 0;
}

static int fake_geometry(struct bp_blk *blk, struct bp_blk_conf *conf, uint32_t max_cyls,
                         uint32_t max_heads, uint32_t max_secs, struct bp_error *err)
{
    uint64_t cyls = of(blk)->length / 512 / (16 * 63);

    (void)max_cyls, (void)max_heads, (void)max_secs, (void)err;
    if (conf->cyls)
        return 0;
    conf->heads = 16;
    conf->secs = 63;
    conf->cyls = cyls > 16383 ? 16383 : cyls < 2 ? 2 : (uint32_t)cyls;
    return 0;
}

static int carry_out(struct fake_pending *p)
{
    struct fake_disk *d = p->disk;
    uint64_t at = p->req.offset;

    d->total++;
    d->requests[p->op]++;
    if (p->req.flags & BP_BLOCK_FUA || (!d->write_cache && p->op == BP_BLOCK_WRITE))
        d->fua++;
    if (p->cancelled)
        return -ECANCELED;
    if (d->fail_at && --d->fail_at == 0)
        return d->error ? d->error : -EIO;
    if (!d->loaded)
        return -ENOMEDIUM;
    if (p->op == BP_BLOCK_FLUSH)
        return 0;
    if (at > d->length || p->req.bytes > d->length - at)
        return -EIO;
    if (p->op == BP_BLOCK_DISCARD || p->op == BP_BLOCK_WRITE_ZEROES) {
        memset(d->data + at, 0, p->req.bytes);
        return 0;
    }
    for (unsigned i = 0; i < p->req.iov_count; i++) {
        const struct iovec *v = &p->req.iov[i];

        if (p->op == BP_BLOCK_READ)
            memcpy(v->iov_base, d->data + at, v->iov_len);
        else
            memcpy(d->data + at, v->iov_base, v->iov_len);
        at += v->iov_len;
    }
    return 0;
}

static void serve(struct fake_disk *d, bool all)
{
    struct fake_pending *list = d->pending;

    d->pending = NULL;
    d->tail = &d->pending;
    while (list) {
        struct fake_pending *p = list;

        list = p->next;
        if (d->hold && !all && !p->cancelled) {
            p->next = NULL;
            *d->tail = p;
            d->tail = &p->next;
            continue;
        }
        p->done(p->opaque, carry_out(p));
        free(p);
    }
}

static void soon(void *opaque)
{
    serve(opaque, false);
}

static struct bp_blk_request *fake_submit(struct bp_blk *blk, enum bp_block_op op,
                                          const struct bp_block_request *req,
                                          void (*done)(void *opaque, int ret), void *opaque)
{
    struct fake_disk *d = of(blk);
    struct fake_pending *p = bp_alloc(sizeof(*p));

    *p = (struct fake_pending){.disk = d, .op = op, .done = done, .opaque = opaque};
    if (req)
        p->req = *req;
    *d->tail = p;
    d->tail = &p->next;
    bp_defer(NULL, soon, d);
    return (struct bp_blk_request *)p;
}

static void fake_cancel(struct bp_blk_request *request)
{
    struct fake_pending *p = (struct fake_pending *)request;

    p->cancelled = true;
    bp_defer(NULL, soon, p->disk);
}

static int64_t fake_length(struct bp_blk *blk)
{
    return of(blk)->loaded ? (int64_t)of(blk)->length : 0;
}

static bool fake_inserted(struct bp_blk *blk)
{
    return of(blk)->loaded;
}

static bool fake_writable(struct bp_blk *blk)
{
    return !of(blk)->read_only;
}

static bool fake_write_cache(struct bp_blk *blk)
{
    return of(blk)->write_cache;
}

static void fake_set_write_cache(struct bp_blk *blk, bool on)
{
    of(blk)->write_cache = on;
}

static void fake_tray(struct bp_blk *blk, bool open)
{
    of(blk)->tray_is_open = open;
}

static void fake_lock(struct bp_blk *blk, bool locked)
{
    of(blk)->locked = locked;
}

static const char *fake_name(struct bp_blk *blk)
{
    return of(blk)->name;
}

static const char *fake_serial(struct bp_blk *blk)
{
    (void)blk;
    return NULL;
}

/* For the test's program, which finds it through an operation that devices don't use. */
static void fake_drain(struct bp_blk *blk, void (*fn)(void *opaque), void *opaque)
{
    serve(of(blk), true);
    if (fn)
        fn(opaque);
}

/* A drive is its own node. */
static struct bp_block_node *fake_find(const char *name)
{
    for (struct fake_disk *d = fake_disks; d->name; d++) {
        if (name && strcmp(d->name, name) == 0)
            return (struct bp_block_node *)d;
    }
    return NULL;
}

static const struct bp_block_interface table = {
    .size = sizeof(table), .open = fake_open, .close = fake_close, .conf_complete = fake_conf_complete,
    .geometry = fake_geometry, .submit = fake_submit, .cancel = fake_cancel, .length = fake_length,
    .inserted = fake_inserted, .writable = fake_writable, .write_cache = fake_write_cache,
    .set_write_cache = fake_set_write_cache, .tray = fake_tray, .lock_medium = fake_lock,
    .name = fake_name, .serial = fake_serial, .drain = fake_drain,
    .find = fake_find};
BP_INTERFACE(fake, "block", 1, 0, &table);
BP_MODULE("fake-block", "Disks of tests", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &fake});
