/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes between back end and front ends. Input waits in a ring per front end, so that a mux can
 * look at all of it; output that the back end does not take waits in one bounded buffer. Without a
 * peer output is dropped, as on an unplugged line.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"

static int index_of(const struct bp_chardev *chr, const void *opaque)
{
    for (int i = 0; i < FRONTS; i++)
        if (chr->fronts[i] && chr->fronts[i]->opaque == opaque)
            return i;
    return -1;
}

void front_event(struct front *front, enum bp_chardev_event event)
{
    if (front && front->handlers->event)
        front->handlers->event(front->opaque, event);
}

static void all_event(struct bp_chardev *chr, enum bp_chardev_event event)
{
    for (int i = 0; i < FRONTS; i++)
        front_event(chr->fronts[i], event);
}

void front_set_open(struct bp_chardev *chr, bool open)
{
    chr = chardev_behind(chr);
    if (chr->class->front_open)
        chr->class->front_open(chr, open);
}

int front_connect(struct bp_chardev *chr, const struct bp_chardev_handlers *handlers, void *opaque,
                  struct bp_error *err)
{
    int i = 0, limit = chr->mux ? FRONTS : 1;
    struct front *front;

    chr = chardev_behind(chr);

    /* All callbacks of today were there from the first day. */
    if (handlers->size < offsetof(struct bp_chardev_handlers, reserved) || handlers->size > 4096)
        return bp_fail(err, EINVAL, "Chardev '%s': what uses it says that its callbacks are %u bytes",
                       chr->id, handlers->size);
    while (i < limit && chr->fronts[i])
        i++;
    if (i == limit && chr->mux)
        return bp_fail(err, EBUSY, "Chardev '%s' has %d users; a multiplexer takes no more", chr->id,
                       FRONTS);
    if (i == limit)
        return bp_fail(err, EBUSY, "Chardev '%s' is already in use", chr->id);
    front = bp_alloc(sizeof(*front));
    front->handlers = handlers;
    front->opaque = opaque;
    chr->fronts[i] = front;
    if (chr->mux && chr->focus >= 0)
        front_event(front, BP_CHARDEV_MUX_OUT);
    if (chr->open)
        front_event(front, BP_CHARDEV_OPENED);
    if (chr->focus < 0) {
        chr->focus = i;
        if (chr->mux)
            front_event(front, BP_CHARDEV_MUX_IN);
    }
    front_set_open(chr, true);
    if (chr->class->accept_input)
        chr->class->accept_input(chr);
    return 0;
}

void front_disconnect(struct bp_chardev *chr, void *opaque)
{
    int i;

    chr = chardev_behind(chr);
    i = index_of(chr, opaque);
    if (i < 0)
        return;
    free(chr->fronts[i]);
    chr->fronts[i] = NULL;
    if (chr->focus == i)
        chr->focus = -1;
    for (i = 0; i < FRONTS && !chr->fronts[i];)
        i++;
    if (i == FRONTS)
        front_set_open(chr, false);
    else if (chr->focus < 0)
        mux_set_focus(chr, i);
}

void front_move(struct bp_chardev *from, struct bp_chardev *to)
{
    bool any = false;

    for (unsigned i = 0; i < FRONTS; i++) {
        to->fronts[i] = from->fronts[i];
        from->fronts[i] = NULL;
        any |= to->fronts[i] != NULL;
    }
    to->focus = from->focus;
    from->focus = -1;
    if (!any)
        return;
    if (to->open)
        all_event(to, BP_CHARDEV_OPENED);
    front_set_open(to, true);
    if (to->class->accept_input)
        to->class->accept_input(to);
}

/* ---- output ---- */

static void log_bytes(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    while (chr->log_fd >= 0 && len > 0) {
        ssize_t n = write(chr->log_fd, buf, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* a full disk must not stop the guest */
        buf += n;
        len -= (size_t)n;
    }
}

/* Gives the back end what it takes now; -errno: it is broken. */
static int give(struct bp_chardev *chr, const uint8_t *buf, size_t len, size_t *ret_done)
{
    size_t done = 0;
    int n = 0;

    while (done < len && (n = chr->class->write(chr, buf + done, len - done)) > 0)
        done += (size_t)n;
    *ret_done = done;
    return n < 0 ? n : 0;
}

static size_t buffer(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    size_t end;

    if (!chr->out)
        chr->out = bp_alloc(OUT_LIMIT);
    if (len > OUT_LIMIT - chr->out_len)
        len = OUT_LIMIT - chr->out_len;
    for (size_t done = 0, n; done < len; done += n) {
        end = (chr->out_start + chr->out_len) % OUT_LIMIT;
        n = len - done < OUT_LIMIT - end ? len - done : OUT_LIMIT - end;
        memcpy(chr->out + end, buf + done, n);
        chr->out_len += n;
    }
    return len;
}

static void flush(struct bp_chardev *chr)
{
    if (chr->flushing)
        return;
    chr->flushing = true;
    while (chr->out_len > 0) {
        size_t done, n = OUT_LIMIT - chr->out_start;
        int r;

        if (n > chr->out_len)
            n = chr->out_len;
        r = give(chr, chr->out + chr->out_start, n, &done);
        chr->out_start = (chr->out_start + done) % OUT_LIMIT;
        chr->out_len -= done;
        if (r < 0)
            chr->out_len = 0;
        if (done < n)
            break;
    }
    chr->flushing = false;
}

size_t out_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    if (chr->open && chr->class->write) {
        if (chr->out_len == 0 && give(chr, buf, len, &done) < 0)
            done = len;
        if (done < len)
            done += buffer(chr, buf + done, len - done);
    } else {
        done = len;
    }
    log_bytes(chr, buf, done);
    return done;
}

