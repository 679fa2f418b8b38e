/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Boards pc (82440FX) and q35: PCs. A board makes the processors and the fixed devices, wires
 * their lines and starts Linux directly (-kernel) or firmware. Every part is a module of its own;
 * what is here is only which parts there are and where their wires go.
 */
#define BP_SHARED
#include "acpi-cpuhp.h"
#include "boot-items.h"
#include "chipset.h"
#include "flash.h"
#include "disks.h"
#include "isa-bridge.h"
#include "pc.h"

#include <bp/command.h>
#include <bp/chip/acpi-tables.h>
#include <bp/chip/fw-cfg.h>
#include <bp/chip/pc-dimm.h>
#include <bp/chip/pflash.h>
#include <bp/chip/smbios.h>
#include <bp/chip/i8259.h>
#include <bp/chip/pit.h>
#include <bp/host/net.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/chip/mc146818.h>
#include <bp/chip/smbus-eeprom.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

BP_USE(apic, struct bp_apic_interface, "apic", 1);
BP_USE(ioapic, struct bp_ioapic_interface, "ioapic", 1);
BP_USE(pit, struct bp_pit_interface, "pit", 1);
BP_USE(isa, struct bp_isa_interface, "isa", 1);
const struct bp_isa_interface *const *const pc_isa = &isa;
BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(i8259, struct bp_i8259_interface, "i8259", 1);
BP_USE(i440fx, struct bp_pc_host_interface, "i440fx", 1);
BP_USE(q35, struct bp_pc_host_interface, "q35", 1);
BP_USE(piix4, struct bp_pc_pm_interface, "piix4-pm", 1);
BP_USE(ich9, struct bp_pc_pm_interface, "ich9-lpc", 1);
BP_USE(acpi_pm, struct bp_pc_pm_interface, "acpi-pm", 1);
const struct bp_pc_pm_interface *const *const pc_acpi_pm = &acpi_pm;
BP_USE(nvram, struct bp_rtc_nvram_interface, "rtc-nvram", 1);
BP_USE(pflash, struct bp_pflash_interface, "pflash", 1);
BP_USE(acpi_tables, struct bp_acpi_tables_interface, "acpi-tables", 1);
BP_USE(smbios, struct bp_smbios_interface, "smbios", 1);
BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);
BP_USE(block, struct bp_block_interface, "block", 1);
BP_USE(net, struct bp_net_interface, "net", 1);
const struct bp_block_interface *const *const pc_block = &block;
const struct bp_net_interface *const *const pc_net = &net;
BP_USE(ide, struct bp_ide_interface, "ide", 1);
BP_USE(fdc, struct bp_fdc_interface, "fdc", 1);
BP_USE(dimms, struct bp_pc_dimm_interface, "pc-dimm", 1);
BP_USE(eeprom, struct bp_smbus_eeprom_interface, "smbus-eeprom", 1);

const struct bp_import pc_imports[] = {
    BP_IMPORT_MINOR(apic, "apic", 1, 1), BP_IMPORT_MINOR(ioapic, "ioapic", 1, 1), BP_IMPORT(isa, "isa", 1),
    BP_IMPORT_MINOR(i8259, "i8259", 1, 1), BP_IMPORT_MINOR(pit, "pit", 1, 1),
    BP_IMPORT(i440fx, "i440fx", 1), BP_IMPORT(q35, "q35", 1), BP_IMPORT(piix4, "piix4-pm", 1),
    BP_IMPORT(ich9, "ich9-lpc", 1), BP_IMPORT(acpi_pm, "acpi-pm", 1),
    BP_IMPORT(nvram, "rtc-nvram", 1), BP_IMPORT(pci, "pci", 1), BP_IMPORT(fw_cfg, "fw-cfg", 1),
    BP_IMPORT(eeprom, "smbus-eeprom", 1), BP_IMPORT(block, "block", 1), BP_IMPORT(ide, "ide", 1),
    BP_IMPORT(smbios, "smbios", 1), BP_IMPORT(fdc, "fdc", 1), BP_IMPORT(acpi_tables, "acpi-tables", 1),
    BP_IMPORT(pflash, "pflash", 1), BP_IMPORT(net, "net", 1), BP_IMPORT(dimms, "pc-dimm", 1),
    {NULL, 0, 0, NULL},
};

