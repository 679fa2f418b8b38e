/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners and claims. One lock for all lists: claims are made and dropped rarely, and it is never
 * held while a claim's release function runs.
 */
#include "owner.h"

#include <glib.h>

static GMutex lock;

void bpc_owner_init(struct bp_owner *owner)
{
    owner->claims = NULL;
}

static void unlink_claim(struct bpc_claim *claim)
{
    if (!claim->link)
        return;
    *claim->link = claim->next;
    if (claim->next)
        claim->next->link = claim->link;
    claim->next = NULL;
    claim->link = NULL;
}

void bpc_owner_release(struct bp_owner *owner)
{
    for (;;) {
        g_mutex_lock(&lock);
        struct bpc_claim *claim = owner->claims;
        if (claim)
            unlink_claim(claim);
        g_mutex_unlock(&lock);
        if (!claim)
            return;
        claim->release(claim);
    }
}

void bpc_claim(struct bp_owner *owner, struct bpc_claim *claim,
               void (*release)(struct bpc_claim *claim))
{
    claim->release = release;
    claim->next = NULL;
    claim->link = NULL;
    if (!owner)
        return;
    g_mutex_lock(&lock);
    claim->next = owner->claims;
    if (claim->next)
        claim->next->link = &claim->next;
    claim->link = &owner->claims;
    owner->claims = claim;
    g_mutex_unlock(&lock);
}

void bpc_unclaim(struct bpc_claim *claim)
{
    g_mutex_lock(&lock);
    unlink_claim(claim);
    g_mutex_unlock(&lock);
}
