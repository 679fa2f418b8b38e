/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Media of removable devices: trays, and what is in them. A device without a tray of its own (a floppy drive)
 * takes and gives media at any time; one with a tray is asked to open it, and the medium goes when
 * it is open. [main], coroutines
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <bp/device.h>

#include "commands.h"

#define HAS(OPS, MEMBER) ((OPS) && (OPS)->size > offsetof(struct bp_blk_ops, MEMBER) && (OPS)->MEMBER)

static const struct bp_field tray_data[] = {
    BP_ARG("device", STRING, "the drive; or empty"), BP_ARG("id", STRING, "id or path of the device"),
    BP_ARG("tray-open", BOOL, "it is open now"), BP_FIELDS_END};
BP_EVENT(block_tray_event, "DEVICE_TRAY_MOVED", "a tray opened or closed", tray_data, 0);

static bool has_tray(struct bp_blk *blk)
{
    return HAS(blk->ops, tray_open);
}

bool blk_tray_is_open(struct bp_blk *blk)
{
    return has_tray(blk) && blk->ops->tray_open(blk->opaque);
}

/* The node that is a drive of the host: this one, or the one below filters (raw is one); or NULL. */
static struct bp_block_node *host_drive(struct bp_block_node *node)
{
    while (node && !node->driver->inserted) {
        struct bp_block_child *below = node->driver->flags & BP_BLOCK_FILTER ? node_primary(node) : NULL;

        node = below ? below->node : NULL;
    }
    return node;
}

bool medium_is_in(struct bp_block_node *node)
{
    struct bp_block_node *drive = host_drive(node);

    return node && (!drive || drive->driver->inserted(drive));
}

void blk_lock_medium(struct bp_blk *blk, bool locked)
{
    struct bp_block_node *drive = host_drive(blk->root.node);

    blk->locked = locked;
    if (drive && drive->driver->lock_tray)
        drive->driver->lock_tray(drive, locked);
}

/* The device says that its tray has moved. */
void blk_tray(struct bp_blk *blk, bool open)
{
    struct bp_block_node *drive = host_drive(blk->root.node);
    struct bp_value *data;

    if (blk->tray_is_open == open)
        return;
    blk->tray_is_open = open;
    if (drive && drive->driver->eject)
        drive->driver->eject(drive, open);
    data = bp_value_dict();
    bp_value_set(data, "device", bp_value_string(blk->name ? blk->name : ""));
    bp_value_set(data, "id", bp_value_string(blk->dev ? blk_device_path(blk) : ""));
    bp_value_set(data, "tray-open", bp_value_bool(open));
    bp_event_send(&block_tray_event, data);
}

/* A device with a tray opens it, or closes it: also without a medium, for who closes the tray of a host's drive. */
void blk_media_changed(struct bp_blk *blk, bool loaded)
{
    if (HAS(blk->ops, media_changed))
        blk->ops->media_changed(blk->opaque, loaded);
    if (has_tray(blk))
        blk_tray(blk, blk_tray_is_open(blk)); /* if it did not say so itself */
}

/* A node, and what is above it and shows it. */
static void lengthen(struct bp_block_node *node, uint64_t length)
{
    node_set_length(node, length);
    for (struct bp_block_child *p = node->parents; p; p = p->next_parent)
        if (p->parent && p->parent->driver->flags & BP_BLOCK_FILTER && node_primary(p->parent) == p) {
            int64_t above = p->parent->driver->length ? p->parent->driver->length(p->parent) : (int64_t)length;

            lengthen(p->parent, above > 0 ? (uint64_t)above : 0);
        }
}

/* A device without a tray sees that the medium is of another length, and none is of no length. */
void node_medium(struct bp_block_node *node, uint64_t length, bool open, bool changed)
{
    lengthen(node, length);
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next) {
        if (!blk->open || host_drive(blk->root.node) != node)
            continue;
        if (!has_tray(blk) && changed && HAS(blk->ops, resized))
            blk->ops->resized(blk->opaque);
        else if (has_tray(blk) && blk_tray_is_open(blk) != open)
            blk_media_changed(blk, !open);
        else if (has_tray(blk) && changed && !open && medium_is_in(node))
            blk_media_changed(blk, true);
    }
}

/* By the drive's id, or by the device's id or path. */
struct bp_blk *medium_blk(const char *device, const char *id, struct bp_error *err)
{
    if (!device == !id) {
        bp_fail(err, EINVAL, "give one of 'device' and 'id'");
        return NULL;
    }
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next) {
        if (device && blk->name && !strcmp(blk->name, device))
            return blk;
        if (id && blk->dev && (!strcmp(blk_device_path(blk), id) ||
                               !strcmp(bp_object_path(bp_device_object(blk->dev)), id)))
            return blk;
    }
    bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, device ? "there is no drive '%s'"
                                                                 : "device '%s' has no drive",
                  device ? device : id);
    return NULL;
}

static struct bp_blk *removable_blk(const char *device, const char *id, struct bp_error *err)
{
    struct bp_blk *blk = medium_blk(device, id, err);

    if (blk && blk->open && !(blk->ops_flags & BP_BLK_REMOVABLE)) {
        bp_fail(err, EINVAL, "device '%s' takes no other medium", device ? device : id);
        return NULL;
    }
    return blk;
}

/* 0: it is open; -EINPROGRESS: the guest was asked. */
static int open_tray(struct bp_blk *blk, bool force, struct bp_error *err)
{
    bool locked;

    if (!has_tray(blk) || blk_tray_is_open(blk))
        return 0;
    locked = HAS(blk->ops, medium_locked) && blk->ops->medium_locked(blk->opaque);
    if (HAS(blk->ops, eject_request) && (locked || force))
        blk->ops->eject_request(blk->opaque, force);
    if (locked && !force)
        return bp_fail(err, EINPROGRESS, "device '%s' is locked and force was not specified, wait for "
                       "tray to open and try again", blk_name(blk));
    blk_media_changed(blk, false);
    return 0;
}

