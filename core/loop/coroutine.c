/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Coroutines: making them, going on with them, ending and cancelling them (bp/coroutine.h). */
#include "coroutine.h"

#include <assert.h>
#include <string.h>

#include "loop.h"
#include "marks.h"
#include "stack.h"

struct bp_co *bpc_co_all;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

/* Of this thread. Asked for by functions that are not inlined: a coroutine may go on in another
 * thread, and what a compiler knows of the address of these must not. */
static __thread struct bp_co *current __attribute__((tls_model("initial-exec")));
static __thread struct bpc_fibre own_stack __attribute__((tls_model("initial-exec")));
static __thread bool prepared __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) struct bp_co *bp_co_current(void)
{
    return current;
}

static __attribute__((noinline)) void set_current(struct bp_co *co)
{
    current = co;
}

static __attribute__((noinline)) struct bpc_fibre *thread_stack(void)
{
    if (!prepared) {
        prepared = true;
        bpc_fibre_init_thread(&own_stack);
        bpc_fatal_thread(); /* overflows are told from a stack of its own */
    }
    return &own_stack;
}

const struct bp_co *bpc_co_overflow(const void *addr)
{
    struct bp_co *co = current;
    const char *stack = co ? co->fibre.stack : NULL;

    return stack && (const char *)addr < stack && (const char *)addr >= stack - BPC_STACK_GUARD ? co
                                                                                               : NULL;
}

/* ---- references ---- */

struct bp_co *bp_co_ref(struct bp_co *co)
{
    __atomic_add_fetch(&co->refs, 1, __ATOMIC_RELAXED);
    return co;
}

