// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module hw-pci-bridge: bridges between PCI buses, ports of PCI Express. */
#include <bp/bus/pci.h>

BP_USE(pci_import, struct bp_pci_interface, "pci", 1);

#include "bridge.h"

const struct bp_pci_interface *const *const bridge_pci = &pci_import;

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci_import, "pci", 1, 1), {0}};
BP_MODULE("hw-pci-bridge", "PCI bridges, PCI Express ports and switches", imports,
          {BP_PROVIDE_DEVICE, &pci_bridge_class}, {BP_PROVIDE_DEVICE, &dmi_bridge_class},
          {BP_PROVIDE_DEVICE, &pcie_pci_bridge_class}, {BP_PROVIDE_DEVICE, &root_port_class},
          {BP_PROVIDE_DEVICE, &ioh3420_class}, {BP_PROVIDE_DEVICE, &upstream_class},
          {BP_PROVIDE_DEVICE, &downstream_class});
