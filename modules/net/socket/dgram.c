/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `net-dgram`: -netdev dgram, a network over datagrams (datagram.h). */
#include <errno.h>

#include "datagram.h"

BP_USE(net, struct bp_net_interface, "net", 1);

struct dgram {
    struct datagram datagram; /* first */
    struct bp_value *local, *remote;
};

static int open_dgram(struct bp_netdev *nd, struct bp_error *err)
{
    struct dgram *s = net->netdev_state(nd);
    struct datagram *d = &s->datagram;
    const char *local_type = bp_value_get_string(s->local, "type");
    int r = 0;

    d->net = net;
    d->nd = nd;
    if (!s->local && !s->remote)
        return bp_fail(err, EINVAL, "netdev: dgram: 'local' or 'remote' is missing: local.type=inet, unix or fd");
    if (s->remote)
        r = place_read("dgram", "remote", s->remote, PLACE_DATAGRAM, &d->remote, err);
    if (r == 0 && d->remote.family < 0)
        r = bp_fail(err, EINVAL, "netdev: dgram: remote.type is inet or unix");
    if (r == 0 && s->local && d->remote.family && place_multicast(&d->remote) && local_type &&
        !bp_value_has(s->local, "port")) { /* the address alone is asked for */
        struct bp_value *copy = bp_value_copy(s->local);

        bp_value_set(copy, "port", bp_value_string("0"));
        r = place_read("dgram", "local", copy, PLACE_DATAGRAM | PLACE_LISTENS, &d->local, err);
        bp_value_unref(copy);
    } else if (r == 0 && s->local) {
        r = place_read("dgram", "local", s->local, PLACE_DATAGRAM | PLACE_LISTENS, &d->local, err);
    }
    return r < 0 ? r : datagram_open(d, "dgram", err);
}

static void close_dgram(struct bp_netdev *nd)
{
    datagram_close(net->netdev_state(nd));
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    (void)queue;
    return datagram_receive(net->netdev_state(nd), packets, count);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    (void)queue;
    datagram_ready(net->netdev_state(nd));
}

static char *info(struct bp_netdev *nd)
{
    return datagram_text(net->netdev_state(nd));
}

#define PLACE(NAME, FIELD, HELP) \
    {.name = NAME, .kind = BP_KIND_UNION, .offset = offsetof(struct dgram, FIELD), .help = HELP, \
     .schema = &place_schema}
static const struct bp_field props[] = {PLACE("local", local, "this side: local.type=..."),
                                        PLACE("remote", remote, "the other side, or a multicast group"),
                                        BP_FIELDS_END};
BP_NETDEV(dgram_netdev, "dgram", "Datagram socket", struct dgram, props, .open = open_dgram, .close = close_dgram,
          .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-dgram", "Networks over datagram sockets", imports, {BP_PROVIDE_OTHER, &dgram_netdev});
