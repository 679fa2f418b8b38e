/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clocks. Host time comes from the host; the virtual clock is the machine's: it stops with it, and an
 * accelerator that owns guest time steps it by hand.
 *
 * When instructions are counted (core/machine/icount.c) the clock stands between the slices of a vCPU, and shows
 * inside of one what has been executed of it; its timers are fired by who counts.
 */
#include <time.h>

#include "context.h"
#include "loop.h"
#include "marks.h"

/* Callbacks that one standing instant may run before the main loop gets its turn. */
#define INSTANT_LIMIT 100000u

/* The virtual clock: frozen at a value, or -1 and following the monotonic clock. Written with the
 * lock, a leaf; read without. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t virtual_frozen;
static int64_t virtual_offset;
static bool virtual_by_hand;
static const struct bpc_counted *counted; /* set before anything runs */
static bool served;                       /* atomic: the machine runs, and `counted` fires virtual timers */

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
            return counted ? counted->now(frozen) : frozen;
        offset = __atomic_load_n(&virtual_offset, __ATOMIC_ACQUIRE);
        now = read_clock(CLOCK_MONOTONIC);
        /* stopped meanwhile: `now` may lie beyond the stop */
        if (__atomic_load_n(&virtual_frozen, __ATOMIC_ACQUIRE) < 0)
            return now - offset;
    }
}

int64_t bp_clock_ns(enum bp_clock clock)
{
    return read_clock(clock == BP_CLOCK_HOST ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

int64_t bp_virtual_ns(struct bp_machine *machine)
{
    (void)machine; /* one per process today */
    return virtual_now();
}

bool bpc_virtual_stands(void)
{
    return __atomic_load_n(&virtual_frozen, __ATOMIC_ACQUIRE) >= 0;
}

static void wake(struct bp_context *ctx, void *opaque)
{
    (void)opaque;
    if (ctx->loop == ctx)
        bpc_context_wake(ctx);
}

void bpc_clock_virtual_run(bool run)
{
    int64_t frozen;

    __atomic_store_n(&served, run && counted, __ATOMIC_RELEASE);
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
        bpc_context_each(wake, NULL);
}

static void set_frozen(int64_t ns, bool only_later)
{
    pthread_mutex_lock(&lock);
    if (virtual_frozen >= 0 && (!only_later || ns > virtual_frozen))
        __atomic_store_n(&virtual_frozen, MAX(ns, 0), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

void bpc_clock_virtual_set(int64_t ns)
{
    set_frozen(ns, false);
}

/* ---- counted ---- */

void bpc_clock_virtual_counted(const struct bpc_counted *how)
{
    bp_virtual_manual(NULL);
    counted = how;
}

bool bpc_virtual_served(void)
{
    return __atomic_load_n(&served, __ATOMIC_ACQUIRE);
}

void bpc_virtual_armed(int64_t deadline)
{
    if (counted)
        counted->armed(deadline);
}

void bpc_virtual_deferred(void)
{
    if (counted)
        counted->deferred();
}

/* ---- by hand ---- */

void bp_virtual_manual(struct bp_machine *machine)
{
    bpc_assert_main();
    (void)machine;
    bpc_clock_virtual_run(false);
    virtual_by_hand = true;
}

int64_t bp_virtual_next_deadline(struct bp_machine *machine)
{
    bpc_assert_main();
    (void)machine;
    return bpc_timers_next(&bpc_main_context, BP_CLOCK_VIRTUAL);
}

static unsigned instant_left; /* of advance_to(), on the main thread */

static bool reach(int64_t deadline)
{
    if (deadline > virtual_now()) {
        set_frozen(deadline, true);
        instant_left = INSTANT_LIMIT;
        return true;
    }
    /* it arms itself for the past again and again: the main loop goes on with it */
    return instant_left-- > 0;
}

void bp_virtual_advance_to(struct bp_machine *machine, int64_t ns)
{
    bpc_assert_main();
    (void)machine;
    instant_left = INSTANT_LIMIT;
    while (bpc_virtual_stands() && bpc_timers_fire_until(&bpc_main_context, ns, reach))
        ;
    if (bpc_virtual_stands())
        set_frozen(ns, true);
    bpc_context_each(wake, NULL); /* those with a thread look at their timers */
}
