// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SCSI disks and CD-ROM drives (scsi-hd, scsi-cd) on the block framework: direct access to any block node. Left out:
 * protection information, comparing VERIFY, audio and raw sectors of CDs.
 */
#include <errno.h>
#include <string.h>

#include "disk.h"

BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
const struct bp_scsi_interface *sdisk_scsi;
const struct bp_block_interface *sdisk_block;

/* ---- what the block layer says: [main] under the machine lock ---- */
static void media_changed(void *opaque, bool loaded)
{
    struct sdisk *s = opaque;

    if (!s->unit)
        return;
    bp_device_lock(scsi->adapter(s->unit));
    s->tray_open = s->cd && !loaded;
    s->media_news = true;
    scsi->attention(s->unit, SCSI_MEDIUM_CHANGED);
    bp_device_unlock(scsi->adapter(s->unit));
    scsi->changed(s->unit, SCSI_MEDIUM_CHANGED);
}

static void eject_request(void *opaque, bool force)
{
    struct sdisk *s = opaque;

    bp_device_lock(scsi->adapter(s->unit));
    s->eject_wanted = true;
    if (force) {
        s->tray_open = true;
        s->locked = false;
    }
    bp_device_unlock(scsi->adapter(s->unit));
}

static bool tray_open(void *opaque)
{
    return ((struct sdisk *)opaque)->tray_open;
}

static bool medium_locked(void *opaque)
{
    return ((struct sdisk *)opaque)->locked;
}

static void resized(void *opaque)
{
    struct sdisk *s = opaque;

    if (!s->unit)
        return;
    bp_device_lock(scsi->adapter(s->unit));
    scsi->attention(s->unit, SCSI_CAPACITY_CHANGED);
    bp_device_unlock(scsi->adapter(s->unit));
    scsi->changed(s->unit, SCSI_CAPACITY_CHANGED);
}

static const struct bp_blk_ops disk_ops = {.size = sizeof(disk_ops), .flags = BP_BLK_READ_ONLY_OK, .resized = resized};
static const struct bp_blk_ops cd_ops = {
    .size = sizeof(cd_ops), .flags = BP_BLK_REMOVABLE | BP_BLK_READ_ONLY, .media_changed = media_changed,
    .eject_request = eject_request, .tray_open = tray_open, .medium_locked = medium_locked, .resized = resized};

/* In the main context, under the machine lock. */
static void move_tray(void *opaque)
{
    struct sdisk *s = opaque;
    uint8_t wanted;

    if (!s->blk)
        return;
    wanted = __atomic_exchange_n(&s->tray_wanted, 0, __ATOMIC_SEQ_CST);
    if (wanted && s->cd)
        block->tray(s->blk, wanted == 2);
    block->lock_medium(s->blk, s->locked);
}

/* ---- the unit ---- */
static void reset(void *state)
{
    struct sdisk *s = state;

    s->locked = false;
    s->eject_wanted = s->media_news = false;
    sdisk_reserve_reset(s);
    block->set_write_cache(s->blk, s->write_cache);
    bp_deferred_schedule(s->tray);
}

static void moved(void *state, struct bp_context *ctx)
{
    struct sdisk *s = state;

    block->set_context(s->blk, ctx);
}

static uint32_t block_size(void *state)
{
    return ((struct sdisk *)state)->conf.logical_block_size;
}

static const struct bp_scsi_unit_info unit_info = {.size = sizeof(unit_info), .submit = sdisk_submit,
                                                   .cancel = sdisk_cancel, .reset = reset, .moved = moved,
                                                   .block_size = block_size};
static const struct bp_level_info infos[] = {{.level = "scsi-unit", .info = &unit_info}, {.level = NULL}};

static int check_text(const char *type, const char *prop, const char *text, size_t max, struct bp_error *err)
{
    if (text && strlen(text) > max)
        return bp_fail(err, EINVAL, "%s: property '%s' has at most %zu characters, not %zu", type, prop, max,
                       strlen(text));
    return 0;
}

static int check(struct sdisk *s, const char *type, struct bp_error *err)
{
    int ret = check_text(type, "serial", s->serial, 36, err);

    if (ret == 0)
        ret = check_text(type, "vendor", s->vendor, 8, err);
    if (ret == 0)
        ret = check_text(type, "product", s->product, 16, err);
    if (ret == 0)
        ret = check_text(type, "ver", s->version, 4, err);
    if (ret == 0)
        ret = check_text(type, "device_id", s->device_id, 200, err);
    if (ret < 0)
        return ret;
    if (!s->cd && !(s->conf.drive && *s->conf.drive))
        return bp_fail(err, EINVAL, "%s: property 'drive' is missing: which disk does it show?", type);
    if (s->cd)
        s->conf.logical_block_size = s->conf.physical_block_size = 2048;
    return 0;
}

static void fill_in(char **text, const char *what)
{
    if (!*text)
        *text = bp_strdup(what);
}

