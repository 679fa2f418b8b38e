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
static void flush(void *opaque);
static void someone_comes(void *opaque, unsigned events);
static int start_connecting(struct conn *c, struct bp_error *err);

static void set_events(struct conn *c)
{
    bp_watch_set(c->watch, (c->connecting || c->blocked ? BP_WATCH_OUT : 0) |
                               (c->connecting || c->paused ? 0 : BP_WATCH_IN));
}

/* ---- it comes and goes ---- */

static void established(struct conn *c, const struct place *peer)
{
    char *text = place_text(peer);
    int one = 1;

    c->connecting = c->paused = c->blocked = c->wants_out = false;
    c->in_length = c->out_length = c->out_done = 0;
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
    c->out_length = c->out_done = 0;
    c->connecting = c->blocked = false;
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
    c->in = malloc(CONN_IN + CONN_OUT);
    if (!c->in)
        return bp_fail(err, ENOMEM, "netdev: %s: no memory", type);
    c->out = c->in + CONN_IN;
    c->flush = bp_deferred_new(c->net->netdev_owner(c->nd), NULL, flush, c);
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
    bp_deferred_free(c->flush);
    c->flush = NULL;
    free(c->in);
    c->in = c->out = NULL;
}

/* ---- frames from there ---- */

/* The frames that lie whole from `at`, up to CONN_BATCH; *ret_end: behind them. -1: one is longer than any frame. */
static int whole_frames(const struct conn *c, uint32_t at, struct bp_net_packet *packets, struct iovec *vectors,
                        uint32_t *ret_end)
{
    unsigned count = 0;

    while (count < CONN_BATCH && c->in_length - at >= CONN_HEAD) {
        uint32_t length;

        memcpy(&length, c->in + at, CONN_HEAD);
        length = ntohl(length);
        if (length > BP_NET_MAX_PACKET && count > 0)
            break; /* those before it are good */
        if (length > BP_NET_MAX_PACKET) {
            bp_warn("netdev %s: the other side sends a frame of %u bytes: the connection ends",
                    c->net->netdev_id(c->nd), length);
            return -1;
        }
        if (c->in_length - at - CONN_HEAD < length)
            break;
        vectors[count] = (struct iovec){c->in + at + CONN_HEAD, length};
        packets[count] = (struct bp_net_packet){&vectors[count], 1, length, {0}};
        count += length > 0;
        at += CONN_HEAD + length;
    }
    *ret_end = at;
    return (int)count;
}

/* Hands over what is whole; the rest moves to the front. */
static void deliver(struct conn *c)
{
    struct bp_net_packet packets[CONN_BATCH];
    struct iovec vectors[CONN_BATCH];
    uint32_t at = 0, end;

    c->paused = false;
    while (c->fd >= 0 && !c->paused) {
        int count = whole_frames(c, at, packets, vectors, &end);
        unsigned taken;

        if (count < 0) {
            lost(c);
            return;
        }
        taken = count > 0 ? c->net->netdev_send(c->nd, 0, packets, (unsigned)count) : 0;
        c->paused = taken < (unsigned)count;
        if (c->paused)
            end = (uint32_t)((uint8_t *)vectors[taken].iov_base - c->in) - CONN_HEAD;
        if (end == at)
            break;
        at = end;
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

/* What waits goes out, as far as the other side takes it. Negative: it is gone. */
static int write_out(struct conn *c)
{
    c->blocked = false;
    while (c->out_done < c->out_length) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_length - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (n < 0 && errno == EAGAIN) {
            c->blocked = true;
            return 0;
        }
        c->out_done += n < 0 ? 0 : (uint32_t)n;
    }
    c->out_length = c->out_done = 0;
    return 0;
}

/* Whether so many bytes have room. What is under way is moved to the front for them. */
static bool room_for(struct conn *c, uint32_t length)
{
    if (CONN_OUT - c->out_length >= length)
        return true;
    memmove(c->out, c->out + c->out_done, c->out_length - c->out_done);
    c->out_length -= c->out_done;
    c->out_done = 0;
    return CONN_OUT - c->out_length >= length;
}

static void put_frame(struct conn *c, const struct bp_net_packet *packet)
{
    uint32_t length = htonl(packet->length);

    memcpy(c->out + c->out_length, &length, CONN_HEAD);
    c->net->copy(packet, 0, c->out + c->out_length + CONN_HEAD, packet->length);
    c->out_length += CONN_HEAD + packet->length;
}

/*
 * Frames gather, and go with one call when those that come together have come, or when there is no room for more. Of a
 * connection that is broken is heard when it is read.
 */
unsigned conn_receive(struct conn *c, const struct bp_net_packet *packets, unsigned count)
{
    unsigned i = 0;

    if (c->fd < 0 || c->connecting)
        return count;
    for (; i < count; i++) {
        uint32_t length = CONN_HEAD + packets[i].length;

        if (c->out_length + length > CONN_OUT && !c->blocked && write_out(c) < 0)
            c->out_length = c->out_done = 0;
        if (!room_for(c, length))
            break;
        put_frame(c, &packets[i]);
    }
    c->wants_out = i < count;
    if (c->blocked)
        set_events(c);
    else
        bp_deferred_schedule(c->flush);
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

/* What gathered goes out; the network is told of the room. False: the connection is gone. */
static bool sent(struct conn *c)
{
    if (write_out(c) < 0) {
        lost(c);
        return false;
    }
    if (!c->blocked && c->wants_out) {
        c->wants_out = false;
        c->net->netdev_ready(c->nd, 0);
    }
    return c->fd >= 0;
}

static void flush(void *opaque)
{
    struct conn *c = opaque;

    if (c->fd >= 0 && !c->connecting && !c->blocked && sent(c))
        set_events(c);
}

static void socket_ready(void *opaque, unsigned events)
{
    struct conn *c = opaque;

    if (c->connecting) {
        finish_connecting(c);
        return;
    }
    if (c->blocked && (events & BP_WATCH_OUT) && !sent(c))
        return;
    if (c->fd >= 0 && !c->paused && (events & (BP_WATCH_IN | BP_WATCH_HUP)))
        read_some(c);
    else if (c->fd >= 0 && (events & BP_WATCH_HUP))
        lost(c);
    if (c->fd >= 0)
        set_events(c);
}
