/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bochs-display: the frame buffer and DISPI registers of the standard VGA (1234:1111) without a VGA. BAR 0
 * is video memory, BAR 2 has EDID at 0000 and the registers at 0500. Drivers for the VBE extension run it.
 * Modes of 4 and 8 bits, which need a VGA's palette, are not there: they stay blank.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/pci.h>

#include "vga.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

struct bochs {
    uint64_t vgamem; /* bytes */
    bool edid_on;
    uint32_t xres, yres, xmax, ymax, refresh_rate;
    struct dispi dispi;
    struct bp_region *vram;
    uint8_t *memory;
    uint32_t vram_size;
    struct bp_console *console;
    struct bp_surface *surface;
    struct bp_surface_options shown;
    uint8_t edid[EDID_SIZE];
};

static void show_nothing(struct bochs *s)
{
    display->set_blank_size(s->console, s->xres, s->yres);
    display->set_surface(s->console, NULL);
}

static void update(void *opaque)
{
    struct bochs *s = opaque;
    struct bp_surface_options o = {.size = sizeof(o), .region = s->vram};
    struct bp_surface *surface;

    if (!dispi_on(&s->dispi) || s->dispi.reg[DISPI_BPP] <= 8) {
        show_nothing(s);
        return;
    }
    dispi_surface(&s->dispi, &o);
    if (!s->surface || memcmp(&o, &s->shown, sizeof(o)) != 0) {
        if (display->surface_new(&o, &surface, NULL) < 0) {
            show_nothing(s);
            return;
        }
        display->surface_unref(s->surface);
        s->surface = surface;
        s->shown = o;
    }
    display->set_surface(s->console, s->surface);
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops), .update = update};

static uint64_t edid_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct bochs *s = opaque;

    (void)size;
    return s->edid_on && addr < EDID_SIZE ? s->edid[addr] : 0;
}

static void edid_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)value;
    (void)size;
}

static const struct bp_region_ops edid_ops = {
    .size = sizeof(edid_ops), .read = edid_read, .write = edid_write, .max_access = 1};

static uint64_t registers_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct bochs *s = opaque;

    (void)size;
    return dispi_read(&s->dispi, (unsigned)addr / 2, s->vram_size);
}

static void registers_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct bochs *s = opaque;
    bool clear;

    (void)size;
    dispi_write(&s->dispi, (unsigned)addr / 2, (uint16_t)value, s->vram_size, &clear);
    if (!clear)
        return;
    memset(s->memory, 0, s->vram_size);
    bp_region_mark_dirty(s->vram, 0, s->vram_size);
}

static const struct bp_region_ops registers_ops = {
    .size = sizeof(registers_ops), .read = registers_read, .write = registers_write, .min_access = 2,
    .max_access = 2};

static void reset(struct bp_device *dev)
{
    struct bochs *s = bp_device_state(dev);

    memset(&s->dispi, 0, sizeof(s->dispi));
    s->dispi.reg[DISPI_ID] = DISPI_ID5;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct bochs *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    const struct edid_wish wish = {.width = s->xres, .height = s->yres, .max_width = s->xmax,
                                   .max_height = s->ymax, .refresh_mhz = s->refresh_rate};
    struct bp_region *bar;
    int ret;

    if (s->vgamem < 4u << 20 || s->vgamem > 256u << 20 || (s->vgamem & (s->vgamem - 1)))
        return bp_fail(err, EINVAL, "Property 'vgamem' expects a power of two from 4M to 256M, not %llu",
                       (unsigned long long)s->vgamem);
    s->vram_size = (uint32_t)s->vgamem;
    edid_make(&wish, s->edid);
    ret = bp_region_new_ram(owner, "bochs-display.vram", s->vram_size, &s->vram, err);
    if (ret < 0)
        return ret;
    s->memory = bp_region_ram(s->vram);
    bar = bp_region_new(owner, "bochs-display.mmio", 4096);
    bp_region_add(bar, bp_region_new_io(owner, "bochs-display.edid", 0x400, &edid_ops, s), 0, 0);
    bp_region_add(bar, bp_region_new_io(owner, "bochs-display.dispi", 0x16, &registers_ops, s), 0x500,
                  0);
    ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, s->vram, err);
    if (ret == 0)
        ret = pci->add_bar(dev, 2, BP_PCI_BAR_MEM32, bar, err);
    if (ret == 0)
        ret = display->console_new(bp_device_object(dev), 0, &console_ops, s, &s->console, err);
    return ret;
}

static void detach(struct bp_device *dev)
{
    struct bochs *s = bp_device_state(dev);

    display->console_free(s->console);
    display->surface_unref(s->surface);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct bochs *s = state;

    (void)version;
    bp_region_mark_dirty(s->vram, 0, s->vram_size);
    return dispi_after_load(&s->dispi, s->vram_size, err);
}

static const struct bp_state_field fields[] = {
    {.name = "dispi", .kind = BP_STATE_STRUCT, .offset = offsetof(struct bochs, dispi), .count = 1,
     .stride = sizeof(struct dispi), .table = &dispi_state},
    BP_SAVE_MEMORY(struct bochs, memory, vram_size), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("vgamem", SIZE, struct bochs, vgamem, "16M", "bytes of video memory"),
    BP_PROP("edid", BOOL, struct bochs, edid_on, "on", "the monitor describes itself"),
    BP_PROP_RANGE("xres", UINT32, struct bochs, xres, "1280", 0, 16000, "preferred width in pixels"),
    BP_PROP_RANGE("yres", UINT32, struct bochs, yres, "800", 0, 12000, "preferred height in pixels"),
    BP_PROP_RANGE("xmax", UINT32, struct bochs, xmax, "0", 0, 16000, "largest width; 0: any"),
    BP_PROP_RANGE("ymax", UINT32, struct bochs, ymax, "0", 0, 12000, "largest height; 0: any"),
    BP_PROP_RANGE("refresh_rate", UINT32, struct bochs, refresh_rate, "0", 0, 400000,
                  "thousandths of a frame per second; 0: 60 Hz"),
    BP_FIELDS_END};

static const struct bp_pci_info info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x1111, .revision = 2,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x0380,
    .express = BP_PCI_EXPRESS_ENDPOINT, .romfile = "vgabios-bochs-display.bin"};

BP_HOTPLUG_DEVICE(bochs_display, "bochs-display", "pci", "Frame buffer with VBE registers, without a VGA",
                  struct bochs, props, &table, .category = "display", .bus_info = &info,
                  .replaces_default = "vga", .attach = attach, .detach = detach, .reset = reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1),
                                           BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-bochs-display", "Frame buffer on PCI", imports, {BP_PROVIDE_DEVICE, &bochs_display});
