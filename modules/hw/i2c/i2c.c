/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The I2C bus and the protocols of the System Management Bus 2.0 (chapter 5.5) on it. A controller carries
 * out a transfer in one call, so that nothing of one is ever left to be saved. Left out: ten-bit addresses,
 * several masters, clock stretching, packet error codes.
 */
#include <errno.h>
#include <stdio.h>

#include <bp/bus/i2c.h>

struct i2c_bus {
    char none;
};
struct i2c_child {
    uint8_t address;
};

static const struct bp_field child_props[] = {
    BP_PROP_RANGE("address", UINT8, struct i2c_child, address, "0", 0, 0x77, "its address, 7 bits"),
    BP_FIELDS_END,
};

static int child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err);
static void child_address(struct bp_device *child, char *buf, size_t size);
BP_BUS(i2c_class, "i2c-bus", "I2C bus", struct i2c_bus, .child_size = sizeof(struct i2c_child),
       .child_props = child_props, .child_attach = child_attach, .child_address = child_address);

static struct i2c_child *child_of(struct bp_device *dev)
{
    return bp_device_bus_level(dev, &i2c_class);
}

static const struct bp_i2c_info *info_of(struct bp_device *dev)
{
    return bp_device_class(dev)->bus_info;
}

struct search {
    uint8_t address;
    const struct bp_device *other;
    struct bp_device *found;
};

static int compare(struct bp_device *dev, void *opaque)
{
    struct search *s = opaque;

    if (dev == s->other || child_of(dev)->address != s->address)
        return 0;
    s->found = dev;
    return 1;
}

static int child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err)
{
    const struct bp_i2c_info *info = info_of(child);
    struct search s = {.other = child};
    const char *type = bp_device_class(child)->type.name;

    if (!info || info->size < sizeof(*info))
        return bp_fail(err, EINVAL, "%s does not say what it is on an I2C bus", type);
    if (!child_of(child)->address)
        child_of(child)->address = info->address;
    s.address = child_of(child)->address;
    if (s.address < 8)
        return bp_fail(err, EINVAL, "%s needs its property 'address', from 0x08 to 0x77", type);
    if (bp_bus_each_child(bus, compare, &s))
        return bp_fail(err, EBUSY, "%s: property 'address': at 0x%02x of %s there is %s already", type,
                       s.address, bp_bus_name(bus), bp_device_class(s.found)->type.name);
    return 0;
}

static void child_address(struct bp_device *child, char *buf, size_t size)
{
    snprintf(buf, size, "0x%02x", child_of(child)->address);
}

/* ---- transfers ---- */

static bool start(struct bp_device *dev, bool read)
{
    return !info_of(dev)->start || info_of(dev)->start(dev, read);
}

static bool send(struct bp_device *dev, uint8_t byte)
{
    return !info_of(dev)->send || info_of(dev)->send(dev, byte);
}

static uint8_t receive(struct bp_device *dev)
{
    return info_of(dev)->receive ? info_of(dev)->receive(dev) : 0xff;
}

static void stop(struct bp_device *dev)
{
    if (info_of(dev)->stop)
        info_of(dev)->stop(dev);
}

static bool send_all(struct bp_device *dev, const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!send(dev, bytes[i]))
            return false;
    }
    return true;
}

/* The command, then what is written, or what is read after a repeated START. */
static int with_command(struct bp_device *dev, struct bp_smbus_transfer *t)
{
    bool call = t->protocol == BP_SMBUS_PROCESS_CALL, block = t->protocol == BP_SMBUS_BLOCK;
    unsigned count = block ? t->count : t->protocol == BP_SMBUS_BYTE_DATA ? 1 : 2;
    uint8_t data[BP_SMBUS_BLOCK_MAX];

    if (!start(dev, false) || !send(dev, t->command))
        return -ENXIO;
    if (!t->read || call) {
        if (block && (count < 1 || count > BP_SMBUS_BLOCK_MAX))
            return -EPROTO;
        if ((block && !send(dev, t->count)) || !send_all(dev, t->data, count))
            return -ENXIO;
    }
    if (!t->read && !call)
        return 0;
    if (!start(dev, true))
        return -ENXIO;
    if (block)
        count = receive(dev);
    if (count < 1 || count > BP_SMBUS_BLOCK_MAX)
        return -EPROTO;
    for (unsigned i = 0; i < count; i++)
        data[i] = receive(dev);
    for (unsigned i = 0; i < count; i++)
        t->data[i] = data[i];
    t->count = (uint8_t)count;
    return 0;
}

static int transfer(struct bp_device *dev, struct bp_smbus_transfer *t)
{
    switch (t->protocol) {
    case BP_SMBUS_QUICK:
        return start(dev, t->read) ? 0 : -ENXIO;
    case BP_SMBUS_BYTE:
        if (!start(dev, t->read) || (!t->read && !send(dev, t->command)))
            return -ENXIO;
        if (t->read)
            t->data[0] = receive(dev);
        return 0;
    case BP_SMBUS_BYTE_DATA:
    case BP_SMBUS_WORD_DATA:
    case BP_SMBUS_PROCESS_CALL:
    case BP_SMBUS_BLOCK:
        return with_command(dev, t);
    }
    return -EINVAL;
}

static int smbus(struct bp_bus *bus, struct bp_smbus_transfer *t)
{
    struct search s = {.address = t->address};
    int r;

    if (!bp_bus_each_child(bus, compare, &s))
        return -ENXIO;
    r = transfer(s.found, t);
    stop(s.found);
    return r;
}

static int new_bus(struct bp_device *controller, const char *name, struct bp_bus **ret_bus,
                   struct bp_error *err)
{
    return bp_bus_new(controller, "i2c-bus", name, ret_bus, err);
}

static const struct bp_i2c_interface table = {.size = sizeof(table), .new_bus = new_bus, .smbus = smbus};
BP_INTERFACE(i2c_interface, "i2c", 1, 0, &table);
BP_MODULE("i2c", "I2C bus and SMBus", BP_NO_IMPORTS, {BP_PROVIDE_BUS, &i2c_class},
          {BP_PROVIDE_INTERFACE, &i2c_interface});
