/* SPDX-License-Identifier: MIT */
/* The firmware configuration device: interface fw-cfg/1. Under the machine lock. */
#ifndef BP_CHIP_FW_CFG_H
#define BP_CHIP_FW_CFG_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_fw_cfg_interface { /* fw-cfg/1 */
    uint32_t size;
    /* `data` is copied. Keys below 0x20 are the classic items, 0x8000 to 0x801f the
     * architecture's. */
    int (*add)(struct bp_device *fw_cfg, uint16_t key, const void *data, size_t len,
               struct bp_error *err);
    /* A named file ("etc/acpi/tables"); names are at most 55 bytes. Replaces one of that name. */
    int (*add_file)(struct bp_device *fw_cfg, const char *name, const void *data, size_t len,
                    struct bp_error *err);
    void *reserved[5];
};

BP_END_DECLS

#endif
