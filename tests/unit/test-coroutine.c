/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Coroutines: waiting, waking, cancelling, moving, locks, workers, many at once, a stack used up. */
#include <bp/coroutine.h>

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <unistd.h>

#include "fibre.h"
#include "loop.h"
#include "owner.h"

#define MS 1000000ll

static GString *trace;

static struct bp_co *make(struct bp_owner *owner, struct bp_context *ctx, void (*fn)(void *opaque),
                          void *opaque)
{
    struct bp_error err = {0};
    struct bp_co *co;

    g_assert_cmpint(bp_co_new(owner, ctx, "test", fn, opaque, &co, &err), ==, 0);
    return co;
}

/* Starts one and turns the loop until it has ended. */
static void run_to_end(struct bp_co *co)
{
    bp_co_enter(co);
    while (!bp_co_ended(co))
        bpc_loop_run_once(true);
    bp_co_unref(co);
}

static void run(void (*fn)(void *opaque), void *opaque)
{
    run_to_end(make(NULL, NULL, fn, opaque));
}

/* ---- entering and yielding ---- */

static void three_steps(void *opaque)
{
    for (int i = 0; i < 3; i++) {
        g_string_append_printf(trace, "%s%d ", (const char *)opaque, i);
        g_assert_cmpint(bp_co_yield(), ==, 0);
    }
    g_string_append_printf(trace, "%s. ", (const char *)opaque);
}

static void entered_runs_until_it_yields(void)
{
    struct bp_co *a = make(NULL, NULL, three_steps, (void *)"a");
    struct bp_co *b = make(NULL, NULL, three_steps, (void *)"b");

    trace = g_string_new(NULL);
    g_assert_null(bp_co_current());
    for (int i = 0; i < 4; i++) {
        bp_co_enter(a);
        bp_co_enter(b);
    }
    g_assert_cmpstr(trace->str, ==, "a0 b0 a1 b1 a2 b2 a. b. ");
    g_assert_true(bp_co_ended(a) && bp_co_ended(b));
    bp_co_enter(a); /* nothing */
    bp_co_wake(a);
    bp_co_cancel(a);
    bp_co_unref(a);
    bp_co_unref(b);
    g_assert_cmpuint(bp_context_users(bp_context_main(NULL)), ==, 0);
    g_string_free(trace, TRUE);
}

static void outer_one(void *opaque)
{
    struct bp_co *inner = make(NULL, NULL, three_steps, opaque);

    bp_co_enter(inner);
    g_string_append(trace, "outer ");
    bp_co_enter(inner);
    bp_co_enter(inner);
    bp_co_enter(inner);
    g_assert_true(bp_co_ended(inner));
    g_assert_true(bp_co_current() != inner);
    bp_co_unref(inner);
    g_string_append(trace, "end");
}

static void one_enters_another(void)
{
    trace = g_string_new(NULL);
    run(outer_one, (void *)"i");
    g_assert_cmpstr(trace->str, ==, "i0 outer i1 i2 i. end");
    g_string_free(trace, TRUE);
}

/* ---- on the thread's stack ---- */

struct errand {
    const struct bp_co *ran_in;
    const char *place;
    unsigned count;
};

static void needs_room(void *opaque)
{
    struct errand *e = opaque;
    volatile char room[1 << 20]; /* more than a coroutine has */

    room[0] = room[sizeof(room) - 1] = 1;
    e->ran_in = bp_co_current();
    e->place = (const char *)&room[0];
    e->count++;
}

static void asks_for_room(void *opaque)
{
    struct errand *e = opaque;
    struct bp_co *self = bp_co_current();
    char here;

    for (unsigned i = 1; i <= 3; i++) {
        bpc_co_on_thread_stack(needs_room, e);
        g_assert_cmpuint(e->count % 3, ==, i % 3);
        g_assert_null(e->ran_in);
        g_assert_true(bp_co_current() == self);
        g_assert_cmpuint((uintptr_t)e->place - (uintptr_t)&here + (1 << 20), >, 2 << 20);
        g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 0), ==, 0);
    }
}

static void enters_it(void *opaque)
{
    bp_co_enter(opaque);
    g_assert_nonnull(bp_co_current());
}

static void room_is_the_threads_however_deep_the_coroutine(void)
{
    struct errand e = {NULL, NULL, 0};
    struct bp_co *inner;

    bpc_co_on_thread_stack(needs_room, &e);
    g_assert_cmpuint(e.count, ==, 1);
    e.count = 0;
    run(asks_for_room, &e);
    g_assert_cmpuint(e.count, ==, 3);
    inner = make(NULL, NULL, asks_for_room, &e);
    run(enters_it, inner);
    run_to_end(inner);
    g_assert_cmpuint(e.count, ==, 6);
}

