/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a VGA, whatever bus it sits on. */
#include <errno.h>
#include <string.h>

#include <bp/device.h>

#include "vga.h"

const struct bp_display_interface *vga_display;

/* Memory keeps what it has, as its chips do. */
void vga_reset(struct vga *vga)
{
    vga->misc = vga->feature = 0;
    vga->seq_index = vga->gr_index = vga->crtc_index = vga->attr_index = 0;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->gr, 0, sizeof(vga->gr));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->attr, 0, sizeof(vga->attr));
    memset(vga->dac, 0, sizeof(vga->dac));
    memset(vga->dac_latch, 0, sizeof(vga->dac_latch));
    vga->attr_data = true; /* the next access of 3c0 is an index */
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_part = vga->dac_state = 0;
    vga->latch = 0;
    memset(&vga->dispi, 0, sizeof(vga->dispi));
    vga->dispi.reg[DISPI_ID] = DISPI_ID5;
    vga->dispi.reg[DISPI_BPP] = 8;
    vga_map(vga);
}

int vga_init(struct vga *vga, struct bp_object *obj, uint32_t vram_size, struct bp_error *err)
{
    int ret;

    vga->obj = obj;
    vga->machine = bp_object_machine(obj);
    vga->vram_size = vram_size;
    if (!vga->owner)
        vga->owner = bp_object_owner(obj);
    ret = bp_region_new_ram(vga->owner, "vga.vram", vga->region_size ? vga->region_size : vram_size, &vga->vram, err);
    if (ret < 0)
        return ret;
    vga->memory = bp_region_ram(vga->vram);
    return vga_display->console_new(obj, 0, vga->ops ? vga->ops : &vga_console_ops, vga->ops ? vga->ops_opaque : vga,
                                    &vga->console, err);
}

void vga_fini(struct vga *vga)
{
    vga_display->console_free(vga->console);
    vga_display->surface_unref(vga->surface);
    vga->console = NULL;
    vga->surface = NULL;
}

void vga_add_window(struct vga *vga, struct bp_region *memory)
{
    struct bp_owner *owner = vga->owner;

    vga->window = bp_region_new_io(owner, "vga.window", VGA_WINDOW, &vga_window_ops, vga);
    vga->direct = bp_region_new_alias(owner, "vga.direct", vga->vram, 0, 0x10000);
    bp_region_set_enabled(vga->direct, false);
    bp_region_add(memory, vga->window, 0xa0000, 1);
    bp_region_add(memory, vga->direct, 0xa0000, 2);
}

void vga_add_ports(struct vga *vga, struct bp_region *io)
{
    struct bp_owner *owner = vga->owner;
    static const struct {
        uint16_t port, count;
        const struct bp_region_ops *ops;
    } ranges[] = {{0x3b4, 2, &vga_ports_3b4}, {0x3ba, 1, &vga_ports_3ba}, {0x3c0, 16, &vga_ports_ops},
                  {0x3d4, 2, &vga_ports_3d4}, {0x3da, 1, &vga_ports_3da},
                  {0x1ce, 4, &vga_dispi_index_ops}}; /* last: a chip of its own has none */

    for (unsigned i = 0; i < BP_COUNT(ranges) - (vga->chip != NULL); i++)
        bp_region_add(io, bp_region_new_io(owner, "vga.ports", ranges[i].count, ranges[i].ops, vga),
                      ranges[i].port, 0);
}

int vga_check_memory(uint32_t mib, uint32_t most, struct bp_error *err)
{
    if (mib && mib <= most && !(mib & (mib - 1)))
        return 0;
    return bp_fail(err, EINVAL, "Property 'vgamem_mb' expects 1, 2, 4 ... %u (a power of two), not %u", most, mib);
}

int vga_after_load(struct vga *vga, struct bp_error *err)
{
    int ret = dispi_after_load(&vga->dispi, vga->vram_size, err);

    if (ret < 0)
        return ret;
    bp_region_mark_dirty(vga->vram, 0, vga->vram_size);
    vga_map(vga);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct vga, misc), BP_SAVE(UINT8, struct vga, feature),
    BP_SAVE_RANGE(UINT8, struct vga, seq_index, 0, 7), BP_SAVE_BUFFER(struct vga, seq),
    BP_SAVE_RANGE(UINT8, struct vga, gr_index, 0, 15), BP_SAVE_BUFFER(struct vga, gr),
    BP_SAVE(UINT8, struct vga, crtc_index), BP_SAVE_BUFFER(struct vga, crtc),
    BP_SAVE(UINT8, struct vga, attr_index), BP_SAVE_BUFFER(struct vga, attr),
    BP_SAVE(BOOL, struct vga, attr_data), BP_SAVE(UINT8, struct vga, dac_mask),
    BP_SAVE(UINT8, struct vga, dac_read), BP_SAVE(UINT8, struct vga, dac_write),
    BP_SAVE_RANGE(UINT8, struct vga, dac_part, 0, 2), BP_SAVE(UINT8, struct vga, dac_state),
    BP_SAVE_BUFFER(struct vga, dac_latch), BP_SAVE_BUFFER(struct vga, dac),
    BP_SAVE(UINT32, struct vga, latch),
    {.name = "dispi", .kind = BP_STATE_STRUCT, .offset = offsetof(struct vga, dispi), .count = 1,
     .stride = sizeof(struct dispi), .table = &dispi_state},
    BP_SAVE_MEMORY(struct vga, memory, vram_size), BP_SAVE_END};

const struct bp_state_table vga_state = {.name = "vga", .version = 1, .oldest = 1, .fields = fields};
