/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owners that are no objects, those that follow others, and draining all that lives in a context. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/coroutine.h>
#include <bp/loop.h>

#include "loop.h"
#include "owner.h"
#include "quiet.h"
#include "waiting.h"

/* A node of some framework: an owner with a timer and a deferred call. */
struct node {
    struct bp_owner *owner;
    struct bp_participant *part;
    struct bp_timer *timer;
    struct bp_deferred *bell;
    struct bp_context *seen; /* atomic: where it was called last */
    unsigned rung, fired;    /* atomic */
    bool busy, held;         /* atomic */
    bool ends_busy;          /* the bell ends what is in flight */
    unsigned begins, ends, moves, wrong;
    struct node *other; /* what it is compared with */
    unsigned other_when_moved;
};

static void on_bell(void *opaque)
{
    struct node *n = opaque;

    if (__atomic_load_n(&n->held, __ATOMIC_SEQ_CST))
        __atomic_add_fetch(&n->wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&n->seen, bp_context_current(), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&n->rung, 1, __ATOMIC_SEQ_CST);
    if (n->ends_busy) {
        __atomic_store_n(&n->other->busy, false, __ATOMIC_SEQ_CST);
        bp_participant_idle(n->other->part);
    }
}

static void on_timer(void *opaque)
{
    struct node *n = opaque;

    if (__atomic_load_n(&n->held, __ATOMIC_SEQ_CST))
        __atomic_add_fetch(&n->wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&n->fired, 1, __ATOMIC_SEQ_CST);
    bp_timer_set(n->timer, bp_timer_now(n->timer) + 20000);
}

static void drain_begin(void *opaque)
{
    ((struct node *)opaque)->begins++;
}

static void drain_end(void *opaque)
{
    ((struct node *)opaque)->ends++;
}

static bool is_busy(void *opaque)
{
    return __atomic_load_n(&((struct node *)opaque)->busy, __ATOMIC_SEQ_CST);
}

static void moved(void *opaque, struct bp_context *ctx)
{
    struct node *n = opaque;

    g_assert_true(bp_owner_context(n->owner) == ctx);
    n->moves++;
    if (n->other)
        n->other_when_moved = n->other->ends;
}

static const struct bp_participant_ops ops = {
    .size = sizeof(ops), .drain_begin = drain_begin, .busy = is_busy, .drain_end = drain_end,
    .moved = moved,
};

static void node_init_of(struct node *n, struct bp_owner *of, unsigned flags, struct bp_context *ctx)
{
    *n = (struct node){.owner = bp_owner_new(of, "node", "n0", flags)};
    if (ctx)
        bp_owner_set_context(n->owner, ctx);
    n->part = bp_participant_new(n->owner, &ops, n);
    n->timer = bp_timer_new(n->owner, NULL, BP_CLOCK_REALTIME, on_timer, n);
    n->bell = bp_deferred_new(n->owner, NULL, on_bell, n);
}

static void node_init(struct node *n, struct bp_context *ctx)
{
    node_init_of(n, NULL, 0, ctx);
}

static struct bp_context *context(const char *name)
{
    struct bp_context *ctx;

    g_assert_cmpint(bp_context_new(NULL, name, &ctx, NULL), ==, 0);
    return ctx;
}

/* Rings, and waits for the answer. */
static void ring(struct node *n)
{
    unsigned before = __atomic_load_n(&n->rung, __ATOMIC_SEQ_CST);

    bp_deferred_schedule(n->bell);
    while (__atomic_load_n(&n->rung, __ATOMIC_SEQ_CST) == before)
        turns(1);
}

struct outcome {
    bool told;
    int ret;
};

static void note(void *opaque, int ret)
{
    struct outcome *o = opaque;

    g_assert_false(o->told);
    o->ret = ret;
    o->told = true;
}

/* ---- owners ---- */

