/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners that are no objects: a framework's nodes, queues and connections (bp/loop.h). One leaves as a device
 * does: what others reach it through is withdrawn, callbacks that run end, what it claimed is released,
 * and its memory goes after a grace period, when nobody who found it before is on the way to it.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include <bp/loop.h>

#include "coroutine.h"
#include "loop.h"
#include "marks.h"
#include "owner.h"
#include "quiet.h"

#define WAIT_NS 200000

struct plain_owner {
    struct bp_owner owner; /* first */
    struct bpc_claim of;   /* on the one that it leaves with */
    char id[];
};

static void free_it(void *opaque)
{
    struct plain_owner *plain = opaque;

    bpc_owner_lock_free(&plain->owner);
    g_free(plain);
}

static void withdraw(struct bpc_claim *claim)
{
    bpc_owner_withdraw(claim->nested);
}

/* The one it belonged to goes, and has waited for the callbacks of both. */
static void release(struct bpc_claim *claim)
{
    bpc_owner_release(claim->nested);
    bpc_grace_call(free_it, claim->nested);
}

struct bp_owner *bp_owner_new(struct bp_owner *of, const char *type, const char *id, unsigned flags)
{
    bpc_assert_main();
    size_t room = id ? strlen(id) + 1 : 0;
    struct plain_owner *plain = g_malloc0(sizeof(*plain) + room);
    struct bp_owner *owner = &plain->owner;
    struct bp_participant *leader;
    bool moves = flags & BP_OWNER_MOVES;

    bpc_owner_init(owner);
    owner->type = type;
    if (id)
        owner->id = memcpy(plain->id, id, room);
    if (flags & BP_OWNER_LOCK)
        bpc_owner_lock_make(owner);
    (void)bp_participant_of(owner);
    if (!of)
        return owner;
    leader = bp_participant_of(of); /* claimed before this one: it goes later */
    bpc_claim_nested(of, &plain->of, release, owner);
    plain->of.withdraw = withdraw;
    if (moves)
        bpc_owner_put_into(owner, __atomic_load_n(&of->context, __ATOMIC_ACQUIRE));
    (void)bp_participant_follow(bp_participant_of(owner), leader, moves, NULL);
    return owner;
}

/* Register callbacks, which are told of by nobody but their count. */
static void wait_for_calls(struct bp_owner *owner)
{
    unsigned depth;

    while (bpc_owner_busy(owner)) {
        if (bp_co_current()) {
            bpc_co_pause(WAIT_NS);
            continue;
        }
        depth = bpc_machine_unlock_all(); /* they may be waiting for it */
        usleep(WAIT_NS / 1000);
        bpc_machine_relock(depth);
    }
}

void bp_owner_free(struct bp_owner *owner)
{
    bpc_assert_main();
    struct plain_owner *plain = (struct plain_owner *)owner;

    if (!owner)
        return;
    bpc_unclaim(&plain->of);
    bpc_owner_withdraw(owner);
    bpc_owner_quiet(owner);
    wait_for_calls(owner);
    bpc_owner_release(owner);
    bpc_grace_call(free_it, owner);
}

struct bp_context *bp_owner_context(struct bp_owner *owner)
{
    struct bp_context *ctx = __atomic_load_n(&owner->context, __ATOMIC_ACQUIRE);

    return ctx ? ctx : bp_context_main(NULL);
}

void bp_owner_set_context(struct bp_owner *owner, struct bp_context *ctx)
{
    bpc_assert_main();
    bpc_owner_put_into(owner, ctx);
}

void bp_owner_lock(struct bp_owner *owner)
{
    bpc_owner_lock_take(owner);
}

void bp_owner_unlock(struct bp_owner *owner)
{
    bpc_owner_lock_drop(owner);
}
