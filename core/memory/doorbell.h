/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Doorbells, as accesses and the run state see them. */
#ifndef BPC_DOORBELL_H
#define BPC_DOORBELL_H

#include <bp/doorbell.h>

/* A write of `size` bytes, `value` as callbacks see it: did it ring a bell? Outside of sections.
 * [any] */
bool bpc_doorbell_written(const struct bp_region *region, uint64_t offset, unsigned size,
                          uint64_t value);

/* The machine stops: what was rung is handled, what is rung from now on is held. Lets go of the
 * machine lock while it waits. [main] */
void bpc_doorbells_stop(void);
/* What was rung is handled, unless the machine stands. The same about the lock. [main] */
void bpc_doorbells_drain(void);
/* It goes on: each bell is rung. [main] */
void bpc_doorbells_start(void);

#endif
