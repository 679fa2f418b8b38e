/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transmission by legacy and extended descriptors (82540EM, chapters 3.3 to 3.5; 82574, chapter 7.2): those from TDH up
 * to TDT are read, their data put together.
 */
#include "gigabit.h"

#define CMD_EOP 0x01u
#define CMD_IC 0x04u  /* legacy */
#define CMD_TSE 0x04u /* data */
#define CMD_RS 0x08u
#define CMD_RPS 0x10u
#define CMD_DEXT 0x20u
#define CMD_VLE 0x40u
#define TUCMD_TCP 0x01u
#define TUCMD_IP 0x02u
#define STA_DD 0x1u

struct descriptor {
    uint8_t bytes[DESCRIPTOR];
    uint32_t length, command;
    bool extended, context;
};

static void read_context(struct gbe_tx *tx, const uint8_t *b)
{
    uint32_t command = b[11], ip_end = b[2] | (uint32_t)b[3] << 8, sum_end = b[6] | (uint32_t)b[7] << 8;
    struct gbe_context c = {
        .ip_start = b[0], .ip_at = b[1], .ip_end = ip_end ? ip_end : GBE_NO_END, .sum_start = b[4], .sum_at = b[5],
        .sum_end = sum_end ? sum_end : GBE_NO_END, .header = b[13], .mss = b[14] | (uint32_t)b[15] << 8,
        .ipv4 = command & TUCMD_IP, .tcp = command & TUCMD_TCP};

    if (command & CMD_TSE)
        tx->segmentation = c;
    else
        tx->checksum = c;
}

static const struct gbe_context *context(const struct gbe_tx *tx)
{
    return tx->frame.segments ? &tx->segmentation : &tx->checksum;
}

static bool take_data(struct gbe *g, struct gbe_tx *tx, const struct descriptor *d, unsigned queue)
{
    struct gbe_frame *f = &tx->frame;

    if (d->extended && f->length == 0 && !f->bad) {
        f->options = d->bytes[13] & (GBE_OPTION_IP | GBE_OPTION_L4);
        f->segments = d->command & CMD_TSE;
    }
    if (d->command & CMD_VLE) {
        f->tagged = true;
        f->tag = (uint16_t)(d->bytes[14] | d->bytes[15] << 8);
    }
    gbe_frame_add(g, f, get_le64(d->bytes), d->length);
    if (!(d->command & CMD_EOP))
        return true;
    if (!d->extended && (d->command & CMD_IC) && !f->bad)
        gbe_insert_sum(f, d->bytes[13], d->bytes[10], GBE_NO_END);
    return gbe_frame_finish(g, f, context(tx), queue);
}

static int read_descriptor(struct gbe *g, const struct gbe_ring *ring, uint64_t *ret_at, struct descriptor *d)
{
    int r = gbe_ring_read(g, ring, "transmit", d->bytes, DESCRIPTOR, ret_at);

    if (r < 0)
        return r;
    d->command = d->bytes[11];
    d->extended = d->command & CMD_DEXT;
    d->context = d->extended && (d->bytes[10] >> 4) == 0;
    d->length = d->extended ? get_le32(d->bytes + 8) & 0xfffffu : get_le32(d->bytes + 8) & 0xffffu;
    return 0;
}

/* Says that it is done, when asked to; the cause of an interrupt. */
static uint32_t write_back(struct gbe *g, uint64_t at, struct descriptor *d)
{
    if (!(d->command & (CMD_RS | CMD_RPS)))
        return 0;
    d->bytes[12] |= STA_DD;
    g->pci->dma_write(g->dev, at + 12, d->bytes + 12, 4);
    return ICR_TXDW;
}

uint32_t gbe_tx_run(struct gbe *g, struct gbe_tx *tx, unsigned at, unsigned queue)
{
    struct gbe_ring ring = gbe_ring(g, at, DESCRIPTOR);
    uint32_t causes = 0;

    if (tx->frame.whole && !gbe_frame_send(g, &tx->frame, context(tx), queue))
        return 0;
    /* A tail that lies outside of the ring is never reached: once round is enough. */
    for (uint32_t n = 0; n < ring.count && *ring.head != *ring.tail && (*reg(g, TCTL) & TCTL_EN); n++) {
        struct descriptor d;
        uint64_t where;
        bool sent = true;

        if (*ring.head >= ring.count)
            *ring.head = 0;
        if (read_descriptor(g, &ring, &where, &d) < 0)
            break;
        if (d.context)
            read_context(tx, d.bytes);
        else
            sent = take_data(g, tx, &d, queue);
        causes |= write_back(g, where, &d);
        gbe_ring_step(&ring);
        if (!sent)
            break;
    }
    if (*ring.head == *ring.tail)
        causes |= ICR_TXQE;
    return causes;
}

static const struct bp_state_field tx_fields[] = {
    GBE_ONE("segmentation", struct gbe_tx, segmentation, &gbe_context_table),
    GBE_ONE("checksum", struct gbe_tx, checksum, &gbe_context_table),
    GBE_ONE("frame", struct gbe_tx, frame, &gbe_frame_table), BP_SAVE_END};
const struct bp_state_table gbe_tx_table = {.name = "tx", .version = 1, .oldest = 1, .fields = tx_fields};
