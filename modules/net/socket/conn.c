/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network over a connection (conn.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "conn.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void socket_ready(void *opaque, unsigned events);
static void someone_comes(void *opaque, unsigned events);
static int start_connecting(struct conn *c, struct bp_error *err);

static void set_events(struct conn *c)
{
    bp_watch_set(c->watch, (c->connecting || c->out || c->wants_out ? BP_WATCH_OUT : 0) |
                               (c->connecting || c->paused ? 0 : BP_WATCH_IN));
}

/* ---- it comes and goes ---- */

static void established(struct conn *c, const struct place *peer)
{
    char *text = place_text(peer);
    int one = 1;

    c->connecting = c->paused = c->wants_out = false;
    c->in_length = 0;
    if (c->place.family == AF_INET || c->place.family == AF_INET6) {
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (c->place.keep_alive)
            setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    set_events(c);
    c->net->netdev_set_link(c->nd, true);
    if (c->changed)
        c->changed(c, text ? text : "");
    free(text);
    c->net->netdev_ready(c->nd, 0);
}

static void drop_socket(struct conn *c)
{
    bp_watch_free(c->watch);
    c->watch = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->out);
    c->out = NULL;
    c->connecting = false;
}

static void try_again(struct conn *c)
{
    if (c->listener >= 0)
        bp_watch_set(c->listen_watch, BP_WATCH_IN);
    else if (c->retry_ms > 0)
        bp_timer_set(c->retry, bp_timer_now(c->retry) + c->retry_ms * 1000000);
}

static void lost(struct conn *c)
{
    bool was = !c->connecting;

    drop_socket(c);
    c->net->netdev_set_link(c->nd, false);
    if (was && c->changed)
        c->changed(c, NULL);
    c->net->netdev_ready(c->nd, 0); /* what is sent now is lost, but not held up */
    try_again(c);
}

static void someone_comes(void *opaque, unsigned events)
{
    struct conn *c = opaque;
    struct place peer = {.fd = -1};
    int fd;

    (void)events;
    peer.length = sizeof(peer.address);
    fd = accept4(c->listener, &peer.address.any, &peer.length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (c->fd >= 0) {
        close(fd);
        return;
    }
    bp_watch_set(c->listen_watch, 0); /* others wait in the backlog */
    peer.family = peer.address.any.sa_family;
    if (peer.family == AF_UNIX)
        peer = c->place;
    c->fd = fd;
    c->watch = bp_watch_new(c->net->netdev_owner(c->nd), NULL, fd, 0, socket_ready, c);
    established(c, &peer);
}

static void retry(void *opaque)
{
    struct conn *c = opaque;

    if (start_connecting(c, NULL) < 0)
        try_again(c);
}

/* A name may have several addresses: is there one that was not tried in this turn? It is the place's then. */
static bool another(struct conn *c)
{
    if (c->tried >= c->place.others) {
        c->tried = 0;
        return false;
    }
    place_swap(&c->place, c->tried++);
    return true;
}

static int connect_once(struct conn *c, struct bp_error *err)
{
    char *text;
    int r, code;

    c->fd = socket(c->place.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, c->place.mptcp ? IPPROTO_MPTCP : 0);
    if (c->fd < 0)
        return bp_fail(err, errno, "a socket: %s", strerror(errno));
    r = connect(c->fd, &c->place.address.any, c->place.length);
    code = errno;
    if (r < 0 && code != EINPROGRESS) {
        text = place_text(&c->place);
        bp_fail(err, code, "cannot connect to %s: %s", text ? text : "?", strerror(code));
        free(text);
        drop_socket(c);
        return -code;
    }
    c->connecting = r < 0;
    c->watch = bp_watch_new(c->net->netdev_owner(c->nd), NULL, c->fd, 0, socket_ready, c);
    if (c->connecting)
        set_events(c);
    else
        established(c, &c->place);
    return 0;
}

static int start_connecting(struct conn *c, struct bp_error *err)
{
    int r = connect_once(c, err);

    while (r < 0 && another(c)) {
        if (err)
            *err = (struct bp_error){0};
        r = connect_once(c, err);
    }
    return r;
}

static int start_listening(struct conn *c, struct bp_error *err)
{
    struct sockaddr_in *in = &c->place.address.v4; /* the port stands in one place for both */
    char *text;
    int one = 1, code = EADDRINUSE;

    do {
        c->listener = socket(c->place.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                             c->place.mptcp ? IPPROTO_MPTCP : 0);
        if (c->listener < 0)
            return bp_fail(err, errno, "a socket: %s", strerror(errno));
        code = -place_make_way(&c->place, err);
        if (code) {
            close(c->listener);
            c->listener = -1;
            return -code;
        }
        if (c->place.family != AF_UNIX)
            setsockopt(c->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(c->listener, &c->place.address.any, c->place.length) == 0 && listen(c->listener, 1) == 0) {
            place_bound(&c->place);
            c->listen_watch = bp_watch_new(c->net->netdev_owner(c->nd), NULL, c->listener, BP_WATCH_IN,
                                           someone_comes, c);
            return 0;
        }
        code = errno;
        close(c->listener);
        c->listener = -1;
        if (code != EADDRINUSE || ntohs(in->sin_port) >= c->place.last_port)
            break;
        in->sin_port = htons((uint16_t)(ntohs(in->sin_port) + 1));
    } while (true);
    text = place_text(&c->place);
    bp_fail(err, code, "cannot listen at %s: %s", text ? text : "?", strerror(code));
    free(text);
    return -code;
}

/* A descriptor: of a connection, or one that listens. */
static int take_descriptor(struct conn *c, struct bp_error *err)
{
    int kind, listens = 0;
    socklen_t n = sizeof(kind), m = sizeof(listens);

    if (getsockopt(c->place.fd, SOL_SOCKET, SO_TYPE, &kind, &n) < 0 || kind != SOCK_STREAM)
        return bp_fail(err, EINVAL, "descriptor %d is no stream socket", c->place.fd);
    fcntl(c->place.fd, F_SETFL, fcntl(c->place.fd, F_GETFL) | O_NONBLOCK);
    fcntl(c->place.fd, F_SETFD, FD_CLOEXEC);
    getsockopt(c->place.fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &m);
    if (listens) {
        c->listener = c->place.fd;
        c->listen_watch = bp_watch_new(c->net->netdev_owner(c->nd), NULL, c->listener, BP_WATCH_IN, someone_comes, c);
        return 0;
    }
    c->fd = c->place.fd;
    c->watch = bp_watch_new(c->net->netdev_owner(c->nd), NULL, c->fd, 0, socket_ready, c);
    established(c, &c->place);
    return 0;
}

int conn_open(struct conn *c, const char *type, struct bp_error *err)
{
    int r;

    c->listener = c->fd = -1;
    c->in = malloc(CONN_IN);
    if (!c->in)
        return bp_fail(err, ENOMEM, "netdev: %s: no memory", type);
    c->net->netdev_set_link(c->nd, false);
    c->retry = bp_timer_new(c->net->netdev_owner(c->nd), NULL, BP_CLOCK_REALTIME, retry, c);
    if (c->place.family < 0) {
        r = take_descriptor(c, err);
    } else if (c->server) {
        r = start_listening(c, err);
    } else {
        r = start_connecting(c, err);
        if (r < 0 && c->retry_ms > 0) {
            if (err)
                *err = (struct bp_error){0};
            try_again(c);
            r = 0;
        }
    }
    if (r < 0) {
        bp_error_prefix(err, "netdev: %s", type);
        conn_close(c);
    }
    return r;
}

void conn_close(struct conn *c)
{
    drop_socket(c);
    bp_watch_free(c->listen_watch);
    c->listen_watch = NULL;
    if (c->listener >= 0) {
        close(c->listener);
        place_unbind(&c->place);
    }
    c->listener = -1;
    bp_timer_free(c->retry);
    c->retry = NULL;
    free(c->in);
    c->in = NULL;
}

/* ---- frames from there ---- */

/* Hands over what is whole; the rest moves to the front. */
static void deliver(struct conn *c)
{
    uint32_t at = 0;

    c->paused = false;
    while (c->fd >= 0 && c->in_length - at >= CONN_HEAD) {
        uint32_t length;
        struct iovec vector;
        struct bp_net_packet packet = {&vector, 1, 0, {0}};

        memcpy(&length, c->in + at, CONN_HEAD);
        length = ntohl(length);
        if (length > BP_NET_MAX_PACKET) {
            bp_warn("netdev %s: the other side sends a frame of %u bytes: the connection ends",
                    c->net->netdev_id(c->nd), length);
            lost(c);
            return;
        }
        if (c->in_length - at - CONN_HEAD < length)
            break;
        vector = (struct iovec){c->in + at + CONN_HEAD, length};
        packet.length = length;
        if (length && c->net->netdev_send(c->nd, 0, &packet, 1) == 0) {
            c->paused = true;
            break;
        }
        at += CONN_HEAD + length;
    }
    memmove(c->in, c->in + at, c->in_length - at);
    c->in_length -= at;
}

static void read_some(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_length, CONN_IN - c->in_length, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        lost(c);
        return;
    }
    if (n > 0) {
        c->in_length += (uint32_t)n;
        deliver(c);
    }
}

/* ---- frames to there ---- */

static void write_rest(struct conn *c)
{
    while (c->out) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_length - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            lost(c);
            return;
        }
        c->out_done += (uint32_t)n;
        if (c->out_done == c->out_length) {
            free(c->out);
            c->out = NULL;
        }
    }
}

