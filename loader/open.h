/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a module's file to its code: opened once, checked, linked. What is checked and what is linked
 * is one open file. [main]
 */
#ifndef LOADER_OPEN_H
#define LOADER_OPEN_H

#include "describe.h"
#include "modules.h"

struct opened {
    int fd; /* -1: none */
    struct image *image; /* NULL: the index vouches for the bytes */
};

/*
 * Opens the module's file, or takes the descriptor that pins it, and checks all that can be checked
 * without running it: that it is the file of the index, that the dynamic linker can take it, that
 * its table agrees with its notes and with this program. -ESTALE with m->state unchanged: it is
 * another build than the index tells of. Other errors are module_refuse()d.
 */
int open_checked(struct module *m, struct opened *ret_file);
/* Gives it to the dynamic linker (NOW, LOCAL, NODELETE) and finds its table. */
int open_linked(struct module *m, const struct opened *file);
void open_finish(struct module *m, struct opened *file);

/* Opens the files of all usable modules and keeps them open: -modules pin=on. */
int open_pin_all(struct bp_error *err);

/* ---- check.c ---- */
/* The table in the file against the notes and against this program. module_refuse()s. */
int check_table(struct module *m, const struct module_table *table);
/* The same table where it was linked: nothing else has taken its place. */
int check_linked(struct module *m);

#endif
