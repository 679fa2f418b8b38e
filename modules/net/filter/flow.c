/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers of Ethernet (with one VLAN tag), IPv4 (RFC 791), IPv6 without extension headers (RFC 8200), TCP, UDP. */
#include <string.h>

#include "flow.h"

static bool read_tcp(struct flow *f, const uint8_t *head, size_t have, uint32_t end)
{
    const uint8_t *t = head + f->transport;
    uint32_t size;

    if (f->transport + 20u > have || f->transport + 20u > end)
        return false;
    size = (t[12] >> 4) * 4u;
    if (size < 20 || f->transport + size > end)
        return false;
    f->tcp = true;
    f->key.source_port = flow_be16(t);
    f->key.target_port = flow_be16(t + 2);
    f->seq = flow_be32(t + 4);
    f->ack = flow_be32(t + 8);
    f->flags = t[13];
    f->payload = f->transport + size;
    f->length = end - f->payload;
    return true;
}

static bool read_transport(struct flow *f, const uint8_t *head, size_t have, uint32_t end, bool fragment)
{
    f->payload = f->transport;
    f->length = end - f->transport;
    if (fragment)
        return true;
    if (f->key.protocol == 6)
        return read_tcp(f, head, have, end);
    if (f->key.protocol == 17) {
        if (f->transport + 8u > have || f->transport + 8u > end)
            return false;
        f->key.source_port = flow_be16(head + f->transport);
        f->key.target_port = flow_be16(head + f->transport + 2);
        f->payload += 8;
        f->length -= 8;
    }
    return true;
}

static bool read_ip4(struct flow *f, const uint8_t *head, size_t have, uint32_t at, uint32_t frame_length)
{
    const uint8_t *ip = head + at;
    uint32_t size, total;

    if (at + 20u > have)
        return false;
    size = (ip[0] & 15) * 4u;
    total = flow_be16(ip + 2);
    if (size < 20 || total < size || at + total > frame_length)
        return false;
    f->key.version = 4;
    f->key.protocol = ip[9];
    memcpy(f->key.source, ip + 12, 4);
    memcpy(f->key.target, ip + 16, 4);
    f->transport = at + size;
    return read_transport(f, head, have, at + total, flow_be16(ip + 6) & 0x3fff);
}

static bool read_ip6(struct flow *f, const uint8_t *head, size_t have, uint32_t at, uint32_t frame_length)
{
    const uint8_t *ip = head + at;
    uint32_t total;

    if (at + 40u > have)
        return false;
    total = 40u + flow_be16(ip + 4);
    if (at + total > frame_length)
        return false;
    f->key.version = 6;
    f->key.protocol = ip[6];
    memcpy(f->key.source, ip + 8, 16);
    memcpy(f->key.target, ip + 24, 16);
    f->transport = at + 40;
    return read_transport(f, head, have, at + total, false);
}

bool flow_read(struct flow *f, const uint8_t *head, size_t have, uint32_t frame_length)
{
    uint32_t at = 14;

    memset(f, 0, sizeof(*f));
    if (have < 18)
        return false;
    if (flow_be16(head + 12) == 0x8100)
        at = 18;
    switch (flow_be16(head + at - 2)) {
    case 0x0800:
        return read_ip4(f, head, have, at, frame_length);
    case 0x86dd:
        return read_ip6(f, head, have, at, frame_length);
    default:
        return false;
    }
}

bool flow_same(const struct flow_key *a, const struct flow_key *b)
{
    return a->version == b->version && a->protocol == b->protocol && a->source_port == b->source_port &&
           a->target_port == b->target_port && !memcmp(a->source, b->source, 16) && !memcmp(a->target, b->target, 16);
}

void flow_reverse(struct flow_key *k)
{
    struct flow_key old = *k;

    memcpy(k->source, old.target, 16);
    memcpy(k->target, old.source, 16);
    k->source_port = old.target_port;
    k->target_port = old.source_port;
}

unsigned flow_hash(const struct flow_key *k)
{
    unsigned h = (unsigned)(k->source_port ^ k->target_port) * 31u + k->protocol;

    for (unsigned i = 0; i < 16; i++)
        h += (unsigned)(k->source[i] ^ k->target[i]) << i % 8;
    return h * 2654435761u >> 16;
}
