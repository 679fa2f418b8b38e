/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DHCPv6 replies as clients want them: libslirp leaves out the server's identifier, which a reply
 * must have (RFC 8415, 16.10) and without which clients throw it away; its port 547 has its bytes
 * in the wrong order. Both are put right. Under the machine lock
 */
#include <string.h>

#include "user.h"

#define HEADERS 62u /* Ethernet, IPv6, UDP */
#define PROTOCOL_UDP 17
#define REPLY 7
#define OPTION_SERVER 2u

static unsigned be16(const uint8_t *p)
{
    return (unsigned)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static bool has_server(const uint8_t *p, const uint8_t *end)
{
    for (p += 4; end - p >= 4; p += 4 + be16(p + 2)) {
        if (be16(p) == OPTION_SERVER)
            return true;
        if (be16(p + 2) > (unsigned)(end - p - 4))
            break;
    }
    return false;
}

/* Over addresses, length, protocol and datagram (RFC 8200, 8.1). */
static unsigned checksum(const uint8_t *frame, unsigned n)
{
    uint64_t sum = n + PROTOCOL_UDP;

    for (unsigned i = 0; i < 32; i += 2)
        sum += be16(frame + 22 + i);
    for (unsigned i = 0; i + 1 < n; i += 2)
        sum += be16(frame + 54 + i);
    if (n % 2)
        sum += (unsigned)frame[54 + n - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff ? 0xffff : (unsigned)~sum & 0xffff;
}

size_t dhcp6_complete(const uint8_t *frame, size_t length, uint8_t *buf, size_t size)
{
    unsigned n = length >= HEADERS + 4 ? be16(frame + 58) : 0;
    uint8_t *p;

    if (n < 12 || frame[12] != 0x86 || frame[13] != 0xdd || frame[20] != PROTOCOL_UDP ||
        be16(frame + 56) != 546 || frame[62] != REPLY || length != 54 + n ||
        length + DHCP6_MORE > size || has_server(frame + HEADERS, frame + length))
        return 0;
    memcpy(buf, frame, length);
    p = buf + length;
    put16(p, OPTION_SERVER);
    put16(p + 2, 10);
    put16(p + 4, 3); /* DUID-LL: of hardware type 1, the router's address */
    put16(p + 6, 1);
    memcpy(p + 8, frame + 6, 6);
    n += DHCP6_MORE;
    put16(buf + 18, n);
    put16(buf + 54, 547);
    put16(buf + 58, n);
    put16(buf + 60, 0);
    put16(buf + 60, checksum(buf, n));
    return length + DHCP6_MORE;
}
