/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots by overlays, chains that are changed by hand, and transactions over all of it. [main], coroutines */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

/* ---- overlays ---- */

/* `overlay` stands where `node` stood, and has it below. Drained. */
static int put_overlay(struct bp_block_node *node, struct bp_block_node *overlay, struct bp_error *err)
{
    const struct bp_block_child_info *info = overlay->driver->children;
    struct bp_block_child *edge;
    int ret;

    while (info && info->name && !(info->roles & BP_BLOCK_BACKING))
        info++;
    if (!info || !info->name)
        return bp_fail(err, ENOTSUP, "driver '%s' has no backing files: it cannot be an overlay",
                       overlay->driver->type.name + sizeof("block-") - 1);
    edge = child_new(info->name, info->roles, overlay, node);
    if (overlay->driver->children_changed)
        overlay->driver->children_changed(overlay);
    ret = graph_insert(node, overlay, err);
    if (ret < 0) {
        child_free(edge);
        if (overlay->driver->children_changed)
            overlay->driver->children_changed(overlay);
    }
    return ret;
}

void snapshot_undo(struct bp_block_node *overlay)
{
    struct bp_block_child *edge = node_child_role(overlay, BP_BLOCK_BACKING);
    struct bp_block_child *next;

    if (!edge)
        return;
    for (struct bp_block_child *p = overlay->parents; p; p = next) {
        next = p->next_parent;
        child_point(p, edge->node);
    }
    permissions_update(edge->node, NULL);
    child_free(edge);
    if (overlay->driver->children_changed)
        overlay->driver->children_changed(overlay);
    permissions_update(overlay, NULL);
}

static int by_names(struct bp_value *args, struct bp_block_node **ret_node, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *name = bp_value_get_string(args, "node-name");

    if (!device == !name)
        return bp_fail(err, EINVAL, "give one of 'device' and 'node-name'");
    *ret_node = job_node(device ? device : name, err);
    return *ret_node ? 0 : -ENOENT;
}

static int new_overlay(struct bp_value *args, struct bp_block_node *node, struct bp_block_node **ret_overlay,
                       struct bp_error *err)
{
    const char *file = bp_value_get_string(args, "snapshot-file"), *format = bp_value_get_string(args, "format");
    const char *mode = bp_value_get_string(args, "mode"), *name = bp_value_get_string(args, "snapshot-node-name");
    struct bp_block_node *image = skip_filters(node);
    struct bp_value *options, *file_options = NULL, *more;
    int ret = 0;

    if (!file)
        return bp_fail(err, EINVAL, "member 'snapshot-file' is missing");
    format = format ? format : "qcow2";
    if (mode && strcmp(mode, "existing") != 0 && strcmp(mode, "absolute-paths") != 0)
        return bp_fail(err, EINVAL, "member 'mode' is existing or absolute-paths");
    if (!mode || strcmp(mode, "existing") != 0) {
        ret = name_options(file, &file_options, err);
        options = ret == 0 ? bp_value_copy(file_options) : NULL;
        if (ret == 0) {
            bp_value_set(options, "size", bp_value_uint(0));
            ret = image_create(options, err);
        }
        bp_value_unref(options);
        options = bp_value_dict();
        bp_value_set(options, "driver", bp_value_string(format));
        bp_value_set(options, "size", bp_value_uint((uint64_t)__atomic_load_n(&node->length, __ATOMIC_ACQUIRE)));
        if (ret == 0)
            bp_value_set(options, "file", bp_value_ref(file_options));
        bp_value_set(options, "backing-file", bp_value_string(node_shown_name(image)));
        bp_value_set(options, "backing-fmt", bp_value_string(image->driver->type.name + sizeof("block-") - 1));
        if (ret == 0)
            ret = image_create(options, err);
        bp_value_unref(options);
        bp_value_unref(file_options);
    }
    if (ret < 0)
        return ret;
    more = bp_value_dict();
    bp_value_set(more, "read-only", bp_value_bool(false));
    bp_value_set(more, "backing", bp_value_null());
    if (node->unmap)
        bp_value_set(more, "discard", bp_value_string("unmap"));
    if (name)
        bp_value_set(more, "node-name", bp_value_string(name));
    ret = image_open(file, format, more, ret_overlay, err);
    bp_value_unref(more);
    return ret;
}

