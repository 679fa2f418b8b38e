// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rings that another process serves: the engine looks at nothing in them. It says where they lie and how far they
 * have been served, and carries notifications both ways.
 */
#include <errno.h>

#include "engine.h"

bool virtq_ring(struct bp_virtq *q, struct bp_virtq_ring *ret_ring)
{
    if (!q->enabled || q->resetting)
        return false;
    *ret_ring = (struct bp_virtq_ring){
        .size = sizeof(*ret_ring), .entries = q->size, .packed = q->packed, .avail_wrap = q->avail_wrap,
        .used_wrap = q->used_wrap, .desc = q->desc, .driver = q->driver, .device = q->device, .avail = q->avail,
        .used = q->used};
    return true;
}

int virtq_set_position(struct bp_virtq *q, const struct bp_virtq_ring *ring)
{
    if (q->packed && (ring->avail >= q->size || ring->used >= q->size))
        return -EINVAL;
    q->avail = q->avail_seen = ring->avail;
    q->used = ring->used;
    q->avail_wrap = ring->avail_wrap;
    q->used_wrap = ring->used_wrap;
    return 0;
}

void virtq_kick_fd(struct bp_virtq *q, int fd)
{
    for (unsigned i = 0; i < q->bell_count; i++)
        bp_doorbell_lend(q->bells[i], fd);
}

int virtq_interrupt_fd(struct bp_virtq *q, int fd, void (*changed)(void *opaque, bool taken), void *opaque)
{
    const struct virtio_transport *t = &q->virtio->transport;

    return t->interrupt_fd ? t->interrupt_fd(q->virtio->transport_opaque, q, fd, changed, opaque) : -ENOTSUP;
}

void virtq_interrupt(struct bp_virtq *q)
{
    if (virtq_works(q))
        q->virtio->transport.interrupt(q->virtio->transport_opaque, q);
}
