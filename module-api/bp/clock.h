/* SPDX-License-Identifier: MIT */
/*
 * Clocks and timers, in nanoseconds. A timer belongs to an owner and vanishes with it; its callback
 * runs on the main loop under the machine lock.
 */
#ifndef BP_CLOCK_H
#define BP_CLOCK_H

#include <bp/base.h>

BP_BEGIN_DECLS

struct bp_owner;
struct bp_timer; /* opaque */

enum bp_clock {
    BP_CLOCK_HOST,     /* wall clock: Unix epoch, may jump */
    BP_CLOCK_REALTIME, /* monotonic, runs while the machine is stopped */
    BP_CLOCK_VIRTUAL,  /* guest time: stops with the machine; stepped by hand under qtest */
};

int64_t bp_clock_ns(enum bp_clock clock); /* [any] */

/* [any] for all; a callback may rearm or free its own timer. */
struct bp_timer *bp_timer_new(struct bp_owner *owner, enum bp_clock clock,
                              void (*fire)(void *opaque), void *opaque);
void bp_timer_free(struct bp_timer *timer);   /* NULL is fine */
void bp_timer_set(struct bp_timer *timer, int64_t deadline_ns); /* absolute; past: as soon as possible */
void bp_timer_cancel(struct bp_timer *timer);
bool bp_timer_pending(const struct bp_timer *timer);
int64_t bp_timer_deadline(const struct bp_timer *timer); /* -1 when not pending */

/* For accelerators that own guest time (qtest, icount): the virtual clock stands still but for
 * these. Advancing runs due timers in order, each at its own deadline. [main] under the machine lock */
void bp_clock_virtual_manual(void);
void bp_clock_virtual_advance_to(int64_t ns);
int64_t bp_clock_virtual_next_deadline(void); /* -1: no timer pending */

BP_END_DECLS

#endif
