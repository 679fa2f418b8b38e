/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that a node works on, so that those that must not overlap wait for each other: one that
 * serialises (read-modify-write, copy on read) and any other. Who came later waits; so nobody waits in a
 * ring. [co]
 */
#include <errno.h>

#include "block.h"

static bool conflicts(const struct tracked *mine, const struct tracked *other)
{
    return (mine->serialising || other->serialising) && mine->start < other->end &&
           other->start < mine->end;
}

/* Of those that came before. */
static bool has_to_wait(const struct bp_block_node *node, const struct tracked *t)
{
    for (const struct tracked *other = node->tracked; other && other != t; other = other->next)
        if (conflicts(t, other))
            return true;
    return false;
}

bool track_would_wait(struct bp_block_node *node, uint64_t start, uint64_t end)
{
    struct tracked t = {.start = start, .end = end};
    bool ret;

    pthread_mutex_lock(&node->track_lock);
    ret = has_to_wait(node, &t);
    pthread_mutex_unlock(&node->track_lock);
    return ret;
}

/* Under the lock: those that wait look again. */
static void unlink_it(struct bp_block_node *node, struct tracked *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    else
        node->tracked_tail = t->link;
    for (struct tracked *other = node->tracked; other; other = other->next) {
        if (!other->waits)
            continue;
        __atomic_store_n(&other->again, true, __ATOMIC_RELEASE);
        bp_co_wake(other->waits);
    }
}

/* Gives up the lock meanwhile. A wake-up that comes before the wait is not lost. */
static int wait_for_others(struct bp_block_node *node, struct tracked *t)
{
    int ret = 0;

    if (!may_wait())
        return -EWOULDBLOCK;
    t->waits = bp_co_current();
    __atomic_store_n(&t->again, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&node->track_lock);
    while (ret == 0 && !__atomic_load_n(&t->again, __ATOMIC_ACQUIRE))
        ret = bp_co_yield();
    pthread_mutex_lock(&node->track_lock);
    t->waits = NULL;
    return ret;
}

/* 0; -ECANCELED, or -EWOULDBLOCK for who may not wait: then it is not tracked. */
int track_begin(struct bp_block_node *node, struct tracked *t, uint64_t start, uint64_t end,
                bool serialising)
{
    int ret = 0;

    *t = (struct tracked){.start = start, .end = end, .serialising = serialising};
    pthread_mutex_lock(&node->track_lock);
    t->link = node->tracked_tail;
    *t->link = t;
    node->tracked_tail = &t->next;
    while (ret == 0 && has_to_wait(node, t))
        ret = wait_for_others(node, t);
    if (ret < 0)
        unlink_it(node, t);
    pthread_mutex_unlock(&node->track_lock);
    return ret;
}

void track_end(struct bp_block_node *node, struct tracked *t)
{
    pthread_mutex_lock(&node->track_lock);
    unlink_it(node, t);
    pthread_mutex_unlock(&node->track_lock);
}
