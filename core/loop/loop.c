/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Event loops on GMainContext. The main loop uses GLib's default context, so that libraries which
 * attach there (GTK, GIO) are served too. Its poll function sleeps with the precision of ppoll()
 * until the earliest timer and without the machine lock.
 */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "queue.h"

/* The poll function replaces GLib's; both take the kernel's structure. */
_Static_assert(sizeof(GPollFD) == sizeof(struct pollfd), "GPollFD is struct pollfd");

struct bpc_loop bpc_main_loop;
/* GLib does not tell a poll function whose context it serves. */
static __thread struct bpc_loop *current_loop __attribute__((tls_model("initial-exec")));

struct loop_source {
    GSource base;
    struct bpc_loop *loop;
};

static bool has_work(struct bpc_loop *loop)
{
    bool work;

    pthread_mutex_lock(&loop->lock);
    work = loop->head != NULL;
    pthread_mutex_unlock(&loop->lock);
    return work || (loop->is_main && bpc_clock_due());
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return has_work(((struct loop_source *)source)->loop);
}

static gboolean source_check(GSource *source)
{
    return has_work(((struct loop_source *)source)->loop);
}

static void run_queue(struct bpc_loop *loop)
{
    struct bp_deferred *d, *last;

    pthread_mutex_lock(&loop->lock);
    /* Calls queued from now on wait for the next turn, so that watches get theirs. */
    last = loop->head ? (struct bp_deferred *)((char *)loop->tail - offsetof(struct bp_deferred, next))
                      : NULL;
    while ((d = loop->head) != NULL) {
        bool was_last = d == last;

        loop->head = d->next;
        if (!loop->head)
            loop->tail = &loop->head;
        d->next = NULL;
        d->queued = false;
        d->running = true;
        pthread_mutex_unlock(&loop->lock);
        d->fn(d->opaque);
        pthread_mutex_lock(&loop->lock);
        d->running = false;
        if (d->dead || d->once) /* freed inside its own call, or anonymous */
            g_free(d);
        else
            pthread_cond_broadcast(&loop->done);
        if (was_last)
            break;
    }
    pthread_mutex_unlock(&loop->lock);
}

static gboolean source_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    struct bpc_loop *loop = ((struct loop_source *)source)->loop;

    (void)fn;
    (void)opaque;
    if (loop->is_main)
        bpc_clock_run_due();
    run_queue(loop);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
    .prepare = source_prepare, .check = source_check, .dispatch = source_dispatch,
};

static int sleep_in_poll(GPollFD *fds, guint n, int timeout_ms, int64_t timer_ns)
{
    int64_t ns = timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000;
    struct timespec ts;
    int ret;

    if (timer_ns >= 0 && (ns < 0 || timer_ns < ns))
        ns = timer_ns;
    ts.tv_sec = ns / 1000000000;
    ts.tv_nsec = ns % 1000000000;
    ret = ppoll((struct pollfd *)fds, n, ns < 0 ? NULL : &ts, NULL);
    return ret < 0 && errno == EINTR ? 0 : ret;
}

static gint loop_poll(GPollFD *fds, guint n, gint timeout)
{
    struct bpc_loop *loop = current_loop;
    unsigned depth = bpc_machine_unlock_all();
    int64_t timer_ns = -1;
    int ret;

    if (timeout != 0 && loop) {
        pthread_mutex_lock(&loop->lock);
        if (loop->head || loop->woken)
            timeout = 0;
        loop->polling = timeout != 0;
        loop->woken = false;
        pthread_mutex_unlock(&loop->lock);
        if (timeout != 0 && loop->is_main)
            timer_ns = bpc_clock_poll_begin();
    } else if (bpc_machine_lock_wanted()) {
        sched_yield(); /* a busy main loop leaves vCPUs their turn */
    }
    ret = sleep_in_poll(fds, n, timeout, timer_ns);
    if (timeout != 0 && loop) {
        if (loop->is_main)
            bpc_clock_poll_end();
        pthread_mutex_lock(&loop->lock);
        loop->polling = false;
        pthread_mutex_unlock(&loop->lock);
    }
    bpc_machine_relock(depth);
    return ret;
}

void bpc_queue_wake(struct bpc_loop *loop)
{
    bool wake;

    pthread_mutex_lock(&loop->lock);
    wake = loop->polling;
    loop->polling = false;
    loop->woken = !wake;
    pthread_mutex_unlock(&loop->lock);
    if (wake)
        g_main_context_wakeup(loop->context);
}

