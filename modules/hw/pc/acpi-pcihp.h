/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hot-plug of PCI cards by ACPI (acpi-pcihp.c). Under the machine lock. */
#ifndef ACPI_PCIHP_H
#define ACPI_PCIHP_H

#include <bp/bus/pci.h>
#include <bp/chip/pc-host.h>

#define ACPI_PCIHP_PORT 0xae00u
#define ACPI_PCIHP_GPE 0x0002u /* event 1 */
#define ACPI_PCIHP_BUSES 32u

extern const struct bp_device_class acpi_pcihp_class; /* "acpi-pci-hotplug" */

/* Takes over the slots of a bus that is there from the start: the root bus, then those behind bridges on it.
 * Returns the number that the registers know it by, or -ENOSPC: its cards come and go without ACPI. */
int acpi_pcihp_add(struct bp_device *dev, struct bp_bus *bus);
/* Who is told, and asked whether a system listens. Before acpi_pcihp_add(). */
void acpi_pcihp_connect(struct bp_device *dev, const struct bp_pci_interface *pci, struct bp_device *pm,
                        const struct bp_pc_pm_interface *pm_if);

#endif
