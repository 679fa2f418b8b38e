/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fourth chipset: none, and nothing old either. Board microvm is for functions and tests that want a kernel
 * soon: an ISA bus with timer, clock, interrupt controllers and a serial port, an I/O APIC, fw_cfg, and eight
 * slots for virtio devices on MMIO. No PCI, no keyboard controller, no DMA. ACPI tells of all that; with acpi=off
 * the MultiProcessor tables tell of processors and interrupts, and the kernel's command line of the devices
 * ("virtio_mmio.device=512@ADDRESS:IRQ", Linux: Documentation/admin-guide/kernel-parameters.txt). A kernel starts
 * without firmware; -bios runs one instead.
 */
#define BP_SHARED
#include "chipset.h"
#include "disks.h"
#include "pc.h"
#include "dsdt_microvm.hex"

#include <bp/host/net.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 8u
#define SLOT_BASE 0xfeb00000u
#define SLOT_SIZE 512u
#define PARAMETER "virtio_mmio.device=512@0xffffffff:15 "

/* What ISA devices and the SCI leave free; the I/O APIC's pins of the same numbers. dsdt_microvm.asl has them, too. */
static const uint8_t slot_irq[SLOTS] = {5, 6, 7, 10, 11, 12, 14, 15};

struct microvm {
    struct bp_device *slot[SLOTS];
    char *append; /* NULL: not made yet */
};

static struct bp_region *memory_of(struct bp_device *dev)
{
    return bp_space_root(bp_device_memory(dev));
}

static const struct bp_pc_host_interface microvm_host = {.size = sizeof(struct bp_pc_host_interface),
                                                         .pci_memory = memory_of};

const struct pc_chipset pc_microvm = {.low_max = 0xc0000000ull, .low_split = 0xc0000000ull, .no_pci = true,
                                      .acpi_always = true, .dsdt = dsdt_microvm_aml_code,
                                      .dsdt_size = sizeof(dsdt_microvm_aml_code)};

/* ---- the kernel's command line ---- */

static int count(struct bp_device *child, void *opaque)
{
    (void)child;
    return ++*(int *)opaque;
}

static bool taken(struct bp_device *slot)
{
    int children = 0;

    return bp_bus_each_child(bp_device_bridged(slot, "virtio-bus"), count, &children) > 0;
}

const char *pc_append(struct pc *pc)
{
    const char *given = bp_machine_append(pc->machine);
    struct microvm *m = pc->microvm;
    size_t room;
    char *to;

    if (!m || !pc->kernel_cmdline || pc->acpi)
        return given;
    if (m->append)
        return m->append;
    room = strlen(given) + SLOTS * strlen(PARAMETER) + 2;
    m->append = to = bp_alloc(room);
    to += sprintf(to, "%s", given);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (taken(m->slot[i]))
            to += sprintf(to, "%svirtio_mmio.device=%u@0x%x:%u", to == m->append ? "" : " ", SLOT_SIZE,
                          SLOT_BASE + i * SLOT_SIZE, slot_irq[i]);
    }
    return m->append;
}

/* ---- devices ---- */

static int make_slots(struct pc *pc, struct bp_irq *const lines[16], struct bp_error *err)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct bp_device *dev;
        int r = bp_device_new(pc->machine, "virtio-mmio", NULL, &dev, err);

        if (r < 0)
            return r;
        r = bp_device_set_uint(dev, "base", SLOT_BASE + i * SLOT_SIZE, err);
        if (r < 0) {
            bp_device_destroy(dev);
            return r;
        }
        r = bp_device_attach(dev, NULL, err);
        if (r < 0)
            return r;
        bp_irq_connect(bp_device_irq_output(dev, "irq", 0), lines[slot_irq[i]]);
        pc->microvm->slot[i] = dev;
    }
    return 0;
}

