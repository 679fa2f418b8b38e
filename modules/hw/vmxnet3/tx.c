/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transmission: descriptors as far as their generation bits go, their data put together, and the packet handed to the
 * network with what is left to do of it. When the network does not take it, the ring stands until it does.
 */
#include <string.h>

#include <bp/log.h>

#include "vmxnet3.h"

#define LENGTH_MASK 0x3fffu
#define WORD2_GENERATION 0x4000u
#define WORD3_EOP 0x1000u
#define WORD3_CQ 0x2000u
#define WORD3_TI 0x8000u
#define MODE_CSUM 2u
#define MODE_TSO 3u
#define DONE_TYPE 0u

void vmxnet3_tx_reset(struct tx *tx)
{
    tx->length = 0;
    tx->begun = tx->bad = tx->whole = tx->reports = false;
    tx->offload = (struct offload){0};
    tx->left = (struct bp_net_offload){0};
}

static void add_data(struct vmxnet3 *s, struct tx *tx, uint64_t address, uint32_t length)
{
    if (!tx->frame)
        tx->frame = bp_alloc(FRAME_MAX);
    if (length > FRAME_MAX - tx->length || s->pci->dma_read(s->dev, address, tx->frame + tx->length, length) < 0) {
        bp_guest_error("vmxnet3-tx", "vmxnet3: %u bytes of a packet at %#llx cannot be read", length,
                       (unsigned long long)address);
        tx->bad = true;
        return;
    }
    tx->length += length;
}

/* ---- what the card does ---- */

/* TCP of a packet that will be cut: the sum of the pseudo header, which comes without a length, gets one. */
static bool prepare_segments(struct tx *tx)
{
    struct ethernet_seen in;
    uint8_t *b = tx->frame;
    uint32_t transport;

    ethernet_look(b, tx->length < ETHERNET_HEAD ? tx->length : ETHERNET_HEAD, &in);
    if (!in.payload || in.protocol != ETHERNET_TCP || tx->offload.mss == 0 || in.payload > tx->length ||
        tx->offload.header != in.payload)
        return false;
    transport = tx->length - in.l4;
    if (in.v6)
        put_be16(b + in.ip + 4, transport);
    else
        put_be16(b + in.ip + 2, tx->length - in.ip);
    put_be16(b + in.l4 + 16, ethernet_fold((uint64_t)get_be16(b + in.l4 + 16) + transport));
    tx->left = (struct bp_net_offload){
        .flags = BP_NET_NEEDS_CHECKSUM, .segment = in.v6 ? BP_NET_SEGMENT_TCP6 : BP_NET_SEGMENT_TCP4,
        .header_length = in.payload, .segment_size = (uint16_t)tx->offload.mss, .checksum_start = in.l4,
        .checksum_offset = 16};
    return true;
}

static bool prepare(struct tx *tx)
{
    const struct offload *o = &tx->offload;

    if (o->mode == MODE_TSO)
        return prepare_segments(tx);
    if (o->mode != MODE_CSUM)
        return o->mode == 0;
    if (o->mss < o->header || o->mss + 2 > tx->length)
        return false;
    tx->left = (struct bp_net_offload){.flags = BP_NET_NEEDS_CHECKSUM, .checksum_start = (uint16_t)o->header,
                                       .checksum_offset = (uint16_t)(o->mss - o->header)};
    return true;
}

static void insert_tag(struct tx *tx)
{
    if (!tx->offload.tagged || tx->length < 12 || tx->length + 4 > FRAME_MAX)
        return;
    memmove(tx->frame + 16, tx->frame + 12, tx->length - 12);
    put_be16(tx->frame + 12, 0x8100);
    put_be16(tx->frame + 14, tx->offload.tag);
    tx->length += 4;
    if (tx->left.flags & BP_NET_NEEDS_CHECKSUM)
        tx->left.checksum_start = (uint16_t)(tx->left.checksum_start + 4);
    if (tx->left.segment)
        tx->left.header_length = (uint16_t)(tx->left.header_length + 4);
}

static void count_sent(struct tx *tx)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    unsigned kind = !memcmp(tx->frame, all, 6) ? 2 : tx->frame[0] & 1;

    if (tx->left.segment) {
        uint32_t header = tx->left.header_length, payload = tx->length - header, size = tx->left.segment_size;

        tx->counters[TX_TSO_PACKETS] += (payload + size - 1) / size;
        tx->counters[TX_TSO_BYTES] += tx->length;
    }
    tx->counters[TX_UNICAST + 2 * kind]++;
    tx->counters[TX_UNICAST + 2 * kind + 1] += tx->length;
}

static void finish(struct vmxnet3 *s, struct tx *tx)
{
    uint8_t d[DESCRIPTOR] = {0};
    bool reports = tx->reports;

    put_le32(d, tx->last);
    put_le32(d + 12, DONE_TYPE << 24);
    vmxnet3_tx_reset(tx);
    if (!reports)
        return;
    vmxnet3_complete(s, &tx->done, d);
    vmxnet3_interrupt(s, tx->interrupt);
}

/* Hands over what is whole; false: the network is full. */
static bool hand_over(struct vmxnet3 *s, struct tx *tx)
{
    struct iovec vector = {tx->frame, tx->length};
    struct bp_net_packet packet = {&vector, 1, tx->length, tx->left};

    if (s->net->nic_send(s->nic, 0, &packet, 1) == 0)
        return false;
    count_sent(tx);
    finish(s, tx);
    return true;
}

static bool end_packet(struct vmxnet3 *s, struct tx *tx)
{
    if (tx->bad || tx->length < 14 || !prepare(tx)) {
        tx->counters[TX_ERROR]++;
        finish(s, tx);
        return true;
    }
    insert_tag(tx);
    tx->whole = true;
    return hand_over(s, tx);
}

/* ---- descriptors ---- */

static bool take(struct vmxnet3 *s, struct tx *tx, const uint8_t *d)
{
    uint32_t two = get_le32(d + 8), three = get_le32(d + 12), length = two & LENGTH_MASK;

    if (!tx->begun) {
        tx->begun = true;
        tx->offload = (struct offload){three >> 10 & 3u, three & 0x3ffu, two >> 18, three & WORD3_TI,
                                       (uint16_t)(three >> 16)};
    }
    add_data(s, tx, get_le64(d), length ? length : LENGTH_MASK + 1);
    tx->last = tx->ring.next;
    vmxnet3_step(&tx->ring);
    if (!(three & WORD3_EOP))
        return true;
    tx->reports = three & WORD3_CQ;
    return end_packet(s, tx);
}

void vmxnet3_tx_run(struct vmxnet3 *s, unsigned queue)
{
    struct tx *tx = &s->tx[queue];

    if (s->transmitting || !s->active || queue >= s->tx_count)
        return;
    s->transmitting = true;
    if (!tx->whole || hand_over(s, tx)) {
        for (uint32_t n = 0; n < tx->ring.count; n++) {
            uint64_t at = tx->ring.base + (uint64_t)tx->ring.next * DESCRIPTOR;
            uint8_t d[DESCRIPTOR];

            if (s->pci->dma_read(s->dev, at, d, sizeof(d)) < 0) {
                bp_guest_error("vmxnet3-tx-ring", "vmxnet3: the transmit ring at %#llx cannot be read",
                               (unsigned long long)at);
                break;
            }
            if (!(get_le32(d + 8) & WORD2_GENERATION) == tx->ring.generation || !take(s, tx, d))
                break;
        }
    }
    s->transmitting = false;
}
