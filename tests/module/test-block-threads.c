/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests from several I/O threads to one graph, while the main thread changes it: what is written in pieces of
 * blocks is all there, each request ends once, draining lets nothing through. For ThreadSanitizer too.
 */
#include "block-front.h"

#include <dlfcn.h>

#include <bp/host/iothread.h>

enum { FRONTS = 3, SECTORS = 96, FLYING = 6 };

struct worker {
    struct front front;
    struct bp_context *ctx;
    unsigned index, next, flying;
    unsigned errors;
    bool over; /* atomic: all of them ended */
    uint8_t bufs[FLYING][512];
    struct iovec iov[FLYING];
    struct slot {
        struct worker *w;
        unsigned i;
    } slots[FLYING];
};

static struct worker workers[FRONTS];

static void pump(struct worker *w, unsigned i);

/* In the front's context, under its owner's lock. */
static void written(void *opaque, int ret)
{
    struct slot *slot = opaque;
    struct worker *w = slot->w;

    g_assert_true(bp_context_current() == w->ctx);
    w->errors += ret != 0;
    w->flying--;
    pump(w, slot->i);
}

/* Sectors that are this one's: each block of 4096 bytes has some of every front's. */
static void pump(struct worker *w, unsigned i)
{
    struct bp_block_request req = {.size = sizeof(req), .bytes = 512, .iov = &w->iov[i], .iov_count = 1};
    unsigned sector = w->next * FRONTS + w->index;

    if (w->next == SECTORS) {
        if (w->flying == 0)
            __atomic_store_n(&w->over, true, __ATOMIC_RELEASE);
        return;
    }
    w->next++;
    w->flying++;
    memset(w->bufs[i], (int)(sector + 1), 512);
    w->iov[i] = (struct iovec){w->bufs[i], 512};
    w->slots[i] = (struct slot){w, i};
    req.offset = sector * 512;
    block->submit(w->front.blk, BP_BLOCK_WRITE, &req, written, &w->slots[i]);
}

static void begin(void *opaque)
{
    struct worker *w = opaque;

    bp_owner_lock(w->front.owner);
    for (unsigned i = 0; i < FLYING; i++)
        pump(w, i);
    bp_owner_unlock(w->front.owner);
}

