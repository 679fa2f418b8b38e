/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception (chapter 3.2): address, VLAN and size filters, checksums, then as many descriptors as the packet
 * needs. Without so many the packet is left with the network, until the guest gives more; the hardware would lose it
 * (and sets RXO, as here). Where the guest wants to see the FCS it sees zeroes.
 */
#include <string.h>

#include <bp/log.h>

#include "e1000.h"

#define STATUS_DD 0x01u
#define STATUS_EOP 0x02u
#define STATUS_IXSM 0x04u
#define STATUS_VP 0x08u
#define STATUS_TCPCS 0x20u
#define STATUS_IPCS 0x40u
#define STATUS_PIF 0x80u
#define ERROR_TCPE 0x20u
#define ERROR_IPE 0x40u
#define LONGEST 16384u /* bytes with FCS */
#define HEAD 128u

struct arriving {
    const struct bp_net_packet *packet;
    uint8_t head[HEAD];
    uint32_t head_length, skip; /* skip: of a tag, at 12 */
    uint32_t length;            /* as the guest gets it, with FCS if it wants that */
    uint16_t tag;
    uint8_t status, errors;
};

/* ---- filters ---- */

static bool known_unicast(const struct e1000 *s, const uint8_t *mac)
{
    uint32_t low = get_le32(mac), high = mac[4] | (uint32_t)mac[5] << 8;

    for (unsigned i = 0; i < 16; i++) {
        uint32_t ral = s->reg[RAL / 4 + 2 * i], rah = s->reg[RAL / 4 + 2 * i + 1];

        if ((rah & RAH_AV) && ral == low && (rah & 0xffffu) == high)
            return true;
    }
    return false;
}

static bool known_multicast(const struct e1000 *s, const uint8_t *mac)
{
    static const uint8_t shift[4] = {4, 3, 2, 0}; /* bits 47:36, 46:35, 45:34, 43:32 of the address */
    unsigned value = mac[4] | (unsigned)mac[5] << 8;
    unsigned bit = value >> shift[s->reg[RCTL / 4] >> 12 & 3u] & 0xfffu;

    return s->reg[MTA / 4 + bit / 32] >> bit % 32 & 1u;
}

static bool address_passes(struct e1000 *s, struct arriving *a)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t rctl = *reg(s, RCTL);

    if (!memcmp(a->head, all, 6)) {
        if (!(rctl & (RCTL_BAM | RCTL_MPE)))
            return rctl & RCTL_UPE;
        e1000_count(s, BPRC, 1);
        return true;
    }
    if (known_unicast(s, a->head))
        return true;
    if (a->head[0] & 1) {
        e1000_count(s, MPRC, 1);
        if (rctl & RCTL_MPE)
            return true;
        a->status |= STATUS_PIF;
        return known_multicast(s, a->head);
    }
    return rctl & RCTL_UPE;
}

static bool tag_passes(const struct e1000 *s, const struct arriving *a)
{
    uint32_t rctl = s->reg[RCTL / 4];

    if (!(rctl & RCTL_VFE) || a->head_length < 18 || get_be16(a->head + 12) != (s->reg[VET / 4] & 0xffffu))
        return true;
    if ((rctl & RCTL_CFIEN) && !(a->head[14] & 0x10) != !(rctl & RCTL_CFI))
        return false;
    return s->reg[VFTA / 4 + (get_be16(a->head + 14) >> 5 & 0x7fu)] >> (a->head[15] & 31u) & 1u;
}

/* ---- checksums ---- */

/* Of IP and TCP or UDP over IPv4, whole packets only; what is not looked at is said to be so. */
static void check_sums(struct e1000 *s, struct arriving *a)
{
    uint32_t ip = 14 + (get_be16(a->head + 12) == 0x8100 ? 4 : 0), header, total, l4, rxcsum = *reg(s, RXCSUM);
    const uint8_t *h = a->head + ip;
    uint8_t bytes[1600];
    bool udp;

    if (a->head_length < ip + 40 || get_be16(a->head + ip - 2) != 0x0800 || h[0] >> 4 != 4)
        goto unseen;
    header = (h[0] & 15u) * 4;
    total = get_be16(h + 2);
    if (header < 20 || ip + header + 20 > a->head_length || total < header || ip + total > a->packet->length)
        goto unseen;
    if (rxcsum & RXCSUM_IPOFLD) {
        a->status |= STATUS_IPCS;
        if (sum_fold(sum_bytes(0, h, header)) != 0xffff)
            a->errors |= ERROR_IPE;
    }
    udp = h[9] == 17;
    if (!(rxcsum & RXCSUM_TUOFLD) || (h[9] != 6 && !udp) || (get_be16(h + 6) & 0x3fff) ||
        (udp && get_be16(h + header + 6) == 0))
        return;
    l4 = total - header;
    if (!(a->packet->offload.flags & BP_NET_CHECKSUM_VALID)) {
        if (l4 > sizeof(bytes) || e1000_net->copy(a->packet, ip + header, bytes, l4) != l4)
            return;
        if (sum_fold(sum_bytes(sum_bytes(0, h + 12, 8) + h[9] + l4, bytes, l4)) != 0xffff)
            a->errors |= ERROR_TCPE;
    }
    a->status |= STATUS_TCPCS;
    return;
unseen:
    a->status |= STATUS_IXSM;
}

/* ---- descriptors ---- */

