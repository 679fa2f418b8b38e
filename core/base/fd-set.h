/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of descriptors that were passed to the program. [any] */
#ifndef BPC_FD_SET_H
#define BPC_FD_SET_H

#include <bp/error.h>
#include <bp/value.h>

#define BPC_FDSET_NEW (-1)

/* Takes fd, also when it fails. set: its number, or BPC_FDSET_NEW. opaque: may be NULL. Returns the set. */
int64_t bpc_fdset_add(int64_t set, int fd, const char *opaque, struct bp_error *err);
/* Closes one descriptor of a set, or all of it (fd -1); an empty set is none. */
int bpc_fdset_remove(int64_t set, int64_t fd, struct bp_error *err);
struct bp_value *bpc_fdset_query(void); /* as query-fdsets returns it */

#endif
