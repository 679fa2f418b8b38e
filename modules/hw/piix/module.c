// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module hw-piix: Intel's 82441FX with PIIX3 and PIIX4, Q35 with ICH9, as one list. */
#include <bp/chip/i440fx.h>
#include <bp/bus/i2c.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/piix.h>

BP_USE(isa_import, struct bp_isa_interface, "isa", 1);
BP_USE(i2c_import, struct bp_i2c_interface, "i2c", 1);
BP_USE(pci_import, struct bp_pci_interface, "pci", 1);

#include "acpi-pm.h"
#include "piix.h"

const struct bp_isa_interface *const *const piix_isa = &isa_import;
const struct bp_i2c_interface *const *const piix_i2c = &i2c_import;
const struct bp_pci_interface *const *const piix_pci = &pci_import;

BP_INTERFACE(i440fx_interface, "i440fx", 1, 0, &i440fx_table);
BP_INTERFACE(piix4_pm_interface, "piix4-pm", 1, 0, &piix4_pm_table);
BP_INTERFACE(plain_pm_interface, "acpi-pm", 1, 0, &plain_pm_table);
BP_INTERFACE(q35_interface, "q35", 1, 0, &q35_table);
BP_INTERFACE(ich9_lpc_interface, "ich9-lpc", 1, 0, &ich9_lpc_table);

static const struct bp_import imports[] = {BP_IMPORT(isa_import, "isa", 1),
                                           BP_IMPORT(pci_import, "pci", 1),
                                           BP_IMPORT(i2c_import, "i2c", 1), {0}};
BP_MODULE("hw-piix", "Intel chipsets 440FX and Q35", imports, {BP_PROVIDE_DEVICE, &i440fx_pcihost_class},
          {BP_PROVIDE_DEVICE, &i440fx_class}, {BP_PROVIDE_DEVICE, &piix3_class},
          {BP_PROVIDE_DEVICE, &piix4_pm_class}, {BP_PROVIDE_INTERFACE, &i440fx_interface},
          {BP_PROVIDE_DEVICE, &q35_pcihost_class}, {BP_PROVIDE_DEVICE, &mch_class},
          {BP_PROVIDE_DEVICE, &ich9_lpc_class}, {BP_PROVIDE_INTERFACE, &q35_interface},
          {BP_PROVIDE_INTERFACE, &ich9_lpc_interface}, {BP_PROVIDE_INTERFACE, &plain_pm_interface},
          {BP_PROVIDE_DEVICE, &plain_pm_class},
          {BP_PROVIDE_INTERFACE, &piix4_pm_interface}, {BP_PROVIDE_EVENT, &acpi_pm_suspend_disk});
