/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Participants: owners that can be drained and moved to another context while they work.
 *
 * All of this is a continuation on the main thread; nothing waits. First (begun) the participant takes
 * nothing new up and ends what is under way, with its timers, watches and deferred calls still served,
 * because that may need them. When it says that it is not busy and has no coroutine left, those are held:
 * they forget nothing and call nobody. It is drained when none of them runs any more. Each end of a held
 * callback, of a coroutine, and each bp_participant_idle() makes us look again.
 */
#include <errno.h>

#include "context.h"
#include "loop.h"
#include "marks.h"

struct waiting {
    struct waiting *next;
    void (*done)(void *opaque, int ret);
    void *opaque;
};

struct bp_participant {
    struct bpc_claim claim; /* first */
    struct bp_owner *owner;
    const struct bp_participant_ops *ops; /* or NULL */
    void *opaque;
    bool gone, begun, holding, drained;
    unsigned drains;            /* that were asked for and have not ended */
    struct waiting *waiting;    /* for drained */
    struct bp_context *home;    /* counts as one that lives there; NULL: was never moved */
    struct bp_context *to;      /* counts there too; NULL: it is not to be moved */
    struct waiting move;
    struct bp_participant *next; /* in the list of those that have begun */
    unsigned looked;
};

static struct bp_participant *draining; /* [main], with the machine lock */
static unsigned round_number;

#define HAS(p, OP) ((p)->ops && (p)->ops->OP)

static void call(struct bp_participant *p, void (*fn)(void *opaque))
{
    struct bpc_hold hold = bpc_owner_hold(p->owner);

    fn(p->opaque);
    bpc_owner_let_go(p->owner, hold);
}

static bool is_busy(struct bp_participant *p)
{
    struct bpc_hold hold;
    bool busy;

    if (!HAS(p, busy))
        return false;
    hold = bpc_owner_hold(p->owner);
    busy = p->ops->busy(p->opaque);
    bpc_owner_let_go(p->owner, hold);
    return busy;
}

static void count(struct bp_context **at, struct bp_context *ctx)
{
    if (ctx)
        __atomic_fetch_add(&ctx->items, 1, __ATOMIC_RELAXED);
    if (*at)
        __atomic_fetch_sub(&(*at)->items, 1, __ATOMIC_RELEASE);
    *at = ctx;
}

static void unlink_draining(struct bp_participant *p)
{
    struct bp_participant **link = &draining;

    while (*link && *link != p)
        link = &(*link)->next;
    if (*link)
        *link = p->next;
    p->begun = p->holding = p->drained = false;
}

static void tell_move(struct bp_participant *p, int ret)
{
    struct waiting move = p->move;

    p->move = (struct waiting){.done = NULL};
    if (move.done)
        move.done(move.opaque, ret);
}

static void tell_waiting(struct bp_participant *p, int ret)
{
    struct waiting *list = p->waiting, *next;

    p->waiting = NULL;
    for (; list; list = next) {
        next = list->next;
        list->done(list->opaque, ret);
        g_free(list);
    }
}

/* It goes on, in another context if one was asked for. */
static void go_on(struct bp_participant *p)
{
    struct bp_context *to = p->to;

    count(&p->to, NULL);
    if (to)
        count(&p->home, bpc_context_choose(NULL, to));
    (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_RESUME, to);
    unlink_draining(p);
    if (to && HAS(p, moved)) {
        struct bpc_hold hold = bpc_owner_hold(p->owner);

        p->ops->moved(p->opaque, to);
        bpc_owner_let_go(p->owner, hold);
    }
    if (HAS(p, drain_end))
        call(p, p->ops->drain_end);
    tell_waiting(p, -ECANCELED); /* the drain ended before it was complete */
    if (to)
        tell_move(p, 0); /* last: it may free p */
}

