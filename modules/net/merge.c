/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments of one TCP connection that come together, for a NIC that takes long ones: they become one packet, as a
 * network card's receive offload makes it, and its guest has one to look at instead of forty. Only what could be cut
 * into the same frames again is put together: equal headers but for length, identification, sequence number and PSH,
 * payloads that follow each other and are of one length but for the last, right checksums. (RFC 791, 8200, 9293.)
 */
#include <string.h>

#include "net.h"

#define IP 14u
#define TCP_ACK 0x10u
#define TCP_PSH 0x08u
#define LONGEST 65000u

/* What a frame is, if it may be put together with others. */
struct segment {
    uint8_t head[MERGE_HEAD];
    uint32_t transport, payload, end; /* offsets in the frame */
    bool v6;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint64_t pseudo_header(const uint8_t *head, bool v6, uint32_t length)
{
    return (v6 ? sum_of(0, head + IP + 8, 32) : sum_of(0, head + IP + 12, 8)) + 6 + length;
}

static bool checksum_is_right(const struct bp_net_packet *packet, const struct segment *s)
{
    uint64_t sum = pseudo_header(s->head, s->v6, s->end - s->transport);
    uint32_t skip = s->transport;
    bool odd = false;

    if (packet->offload.flags & BP_NET_CHECKSUM_VALID)
        return true;
    for (unsigned i = 0; i < packet->count; i++) {
        const uint8_t *bytes = packet->vectors[i].iov_base;
        size_t n = packet->vectors[i].iov_len;

        if (skip >= n) {
            skip -= (uint32_t)n;
            continue;
        }
        bytes += skip;
        n -= skip;
        skip = 0;
        if (odd) { /* the second half of a word */
            sum += *bytes++;
            n--;
        }
        odd = n & 1;
        sum = sum_of(sum, bytes, n);
    }
    return sum_fold(sum) == 0xffff;
}

static bool is_plain_v4(const uint8_t *ip, uint32_t length)
{
    return ip[0] == 0x45 && !(get16(ip + 6) & 0x3fff) && ip[9] == 6 && get16(ip + 2) == length &&
           sum_fold(sum_of(0, ip, 20)) == 0xffff;
}

static bool is_plain_v6(const uint8_t *ip, uint32_t length)
{
    return ip[0] >> 4 == 6 && ip[6] == 6 && get16(ip + 4) + 40u == length;
}

static bool is_segment(const struct bp_net_packet *packet, uint32_t takes, struct segment *s)
{
    uint32_t n = (uint32_t)packet_copy(packet, 0, s->head, sizeof(s->head));
    const uint8_t *tcp;
    uint16_t type;

    if (packet->offload.segment || packet->offload.flags & BP_NET_NEEDS_CHECKSUM || packet->length < IP + 40 ||
        packet->length > LONGEST)
        return false;
    type = get16(s->head + 12);
    s->v6 = type == 0x86dd;
    s->end = packet->length;
    s->transport = IP + (s->v6 ? 40 : 20);
    if ((!s->v6 && type != 0x0800) || !(takes & (s->v6 ? BP_NET_TAKES_TCP6 : BP_NET_TAKES_TCP4)) ||
        n < s->transport + 20)
        return false;
    if (!(s->v6 ? is_plain_v6 : is_plain_v4)(s->head + IP, s->end - IP))
        return false;
    tcp = s->head + s->transport;
    s->payload = s->transport + (tcp[12] >> 4) * 4u;
    return s->payload >= s->transport + 20 && s->payload < s->end && s->payload <= n && !(tcp[12] & 15) &&
           (tcp[13] & ~TCP_PSH) == TCP_ACK && checksum_is_right(packet, s);
}

static bool same(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t to)
{
    return memcmp(a + from, b + from, to - from) == 0;
}

/* All that must not differ does not. */
static bool same_connection(const struct segment *a, const struct segment *b)
{
    const uint8_t *p = a->head, *q = b->head;
    uint32_t t = a->transport;

    if (a->v6 != b->v6 || a->payload != b->payload)
        return false;
    if (a->v6 ? !same(p, q, 0, IP + 4) || !same(p, q, IP + 6, t)
              : !same(p, q, 0, IP + 2) || !same(p, q, IP + 6, IP + 10) || !same(p, q, IP + 12, t))
        return false;
    return same(p, q, t, t + 4) && same(p, q, t + 8, t + 13) && same(p, q, t + 14, t + 16) &&
           same(p, q, t + 18, a->payload);
}

static bool identification_follows(const struct segment *first, const struct segment *next, unsigned members)
{
    const uint8_t *p = first->head + IP, *q = next->head + IP;

    return first->v6 || p[6] & 0x40 || (uint16_t)(get16(p + 4) + members) == get16(q + 4);
}

/* ---- one that grows ---- */

struct growing {
    struct segment first;
    uint32_t size, length, sequence; /* of each payload; of the whole frame; of what comes next */
    unsigned members, vectors;       /* vectors: where those of this one begin */
    bool ended;                      /* nothing can follow */
};

static bool follows(const struct growing *g, const struct segment *s)
{
    uint32_t bytes = s->end - s->payload;

    return !g->ended && bytes <= g->size && g->length + bytes <= LONGEST && same_connection(&g->first, s) &&
           get32(s->head + s->transport + 4) == g->sequence && identification_follows(&g->first, s, g->members);
}

static bool add_vectors(struct merged *m, const struct bp_net_packet *packet, uint32_t skip)
{
    if (m->vector_count + packet->count + 1 > MERGE_VECTORS)
        return false;
    for (unsigned i = 0; i < packet->count; i++) {
        const struct iovec *v = &packet->vectors[i];

        if (skip >= v->iov_len) {
            skip -= (uint32_t)v->iov_len;
            continue;
        }
        m->vectors[m->vector_count++] = (struct iovec){(uint8_t *)v->iov_base + skip, v->iov_len - skip};
        skip = 0;
    }
    return true;
}

static void end_with(struct growing *g, const struct segment *s)
{
    uint32_t bytes = s->end - s->payload;

    g->sequence += bytes;
    g->members++;
    g->ended = bytes < g->size || (s->head[s->transport + 13] & TCP_PSH);
    g->first.head[s->transport + 13] |= s->head[s->transport + 13] & TCP_PSH;
}

/* The first one, whose bytes stay as they are until another one follows. */
static void begin(struct merged *m, struct growing *g, const struct bp_net_packet *packet)
{
    g->size = g->first.end - g->first.payload;
    g->length = packet->length;
    g->sequence = get32(g->first.head + g->first.transport + 4);
    g->members = 0;
    end_with(g, &g->first);
    m->packets[m->count] = *packet;
    m->members[m->count++] = 1;
}

static void put_together(struct merged *m, struct growing *g)
{
    struct segment *s = &g->first;
    uint8_t *ip = s->head + IP, *tcp = s->head + s->transport;
    struct bp_net_packet *p = &m->packets[m->count - 1];

    if (s->v6) {
        put16(ip + 4, g->length - IP - 40);
    } else {
        put16(ip + 2, g->length - IP);
        put16(ip + 10, 0);
        put16(ip + 10, (uint16_t)~sum_fold(sum_of(0, ip, 20)));
    }
    put16(tcp + 16, sum_fold(pseudo_header(s->head, s->v6, g->length - s->transport)));
    memcpy(m->heads[m->count - 1], s->head, s->payload);
    *p = (struct bp_net_packet){&m->vectors[g->vectors], m->vector_count - g->vectors, g->length,
                                {.flags = BP_NET_NEEDS_CHECKSUM,
                                 .segment = s->v6 ? BP_NET_SEGMENT_TCP6 : BP_NET_SEGMENT_TCP4,
                                 .header_length = (uint16_t)s->payload, .segment_size = (uint16_t)g->size,
                                 .checksum_start = (uint16_t)s->transport, .checksum_offset = 16}};
}

/* One more behind the newest; false: there is no room for what describes it. */
static bool append(struct merged *m, struct growing *g, const struct bp_net_packet *before,
                   const struct bp_net_packet *packet, const struct segment *s)
{
    unsigned vectors = m->vector_count;

    if (g->members == 1) {
        g->vectors = vectors;
        if (vectors + 1 > MERGE_VECTORS)
            return false;
        m->vectors[m->vector_count++] = (struct iovec){m->heads[m->count - 1], s->payload};
        if (!add_vectors(m, before, g->first.payload)) {
            m->vector_count = vectors;
            return false;
        }
    }
    if (!add_vectors(m, packet, s->payload)) {
        m->vector_count = g->members == 1 ? vectors : m->vector_count;
        return false;
    }
    g->length += s->end - s->payload;
    end_with(g, s);
    m->members[m->count - 1]++;
    return true;
}

void merge_packets(const struct bp_net_packet *packets, unsigned count, uint32_t takes, struct merged *m)
{
    struct growing g = {.members = 0};
    struct segment s;

    m->count = m->vector_count = 0;
    for (unsigned i = 0; i < count; i++) {
        bool fits = is_segment(&packets[i], takes, &s);

        if (fits && g.members > 0 && follows(&g, &s) && append(m, &g, &packets[i - 1], &packets[i], &s))
            continue;
        if (g.members > 1)
            put_together(m, &g);
        g.members = 0;
        if (fits) {
            g.first = s;
            begin(m, &g, &packets[i]);
        } else {
            m->packets[m->count] = packets[i];
            m->members[m->count++] = 1;
        }
    }
    if (g.members > 1)
        put_together(m, &g);
}
