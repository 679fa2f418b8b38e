/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The standard VGA as a PCI card, 1234:1111: BAR 0 is video memory, BAR 2 the registers in memory:
 *     0000-03ff  EDID
 *     0400-041f  VGA ports 3c0-3df
 *     0500-0515  VBE DISPI registers, 16 bits each
 *     0600-0607  size of this block; byte order of the frame buffer
 * `VGA` has the legacy ports and the window at a0000 too, `secondary-vga` has not. The byte order is
 * little-endian, and stays so: a guest that writes big-endian there is told in the log.
 */
#include <errno.h>

#include <bp/bus/pci.h>
#include <bp/log.h>

#include "vga.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

#define MMIO_SIZE 4096u
#define LITTLE_ENDIAN_MARK 0x1e1e1e1eu
#define EXTENDED_SIZE 8u

struct vga_pci {
    struct vga vga;
    uint32_t vgamem_mb, xres, yres, xmax, ymax, refresh_rate;
    bool edid_on, mmio, extended, global_state;
    uint8_t edid[EDID_SIZE];
};

static uint64_t edid_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct vga_pci *s = opaque;

    (void)size;
    return s->edid_on && addr < EDID_SIZE ? s->edid[addr] : 0;
}

static void edid_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)size;
    bp_guest_error("vga-edid-write", "VGA: write of 0x%x to EDID at 0x%x", (unsigned)value,
                   (unsigned)addr);
}

static const struct bp_region_ops edid_ops = {
    .size = sizeof(edid_ops), .read = edid_read, .write = edid_write, .max_access = 1};

static uint64_t extended_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)size;
    return addr == 0 ? EXTENDED_SIZE : LITTLE_ENDIAN_MARK;
}

static void extended_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)size;
    if (addr == 4 && value != LITTLE_ENDIAN_MARK)
        bp_guest_error("vga-byte-order", "VGA: byte order 0x%08x is not built, only little-endian",
                       (unsigned)value);
}

static const struct bp_region_ops extended_ops = {
    .size = sizeof(extended_ops), .read = extended_read, .write = extended_write, .min_access = 4,
    .max_access = 4};

static struct bp_region *make_registers(struct vga_pci *s, struct bp_owner *owner)
{
    struct bp_region *bar = bp_region_new(owner, "vga.mmio", MMIO_SIZE);

    bp_region_add(bar, bp_region_new_io(owner, "vga.edid", 0x400, &edid_ops, s), 0, 0);
    bp_region_add(bar, bp_region_new_io(owner, "vga.ports", 0x20, &vga_ports_ops, &s->vga), 0x400, 0);
    bp_region_add(bar, bp_region_new_io(owner, "vga.dispi", 0x16, &vga_dispi_flat_ops, &s->vga), 0x500,
                  0);
    if (s->extended)
        bp_region_add(bar, bp_region_new_io(owner, "vga.extended", EXTENDED_SIZE, &extended_ops, s),
                      0x600, 0);
    return bar;
}

/* The monitor becomes one of that size, for who asks it the next time. */
static int wish(struct vga *vga, const struct bp_ui_info *info)
{
    struct vga_pci *s = (struct vga_pci *)(void *)((char *)vga - offsetof(struct vga_pci, vga));
    const struct edid_wish edid = {.width = info->width, .height = info->height, .max_width = s->xmax,
                                   .max_height = s->ymax, .refresh_mhz = s->refresh_rate};

    if (!s->edid_on)
        return -ENOTSUP;
    if (info->width < 64 || info->height < 64 || (s->xmax && info->width > s->xmax) ||
        (s->ymax && info->height > s->ymax) || (uint64_t)info->width * info->height * 4 > (uint64_t)s->vgamem_mb << 20)
        return -ERANGE;
    edid_make(&edid, s->edid);
    return 0;
}

static int check_properties(const struct vga_pci *s, struct bp_error *err)
{
    int ret = vga_check_memory(s->vgamem_mb, 256, err);

    if (ret < 0)
        return ret;
    if (s->global_state)
        return bp_fail(err, ENOTSUP, "Property 'global-vmstate': saved state of before QEMU 2.1 is not "
                       "built; use global-vmstate=off");
    return 0;
}

