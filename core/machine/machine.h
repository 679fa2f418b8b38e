/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's life: made from bpc_config, started, stopped, reset, ended. [main] under the machine
 * lock unless said otherwise.
 */
#ifndef BPC_MACHINE_H
#define BPC_MACHINE_H

#include <bp/machine.h>

enum bpc_run_state { /* names as in QMP RunState */
    BPC_RUN_PRELAUNCH, BPC_RUN_RUNNING, BPC_RUN_PAUSED, BPC_RUN_SHUTDOWN, BPC_RUN_GUEST_PANICKED,
    BPC_RUN_INTERNAL_ERROR, BPC_RUN_DEBUG, BPC_RUN_IO_ERROR, BPC_RUN_INMIGRATE, BPC_RUN_POSTMIGRATE,
    BPC_RUN_SAVE_VM, BPC_RUN_RESTORE_VM, BPC_RUN_WATCHDOG, BPC_RUN_SUSPENDED,
};

/* Resolves the board, accelerator, RAM and SMP topology and makes the board (its init()). */
int bpc_machine_create(struct bp_error *err);
/* All -device are attached: the board's ready(), then a full reset. */
int bpc_machine_finish(struct bp_error *err);
void bpc_machine_start(void);                       /* `cont`: vCPUs run; sends RESUME */
void bpc_machine_stop(enum bpc_run_state state);    /* waits until every vCPU stopped; sends STOP */
enum bpc_run_state bpc_machine_state(void);
const char *bpc_run_state_name(enum bpc_run_state state);
/* Carries out pending reset, shutdown, powerdown requests; called by the main loop at each turn.
 * true: the process ends with *ret_status. */
bool bpc_machine_turn(int *ret_status);
void bpc_machine_destroy(void); /* stops vCPU threads, detaches everything */
/* Host thread id of a vCPU, for query-cpus-fast. */
int bpc_cpu_thread_id(struct bp_cpu *cpu);
unsigned bpc_cpu_count(void);
const struct bp_board_class *bpc_machine_board(void);

#endif
