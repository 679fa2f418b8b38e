/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * On whose behalf this thread is in a callback, for the last words of a fatal signal (fatal.c). Set
 * by whoever calls a device or back end, and set back after the call; plain stores, so that a
 * signal handler on this thread may read them.
 */
#ifndef BPC_BLAME_H
#define BPC_BLAME_H

#include <stddef.h>

struct bpc_blame {
    const char *type, *id; /* NULL: nobody, the core itself; valid while the call lasts */
    const char *what;      /* "timer", "region 'NAME'" and the like: a constant or as long as the call */
};

extern __thread struct bpc_blame bpc_blame __attribute__((tls_model("initial-exec")));

static inline struct bpc_blame bpc_blame_swap(struct bpc_blame blame)
{
    struct bpc_blame before = bpc_blame;

    bpc_blame = blame;
    return before;
}

#endif
