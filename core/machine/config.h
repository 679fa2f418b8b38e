/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the command line asked of the machine, filled by core/options before the machine is made.
 * Strings are owned (g_malloc'd), NULL when not given.
 */
#ifndef BPC_CONFIG_H
#define BPC_CONFIG_H

#include <glib.h>

#include <bp/clock.h>
#include <bp/exact/machine.h>

#define BPC_MAX_SERIAL 8
#define BPC_MAX_PARALLEL 3
#define BPC_MAX_OPTION_ROMS 16
#define BPC_ICOUNT_SHIFT_MAX 10

enum bpc_action { BPC_ACTION_DEFAULT, BPC_ACTION_RESET, BPC_ACTION_SHUTDOWN, BPC_ACTION_POWEROFF,
                  BPC_ACTION_PAUSE, BPC_ACTION_DEBUG, BPC_ACTION_NONE, BPC_ACTION_EXIT_FAILURE,
                  BPC_ACTION_INJECT_NMI };

struct bpc_config {
    const char *arch;             /* from the program's name: "x86_64" */
    char *board;                  /* -machine type or alias; NULL: the default board */
    struct bp_value *board_props; /* other -machine keys: dict of strings, or NULL */
    char *cpu;                    /* "-cpu" text: model[,feature=on...] */
    /* What the manual has of -machine and no board here, for keys that the board has not: 0:
     * asks for nothing, -ENOENT: nobody knows it, else what is missing. Or NULL. */
    int (*absent_property)(const char *key, struct bp_value *value, struct bp_error *err);
    const char *accel_option;     /* that gave them: "-accel", "-machine accel=", "-enable-kvm" */
    struct bp_value *accels;      /* list of dicts {"accel": NAME, keys...}, tried in order; or NULL */
    uint64_t ram_size;            /* 0: the board's default */
    uint64_t ram_max;             /* maxmem, 0: ram_size */
    unsigned ram_slots;
    struct bpc_numa *numa;        /* -numa (numa.h), or NULL */
    char *mem_path;               /* -mem-path, or NULL */
    bool mem_prealloc;
    struct bp_smp smp;            /* zero fields: computed by bpc_machine_create */
    char *kernel, *initrd, *append;
    bool kernel_taken;            /* the board has asked for it */
    char *bios;                   /* -bios, or NULL */
    bool bios_taken;
    struct bpc_option_rom {
        char *path;
        int32_t bootindex;        /* -1: none */
    } *option_roms;               /* -option-rom */
    unsigned option_rom_count;
    bool option_roms_taken;
    char *name, *guest_name;
    uint8_t uuid[16];
    bool uuid_set;
    bool cpu_pm;                  /* the guest has the processor's power states */
    char *kernel_irqchip;         /* -machine kernel-irqchip=, for the accelerator; NULL: not given */
    bool mem_lock;                /* all memory is kept in RAM, once the machine stands */
    bool daemonize;               /* the process leaves its terminal once everything listens */
    bool nodefaults, no_reboot, no_shutdown, start_paused;
    bool preconfig;               /* a monitor says when the machine is made */
    GHashTable *choices;          /* of what boards make by default: name to choice; or NULL */
    char **replaced_defaults;     /* names of defaults whose place a named device takes, NULL-terminated;
                                     or NULL */
    enum bpc_action on_reboot, on_shutdown, on_panic, on_watchdog;
    struct bp_object *serial[BPC_MAX_SERIAL]; /* chardevs; NULL: none */
    struct bp_object *parallel[BPC_MAX_PARALLEL];
    char **data_dirs;             /* -L, NULL-terminated, or NULL */
    struct {
        enum { BPC_RTC_UTC, BPC_RTC_LOCALTIME, BPC_RTC_DATE } base;
        int64_t date_ns;          /* for BPC_RTC_DATE: ns since the epoch */
        enum bp_clock clock;
        bool drift_slew;
    } rtc;
    struct {
        bool on, shift_auto, sleep, align;
        unsigned shift;           /* an instruction takes 2^shift ns */
    } icount;
    struct bp_boot boot;          /* -boot; its strings are owned */
    struct bp_value *globals;     /* list of dicts {"driver","property","value"}, or NULL */
};

extern struct bpc_config bpc_config;

#endif
