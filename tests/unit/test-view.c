/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Views of the tree of regions: stretches that are one, the tree as text, and who may store under a lock. */
#include <bp/memory.h>
#include <bp/ram.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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

/* Two pieces of one RAM that meet are one stretch, for look-ups and for listeners. */
static void count_section(void *opaque, const struct bp_section *section)
{
    (void)section;
    ++*(unsigned *)opaque;
}

static void pieces_that_meet_are_one(struct fixture *f, gconstpointer data)
{
    static const struct bp_memory_listener listener = {.size = sizeof(listener), .added = count_section};
    struct bp_region *ram, *low, *high;
    struct bp_mapping m = {.size = sizeof(m)};
    unsigned sections = 0;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x4000, &ram, NULL), ==, 0);
    low = bp_region_new_alias(&f->owner, "low", ram, 0, 0x1000);
    high = bp_region_new_alias(&f->owner, "high", ram, 0x1000, 0x1000);
    bp_region_add(f->root, low, 0x10000, 0);
    bp_region_add(f->root, high, 0x11000, 0);
    bp_space_lookup(f->space, 0x10800, &m);
    g_assert_cmpuint(m.length, ==, 0x1800);
    bp_space_listen(f->space, &listener, &sections);
    g_assert_cmpuint(sections, ==, 1);
    bp_space_unlisten(f->space, &listener, &sections);
    sections = 0;
    bp_region_set_alias_offset(high, 0x2000); /* they don't follow each other any more */
    bp_space_lookup(f->space, 0x10800, &m);
    g_assert_cmpuint(m.length, ==, 0x800);
    bp_space_listen(f->space, &listener, &sections);
    g_assert_cmpuint(sections, ==, 2);
    bp_space_unlisten(f->space, &listener, &sections);
}

static void count_commit(void *opaque)
{
    ++*(unsigned *)opaque;
}

/* A change of the tree that nobody could see from the addresses is not told. */
static void change_that_shows_nothing_is_not_told(struct fixture *f, gconstpointer data)
{
    static const struct bp_memory_listener listener = {.size = sizeof(listener), .commit = count_commit};
    struct bp_region *ram, *hidden;
    unsigned commits = 0;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x1000, &ram, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "hidden", 0x1000, &hidden, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x1000, 0);
    bp_space_listen(f->space, &listener, &commits);
    commits = 0;
    bp_region_add(f->root, bp_region_new(&f->owner, "empty", 0x100), 0x100000, 0);
    bp_region_add(f->root, hidden, 0x1000, -1);
    g_assert_cmpuint(commits, ==, 0);
    bp_region_set_address(hidden, 0x1800);
    g_assert_cmpuint(commits, ==, 1);
    bp_space_unlisten(f->space, &listener, &commits);
}

static void tree_is_told_in_the_order_of_addresses(struct fixture *f, gconstpointer data)
{
    static const char *const order[] = {"first", "over", "under", "last", NULL};
    struct bp_region *ram, *shadow;
    char *text, *at;

    (void)data;
    bp_region_add(f->root, bp_region_new(&f->owner, "last", 16), 0x3000, 9);
    bp_region_add(f->root, bp_region_new(&f->owner, "first", 16), 0x1000, -5);
    bp_region_add(f->root, bp_region_new(&f->owner, "under", 16), 0x2000, 0);
    bp_region_add(f->root, bp_region_new(&f->owner, "over", 16), 0x2000, 1);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "chips", 0x1000, &ram, NULL), ==, 0);
    shadow = bp_region_new_alias(&f->owner, "shadow", ram, 0, 0x1000);
    bp_region_set_readonly(shadow, true);
    bp_region_add(f->root, shadow, 0x5000, 0);
    bp_region_add(f->root, bp_region_new_alias(&f->owner, "copy", ram, 0, 0x1000), 0x6000, 0);
    at = text = bpc_memory_tree_text();
    for (unsigned i = 0; order[i]; i++) {
        at = strstr(at, order[i]);
        g_assert_nonnull(at);
    }
    g_assert_nonnull(strstr(text, "0000000000002000-000000000000200f (prio 1, i/o): over"));
    g_assert_nonnull(strstr(text, "(prio 0, rom): alias shadow @chips"));
    g_assert_nonnull(strstr(text, "(prio 0, ram): alias copy @chips"));
    g_free(text);
}

static uint64_t ask_size(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr;
    *(unsigned *)opaque = size;
    return 0x1122334455667788;
}

