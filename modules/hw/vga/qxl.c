/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qxl-vga and qxl (without a VGA): 1b36:0100. BAR 0: RAM, BAR 1: RAM of surfaces, BAR 2: ROM, BAR
 * 3: ports. */
#include <errno.h>
#include <string.h>

#include <bp/loop.h>

#include "qxl.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(display, struct bp_display_interface, "display", 1);

const struct bp_pci_interface *const *const qxl_pci = &pci;

#define PORTS 32u

/* ---- the picture ---- */

/* The part of the primary surface that is shown. */
static QXLURect visible(const struct qxl *s)
{
    const struct qxl_surface *u = &s->surfaces[0];
    const uint32_t *h = s->head;

    if (h[2] && h[3] && (uint64_t)h[0] + h[2] <= u->width && (uint64_t)h[1] + h[3] <= u->height)
        return (QXLURect){.left = h[0], .top = h[1], .right = h[0] + h[2], .bottom = h[1] + h[3]};
    return (QXLURect){.right = u->width, .bottom = u->height};
}

/* Lines from below: redrawn. */
static void show_copy(struct qxl *s, struct bp_surface_options *o, const QXLURect *part)
{
    const struct qxl_surface *u = &s->surfaces[0];
    uint32_t stride;
    uint8_t *to;

    o->region = NULL;
    o->format = BP_FORMAT_XRGB8888;
    o->stride = 0;
    o->offset = 0;
    if (!vga_need_surface(&s->vga, o))
        return;
    to = display->surface_data(s->vga.surface, &stride);
    for (uint32_t y = 0; y < o->height; y++) {
        const uint8_t *line = qxl_line(s, u, part->top + y);

        for (uint32_t x = 0; x < o->width; x++) {
            uint32_t colour = qxl_get(line, part->left + x, u->format);

            memcpy(to + (size_t)y * stride + 4 * (size_t)x, &colour, 4);
        }
    }
    display->set_surface(s->vga.console, s->vga.surface);
    display->damage(s->vga.console, 0, 0, o->width, o->height);
}

static void show_primary(struct qxl *s)
{
    const struct qxl_surface *u = &s->surfaces[0];
    QXLURect part = visible(s);
    struct bp_surface_options o = {
        .size = sizeof(o), .width = part.right - part.left, .height = part.bottom - part.top};

    o.format = u->format == SPICE_SURFACE_FMT_16_555   ? BP_FORMAT_XRGB1555
               : u->format == SPICE_SURFACE_FMT_16_565 ? BP_FORMAT_RGB565
                                                       : BP_FORMAT_XRGB8888;
    if (u->stride < 0) {
        show_copy(s, &o, &part);
        return;
    }
    o.region = u->vram ? s->vram_region : s->vga.vram;
    o.stride = (uint32_t)u->stride;
    o.offset =
        u->offset + (uint64_t)part.top * o.stride + (uint64_t)part.left * qxl_bytes(u->format);
    if (vga_need_surface(&s->vga, &o))
        display->set_surface(s->vga.console, s->vga.surface);
}

static void update(void *opaque)
{
    struct qxl *s = opaque;

    if (s->surfaces[0].format)
        show_primary(s);
    else if (s->has_vga)
        vga_console_ops.update(&s->vga);
    else
        display->set_surface(s->vga.console, NULL);
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops), .update = update};

/* ---- life ---- */

static int check_size(const char *name, uint64_t size, struct bp_error *err)
{
    if (size >= 1u << 20 && size <= 512u << 20 && !(size & (size - 1)))
        return 0;
    return bp_fail(err, EINVAL,
                   "Property '%s' expects a power of two from 1 to 512 MiB, not %llu bytes", name,
                   (unsigned long long)size);
}

static int check_properties(struct qxl *s, struct bp_error *err)
{
    int ret = vga_check_memory(s->vgamem_mb, 256, err);

    if (s->ram_size_mb != UINT32_MAX)
        s->ram_size = (uint64_t)s->ram_size_mb << 20;
    if (s->vram_size_mb != UINT32_MAX)
        s->vram_size = (uint64_t)s->vram_size_mb << 20;
    if (ret == 0)
        ret = check_size("ram_size", s->ram_size, err);
    if (ret == 0)
        ret = check_size("vram_size", s->vram_size, err);
    if (ret < 0)
        return ret;
    if (s->ram_size < (uint64_t)s->vgamem_mb << 21)
        return bp_fail(err, EINVAL,
                       "Property 'ram_size' expects at least twice 'vgamem_mb', not %llu bytes",
                       (unsigned long long)s->ram_size);
    if (s->vram64_size_mb && s->vram64_size_mb != UINT32_MAX &&
        (uint64_t)s->vram64_size_mb << 20 > s->vram_size)
        return bp_fail(err, ENOTSUP,
                       "Property 'vram64_size_mb': a BAR of 64 bits is not built; use vram_size");
    if (s->max_outputs > 1)
        return bp_fail(err, ENOTSUP,
                       "Property 'max_outputs': one screen is built; add 'qxl' devices for more");
    return 0;
}

