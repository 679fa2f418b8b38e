/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception (chapter 7.1): legacy, extended and packet split descriptors in two rings, between
 * which receive-side scaling chooses. Without enough of them the packet is left with the network
 * until the guest gives more; the hardware would lose it (and sets RXO, as here). Left out: the
 * packet checksum from RXCSUM.PCSS on.
 */
#include "e1000e.h"

#define SPLIT 32u /* bytes of a descriptor for split packets: two places of its ring */
#define STATUS_UDPV 0x400u
#define HEADER_SPLIT 0x8000u

/* Where pieces of a packet go. */
struct buffers {
    unsigned count;
    uint32_t size[4];
};

static bool extended(const struct e1000e *s)
{
    return s->reg[RFCTL / 4] & RFCTL_EXTEN;
}

static bool splits(const struct e1000e *s)
{
    return extended(s) && (s->reg[RCTL / 4] & 0xc00u) == RCTL_DTYP_SPLIT;
}

static struct buffers buffers(struct e1000e *s)
{
    uint32_t v = *reg(&s->g, PSRCTL);

    if (!splits(s))
        return (struct buffers){1, {gbe_buffer_size(&s->g)}};
    return (struct buffers){4, {(v & 0x7fu) * 128, (v >> 8 & 0x3fu) * 1024, (v >> 16 & 0x3fu) * 1024,
                                (v >> 24 & 0x3fu) * 1024}};
}

static uint32_t room(const struct buffers *b)
{
    return b->size[0] + b->size[1] + b->size[2] + b->size[3];
}

/* Bytes of the header that go into a first buffer by themselves; 0: it is not split. */
static uint32_t header(struct e1000e *s, const struct buffers *b, const struct gbe_arriving *a)
{
    uint32_t end = splits(s) ? gbe_header_end(a) : 0;

    return end <= b->size[0] && end < a->length ? end : 0;
}

static uint32_t needed(struct e1000e *s, const struct buffers *b, const struct gbe_arriving *a)
{
    uint32_t all = room(b), head = header(s, b, a), first = all - (head ? b->size[0] - head : 0);

    if (all == 0 || (head && all == b->size[0]))
        return 0;
    return a->length <= first ? 1 : 1 + (a->length - first + all - 1) / all;
}

/* Fills the buffers of one descriptor from `done` on. Returns how far it came. */
static uint32_t fill(struct e1000e *s, const struct gbe_arriving *a, const struct buffers *b, const uint8_t *d,
                     uint32_t done, uint16_t lengths[4])
{
    uint32_t head = done == 0 ? header(s, b, a) : 0;
    uint8_t bytes[GBE_LONGEST];

    for (unsigned i = 0; i < b->count; i++) {
        uint32_t most = i == 0 && head ? head : b->size[i], n = a->length - done < most ? a->length - done : most;

        gbe_piece(&s->g, a, done, bytes, n);
        if (n && get_le64(d + 8 * i))
            s->g.pci->dma_write(s->g.dev, get_le64(d + 8 * i), bytes, n);
        lengths[i] = (uint16_t)n;
        done += n;
    }
    return done;
}

static void write_back(struct e1000e *s, const struct gbe_arriving *a, uint64_t at, unsigned bytes, bool last,
                       uint32_t head, const uint16_t lengths[4])
{
    uint32_t status = GBE_STATUS_DD | (last ? GBE_STATUS_EOP | a->status : GBE_STATUS_IXSM);
    bool hashed = *reg(&s->g, RXCSUM) & RXCSUM_PCSD;
    uint8_t d[SPLIT] = {0};

    if (last && (a->status & GBE_STATUS_UDPCS))
        status |= STATUS_UDPV;
    if (hashed) {
        put_le32(d, a->hash_type);
        put_le32(d + 4, a->hash);
    } else if (a->in.ip && !a->in.v6) {
        put_le32(d + 4, get_be16(a->head + a->in.ip + 4));
    }
    put_le32(d + 8, status | (last ? (uint32_t)a->errors << 24 : 0));
    put_le32(d + 12, lengths[0] | (last ? (uint32_t)a->tag << 16 : 0));
    put_le32(d + 16, (head ? HEADER_SPLIT | head : 0) | (uint32_t)lengths[1] << 16);
    put_le32(d + 20, lengths[2] | (uint32_t)lengths[3] << 16);
    s->g.pci->dma_write(s->g.dev, at, d, bytes == SPLIT ? 24 : DESCRIPTOR);
}

