/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files about coroutines share.
 *
 * state (atomic): RUNNING on its context's thread; WOKEN: runs, and somebody woke it meanwhile, so that
 * its next wait ends at once; WAITING: switched away, whoever wakes it makes it QUEUED and puts it into
 * its context's list of ready ones; ENDED. A coroutine's context changes only while it runs.
 */
#ifndef BPC_COROUTINE_H
#define BPC_COROUTINE_H

#include <bp/coroutine.h>

#include "context.h"
#include "fibre.h"

enum bpc_co_state { BPC_CO_WAITING, BPC_CO_QUEUED, BPC_CO_RUNNING, BPC_CO_WOKEN, BPC_CO_ENDED };

struct bp_co {
    struct bpc_claim claim; /* first */
    struct bpc_fibre fibre;
    struct bpc_fibre *caller;  /* who goes on when it waits */
    void (*errand)(void *opaque); /* for bpc_co_on_thread_stack(); NULL: none */
    void *errand_opaque;
    struct bp_co *outer;       /* the one that entered it, or NULL */
    struct bp_context *home, *ctx; /* as in struct bpc_item */
    struct bp_context *move_to; /* set when it asks to be put into another one */
    int state; /* atomic: enum bpc_co_state */
    int refs;  /* atomic */
    bool cancelled; /* atomic */
    unsigned shields; /* its own: cancelling is not heard */
    unsigned lock_depth; /* of the machine lock when it was entered */
    struct bp_co *next; /* in the ready list */
    struct bp_co *all_next, **all_link; /* list of all, for debuggers */
    struct bp_timer *timer; /* of sleeps and timeouts; NULL: none made yet */
    struct bp_co_queue *joiners; /* NULL: none made yet */
    pthread_mutex_t join_lock;
    void (*fn)(void *opaque);
    void *opaque;
    const char *name, *owner_type;
    char owner_id[24];
    struct bpc_blame blame; /* what it was blamed for when it was switched away from */
};

/* All there are, newest first; tools/gdb/backplane-gdb.py walks it. */
extern struct bp_co *bpc_co_all;

/* Switches away until woken; does not look at cancellation. On its thread. */
void bpc_co_wait(struct bp_co *co);
/* Waits about so long, or less; not cancelled. On its thread. */
void bpc_co_pause(int64_t ns);
/* Waits in a queue, unless that coroutine has ended. */
int bpc_co_queue_wait_unless(struct bp_co_queue *queue, struct bp_co *ended);
/* fn(opaque) on a worker thread of the context. */
void bpc_worker_run(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque);
/* What the fatal signal handler asks: is `addr` in the guard page of the running coroutine?
 * Async-signal-safe. */
const struct bp_co *bpc_co_overflow(const void *addr);

#endif
