/* SPDX-License-Identifier: MIT */
/* @name@: where its blocks lie, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/host/block.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct @ident@ {
    uint64_t length; /* bytes */
    uint8_t *bytes;
};

BP_USE(block, struct bp_block_interface, "block", 1);

static int @ident@_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                        struct bp_error *err)
{
    struct @ident@ *s = block->state(node);

    (void)flags;
    s->bytes = calloc(1, s->length ? s->length : 1);
    return s->bytes ? 0 : bp_fail(err, ENOMEM, "key 'size' is more than there is memory for");
}

static void @ident@_close(struct bp_block_node *node)
{
    struct @ident@ *s = block->state(node);

    free(s->bytes);
}

/* Offset and length are within length(); a driver that needs them aligned says so in limits(). */
static int @ident@_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct @ident@ *s = block->state(node);
    uint64_t at = req->offset;

    for (unsigned i = 0; i < req->iov_count; at += req->iov[i++].iov_len)
        memcpy(req->iov[i].iov_base, s->bytes + at, req->iov[i].iov_len);
    return 0;
}

static int @ident@_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct @ident@ *s = block->state(node);
    uint64_t at = req->offset;

    for (unsigned i = 0; i < req->iov_count; at += req->iov[i++].iov_len)
        memcpy(s->bytes + at, req->iov[i].iov_base, req->iov[i].iov_len);
    return 0;
}

static int64_t @ident@_length(struct bp_block_node *node)
{
    return (int64_t)((struct @ident@ *)block->state(node))->length;
}

static const struct bp_field @ident@_props[] = {
    BP_PROP("size", SIZE, struct @ident@, length, "1048576", "bytes that it is long"), BP_FIELDS_END};

BP_BLOCK_DRIVER(@ident@, "@name@", "One line of help", struct @ident@, @ident@_props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_NO_NAME, .open = @ident@_open,
                .close = @ident@_close, .read = @ident@_read, .write = @ident@_write,
                .length = @ident@_length);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(block, "block", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_OTHER, &@ident@});
