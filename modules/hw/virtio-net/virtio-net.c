/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network device (Virtual I/O Device 1.2, 5.1): frames with what their sender left to do, buffers that are merged,
 * filters, several pairs of queues. Left out: RSS and hash reports, UFO and USO, announcements.
 * With failover=on it is the standby of a pair (5.1.3: VIRTIO_NET_F_STANDBY): the primary, any PCI network card with
 * failover_pair_id, is plugged in once the driver has acknowledged that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/log.h>

#include "virtio-net.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_virtio_interface *vnet_virtio;
const struct bp_net_interface *vnet_net;

#define NEEDS_CSUM 1u
#define DATA_VALID 2u
#define STATUS_LINK_UP 1u
#define AT_ONCE 128u /* frames, until others have their turn */
enum { C_MAC = 0, C_STATUS = 6, C_PAIRS = 8, C_MTU = 10, C_SPEED = 12, C_DUPLEX = 16, C_SIZE = 17 };

static void put_le16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static unsigned header_size(struct virtio_net *s)
{
    return virtio->has(s->virtio, F_MRG_RXBUF) || virtio->has(s->virtio, BP_VIRTIO_VERSION_1) ? HEADER_LONG
                                                                                              : HEADER_SHORT;
}

/* ---- frames of the driver ---- */

/* The vectors behind the first `skip` bytes. Returns how many. */
static unsigned behind(const struct bp_virtq_request *r, uint64_t skip, struct iovec *to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->out_count; i++) {
        if (skip >= r->out[i].iov_len) {
            skip -= r->out[i].iov_len;
            continue;
        }
        to[n++] = (struct iovec){(uint8_t *)r->out[i].iov_base + skip, r->out[i].iov_len - skip};
        skip = 0;
    }
    return n;
}

/* false: the network is full. Without the device's lock. */
static bool send(struct pair *p, const struct bp_virtq_request *r, unsigned skip)
{
    struct virtio_net *s = p->net;
    struct iovec vectors[BP_VIRTQ_MAX_SIZE];
    struct bp_net_packet packet = {vectors, 0, 0, {0}};
    uint8_t h[HEADER_SHORT];

    if (r->out_bytes <= skip || r->out_bytes - skip > BP_NET_MAX_PACKET || r->out_count > BP_VIRTQ_MAX_SIZE) {
        bp_guest_error("virtio-net-length", "virtio-net: a frame of %llu bytes", (unsigned long long)r->out_bytes);
        return true;
    }
    bp_virtq_read(r, 0, h, sizeof(h));
    packet.length = (uint32_t)(r->out_bytes - skip);
    packet.count = behind(r, skip, vectors);
    packet.offload = (struct bp_net_offload){
        .flags = h[0] & NEEDS_CSUM ? BP_NET_NEEDS_CHECKSUM : 0, .segment = h[1], .header_length = get_le16(h + 2),
        .segment_size = get_le16(h + 4), .checksum_start = get_le16(h + 6), .checksum_offset = get_le16(h + 8)};
    return net->nic_send(s->nic, (unsigned)(p - s->pair), &packet, 1) == 1;
}

/* Lets go of the frame that was handed over, if that is asked for. [locked] */
static void cancelled(struct pair *p)
{
    if (!p->cancel)
        return;
    p->cancel = false;
    if (p->current)
        virtio->drop(p->tx, p->current);
    p->current = NULL;
    p->waits = false;
}

/* In the main context, under the machine lock. */
static void send_frames(void *opaque)
{
    struct pair *p = opaque;
    struct virtio_net *s = p->net;
    unsigned done = 0, skip;

    if (!s->virtio)
        return;
    bp_device_lock(s->dev);
    cancelled(p);
    skip = header_size(s);
    for (; done < AT_ONCE; done++) {
        bool sent;

        if (!p->current) {
            p->current = virtio->pop(p->tx);
            if (!p->current && virtio->is_running(s->virtio) && virtio->kicks(p->tx, true))
                p->current = virtio->pop(p->tx);
            if (!p->current)
                break;
        }
        bp_device_unlock(s->dev); /* the frame's memory stays until it is pushed */
        sent = send(p, p->current, skip);
        bp_device_lock(s->dev);
        p->waits = !sent;
        cancelled(p);
        if (!sent)
            break;
        if (p->current)
            virtio->push(p->tx, p->current, 0);
        p->current = NULL;
    }
    if (done)
        virtio->flush(p->tx);
    bp_device_unlock(s->dev);
    if (done == AT_ONCE)
        bp_deferred_schedule(p->send);
}

