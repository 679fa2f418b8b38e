/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transmission (chapter 7.2): legacy and advanced descriptors in sixteen rings, each with two contexts. Left out: the
 * head's write-back (TDWBA), IPsec, time stamps, rate limits.
 */
#include "igb.h"

#define CMD_EOP 0x01u
#define CMD_IC 0x04u /* legacy */
#define CMD_RS 0x08u
#define CMD_DEXT 0x20u
#define CMD_VLE 0x40u
#define CMD_TSE 0x80u
#define TYPE_CONTEXT 2u
#define TYPE_DATA 3u
#define TUCMD_IPV4 0x400u
#define L4_UDP 0u
#define L4_TCP 1u
#define L4_SCTP 2u
#define STA_DD 1u

struct descriptor {
    uint8_t bytes[DESCRIPTOR];
    uint32_t command, type;
};

static void read_context(struct igb_tx *tx, const uint8_t *b)
{
    uint32_t lengths = get_le32(b), kind = get_le32(b + 8), rest = get_le32(b + 12), l4 = kind >> 11 & 3u;
    uint32_t mac = lengths >> 9 & 0x7fu, ip = lengths & 0x1ffu, at = mac + ip;
    struct gbe_context c = {
        .ip_start = mac, .ip_at = mac + 10, .ip_end = ip ? at - 1 : mac, .sum_start = at,
        .sum_at = at + (l4 == L4_TCP ? 16u : l4 == L4_UDP ? 6u : 8u), .sum_end = GBE_NO_END,
        .header = at + (rest >> 8 & 0xffu), .mss = rest >> 16, .ipv4 = kind & TUCMD_IPV4, .tcp = l4 == L4_TCP,
        .sctp = l4 == L4_SCTP};

    tx->context[rest >> 4 & 1u] = (struct igb_context){c, (uint16_t)(lengths >> 16)};
}

static void begin(struct igb_tx *tx, const struct descriptor *d)
{
    struct gbe_frame *f = &tx->frame;
    uint32_t info = get_le32(d->bytes + 12);

    if (!(d->command & CMD_DEXT))
        return;
    tx->chosen = info >> 4 & 1u;
    f->options = (uint8_t)(info >> 8 & (GBE_OPTION_IP | GBE_OPTION_L4));
    f->segments = d->command & CMD_TSE;
}

static void note_tag(struct igb_tx *tx, const struct descriptor *d)
{
    struct gbe_frame *f = &tx->frame;

    if (!(d->command & CMD_VLE))
        return;
    f->tagged = true;
    f->tag = d->command & CMD_DEXT ? tx->context[tx->chosen].tag : (uint16_t)(d->bytes[14] | d->bytes[15] << 8);
}

/* false: the network is full. */
static bool take_data(struct igb *s, unsigned queue, const struct descriptor *d)
{
    struct igb_tx *tx = &s->tx[queue];
    struct gbe_frame *f = &tx->frame;

    if (f->length == 0 && !f->bad)
        begin(tx, d);
    note_tag(tx, d);
    gbe_frame_add(&s->g, f, get_le64(d->bytes), get_le32(d->bytes + 8) & 0xffffu);
    if (!(d->command & CMD_EOP))
        return true;
    if (!(d->command & CMD_DEXT) && (d->command & CMD_IC) && !f->bad)
        gbe_insert_sum(f, d->bytes[13], d->bytes[10], GBE_NO_END);
    return gbe_frame_finish(&s->g, f, &tx->context[tx->chosen].c, 0);
}

/* Says that it is done, when asked to; an interrupt is due. */
static bool write_back(struct igb *s, uint64_t at, struct descriptor *d)
{
    if (!(d->command & CMD_RS))
        return false;
    if (d->command & CMD_DEXT)
        put_le32(d->bytes + 12, STA_DD);
    else
        d->bytes[12] |= STA_DD;
    s->g.pci->dma_write(s->g.dev, at + 12, d->bytes + 12, 4);
    return true;
}

static bool enabled(struct igb *s, unsigned queue)
{
    return (*reg(&s->g, TCTL) & TCTL_EN) && (*reg(&s->g, tx_queue(queue) + Q_DCTL) & DCTL_ENABLE);
}

static void run(struct igb *s, unsigned queue)
{
    struct gbe_ring ring = gbe_ring(&s->g, tx_queue(queue), DESCRIPTOR);
    struct igb_tx *tx = &s->tx[queue];
    bool due = false, sent = true;

    if (tx->frame.whole && !gbe_frame_send(&s->g, &tx->frame, &tx->context[tx->chosen].c, 0))
        return;
    /* A tail that lies outside of the ring is never reached: once round is enough. */
    for (uint32_t n = 0; n < ring.count && sent && *ring.head != *ring.tail && enabled(s, queue); n++) {
        struct descriptor d;
        uint64_t at;

        if (*ring.head >= ring.count)
            *ring.head = 0;
        if (gbe_ring_read(&s->g, &ring, "transmit", d.bytes, DESCRIPTOR, &at) < 0)
            break;
        d.command = d.bytes[11];
        d.type = d.command & CMD_DEXT ? d.bytes[10] >> 4 : TYPE_DATA;
        if (d.type == TYPE_CONTEXT)
            read_context(tx, d.bytes);
        else if (d.type == TYPE_DATA)
            sent = take_data(s, queue, &d);
        due |= write_back(s, at, &d);
        gbe_ring_step(&ring);
    }
    if (due)
        igb_queue_interrupt(s, true, queue);
}

void igb_tx_run(struct igb *s)
{
    if (s->transmitting)
        return;
    s->transmitting = true;
    for (unsigned i = 0; i < QUEUES; i++)
        if (enabled(s, i))
            run(s, i);
    s->transmitting = false;
}

/* ---- saved state ---- */

static const struct bp_state_field context_fields[] = {
    GBE_ONE("context", struct igb_context, c, &gbe_context_table),
    BP_SAVE(UINT16, struct igb_context, tag), BP_SAVE_END};
static const struct bp_state_table context_table = {
    .name = "tagged", .version = 1, .oldest = 1, .fields = context_fields};
static const struct bp_state_field tx_fields[] = {
    BP_SAVE_STRUCTS(struct igb_tx, context, &context_table), GBE_ONE("frame", struct igb_tx, frame, &gbe_frame_table),
    BP_SAVE_RANGE(UINT8, struct igb_tx, chosen, 0, 1), BP_SAVE_END};
const struct bp_state_table igb_tx_table = {.name = "tx", .version = 1, .oldest = 1, .fields = tx_fields};
