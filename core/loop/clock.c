/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clocks, and timers in a binary heap per clock. The main loop sleeps until the earliest deadline of
 * all; arming a timer wakes it only when that one became the earliest and the loop is asleep.
 *
 * Leaves out: instruction counting; an accelerator that counts drives the virtual clock by hand.
 */
#include <limits.h>
#include <time.h>

#include "loop.h"
#include "queue.h"

#define CLOCKS 3
/* The host clock may be set while we sleep: its timers look again this often. */
#define HOST_RECHECK_NS 1000000000ll
/* Callbacks that one standing instant may run before the main loop gets its turn. */
#define INSTANT_LIMIT 100000u

enum timer_where { TIMER_IDLE, TIMER_HEAP, TIMER_DUE };

struct bp_timer {
    struct bpc_claim claim;
    void (*fire)(void *opaque);
    void *opaque;
    int64_t deadline;
    uint64_t order;         /* of arming: decides between equal deadlines */
    enum bp_clock clock;
    enum timer_where where;
    size_t index;           /* in the heap */
    struct bp_timer *next, *prev; /* in the due list */
};

struct heap {
    struct bp_timer **timers;
    size_t count, room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static pthread_cond_t fired = PTHREAD_COND_INITIALIZER;
static struct heap heaps[CLOCKS];
static struct bp_timer *due_head, *due_tail; /* taken from the heaps, to fire in this turn */
static struct bp_timer *firing;              /* its callback runs now; NULL once it was freed */
static uint64_t next_order;
static int64_t polling_until = INT64_MIN; /* realtime at which the sleeping loop wakes by itself */

/* The virtual clock: frozen at a value, or -1 and following the monotonic clock. Read without the
 * lock. */
static int64_t virtual_frozen;
static int64_t virtual_offset;
static bool virtual_by_hand;

/* ---- reading clocks ---- */

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int64_t virtual_now(void)
{
    for (;;) {
        int64_t frozen = __atomic_load_n(&virtual_frozen, __ATOMIC_ACQUIRE);
        int64_t offset, now;

        if (frozen >= 0)
            return frozen;
        offset = __atomic_load_n(&virtual_offset, __ATOMIC_ACQUIRE);
        now = read_clock(CLOCK_MONOTONIC);
        /* stopped meanwhile: `now` may lie beyond the stop */
        if (__atomic_load_n(&virtual_frozen, __ATOMIC_ACQUIRE) < 0)
            return now - offset;
    }
}

int64_t bp_clock_ns(enum bp_clock clock)
{
    switch (clock) {
    case BP_CLOCK_HOST:
        return read_clock(CLOCK_REALTIME);
    case BP_CLOCK_REALTIME:
        return read_clock(CLOCK_MONOTONIC);
    default:
        return virtual_now();
    }
}

/* ---- the heap ---- */

static bool before(const struct bp_timer *a, const struct bp_timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void place(struct heap *h, size_t i, struct bp_timer *t)
{
    h->timers[i] = t;
    t->index = i;
}

static void sift_up(struct heap *h, size_t i, struct bp_timer *t)
{
    while (i > 0 && before(t, h->timers[(i - 1) / 2])) {
        place(h, i, h->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, t);
}

static void sift_down(struct heap *h, size_t i, struct bp_timer *t)
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
    struct heap *h = &heaps[t->clock];

    if (h->count == h->room) {
        h->room = h->room ? h->room * 2 : 64;
        h->timers = g_renew(struct bp_timer *, h->timers, h->room);
    }
    t->where = TIMER_HEAP;
    sift_up(h, h->count++, t);
}

static void heap_remove(struct bp_timer *t)
{
    struct heap *h = &heaps[t->clock];
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

static struct bp_timer *earliest(enum bp_clock clock)
{
    return heaps[clock].count > 0 ? heaps[clock].timers[0] : NULL;
}

/* ---- the due list ---- */

static void due_append(struct bp_timer *t)
{
    t->where = TIMER_DUE;
    t->next = NULL;
    t->prev = due_tail;
    if (due_tail)
        due_tail->next = t;
    else
        due_head = t;
    due_tail = t;
}

static void due_remove(struct bp_timer *t)
{
    t->where = TIMER_IDLE;
    if (t->prev)
        t->prev->next = t->next;
    else
        due_head = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        due_tail = t->prev;
}

static void take_out(struct bp_timer *t)
{
    if (t->where == TIMER_HEAP)
        heap_remove(t);
    else if (t->where == TIMER_DUE)
        due_remove(t);
}

/* Runs the callback of a timer that was taken out; lock held, dropped meanwhile. */
static void fire(struct bp_timer *t)
{
    firing = t;
    pthread_mutex_unlock(&lock);
    t->fire(t->opaque);
    pthread_mutex_lock(&lock);
    firing = NULL;
    pthread_cond_broadcast(&fired);
}

/* ---- timers ---- */

static void destroy(struct bp_timer *t)
{
    pthread_mutex_lock(&lock);
    take_out(t);
    /* Whoever holds the machine lock, the main thread included, knows that it is not running. */
    if (!bp_machine_locked() && !bpc_loop_is_main()) {
        while (firing == t)
            pthread_cond_wait(&fired, &lock);
        take_out(t); /* it may have armed itself again */
    }
    pthread_mutex_unlock(&lock);
    g_free(t);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_timer *)((char *)claim - offsetof(struct bp_timer, claim)));
}

struct bp_timer *bp_timer_new(struct bp_owner *owner, enum bp_clock clock,
                              void (*fire_fn)(void *opaque), void *opaque)
{
    struct bp_timer *t = g_new0(struct bp_timer, 1);

    t->clock = clock <= BP_CLOCK_VIRTUAL ? clock : BP_CLOCK_VIRTUAL;
    t->fire = fire_fn;
    t->opaque = opaque;
    bpc_claim(owner, &t->claim, release);
    return t;
}

void bp_timer_free(struct bp_timer *timer)
{
    if (!timer)
        return;
    bpc_unclaim(&timer->claim);
    destroy(timer);
}

/* ns from now to the earliest deadline of a clock; -1: none, or the clock stands. */
static int64_t distance(enum bp_clock clock)
{
    struct bp_timer *t = earliest(clock);
    int64_t now, ns;

    if (!t || (clock == BP_CLOCK_VIRTUAL && __atomic_load_n(&virtual_frozen, __ATOMIC_RELAXED) >= 0 &&
               t->deadline > virtual_frozen))
        return -1;
    now = bp_clock_ns(clock);
    if (t->deadline <= now)
        return 0;
    if (__builtin_sub_overflow(t->deadline, now, &ns))
        ns = INT64_MAX;
    return clock == BP_CLOCK_HOST ? MIN(ns, HOST_RECHECK_NS) : ns;
}

/* Must the sleeping loop look again, now that t is the earliest of its clock? */
static bool must_wake(enum bp_clock clock)
{
    int64_t ns = distance(clock), until;

    if (ns < 0)
        return false;
    if (__builtin_add_overflow(read_clock(CLOCK_MONOTONIC), ns, &until))
        until = INT64_MAX;
    if (until >= polling_until)
        return false;
    polling_until = until; /* one wake-up is enough */
    return true;
}

void bp_timer_set(struct bp_timer *timer, int64_t deadline_ns)
{
    bool wake = false;

    pthread_mutex_lock(&lock);
    take_out(timer);
    timer->deadline = MAX(deadline_ns, 0);
    timer->order = next_order++;
    heap_insert(timer);
    if (timer->index == 0 && polling_until != INT64_MIN)
        wake = must_wake(timer->clock);
    pthread_mutex_unlock(&lock);
    if (wake)
        bpc_loop_wake();
}

void bp_timer_cancel(struct bp_timer *timer)
{
    pthread_mutex_lock(&lock);
    take_out(timer);
    pthread_mutex_unlock(&lock);
}

bool bp_timer_pending(const struct bp_timer *timer)
{
    return bp_timer_deadline(timer) >= 0;
}

int64_t bp_timer_deadline(const struct bp_timer *timer)
{
    int64_t deadline;

    pthread_mutex_lock(&lock);
    deadline = timer->where == TIMER_IDLE ? -1 : timer->deadline;
    pthread_mutex_unlock(&lock);
    return deadline;
}

/* ---- for the main loop ---- */

static int64_t nearest_distance(void)
{
    int64_t best = -1;

    for (int c = 0; c < CLOCKS; c++) {
        int64_t ns = distance(c);

        if (ns >= 0 && (best < 0 || ns < best))
            best = ns;
    }
    return best;
}

bool bpc_clock_due(void)
{
    bool due;

    pthread_mutex_lock(&lock);
    due = due_head || nearest_distance() == 0;
    pthread_mutex_unlock(&lock);
    return due;
}

int64_t bpc_clock_poll_begin(void)
{
    int64_t ns;

    pthread_mutex_lock(&lock);
    ns = nearest_distance();
    if (ns < 0 || __builtin_add_overflow(read_clock(CLOCK_MONOTONIC), ns, &polling_until))
        polling_until = INT64_MAX;
    pthread_mutex_unlock(&lock);
    return ns;
}

void bpc_clock_poll_end(void)
{
    pthread_mutex_lock(&lock);
    polling_until = INT64_MIN;
    pthread_mutex_unlock(&lock);
}

/* What is due now fires now; what its callbacks arm waits for the next turn, so that a timer that
 * is always late does not keep the loop to itself. */
void bpc_clock_run_due(void)
{
    struct bp_timer *t;

    pthread_mutex_lock(&lock);
    for (int c = 0; c < CLOCKS; c++) {
        int64_t now = heaps[c].count > 0 ? bp_clock_ns(c) : 0;

        while ((t = earliest(c)) != NULL && t->deadline <= now) {
            heap_remove(t);
            due_append(t);
        }
    }
    while ((t = due_head) != NULL) {
        due_remove(t);
        fire(t);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the virtual clock ---- */

void bpc_clock_virtual_run(bool run)
{
    int64_t frozen;

    if (virtual_by_hand)
        return;
    pthread_mutex_lock(&lock);
    frozen = virtual_frozen;
    if (run && frozen >= 0) {
        __atomic_store_n(&virtual_offset, read_clock(CLOCK_MONOTONIC) - frozen, __ATOMIC_RELEASE);
        __atomic_store_n(&virtual_frozen, -1, __ATOMIC_RELEASE);
    } else if (!run && frozen < 0) {
        __atomic_store_n(&virtual_frozen, read_clock(CLOCK_MONOTONIC) - virtual_offset,
                         __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    if (run)
        bpc_loop_wake();
}

void bpc_clock_virtual_set(int64_t ns)
{
    pthread_mutex_lock(&lock);
    if (virtual_frozen >= 0)
        __atomic_store_n(&virtual_frozen, MAX(ns, 0), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

void bp_clock_virtual_manual(void)
{
    bpc_clock_virtual_run(false);
    virtual_by_hand = true;
}

int64_t bp_clock_virtual_next_deadline(void)
{
    struct bp_timer *t;
    int64_t ns;

    pthread_mutex_lock(&lock);
    t = earliest(BP_CLOCK_VIRTUAL);
    ns = t ? t->deadline : -1;
    pthread_mutex_unlock(&lock);
    return ns;
}

void bp_clock_virtual_advance_to(int64_t ns)
{
    unsigned left = INSTANT_LIMIT;
    struct bp_timer *t;

    pthread_mutex_lock(&lock);
    while (virtual_frozen >= 0 && (t = earliest(BP_CLOCK_VIRTUAL)) != NULL && t->deadline <= ns) {
        if (t->deadline > virtual_frozen) {
            __atomic_store_n(&virtual_frozen, t->deadline, __ATOMIC_RELEASE);
            left = INSTANT_LIMIT;
        } else if (left-- == 0) {
            break; /* it arms itself for the past again and again: the main loop goes on with it */
        }
        heap_remove(t);
        fire(t);
    }
    if (virtual_frozen >= 0 && ns > virtual_frozen)
        __atomic_store_n(&virtual_frozen, ns, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}
