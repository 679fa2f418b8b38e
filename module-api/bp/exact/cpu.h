/* SPDX-License-Identifier: MIT */
/*
 * CPUs and accelerators. Tier: exact (these descriptors follow the core's build stamp). A CPU class
 * holds the architectural state and model; an accelerator executes it. Each vCPU has a thread; the
 * core runs it, the accelerator's cpu_exec() is its body.
 */
#ifndef BP_EXACT_CPU_H
#define BP_EXACT_CPU_H

#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_cpu;   /* opaque; a bp_object */
struct bp_accel; /* opaque; a bp_object */
struct bp_machine;
struct bp_space;
struct bp_debug; /* bp/exact/debug.h */

/*
 * A CPU's registers as a debugger sees them, numbered from 0 in the order of the description, which has gdb's
 * form for targets ("target.xml", Appendix G of its manual). vCPU stopped and synced. [main]
 */
struct bp_cpu_registers {
    /* One file of the description, malloc'd; NULL: there is none of the name. */
    char *(*describe)(struct bp_cpu *cpu, const char *name);
    unsigned (*count)(struct bp_cpu *cpu);
    /* Bytes as the guest has them in memory. Returns how many, at most 64; -EINVAL: no such register. */
    int (*read)(struct bp_cpu *cpu, unsigned number, uint8_t *buf);
    int (*write)(struct bp_cpu *cpu, unsigned number, const uint8_t *buf, unsigned length);
    uint64_t (*get_pc)(struct bp_cpu *cpu); /* as in the description: without a segment's base */
    void (*set_pc)(struct bp_cpu *cpu, uint64_t address);
};

/* One CPU model. type.name is TYPE such as "qemu64-x86_64-cpu"; props are its features. */
struct bp_cpu_class {
    struct bp_type_info type; /* state_size: e.g. sizeof(struct bp_x86_cpu) */
    const char *model;        /* what -cpu names: "qemu64" */
    const char *arch;         /* "x86_64" */
    const char *alias_of;     /* the model that this one is another name of, or NULL */
    int (*init)(struct bp_cpu *cpu, struct bp_error *err); /* properties set; fill the model's tables */
    void (*reset)(struct bp_cpu *cpu);                     /* power-on state, halted if not the BSP */
    /* Is there something that ends a halt? Called with no lock by the vCPU thread. [vcpu] */
    bool (*has_work)(struct bp_cpu *cpu);
    /* Registers as text for `info registers` (malloc'd, multi-line). vCPU stopped. */
    char *(*dump)(struct bp_cpu *cpu);
    /* Linear to physical for debuggers and memsave: *ret_phys; -EFAULT when not mapped. */
    int (*translate)(struct bp_cpu *cpu, uint64_t linear, uint64_t *ret_phys);
    uint64_t (*pc)(struct bp_cpu *cpu);
    /* A register by name for the monitor's expressions ($eax); -ENOENT when unknown. */
    int (*get_register)(struct bp_cpu *cpu, const char *name, uint64_t *ret_value);
    /* How wide the code is that it executes now (x86: 16, 32 or 64), for disassembling it. */
    unsigned (*code_bits)(struct bp_cpu *cpu);
    /* After a reset, before it runs: it starts at this physical address, and does not wait to be woken. NULL:
     * cannot. vCPU stopped. */
    void (*set_start)(struct bp_cpu *cpu, uint64_t address);
    const struct bp_cpu_registers *registers; /* NULL: cannot be debugged */
    void *reserved[1];
};
#define BP_CPU(ident, MODEL, ARCH, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=cpu:" MODEL "-" ARCH "-cpu;arch=" ARCH ";model=" MODEL ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_cpu_class ident = { \
        .type = {.size = sizeof(struct bp_cpu_class), .flags = BP_TYPE_NOT_USER_CREATABLE, \
                 .name = MODEL "-" ARCH "-cpu", .parent = ARCH "-cpu", .summary = SUMMARY, \
                 .state_size = sizeof(STATE), .props = PROPS, .state = NULL, .reserved = {NULL}}, \
        .model = MODEL, .arch = ARCH, __VA_ARGS__}

enum bp_cpu_exit {
    BP_CPU_EXIT_KICKED, /* someone asked for the vCPU: look at requests, then come back */
    BP_CPU_EXIT_HALTED, /* HLT: sleep until has_work() */
    BP_CPU_EXIT_DEBUG,  /* breakpoint or single step */
    BP_CPU_EXIT_SHUTDOWN, /* triple fault and the like: the machine is reset */
    BP_CPU_EXIT_ERROR,  /* internal error: the machine stops */
};

