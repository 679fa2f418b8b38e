/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interface block/1: what the framework's other files do, as others see it. */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "jobs.h"

static bool blk_write_cache(struct bp_blk *blk)
{
    return blk->write_cache;
}

static void blk_set_write_cache(struct bp_blk *blk, bool on)
{
    blk->write_cache = on;
}

/* From any thread, while the medium may be changed by the main one. */
static int64_t locked_length(struct bp_blk *blk)
{
    int64_t length;

    pthread_mutex_lock(&graph_lock);
    length = blk_length(blk);
    pthread_mutex_unlock(&graph_lock);
    return length;
}

static bool locked_inserted(struct bp_blk *blk)
{
    bool inserted;

    pthread_mutex_lock(&graph_lock);
    inserted = blk_inserted(blk);
    pthread_mutex_unlock(&graph_lock);
    return inserted;
}

static bool locked_writable(struct bp_blk *blk)
{
    bool writable;

    pthread_mutex_lock(&graph_lock);
    writable = blk_writable(blk);
    pthread_mutex_unlock(&graph_lock);
    return writable;
}

static void blk_limits(struct bp_blk *blk, struct bp_block_limits *ret)
{
    struct bp_block_limits limits = {.size = sizeof(limits)};

    pthread_mutex_lock(&graph_lock);
    if (blk->root.node)
        limits = blk->root.node->limits;
    pthread_mutex_unlock(&graph_lock);
    limits.size = ret->size ? ret->size : (uint32_t)sizeof(limits);
    memcpy(ret, &limits, limits.size < sizeof(limits) ? limits.size : sizeof(limits));
}

static unsigned blk_in_flight(struct bp_blk *blk)
{
    return __atomic_load_n(&blk->in_flight, __ATOMIC_ACQUIRE);
}

static void blk_set_context(struct bp_blk *blk, struct bp_context *ctx)
{
    bp_deferred_free(blk->tell);
    blk->ctx = ctx;
    blk->tell = blk_new_teller(blk);
}

static void blk_account_invalid(struct bp_blk *blk, enum bp_block_op op)
{
    pthread_mutex_lock(&blk->lock);
    blk->stats.invalid[op]++;
    if (blk->account_invalid)
        blk->stats.last_access = bp_clock_ns(BP_CLOCK_REALTIME);
    pthread_mutex_unlock(&blk->lock);
}

static const char *blk_serial(struct bp_blk *blk)
{
    return blk->serial;
}

/* ---- drivers ---- */

static void *iface_state(struct bp_block_node *node)
{
    return bp_object_state(node->obj);
}

static struct bp_block_node *iface_of_state(void *state)
{
    return node_of_object(bp_object_of_state(state));
}

static const char *iface_name(struct bp_block_node *node)
{
    return node->name;
}

static struct bp_owner *iface_owner(struct bp_block_node *node)
{
    return bp_object_owner(node->obj);
}

static struct bp_context *iface_context(struct bp_block_node *node)
{
    return node->ctx ? node->ctx : bp_context_main(NULL);
}

static void iface_open_flags(struct bp_block_node *node, struct bp_block_open_flags *ret)
{
    uint32_t size = ret->size ? ret->size : (uint32_t)sizeof(*ret);

    memcpy(ret, &node->flags, size < sizeof(node->flags) ? size : sizeof(node->flags));
    ret->size = size;
}

static struct bp_block_node *iface_child_node(struct bp_block_child *child)
{
    return child->node;
}

static int iface_child_request(struct bp_block_child *child, enum bp_block_op op,
                               const struct bp_block_request *req)
{
    bool changes = op == BP_BLOCK_WRITE || op == BP_BLOCK_WRITE_ZEROES || op == BP_BLOCK_DISCARD;

    if (!child->node)
        return -ENOMEDIUM;
    if (changes && !(child->need & BP_BLOCK_PERM_WRITE) &&
        !(req->flags & BP_BLOCK_UNCHANGED && child->need & BP_BLOCK_PERM_UNCHANGED))
        return -EPERM;
    if (op == BP_BLOCK_READ && child->roles & BP_BLOCK_BACKING)
        return image_read(child->node, req);
    return node_request(child->node, op, req);
}

static int iface_child_status(struct bp_block_child *child, uint64_t offset, uint64_t bytes,
                              struct bp_block_status *ret)
{
    return child->node ? node_status(child->node, offset, bytes, ret) : -ENOMEDIUM;
}

static int64_t iface_child_length(struct bp_block_child *child)
{
    return child->node ? __atomic_load_n(&child->node->length, __ATOMIC_ACQUIRE) : -ENOMEDIUM;
}

static int iface_child_resize(struct bp_block_child *child, uint64_t length, bool exact,
                              struct bp_error *err)
{
    return node_resize(child->node, length, exact, err);
}

