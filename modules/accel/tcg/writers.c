/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that become code. Translated code writes through the TLB without asking whether there is code in the page:
 * so a page of which code is kept has no entry to write through, on any vCPU. Who is the first to keep code of a
 * page drops his entries and has the others drop theirs, and waits for those who are in translated code at this
 * moment: they come out at their next poll. Nobody who waits is in translated code.
 */
#include "tcg.h"
#include <sched.h>

static void lock(struct tcg_cpu *c)
{
    while (__atomic_exchange_n(&c->stale_lock, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void unlock(struct tcg_cpu *c)
{
    __atomic_store_n(&c->stale_lock, 0, __ATOMIC_RELEASE);
}

void stale_heed(struct tcg_cpu *c)
{
    lock(c);
    if (c->stale_count > STALE) {
        for (unsigned s = 0; s < MMU_SETS; s++) {
            for (unsigned n = 0; n < TLB_SIZE; n++)
                c->v.sets[s].e[TLB_WRITE][n].tag = 0;
        }
    } else {
        for (uint32_t n = 0; n < c->stale_count; n++)
            writers_drop(&c->v, c->stale[n]);
    }
    __atomic_store_n(&c->stale_count, 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&c->acks, 1, __ATOMIC_SEQ_CST);
    unlock(c);
}

bool code_enter(struct tcg_cpu *c)
{
    if (!c->next && c->machine->cpus == c) /* alone */
        return true;
    __atomic_store_n(&c->in_code, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->stale_count, __ATOMIC_SEQ_CST) == 0)
        return true;
    code_leave(c);
    return false;
}

static void announce(struct tcg_cpu *c, uint32_t index)
{
    uint32_t acks;

    lock(c);
    if (c->stale_count < STALE)
        c->stale[c->stale_count] = index;
    if (c->stale_count <= STALE)
        __atomic_fetch_add(&c->stale_count, 1, __ATOMIC_SEQ_CST);
    acks = __atomic_load_n(&c->acks, __ATOMIC_SEQ_CST);
    unlock(c);
    __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&c->in_code, __ATOMIC_SEQ_CST) && __atomic_load_n(&c->acks, __ATOMIC_SEQ_CST) == acks) {
        __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
        sched_yield();
    }
}

static void cached(struct code_map *map, struct vcpu *v, uint32_t index)
{
    struct tcg_machine *m = (struct tcg_machine *)((uint8_t *)map - offsetof(struct tcg_machine, map));

    for (struct tcg_cpu *c = __atomic_load_n(&m->cpus, __ATOMIC_ACQUIRE); c; c = c->next) {
        if (&c->v == v)
            writers_drop(v, index);
        else
            announce(c, index);
    }
}

void writers_init(struct tcg_machine *m)
{
    m->map.cached = cached;
}
