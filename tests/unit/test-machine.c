/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's life on a board, a CPU model and an accelerator of our own: topology, options,
 * run states, requests from vCPU threads, halts and kicks, work on vCPUs.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include "config.h"
#include "loop.h"
#include "machine.h"
#include "registry.h"

/* ---- a CPU: counts rounds, and does what `order` says ---- */

enum order { RUN, HALT, TRIPLE_FAULT, FAIL, ASK_SHUTDOWN, ASK_RESET, BREAKPOINT, LOCK, CALL };

struct test_cpu {
    uint64_t rounds;  /* atomic */
    uint32_t order;   /* atomic: enum order */
    uint32_t work;    /* atomic: there is something that ends a halt */
    uint32_t resets, changes;
    bool fancy, quick_start;
    uint32_t level;
};
struct test_accel_cpu {
    uint64_t marker;
};
static bool stop_in_reset;
static unsigned called;
static unsigned shared; /* under the machine lock */

static void cpu_reset(struct bp_cpu *cpu)
{
    struct test_cpu *c = bp_cpu_state(cpu);

    c->resets++;
    if (stop_in_reset) {
        stop_in_reset = false;
        bpc_machine_request_stop(BPC_RUN_IO_ERROR); /* as a device's thread may, at that moment */
    }
    __atomic_store_n(&c->order, RUN, __ATOMIC_SEQ_CST);
}

static bool cpu_has_work(struct bp_cpu *cpu)
{
    return __atomic_load_n(&((struct test_cpu *)bp_cpu_state(cpu))->work, __ATOMIC_SEQ_CST);
}

static const struct bp_field cpu_props[] = {
    BP_PROP("fancy", BOOL, struct test_cpu, fancy, "off", "for tests"),
    BP_PROP("quick-start", BOOL, struct test_cpu, quick_start, "on", "for tests"),
    BP_PROP("level", UINT32, struct test_cpu, level, "7", "for tests"),
    BP_FIELDS_END,
};
static const struct bp_cpu_class cpu_class = {
    .type = {.size = sizeof(struct bp_cpu_class), .name = "unit-x86_64-cpu",
             .parent = "x86_64-cpu", .summary = "of the unit test",
             .state_size = sizeof(struct test_cpu), .props = cpu_props},
    .model = "unit", .arch = "x86_64", .reset = cpu_reset, .has_work = cpu_has_work,
};

static void count_call(struct bp_cpu *cpu, void *opaque)
{
    (void)opaque;
    g_assert_true(bp_cpu_current() == cpu);
    called++;
}

/* Each vCPU runs something on the other one and waits for it. */
static void call_the_other(void)
{
    struct bp_cpu *self = bp_cpu_current();

    bp_cpu_run(bp_machine_cpu(bpc_the_machine, !bp_cpu_index(self)), count_call, NULL);
}

static void act(struct test_cpu *c, enum bp_cpu_exit *ret_exit)
{
    switch (__atomic_load_n(&c->order, __ATOMIC_SEQ_CST)) {
    case HALT:
        *ret_exit = BP_CPU_EXIT_HALTED;
        break;
    case TRIPLE_FAULT:
        *ret_exit = BP_CPU_EXIT_SHUTDOWN;
        break;
    case FAIL:
        *ret_exit = BP_CPU_EXIT_ERROR;
        break;
    case BREAKPOINT:
        *ret_exit = BP_CPU_EXIT_DEBUG;
        break;
    case ASK_SHUTDOWN:
    case ASK_RESET:
        bp_machine_lock(NULL);
        if (__atomic_load_n(&c->order, __ATOMIC_SEQ_CST) == ASK_RESET)
            bp_machine_request_reset(bpc_the_machine, BP_SHUTDOWN_GUEST_RESET);
        else
            bp_machine_request_shutdown(bpc_the_machine, BP_SHUTDOWN_GUEST_SHUTDOWN);
        bp_machine_unlock(NULL);
        break;
    case CALL:
        call_the_other();
        break;
    case LOCK:
        bp_machine_lock(NULL);
        shared++;
        bp_machine_unlock(NULL);
        break;
    }
}

static enum bp_cpu_exit accel_exec(struct bp_cpu *cpu)
{
    const uint32_t *flag = bp_cpu_kick_flag(cpu);
    struct test_cpu *c = bp_cpu_state(cpu);
    enum bp_cpu_exit exit = BP_CPU_EXIT_KICKED;

