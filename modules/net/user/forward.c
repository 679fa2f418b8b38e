/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forwards: ports of the host that lead to the guest, of hostfwd= and of commands. A rule is
 * [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT; IPv6 addresses stand in brackets; host port 0 takes one that is
 * free; unix:PATH-[GUESTADDR]:GUESTPORT listens at a path. [main]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/value.h>

#include "user.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

struct forward {
    struct forward *next;
    char *rule;
    bool udp;
    union address host, guest;
    socklen_t host_length, guest_length;
    unsigned port;
};

static int wrong(struct bp_error *err, const char *rule, const char *what)
{
    return bp_fail(err, EINVAL, "hostfwd=%s: %s; expected [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT",
                   rule, what);
}

/* Copies up to `end` (not in brackets) into word; moves *text behind it. */
static int word(const char **text, char end, char *buf, size_t size)
{
    const char *p = *text;
    bool bracket = *p == '[';
    size_t n;

    while (*p && (*p != end || bracket)) {
        bracket = bracket && *p != ']';
        p++;
    }
    n = (size_t)(p - *text);
    if (n >= size || (end && *p != end))
        return -EINVAL;
    memcpy(buf, *text, n);
    buf[n] = 0;
    *text = *p ? p + 1 : p;
    return 0;
}

static int read_port(const char *text, unsigned least, unsigned *ret_port)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (!*text || *end || *text == '-' || *text == '+' || v > 65535 || v < least)
        return -EINVAL;
    *ret_port = (unsigned)v;
    return 0;
}

/* `text`: an address, perhaps in brackets; "": any (of the family of `like`, when that is given). */
static int read_address(char *text, unsigned port, const union address *like, union address *ret,
                        socklen_t *ret_length)
{
    size_t n = strlen(text);
    bool v6 = n > 1 && text[0] == '[' && text[n - 1] == ']';

    memset(ret, 0, sizeof(*ret));
    if (v6) {
        text[n - 1] = 0;
        text++;
    } else if (n == 0 && like && like->any.sa_family == AF_INET6) {
        v6 = true;
    }
    if (v6) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        *ret_length = sizeof(ret->v6);
        return !*text || inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1 ? 0 : -EINVAL;
    }
    ret->v4.sin_family = AF_INET;
    ret->v4.sin_port = htons((uint16_t)port);
    *ret_length = sizeof(ret->v4);
    return !*text || inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

static int parse_host(struct forward *f, const char **text, char *ret_address, size_t size, struct bp_error *err)
{
    char protocol[8], port[8];

    if (!strncmp(*text, "unix:", 5)) {
        char path[sizeof(f->host.local.sun_path)], *absolute;

        *text += 5;
        if (word(text, '-', path, sizeof(path)) < 0 || !*path)
            return wrong(err, f->rule, "the path is missing or too long");
        f->host.local.sun_family = AF_UNIX;
        absolute = bp_path_absolute(path); /* -daemonize changes the folder, and it is to go at the end */
        strcpy(f->host.local.sun_path, strlen(absolute) < sizeof(path) ? absolute : path);
        free(absolute);
        f->host_length = sizeof(f->host.local);
        return 0;
    }
    if (word(text, ':', protocol, sizeof(protocol)) < 0)
        return wrong(err, f->rule, "no colon");
    f->udp = !strcmp(protocol, "udp");
    if (!f->udp && *protocol && strcmp(protocol, "tcp") != 0)
        return wrong(err, f->rule, "the protocol is tcp or udp");
    if (word(text, ':', ret_address, size) < 0)
        return wrong(err, f->rule, "the host's address is wrong");
    if (word(text, '-', port, sizeof(port)) < 0 || read_port(port, 0, &f->port) < 0)
        return wrong(err, f->rule, "the host's port is a number up to 65535");
    if (read_address(ret_address, f->port, NULL, &f->host, &f->host_length) < 0)
        return wrong(err, f->rule, "the host's address is wrong");
    return 0;
}

