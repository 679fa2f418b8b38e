/* SPDX-License-Identifier: MIT */
/*
 * Debugging a guest from outside: points at which a vCPU stops, single steps, and why it stopped. One
 * debugger (a stub of a protocol such as gdb's) drives one machine; accelerators do what it asks. Tier:
 * exact. [main] under the machine lock unless a function says otherwise.
 */
#ifndef BP_EXACT_DEBUG_H
#define BP_EXACT_DEBUG_H

#include <bp/exact/cpu.h>

BP_BEGIN_DECLS

enum bp_debug_kind { BP_DEBUG_EXECUTE, BP_DEBUG_WRITE, BP_DEBUG_READ, BP_DEBUG_ACCESS };

/* Linear addresses. An EXECUTE point stops in front of the instruction that begins at it (length is not
 * looked at); the others behind the instruction that touched one of the bytes. */
struct bp_debug_point {
    uint64_t address, length;
    enum bp_debug_kind kind;
};

/* What an accelerator does for the debugger while it runs this vCPU. */
struct bp_debug {
    const struct bp_debug_point *points;
    unsigned count;
    bool step;            /* one instruction, then BP_CPU_EXIT_DEBUG */
    bool step_interrupts; /* interrupts are taken during a step; false: unless the vCPU is halted */
};

enum bp_debug_reason { BP_DEBUG_NOTHING, BP_DEBUG_STEPPED, BP_DEBUG_AT_POINT };
struct bp_debug_hit {
    enum bp_debug_reason reason;
    enum bp_debug_kind kind; /* of the point */
    uint64_t address;        /* the point's, or what was accessed within it */
};

/* ---- for accelerators ---- */
/* Just before BP_CPU_EXIT_DEBUG is returned. [vcpu] */
void bp_cpu_debug_hit(struct bp_cpu *cpu, const struct bp_debug_hit *hit);

/* ---- for the debugger ---- */
/* -ENOTSUP: the accelerator, or the CPU class, knows nothing of debugging. */
int bp_debug_check(struct bp_machine *m, struct bp_error *err);
/* The points of every vCPU from now on; copied. vCPUs that run pause meanwhile. -ENOTSUP as above. */
int bp_debug_set_points(struct bp_machine *m, const struct bp_debug_point *points, unsigned count,
                        struct bp_error *err);
/* What a vCPU does when the machine goes on; it lasts until the machine stops. HOLD: it stands. */
enum bp_debug_action { BP_DEBUG_RUN, BP_DEBUG_STEP, BP_DEBUG_STEP_INTERRUPTS, BP_DEBUG_HOLD };
void bp_debug_set_action(struct bp_cpu *cpu, enum bp_debug_action action);
/* Starts the machine, or stops it ("debug" for `for_debug`, else "paused"). */
int bp_debug_resume(struct bp_machine *m, struct bp_error *err);
void bp_debug_stop(struct bp_machine *m, bool for_debug);
/* The run state as QMP names it ("running", "paused", "debug", "guest-panicked", ...). */
const char *bp_debug_state(struct bp_machine *m);
/* Why it stopped last, if the debugger was the reason; taken by the call. */
void bp_debug_take_hit(struct bp_cpu *cpu, struct bp_debug_hit *ret_hit);
/* Around reads of a stopped vCPU's registers, and after writes to them. */
void bp_debug_sync(struct bp_cpu *cpu);
void bp_debug_changed(struct bp_cpu *cpu);

BP_END_DECLS

#endif
