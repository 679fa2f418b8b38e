/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that QMP clients passed with getfd. [main] */
#ifndef BPC_FDS_H
#define BPC_FDS_H

#include <bp/error.h>

/* Takes the named descriptor away; the caller owns it. -ENOENT: there is none of this name. */
int bpc_fd_take(const char *name, struct bp_error *err);

#endif
