/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands, and what the driver's shared area says. Rings whose numbers cannot be are refused: ACTIVATE_DEV gives an
 * error. Left out: interrupts moderated by level, plug-ins, wake-up.
 */
#include <string.h>

#include <bp/log.h>

#include "vmxnet3.h"

enum {
    CMD_ACTIVATE = 0xcafe0000u, CMD_QUIESCE, CMD_RESET, CMD_RX_MODE, CMD_MAC_FILTERS, CMD_VLAN_FILTERS, CMD_RSSIDT,
    CMD_IML, CMD_PMCFG, CMD_FEATURE,
    CMD_GET_QUEUE_STATUS = 0xf00d0000u, CMD_GET_STATS, CMD_GET_LINK, CMD_GET_MAC_LOW, CMD_GET_MAC_HIGH, CMD_GET_DID_LOW,
    CMD_GET_DID_HIGH, CMD_GET_EXTRA, CMD_GET_CONF_INTR,
};
#define MAGIC 3133079265u
#define LINK_UP (10000u << 16 | 1u)
#define FAILED 1u

/* Offsets in the shared area. */
enum {
    DS_MAGIC = 0, DS_FEATURES = 24, DS_QUEUES = 40, DS_MTU = 56, DS_TX_QUEUES = 62, DS_RX_QUEUES = 63,
    DS_AUTO_MASK = 80, DS_EVENT_INTERRUPT = 82, DS_RX_MODE = 120, DS_MULTICAST_BYTES = 124, DS_MULTICAST = 128,
    DS_VLANS = 136, DS_RSS = 648, DS_SIZE = 696, DS_EVENTS = 696,
};
/* In a queue's descriptor, of 256 bytes. */
enum {
    Q_CONTROL = 0, Q_BASE = 16, Q_TX_DONE = 32, Q_TX_SIZE = 56, Q_TX_DONE_SIZE = 64, Q_RX_DONE = 32, Q_RX_SIZE = 56,
    Q_RX_DONE_SIZE = 64, Q_INTERRUPT = 72, Q_STATUS = 80, Q_COUNTERS = 88, Q_BYTES = 256,
};

static uint64_t tx_descriptor(const struct vmxnet3 *s, unsigned n)
{
    return s->queues + (uint64_t)n * Q_BYTES;
}

static uint64_t rx_descriptor(const struct vmxnet3 *s, unsigned n)
{
    return s->queues + (uint64_t)(s->tx_count + n) * Q_BYTES;
}

static bool read_shared(struct vmxnet3 *s, uint8_t *buf)
{
    if (s->shared == 0 || s->pci->dma_read(s->dev, s->shared, buf, DS_SIZE) < 0 || get_le32(buf + DS_MAGIC) != MAGIC) {
        bp_guest_error("vmxnet3-shared", "vmxnet3: there is no shared area at %#llx", (unsigned long long)s->shared);
        return false;
    }
    return true;
}

/* ---- filters ---- */

static void take_multicast(struct vmxnet3 *s, const uint8_t *d)
{
    uint32_t bytes = get_le16(d + DS_MULTICAST_BYTES), count = bytes / 6;
    uint64_t at = get_le64(d + DS_MULTICAST);

    s->multicast_overflow = count > MULTICAST_MAX;
    s->multicast_count = s->multicast_overflow ? 0 : count;
    if (s->multicast_count && s->pci->dma_read(s->dev, at, s->multicast, (uint64_t)s->multicast_count * 6) < 0)
        s->multicast_count = 0;
}

static void take_vlans(struct vmxnet3 *s, const uint8_t *d)
{
    for (unsigned i = 0; i < BP_COUNT(s->vlans); i++)
        s->vlans[i] = get_le32(d + DS_VLANS + 4 * i);
}

/* Of UPT1_RSSConf: kinds of hash, function, bytes of key, entries, key, table. */
static void take_scaling(struct vmxnet3 *s, const uint8_t *d)
{
    uint8_t conf[8 + ETHERNET_KEY + 128];
    uint32_t bytes = get_le32(d + DS_RSS + 4), size;

    s->table_size = 0;
    if (!(s->features & FEATURE_RSS) || bytes < sizeof(conf) ||
        s->pci->dma_read(s->dev, get_le64(d + DS_RSS + 8), conf, sizeof(conf)) < 0)
        return;
    size = get_le16(conf + 6);
    if (get_le16(conf + 2) != 1 || size > sizeof(s->table))
        return;
    s->hash_kinds = get_le16(conf);
    s->table_size = size;
    memcpy(s->key, conf + 8, sizeof(s->key));
    memcpy(s->table, conf + 8 + ETHERNET_KEY, sizeof(s->table));
}

