/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quiet points and grace periods (quiet.h). `wanted` and a reader's `seen` are each written before
 * the other is read, in sequential order: either who waits sees that a reader has left, or the
 * reader sees that somebody waits. The lock is a leaf but for readers' kicks.
 */
#include <pthread.h>

#include <glib.h>

#include "quiet.h"
#include "read-side.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bpc_reader *readers;
static struct bpc_quiet *waiting, **waiting_tail = &waiting; /* in the order of their epochs */
static uint64_t epoch = 1;                                   /* atomic */
static bool wanted;                                          /* atomic: `waiting` is not empty */
static __thread struct bpc_reader *current __attribute__((tls_model("initial-exec")));

void bpc_reader_add(struct bpc_reader *reader)
{
    pthread_mutex_lock(&lock);
    reader->next = readers;
    readers = reader;
    pthread_mutex_unlock(&lock);
}

void bpc_reader_remove(struct bpc_reader *reader)
{
    struct bpc_reader **link = &readers;

    pthread_mutex_lock(&lock);
    while (*link && *link != reader)
        link = &(*link)->next;
    if (*link)
        *link = reader->next;
    pthread_mutex_unlock(&lock);
}

void bpc_reader_bind(struct bpc_reader *reader)
{
    current = reader;
}

void bpc_reader_enter(struct bpc_reader *reader)
{
    __atomic_store_n(&reader->seen, __atomic_load_n(&epoch, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
}

/* The epoch that every running reader has seen. */
static uint64_t oldest(void)
{
    uint64_t least = UINT64_MAX;

    for (const struct bpc_reader *reader = readers; reader; reader = reader->next) {
        uint64_t seen = __atomic_load_n(&reader->seen, __ATOMIC_SEQ_CST);

        if (seen && seen < least)
            least = seen;
    }
    return least;
}

static void sweep(void)
{
    struct bpc_quiet *passed, **end = &passed;
    uint64_t seen;

    pthread_mutex_lock(&lock);
    seen = oldest();
    passed = waiting;
    while (*end && (*end)->epoch <= seen)
        end = &(*end)->next;
    waiting = *end;
    *end = NULL;
    if (!waiting)
        waiting_tail = &waiting;
    __atomic_store_n(&wanted, waiting != NULL, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
    while (passed) {
        struct bpc_quiet *item = passed;

        passed = item->next;
        item->fn(item);
    }
}

void bpc_reader_leave(struct bpc_reader *reader)
{
    __atomic_store_n(&reader->seen, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&wanted, __ATOMIC_SEQ_CST))
        sweep();
}

void bpc_quiet_call(struct bpc_quiet *item, void (*fn)(struct bpc_quiet *item))
{
    item->fn = fn;
    item->next = NULL;
    pthread_mutex_lock(&lock);
    item->epoch = __atomic_add_fetch(&epoch, 1, __ATOMIC_SEQ_CST);
    *waiting_tail = item;
    waiting_tail = &item->next;
    __atomic_store_n(&wanted, true, __ATOMIC_SEQ_CST);
    for (struct bpc_reader *reader = readers; reader; reader = reader->next) {
        uint64_t seen = __atomic_load_n(&reader->seen, __ATOMIC_SEQ_CST);

        if (seen && seen < item->epoch)
            reader->kick(reader->opaque);
    }
    pthread_mutex_unlock(&lock);
    sweep();
}

void bpc_quiet_map_changed(void)
{
    if (current && __atomic_load_n(&current->seen, __ATOMIC_RELAXED))
        current->changed_map = true;
}

/* ---- grace periods ---- */

struct grace {
    struct rcu_head rcu;
    void (*fn)(void *opaque);
    void *opaque;
};

static void after_grace(struct rcu_head *head)
{
    struct grace *grace = caa_container_of(head, struct grace, rcu);

    BPC_TELL_GRACE_PERIOD();
    grace->fn(grace->opaque);
    g_free(grace);
}

struct awaited {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool over;
};

static void is_over(void *opaque)
{
    struct awaited *a = opaque;

    pthread_mutex_lock(&a->lock);
    a->over = true;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->lock);
}

/* Calls come in the order in which they were asked for. */
void bpc_grace_wait(void)
{
    struct awaited a = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

    bpc_grace_call(is_over, &a);
    pthread_mutex_lock(&a.lock);
    while (!a.over)
        pthread_cond_wait(&a.cond, &a.lock);
    pthread_mutex_unlock(&a.lock);
}

/* By this thread itself, which is in no section: sooner than by the library's. */
void bpc_grace_sync(void)
{
    BPC_TELL_LEAVING();
    synchronize_rcu();
    BPC_TELL_GRACE_PERIOD();
}

void bpc_grace_call(void (*fn)(void *opaque), void *opaque)
{
    struct grace *grace = g_new(struct grace, 1);

    grace->fn = fn;
    grace->opaque = opaque;
    BPC_TELL_LEAVING();
    call_rcu(&grace->rcu, after_grace);
}
