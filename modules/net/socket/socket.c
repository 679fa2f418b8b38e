/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-socket`: -netdev socket, the older keys of what stream (conn.h) and dgram (datagram.h) do: listen=,
 * connect=, mcast=, udp=, fd=.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "datagram.h"

BP_USE(net, struct bp_net_interface, "net", 1);

struct socket_netdev {
    char *fd, *listen, *connect, *mcast, *localaddr, *udp;
    bool datagrams;
    struct conn conn;
    struct datagram datagram;
};

static int open_datagram(struct socket_netdev *s, struct bp_netdev *nd, struct bp_error *err)
{
    s->datagrams = true;
    s->datagram.net = net;
    s->datagram.nd = nd;
    return datagram_open(&s->datagram, "socket", err);
}

static int open_connection(struct socket_netdev *s, struct bp_netdev *nd, bool server, struct bp_error *err)
{
    s->conn.net = net;
    s->conn.nd = nd;
    s->conn.server = server;
    return conn_open(&s->conn, "socket", err);
}

static int open_fd(struct socket_netdev *s, struct bp_netdev *nd, struct bp_error *err)
{
    int fd, kind = 0, r = place_fd("socket", "fd", s->fd, &fd, err);
    socklen_t n = sizeof(kind);
    struct place place = {.family = -1, .fd = -1};

    if (r < 0)
        return r;
    place.fd = fd;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &n) < 0)
        return bp_fail(err, errno, "netdev: socket: fd=%s: %s", s->fd, strerror(errno));
    if (kind == SOCK_STREAM) {
        s->conn.place = place;
        return open_connection(s, nd, false, err);
    }
    s->datagram.local = place;
    if (s->mcast) {
        r = place_parse("socket", "mcast", s->mcast, PLACE_DATAGRAM, &s->datagram.remote, err);
        if (r < 0)
            return r;
    }
    return open_datagram(s, nd, err);
}

static int open_mcast(struct socket_netdev *s, struct bp_netdev *nd, struct bp_error *err)
{
    struct place *local = &s->datagram.local;
    int r = place_parse("socket", "mcast", s->mcast, PLACE_DATAGRAM, &s->datagram.remote, err);

    if (r < 0)
        return r;
    if (!place_multicast(&s->datagram.remote))
        return bp_fail(err, EINVAL, "netdev: socket: mcast=%s is no multicast address (224.0.0.0 to 239.255.255.255)",
                       s->mcast);
    if (s->localaddr) {
        if (inet_pton(AF_INET, s->localaddr, &local->address.v4.sin_addr) != 1)
            return bp_fail(err, EINVAL, "netdev: socket: localaddr=%s is no IPv4 address", s->localaddr);
        local->address.v4.sin_family = AF_INET;
        local->length = sizeof(local->address.v4);
        local->family = AF_INET;
    }
    return open_datagram(s, nd, err);
}

static int open_udp(struct socket_netdev *s, struct bp_netdev *nd, struct bp_error *err)
{
    int r;

    if (!s->localaddr)
        return bp_fail(err, EINVAL, "netdev: socket: 'udp' needs 'localaddr', HOST:PORT of this side");
    r = place_parse("socket", "localaddr", s->localaddr, PLACE_DATAGRAM | PLACE_LISTENS, &s->datagram.local, err);
    if (r == 0)
        r = place_parse("socket", "udp", s->udp, PLACE_DATAGRAM, &s->datagram.remote, err);
    return r < 0 ? r : open_datagram(s, nd, err);
}

static int open_socket(struct bp_netdev *nd, struct bp_error *err)
{
    struct socket_netdev *s = net->netdev_state(nd);
    int ways = !!s->listen + !!s->connect + !!s->udp + (!!s->fd || !!s->mcast), r;

    if (ways != 1)
        return bp_fail(err, EINVAL, "netdev: socket: exactly one of listen=, connect=, mcast=, udp= or fd= is wanted");
    if (s->localaddr && !s->mcast && !s->udp)
        return bp_fail(err, EINVAL, "netdev: socket: 'localaddr' goes with mcast= or udp=");
    if (s->fd)
        return open_fd(s, nd, err);
    if (s->mcast)
        return open_mcast(s, nd, err);
    if (s->udp)
        return open_udp(s, nd, err);
    r = place_parse("socket", s->listen ? "listen" : "connect", s->listen ? s->listen : s->connect,
                    s->listen ? PLACE_LISTENS : 0, &s->conn.place, err);
    return r < 0 ? r : open_connection(s, nd, s->listen != NULL, err);
}

static void close_socket(struct bp_netdev *nd)
{
    struct socket_netdev *s = net->netdev_state(nd);

    if (s->datagrams)
        datagram_close(&s->datagram);
    else
        conn_close(&s->conn);
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct socket_netdev *s = net->netdev_state(nd);

    (void)queue;
    return s->datagrams ? datagram_receive(&s->datagram, packets, count) : conn_receive(&s->conn, packets, count);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct socket_netdev *s = net->netdev_state(nd);

    (void)queue;
    if (s->datagrams)
        datagram_ready(&s->datagram);
    else
        conn_ready(&s->conn);
}

static char *info(struct bp_netdev *nd)
{
    struct socket_netdev *s = net->netdev_state(nd);

    return s->datagrams ? datagram_text(&s->datagram) : place_text(&s->conn.place);
}

#define KEY(NAME, FIELD, HELP) BP_PROP(NAME, STRING, struct socket_netdev, FIELD, NULL, HELP)
static const struct bp_field props[] = {
    KEY("fd", fd, "an open socket: its number, or its name (getfd)"),
    KEY("listen", listen, "[HOST]:PORT to await a connection at"),
    KEY("connect", connect, "HOST:PORT to connect to"), KEY("mcast", mcast, "multicast group ADDRESS:PORT"),
    KEY("localaddr", localaddr, "address to send from; with udp HOST:PORT"),
    KEY("udp", udp, "HOST:PORT to send datagrams to"), BP_FIELDS_END};
BP_NETDEV(socket_class, "socket", "Connection or multicast group of machines", struct socket_netdev, props,
          .open = open_socket, .close = close_socket, .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-socket", "Networks over sockets", imports, {BP_PROVIDE_OTHER, &socket_class});
