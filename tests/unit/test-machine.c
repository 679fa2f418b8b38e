/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's life on a board, a CPU model and an accelerator of our own: topology, options,
 * run states, halts and kicks, work on vCPUs.
 */
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
#include "parts.h"
#include "registry.h"

/* ---- topology ---- */

static void smp_case(struct bp_smp in, const char *want)
{
    struct bp_error err = {0};
    char got[200];

    bpc_config.smp = in;
    if (bpc_machine_create(&err) < 0) {
        g_strlcpy(got, err.message, sizeof(got));
    } else {
        const struct bp_smp *s = bp_machine_smp(bpc_the_machine);

        g_snprintf(got, sizeof(got), "%u/%u %u.%u.%u.%u.%u", s->cpus, s->max_cpus, s->sockets,
                   s->dies, s->clusters, s->cores, s->threads);
        bpc_machine_destroy();
    }
    if (!strstr(got, want))
        g_error("topology: got '%s', want '%s'", got, want);
}

static void topology_is_completed_or_refused(void)
{
    smp_case((struct bp_smp){0}, "1/1 1.1.1.1.1");
    smp_case((struct bp_smp){.cpus = 4}, "4/4 1.1.1.4.1");
    smp_case((struct bp_smp){.cpus = 2, .max_cpus = 4}, "2/4 1.1.1.4.1");
    smp_case((struct bp_smp){.cpus = 4, .threads = 2}, "4/4 1.1.1.2.2");
    smp_case((struct bp_smp){.cpus = 4, .sockets = 1, .cores = 2}, "4/4 1.1.1.2.2");
    smp_case((struct bp_smp){.cpus = 4, .cores = 2}, "4/4 2.1.1.2.1");
    smp_case((struct bp_smp){.sockets = 2, .cores = 2}, "4/4 2.1.1.2.1");
    smp_case((struct bp_smp){.cpus = 2, .dies = 2}, "2/2 1.2.1.1.1");
    smp_case((struct bp_smp){.max_cpus = 8, .sockets = 2}, "8/8 2.1.1.4.1");
    smp_case((struct bp_smp){.cpus = 3, .cores = 2}, "product of the hierarchy must match maxcpus");
    smp_case((struct bp_smp){.cpus = 2, .max_cpus = 1}, "maxcpus (1) must be equal to or greater");
    smp_case((struct bp_smp){.cpus = 300}, "supports at most 8");
    smp_case((struct bp_smp){.cpus = 2, .clusters = 2}, "clusters > 1 not supported");
    smp_case((struct bp_smp){.cpus = 2, .modules = 2}, "modules > 1 not supported");
    smp_case((struct bp_smp){.sockets = 4096, .dies = 4096, .cores = 4096, .threads = 4096},
             "product of the hierarchy");
    smp_case((struct bp_smp){.sockets = 5000}, "at most 4096");
}

/* ---- options of board, CPU and accelerator ---- */

static void assert_refused(const char *want)
{
    struct bp_error err = {0};

    bpc_config.smp = (struct bp_smp){0};
    if (bpc_machine_create(&err) == 0)
        g_error("made, but should fail with '%s'", want);
    if (!strstr(err.message, want))
        g_error("got '%s', want '%s'", err.message, want);
    g_assert_null(bpc_the_machine);
}

static void cpu_features_are_set_or_refused(void)
{
    bpc_config.cpu = (char *)"unit,+fancy,-quick_start,level=9";
    up(1);
    g_assert_true(cpu_state(0)->fancy);
    g_assert_false(cpu_state(0)->quick_start);
    g_assert_cmpuint(cpu_state(0)->level, ==, 9);
    g_assert_cmpstr(bp_machine_cpu_model(bpc_the_machine), ==, "unit");
    g_assert_cmpstr(bp_object_path(bp_cpu_object(bp_machine_cpu(bpc_the_machine, 0))), ==,
                    "/machine/unattached/device[0]");
    down();
    bpc_config.cpu = (char *)"unit-x86_64-cpu,fancy";
    up(1);
    g_assert_true(cpu_state(0)->fancy);
    down();
    bpc_config.cpu = (char *)"uint";
    assert_refused("unable to find CPU model 'uint'; nearest: unit");
    bpc_config.cpu = (char *)"unit,+fanci";
    assert_refused("-cpu unit: there is no feature 'fanci'; nearest: fancy");
    bpc_config.cpu = (char *)"unit,level=x";
    assert_refused("level");
    bpc_config.cpu = (char *)"unit,,fancy";
    assert_refused("missing between two commas");
    bpc_config.cpu = NULL;
}

