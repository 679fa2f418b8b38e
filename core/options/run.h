/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole life of the emulator, for the loader's main(). */
#ifndef BPC_RUN_H
#define BPC_RUN_H

#include <bp/option.h>

/* What the manual has and nothing here offers yet. A table ends with a NULL name. */
struct bpc_not_built {
    const char *name, *alias; /* an option's, without dashes; or a key of -machine */
    const char *arg;          /* as in bp_option; NULL: takes none */
    const char *implied;      /* key of a first word without "=", or NULL */
    const char *missing;      /* what would have to be built: "sound cards and audio back ends" */
    const char *harmless;     /* forms that are accepted, see the tables; or NULL */
};

/* What a program brings along to describe itself. Everything is told from descriptors: nothing is
 * loaded for it. */
struct bpc_program {
    void (*usage)(void);      /* -h */
    void (*everything)(void); /* -help-json */
    /* "help" as an option's argument; `args` as far as they were given. */
    int (*option)(const struct bp_option *option, struct bp_value *args, struct bp_error *err);
    /* Prints the items of an option's own help in the format that `args` ask for; takes the list. */
    void (*items)(struct bp_value *args, const char *title, struct bp_value *list);
    int (*complete)(int argc, char **argv); /* -complete, for shells; returns the exit status */
    const struct bpc_not_built *options_not_built, *properties_not_built;
    const struct bpc_hmp_missing *hmp_not_built; /* of the monitor: human/hmp.h */
};
extern const struct bpc_program bpc_program_description; /* in the program itself: program/help.c */

/* The loader's hooks are set. Returns the exit status. */
int bpc_run(int argc, char **argv, const struct bpc_program *program);
/* The guest architecture of a program's name: "backplane-system-x86_64" runs x86_64 guests; a name
 * without that form does, too. */
const char *bpc_arch_of(const char *program);

#endif
