/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions of owners that leave while their register callbacks run, or are about to. */
#include <glib.h>

#include <bp/coroutine.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include "loop.h"
#include "memory.h"
#include "owner.h"
#include "quiet.h"
#include "waiting.h"

static uint64_t slow_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    run_until_told(opaque);
    return 7;
}

static void *read_it(void *space)
{
    uint64_t value = 0;

    g_assert_cmpint(bp_space_read(space, 0x10, &value, 4), ==, 0);
    return NULL;
}

/* A parallel register callback of a framework's region runs in another thread while its owner is freed. */
static void owner_with_a_region_waits_for_its_callbacks(void)
{
    static const struct bp_region_ops io = {.size = sizeof(io), .read = slow_read, .parallel = true};
    struct slow slow = {.runs = false};
    struct bp_owner *keeper = bp_owner_new(NULL, "keeper", NULL, 0);
    struct freeing f = {bp_owner_new(NULL, "node", NULL, 0), &slow, false};
    struct bp_region *root = bp_region_new(keeper, "root", 0x1000);
    struct bp_space *space = bp_space_new(keeper, "space", root);
    struct bp_co *co;
    pthread_t thread;

    bp_region_add(root, bp_region_new_io(f.owner, "io", 0x100, &io, &slow), 0, 0);
    pthread_create(&thread, NULL, read_it, space);
    until_true(&slow.runs);
    g_assert_cmpint(bp_co_new(NULL, NULL, "free", free_owner, &f, &co, NULL), ==, 0);
    bp_co_enter(co);
    turns(20);
    g_assert_false(f.freed);
    __atomic_store_n(&slow.end, true, __ATOMIC_SEQ_CST);
    until_true(&f.freed);
    pthread_join(thread, NULL);
    bp_co_unref(co);
    bp_owner_free(keeper);
}

/* The same when the region is freed first, in the middle of its callback. */
static void region_freed_under_a_callback_still_keeps_its_owner(void)
{
    static const struct bp_region_ops io = {.size = sizeof(io), .read = slow_read, .parallel = true};
    struct slow slow = {.runs = false};
    struct bp_owner *keeper = bp_owner_new(NULL, "keeper", NULL, 0);
    struct freeing f = {bp_owner_new(NULL, "node", NULL, 0), &slow, false};
    struct bp_region *root = bp_region_new(keeper, "root", 0x1000), *region, *idle;
    struct bp_space *space = bp_space_new(keeper, "space", root);
    struct bp_co *co;
    pthread_t thread;

    region = bp_region_new_io(f.owner, "io", 0x100, &io, &slow);
    idle = bp_region_new_io(f.owner, "idle", 0x100, &io, &slow);
    bp_region_add(root, region, 0, 0);
    bp_region_add(root, idle, 0x200, 0);
    pthread_create(&thread, NULL, read_it, space);
    until_true(&slow.runs);
    bp_region_free(region);
    bp_region_free(idle); /* which nobody is in */
    g_assert_cmpint(bp_co_new(NULL, NULL, "free", free_owner, &f, &co, NULL), ==, 0);
    bp_co_enter(co);
    turns(20);
    g_assert_false(f.freed);
    __atomic_store_n(&slow.end, true, __ATOMIC_SEQ_CST);
    until_true(&f.freed);
    pthread_join(thread, NULL);
    bp_co_unref(co);
    bp_owner_free(keeper);
}

struct reader {
    struct bp_space *space;
    bool found, left, held; /* atomic */
};

/* Found the region in a view that is old by the time it would call. */
static void *find_and_call(void *opaque)
{
    struct reader *r = opaque;
    const struct bpc_range *range;
    uint64_t length;

    bpc_memory_read_lock();
    range = bpc_range_at(r->space, 0x10, &length);
    __atomic_store_n(&r->found, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&r->left, __ATOMIC_SEQ_CST))
        g_usleep(100);
    r->held = bpc_region_hold(range->region); /* leaves the section */
    return NULL;
}

static void region_found_before_its_owner_left_is_not_called(void)
{
    static const struct bp_region_ops io = {.size = sizeof(io), .read = slow_read, .parallel = true};
    struct bp_owner *keeper = bp_owner_new(NULL, "keeper", NULL, 0);
    struct bp_owner *owner = bp_owner_new(NULL, "node", NULL, BP_OWNER_LOCK);
    struct bp_region *root = bp_region_new(keeper, "root", 0x1000);
    struct reader r = {.space = bp_space_new(keeper, "space", root)};
    struct slow slow = {.end = true};
    pthread_t thread;

    bp_region_add(root, bp_region_new_io(owner, "io", 0x100, &io, &slow), 0, 0);
    pthread_create(&thread, NULL, find_and_call, &r);
    until_true(&r.found);
    bp_owner_free(owner); /* nobody is counted: it does not wait */
    __atomic_store_n(&r.left, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    g_assert_false(r.held);
    bp_owner_free(keeper);
    bpc_grace_wait();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
#define CASE(FN) g_test_add_func("/region-owner/" #FN, FN)
    CASE(owner_with_a_region_waits_for_its_callbacks);
    CASE(region_freed_under_a_callback_still_keeps_its_owner);
    CASE(region_found_before_its_owner_left_is_not_called);
    return g_test_run();
}
