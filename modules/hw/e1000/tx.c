/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transmission (chapters 3.3 to 3.5). Descriptors from TDH up to TDT are read, their data put together, and the
 * packet handed to the network with what is left to do of it: TCP segmentation and checksums over the rest of
 * the packet. When the network does not take it, the ring stands until it does.
 */
#include <string.h>

#include <bp/log.h>

#include "e1000.h"

#define CMD_EOP 0x01u
#define CMD_IC 0x04u  /* legacy */
#define CMD_TSE 0x04u /* data */
#define CMD_RS 0x08u
#define CMD_RPS 0x10u
#define CMD_DEXT 0x20u
#define CMD_VLE 0x40u
#define TUCMD_TCP 0x01u
#define TUCMD_IP 0x02u
#define POPTS_IXSM 0x1u
#define POPTS_TXSM 0x2u
#define STA_DD 0x1u
#define NO_END UINT32_MAX

struct descriptor {
    uint8_t bytes[DESCRIPTOR];
    uint32_t length, command;
    bool extended, context;
};

void tx_reset(struct e1000 *s)
{
    s->frame_length = 0;
    s->frame_bad = s->frame_whole = false;
    s->frame_options = 0;
    s->frame_segments = s->frame_tagged = false;
    s->frame_tag = 0;
    s->offload = (struct bp_net_offload){0};
}

static void read_context(struct e1000 *s, const uint8_t *b)
{
    uint32_t command = b[11], ip_end = b[2] | (uint32_t)b[3] << 8, sum_end = b[6] | (uint32_t)b[7] << 8;
    struct tx_context c = {
        .ip_start = b[0], .ip_at = b[1], .ip_end = ip_end ? ip_end : NO_END, .sum_start = b[4], .sum_at = b[5],
        .sum_end = sum_end ? sum_end : NO_END, .header = b[13], .mss = b[14] | (uint32_t)b[15] << 8,
        .ipv4 = command & TUCMD_IP, .tcp = command & TUCMD_TCP};

    if (command & CMD_TSE)
        s->segmentation = c;
    else
        s->checksum = c;
}

static void add_data(struct e1000 *s, uint64_t address, uint32_t length)
{
    struct bp_device *dev = bp_device_of_state(s);

    if (length > FRAME_MAX - s->frame_length) {
        bp_guest_error("e1000-long", "e1000: a packet of more than %u bytes", FRAME_MAX);
        s->frame_bad = true;
        return;
    }
    if (length && e1000_pci->dma_read(dev, address, s->frame + s->frame_length, length) < 0) {
        bp_guest_error("e1000-dma", "e1000: data of a packet at %#llx cannot be read", (unsigned long long)address);
        s->frame_bad = true;
        return;
    }
    s->frame_length += length;
}

/* ---- what the hardware adds ---- */

/* Sums start..end (both included) and puts the result at `at`. */
static void insert_sum(struct e1000 *s, uint32_t start, uint32_t at, uint32_t end)
{
    uint32_t stop = end == NO_END || end >= s->frame_length ? s->frame_length : end + 1;

    if (start >= stop || at + 2 > s->frame_length)
        return;
    put_be16(s->frame + at, (uint16_t)~sum_fold(sum_bytes(0, s->frame + start, stop - start)));
}

/* Lengths in the header of a packet that will be cut count as if it was not; the sum of the pseudo header, which comes
 * without a length, gets one. */
