/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -L: what an NBD server exports (doc/proto.md: NBD_OPT_LIST, NBD_OPT_INFO,
 * NBD_OPT_LIST_META_CONTEXT), as a client that chooses none of it. Blocking, but for the handshake
 * of TLS.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/host/tls.h>

#include "loop.h"
#include "module-options.h"
#include "nbd-tool.h"

#define MAX_REPLY 65536u
#define MAX_EXPORTS 65536u
#define PATIENCE 30000 /* ms that the server has for each step */
enum { LIST = 3, STARTTLS = 5, INFO = 6, STRUCTURED = 8, LIST_META = 9, ABORT = 2 };
enum { ACK = 1, SERVER = 2, IS_INFO = 3, META = 4 };
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };

struct link {
    int fd;
    const struct bp_tls_ops *ops;
    struct bp_tls_session *tls;
    uint8_t reply[MAX_REPLY + 1];
    uint32_t type, length; /* of the last reply */
};

struct export
{
    char *name, *description;
    uint64_t size;
    uint32_t flags, least, best, most; /* least 0: not said */
    char **contexts;
    unsigned context_count;
    bool known;
};

/* ---- the connection ---- */

int reach_socket(const char *path)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(local.sun_path))
        errno = ENAMETOOLONG;
    else
        strcpy(local.sun_path, path);
    if (fd >= 0 && *local.sun_path && connect(fd, (struct sockaddr *)&local, sizeof(local)) == 0)
        return fd;
    complain("'%s': %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int reach_host(const char *host, const char *port, bool listening, char *ret_address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = listening ? AI_PASSIVE : 0},
                    *list;
    int fd = -1, ret = getaddrinfo(host, port, &hints, &list);

    if (ret) {
        complain("%s: %s", host, gai_strerror(ret));
        return -1;
    }
    if (listening) {
        ret =
            getnameinfo(list->ai_addr, list->ai_addrlen, ret_address, 64, NULL, 0, NI_NUMERICHOST);
        freeaddrinfo(list);
        return ret == 0 ? 0 : (complain("%s: %s", host, gai_strerror(ret)), -1);
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            ret = errno;
            close(fd);
            errno = ret;
            fd = -1;
        }
    }
    if (fd < 0)
        complain("%s:%s: %s", host, port, strerror(errno));
    freeaddrinfo(list);
    return fd;
}

static bool wait_for(const struct link *l, short events)
{
    struct pollfd p = {l->fd, events, 0};

    return poll(&p, 1, PATIENCE) == 1;
}

