/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the program that describe it to people, programs and shells. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "hmp.h"
#include "run.h"

/* complete.c: "PROGRAM -complete CWORD -- WORDS..."; returns the exit status. */
int complete_main(int argc, char **argv);

/* not-built.c */
extern const struct bpc_not_built program_options_not_built[], program_properties_not_built[];
extern const struct bpc_hmp_missing program_hmp_not_built[];

#endif
