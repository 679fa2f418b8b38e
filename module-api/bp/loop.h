/* SPDX-License-Identifier: MIT */
/* Main loop: descriptors, deferred calls, I/O threads. Nothing called from here may block. */
#ifndef BP_LOOP_H
#define BP_LOOP_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_owner;
struct bp_watch;    /* opaque */
struct bp_deferred; /* opaque */
struct bp_iothread; /* opaque */

#define BP_WATCH_IN 1u
#define BP_WATCH_OUT 2u
#define BP_WATCH_HUP 4u /* hang-up or error; always reported */

/* Watches a descriptor (borrowed) on the main loop, or on an I/O thread. Main-loop callbacks hold
 * the machine lock. `events` may be changed at any time, 0 keeps only BP_WATCH_HUP. [any] */
struct bp_watch *bp_watch_new(struct bp_owner *owner, struct bp_iothread *thread, int fd,
                              unsigned events, void (*ready)(void *opaque, unsigned events),
                              void *opaque);
void bp_watch_set(struct bp_watch *watch, unsigned events);
void bp_watch_free(struct bp_watch *watch); /* NULL is fine; allowed inside its own callback */

/* A call made once, soon, on the main loop (or I/O thread) after bp_deferred_schedule(); scheduling
 * twice before it ran is one call. [any] */
struct bp_deferred *bp_deferred_new(struct bp_owner *owner, struct bp_iothread *thread,
                                    void (*fn)(void *opaque), void *opaque);
void bp_deferred_schedule(struct bp_deferred *deferred);
void bp_deferred_free(struct bp_deferred *deferred);
/* One anonymous deferred call on the main loop. [any] */
void bp_defer(void (*fn)(void *opaque), void *opaque);

/* A named thread with a loop of its own. */
int bp_iothread_new(const char *name, struct bp_iothread **ret_thread, struct bp_error *err);
void bp_iothread_free(struct bp_iothread *thread); /* stops and joins it */

/* The machine lock. Recursive for one thread. [any] */
void bp_machine_lock(void);
void bp_machine_unlock(void);
bool bp_machine_locked(void); /* by this thread */

BP_END_DECLS

#endif
