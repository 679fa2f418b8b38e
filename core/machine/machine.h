/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's life: made from bpc_config, started, stopped, reset, ended. [main] under the machine
 * lock unless said otherwise.
 */
#ifndef BPC_MACHINE_H
#define BPC_MACHINE_H

#include <bp/exact/machine.h>

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
bool bpc_machine_executes(void); /* vCPUs run; not so while the guest sleeps, when clock and devices do */
bool bpc_machine_asleep(void);   /* the guest sleeps, whether or not the machine is stopped beside that */
const char *bpc_run_state_name(enum bpc_run_state state);
/* Carries out pending reset, shutdown, powerdown requests; called by the main loop at each turn.
 * true: the process ends with *ret_status. */
bool bpc_machine_turn(int *ret_status);
/* Looks for a disassembler when in_asm is logged; call it after the items changed. */
void bpc_log_code_prepare(void);

/* ---- start.c: between made and running ---- */
int bpc_start_complete(struct bp_error *err); /* asks those of bp_on_complete() */
bool bpc_start_is_held(void); /* somebody is waited for (bp/run.h) */
void bpc_start_tell_held(void); /* says for whom */
void bpc_start_done(void);    /* nobody is any more: what was put off is done */

/* Where data files are looked for after -L and what is beside the program; NULL-terminated. */
const char *const *bpc_data_dirs(void);

void bpc_machine_destroy(void); /* stops vCPU threads, detaches everything */
/* May it be started? After a shutdown, a panic or an internal error only a reset helps. */
bool bpc_machine_needs_reset(void);
/* Asks the main loop to stop the machine in this state (a device's error, a watchdog). [any] */
void bpc_machine_request_stop(enum bpc_run_state state);
/* Gives every processor a non-maskable interrupt; -ENOTSUP: the board has no way to. [main] */
int bpc_machine_inject_nmi(struct bp_error *err);

/* ---- actions.c: what follows what the guest does (-action) ---- */
extern const struct bp_schema bpc_reboot_actions, bpc_shutdown_actions, bpc_panic_actions,
    bpc_watchdog_actions;
/* Of -action and set-action; of -watchdog-action and watchdog-set-action. */
extern const struct bp_field bpc_action_fields[], bpc_watchdog_fields[];
/* Sets those whose text is not NULL; each is among its schema's choices. [main] */
void bpc_actions_set(const char *reboot, const char *shutdown, const char *panic, const char *watchdog);

/* The features (on or off) of a model with `props` (a dict or NULL) set, as one that is made now would
 * have them: a new dict; and a new list of the names of those that cannot be had. NULL: not asked for. */
int bpc_cpu_expand(struct bp_machine *m, const char *model, const struct bp_value *props,
                   struct bp_value **ret_props, struct bp_value **ret_missing, struct bp_error *err);
/* "qemu64" or the type's own name "qemu64-x86_64-cpu"; near models and the package when there is
 * none. Its module is loaded. */
int bpc_cpu_find_model(const char *model, const struct bp_cpu_class **ret_class,
                       struct bp_error *err);
/* Host thread id of a vCPU, for query-cpus-fast; 0 when it has no thread (accelerator qtest). */
int bpc_cpu_thread_id(struct bp_cpu *cpu);
unsigned bpc_cpu_count(void);
unsigned bpc_cpu_slots(void); /* indices are below: maxcpus */
/* Before the machine is made: what it will have. The model as -cpu gives it, with its features; NULL: none. */
int bpc_machine_planned(const struct bp_board_class **ret_board, struct bp_smp *ret_smp, const char **ret_model,
                        struct bp_error *err);
/* Where processor `index` is in the topology: dict {"socket-id", "core-id", ...}. A new reference. */
struct bp_value *bpc_cpu_place(const struct bp_smp *smp, unsigned index);
bool bpc_cpu_halted(struct bp_cpu *cpu); /* asleep in HLT; a snapshot. [any] */
/* Brings lazily kept registers up to date before the state is read. On the vCPU's thread (inside
 * bp_cpu_run), or with it stopped. */
void bpc_cpu_sync(struct bp_cpu *cpu);
/* Where a virtual address lies now, asked on the vCPU's thread. -ENOTSUP, or what its class says of one that is not
 * mapped. [main] */
int bpc_cpu_translate(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys);
/* After registers were written from outside; the vCPU drops its caches before it goes on. */
void bpc_cpu_changed(struct bp_cpu *cpu);
void bpc_cpu_changed_now(struct bp_cpu *cpu); /* and waits until it has: others may speak to it then */
/* Is the guest architecture in a class's comma-separated list ("any": always)? */
bool bpc_arch_in(const char *list, const char *arch);
const struct bp_board_class *bpc_machine_board(void);
/* The one this process runs; NULL before it is made. For commands and the main loop: whatever has an
 * object asks that for its machine. */
extern struct bp_machine *bpc_the_machine;
/* One without board, accelerator, memory and processors: for tests of devices, which stand where a
 * board would. Ends with bpc_machine_destroy(). */
int bpc_machine_create_bare(struct bp_machine **ret_machine, struct bp_error *err);
extern const struct bp_field bpc_machine_props[]; /* those that every board has */

#endif