static void ready(void *opaque, unsigned queue)
{
    struct virtio_net *s = opaque;

    if (queue < s->pairs)
        bp_deferred_schedule(s->pair[queue].send);
}

/* ---- frames for the driver ---- */

struct taken {
    struct bp_virtq_request *r[MAX_MERGED];
    unsigned count;
};

enum taking { TAKEN, TOO_FEW, TOO_SMALL };

/* Buffers for so many bytes. TOO_FEW: there are not enough now; TOO_SMALL: however many come, these do not hold it.
 * Nothing is taken then. */
static enum taking take_buffers(struct virtio_net *s, struct pair *p, uint64_t bytes, struct taken *t)
{
    bool merges = virtio->has(s->virtio, F_MRG_RXBUF);
    uint64_t room = 0;

    t->count = 0;
    do {
        struct bp_virtq_request *r = virtio->pop(p->rx);

        if (!r && virtio->kicks(p->rx, true))
            r = virtio->pop(p->rx);
        if (r) {
            t->r[t->count++] = r;
            room += r->in_bytes;
        }
        if (!r || (room < bytes && (!merges || t->count == MAX_MERGED))) {
            while (t->count)
                virtio->unpop(p->rx, t->r[--t->count]);
            return r ? TOO_SMALL : TOO_FEW;
        }
    } while (room < bytes);
    return TAKEN;
}

static void put_frame(struct virtio_net *s, struct pair *p, const struct bp_net_packet *packet, struct taken *t)
{
    const struct bp_net_offload *o = &packet->offload;
    unsigned head = header_size(s);
    uint8_t h[HEADER_LONG] = {0};
    uint64_t at = 0;

    if (virtio->has(s->virtio, F_GUEST_CSUM))
        h[0] = o->flags & BP_NET_NEEDS_CHECKSUM ? NEEDS_CSUM : o->flags & BP_NET_CHECKSUM_VALID ? DATA_VALID : 0;
    h[1] = o->segment;
    put_le16(h + 2, o->segment ? o->header_length : 0);
    put_le16(h + 4, o->segment ? o->segment_size : 0);
    if (h[0] & NEEDS_CSUM) {
        put_le16(h + 6, o->checksum_start);
        put_le16(h + 8, o->checksum_offset);
    }
    put_le16(h + 10, t->count);
    for (unsigned i = 0; i < t->count; i++) {
        struct bp_virtq_request *r = t->r[i];
        uint64_t skip = i == 0 ? head : 0, done = i == 0 ? bp_virtq_write(r, 0, h, head) : 0;

        for (unsigned v = 0; v < r->in_count && at < packet->length; v++) {
            uint8_t *to = r->in[v].iov_base;
            uint64_t n = r->in[v].iov_len;

            if (skip >= n) {
                skip -= n;
                continue;
            }
            n = net->copy(packet, at, to + skip, n - skip);
            skip = 0;
            at += n;
            done += n;
        }
        virtio->push(p->rx, r, done);
    }
}

/* false: no buffers now. [locked] */
static bool receive_one(struct virtio_net *s, struct pair *p, const struct bp_net_packet *packet)
{
    uint64_t bytes = (uint64_t)packet->length + header_size(s);
    struct taken t;
    uint8_t head[18];
    size_t n = net->copy(packet, 0, head, sizeof(head));

    if (n < 14 || !filters_pass(s, head, n))
        return true;
    switch (take_buffers(s, p, bytes, &t)) {
    case TOO_FEW:
        return false;
    case TOO_SMALL:
        return true; /* it is lost */
    default:
        put_frame(s, p, packet, &t);
        return true;
    }
}

static unsigned receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct virtio_net *s = opaque;
    struct pair *p;
    unsigned i = 0;

    bp_device_lock(s->dev);
    p = &s->pair[queue < s->active ? queue : 0];
    if (!s->virtio || !virtio->is_running(s->virtio) || !virtio->enabled(p->rx)) {
        bp_device_unlock(s->dev);
        return count; /* nobody listens */
    }
    while (i < count && receive_one(s, p, &packets[i]))
        i++;
    if (i)
        virtio->flush(p->rx);
    bp_device_unlock(s->dev);
    return i;
}

static void more_buffers(void *opaque)
{
    struct pair *p = opaque;

    net->nic_ready(p->net->nic, (unsigned)(p - p->net->pair));
}

/* ---- what the driver does ---- */

