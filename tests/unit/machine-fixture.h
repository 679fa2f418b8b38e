/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A board, a CPU model and an accelerator for tests of the machine's life (machine-fixture.c). */
#ifndef MACHINE_FIXTURE_H
#define MACHINE_FIXTURE_H

#include <stdbool.h>

#include <bp/exact/machine.h>
#include <bp/memory.h>

#include "config.h"
#include "machine.h"
#include "registry.h"

enum order { RUN, HALT, TRIPLE_FAULT, FAIL, ASK_SHUTDOWN, ASK_RESET, BREAKPOINT, LOCK, CALL, TELL_TIME,
             ARM_TIMER, DEFER };
struct test_cpu {
    uint64_t rounds;  /* atomic */
    uint32_t order;   /* atomic: enum order */
    uint32_t work;    /* atomic: there is something that ends a halt */
    uint32_t resets, changes;
    bool fancy, quick_start;
    uint32_t level;
    uint64_t told; /* atomic */
};
struct test_accel_cpu {
    uint64_t marker;
    int64_t left; /* -icount: a round is an instruction */
};
struct test_accel {
    bool broken;
};
struct test_board {
    unsigned resets, readies, powerdowns;
    bool extra;
};

extern bool one_thread; /* of vCPUs that take turns */
extern struct bp_timer *guest_timer; /* that ARM_TIMER sets */
extern struct bp_deferred *guest_call; /* that DEFER schedules */
extern unsigned kick_us; /* atomic: how long the accelerator's part of a kick takes; 0: it does nothing */
extern bool kicked_from_elsewhere; /* atomic: one has begun */
extern bool stop_in_reset;
extern unsigned called;
extern unsigned shared;
extern const struct bp_provide provides[];
extern int status;
bool turn(void);
struct test_cpu *cpu_state(unsigned i);
void order(unsigned i, enum order o);
uint64_t rounds(unsigned i);
void until_runs(unsigned i);
void assert_stands(void);
struct test_board *board(void);
void up(unsigned cpus);
void down(void);

#endif
