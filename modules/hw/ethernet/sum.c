/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of the Internet (RFC 1071), and SCTP's (RFC 9260, appendix A). */
#include "ethernet.h"

uint64_t ethernet_sum(uint64_t start, const uint8_t *p, size_t length)
{
    for (; length > 1; p += 2, length -= 2)
        start += get_be16(p);
    return length ? start + ((uint64_t)p[0] << 8) : start;
}

uint16_t ethernet_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint32_t ethernet_crc32c(const uint8_t *p, size_t length)
{
    uint32_t crc = UINT32_MAX;

    while (length--) {
        crc ^= *p++;
        for (unsigned i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}
