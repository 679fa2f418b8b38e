/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timers, in a binary heap per clock and context. A context sleeps until the earliest deadline of all;
 * arming a timer wakes it only when that one became the earliest and the context is asleep.
 */
#include <limits.h>

#include "context.h"
#include "loop.h"
#include "marks.h"

/* The host clock may be set while we sleep: its timers look again this often. */
#define HOST_RECHECK_NS 1000000000ll

enum timer_where { TIMER_IDLE, TIMER_HEAP, TIMER_DUE, TIMER_HELD };

struct bp_timer {
    struct bpc_item item; /* first */
    void (*fire)(void *opaque);
    void *opaque;
    int64_t deadline;
    uint64_t order;         /* of arming: decides between equal deadlines */
    enum bp_clock clock;
    enum timer_where where;
    size_t index;           /* in the heap */
    struct bp_timer *next, *prev; /* in the due list */
};

static int64_t clock_now(enum bp_clock clock)
{
    return clock == BP_CLOCK_VIRTUAL ? bp_virtual_ns(NULL) : bp_clock_ns(clock);
}

/* ---- the heap ---- */

static bool before(const struct bp_timer *a, const struct bp_timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void place(struct bpc_heap *h, size_t i, struct bp_timer *t)
{
    h->timers[i] = t;
    t->index = i;
}

static void sift_up(struct bpc_heap *h, size_t i, struct bp_timer *t)
{
    while (i > 0 && before(t, h->timers[(i - 1) / 2])) {
        place(h, i, h->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, t);
}

static void sift_down(struct bpc_heap *h, size_t i, struct bp_timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(h->timers[child + 1], h->timers[child]))
            child++;
        if (!before(h->timers[child], t))
            break;
        place(h, i, h->timers[child]);
        i = child;
    }
    place(h, i, t);
}

static void heap_insert(struct bp_timer *t)
{
    struct bpc_heap *h = &t->item.ctx->heaps[t->clock];

    if (h->count == h->room) {
        h->room = h->room ? h->room * 2 : 64;
        h->timers = g_renew(struct bp_timer *, h->timers, h->room);
    }
    t->where = TIMER_HEAP;
    sift_up(h, h->count++, t);
}

