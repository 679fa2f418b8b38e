/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A board, a CPU model and an accelerator of our own, and what tests do with them. */
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

/* ---- a CPU: counts rounds, and does what `order` says ---- */

#ifndef ONE_THREAD
#define ONE_THREAD false
#endif
unsigned kick_us;
bool kicked_from_elsewhere;
bool one_thread = ONE_THREAD;
struct bp_timer *guest_timer;
struct bp_deferred *guest_call;
bool stop_in_reset;
unsigned called;
unsigned shared; /* under the machine lock */

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
    case TELL_TIME:
        __atomic_store_n(&c->told, (uint64_t)bp_virtual_ns(NULL), __ATOMIC_RELEASE);
        break;
    case ARM_TIMER: /* in 1001 ns */
        __atomic_store_n(&c->told, (uint64_t)bp_virtual_ns(NULL), __ATOMIC_RELEASE);
        __atomic_store_n(&c->order, RUN, __ATOMIC_SEQ_CST);
        bp_timer_set(guest_timer, bp_virtual_ns(NULL) + 1001);
        break;
    case DEFER:
        __atomic_store_n(&c->told, c->rounds, __ATOMIC_RELEASE);
        __atomic_store_n(&c->order, RUN, __ATOMIC_SEQ_CST);
        bp_deferred_schedule(guest_call);
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
    struct test_accel_cpu *a = bp_cpu_accel_state(cpu);
    bool counts = bp_machine_counts(bpc_the_machine);
    enum bp_cpu_exit exit = BP_CPU_EXIT_KICKED;

    g_assert_true(bp_cpu_current() == cpu);
    g_assert_false(bp_machine_locked(NULL));
    while (!bp_cpu_kicked(flag) && exit == BP_CPU_EXIT_KICKED && (!counts || a->left > 0)) {
        __atomic_fetch_add(&c->rounds, 1, __ATOMIC_RELAXED);
        act(c, &exit);
        a->left--;
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

static void accel_cpu_fini(struct bp_cpu *cpu)
{
    __atomic_store_n(&((struct test_accel_cpu *)bp_cpu_accel_state(cpu))->marker, 0, __ATOMIC_SEQ_CST);
}

/* What it uses stays as long as it lasts. */
static void accel_cpu_kick(struct bp_cpu *cpu)
{
    const struct test_accel_cpu *a = bp_cpu_accel_state(cpu);

    if (__atomic_load_n(&kick_us, __ATOMIC_SEQ_CST) == 0)
        return;
    g_assert_cmpuint(__atomic_load_n(&a->marker, __ATOMIC_SEQ_CST), ==, 42);
    __atomic_store_n(&kicked_from_elsewhere, true, __ATOMIC_SEQ_CST);
    g_usleep(__atomic_load_n(&kick_us, __ATOMIC_SEQ_CST));
    g_assert_cmpuint(__atomic_load_n(&a->marker, __ATOMIC_SEQ_CST), ==, 42);
}

static int64_t accel_left(struct bp_cpu *cpu)
{
    return ((struct test_accel_cpu *)bp_cpu_accel_state(cpu))->left;
}

static void accel_set_left(struct bp_cpu *cpu, int64_t instructions)
{
    ((struct test_accel_cpu *)bp_cpu_accel_state(cpu))->left = instructions;
}

static void accel_cpu_changed(struct bp_cpu *cpu)
{
    ((struct test_cpu *)bp_cpu_state(cpu))->changes++;
}

static const struct bp_field accel_props[] = {
    BP_PROP("broken", BOOL, struct test_accel, broken, "off", "for tests"),
    BP_FIELDS_END,
};
static int accel_init(struct bp_accel *accel, struct bp_error *err)
{
    if (((struct test_accel *)bp_accel_state(accel))->broken)
        return bp_fail(err, ENODEV, "it is broken");
    if (one_thread)
        bp_machine_one_thread(bp_object_machine(bp_accel_object(accel)));
    return 0;
}
static const struct bp_accel_class accel_class = {
    .type = {.size = sizeof(struct bp_accel_class), .name = "unit", .summary = "of the unit test",
             .state_size = sizeof(struct test_accel), .props = accel_props},
    .arch = "x86_64,i386", .rank = 10, .init = accel_init,
    .cpu_size = sizeof(struct test_accel_cpu), .cpu_init = accel_cpu_init, .cpu_exec = accel_exec,
    .cpu_changed = accel_cpu_changed, .cpu_left = accel_left, .cpu_set_left = accel_set_left,
    .cpu_kick = accel_cpu_kick, .cpu_fini = accel_cpu_fini,
};
static const struct bp_accel_class none_class = { /* runs nothing, is never the default */
    .type = {.size = sizeof(struct bp_accel_class), .name = "idle", .summary = "runs nothing",
             .state_size = 1},
    .arch = "any", .rank = 100, .no_cpus = true,
};

/* ---- a board ---- */

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

const struct bp_provide provides[] = {
    {BP_PROVIDE_CPU, &cpu_class}, {BP_PROVIDE_ACCEL, &accel_class},
    {BP_PROVIDE_ACCEL, &none_class}, {BP_PROVIDE_BOARD, &board_class}, {BP_PROVIDE_END, NULL},
};

/* ---- helpers ---- */

int status;
static bool ended;

bool turn(void)
{
    bpc_loop_run_once(false);
    if (bpc_machine_turn(&status))
        ended = true;
    return !ended;
}

struct test_cpu *cpu_state(unsigned i)
{
    return bp_cpu_state(bp_machine_cpu(bpc_the_machine, i));
}

uint64_t rounds(unsigned i)
{
    return __atomic_load_n(&cpu_state(i)->rounds, __ATOMIC_RELAXED);
}

void order(unsigned i, enum order o)
{
    __atomic_store_n(&cpu_state(i)->order, o, __ATOMIC_SEQ_CST);
}

void until_runs(unsigned i)
{
    uint64_t before = rounds(i);

    while (rounds(i) < before + 2)
        turn();
}

void assert_stands(void)
{
    uint64_t before[8];

    for (unsigned i = 0; i < bpc_cpu_count(); i++)
        before[i] = rounds(i);
    g_usleep(3000);
    for (unsigned i = 0; i < bpc_cpu_count(); i++)
        g_assert_cmpuint(rounds(i), ==, before[i]);
}

struct test_board *board(void)
{
    return bp_machine_state(bpc_the_machine);
}

void up(unsigned cpus)
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

void down(void)
{
    bpc_machine_destroy();
    g_assert_null(bpc_the_machine);
    bpc_config.on_reboot = bpc_config.on_shutdown = bpc_config.on_panic = BPC_ACTION_DEFAULT;
    bpc_config.no_reboot = bpc_config.no_shutdown = false;
}