static uint32_t update(struct vmxnet3 *s, uint32_t command)
{
    uint8_t d[DS_SIZE];

    if (!read_shared(s, d))
        return FAILED;
    if (command == CMD_RX_MODE)
        s->mode = get_le32(d + DS_RX_MODE);
    else if (command == CMD_MAC_FILTERS)
        take_multicast(s, d);
    else if (command == CMD_VLAN_FILTERS)
        take_vlans(s, d);
    else if (command == CMD_RSSIDT)
        take_scaling(s, d);
    else
        s->features = get_le64(d + DS_FEATURES);
    return 0;
}

/* ---- activation ---- */

static bool set_ring(struct ring *r, uint64_t base, uint32_t count, uint32_t most)
{
    *r = (struct ring){.base = base, .count = count, .generation = true};
    return count <= most && (count == 0 || base != 0);
}

static bool take_tx(struct vmxnet3 *s, unsigned n)
{
    struct tx *tx = &s->tx[n];
    uint8_t d[Q_BYTES];

    if (s->pci->dma_read(s->dev, tx_descriptor(s, n), d, sizeof(d)) < 0)
        return false;
    vmxnet3_tx_reset(tx);
    tx->interrupt = d[Q_INTERRUPT];
    return set_ring(&tx->ring, get_le64(d + Q_BASE), get_le32(d + Q_TX_SIZE), RING_MAX) && tx->ring.count &&
           set_ring(&tx->done, get_le64(d + Q_TX_DONE), get_le32(d + Q_TX_DONE_SIZE), RING_MAX) && tx->done.count &&
           tx->interrupt < VECTORS;
}

static bool take_rx(struct vmxnet3 *s, unsigned n)
{
    struct rx *rx = &s->rx[n];
    uint8_t d[Q_BYTES], tells = 1;

    if (s->pci->dma_read(s->dev, rx_descriptor(s, n), d, sizeof(d)) < 0)
        return false;
    rx->interrupt = d[Q_INTERRUPT];
    /* updateRxProd: it is to tell of new descriptors. */
    s->pci->dma_write(s->dev, rx_descriptor(s, n) + Q_CONTROL, &tells, 1);
    return set_ring(&rx->ring[0], get_le64(d + Q_BASE), get_le32(d + Q_RX_SIZE), RING_MAX) && rx->ring[0].count &&
           set_ring(&rx->ring[1], get_le64(d + Q_BASE + 8), get_le32(d + Q_RX_SIZE + 4), RING_MAX) &&
           set_ring(&rx->done, get_le64(d + Q_RX_DONE), get_le32(d + Q_RX_DONE_SIZE), COMPLETION_MAX) &&
           rx->done.count && rx->interrupt < VECTORS;
}

static bool take_queues(struct vmxnet3 *s)
{
    for (unsigned i = 0; i < s->tx_count; i++)
        if (!take_tx(s, i))
            return false;
    for (unsigned i = 0; i < s->rx_count; i++)
        if (!take_rx(s, i))
            return false;
    return true;
}

static uint32_t activate(struct vmxnet3 *s)
{
    uint8_t d[DS_SIZE];

    if (s->active || !read_shared(s, d))
        return FAILED;
    s->features = get_le64(d + DS_FEATURES);
    s->queues = get_le64(d + DS_QUEUES);
    s->mtu = get_le32(d + DS_MTU);
    s->tx_count = d[DS_TX_QUEUES];
    s->rx_count = d[DS_RX_QUEUES];
    s->auto_mask = d[DS_AUTO_MASK] & 1;
    s->event_interrupt = d[DS_EVENT_INTERRUPT];
    if (s->tx_count == 0 || s->tx_count > TX_QUEUES || s->rx_count == 0 || s->rx_count > RX_QUEUES ||
        s->event_interrupt >= VECTORS || !take_queues(s)) {
        bp_guest_error("vmxnet3-queues", "vmxnet3: queues that cannot be");
        s->tx_count = s->rx_count = 0;
        return FAILED;
    }
    s->mode = get_le32(d + DS_RX_MODE);
    take_multicast(s, d);
    take_vlans(s, d);
    take_scaling(s, d);
    s->active = true;
    s->net->nic_ready(s->nic, 0);
    return 0;
}

