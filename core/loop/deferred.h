/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred calls, as the loop runs them. Private to this folder. */
#ifndef BPC_DEFERRED_H
#define BPC_DEFERRED_H

#include "context.h"

struct bp_deferred {
    struct bpc_item item; /* first */
    struct bp_deferred *next;
    void (*fn)(void *opaque);
    void (*gone)(void *opaque); /* or NULL */
    void *opaque;
    const char *kind;
    bool queued, once; /* under the context's lock */
    bool rung; /* while it was held; under it too */
};

/* One turn of the queue. */
void bpc_deferred_run(struct bp_context *ctx);

#endif
