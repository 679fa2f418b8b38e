/* SPDX-License-Identifier: MIT */
/* 256-byte EEPROMs on an SMBus: interface smbus-eeprom/1. Under the machine lock. */
#ifndef BP_CHIP_SMBUS_EEPROM_H
#define BP_CHIP_SMBUS_EEPROM_H

#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_SMBUS_EEPROM_SIZE 256u

struct bp_smbus_eeprom_interface { /* smbus-eeprom/1 */
    uint32_t size;
    /* What stands in it from the factory on; `data` is copied, the rest is 0xff. */
    void (*set)(struct bp_device *eeprom, const uint8_t *data, size_t len);
    /* What memory modules of `bytes` have in it (JEDEC serial presence detect); -EINVAL: not a power of two
     * from 128 MiB to 16 GiB. */
    int (*set_dimm)(struct bp_device *eeprom, uint64_t bytes, struct bp_error *err);
    void *reserved[2];
};

BP_END_DECLS

#endif