static void keep_rest(struct conn *c, const struct bp_net_packet *packet, uint32_t sent)
{
    uint32_t length = htonl(packet->length);

    c->out_length = CONN_HEAD + packet->length;
    c->out_done = sent;
    c->out = bp_alloc(c->out_length);
    memcpy(c->out, &length, CONN_HEAD);
    c->net->copy(packet, 0, c->out + CONN_HEAD, packet->length);
}

/* One frame. Returns whether it was taken. */
static bool send_frame(struct conn *c, const struct bp_net_packet *packet)
{
    uint32_t length = htonl(packet->length);
    struct iovec vectors[CONN_BATCH + 1];
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = packet->count + 1};
    ssize_t n;

    if (packet->count > CONN_BATCH) { /* in one piece, then */
        keep_rest(c, packet, 0);
        write_rest(c);
        return true;
    }
    vectors[0] = (struct iovec){&length, CONN_HEAD};
    memcpy(vectors + 1, packet->vectors, packet->count * sizeof(*vectors));
    n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno != EAGAIN && errno != EINTR; /* a broken one is noticed when it is read */
    if ((uint32_t)n < packet->length + CONN_HEAD)
        keep_rest(c, packet, (uint32_t)n);
    return true;
}

unsigned conn_receive(struct conn *c, const struct bp_net_packet *packets, unsigned count)
{
    unsigned i = 0;

    if (c->fd < 0 || c->connecting)
        return count;
    while (i < count && !c->out && c->fd >= 0 && send_frame(c, &packets[i]))
        i++;
    if (c->fd < 0)
        return count;
    c->wants_out = i < count;
    if (c->wants_out || c->out)
        set_events(c);
    return i;
}