static void set_accels(const char *json)
{
    bp_value_unref(bpc_config.accels);
    bpc_config.accels = NULL;
    if (json)
        g_assert_cmpint(bp_value_parse(json, strlen(json), &bpc_config.accels, NULL), ==, 0);
}

static void accelerators_are_tried_in_order(void)
{
    up(1);
    g_assert_cmpstr(bp_machine_accel_name(bpc_the_machine), ==, "unit"); /* not "idle", whatever its rank */
    down();
    set_accels("[{\"accel\":\"warp\"}]");
    assert_refused("accelerator 'warp' is not installed; installed: idle, unit");
    set_accels("[{\"accel\":\"unit\",\"broken\":\"on\"}]");
    assert_refused("it is broken");
    set_accels("[{\"accel\":\"unit\",\"brocken\":\"on\"}]");
    assert_refused("broken");
    set_accels("[{\"accel\":\"unit\",\"broken\":\"on\"},{\"accel\":\"idle\"}]");
    up(1);
    g_assert_cmpstr(bp_machine_accel_name(bpc_the_machine), ==, "idle");
    g_assert_cmpint(bpc_cpu_thread_id(bp_machine_cpu(bpc_the_machine, 0)), ==, 0);
    bpc_machine_start();
    g_assert_true(bp_machine_running(bpc_the_machine));
    turn();
    bpc_machine_stop(BPC_RUN_PAUSED);
    down();
    set_accels(NULL);
}

static void board_properties_and_memory(void)
{
    static const char text[] = "{\"extra\":\"on\"}";

    g_assert_cmpint(bp_value_parse(text, strlen(text), &bpc_config.board_props, NULL), ==, 0);
    bpc_config.ram_size = (2 << 20) + 5;
    up(1);
    g_assert_true(board()->extra);
    g_assert_cmpuint(bp_machine_ram_size(bpc_the_machine), ==, (2 << 20) + 8192);
    g_assert_cmpstr(bp_region_name(bp_machine_ram(bpc_the_machine)), ==, "unit.ram");
    g_assert_cmpuint(board()->readies, ==, 1);
    g_assert_cmpuint(board()->resets, ==, 1);
    down();
    bp_value_set(bpc_config.board_props, "extra", bp_value_string("perhaps"));
    assert_refused("-machine unit-board: ");
    bp_value_unref(bpc_config.board_props);
    bpc_config.board_props = NULL;
    bpc_config.ram_slots = 2;
    assert_refused("slots specified but no maxmem");
    bpc_config.ram_max = 1 << 30;
    assert_refused("no memory hot-plug");
    bpc_config.ram_max = 0;
    bpc_config.ram_slots = 0;
    bpc_config.ram_size = 0;
    bpc_config.board = (char *)"unit-bord";
    assert_refused("unit-board");
    bpc_config.board = NULL;
}

/* ---- running ---- */

static void start_and_stop_wait_for_vcpus(void)
{
    up(2);
    assert_stands();
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_PRELAUNCH);
    g_assert_cmpint(bpc_cpu_thread_id(bp_machine_cpu(bpc_the_machine, 0)), >, 0);
    for (unsigned i = 0; i < 20; i++) {
        bpc_machine_start();
        if (i % 4 == 0) {
            until_runs(0);
            until_runs(1);
        }
        bpc_machine_stop(BPC_RUN_PAUSED);
    }
    assert_stands();
    g_assert_cmpstr(bpc_run_state_name(bpc_machine_state()), ==, "paused");
    bpc_machine_start();
    until_runs(1);
    down();
}

static unsigned run_changes[2];

static void run_changed(void *opaque, bool running)
{
    (void)opaque;
    run_changes[running]++;
}

