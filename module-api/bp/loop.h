/* SPDX-License-Identifier: MIT */
/*
 * Contexts. A context is a loop with a thread: descriptors (watches), timers (bp/clock.h), deferred
 * calls and coroutines (bp/coroutine.h). The main loop is one, each `-object iothread` another.
 * Nothing called from a context may block.
 *
 * Callbacks in the main context hold the machine lock; in other contexts they don't. Whatever takes a
 * context takes NULL for "the owner's": a device's own context (bp_device_context()), the main one by
 * default. Under qtest, and with accelerators that count instructions, every context is folded into
 * the main one: the same calls, on the main thread, under the machine lock.
 */
#ifndef BP_LOOP_H
#define BP_LOOP_H

#include <bp/base.h>
#include <bp/error.h>
#include <pthread.h>

BP_BEGIN_DECLS

struct bp_owner;
struct bp_machine;
struct bp_context;  /* opaque */
struct bp_watch;    /* opaque */
struct bp_deferred; /* opaque */
struct bp_participant; /* opaque */

/* ---- contexts ---- */
/* The main loop's. `machine` NULL: before there is one. [any] */
struct bp_context *bp_context_main(struct bp_machine *machine);
/* The one whose thread this is; NULL on vCPUs' and libraries' threads. [any] */
struct bp_context *bp_context_current(void);
/* Its name ("main", or an iothread's id); lasts as long as the context. [any] */
const char *bp_context_name(const struct bp_context *ctx);
/* A context of an owner that needs a thread to itself. Users' ones are `-object iothread`; a device
 * takes one of those as a property. The thread starts when something first lives in it. [main] */
int bp_context_new(struct bp_machine *machine, const char *name, struct bp_context **ret_ctx,
                   struct bp_error *err);
/* Ends its thread. Nothing may live in it any more (bp_context_users() is 0), so that this waits for
 * nobody. NULL is fine. [main] */
void bp_context_free(struct bp_context *ctx);
/* How many watches, timers, deferred calls, coroutines and participants live in it. [any] */
unsigned bp_context_users(struct bp_context *ctx);

/* Busy polling of a context's thread before it sleeps: up to `max_ns` (0: none), grown and shrunk by
 * these factors (0: defaults) as it pays or not; and how many deferred calls one turn takes at most, and
 * how many requests the host's kernel is given in one call (0: all that were there). [main] */
void bp_context_set_polling(struct bp_context *ctx, int64_t max_ns, unsigned grow, unsigned shrink);
void bp_context_set_batch(struct bp_context *ctx, unsigned calls);
/* That number, for those who give requests to the kernel. [any] */
unsigned bp_context_batch(struct bp_context *ctx);
/* How many worker threads (bp_co_worker()) there are at least and at most; 0 and 64 at first. */
int bp_context_set_workers(struct bp_context *ctx, unsigned min, unsigned max, struct bp_error *err);
/* From now on the main context serves them all; those in which something lives already are left as they
 * are. Accelerators that own guest time ask for it before devices exist. [main] */
void bp_contexts_fold(struct bp_machine *machine);
/* Host thread id; starts the thread when need be. [main] */
int bp_context_thread_id(struct bp_context *ctx);
/* A thread for a library that wants one of its own (what only blocks runs on bp_co_worker()): named (15 bytes count),
 * with all signals but those of faults blocked, so that signals for the process reach the main thread. It is the
 * caller's to join or detach. 0 or a positive errno value, as pthread_create() has it. [any] */
int bp_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *opaque), void *opaque);

/* ---- descriptors ---- */
#define BP_WATCH_IN 1u
#define BP_WATCH_OUT 2u
#define BP_WATCH_HUP 4u /* hang-up or error; always reported */

/*
 * Freeing a watch, timer or deferred call takes it out and returns at once, with the locks held that
 * were held: it never waits. A callback that runs at this moment in another thread ends later. Who has to
 * know that it ended uses ..._free_wait(): never with the machine lock held, which that callback may be
 * waiting for. An owner that leaves does it in the right order by itself: nothing calls a device
 * after its detach(). NULL is fine for all of them, and so is one's own callback.
 */

