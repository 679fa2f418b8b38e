/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks between coroutines. A waiter is woken in its own context; it lies on the coroutine's stack. */
#include <assert.h>
#include <errno.h>

#include "coroutine.h"
#include "marks.h"

struct waiter {
    struct bp_co *co;
    struct waiter *next, **link;
    bool granted; /* atomic; set last by who wakes it: the waiter may be gone afterwards */
};

struct waiters {
    struct waiter *head, **tail;
};

struct bp_co_mutex {
    pthread_mutex_t lock; /* a leaf, for a few instructions */
    bool held;
    struct bp_co *holder;
    struct waiters waiters;
};

struct bp_co_queue {
    pthread_mutex_t lock;
    struct waiters waiters;
};

static void append(struct waiters *ws, struct waiter *w)
{
    w->next = NULL;
    w->link = ws->tail;
    *ws->tail = w;
    ws->tail = &w->next;
}

static void take_out(struct waiters *ws, struct waiter *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    else
        ws->tail = w->link;
}

/* Takes the first one out, to be granted; a reference to its coroutine comes along. */
static struct bp_co *grant_first(struct waiters *ws)
{
    struct waiter *w = ws->head;
    struct bp_co *co;

    if (!w)
        return NULL;
    take_out(ws, w);
    co = bp_co_ref(w->co);
    __atomic_store_n(&w->granted, true, __ATOMIC_RELEASE);
    return co;
}

static bool is_granted(const struct waiter *w)
{
    return __atomic_load_n(&w->granted, __ATOMIC_ACQUIRE);
}

/* ---- mutexes ---- */

struct bp_co_mutex *bp_co_mutex_new(void)
{
    struct bp_co_mutex *m = g_new0(struct bp_co_mutex, 1);

    pthread_mutex_init(&m->lock, NULL);
    m->waiters.tail = &m->waiters.head;
    return m;
}

void bp_co_mutex_free(struct bp_co_mutex *mutex)
{
    if (!mutex)
        return;
    assert(!mutex->held);
    pthread_mutex_destroy(&mutex->lock);
    g_free(mutex);
}

void bp_co_mutex_lock(struct bp_co_mutex *mutex)
{
    bpc_assert_coroutine();
    struct waiter w = {.co = bp_co_current()};

    pthread_mutex_lock(&mutex->lock);
    if (!mutex->held) {
        mutex->held = true;
        mutex->holder = w.co;
        pthread_mutex_unlock(&mutex->lock);
        return;
    }
    append(&mutex->waiters, &w);
    pthread_mutex_unlock(&mutex->lock);
    while (!is_granted(&w))
        bpc_co_wait(w.co);
}

void bp_co_mutex_unlock(struct bp_co_mutex *mutex)
{
    bpc_assert_coroutine();
    struct bp_co *next;

    pthread_mutex_lock(&mutex->lock);
    assert(mutex->held && mutex->holder == bp_co_current());
    next = grant_first(&mutex->waiters); /* it is handed over: nobody comes in between */
    mutex->held = next != NULL;
    mutex->holder = next;
    pthread_mutex_unlock(&mutex->lock);
    if (next) {
        bp_co_wake(next);
        bp_co_unref(next);
    }
}

/* ---- queues ---- */

struct bp_co_queue *bp_co_queue_new(void)
{
    struct bp_co_queue *q = g_new0(struct bp_co_queue, 1);

    pthread_mutex_init(&q->lock, NULL);
    q->waiters.tail = &q->waiters.head;
    return q;
}

void bp_co_queue_free(struct bp_co_queue *queue)
{
    if (!queue)
        return;
    assert(!queue->waiters.head);
    pthread_mutex_destroy(&queue->lock);
    g_free(queue);
}

/* `ended`: don't begin to wait when that coroutine has ended, or NULL. */
static int wait_in(struct bp_co_queue *queue, struct bp_co_mutex *mutex, struct bp_co *ended)
{
    struct waiter w = {.co = bp_co_current()};
    int ret = 0;

    pthread_mutex_lock(&queue->lock);
    if (ended && bp_co_ended(ended)) {
        pthread_mutex_unlock(&queue->lock);
        return 0;
    }
    append(&queue->waiters, &w);
    pthread_mutex_unlock(&queue->lock);
    if (mutex)
        bp_co_mutex_unlock(mutex);
    while (ret == 0 && !is_granted(&w))
        ret = bp_co_yield();
    if (ret < 0) {
        pthread_mutex_lock(&queue->lock);
        if (is_granted(&w))
            ret = 0; /* woken first: the wake-up is not lost */
        else
            take_out(&queue->waiters, &w);
        pthread_mutex_unlock(&queue->lock);
    }
    if (mutex)
        bp_co_mutex_lock(mutex);
    return ret;
}

int bp_co_queue_wait(struct bp_co_queue *queue, struct bp_co_mutex *mutex)
{
    bpc_assert_coroutine();
    return wait_in(queue, mutex, NULL);
}

int bpc_co_queue_wait_unless(struct bp_co_queue *queue, struct bp_co *ended)
{
    return wait_in(queue, NULL, ended);
}

bool bp_co_queue_wake(struct bp_co_queue *queue)
{
    struct bp_co *first;

    pthread_mutex_lock(&queue->lock);
    first = grant_first(&queue->waiters);
    pthread_mutex_unlock(&queue->lock);
    if (!first)
        return false;
    bp_co_wake(first);
    bp_co_unref(first);
    return true;
}

void bp_co_queue_wake_all(struct bp_co_queue *queue)
{
    while (bp_co_queue_wake(queue))
        ;
}
