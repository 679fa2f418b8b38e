/* SPDX-License-Identifier: MIT */
/*
 * Clocks and timers, in nanoseconds. A timer belongs to an owner and a context and vanishes with
 * them; its callback runs in that context (bp/loop.h): in the main one under the machine lock.
 */
#ifndef BP_CLOCK_H
#define BP_CLOCK_H

#include <bp/base.h>

BP_BEGIN_DECLS

struct bp_context;
struct bp_machine;
struct bp_owner;
struct bp_timer; /* opaque */

enum bp_clock {
    BP_CLOCK_HOST,     /* wall clock: Unix epoch, may jump */
    BP_CLOCK_REALTIME, /* monotonic, runs while the machine is stopped */
    BP_CLOCK_VIRTUAL,  /* a machine's guest time: stops with it; stepped by hand under qtest */
};

/* Host time. BP_CLOCK_VIRTUAL belongs to a machine: bp_virtual_ns(). [any] */
int64_t bp_clock_ns(enum bp_clock clock);
/* Guest time of a machine (NULL: before there is one). [any] */
int64_t bp_virtual_ns(struct bp_machine *machine);

/* `ctx` NULL: the owner's. [any] for all; a callback may rearm or free its own timer. Freeing: as said in
 * bp/loop.h. */
struct bp_timer *bp_timer_new(struct bp_owner *owner, struct bp_context *ctx, enum bp_clock clock,
                              void (*fire)(void *opaque), void *opaque);
void bp_timer_free(struct bp_timer *timer); /* NULL is fine */
void bp_timer_free_wait(struct bp_timer *timer);
void bp_timer_set(struct bp_timer *timer, int64_t deadline_ns); /* absolute; past: as soon as possible */
void bp_timer_cancel(struct bp_timer *timer);
bool bp_timer_pending(const struct bp_timer *timer);
int64_t bp_timer_deadline(const struct bp_timer *timer); /* -1 when not pending */
int64_t bp_timer_now(const struct bp_timer *timer);      /* of its clock */

/* For accelerators that own guest time (qtest, icount): the virtual clock stands still but for
 * these (and bp_contexts_fold() puts all timers into one order). Advancing runs due timers of the
 * main context in order, each at its own deadline. [main] under the machine lock */
void bp_virtual_manual(struct bp_machine *machine);
void bp_virtual_advance_to(struct bp_machine *machine, int64_t ns);
int64_t bp_virtual_next_deadline(struct bp_machine *machine); /* -1: no timer pending */

BP_END_DECLS

#endif
