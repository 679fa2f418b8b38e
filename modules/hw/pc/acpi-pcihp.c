/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of PCI cards by ACPI: five registers of 32 bits at 0xae00, a bit for each slot of the bus that the
 * fifth names, and a general purpose event. ssdt_pcihp.asl is their driver; a system never touches them itself.
 *
 *   +0   slots whose card came (reading forgets)
 *   +4   slots whose card is asked to go (reading forgets)
 *   +8   a bit that is written ejects the cards of that slot
 *   +12  slots whose card may go
 *   +16  the bus
 *
 * While no system listens (ACPI is off, or the event is not enabled) nobody has to be asked: cards go at once.
 */
#define BP_SHARED
#include "acpi-pcihp.h"

#include <bp/memory.h>
#include <errno.h>

struct slots { /* of one bus */
    struct acpi_pcihp *controller;
    struct bp_bus *bus;
    uint32_t up, down;
};

struct acpi_pcihp {
    const struct bp_pci_interface *pci;
    const struct bp_pc_pm_interface *pm_if;
    struct bp_device *pm;
    struct slots slots[ACPI_PCIHP_BUSES];
    uint32_t buses, selected;
};

static bool listens(const struct acpi_pcihp *s)
{
    return s->pm_if && s->pm_if->gpe_enabled(s->pm, ACPI_PCIHP_GPE);
}

static uint32_t bit_of(const struct acpi_pcihp *s, struct bp_device *dev)
{
    return 1u << (s->pci->devfn(dev) >> 3);
}

/* ---- registers ---- */
/* A slot's card may go when each of its functions may. */
static uint32_t removable(const struct acpi_pcihp *s, struct bp_bus *bus)
{
    uint32_t slots = UINT32_MAX;

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        struct bp_device *dev = s->pci->function(bus, devfn);

        if (dev && !(bp_device_class(dev)->type.flags & BP_TYPE_HOTPLUGGABLE))
            slots &= ~(1u << devfn / 8);
    }
    return slots;
}

static void eject(struct acpi_pcihp *s, struct bp_bus *bus, uint32_t slots)
{
    slots &= removable(s, bus);
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        struct bp_device *dev = slots >> devfn / 8 & 1 ? s->pci->function(bus, devfn) : NULL;

        if (dev)
            bp_device_unplugged(dev);
    }
}

static uint64_t read_register(void *opaque, uint64_t addr, unsigned size)
{
    struct acpi_pcihp *s = opaque;
    struct slots *slots = s->selected < s->buses ? &s->slots[s->selected] : NULL;
    uint32_t v = 0;

    (void)size;
    if (addr == 16)
        return s->selected;
    if (!slots)
        return 0;
    if (addr == 0) {
        v = slots->up;
        slots->up = 0;
    } else if (addr == 4) {
        v = slots->down;
        slots->down = 0;
    } else if (addr == 12) {
        v = removable(s, slots->bus);
    }
    return v;
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_pcihp *s = opaque;

    (void)size;
    if (addr == 16)
        s->selected = (uint32_t)value;
    else if (addr == 8 && s->selected < s->buses)
        eject(s, s->slots[s->selected].bus, (uint32_t)value);
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = read_register, .write = write_register, .min_access = 4, .max_access = 4,
    .valid_min = 4};

/* ---- cards that come and go ---- */
static int plug(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    struct slots *slots = opaque;
    struct acpi_pcihp *s = slots->controller;

    (void)bus, (void)err;
    /* A slot is told of when its first function comes last, as systems look for the others then. */
    if (bp_device_hotplugged(dev) && (s->pci->devfn(dev) & 7) == 0 && s->pm_if) {
        slots->up |= bit_of(s, dev);
        s->pm_if->gpe(s->pm, ACPI_PCIHP_GPE);
    }
    return 0;
}

static int unplug_request(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    struct slots *slots = opaque;
    struct acpi_pcihp *s = slots->controller;

    (void)bus, (void)err;
    if (!listens(s)) {
        bp_device_unplugged(dev);
        return 0;
    }
    slots->down |= bit_of(s, dev);
    s->pm_if->gpe(s->pm, ACPI_PCIHP_GPE);
    return 0;
}

static void unplug(void *opaque, struct bp_bus *bus, struct bp_device *dev)
{
    struct slots *slots = opaque;
    uint32_t bit = bit_of(slots->controller, dev);

    (void)bus;
    slots->up &= ~bit;
    slots->down &= ~bit;
}

static const struct bp_hotplug_ops slot_ops = {
    .size = sizeof(slot_ops), .plug = plug, .unplug_request = unplug_request, .unplug = unplug};

int acpi_pcihp_add(struct bp_device *dev, struct bp_bus *bus)
{
    struct acpi_pcihp *s = bp_device_state(dev);
    struct slots *slots;

    if (s->buses == ACPI_PCIHP_BUSES)
        return -ENOSPC;
    slots = &s->slots[s->buses];
    slots->controller = s;
    slots->bus = bus;
    bp_bus_set_hotplug(bus, bp_device_owner(dev), &slot_ops, slots);
    return (int)s->buses++;
}

void acpi_pcihp_connect(struct bp_device *dev, const struct bp_pci_interface *pci, struct bp_device *pm,
                        const struct bp_pc_pm_interface *pm_if)
{
    struct acpi_pcihp *s = bp_device_state(dev);

    s->pci = pci;
    s->pm = pm;
    s->pm_if = pm_if;
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    (void)err;
    bp_region_add(bp_space_root(bp_device_io(dev)),
                  bp_region_new_io(bp_device_owner(dev), "acpi-pci-hotplug", 0x14, &ops, bp_device_state(dev)),
                  ACPI_PCIHP_PORT, 0);
    return 0;
}

static void reset(struct bp_device *dev)
{
    struct acpi_pcihp *s = bp_device_state(dev);

    s->selected = 0;
    for (unsigned i = 0; i < s->buses; i++)
        s->slots[i].up = s->slots[i].down = 0;
}

static const struct bp_state_field slot_fields[] = {
    BP_SAVE(UINT32, struct slots, up), BP_SAVE(UINT32, struct slots, down), BP_SAVE_END};
static const struct bp_state_table slot_table = {.version = 1, .oldest = 1, .fields = slot_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct acpi_pcihp, selected), BP_SAVE_STRUCTS(struct acpi_pcihp, slots, &slot_table),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

BP_BOARD_DEVICE(acpi_pcihp_class, "acpi-pci-hotplug", "system", "Hot-plug of PCI cards by ACPI",
                struct acpi_pcihp, NULL, &table, .category = "bridge", .attach = attach, .reset = reset);
