/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who controls the slots of a PC: ACPI, where a slot is not a PCI Express port's. */
#include "acpi-cpuhp.h"
#include "acpi-memhp.h"
#include "acpi-pcihp.h"
#include "chipset.h"
#include "pc.h"

#include <bp/exact/numa.h>
#include <bp/exact/x86-topology.h>
#include <bp/memory-device.h>
#include <errno.h>

static bool pm_says(const struct pc *pc, const char *property)
{
    struct bp_value *v = NULL;
    bool on = bp_object_get(bp_device_object(pc->pm), property, &v, NULL) == 0 && bp_value_as_bool(v);

    bp_value_unref(v);
    return on;
}

/* ---- memory modules ---- */

static int may_come(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    const struct pc *pc = opaque;
    const struct bp_numa *numa = bp_machine_numa(pc->machine);
    struct bp_pc_dimm_info info = {.size = sizeof(info)};

    (void)bus;
    if (!pc->dimms->info(dev, &info))
        return 0;
    if (info.node >= (numa ? numa->count : 1))
        return bp_fail(err, EINVAL, "the DIMM property node has value %u which exceeds the number of numa nodes: %u",
                       info.node, numa ? numa->count : 1);
    if (info.persistent && !pc->nvdimm)
        return bp_fail(err, EINVAL, "nvdimm is not enabled: add 'nvdimm=on' to '-machine'");
    if (!bp_device_hotplugged(dev))
        return 0;
    if (info.persistent)
        return bp_fail(err, ENOTSUP, "an nvdimm comes with -device, before the start: the guest's table of them (NFIT) "
                       "does not grow");
    if (!pc->memhp)
        return bp_fail(err, ENOTSUP, "memory hotplug is not enabled: a running guest is told of it by ACPI, which this "
                       "machine does not have (acpi=off), or no slots (-m slots=)");
    return 0;
}

static int came(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    const struct pc *pc = opaque;
    struct bp_pc_dimm_info info = {.size = sizeof(info)};

    (void)bus, (void)err;
    if (pc->memhp && bp_device_hotplugged(dev) && pc->dimms->info(dev, &info))
        acpi_memhp_came(pc->memhp, (unsigned)info.slot);
    return 0;
}

static int ask(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    const struct pc *pc = opaque;
    struct bp_pc_dimm_info info = {.size = sizeof(info)};

    (void)bus;
    if (!pc->dimms->info(dev, &info)) {
        if (bp_device_class(dev)->unplug_request)
            return bp_device_class(dev)->unplug_request(dev, err);
        bp_device_unplugged(dev);
        return 0;
    }
    if (info.persistent)
        return bp_fail(err, ENOTSUP, "nvdimm device hot unplug is not supported: its guest cannot let it go");
    if (!pc->memhp)
        return bp_fail(err, ENOTSUP, "memory hot unplug is not supported without ACPI");
    return acpi_memhp_ask(pc->memhp, (unsigned)info.slot, err);
}

const struct bp_hotplug_ops pc_no_bus = {
    .size = sizeof(struct bp_hotplug_ops), .pre_plug = may_come, .plug = came, .unplug_request = ask};

static int make_memory_slots(struct pc *pc, struct bp_error *err)
{
    int r = 0;

    if (bp_machine_memory_slots(pc->machine))
        r = pc_plug(pc, "acpi-mem-hotplug", NULL, NULL, &pc->memhp, err);
    if (r == 0 && pc->memhp)
        acpi_memhp_connect(pc->memhp, pc->dimms, pc->pm, pc->pm_if);
    if (r == 0 && pc->nvdimm)
        r = pc_plug(pc, "acpi-nvdimm", NULL, NULL, &pc->nvdimm_dev, err);
    if (r == 0 && pc->nvdimm_dev)
        acpi_nvdimm_connect(pc->nvdimm_dev, pc->dimms);
    return r;
}

/* Ports of PCI Express have slots of their own; those of a conventional root bus are ACPI's. */
int pc_make_hotplug(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err)
{
    int r = pc_plug(pc, "acpi-cpu-hotplug", NULL, NULL, &pc->cpuhp, err);

    if (r == 0)
        acpi_cpuhp_connect(pc->cpuhp, pc->pm, pc->pm_if);
    for (unsigned i = 0; r == 0 && i < bp_machine_smp(pc->machine)->max_cpus; i++)
        acpi_cpuhp_set_id(pc->cpuhp, i, bp_x86_apic_id(bp_machine_smp(pc->machine), i));
    if (r == 0)
        r = make_memory_slots(pc, err);
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
