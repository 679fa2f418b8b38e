/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts from outside: what is told of them, folding, names and signal stacks of threads, and calls that
 * are taken back at the last moment. */
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/coroutine.h>
#include <bp/loop.h>

#include "loop.h"
#include "owner.h"

static struct bp_context *new_context(const char *name)
{
    struct bp_context *ctx;

    g_assert_cmpint(bp_context_new(NULL, name, &ctx, NULL), ==, 0);
    return ctx;
}

static void found_by_name(void)
{
    struct bp_context *a = new_context("a"), *b = new_context("b"), *c = new_context("c");

    g_assert_true(bpc_context_find("a") == a);
    g_assert_true(bpc_context_find("b") == b);
    g_assert_true(bpc_context_find("c") == c);
    g_assert_null(bpc_context_find("d"));
    bp_context_free(b);
    g_assert_true(bpc_context_find("a") == a);
    g_assert_null(bpc_context_find("b"));
    bp_context_free(a);
    bp_context_free(c);
}

/* ---- what is told ---- */

static void set_flag(void *opaque)
{
    __atomic_store_n((bool *)opaque, true, __ATOMIC_SEQ_CST);
}

static void wait_for(bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST))
        g_usleep(100);
}

struct gate {
    bool inside, open;
};

static void stand_in_the_gate(void *opaque)
{
    struct gate *gate = opaque;

    set_flag(&gate->inside);
    wait_for(&gate->open);
}

static void note_info(const struct bpc_context_info *info, void *opaque)
{
    struct bpc_context_info *io = opaque;

    if (strcmp(info->name, "io") == 0)
        *io = *info;
}

static void queue_and_callbacks_are_told(void)
{
    struct bp_context *ctx = new_context("io");
    struct gate gate = {.inside = false};
    struct bpc_context_info info = {.queued = 99};
    bool done = false;

    bpc_context_info_each(note_info, &info);
    g_assert_cmpuint(info.queued, ==, 0);
    g_assert_cmpuint(info.callbacks, ==, 0);
    g_assert_false(info.is_main);
    g_assert_false(info.folded);
    bp_defer(ctx, stand_in_the_gate, &gate);
    wait_for(&gate.inside);
    bp_defer(ctx, set_flag, &done);
    bp_defer(ctx, set_flag, &done);
    bpc_context_info_each(note_info, &info);
    g_assert_cmpuint(info.queued, ==, 2);
    g_assert_cmpuint(info.queued_most, >=, 2);
    g_assert_cmpint(info.thread_id, ==, bp_context_thread_id(ctx));
    g_assert_cmpint(info.thread_id, !=, getpid());
    set_flag(&gate.open);
    while (bp_context_users(ctx) > 0)
        g_usleep(100);
    bpc_context_info_each(note_info, &info);
    g_assert_cmpuint(info.queued, ==, 0);
    g_assert_cmpuint(info.callbacks, ==, 3);
    bp_context_free(ctx);
}

static void note_main(const struct bpc_context_info *info, void *opaque)
{
    bool *seen = opaque;

    if (!info->is_main)
        return;
    g_assert_cmpstr(info->name, ==, "main");
    g_assert_cmpint(info->thread_id, ==, getpid());
    *seen = true;
}

static void main_context_is_told_too(void)
{
    bool seen = false;

    bpc_context_info_each(note_main, &seen);
    g_assert_true(seen);
}

/* ---- folding ---- */

static void note_context(void *opaque)
{
    *(struct bp_context **)opaque = bp_context_current();
}

/* Folding is for the rest of the process: in one of its own. */
static void folded_when_nothing_lives_there_yet(void)
{
    struct bp_context *empty, *used, *where = NULL;
    struct bpc_context_info info = {.folded = false};
    struct bp_deferred *lives;
    bool done = false;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        return;
    }
    empty = new_context("io");
    used = new_context("used");
    lives = bp_deferred_new(NULL, used, set_flag, &done);
    bp_contexts_fold(NULL);
    g_assert_true(bpc_contexts_folded());
    bpc_context_info_each(note_info, &info);
    g_assert_true(info.folded);
    g_assert_cmpint(info.thread_id, ==, getpid());
    bp_defer(empty, note_context, &where);
    while (!where)
        bpc_loop_run_once(false);
    g_assert_true(where == bp_context_main(NULL)); /* by the main thread */
    bp_deferred_schedule(lives);
    wait_for(&done); /* without a turn of the main loop */
    bp_deferred_free(lives);
}

/* ---- guest time ---- */

