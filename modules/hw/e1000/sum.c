/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of the Internet (RFC 1071). */
#include "e1000.h"

uint64_t sum_bytes(uint64_t start, const uint8_t *p, size_t length)
{
    for (; length > 1; p += 2, length -= 2)
        start += get_be16(p);
    return length ? start + ((uint64_t)p[0] << 8) : start;
}

uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}
