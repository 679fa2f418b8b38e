/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `block-raw`: an image without a format, or a part of one (offset, size). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct raw_state {
    uint64_t offset, length;
    bool limited; /* size= was given */
    struct bp_block_child *file;
};

static int set_size(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                    struct bp_error *err)
{
    struct raw_state *s = bp_object_state(obj);

    (void)f;
    (void)err;
    s->length = bp_value_as_uint(value);
    s->limited = true;
    return 0;
}

static int get_size(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                    struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_uint(((struct raw_state *)bp_object_state(obj))->length);
    return 0;
}

static int64_t raw_length(struct bp_block_node *node)
{
    const struct raw_state *s = block->state(node);
    int64_t below = block->child_length(s->file);

    if (s->limited)
        return (int64_t)s->length;
    if (below < 0)
        return below;
    return below > (int64_t)s->offset ? below - (int64_t)s->offset : 0;
}

static int raw_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                    struct bp_error *err)
{
    struct raw_state *s = block->state(node);
    int64_t below;

    (void)flags;
    s->file = block->child(node, "file");
    below = block->child_length(s->file);
    if (below < 0)
        return (int)below;
    if (s->offset > (uint64_t)below)
        return bp_fail(err, EINVAL, "key 'offset': %llu is beyond the end, which is at %lld",
                       (unsigned long long)s->offset, (long long)below);
    if (s->limited && s->length > (uint64_t)below - s->offset)
        return bp_fail(err, EINVAL, "key 'size': only %llu bytes are there from this offset",
                       (unsigned long long)((uint64_t)below - s->offset));
    if (s->limited && s->length % 512)
        return bp_fail(err, EINVAL, "key 'size' is no multiple of 512");
    return 0;
}

static int hand_on(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    const struct raw_state *s = block->state(node);
    struct bp_block_request moved = *req;

    if (s->limited && (req->offset > s->length || req->bytes > s->length - req->offset))
        return -ENOSPC;
    moved.offset += s->offset;
    return block->child_request(s->file, op, &moved);
}

static int raw_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_READ, req);
}

static int64_t raw_splice(struct bp_block_node *node, uint64_t offset, uint64_t bytes, int pipe)
{
    const struct raw_state *s = block->state(node);

    if (s->limited && (offset > s->length || bytes > s->length - offset))
        return -ENOSPC;
    return block->child_splice(s->file, offset + s->offset, bytes, pipe);
}

static int raw_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_WRITE, req);
}

static int raw_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_WRITE_ZEROES, req);
}

static int raw_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return hand_on(node, BP_BLOCK_DISCARD, req);
}

static int raw_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                      struct bp_block_status *ret)
{
    const struct raw_state *s = block->state(node);

    return block->child_status(s->file, offset + s->offset, bytes, ret);
}

static int raw_scsi(struct bp_block_node *node, struct bp_block_scsi *command)
{
    const struct raw_state *s = block->state(node);

    return s->limited || s->offset ? -ENOTSUP : block->child_scsi(s->file, command);
}

static int raw_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    const struct raw_state *s = block->state(node);

    if (s->limited)
        return bp_fail(err, ENOTSUP, "its key 'size' fixes its length");
    return block->child_resize(s->file, length + s->offset, exact, err);
}

static void raw_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = 0; /* whoever is below sees to that */
    limits->memory_alignment = 0;
}

static int raw_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    uint64_t size = bp_value_as_uint(bp_value_get(options, "size"));

    return (uint64_t)block->child_length(file) == size ? 0 : block->child_resize(file, size, true, err);
}

static int raw_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                       struct bp_error *err)
{
    (void)used;
    (void)err;
    ret->required = ret->fully_allocated = bp_value_has(options, "size")
                                               ? bp_value_as_uint(bp_value_get(options, "size")) : size;
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("offset", SIZE, struct raw_state, offset, "0", "where in `file` it begins, in bytes"),
    {.name = "size", .kind = BP_KIND_SIZE, .help = "bytes of `file` that it shows; not given: all",
     .get = get_size, .set = set_size},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_DATA | BP_BLOCK_PRIMARY,
     .help = "what holds the bytes"},
    {.name = NULL}};

BP_BLOCK_DRIVER(raw_driver, "raw", "An image without a format", struct raw_state, props,
                .flags = BP_BLOCK_FORMAT | BP_BLOCK_FILTER | BP_BLOCK_GROWS,
                .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED,
                .children = children, .open = raw_open, .read = raw_read, .write = raw_write,
                .write_zeroes = raw_zeroes, .discard = raw_discard, .status = raw_status,
                .length = raw_length, .resize = raw_resize, .limits = raw_limits,
                .create = raw_create, .measure = raw_measure, .scsi = raw_scsi,
                .splice = raw_splice);
BP_MODULE("block-raw", "Raw disk images", imports, {BP_PROVIDE_OTHER, &raw_driver});