static int attach(struct bp_device *dev, bool cd, struct bp_error *err)
{
    struct sdisk *s = bp_device_state(dev);
    const char *type = bp_device_class(dev)->type.name;
    struct bp_context *ctx;
    int ret;

    sdisk_scsi = scsi;
    sdisk_block = block;
    s->dev = dev;
    s->cd = cd;
    s->removable |= cd;
    ret = check(s, type, err);
    if (ret < 0)
        return ret;
    s->unit = scsi->of(dev);
    ctx = bp_device_context(scsi->adapter(s->unit));
    ret = block->open(dev, bp_device_owner(dev), ctx, &s->conf, cd ? &cd_ops : &disk_ops, s, &s->blk, err);
    if (ret < 0)
        return ret;
    ret = block->conf_complete(s->blk, &s->conf, err);
    if (ret < 0) {
        block->close(s->blk);
        s->blk = NULL;
        return ret;
    }
    if (!s->serial && block->serial(s->blk))
        s->serial = bp_strdup(block->serial(s->blk));
    fill_in(&s->vendor, "QEMU");
    fill_in(&s->product, cd ? "QEMU CD-ROM" : "QEMU HARDDISK");
    fill_in(&s->version, "2.5+");
    s->write_cache = block->write_cache(s->blk);
    s->main = bp_owner_new(bp_device_owner(dev), "scsi-disk", bp_device_id(dev), 0);
    s->tray = bp_deferred_new(s->main, NULL, move_tray, s);
    if (!cd)
        sdisk_reserve_attach(s);
    return 0;
}

static int hd_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static int cd_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static void detach(struct bp_device *dev)
{
    struct sdisk *s = bp_device_state(dev);

    scsi->leaves(s->unit);
    block->close(s->blk);
    s->blk = NULL;
    sdisk_reserve_give_up(s);
    scsi->end_all(s->unit);
    sdisk_reserve_detach(s);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(BOOL, struct sdisk, tray_open), BP_SAVE(BOOL, struct sdisk, locked),
    BP_SAVE(BOOL, struct sdisk, eject_wanted), BP_SAVE(BOOL, struct sdisk, media_news),
    BP_SAVE_SINCE(2, UINT64, struct sdisk, nexus.key), BP_SAVE_SINCE(2, BOOL, struct sdisk, nexus.registered),
    BP_SAVE_SINCE(2, BOOL, struct sdisk, nexus.legacy), BP_SAVE_SINCE(2, UINT8, struct sdisk, nexus.held),
    BP_SAVE_SINCE(2, UINT32, struct sdisk, nexus.generation), BP_SAVE_SINCE(2, UINT16, struct sdisk, nexus.news),
    BP_SAVE_END};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct sdisk *s = state;

    (void)version;
    if (s->nexus.held && (!s->nexus.registered || !sdisk_is_reservation(s->nexus.held)))
        return bp_fail(err, EINVAL, "SCSI disk: the saved state has a reservation that cannot be (type %u)",
                       s->nexus.held);
    return 0;
}

static const struct bp_state_table table = {.version = 2, .oldest = 1, .fields = fields, .after_load = after_load};

#define COMMON_PROPS \
    BP_BLK_PROPS(struct sdisk, conf), BP_PROP_BOOTINDEX(struct sdisk, conf.bootindex), \
    BP_PROP("serial", STRING, struct sdisk, serial, NULL, "serial number, up to 36 characters"), \
    BP_PROP("vendor", STRING, struct sdisk, vendor, NULL, "vendor, up to 8 characters"), \
    BP_PROP("product", STRING, struct sdisk, product, NULL, "product, up to 16 characters"), \
    BP_PROP("ver", STRING, struct sdisk, version, NULL, "version, up to 4 characters"), \
    BP_PROP("device_id", STRING, struct sdisk, device_id, NULL, \
            "name in the page of identifiers; serial when not given"), \
    BP_PROP("wwn", UINT64, struct sdisk, wwn, "0", "world wide name; 0: none"), \
    BP_PROP("max_io_size", UINT32, struct sdisk, max_io, "2147483647", "bytes of the largest request"), \
    BP_PROP("max_unmap_size", UINT32, struct sdisk, max_unmap, "1073741824", "bytes of the largest UNMAP")

static const struct bp_field hd_props[] = {
    COMMON_PROPS,
    BP_PROP("removable", BOOL, struct sdisk, removable, "off", "says that its medium can be removed"),
    BP_PROP("dpofua", BOOL, struct sdisk, dpofua, "off", "offers writes that go to the medium at once"),
    BP_PROP("rotation_rate", UINT16, struct sdisk, rotation_rate, "0", "turns in a minute; 1: none, 0: unknown"),
    BP_FIELDS_END};
static const struct bp_field cd_props[] = {COMMON_PROPS, BP_FIELDS_END};

#define SCSI_DISK(ident, NAME, SUMMARY, PROPS, ATTACH) \
    BP_NOTE("provides=device:" NAME ";bus=scsi;user=yes;summary=" SUMMARY); \
    static const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "scsi-unit", .summary = SUMMARY, .state_size = sizeof(struct sdisk), .props = PROPS, \
                 .state = &table, .infos = infos}, \
        .bus = "scsi", .category = "storage", .attach = ATTACH, .detach = detach, .firmware_name = "disk"}

SCSI_DISK(hd, "scsi-hd", "SCSI disk", hd_props, hd_attach);
SCSI_DISK(cd, "scsi-cd", "SCSI CD-ROM drive", cd_props, cd_attach);

static const struct bp_import imports[] = {BP_IMPORT(scsi, "scsi", 1), BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("scsi-disk", "SCSI disks and CD-ROM drives", imports, {BP_PROVIDE_DEVICE, &hd}, {BP_PROVIDE_DEVICE, &cd});
