/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Write watch (bp/exact/memory.h): a list that writers walk without a lock. */
#include <bp/exact/memory.h>

#include <pthread.h>
#include <stddef.h>

#include <glib.h>

#include "memory.h"
#include "read-side.h"

struct bp_write_watch {
    struct bpc_claim claim;
    void (*written)(void *opaque, const uint8_t *host, uint64_t length);
    void *opaque;
    struct bp_write_watch *next; /* atomic */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bp_write_watch *watches; /* atomic */

static void release(struct bpc_claim *claim)
{
    struct bp_write_watch *watch = (struct bp_write_watch *)((char *)claim -
                                                             offsetof(struct bp_write_watch, claim));
    struct bp_write_watch **link = &watches;

    pthread_mutex_lock(&lock);
    while (*link != watch)
        link = &(*link)->next;
    __atomic_store_n(link, watch->next, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    bpc_grace_call(g_free, watch);
}

struct bp_write_watch *bp_write_watch_new(struct bp_owner *owner,
                                          void (*written)(void *opaque, const uint8_t *host,
                                                          uint64_t length),
                                          void *opaque)
{
    struct bp_write_watch *watch = g_new0(struct bp_write_watch, 1);

    watch->written = written;
    watch->opaque = opaque;
    bpc_claim(owner, &watch->claim, release);
    pthread_mutex_lock(&lock);
    watch->next = watches;
    __atomic_store_n(&watches, watch, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    return watch;
}

void bp_write_watch_free(struct bp_write_watch *watch)
{
    if (!watch)
        return;
    bpc_unclaim(&watch->claim);
    release(&watch->claim);
}

void bpc_tell_written(const uint8_t *host, uint64_t len)
{
    const struct bp_write_watch *watch;

    if (!__atomic_load_n(&watches, __ATOMIC_RELAXED))
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* between the write and their look at what they keep */
    bpc_memory_read_lock();
    for (watch = __atomic_load_n(&watches, __ATOMIC_ACQUIRE); watch;
         watch = __atomic_load_n(&watch->next, __ATOMIC_ACQUIRE))
        watch->written(watch->opaque, host, len);
    bpc_memory_read_unlock();
}
