/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a sender left to do and a receiver does not do: checksums (RFC 1071), segments of TCP (RFC 9293) and UDP
 * over IPv4 (RFC 791) and IPv6 (RFC 8200). Facts come from guests and are not believed: whatever does not fit the
 * packet's bytes is refused. IPv4 fragments of UDP (UFO) are made, too. Extension headers of IPv6 are passed over
 * as far as checksum_start says where the transport begins.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define ETHERNET 14u
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

size_t packet_copy(const struct bp_net_packet *packet, size_t offset, void *buf, size_t length)
{
    uint8_t *to = buf;
    size_t done = 0;

    for (unsigned i = 0; i < packet->count && done < length; i++) {
        const struct iovec *v = &packet->vectors[i];
        size_t n;

        if (offset >= v->iov_len) {
            offset -= v->iov_len;
            continue;
        }
        n = v->iov_len - offset < length - done ? v->iov_len - offset : length - done;
        memcpy(to + done, (const uint8_t *)v->iov_base + offset, n);
        done += n;
        offset = 0;
    }
    return done;
}

uint32_t offload_needs(const struct bp_net_offload *offload)
{
    uint32_t needs = offload->flags & BP_NET_NEEDS_CHECKSUM ? BP_NET_TAKES_CHECKSUM : 0;

    if (offload->segment & BP_NET_SEGMENT_ECN)
        needs |= BP_NET_TAKES_ECN;
    switch (offload->segment & ~BP_NET_SEGMENT_ECN) {
    case BP_NET_SEGMENT_NONE:
        break;
    case BP_NET_SEGMENT_TCP4:
        needs |= BP_NET_TAKES_TCP4;
        break;
    case BP_NET_SEGMENT_TCP6:
        needs |= BP_NET_TAKES_TCP6;
        break;
    case BP_NET_SEGMENT_UDP:
        needs |= BP_NET_TAKES_UDP;
        break;
    case BP_NET_SEGMENT_UDP_L4:
        needs |= BP_NET_TAKES_UDP_L4;
        break;
    default:
        needs |= UINT32_C(1) << 31; /* nobody takes what has no name */
        break;
    }
    return needs;
}

/* ---- sums ---- */

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

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

/* By words of the host's order, two at once: turned round, their sum is that of the others (RFC 1071, 2 (B)). */
uint64_t sum_of(uint64_t start, const uint8_t *p, size_t length)
{
    uint64_t s = 0;
    uint32_t words;
    uint16_t last;

    for (; length >= 4; p += 4, length -= 4) {
        memcpy(&words, p, 4);
        s += words;
    }
    if (length >= 2) {
        memcpy(&last, p, 2);
        s += last;
        p += 2;
        length -= 2;
    }
    start += ntohs(sum_fold(s));
    return length ? start + ((uint64_t)p[0] << 8) : start;
}