static void wake_while_it_runs(void *opaque)
{
    unsigned *turns = opaque;

    bp_co_wake(bp_co_current()); /* is not lost */
    while (*turns == 0 && bp_co_yield() == 0)
        ++*turns;
}

static void wakeup_before_the_wait_is_kept(void)
{
    unsigned turns = 0;

    run(wake_while_it_runs, &turns);
    g_assert_cmpuint(turns, ==, 1);
}

/* ---- the machine lock, which is the thread's ---- */

static unsigned under_the_lock;

static void *takes_the_lock(void *opaque)
{
    (void)opaque;
    bp_machine_lock(NULL);
    under_the_lock++;
    bp_machine_unlock(NULL);
    return NULL;
}

static void gives_the_lock_up(void *opaque)
{
    pthread_t thread;
    unsigned depth;

    (void)opaque;
    under_the_lock++;
    g_assert_cmpint(pthread_create(&thread, NULL, takes_the_lock, NULL), ==, 0);
    depth = bpc_machine_unlock_all();
    g_assert_cmpuint(depth, >, 0);
    pthread_join(thread, NULL);
    bpc_machine_relock(depth);
    g_assert_cmpuint(under_the_lock, ==, 2);
    g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 1000), ==, 0);
    under_the_lock++;
}

static void lock_is_given_up_and_taken_inside(void)
{
    under_the_lock = 0;
    run(gives_the_lock_up, NULL);
    g_assert_true(bp_machine_locked(NULL));
    g_assert_cmpuint(under_the_lock, ==, 3);
}

/* ---- time and descriptors ---- */

static void sleeper(void *opaque)
{
    int64_t start = bp_clock_ns(BP_CLOCK_REALTIME);

    bp_co_wake(bp_co_current()); /* comes early: it sleeps on */
    g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 5 * MS), ==, 0);
    g_assert_cmpint(bp_clock_ns(BP_CLOCK_REALTIME) - start, >=, 5 * MS);
    g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 0), ==, 0);
    *(bool *)opaque = true;
}

static void sleep_lasts_as_long_as_said(void)
{
    bool done = false;

    run(sleeper, &done);
    g_assert_true(done);
}

static void reader(void *opaque)
{
    int *fds = opaque;
    char c;

    g_assert_cmpint(bp_co_wait_fd(fds[0], BP_WATCH_IN, 2 * MS), ==, -ETIMEDOUT);
    g_assert_cmpint(bp_co_wait_fd(fds[0], BP_WATCH_IN, 0), ==, -ETIMEDOUT); /* a look */
    g_assert_cmpint(bp_co_wait_fd(fds[1], BP_WATCH_OUT, -1), ==, BP_WATCH_OUT);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    g_assert_cmpint(bp_co_wait_fd(fds[0], BP_WATCH_IN, -1), ==, BP_WATCH_IN);
    g_assert_cmpint(read(fds[0], &c, 1), ==, 1);
    close(fds[1]);
    g_assert_cmpint(bp_co_wait_fd(fds[0], 0, 1000 * MS), ==, BP_WATCH_HUP);
    close(fds[0]);
}

static void descriptor_is_waited_for(void)
{
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    run(reader, fds);
}

/* ---- cancelling ---- */

struct wait {
    int kind, fd, result;
    struct bp_co_queue *queue;
    struct bp_co *other;
};

static void waits_for_ever(void *opaque)
{
    struct wait *w = opaque;

    switch (w->kind) {
    case 0:
        w->result = bp_co_sleep(BP_CLOCK_REALTIME, INT64_MAX);
        break;
    case 1:
        w->result = bp_co_wait_fd(w->fd, BP_WATCH_IN, -1);
        break;
    case 2:
        w->result = bp_co_queue_wait(w->queue, NULL);
        break;
    case 3:
        w->result = bp_co_join(w->other);
        break;
    default:
        w->result = bp_co_yield();
    }
    g_assert_true(bp_co_cancelled());
    g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 1), ==, -ECANCELED); /* and all that follow */
}

