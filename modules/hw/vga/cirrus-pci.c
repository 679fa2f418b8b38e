/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cirrus-vga: a CL-GD5446 on PCI, 1013:00b8. BAR 0: 32 MiB, with video memory at 0 and what feeds
 * the BitBLT engine from 16 MiB on. BAR 1: VGA ports 3c0 to 3df at 0, the engine's registers at
 * 100.
 */
#include <errno.h>

#include <bp/bus/pci.h>

#include "cirrus.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

#define APERTURE (32u << 20)
#define FEED_AT (16u << 20)

struct cirrus_pci {
    struct cirrus chip;
    uint32_t vgamem_mb;
};

static struct bp_region *make_aperture(struct cirrus *s)
{
    struct bp_owner *owner = s->vga.owner;
    struct bp_region *bar = bp_region_new(owner, "cirrus.aperture", APERTURE);

    s->feed_linear =
        bp_region_new_io(owner, "cirrus.blt-source", s->vga.vram_size, &cirrus_feed_ops, s);
    s->mmio_high = bp_region_new_io(owner, "cirrus.blt-registers", 0x100, &cirrus_mmio_ops, s);
    bp_region_set_enabled(s->feed_linear, false);
    bp_region_set_enabled(s->mmio_high, false);
    bp_region_add(bar, s->vga.vram, 0, 0);
    bp_region_add(bar, s->feed_linear, 0, 1);
    bp_region_add(bar, s->mmio_high, cirrus_memory(s) - 0x100, 2);
    bp_region_add(
        bar, bp_region_new_io(owner, "cirrus.blt-feed", APERTURE - FEED_AT, &cirrus_feed_ops, s),
        FEED_AT, 0);
    return bar;
}

static struct bp_region *make_registers(struct cirrus *s)
{
    struct bp_region *bar = bp_region_new(s->vga.owner, "cirrus.registers", 0x1000);

    bp_region_add(bar, bp_region_new_io(s->vga.owner, "vga.ports", 0x20, &vga_ports_ops, &s->vga),
                  0, 0);
    bp_region_add(
        bar, bp_region_new_io(s->vga.owner, "cirrus.blt-registers", 0x100, &cirrus_mmio_ops, s),
        0x100, 0);
    return bar;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct cirrus_pci *s = bp_device_state(dev);
    int ret;

    vga_display = display;
    ret = cirrus_init(&s->chip, bp_device_object(dev), s->vgamem_mb, err);
    if (ret < 0)
        return ret;
    ret =
        pci->add_bar(dev, 0, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, make_aperture(&s->chip), err);
    if (ret == 0)
        ret = pci->add_bar(dev, 1, BP_PCI_BAR_MEM32, make_registers(&s->chip), err);
    if (ret < 0) {
        vga_fini(&s->chip.vga);
        return ret;
    }
    cirrus_add_legacy(&s->chip, pci->bus_region(dev, false), pci->bus_region(dev, true));
    return 0;
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct cirrus_pci *)bp_device_state(dev))->chip.vga);
}

static void reset(struct bp_device *dev)
{
    cirrus_reset(&((struct cirrus_pci *)bp_device_state(dev))->chip);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return cirrus_after_load(&((struct cirrus_pci *)state)->chip, err);
}

static const struct bp_state_field fields[] = {{.name = "chip",
                                                .kind = BP_STATE_STRUCT,
                                                .offset = offsetof(struct cirrus_pci, chip),
                                                .count = 1,
                                                .stride = sizeof(struct cirrus),
                                                .table = &cirrus_state},
                                               BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {BP_PROP("vgamem_mb", UINT32, struct cirrus_pci, vgamem_mb,
                                                "4", "MiB of video memory; the chip knows 4"),
                                        BP_FIELDS_END};

/* The subsystem is the one of emulated cards, by which Linux's driver knows that it may drive this
 * one. */
static const struct bp_pci_info info = {.size = sizeof(struct bp_pci_info),
                                        .vendor = 0x1013,
                                        .device = 0x00b8,
                                        .subsystem_vendor = 0x1af4,
                                        .subsystem = 0x1100,
                                        .class_code = 0x0300,
                                        .romfile = "vgabios-cirrus.bin"};

BP_DEVICE(cirrus_class, "cirrus-vga", "pci", "Cirrus Logic CL-GD5446 VGA", struct cirrus_pci, props,
          &table, .category = "display", .bus_info = &info, .replaces_default = "vga",
          .attach = attach, .detach = detach, .reset = reset);

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-cirrus-vga", "Cirrus Logic CL-GD5446 on PCI", imports,
          {BP_PROVIDE_DEVICE, &cirrus_class});