    g_assert_true(bp_cpu_current() == cpu);
    g_assert_false(bp_machine_locked(NULL));
    while (!bp_cpu_kicked(flag) && exit == BP_CPU_EXIT_KICKED) {
        __atomic_fetch_add(&c->rounds, 1, __ATOMIC_RELAXED);
        act(c, &exit);
    }
    if (exit == BP_CPU_EXIT_HALTED && cpu_has_work(cpu)) { /* taken */
        __atomic_store_n(&c->work, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&c->order, RUN, __ATOMIC_SEQ_CST);
        exit = BP_CPU_EXIT_KICKED;
    }
    return exit;
}

static int accel_cpu_init(struct bp_accel *accel, struct bp_cpu *cpu, struct bp_error *err)
{
    (void)accel;
    (void)err;
    ((struct test_accel_cpu *)bp_cpu_accel_state(cpu))->marker = 42;
    return 0;
}

static void accel_cpu_changed(struct bp_cpu *cpu)
{
    ((struct test_cpu *)bp_cpu_state(cpu))->changes++;
}

struct test_accel {
    bool broken;
};
static const struct bp_field accel_props[] = {
    BP_PROP("broken", BOOL, struct test_accel, broken, "off", "for tests"),
    BP_FIELDS_END,
};
static int accel_init(struct bp_accel *accel, struct bp_error *err)
{
    if (((struct test_accel *)bp_accel_state(accel))->broken)
        return bp_fail(err, ENODEV, "it is broken");
    return 0;
}
static const struct bp_accel_class accel_class = {
    .type = {.size = sizeof(struct bp_accel_class), .name = "unit", .summary = "of the unit test",
             .state_size = sizeof(struct test_accel), .props = accel_props},
    .arch = "x86_64,i386", .rank = 10, .init = accel_init,
    .cpu_size = sizeof(struct test_accel_cpu), .cpu_init = accel_cpu_init, .cpu_exec = accel_exec,
    .cpu_changed = accel_cpu_changed,
};
static const struct bp_accel_class none_class = { /* runs nothing, is never the default */
    .type = {.size = sizeof(struct bp_accel_class), .name = "idle", .summary = "runs nothing",
             .state_size = 1},
    .arch = "any", .rank = 100, .no_cpus = true,
};

/* ---- a board ---- */

struct test_board {
    unsigned resets, readies, powerdowns;
    bool extra;
};

static int board_init(struct bp_machine *m, struct bp_error *err)
{
    struct bp_cpu *cpu;
    int r = 0;

    bp_region_add(bp_space_root(bp_machine_memory(m)), bp_machine_ram(m), 0, 0);
    for (unsigned i = 0; i < bp_machine_smp(m)->cpus && r == 0; i++) {
        r = bp_machine_new_cpu(m, i, &cpu, err);
        if (r == 0 && strcmp(bp_machine_accel_name(bpc_the_machine), "unit") == 0)
            g_assert_cmpuint(((struct test_accel_cpu *)bp_cpu_accel_state(cpu))->marker, ==, 42);
    }
    return r;
}
static int board_ready(struct bp_machine *m, struct bp_error *err)
{
    (void)err;
    ((struct test_board *)bp_machine_state(m))->readies++;
    return 0;
}
static void board_reset(struct bp_machine *m)
{
    ((struct test_board *)bp_machine_state(m))->resets++;
}
static void board_powerdown(struct bp_machine *m)
{
    ((struct test_board *)bp_machine_state(m))->powerdowns++;
}
static const struct bp_field board_props[] = {
    BP_PROP("extra", BOOL, struct test_board, extra, "off", "for tests"),
    BP_FIELDS_END,
};
static const struct bp_board_class board_class = {
    .type = {.size = sizeof(struct bp_board_class), .name = "unit-board",
             .summary = "of the unit test", .state_size = sizeof(struct test_board),
             .props = board_props},
    .arch = "x86_64", .is_default = true, .max_cpus = 8, .default_cpu = "unit",
    .default_ram_size = 1 << 20, .default_ram_id = "unit.ram", .init = board_init,
    .ready = board_ready, .reset = board_reset, .powerdown = board_powerdown,
};