static void cancelled_ends_every_wait(void)
{
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    for (int kind = 0; kind < 5; kind++) {
        struct wait w = {kind, fds[0], 0, bp_co_queue_new(), make(NULL, NULL, waits_for_ever, NULL)};
        struct bp_co *co = make(NULL, NULL, waits_for_ever, &w);

        bp_co_enter(co);
        g_assert_false(bp_co_ended(co));
        bp_co_cancel(co);
        while (!bp_co_ended(co))
            bpc_loop_run_once(true);
        g_assert_cmpint(w.result, ==, -ECANCELED);
        bp_co_unref(co);
        bp_co_cancel(w.other); /* before it began: it never runs */
        while (!bp_co_ended(w.other))
            bpc_loop_run_once(true);
        bp_co_unref(w.other);
        bp_co_queue_free(w.queue);
    }
    g_assert_cmpuint(bp_context_users(bp_context_main(NULL)), ==, 0);
    close(fds[0]);
    close(fds[1]);
}

struct shielded {
    struct bp_co_queue *queue;
    bool before, within, after;
};

static void works_for_others(void *opaque)
{
    struct shielded *s = opaque;

    bp_co_shield(true);
    bp_co_shield(true);
    s->before = bp_co_queue_wait(s->queue, NULL) == 0;
    bp_co_shield(false);
    s->within = bp_co_queue_wait(s->queue, NULL) == 0 && !bp_co_cancelled();
    bp_co_shield(false);
    s->after = bp_co_queue_wait(s->queue, NULL) == -ECANCELED && bp_co_cancelled();
}

static void shielded_hears_of_it_afterwards(void)
{
    struct shielded s = {.queue = bp_co_queue_new()};
    struct bp_co *co = make(NULL, NULL, works_for_others, &s);

    bp_co_enter(co);
    bp_co_cancel(co);
    for (int n = 0; n < 2; n++) {
        for (int turn = 0; turn < 3; turn++)
            bpc_loop_run_once(false);
        g_assert_false(bp_co_ended(co));
        g_assert_true(bp_co_queue_wake(s.queue));
    }
    while (!bp_co_ended(co))
        bpc_loop_run_once(true);
    g_assert_true(s.before && s.within && s.after);
    bp_co_unref(co);
    bp_co_queue_free(s.queue);
}

static void owner_that_leaves_ends_its_own(void)
{
    struct bp_context *ctx;
    struct bp_owner owner;
    struct wait w[4] = {{.kind = 0}, {.kind = 4}, {.kind = 0}, {.kind = 4}};
    struct bp_co *co[4];

    bpc_owner_init(&owner);
    g_assert_cmpint(bp_context_new(NULL, "leaves", &ctx, NULL), ==, 0);
    for (int i = 0; i < 4; i++) {
        co[i] = make(&owner, i < 2 ? NULL : ctx, waits_for_ever, &w[i]);
        bp_co_enter(co[i]);
    }
    usleep(2000); /* those of the other context may have begun, or not */
    bpc_owner_quiet(&owner);
    for (int i = 0; i < 4; i++) {
        g_assert_true(bp_co_ended(co[i]));
        bp_co_unref(co[i]);
    }
    g_assert_cmpint(w[0].result, ==, -ECANCELED);
    g_assert_cmpint(w[1].result, ==, -ECANCELED);
    bpc_owner_release(&owner);
    g_assert_cmpuint(bp_context_users(ctx), ==, 0);
    bp_context_free(ctx);
}

/* ---- many ---- */

#ifdef BPC_TSAN
#define MANY 4000u /* it knows at most some 8,000 threads and fibres */
#else
#define MANY 10000u
#endif
static unsigned alive, went_on;

static void one_of_many(void *opaque)
{
    struct bp_co_queue *gate = opaque;
    volatile char page[3000];

    page[0] = page[sizeof(page) - 1] = (char)alive++;
    g_assert_cmpint(bp_co_queue_wait(gate, NULL), ==, 0);
    went_on += page[0] == page[sizeof(page) - 1];
    alive--;
}

static void ten_thousand_at_once(void)
{
    struct bp_co_queue *gate = bp_co_queue_new();

    for (unsigned i = 0; i < MANY; i++) {
        struct bp_co *co = make(NULL, NULL, one_of_many, gate);

        bp_co_enter(co);
        bp_co_unref(co);
    }
    g_assert_cmpuint(alive, ==, MANY);
    bp_co_queue_wake_all(gate);
    while (alive > 0)
        bpc_loop_run_once(true);
    g_assert_cmpuint(went_on, ==, MANY);
    bp_co_queue_free(gate);
    g_assert_cmpuint(bp_context_users(bp_context_main(NULL)), ==, 0);
}

/* ---- contexts ---- */

