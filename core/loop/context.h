/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context: a loop with a thread. A GMainContext, a queue of deferred calls, a heap of timers per
 * clock, and a poll function that knows whether anybody has to be woken. Private to this folder.
 *
 * ctx->lock guards all of it and the state of its items (timers, watches, deferred calls); it is a
 * leaf, held for a few instructions, never around a callback, and never two of them at once.
 */
#ifndef BPC_CONTEXT_H
#define BPC_CONTEXT_H

#include <glib.h>
#include <pthread.h>

#include <bp/clock.h>
#include <bp/loop.h>

#include "blame.h"
#include "loop.h"
#include "owner.h"

#define BPC_CLOCKS 3

/*
 * What a context calls: a timer, watch or deferred call begins with one. While `running` the thing is
 * not freed; who frees it then marks it dead, and it goes when its callback has returned.
 */
struct bpc_item {
    struct bpc_claim claim;
    struct bp_context *home; /* where it lives */
    struct bp_context *ctx;  /* atomic: who serves that (folded: the main one). Changes while it is held */
    bool follows;            /* its owner, into another context */
    bool running, dead, stopped; /* under ctx->lock; stopped: its owner leaves, nothing new starts */
    unsigned generation;         /* of arming; a call that others took back meanwhile is not made */
    uint64_t runs;               /* that ended */
    unsigned waiters;            /* in bpc_item_free_wait(): the last of them frees it */
    const struct bpc_item_kind *kind;
    bool names;                               /* a context, for its owner: it is in the list of those */
    struct bpc_item *named_next, **named_link;
    struct bp_owner *named_owner;
    struct bp_context *named_context;
    const char *owner_type;      /* of the owner, or NULL; a constant */
    char owner_id[24];
};

struct bpc_heap {
    struct bp_timer **timers;
    size_t count, room;
};

struct bpc_context_stats {
    uint64_t callbacks;
    uint64_t longest_ns;
    char longest_owner[64]; /* "TYPE 'ID'", "core" */
    char longest_kind[32];    /* "timer", a coroutine's name, ... */
    unsigned queued_most;
};

struct bp_context {
    /* Stay when the context is freed, and the memory too: who rings an item that moves away may still be
     * about to look for it here. */
    pthread_mutex_t lock; /* what is below */
    pthread_cond_t done;  /* a callback ended */

    GMainContext *glib;
    GSource *source; /* runs the queue, the timers and what coroutines wait for */
    struct bp_context *loop; /* who serves it: itself, or the main one when it is folded */
    struct bp_context *next; /* list of all, under the list's lock */
    struct bp_machine *machine;
    pthread_t thread;
    bool is_main, has_thread;
    bool stop; /* atomic */
    int tid;   /* atomic; 0: not started */
    unsigned items; /* atomic: that live in it */
    char *name;

    struct bp_deferred *head, **tail;
    unsigned queued;
    bool polling; /* asleep, or about to be: has to be woken */
    bool woken;   /* the next sleep is skipped */
    unsigned wakers; /* atomic: about to wake it; more under the lock, fewer without */
    uint32_t poke; /* atomic: something was queued; ends busy polling */
    uint64_t ended;  /* callbacks that ended */
    struct bp_co *ready, **ready_tail; /* coroutines to go on with */
    struct bpc_heap heaps[BPC_CLOCKS];
    struct bp_timer *due_head, *due_tail; /* taken from the heaps, to fire in this turn */
    uint64_t next_order;
    int64_t polling_until; /* realtime at which the sleeping loop wakes by itself; INT64_MIN: awake */
    struct bpc_context_stats stats;

    /* Busy polling; atomic, set from the main thread. */
    int64_t poll_max_ns;
    uint32_t poll_grow, poll_shrink;
    uint32_t batch;
    int64_t poll_ns;    /* now; atomic, its own thread's to change */
    uint64_t polled_ns; /* spent so; likewise */

    unsigned drains; /* [main] bp_context_drain_begin() */
    struct bpc_pool *pool; /* of worker threads; NULL: none was needed yet */
};

extern struct bp_context bpc_main_context;

/* ---- context.c ---- */
/* `ctx`, or the owner's one, or the main one; its thread runs from now on. ->loop serves it. */
struct bp_context *bpc_context_choose(struct bp_owner *owner, struct bp_context *ctx);
/* Calls fn for each context, the main one first, under the list's lock. */
void bpc_context_each(void (*fn)(struct bp_context *ctx, void *opaque), void *opaque);
extern __thread struct bp_context *bpc_current_context __attribute__((tls_model("initial-exec")));