/* A context that is asleep when the machine goes on looks at its timers again. */
static void sleeping_context_hears_that_guest_time_goes_on(void)
{
    struct bp_context *ctx = new_context("io");
    bool fired = false;
    struct bp_timer *timer = bp_timer_new(NULL, ctx, BP_CLOCK_VIRTUAL, set_flag, &fired);

    bp_timer_set(timer, bp_timer_now(timer)); /* that it stands is no reason to be late */
    wait_for(&fired);
    fired = false;
    bp_timer_set(timer, bp_timer_now(timer) + 1000000);
    g_usleep(20000);
    g_assert_false(__atomic_load_n(&fired, __ATOMIC_SEQ_CST)); /* guest time stands */
    bpc_clock_virtual_run(true);
    wait_for(&fired);
    bpc_clock_virtual_run(false);
    bp_machine_unlock(NULL);
    bp_timer_free_wait(timer);
    bp_machine_lock(NULL);
    bp_context_free(ctx);
}

/* ---- the machine lock, measured ---- */

static void *take_and_give(void *opaque)
{
    bp_machine_lock(NULL);
    bp_machine_unlock(NULL);
    return opaque;
}

static void waits_for_the_lock_are_measured(void)
{
    const uint64_t second = UINT64_C(1000000000);
    struct bpc_lock_stats stats;
    pthread_t thread;

    bpc_lock_profile_reset();
    bpc_lock_profile(true);
    pthread_create(&thread, NULL, take_and_give, NULL);
    while (!bpc_machine_lock_wanted())
        g_usleep(100);
    g_usleep(5000);
    bp_machine_unlock(NULL);
    pthread_join(thread, NULL);
    bp_machine_lock(NULL);
    bpc_lock_profile_get(&stats);
    bpc_lock_profile(false);
    g_assert_true(stats.on);
    g_assert_cmpuint(stats.waited, >=, 1);
    g_assert_cmpuint(stats.taken, >=, 2);
    g_assert_cmpuint(stats.wait_ns, >=, 5000000);
    g_assert_cmpuint(stats.wait_ns, <, 600 * second);
    g_assert_cmpuint(stats.longest_wait_ns, >=, 5000000);
    g_assert_cmpuint(stats.longest_wait_ns, <=, stats.wait_ns);
    g_assert_cmpuint(stats.longest_held_ns, <=, stats.held_ns);
    bpc_lock_profile_reset();
    bpc_lock_profile_get(&stats);
    g_assert_cmpuint(stats.wait_ns, ==, 0);
}

/* ---- calls taken back ---- */

static void count(void *opaque)
{
    __atomic_fetch_add((unsigned *)opaque, 1, __ATOMIC_SEQ_CST);
}

/* The context's thread has begun with the call and waits for the lock that is held here. */
static struct bp_deferred *call_that_waits(struct bp_owner *owner, struct bp_context *ctx, unsigned *calls)
{
    struct bp_deferred *deferred;

    bpc_owner_init(owner);
    bpc_owner_lock_make(owner);
    deferred = bp_deferred_new(owner, ctx, count, calls);
    bp_machine_unlock(NULL);
    bpc_owner_lock_take(owner);
    bp_deferred_schedule(deferred);
    while (!__atomic_load_n(&owner->calls, __ATOMIC_SEQ_CST))
        g_usleep(100);
    return deferred;
}

static void settle(struct bp_owner *owner, struct bp_context *ctx)
{
    bpc_owner_lock_drop(owner);
    bp_machine_lock(NULL);
    while (bp_context_users(ctx) > 1 || __atomic_load_n(&owner->calls, __ATOMIC_SEQ_CST) > 1)
        g_usleep(100);
}

static void call_that_waits_for_the_lock_is_made(void)
{
    struct bp_context *ctx = new_context("io");
    struct bp_owner owner;
    unsigned calls = 0;

    call_that_waits(&owner, ctx, &calls);
    settle(&owner, ctx);
    g_assert_cmpuint(calls, ==, 1);
    bpc_owner_release(&owner);
    bp_context_free(ctx);
}

static void freed_under_the_lock_its_call_is_not_made(void)
{
    struct bp_context *ctx = new_context("io");
    struct bp_owner owner;
    unsigned calls = 0;

    bp_deferred_free(call_that_waits(&owner, ctx, &calls));
    settle(&owner, ctx);
    g_assert_cmpuint(calls, ==, 0);
    bpc_owner_release(&owner);
    bp_context_free(ctx);
}

/* ---- threads ---- */

