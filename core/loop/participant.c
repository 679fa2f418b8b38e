/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Participants: owners that can be drained and moved to another context while they work, with those that
 * follow them.
 *
 * All of this is a continuation on the main thread; nothing waits. First (begun) the participant takes
 * nothing new up and ends what is under way, with its timers, watches and deferred calls still served,
 * because that may need them. When it and all its followers say that they are not busy and have no coroutine
 * left, those are held: they forget nothing and call nobody. It is drained when none of them runs any more
 * and its followers are drained. Each end of a held callback, of a coroutine, and each bp_participant_idle()
 * makes us look again.
 */
#include "participant.h"

#include <errno.h>

#include "loop.h"
#include "marks.h"

#define DEPTH 1000 /* of followers of followers: they are called one inside the other */

struct bp_participant *bpc_participants;
static unsigned round_number;

#define HAS(p, OP) ((p)->ops && (p)->ops->OP)
#define FOR_EACH_FOLLOWER(f, p) for (struct bp_participant *f = (p)->first; f; f = f->sibling)

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

static void tell_move(struct bp_participant *p, int ret)
{
    struct bpc_drain_waiting move = p->move;

    p->move = (struct bpc_drain_waiting){.done = NULL};
    if (move.done)
        move.done(move.opaque, ret);
}

static void tell_waiting(struct bp_participant *p, int ret)
{
    struct bpc_drain_waiting *list = p->waiting, *next;

    p->waiting = NULL;
    for (; list; list = next) {
        next = list->next;
        if (list->done)
            list->done(list->opaque, ret);
        g_free(list);
    }
}

/* ---- going on, in another context if one was asked for ---- */

/* Is it, with those that move with it, drained by nobody else; and `to` by nobody? */
static bool may_move(struct bp_participant *p, unsigned drains)
{
    if (p->drains != drains)
        return false;
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led && f->moves && !may_move(f, 1))
            return false;
    }
    return true;
}

/* All of them first, so that nobody is called while others are still where they were. */
static void put_into(struct bp_participant *p, struct bp_context *to)
{
    count(&p->home, bpc_context_choose(NULL, to));
    (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_MOVE, to);
    p->moving = true;
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led && f->moves)
            put_into(f, to);
    }
}

static struct bp_participant *one_to_tell(struct bp_participant *p)
{
    FOR_EACH_FOLLOWER(f, p) {
        if (f->moving)
            return f;
    }
    return NULL;
}

static void tell_moved(struct bp_participant *p, struct bp_context *to)
{
    struct bp_participant *f;

    p->moving = false;
    if (HAS(p, moved)) {
        struct bpc_hold hold = bpc_owner_hold(p->owner);

        p->ops->moved(p->opaque, to);
        bpc_owner_let_go(p->owner, hold);
    }
    while ((f = one_to_tell(p)) != NULL)
        tell_moved(f, to);
}

static struct bp_participant *one_that_is_led(struct bp_participant *p)
{
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led)
            return f;
    }
    return NULL;
}

static void release_followers(struct bp_participant *p)
{
    struct bp_participant *f;

    while ((f = one_that_is_led(p)) != NULL) {
        f->led = false;
        bpc_participant_let_go(f);
    }
}

static void go_on(struct bp_participant *p)
{
    struct bp_context *to = p->to;

    if (to) {
        put_into(p, to);
        tell_moved(p, to);
    }
    count(&p->to, NULL);
    p->begun = p->holding = p->drained = false;
    release_followers(p); /* what it uses goes on before it */
    (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_RESUME, NULL);
    if (HAS(p, drain_end))
        call(p, p->ops->drain_end);
    tell_waiting(p, -ECANCELED); /* the drain ended before it was complete */
    if (to)
        tell_move(p, 0); /* last: it may free p */
}

/* ---- draining ---- */

static bool group_is_idle(struct bp_participant *p)
{
    if (p->drained)
        return true;
    if (bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL) || is_busy(p))
        return false;
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led && !group_is_idle(f))
            return false;
    }
    return true;
}

