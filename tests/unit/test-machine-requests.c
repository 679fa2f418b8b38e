/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guests, users and devices ask of the machine: reset, shutdown, stops; and the time of day it keeps. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include "config.h"
#include "loop.h"
#include "machine-fixture.h"
#include "machine.h"
#include "registry.h"

/* ---- requests ---- */

static void guest_reset_resets_everything(void)
{
    unsigned resets;

    up(2);
    bpc_machine_start();
    for (unsigned i = 0; i < 30; i++) {
        resets = board()->resets;
        order(i % 2, i % 3 ? ASK_RESET : TRIPLE_FAULT);
        while (board()->resets == resets)
            g_assert_true(turn());
        g_assert_true(bp_machine_running(bpc_the_machine));
        until_runs(0);
        until_runs(1);
    }
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpuint(cpu_state(0)->resets, >=, 31);
    g_assert_cmpuint(cpu_state(1)->resets, ==, cpu_state(0)->resets);
    bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET);
    turn();
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_PRELAUNCH);
    down();
}

static void guest_shutdown_ends_or_pauses(void)
{
    up(1);
    bpc_machine_start();
    order(0, ASK_SHUTDOWN);
    while (turn())
        ;
    g_assert_cmpint(status, ==, 0);
    down();
    bpc_config.no_shutdown = true;
    up(1);
    bpc_machine_start();
    order(0, ASK_SHUTDOWN);
    while (bp_machine_running(bpc_the_machine))
        g_assert_true(turn());
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_SHUTDOWN);
    g_assert_true(bpc_machine_needs_reset());
    bpc_machine_start(); /* refused */
    g_assert_false(bp_machine_running(bpc_the_machine));
    bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET);
    turn();
    bpc_machine_start();
    until_runs(0);
    bp_machine_request_shutdown(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_QUIT); /* the user's word counts */
    while (turn())
        ;
    down();
}

static void no_reboot_turns_resets_into_ends(void)
{
    bpc_config.no_reboot = true;
    up(1);
    bpc_machine_start();
    order(0, TRIPLE_FAULT);
    while (turn())
        ;
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpuint(board()->resets, ==, 1);
    down();
}

static void errors_and_breakpoints_stop(void)
{
    up(2);
    bpc_machine_start();
    order(1, BREAKPOINT);
    while (bp_machine_running(bpc_the_machine))
        turn();
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_DEBUG);
    order(1, FAIL);
    bpc_machine_start();
    while (bp_machine_running(bpc_the_machine))
        turn();
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_INTERNAL_ERROR);
    assert_stands();
    down();
}

static void exit_and_powerdown_requests(void)
{
    up(1);
    bpc_machine_start();
    bp_machine_request_powerdown(bpc_the_machine);
    turn();
    g_assert_cmpuint(board()->powerdowns, ==, 1);
    until_runs(0);
    bp_machine_request_exit(bpc_the_machine, 33);
    while (turn())
        ;
    g_assert_cmpint(status, ==, 33);
    down();
    bpc_config.on_panic = BPC_ACTION_EXIT_FAILURE;
    up(1);
    bpc_machine_start();
    bp_machine_request_shutdown(bpc_the_machine, BP_SHUTDOWN_GUEST_PANIC);
    while (turn())
        ;
    g_assert_cmpint(status, ==, 1);
    down();
}

static gint requesting;

static gpointer pester(gpointer opaque)
{
    (void)opaque;
    for (int i = 0; i < 50; i++) {
        if (i % 3 == 0)
            bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_HOST_UI);
        else if (i % 3 == 1)
            bp_cpu_kick(bp_machine_cpu(bpc_the_machine, i % 2));
        else
            bpc_machine_request_stop(BPC_RUN_PAUSED);
        g_usleep(200);
    }
    g_atomic_int_set(&requesting, 0);
    return NULL;
}

static void requests_from_anywhere_leave_it_usable(void)
{
    GThread *thread;

    up(2);
    requesting = 1;
    thread = g_thread_new("pester", pester, NULL);
    while (g_atomic_int_get(&requesting)) {
        turn();
        bpc_machine_start();
    }
    g_thread_join(thread);
    turn();
    bpc_machine_start();
    until_runs(0);
    until_runs(1);
    down();
}

static void rtc_follows_base_and_clock(void)
{
    int64_t first, before;

    bpc_config.rtc.base = BPC_RTC_DATE;
    bpc_config.rtc.date_ns = 1150560081000000000ll;
    bpc_config.rtc.clock = BP_CLOCK_VIRTUAL;
    up(1);
    first = bp_machine_rtc_ns(bpc_the_machine);
    g_assert_cmpint(first, ==, 1150560081000000000ll);
    g_usleep(2000);
    g_assert_cmpint(bp_machine_rtc_ns(bpc_the_machine), ==, first); /* stands with the machine */
    down();
    bpc_config.rtc.base = BPC_RTC_UTC;
    bpc_config.rtc.clock = BP_CLOCK_HOST;
    up(1);
    before = g_get_real_time() * 1000;
    first = bp_machine_rtc_ns(bpc_the_machine);
    g_assert_cmpint(first, >, before - 1000000000ll);
    g_assert_cmpint(first, <, g_get_real_time() * 1000 + 1000000000ll);
    down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_register_all("unit", provides, NULL), ==, 0);
    g_test_add_func("/machine-requests/guest-reset_resets-everything", guest_reset_resets_everything);
    g_test_add_func("/machine-requests/guest-shutdown_ends-or-pauses", guest_shutdown_ends_or_pauses);
    g_test_add_func("/machine-requests/no-reboot_ends", no_reboot_turns_resets_into_ends);
    g_test_add_func("/machine-requests/errors-and-breakpoints_stop", errors_and_breakpoints_stop);
    g_test_add_func("/machine-requests/exit-and-powerdown", exit_and_powerdown_requests);
    g_test_add_func("/machine-requests/requests-from-anywhere_usable", requests_from_anywhere_leave_it_usable);
    g_test_add_func("/machine-requests/rtc_follows-base-and-clock", rtc_follows_base_and_clock);
    return g_test_run();
}
