/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in a packet (ethernet.h). Headers come from anywhere and are not believed. */
#include <string.h>

#include "ethernet.h"

static bool find_ip(const uint8_t *head, uint32_t length, uint32_t ip, struct ethernet_seen *e)
{
    const uint8_t *h = head + ip;
    uint16_t type = get_be16(head + ip - 2);
    uint32_t bytes;

    if (type == 0x0800 && h[0] >> 4 == 4 && (h[0] & 15u) >= 5) {
        bytes = (h[0] & 15u) * 4;
        e->protocol = h[9];
        e->fragment = get_be16(h + 6) & 0x3fff;
    } else if (type == 0x86dd && length >= ip + 40 && h[0] >> 4 == 6) {
        bytes = 40;
        e->protocol = h[6];
        e->v6 = true;
    } else {
        return false;
    }
    if (ip + bytes > length)
        return false;
    e->ip = (uint16_t)ip;
    e->l4 = (uint16_t)(ip + bytes);
    return true;
}

void ethernet_look(const uint8_t *head, uint32_t length, struct ethernet_seen *e)
{
    uint32_t ip = 14;

    *e = (struct ethernet_seen){0};
    if (length >= 18 && get_be16(head + 12) == 0x8100)
        ip = 18;
    if (length < ip + 20 || !find_ip(head, length, ip, e) || e->fragment)
        return;
    if (e->protocol == ETHERNET_TCP && e->l4 + 20u <= length)
        e->payload = (uint16_t)(e->l4 + (head[e->l4 + 12] >> 4) * 4);
    else if (e->protocol == ETHERNET_UDP && e->l4 + 8u <= length)
        e->payload = (uint16_t)(e->l4 + 8);
}

/* ---- checksums ---- */

uint32_t ethernet_ip_length(const uint8_t *head, const struct ethernet_seen *e, uint32_t length)
{
    const uint8_t *h = head + e->ip;
    uint32_t total = !e->ip ? 0 : e->v6 ? 40u + get_be16(h + 4) : get_be16(h + 2);

    return total < (uint32_t)e->l4 - e->ip || e->ip + total > length ? 0 : total;
}

bool ethernet_ip_good(const uint8_t *head, const struct ethernet_seen *e)
{
    return ethernet_fold(ethernet_sum(0, head + e->ip, (size_t)e->l4 - e->ip)) == 0xffff;
}

bool ethernet_no_sum(const uint8_t *head, const struct ethernet_seen *e)
{
    return e->protocol == ETHERNET_UDP && get_be16(head + e->l4 + 6) == 0;
}

bool ethernet_l4_good(const struct bp_net_interface *net, const struct bp_net_packet *packet, const uint8_t *head,
                      const struct ethernet_seen *e, uint32_t ip_length)
{
    uint32_t at = e->l4, left = ip_length - (e->l4 - e->ip);
    const uint8_t *ip = head + e->ip;
    uint8_t bytes[2048];
    uint64_t sum;

    if (packet->offload.flags & BP_NET_CHECKSUM_VALID)
        return true;
    sum = e->v6 ? ethernet_sum(0, ip + 8, 32) : ethernet_sum(0, ip + 12, 8);
    sum += e->protocol + left;
    while (left) {
        uint32_t n = left < sizeof(bytes) ? left : sizeof(bytes);

        net->copy(packet, at, bytes, n);
        sum = ethernet_sum(sum, bytes, n);
        at += n;
        left -= n;
    }
    return ethernet_fold(sum) == 0xffff;
}

/* ---- receive-side scaling ---- */

static uint32_t toeplitz(const uint8_t *key, const uint8_t *input, unsigned length)
{
    uint32_t hash = 0, window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];

    for (unsigned i = 0; i < length; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            if (input[i] << bit & 0x80)
                hash ^= window;
            window = window << 1 | (key[i + 4] >> (7 - bit) & 1u);
        }
    return hash;
}

uint32_t ethernet_hash(const uint8_t key[ETHERNET_KEY], const uint8_t *head, const struct ethernet_seen *e, bool ports)
{
    unsigned addresses = e->v6 ? 32 : 8;
    uint8_t input[36];

    memcpy(input, head + e->ip + (e->v6 ? 8 : 12), addresses);
    if (ports)
        memcpy(input + addresses, head + e->l4, 4);
    return toeplitz(key, input, addresses + (ports ? 4 : 0));
}
