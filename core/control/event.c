/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events: queued from any thread with the time at which they happened, delivered by the main loop in
 * that order, before the reply of the command that caused them. An event with a rate limit is held
 * back when it comes too soon; of those held back the last is sent.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include <bp/clock.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "command.h"
#include "compat.h"
#include "event.h"
#include "registry.h"

#define MAX_QUEUED 4096 /* beyond it the newest are dropped */

struct queued {
    struct queued *next;
    char *name;
    struct bp_value *data;
    struct timespec when;
    unsigned rate_ms;
    const char *const *features;
};

struct limit { /* one per event with a rate */
    int64_t last_ns;
    struct queued *held;
    struct bp_timer *timer;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: never around a callback */
static struct queued *head, **tail = &head;
static unsigned queued_count;
static bool scheduled;
static GHashTable *limits; /* name -> struct limit; [main] */

static void free_queued(struct queued *q)
{
    bp_value_unref(q->data);
    g_free(q->name);
    g_free(q);
}

static void deferred_flush(void *opaque)
{
    (void)opaque;
    bpc_events_flush();
}

/* features: of the event's description, which stays; or NULL */
static void enqueue(const char *name, unsigned rate_ms, const char *const *features, struct bp_value *data)
{
    struct queued *q = g_new0(struct queued, 1);
    bool wake = false, full;

    q->name = g_strdup(name);
    q->data = data;
    q->rate_ms = rate_ms;
    q->features = features;
    clock_gettime(CLOCK_REALTIME, &q->when);
    pthread_mutex_lock(&lock);
    full = queued_count >= MAX_QUEUED;
    if (!full) {
        *tail = q;
        tail = &q->next;
        queued_count++;
        wake = !scheduled;
        scheduled = true;
    }
    pthread_mutex_unlock(&lock);
    if (full) {
        bp_warn("more than %d events are waiting; %s is not sent", MAX_QUEUED, name);
        free_queued(q);
    }
    if (wake)
        bp_defer(NULL, deferred_flush, NULL);
}

void bp_event_send(const struct bp_event *event, struct bp_value *data)
{
    enqueue(event->name, event->rate_ms, event->features, data);
}

/* The registry is [main]: the core's own events are looked up in their constant table. */
static void send_named(const char *name, struct bp_value *data)
{
    const char *const *features = NULL;
    unsigned rate = 0;

    for (const struct bp_event *const *e = bpc_core_events; *e; e++) {
        if (strcmp((*e)->name, name) == 0) {
            rate = (*e)->rate_ms;
            features = (*e)->features;
        }
    }
    enqueue(name, rate, features, data);
}

void bpc_events_start(void)
{
    bpc_event_set_hook(send_named);
}

static void deliver(struct queued *q)
{
    struct bp_value *message, *stamp;

    if (bpc_compat_hides(q->name, q->features)) {
        free_queued(q);
        return;
    }
    message = bp_value_dict();
    stamp = bp_value_dict();
    bp_value_set(stamp, "seconds", bp_value_int(q->when.tv_sec));
    bp_value_set(stamp, "microseconds", bp_value_int(q->when.tv_nsec / 1000));
    bp_value_set(message, "timestamp", stamp);
    bp_value_set(message, "event", bp_value_string(q->name));
    if (q->data)
        bp_value_set(message, "data", bp_value_ref(q->data));
    bpc_qmp_broadcast(message);
    bp_value_unref(message);
    free_queued(q);
}

static void release_held(void *opaque)
{
    struct limit *l = opaque;
    struct queued *q = l->held;

    l->held = NULL;
    l->last_ns = bp_clock_ns(BP_CLOCK_REALTIME);
    if (q)
        deliver(q);
}

static void deliver_limited(struct queued *q)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), period = (int64_t)q->rate_ms * 1000000;
    struct limit *l;

    if (!limits)
        limits = g_hash_table_new(g_str_hash, g_str_equal);
    l = g_hash_table_lookup(limits, q->name);
    if (!l) {
        l = g_new0(struct limit, 1);
        l->last_ns = now - period;
        g_hash_table_insert(limits, g_strdup(q->name), l);
    }
    if (!l->held && now - l->last_ns >= period) {
        l->last_ns = now;
        deliver(q);
        return;
    }
    if (l->held)
        free_queued(l->held);
    l->held = q;
    if (!l->timer)
        l->timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, release_held, l);
    if (!bp_timer_pending(l->timer))
        bp_timer_set(l->timer, l->last_ns + period);
}

