/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

void bpc_random_seed(uint64_t seed); /* -seed */

#endif