static void run_later(void *opaque)
{
    qxl_run(opaque);
}

static int make_memory(struct bp_device *dev, struct qxl *s, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(dev);
    int ret = bp_region_new_ram(owner, "qxl.vram", s->vram_size, &s->vram_region, err);

    if (ret == 0)
        ret = bp_region_new_rom(owner, "qxl.rom", QXL_ROM_SIZE, NULL, NULL, &s->rom_region, err);
    s->vga.region_size = s->ram_size;
    if (ret == 0)
        ret = vga_init(&s->vga, bp_device_object(dev), s->vgamem_mb << 20, err);
    if (ret < 0)
        return ret;
    s->vram = bp_region_ram(s->vram_region);
    s->rom = bp_region_ram(s->rom_region);
    s->rest = s->vga.memory + s->vga.vram_size;
    s->rest_size = s->ram_size - s->vga.vram_size;
    qxl_rom_fill(s);
    s->ram = (struct QXLRam *)(void *)(s->vga.memory + s->rom->ram_header_offset);
    s->later = bp_deferred_new(owner, bp_context_main(bp_object_machine(bp_device_object(dev))),
                               run_later, s);
    return 0;
}

static int attach(struct bp_device *dev, bool has_vga, struct bp_error *err)
{
    struct qxl *s = bp_device_state(dev);
    int ret = check_properties(s, err);

    vga_display = display;
    s->dev = dev;
    s->has_vga = has_vga;
    s->vga.ops = &console_ops;
    s->vga.ops_opaque = s;
    if (ret == 0)
        ret = make_memory(dev, s, err);
    if (ret < 0)
        return ret;
    pci->config(dev)[8] = (uint8_t)s->revision;
    ret = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32, s->vga.vram, err);
    if (ret == 0)
        ret = pci->add_bar(dev, 1, BP_PCI_BAR_MEM32, s->vram_region, err);
    if (ret == 0)
        ret = pci->add_bar(dev, 2, BP_PCI_BAR_MEM32, s->rom_region, err);
    if (ret == 0)
        ret = pci->add_bar(
            dev, 3, BP_PCI_BAR_IO,
            bp_region_new_io(bp_device_owner(dev), "qxl.ports", PORTS, &qxl_port_ops, s), err);
    if (ret < 0) {
        vga_fini(&s->vga);
        return ret;
    }
    if (has_vga) {
        vga_add_window(&s->vga, pci->bus_region(dev, false));
        vga_add_ports(&s->vga, pci->bus_region(dev, true));
    }
    return 0;
}

static int vga_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static int plain_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct qxl *)bp_device_state(dev))->vga);
}

static void reset(struct bp_device *dev)
{
    struct qxl *s = bp_device_state(dev);

    s->generation = 0;
    vga_reset(&s->vga);
    qxl_forget(s);
}

/* ---- state ---- */

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct qxl *s = state;
    int ret = vga_after_load(&s->vga, err);

    (void)version;
    if (ret < 0)
        return ret;
    for (unsigned i = 0; i < QXL_SLOTS; i++) {
        const struct qxl_slot *slot = &s->slots[i];

        if (slot->vram > 1 ||
            (uint64_t)slot->offset + slot->size > (slot->vram ? s->vram_size : s->ram_size))
            return bp_fail(err, EINVAL, "qxl: saved slot %u lies outside of memory", i);
    }
    for (unsigned i = 0; i < QXL_SURFACES; i++)
        if (s->surfaces[i].format && !qxl_surface_is_sound(s, &s->surfaces[i]))
            return bp_fail(err, EINVAL, "qxl: saved surface %u makes no sense", i);
    qxl_rom_fill(s);
    bp_region_mark_dirty(s->vga.vram, 0, s->ram_size);
    bp_region_mark_dirty(s->vram_region, 0, s->vram_size);
    display->move_pointer(s->vga.console, s->pointer_x, s->pointer_y, s->pointer_on);
    qxl_interrupt(s, 0);
    return 0;
}

static const struct bp_state_field slot_fields[] = {
    BP_SAVE_RANGE(UINT8, struct qxl_slot, on, 0, 1), BP_SAVE(UINT8, struct qxl_slot, vram),
    BP_SAVE(UINT8, struct qxl_slot, generation),     BP_SAVE(UINT32, struct qxl_slot, offset),
    BP_SAVE(UINT32, struct qxl_slot, size),          BP_SAVE_END};
