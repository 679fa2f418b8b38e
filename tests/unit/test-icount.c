/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -icount in the core (core/machine/icount.c), with an accelerator whose instructions are rounds of a loop. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/exact/cpu.h>
#include <bp/loop.h>

#include "loop.h"
#include "machine-fixture.h"

#define SHIFT 2
#define MS 1000000ll

static void counted(bool sleep)
{
    bpc_config.icount.on = true;
    bpc_config.icount.shift_auto = bpc_config.icount.align = false;
    bpc_config.icount.shift = SHIFT;
    bpc_config.icount.sleep = sleep;
}

static int64_t begun; /* where the clock stood when the machine was made */

static void up_counted(unsigned cpus)
{
    up(cpus);
    begun = bp_virtual_ns(NULL);
}

static uint64_t all_rounds(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < bpc_cpu_count(); i++)
        sum += rounds(i);
    return sum;
}

static void time_is_the_number_of_instructions(void)
{
    struct bp_icount n = {.size = sizeof(n)};
    uint64_t before;

    counted(false);
    up_counted(2);
    bp_machine_icount(bpc_the_machine, &n);
    before = n.executed;
    g_assert_cmpint(bpc_cpu_thread_id(bp_machine_cpu(bpc_the_machine, 0)), ==,
                    bpc_cpu_thread_id(bp_machine_cpu(bpc_the_machine, 1)));
    bpc_machine_start();
    until_runs(0);
    until_runs(1);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpint(bp_virtual_ns(NULL) - begun, ==, all_rounds() << SHIFT);
    bp_machine_icount(bpc_the_machine, &n);
    g_assert_cmpuint(n.executed - before, ==, all_rounds());
    g_assert_cmpuint(n.shift, ==, SHIFT);
    g_usleep(3000);
    g_assert_cmpint(bp_virtual_ns(NULL) - begun, ==, all_rounds() << SHIFT); /* it stands with the machine */
    down();
}

static void vcpu_sees_its_own_instruction(void)
{
    counted(false);
    up_counted(1);
    order(0, TELL_TIME);
    bpc_machine_start();
    while (rounds(0) < 100)
        turn();
    bpc_machine_stop(BPC_RUN_PAUSED);
    /* it was asked in the middle of the last instruction, which is not over then */
    g_assert_cmpuint(__atomic_load_n(&cpu_state(0)->told, __ATOMIC_ACQUIRE), ==, begun + ((rounds(0) - 1) << SHIFT));
    down();
}

static uint64_t fired_rounds, fired_ns, fired;

static void fire(void *opaque)
{
    (void)opaque;
    fired_rounds = all_rounds();
    fired_ns = (uint64_t)bp_virtual_ns(NULL);
    fired++;
}

static void timer_fires_at_its_instruction(void)
{
    counted(false);
    up_counted(1);
    guest_timer = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, fire, NULL);
    bpc_machine_start();
    for (unsigned n = 0; n < 50; n++) {
        uint64_t told;

        fired = 0;
        order(0, ARM_TIMER);
        while (!fired)
            turn();
        told = __atomic_load_n(&cpu_state(0)->told, __ATOMIC_ACQUIRE);
        g_assert_cmpuint(fired_ns, ==, (told - begun + 1001 + 3) / 4 * 4 + begun); /* the next whole instruction */
        g_assert_cmpuint(fired_rounds << SHIFT, ==, fired_ns - begun);
    }
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_timer_free(guest_timer);
    down();
}

static void deferred_call_comes_before_the_next_instruction(void)
{
    counted(false);
    up_counted(1);
    guest_call = bp_deferred_new(NULL, NULL, fire, NULL);
    bpc_machine_start();
    for (unsigned n = 0; n < 50; n++) {
        fired = 0;
        order(0, DEFER);
        while (!fired)
            turn();
        g_assert_cmpuint(fired_rounds, ==, __atomic_load_n(&cpu_state(0)->told, __ATOMIC_ACQUIRE));
    }
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_deferred_free(guest_call);
    down();
}