static int take_out(struct bp_blk *blk, struct bp_error *err)
{
    int ret;

    if (!blk->root.node)
        return 0;
    if (has_tray(blk) && !blk_tray_is_open(blk))
        return bp_fail(err, EBUSY, "the tray of '%s' is not open", blk_name(blk));
    ret = blk_drain_begin(blk, err);
    if (ret < 0)
        return ret;
    blk_remove(blk);
    blk_drain_end(blk);
    if (!has_tray(blk))
        blk_media_changed(blk, false);
    return 0;
}

static int put_in(struct bp_blk *blk, struct bp_block_node *node, struct bp_error *err)
{
    int ret;

    if (blk->root.node)
        return bp_fail(err, EBUSY, "there is already a medium in '%s'", blk_name(blk));
    if (has_tray(blk) && !blk_tray_is_open(blk))
        return bp_fail(err, EBUSY, "the tray of '%s' is not open", blk_name(blk));
    ret = blk_drain_begin(blk, err);
    if (ret < 0)
        return ret;
    ret = blk_insert(blk, node, err);
    blk_drain_end(blk);
    if (ret == 0 && !has_tray(blk))
        blk_media_changed(blk, true);
    return ret;
}

static void close_tray(struct bp_blk *blk)
{
    if (has_tray(blk) && blk_tray_is_open(blk))
        blk_media_changed(blk, blk->root.node != NULL);
}

/* ---- commands ---- */

int qmp_open_tray(const char *device, const char *id, bool has_force, bool force, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(device, id, err);
    int ret;

    if (!blk)
        return -ENOENT;
    if (!has_tray(blk))
        return bp_fail(err, ENOTSUP, "device '%s' has no tray", blk_name(blk));
    ret = open_tray(blk, has_force && force, err);
    if (ret == -EINPROGRESS && err)
        *err = (struct bp_error){0}; /* it was asked: that is all that this command does */
    return ret == -EINPROGRESS ? 0 : ret;
}

int qmp_close_tray(const char *device, const char *id, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(device, id, err);

    if (!blk)
        return -ENOENT;
    if (!has_tray(blk))
        return bp_fail(err, ENOTSUP, "device '%s' has no tray", blk_name(blk));
    close_tray(blk);
    return 0;
}

int qmp_eject(const char *device, const char *id, bool has_force, bool force, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(device, id, err);
    int ret;

    if (!blk)
        return -ENOENT;
    ret = open_tray(blk_ref(blk), has_force && force, err);
    if (ret == 0)
        ret = take_out(blk, err);
    blk_unref(blk);
    return ret;
}

int qmp_insert_medium(const char *id, const char *node_name, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(NULL, id, err);
    struct bp_block_node *node = node_find(node_name);
    int ret;

    if (!blk)
        return -ENOENT;
    if (!node)
        return bp_fail(err, ENOENT, "there is no node '%s'", node_name);
    node_ref(node);
    ret = put_in(blk_ref(blk), node, err);
    blk_unref(blk);
    node_unref(node);
    return ret;
}

int qmp_remove_medium(const char *id, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(NULL, id, err);
    int ret;

    if (!blk)
        return -ENOENT;
    ret = take_out(blk_ref(blk), err);
    blk_unref(blk);
    return ret;
}

enum change_mode { MODE_RETAIN, MODE_READ_ONLY, MODE_READ_WRITE };

/* What the drive was made with stays, but for the file. */
static struct bp_value *new_args(struct bp_blk *blk, const char *filename, const char *format, int mode)
{
    struct bp_value *args = blk->drive ? bp_value_copy(blk->drive->args) : bp_value_dict();
    bool read_only = mode == MODE_READ_ONLY ||
                     (mode == MODE_RETAIN && blk->root.node && blk->root.node->flags.read_only);

    bp_value_remove(args, "node-name");
    bp_value_remove(args, "format");
    bp_value_remove(args, "driver");
    bp_value_remove(args, "read-only");
    bp_value_remove(args, "snapshot");
    bp_value_set(args, "file", bp_value_string(filename));
    bp_value_set(args, "readonly", bp_value_bool(read_only));
    if (format)
        bp_value_set(args, "format", bp_value_string(format));
    return args;
}

int qmp_change_medium(const char *device, const char *id, const char *filename, const char *format,
                      bool has_force, bool force, bool has_mode, int mode, struct bp_error *err)
{
    struct bp_blk *blk = removable_blk(device, id, err);
    struct drive nameless = {.blk = blk, .bus = -1};
    struct bp_block_node *node;
    struct bp_value *args;
    int ret;

    if (!blk)
        return -ENOENT;
    nameless.cdrom = blk->drive ? blk->drive->cdrom : blk->ops_flags & BP_BLK_READ_ONLY;
    args = new_args(blk, filename, format, has_mode ? mode : MODE_RETAIN);
    blk_ref(blk);
    ret = drive_open_file(&nameless, args, &node, err);
    bp_value_unref(args);
    if (ret < 0) {
        blk_unref(blk);
        return ret;
    }
    ret = open_tray(blk, has_force && force, err);
    if (ret == 0)
        ret = take_out(blk, err);
    if (ret == 0)
        ret = put_in(blk, node, err);
    node_unref(node);
    if (ret == 0)
        close_tray(blk);
    blk_unref(blk);
    return ret;
}
