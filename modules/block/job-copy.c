/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What jobs that copy have in common: handles on nodes, pieces, targets. [main] */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

int job_blk(struct job *job, struct bp_block_node *node, uint32_t need, uint32_t shared, struct bp_blk **ret_blk,
            struct bp_error *err)
{
    struct bp_blk *blk = blk_new(NULL);
    int ret = blk_insert(blk, node, err);

    blk->open = true;
    blk->path = bp_strdup(job->id);
    if (ret == 0)
        ret = permissions_set(&blk->root, need, shared, err);
    if (ret < 0) {
        blk->open = false;
        free(blk->path);
        blk->path = NULL;
        blk_free(blk);
        return ret;
    }
    *ret_blk = blk;
    return 0;
}

void job_blk_free(struct bp_blk *blk)
{
    if (!blk)
        return;
    permissions_set(&blk->root, 0, BP_BLOCK_PERM_ALL, NULL);
    blk->open = false;
    free(blk->path);
    blk->path = NULL;
    blk_free(blk);
}

static void wait_at_gate(struct bp_blk *blk)
{
    bp_co_mutex_lock(blk->gate_mutex);
    if (blk->quiesced)
        bp_co_queue_wait(blk->gate, blk->gate_mutex);
    bp_co_mutex_unlock(blk->gate_mutex);
}

/* Never waits for one while it counts in the other: who drains both waits for each. */
int job_enter(struct bp_blk *a, struct bp_blk *b)
{
    for (;;) {
        if (!blk_enter(a)) {
            wait_at_gate(a);
            continue;
        }
        if (!b || blk_enter(b))
            return 0;
        blk_leave(a);
        wait_at_gate(b);
    }
}

void job_leave(struct bp_blk *a, struct bp_blk *b)
{
    blk_leave(a);
    if (b)
        blk_leave(b);
}

int copy_piece(struct bp_block_node *from, struct bp_block_node *to, uint64_t offset, uint64_t bytes, uint8_t *buf,
               bool may_unmap, bool *ret_reads)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = &iov, .iov_count = 1};
    int ret = node_request(from, BP_BLOCK_READ, &req);

    *ret_reads = ret < 0;
    if (ret < 0)
        return ret;
    if (!iov_is_zero(&iov, 1))
        return node_request(to, BP_BLOCK_WRITE, &req);
    req.iov = NULL;
    req.iov_count = 0;
    req.flags = may_unmap ? BP_BLOCK_MAY_UNMAP : 0;
    return node_request(to, BP_BLOCK_WRITE_ZEROES, &req);
}

int node_set_writable(struct bp_block_node *node, bool writable, struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();
    struct bp_block_child *primary = node_primary(node);
    int ret = 0;

    bp_value_set(options, "read-only", bp_value_bool(!writable));
    if (writable && primary && primary->node->flags.read_only)
        ret = node_set_writable(primary->node, true, err);
    if (ret == 0)
        ret = node_reopen(node, options, err);
    if (ret == 0 && !writable && primary)
        ret = node_set_writable(primary->node, false, err);
    bp_value_unref(options);
    return ret;
}

struct bp_block_node *skip_filters(struct bp_block_node *node)
{
    while (node && node->driver->flags & BP_BLOCK_FILTER && node_primary(node))
        node = node_primary(node)->node;
    return node;
}

struct bp_block_node *job_node(const char *name, struct bp_error *err)
{
    struct bp_blk *blk = blk_find(name);
    struct bp_block_node *node = blk ? blk->root.node : node_find(name);

    if (blk && !node)
        bp_fail(err, ENOMEDIUM, "there is no medium in '%s'", name);
    else if (!node)
        bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "there is no drive or node '%s'", name);
    return node;
}

/* ---- targets that a command names by file ---- */

static int make_image(const char *file, const char *format, uint64_t size, const char *backing, const char *backing_fmt,
                      struct bp_error *err)
{
    struct bp_value *file_options, *options;
    int ret = name_options(file, &file_options, err);

    if (ret < 0)
        return ret;
    options = bp_value_copy(file_options);
    bp_value_set(options, "size", bp_value_uint(!strcmp(format, "raw") ? size : 0));
    ret = image_create(options, err);
    bp_value_unref(options);
    if (ret == 0 && strcmp(format, "raw") != 0) {
        options = bp_value_dict();
        bp_value_set(options, "driver", bp_value_string(format));
        bp_value_set(options, "size", bp_value_uint(size));
        bp_value_set(options, "file", bp_value_ref(file_options));
        if (backing)
            bp_value_set(options, "backing-file", bp_value_string(backing));
        if (backing && backing_fmt)
            bp_value_set(options, "backing-fmt", bp_value_string(backing_fmt));
        ret = image_create(options, err);
        bp_value_unref(options);
    }
    bp_value_unref(file_options);
    return ret;
}

static const char *driver_name(const struct bp_block_node *node)
{
    return node->driver->type.name + sizeof("block-") - 1;
}

/* `below`: where what it has not is read from, as its header says; or NULL. */
int make_target(struct bp_value *args, struct bp_block_node *source, struct bp_block_node *below,
                struct bp_block_node **ret_node, struct bp_error *err)
{
    const char *file = bp_value_get_string(args, "target"), *format = bp_value_get_string(args, "format");
    const char *mode = bp_value_get_string(args, "mode"), *name = bp_value_get_string(args, "node-name");
    struct bp_block_node *image = skip_filters(source);
    struct bp_value *more;
    int ret = 0;

    if (!file)
        return bp_fail(err, EINVAL, "member 'target' is missing");
    if (mode && strcmp(mode, "existing") != 0 && strcmp(mode, "absolute-paths") != 0)
        return bp_fail(err, EINVAL, "member 'mode' is existing or absolute-paths");
    if (!format && (!mode || strcmp(mode, "existing") != 0))
        format = driver_name(image);
    if (!mode || strcmp(mode, "existing") != 0)
        ret = make_image(file, format, (uint64_t)__atomic_load_n(&source->length, __ATOMIC_ACQUIRE),
                         below ? node_shown_name(below) : NULL, below ? driver_name(below) : NULL, err);
    if (ret < 0)
        return ret;
    more = bp_value_dict();
    bp_value_set(more, "read-only", bp_value_bool(false));
    bp_value_set(more, "discard", bp_value_string("unmap"));
    bp_value_set(more, "backing", bp_value_null());
    if (name)
        bp_value_set(more, "node-name", bp_value_string(name));
    ret = image_open(file, format, more, ret_node, err);
    bp_value_unref(more);
    return ret;
}
