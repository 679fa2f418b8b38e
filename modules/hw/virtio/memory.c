// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Accesses to rings in the driver's memory. An address may lead to I/O, even to the device's own
 * registers: then the device's lock is let go meanwhile, and what stood before has to be looked at again.
 * The queue's epoch says whether it is still the same queue.
 */
#include "engine.h"

static struct bp_access access_of(const struct bp_virtio *v)
{
    struct bp_access who = {.size = sizeof(who)};

    if (v->transport.requester)
        v->transport.requester(v->transport_opaque, &who);
    return who;
}

struct bp_space *virtio_dma(struct bp_virtio *v)
{
    return v->transport.dma(v->transport_opaque);
}

int virtio_read_memory(struct bp_virtio *v, uint64_t addr, void *buf, uint64_t len)
{
    const struct bp_access who = access_of(v);

    return bp_space_read_as(virtio_dma(v), addr, buf, len, &who);
}

static bool finish(struct bp_virtq *q, uint32_t epoch, int ret)
{
    if (q->epoch != epoch)
        return false;
    if (ret < 0)
        virtio_broken(q->virtio, "a ring lies where no memory is");
    return ret == 0;
}

bool virtq_read(struct bp_virtq *q, uint64_t addr, void *buf, uint64_t len)
{
    const struct bp_access who = access_of(q->virtio);
    uint32_t epoch = q->epoch;

    return finish(q, epoch, bp_space_read_as(virtio_dma(q->virtio), addr, buf, len, &who));
}

bool virtq_write(struct bp_virtq *q, uint64_t addr, const void *buf, uint64_t len)
{
    const struct bp_access who = access_of(q->virtio);
    uint32_t epoch = q->epoch;

    return finish(q, epoch, bp_space_write_as(virtio_dma(q->virtio), addr, buf, len, &who));
}

bool virtq_read16(struct bp_virtq *q, uint64_t addr, uint16_t *ret)
{
    uint16_t value;

    if (!virtq_read(q, addr, &value, sizeof(value)))
        return false;
    *ret = le16toh(value);
    return true;
}

bool virtq_write16(struct bp_virtq *q, uint64_t addr, uint16_t value)
{
    value = htole16(value);
    return virtq_write(q, addr, &value, sizeof(value));
}