/* The caller gets a reference to the overlay. What is concerned is drained. */
int snapshot_take(struct bp_value *args, bool sync, struct bp_block_node **ret_overlay, struct bp_error *err)
{
    const char *node_name = bp_value_get_string(args, "node"), *over = bp_value_get_string(args, "overlay");
    struct bp_block_node *node = NULL, *overlay = NULL;
    int ret;

    if (sync) {
        ret = by_names(args, &node, err);
        if (ret == 0)
            ret = job_allows_above(node, err); /* before a file is made */
        if (ret == 0)
            ret = new_overlay(args, node, &overlay, err);
        if (ret < 0)
            return ret;
    } else {
        node = node_name ? job_node(node_name, err) : NULL;
        overlay = over ? node_find(over) : NULL;
        if (!node_name || !over)
            return bp_fail(err, EINVAL, "members 'node' and 'overlay' are needed");
        if (!node)
            return -ENOENT;
        if (!overlay)
            return bp_fail(err, ENOENT, "member 'overlay': there is no node '%s'", over);
        if (overlay->parents)
            return bp_fail(err, EBUSY, "member 'overlay': node '%s' is in use", over);
        if (node_child_role(overlay, BP_BLOCK_BACKING))
            return bp_fail(err, EINVAL, "member 'overlay': node '%s' has something below it already: open it with "
                           "backing=null", over);
        node_ref(overlay);
    }
    ret = job_allows_above(node, err);
    if (ret == 0) {
        ret = node_flush(node);
        ret = ret < 0 ? bp_fail(err, -ret, "flushing failed: %s", strerror(-ret)) : put_overlay(node, overlay, err);
    }
    if (ret < 0)
        node_unref(overlay);
    else
        *ret_overlay = overlay;
    return ret;
}

static int take_alone(struct bp_value *args, bool sync, struct bp_error *err)
{
    struct bp_block_node *overlay;
    struct drained drained;
    int ret = drain_begin(NULL, &drained, err);

    if (ret < 0)
        return ret;
    ret = snapshot_take(args, sync, &overlay, err);
    drain_end(&drained);
    if (ret == 0)
        node_unref(overlay);
    return ret;
}