/* Watches a descriptor (borrowed until the watch is freed). `events` may be changed at any time, 0
 * keeps only BP_WATCH_HUP. [any] */
struct bp_watch *bp_watch_new(struct bp_owner *owner, struct bp_context *ctx, int fd,
                              unsigned events, void (*ready)(void *opaque, unsigned events),
                              void *opaque);
void bp_watch_set(struct bp_watch *watch, unsigned events);
void bp_watch_free(struct bp_watch *watch);
void bp_watch_free_wait(struct bp_watch *watch);

/* ---- deferred calls ---- */
/* A call made once, soon, in the context after bp_deferred_schedule(); scheduling twice before it
 * ran is one call. [any] */
struct bp_deferred *bp_deferred_new(struct bp_owner *owner, struct bp_context *ctx,
                                    void (*fn)(void *opaque), void *opaque);
void bp_deferred_schedule(struct bp_deferred *deferred);
void bp_deferred_free(struct bp_deferred *deferred);
void bp_deferred_free_wait(struct bp_deferred *deferred);
/* One anonymous deferred call in a context (NULL: the main one). It cannot be taken back. [any] */
void bp_defer(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque);

/* ---- owners that are no objects ---- */
/*
 * Devices, buses, objects and machines have an owner each (bp_device_owner(), ...). A framework makes others:
 * for a node of a graph, a queue of a device, a connection. What is made for one (timers, watches, deferred
 * calls, coroutines, regions, claims) lives in its context, is drained and moved with it, and is taken back when
 * it goes.
 */
#define BP_OWNER_LOCK (1u << 0)  /* a lock of its own is held around its callbacks, as with BP_THREADS_OWN */
#define BP_OWNER_MOVES (1u << 1) /* begins where `of` lives, and is moved with it */
/* `of`: it is drained with that one, and leaves with it: when `of` has gone (for a device: after its detach()) it
 * is freed, unless bp_owner_free() came first. NULL: it stays until bp_owner_free(). `type` (lasts for ever) and
 * `id` (copied; or NULL) are told to people. Without BP_OWNER_LOCK its callbacks in the main context hold the
 * machine lock, those in others no lock. [main] */
struct bp_owner *bp_owner_new(struct bp_owner *of, const char *type, const char *id, unsigned flags);
/* It leaves: no callback of it begins any more, coroutines are cancelled, and when those that run have ended what
 * it claimed is released. Inside of a coroutine this [waits] for that; elsewhere it lets go of the machine lock
 * meanwhile. Not from its own callbacks or coroutines. NULL is fine. [main] */
void bp_owner_free(struct bp_owner *owner);
/* Where what it makes with NULL for the context lives; set before it makes anything, later bp_participant_move().
 * [any]; set: [main] */
struct bp_context *bp_owner_context(struct bp_owner *owner);
void bp_owner_set_context(struct bp_owner *owner, struct bp_context *ctx);
/* What its callbacks hold: its own lock (a device's, or BP_OWNER_LOCK), or the machine lock. Not inside of
 * them, nor across a wait. [any] */
void bp_owner_lock(struct bp_owner *owner);
void bp_owner_unlock(struct bp_owner *owner);

/* ---- draining and moving ---- */
/*
 * A participant is an owner whose work can be drained (nothing in flight, nothing new) and moved to
 * another context; devices are moved with bp_device_move(). Draining waits for nobody: `done` is called on
 * the main thread later. In turn: drain_begin(), from which it takes nothing new up, with its timers,
 * watches and deferred calls still served; when it and all that follow it are not busy any more and their
 * coroutines have ended (long ones are ended by drain_begin()), those are held: what is armed, ready or
 * scheduled meanwhile comes after the drain. Then moved(), when it was moved, and drain_end(). An owner that
 * leaves gets neither; `done` gets -ECANCELED before its detach(). All [main], holding what the owner's
 * property writes hold, in `done` the machine lock only.
 */
