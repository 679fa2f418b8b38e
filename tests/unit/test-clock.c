/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers and clocks: order, lateness, freeing, the virtual clock, and arming from other threads. */
#include <glib.h>
#include <time.h>

#include <bp/clock.h>

#include "loop.h"
#include "owner.h"

#define MS 1000000ll

static GString *trace;

static void note(void *opaque)
{
    g_string_append_c(trace, *(const char *)opaque);
}

/* Runs the loop for that long, and some turns more: others may have had the CPU all the time. */
static void run_for(int64_t ns)
{
    int64_t end = bp_clock_ns(BP_CLOCK_REALTIME) + ns;

    while (bp_clock_ns(BP_CLOCK_REALTIME) < end)
        bpc_loop_run_once(false);
    for (unsigned turn = 0; turn < 4; turn++)
        bpc_loop_run_once(false);
}

static void equal_deadlines_fire_in_order_of_arming(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"a");
    struct bp_timer *b = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"b");
    struct bp_timer *c = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"c");
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    g_string_truncate(trace, 0);
    bp_timer_set(c, now + MS);
    bp_timer_set(b, now + MS);
    bp_timer_set(a, now);
    g_assert_true(bp_timer_pending(a));
    g_assert_cmpint(bp_timer_deadline(a), ==, now);
    run_for(5 * MS);
    g_assert_cmpstr(trace->str, ==, "acb");
    g_assert_cmpint(bp_timer_deadline(a), ==, -1);
    bp_timer_free(a);
    bp_timer_free(b);
    bp_timer_free(c);
}

static void cancelled_timer_does_not_fire(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"a");

    g_string_truncate(trace, 0);
    bp_timer_set(a, bp_clock_ns(BP_CLOCK_REALTIME) + MS);
    bp_timer_cancel(a);
    g_assert_false(bp_timer_pending(a));
    run_for(3 * MS);
    g_assert_cmpstr(trace->str, ==, "");
    bp_timer_free(a);
}

static void sleep_ends_close_to_the_deadline(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"a");
    int64_t late = INT64_MAX;

    /* The best of some: other processes have the CPU too. */
    for (int i = 0; i < 20 || (i < 2000 && late >= MS / 2); i++) {
        int64_t deadline = bp_clock_ns(BP_CLOCK_REALTIME) + 3 * MS / 2;

        g_string_truncate(trace, 0);
        bp_timer_set(a, deadline);
        while (trace->len == 0)
            bpc_loop_run_once(true);
        late = MIN(late, bp_clock_ns(BP_CLOCK_REALTIME) - deadline);
    }
    g_test_message("best lateness %" G_GINT64_FORMAT " ns", late);
    g_assert_cmpint(late, >=, 0);
    g_assert_cmpint(late, <, MS / 2);
    bp_timer_free(a);
}

static struct bp_timer *own;
static unsigned own_runs;

static void rearm_or_free(void *opaque)
{
    (void)opaque;
    if (++own_runs < 3)
        bp_timer_set(own, 0);
    else
        bp_timer_free(own);
}

static void callback_may_rearm_and_free_its_timer(void)
{
    own_runs = 0;
    own = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, rearm_or_free, NULL);
    bp_timer_set(own, 0);
    bpc_loop_run_once(false);
    g_assert_cmpuint(own_runs, ==, 1); /* what it armed waits for the next turn */
    run_for(2 * MS);
    g_assert_cmpuint(own_runs, ==, 3);
}

static void always_late_timer_leaves_others_their_turn(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"a");

    own_runs = 0;
    g_string_truncate(trace, 0);
    own = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, rearm_or_free, NULL);
    bp_timer_set(own, 0);
    bp_timer_set(a, 1);
    bpc_loop_run_once(false);
    g_assert_cmpstr(trace->str, ==, "a");
    run_for(2 * MS);
    bp_timer_free(a);
}

static void released_owner_takes_its_timers(void)
{
    struct bp_owner owner;

    bpc_owner_init(&owner);
    g_string_truncate(trace, 0);
    bp_timer_set(bp_timer_new(&owner, NULL, BP_CLOCK_REALTIME, note, (void *)"a"), 0);
    bp_timer_new(&owner, NULL, BP_CLOCK_HOST, note, (void *)"b");
    bpc_owner_release(&owner);
    run_for(2 * MS);
    g_assert_cmpstr(trace->str, ==, "");
}

static unsigned many_fired;
static int64_t many_last;

static void many_note(void *opaque)
{
    g_assert_cmpint(many_last, <=, *(int64_t *)opaque);
    many_last = *(int64_t *)opaque;
    many_fired++;
}

static void hundreds_of_timers_fire_sorted(void)
{
    enum { N = 500 };
    static struct bp_timer *timers[N];
    static int64_t deadlines[N];
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);
    GRand *rand = g_rand_new_with_seed(7);

    many_fired = 0;
    many_last = 0;
    for (unsigned i = 0; i < N; i++)
        timers[i] = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, many_note, &deadlines[i]);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < N; i++) {
            deadlines[i] = now + g_rand_int_range(rand, 0, 1000000);
            bp_timer_set(timers[i], deadlines[i]);
        }
    }
    for (unsigned i = 0; i < N; i += 5)
        bp_timer_cancel(timers[i]);
    run_for(10 * MS);
    g_assert_cmpuint(many_fired, ==, N - N / 5);
    for (unsigned i = 0; i < N; i++)
        bp_timer_free(timers[i]);
    g_rand_free(rand);
}

