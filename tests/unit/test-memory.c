/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory core: how regions overlap, against an oracle that asks each byte by itself; how
 * accesses are cut and widened; dirty bytes; listeners; callbacks that change the map under their
 * own feet; readers in other threads while the map changes (run under ThreadSanitizer too).
 */
#include <bp/loop.h>
#include <bp/iommu.h>
#include <bp/memory.h>

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "owner.h"

/* ---- a device that records what it was asked ---- */

struct recorder {
    uint8_t bytes[64];
    char calls[512];
};

static uint64_t recorder_read(void *opaque, uint64_t addr, unsigned size)
{
    struct recorder *rec = opaque;
    uint64_t value = 0;

    g_snprintf(rec->calls + strlen(rec->calls), sizeof(rec->calls) - strlen(rec->calls), "r%u@%u ",
               size, (unsigned)addr);
    memcpy(&value, rec->bytes + addr, size);
    return value;
}

static void recorder_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct recorder *rec = opaque;

    g_assert_true(bp_machine_locked(NULL));
    g_snprintf(rec->calls + strlen(rec->calls), sizeof(rec->calls) - strlen(rec->calls), "w%u@%u ",
               size, (unsigned)addr);
    memcpy(rec->bytes + addr, &value, size);
}

struct fixture {
    struct bp_owner owner;
    struct bp_region *root;
    struct bp_space *space;
    struct recorder rec;
};

static void set_up(struct fixture *f, gconstpointer data)
{
    (void)data;
    memset(f, 0, sizeof(*f));
    bpc_owner_init(&f->owner);
    f->root = bp_region_new(&f->owner, "root", UINT64_MAX);
    f->space = bp_space_new(&f->owner, "test", f->root);
    for (unsigned i = 0; i < sizeof(f->rec.bytes); i++)
        f->rec.bytes[i] = (uint8_t)(0x10 + i);
}

static void tear_down(struct fixture *f, gconstpointer data)
{
    (void)data;
    bpc_owner_release(&f->owner);
}

static void add_recorder(struct fixture *f, const struct bp_region_ops *ops, uint64_t at)
{
    bp_region_add(f->root, bp_region_new_io(&f->owner, "rec", 64, ops, &f->rec), at, 0);
}

static void expect_load(struct fixture *f, uint64_t addr, unsigned size, int r, uint64_t value,
                        const char *calls)
{
    uint64_t got;

    f->rec.calls[0] = 0;
    g_assert_cmpint(bp_space_load(f->space, addr, size, &got), ==, r);
    g_assert_cmphex(got, ==, value);
    g_assert_cmpstr(f->rec.calls, ==, calls);
}

static void expect_store(struct fixture *f, uint64_t addr, unsigned size, uint64_t value, int r,
                         const char *calls)
{
    f->rec.calls[0] = 0;
    g_assert_cmpint(bp_space_store(f->space, addr, size, value), ==, r);
    g_assert_cmpstr(f->rec.calls, ==, calls);
}

static void nothing_there_reads_ones(struct fixture *f, gconstpointer data)
{
    uint8_t buf[16];

    (void)data;
    expect_load(f, 0x1000, 4, -EFAULT, 0xffffffff, "");
    expect_store(f, 0x1000, 4, 1, -EFAULT, "");
    expect_load(f, UINT64_MAX - 3, 8, -EFAULT, UINT64_MAX, "");
    memset(buf, 0, sizeof(buf));
    g_assert_cmpint(bp_space_read(f->space, UINT64_MAX - 7, buf, 16), ==, -EFAULT);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(buf[i], ==, 0xff);
}

static void wide_access_is_split(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops bytes = {
        .size = sizeof(bytes), .read = recorder_read, .write = recorder_write, .max_access = 1};
    static const struct bp_region_ops words = {
        .size = sizeof(words), .read = recorder_read, .write = recorder_write, .max_access = 2};

    (void)data;
    add_recorder(f, &bytes, 0);
    add_recorder(f, &words, 0x100);
    expect_load(f, 0, 4, 0, 0x13121110, "r1@0 r1@1 r1@2 r1@3 ");
    expect_load(f, 0x100, 4, 0, 0x13121110, "r2@0 r2@2 ");
    expect_load(f, 0x101, 4, 0, 0x14131211, "r1@1 r2@2 r1@4 ");
    expect_store(f, 0x100, 8, UINT64_C(0x8877665544332211), 0, "w2@0 w2@2 w2@4 w2@6 ");
    g_assert_cmphex(f->rec.bytes[7], ==, 0x88);
}

