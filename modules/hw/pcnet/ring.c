/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Initialization block and descriptor rings (data sheet: "Initialization Block", "Receive
 * Descriptors", "Transmit Descriptors"), of software styles 0 (LANCE, 16 bits), 1 and 2 (32 bits)
 * and 3 (32 bits, reordered). A frame whose descriptors are not all given yet, or which the network
 * does not take now, stays in the ring untouched.
 */
#include <string.h>

#include <bp/log.h>

#include "pcnet.h"

#define MOST_PARTS 64u /* descriptors of one frame */
#define RX_WRITTEN 0xfff00000u

static unsigned style(const struct pcnet *s)
{
    return s->bcr[BCR_STYLE] & 0xffu;
}

static bool wide(const struct pcnet *s)
{
    return style(s) != 0;
}

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | (uint32_t)le16(p + 2) << 16;
}

/* Addresses of 16-bit structures have 24 bits; those above come from the initialization block's. */
static uint32_t address(const struct pcnet *s, uint32_t low)
{
    return wide(s) ? low : (low & 0xffffffu) | (uint32_t)(s->csr[CSR_IADR + 1] & 0xff00u) << 16;
}

static void set_ring(struct pcnet *s, unsigned base, unsigned length, uint32_t at, unsigned code)
{
    unsigned n = code > 9 ? 512 : 1u << code;

    s->csr[base] = (uint16_t)at;
    s->csr[base + 1] = (uint16_t)(at >> 16);
    s->csr[length] = s->csr[length - 4] = (uint16_t)(0x10000u - n); /* counts up to 0 */
}

int pcnet_initialise(struct pcnet *s)
{
    uint8_t b[28];
    unsigned n = wide(s) ? 28 : 24, station = wide(s) ? 4 : 2, groups = wide(s) ? 12 : 8;
    int r = pcnet_pci->dma_read(bp_device_of_state(s), pcnet_pair(s, CSR_IADR), b, n);

    if (r < 0)
        return r;
    s->csr[CSR_MODE] = le16(b);
    for (unsigned i = 0; i < 3; i++)
        s->csr[CSR_PADR + i] = le16(b + station + 2 * i);
    for (unsigned i = 0; i < 4; i++)
        s->csr[CSR_LADRF + i] = le16(b + groups + 2 * i);
    if (wide(s)) {
        set_ring(s, CSR_RX_BASE, CSR_RX_LENGTH, le32(b + 20), b[2] >> 4);
        set_ring(s, CSR_TX_BASE, CSR_TX_LENGTH, le32(b + 24), b[3] >> 4);
    } else {
        set_ring(s, CSR_RX_BASE, CSR_RX_LENGTH, address(s, le32(b + 16)), b[19] >> 5);
        set_ring(s, CSR_TX_BASE, CSR_TX_LENGTH, address(s, le32(b + 20)), b[23] >> 5);
    }
    return 0;
}

/* ---- descriptors ---- */

/* Where number `n` (0: the next) of a ring stands: the counter at CSR `at` says how many are left
 * to its end. */
static uint32_t place(const struct pcnet *s, unsigned base, unsigned at, unsigned n)
{
    unsigned length = 0x10000u - s->csr[at + 4], left = 0x10000u - s->csr[at];

    if (left > length)
        left = length;
    return pcnet_pair(s, base) + (length - left + n) % length * (wide(s) ? 16u : 8u);
}

static void advance(struct pcnet *s, unsigned at)
{
    s->csr[at]++;
    if (s->csr[at] == 0 || s->csr[at] < s->csr[at + 4])
        s->csr[at] = s->csr[at + 4];
}

static bool read_descriptor(struct pcnet *s, uint32_t at, struct pcnet_descriptor *ret)
{
    uint8_t b[16];

    if (pcnet_pci->dma_read(bp_device_of_state(s), at, b, wide(s) ? 16 : 8) < 0) {
        s->csr[0] |= CSR0_MEMORY;
        return false;
    }
    if (!wide(s)) {
        ret->buffer = address(s, le32(b));
        ret->status = (uint32_t)b[3] << 24 | le16(b + 4);
        ret->message = le16(b + 6);
    } else {
        ret->buffer = le32(b + (style(s) == 3 ? 8 : 0));
        ret->status = le32(b + 4);
        ret->message = le32(b + (style(s) == 3 ? 0 : 8));
    }
    return true;
}