/* Who takes nothing below eight bytes takes eight, whatever is (not) said of the most. */
static void least_access_is_the_most_at_least(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {.size = sizeof(ops), .read = ask_size, .min_access = 8};
    unsigned size = 0;
    uint64_t value;

    (void)data;
    bp_region_add(f->root, bp_region_new_io(&f->owner, "wide", 16, &ops, &size), 0, 0);
    g_assert_cmpint(bp_space_load(f->space, 8, 8, &value), ==, 0);
    g_assert_cmpuint(size, ==, 8);
    g_assert_cmphex(value, ==, 0x1122334455667788);
    g_assert_cmpint(bp_space_load(f->space, 2, 2, &value), ==, 0);
    g_assert_cmpuint(size, ==, 8);
    g_assert_cmphex(value, ==, 0x5566);
}

static void memory_that_is_there_beforehand_says_nothing(struct fixture *f, gconstpointer data)
{
    const struct bp_ram_options options = {.size = sizeof(options), .length = 1 << 20,
                                           .flags = BP_RAM_PREALLOC, .threads = 3};
    struct bp_error err = {0};
    struct bp_region *ram;
    unsigned char there[256];

    (void)data;
    g_assert_cmpint(bp_region_new_ram_with(&f->owner, "ram", &options, &ram, &err), ==, 0);
    g_assert_cmpint(err.code, ==, 0);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(mincore(bp_region_ram(ram), 1 << 20, there), ==, 0);
    for (unsigned i = 0; i < sizeof(there); i++)
        g_assert_true(there[i] & 1);
}

/* ---- stores by who holds a leaf lock ---- */

static void note_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr;
    *(uint64_t *)opaque = value << 8 | size;
}

static void posts_go_where_no_lock_is_taken(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops plain = {.size = sizeof(plain), .write = note_write},
                                      parallel = {.size = sizeof(parallel), .write = note_write,
                                                  .parallel = BP_PARALLEL},
                                      leaf = {.size = sizeof(leaf), .write = note_write,
                                              .parallel = BP_PARALLEL_LEAF};
    struct bp_region *ram, *rom;
    uint64_t seen = 0;
    uint32_t word;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x1000, &ram, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_rom(&f->owner, "rom", 0x1000, NULL, NULL, &rom, NULL), ==, 0);
    bp_region_add(f->root, ram, 0, 0);
    bp_region_add(f->root, rom, 0x1000, 0);
    bp_region_add(f->root, bp_region_new_io(&f->owner, "plain", 16, &plain, &seen), 0x2000, 0);
    bp_region_add(f->root, bp_region_new_io(&f->owner, "parallel", 16, &parallel, &seen), 0x3000, 0);
    bp_region_add(f->root, bp_region_new_io(&f->owner, "leaf", 16, &leaf, &seen), 0x4000, 0);
    g_assert_cmpint(bp_space_post(f->space, 0x10, 4, 0x11223344, NULL), ==, 0);
    bp_space_read(f->space, 0x10, &word, 4);
    g_assert_cmphex(GUINT32_FROM_LE(word), ==, 0x11223344);
    g_assert_cmpint(bp_space_post(f->space, 0xffe, 4, 1, NULL), ==, -EAGAIN);
    g_assert_cmpint(bp_space_post(f->space, 0x1000, 4, 1, NULL), ==, -EAGAIN);
    g_assert_cmpint(bp_space_post(f->space, 0x2000, 4, 1, NULL), ==, -EAGAIN);
    g_assert_cmpint(bp_space_post(f->space, 0x3000, 4, 1, NULL), ==, -EAGAIN);
    g_assert_cmpint(bp_space_post(f->space, 0x9000, 4, 1, NULL), ==, -EAGAIN);
    g_assert_cmphex(seen, ==, 0);
    g_assert_cmpint(bp_space_post(f->space, 0x4004, 4, 0xab, NULL), ==, 0);
    g_assert_cmphex(seen, ==, 0xab04);
    g_assert_cmpint(bp_space_post(f->space, 0x400e, 4, 1, NULL), ==, -EAGAIN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
#define CASE(name) g_test_add("/view/" #name, struct fixture, NULL, set_up, name, tear_down)
    CASE(pieces_that_meet_are_one);
    CASE(change_that_shows_nothing_is_not_told);
    CASE(tree_is_told_in_the_order_of_addresses);
    CASE(least_access_is_the_most_at_least);
    CASE(memory_that_is_there_beforehand_says_nothing);
    CASE(posts_go_where_no_lock_is_taken);
    return g_test_run();
}