static bool handle(void *opaque, struct bp_virtq *queue)
{
    struct virtio_net *s = opaque;
    unsigned index = virtio->index(queue);

    /* Without MQ the control queue comes behind the first pair. */
    if (virtio->has(s->virtio, F_CTRL_VQ) && index == (virtio->has(s->virtio, F_MQ) ? 2 * s->pairs : 2)) {
        control_run(s, queue);
        return true;
    }
    if (index / 2 >= s->pairs)
        return true;
    if (s->rings) {
        s->rings->kick(s->served_by, index);
        return true;
    }
    bp_deferred_schedule(index & 1 ? s->pair[index / 2].send : s->pair[index / 2].more);
    return false; /* these ask for calls when they find nothing */
}

static void let_go(struct virtio_net *s)
{
    for (unsigned i = 0; i < s->pairs; i++) {
        if (!s->pair[i].current)
            continue;
        s->pair[i].cancel = true;
        bp_deferred_schedule(s->pair[i].send);
    }
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    struct virtio_net *s = opaque;
    unsigned index = virtio->index(queue);

    if ((index & 1) && index / 2 < s->pairs && s->pair[index / 2].current) {
        s->pair[index / 2].cancel = true;
        bp_deferred_schedule(s->pair[index / 2].send);
    }
}

void vnet_pairs_changed(struct virtio_net *s)
{
    if (s->rings)
        s->rings->active(s->served_by, s->active);
}

static void reset(void *opaque)
{
    struct virtio_net *s = opaque;

    let_go(s);
    control_reset(s);
    vnet_pairs_changed(s);
    bp_deferred_schedule(s->sync);
}

static void running(void *opaque, bool on)
{
    struct virtio_net *s = opaque;

    if (s->rings) {
        if (on)
            vnet_pairs_changed(s);
        s->rings->run(s->served_by, on);
    }
    if (!on) {
        let_go(s);
        return;
    }
    for (unsigned i = 0; i < s->pairs; i++)
        bp_deferred_schedule(s->pair[i].more);
    bp_deferred_schedule(s->sync);
}

static const struct bp_field negotiated_data[] = {
    BP_ARG("device-id", STRING, "id, or path, of the standby"), BP_FIELDS_END};
BP_EVENT(event_negotiated, "FAILOVER_NEGOTIATED", "the driver of a standby card knows that it is one", negotiated_data,
         0);

/* The standby's part: its primary comes when the driver knows what it is, and others wait while it does not. */
static void tell_primary(struct virtio_net *s, bool stands_by)
{
    const char *id = bp_device_id(s->dev);
    struct bp_value *data;

    if (stands_by == s->stands_by)
        return;
    s->stands_by = stands_by;
    if (stands_by) {
        data = bp_value_dict();
        bp_value_set(data, "device-id", bp_value_string(id ? id : bp_object_path(bp_device_object(s->dev))));
        bp_event_send(&event_negotiated, data);
    }
    bp_device_admit(s->dev, stands_by);
}

/* What the network has to know, under the machine lock. */
static void sync_network(void *opaque)
{
    struct virtio_net *s = opaque;
    uint32_t takes = 0;
    uint8_t mac[6];
    bool stands_by;
    uint64_t f;

    bp_device_lock(s->dev);
    stands_by = s->failover && virtio->has(s->virtio, F_STANDBY);
    f = s->offloads & virtio->features(s->virtio);
    memcpy(mac, s->mac, sizeof(mac));
    bp_device_unlock(s->dev);
    if (f & BP_VIRTIO_BIT(F_GUEST_CSUM)) {
        takes = BP_NET_TAKES_CHECKSUM | (f & BP_VIRTIO_BIT(F_GUEST_TSO4) ? BP_NET_TAKES_TCP4 : 0) |
                (f & BP_VIRTIO_BIT(F_GUEST_TSO6) ? BP_NET_TAKES_TCP6 : 0) |
                (f & BP_VIRTIO_BIT(F_GUEST_ECN) ? BP_NET_TAKES_ECN : 0);
    }
    net->nic_takes(s->nic, takes);
    net->nic_set_mac(s->nic, mac);
    for (unsigned i = 0; i < s->pairs; i++)
        net->nic_ready(s->nic, i);
    if (s->failover)
        tell_primary(s, stands_by);
}

static void link_changed(void *opaque, bool up)
{
    struct virtio_net *s = opaque;

    bp_device_lock(s->dev);
    s->link = up;
    virtio->config_changed(s->virtio);
    bp_device_unlock(s->dev);
}

