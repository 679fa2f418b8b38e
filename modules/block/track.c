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

static void unlink_it(struct bp_block_node *node, struct tracked *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    else
        node->tracked_tail = t->link;
    bp_co_queue_wake_all(node->waiters);
}

/* 0; -ECANCELED, or -EWOULDBLOCK for who may not wait: then it is not tracked. */
int track_begin(struct bp_block_node *node, struct tracked *t, uint64_t start, uint64_t end,
                bool serialising)
{
    int ret = 0;

    *t = (struct tracked){.start = start, .end = end, .serialising = serialising};
    bp_co_mutex_lock(node->mutex);
    t->link = node->tracked_tail;
    *t->link = t;
    node->tracked_tail = &t->next;
    while (ret == 0 && has_to_wait(node, t))
        ret = may_wait() ? bp_co_queue_wait(node->waiters, node->mutex) : -EWOULDBLOCK;
    if (ret < 0)
        unlink_it(node, t);
    bp_co_mutex_unlock(node->mutex);
    return ret;
}

void track_end(struct bp_block_node *node, struct tracked *t)
{
    bp_co_mutex_lock(node->mutex);
    unlink_it(node, t);
    bp_co_mutex_unlock(node->mutex);
}
