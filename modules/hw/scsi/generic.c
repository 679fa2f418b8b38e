// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SCSI devices of the host (scsi-block: disks and CD-ROM drives; scsi-generic: any): commands go to them as they come,
 * by way of the block framework, whose worker threads wait for them. The bus answers REPORT LUNS and for units that
 * are not there. Left out: resets of the host's device (a guest's reset lets go of its commands when they end, or time
 * out), commands that move data both ways, device numbers other than the host's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "generic.h"

BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_scsi_interface *generic_scsi;
const struct bp_block_interface *generic_block;

enum { TYPE_DISK = 0, TYPE_WORM = 4, TYPE_CD = 5, TYPE_OPTICAL = 7, TYPE_REDUCED = 14, TYPE_ZONED = 20 };

struct job {
    struct generic *s;
    struct bp_scsi_request *request;
    struct bp_blk_request *at_block;
    struct bp_block_scsi command;
};

/* In the adapter's context, without its lock. */
static void job_done(void *opaque, int ret)
{
    struct job *j = opaque;
    struct bp_device *adapter = scsi->adapter(j->s->unit);

    bp_device_lock(adapter);
    j->request->unit_data = NULL;
    generic_end(j->s, j->request, &j->command, ret);
    bp_device_unlock(adapter);
    free(j);
}

static void submit(void *state, struct bp_scsi_request *r)
{
    struct generic *s = state;
    struct job *j = calloc(1, sizeof(*j));
    bool out = r->out_bytes > 0;

    if (!j) {
        scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
        return;
    }
    j->s = s;
    j->request = r;
    j->command = (struct bp_block_scsi){.size = sizeof(j->command), .timeout = s->timeout * 1000u,
                                        .cdb_length = r->cdb_length, .to_device = out,
                                        .iov = out ? r->out : r->in, .iov_count = out ? r->out_count : r->in_count,
                                        .bytes = out ? r->out_bytes : r->in_bytes};
    memcpy(j->command.cdb, r->cdb, sizeof(j->command.cdb));
    r->unit_data = j;
    j->at_block = block->scsi(s->blk, &j->command, job_done, j);
}

static void cancel(void *state, struct bp_scsi_request *r)
{
    struct job *j = r->unit_data;

    (void)state;
    if (j)
        block->cancel(j->at_block);
}

static void moved(void *state, struct bp_context *ctx)
{
    block->set_context(((struct generic *)state)->blk, ctx);
}

static uint32_t block_size(void *state)
{
    return ((struct generic *)state)->block_size;
}

static const struct bp_scsi_unit_info unit_info = {.size = sizeof(unit_info), .flags = BP_SCSI_OWN_SENSE,
                                                   .submit = submit, .cancel = cancel, .moved = moved,
                                                   .block_size = block_size};
static const struct bp_level_info infos[] = {{.level = "scsi-unit", .info = &unit_info}, {.level = NULL}};

/* ---- life ---- */
static bool has_blocks(uint8_t type)
{
    return type == TYPE_DISK || type == TYPE_WORM || type == TYPE_CD || type == TYPE_OPTICAL || type == TYPE_REDUCED ||
           type == TYPE_ZONED;
}

/* On the spot. */
static int ask(struct generic *s, struct bp_block_scsi *c, void *data, size_t bytes)
{
    struct iovec iov = {data, bytes};
    int ret;

    c->size = sizeof(*c);
    c->timeout = s->timeout * 1000u;
    c->iov = &iov;
    c->iov_count = 1;
    c->bytes = bytes;
    ret = block->scsi_now(s->blk, c);
    c->iov = NULL;
    return ret;
}

