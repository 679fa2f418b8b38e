/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chipsets: 82440FX with PIIX3 and PIIX4's power management; Q35 with ICH9. */
#include "chipset.h"
#include "pc.h"

#include <bp/chip/ich9.h>
#include <bp/bus/ide.h>
#include <bp/chip/piix.h>

#include "dsdt.hex"
#include "dsdt_q35.hex"

static int make_host(struct pc *pc, struct bp_error *err)
{
    int r = pc_plug(pc, pc->chipset->host, NULL, NULL, &pc->host, err);

    if (r == 0)
        r = pc->host_if->set_memory(pc->host, bp_space_root(bp_machine_memory(pc->machine)),
                                    bp_machine_ram(pc->machine), err);
    if (r == 0)
        pc->pci_bus = bp_device_bridged(pc->host, pc->chipset->bus);
    return r;
}

/* With what it has to know before it is attached. */
static int plug_pm(struct pc *pc, const char *type, const char *addr, struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(pc->machine, type, NULL, &dev, err);

    if (r < 0)
        return r;
    r = bp_device_set(dev, "addr", addr, err);
    if (r == 0)
        r = bp_device_set(dev, "multifunction", "on", err);
    if (r == 0)
        r = bp_device_set(dev, "smm-enabled", pc->smm ? "on" : "off", err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    *ret_dev = dev;
    return bp_device_attach(dev, pc->pci_bus, err);
}

static int make_i440fx(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err)
{
    int r = make_host(pc, err);

    (void)pci;
    if (r == 0)
        r = pc_plug(pc, "PIIX3", pc->pci_bus, "01.0", &pc->isa_bridge, err);
    if (r == 0)
        r = plug_pm(pc, "PIIX4_PM", "01.3", &pc->pm, err);
    if (r < 0)
        return r;
    pc->pm_if->enable(pc->pm, PC_PM_BASE);
    pc->smbus = bp_device_bridged(pc->pm, "i2c-bus");
    return 0;
}

/* Slot 1f: 0 LPC, 2 AHCI (make_disks()), 3 SMBus. */
static int make_q35(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err)
{
    struct bp_device *smbus = NULL;
    int r = make_host(pc, err);

    (void)pci;
    if (r == 0)
        r = plug_pm(pc, "ICH9-LPC", "1f.0", &pc->isa_bridge, err);
    if (r < 0)
        return r;
    pc->pm = pc->isa_bridge;
    for (unsigned n = 0; n < pc->chipset->pirqs; n++)
        bp_irq_connect(bp_device_irq_output(pc->isa_bridge, "pirq", n), pc_gsi_line(pc, GSI_PIRQ, 16 + n));
    pc->pm_if->enable(pc->pm, PC_PM_BASE);
    if (pc->with_smbus)
        r = pc_plug(pc, "ICH9-SMB", pc->pci_bus, "1f.3", &smbus, err);
    if (smbus)
        pc->smbus = bp_device_bridged(smbus, "i2c-bus");
    return r;
}

static unsigned i440fx_pirq_of(unsigned slot, unsigned pin)
{
    return (pin + slot - 1) & 3;
}

static unsigned q35_pirq_of(unsigned slot, unsigned pin)
{
    return slot < 25 ? 4 + ((pin + slot) & 3) : pin & 3;
}

const struct pc_chipset pc_i440fx = {
    .host = "i440FX-pcihost", .bus = "pci", .low_max = 0xe0000000ull, .low_split = 0xc0000000ull,
    .gpe0 = BP_PIIX4_GPE0, .gpe0_length = BP_PIIX4_GPE0_LENGTH, .acpi_enable = BP_PIIX4_ACPI_ENABLE,
    .acpi_disable = BP_PIIX4_ACPI_DISABLE, .router_devfn = 0x08, .router_id = 0x122e8086, .pirqs = 4,
    .pirq_of = i440fx_pirq_of, .sci_slot = PC_PM_DEVFN >> 3, .xbcs = 0x33, /* FERR# and the mouse's line, too */
    .disks = "piix3-ide", .disks_addr = "01.1", .disk_units = BP_IDE_UNITS, .disk_irqs = true, .floppies = true,
    .firmware = PC_FIRMWARE,
    .dsdt = dsdt_aml_code, .dsdt_size = sizeof(dsdt_aml_code),
    .make = make_i440fx};
const struct pc_chipset pc_q35 = {
    .host = "q35-pcihost", .bus = "pcie", .low_max = 0xb0000000ull, .low_split = 0x80000000ull,
    .gpe0 = PC_PM_BASE + BP_ICH9_GPE0, .gpe0_length = BP_ICH9_GPE0_LENGTH,
    .acpi_enable = BP_ICH9_ACPI_ENABLE, .acpi_disable = BP_ICH9_ACPI_DISABLE, .router_devfn = 0xf8,
    .router_id = 0x29188086, .pirqs = 8, .pirqs_at_ioapic = true, .ecam = 0xb0000000ull,
    .pirq_of = q35_pirq_of, .firmware = PC_FIRMWARE, .disks = "ich9-ahci", .disks_addr = "1f.2", .disk_units = 1,
    .dsdt = dsdt_q35_aml_code, .dsdt_size = sizeof(dsdt_q35_aml_code),
    .make = make_q35};

unsigned pc_pirq_register(unsigned n)
{
    return n < 4 ? 0x60 + n : 0x68 + n - 4;
}

unsigned pc_pirq_of(const struct pc *pc, unsigned slot, unsigned pin)
{
    return pc->chipset->pirq_of(slot, pin);
}

unsigned pc_isa_irq_of(const struct pc *pc, unsigned slot, unsigned pin)
{
    if (pc->chipset->sci_slot && slot == pc->chipset->sci_slot && pin == 0)
        return PC_SCI;
    return pc_pirq[pc_pirq_of(pc, slot, pin) & 3];
}

static int pulse_nmi(struct bp_device *lapic, void *opaque)
{
    (void)opaque;
    bp_irq_pulse(bp_device_irq_input(lapic, "lint", 1));
    return 0;
}

/* LINT1 of every processor, as the board's NMI wire leads there. */
void pc_nmi(struct bp_machine *m)
{
    bp_device_each(m, "apic-common", pulse_nmi, NULL);
}
