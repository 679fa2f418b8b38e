/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The DISPI registers of a VGA: at their ports and side by side in memory, and what they do to it. */
#include <string.h>

#include "vga.h"

uint16_t vga_dispi_read(struct vga *vga, unsigned index)
{
    return dispi_read(&vga->dispi, index, vga->vram_size);
}

void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value)
{
    bool clear;

    if (!dispi_write(&vga->dispi, index, value, vga->vram_size, &clear))
        return;
    if (clear) {
        memset(vga->memory, 0, vga->vram_size);
        bp_region_mark_dirty(vga->vram, 0, vga->vram_size);
    }
    if (dispi_on(&vga->dispi)) /* the window is that of graphics modes, 64 KiB */
        vga->gr[GR_MISC] = (vga->gr[GR_MISC] & ~0x0c) | 0x05;
    vga_map(vga);
}

static uint64_t index_read(void *opaque, uint64_t addr, unsigned size)
{
    struct vga *vga = opaque;

    (void)size;
    return addr == 0 ? vga->dispi.index : vga_dispi_read(vga, vga->dispi.index);
}

static void index_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct vga *vga = opaque;

    (void)size;
    if (addr == 0)
        vga->dispi.index = (uint16_t)value;
    else
        vga_dispi_write(vga, vga->dispi.index, (uint16_t)value);
}

/* Two ports of 16 bits that stand side by side: 1ce and 1cf. The data is at 1d0 too, for those that are
 * strict about alignment. */
const struct bp_region_ops vga_dispi_index_ops = {
    .size = sizeof(vga_dispi_index_ops), .read = index_read, .write = index_write, .min_access = 1,
    .max_access = 2, .unaligned = 1};

static uint64_t flat_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return vga_dispi_read(opaque, (unsigned)addr / 2);
}

static void flat_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    vga_dispi_write(opaque, (unsigned)addr / 2, (uint16_t)value);
}

const struct bp_region_ops vga_dispi_flat_ops = {
    .size = sizeof(vga_dispi_flat_ops), .read = flat_read, .write = flat_write, .min_access = 2,
    .max_access = 2};
