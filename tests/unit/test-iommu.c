/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU regions: translation by requester, nesting, notifiers. */
#include <bp/iommu.h>
#include <bp/loop.h>

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

/* An IOMMU of pages: a requester sees page n of the region at page table[n] of the target. */
struct translator {
    struct bp_space *target;
    uint64_t table[16];  /* page number | IOMMU_* << 60; 0: nothing */
    uint32_t requester;  /* whose table that is; others have none */
    unsigned calls, wanted, unwanted;
};

static int translate(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                     struct bp_iommu_entry *ret_entry)
{
    struct translator *t = opaque;
    uint64_t e = addr / 4096 < 16 ? t->table[addr / 4096] : 0;

    (void)write;
    t->calls++;
    g_assert_false(bp_machine_locked(NULL) && t->requester == 99);
    if (access->requester != t->requester || !(access->flags & BP_ACCESS_REQUESTER))
        return -EIO;
    ret_entry->target = t->target;
    ret_entry->address = addr & ~UINT64_C(4095);
    ret_entry->length = 4096;
    ret_entry->translated = (e & 0xffff) * 4096;
    ret_entry->allowed = (uint32_t)(e >> 60);
    return 0;
}

static void iommu_wanted(void *opaque, bool wanted)
{
    struct translator *t = opaque;

    if (wanted)
        t->wanted++;
    else
        t->unwanted++;
}

static void iommu_replay(void *opaque, struct bp_iommu_notifier *to)
{
    struct translator *t = opaque;

    for (unsigned n = 0; n < 16; n++) {
        struct bp_iommu_entry e = {.size = sizeof(e), .target = t->target, .address = n * 4096,
                                   .translated = (t->table[n] & 0xffff) * 4096, .length = 4096,
                                   .allowed = (uint32_t)(t->table[n] >> 60)};

        if (e.allowed)
            bp_iommu_tell(to, &e);
    }
}

static const struct bp_iommu_ops iommu_ops = {.size = sizeof(iommu_ops), .translate = translate,
                                              .wanted = iommu_wanted, .replay = iommu_replay};
#define PAGE_RW(page) ((page) | UINT64_C(3) << 60)
#define PAGE_R(page) ((page) | UINT64_C(1) << 60)

static void iommu_translates_by_requester(struct fixture *f, gconstpointer data)
{
    struct translator t = {.target = f->space, .requester = 7};
    struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER, .requester = 7};
    struct bp_region *ram, *iommu = bp_region_new_iommu(&f->owner, "iommu", UINT64_MAX, &iommu_ops, &t);
    struct bp_space *dma = bp_space_new(&f->owner, "dma", iommu);
    uint8_t buf[0x2000], *host;
    uint64_t value;

    (void)data;
    g_assert_cmpint(bp_region_new_ram(&f->owner, "ram", 0x10000, &ram, NULL), ==, 0);
    bp_region_add(f->root, ram, 0x10000, 0);
    host = bp_region_ram(ram);
    t.table[0] = PAGE_RW(0x13);
    t.table[1] = PAGE_R(0x11);
    t.table[3] = PAGE_RW(0x12);
    memcpy(host + 0x3ffe, "ab", 2);
    memcpy(host + 0x1000, "cdef", 4);
    /* over a page border: two translations */
    g_assert_cmpint(bp_space_load_as(dma, 0xffe, 4, &value, &who), ==, 0);
    g_assert_cmpmem(&value, 4, "abcd", 4);
    /* and a write */
    t.table[1] = PAGE_RW(0x11);
    g_assert_cmpint(bp_space_store_as(dma, 0xffc, 8, GUINT64_FROM_LE(UINT64_C(0x8877665544332211)), &who), ==, 0);
    g_assert_cmpmem(host + 0x3ffc, 4, "\x11\x22\x33\x44", 4);
    g_assert_cmpmem(host + 0x1000, 4, "\x55\x66\x77\x88", 4);
    memcpy(host + 0x3ffe, "ab", 2);
    memcpy(host + 0x1000, "cdef", 4);
    t.table[1] = PAGE_R(0x11);
    g_assert_cmpint(bp_space_read_as(dma, 0xffe, buf, 6, &who), ==, 0);
    g_assert_cmpmem(buf, 6, "abcdef", 6);
    g_assert_cmpint(bp_space_store_as(dma, 0x3010, 4, 0x64636261, &who), ==, 0);
    g_assert_cmpmem(host + 0x2010, 4, "abcd", 4);
    g_assert_cmpint(bp_space_write_as(dma, 0x3020, "xyz", 3, &who), ==, 0);
    g_assert_cmpmem(host + 0x2020, 3, "xyz", 3);
    /* what is not allowed, not there, or somebody else's */
    g_assert_cmpint(bp_space_store_as(dma, 0x1000, 4, 0, &who), ==, -EFAULT);
    g_assert_cmpmem(host + 0x1000, 4, "cdef", 4);
    g_assert_cmpint(bp_space_read_as(dma, 0x2000, buf, 4, &who), ==, -EFAULT);
    g_assert_cmphex(buf[0], ==, 0xff);
    who.requester = 8;
    g_assert_cmpint(bp_space_load_as(dma, 0, 4, &value, &who), ==, -EIO);
    g_assert_cmpint(bp_space_load(dma, 0, 4, &value), ==, -EIO);
    g_assert_cmphex(value, ==, UINT32_MAX);
}