static void listeners_hear_of_starts_and_stops(void)
{
    run_changes[0] = run_changes[1] = 0;
    up(1);
    bp_machine_on_run_change(bpc_the_machine, bp_cpu_owner(bp_machine_cpu(bpc_the_machine, 0)), 0,
                             run_changed, NULL);
    bpc_machine_start();
    bpc_machine_start();
    bpc_machine_stop(BPC_RUN_PAUSED);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpuint(run_changes[0], ==, 1);
    g_assert_cmpuint(run_changes[1], ==, 1);
    down();
}

struct hearer {
    const char *name;
    bool stops;
};
static GString *heard;

static void hear(void *opaque, bool running)
{
    struct hearer *h = opaque;

    g_string_append_printf(heard, "%c%s ", running ? '+' : '-', h->name);
    if (h->stops && running)
        bpc_machine_stop(BPC_RUN_IO_ERROR);
}

static void listeners_hear_in_their_order(void)
{
    static struct hearer disk = {"disk", false}, nic = {"nic", false}, user = {"user", false},
                         device = {"device", false};
    struct bp_owner *owner;

    heard = g_string_new(NULL);
    up(1);
    owner = bp_machine_owner(bpc_the_machine);
    bp_machine_on_run_change(bpc_the_machine, owner, BP_RUN_ORDER_USER, hear, &user);
    bp_machine_on_run_change(bpc_the_machine, owner, BP_RUN_ORDER_DEVICE, hear, &device);
    bp_machine_on_run_change(bpc_the_machine, owner, BP_RUN_ORDER_BACKEND, hear, &disk);
    bp_machine_on_run_change(bpc_the_machine, owner, BP_RUN_ORDER_BACKEND, hear, &nic);
    bpc_machine_start();
    g_assert_cmpstr(heard->str, ==, "+disk +nic +device +user ");
    g_string_truncate(heard, 0);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpstr(heard->str, ==, "-user -device -nic -disk ");
    g_string_truncate(heard, 0);
    device.stops = true; /* it finds out that it cannot run: who heard of the start hears of the end */
    bpc_machine_start();
    g_assert_cmpstr(heard->str, ==, "+disk +nic +device -device -nic -disk ");
    g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_IO_ERROR);
    assert_stands();
    device.stops = false;
    down();
    g_string_free(heard, TRUE);
}

static void newer_request_is_not_undone(void)
{
    for (unsigned i = 0; i < 20; i++) {
        up(2);
        bpc_machine_start();
        until_runs(1);
        bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET);
        stop_in_reset = true;
        while (stop_in_reset)
            bpc_machine_turn(&status); /* the reset; the stop came under it */
        assert_stands();
        turn();
        g_assert_cmpint(bpc_machine_state(), ==, BPC_RUN_IO_ERROR);
        down();
    }
}

static void vcpus_that_wait_for_each_other_go_on(void)
{
    called = 0;
    up(2);
    bpc_machine_start();
    order(0, CALL);
    order(1, CALL);
    for (unsigned i = 0; i < 50; i++) {
        unsigned before = called;

        while (called < before + 20)
            turn();
        if (i % 10 == 9) { /* pauses are obeyed in between */
            bpc_machine_stop(BPC_RUN_PAUSED);
            assert_stands();
            bpc_machine_start();
        }
    }
    down();
}

static void halted_vcpu_sleeps_until_work(void)
{
    up(2);
    bpc_machine_start();
    until_runs(0);
    for (unsigned i = 0; i < 200; i++) {
        order(0, HALT);
        while (!bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, 0)))
            turn();
        bp_cpu_kick(bp_machine_cpu(bpc_the_machine, 0)); /* alone it is no reason to go on */
        g_assert_cmpuint(__atomic_load_n(&cpu_state(0)->order, __ATOMIC_SEQ_CST), ==, HALT);
        __atomic_store_n(&cpu_state(0)->work, 1, __ATOMIC_SEQ_CST);
        bp_cpu_kick(bp_machine_cpu(bpc_the_machine, 0));
        while (__atomic_load_n(&cpu_state(0)->order, __ATOMIC_SEQ_CST) != RUN)
            turn();
    }
    order(0, HALT);
    while (!bpc_cpu_halted(bp_machine_cpu(bpc_the_machine, 0)))
        turn();
    bpc_machine_stop(BPC_RUN_PAUSED); /* also one that sleeps */
    down();
}

