/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What network cards find in packets that arrive: IPv4 and IPv6, TCP and UDP, whether their
 * checksums are right, the hash of receive-side scaling; and numbers as packets and descriptors
 * have them. Nothing here keeps anything. [any]
 */
#ifndef HW_ETHERNET_H
#define HW_ETHERNET_H

#include <bp/host/net.h>

#define ETHERNET_HEAD 128u /* bytes of a packet that are looked at */
#define ETHERNET_TCP 6u
#define ETHERNET_UDP 17u
#define ETHERNET_KEY 40u /* bytes of a key for the hash */

/* Offsets in the packet; 0: there is none. */
struct ethernet_seen {
    uint16_t ip;      /* of IP's header, behind at most one tag */
    uint16_t l4;      /* of what is behind it */
    uint16_t payload; /* behind TCP's or UDP's header, in whole datagrams only */
    uint8_t protocol; /* of IP: ETHERNET_TCP ... */
    bool v6;
    bool fragment;
};

/* Looks into the first `length` bytes of a packet: at most ETHERNET_HEAD. Extension headers of IPv6
 * are not passed over. */
void ethernet_look(const uint8_t *head, uint32_t length, struct ethernet_seen *ret_seen);
/* Bytes of IP's header and payload as the header says, if they are inside of a packet of `length` bytes; else 0. */
uint32_t ethernet_ip_length(const uint8_t *head, const struct ethernet_seen *seen, uint32_t length);
bool ethernet_ip_good(const uint8_t *head, const struct ethernet_seen *seen); /* the header's sum (RFC 791) */
/* TCP's or UDP's sum (RFC 9293, RFC 768), over `ip_length` bytes as above. A packet whose sender
 * vouches for it is good. */
bool ethernet_l4_good(const struct bp_net_interface *net, const struct bp_net_packet *packet, const uint8_t *head,
                      const struct ethernet_seen *seen, uint32_t ip_length);
/* UDP over IPv4 without a sum. */
bool ethernet_no_sum(const uint8_t *head, const struct ethernet_seen *seen);
/* Toeplitz's hash (the tables of receive-side scaling) over the addresses, and the ports. */
uint32_t ethernet_hash(const uint8_t key[ETHERNET_KEY], const uint8_t *head,
                       const struct ethernet_seen *seen, bool ports);

/* ---- sum.c ---- */
uint64_t ethernet_sum(uint64_t start, const uint8_t *p, size_t length); /* an odd number of bytes only at the end */
uint16_t ethernet_fold(uint64_t sum);                                   /* not complemented */
uint32_t ethernet_crc32c(const uint8_t *p, size_t length); /* of SCTP (RFC 9260, appendix A), as it stands in packets */

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline uint64_t get_le64(const uint8_t *p)
{
    return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

#endif
