/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames as cards have them: with padding and check sequence (nic.h; IEEE 802.3, clauses 3.2.8
 * and 3.2.9). */
#include <string.h>

#include "nic.h"

#define SHORTEST 60u

uint32_t card_crc(const uint8_t *p, unsigned n)
{
    static const uint32_t by_nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                           0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                           0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                           0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;

    for (; n--; p++) {
        crc = crc >> 4 ^ by_nibble[(crc ^ *p) & 15u];
        crc = crc >> 4 ^ by_nibble[(crc ^ *p >> 4) & 15u];
    }
    return crc;
}

uint32_t card_crc_reversed(const uint8_t *p, unsigned n)
{
    uint32_t crc = card_crc(p, n), result = 0;

    for (unsigned i = 0; i < 32; i++)
        result |= (crc >> i & 1u) << (31 - i);
    return result;
}

unsigned card_take_frame(const struct bp_net_interface *net, const struct bp_net_packet *packet,
                         uint8_t *buf)
{
    unsigned n = packet->length;
    uint32_t fcs;

    if (n < 14 || n + 4 > CARD_FRAME_MAX)
        return 0;
    net->copy(packet, 0, buf, n);
    if (n < SHORTEST) {
        memset(buf + n, 0, SHORTEST - n);
        n = SHORTEST;
    }
    fcs = ~card_crc(buf, n);
    for (unsigned i = 0; i < 4; i++)
        buf[n + i] = (uint8_t)(fcs >> 8 * i);
    return n + 4;
}

bool card_send(const struct bp_net_interface *net, struct bp_nic *nic, uint8_t *frame,
               unsigned length)
{
    struct iovec vector = {frame, length};
    struct bp_net_packet packet = {&vector, 1, length, {0}};

    return length == 0 || net->nic_send(nic, 0, &packet, 1) == 1;
}
