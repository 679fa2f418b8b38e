/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The standard VGA on the ISA bus: the legacy ports and window, the DISPI ports, and the linear frame
 * buffer at e0000000, where the extension of old has it.
 */
#include <errno.h>

#include <bp/bus/isa.h>
#include <bp/level.h>

#include "vga.h"

BP_USE(display, struct bp_display_interface, "display", 1);

#define FRAME_BUFFER 0xe0000000u

struct vga_isa {
    struct vga vga;
    uint32_t vgamem_mb;
};

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct vga_isa *s = bp_device_state(dev);
    struct bp_region *memory = bp_space_root(bp_device_memory(dev));
    int ret;

    vga_display = display;
    ret = vga_check_memory(s->vgamem_mb, 256, err);
    if (ret == 0)
        ret = vga_init(&s->vga, bp_device_object(dev), s->vgamem_mb << 20, err);
    if (ret < 0)
        return ret;
    vga_add_window(&s->vga, memory);
    vga_add_ports(&s->vga, bp_space_root(bp_device_io(dev)));
    bp_region_add(memory, s->vga.vram, FRAME_BUFFER, 0);
    return 0;
}

static void detach(struct bp_device *dev)
{
    vga_fini(&((struct vga_isa *)bp_device_state(dev))->vga);
}

static void reset(struct bp_device *dev)
{
    vga_reset(&((struct vga_isa *)bp_device_state(dev))->vga);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return vga_after_load(&((struct vga_isa *)state)->vga, err);
}

static const struct bp_state_field fields[] = {
    {.name = "vga", .kind = BP_STATE_STRUCT, .offset = offsetof(struct vga_isa, vga), .count = 1,
     .stride = sizeof(struct vga), .table = &vga_state},
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields,
                                            .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("vgamem_mb", UINT32, struct vga_isa, vgamem_mb, "8", "MiB of video memory"), BP_FIELDS_END};

BP_DEVICE(isa_vga, "isa-vga", "isa", "Standard VGA with VBE modes on ISA", struct vga_isa, props, &table,
          .category = "display", .replaces_default = "vga", .attach = attach, .detach = detach,
          .reset = reset);

static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("hw-vga-isa", "Standard VGA on ISA", imports, {BP_PROVIDE_DEVICE, &isa_vga});