void conn_ready(struct conn *c)
{
    if (c->fd < 0 || !c->paused)
        return;
    deliver(c);
    if (c->fd >= 0)
        set_events(c);
}

static void finish_connecting(struct conn *c)
{
    int code = 0;
    socklen_t n = sizeof(code);
    char *text;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &n);
    if (code == 0) {
        c->tried = 0;
        established(c, &c->place);
        return;
    }
    if (another(c)) {
        drop_socket(c);
        if (start_connecting(c, NULL) == 0)
            return;
    }
    if (c->retry_ms == 0) {
        text = place_text(&c->place);
        bp_warn("netdev %s: cannot connect to %s: %s", c->net->netdev_id(c->nd), text ? text : "?", strerror(code));
        free(text);
    }
    lost(c);
}

static void socket_ready(void *opaque, unsigned events)
{
    struct conn *c = opaque;

    if (c->connecting) {
        finish_connecting(c);
        return;
    }
    if (c->out)
        write_rest(c);
    if (c->fd >= 0 && !c->out && c->wants_out) {
        c->wants_out = false;
        c->net->netdev_ready(c->nd, 0);
    }
    if (c->fd >= 0 && !c->paused && (events & (BP_WATCH_IN | BP_WATCH_HUP)))
        read_some(c);
    else if (c->fd >= 0 && (events & BP_WATCH_HUP))
        lost(c);
    if (c->fd >= 0)
        set_events(c);
}
