/* SPDX-License-Identifier: MIT */
/*
 * Flash chips on a board's memory bus: interface pflash/1, offered by `hw-pflash`. A board makes "cfi.pflash01"
 * (bp_device_new), sets its properties ("drive", "num-blocks", "sector-length", "width", "name"), attaches it, and maps
 * its region. [main] under the machine lock.
 */
#ifndef BP_CHIP_PFLASH_H
#define BP_CHIP_PFLASH_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_pflash_interface { /* pflash/1 */
    uint32_t size;
    /* What it answers at; num-blocks * sector-length bytes. The device's. */
    struct bp_region *(*region)(struct bp_device *flash);
    void *reserved[4];
};

BP_END_DECLS

#endif