/* ---- interrupt wires ---- */

/*
 * A global system interrupt reaches the 8259 pair (0..15, but for 2, which is its cascade) and the
 * I/O APIC. ISA's IRQ 0 is the I/O APIC's pin 2: what the timer and interrupt line 2 of the HPET
 * share.
 */
static void gsi_changed(void *opaque, unsigned n, int level)
{
    struct pc *pc = opaque;
    unsigned gsi = n & 0xff, bit = 1u << (n >> 8);

    if (level && !pc->gsi_levels[gsi])
        pc->gsi_count[gsi]++;
    if (level)
        pc->gsi_levels[gsi] |= (uint8_t)bit;
    else
        pc->gsi_levels[gsi] &= (uint8_t)~bit;
    if (!pc->pic || (!pc->ioapic && !pc->chipset->no_ioapic))
        return; /* the wires are being laid */
    int any = pc->gsi_levels[gsi] != 0;
    if (gsi < 16 && gsi != 2)
        bp_irq_set(bp_device_irq_input(pc->pic, "irq", gsi), any);
    if (!pc->ioapic)
        return;
    if (gsi == 0 || gsi == 2)
        bp_irq_set(bp_device_irq_input(pc->ioapic, "irq", 2), pc->gsi_levels[0] || pc->gsi_levels[2]);
    else
        bp_irq_set(bp_device_irq_input(pc->ioapic, "irq", gsi), any);
}

struct bp_irq *pc_gsi_line(struct pc *pc, enum gsi_source source, unsigned gsi)
{
    return bp_irq_new(bp_machine_owner(pc->machine), gsi_changed, pc, (unsigned)source << 8 | gsi);
}

static int pic_acknowledge(void *opaque)
{
    struct pc *pc = opaque;

    return i8259->acknowledge(pc->pic);
}

/* ---- devices ---- */

int pc_plug(struct pc *pc, const char *type, struct bp_bus *bus, const char *addr,
            struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(pc->machine, type, NULL, &dev, err);

    if (r < 0)
        return r;
    if (addr) {
        r = bp_device_set(dev, "addr", addr, err);
        if (r == 0)
            r = bp_device_set(dev, "multifunction", "on", err);
        if (r < 0) {
            bp_device_destroy(dev);
            return r;
        }
    }
    r = bp_device_attach(dev, bus, err);
    if (r == 0 && ret_dev)
        *ret_dev = dev;
    return r;
}

/* Who has this chip in the place of a device; NULL: nobody. */
static const struct bp_chip_keeper *keeper_of(const struct pc *pc, enum bp_x86_chip chip)
{
    struct bp_x86_cpu *x = bp_cpu_state(bp_machine_cpu(pc->machine, 0));

    return x->lapic ? x->lapic->keeper(x, chip) : NULL;
}

int pc_make_pit(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err)
{
    const struct bp_chip_keeper *keeper = pc->pcspk_audiodev ? NULL : keeper_of(pc, BP_X86_CHIP_PIT);
    int r = pc_plug(pc, keeper ? "kvm-pit" : "isa-pit", isa_bus, NULL, &pc->pit, err);

    return r == 0 && keeper ? pit->lend(pc->pit, keeper, err) : r;
}