static void write32(struct pcnet *s, uint32_t at, uint32_t value)
{
    uint8_t b[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                    (uint8_t)(value >> 24)};

    pcnet_pci->dma_write(bp_device_of_state(s), at, b, 4);
}

/* Message first: the byte with OWN ends it. */
static void give_back(struct pcnet *s, uint32_t at, const struct pcnet_descriptor *d)
{
    uint8_t b[2] = {(uint8_t)d->message, (uint8_t)(d->message >> 8)},
            top = (uint8_t)(d->status >> 24);

    if (wide(s)) {
        write32(s, at + (style(s) == 3 ? 0 : 8), d->message);
        write32(s, at + 4, d->status);
        return;
    }
    pcnet_pci->dma_write(bp_device_of_state(s), at + 6u, b, 2);
    pcnet_pci->dma_write(bp_device_of_state(s), at + 3u, &top, 1);
}

static unsigned count_of(const struct pcnet_descriptor *d)
{
    return 4096u - (d->status & 0xfffu);
}

/* ---- transmission ---- */

/* Gathers the next frame. Returns how many descriptors it has; 0: there is none that is whole. */
static unsigned gather(struct pcnet *s, unsigned *ret_length, struct pcnet_descriptor *ret_first,
                       struct pcnet_descriptor *ret_last)
{
    struct pcnet_descriptor d;
    unsigned n = 0, used = 0, length = 0x10000u - s->csr[CSR_TX_LENGTH],
             most = length < MOST_PARTS ? length : MOST_PARTS;
    bool bad = false;

    while (n < most) {
        if (!read_descriptor(s, place(s, CSR_TX_BASE, CSR_TX_AT, n), &d) || !(d.status & D_OWN))
            return 0;
        if (n == 0)
            *ret_first = d;
        n++;
        if (count_of(&d) > CARD_FRAME_MAX - used ||
            pcnet_pci->dma_read(bp_device_of_state(s), d.buffer, s->frame + used, count_of(&d)) < 0)
            bad = true;
        else
            used += count_of(&d);
        if (d.status & D_END || !(ret_first->status & D_START))
            break;
    }
    if (!(ret_first->status & D_START) ||
        !(d.status & D_END)) /* not a frame: given back, not sent */
        bad = true;
    if (bad)
        bp_guest_error("pcnet-frame",
                       "pcnet: a frame of %u parts is too long, has no end, or is not there", n);
    *ret_last = d;
    *ret_length = bad ? 0 : used;
    return n;
}

static bool deliver(struct pcnet *s, const struct pcnet_descriptor *first, unsigned length)
{
    struct iovec vector = {s->frame, length};
    struct bp_net_packet packet = {&vector, 1, length, {0}};
    uint8_t copy[CARD_FRAME_MAX];
    bool own_fcs = s->csr[CSR_MODE] & MODE_NO_FCS && !(first->status & D_NO_FCS);

    if (own_fcs) /* the guest's own check sequence ends it */
        packet.length = length = length > 4 ? length - 4 : 0;
    if (s->csr[4] & CSR4_PAD && length && length < 60) {
        memset(s->frame + length, 0, 60 - length);
        packet.length = length = 60;
    }
    if (!(s->csr[CSR_MODE] & MODE_LOOPBACK))
        return card_send(pcnet_net, s->nic, s->frame, length);
    memcpy(copy, s->frame, length);
    vector = (struct iovec){copy, length};
    pcnet_receive(s, 1, &packet, 1);
    return true;
}

/* true: there may be another. */
static bool transmit_one(struct pcnet *s)
{
    struct pcnet_descriptor first, last, d;
    unsigned length, n = gather(s, &length, &first, &last);

    if (n == 0 || !deliver(s, &first, length))
        return false;
    for (unsigned i = 0; i < n; i++) {
        uint32_t at = place(s, CSR_TX_BASE, CSR_TX_AT, 0);

        if (read_descriptor(s, at, &d)) {
            d.status &= ~D_OWN;
            d.message = 0;
            give_back(s, at, &d);
        }
        advance(s, CSR_TX_AT);
    }
    s->csr[4] |= CSR4_TX_START;
    if (!(s->csr[5] & CSR5_LAST_TX) || last.status & D_LAST_TX)
        if (!(s->csr[5] & CSR5_NO_TX))
            s->csr[0] |= CSR0_TX;
    return true;
}

