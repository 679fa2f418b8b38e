/* SPDX-License-Identifier: MIT */
/* The floppy disk controller, for boards: interface fdc/1, offered by `hw-fdc`. Under the machine lock. */
#ifndef BP_CHIP_FDC_H
#define BP_CHIP_FDC_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_fdc_interface { /* fdc/1 */
    uint32_t size;
    /* What a PC's clock keeps of drive `unit` (0, 1): 0 none, 2 1.2 MB, 4 1.44 MB, 5 2.88 MB. */
    uint8_t (*drive_type)(struct bp_device *fdc, unsigned unit);
    void *reserved[4];
};

BP_END_DECLS

#endif