static int parse(struct forward *f, struct bp_error *err)
{
    char address[64], port[8];
    const char *text = f->rule;
    unsigned guest_port;
    int r = parse_host(f, &text, address, sizeof(address), err);

    if (r < 0)
        return r;
    if (word(&text, ':', address, sizeof(address)) < 0)
        return wrong(err, f->rule, "the guest's address is wrong");
    if (word(&text, 0, port, sizeof(port)) < 0 || read_port(port, 1, &guest_port) < 0)
        return wrong(err, f->rule, "the guest's port is a number from 1 to 65535");
    if (read_address(address, guest_port, &f->host, &f->guest, &f->guest_length) < 0)
        return wrong(err, f->rule, "the guest's address is wrong");
    return 0;
}

/* ---- which port was it? ---- */

/* libslirp has the socket; where it stands in the list of connections tells its descriptor. */
static void note_port(struct user *s, struct forward *f)
{
    char *text = slirp_connection_info(s->slirp), *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *at = strstr(line, "[HOST_FORWARD]");
        union address bound;
        socklen_t length = sizeof(bound);
        unsigned port;
        bool known = false;

        if (!at || f->udp != !strncmp(line + strspn(line, " "), "UDP", 3) ||
            getsockname(atoi(at + 14), &bound.any, &length) < 0)
            continue;
        port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
        for (const struct forward *other = s->forwards; other; other = other->next)
            known |= other->udp == f->udp && other->port == port;
        if (!known)
            f->port = port;
    }
    free(text);
}

static int set_up(struct user *s, struct forward *f)
{
    const struct in_addr none = {0};

    /* Where no guest's address is named, the older call fills in the first that DHCP gives. */
    if (f->host.any.sa_family == AF_INET && f->guest.any.sa_family == AF_INET)
        return slirp_add_hostfwd(s->slirp, f->udp, f->host.v4.sin_addr, (int)f->port,
                                 f->guest.v4.sin_addr.s_addr == none.s_addr ? s->config.vdhcp_start
                                                                           : f->guest.v4.sin_addr,
                                 ntohs(f->guest.v4.sin_port));
    if (f->guest.any.sa_family == AF_INET && f->guest.v4.sin_addr.s_addr == none.s_addr)
        f->guest.v4.sin_addr = s->config.vdhcp_start;
    return slirp_add_hostxfwd(s->slirp, &f->host.any, f->host_length, &f->guest.any, f->guest_length,
                              (f->udp ? SLIRP_HOSTFWD_UDP : 0) |
                                  (f->host.any.sa_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0));
}

static int failed(const struct forward *f, int code, struct bp_error *err)
{
    char holder[160] = "";

    if (code == EADDRINUSE && f->host.any.sa_family != AF_UNIX)
        holder_name(f->udp, f->port, holder, sizeof(holder));
    if (*holder)
        return bp_fail(err, code, "Could not set up host forwarding rule '%s': port %u of this host is in use "
                       "by %s", f->rule, f->port, holder);
    return bp_fail(err, code, "Could not set up host forwarding rule '%s': %s", f->rule, strerror(code));
}

static void forward_free(struct forward *f)
{
    free(f->rule);
    free(f);
}

int forward_add(struct user *s, const char *rule, unsigned *ret_port, struct bp_error *err)
{
    struct forward *f = bp_alloc(sizeof(*f)), **link = &s->forwards;
    int r;

    f->rule = bp_strdup(rule);
    r = parse(f, err);
    if (r == 0) {
        errno = EIO;
        if (set_up(s, f) < 0)
            r = failed(f, errno ? errno : EIO, err);
    }
    if (r < 0) {
        forward_free(f);
        return r;
    }
    if (f->port == 0 && f->host.any.sa_family != AF_UNIX) {
        note_port(s, f);
        if (f->host.any.sa_family == AF_INET6)
            f->host.v6.sin6_port = htons((uint16_t)f->port);
        else
            f->host.v4.sin_port = htons((uint16_t)f->port);
        bp_info("netdev %s: hostfwd=%s: port %u of this host", user_net->netdev_id(s->nd), rule, f->port);
    }
    while (*link)
        link = &(*link)->next;
    *link = f;
    if (ret_port)
        *ret_port = f->port;
    loop_soon(s);
    return 0;
}

