/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What accelerators ask of the memory core, on a map as full as a PC's: a look-up of an address, a load
 * from RAM, a store to RAM, a load from a register. Prints nanoseconds for each.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <bp/memory.h>

#include "loop.h"
#include "memory.h"

#define ROUNDS 2000000u
#define ADDRESSES 4096u

static uint64_t reg_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)size;
    return addr;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t addresses[ADDRESSES], registers[ADDRESSES];

static struct bp_space *make_map(struct bp_owner *owner)
{
#ifdef BENCH_BEFORE_SIZES /* trees of before table and mapping had sizes */
    static const struct bp_region_ops ops = {.read = reg_read, .parallel = 1};
#else
    static const struct bp_region_ops ops = {.size = sizeof(ops), .read = reg_read, .parallel = 1};
#endif
    struct bp_region *root = bp_region_new(owner, "root", UINT64_MAX), *ram;
    struct bp_space *space = bp_space_new(owner, "bench", root);
    uint32_t dice = 12345;

    if (bp_region_new_ram(owner, "ram", 64u << 20, &ram, NULL) < 0)
        return NULL;
    memset(bp_region_ram(ram), 1, 64u << 20);
    bp_memory_begin();
    bp_region_add(root, ram, 0, 0);
    for (unsigned i = 0; i < 16; i++) /* holes and windows in the first MiB, devices above */
        bp_region_add(root, bp_region_new_alias(owner, "window", ram, 0x300000 + i * 0x4000, 0x4000),
                      0xc0000 + i * 0x4000, 1);
    for (unsigned i = 0; i < 24; i++)
        bp_region_add(root, bp_region_new_io(owner, "device", 0x1000, &ops, NULL),
                      0xe0000000u + i * 0x10000, 0);
    bp_memory_commit();
    for (unsigned i = 0; i < ADDRESSES; i++) {
        dice = dice * 1664525 + 1013904223;
        addresses[i] = (dice >> 6) % (64u << 20) & ~UINT64_C(7);
        registers[i] = 0xe0000000u + (dice >> 8) % 24 * 0x10000 + (dice >> 16 & 0xffc);
    }
    return space;
}

int main(void)
{
    static struct bp_owner owner;
    struct bp_space *space;
    struct bp_mapping m;
    uint64_t sum = 0, value;
    double t[5];

    bpc_loop_init();
    bpc_owner_init(&owner);
    space = make_map(&owner);
    if (!space)
        return 1;
#ifndef BENCH_BEFORE_SIZES
    m.size = sizeof(m);
#endif
    t[0] = now();
    for (unsigned i = 0; i < ROUNDS; i++) {
        bp_space_lookup(space, addresses[i % ADDRESSES], &m);
        sum += (uintptr_t)m.host;
    }
    t[1] = now();
    for (unsigned i = 0; i < ROUNDS; i++) {
        bp_space_load(space, addresses[i % ADDRESSES], 8, &value);
        sum += value;
    }
    t[2] = now();
    for (unsigned i = 0; i < ROUNDS; i++)
        bp_space_store(space, addresses[i % ADDRESSES], 8, sum);
    t[3] = now();
    for (unsigned i = 0; i < ROUNDS; i++) {
        bp_space_load(space, registers[i % ADDRESSES], 4, &value);
        sum += value;
    }
    t[4] = now();
    printf("lookup %.2f load %.2f store %.2f register %.2f (%u)\n", (t[1] - t[0]) / ROUNDS,
           (t[2] - t[1]) / ROUNDS, (t[3] - t[2]) / ROUNDS, (t[4] - t[3]) / ROUNDS, (unsigned)sum & 1);
    return 0;
}