/* ---- loop.c ---- */
void bpc_context_init_locks(struct bp_context *ctx); /* once in a life */
void bpc_context_init(struct bp_context *ctx, GMainContext *glib, const char *name);
void bpc_context_fini(struct bp_context *ctx);
void bpc_context_wake(struct bp_context *ctx); /* [any] */
/* With ctx->lock held: there is something to do. true: it sleeps, and bpc_context_rouse() has to follow
 * once the lock is given up; until then the context is not freed, whatever its thread does. */
bool bpc_context_poke(struct bp_context *ctx);
void bpc_context_rouse(struct bp_context *ctx);

/* ---- item.c ---- */
struct bpc_item_kind {
    void (*release)(struct bpc_claim *claim);
    /* With ctx->lock held: out of the context, remembering what it was about to do. */
    void (*hold)(struct bpc_item *item);
    /* Into the context that serves it now; no lock held. */
    void (*resume)(struct bpc_item *item);
};
void bpc_item_init(struct bpc_item *item, struct bp_owner *owner, struct bp_context *ctx,
                   const struct bpc_item_kind *kind);
/* Locks the context that serves it now. */
struct bp_context *bpc_item_lock(const struct bpc_item *item);
/* Around a callback, with ctx->lock held; begin gives it up, end takes it again. begin returns false
 * when the call was taken back meanwhile: it is not made, end comes all the same. end returns true
 * when the item is dead and the caller frees it. */
struct bpc_call {
    struct bpc_blame before;
    struct bpc_hold hold;
    int64_t start;
    bool locked; /* with the owner's own lock */
};
bool bpc_item_begin(struct bpc_item *item, const char *kind, struct bpc_call *ret_call);
bool bpc_item_end(struct bpc_item *item, const struct bpc_call *call);
void bpc_item_unclaim(struct bpc_item *item); /* its owner forgets it; no lock held */
/* With ctx->lock held: marks it dead. true: nobody runs it, the caller frees it now. */
bool bpc_item_kill(struct bpc_item *item);
/* The same, and waits for a callback that runs in another thread. */
bool bpc_item_kill_wait(struct bpc_item *item);

/* The owners of what names a context; fn under locks, it only takes notes. On the main thread the owners
 * stay. */
void bpc_items_named_each(struct bp_context *ctx, void (*fn)(struct bp_owner *owner, void *opaque),
                          void *opaque);
/* ---- coroutine.c: the same of coroutines. */
void bpc_co_owners_each(struct bp_context *ctx, void (*fn)(struct bp_owner *owner, void *opaque),
                        void *opaque);

/* ---- participant.c ---- */
/* Something of an owner that is being drained has ended; no lock held. [any] */
void bpc_drain_look(void);

/* ---- worker.c ---- */
void bpc_workers_end(struct bp_context *ctx);

/* ---- coroutine.c ---- */
bool bpc_co_run_ready(struct bp_context *ctx);

/* Takes a callback's time and name into the context's books; a long one is told (`-d slow`). On the
 * context's thread, no lock held. */
void bpc_context_ran(struct bp_context *ctx, const char *kind, const char *type, const char *id,
                      int64_t ns);

/* ---- clock.c, timer.c ---- */
bool bpc_virtual_stands(void);
/* For who counts instructions (loop.h): he fires virtual timers now; one was armed; a call was deferred. [any] */
bool bpc_virtual_served(void);
void bpc_virtual_armed(int64_t deadline);
void bpc_virtual_deferred(void);
/* How long the context may sleep (ns, -1: for ever); from then on, until the end, arming an earlier
 * timer wakes it. */
int64_t bpc_timers_poll_begin(struct bp_context *ctx);
void bpc_timers_poll_end(struct bp_context *ctx);
bool bpc_timers_due(struct bp_context *ctx);
void bpc_timers_run_due(struct bp_context *ctx);
/* ---- for the virtual clock by hand: */
/* Fires the earliest virtual timer of ctx when it is due by `ns` and reach(its deadline), called
 * before, agrees. */
bool bpc_timers_fire_until(struct bp_context *ctx, int64_t ns, bool (*reach)(int64_t deadline));
int64_t bpc_timers_next(struct bp_context *ctx, enum bp_clock clock);

#endif