static const struct bp_state_table slot_table = {
    .name = "qxl-slot", .version = 1, .oldest = 1, .fields = slot_fields};
static const struct bp_state_field surface_fields[] = {BP_SAVE(UINT32, struct qxl_surface, format),
                                                       BP_SAVE(UINT32, struct qxl_surface, width),
                                                       BP_SAVE(UINT32, struct qxl_surface, height),
                                                       BP_SAVE(UINT32, struct qxl_surface, stride),
                                                       BP_SAVE(UINT32, struct qxl_surface, vram),
                                                       BP_SAVE(UINT32, struct qxl_surface, offset),
                                                       BP_SAVE_END};
static const struct bp_state_table surface_table = {
    .name = "qxl-surface", .version = 1, .oldest = 1, .fields = surface_fields};
static const struct bp_state_field fields[] = {
    {.name = "vga",
     .kind = BP_STATE_STRUCT,
     .offset = offsetof(struct qxl, vga),
     .count = 1,
     .stride = sizeof(struct vga),
     .table = &vga_state},
    BP_SAVE_STRUCTS(struct qxl, slots, &slot_table),
    BP_SAVE_STRUCTS(struct qxl, surfaces, &surface_table),
    BP_SAVE_ARRAY(UINT32, struct qxl, head),
    BP_SAVE(UINT64, struct qxl, released),
    BP_SAVE(UINT8, struct qxl, generation),
    BP_SAVE(UINT32, struct qxl, pointer_x),
    BP_SAVE(UINT32, struct qxl, pointer_y),
    BP_SAVE(UINT8, struct qxl, pointer_on),
    BP_SAVE_MEMORY(struct qxl, rest, rest_size),
    BP_SAVE_MEMORY(struct qxl, vram, vram_size),
    BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

/* ---- the classes ---- */

static const struct bp_field props[] = {
    BP_PROP("ram_size", SIZE, struct qxl, ram_size, "64M",
            "bytes of RAM: primary surface, commands"),
    BP_PROP("vram_size", SIZE, struct qxl, vram_size, "64M", "bytes of RAM for surfaces"),
    BP_PROP("ram_size_mb", UINT32, struct qxl, ram_size_mb, "4294967295",
            "the same as ram_size in MiB"),
    BP_PROP("vram_size_mb", UINT32, struct qxl, vram_size_mb, "4294967295",
            "the same as vram_size in MiB"),
    BP_PROP("vram64_size_mb", UINT32, struct qxl, vram64_size_mb, "4294967295",
            "MiB of a BAR of 64 bits; not built"),
    BP_PROP("vgamem_mb", UINT32, struct qxl, vgamem_mb, "16",
            "MiB of the VGA's and the primary surface's memory"),
    BP_PROP_RANGE("revision", UINT32, struct qxl, revision, "4", 4, 5,
                  "of the device, as drivers see it"),
    BP_PROP("max_outputs", UINT32, struct qxl, max_outputs, "0", "screens at most; one is built"),
    BP_FIELDS_END};

static const struct bp_pci_info vga_info = {.size = sizeof(struct bp_pci_info),
                                            .vendor = REDHAT_PCI_VENDOR_ID,
                                            .device = QXL_DEVICE_ID_STABLE,
                                            .revision = 4,
                                            .subsystem_vendor = 0x1af4,
                                            .subsystem = 0x1100,
                                            .class_code = 0x0300,
                                            .interrupt_pin = 1,
                                            .romfile = "vgabios-qxl.bin"};
static const struct bp_pci_info plain_info = {.size = sizeof(struct bp_pci_info),
                                              .vendor = REDHAT_PCI_VENDOR_ID,
                                              .device = QXL_DEVICE_ID_STABLE,
                                              .revision = 4,
                                              .subsystem_vendor = 0x1af4,
                                              .subsystem = 0x1100,
                                              .class_code = 0x0380,
                                              .interrupt_pin = 1};

BP_DEVICE(qxl_vga, "qxl-vga", "pci", "QXL graphics with a VGA", struct qxl, props, &table,
          .category = "display", .bus_info = &vga_info, .replaces_default = "vga",
          .attach = vga_attach, .detach = detach, .reset = reset);
BP_DEVICE(qxl_plain, "qxl", "pci", "QXL graphics, for further screens", struct qxl, props, &table,
          .category = "display", .bus_info = &plain_info, .attach = plain_attach, .detach = detach,
          .reset = reset);

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-qxl", "QXL graphics", imports, {BP_PROVIDE_DEVICE, &qxl_vga},
          {BP_PROVIDE_DEVICE, &qxl_plain});
