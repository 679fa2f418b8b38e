/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: writes of a guest that only say "look". A write that matches does not reach the
 * region's write callback and takes neither the machine lock nor the device's: it marks the bell and
 * wakes the bell's context. There rung() is called, like a deferred call (bp/loop.h), once for any
 * number of rings.
 *
 * While the machine stands, rings are held. A stop lets those handled that came before it; when the
 * machine goes on, each bell is rung once, written or not: rung() looks at what there is to do.
 */
#ifndef BP_DOORBELL_H
#define BP_DOORBELL_H

#include <bp/memory.h>

BP_BEGIN_DECLS

struct bp_context;
struct bp_doorbell; /* opaque */

/* What rings it: one write of a guest (or DMA) that begins at `offset`, whole, before the core cuts
 * or widens it. What does not match goes to the region's callback. */
struct bp_doorbell_match {
    size_t size; /* sizeof(struct bp_doorbell_match) */
    uint64_t offset;
    uint32_t flags;       /* BP_DOORBELL_* */
    uint32_t access_size; /* 1, 2, 4 or 8; 0: any that the region takes */
    uint64_t value;       /* with BP_DOORBELL_MATCH_VALUE; as a write callback would see it */
    void *reserved[2];
};
#define BP_DOORBELL_MATCH_VALUE 1u /* only this value rings */
#define BP_DOORBELL_KEEP_VALUE 2u  /* the last value written is kept, for bp_doorbell_take() */

/*
 * A bell on an I/O region, of an owner and a context (NULL: the owner's, the main one by default). It
 * leaves the map with its region, and with its owner: after a device's detach() nothing is called.
 * -EINVAL: no I/O region, not within it, a size or value that no write has, both flags at once;
 * -EEXIST: a write could ring another bell of the region too. [main], or a [vcpu] inside of an access
 */
int bp_doorbell_new(struct bp_owner *owner, struct bp_context *ctx, struct bp_region *region,
                    const struct bp_doorbell_match *match, void (*rung)(void *opaque),
                    void *opaque, struct bp_doorbell **ret_bell, struct bp_error *err);
/* Returns at once; a rung() that runs in another thread ends later. NULL is fine. [main], or a [vcpu] inside
 * of an access */
void bp_doorbell_free(struct bp_doorbell *bell);

/* Rings it by hand. [any] */
void bp_doorbell_ring(struct bp_doorbell *bell);
/* The last value written, when one was since it was asked last (a write at this moment may be told
 * twice; the last one is never lost). A device that saves its state asks in its before_save(). [any] */
bool bp_doorbell_take(struct bp_doorbell *bell, uint64_t *ret_value);
/* Forgets a ring that was not handled yet, and the value: for resets. [any] */
void bp_doorbell_clear(struct bp_doorbell *bell);
/* Rings that came before this call have been handled when it returns, or are held because the
 * machine stands. On the bell's own context's thread it calls rung() itself; elsewhere it waits, and
 * lets go of the machine lock meanwhile. -EDEADLK: this thread holds a device's own lock, which
 * rung() may need. In a coroutine it holds up the whole thread. [any] */
int bp_doorbell_drain(struct bp_doorbell *bell);

/* Calls fn for each bell of a region, for accelerators that can match writes themselves: they call
 * bp_doorbell_ring(), or have the kernel write bp_doorbell_fd(); doorbells() of a memory listener says when to
 * ask again. Those with BP_DOORBELL_KEEP_VALUE have to come the long way. fn must not make or free bells. [any] */
void bp_doorbell_each(struct bp_region *region,
                      void (*fn)(struct bp_doorbell *bell, const struct bp_doorbell_match *match,
                                 void *opaque),
                      void *opaque);
/* An eventfd that rings the bell when somebody writes to it: the bell's context waits for it, and it is the bell's
 * and goes with it. Made when it is first asked for. -ENOTSUP: BP_DOORBELL_KEEP_VALUE, or the value of a big-endian
 * device's. Not inside of fn above. [any] under the machine lock */
int bp_doorbell_fd(struct bp_doorbell *bell);
/* Somebody outside of the process looks for rings: bp_doorbell_fd() is this eventfd (borrowed) from now on, so that an
 * accelerator's rings are not heard here; others still are. -1: no more. [main] */
void bp_doorbell_lend(struct bp_doorbell *bell, int fd);

BP_END_DECLS

#endif
