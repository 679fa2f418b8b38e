// SPDX-License-Identifier: LGPL-2.1-or-later
/* The PC's serial ports: a 16550A on the ISA bus, at the four customary addresses or elsewhere. */
#include <errno.h>

#include <bp/bus/isa.h>

#include "uart.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

const struct bp_chardev_interface *const *const uart_chardev = &chardev;

#define PORTS 4
static const uint16_t default_base[PORTS] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
static const uint8_t default_irq[PORTS] = {4, 3, 4, 3};

struct isa_serial {
    struct uart uart;
    struct bp_object *chardev;
    uint32_t index;  /* UINT32_MAX: the next free */
    uint32_t iobase; /* UINT32_MAX: by index */
    uint32_t irq;
};

static uint64_t serial_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return uart_read(opaque, (unsigned)addr);
}

static void serial_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    uart_write(opaque, (unsigned)addr, (uint8_t)value);
}

static const struct bp_region_ops serial_ops = {
    .size = sizeof(serial_ops), .read = serial_read, .write = serial_write, .max_access = 1};

static void serial_reset(struct bp_device *dev)
{
    struct isa_serial *s = bp_device_state(dev);

    uart_reset(&s->uart);
}

static void serial_detach(struct bp_device *dev)
{
    struct isa_serial *s = bp_device_state(dev);

    uart_finish(&s->uart);
}

struct taken {
    struct bp_device *self;
    uint32_t mask;
};

static int note_index(struct bp_device *dev, void *opaque)
{
    struct taken *taken = opaque;
    const struct isa_serial *s;

    if (dev == taken->self || bp_device_class(dev) != bp_device_class(taken->self))
        return 0;
    s = bp_device_state(dev);
    if (s->index < PORTS)
        taken->mask |= 1u << s->index;
    return 0;
}

static int choose_resources(struct bp_device *dev, struct isa_serial *s, struct bp_error *err)
{
    struct taken taken = {.self = dev};

    bp_bus_each_child(bp_device_bus(dev), note_index, &taken);
    if (s->index == UINT32_MAX) {
        s->index = 0;
        while (s->index < PORTS && (taken.mask & (1u << s->index)))
            s->index++;
    }
    if (s->index >= PORTS)
        return bp_fail(err, EINVAL, "at most %d serial ports: 'index' is 0 to %d", PORTS,
                       PORTS - 1);
    if (s->iobase == UINT32_MAX)
        s->iobase = default_base[s->index];
    if (s->irq == UINT32_MAX)
        s->irq = default_irq[s->index];
    if (s->iobase > 0xfff8)
        return bp_fail(err, EINVAL, "property 'iobase' of isa-serial must be at most 0xfff8");
    return 0;
}

static int serial_attach(struct bp_device *dev, struct bp_error *err)
{
    struct isa_serial *s = bp_device_state(dev);
    struct bp_irq *line;
    int r = choose_resources(dev, s, err);

    if (r == 0)
        r = isa->irq(dev, s->irq, &line, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 8, "serial", &serial_ops, &s->uart, NULL, err);
    if (r == 0)
        r = uart_init(&s->uart, bp_device_owner(dev), s->chardev, line, err);
    return r;
}

static const struct bp_state_field serial_fields[] = {
    {.name = "uart", .kind = BP_STATE_STRUCT, .offset = offsetof(struct isa_serial, uart),
     .count = 1, .stride = sizeof(struct uart), .table = &uart_state},
    BP_SAVE_END,
};
static const struct bp_state_table serial_table = {.version = 1, .oldest = 1,
                                                   .fields = serial_fields};

static const struct bp_field serial_props[] = {
    BP_PROP("index", UINT32, struct isa_serial, index, "4294967295",
            "which of the four ports, 0 to 3; the next free one when not given"),
    BP_PROP("iobase", UINT32, struct isa_serial, iobase, "4294967295",
            "first I/O port; by index when not given"),
    BP_PROP("irq", UINT32, struct isa_serial, irq, "4294967295",
            "ISA interrupt; by index when not given"),
    BP_PROP_RANGE("baudbase", UINT32, struct isa_serial, uart.baudbase, "115200", 50, 100000000,
                  "speed at divisor 1, in baud"),
    BP_PROP_LINK("chardev", "chardev", struct isa_serial, chardev,
                 "character device that the port talks to"),
    BP_FIELDS_END,
};

BP_DEVICE(serial_class, "isa-serial", "isa", "16550A serial port", struct isa_serial, serial_props,
          &serial_table, .category = "input", .replaces_default = "serial",
          .attach = serial_attach, .detach = serial_detach,
          .reset = serial_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1),
                                           BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("hw-serial", "16550A serial ports", imports, {BP_PROVIDE_DEVICE, &serial_class});
