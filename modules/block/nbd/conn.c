/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection: requests go out and answers come in, each as far as the socket takes and gives them, so that a
 * coroutine that waits and one that polls do the same. When it breaks, what was not answered is sent anew on the next
 * one. [main]
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nbd.h"

#define PATIENCE INT64_C(30000000000) /* ns that a request may take that is polled for */
#define SLOWEST 262144u               /* and bytes a second of what it carries */
#define MAX_TURN 256u                 /* pieces of answers that are read at a time */

void conn_unref(struct conn *c)
{
    if (--c->refs > 0)
        return;
    wire_close(&c->wire);
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

static uint64_t size_of(const struct nbd_request *r)
{
    return sizeof(r->head) + (r->type == CMD_WRITE ? r->bytes : 0);
}

/* Only what is sent whole may be answered. */
static struct nbd_request *find(struct conn *c, uint64_t cookie)
{
    struct nbd_request *r = c->busy;

    while (r && r->cookie != cookie)
        r = r->next_busy;
    return r && r->sent == size_of(r) ? r : NULL;
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
    got = wire_readv(&c->wire, part, n);
    if (got <= 0)
        return got == 0 ? -ECONNRESET : (int)got;
    c->chunk_at += (uint64_t)got;
    c->left -= (uint32_t)got;
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

/* Each byte of a read comes once. Pieces mostly come in order, which makes one range of them. */
static int cover(struct nbd_request *r, uint64_t at, uint64_t bytes)
{
    struct nbd_range *list = r->ranges;
    unsigned i = 0;

    while (i < r->range_count && list[i].end < at)
        i++;
    if (i < r->range_count && list[i].end == at)
        list[i].end += bytes;
    else if (i < r->range_count && list[i].start < at + bytes && list[i].end > at)
        return -EPROTO;
    else if (i < r->range_count && list[i].start == at + bytes)
        list[i].start = at;
    else if (r->range_count == MAX_RANGES)
        return -EPROTO;
    else {
        memmove(list + i + 1, list + i, (r->range_count - i) * sizeof(*list));
        list[i] = (struct nbd_range){at, at + bytes};
        r->range_count++;
    }
    if (i + 1 < r->range_count && list[i + 1].start < list[i].end)
        return -EPROTO;
    if (i + 1 < r->range_count && list[i + 1].start == list[i].end) {
        list[i].end = list[i + 1].end;
        r->range_count--;
        memmove(list + i + 1, list + i + 2, (r->range_count - i - 1) * sizeof(*list));
    }
    return 0;
}

static bool is_covered(const struct nbd_request *r)
{
    return r->range_count == 1 && r->ranges[0].end - r->ranges[0].start == r->bytes;
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
        if (!r->error && r->type == CMD_READ && !is_covered(r))
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
    return cover(r, r->offset, r->bytes);
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
        if (ret == 0)
            ret = cover(r, at, bytes);
        if (ret == 0)
            fill_hole(r, at, bytes);
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
        return within(c->into, c->chunk_at, c->left) ? cover(c->into, c->chunk_at, c->left) : -EPROTO;
    }
    if (c->head_wants == 4) {
        c->head_wants = magic == NBD_SIMPLE ? 16 : magic == NBD_STRUCTURED ? 20 : 0;
        return c->head_wants ? 0 : -EPROTO;
    }
    return magic == NBD_SIMPLE ? simple_reply(c) : structured_reply(c);
}

static int receive_into(struct conn *c, uint8_t *buf, size_t *got, size_t wants)
{
    struct iovec part = {buf + *got, wants - *got};
    ssize_t n = wire_readv(&c->wire, &part, 1);

    if (n <= 0)
        return n == 0 ? -ECONNRESET : (int)n;
    *got += (size_t)n;
    return 0;
}

/* Until nothing more is there, or others should have their turn: 0; else the connection is of no use any more. */
static int pump_in(struct conn *c)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < MAX_TURN; i++) {
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
    }
    c->more = ret == 0;
    return ret == -EAGAIN || ret == -EWOULDBLOCK ? 0 : ret;
}

/* ---- requests ---- */

static void prepare(struct conn *c, struct nbd_request *r)
{
    r->cookie = ++c->cookie;
    r->sent = 0;
    r->range_count = 0;
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
    return wire_writev(&c->wire, part, n);
}

