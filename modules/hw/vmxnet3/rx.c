/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception: filters, checksums, receive-side scaling, then a buffer for heads of the first ring
 * and buffers for bodies of both for the rest. Without enough of them the packet is left with the
 * network until the guest gives more. Left out: packets that are merged into longer ones (LRO).
 */
#include <string.h>

#include <bp/log.h>

#include "vmxnet3.h"

#define WORD2_LENGTH 0x3fffu
#define WORD2_BODY 0x4000u
#define WORD2_GENERATION 0x80000000u
#define PIECES 64u /* buffers of one packet */
#define DONE_TYPE 3u
/* Completions. */
#define WORD0_EOP 0x4000u
#define WORD0_SOP 0x8000u
#define WORD0_NO_SUM 0x40000000u
#define WORD2_TAGGED 0x8000u
#define WORD3_L4_GOOD 0x10000u
#define WORD3_UDP 0x20000u
#define WORD3_TCP 0x40000u
#define WORD3_IP_GOOD 0x80000u
#define WORD3_V6 0x100000u
#define WORD3_V4 0x200000u
#define WORD3_FRAGMENT 0x400000u
#define WORD3_FCS 0x800000u
/* Kinds of hash: what the driver asks for, and what a completion says. */
enum { ASK_IP4 = 1, ASK_TCP4 = 2, ASK_IP6 = 4, ASK_TCP6 = 8 };
enum { GIVE_IP4 = 1, GIVE_TCP4 = 2, GIVE_IP6 = 3, GIVE_TCP6 = 4 };

struct arriving {
    const struct bp_net_packet *packet;
    uint8_t head[ETHERNET_HEAD];
    uint32_t head_length, skip, length; /* skip: of a tag, at 12; length: as the guest gets it */
    uint16_t tag;
    struct ethernet_seen in;
    uint32_t facts; /* of word 3 */
    bool summed;
    uint32_t hash, hash_kind;
};

struct piece {
    uint64_t address;
    uint32_t length, index;
    unsigned ring;
};

/* ---- filters ---- */

static bool listed(const struct vmxnet3 *s, const uint8_t *mac)
{
    if (s->multicast_overflow)
        return true;
    for (uint32_t i = 0; i < s->multicast_count; i++)
        if (!memcmp(s->multicast[i], mac, 6))
            return true;
    return false;
}

static bool passes(const struct vmxnet3 *s, const struct arriving *a)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const uint8_t *h = a->head;

    if (s->mode & MODE_PROMISCUOUS)
        return true;
    if (a->head_length >= 18 && get_be16(h + 12) == 0x8100) {
        unsigned id = get_be16(h + 14) & 0xfffu;

        if (!(s->vlans[id / 32] >> id % 32 & 1u))
            return false;
    }
    if (!memcmp(h, all, 6))
        return s->mode & MODE_BROADCAST;
    if (h[0] & 1)
        return (s->mode & MODE_ALL_MULTI) || ((s->mode & MODE_MULTICAST) && listed(s, h));
    return (s->mode & MODE_UNICAST) && !memcmp(h, s->mac, 6);
}

/* ---- what is in it ---- */

static void check_sums(struct vmxnet3 *s, struct arriving *a)
{
    uint32_t total = ethernet_ip_length(a->head, &a->in, a->packet->length);
    bool tcp = a->in.protocol == ETHERNET_TCP;

    if (!a->in.ip)
        return;
    a->facts |= a->in.v6 ? WORD3_V6 : WORD3_V4;
    a->facts |= a->in.fragment ? WORD3_FRAGMENT : 0;
    if (!(s->features & FEATURE_RXCSUM) || total == 0 || !a->in.payload || ethernet_no_sum(a->head, &a->in))
        return;
    a->facts |= tcp ? WORD3_TCP : WORD3_UDP;
    a->summed = true;
    if (a->in.v6 || ethernet_ip_good(a->head, &a->in))
        a->facts |= WORD3_IP_GOOD;
    if (ethernet_l4_good(s->net, a->packet, a->head, &a->in, total))
        a->facts |= WORD3_L4_GOOD;
}

