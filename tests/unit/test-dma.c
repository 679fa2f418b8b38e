/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mapped DMA, bounce buffers and their back-pressure, and the ledger of RAM. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/dma.h>
#include <bp/exact/memory.h>
#include <bp/iommu.h>
#include <bp/loop.h>

#include "loop.h"
#include "memory.h"

#define RAM 0x100000u
#define RAM_SIZE 0x100000u
#define IO 0x400000u
#define IO_SIZE 0x800000u

static struct bp_owner owner;
static struct bp_region *root, *ram;
static struct bp_space *space;
static uint8_t *host;
static uint8_t io_bytes[IO_SIZE];
static unsigned refuse; /* offset at which the device answers with a bus error; 0: never */

static int io_read(void *opaque, uint64_t addr, unsigned size, uint64_t *ret_value,
                   const struct bp_access *access)
{
    (void)opaque, (void)access;
    if (refuse && addr >= refuse)
        return -EIO;
    memcpy(ret_value, io_bytes + addr, size);
    return 0;
}

static int io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size,
                    const struct bp_access *access)
{
    (void)opaque, (void)access;
    if (refuse && addr >= refuse)
        return -EIO;
    memcpy(io_bytes + addr, &value, size);
    return 0;
}

static void set_up(void)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read_with = io_read, .write_with = io_write, .max_access = 8};

    root = bp_region_new(&owner, "root", UINT64_MAX);
    space = bp_space_new(&owner, "space", root);
    g_assert_cmpint(bp_region_new_ram(&owner, "ram", RAM_SIZE, &ram, NULL), ==, 0);
    host = bp_region_ram(ram);
    bp_region_add(root, ram, RAM, 0);
    bp_region_add(root, bp_region_new_io(&owner, "io", IO_SIZE, &ops, NULL), IO, 0);
    for (unsigned i = 0; i < IO_SIZE; i++)
        io_bytes[i] = (uint8_t)(i * 7);
    refuse = 0;
}

static void tear_down(void)
{
    bpc_owner_release(&owner);
}

static void ram_is_mapped_in_place(void)
{
    const struct iovec *vec;
    struct bp_region *alias;
    struct bp_dma *dma;
    unsigned n;

    set_up();
    g_assert_cmpint(bp_dma_map(space, RAM + 0x10, 0x5000, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    vec = bp_dma_vectors(dma, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(vec[0].iov_base == host + 0x10);
    g_assert_cmpuint(vec[0].iov_len, ==, 0x5000);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 1);
    g_assert_cmpint(bp_dma_unmap(dma, 0x5000), ==, 0);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    /* what lies together in host memory is one vector, what does not is more */
    alias = bp_region_new_alias(&owner, "alias", ram, 0x8000, 0x1000);
    bp_region_add(root, alias, RAM + RAM_SIZE, 0);
    g_assert_cmpint(bp_dma_map(space, RAM + RAM_SIZE - 0x1000, 0x2000, BP_DMA_BOTH, NULL, &dma), ==, 0);
    vec = bp_dma_vectors(dma, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_true(vec[1].iov_base == host + 0x8000);
    g_assert_cmpint(bp_dma_unmap(dma, 0), ==, 0);
    tear_down();
}

/* A list of addresses is one mapping: stretches that lie together in host memory are one vector, each region is pinned
 * once, and what was done is counted from the first byte of the first stretch. */
static void stretches_follow_each_other(void)
{
    const struct iovec *vec;
    struct bp_region *extra;
    struct bp_dma *dma;
    unsigned n;

    set_up();
    g_assert_cmpint(bp_region_new_ram(&owner, "extra", 0x2000, &extra, NULL), ==, 0);
    bp_region_add(root, extra, 0x10000000, 0);
    memset(io_bytes, 0, 0x100);
    g_assert_cmpint(bp_dma_map(space, RAM, 0x1000, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, RAM + 0x1000, 0x1000), ==, 0);
    for (unsigned i = 0; i < 300; i++) /* more than fits, twice, and no two together */
        g_assert_cmpint(bp_dma_map_more(dma, space, RAM + 0x4000 + i * 0x20, 0x10), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, IO, 0x10), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, IO + 0x20, 0x10), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, 0x10000000, 0x1000), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, RAM + 0x3000, 0x1000), ==, 0);
    vec = bp_dma_vectors(dma, &n);
    g_assert_cmpuint(n, ==, 305);
    g_assert_true(vec[0].iov_base == host && vec[0].iov_len == 0x2000);
    for (unsigned i = 0; i < 300; i++)
        g_assert_true(vec[1 + i].iov_base == host + 0x4000 + i * 0x20 && vec[1 + i].iov_len == 0x10);
    g_assert_true(vec[303].iov_base == bp_region_ram(extra) && vec[304].iov_base == host + 0x3000);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 2);
    g_assert_cmpuint(bp_ram_pins(extra), ==, 1);
    memset(vec[301].iov_base, 0x5a, 0x10);
    memset(vec[302].iov_base, 0x5a, 0x10);
    g_assert_cmpint(bp_dma_unmap(dma, 0x2000 + 300 * 0x10 + 0x18), ==, 0);
    g_assert_cmpuint(io_bytes[0x0f], ==, 0x5a);
    g_assert_cmpuint(io_bytes[0x27], ==, 0x5a);
    g_assert_cmpuint(io_bytes[0x28], ==, 0);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    g_assert_cmpuint(bp_ram_pins(extra), ==, 0);
    tear_down();
}

