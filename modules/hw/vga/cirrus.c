/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers of a CL-GD5446 and its life, whatever bus it sits on. */
#include <errno.h>
#include <string.h>

#include "cirrus.h"

#define KEY 0x12u /* what SR6 reads as, unlocked */
#define LOCKED 0x0fu
#define CHIP_ID 0xb8u /* CR27: CL-GD5446 */
#define WINDOW 0x10000u

static struct cirrus *of(struct vga *vga)
{
    return (struct cirrus *)(void *)((char *)vga - offsetof(struct cirrus, vga));
}

static bool is_unlocked(const struct cirrus *s)
{
    return s->seq[SR_KEY] == KEY;
}

/* ---- where memory is seen ---- */

static void set_banks(struct cirrus *s)
{
    unsigned shift = s->gr[GR_EXTENSIONS] & 0x20 ? 14 : 12;
    struct vga_banks *b = &s->vga.banks;

    b->packed = s->seq[SR_MODE] & SR_MODE_PACKED;
    b->dual = s->gr[GR_EXTENSIONS] & 1;
    b->offset[0] = (uint32_t)s->gr[GR_OFFSET_0] << shift;
    b->offset[1] = (uint32_t)s->gr[GR_OFFSET_1] << shift;
    if (!b->packed) { /* planes: four bytes at each address */
        b->offset[0] >>= 2;
        b->offset[1] >>= 2;
    }
}

void cirrus_map(struct cirrus *s)
{
    unsigned c = s->seq[SR_CONFIGURATION];
    bool high = c & SR_CONFIGURATION_MMIO_HIGH;

    set_banks(s);
    bp_memory_begin();
    vga_map(&s->vga);
    if (s->mmio_low)
        bp_region_set_enabled(s->mmio_low, (c & SR_CONFIGURATION_MMIO) && !high);
    if (s->mmio_high)
        bp_region_set_enabled(s->mmio_high, (c & SR_CONFIGURATION_MMIO) && high);
    if (s->feed_low)
        bp_region_set_enabled(s->feed_low, s->blt_on);
    if (s->feed_linear)
        bp_region_set_enabled(s->feed_linear, s->blt_on);
    bp_memory_commit();
}

/* ---- sequencer ---- */

static bool sequencer_read(struct cirrus *s, uint8_t *ret_value)
{
    unsigned index = s->seq_index & 0x1f;

    if (index < SR_KEY)
        return false;
    if (index == SR_KEY)
        *ret_value = is_unlocked(s) ? KEY : LOCKED;
    else
        *ret_value = is_unlocked(s) ? s->seq[index] : 0xff;
    return true;
}

static bool sequencer_write(struct cirrus *s, uint8_t value)
{
    unsigned index = s->seq_index & 0x1f;

    if (index < SR_KEY)
        return false;
    if (index == SR_KEY) {
        s->seq[SR_KEY] = (value & 0x17) == KEY ? KEY : LOCKED;
        return true;
    }
    if (!is_unlocked(s))
        return true;
    s->seq[index] = value;
    switch (index) {
    case SR_MODE:
    case SR_CONFIGURATION:
        cirrus_map(s);
        break;
    case SR_CURSOR_X: /* the low three bits stand in the index */
        s->cursor_x = (uint16_t)(value << 3 | s->seq_index >> 5);
        cirrus_cursor_move(s);
        break;
    case SR_CURSOR_Y:
        s->cursor_y = (uint16_t)(value << 3 | s->seq_index >> 5);
        cirrus_cursor_move(s);
        break;
    case SR_CURSOR:
        cirrus_cursor_move(s);
        break;
    default:
        break;
    }
    return true;
}

/* ---- graphics controller ---- */

void cirrus_graphics_write(struct cirrus *s, unsigned index, uint8_t value)
{
    static const uint8_t bits[CIRRUS_GRAPHICS] = {
        [0x21] = 0x1f, [0x23] = 0x07, [0x25] = 0x1f, [0x27] = 0x1f,
        [0x2a] = 0x3f, [0x2e] = 0x3f, [0x2f] = 0x1f};
    uint8_t before = s->gr[index];

    s->gr[index] = bits[index] ? value & bits[index] : value;
    if (index == GR_BLT_STATUS) {
        s->gr[index] = (uint8_t)((value & ~BLT_BUSY) | (before & BLT_BUSY));
        if (value & BLT_RESET)
            cirrus_blt_stop(s);
        else if ((value & BLT_START) && !(before & BLT_START))
            cirrus_blt_start(s);
    } else if (index == GR_BLT_DESTINATION + 2 && (s->gr[GR_BLT_STATUS] & BLT_AUTOSTART)) {
        cirrus_blt_start(s);
    } else if (index >= GR_OFFSET_0 && index <= GR_EXTENSIONS) {
        cirrus_map(s);
    }
}

uint8_t cirrus_graphics_read(const struct cirrus *s, unsigned index)
{
    return s->gr[index];
}

