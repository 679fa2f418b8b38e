/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole life of the emulator, for the loader's main(). */
#ifndef BPC_RUN_H
#define BPC_RUN_H

/* The loader's hooks are set. Returns the exit status. */
int bpc_run(int argc, char **argv);
/* The guest architecture of a program's name: "backplane-system-x86_64" runs x86_64 guests; a name
 * without that form does, too. */
const char *bpc_arch_of(const char *program);

#endif
