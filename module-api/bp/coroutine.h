/* SPDX-License-Identifier: MIT */
/*
 * Coroutines: long I/O written as straight-line code that waits without blocking its context.
 *
 * A coroutine lives in a context and runs only on that context's thread: in the main context under the
 * machine lock, elsewhere without. What it waits for may end in any thread; the wake-up comes to its own
 * context. Rules for the code inside:
 * - No lock (but coroutine mutexes), no read section and no address of a thread-local lives across a call
 *   marked [waits]; errno is lost there. Others run meanwhile: look at shared state again afterwards.
 * - The stack has BP_CO_STACK bytes. Libraries of unknown depth run on a worker (bp_co_worker()).
 * - Never siglongjmp() or throw across it.
 */
#ifndef BP_COROUTINE_H
#define BP_COROUTINE_H

#include <bp/clock.h>
#include <bp/error.h>
#include <bp/loop.h>

BP_BEGIN_DECLS

struct bp_co;       /* opaque */
struct bp_co_mutex; /* opaque */
struct bp_co_queue; /* opaque */

#define BP_CO_STACK (256u << 10) /* bytes, and a guard page below them */

/*
 * Makes one that will run fn(opaque) in a context (NULL: the owner's). `name` (a constant) and the owner
 * are told when something goes wrong in it. It starts with bp_co_enter(). The caller gets a reference.
 * When the owner leaves, it is cancelled, and has ended before the owner's detach(). -ENOMEM: the host gives
 * no more stacks. [any]
 */
int bp_co_new(struct bp_owner *owner, struct bp_context *ctx, const char *name,
              void (*fn)(void *opaque), void *opaque, struct bp_co **ret_co, struct bp_error *err);
struct bp_co *bp_co_ref(struct bp_co *co);
void bp_co_unref(struct bp_co *co); /* it goes on all the same; NULL is fine */
/* Lets it go on: on its context's thread at once, until it waits; from elsewhere soon. One that runs, or
 * waits for something that isn't bp_co_yield(), looks again whether it has come. [any] */
void bp_co_enter(struct bp_co *co);
/* Like bp_co_enter(), but never at once. [any] */
void bp_co_wake(struct bp_co *co);
/* Every wait that can end with -ECANCELED does so from now on. [any] */
void bp_co_cancel(struct bp_co *co);
bool bp_co_ended(struct bp_co *co); /* [any] */

struct bp_co *bp_co_current(void); /* NULL: not inside of one. [any] */
struct bp_context *bp_co_context(struct bp_co *co); /* stable on its own thread */
bool bp_co_cancelled(void); /* the current one */
/* Until as many calls with false, the current one does not hear that it was cancelled: for work that it does for
 * others on the way, which must not break off with it. What it waits for must come to an end by itself. */
void bp_co_shield(bool on);

/* ---- inside a coroutine; each of these [waits] ---- */
/* Until bp_co_enter() or bp_co_wake(). It may come back early: look at what you wait for, and again. 0 or
 * -ECANCELED. */
int bp_co_yield(void);
/* The same, but cancelling neither ends it nor shows in it: for who must not go on before the host has let
 * go of a buffer. Something has to come that wakes it. */
void bp_co_await(void);
/* 0, or -ECANCELED. */
int bp_co_sleep(enum bp_clock clock, int64_t ns);
/* Until the descriptor is ready for one of BP_WATCH_*: those bits, -ETIMEDOUT after timeout_ns (-1: never),
 * or -ECANCELED. */
int bp_co_wait_fd(int fd, unsigned events, int64_t timeout_ns);
/* Until another one has ended. 0 or -ECANCELED. */
int bp_co_join(struct bp_co *co);
/* Goes over to another context; comes back there. Cannot be cancelled. */
void bp_co_move(struct bp_context *ctx);
/* Goes to another context, calls fn there, which may wait as well, and comes back. Cannot be cancelled. */
void bp_co_run_in(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque);
/* Runs fn, which may block, on a thread of the context's bounded pool and waits for its end. Cannot be
 * cancelled. fn runs without the machine lock. */
void bp_co_worker(void (*fn)(void *opaque), void *opaque);

/* ---- locks between coroutines, of any contexts ---- */
struct bp_co_mutex *bp_co_mutex_new(void);
void bp_co_mutex_free(struct bp_co_mutex *mutex); /* not held; NULL is fine */
void bp_co_mutex_lock(struct bp_co_mutex *mutex); /* [waits]; first come, first served; not cancelled */
void bp_co_mutex_unlock(struct bp_co_mutex *mutex); /* by who locked it */

/* A condition: coroutines wait in a queue until somebody wakes the first or all. */
struct bp_co_queue *bp_co_queue_new(void);
void bp_co_queue_free(struct bp_co_queue *queue); /* nobody waits; NULL is fine */
/* [waits]; gives up `mutex` (or NULL) meanwhile and holds it again afterwards. 0 or -ECANCELED. */
int bp_co_queue_wait(struct bp_co_queue *queue, struct bp_co_mutex *mutex);
bool bp_co_queue_wake(struct bp_co_queue *queue);  /* the first; false: nobody waits. [any] */
void bp_co_queue_wake_all(struct bp_co_queue *queue); /* [any] */

BP_END_DECLS

#endif