static void virtual_clock_stands_until_it_runs(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, note, (void *)"a");
    int64_t stopped_at;

    g_string_truncate(trace, 0);
    g_assert_cmpint(bp_virtual_ns(NULL), ==, 0);
    bp_timer_set(a, 2 * MS);
    run_for(4 * MS);
    g_assert_cmpstr(trace->str, ==, "");
    bpc_clock_virtual_run(true);
    run_for(4 * MS);
    g_assert_cmpstr(trace->str, ==, "a");
    bpc_clock_virtual_run(false);
    stopped_at = bp_virtual_ns(NULL);
    g_assert_cmpint(stopped_at, >=, 2 * MS);
    g_usleep(1000);
    g_assert_cmpint(bp_virtual_ns(NULL), ==, stopped_at);
    bp_timer_free(a);
}

static volatile int64_t armed_at;

static gpointer arm_from_thread(gpointer opaque)
{
    g_usleep(20000); /* the loop sleeps by now */
    armed_at = bp_clock_ns(BP_CLOCK_REALTIME);
    bp_machine_lock(NULL);
    bp_timer_set(opaque, armed_at + MS);
    bp_machine_unlock(NULL);
    return NULL;
}

static void arming_from_a_thread_wakes_the_loop(void)
{
    struct bp_timer *a = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"a");
    struct bp_timer *guard = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"g");
    GThread *thread;

    g_string_truncate(trace, 0);
    bp_timer_set(guard, bp_clock_ns(BP_CLOCK_REALTIME) + 60000 * MS);
    thread = g_thread_new("arm", arm_from_thread, a);
    while (trace->len == 0)
        bpc_loop_run_once(true);
    g_assert_cmpstr(trace->str, ==, "a");
    g_thread_join(thread);
    bp_timer_free(a);
    bp_timer_free(guard);
}

static gint racing;

static gpointer race_timers(gpointer opaque)
{
    struct bp_timer *timer = opaque;

    for (int i = 0; i < 2000; i++) {
        struct bp_timer *mine = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"m");

        bp_timer_set(timer, bp_clock_ns(BP_CLOCK_REALTIME) + (i % 7) * 1000);
        bp_timer_set(mine, 0);
        if (i % 3 == 0)
            bp_timer_cancel(timer);
        bp_timer_free(mine); /* waits when it is firing */
    }
    g_atomic_int_dec_and_test(&racing);
    bpc_loop_wake();
    return NULL;
}

static void threads_may_arm_and_free_at_once(void)
{
    struct bp_timer *timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, note, (void *)"t");
    GThread *threads[3];

    racing = 3;
    for (int i = 0; i < 3; i++)
        threads[i] = g_thread_new("race", race_timers, timer);
    while (g_atomic_int_get(&racing) > 0)
        bpc_loop_run_once(true);
    for (int i = 0; i < 3; i++)
        g_thread_join(threads[i]);
    bp_timer_free(timer);
}

static struct bp_timer *periodic;
static int64_t seen[8];
static unsigned seen_count;

static void periodic_fire(void *opaque)
{
    (void)opaque;
    if (seen_count < G_N_ELEMENTS(seen))
        seen[seen_count++] = bp_virtual_ns(NULL);
    bp_timer_set(periodic, bp_virtual_ns(NULL) + 10);
}

static void advancing_by_hand_fires_each_at_its_deadline(void)
{
    int64_t now;

    bp_virtual_manual(NULL);
    now = bp_virtual_ns(NULL);
    periodic = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, periodic_fire, NULL);
    bp_timer_set(periodic, now + 10);
    bpc_clock_virtual_run(true); /* no effect any more */
    g_assert_cmpint(bp_virtual_ns(NULL), ==, now);
    g_assert_cmpint(bp_virtual_next_deadline(NULL), ==, now + 10);
    bp_virtual_advance_to(NULL, now + 35);
    g_assert_cmpint(bp_virtual_ns(NULL), ==, now + 35);
    g_assert_cmpuint(seen_count, ==, 3);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(seen[i], ==, now + 10 * (i + 1));
    bp_timer_free(periodic);
    g_assert_cmpint(bp_virtual_next_deadline(NULL), ==, -1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    trace = g_string_new(NULL);
    g_test_add_func("/clock/equal-deadlines_fire-in-order",
                    equal_deadlines_fire_in_order_of_arming);
    g_test_add_func("/clock/cancelled_does-not-fire", cancelled_timer_does_not_fire);
    g_test_add_func("/clock/sleep_ends-close-to-deadline", sleep_ends_close_to_the_deadline);
    g_test_add_func("/clock/callback_rearms-and-frees", callback_may_rearm_and_free_its_timer);
    g_test_add_func("/clock/always-late_others-run", always_late_timer_leaves_others_their_turn);
    g_test_add_func("/clock/owner-released_timers-gone", released_owner_takes_its_timers);
    g_test_add_func("/clock/hundreds_fire-sorted", hundreds_of_timers_fire_sorted);
    g_test_add_func("/clock/virtual_stands-until-run", virtual_clock_stands_until_it_runs);
    g_test_add_func("/clock/armed-from-thread_wakes-loop", arming_from_a_thread_wakes_the_loop);
    g_test_add_func("/clock/threads-race_clean", threads_may_arm_and_free_at_once);
    g_test_add_func("/clock/by-hand_each-at-its-deadline",
                    advancing_by_hand_fires_each_at_its_deadline);
    return g_test_run();
}
