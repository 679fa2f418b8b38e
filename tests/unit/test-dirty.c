/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dirty logs: by whom they are seen, and that no write is missed. */
#include <bp/exact/memory.h>
#include <bp/memory.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "loop.h"
#include "memory.h"

struct fixture {
    struct bp_owner owner;
    struct bp_region *root;
    struct bp_space *space;
};

static void set_up(struct fixture *f, gconstpointer data)
{
    (void)data;
    bpc_owner_init(&f->owner);
    f->root = bp_region_new(&f->owner, "root", UINT64_MAX);
    f->space = bp_space_new(&f->owner, "test", f->root);
}

static void tear_down(struct fixture *f, gconstpointer data)
{
    (void)data;
    bpc_owner_release(&f->owner);
}

static void ignore_kick(void *opaque)
{
    (void)opaque;
}

static void turn_until_settled(struct bp_dirty_log *log, struct bp_region *ram)
{
    for (unsigned i = 0; i < 10000; i++) {
        if (!__atomic_load_n(&ram->log_settling, __ATOMIC_ACQUIRE))
            break;
        g_usleep(100);
    }
    g_assert_true(bp_dirty_log_test_clear(log, ram, 0, UINT64_MAX)); /* all begin dirty */
    g_assert_false(bp_dirty_log_test_clear(log, ram, 0, UINT64_MAX));
}

static void dirty_pages_are_seen_once_by_each_log(struct fixture *f, gconstpointer data)
{
    struct bp_region *ram;
    struct bp_dirty_log *one, *two;
    struct bp_mapping m = {.size = sizeof(m)};

    (void)data;
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "one", &one, NULL), ==, 0);
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "two", &two, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x40000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x1000000, 0);
    bp_dirty_log_start(one, ram);
    bp_dirty_log_start(two, ram);
    turn_until_settled(one, ram);
    turn_until_settled(two, ram);
    bp_space_store(f->space, 0x1013ffe, 4, 0); /* two pages */
    g_assert_false(bp_dirty_log_test_clear(one, ram, 0x12000, 0x1000));
    g_assert_true(bp_dirty_log_test_clear(one, ram, 0x13000, 0x1000));
    g_assert_false(bp_dirty_log_test_clear(one, ram, 0x13000, 0x1000));
    g_assert_true(bp_dirty_log_test_clear(one, ram, 0x14000, 1));
    g_assert_true(bp_dirty_log_test_clear(two, ram, 0, 0x40000));
    g_assert_false(bp_dirty_log_test_clear(two, ram, 0, 0x40000));
    bp_space_lookup(f->space, 0x1020000, &m);
    *m.dirty = BP_DIRTY_ALL;
    g_assert_true(bp_dirty_log_test_clear(two, ram, 0x20fff, 1));
    bp_space_fill(f->space, 0x1030000, 0xee, 0x2000);
    g_assert_cmphex(((uint8_t *)bp_region_ram(ram))[0x31fff], ==, 0xee);
    g_assert_true(bp_dirty_log_test_clear(one, ram, 0x31000, 0x1000));
    g_assert_false(bp_dirty_log_test_clear(one, ram, 0x32000, UINT64_MAX));
    bp_region_mark_dirty(ram, 0x3ffff, UINT64_MAX);
    g_assert_true(bp_dirty_log_test_clear(one, ram, 0x3f000, 1));
}

static void logs_that_are_off_cost_nothing_and_hear_nothing(struct fixture *f, gconstpointer data)
{
    struct bp_region *ram;
    struct bp_dirty_log *log, *other;
    struct bp_mapping m = {.size = sizeof(m)};

    (void)data;
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "log", &log, NULL), ==, 0);
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "other", &other, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x40000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x1000000, 0);
    bp_space_lookup(f->space, 0x1000000, &m);
    g_assert_null(m.dirty);
    bp_space_store(f->space, 0x1000000, 4, 1);
    g_assert_false(bp_dirty_log_test_clear(log, ram, 0, UINT64_MAX));
    g_assert_cmpuint(ram->dirty[0], ==, 0);
    bp_dirty_log_start(log, ram);
    bp_dirty_log_start(log, ram); /* counted */
    bp_space_lookup(f->space, 0x1000000, &m);
    g_assert_nonnull(m.dirty);
    g_assert_true(bp_dirty_log_test_clear(log, ram, 0, 1));
    g_assert_false(bp_dirty_log_test_clear(other, ram, 0, 1)); /* off here */
    bp_dirty_log_stop(log, ram);
    bp_space_lookup(f->space, 0x1000000, &m);
    g_assert_nonnull(m.dirty);
    bp_dirty_log_free(log); /* the second start goes with it */
    bp_space_lookup(f->space, 0x1000000, &m);
    g_assert_null(m.dirty);
}

struct write_heard {
    const uint8_t *host;
    uint64_t length;
    unsigned calls;
};

static void hear_write(void *opaque, const uint8_t *host, uint64_t length)
{
    struct write_heard *heard = opaque;

    heard->host = host;
    heard->length = length;
    heard->calls++;
}

