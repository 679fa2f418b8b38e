/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory modules as the SMBus shows them: main memory cut into the largest powers of two, each with an EEPROM
 * from address 0x50 on. What is left below 128 MiB, and what does not fit into eight modules, has none.
 */
#include <bp/bus/i2c.h>
#include <bp/chip/smbus-eeprom.h>

#include "pc.h"

#define SLOTS 8u
#define FIRST_ADDRESS 0x50u
#define SMALLEST (128ull << 20)
#define LARGEST (16ull << 30)

int pc_make_dimms(struct bp_machine *machine, const struct bp_smbus_eeprom_interface *eeprom,
                  struct bp_bus *smbus, struct bp_error *err)
{
    uint64_t left = bp_machine_ram_size(machine);

    for (unsigned slot = 0; slot < SLOTS && left >= SMALLEST; slot++) {
        struct bp_device *dev;
        uint64_t size = SMALLEST;
        int r = bp_device_new(machine, "smbus-eeprom", NULL, &dev, err);

        if (r < 0)
            return r;
        while (size < LARGEST && size * 2 <= left)
            size *= 2;
        left -= size;
        r = eeprom->set_dimm(dev, size, err);
        if (r == 0)
            r = bp_device_set_uint(dev, "address", FIRST_ADDRESS + slot, err);
        if (r < 0) {
            bp_device_destroy(dev);
            return r;
        }
        r = bp_device_attach(dev, smbus, err);
        if (r < 0)
            return r;
    }
    return 0;
}
