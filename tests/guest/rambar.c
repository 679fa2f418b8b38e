/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PCI device whose BAR 0 is RAM, to be plugged and unplugged under running processors. */
#include <bp/bus/pci.h>
#include <bp/memory.h>

struct rambar {
    int unused;
};
BP_USE(pci, struct bp_pci_interface, "pci", 1);
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x1234, .class_code = 0x0500};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_region *ram;
    int r = bp_region_new_ram(bp_device_owner(dev), "rambar", 1 << 20, &ram, err);

    return r < 0 ? r : pci->add_bar(dev, 0, BP_PCI_BAR_MEM32, ram, err);
}

BP_HOTPLUG_DEVICE(rambar, "test-rambar", "pci", "RAM behind a BAR", struct rambar, NULL, NULL,
                  .attach = attach, .bus_info = &info);
static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("test-rambar", "RAM behind a BAR", imports, {BP_PROVIDE_DEVICE, &rambar});
