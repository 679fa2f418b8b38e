/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets: where a server listens, or whom it calls (reverse=on). Names are looked up at the start only. */
#include "vnc.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/log.h>

#define FIRST_PORT 5900u
#define FIRST_WEBSOCKET_PORT 5700u

void vnc_describe(const struct sockaddr *address, socklen_t length, char host[64], char service[32],
                  char family[8])
{
    snprintf(host, 64, "%s", "");
    snprintf(service, 32, "%s", "");
    snprintf(family, 8, "%s", "unknown");
    if (address->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)address;

        snprintf(family, 8, "unix");
        if (length > offsetof(struct sockaddr_un, sun_path))
            snprintf(service, 32, "%.31s", un->sun_path);
        return;
    }
    if (getnameinfo(address, length, host, 64, service, 32, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(family, 8, "%s", address->sa_family == AF_INET6 ? "ipv6" : "ipv4");
}

void vnc_describe_socket(int fd, bool peer, char host[64], char service[32], char family[8])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);

    memset(&address, 0, sizeof(address));
    if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&address, &length) < 0)
        length = 0;
    vnc_describe((struct sockaddr *)&address, length, host, service, family);
}

/* ---- listening ---- */

static void arrived(void *opaque, unsigned events)
{
    struct vnc_listener *l = opaque;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    vnc_client_new(l->server, fd, l->websocket);
}

static int add(struct vnc *s, int fd, bool websocket, struct bp_error *err)
{
    for (unsigned i = 0; i < VNC_LISTENERS; i++) {
        struct vnc_listener *l = &s->listeners[i];

        if (l->watch)
            continue;
        *l = (struct vnc_listener){.server = s, .fd = fd, .websocket = websocket};
        l->watch = bp_watch_new(NULL, bp_context_main(s->machine), fd, BP_WATCH_IN, arrived, l);
        return 0;
    }
    close(fd);
    return bp_fail(err, EMFILE, "its host has too many addresses");
}

void vnc_unlisten(struct vnc *s)
{
    for (unsigned i = 0; i < VNC_LISTENERS; i++) {
        if (!s->listeners[i].watch)
            continue;
        bp_watch_free(s->listeners[i].watch);
        close(s->listeners[i].fd);
        s->listeners[i].watch = NULL;
    }
    for (unsigned i = 0; i < 2; i++)
        unix_socket_remove(&s->unix_sockets[i]);
}

static int listen_unix(struct vnc *s, const char *path, bool websocket, struct bp_error *err)
{
    int fd = unix_socket_listen(&s->unix_sockets[websocket], path, err);

    return fd < 0 ? fd : add(s, fd, websocket, err);
}

static int family_of(const struct vnc *s)
{
    return s->ipv6 == 2 || (s->ipv4 == 1 && s->ipv6 != 1)   ? AF_INET
           : s->ipv4 == 2 || (s->ipv6 == 1 && s->ipv4 != 1) ? AF_INET6 : AF_UNSPEC;
}

/* All addresses of a host on one port. -EADDRINUSE: try another one. */
static int listen_tcp(struct vnc *s, const char *host, unsigned port, bool websocket, struct bp_error *err)
{
    int fds[TCP_LISTENERS], count = tcp_listen(host, port, family_of(s), fds, err), r = count < 0 ? count : 0;

    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add(s, fds[i], websocket, err);
        else
            close(fds[i]);
    }
    return r;
}

/* ---- addresses ---- */

struct place {
    char *host;
    unsigned long number;
};

/* "HOST:N", "[IPV6]:N". */
static int parse(const char *what, const char *text, unsigned long most, struct place *ret_place,
                 struct bp_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    char *end;

    if (!colon || !colon[1] || colon[1] == '-' || colon[1] == '+' || colon[1] == ' ')
        return bp_fail(err, EINVAL, "%s '%.100s' is none; use HOST:NUMBER, :NUMBER or unix:PATH", what, text);
    ret_place->number = strtoul(colon + 1, &end, 10);
    if (*end || ret_place->number > most)
        return bp_fail(err, EINVAL, "%s '%.100s': the number after the colon must be 0 to %lu", what, text, most);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    ret_place->host = bp_alloc(length + 1);
    memcpy(ret_place->host, text, length);
    ret_place->host[length] = '\0';
    return 0;
}