int pc_make_cpus(struct pc *pc, struct bp_error *err)
{
    const struct bp_smp *smp = bp_machine_smp(pc->machine);
    int r = 0;

    for (unsigned i = 0; i < smp->cpus; i++) {
        struct bp_cpu *cpu;

        r = bp_machine_new_cpu(pc->machine, i, &cpu, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Each processor has its local APIC. */
int pc_cpu_plug(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);
    struct bp_device *lapic;
    int r = 0;

    if (!pc->apic_bus)
        r = apic->new_bus(m, &pc->apic_bus, err);
    if (r == 0)
        r = apic->attach(pc->apic_bus, cpu, &lapic, err);
    if (r == 0 && bp_cpu_index(cpu) == 0)
        pc->lapic = lapic;
    smm_cpu(pc, cpu);
    if (r == 0 && pc->cpu_comes)
        acpi_cpuhp_came(pc->cpuhp, bp_cpu_index(cpu));
    return r;
}

int pc_cpu_unplug_request(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err)
{
    const struct pc *pc = bp_machine_state(m);

    if (!pc->cpuhp)
        return bp_fail(err, ENOTSUP, "a running guest is asked by ACPI, which this machine does not have (acpi=off)");
    acpi_cpuhp_ask(pc->cpuhp, bp_cpu_index(cpu));
    return 0;
}

void pc_cpu_unplug(struct bp_machine *m, struct bp_cpu *cpu)
{
    const struct pc *pc = bp_machine_state(m);

    apic->detach(pc->apic_bus, cpu);
    if (pc->cpuhp)
        acpi_cpuhp_went(pc->cpuhp, bp_cpu_index(cpu));
}

/* Tables and firmware tell of those that are there at the start, ACPI of those that come later. */
int pc_cpu_pre_plug(struct bp_machine *m, unsigned index, bool hotplug, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);

    (void)index;
    pc->cpu_comes = hotplug;
    if (hotplug && !pc->cpuhp)
        return bp_fail(err, ENOTSUP, "a running guest is told of a new CPU by ACPI, which this machine does not "
                       "have (acpi=off); give it with -device before the start");
    return 0;
}

unsigned pc_cpus(const struct pc *pc)
{
    unsigned count = 0;

    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++)
        count += bp_machine_cpu(pc->machine, i) != NULL;
    return count;
}

static int make_ioapic(struct pc *pc, struct bp_error *err)
{
    const struct bp_chip_keeper *keeper = keeper_of(pc, BP_X86_CHIP_IOAPIC);
    int r = pc_plug(pc, keeper ? "kvm-ioapic" : "ioapic", NULL, NULL, &pc->ioapic, err);

    if (r == 0)
        r = ioapic->connect(pc->ioapic, pc->apic_bus, err);
    return r == 0 && keeper ? ioapic->lend(pc->ioapic, keeper, err) : r;
}

static int make_interrupt_controllers(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err)
{
    const struct bp_chip_keeper *keeper = keeper_of(pc, BP_X86_CHIP_PIC);
    int r = pc_plug(pc, keeper ? "kvm-i8259" : "isa-i8259", isa_bus, NULL, &pc->pic, err);

    if (r == 0 && keeper)
        r = i8259->lend(pc->pic, keeper, err);
    if (r == 0 && !pc->chipset->no_ioapic)
        r = make_ioapic(pc, err);
    if (r < 0)
        return r;
    bp_irq_connect(bp_device_irq_output(pc->pic, "intr", 0),
                   bp_device_irq_input(pc->lapic, "lint", 0));
    apic->set_extint(pc->apic_bus, pic_acknowledge, pc);
    return 0;
}

/* The first processor's coprocessor errors go to the chipset, and its leave to ignore one comes
 * back. */
static void ferr(void *opaque)
{
    struct pc *pc = opaque;

    bp_machine_lock(pc->machine);
    bp_irq_pulse(bp_device_irq_input(pc->isa_bridge, "ferr", 0));
    bp_machine_unlock(pc->machine);
}

static void set_ignne(struct bp_cpu *cpu, void *opaque)
{
    struct bp_x86_cpu *x = bp_cpu_state(cpu);

    (void)opaque;
    x->ignne = (x->fsw & 0x80) != 0; /* error summary: FERR# is asserted */
}

