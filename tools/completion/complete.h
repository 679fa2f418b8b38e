/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of the emulator's program that shells ask what a word could become. */
#ifndef COMPLETE_H
#define COMPLETE_H

/* "PROGRAM -complete CWORD -- WORDS..." after the loader was set; returns the exit status. */
int complete_main(int argc, char **argv);

#endif
