/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reception: into the ring of bytes of C mode (chapter 6.7: a header of status and length, the frame, its FCS, up to a
 * multiple of four), or into C+ descriptors. Without room the frame is left with the network. The FCS reads as
 * zeroes.
 */
#include <string.h>

#include "rtl8139.h"

#define OWN 0x80000000u
#define EOR 0x40000000u
#define FS 0x20000000u
#define LS 0x10000000u
#define MULTICAST 0x08000000u
#define PHYSICAL 0x04000000u
#define BROADCAST 0x02000000u
#define PID_TCP 0x00020000u
#define PID_UDP 0x00040000u
#define PID_IP 0x00060000u
#define IPF 0x00010000u
#define UDPF 0x00008000u
#define TCPF 0x00004000u
#define TAVA 0x00010000u
#define STATUS_ROK 0x0001u
#define STATUS_BAR 0x2000u
#define STATUS_PAM 0x4000u
#define STATUS_MAR 0x8000u
#define LONGEST 8192u
#define RING_MAX 64u

struct arriving {
    uint8_t bytes[LONGEST];
    uint32_t length; /* with padding and FCS */
    uint32_t kind;   /* MULTICAST, PHYSICAL or BROADCAST */
};

void rtl_rx_reset(struct rtl8139 *s)
{
    set16(s, CBR, 0);
    set16(s, CAPR, 0xfff0); /* 16 less than where it stands */
    s->rx_at = 0;
}

static uint32_t crc_of(const uint8_t *p, unsigned n)
{
    uint32_t crc = UINT32_MAX;

    while (n--) {
        uint8_t b = *p++;

        for (unsigned i = 0; i < 8; i++, b >>= 1)
            crc = crc << 1 ^ ((crc >> 31 ^ (b & 1u)) & 1u ? 0x04c11db7u : 0);
    }
    return crc;
}

static uint32_t kind_of(const struct rtl8139 *s, const uint8_t *f)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t rcr = get32(s, RCR);
    unsigned bit;

    if (!memcmp(f, all, 6))
        return rcr & (RCR_AB | RCR_AAP) ? BROADCAST : 0;
    if (f[0] & 1) {
        bit = crc_of(f, 6) >> 26;
        return rcr & RCR_AAP || ((rcr & RCR_AM) && (s->reg[MAR + bit / 8] >> bit % 8 & 1u)) ? MULTICAST : 0;
    }
    if (!memcmp(f, s->reg + IDR, 6))
        return rcr & (RCR_APM | RCR_AAP) ? PHYSICAL : 0;
    return rcr & RCR_AAP ? PHYSICAL : 0;
}

/* ---- C mode ---- */

static uint32_t ring_size(const struct rtl8139 *s)
{
    return 8192u << (get32(s, RCR) >> 11 & 3u);
}

static uint32_t ring_free(const struct rtl8139 *s)
{
    uint32_t size = ring_size(s), write = get16(s, CBR) % size, read = (uint16_t)(get16(s, CAPR) + 16) % size;

    return read > write ? read - write : size - (write - read);
}

bool rtl_rx_empty(const struct rtl8139 *s)
{
    return (uint16_t)(get16(s, CAPR) + 16) % ring_size(s) == get16(s, CBR) % ring_size(s);
}

static void ring_put(struct rtl8139 *s, uint32_t *at, const uint8_t *bytes, uint32_t length)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint32_t size = ring_size(s), first = size - *at < length ? size - *at : length;

    /* With WRAP a frame goes on behind the end of the ring, where the driver has room for it. */
    if (get32(s, RCR) & RCR_WRAP && size < 65536)
        first = length;
    rtl_pci->dma_write(dev, (uint64_t)get32(s, RBSTART) + *at, bytes, first);
    if (first < length)
        rtl_pci->dma_write(dev, get32(s, RBSTART), bytes + first, length - first);
    *at += length;
}

static bool put_ring(struct rtl8139 *s, const struct arriving *a)
{
    uint32_t needed = (a->length + 4 + 3) & ~3u, at = get16(s, CBR) % ring_size(s);
    uint16_t status = (uint16_t)(STATUS_ROK | (a->kind == BROADCAST ? STATUS_BAR
                                               : a->kind == MULTICAST ? STATUS_MAR : STATUS_PAM));
    uint8_t head[4] = {(uint8_t)status, (uint8_t)(status >> 8), (uint8_t)a->length, (uint8_t)(a->length >> 8)};

    if (needed >= ring_free(s) - 1 || ring_free(s) == 0) {
        rtl_interrupt(s, ISR_RXOVW);
        return false;
    }
    ring_put(s, &at, head, 4);
    at %= ring_size(s);
    ring_put(s, &at, a->bytes, a->length);
    set16(s, CBR, (get16(s, CBR) + needed) % ring_size(s));
    rtl_interrupt(s, ISR_ROK);
    return true;
}