static void ignne_changed(void *opaque, unsigned n, int level)
{
    const struct pc *pc = opaque;
    struct bp_cpu *first = bp_machine_cpu(pc->machine, 0);

    (void)n;
    if (!level)
        return;
    if (bp_cpu_current() == first)
        set_ignne(first, NULL);
    else
        bp_cpu_run_async(first, set_ignne, NULL);
}

static void connect_coprocessor(struct pc *pc)
{
    struct bp_x86_cpu *x = bp_cpu_state(bp_machine_cpu(pc->machine, 0));

    x->ferr_opaque = pc;
    x->ferr = ferr;
    bp_irq_connect(bp_device_irq_output(pc->isa_bridge, "ignne", 0),
                   bp_irq_new(bp_machine_owner(pc->machine), ignne_changed, pc, 0));
}

/* Memory sizes where firmware looks for them in the clock's battery-backed RAM. */
static void fill_nvram(struct pc *pc)
{
    uint64_t low = pc->low_size >> 10; /* KiB */
    uint64_t extended = low - 1024 > 0xffff ? 0xffff : low - 1024;
    uint64_t above16 = pc->low_size > 16u << 20 ? (pc->low_size - (16u << 20)) >> 16 : 0;
    uint64_t high = pc->high_size >> 16;
    const struct {
        uint8_t index;
        uint64_t value;
    } bytes[] = {
        {0x15, 640 & 0xff}, {0x16, 640 >> 8}, {0x17, extended}, {0x18, extended >> 8},
        {0x30, extended}, {0x31, extended >> 8}, {0x34, above16}, {0x35, above16 >> 8},
        {0x5b, high}, {0x5c, high >> 8}, {0x5d, high >> 16},
    };

    for (size_t i = 0; i < BP_COUNT(bytes); i++)
        nvram->set(pc->rtc, bytes[i].index, (uint8_t)bytes[i].value);
    disks_to_nvram(pc->machine, pc->rtc, ide, nvram);
    disks_floppies_to_nvram(pc->fdc, pc->rtc, fdc, nvram);
}

/* How many processors firmware is to wait for: those of -device, too, and those that came since the last reset. */
static int tell_cpus(const struct pc *pc, struct bp_error *err)
{
    uint16_t cpus = (uint16_t)pc_cpus(pc);

    nvram->set(pc->rtc, 0x5f, (uint8_t)(cpus > 256 ? 0 : cpus - 1)); /* who counts further goes by fw_cfg */
    return fw_cfg->add(pc->fw_cfg, 0x05, &cpus, sizeof(cpus), err);
}

int pc_make_fw_cfg(struct pc *pc, struct bp_error *err)
{
    const struct bp_smp *smp = bp_machine_smp(pc->machine);
    uint16_t max_cpus = (uint16_t)smp->max_cpus;
    uint64_t low = pc->low_size;
    int r = pc_plug(pc, "fw_cfg_io", NULL, NULL, &pc->fw_cfg, err);

    if (r == 0)
        r = pc_plug(pc, "smbios", NULL, NULL, &pc->smbios, err);
    if (r == 0)
        r = pc_plug(pc, "acpi-tables", NULL, NULL, &pc->acpi_tables, err);
    pc->users = acpi_tables;
    pc->fw_cfg_if = fw_cfg;

    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, 0x02, bp_machine_uuid(pc->machine), 16, err);
    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, 0x03, &low, sizeof(low), err);
    if (r == 0)
        r = fw_cfg->add(pc->fw_cfg, 0x0f, &max_cpus, sizeof(max_cpus), err);
    return r;
}

/* The chipset's IDE or AHCI function with the drives of if=ide; a floppy controller, which a q35 has only for drives
 * that somebody gave it. */
static int make_disks(struct pc *pc, struct bp_bus *isa_bus, struct bp_irq *const lines[16],
                      struct bp_error *err)
{
    struct bp_block_drive drive = {.size = sizeof(drive)};
    const struct pc_chipset *c = pc->chipset;
    bool old = c->floppies;
    struct bp_device *dev;
    int r = 0;