static void note_thread(struct bp_cpu *cpu, void *opaque)
{
    g_assert_true(bp_machine_locked(NULL));
    g_assert_true(bp_cpu_current() == cpu);
    (*(unsigned *)opaque)++;
}

static void work_runs_on_the_vcpu_thread(void)
{
    unsigned done = 0;

    up(2);
    bp_cpu_run(bp_machine_cpu(bpc_the_machine, 1), note_thread, &done); /* paused ones serve too */
    g_assert_cmpuint(done, ==, 1);
    bpc_machine_start();
    for (unsigned i = 0; i < 100; i++)
        bp_cpu_run(bp_machine_cpu(bpc_the_machine, i % 2), note_thread, &done);
    g_assert_cmpuint(done, ==, 101);
    for (unsigned i = 0; i < 100; i++)
        bp_cpu_run_async(bp_machine_cpu(bpc_the_machine, 0), note_thread, &done);
    bp_cpu_run(bp_machine_cpu(bpc_the_machine, 0), note_thread, &done);
    g_assert_cmpuint(done, ==, 202);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpuint(done, ==, 202);
    down();
}

static void vcpus_and_main_share_the_machine_lock(void)
{
    unsigned before;

    up(3);
    shared = 0;
    bpc_machine_start();
    for (unsigned i = 0; i < 3; i++)
        order(i, LOCK);
    for (unsigned i = 0; i < 2000; i++) {
        before = shared;
        g_assert_cmpuint(shared, ==, before); /* nobody else while we hold it */
        turn();
    }
    while (shared < 1000)
        turn();
    bpc_machine_stop(BPC_RUN_PAUSED);
    before = shared;
    assert_stands();
    g_assert_cmpuint(shared, ==, before);
    down();
}

static bool retired; /* atomic */

static void *kicks(void *opaque)
{
    while (!__atomic_load_n(&retired, __ATOMIC_SEQ_CST))
        bp_cpu_kick(opaque);
    return NULL;
}

/* A device on a thread of its own wakes a vCPU while the machine ends. */
static void kicks_may_come_while_the_accelerator_lets_go(void)
{
    GThread *thread;

    up(1);
    __atomic_store_n(&kick_us, 20000, __ATOMIC_SEQ_CST);
    thread = g_thread_new("kicks", kicks, bp_machine_cpu(bpc_the_machine, 0));
    while (!__atomic_load_n(&kicked_from_elsewhere, __ATOMIC_SEQ_CST))
        g_usleep(100);
    bpc_cpu_retire(bp_machine_cpu(bpc_the_machine, 0));
    __atomic_store_n(&retired, true, __ATOMIC_SEQ_CST);
    g_thread_join(thread);
    __atomic_store_n(&kick_us, 0, __ATOMIC_SEQ_CST);
    down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_register_all("unit", provides, NULL), ==, 0);
    g_test_add_func("/machine/topology_completed-or-refused", topology_is_completed_or_refused);
    g_test_add_func("/machine/cpu-features_set-or-refused", cpu_features_are_set_or_refused);
    g_test_add_func("/machine/accelerators_tried-in-order", accelerators_are_tried_in_order);
    g_test_add_func("/machine/board-properties-and-memory", board_properties_and_memory);
    g_test_add_func("/machine/kicks_while-the-accelerator-lets-go", kicks_may_come_while_the_accelerator_lets_go);
    g_test_add_func("/machine/start-stop_wait-for-vcpus", start_and_stop_wait_for_vcpus);
    g_test_add_func("/machine/listeners_hear-starts-and-stops", listeners_hear_of_starts_and_stops);
    g_test_add_func("/machine/listeners_hear-in-order", listeners_hear_in_their_order);
    g_test_add_func("/machine/newer-request_not-undone", newer_request_is_not_undone);
    g_test_add_func("/machine/vcpus-waiting-for-each-other_go-on",
                    vcpus_that_wait_for_each_other_go_on);
    g_test_add_func("/machine/halted_sleeps-until-work", halted_vcpu_sleeps_until_work);
    g_test_add_func("/machine/work_runs-on-vcpu-thread", work_runs_on_the_vcpu_thread);
    g_test_add_func("/machine/machine-lock_shared", vcpus_and_main_share_the_machine_lock);
    return g_test_run();
}
