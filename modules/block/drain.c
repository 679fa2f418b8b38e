/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Draining: a blk that is drained has nothing in flight and starts nothing new; what is submitted meanwhile
 * waits. A node is drained when every blk above it is. Stops of the machine flush; starts go on with what
 * an error held.
 */
#include <errno.h>
#include <stdlib.h>

#include <bp/log.h>
#include <bp/run.h>

#include "block.h"

#define HAS(OPS, MEMBER) ((OPS) && (OPS)->size > offsetof(struct bp_blk_ops, MEMBER) && (OPS)->MEMBER)

bool blk_enter(struct bp_blk *blk)
{
    bool may;

    pthread_mutex_lock(&blk->lock);
    may = blk->quiesced == 0;
    if (may)
        __atomic_fetch_add(&blk->in_flight, 1, __ATOMIC_ACQ_REL);
    pthread_mutex_unlock(&blk->lock);
    return may;
}

void blk_leave(struct bp_blk *blk)
{
    struct drain_waiter *waiters = NULL, *next;

    pthread_mutex_lock(&blk->lock);
    if (__atomic_sub_fetch(&blk->in_flight, 1, __ATOMIC_ACQ_REL) == 0) {
        waiters = blk->drain_waiters;
        blk->drain_waiters = NULL;
    }
    pthread_mutex_unlock(&blk->lock);
    for (; waiters; waiters = next) {
        next = waiters->next;
        bp_defer(bp_context_main(NULL), waiters->fn, waiters->opaque);
        free(waiters);
    }
}

void blk_drain(struct bp_blk *blk, void (*fn)(void *opaque), void *opaque)
{
    struct drain_waiter *w = bp_alloc(sizeof(*w));

    w->fn = fn;
    w->opaque = opaque;
    pthread_mutex_lock(&blk->lock);
    if (blk->in_flight > 0) {
        w->next = blk->drain_waiters;
        blk->drain_waiters = w;
        w = NULL;
    }
    pthread_mutex_unlock(&blk->lock);
    if (w)
        bp_defer(bp_context_main(NULL), fn, opaque);
    free(w);
}

void node_tell_drained(struct bp_block_node *node, bool begin)
{
    void (*fn)(struct bp_block_node *) = begin ? node->driver->drain_begin : node->driver->drain_end;

    if (fn)
        fn(node);
    for (struct bp_block_child *c = node->children; c; c = c->next)
        if (c->node)
            node_tell_drained(c->node, begin);
}

static void quiesce(struct bp_blk *blk)
{
    pthread_mutex_lock(&blk->lock);
    blk->quiesced++;
    pthread_mutex_unlock(&blk->lock);
    if (blk->quiesced > 1)
        return;
    if (HAS(blk->ops, drained_begin))
        blk->ops->drained_begin(blk->opaque);
    if (blk->root.node)
        node_tell_drained(blk->root.node, true);
}

struct waiting {
    struct bp_co *co;
    bool done;
};

static void wake(void *opaque)
{
    struct waiting *w = opaque;

    w->done = true;
    bp_co_wake(w->co);
}

static int wait_idle(struct bp_blk *blk, struct bp_error *err)
{
    struct waiting w = {bp_co_current(), false};

    if (__atomic_load_n(&blk->in_flight, __ATOMIC_ACQUIRE) == 0)
        return 0;
    if (!may_wait())
        return bp_fail(err, EBUSY, "'%s' has requests in flight", blk_name(blk));
    while (__atomic_load_n(&blk->in_flight, __ATOMIC_ACQUIRE) > 0) {
        w.done = false;
        blk_drain(blk, wake, &w);
        while (!w.done)
            bp_co_await();
    }
    return 0;
}

/* The caller holds a reference. */
int blk_drain_begin(struct bp_blk *blk, struct bp_error *err)
{
    int ret;

    quiesce(blk);
    ret = wait_idle(blk, err);
    if (ret < 0)
        blk_drain_end(blk);
    return ret;
}

