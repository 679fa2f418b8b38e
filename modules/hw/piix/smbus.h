// SPDX-License-Identifier: LGPL-2.1-or-later
/* The SMBus host of the 82371AB: registers as its data sheet (order 290562, chapter 11) has them. */
#ifndef HW_PIIX_SMBUS_H
#define HW_PIIX_SMBUS_H

#include <bp/device.h>

#define PIIX4_SMBUS_PORTS 16u
#define PIIX4_SMBUS_BLOCK 32u

struct piix4_smbus {
    uint8_t registers[PIIX4_SMBUS_PORTS];
    uint8_t block[PIIX4_SMBUS_BLOCK];
    uint8_t at; /* in the block */
    struct bp_bus *bus;
};
extern const struct bp_region_ops piix4_smbus_ops; /* opaque: struct piix4_smbus */
extern const struct bp_state_table piix4_smbus_state;

int piix4_smbus_init(struct piix4_smbus *s, struct bp_device *dev, struct bp_error *err);
void piix4_smbus_reset(struct piix4_smbus *s);

#endif
