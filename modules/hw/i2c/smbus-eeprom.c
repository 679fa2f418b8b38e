/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An EEPROM of 256 bytes on an SMBus, as memory modules have them: the serial EEPROM AT24C02 (Atmel 0180). The
 * first byte written is an address, which reads and writes count up; a write stays within its page of 8 bytes.
 * It keeps its contents over resets. Left out: the time that a write takes.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/i2c.h>
#include <bp/chip/smbus-eeprom.h>

#include "spd.h"

#define PAGE 8u

struct eeprom {
    uint8_t data[BP_SMBUS_EEPROM_SIZE];
    uint8_t at;
    bool addressed; /* the next byte written is data */
};

static bool eeprom_start(struct bp_device *dev, bool read)
{
    (void)read;
    ((struct eeprom *)bp_device_state(dev))->addressed = false;
    return true;
}

static bool eeprom_send(struct bp_device *dev, uint8_t byte)
{
    struct eeprom *s = bp_device_state(dev);

    if (s->addressed) {
        s->data[s->at] = byte;
        s->at = (uint8_t)((s->at & ~(PAGE - 1)) | ((s->at + 1u) & (PAGE - 1)));
    } else {
        s->at = byte;
        s->addressed = true;
    }
    return true;
}

static uint8_t eeprom_receive(struct bp_device *dev)
{
    struct eeprom *s = bp_device_state(dev);

    return s->data[s->at++];
}

static int eeprom_init(struct bp_device *dev, struct bp_error *err)
{
    struct eeprom *s = bp_device_state(dev);

    (void)err;
    memset(s->data, 0xff, sizeof(s->data));
    return 0;
}

static void eeprom_set(struct bp_device *dev, const uint8_t *data, size_t len)
{
    struct eeprom *s = bp_device_state(dev);

    memset(s->data, 0xff, sizeof(s->data));
    memcpy(s->data, data, len < sizeof(s->data) ? len : sizeof(s->data));
}

static int eeprom_set_dimm(struct bp_device *dev, uint64_t bytes, struct bp_error *err)
{
    uint8_t spd[SPD_SIZE];

    if (spd_make(bytes, spd) < 0)
        return bp_fail(err, EINVAL, "there are no memory modules of %llu bytes", (unsigned long long)bytes);
    eeprom_set(dev, spd, sizeof(spd));
    return 0;
}

static const struct bp_state_field eeprom_fields[] = {
    BP_SAVE_BUFFER(struct eeprom, data), BP_SAVE(UINT8, struct eeprom, at),
    BP_SAVE(BOOL, struct eeprom, addressed), BP_SAVE_END};
static const struct bp_state_table eeprom_state = {.version = 1, .oldest = 1, .fields = eeprom_fields};
static const struct bp_i2c_info info = {
    .size = sizeof(info), .address = 0x50, .start = eeprom_start, .send = eeprom_send,
    .receive = eeprom_receive};

BP_DEVICE(eeprom, "smbus-eeprom", "i2c-bus", "EEPROM of 256 bytes", struct eeprom, NULL, &eeprom_state,
          .category = "misc", .bus_info = &info, .init = eeprom_init);

static const struct bp_smbus_eeprom_interface table = {.size = sizeof(table), .set = eeprom_set,
                                                       .set_dimm = eeprom_set_dimm};
BP_INTERFACE(eeprom_interface, "smbus-eeprom", 1, 0, &table);
BP_MODULE("hw-smbus-eeprom", "EEPROM on an SMBus", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &eeprom},
          {BP_PROVIDE_INTERFACE, &eeprom_interface});
