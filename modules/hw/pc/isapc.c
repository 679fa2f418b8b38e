/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The third chipset: none. Board isapc is a PC as they were before PCI: an ISA bus, memory all the way, also where the
 * firmware is, which is copied there at each reset; no ACPI, no I/O APIC, one processor. Left out: the coprocessor's
 * error line (IRQ 13).
 */
#include "chipset.h"
#include "pc.h"

#include <bp/bus/ide.h>
#include <errno.h>

static struct bp_region *memory_of(struct bp_device *dev)
{
    return bp_space_root(bp_device_memory(dev));
}

const struct bp_pc_host_interface isapc_host = {.size = sizeof(struct bp_pc_host_interface), .pci_memory = memory_of};

static int make(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err)
{
    int r = pc_plug(pc, "isabus-bridge", NULL, NULL, &pc->isa_bridge, err);

    (void)pci;
    pc->host = pc->isa_bridge;
    return r;
}

const struct pc_chipset pc_isapc = {.low_max = 0xe0000000ull, .low_split = 0xe0000000ull, .disk_units = BP_IDE_UNITS,
                                    .floppies = true, .no_pci = true, .no_ioapic = true, .firmware = ISAPC_FIRMWARE,
                                    .needs_firmware = true, .make = make};

int isapc_make_disks(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err)
{
    static const unsigned base[2] = {0x1f0, 0x170}, control[2] = {0x3f6, 0x376}, irq[2] = {14, 15};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 2; i++) {
        struct bp_device *dev;

        r = bp_device_new(pc->machine, "isa-ide", NULL, &dev, err);
        if (r < 0)
            return r;
        r = bp_device_set_uint(dev, "iobase", base[i], err);
        if (r == 0)
            r = bp_device_set_uint(dev, "iobase2", control[i], err);
        if (r == 0)
            r = bp_device_set_uint(dev, "irq", irq[i], err);
        if (r < 0) {
            bp_device_destroy(dev);
            return r;
        }
        r = bp_device_attach(dev, isa_bus, err);
    }
    return r;
}

int pc_init_isapc(struct bp_machine *m, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);

    pc->chipset = &pc_isapc;
    pc->host_if = &isapc_host;
    pc->acpi = pc->hpet = false;
    if (bp_machine_ram_size(m) > pc_isapc.low_max)
        return bp_fail(err, EINVAL, "-m: board isapc has at most %llu MiB of memory",
                       (unsigned long long)(pc_isapc.low_max >> 20));
    return pc_init(m, err);
}