void bp_co_unref(struct bp_co *co)
{
    if (!co || __atomic_sub_fetch(&co->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    bp_co_queue_free(co->joiners);
    pthread_mutex_destroy(&co->join_lock);
    g_free(co);
}

/* ---- going on ---- */

static void push_ready(struct bp_co *co)
{
    struct bp_context *ctx = co->ctx;
    bool wake;

    pthread_mutex_lock(&ctx->lock);
    co->next = NULL;
    *ctx->ready_tail = co;
    ctx->ready_tail = &co->next;
    wake = bpc_context_poke(ctx);
    pthread_mutex_unlock(&ctx->lock);
    if (wake)
        bpc_context_rouse(ctx);
}

static bool change(struct bp_co *co, int from, int to)
{
    return __atomic_compare_exchange_n(&co->state, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* true: it was waiting, and the caller has to see to it that it goes on. */
static bool claim_waiting(struct bp_co *co)
{
    for (;;) {
        switch (__atomic_load_n(&co->state, __ATOMIC_ACQUIRE)) {
        case BPC_CO_WAITING:
            if (change(co, BPC_CO_WAITING, BPC_CO_QUEUED))
                return true;
            break;
        case BPC_CO_RUNNING:
            if (change(co, BPC_CO_RUNNING, BPC_CO_WOKEN))
                return false;
            break;
        default:
            return false;
        }
    }
}

void bp_co_wake(struct bp_co *co)
{
    if (claim_waiting(co))
        push_ready(co);
}

static void finish(struct bp_co *co)
{
    struct bp_context *ctx = co->ctx;
    bool held;

    bpc_unclaim(&co->claim);
    held = co->claim.held; /* nobody sets it any more */
    bpc_fibre_fini(&co->fibre);
    bpc_stack_put(co->fibre.stack);
    pthread_mutex_lock(&all_lock);
    *co->all_link = co->all_next;
    if (co->all_next)
        co->all_next->all_link = co->all_link;
    pthread_mutex_unlock(&all_lock);
    bp_timer_free(co->timer);
    __atomic_store_n(&co->state, BPC_CO_ENDED, __ATOMIC_RELEASE);
    pthread_mutex_lock(&co->join_lock);
    if (co->joiners)
        bp_co_queue_wake_all(co->joiners);
    pthread_mutex_unlock(&co->join_lock);
    __atomic_fetch_sub(&co->home->items, 1, __ATOMIC_RELEASE);
    pthread_mutex_lock(&ctx->lock);
    ctx->ended++;
    pthread_cond_broadcast(&ctx->done);
    pthread_mutex_unlock(&ctx->lock);
    bp_co_unref(co); /* its own */
    if (held)
        bpc_drain_look();
}

void bpc_co_on_thread_stack(void (*fn)(void *opaque), void *opaque)
{
    struct bp_co *co = bp_co_current();

    if (!co) {
        fn(opaque);
        return;
    }
    co->errand = fn;
    co->errand_opaque = opaque;
    bpc_fibre_switch(&co->fibre, co->caller, false);
}

/* What it wants done on the thread's stack; who is a coroutine hands it on. */
static bool run_errand(struct bp_co *co)
{
    void (*fn)(void *opaque) = co->errand;

    co->errand = NULL;
    if (fn)
        bpc_co_on_thread_stack(fn, co->errand_opaque);
    return fn;
}

/* Runs a QUEUED one on this thread, its context's, until it waits or ends. */
static void resume(struct bp_co *co)
{
    struct bpc_blame before = bpc_blame_swap(co->blame);

    co->outer = bp_co_current();
    co->caller = co->outer ? &co->outer->fibre : thread_stack();
    co->lock_depth = bpc_machine_depth();
    __atomic_store_n(&co->state, BPC_CO_RUNNING, __ATOMIC_RELEASE);
    do {
        set_current(co);
        bpc_fibre_switch(co->caller, &co->fibre, false);
        set_current(co->outer);
    } while (run_errand(co));
    co->blame = bpc_blame_swap(before);
    if (!co->fn) {
        finish(co);
        return;
    }
    if (co->move_to) {
        __atomic_fetch_sub(&co->home->items, 1, __ATOMIC_RELEASE);
        co->home = co->move_to;
        __atomic_store_n(&co->ctx, co->home->loop, __ATOMIC_RELEASE);
        co->move_to = NULL;
        __atomic_store_n(&co->state, BPC_CO_QUEUED, __ATOMIC_RELEASE);
        push_ready(co);
        return;
    }
    /* Woken since it looked last: it goes on in the next turn. */
    if (!change(co, BPC_CO_RUNNING, BPC_CO_WAITING)) {
        __atomic_store_n(&co->state, BPC_CO_QUEUED, __ATOMIC_RELEASE);
        push_ready(co);
    }
}

void bp_co_enter(struct bp_co *co)
{
    if (!claim_waiting(co))
        return;
    if (bp_context_current() == co->ctx)
        resume(co);
    else
        push_ready(co);
}

/* One turn: those that get ready meanwhile wait for the next. Returns whether there was any. */
bool bpc_co_run_ready(struct bp_context *ctx)
{
    struct bp_co *list, *next;
    int64_t before, now;

    pthread_mutex_lock(&ctx->lock);
    list = ctx->ready;
    ctx->ready = NULL;
    ctx->ready_tail = &ctx->ready;
    pthread_mutex_unlock(&ctx->lock);
    if (!list)
        return false;
    before = bp_clock_ns(BP_CLOCK_REALTIME);
    for (; list; list = next) {
        struct bp_co *co = bp_co_ref(list);

        next = list->next; /* it may be queued again at once */
        resume(co);
        now = bp_clock_ns(BP_CLOCK_REALTIME);
        bpc_context_ran(ctx, co->name, co->owner_type, co->owner_id, now - before);
        before = now;
        bp_co_unref(co);
    }
    return true;
}

/* ---- waiting ---- */

void bpc_co_wait(struct bp_co *co)
{
    /* Taken inside and not given back: it would be held by whoever runs next. */
    assert(bpc_machine_depth() == co->lock_depth);
    if (__atomic_load_n(&co->state, __ATOMIC_ACQUIRE) == BPC_CO_WOKEN) {
        __atomic_store_n(&co->state, BPC_CO_RUNNING, __ATOMIC_RELEASE); /* woken stays woken till now */
        return;
    }
    bpc_fibre_switch(&co->fibre, co->caller, false);
}

/* On its thread. */
static bool hears_cancel(const struct bp_co *co)
{
    return co->shields == 0 && __atomic_load_n(&co->cancelled, __ATOMIC_ACQUIRE);
}

int bp_co_yield(void)
{
    bpc_assert_coroutine();
    struct bp_co *co = bp_co_current();

    if (hears_cancel(co))
        return -ECANCELED;
    bpc_co_wait(co);
    return hears_cancel(co) ? -ECANCELED : 0;
}

void bp_co_shield(bool on)
{
    bpc_assert_coroutine();
    bp_co_current()->shields += on ? 1u : -1u;
}

void bp_co_await(void)
{
    bpc_assert_coroutine();
    bpc_co_wait(bp_co_current());
}

bool bp_co_cancelled(void)
{
    bpc_assert_coroutine();
    return hears_cancel(bp_co_current());
}

void bp_co_cancel(struct bp_co *co)
{
    __atomic_store_n(&co->cancelled, true, __ATOMIC_RELEASE);
    bp_co_wake(co);
}

bool bp_co_ended(struct bp_co *co)
{
    return __atomic_load_n(&co->state, __ATOMIC_ACQUIRE) == BPC_CO_ENDED;
}

__attribute__((noinline)) struct bp_context *bp_co_context(struct bp_co *co)
{
    return co->home;
}

void bpc_co_owners_each(struct bp_context *ctx, void (*fn)(struct bp_owner *owner, void *opaque),
                        void *opaque)
{
    pthread_mutex_lock(&all_lock);
    for (struct bp_co *co = bpc_co_all; co; co = co->all_next) {
        struct bp_owner *owner = co->home == ctx ? bpc_claim_owner(&co->claim) : NULL;

        if (owner)
            fn(owner, opaque);
    }
    pthread_mutex_unlock(&all_lock);
}

/* ---- making ---- */

static void co_main(void *opaque)
{
    struct bp_co *co = opaque;

    if (!__atomic_load_n(&co->cancelled, __ATOMIC_ACQUIRE)) /* before it began */
        co->fn(co->opaque);
    assert(bpc_machine_depth() == co->lock_depth);
    co->fn = NULL;
    bpc_fibre_switch(&co->fibre, co->caller, true);
}

/* Its owner leaves: it is cancelled, and waited for by bpc_owner_quiet(). */
static struct bp_context *stop(struct bpc_claim *claim, uint64_t *ret_ticket)
{
    struct bp_co *co = (struct bp_co *)claim;
    struct bp_context *ctx = __atomic_load_n(&co->ctx, __ATOMIC_ACQUIRE);

    if (co == bp_co_current())
        return NULL; /* it is itself what makes its owner leave */
    pthread_mutex_lock(&ctx->lock);
    *ret_ticket = ctx->ended;
    pthread_mutex_unlock(&ctx->lock);
    bp_co_cancel(co);
    return ctx;
}

/* Its owner is drained: its end is waited for, whatever it does until then. */
static bool hold(struct bpc_claim *claim, enum bpc_hold_step step, struct bp_context *to)
{
    (void)to;
    if (step != BPC_HOLD_MOVE)
        claim->held = step != BPC_HOLD_RESUME;
    return claim->held;
}

/* Nobody waited for it, because nobody could: it goes on for itself. */
static void release(struct bpc_claim *claim)
{
    bp_co_cancel((struct bp_co *)claim);
}

int bp_co_new(struct bp_owner *owner, struct bp_context *ctx, const char *name,
              void (*fn)(void *opaque), void *opaque, struct bp_co **ret_co, struct bp_error *err)
{
    void *stack = bpc_stack_get();
    struct bp_co *co;

    if (!stack)
        return bp_fail(err, ENOMEM, "the host gives no more stacks for coroutine '%s'", name);
    co = g_new0(struct bp_co, 1);
    co->refs = 2;
    co->name = name;
    co->fn = fn;
    co->opaque = opaque;
    co->state = BPC_CO_WAITING;
    pthread_mutex_init(&co->join_lock, NULL);
    if (owner && owner->type) {
        co->owner_type = owner->type;
        g_strlcpy(co->owner_id, owner->id ? owner->id : "", sizeof(co->owner_id));
    }
    co->blame = (struct bpc_blame){co->owner_type, co->owner_id, name};
    bpc_fibre_init(&co->fibre, stack, BP_CO_STACK, co_main, co);
    co->home = bpc_context_choose(owner, ctx);
    co->ctx = co->home->loop;
    __atomic_fetch_add(&co->home->items, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&all_lock);
    co->all_next = bpc_co_all;
    co->all_link = &bpc_co_all;
    if (co->all_next)
        co->all_next->all_link = &co->all_next;
    bpc_co_all = co;
    pthread_mutex_unlock(&all_lock);
    (void)bpc_claim_movable(owner, &co->claim, release, stop, hold, false, NULL);
    *ret_co = co;
    return 0;
}