int qmp_snapshot(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = take_alone(args, false, err);

    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

int qmp_snapshot_sync(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = take_alone(args, true, err);

    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

/* ---- snapshots within images ---- */

static int internal(struct bp_value *args, enum bp_block_snapshot_op op, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *name = bp_value_get_string(args, "name");
    const char *id = bp_value_get_string(args, "id");
    struct bp_block_node *node = device ? skip_filters(job_node(device, err)) : NULL;
    struct bp_value *list = NULL;
    struct drained drained;
    int ret;

    if (!node)
        return device ? -ENOENT : bp_fail(err, EINVAL, "member 'device' is missing");
    if (!name && (!id || op == BP_BLOCK_SNAPSHOT_CREATE))
        return bp_fail(err, EINVAL, "member 'name' is missing");
    if (!node->driver->snapshot)
        return bp_fail(err, ENOTSUP, "images in the format '%s' have no snapshots",
                       node->driver->type.name + sizeof("block-") - 1);
    ret = drain_begin(node_ref(node), &drained, err);
    if (ret < 0) {
        node_unref(node);
        return ret;
    }
    ret = node->driver->snapshot(node, BP_BLOCK_SNAPSHOT_LIST, NULL, &list, err);
    for (size_t i = 0; ret == 0 && op == BP_BLOCK_SNAPSHOT_CREATE && i < bp_value_length(list); i++)
        if (!strcmp(bp_value_get_string(bp_value_at(list, i), "name"), name))
            ret = bp_fail(err, EEXIST, "there is a snapshot '%s' already", name);
    bp_value_unref(list);
    if (ret == 0)
        ret = node->driver->snapshot(node, op, name ? name : id, NULL, err);
    drain_end(&drained);
    node_unref(node);
    return ret;
}

int qmp_snapshot_internal(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = internal(args, BP_BLOCK_SNAPSHOT_CREATE, err);

    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

static int info_of(struct bp_block_node *node, const char *name, struct bp_value **ret)
{
    struct bp_value *list = NULL;
    int found = -ENOENT;

    if (!node || !node->driver->snapshot || node->driver->snapshot(node, BP_BLOCK_SNAPSHOT_LIST, NULL, &list, NULL) < 0)
        return -ENOENT;
    for (size_t i = 0; found < 0 && i < bp_value_length(list); i++) {
        struct bp_value *v = bp_value_at(list, i);

        if (!strcmp(bp_value_get_string(v, "name"), name) || !strcmp(bp_value_get_string(v, "id"), name)) {
            *ret = bp_value_copy(v);
            found = 0;
        }
    }
    bp_value_unref(list);
    return found;
}

int qmp_snapshot_delete_internal(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *name = bp_value_get_string(args, "name");
    struct bp_value *info = NULL;
    int ret;

    name = name ? name : bp_value_get_string(args, "id");
    if (device && name)
        info_of(skip_filters(job_node(device, NULL)), name, &info);
    ret = internal(args, BP_BLOCK_SNAPSHOT_DELETE, err);
    if (ret == 0)
        *ret_value = info ? info : bp_value_dict();
    else
        bp_value_unref(info);
    return ret;
}

/* ---- chains ---- */

int qmp_change_backing(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *name = bp_value_get_string(args, "image-node-name");
    const char *file = bp_value_get_string(args, "backing-file");
    struct bp_block_node *node = device ? job_node(device, err) : NULL, *image = name ? node_find(name) : NULL;
    struct bp_block_node *below;
    struct drained drained;
    bool read_only;
    int ret;

    if (!node)
        return device ? -ENOENT : bp_fail(err, EINVAL, "member 'device' is missing");
    if (!image || !node_is_below(image, node))
        return bp_fail(err, ENOENT, "member 'image-node-name': '%s' is no image of '%s'", name ? name : "", device);
    below = skip_filters(image_backing(image));
    if (!below)
        return bp_fail(err, EINVAL, "node '%s' has nothing below it", name);
    if (!image->driver->change_backing)
        return bp_fail(err, ENOTSUP, "images in the format '%s' have no backing files",
                       image->driver->type.name + sizeof("block-") - 1);
    ret = job_allows(image, err);
    if (ret == 0)
        ret = drain_begin(image, &drained, err);
    if (ret < 0)
        return ret;
    read_only = image->flags.read_only;
    if (read_only)
        ret = node_set_writable(image, true, err);
    if (ret == 0)
        ret = image->driver->change_backing(image, file, below->driver->type.name + sizeof("block-") - 1, err);
    if (ret == 0)
        ret = node_flush(image);
    if (read_only && !image->flags.read_only)
        node_set_writable(image, false, NULL);
    drain_end(&drained);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

int qmp_blockdev_change(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *parent = bp_value_get_string(args, "parent");
    struct bp_block_node *node = parent ? job_node(parent, err) : NULL;

    (void)ret_value;
    if (!node)
        return parent ? -ENOENT : bp_fail(err, EINVAL, "member 'parent' is missing");
    return bp_fail(err, ENOTSUP, "node '%s': driver '%s' takes and gives no children while it is open", node->name,
                   node->driver->type.name + sizeof("block-") - 1);
}

/* ---- transactions ---- */

struct action {
    struct bp_block_node *overlay; /* of a snapshot */
    struct bitmap_action *bitmap;
    struct job *job;
    struct bp_value *internal; /* arguments of a snapshot within an image */
};

static int prepare(struct action *a, const char *type, struct bp_value *data, struct job_group *group,
                   struct bp_error *err)
{
    int ret;

    if (!strcmp(type, "abort"))
        return bp_fail(err, ECANCELED, "the transaction was aborted by its action 'abort'");
    if (!strcmp(type, "blockdev-snapshot") || !strcmp(type, "blockdev-snapshot-sync"))
        return snapshot_take(data, type[sizeof("blockdev-snapshot") - 1] != '\0', &a->overlay, err);
    if (!strncmp(type, "block-dirty-bitmap-", 19))
        return bitmap_do(type, data, &a->bitmap, err);
    if (!strcmp(type, "blockdev-snapshot-internal-sync")) {
        ret = internal(data, BP_BLOCK_SNAPSHOT_CREATE, err);
        a->internal = ret == 0 ? data : NULL;
        return ret;
    }
    if (strcmp(type, "drive-backup") != 0 && strcmp(type, "blockdev-backup") != 0)
        return bp_fail(err, EINVAL, "there is no action '%s'", type);
    ret = backup_new(data, type[0] == 'd', &a->job, err);
    if (ret == 0 && group)
        job_group_join(group, a->job);
    return ret;
}

static void undo(struct action *a)
{
    if (a->overlay) {
        snapshot_undo(a->overlay);
        node_unref(a->overlay);
    }
    if (a->bitmap)
        bitmap_end(a->bitmap, true);
    if (a->job)
        job_abandon(a->job);
    if (a->internal)
        internal(a->internal, BP_BLOCK_SNAPSHOT_DELETE, NULL);
}

static void commit(struct action *a)
{
    if (a->overlay)
        node_unref(a->overlay);
    if (a->bitmap)
        bitmap_end(a->bitmap, false);
    if (a->job)
        job_start(a->job, NULL);
}

int qmp_transaction(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_get(args, "actions"), *props = bp_value_get(args, "properties");
    const char *mode = props ? bp_value_get_string(props, "completion-mode") : NULL;
    size_t count = bp_value_length(list), done = 0;
    struct action *actions;
    struct job_group *group = NULL;
    struct drained drained;
    int ret;

    if (mode && strcmp(mode, "individual") != 0 && strcmp(mode, "grouped") != 0)
        return bp_fail(err, EINVAL, "member 'completion-mode' is individual or grouped");
    if (count > 1024)
        return bp_fail(err, EFBIG, "a transaction has at most 1024 actions");
    ret = drain_begin(NULL, &drained, err);
    if (ret < 0)
        return ret;
    if (mode && !strcmp(mode, "grouped"))
        group = job_group_new();
    actions = calloc(count ? count : 1, sizeof(*actions));
    ret = actions ? 0 : bp_fail(err, ENOMEM, "no memory for a transaction");
    for (; ret == 0 && done < count; done++) {
        struct bp_value *v = bp_value_at(list, done), *data = bp_value_get(v, "data");
        const char *type = bp_value_get_string(v, "type");

        ret = !type || bp_value_type(data) != BP_VALUE_DICT
                  ? bp_fail(err, EINVAL, "an action has the members 'type' and 'data'")
                  : prepare(&actions[done], type, data, group, err);
        if (ret < 0)
            break;
    }
    for (size_t i = done; ret < 0 && i-- > 0;)
        undo(&actions[i]);
    drain_end(&drained);
    for (size_t i = 0; ret == 0 && i < count; i++)
        commit(&actions[i]);
    job_group_unref(group);
    free(actions);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}
