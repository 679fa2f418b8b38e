/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs that take turns on one thread (core/machine/cpu-turns.c). test-machine-turns runs all of test-machine.c so. */
#include <errno.h>
#include <glib.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/loop.h>

#include "loop.h"
#include "machine-fixture.h"

static int thread_of(unsigned i)
{
    return bpc_cpu_thread_id(bp_machine_cpu(bpc_the_machine, i));
}

static void all_have_one_thread(void)
{
    up(3);
    g_assert_cmpint(thread_of(0), >, 0);
    g_assert_cmpint(thread_of(0), !=, getpid());
    g_assert_cmpint(thread_of(1), ==, thread_of(0));
    g_assert_cmpint(thread_of(2), ==, thread_of(0));
    down();
}

static void endless_code_leaves_others_their_turn(void)
{
    up(3);
    bpc_machine_start();
    for (unsigned n = 0; n < 4; n++) {
        until_runs(0);
        until_runs(2);
        until_runs(1);
    }
    bpc_machine_stop(BPC_RUN_PAUSED);
    assert_stands();
    down();
}

static void halted_one_has_no_turn(void)
{
    uint64_t before;

    up(2);
    bpc_machine_start();
    until_runs(1);
    order(1, HALT);
    while (!bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, 1)))
        turn();
    before = rounds(1);
    until_runs(0);
    until_runs(0);
    g_assert_cmpuint(rounds(1), ==, before);
    order(1, RUN);
    __atomic_store_n(&cpu_state(1)->work, 1, __ATOMIC_SEQ_CST);
    bp_cpu_kick(bp_machine_cpu(bpc_the_machine, 1));
    until_runs(1);
    until_runs(0);
    bpc_machine_stop(BPC_RUN_PAUSED);
    down();
}

/* Asleep altogether, it costs nothing, and a kick wakes it. */
static void all_halted_sleep(void)
{
    up(2);
    bpc_machine_start();
    order(0, HALT);
    order(1, HALT);
    while (!bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, 0)) || !bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, 1)))
        turn();
    assert_stands();
    order(0, RUN);
    __atomic_store_n(&cpu_state(0)->work, 1, __ATOMIC_SEQ_CST);
    bp_cpu_kick(bp_machine_cpu(bpc_the_machine, 0));
    until_runs(0);
    bpc_machine_stop(BPC_RUN_PAUSED);
    down();
}

static void machines_come_and_go(void)
{
    for (unsigned n = 0; n < 20; n++) {
        up(1 + n % 4);
        if (n % 3) {
            bpc_machine_start();
            until_runs(n % 4);
        }
        down(); /* while it runs */
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    one_thread = true;
    g_assert_cmpint(bpc_register_all("unit", provides, NULL), ==, 0);
    g_test_add_func("/turns/all_have_one_thread", all_have_one_thread);
    g_test_add_func("/turns/endless-code_leaves-others-their-turn", endless_code_leaves_others_their_turn);
    g_test_add_func("/turns/halted-one_has-no-turn", halted_one_has_no_turn);
    g_test_add_func("/turns/all-halted_sleep", all_halted_sleep);
    g_test_add_func("/turns/machines_come-and-go", machines_come_and_go);
    return g_test_run();
}