/* Served again, but for those that others keep drained. */
static void serve_again(struct bp_participant *p)
{
    if (p->holding) {
        p->holding = p->drained = false;
        (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_RESUME, NULL);
        (void)bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL); /* they tell of their end */
    }
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led && (f->drains == 1 || !f->drained))
            serve_again(f);
    }
}

/* A last callback took something up, which may need all of them to end. */
static void again(struct bp_participant *p)
{
    while (p->led && p->leader->holding)
        p = p->leader;
    serve_again(p);
}

static void step(struct bp_participant *p)
{
    if (p->drained || (p->led && !p->leader->holding))
        return;
    if (!p->holding) {
        if (!group_is_idle(p))
            return;
        p->holding = true;
    }
    if (bpc_owner_hold_claims(p->owner, BPC_HOLD_BEGIN, NULL)) {
        if (bpc_owner_hold_claims(p->owner, BPC_HOLD_ASK, NULL))
            again(p);
        return; /* a callback runs */
    }
    if (is_busy(p)) {
        again(p);
        return;
    }
    FOR_EACH_FOLLOWER(f, p) {
        if (f->led && !f->drained) {
            step(f);
            if (!p->holding)
                return;
            if (!f->drained)
                return;
            if (f->waiting)
                bpc_drain_look();
        }
    }
    p->drained = true;
}

/* Drained: who waited is told, or it goes on. */
static void conclude(struct bp_participant *p)
{
    if (p->drains > 0)
        tell_waiting(p, 0);
    else if (!p->to || (p->to->drains == 0 && may_move(p, 0)))
        go_on(p);
}

static void look(void *opaque)
{
    unsigned round = ++round_number;
    struct bp_participant *p;

    (void)opaque;
    do { /* what they call may change the list */
        for (p = bpc_participants; p && (!p->begun || p->looked == round); p = p->all_next)
            ;
        if (p) {
            p->looked = round;
            step(p);
            if (p->drained)
                conclude(p);
        }
    } while (p);
    bpc_drains_look();
}

void bpc_drain_look(void)
{
    bp_defer(NULL, look, NULL);
}

static void lead(struct bp_participant *f);

static void begin(struct bp_participant *p)
{
    if (p->begun)
        return;
    p->begun = true;
    if (HAS(p, drain_begin))
        call(p, p->ops->drain_begin);
    FOR_EACH_FOLLOWER(f, p)
        lead(f);
}

static void lead(struct bp_participant *f)
{
    if (f->led)
        return;
    f->led = true;
    f->drains++;
    begin(f);
}

int bpc_participant_keep(struct bp_participant *p)
{
    if (p->gone)
        return -ENODEV;
    p->drains++;
    begin(p);
    bpc_drain_look();
    return 0;
}

void bpc_participant_let_go(struct bp_participant *p)
{
    if (p->gone)
        return;
    if (--p->drains > 0 || p->to)
        bpc_drain_look(); /* a move, its own or with its leader, goes on */
    else
        go_on(p);
}

void bpc_participant_try(struct bp_participant *p)
{
    if (p->begun)
        step(p);
}

/* ---- following ---- */

static void unfollow(struct bp_participant *p)
{
    struct bp_participant **link = &p->leader->first;

    while (*link != p)
        link = &(*link)->sibling;
    *link = p->sibling;
    p->leader = p->sibling = NULL;
    if (p->led) {
        p->led = false;
        bpc_participant_let_go(p);
    }
}

static unsigned height(const struct bp_participant *p)
{
    unsigned most = 0;

    FOR_EACH_FOLLOWER(f, p) {
        unsigned above = 1 + height(f); /* once: MAX() would ask twice, and so on at each step */

        most = MAX(most, above);
    }
    return most;
}

int bp_participant_follow(struct bp_participant *p, struct bp_participant *leader, bool moves,
                          struct bp_error *err)
{
    bpc_assert_main();
    unsigned depth = leader ? 1 + height(p) : 0;

