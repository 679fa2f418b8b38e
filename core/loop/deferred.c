/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred calls: queued on a loop, run once at its next turn in the order of scheduling. */
#include "queue.h"

static void enqueue(struct bp_deferred *d)
{
    struct bpc_loop *loop = d->loop;
    bool wake = false;

    pthread_mutex_lock(&loop->lock);
    if (!d->queued && !d->dead) {
        d->queued = true;
        *loop->tail = d;
        loop->tail = &d->next;
        wake = loop->polling;
        loop->polling = false;
    }
    pthread_mutex_unlock(&loop->lock);
    if (wake)
        g_main_context_wakeup(loop->context);
}

static void unlink_queued(struct bp_deferred *d)
{
    struct bpc_loop *loop = d->loop;
    struct bp_deferred **link = &loop->head;

    if (!d->queued)
        return;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    if (loop->tail == &d->next)
        loop->tail = link;
    d->queued = false;
}

static void destroy(struct bp_deferred *d)
{
    struct bpc_loop *loop = d->loop;

    pthread_mutex_lock(&loop->lock);
    unlink_queued(d);
    if (d->running && pthread_equal(loop->thread, pthread_self())) {
        d->dead = true; /* inside its own call: the queue frees it */
        pthread_mutex_unlock(&loop->lock);
        return;
    }
    bpc_queue_wait(loop, &d->running);
    unlink_queued(d); /* it may have scheduled itself meanwhile */
    pthread_mutex_unlock(&loop->lock);
    g_free(d);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_deferred *)((char *)claim - offsetof(struct bp_deferred, claim)));
}

struct bp_deferred *bp_deferred_new(struct bp_owner *owner, struct bp_iothread *thread,
                                    void (*fn)(void *opaque), void *opaque)
{
    struct bp_deferred *d = g_new0(struct bp_deferred, 1);

    d->loop = bpc_loop_of(thread);
    d->fn = fn;
    d->opaque = opaque;
    bpc_claim(owner, &d->claim, release);
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
    bpc_unclaim(&deferred->claim);
    destroy(deferred);
}

void bp_defer(void (*fn)(void *opaque), void *opaque)
{
    struct bp_deferred *d = g_new0(struct bp_deferred, 1);

    d->loop = &bpc_main_loop;
    d->fn = fn;
    d->opaque = opaque;
    d->once = true;
    enqueue(d);
}
