/* SPDX-License-Identifier: MIT */
/*
 * Command-line options. One table entry gives parsing, errors, help and introspection. Options are
 * parsed first and applied by phase, within a phase in the order given.
 */
#ifndef BP_OPTION_H
#define BP_OPTION_H

#include <bp/module.h>
#include <bp/schema.h>

BP_BEGIN_DECLS

/* In tens: an option may have a number in between (45: after -machine, before the board is made), and is
 * applied between its neighbours. */
enum bp_option_phase {
    BP_PHASE_EARLY = 10,   /* logging, -name, -L, -readconfig, -nodefaults */
    BP_PHASE_CHARDEV = 20, /* chardevs */
    BP_PHASE_OBJECT = 30,  /* -object and back ends (drives, netdevs, audiodevs) */
    BP_PHASE_MACHINE = 40, /* -machine, -cpu, -m, -smp, -accel, -kernel: before the board is made */
    BP_PHASE_DEVICE = 50,  /* -device: the board exists */
    BP_PHASE_LATE = 60,    /* monitors, displays */
};

struct bp_option {
    uint32_t size;
    enum bp_option_phase phase;
    const char *name;  /* without dashes */
    const char *alias; /* e.g. "M" for machine, or NULL */
    const char *arg;   /* how the argument is shown in -h; NULL: takes none */
    const char *help;
    const char *group; /* heading in -h */
    /* The keys of its key=value (or JSON) argument; NULL: the argument is one plain string, passed
     * to apply() as a string value. */
    const struct bp_field *keys;
    const char *implied;  /* key of a first word without "=", or NULL */
    bool any_keys;        /* unknown keys are passed on (-device, -object) */
    bool merge;           /* later uses add to (and override) earlier ones: -machine, -accel's no */
    bool own_help;        /* with keys: the bare word "help" is for show_help() too, not for the list of keys */
    /* args: a dict (keys given), a string, or NULL. Borrowed. [main] */
    int (*apply)(struct bp_value *args, struct bp_error *err);
    /* For "help" as argument of an option that takes a plain string: prints to standard output.
     * args: dict with "name" (what stands before a first comma, if anything does) and "format".
     * NULL: there is no such help. With keys it is also what `KEY=help` prints (model=help), args having the
     * keys as text. Options with keys need none, nor do those whose first word names
     * something of a kind (bp_kind.option): its properties are keys too, for help and completion. */
    int (*show_help)(struct bp_value *args, struct bp_error *err);
    void *reserved[4];
};
#define BP_OPTION(ident, NAME, HELP, ...) \
    BP_NOTE("provides=option:" NAME ";summary=" HELP); \
    BP_STORAGE const struct bp_option ident = {.size = sizeof(struct bp_option), .name = NAME, \
                                           .help = HELP, __VA_ARGS__}

/* For an option that says what boards make by default under a name ("vga"): the last choice stands; what
 * it means is the board's. Up to BP_PHASE_MACHINE. [main] */
void bp_choose_default(const char *what, const char *choice);

/* For an option that stands for others too ("-audio" makes a sound card): as if "-NAME" stood last on the command
 * line, with these keys (borrowed). Only while options are applied, and only one of a later phase: -EBUSY. Errors
 * in the keys are told now. [main] */
int bp_option_add(const char *name, struct bp_value *args, struct bp_error *err);

/* Does the command line have "-NAME", applied already or not; with `key` (or NULL) and, if not NULL, this text as its
 * value? [main] */
bool bp_option_given(const char *name, const char *key, const char *value);

BP_END_DECLS

#endif
