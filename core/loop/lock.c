/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine lock: recursive, with a per-thread depth, so that asking whether this thread holds it
 * costs a load. It is not fair; whoever holds it for long (the main loop) yields when others wait.
 */
#include <assert.h>
#include <pthread.h>

#include "loop.h"

static pthread_mutex_t machine_lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static unsigned waiters; /* atomic */
static __thread unsigned depth __attribute__((tls_model("initial-exec")));

static void take(void)
{
    if (pthread_mutex_trylock(&machine_lock) == 0)
        return;
    __atomic_fetch_add(&waiters, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&machine_lock);
    __atomic_fetch_sub(&waiters, 1, __ATOMIC_RELAXED);
}

void bp_machine_lock(struct bp_machine *machine)
{
    (void)machine; /* one per process today */
    if (depth == 0)
        take();
    depth++;
}

void bp_machine_unlock(struct bp_machine *machine)
{
    (void)machine;
    assert(depth > 0);
    if (--depth == 0)
        pthread_mutex_unlock(&machine_lock);
}

bool bp_machine_locked(struct bp_machine *machine)
{
    (void)machine;
    return depth > 0;
}

unsigned bpc_machine_depth(void)
{
    return depth;
}

bool bpc_machine_held(void)
{
    return depth > 0;
}

unsigned bpc_machine_unlock_all(void)
{
    unsigned held = depth;

    if (held > 0) {
        depth = 0;
        pthread_mutex_unlock(&machine_lock);
    }
    return held;
}

void bpc_machine_relock(unsigned held)
{
    assert(depth == 0);
    if (held > 0) {
        take();
        depth = held;
    }
}

bool bpc_machine_lock_wanted(void)
{
    return __atomic_load_n(&waiters, __ATOMIC_RELAXED) > 0;
}
