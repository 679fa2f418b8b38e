/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hot-plug of memory by ACPI (acpi-memhp.c), and NVDIMMs' methods (acpi-nvdimm.c). Under the machine lock. */
#ifndef ACPI_MEMHP_H
#define ACPI_MEMHP_H

#include <bp/chip/pc-dimm.h>
#include <bp/chip/pc-host.h>

#define ACPI_MEMHP_PORT 0x0a00u
#define ACPI_MEMHP_GPE 0x0008u /* event 3 */
#define ACPI_MEMHP_MOST 256u

extern const struct bp_device_class acpi_memhp_class, acpi_nvdimm_class;

void acpi_memhp_connect(struct bp_device *dev, const struct bp_pc_dimm_interface *dimms, struct bp_device *pm,
                        const struct bp_pc_pm_interface *pm_if);
void acpi_memhp_came(struct bp_device *dev, unsigned slot); /* while the machine runs */
/* Asks the guest to let it go; 0, or -EBUSY: nobody listens. */
int acpi_memhp_ask(struct bp_device *dev, unsigned slot, struct bp_error *err);
void acpi_memhp_list_ost(struct bp_device *dev, struct bp_value *list); /* ACPIOSTInfo of each slot */
/* AML of devices MP00 ..., MDNR and method MTFY in scope \_SB: malloc'd, without a table header. NULL: no memory. */
uint8_t *acpi_memhp_aml(unsigned slots, uint32_t *ret_size);

/* Of acpi-nvdimm.c. */
void acpi_nvdimm_connect(struct bp_device *dev, const struct bp_pc_dimm_interface *dimms);

#endif
