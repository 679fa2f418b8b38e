/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control queue (5.1.6.5) and the filters that it sets. [locked] */
#include <string.h>

#include "virtio-net.h"

enum { RX = 0, MAC = 1, VLAN = 2, ANNOUNCE = 3, MQ = 4, GUEST_OFFLOADS = 5 };
#define OK 0u
#define ERROR 1u

static uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

void control_reset(struct virtio_net *s)
{
    vnet_net->nic_mac(s->nic, s->mac);
    /* As the specification has it: until told otherwise all frames pass that are for us; drivers that
     * set no filter expect everything. */
    s->promiscuous = true;
    s->all_multi = s->all_uni = s->no_multi = s->no_uni = s->no_broadcast = false;
    s->uni = s->multi = (struct mac_list){0};
    memset(s->vlans, 0, sizeof(s->vlans));
    s->active = 1;
    s->offloads = UINT64_MAX; /* all that is negotiated */
}

static uint8_t receive_mode(struct virtio_net *s, uint8_t command, const struct bp_virtq_request *r)
{
    bool *const modes[] = {&s->promiscuous, &s->all_multi, &s->all_uni, &s->no_multi, &s->no_uni, &s->no_broadcast};
    uint8_t on;

    if (command >= BP_COUNT(modes) || bp_virtq_read(r, 2, &on, 1) != 1 ||
        (command > 1 && !vnet_virtio->has(s->virtio, F_CTRL_RX_EXTRA)))
        return ERROR;
    *modes[command] = on != 0;
    return OK;
}

static bool read_list(struct mac_list *list, uint64_t *at, const struct bp_virtq_request *r)
{
    uint8_t count[4];
    uint64_t n;

    if (bp_virtq_read(r, *at, count, 4) != 4)
        return false;
    n = get_le16(count) | (uint64_t)get_le16(count + 2) << 16;
    *at += 4;
    if (n * 6 > r->out_bytes - *at)
        return false;
    *list = (struct mac_list){.overflow = n > MAC_TABLE, .count = n > MAC_TABLE ? 0 : (uint32_t)n};
    bp_virtq_read(r, *at, list->mac, (uint64_t)list->count * 6);
    *at += n * 6;
    return true;
}

static uint8_t addresses(struct virtio_net *s, uint8_t command, const struct bp_virtq_request *r)
{
    struct mac_list uni, multi;
    uint64_t at = 2;
    uint8_t mac[6];

    if (command == 0) {
        if (!read_list(&uni, &at, r) || !read_list(&multi, &at, r))
            return ERROR;
        s->uni = uni;
        s->multi = multi;
        return OK;
    }
    if (command != 1 || !vnet_virtio->has(s->virtio, F_CTRL_MAC_ADDR) || bp_virtq_read(r, 2, mac, 6) != 6)
        return ERROR;
    memcpy(s->mac, mac, 6);
    memcpy(vnet_virtio->config(s->virtio), mac, 6);
    return OK;
}

static uint8_t vlan(struct virtio_net *s, uint8_t command, const struct bp_virtq_request *r)
{
    uint8_t bytes[2];
    unsigned id;

    if (bp_virtq_read(r, 2, bytes, 2) != 2 || command > 1)
        return ERROR;
    id = get_le16(bytes);
    if (id >= 4096)
        return ERROR;
    if (command == 0)
        s->vlans[id / 32] |= 1u << id % 32;
    else
        s->vlans[id / 32] &= ~(1u << id % 32);
    return OK;
}

static uint8_t pairs(struct virtio_net *s, uint8_t command, const struct bp_virtq_request *r)
{
    uint8_t bytes[2];
    unsigned n;

    if (command != 0 || !vnet_virtio->has(s->virtio, F_MQ) || bp_virtq_read(r, 2, bytes, 2) != 2)
        return ERROR;
    n = get_le16(bytes);
    if (n == 0 || n > s->pairs)
        return ERROR;
    s->active = n;
    vnet_pairs_changed(s);
    return OK;
}

static uint8_t offloads(struct virtio_net *s, uint8_t command, const struct bp_virtq_request *r)
{
    static const uint64_t known = BP_VIRTIO_BIT(F_GUEST_CSUM) | BP_VIRTIO_BIT(F_GUEST_TSO4) |
                                  BP_VIRTIO_BIT(F_GUEST_TSO6) | BP_VIRTIO_BIT(F_GUEST_ECN);
    uint64_t wanted = 0;
    uint8_t bytes[8];

    if (command != 0 || !vnet_virtio->has(s->virtio, F_CTRL_GUEST_OFFLOADS) || bp_virtq_read(r, 2, bytes, 8) != 8)
        return ERROR;
    for (unsigned i = 0; i < 8; i++)
        wanted |= (uint64_t)bytes[i] << 8 * i;
    if (wanted & ~(known & vnet_virtio->features(s->virtio)))
        return ERROR;
    s->offloads = wanted;
    bp_deferred_schedule(s->sync);
    return OK;
}

static uint8_t carry_out(struct virtio_net *s, const struct bp_virtq_request *r)
{
    uint8_t head[2];

    if (bp_virtq_read(r, 0, head, 2) != 2)
        return ERROR;
    switch (head[0]) {
    case RX:
        return receive_mode(s, head[1], r);
    case MAC:
        return addresses(s, head[1], r);
    case VLAN:
        return vlan(s, head[1], r);
    case MQ:
        return pairs(s, head[1], r);
    case GUEST_OFFLOADS:
        return offloads(s, head[1], r);
    default:
        return ERROR;
    }
}

void control_run(struct virtio_net *s, struct bp_virtq *queue)
{
    struct bp_virtq_request *r;

    while ((r = vnet_virtio->pop(queue))) {
        uint8_t answer = carry_out(s, r);

        vnet_virtio->complete(queue, r, bp_virtq_write(r, 0, &answer, 1));
    }
    bp_deferred_schedule(s->sync);
}

/* ---- filters ---- */

static bool listed(const struct mac_list *list, const uint8_t *mac)
{
    if (list->overflow)
        return true;
    for (uint32_t i = 0; i < list->count; i++)
        if (!memcmp(list->mac[i], mac, 6))
            return true;
    return false;
}

bool filters_pass(const struct virtio_net *s, const uint8_t *head, size_t length)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (s->promiscuous)
        return true;
    if (length >= 16 && head[12] == 0x81 && head[13] == 0x00 && vnet_virtio->has(s->virtio, F_CTRL_VLAN)) {
        unsigned id = (unsigned)(head[14] & 15) << 8 | head[15];

        if (!(s->vlans[id / 32] >> id % 32 & 1u))
            return false;
    }
    if (head[0] & 1) {
        if (!memcmp(head, all, 6))
            return !s->no_broadcast;
        return !s->no_multi && (s->all_multi || listed(&s->multi, head));
    }
    return !s->no_uni && (s->all_uni || !memcmp(head, s->mac, 6) || listed(&s->uni, head));
}
