/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings of descriptors (82540EM, chapters 3.2.6 and 3.4), and the clock of IEEE 1588's registers
 * (82574, chapter 10.2.10). */
#include <bp/log.h>

#include "gigabit.h"

struct gbe_ring gbe_ring(struct gbe *g, unsigned at, unsigned bytes)
{
    return (struct gbe_ring){.base = (uint64_t)*reg(g, at + 4) << 32 | *reg(g, at), .count = *reg(g, at + 8) / bytes,
                             .head = reg(g, at + 0x10), .tail = reg(g, at + 0x18)};
}

uint32_t gbe_ring_free(const struct gbe_ring *r)
{
    uint32_t head = *r->head, tail = *r->tail;

    if (r->count == 0 || head >= r->count || tail >= r->count)
        return 0;
    return tail >= head ? tail - head : r->count - head + tail;
}

int gbe_ring_read(struct gbe *g, const struct gbe_ring *r, const char *what, void *buf,
                  unsigned bytes, uint64_t *ret_at)
{
    uint64_t at = r->base + (uint64_t)*r->head * bytes;
    int e = g->pci->dma_read(g->dev, at, buf, bytes);

    if (e < 0)
        bp_guest_error("gigabit-ring", "%s: the %s ring at %#llx cannot be read", g->model->name, what,
                       (unsigned long long)at);
    *ret_at = at;
    return e;
}

uint64_t gbe_system_time(uint64_t start, int64_t since, int64_t now, uint32_t timinca, unsigned tick)
{
    uint64_t period = (uint64_t)(timinca >> 24) * tick, step = timinca & 0xffffffu;

    if (period == 0 || now < since)
        return start;
    return start + (uint64_t)(now - since) / period * step;
}

bool gbe_put_legacy(struct gbe *g, const struct gbe_ring *ring, const struct gbe_arriving *a)
{
    uint32_t size = gbe_buffer_size(g);
    uint8_t d[DESCRIPTOR], bytes[GBE_LONGEST];

    for (uint32_t done = 0; done < a->length;) {
        uint32_t n = a->length - done < size ? a->length - done : size;
        bool last = done + n == a->length;
        uint64_t at;

        if (gbe_ring_read(g, ring, "receive", d, DESCRIPTOR, &at) < 0)
            return false;
        gbe_piece(g, a, done, bytes, n);
        if (get_le64(d)) /* an address of 0 is a hole: skipped */
            g->pci->dma_write(g->dev, get_le64(d), bytes, n);
        put_le32(d + 8, n);
        d[12] = (uint8_t)(GBE_STATUS_DD | (last ? GBE_STATUS_EOP | a->status : GBE_STATUS_IXSM));
        d[13] = last ? a->errors : 0;
        d[14] = last ? (uint8_t)a->tag : 0;
        d[15] = last ? (uint8_t)(a->tag >> 8) : 0;
        g->pci->dma_write(g->dev, at + 8, d + 8, 8);
        gbe_ring_step(ring);
        done += n;
    }
    return true;
}
