/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transmission: the four slots of C mode, a frame each; and C+ descriptors (chapter 6.33), which put frames together,
 * leave checksums and segments to us, and may carry a VLAN tag. When the network does not take a frame, all waits.
 */
#include <string.h>

#include <bp/log.h>

#include "rtl8139.h"

#define OWN 0x80000000u
#define EOR 0x40000000u
#define FS 0x20000000u
#define LS 0x10000000u
#define LARGE 0x08000000u
#define IPCS 0x00040000u
#define UDPCS 0x00020000u
#define TCPCS 0x00010000u
#define TAGC 0x00020000u
#define RING_MAX 64u

void rtl_tx_reset(struct rtl8139 *s)
{
    s->frame_length = s->frame_flags = s->frame_tag = 0;
    s->frame_bad = s->frame_whole = false;
    s->offload = (struct bp_net_offload){0};
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint64_t add(uint64_t sum, const uint8_t *p, uint32_t length)
{
    for (; length > 1; p += 2, length -= 2)
        sum += be16(p);
    return length ? sum + ((uint64_t)p[0] << 8) : sum;
}

/* Of IPv4 alone: what else there is goes as it is. The driver leaves the transport's sum 0 or whatever: it is begun
 * anew
 * with the pseudo header. */
static void leave_sums(struct rtl8139 *s)
{
    uint8_t *f = s->frame, *ip = f + 14;
    uint32_t header, l4, at;
    bool udp;

    if (s->frame_length < 34 || be16(f + 12) != 0x0800 || ip[0] >> 4 != 4)
        return;
    header = (ip[0] & 15u) * 4;
    if (header < 20 || 14 + header + 8 > s->frame_length)
        return;
    if (s->frame_flags & LARGE)
        put_be16(ip + 2, s->frame_length - 14);
    if (s->frame_flags & (IPCS | LARGE)) {
        put_be16(ip + 10, 0);
        put_be16(ip + 10, (uint16_t)~fold(add(0, ip, header)));
    }
    udp = ip[9] == 17;
    if (!(s->frame_flags & LARGE) && !(s->frame_flags & (udp ? UDPCS : TCPCS)))
        return;
    at = 14 + header + (udp ? 6 : 16);
    if ((ip[9] != 6 && !udp) || at + 2 > s->frame_length)
        return;
    l4 = s->frame_length - 14 - header;
    put_be16(f + at, fold(add(0, ip + 12, 8) + ip[9] + l4));
    s->offload = (struct bp_net_offload){.flags = BP_NET_NEEDS_CHECKSUM, .checksum_start = (uint16_t)(14 + header),
                                         .checksum_offset = udp ? 6 : 16};
    if ((s->frame_flags & LARGE) && !udp && (s->frame_flags >> 16 & 0x7ffu)) {
        s->offload.segment = BP_NET_SEGMENT_TCP4;
        s->offload.segment_size = (uint16_t)(s->frame_flags >> 16 & 0x7ffu);
        s->offload.header_length = (uint16_t)(14 + header + 20);
    }
}

static void insert_tag(struct rtl8139 *s)
{
    if (s->frame_length < 12 || s->frame_length + 4 > FRAME_MAX)
        return;
    memmove(s->frame + 16, s->frame + 12, s->frame_length - 12);
    put_be16(s->frame + 12, 0x8100);
    /* It stands in the descriptor as on the wire. */
    s->frame[14] = (uint8_t)s->frame_tag;
    s->frame[15] = (uint8_t)(s->frame_tag >> 8);
    s->frame_length += 4;
    if (s->offload.flags)
        s->offload.checksum_start = (uint16_t)(s->offload.checksum_start + 4);
    if (s->offload.segment)
        s->offload.header_length = (uint16_t)(s->offload.header_length + 4);
}

/* Hands over what is whole; false: the network is full. */
static bool hand_over(struct rtl8139 *s)
{
    struct iovec vector = {s->frame, s->frame_length};
    struct bp_net_packet packet = {&vector, 1, s->frame_length, s->offload};

    if ((get32(s, TCR) & TCR_LOOPBACK) == TCR_LOOPBACK) {
        if (!packet.offload.segment)
            rtl_receive(s, 0, &packet, 1);
    } else if (s->frame_length && rtl_net->nic_send(s->nic, 0, &packet, 1) == 0) {
        return false;
    }
    rtl_tx_reset(s);
    return true;
}

static bool add_data(struct rtl8139 *s, uint64_t address, uint32_t length)
{
    if (length > FRAME_MAX - s->frame_length ||
        (length && rtl_pci->dma_read(bp_device_of_state(s), address, s->frame + s->frame_length, length) < 0)) {
        bp_guest_error("rtl8139-data", "rtl8139: %u bytes at %#llx of a frame are too many, or not there", length,
                       (unsigned long long)address);
        return false;
    }
    s->frame_length += length;
    return true;
}

/* ---- C mode ---- */

static void run_slots(struct rtl8139 *s)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned at = TSD + 4 * s->slot;
        uint32_t tsd = get32(s, at);

        if (tsd & TSD_OWN)
            return;
        if (!s->frame_whole) {
            rtl_tx_reset(s);
            if (!add_data(s, get32(s, TSAD + 4 * s->slot), tsd & 0x1fffu))
                s->frame_length = 0;
            s->frame_whole = true;
        }
        if (!hand_over(s))
            return;
        set32(s, at, tsd | TSD_OWN | TSD_TOK);
        s->slot = (s->slot + 1) % 4;
        rtl_interrupt(s, ISR_TOK);
    }
}