/* ---- features and configuration ---- */

static uint64_t offer(void *opaque, uint64_t features)
{
    const struct virtio_net *s = opaque;
    const struct {
        unsigned bit;
        bool on;
    } bits[] = {
        {F_CSUM, s->csum}, {F_GUEST_CSUM, s->guest_csum}, {F_CTRL_GUEST_OFFLOADS, s->ctrl_vq && s->ctrl_guest_offloads},
        {F_MTU, s->mtu != 0}, {F_GUEST_TSO4, s->guest_csum && s->guest_tso4},
        {F_GUEST_TSO6, s->guest_csum && s->guest_tso6}, {F_GUEST_ECN, s->guest_csum && s->guest_ecn},
        {F_HOST_TSO4, s->csum && s->host_tso4}, {F_HOST_TSO6, s->csum && s->host_tso6},
        {F_HOST_ECN, s->csum && s->host_ecn}, {F_MRG_RXBUF, s->mrg_rxbuf}, {F_STATUS, s->status},
        {F_CTRL_VQ, s->ctrl_vq}, {F_CTRL_RX, s->ctrl_vq && s->ctrl_rx}, {F_CTRL_VLAN, s->ctrl_vq && s->ctrl_vlan},
        {F_CTRL_RX_EXTRA, s->ctrl_vq && s->ctrl_rx_extra}, {F_CTRL_MAC_ADDR, s->ctrl_vq && s->ctrl_mac_addr},
        {F_MQ, s->ctrl_vq && s->pairs > 1}, {F_SPEED_DUPLEX, s->speed >= 0},
        {F_STANDBY, s->failover}};

    for (unsigned i = 0; i < BP_COUNT(bits); i++)
        if (!bits[i].on)
            features &= ~BP_VIRTIO_BIT(bits[i].bit);
    if (s->rings)
        features &= s->rings->features(s->served_by);
    return features;
}

static int negotiated(void *opaque, uint64_t f)
{
    struct virtio_net *s = opaque;

#define HAS(BIT) (f & BP_VIRTIO_BIT(BIT))
    /* 5.1.3.1: what needs what. */
    if ((HAS(F_GUEST_TSO4) || HAS(F_GUEST_TSO6)) && !HAS(F_GUEST_CSUM))
        return -EINVAL;
    if ((HAS(F_HOST_TSO4) || HAS(F_HOST_TSO6)) && !HAS(F_CSUM))
        return -EINVAL;
    if ((HAS(F_CTRL_RX) || HAS(F_CTRL_VLAN) || HAS(F_MQ) || HAS(F_CTRL_MAC_ADDR) || HAS(F_CTRL_GUEST_OFFLOADS)) &&
        !HAS(F_CTRL_VQ))
        return -EINVAL;
    if (s->failover)
        bp_deferred_schedule(s->sync);
#undef HAS
    return 0;
}

static void fill_config(struct virtio_net *s)
{
    uint8_t *c = virtio->config(s->virtio);

    memcpy(c + C_MAC, s->mac, 6);
    put_le16(c + C_STATUS, s->link ? STATUS_LINK_UP : 0);
    put_le16(c + C_PAIRS, s->pairs);
    put_le16(c + C_MTU, s->mtu);
    put_le16(c + C_SPEED, (unsigned)s->speed & 0xffff);
    put_le16(c + C_SPEED + 2, (unsigned)s->speed >> 16);
    c[C_DUPLEX] = 1;
}

static void config_read(void *opaque)
{
    fill_config(opaque);
}

/* A legacy driver sets its address by writing it. */
static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct virtio_net *s = opaque;

    (void)offset;
    (void)size;
    (void)old;
    if (!virtio->has(s->virtio, BP_VIRTIO_VERSION_1) && !virtio->has(s->virtio, F_CTRL_MAC_ADDR)) {
        memcpy(s->mac, virtio->config(s->virtio), 6);
        bp_deferred_schedule(s->sync);
    }
    fill_config(s);
}

/* ---- life ---- */