static void a_stretch_that_fails_leaves_the_rest_mapped(void)
{
    struct bp_dma *dma;

    set_up();
    g_assert_cmpint(bp_dma_map(space, RAM, 0x1000, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, 0x20000000, 0x10), ==, -EFAULT);
    g_assert_cmpint(bp_dma_map_more(dma, space, IO, BP_DMA_BOUNCE_MAX), ==, 0);
    g_assert_cmpint(bp_dma_map_more(dma, space, IO + BP_DMA_BOUNCE_MAX, 0x10), ==, -EMSGSIZE);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 1);
    g_assert_cmpint(bp_dma_unmap(dma, 0), ==, 0);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    /* All is given back. */
    g_assert_cmpint(bp_dma_map(space, IO, BP_DMA_BOUNCE_MAX, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    g_assert_cmpint(bp_dma_unmap(dma, 0), ==, 0);
    tear_down();
}

static void pinned_ram_outlives_its_region(void)
{
    const struct iovec *vec;
    struct bp_region *extra;
    struct bp_dma *dma;
    unsigned n;

    set_up();
    g_assert_cmpint(bp_region_new_ram(NULL, "extra", 0x2000, &extra, NULL), ==, 0);
    bp_region_add(root, extra, 0x10000000, 0);
    g_assert_cmpint(bp_dma_map(space, 0x10000000, 0x2000, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    bp_region_free(extra);
    vec = bp_dma_vectors(dma, &n);
    memset(vec[0].iov_base, 0x55, 0x2000); /* unmapped memory would end the test */
    g_assert_cmpint(bp_dma_unmap(dma, 0x2000), ==, 0);
    tear_down();
}

static unsigned told;

static void count_written(void *opaque, const uint8_t *at, uint64_t length)
{
    if (at == (const uint8_t *)opaque && length == 0x30)
        told++;
}

static void what_the_device_wrote_is_made_known(void)
{
    struct bp_write_watch *watch;
    struct bp_dirty_log *log;
    struct bp_dma *dma;

    set_up();
    g_assert_cmpint(bp_dirty_log_new(&owner, "log", &log, NULL), ==, 0);
    bp_dirty_log_start(log, ram);
    while (__atomic_load_n(&ram->log_settling, __ATOMIC_ACQUIRE))
        g_usleep(100);
    bp_dirty_log_test_clear(log, ram, 0, RAM_SIZE);
    watch = bp_write_watch_new(&owner, count_written, host + 0x3000);
    told = 0;
    g_assert_cmpint(bp_dma_map(space, RAM + 0x3000, 0x2000, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    g_assert_cmpuint(told, ==, 0);
    bp_dma_unmap(dma, 0x30); /* a short read */
    g_assert_cmpuint(told, ==, 1);
    g_assert_true(bp_dirty_log_test_clear(log, ram, 0x3000, 1));
    g_assert_false(bp_dirty_log_test_clear(log, ram, 0x4000, 0x1000));
    g_assert_cmpint(bp_dma_map(space, RAM, 0x2000, BP_DMA_TO_DEVICE, NULL, &dma), ==, 0);
    bp_dma_unmap(dma, 0x2000);
    g_assert_false(bp_dirty_log_test_clear(log, ram, 0, RAM_SIZE));
    bp_write_watch_free(watch);
    tear_down();
}

static void io_goes_through_a_buffer(void)
{
    const struct iovec *vec;
    struct bp_dma *dma;
    unsigned n;

    set_up();
    bp_region_add(root, ram, IO - RAM_SIZE, 1); /* RAM, then I/O */
    g_assert_cmpint(bp_dma_map(space, IO - 0x100, 0x200, BP_DMA_BOTH, NULL, &dma), ==, 0);
    vec = bp_dma_vectors(dma, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_true(vec[0].iov_base == host + RAM_SIZE - 0x100);
    g_assert_cmpmem(vec[1].iov_base, 0x100, io_bytes, 0x100);
    memset(vec[1].iov_base, 0xaa, 0x100);
    g_assert_cmphex(io_bytes[0], ==, 0);
    g_assert_cmpint(bp_dma_unmap(dma, 0x120), ==, 0);
    g_assert_cmphex(io_bytes[0x1f], ==, 0xaa);
    g_assert_cmphex(io_bytes[0x20], ==, (uint8_t)(0x20 * 7)); /* it wrote no further */
    tear_down();
}

static void errors_undo_the_whole_mapping(void)
{
    struct bp_dma *dma = NULL;

    set_up();
    g_assert_cmpint(bp_dma_map(space, RAM + RAM_SIZE - 0x1000, 0x2000, BP_DMA_BOTH, NULL, &dma), ==,
                    -EFAULT);
    g_assert_null(dma);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    refuse = 0x10;
    g_assert_cmpint(bp_dma_map(space, IO, 0x20, BP_DMA_TO_DEVICE, NULL, &dma), ==, -EIO);
    g_assert_cmpint(bp_dma_map(space, IO, 0x20, BP_DMA_FROM_DEVICE, NULL, &dma), ==, 0);
    g_assert_cmpint(bp_dma_unmap(dma, 0x20), ==, -EIO); /* the device refuses the last bytes */
    tear_down();
}

static unsigned calls;

static void called(void *opaque)
{
    (void)opaque;
    calls++;
}

static void run_loop(void)
{
    for (int i = 0; i < 5; i++)
        bpc_loop_run_once(false);
}

static void full_buffers_are_back_pressure(void)
{
    struct bp_dma *one, *two;
    struct bp_dma_wait *wait, *freed;

    set_up();
    calls = 0;
    g_assert_cmpint(bp_dma_map(space, IO, BP_DMA_BOUNCE_MAX + 1, BP_DMA_FROM_DEVICE, NULL, &one), ==,
                    -EMSGSIZE);
    g_assert_cmpint(bp_dma_map(space, IO, BP_DMA_BOUNCE_MAX, BP_DMA_FROM_DEVICE, NULL, &one), ==, 0);
    g_assert_cmpint(bp_dma_map(space, IO, 1, BP_DMA_FROM_DEVICE, NULL, &two), ==, -EAGAIN);
    g_assert_cmpint(bp_dma_map(space, RAM, 4096, BP_DMA_FROM_DEVICE, NULL, &two), ==, 0); /* needs none */
    bp_dma_unmap(two, 0);
    wait = bp_dma_when_free(&owner, called, NULL);
    freed = bp_dma_when_free(&owner, called, NULL);
    bp_dma_wait_free(freed);
    run_loop();
    g_assert_cmpuint(calls, ==, 0);
    bp_dma_unmap(one, 0);
    g_assert_cmpuint(calls, ==, 0); /* not from within */
    run_loop();
    g_assert_cmpuint(calls, ==, 1);
    run_loop();
    g_assert_cmpuint(calls, ==, 1);
    bp_dma_wait_free(wait);
    (void)bp_dma_when_free(&owner, called, NULL); /* there is room already */
    run_loop();
    g_assert_cmpuint(calls, ==, 2);
    tear_down();
}

static int swap_pages(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                      struct bp_iommu_entry *ret_entry)
{
    (void)opaque, (void)access, (void)write;
    ret_entry->target = space;
    ret_entry->address = addr & ~UINT64_C(4095);
    ret_entry->length = 4096;
    ret_entry->translated = RAM + (ret_entry->address ^ 0x1000);
    ret_entry->allowed = BP_IOMMU_READ | (addr < 0x8000 ? BP_IOMMU_WRITE : 0);
    return 0;
}

static void translated_pages_are_vectors(void)
{
    static const struct bp_iommu_ops ops = {.size = sizeof(ops), .translate = swap_pages};
    const struct iovec *vec;
    struct bp_space *dma_space;
    struct bp_dma *dma;
    unsigned n;

    set_up();
    dma_space = bp_space_new(&owner, "dma", bp_region_new_iommu(&owner, "iommu", UINT64_MAX, &ops, NULL));
    g_assert_cmpint(bp_dma_map(dma_space, 0x800, 0x1800, BP_DMA_BOTH, NULL, &dma), ==, 0);
    vec = bp_dma_vectors(dma, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_true(vec[0].iov_base == host + 0x1800);
    g_assert_true(vec[1].iov_base == host);
    bp_dma_unmap(dma, 0);
    g_assert_cmpint(bp_dma_map(dma_space, 0x8000, 16, BP_DMA_TO_DEVICE, NULL, &dma), ==, 0);
    bp_dma_unmap(dma, 0);
    g_assert_cmpint(bp_dma_map(dma_space, 0x8000, 16, BP_DMA_FROM_DEVICE, NULL, &dma), ==, -EFAULT);
    tear_down();
}

static void pinning_and_discarding_exclude_each_other(void)
{
    struct bp_ram_claim *pin, *balloon, *second;
    struct bp_error err = {0};

    set_up();
    host[0x3000] = 1;
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_PINNED, "vhost", &pin, NULL), ==, 0);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 1);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_DISCARDED, "balloon", &balloon, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "balloon"));
    g_assert_nonnull(strstr(err.message, "vhost"));
    g_assert_cmpint(bp_ram_discard(ram, 0x3000, 0x1000), ==, -EBUSY);
    g_assert_cmphex(host[0x3000], ==, 1);
    bp_ram_claim_free(pin);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_DISCARDED, "balloon", &balloon, NULL), ==, 0);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_DISCARDED, "reporting", &second, NULL), ==, 0);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_PINNED, "vhost", &pin, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "stay in place"));
    g_assert_cmpint(bp_ram_discard(ram, 0x3000, 0x1000), ==, 0);
    g_assert_cmphex(host[0x3000], ==, 0);
    g_assert_cmpint(bp_ram_discard(ram, 0x3001, 0x1000), ==, -EINVAL);
    g_assert_cmpint(bp_ram_discard(ram, RAM_SIZE - 0x1000, 0x2000), ==, -EINVAL);
    tear_down();
}