static void open_worker(struct worker *w, unsigned index)
{
    const struct bp_iothread_interface *iothread;
    struct bp_blk_conf conf = {.drive = (char *)"n", .share_rw = true};
    char *id = g_strdup_printf("io%u", index);
    struct bp_error err = {0};
    struct bp_object *obj;
    const void *table;

    memset(w, 0, sizeof(*w));
    w->index = index;
    obj = bp_object_resolve(id, "iothread", NULL);
    if (!obj)
        bp_test_object(host, "iothread", id, NULL, &obj, &err);
    g_assert_cmpstr(err.message, ==, "");
    bp_test_interface(host, "iothread", 1, &table, &err);
    iothread = table;
    w->ctx = iothread->context(obj);
    w->front.owner = bp_owner_new(NULL, "test", id, BP_OWNER_LOCK);
    bp_owner_set_context(w->front.owner, w->ctx);
    block->open(NULL, w->front.owner, NULL, &conf, &fixed, w, &w->front.blk, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_free(id);
}

static bool all_over(void)
{
    bool over = true;

    for (unsigned i = 0; i < FRONTS; i++)
        over &= __atomic_load_n(&workers[i].over, __ATOMIC_ACQUIRE);
    return over;
}

static void run_workers(const char *path, void (*meanwhile)(void))
{
    for (unsigned i = 0; i < FRONTS; i++)
        open_worker(&workers[i], i);
    for (unsigned i = 0; i < FRONTS; i++)
        bp_defer(workers[i].ctx, begin, &workers[i]);
    for (unsigned turn = 0; turn < 60000 && !all_over(); turn++) {
        if (meanwhile)
            meanwhile();
        bp_test_step(host, 0);
        g_usleep(1000);
    }
    g_assert_true(all_over());
    for (unsigned i = 0; i < FRONTS; i++) {
        g_assert_cmpuint(workers[i].errors, ==, 0);
        while (block->in_flight(workers[i].front.blk))
            g_usleep(1000);
        close_front(&workers[i].front);
    }
    for (unsigned sector = 0; path && sector < SECTORS * FRONTS; sector++)
        assert_file_bytes(path, sector * 512, (uint8_t)(sector + 1), 512);
}

static char *make_graph(const char *name, const char *aio, bool direct)
{
    char *path = make_file(name, 1 << 20);

    command("blockdev-add", "{\"driver\": \"blkdebug\", \"node-name\": \"n\", \"align\": 4096, \"image\": {"
            "\"driver\": \"file\", \"filename\": \"%s\", \"aio\": \"%s\", \"cache\": {\"direct\": %s}}}", path, aio,
            direct ? "true" : "false");
    return path;
}

static void pieces_of_blocks_are_all_there(void)
{
    char *path = make_graph("t.img", "threads", false);

    run_workers(path, NULL);
    command("blockdev-del", "{\"node-name\": \"n\"}");
    g_free(path);
}

static void resize_while_busy(void)
{
    static unsigned n;

    command("block_resize", "{\"node-name\": \"n\", \"size\": %u}", (1 << 20) + 4096 * (++n % 7));
}

static void the_graph_changes_under_them(void)
{
    char *path = make_graph("g.img", "threads", false);

    run_workers(path, resize_while_busy);
    command("blockdev-del", "{\"node-name\": \"n\"}");
    g_free(path);
}

/* Cases are of one way each: what a host lacks is told as skipped. */
static bool may_go(const char *way)
{
    char *path = make_file("direct.img", 1 << 20);
    bool there = way_is_there(way), direct = file_system_does_direct_io(path);

    g_free(path);
    if (!there)
        g_test_skip(way[0] == 'i' ? "no aio=io_uring on this host" : "no aio=native on this host");
    else if (!direct)
        g_test_skip("no direct I/O on this file system");
    return there && direct;
}

static void queues_of_the_kernel_serve_each_thread(gconstpointer way)
{
    char *path;

    if (!may_go(way))
        return;
    path = make_graph("q.img", way, true);
    run_workers(path, NULL);
    command("blockdev-del", "{\"node-name\": \"n\"}");
    g_free(path);
}

/* ---- how many requests go to the kernel at once ---- */

enum { AT_ONCE = 24, BATCH = 5 };
static struct front batch_front;
static unsigned batch_over, batch_errors, calls, most_in_call;

/* In front of the libraries': the kernel gets what it would, and it is seen how much in one call. */
int io_submit(void *io, long n, void **requests);
int io_uring_submit(void *ring);

int io_submit(void *io, long n, void **requests)
{
    long ret;

    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    if ((unsigned long)n > __atomic_load_n(&most_in_call, __ATOMIC_RELAXED))
        __atomic_store_n(&most_in_call, (unsigned)n, __ATOMIC_RELAXED);
    ret = syscall(SYS_io_submit, io, n, requests);
    return ret < 0 ? -errno : (int)ret;
}

int io_uring_submit(void *ring)
{
    static int (*real)(void *ring);
    int ret;

    if (!real) { /* the module's library is not in the scope that RTLD_NEXT means */
        void *library = dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD);

        g_assert_nonnull(library);
        *(void **)&real = dlsym(library, "io_uring_submit");
    }
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    ret = real(ring);
    if (ret > (int)__atomic_load_n(&most_in_call, __ATOMIC_RELAXED))
        __atomic_store_n(&most_in_call, (unsigned)ret, __ATOMIC_RELAXED);
    return ret;
}

static void batch_ended(void *opaque, int ret)
{
    (void)opaque;
    batch_errors += ret != 0;
    __atomic_fetch_add(&batch_over, 1, __ATOMIC_RELEASE);
}

static void begin_batch(void *opaque)
{
    static uint8_t buf[AT_ONCE * 4096] __attribute__((aligned(4096)));
    static struct iovec iov[AT_ONCE];
    struct bp_block_request req = {.size = sizeof(req), .bytes = 4096, .iov_count = 1};

    (void)opaque;
    bp_owner_lock(batch_front.owner);
    block->plug(batch_front.blk);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        iov[i] = (struct iovec){buf + i * 4096, 4096};
        req.iov = &iov[i];
        req.offset = i * 4096;
        block->submit(batch_front.blk, BP_BLOCK_READ, &req, batch_ended, NULL);
    }
    block->unplug(batch_front.blk);
    bp_owner_unlock(batch_front.owner);
}