static void iface_child_limits(struct bp_block_child *child, struct bp_block_limits *ret)
{
    *ret = child->node->limits;
}

static void iface_set_filename(struct bp_block_node *node, const char *filename)
{
    free(node->filename);
    node->filename = bp_strdup(filename);
}

static void iface_set_read_only(struct bp_block_node *node)
{
    node->fell_back = true;
    if (!node->opened) /* node_reopen() puts its own in force */
        node->flags.read_only = true;
}

static const struct bp_field corrupted_data[] = {
    BP_ARG("device", STRING, "the drive; or empty"), BP_ARG_OPT("node-name", STRING, "the node"),
    BP_ARG("msg", STRING, "what was found"), BP_ARG_OPT("offset", INT64, "where, in bytes"),
    BP_ARG_OPT("size", INT64, "how many bytes"),
    BP_ARG("fatal", BOOL, "nothing is written to it any more"), BP_FIELDS_END};
BP_EVENT(block_corrupted_event, "BLOCK_IMAGE_CORRUPTED", "an image was found to be damaged",
         corrupted_data, 0);

static void iface_corrupted(struct bp_block_node *node, const char *why, uint64_t offset,
                            uint64_t bytes)
{
    struct bp_value *data;

    if (__atomic_exchange_n(&node->corrupt, true, __ATOMIC_ACQ_REL))
        return;
    data = bp_value_dict();
    bp_value_set(data, "device", bp_value_string(""));
    bp_value_set(data, "node-name", bp_value_string(node->name));
    bp_value_set(data, "msg", bp_value_string(why));
    bp_value_set(data, "offset", bp_value_uint(offset));
    bp_value_set(data, "size", bp_value_uint(bytes));
    bp_value_set(data, "fatal", bp_value_bool(true));
    bp_event_send(&block_corrupted_event, data);
}

static const char *iface_driver(struct bp_block_node *node)
{
    return node->driver->type.name + sizeof("block-") - 1;
}

/* ---- jobs, exports, tools ---- */

static struct bp_block_node *iface_find(const char *name)
{
    struct bp_block_node *node = node_find(name);
    struct bp_blk *blk = node ? NULL : blk_find(name);

    return node ? node : blk ? blk->root.node : NULL;
}

static int iface_node_new(struct bp_value *options, struct bp_block_node **ret_node,
                          struct bp_error *err)
{
    return node_new(options, NULL, 0, ret_node, err);
}

static int no_slot(const struct bp_block_node *node, const char *what, struct bp_error *err)
{
    return bp_fail(err, ENOTSUP, "images in the format '%s' %s", node->driver->type.name + sizeof("block-") - 1, what);
}

static int iface_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    return node->driver->check ? node->driver->check(node, fix, ret, err) : no_slot(node, "cannot be checked", err);
}

/* One without a format has those that its storage has. */
static int iface_snapshot(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                          struct bp_value **ret_list, struct bp_error *err)
{
    struct bp_block_child *below = node_primary(node);

    if (!node->driver->snapshot && !strcmp(iface_driver(node), "raw") && below && below->node->driver->snapshot)
        node = below->node;
    return node->driver->snapshot ? node->driver->snapshot(node, op, name, ret_list, err)
                                  : no_slot(node, "have no snapshots", err);
}

static int iface_change_backing(struct bp_block_node *node, const char *file, const char *format,
                                struct bp_error *err)
{
    return node->driver->change_backing ? node->driver->change_backing(node, file, format, err)
                                        : no_slot(node, "have no backing files", err);
}

static int iface_amend(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    return node->driver->amend ? node->driver->amend(node, options, err) : no_slot(node, "cannot be changed", err);
}

static int iface_measure(const char *name, struct bp_value *options, uint64_t size, uint64_t used,
                         struct bp_block_measure *ret, struct bp_error *err)
{
    const struct bp_block_driver *driver;
    const void *class;
    int r = node_driver_class(name, &class, err);

    if (r < 0)
        return r;
    driver = class;
    return driver->measure ? driver->measure(options, size, used, ret, err)
                           : bp_fail(err, ENOTSUP, "images in the format '%s' cannot be measured", name);
}

static int iface_resize(struct bp_block_node *node, uint64_t length, struct bp_error *err)
{
    return node_resize(node, length, true, err);
}

static int iface_make_empty(struct bp_block_node *node, struct bp_error *err)
{
    int ret = node->driver->make_empty ? node->driver->make_empty(node)
                                       : no_slot(node, "cannot be made empty", err);

    return ret < 0 && (!err || !err->code) ? bp_fail(err, -ret, "it cannot be made empty: %s", strerror(-ret)) : ret;
}

static const char *iface_filename(struct bp_block_node *node)
{
    return node->filename ? node->filename : "";
}