uint16_t sum_fold(uint64_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

static int complete_checksum(uint8_t *bytes, uint32_t length, const struct bp_net_offload *o)
{
    uint32_t at = (uint32_t)o->checksum_start + o->checksum_offset;
    uint16_t value;

    if (o->checksum_start > length || at + 2 > length)
        return -EINVAL;
    value = (uint16_t)~sum_fold(sum_of(0, bytes + o->checksum_start, length - o->checksum_start));
    /* A UDP sum of 0 means that there is none (RFC 768). */
    put16(bytes + at, value == 0 && o->checksum_offset == 6 ? 0xffff : value);
    return 0;
}

/* ---- segments ---- */

struct layout {
    uint32_t ip, transport, payload; /* offsets */
    bool v6, tcp;
};

static int find_layout(const uint8_t *b, uint32_t length, const struct bp_net_offload *o,
                       struct layout *ret)
{
    uint8_t segment = o->segment & (uint8_t)~BP_NET_SEGMENT_ECN;
    struct layout l = {.ip = ETHERNET, .tcp = segment == BP_NET_SEGMENT_TCP4 || segment == BP_NET_SEGMENT_TCP6};
    uint16_t type;

    if (length < ETHERNET + 20)
        return -EINVAL;
    for (type = get16(b + 12); type == 0x8100 || type == 0x88a8; type = get16(b + l.ip - 2)) {
        l.ip += 4;
        if (l.ip + 20 > length)
            return -EINVAL;
    }
    l.v6 = type == 0x86dd;
    if ((!l.v6 && type != 0x0800) || (segment == BP_NET_SEGMENT_TCP4 && l.v6) ||
        (segment == BP_NET_SEGMENT_TCP6 && !l.v6))
        return -EINVAL;
    l.transport = l.ip + (l.v6 ? 40u : (b[l.ip] & 15u) * 4);
    if (l.v6 && (o->flags & BP_NET_NEEDS_CHECKSUM) && o->checksum_start > l.transport)
        l.transport = o->checksum_start;
    if (l.transport < l.ip + 20 || l.transport + 20 > length + (l.tcp ? 0 : 12))
        return -EINVAL;
    l.payload = l.transport + (l.tcp ? (b[l.transport + 12] >> 4) * 4u : 8u);
    if (l.payload < l.transport + (l.tcp ? 20 : 8) || l.payload > length || o->segment_size == 0)
        return -EINVAL;
    *ret = l;
    return 0;
}

static uint64_t pseudo_header(const uint8_t *b, const struct layout *l, uint32_t transport_length)
{
    uint64_t s = l->v6 ? sum_of(0, b + l->ip + 8, 32) : sum_of(0, b + l->ip + 12, 8);

    return s + (l->tcp ? 6 : 17) + (transport_length >> 16) + (transport_length & 0xffff);
}

static void fix_ip(uint8_t *b, const struct layout *l, uint32_t length, uint32_t index)
{
    uint8_t *ip = b + l->ip;

    if (l->v6) {
        put16(ip + 4, length - l->ip - 40);
        return;
    }
    put16(ip + 2, length - l->ip);
    put16(ip + 4, get16(ip + 4) + index);
    put16(ip + 10, 0);
    put16(ip + 10, (uint16_t)~sum_fold(sum_of(0, ip, l->transport - l->ip)));
}

static void fix_transport(uint8_t *b, const struct layout *l, uint32_t length, uint32_t done, bool first,
                          bool last)
{
    uint8_t *t = b + l->transport, *at = t + (l->tcp ? 16 : 6);
    uint16_t value;

    if (l->tcp) {
        put32(t + 4, get32(t + 4) + done);
        if (!last)
            t[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
        if (!first)
            t[13] &= (uint8_t)~TCP_CWR;
    } else {
        put16(t + 4, length - l->transport);
    }
    put16(at, 0);
    value = (uint16_t)~sum_fold(sum_of(pseudo_header(b, l, length - l->transport), t, length - l->transport));
    put16(at, value == 0 && !l->tcp ? 0xffff : value);
}

static int segment(uint8_t *bytes, uint32_t length, const struct bp_net_offload *o,
                   void (*fn)(void *opaque, const struct bp_net_packet *packet), void *opaque)
{
    struct layout l;
    uint8_t *piece;

    if (find_layout(bytes, length, o, &l) < 0)
        return -EINVAL;
    piece = malloc(l.payload + (size_t)o->segment_size);
    if (!piece)
        return -ENOMEM;
    for (uint32_t done = 0, i = 0; done < length - l.payload || i == 0; i++) {
        uint32_t left = length - l.payload - done, n = left < o->segment_size ? left : o->segment_size;
        struct iovec vector = {piece, l.payload + n};
        struct bp_net_packet packet = {&vector, 1, l.payload + n, {.flags = BP_NET_CHECKSUM_VALID}};

        memcpy(piece, bytes, l.payload);
        memcpy(piece + l.payload, bytes + l.payload + done, n);
        fix_ip(piece, &l, packet.length, i);
        fix_transport(piece, &l, packet.length, done, i == 0, n == left);
        fn(opaque, &packet);
        done += n;
        if (n == 0)
            break;
    }
    free(piece);
    return 0;
}

/* Fragments of one datagram, IPv4 only: 8 bytes of offset at a time. */
static int fragment(uint8_t *bytes, uint32_t length, const struct bp_net_offload *o,
                    void (*fn)(void *opaque, const struct bp_net_packet *packet), void *opaque)
{
    uint32_t most = o->segment_size & ~7u, whole;
    struct layout l;
    uint8_t *piece;

    if (find_layout(bytes, length, o, &l) < 0 || l.v6 || most == 0)
        return -EINVAL;
    fix_transport(bytes, &l, length, 0, true, true);
    whole = length - l.transport;
    piece = malloc(l.transport + (size_t)most);
    if (!piece)
        return -ENOMEM;
    for (uint32_t done = 0; done < whole; done += most) {
        uint32_t n = whole - done < most ? whole - done : most;
        struct iovec vector = {piece, l.transport + n};
        struct bp_net_packet packet = {&vector, 1, l.transport + n, {0}};

        memcpy(piece, bytes, l.transport);
        memcpy(piece + l.transport, bytes + l.transport + done, n);
        put16(piece + l.ip + 6, (done / 8) | (done + n < whole ? 0x2000u : 0));
        fix_ip(piece, &l, packet.length, 0);
        fn(opaque, &packet);
    }
    free(piece);
    return 0;
}

int offload_finish(const struct bp_net_packet *packet, uint32_t takes,
                   void (*fn)(void *opaque, const struct bp_net_packet *packet), void *opaque)
{
    uint32_t lacks = offload_needs(&packet->offload) & ~takes;
    struct bp_net_packet whole = *packet;
    struct iovec vector;
    uint8_t *bytes;
    int r = 0;

    if (lacks >> 31 || packet->length > BP_NET_MAX_PACKET)
        return -EINVAL;
    bytes = malloc(packet->length ? packet->length : 1);
    if (!bytes)
        return -ENOMEM;
    packet_copy(packet, 0, bytes, packet->length);
    if (lacks & ~BP_NET_TAKES_CHECKSUM) {
        r = lacks & BP_NET_TAKES_UDP ? fragment(bytes, packet->length, &packet->offload, fn, opaque)
                                     : segment(bytes, packet->length, &packet->offload, fn, opaque);
    } else {
        r = complete_checksum(bytes, packet->length, &packet->offload);
        vector = (struct iovec){bytes, packet->length};
        whole.vectors = &vector;
        whole.count = 1;
        whole.offload.flags = BP_NET_CHECKSUM_VALID;
        if (r == 0)
            fn(opaque, &whole);
    }
    free(bytes);
    return r;
}