static void default_access_is_up_to_four_bytes(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write};
    static const struct bp_region_ops whole = {
        .size = sizeof(whole), .read = recorder_read, .write = recorder_write, .unaligned = 1};

    (void)data;
    add_recorder(f, &ops, 0);
    add_recorder(f, &whole, 0x100);
    expect_load(f, 0, 8, 0, UINT64_C(0x1716151413121110), "r4@0 r4@4 ");
    expect_load(f, 0x3, 2, 0, 0x1413, "r1@3 r1@4 ");
    expect_load(f, 0x103, 2, 0, 0x1413, "r2@3 ");
    expect_load(f, 0x105, 4, 0, 0x18171615, "r4@5 ");
}

static void narrow_access_is_widened(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write, .min_access = 4};

    (void)data;
    add_recorder(f, &ops, 0);
    expect_load(f, 5, 1, 0, 0x15, "r4@4 ");
    expect_store(f, 6, 1, 0xaa, 0, "r4@4 w4@4 ");
    g_assert_cmphex(f->rec.bytes[5], ==, 0x15);
    g_assert_cmphex(f->rec.bytes[6], ==, 0xaa);
    g_assert_cmphex(f->rec.bytes[7], ==, 0x17);
}

static void invalid_size_fails(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write, .min_access = 4,
        .valid_min = 4, .valid_max = 4};
    uint8_t buf[8];

    (void)data;
    add_recorder(f, &ops, 0);
    expect_load(f, 0, 2, -EFAULT, 0xffff, "");
    expect_load(f, 0, 8, -EFAULT, UINT64_MAX, "");
    expect_load(f, 4, 4, 0, 0x17161514, "r4@4 ");
    /* A buffer is cut to what is valid. */
    g_assert_cmpint(bp_space_read(f->space, 0, buf, 8), ==, 0);
    g_assert_cmpint(memcmp(buf, f->rec.bytes, 8), ==, 0);
    g_assert_cmpint(bp_space_read(f->space, 0, buf, 6), ==, -EFAULT);
    g_assert_cmphex(buf[4], ==, 0xff);
}

static void big_endian_is_swapped(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write, .big_endian = 1};

    (void)data;
    add_recorder(f, &ops, 0);
    expect_load(f, 0, 4, 0, 0x10111213, "r4@0 ");
    expect_load(f, 0, 8, 0, UINT64_C(0x1415161710111213), "r4@0 r4@4 ");
    expect_store(f, 0, 2, 0x1234, 0, "w2@0 ");
    g_assert_cmphex(f->rec.bytes[0], ==, 0x12);
}

static void access_over_border_reaches_both(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write};
    struct bp_region *ram;
    struct bp_error err = {0};

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x1000, &ram, &err), ==, 0);
    bp_region_add(f->root, ram, 0, 0);
    add_recorder(f, &ops, 0x1000);
    ((uint8_t *)bp_region_ram(ram))[0xffe] = 0xa1;
    ((uint8_t *)bp_region_ram(ram))[0xfff] = 0xa2;
    expect_load(f, 0xffe, 4, 0, 0x1110a2a1, "r2@0 ");
    expect_store(f, 0xfff, 2, 0x5566, 0, "w1@0 ");
    g_assert_cmphex(((uint8_t *)bp_region_ram(ram))[0xfff], ==, 0x66);
    expect_load(f, 0x103f, 2, -EFAULT, 0xff4f, "r1@63 ");
}

static void rom_drops_writes_but_loads_firmware(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {.size = sizeof(ops), .write = recorder_write};
    struct bp_region *rom, *flash;
    struct bp_mapping m = {.size = sizeof(m)};
    uint64_t value;

    (void)data;
    g_assert_cmpint(bp_region_new_rom(&f->owner, "rom", 0x1000, NULL, NULL, &rom, NULL), ==, 0);
    g_assert_cmpint(bp_region_new_rom(&f->owner, "flash", 0x1000, &ops, &f->rec, &flash, NULL), ==,
                    0);
    bp_region_add(f->root, rom, 0, 0);
    bp_region_add(f->root, flash, 0x1000, 0);
    g_assert_cmpint(bp_space_write_rom(f->space, 0xffe, "abcd", 4), ==, 0);
    g_assert_cmpint(bp_space_store(f->space, 0xffe, 1, 0), ==, 0);
    g_assert_cmpint(bp_space_load(f->space, 0xffe, 4, &value), ==, 0);
    g_assert_cmphex(value, ==, 0x64636261);
    expect_store(f, 0x1008, 1, 7, 0, "w1@8 ");
    bp_space_lookup(f->space, 0xffe, &m);
    g_assert_true(m.region == rom && m.readonly && !m.dirty && m.length == 2);
    g_assert_cmpint(m.host[0], ==, 'a');
    g_assert_cmpint(bp_space_write_rom(f->space, 0x2000, "x", 1), ==, -EFAULT);
}

