/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception up to the descriptors (82540EM, chapter 3.2; 82576, chapter 7.1): address, VLAN and
 * size filters, checksums, the hash of receive-side scaling. Where the guest wants to see the FCS
 * it sees zeroes.
 */
#include <string.h>

#include "gigabit.h"

/* MRQC, bits 31:16. */
#define MRQC_TCP4 0x00010000u
#define MRQC_IP4 0x00020000u
#define MRQC_IP6 0x00100000u
#define MRQC_TCP6 0x00200000u
#define MRQC_UDP4 0x00400000u
#define MRQC_UDP6 0x00800000u

/* ---- filters ---- */

/* One of `count` addresses from register `at` on? */
static bool listed(const struct gbe *g, unsigned at, unsigned count, const uint8_t *mac)
{
    uint32_t low = get_le32(mac), high = mac[4] | (uint32_t)mac[5] << 8;

    for (unsigned i = 0; i < count; i++) {
        uint32_t ral = g->reg[at / 4 + 2 * i], rah = g->reg[at / 4 + 2 * i + 1];

        if ((rah & RAH_AV) && ral == low && (rah & 0xffffu) == high)
            return true;
    }
    return false;
}

static bool known_unicast(const struct gbe *g, const uint8_t *mac)
{
    return listed(g, RAL, 16, mac) || (g->model->more_addresses && listed(g, g->model->more_addresses, 8, mac));
}

static bool known_multicast(const struct gbe *g, const uint8_t *mac)
{
    static const uint8_t shift[4] = {4, 3, 2, 0}; /* bits 47:36, 46:35, 45:34, 43:32 of the address */
    unsigned value = mac[4] | (unsigned)mac[5] << 8;
    unsigned bit = value >> shift[g->reg[RCTL / 4] >> 12 & 3u] & 0xfffu;

    return g->reg[MTA / 4 + bit / 32] >> bit % 32 & 1u;
}

static bool address_passes(struct gbe *g, struct gbe_arriving *a)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t rctl = *reg(g, RCTL);

    if (!memcmp(a->head, all, 6)) {
        if (!(rctl & (RCTL_BAM | RCTL_MPE)))
            return rctl & RCTL_UPE;
        gbe_count(g, BPRC, 1);
        return true;
    }
    if (known_unicast(g, a->head))
        return true;
    if (a->head[0] & 1) {
        gbe_count(g, MPRC, 1);
        if (rctl & RCTL_MPE)
            return true;
        a->status |= GBE_STATUS_PIF;
        return known_multicast(g, a->head);
    }
    return rctl & RCTL_UPE;
}

static bool tag_passes(const struct gbe *g, const struct gbe_arriving *a)
{
    uint32_t rctl = g->reg[RCTL / 4];

    if (!(rctl & RCTL_VFE) || a->head_length < 18 || get_be16(a->head + 12) != (g->reg[VET / 4] & 0xffffu))
        return true;
    if ((rctl & RCTL_CFIEN) && !(a->head[14] & 0x10) != !(rctl & RCTL_CFI))
        return false;
    return g->reg[VFTA / 4 + (get_be16(a->head + 14) >> 5 & 0x7fu)] >> (a->head[15] & 31u) & 1u;
}

bool gbe_arrives(struct gbe *g, const struct bp_net_packet *packet, uint32_t longest, struct gbe_arriving *a)
{
    *a = (struct gbe_arriving){.packet = packet, .length = packet->length < 60 ? 60 : packet->length};
    a->head_length = (uint32_t)g->net->copy(packet, 0, a->head, sizeof(a->head));
    if (packet->length + 4 > longest) {
        gbe_count(g, ROC, 1);
        return false;
    }
    if (!tag_passes(g, a) || !address_passes(g, a))
        return false;
    if ((*reg(g, CTRL) & CTRL_VME) && a->head_length >= 18 && get_be16(a->head + 12) == (*reg(g, VET) & 0xffffu)) {
        a->skip = 4;
        a->length -= 4;
        a->tag = get_be16(a->head + 14);
        a->status |= GBE_STATUS_VP;
    }
    if (!(*reg(g, RCTL) & RCTL_SECRC))
        a->length += 4;
    ethernet_look(a->head, a->head_length, &a->in);
    return true;
}

