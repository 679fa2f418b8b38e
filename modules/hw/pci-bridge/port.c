// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Root ports, and the slot that a port has behind it: native hot-plug as PCI Express Base 3.0, 6.7
 * and 7.8.9 to 7.8.11 have it, with attention button, power controller, presence and link state. A
 * card that comes shows up as present; software turns the power on, and the link comes up. One that is
 * asked to go has its button pressed; it goes when software turns the power off. Left out: sensors
 * of a latch, electromechanical interlock, power faults, error reporting.
 */
#define BP_SHARED
#include "port.h"

#include <bp/log.h>

enum { /* in the capability */
    EXP_FLAGS = 0x02, EXP_LINKCAP = 0x0c, EXP_LINKSTA = 0x12, EXP_SLOTCAP = 0x14, EXP_SLOTCTL = 0x18,
    EXP_SLOTSTA = 0x1a, EXP_ROOTCTL = 0x1c, EXP_ROOTSTA = 0x20,
};
#define FLAGS_SLOT 0x0100u
#define LINKCAP_ACTIVE_REPORTING 0x00100000u
#define LINKSTA_ACTIVE 0x2000u
/* attention button, power controller, attention and power indicator, hot-plug capable */
#define SLOTCAP_HOTPLUG 0x0000005bu

#define BUTTON 0x0001u /* in slot status; its enable is in the same place of slot control */
#define PRESENCE_CHANGED 0x0008u
#define COMMAND_DONE 0x0010u
#define PRESENT 0x0040u
#define LINK_CHANGED 0x0100u
#define INTERRUPT_ENABLE 0x0020u
#define LINK_CHANGED_ENABLE 0x1000u
#define INDICATOR 0x0300u /* of power: 01 on, 10 blinks, 11 off */
#define INDICATOR_ON 0x0100u
#define INDICATOR_OFF 0x0300u
#define ATTENTION_OFF 0x00c0u
#define POWER_OFF 0x0400u

static uint16_t get16(struct bp_device *dev, unsigned at)
{
    const uint8_t *p = pci->config(dev) + ((struct port *)bp_device_state(dev))->express + at;

    return (uint16_t)(p[0] | p[1] << 8);
}

static void change(struct bp_device *dev, unsigned at, uint32_t clear, uint32_t set)
{
    pci->set_config(dev, ((struct port *)bp_device_state(dev))->express + at, 2, clear, set);
}

static bool occupied(const struct port *s)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        if (pci->function(s->bus, fn))
            return true;
    }
    return false;
}

static void update_interrupt(struct bp_device *dev)
{
    uint16_t control = get16(dev, EXP_SLOTCTL), status = get16(dev, EXP_SLOTSTA);
    uint16_t events = status & control & (BUTTON | PRESENCE_CHANGED | COMMAND_DONE);

    if ((status & LINK_CHANGED) && (control & LINK_CHANGED_ENABLE))
        events |= LINK_CHANGED;
    pci->interrupt(dev, 0, (control & INTERRUPT_ENABLE) && events);
}

static void happened(struct bp_device *dev, uint16_t events)
{
    change(dev, EXP_SLOTSTA, 0, events);
    update_interrupt(dev);
}

/* The link is up while a card has power. */
static void update_link(struct bp_device *dev)
{
    struct port *s = bp_device_state(dev);
    bool powered = !s->hotplug || !(s->control & POWER_OFF);
    bool up = powered && occupied(s), was = get16(dev, EXP_LINKSTA) & LINKSTA_ACTIVE;

    pci->set_bus_power(s->bus, powered);
    if (up == was)
        return;
    change(dev, EXP_LINKSTA, LINKSTA_ACTIVE, up ? LINKSTA_ACTIVE : 0);
    happened(dev, LINK_CHANGED);
}

/* ---- what software does ---- */
static int let_go(struct bp_device *child, void *opaque)
{
    (void)opaque;
    bp_device_unplugged(child);
    return 0;
}

static void control_written(struct bp_device *dev)
{
    struct port *s = bp_device_state(dev);
    uint16_t old = s->control;

    s->control = get16(dev, EXP_SLOTCTL);
    change(dev, EXP_SLOTSTA, 0, COMMAND_DONE);
    if (s->leaving && !(old & POWER_OFF) && (s->control & POWER_OFF)) {
        s->leaving = 0;
        update_link(dev);
        bp_bus_each_child(s->bus, let_go, NULL);
    } else {
        update_link(dev);
    }
    update_interrupt(dev);
}