static void owner_that_is_no_object_lives_in_a_context_and_moves(void)
{
    struct bp_context *a = context("a"), *b = context("b");
    struct outcome gone = {.told = false};
    struct node n;

    node_init(&n, a);
    g_assert_true(bp_owner_context(n.owner) == a);
    ring(&n);
    g_assert_true(n.seen == a);
    g_assert_cmpuint(bp_context_users(a), ==, 3); /* timer, deferred call, participant */
    g_assert_cmpint(bp_participant_move(n.part, b, note, &gone, NULL), ==, 0);
    until_true(&gone.told);
    g_assert_cmpint(gone.ret, ==, 0);
    g_assert_cmpuint(n.moves, ==, 1);
    g_assert_cmpuint(bp_context_users(a), ==, 0);
    bp_context_free(a);
    ring(&n);
    g_assert_true(n.seen == b);
    bp_owner_free(n.owner);
    g_assert_cmpuint(bp_context_users(b), ==, 0);
    bp_context_free(b);
}

static void owner_with_a_lock_is_called_under_it(void)
{
    struct bp_context *a = context("a");
    struct node n;

    node_init_of(&n, NULL, BP_OWNER_LOCK, a);
    bp_owner_lock(n.owner);
    bp_deferred_schedule(n.bell);
    g_usleep(20000);
    g_assert_cmpuint(__atomic_load_n(&n.rung, __ATOMIC_SEQ_CST), ==, 0);
    bp_owner_unlock(n.owner);
    while (__atomic_load_n(&n.rung, __ATOMIC_SEQ_CST) == 0)
        turns(1);
    bp_owner_free(n.owner);
    bp_context_free(a);
}

static void owner_freed_in_a_coroutine_waits_and_the_loop_goes_on(void)
{
    struct bp_context *a = context("a");
    struct slow slow = {.runs = false};
    struct freeing f = {bp_owner_new(NULL, "node", NULL, 0), &slow, false};
    struct bp_co *co;

    bp_deferred_schedule(bp_deferred_new(f.owner, a, run_until_told, &slow));
    until_true(&slow.runs);
    g_assert_cmpint(bp_co_new(NULL, NULL, "free", free_owner, &f, &co, NULL), ==, 0);
    bp_co_enter(co);
    turns(20);
    g_assert_false(f.freed);
    __atomic_store_n(&slow.end, true, __ATOMIC_SEQ_CST);
    until_true(&f.freed);
    bp_co_unref(co);
    while (bp_context_users(a) > 0)
        turns(1);
    bp_context_free(a);
}

static void owner_of_another_leaves_with_it(void)
{
    struct bp_context *a = context("a");
    struct outcome drained = {.told = false};
    struct slow slow = {.runs = false, .end = true};
    struct bp_error err = {0};
    struct bp_owner device;
    struct node n;

    bpc_owner_init(&device);
    node_init_of(&n, &device, 0, a);
    n.busy = true;
    bp_timer_set(n.timer, 0);
    bp_deferred_schedule(bp_deferred_new(n.owner, NULL, run_until_told, &slow));
    until_true(&slow.ended);
    g_assert_cmpint(bp_participant_drain_begin(bp_participant_of(&device), note, &drained, NULL), ==, 0);
    turns(5);
    g_assert_false(drained.told); /* it waits for the queue's request */
    bpc_owner_withdraw(&device);
    g_assert_true(drained.told);
    g_assert_cmpint(drained.ret, ==, -ECANCELED);
    g_assert_cmpint(bp_participant_drain_begin(n.part, note, &drained, &err), ==, -ENODEV);
    bpc_owner_quiet(&device);
    n.held = true; /* nobody calls it any more */
    g_usleep(2000);
    bpc_owner_release(&device);
    g_assert_cmpuint(n.wrong, ==, 0);
    g_assert_cmpuint(n.ends, ==, 0);
    g_assert_cmpuint(bp_context_users(a), ==, 0);
    bp_context_free(a);
}

static void owner_of_another_may_be_freed_before_it(void)
{
    struct bp_owner device;
    struct node n;

    bpc_owner_init(&device);
    node_init_of(&n, &device, BP_OWNER_MOVES, NULL);
    bp_owner_free(n.owner);
    bpc_owner_withdraw(&device);
    g_assert_false(bpc_owner_busy(&device));
    bpc_owner_release(&device);
}

/* ---- following ---- */