static int attach(struct bp_device *dev, bool legacy, struct bp_error *err)
{
    struct vga_pci *s = bp_device_state(dev);
    const struct edid_wish first = {.width = s->xres, .height = s->yres, .max_width = s->xmax,
                                    .max_height = s->ymax, .refresh_mhz = s->refresh_rate};
    int ret = check_properties(s, err);

    vga_display = display;
    edid_make(&first, s->edid);
    s->vga.wish = s->mmio || !legacy ? wish : NULL;
    if (ret == 0)
        ret = vga_init(&s->vga, bp_device_object(dev), s->vgamem_mb << 20, err);
    if (ret < 0)
        return ret;
    ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH, s->vga.vram, err);
    if (ret == 0 && (s->mmio || !legacy))
        ret = pci->add_bar(dev, 2, BP_PCI_BAR_MEM32, make_registers(s, bp_device_owner(dev)), err);
    if (ret < 0) {
        vga_fini(&s->vga);
        return ret;
    }
    if (legacy) {
        vga_add_window(&s->vga, pci->bus_region(dev, false));
        vga_add_ports(&s->vga, pci->bus_region(dev, true));
    }
    return 0;
}

static int vga_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static int secondary_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct vga_pci *)bp_device_state(dev))->vga);
}

static void reset(struct bp_device *dev)
{
    vga_reset(&((struct vga_pci *)bp_device_state(dev))->vga);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return vga_after_load(&((struct vga_pci *)state)->vga, err);
}

static const struct bp_state_field fields[] = {
    {.name = "vga", .kind = BP_STATE_STRUCT, .offset = offsetof(struct vga_pci, vga), .count = 1,
     .stride = sizeof(struct vga), .table = &vga_state},
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load};

#define COMMON_PROPS \
    BP_PROP("vgamem_mb", UINT32, struct vga_pci, vgamem_mb, "16", "MiB of video memory"), \
    BP_PROP("edid", BOOL, struct vga_pci, edid_on, "on", "the monitor describes itself"), \
    BP_PROP_RANGE("xres", UINT32, struct vga_pci, xres, "1280", 0, 16000, "preferred width in pixels"), \
    BP_PROP_RANGE("yres", UINT32, struct vga_pci, yres, "800", 0, 12000, "preferred height in pixels"), \
    BP_PROP_RANGE("xmax", UINT32, struct vga_pci, xmax, "0", 0, 16000, "largest width; 0: any"), \
    BP_PROP_RANGE("ymax", UINT32, struct vga_pci, ymax, "0", 0, 12000, "largest height; 0: any"), \
    BP_PROP_RANGE("refresh_rate", UINT32, struct vga_pci, refresh_rate, "0", 0, 400000, \
                  "thousandths of a frame per second; 0: 60 Hz"), \
    BP_PROP("qemu-extended-regs", BOOL, struct vga_pci, extended, "on", \
            "size and byte order in the registers in memory")

static const struct bp_field vga_props[] = {
    COMMON_PROPS,
    BP_PROP("mmio", BOOL, struct vga_pci, mmio, "on", "registers in memory too (BAR 2)"),
    BP_PROP("global-vmstate", BOOL, struct vga_pci, global_state, "off",
            "saved as before QEMU 2.1; not built"),
    BP_FIELDS_END};
static const struct bp_field secondary_props[] = {COMMON_PROPS, BP_FIELDS_END};

static const struct bp_pci_info vga_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x1111, .revision = 2,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x0300,
    .romfile = "vgabios-stdvga.bin"};
static const struct bp_pci_info secondary_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x1111, .revision = 2,
    .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x0380};

BP_DEVICE(vga_class, "VGA", "pci", "Standard VGA with VBE modes", struct vga_pci, vga_props, &table,
          .category = "display", .bus_info = &vga_info, .replaces_default = "vga",
          .attach = vga_attach, .detach = detach, .reset = reset);
BP_HOTPLUG_DEVICE(secondary_class, "secondary-vga", "pci", "Standard VGA without legacy ports",
                  struct vga_pci, secondary_props, &table, .category = "display",
                  .bus_info = &secondary_info, .attach = secondary_attach, .detach = detach,
                  .reset = reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1),
                                           BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-vga", "Standard VGA on PCI", imports, {BP_PROVIDE_DEVICE, &vga_class},
          {BP_PROVIDE_DEVICE, &secondary_class});