struct bp_participant_ops {
    uint32_t size; /* of this struct */
    void (*drain_begin)(void *opaque);
    /* Is something in flight? NULL: only callbacks and coroutines. When that changes it calls
     * bp_participant_idle(). */
    bool (*busy)(void *opaque);
    void (*drain_end)(void *opaque);
    /* Everything is there by now, and still held. */
    void (*moved)(void *opaque, struct bp_context *ctx);
    void *reserved[4];
};
/* The owner's participant; there is one, and a second call replaces `ops` (NULL: none) and `opaque`. It
 * goes with its owner. When the owner is being drained already, drain_begin() comes within the call. [main] */
struct bp_participant *bp_participant_new(struct bp_owner *owner, const struct bp_participant_ops *ops,
                                          void *opaque);
/* The same, whoever said what its ops are; without any when nobody did. For those who drain or follow it. */
struct bp_participant *bp_participant_of(struct bp_owner *owner);
/* From now on it is drained whenever `leader` (NULL: nobody) is: a device leads its queues and the nodes that it
 * uses. drain_begin(): leader first; then nothing is held before all are idle, so that the leader's
 * requests find those they need still working; drain_end(): leader last. With `moves` it goes where its leader
 * is moved, in one step: none is called before all are there. It follows one at most, and ceases to when
 * either leaves. -ELOOP: it would follow itself; -ENODEV: one of them is leaving. [main] */
int bp_participant_follow(struct bp_participant *participant, struct bp_participant *leader, bool moves,
                          struct bp_error *err);
/* Drains it; each successful call is followed by one drain_end(), also before `done` (or NULL) was called, which
 * gets -ECANCELED then. They nest. -ENODEV: its owner is leaving. [main] */
int bp_participant_drain_begin(struct bp_participant *participant, void (*done)(void *opaque, int ret),
                               void *opaque, struct bp_error *err);
void bp_participant_drain_end(struct bp_participant *participant);
/* Drains it, moves what lives in its owner's context (what was made with NULL for the context) to `ctx`
 * (NULL: the main one), and ends the drain; `done` may be NULL. While others keep it, or `ctx`, drained the move
 * waits. A later move takes the place of one that is under way, whose `done` gets -ECANCELED. [main] */
int bp_participant_move(struct bp_participant *participant, struct bp_context *ctx,
                        void (*done)(void *opaque, int ret), void *opaque, struct bp_error *err);
void bp_participant_idle(struct bp_participant *participant); /* it may not be busy any more; [any] */
/* bp_participant_drain_begin() as a coroutine of the main context, which is not one of the participant's own,
 * writes it: returns when it is drained. -ECANCELED: it left. [main]; [waits], not cancelled */
int bp_participant_drain(struct bp_participant *participant, struct bp_error *err);

/*
 * Drains all that lives in a context: owners whose context it is, owners elsewhere that have a timer, watch,
 * deferred call or coroutine there, and all that follow them. Who comes to live there meanwhile is drained when it
 * comes; moves to it wait. In the main context: those that are participants. What has no owner is not
 * held. `done` (or NULL) gets 0, or -ECANCELED when the drain ended before. They nest; the context stays until
 * the last has ended. [main]
 */
void bp_context_drain_begin(struct bp_context *ctx, void (*done)(void *opaque, int ret), void *opaque);
void bp_context_drain_end(struct bp_context *ctx);
void bp_context_drain(struct bp_context *ctx); /* as bp_participant_drain(). [main]; [waits] */

/* ---- the machine lock ---- */
/* Recursive for one thread. `machine` NULL: before there is one. [any] */
void bp_machine_lock(struct bp_machine *machine);
void bp_machine_unlock(struct bp_machine *machine);
bool bp_machine_locked(struct bp_machine *machine); /* by this thread */

BP_END_DECLS

#endif
