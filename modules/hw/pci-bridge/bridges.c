// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Bridges to conventional PCI buses (PCI-to-PCI Bridge Architecture 1.2): "pci-bridge" on a
 * conventional bus, "i82801b11-bridge" (Intel's DMI to PCI bridge, ICH9 data sheet, order 316972,
 * chapter 11) and "pcie-pci-bridge" on PCI Express. Slots behind them are hot-plugged by ACPI or by a
 * rescan. Left out: the standard hot-plug controller (SHPC).
 */
#define BP_SHARED
#include "bridge.h"

struct pci_bridge {
    uint8_t chassis;
    bool shpc;
    struct bp_bus *bus;
};

/* Cards come and go as they like; who looks at the bus again finds what came. */
static const struct bp_hotplug_ops slots = {.size = sizeof(struct bp_hotplug_ops)};

static int make_bus(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_secondary what = {.size = sizeof(what), .type = "pci", .first_slot = 1,
                                          .name = bp_device_id(dev)};
    struct pci_bridge *s = bp_device_state(dev);
    int r;

    if (s->shpc)
        return bp_fail(err, ENOTSUP, "%s: a standard hot-plug controller is not built: shpc must be "
                       "off (slots are hot-plugged by ACPI)", bp_device_class(dev)->type.name);
    r = pci->new_bus(dev, &what, &s->bus, err);
    if (r == 0)
        bp_bus_set_hotplug(s->bus, bp_device_owner(dev), &slots, s);
    return r;
}

/* Chassis and slot number (PCI-to-PCI Bridge 1.2, chapter 13): no slots that could be hot-plugged, first in
 * chassis. */
static const struct bp_pci_field chassis_fields[] = {
    {.offset = 2, .width = 1, .value = 0x20}, BP_PCI_FIELDS_END};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_capability table[] = {{.id = 0x04, .size = 4, .fields = chassis_fields},
                                              BP_PCI_CAPABILITIES_END};
    struct pci_bridge *s = bp_device_state(dev);
    int r = 0;

    if (s->chassis)
        r = pci->add_capabilities(dev, table, err);
    if (s->chassis && r == 0)
        pci->config(dev)[pci->capability(dev, 0x04, false) + 3] = s->chassis;
    return r < 0 ? r : make_bus(dev, err);
}

static const struct bp_field bridge_props[] = {
    BP_PROP("chassis_nr", UINT8, struct pci_bridge, chassis, "0",
            "number of the chassis that its slots are in; 0: not told"),
    BP_PROP("shpc", BOOL, struct pci_bridge, shpc, "off", "standard hot-plug controller"),
    BP_FIELDS_END,
};
static const struct bp_pci_info bridge_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1b36, .device = 0x0001, .class_code = 0x0604,
    .header_type = 1, .msi = 1, .interrupt_pin = 1};
BP_DEVICE(pci_bridge_class, "pci-bridge", "pci", "PCI bridge", struct pci_bridge, bridge_props, NULL,
          .category = "bridge", .bus_info = &bridge_info, .attach = bridge_attach);

/* Subsystem ids have a capability of their own in bridges (chapter 3.2.5 of the data sheet). */
static const struct bp_pci_field subsystem_fields[] = {
    {.offset = 4, .width = 4, .value = 0x00008086}, BP_PCI_FIELDS_END};
static const struct bp_pci_capability dmi_capabilities[] = {
    {.id = 0x0d, .size = 8, .at = 0x50, .fields = subsystem_fields}, BP_PCI_CAPABILITIES_END};
static const struct bp_pci_info dmi_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x244e, .revision = 0x92,
    .prog_if = 1, .class_code = 0x0604, .header_type = 1, .capabilities = dmi_capabilities};
BP_DEVICE(dmi_bridge_class, "i82801b11-bridge", "pci", "Intel 82801B11 DMI to PCI bridge",
          struct pci_bridge, NULL, NULL, .category = "bridge", .bus_info = &dmi_info,
          .attach = make_bus);

static const struct bp_pci_info pcie_pci_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1b36, .device = 0x000e, .class_code = 0x0604,
    .header_type = 1, .express = BP_PCI_EXPRESS_TO_PCI, .msi = 1, .interrupt_pin = 1,
    .flags = BP_PCI_FLAG_POWER};
static const struct bp_field pcie_pci_props[] = {
    BP_PROP("shpc", BOOL, struct pci_bridge, shpc, "off", "standard hot-plug controller"),
    BP_FIELDS_END,
};
BP_DEVICE(pcie_pci_bridge_class, "pcie-pci-bridge", "pcie", "PCI Express to PCI bridge",
          struct pci_bridge, pcie_pci_props, NULL, .category = "bridge", .bus_info = &pcie_pci_info,
          .attach = make_bus);
