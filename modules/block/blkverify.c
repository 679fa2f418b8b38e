/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-blkverify`: a disk that is kept twice, for tests of drivers. What is written goes to both; a read of
 * `test` has to give what `raw` gives, or it fails and the place is told.
 */
#include <errno.h>
#include <stdlib.h>

#include <bp/log.h>

#include "format.h"
#include "vectors.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct verify {
    struct bp_block_child *test, *raw;
};

static int verify_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct verify *s = block->state(node);
    int64_t a, b;

    (void)flags;
    s->test = block->child(node, "test");
    s->raw = block->child(node, "raw");
    a = block->child_length(s->test);
    b = block->child_length(s->raw);
    return a != b ? bp_fail(err, EINVAL, "blkverify: 'test' has %lld bytes and 'raw' has %lld", (long long)a,
                            (long long)b) : 0;
}

static int verify_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct verify *s = block->state(node);
    uint8_t *both = malloc((size_t)req->bytes * 2);
    int ret = both ? block->child_request(s->test, BP_BLOCK_READ, req) : -ENOMEM;

    if (ret == 0)
        ret = format_io(s->raw, BP_BLOCK_READ, req->offset, both, req->bytes);
    if (ret == 0)
        vectors_gather(req, both + req->bytes);
    for (uint64_t i = 0; ret == 0 && i < req->bytes; i++) {
        if (both[i] == both[req->bytes + i])
            continue;
        bp_warn("blkverify: node '%s': contents differ at byte %llu: 'test' has 0x%02x, 'raw' 0x%02x",
                block->node_name(node), (unsigned long long)(req->offset + i), both[req->bytes + i], both[i]);
        ret = -EIO;
    }
    free(both);
    return ret;
}

static int both(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req)
{
    struct verify *s = block->state(node);
    int a = block->child_request(s->test, op, req), b = block->child_request(s->raw, op, req);

    if (a != b)
        bp_warn("blkverify: node '%s': a request at byte %llu ends with %d in 'test' and with %d in 'raw'",
                block->node_name(node), (unsigned long long)req->offset, a, b);
    return a < 0 ? a : b;
}

static int verify_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return both(node, BP_BLOCK_WRITE, req);
}

static int verify_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    return both(node, BP_BLOCK_WRITE_ZEROES, req);
}

static void verify_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = 1u << 20; /* reads have a buffer */
}

static const struct bp_block_child_info children[] = {
    {.name = "test", .roles = BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "the image that is looked at"},
    {.name = "raw", .roles = BP_BLOCK_DATA, .help = "what it has to be like"}, {.name = NULL}};

BP_BLOCK_DRIVER(verify_driver, "blkverify", "Compares an image with another one", struct verify, NULL,
                .flags = BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA, .children = children, .open = verify_open,
                .read = verify_read, .write = verify_write, .write_zeroes = verify_zeroes, .limits = verify_limits);
BP_MODULE("block-blkverify", "Comparing disks", imports, {BP_PROVIDE_OTHER, &verify_driver});
