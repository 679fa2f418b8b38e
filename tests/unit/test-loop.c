/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main loop, watches, deferred calls, I/O threads, signals and the machine lock. */
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <bp/loop.h>

#include "loop.h"
#include "owner.h"

static unsigned calls;

static void count(void *opaque)
{
    (void)opaque;
    g_assert_true(bp_machine_locked(NULL));
    calls++;
}

static void deferred_scheduled_twice_runs_once(void)
{
    struct bp_deferred *d = bp_deferred_new(NULL, NULL, count, NULL);

    calls = 0;
    bp_deferred_schedule(d);
    bp_deferred_schedule(d);
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 1);
    bp_deferred_schedule(d);
    bp_deferred_free(d);
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 1);
    bp_defer(NULL, count, NULL);
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 2);
}

static struct bp_deferred *self;

static void free_self(void *opaque)
{
    calls++;
    bp_deferred_schedule(self);
    if (opaque)
        bp_deferred_free(self);
}

static void deferred_may_reschedule_and_free_itself(void)
{
    calls = 0;
    self = bp_deferred_new(NULL, NULL, free_self, NULL);
    bp_deferred_schedule(self);
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 1); /* the second one waits for the next turn */
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 2);
    bp_deferred_free(self);
    self = bp_deferred_new(NULL, NULL, free_self, &calls);
    bp_deferred_schedule(self);
    bpc_loop_run_once(false);
    bpc_loop_run_once(false);
    g_assert_cmpuint(calls, ==, 3);
}

static struct bp_watch *watch;
static unsigned got;

static void ready(void *opaque, unsigned events)
{
    int *fd = opaque;
    char c;

    g_assert_true(bp_machine_locked(NULL));
    got |= events;
    if ((events & BP_WATCH_IN) && read(*fd, &c, 1) == 1 && c == 'x') {
        bp_watch_free(watch);
        watch = NULL;
    }
}

static void watch_reports_reads_and_hang_up(void)
{
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    got = 0;
    watch = bp_watch_new(NULL, NULL, fds[0], BP_WATCH_IN, ready, &fds[0]);
    bpc_loop_run_once(false);
    g_assert_cmpuint(got, ==, 0);
    g_assert_cmpint(write(fds[1], "a", 1), ==, 1);
    bpc_loop_run_once(true);
    g_assert_cmpuint(got, ==, BP_WATCH_IN);
    bp_watch_set(watch, 0);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    got = 0;
    bpc_loop_run_once(false);
    g_assert_cmpuint(got, ==, 0);
    bp_watch_set(watch, BP_WATCH_IN);
    bpc_loop_run_once(false);
    g_assert_cmpuint(got, ==, BP_WATCH_IN);
    g_assert_null(watch); /* freed inside its own callback */
    watch = bp_watch_new(NULL, NULL, fds[0], 0, ready, &fds[0]);
    close(fds[1]);
    got = 0;
    bpc_loop_run_once(true);
    g_assert_cmpuint(got, ==, BP_WATCH_HUP);
    bp_watch_free(watch);
    close(fds[0]);
}

static void released_owner_takes_watches_and_calls(void)
{
    struct bp_owner owner;
    int fds[2];

    bpc_owner_init(&owner);
    g_assert_cmpint(pipe(fds), ==, 0);
    got = calls = 0;
    bp_watch_new(&owner, NULL, fds[0], BP_WATCH_IN, ready, &fds[0]);
    bp_deferred_schedule(bp_deferred_new(&owner, NULL, count, NULL));
    g_assert_cmpint(write(fds[1], "a", 1), ==, 1);
    bpc_owner_release(&owner);
    bpc_loop_run_once(false);
    g_assert_cmpuint(got + calls, ==, 0);
    close(fds[0]);
    close(fds[1]);
}

static void back_on_main(void *opaque)
{
    (void)opaque;
    g_assert_true(bpc_loop_is_main());
    g_assert_true(bp_machine_locked(NULL));
    calls++;
}

static gint on_thread_runs;

static void on_thread(void *opaque)
{
    g_assert_false(bpc_loop_is_main());
    g_assert_false(bp_machine_locked(NULL));
    bp_machine_lock(NULL);
    g_assert_true(bp_machine_locked(NULL));
    bp_machine_unlock(NULL);
    g_atomic_int_inc(&on_thread_runs);
    bp_deferred_schedule(opaque);
}

static void iothread_calls_go_there_and_back(void)
{
    struct bp_deferred *there, *back;
    struct bp_context *thread;

    g_assert_cmpint(bp_context_new(NULL, "test", &thread, NULL), ==, 0);
    back = bp_deferred_new(NULL, NULL, back_on_main, NULL);
    there = bp_deferred_new(NULL, thread, on_thread, back);
    calls = 0;
    for (unsigned i = 0; i < 200; i++) {
        bp_deferred_schedule(there);
        while (calls == i)
            bpc_loop_run_once(true);
    }
    g_assert_cmpint(on_thread_runs, ==, 200);
    bp_deferred_schedule(there);
    bp_machine_unlock(NULL); /* its callback takes it */
    bp_deferred_free_wait(there);
    bp_machine_lock(NULL);
    bp_deferred_free(back);
    g_assert_cmpuint(bp_context_users(thread), ==, 0);
    bp_context_free(thread);
}

static gint thread_got;

static void thread_ready(void *opaque, unsigned events)
{
    char c;

    if ((events & BP_WATCH_IN) && read(*(int *)opaque, &c, 1) == 1)
        g_atomic_int_inc(&thread_got);
    bpc_loop_wake();
}