static void scale(struct vmxnet3 *s, struct arriving *a)
{
    bool tcp = a->in.payload && a->in.protocol == ETHERNET_TCP;

    if (s->table_size == 0 || !a->in.ip)
        return;
    tcp = tcp && (s->hash_kinds & (a->in.v6 ? ASK_TCP6 : ASK_TCP4));
    if (!tcp && !(s->hash_kinds & (a->in.v6 ? ASK_IP6 : ASK_IP4)))
        return;
    a->hash = ethernet_hash(s->key, a->head, &a->in, tcp);
    a->hash_kind = a->in.v6 ? (tcp ? GIVE_TCP6 : GIVE_IP6) : tcp ? GIVE_TCP4 : GIVE_IP4;
}

static bool examine(struct vmxnet3 *s, const struct bp_net_packet *packet, struct arriving *a)
{
    *a = (struct arriving){.packet = packet, .length = packet->length < 60 ? 60 : packet->length};
    a->head_length = (uint32_t)s->net->copy(packet, 0, a->head, sizeof(a->head));
    if (packet->length < 14 || packet->length > s->mtu + 18u || !passes(s, a))
        return false;
    ethernet_look(a->head, a->head_length, &a->in);
    if ((s->features & FEATURE_RXVLAN) && a->head_length >= 18 && get_be16(a->head + 12) == 0x8100) {
        a->skip = 4;
        a->length -= 4;
        a->tag = get_be16(a->head + 14);
    }
    a->facts = WORD3_FCS | DONE_TYPE << 24;
    scale(s, a);
    return true;
}

/* ---- buffers ---- */

/* The next descriptor of a ring, if the driver has given it. */
static bool peek(struct vmxnet3 *s, const struct ring *r, uint8_t d[DESCRIPTOR])
{
    uint64_t at = r->base + (uint64_t)r->next * DESCRIPTOR;

    if (r->count == 0)
        return false;
    if (s->pci->dma_read(s->dev, at, d, DESCRIPTOR) < 0) {
        bp_guest_error("vmxnet3-rx-ring", "vmxnet3: the receive ring at %#llx cannot be read", (unsigned long long)at);
        return false;
    }
    return !(get_le32(d + 8) & WORD2_GENERATION) != r->generation;
}

static void note(struct piece *p, const uint8_t *d, struct ring *r, unsigned ring)
{
    *p = (struct piece){get_le64(d), get_le32(d + 8) & WORD2_LENGTH, r->next, ring};
    vmxnet3_step(r);
}

/* One for the head: descriptors for bodies in front of it are passed over. */
static bool take_head(struct vmxnet3 *s, struct ring *r, struct piece *p)
{
    uint8_t d[DESCRIPTOR];

    for (uint32_t n = 0; n < r->count && peek(s, r, d); n++) {
        if (!(get_le32(d + 8) & WORD2_BODY)) {
            note(p, d, r, 0);
            return true;
        }
        vmxnet3_step(r);
    }
    return false;
}

/* One for a body: of the first ring if the next one there is such, else of the second. */
static bool take_body(struct vmxnet3 *s, struct ring rings[2], struct piece *p)
{
    uint8_t d[DESCRIPTOR];

    for (unsigned i = 0; i < 2; i++)
        if (peek(s, &rings[i], d) && (get_le32(d + 8) & WORD2_BODY)) {
            note(p, d, &rings[i], i);
            return true;
        }
    return false;
}

/* Pieces for so many bytes; `rings` are behind them then. 0: not now; above PIECES: never. */
static unsigned gather(struct vmxnet3 *s, struct ring rings[2], uint32_t length, struct piece pieces[PIECES])
{
    uint32_t room = 0;
    unsigned n = 0;

    while (room < length) {
        if (n == PIECES)
            return PIECES + 1;
        if (n == 0 ? !take_head(s, &rings[0], &pieces[0]) : !take_body(s, rings, &pieces[n]))
            return 0;
        room += pieces[n++].length;
    }
    return n;
}

