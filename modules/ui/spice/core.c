/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main loop as libspice-server sees it: watches and timers. */
#include "spice-server.h"

#include <stdlib.h>

#include <bp/clock.h>

static struct bp_context *context;

struct SpiceTimer {
    struct bp_timer *timer;
    SpiceTimerFunc fn;
    void *opaque;
};

struct SpiceWatch {
    struct bp_watch *watch;
    int fd, mask;
    SpiceWatchFunc fn;
    void *opaque;
};

static void expired(void *opaque)
{
    SpiceTimer *t = opaque;

    t->fn(t->opaque);
}

static SpiceTimer *timer_add(SpiceTimerFunc fn, void *opaque)
{
    SpiceTimer *t = bp_alloc(sizeof(*t));

    t->fn = fn;
    t->opaque = opaque;
    t->timer = bp_timer_new(NULL, context, BP_CLOCK_REALTIME, expired, t);
    return t;
}

static void timer_start(SpiceTimer *t, uint32_t ms)
{
    bp_timer_set(t->timer, bp_timer_now(t->timer) + (int64_t)ms * 1000000);
}

static void timer_cancel(SpiceTimer *t)
{
    bp_timer_cancel(t->timer);
}

static void timer_remove(SpiceTimer *t)
{
    bp_timer_free(t->timer);
    free(t);
}

/* The library asks for one thing at a time, and may take its watch away inside of it. */
static void ready(void *opaque, unsigned events)
{
    SpiceWatch *w = opaque;
    int event = 0;

    if (events & (BP_WATCH_IN | BP_WATCH_HUP))
        event |= SPICE_WATCH_EVENT_READ;
    if (events & BP_WATCH_OUT)
        event |= SPICE_WATCH_EVENT_WRITE;
    if (events & BP_WATCH_HUP && w->mask & SPICE_WATCH_EVENT_WRITE)
        event |= SPICE_WATCH_EVENT_WRITE;
    w->fn(w->fd, event & w->mask ? event & w->mask : event, w->opaque);
}

static unsigned events_of(int mask)
{
    return (mask & SPICE_WATCH_EVENT_READ ? BP_WATCH_IN : 0) | (mask & SPICE_WATCH_EVENT_WRITE ? BP_WATCH_OUT : 0);
}

static SpiceWatch *watch_add(int fd, int mask, SpiceWatchFunc fn, void *opaque)
{
    SpiceWatch *w = bp_alloc(sizeof(*w));

    w->fd = fd;
    w->mask = mask;
    w->fn = fn;
    w->opaque = opaque;
    w->watch = bp_watch_new(NULL, context, fd, events_of(mask), ready, w);
    return w;
}

static void watch_update_mask(SpiceWatch *w, int mask)
{
    w->mask = mask;
    bp_watch_set(w->watch, events_of(mask));
}

static void watch_remove(SpiceWatch *w)
{
    bp_watch_free(w->watch);
    free(w);
}

SpiceCoreInterface spice_core = {
    .base = {.type = SPICE_INTERFACE_CORE, .description = "main loop", .major_version = SPICE_INTERFACE_CORE_MAJOR,
             .minor_version = SPICE_INTERFACE_CORE_MINOR},
    .timer_add = timer_add, .timer_start = timer_start, .timer_cancel = timer_cancel, .timer_remove = timer_remove,
    .watch_add = watch_add, .watch_update_mask = watch_update_mask, .watch_remove = watch_remove,
    .channel_event = spice_channel_event};

void spice_core_start(struct bp_machine *machine)
{
    context = bp_context_main(machine);
}