struct bp_accel_class {
    struct bp_type_info type; /* name: "interp"; props: -accel keys; state: per machine */
    const char *arch;         /* guests it can run, comma separated, or "any" */
    unsigned rank;            /* among installed ones the highest is the default */
    bool no_cpus;             /* runs no guest code (qtest): vCPU threads are not started */
    bool smm;                 /* x86: SMIs are taken, in bp_x86_cpu.smm_space; else boards do without that mode */
    bool host_cpu;            /* code runs on the host's processor: -cpu host is that one */
    int (*init)(struct bp_accel *accel, struct bp_error *err);
    size_t cpu_size; /* bytes of accelerator state kept with each vCPU, zeroed: bp_cpu_accel_state */
    int (*cpu_init)(struct bp_accel *accel, struct bp_cpu *cpu, struct bp_error *err); /* [main] */
    void (*cpu_fini)(struct bp_cpu *cpu);
    /* Runs guest code until bp_cpu_kicked(cpu) or an exit; no lock held. [vcpu] */
    enum bp_cpu_exit (*cpu_exec)(struct bp_cpu *cpu);
    /* Makes cpu_exec() return soon; the core has set the kicked flag already. NULL: polling it is
     * enough. [any] */
    void (*cpu_kick)(struct bp_cpu *cpu);
    /* After the state was written from outside (reset, monitor, loadvm): drop caches. [vcpu] */
    void (*cpu_changed)(struct bp_cpu *cpu);
    /* Before the state is read from outside: bring lazily kept state (flags) up to date. [vcpu or
     * main with the vCPU stopped] */
    void (*cpu_sync)(struct bp_cpu *cpu);
    /* Clears what it does not execute of a CPU's features: words of bits that the architecture numbers (x86:
     * enum bp_x86_feature_word). NULL: it executes all there are. [main] */
    void (*cpu_features)(struct bp_accel *accel, uint32_t *words, unsigned count);
    /* What cpu_exec() does for a debugger from its next call on: borrowed until the next call of this; NULL:
     * nothing. NULL: cannot. vCPU stopped. [main] */
    void (*cpu_debug)(struct bp_cpu *cpu, const struct bp_debug *debug);
    /* While an access to a port is answered: the general registers of its instruction, from where they live when guest
     * code runs into the CPU's state, or (`back`) from there. NULL: they are there. [vcpu] under the machine lock */
    void (*cpu_port_registers)(struct bp_cpu *cpu, bool back);
    /*
     * -icount: cpu_exec() executes so many instructions and returns BP_CPU_EXIT_KICKED when none is left. An
     * instruction counts when it has been executed: what faults, or is repeated and goes on later, does not. Setting
     * also happens in the middle of an instruction, which is among those that are left, never to more than there are.
     * NULL: cannot. [vcpu]
     */
    int64_t (*cpu_left)(struct bp_cpu *cpu);
    void (*cpu_set_left)(struct bp_cpu *cpu, int64_t instructions);
    /* Whoever looks for vCPUs without the machine lock shall find it no more: a grace period and cpu_fini() follow. No
     * vCPU is in cpu_exec(). NULL: nobody looks. [main] */
    void (*cpu_hide)(struct bp_cpu *cpu);
    /* As bp_machine_post_fd() and bp_machine_post_fd_end(). NULL: cannot. [any] */
    int (*message_fd)(struct bp_accel *accel, int fd, uint64_t address, uint32_t data);
    void (*message_fd_end)(struct bp_accel *accel, int fd);
};
#define BP_ACCEL(ident, NAME, ARCH, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=accel:" NAME ";arch=" ARCH ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_accel_class ident = { \
        .type = {.size = sizeof(struct bp_accel_class), .flags = BP_TYPE_NOT_USER_CREATABLE, \
                 .name = NAME, .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), \
                 .props = PROPS, .state = NULL, .reserved = {NULL}}, \
        .arch = ARCH, __VA_ARGS__}

void *bp_cpu_state(struct bp_cpu *cpu);       /* the CPU class's state; [any] */
void *bp_cpu_accel_state(struct bp_cpu *cpu); /* the accelerator's per-vCPU state; [any] */
struct bp_object *bp_cpu_object(struct bp_cpu *cpu);
struct bp_owner *bp_cpu_owner(struct bp_cpu *cpu);
const struct bp_cpu_class *bp_cpu_class(const struct bp_cpu *cpu);
unsigned bp_cpu_index(const struct bp_cpu *cpu);
struct bp_machine *bp_cpu_machine(const struct bp_cpu *cpu); /* [any] */
struct bp_cpu *bp_machine_cpu(struct bp_machine *m, unsigned index); /* NULL: none there. [any] */
/* Processors come and go on the main thread, under the machine lock. Who finds one, or what belongs to it, without
 * that lock does so between these: nothing of it goes meanwhile. In between is no waiting, and no machine lock. Nests.
 * [any] */
void bp_cpus_hold(void);
void bp_cpus_release(void);
/* The guest has let go of it: it leaves, on the main loop, and DEVICE_DELETED follows. False: it is the first one,
 * which stays. Under the machine lock; also on its own thread. */