static uint32_t buffer_size(const struct e1000 *s)
{
    uint32_t code = s->reg[RCTL / 4] >> 16 & 3u;

    return (s->reg[RCTL / 4] & RCTL_BSEX) && code ? 32768u >> code : 2048u >> code;
}

static uint32_t free_descriptors(const struct e1000 *s)
{
    uint32_t count = s->reg[RDLEN / 4] / DESCRIPTOR, head = s->reg[RDH / 4], tail = s->reg[RDT / 4];

    if (count == 0 || head >= count || tail >= count)
        return 0;
    return tail >= head ? tail - head : count - head + tail;
}

/* Bytes of the packet as the guest gets it: without its tag, zeroes behind its end. */
static void piece(const struct arriving *a, uint32_t offset, uint8_t *buf, uint32_t length)
{
    uint32_t done = 0;

    if (a->skip && offset < 12) {
        done = 12 - offset < length ? 12 - offset : length;
        e1000_net->copy(a->packet, offset, buf, done);
    }
    done += (uint32_t)e1000_net->copy(a->packet, offset + done + (offset + done >= 12 ? a->skip : 0), buf + done,
                                      length - done);
    memset(buf + done, 0, length - done);
}

static bool put(struct e1000 *s, const struct arriving *a)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint64_t base = (uint64_t)*reg(s, RDBAH) << 32 | *reg(s, RDBAL);
    uint32_t count = *reg(s, RDLEN) / DESCRIPTOR, size = buffer_size(s);
    uint8_t d[DESCRIPTOR], bytes[LONGEST];

    for (uint32_t done = 0; done < a->length;) {
        uint32_t n = a->length - done < size ? a->length - done : size;
        uint64_t at = base + (uint64_t)*reg(s, RDH) * DESCRIPTOR;
        bool last = done + n == a->length;

        if (e1000_pci->dma_read(dev, at, d, DESCRIPTOR) < 0) {
            bp_guest_error("e1000-rx-ring", "e1000: the receive ring at %#llx cannot be read", (unsigned long long)at);
            return false;
        }
        piece(a, done, bytes, n);
        if (get_le64(d)) /* an address of 0 is a hole: skipped */
            e1000_pci->dma_write(dev, get_le64(d), bytes, n);
        put_le32(d + 8, n);
        d[12] = (uint8_t)(STATUS_DD | (last ? STATUS_EOP | a->status : STATUS_IXSM));
        d[13] = last ? a->errors : 0;
        d[14] = last ? (uint8_t)a->tag : 0;
        d[15] = last ? (uint8_t)(a->tag >> 8) : 0;
        e1000_pci->dma_write(dev, at + 8, d + 8, 8);
        *reg(s, RDH) = *reg(s, RDH) + 1 >= count ? 0 : *reg(s, RDH) + 1;
        done += n;
    }
    return true;
}

static void count_received(struct e1000 *s, uint32_t length)
{
    e1000_count(s, TPR, 1);
    e1000_count(s, GPRC, 1);
    e1000_count64(s, GORCL, length);
    e1000_count64(s, TORL, length);
    e1000_count_size(s, PRC64, length);
}

static void examine(struct e1000 *s, const struct bp_net_packet *packet, struct arriving *a)
{
    *a = (struct arriving){.packet = packet, .length = packet->length < 60 ? 60 : packet->length};
    a->head_length = (uint32_t)e1000_net->copy(packet, 0, a->head, sizeof(a->head));
    if ((*reg(s, CTRL) & CTRL_VME) && a->head_length >= 18 && get_be16(a->head + 12) == (*reg(s, VET) & 0xffffu)) {
        a->skip = 4;
        a->length -= 4;
        a->tag = get_be16(a->head + 14);
        a->status |= STATUS_VP;
    }
    if (!(*reg(s, RCTL) & RCTL_SECRC))
        a->length += 4;
}

/* false: not now. */
static bool receive(struct e1000 *s, const struct bp_net_packet *packet)
{
    uint32_t needed, left, causes = ICR_RXT0;
    struct arriving a;

    examine(s, packet, &a);
    if (packet->length + 4 > LONGEST || (packet->length + 4 > 1522 && !(*reg(s, RCTL) & RCTL_LPE))) {
        e1000_count(s, ROC, 1);
        return true;
    }
    if (!tag_passes(s, &a) || !address_passes(s, &a))
        return true;
    needed = (a.length + buffer_size(s) - 1) / buffer_size(s);
    left = free_descriptors(s);
    if (left < needed) {
        e1000_interrupt(s, ICR_RXO);
        return false;
    }
    check_sums(s, &a);
    if (!put(s, &a))
        return true;
    count_received(s, packet->length + 4);
    left -= needed;
    if (left <= (*reg(s, RDLEN) / DESCRIPTOR) >> (1 + (*reg(s, RCTL) >> 8 & 3u)))
        causes |= ICR_RXDMT0;
    e1000_interrupt(s, causes);
    return true;
}

unsigned rx_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct e1000 *s = opaque;
    unsigned n = 0;

    (void)queue;
    /* Switched off, it hears nothing. */
    if (!(*reg(s, RCTL) & RCTL_EN) || !(*reg(s, STATUS) & STATUS_LU))
        return count;
    while (n < count && receive(s, &packets[n]))
        n++;
    if (n < count)
        e1000_count(s, MPC, 1);
    return n;
}
