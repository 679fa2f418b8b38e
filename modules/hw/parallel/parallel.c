/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PC's parallel ports after IEEE 1284-1994 and the ECP port's register description ("Extended
 * Capabilities Port Protocol and ISA Interface Standard" 1.14): standard and bidirectional port, EPP, the
 * FIFOs of ECP. What is plugged in takes every byte at once and never complains; bytes that it sends are
 * read in EPP cycles. Left out: DMA (the configuration registers name no channel), negotiation, RLE.
 * A port of the host's (chardev-parallel) is driven line by line instead, and has no registers of ECP.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/host/chardev.h>
#include <bp/log.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

#define PORTS 3
static const uint16_t default_base[PORTS] = {0x378, 0x278, 0x3bc};

enum { DATA, STATUS, CONTROL, EPP_ADDRESS, EPP_DATA, REGISTERS = 8 };
enum { FIFO, CONFIG_B, ECR, ECP_REGISTERS }; /* from 400h above the base */

/* Status; bits 1 and 2 are not connected. */
#define ST_TIMEOUT 0x01u /* of an EPP cycle; cleared by writing it */
#define ST_READY 0xd8u   /* not busy, no acknowledge pulse, selected, no fault; paper is there */
#define ST_REST 0x06u
#define ST_LINES 0xf8u
/* Control. */
#define CT_STROBE 0x01u
#define CT_INIT 0x04u /* inverted: 0 resets the printer */
#define CT_IRQ 0x10u
#define CT_INPUT 0x20u /* data lines are inputs */
#define CT_REST 0xc0u
#define CT_LINES 0x0fu
/* Extended control. */
#define EC_EMPTY 0x01u
#define EC_FULL 0x02u
#define EC_SERVICE 0x04u /* no service interrupts; a 1 when one was given */
#define EC_WRITABLE 0xfcu
enum { MODE_SPP, MODE_PS2, MODE_FIFO, MODE_ECP, MODE_EPP, MODE_TEST = 6, MODE_CONFIG };

#define DEPTH 16u
#define THRESHOLD 8u /* bytes from which on a FIFO asks for service */

struct parallel {
    uint32_t index, iobase, irq; /* index and iobase: UINT32_MAX: chosen */
    struct bp_object *chardev;
    struct bp_chardev *chr;
    bool real; /* it is a port of the host's */
    struct bp_irq *line;
    uint8_t data, control, status, ecr;
    uint8_t fifo[DEPTH];   /* of mode TEST */
    uint8_t arrived[DEPTH]; /* from the other side */
    uint32_t fifo_count, arrived_count;
};

static unsigned mode(const struct parallel *s)
{
    return s->ecr >> 5;
}

/* Drivers that learn of the port by ACPI run EPP cycles without a look at the extended control register. */
static bool has_epp(const struct parallel *s)
{
    return mode(s) == MODE_SPP || mode(s) == MODE_PS2 || mode(s) == MODE_EPP;
}

static void send(struct parallel *s, uint8_t byte)
{
    if (s->chr)
        chardev->write(s->chr, &byte, 1, s);
}

/* ---- a port of the host's ---- */

static void drive(struct parallel *s, enum bp_chardev_ioctl what, uint8_t value)
{
    int r = chardev->ioctl(s->chr, what, &value);

    if (r == -ETIMEDOUT)
        s->status |= ST_TIMEOUT;
}

static uint8_t sense(struct parallel *s, enum bp_chardev_ioctl what)
{
    uint8_t value = 0xff;
    int r = chardev->ioctl(s->chr, what, &value);

    if (r == -ETIMEDOUT)
        s->status |= ST_TIMEOUT;
    return r < 0 ? 0xff : value;
}

static void drive_control(struct parallel *s, uint8_t value)
{
    int input = (value & CT_INPUT) != 0;

    if ((value ^ s->control) & CT_INPUT)
        chardev->ioctl(s->chr, BP_CHARDEV_PP_SET_INPUT, &input);
    s->control = value & (uint8_t)~CT_REST;
    drive(s, BP_CHARDEV_PP_WRITE_CONTROL, value & CT_LINES);
}

static uint64_t real_read(struct parallel *s, uint64_t addr)
{
    switch (addr) {
    case DATA: return sense(s, BP_CHARDEV_PP_READ_DATA);
    case STATUS: return (sense(s, BP_CHARDEV_PP_READ_STATUS) & ST_LINES) | ST_REST | s->status;
    case CONTROL: return s->control | CT_REST;
    case EPP_ADDRESS: return sense(s, BP_CHARDEV_EPP_READ_ADDRESS);
    default: return sense(s, BP_CHARDEV_EPP_READ_DATA);
    }
}

static void real_write(struct parallel *s, uint64_t addr, uint64_t value)
{
    switch (addr) {
    case DATA:
        s->data = (uint8_t)value;
        drive(s, BP_CHARDEV_PP_WRITE_DATA, s->data);
        break;
    case STATUS:
        s->status &= (uint8_t)~(value & ST_TIMEOUT);
        break;
    case CONTROL:
        drive_control(s, (uint8_t)value);
        break;
    case EPP_ADDRESS:
        drive(s, BP_CHARDEV_EPP_WRITE_ADDRESS, (uint8_t)value);
        break;
    default:
        drive(s, BP_CHARDEV_EPP_WRITE_DATA, (uint8_t)value);
        break;
    }
}

/* ---- standard registers ---- */

static void write_control(struct parallel *s, uint8_t value)
{
    uint8_t rising = value & (uint8_t)~s->control;

    s->control = value & (uint8_t)~CT_REST;
    if (mode(s) == MODE_SPP)
        s->control &= (uint8_t)~CT_INPUT; /* no direction in this mode */
    if (!(rising & CT_STROBE) || !(value & CT_INIT))
        return;
    send(s, s->data);
    if (value & CT_IRQ)
        bp_irq_pulse(s->line); /* the end of its acknowledge pulse */
}

static void epp_write(struct parallel *s, uint8_t byte)
{
    if (s->chr)
        send(s, byte);
    else
        s->status |= ST_TIMEOUT;
}

static uint8_t epp_read(struct parallel *s)
{
    uint8_t byte;

    if (!s->arrived_count) {
        s->status |= ST_TIMEOUT;
        return 0xff;
    }
    byte = s->arrived[0];
    memmove(s->arrived, s->arrived + 1, --s->arrived_count);
    if (s->chr)
        chardev->accept_input(s->chr, s);
    return byte;
}

static uint64_t parallel_read(void *opaque, uint64_t addr, unsigned size)
{
    struct parallel *s = opaque;

    (void)size;
    if (s->real)
        return real_read(s, addr);
    switch (addr) {
    case DATA:
        return s->control & CT_INPUT ? 0xff : s->data; /* nobody drives the lines */
    case STATUS:
        return s->status | ST_READY | ST_REST;
    case CONTROL:
        return s->control | CT_REST;
    default:
        return has_epp(s) ? epp_read(s) : 0xff;
    }
}

static void parallel_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct parallel *s = opaque;

    (void)size;
    if (s->real) {
        real_write(s, addr, value);
        return;
    }
    switch (addr) {
    case DATA:
        s->data = (uint8_t)value;
        break;
    case STATUS:
        s->status &= (uint8_t)~(value & ST_TIMEOUT);
        break;
    case CONTROL:
        write_control(s, (uint8_t)value);
        break;
    default:
        if (has_epp(s))
            epp_write(s, (uint8_t)value);
        break;
    }
}

