/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `block-compress`: what is written is written compressed, by formats that can (qcow2), in whole clusters. */
#include <errno.h>
#include <string.h>

#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct compress {
    struct bp_block_child *file;
};

static int compress_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct compress *s = block->state(node);
    const char *driver;

    (void)flags;
    s->file = block->child(node, "file");
    driver = block->image_driver(block->child_node(s->file));
    if (strcmp(driver, "qcow2") != 0)
        return bp_fail(err, ENOTSUP, "compress: '%s' does not write compressed data piece by piece; qcow2 does",
                       driver);
    return 0;
}

static int compress_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct compress *)block->state(node))->file, BP_BLOCK_READ, req);
}

static int compress_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct bp_block_request packed = *req;

    packed.flags |= BP_BLOCK_COMPRESSED;
    return block->child_request(((struct compress *)block->state(node))->file, BP_BLOCK_WRITE, &packed);
}

static int compress_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct compress *)block->state(node))->file, BP_BLOCK_WRITE_ZEROES, req);
}

static int compress_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct compress *)block->state(node))->file, BP_BLOCK_DISCARD, req);
}

/* Of a cluster that is written in part the framework reads the rest. */
static void compress_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    struct bp_block_limits below = {.size = sizeof(below)};

    block->child_limits(((struct compress *)block->state(node))->file, &below);
    limits->request_alignment = (uint32_t)below.optimal_transfer;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "an image that can hold compressed data"},
    {.name = NULL}};

BP_BLOCK_DRIVER(compress_driver, "compress", "Writes compressed data", struct compress, NULL,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA, .children = children,
                .open = compress_open, .read = compress_read, .write = compress_write,
                .write_zeroes = compress_zeroes, .discard = compress_discard, .limits = compress_limits);
BP_MODULE("block-compress", "Writing compressed", imports, {BP_PROVIDE_OTHER, &compress_driver});
