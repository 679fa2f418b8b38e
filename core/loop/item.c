/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What timers, watches and deferred calls have in common: they belong to an owner and a context, one
 * of their callbacks may be running while somebody frees them, and it is measured.
 */
#include "context.h"

#include <assert.h>
#include <stdio.h>

#include <bp/log.h>

#include "loop.h"

/* Longer callbacks are told by name, if they hold up others. */
#define LONG_NS 10000000

struct bp_context *bpc_item_lock(const struct bpc_item *item)
{
    for (;;) {
        struct bp_context *ctx = __atomic_load_n(&item->ctx, __ATOMIC_ACQUIRE);

        pthread_mutex_lock(&ctx->lock);
        if (ctx == __atomic_load_n(&item->ctx, __ATOMIC_ACQUIRE)) /* gone and back: after the return */
            return ctx;
        pthread_mutex_unlock(&ctx->lock); /* it has moved */
    }
}

/* Another context; nothing of it is in the one where it is, whose lock is held. */
static void put_into(struct bpc_item *item, struct bp_context *home)
{
    __atomic_fetch_sub(&item->home->items, 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&home->items, 1, __ATOMIC_RELAXED);
    item->home = home;
    __atomic_store_n(&item->ctx, home->loop, __ATOMIC_RELEASE);
}

/* ---- those that name a context, which need not be their owner's ---- */

/* An item is in the list as long as its owner has it, so that on the main thread its owner is there. */
static pthread_mutex_t named_lock = PTHREAD_MUTEX_INITIALIZER; /* inside of all others */
static struct bpc_item *named;

static void list_named(struct bpc_item *item, struct bp_owner *owner, struct bp_context *ctx)
{
    pthread_mutex_lock(&named_lock);
    item->named_owner = owner;
    item->named_context = ctx;
    item->named_next = named;
    item->named_link = &named;
    if (named)
        named->named_link = &item->named_next;
    named = item;
    pthread_mutex_unlock(&named_lock);
}

static void unlist_named(struct bpc_item *item)
{
    if (!item->names)
        return;
    pthread_mutex_lock(&named_lock);
    if (!item->named_link) {
        pthread_mutex_unlock(&named_lock);
        return;
    }
    *item->named_link = item->named_next;
    if (item->named_next)
        item->named_next->named_link = item->named_link;
    item->named_link = NULL;
    pthread_mutex_unlock(&named_lock);
}

void bpc_items_named_each(struct bp_context *ctx, void (*fn)(struct bp_owner *owner, void *opaque),
                          void *opaque)
{
    pthread_mutex_lock(&named_lock);
    for (struct bpc_item *item = named; item; item = item->named_next) {
        if (item->named_context == ctx)
            fn(item->named_owner, opaque);
    }
    pthread_mutex_unlock(&named_lock);
}

/* ---- held and stopped ---- */

void bpc_item_unclaim(struct bpc_item *item)
{
    unlist_named(item);
    bpc_unclaim(&item->claim);
}

static bool hold(struct bpc_claim *claim, enum bpc_hold_step step, struct bp_context *to)
{
    struct bpc_item *item = (struct bpc_item *)claim;
    struct bp_context *ctx;
    bool running;

    if (step == BPC_HOLD_ASK)
        return false;
    ctx = bpc_item_lock(item);
    if (step == BPC_HOLD_BEGIN) {
        claim->held = true;
        item->kind->hold(item);
        running = item->running;
        pthread_mutex_unlock(&ctx->lock);
        return running;
    }
    if (step == BPC_HOLD_MOVE) {
        if (item->follows)
            put_into(item, to);
        pthread_mutex_unlock(&ctx->lock);
        return false;
    }
    claim->held = false;
    pthread_mutex_unlock(&ctx->lock);
    item->kind->resume(item);
    return false;
}

static struct bp_context *stop(struct bpc_claim *claim, uint64_t *ret_ticket)
{
    struct bpc_item *item = (struct bpc_item *)claim;
    struct bp_context *ctx = bpc_item_lock(item), *busy = NULL;

    item->stopped = true;
    if (item->running && !pthread_equal(ctx->thread, pthread_self())) {
        busy = ctx;
        *ret_ticket = ctx->ended;
    }
    pthread_cond_broadcast(&ctx->done); /* who waits for a call that will not be made */
    pthread_mutex_unlock(&ctx->lock);
    return busy;
}

