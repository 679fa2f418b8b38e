// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Split rings (Virtual I/O Device 1.2, 2.7): a table of descriptors, the driver's ring of what is
 * available, the device's ring of what is used. Indices run freely. Each descriptor is read once.
 */
#include <string.h>

#include "engine.h"

#define AVAIL_FLAGS 0u
#define AVAIL_IDX 2u
#define AVAIL_RING 4u
#define USED_FLAGS 0u
#define USED_IDX 2u
#define USED_RING 4u
#define NO_INTERRUPT 1u /* in the driver's flags */
#define NO_NOTIFY 1u    /* in ours */

static uint64_t used_event_at(const struct bp_virtq *q)
{
    return q->driver + AVAIL_RING + 2u * q->size;
}

static uint64_t avail_event_at(const struct bp_virtq *q)
{
    return q->device + USED_RING + 8u * q->size;
}

static bool look(struct bp_virtq *q)
{
    uint16_t index;

    if (!virtq_read16(q, q->driver + AVAIL_IDX, &index))
        return false;
    if ((uint16_t)(index - q->avail) > q->size) {
        virtio_broken(q->virtio, "more is available than the ring holds");
        return false;
    }
    q->avail_seen = index;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return true;
}

bool split_empty(struct bp_virtq *q)
{
    return q->avail == q->avail_seen && (!look(q) || q->avail == q->avail_seen);
}

static void host_order(struct desc *d, const struct desc *raw)
{
    *d = (struct desc){le64toh(raw->addr), le32toh(raw->len), le16toh(raw->flags), le16toh(raw->next)};
}

/* In a table of their own: read whole, then followed in our memory. Packed rings' are not linked. */
bool virtq_indirect(struct bp_virtq *q, const struct desc *d, bool linked, struct chain *chain)
{
    struct desc table[BP_VIRTQ_MAX_SIZE];
    unsigned entries = d->len / sizeof(struct desc), n = 0;
    const char *why = NULL;

    if (d->len == 0 || d->len % sizeof(struct desc) || entries > BP_VIRTQ_MAX_SIZE)
        why = "an indirect table has an impossible length";
    else if (!virtio_has(q->virtio, BP_VIRTIO_INDIRECT_DESC))
        why = "indirect descriptors were not negotiated";
    if (why) {
        virtio_broken(q->virtio, why);
        return false;
    }
    if (!virtq_read(q, d->addr, table, d->len))
        return false;
    for (unsigned at = 0; !why;) {
        struct desc *to = &chain->desc[chain->count];

        host_order(to, &table[at]);
        if (!linked) { /* 2.8.7: buffer id and flags but WRITE are reserved; the order of bytes differs */
            uint16_t flags = to->next;
            to->next = 0;
            to->flags = flags & DESC_WRITE;
        }
        if (to->flags & DESC_INDIRECT)
            why = "an indirect table leads to another";
        chain->count++;
        if (linked ? !(to->flags & DESC_NEXT) : at + 1 == entries)
            break;
        at = linked ? to->next : at + 1;
        if (at >= entries)
            why = "an indirect descriptor's next is beyond its table";
        else if (++n >= entries)
            why = "indirect descriptors go round in a loop";
    }
    if (why)
        virtio_broken(q->virtio, why);
    return !why;
}

static bool follow(struct bp_virtq *q, uint16_t at, struct chain *chain)
{
    for (chain->count = 0;;) {
        struct desc raw, *d = &chain->desc[chain->count];

        if (at >= q->size) {
            virtio_broken(q->virtio, "a descriptor's number is beyond the table");
            return false;
        }
        if (chain->count >= q->size) {
            virtio_broken(q->virtio, "descriptors go round in a loop");
            return false;
        }
        if (!virtq_read(q, q->desc + 16u * at, &raw, sizeof(raw)))
            return false;
        host_order(d, &raw);
        if (d->flags & DESC_INDIRECT) {
            const struct desc table = *d;

            /* 2.7.5.3.1 forbids NEXT with INDIRECT; older devices took direct ones before it. */
            if (table.flags & DESC_NEXT) {
                virtio_broken(q->virtio, "a descriptor is indirect and has a next");
                return false;
            }
            if (chain->count > 0) {
                virtio_broken(q->virtio, "an indirect descriptor follows others");
                return false;
            }
            return virtq_indirect(q, &table, true, chain);
        }
        chain->count++;
        if (!(d->flags & DESC_NEXT))
            return true;
        at = d->next;
    }
}

int split_pop(struct bp_virtq *q, const struct flight *at, struct chain *chain)
{
    uint16_t head;

    chain->slots = 1;
    chain->wrap = false;
    if (at) {
        chain->head = at->head;
        chain->position = at->position;
        return follow(q, at->head, chain) ? 1 : -1;
    }
    if (split_empty(q))
        return virtq_works(q) ? 0 : -1;
    if (!virtq_read16(q, q->driver + AVAIL_RING + 2u * (q->avail % q->size), &head))
        return -1;
    chain->head = head;
    chain->position = q->avail;
    if (!follow(q, head, chain))
        return -1;
    q->avail++;
    return 1;
}

void split_unpop(struct bp_virtq *q, const struct request *r)
{
    q->avail = r->position;
}

void split_push(struct bp_virtq *q, const struct request *r, uint32_t written)
{
    struct {
        uint32_t id, len;
    } entry = {htole32(r->head), htole32(written)};
    uint16_t slot = (uint16_t)(q->used + q->batch) % q->size;

    q->batch++;
    (void)virtq_write(q, q->device + USED_RING + 8u * slot, &entry, sizeof(entry));
}

static bool wants_interrupt(struct bp_virtq *q, uint16_t old)
{
    uint16_t value;
    bool valid;

    if (!q->event_idx) {
        if (virtio_has(q->virtio, BP_VIRTIO_NOTIFY_ON_EMPTY) && split_empty(q) && q->in_flight == 0)
            return true;
        return virtq_read16(q, q->driver + AVAIL_FLAGS, &value) && !(value & NO_INTERRUPT);
    }
    valid = q->event_valid;
    q->event_valid = true;
    if (!virtq_read16(q, used_event_at(q), &value))
        return false;
    return !valid || virtq_passed(value, q->used, old);
}

bool split_flush(struct bp_virtq *q)
{
    uint16_t old = q->used;

    q->used = (uint16_t)(q->used + q->batch);
    q->batch = 0;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (!virtq_write16(q, q->device + USED_IDX, q->used))
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is out before its wish is read */
    return wants_interrupt(q, old);
}

void split_kicks(struct bp_virtq *q, bool wanted)
{
    if (!q->event_idx)
        (void)virtq_write16(q, q->device + USED_FLAGS, wanted ? 0 : NO_NOTIFY);
    else if (wanted)
        (void)virtq_write16(q, avail_event_at(q), q->avail);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
