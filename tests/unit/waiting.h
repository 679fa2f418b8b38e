/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main loop turned until something is so, and calls that run until they are told to end while their owner is
 * freed. */
#ifndef TESTS_UNIT_WAITING_H
#define TESTS_UNIT_WAITING_H

#include <glib.h>

#include <bp/loop.h>

#include "loop.h"
#include "owner.h"

static inline void turns(unsigned n)
{
    while (n-- > 0) {
        bpc_loop_run_once(false);
        g_usleep(100);
    }
}

static inline void until_true(const bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST))
        turns(1);
}

struct slow {
    bool runs, end, ended; /* atomic */
};

static inline void run_until_told(void *opaque)
{
    struct slow *s = opaque;

    __atomic_store_n(&s->runs, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&s->end, __ATOMIC_SEQ_CST))
        g_usleep(100);
    __atomic_store_n(&s->ended, true, __ATOMIC_SEQ_CST);
}

struct freeing {
    struct bp_owner *owner;
    struct slow *slow;
    bool freed;
};

static inline void free_owner(void *opaque)
{
    struct freeing *f = opaque;

    bp_owner_free(f->owner);
    g_assert_true(__atomic_load_n(&f->slow->ended, __ATOMIC_SEQ_CST));
    f->freed = true;
}

#endif
