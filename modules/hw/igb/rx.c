/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception (chapter 7.1): legacy and advanced descriptors, these with their header in a buffer of its own where SRRCTL
 * says so, in sixteen rings between which receive-side scaling chooses. Without enough of them the packet is left with
 * the network until the guest gives more, or lost where SRRCTL says that. Left out: the packet checksum, filters of L3,
 * L4 and EtherTypes for queues, pools of virtual functions.
 */
#include "igb.h"

#define STATUS_UDPV 0x400u
#define SPLIT_HEADER 0x80000000u
#define DROP_ENABLE 0x80000000u
enum { LEGACY = 0, ONE_BUFFER = 1, HEADER_SPLIT = 2, ALWAYS = 5 };

struct layout {
    unsigned type;
    uint32_t packet, header; /* bytes of the buffers */
};

static struct layout layout(struct igb *s, unsigned queue)
{
    uint32_t v = *reg(&s->g, rx_queue(queue) + Q_SRRCTL);
    struct layout l = {v >> 25 & 7u, (v & 0x7fu) * 1024, (v >> 8 & 0x3fu) * 64};

    if (l.packet == 0)
        l.packet = gbe_buffer_size(&s->g);
    if (l.packet > GBE_LONGEST)
        l.packet = GBE_LONGEST;
    return l;
}

/* Bytes that go into the header's buffer. */
static uint32_t header(const struct layout *l, const struct gbe_arriving *a)
{
    uint32_t end = l->type == HEADER_SPLIT || l->type == ALWAYS ? gbe_header_end(a) : 0;

    if (end && end <= l->header && end < a->length)
        return end;
    return l->type == ALWAYS ? (l->header < a->length ? l->header : a->length) : 0;
}

static uint32_t needed(const struct layout *l, const struct gbe_arriving *a)
{
    uint32_t left = a->length - header(l, a);

    return left ? (left + l->packet - 1) / l->packet : 1;
}

static uint32_t packet_type(const struct gbe_arriving *a)
{
    uint32_t type = a->in.ip ? a->in.v6 ? 4u : 1u : 0;

    if (a->in.payload)
        type |= a->in.protocol == 6 ? 0x10u : 0x20u;
    return type;
}

static void write_back(struct igb *s, const struct gbe_arriving *a, uint64_t at, bool last, uint32_t head, uint32_t n)
{
    uint32_t status = GBE_STATUS_DD | (last ? GBE_STATUS_EOP | a->status : GBE_STATUS_IXSM);
    uint8_t d[DESCRIPTOR] = {0};

    if (last && (a->status & GBE_STATUS_UDPCS))
        status |= STATUS_UDPV;
    put_le32(d, a->hash_type | packet_type(a) << 4 | (head ? SPLIT_HEADER | head << 21 : 0));
    if (*reg(&s->g, RXCSUM) & RXCSUM_PCSD)
        put_le32(d + 4, a->hash);
    else if (a->in.ip && !a->in.v6)
        put_le32(d + 4, get_be16(a->head + a->in.ip + 4));
    put_le32(d + 8, status | (last ? (uint32_t)a->errors << 24 : 0));
    put_le32(d + 12, n | (last ? (uint32_t)a->tag << 16 : 0));
    s->g.pci->dma_write(s->g.dev, at, d, DESCRIPTOR);
}

static bool put(struct igb *s, const struct gbe_ring *ring, const struct layout *l, const struct gbe_arriving *a)
{
    uint8_t d[DESCRIPTOR], bytes[GBE_LONGEST];
    uint32_t done = 0;

    do {
        uint32_t head = done == 0 ? header(l, a) : 0, n = a->length - head - done;
        uint64_t at;

        if (gbe_ring_read(&s->g, ring, "receive", d, DESCRIPTOR, &at) < 0)
            return false;
        gbe_piece(&s->g, a, done, bytes, head);
        if (head && get_le64(d + 8))
            s->g.pci->dma_write(s->g.dev, get_le64(d + 8) & ~UINT64_C(1), bytes, head);
        n = n < l->packet ? n : l->packet;
        gbe_piece(&s->g, a, done + head, bytes, n);
        if (n && get_le64(d))
            s->g.pci->dma_write(s->g.dev, get_le64(d), bytes, n);
        done += head + n;
        write_back(s, a, at, done == a->length, head, n);
        gbe_ring_step(ring);
    } while (done < a->length);
    return true;
}

/* The queue: bits 3:0 of its entry in RETA. */
static unsigned choose(struct igb *s, const struct gbe_arriving *a)
{
    unsigned entry = a->hash & 0x7fu;

    return a->hash_type ? *reg(&s->g, RETA + (entry & ~3u)) >> entry % 4 * 8 & 15u : 0;
}

static void tell(struct igb *s, const struct gbe_ring *ring, unsigned queue)
{
    uint32_t threshold = (*reg(&s->g, rx_queue(queue) + Q_SRRCTL) >> 20 & 31u) * 16;

    if (gbe_ring_free(ring) < threshold)
        igb_interrupt(&s->g, ICR_RXDMT0);
    igb_queue_interrupt(s, false, queue);
}

/* false: not now. */
static bool put_in_queue(struct igb *s, unsigned queue, struct gbe_arriving *a)
{
    struct gbe_ring ring = gbe_ring(&s->g, rx_queue(queue), DESCRIPTOR);
    struct layout l = layout(s, queue);
    bool put_it;

    if (l.type == LEGACY)
        l.packet = gbe_buffer_size(&s->g);
    if (gbe_ring_free(&ring) < needed(&l, a)) {
        if (*reg(&s->g, rx_queue(queue) + Q_SRRCTL) & DROP_ENABLE) {
            gbe_count(&s->g, rx_queue(queue) + Q_DROPPED, 1);
            return true;
        }
        gbe_count(&s->g, RNBC, 1);
        igb_interrupt(&s->g, ICR_RXO);
        return false;
    }
    gbe_check_sums(&s->g, a);
    put_it = l.type == LEGACY ? gbe_put_legacy(&s->g, &ring, a) : put(s, &ring, &l, a);
    if (!put_it)
        return true;
    gbe_count_received(&s->g, a);
    tell(s, &ring, queue);
    return true;
}

static bool receive(struct igb *s, const struct bp_net_packet *packet)
{
    struct gbe *g = &s->g;
    uint32_t longest = *reg(g, RCTL) & RCTL_LPE ? *reg(g, RLPML) & 0x3fffu : 1518u;
    struct gbe_arriving a;
    unsigned queue;

    /* A tag comes on top. */
    if (!gbe_arrives(g, packet, longest + 4, &a))
        return true;
    gbe_scale(g, &a);
    queue = choose(s, &a);
    if (!(*reg(g, rx_queue(queue) + Q_DCTL) & DCTL_ENABLE))
        return true;
    return put_in_queue(s, queue, &a);
}

unsigned igb_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct igb *s = card;
    unsigned n = 0;

    (void)queue;
    /* Switched off, it hears nothing. */
    if (!(*reg(&s->g, RCTL) & RCTL_EN) || !(*reg(&s->g, STATUS) & STATUS_LU))
        return count;
    while (n < count && receive(s, &packets[n]))
        n++;
    return n;
}
