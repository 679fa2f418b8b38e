/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP sockets of servers: all addresses of a name, or none. */
#include "tcp-socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 128) == 0)
        return fd;
    saved = errno;
    close(fd);
    return -saved;
}

int tcp_look_up(const char *host, unsigned port, int family, int flags, struct addrinfo **ret_list,
                struct bp_error *err)
{
    const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char text[8];
    int r;

    snprintf(text, sizeof(text), "%u", port);
    r = getaddrinfo(host && *host ? host : NULL, text, &hints, ret_list);
    return r == 0 ? 0 : bp_fail(err, ENOENT, "host '%.100s': %s", host ? host : "", gai_strerror(r));
}

int tcp_listen(const char *host, unsigned port, int family, int fds[TCP_LISTENERS], struct bp_error *err)
{
    struct addrinfo *list;
    int r = tcp_look_up(host, port, family, AI_PASSIVE, &list, err), last = -EADDRNOTAVAIL;
    unsigned count = 0;

    if (r < 0)
        return r;
    for (const struct addrinfo *a = list; a && r == 0; a = a->ai_next) {
        int fd = open_one(a);

        if (fd >= 0 && count == TCP_LISTENERS) {
            close(fd);
            r = bp_fail(err, EMFILE, "its host has too many addresses");
        } else if (fd >= 0) {
            fds[count++] = fd;
        } else if (fd == -EADDRINUSE) {
            r = bp_fail(err, EADDRINUSE, "port %u is in use", port);
        } else {
            last = fd;
        }
    }
    freeaddrinfo(list);
    if (r == 0 && !count)
        r = bp_fail(err, -last, "port %u: %s", port, strerror(-last));
    while (r < 0 && count)
        close(fds[--count]);
    return r < 0 ? r : (int)count;
}