static bool put(struct e1000e *s, const struct gbe_ring *ring, const struct buffers *b, const struct gbe_arriving *a)
{
    unsigned size = splits(s) ? SPLIT : DESCRIPTOR;
    uint8_t d[SPLIT] = {0};

    for (uint32_t done = 0; done < a->length;) {
        uint32_t head = done == 0 ? header(s, b, a) : 0;
        uint16_t lengths[4] = {0};
        uint64_t at;

        if (gbe_ring_read(&s->g, ring, "receive", d, DESCRIPTOR, &at) < 0 ||
            (size == SPLIT && s->g.pci->dma_read(s->g.dev, at + DESCRIPTOR, d + DESCRIPTOR, DESCRIPTOR) < 0))
            return false;
        done = fill(s, a, b, d, done, lengths);
        write_back(s, a, at, size, done == a->length, head, lengths);
        gbe_ring_step(ring);
        if (size == SPLIT)
            gbe_ring_step(ring);
    }
    return true;
}

/* The ring for it: bit 7 of its entry in RETA. */
static unsigned choose(struct e1000e *s, const struct gbe_arriving *a)
{
    unsigned entry = a->hash & 0x7fu;

    return a->hash_type ? *reg(&s->g, RETA + (entry & ~3u)) >> entry % 4 * 8 >> 7 & 1u : 0;
}

static uint32_t causes_of(struct e1000e *s, const struct gbe_ring *ring, unsigned queue)
{
    uint32_t causes = ICR_RXT0 | ICR_RXQ0 << queue;

    if (gbe_ring_free(ring) <= ring->count >> (1 + (*reg(&s->g, RCTL) >> 8 & 3u)))
        causes |= ICR_RXDMT0;
    return causes;
}

/* false: not now. */
static bool receive(struct e1000e *s, const struct bp_net_packet *packet)
{
    struct gbe *g = &s->g;
    struct buffers b = buffers(s);
    struct gbe_arriving a;
    struct gbe_ring ring;
    unsigned queue;

    if (!gbe_arrives(g, packet, *reg(g, RCTL) & RCTL_LPE ? GBE_LONGEST : 1522, &a))
        return true;
    gbe_scale(g, &a);
    queue = choose(s, &a);
    ring = gbe_ring(g, RDBAL + QUEUE_STRIDE * queue, DESCRIPTOR);
    if (needed(s, &b, &a) == 0)
        return true; /* buffers of no size */
    if (gbe_ring_free(&ring) < needed(s, &b, &a) * (splits(s) ? 2 : 1)) {
        gbe_count(g, RNBC, 1);
        e1000e_interrupt(g, ICR_RXO);
        return false;
    }
    gbe_check_sums(g, &a);
    if (extended(s) ? !put(s, &ring, &b, &a) : !gbe_put_legacy(g, &ring, &a))
        return true;
    gbe_count_received(g, &a);
    e1000e_interrupt(g, causes_of(s, &ring, queue));
    return true;
}

unsigned e1000e_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct e1000e *s = card;
    unsigned n = 0;

    (void)queue;
    /* Switched off, it hears nothing. */
    if (!(*reg(&s->g, RCTL) & RCTL_EN) || !(*reg(&s->g, STATUS) & STATUS_LU))
        return count;
    while (n < count && receive(s, &packets[n]))
        n++;
    return n;
}