static int find_out(struct generic *s, const char *type, bool disks, struct bp_error *err)
{
    struct bp_block_scsi c = {.cdb = {SCSI_INQUIRY, [4] = 36}, .cdb_length = 6};
    uint8_t inquiry[36] = {0}, capacity[8] = {0};
    int ret = ask(s, &c, inquiry, sizeof(inquiry));

    if (ret == -ENOTSUP)
        return bp_fail(err, EINVAL, "%s: drive '%s' is no SCSI device of the host (/dev/sd*, /dev/sr*, /dev/sg*, of "
                       "driver=host_device)", type, s->conf.drive);
    if (ret < 0)
        return bp_fail(err, -ret, "%s: drive '%s' takes no SCSI commands: %s", type, s->conf.drive, strerror(-ret));
    if (c.host_status || c.status != BP_SCSI_GOOD || c.moved < 5 || (inquiry[0] & 0xe0))
        return bp_fail(err, EIO, "%s: drive '%s' does not say what it is (INQUIRY: status %u, host status %u)", type,
                       s->conf.drive, c.status, c.host_status);
    s->type = inquiry[0] & 31;
    s->max_transfer = c.max_transfer;
    s->block_size = s->type == TYPE_CD ? 2048 : 512;
    if (disks && !has_blocks(s->type))
        return bp_fail(err, EINVAL, "%s: drive '%s' is neither a disk nor a CD-ROM drive (its type is %u): "
                       "scsi-generic shows such devices", type, s->conf.drive, s->type);
    c = (struct bp_block_scsi){.cdb = {0x25}, .cdb_length = 10}; /* READ CAPACITY: a drive may be empty */
    if (has_blocks(s->type) && ask(s, &c, capacity, sizeof(capacity)) == 0 && !c.host_status &&
        c.status == BP_SCSI_GOOD && c.moved == sizeof(capacity) && scsi_get32(capacity + 4))
        s->block_size = scsi_get32(capacity + 4);
    return 0;
}

static int attach(struct bp_device *dev, bool disks, struct bp_error *err)
{
    static const struct bp_blk_ops ops = {.size = sizeof(ops), .flags = BP_BLK_READ_ONLY_OK};
    struct generic *s = bp_device_state(dev);
    const char *type = bp_device_class(dev)->type.name;
    int ret;

    generic_scsi = scsi;
    generic_block = block;
    s->dev = dev;
    s->unit = scsi->of(dev);
    s->conf.logical_block_size = s->conf.physical_block_size = 512;
    if (!(s->conf.drive && *s->conf.drive))
        return bp_fail(err, EINVAL, "%s: property 'drive' is missing: which device does it show?", type);
    ret = block->open(dev, bp_device_owner(dev), bp_device_context(scsi->adapter(s->unit)), &s->conf, &ops, s, &s->blk,
                      err);
    if (ret < 0)
        return ret;
    ret = find_out(s, type, disks, err);
    if (ret < 0) {
        block->close(s->blk);
        s->blk = NULL;
    }
    return ret;
}

static int disk_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static int any_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static void detach(struct bp_device *dev)
{
    struct generic *s = bp_device_state(dev);

    scsi->leaves(s->unit);
    block->close(s->blk);
    s->blk = NULL;
    scsi->end_all(s->unit);
}

static const struct bp_field props[] = {
    BP_PROP("drive", STRING, struct generic, conf.drive, NULL, "block node or drive that is the device"),
    BP_PROP("share-rw", BOOL, struct generic, conf.share_rw, "off", "others may write to it too"),
    BP_PROP_BOOTINDEX(struct generic, conf.bootindex),
    BP_PROP_RANGE("io_timeout", UINT32, struct generic, timeout, "30", 1, 86400,
                  "seconds that a command has on the host"),
    BP_FIELDS_END};

#define PASSED(ident, NAME, SUMMARY, ATTACH) \
    BP_NOTE("provides=device:" NAME ";bus=scsi;user=yes;summary=" SUMMARY); \
    static const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "scsi-unit", .summary = SUMMARY, .state_size = sizeof(struct generic), .props = props, \
                 .infos = infos}, \
        .bus = "scsi", .category = "storage", .attach = ATTACH, .detach = detach, .firmware_name = "disk"}

PASSED(disk, "scsi-block", "SCSI disk or CD-ROM drive of the host", disk_attach);
PASSED(any, "scsi-generic", "SCSI device of the host", any_attach);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(scsi, "scsi", 1, 2), BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("scsi-generic", "SCSI devices of the host", imports, {BP_PROVIDE_DEVICE, &disk}, {BP_PROVIDE_DEVICE, &any});
