/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Worker threads of a context, for libraries that block or use much stack: started when there is more to
 * do than idle ones, up to a limit; the surplus ends when it had nothing to do for a while.
 */
#include <errno.h>
#include <time.h>

#include "context.h"
#include "coroutine.h"
#include "loop.h"
#include "marks.h"

#define IDLE_SECONDS 10
#define MAX_DEFAULT 64u

struct work {
    struct work *next;
    void (*fn)(void *opaque);
    void *opaque;
};

struct bpc_pool {
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t more, ended;
    struct work *head, **tail;
    unsigned threads, idle, queued, min, max;
    bool stop;
};

static void *worker_main(void *opaque)
{
    struct bpc_pool *p = opaque;

    pthread_mutex_lock(&p->lock);
    while (!p->stop || p->head) {
        struct work *w = p->head;
        struct timespec until;
        int ret = 0;

        if (w) {
            p->head = w->next;
            if (!p->head)
                p->tail = &p->head;
            p->queued--;
            pthread_mutex_unlock(&p->lock);
            w->fn(w->opaque);
            g_free(w);
            pthread_mutex_lock(&p->lock);
            continue;
        }
        if (p->threads > p->max)
            break;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += IDLE_SECONDS;
        p->idle++;
        ret = pthread_cond_timedwait(&p->more, &p->lock, &until);
        p->idle--;
        if (ret == ETIMEDOUT && !p->head && p->threads > p->min)
            break;
    }
    p->threads--;
    pthread_cond_broadcast(&p->ended);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* p->lock held. */
static int start_one(struct bpc_pool *p)
{
    pthread_t thread;
    int ret = bp_thread_start(&thread, "worker", worker_main, p);

    if (ret == 0) {
        pthread_detach(thread);
        p->threads++;
    }
    return -ret;
}

static struct bpc_pool *pool_of(struct bp_context *ctx)
{
    struct bpc_pool *p;

    pthread_mutex_lock(&ctx->lock);
    p = ctx->pool;
    if (!p) {
        p = ctx->pool = g_new0(struct bpc_pool, 1);
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->more, NULL);
        pthread_cond_init(&p->ended, NULL);
        p->tail = &p->head;
        p->max = MAX_DEFAULT;
    }
    pthread_mutex_unlock(&ctx->lock);
    return p;
}

void bpc_worker_run(struct bp_context *ctx, void (*fn)(void *opaque), void *opaque)
{
    struct bpc_pool *p = pool_of(ctx);
    struct work *w = g_new0(struct work, 1);
    bool none = false;
    unsigned depth;

    w->fn = fn;
    w->opaque = opaque;
    pthread_mutex_lock(&p->lock);
    *p->tail = w;
    p->tail = &w->next;
    p->queued++;
    if (p->queued > p->idle && p->threads < MAX(p->max, 1u))
        none = start_one(p) < 0 && p->threads == 0;
    pthread_cond_signal(&p->more);
    if (none) { /* the host gives no thread at all: here, late, is better than never */
        p->head = NULL;
        p->tail = &p->head;
        p->queued = 0;
    }
    pthread_mutex_unlock(&p->lock);
    if (none) {
        depth = bpc_machine_unlock_all(); /* as on a thread of the pool */
        fn(opaque);
        bpc_machine_relock(depth);
        g_free(w);
    }
}

int bp_context_set_workers(struct bp_context *ctx, unsigned min, unsigned max, struct bp_error *err)
{
    bpc_assert_main();
    struct bpc_pool *p = pool_of(ctx);
    unsigned old_min, old_max;
    int ret = 0;

    if (max == 0 || min > max)
        return bp_fail(err, EINVAL, "there must be at least one worker thread, and the minimum of %u "
                       "must not be above the maximum of %u", min, max);
    pthread_mutex_lock(&p->lock);
    old_min = p->min;
    old_max = p->max;
    p->min = min;
    p->max = max;
    while (ret == 0 && p->threads < min)
        ret = start_one(p);
    if (ret < 0) { /* those that did start end when they have nothing to do */
        p->min = old_min;
        p->max = old_max;
    }
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    return ret < 0 ? bp_fail(err, -ret, "cannot start worker threads: %s", g_strerror(-ret)) : 0;
}

void bpc_workers_end(struct bp_context *ctx)
{
    struct bpc_pool *p = ctx->pool;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->more);
    while (p->threads > 0)
        pthread_cond_wait(&p->ended, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
    pthread_cond_destroy(&p->ended);
    g_free(p);
    ctx->pool = NULL;
}