static void follower_is_drained_with_its_leader_which_may_need_it(void)
{
    struct bp_context *a = context("a"), *b = context("b");
    struct outcome drained = {.told = false};
    struct node device, queue;

    node_init(&device, a);
    node_init(&queue, b);
    g_assert_cmpint(bp_participant_follow(queue.part, device.part, false, NULL), ==, 0);
    device.busy = true; /* with a request, which the queue's bell ends */
    queue.ends_busy = true;
    queue.other = &device;
    g_assert_cmpint(bp_participant_drain_begin(device.part, note, &drained, NULL), ==, 0);
    g_assert_cmpuint(queue.begins, ==, 1);
    turns(20);
    g_assert_false(drained.told);
    ring(&queue); /* it is served */
    until_true(&drained.told);
    g_assert_cmpint(drained.ret, ==, 0);
    device.held = queue.held = true;
    bp_deferred_schedule(queue.bell);
    bp_deferred_schedule(device.bell);
    turns(20);
    g_assert_cmpuint(queue.rung, ==, 1);
    device.held = queue.held = false;
    bp_participant_drain_end(device.part);
    while (!__atomic_load_n(&device.rung, __ATOMIC_SEQ_CST) ||
           __atomic_load_n(&queue.rung, __ATOMIC_SEQ_CST) < 2)
        turns(1);
    g_assert_cmpuint(queue.ends, ==, 1);
    g_assert_cmpuint(queue.wrong + device.wrong, ==, 0);
    bp_owner_free(device.owner);
    bp_owner_free(queue.owner);
    bp_context_free(a);
    bp_context_free(b);
}

static void followers_move_in_one_step(void)
{
    struct bp_context *a = context("a"), *b = context("b");
    struct outcome gone = {.told = false};
    struct node device, node[3], elsewhere;

    node_init(&device, a);
    node_init(&elsewhere, a);
    g_assert_cmpint(bp_participant_follow(elsewhere.part, device.part, false, NULL), ==, 0);
    for (int i = 0; i < 3; i++) { /* a chain of nodes */
        node_init(&node[i], a);
        g_assert_cmpint(bp_participant_follow(node[i].part, i ? node[i - 1].part : device.part, true, NULL),
                        ==, 0);
        node[i].other = i ? &device : &node[2];
    }
    g_assert_cmpint(bp_participant_move(device.part, b, note, &gone, NULL), ==, 0);
    until_true(&gone.told);
    g_assert_cmpint(gone.ret, ==, 0);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpuint(node[i].moves, ==, 1);
        g_assert_cmpuint(node[i].other_when_moved, ==, 0); /* nobody went on before */
        ring(&node[i]);
        g_assert_true(node[i].seen == b);
    }
    ring(&elsewhere);
    g_assert_true(elsewhere.seen == a);
    g_assert_cmpuint(elsewhere.moves, ==, 0);
    g_assert_cmpuint(elsewhere.ends, ==, 1);
    bp_owner_free(elsewhere.owner);
    bp_context_free(a); /* nothing is left there */
    for (int i = 0; i < 3; i++)
        bp_owner_free(node[i].owner);
    bp_owner_free(device.owner);
    bp_context_free(b);
}

static void follower_kept_by_another_delays_the_move(void)
{
    struct bp_context *a = context("a");
    struct outcome drained = {.told = false}, gone = {.told = false};
    struct node device, node;

    node_init(&device, NULL);
    node_init(&node, NULL);
    g_assert_cmpint(bp_participant_follow(node.part, device.part, true, NULL), ==, 0);
    g_assert_cmpint(bp_participant_drain_begin(node.part, note, &drained, NULL), ==, 0);
    until_true(&drained.told);
    g_assert_cmpuint(device.begins, ==, 0); /* who follows does not lead */
    g_assert_cmpint(bp_participant_move(device.part, a, note, &gone, NULL), ==, 0);
    turns(20);
    g_assert_false(gone.told);
    g_assert_cmpuint(device.moves + node.moves, ==, 0);
    bp_participant_drain_end(node.part);
    until_true(&gone.told);
    g_assert_cmpuint(device.moves, ==, 1);
    g_assert_cmpuint(node.moves, ==, 1);
    g_assert_cmpuint(node.ends, ==, 1);
    bp_owner_free(node.owner);
    bp_owner_free(device.owner);
    bp_context_free(a);
}

