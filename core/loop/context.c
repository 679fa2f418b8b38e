/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts as things: the main one, those with a thread of their own, which one is meant, and folding
 * them all into the main one. A thread starts when something first lives in its context, or when its
 * id is asked for, so that a context that serves nobody costs nothing.
 */
#include <assert.h>
#include <sched.h>
#include <time.h>
#include <string.h>
#include <unistd.h>

#include "coroutine.h"
#include "loop.h"
#include "marks.h"

#define WAIT_NS 200000

struct bp_context bpc_main_context;
__thread struct bp_context *bpc_current_context __attribute__((tls_model("initial-exec")));

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* what follows; before any ctx->lock */
static struct bp_context *others; /* newest first */
static struct bp_context *spare;  /* freed ones */
static bool folded;

/* ---- threads ---- */

static void *context_main(void *opaque)
{
    struct bp_context *ctx = opaque;

    bpc_current_context = ctx;
    __atomic_store_n(&ctx->tid, gettid(), __ATOMIC_RELEASE);
    g_main_context_push_thread_default(ctx->glib);
    while (!__atomic_load_n(&ctx->stop, __ATOMIC_ACQUIRE))
        g_main_context_iteration(ctx->glib, TRUE);
    g_main_context_pop_thread_default(ctx->glib);
    bpc_fatal_thread_end();
    return NULL;
}

/* With the list's lock. What was queued before it runs waits in the queue. */
static int start_thread(struct bp_context *ctx)
{
    char name[16];
    int ret;

    if (ctx->has_thread || ctx->loop != ctx || ctx->is_main)
        return 0;
    g_snprintf(name, sizeof(name), "IO %s", ctx->name);
    __atomic_store_n(&ctx->stop, false, __ATOMIC_RELEASE);
    pthread_mutex_lock(&ctx->lock); /* others compare ctx->thread under it */
    ret = bp_thread_start(&ctx->thread, name, context_main, ctx);
    ctx->has_thread = ret == 0;
    pthread_mutex_unlock(&ctx->lock);
    return -ret;
}

static void stop_thread(struct bp_context *ctx)
{
    if (!ctx->has_thread)
        return;
    __atomic_store_n(&ctx->stop, true, __ATOMIC_RELEASE);
    g_main_context_wakeup(ctx->glib);
    pthread_join(ctx->thread, NULL);
    ctx->has_thread = false;
    __atomic_store_n(&ctx->tid, 0, __ATOMIC_RELEASE);
}

/* ---- making and freeing ---- */

int bp_context_new(struct bp_machine *machine, const char *name, struct bp_context **ret_ctx,
                   struct bp_error *err)
{
    bpc_assert_main();
    struct bp_context *ctx;

    (void)err; /* room for a context with reasons to fail */
    pthread_mutex_lock(&list_lock);
    ctx = spare;
    spare = ctx ? ctx->next : NULL;
    pthread_mutex_unlock(&list_lock);
    if (!ctx) {
        ctx = g_new0(struct bp_context, 1);
        bpc_context_init_locks(ctx);
    }
    bpc_context_init(ctx, g_main_context_new(), name);
    ctx->machine = machine;
    pthread_mutex_lock(&list_lock);
    if (folded)
        ctx->loop = &bpc_main_context;
    ctx->next = others;
    others = ctx;
    pthread_mutex_unlock(&list_lock);
    *ret_ctx = ctx;
    return 0;
}

/* Whoever queued the last of its work, or freed the last of its items, in another thread: it may not
 * have given up the lock yet, or not have woken the loop, which had seen the work already. */
static void await_others(struct bp_context *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    pthread_mutex_unlock(&ctx->lock);
    while (__atomic_load_n(&ctx->wakers, __ATOMIC_ACQUIRE) > 0)
        sched_yield();
}

void bp_context_free(struct bp_context *ctx)
{
    bpc_assert_main();
    if (!ctx)
        return;
    assert(!ctx->is_main && bp_context_users(ctx) == 0);
    pthread_mutex_lock(&list_lock);
    for (struct bp_context **link = &others; *link; link = &(*link)->next) {
        if (*link == ctx) {
            *link = ctx->next;
            break;
        }
    }
    pthread_mutex_unlock(&list_lock);
    stop_thread(ctx);
    await_others(ctx);
    bpc_context_fini(ctx);
    g_main_context_unref(ctx->glib);
    pthread_mutex_lock(&list_lock);
    ctx->next = spare;
    spare = ctx;
    pthread_mutex_unlock(&list_lock);
}

void bp_contexts_fold(struct bp_machine *machine)
{
    bpc_assert_main();
    (void)machine; /* one per process today */
    pthread_mutex_lock(&list_lock);
    folded = true;
    for (struct bp_context *ctx = others; ctx; ctx = ctx->next) {
        /* Before anything lives in them: what accelerators say comes before devices. */
        if (bp_context_users(ctx) > 0)
            continue;
        stop_thread(ctx);
        ctx->loop = &bpc_main_context;
    }
    pthread_mutex_unlock(&list_lock);
}

bool bpc_contexts_folded(void)
{
    return folded;
}

/* ---- which one ---- */

struct bp_context *bp_context_main(struct bp_machine *machine)
{
    (void)machine; /* one per process today */
    return &bpc_main_context;
}

struct bp_context *bp_context_current(void)
{
    return bpc_current_context;
}

const char *bp_context_name(const struct bp_context *ctx)
{
    return ctx->name;
}

struct bp_context *bpc_context_choose(struct bp_owner *owner, struct bp_context *ctx)
{
    if (!ctx && owner)
        ctx = __atomic_load_n(&owner->context, __ATOMIC_ACQUIRE);
    if (!ctx)
        return &bpc_main_context;
    if (ctx->loop == ctx && !ctx->is_main) {
        pthread_mutex_lock(&list_lock);
        (void)start_thread(ctx); /* failing, it is tried again next time; what is queued waits */
        pthread_mutex_unlock(&list_lock);
    }
    return ctx;
}

