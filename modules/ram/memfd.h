/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anonymous files of the kernel (memfd_create(2)). */
#ifndef RAM_MEMFD_H
#define RAM_MEMFD_H

#include <bp/error.h>

/* A memfd of `length` bytes. flags: those of memfd_create() beside MFD_CLOEXEC; seals: of
 * F_ADD_SEALS. Returns the descriptor, or -errno. */
int memfd_open(const char *name, uint64_t length, unsigned flags, int seals, struct bp_error *err);

#endif