static const struct bp_region_ops parallel_ops = {
    .size = sizeof(parallel_ops), .read = parallel_read, .write = parallel_write, .max_access = 1};

/* ---- extended registers ---- */

/* Service is due: room for THRESHOLD bytes, or as many to be read. */
static void look_for_service(struct parallel *s)
{
    bool input = s->control & CT_INPUT;

    if (mode(s) != MODE_TEST || (s->ecr & EC_SERVICE))
        return;
    if (input ? s->fifo_count < THRESHOLD : s->fifo_count > DEPTH - THRESHOLD)
        return;
    s->ecr |= EC_SERVICE;
    bp_irq_pulse(s->line);
}

static uint8_t fifo_read(struct parallel *s)
{
    uint8_t byte;

    if (mode(s) == MODE_CONFIG)
        return 0x14; /* configuration A: 8 bits, no byte in the transmitter, pulsed interrupts */
    if (mode(s) != MODE_TEST)
        return 0xff;
    if (!s->fifo_count)
        return s->fifo[0];
    byte = s->fifo[0];
    memmove(s->fifo, s->fifo + 1, --s->fifo_count);
    look_for_service(s);
    return byte;
}

static void fifo_write(struct parallel *s, uint8_t byte)
{
    if ((mode(s) == MODE_FIFO || mode(s) == MODE_ECP) && !(s->control & CT_INPUT)) {
        send(s, byte); /* taken at once: this FIFO is always empty */
    } else if (mode(s) == MODE_TEST && s->fifo_count < DEPTH) {
        s->fifo[s->fifo_count++] = byte;
        look_for_service(s);
    }
}