    if (old || block->drive(pc->machine, "floppy", 0, &drive))
        r = disks_make_floppies(pc->machine, isa_bus, block, old, &pc->fdc, err);
    if (r == 0 && pc->pci_bus) /* else the block layer says that such a drive has no place */
        r = disks_make_virtio(pc->machine, "virtio-blk-pci", pc->pci_bus, block, err);
    if (r == 0 && pc->pci_bus)
        r = disks_make_scsi(pc->machine, pc->pci_bus, block, err);
    if (r < 0 || (!old && !pc->sata))
        return r;
    if (c->no_pci)
        r = isapc_make_disks(pc, isa_bus, err);
    else
        r = pc_plug(pc, c->disks, pc->pci_bus, c->disks_addr, &dev, err);
    for (unsigned n = 0; r == 0 && c->disk_irqs && n < 2; n++)
        bp_irq_connect(bp_device_irq_output(dev, "irq", n), lines[14 + n]);
    return r < 0 ? r : disks_make_ide(pc->machine, block, c->disk_units, err);
}

/* The bus behind the bridge, its lines, and who hears them. */
int pc_make_isa(struct pc *pc, struct bp_irq *ret_lines[16], struct bp_bus **ret_bus, struct bp_error *err)
{
    *ret_bus = bp_device_bridged(pc->isa_bridge, "isa");
    for (unsigned i = 0; i < 16; i++)
        ret_lines[i] = pc_gsi_line(pc, GSI_ISA, i);
    isa->set_irqs(*ret_bus, ret_lines);
    return make_interrupt_controllers(pc, *ret_bus, err);
}

int pc_init(struct bp_machine *m, struct bp_error *err)
{
    const struct bp_board_class *board = bp_object_class(bp_machine_object(m));
    struct pc *pc = bp_machine_state(m);
    struct bp_irq *lines[16];
    struct bp_bus *isa_bus;
    int r;

    pc->machine = m;
    timeline_begin(&pc->timeline, m);
    disks_places(m, block, pc->chipset->disk_units);
    pc->product = board->type.summary;
    pc->version = board->type.name;
    pc->dimms = dimms;
    pc->pci_if = pci;
    bp_machine_set_hotplug(m, bp_machine_owner(m), &pc_no_bus, pc);
    r = pc->chipset->ecam ? 0 : pc_check_apic_ids(m, err);
    if (r == 0)
        r = pc_check_choices(pc, err);
    if (r == 0)
        r = smm_choose(pc, err);
    if (r == 0)
        r = pc_map_ram(pc, err);
    if (r == 0)
        r = pc_make_cpus(pc, err); /* clients expect the first one to be the first device */
    if (r == 0)
        r = pc->chipset->make(pc, pci, err);
    if (r == 0)
        smm_connect(pc);
    if (r == 0 && pc->smbus)
        r = pc_make_dimms(m, eeprom, pc->smbus, err);
    if (r == 0 && pc->acpi)
        r = pc_make_hotplug(pc, pci, err);
    if (r < 0)
        return r;
    r = pc_make_isa(pc, lines, &isa_bus, err);
    if (r < 0)
        return r;
    if (!pc->chipset->no_pci) {
        connect_coprocessor(pc);
        bp_irq_connect(bp_device_irq_output(pc->pm, "sci", 0), pc_gsi_line(pc, GSI_PM, PC_SCI));
    }
    r = pc_make_vga(m, pc->pci_bus ? pc->pci_bus : isa_bus, pc->chipset->no_pci, err);
    r = r == 0 ? pc_make_usb(pc, err) : r; /* before NICs, which may be plugged into it */
    if (r == 0 && !pc->chipset->no_pci)
        r = net->make_nics(m, "e1000", bp_machine_defaults(m, "net"), err);
    if (r == 0)
        r = pc_make_isa_devices(pc, isa_bus, lines, err);
    if (r == 0)
        r = make_disks(pc, isa_bus, lines, err);
    return r;
}

