// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module hw-piix: Intel's 82441FX, PIIX3 and PIIX4 as one list. */
#include <bp/chip/i440fx.h>
#include <bp/bus/i2c.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/piix.h>

BP_USE(isa_import, struct bp_isa_interface, "isa", 1);
BP_USE(i2c_import, struct bp_i2c_interface, "i2c", 1);
BP_USE(pci_import, struct bp_pci_interface, "pci", 1);

#include "piix.h"

const struct bp_isa_interface *const *const piix_isa = &isa_import;
const struct bp_i2c_interface *const *const piix_i2c = &i2c_import;
const struct bp_pci_interface *const *const piix_pci = &pci_import;

BP_INTERFACE(i440fx_interface, "i440fx", 1, 0, &i440fx_table);
BP_INTERFACE(piix4_pm_interface, "piix4-pm", 1, 0, &piix4_pm_table);

static const struct bp_import imports[] = {BP_IMPORT(isa_import, "isa", 1),
                                           BP_IMPORT(pci_import, "pci", 1),
                                           BP_IMPORT(i2c_import, "i2c", 1), {0}};
BP_MODULE("hw-piix", "Intel 440FX chipset", imports, {BP_PROVIDE_DEVICE, &i440fx_pcihost_class},
          {BP_PROVIDE_DEVICE, &i440fx_class}, {BP_PROVIDE_DEVICE, &piix3_class},
          {BP_PROVIDE_DEVICE, &piix4_pm_class}, {BP_PROVIDE_INTERFACE, &i440fx_interface},
          {BP_PROVIDE_INTERFACE, &piix4_pm_interface}, {BP_PROVIDE_EVENT, &piix_suspend_disk});
