/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Draining what lives in a context: every owner whose context it is or that has something there, with
 * those that follow it. Whoever comes to live there meanwhile is drained as it arrives. Also drains as coroutine
 * operations.
 */
#include <assert.h>
#include <errno.h>

#include "coroutine.h"
#include "marks.h"
#include "participant.h"

/* One owner that is kept drained for a context. */
struct member {
    struct member *next;
    struct bp_context *ctx;
    struct bp_participant *p;
};

struct context_wait {
    struct context_wait *next;
    struct bp_context *ctx;
    void (*done)(void *opaque, int ret);
    void *opaque;
};

static struct member *members;
static struct context_wait *waits;

static bool is_member(const struct bp_context *ctx, const struct bp_participant *p)
{
    for (const struct member *m = members; m; m = m->next) {
        if (m->ctx == ctx && m->p == p)
            return true;
    }
    return false;
}

static void join(struct bp_context *ctx, struct bp_participant *p)
{
    struct member *m;

    if (p->gone || is_member(ctx, p))
        return;
    m = g_new0(struct member, 1);
    *m = (struct member){members, ctx, p};
    members = m;
    (void)bpc_participant_keep(p);
}

void bpc_drains_forget(struct bp_participant *p)
{
    struct member **link = &members, *m;

    while ((m = *link) != NULL) {
        if (m->p != p) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        g_free(m);
    }
}

static struct bp_context *context_of(const struct bp_participant *p)
{
    struct bp_context *ctx = __atomic_load_n(&p->owner->context, __ATOMIC_ACQUIRE);

    return ctx ? ctx : &bpc_main_context;
}

void bpc_drains_arrive(struct bp_participant *p)
{
    struct bp_context *ctx = context_of(p);

    if (ctx->drains == 0)
        return;
    join(ctx, p);
    bpc_participant_try(p);
}

static bool complete(const struct bp_context *ctx)
{
    for (const struct member *m = members; m; m = m->next) {
        if (m->ctx == ctx && !m->p->drained)
            return false;
    }
    return true;
}

/* Those who wait for a context (NULL: for any that is complete). */
static void tell(const struct bp_context *ctx, int ret)
{
    struct context_wait **link = &waits, *w;

    while ((w = *link) != NULL) {
        if (ctx ? w->ctx != ctx : !complete(w->ctx)) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        w->done(w->opaque, ret);
        g_free(w);
        link = &waits; /* it may have changed the list */
    }
}

void bpc_drains_look(void)
{
    tell(NULL, 0);
}

static void note_owner(struct bp_owner *owner, void *opaque)
{
    g_ptr_array_add(opaque, owner);
}

static bool exists(const struct bp_participant *p)
{
    const struct bp_participant *other = bpc_participants;

    while (other && other != p)
        other = other->all_next;
    return other != NULL;
}

static void gather(struct bp_context *ctx)
{
    GPtrArray *owners = g_ptr_array_new();

    for (struct bp_participant *p = bpc_participants; p; p = p->all_next) {
        if (!p->gone && context_of(p) == ctx)
            g_ptr_array_add(owners, p->owner);
    }
    if (!ctx->is_main) {
        bpc_items_named_each(ctx, note_owner, owners);
        bpc_co_owners_each(ctx, note_owner, owners);
    }
    for (unsigned i = 0; i < owners->len; i++)
        owners->pdata[i] = bpc_participant_of(owners->pdata[i]);
    for (unsigned i = 0; i < owners->len; i++) {
        if (exists(owners->pdata[i])) /* another's drain_begin() may have let it go */
            join(ctx, owners->pdata[i]);
    }
    g_ptr_array_free(owners, TRUE);
}

void bp_context_drain_begin(struct bp_context *ctx, void (*done)(void *opaque, int ret), void *opaque)
{
    bpc_assert_main();
    struct context_wait *w;

    if (done) {
        w = g_new0(struct context_wait, 1);
        *w = (struct context_wait){waits, ctx, done, opaque};
        waits = w;
    }
    if (ctx->drains++ == 0) {
        __atomic_fetch_add(&ctx->items, 1, __ATOMIC_RELAXED); /* it stays */
        gather(ctx);
    }
    bpc_drain_look();
}

static struct member *take_member(struct bp_context *ctx)
{
    for (struct member **link = &members; *link; link = &(*link)->next) {
        struct member *m = *link;

        if (m->ctx != ctx)
            continue;
        *link = m->next;
        return m;
    }
    return NULL;
}

void bp_context_drain_end(struct bp_context *ctx)
{
    bpc_assert_main();
    struct member *m;

    assert(ctx->drains > 0);
    if (--ctx->drains > 0)
        return;
    while ((m = take_member(ctx)) != NULL) {
        struct bp_participant *p = m->p;

        g_free(m);
        bpc_participant_let_go(p);
    }
    bpc_drain_look(); /* moves to it go on */
    tell(ctx, -ECANCELED); /* it ended before it was complete */
    __atomic_fetch_sub(&ctx->items, 1, __ATOMIC_RELEASE);
}

/* ---- for coroutines ---- */

struct co_wait {
    struct bp_co *co;
    int ret;
    bool told;
};

static void tell_co(void *opaque, int ret)
{
    struct co_wait *wait = opaque;

    wait->ret = ret;
    wait->told = true;
    bp_co_wake(wait->co);
}

static int wait_for(struct co_wait *wait)
{
    while (!wait->told)
        bpc_co_wait(wait->co);
    return wait->ret;
}

int bp_participant_drain(struct bp_participant *p, struct bp_error *err)
{
    bpc_assert_main();
    bpc_assert_coroutine();
    struct co_wait wait = {.co = bp_co_current()};
    int ret = bp_participant_drain_begin(p, tell_co, &wait, err);

    if (ret < 0)
        return ret;
    if (wait_for(&wait) < 0)
        return bp_fail(err, ECANCELED, "It left while it was being drained");
    return 0;
}

void bp_context_drain(struct bp_context *ctx)
{
    bpc_assert_main();
    bpc_assert_coroutine();
    struct co_wait wait = {.co = bp_co_current()};

    bp_context_drain_begin(ctx, tell_co, &wait);
    (void)wait_for(&wait);
}