static void mover(void *opaque)
{
    struct bp_context *ctx = opaque;
    pid_t home = gettid(); /* pthread_self() may be taken for constant in a function */

    g_assert_true(bp_machine_locked(NULL));
    for (int i = 0; i < 50; i++) {
        bp_co_move(ctx);
        g_assert_true(bp_context_current() == ctx && bp_co_context(bp_co_current()) == ctx);
        g_assert_cmpint(gettid(), !=, home);
        g_assert_false(bp_machine_locked(NULL));
        if (i % 10 == 0)
            g_assert_cmpint(bp_co_sleep(BP_CLOCK_REALTIME, 1000), ==, 0);
        bp_co_move(NULL);
        g_assert_true(gettid() == home && bp_machine_locked(NULL));
    }
}

static void note_context(void *opaque)
{
    *(struct bp_context **)opaque = bp_context_current();
}

static void runs_elsewhere(void *opaque)
{
    struct bp_context *where = NULL;

    bp_co_run_in(opaque, note_context, &where);
    g_assert_true(where == opaque);
    g_assert_true(bp_context_current() == bp_context_main(NULL));
    bp_co_worker(note_context, &where);
    g_assert_null(where); /* a thread of no context */
    g_assert_true(bp_context_current() == bp_context_main(NULL));
}

static void moved_goes_on_in_the_other_context(void)
{
    struct bp_context *ctx;

    g_assert_cmpint(bp_context_new(NULL, "other", &ctx, NULL), ==, 0);
    run(mover, ctx);
    run(runs_elsewhere, ctx);
    g_assert_cmpuint(bp_context_users(ctx), ==, 0);
    bp_context_free(ctx);
}

static gint blocking, most_blocking;

static void block(void *opaque)
{
    gint now = g_atomic_int_add(&blocking, 1) + 1, most;

    (void)opaque;
    while (now > (most = g_atomic_int_get(&most_blocking)) &&
           !g_atomic_int_compare_and_exchange(&most_blocking, most, now))
        ;
    /* The first ones stay until there are two, however busy the computer is. */
    for (unsigned i = 0; g_atomic_int_get(&most_blocking) < 2 && i < 20000; i++)
        usleep(1000);
    usleep(3000);
    g_atomic_int_add(&blocking, -1);
}

static void blocks_on_a_worker(void *opaque)
{
    bp_co_worker(block, NULL);
    ++*(unsigned *)opaque;
}

static void workers_are_bounded(void)
{
    unsigned done = 0;

    g_assert_cmpint(bp_context_set_workers(bp_context_main(NULL), 2, 1, NULL), ==, -EINVAL);
    g_assert_cmpint(bp_context_set_workers(bp_context_main(NULL), 0, 4, NULL), ==, 0);
    for (int i = 0; i < 40; i++) {
        struct bp_co *co = make(NULL, NULL, blocks_on_a_worker, &done);

        bp_co_enter(co);
        bp_co_unref(co);
    }
    while (done < 40)
        bpc_loop_run_once(true);
    g_assert_cmpint(most_blocking, >=, 2);
    g_assert_cmpint(most_blocking, <=, 4);
}

/* ---- locks, over two contexts ---- */

#define STRESS_CO 8
#define STRESS_ROUNDS 300

struct stress {
    struct bp_context *ctx[2];
    struct bp_co_mutex *mutex;
    struct bp_co_queue *queue;
    unsigned inside, total, waiting; /* under the mutex */
    gint ended;
};

static void stress_one(void *opaque)
{
    struct stress *s = opaque;
    struct bp_context *home = bp_co_context(bp_co_current());

    for (unsigned i = 0; i < STRESS_ROUNDS; i++) {
        bp_co_mutex_lock(s->mutex);
        g_assert_true(bp_context_current() == home);
        g_assert_cmpuint(s->inside++, ==, 0);
        if (i % 16 == 0)
            (void)bp_co_sleep(BP_CLOCK_REALTIME, 1000);
        s->inside--;
        s->total++;
        if (i % 8 == 3 && s->waiting < STRESS_CO / 2) {
            s->waiting++;
            g_assert_cmpint(bp_co_queue_wait(s->queue, s->mutex), ==, 0);
            s->waiting--;
        } else {
            bp_co_queue_wake(s->queue);
        }
        bp_co_mutex_unlock(s->mutex);
        if (i % 32 == 31) {
            home = s->ctx[home == s->ctx[0]];
            bp_co_move(home);
        }
    }
    bp_co_mutex_lock(s->mutex);
    bp_co_queue_wake_all(s->queue);
    bp_co_mutex_unlock(s->mutex);
    g_atomic_int_inc(&s->ended);
}

