/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred calls: queued on a context, run once at its next turn in the order of scheduling. */
#include "deferred.h"

static void enqueue(struct bp_deferred *d)
{
    struct bp_context *ctx = d->item.ctx;
    bool wake = false;

    pthread_mutex_lock(&ctx->lock);
    if (!d->queued && !d->item.dead && !d->item.stopped) {
        d->queued = true;
        d->next = NULL;
        *ctx->tail = d;
        ctx->tail = &d->next;
        ctx->queued++;
        ctx->stats.queued_most = MAX(ctx->stats.queued_most, ctx->queued);
        __atomic_store_n(&ctx->poke, 1, __ATOMIC_RELEASE);
        wake = ctx->polling;
        ctx->polling = false;
    }
    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        g_main_context_wakeup(ctx->glib);
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

static void destroy(struct bp_deferred *d, bool wait)
{
    struct bp_context *ctx = d->item.ctx;
    bool gone;

    pthread_mutex_lock(&ctx->lock);
    unlink_queued(d);
    gone = wait ? bpc_item_kill_wait(&d->item) : bpc_item_kill(&d->item);
    if (wait)
        unlink_queued(d);
    pthread_mutex_unlock(&ctx->lock);
    if (gone)
        g_free(d);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_deferred *)claim, false);
}

struct bp_deferred *bp_deferred_new(struct bp_owner *owner, struct bp_context *ctx,
                                    void (*fn)(void *opaque), void *opaque)
{
    struct bp_deferred *d = g_new0(struct bp_deferred, 1);

    d->fn = fn;
    d->opaque = opaque;
    bpc_item_init(&d->item, owner, ctx, release);
    return d;
}

void bp_deferred_schedule(struct bp_deferred *deferred)
{
    enqueue(deferred);
}

void bp_deferred_free(struct bp_deferred *deferred)
{
    if (!deferred)
        return;
    bpc_unclaim(&deferred->item.claim);
    destroy(deferred, false);
}

void bp_deferred_free_wait(struct bp_deferred *deferred)
{
    if (!deferred)
        return;
    bpc_unclaim(&deferred->item.claim);
    destroy(deferred, true);
}

void bp_defer(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque)
{
    struct bp_deferred *d = bp_deferred_new(NULL, ctx, fn, opaque);

    d->once = true;
    enqueue(d);
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
        struct bpc_call call;

        unlink_queued(d);
        if (d->item.stopped && !d->once)
            continue;
        if (d->once)
            d->item.dead = true;
        if (bpc_item_begin(&d->item, "deferred call", &call))
            d->fn(d->opaque);
        if (bpc_item_end(&d->item, &call))
            g_free(d);
    }
    pthread_mutex_unlock(&ctx->lock);
}
