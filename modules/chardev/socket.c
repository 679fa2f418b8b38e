/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-socket`: a stream socket, TCP or Unix, as client or server. A server has one
 * client at a time and listens again when that one leaves; a client with `reconnect` tries for
 * ever. Unix sockets carry descriptors (SCM_RIGHTS) to whoever asks the framework for them. TLS, WebSocket and
 * telnet lie in between (layers.c). tn3270 is left out. Names are looked up in the caller's thread.
 */
#include <bp/clock.h>
#include <bp/log.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};
const struct bp_chardev_interface *const *const socket_chardev = &chardev;

static void connection_ready(void *opaque, unsigned events);
static void listen_again(struct socket_state *s);
static void try_connect(void *opaque);

void socket_watch(struct socket_state *s, unsigned events)
{
    if (!s->conn_watch)
        s->conn_watch = bp_watch_new(NULL, NULL, s->conn_fd, events, connection_ready, s);
    else if (events != s->events)
        bp_watch_set(s->conn_watch, events);
    s->events = events;
}

static void close_connection(struct socket_state *s)
{
    layers_end(s);
    bp_watch_free(s->conn_watch);
    s->conn_watch = NULL;
    if (s->conn_fd >= 0)
        close(s->conn_fd);
    s->conn_fd = -1;
    s->hung = s->connecting = false;
}

static bool wants_reconnect(const struct socket_state *s)
{
    return !s->server && (s->reconnect || s->reconnect_ms);
}

static void retry_later(struct socket_state *s)
{
    uint64_t ms = s->reconnect_ms ? s->reconnect_ms : s->reconnect * 1000;

    bp_timer_set(s->retry, bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)ms * 1000000);
}

void socket_disconnected(struct socket_state *s)
{
    if (s->conn_fd < 0)
        return;
    close_connection(s);
    chardev->closed(s->chr);
    if (s->server)
        listen_again(s);
    else if (wants_reconnect(s))
        retry_later(s);
}

void socket_ready(struct socket_state *s)
{
    bp_start_release(s->hold);
    s->hold = NULL;
    chardev->opened(s->chr);
}

/* The other side is there: fd is ours. */
static void connected(struct socket_state *s, int fd)
{
    int one = 1;

    s->conn_fd = fd;
    s->hung = s->connecting = s->reported = false;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (!address_is_local(s) && s->nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (s->layers.used) {
        layers_begin(s);
        return;
    }
    socket_watch(s, BP_WATCH_IN);
    socket_ready(s);
}

static void accept_ready(void *opaque, unsigned events)
{
    struct socket_state *s = opaque;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    bp_watch_free(s->listen_watch); /* the next client waits in the queue */
    s->listen_watch = NULL;
    connected(s, fd);
}

static void listen_again(struct socket_state *s)
{
    if (!s->listen_watch)
        s->listen_watch = bp_watch_new(NULL, NULL, s->listen_fd, BP_WATCH_IN, accept_ready, s);
}

/* ---- input ---- */

void socket_break(void *opaque)
{
    chardev->received_break(((struct socket_state *)opaque)->chr);
}

static void take_descriptors(struct socket_state *s, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        int fds[16];
        size_t bytes;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
            continue;
        bytes = c->cmsg_len - CMSG_LEN(0);
        if (bytes > sizeof(fds))
            bytes = sizeof(fds);
        memcpy(fds, CMSG_DATA(c), bytes);
        chardev->received_fds(s->chr, fds, bytes / sizeof(int));
    }
}

static ssize_t receive(struct socket_state *s, uint8_t *buf, size_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control;
    struct iovec iov = {buf, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(s->conn_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n > 0)
        take_descriptors(s, &msg);
    return n;
}

/* Hang-up while the front end takes nothing: is there anything left for it? */
static void hung_up(struct socket_state *s)
{
    uint8_t byte;

    if (recv(s->conn_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        socket_disconnected(s);
        return;
    }
    bp_watch_free(s->conn_watch);
    s->conn_watch = NULL;
    s->hung = true;
}

static void read_ready(struct socket_state *s, unsigned events)
{
    uint8_t buf[4096];
    size_t n = chardev->can_read(s->chr);
    ssize_t got;

    if (n == 0) {
        if (events & BP_WATCH_HUP)
            hung_up(s);
        else
            socket_watch(s, s->events & ~BP_WATCH_IN);
        return;
    }
    got = receive(s, buf, n < sizeof(buf) ? n : sizeof(buf));
    if (got > 0) {
        chardev->received(s->chr, buf, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        socket_disconnected(s);
    }
}

static void connection_ready(void *opaque, unsigned events)
{
    struct socket_state *s = opaque;

    if (s->connecting) {
        int code = 0, fd = s->conn_fd;
        socklen_t len = sizeof(code);

        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len);
        if (code != 0) {
            close_connection(s);
            retry_later(s);
            return;
        }
        bp_watch_free(s->conn_watch);
        s->conn_watch = NULL;
        connected(s, fd);
        return;
    }
    if (s->layers.used) {
        layers_event(s, events);
        return;
    }
    if (events & BP_WATCH_OUT) {
        socket_watch(s, s->events & ~BP_WATCH_OUT);
        chardev->writable(s->chr);
        if (s->conn_fd < 0)
            return;
    }
    if (events & (BP_WATCH_IN | BP_WATCH_HUP))
        read_ready(s, events);
}

static void socket_accept_input(struct bp_chardev *chr)
{
    struct socket_state *s = chardev->state(chr);

    if (s->conn_fd < 0 || s->connecting)
        return;
    if (s->layers.used) {
        layers_accept(s);
        return;
    }
    s->hung = false;
    socket_watch(s, (s->conn_watch ? s->events : 0) | BP_WATCH_IN);
}

/* ---- output ---- */

static void drop_broken(void *opaque)
{
    socket_disconnected(opaque);
}

static int socket_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct socket_state *s = chardev->state(chr);
    ssize_t n;

    if (s->conn_fd < 0 || s->connecting)
        return (int)len;
    if (s->layers.used) {
        n = layers_write(s, buf, len);
        if (n >= 0)
            return (int)n;
    } else {
        do
            n = send(s->conn_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        n = n < 0 ? -errno : n;
    }
    if (n >= 0)
        return (int)n;
    if (n == -EAGAIN) {
        if (s->conn_watch)
            socket_watch(s, s->events | BP_WATCH_OUT);
        return 0;
    }
    /* The front end is in the middle of something: it hears of the end from the main loop. */
    bp_deferred_schedule(s->drop);
    return (int)n;
}

/* ---- opening ---- */

static void try_connect(void *opaque)
{
    struct socket_state *s = opaque;
    struct bp_error err = {0};
    bool pending;
    int fd = address_connect(s, false, &pending, &err);

    if (fd < 0) {
        if (!s->reported)
            bp_warn("chardev %s: %s; trying again", bp_object_id(bp_object_of_state(s)),
                    err.message);
        s->reported = true;
        retry_later(s);
    } else if (pending) {
        s->conn_fd = fd;
        s->connecting = true;
        socket_watch(s, BP_WATCH_OUT);
    } else {
        connected(s, fd);
    }
}

static int open_client(struct socket_state *s, struct bp_error *err)
{
    bool pending;
    int fd;

    if (wants_reconnect(s)) {
        try_connect(s);
        return 0;
    }
    fd = address_connect(s, true, &pending, err);
    if (fd < 0)
        return fd;
    connected(s, fd);
    return 0;
}

static int open_server(struct socket_state *s, struct bp_error *err)
{
    char *name;
    int fd = address_listen(s, err);

    if (fd < 0)
        return fd;
    s->listen_fd = fd;
    fcntl(s->listen_fd, F_SETFL, fcntl(s->listen_fd, F_GETFL) | O_NONBLOCK);
    listen_again(s);
    if (s->wait != OFF) {
        char *address = address_text(s);

        if (asprintf(&name, "connection on: %s", address ? address : "a socket") < 0)
            name = NULL;
        s->hold = bp_start_hold(name ? name : "a connection");
        free(name);
        free(address);
    }
    return 0;
}

static void socket_close(struct bp_chardev *chr)
{
    struct socket_state *s = chardev->state(chr);

    close_connection(s);
    bp_watch_free(s->listen_watch);
    s->listen_watch = NULL;
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    s->listen_fd = -1;
    address_unbind(s);
    bp_start_release(s->hold);
    s->hold = NULL;
    bp_timer_free(s->retry);
    bp_deferred_free(s->drop);
    s->retry = NULL;
    s->drop = NULL;
    free(s->absolute);
    s->absolute = NULL;
}

static int socket_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct socket_state *s = chardev->state(chr);
    int r = address_check(s, err);

    if (r == 0)
        r = layers_check(s, err);
    s->chr = chr;
    s->listen_fd = s->conn_fd = -1;
    if (r < 0)
        return r;
    s->nodelay = s->nodelay || !s->delay;
    s->absolute = s->path && !s->abstract ? bp_path_absolute(s->path) : NULL;
    s->retry = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, try_connect, s);
    s->drop = bp_deferred_new(NULL, NULL, drop_broken, s);
    r = s->server ? open_server(s, err) : open_client(s, err);
    if (r < 0)
        socket_close(chr);
    return r;
}

static char *socket_filename(struct bp_chardev *chr)
{
    struct socket_state *s = chardev->state(chr);
    char *address = address_text(s), *text = NULL;
    bool there = s->conn_fd >= 0 && !s->connecting;

    if (!address || asprintf(&text, "%s%s", there ? "" : "disconnected:", address) < 0)
        text = NULL;
    free(address);
    return text;
}

static int socket_unix(struct bp_chardev *chr, int *ret_fd)
{
    const struct socket_state *s = chardev->state(chr);
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    bool there = s->conn_fd >= 0 && !s->connecting;
    int fd = there ? s->conn_fd : s->listen_fd;

    if (s->layers.used || !(s->path || s->fd) ||
        (fd >= 0 && (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 || ss.ss_family != AF_UNIX)))
        return -ENOTSUP;
    *ret_fd = there ? s->conn_fd : -1;
    return 0;
}

#define KEY(NAME, KIND, FIELD, DEFAULT, HELP) \
    BP_PROP(NAME, KIND, struct socket_state, FIELD, DEFAULT, HELP)
static const struct bp_field props[] = {
    KEY("host", STRING, host, NULL, "TCP: name or address; listening, none means all"),
    KEY("port", STRING, port, NULL, "TCP: port or service name"),
    KEY("to", UINT16, to, "0", "TCP, listening: the last port to try"),
    KEY("ipv4", ON_OFF_AUTO, ipv4, "auto", "TCP: use IPv4"),
    KEY("ipv6", ON_OFF_AUTO, ipv6, "auto", "TCP: use IPv6"),
    KEY("nodelay", BOOL, nodelay, "off", "TCP: send small packets at once"),
    KEY("delay", BOOL, delay, "on", "TCP: the opposite of nodelay"),
    KEY("path", STRING, path, NULL, "Unix: path of the socket"),
    KEY("abstract", BOOL, abstract, "off", "Unix: path is a name in the abstract name space"),
    KEY("tight", BOOL, tight, "on", "Unix, abstract: only the name's own bytes count"),
    KEY("fd", STRING, fd, NULL, "number of a socket that the process was started with, or its name "
        "given with getfd"),
    KEY("server", BOOL, server, "off", "listen"),
    KEY("wait", ON_OFF_AUTO, wait, "auto", "listening: wait for the first client; auto: so"),
    KEY("telnet", BOOL, telnet, "off", "speak the telnet protocol"),
    KEY("tn3270", BOOL, tn3270, "off", "refused: there are no terminals of mainframes here"),
    KEY("websocket", BOOL, websocket, "off", "listening: speak WebSocket"),
    KEY("tls-creds", STRING, tls_creds, NULL, "secure it with TLS: id of the credentials"),
    KEY("tls-authz", STRING, tls_authz, NULL,
        "listening, with tls-creds: id of the authz object that is asked about a client's certificate"),
    KEY("tls-hostname", STRING, tls_hostname, NULL,
        "client, with tls-creds: the name that the server's certificate has to have (default: the host)"),
    BP_PROP_RANGE("reconnect", UINT64, struct socket_state, reconnect, "0", 0, 4294967,
                  "client: seconds between attempts to connect; 0: one attempt"),
    BP_PROP_RANGE("reconnect-ms", UINT64, struct socket_state, reconnect_ms, "0", 0, 4294967295,
                  "client: milliseconds between attempts to connect"),
    BP_FIELDS_END};
BP_CHARDEV(socket_class, "socket", "TCP or Unix socket, client or server", struct socket_state,
           props, .open = socket_open, .close = socket_close, .write = socket_write,
           .accept_input = socket_accept_input, .filename = socket_filename,
           .unix_socket = socket_unix);
BP_MODULE("chardev-socket", "Sockets as a character device", imports,
          {BP_PROVIDE_OTHER, &socket_class});
