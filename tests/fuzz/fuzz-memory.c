/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: the memory core. The input is a program of map changes and accesses with any
 * address, size and nesting; callbacks of I/O regions run it further, so that maps change in the
 * middle of accesses. A load must give what loads of its bytes give as long as only memory is met.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/memory.h>

#include "fuzz.h"
#include "memory.h"
#include "owner.h"

#define REGIONS 12

struct run {
    const uint8_t *data;
    size_t left;
    unsigned nesting; /* accesses within accesses */
    unsigned open;    /* transactions */
    struct bp_owner owner;
    struct bp_space *space;
    struct bp_region *regions[REGIONS];
    struct bp_dirty_log *log;
};

static uint8_t byte(struct run *run)
{
    if (run->left == 0)
        return 0;
    run->left--;
    return *run->data++;
}

static uint64_t address(struct run *run)
{
    static const uint64_t bases[] = {0, 0, 0xff0, 0x10000, UINT64_C(1) << 32, UINT64_MAX - 0xfff,
                                     UINT64_MAX, INT64_MAX};
    uint8_t kind = byte(run);

    return bases[kind % 8] + (uint64_t)(byte(run) << (kind >> 4)) + byte(run);
}

static void step(struct run *run);

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    step(opaque);
    return addr * 0x0101010101010101u + size;
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr;
    (void)value;
    (void)size;
    step(opaque);
}

#define OPS .size = sizeof(struct bp_region_ops)
static const struct bp_region_ops shapes[] = {
    {OPS, .read = io_read, .write = io_write},
    {OPS, .read = io_read, .write = io_write, .min_access = 4, .valid_min = 2},
    {OPS, .read = io_read, .write = io_write, .max_access = 1, .big_endian = 1},
    {OPS, .read = io_read, .min_access = 8, .max_access = 8, .unaligned = 1, .parallel = 1},
};

static struct bp_region *make(struct run *run)
{
    uint64_t size = address(run);
    struct bp_region *region = NULL;
    uint8_t kind = byte(run);

    switch (kind % 5) {
    case 0:
        return bp_region_new(&run->owner, "box", size);
    case 1:
        return bp_region_new_io(&run->owner, "io", size, &shapes[kind / 5 % 4], run);
    case 2:
        if (bp_region_new_ram(&run->owner, "ram", size % 0x100000, &region, NULL) < 0)
            region = NULL;
        return region;
    case 3:
        if (bp_region_new_rom(&run->owner, "rom", size % 0x100000, kind & 0x80 ? &shapes[0] : NULL,
                              run, &region, NULL) < 0)
            region = NULL;
        return region;
    default:
        region = run->regions[kind / 5 % REGIONS];
        return bp_region_new_alias(&run->owner, "alias",
                                   region ? region : bp_space_root(run->space), address(run), size);
    }
}

static void change(struct run *run, uint8_t op)
{
    uint8_t n = byte(run);
    struct bp_region **slot = &run->regions[n % REGIONS], *region = *slot;
    struct bp_region *parent = run->regions[n / REGIONS % REGIONS];

    if (!region) {
        *slot = make(run);
        return;
    }
    switch (op % 8) {
    case 0:
        bp_region_add(parent && parent != region ? parent : bp_space_root(run->space), region,
                      address(run), (int8_t)byte(run));
        break;
    case 1:
        bp_region_remove(region);
        break;
    case 2:
        bp_region_set_enabled(region, byte(run) & 1);
        break;
    case 3:
        bp_region_set_address(region, address(run));
        break;
    case 4:
        bp_region_set_size(region, address(run));
        break;
    case 5:
        bp_region_set_alias_offset(region, address(run));
        break;
    case 6:
        bp_region_set_readonly(region, byte(run) & 1);
        break;
    case 7:
        *slot = NULL;
        bp_region_free(region);
        break;
    }
}

/* Only where all of it is memory: callbacks count and change things. */
static void check_load(struct run *run, uint64_t addr, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        struct bp_mapping m = {.size = sizeof(m)};
        uint64_t one;

        bp_space_lookup(run->space, addr + i, &m);
        if (m.length == 0)
            abort();
        if (!m.host)
            return;
        bp_space_load(run->space, addr + i, 1, &one);
        if (one != (value >> (i * 8) & 0xff))
            abort();
    }
}

static bool all_memory(struct run *run, uint64_t addr, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        struct bp_mapping m = {.size = sizeof(m)};

        bp_space_lookup(run->space, addr + i, &m);
        if (!m.host)
            return false;
    }
    return true;
}

static void access_it(struct run *run, uint8_t op)
{
    uint64_t addr = address(run), value;
    unsigned size = 1u << (op / 8 % 4);
    uint8_t buf[300] = {1, 2, 3};
    struct bp_region *region = run->regions[op / 8 % REGIONS];

    switch (op % 8) {
    case 0:
        if (all_memory(run, addr, size)) {
            bp_space_load(run->space, addr, size, &value);
            check_load(run, addr, size, value);
        } else {
            bp_space_load(run->space, addr, size, &value);
        }
        break;
    case 1:
        bp_space_store(run->space, addr, size, addr * 7);
        break;
    case 2:
        bp_space_read(run->space, addr, buf, byte(run));
        break;
    case 3:
        bp_space_write(run->space, addr, buf, byte(run));
        break;
    case 4:
        bp_space_fill(run->space, addr, op, byte(run));
        break;
    case 5:
        bp_space_write_rom(run->space, addr, buf, byte(run));
        break;
    case 6:
        if (region)
            bp_region_mark_dirty(region, addr, address(run));
        break;
    case 7:
        if (!region)
            break;
        if (op & 0x80)
            bp_dirty_log_start(run->log, region);
        else if (op & 0x40)
            bp_dirty_log_stop(run->log, region);
        bp_dirty_log_test_clear(run->log, region, addr, address(run));
        break;
    }
}

static void step(struct run *run)
{
    uint8_t op = byte(run);

    if (op < 0x60) {
        change(run, op);
    } else if (op < 0x68 && run->nesting == 0) {
        run->open++;
        bp_memory_begin();
    } else if (op < 0x70 && run->open > 0 && run->nesting == 0) {
        run->open--;
        bp_memory_commit();
    } else if (op >= 0x70 && run->nesting < 3) {
        run->nesting++;
        access_it(run, op);
        run->nesting--;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.data = data, .left = size < 2048 ? size : 2048};

    bpc_owner_init(&run.owner);
    run.space = bp_space_new(&run.owner, "fuzz", bp_region_new(&run.owner, "root", UINT64_MAX));
    if (bp_dirty_log_new(&run.owner, "fuzz", &run.log, NULL) < 0)
        abort();
    while (run.left > 0)
        step(&run);
    free(bpc_memory_tree_text());
    for (; run.open > 0; run.open--)
        bp_memory_commit();
    bpc_owner_release(&run.owner);
    return 0;
}
