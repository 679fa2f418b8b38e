/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmware-svga: 15ad:0405. BAR 0: ports, BAR 1: the frame buffer, which is the VGA's memory, BAR 2:
 * the FIFO. */
#include <errno.h>
#include <string.h>

#include "vmware.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

const struct bp_pci_interface *const *const svga_pci = &pci;

/* ---- the picture ---- */

static void set_palette(const struct svga *s)
{
    uint32_t colours[256];

    for (unsigned i = 0; i < 256; i++)
        colours[i] = (uint32_t)s->palette[3 * i] << 16 | (uint32_t)s->palette[3 * i + 1] << 8 |
                     s->palette[3 * i + 2];
    display->surface_set_palette(s->vga.surface, colours);
}

static uint32_t format(const struct svga *s)
{
    switch (s->bpp) {
    case 8:
        return BP_FORMAT_C8;
    case 15:
        return BP_FORMAT_XRGB1555;
    case 16:
        return BP_FORMAT_RGB565;
    case 24:
        return BP_FORMAT_RGB888;
    default:
        return BP_FORMAT_XRGB8888;
    }
}

static void update(void *opaque)
{
    struct svga *s = opaque;
    struct bp_surface_options o = {.size = sizeof(o), .region = s->vga.vram};

    svga_fifo_run(s);
    svga_fifo_pointer(s);
    if (!svga_is_shown(s)) {
        vga_console_ops.update(&s->vga);
        return;
    }
    o.format = format(s);
    o.width = s->width;
    o.height = s->height;
    o.stride = svga_pitch(s);
    if (!vga_need_surface(&s->vga, &o)) {
        display->set_blank_size(s->vga.console, o.width, o.height);
        display->set_surface(s->vga.console, NULL);
        return;
    }
    if (s->bpp == 8)
        set_palette(s);
    display->set_surface(s->vga.console, s->vga.surface);
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops), .update = update};

/* ---- life ---- */

static int add_bars(struct bp_device *dev, struct svga *s, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(dev);
    int ret =
        pci->add_bar(dev, 0, BP_PCI_BAR_IO,
                     bp_region_new_io(owner, "vmware-svga.ports", 16, &svga_port_ops, s), err);

    if (ret == 0)
        ret = pci->add_bar(dev, 1, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, s->vga.vram, err);
    if (ret == 0)
        ret = pci->add_bar(dev, 2, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, s->fifo_region, err);
    return ret;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct svga *s = bp_device_state(dev);
    int ret = vga_check_memory(s->vgamem_mb, 256, err);

    if (ret < 0)
        return ret;
    vga_display = display;
    s->dev = dev;
    s->vga.ops = &console_ops;
    s->vga.ops_opaque = s;
    s->fifo_size = FIFO_SIZE;
    ret = bp_region_new_ram(bp_device_owner(dev), "vmware-svga.fifo", FIFO_SIZE, &s->fifo_region,
                            err);
    if (ret < 0)
        return ret;
    s->fifo = bp_region_ram(s->fifo_region);
    ret = vga_init(&s->vga, bp_device_object(dev), s->vgamem_mb << 20, err);
    if (ret < 0)
        return ret;
    ret = add_bars(dev, s, err);
    if (ret < 0) {
        vga_fini(&s->vga);
        return ret;
    }
    vga_add_window(&s->vga, pci->bus_region(dev, false));
    vga_add_ports(&s->vga, pci->bus_region(dev, true));
    return 0;
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct svga *)bp_device_state(dev))->vga);
}

static void reset(struct bp_device *dev)
{
    struct svga *s = bp_device_state(dev);

    vga_reset(&s->vga);
    svga_reset_registers(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct svga *s = state;
    int ret = vga_after_load(&s->vga, err);

    (void)version;
    if (ret < 0)
        return ret;
    if (!svga_bpp_is_known(s->bpp))
        return bp_fail(err, EINVAL, "vmware-svga: saved pixels of %u bits", s->bpp);
    bp_region_mark_dirty(s->fifo_region, 0, s->fifo_size);
    svga_move_pointer(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    {.name = "vga",
     .kind = BP_STATE_STRUCT,
     .offset = offsetof(struct svga, vga),
     .count = 1,
     .stride = sizeof(struct vga),
     .table = &vga_state},
    BP_SAVE(UINT32, struct svga, index),
    BP_SAVE(UINT32, struct svga, id),
    BP_SAVE_RANGE(UINT32, struct svga, enable, 0, 3),
    BP_SAVE_RANGE(UINT32, struct svga, config_done, 0, 1),
    BP_SAVE_RANGE(UINT32, struct svga, width, 1, SVGA_MAX_SIZE),
    BP_SAVE_RANGE(UINT32, struct svga, height, 1, SVGA_MAX_SIZE),
    BP_SAVE(UINT32, struct svga, bpp),
    BP_SAVE(UINT32, struct svga, guest_id),
    BP_SAVE(UINT32, struct svga, pitchlock),
    BP_SAVE_RANGE(UINT32, struct svga, irq_mask, 0, 7),
    BP_SAVE_RANGE(UINT32, struct svga, irq_status, 0, 7),
    BP_SAVE(UINT32, struct svga, traces),
    BP_SAVE(UINT32, struct svga, cursor_id),
    BP_SAVE(UINT32, struct svga, cursor_x),
    BP_SAVE(UINT32, struct svga, cursor_y),
    BP_SAVE(UINT32, struct svga, cursor_on),
    BP_SAVE(UINT32, struct svga, cursor_count),
    BP_SAVE_ARRAY(UINT32, struct svga, scratch),
    BP_SAVE_BUFFER(struct svga, palette),
    BP_SAVE_MEMORY(struct svga, fifo, fifo_size),
    BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("vgamem_mb", UINT32, struct svga, vgamem_mb, "16", "MiB of video memory"),
    BP_FIELDS_END};

static const struct bp_pci_info info = {.size = sizeof(struct bp_pci_info),
                                        .vendor = 0x15ad,
                                        .device = 0x0405,
                                        .subsystem_vendor = 0x15ad,
                                        .subsystem = 0x0405,
                                        .class_code = 0x0300,
                                        .interrupt_pin = 1,
                                        .romfile = "vgabios-vmware.bin"};

BP_DEVICE(svga_class, "vmware-svga", "pci", "VMware SVGA II, 2D", struct svga, props, &table,
          .category = "display", .bus_info = &info, .replaces_default = "vga", .attach = attach,
          .detach = detach, .reset = reset);

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-vmware-svga", "VMware SVGA II", imports, {BP_PROVIDE_DEVICE, &svga_class});