static void readonly_alias_protects_ram(struct fixture *f, gconstpointer data)
{
    struct bp_region *ram, *alias;
    struct bp_mapping m = {.size = sizeof(m)};
    uint64_t value;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x10000, &ram, NULL), ==, 0);
    alias = bp_region_new_alias(&f->owner, "alias", ram, 0x4000, 0x2000);
    bp_region_add(f->root, ram, 0, 0);
    bp_region_add(f->root, alias, 0x100000, 0);
    g_assert_cmpint(bp_space_store(f->space, 0x4010, 4, 0x11), ==, 0);
    bp_region_set_readonly(alias, true);
    g_assert_cmpint(bp_space_store(f->space, 0x100010, 4, 0x22), ==, 0);
    g_assert_cmpint(bp_space_load(f->space, 0x100010, 4, &value), ==, 0);
    g_assert_cmphex(value, ==, 0x11);
    bp_region_set_readonly(alias, false);
    g_assert_cmpint(bp_space_store(f->space, 0x100010, 4, 0x22), ==, 0);
    g_assert_cmpint(bp_space_load(f->space, 0x4010, 4, &value), ==, 0);
    g_assert_cmphex(value, ==, 0x22);
    bp_region_set_alias_offset(alias, 0x8000);
    bp_space_lookup(f->space, 0x100800, &m);
    g_assert_true(m.region == ram && m.offset == 0x8800 && m.length == 0x1800 && !m.readonly);
    bp_space_lookup(f->space, 0x50000, &m);
    g_assert_true(!m.region && m.length == 0x100000 - 0x50000);
}

static void rom_device_answers_by_its_mode(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write};
    struct bp_region *flash, *alias;
    struct bp_mapping m = {.size = sizeof(m)};

    (void)data;
    g_assert_cmpint(bp_region_new_rom(&f->owner, "flash", 0x1000, &ops, &f->rec, &flash, NULL), ==, 0);
    alias = bp_region_new_alias(&f->owner, "window", flash, 0x10, 0x20);
    bp_region_add(f->root, flash, 0x1000000, 0);
    bp_region_add(f->root, alias, 0x2000000, 0);
    g_assert_cmpint(bp_space_write_rom(f->space, 0x1000010, "\x12\x34", 2), ==, 0);
    expect_load(f, 0x2000000, 2, 0, 0x3412, "");
    bp_region_rom_device_mode(flash, false);
    bp_space_lookup(f->space, 0x2000000, &m);
    g_assert_null(m.host);
    expect_load(f, 0x2000000, 2, 0, 0x2120, "r2@16 ");
    expect_store(f, 0x2000000, 2, 0x90, 0, "w2@16 ");
    /* what is programmed lies in its memory meanwhile */
    g_assert_cmpint(bp_space_write_rom(f->space, 0x1000010, "\x56", 1), ==, 0);
    bp_region_rom_device_mode(flash, true);
    expect_load(f, 0x1000010, 2, 0, 0x3456, "");
}

static int picky_read(void *opaque, uint64_t addr, unsigned size, uint64_t *ret_value,
                      const struct bp_access *access)
{
    struct bp_access *seen = opaque;

    (void)size;
    *seen = *access;
    *ret_value = 0x77;
    return addr == 4 ? -EIO : addr == 8 ? -ENOENT : 0;
}

static int picky_write(void *opaque, uint64_t addr, uint64_t value, unsigned size,
                       const struct bp_access *access)
{
    (void)opaque, (void)addr, (void)value, (void)size;
    return access->flags & BP_ACCESS_USER ? -EIO : 0;
}