static const struct bp_provide provides[] = {
    {BP_PROVIDE_CPU, &cpu_class}, {BP_PROVIDE_ACCEL, &accel_class},
    {BP_PROVIDE_ACCEL, &none_class}, {BP_PROVIDE_BOARD, &board_class}, {BP_PROVIDE_END, NULL},
};

/* ---- helpers ---- */

static int status;
static bool ended;

static bool turn(void)
{
    bpc_loop_run_once(false);
    if (bpc_machine_turn(&status))
        ended = true;
    return !ended;
}

static struct test_cpu *cpu_state(unsigned i)
{
    return bp_cpu_state(bp_machine_cpu(bpc_the_machine, i));
}

static uint64_t rounds(unsigned i)
{
    return __atomic_load_n(&cpu_state(i)->rounds, __ATOMIC_RELAXED);
}

static void order(unsigned i, enum order o)
{
    __atomic_store_n(&cpu_state(i)->order, o, __ATOMIC_SEQ_CST);
}

static void until_runs(unsigned i)
{
    uint64_t before = rounds(i);

    while (rounds(i) < before + 2)
        turn();
}

static void assert_stands(void)
{
    uint64_t before[8];

    for (unsigned i = 0; i < bpc_cpu_count(); i++)
        before[i] = rounds(i);
    g_usleep(3000);
    for (unsigned i = 0; i < bpc_cpu_count(); i++)
        g_assert_cmpuint(rounds(i), ==, before[i]);
}

static struct test_board *board(void)
{
    return bp_machine_state(bpc_the_machine);
}

static void up(unsigned cpus)
{
    struct bp_error err = {0};
    int r;

    bpc_config.smp = (struct bp_smp){.cpus = cpus};
    ended = false;
    status = -1;
    r = bpc_machine_create(&err);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(r, ==, 0);
    g_assert_cmpint(bpc_machine_finish(&err), ==, 0);
}

static void down(void)
{
    bpc_machine_destroy();
    g_assert_null(bpc_the_machine);
    bpc_config.on_reboot = bpc_config.on_shutdown = bpc_config.on_panic = BPC_ACTION_DEFAULT;
    bpc_config.no_reboot = bpc_config.no_shutdown = false;
}

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
    assert_refused("no memory hot-plug");
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
    g_test_add_func("/machine/topology_completed-or-refused", topology_is_completed_or_refused);
    g_test_add_func("/machine/cpu-features_set-or-refused", cpu_features_are_set_or_refused);
    g_test_add_func("/machine/accelerators_tried-in-order", accelerators_are_tried_in_order);
    g_test_add_func("/machine/board-properties-and-memory", board_properties_and_memory);
    g_test_add_func("/machine/start-stop_wait-for-vcpus", start_and_stop_wait_for_vcpus);
    g_test_add_func("/machine/listeners_hear-starts-and-stops", listeners_hear_of_starts_and_stops);
    g_test_add_func("/machine/listeners_hear-in-order", listeners_hear_in_their_order);
    g_test_add_func("/machine/newer-request_not-undone", newer_request_is_not_undone);
    g_test_add_func("/machine/vcpus-waiting-for-each-other_go-on",
                    vcpus_that_wait_for_each_other_go_on);
    g_test_add_func("/machine/halted_sleeps-until-work", halted_vcpu_sleeps_until_work);
    g_test_add_func("/machine/work_runs-on-vcpu-thread", work_runs_on_the_vcpu_thread);
    g_test_add_func("/machine/machine-lock_shared", vcpus_and_main_share_the_machine_lock);
    g_test_add_func("/machine/guest-reset_resets-everything", guest_reset_resets_everything);
    g_test_add_func("/machine/guest-shutdown_ends-or-pauses", guest_shutdown_ends_or_pauses);
    g_test_add_func("/machine/no-reboot_ends", no_reboot_turns_resets_into_ends);
    g_test_add_func("/machine/errors-and-breakpoints_stop", errors_and_breakpoints_stop);
    g_test_add_func("/machine/exit-and-powerdown", exit_and_powerdown_requests);
    g_test_add_func("/machine/requests-from-anywhere_usable", requests_from_anywhere_leave_it_usable);
    g_test_add_func("/machine/rtc_follows-base-and-clock", rtc_follows_base_and_clock);
    return g_test_run();
}
