// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Power management of a board without a chipset: the fixed registers of ACPI at property "iobase", always in ACPI mode,
 * without sleep states but off, and the reset control at port 0xcf9.
 */
#define BP_SHARED
#include "acpi-pm.h"
#include "piix.h"

struct plain_pm {
    struct acpi_pm pm; /* first */
    struct south_ports ports; /* its reset control only */
    uint32_t iobase;
};

static uint64_t pm_read(void *opaque, uint64_t addr, unsigned size)
{
    return acpi_pm_read(&((struct plain_pm *)opaque)->pm, addr, size);
}

static void pm_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct plain_pm *s = opaque;

    acpi_pm_write(&s->pm, addr, value, size);
    acpi_pm_enable_sci(&s->pm, true); /* there is no other mode */
}

static const struct bp_region_ops pm_ops = {.size = sizeof(pm_ops), .read = pm_read, .write = pm_write};

static void power_button(struct bp_device *dev)
{
    acpi_pm_power_button(&((struct plain_pm *)bp_device_state(dev))->pm);
}

const struct bp_pc_pm_interface plain_pm_table = {.size = sizeof(struct bp_pc_pm_interface),
                                                  .power_button = power_button};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct plain_pm *s = bp_device_state(dev);
    struct bp_region *io = bp_space_root(bp_device_io(dev));
    struct bp_owner *owner = bp_device_owner(dev);

    if (s->iobase > 0x10000 - ACPI_PM_SIZE)
        return bp_fail(err, EINVAL, "property 'iobase' of acpi-pm must be at most %#x", 0x10000 - ACPI_PM_SIZE);
    s->ports.dev = dev;
    s->pm.disable_s3 = s->pm.disable_s4 = 1;
    acpi_pm_init(&s->pm, dev);
    bp_region_add(io, bp_region_new_io(owner, "acpi-pm", ACPI_PM_SIZE, &pm_ops, s), s->iobase, 0);
    bp_region_add(io, bp_region_new_io(owner, "reset-control", 1, &south_reset_ops, &s->ports), 0xcf9, 0);
    return 0;
}

static void reset(struct bp_device *dev)
{
    struct plain_pm *s = bp_device_state(dev);

    s->ports.reset_control = 0;
    acpi_pm_reset(&s->pm);
    acpi_pm_enable_sci(&s->pm, true);
}

static const struct bp_state_field fields[] = {
    ACPI_PM_SAVE(struct plain_pm, pm), SOUTH_PORTS_SAVE(struct plain_pm, ports, reset_control, 1), BP_SAVE_END};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    (void)err;
    acpi_pm_update(&((struct plain_pm *)state)->pm);
    return 0;
}
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("iobase", UINT32, struct plain_pm, iobase, "0x600", "first I/O port of the fixed registers"),
    BP_FIELDS_END,
};

BP_BOARD_DEVICE(plain_pm_class, "acpi-pm", "system", "ACPI power management without a chipset", struct plain_pm, props,
                &table, .category = "misc", .attach = attach, .reset = reset);