static void what_is_marked_is_told_to_who_watches_as_far_as_there_is_memory(struct fixture *f,
                                                                            gconstpointer data)
{
    struct write_heard heard = {.calls = 0};
    struct bp_write_watch *watch;
    struct bp_region *ram;
    const uint8_t *host;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x4000, &ram, NULL), ==, 0);
    host = bp_region_ram(ram);
    watch = bp_write_watch_new(&f->owner, hear_write, &heard);
    bp_region_mark_dirty(ram, 0x1000, 0x10);
    g_assert_cmpuint(heard.calls, ==, 1);
    g_assert_true(heard.host == host + 0x1000 && heard.length == 0x10);
    bp_region_mark_dirty(ram, 0x3ff0, 0x1000);
    g_assert_cmpuint(heard.calls, ==, 2);
    g_assert_true(heard.host == host + 0x3ff0 && heard.length == 0x10);
    bp_region_mark_dirty(ram, 0x4000, 0x10);
    bp_region_mark_dirty(ram, UINT64_MAX, 1);
    bp_region_mark_dirty(ram, 0x1000, 0);
    g_assert_cmpuint(heard.calls, ==, 2);
    bp_write_watch_free(watch);
}

static void a_ninth_dirty_log_is_refused(struct fixture *f, gconstpointer data)
{
    struct bp_dirty_log *log;
    struct bp_error err = {0};

    (void)data;
    for (unsigned i = 0; i < 8; i++)
        g_assert_cmpint(bp_dirty_log_new(&f->owner, "many", &log, NULL), ==, 0);
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "late", &log, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "'late'"));
}

/* A log that was started while a vCPU runs: what it writes without telling is not missed. */
static void writes_by_who_does_not_know_of_a_log_are_not_missed(struct fixture *f,
                                                                gconstpointer data)
{
    struct bp_region *ram;
    struct bp_dirty_log *log;
    struct bp_mapping m = {.size = sizeof(m)};
    struct bpc_reader vcpu = {.kick = ignore_kick};

    (void)data;
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "log", &log, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x40000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x1000000, 0);
    bpc_reader_add(&vcpu);
    bpc_reader_enter(&vcpu);
    bp_space_lookup(f->space, 0x1000000, &m);
    bp_dirty_log_start(log, ram);
    g_usleep(20000);
    g_assert_true(bp_dirty_log_test_clear(log, ram, 0, 0x1000));
    *m.host = 1; /* by the old map: no dirty byte */
    g_assert_true(bp_dirty_log_test_clear(log, ram, 0, 0x1000));
    bpc_reader_leave(&vcpu);
    turn_until_settled(log, ram);
    bpc_reader_remove(&vcpu);
}

struct heard {
    unsigned start, stop, sync;
    struct bp_section last;
};

static void hear_start(void *opaque, const struct bp_section *section)
{
    struct heard *h = opaque;

    h->start++;
    h->last = *section;
}

static void hear_stop(void *opaque, const struct bp_section *section)
{
    (void)section;
    ((struct heard *)opaque)->stop++;
}

static void hear_sync(void *opaque, const struct bp_section *section)
{
    ((struct heard *)opaque)->sync++;
    bp_region_mark_dirty(section->region, section->offset + 0x3000, 1);
}

static void listeners_keep_logs_too(struct fixture *f, gconstpointer data)
{
    static const struct bp_memory_listener table = {
        .size = sizeof(table), .log_start = hear_start, .log_stop = hear_stop, .log_sync = hear_sync};
    struct heard heard = {0};
    struct bp_region *ram;
    struct bp_dirty_log *one, *two;

    (void)data;
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "one", &one, NULL), ==, 0);
    g_assert_cmpint(bp_dirty_log_new(&f->owner, "two", &two, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x40000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x1000000, 0);
    bp_space_listen(f->space, &table, &heard);
    bp_dirty_log_start(one, ram);
    g_assert_cmpuint(heard.start, ==, 1);
    turn_until_settled(one, ram);
    bp_dirty_log_start(two, ram);
    g_assert_cmpuint(heard.start, ==, 1); /* of the first log alone */
    turn_until_settled(two, ram);
    g_assert_false(bp_dirty_log_test_clear(one, ram, 0, UINT64_MAX)); /* two's start is no write */
    g_assert_cmphex(heard.last.start, ==, 0x1000000);
    g_assert_cmphex(heard.last.length, ==, 0x40000);
    g_assert_true(heard.last.logged);
    bp_dirty_log_sync(two, ram);
    g_assert_cmpuint(heard.sync, ==, 1);
    g_assert_true(bp_dirty_log_test_clear(two, ram, 0x3000, 1));
    bp_dirty_log_stop(one, ram);
    g_assert_cmpuint(heard.stop, ==, 0);
    bp_dirty_log_stop(two, ram);
    g_assert_cmpuint(heard.stop, ==, 1);
    bp_space_unlisten(f->space, &table, &heard);
}

#define CASE(name) g_test_add("/dirty/" #name, struct fixture, NULL, set_up, name, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE(dirty_pages_are_seen_once_by_each_log);
    CASE(logs_that_are_off_cost_nothing_and_hear_nothing);
    CASE(what_is_marked_is_told_to_who_watches_as_far_as_there_is_memory);
    CASE(a_ninth_dirty_log_is_refused);
    CASE(writes_by_who_does_not_know_of_a_log_are_not_missed);
    CASE(listeners_keep_logs_too);
    return g_test_run();
}
