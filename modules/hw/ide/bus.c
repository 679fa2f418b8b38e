// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The IDE bus. A parallel one is a cable with two drives (ATA/ATAPI-7 volume 2): writes go to both, the
 * DEV bit says which one answers; device 0 answers zeroes for a device 1 that is not there, and where
 * nobody is the data lines are what the pull-down on DD7 makes of them. A serial one (Serial ATA 3.0) has
 * one drive.
 */
#define BP_SHARED
#include <stdio.h>
#include <string.h>

#include <bp/log.h>

#include "ide.h"

#define NOBODY 0x7fu

static struct ide_bus *of(struct bp_bus *bus)
{
    return bp_bus_level(bus, &ide_bus_class);
}

static struct ide_drive *selected(const struct ide_bus *bus)
{
    return bus->drives[bus->selected];
}

void ide_update_irq(struct ide_bus *bus)
{
    const struct ide_drive *s = selected(bus);

    if (bus->ops.flags & BP_IDE_SERIAL)
        return;
    bus->ops.interrupt(bus->opaque,
                       s && s->irq && !(s->regs.control & CONTROL_NO_INTERRUPT) ? 1 : 0);
}

/* ---- units ---- */

/* Which of its adapter's: what follows the dot in its name. */
static unsigned channel_number(const struct ide_bus *bus)
{
    const char *dot = strrchr(bp_bus_name(bus->bus), '.');
    unsigned n = 0;

    (void)sscanf(dot ? dot + 1 : "0", "%u", &n);
    return n > 9999 ? 0 : n;
}

static unsigned serial_number(const struct ide_drive *s)
{
    return channel_number(s->bus) * (ide_serial(s) ? 1 : 2) + s->unit + 1;
}

static void child_firmware_path(struct bp_device *child, char *buf, size_t size)
{
    const struct ide_drive *s = bp_device_state(child);

    snprintf(buf, size, "drive@%x/disk@%x", channel_number(s->bus), s->unit);
}

int ide_bus_join(struct ide_drive *s, struct bp_error *err)
{
    struct ide_bus *bus = of(bp_device_bus(s->dev));
    unsigned units = bus->ops.flags & BP_IDE_SERIAL ? 1 : BP_IDE_UNITS;
    const char *type = bp_device_class(s->dev)->type.name, *name = bp_bus_name(bus->bus);

    if (s->unit == UINT32_MAX) {
        for (s->unit = 0; s->unit < units && bus->drives[s->unit];)
            s->unit++;
        if (s->unit == units) {
            s->unit = UINT32_MAX;
            return bp_fail(err, EBUSY, "%s: bus %s is full: it has %u unit%s", type, name, units,
                           units == 1 ? "" : "s");
        }
    }
    if (s->unit >= units)
        return bp_fail(err, EINVAL, "%s: property 'unit': bus %s has %s", type, name,
                       units == 1 ? "unit 0 only" : "units 0 and 1");
    if (bus->drives[s->unit])
        return bp_fail(err, EBUSY, "%s: unit %u of bus %s is in use", type, s->unit, name);
    s->bus = bus;
    bus->drives[s->unit] = s;
    if (!s->serial) {
        char text[24];

        snprintf(text, sizeof(text), "QM%05u", serial_number(s));
        s->serial = bp_strdup(text);
    }
    return 0;
}

void ide_bus_leave(struct ide_drive *s)
{
    struct ide_bus *bus = s->bus;

    if (!bus)
        return;
    s->irq = false;
    bus->drives[s->unit] = NULL;
    if (bus->ops.present)
        bus->ops.present(bus->opaque, s->unit, false);
    ide_update_irq(bus);
    s->bus = NULL;
}

/* What the cable knows, from what its drives heard. */
void ide_bus_restored(struct ide_drive *s)
{
    struct ide_bus *bus = s->bus;

    if (bus->ops.flags & BP_IDE_SERIAL)
        return;
    bus->selected = (s->regs.device & DEVICE_SELECT) != 0;
    bus->reset_held = (s->regs.control & CONTROL_RESET) != 0;
}

/* ---- parallel: registers ---- */

