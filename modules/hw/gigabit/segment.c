/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP and UDP segmentation by the offsets in a context (82576, chapter 7.2.4): the network's own begins at the Ethernet
 * header, where what lies in a tunnel is not what is to be cut. The outer headers go into each segment as they are, as
 * the guest that asks for this wants it.
 */
#include <stdlib.h>
#include <string.h>

#include "gigabit.h"

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

bool gbe_in_tunnel(const struct gbe *g, const struct gbe_frame *f, const struct gbe_context *c)
{
    uint32_t ip = 14, start = c->ip_start + (f->shifted ? 4u : 0);

    while (ip + 4 <= f->length && (get_be16(f->bytes + ip - 2) == 0x8100 || get_be16(f->bytes + ip - 2) == 0x88a8))
        ip += 4;
    return g->model->late && ip != start;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, v >> 16);
    put_be16(p + 2, v & 0xffffu);
}

/* The inner headers of a segment of `length` bytes; offsets as they stand in it. */
static void fix(uint8_t *b, const struct gbe_context *c, uint32_t length, uint32_t done, uint32_t index, bool last)
{
    uint8_t *ip = b + c->ip_start, *l4 = b + c->sum_start;
    uint32_t transport = length - c->sum_start;
    uint64_t sum;

    if (c->ipv4) {
        put_be16(ip + 2, length - c->ip_start);
        put_be16(ip + 4, get_be16(ip + 4) + index);
        put_be16(ip + 10, 0);
        put_be16(ip + 10, (uint16_t)~ethernet_fold(ethernet_sum(0, ip, c->sum_start - c->ip_start)));
        sum = ethernet_sum(6 + (c->tcp ? 0 : 11), ip + 12, 8);
    } else {
        put_be16(ip + 4, length - c->ip_start - 40);
        sum = ethernet_sum(6 + (c->tcp ? 0 : 11), ip + 8, 32);
    }
    if (c->tcp) {
        put_be32(l4 + 4, get_be32(l4 + 4) + done);
        l4[13] &= (uint8_t)~((last ? 0 : TCP_FIN | TCP_PSH) | (index ? TCP_CWR : 0));
    } else {
        put_be16(l4 + 4, transport);
    }
    put_be16(b + c->sum_at, 0);
    put_be16(b + c->sum_at, (uint16_t)~ethernet_fold(ethernet_sum(sum + transport, l4, transport)));
}

bool gbe_segment(struct gbe *g, struct gbe_frame *f, const struct gbe_context *c, unsigned queue)
{
    uint32_t shift = f->shifted ? 4 : 0, all;
    struct gbe_context at = *c;
    bool room = true;
    uint8_t *b;

    at.ip_start += shift;
    at.sum_start += shift;
    at.sum_at += shift;
    at.header += shift;
    if (at.mss == 0 || at.header < at.sum_start + (c->tcp ? 20u : 8u) || at.header > f->length ||
        at.sum_start < at.ip_start + (c->ipv4 ? 20u : 40u) || at.sum_at + 2 > at.header || at.sum_at < at.sum_start)
        return true; /* nobody could cut this */
    all = f->length - at.header;
    b = bp_alloc(at.header + (size_t)at.mss);
    while (room && f->cut < all) {
        uint32_t n = all - f->cut < at.mss ? all - f->cut : at.mss;
        struct iovec vector = {b, at.header + n};
        struct bp_net_packet packet = {&vector, 1, at.header + n, {.flags = BP_NET_CHECKSUM_VALID}};

        memcpy(b, f->bytes, at.header);
        memcpy(b + at.header, f->bytes + at.header + f->cut, n);
        fix(b, &at, packet.length, f->cut, f->cut / at.mss, f->cut + n == all);
        room = g->net->nic_send(g->nic, queue, &packet, 1) == 1;
        f->cut += room ? n : 0;
    }
    free(b);
    return room;
}
