/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A monitor's socket: bytes, and JSON objects one after the other. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

#define MOST_TEXT (256u << 20) /* bytes of one answer */

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool fail(char **ret_why, const char *address, const char *why)
{
    if (asprintf(ret_why, "%s: %s", address, why) < 0)
        *ret_why = NULL;
    return false;
}

static bool open_unix(struct connection *c, const char *path, char **ret_why)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(sun.sun_path))
        return fail(ret_why, path, "the path of a socket has at most 107 bytes");
    memcpy(sun.sun_path, path, strlen(path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
        return true;
    return fail(ret_why, path, strerror(errno));
}

static bool open_tcp(struct connection *c, const char *address, char **ret_why)
{
    const char *colon = strrchr(address, ':');
    size_t length = (size_t)(colon - address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char host[256];
    int r;

    if (length >= sizeof(host))
        return fail(ret_why, address, "the name of the host is too long");
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        memcpy(host, address + 1, length - 2);
        host[length - 2] = '\0';
    } else {
        memcpy(host, address, length);
        host[length] = '\0';
    }
    r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &list);
    if (r != 0)
        return fail(ret_why, address, gai_strerror(r));
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        c->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (c->fd >= 0 && connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
            break;
        r = errno;
        if (c->fd >= 0)
            close(c->fd);
        c->fd = -1;
    }
    freeaddrinfo(list);
    return c->fd >= 0 || fail(ret_why, address, strerror(r));
}

bool connection_open(struct connection *c, const char *address, char **ret_why)
{
    *c = (struct connection){.fd = -1};
    if (!strncmp(address, "unix:", 5))
        return open_unix(c, address + 5, ret_why);
    if (!strncmp(address, "tcp:", 4) && strchr(address + 4, ':'))
        return open_tcp(c, address + 4, ret_why);
    if (!strchr(address, '/') && strchr(address, ':') && access(address, F_OK) != 0)
        return open_tcp(c, address, ret_why);
    return open_unix(c, address, ret_why);
}

void connection_close(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->text);
    *c = (struct connection){.fd = -1};
}

bool connection_send(struct connection *c, const char *text, size_t length, int fd)
{
    while (length > 0) {
        union {
            struct cmsghdr head;
            char room[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = {(void *)(uintptr_t)text, length};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0) {
            memset(&control, 0, sizeof(control));
            message.msg_control = &control;
            message.msg_controllen = sizeof(control);
            control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
        }
        n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        fd = -1;
        text += n;
        length -= (size_t)n;
    }
    return true;
}

int connection_fill(struct connection *c, int64_t deadline)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    ssize_t n;

    for (;;) {
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();
        int r = poll(&p, 1, deadline < 0 ? -1 : left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left);

        if (r > 0)
            break;
        if (r == 0 && deadline >= 0 && now_ms() >= deadline)
            return 0;
        if (r < 0 && errno != EINTR)
            return -1;
    }
    if (c->used + 65536 + 1 > c->room) {
        char *more = c->used > MOST_TEXT ? NULL : realloc(c->text, c->room = 2 * c->used + 65536 + 1);

        if (!more)
            return -1;
        c->text = more;
    }
    do
        n = read(c->fd, c->text + c->used, 65536);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -1;
    c->used += (size_t)n;
    c->text[c->used] = '\0';
    return 1;
}

static void drop(struct connection *c, size_t bytes)
{
    memmove(c->text, c->text + bytes, c->used - bytes + 1);
    c->used -= bytes;
    c->looked = 0;
    c->depth = 0;
    c->quoted = c->escaped = false;
}

/* Looks at one more byte. True: an object ends with it. */
static bool ends(struct connection *c, char byte)
{
    if (c->quoted) {
        if (c->escaped)
            c->escaped = false;
        else if (byte == '\\')
            c->escaped = true;
        else if (byte == '"')
            c->quoted = false;
        return false;
    }
    if (byte == '"')
        c->quoted = true;
    else if (byte == '{' || byte == '[')
        c->depth++;
    else if ((byte == '}' || byte == ']') && c->depth > 0)
        return --c->depth == 0;
    return false;
}

int connection_take(struct connection *c, struct bp_value **ret_value)
{
    size_t blank = 0;

    if (c->looked == 0) {
        while (blank < c->used && strchr(" \t\r\n", c->text[blank]))
            blank++;
        if (blank)
            drop(c, blank);
        if (c->used && c->text[0] != '{')
            return -1;
    }
    while (c->looked < c->used) {
        if (!ends(c, c->text[c->looked++]))
            continue;
        int r = bp_value_parse(c->text, c->looked, ret_value, NULL);

        drop(c, c->looked);
        return r < 0 ? -1 : 1;
    }
    return 0;
}

int connection_next(struct connection *c, int64_t deadline, struct bp_value **ret_value)
{
    for (;;) {
        int r = c->used ? connection_take(c, ret_value) : 0;

        if (r)
            return r < 0 ? -2 : 1;
        r = connection_fill(c, deadline);
        if (r <= 0)
            return r;
    }
}