static bool prepare_segments(struct e1000 *s)
{
    const struct tx_context *c = &s->segmentation;
    uint8_t *f = s->frame;

    if (c->header > s->frame_length || c->mss == 0 || c->sum_start + 20 > s->frame_length ||
        c->ip_start + 20 > c->sum_start || c->sum_at + 2 > s->frame_length || c->sum_at < c->sum_start || !c->tcp)
        return false;
    if (c->ipv4)
        put_be16(f + c->ip_start + 2, s->frame_length - c->ip_start);
    else
        put_be16(f + c->ip_start + 4, s->frame_length - c->sum_start);
    put_be16(f + c->sum_at,
             sum_fold((uint64_t)get_be16(f + c->sum_at) + (s->frame_length - c->sum_start)));
    s->offload = (struct bp_net_offload){
        .flags = BP_NET_NEEDS_CHECKSUM, .segment = c->ipv4 ? BP_NET_SEGMENT_TCP4 : BP_NET_SEGMENT_TCP6,
        .header_length = (uint16_t)c->header, .segment_size = (uint16_t)c->mss,
        .checksum_start = (uint16_t)c->sum_start, .checksum_offset = (uint16_t)(c->sum_at - c->sum_start)};
    e1000_count(s, TSCTC, 1);
    return true;
}

static bool prepare_sums(struct e1000 *s)
{
    bool segments = s->frame_segments && s->frame_length > s->segmentation.header;
    const struct tx_context *c = s->frame_segments ? &s->segmentation : &s->checksum;

    s->offload = (struct bp_net_offload){0};
    if (segments && s->frame_length > s->segmentation.header + s->segmentation.mss) {
        if (!prepare_segments(s))
            return false;
    } else if (segments) { /* one segment: whole as it is, but for its lengths */
        if (!prepare_segments(s))
            return false;
        s->offload.segment = BP_NET_SEGMENT_NONE;
    } else if (s->frame_options & POPTS_TXSM) {
        if (c->sum_end == NO_END && c->sum_at >= c->sum_start && c->sum_at + 2 <= s->frame_length)
            s->offload = (struct bp_net_offload){.flags = BP_NET_NEEDS_CHECKSUM,
                                                 .checksum_start = (uint16_t)c->sum_start,
                                                 .checksum_offset = (uint16_t)(c->sum_at - c->sum_start)};
        else
            insert_sum(s, c->sum_start, c->sum_at, c->sum_end);
    }
    if ((s->frame_options & POPTS_IXSM) && c->ip_at + 2 <= s->frame_length) {
        put_be16(s->frame + c->ip_at, 0);
        insert_sum(s, c->ip_start, c->ip_at, c->ip_end);
    }
    return true;
}

static void insert_tag(struct e1000 *s)
{
    if (s->frame_length < 12 || s->frame_length + 4 > FRAME_MAX)
        return;
    memmove(s->frame + 16, s->frame + 12, s->frame_length - 12);
    put_be16(s->frame + 12, *reg(s, VET) & 0xffffu);
    put_be16(s->frame + 14, s->frame_tag);
    s->frame_length += 4;
    if (s->offload.flags & BP_NET_NEEDS_CHECKSUM)
        s->offload.checksum_start = (uint16_t)(s->offload.checksum_start + 4);
    if (s->offload.segment)
        s->offload.header_length = (uint16_t)(s->offload.header_length + 4);
}

static void count_sent(struct e1000 *s)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t length = s->frame_length + 4;

    e1000_count(s, TPT, 1);
    e1000_count(s, GPTC, 1);
    e1000_count64(s, GOTCL, length);
    e1000_count64(s, TOTL, length);
    e1000_count_size(s, PTC64, length);
    if (!memcmp(s->frame, all, 6))
        e1000_count(s, BPTC, 1);
    else if (s->frame[0] & 1)
        e1000_count(s, MPTC, 1);
}

/* Hands over what is whole; false: the network is full. */
static bool hand_over(struct e1000 *s)
{
    struct iovec vector = {s->frame, s->frame_length};
    struct bp_net_packet packet = {&vector, 1, s->frame_length, s->offload};

    if (*reg(s, RCTL) & RCTL_LBM) { /* looped back: what is sent is received, if there is room */
        if (!packet.offload.segment)
            rx_receive(s, 0, &packet, 1);
    } else if (e1000_net->nic_send(s->nic, 0, &packet, 1) == 0) {
        return false;
    }
    count_sent(s);
    tx_reset(s);
    return true;
}

