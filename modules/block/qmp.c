/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that make, change and end nodes. [main], coroutines */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

int qmp_blockdev_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_block_node *node;
    int ret;

    if (!bp_value_get_string(args, "node-name"))
        return bp_fail(err, EINVAL, "argument 'node-name' is missing");
    ret = node_new(args, NULL, 0, &node, err);
    if (ret < 0)
        return ret;
    node->named = true;
    *ret_value = bp_value_dict();
    return 0;
}

int qmp_blockdev_del(const char *node_name, struct bp_error *err)
{
    return node_del(node_name, err);
}

int qmp_blockdev_reopen(struct bp_value *list, struct bp_error *err)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < bp_value_length(list); i++) {
        struct bp_value *options = bp_value_at(list, i);
        const char *name = bp_value_get_string(options, "node-name");
        struct bp_block_node *node = name ? node_find(name) : NULL;
        const char *driver = bp_value_get_string(options, "driver");
        struct drained drained;

        if (!node)
            return bp_fail(err, name ? ENOENT : EINVAL, name ? "there is no node '%s'"
                           : "member 'node-name' is missing", name);
        if (driver && strcmp(driver, node->driver->type.name + sizeof("block-") - 1) != 0)
            return bp_fail(err, EINVAL, "node '%s': its driver cannot be changed", name);
        ret = job_allows(node, err);
        if (ret < 0)
            return ret;
        ret = drain_begin(node_ref(node), &drained, err);
        if (ret == 0) {
            ret = node_reopen(node, options, err);
            drain_end(&drained);
        }
        node_unref(node);
    }
    return ret;
}

/* By the drive's id or the node's name. */
static struct bp_block_node *named_node(const char *device, const char *node_name, struct bp_error *err)
{
    struct bp_blk *blk = device ? blk_find(device) : NULL;
    struct bp_block_node *node = node_name ? node_find(node_name) : blk ? blk->root.node : NULL;

    if (!device == !node_name)
        bp_fail(err, EINVAL, "give one of 'device' and 'node-name'");
    else if (device && blk && !node)
        bp_fail(err, ENOMEDIUM, "there is no medium in '%s'", device);
    else if (!node)
        bp_fail_class(err, device ? BP_ERROR_DEVICE_NOT_FOUND : BP_ERROR_GENERIC, ENOENT,
                      "there is no %s '%s'", device ? "drive" : "node", device ? device : node_name);
    return !device == !node_name ? NULL : node;
}

int qmp_block_resize(const char *device, const char *node_name, uint64_t size, struct bp_error *err)
{
    struct bp_block_node *node = named_node(device, node_name, err);
    struct drained drained;
    int ret;

    if (!node)
        return -ENOENT;
    for (struct bp_block_child *p = node->parents; p; p = p->next_parent)
        if (!(p->shared & BP_BLOCK_PERM_RESIZE)) {
            char *user = user_text(p);

            bp_fail(err, EBUSY, "%s does not let the length of node '%s' change", user, node->name);
            free(user);
            return -EBUSY;
        }
    ret = drain_begin(node_ref(node), &drained, err);
    if (ret == 0) {
        ret = node_resize(node, size, true, err);
        drain_end(&drained);
    }
    if (ret == 0)
        blk_resized(node);
    node_unref(node);
    return ret;
}

int qmp_write_threshold(const char *node_name, uint64_t threshold, struct bp_error *err)
{
    struct bp_block_node *node = node_find(node_name);

    if (!node)
        return bp_fail(err, ENOENT, "there is no node '%s'", node_name);
    __atomic_store_n(&node->threshold, threshold, __ATOMIC_RELEASE);
    return 0;
}

/* ---- commit ---- */

static int copy_range(struct bp_block_node *from, struct bp_block_node *to, uint64_t offset,
                      uint64_t bytes, uint8_t *buf)
{
    struct iovec iov = {buf, 0};
    int ret = 0;

    while (ret == 0 && bytes > 0) {
        struct bp_block_request req = {.size = sizeof(req), .iov = &iov, .iov_count = 1};

        iov.iov_len = bytes < MAX_BOUNCE ? (size_t)bytes : MAX_BOUNCE;
        req.offset = offset;
        req.bytes = iov.iov_len;
        ret = node_request(from, BP_BLOCK_READ, &req);
        if (ret == 0)
            ret = node_request(to, BP_BLOCK_WRITE, &req);
        offset += iov.iov_len;
        bytes -= iov.iov_len;
    }
    return ret;
}

static int copy_allocated(struct bp_block_node *top, struct bp_block_node *base)
{
    uint64_t at = 0, end = (uint64_t)__atomic_load_n(&top->length, __ATOMIC_ACQUIRE);
    uint8_t *buf = malloc(MAX_BOUNCE);
    int ret = buf ? 0 : -ENOMEM;

    if (ret == 0 && end > (uint64_t)base->length)
        ret = node_resize(base, end, false, NULL);
    while (ret == 0 && at < end) {
        struct bp_block_status status;

        ret = node_status(top, at, end - at, &status);
        if (ret == 0 && status.flags & BP_BLOCK_STATUS_ALLOCATED)
            ret = copy_range(top, base, at, status.bytes, buf);
        if (ret == 0)
            at += status.bytes;
    }
    free(buf);
    return ret;
}

static int commit_drained(struct bp_block_node *top, struct bp_block_child *edge, struct bp_error *err)
{
    struct bp_block_node *base = edge->node;
    bool was_read_only = base->flags.read_only;
    uint32_t need = edge->need;
    int ret = 0;

    if (was_read_only)
        ret = node_set_writable(base, true, err);
    if (ret == 0) /* while it lasts, the edge writes */
        ret = permissions_set(edge, BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE,
                              BP_BLOCK_PERM_READ, err);
    if (ret == 0) {
        ret = copy_allocated(top, base);
        if (ret == 0)
            ret = node_flush(base);
        if (ret == 0 && top->driver->make_empty)
            ret = top->driver->make_empty(top);
        if (ret < 0)
            bp_fail(err, -ret, "writing back to '%s' failed: %s", node_shown_name(base), strerror(-ret));
    }
    permissions_set(edge, need, BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_WRITE, NULL);
    if (was_read_only && !base->flags.read_only)
        node_set_writable(base, false, NULL);
    return ret;
}

/* Of the nearest node below that has a backing file. */
int block_commit(const char *device, struct bp_error *err)
{
    struct bp_blk *blk = blk_find(device);
    struct bp_block_node *node = blk ? blk->root.node : node_find(device);
    struct bp_block_child *edge = NULL;
    struct drained drained;
    int ret;

    if (!blk && !node)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "there is no drive '%s'", device);
    while (node && !(edge = node_child_role(node, BP_BLOCK_BACKING)) && node_primary(node))
        node = node_primary(node)->node;
    if (!node)
        return bp_fail(err, ENOMEDIUM, "there is no medium in '%s'", device);
    if (!edge)
        return bp_fail(err, ENOTSUP, "'%s' has no backing file to write back to", device);
    ret = job_allows(node, err);
    if (ret == 0)
        ret = job_allows(edge->node, err);
    if (ret < 0)
        return ret;
    ret = drain_begin(node_ref(node), &drained, err);
    if (ret == 0) {
        edge = node_child_role(node, BP_BLOCK_BACKING); /* others may have changed it meanwhile */
        ret = edge ? commit_drained(node, edge, err)
                   : bp_fail(err, ENOENT, "the backing file of '%s' was taken away meanwhile", device);
        drain_end(&drained);
    }
    node_unref(node);
    return ret;
}
