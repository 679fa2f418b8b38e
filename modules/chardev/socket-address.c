/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of module `chardev-socket`: TCP names and ports, paths, abstract names, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/command.h>

#include "port.h"
#include "socket.h"

bool address_is_local(const struct socket_state *s)
{
    return s->path != NULL;
}

int address_check(struct socket_state *s, struct bp_error *err)
{
    int ways = (s->path != NULL) + (s->fd != NULL) + (s->host != NULL || s->port != NULL);

    if (ways > 1)
        return bp_fail(err, EINVAL, "chardev: socket: 'path', 'fd' and 'host' with 'port' exclude "
                       "each other");
    if (ways == 0)
        return bp_fail(err, EINVAL, "chardev: socket: no host or path given");
    if (s->path && (!*s->path || strlen(s->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)))
        return bp_fail(err, EINVAL,
                       "chardev: socket: path '%s' has %zu bytes, 1 to %zu are possible", s->path,
                       strlen(s->path), sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    if (!s->path && !s->fd && (!s->port || !*s->port))
        return bp_fail(err, EINVAL, "chardev: socket: no port given");
    if (s->port && port_check("socket", "port", s->port, err) < 0)
        return -EINVAL;
    if (s->ipv4 == OFF && s->ipv6 == OFF)
        return bp_fail(err, EINVAL, "chardev: socket: 'ipv4' and 'ipv6' cannot both be off");
    if (s->abstract && !s->path)
        return bp_fail(err, EINVAL, "chardev: socket: 'abstract' needs 'path'");
    if (!s->server && s->wait != AUTO)
        return bp_fail(err, EINVAL,
                       "'wait' option is incompatible with socket in client connect mode");
    if (s->server && (s->reconnect || s->reconnect_ms))
        return bp_fail(err, EINVAL,
                       "'reconnect' option is incompatible with socket in server listen "
                       "mode");
    if (s->reconnect && s->reconnect_ms)
        return bp_fail(err, EINVAL, "'reconnect' and 'reconnect-ms' are mutually exclusive");
    return 0;
}

static socklen_t fill_local(const struct socket_state *s, struct sockaddr_un *un)
{
    const char *path = s->absolute && strlen(s->absolute) < sizeof(un->sun_path) ? s->absolute : s->path;
    size_t n = strlen(path);

    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + (s->abstract ? 1 : 0), path,
           n < sizeof(un->sun_path) - 1 ? n : sizeof(un->sun_path) - 1);
    if (s->abstract && s->tight)
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    return sizeof(*un);
}

/* Has somebody bound the socket at this path? A connection of another type than theirs is refused
 * before they would notice it (unix(7): EPROTOTYPE), and one of datagrams is not noticed either. */
static bool is_served(const struct sockaddr_un *un, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool served = fd >= 0 && (connect(fd, (const struct sockaddr *)un, len) == 0 ||
                              (errno != ECONNREFUSED && errno != ENOENT));

    if (fd >= 0)
        close(fd);
    return served;
}

static void remember_bound(struct socket_state *s)
{
    struct stat st;

    s->bound = realpath(s->path, NULL); /* -daemonize changes the directory */
    if (s->bound && lstat(s->bound, &st) == 0) {
        s->bound_dev = st.st_dev;
        s->bound_ino = st.st_ino;
    }
}

void address_unbind(struct socket_state *s)
{
    struct stat st;

    if (s->bound && lstat(s->bound, &st) == 0 && st.st_dev == s->bound_dev &&
        st.st_ino == s->bound_ino)
        unlink(s->bound);
    free(s->bound);
    s->bound = NULL;
}

static int local_socket(struct socket_state *s, bool server, struct bp_error *err)
{
    struct sockaddr_un un;
    socklen_t len = fill_local(s, &un);
    struct stat st;
    int code, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return bp_fail(err, errno, "Failed to create Unix socket: %s", strerror(errno));
    if (server) {
        /* A socket left by an earlier process; never another kind of file. */
        if (!s->abstract && lstat(s->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
            if (is_served(&un, len)) {
                close(fd);
                return bp_fail(err, EADDRINUSE, "Failed to bind socket to %s: another process "
                               "listens there", s->path);
            }
            unlink(s->path);
        }
        if (bind(fd, (struct sockaddr *)&un, len) == 0) {
            if (!s->abstract)
                remember_bound(s);
            if (listen(fd, 1) == 0)
                return fd;
        }
        code = errno;
        close(fd);
        return bp_fail(err, code, "Failed to bind socket to %s: %s", s->path, strerror(code));
    }
    if (connect(fd, (struct sockaddr *)&un, len) == 0)
        return fd;
    code = errno;
    close(fd);
    return bp_fail(err, code, "Failed to connect to '%s': %s", s->path, strerror(code));
}

static int resolve(const struct socket_state *s, bool server, struct addrinfo **ret_list,
                   struct bp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    const char *host = s->host && *s->host ? s->host : NULL;
    int r;

    if (server)
        hints.ai_flags = AI_PASSIVE;
    if ((s->ipv4 == ON && s->ipv6 != ON) || s->ipv6 == OFF)
        hints.ai_family = AF_INET;
    else if ((s->ipv6 == ON && s->ipv4 != ON) || s->ipv4 == OFF)
        hints.ai_family = AF_INET6;
    r = getaddrinfo(host, s->port, &hints, ret_list);
    if (r != 0)
        return bp_fail(err, EINVAL, "address resolution failed for %s:%s: %s", host ? host : "",
                       s->port, gai_strerror(r));
    return 0;
}

static void set_port(struct sockaddr *sa, unsigned port)
{
    if (sa->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)sa)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)(void *)sa)->sin6_port = htons((uint16_t)port);
}