static uint8_t config_b(const struct parallel *s)
{
    static const uint8_t codes[16] = {[5] = 7, [7] = 1, [9] = 2, [10] = 3, [11] = 4, [14] = 5, [15] = 6};

    return mode(s) == MODE_CONFIG ? (uint8_t)(0x40 | codes[s->irq & 15] << 3) : 0xff;
}

static uint64_t ecp_read(void *opaque, uint64_t addr, unsigned size)
{
    struct parallel *s = opaque;

    (void)size;
    if (s->real)
        return 0xff;
    switch (addr) {
    case FIFO:
        return fifo_read(s);
    case CONFIG_B:
        return config_b(s);
    default:
        return (s->ecr & EC_WRITABLE) | (s->fifo_count == 0 ? EC_EMPTY : 0) |
               (s->fifo_count == DEPTH ? EC_FULL : 0);
    }
}

static void ecp_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct parallel *s = opaque;
    unsigned before = mode(s);

    (void)size;
    if (s->real)
        return;
    if (addr == FIFO)
        fifo_write(s, (uint8_t)value);
    if (addr != ECR)
        return;
    s->ecr = (uint8_t)value & EC_WRITABLE;
    if (mode(s) != before)
        s->fifo_count = 0;
    if (mode(s) == MODE_SPP)
        s->control &= (uint8_t)~CT_INPUT;
    look_for_service(s);
}

static const struct bp_region_ops ecp_ops = {
    .size = sizeof(ecp_ops), .read = ecp_read, .write = ecp_write, .max_access = 1};

/* ---- the other side ---- */

static size_t can_read(void *opaque)
{
    return DEPTH - ((struct parallel *)opaque)->arrived_count;
}

static void arrive(void *opaque, const uint8_t *buf, size_t len)
{
    struct parallel *s = opaque;

    memcpy(s->arrived + s->arrived_count, buf, len);
    s->arrived_count += (uint32_t)len;
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = can_read, .read = arrive};

/* ---- the device ---- */

static void parallel_reset(struct bp_device *dev)
{
    struct parallel *s = bp_device_state(dev);

    s->data = s->status = 0;
    s->control = CT_INIT | 0x08; /* printer selected, not in reset */
    s->ecr = EC_SERVICE | 0x10;
    s->fifo_count = s->arrived_count = 0;
    memset(s->fifo, 0, sizeof(s->fifo));
    if (s->real) {
        int input = 0;

        chardev->ioctl(s->chr, BP_CHARDEV_PP_SET_INPUT, &input);
        drive(s, BP_CHARDEV_PP_WRITE_CONTROL, s->control);
    }
}

static int note_index(struct bp_device *dev, void *opaque)
{
    struct bp_device *self = opaque;
    struct parallel *mine = bp_device_state(self);
    const struct parallel *other;

    if (dev == self || bp_device_class(dev) != bp_device_class(self))
        return 0;
    other = bp_device_state(dev);
    return other->index == mine->index;
}

