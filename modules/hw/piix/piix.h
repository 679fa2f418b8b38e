// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the files of this folder share: the interfaces they use, and what they provide. */
#ifndef HW_PIIX_PIIX_H
#define HW_PIIX_PIIX_H

#include <errno.h>

#include <bp/command.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/pc-host.h>

/* Imported in module.c, under the names that its macros give. */
extern const struct bp_isa_interface *const *const piix_isa;
struct bp_i2c_interface;
extern const struct bp_i2c_interface *const *const piix_i2c;
extern const struct bp_pci_interface *const *const piix_pci;
#define isa (*piix_isa)
#define pci (*piix_pci)

/* Byte accesses to port 0xcf9, inside the host's address port, go to `ops` (NULL: none). */
void i440fx_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque);

void q35_forward_cf9(struct bp_device *host, const struct bp_region_ops *ops, void *opaque);
/* Where the pins of a slot from 25 on lead: four bits for each pin, PIRQA is 0. */
void q35_set_route(struct bp_device *host, unsigned slot, uint16_t route);

extern const struct bp_device_class i440fx_class, i440fx_pcihost_class, piix3_class,
    piix4_pm_class, mch_class, q35_pcihost_class, ich9_lpc_class;
extern const struct bp_pc_host_interface q35_table;
extern const struct bp_pc_pm_interface ich9_lpc_table;
extern const struct bp_pc_host_interface i440fx_table;
extern const struct bp_pc_pm_interface piix4_pm_table;

#endif
