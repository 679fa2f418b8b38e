// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ISA bus (IEEE P996 draft): I/O ports and sixteen interrupt lines. Lines shared by several
 * devices are ORed. DMA channels belong to their controllers, which the bus knows. Left out: memory cards.
 */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/isa.h>

/* I/O ports that a device answers at. */
struct claim {
    struct claim *next;
    struct bp_device *dev;
    uint32_t base, count;
};

struct isa_bus {
    struct claim *claims; /* owned */
    struct bp_region *ports, *memory;
    struct bp_irq *lines[16];
    unsigned raised[16];     /* users that hold the line up */
    uint16_t bridge_raised;  /* lines that the bridge itself holds up */
    struct bp_device *dma[2];
};

struct isa_child {
    uint16_t raised;  /* lines this device holds up */
    uint16_t claimed; /* lines it may hold up */
    uint16_t saved;   /* raised, while saving and loading */
};

extern const struct bp_bus_class isa_class;

static void line_change(struct isa_bus *bus, uint16_t *raised, unsigned n, int level)
{
    uint16_t bit = (uint16_t)(1u << n);

    if (!!(*raised & bit) == !!level)
        return;
    *raised ^= bit;
    bus->raised[n] += level ? 1 : -1;
    bp_irq_set(bus->lines[n], bus->raised[n] != 0);
}

static void child_line_changed(void *opaque, unsigned n, int level)
{
    struct bp_device *dev = opaque;
    struct isa_child *child = bp_device_bus_level(dev, &isa_class);

    line_change(bp_bus_level(bp_device_bus(dev), &isa_class), &child->raised, n, level);
}

static void bridge_line_changed(void *opaque, unsigned n, int level)
{
    struct isa_bus *bus = opaque;

    line_change(bus, &bus->bridge_raised, n, level);
}

static struct bp_bus *isa_bus_of_child(struct bp_device *dev)
{
    struct bp_bus *bus = bp_device_bus(dev);

    return bus && bp_bus_level(bus, &isa_class) ? bus : NULL;
}

/* What is no ISA device's answers at ports, too: the chipset, PCI functions with an I/O BAR. */
static int check_others(struct bp_device *dev, uint32_t base, uint32_t count, struct bp_error *err)
{
    for (uint32_t at = base; at < base + count; at++) {
        struct bp_mapping map = {.size = sizeof(map)};

        bp_space_lookup(bp_device_io(dev), at, &map);
        if (map.region)
            return bp_fail(err, EBUSY, "I/O ports 0x%x to 0x%x: '%s' is at 0x%x (info mtree)", base, base + count - 1,
                           bp_region_name(map.region), at);
    }
    return 0;
}

static int claim_ports(struct isa_bus *isa, struct bp_device *dev, uint32_t base, uint32_t count,
                       struct bp_error *err)
{
    struct claim *claim;

    for (const struct claim *c = isa->claims; c; c = c->next) {
        const char *id = bp_device_id(c->dev);

        if (base < c->base + c->count && c->base < base + count)
            return bp_fail(err, EBUSY, "I/O ports 0x%x to 0x%x: %s%s%s is at 0x%x to 0x%x", base,
                           base + count - 1, bp_device_class(c->dev)->type.name, id ? ",id=" : "",
                           id ? id : "", c->base, c->base + c->count - 1);
    }
    if (bp_space_root(bp_device_io(dev)) == isa->ports && check_others(dev, base, count, err) < 0)
        return -EBUSY;
    claim = bp_alloc(sizeof(*claim));
    *claim = (struct claim){isa->claims, dev, base, count};
    isa->claims = claim;
    return 0;
}

static void drop_claims(struct isa_bus *isa, struct bp_device *dev)
{
    struct claim **at = &isa->claims;

    while (*at) {
        struct claim *c = *at;

        if (c->dev == dev) {
            *at = c->next;
            free(c);
        } else {
            at = &c->next;
        }
    }
}

static int isa_add_ports(struct bp_device *dev, uint16_t base, unsigned count, const char *name,
                         const struct bp_region_ops *ops, void *opaque,
                         struct bp_region **ret_region, struct bp_error *err)
{
    struct bp_bus *bus = isa_bus_of_child(dev);
    struct isa_bus *isa = bus ? bp_bus_level(bus, &isa_class) : NULL;
    struct bp_region *region;

    if (!isa)
        return bp_fail(err, EINVAL, "device '%s' is not on an ISA bus",
                       bp_device_class(dev)->type.name);
    if (count == 0 || (uint32_t)base + count > 0x10000)
        return bp_fail(err, EINVAL, "I/O ports 0x%x to 0x%x do not fit into 0..0xffff", base,
                       base + count - 1);
    if (claim_ports(isa, dev, base, count, err) < 0)
        return -EBUSY;
    region = bp_region_new_io(bp_device_owner(dev), name, count, ops, opaque);
    bp_region_add(isa->ports, region, base, 0);
    if (ret_region)
        *ret_region = region;
    return 0;
}

static int isa_irq(struct bp_device *dev, unsigned n, struct bp_irq **ret_line,
                   struct bp_error *err)
{
    struct bp_bus *bus = isa_bus_of_child(dev);

    if (n > 15)
        return bp_fail(err, EINVAL, "ISA interrupt %u is out of range: 0 to 15", n);
    if (bus) {
        ((struct isa_child *)bp_device_bus_level(dev, &isa_class))->claimed |= (uint16_t)(1u << n);
        *ret_line = bp_irq_new(bp_device_owner(dev), child_line_changed, dev, n);
        return 0;
    }
    bus = bp_device_bridged(dev, "isa");
    if (!bus)
        return bp_fail(err, EINVAL, "device '%s' is not on an ISA bus",
                       bp_device_class(dev)->type.name);
    *ret_line = bp_irq_new(bp_device_owner(dev), bridge_line_changed, bp_bus_level(bus, &isa_class), n);
    return 0;
}