static void heap_remove(struct bp_timer *t)
{
    struct bpc_heap *h = &t->item.ctx->heaps[t->clock];
    size_t i = t->index;
    struct bp_timer *last = h->timers[--h->count];

    t->where = TIMER_IDLE;
    if (last == t)
        return;
    if (i > 0 && before(last, h->timers[(i - 1) / 2]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

static struct bp_timer *earliest(struct bp_context *ctx, enum bp_clock clock)
{
    return ctx->heaps[clock].count > 0 ? ctx->heaps[clock].timers[0] : NULL;
}

/* ---- the due list ---- */

static void due_append(struct bp_timer *t)
{
    struct bp_context *ctx = t->item.ctx;

    t->where = TIMER_DUE;
    t->next = NULL;
    t->prev = ctx->due_tail;
    if (ctx->due_tail)
        ctx->due_tail->next = t;
    else
        ctx->due_head = t;
    ctx->due_tail = t;
}

static void due_remove(struct bp_timer *t)
{
    struct bp_context *ctx = t->item.ctx;

    t->where = TIMER_IDLE;
    if (t->prev)
        t->prev->next = t->next;
    else
        ctx->due_head = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        ctx->due_tail = t->prev;
}

static void take_out(struct bp_timer *t)
{
    if (t->where == TIMER_HEAP)
        heap_remove(t);
    else if (t->where == TIMER_DUE)
        due_remove(t);
    t->where = TIMER_IDLE;
}

/* Runs the callback of a timer that was taken out; the context's lock held, dropped meanwhile. */
static void fire(struct bp_timer *t)
{
    struct bpc_call call;

    if (bpc_item_begin(&t->item, "timer", &call))
        t->fire(t->opaque);
    if (bpc_item_end(&t->item, &call)) {
        take_out(t); /* it may have armed itself before it freed itself */
        g_free(t);
    }
}

/* ---- timers ---- */

static void destroy(struct bp_timer *t, bool wait)
{
    struct bp_context *ctx = bpc_item_lock(&t->item);
    bool gone;

    take_out(t);
    gone = wait ? bpc_item_kill_wait(&t->item) : bpc_item_kill(&t->item);
    if (gone)
        take_out(t);
    pthread_mutex_unlock(&ctx->lock);
    if (gone)
        g_free(t);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_timer *)claim, false);
}

static void hold(struct bpc_item *item);
static void resume(struct bpc_item *item);
static const struct bpc_item_kind timer_kind = {release, hold, resume};

struct bp_timer *bp_timer_new(struct bp_owner *owner, struct bp_context *ctx, enum bp_clock clock,
                              void (*fire_fn)(void *opaque), void *opaque)
{
    struct bp_timer *t = g_new0(struct bp_timer, 1);

    t->clock = clock <= BP_CLOCK_VIRTUAL ? clock : BP_CLOCK_VIRTUAL;
    t->fire = fire_fn;
    t->opaque = opaque;
    bpc_item_init(&t->item, owner, ctx, &timer_kind);
    return t;
}

void bp_timer_free(struct bp_timer *timer)
{
    if (!timer)
        return;
    bpc_item_unclaim(&timer->item);
    destroy(timer, false);
}

void bp_timer_free_wait(struct bp_timer *timer)
{
    bpc_assert_unlocked();
    if (!timer)
        return;
    bpc_item_unclaim(&timer->item);
    destroy(timer, true);
}

/* ns from now to the earliest deadline of a clock; -1: none, or the clock stands. */
static int64_t distance(struct bp_context *ctx, enum bp_clock clock)
{
    struct bp_timer *t = earliest(ctx, clock);
    int64_t now, ns;

    if (!t || (clock == BP_CLOCK_VIRTUAL && bpc_virtual_served()))
        return -1;
    now = clock_now(clock);
    if (t->deadline <= now)
        return 0;
    if (clock == BP_CLOCK_VIRTUAL && bpc_virtual_stands())
        return -1;
    if (__builtin_sub_overflow(t->deadline, now, &ns))
        ns = INT64_MAX;
    return clock == BP_CLOCK_HOST ? MIN(ns, HOST_RECHECK_NS) : ns;
}

/* Must the sleeping context look again, now that t is the earliest of its clock? */
static bool must_wake(struct bp_context *ctx, enum bp_clock clock)
{
    int64_t ns = distance(ctx, clock), until;

    if (ns < 0)
        return false;
    if (__builtin_add_overflow(bp_clock_ns(BP_CLOCK_REALTIME), ns, &until))
        until = INT64_MAX;
    if (until >= ctx->polling_until)
        return false;
    ctx->polling_until = until; /* one wake-up is enough */
    return true;
}

/* With its context's lock held; true: the context has to be woken. */
static bool arm(struct bp_timer *t, struct bp_context *ctx)
{
    t->order = ctx->next_order++;
    if (t->item.claim.held) {
        t->where = TIMER_HELD;
        return false;
    }
    heap_insert(t);
    return t->index == 0 && ctx->polling_until != INT64_MIN && must_wake(ctx, t->clock);
}

static void hold(struct bpc_item *item)
{
    struct bp_timer *t = (struct bp_timer *)item;
    bool armed = t->where != TIMER_IDLE;

    take_out(t);
    t->where = armed ? TIMER_HELD : TIMER_IDLE;
}

static void resume(struct bpc_item *item)
{
    struct bp_timer *t = (struct bp_timer *)item;
    struct bp_context *ctx = bpc_item_lock(item);
    bool held = t->where == TIMER_HELD, wake = held && arm(t, ctx), virtual = held && t->clock == BP_CLOCK_VIRTUAL;
    int64_t deadline = t->deadline;

    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        bpc_context_wake(ctx);
    if (virtual)
        bpc_virtual_armed(deadline);
}

void bp_timer_set(struct bp_timer *timer, int64_t deadline_ns)
{
    struct bp_context *ctx = bpc_item_lock(&timer->item);
    bool wake = false, virtual = timer->clock == BP_CLOCK_VIRTUAL;

    take_out(timer);
    timer->item.generation++;
    if (!timer->item.stopped && !timer->item.dead) {
        timer->deadline = MAX(deadline_ns, 0);
        wake = arm(timer, ctx);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        bpc_context_wake(ctx);
    if (virtual)
        bpc_virtual_armed(MAX(deadline_ns, 0));
}

void bp_timer_cancel(struct bp_timer *timer)
{
    struct bp_context *ctx = bpc_item_lock(&timer->item);

    take_out(timer);
    timer->item.generation++;
    pthread_mutex_unlock(&ctx->lock);
}

bool bp_timer_pending(const struct bp_timer *timer)
{
    return bp_timer_deadline(timer) >= 0;
}

int64_t bp_timer_deadline(const struct bp_timer *timer)
{
    struct bp_context *ctx = bpc_item_lock(&timer->item);
    int64_t deadline = timer->where == TIMER_IDLE ? -1 : timer->deadline;

    pthread_mutex_unlock(&ctx->lock);
    return deadline;
}

int64_t bp_timer_now(const struct bp_timer *timer)
{
    return clock_now(timer->clock);
}

/* ---- for the loop ---- */

static int64_t nearest_distance(struct bp_context *ctx)
{
    int64_t best = -1;

    for (int c = 0; c < BPC_CLOCKS; c++) {
        int64_t ns = distance(ctx, c);

        if (ns >= 0 && (best < 0 || ns < best))
            best = ns;
    }
    return best;
}

bool bpc_timers_due(struct bp_context *ctx)
{
    bool due;

    pthread_mutex_lock(&ctx->lock);
    due = ctx->due_head || nearest_distance(ctx) == 0;
    pthread_mutex_unlock(&ctx->lock);
    return due;
}

int64_t bpc_timers_poll_begin(struct bp_context *ctx)
{
    int64_t ns;

    pthread_mutex_lock(&ctx->lock);
    ns = nearest_distance(ctx);
    if (ns < 0 ||
        __builtin_add_overflow(bp_clock_ns(BP_CLOCK_REALTIME), ns, &ctx->polling_until))
        ctx->polling_until = INT64_MAX;
    pthread_mutex_unlock(&ctx->lock);
    return ns;
}

void bpc_timers_poll_end(struct bp_context *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    ctx->polling_until = INT64_MIN;
    pthread_mutex_unlock(&ctx->lock);
}

/* What is due now fires now; what its callbacks arm waits for the next turn, so that a timer that
 * is always late does not keep the loop to itself. */
void bpc_timers_run_due(struct bp_context *ctx)
{
    struct bp_timer *t;

    pthread_mutex_lock(&ctx->lock);
    for (int c = 0; c < BPC_CLOCKS; c++) {
        int64_t now = ctx->heaps[c].count > 0 ? clock_now(c) : 0;

        if (c == BP_CLOCK_VIRTUAL && bpc_virtual_served())
            continue;
        while ((t = earliest(ctx, c)) != NULL && t->deadline <= now) {
            heap_remove(t);
            due_append(t);
        }
    }
    while ((t = ctx->due_head) != NULL) {
        due_remove(t);
        if (!t->item.stopped)
            fire(t);
    }
    pthread_mutex_unlock(&ctx->lock);
}

int64_t bpc_timers_next(struct bp_context *ctx, enum bp_clock clock)
{
    struct bp_timer *t;
    int64_t ns;

    pthread_mutex_lock(&ctx->lock);
    t = earliest(ctx, clock);
    ns = t ? t->deadline : -1;
    pthread_mutex_unlock(&ctx->lock);
    return ns;
}

int64_t bpc_virtual_deadline(void)
{
    return bpc_timers_next(&bpc_main_context, BP_CLOCK_VIRTUAL);
}

bool bpc_timers_fire_until(struct bp_context *ctx, int64_t ns, bool (*reach)(int64_t deadline))
{
    struct bp_timer *t;
    bool fired = false;

    pthread_mutex_lock(&ctx->lock);
    t = earliest(ctx, BP_CLOCK_VIRTUAL);
    if (t && t->deadline <= ns && reach(t->deadline)) {
        heap_remove(t);
        if (!t->item.stopped)
            fire(t);
        fired = true;
    }
    pthread_mutex_unlock(&ctx->lock);
    return fired;
}