    if (leader && (p->gone || leader->gone))
        return bp_fail(err, ENODEV, "It is on its way out: it cannot follow or be followed");
    for (struct bp_participant *l = leader; l; l = l->leader, depth++) {
        if (l == p)
            return bp_fail(err, ELOOP, "It would follow itself");
    }
    if (depth > DEPTH)
        return bp_fail(err, ELOOP, "More than %u would follow one another", DEPTH);
    if (p->leader)
        unfollow(p);
    if (!leader)
        return 0;
    p->leader = leader;
    p->moves = moves;
    p->sibling = leader->first;
    leader->first = p;
    if (leader->begun) {
        lead(p);
        bpc_participant_try(p);
        leader->drained = leader->drained && p->drained; /* its own is to be waited for now */
        bpc_drain_look();
    }
    return 0;
}

/* ---- making and going ---- */

/* Its owner leaves, which stops everything in its own way. */
static void withdraw(struct bpc_claim *claim)
{
    struct bp_participant *p = (struct bp_participant *)claim;

    if (p->gone)
        return;
    p->gone = true;
    p->begun = p->holding = p->drained = false;
    if (p->leader)
        unfollow(p);
    while (p->first)
        unfollow(p->first);
    count(&p->to, NULL);
    count(&p->home, NULL);
    bpc_drains_forget(p);
    tell_waiting(p, -ECANCELED);
    tell_move(p, -ECANCELED);
    bpc_drain_look(); /* others may have waited for it */
}

static void release(struct bpc_claim *claim)
{
    struct bp_participant *p = (struct bp_participant *)claim;

    withdraw(claim);
    p->owner->participant = NULL;
    *p->all_link = p->all_next;
    if (p->all_next)
        p->all_next->all_link = p->all_link;
    g_free(p);
}

struct bp_participant *bpc_participant_of(struct bp_owner *owner)
{
    struct bp_participant *p = owner->participant;

    if (p)
        return p;
    p = owner->participant = g_new0(struct bp_participant, 1);
    p->owner = owner;
    p->all_next = bpc_participants;
    p->all_link = &bpc_participants;
    if (p->all_next)
        p->all_next->all_link = &p->all_next;
    bpc_participants = p;
    bpc_claim(owner, &p->claim, release);
    p->claim.withdraw = withdraw;
    return p;
}

struct bp_participant *bp_participant_new(struct bp_owner *owner, const struct bp_participant_ops *ops,
                                          void *opaque)
{
    bpc_assert_main();
    struct bp_participant *p = bpc_participant_of(owner);

    p->ops = ops;
    p->opaque = opaque;
    if (p->begun && HAS(p, drain_begin))
        call(p, ops->drain_begin); /* its end will come */
    return p;
}

struct bp_participant *bp_participant_of(struct bp_owner *owner)
{
    bpc_assert_main();
    return bpc_participant_of(owner);
}

/* ---- what others ask for ---- */

int bp_participant_drain_begin(struct bp_participant *p, void (*done)(void *opaque, int ret), void *opaque,
                               struct bp_error *err)
{
    bpc_assert_main();
    struct bpc_drain_waiting *waiting;

    if (p->gone)
        return bp_fail(err, ENODEV, "It is on its way out: it cannot be drained");
    waiting = g_new0(struct bpc_drain_waiting, 1);
    *waiting = (struct bpc_drain_waiting){p->waiting, done, opaque};
    p->waiting = waiting; /* done() is called from the loop, even when it is drained already */
    return bpc_participant_keep(p);
}

void bp_participant_drain_end(struct bp_participant *p)
{
    bpc_assert_main();
    bpc_participant_let_go(p);
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
    p->move = (struct bpc_drain_waiting){.done = done, .opaque = opaque};
    begin(p);
    bpc_drain_look();
    return 0;
}

void bp_participant_idle(struct bp_participant *p)
{
    (void)p;
    bpc_drain_look();
}

void bpc_owner_put_into(struct bp_owner *owner, struct bp_context *ctx)
{
    struct bp_participant *p;

    if (ctx || owner->participant) {
        p = bpc_participant_of(owner);
        count(&p->home, bpc_context_choose(NULL, ctx));
    }
    __atomic_store_n(&owner->context, ctx, __ATOMIC_RELEASE);
    if (owner->participant)
        bpc_drains_arrive(owner->participant);
}
