/* SPDX-License-Identifier: MIT */
/* Random bytes that a guest sees. With -seed they are the same each time; keys, challenges and whatever else the host's
 * safety rests on come from getrandom(2) and never from here. */
#ifndef BP_RANDOM_H
#define BP_RANDOM_H

#include <bp/base.h>

BP_BEGIN_DECLS

/* Fills it; waits at most until the host's generator is ready. [any] */
void bp_guest_random(void *buf, size_t size);

BP_END_DECLS

#endif