static void callbacks_see_who_asks_and_may_refuse(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read_with = picky_read, .write_with = picky_write};
    struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER | BP_ACCESS_USER,
                            .requester = 0x123}, seen;
    uint8_t buf[8];
    uint64_t value;

    (void)data;
    bp_region_add(f->root, bp_region_new_io(&f->owner, "picky", 16, &ops, &seen), 0x1000, 0);
    g_assert_cmpint(bp_space_load_as(f->space, 0x1000, 4, &value, &who), ==, 0);
    g_assert_cmphex(value, ==, 0x77);
    g_assert_cmphex(seen.requester, ==, 0x123);
    g_assert_cmphex(seen.flags, ==, BP_ACCESS_REQUESTER | BP_ACCESS_USER);
    g_assert_cmpint(bp_space_load(f->space, 0x1000, 4, &value), ==, 0);
    g_assert_cmphex(seen.flags, ==, 0);
    g_assert_cmpint(bp_space_load(f->space, 0x1004, 4, &value), ==, -EIO);
    g_assert_cmphex(value, ==, UINT32_MAX);
    g_assert_cmpint(bp_space_load(f->space, 0x1008, 4, &value), ==, -EFAULT);
    g_assert_cmpint(bp_space_store(f->space, 0x1000, 4, 1), ==, 0);
    g_assert_cmpint(bp_space_store_as(f->space, 0x1000, 4, 1, &who), ==, -EIO);
    g_assert_cmpint(bp_space_write_as(f->space, 0x1000, "abcd", 4, &who), ==, -EIO);
    g_assert_cmpint(bp_space_read_as(f->space, 0x1000, buf, 8, &who), ==, -EIO);
    g_assert_cmphex(buf[0], ==, 0xff); /* one access of eight bytes */
    g_assert_cmphex(buf[4], ==, 0xff);
}

static void unsized_table_answers_nothing(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {.read = recorder_read};
    uint64_t value;

    (void)data;
    bp_region_add(f->root, bp_region_new_io(&f->owner, "unsized", 16, &ops, f), 0x1000, 0);
    bp_space_load(f->space, 0x1000, 4, &value);
    g_assert_cmphex(value, ==, UINT32_MAX);
}

static void huge_ram_costs_nothing(struct fixture *f, gconstpointer data)
{
    struct bp_region *ram;
    uint64_t value;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", UINT64_C(256) << 30, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0, 0);
    g_assert_cmpint(bp_space_store(f->space, UINT64_C(255) << 30, 8, 42), ==, 0);
    g_assert_cmpint(bp_space_load(f->space, UINT64_C(255) << 30, 8, &value), ==, 0);
    g_assert_cmpuint(value, ==, 42);
    g_assert_cmpint(bp_region_new_ram(&f->owner, "none", 0, &ram, NULL), ==, -EINVAL);
}

/* ---- overlaps against an oracle ---- */

#define WORLD 256
#define REGIONS 24

struct node {
    struct bp_region *region;
    struct bp_region *parent_region;
    int parent;       /* index, -1: not in the tree */
    int target;       /* alias, or -1 */
    bool io;
    uint64_t size, offset, target_offset;
    int priority;
    unsigned order;   /* later wins */
    bool enabled;
};

struct world {
    struct node nodes[REGIONS];
    unsigned count, clock;
};

/* Which I/O node shows at byte `at` of node n (its own coordinates); -1: none. */
static int oracle(const struct world *w, int n, int64_t at, uint64_t *ret_offset, unsigned level)
{
    const struct node *node = &w->nodes[n];
    bool tried[REGIONS] = {false};

    if (!node->enabled || at < 0 || (uint64_t)at >= node->size || level > REGIONS)
        return -1;
    for (;;) {
        int best = -1, found;

        for (unsigned i = 0; i < w->count; i++) {
            const struct node *c = &w->nodes[i];

            if (c->parent == n && !tried[i] &&
                (best < 0 || c->priority > w->nodes[best].priority ||
                 (c->priority == w->nodes[best].priority && c->order > w->nodes[best].order)))
                best = (int)i;
        }
        if (best < 0)
            break;
        tried[best] = true;
        found = oracle(w, best, at - (int64_t)w->nodes[best].offset, ret_offset, level + 1);
        if (found >= 0)
            return found;
    }
    if (node->target >= 0)
        return oracle(w, node->target, at + (int64_t)node->target_offset, ret_offset, level + 1);
    *ret_offset = (uint64_t)at;
    return node->io ? n : -1;
}

