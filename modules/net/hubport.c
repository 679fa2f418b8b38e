/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-hubport`: a port of a hub. What one port gets goes out at all others; a receiver that does not
 * keep up has a bounded queue (of the framework's), then loses packets, which are counted. [main]
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/host/net.h>

BP_USE(net, struct bp_net_interface, "net", 1);

struct hubport {
    struct hubport *next; /* of all hubs */
    struct bp_netdev *nd;
    int32_t hub;
    char *netdev;
};

static struct hubport *ports;

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct hubport *s = net->netdev_state(nd);

    (void)queue;
    for (struct hubport *other = ports; other; other = other->next)
        if (other != s && other->hub == s->hub)
            net->netdev_push(other->nd, 0, packets, count);
    return count;
}

static void take_out(struct hubport *s)
{
    struct hubport **link = &ports;

    while (*link && *link != s)
        link = &(*link)->next;
    if (*link)
        *link = s->next;
}

static int open(struct bp_netdev *nd, struct bp_error *err)
{
    struct hubport *s = net->netdev_state(nd), **link = &ports;
    struct bp_netdev *other = s->netdev ? net->netdev_find(s->netdev) : NULL;
    int r;

    s->nd = nd;
    if (s->hub < 0)
        return bp_fail(err, EINVAL, "netdev: hubport: 'hubid' is missing: the number of the hub");
    if (s->netdev && !other)
        return bp_fail(err, ENOENT, "netdev: hubport: netdev=%s: there is no such netdev", s->netdev);
    r = other ? net->netdev_connect(nd, other, err) : 0;
    if (r < 0)
        return r;
    while (*link)
        link = &(*link)->next;
    *link = s;
    return 0;
}

static void close(struct bp_netdev *nd)
{
    take_out(net->netdev_state(nd));
}

static char *info(struct bp_netdev *nd)
{
    const struct hubport *s = net->netdev_state(nd);
    char *text = NULL;

    return asprintf(&text, "hub=%d", s->hub) < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP_RANGE("hubid", INT32, struct hubport, hub, "-1", -1, INT32_MAX, "number of the hub"),
    BP_PROP("netdev", STRING, struct hubport, netdev, NULL, "netdev that this port is joined with"),
    BP_FIELDS_END};
/* What all others take is not known: packets go out finished where they must be, by each receiver's measure. */
BP_NETDEV(hubport, "hubport", "Port of an emulated hub", struct hubport, props,
          .takes = BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN |
                   BP_NET_TAKES_UDP | BP_NET_TAKES_UDP_L4,
          .open = open, .close = close, .receive = receive, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-hubport", "Hubs", imports, {BP_PROVIDE_OTHER, &hubport});
