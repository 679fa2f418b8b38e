// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A PCI Express switch in two kinds of parts, as Texas Instruments' XIO3130 has them (data manual
 * SLLS693): one upstream port, and on the bus behind it a downstream port for each slot.
 */
#define BP_SHARED
#include "port.h"

struct upstream {
    uint8_t port;
    struct bp_bus *bus;
};

static const struct bp_hotplug_ops fixed = {.size = sizeof(struct bp_hotplug_ops)};

static int upstream_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_secondary what = {.size = sizeof(what), .type = "pcie",
                                          .name = bp_device_id(dev)};
    struct upstream *s = bp_device_state(dev);
    int r = pci->new_bus(dev, &what, &s->bus, err);

    if (r < 0)
        return r;
    pci->set_config(dev, pci->capability(dev, 0x10, false) + 0x0c, 4, 0, (uint32_t)s->port << 24);
    bp_bus_set_hotplug(s->bus, bp_device_owner(dev), &fixed, s);
    return 0;
}

static const struct bp_field upstream_props[] = {
    BP_PROP("port", UINT8, struct upstream, port, "0", "number of the port"), BP_FIELDS_END};
static const struct bp_pci_info upstream_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x104c, .device = 0x8232, .revision = 2,
    .class_code = 0x0604, .header_type = 1, .express = BP_PCI_EXPRESS_UPSTREAM, .msi = 1,
    .interrupt_pin = 1, .flags = BP_PCI_FLAG_POWER};
BP_DEVICE(upstream_class, "x3130-upstream", "pcie", "TI X3130 upstream port of a PCI Express switch",
          struct upstream, upstream_props, NULL, .category = "bridge", .bus_info = &upstream_info,
          .attach = upstream_attach);

static const struct bp_field downstream_props[] = {PORT_PROPS, BP_FIELDS_END};
static const struct bp_pci_info downstream_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x104c, .device = 0x8233, .revision = 1,
    .class_code = 0x0604, .header_type = 1, .express = BP_PCI_EXPRESS_DOWNSTREAM, .msi = 1,
    .interrupt_pin = 1, .flags = BP_PCI_FLAG_POWER, .config_written = port_config_written};
BP_DEVICE(downstream_class, "xio3130-downstream", "pcie",
          "TI X3130 downstream port of a PCI Express switch", struct port, downstream_props, &port_state,
          .category = "bridge", .bus_info = &downstream_info, .attach = port_attach,
          .reset = port_reset);
