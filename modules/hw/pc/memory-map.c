/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where RAM lies in a PC's address space, and what firmware or a kernel is told of it. */
#include "chipset.h"
#include "low-memory.h"
#include "pc.h"

#include <bp/memory-device.h>
#include <errno.h>

int pc_map_ram(struct pc *pc, struct bp_error *err)
{
    struct bp_owner *owner = bp_machine_owner(pc->machine);
    struct bp_region *root = bp_space_root(bp_machine_memory(pc->machine)), *ram = bp_machine_ram(pc->machine);
    uint64_t size = bp_machine_ram_size(pc->machine);

    pc->low_size = size <= pc->chipset->low_max ? size : pc->chipset->low_split;
    pc->high_size = size - pc->low_size;
    if (pc->low_size < 2u << 20)
        return bp_fail(err, EINVAL, "-m: a PC needs at least 2 MiB of memory, not %llu KiB",
                       (unsigned long long)size >> 10);
    bp_region_add(root, bp_region_new_alias(owner, "ram-below-4g", ram, 0, pc->low_size), 0, 0);
    if (pc->high_size)
        bp_region_add(root,
                      bp_region_new_alias(owner, "ram-above-4g", ram, pc->low_size, pc->high_size),
                      1ull << 32, 0);
    pc->devices_base = ((1ull << 32) + pc->high_size + (1u << 30) - 1) & ~((1ull << 30) - 1);
    return bp_machine_offer_memory(pc->machine, pc->devices_base, &pc->devices_length, err);
}

unsigned pc_memory_map(const struct pc *pc, struct e820 *map, unsigned max)
{
    const struct e820 all[] = {
        {0, LOW_EBDA, 1},
        {LOW_EBDA, LOW_EBDA_SIZE, 2},
        {LOW_ROM_AREA, LOW_ROM_AREA_SIZE, 2},
        {0x100000, pc->low_size - PC_ACPI_SIZE - 0x100000, 1},
        /* Both sides go on writing there: the FACS, the page of vmgenid. */
        {pc->low_size - PC_ACPI_SIZE, PC_ACPI_SIZE, 4},
        {pc->chipset->ecam, pc->chipset->ecam ? 0x10000000u : 0, 2},
        {0xfffc0000u, 0x40000, 2},
        {1ull << 32, pc->high_size, 1},
    };
    unsigned n = 0;

    for (size_t i = 0; i < BP_COUNT(all) && n < max; i++) {
        if (all[i].length)
            map[n++] = all[i];
    }
    return n;
}
