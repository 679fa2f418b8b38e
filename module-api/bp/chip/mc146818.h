/* SPDX-License-Identifier: MIT */
/* The battery-backed RAM of a PC's clock: interface rtc-nvram/1, offered by `hw-mc146818`. */
#ifndef BP_CHIP_MC146818_H
#define BP_CHIP_MC146818_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_rtc_nvram_interface { /* rtc-nvram/1; under the machine lock */
    uint32_t size;
    /* Stores a byte at index 0x0e..0x7f; other indices (the clock's registers) are ignored. It
     * stays over a reset, as the battery keeps it. */
    void (*set)(struct bp_device *rtc, unsigned index, uint8_t value);
    void *reserved[4];
};

BP_END_DECLS

#endif
