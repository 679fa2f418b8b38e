/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the program that describe it to people, programs and shells. */
#ifndef PROGRAM_H
#define PROGRAM_H

/* complete.c: "PROGRAM -complete CWORD -- WORDS..."; returns the exit status. */
int complete_main(int argc, char **argv);

#endif
