/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-aio-native`: Linux's asynchronous I/O (io_submit(2)), by libaio. One queue for each context that
 * sends requests; an eventfd says that some have ended. It waits in the kernel unless the file is open with
 * O_DIRECT.
 */
#include <errno.h>
#include <libaio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/host/block-aio.h>

#define DEPTH 128 /* requests that the kernel has at once, of one queue */

struct request {
    struct iocb cb;
    struct request *next;
    struct bp_co *co;
    bool done;
    int64_t result;
};

/* Of a context: used on its thread only. */
struct queue {
    struct queue *next;
    struct bp_context *ctx;
    struct bp_watch *watch;
    io_context_t io;
    int event;
    struct request *waiting, **tail; /* not given to the kernel yet */
    unsigned in_kernel, plugged;
};

struct native {
    struct bp_owner *owner;
    pthread_mutex_t lock; /* of the list */
    struct queue *queues;
};

static void finish(struct request *r, int64_t result)
{
    r->result = result;
    r->done = true;
    bp_co_wake(r->co);
}

/* As many as the kernel takes, and no more in one call than the context's users say. */
static void give(struct queue *q)
{
    unsigned most = bp_context_batch(q->ctx);

    if (most == 0 || most > DEPTH)
        most = DEPTH;
    while (q->waiting && q->in_kernel < DEPTH) {
        struct iocb *batch[DEPTH];
        long n = 0;
        int got;

        for (struct request *r = q->waiting; r && (unsigned)n < most && q->in_kernel + (unsigned)n < DEPTH;
             r = r->next)
            batch[n++] = &r->cb;
        got = io_submit(q->io, n, batch);
        if (got == -EAGAIN && q->in_kernel > 0)
            return; /* when one has ended */
        if (got <= 0) { /* the first is what it does not like */
            struct request *bad = q->waiting;

            q->waiting = bad->next;
            finish(bad, got == 0 ? -EIO : got);
            continue;
        }
        q->in_kernel += (unsigned)got;
        for (int i = 0; i < got; i++)
            q->waiting = q->waiting->next;
    }
    if (!q->waiting)
        q->tail = &q->waiting;
}

static void ready(void *opaque, unsigned events)
{
    struct queue *q = opaque;
    struct io_event ended[DEPTH];
    struct timespec none = {0, 0};
    uint64_t count;
    int n;

    (void)events;
    while (read(q->event, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    while ((n = io_getevents(q->io, 0, DEPTH, ended, &none)) > 0) {
        for (int i = 0; i < n; i++) {
            q->in_kernel--;
            finish(ended[i].data, (int64_t)ended[i].res);
        }
    }
    give(q);
}

static void free_queue(struct queue *q)
{
    if (q->io)
        io_destroy(q->io);
    bp_watch_free(q->watch);
    if (q->event >= 0)
        close(q->event);
    free(q);
}

static struct queue *find_queue(struct native *s, struct bp_context *ctx, int *ret_error)
{
    struct queue *q;
    int ret;

    pthread_mutex_lock(&s->lock);
    for (q = s->queues; q && q->ctx != ctx;)
        q = q->next;
    pthread_mutex_unlock(&s->lock);
    if (q)
        return q;
    q = bp_alloc(sizeof(*q));
    q->ctx = ctx;
    q->tail = &q->waiting;
    q->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ret = q->event < 0 ? -errno : io_setup(DEPTH, &q->io);
    if (ret < 0) {
        free_queue(q);
        *ret_error = ret;
        return NULL;
    }
    q->watch = bp_watch_new(s->owner, ctx, q->event, BP_WATCH_IN, ready, q);
    pthread_mutex_lock(&s->lock);
    q->next = s->queues;
    s->queues = q;
    pthread_mutex_unlock(&s->lock);
    return q;
}

static int native_open(void *state, struct bp_owner *owner, struct bp_error *err)
{
    struct native *s = state;
    io_context_t io = NULL;
    int ret = io_setup(1, &io);

    if (ret < 0)
        return bp_fail(err, -ret, "the host's kernel gives no queue: %s%s", strerror(-ret),
                       ret == -EAGAIN ? "; /proc/sys/fs/aio-max-nr says how many there may be" : "");
    io_destroy(io);
    s->owner = owner;
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

static void native_close(void *state)
{
    struct native *s = state;

    while (s->queues) {
        struct queue *q = s->queues;

        s->queues = q->next;
        free_queue(q);
    }
    pthread_mutex_destroy(&s->lock);
}

static void prepare(struct request *r, const struct queue *q, int fd, uint32_t flags,
                    const struct iovec *iov, unsigned n, uint64_t offset)
{
    if (flags & BP_BLOCK_AIO_SYNC)
        io_prep_fdsync(&r->cb, fd);
    else if (flags & BP_BLOCK_AIO_WRITE)
        io_prep_pwritev(&r->cb, fd, iov, (int)n, (long long)offset);
    else
        io_prep_preadv(&r->cb, fd, iov, (int)n, (long long)offset);
    if (flags & BP_BLOCK_AIO_DSYNC)
        r->cb.aio_rw_flags = RWF_DSYNC;
    io_set_eventfd(&r->cb, q->event);
    r->cb.data = r;
}

static int64_t native_submit(void *state, int fd, uint32_t flags, const struct iovec *iov,
                             unsigned iov_count, uint64_t offset)
{
    struct request r = {.co = bp_co_current()};
    int error = -EIO;
    struct queue *q = find_queue(state, bp_co_context(r.co), &error);

    if (!q)
        return error;
    prepare(&r, q, fd, flags, iov, iov_count, offset);
    *q->tail = &r;
    q->tail = &r.next;
    if (!q->plugged)
        give(q);
    while (!r.done)
        bp_co_await();
    /* Not every file system, and not every kernel, does these. */
    if ((r.result == -EINVAL || r.result == -EOPNOTSUPP) &&
        flags & (BP_BLOCK_AIO_SYNC | BP_BLOCK_AIO_DSYNC))
        return -ENOTSUP;
    return r.result;
}

static void native_plug(void *state)
{
    int error;
    struct bp_context *ctx = bp_context_current();
    struct queue *q = ctx ? find_queue(state, ctx, &error) : NULL;

    if (q)
        q->plugged++;
}

static void native_unplug(void *state)
{
    int error;
    struct bp_context *ctx = bp_context_current();
    struct queue *q = ctx ? find_queue(state, ctx, &error) : NULL;

    if (q && q->plugged > 0 && --q->plugged == 0)
        give(q);
}

BP_BLOCK_AIO(native, "native", "Linux's asynchronous I/O", struct native,
             .flags = BP_BLOCK_AIO_DIRECT, .open = native_open, .close = native_close,
             .submit = native_submit, .plug = native_plug, .unplug = native_unplug);
BP_MODULE("block-aio-native", "Asynchronous I/O by libaio", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &native});
