// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The AHCI controller of ICH9 (316972; Serial ATA AHCI 1.3.1): six ports, 32 slots each, native command
 * queuing, MSI, hot-plug of drives. Left out: port multipliers, command completion coalescing, enclosure
 * management, staggered spin-up (drives spin at once), link power management (kept, without effect),
 * BIOS hand-off.
 */
#define BP_SHARED
#include <stdio.h>

#include "ahci.h"

BP_USE(pci_import, struct bp_pci_interface, "pci", 1);
BP_USE(ide_import, struct bp_ide_interface, "ide", 1);
const struct bp_pci_interface *const *const ahci_pci = &pci_import;
const struct bp_ide_interface *const *const ahci_ide = &ide_import;

enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0c, VS = 0x10, CAP2 = 0x24, PORT = 0x100 };
#define PORT_SIZE 0x80u
#define MEMORY_SIZE 0x1000u
/* Six ports, 32 slots, AHCI only, 3 Gb/s, CLO, queuing, 64 bits */
#define CAPABILITIES (0xc1240000u | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))
enum { INDEX = 0x10, DATA = 0x14 };

void ahci_update(struct ahci *s)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct port *p = &s->ports[i];

        p->is = (p->is & ~(IS_PCS | IS_PRCS)) | (p->serr & SERR_X ? IS_PCS : 0) |
                (p->serr & SERR_N ? IS_PRCS : 0);
        if (p->is & p->ie)
            s->is |= 1u << i;
    }
    pci->interrupt(s->dev, 0, s->ghc & GHC_IE && s->is);
}

static void controller_reset(struct ahci *s)
{
    s->ghc = GHC_AE;
    s->is = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        port_init(&s->ports[i]);
        ide->reset(s->ports[i].bus);
        port_link(&s->ports[i], ide->present(s->ports[i].bus, 0));
    }
    ahci_update(s);
}

static bool moves(const struct ahci *s)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        if (s->ports[i].moving)
            return true;
    return false;
}

static uint32_t read_register(const struct ahci *s, unsigned reg)
{
    if (reg >= PORT) {
        unsigned n = (reg - PORT) / PORT_SIZE;

        return n < AHCI_PORTS ? port_read(&s->ports[n], reg & (PORT_SIZE - 4)) : 0;
    }
    switch (reg) {
    case CAP: return CAPABILITIES;
    case GHC: return s->ghc;
    case IS: return s->is;
    case PI: return (1u << AHCI_PORTS) - 1;
    case VS: return 0x00010300;
    default: return 0;
    }
}

static void write_register(struct ahci *s, unsigned reg, uint32_t value)
{
    if (reg >= PORT) {
        unsigned n = (reg - PORT) / PORT_SIZE;

        if (n < AHCI_PORTS)
            port_write(&s->ports[n], reg & (PORT_SIZE - 4), value);
        return;
    }
    switch (reg) {
    case GHC:
        s->ghc = GHC_AE | (value & GHC_IE);
        if (value & GHC_HR && moves(s)) /* it would go on with what the reset has forgotten */
            bp_guest_error("ahci-dma-loop", "AHCI: a transfer led to the controller's own registers");
        else if (value & GHC_HR)
            controller_reset(s);
        break;
    case IS:
        s->is &= ~value;
        /* What is still up, or comes up again at once, is a message of its own (10.7.2.1). */
        pci->interrupt(s->dev, 0, 0);
        break;
    default: return;
    }
    ahci_update(s);
}

static uint64_t memory_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return read_register(opaque, (unsigned)addr);
}

static void memory_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    write_register(opaque, (unsigned)addr, (uint32_t)value);
}

/* The index and data pair, for code that reaches I/O ports only. */
static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct ahci *s = opaque;

    (void)size;
    return addr == INDEX ? s->index : addr == DATA ? read_register(s, s->index) : 0;
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ahci *s = opaque;

    (void)size;
    if (addr == INDEX)
        s->index = (uint32_t)value & (MEMORY_SIZE - 4);
    else if (addr == DATA)
        write_register(s, s->index, (uint32_t)value);
}

static const struct bp_region_ops memory_ops = {
    .size = sizeof(memory_ops), .read = memory_read, .write = memory_write, .min_access = 4,
    .max_access = 4};
static const struct bp_region_ops io_ops = {
    .size = sizeof(io_ops), .read = io_read, .write = io_write, .min_access = 4, .max_access = 4};

/* ---- device ---- */

static int ahci_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ahci *s = bp_device_state(dev);
    int r = 0;

    s->dev = dev;
    pci->writable(dev)[0x0d] = 0; /* no latency timer: ICH9 has zero there */
    for (unsigned i = 0; r == 0 && i < AHCI_PORTS; i++) {
        struct port *p = &s->ports[i];

        p->ahci = s;
        p->number = i;
        p->run = bp_deferred_new(bp_device_owner(dev), NULL, command_run, p);
        r = ide->new_bus(dev, NULL, &ahci_ide_ops, p, &p->bus, err);
    }
    return r;
}

