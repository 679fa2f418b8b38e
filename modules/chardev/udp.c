/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-udp`: each write is a datagram to host:port; datagrams that arrive at the local
 * port are input. A lost datagram is lost. Names are looked up once, when it is made.
 */
#include <bp/host/chardev.h>
#include <bp/loop.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

enum { AUTO, ON, OFF };

struct udp_state {
    struct bp_chardev *chr;
    char *host, *port, *local_host, *local_port;
    int ipv4, ipv6;
    int fd;
    struct bp_watch *watch;
    uint8_t packet[65536]; /* the last one, as far as the front end has not taken it */
    size_t start, len;
};

static int lookup(const struct udp_state *s, const char *host, const char *port, int flags,
                  int family, struct addrinfo **ret_list, struct bp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = family, .ai_flags = flags};
    int r;

    if (family == AF_UNSPEC && ((s->ipv4 == ON && s->ipv6 != ON) || s->ipv6 == OFF))
        hints.ai_family = AF_INET;
    else if (family == AF_UNSPEC && ((s->ipv6 == ON && s->ipv4 != ON) || s->ipv4 == OFF))
        hints.ai_family = AF_INET6;
    r = getaddrinfo(host && *host ? host : NULL, port && *port ? port : "0", &hints, ret_list);
    if (r != 0)
        return bp_fail(err, EINVAL, "address resolution failed for %s:%s: %s", host ? host : "",
                       port ? port : "", gai_strerror(r));
    return 0;
}

static void deliver(struct udp_state *s)
{
    while (s->len > 0) {
        size_t n = chardev->can_read(s->chr);

        n = n < s->len ? n : s->len;
        if (n == 0)
            break;
        s->start += n;
        s->len -= n;
        chardev->received(s->chr, s->packet + s->start - n, n);
    }
    bp_watch_set(s->watch, s->len == 0 ? BP_WATCH_IN : 0);
}

static void ready(void *opaque, unsigned events)
{
    struct udp_state *s = opaque;
    ssize_t n;

    (void)events;
    if (s->len > 0)
        return;
    n = recv(s->fd, s->packet, sizeof(s->packet), MSG_DONTWAIT);
    if (n <= 0) /* also ECONNREFUSED: nobody listens there at the moment */
        return;
    s->start = 0;
    s->len = (size_t)n;
    deliver(s);
}

static void udp_accept_input(struct bp_chardev *chr)
{
    deliver(chardev->state(chr));
}

static int udp_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct udp_state *s = chardev->state(chr);

    if (len > 1400)
        len = 1400;
    send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return (int)len;
}

/* Where no host is named. By number: on most computers "localhost" is ::1 first, and unlike a connection a
 * datagram that nobody takes there finds no other way. */
static const char *this_host(const struct udp_state *s)
{
    return (s->ipv6 == ON && s->ipv4 != ON) || s->ipv4 == OFF ? "::1" : "127.0.0.1";
}

static int udp_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct udp_state *s = chardev->state(chr);
    struct addrinfo *remote, *local = NULL;
    int r, code = 0;

    s->chr = chr;
    if (!s->port || !*s->port)
        return bp_fail(err, EINVAL, "chardev: udp: remote port not specified");
    if (port_check("udp", "port", s->port, err) < 0 ||
        (s->local_port && port_check("udp", "localport", s->local_port, err) < 0))
        return -EINVAL;
    if (s->ipv4 == OFF && s->ipv6 == OFF)
        return bp_fail(err, EINVAL, "chardev: udp: 'ipv4' and 'ipv6' cannot both be off");
    r = lookup(s, s->host && *s->host ? s->host : this_host(s), s->port, 0, AF_UNSPEC, &remote, err);
    if (r < 0)
        return r;
    r = lookup(s, s->local_host, s->local_port, AI_PASSIVE, remote->ai_family, &local, err);
    if (r < 0) {
        freeaddrinfo(remote);
        return r;
    }
    s->fd = socket(remote->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, local->ai_addr, local->ai_addrlen) < 0 ||
        connect(s->fd, remote->ai_addr, remote->ai_addrlen) < 0)
        code = errno;
    freeaddrinfo(remote);
    freeaddrinfo(local);
    if (code) {
        if (s->fd >= 0)
            close(s->fd);
        return bp_fail(err, code, "chardev: udp: %s", strerror(code));
    }
    s->watch = bp_watch_new(NULL, NULL, s->fd, BP_WATCH_IN, ready, s);
    chardev->opened(chr);
    return 0;
}

static void udp_close(struct bp_chardev *chr)
{
    struct udp_state *s = chardev->state(chr);

    bp_watch_free(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static char *udp_filename(struct bp_chardev *chr)
{
    struct udp_state *s = chardev->state(chr);
    char *text = NULL;

    return asprintf(&text, "udp:%s:%s", s->host ? s->host : "", s->port) < 0 ? NULL : text;
}

#define KEY(NAME, KIND, FIELD, DEFAULT, HELP) \
    BP_PROP(NAME, KIND, struct udp_state, FIELD, DEFAULT, HELP)
static const struct bp_field props[] = {
    KEY("host", STRING, host, NULL, "name or address of the other side (default: this host)"),
    KEY("port", STRING, port, NULL, "its port"),
    KEY("localaddr", STRING, local_host, NULL, "address to receive at (default: all)"),
    KEY("localport", STRING, local_port, NULL, "port to receive at (default: any)"),
    KEY("ipv4", ON_OFF_AUTO, ipv4, "auto", "use IPv4"),
    KEY("ipv6", ON_OFF_AUTO, ipv6, "auto", "use IPv6"),
    BP_FIELDS_END};
BP_CHARDEV(udp_class, "udp", "UDP datagrams", struct udp_state, props, .open = udp_open,
           .close = udp_close, .write = udp_write, .accept_input = udp_accept_input,
           .filename = udp_filename);
BP_MODULE("chardev-udp", "UDP as a character device", imports, {BP_PROVIDE_OTHER, &udp_class});