void bpc_item_init(struct bpc_item *item, struct bp_owner *owner, struct bp_context *ctx,
                   const struct bpc_item_kind *kind)
{
    struct bp_context *context;

    item->kind = kind;
    item->follows = owner && !ctx;
    if (owner && owner->type) {
        item->owner_type = owner->type;
        g_strlcpy(item->owner_id, owner->id ? owner->id : "", sizeof(item->owner_id));
    }
    item->names = owner && ctx && !ctx->is_main;
    if (item->names)
        list_named(item, owner, ctx);
    do { /* its owner may be moved meanwhile */
        context = owner ? __atomic_load_n(&owner->context, __ATOMIC_ACQUIRE) : NULL;
        item->home = bpc_context_choose(NULL, ctx ? ctx : context);
        item->ctx = item->home->loop;
        __atomic_fetch_add(&item->home->items, 1, __ATOMIC_RELAXED);
        if (bpc_claim_movable(owner, &item->claim, kind->release, stop, hold, item->follows, context))
            return;
        __atomic_fetch_sub(&item->home->items, 1, __ATOMIC_RELEASE);
    } while (true);
}

bool bpc_item_begin(struct bpc_item *item, const char *kind, struct bpc_call *ret_call)
{
    struct bpc_blame blame = {item->owner_type, item->owner_id, kind};
    struct bp_owner *owner = item->claim.owner;
    unsigned generation = item->generation;
    bool go = true;

    item->running = true;
    ret_call->locked = owner && owner->lock;
    /* Counted with its owner, whose lock it waits for: the item may be freed meanwhile, and nobody else
     * would know that this thread is here. */
    if (ret_call->locked)
        bpc_owner_enter(owner);
    pthread_mutex_unlock(&item->ctx->lock);
    if (ret_call->locked) {
        ret_call->hold = bpc_owner_hold(owner);
        /* Who held it until now may have taken this call back. */
        pthread_mutex_lock(&item->ctx->lock);
        go = !item->dead && !item->stopped && item->generation == generation;
        pthread_mutex_unlock(&item->ctx->lock);
    }
    ret_call->before = bpc_blame_swap(blame);
    ret_call->start = bp_clock_ns(BP_CLOCK_REALTIME);
    return go;
}

void bpc_context_ran(struct bp_context *ctx, const char *kind, const char *type, const char *id,
                     int64_t ns)
{
    struct bpc_context_stats *st = &ctx->stats;

    __atomic_store_n(&st->callbacks, st->callbacks + 1, __ATOMIC_RELAXED);
    if (ns > LONG_NS)
        bp_log(BP_LOG_SLOW, "context '%s': a %s of %s%s%s took %" G_GINT64_FORMAT " us\n", ctx->name,
               kind, type ? type : "core", *id ? " " : "", id, ns / 1000);
    if (ns <= (int64_t)st->longest_ns) /* written on this thread only */
        return;
    pthread_mutex_lock(&ctx->lock);
    st->longest_ns = (uint64_t)ns;
    g_strlcpy(st->longest_kind, kind, sizeof(st->longest_kind));
    if (type)
        g_snprintf(st->longest_owner, sizeof(st->longest_owner), "%s%s%s%s", type, *id ? " '" : "", id,
                   *id ? "'" : "");
    else
        g_strlcpy(st->longest_owner, "core", sizeof(st->longest_owner));
    pthread_mutex_unlock(&ctx->lock);
}

bool bpc_item_end(struct bpc_item *item, const struct bpc_call *call)
{
    struct bp_context *ctx = item->ctx; /* does not change while it runs */
    bool gone, held;
    const char *kind = bpc_blame.what;
    int64_t ns = bp_clock_ns(BP_CLOCK_REALTIME) - call->start;

    bpc_blame_swap(call->before);
    if (call->locked) {
        bpc_owner_let_go(item->claim.owner, call->hold);
        bpc_owner_leave(item->claim.owner);
    }
    bpc_context_ran(ctx, kind, item->owner_type, item->owner_id, ns);
    pthread_mutex_lock(&ctx->lock);
    item->running = false;
    item->runs++;
    ctx->ended++;
    pthread_cond_broadcast(&ctx->done);
    held = item->claim.held;
    gone = item->dead && item->waiters == 0;
    if (gone)
        __atomic_fetch_sub(&item->home->items, 1, __ATOMIC_RELEASE);
    if (held) { /* from here on the item is its owner's again, unless it is gone */
        pthread_mutex_unlock(&ctx->lock);
        bpc_drain_look();
        pthread_mutex_lock(&ctx->lock);
    }
    return gone;
}

bool bpc_item_kill(struct bpc_item *item)
{
    unlist_named(item);
    item->dead = true;
    if (item->running || item->waiters > 0)
        return false;
    __atomic_fetch_sub(&item->home->items, 1, __ATOMIC_RELEASE);
    return true;
}

bool bpc_item_kill_wait(struct bpc_item *item)
{
    struct bp_context *ctx = item->ctx;

    /* Its callback may be waiting for the machine lock; and nobody waits for himself. */
    assert(!bpc_machine_held());
    item->dead = true;
    if (pthread_equal(ctx->thread, pthread_self()))
        return bpc_item_kill(item);
    item->waiters++;
    while (item->running)
        pthread_cond_wait(&ctx->done, &ctx->lock);
    item->waiters--;
    return bpc_item_kill(item);
}