static bool graphics_read(struct cirrus *s, uint8_t *ret_value)
{
    unsigned index = s->gr_index & 0x3f;

    if (index <= GR_BIT_MASK && index > GR_FOREGROUND)
        return false;
    if (index <= GR_FOREGROUND && !is_unlocked(s))
        return false;
    *ret_value = is_unlocked(s) ? cirrus_graphics_read(s, index) : 0xff;
    return true;
}

static bool graphics_write(struct cirrus *s, uint8_t value)
{
    unsigned index = s->gr_index & 0x3f;

    if (index <= GR_FOREGROUND) /* four bits are the VGA's, all eight the engine's */
        s->gr[index] = value;
    if (index <= GR_BIT_MASK)
        return false;
    if (is_unlocked(s))
        cirrus_graphics_write(s, index, value);
    return true;
}

/* ---- CRT controller ---- */

static bool crtc_read(struct cirrus *s, uint8_t *ret_value)
{
    unsigned index = s->vga.crtc_index & 0x3f;

    if (index < CR_COUNT)
        return false;
    if (index == 0x22)
        *ret_value = (uint8_t)(s->vga.latch >> 8 * (s->vga.gr[GR_READ_MAP] & 3));
    else if (index == 0x24)
        *ret_value = s->vga.attr_data ? 0x80 : 0;
    else if (index == 0x26)
        *ret_value = s->vga.attr_index;
    else if (!is_unlocked(s) || index >= CIRRUS_CRTC)
        *ret_value = 0xff;
    else
        *ret_value = index == 0x27 ? CHIP_ID : s->cr[index];
    return true;
}

static bool crtc_write(struct cirrus *s, uint8_t value)
{
    unsigned index = s->vga.crtc_index & 0x3f;

    if (index < CR_COUNT)
        return false;
    if (is_unlocked(s) && index < 0x20)
        s->cr[index] = value;
    return true;
}

/* ---- DAC ---- */

static bool hidden_dac(struct cirrus *s, unsigned port)
{
    bool hidden = port == 0x3c6 && s->hidden_count == 4;

    s->hidden_count = hidden || port != 0x3c6 ? 0 : s->hidden_count;
    return hidden;
}

/* The two colours of the pointer take the place of entries of the palette. */
static bool cursor_colour_write(struct cirrus *s, uint8_t value)
{
    struct vga *vga = &s->vga;

    if (!(s->seq[SR_CURSOR] & SR_CURSOR_COLOURS))
        return false;
    vga->dac_latch[vga->dac_part++] = value & 0x3f;
    if (vga->dac_part == 3) {
        vga->dac_part = 0;
        if (vga->dac_write == 0 || vga->dac_write == 15)
            memcpy(s->cursor_dac + (vga->dac_write ? 3 : 0), vga->dac_latch, 3);
        vga->dac_write++;
    }
    return true;
}

/* ---- ports ---- */

static bool port_read(struct vga *vga, unsigned port, uint8_t *ret_value)
{
    struct cirrus *s = of(vga);

    if (hidden_dac(s, port)) {
        *ret_value = s->hidden_dac;
        return true;
    }
    switch (port) {
    case 0x3c4:
        *ret_value = s->seq_index;
        return true;
    case 0x3c5:
        return sequencer_read(s, ret_value);
    case 0x3c6:
        s->hidden_count++;
        return false;
    case 0x3ce:
        *ret_value = s->gr_index;
        return true;
    case 0x3cf:
        return graphics_read(s, ret_value);
    case 0x3b5:
    case 0x3d5:
        return crtc_read(s, ret_value);
    default:
        return false;
    }
}

static bool port_write(struct vga *vga, unsigned port, uint8_t value)
{
    struct cirrus *s = of(vga);

    if (hidden_dac(s, port)) {
        if (is_unlocked(s))
            s->hidden_dac = value;
        return true;
    }
    s->hidden_count = 0;
    switch (port) {
    case 0x3c4:
        s->seq_index = value;
        return false;
    case 0x3c5:
        return sequencer_write(s, value);
    case 0x3c9:
        return cursor_colour_write(s, value);
    case 0x3ce:
        s->gr_index = value;
        return false;
    case 0x3cf:
        return graphics_write(s, value);
    case 0x3b5:
    case 0x3d5:
        return crtc_write(s, value);
    default:
        return false;
    }
}

/* ---- the picture ---- */

static uint32_t format(const struct cirrus *s)
{
    switch (s->seq[SR_MODE] >> 1 & 7) {
    case 0:
        return BP_FORMAT_C8;
    case 1: /* at twice the clock */
    case 3:
        return (s->hidden_dac & 0x8f) == 0x80 ? BP_FORMAT_XRGB1555 : BP_FORMAT_RGB565;
    case 2:
        return BP_FORMAT_RGB888;
    default:
        return BP_FORMAT_XRGB8888;
    }
}

