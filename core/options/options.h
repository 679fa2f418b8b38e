/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of core/options: the list of options as given, their phases, and what they ask of the
 * process itself (as opposed to the machine: machine/config.h). [main]
 */
#ifndef BPC_OPTIONS_H
#define BPC_OPTIONS_H

#include <bp/host/chardev.h>
#include <bp/command.h>
#include <bp/option.h>
#include <bp/value.h>

#define BPC_MAX_MONITORS 16

enum bpc_options_result {
    BPC_OPTIONS_RUN,  /* go on */
    BPC_OPTIONS_DONE, /* something was printed that ends the program with status 0 */
};

/* Tables of core options; each ends with a NULL. */
extern const struct bp_option *const bpc_machine_options[];
extern const struct bp_option *const bpc_numa_options[];
extern const struct bp_command *const bpc_numa_commands[]; /* the same, as commands */
extern const struct bp_option *const bpc_device_options[];
extern const struct bp_option *const bpc_process_options[];
extern const struct bp_option *const bpc_run_with_options[];

/* Reads the whole command line; nothing is applied yet. Returns bpc_options_result or -errno. */
int bpc_options_parse(int argc, char **argv, struct bp_error *err);
/* Adds one use, as if "-NAME TEXT" or, with `args` (borrowed), "-NAME JSON" had been given. */
int bpc_options_add(const char *name, const char *text, struct bp_value *args, struct bp_error *err);
/* Applies the uses of one phase in the order given, after those whose phases lie between the one
 * before and this one. */
int bpc_options_apply(enum bp_option_phase phase, struct bp_error *err);
#define BPC_PHASE_EARLY_OBJECTS 1u /* between BP_PHASE_EARLY's and BP_PHASE_CHARDEV */
/* When this use of an option is applied (device-options.c): for -object its type has a say. */
unsigned bpc_option_phase(const struct bp_option *option, const struct bp_value *args);
/* Answers the first "help" argument, if there was any; result as above. */
int bpc_options_help(struct bp_error *err);
void bpc_options_free(void);
/* Makes every core option known to the registry. */
int bpc_options_register(struct bp_error *err);
/* "GROUP.ID.ARG=VALUE": changes a key of the use of -GROUP that has the id. Before its phase. */
int bpc_options_set(const char *text, struct bp_error *err);
/* Is the option among those given? */
bool bpc_options_given(const char *name);
/* Calls fn with the arguments of each use of an option, applied or not. */
void bpc_options_each(const char *name, void (*fn)(struct bp_value *args, void *opaque), void *opaque);

/* Reads an INI file ("[device "id"]", key = "value") into uses. */
int bpc_readconfig(const char *path, struct bp_error *err);

/* ---- help ---- */
/* What describes the program (run.h), or NULL. */
extern const struct bpc_program *bpc_program;
/* Adds an item to the list of an option's own help, which goes to bpc_program->items(). */
void bpc_help_item(struct bp_value *list, const char *name, const char *summary);

/* ---- not-built.c: what the manual has and nothing here offers yet (run.h, program/not-built.c) ---- */
/* The option's line, or NULL. */
const struct bpc_not_built *bpc_not_built_find(const char *name);
/* 0: this use asks for nothing that is missing; else -ENOTSUP and what is. `text` is the argument,
 * or `args` (borrowed) a dict of its keys. */
int bpc_not_built_judge(const struct bpc_not_built *what, const char *text, struct bp_value *args,
                        struct bp_error *err);
/* The same for a key of -machine that the board has not; -ENOENT: nobody knows it. */
int bpc_not_built_property(const char *key, struct bp_value *value, struct bp_error *err);

/* ---- parse.c ---- */
/* A descriptor of the option, loaded or not; for reading only. NULL: there is none. */
const struct bp_option *bpc_option_describe(const char *name);
/* Puts the option as it was given in front of the message; NULL: without an argument. */
void bpc_options_blame(const char *name, const char *text, struct bp_error *err);

/* What the options ask of the process. Strings are owned. */
struct bpc_startup {
    bool nographic;
    char *pidfile;
    char *serial[8];          /* texts of -serial, BPC_MAX_SERIAL */
    unsigned serials;
    char *parallel[3];        /* of -parallel, BPC_MAX_PARALLEL */
    unsigned parallels;
    struct {
        char *text;           /* of -monitor, -qmp; or NULL with */
        char *chardev;        /* the id given to -mon */
        bool control, pretty;
        bool made; /* its chardev is there already */
    } monitors[BPC_MAX_MONITORS];
    unsigned monitor_count;
    bool monitor_given;       /* -monitor or -mon: no default one */
    struct bp_chardev *mon_mux[11]; /* chardevs of -serial and -parallel mon:..., which want a monitor too */
    unsigned mon_muxes;
};
extern struct bpc_startup bpc_startup;

/* ---- console.c: serial ports, monitors and what they are without options ---- */
int bpc_console_add_serial(const char *text, struct bp_error *err);
int bpc_console_add_parallel(const char *text, struct bp_error *err);
int bpc_console_add_monitor(const char *text, const char *chardev, bool control, bool pretty,
                            struct bp_error *err);
/* Fills in the defaults, then makes the chardevs of serial ports; after BP_PHASE_CHARDEV. */
int bpc_console_make_serials(struct bp_error *err);
/* Says so when the machine's output goes nowhere although nobody asked for that. */
void bpc_console_warn_hidden(void);
/* A window, where there is a desktop and the command line does not say how the screen is shown. */
bool bpc_console_wants_default_display(void);
int bpc_console_default_display(struct bp_error *err);
int bpc_memory_lock(struct bp_error *err); /* -overcommit mem-lock */
int bpc_console_make_monitors(struct bp_error *err); /* after the board has its serial ports */

/* ---- daemon.c ---- */
/* Forks; the parent waits for bpc_daemon_ready() in the child and exits with its success. */
int bpc_daemon_fork(struct bp_error *err);
int bpc_daemon_ready(struct bp_error *err); /* detaches from the terminal, lets the parent go */
/* ---- run-with.c ---- */
int bpc_run_with_early(struct bp_error *err); /* behind the fork, before there are threads */
int bpc_run_with_late(struct bp_error *err);  /* just before the guest starts: gives up root and rights */

int bpc_pidfile_write(const char *path, struct bp_error *err);
void bpc_pidfile_remove(void);

#endif
