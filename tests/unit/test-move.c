/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Participants: drained, moved between contexts under load, and gone in the middle of it. */
#include <glib.h>
#include <errno.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/coroutine.h>
#include <bp/irq.h>
#include <bp/loop.h>

#include "loop.h"
#include "marks.h"
#include "owner.h"

#define MOVES 1000

/* Something with a timer, a watch and a deferred call under a lock of its own. */
struct thing {
    struct bp_owner owner;
    struct bp_participant *part;
    struct bp_timer *timer;
    struct bp_watch *watch;
    struct bp_deferred *bell;
    int in, out;
    struct bp_context *where; /* set by moved(); only its thread may call */
    bool held;                /* atomic: drained; nobody may call */
    unsigned wrong, fired, heard;
    uint64_t rung, answered; /* atomic: the last ring, and what the bell's call has seen of it */
    bool busy;
    unsigned begins, ends, moves;
};

static void check(struct thing *t)
{
    if (bp_context_current() != t->where || __atomic_load_n(&t->held, __ATOMIC_SEQ_CST))
        __atomic_fetch_add(&t->wrong, 1, __ATOMIC_SEQ_CST);
}

static void fire(void *opaque)
{
    struct thing *t = opaque;

    check(t);
    __atomic_fetch_add(&t->fired, 1, __ATOMIC_SEQ_CST);
    bp_timer_set(t->timer, bp_timer_now(t->timer) + 20000);
}

static void ready(void *opaque, unsigned events)
{
    struct thing *t = opaque;
    char c;

    check(t);
    if ((events & BP_WATCH_IN) && read(t->in, &c, 1) == 1)
        __atomic_fetch_add(&t->heard, 1, __ATOMIC_SEQ_CST);
}

static void answer(void *opaque)
{
    struct thing *t = opaque;

    check(t);
    __atomic_store_n(&t->answered, __atomic_load_n(&t->rung, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
}

static void drain_begin(void *opaque)
{
    ((struct thing *)opaque)->begins++;
}

static void drain_end(void *opaque)
{
    ((struct thing *)opaque)->ends++;
}

static bool is_busy(void *opaque)
{
    return __atomic_load_n(&((struct thing *)opaque)->busy, __ATOMIC_SEQ_CST);
}

static void moved(void *opaque, struct bp_context *ctx)
{
    struct thing *t = opaque;

    g_assert_true(bp_context_current() == bp_context_main(NULL));
    (void)ctx;
    t->moves++;
}

static const struct bp_participant_ops ops = {
    .size = sizeof(ops), .drain_begin = drain_begin, .busy = is_busy, .drain_end = drain_end,
    .moved = moved,
};

static void thing_init(struct thing *t, struct bp_context *ctx)
{
    int fds[2];

    *t = (struct thing){.where = ctx ? ctx : bp_context_main(NULL)};
    g_assert_cmpint(pipe(fds), ==, 0);
    t->in = fds[0];
    t->out = fds[1];
    bpc_owner_init(&t->owner);
    bpc_owner_lock_make(&t->owner);
    t->owner.context = ctx;
    t->part = bp_participant_new(&t->owner, &ops, t);
    t->timer = bp_timer_new(&t->owner, NULL, BP_CLOCK_REALTIME, fire, t);
    t->watch = bp_watch_new(&t->owner, NULL, t->in, BP_WATCH_IN, ready, t);
    t->bell = bp_deferred_new(&t->owner, NULL, answer, t);
}

static void thing_fini(struct thing *t)
{
    bpc_owner_withdraw(&t->owner);
    bpc_owner_quiet(&t->owner);
    bpc_owner_release(&t->owner);
    bpc_owner_lock_free(&t->owner);
    close(t->in);
    close(t->out);
}

static void until_true(const bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) {
        bpc_loop_run_once(false);
        g_usleep(10);
    }
}

struct outcome {
    bool told;
    int ret;
};

static void note(void *opaque, int ret)
{
    struct outcome *o = opaque;

    g_assert_false(o->told);
    o->ret = ret;
    o->told = true;
}

/* ---- moving ---- */

struct ringer {
    struct thing *thing;
    bool stop;
    unsigned written;
};

static void *ring(void *opaque)
{
    struct ringer *r = opaque;

    for (unsigned i = 0; !__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST); i++) {
        __atomic_add_fetch(&r->thing->rung, 1, __ATOMIC_SEQ_CST);
        bp_deferred_schedule(r->thing->bell);
        if (i % 4 == 0 && r->written - __atomic_load_n(&r->thing->heard, __ATOMIC_SEQ_CST) < 1000)
            r->written += write(r->thing->out, "x", 1) == 1;
        if (i % 16 == 0)
            g_usleep(5);
    }
    return NULL;
}

