/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a VGA shows: linear VBE modes straight from video memory, text as cells, and the graphics modes
 * drawn as the CRT and attribute controllers would (technical reference, "CRT controller"; memory address
 * counter, row scan counter, line compare, panning).
 */
#include <errno.h>
#include <string.h>

#include "vga.h"

/* ---- colours ---- */

uint32_t vga_colour(const struct vga *vga, unsigned index)
{
    const uint8_t *rgb = vga->dac + 3 * (index & vga->dac_mask & 0xff);
    uint32_t colour = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint8_t v = rgb[i];

        if (!(dispi_on(&vga->dispi) && (vga->dispi.reg[DISPI_ENABLE] & DISPI_8BIT_DAC)))
            v = (uint8_t)((v & 0x3f) << 2 | (v & 0x3f) >> 4);
        colour = colour << 8 | v;
    }
    return colour;
}

unsigned vga_attribute(const struct vga *vga, unsigned colour)
{
    unsigned index = vga->attr[colour & vga->attr[AR_PLANES] & 15], select = vga->attr[AR_COLOUR_SELECT];

    if (vga->attr[AR_MODE] & 0x80) /* bits 5 and 4 from the select register too */
        index = (index & 0x0f) | (select & 3) << 4;
    return (index & 0x3f) | (select & 0x0c) << 4;
}

/* ---- geometry ---- */