static void iothread_serves_watches(void)
{
    struct bp_context *thread;
    struct bp_watch *w;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(bp_context_new(NULL, "test", &thread, NULL), ==, 0);
    w = bp_watch_new(NULL, thread, fds[0], BP_WATCH_IN, thread_ready, &fds[0]);
    for (int i = 0; i < 100; i++) {
        g_assert_cmpint(write(fds[1], "a", 1), ==, 1);
        while (g_atomic_int_get(&thread_got) == i)
            bpc_loop_run_once(true);
    }
    g_assert_cmpint(write(fds[1], "a", 1), ==, 1);
    bp_machine_unlock(NULL);
    bp_watch_free_wait(w);
    bp_machine_lock(NULL);
    bp_context_free(thread);
    close(fds[0]);
    close(fds[1]);
}

static gint wake_left;

static gpointer waker(gpointer opaque)
{
    for (int i = 0; i < 2000; i++) {
        g_atomic_int_inc((gint *)opaque);
        bpc_loop_wake();
        while (g_atomic_int_get((gint *)opaque) != 0)
            g_thread_yield();
    }
    g_atomic_int_set(&wake_left, 0);
    bpc_loop_wake();
    return NULL;
}

/* A wake-up that comes between looking and sleeping is not lost: this would hang. */
static gint calls_elsewhere;

static void call_elsewhere(void *opaque)
{
    (void)opaque;
    g_atomic_int_inc(&calls_elsewhere);
}

static void *last_call(void *opaque)
{
    bp_defer(opaque, call_elsewhere, NULL);
    return NULL;
}

/* A loop that polls busily sees the call before whoever made it has woken it; then nothing is left that
 * keeps the context. Sanitizers tell when it is touched once more. */
static void freed_with_the_last_call_is_not_touched_again(void)
{
    for (unsigned i = 0; i < 200; i++) {
        struct bp_context *ctx;
        pthread_t thread;

        g_assert_cmpint(bp_context_new(NULL, "short-lived", &ctx, NULL), ==, 0);
        bp_context_set_polling(ctx, 10000000, 5000, 0);
        g_atomic_int_set(&calls_elsewhere, 0);
        for (gint done = 0; done < 4; done++) { /* short sleeps: it begins to poll */
            bp_defer(ctx, call_elsewhere, NULL);
            while (g_atomic_int_get(&calls_elsewhere) == done)
                usleep(20);
        }
        g_assert_cmpint(pthread_create(&thread, NULL, last_call, ctx), ==, 0);
        while (g_atomic_int_get(&calls_elsewhere) < 5 || bp_context_users(ctx) > 0)
            sched_yield();
        bp_context_free(ctx);
        pthread_join(thread, NULL);
    }
}

static void wake_before_sleep_is_not_lost(void)
{
    static gint flag;
    GThread *thread;

    wake_left = 1;
    thread = g_thread_new("waker", waker, &flag);
    while (g_atomic_int_get(&wake_left)) {
        bpc_loop_run_once(true);
        g_atomic_int_set(&flag, 0);
    }
    g_thread_join(thread);
}

static int last_signo, last_pid;

static void signalled(int signo, int pid)
{
    g_assert_true(bp_machine_locked(NULL));
    last_signo = signo;
    last_pid = pid;
}

static void signal_is_told_on_the_loop(void)
{
    bpc_loop_on_signal(SIGHUP, signalled);
    kill(getpid(), SIGHUP);
    while (last_signo == 0)
        bpc_loop_run_once(true);
    g_assert_cmpint(last_signo, ==, SIGHUP);
    g_assert_cmpint(last_pid, ==, getpid());
    bpc_loop_on_signal(SIGHUP, NULL);
}

static unsigned shared;

static gpointer contend(gpointer opaque)
{
    (void)opaque;
    for (int i = 0; i < 5000; i++) {
        bp_machine_lock(NULL);
        bp_machine_lock(NULL);
        shared++;
        bp_machine_unlock(NULL);
        bp_machine_unlock(NULL);
    }
    g_atomic_int_dec_and_test(&wake_left);
    bpc_loop_wake();
    return NULL;
}

static void machine_lock_is_recursive_and_excludes(void)
{
    GThread *threads[3];

    shared = 0;
    wake_left = 3;
    for (int i = 0; i < 3; i++)
        threads[i] = g_thread_new("contend", contend, NULL);
    while (g_atomic_int_get(&wake_left) > 0) {
        shared++;
        shared--;
        bpc_loop_run_once(true);
    }
    for (int i = 0; i < 3; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(shared, ==, 15000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_test_add_func("/loop/deferred-twice_runs-once", deferred_scheduled_twice_runs_once);
    g_test_add_func("/loop/deferred-in-itself_reschedules-frees",
                    deferred_may_reschedule_and_free_itself);
    g_test_add_func("/loop/watch_reads-and-hang-up", watch_reports_reads_and_hang_up);
    g_test_add_func("/loop/owner-released_watches-gone", released_owner_takes_watches_and_calls);
    g_test_add_func("/loop/iothread_calls-there-and-back", iothread_calls_go_there_and_back);
    g_test_add_func("/loop/iothread_watches", iothread_serves_watches);
    g_test_add_func("/loop/freed-with-last-call_not-touched",
                    freed_with_the_last_call_is_not_touched_again);
    g_test_add_func("/loop/wake-before-sleep_not-lost", wake_before_sleep_is_not_lost);
    g_test_add_func("/loop/signal_told-on-loop", signal_is_told_on_the_loop);
    g_test_add_func("/loop/machine-lock_recursive", machine_lock_is_recursive_and_excludes);
    return g_test_run();
}