static uint8_t bus_read(struct bp_bus *b, unsigned reg)
{
    struct ide_bus *bus = of(b);
    struct ide_drive *s = selected(bus);
    const struct bp_ide_registers *r;
    bool high;

    if (!s)
        return bus->drives[0] ? 0 : NOBODY; /* device 1 alone does not answer for device 0 */
    r = &s->regs;
    high = r->control & CONTROL_HIGH_ORDER;
    switch (reg) {
    case 1: return high ? 0 : r->error;
    case 2: return high ? r->hob_count : r->count;
    case 3: return high ? r->hob_low : r->low;
    case 4: return high ? r->hob_mid : r->mid;
    case 5: return high ? r->hob_high : r->high;
    case 6: return r->device;
    case 7:
        s->irq = false;
        ide_update_irq(bus);
        return r->status;
    default: return r->status;
    }
}

static void put(uint8_t *reg, uint8_t *previous, uint8_t value)
{
    *previous = *reg;
    *reg = value;
}

static void drive_write(struct ide_drive *s, unsigned reg, uint8_t value)
{
    struct bp_ide_registers *r = &s->regs;

    if (reg != 8)
        r->control &= (uint8_t)~CONTROL_HIGH_ORDER;
    if (r->status & (BP_IDE_BUSY | BP_IDE_DATA_REQUEST) && reg != 6)
        return; /* not the host's to write now */
    switch (reg) {
    case 1: put(&r->feature, &r->hob_feature, value); break;
    case 2: put(&r->count, &r->hob_count, value); break;
    case 3: put(&r->low, &r->hob_low, value); break;
    case 4: put(&r->mid, &r->hob_mid, value); break;
    case 5: put(&r->high, &r->hob_high, value); break;
    default: r->device = value | 0xa0; break;
    }
}

static void write_control(struct ide_bus *bus, uint8_t value)
{
    bool reset = value & CONTROL_RESET, was = bus->reset_held;

    bus->reset_held = reset;
    for (unsigned i = 0; i < BP_IDE_UNITS; i++) {
        struct ide_drive *s = bus->drives[i];

        if (!s)
            continue;
        s->regs.control = value & (CONTROL_RESET | CONTROL_NO_INTERRUPT | CONTROL_HIGH_ORDER);
        if (reset && !was) {
            ide_let_go(s);
            s->diagnose = DIAGNOSE_NONE;
            s->irq = false;
            s->regs.status = BP_IDE_BUSY;
        } else if (!reset && was) {
            ide_software_reset(s);
        }
    }
    if (was && !reset)
        bus->selected = 0;
    ide_update_irq(bus);
}

/* Goes on when the last request of either drive has ended. */
void ide_diagnose_go(struct ide_bus *bus)
{
    for (unsigned i = 0; i < BP_IDE_UNITS; i++)
        if (bus->drives[i] && bus->drives[i]->diagnose == DIAGNOSE_COMMAND && bus->drives[i]->tally.pending)
            return;
    for (unsigned i = 0; i < BP_IDE_UNITS; i++) {
        struct ide_drive *s = bus->drives[i];

        if (!s || s->diagnose != DIAGNOSE_COMMAND)
            continue;
        ide_signature(s);
        if (bus->ops.flags & BP_IDE_SERIAL)
            bus->ops.registers(bus->opaque, 0, &s->regs, true);
        else if (i == 0)
            s->irq = true;
    }
    ide_update_irq(bus);
}

/* Both do it, device 0 tells the result. */
static void diagnose(struct ide_bus *bus)
{
    for (unsigned i = 0; i < BP_IDE_UNITS; i++) {
        struct ide_drive *s = bus->drives[i];

        if (!s)
            continue;
        ide_let_go(s);
        s->irq = false;
        s->regs.status = BP_IDE_BUSY;
        s->diagnose = DIAGNOSE_COMMAND;
    }
    bus->selected = 0;
    ide_diagnose_go(bus);
}

static void write_command(struct ide_bus *bus, uint8_t value)
{
    struct ide_drive *s = selected(bus);

    if (bus->reset_held)
        return;
    if (value == 0x90) {
        diagnose(bus);
        return;
    }
    if (!s)
        return;
    /* DEVICE RESET is for a drive that hangs. */
    if (s->regs.status & BP_IDE_BUSY && !(s->cd && value == 0x08)) {
        bp_guest_error("ide-command-while-busy", "IDE: command %02xh while the drive is busy", value);
        return;
    }
    s->irq = false;
    ide_update_irq(bus);
    ide_command(s, value);
}