size_t front_write(struct bp_chardev *chr, const uint8_t *buf, size_t len, void *opaque)
{
    (void)opaque;
    chr = chardev_behind(chr);
    return chr->mux && chr->stamps ? mux_write_stamped(chr, buf, len) : out_write(chr, buf, len);
}

void back_writable(struct bp_chardev *chr)
{
    flush(chr);
}

void back_flush_wait(struct bp_chardev *chr, int ms)
{
    for (; chr->open && chr->out_len > 0 && ms > 0; ms--) {
        flush(chr);
        if (chr->out_len > 0)
            poll(NULL, 0, 1);
    }
}

/* ---- input ---- */

static void deliver_to(struct bp_chardev *chr, int i)
{
    while (chr->fronts[i] && chr->fronts[i]->in_len > 0) {
        struct front *front = chr->fronts[i];
        const struct bp_chardev_handlers *h = front->handlers;
        size_t n = h->can_read ? h->can_read(front->opaque) : 0;
        uint8_t chunk[256];
        unsigned k = 0;

        if (n == 0 || !h->read)
            return;
        for (; k < n && k < sizeof(chunk) && front->in_len > 0; k++) {
            chunk[k] = front->in[front->in_start];
            front->in_start = (front->in_start + 1) % IN_SIZE;
            front->in_len--;
        }
        h->read(front->opaque, chunk, k); /* may disconnect the front end */
    }
}

void front_deliver(struct bp_chardev *chr)
{
    if (chr->delivering)
        return;
    chr->delivering = true;
    for (int i = 0; i < FRONTS; i++)
        deliver_to(chr, i);
    chr->delivering = false;
}

void front_accept_input(struct bp_chardev *chr, void *opaque)
{
    (void)opaque;
    chr = chardev_behind(chr);
    if (chr->delivering)
        return;
    front_deliver(chr);
    if (chr->class->accept_input)
        chr->class->accept_input(chr);
}

size_t back_can_read(struct bp_chardev *chr)
{
    struct front *front = chr->focus >= 0 ? chr->fronts[chr->focus] : NULL;

    if (!front)
        return 0;
    /* What a person types into a full queue is lost, but the escape key is always heard. */
    if (chr->mux)
        return chr->terminal ? IN_SIZE : IN_SIZE - front->in_len;
    return front->in_len == 0 && front->handlers->can_read
               ? front->handlers->can_read(front->opaque)
               : 0;
}

void front_queue(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct front *front = chr->focus >= 0 ? chr->fronts[chr->focus] : NULL;

    if (!front)
        return;
    for (; len > 0 && front->in_len < IN_SIZE; len--)
        front->in[(front->in_start + front->in_len++) % IN_SIZE] = *buf++;
}

void back_received(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    if (chr->mux) {
        mux_input(chr, buf, len);
        return;
    }
    while (len > 0) { /* in the ring's measure, also when a back end gives too much */
        size_t n = len < IN_SIZE ? len : IN_SIZE;

        front_queue(chr, buf, n);
        front_deliver(chr);
        buf += n;
        len -= n;
    }
}

void back_opened(struct bp_chardev *chr)
{
    if (chr->open)
        return;
    chr->open = true;
    all_event(chr, BP_CHARDEV_OPENED);
}

void back_closed(struct bp_chardev *chr)
{
    if (!chr->open)
        return;
    chr->open = false;
    chr->out_len = 0;
    for (unsigned i = 0; i < chr->fd_count; i++)
        close(chr->fds[i]);
    chr->fd_count = 0;
    all_event(chr, BP_CHARDEV_CLOSED);
}

void back_break(struct bp_chardev *chr)
{
    if (chr->focus >= 0)
        front_event(chr->fronts[chr->focus], BP_CHARDEV_BREAK);
}
