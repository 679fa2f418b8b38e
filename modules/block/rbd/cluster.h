/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of librados and librbd that wait for the cluster: each runs on a worker thread. */
#ifndef BLOCK_RBD_CLUSTER_H
#define BLOCK_RBD_CLUSTER_H

#include <rados/librados.h>
#include <rbd/librbd.h>

#include "rbd.h"

/* What secrets say; malloc'd, or NULL. */
struct rbd_secrets {
    char *key;        /* base64 */
    char *passphrase;
    size_t passphrase_length;
};

struct rbd_handle {
    rados_t cluster;
    rados_ioctx_t io;
    rbd_image_t image;
    bool connected, has_io, fast; /* fast: the cluster knows what of an image is there without looking at it */
};

struct rbd_snapshot {
    uint64_t id, size;
    char *name;
};

int handle_open(struct rbd_handle *h, const struct rbd_place *p, const struct rbd_secrets *secrets, bool read_only,
                struct bp_error *err);
void handle_close(struct rbd_handle *h); /* also one that is half open */
/* A new image of `size` bytes, those that its guest sees; order: 12 to 25, objects of so many bits; 0: as the cluster
 * has it. One of that name: -EEXIST. */
int handle_create(const struct rbd_place *p, const struct rbd_secrets *secrets, uint64_t size, int order,
                  struct bp_error *err);
/* From `offset` on: is it data, and for how long? At most `*bytes`. 0 or -errno. */
int handle_status(struct rbd_handle *h, uint64_t offset, uint64_t *bytes, bool *ret_data);
/* malloc'd list; its number or -errno. */
int handle_snapshots(struct rbd_handle *h, struct rbd_snapshot **ret);
void snapshots_free(struct rbd_snapshot *list, int count);

#endif