unsigned bp_context_users(struct bp_context *ctx)
{
    return __atomic_load_n(&ctx->items, __ATOMIC_ACQUIRE);
}

void bpc_context_each(void (*fn)(struct bp_context *ctx, void *opaque), void *opaque)
{
    fn(&bpc_main_context, opaque);
    pthread_mutex_lock(&list_lock);
    for (struct bp_context *ctx = others; ctx; ctx = ctx->next)
        fn(ctx, opaque);
    pthread_mutex_unlock(&list_lock);
}

/* ---- what is told of them ---- */

struct info_walk {
    void (*fn)(const struct bpc_context_info *info, void *opaque);
    void *opaque;
};

static void fill_info(struct bp_context *ctx, void *opaque)
{
    struct info_walk *walk = opaque;
    struct bpc_context_info info = {
        .name = ctx->name,
        .thread_id = ctx->is_main || ctx->loop != ctx
                         ? getpid() : __atomic_load_n(&ctx->tid, __ATOMIC_ACQUIRE),
        .is_main = ctx->is_main,
        .folded = ctx->loop != ctx,
        .users = bp_context_users(ctx),
        .poll_max_ns = __atomic_load_n(&ctx->poll_max_ns, __ATOMIC_RELAXED),
        .poll_ns = __atomic_load_n(&ctx->poll_ns, __ATOMIC_RELAXED),
        .polled_ns = __atomic_load_n(&ctx->polled_ns, __ATOMIC_RELAXED),
        .poll_grow = __atomic_load_n(&ctx->poll_grow, __ATOMIC_RELAXED),
        .poll_shrink = __atomic_load_n(&ctx->poll_shrink, __ATOMIC_RELAXED),
        .batch = __atomic_load_n(&ctx->batch, __ATOMIC_RELAXED),
    };

    pthread_mutex_lock(&ctx->lock);
    info.queued = ctx->queued;
    info.queued_most = ctx->stats.queued_most;
    info.callbacks = __atomic_load_n(&ctx->stats.callbacks, __ATOMIC_RELAXED);
    info.longest_ns = ctx->stats.longest_ns;
    g_strlcpy(info.longest_kind, ctx->stats.longest_kind, sizeof(info.longest_kind));
    g_strlcpy(info.longest_owner, ctx->stats.longest_owner, sizeof(info.longest_owner));
    pthread_mutex_unlock(&ctx->lock);
    walk->fn(&info, walk->opaque);
}

void bpc_context_info_each(void (*fn)(const struct bpc_context_info *info, void *opaque), void *opaque)
{
    struct info_walk walk = {fn, opaque};

    bpc_context_each(fill_info, &walk);
}

struct bp_context *bpc_context_find(const char *name)
{
    struct bp_context *found = NULL;

    pthread_mutex_lock(&list_lock);
    for (struct bp_context *ctx = others; ctx && !found; ctx = ctx->next)
        found = strcmp(ctx->name, name) == 0 ? ctx : NULL;
    pthread_mutex_unlock(&list_lock);
    return found;
}

/* ---- what a user sets ---- */

void bp_context_set_polling(struct bp_context *ctx, int64_t max_ns, unsigned grow, unsigned shrink)
{
    bpc_assert_main();
    __atomic_store_n(&ctx->poll_grow, grow, __ATOMIC_RELAXED);
    __atomic_store_n(&ctx->poll_shrink, shrink, __ATOMIC_RELAXED);
    __atomic_store_n(&ctx->poll_max_ns, max_ns, __ATOMIC_RELAXED);
    bpc_context_wake(ctx); /* it may be asleep without looking */
}

void bp_context_set_batch(struct bp_context *ctx, unsigned calls)
{
    bpc_assert_main();
    __atomic_store_n(&ctx->batch, calls, __ATOMIC_RELAXED);
}

unsigned bp_context_batch(struct bp_context *ctx)
{
    return __atomic_load_n(&ctx->batch, __ATOMIC_RELAXED);
}

int bp_context_thread_id(struct bp_context *ctx)
{
    bpc_assert_main();
    int tid, ret;

    if (ctx->is_main || ctx->loop != ctx)
        return getpid();
    pthread_mutex_lock(&list_lock);
    ret = start_thread(ctx);
    pthread_mutex_unlock(&list_lock);
    if (ret < 0)
        return ret;
    while ((tid = __atomic_load_n(&ctx->tid, __ATOMIC_ACQUIRE)) == 0)
        usleep(50); /* it is on its way */
    return tid;
}

/* Gives those that are waited for the time to end. Outside of coroutines the main thread goes on with
 * the coroutines that are ready, but with nothing else: no nested loop. */
static void wait_for_end(struct bp_context *ctx, uint64_t ticket)
{
    struct timespec until;
    unsigned depth;

    if (bp_co_current()) {
        bpc_co_pause(WAIT_NS);
        return;
    }
    if (bpc_current_context && bpc_co_run_ready(bpc_current_context))
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    depth = bpc_machine_unlock_all(); /* what runs may be waiting for it */
    pthread_mutex_lock(&ctx->lock);
    if (ctx->ended == ticket)
        pthread_cond_timedwait(&ctx->done, &ctx->lock, &until);
    pthread_mutex_unlock(&ctx->lock);
    bpc_machine_relock(depth);
}

void bpc_owner_quiet(struct bp_owner *owner)
{
    struct bp_context *ctx;
    uint64_t ticket = 0;

    while ((ctx = bpc_owner_stop(owner, &ticket)) != NULL)
        wait_for_end(ctx, ticket);
}