static void iommu_that_leads_to_itself_ends(struct fixture *f, gconstpointer data)
{
    struct translator t = {.requester = 7};
    struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER, .requester = 7};
    struct bp_space *dma = bp_space_new(
        &f->owner, "dma", bp_region_new_iommu(&f->owner, "iommu", UINT64_MAX, &iommu_ops, &t));
    uint64_t value;
    uint8_t buf[16];

    (void)data;
    t.target = dma;
    t.table[0] = PAGE_RW(0);
    g_assert_cmpint(bp_space_load_as(dma, 0, 4, &value, &who), ==, -EFAULT);
    g_assert_cmpint(bp_space_read_as(dma, 0, buf, 16, &who), ==, -EFAULT);
    g_assert_cmpuint(t.calls, ==, 16); /* eight deep, twice */
}

static void count_entry(void *opaque, const struct bp_iommu_entry *entry)
{
    unsigned *counts = opaque;

    counts[entry->allowed ? 0 : 1]++;
}

static void iommu_tells_what_changes(struct fixture *f, gconstpointer data)
{
    struct translator t = {.target = f->space};
    struct bp_region *iommu = bp_region_new_iommu(&f->owner, "iommu", UINT64_MAX, &iommu_ops, &t);
    struct bp_iommu_entry e = {.size = sizeof(e), .target = f->space, .address = 0x4000,
                               .length = 4096, .allowed = BP_IOMMU_READ};
    struct bp_iommu_notifier *low, *all;
    unsigned of_low[2] = {0}, of_all[2] = {0};

    (void)data;
    t.table[1] = PAGE_RW(9);
    t.table[5] = PAGE_RW(9);
    low = bp_iommu_notify(&f->owner, iommu, 0, 0x3fff, count_entry, of_low);
    g_assert_cmpuint(t.wanted, ==, 1);
    g_assert_cmpuint(of_low[0], ==, 1); /* replayed; the second lies outside */
    all = bp_iommu_notify(&f->owner, iommu, 0, UINT64_MAX, count_entry, of_all);
    g_assert_cmpuint(t.wanted, ==, 1);
    g_assert_cmpuint(of_all[0], ==, 2);
    bp_iommu_changed(iommu, &e);
    g_assert_cmpuint(of_all[0], ==, 3);
    g_assert_cmpuint(of_low[0], ==, 1);
    e.allowed = 0;
    e.address = 0x3000;
    bp_iommu_changed(iommu, &e);
    g_assert_cmpuint(of_all[1], ==, 1);
    g_assert_cmpuint(of_low[1], ==, 1);
    bp_iommu_notifier_free(all);
    g_assert_cmpuint(t.unwanted, ==, 0);
    bp_iommu_notifier_free(low);
    g_assert_cmpuint(t.unwanted, ==, 1);
    bp_iommu_changed(iommu, &e);
    g_assert_cmpuint(of_all[1], ==, 1);
}

static int answer(void *opaque, uint64_t addr, const struct bp_access *access, struct bp_iommu_entry *ret_entry)
{
    return addr >= 0x8000 ? -EFAULT : translate(opaque, addr, access, false, ret_entry);
}

static void translations_to_keep_are_asked_for(struct fixture *f, gconstpointer data)
{
    struct bp_iommu_ops asked = iommu_ops;
    struct translator t = {.target = f->space, .requester = 7};
    struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER, .requester = 7};
    struct bp_region *root = bp_region_new(&f->owner, "with holes", UINT64_MAX);
    struct bp_space *dma = bp_space_new(&f->owner, "dma", root);
    struct bp_iommu_entry e = {.size = sizeof(e)};

    (void)data;
    asked.ask = answer;
    bp_region_add(root, bp_region_new_iommu(&f->owner, "keeps", 0x10000, &asked, &t), 0x100000, 0);
    bp_region_add(root, bp_region_new_iommu(&f->owner, "does not", 0x10000, &iommu_ops, &t), 0x200000, 0);
    t.table[2] = PAGE_R(0x11);
    g_assert_cmpint(bp_iommu_ask(dma, 0x102040, &who, &e), ==, 0);
    g_assert_true(e.target == f->space && e.address == 0x102000 && e.translated == 0x11000 && e.length == 4096);
    g_assert_cmpuint(e.allowed, ==, BP_IOMMU_READ);
    g_assert_cmpint(bp_iommu_ask(dma, 0x103000, &who, &e), ==, 0);
    g_assert_cmpuint(e.allowed, ==, 0);
    g_assert_cmpint(bp_iommu_ask(dma, 0x108000, &who, &e), ==, -EIO);
    who.requester = 8;
    g_assert_cmpint(bp_iommu_ask(dma, 0x102040, &who, &e), ==, -EIO);
    g_assert_cmpint(bp_iommu_ask(dma, 0x202040, &who, &e), ==, -ENOTSUP);
    g_assert_cmpint(bp_iommu_ask(dma, 0, &who, &e), ==, -ENOTSUP);
    g_assert_cmpuint(e.allowed, ==, 0);
}

#define CASE(name) g_test_add("/iommu/" #name, struct fixture, NULL, set_up, name, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE(iommu_translates_by_requester);
    CASE(iommu_that_leads_to_itself_ends);
    CASE(iommu_tells_what_changes);
    CASE(translations_to_keep_are_asked_for);
    return g_test_run();
}
