/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who a peer is: the server's side of the D-Bus Specification's "Authentication Protocol", mechanism EXTERNAL. The
 * library's own reads on behind BEGIN and refuses descriptors that it finds there, which clients send at once.
 */
#include "dbus-display.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_hex_of(const char *hex, const char *text)
{
    for (; *text; text++, hex += 2) {
        char two[3];

        snprintf(two, sizeof(two), "%02x", (unsigned char)*text);
        if (strncmp(hex, two, 2) != 0)
            return false;
    }
    return !*hex;
}

/* `hex`: the user's number as decimal text, in hexadecimal; empty: whom the socket says. */
static bool is_who_it_is(int fd, const char *hex)
{
    struct ucred who;
    socklen_t length = sizeof(who);
    char uid[16];

    if (!*hex)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
        return false;
    snprintf(uid, sizeof(uid), "%u", (unsigned)who.uid);
    return is_hex_of(hex, uid);
}

static int answer(int fd, const char *text)
{
    size_t length = strlen(text);

    return send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length ? 0 : -EPIPE;
}

static int prove(struct dbus_auth *a, int fd, const char *hex)
{
    char text[64];
    const char *guid = "6261636b706c616e652d642d62757300"; /* of no server that others could look for */

    a->proven = is_who_it_is(fd, hex);
    a->asked = false;
    if (!a->proven)
        return ++a->tries > 8 ? -EACCES : answer(fd, "REJECTED EXTERNAL\r\n");
    snprintf(text, sizeof(text), "OK %s\r\n", guid);
    return answer(fd, text);
}

static int command(struct dbus_auth *a, int fd, const char *line)
{
    if (!strcmp(line, "BEGIN"))
        return a->proven ? 1 : -EACCES;
    if (!strcmp(line, "NEGOTIATE_UNIX_FD") && a->proven)
        return answer(fd, "AGREE_UNIX_FD\r\n");
    if (!strncmp(line, "AUTH EXTERNAL ", 14))
        return prove(a, fd, line + 14);
    if (a->asked && (!strcmp(line, "DATA") || !strncmp(line, "DATA ", 5)))
        return prove(a, fd, line[4] ? line + 5 : "");
    a->asked = !strcmp(line, "AUTH EXTERNAL");
    if (a->asked)
        return answer(fd, "DATA\r\n");
    a->proven = false;
    if (++a->tries > 8)
        return -EACCES;
    return answer(fd, !strncmp(line, "AUTH", 4) || !strcmp(line, "CANCEL") || !strncmp(line, "ERROR", 5)
                          ? "REJECTED EXTERNAL\r\n" : "ERROR\r\n");
}

static int end_of_line(struct dbus_auth *a, int fd)
{
    char *line = a->line;

    if (!a->begun && (a->count == 0 || *line++))
        return -EPROTO; /* the first byte is 0 */
    a->begun = true;
    if (a->count < 2 || a->line[a->count - 2] != '\r')
        return -EPROTO;
    a->line[a->count - 2] = 0;
    a->count = 0;
    return command(a, fd, line);
}

int dbus_auth_turn(struct dbus_auth *a, int fd)
{
    int r = 0;

    while (r == 0) {
        char *to = a->line + a->count, *end;
        ssize_t n = recv(fd, to, sizeof(a->line) - a->count, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n <= 0)
            return -ECONNRESET;
        end = memchr(to, '\n', (size_t)n);
        if (end) /* not a byte more: descriptors could lie behind it */
            n = end + 1 - to;
        if (recv(fd, to, (size_t)n, MSG_DONTWAIT) != n)
            return -ECONNRESET;
        a->count += (size_t)n;
        if (end)
            r = end_of_line(a, fd);
        else if (a->count == sizeof(a->line))
            return -EPROTO;
    }
    return r;
}

/* The library goes through it with ourselves, on a socket whose place the peer's takes then. */
int dbus_auth_adopt(int fd, sd_bus **ret_bus)
{
    char uid[16], say[128];
    int pair[2], length, r;
    sd_bus *bus = NULL;
    sd_id128_t id;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
    length = snprintf(say, sizeof(say), "%cAUTH EXTERNAL ", 0);
    for (const char *p = uid; *p; p++)
        length += snprintf(say + length, sizeof(say) - (size_t)length, "%02x", (unsigned char)*p);
    length += snprintf(say + length, sizeof(say) - (size_t)length, "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
    r = write(pair[1], say, (size_t)length) == length ? sd_bus_new(&bus) : -EPIPE;
    if (r >= 0)
        r = sd_id128_randomize(&id);
    if (r >= 0)
        r = sd_bus_set_server(bus, 1, id);
    if (r >= 0)
        r = sd_bus_negotiate_fds(bus, 1);
    if (r >= 0)
        r = sd_bus_set_fd(bus, pair[0], pair[0]);
    if (r < 0)
        close(pair[0]);
    else
        r = sd_bus_start(bus);
    for (unsigned n = 0; r >= 0 && n < 100 && sd_bus_is_ready(bus) == 0; n++)
        r = sd_bus_process(bus, NULL);
    if (r >= 0 && (sd_bus_is_ready(bus) <= 0 || dup3(fd, pair[0], O_CLOEXEC) < 0))
        r = -EPROTO;
    close(pair[1]);
    if (r < 0) {
        sd_bus_close_unref(bus);
        return r;
    }
    *ret_bus = bus;
    return 0;
}
