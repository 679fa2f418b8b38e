/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random numbers and states for native-compare; the same from the same seed.
 */
#ifndef NATIVE_COMPARE_VALUES_H
#define NATIVE_COMPARE_VALUES_H

#include "native-compare.h"

void values_init(void); /* before all else */
void rng_seed(uint64_t seed);
uint64_t rng(void);
unsigned below(unsigned limit);
bool chance(unsigned percent);
uint64_t rng_value(void); /* favours boundaries */
/* All of a state but RIP: registers, memory, control words that mask exceptions mostly. */
void put_state(struct state *s);

#endif