static void follower_gained_and_lost_during_a_drain(void)
{
    struct outcome drained = {.told = false}, both = {.told = false};
    struct node device, node;

    node_init(&device, NULL);
    node_init(&node, NULL);
    g_assert_cmpint(bp_participant_drain_begin(device.part, note, &drained, NULL), ==, 0);
    until_true(&drained.told);
    node.busy = true;
    g_assert_cmpint(bp_participant_follow(node.part, device.part, true, NULL), ==, 0);
    g_assert_cmpuint(node.begins, ==, 1);
    g_assert_cmpint(bp_participant_drain_begin(device.part, note, &both, NULL), ==, 0);
    turns(20);
    g_assert_false(both.told); /* not before the new one is drained too */
    node.busy = false;
    bp_participant_idle(node.part);
    until_true(&both.told);
    g_assert_cmpint(both.ret, ==, 0);
    g_assert_cmpint(bp_participant_follow(node.part, NULL, false, NULL), ==, 0);
    g_assert_cmpuint(node.ends, ==, 1);
    ring(&node);
    bp_participant_drain_end(device.part);
    bp_participant_drain_end(device.part);
    g_assert_cmpuint(device.ends, ==, 1);
    bp_owner_free(device.owner);
    bp_owner_free(node.owner);
}

static void following_in_a_circle_is_refused(void)
{
    struct bp_error err = {0};
    struct node a, b;

    node_init(&a, NULL);
    node_init(&b, NULL);
    g_assert_cmpint(bp_participant_follow(a.part, b.part, true, NULL), ==, 0);
    g_assert_cmpint(bp_participant_follow(b.part, a.part, true, &err), ==, -ELOOP);
    err = (struct bp_error){0};
    g_assert_cmpint(bp_participant_follow(a.part, a.part, true, &err), ==, -ELOOP);
    bp_owner_free(b.owner); /* whom it still follows */
    ring(&a);
    bp_owner_free(a.owner);
}

/* The bound counts all that would follow one another, above and below. */
#define MANY 1100u
static void long_chains_are_refused_at_their_bound(void)
{
    struct bp_owner *owner[MANY];
    struct bp_participant *part[MANY];
    struct bp_error err = {0};
    unsigned most = 0;

    for (unsigned i = 0; i < MANY; i++) {
        owner[i] = bp_owner_new(NULL, "link", NULL, 0);
        part[i] = bp_participant_new(owner[i], NULL, NULL);
    }
    while (most < MANY - 2 && bp_participant_follow(part[most + 1], part[most], true, &err) == 0)
        most++;
    g_assert_cmpint(err.code, ==, ELOOP);
    g_assert_nonnull(strstr(err.message, "More than"));
    g_assert_cmpuint(strtoul(strstr(err.message, "More than") + 10, NULL, 10), ==, most + 1);
    /* The same chain, begun from its end. */
    for (unsigned i = 1; i <= most; i++)
        g_assert_cmpint(bp_participant_follow(part[i], NULL, true, NULL), ==, 0);
    for (unsigned i = most; i >= 1; i--)
        g_assert_cmpint(bp_participant_follow(part[i], part[i - 1], true, NULL), ==, 0);
    g_assert_cmpint(bp_participant_follow(part[0], part[MANY - 1], true, NULL), ==, -ELOOP);
    for (unsigned i = 0; i < MANY; i++)
        bp_owner_free(owner[i]);
}

struct ringer {
    struct node *a, *b;
    bool stop;
};

static void *ring_both(void *opaque)
{
    struct ringer *r = opaque;

    for (unsigned i = 0; !__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST); i++) {
        bp_deferred_schedule(r->a->bell);
        bp_deferred_schedule(r->b->bell);
        if (i % 8 == 0)
            g_usleep(10);
    }
    return NULL;
}

