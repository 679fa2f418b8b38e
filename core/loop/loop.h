/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The main loop as programs drive it, and what the files of this folder share.
 *
 * Threads and locks. The main thread takes the machine lock in bpc_loop_init() and keeps it but for
 * the time it sleeps in poll: everything that the main context calls (timers, watches, deferred
 * calls, signals) and all set-up code runs under it. vCPU threads take it around accesses to
 * serialised devices, the threads of other contexts when they need it. Order: the machine lock
 * first, then the list of contexts, then one context's lock; that is a leaf, held for a few
 * instructions and never around a callback.
 */
#ifndef BPC_LOOP_H
#define BPC_LOOP_H

#include <pthread.h>

#include <bp/clock.h>
#include <bp/loop.h>

/* Once, first, in the main thread: makes it the loop's and takes the machine lock. */
void bpc_loop_init(void);
/* One turn: sleeps (block) until something is ready, without the machine lock, then runs it. Timers,
 * watches, deferred calls and whatever libraries attached to GLib's default context. [main] */
void bpc_loop_run_once(bool block);
void bpc_loop_wake(void); /* ends the sleep of the main loop; [any], not in a signal handler */
bool bpc_loop_is_main(void); /* is this the main loop's thread? [any] */

bool bpc_contexts_folded(void);

/* What is told of a context; strings last as long as the call. */
struct bpc_context_info {
    const char *name;
    int thread_id; /* 0: not started */
    bool is_main, folded;
    unsigned users, queued, queued_most;
    uint64_t callbacks, longest_ns;
    char longest_kind[32], longest_owner[64];
    int64_t poll_max_ns, poll_ns;
    uint64_t polled_ns;
    uint32_t poll_grow, poll_shrink, batch;
};
/* The main one first, then the newest first. [any] */
void bpc_context_info_each(void (*fn)(const struct bpc_context_info *info, void *opaque),
                           void *opaque);
struct bp_context *bpc_context_find(const char *name); /* not the main one; or NULL. [main] */
/* First step of leaving: from now on no timer, watch or deferred call of the owner is called, and
 * those that run at this moment in another thread have ended when it returns. Lets go of the machine
 * lock while it waits. [main] */
struct bp_owner;
void bpc_owner_quiet(struct bp_owner *owner);

/* Where what it makes lives from now on, before it has made anything; NULL: the main context. [main] */
void bpc_owner_put_into(struct bp_owner *owner, struct bp_context *ctx);

/* A deferred call with a name of its own kind; gone(opaque) comes when nobody calls it any more. It may
 * be called under the context's lock: it must not wait. [any] */
struct bp_deferred *bpc_deferred_new(struct bp_owner *owner, struct bp_context *ctx,
                                     const char *kind, void (*fn)(void *opaque),
                                     void (*gone)(void *opaque), void *opaque);
/* A watch for reading; gone() as above. [any] */
struct bp_watch *bpc_watch_new(struct bp_owner *owner, struct bp_context *ctx, int fd,
                               void (*ready)(void *opaque, unsigned events), void (*gone)(void *opaque), void *opaque);
/* Waits until a deferred call that is scheduled, and one that runs, has ended. begin makes sure that it
 * stays until end; NULL: there is nothing to wait for. end makes the call itself on the context's own
 * thread; elsewhere it lets go of the machine lock while it waits. */
struct bpc_drain;
struct bpc_drain *bpc_deferred_drain_begin(struct bp_deferred *deferred);
void bpc_deferred_drain_end(struct bpc_drain *drain);

/* Calls fn on the main loop when the process gets the signal; `pid` is the sender's or 0. Each
 * signal has one fn; a later call replaces it, NULL restores the default action. [main] */
void bpc_loop_on_signal(int signo, void (*fn)(int signo, int pid));

/* Lets go of the machine lock however often it was taken, and takes it as often again; for waits
 * in the middle of locked code. [any] */
