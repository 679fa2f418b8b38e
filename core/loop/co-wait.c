/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a coroutine can wait for: time, descriptors, others, another context. */
#include <errno.h>

#include "coroutine.h"
#include "loop.h"
#include "marks.h"

static void wake_it(void *opaque)
{
    bp_co_wake(opaque);
}

/* Its timer, in the context that it is in now. */
static void arm(struct bp_co *co, enum bp_clock clock, int64_t deadline)
{
    bp_timer_free(co->timer);
    co->timer = bp_timer_new(NULL, co->home, clock, wake_it, co);
    bp_timer_set(co->timer, deadline);
}

static int64_t now_of(struct bp_co *co, enum bp_clock clock)
{
    return clock == BP_CLOCK_VIRTUAL ? bp_virtual_ns(co->home->machine) : bp_clock_ns(clock);
}

static int64_t after(int64_t now, int64_t ns)
{
    int64_t at;

    return __builtin_add_overflow(now, MAX(ns, 0), &at) ? INT64_MAX : at;
}

int bp_co_sleep(enum bp_clock clock, int64_t ns)
{
    bpc_assert_coroutine();
    struct bp_co *co = bp_co_current();
    int64_t deadline = after(now_of(co, clock), ns);
    int ret = 0;

    arm(co, clock, deadline);
    while (ret == 0 && bp_timer_pending(co->timer))
        ret = bp_co_yield();
    if (ret == 0 && now_of(co, clock) < deadline)
        ret = bp_co_cancelled() ? -ECANCELED : 0;
    bp_timer_cancel(co->timer);
    return ret;
}

struct fd_wait {
    struct bp_co *co;
    struct bp_watch *watch;
    unsigned got;
};

static void fd_ready(void *opaque, unsigned events)
{
    struct fd_wait *wait = opaque;

    wait->got |= events;
    bp_watch_free(wait->watch); /* once is enough: a loop of hang-ups would follow */
    wait->watch = NULL;
    bp_co_wake(wait->co);
}

/* The callback comes on the thread that this coroutine waits on: no lock is needed for `wait`. */
int bp_co_wait_fd(int fd, unsigned events, int64_t timeout_ns)
{
    bpc_assert_coroutine();
    struct fd_wait wait = {.co = bp_co_current()};
    struct bp_co *co = wait.co;
    int ret = 0;

    if (timeout_ns >= 0)
        arm(co, BP_CLOCK_REALTIME, after(bp_clock_ns(BP_CLOCK_REALTIME), timeout_ns));
    wait.watch = bp_watch_new(NULL, co->home, fd, events, fd_ready, &wait);
    while (ret == 0 && wait.got == 0) {
        if (timeout_ns >= 0 && !bp_timer_pending(co->timer))
            ret = -ETIMEDOUT;
        else
            ret = bp_co_yield();
    }
    bp_watch_free(wait.watch);
    if (timeout_ns >= 0)
        bp_timer_cancel(co->timer);
    return wait.got ? (int)wait.got : ret;
}

void bpc_co_pause(int64_t ns)
{
    struct bp_co *co = bp_co_current();

    arm(co, BP_CLOCK_REALTIME, after(bp_clock_ns(BP_CLOCK_REALTIME), ns));
    bpc_co_wait(co);
    bp_timer_cancel(co->timer);
}

int bp_co_join(struct bp_co *co)
{
    bpc_assert_coroutine();
    int ret = 0;

    pthread_mutex_lock(&co->join_lock);
    if (!co->joiners)
        co->joiners = bp_co_queue_new();
    pthread_mutex_unlock(&co->join_lock);
    while (ret == 0 && !bp_co_ended(co))
        ret = bpc_co_queue_wait_unless(co->joiners, co);
    return ret;
}

void bp_co_move(struct bp_context *ctx)
{
    bpc_assert_coroutine();
    struct bp_co *co = bp_co_current();

    ctx = bpc_context_choose(NULL, ctx);
    if (ctx == co->home)
        return;
    bp_timer_free(co->timer); /* it lives in the old one */
    co->timer = NULL;
    __atomic_fetch_add(&ctx->items, 1, __ATOMIC_RELAXED);
    co->move_to = ctx;
    bpc_fibre_switch(&co->fibre, co->caller, false);
}

struct job {
    struct bp_co *co;
    void (*fn)(void *opaque);
    void *opaque;
    bool done; /* atomic */
};

static void do_job(void *opaque)
{
    struct job *job = opaque;
    struct bp_co *co = bp_co_ref(job->co); /* `job` lies on its stack: gone once done is seen */

    job->fn(job->opaque);
    __atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
    bp_co_wake(co);
    bp_co_unref(co);
}

void bp_co_run_in(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque)
{
    bpc_assert_coroutine();
    struct bp_context *back = bp_co_current()->home;

    bp_co_move(ctx);
    fn(opaque);
    bp_co_move(back);
}

void bp_co_worker(void (*fn)(void *opaque), void *opaque)
{
    bpc_assert_coroutine();
    struct job job = {.co = bp_co_current(), .fn = fn, .opaque = opaque};

    bpc_worker_run(job.co->home, do_job, &job);
    while (!__atomic_load_n(&job.done, __ATOMIC_ACQUIRE))
        bpc_co_wait(job.co);
}
