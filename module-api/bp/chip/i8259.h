/* SPDX-License-Identifier: MIT */
/* The 8259A pair of a PC: interface i8259/1 of module `hw-i8259`. Under the machine lock. */
#ifndef BP_CHIP_I8259_H
#define BP_CHIP_I8259_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_i8259_interface { /* i8259/1 */
    uint32_t size;
    /* An interrupt acknowledge cycle: the vector, always 0..255 (a spurious one when nothing is
     * pending any more). */
    int (*acknowledge)(struct bp_device *pic);
    void *reserved[5];
};

BP_END_DECLS

#endif
