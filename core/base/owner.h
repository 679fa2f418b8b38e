/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners: what a device, backend or machine has claimed (regions, timers, lines, watches) hangs
 * from its owner and is taken back, newest first, when it goes. [main] under the machine lock, but
 * claiming and unclaiming are [any].
 */
#ifndef BPC_OWNER_H
#define BPC_OWNER_H

#include <bp/base.h>

/* Embedded in the claimed thing. */
struct bpc_claim {
    struct bpc_claim *next, **link;           /* link NULL: not claimed */
    void (*release)(struct bpc_claim *claim); /* frees the thing; it is unlinked already */
};

struct bp_owner {
    struct bpc_claim *claims; /* newest first */
};

void bpc_owner_init(struct bp_owner *owner);
/* Releases every claim, newest first. The owner may be used again. */
void bpc_owner_release(struct bp_owner *owner);
/* owner NULL: the claim belongs to nobody, the caller frees the thing itself. */
void bpc_claim(struct bp_owner *owner, struct bpc_claim *claim,
               void (*release)(struct bpc_claim *claim));
void bpc_unclaim(struct bpc_claim *claim);

#endif
