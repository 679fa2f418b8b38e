/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred calls: queued on a context, run once at its next turn in the order of scheduling. */
#include "deferred.h"
#include "marks.h"

static void enqueue(struct bp_deferred *d)
{
    struct bp_context *ctx = bpc_item_lock(&d->item);
    bool wake = false;

    if (d->item.claim.held) {
        d->rung = true;
    } else if (!d->queued && !d->item.dead && !d->item.stopped) {
        d->queued = true;
        d->next = NULL;
        *ctx->tail = d;
        ctx->tail = &d->next;
        ctx->queued++;
        ctx->stats.queued_most = MAX(ctx->stats.queued_most, ctx->queued);
        wake = bpc_context_poke(ctx);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        bpc_context_rouse(ctx);
    bpc_virtual_deferred();
}

static void unlink_queued(struct bp_deferred *d)
{
    struct bp_context *ctx = d->item.ctx;
    struct bp_deferred **link = &ctx->head;

    if (!d->queued)
        return;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    if (ctx->tail == &d->next)
        ctx->tail = link;
    ctx->queued--;
    d->queued = false;
}

static void discard(struct bp_deferred *d)
{
    if (d->gone)
        d->gone(d->opaque);
    g_free(d);
}

static void destroy(struct bp_deferred *d, bool wait)
{
    struct bp_context *ctx = bpc_item_lock(&d->item);
    bool gone;

    unlink_queued(d);
    gone = wait ? bpc_item_kill_wait(&d->item) : bpc_item_kill(&d->item);
    if (wait)
        unlink_queued(d);
    pthread_cond_broadcast(&ctx->done); /* drains */
    pthread_mutex_unlock(&ctx->lock);
    if (gone)
        discard(d);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_deferred *)claim, false);
}

static void hold(struct bpc_item *item)
{
    struct bp_deferred *d = (struct bp_deferred *)item;

    d->rung |= d->queued;
    unlink_queued(d);
    pthread_cond_broadcast(&item->ctx->done); /* it is kept: nobody waits for it */
}

static void resume(struct bpc_item *item)
{
    struct bp_deferred *d = (struct bp_deferred *)item;
    struct bp_context *ctx = bpc_item_lock(item);
    bool rung = d->rung;

    d->rung = false;
    pthread_mutex_unlock(&ctx->lock);
    if (rung)
        enqueue(d);
}

static const struct bpc_item_kind deferred_kind = {release, hold, resume};

struct bp_deferred *bpc_deferred_new(struct bp_owner *owner, struct bp_context *ctx,
                                     const char *kind, void (*fn)(void *opaque),
                                     void (*gone)(void *opaque), void *opaque)
{
    struct bp_deferred *d = g_new0(struct bp_deferred, 1);

    d->kind = kind;
    d->fn = fn;
    d->gone = gone;
    d->opaque = opaque;
    bpc_item_init(&d->item, owner, ctx, &deferred_kind);
    return d;
}

struct bp_deferred *bp_deferred_new(struct bp_owner *owner, struct bp_context *ctx,
                                    void (*fn)(void *opaque), void *opaque)
{
    return bpc_deferred_new(owner, ctx, "deferred call", fn, NULL, opaque);
}

void bp_deferred_schedule(struct bp_deferred *deferred)
{
    enqueue(deferred);
}

void bp_deferred_free(struct bp_deferred *deferred)
{
    if (!deferred)
        return;
    bpc_item_unclaim(&deferred->item);
    destroy(deferred, false);
}

void bp_deferred_free_wait(struct bp_deferred *deferred)
{
    bpc_assert_unlocked();
    if (!deferred)
        return;
    bpc_item_unclaim(&deferred->item);
    destroy(deferred, true);
}

void bp_defer(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque)
{
    struct bp_deferred *d = bp_deferred_new(NULL, ctx, fn, opaque);

    d->once = true;
    enqueue(d);
}

/* With the context's lock, which it gives up meanwhile; out of the queue. */
static void run_one(struct bp_deferred *d)
{
    struct bpc_call call;

    if (bpc_item_begin(&d->item, d->kind, &call))
        d->fn(d->opaque);
    if (bpc_item_end(&d->item, &call))
        discard(d);
}

/* Calls queued from the beginning on wait for the next turn, so that watches get theirs. */
void bpc_deferred_run(struct bp_context *ctx)
{
    unsigned left;
    struct bp_deferred *d;

    pthread_mutex_lock(&ctx->lock);
    left = ctx->queued;
    if (ctx->batch > 0)
        left = MIN(left, ctx->batch);
    for (; left > 0 && (d = ctx->head) != NULL; left--) {
        unlink_queued(d);
        if (d->item.stopped && !d->once)
            continue;
        if (d->once)
            d->item.dead = true;
        run_one(d);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- waiting for one ---- */

struct bpc_drain {
    struct bp_deferred *d; /* counted as a waiter of it */
    uint64_t upto;         /* that many runs */
};

static bool will_run(const struct bp_deferred *d)
{
    const struct bp_context *ctx = d->item.ctx;

    return d->queued && !d->item.dead && !d->item.stopped && (ctx->is_main || ctx->has_thread);
}

struct bpc_drain *bpc_deferred_drain_begin(struct bp_deferred *d)
{
    struct bp_context *ctx = bpc_item_lock(&d->item);
    struct bpc_drain *drain = NULL;

    if (d->item.running || will_run(d)) {
        drain = g_new(struct bpc_drain, 1);
        drain->d = d;
        drain->upto = d->item.runs + d->item.running + d->queued;
        d->item.waiters++;
    }
    pthread_mutex_unlock(&ctx->lock);
    return drain;
}

void bpc_deferred_drain_end(struct bpc_drain *drain)
{
    struct bp_deferred *d = drain->d;
    struct bp_context *ctx = bpc_item_lock(&d->item);
    unsigned depth;
    bool gone;

    if (pthread_equal(ctx->thread, pthread_self())) {
        if (!d->item.running && will_run(d)) { /* else it is its own callback that asks */
            unlink_queued(d);
            run_one(d);
        }
    } else if (d->item.runs < drain->upto) {
        pthread_mutex_unlock(&ctx->lock);
        depth = bpc_machine_unlock_all();
        ctx = bpc_item_lock(&d->item);
        while (d->item.runs < drain->upto && (d->item.running || will_run(d))) {
            pthread_cond_wait(&ctx->done, &ctx->lock);
            pthread_mutex_unlock(&ctx->lock);
            ctx = bpc_item_lock(&d->item); /* it may have moved */
        }
        pthread_mutex_unlock(&ctx->lock);
        bpc_machine_relock(depth);
        ctx = bpc_item_lock(&d->item);
    }
    d->item.waiters--;
    gone = d->item.dead && bpc_item_kill(&d->item);
    pthread_mutex_unlock(&ctx->lock);
    if (gone)
        discard(d);
    g_free(drain);
}
