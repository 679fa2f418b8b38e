/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches of descriptors: a GSource each. */
#include <glib-unix.h>

#include "queue.h"

struct bp_watch {
    struct bpc_claim claim;
    struct bpc_loop *loop;
    GSource *source;
    gpointer tag;
    void (*ready)(void *opaque, unsigned events);
    void *opaque;
    bool running, dead; /* under loop->lock */
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
    struct bpc_loop *loop = w->loop;
    unsigned events = 0;

    (void)fn;
    (void)opaque;
    events |= (got & G_IO_IN) ? BP_WATCH_IN : 0;
    events |= (got & G_IO_OUT) ? BP_WATCH_OUT : 0;
    events |= (got & (G_IO_HUP | G_IO_ERR | G_IO_NVAL)) ? BP_WATCH_HUP : 0;
    pthread_mutex_lock(&loop->lock);
    if (w->dead || events == 0) {
        pthread_mutex_unlock(&loop->lock);
        return G_SOURCE_CONTINUE;
    }
    w->running = true;
    pthread_mutex_unlock(&loop->lock);
    w->ready(w->opaque, events);
    pthread_mutex_lock(&loop->lock);
    w->running = false;
    pthread_cond_broadcast(&loop->done);
    pthread_mutex_unlock(&loop->lock);
    return G_SOURCE_CONTINUE;
}

static void watch_finalize(GSource *source)
{
    g_free(((struct watch_source *)source)->watch);
}

static GSourceFuncs watch_funcs = {
    .check = watch_check, .dispatch = watch_dispatch, .finalize = watch_finalize,
};

static void destroy(struct bp_watch *w)
{
    struct bpc_loop *loop = w->loop;
    GSource *source = w->source;

    pthread_mutex_lock(&loop->lock);
    w->dead = true;
    if (!pthread_equal(loop->thread, pthread_self()))
        bpc_queue_wait(loop, &w->running);
    pthread_mutex_unlock(&loop->lock);
    g_source_destroy(source);
    g_source_unref(source); /* frees w, once the loop lets go of it too */
}

static void release(struct bpc_claim *claim)
{
    destroy((struct bp_watch *)((char *)claim - offsetof(struct bp_watch, claim)));
}

struct bp_watch *bp_watch_new(struct bp_owner *owner, struct bp_iothread *thread, int fd,
                              unsigned events, void (*ready)(void *opaque, unsigned events),
                              void *opaque)
{
    struct bp_watch *w = g_new0(struct bp_watch, 1);

    w->loop = bpc_loop_of(thread);
    w->ready = ready;
    w->opaque = opaque;
    w->source = g_source_new(&watch_funcs, sizeof(struct watch_source));
    w->tag = g_source_add_unix_fd(w->source, fd, condition_of(events));
    ((struct watch_source *)w->source)->watch = w;
    ((struct watch_source *)w->source)->tag = w->tag;
    bpc_claim(owner, &w->claim, release);
    g_source_set_can_recurse(w->source, FALSE);
    g_source_attach(w->source, w->loop->context);
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
    bpc_unclaim(&watch->claim);
    destroy(watch);
}
