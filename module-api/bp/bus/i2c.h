/* SPDX-License-Identifier: MIT */
/*
 * The I2C bus, type "i2c-bus": interface i2c/1, offered by the `i2c` module. NXP UM10204, and the protocols of
 * the System Management Bus 2.0 on it. Under the machine lock.
 */
#ifndef BP_BUS_I2C_H
#define BP_BUS_I2C_H

#include <bp/device.h>

BP_BEGIN_DECLS

/* bus_info of a device class on bus "i2c-bus". The bus has a property for each device: "address", 7 bits. A
 * slot may be NULL: acknowledged, all ones, nothing to do. */
struct bp_i2c_info {
    uint32_t size; /* sizeof(struct bp_i2c_info) */
    uint8_t address; /* of its own when the property is not given; 0: it has to be */
    uint8_t reserved8[3];
    /* It was addressed, after a START or a repeated one. False: it does not acknowledge now. */
    bool (*start)(struct bp_device *dev, bool read);
    bool (*send)(struct bp_device *dev, uint8_t byte); /* to it; false: not acknowledged */
    uint8_t (*receive)(struct bp_device *dev);         /* from it */
    void (*stop)(struct bp_device *dev);
    void *reserved[4];
};

/* Protocols of the System Management Bus (chapter 5.5), numbered as hosts of Intel's chipsets do. */
enum bp_smbus_protocol {
    BP_SMBUS_QUICK, BP_SMBUS_BYTE, BP_SMBUS_BYTE_DATA, BP_SMBUS_WORD_DATA, BP_SMBUS_PROCESS_CALL,
    BP_SMBUS_BLOCK,
};
#define BP_SMBUS_BLOCK_MAX 32u
struct bp_smbus_transfer {
    uint32_t size; /* sizeof(struct bp_smbus_transfer) */
    enum bp_smbus_protocol protocol;
    bool read;
    uint8_t address; /* 7 bits */
    uint8_t command; /* BYTE: what is written */
    uint8_t count;   /* BLOCK: bytes in data, 1..32; set by reads */
    uint8_t data[BP_SMBUS_BLOCK_MAX]; /* bytes and words, low byte first; set by reads */
    void *reserved[2];
};

struct bp_i2c_interface { /* i2c/1 */
    uint32_t size;
    /* For a controller, from attach(). name NULL: chosen. */
    int (*new_bus)(struct bp_device *controller, const char *name, struct bp_bus **ret_bus,
                   struct bp_error *err);
    /* One whole transfer. -ENXIO: nobody acknowledged; -EPROTO: a block of 0 or more than 32 bytes;
     * -EINVAL: there is no such protocol. What failed leaves *transfer as it was. */
    int (*smbus)(struct bp_bus *bus, struct bp_smbus_transfer *transfer);
    void *reserved[6];
};

BP_END_DECLS

#endif
