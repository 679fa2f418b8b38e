/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-nbd`: disks of NBD servers. Many requests are under way at once; one coroutine reads the answers, in
 * whatever order they come, and connects again when the connection breaks. Whoever may not wait does the same by
 * poll().
 * Leaves out: TLS, more than one connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nbd.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

/* Lives until its node is closed and its coroutine has ended. [main] */
struct conn {
    unsigned refs;
    int fd, out; /* `out`: another descriptor of the same socket; -1: not connected */
    bool closing, failing; /* failing: longer gone than reconnect-delay */
    struct nbd_place place;
    struct nbd_facts facts;
    struct nbd_request *queue, **queue_tail, *busy;
    uint64_t cookie;
    uint64_t delay;
    struct bp_co *reader;
    bool sending; /* a coroutine waits until it can send */
    /* The answer that is being read. */
    uint8_t head[20], *text;
    size_t head_got, head_wants, text_got;
    uint32_t left; /* of the chunk */
    struct nbd_request *into;
    uint16_t chunk, chunk_flags;
    uint64_t chunk_at;
    enum { HEAD, PLACE, DATA, TEXT } reading;
};

struct nbd_state {
    char *filename, *host, *port, *path, *export, *tls_creds;
    struct bp_value *server;
    uint64_t reconnect_delay, open_timeout;
    struct conn *conn;
};

static void conn_unref(struct conn *c)
{
    if (--c->refs > 0)
        return;
    if (c->fd >= 0)
        close(c->fd);
    if (c->out >= 0)
        close(c->out);
    place_free(&c->place);
    free(c->text);
    free(c);
}

/* ---- answers ---- */

static void finish(struct nbd_request *r, int error)
{
    if (r->linked) {
        *r->link_busy = r->next_busy;
        if (r->next_busy)
            r->next_busy->link_busy = r->link_busy;
        r->linked = false;
    }
    if (error && !r->error)
        r->error = error;
    r->done = true;
    if (r->co)
        bp_co_wake(r->co);
}

static int errno_of(uint32_t error)
{
    switch (error) {
    case 1: return -EPERM;
    case 5: return -EIO;
    case 12: return -ENOMEM;
    case 22: return -EINVAL;
    case 28: return -ENOSPC;
    case 75: return -EOVERFLOW;
    case 95: return -ENOTSUP;
    case 108: return -ESHUTDOWN;
    default: return -EIO;
    }
}

static struct nbd_request *find(struct conn *c, uint64_t cookie)
{
    struct nbd_request *r = c->busy;

    while (r && r->cookie != cookie)
        r = r->next_busy;
    return r;
}

static void next_head(struct conn *c)
{
    c->reading = HEAD;
    c->head_got = 0;
    c->head_wants = 4;
    c->into = NULL;
}

/* Where the next bytes of a read go. */
static int receive_data(struct conn *c)
{
    struct nbd_request *r = c->into;
    uint64_t skip = c->chunk_at - r->offset;
    struct iovec part[8];
    unsigned n = 0;
    size_t want = 0;
    ssize_t got;

    for (unsigned i = 0; i < r->iov_count && n < 8 && want < c->left; i++) {
        size_t length = r->iov[i].iov_len;

        if (skip >= length) {
            skip -= length;
            continue;
        }
        part[n].iov_base = (char *)r->iov[i].iov_base + skip;
        part[n].iov_len = length - skip < c->left - want ? length - (size_t)skip : c->left - want;
        want += part[n++].iov_len;
        skip = 0;
    }
    if (n == 0)
        return -EPROTO;
    got = readv(c->fd, part, (int)n);
    if (got <= 0)
        return got == 0 ? -ECONNRESET : -errno;
    c->chunk_at += (uint64_t)got;
    c->left -= (uint32_t)got;
    r->got += (uint64_t)got;
    return 0;
}

static void fill_hole(struct nbd_request *r, uint64_t at, uint64_t bytes)
{
    uint64_t skip = at - r->offset;

    for (unsigned i = 0; i < r->iov_count && bytes > 0; i++) {
        size_t length = r->iov[i].iov_len, n;

        if (skip >= length) {
            skip -= length;
            continue;
        }
        n = length - skip < bytes ? length - (size_t)skip : (size_t)bytes;
        memset((char *)r->iov[i].iov_base + skip, 0, n);
        bytes -= n;
        skip = 0;
    }
}

static bool within(const struct nbd_request *r, uint64_t at, uint64_t bytes)
{
    return r->type == CMD_READ && bytes && at >= r->offset && at - r->offset <= r->bytes &&
           bytes <= r->bytes - (at - r->offset);
}

static int end_chunk(struct conn *c)
{
    struct nbd_request *r = c->into;

    if (c->chunk_flags & CHUNK_DONE) {
        if (!r->error && r->type == CMD_READ && r->got < r->bytes)
            return -EPROTO;
        if (!r->error && r->type == CMD_STATUS && !r->state_bytes)
            return -EPROTO;
        finish(r, 0);
    }
    next_head(c);
    return 0;
}

static int simple_reply(struct conn *c)
{
    struct nbd_request *r = find(c, get64(c->head + 8));
    uint32_t error = get32(c->head + 4);

    if (!r || (r->type == CMD_STATUS && !error) || (r->type == CMD_READ && c->facts.structured && !error))
        return -EPROTO;
    if (error || r->type != CMD_READ) {
        finish(r, error ? errno_of(error) : 0);
        next_head(c);
        return 0;
    }
    c->into = r;
    c->chunk_at = r->offset;
    c->left = r->bytes;
    c->chunk_flags = CHUNK_DONE;
    c->reading = DATA;
    return 0;
}

static int structured_reply(struct conn *c)
{
    struct nbd_request *r = find(c, get64(c->head + 8));

    c->chunk_flags = get16(c->head + 4);
    c->chunk = get16(c->head + 6);
    c->left = get32(c->head + 16);
    if (!r || !c->facts.structured)
        return -EPROTO;
    c->into = r;
    if (c->chunk == CHUNK_NONE)
        return c->left || !(c->chunk_flags & CHUNK_DONE) ? -EPROTO : end_chunk(c);
    if (c->chunk == CHUNK_DATA) {
        if (r->type != CMD_READ || c->left <= 8 || c->left - 8 > r->bytes)
            return -EPROTO;
        c->reading = PLACE;
        c->head_got = 0;
        c->head_wants = 8;
        return 0;
    }
    if (c->left > MAX_CHUNK_TEXT * 16 || (c->chunk == CHUNK_HOLE && c->left != 12))
        return -EPROTO;
    c->text = malloc((size_t)c->left + 1);
    c->text_got = 0;
    c->reading = TEXT;
    return c->text ? 0 : -ENOMEM;
}

static int take_text(struct conn *c)
{
    struct nbd_request *r = c->into;
    int ret = 0;

    if (c->chunk == CHUNK_HOLE) {
        uint64_t at = get64(c->text), bytes = get32(c->text + 8);

        ret = within(r, at, bytes) ? 0 : -EPROTO;
        if (ret == 0) {
            fill_hole(r, at, bytes);
            r->got += bytes;
        }
    } else if (c->chunk == CHUNK_STATUS) {
        if (r->type != CMD_STATUS || c->left < 12 || (c->left - 4) % 8 || get32(c->text) != c->facts.context ||
            get32(c->text + 4) == 0)
            ret = -EPROTO;
        else if (!r->state_bytes) {
            r->state_bytes = get32(c->text + 4);
            r->state = get32(c->text + 8);
        }
    } else if (c->chunk & CHUNK_ERROR) {
        ret = c->left < 6 ? -EPROTO : 0;
        if (ret == 0)
            r->error = errno_of(get32(c->text));
    } else {
        ret = -EPROTO;
    }
    free(c->text);
    c->text = NULL;
    return ret < 0 ? ret : end_chunk(c);
}

static int take_head(struct conn *c)
{
    uint32_t magic = get32(c->head);

    if (c->reading == PLACE) {
        c->chunk_at = get64(c->head);
        c->left -= 8;
        c->reading = DATA;
        return within(c->into, c->chunk_at, c->left) ? 0 : -EPROTO;
    }
    if (c->head_wants == 4) {
        c->head_wants = magic == NBD_SIMPLE ? 16 : magic == NBD_STRUCTURED ? 20 : 0;
        return c->head_wants ? 0 : -EPROTO;
    }
    return magic == NBD_SIMPLE ? simple_reply(c) : structured_reply(c);
}

static int receive_into(struct conn *c, uint8_t *buf, size_t *got, size_t wants)
{
    ssize_t n = recv(c->fd, buf + *got, wants - *got, 0);

    if (n <= 0)
        return n == 0 ? -ECONNRESET : -errno;
    *got += (size_t)n;
    return 0;
}

/* Until nothing more is there: 0; else the connection is of no use any more. */
static int pump_in(struct conn *c)
{
    int ret = 0;

    while (ret == 0) {
        if (c->reading == HEAD || c->reading == PLACE) {
            ret = receive_into(c, c->head, &c->head_got, c->head_wants);
            if (ret == 0 && c->head_got == c->head_wants)
                ret = take_head(c);
        } else if (c->reading == DATA) {
            ret = receive_data(c);
            if (ret == 0 && c->left == 0)
                ret = end_chunk(c);
        } else {
            ret = c->left > c->text_got ? receive_into(c, c->text, &c->text_got, c->left) : 0;
            if (ret == 0 && c->text_got == c->left)
                ret = take_text(c);
        }
        if (ret == -EINTR)
            ret = 0;
    }
    return ret == -EAGAIN || ret == -EWOULDBLOCK ? 0 : ret;
}

/* ---- requests ---- */

static void prepare(struct conn *c, struct nbd_request *r)
{
    r->cookie = ++c->cookie;
    r->sent = r->got = 0;
    r->error = 0;
    r->state_bytes = 0;
    put32(r->head, NBD_REQUEST);
    put16(r->head + 4, r->flags);
    put16(r->head + 6, r->type);
    put64(r->head + 8, r->cookie);
    put64(r->head + 16, r->offset);
    put32(r->head + 24, r->bytes);
}

static ssize_t send_some(struct conn *c, struct nbd_request *r)
{
    uint64_t skip = r->sent;
    struct iovec part[17];
    struct msghdr message = {.msg_iov = part};
    unsigned n = 0;

    if (skip < sizeof(r->head)) {
        part[n].iov_base = r->head + skip;
        part[n++].iov_len = sizeof(r->head) - (size_t)skip;
        skip = 0;
    } else {
        skip -= sizeof(r->head);
    }
    for (unsigned i = 0; r->type == CMD_WRITE && i < r->iov_count && n < 17; i++) {
        if (skip >= r->iov[i].iov_len) {
            skip -= r->iov[i].iov_len;
            continue;
        }
        part[n].iov_base = (char *)r->iov[i].iov_base + skip;
        part[n++].iov_len = r->iov[i].iov_len - (size_t)skip;
        skip = 0;
    }
    message.msg_iovlen = n;
    return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

/* 0: all is sent; -EAGAIN: not yet. */
static int pump_out(struct conn *c)
{
    while (c->queue) {
        struct nbd_request *r = c->queue;
        uint64_t all = sizeof(r->head) + (r->type == CMD_WRITE ? r->bytes : 0);
        ssize_t n = send_some(c, r);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (r->sent == 0 && !r->linked) { /* from now on it may be answered */
            r->next_busy = c->busy;
            r->link_busy = &c->busy;
            if (r->next_busy)
                r->next_busy->link_busy = &r->next_busy;
            c->busy = r;
            r->linked = true;
        }
        r->sent += (uint64_t)n;
        if (r->sent == all) {
            c->queue = r->next;
            if (!c->queue)
                c->queue_tail = &c->queue;
        }
    }
    return 0;
}

static void enqueue(struct conn *c, struct nbd_request *r)
{
    r->next = NULL;
    *c->queue_tail = r;
    c->queue_tail = &r->next;
}

/* All that is under way: again from the beginning, or failed. */
static void take_back(struct conn *c, bool fail)
{
    struct nbd_request *list = c->queue, *next;

    c->queue = NULL;
    c->queue_tail = &c->queue;
    for (struct nbd_request *r = list; r; r = next) {
        next = r->next;
        if (fail) {
            finish(r, -EIO);
        } else if (!r->linked) {
            prepare(c, r);
            enqueue(c, r);
        }
    }
    while (c->busy) {
        struct nbd_request *r = c->busy;

        c->busy = r->next_busy;
        if (c->busy)
            c->busy->link_busy = &c->busy;
        r->linked = false;
        if (fail) {
            finish(r, -EIO);
        } else {
            prepare(c, r);
            enqueue(c, r);
        }
    }
    next_head(c);
    free(c->text);
    c->text = NULL;
}

/* [co] */
static void disconnect(struct conn *c)
{
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_RDWR);
    while (c->sending) /* it notices */
        bp_co_sleep(BP_CLOCK_REALTIME, 1000000);
    if (c->fd >= 0)
        close(c->fd);
    if (c->out >= 0)
        close(c->out);
    c->fd = c->out = -1;
    take_back(c, false);
}

static int set_up(struct conn *c, int fd)
{
    c->fd = fd;
    c->out = dup(fd);
    next_head(c);
    return c->out < 0 ? -errno : 0;
}

/* Once; the export has to be what it was. */
static int try_again(struct conn *c)
{
    struct nbd_facts facts;
    int fd = nbd_connect(&c->place, &facts, NULL);

    if (fd < 0)
        return fd;
    if (c->closing || facts.size != c->facts.size || (facts.flags & HAS_READ_ONLY) > (c->facts.flags & HAS_READ_ONLY) ||
        facts.least > (c->facts.least ? c->facts.least : 1) || (c->facts.flags & ~(unsigned)facts.flags)) {
        close(fd);
        return -EIO;
    }
    c->facts.structured = facts.structured;
    c->facts.has_status = facts.has_status;
    c->facts.context = facts.context;
    return set_up(c, fd);
}

static void reconnect(struct conn *c)
{
    int64_t until = bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)(c->delay * UINT64_C(1000000000)), pause = 50000000;

    disconnect(c);
    while (!c->closing && c->fd < 0) {
        int ret;

        if (bp_clock_ns(BP_CLOCK_REALTIME) >= until) {
            c->failing = true;
            take_back(c, true);
        }
        ret = try_again(c);
        if (ret == 0 || c->closing)
            break;
        for (int64_t slept = 0; slept < pause && !c->closing; slept += 20000000)
            bp_co_sleep(BP_CLOCK_REALTIME, 20000000);
        pause = pause < 1000000000 ? 2 * pause : pause;
    }
    c->failing = false;
}

static void send_more(struct conn *c)
{
    int ret = 0;

    if (c->sending || c->fd < 0)
        return;
    c->sending = true;
    while (c->fd >= 0 && (ret = pump_out(c)) == -EAGAIN)
        if (bp_co_wait_fd(c->out, BP_WATCH_OUT, 1000000000) == -ECANCELED)
            break;
    c->sending = false;
    if (c->fd >= 0 && ret < 0 && ret != -EAGAIN)
        shutdown(c->fd, SHUT_RDWR); /* the reader notices */
}

static void read_answers(void *opaque)
{
    struct conn *c = opaque;

    while (!c->closing) {
        int ret = bp_co_wait_fd(c->fd, BP_WATCH_IN, -1);

        if (c->closing)
            break;
        ret = ret < 0 ? ret : pump_in(c);
        if (ret < 0) {
            reconnect(c);
            if (!c->closing)
                send_more(c);
        }
    }
    take_back(c, true);
    conn_unref(c);
}

/* The same without a coroutine that may wait. */
static int poll_until(struct conn *c, struct nbd_request *r)
{
    while (!r->done) {
        struct pollfd p = {c->fd, (short)(POLLIN | (c->queue ? POLLOUT : 0)), 0};
        int ret = c->fd < 0 ? -EIO : 0;

        if (ret == 0 && poll(&p, 1, 30000) == 0)
            ret = -ETIMEDOUT;
        if (ret == 0)
            ret = pump_out(c);
        if (ret == 0 || ret == -EAGAIN)
            ret = pump_in(c);
        if (ret < 0) {
            take_back(c, true);
            if (c->fd >= 0)
                shutdown(c->fd, SHUT_RDWR);
        }
        if (ret < 0 && !r->done) {
            r->error = ret;
            r->done = true;
        }
    }
    return r->error;
}

struct carried {
    struct conn *c;
    struct nbd_request *r;
};

static void carry_out(void *opaque)
{
    struct carried *k = opaque;
    struct conn *c = k->c;
    struct nbd_request *r = k->r;

    if (c->failing || c->closing) {
        r->error = -EIO;
        return;
    }
    c->refs++;
    prepare(c, r);
    enqueue(c, r);
    if (!block->may_wait()) {
        poll_until(c, r);
    } else {
        r->co = bp_co_current();
        send_more(c);
        while (!r->done)
            bp_co_await();
    }
    conn_unref(c);
}

static int request(struct conn *c, struct nbd_request *r)
{
    struct carried k = {c, r};

    if (!block->may_wait() || bp_co_context(bp_co_current()) == bp_context_main(NULL))
        carry_out(&k);
    else
        bp_co_run_in(bp_context_main(NULL), carry_out, &k);
    return r->error;
}

static struct conn *conn_of(struct bp_block_node *node)
{
    return ((struct nbd_state *)block->state(node))->conn;
}

/* ---- the driver ---- */

static int nbd_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct nbd_request r = {.type = CMD_READ, .offset = req->offset, .bytes = (uint32_t)req->bytes, .iov = req->iov,
                            .iov_count = req->iov_count};

    return request(conn_of(node), &r);
}

static int nbd_flush(struct bp_block_node *node)
{
    struct nbd_request r = {.type = CMD_FLUSH};

    return conn_of(node)->facts.flags & HAS_FLUSH ? request(conn_of(node), &r) : 0;
}

static int change(struct bp_block_node *node, unsigned type, unsigned flags, const struct bp_block_request *req)
{
    struct conn *c = conn_of(node);
    bool fua = req->flags & BP_BLOCK_FUA;
    struct nbd_request r = {.type = (uint16_t)type, .offset = req->offset, .bytes = (uint32_t)req->bytes,
                            .flags = (uint16_t)(flags | (fua && c->facts.flags & HAS_FUA ? CMD_FUA : 0)),
                            .iov = req->iov, .iov_count = req->iov_count};
    int ret = request(c, &r);

    return ret == 0 && fua && !(c->facts.flags & HAS_FUA) ? nbd_flush(node) : ret;
}

static int nbd_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return change(node, CMD_WRITE, 0, req);
}

static int nbd_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    unsigned has = conn_of(node)->facts.flags;

    if (!(has & HAS_ZEROES) || (req->flags & BP_BLOCK_NO_FALLBACK && !(has & HAS_FAST_ZERO)))
        return -ENOTSUP;
    return change(node, CMD_ZEROES, (req->flags & BP_BLOCK_MAY_UNMAP ? 0 : CMD_NO_HOLE) |
                  (req->flags & BP_BLOCK_NO_FALLBACK ? CMD_FAST_ZERO : 0), req);
}

static int nbd_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return conn_of(node)->facts.flags & HAS_TRIM ? change(node, CMD_TRIM, 0, req) : -ENOTSUP;
}

static int nbd_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct conn *c = conn_of(node);
    uint32_t least = c->facts.least ? c->facts.least : 1;
    struct nbd_request r = {.type = CMD_STATUS, .flags = CMD_REQ_ONE, .offset = offset / least * least};
    int error;

    ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED;
    ret->bytes = bytes;
    if (!c->facts.has_status)
        return 0;
    bytes += offset - r.offset;
    bytes = bytes > 1u << 30 ? 1u << 30 : (bytes + least - 1) / least * least;
    if (bytes > c->facts.size - r.offset)
        bytes = c->facts.size - r.offset;
    r.bytes = (uint32_t)bytes;
    error = request(c, &r);
    if (error < 0)
        return error == -EIO || error == -ECANCELED ? error : 0;
    if (r.state_bytes <= offset - r.offset)
        return 0;
    ret->bytes = r.state_bytes - (offset - r.offset);
    ret->flags = BP_BLOCK_STATUS_ALLOCATED | (r.state & STATE_HOLE ? 0 : BP_BLOCK_STATUS_DATA) |
                 (r.state & STATE_ZERO ? BP_BLOCK_STATUS_ZERO : 0);
    if (!(ret->flags & BP_BLOCK_STATUS_ZERO))
        ret->flags |= BP_BLOCK_STATUS_DATA;
    return 0;
}

static int64_t nbd_length(struct bp_block_node *node)
{
    return (int64_t)conn_of(node)->facts.size;
}

static void nbd_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct nbd_facts *f = &conn_of(node)->facts;
    uint32_t least = f->least ? f->least : 1;
    uint64_t most = f->most && f->most < MAX_NBD_REQUEST ? f->most / least * least : MAX_NBD_REQUEST;

    limits->request_alignment = f->size % least ? 1 : least;
    limits->max_transfer = most;
    limits->max_discard = limits->max_zero = f->most && f->most < 1u << 30 ? most : 1u << 30;
}

static int take_place(struct nbd_state *s, struct nbd_place *place, struct bp_error *err)
{
    unsigned ways = !!s->filename + !!s->server + !!s->path + !!s->host;

    if (ways != 1)
        return bp_fail(err, EINVAL,
                       "nbd: say where the server is, by one of: server.type=inet,server.host=,server.port= "
                       "or server.type=unix,server.path=; host= and port=; path=; a name like nbd://HOST/EXPORT");
    if (s->filename && s->export)
        return bp_fail(err, EINVAL, "key 'export': the name says it already");
    if (s->filename)
        return place_of_name(s->filename, place, err);
    place->export = bp_strdup(s->export ? s->export : "");
    if (strlen(place->export) > 4096)
        return bp_fail(err, EINVAL, "key 'export': a name has at most 4096 bytes");
    if (s->server)
        return place_of_server(s->server, place, err);
    place->path = s->path ? bp_strdup(s->path) : NULL;
    place->host = s->host ? bp_strdup(s->host) : NULL;
    place->port = s->host ? bp_strdup(s->port ? s->port : NBD_DEFAULT_PORT) : NULL;
    return 0;
}

/* As long as open-timeout says. */
static int first_time(struct nbd_state *s, struct conn *c, struct bp_error *err)
{
    int64_t until = bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)(s->open_timeout * UINT64_C(1000000000));

    for (;;) {
        struct bp_error why = {0};
        int fd = nbd_connect(&c->place, &c->facts, &why);

        if (fd >= 0)
            return set_up(c, fd);
        if (fd == -EACCES || bp_clock_ns(BP_CLOCK_REALTIME) >= until) {
            if (err)
                *err = why;
            return fd;
        }
        if (block->may_wait())
            bp_co_sleep(BP_CLOCK_REALTIME, 50000000);
        else
            poll(NULL, 0, 50);
    }
}

static int nbd_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct nbd_state *s = block->state(node);
    struct conn *c;
    char *name;
    int ret;

    if (s->tls_creds)
        return bp_fail(err, ENOTSUP, "key 'tls-creds': TLS is not built yet");
    if (s->reconnect_delay > 1000000000 || s->open_timeout > 1000000000)
        return bp_fail(err, EINVAL, "keys 'reconnect-delay' and 'open-timeout' expect at most 1000000000 seconds");
    c = bp_alloc(sizeof(*c));
    *c = (struct conn){.refs = 1, .fd = -1, .out = -1, .delay = s->reconnect_delay};
    c->queue_tail = &c->queue;
    ret = take_place(s, &c->place, err);
    if (ret == 0)
        ret = first_time(s, c, err);
    if (ret == 0 && c->facts.flags & HAS_READ_ONLY && !flags->read_only) {
        if (flags->auto_read_only)
            block->set_read_only(node);
        else
            ret = bp_fail(err, EACCES, "nbd: the server lets its export only be read: read-only=on opens it");
    }
    if (ret == 0) {
        c->refs++;
        ret = bp_co_new(NULL, bp_context_main(NULL), "nbd", read_answers, c, &c->reader, err);
        c->refs -= ret < 0;
    }
    if (ret < 0) {
        conn_unref(c);
        return ret;
    }
    s->conn = c;
    name = place_name(&c->place);
    block->set_filename(node, name);
    free(name);
    bp_co_wake(c->reader);
    return 0;
}

static void nbd_close(struct bp_block_node *node)
{
    struct conn *c = conn_of(node);
    uint8_t bye[28] = {0};

    c->closing = true;
    if (c->fd >= 0 && !c->queue) {
        put32(bye, NBD_REQUEST);
        put16(bye + 6, CMD_DISC);
        if (send(c->fd, bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            c->failing = true; /* gone already */
    }
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_RDWR);
    bp_co_cancel(c->reader);
    bp_co_unref(c->reader);
    conn_unref(c);
}

static const struct bp_field props[] = {
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct nbd_state, server),
     .help = "server.type=inet with server.host= and server.port=, or server.type=unix with server.path="},
    BP_PROP("export", STRING, struct nbd_state, export, NULL, "name of the export; without it, the usual one"),
    BP_PROP("host", STRING, struct nbd_state, host, NULL, "host of the server (older form)"),
    BP_PROP("port", STRING, struct nbd_state, port, NULL, "its port (older form); 10809"),
    BP_PROP("path", STRING, struct nbd_state, path, NULL, "its unix socket (older form)"),
    BP_PROP("filename", STRING, struct nbd_state, filename, NULL, "all of it as a URI: nbd://HOST[:PORT]/[EXPORT]"),
    BP_PROP("tls-creds", STRING, struct nbd_state, tls_creds, NULL, "TLS, which is not built yet"),
    BP_PROP("reconnect-delay", UINT64, struct nbd_state, reconnect_delay, "0",
            "seconds that requests wait for a new connection"),
    BP_PROP("open-timeout", UINT64, struct nbd_state, open_timeout, "0", "seconds that the first connection may take"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(nbd_driver, "nbd", "Disks of NBD servers", struct nbd_state, props, .flags = BP_BLOCK_PROTOCOL,
                .native = BP_BLOCK_FUA, .open = nbd_open, .close = nbd_close, .read = nbd_read, .write = nbd_write,
                .flush = nbd_flush, .write_zeroes = nbd_zeroes, .discard = nbd_discard, .status = nbd_status,
                .length = nbd_length, .limits = nbd_limits);
BP_MODULE("block-nbd", "Network block devices", imports, {BP_PROVIDE_OTHER, &nbd_driver});
