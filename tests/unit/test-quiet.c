/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs as readers of the memory map, in a machine: one that changes the map goes on when the others
 * have come out of cpu_exec(); two that do so at once, or wait for each other's work, do not stand;
 * a processor may have a space of its own.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include <bp/exact/cpu.h>
#include <bp/exact/machine.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include "config.h"
#include "loop.h"
#include "machine.h"
#include "registry.h"

enum order { RUN, STAY, MOVE, MOVE_ON };

struct cpu {
    uint32_t order;  /* atomic: enum order */
    uint32_t inside; /* atomic: it is in STAY */
    uint64_t entries; /* atomic: calls of cpu_exec() */
};

static struct bp_region *moving;
static struct bp_space *own_space;

static struct cpu *state(unsigned i)
{
    return bp_cpu_state(bp_machine_cpu(bpc_the_machine, i));
}

static void order(unsigned i, enum order o)
{
    __atomic_store_n(&state(i)->order, o, __ATOMIC_SEQ_CST);
}

static uint64_t entries(unsigned i)
{
    return __atomic_load_n(&state(i)->entries, __ATOMIC_SEQ_CST);
}

static void move(void)
{
    static uint64_t place;

    bp_machine_lock(NULL);
    place = (place + 0x1000) & 0xff000;
    bp_region_set_address(moving, 0x10000000 + place);
    bp_machine_unlock(NULL);
}

static enum bp_cpu_exit exec(struct bp_cpu *cpu)
{
    const uint32_t *flag = bp_cpu_kick_flag(cpu);
    struct cpu *c = bp_cpu_state(cpu);

    __atomic_fetch_add(&c->entries, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        switch (__atomic_load_n(&c->order, __ATOMIC_SEQ_CST)) {
        case STAY: /* deaf: as one that is held between two instructions */
            __atomic_store_n(&c->inside, 1, __ATOMIC_SEQ_CST);
            usleep(100);
            continue;
        case MOVE:
            __atomic_store_n(&c->order, RUN, __ATOMIC_SEQ_CST);
            move();
            return BP_CPU_EXIT_KICKED;
        case MOVE_ON:
            move();
            return BP_CPU_EXIT_KICKED;
        }
        __atomic_store_n(&c->inside, 0, __ATOMIC_SEQ_CST);
        if (bp_cpu_kicked(flag))
            return BP_CPU_EXIT_KICKED;
    }
}

static int cpu_init(struct bp_cpu *cpu, struct bp_error *err)
{
    (void)err;
    if (bp_cpu_index(cpu) == 1)
        bp_cpu_set_space(cpu, own_space);
    return 0;
}

static const struct bp_cpu_class cpu_class = {
    .type = {.size = sizeof(cpu_class), .name = "quiet-x86_64-cpu", .parent = "x86_64-cpu",
             .state_size = sizeof(struct cpu)},
    .model = "quiet", .arch = "x86_64", .init = cpu_init};
static const struct bp_accel_class accel_class = {
    .type = {.size = sizeof(accel_class), .name = "quiet"}, .arch = "x86_64", .rank = 10,
    .cpu_exec = exec};

static int board_init(struct bp_machine *m, struct bp_error *err)
{
    struct bp_cpu *cpu;
    int r = bp_region_new_ram(bp_machine_owner(m), "moving", 4096, &moving, err);

    own_space = bp_space_new(bp_machine_owner(m), "own", bp_region_new(bp_machine_owner(m), "own", 4096));
    if (r == 0)
        bp_region_add(bp_space_root(bp_machine_memory(m)), moving, 0x10000000, 0);
    for (unsigned i = 0; i < bp_machine_smp(m)->cpus && r == 0; i++)
        r = bp_machine_new_cpu(m, i, &cpu, err);
    return r;
}

