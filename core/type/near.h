/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three names of a set that are nearest to a mistyped one, for error messages. */
#ifndef BPC_NEAR_H
#define BPC_NEAR_H

#include <bp/base.h>

struct bpc_near {
    const char *wanted;
    struct {
        const char *name; /* borrowed until bpc_near_print() */
        unsigned distance;
    } best[3];
};

void bpc_near_init(struct bpc_near *near, const char *wanted);
void bpc_near_offer(struct bpc_near *near, const char *name);
/* "a, b, c", the nearest first; "" when none is near. */
void bpc_near_print(const struct bpc_near *near, char *buf, size_t size);

#endif
