/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this folder share: the machine, its vCPUs and their threads.
 *
 * Threads and locks. The main thread owns the machine's life; its functions here are [main] under
 * the machine lock unless they say otherwise. Each vCPU has a thread and a lock (cpu->lock) that
 * guards what it is asked to do. Order: machine lock, then one cpu->lock, or the lock of requests
 * (run-state.c); these are leaves, no callback runs under them. A vCPU thread waits only for its own
 * condition and for the machine lock; the main thread waits for vCPUs with the machine lock dropped.
 */
#ifndef BPC_PARTS_H
#define BPC_PARTS_H

#include <pthread.h>
#include <sys/types.h>

#include <bp/exact/debug.h>

#include "config.h"
#include "device.h"
#include "machine.h"
#include "object.h"
#include "quiet.h"

struct bp_accel {
    struct bp_object obj; /* first */
    const struct bp_accel_class *class;
};

struct cpu_work {
    struct cpu_work *next;
    void (*fn)(struct bp_cpu *cpu, void *opaque);
    void *opaque;
    bool *done;            /* somebody waits, or NULL; under the lock of ... */
    struct bp_cpu *waiter; /* ... the vCPU that waits; NULL: of the one it waits for */
};

struct bp_cpu {
    struct bp_object obj; /* first */
    const struct bp_cpu_class *class;
    unsigned index;
    void *accel_state;
    bool accel_ready;      /* the accelerator's cpu_init() succeeded */
    bool asked, leaves;    /* device_del was asked for; the guest has let go */

    uint32_t kicked;       /* atomic: leave cpu_exec(), look at what is asked */
    uint32_t sleeping;     /* atomic: waits on `wake`; a kick has to signal */
    bool halted;           /* atomic, written by its thread: last exit was a halt */

    struct bp_space *space; /* what its addresses mean; borrowed */
    struct bpc_reader reader; /* of the memory map, while it is in cpu_exec() */
    struct bpc_quiet settle;  /* it changed the map: waits until the others have seen that */
    bool settling;            /* atomic: it does not run before */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;  /* below */
    pthread_cond_t wake;   /* to the thread */
    pthread_cond_t report; /* from it: paused, work done, tid known */
    bool pause, paused, quit;
    bool shares, gone; /* its thread is that of all (cpu-turns.c); that one has let go of it (lock) */
    pid_t tid;
    struct cpu_work *work, **work_tail;

    struct bp_debug debug; /* what a debugger asks; written while it stands */
    struct bp_debug_point *debug_points;
    struct bp_debug_hit debug_hit;
    bool held; /* stands although the machine runs */
};

struct bp_machine {
    struct bp_object obj; /* first, then devices: as struct bpc_machine_head has them */
    struct bpc_devices devices;
    struct bp_space *memory, *io;
    const struct bp_board_class *board;
    struct bp_accel *accel;
    struct bp_smp smp;
    uint64_t ram_size;
    struct bp_region *ram;
    char *cpu_model; /* without features */
    struct bp_cpu **cpus; /* smp.max_cpus slots */
    unsigned cpu_slots;
    bool one_thread; /* vCPUs run in turn (cpu-turns.c) */
    bool dump_ram, merge_ram; /* properties dump-guest-core, mem-merge */
    char *memory_backend;     /* property: id, or NULL */
};

_Static_assert(offsetof(struct bp_machine, devices) == offsetof(struct bpc_machine_head, devices),
               "a machine begins as core/device knows it");
_Static_assert(offsetof(struct bp_machine, io) == offsetof(struct bpc_machine_head, io),
               "a machine begins as core/device knows it");

/* machine.c: what -machine names, or the default. */
int bpc_machine_choose_board(const struct bp_board_class **ret_board, struct bp_error *err);
/* boot-order.c */
void bpc_boot_started(const struct bp_machine *m); /* a reset begins, the first of which starts the machine */
void bpc_boot_forget(void);
/* main-memory.c */
int bpc_machine_make_ram(struct bp_machine *m, struct bp_error *err); /* m->ram, m->ram_size */
/* smp.c */
int bpc_smp_complete(struct bp_smp *smp, const struct bp_board_class *board,
                     struct bp_error *err);
/* accel.c */
int bpc_accel_choose(struct bp_machine *m, struct bp_error *err);
void bpc_accel_free(struct bp_accel *accel);
/* rtc.c */
void bpc_rtc_start(void);
/* cpu.c */
int bpc_cpu_check_model(struct bp_machine *m, struct bp_error *err);
/* It runs no more, and its accelerator forgets it. */
void bpc_cpu_retire(struct bp_cpu *cpu);
void bpc_cpu_free(struct bp_cpu *cpu);
/* Makes processor `index` with properties of its own (dict but the keys in `skip`; NULL: none); id as in
 * -device, or NULL. */
int bpc_cpu_make(struct bp_machine *m, unsigned index, const char *id, const struct bp_value *props,
                 const char *const *skip, struct bp_cpu **ret_cpu, struct bp_error *err);
/* cpu-plug.c */
int bpc_cpu_add(struct bp_machine *m, const char *type, const char *id, struct bp_value *args,
                bool hotplug, struct bp_error *err);
int bpc_cpu_del(struct bp_machine *m, struct bp_object *obj, const char *id, struct bp_error *err);
extern const struct bp_field bpc_cpu_place_props[];

/* cpu-thread.c */
void bpc_cpu_thread_init(struct bp_cpu *cpu);
int bpc_cpu_thread_start(struct bp_cpu *cpu, const char *accel, struct bp_error *err); /* paused */
void bpc_cpu_thread_stop(struct bp_cpu *cpu); /* ends and joins it */
/* What it was asked for when its thread had ended, and nobody asks more. */
void bpc_cpu_finish_work(struct bp_cpu *cpu);
void bpc_cpu_ask_pause(struct bp_cpu *cpu);   /* does not wait; [any] */
void bpc_cpu_wait_paused(struct bp_cpu *cpu);
void bpc_cpu_resume(struct bp_cpu *cpu);

/* debug.c */
void bpc_debug_stopped(struct bp_machine *m);

/* run-state.c */
void bpc_run_state_init(void);
void bpc_machine_reset_all(void); /* devices, CPUs, board; vCPUs are stopped */
void bpc_machine_wake_all(enum bp_wakeup_cause cause); /* so, but RAM is not rewritten; the board can */
void bpc_cpus_pause(void);        /* and waits */
void bpc_cpus_resume(void);

#endif
