/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds `block-driver` and `block-aio`: what their classes must have, and how a driver is tried. */
#include <errno.h>
#include <string.h>

#include <bp/host/block-aio.h>

#include "block.h"

static int check_driver(const void *desc, struct bp_error *err)
{
    const struct bp_block_driver *d = desc;

    if (!d->read)
        return bp_fail(err, EINVAL, "has no read function");
    if (!d->length && !d->children)
        return bp_fail(err, EINVAL, "has neither a length nor a child whose length it has");
    if ((d->reopen_prepare || d->permissions_prepare) && d->type.size < sizeof(*d))
        return bp_fail(err, EINVAL, "its class is too short");
    return 0;
}

static int check_aio(const void *desc, struct bp_error *err)
{
    const struct bp_block_aio_class *class = desc;

    return class->open && class->close && class->submit
               ? 0 : bp_fail(err, EINVAL, "has no open, close or submit function");
}

/* ---- trying one: `backplane-module check` ---- */

static int use(struct bp_block_node *node, struct bp_error *err)
{
    static uint8_t bytes[8192], back[8192];
    struct iovec iov = {bytes, 5000}, in = {back, 5000};
    struct bp_block_request req = {.size = sizeof(req), .offset = 100, .bytes = 5000, .iov = &iov,
                                   .iov_count = 1};
    int ret = node->length >= 65536 && node->driver->write ? node_request(node, BP_BLOCK_WRITE, &req)
                                                           : 0;

    req.iov = &in;
    if (ret == 0 && node->length >= 65536)
        ret = node_request(node, BP_BLOCK_READ, &req);
    if (ret == 0)
        ret = node_flush(node);
    return ret < 0 ? bp_fail(err, -ret, "a request fails: %s", strerror(-ret)) : 0;
}

static int try_driver(void *opaque, struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();
    struct bp_block_node *node;
    struct bp_error why = {0};
    int ret;

    bp_value_set(options, "driver", bp_value_string(opaque));
    bp_value_set(options, "node-name", bp_value_string("check"));
    ret = node_new(options, NULL, 0, &node, &why);
    bp_value_unref(options);
    if (ret < 0)
        return bp_fail(err, ENOTSUP, "does not open with defaults alone: %s", why.message);
    ret = use(node, err);
    node_unref(node);
    return ret;
}

static int exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    int ret = run_now(try_driver, (void *)(uintptr_t)name, NULL, err);

    wait(opaque);
    return ret;
}

const struct bp_kind block_kind = {BP_BLOCK_KIND, .check = check_driver, .exercise = exercise};
const struct bp_kind block_aio_kind = {BP_BLOCK_AIO_KIND, .check = check_aio};