/* Bytes of the packet as the guest gets it: without its tag, zeroes behind its end. */
static void fetch(struct vmxnet3 *s, const struct arriving *a, uint32_t offset, uint8_t *buf, uint32_t length)
{
    uint32_t done = 0;

    if (a->skip && offset < 12) {
        done = 12 - offset < length ? 12 - offset : length;
        s->net->copy(a->packet, offset, buf, done);
    }
    done += (uint32_t)s->net->copy(a->packet, offset + done + (offset + done >= 12 ? a->skip : 0), buf + done,
                                   length - done);
    memset(buf + done, 0, length - done);
}

/* ---- completions ---- */

static void complete(struct vmxnet3 *s, unsigned queue, const struct arriving *a,
                     const struct piece *p, uint32_t length, bool first, bool last)
{
    uint32_t ring = queue + (p->ring ? s->rx_count : 0), zero = p->index | ring << 16;
    uint8_t d[DESCRIPTOR] = {0};

    zero |= first ? WORD0_SOP | a->hash_kind << 26 : 0;
    zero |= last ? WORD0_EOP : 0;
    zero |= a->summed ? 0 : WORD0_NO_SUM;
    put_le32(d, zero);
    put_le32(d + 4, a->hash);
    put_le32(d + 8, length | (a->skip ? WORD2_TAGGED | (uint32_t)a->tag << 16 : 0));
    put_le32(d + 12, a->facts);
    vmxnet3_complete(s, &s->rx[queue].done, d);
}

static void put(struct vmxnet3 *s, unsigned queue, const struct arriving *a, const struct piece *pieces, unsigned count)
{
    uint8_t bytes[WORD2_LENGTH + 1];
    uint32_t done = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t n = a->length - done < pieces[i].length ? a->length - done : pieces[i].length;

        fetch(s, a, done, bytes, n);
        if (n)
            s->pci->dma_write(s->dev, pieces[i].address, bytes, n);
        done += n;
        complete(s, queue, a, &pieces[i], n, i == 0, i + 1 == count);
    }
}

static void count_received(struct rx *rx, const struct arriving *a)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    unsigned kind = !memcmp(a->head, all, 6) ? 2 : a->head[0] & 1;

    rx->counters[RX_UNICAST + 2 * kind]++;
    rx->counters[RX_UNICAST + 2 * kind + 1] += a->packet->length;
}

/* false: not now. */
static bool receive(struct vmxnet3 *s, const struct bp_net_packet *packet)
{
    struct piece pieces[PIECES];
    struct ring rings[2];
    struct arriving a;
    unsigned queue, count;
    struct rx *rx;

    if (!examine(s, packet, &a))
        return true;
    queue = a.hash_kind ? s->table[a.hash % s->table_size] : 0;
    rx = &s->rx[queue < s->rx_count ? queue : 0];
    queue = (unsigned)(rx - s->rx);
    memcpy(rings, rx->ring, sizeof(rings));
    count = gather(s, rings, a.length, pieces);
    if (count == 0) {
        rx->counters[RX_OUT_OF_BUFFERS]++;
        return false;
    }
    memcpy(rx->ring, rings, sizeof(rings));
    if (count > PIECES) {
        rx->counters[RX_ERROR]++;
        return true;
    }
    check_sums(s, &a);
    put(s, queue, &a, pieces, count);
    count_received(rx, &a);
    vmxnet3_interrupt(s, rx->interrupt);
    return true;
}

unsigned vmxnet3_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct vmxnet3 *s = opaque;
    unsigned n = 0;

    (void)queue;
    if (!s->active || !s->net->nic_link(s->nic))
        return count; /* nobody listens */
    while (n < count && receive(s, &packets[n]))
        n++;
    return n;
}
