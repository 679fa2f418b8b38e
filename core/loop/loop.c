/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of a context, on GMainContext. The main one uses GLib's default context, so that libraries
 * which attach there (GTK, GIO) are served too. The poll function sleeps with the precision of
 * ppoll() until the earliest timer, the main thread without the machine lock; a context with a thread
 * may look for work for a while before it sleeps.
 */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "context.h"
#include "deferred.h"

/* The poll function replaces GLib's; both take the kernel's structure. */
_Static_assert(sizeof(GPollFD) == sizeof(struct pollfd), "GPollFD is struct pollfd");

#define POLL_FIRST_NS 4000
#define POLL_GROW 2
#define POLL_LOOKS 32u /* looks at memory between two looks at descriptors */

struct context_source {
    GSource base;
    struct bp_context *ctx;
};

static bool has_work(struct bp_context *ctx)
{
    bool work;

    pthread_mutex_lock(&ctx->lock);
    work = ctx->head || ctx->ready;
    pthread_mutex_unlock(&ctx->lock);
    return work || bpc_timers_due(ctx);
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return has_work(((struct context_source *)source)->ctx);
}

static gboolean source_check(GSource *source)
{
    return has_work(((struct context_source *)source)->ctx);
}

static gboolean source_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    struct bp_context *ctx = ((struct context_source *)source)->ctx;

    (void)fn;
    (void)opaque;
    bpc_timers_run_due(ctx);
    bpc_deferred_run(ctx);
    bpc_co_run_ready(ctx);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
    .prepare = source_prepare, .check = source_check, .dispatch = source_dispatch,
};

/* ---- sleeping ---- */

static int poll_fds(GPollFD *fds, guint n, int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    int ret = ppoll((struct pollfd *)fds, n, ns < 0 ? NULL : &ts, NULL);

    return ret < 0 && errno == EINTR ? 0 : ret;
}

/* Looks for work for up to poll_ns before a sleep of `ns` (-1: for ever). Returns descriptors that
 * are ready, 0 when something was queued or a timer is due, -1: nothing came. */
static int busy_poll(struct bp_context *ctx, GPollFD *fds, guint n, int64_t ns)
{
    int64_t begin = bp_clock_ns(BP_CLOCK_REALTIME), now = begin, end, due;
    int ret = -1;

    if (__builtin_add_overflow(now, ctx->poll_ns, &end))
        end = INT64_MAX;
    if (__builtin_add_overflow(now, ns, &due))
        due = INT64_MAX;

    do {
        for (unsigned i = 0; i < POLL_LOOKS && ret < 0; i++) {
            if (__atomic_load_n(&ctx->poke, __ATOMIC_ACQUIRE))
                ret = 0;
            bpc_relax();
        }
        if (ret < 0 && n > 0) {
            ret = poll_fds(fds, n, 0);
            ret = ret == 0 ? -1 : MAX(ret, 0);
        }
        now = bp_clock_ns(BP_CLOCK_REALTIME);
        if (ret < 0 && ns >= 0 && now >= due)
            ret = 0;
    } while (ret < 0 && now < end);
    __atomic_store_n(&ctx->polled_ns, ctx->polled_ns + (uint64_t)(now - begin), __ATOMIC_RELAXED);
    return ret;
}

static void set_poll_ns(struct bp_context *ctx, int64_t ns)
{
    __atomic_store_n(&ctx->poll_ns, ns, __ATOMIC_RELAXED);
}

/* A sleep shorter than what may be polled for: polling longer would have caught it. */
static void adapt(struct bp_context *ctx, int64_t max, bool caught, int64_t slept_ns)
{
    uint32_t grow = __atomic_load_n(&ctx->poll_grow, __ATOMIC_RELAXED);
    uint32_t shrink = __atomic_load_n(&ctx->poll_shrink, __ATOMIC_RELAXED);
    int64_t longer;

    if (caught)
        return;
    if (slept_ns > max)
        set_poll_ns(ctx, shrink ? ctx->poll_ns / shrink : 0);
    else if (ctx->poll_ns == 0)
        set_poll_ns(ctx, MIN(POLL_FIRST_NS, max));
    else if (__builtin_mul_overflow(ctx->poll_ns, grow ? grow : POLL_GROW, &longer))
        set_poll_ns(ctx, max);
    else
        set_poll_ns(ctx, MIN(longer, max));
}

static int sleep_in_poll(struct bp_context *ctx, GPollFD *fds, guint n, int64_t ns)
{
    int64_t max = __atomic_load_n(&ctx->poll_max_ns, __ATOMIC_RELAXED), start;
    int ret;

    if (max <= 0 || ns == 0 || ctx->is_main)
        return poll_fds(fds, n, ns);
    set_poll_ns(ctx, MIN(ctx->poll_ns, max));
    start = bp_clock_ns(BP_CLOCK_REALTIME);
    if (ctx->poll_ns > 0) {
        ret = busy_poll(ctx, fds, n, ns);
        if (ret >= 0) {
            adapt(ctx, max, true, 0);
            return ret;
        }
    }
    if (ns >= 0) {
        ns -= bp_clock_ns(BP_CLOCK_REALTIME) - start;
        ns = MAX(ns, 0); /* below zero would be for ever: the clock is read once */
    }
    ret = poll_fds(fds, n, ns);
    adapt(ctx, max, false, bp_clock_ns(BP_CLOCK_REALTIME) - start);
    return ret;
}