bool bp_cpu_unplugged(struct bp_cpu *cpu);
/* The guest does not let go of it, after a request: DEVICE_UNPLUG_GUEST_ERROR. Under the machine lock. */
void bp_cpu_unplug_refused(struct bp_cpu *cpu);
/* For accelerators, when BP_LOG_IN_ASM is on: shows guest code that was made ready to run. bits: its
 * width; address: linear. [any] */
void bp_cpu_log_code(struct bp_cpu *cpu, unsigned bits, uint64_t address, const uint8_t *bytes,
                     size_t length);
/* The same when BP_LOG_OUT_ASM is on: x86-64 code that was made of the guest's at `address`. [any] */
/* Text about code at `address`, where -dfilter does not leave it out. [any] */
void bp_cpu_log_text(struct bp_cpu *cpu, uint32_t item, uint64_t address, const char *text);
void bp_cpu_log_host_code(struct bp_cpu *cpu, uint64_t address, const uint8_t *bytes, size_t length);
/* When BP_LOG_EXEC or BP_LOG_CPU is on: the block at a linear address runs, as `code` (its host code, or how it is
 * kept); registers are up to date but for cpu_sync(). [vcpu] */
void bp_cpu_log_run(struct bp_cpu *cpu, const void *code, uint64_t address, uint32_t mode);
/* What its addresses mean: its machine's memory, unless the CPU class's init() has given it a space of
 * its own (borrowed, outlives it). [any] */
struct bp_space *bp_cpu_space(const struct bp_cpu *cpu);
struct bp_space *bp_cpu_io(const struct bp_cpu *cpu);
void bp_cpu_set_space(struct bp_cpu *cpu, struct bp_space *space); /* before cpu_init(); [main] */
struct bp_cpu *bp_cpu_current(void);       /* of this thread, or NULL */
/*
 * For a port that answers with more than a value, in its callback: the vCPU whose IN or OUT this is, with the general
 * registers in bp_cpu_state() as the instruction found them. NULL: it is no vCPU's access (a monitor's, qtest's). What
 * was changed before bp_cpu_port_end() is there after the instruction; without end, nothing is. What the callback of an
 * IN returns has to be written to the accumulator, too: a KVM that emulates the instruction takes it from there.
 * [any], in the callback, under the machine lock
 */
struct bp_cpu *bp_cpu_port_begin(void);
void bp_cpu_port_end(struct bp_cpu *cpu);
void *bp_accel_state(struct bp_accel *accel);
struct bp_object *bp_accel_object(struct bp_accel *accel);
struct bp_accel *bp_machine_accel(struct bp_machine *m); /* NULL: not chosen yet; [any] */
const char *bp_machine_accel_name(struct bp_machine *m); /* "none" until one is chosen */
/* Asks the accelerator's cpu_features(); without one, nothing is cleared. [main] */
void bp_machine_cpu_features(struct bp_machine *m, uint32_t *words, unsigned count);
/* False: none was chosen yet, or one that runs no guest code (qtest). [any] */
bool bp_machine_runs_code(struct bp_machine *m);
/* Does the accelerator take SMIs? Also yes when it runs no code: then only registers are looked at. [any] */
bool bp_machine_has_smm(struct bp_machine *m);

/* Does the host's own processor run the guest's code? [any] */
bool bp_machine_has_host_cpu(struct bp_machine *m);

/* All vCPUs run in turn on one thread. In an accelerator's init(). [main] */
void bp_machine_one_thread(struct bp_machine *m);
/* Is guest time a number of instructions (-icount)? All vCPUs are on one thread then, too. [any] */
bool bp_machine_counts(struct bp_machine *m);
/* What has come of it: an instruction takes 2^shift ns now; of all vCPUs `executed`; with align=on the guest waited
 * so often for the host's time, and was late by latest_ns at most. [any] */
struct bp_icount {
    uint32_t size; /* of this struct */
    uint32_t shift;
    uint64_t executed, waits;
    int64_t latest_ns;
};
void bp_machine_icount(struct bp_machine *m, struct bp_icount *ret_icount);

/* The flag an accelerator polls; non-zero: leave cpu_exec() with BP_CPU_EXIT_KICKED. */
const uint32_t *bp_cpu_kick_flag(const struct bp_cpu *cpu);
static inline bool bp_cpu_kicked(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}
/* Wakes a halted vCPU, or makes a running one leave cpu_exec() and come back. [any] */
void bp_cpu_kick(struct bp_cpu *cpu);
/* Runs fn on the vCPU's thread outside cpu_exec() under the machine lock, without waiting, or
 * waiting for it (from another thread; the machine lock is released while waiting). A vCPU that waits for
 * another does meanwhile what is asked of itself, in the middle of its instruction. [any] */
void bp_cpu_run_async(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque), void *opaque);
void bp_cpu_run(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque), void *opaque);

BP_END_DECLS

#endif