static void turns_are_of_so_many_instructions(void)
{
    counted(false);
    up_counted(2);
    bpc_machine_start();
    while (rounds(1) < 100000)
        turn();
    bpc_machine_stop(BPC_RUN_PAUSED);
    /* whoever stands in the middle of a turn, the other is at the end of one */
    g_assert_true(rounds(0) % 20000 == 0 || rounds(1) % 20000 == 0);
    g_assert_cmpint(ABS((int64_t)rounds(0) - (int64_t)rounds(1)), <=, 20000);
    down();
}

static void halt_and_wait(unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++)
        order(i, HALT);
    bpc_machine_start();
    for (unsigned i = 0; i < cpus; i++) {
        while (!bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, i)))
            turn();
    }
}

static void idle_time_jumps(void)
{
    int64_t host = bp_clock_ns(BP_CLOCK_REALTIME), deadline;

    counted(false);
    up_counted(2);
    guest_timer = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, fire, NULL);
    halt_and_wait(2);
    for (unsigned n = 0; n < 100; n++)
        turn();
    g_assert_cmpint(bp_virtual_ns(NULL) - begun, ==, all_rounds() << SHIFT); /* nowhere to go */
    for (unsigned n = 0; n < 5; n++) {
        fired = 0;
        deadline = bp_virtual_ns(NULL) + 3600000 * MS; /* one hour */
        bp_timer_set(guest_timer, deadline);
        while (!fired)
            turn();
        g_assert_cmpint(fired_ns, ==, deadline);
    }
    g_assert_cmpint(bp_clock_ns(BP_CLOCK_REALTIME) - host, <, 600000 * MS);
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_timer_free(guest_timer);
    down();
}

static void idle_time_follows_the_host(void)
{
    int64_t host, guest, passed;

    counted(true);
    up_counted(1);
    guest_timer = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, fire, NULL);
    halt_and_wait(1);
    fired = 0;
    bp_timer_set(guest_timer, bp_virtual_ns(NULL)); /* brings the clock to where it is now */
    while (!fired)
        turn();
    fired = 0;
    host = bp_clock_ns(BP_CLOCK_REALTIME);
    guest = (int64_t)fired_ns;
    bp_timer_set(guest_timer, guest + 60 * MS);
    while (!fired)
        turn();
    passed = bp_clock_ns(BP_CLOCK_REALTIME) - host;
    g_assert_cmpint(passed, >=, 55 * MS);
    g_assert_cmpint((int64_t)fired_ns, >=, guest + 60 * MS);
    /* who was idle meanwhile goes on at the time that it is now */
    g_usleep(20000);
    order(0, TELL_TIME);
    __atomic_store_n(&cpu_state(0)->told, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&cpu_state(0)->work, 1, __ATOMIC_SEQ_CST);
    bp_cpu_kick(bp_machine_cpu(bpc_the_machine, 0));
    while (!__atomic_load_n(&cpu_state(0)->told, __ATOMIC_ACQUIRE))
        turn();
    g_assert_cmpint((int64_t)__atomic_load_n(&cpu_state(0)->told, __ATOMIC_ACQUIRE), >=, (int64_t)fired_ns + 15 * MS);
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_timer_free(guest_timer);
    down();
}

static void other_thread_s_timer_ends_the_slice(void)
{
    counted(false);
    up_counted(1);
    guest_timer = bp_timer_new(NULL, NULL, BP_CLOCK_VIRTUAL, fire, NULL);
    bpc_machine_start();
    for (unsigned n = 0; n < 20; n++) {
        until_runs(0);
        fired = 0;
        bp_timer_set(guest_timer, 0); /* long past */
        while (!fired)
            turn();
        g_assert_cmpuint(fired_rounds << SHIFT, ==, fired_ns - begun); /* no vCPU ran meanwhile */
    }
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_timer_free(guest_timer);
    down();
}