static bool same_host(const struct forward *a, const struct forward *b)
{
    if (a->udp != b->udp || a->host.any.sa_family != b->host.any.sa_family || a->port != b->port)
        return false;
    if (a->host.any.sa_family == AF_UNIX)
        return !strcmp(a->host.local.sun_path, b->host.local.sun_path);
    if (a->host.any.sa_family == AF_INET6)
        return !memcmp(&a->host.v6.sin6_addr, &b->host.v6.sin6_addr, sizeof(a->host.v6.sin6_addr));
    return a->host.v4.sin_addr.s_addr == b->host.v4.sin_addr.s_addr;
}

static void take_down(struct user *s, const struct forward *f)
{
    if (f->host.any.sa_family == AF_INET)
        slirp_remove_hostfwd(s->slirp, f->udp, f->host.v4.sin_addr, (int)f->port);
    else
        slirp_remove_hostxfwd(s->slirp, &f->host.any, f->host_length, f->udp ? SLIRP_HOSTFWD_UDP : 0);
    if (f->host.any.sa_family == AF_UNIX)
        unlink(f->host.local.sun_path);
}

int forward_remove(struct user *s, const char *rule, struct bp_error *err)
{
    struct forward *wanted = bp_alloc(sizeof(*wanted)), **link = &s->forwards;
    const char *text;
    char address[64];
    int r;

    wanted->rule = bp_strdup(rule);
    text = wanted->rule;
    /* The host's half is enough. */
    if (!strchr(rule, '-')) {
        free(wanted->rule);
        wanted->rule = bp_alloc(strlen(rule) + 2);
        sprintf(wanted->rule, "%s-", rule);
        text = wanted->rule;
    }
    r = parse_host(wanted, &text, address, sizeof(address), err);
    if (r == 0) {
        while (*link && !same_host(*link, wanted))
            link = &(*link)->next;
        if (*link) {
            struct forward *f = *link;

            take_down(s, f);
            *link = f->next;
            forward_free(f);
            loop_soon(s);
        } else {
            r = bp_fail(err, ENOENT, "host forwarding rule for %s not found", rule);
        }
    }
    forward_free(wanted);
    return r;
}

/* ---- telling ---- */

static struct bp_value *address_text(const union address *a)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (a->any.sa_family == AF_UNIX)
        return bp_value_string(a->local.sun_path);
    if (a->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof(text));
    return bp_value_string(text);
}

void forward_list(struct user *s, struct bp_value *list)
{
    for (const struct forward *f = s->forwards; f; f = f->next) {
        struct bp_value *entry = bp_value_dict();
        union address guest = f->guest;

        if (guest.any.sa_family == AF_INET && guest.v4.sin_addr.s_addr == 0)
            guest.v4.sin_addr = s->config.vdhcp_start;
        bp_value_set(entry, "netdev", bp_value_string(user_net->netdev_id(s->nd)));
        bp_value_set(entry, "rule", bp_value_string(f->rule));
        bp_value_set(entry, "protocol", bp_value_string(f->host.any.sa_family == AF_UNIX ? "unix"
                                                        : f->udp ? "udp" : "tcp"));
        bp_value_set(entry, "host", address_text(&f->host));
        bp_value_set(entry, "port", bp_value_int(f->port));
        bp_value_set(entry, "guest", address_text(&guest));
        bp_value_set(entry, "guest-port", bp_value_int(ntohs(guest.any.sa_family == AF_INET6
                                                                 ? guest.v6.sin6_port : guest.v4.sin_port)));
        bp_value_append(list, entry);
    }
}

void forward_free_all(struct user *s)
{
    for (struct forward *f = s->forwards, *next; f; f = next) {
        next = f->next;
        if (f->host.any.sa_family == AF_UNIX)
            unlink(f->host.local.sun_path);
        forward_free(f);
    }
    s->forwards = NULL;
}
