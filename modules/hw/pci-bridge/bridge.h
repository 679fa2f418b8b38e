// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the bridges and ports of this folder share. */
#ifndef HW_PCI_BRIDGE_H
#define HW_PCI_BRIDGE_H

#include <bp/bus/pci.h>
#include <errno.h>

/* Imported in module.c. */
extern const struct bp_pci_interface *const *const bridge_pci;
#define pci (*bridge_pci)

extern const struct bp_device_class pci_bridge_class, dmi_bridge_class, pcie_pci_bridge_class,
    root_port_class, ioh3420_class, upstream_class, downstream_class;

#endif