uint32_t gbe_header_end(const struct gbe_arriving *a)
{
    uint32_t end = a->in.payload ? a->in.payload : a->in.l4;

    return end > a->packet->length ? 0 : end - (end ? a->skip : 0);
}

/* ---- checksums ---- */

void gbe_check_sums(struct gbe *g, struct gbe_arriving *a)
{
    uint32_t total = ethernet_ip_length(a->head, &a->in, a->packet->length), rxcsum = *reg(g, RXCSUM);

    if (total == 0 || (a->in.v6 && !g->model->late)) {
        a->status |= GBE_STATUS_IXSM;
        return;
    }
    if (!a->in.v6 && (rxcsum & RXCSUM_IPOFLD)) {
        a->status |= GBE_STATUS_IPCS;
        if (!ethernet_ip_good(a->head, &a->in))
            a->errors |= GBE_ERROR_IPE;
    }
    if (!(rxcsum & RXCSUM_TUOFLD) || !a->in.payload || ethernet_no_sum(a->head, &a->in))
        return;
    if (!ethernet_l4_good(g->net, a->packet, a->head, &a->in, total))
        a->errors |= GBE_ERROR_TCPE;
    a->status |= a->in.protocol == ETHERNET_UDP && g->model->late ? GBE_STATUS_UDPCS : GBE_STATUS_TCPCS;
}

/* ---- receive-side scaling ---- */

void gbe_scale(struct gbe *g, struct gbe_arriving *a)
{
    uint32_t mrqc = *reg(g, MRQC);
    uint8_t key[ETHERNET_KEY];
    bool tcp = a->in.protocol == ETHERNET_TCP, v6 = a->in.v6, ports;

    if (!a->in.ip || !g->model->rss_mode || (mrqc & 7u) != g->model->rss_mode)
        return;
    ports = a->in.payload && (mrqc & (tcp ? v6 ? MRQC_TCP6 : MRQC_TCP4 : v6 ? MRQC_UDP6 : MRQC_UDP4));
    if (!ports && !(mrqc & (v6 ? MRQC_IP6 : MRQC_IP4)))
        return;
    for (unsigned i = 0; i < ETHERNET_KEY; i += 4)
        put_le32(key + i, *reg(g, RSSRK + i));
    a->hash = ethernet_hash(key, a->head, &a->in, ports);
    if (!ports)
        a->hash_type = v6 ? 5 : 2;
    else if (tcp)
        a->hash_type = v6 ? 3 : 1;
    else
        a->hash_type = v6 ? 8 : 7;
}

/* ---- for descriptors ---- */

uint32_t gbe_buffer_size(const struct gbe *g)
{
    uint32_t code = g->reg[RCTL / 4] >> 16 & 3u;

    return (g->reg[RCTL / 4] & RCTL_BSEX) && code ? 32768u >> code : 2048u >> code;
}

void gbe_piece(const struct gbe *g, const struct gbe_arriving *a, uint32_t offset, uint8_t *buf, uint32_t length)
{
    uint32_t done = 0;

    if (a->skip && offset < 12) {
        done = 12 - offset < length ? 12 - offset : length;
        g->net->copy(a->packet, offset, buf, done);
    }
    done += (uint32_t)g->net->copy(a->packet, offset + done + (offset + done >= 12 ? a->skip : 0), buf + done,
                                   length - done);
    memset(buf + done, 0, length - done);
}

void gbe_count_received(struct gbe *g, const struct gbe_arriving *a)
{
    uint32_t length = a->packet->length + 4;

    gbe_count(g, TPR, 1);
    gbe_count(g, GPRC, 1);
    gbe_count64(g, GORCL, length);
    gbe_count64(g, TORL, length);
    gbe_count_size(g, PRC64, length);
}