/* Drained by hand first, so that the place to be checked can be changed while nobody calls. */
static void move_to(struct thing *t, struct bp_context *ctx)
{
    struct outcome drained = {.told = false}, gone = {.told = false};

    g_assert_cmpint(bp_participant_drain_begin(t->part, note, &drained, NULL), ==, 0);
    until_true(&drained.told);
    g_assert_cmpint(drained.ret, ==, 0);
    __atomic_store_n(&t->held, true, __ATOMIC_SEQ_CST);
    g_assert_cmpint(bp_participant_move(t->part, ctx, note, &gone, NULL), ==, 0);
    bpc_loop_run_once(false);
    g_assert_false(gone.told); /* it is kept drained */
    t->where = ctx;
    __atomic_store_n(&t->held, false, __ATOMIC_SEQ_CST);
    bp_participant_drain_end(t->part);
    until_true(&gone.told);
    g_assert_cmpint(gone.ret, ==, 0);
}

static void moved_a_thousand_times_loses_nothing(void)
{
    struct bp_context *ctx[2];
    struct thing t;
    struct ringer ringer = {.thing = &t};
    pthread_t thread;
    unsigned fired = 0;

    for (int i = 0; i < 2; i++)
        g_assert_cmpint(bp_context_new(NULL, i ? "b" : "a", &ctx[i], NULL), ==, 0);
    thing_init(&t, ctx[0]);
    bp_timer_set(t.timer, 0);
    pthread_create(&thread, NULL, ring, &ringer);
    for (unsigned i = 0; i < MOVES; i++) {
        move_to(&t, ctx[(i + 1) % 2]);
        g_assert_cmpuint(bp_context_users(ctx[(i + 1) % 2]), ==, 4); /* and the participant */
        g_assert_cmpuint(bp_context_users(ctx[i % 2]), ==, 0);
        if (i % 100 == 0) { /* the timer goes on wherever it is */
            while (__atomic_load_n(&t.fired, __ATOMIC_SEQ_CST) == fired)
                bpc_loop_run_once(false);
            fired = __atomic_load_n(&t.fired, __ATOMIC_SEQ_CST);
        }
    }
    __atomic_store_n(&ringer.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    /* The last ring of all is answered, and each byte is heard. */
    while (__atomic_load_n(&t.answered, __ATOMIC_SEQ_CST) != ringer.thing->rung ||
           __atomic_load_n(&t.heard, __ATOMIC_SEQ_CST) != ringer.written)
        bpc_loop_run_once(false);
    g_assert_cmpuint(ringer.written, >, 0);
    g_assert_cmpuint(t.wrong, ==, 0);
    g_assert_cmpuint(t.moves, ==, MOVES);
    g_assert_cmpuint(t.begins, ==, MOVES);
    g_assert_cmpuint(t.ends, ==, MOVES);
    thing_fini(&t);
    for (int i = 0; i < 2; i++)
        bp_context_free(ctx[i]); /* asserts that nothing lives there */
}

/* The context that was left may go while somebody rings. */
static void context_that_was_left_may_be_freed(void)
{
    struct bp_context *old, *new;
    struct thing t;
    struct ringer ringer = {.thing = &t};
    pthread_t thread;

    bp_context_new(NULL, "first", &old, NULL);
    thing_init(&t, old);
    pthread_create(&thread, NULL, ring, &ringer);
    for (unsigned i = 0; i < 50; i++) {
        bp_context_new(NULL, "next", &new, NULL);
        move_to(&t, new);
        bp_context_free(old);
        old = new;
    }
    __atomic_store_n(&ringer.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    while (__atomic_load_n(&t.answered, __ATOMIC_SEQ_CST) != t.rung)
        bpc_loop_run_once(false);
    g_assert_cmpuint(t.wrong, ==, 0);
    thing_fini(&t);
    bp_context_free(old);
}

/* ---- draining ---- */

static void drain_holds_what_comes_and_lets_it_go_afterwards(void)
{
    struct outcome drained = {.told = false};
    struct thing t;
    struct bp_deferred *late;

    thing_init(&t, NULL);
    bp_timer_set(t.timer, 0); /* one that was there */
    g_assert_cmpint(bp_participant_drain_begin(t.part, note, &drained, NULL), ==, 0);
    until_true(&drained.told);
    t.fired = 0;
    t.held = true;
    bp_timer_set(t.timer, 0);
    t.rung = 7;
    bp_deferred_schedule(t.bell);
    g_assert_cmpint((int)write(t.out, "x", 1), ==, 1);
    late = bp_deferred_new(&t.owner, NULL, answer, &t); /* made meanwhile */
    bp_deferred_schedule(late);
    for (unsigned i = 0; i < 20; i++)
        bpc_loop_run_once(false);
    g_assert_cmpuint(t.wrong + t.fired + t.heard + t.answered, ==, 0);
    g_assert_true(bp_timer_pending(t.timer));
    t.held = false;
    bp_participant_drain_end(t.part);
    while (!t.fired || !t.heard || t.answered != 7)
        bpc_loop_run_once(false);
    g_assert_cmpuint(t.wrong, ==, 0);
    thing_fini(&t);
}

static void cancelled_while_held_does_not_come(void)
{
    struct outcome drained = {.told = false};
    struct thing t;

    thing_init(&t, NULL);
    bp_timer_set(t.timer, 0);
    g_assert_cmpint(bp_participant_drain_begin(t.part, note, &drained, NULL), ==, 0);
    until_true(&drained.told);
    bp_timer_cancel(t.timer);
    bp_deferred_schedule(t.bell);
    bp_deferred_free(t.bell);
    bp_watch_free(t.watch);
    g_assert_cmpint((int)write(t.out, "x", 1), ==, 1);
    t.fired = 0;
    bp_participant_drain_end(t.part);
    for (unsigned i = 0; i < 20; i++)
        bpc_loop_run_once(false);
    g_assert_cmpuint(t.fired + t.heard + t.answered, ==, 0);
    thing_fini(&t);
}

static void busy_one_is_waited_for_with_its_callbacks_served(void)
{
    struct outcome drained = {.told = false};
    struct thing t;

    thing_init(&t, NULL);
    t.busy = true;
    g_assert_cmpint(bp_participant_drain_begin(t.part, note, &drained, NULL), ==, 0);
    t.rung = 1;
    bp_deferred_schedule(t.bell); /* what ends a request */
    while (t.answered != 1)
        bpc_loop_run_once(false);
    g_assert_false(drained.told);
    t.busy = false;
    bp_participant_idle(t.part);
    until_true(&drained.told);
    g_assert_cmpint(drained.ret, ==, 0);
    bp_participant_drain_end(t.part);
    thing_fini(&t);
}

static void sleeper(void *opaque)
{
    bp_co_yield();
    *(bool *)opaque = true;
}

static void coroutine_is_waited_for(void)
{
    struct outcome drained = {.told = false};
    struct bp_co *co;
    bool ended = false;
    struct thing t;

    thing_init(&t, NULL);
    g_assert_cmpint(bp_co_new(&t.owner, NULL, "sleeper", sleeper, &ended, &co, NULL), ==, 0);
    bp_co_enter(co);
    g_assert_cmpint(bp_participant_drain_begin(t.part, note, &drained, NULL), ==, 0);
    for (unsigned i = 0; i < 20; i++)
        bpc_loop_run_once(false);
    g_assert_false(drained.told);
    bp_co_wake(co);
    until_true(&drained.told);
    g_assert_true(ended);
    bp_participant_drain_end(t.part);
    bp_co_unref(co);
    thing_fini(&t);
}

/* ---- leaving ---- */

static void owner_that_leaves_while_drained_cancels(void)
{
    struct bp_context *ctx;
    struct outcome drained = {.told = false}, gone = {.told = false}, late = {.told = false};
    struct thing t;
    struct bp_error err = {0};

    bp_context_new(NULL, "c", &ctx, NULL);
    for (int busy = 0; busy < 2; busy++) {
        drained.told = gone.told = false;
        thing_init(&t, ctx);
        t.busy = busy;
        bp_timer_set(t.timer, 0);
        g_assert_cmpint(bp_participant_drain_begin(t.part, note, &drained, NULL), ==, 0);
        g_assert_cmpint(bp_participant_move(t.part, NULL, note, &gone, NULL), ==, 0);
        if (!busy)
            until_true(&drained.told);
        bpc_owner_withdraw(&t.owner);
        g_assert_true(drained.told && gone.told);
        g_assert_cmpint(drained.ret, ==, busy ? -ECANCELED : 0);
        g_assert_cmpint(gone.ret, ==, -ECANCELED);
        g_assert_cmpint(bp_participant_move(t.part, NULL, note, &late, &err), ==, -ENODEV);
        err = (struct bp_error){0};
        thing_fini(&t);
        for (unsigned i = 0; i < 5; i++)
            bpc_loop_run_once(false);
        g_assert_cmpuint(t.moves + t.ends, ==, 0);
    }
    bp_context_free(ctx);
}

static void later_move_takes_the_place_of_an_earlier(void)
{
    struct bp_context *ctx[2];
    struct outcome first = {.told = false}, second = {.told = false};
    struct thing t;

    for (int i = 0; i < 2; i++)
        bp_context_new(NULL, "m", &ctx[i], NULL);
    thing_init(&t, NULL);
    g_assert_cmpint(bp_participant_move(t.part, ctx[0], note, &first, NULL), ==, 0);
    g_assert_cmpuint(bp_context_users(ctx[0]), ==, 1); /* it stays until the move is over */
    g_assert_cmpint(bp_participant_move(t.part, ctx[1], note, &second, NULL), ==, 0);
    g_assert_true(first.told);
    g_assert_cmpint(first.ret, ==, -ECANCELED);
    bp_context_free(ctx[0]);
    until_true(&second.told);
    g_assert_true(t.owner.context == ctx[1]);
    thing_fini(&t);
    bp_context_free(ctx[1]);
}

/* ---- marks ---- */

static void *make_context(void *opaque)
{
    struct bp_context *ctx;

    (void)opaque;
    bp_machine_lock(NULL);
    bp_context_new(NULL, "wrong", &ctx, NULL);
    bp_machine_unlock(NULL);
    return NULL;
}

/* Only where marks are compiled in does what breaks one end the process. */
static void breaks(const char *mark)
{
    g_test_trap_subprocess(NULL, 0, 0);
    if (bpc_marks_asserted()) {
        g_test_trap_assert_failed();
        g_test_trap_assert_stderr(mark);
    } else {
        g_test_trap_assert_passed();
    }
}

static void on_another_thread(void *(*fn)(void *opaque))
{
    pthread_t thread;
    unsigned depth = bpc_machine_unlock_all();

    pthread_create(&thread, NULL, fn, NULL);
    pthread_join(thread, NULL);
    bpc_machine_relock(depth);
}

static void main_mark_is_asserted_when_compiled_in(void)
{
    if (g_test_subprocess())
        on_another_thread(make_context);
    else
        breaks("*bp_context_new*bpc_mark_main*");
}

static void *set_line(void *opaque)
{
    bp_irq_set(NULL, 1);
    return opaque;
}

static void lock_mark_is_asserted_when_compiled_in(void)
{
    if (g_test_subprocess())
        on_another_thread(set_line);
    else
        breaks("*bp_irq_set*bpc_mark_locked*");
}

/* NULL is fine, the lock is not. */
static void mark_of_what_waits_for_callbacks_is_asserted_when_compiled_in(void)
{
    if (g_test_subprocess())
        bp_timer_free_wait(NULL);
    else
        breaks("*bp_timer_free_wait*bpc_mark_unlocked*");
}

static void lock_and_wait(void *opaque)
{
    (void)opaque;
    bp_machine_lock(NULL);
    bp_co_cancelled();
    bp_machine_unlock(NULL);
}

static void coroutine_mark_is_asserted_when_compiled_in(void)
{
    struct bp_context *ctx;
    struct bp_co *co;

    if (!g_test_subprocess()) {
        breaks("*bp_co_cancelled*bpc_mark_coroutine*");
        return;
    }
    bp_context_new(NULL, "io", &ctx, NULL);
    bp_co_new(NULL, ctx, "wrong", lock_and_wait, NULL, &co, NULL);
    bp_co_enter(co);
    while (!bp_co_ended(co))
        bpc_loop_run_once(false);
    bp_co_unref(co);
    bp_context_free(ctx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
#define CASE(FN) g_test_add_func("/move/" #FN, FN)
    CASE(moved_a_thousand_times_loses_nothing);
    CASE(context_that_was_left_may_be_freed);
    CASE(drain_holds_what_comes_and_lets_it_go_afterwards);
    CASE(cancelled_while_held_does_not_come);
    CASE(busy_one_is_waited_for_with_its_callbacks_served);
    CASE(coroutine_is_waited_for);
    CASE(owner_that_leaves_while_drained_cancels);
    CASE(later_move_takes_the_place_of_an_earlier);
    CASE(main_mark_is_asserted_when_compiled_in);
    CASE(lock_mark_is_asserted_when_compiled_in);
    CASE(mark_of_what_waits_for_callbacks_is_asserted_when_compiled_in);
    CASE(coroutine_mark_is_asserted_when_compiled_in);
    return g_test_run();
}