static int iface_status(struct bp_blk *blk, uint64_t offset, uint64_t bytes, struct bp_block_status *ret_status)
{
    struct bp_block_node *holder;
    unsigned depth = 0;
    int ret;

    job_enter(blk, NULL);
    ret = blk->root.node ? image_status(blk->root.node, NULL, offset, bytes, &holder, &depth, ret_status) : -ENOMEDIUM;
    blk_leave(blk);
    if (ret == 0)
        ret_status->depth = depth;
    return ret;
}

static int iface_child_scsi(struct bp_block_child *child, struct bp_block_scsi *command)
{
    return child->node ? node_scsi(child->node, command) : -ENOMEDIUM;
}

/* Filters show what is below as it is, behind its end, too. */
static bool grows_zero(struct bp_block_node *node)
{
    const struct bp_block_child *primary = node_primary(node);
    int64_t length = -1;

    if (node->driver->flags & BP_BLOCK_FILTER) {
        if (!primary || !primary->node || !grows_zero(primary->node))
            return false;
    } else if (!(node->driver->flags & BP_BLOCK_PROTOCOL) || !(node->driver->flags & BP_BLOCK_GROWS)) {
        return false;
    }
    if (node->driver->length)
        length = node->driver->length(node);
    else if (node->driver->flags & BP_BLOCK_FILTER)
        length = __atomic_load_n(&primary->node->length, __ATOMIC_ACQUIRE);
    if (length >= 0)
        node_grow_length(node, (uint64_t)length);
    return length >= 0;
}

static bool iface_child_grows_zero(struct bp_block_child *child)
{
    return child->node && grows_zero(child->node);
}

static int64_t iface_child_splice(struct bp_block_child *child, uint64_t offset, uint64_t bytes, int pipe)
{
    return child->node ? node_splice(child->node, offset, bytes, pipe) : -ENOMEDIUM;
}

static int iface_bitmap_next(struct bp_block_node *node, const char *name, uint64_t from, uint64_t *ret_offset,
                             uint64_t *ret_bytes)
{
    struct bitmap *b = NULL;

    for (struct bp_block_node *n = node; n && !b; n = image_backing(n))
        b = bitmap_of(n, name);
    if (!b || b->inconsistent)
        return -ENOENT;
    return bitmap_next(b, from, UINT64_C(1) << 40, ret_offset, ret_bytes);
}

static const struct bp_block_interface table = {
    .size = sizeof(table), .open = blk_open, .close = blk_close, .conf_complete = conf_complete,
    .geometry = conf_geometry, .submit = blk_submit, .cancel = blk_cancel, .submit_co = blk_submit_co,
    .now = blk_now, .plug = blk_plug, .unplug = blk_unplug, .length = locked_length,
    .inserted = locked_inserted, .writable = locked_writable, .write_cache = blk_write_cache,
    .set_write_cache = blk_set_write_cache, .limits = blk_limits, .in_flight = blk_in_flight,
    .drain = blk_drain, .set_context = blk_set_context, .tray = blk_tray,
    .lock_medium = blk_lock_medium, .account_invalid = blk_account_invalid, .name = blk_name,
    .serial = blk_serial, .drive = drive_get, .claim = drive_claim, .interfaces = drive_interfaces,
    .add_default = drive_add_default,
    .state = iface_state, .of_state = iface_of_state, .node_name = iface_name, .owner = iface_owner,
    .context = iface_context, .open_flags = iface_open_flags, .child = node_child,
    .child_node = iface_child_node, .length_changed = node_set_length,
    .child_request = iface_child_request, .child_status = iface_child_status,
    .child_length = iface_child_length, .child_resize = iface_child_resize,
    .child_limits = iface_child_limits, .set_filename = iface_set_filename,
    .set_read_only = iface_set_read_only, .may_wait = may_wait, .corrupted = iface_corrupted,
    .find = iface_find, .node_new = iface_node_new, .node_del = node_del, .node_ref = node_ref,
    .node_unref = node_unref, .scsi = blk_scsi, .scsi_now = blk_scsi_now, .child_scsi = iface_child_scsi,
    .open_child = image_open_child, .want_backing = image_want_backing,
    .image_open = image_open, .image_create = image_create, .image_info = image_info, .image_check = iface_check,
    .image_snapshot = iface_snapshot, .image_change_backing = iface_change_backing,
    .image_measure = iface_measure, .image_resize = iface_resize, .image_make_empty = iface_make_empty,
    .image_status = image_status, .image_backing = image_backing, .image_filename = iface_filename,
    .image_driver = iface_driver, .status = iface_status, .image_amend = iface_amend, .medium = node_medium,
    .bitmap_next = iface_bitmap_next, .child_grows_zero = iface_child_grows_zero,
    .splice = blk_splice, .child_splice = iface_child_splice,
};
BP_INTERFACE(block_interface, "block", 1, 0, &table);
