/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners: what a device, backend or machine has claimed (regions, timers, lines, watches) hangs
 * from its owner and is taken back, newest first, when it goes. [main] under the machine lock, but
 * claiming and unclaiming are [any].
 */
#ifndef BPC_OWNER_H
#define BPC_OWNER_H

#include <bp/base.h>

struct bp_context;
struct bp_owner;

/* What bpc_owner_hold_claims() asks each claim that calls its owner. */
enum bpc_hold_step {
    BPC_HOLD_ASK,    /* is it a request under way (a coroutine)? */
    BPC_HOLD_BEGIN,  /* from now on it calls nobody, but forgets nothing. Does it at this moment? */
    BPC_HOLD_MOVE,   /* while held: those that follow their owner go to another context */
    BPC_HOLD_RESUME, /* it goes on */
};

/* Embedded in the claimed thing. */
struct bpc_claim {
    struct bpc_claim *next, **link;           /* link NULL: not claimed */
    struct bp_owner *owner;                   /* or NULL; stays when unclaimed */
    void (*release)(struct bpc_claim *claim); /* frees the thing; it is unlinked already */
    /* Optional: from now on it calls nobody. Called under the lists' lock, must not wait. Returns the
     * context that runs a callback of it at this moment in another thread, or NULL. */
    struct bp_context *(*stop)(struct bpc_claim *claim, uint64_t *ret_ticket);
    /* Takes the thing away from those who call its owner; it lives on until it is released. NULL:
     * nobody calls through it. Set after bpc_claim(). */
    void (*withdraw)(struct bpc_claim *claim);
    /* Optional. Called under the lists' lock, must not wait. `to`: of MOVE. Returns whether there is something
     * to wait for. */
    bool (*hold)(struct bpc_claim *claim, enum bpc_hold_step step, struct bp_context *to);
    bool held; /* set under the lists' lock and the thing's own; the end of what it does is told */
    struct bp_owner *nested; /* bpc_claim_nested() */
    /* Optional: does a callback that came through it run? Its end is told (bpc_owner_tell_idle()). Under the
     * lists' lock. Set after bpc_claim(). */
    bool (*busy)(struct bpc_claim *claim);
};

struct bp_owner {
    struct bpc_claim *claims; /* newest first */
    struct bpc_owner_lock *lock; /* held around its callbacks; NULL: the machine lock is */
    struct bp_context *context; /* where what it makes lives when it names none; NULL: the main one */
    struct bp_participant *participant; /* [main]; or NULL */
    bool drained; /* under the lists' lock: what is claimed is held from the beginning */
    const char *type, *id;      /* who that is, for people; type lasts for ever, id as long as the owner */
    uint32_t calls; /* atomic: twice the callbacks under way; bit 0: somebody waits for none */
};

void bpc_owner_init(struct bp_owner *owner);
/* Releases every claim, newest first. The owner may be used again. */
void bpc_owner_release(struct bp_owner *owner);
/* First step of leaving: no claim that can be stopped calls anybody from now on. Returns a context
 * that still runs one of its callbacks (wait until it ended more than *ret_ticket of them, and ask
 * again), or NULL. */
struct bp_context *bpc_owner_stop(struct bp_owner *owner, uint64_t *ret_ticket);
/* owner NULL: the claim belongs to nobody, the caller frees the thing itself. */
void bpc_claim(struct bp_owner *owner, struct bpc_claim *claim,
               void (*release)(struct bpc_claim *claim));
void bpc_claim_stoppable(struct bp_owner *owner, struct bpc_claim *claim,
                         void (*release)(struct bpc_claim *claim),
                         struct bp_context *(*stop)(struct bpc_claim *claim, uint64_t *ret_ticket));
/* As bpc_claim_stoppable(), for what can be held. With `follows`, only if the owner's context is still that
 * one: false, and nothing is claimed, when it was moved meanwhile. */
bool bpc_claim_movable(struct bp_owner *owner, struct bpc_claim *claim,
                       void (*release)(struct bpc_claim *claim),
                       struct bp_context *(*stop)(struct bpc_claim *claim, uint64_t *ret_ticket),
                       bool (*hold)(struct bpc_claim *claim, enum bpc_hold_step step,
                                    struct bp_context *to),
                       bool follows, struct bp_context *context);
/* The thing is an owner itself, which leaves with this one: both are stopped, and their callbacks waited for,
 * together. */
void bpc_claim_nested(struct bp_owner *owner, struct bpc_claim *claim,
                      void (*release)(struct bpc_claim *claim), struct bp_owner *nested);
/* Asks all claims, newest first (those of owners that leave with it are asked by their own participants);
 * true: at least one is to be waited for. MOVE: `to` is the owner's context now. */
bool bpc_owner_hold_claims(struct bp_owner *owner, enum bpc_hold_step step, struct bp_context *to);
void bpc_unclaim(struct bpc_claim *claim);
/* Whose it is; NULL: nobody's, or not any more. [any]; the answer stays true on the main thread */
struct bp_owner *bpc_claim_owner(struct bpc_claim *claim);

/* Withdraws every claim, newest first: from here on no callback begins. */
void bpc_owner_withdraw(struct bp_owner *owner);
/* Around a callback into an owner's state, so that the state waits for its end. The owner may be
 * freed as soon as the last one has left. [any] */
static inline void bpc_owner_enter(struct bp_owner *owner)
{
    __atomic_fetch_add(&owner->calls, 2, __ATOMIC_SEQ_CST);
}
void bpc_owner_leave(struct bp_owner *owner);
/* Are callbacks under way? When there are, the end of the last one calls bpc_owner_idle_hook. */
bool bpc_owner_busy(struct bp_owner *owner);
void bpc_owner_tell_idle(void); /* calls bpc_owner_idle_hook; [any] */
extern void (*bpc_owner_idle_hook)(void); /* [any]; atomic */

#endif