static int listen_display(struct vnc *s, const struct place *place, unsigned *ret_display, struct bp_error *err)
{
    unsigned most = s->to > place->number ? s->to : (unsigned)place->number;
    int r = -EADDRINUSE;

    for (unsigned n = (unsigned)place->number; n <= most && r == -EADDRINUSE; n++) {
        vnc_unlisten(s);
        r = listen_tcp(s, place->host, FIRST_PORT + n, false, err);
        *ret_display = n;
    }
    return r;
}

/* websocket=on, PORT, HOST:PORT or unix:PATH; `place` NULL: the server's address is a path. */
static int listen_websocket(struct vnc *s, const struct place *place, unsigned display, struct bp_error *err)
{
    const char *text = s->websocket;
    struct place other;
    char *end;
    unsigned long port;
    int r;

    if (!text || strcmp(text, "off") == 0)
        return 0;
    if (strncmp(text, "unix:", 5) == 0)
        return listen_unix(s, text + 5, true, err);
    if (strcmp(text, "on") == 0) {
        return place ? listen_tcp(s, place->host, FIRST_WEBSOCKET_PORT + display, true, err)
                     : bp_fail(err, EINVAL, "key 'websocket': 'on' needs a display number; say a port");
    }
    port = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end) {
        return port >= 1 && port <= 65535 ? listen_tcp(s, place ? place->host : NULL, (unsigned)port, true, err)
                                          : bp_fail(err, EINVAL, "key 'websocket': a port is 1 to 65535");
    }
    r = parse("key 'websocket':", text, 65535, &other, err);
    if (r < 0)
        return r;
    r = listen_tcp(s, other.host, (unsigned)other.number, true, err);
    free(other.host);
    return r;
}

/* ---- reverse ---- */

static int call(struct vnc *s, const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, address, length) < 0) {
        int saved = errno;

        close(fd);
        return -saved;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    vnc_client_new(s, fd, false);
    return 0;
}

static int call_viewer(struct vnc *s, struct bp_error *err)
{
    struct addrinfo *list;
    struct place place;
    struct sockaddr_un un;
    int r;

    if (strncmp(s->address, "unix:", 5) == 0) {
        r = unix_socket_address(s->address + 5, &un, err);
        if (r == 0)
            r = call(s, (struct sockaddr *)&un, sizeof(un));
        return r < 0 ? bp_fail(err, -r, "%s: %s", s->address, strerror(-r)) : 0;
    }
    r = parse("the address", s->address, 65535, &place, err);
    if (r < 0)
        return r;
    r = tcp_look_up(place.host, (unsigned)place.number, family_of(s), 0, &list, err);
    free(place.host);
    if (r < 0)
        return r;
    r = -ENOENT;
    for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
        r = call(s, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return r < 0 ? bp_fail(err, -r, "no viewer answers at %.100s: %s", s->address, strerror(-r)) : 0;
}

int vnc_listen(struct vnc *s, struct bp_error *err)
{
    struct place place;
    unsigned display = 0;
    int r;

    if (s->reverse)
        return s->websocket ? bp_fail(err, EINVAL, "key 'websocket' does not go together with reverse=on")
                            : call_viewer(s, err);
    if (strncmp(s->address, "unix:", 5) == 0) {
        r = listen_unix(s, s->address + 5, false, err);
        return r < 0 ? r : listen_websocket(s, NULL, 0, err);
    }
    r = parse("the display", s->address, 65535 - FIRST_PORT, &place, err);
    if (r < 0)
        return r;
    r = listen_display(s, &place, &display, err);
    if (r == 0)
        r = listen_websocket(s, &place, display, err);
    free(place.host);
    return r;
}