static void *name_and_stack(void *opaque)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    stack_t first, second, none;
    sigset_t blocked;

    /* signals are the main thread's, but for its own faults */
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    g_assert_true(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1));
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++)
        g_assert_false(sigismember(&blocked, faults[i]));

    pthread_getname_np(pthread_self(), opaque, 16);
    bpc_fatal_thread();
    sigaltstack(NULL, &first);
    bpc_fatal_thread(); /* the second one leaves it alone */
    sigaltstack(NULL, &second);
    bpc_fatal_thread_end();
    sigaltstack(NULL, &none);
#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__
    g_assert_false(first.ss_flags & SS_DISABLE);
    g_assert_true(first.ss_sp == second.ss_sp);
    g_assert_true(none.ss_flags & SS_DISABLE);
#endif
#endif
    return NULL;
}

static void thread_has_its_name_and_a_stack_for_signals(void)
{
    pthread_t thread;
    char inside[16] = "", outside[16] = "";
    struct gate gate = {.inside = false};
    sigset_t blocked;

    g_assert_cmpint(bp_thread_start(&thread, "a name that is longer than fifteen", (void *)name_and_stack,
                                     inside), ==, 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    g_assert_false(sigismember(&blocked, SIGTERM));
    /* its name may come after its first steps: look from outside */
    g_assert_cmpint(bp_thread_start(&thread, "a name that is longer than fifteen",
                                     (void *)stand_in_the_gate, &gate), ==, 0);
    pthread_getname_np(thread, outside, sizeof(outside));
    set_flag(&gate.open);
    pthread_join(thread, NULL);
    g_assert_cmpstr(outside, ==, "a name that is ");
}

#ifndef __SANITIZE_THREAD__
static void note_lock(void *opaque)
{
    *(int *)opaque = bp_machine_locked(NULL) ? -1 : 1;
}

static void work(void *opaque)
{
    bp_co_worker(note_lock, opaque);
}

/* Stacks that no computer has room for: the host gives no thread. */
static void work_without_a_thread_is_done_without_the_lock(void)
{
    pthread_attr_t usual, huge;
    struct bp_co *co;
    int seen = 0;

    g_assert_cmpint(pthread_getattr_default_np(&usual), ==, 0);
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, (size_t)1 << 50);
    g_assert_cmpint(pthread_setattr_default_np(&huge), ==, 0);
    g_assert_cmpint(bp_co_new(NULL, NULL, "worker", work, &seen, &co, NULL), ==, 0);
    bp_co_enter(co);
    while (!bp_co_ended(co))
        bpc_loop_run_once(false);
    bp_co_unref(co);
    pthread_setattr_default_np(&usual);
    pthread_attr_destroy(&huge);
    pthread_attr_destroy(&usual);
    g_assert_cmpint(seen, ==, 1);
    g_assert_true(bp_machine_locked(NULL));
}
#endif

static unsigned signals;

static void signalled(int signo, int pid)
{
    (void)pid;
    g_assert_cmpint(signo, ==, SIGUSR1);
    signals++;
}

static void signal_nobody_waits_for_any_more_is_forgotten(void)
{
    bpc_loop_on_signal(SIGUSR1, signalled);
    raise(SIGUSR1);
    bpc_loop_on_signal(SIGUSR1, NULL);
    for (unsigned i = 0; i < 10; i++)
        bpc_loop_run_once(false);
    g_assert_cmpuint(signals, ==, 0);
    bpc_loop_on_signal(SIGUSR1, signalled);
    raise(SIGUSR1);
    while (signals == 0)
        bpc_loop_run_once(false);
    g_assert_cmpuint(signals, ==, 1);
    bpc_loop_on_signal(SIGUSR1, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
#define CASE(FN) g_test_add_func("/context/" #FN, FN)
    CASE(found_by_name);
    CASE(queue_and_callbacks_are_told);
    CASE(main_context_is_told_too);
    CASE(folded_when_nothing_lives_there_yet);
    CASE(sleeping_context_hears_that_guest_time_goes_on);
    CASE(waits_for_the_lock_are_measured);
    CASE(call_that_waits_for_the_lock_is_made);
    CASE(freed_under_the_lock_its_call_is_not_made);
    CASE(thread_has_its_name_and_a_stack_for_signals);
#ifndef __SANITIZE_THREAD__
    CASE(work_without_a_thread_is_done_without_the_lock);
#endif
    CASE(signal_nobody_waits_for_any_more_is_forgotten);
    return g_test_run();
}