#define ALL_FEATURES \
    (BP_VIRTIO_BIT(F_CSUM) | BP_VIRTIO_BIT(F_GUEST_CSUM) | BP_VIRTIO_BIT(F_CTRL_GUEST_OFFLOADS) | \
     BP_VIRTIO_BIT(F_MTU) | \
     BP_VIRTIO_BIT(F_MAC) | BP_VIRTIO_BIT(F_GUEST_TSO4) | BP_VIRTIO_BIT(F_GUEST_TSO6) | BP_VIRTIO_BIT(F_GUEST_ECN) | \
     BP_VIRTIO_BIT(F_HOST_TSO4) | BP_VIRTIO_BIT(F_HOST_TSO6) | BP_VIRTIO_BIT(F_HOST_ECN) | \
     BP_VIRTIO_BIT(F_MRG_RXBUF) | BP_VIRTIO_BIT(F_STATUS) | BP_VIRTIO_BIT(F_CTRL_VQ) | BP_VIRTIO_BIT(F_CTRL_RX) | \
     BP_VIRTIO_BIT(F_CTRL_VLAN) | BP_VIRTIO_BIT(F_CTRL_RX_EXTRA) | BP_VIRTIO_BIT(F_MQ) | \
     BP_VIRTIO_BIT(F_CTRL_MAC_ADDR) | BP_VIRTIO_BIT(F_STANDBY) | BP_VIRTIO_BIT(F_SPEED_DUPLEX))

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 1, .config_size = C_SIZE, .name = "virtio-net", .features = ALL_FEATURES,
    .offer = offer, .negotiated = negotiated, .config_read = config_read, .config_written = config_written,
    .running = running, .reset = reset};
static const struct bp_virtq_info queue_info = {
    .size = sizeof(queue_info), .entries = 256, .handle = handle, .reset = reset_queue};
static const struct bp_virtq_info served_info = {
    .size = sizeof(served_info), .entries = 256, .flags = BP_VIRTQ_EXTERNAL, .handle = handle};
static const struct bp_virtq_info control_info = {
    .size = sizeof(control_info), .entries = 64, .handle = handle};
static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = BP_NET_TAKES_RINGS,
    .receive = receive, .ready = ready, .link = link_changed};

static int make_queues(struct virtio_net *s, struct bp_error *err)
{
    const struct bp_virtq_info *info = s->rings ? &served_info : &queue_info;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < s->pairs; i++) {
        struct pair *p = &s->pair[i];

        p->net = s;
        p->send = bp_deferred_new(s->main, NULL, send_frames, p);
        p->more = bp_deferred_new(s->main, NULL, more_buffers, p);
        r = virtio->add_queue(s->virtio, info, &p->rx, err);
        if (r == 0)
            r = virtio->add_queue(s->virtio, info, &p->tx, err);
    }
    if (r == 0 && s->ctrl_vq)
        r = virtio->add_queue(s->virtio, &control_info, &s->control, err);
    return r;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct virtio_net *s = state;
    int r;

    vnet_virtio = virtio;
    vnet_net = net;
    s->dev = bp_device_from_object(obj);
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-net", bp_device_id(s->dev), 0);
    s->sync = bp_deferred_new(s->main, NULL, sync_network, s);
    if (s->mtu && s->mtu < 68)
        return bp_fail(err, EINVAL, "property 'host_mtu': %u is below 68", s->mtu);
    r = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (r == 0)
        r = net->nic_new(s->dev, &s->conf, MAX_PAIRS, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    s->pairs = s->mq ? net->nic_peer_queues(s->nic) : 1;
    s->pairs = s->pairs > MAX_PAIRS ? MAX_PAIRS : s->pairs;
    s->served_by = net->nic_rings(s->nic, &s->rings);
    r = make_queues(s, err);
    if (r == 0 && s->rings)
        r = s->rings->attach(s->served_by, s->virtio, s->pairs, err);
    if (r < 0) {
        s->rings = NULL;
        net->nic_free(s->nic);
        s->nic = NULL;
        return r;
    }
    s->link = net->nic_link(s->nic);
    if (s->failover)
        bp_device_admit(s->dev, false);
    control_reset(s);
    fill_config(s);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct virtio_net *s = state;

    (void)obj;
    for (unsigned i = 0; i < s->pairs; i++) {
        if (s->pair[i].current)
            virtio->drop(s->pair[i].tx, s->pair[i].current);
        s->pair[i].current = NULL;
    }
    if (s->rings)
        s->rings->detach(s->served_by);
    s->rings = NULL;
    net->nic_free(s->nic);
    s->nic = NULL;
    s->virtio = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct virtio_net *s = state;

    (void)version;
    if (s->active == 0 || s->active > s->pairs)
        return bp_fail(err, EINVAL, "virtio-net: %u pairs of queues are in use, of %u", s->active, s->pairs);
    vnet_pairs_changed(s);
    bp_deferred_schedule(s->sync);
    for (unsigned i = 0; i < s->pairs; i++) {
        bp_deferred_schedule(s->pair[i].send);
        bp_deferred_schedule(s->pair[i].more);
    }
    return 0;
}