static void check_world(const struct world *w, struct bp_space *space)
{
    for (uint64_t at = 0; at < WORLD; at++) {
        struct bp_mapping m = {.size = sizeof(m)};
        uint64_t offset = 0;
        int n = oracle(w, 0, (int64_t)at, &offset, 0);

        bp_space_lookup(space, at, &m);
        if (n < 0) {
            g_assert_null(m.region);
        } else {
            g_assert_true(m.region == w->nodes[n].region);
            g_assert_cmpuint(m.offset, ==, offset);
        }
        g_assert_cmpuint(m.length, >, 0);
    }
}

/* Parents have lower indices, so that no region contains itself; an alias shows a later one. */
static void build_world(struct world *w, struct bp_owner *owner, GRand *rand)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write};

    w->count = REGIONS;
    for (int i = REGIONS - 1; i >= 0; i--) {
        struct node *n = &w->nodes[i];
        int kind = i == 0 ? 0 : g_rand_int_range(rand, 0, 4);

        n->parent = n->target = -1;
        n->enabled = true;
        n->size = i == 0 ? WORLD : (uint64_t)g_rand_int_range(rand, 0, 120);
        if (kind == 1 && i < REGIONS - 1) {
            n->target = g_rand_int_range(rand, i + 1, REGIONS);
            n->target_offset = (uint64_t)g_rand_int_range(rand, 0, 60);
            n->region = bp_region_new_alias(owner, "alias", w->nodes[n->target].region,
                                            n->target_offset, n->size);
        } else if (kind >= 2) {
            n->io = true;
            n->region = bp_region_new_io(owner, "io", n->size, &ops, NULL);
        } else {
            n->region = bp_region_new(owner, "box", n->size);
        }
    }
}

static void change_world(struct world *w, GRand *rand)
{
    int i = g_rand_int_range(rand, 1, REGIONS);
    struct node *n = &w->nodes[i];

    switch (g_rand_int_range(rand, 0, 7)) {
    case 0:
        bp_region_remove(n->region);
        n->parent = -1;
        break;
    case 1:
        n->enabled = !n->enabled;
        bp_region_set_enabled(n->region, n->enabled);
        break;
    case 2:
        n->size = (uint64_t)g_rand_int_range(rand, 0, 120);
        bp_region_set_size(n->region, n->size);
        break;
    case 3:
        if (n->target >= 0) {
            n->target_offset = (uint64_t)g_rand_int_range(rand, 0, 60);
            bp_region_set_alias_offset(n->region, n->target_offset);
        }
        break;
    case 4:
        n->offset = (uint64_t)g_rand_int_range(rand, 0, 200);
        bp_region_set_address(n->region, n->offset);
        break;
    default:
        n->parent = g_rand_int_range(rand, 0, i);
        n->offset = (uint64_t)g_rand_int_range(rand, 0, 200);
        n->priority = g_rand_int_range(rand, -1, 3);
        n->order = ++w->clock;
        bp_region_add(w->nodes[n->parent].region, n->region, n->offset, n->priority);
        break;
    }
}

static void random_trees_match_oracle(void)
{
    GRand *rand = g_rand_new_with_seed(20240917);

    for (int round = 0; round < 60; round++) {
        struct bp_owner owner;
        struct world w = {.count = 0};
        struct bp_space *space;

        bpc_owner_init(&owner);
        build_world(&w, &owner, rand);
        space = bp_space_new(&owner, "world", w.nodes[0].region);
        for (int step = 0; step < 60; step++) {
            bool batch = g_rand_int_range(rand, 0, 4) == 0;

            if (batch)
                bp_memory_begin();
            for (int k = 0; k < (batch ? 5 : 1); k++)
                change_world(&w, rand);
            if (batch)
                bp_memory_commit();
            check_world(&w, space);
        }
        bpc_owner_release(&owner);
    }
    g_rand_free(rand);
}

static void region_inside_itself_is_skipped(struct fixture *f, gconstpointer data)
{
    struct bp_region *alias = bp_region_new_alias(&f->owner, "mirror", f->root, 0, UINT64_MAX);
    struct bp_region *ram;
    struct bp_mapping m = {.size = sizeof(m)};
    char *text;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x1000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0, 0);
    bp_region_add(f->root, alias, 0x2000, 1);
    bp_space_lookup(f->space, 0x2000, &m);
    g_assert_null(m.region);
    bp_space_lookup(f->space, 0, &m);
    g_assert_true(m.region == ram);
    text = bpc_memory_tree_text();
    g_assert_nonnull(strstr(text, "(prio 1, i/o): alias mirror @root"));
    g_assert_nonnull(strstr(text, "0000000000000000-0000000000000fff (prio 0, ram): ram"));
    free(text);
}

