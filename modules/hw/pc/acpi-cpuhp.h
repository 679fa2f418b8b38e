/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hot-plug of processors by ACPI (acpi-cpuhp.c). Under the machine lock. */
#ifndef ACPI_CPUHP_H
#define ACPI_CPUHP_H

#include <bp/chip/pc-host.h>

#define ACPI_CPUHP_PORT 0xaf00u
#define ACPI_CPUHP_MOST 288u /* processors */
#define ACPI_CPUHP_GPE 0x0004u /* event 2 */

extern const struct bp_device_class acpi_cpuhp_class; /* "acpi-cpu-hotplug" */

void acpi_cpuhp_connect(struct bp_device *dev, struct bp_device *pm, const struct bp_pc_pm_interface *pm_if);
/* The APIC id of the processor with this index, for each that there can be. */
void acpi_cpuhp_set_id(struct bp_device *dev, unsigned index, uint32_t id);
void acpi_cpuhp_came(struct bp_device *dev, unsigned index); /* while the machine runs */
void acpi_cpuhp_ask(struct bp_device *dev, unsigned index);  /* the guest, to let go of it */
void acpi_cpuhp_went(struct bp_device *dev, unsigned index);
void acpi_cpuhp_list_ost(struct bp_device *dev, struct bp_value *list); /* ACPIOSTInfo of each that there can be */
/* AML of devices C000 ... and of method CTFY, in scope \_SB, for `count` processors with these APIC ids:
 * malloc'd, without a table header. NULL: no memory. */
uint8_t *acpi_cpuhp_aml(const uint32_t *ids, unsigned count, uint32_t *ret_size);

#endif