static int choose_place(struct bp_device *dev, struct parallel *s, struct bp_error *err)
{
    if (s->index == UINT32_MAX) {
        for (s->index = 0; s->index < PORTS && bp_bus_each_child(bp_device_bus(dev), note_index, dev);)
            s->index++;
    }
    if (s->index >= PORTS)
        return bp_fail(err, EINVAL, "at most %d parallel ports: 'index' is 0 to %d", PORTS, PORTS - 1);
    if (s->iobase == UINT32_MAX)
        s->iobase = default_base[s->index];
    if (s->iobase > 0xfbf8)
        return bp_fail(err, EINVAL, "property 'iobase' of isa-parallel must be at most 0xfbf8");
    return 0;
}

static int connect_chardev(struct parallel *s, struct bp_error *err)
{
    struct bp_chardev *chr;
    int r;

    if (!s->chardev)
        return 0;
    chr = chardev->from_object(s->chardev);
    if (!chr)
        return bp_fail(err, EINVAL, "'%s' is not a character device", bp_object_id(s->chardev));
    r = chardev->connect(chr, &handlers, s, err);
    if (r == 0) {
        uint8_t status;

        s->chr = chr;
        s->real = chardev->ioctl(chr, BP_CHARDEV_PP_READ_STATUS, &status) == 0;
    }
    return r;
}

static int parallel_attach(struct bp_device *dev, struct bp_error *err)
{
    struct parallel *s = bp_device_state(dev);
    /* At 3BCh there are no EPP registers: the display adapter's follow. */
    unsigned registers;
    int r = choose_place(dev, s, err);

    if (r < 0)
        return r;
    registers = s->iobase % 8 ? EPP_ADDRESS : REGISTERS;
    r = isa->irq(dev, s->irq, &s->line, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, registers, "parallel", &parallel_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)(s->iobase + 0x400), ECP_REGISTERS, "parallel-ecp", &ecp_ops, s,
                           NULL, err);
    return r < 0 ? r : connect_chardev(s, err);
}

static void parallel_detach(struct bp_device *dev)
{
    struct parallel *s = bp_device_state(dev);

    if (s->chr)
        chardev->disconnect(s->chr, s);
}

static const struct bp_state_field parallel_fields[] = {
    BP_SAVE(UINT8, struct parallel, data), BP_SAVE(UINT8, struct parallel, control),
    BP_SAVE(UINT8, struct parallel, status), BP_SAVE(UINT8, struct parallel, ecr),
    BP_SAVE_BUFFER(struct parallel, fifo), BP_SAVE_BUFFER(struct parallel, arrived),
    BP_SAVE_RANGE(UINT32, struct parallel, fifo_count, 0, DEPTH),
    BP_SAVE_RANGE(UINT32, struct parallel, arrived_count, 0, DEPTH),
    BP_SAVE_END,
};
static const struct bp_state_table parallel_state = {.version = 1, .oldest = 1,
                                                     .fields = parallel_fields};

static const struct bp_field parallel_props[] = {
    BP_PROP("index", UINT32, struct parallel, index, "4294967295",
            "which of the three ports, 0 to 2; the next free one when not given"),
    BP_PROP("iobase", UINT32, struct parallel, iobase, "4294967295",
            "first I/O port; by index when not given"),
    BP_PROP("irq", UINT32, struct parallel, irq, "7", "ISA interrupt"),
    BP_PROP_LINK("chardev", "chardev", struct parallel, chardev, "what is plugged in"),
    BP_FIELDS_END,
};
BP_DEVICE(parallel, "isa-parallel", "isa", "Parallel port", struct parallel, parallel_props,
          &parallel_state, .category = "input", .replaces_default = "parallel",
          .attach = parallel_attach, .detach = parallel_detach, .reset = parallel_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("hw-parallel", "Parallel ports", imports, {BP_PROVIDE_DEVICE, &parallel});
