/* SPDX-License-Identifier: MIT */
/* @name@: what it is, which specification it follows, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/pci.h>

/* Registers in BAR 0, 32 bits each. */
enum { REG_ID = 0x00, REG_VALUE = 0x04, REG_INTERRUPT = 0x08 };
#define ID_VALUE 0x40302010u
#define BAR_SIZE 0x1000u

struct @ident@ {
    uint32_t start;
    uint32_t value;
    uint32_t interrupt; /* bit 0: INTA is up */
};

static const struct bp_field @ident@_props[] = {
    BP_PROP("start", UINT32, struct @ident@, start, "0", "register value after a reset"),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {
    BP_SAVE(UINT32, struct @ident@, value),
    BP_SAVE(UINT32, struct @ident@, interrupt),
    BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};

BP_USE(pci, struct bp_pci_interface, "pci", 1);

static uint64_t @ident@_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct @ident@ *s = opaque;

    switch (addr) {
    case REG_ID: return ID_VALUE;
    case REG_VALUE: return s->value;
    case REG_INTERRUPT: return s->interrupt;
    default: return 0;
    }
}

static void @ident@_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct @ident@ *s = opaque;

    if (addr == REG_VALUE) {
        s->value = (uint32_t)value;
    } else if (addr == REG_INTERRUPT) {
        s->interrupt = value & 1;
        pci->set_irq(bp_device_of_state(s), s->interrupt != 0);
    }
}

static const struct bp_region_ops @ident@_ops = {
    .size = sizeof(@ident@_ops), .read = @ident@_read, .write = @ident@_write, .min_access = 4,
    .max_access = 4};

/* Use numbers of your own. On a PCI Express bus it is an endpoint of that, elsewhere a conventional function. What
 * else can stand here (MSI, capabilities, a ROM) is in bp/bus/pci.h. */
static const struct bp_pci_info @ident@_pci = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x0001, .class_code = 0x0880,
    .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT,
    .bar[0] = {BP_PCI_BAR_MEM32, BAR_SIZE, "@name@", &@ident@_ops}};

static void @ident@_reset(struct bp_device *dev)
{
    struct @ident@ *s = bp_device_state(dev);

    s->value = s->start;
    s->interrupt = 0;
    pci->set_irq(dev, 0);
}

BP_HOTPLUG_DEVICE(@ident@, "@name@", "pci", "One line of help", struct @ident@, @ident@_props,
                  &@ident@_state, .category = "misc", .bus_info = &@ident@_pci,
                  .reset = @ident@_reset);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
