/* SPDX-License-Identifier: MIT */
/*
 * Boards and the machine: the contract of a board module and what the command line asked for. Tier:
 * exact. [main] under the machine lock unless a function says otherwise.
 */
#ifndef BP_EXACT_MACHINE_H
#define BP_EXACT_MACHINE_H

#include <bp/exact/cpu.h>
#include <bp/device.h>
#include <bp/run.h>

BP_BEGIN_DECLS

struct bp_machine; /* opaque; a bp_object at /machine */

struct bp_board_class {
    struct bp_type_info type; /* name e.g. "pc-i440fx-9.1"; props: -machine keys of this board */
    const char *alias;        /* e.g. "pc", or NULL */
    const char *arch;         /* guest architecture: "x86_64"; "any" for board `none` */
    bool is_default;
    unsigned max_cpus;
    const char *default_cpu;       /* CPU model for -cpu, or NULL */
    uint64_t default_ram_size;     /* bytes */
    const char *default_ram_id;    /* e.g. "pc.ram" */
    bool hotpluggable_cpus;
    bool prefer_sockets; /* -smp: sockets before cores, when it has to choose */
    const char *deprecated; /* why, in words; NULL: it is not */
    bool has_clusters; /* -smp clusters= above 1: a level between dies and cores */
    bool has_modules;  /* the same of modules=, between clusters and cores */
    bool has_numa;     /* it tells its guest of the nodes of -numa */
    bool numa_mem;     /* -numa node,mem= */
    unsigned most_memory_slots; /* -m slots=, maxmem=: what the board can tell its guest of; 0: none */
    /* Tables of this version, applied to every object in their order (so a later line has the last word),
     * before -global; the list ends with NULL. NULL: none. */
    const struct bp_compat *const *compat;
    /* Creates CPUs, memory, devices. */
    int (*init)(struct bp_machine *m, struct bp_error *err);
    /* All -device devices are attached: build tables, load the kernel. */
    int (*ready)(struct bp_machine *m, struct bp_error *err);
    void (*reset)(struct bp_machine *m);     /* after all devices and CPUs were reset */
    /* A processor of -device (or, `hotplug`, of device_add while the machine runs) is about to take
     * this index: may it? Refused in words. NULL: before the start only. With hotpluggable_cpus. */
    int (*cpu_pre_plug)(struct bp_machine *m, unsigned index, bool hotplug, struct bp_error *err);
    /* A processor is made, by bp_machine_new_cpu() or by a user: wire it. Indices may have holes. */
    int (*cpu_plug)(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err);
    /* device_del of a processor: ask the guest; bp_cpu_unplugged() or bp_cpu_unplug_refused() may follow, or nothing.
     * NULL: cannot. */
    int (*cpu_unplug_request)(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err);
    /* A processor leaves, and runs no more: what cpu_plug() made for it goes. No processor runs meanwhile. */
    void (*cpu_unplug)(struct bp_machine *m, struct bp_cpu *cpu);
    void (*powerdown)(struct bp_machine *m); /* the power button was pressed (system_powerdown) */
    void (*nmi)(struct bp_machine *m); /* a non-maskable interrupt for every processor (inject-nmi) */
    /* In the place of reset() when the machine wakes from sleep: RAM is as the guest left it. NULL: such a machine
     * cannot sleep. */
    void (*wakeup)(struct bp_machine *m, enum bp_wakeup_cause cause);
    void *reserved[2];
};
/* PARENT: an abstract type ("x86-machine"), or NULL. */
#define BP_BOARD(ident, NAME, ARCH, SUMMARY, STATE, PROPS, ...) \
    BP_BOARD_OF(ident, NAME, NULL, ARCH, SUMMARY, STATE, PROPS, __VA_ARGS__)
#define BP_BOARD_OF(ident, NAME, PARENT, ARCH, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=board:" NAME ";arch=" ARCH ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_board_class ident = { \
        .type = {.size = sizeof(struct bp_board_class), .flags = 0, .name = NAME, .parent = PARENT, \
                 .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, .state = NULL, \
                 .reserved = {NULL}}, \
        .arch = ARCH, __VA_ARGS__}
