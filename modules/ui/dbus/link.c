/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections of D-Bus, by libsystemd, in the main loop. */
#include "dbus-display.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bp/clock.h>

#define WAITING_MOST 4096u /* messages: who reads nothing and asks for ever is let go */
#define AT_ONCE 64u        /* messages, before others of the loop have their turn */

struct dbus_link {
    sd_bus *bus; /* NULL: a peer that has not said who it is, on `fd` */
    int fd;
    struct dbus_auth auth;
    struct bp_watch *watch;
    struct bp_timer *timer;
    struct bp_deferred *turn;
    const struct dbus_link_ops *ops;
    void *opaque;
};

static void set_timer(struct dbus_link *l)
{
    uint64_t when;
    struct timespec now;
    int64_t left;

    if (sd_bus_get_timeout(l->bus, &when) < 0 || when == UINT64_MAX) {
        bp_timer_cancel(l->timer);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = (int64_t)(when * 1000) - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    bp_timer_set(l->timer, bp_timer_now(l->timer) + (left > 0 ? left : 0));
}

/* What the library waits for now. */
static void arm(struct dbus_link *l)
{
    int events = sd_bus_get_events(l->bus);

    if (events < 0) {
        bp_deferred_schedule(l->turn);
        return;
    }
    bp_watch_set(l->watch, (events & POLLIN ? BP_WATCH_IN : 0) | (events & POLLOUT ? BP_WATCH_OUT : 0));
    set_timer(l);
}

static void turn(void *opaque)
{
    struct dbus_link *l = opaque;
    int r = 1;

    if (!l->bus)
        return;
    for (unsigned n = 0; r > 0 && n < AT_ONCE; n++)
        r = sd_bus_process(l->bus, NULL);
    if (r < 0 || dbus_link_waiting(l) > WAITING_MOST) {
        l->ops->gone(l->opaque);
        return;
    }
    if (r > 0)
        bp_deferred_schedule(l->turn);
    arm(l);
}

static void ready(void *opaque, unsigned events)
{
    (void)events;
    turn(opaque);
}

static void serve(struct dbus_link *l, sd_bus *bus)
{
    l->bus = bus;
    l->watch = bp_watch_new(NULL, bp_context_main(NULL), sd_bus_get_fd(bus), BP_WATCH_IN, ready, l);
    bp_deferred_schedule(l->turn);
}

static void prove(void *opaque, unsigned events)
{
    struct dbus_link *l = opaque;
    sd_bus *bus;
    int r = dbus_auth_turn(&l->auth, l->fd);

    (void)events;
    if (r == 0)
        return;
    if (r > 0)
        r = dbus_auth_adopt(l->fd, &bus);
    if (r < 0) {
        l->ops->gone(l->opaque);
        return;
    }
    bp_watch_free(l->watch);
    close(l->fd);
    l->fd = -1;
    serve(l, bus);
    l->ops->ready(l->opaque);
}

static struct dbus_link *new_link(const struct dbus_link_ops *ops, void *opaque)
{
    struct bp_context *context = bp_context_main(NULL);
    struct dbus_link *l = bp_alloc(sizeof(*l));

    l->fd = -1;
    l->ops = ops;
    l->opaque = opaque;
    l->turn = bp_deferred_new(NULL, context, turn, l);
    l->timer = bp_timer_new(NULL, context, BP_CLOCK_REALTIME, turn, l);
    return l;
}

struct dbus_link *dbus_link_new(sd_bus *bus, const struct dbus_link_ops *ops, void *opaque)
{
    struct dbus_link *l = new_link(ops, opaque);

    serve(l, bus);
    return l;
}

struct dbus_link *dbus_link_peer(int fd, const struct dbus_link_ops *ops, void *opaque)
{
    struct dbus_link *l = new_link(ops, opaque);

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    l->fd = fd;
    l->watch = bp_watch_new(NULL, bp_context_main(NULL), fd, BP_WATCH_IN, prove, l);
    return l;
}

void dbus_link_free(struct dbus_link *l)
{
    if (!l)
        return;
    bp_watch_free(l->watch);
    bp_timer_free(l->timer);
    bp_deferred_free(l->turn);
    sd_bus_close_unref(l->bus);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

sd_bus *dbus_link_bus(const struct dbus_link *l)
{
    return l->bus;
}

void dbus_link_sent(struct dbus_link *l)
{
    bp_deferred_schedule(l->turn);
}

uint64_t dbus_link_waiting(const struct dbus_link *l)
{
    uint64_t count = 0;

    return !l->bus || sd_bus_get_n_queued_write(l->bus, &count) < 0 ? 0 : count;
}

int dbus_take_socket(sd_bus_message *m, sd_bus_error *error)
{
    int fd, own, type = 0, r = sd_bus_message_read(m, "h", &fd);
    socklen_t length = sizeof(type);

    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "the descriptor is no stream socket");
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return own < 0 ? -errno : own;
}

int dbus_fail(sd_bus_error *error, const struct bp_error *err)
{
    return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, err->message);
}