static const struct bp_state_field list_fields[] = {
    BP_SAVE_RANGE(UINT32, struct mac_list, count, 0, MAC_TABLE), BP_SAVE(BOOL, struct mac_list, overflow),
    {.name = "mac", .kind = BP_STATE_BUFFER, .offset = offsetof(struct mac_list, mac), .count = MAC_TABLE * 6,
     .stride = 1},
    BP_SAVE_END};
static const struct bp_state_table list_table = {.name = "addresses", .version = 1, .oldest = 1, .fields = list_fields};
#define LIST(FIELD) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(struct virtio_net, FIELD), .count = 1, \
     .stride = sizeof(struct mac_list), .table = &list_table}
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct virtio_net, active), BP_SAVE_BUFFER(struct virtio_net, mac),
    BP_SAVE(BOOL, struct virtio_net, promiscuous), BP_SAVE(BOOL, struct virtio_net, all_multi),
    BP_SAVE(BOOL, struct virtio_net, all_uni), BP_SAVE(BOOL, struct virtio_net, no_multi),
    BP_SAVE(BOOL, struct virtio_net, no_uni), BP_SAVE(BOOL, struct virtio_net, no_broadcast), LIST(uni), LIST(multi),
    BP_SAVE_ARRAY(UINT32, struct virtio_net, vlans), BP_SAVE(UINT64, struct virtio_net, offloads), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

#define SWITCH(NAME, FIELD, HELP) BP_PROP(NAME, BOOL, struct virtio_net, FIELD, "on", HELP)
static const struct bp_field props[] = {
    BP_NET_PROPS(struct virtio_net, conf), BP_PROP_BOOTINDEX(struct virtio_net, bootindex),
    SWITCH("csum", csum, "the driver leaves checksums to us"), SWITCH("guest_csum", guest_csum, "we leave them to it"),
    SWITCH("guest_tso4", guest_tso4, "it takes whole segments of TCP over IPv4"),
    SWITCH("guest_tso6", guest_tso6, "over IPv6"), SWITCH("guest_ecn", guest_ecn, "with congestion marks"),
    SWITCH("host_tso4", host_tso4, "we take whole segments of TCP over IPv4"),
    SWITCH("host_tso6", host_tso6, "over IPv6"), SWITCH("host_ecn", host_ecn, "with congestion marks"),
    SWITCH("mrg_rxbuf", mrg_rxbuf, "a frame may take several buffers"),
    SWITCH("status", status, "the link's state is told"),
    SWITCH("ctrl_vq", ctrl_vq, "there is a control queue"), SWITCH("ctrl_rx", ctrl_rx, "with modes of reception"),
    SWITCH("ctrl_vlan", ctrl_vlan, "with VLAN filters"), SWITCH("ctrl_rx_extra", ctrl_rx_extra, "with more modes"),
    SWITCH("ctrl_mac_addr", ctrl_mac_addr, "with the address"),
    SWITCH("ctrl_guest_offloads", ctrl_guest_offloads, "with what the driver takes"),
    BP_PROP("mq", BOOL, struct virtio_net, mq, "off", "as many pairs of queues as the netdev has"),
    BP_PROP("failover", BOOL, struct virtio_net, failover, "off",
            "it stands by for another card, whose failover_pair_id is its id"),
    BP_PROP("host_mtu", UINT16, struct virtio_net, mtu, "0", "largest packet, told to the driver; 0: not told"),
    BP_PROP_RANGE("speed", INT32, struct virtio_net, speed, "-1", -1, INT32_MAX, "Mbit/s, told to the driver; -1: not"),
    BP_FIELDS_END};
static const struct bp_level_class virtio_net = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-net-base",
             .summary = "Network card", .state_size = sizeof(struct virtio_net), .props = props, .state = &state_table},
    .attach = attach, .detach = detach};

BP_VIRTIO_TRANSITIONAL_NAMES(card, "virtio-net", 0x0200, "Network card", &virtio_net, .category = "network");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-virtio-net", "Virtio network card", imports, {BP_PROVIDE_DEVICE, &card_pci},
          {BP_PROVIDE_DEVICE, &card_transitional}, {BP_PROVIDE_DEVICE, &card_modern},
          {BP_PROVIDE_DEVICE, &card_device}, {BP_PROVIDE_EVENT, &event_negotiated});
