/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of sockets (address.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/command.h>

#include "address.h"

#define STRUCT_OF(ident, NAME, ...) \
    static const struct bp_field ident##_members[] = {__VA_ARGS__, BP_FIELDS_END}; \
    static const struct bp_schema ident = {NAME, BP_KIND_STRUCT, .members = ident##_members}
STRUCT_OF(inet, "InetSocketAddress", BP_ARG_OPT("host", STRING, "name or address"),
          BP_ARG_OPT("port", STRING, "port or service name"),
          BP_ARG_OPT("to", UINT16, "last port to try when listening"),
          BP_ARG_OPT("numeric", BOOL, "host and port are numbers: nothing is looked up"),
          BP_ARG_OPT("keep-alive", BOOL, "SO_KEEPALIVE on a connection that is made"),
          BP_ARG_OPT("mptcp", BOOL, "multipath TCP"), BP_ARG_OPT("ipv4", BOOL, "use IPv4"),
          BP_ARG_OPT("ipv6", BOOL, "use IPv6"));
STRUCT_OF(local, "UnixSocketAddress", BP_ARG("path", STRING, "path in the file system"),
          BP_ARG_OPT("abstract", BOOL, "in the abstract name space"),
          BP_ARG_OPT("tight", BOOL, "abstract names: only the bytes of the name"));
STRUCT_OF(handle, "FdSocketAddress", BP_ARG("str", STRING, "number of a descriptor, or its name (getfd)"));
static const char *const kinds[] = {"inet", "unix", "fd", NULL};
static const struct bp_schema kind = {"SocketAddressType", BP_KIND_ENUM, .choices = kinds};
static const struct bp_field members[] = {BP_ARG_TYPED("type", ENUM, &kind, 0, "kind of address"), BP_FIELDS_END};
static const struct bp_variant variants[] = {{"inet", &inet}, {"unix", &local}, {"fd", &handle}, {NULL, NULL}};
const struct bp_schema place_schema = {"SocketAddress", BP_KIND_UNION, .members = members, .discriminator = "type",
                                       .variants = variants};

static bool flag(struct bp_value *dict, const char *key, bool otherwise)
{
    struct bp_value *v = bp_value_get(dict, key);
    const char *text = v ? bp_value_as_string(v) : NULL;

    if (text)
        return !strcmp(text, "on") || !strcmp(text, "yes") || !strcmp(text, "true");
    return v ? bp_value_as_bool(v) : otherwise;
}

static int bad(struct bp_error *err, const char *netdev, const char *key, const char *what)
{
    return bp_fail(err, EINVAL, "netdev: %s: %s: %s", netdev, key, what);
}

/* ---- inet ---- */

static int look_up(const char *netdev, const char *key, const char *host, const char *port, unsigned flags, int family,
                   bool numeric, struct place *ret, struct bp_error *err)
{
    struct addrinfo hints = {.ai_family = family,
                             .ai_socktype = flags & PLACE_DATAGRAM ? SOCK_DGRAM : SOCK_STREAM,
                             .ai_flags = (flags & PLACE_LISTENS ? AI_PASSIVE : 0) |
                                         (numeric ? AI_NUMERICHOST | AI_NUMERICSERV : 0)};
    struct addrinfo *list;
    unsigned long number;
    char *end;
    int r;

    number = strtoul(port, &end, 10);
    if (*port && !*end && number > 65535)
        return bad(err, netdev, key, "a port is a number up to 65535");
    r = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
    if (r != 0)
        return bp_fail(err, EINVAL, "netdev: %s: %s: address resolution failed for %s:%s: %s", netdev, key,
                       host ? host : "", port, gai_strerror(r));
    memcpy(&ret->address, list->ai_addr, list->ai_addrlen);
    ret->length = list->ai_addrlen;
    ret->family = list->ai_family;
    ret->others = 0;
    for (const struct addrinfo *ai = list->ai_next; ai && ret->others < PLACE_OTHERS; ai = ai->ai_next) {
        memcpy(&ret->other[ret->others].address, ai->ai_addr, ai->ai_addrlen);
        ret->other[ret->others].length = ai->ai_addrlen;
        ret->other[ret->others++].family = ai->ai_family;
    }
    freeaddrinfo(list);
    return 0;
}

void place_swap(struct place *place, unsigned n)
{
    union address address = place->address;
    socklen_t length = place->length;
    int family = place->family;

    place->address = place->other[n].address;
    place->length = place->other[n].length;
    place->family = place->other[n].family;
    place->other[n].address = address;
    place->other[n].length = length;
    place->other[n].family = family;
}

static int read_inet(const char *netdev, const char *key, struct bp_value *dict, unsigned flags, struct place *ret,
                     struct bp_error *err)
{
    bool has4 = bp_value_has(dict, "ipv4"), has6 = bp_value_has(dict, "ipv6");
    bool v4 = flag(dict, "ipv4", !(has6 && flag(dict, "ipv6", false)));
    bool v6 = flag(dict, "ipv6", !(has4 && flag(dict, "ipv4", false)));
    struct bp_value *port = bp_value_get(dict, "port");
    char number[24] = "";
    int r;

    if (!v4 && !v6)
        return bad(err, netdev, key, "'ipv4' and 'ipv6' cannot both be off");
    if (!port)
        return bad(err, netdev, key, "'port' is missing");
    if (!bp_value_as_string(port))
        snprintf(number, sizeof(number), "%lld", (long long)bp_value_as_int(port));
    ret->keep_alive = flag(dict, "keep-alive", false);
    ret->mptcp = flag(dict, "mptcp", false);
    if (ret->keep_alive && (flags & PLACE_LISTENS))
        return bad(err, netdev, key, "'keep-alive' is for a connection that is made, not for server=on");
    r = look_up(netdev, key, bp_value_get_string(dict, "host"), *number ? number : bp_value_as_string(port), flags,
                v4 && v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6, flag(dict, "numeric", false), ret, err);
    if (r == 0 && bp_value_has(dict, "to")) {
        struct bp_value *to = bp_value_get(dict, "to");

        ret->last_port = bp_value_as_string(to) ? (unsigned)strtoul(bp_value_as_string(to), NULL, 10)
                                                : (unsigned)bp_value_as_int(to);
        if (ret->last_port < ntohs(ret->address.v4.sin_port) || ret->last_port > 65535)
            return bad(err, netdev, key, "'to' is the last port to try: from 'port' up to 65535");
    }
    return r;
}

/* ---- unix ---- */

static int read_unix(const char *netdev, const char *key, struct bp_value *dict, struct place *ret,
                     struct bp_error *err)
{
    struct sockaddr_un *un = &ret->address.local;
    const char *path = bp_value_get_string(dict, "path");
    bool abstract = flag(dict, "abstract", false);
    size_t n = path ? strlen(path) : 0;
    char *absolute;

    if (!path || (!*path && !abstract))
        return bad(err, netdev, key, "'path' is missing");
    if (n + 1 > sizeof(un->sun_path))
        return bp_fail(err, EINVAL, "netdev: %s: %s: the path '%s' is longer than %zu bytes", netdev, key, path,
                       sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    absolute = abstract ? NULL : bp_path_absolute(path);
    if (absolute && strlen(absolute) < sizeof(un->sun_path)) { /* else it will do as long as the folder stays */
        path = absolute;
        n = strlen(path);
    }
    memcpy(un->sun_path + abstract, path, n);
    free(absolute);
    ret->length = sizeof(*un);
    if (abstract && flag(dict, "tight", true))
        ret->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    ret->family = AF_UNIX;
    return 0;
}

int place_fd(const char *netdev, const char *key, const char *text, int *ret_fd, struct bp_error *err)
{
    char *end;
    long fd = strtol(text, &end, 10);

    if (*text && !*end) {
        if (fd < 0 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
            return bp_fail(err, EBADF, "netdev: %s: %s=%s: there is no such descriptor", netdev, key, text);
        *ret_fd = (int)fd;
        return 0;
    }
    fd = bp_fd_take(text, err);
    if (fd < 0) {
        bp_error_prefix(err, "netdev: %s: %s", netdev, key);
        return (int)fd;
    }
    *ret_fd = (int)fd;
    return 0;
}

int place_read(const char *netdev, const char *key, struct bp_value *dict, unsigned flags, struct place *ret,
               struct bp_error *err)
{
    struct bp_value *member = bp_value_get(dict, "type");
    const char *type = bp_value_as_string(member);
    struct place place = {.fd = -1};
    int r;

    if (!type)
        r = bad(err, netdev, key, "'type' is missing: inet, unix or fd");
    else if (!strcmp(type, "inet"))
        r = read_inet(netdev, key, dict, flags, &place, err);
    else if (!strcmp(type, "unix"))
        r = read_unix(netdev, key, dict, &place, err);
    else if (!strcmp(type, "fd")) {
        place.family = -1;
        r = bp_value_get_string(dict, "str")
                ? place_fd(netdev, key, bp_value_get_string(dict, "str"), &place.fd, err)
                : bad(err, netdev, key, "'str' is missing: the descriptor");
    } else {
        r = bad(err, netdev, key, "'type' is inet, unix or fd");
    }
    if (r == 0)
        *ret = place;
    return r;
}

int place_parse(const char *netdev, const char *key, const char *text, unsigned flags, struct place *ret,
                struct bp_error *err)
{
    const char *colon = strrchr(text, ':');
    struct place place = {.fd = -1};
    char host[256];
    size_t n = colon ? (size_t)(colon - text) : 0;
    const char *from = text;
    int r;

    if (!colon || !colon[1] || n >= sizeof(host))
        return bp_fail(err, EINVAL, "netdev: %s: %s=%s is not HOST:PORT", netdev, key, text);
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    memcpy(host, from, n);
    host[n] = 0;
    r = look_up(netdev, key, host, colon + 1, flags, strchr(host, ':') ? AF_UNSPEC : AF_INET, false, &place, err);
    if (r == 0)
        *ret = place;
    return r;
}

bool place_multicast(const struct place *place)
{
    if (place->family == AF_INET)
        return IN_MULTICAST(ntohl(place->address.v4.sin_addr.s_addr));
    return place->family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&place->address.v6.sin6_addr);
}

/* ---- paths ---- */

static const char *path_of(const struct place *place)
{
    return place->family == AF_UNIX && place->address.local.sun_path[0] ? place->address.local.sun_path : NULL;
}

/* A datagram socket is not heard by whoever serves the path, and a server of connections would take another one for a
 * client: it is told EPROTOTYPE (unix(7)). */
int place_make_way(const struct place *place, struct bp_error *err)
{
    const char *path = path_of(place);
    struct stat st;
    int fd, why;

    if (!path || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return bp_fail(err, errno, "a socket: %s", strerror(errno));
    why = connect(fd, &place->address.any, place->length) < 0 ? errno : 0;
    close(fd);
    if (why == ECONNREFUSED)
        return unlink(path) < 0 && errno != ENOENT ? bp_fail(err, errno, "%s: %s", path, strerror(errno)) : 0;
    return why == ENOENT ? 0 : bp_fail(err, EADDRINUSE, "%s: another process serves this socket", path);
}

void place_bound(struct place *place)
{
    struct stat st;

    place->bound = path_of(place) && lstat(path_of(place), &st) == 0;
    if (place->bound) {
        place->dev = st.st_dev;
        place->ino = st.st_ino;
    }
}

void place_unbind(struct place *place)
{
    struct stat st;

    if (place->bound && lstat(path_of(place), &st) == 0 && st.st_dev == place->dev && st.st_ino == place->ino)
        unlink(path_of(place));
    place->bound = false;
}

char *place_text(const struct place *place)
{
    char host[INET6_ADDRSTRLEN] = "", *text = NULL;
    int r = -1;

    if (place->family == AF_UNIX)
        r = asprintf(&text, "unix:%s%s", place->address.local.sun_path[0] ? "" : "@",
                     place->address.local.sun_path[0] ? place->address.local.sun_path
                                                      : place->address.local.sun_path + 1);
    else if (place->family == AF_INET6 && inet_ntop(AF_INET6, &place->address.v6.sin6_addr, host, sizeof(host)))
        r = asprintf(&text, "[%s]:%u", host, ntohs(place->address.v6.sin6_port));
    else if (place->family == AF_INET && inet_ntop(AF_INET, &place->address.v4.sin_addr, host, sizeof(host)))
        r = asprintf(&text, "%s:%u", host, ntohs(place->address.v4.sin_port));
    else
        r = asprintf(&text, "fd:%d", place->fd);
    return r < 0 ? NULL : text;
}