unsigned bpc_machine_unlock_all(void); /* 0: this thread did not hold it */
void bpc_machine_relock(unsigned depth);
bool bpc_machine_held(void); /* by this thread: any machine's */
unsigned bpc_machine_depth(void); /* how often */
/* Builds with ThreadSanitizer: around a switch of stacks, for what this thread holds. */
void bpc_machine_tell_handed_over(bool taken);
/* Prepares this thread for telling of a fatal signal when its stack is used up. */
void bpc_fatal_thread(void);
void bpc_fatal_thread_end(void);
/* From now on fatal signals print who was being called before the default action. [main] */
void bpc_fatal_install(void);
/* Whose code lies between `start` and `end`; `name` and `version` last for ever. [main] */
void bpc_fatal_add_module(const char *name, const char *version, const void *start, const void *end);
/*
 * What is held around an owner's register callbacks, timers and completions: the machine lock, or the lock
 * of a device whose class says BP_THREADS_OWN. Order: machine lock, then one such lock. Whoever calls on
 * behalf of another owner lets go of the lock of his own meanwhile: DMA that reaches I/O runs without.
 */
struct bpc_owner_lock;
struct bpc_hold {
    struct bpc_owner_lock *before; /* of this thread; taken again at the end */
    bool machine, same;
};
void bpc_owner_lock_make(struct bp_owner *owner);
void bpc_owner_lock_free(struct bp_owner *owner);
/* Between two waits of an owner's coroutine: the same lock, held by nobody else of this thread. */
void bpc_owner_lock_take(struct bp_owner *owner);
void bpc_owner_lock_drop(struct bp_owner *owner);
bool bpc_owner_lock_held(void); /* any device's, by this thread */
struct bpc_hold bpc_owner_hold(struct bp_owner *owner); /* [any]; NULL: the machine lock */
void bpc_owner_let_go(struct bp_owner *owner, struct bpc_hold hold);

/* The machine lock, measured while profiling is on (-enable-sync-profile, sync-profile). */
struct bpc_lock_stats {
    bool on;
    uint64_t taken, waited; /* times, and of those that had to wait */
    uint64_t wait_ns, longest_wait_ns, held_ns, longest_held_ns;
    char longest_holder[80]; /* who held it longest: "timer of TYPE 'ID'" */
};
void bpc_lock_profile(bool on);
void bpc_lock_profile_reset(void);
void bpc_lock_profile_get(struct bpc_lock_stats *ret_stats);
/* Is somebody waiting for the machine lock? A hint. [any] */
bool bpc_machine_lock_wanted(void);

/* What a thread does that looks for work again and again before it sleeps. */
static inline void bpc_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* Calls fn before it returns, where the stack has a thread's room: a coroutine's caller does it. [any], [co] */
void bpc_co_on_thread_stack(void (*fn)(void *opaque), void *opaque);

/* The virtual clock runs (true) or stands still; it starts at 0, standing. No effect once
 * bp_clock_virtual_manual() was called. [main] */
void bpc_clock_virtual_run(bool run);
/* Moves the standing virtual clock, when a saved state is loaded. [main]; or when instructions were counted:
 * by the thread that did. */
void bpc_clock_virtual_set(int64_t ns);
/*
 * The virtual clock is moved by who counts instructions: `now` makes of what it stands at what it shows on this
 * thread; `armed` hears of virtual timers, `deferred` of deferred calls. All [any], with no lock of the loop's.
 * While the machine runs, the main loop leaves virtual timers to him (bp_virtual_advance_to()). [main], once
 */
struct bpc_counted {
    int64_t (*now)(int64_t standing);
    void (*armed)(int64_t deadline);
    void (*deferred)(void);
};
void bpc_clock_virtual_counted(const struct bpc_counted *how);
int64_t bpc_virtual_deadline(void); /* the main context's earliest, -1: none. [any] */

#endif
