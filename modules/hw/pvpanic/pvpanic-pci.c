/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pvpanic as a PCI function (1b36:0011): its byte is the first one of BAR 0; the others give 0. */
#define BP_SHARED
#include <bp/bus/pci.h>

#include "pvpanic.h"

/* Its only register is also all of its state. */
static const struct bp_field pvpanic_pci_props[] = {
    PVPANIC_PROP(struct pvpanic, events),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x0011, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .revision = 1, .class_code = 0x0880,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = 16, .name = "pvpanic-pci", .ops = &pvpanic_byte}}};

BP_HOTPLUG_DEVICE(pvpanic_pci_device, "pvpanic-pci", "pci", "By which a guest tells that it panicked, PCI",
                  struct pvpanic, pvpanic_pci_props, NULL, .category = "misc", .bus_info = &info);
