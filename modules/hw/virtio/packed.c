// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Packed rings (Virtual I/O Device 1.2, 2.8): one ring of descriptors that driver and device write in
 * turn; whose turn it is, flags say together with wrap counters. The flags of a descriptor are read
 * first, the rest of it once, after them.
 */
#include <string.h>

#include "engine.h"

#define DESC_BYTES 16u
#define AT_LEN 8u
#define AT_FLAGS 14u
#define EVENT_OFFSET 0u
#define EVENT_FLAGS 2u
enum { EVENTS_ON, EVENTS_OFF, EVENTS_AT };

static uint64_t at(const struct bp_virtq *q, uint16_t position)
{
    return q->desc + DESC_BYTES * position;
}

static bool is_available(uint16_t flags, bool wrap)
{
    return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

bool packed_empty(struct bp_virtq *q)
{
    uint16_t flags;

    return !virtq_read16(q, at(q, q->avail) + AT_FLAGS, &flags) || !is_available(flags, q->avail_wrap);
}

static void advance(const struct bp_virtq *q, uint16_t *position, bool *wrap, unsigned by)
{
    unsigned next = *position + by;

    if (next >= q->size) {
        next -= q->size;
        *wrap = !*wrap;
    }
    *position = (uint16_t)next;
}

/* The descriptor at a position, whose flags are known. */
static bool read_rest(struct bp_virtq *q, uint16_t position, uint16_t flags, struct desc *ret)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t id;
    } __attribute__((packed)) raw;

    if (!virtq_read(q, at(q, position), &raw, sizeof(raw)))
        return false;
    *ret = (struct desc){le64toh(raw.addr), le32toh(raw.len), flags, le16toh(raw.id)};
    return true;
}

static bool follow(struct bp_virtq *q, uint16_t position, bool wrap, bool again, struct chain *chain)
{
    uint16_t flags, p = position;
    bool w = wrap;

    for (chain->count = 0;;) {
        struct desc *d = &chain->desc[chain->count];

        if (!virtq_read16(q, at(q, p) + AT_FLAGS, &flags))
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!again && !is_available(flags, w)) {
            virtio_broken(q->virtio, "a chain's next descriptor is not available");
            return false;
        }
        if (!read_rest(q, p, flags, d))
            return false;
        chain->head = d->next;
        if (flags & DESC_INDIRECT) {
            const struct desc table = *d;

            chain->slots = 1;
            if ((flags & DESC_NEXT) || chain->count > 0) {
                virtio_broken(q->virtio, "an indirect descriptor is part of a chain");
                return false;
            }
            return virtq_indirect(q, &table, false, chain);
        }
        chain->count++;
        chain->slots = (uint16_t)chain->count;
        if (!(flags & DESC_NEXT))
            return true;
        if (chain->count >= q->size) {
            virtio_broken(q->virtio, "a chain is longer than its ring");
            return false;
        }
        advance(q, &p, &w, 1);
    }
}

int packed_pop(struct bp_virtq *q, const struct flight *from, struct chain *chain)
{
    uint16_t position = from ? from->position : q->avail;
    bool wrap = from ? from->wrap : q->avail_wrap;

    if (!from && packed_empty(q))
        return virtq_works(q) ? 0 : -1;
    chain->position = position;
    chain->wrap = wrap;
    if (!follow(q, position, wrap, from != NULL, chain))
        return -1;
    if (!from)
        advance(q, &q->avail, &q->avail_wrap, chain->slots);
    return 1;
}

void packed_unpop(struct bp_virtq *q, const struct request *r)
{
    q->avail = r->position;
    q->avail_wrap = r->wrap;
}

void packed_push(struct bp_virtq *q, const struct request *r, uint32_t written)
{
    struct {
        uint32_t len;
        uint16_t id;
    } __attribute__((packed)) entry = {htole32(written), htole16(r->head)};
    uint16_t position = q->used, flags = written ? DESC_WRITE : 0;

    if (q->used_wrap)
        flags |= DESC_AVAIL | DESC_USED;
    advance(q, &q->used, &q->used_wrap, r->slots);
    q->batch = (uint16_t)(q->batch + r->slots);
    if (!q->first_flags_due) { /* the driver looks at it first: it becomes visible last */
        q->first_flags_due = true;
        q->first = position;
        q->first_flags = flags;
        (void)virtq_write(q, at(q, position) + AT_LEN, &entry, sizeof(entry));
        return;
    }
    if (!virtq_write(q, at(q, position) + AT_LEN, &entry, sizeof(entry)))
        return;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    (void)virtq_write16(q, at(q, position) + AT_FLAGS, flags);
}

bool packed_flush(struct bp_virtq *q)
{
    uint16_t batch = q->batch, event, flags, position;

    q->batch = 0;
    if (!q->first_flags_due)
        return false;
    q->first_flags_due = false;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (!virtq_write16(q, at(q, q->first) + AT_FLAGS, q->first_flags))
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!virtq_read16(q, q->driver + EVENT_FLAGS, &flags))
        return false;
    if (flags == EVENTS_OFF)
        return false;
    if (flags != EVENTS_AT || !q->event_idx)
        return true;
    if (!virtq_read16(q, q->driver + EVENT_OFFSET, &event))
        return false;
    position = event & 0x7fff;
    if (!!(event >> 15) != q->used_wrap)
        position = (uint16_t)(position - q->size);
    return virtq_passed(position, q->used, (uint16_t)(q->used - batch));
}

void packed_kicks(struct bp_virtq *q, bool wanted)
{
    uint16_t flags = !wanted ? EVENTS_OFF : q->event_idx ? EVENTS_AT : EVENTS_ON;

    if (flags == EVENTS_AT) {
        if (!virtq_write16(q, q->device + EVENT_OFFSET, (uint16_t)(q->avail | q->avail_wrap << 15)))
            return;
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
    (void)virtq_write16(q, q->device + EVENT_FLAGS, flags);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