/* ---- C+ mode ---- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool sums_up(uint64_t sum, const uint8_t *p, uint32_t length)
{
    for (; length > 1; p += 2, length -= 2)
        sum += be16(p);
    if (length)
        sum += (uint64_t)p[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

static uint32_t judge(const struct rtl8139 *s, const struct arriving *a, bool valid)
{
    const uint8_t *ip = a->bytes + 14;
    uint32_t header, total, result;
    uint64_t pseudo = 0;

    if (!(get16(s, CPCR) & CP_CHECKSUM) || a->length < 38 || be16(a->bytes + 12) != 0x0800 || ip[0] >> 4 != 4)
        return 0;
    header = (ip[0] & 15u) * 4;
    total = be16(ip + 2);
    if (header < 20 || total < header || 14 + total > a->length - 4)
        return 0;
    result = PID_IP | (sums_up(0, ip, header) ? 0 : IPF);
    if ((ip[9] != 6 && ip[9] != 17) || (be16(ip + 6) & 0x3fff))
        return result;
    for (unsigned i = 12; i < 20; i += 2)
        pseudo += be16(ip + i);
    if (!valid)
        valid = (ip[9] == 17 && header + 8 <= total && be16(ip + header + 6) == 0) ||
                sums_up(pseudo + ip[9] + (total - header), ip + header, total - header);
    result = (result & ~PID_IP) | (ip[9] == 6 ? PID_TCP : PID_UDP);
    return result | (valid ? 0 : ip[9] == 6 ? TCPF : UDPF);
}

static void take_tag(const struct rtl8139 *s, struct arriving *a, uint32_t *d1)
{
    *d1 = 0;
    if (!(get16(s, CPCR) & CP_VLAN) || a->length < 22 || be16(a->bytes + 12) != 0x8100)
        return;
    *d1 = TAVA | a->bytes[14] | (uint32_t)a->bytes[15] << 8;
    memmove(a->bytes + 12, a->bytes + 16, a->length - 16);
    a->length -= 4;
}

static bool put_descriptors(struct rtl8139 *s, struct arriving *a, bool valid)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint64_t at = get64(s, RDSAR) + 16ull * s->rx_at;
    uint32_t d[4], size, tag;

    if (rtl_pci->dma_read(dev, at, d, sizeof(d)) < 0 || !(d[0] & OWN)) {
        rtl_interrupt(s, ISR_RXOVW);
        return false;
    }
    take_tag(s, a, &tag);
    size = d[0] & 0x1fffu;
    /* A frame that is longer than its buffer is cut, and told as whole as it is: drivers give room for the longest. */
    if (a->length > size)
        a->length = size;
    rtl_pci->dma_write(dev, d[2] | (uint64_t)d[3] << 32, a->bytes, a->length);
    s->rx_at = d[0] & EOR || s->rx_at + 1 >= RING_MAX ? 0 : s->rx_at + 1;
    d[0] = (d[0] & EOR) | FS | LS | a->kind | judge(s, a, valid) | a->length;
    d[1] = tag;
    rtl_pci->dma_write(dev, at + 4, d + 1, 4);
    rtl_pci->dma_write(dev, at, d, 4);
    rtl_interrupt(s, ISR_ROK);
    return true;
}

/* ---- both ---- */

/* false: not now. */
static bool receive(struct rtl8139 *s, const struct bp_net_packet *packet)
{
    struct arriving a;
    uint32_t n = packet->length;

    if (n < 14 || n + 4 > LONGEST)
        return true;
    rtl_net->copy(packet, 0, a.bytes, n);
    a.kind = kind_of(s, a.bytes);
    if (!a.kind)
        return true;
    a.length = (n < 60 ? 60 : n) + 4;
    memset(a.bytes + n, 0, a.length - n);
    return get16(s, CPCR) & CP_RX ? put_descriptors(s, &a, packet->offload.flags & BP_NET_CHECKSUM_VALID)
                                  : put_ring(s, &a);
}

unsigned rtl_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct rtl8139 *s = opaque;
    unsigned n = 0;

    (void)queue;
    if (!(s->reg[CR] & CR_RE))
        return count;
    while (n < count && receive(s, &packets[n]))
        n++;
    return n;
}