void bpc_events_flush(void)
{
    struct queued *q;

    pthread_mutex_lock(&lock);
    q = head;
    head = NULL;
    tail = &head;
    queued_count = 0;
    scheduled = false;
    pthread_mutex_unlock(&lock);
    while (q) {
        struct queued *next = q->next;

        if (q->rate_ms)
            deliver_limited(q);
        else
            deliver(q);
        q = next;
    }
}

void bpc_events_stop(void)
{
    GHashTableIter it;
    void *key, *value;

    bpc_events_flush();
    if (!limits)
        return;
    g_hash_table_iter_init(&it, limits);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        struct limit *l = value;

        if (l->held)
            release_held(l);
        bp_timer_free(l->timer);
        g_free(l);
        g_free(key);
    }
    g_hash_table_destroy(limits);
    limits = NULL;
}

/* ---- the core's events ---- */

static const struct bp_field run_end_data[] = {
    BP_ARG("guest", BOOL, "the guest asked for it"),
    BP_ARG("reason", STRING, "guest-shutdown, guest-reset, host-qmp-quit, host-signal, ..."),
    BP_FIELDS_END,
};
static const struct bp_field deleted_data[] = {
    BP_ARG_OPT("device", STRING, "id of the device, when it had one"),
    BP_ARG("path", STRING, "its path in the object tree"),
    BP_FIELDS_END,
};
static const struct bp_field module_data[] = {
    BP_ARG("name", STRING, "name of the module"),
    BP_ARG("file", STRING, "its file"),
    BP_FIELDS_END,
};
static const struct bp_field panic_data[] = {
    BP_ARG("action", STRING, "pause, poweroff or run"),
    BP_FIELDS_END,
};

static const struct bp_field watchdog_data[] = {
    BP_ARG("action", STRING, "what follows: reset, shutdown, poweroff, pause, debug, none or inject-nmi"),
    BP_FIELDS_END,
};

#define EVENT(IDENT, NAME, SUMMARY, DATA) \
    static const struct bp_event IDENT = {sizeof(struct bp_event), NAME, SUMMARY, DATA, 0, NULL, {NULL}}
EVENT(event_stop, "STOP", "The machine stopped", NULL);
EVENT(event_suspend, "SUSPEND", "The guest sleeps with its memory kept", NULL);
EVENT(event_wakeup, "WAKEUP", "The guest was woken from its sleep", NULL);
EVENT(event_resume, "RESUME", "The machine runs on", NULL);
EVENT(event_shutdown, "SHUTDOWN", "The machine was shut down", run_end_data);
EVENT(event_reset, "RESET", "The machine was reset", run_end_data);
EVENT(event_powerdown, "POWERDOWN", "The power button was pressed", NULL);
EVENT(event_panicked, "GUEST_PANICKED", "The guest says that it panicked", panic_data);
EVENT(event_watchdog, "WATCHDOG", "A watchdog's time is over", watchdog_data);
EVENT(event_deleted, "DEVICE_DELETED", "A device is gone", deleted_data);
EVENT(event_unplug_error, "DEVICE_UNPLUG_GUEST_ERROR", "The guest did not let a device go",
      deleted_data);
EVENT(event_module, "MODULE_LOADED", "A module was loaded", module_data);

const struct bp_event *const bpc_core_events[] = {
    &event_stop, &event_resume, &event_suspend, &event_wakeup, &event_shutdown, &event_reset, &event_powerdown,
            &event_panicked,
    &event_watchdog, &event_deleted, &event_unplug_error, &event_module, NULL,
};
