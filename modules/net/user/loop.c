/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libslirp in the main loop. It says which descriptors it wants to be watched for what, as of now; watches wake us,
 * poll() without waiting then tells it how they are. What it sends goes into the cable. [main]; what the guest
 * sends comes from any thread, under the machine lock.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "user.h"

#define MS 1000000

struct fd_watch {
    struct fd_watch *next;
    struct bp_watch *watch;
    int fd;
    unsigned events;
    uint32_t generation;
};

static void watch_free(struct fd_watch **link)
{
    struct fd_watch *w = *link;

    *link = w->next;
    bp_watch_free(w->watch);
    free(w);
}

static void woken(void *opaque, unsigned events)
{
    (void)events;
    loop_soon(opaque);
}

static void watch_fd(struct user *s, int fd, unsigned events)
{
    struct fd_watch *w = s->watches;

    while (w && w->fd != fd)
        w = w->next;
    if (!w) {
        w = bp_alloc(sizeof(*w));
        w->fd = fd;
        w->watch = bp_watch_new(user_net->netdev_owner(s->nd), NULL, fd, events, woken, s);
        w->events = events;
        w->next = s->watches;
        s->watches = w;
    } else if (w->events != events) {
        w->events = events;
        bp_watch_set(w->watch, events);
    }
    w->generation = s->generation;
}

static int add_poll(int fd, int events, void *opaque)
{
    struct user *s = opaque;
    short wanted = 0;

    if (s->poll_count == s->poll_size) {
        s->poll_size = s->poll_size ? s->poll_size * 2 : 16;
        s->polls = bp_realloc(s->polls, s->poll_size * sizeof(*s->polls));
    }
    wanted = (short)(wanted | (events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                     (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    s->polls[s->poll_count] = (struct pollfd){fd, wanted, 0};
    return (int)s->poll_count++;
}

static int get_revents(int index, void *opaque)
{
    const struct user *s = opaque;
    short r = index >= 0 && (unsigned)index < s->poll_count ? s->polls[index].revents : 0;

    return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & POLLPRI ? SLIRP_POLL_PRI : 0) | (r & POLLERR ? SLIRP_POLL_ERR : 0) |
           (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* What is to be watched from now on. */
static void watch_all(struct user *s)
{
    uint32_t timeout = UINT32_MAX;

    s->poll_count = 0;
    slirp_pollfds_fill(s->slirp, &timeout, add_poll, s);
    s->generation++;
    for (unsigned i = 0; i < s->poll_count; i++) {
        short e = s->polls[i].events;

        watch_fd(s, s->polls[i].fd, (e & (POLLIN | POLLPRI) ? BP_WATCH_IN : 0) | (e & POLLOUT ? BP_WATCH_OUT : 0));
    }
    for (struct fd_watch **link = &s->watches; *link;) {
        if ((*link)->generation == s->generation)
            link = &(*link)->next;
        else
            watch_free(link);
    }
    if (timeout == UINT32_MAX)
        bp_timer_cancel(s->timeout);
    else
        bp_timer_set(s->timeout, bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)timeout * MS);
}

/* What gathered goes to the guest. */
static void push_out(struct user *s)
{
    struct bp_net_packet packets[OUT_FRAMES];
    struct iovec vectors[OUT_FRAMES];
    unsigned count = s->out_count;

    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (struct iovec){s->out + s->out_at[i], s->out_at[i + 1] - s->out_at[i]};
        packets[i] = (struct bp_net_packet){&vectors[i], 1, (uint32_t)vectors[i].iov_len,
                                            {.flags = BP_NET_CHECKSUM_VALID}};
    }
    s->out_count = 0;
    if (count)
        user_net->netdev_push(s->nd, 0, packets, count);
}

/* Whether it goes with others of this turn. */
static bool gather(struct user *s, const struct iovec *frame)
{
    uint32_t at;

    if (!s->in_turn || frame->iov_len > OUT_BYTES)
        return false;
    at = s->out_count ? s->out_at[s->out_count] : 0;
    if (s->out_count == OUT_FRAMES || frame->iov_len > OUT_BYTES - at) {
        push_out(s);
        at = 0;
    }
    memcpy(s->out + at, frame->iov_base, frame->iov_len);
    s->out_at[s->out_count++] = at;
    s->out_at[s->out_count] = at + (uint32_t)frame->iov_len;
    return true;
}

static void turn(void *opaque)
{
    struct user *s = opaque;
    uint32_t timeout = UINT32_MAX;
    int r;

    s->poll_count = 0;
    slirp_pollfds_fill(s->slirp, &timeout, add_poll, s);
    r = poll(s->polls, s->poll_count, 0);
    s->in_turn = true;
    slirp_pollfds_poll(s->slirp, r < 0, get_revents, s);
    s->in_turn = false;
    push_out(s);
    watch_all(s);
}

void loop_soon(struct user *s)
{
    bp_deferred_schedule(s->turn);
}

void loop_begin(struct user *s)
{
    struct bp_owner *owner = user_net->netdev_owner(s->nd);

    s->out = bp_alloc(OUT_BYTES);
    s->turn = bp_deferred_new(owner, NULL, turn, s);
    s->timeout = bp_timer_new(owner, NULL, BP_CLOCK_REALTIME, turn, s);
}

void loop_end(struct user *s)
{
    bp_deferred_free(s->turn);
    bp_timer_free(s->timeout);
    while (s->watches)
        watch_free(&s->watches);
    free(s->polls);
    free(s->out);
    s->polls = NULL;
    s->out = NULL;
    s->turn = NULL;
    s->timeout = NULL;
}

/* ---- what it calls ---- */

static ssize_t send_packet(const void *buf, size_t length, void *opaque)
{
    struct user *s = opaque;
    uint8_t whole[1600];
    size_t more = dhcp6_complete(buf, length, whole, sizeof(whole));
    struct iovec vector = {more ? whole : (void *)buf, more ? more : length};
    struct bp_net_packet packet = {&vector, 1, (uint32_t)vector.iov_len, {.flags = BP_NET_CHECKSUM_VALID}};

    if (!gather(s, &vector))
        user_net->netdev_push(s->nd, 0, &packet, 1);
    return (ssize_t)length;
}

static void guest_error(const char *msg, void *opaque)
{
    (void)opaque;
    bp_guest_error("net-user", "user networking: %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    (void)opaque;
    return bp_clock_ns(BP_CLOCK_REALTIME);
}

static void *timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct user *s = opaque;

    return bp_timer_new(user_net->netdev_owner(s->nd), NULL, BP_CLOCK_REALTIME, fn, fn_opaque);
}

static void timer_free(void *timer, void *opaque)
{
    (void)opaque;
    bp_timer_free(timer);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)opaque;
    bp_timer_set(timer, expire_ms * MS);
}

static void register_poll_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

/* It is about to close it: its number may be another one's soon. */
static void unregister_poll_fd(int fd, void *opaque)
{
    struct user *s = opaque;

    for (struct fd_watch **link = &s->watches; *link;) {
        if ((*link)->fd == fd)
            watch_free(link);
        else
            link = &(*link)->next;
    }
}

static void notify(void *opaque)
{
    struct user *s = opaque;

    if (s->turn)
        loop_soon(s);
}

const SlirpCb loop_callbacks = {
    .send_packet = send_packet, .guest_error = guest_error, .clock_get_ns = clock_get_ns,
    .timer_new = timer_new, .timer_free = timer_free, .timer_mod = timer_mod,
    .register_poll_fd = register_poll_fd, .unregister_poll_fd = unregister_poll_fd, .notify = notify,
};
