/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the NBD server says to one client: handshake, then requests, several at a time. [co] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bp/log.h>

#include "server.h"

#define BUFFER_ALIGN 4096u

static int wait_for(void *opaque, unsigned events)
{
    const struct client *c = opaque;
    int64_t left = c->until ? c->until - bp_clock_ns(BP_CLOCK_REALTIME) : -1;
    int ret = c->until && left <= 0 ? -ETIMEDOUT : bp_co_wait_fd(c->wire.fd, events, left);

    return ret < 0 ? ret : 0;
}

static int wire(const struct client *c, void *buf, size_t bytes, bool out)
{
    for (size_t done = 0; done < bytes;) {
        struct iovec part = {(char *)buf + done, bytes - done};
        ssize_t n = out ? wire_writev(&c->wire, &part, 1) : wire_readv(&c->wire, &part, 1);
        int ret;

        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n == 0)
            return -ECONNRESET;
        if (n != -EAGAIN)
            return (int)n;
        ret = wait_for((void *)(uintptr_t)c, out ? BP_WATCH_OUT : BP_WATCH_IN);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int wire_read(const struct client *c, void *buf, size_t bytes)
{
    return wire(c, buf, bytes, false);
}

int client_write(const struct client *c, const void *buf, size_t bytes)
{
    return wire(c, (void *)(uintptr_t)buf, bytes, true);
}

int client_wait(const struct client *c, unsigned events)
{
    return wait_for((void *)(uintptr_t)c, events);
}

int client_write_ahead(const struct client *c, const void *buf, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = wire_write_ahead(&c->wire, (const char *)buf + done, bytes - done);
        int ret = n == -EAGAIN ? client_wait(c, BP_WATCH_OUT) : n < 0 ? (int)n : 0;

        if (ret < 0)
            return ret;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* One after the other, as far as it can be in one go. */
static int client_write_both(const struct client *c, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t n = wire_writev(&c->wire, parts, count);

        if (n == -EAGAIN) {
            int ret = wait_for((void *)(uintptr_t)c, BP_WATCH_OUT);

            if (ret < 0)
                return ret;
            continue;
        }
        if (n <= 0)
            return n < 0 ? (int)n : -ECONNRESET;
        for (; count > 0 && (size_t)n >= parts->iov_len; count--)
            n -= (ssize_t)(parts++)->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

/* ---- options ---- */

int client_answer(struct client *c, uint32_t option, uint32_t type, const void *data, uint32_t length)
{
    uint8_t head[20];
    int ret;

    put64(head, NBD_OPTION_REPLY);
    put32(head + 8, option);
    put32(head + 12, type);
    put32(head + 16, length);
    ret = client_write(c, head, sizeof(head));
    return ret == 0 && length ? client_write(c, data, length) : ret;
}

int client_refuse(struct client *c, uint32_t option, uint32_t type, const char *text)
{
    return client_answer(c, option, type, text, (uint32_t)strlen(text));
}

static uint16_t flags_of(const struct export *e)
{
    return (uint16_t)(HAS_FLAGS | HAS_FLUSH | HAS_DF | (nbd_one_client() ? 0 : HAS_MULTI) |
                      (e->writable ? HAS_FUA | HAS_TRIM | HAS_ZEROES : HAS_READ_ONLY));
}

static int list(struct client *c)
{
    int ret = 0;

    for (struct export *e = nbd_exports, *next; e; e = next) {
        uint32_t name = (uint32_t)strlen(e->name), more = e->description ? (uint32_t)strlen(e->description) : 0;
        uint8_t *data = malloc(4 + name + more);

        if (!data)
            return -ENOMEM;
        put32(data, name);
        memcpy(data + 4, e->name, name);
        if (more)
            memcpy(data + 4 + name, e->description, more);
        e->refs++; /* the client may take its time */
        ret = client_answer(c, OPT_LIST, REP_SERVER, data, 4 + name + more);
        free(data);
        next = e->removed ? NULL : e->next; /* the list was another one then: the client asks again */
        export_unref(e);
        if (ret < 0)
            return ret;
    }
    return ret == 0 ? client_answer(c, OPT_LIST, REP_ACK, NULL, 0) : ret;
}

char *option_name(const uint8_t *data, uint32_t length, uint32_t *ret_at)
{
    uint32_t n = length >= 4 ? get32(data) : UINT32_MAX;
    char *name;

    if (length < 4 || n > length - 4 || n > 4096)
        return NULL;
    name = bp_alloc((size_t)n + 1);
    memcpy(name, data + 4, n);
    name[n] = '\0';
    *ret_at = 4 + n;
    return name;
}

static void choose(struct client *c, struct export *e)
{
    c->export = e;
    if (c->contexts_of != e)
        c->contexts = 0;
    e->refs++;
    e->clients++;
}

/* 1: chosen. */
static int tell_of(struct client *c, uint32_t option, struct export *e)
{
    uint8_t info[14];
    int ret;

    put16(info, INFO_EXPORT);
    put64(info + 2, (uint64_t)block->length(e->blk));
    put16(info + 10, flags_of(e));
    ret = client_answer(c, option, REP_INFO, info, 12);
    put16(info, INFO_BLOCK_SIZE);
    put32(info + 2, 1);
    put32(info + 6, 4096);
    put32(info + 10, MAX_NBD_REQUEST);
    if (ret == 0)
        ret = client_answer(c, option, REP_INFO, info, 14);
    if (ret == 0)
        ret = client_answer(c, option, REP_ACK, NULL, 0);
    if (ret < 0 || option == OPT_INFO)
        return ret;
    if (e->removed)
        return -ENOENT;
    choose(c, e);
    return 1;
}

static int go_to(struct client *c, uint32_t option, const uint8_t *data, uint32_t length)
{
    uint32_t at;
    char *name = option_name(data, length, &at);
    struct export *e = name ? export_find(name) : NULL;
    int ret;

    free(name);
    if (!name || length - at < 2 || (length - at - 2) / 2 < get16(data + at))
        return client_refuse(c, option, REP_ERR_INVALID, "the option is not well-formed");
    if (!e)
        return client_refuse(c, option, REP_ERR_UNKNOWN, "there is no export of that name");
    e->refs++; /* it may be removed while the client takes its time */
    ret = tell_of(c, option, e);
    export_unref(e);
    return ret;
}

static int by_name(struct client *c, const uint8_t *data, uint32_t length)
{
    char *name = bp_alloc((size_t)length + 1);
    uint8_t tail[134] = {0};
    struct export *e;
    int ret;

    memcpy(name, data, length);
    name[length] = '\0';
    e = export_find(name);
    free(name);
    if (!e)
        return -ENOENT;
    put64(tail, (uint64_t)block->length(e->blk));
    put16(tail + 8, flags_of(e));
    choose(c, e);
    ret = client_write(c, tail, c->no_zeroes ? 10 : sizeof(tail));
    return ret < 0 ? ret : 1;
}

/* What was said in the clear is forgotten. */
static int start_tls(struct client *c, uint32_t length)
{
    struct bp_error err = {0};
    int ret;

    if (length)
        return client_refuse(c, OPT_STARTTLS, REP_ERR_INVALID, "it takes no data");
    if (c->wire.tls)
        return client_refuse(c, OPT_STARTTLS, REP_ERR_INVALID, "TLS is there already");
    if (!nbd_tls_creds)
        return client_refuse(c, OPT_STARTTLS, REP_ERR_POLICY, "this server has no TLS");
    ret = client_answer(c, OPT_STARTTLS, REP_ACK, NULL, 0);
    if (ret < 0)
        return ret;
    c->structured = false;
    c->contexts = 0;
    if (nbd_tls_creds) /* it may have ended meanwhile */
        ret = wire_secure(&c->wire, nbd_tls_creds, true, NULL, wait_for, c, &err);
    if (ret == 0 && nbd_tls_authz)
        ret = bp_authz_check(nbd_tls_authz, c->wire.ops->peer_name(c->wire.tls), &err);
    if (ret < 0)
        bp_warn("nbd: a client is sent away: %s", err.message);
    return ret;
}

static int one_option(struct client *c, uint32_t option, const uint8_t *data, uint32_t length)
{
    if (nbd_tls_creds && !c->wire.tls && option != OPT_STARTTLS && option != OPT_ABORT)
        return option == OPT_EXPORT_NAME ? -EACCES : client_refuse(c, option, REP_ERR_TLS, "TLS comes first");
    switch (option) {
    case OPT_EXPORT_NAME: return by_name(c, data, length);
    case OPT_ABORT: client_answer(c, option, REP_ACK, NULL, 0); return -ECONNRESET;
    case OPT_LIST: return length ? client_refuse(c, option, REP_ERR_INVALID, "it takes no data") : list(c);
    case OPT_INFO:
    case OPT_GO: return go_to(c, option, data, length);
    case OPT_STRUCTURED:
        if (length)
            return client_refuse(c, option, REP_ERR_INVALID, "it takes no data");
        c->structured = true;
        return client_answer(c, option, REP_ACK, NULL, 0);
    case OPT_LIST_META:
    case OPT_SET_META: return serve_meta(c, option, data, length);
    case OPT_STARTTLS: return start_tls(c, length);
    default: return client_refuse(c, option, REP_ERR_UNSUP, "the option is not known");
    }
}

int serve_handshake(struct client *c)
{
    uint8_t head[18], *data;
    int ret;

    put64(head, NBD_MAGIC);
    put64(head + 8, NBD_OPTION);
    put16(head + 16, FLAG_FIXED | FLAG_NO_ZEROES);
    ret = client_write(c, head, 18);
    if (ret == 0)
        ret = wire_read(c, head, 4);
    if (ret < 0 || get32(head) & ~(uint32_t)(FLAG_FIXED | FLAG_NO_ZEROES))
        return 0;
    c->no_zeroes = get32(head) & FLAG_NO_ZEROES;
    for (ret = 0; ret == 0;) {
        uint32_t length;

        ret = wire_read(c, head, 16);
        length = get32(head + 12);
        if (ret < 0 || get64(head) != NBD_OPTION || length > MAX_OPTION)
            return 0;
        data = malloc((size_t)length + 1);
        ret = !data ? -ENOMEM : length ? wire_read(c, data, length) : 0;
        if (ret == 0)
            ret = one_option(c, get32(head + 8), data, length);
        free(data);
        if (ret == 0)
            ret = bp_co_sleep(BP_CLOCK_REALTIME, 0); /* others have their turn, however fast it asks */
    }
    return ret == 1;
}

/* ---- requests ---- */

/* ---- buffers ---- */

static uint64_t all_kept; /* bytes of all clients' */

void client_free_buffers(struct client *c)
{
    while (c->kept_count)
        free(c->kept[--c->kept_count]);
    all_kept -= c->kept_bytes;
    c->kept_bytes = 0;
}

/* The one that was used last, if it is large enough. Aligned for files that are read past the host's cache. */
static bool buffer_get(struct client *c, struct work *w)
{
    void *p;

    if (c->kept_count && c->kept_room[c->kept_count - 1] >= w->bytes) {
        w->buf = c->kept[--c->kept_count];
        w->room = c->kept_room[c->kept_count];
        c->kept_bytes -= w->room;
        all_kept -= w->room;
        return true;
    }
    w->room = w->bytes ? (w->bytes + BUFFER_ALIGN - 1) & ~(BUFFER_ALIGN - 1) : BUFFER_ALIGN;
    if (posix_memalign(&p, BUFFER_ALIGN, w->room) != 0)
        return false;
    w->buf = p;
    return true;
}

static void buffer_put(struct client *c, struct work *w)
{
    if (w->buf && c->kept_count < MAX_BUSY && w->room <= KEPT_BYTES - c->kept_bytes &&
        w->room <= ALL_KEPT_BYTES - all_kept) {
        c->kept[c->kept_count] = w->buf;
        c->kept_room[c->kept_count++] = w->room;
        c->kept_bytes += w->room;
        all_kept += w->room;
    } else {
        free(w->buf);
    }
    w->buf = NULL;
}

static uint32_t error_of(int ret)
{
    switch (-ret) {
    case 0: return 0;
    case EPERM: case EACCES: case EROFS: return 1;
    case ENOMEM: return 12;
    case EINVAL: return 22;
    case ENOSPC: case EDQUOT: case EFBIG: return 28;
    case ENOTSUP: return 95;
    default: return 5;
    }
}

void chunk_head(uint8_t *head, const struct work *w, bool last, unsigned type, uint32_t length)
{
    put32(head, NBD_STRUCTURED);
    put16(head + 4, last ? CHUNK_DONE : 0);
    put16(head + 6, type);
    put64(head + 8, w->cookie);
    put32(head + 16, length);
}

/* The chunk that ends the answer to a read: the rest of it, or why that is not to be had. Returns its size. */
static size_t last_chunk(uint8_t *head, const struct work *w, int ret)
{
    uint32_t left = w->bytes - w->done;

    if (ret == 0) {
        chunk_head(head, w, true, left ? CHUNK_DATA : CHUNK_NONE, left ? 8 + left : 0);
        put64(head + 20, w->offset + w->done);
        return left ? 28 : 20;
    }
    chunk_head(head, w, true, CHUNK_ERROR | (w->done ? 2u : 1u), w->done ? 14 : 6);
    put32(head + 20, error_of(ret));
    put16(head + 24, 0);
    put64(head + 26, w->offset + w->done);
    return w->done ? 34 : 26;
}

static void reply(const struct work *w, int ret)
{
    struct client *c = w->c;
    uint32_t data = w->type == CMD_READ && ret == 0 ? w->bytes - w->done : 0;
    uint8_t head[34];
    size_t size;

    if (c->structured && w->type == CMD_READ) {
        size = last_chunk(head, w, ret);
    } else {
        put32(head, NBD_SIMPLE);
        put32(head + 4, error_of(ret));
        put64(head + 8, w->cookie);
        size = 16;
    }
    c->ready_bytes += data;
    bp_co_mutex_lock(c->sending);
    ret = client_write_both(c, (struct iovec[]){{head, size}, {w->buf, data}}, data ? 2 : 1);
    bp_co_mutex_unlock(c->sending);
    c->ready_bytes -= data;
    if (ret < 0)
        shutdown(c->wire.fd, SHUT_RDWR);
}

static int carry_out(struct work *w)
{
    struct export *e = w->c->export;
    struct iovec iov;
    struct bp_block_request req = {.size = sizeof(req), .offset = w->offset + w->done, .bytes = w->bytes - w->done,
                                   .flags = w->flags & CMD_FUA ? BP_BLOCK_FUA : 0};
    uint64_t length = e->blk ? (uint64_t)block->length(e->blk) : 0;
    bool changes = w->type == CMD_WRITE || w->type == CMD_TRIM || w->type == CMD_ZEROES;

    if (!e->blk)
        return -ENODEV;
    if (w->type == CMD_FLUSH)
        return block->submit_co(e->blk, BP_BLOCK_FLUSH, NULL);
    if (changes && !e->writable)
        return -EPERM;
    if (w->offset > length || w->bytes > length - w->offset)
        return changes ? -ENOSPC : -EINVAL;
    if (w->type == CMD_READ || w->type == CMD_WRITE) {
        if (w->bytes == 0)
            return 0;
        if (!w->buf && !buffer_get(w->c, w))
            return -ENOMEM;
        iov = (struct iovec){w->buf, (size_t)req.bytes};
        req.iov = &iov;
        req.iov_count = 1;
        return block->submit_co(e->blk, w->type == CMD_READ ? BP_BLOCK_READ : BP_BLOCK_WRITE, &req);
    }
    if (w->type == CMD_TRIM)
        return block->submit_co(e->blk, BP_BLOCK_DISCARD, &req);
    if (w->type == CMD_ZEROES) {
        req.flags |= w->flags & CMD_NO_HOLE ? 0 : BP_BLOCK_MAY_UNMAP;
        return block->submit_co(e->blk, BP_BLOCK_WRITE_ZEROES, &req);
    }
    return -EINVAL;
}

static bool carries_data(const struct work *w)
{
    return w->type == CMD_READ || w->type == CMD_WRITE;
}

static void work_on(void *opaque)
{
    struct work *w = opaque;
    struct client *c = w->c;
    int ret;

    if (w->type == CMD_STATUS && c->contexts && w->bytes && c->export->blk &&
        w->offset < (uint64_t)block->length(c->export->blk) &&
        w->bytes <= (uint64_t)block->length(c->export->blk) - w->offset) {
        ret = serve_status(c, w->cookie, w->flags, w->offset, w->bytes);
        if (ret < 0)
            reply(w, ret);
    } else {
        if (w->type == CMD_READ)
            serve_spliced(w);
        if (w->done == 0 || w->done < w->bytes)
            reply(w, carry_out(w));
    }
    c->busy--;
    c->busy_bytes -= carries_data(w) ? w->bytes : 0;
    bp_co_queue_wake_all(c->room);
    buffer_put(c, w);
    free(w);
}

/* 1: it was taken; 0: the client wants to end. */
static int take(struct client *c, struct work **ret_work)
{
    uint8_t head[28];
    struct work *w;
    bool data;
    int ret = wire_read(c, head, sizeof(head));

    if (ret < 0 || get32(head) != NBD_REQUEST || get16(head + 6) == CMD_DISC)
        return 0;
    w = bp_alloc(sizeof(*w));
    *w = (struct work){c, get16(head + 4), get16(head + 6), get64(head + 8), get64(head + 16), get32(head + 24), 0, 0,
                       NULL};
    data = carries_data(w);
    if (data && w->bytes > MAX_NBD_REQUEST) { /* what follows a write could not be told from requests */
        free(w);
        return 0;
    }
    while (c->busy >= MAX_BUSY || c->ready_bytes >= MAX_READY_BYTES ||
           (data && c->busy && c->busy_bytes + w->bytes > MAX_BUSY_BYTES))
        if (bp_co_queue_wait(c->room, NULL) < 0)
            break;
    if (w->type == CMD_WRITE && (!buffer_get(c, w) || (w->bytes && wire_read(c, w->buf, w->bytes) < 0))) {
        buffer_put(c, w);
        free(w);
        return 0;
    }
    *ret_work = w;
    return 1;
}

void serve_requests(struct client *c)
{
    struct work *w;
    unsigned turn = 0;

    while (!c->closing && take(c, &w)) {
        struct bp_co *co;

        if (++turn % 64 == 0) /* others, too, when it is never waited for anything */
            bp_co_sleep(BP_CLOCK_REALTIME, 0);

        c->busy++;
        c->busy_bytes += carries_data(w) ? w->bytes : 0;
        if (bp_co_new(NULL, bp_context_main(NULL), "nbd-request", work_on, w, &co, NULL) < 0) {
            work_on(w); /* by itself, then */
            continue;
        }
        bp_co_enter(co);
        bp_co_unref(co);
    }
    while (c->busy)
        bp_co_queue_wait(c->room, NULL);
}
