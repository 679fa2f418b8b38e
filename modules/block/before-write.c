/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-copy-before-write`: what a disk has is copied to `target` before it is written over for the first time;
 * `snapshot-access` above such a node shows the disk as it was when the node was made.
 * Leaves out: bitmaps, discarding what was copied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/log.h>

#include "format.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define LEAST_CLUSTER 65536u
#define MOST_CLUSTERS (UINT64_C(1) << 30)

enum on_error { BREAK_WRITE, BREAK_SNAPSHOT };
static const char *const on_error_names[] = {"break-guest-write", "break-snapshot", NULL};
static const struct bp_schema on_error_schema = {"OnCbwError", BP_KIND_ENUM, .choices = on_error_names};

struct before {
    uint64_t cluster; /* min-cluster-size, and then what is copied at a time */
    int on_error;     /* enum on_error */
    struct bp_block_child *file, *target;
    uint64_t length;
    struct bp_co_mutex *lock; /* of all below; while it is held, nothing that was not copied is written over */
    uint64_t *copied;         /* bits */
    bool broken;              /* a copy failed: the snapshot is gone */
};

static bool is_copied(const struct before *s, uint64_t n)
{
    return s->copied[n / 64] >> (n % 64) & 1;
}

/* ---- copy-before-write ---- */

static int before_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct before *s = block->state(node);
    struct bp_block_limits limits = {.size = sizeof(limits)};
    int64_t length, room;

    (void)flags;
    s->file = block->child(node, "file");
    s->target = block->child(node, "target");
    length = block->child_length(s->file);
    room = block->child_length(s->target);
    if (length < 0 || room < length)
        return bp_fail(err, EINVAL, "copy-before-write: 'target' is shorter than 'file'");
    if (s->cluster & (s->cluster - 1) || s->cluster > 1u << 30)
        return bp_fail(err, EINVAL, "key 'min-cluster-size' expects a power of two, at most 1G");
    block->child_limits(s->target, &limits);
    s->cluster = s->cluster > LEAST_CLUSTER ? s->cluster : LEAST_CLUSTER;
    if (limits.optimal_transfer > s->cluster && limits.optimal_transfer <= 1u << 30)
        s->cluster = limits.optimal_transfer;
    s->length = (uint64_t)length;
    if (divide_up(s->length, s->cluster) > MOST_CLUSTERS)
        return bp_fail(err, EFBIG, "copy-before-write: so long a disk needs a larger min-cluster-size");
    s->copied = calloc((size_t)(divide_up(s->length, s->cluster) / 64 + 1), sizeof(uint64_t));
    if (!s->copied)
        return bp_fail(err, ENOMEM, "copy-before-write: no memory for what was copied");
    s->lock = bp_co_mutex_new();
    return 0;
}

static void before_close(struct bp_block_node *node)
{
    struct before *s = block->state(node);

    free(s->copied);
    bp_co_mutex_free(s->lock);
}

static int copy_cluster(struct before *s, uint64_t n, uint8_t *buf)
{
    uint64_t at = n * s->cluster, bytes = s->length - at < s->cluster ? s->length - at : s->cluster;
    int ret = format_io(s->file, BP_BLOCK_READ, at, buf, bytes);

    if (ret == 0)
        ret = format_io(s->target, BP_BLOCK_WRITE, at, buf, bytes);
    if (ret == 0)
        s->copied[n / 64] |= UINT64_C(1) << (n % 64);
    return ret;
}

/* What is about to be written over is in the target, or the snapshot is given up. */
static int save(struct bp_block_node *node, uint64_t offset, uint64_t bytes)
{
    struct before *s = block->state(node);
    uint8_t *buf = NULL;
    int ret = 0;

    bp_co_mutex_lock(s->lock);
    for (uint64_t n = offset / s->cluster; ret == 0 && !s->broken && n < divide_up(offset + bytes, s->cluster); n++) {
        if (is_copied(s, n))
            continue;
        if (!buf)
            buf = malloc((size_t)s->cluster);
        ret = buf ? copy_cluster(s, n, buf) : -ENOMEM;
    }
    if (ret < 0 && s->on_error == BREAK_SNAPSHOT) {
        bp_warn("node '%s': what is written over could not be copied, so its snapshot is given up: %s",
                block->node_name(node), strerror(-ret));
        s->broken = true;
        ret = 0;
    }
    bp_co_mutex_unlock(s->lock);
    free(buf);
    return ret;
}

static int write_after(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    struct before *s = block->state(node);
    int ret = save(node, req->offset, req->bytes);

    return ret < 0 ? ret : block->child_request(s->file, op, req);
}

static int before_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct before *)block->state(node))->file, BP_BLOCK_READ, req);
}

static int before_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_after(node, BP_BLOCK_WRITE, req);
}

static int before_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_after(node, BP_BLOCK_WRITE_ZEROES, req);
}

static int before_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_after(node, BP_BLOCK_DISCARD, req);
}

static void before_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                               uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    (void)node;
    (void)roles;
    if (!strcmp(child, "target")) {
        *ret_need = BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE;
        *ret_shared = BP_BLOCK_PERM_READ | BP_BLOCK_PERM_GRAPH;
    } else { /* nobody else writes past it */
        *ret_need = need | BP_BLOCK_PERM_READ;
        *ret_shared = shared & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE);
    }
}

static const struct bp_field before_props[] = {
    BP_PROP("min-cluster-size", SIZE, struct before, cluster, "0", "bytes that are copied at a time, at least"),
    BP_PROP_ENUM("on-cbw-error", &on_error_schema, struct before, on_error, "break-guest-write", "when a copy fails"),
    BP_FIELDS_END};
static const struct bp_block_child_info before_children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "the disk"},
    {.name = "target", .roles = BP_BLOCK_DATA, .help = "what it had goes here"}, {.name = NULL}};

BP_BLOCK_DRIVER(before_driver, "copy-before-write", "Keeps what is written over", struct before, before_props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA, .children = before_children,
                .open = before_open, .close = before_close, .read = before_read, .write = before_write,
                .write_zeroes = before_zeroes, .discard = before_discard, .permissions = before_permissions);

/* ---- snapshot-access ---- */

struct access {
    struct bp_block_child *file;
    struct before *before;
};

static int access_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct access *s = block->state(node);
    struct bp_block_node *below;

    (void)flags;
    s->file = block->child(node, "file");
    below = block->child_node(s->file);
    if (strcmp(block->image_driver(below), "copy-before-write") != 0)
        return bp_fail(err, EINVAL, "snapshot-access: 'file' is no node of copy-before-write");
    s->before = block->state(below);
    return 0;
}

/* With the lock, so that nothing is written over between the look and the read. */
static int access_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct before *b = ((struct access *)block->state(node))->before;
    uint64_t done = 0;
    int ret = 0;

    bp_co_mutex_lock(b->lock);
    while (ret == 0 && done < req->bytes) {
        uint64_t at = req->offset + done, n = b->cluster - at % b->cluster;
        struct bp_block_child *from = is_copied(b, at / b->cluster) ? b->target : b->file;
        uint8_t *buf = malloc((size_t)b->cluster);

        n = n < req->bytes - done ? n : req->bytes - done;
        ret = b->broken ? -EACCES : buf ? format_io(from, BP_BLOCK_READ, at, buf, n) : -ENOMEM;
        for (uint64_t i = 0, skip = done, left = n; ret == 0 && i < req->iov_count && left > 0; i++) {
            uint64_t len = req->iov[i].iov_len, take;

            if (skip >= len) {
                skip -= len;
                continue;
            }
            take = len - skip < left ? len - skip : left;
            memcpy((char *)req->iov[i].iov_base + skip, buf + (n - left), (size_t)take);
            left -= take;
            skip = 0;
        }
        free(buf);
        done += n;
    }
    bp_co_mutex_unlock(b->lock);
    return ret;
}

static int64_t access_length(struct bp_block_node *node)
{
    return (int64_t)((struct access *)block->state(node))->before->length;
}

/* What is written above it meanwhile does not matter to it. */
static void access_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                               uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    (void)node;
    (void)child;
    (void)roles;
    (void)need;
    (void)shared;
    *ret_need = 0;
    *ret_shared = BP_BLOCK_PERM_ALL;
}

static const struct bp_block_child_info access_children[] = {
    {.name = "file", .roles = BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "a node of copy-before-write"}, {.name = NULL}};

BP_BLOCK_DRIVER(access_driver, "snapshot-access", "A disk as it was", struct access, NULL,
                .flags = BP_BLOCK_READ_ONLY_DRIVER | BP_BLOCK_NO_NAME, .children = access_children,
                .open = access_open, .read = access_read, .length = access_length,
                .permissions = access_permissions);
BP_MODULE("block-copy-before-write", "Keeping what is written over", imports, {BP_PROVIDE_OTHER, &before_driver},
          {BP_PROVIDE_OTHER, &access_driver});