static void ahci_reset(struct bp_device *dev)
{
    struct ahci *s = bp_device_state(dev);

    s->index = 0;
    controller_reset(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ahci *s = state;

    (void)version;
    s->index &= MEMORY_SIZE - 4;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct port *p = &s->ports[i];

        if (p->up != ide->present(p->bus, 0))
            return bp_fail(err, EINVAL, "AHCI: port %u was saved %s a drive", i, p->up ? "with" : "without");
        bp_deferred_schedule(p->run);
    }
    return 0;
}

static const struct bp_state_field cursor_fields[] = {
    BP_SAVE(UINT64, struct cursor, next), BP_SAVE(UINT64, struct cursor, addr),
    BP_SAVE_RANGE(UINT32, struct cursor, entries, 0, 0xffff),
    BP_SAVE_RANGE(UINT32, struct cursor, left, 0, 0x400000), BP_SAVE(UINT32, struct cursor, moved),
    BP_SAVE(BOOL, struct cursor, told), BP_SAVE_END};
static const struct bp_state_table cursor_table = {.version = 1, .oldest = 1, .fields = cursor_fields};
static const struct bp_state_field port_fields[] = {
    BP_SAVE(UINT64, struct port, clb), BP_SAVE(UINT64, struct port, fb), BP_SAVE(UINT32, struct port, is),
    BP_SAVE(UINT32, struct port, ie), BP_SAVE(UINT32, struct port, cmd), BP_SAVE(UINT32, struct port, tfd),
    BP_SAVE(UINT32, struct port, sig), BP_SAVE(UINT32, struct port, sctl),
    BP_SAVE(UINT32, struct port, serr), BP_SAVE(UINT32, struct port, sact),
    BP_SAVE(UINT32, struct port, ci), BP_SAVE(BOOL, struct port, up), BP_SAVE(BOOL, struct port, stopped),
    BP_SAVE(BOOL, struct port, signature), BP_SAVE_RANGE(UINT8, struct port, current, 0, AHCI_SLOTS),
    BP_SAVE_RANGE(UINT8, struct port, next, 0, AHCI_SLOTS - 1), BP_SAVE(BOOL, struct port, pio_interrupt),
    BP_SAVE_BUFFER(struct port, acmd), BP_SAVE_STRUCTS(struct port, cursors, &cursor_table), BP_SAVE_END};
static const struct bp_state_table port_table = {.version = 1, .oldest = 1, .fields = port_fields};
static const struct bp_state_field ahci_fields[] = {
    BP_SAVE(UINT32, struct ahci, ghc), BP_SAVE(UINT32, struct ahci, is), BP_SAVE(UINT32, struct ahci, index),
    BP_SAVE_STRUCTS(struct ahci, ports, &port_table), BP_SAVE_END};
static const struct bp_state_table ahci_table = {
    .version = 1, .oldest = 1, .fields = ahci_fields, .after_load = after_load};

/* Serial ATA: revision 1.0; the index and data pair is in BAR 4, at 0x10. */
static const struct bp_pci_field sata_fields[] = {
    {2, 2, 0, 0x0010, 0, 0, 0}, {4, 4, 0, 0x00000048, 0, 0, 0}, BP_PCI_FIELDS_END};
static const struct bp_pci_capability capabilities[] = {
    {0x12, 8, 0xa8, 0, 0, sata_fields}, BP_PCI_CAPABILITIES_END};

static const struct bp_pci_info ahci_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = 0x2922, .revision = 2,
    .prog_if = 1, .class_code = 0x0106, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .interrupt_pin = 1, .msi = 1, .capabilities = capabilities,
    .bar = {[4] = {BP_PCI_BAR_IO, 32, "ahci-index", &io_ops},
            [5] = {BP_PCI_BAR_MEM32, MEMORY_SIZE, "ahci", &memory_ops}}};

static const char *const aliases[] = {"ahci", NULL};
BP_DEVICE(ahci_class, "ich9-ahci", "pci", "ICH9 AHCI controller", struct ahci, NULL, &ahci_table,
          .category = "storage", .bus_info = &ahci_info, .attach = ahci_attach, .reset = ahci_reset,
          .aliases = aliases);
BP_DEVICE_ALIAS("ich9-ahci", "ahci");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci_import, "pci", 1, 1),
                                           BP_IMPORT(ide_import, "ide", 1), {0}};
BP_MODULE("hw-ahci", "AHCI controller", imports, {BP_PROVIDE_DEVICE, &ahci_class});