static void step(struct bp_participant *p)
{
    if (p->drained)
        return;
    if (!p->holding) {
        if (bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL) || is_busy(p))
            return;
        p->holding = true;
    }
    if (bpc_owner_hold_claims(p->owner, BPC_HOLD_BEGIN, NULL)) {
        if (!bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL))
            return; /* a callback runs */
        goto again;
    }
    if (is_busy(p))
        goto again;
    p->drained = true;
    if (p->drains == 0)
        go_on(p);
    else
        tell_waiting(p, 0);
    return;
again: /* a last callback took something up, which may need the others to end */
    p->holding = false;
    (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_RESUME, NULL);
    (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL);
}

static void look(void *opaque)
{
    unsigned round = ++round_number;
    struct bp_participant *p;

    (void)opaque;
    do { /* what they call may change the list */
        for (p = draining; p && p->looked == round; p = p->next)
            ;
        if (p) {
            p->looked = round;
            step(p);
        }
    } while (p);
}

void bpc_drain_look(void)
{
    bp_defer(NULL, look, NULL);
}

static void begin(struct bp_participant *p)
{
    if (!p->begun) {
        p->begun = true;
        p->next = draining;
        draining = p;
        if (HAS(p, drain_begin))
            call(p, p->ops->drain_begin);
    }
    bpc_drain_look();
}

/* Its owner leaves, which stops everything in its own way. */
static void withdraw(struct bpc_claim *claim)
{
    struct bp_participant *p = (struct bp_participant *)claim;

    if (p->gone)
        return;
    p->gone = true;
    unlink_draining(p);
    count(&p->to, NULL);
    count(&p->home, NULL);
    tell_waiting(p, -ECANCELED);
    tell_move(p, -ECANCELED);
}

static void release(struct bpc_claim *claim)
{
    struct bp_participant *p = (struct bp_participant *)claim;

    withdraw(claim);
    p->owner->participant = NULL;
    g_free(p);
}

struct bp_participant *bp_participant_new(struct bp_owner *owner, const struct bp_participant_ops *ops,
                                          void *opaque)
{
    bpc_assert_main();
    struct bp_participant *p = owner->participant;

    if (!p) {
        p = owner->participant = g_new0(struct bp_participant, 1);
        p->owner = owner;
        bpc_claim(owner, &p->claim, release);
        p->claim.withdraw = withdraw;
    }
    p->ops = ops;
    p->opaque = opaque;
    return p;
}

int bp_participant_drain_begin(struct bp_participant *p, void (*done)(void *opaque, int ret), void *opaque,
                               struct bp_error *err)
{
    bpc_assert_main();
    struct waiting *waiting;

    if (p->gone)
        return bp_fail(err, ENODEV, "It is on its way out: it cannot be drained");
    waiting = g_new0(struct waiting, 1);
    *waiting = (struct waiting){p->waiting, done, opaque};
    p->waiting = waiting;
    p->drains++;
    if (p->drained)
        p->drained = false; /* done() is called from the loop all the same */
    begin(p);
    return 0;
}

void bp_participant_drain_end(struct bp_participant *p)
{
    bpc_assert_main();
    if (p->gone)
        return;
    if (--p->drains > 0)
        return;
    if (p->to && !p->drained)
        bpc_drain_look(); /* the move goes on draining */
    else
        go_on(p);
}

int bp_participant_move(struct bp_participant *p, struct bp_context *ctx, void (*done)(void *opaque, int ret),
                        void *opaque, struct bp_error *err)
{
    bpc_assert_main();
    if (p->gone)
        return bp_fail(err, ENODEV, "It is on its way out: it cannot be moved");
    ctx = ctx ? ctx : &bpc_main_context;
    count(&p->to, ctx);
    tell_move(p, -ECANCELED);
    p->move = (struct waiting){.done = done, .opaque = opaque};
    begin(p);
    return 0;
}

void bp_participant_idle(struct bp_participant *p)
{
    (void)p;
    bpc_drain_look();
}