/* ---- C+ mode ---- */

static void finish_frame(struct rtl8139 *s)
{
    if (s->frame_bad) {
        s->frame_length = 0;
    } else {
        leave_sums(s);
        if (s->frame_tag & TAGC)
            insert_tag(s);
    }
    s->frame_whole = true;
}

/* false: there is none of ours, or the ring cannot be read. */
static bool take_descriptor(struct rtl8139 *s)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint64_t at = get64(s, TNPDS) + 16ull * s->tx_at;
    uint32_t d[4];

    if (rtl_pci->dma_read(dev, at, d, sizeof(d)) < 0 || !(d[0] & OWN))
        return false;
    if (d[0] & FS) {
        rtl_tx_reset(s);
        s->frame_flags = d[0];
        s->frame_tag = d[1];
    }
    s->frame_bad |= !add_data(s, d[2] | (uint64_t)d[3] << 32, d[0] & 0xffffu);
    if (d[0] & LS)
        finish_frame(s);
    d[0] &= ~OWN;
    rtl_pci->dma_write(dev, at, d, 4);
    s->tx_at = d[0] & EOR || s->tx_at + 1 >= RING_MAX ? 0 : s->tx_at + 1;
    return true;
}

static void run_ring(struct rtl8139 *s)
{
    unsigned done = 0;

    /* One that never ends is as long as a ring can be. */
    for (unsigned n = 0; n <= 2 * RING_MAX; n++) {
        if (s->frame_whole) {
            if (!hand_over(s))
                break;
            done++;
        }
        if (!take_descriptor(s)) {
            s->reg[TPPOLL] &= (uint8_t)~0xc0u;
            if (done)
                rtl_interrupt(s, ISR_TOK | ISR_TDU);
            return;
        }
    }
    if (done)
        rtl_interrupt(s, ISR_TOK);
}

void rtl_tx_run(struct rtl8139 *s)
{
    if (s->running || !(s->reg[CR] & CR_TE))
        return;
    s->running = true;
    if (get16(s, CPCR) & CP_TX) {
        if (s->reg[TPPOLL] & 0xc0u)
            run_ring(s);
    } else {
        run_slots(s);
    }
    s->running = false;
}
