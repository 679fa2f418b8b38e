/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One event loop (the main one or an I/O thread's): a GMainContext, a queue of deferred calls and a
 * poll function that knows whether anybody has to be woken. Private to this folder.
 */
#ifndef BPC_QUEUE_H
#define BPC_QUEUE_H

#include <glib.h>
#include <pthread.h>

#include <bp/loop.h>

#include "owner.h"

struct bp_deferred {
    struct bpc_claim claim;
    struct bpc_loop *loop;
    struct bp_deferred *next;
    void (*fn)(void *opaque);
    void *opaque;
    bool queued, running, dead, once; /* under loop->lock */
};

struct bpc_loop {
    GMainContext *context;
    GSource *source;          /* runs the queue (and the timers, on the main loop) */
    pthread_t thread;
    bool is_main;
    pthread_mutex_t lock;     /* below, and the states of deferred calls and watches */
    pthread_cond_t done;      /* a callback ended */
    struct bp_deferred *head, **tail;
    bool polling;             /* asleep, or about to be: has to be woken */
    bool woken;               /* the next sleep is skipped */
};

extern struct bpc_loop bpc_main_loop;

void bpc_queue_init(struct bpc_loop *loop, GMainContext *context, bool is_main);
void bpc_queue_fini(struct bpc_loop *loop);
void bpc_queue_wake(struct bpc_loop *loop); /* [any] */
/* The loop of a bp_iothread argument; NULL is the main loop. */
struct bpc_loop *bpc_loop_of(struct bp_iothread *thread);
/* Waits, with loop->lock held, until *running is false; lets go of the machine lock meanwhile. */
void bpc_queue_wait(struct bpc_loop *loop, const bool *running);

/* The main loop's poll asks the timers how long it may sleep (ns, -1: for ever), and from then on,
 * until the end, arming an earlier timer wakes it. */
int64_t bpc_clock_poll_begin(void);
void bpc_clock_poll_end(void);
bool bpc_clock_due(void);
void bpc_clock_run_due(void);

#endif