static const struct bp_board_class board_class = {
    .type = {.size = sizeof(board_class), .name = "quiet-board", .state_size = 1},
    .arch = "x86_64", .is_default = true, .max_cpus = 2, .default_cpu = "quiet",
    .default_ram_size = 1 << 20, .init = board_init};
static const struct bp_provide provides[] = {
    {BP_PROVIDE_CPU, &cpu_class}, {BP_PROVIDE_ACCEL, &accel_class}, {BP_PROVIDE_BOARD, &board_class},
    {BP_PROVIDE_END, NULL}};

static void up(void)
{
    struct bp_error err = {0};

    bpc_config.smp = (struct bp_smp){.cpus = 2};
    g_assert_cmpint(bpc_machine_create(&err), ==, 0);
    g_assert_cmpint(bpc_machine_finish(&err), ==, 0);
    bpc_machine_start();
}

static void turn_for_a_while(void)
{
    for (unsigned i = 0; i < 50; i++) {
        bpc_loop_run_once(false);
        usleep(1000);
    }
}

/* Turns of the loop until the vCPU has been called this often. */
static void until_entered(unsigned i, uint64_t count)
{
    while (entries(i) < count) {
        bpc_loop_run_once(false);
        usleep(100);
    }
}

static void who_moves_memory_waits_for_the_others(void)
{
    uint64_t before;

    up();
    order(1, STAY);
    while (!__atomic_load_n(&state(1)->inside, __ATOMIC_SEQ_CST))
        bpc_loop_run_once(false);
    until_entered(0, 1);
    before = entries(0);
    order(0, MOVE);
    while (__atomic_load_n(&state(0)->order, __ATOMIC_SEQ_CST) == MOVE)
        bpc_loop_run_once(false);
    turn_for_a_while();
    g_assert_cmpuint(entries(0), ==, before); /* its next instruction has not begun */
    order(1, RUN);
    until_entered(0, before + 1);
    bpc_machine_destroy();
}

static void note_done(struct bp_cpu *cpu, void *opaque)
{
    (void)cpu;
    *(bool *)opaque = true;
}

static void waiting_vcpu_does_what_it_is_asked(void)
{
    up();
    order(1, STAY);
    while (!__atomic_load_n(&state(1)->inside, __ATOMIC_SEQ_CST))
        bpc_loop_run_once(false);
    until_entered(0, 1);
    order(0, MOVE);
    while (__atomic_load_n(&state(0)->order, __ATOMIC_SEQ_CST) == MOVE)
        bpc_loop_run_once(false);
    for (unsigned i = 0; i < 20; i++) { /* answered although it waits */
        bool done = false;

        bp_cpu_run(bp_machine_cpu(bpc_the_machine, 0), note_done, &done);
        g_assert_true(done);
    }
    order(1, RUN);
    bpc_machine_stop(BPC_RUN_PAUSED);
    bpc_machine_destroy();
}

static void all_may_move_at_once(void)
{
    up();
    order(0, MOVE_ON);
    order(1, MOVE_ON);
    until_entered(0, 3000);
    until_entered(1, 3000);
    bpc_machine_stop(BPC_RUN_PAUSED);
    bpc_machine_destroy();
}

static void processor_has_a_space_of_its_own(void)
{
    up();
    g_assert_true(bp_cpu_space(bp_machine_cpu(bpc_the_machine, 0)) == bp_machine_memory(bpc_the_machine));
    g_assert_true(bp_cpu_space(bp_machine_cpu(bpc_the_machine, 1)) == own_space);
    g_assert_true(bp_cpu_io(bp_machine_cpu(bpc_the_machine, 1)) == bp_machine_io(bpc_the_machine));
    bpc_machine_destroy();
}

#define CASE(name) g_test_add_func("/quiet/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    CASE(who_moves_memory_waits_for_the_others);
    CASE(waiting_vcpu_does_what_it_is_asked);
    CASE(all_may_move_at_once);
    CASE(processor_has_a_space_of_its_own);
    return g_test_run();
}