int pc_init_i440fx(struct bp_machine *m, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);

    pc->chipset = &pc_i440fx;
    pc->host_if = i440fx;
    pc->pm_if = piix4;
    return pc_init(m, err);
}

int pc_init_q35(struct bp_machine *m, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);

    pc->chipset = &pc_q35;
    pc->host_if = q35;
    pc->pm_if = ich9;
    return pc_init(m, err);
}

/* ---- start ---- */

/* A serial port at COM1's or COM2's place, whoever made it. */
static int note_serial(struct bp_device *dev, void *opaque)
{
    static const uint64_t base[2] = {0x3f8, 0x2f8}, irq[2] = {4, 3};
    struct pc *pc = opaque;
    struct bp_value *port = NULL, *line = NULL;

    if (bp_object_get(bp_device_object(dev), "iobase", &port, NULL) == 0 &&
        bp_object_get(bp_device_object(dev), "irq", &line, NULL) == 0) {
        for (unsigned i = 0; i < 2; i++) {
            if (bp_value_as_int(port) == (int64_t)base[i] && bp_value_as_int(line) == (int64_t)irq[i])
                pc->serial[i] = true;
        }
    }
    bp_value_unref(port);
    bp_value_unref(line);
    return 0;
}

static void note_serials(struct pc *pc)
{
    pc->serial[0] = pc->serial[1] = false;
    bp_device_each(pc->machine, "isa-serial", note_serial, pc);
}

/* When all devices have their places, and again each time firmware asks: where things are decides what is told. */
static void refresh_acpi(void *opaque)
{
    struct bp_error err = {0};

    note_serials(opaque);
    if (boot_put_acpi(opaque, fw_cfg, &err) < 0)
        bp_warn("%s", err.message);
}

static int firmware_open(struct pc *pc, struct bp_error *err)
{
    const char *bios = bp_machine_bios(pc->machine);
    const char *own = pc->chipset->firmware;
    int r = 0;

    if (pc->firmware && bios)
        return bp_fail(err, EINVAL, "-bios %s: the first flash chip (if=pflash) stands in its "
                "place: give one of the two",
                       bios);
    if (!bios && !pc->firmware && !own) {
        if (bp_machine_runs_code(pc->machine))
            bp_warn("no -kernel and no -bios: the processor has nothing to run, this board has no firmware of its own");
        return 0;
    }
    if (!bios && !pc->firmware) {
        char *path = bp_machine_find_data(pc->machine, own);

        if (!path) {
            if (bp_machine_kernel(pc->machine))
                return bp_fail(err, ENOENT, "-kernel %s: firmware is to start it, and there is none (%s, package "
                               "seabios, see -L)", bp_machine_kernel(pc->machine), own);
            if (bp_machine_runs_code(pc->machine))
                bp_warn("no -kernel and no firmware (%s, package seabios, see -L): the processor has nothing to run",
                        own);
            return 0;
        }
        free(path);
    }
    if (!pc->firmware)
        r = firmware_map(pc, bios ? bios : own, err);
    if (r == 0)
        r = boot_items_add(pc, fw_cfg, err);
    if (r == 0)
        r = smm_to_firmware(pc, err);
    if (r == 0)
        r = smbios_to_firmware(pc, smbios, fw_cfg, err);
    if (r == 0 && pc->acpi) {
        note_serials(pc);
        r = boot_put_acpi(pc, fw_cfg, err);
        if (r == 0)
            r = fw_cfg->on_select(pc->fw_cfg, "etc/table-loader", refresh_acpi, pc, err);
    }
    return r;
}

static int check_boot(struct bp_machine *m, struct bp_error *err)
{
    const struct bp_boot *boot = bp_machine_boot(m);
    int r = boot->order ? boot_check_order("order", boot->order, err) : 0;

    return r == 0 && boot->once ? boot_check_order("once", boot->once, err) : r;
}

/* ---- devices that users add and tables name ---- */