static void bus_write(struct bp_bus *b, unsigned reg, uint8_t value)
{
    struct ide_bus *bus = of(b);

    if (reg == 8) {
        write_control(bus, value);
        return;
    }
    if (reg == 7) {
        write_command(bus, value);
        return;
    }
    for (unsigned i = 0; i < BP_IDE_UNITS; i++)
        if (bus->drives[i])
            drive_write(bus->drives[i], reg, value);
    if (reg == 6) {
        bus->selected = (value & DEVICE_SELECT) != 0;
        ide_update_irq(bus);
    }
}

/* ---- parallel: data ---- */

/* A block whose length is odd is read as if it had one byte more. */
static uint32_t bus_read_data(struct bp_bus *b, unsigned size)
{
    struct ide_drive *s = selected(of(b));
    uint32_t value = 0;

    if (!s)
        return of(b)->drives[0] ? 0 : UINT32_MAX >> (32 - 8 * size);
    if (s->phase != PHASE_PIO_IN || !(s->regs.status & BP_IDE_DATA_REQUEST) || !s->data)
        return 0;
    for (unsigned i = 0; i < size && s->data_pos < s->drq_end; i++)
        value |= (uint32_t)s->data[s->data_pos++] << 8 * i;
    if (s->data_pos == s->drq_end)
        ide_block_moved(s);
    return value;
}

static void bus_write_data(struct bp_bus *b, uint32_t value, unsigned size)
{
    struct ide_drive *s = selected(of(b));

    if (!s || !(s->regs.status & BP_IDE_DATA_REQUEST) || !s->data ||
        (s->phase != PHASE_PIO_OUT && s->phase != PHASE_PACKET))
        return;
    for (unsigned i = 0; i < size && s->data_pos < s->drq_end; i++)
        s->data[s->data_pos++] = (uint8_t)(value >> 8 * i);
    if (s->data_pos == s->drq_end)
        ide_block_moved(s);
}

static void bus_dma_go(struct bp_bus *b)
{
    struct ide_bus *bus = of(b);

    for (unsigned i = 0; i < BP_IDE_UNITS; i++)
        if (bus->drives[i] && bus->drives[i]->dma_wanted)
            ide_dma_go(bus->drives[i]);
}

/* ---- serial ---- */

static void bus_command(struct bp_bus *b, const struct bp_ide_registers *regs, bool is_command)
{
    struct ide_bus *bus = of(b);
    struct ide_drive *s = bus->drives[0];
    uint8_t control = regs->control;

    if (!s)
        return;
    if (!is_command) {
        bool was = s->regs.control & CONTROL_RESET, reset = control & CONTROL_RESET;

        s->regs.control = control & (CONTROL_RESET | CONTROL_NO_INTERRUPT);
        if (reset && !was) {
            ide_let_go(s);
            s->diagnose = DIAGNOSE_NONE;
            s->regs.status = BP_IDE_BUSY;
        } else if (was && !reset) {
            ide_software_reset(s);
        }
        return;
    }
    if (s->regs.control & CONTROL_RESET ||
        (s->regs.status & (BP_IDE_BUSY | BP_IDE_DATA_REQUEST) && !(s->cd && regs->command == 0x08)))
        return;
    control = s->regs.control;
    {
        uint8_t status = s->regs.status, error = s->regs.error;

        s->regs = *regs;
        s->regs.status = status;
        s->regs.error = error;
    }
    s->regs.control = control;
    if (regs->command == 0x90) {
        diagnose(bus);
        return;
    }
    ide_command(s, regs->command);
}

static void bus_registers(struct bp_bus *b, struct bp_ide_registers *ret)
{
    const struct ide_drive *s = of(b)->drives[0];

    *ret = s ? s->regs : (struct bp_ide_registers){.status = NOBODY};
}

static bool bus_packet_device(struct bp_bus *b)
{
    const struct ide_drive *s = of(b)->drives[0];

    return s && s->cd;
}