void vmxnet3_stop(struct vmxnet3 *s)
{
    s->active = false;
    s->tx_count = s->rx_count = 0;
    s->mode = 0;
    s->pending = s->events = 0;
    s->intx = 0;
    for (unsigned i = 0; i < TX_QUEUES; i++) {
        vmxnet3_tx_reset(&s->tx[i]);
        memset(s->tx[i].counters, 0, sizeof(s->tx[i].counters));
    }
    for (unsigned i = 0; i < RX_QUEUES; i++)
        memset(s->rx[i].counters, 0, sizeof(s->rx[i].counters));
    s->pci->interrupt(s->dev, 0, 0);
    s->net->nic_ready(s->nic, 0);
}

/* ---- what it tells ---- */

static void put_counters(struct vmxnet3 *s, uint64_t at, const uint64_t *counters)
{
    uint8_t d[COUNTERS * 8];

    for (unsigned i = 0; i < COUNTERS; i++) {
        put_le32(d + 8 * i, (uint32_t)counters[i]);
        put_le32(d + 8 * i + 4, (uint32_t)(counters[i] >> 32));
    }
    s->pci->dma_write(s->dev, at + Q_COUNTERS, d, sizeof(d));
}

static void tell_counters(struct vmxnet3 *s)
{
    for (unsigned i = 0; i < s->tx_count; i++)
        put_counters(s, tx_descriptor(s, i), s->tx[i].counters);
    for (unsigned i = 0; i < s->rx_count; i++)
        put_counters(s, rx_descriptor(s, i), s->rx[i].counters);
}

/* No queue is ever stopped. */
static void tell_status(struct vmxnet3 *s)
{
    static const uint8_t status[8];

    for (unsigned i = 0; i < s->tx_count + s->rx_count; i++)
        s->pci->dma_write(s->dev, tx_descriptor(s, i) + Q_STATUS, status, sizeof(status));
}

void vmxnet3_event(struct vmxnet3 *s, uint32_t events)
{
    uint8_t d[4];

    s->events |= events;
    if (!s->active)
        return;
    put_le32(d, s->events);
    s->pci->dma_write(s->dev, s->shared + DS_EVENTS, d, sizeof(d));
    if (events)
        vmxnet3_interrupt(s, s->event_interrupt);
}

static uint32_t answer(struct vmxnet3 *s, uint32_t command)
{
    uint8_t mac[6];

    s->net->nic_mac(s->nic, mac);
    switch (command) {
    case CMD_GET_QUEUE_STATUS:
        tell_status(s);
        return 0;
    case CMD_GET_STATS:
        tell_counters(s);
        return 0;
    case CMD_GET_LINK:
        return s->net->nic_link(s->nic) ? LINK_UP : 0;
    case CMD_GET_MAC_LOW:
        return get_le32(mac);
    case CMD_GET_MAC_HIGH:
        return get_le16(mac + 4);
    case CMD_GET_DID_LOW: /* a name for the device: its permanent address serves */
        return get_le32(mac);
    case CMD_GET_DID_HIGH:
        return get_le16(mac + 4);
    case CMD_GET_EXTRA:
    case CMD_GET_CONF_INTR: /* any kind of interrupt, masked as the driver likes */
    default:
        return 0;
    }
}

void vmxnet3_command(struct vmxnet3 *s, uint32_t command)
{
    switch (command) {
    case CMD_ACTIVATE:
        s->result = activate(s);
        break;
    case CMD_RESET:
        vmxnet3_stop(s);
        s->result = 0;
        break;
    case CMD_QUIESCE:
        s->active = false;
        for (unsigned i = 0; i < TX_QUEUES; i++)
            vmxnet3_tx_reset(&s->tx[i]);
        s->result = 0;
        break;
    case CMD_RX_MODE: case CMD_MAC_FILTERS: case CMD_VLAN_FILTERS: case CMD_RSSIDT: case CMD_FEATURE:
        s->result = update(s, command);
        s->net->nic_ready(s->nic, 0);
        break;
    case CMD_IML: case CMD_PMCFG: /* without effect */
        s->result = 0;
        break;
    default:
        s->result = command >= CMD_GET_QUEUE_STATUS && command <= CMD_GET_CONF_INTR ? answer(s, command) : FAILED;
        break;
    }
}