static void generation_changed(void *opaque, unsigned n, int level)
{
    const struct pc *pc = opaque;

    (void)n;
    if (level && pc->pm)
        pc->pm_if->gpe(pc->pm, PC_GPE_VMGENID);
}

static int note_vmgenid(struct bp_device *dev, void *opaque)
{
    struct pc *pc = opaque;

    pc->vmgenid = dev;
    bp_irq_connect(bp_device_irq_output(dev, "changed", 0),
                   bp_irq_new(bp_machine_owner(pc->machine), generation_changed, pc, 0));
    return 1;
}

static int note_pvpanic(struct bp_device *dev, void *opaque)
{
    struct bp_value *port = NULL;

    if (bp_object_get(bp_device_object(dev), "ioport", &port, NULL) == 0 &&
        bp_value_as_int(port) == PC_PVPANIC_PORT)
        ((struct pc *)opaque)->pvpanic = true;
    bp_value_unref(port);
    return 0;
}

int pc_ready(struct bp_machine *m, struct bp_error *err)
{
    struct pc *pc = bp_machine_state(m);
    int r = check_boot(m, err);

    if (r == 0)
        r = pc_check_wide_ids(m, pc->apic_bus && apic->has_remapper(pc->apic_bus), err);
    if (r < 0)
        return r;
    fill_nvram(pc);
    pc_add_hotplug_buses(pc, pci);
    r = flash_make(pc, block, pflash, pc->host_if->pci_memory(pc->host), err);
    if (r < 0)
        return r;
    bp_device_each(m, "pvpanic", note_pvpanic, pc);
    bp_device_each(m, "vmgenid", note_vmgenid, pc);
    if (bp_machine_kernel(m)) {
        r = linux_boot_open(pc, err);
        if (r == 0 && linux_boot_by_firmware(pc)) {
            r = firmware_open(pc, err);
            return r < 0 ? r : kernel_to_firmware(pc, fw_cfg, err);
        }
        if (r == 0)
            r = smbios_check(pc, smbios, err);
        if (r == 0 && pc->acpi)
            r = acpi_check(pc, err);
        return r < 0 ? r : firmware_map_entry(pc, err);
    }
    if (bp_machine_initrd(m))
        return bp_fail(err, EINVAL, "-initrd needs -kernel");
    if (*bp_machine_append(m))
        return bp_fail(err, EINVAL, "-append needs -kernel");
    return firmware_open(pc, err);
}

void pc_reset(struct bp_machine *m)
{
    struct pc *pc = bp_machine_state(m);
    struct bp_x86_cpu *cpu = bp_cpu_state(bp_machine_cpu(m, 0));
    struct bp_error err = {0};
    int r = 0;

    if (tell_cpus(pc, &err) < 0)
        bp_warn("%s", err.message);
    smm_reset(pc);
    timeline_reset(&pc->timeline);
    if (pc->bios)
        firmware_copy(pc);
    if (pc->chipset->no_pci)
        apic->virtual_wire(pc->lapic);
    if (!pc->boot || pc->firmware) {
        if (!pc->firmware)
            cpu->halted = cpu->wait_for_sipi = 1;
        else
            boot_items_reset(pc, fw_cfg, nvram);
        return;
    }
    if (pc->host_if->shadow)
        pc->host_if->shadow(pc->host);
    note_serials(pc);
    firmware_leave(pc, pci);
    apic->virtual_wire(pc->lapic);
    if (pc->acpi)
        r = acpi_write(pc, &err);
    if (r == 0)
        r = smbios_write(pc, smbios, &err);
    if (r == 0)
        r = linux_boot_reset(pc, cpu, &err);
    if (r < 0) {
        bp_warn("%s", err.message);
        bp_machine_request_shutdown(m, BP_SHUTDOWN_HOST_ERROR);
    }
}

void pc_wakeup(struct bp_machine *m, enum bp_wakeup_cause cause)
{
    pc_wake(bp_machine_state(m), cause, pci, nvram, apic);
}

