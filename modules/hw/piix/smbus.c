// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The SMBus host of the 82371AB. A transfer is over when the write that started it is. Left out: its
 * interrupts, the slave side and the shadow ports, whose registers only keep what was written.
 */
#define BP_SHARED
#include "smbus.h"

#include <bp/bus/i2c.h>
#include <errno.h>
#include <string.h>

#include "piix.h"

_Static_assert(PIIX4_SMBUS_BLOCK == BP_SMBUS_BLOCK_MAX, "a transfer's block fits");

enum { STATUS, CONTROL = 2, COMMAND, ADDRESS, DATA0, DATA1, BLOCK };
#define STATUS_DONE 0x02u
#define STATUS_NO_ANSWER 0x04u
#define STATUS_FAILED 0x10u
#define STATUS_CAUSES 0x1eu
#define CONTROL_KILL 0x02u
#define CONTROL_START 0x40u

static void start(struct piix4_smbus *s)
{
    uint8_t *r = s->registers;
    struct bp_smbus_transfer t = {.size = sizeof(t), .protocol = (enum bp_smbus_protocol)(r[CONTROL] >> 2 & 7),
                                  .read = r[ADDRESS] & 1, .address = r[ADDRESS] >> 1,
                                  .command = r[COMMAND], .count = r[DATA0]};
    int ret;

    if (t.protocol == BP_SMBUS_BLOCK) {
        memcpy(t.data, s->block, sizeof(t.data));
    } else {
        t.data[0] = r[DATA0];
        t.data[1] = r[DATA1];
    }
    /* Chapter 11.1.3: there is no process call here. */
    ret = t.protocol == BP_SMBUS_PROCESS_CALL ? -EINVAL : (*piix_i2c)->smbus(s->bus, &t);
    if (ret == 0 && t.read && t.protocol != BP_SMBUS_QUICK) {
        r[DATA0] = t.protocol == BP_SMBUS_BLOCK ? t.count : t.data[0];
        if (t.protocol == BP_SMBUS_WORD_DATA)
            r[DATA1] = t.data[1];
        if (t.protocol == BP_SMBUS_BLOCK)
            memcpy(s->block, t.data, sizeof(s->block));
    }
    r[STATUS] |= ret == 0 ? STATUS_DONE : ret == -ENXIO ? STATUS_NO_ANSWER : STATUS_FAILED;
    s->at = 0;
}

static uint64_t smbus_read(void *opaque, uint64_t addr, unsigned size)
{
    struct piix4_smbus *s = opaque;

    (void)size;
    if (addr == CONTROL)
        s->at = 0;
    if (addr == BLOCK)
        return s->block[s->at++ % sizeof(s->block)];
    return s->registers[addr & (PIIX4_SMBUS_PORTS - 1)];
}

static void smbus_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct piix4_smbus *s = opaque;

    (void)size;
    switch (addr) {
    case STATUS:
        s->registers[STATUS] &= (uint8_t)~(value & STATUS_CAUSES);
        break;
    case CONTROL:
        s->registers[CONTROL] = (uint8_t)value & (uint8_t)~CONTROL_START;
        if (value & CONTROL_KILL)
            s->registers[STATUS] |= STATUS_FAILED;
        else if (value & CONTROL_START)
            start(s);
        break;
    case BLOCK:
        s->block[s->at++ % sizeof(s->block)] = (uint8_t)value;
        break;
    default:
        s->registers[addr & (PIIX4_SMBUS_PORTS - 1)] = (uint8_t)value;
        break;
    }
}

const struct bp_region_ops piix4_smbus_ops = {
    .size = sizeof(piix4_smbus_ops), .read = smbus_read, .write = smbus_write, .max_access = 1};

int piix4_smbus_init(struct piix4_smbus *s, struct bp_device *dev, struct bp_error *err)
{
    return (*piix_i2c)->new_bus(dev, NULL, &s->bus, err);
}

void piix4_smbus_reset(struct piix4_smbus *s)
{
    memset(s->registers, 0, sizeof(s->registers));
    memset(s->block, 0, sizeof(s->block));
    s->at = 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_BUFFER(struct piix4_smbus, registers), BP_SAVE_BUFFER(struct piix4_smbus, block),
    BP_SAVE(UINT8, struct piix4_smbus, at), BP_SAVE_END};
const struct bp_state_table piix4_smbus_state = {.version = 1, .oldest = 1, .fields = fields};
