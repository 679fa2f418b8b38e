/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs that take turns on one thread (cpu-turns.c), and the clock that counts their instructions (icount.c). */
#ifndef BPC_TURNS_H
#define BPC_TURNS_H

#include "parts.h"

/* ---- cpu-turns.c ---- */
/* The vCPU, paused, is one of those that take turns from now on; the first starts the thread. [main] */
int bpc_turns_join(struct bp_cpu *cpu, const char *accel, struct bp_error *err);
void bpc_turns_leave(struct bp_cpu *cpu); /* and waits until it has; the last one ends the thread. [main] */
void bpc_turns_wake(void);                /* something is to be looked at. [any] */

/* ---- cpu-thread.c, for the thread of turns ---- */
void bpc_cpu_bring_out(struct bp_cpu *cpu); /* it comes back soon from bpc_cpu_run_once(). [any] */
enum bpc_serve { BPC_SERVE_QUIT, BPC_SERVE_PAUSED, BPC_SERVE_SLEEPS, BPC_SERVE_RUNS };
/* Does what is asked of the vCPU, without waiting, and says what it is about. */
enum bpc_serve bpc_cpu_serve(struct bp_cpu *cpu);
enum bp_cpu_exit bpc_cpu_run_once(struct bp_cpu *cpu); /* what came of it is carried out already */
void bpc_cpu_become(struct bp_cpu *cpu); /* this thread is the vCPU's, until the next call; NULL: nobody's */

/* ---- icount.c ---- */
/* After the accelerator was chosen. [main] */
int bpc_icount_init(struct bp_machine *m, struct bp_error *err);
/* On the thread of turns: how many instructions, at most `most`, the vCPU may execute now; 0: none. Then it is to
 * sleep until it is woken, or until *ret_until (host's monotonic time; -1: only that). */
int64_t bpc_icount_begin(struct bp_cpu *cpu, int64_t most, int64_t *ret_until);
int64_t bpc_icount_end(struct bp_cpu *cpu); /* it came back; returns how many it has executed */
void bpc_icount_idle(void);   /* no vCPU has something to do; the machine runs */
void bpc_icount_stand(void);  /* no vCPU may run */

#endif