static void read_in_batches(struct bp_context *ctx, unsigned batch, unsigned expected_most)
{
    bp_context_set_batch(ctx, batch);
    batch_over = calls = most_in_call = 0;
    bp_defer(ctx, begin_batch, NULL);
    for (unsigned turn = 0; turn < 60000 && __atomic_load_n(&batch_over, __ATOMIC_ACQUIRE) < AT_ONCE; turn++) {
        bp_test_step(host, 0);
        g_usleep(1000);
    }
    g_assert_cmpuint(batch_over, ==, AT_ONCE);
    g_assert_cmpuint(batch_errors, ==, 0);
    g_assert_cmpuint(most_in_call, ==, expected_most);
    g_assert_cmpuint(calls, >=, (AT_ONCE + expected_most - 1) / expected_most);
}

/* aio-max-batch of an iothread, as its property sets it. */
static void kernel_gets_no_more_at_once_than_the_thread_says(gconstpointer way)
{
    char *path;

    if (!may_go(way))
        return;
    path = make_file("b.img", 1 << 20);
    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"n\", \"filename\": \"%s\", "
            "\"aio\": \"%s\", \"cache\": {\"direct\": true}}", path, (const char *)way);
    open_worker(&workers[0], 0);
    batch_front = workers[0].front;
    read_in_batches(workers[0].ctx, 0, AT_ONCE);
    read_in_batches(workers[0].ctx, BATCH, BATCH);
    read_in_batches(workers[0].ctx, 1, 1);
    bp_context_set_batch(workers[0].ctx, 0);
    close_front(&workers[0].front);
    command("blockdev-del", "{\"node-name\": \"n\"}");
    g_free(path);
}

static struct front reader_front;
static unsigned answered_now, busy_now;

static void read_on_the_spot(void)
{
    static uint8_t buf[512];
    static struct iovec iov = {buf, sizeof(buf)};
    struct bp_block_request req = {.size = sizeof(req), .bytes = 512, .iov = &iov, .iov_count = 1};
    int ret;

    if (block->in_flight(reader_front.blk) > 0)
        return; /* one that was left to itself */
    ret = block->now(reader_front.blk, BP_BLOCK_READ, &req);
    g_assert_true(ret == 0 || ret == -EWOULDBLOCK);
    answered_now += ret == 0;
    busy_now += ret != 0;
}

/* The filter has a lock that its requests hold while they wait: who must not wait is told, and does no harm. */
static void reads_on_the_spot_beside_other_threads_do_no_harm(void)
{
    char *path = make_file("s.img", 1 << 20);
    struct bp_error err = {0};

    command("blockdev-add", "{\"driver\": \"power-cut\", \"node-name\": \"n\", \"cache-size\": 2048, \"file\": {"
            "\"driver\": \"file\", \"filename\": \"%s\"}}", path);
    try_open(&reader_front, "n", &reader, true, &err);
    g_assert_cmpstr(err.message, ==, "");
    run_workers(NULL, read_on_the_spot);
    g_assert_cmpuint(answered_now + busy_now, >, 0);
    while (block->in_flight(reader_front.blk) > 0)
        bp_test_step(host, 0);
    close_front(&reader_front);
    command("blockdev-del", "{\"node-name\": \"n\"}");
    for (unsigned sector = 0; sector < SECTORS * FRONTS; sector++)
        assert_file_bytes(path, sector * 512, (uint8_t)(sector + 1), 512);
    g_free(path);
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"io_uring", "native"};
    int ret;

    bp_test_keep_contexts();
    start_host(&argc, &argv);
    g_test_add_func("/block-threads/pieces_of_blocks_are_all_there", pieces_of_blocks_are_all_there);
    g_test_add_func("/block-threads/the_graph_changes_under_them", the_graph_changes_under_them);
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        char *serve = g_strconcat("/block-threads/queues_of_the_kernel_serve_each_thread/", ways[i], NULL);
        char *most = g_strconcat("/block-threads/kernel_gets_no_more_at_once_than_the_thread_says/", ways[i], NULL);

        g_test_add_data_func(serve, ways[i], queues_of_the_kernel_serve_each_thread);
        g_test_add_data_func(most, ways[i], kernel_gets_no_more_at_once_than_the_thread_says);
        g_free(serve);
        g_free(most);
    }
    g_test_add_func("/block-threads/reads_on_the_spot_beside_other_threads_do_no_harm",
                    reads_on_the_spot_beside_other_threads_do_no_harm);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}