static bool transfer(struct link *l, void *buf, size_t bytes, bool out)
{
    for (size_t done = 0; done < bytes;) {
        uint8_t *at = (uint8_t *)buf + done;
        ssize_t n;

        if (l->tls)
            n = out ? l->ops->write(l->tls, at, bytes - done)
                    : l->ops->read(l->tls, at, bytes - done);
        else
            n = out ? send(l->fd, at, bytes - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                    : recv(l->fd, at, bytes - done, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && l->tls && n != -EAGAIN) ||
            (n < 0 && !l->tls && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0 && !wait_for(l, out ? POLLOUT : POLLIN))
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* ---- options ---- */

static uint32_t number32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool ask(struct link *l, uint32_t option, const void *data, uint32_t length)
{
    struct __attribute__((packed)) {
        uint64_t magic;
        uint32_t option, length;
    } head = {htobe64(UINT64_C(0x49484156454f5054)), htobe32(option), htobe32(length)};

    return transfer(l, &head, sizeof(head), true) &&
           transfer(l, (void *)(uintptr_t)data, length, true);
}

/* The next answer to it; its data ends with a zero byte more. */
static bool next_reply(struct link *l, uint32_t option)
{
    uint8_t head[20];
    uint64_t magic;

    if (!transfer(l, head, sizeof(head), false))
        return false;
    magic = (uint64_t)number32(head) << 32 | number32(head + 4);
    l->type = number32(head + 12);
    l->length = number32(head + 16);
    if (magic != UINT64_C(0x0003e889045565a9) || number32(head + 8) != option ||
        l->length > MAX_REPLY)
        return false;
    l->reply[l->length] = '\0';
    return transfer(l, l->reply, l->length, false);
}

static bool is_error(const struct link *l)
{
    return l->type >> 31;
}

static int broken(void)
{
    return complain("the server ended the connection, or what it says is not NBD");
}

static int greet(struct link *l, const struct wish *w)
{
    uint8_t head[18];
    uint32_t flags = htobe32(1);

    if (!transfer(l, head, sizeof(head), false) || memcmp(head, "NBDMAGIC", 8) != 0)
        return broken();
    if (memcmp(head + 8, "IHAVEOPT", 8) != 0 || !(head[17] & 1))
        return complain("the server speaks an older protocol, which has no lists");
    if (!transfer(l, &flags, 4, true))
        return broken();
    if (w->tls_creds) {
        struct bp_object *creds = NULL;
        struct bp_error err = {0};
        const char *host = w->tls_hostname ? w->tls_hostname
                           : w->socket     ? NULL
                           : w->bind       ? w->bind
                                           : "localhost";
        struct bp_tls_session *tls = NULL;
        int ret;

        if (!ask(l, STARTTLS, NULL, 0) || !next_reply(l, STARTTLS))
            return broken();
        if (l->type != ACK)
            return complain("the server has no TLS");
        ret = bp_tls_find(w->tls_creds, false, &l->ops, &creds, &err);
        if (ret == 0)
            ret = l->ops->session_new(creds, false, host, l->fd, &tls, &err);
        if (ret < 0)
            return complain("%s", err.message);
        l->tls = tls;
        while ((ret = l->ops->handshake(tls, &err)) == -EAGAIN)
            if (!wait_for(l, l->ops->wants(tls) == BP_WATCH_OUT ? POLLOUT : POLLIN))
                return broken();
        if (ret < 0)
            return complain("%s", err.message);
    }
    return !ask(l, STRUCTURED, NULL, 0) || !next_reply(l, STRUCTURED) ? broken() : 0;
}

static int take_names(struct link *l, struct export **ret, unsigned *ret_count)
{
    struct export *list = NULL;
    unsigned count = 0;

    if (!ask(l, LIST, NULL, 0))
        return broken();
    for (;;) {
        uint32_t n;

        if (!next_reply(l, LIST))
            break;
        n = l->length >= 4 ? number32(l->reply) : UINT32_MAX;
        *ret = list;
        *ret_count = count;
        if (l->type == ACK)
            return 0;
        if (is_error(l))
            return complain("the server does not tell its exports%s%.200s", l->length ? ": " : "",
                            (const char *)l->reply);
        if (l->type != SERVER || n > l->length - 4 || count == MAX_EXPORTS)
            break;
        list = realloc(list, (count + 1) * sizeof(*list));
        if (!list)
            return complain("no memory");
        list[count] = (struct export){.name = strndup((const char *)l->reply + 4, n)};
        list[count].description = l->length > 4 + n ? strdup((const char *)l->reply + 4 + n) : NULL;
        count++;
    }
    *ret = list;
    *ret_count = count;
    return broken();
}

/* NBD_OPT_INFO and NBD_OPT_LIST_META_CONTEXT begin alike; then zeroes ask for nothing, or for
 * everything. */
static bool ask_of(struct link *l, uint32_t option, const struct export *e, uint32_t zeroes)
{
    uint32_t n = (uint32_t)strlen(e->name), length = 4 + n + zeroes;
    uint8_t *data = calloc(1, length);
    uint32_t big = htobe32(n);
    bool ok;

    if (!data)
        return false;
    memcpy(data, &big, 4);
    memcpy(data + 4, e->name, n);
    ok = ask(l, option, data, length);
    free(data);
    return ok;
}

static int take_facts(struct link *l, struct export *e)
{
    static const uint32_t most_contexts = 1024;

    if (!ask_of(l, INFO, e, 2))
        return broken();
    do {
        if (!next_reply(l, INFO))
            return broken();
        if (l->type == IS_INFO && l->length == 12 && l->reply[1] == INFO_EXPORT &&
            l->reply[0] == 0) {
            e->known = true;
            e->size = (uint64_t)number32(l->reply + 2) << 32 | number32(l->reply + 6);
            e->flags = (uint32_t)l->reply[10] << 8 | l->reply[11];
        } else if (l->type == IS_INFO && l->length == 14 && l->reply[1] == INFO_BLOCK_SIZE &&
                   l->reply[0] == 0) {
            e->least = number32(l->reply + 2);
            e->best = number32(l->reply + 6);
            e->most = number32(l->reply + 10);
        }
    } while (l->type == IS_INFO);
    if (!ask_of(l, LIST_META, e, 4))
        return broken();
    do {
        if (!next_reply(l, LIST_META))
            return broken();
        if (l->type != META || l->length < 4 || e->context_count == most_contexts)
            continue;
        e->contexts = realloc(e->contexts, (e->context_count + 1) * sizeof(*e->contexts));
        if (!e->contexts)
            return complain("no memory");
        e->contexts[e->context_count++] = strdup((const char *)l->reply + 4);
    } while (l->type == META);
    return 0;
}

static void print_export(const struct export *e)
{
    static const char *const names[] = {NULL,         "readonly", "flush",  "fua",
                                        "rotational", "trim",     "zeroes", "df",
                                        "multi",      "resize",   "cache",  "fast-zero"};

    printf(" export: '%s'\n", e->name);
    if (e->description)
        printf("  description: %s\n", e->description);
    if (e->known) {
        printf("  size:  %" PRIu64 "\n  flags: 0x%x (", e->size, e->flags);
        for (unsigned i = 1; i < BP_COUNT(names); i++)
            if (e->flags >> i & 1)
                printf(" %s", names[i]);
        printf(" )\n");
    }
    if (e->least)
        printf("  min block: %u\n  opt block: %u\n  max block: %u\n", e->least, e->best, e->most);
    if (e->context_count) {
        printf("  available meta contexts: %u\n", e->context_count);
        for (unsigned i = 0; i < e->context_count; i++)
            printf("   %s\n", e->contexts[i]);
    }
}

static int tell(struct link *l, const struct wish *w)
{
    struct export *list = NULL;
    unsigned count = 0;
    int ret = greet(l, w);

    if (ret == 0)
        ret = take_names(l, &list, &count);
    for (unsigned i = 0; ret == 0 && i < count; i++)
        ret = take_facts(l, &list[i]);
    if (ret == 0) {
        ask(l, ABORT, NULL, 0);
        printf("exports available: %u\n", count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (ret == 0)
            print_export(&list[i]);
        for (unsigned k = 0; k < list[i].context_count; k++)
            free(list[i].contexts[k]);
        free(list[i].contexts);
        free(list[i].name);
        free(list[i].description);
    }
    free(list);
    if (ret == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        ret = complain("standard output: %s", strerror(errno));
    return ret;
}

int list_exports(const struct wish *w)
{
    struct link *l = calloc(1, sizeof(*l));
    int ret = l ? 0 : complain("no memory");

    bpc_loop_init();
    if (module_options_register() < 0)
        ret = 1;
    for (unsigned i = 0; ret == 0 && i < w->object_count; i++)
        ret = make_object(w->objects[i]);
    if (ret == 0) {
        l->fd = w->socket ? reach_socket(w->socket)
                          : reach_host(w->bind ? w->bind : "localhost", w->port ? w->port : "10809",
                                       false, NULL);
        ret = l->fd < 0 ? 1 : tell(l, w);
        if (l->tls) {
            l->ops->bye(l->tls);
            l->ops->session_free(l->tls);
        }
        if (l->fd >= 0)
            close(l->fd);
    }
    free(l);
    return ret;
}
