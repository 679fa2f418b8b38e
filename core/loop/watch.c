/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches of descriptors: a GSource each, and another one after each drain. */
#include <glib-unix.h>

#include "context.h"
#include "marks.h"

/* The library is not instrumented: ThreadSanitizer is told what its reference counts order. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TELL_LET_GO(source) __tsan_release(source)
#define TELL_LAST(source) __tsan_acquire(source)
#else
#define TELL_LET_GO(source) ((void)0)
#define TELL_LAST(source) ((void)0)
#endif

struct bp_watch {
    struct bpc_item item; /* first */
    unsigned refs;   /* atomic: the owner's, and one of each source that GLib has not let go of */
    int fd;
    unsigned events; /* under the context's lock, as what follows */
    GSource *source; /* NULL: held */
    gpointer tag;
    void (*ready)(void *opaque, unsigned events);
    void (*gone)(void *opaque); /* or NULL */
    void *opaque;
};

struct watch_source {
    GSource base;
    struct bp_watch *watch;
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
    struct bp_context *ctx;
    struct bpc_call call;
    unsigned events = 0;

    (void)fn;
    (void)opaque;
    events |= (got & G_IO_IN) ? BP_WATCH_IN : 0;
    events |= (got & G_IO_OUT) ? BP_WATCH_OUT : 0;
    events |= (got & (G_IO_HUP | G_IO_ERR | G_IO_NVAL)) ? BP_WATCH_HUP : 0;
    ctx = bpc_item_lock(&w->item);
    if (w->source != source || w->item.dead || w->item.stopped || events == 0) {
        pthread_mutex_unlock(&ctx->lock);
        TELL_LET_GO(source); /* GLib does after this, and somebody else may be the last */
        return G_SOURCE_CONTINUE;
    }
    if (bpc_item_begin(&w->item, "watch", &call))
        w->ready(w->opaque, events);
    (void)bpc_item_end(&w->item, &call); /* dead: it goes when GLib lets go of the source */
    pthread_mutex_unlock(&ctx->lock);
    TELL_LET_GO(source);
    return G_SOURCE_CONTINUE;
}

static void watch_unref(struct bp_watch *w)
{
    if (__atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (w->gone)
        w->gone(w->opaque);
    g_free(w);
}

static void watch_finalize(GSource *source)
{
    TELL_LAST(source);
    watch_unref(((struct watch_source *)source)->watch);
}

static GSourceFuncs watch_funcs = {
    .check = watch_check, .dispatch = watch_dispatch, .finalize = watch_finalize,
};

static void drop_source(GSource *source)
{
    if (!source)
        return;
    g_source_destroy(source); /* never waits: one that is being dispatched ends afterwards */
    TELL_LET_GO(source);
    g_source_unref(source);
}

static void destroy(struct bp_watch *w, bool wait)
{
    struct bp_context *ctx = bpc_item_lock(&w->item), *home = w->item.home;
    GSource *source;

    __atomic_fetch_add(&home->items, 1, __ATOMIC_RELAXED); /* GLib looks at the source's context */
    (void)(wait ? bpc_item_kill_wait(&w->item) : bpc_item_kill(&w->item));
    source = w->source;
    w->source = NULL;
    pthread_mutex_unlock(&ctx->lock);
    drop_source(source);
    __atomic_fetch_sub(&home->items, 1, __ATOMIC_RELEASE);
    watch_unref(w); /* frees it, once the loop lets go of its sources too */
}

static void hold(struct bpc_item *item)
{
    struct bp_watch *w = (struct bp_watch *)item;
    GSource *source = w->source;

    w->source = NULL;
    drop_source(source);
}

/* A source that watches in the context that serves it now, unless it is held or has one. */
static void watch_it(struct bpc_item *item)
{
    struct bp_watch *w = (struct bp_watch *)item;
    GSource *source = g_source_new(&watch_funcs, sizeof(struct watch_source));
    struct watch_source *ws = (struct watch_source *)source;
    struct bp_context *ctx;
    bool wanted;

    __atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
    ws->watch = w;
    g_source_set_can_recurse(source, FALSE);
    ctx = bpc_item_lock(item);
    wanted = !w->source && !w->item.claim.held && !w->item.dead;
    if (wanted) {
        ws->tag = w->tag = g_source_add_unix_fd(source, w->fd, condition_of(w->events));
        w->source = source;
        g_source_attach(source, ctx->glib); /* GLib's lock comes after ours */
    }
    pthread_mutex_unlock(&ctx->lock);
    if (!wanted)
        drop_source(source);
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_watch *)claim, false);
}

static const struct bpc_item_kind watch_kind = {release, hold, watch_it};

static struct bp_watch *new(struct bp_owner *owner, struct bp_context *ctx, int fd, unsigned events,
                            void (*ready)(void *opaque, unsigned events), void (*gone)(void *opaque), void *opaque)
{
    struct bp_watch *w = g_new0(struct bp_watch, 1);

    w->refs = 1;
    w->ready = ready;
    w->gone = gone;
    w->opaque = opaque;
    w->fd = fd;
    w->events = events;
    bpc_item_init(&w->item, owner, ctx, &watch_kind);
    watch_it(&w->item);
    return w;
}

struct bp_watch *bp_watch_new(struct bp_owner *owner, struct bp_context *ctx, int fd,
                              unsigned events, void (*ready)(void *opaque, unsigned events),
                              void *opaque)
{
    return new(owner, ctx, fd, events, ready, NULL, opaque);
}

struct bp_watch *bpc_watch_new(struct bp_owner *owner, struct bp_context *ctx, int fd,
                               void (*ready)(void *opaque, unsigned events), void (*gone)(void *opaque), void *opaque)
{
    return new(owner, ctx, fd, BP_WATCH_IN, ready, gone, opaque);
}

void bp_watch_set(struct bp_watch *watch, unsigned events)
{
    struct bp_context *ctx = bpc_item_lock(&watch->item);

    watch->events = events;
    if (watch->source) /* else it is held: the next source has them */
        g_source_modify_unix_fd(watch->source, watch->tag, condition_of(events));
    pthread_mutex_unlock(&ctx->lock);
}

void bp_watch_free(struct bp_watch *watch)
{
    if (!watch)
        return;
    bpc_item_unclaim(&watch->item);
    destroy(watch, false);
}

void bp_watch_free_wait(struct bp_watch *watch)
{
    bpc_assert_unlocked();
    if (!watch)
        return;
    bpc_item_unclaim(&watch->item);
    destroy(watch, true);
}