void blk_go_on(struct bp_blk *blk)
{
    for (;;) {
        struct bp_blk_request *r;

        pthread_mutex_lock(&blk->lock);
        r = blk->quiesced ? NULL : blk->requests;
        while (r && !r->queued)
            r = r->next;
        if (r) {
            r->queued = false;
            __atomic_fetch_add(&blk->in_flight, 1, __ATOMIC_ACQ_REL);
        }
        pthread_mutex_unlock(&blk->lock);
        if (!r)
            return;
        blk_start(r);
    }
}

void blk_drain_end(struct bp_blk *blk)
{
    unsigned left;

    pthread_mutex_lock(&blk->lock);
    left = --blk->quiesced;
    pthread_mutex_unlock(&blk->lock);
    if (left > 0)
        return;
    if (blk->root.node)
        node_tell_drained(blk->root.node, false);
    bp_co_queue_wake_all(blk->gate);
    blk_go_on(blk);
    if (HAS(blk->ops, drained_end))
        blk->ops->drained_end(blk->opaque);
}

static bool is_above(struct bp_blk *blk, struct bp_block_node *node)
{
    return blk->root.node && (!node || node_is_below(node, blk->root.node));
}

/* Blks come and go meanwhile, and the graph changes: those that were stopped here are held, and go on. */
int drain_begin(struct bp_block_node *node, struct drained *ret_drained, struct bp_error *err)
{
    struct drained d = {NULL, 0};
    size_t count = 0;
    int ret = 0;

    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        count++;
    d.blks = bp_alloc((count + 1) * sizeof(struct bp_blk *));
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        if (is_above(blk, node))
            d.blks[d.count++] = blk_ref(blk);
    for (size_t i = 0; i < d.count; i++)
        quiesce(d.blks[i]);
    for (size_t i = 0; ret == 0 && i < d.count; i++)
        ret = wait_idle(d.blks[i], err);
    if (ret < 0)
        drain_end(&d);
    else
        *ret_drained = d;
    return ret;
}

void drain_end(struct drained *drained)
{
    for (size_t i = 0; i < drained->count; i++) {
        blk_drain_end(drained->blks[i]);
        blk_unref(drained->blks[i]);
    }
    free(drained->blks);
    *drained = (struct drained){NULL, 0};
}

/* ---- the machine's starts and stops ---- */

static int flush_all(void *opaque, struct bp_error *err)
{
    (void)opaque;
    (void)err;
    for (struct bp_block_node *n = block_nodes; n; n = n->next)
        if (n->opened && !n->flags.read_only && node_flush(n) < 0)
            bp_warn("node '%s': flushing it failed", n->name);
    return 0;
}

void blk_flush_all(void)
{
    run_now(flush_all, NULL, NULL, NULL);
}

static void retry_held(struct bp_blk *blk)
{
    /* Once each: they may fail and be held again at once. */
    pthread_mutex_lock(&blk->lock);
    for (struct bp_blk_request *r = blk->requests; r; r = r->next)
        r->retry = r->held;
    pthread_mutex_unlock(&blk->lock);
    for (;;) {
        struct bp_blk_request *r;
        bool queued = true;

        pthread_mutex_lock(&blk->lock);
        r = blk->requests;
        while (r && !(r->held && r->retry))
            r = r->next;
        if (r) {
            r->held = r->retry = false;
            queued = r->queued = blk->quiesced > 0;
            if (!queued)
                __atomic_fetch_add(&blk->in_flight, 1, __ATOMIC_ACQ_REL);
        }
        pthread_mutex_unlock(&blk->lock);
        if (!r)
            return;
        if (!queued)
            blk_start(r);
    }
}

static void run_changed(void *opaque, bool running)
{
    (void)opaque;
    if (!running) {
        blk_flush_all();
        return;
    }
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        retry_held(blk);
}

void blk_watch_machine(struct bp_machine *machine)
{
    static struct bp_machine *watched;

    if (watched == machine)
        return;
    watched = machine;
    bp_machine_on_run_change(machine, NULL, BP_RUN_ORDER_BACKEND, run_changed, NULL);
}