static bool linear(struct vga *vga, struct bp_surface_options *o)
{
    struct cirrus *s = of(vga);
    struct vga_geometry g;

    cirrus_cursor_update(s);
    if (!(s->seq[SR_MODE] & SR_MODE_PACKED) || !(vga->gr[GR_MISC] & 1))
        return false;
    vga_geometry(vga, &g);
    o->format = format(s);
    o->width = g.columns * 8;
    o->repeat_y = (g.doubled ? 2u : 1u) * g.row_lines;
    if (g.lines % o->repeat_y)
        o->repeat_y = 1;
    o->height = g.lines / o->repeat_y;
    o->stride = (vga->crtc[CR_OFFSET] | (s->cr[0x1b] & 0x10u) << 4) * 8;
    o->offset = 4 * (uint64_t)((uint32_t)vga->crtc[CR_START_HIGH] << 8 | vga->crtc[CR_START_LOW] |
                               (s->cr[0x1b] & 1u) << 16 | (s->cr[0x1b] & 0x0cu) << 15 |
                               (s->cr[0x1d] & 0x80u) << 12);
    return true;
}

const struct vga_chip cirrus_chip = {
    .port_read = port_read, .port_write = port_write, .linear = linear};

/* ---- life ---- */

int cirrus_init(struct cirrus *s, struct bp_object *obj, uint32_t vgamem_mb, struct bp_error *err)
{
    int ret = vga_check_memory(vgamem_mb, 16, err);

    s->vga.chip = &cirrus_chip;
    return ret < 0 ? ret : vga_init(&s->vga, obj, vgamem_mb << 20, err);
}

void cirrus_add_legacy(struct cirrus *s, struct bp_region *memory, struct bp_region *io)
{
    struct bp_owner *owner = s->vga.owner;

    vga_add_window(&s->vga, memory);
    vga_add_ports(&s->vga, io);
    s->mmio_low = bp_region_new_io(owner, "cirrus.blt-registers", 0x100, &cirrus_mmio_ops, s);
    s->feed_low = bp_region_new_io(owner, "cirrus.blt-source", WINDOW, &cirrus_feed_ops, s);
    bp_region_set_enabled(s->mmio_low, false);
    bp_region_set_enabled(s->feed_low, false);
    bp_region_add(memory, s->feed_low, 0xa0000, 3);
    bp_region_add(memory, s->mmio_low, 0xb8000, 4);
}

void cirrus_reset(struct cirrus *s)
{
    uint32_t mib = s->vga.vram_size >> 20;

    memset(s->seq, 0, sizeof(s->seq));
    memset(s->gr, 0, sizeof(s->gr));
    memset(s->cr, 0, sizeof(s->cr));
    memset(s->cursor_dac, 0, sizeof(s->cursor_dac));
    s->seq[SR_KEY] = LOCKED;
    /* Width of the memory's data, and whether there are two banks. */
    s->seq[SR_DRAM] = mib >= 4 ? 0x98 : mib == 2 ? 0x18 : 0x10;
    s->seq[SR_CONFIGURATION] = 0x20; /* a PCI bus */
    s->seq_index = s->gr_index = s->hidden_dac = s->hidden_count = s->blt_on = 0;
    s->cursor_x = s->cursor_y = 0;
    vga_reset(&s->vga);
    cirrus_map(s);
    cirrus_cursor_move(s);
}

int cirrus_after_load(struct cirrus *s, struct bp_error *err)
{
    int ret = vga_after_load(&s->vga, err);

    if (ret < 0)
        return ret;
    if (dispi_on(&s->vga.dispi))
        return bp_fail(err, EINVAL,
                       "cirrus: the saved state has a VBE mode, which the chip has not");
    if (!s->blt_on)
        s->gr[GR_BLT_STATUS] &= (uint8_t) ~(BLT_BUSY | BLT_START);
    cirrus_map(s);
    cirrus_cursor_move(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    {.name = "vga",
     .kind = BP_STATE_STRUCT,
     .offset = offsetof(struct cirrus, vga),
     .count = 1,
     .stride = sizeof(struct vga),
     .table = &vga_state},
    BP_SAVE(UINT8, struct cirrus, seq_index),
    BP_SAVE(UINT8, struct cirrus, gr_index),
    BP_SAVE_BUFFER(struct cirrus, seq),
    BP_SAVE_BUFFER(struct cirrus, gr),
    BP_SAVE_BUFFER(struct cirrus, cr),
    BP_SAVE(UINT8, struct cirrus, hidden_dac),
    BP_SAVE_RANGE(UINT8, struct cirrus, hidden_count, 0, 4),
    BP_SAVE_BUFFER(struct cirrus, cursor_dac),
    BP_SAVE_RANGE(UINT16, struct cirrus, cursor_x, 0, 0x7ff),
    BP_SAVE_RANGE(UINT16, struct cirrus, cursor_y, 0, 0x7ff),
    BP_SAVE_RANGE(UINT8, struct cirrus, blt_on, 0, 1),
    BP_SAVE_BUFFER(struct cirrus, blt_gr),
    BP_SAVE_RANGE(UINT32, struct cirrus, blt_row, 0, 2047),
    BP_SAVE_RANGE(UINT32, struct cirrus, blt_have, 0, BLT_MOST_WIDTH + 3),
    BP_SAVE_BUFFER(struct cirrus, blt_line),
    BP_SAVE_END};

const struct bp_state_table cirrus_state = {
    .name = "cirrus", .version = 1, .oldest = 1, .fields = fields};
