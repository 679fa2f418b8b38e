/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What COLO's filters see of a frame: which connection it belongs to, and its payload. Nothing of it is trusted. */
#ifndef FLOW_H
#define FLOW_H

#include <bp/host/net.h>

#define FLOW_HEAD 160u /* bytes of a frame that hold all headers that are looked at */
#define TCP_FIN 1u
#define TCP_SYN 2u
#define TCP_RST 4u
#define TCP_ACK 16u

struct flow_key {
    uint8_t source[16], target[16];
    uint16_t source_port, target_port;
    uint8_t version, protocol;
};

struct flow {
    struct flow_key key;
    bool tcp;
    uint32_t seq, ack;       /* TCP */
    uint8_t flags;
    uint32_t transport;      /* offset of its header in the frame */
    uint32_t payload, length; /* offset and bytes behind the headers, without padding of the frame */
};

/* false: no IP, or its headers are not whole: it belongs to nothing. `head`: the first bytes of the frame. */
bool flow_read(struct flow *flow, const uint8_t *head, size_t have, uint32_t frame_length);
bool flow_same(const struct flow_key *a, const struct flow_key *b);
void flow_reverse(struct flow_key *key);
unsigned flow_hash(const struct flow_key *key); /* of both directions the same */

static inline uint32_t flow_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint16_t flow_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

#endif