static unsigned get_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
}

static int listen_on(const struct socket_state *s, const struct addrinfo *ai)
{
    int one = 1, zero = 0, code, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, s->ipv4 == OFF ? &one : &zero, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 1) == 0)
        return fd;
    code = errno;
    close(fd);
    return -code;
}

static int inet_listen(const struct socket_state *s, struct bp_error *err)
{
    struct addrinfo *list, *ai;
    int r = resolve(s, true, &list, err), fd = -EADDRNOTAVAIL;
    unsigned port, last;

    if (r < 0)
        return r;
    port = get_port(list->ai_addr);
    last = s->to > port ? s->to : port;
    for (; fd < 0 && port <= last; port++)
        for (ai = list; fd < 0 && ai; ai = ai->ai_next) {
            if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
                continue;
            set_port(ai->ai_addr, port);
            fd = listen_on(s, ai);
        }
    freeaddrinfo(list);
    if (fd < 0)
        return bp_fail(err, -fd, "Failed to listen on %s:%s: %s", s->host ? s->host : "", s->port,
                       strerror(-fd));
    return fd;
}

static int inet_connect(const struct socket_state *s, bool wait, bool *ret_pending,
                        struct bp_error *err)
{
    struct addrinfo *list, *ai;
    int r = resolve(s, false, &list, err), fd = -1, code = EADDRNOTAVAIL;

    if (r < 0)
        return r;
    for (ai = list; fd < 0 && ai; ai = ai->ai_next) {
        fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
        if (fd < 0) {
            code = errno;
            continue;
        }
        if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
            break;
        code = errno;
        if (!wait && code == EINPROGRESS) {
            *ret_pending = true;
            break;
        }
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd < 0)
        return bp_fail(err, code, "Failed to connect to '%s:%s': %s", s->host ? s->host : "",
                       s->port, strerror(code));
    return fd;
}

/* A socket that was open when the process began, or that a QMP client passed. */
static int inherited(const struct socket_state *s, bool server, struct bp_error *err)
{
    bool named = *s->fd < '0' || *s->fd > '9'; /* getfd takes no name that begins with a digit */
    char *end;
    unsigned long n = strtoul(s->fd, &end, 10);
    int listening = 0, fd = named ? bp_fd_take(s->fd, err) : (int)n, r = 0;
    socklen_t len = sizeof(listening);

    if (named && fd < 0)
        return fd;
    if (!named && (*end || n > INT32_MAX))
        return bp_fail(err, EINVAL, "chardev: socket: 'fd' expects the number of a descriptor or a "
                       "name given with getfd, not '%s'", s->fd);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        r = bp_fail(err, errno, "chardev: socket: descriptor %s: %s", s->fd, strerror(errno));
    else if (server && !listening)
        r = bp_fail(err, EINVAL, "chardev: socket: descriptor %s does not listen", s->fd);
    if (r < 0) {
        if (named)
            close(fd);
        return r;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int address_listen(struct socket_state *s, struct bp_error *err)
{
    if (s->fd)
        return inherited(s, true, err);
    return s->path ? local_socket(s, true, err) : inet_listen(s, err);
}

int address_connect(struct socket_state *s, bool wait, bool *ret_pending, struct bp_error *err)
{
    *ret_pending = false;
    if (s->fd)
        return inherited(s, false, err);
    return s->path ? local_socket(s, false, err) : inet_connect(s, wait, ret_pending, err);
}

/* "HOST:PORT" of one end of a socket, or "". */
static void end_text(int fd, int (*name)(int, struct sockaddr *, socklen_t *), char *buf,
                     size_t size)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    buf[0] = 0;
    if (fd < 0 || name(fd, (struct sockaddr *)&ss, &len) < 0 ||
        (ss.ss_family != AF_INET && ss.ss_family != AF_INET6) ||
        getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(buf, size, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

char *address_text(const struct socket_state *s)
{
    char here[NI_MAXHOST + NI_MAXSERV], there[NI_MAXHOST + NI_MAXSERV], *text = NULL;
    const char *mode = s->server ? ",server=on" : "";
    int n;

    if (s->path) {
        n = asprintf(&text, "unix:%s%s%s", s->path, s->abstract ? ",abstract=on" : "", mode);
    } else if (s->fd) {
        n = asprintf(&text, "fd:%s%s", s->fd, mode);
    } else {
        end_text(s->conn_fd >= 0 ? s->conn_fd : s->listen_fd, getsockname, here, sizeof(here));
        end_text(s->conn_fd, getpeername, there, sizeof(there));
        if (!s->server)
            n = asprintf(&text, "%s:%s:%s", s->telnet ? "telnet" : "tcp", s->host ? s->host : "",
                         s->port);
        else
            n = asprintf(&text, "%s:%s%s%s%s", s->telnet ? "telnet" : "tcp", here, mode,
                         *there ? " <-> " : "", there);
    }
    return n < 0 ? NULL : text;
}