/* 0: all is sent; -EAGAIN: not yet. */
static int pump_out(struct conn *c)
{
    while (c->queue) {
        struct nbd_request *r = c->queue;
        ssize_t n = send_some(c, r);

        if (n < 0)
            return (int)n;
        if (r->sent == 0 && !r->linked) { /* from now on it may be answered */
            r->next_busy = c->busy;
            r->link_busy = &c->busy;
            if (r->next_busy)
                r->next_busy->link_busy = &r->next_busy;
            c->busy = r;
            r->linked = true;
        }
        r->sent += (uint64_t)n;
        if (r->sent == size_of(r)) {
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

/* Of what is on the way, nothing that a server which keeps to no protocol was asked is asked again. [co] */
static void disconnect(struct conn *c, bool fail)
{
    if (c->wire.fd >= 0)
        shutdown(c->wire.fd, SHUT_RDWR);
    while (c->sending) /* it notices */
        bp_co_sleep(BP_CLOCK_REALTIME, 1000000);
    wire_close(&c->wire);
    if (c->out >= 0)
        close(c->out);
    c->out = -1;
    take_back(c, fail);
}

int conn_set_up(struct conn *c, struct nbd_wire wire)
{
    c->wire = wire;
    c->out = dup(wire.fd);
    c->more = false;
    next_head(c);
    return c->out < 0 ? -errno : 0;
}

/* Once; the export has to be what it was. */
static int try_again(struct conn *c)
{
    struct nbd_facts facts;
    struct nbd_wire wire;
    int ret = nbd_connect(&c->place, &wire, &facts, NULL);

    if (ret < 0)
        return ret;
    if (c->closing || facts.size != c->facts.size || (facts.flags & HAS_READ_ONLY) > (c->facts.flags & HAS_READ_ONLY) ||
        facts.least > (c->facts.least ? c->facts.least : 1) || (c->facts.flags & ~(unsigned)facts.flags)) {
        wire_close(&wire);
        return -EIO;
    }
    c->facts.structured = facts.structured;
    c->facts.has_status = facts.has_status;
    c->facts.context = facts.context;
    return conn_set_up(c, wire);
}

static void reconnect(struct conn *c, int why)
{
    int64_t until = bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)(c->delay * UINT64_C(1000000000)), pause = 50000000;

    disconnect(c, why == -EPROTO);
    while (!c->closing && c->wire.fd < 0) {
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

    if (c->sending || c->wire.fd < 0)
        return;
    c->sending = true;
    bp_co_shield(true); /* it sends others' requests, too */
    while (c->wire.fd >= 0 && !c->closing && (ret = pump_out(c)) == -EAGAIN)
        bp_co_wait_fd(c->out, BP_WATCH_OUT, 1000000000);
    bp_co_shield(false);
    c->sending = false;
    if (c->wire.fd >= 0 && ret < 0 && ret != -EAGAIN)
        shutdown(c->wire.fd, SHUT_RDWR); /* the reader notices */
}

void conn_read_answers(void *opaque)
{
    struct conn *c = opaque;

    while (!c->closing) {
        int ret = c->more ? bp_co_sleep(BP_CLOCK_REALTIME, 0) : bp_co_wait_fd(c->wire.fd, BP_WATCH_IN, -1);

        if (c->closing)
            break;
        ret = ret < 0 ? ret : pump_in(c);
        if (ret < 0) {
            reconnect(c, ret);
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
    int64_t until = bp_clock_ns(BP_CLOCK_REALTIME) + PATIENCE + (int64_t)r->bytes * 1000000000 / SLOWEST;

    while (!r->done) {
        struct pollfd p = {c->wire.fd, (short)(POLLIN | (c->queue ? POLLOUT : 0)), 0};
        int64_t left = until - bp_clock_ns(BP_CLOCK_REALTIME);
        int ret = c->wire.fd < 0 ? -EIO : left <= 0 ? -ETIMEDOUT : 0;

        if (ret == 0 && poll(&p, 1, c->more ? 0 : (int)(left / 1000000) + 1) == 0 && !c->more)
            ret = -ETIMEDOUT;
        if (ret == 0)
            ret = pump_out(c);
        if (ret == 0 || ret == -EAGAIN)
            ret = pump_in(c);
        if (ret < 0) {
            r->error = r->error ? r->error : ret;
            take_back(c, true);
            if (c->wire.fd >= 0)
                shutdown(c->wire.fd, SHUT_RDWR);
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

int conn_request(struct conn *c, struct nbd_request *r)
{
    struct carried k = {c, r};

    if (!block->may_wait() || bp_co_context(bp_co_current()) == bp_context_main(NULL))
        carry_out(&k);
    else
        bp_co_run_in(bp_context_main(NULL), carry_out, &k);
    return r->error;
}