static void locks_hold_over_two_contexts(void)
{
    struct stress s = {.mutex = bp_co_mutex_new(), .queue = bp_co_queue_new()};

    g_assert_cmpint(bp_context_new(NULL, "one", &s.ctx[0], NULL), ==, 0);
    g_assert_cmpint(bp_context_new(NULL, "two", &s.ctx[1], NULL), ==, 0);
    for (unsigned i = 0; i < STRESS_CO; i++) {
        struct bp_co *co = make(NULL, s.ctx[i % 2], stress_one, &s);

        bp_co_enter(co);
        bp_co_unref(co);
    }
    while (g_atomic_int_get(&s.ended) < STRESS_CO) {
        bpc_loop_run_once(false);
        bp_co_queue_wake(s.queue); /* from a thread that is no coroutine; the last ones need it */
        usleep(50);
    }
    while (bp_context_users(s.ctx[0]) + bp_context_users(s.ctx[1]) > 0)
        usleep(100);
    g_assert_cmpuint(s.total, ==, STRESS_CO * STRESS_ROUNDS);
    bp_co_mutex_free(s.mutex);
    bp_co_queue_free(s.queue);
    bp_context_free(s.ctx[0]);
    bp_context_free(s.ctx[1]);
}

static void joins(void *opaque)
{
    struct bp_co *other = make(NULL, opaque, sleeper, &(bool){false});

    bp_co_enter(other);
    g_assert_cmpint(bp_co_join(other), ==, 0);
    g_assert_true(bp_co_ended(other));
    g_assert_cmpint(bp_co_join(other), ==, 0); /* at once */
    bp_co_unref(other);
}

static void join_waits_for_the_end(void)
{
    struct bp_context *ctx;

    g_assert_cmpint(bp_context_new(NULL, "joined", &ctx, NULL), ==, 0);
    run(joins, NULL);
    run(joins, ctx);
    while (bp_context_users(ctx) > 0)
        usleep(100);
    bp_context_free(ctx);
}

/* ---- a stack that is used up ---- */

static int deeper(int n)
{
    volatile char page[1000];

    page[0] = (char)n;
    return n > 1000000 ? 0 : deeper(n + 1) + page[0];
}

static void recurses(void *opaque)
{
    *(int *)opaque = deeper(0);
}

static void stack_used_up_is_told_in_words(void)
{
    int result;

#if defined(BPC_ASAN) || defined(BPC_TSAN)
    g_test_skip("the sanitizer tells of it");
    return;
#endif
    if (g_test_subprocess()) {
        bpc_fatal_install();
        run(recurses, &result);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*coroutine 'test' of the core has used up its stack of 256 KiB*");
    g_test_trap_assert_stderr("*fatal signal SIGSEGV*, in a test of the core*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_test_add_func("/coroutine/entered_runs-until-yield", entered_runs_until_it_yields);
    g_test_add_func("/coroutine/inner_returns-to-outer", one_enters_another);
    g_test_add_func("/coroutine/room_is_the_threads_however_deep_the_coroutine",
                    room_is_the_threads_however_deep_the_coroutine);
    g_test_add_func("/coroutine/early-wakeup_kept", wakeup_before_the_wait_is_kept);
    g_test_add_func("/coroutine/lock_given-up-inside", lock_is_given_up_and_taken_inside);
    g_test_add_func("/coroutine/sleep_lasts-as-said", sleep_lasts_as_long_as_said);
    g_test_add_func("/coroutine/descriptor_waited-for", descriptor_is_waited_for);
    g_test_add_func("/coroutine/cancelled_ends-every-wait", cancelled_ends_every_wait);
    g_test_add_func("/coroutine/shielded_hears-afterwards", shielded_hears_of_it_afterwards);
    g_test_add_func("/coroutine/owner-leaves_ends-its-own", owner_that_leaves_ends_its_own);
    g_test_add_func("/coroutine/ten-thousand_at-once", ten_thousand_at_once);
    g_test_add_func("/coroutine/moved_goes-on-elsewhere", moved_goes_on_in_the_other_context);
    g_test_add_func("/coroutine/workers_bounded", workers_are_bounded);
    g_test_add_func("/coroutine/locks_hold-over-contexts", locks_hold_over_two_contexts);
    g_test_add_func("/coroutine/join_waits-for-end", join_waits_for_the_end);
    g_test_add_func("/coroutine/stack-used-up_told", stack_used_up_is_told_in_words);
    return g_test_run();
}