void port_config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    const struct port *s = bp_device_state(dev);
    unsigned at = s->express;

    if (!s->hotplug || !at)
        return;
    if (offset < at + EXP_SLOTSTA && offset + size > at + EXP_SLOTCTL)
        control_written(dev);
    else if (offset < at + EXP_SLOTSTA + 2 && offset + size > at + EXP_SLOTSTA)
        update_interrupt(dev);
}

/* ---- cards that come and go ---- */
static int pre_plug(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    const struct port *s = bp_device_state(opaque);

    (void)bus;
    if (!bp_device_hotplugged(dev) || s->hotplug)
        return 0;
    return bp_fail(err, ENOTSUP, "port '%s' has a slot that cannot be hot-plugged (hotplug=off)",
                   bp_device_id(opaque) ? bp_device_id(opaque) : bp_bus_name(s->bus));
}

static int plug(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    struct bp_device *port = opaque;
    struct port *s = bp_device_state(port);

    (void)bus, (void)err;
    if (!bp_device_hotplugged(dev)) { /* from the start: it has power */
        s->control = (uint16_t)((s->control & ~(POWER_OFF | INDICATOR)) | INDICATOR_ON);
        change(port, EXP_SLOTCTL, POWER_OFF | INDICATOR, INDICATOR_ON);
        change(port, EXP_SLOTSTA, 0, PRESENT);
    } else if (!(get16(port, EXP_SLOTSTA) & PRESENT)) {
        /* Drivers of a slot with a button wait for it: who plugs a card in presses it. */
        happened(port, PRESENT | PRESENCE_CHANGED | BUTTON);
    }
    update_link(port);
    return 0;
}

static int unplug_request(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    struct bp_device *port = opaque;
    struct port *s = bp_device_state(port);

    (void)bus;
    if (!s->hotplug)
        return bp_fail(err, ENOTSUP, "the slot of '%s' cannot be hot-plugged (hotplug=off)",
                       bp_device_id(dev) ? bp_device_id(dev) : bp_device_class(dev)->type.name);
    if (s->control & POWER_OFF) { /* software does not use it: no need to ask */
        bp_device_unplugged(dev);
        return 0;
    }
    s->leaving = 1;
    happened(port, BUTTON);
    return 0;
}

static void unplug(void *opaque, struct bp_bus *bus, struct bp_device *dev)
{
    struct bp_device *port = opaque;
    const struct port *s = bp_device_state(port);
    unsigned left = 0;

    (void)bus;
    for (unsigned fn = 0; fn < 8; fn++)
        left += pci->function(s->bus, fn) && pci->function(s->bus, fn) != dev;
    if (left)
        return;
    change(port, EXP_SLOTSTA, PRESENT, 0);
    if (get16(port, EXP_LINKSTA) & LINKSTA_ACTIVE) {
        change(port, EXP_LINKSTA, LINKSTA_ACTIVE, 0);
        change(port, EXP_SLOTSTA, 0, LINK_CHANGED);
    }
    happened(port, PRESENCE_CHANGED);
}

static const struct bp_hotplug_ops slot_ops = {
    .size = sizeof(struct bp_hotplug_ops), .pre_plug = pre_plug, .plug = plug,
    .unplug_request = unplug_request, .unplug = unplug};

/* ---- life ---- */
static const struct bp_pci_field slot_fields[] = {
    {.offset = EXP_SLOTCTL, .width = 2, .value = ATTENTION_OFF | INDICATOR_OFF | POWER_OFF,
     .rw = 0x17ff},
    {.offset = EXP_SLOTSTA, .width = 2, .w1c = BUTTON | PRESENCE_CHANGED | COMMAND_DONE | LINK_CHANGED,
     .live = PRESENT},
    {.offset = EXP_LINKSTA, .width = 2, .value = 0x0011, .live = LINKSTA_ACTIVE},
    BP_PCI_FIELDS_END,
};
static const struct bp_pci_field root_fields[] = {
    {.offset = EXP_ROOTCTL, .width = 2, .rw = 0x000f}, {.offset = EXP_ROOTSTA + 2, .width = 1, .w1c = 1},
    BP_PCI_FIELDS_END};

/* Whether two ports say that they have the same slot of the same chassis. */
static int same_slot(struct bp_device *other, void *opaque)
{
    const struct port *a = bp_device_state(opaque), *b = bp_device_state(other);

    return other != opaque && (a->chassis || a->slot) && a->chassis == b->chassis && a->slot == b->slot;
}