/* The fixture's rounds are far faster than 1024 ns, and slower than none. */
static void shift_goes_after_the_host(void)
{
    int64_t end = bp_clock_ns(BP_CLOCK_REALTIME) + 1500 * MS, host, guest;
    struct bp_icount n = {.size = sizeof(n)};

    counted(true);
    bpc_config.icount.shift_auto = true;
    up_counted(1);
    host = bp_clock_ns(BP_CLOCK_REALTIME);
    guest = bp_virtual_ns(NULL);
    bpc_machine_start();
    while (bp_clock_ns(BP_CLOCK_REALTIME) < end)
        turn();
    bpc_machine_stop(BPC_RUN_PAUSED);
    host = bp_clock_ns(BP_CLOCK_REALTIME) - host;
    guest = bp_virtual_ns(NULL) - guest;
    bp_machine_icount(bpc_the_machine, &n);
    g_test_message("host %lld ms, guest %lld ms, shift %u", (long long)(host / MS), (long long)(guest / MS), n.shift);
    g_assert_cmpint(ABS(host - guest), <, 2000 * MS);
    g_assert_cmpuint(n.shift, <=, 10);
    down();
}

static void ahead_it_waits_with_align(void)
{
    int64_t host, guest;
    struct bp_icount n = {.size = sizeof(n)};

    counted(true);
    bpc_config.icount.shift = 10;
    bpc_config.icount.align = true;
    up_counted(1);
    host = bp_clock_ns(BP_CLOCK_REALTIME);
    guest = bp_virtual_ns(NULL);
    bpc_machine_start();
    while (bp_virtual_ns(NULL) < guest + 300 * MS)
        turn();
    g_assert_cmpint(bp_clock_ns(BP_CLOCK_REALTIME) - host, >=, 250 * MS);
    bpc_machine_stop(BPC_RUN_PAUSED);
    bp_machine_icount(bpc_the_machine, &n);
    g_assert_cmpuint(n.waits, >, 0);
    down();
}

static void accelerator_that_does_not_count_is_refused(void)
{
    struct bp_error err = {0};
    struct bp_value *accel = bp_value_dict();

    counted(false);
    bp_value_set(accel, "accel", bp_value_string("idle"));
    bpc_config.accels = bp_value_list();
    bp_value_append(bpc_config.accels, accel);
    bpc_config.smp = (struct bp_smp){.cpus = 1};
    g_assert_cmpint(bpc_machine_create(&err), ==, -ENOTSUP);
    g_assert_nonnull(strstr(err.message, "'idle' does not count instructions"));
    bp_value_unref(bpc_config.accels);
    bpc_config.accels = NULL;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_register_all("unit", provides, NULL), ==, 0);
    g_test_add_func("/icount/time_is-the-number-of-instructions", time_is_the_number_of_instructions);
    g_test_add_func("/icount/vcpu_sees-its-own-instruction", vcpu_sees_its_own_instruction);
    g_test_add_func("/icount/timer_fires-at-its-instruction", timer_fires_at_its_instruction);
    g_test_add_func("/icount/deferred-call_comes-before-the-next-instruction",
                    deferred_call_comes_before_the_next_instruction);
    g_test_add_func("/icount/turns_are-of-so-many-instructions", turns_are_of_so_many_instructions);
    g_test_add_func("/icount/idle-time_jumps", idle_time_jumps);
    g_test_add_func("/icount/idle-time_follows-the-host", idle_time_follows_the_host);
    g_test_add_func("/icount/another-thread-s-timer_ends-the-slice", other_thread_s_timer_ends_the_slice);
    g_test_add_func("/icount/shift_goes-after-the-host", shift_goes_after_the_host);
    g_test_add_func("/icount/ahead_it-waits-with-align", ahead_it_waits_with_align);
    g_test_add_func("/icount/accelerator-that-does-not-count_is-refused", accelerator_that_does_not_count_is_refused);
    return g_test_run();
}