void pcnet_transmit(struct pcnet *s)
{
    unsigned n = 0;

    if (s->running)
        return;
    s->running = true;
    /* A guest that gives descriptors while they are worked on does not hold up the machine: once
     * round the longest ring. */
    while (s->csr[0] & CSR0_TX_ON && !(s->csr[5] & CSR5_SUSPEND) && n++ < 512 && transmit_one(s))
        continue;
    s->csr[0] &= (uint16_t)~CSR0_DEMAND;
    s->running = false;
    pcnet_update(s);
}

/* ---- reception ---- */

static uint32_t judge(const struct pcnet *s, const uint8_t *f)
{
    unsigned bit;
    uint8_t station[6];

    for (unsigned i = 0; i < 6; i++)
        station[i] = (uint8_t)(s->csr[CSR_PADR + i / 2] >> 8 * (i & 1));
    if (card_broadcast(f) && !(s->csr[CSR_MODE] & MODE_NO_BROADCAST))
        return D_BROADCAST;
    if (!card_broadcast(f) && f[0] & 1) {
        bit = card_crc(f, 6) >> 26;
        if (s->csr[CSR_LADRF + bit / 16] >> bit % 16 & 1u)
            return D_LOGICAL;
    }
    if (!(f[0] & 1) && !memcmp(f, station, 6) && !(s->csr[CSR_MODE] & MODE_NO_PHYSICAL))
        return D_PHYSICAL;
    return s->csr[CSR_MODE] & MODE_PROMISCUOUS ? UINT32_MAX : 0;
}

/* ASTRP_RCV: of a frame with a length, what its padding was is cut off, and the check sequence with
 * it. */
static unsigned stripped(const struct pcnet *s, unsigned n)
{
    unsigned length = (unsigned)(s->frame[12] << 8 | s->frame[13]);

    return s->csr[4] & CSR4_STRIP && length < 46 ? 14 + length : n;
}

static void fill(struct pcnet *s, unsigned parts, unsigned n, uint32_t kind)
{
    struct pcnet_descriptor d;
    unsigned done = 0;

    for (unsigned i = 0; i < parts; i++) {
        uint32_t at = place(s, CSR_RX_BASE, CSR_RX_AT, 0);
        unsigned part;

        if (!read_descriptor(s, at, &d))
            return;
        part = n - done < count_of(&d) ? n - done : count_of(&d);
        pcnet_pci->dma_write(bp_device_of_state(s), d.buffer, s->frame + done, part);
        done += part;
        d.status = (d.status & ~RX_WRITTEN) | (i == 0 ? D_START : 0);
        d.message = 0;
        if (i + 1 == parts) {
            d.status |= D_END | (wide(s) && kind != UINT32_MAX ? kind : 0);
            d.status |= done < n ? D_ERROR | D_BUFFER : 0; /* its end had no room */
            d.message = n & 0xfffu;
        }
        give_back(s, at, &d);
        advance(s, CSR_RX_AT);
    }
    s->csr[0] |= CSR0_RX;
    pcnet_update(s);
}

/* How many descriptors a frame of n bytes takes, of those that are ours; 0: there is none. */
static unsigned room(struct pcnet *s, unsigned n)
{
    unsigned length = 0x10000u - s->csr[CSR_RX_LENGTH], parts = 0, bytes = 0;
    struct pcnet_descriptor d;

    while (parts < MOST_PARTS && parts < length && bytes < n) {
        if (!read_descriptor(s, place(s, CSR_RX_BASE, CSR_RX_AT, parts), &d) || !(d.status & D_OWN))
            break;
        bytes += count_of(&d);
        parts++;
    }
    return parts;
}

/* false: no descriptor is ours yet, the sender waits. */
static bool receive_one(struct pcnet *s, const struct bp_net_packet *packet)
{
    unsigned n = card_take_frame(pcnet_net, packet, s->frame), parts;
    uint32_t kind = n ? judge(s, s->frame) : 0;

    if (!kind)
        return true;
    n = stripped(s, n);
    parts = room(s, n);
    if (parts == 0)
        return false;
    fill(s, parts, n, kind);
    return true;
}

unsigned pcnet_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                       unsigned count)
{
    struct pcnet *s = opaque;
    unsigned n = 0;
    bool looped = s->csr[CSR_MODE] & MODE_LOOPBACK;

    /* Queue 1 is the card's own, in loopback: it hears nothing else then. */
    if (!(s->csr[0] & CSR0_RX_ON) || looped != (queue == 1))
        return count;
    if (s->csr[5] & CSR5_SUSPEND)
        return 0;
    while (n < count && receive_one(s, &packets[n]))
        n++;
    return n;
}