static bool finish_packet(struct e1000 *s)
{
    if (s->frame_bad || s->frame_length == 0 || !prepare_sums(s)) {
        tx_reset(s);
        return true;
    }
    if (s->frame_tagged && (*reg(s, CTRL) & CTRL_VME))
        insert_tag(s);
    if ((*reg(s, TCTL) & TCTL_PSP) && s->frame_length < 60) {
        memset(s->frame + s->frame_length, 0, 60 - s->frame_length);
        s->frame_length = 60;
    }
    s->frame_whole = true;
    return hand_over(s);
}

/* ---- descriptors ---- */

static bool take_data(struct e1000 *s, const struct descriptor *d)
{
    bool first = s->frame_length == 0 && !s->frame_bad;

    if (d->extended && first) {
        s->frame_options = d->bytes[13];
        s->frame_segments = d->command & CMD_TSE;
    }
    if (d->command & CMD_VLE) {
        s->frame_tagged = true;
        s->frame_tag = (uint16_t)(d->bytes[14] | d->bytes[15] << 8);
    }
    add_data(s, get_le64(d->bytes), d->length);
    if (!(d->command & CMD_EOP))
        return true;
    if (!d->extended && (d->command & CMD_IC) && !s->frame_bad)
        insert_sum(s, d->bytes[13], d->bytes[10], NO_END);
    return finish_packet(s);
}

static int read_descriptor(struct e1000 *s, uint64_t at, struct descriptor *d)
{
    int r = e1000_pci->dma_read(bp_device_of_state(s), at, d->bytes, DESCRIPTOR);

    if (r < 0)
        return r;
    d->command = d->bytes[11];
    d->extended = d->command & CMD_DEXT;
    d->context = d->extended && (d->bytes[10] >> 4) == 0;
    d->length = d->extended ? get_le32(d->bytes + 8) & 0xfffffu : get_le32(d->bytes + 8) & 0xffffu;
    return 0;
}

/* Says that it is done, when asked to; the cause of an interrupt. */
static uint32_t write_back(struct e1000 *s, uint64_t at, struct descriptor *d)
{
    if (!(d->command & (CMD_RS | CMD_RPS)))
        return 0;
    d->bytes[12] |= STA_DD;
    e1000_pci->dma_write(bp_device_of_state(s), at + 12, d->bytes + 12, 4);
    return ICR_TXDW;
}

static void run(struct e1000 *s)
{
    uint64_t base = (uint64_t)*reg(s, TDBAH) << 32 | *reg(s, TDBAL);
    uint32_t count = *reg(s, TDLEN) / DESCRIPTOR, causes = 0;

    if (s->frame_whole && !hand_over(s))
        return;
    /* A tail that lies outside of the ring is never reached: once round is enough. */
    for (uint32_t n = 0; n < count && *reg(s, TDH) != *reg(s, TDT) && (*reg(s, TCTL) & TCTL_EN); n++) {
        struct descriptor d;
        uint64_t at;
        bool sent = true;

        if (*reg(s, TDH) >= count)
            *reg(s, TDH) = 0;
        at = base + (uint64_t)*reg(s, TDH) * DESCRIPTOR;
        if (read_descriptor(s, at, &d) < 0) {
            bp_guest_error("e1000-tx-ring", "e1000: the transmit ring at %#llx cannot be read", (unsigned long long)at);
            break;
        }
        if (d.context)
            read_context(s, d.bytes);
        else
            sent = take_data(s, &d);
        causes |= write_back(s, at, &d);
        *reg(s, TDH) = *reg(s, TDH) + 1 >= count ? 0 : *reg(s, TDH) + 1;
        if (!sent)
            break;
    }
    if (*reg(s, TDH) == *reg(s, TDT))
        causes |= ICR_TXQE;
    e1000_interrupt(s, causes);
}

void tx_run(struct e1000 *s)
{
    if (s->transmitting || !(*reg(s, TCTL) & TCTL_EN))
        return;
    s->transmitting = true;
    run(s);
    s->transmitting = false;
}
