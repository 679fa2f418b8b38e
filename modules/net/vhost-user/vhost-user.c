/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-vhost-user`: -netdev vhost-user, a virtio network card whose rings another process serves (a switch
 * like those of DPDK) over a UNIX socket that is a chardev. vhostforce= is taken and changes nothing: the rings are
 * the other process's, whatever interrupts the card has.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <bp/host/net.h>
#include <bp/host/vhost-user.h>

BP_USE(net, struct bp_net_interface, "net", 1);
BP_USE(vhost, struct bp_vhost_user_interface, "vhost-user", 1);

#define MAX_PAIRS (BP_VHOST_USER_MAX_RINGS / 2)
/* Virtual I/O Device 1.2, 5.1.3: checksums, segments, merged buffers, the MTU's bit. */
#define CARD_FEATURES \
    (BP_VIRTIO_BIT(0) | BP_VIRTIO_BIT(1) | BP_VIRTIO_BIT(7) | BP_VIRTIO_BIT(8) | BP_VIRTIO_BIT(9) | \
     BP_VIRTIO_BIT(10) | BP_VIRTIO_BIT(11) | BP_VIRTIO_BIT(12) | BP_VIRTIO_BIT(13) | BP_VIRTIO_BIT(14) | \
     BP_VIRTIO_BIT(15))
/* What the card does by itself: addresses, state, the control queue, several pairs. */
#define OWN_FEATURES \
    (BP_VIRTIO_BIT(3) | BP_VIRTIO_BIT(5) | BP_VIRTIO_BIT(16) | BP_VIRTIO_BIT(17) | BP_VIRTIO_BIT(18) | \
     BP_VIRTIO_BIT(19) | BP_VIRTIO_BIT(20) | BP_VIRTIO_BIT(22) | BP_VIRTIO_BIT(23) | BP_VIRTIO_BIT(62) | \
     BP_VIRTIO_BIT(63))
#define MERGED BP_VIRTIO_BIT(15)

struct vhost_net {
    struct bp_netdev *nd;
    char *chardev;
    bool force;
    uint32_t queues;
    struct bp_vhost_user *peer;
    unsigned pairs;
};

static void there(void *opaque, bool on)
{
    struct vhost_net *s = opaque;

    net->netdev_set_link(s->nd, on);
}

static const struct bp_vhost_user_ops peer_ops = {.size = sizeof(peer_ops), .there = there};

static int open_netdev(struct bp_netdev *nd, struct bp_error *err)
{
    struct vhost_net *s = net->netdev_state(nd);
    char who[160];
    struct bp_vhost_user_info info = {.size = sizeof(info), .rings = 2 * s->queues, .who = who, .chardev = s->chardev,
                                      .device_features = CARD_FEATURES};

    s->nd = nd;
    snprintf(who, sizeof(who), "netdev '%s'", net->netdev_id(nd));
    net->netdev_set_queues(nd, s->queues);
    net->netdev_set_link(nd, false);
    return vhost->open(net->netdev_owner(nd), &info, &peer_ops, s, &s->peer, err);
}

static void close_netdev(struct bp_netdev *nd)
{
    struct vhost_net *s = net->netdev_state(nd);

    vhost->close(s->peer);
    s->peer = NULL;
}

/* Announcements of the host side: the other process has none of our packets. */
static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    (void)nd, (void)queue, (void)packets;
    return count;
}

static char *info_text(struct bp_netdev *nd)
{
    const struct vhost_net *s = net->netdev_state(nd);
    char *text = NULL;

    if (asprintf(&text, "chardev=%s,queues=%u,%s", s->chardev, s->queues,
                 s->peer && vhost->is_there(s->peer) ? "connected" : "nobody is there") < 0)
        return NULL;
    return text;
}

/* ---- for the card ---- */

static int attach(struct bp_netdev *nd, struct bp_virtio *virtio, unsigned pairs, struct bp_error *err)
{
    struct vhost_net *s = net->netdev_state(nd);

    s->pairs = pairs;
    return vhost->attach(s->peer, virtio, 2 * pairs, err);
}

static void detach(struct bp_netdev *nd)
{
    vhost->detach(((struct vhost_net *)net->netdev_state(nd))->peer);
}

static uint64_t features(struct bp_netdev *nd)
{
    struct vhost_net *s = net->netdev_state(nd);
    uint64_t f = vhost->features(s->peer);

    return (f ? f & CARD_FEATURES : MERGED) | OWN_FEATURES;
}

static void run(struct bp_netdev *nd, bool on)
{
    vhost->run(((struct vhost_net *)net->netdev_state(nd))->peer, on);
}

static void kick(struct bp_netdev *nd, unsigned queue)
{
    vhost->kick(((struct vhost_net *)net->netdev_state(nd))->peer, queue);
}

static void active(struct bp_netdev *nd, unsigned pairs)
{
    struct vhost_net *s = net->netdev_state(nd);

    for (unsigned i = 0; i < 2 * s->pairs; i++)
        vhost->enable(s->peer, i, i / 2 < pairs);
}

static const struct bp_net_rings rings = {
    .size = sizeof(rings), .attach = attach, .detach = detach, .features = features, .run = run, .kick = kick,
    .active = active};

static const struct bp_field props[] = {
    BP_PROP("chardev", STRING, struct vhost_net, chardev, NULL, "id of a chardev on a UNIX socket"),
    BP_PROP("vhostforce", BOOL, struct vhost_net, force, "off", "also where the card has no MSI-X; it is always so"),
    BP_PROP_RANGE("queues", UINT32, struct vhost_net, queues, "1", 1, MAX_PAIRS, "pairs of queues"), BP_FIELDS_END};
BP_NETDEV(vhost_class, "vhost-user", "Network of another process (vhost-user)", struct vhost_net, props,
          .open = open_netdev, .close = close_netdev, .receive = receive, .info = info_text, .rings = &rings);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), BP_IMPORT(vhost, "vhost-user", 1), {0}};
BP_MODULE("net-vhost-user", "Networks of another process", imports, {BP_PROVIDE_OTHER, &vhost_class});
