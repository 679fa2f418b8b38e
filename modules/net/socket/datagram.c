/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network over datagrams (datagram.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/loop.h>

#include "datagram.h"

#define AT_ONCE 64u /* frames, until others have their turn */
#define IN_SIZE (BP_NET_MAX_PACKET + 1)

static void set_events(struct datagram *d)
{
    bp_watch_set(d->watch, (d->in_length ? 0 : BP_WATCH_IN) | (d->wants_out && d->send_fd < 0 ? BP_WATCH_OUT : 0));
    if (d->send_watch)
        bp_watch_set(d->send_watch, d->wants_out ? BP_WATCH_OUT : 0);
}

/* ---- from there ---- */

static bool hand_over(struct datagram *d)
{
    struct iovec vector = {d->in, d->in_length};
    struct bp_net_packet packet = {&vector, 1, d->in_length, {0}};

    if (d->in_length && d->net->netdev_send(d->nd, 0, &packet, 1) == 0)
        return false;
    d->in_length = 0;
    return true;
}

static bool our_own(const struct datagram *d, const union address *from)
{
    if (d->send_fd < 0 || from->any.sa_family != d->own.any.sa_family)
        return false;
    /* The port is enough: nobody else on this host has it, and one of another host's rarely. */
    return from->v4.sin_port == d->own.v4.sin_port &&
           (from->any.sa_family != AF_INET || !d->own.v4.sin_addr.s_addr ||
            from->v4.sin_addr.s_addr == d->own.v4.sin_addr.s_addr);
}

static void read_some(struct datagram *d)
{
    for (unsigned i = 0; i < AT_ONCE && d->in_length == 0; i++) {
        union address from = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(d->fd, d->in, IN_SIZE, MSG_DONTWAIT | MSG_TRUNC, &from.any, &length);

        if (n < 0)
            break;
        if (n == 0 || n > (ssize_t)BP_NET_MAX_PACKET || our_own(d, &from))
            continue;
        if (d->remote.family == 0 && length > sizeof(sa_family_t)) { /* whoever writes is answered */
            d->remote.address = from;
            d->remote.length = length;
        }
        d->in_length = (uint32_t)n;
        if (!hand_over(d))
            break;
    }
}

static void socket_ready(void *opaque, unsigned events)
{
    struct datagram *d = opaque;

    if ((events & BP_WATCH_OUT) && d->wants_out) {
        d->wants_out = false;
        d->net->netdev_ready(d->nd, 0);
    }
    if (d->in_length == 0)
        read_some(d);
    set_events(d);
}

static void send_ready(void *opaque, unsigned events)
{
    struct datagram *d = opaque;

    (void)events;
    if (d->wants_out) {
        d->wants_out = false;
        d->net->netdev_ready(d->nd, 0);
    }
    set_events(d);
}

void datagram_ready(struct datagram *d)
{
    if (d->in_length && hand_over(d))
        read_some(d);
    set_events(d);
}

/* ---- to there ---- */

unsigned datagram_receive(struct datagram *d, const struct bp_net_packet *packets, unsigned count)
{
    int fd = d->send_fd >= 0 ? d->send_fd : d->fd;

    for (unsigned i = 0; i < count; i++) {
        struct msghdr message = {.msg_iov = (struct iovec *)packets[i].vectors, .msg_iovlen = packets[i].count};

        if (d->remote.length) {
            message.msg_name = &d->remote.address;
            message.msg_namelen = d->remote.length;
        }
        /* Nobody there is as a cable without a reader; a full buffer holds the sender up. */
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
            (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)) {
            d->wants_out = true;
            set_events(d);
            return i;
        }
    }
    return count;
}

/* ---- sockets ---- */

static int failed(struct bp_error *err, const struct place *place, const char *what)
{
    int code = errno;
    char *text = place_text(place);

    bp_fail(err, code, "cannot %s %s: %s", what, text ? text : "?", strerror(code));
    free(text);
    return -code;
}

static int join_group(struct datagram *d, struct bp_error *err)
{
    struct ip_mreq v4 = {.imr_multiaddr = d->remote.address.v4.sin_addr,
                         .imr_interface = {d->local.family == AF_INET ? d->local.address.v4.sin_addr.s_addr
                                                                      : htonl(INADDR_ANY)}};
    struct ipv6_mreq v6 = {.ipv6mr_multiaddr = d->remote.address.v6.sin6_addr};
    int one = 1;

    if (d->remote.family == AF_INET6)
        return setsockopt(d->fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof(v6)) < 0
                   ? failed(err, &d->remote, "join") : 0;
    if (setsockopt(d->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof(v4)) < 0)
        return failed(err, &d->remote, "join");
    setsockopt(d->send_fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof(one));
    if (d->local.family == AF_INET &&
        setsockopt(d->send_fd, IPPROTO_IP, IP_MULTICAST_IF, &v4.imr_interface, sizeof(v4.imr_interface)) < 0)
        return failed(err, &d->local, "send from");
    return 0;
}

