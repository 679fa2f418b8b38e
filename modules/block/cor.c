/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-copy-on-read`: what a read finds only in the backing chain of the image below is written into
 * that image. The framework lets no write that overlaps run beside such a read.
 */
#include <errno.h>

#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct cor_state {
    struct bp_block_child *file;
};

static int cor_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                    struct bp_error *err)
{
    struct cor_state *s = block->state(node);

    (void)err;
    (void)flags;
    s->file = block->child(node, "file");
    return 0;
}

static bool all_there(struct cor_state *s, const struct bp_block_request *req)
{
    uint64_t at = req->offset, end = req->offset + req->bytes;

    while (at < end) {
        struct bp_block_status status = {.size = sizeof(status)};

        if (block->child_status(s->file, at, end - at, &status) < 0 ||
            !(status.flags & BP_BLOCK_STATUS_ALLOCATED))
            return false;
        at += status.bytes;
    }
    return true;
}

static int cor_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct cor_state *s = block->state(node);
    struct bp_block_request copy = *req;
    bool there = all_there(s, req);
    int ret = block->child_request(s->file, BP_BLOCK_READ, req);

    if (ret < 0 || there)
        return ret;
    copy.flags = BP_BLOCK_UNCHANGED;
    ret = block->child_request(s->file, BP_BLOCK_WRITE, &copy);
    /* The guest has its data: a full disk below is no reason to tell it otherwise. */
    return ret == -ENOSPC ? 0 : ret;
}

static int cor_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct cor_state *)block->state(node))->file, BP_BLOCK_WRITE, req);
}

static int cor_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct cor_state *)block->state(node))->file, BP_BLOCK_WRITE_ZEROES, req);
}

static int cor_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct cor_state *)block->state(node))->file, BP_BLOCK_DISCARD, req);
}

static void cor_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                            uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    (void)node;
    (void)child;
    (void)roles;
    *ret_need = need | (need & BP_BLOCK_PERM_READ ? BP_BLOCK_PERM_UNCHANGED : 0);
    *ret_shared = shared;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "image that fills up"},
    {.name = NULL}};

BP_BLOCK_DRIVER(cor_driver, "copy-on-read", "Keeps what is read from a backing file",
                struct cor_state, NULL, .flags = BP_BLOCK_FILTER | BP_BLOCK_SERIAL_READS | BP_BLOCK_NO_NAME,
                .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED, .children = children, .open = cor_open,
                .read = cor_read, .write = cor_write, .write_zeroes = cor_zeroes,
                .discard = cor_discard, .permissions = cor_permissions);
BP_MODULE("block-copy-on-read", "Copy on read", imports, {BP_PROVIDE_OTHER, &cor_driver});