static void leader_and_follower_under_load_move_and_drain(void)
{
    struct bp_context *ctx[2] = {context("a"), context("b")};
    struct node device, node;
    struct ringer ringer = {&device, &node, false};
    pthread_t thread;

    node_init(&device, ctx[0]);
    node_init(&node, ctx[0]);
    g_assert_cmpint(bp_participant_follow(node.part, device.part, true, NULL), ==, 0);
    bp_timer_set(device.timer, 0);
    bp_timer_set(node.timer, 0);
    pthread_create(&thread, NULL, ring_both, &ringer);
    for (unsigned i = 1; i <= 300; i++) {
        struct outcome drained = {.told = false}, gone = {.told = false};

        if (i % 3 == 0) {
            g_assert_cmpint(bp_participant_drain_begin(device.part, note, &drained, NULL), ==, 0);
            until_true(&drained.told);
            __atomic_store_n(&device.held, true, __ATOMIC_SEQ_CST);
            __atomic_store_n(&node.held, true, __ATOMIC_SEQ_CST);
            g_usleep(50);
            device.held = node.held = false;
            bp_participant_drain_end(device.part);
            continue;
        }
        g_assert_cmpint(bp_participant_move(device.part, ctx[i % 2], note, &gone, NULL), ==, 0);
        until_true(&gone.told);
    }
    __atomic_store_n(&ringer.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    ring(&device);
    ring(&node);
    g_assert_true(device.seen == node.seen);
    g_assert_cmpuint(device.wrong + node.wrong, ==, 0);
    g_assert_cmpuint(device.begins, ==, device.ends);
    g_assert_cmpuint(node.begins, ==, node.ends);
    bp_owner_free(device.owner);
    bp_owner_free(node.owner);
    for (int i = 0; i < 2; i++)
        bp_context_free(ctx[i]);
}

/* ---- contexts ---- */

static void sleeper(void *opaque)
{
    bp_co_yield();
    *(bool *)opaque = true;
}

static void context_is_drained_with_all_that_lives_there(void)
{
    struct bp_context *a = context("a"), *b = context("b");
    struct outcome drained = {.told = false}, gone = {.told = false};
    struct node in, guest, out, late;
    struct bp_owner *other = bp_owner_new(NULL, "other", NULL, 0);
    struct bp_timer *named;
    struct bp_co *co;
    bool ended = false;

    node_init(&in, a);
    node_init(&out, b);
    node_init(&guest, NULL); /* lives elsewhere, but for a timer */
    bp_timer_free(guest.timer);
    guest.timer = named = bp_timer_new(guest.owner, a, BP_CLOCK_REALTIME, on_timer, &guest);
    g_assert_cmpint(bp_co_new(other, a, "sleeper", sleeper, &ended, &co, NULL), ==, 0);
    bp_co_enter(co);
    bp_timer_set(in.timer, 0);
    bp_timer_set(named, 0);
    turns(5);
    bp_context_drain_begin(a, note, &drained);
    turns(20);
    g_assert_false(drained.told); /* the coroutine */
    while (!__atomic_load_n(&drained.told, __ATOMIC_SEQ_CST)) {
        bp_co_wake(co); /* on a busy computer it has not even begun */
        turns(1);
    }
    g_assert_true(ended);
    g_assert_cmpint(drained.ret, ==, 0);
    in.held = guest.held = true;
    bp_deferred_schedule(in.bell);
    ring(&out); /* nobody else is held */

    node_init(&late, a); /* comes meanwhile */
    late.held = true;
    bp_timer_set(late.timer, 0);
    bp_deferred_schedule(late.bell);
    g_assert_cmpint(bp_participant_move(out.part, a, note, &gone, NULL), ==, 0);
    turns(20);
    g_assert_false(gone.told);
    g_assert_cmpuint(out.moves + in.wrong + guest.wrong + late.wrong, ==, 0);
    g_assert_cmpuint(late.begins, ==, 1);

    in.held = guest.held = late.held = false;
    bp_context_drain_end(a);
    until_true(&gone.told);
    ring(&in);
    ring(&late);
    ring(&guest);
    ring(&out);
    g_assert_true(out.seen == a && late.seen == a);
    g_assert_cmpuint(in.wrong + guest.wrong + late.wrong, ==, 0);
    bp_co_unref(co);
    bp_owner_free(other);
    bp_owner_free(in.owner);
    bp_owner_free(guest.owner);
    bp_owner_free(out.owner);
    bp_owner_free(late.owner);
    bp_context_free(a);
    bp_context_free(b);
}

static void drains_of_a_context_nest_and_end_early(void)
{
    struct bp_context *a = context("a");
    struct outcome first = {.told = false}, second = {.told = false}, empty = {.told = false};
    struct node n;

    bp_context_drain_begin(a, note, &empty);
    until_true(&empty.told); /* nothing lives there */
    bp_context_drain_end(a);
    g_assert_cmpuint(bp_context_users(a), ==, 0);
    node_init(&n, a);
    n.busy = true;
    bp_context_drain_begin(a, note, &first);
    bp_context_drain_begin(a, note, &second);
    turns(5);
    bp_context_drain_end(a);
    turns(5);
    g_assert_false(first.told || second.told);
    g_assert_cmpuint(n.ends, ==, 0);
    bp_context_drain_end(a);
    g_assert_true(first.told && second.told);
    g_assert_cmpint(first.ret, ==, -ECANCELED);
    g_assert_cmpuint(n.ends, ==, 1);
    bp_owner_free(n.owner);
    bp_context_free(a);
}

static void who_leaves_a_context_being_drained_is_not_waited_for(void)
{
    struct bp_context *a = context("a");
    struct outcome drained = {.told = false};
    struct node n;

    node_init(&n, a);
    n.busy = true;
    bp_context_drain_begin(a, note, &drained);
    turns(5);
    g_assert_false(drained.told);
    bp_owner_free(n.owner);
    until_true(&drained.told);
    g_assert_cmpint(drained.ret, ==, 0);
    bp_context_drain_end(a);
    g_assert_cmpuint(n.ends, ==, 0);
    bp_context_free(a);
}

struct draining {
    struct node *node;
    struct bp_context *ctx;
    unsigned step;
};

static void drain_both(void *opaque)
{
    struct draining *d = opaque;

    g_assert_cmpint(bp_participant_drain(d->node->part, NULL), ==, 0);
    g_assert_false(d->node->busy);
    d->step = 1;
    bp_context_drain(d->ctx);
    d->step = 2;
    bp_context_drain_end(d->ctx);
    bp_participant_drain_end(d->node->part);
    d->step = 3;
}

static void coroutine_waits_for_a_drain(void)
{
    struct bp_context *a = context("a");
    struct draining d = {.ctx = a};
    struct bp_co *co;
    struct node n;

    node_init(&n, a);
    n.busy = true;
    d.node = &n;
    g_assert_cmpint(bp_co_new(NULL, NULL, "drain", drain_both, &d, &co, NULL), ==, 0);
    bp_co_enter(co);
    bp_co_cancel(co); /* it waits all the same: the end has to be told to somebody */
    turns(10);
    g_assert_cmpuint(d.step, ==, 0);
    n.busy = false;
    bp_participant_idle(n.part);
    while (d.step < 3)
        turns(1);
    bp_co_unref(co);
    bp_owner_free(n.owner);
    bp_context_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
#define CASE(FN) g_test_add_func("/drain/" #FN, FN)
    CASE(owner_that_is_no_object_lives_in_a_context_and_moves);
    CASE(owner_with_a_lock_is_called_under_it);
    CASE(owner_freed_in_a_coroutine_waits_and_the_loop_goes_on);
    CASE(owner_of_another_leaves_with_it);
    CASE(owner_of_another_may_be_freed_before_it);
    CASE(follower_is_drained_with_its_leader_which_may_need_it);
    CASE(followers_move_in_one_step);
    CASE(follower_kept_by_another_delays_the_move);
    CASE(follower_gained_and_lost_during_a_drain);
    CASE(following_in_a_circle_is_refused);
    CASE(long_chains_are_refused_at_their_bound);
    CASE(leader_and_follower_under_load_move_and_drain);
    CASE(context_is_drained_with_all_that_lives_there);
    CASE(drains_of_a_context_nest_and_end_early);
    CASE(who_leaves_a_context_being_drained_is_not_waited_for);
    CASE(coroutine_waits_for_a_drain);
    return g_test_run();
}