static int check_slot(struct bp_device *dev, struct bp_error *err)
{
    static const char *const types[] = {"pcie-root-port", "ioh3420", "xio3130-downstream"};
    const struct port *s = bp_device_state(dev);

    if (s->slot > 0x1fff)
        return bp_fail(err, EINVAL, "property 'slot' of %s is %u: 0 to 8191 are possible",
                       bp_device_class(dev)->type.name, s->slot);
    for (size_t i = 0; i < BP_COUNT(types); i++) {
        if (bp_device_each(bp_device_machine(dev), types[i], same_slot, dev))
            return bp_fail(err, EBUSY, "slot %u of chassis %u is in use by another port (%s)", s->slot,
                           s->chassis, types[i]);
    }
    return 0;
}

static void describe(struct bp_device *dev)
{
    struct port *s = bp_device_state(dev);
    uint8_t *c = pci->config(dev) + s->express;
    uint32_t link = (uint32_t)s->port << 24, slot = (uint32_t)s->slot << 19;

    pci->set_config(dev, s->express + EXP_FLAGS, 2, 0, FLAGS_SLOT);
    pci->add_fields(dev, s->express, slot_fields);
    if ((c[EXP_FLAGS] & 0xf0) == 0x40)
        pci->add_fields(dev, s->express, root_fields);
    link |= LINKCAP_ACTIVE_REPORTING;
    if (s->hotplug)
        slot |= SLOTCAP_HOTPLUG;
    pci->set_config(dev, s->express + EXP_LINKCAP, 4, 0, link);
    pci->set_config(dev, s->express + EXP_SLOTCAP, 4, 0, slot);
}

int port_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_secondary what = {.size = sizeof(what), .type = "pcie", .slots = 1,
                                          .name = bp_device_id(dev)};
    struct port *s = bp_device_state(dev);
    int r = check_slot(dev, err);

    if (r == 0)
        r = pci->new_bus(dev, &what, &s->bus, err);
    if (r < 0)
        return r;
    s->express = pci->capability(dev, 0x10, false);
    describe(dev);
    bp_bus_set_hotplug(s->bus, bp_device_owner(dev), &slot_ops, dev);
    return 0;
}

/* A card that is there has power. */
void port_reset(struct bp_device *dev)
{
    struct port *s = bp_device_state(dev);
    bool card = occupied(s);

    s->leaving = 0;
    s->control = ATTENTION_OFF | (card ? INDICATOR_ON : INDICATOR_OFF | POWER_OFF);
    change(dev, EXP_SLOTCTL, 0xffff, s->control);
    change(dev, EXP_SLOTSTA, 0xffff, card ? PRESENT : 0);
    change(dev, EXP_LINKSTA, LINKSTA_ACTIVE, card ? LINKSTA_ACTIVE : 0);
    pci->set_bus_power(s->bus, !s->hotplug || card);
    update_interrupt(dev);
}

static int loaded(void *state, uint32_t version, struct bp_error *err)
{
    struct port *s = state;

    (void)version, (void)err;
    pci->set_bus_power(s->bus, !s->hotplug || !(s->control & POWER_OFF));
    return 0;
}

static const struct bp_state_field port_fields[] = {
    BP_SAVE(UINT16, struct port, control), BP_SAVE(UINT8, struct port, leaving), BP_SAVE_END};
const struct bp_state_table port_state = {.name = "pcie-port", .version = 1, .oldest = 1,
                                          .fields = port_fields, .after_load = loaded};

/* ---- root ports ---- */
static const struct bp_field root_port_props[] = {PORT_PROPS, BP_FIELDS_END};
static const struct bp_pci_info root_port_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1b36, .device = 0x000c, .class_code = 0x0604,
    .header_type = 1, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ROOT_PORT, .msi = 1,
    .flags = BP_PCI_FLAG_POWER, .config_written = port_config_written};
BP_DEVICE(root_port_class, "pcie-root-port", "pcie", "PCI Express root port", struct port,
          root_port_props, &port_state, .category = "bridge", .bus_info = &root_port_info,
          .attach = port_attach, .reset = port_reset);

static const struct bp_pci_info ioh3420_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x3420, .revision = 2,
    .class_code = 0x0604, .header_type = 1, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ROOT_PORT,
    .msi = 2, .flags = BP_PCI_FLAG_POWER | BP_PCI_FLAG_MSI_MASKING, .config_written = port_config_written};
BP_DEVICE(ioh3420_class, "ioh3420", "pcie", "Intel IOH 3420 PCI Express root port", struct port,
          root_port_props, &port_state, .category = "bridge", .bus_info = &ioh3420_info,
          .attach = port_attach, .reset = port_reset);
