/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-preallocate`: writes behind the end of a file get room for `prealloc-size` more at once, which is given
 * back when the node is closed or read-only. Between a format that grows and its file.
 */
#include <errno.h>

#include <bp/coroutine.h>
#include <bp/log.h>

#include "format.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct preallocate {
    uint64_t align, bytes;
    struct bp_block_child *file;
    struct bp_co_mutex *lock;
    uint64_t end; /* of what was written */
};

static int preallocate_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct preallocate *s = block->state(node);
    int64_t there;

    (void)flags;
    if (s->align == 0 || s->align % 512 || s->align & (s->align - 1) || s->align > 1u << 30)
        return bp_fail(err, EINVAL, "key 'prealloc-align' expects a power of two from 512 to 1G");
    if (s->bytes > UINT64_C(1) << 40)
        return bp_fail(err, EINVAL, "key 'prealloc-size' expects at most 1T");
    s->file = block->child(node, "file");
    there = block->child_length(s->file);
    if (there < 0)
        return (int)there;
    s->end = (uint64_t)there;
    s->lock = bp_co_mutex_new();
    return 0;
}

static int give_back(struct preallocate *s)
{
    int64_t there = block->child_length(s->file);

    return there < 0 || (uint64_t)there <= s->end ? 0 : block->child_resize(s->file, s->end, true, NULL);
}

static void preallocate_close(struct bp_block_node *node)
{
    struct preallocate *s = block->state(node);
    struct bp_block_open_flags flags = {.size = sizeof(flags)};

    block->open_flags(node, &flags);
    if (!flags.read_only && give_back(s) < 0)
        bp_warn("node '%s': the room at the end of its file could not be given back", block->node_name(node));
    bp_co_mutex_free(s->lock);
}

/* There is room up to `end`, and more. When the host has none to give in advance, that is no error yet. Under the
 * lock. */
static void make_room(struct preallocate *s, uint64_t end)
{
    int64_t there = block->child_length(s->file);
    uint64_t to = round_up(end + s->bytes, s->align);

    if (there < 0 || end <= (uint64_t)there || to > (uint64_t)BP_BLOCK_MAX_LENGTH)
        return;
    format_io(s->file, BP_BLOCK_WRITE_ZEROES, (uint64_t)there, NULL, to - (uint64_t)there);
}

static int write_to(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    struct preallocate *s = block->state(node);
    uint64_t end = req->offset + req->bytes;
    int ret;

    bp_co_mutex_lock(s->lock);
    if (end > s->end)
        make_room(s, end);
    bp_co_mutex_unlock(s->lock);
    ret = block->child_request(s->file, op, req);
    bp_co_mutex_lock(s->lock);
    if (ret == 0 && end > s->end)
        s->end = end;
    bp_co_mutex_unlock(s->lock);
    return ret;
}

static int preallocate_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct preallocate *)block->state(node))->file, BP_BLOCK_READ, req);
}

static int preallocate_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_to(node, BP_BLOCK_WRITE, req);
}

static int preallocate_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return write_to(node, BP_BLOCK_WRITE_ZEROES, req);
}

static int preallocate_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct preallocate *)block->state(node))->file, BP_BLOCK_DISCARD, req);
}

static int preallocate_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    return block->child_status(((struct preallocate *)block->state(node))->file, offset, bytes, ret);
}

static int64_t preallocate_length(struct bp_block_node *node)
{
    return (int64_t)((struct preallocate *)block->state(node))->end;
}

static int preallocate_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct preallocate *s = block->state(node);
    int64_t there = block->child_length(s->file);
    int ret;

    bp_co_mutex_lock(s->lock);
    if (there < 0)
        ret = (int)there;
    else if (length > s->end && length <= (uint64_t)there) /* zeroes are there already */
        ret = 0;
    else
        ret = block->child_resize(s->file, length, exact, err);
    if (ret == 0)
        s->end = length;
    bp_co_mutex_unlock(s->lock);
    return ret;
}

static int preallocate_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                              struct bp_value *options, struct bp_error *err)
{
    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "preallocate cannot change its own keys while it is open");
    return flags->read_only ? give_back(block->state(node)) : 0;
}

/* The end is moved back when nobody uses it any more, too. */
static void preallocate_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                                    uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    const uint32_t own = BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE;

    (void)node;
    (void)child;
    (void)roles;
    *ret_need = need | own;
    *ret_shared = shared & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE);
}

static const struct bp_field props[] = {
    BP_PROP("prealloc-align", SIZE, struct preallocate, align, "1M", "the file's end is a multiple of it"),
    BP_PROP("prealloc-size", SIZE, struct preallocate, bytes, "128M", "how much more is taken at once"),
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "a file that grows"}, {.name = NULL}};

BP_BLOCK_DRIVER(preallocate_driver, "preallocate", "Takes room for a file that grows in advance",
                struct preallocate, props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_GROWS | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA,
                .children = children, .open = preallocate_open, .close = preallocate_close, .read = preallocate_read,
                .write = preallocate_write, .write_zeroes = preallocate_zeroes, .discard = preallocate_discard,
                .status = preallocate_status, .length = preallocate_length, .resize = preallocate_resize,
                .permissions = preallocate_permissions, .reopen_prepare = preallocate_reopen);
BP_MODULE("block-preallocate", "Room in advance", imports, {BP_PROVIDE_OTHER, &preallocate_driver});
