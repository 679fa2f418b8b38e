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
    /* Each time the guest selects the file, before it reads: `fn` may replace it (add_file). */
    int (*on_select)(struct bp_device *fw_cfg, const char *name, void (*fn)(void *opaque), void *opaque,
                     struct bp_error *err);
    /* A file of at most 4096 bytes that the guest may write by DMA (not grow); `written` (or NULL) hears of each
     * write. What the guest wrote is saved with the device. */
    int (*add_writable)(struct bp_device *fw_cfg, const char *name, const void *data, size_t len,
                        void (*written)(void *opaque), void *opaque, struct bp_error *err);
    /* What is in a file now, borrowed until it is replaced; NULL: there is none. */
    const void *(*content)(struct bp_device *fw_cfg, const char *name, size_t *ret_len);
    void *reserved[2];
};

BP_END_DECLS

#endif