static void isa_set_irqs(struct bp_bus *bus, struct bp_irq *const lines[16])
{
    struct isa_bus *isa = bp_bus_level(bus, &isa_class);

    for (unsigned n = 0; n < 16; n++) {
        isa->lines[n] = lines ? lines[n] : NULL;
        if (isa->raised[n])
            bp_irq_set(isa->lines[n], 1);
    }
}

static int isa_set_dma(struct bp_bus *bus, unsigned n, struct bp_device *controller,
                       struct bp_error *err)
{
    struct isa_bus *isa = bp_bus_level(bus, &isa_class);

    if (isa->dma[n])
        return bp_fail(err, EBUSY, "%s: DMA channels %u to %u have their controller already",
                       bp_device_class(controller)->type.name, 4 * n, 4 * n + 3);
    isa->dma[n] = controller;
    return 0;
}

static struct bp_device *isa_dma(struct bp_bus *bus, unsigned n)
{
    const struct isa_bus *isa = bp_bus_level(bus, &isa_class);

    return isa && n < 2 ? isa->dma[n] : NULL;
}

/* Nothing on this bus announces itself: a card that its class lets come and go is simply there. */
static const struct bp_hotplug_ops slots = {.size = sizeof(struct bp_hotplug_ops)};

static int isa_new_bus(struct bp_device *bridge, struct bp_region *ports, struct bp_region *memory,
                       struct bp_irq *const lines[16], struct bp_bus **ret_bus,
                       struct bp_error *err)
{
    struct bp_bus *bus;
    struct isa_bus *isa;
    int r = bp_bus_new(bridge, "isa", "isa.0", &bus, err);

    if (r < 0)
        return r;
    isa = bp_bus_level(bus, &isa_class);
    bp_bus_set_hotplug(bus, bp_device_owner(bridge), &slots, NULL);
    isa->ports = ports;
    isa->memory = memory;
    isa_set_irqs(bus, lines);
    *ret_bus = bus;
    return 0;
}

/* ---- saved with each device: the lines that it holds up ---- */
static int before_save(void *state, struct bp_error *err)
{
    struct isa_child *child = state;

    (void)err;
    child->saved = child->raised;
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    const struct isa_child *child = state;

    (void)version;
    return child->saved & ~child->claimed
               ? bp_fail(err, EINVAL, "ISA: a line is up that the device does not have") : 0;
}

/* The interrupt controller is loaded, and knows the level as it was: no edge comes of it. */
static int loaded(void *state, struct bp_error *err)
{
    struct isa_child *child = state;
    struct bp_bus *bus = bp_device_bus(bp_device_of_state(child));

    (void)err;
    for (unsigned n = 0; bus && n < 16; n++)
        line_change(bp_bus_level(bus, &isa_class), &child->raised, n, child->saved >> n & 1);
    return 0;
}

static const struct bp_state_field child_fields[] = {
    {.name = "raised", .kind = BP_STATE_UINT16, .offset = offsetof(struct isa_child, saved),
     .count = 1, .stride = 2},
    BP_SAVE_END,
};
static const struct bp_state_table child_table = {
    .version = 1, .oldest = 1, .fields = child_fields, .before_save = before_save,
    .after_load = after_load, .loaded = loaded, .loaded_order = BP_STATE_ORDER_LINES};

static void child_detach(struct bp_bus *bus, struct bp_device *dev)
{
    struct isa_child *child = bp_device_bus_level(dev, &isa_class);
    struct isa_bus *isa = bp_bus_level(bus, &isa_class);

    for (unsigned n = 0; n < 16; n++)
        line_change(isa, &child->raised, n, 0);
    drop_claims(isa, dev);
    for (unsigned n = 0; n < 2; n++)
        if (isa->dma[n] == dev)
            isa->dma[n] = NULL;
}

/* Its name and first port: "fdc@03f0". */
static void child_firmware_path(struct bp_device *dev, char *buf, size_t size)
{
    const struct isa_bus *isa = bp_bus_level(bp_device_bus(dev), &isa_class);
    const struct bp_device_class *class = bp_device_class(dev);
    const char *name = class->firmware_name ? class->firmware_name : class->type.name;
    uint32_t base = UINT32_MAX;

    for (const struct claim *c = isa->claims; c; c = c->next) {
        if (c->dev == dev && c->base < base)
            base = c->base;
    }
    if (base == UINT32_MAX)
        snprintf(buf, size, "%s", name);
    else
        snprintf(buf, size, "%s@%04x", name, base);
}

BP_BUS(isa_class, "isa", "ISA bus", struct isa_bus, .child_size = sizeof(struct isa_child),
       .child_state = &child_table, .child_firmware_path = child_firmware_path,
       .child_detach = child_detach);

static const struct bp_isa_interface isa_table = {
    .size = sizeof(struct bp_isa_interface),
    .add_ports = isa_add_ports,
    .irq = isa_irq,
    .new_bus = isa_new_bus,
    .set_irqs = isa_set_irqs,
    .set_dma = isa_set_dma,
    .dma = isa_dma,
};
BP_INTERFACE(isa_interface, "isa", 1, 1, &isa_table);

BP_MODULE("isa", "ISA bus", BP_NO_IMPORTS, {BP_PROVIDE_BUS, &isa_class},
          {BP_PROVIDE_INTERFACE, &isa_interface});