static int make_isa_devices(struct pc *pc, struct bp_bus *isa_bus, struct bp_irq *const lines[16], struct bp_error *err)
{
    int r = pc_make_pit(pc, isa_bus, err);

    if (r == 0)
        r = pc_make_rtc(pc, isa_bus, err);
    if (r == 0 && pc->acpi)
        r = pc_plug(pc, "acpi-pm", NULL, NULL, &pc->pm, err);
    if (r < 0)
        return r;
    if (pc->pm) {
        bp_irq_connect(bp_device_irq_output(pc->pm, "sci", 0), pc_gsi_line(pc, GSI_PM, PC_SCI));
        bp_irq_connect(bp_device_irq_output(pc->rtc, "alarm", 0), bp_device_irq_input(pc->pm, "rtc", 0));
    }
    bp_irq_connect(bp_device_irq_output(pc->pit, "irq0", 0), lines[0]);
    bp_irq_connect(bp_device_irq_output(pc->rtc, "irq8", 0), lines[8]);
    if (pc->isa_serial)
        r = pc_make_serial(pc->machine, isa_bus, err);
    return r == 0 ? pc_make_fw_cfg(pc, err) : r;
}

/* What the board has no place for, though somebody asks for it by an option of its own. */
static int refuse(struct bp_machine *m, struct bp_error *err)
{
    const char *vga = bp_machine_choice(m, "vga");

    if (vga && strcmp(vga, "none") != 0)
        return bp_fail(err, ENOTSUP, "-vga %s: board microvm has no bus for it; use -vga none, or -device "
                       "virtio-gpu-device", vga);
    if (bp_machine_parallel(m, 0) && !bp_machine_defaults(m, "parallel"))
        return bp_fail(err, ENOTSUP, "-parallel: board microvm has no parallel port; use -parallel none");
    return 0;
}

int pc_init_microvm(struct bp_machine *m, struct bp_error *err)
{
    static const char *const interfaces[] = {"virtio", NULL};
    static const unsigned units[] = {0};
    const struct bp_board_class *board = bp_object_class(bp_machine_object(m));
    struct pc *pc = bp_machine_state(m);
    struct bp_irq *lines[16];
    struct bp_bus *isa_bus;
    int r;

    pc->machine = m;
    pc->chipset = &pc_microvm;
    pc->host_if = &microvm_host;
    pc->pm_if = *pc_acpi_pm;
    pc->product = board->type.summary;
    pc->version = board->type.name;
    pc->microvm = bp_alloc(sizeof(*pc->microvm));
    memset(pc->microvm, 0, sizeof(*pc->microvm));
    timeline_begin(&pc->timeline, m);
    (*pc_block)->interfaces(m, "virtio", interfaces, units);
    r = refuse(m, err);
    if (r == 0)
        r = pc_check_apic_ids(m, err);
    if (r == 0)
        r = pc_check_choices(pc, err);
    if (r == 0)
        r = pc_map_ram(pc, err);
    if (r == 0)
        r = pc_make_cpus(pc, err);
    if (r == 0)
        r = pc_plug(pc, "isabus-bridge", NULL, NULL, &pc->isa_bridge, err);
    if (r < 0)
        return r;
    pc->host = pc->isa_bridge;
    r = pc_make_isa(pc, lines, &isa_bus, err);
    if (r == 0)
        r = make_isa_devices(pc, isa_bus, lines, err);
    if (r == 0)
        r = make_slots(pc, lines, err);
    if (r == 0)
        r = disks_make_virtio(m, "virtio-blk-device", NULL, *pc_block, err);
    return r == 0 ? (*pc_net)->make_nics(m, "virtio-net-device", false, err) : r;
}

const struct bp_field pc_microvm_props[] = {
    BP_PROP("auto-kernel-cmdline", BOOL, struct pc, kernel_cmdline, "on",
            "without ACPI the kernel's command line names the virtio devices"),
    BP_PROP("isa-serial", BOOL, struct pc, isa_serial, "on", "the serial ports of -serial"),
    BP_PROP("acpi", BOOL, struct pc, acpi, "on", "ACPI tables"),
    BP_PROP("pit", BOOL, struct pc, choices.pit, "on", "interval timer"),
    BP_PROP("pic", BOOL, struct pc, choices.pic, "on", "interrupt controllers of the ISA bus"),
    BP_PROP_ENUM("smbios-entry-point-type", &pc_entry_schema, struct pc, smbios_entry, "auto",
                 "how firmware tells where the SMBIOS tables are; auto: 64 when they are longer than 65535 bytes"),
    BP_PROP("memory-encryption", STRING, struct pc, choices.memory_encryption, NULL,
            "id of the object that keeps the memory encrypted"),
    BP_FIELDS_END,
};