/* ---- listeners ---- */

struct mirror {
    uint8_t covered[WORLD];
    unsigned commits;
    struct bp_space *space;
    const struct bp_memory_listener *leave; /* unlisten this one when told */
};

static void mirror_removed(void *opaque, const struct bp_section *s)
{
    struct mirror *m = opaque;

    for (uint64_t i = s->start; i < s->start + s->length && i < WORLD; i++) {
        g_assert_cmpint(m->covered[i], ==, 1);
        m->covered[i] = 0;
    }
}

static void mirror_added(void *opaque, const struct bp_section *s)
{
    struct mirror *m = opaque;

    for (uint64_t i = s->start; i < s->start + s->length && i < WORLD; i++) {
        g_assert_cmpint(m->covered[i], ==, 0);
        m->covered[i] = 1;
    }
}

static void mirror_commit(void *opaque)
{
    struct mirror *m = opaque;

    m->commits++;
    if (m->leave)
        bp_space_unlisten(m->space, m->leave, m);
}

static const struct bp_memory_listener mirror_listener = {
    .size = sizeof(mirror_listener),
    .removed = mirror_removed, .added = mirror_added, .commit = mirror_commit,
};

static void listener_follows_random_changes(void)
{
    GRand *rand = g_rand_new_with_seed(7);
    struct bp_owner owner;
    struct world w = {.count = 0};
    struct mirror mirror = {.commits = 0};
    struct bp_space *space;

    bpc_owner_init(&owner);
    build_world(&w, &owner, rand);
    space = bp_space_new(&owner, "world", w.nodes[0].region);
    for (int i = 0; i < 20; i++)
        change_world(&w, rand);
    bp_space_listen(space, &mirror_listener, &mirror);
    for (int i = 0; i < 500; i++) {
        change_world(&w, rand);
        for (uint64_t at = 0; at < WORLD; at++) {
            struct bp_mapping m = {.size = sizeof(m)};

            bp_space_lookup(space, at, &m);
            g_assert_cmpint(mirror.covered[at], ==, m.region != NULL);
        }
    }
    bp_space_unlisten(space, &mirror_listener, &mirror);
    bpc_owner_release(&owner);
    g_rand_free(rand);
}

static void listener_hears_once_per_transaction(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = recorder_read, .write = recorder_write};
    struct mirror mirror = {.commits = 0}, leaver = {.commits = 0, .space = f->space};
    struct bp_region *io = bp_region_new_io(&f->owner, "io", 16, &ops, &f->rec);

    (void)data;
    leaver.leave = &mirror_listener;
    bp_space_listen(f->space, &mirror_listener, &leaver);
    bp_space_listen(f->space, &mirror_listener, &mirror);
    g_assert_cmpuint(mirror.commits, ==, 1);
    bp_memory_begin();
    bp_region_add(f->root, io, 0, 0);
    bp_memory_begin();
    bp_region_set_address(io, 32);
    bp_memory_commit();
    g_assert_cmpuint(mirror.commits, ==, 1);
    bp_memory_commit();
    g_assert_cmpuint(mirror.commits, ==, 2);
    g_assert_true(mirror.covered[32] && !mirror.covered[0]);
    bp_region_set_address(io, 32); /* no change */
    g_assert_cmpuint(mirror.commits, ==, 2);
    bp_region_set_address(io, 64);
    g_assert_cmpuint(mirror.commits, ==, 3);
    g_assert_cmpuint(leaver.commits, ==, 1);
    bp_space_unlisten(f->space, &mirror_listener, &mirror);
}

/* ---- callbacks that change the map ---- */

struct suicide {
    struct bp_region *region;
    unsigned calls;
};

static uint64_t suicide_read(void *opaque, uint64_t addr, unsigned size)
{
    struct suicide *s = opaque;

    (void)addr;
    (void)size;
    s->calls++;
    bp_region_free(s->region);
    return 0x5a;
}

