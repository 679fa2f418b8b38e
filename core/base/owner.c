/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners and claims. One lock for all lists: claims are made and dropped rarely, and it is never
 * held while a claim's release function runs.
 */
#include "owner.h"

#include <glib.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
void (*bpc_owner_idle_hook)(void);

void bpc_owner_init(struct bp_owner *owner)
{
    *owner = (struct bp_owner){.claims = NULL};
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
        pthread_mutex_lock(&lock);
        struct bpc_claim *claim = owner->claims;
        if (claim)
            unlink_claim(claim);
        pthread_mutex_unlock(&lock);
        if (!claim)
            return;
        claim->release(claim);
    }
}

static struct bp_context *stop_all(struct bp_owner *owner, uint64_t *ret_ticket)
{
    struct bp_context *busy = NULL;

    for (struct bpc_claim *claim = owner->claims; claim; claim = claim->next) {
        struct bp_context *ctx = claim->nested ? stop_all(claim->nested, ret_ticket)
                                 : claim->stop ? claim->stop(claim, ret_ticket) : NULL;

        busy = ctx ? ctx : busy;
    }
    return busy;
}

struct bp_context *bpc_owner_stop(struct bp_owner *owner, uint64_t *ret_ticket)
{
    struct bp_context *busy;

    pthread_mutex_lock(&lock);
    busy = stop_all(owner, ret_ticket);
    pthread_mutex_unlock(&lock);
    return busy;
}

void bpc_claim(struct bp_owner *owner, struct bpc_claim *claim,
               void (*release)(struct bpc_claim *claim))
{
    bpc_claim_stoppable(owner, claim, release, NULL);
}

void bpc_claim_stoppable(struct bp_owner *owner, struct bpc_claim *claim,
                         void (*release)(struct bpc_claim *claim),
                         struct bp_context *(*stop)(struct bpc_claim *claim, uint64_t *ret_ticket))
{
    (void)bpc_claim_movable(owner, claim, release, stop, NULL, false, NULL);
}

bool bpc_claim_movable(struct bp_owner *owner, struct bpc_claim *claim,
                       void (*release)(struct bpc_claim *claim),
                       struct bp_context *(*stop)(struct bpc_claim *claim, uint64_t *ret_ticket),
                       bool (*hold)(struct bpc_claim *claim, enum bpc_hold_step step,
                                    struct bp_context *to),
                       bool follows, struct bp_context *context)
{
    *claim = (struct bpc_claim){.owner = owner, .stop = stop, .release = release, .hold = hold};
    if (!owner)
        return true;
    pthread_mutex_lock(&lock);
    if (follows && owner->context != context) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    claim->held = owner->drained;
    claim->next = owner->claims;
    if (claim->next)
        claim->next->link = &claim->next;
    claim->link = &owner->claims;
    owner->claims = claim;
    pthread_mutex_unlock(&lock);
    return true;
}

bool bpc_owner_hold_claims(struct bp_owner *owner, enum bpc_hold_step step, struct bp_context *to)
{
    bool wait = false;

    pthread_mutex_lock(&lock);
    if (step == BPC_HOLD_BEGIN || step == BPC_HOLD_RESUME)
        owner->drained = step == BPC_HOLD_BEGIN;
    if (step == BPC_HOLD_MOVE)
        __atomic_store_n(&owner->context, to, __ATOMIC_RELEASE);
    for (struct bpc_claim *claim = owner->claims; claim; claim = claim->next) {
        if (claim->hold && claim->hold(claim, step, to))
            wait = true;
    }
    pthread_mutex_unlock(&lock);
    return wait;
}

void bpc_unclaim(struct bpc_claim *claim)
{
    pthread_mutex_lock(&lock);
    unlink_claim(claim);
    pthread_mutex_unlock(&lock);
}

struct bp_owner *bpc_claim_owner(struct bpc_claim *claim)
{
    struct bp_owner *owner;

    pthread_mutex_lock(&lock);
    owner = claim->link ? claim->owner : NULL;
    pthread_mutex_unlock(&lock);
    return owner;
}

void bpc_claim_nested(struct bp_owner *owner, struct bpc_claim *claim,
                      void (*release)(struct bpc_claim *claim), struct bp_owner *nested)
{
    (void)bpc_claim_movable(owner, claim, release, NULL, NULL, false, NULL);
    pthread_mutex_lock(&lock);
    claim->nested = nested;
    pthread_mutex_unlock(&lock);
}

void bpc_owner_withdraw(struct bp_owner *owner)
{
    for (;;) {
        void (*withdraw)(struct bpc_claim *claim) = NULL;
        struct bpc_claim *claim;

        pthread_mutex_lock(&lock);
        for (claim = owner->claims; claim && !withdraw; claim = withdraw ? claim : claim->next) {
            withdraw = claim->withdraw;
            claim->withdraw = NULL;
        }
        pthread_mutex_unlock(&lock);
        if (!withdraw)
            return;
        withdraw(claim);
    }
}

/* Nothing of the owner is touched behind the subtraction. */
void bpc_owner_leave(struct bp_owner *owner)
{
    if (__atomic_sub_fetch(&owner->calls, 2, __ATOMIC_SEQ_CST) == 1)
        bpc_owner_tell_idle();
}

void bpc_owner_tell_idle(void)
{
    void (*hook)(void) = __atomic_load_n(&bpc_owner_idle_hook, __ATOMIC_ACQUIRE);

    if (hook)
        hook();
}

static bool any_busy(struct bp_owner *owner)
{
    bool any = __atomic_or_fetch(&owner->calls, 1, __ATOMIC_SEQ_CST) != 1;

    for (struct bpc_claim *claim = owner->claims; claim; claim = claim->next) {
        if (claim->nested)
            any |= any_busy(claim->nested);
        if (claim->busy)
            any |= claim->busy(claim);
    }
    return any;
}

bool bpc_owner_busy(struct bp_owner *owner)
{
    bool any;

    pthread_mutex_lock(&lock);
    any = any_busy(owner);
    pthread_mutex_unlock(&lock);
    return any;
}