/* Also announces an alias; give .alias the same text in the class. */
#define BP_BOARD_ALIAS(NAME, ALIAS) BP_NOTE("alias=board:" ALIAS "=" NAME)

void *bp_machine_state(struct bp_machine *m);
struct bp_owner *bp_machine_owner(struct bp_machine *m);
struct bp_object *bp_machine_object(struct bp_machine *m);

/* What the command line asked for. Strings are borrowed and last as long as the machine. */
uint64_t bp_machine_ram_size(const struct bp_machine *m); /* bytes */
struct bp_smp {
    unsigned cpus, max_cpus, sockets, dies, clusters, modules, cores, threads;
};
const struct bp_smp *bp_machine_smp(const struct bp_machine *m);
const char *bp_machine_cpu_model(const struct bp_machine *m); /* "-cpu" text up to the first comma */
const char *bp_machine_kernel(const struct bp_machine *m);    /* file name or NULL */
const char *bp_machine_initrd(const struct bp_machine *m);
const char *bp_machine_append(const struct bp_machine *m);    /* "" when not given */
/* File name of the firmware (-bios, -machine firmware=), or NULL: the board's own. */
const char *bp_machine_bios(const struct bp_machine *m);
/* The n-th -option-rom (0 based): its file name, NULL past the last; its bootindex, -1 for none. */
const char *bp_machine_option_rom(const struct bp_machine *m, unsigned n, int32_t *ret_bootindex);
/* -boot. */
struct bp_boot {
    char *order, *once;     /* drive letters; NULL: not given */
    const char *now;        /* those of the two that hold for this start */
    bool menu, strict;
    bool menu_given;
    char *splash;           /* file name, or NULL */
    int32_t splash_time;    /* ms 0..65535, -1: not given */
    int32_t reboot_timeout; /* ms 0..65535, -1: never; -2: not given */
};
/* As it holds now: `once` until the machine is reset for the first time. Borrowed until the next call. */
const struct bp_boot *bp_machine_boot(const struct bp_machine *m);
/* What firmware is to try first, by bootindex: one firmware path in each line, of the attached devices and of
 * -option-rom; with -boot strict=on the last one is "HALT". malloc'd, "" when there is none. -EINVAL: two have
 * one bootindex. */
int bp_machine_boot_list(struct bp_machine *m, char **ret_text, struct bp_error *err);
/* -rtc driftfix=slew: the clock's periodic interrupts that were lost are to be made up for. [main] */
bool bp_machine_rtc_slew(const struct bp_machine *m);
/* The n-th -serial (0 based) as a chardev object: NULL when there is none (or `none`). */
struct bp_object *bp_machine_serial(struct bp_machine *m, unsigned n);
struct bp_object *bp_machine_parallel(struct bp_machine *m, unsigned n); /* of -parallel, the same way */
/* Should the board make what it has by default under this name ("serial")? Not with -nodefaults, and
 * not when the user named a device that replaces it (bp_device_class.replaces_default). */
bool bp_machine_defaults(const struct bp_machine *m, const char *what);
/* What an option asked for in its place (bp_choose_default(): "-vga cirrus"), with -nodefaults too; NULL:
 * none did. Borrowed. */
const char *bp_machine_choice(const struct bp_machine *m, const char *what);
const uint8_t *bp_machine_uuid(const struct bp_machine *m); /* 16 bytes, all zero when not set */

/* Main memory, made once by the core with the size from -m: add it (or aliases of it) to
 * bp_space_root(bp_machine_memory(m)). */
struct bp_region *bp_machine_ram(struct bp_machine *m);

/* CPUs: creates CPU `index` of the model of -cpu, attached to the accelerator; its thread starts
 * with the machine. */
int bp_machine_new_cpu(struct bp_machine *m, unsigned index, struct bp_cpu **ret_cpu,
                       struct bp_error *err);

BP_END_DECLS

#endif