static void callback_may_free_its_region(struct fixture *f, gconstpointer data)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = suicide_read, .max_access = 1};
    struct suicide s = {.calls = 0};
    uint64_t value;

    (void)data;
    s.region = bp_region_new_io(&f->owner, "suicide", 16, &ops, &s);
    bp_region_add(f->root, s.region, 0, 0);
    g_assert_cmpint(bp_space_load(f->space, 0, 4, &value), ==, 0);
    g_assert_cmphex(value, ==, 0xffffff5a); /* gone after the first byte */
    g_assert_cmpuint(s.calls, ==, 1);
    g_assert_cmpint(bp_space_load(f->space, 0, 4, &value), ==, -EFAULT);
}

/* ---- threads ---- */

struct race {
    struct bp_space *space;
    int stop;
    unsigned rounds[3]; /* of each reader */
};
struct racer {
    struct race *race;
    unsigned number;
};

static gpointer reader(gpointer data)
{
    struct racer *racer = data;
    struct race *race = racer->race;
    uint64_t value, seen = 0;

    while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
        struct bp_mapping m = {.size = sizeof(m)};

        for (uint64_t at = 0; at < 0x8000; at += 0x800) {
            if (bp_space_load(race->space, at, 4, &value) == 0)
                seen += value == 0x11111111 || value == 0x22222222;
            bp_space_lookup(race->space, at, &m);
        }
        __atomic_add_fetch(&race->rounds[racer->number], 1, __ATOMIC_RELAXED);
    }
    return GSIZE_TO_POINTER(seen);
}

static uint64_t twos(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)size;
    g_assert_true(bp_machine_locked(NULL));
    return 0x22222222;
}

static void readers_run_while_map_changes(void)
{
    static const struct bp_region_ops ops = {.size = sizeof(ops), .read = twos};
    struct bp_owner owner;
    struct bp_region *root, *ram;
    struct race race = {.stop = 0};
    struct racer racers[3];
    GThread *threads[3];

    bpc_owner_init(&owner);
    root = bp_region_new(&owner, "root", UINT64_MAX);
    race.space = bp_space_new(&owner, "race", root);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        racers[i] = (struct racer){&race, i};
        threads[i] = g_thread_new("reader", reader, &racers[i]);
    }
    for (unsigned i = 0; i < 400; i++) {
        struct bp_region *io;

        g_assert_cmpint(bp_region_new_ram(&owner, "ram", 0x2000, &ram, NULL), ==, 0);
        memset(bp_region_ram(ram), 0x11, 0x2000);
        io = bp_region_new_io(&owner, "io", 0x1000, &ops, NULL);
        bp_region_add(root, ram, (i % 4) * 0x2000, 0);
        bp_region_add(root, io, (i % 8) * 0x1000, 1);
        g_usleep(50);
        for (unsigned n = 0; i == 200 && n < G_N_ELEMENTS(threads); n++) {
            unsigned before = __atomic_load_n(&race.rounds[n], __ATOMIC_RELAXED);

            /* In a whole round this map is seen, however busy the computer is. */
            while (__atomic_load_n(&race.rounds[n], __ATOMIC_RELAXED) - before < 2)
                g_usleep(50);
        }
        bp_region_free(io);
        bp_region_free(ram);
    }
    __atomic_store_n(&race.stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(threads[i])), >, 0);
    bpc_owner_release(&owner);
}

#define CASE(name) g_test_add("/memory/" #name, struct fixture, NULL, set_up, name, tear_down)
#define PLAIN(name) g_test_add_func("/memory/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE(nothing_there_reads_ones);
    CASE(wide_access_is_split);
    CASE(default_access_is_up_to_four_bytes);
    CASE(narrow_access_is_widened);
    CASE(invalid_size_fails);
    CASE(big_endian_is_swapped);
    CASE(access_over_border_reaches_both);
    CASE(rom_drops_writes_but_loads_firmware);
    CASE(readonly_alias_protects_ram);
    CASE(rom_device_answers_by_its_mode);
    CASE(callbacks_see_who_asks_and_may_refuse);
    CASE(unsized_table_answers_nothing);
    CASE(huge_ram_costs_nothing);
    PLAIN(random_trees_match_oracle);
    CASE(region_inside_itself_is_skipped);
    PLAIN(listener_follows_random_changes);
    CASE(listener_hears_once_per_transaction);
    CASE(callback_may_free_its_region);
    PLAIN(readers_run_while_map_changes);
    return g_test_run();
}