void bpc_queue_init(struct bpc_loop *loop, GMainContext *context, bool is_main)
{
    *loop = (struct bpc_loop){.context = context, .is_main = is_main, .thread = pthread_self()};
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->done, NULL);
    loop->tail = &loop->head;
    loop->source = g_source_new(&source_funcs, sizeof(struct loop_source));
    ((struct loop_source *)loop->source)->loop = loop;
    g_source_set_name(loop->source, "backplane");
    g_source_set_priority(loop->source, G_PRIORITY_DEFAULT);
    g_source_set_can_recurse(loop->source, TRUE);
    g_source_attach(loop->source, context);
    g_main_context_set_poll_func(context, loop_poll);
}

void bpc_queue_fini(struct bpc_loop *loop)
{
    g_source_destroy(loop->source);
    g_source_unref(loop->source);
    pthread_mutex_destroy(&loop->lock);
    pthread_cond_destroy(&loop->done);
}

void bpc_queue_wait(struct bpc_loop *loop, const bool *running)
{
    unsigned depth;

    if (!*running)
        return;
    pthread_mutex_unlock(&loop->lock);
    depth = bpc_machine_unlock_all();
    pthread_mutex_lock(&loop->lock);
    while (*running)
        pthread_cond_wait(&loop->done, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
    bpc_machine_relock(depth);
    pthread_mutex_lock(&loop->lock);
}

void bpc_loop_init(void)
{
    if (bpc_main_loop.context)
        return;
    bpc_queue_init(&bpc_main_loop, g_main_context_default(), true);
    current_loop = &bpc_main_loop;
    g_main_context_acquire(bpc_main_loop.context);
    prctl(PR_SET_TIMERSLACK, 1ul); /* timers fire when they are due, not 50 us later */
    bp_machine_lock();
}

void bpc_loop_run_once(bool block)
{
    bp_machine_lock();
    g_main_context_iteration(bpc_main_loop.context, block);
    bp_machine_unlock();
}

void bpc_loop_wake(void)
{
    bpc_queue_wake(&bpc_main_loop);
}

bool bpc_loop_is_main(void)
{
    return current_loop == &bpc_main_loop;
}

/* ---- I/O threads ---- */

struct bp_iothread {
    struct bpc_loop loop;
    pthread_t thread;
    bool stop; /* atomic */
    char name[16];
};

struct bpc_loop *bpc_loop_of(struct bp_iothread *thread)
{
    return thread ? &thread->loop : &bpc_main_loop;
}

static void *iothread_main(void *opaque)
{
    struct bp_iothread *thread = opaque;

    pthread_mutex_lock(&thread->loop.lock);
    thread->loop.thread = pthread_self();
    pthread_mutex_unlock(&thread->loop.lock);
    current_loop = &thread->loop;
    g_main_context_push_thread_default(thread->loop.context);
    while (!__atomic_load_n(&thread->stop, __ATOMIC_ACQUIRE))
        g_main_context_iteration(thread->loop.context, TRUE);
    g_main_context_pop_thread_default(thread->loop.context);
    return NULL;
}

int bp_iothread_new(const char *name, struct bp_iothread **ret_thread, struct bp_error *err)
{
    struct bp_iothread *thread = g_new0(struct bp_iothread, 1);
    int ret;

    g_snprintf(thread->name, sizeof(thread->name), "IO %s", name);
    bpc_queue_init(&thread->loop, g_main_context_new(), false);
    ret = bpc_thread_start(&thread->thread, thread->name, iothread_main, thread);
    if (ret != 0) {
        GMainContext *context = thread->loop.context;

        bpc_queue_fini(&thread->loop);
        g_main_context_unref(context);
        g_free(thread);
        return bp_fail(err, ret, "cannot start I/O thread '%s': %s", name, g_strerror(ret));
    }
    *ret_thread = thread;
    return 0;
}

void bp_iothread_free(struct bp_iothread *thread)
{
    GMainContext *context;
    unsigned depth;

    if (!thread)
        return;
    context = thread->loop.context;
    __atomic_store_n(&thread->stop, true, __ATOMIC_RELEASE);
    g_main_context_wakeup(context);
    depth = bpc_machine_unlock_all(); /* its last callback may want it */
    pthread_join(thread->thread, NULL);
    bpc_machine_relock(depth);
    bpc_queue_fini(&thread->loop);
    g_main_context_unref(context);
    g_free(thread);
}
