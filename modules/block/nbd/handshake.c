/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a socket to an export: the handshake, newstyle (fixed) and oldstyle. What the server sends is bounded. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nbd.h"

#define PATIENCE INT64_C(30000000000) /* ns that connecting and the handshake may take, all of it */
#define MOST_REPLIES 1024u

struct talk {
    struct nbd_wire wire;
    int64_t until; /* ns of BP_CLOCK_REALTIME */
};

static int ready(const struct talk *t, unsigned events)
{
    struct pollfd p = {t->wire.fd, (short)(events == BP_WATCH_IN ? POLLIN : POLLOUT), 0};
    int64_t left = t->until - bp_clock_ns(BP_CLOCK_REALTIME);
    int ret;

    if (left <= 0)
        return -ETIMEDOUT;
    if (block->may_wait()) {
        ret = bp_co_wait_fd(t->wire.fd, events, left);
        return ret < 0 ? ret : 0;
    }
    ret = poll(&p, 1, (int)(left / 1000000) + 1);
    return ret < 0 && errno != EINTR ? -errno : ret == 0 ? -ETIMEDOUT : 0;
}

static int transfer(const struct talk *t, void *buf, size_t bytes, bool out)
{
    for (size_t done = 0; done < bytes;) {
        struct iovec part = {(char *)buf + done, bytes - done};
        ssize_t n = out ? wire_writev(&t->wire, &part, 1) : wire_readv(&t->wire, &part, 1);
        int ret;

        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n == 0)
            return -ECONNRESET;
        if (n != -EAGAIN)
            return (int)n;
        ret = ready(t, out ? BP_WATCH_OUT : BP_WATCH_IN);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* ---- connecting ---- */

struct resolving {
    const struct nbd_place *place;
    struct addrinfo *list;
    int error;
};

static void resolve(void *opaque)
{
    struct resolving *r = opaque;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

    r->error = getaddrinfo(r->place->host, r->place->port, &hints, &r->list);
    if (r->error == EAI_NONAME || r->error == EAI_ADDRFAMILY) { /* only loopback is there */
        hints.ai_flags = 0;
        r->error = getaddrinfo(r->place->host, r->place->port, &hints, &r->list);
    }
}

static int connect_to(const struct sockaddr *address, socklen_t length, int64_t until)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0, one = 1, ret;
    socklen_t size = sizeof(error);
    struct talk t = {{.fd = fd}, until};

    if (fd < 0)
        return -errno;
    ret = connect(fd, address, length) < 0 ? -errno : 0;
    if (ret == -EINPROGRESS || ret == -EAGAIN) {
        ret = ready(&t, BP_WATCH_OUT);
        if (ret == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
            ret = -error;
    }
    if (ret < 0) {
        close(fd);
        return ret;
    }
    if (address->sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    return fd;
}

static int open_socket(const struct nbd_place *place, int64_t until, struct bp_error *err)
{
    struct resolving r = {place, NULL, 0};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd = -EHOSTUNREACH;

    if (place->path) {
        if (strlen(place->path) >= sizeof(local.sun_path))
            return bp_fail(err, ENAMETOOLONG, "nbd: the socket's name '%s' is too long", place->path);
        strcpy(local.sun_path, place->path);
        fd = connect_to((struct sockaddr *)&local, sizeof(local), until);
        return fd < 0 ? bp_fail(err, -fd, "nbd: '%s': %s", place->path, strerror(-fd)) : fd;
    }
    if (block->may_wait())
        bp_co_worker(resolve, &r);
    else
        resolve(&r);
    if (r.error)
        return bp_fail(err, EHOSTUNREACH, "nbd: host '%s': %s", place->host, gai_strerror(r.error));
    for (struct addrinfo *a = r.list; a && fd < 0 && fd != -ECANCELED; a = a->ai_next)
        fd = connect_to(a->ai_addr, a->ai_addrlen, until);
    freeaddrinfo(r.list);
    return fd < 0 ? bp_fail(err, -fd, "nbd: %s:%s: %s", place->host, place->port, strerror(-fd)) : fd;
}

/* ---- options ---- */

static int send_option(const struct talk *t, uint32_t option, const void *data, uint32_t length)
{
    uint8_t head[16];
    int ret;

    put64(head, NBD_OPTION);
    put32(head + 8, option);
    put32(head + 12, length);
    ret = transfer(t, head, sizeof(head), true);
    return ret == 0 && length ? transfer(t, (void *)(uintptr_t)data, length, true) : ret;
}

/* *ret_data malloc'd, with a zero behind it. */
static int read_reply(const struct talk *t, uint32_t option, uint32_t *ret_type, uint8_t **ret_data,
                      uint32_t *ret_length)
{
    uint8_t head[20], *data;
    uint32_t length;
    int ret = transfer(t, head, sizeof(head), false);

    if (ret < 0)
        return ret;
    length = get32(head + 16);
    if (get64(head) != NBD_OPTION_REPLY || get32(head + 8) != option || length > MAX_OPTION_REPLY)
        return -EPROTO;
    data = malloc((size_t)length + 1);
    if (!data)
        return -ENOMEM;
    data[length] = 0;
    ret = length ? transfer(t, data, length, false) : 0;
    if (ret < 0) {
        free(data);
        return ret;
    }
    *ret_type = get32(head + 12);
    *ret_data = data;
    *ret_length = length;
    return 0;
}

static int ask_structured(const struct talk *t, struct nbd_facts *facts)
{
    uint32_t type, length;
    uint8_t *data;
    int ret = send_option(t, OPT_STRUCTURED, NULL, 0);

    if (ret == 0)
        ret = read_reply(t, OPT_STRUCTURED, &type, &data, &length);
    if (ret < 0)
        return ret;
    free(data);
    facts->structured = type == REP_ACK;
    return type == REP_ACK || type & REP_ERROR ? 0 : -EPROTO;
}

static int ask_status(const struct talk *t, const char *export, struct nbd_facts *facts)
{
    static const char wanted[] = "base:allocation";
    uint32_t name = (uint32_t)strlen(export), size = 4 + name + 8 + sizeof(wanted) - 1, type = 0, length;
    uint8_t *data = malloc(size);
    int ret = data ? 0 : -ENOMEM;

    if (ret < 0)
        return ret;
    put32(data, name);
    memcpy(data + 4, export, name);
    put32(data + 4 + name, 1);
    put32(data + 8 + name, sizeof(wanted) - 1);
    memcpy(data + 12 + name, wanted, sizeof(wanted) - 1);
    ret = send_option(t, OPT_SET_META, data, size);
    free(data);
    for (unsigned i = 0; ret == 0 && i < MOST_REPLIES; i++) {
        ret = read_reply(t, OPT_SET_META, &type, &data, &length);
        if (ret < 0)
            return ret;
        if (type == REP_META && length == 4 + sizeof(wanted) - 1 && !memcmp(data + 4, wanted, sizeof(wanted) - 1)) {
            facts->has_status = true;
            facts->context = get32(data);
        }
        free(data);
        if (type != REP_META)
            return type == REP_ACK || type & REP_ERROR ? 0 : -EPROTO;
    }
    return ret < 0 ? ret : -EPROTO;
}

static int take_info(const uint8_t *data, uint32_t length, struct nbd_facts *facts)
{
    unsigned type = length >= 2 ? get16(data) : 0xffff;

    if (type == INFO_EXPORT) {
        if (length != 12)
            return -EPROTO;
        facts->size = get64(data + 2);
        facts->flags = get16(data + 10);
    } else if (type == INFO_BLOCK_SIZE) {
        if (length != 14)
            return -EPROTO;
        facts->least = get32(data + 2);
        facts->most = get32(data + 10);
        if (!facts->least || facts->least & (facts->least - 1) || facts->least > 65536 || facts->most < facts->least)
            return -EPROTO;
    }
    return 0;
}

/* 1: the server does not know the option. */
static int go(const struct talk *t, const char *export, struct nbd_facts *facts, struct bp_error *err)
{
    uint32_t name = (uint32_t)strlen(export), type, length;
    uint8_t *data = malloc(8 + name);
    bool told = false;
    int ret = data ? 0 : -ENOMEM;

    if (ret < 0)
        return ret;
    put32(data, name);
    memcpy(data + 4, export, name);
    put16(data + 4 + name, 1);
    put16(data + 6 + name, INFO_BLOCK_SIZE);
    ret = send_option(t, OPT_GO, data, 8 + name);
    free(data);
    for (unsigned i = 0; ret == 0 && i < MOST_REPLIES; i++) {
        ret = read_reply(t, OPT_GO, &type, &data, &length);
        if (ret < 0)
            return ret;
        if (type == REP_INFO) {
            ret = take_info(data, length, facts);
            told |= length >= 2 && get16(data) == INFO_EXPORT;
        } else if (type & REP_ERROR && type != REP_ERR_UNSUP) {
            ret = type == REP_ERR_UNKNOWN
                      ? bp_fail(err, ENOENT, "nbd: the server has no export '%s'%s%.200s", export, length ? ": " : "",
                                (char *)data)
                      : bp_fail(err, EACCES, "nbd: the server refuses export '%s'%s%.200s%s", export,
                                length ? ": " : "", (char *)data,
                                type == REP_ERR_TLS ? " (it wants TLS: tls-creds=ID)" : "");
        }
        free(data);
        if (ret < 0)
            return ret;
        if (type == REP_ERR_UNSUP)
            return 1;
        if (type == REP_ACK)
            return told ? 0 : -EPROTO;
        if (type != REP_INFO)
            return -EPROTO;
    }
    return ret < 0 ? ret : -EPROTO;
}

static int by_name(const struct talk *t, const char *export, bool zeroes, struct nbd_facts *facts)
{
    uint8_t tail[10], rest[124];
    int ret = send_option(t, OPT_EXPORT_NAME, export, (uint32_t)strlen(export));

    if (ret == 0)
        ret = transfer(t, tail, sizeof(tail), false);
    if (ret < 0)
        return ret;
    facts->size = get64(tail);
    facts->flags = get16(tail + 8);
    return zeroes ? transfer(t, rest, sizeof(rest), false) : 0;
}

static int wait_for(void *opaque, unsigned events)
{
    return ready(opaque, events);
}

/* Nothing that came in the clear counts afterwards: it was read to its last byte. */
static int secure(struct talk *t, const struct nbd_place *place, struct bp_error *err)
{
    uint32_t type, length;
    uint8_t *data;
    int ret = send_option(t, OPT_STARTTLS, NULL, 0);

    if (ret == 0)
        ret = read_reply(t, OPT_STARTTLS, &type, &data, &length);
    if (ret < 0)
        return ret;
    if (type != REP_ACK)
        ret = bp_fail(err, EACCES, "nbd: the server has no TLS%s%.200s", length ? ": " : "", (char *)data);
    free(data);
    return ret < 0 ? ret : wire_secure(&t->wire, place->creds, false, place->name ? place->name : place->host,
                                       wait_for, t, err);
}

static int newstyle(struct talk *t, const struct nbd_place *place, struct nbd_facts *facts, struct bp_error *err)
{
    const char *export = place->export;
    uint8_t flags[4];
    unsigned server;
    int ret = transfer(t, flags, 2, false);

    if (ret < 0)
        return ret;
    server = get16(flags);
    put32(flags, server & (FLAG_FIXED | FLAG_NO_ZEROES));
    ret = transfer(t, flags, 4, true);
    if (ret == 0 && place->creds)
        ret = server & FLAG_FIXED ? secure(t, place, err) : bp_fail(err, EACCES, "nbd: the server has no TLS");
    if (ret == 0 && server & FLAG_FIXED) {
        ret = ask_structured(t, facts);
        if (ret == 0 && facts->structured)
            ret = ask_status(t, export, facts);
        if (ret == 0)
            ret = go(t, export, facts, err);
        if (ret <= 0)
            return ret;
    }
    return ret < 0 ? ret : by_name(t, export, !(server & FLAG_NO_ZEROES), facts);
}

static int oldstyle(const struct talk *t, const struct nbd_place *place, struct nbd_facts *facts, struct bp_error *err)
{
    const char *export = place->export;
    uint8_t rest[136];
    int ret = transfer(t, rest, sizeof(rest), false);

    if (ret < 0)
        return ret;
    if (place->creds)
        return bp_fail(err, EACCES, "nbd: the server is of the old style, which has no TLS");
    if (*export)
        return bp_fail(err, ENOENT, "nbd: the server is of the old style, which has no names: there is no export '%s'",
                       export);
    facts->size = get64(rest);
    facts->flags = get16(rest + 10);
    return 0;
}

int nbd_connect(const struct nbd_place *place, struct nbd_wire *ret_wire, struct nbd_facts *facts,
                struct bp_error *err)
{
    struct bp_error why = {0};
    uint8_t head[16];
    struct talk talk = {.until = bp_clock_ns(BP_CLOCK_REALTIME) + PATIENCE}, *t = &talk;
    int fd = open_socket(place, talk.until, err), ret;

    if (fd < 0)
        return fd;
    t->wire.fd = fd;
    *facts = (struct nbd_facts){0};
    ret = transfer(t, head, sizeof(head), false);
    if (ret == 0 && get64(head) != NBD_MAGIC)
        ret = bp_fail(&why, EPROTO, "nbd: what answers is no NBD server");
    if (ret == 0)
        ret = get64(head + 8) == NBD_OPTION ? newstyle(t, place, facts, &why)
              : get64(head + 8) == NBD_OLD ? oldstyle(t, place, facts, &why) : -EPROTO;
    if (ret == 0 && facts->size > BP_BLOCK_MAX_LENGTH)
        ret = bp_fail(&why, EFBIG, "nbd: export '%s' is too long", place->export);
    if (ret == 0) {
        *ret_wire = t->wire;
        return 0;
    }
    wire_close(&t->wire);
    if (why.code) {
        if (err)
            *err = why;
        return ret;
    }
    return bp_fail(err, -ret, "nbd: the handshake failed: %s", strerror(-ret));
}
