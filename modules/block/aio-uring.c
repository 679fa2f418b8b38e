/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-aio-uring`: io_uring(7), by liburing. One ring for each context that sends requests; its descriptor
 * is readable when some have ended.
 */
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <bp/coroutine.h>
#include <bp/host/block-aio.h>

#define DEPTH 128

struct request {
    struct request *next;
    struct bp_co *co;
    int fd;
    uint32_t flags;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset;
    bool done;
    int64_t result;
};

/* Of a context: used on its thread only. */
struct ring {
    struct ring *next;
    struct bp_context *ctx;
    struct bp_watch *watch;
    struct io_uring uring;
    struct request *waiting, **tail; /* not in the ring yet */
    unsigned in_kernel, plugged;
};

struct uring {
    struct bp_owner *owner;
    pthread_mutex_t lock; /* of the list */
    struct ring *rings;
};

static void prepare(struct io_uring_sqe *sqe, struct request *r)
{
    if (r->flags & BP_BLOCK_AIO_SYNC)
        io_uring_prep_fsync(sqe, r->fd, IORING_FSYNC_DATASYNC);
    else if (r->flags & BP_BLOCK_AIO_WRITE)
        io_uring_prep_writev2(sqe, r->fd, r->iov, r->iov_count, r->offset,
                              r->flags & BP_BLOCK_AIO_DSYNC ? RWF_DSYNC : 0);
    else
        io_uring_prep_readv(sqe, r->fd, r->iov, r->iov_count, r->offset);
    io_uring_sqe_set_data(sqe, r);
}

/* To the kernel with what is in the ring. False: it takes no more for now. */
static bool submit(struct ring *ring)
{
    while (io_uring_sq_ready(&ring->uring) > 0) {
        int ret = io_uring_submit(&ring->uring);

        /* What is left goes with the next one that ends, or is tried again when there is none. */
        if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
            return false;
        if (ret < 0 && ret != -EINTR && ring->in_kernel > io_uring_sq_ready(&ring->uring))
            return false;
    }
    return true;
}

/* As many as the kernel takes, and no more in one call than the context's users say. */
static void give(struct ring *ring)
{
    unsigned most = bp_context_batch(ring->ctx), n;
    struct io_uring_sqe *sqe;

    if (most == 0 || most > DEPTH)
        most = DEPTH;
    do {
        n = io_uring_sq_ready(&ring->uring); /* that it did not take before */
        for (; n < most && ring->waiting && ring->in_kernel < DEPTH && (sqe = io_uring_get_sqe(&ring->uring)); n++) {
            prepare(sqe, ring->waiting);
            ring->waiting = ring->waiting->next;
            ring->in_kernel++;
        }
        if (!ring->waiting)
            ring->tail = &ring->waiting;
    } while (n > 0 && submit(ring));
}

static void ready(void *opaque, unsigned events)
{
    struct ring *ring = opaque;
    struct io_uring_cqe *cqe;

    (void)events;
    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        struct request *r = io_uring_cqe_get_data(cqe);

        r->result = cqe->res;
        r->done = true;
        io_uring_cqe_seen(&ring->uring, cqe);
        ring->in_kernel--;
        bp_co_wake(r->co);
    }
    give(ring);
}

static struct ring *find_ring(struct uring *s, struct bp_context *ctx, int *ret_error)
{
    struct ring *ring;
    int ret;

    pthread_mutex_lock(&s->lock);
    for (ring = s->rings; ring && ring->ctx != ctx;)
        ring = ring->next;
    pthread_mutex_unlock(&s->lock);
    if (ring)
        return ring;
    ring = bp_alloc(sizeof(*ring));
    ring->ctx = ctx;
    ring->tail = &ring->waiting;
    ret = io_uring_queue_init(DEPTH, &ring->uring, 0);
    if (ret < 0) {
        free(ring);
        *ret_error = ret;
        return NULL;
    }
    ring->watch = bp_watch_new(s->owner, ctx, ring->uring.ring_fd, BP_WATCH_IN, ready, ring);
    pthread_mutex_lock(&s->lock);
    ring->next = s->rings;
    s->rings = ring;
    pthread_mutex_unlock(&s->lock);
    return ring;
}

static int uring_open(void *state, struct bp_owner *owner, struct bp_error *err)
{
    struct uring *s = state;
    struct io_uring trial;
    int ret = io_uring_queue_init(2, &trial, 0);

    if (ret < 0)
        return bp_fail(err, -ret, "the host's kernel gives no ring: %s%s", strerror(-ret),
                       ret == -EPERM ? " (see /proc/sys/kernel/io_uring_disabled)"
                       : ret == -ENOSYS ? " (it has none, or a sandbox forbids it)" : "");
    io_uring_queue_exit(&trial);
    s->owner = owner;
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

static void uring_close(void *state)
{
    struct uring *s = state;

    while (s->rings) {
        struct ring *ring = s->rings;

        s->rings = ring->next;
        bp_watch_free(ring->watch);
        io_uring_queue_exit(&ring->uring);
        free(ring);
    }
    pthread_mutex_destroy(&s->lock);
}

static int64_t uring_submit(void *state, int fd, uint32_t flags, const struct iovec *iov,
                            unsigned iov_count, uint64_t offset)
{
    struct request r = {.co = bp_co_current(), .fd = fd, .flags = flags, .iov = iov,
                        .iov_count = iov_count, .offset = offset};
    int error = -EIO;
    struct ring *ring = find_ring(state, bp_co_context(r.co), &error);

    if (!ring)
        return error;
    *ring->tail = &r;
    ring->tail = &r.next;
    if (!ring->plugged)
        give(ring);
    while (!r.done)
        bp_co_await();
    if ((r.result == -EINVAL || r.result == -EOPNOTSUPP) &&
        flags & (BP_BLOCK_AIO_SYNC | BP_BLOCK_AIO_DSYNC))
        return -ENOTSUP;
    return r.result == -EINTR || r.result == -EAGAIN ? -ENOTSUP : r.result; /* a worker does it */
}

static void uring_plug(void *state)
{
    int error;
    struct bp_context *ctx = bp_context_current();
    struct ring *ring = ctx ? find_ring(state, ctx, &error) : NULL;

    if (ring)
        ring->plugged++;
}

static void uring_unplug(void *state)
{
    int error;
    struct bp_context *ctx = bp_context_current();
    struct ring *ring = ctx ? find_ring(state, ctx, &error) : NULL;

    if (ring && ring->plugged > 0 && --ring->plugged == 0)
        give(ring);
}

BP_BLOCK_AIO(uring, "io_uring", "Linux's io_uring", struct uring, .flags = 0, .open = uring_open,
             .close = uring_close, .submit = uring_submit, .plug = uring_plug, .unplug = uring_unplug);
BP_MODULE("block-aio-uring", "Asynchronous I/O by liburing", BP_NO_IMPORTS, {BP_PROVIDE_OTHER, &uring});