static void claims_go_with_their_owner(void)
{
    struct bp_ram_claim *pin, *balloon;
    struct bp_owner other;

    set_up();
    bpc_owner_init(&other);
    g_assert_cmpint(bp_ram_claim(&other, ram, BP_RAM_PINNED, "vhost", &pin, NULL), ==, 0);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_DISCARDED, "balloon", &balloon, NULL), ==, -EBUSY);
    bpc_owner_release(&other);
    g_assert_cmpuint(bp_ram_pins(ram), ==, 0);
    g_assert_cmpint(bp_ram_claim(&owner, ram, BP_RAM_DISCARDED, "balloon", &balloon, NULL), ==, 0);
    tear_down();
}

#define CASE(name) g_test_add_func("/dma/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    bpc_owner_init(&owner);
    CASE(ram_is_mapped_in_place);
    CASE(stretches_follow_each_other);
    CASE(a_stretch_that_fails_leaves_the_rest_mapped);
    CASE(pinned_ram_outlives_its_region);
    CASE(what_the_device_wrote_is_made_known);
    CASE(io_goes_through_a_buffer);
    CASE(errors_undo_the_whole_mapping);
    CASE(full_buffers_are_back_pressure);
    CASE(translated_pages_are_vectors);
    CASE(pinning_and_discarding_exclude_each_other);
    CASE(claims_go_with_their_owner);
    return g_test_run();
}