static int open_group(struct datagram *d, struct bp_error *err)
{
    union address any = {.any = {.sa_family = (sa_family_t)d->remote.family}};
    int one = 1;

    if (d->local.family == AF_INET)
        any.v4.sin_addr = d->local.address.v4.sin_addr;
    d->fd = socket(d->remote.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    d->send_fd = socket(d->remote.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0 || d->send_fd < 0)
        return failed(err, &d->remote, "make a socket for");
    setsockopt(d->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(d->fd, &d->remote.address.any, d->remote.length) < 0)
        return failed(err, &d->remote, "listen at");
    if (bind(d->send_fd, &any.any, d->remote.length) < 0)
        return failed(err, &d->local, "send from");
    d->own_length = sizeof(d->own);
    getsockname(d->send_fd, &d->own.any, &d->own_length);
    return join_group(d, err);
}

static int open_pair(struct datagram *d, struct bp_error *err)
{
    int one = 1, r;

    d->fd = socket(d->local.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0)
        return failed(err, &d->local, "make a socket for");
    r = place_make_way(&d->local, err);
    if (r < 0)
        return r;
    if (d->local.family != AF_UNIX)
        setsockopt(d->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(d->fd, &d->local.address.any, d->local.length) < 0)
        return failed(err, &d->local, "listen at");
    place_bound(&d->local);
    return 0;
}

static void copy_option(const struct datagram *d, int level, int option)
{
    uint8_t value[sizeof(struct in_addr) + 12];
    socklen_t n = sizeof(value);

    if (getsockopt(d->fd, level, option, value, &n) == 0)
        setsockopt(d->send_fd, level, option, value, n);
}

/* To a group another socket sends, as the given one hears: by its address our own frames are known, which the group
 * gives back. */
static int send_beside(struct datagram *d, struct bp_error *err)
{
    union address any = {.any = {.sa_family = (sa_family_t)d->remote.family}};
    bool six = d->remote.family == AF_INET6;

    d->send_fd = socket(d->remote.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->send_fd < 0 || bind(d->send_fd, &any.any, d->remote.length) < 0)
        return failed(err, &d->remote, "make a socket for");
    copy_option(d, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MULTICAST_IF : IP_MULTICAST_IF);
    copy_option(d, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL);
    d->own_length = sizeof(d->own);
    getsockname(d->send_fd, &d->own.any, &d->own_length);
    return 0;
}

static int take_descriptor(struct datagram *d, struct bp_error *err)
{
    socklen_t n = sizeof(int);
    int kind;

    if (getsockopt(d->local.fd, SOL_SOCKET, SO_TYPE, &kind, &n) < 0 || (kind != SOCK_DGRAM && kind != SOCK_SEQPACKET))
        return bp_fail(err, EINVAL, "descriptor %d is no datagram socket", d->local.fd);
    d->fd = d->local.fd;
    fcntl(d->fd, F_SETFL, fcntl(d->fd, F_GETFL) | O_NONBLOCK);
    fcntl(d->fd, F_SETFD, FD_CLOEXEC);
    return kind == SOCK_DGRAM && d->remote.family && place_multicast(&d->remote) ? send_beside(d, err) : 0;
}

static int open_socket(struct datagram *d, struct bp_error *err)
{
    if (d->local.family < 0)
        return take_descriptor(d, err);
    if (d->remote.family && place_multicast(&d->remote))
        return open_group(d, err);
    if (!d->local.family)
        return bp_fail(err, EINVAL, "'local' is missing: only a multicast group goes without");
    if (d->remote.family && d->remote.family != d->local.family)
        return bp_fail(err, EINVAL, "'local' and 'remote' are addresses of two families");
    return open_pair(d, err);
}

int datagram_open(struct datagram *d, const char *type, struct bp_error *err)
{
    int r;

    d->fd = d->send_fd = -1;
    r = open_socket(d, err);
    d->in = malloc(IN_SIZE);
    if (r == 0 && !d->in)
        r = bp_fail(err, ENOMEM, "no memory");
    if (r < 0) {
        bp_error_prefix(err, "netdev: %s", type);
        datagram_close(d);
        return r;
    }
    d->watch = bp_watch_new(d->net->netdev_owner(d->nd), NULL, d->fd, BP_WATCH_IN, socket_ready, d);
    if (d->send_fd >= 0)
        d->send_watch = bp_watch_new(d->net->netdev_owner(d->nd), NULL, d->send_fd, 0, send_ready, d);
    return 0;
}

void datagram_close(struct datagram *d)
{
    bp_watch_free(d->watch);
    bp_watch_free(d->send_watch);
    d->watch = d->send_watch = NULL;
    if (d->fd >= 0)
        close(d->fd);
    if (d->send_fd >= 0)
        close(d->send_fd);
    place_unbind(&d->local);
    d->fd = d->send_fd = -1;
    free(d->in);
    d->in = NULL;
}

char *datagram_text(struct datagram *d)
{
    char *local = d->local.family ? place_text(&d->local) : NULL;
    char *remote = d->remote.family ? place_text(&d->remote) : NULL, *text = NULL;
    int r = asprintf(&text, "%s%s%s%s%s", local ? "local=" : "", local ? local : "", local && remote ? "," : "",
                     remote ? "remote=" : "", remote ? remote : "");

    free(local);
    free(remote);
    return r < 0 ? NULL : text;
}
