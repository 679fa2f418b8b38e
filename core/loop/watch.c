/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches of descriptors: a GSource each. */
#include <glib-unix.h>

#include "context.h"

/* The library is not instrumented: ThreadSanitizer is told what its reference counts order. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TELL_LET_GO(w) __tsan_release(w)
#define TELL_LAST(w) __tsan_acquire(w)
#else
#define TELL_LET_GO(w) ((void)0)
#define TELL_LAST(w) ((void)0)
#endif

struct bp_watch {
    struct bpc_item item; /* first */
    GSource *source;
    gpointer tag;
    void (*ready)(void *opaque, unsigned events);
    void *opaque;
};

struct watch_source {
    GSource base;
    struct bp_watch *watch; /* owned by the source once dead */
    gpointer tag;
};

static GIOCondition condition_of(unsigned events)
{
    return ((events & BP_WATCH_IN) ? G_IO_IN : 0) | ((events & BP_WATCH_OUT) ? G_IO_OUT : 0) |
           G_IO_HUP | G_IO_ERR;
}

static gboolean watch_check(GSource *source)
{
    return g_source_query_unix_fd(source, ((struct watch_source *)source)->tag) != 0;
}

static gboolean watch_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    struct watch_source *ws = (struct watch_source *)source;
    struct bp_watch *w = ws->watch;
    GIOCondition got = g_source_query_unix_fd(source, ws->tag);
    struct bp_context *ctx = w->item.ctx;
    struct bpc_call call;
    unsigned events = 0;

    (void)fn;
    (void)opaque;
    events |= (got & G_IO_IN) ? BP_WATCH_IN : 0;
    events |= (got & G_IO_OUT) ? BP_WATCH_OUT : 0;
    events |= (got & (G_IO_HUP | G_IO_ERR | G_IO_NVAL)) ? BP_WATCH_HUP : 0;
    pthread_mutex_lock(&ctx->lock);
    if (w->item.dead || w->item.stopped || events == 0) {
        pthread_mutex_unlock(&ctx->lock);
        return G_SOURCE_CONTINUE;
    }
    if (bpc_item_begin(&w->item, "watch", &call))
        w->ready(w->opaque, events);
    (void)bpc_item_end(&w->item, &call); /* dead: the source frees it when GLib lets go of that */
    pthread_mutex_unlock(&ctx->lock);
    return G_SOURCE_CONTINUE;
}

static void watch_finalize(GSource *source)
{
    struct bp_watch *w = ((struct watch_source *)source)->watch;

    TELL_LAST(w);
    g_free(w);
}

static GSourceFuncs watch_funcs = {
    .check = watch_check, .dispatch = watch_dispatch, .finalize = watch_finalize,
};

static void destroy(struct bp_watch *w, bool wait)
{
    struct bp_context *home = w->item.home, *ctx = w->item.ctx;
    GSource *source = w->source;

    __atomic_fetch_add(&home->items, 1, __ATOMIC_RELAXED); /* GLib looks at the source's context */
    pthread_mutex_lock(&ctx->lock);
    (void)(wait ? bpc_item_kill_wait(&w->item) : bpc_item_kill(&w->item));
    pthread_mutex_unlock(&ctx->lock);
    g_source_destroy(source); /* never waits: one that is being dispatched ends afterwards */
    TELL_LET_GO(w);
    g_source_unref(source);   /* frees w, once the loop lets go of it too */
    __atomic_fetch_sub(&home->items, 1, __ATOMIC_RELEASE);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_watch *)claim, false);
}

struct bp_watch *bp_watch_new(struct bp_owner *owner, struct bp_context *ctx, int fd,
                              unsigned events, void (*ready)(void *opaque, unsigned events),
                              void *opaque)
{
    struct bp_watch *w = g_new0(struct bp_watch, 1);

    w->ready = ready;
    w->opaque = opaque;
    w->source = g_source_new(&watch_funcs, sizeof(struct watch_source));
    w->tag = g_source_add_unix_fd(w->source, fd, condition_of(events));
    ((struct watch_source *)w->source)->watch = w;
    ((struct watch_source *)w->source)->tag = w->tag;
    bpc_item_init(&w->item, owner, ctx, release);
    g_source_set_can_recurse(w->source, FALSE);
    g_source_attach(w->source, w->item.ctx->glib);
    return w;
}

void bp_watch_set(struct bp_watch *watch, unsigned events)
{
    g_source_modify_unix_fd(watch->source, watch->tag, condition_of(events));
}

void bp_watch_free(struct bp_watch *watch)
{
    if (!watch)
        return;
    bpc_unclaim(&watch->item.claim);
    destroy(watch, false);
}

void bp_watch_free_wait(struct bp_watch *watch)
{
    if (!watch)
        return;
    bpc_unclaim(&watch->item.claim);
    destroy(watch, true);
}
