/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules `block-null-co` and `block-null-aio`: a disk that keeps nothing, for measuring what is above it. */
#include <errno.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct null_state {
    uint64_t length, latency_ns;
    bool read_zeroes;
};

static int take_time(struct bp_block_node *node)
{
    const struct null_state *s = block->state(node);

    if (s->latency_ns > 0 && block->may_wait())
        return bp_co_sleep(BP_CLOCK_REALTIME, (int64_t)s->latency_ns);
    return 0;
}

static int null_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    const struct null_state *s = block->state(node);
    int ret = take_time(node);

    for (unsigned i = 0; ret == 0 && s->read_zeroes && i < req->iov_count; i++)
        __builtin_memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
    return ret;
}

static int null_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    (void)req;
    return take_time(node);
}

static int null_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                       struct bp_block_status *ret)
{
    const struct null_state *s = block->state(node);

    (void)offset;
    ret->bytes = bytes;
    ret->flags = BP_BLOCK_STATUS_ALLOCATED |
                 (s->read_zeroes ? BP_BLOCK_STATUS_ZERO : BP_BLOCK_STATUS_DATA);
    return 0;
}

static int64_t null_length(struct bp_block_node *node)
{
    return (int64_t)((struct null_state *)block->state(node))->length;
}

static int null_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                     struct bp_error *err)
{
    (void)flags;
    if (((struct null_state *)block->state(node))->length > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EINVAL, "key 'size' is too large");
    block->set_filename(node, NULL_NAME "://");
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("size", SIZE, struct null_state, length, "1073741824", "bytes that it is long"),
    BP_PROP("latency-ns", UINT64, struct null_state, latency_ns, "0",
            "how long each request takes, in nanoseconds"),
    BP_PROP("read-zeroes", BOOL, struct null_state, read_zeroes, "off",
            "reads give zeroes; else memory is left as it was"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(null_driver, NULL_NAME, "A disk that keeps nothing", struct null_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA,
                .open = null_open, .read = null_read, .write = null_write,
                .write_zeroes = null_write, .discard = null_write, .status = null_status,
                .length = null_length);
BP_MODULE("block-" NULL_NAME, "A disk that keeps nothing", imports, {BP_PROVIDE_OTHER, &null_driver});
