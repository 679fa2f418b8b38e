/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module hw-ipmi: management controllers and the interfaces to them. */
#define BP_SHARED
#include "ipmi.h"

#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/host/chardev.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
extern const struct bp_isa_interface *const *const ipmi_isa;
extern const struct bp_pci_interface *const *const ipmi_pci;
extern const struct bp_chardev_interface *const *const ipmi_chardev;
const struct bp_isa_interface *const *const ipmi_isa = &isa;
const struct bp_pci_interface *const *const ipmi_pci = &pci;
const struct bp_chardev_interface *const *const ipmi_chardev = &chardev;

static const struct bp_import imports[] = {
    BP_IMPORT(isa, "isa", 1), BP_IMPORT(pci, "pci", 1), BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("hw-ipmi", "IPMI: management controllers and interfaces", imports, {BP_PROVIDE_ABSTRACT, &ipmi_bmc_level},
          {BP_PROVIDE_DEVICE, &ipmi_bmc_sim}, {BP_PROVIDE_DEVICE, &ipmi_bmc_extern}, {BP_PROVIDE_DEVICE, &isa_ipmi_kcs},
          {BP_PROVIDE_DEVICE, &isa_ipmi_bt}, {BP_PROVIDE_DEVICE, &pci_ipmi_kcs}, {BP_PROVIDE_DEVICE, &pci_ipmi_bt});