void pc_powerdown(struct bp_machine *m)
{
    struct pc *pc = bp_machine_state(m);

    if (pc->pm)
        pc->pm_if->power_button(pc->pm);
}

static const char *const entries[] = {"32", "64", "auto", NULL};
const struct bp_schema pc_entry_schema = {.name = "SmbiosEntryPointType", .kind = BP_KIND_ENUM,
    .choices = entries};
const struct bp_field pc_props[] = {
    BP_PROP("acpi", BOOL, struct pc, acpi, "on", "ACPI tables"),
    BP_PROP("hpet", BOOL, struct pc, hpet, "on", "high precision event timer"),
    BP_PROP("i8042", BOOL, struct pc, i8042, "on", "keyboard controller"),
    BP_PROP("graphics", BOOL, struct pc, graphics, "on", "a display adapter when one is built"),
    BP_PROP("fd-bootchk", BOOL, struct pc, fd_bootchk, "on",
            "firmware looks for a boot sector's signature on floppies"),
    BP_PROP("smbus", BOOL, struct pc, with_smbus, "on", "SMBus host (q35; that of pc is always there)"),
    BP_PROP("sata", BOOL, struct pc, sata, "on", "AHCI controller (q35; a pc has IDE)"),
    BP_PROP("pflash0", STRING, struct pc, pflash[0], NULL, "block node of the flash chip that ends at 4 GiB"),
    BP_PROP("pflash1", STRING, struct pc, pflash[1], NULL, "block node of the flash chip below it"),
    BP_PROP_ENUM("smbios-entry-point-type", &pc_entry_schema, struct pc, smbios_entry, "auto",
                 "how firmware tells where the SMBIOS tables are; auto: 64 when they are longer than 65535 bytes"),
    BP_PROP("vmport", STRING, struct pc, choices.vmport, "auto",
            "VMware's port 0x5658 and its mouse: on, off, auto (on, but with i8042=off)"),
    BP_PROP("smm", STRING, struct pc, choices.smm, "auto",
            "system management mode: on, off, auto (where the accelerator runs it)"),
    BP_PROP("memory-encryption", STRING, struct pc, choices.memory_encryption, NULL,
            "id of the object that keeps the memory encrypted"),
    BP_PROP("nvdimm", BOOL, struct pc, nvdimm, "off", "NVDIMMs (-device nvdimm)"),
    BP_PROP("hmat", BOOL, struct pc, hmat, "off", "ACPI tells the attributes of NUMA nodes' memory (HMAT)"),
    BP_PROP("default-bus-bypass-iommu", BOOL, struct pc, choices.bypass_iommu, "off",
            "devices on the root bus are not behind an IOMMU"),
    BP_PROP_LINK("pcspk-audiodev", "audiodev", struct pc, pcspk_audiodev, "where the speaker is heard"),
    BP_PROP("pit", BOOL, struct pc, choices.pit, "on", "interval timer"),
    BP_PROP("pic", BOOL, struct pc, choices.pic, "on", "interrupt controllers of the ISA bus"),
    BP_PROP("usb", BOOL, struct pc, usb, "off", "USB controller"),
    BP_FIELDS_END,
};

static void info_irq(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_object *obj = bp_object_resolve("/machine", "generic-pc-machine", NULL);
    const struct pc *pc = obj ? bp_object_state(obj) : NULL;

    (void)args;
    if (!pc) {
        bp_monitor_printf(mon, "the machine is not a pc\n");
        return;
    }
    for (unsigned i = 0; i < GSI_COUNT; i++) {
        if (pc->gsi_count[i] || pc->gsi_levels[i])
            bp_monitor_printf(mon, "%2u: %llu%s\n", i, (unsigned long long)pc->gsi_count[i],
                              pc->gsi_levels[i] ? " asserted" : "");
    }
}
BP_HMP(pc_info_irq, "info irq", "", "show how often each interrupt line was raised", NULL, info_irq);