static void bus_stop(struct bp_bus *b)
{
    struct ide_bus *bus = of(b);

    for (unsigned i = 0; i < BP_IDE_UNITS; i++)
        if (bus->drives[i])
            ide_let_go(bus->drives[i]);
}

/* ---- both ---- */

static bool bus_present(struct bp_bus *b, unsigned unit)
{
    return unit < BP_IDE_UNITS && of(b)->drives[unit];
}

static bool bus_geometry(struct bp_bus *b, unsigned unit, struct bp_ide_geometry *ret)
{
    const struct ide_drive *s = unit < BP_IDE_UNITS ? of(b)->drives[unit] : NULL;

    if (!s || s->cd)
        return false;
    ret->cyls = s->cyls;
    ret->heads = s->heads;
    ret->secs = s->secs;
    ret->translation = 1;
    if (s->chs_trans)
        ret->translation = (uint8_t)(s->chs_trans - 1);
    else if (s->cyls <= 1024 && !s->conf.translated)
        ret->translation = 0;
    return true;
}

static void bus_reset(struct bp_bus *b)
{
    struct ide_bus *bus = of(b);

    bus->reset_held = false;
    bus->selected = 0;
    for (unsigned i = 0; i < BP_IDE_UNITS; i++) {
        struct ide_drive *s = bus->drives[i];

        if (!s)
            continue;
        s->regs.control = 0;
        ide_reset_settings(s);
        ide_software_reset(s);
    }
    ide_update_irq(bus);
}

static int pre_plug(void *opaque, struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    (void)opaque;
    if (bp_device_hotplugged(dev) && !(of(b)->ops.flags & BP_IDE_SERIAL))
        return bp_fail(err, ENOTSUP, "Bus '%s' does not support hotplugging: drives of a parallel IDE "
                       "cable are there from the start", bp_bus_name(b));
    return 0;
}

static int plug(void *opaque, struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    struct ide_bus *bus = of(b);

    (void)opaque, (void)dev, (void)err;
    if (bus->ops.present)
        bus->ops.present(bus->opaque, 0, true);
    return 0;
}

static int unplug_request(void *opaque, struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    (void)opaque;
    if (!(of(b)->ops.flags & BP_IDE_SERIAL))
        return bp_fail(err, ENOTSUP, "Bus '%s' does not support hotplugging: drives of a parallel IDE "
                       "cable stay", bp_bus_name(b));
    bp_device_unplugged(dev);
    return 0;
}

static const struct bp_hotplug_ops slots = {.size = sizeof(slots), .pre_plug = pre_plug, .plug = plug,
                                            .unplug_request = unplug_request};

static int new_bus(struct bp_device *adapter, const char *name, const struct bp_ide_ops *ops, void *opaque,
                   struct bp_bus **ret_bus, struct bp_error *err)
{
    char text[16];
    struct bp_bus *bus;
    struct ide_bus *s;
    int r;

    for (unsigned n = 0; !name && !bp_device_id(adapter); n++) {
        snprintf(text, sizeof(text), "ide.%u", n);
        if (!bp_bus_find(bp_device_machine(adapter), text))
            name = text;
    }
    r = bp_bus_new(adapter, "IDE", name, &bus, err);
    if (r < 0)
        return r;
    s = of(bus);
    s->ops = *ops;
    s->opaque = opaque;
    s->bus = bus;
    s->adapter = adapter;
    bp_bus_set_hotplug(bus, bp_device_owner(adapter), &slots, NULL);
    *ret_bus = bus;
    return 0;
}

const struct bp_ide_interface ide_table = {
    .size = sizeof(struct bp_ide_interface), .new_bus = new_bus, .present = bus_present,
    .geometry = bus_geometry, .reset = bus_reset, .read = bus_read, .write = bus_write,
    .read_data = bus_read_data, .write_data = bus_write_data, .dma_go = bus_dma_go,
    .command = bus_command, .registers = bus_registers, .packet_device = bus_packet_device,
    .stop = bus_stop};

BP_BUS(ide_bus_class, "IDE", "IDE bus", struct ide_bus, .max_children = BP_IDE_UNITS,
       .child_firmware_path = child_firmware_path);