static gint context_poll(GPollFD *fds, guint n, gint timeout)
{
    struct bp_context *ctx = bpc_current_context; /* GLib does not tell whose poll function this is */
    unsigned depth = bpc_machine_unlock_all();
    int64_t ns = timeout < 0 ? -1 : (int64_t)timeout * 1000000, timer_ns = -1;
    int ret;

    if (timeout != 0 && ctx) {
        pthread_mutex_lock(&ctx->lock);
        if (ctx->head || ctx->ready || ctx->woken)
            ns = timeout = 0;
        ctx->polling = timeout != 0;
        ctx->woken = false;
        __atomic_store_n(&ctx->poke, 0, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&ctx->lock);
        if (timeout != 0)
            timer_ns = bpc_timers_poll_begin(ctx);
        if (timer_ns >= 0 && (ns < 0 || timer_ns < ns))
            ns = timer_ns;
    } else if (bpc_machine_lock_wanted()) {
        sched_yield(); /* a busy main loop leaves vCPUs their turn */
    }
    ret = ctx ? sleep_in_poll(ctx, fds, n, ns) : poll_fds(fds, n, ns);
    if (timeout != 0 && ctx) {
        bpc_timers_poll_end(ctx);
        pthread_mutex_lock(&ctx->lock);
        ctx->polling = false;
        pthread_mutex_unlock(&ctx->lock);
    }
    bpc_machine_relock(depth);
    return ret;
}

bool bpc_context_poke(struct bp_context *ctx)
{
    bool wake = ctx->polling;

    ctx->polling = false;
    if (wake)
        __atomic_fetch_add(&ctx->wakers, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ctx->poke, 1, __ATOMIC_RELEASE);
    return wake;
}

void bpc_context_rouse(struct bp_context *ctx)
{
    g_main_context_wakeup(ctx->glib);
    __atomic_fetch_sub(&ctx->wakers, 1, __ATOMIC_RELEASE); /* it may be gone now */
}

void bpc_context_wake(struct bp_context *ctx)
{
    bool wake;

    pthread_mutex_lock(&ctx->lock);
    wake = bpc_context_poke(ctx);
    ctx->woken = !wake;
    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        bpc_context_rouse(ctx);
}

void bpc_context_init_locks(struct bp_context *ctx)
{
    pthread_mutex_init(&ctx->lock, NULL);
    pthread_cond_init(&ctx->done, NULL);
}

void bpc_context_init(struct bp_context *ctx, GMainContext *glib, const char *name)
{
    memset(&ctx->glib, 0, sizeof(*ctx) - offsetof(struct bp_context, glib));
    ctx->glib = glib;
    ctx->thread = pthread_self();
    ctx->loop = ctx;
    ctx->polling_until = INT64_MIN;
    ctx->name = g_strdup(name);
    ctx->tail = &ctx->head;
    ctx->ready_tail = &ctx->ready;
    ctx->source = g_source_new(&source_funcs, sizeof(struct context_source));
    ((struct context_source *)ctx->source)->ctx = ctx;
    g_source_set_name(ctx->source, "backplane");
    g_source_set_priority(ctx->source, G_PRIORITY_DEFAULT);
    g_source_set_can_recurse(ctx->source, TRUE);
    g_source_attach(ctx->source, glib);
    g_main_context_set_poll_func(glib, context_poll);
}

void bpc_context_fini(struct bp_context *ctx)
{
    bpc_workers_end(ctx);
    g_source_destroy(ctx->source);
    g_source_unref(ctx->source);
    for (int c = 0; c < BPC_CLOCKS; c++)
        g_free(ctx->heaps[c].timers);
    g_free(ctx->name);
}

/* ---- the main loop ---- */

void bpc_loop_init(void)
{
    if (bpc_main_context.glib)
        return;
    bpc_context_init_locks(&bpc_main_context);
    bpc_context_init(&bpc_main_context, g_main_context_default(), "main");
    bpc_main_context.is_main = true;
    bpc_current_context = &bpc_main_context;
    g_main_context_acquire(bpc_main_context.glib);
    prctl(PR_SET_TIMERSLACK, 1ul); /* timers fire when they are due, not 50 us later */
    bp_machine_lock(NULL);
}

void bpc_loop_run_once(bool block)
{
    bp_machine_lock(NULL);
    g_main_context_iteration(bpc_main_context.glib, block);
    bp_machine_unlock(NULL);
}

void bpc_loop_wake(void)
{
    bpc_context_wake(&bpc_main_context);
}

bool bpc_loop_is_main(void)
{
    return bpc_current_context == &bpc_main_context;
}
