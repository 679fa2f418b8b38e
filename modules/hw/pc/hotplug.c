/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who controls the slots of a PC: ACPI, where a slot is not a PCI Express port's. */
#include "acpi-cpuhp.h"
#include "acpi-pcihp.h"
#include "chipset.h"
#include "pc.h"

#include <errno.h>

static bool pm_says(const struct pc *pc, const char *property)
{
    struct bp_value *v = NULL;
    bool on = bp_object_get(bp_device_object(pc->pm), property, &v, NULL) == 0 && bp_value_as_bool(v);

    bp_value_unref(v);
    return on;
}

/* Ports of PCI Express have slots of their own; those of a conventional root bus are ACPI's. */
int pc_make_hotplug(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err)
{
    int r = pc_plug(pc, "acpi-cpu-hotplug", NULL, NULL, &pc->cpuhp, err);

    if (r == 0)
        acpi_cpuhp_connect(pc->cpuhp, pc->pm, pc->pm_if);
    if (r < 0 || pc->chipset->ecam || !pm_says(pc, "acpi-root-pci-hotplug"))
        return r;
    r = pc_plug(pc, "acpi-pci-hotplug", NULL, NULL, &pc->pcihp, err);
    if (r < 0)
        return r;
    acpi_pcihp_connect(pc->pcihp, pci, pc->pm, pc->pm_if);
    acpi_pcihp_add(pc->pcihp, pc->pci_bus);
    return 0;
}

/* The buses behind bridges that are there from the start. */
void pc_add_hotplug_buses(struct pc *pc, const struct bp_pci_interface *pci)
{
    unsigned room = 8; /* what the tables have room for */

    if (!pc->pcihp || !pm_says(pc, "acpi-pci-hotplug-with-bridge-support"))
        return;
    for (unsigned slot = 0; slot < 32 && room; slot++) {
        struct bp_device *dev = pci->function(pc->pci_bus, slot << 3);
        struct bp_bus *bus = dev ? bp_device_bridged(dev, "pci") : NULL;
        int number = bus ? acpi_pcihp_add(pc->pcihp, bus) : -ENOENT;

        if (number < 0)
            continue;
        pc->hotplug_bus[slot] = (uint8_t)number;
        room--;
    }
}