void vga_geometry(const struct vga *vga, struct vga_geometry *g)
{
    const uint8_t *cr = vga->crtc;
    unsigned overflow = cr[CR_OVERFLOW];

    memset(g, 0, sizeof(*g));
    g->columns = cr[CR_H_END] + 1u;
    g->lines = (cr[CR_V_END] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1u;
    if (cr[CR_MODE] & 4) /* the vertical counter goes at half the speed */
        g->lines *= 2;
    g->start = (uint32_t)cr[CR_START_HIGH] << 8 | cr[CR_START_LOW];
    g->start += cr[CR_PRESET_ROW] >> 5 & 3; /* byte panning */
    g->offset = cr[CR_OFFSET] * 2u;
    g->line_compare = cr[CR_LINE_COMPARE] | (overflow & 0x10) << 4 | (cr[CR_MAX_LINE] & 0x40u) << 3;
    g->row_lines = (cr[CR_MAX_LINE] & 0x1f) + 1u;
    g->doubled = cr[CR_MAX_LINE] & 0x80;
    g->preset = cr[CR_PRESET_ROW] & 0x1f;
    g->pan = vga->attr[AR_PAN] & 15;
}

uint32_t vga_display_address(const struct vga *vga, uint32_t counter, uint32_t line)
{
    unsigned mode = vga->crtc[CR_MODE];
    uint32_t address = counter & 0xffff;

    if (vga->crtc[CR_UNDERLINE] & 0x40) { /* double words */
        if (!(vga->seq[SEQ_MEMORY_MODE] & 8)) /* chained memory is linear here (see vga.h) */
            address = address << 2 | (address >> 14 & 3);
    } else if (!(mode & 0x40)) { /* words */
        address = address << 1 | (address >> (mode & 0x20 ? 15 : 13) & 1);
    }
    if (!(mode & 1)) /* as the colour graphics adapter has it: odd lines 8 KiB on */
        address = (address & ~0x2000u) | (line & 1) << 13;
    if (!(mode & 2))
        address = (address & ~0x4000u) | (line & 2) << 13;
    return address & (VGA_PLANE - 1);
}

/* ---- surfaces ---- */

bool vga_need_surface(struct vga *vga, const struct bp_surface_options *options)
{
    struct bp_surface *surface = NULL;

    if (vga->surface && !memcmp(options, &vga->shown, sizeof(*options)))
        return true;
    if (vga_display->surface_new(options, &surface, NULL) < 0)
        return false;
    vga_display->surface_unref(vga->surface);
    vga->surface = surface;
    vga->shown = *options;
    return true;
}

static void blank(struct vga *vga, uint32_t width, uint32_t height)
{
    vga_display->set_blank_size(vga->console, width, height);
    vga_display->set_surface(vga->console, NULL);
}

static void set_palette(struct vga *vga)
{
    uint32_t palette[256];

    for (unsigned i = 0; i < 256; i++)
        palette[i] = vga_colour(vga, i);
    vga_display->surface_set_palette(vga->surface, palette);
}

static void show_linear(struct vga *vga, const struct bp_surface_options *o)
{
    if (!vga_need_surface(vga, o)) {
        blank(vga, o->width, o->height);
        return;
    }
    if (o->format == BP_FORMAT_C8)
        set_palette(vga);
    vga_display->set_surface(vga->console, vga->surface);
}

/* ---- graphics modes ---- */

static uint32_t fetch(const struct vga *vga, uint64_t address)
{
    const uint8_t *at;

    if (address * 4 + 3 >= vga->vram_size)
        return 0;
    at = vga->memory + 4 * address;
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The pixels of one character clock; returns how many. */
static unsigned expand(const struct vga *vga, const uint32_t colours[256], uint32_t planes,
                       uint32_t to[8])
{
    unsigned mode = vga->gr[GR_MODE];

    if (mode & 0x40) { /* 256 colours: a byte for each */
        for (unsigned i = 0; i < 4; i++)
            to[i] = colours[planes >> (8 * i) & 0xff];
        return 4;
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned shift = 7 - i, colour;

        if (mode & 0x20) { /* pairs of bits, of planes 0 and 2, then 1 and 3 */
            unsigned pair = 6 - 2 * (i & 3), plane = i >> 2;

            colour = (planes >> (8 * plane + pair) & 3) | (planes >> (8 * plane + 16 + pair) & 3) << 2;
        } else {
            colour = (planes >> shift & 1) | (planes >> (8 + shift) & 1) << 1 |
                     (planes >> (16 + shift) & 1) << 2 | (planes >> (24 + shift) & 1) << 3;
        }
        to[i] = colours[colour];
    }
    return 8;
}

struct drawing {
    uint32_t colours[256];
    uint32_t *to;
    uint32_t stride; /* pixels */
    uint32_t width, repeat;
};

static void draw_line(const struct vga *vga, const struct vga_geometry *g, const struct drawing *d,
                      uint32_t y, uint64_t counter, uint32_t line, uint32_t pan)
{
    uint32_t *to = d->to + (size_t)y * d->stride;
    bool vbe = dispi_on(&vga->dispi);

    for (uint32_t column = 0, x = 0; x < d->width + pan && column <= g->columns; column++) {
        uint64_t address = vbe ? counter + column
                               : vga_display_address(vga, (uint32_t)counter + column, line);
        uint32_t pixels[8];
        unsigned n = expand(vga, d->colours, fetch(vga, address), pixels);

        for (unsigned i = 0; i < n; i++, x++)
            if (x >= pan && x - pan < d->width)
                to[x - pan] = pixels[i];
    }
}

static void draw_colours(const struct vga *vga, uint32_t colours[256])
{
    bool all = (vga->gr[GR_MODE] & 0x40) && !dispi_on(&vga->dispi);

    for (unsigned i = 0; i < 256; i++)
        colours[i] = vga_colour(vga, all ? i : vga_attribute(vga, i));
}

/* Line after line, as the beam goes. `repeat`: scan lines for each that is drawn. */
static void draw(struct vga *vga, const struct vga_geometry *g, struct drawing *d)
{
    uint64_t counter = g->start;
    uint32_t line = g->preset, pan = g->pan & 7, drawn = g->lines / d->repeat;
    bool second = false;

    if (vga->gr[GR_MODE] & 0x40)
        pan /= 2;
    for (uint32_t y = 0; y < drawn; y++) {
        draw_line(vga, g, d, y, counter, line, pan);
        for (uint32_t i = 0; i < d->repeat; i++) {
            if (y * d->repeat + i == g->line_compare) {
                counter = 0;
                line = 0;
                second = false;
                pan = vga->attr[AR_MODE] & 0x20 ? 0 : pan;
            } else if (g->doubled && !second) {
                second = true;
            } else {
                second = false;
                line = line + 1 >= g->row_lines ? 0 : line + 1;
                counter += line ? 0 : g->offset;
            }
        }
    }
}

/* Planes of a VBE mode of 4 bits: one line after the other. */
static void planar_geometry(const struct vga *vga, struct vga_geometry *g)
{
    const uint16_t *reg = vga->dispi.reg;

    *g = (struct vga_geometry){
        .columns = reg[DISPI_XRES] / 8u, .lines = reg[DISPI_YRES], .offset = reg[DISPI_VIRT_WIDTH] / 8u,
        .line_compare = ~0u, .row_lines = 1, .pan = reg[DISPI_X_OFFSET] & 7u};
    g->start = reg[DISPI_Y_OFFSET] * g->offset + reg[DISPI_X_OFFSET] / 8u;
}

static void show_graphics(struct vga *vga)
{
    bool vbe = dispi_on(&vga->dispi), bytes = !vbe && (vga->gr[GR_MODE] & 0x40);
    struct bp_surface_options o = {.size = sizeof(o), .format = BP_FORMAT_XRGB8888};
    struct vga_geometry g;
    struct drawing d = {.repeat = 1};

    if (vbe)
        planar_geometry(vga, &g);
    else
        vga_geometry(vga, &g);
    /* Lines that are always shown twice are drawn once. */
    if (!vbe && (g.lines & 1) == 0 && (g.line_compare & 1 || g.line_compare >= g.lines) &&
        (g.doubled || g.row_lines == 2) && (vga->crtc[CR_MODE] & 1) && !(g.preset & 1)) {
        d.repeat = 2;
    }
    o.width = g.columns * (bytes ? 4 : 8);
    o.height = g.lines / d.repeat;
    o.repeat_x = bytes || (!vbe && (vga->seq[SEQ_CLOCKING] & 8)) ? 2 : 1;
    o.repeat_y = d.repeat;
    if (!vga_need_surface(vga, &o)) {
        blank(vga, 0, 0);
        return;
    }
    d.to = vga_display->surface_data(vga->surface, &d.stride);
    d.stride /= 4;
    d.width = o.width;
    draw_colours(vga, d.colours);
    draw(vga, &g, &d);
    vga_display->set_surface(vga->console, vga->surface);
    vga_display->damage(vga->console, 0, 0, o.width, o.height);
}

/* ---- all ---- */

/* A sequencer or CRT controller in reset shows nothing either, but there is firmware that was written on emulators and
 * leaves them so (GRUB as the BIOS). */
static bool is_off(const struct vga *vga)
{
    return (vga->seq[SEQ_CLOCKING] & 0x20) || !(vga->attr_index & 0x20);
}

static void update(void *opaque)
{
    struct vga *vga = opaque;
    struct bp_surface_options o = {.size = sizeof(o), .region = vga->vram};
    bool linear = vga->chip && vga->chip->linear && vga->chip->linear(vga, &o);
    struct vga_geometry g;

    bp_region_settle(vga->window);
    if (dispi_on(&vga->dispi)) {
        dispi_surface(&vga->dispi, &o);
        if (!(vga->attr_index & 0x20)) /* bochs-display's drivers blank by this bit */
            blank(vga, vga->dispi.reg[DISPI_XRES], vga->dispi.reg[DISPI_YRES]);
        else if (vga->dispi.reg[DISPI_BPP] == 4)
            show_graphics(vga);
        else
            show_linear(vga, &o);
        return;
    }
    if (is_off(vga)) {
        vga_geometry(vga, &g);
        blank(vga, vga->crtc[CR_H_END] ? g.columns * (vga->seq[SEQ_CLOCKING] & 1 ? 8 : 9) : 0,
              vga->crtc[CR_V_END] ? g.lines : 0);
    } else if (linear) {
        show_linear(vga, &o);
    } else if (vga->gr[GR_MISC] & 1) {
        show_graphics(vga);
    } else {
        vga_show_text(vga);
    }
}

static int wish(void *opaque, const struct bp_ui_info *info)
{
    struct vga *vga = opaque;

    return vga->wish ? vga->wish(vga, info) : -ENOTSUP;
}

const struct bp_console_ops vga_console_ops = {
    .size = sizeof(vga_console_ops), .update = update, .ui_info = wish};
