/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Bochs VBE extension's registers (VBE DISPI, ids b0c0 to b0c5). A mode that makes no sense, or does
 * not fit into video memory, is not switched on; what would show memory beyond the end is cut.
 */
#include <errno.h>
#include <string.h>

#include <bp/log.h>

#include "vga.h"

static bool bpp_is_known(unsigned bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Bytes of a line of `width` pixels; with 4 bits it is a byte of each plane. */
static uint32_t line_bytes(unsigned bpp, uint32_t width)
{
    return bpp == 4 ? width / 8 * 4 : width * ((bpp + 7) / 8);
}

/* Brings the derived registers into what memory allows. */
static void settle(struct dispi *d, uint32_t vram_size)
{
    uint16_t *reg = d->reg;
    uint32_t line, lines;

    if (!dispi_on(d))
        return;
    if (reg[DISPI_VIRT_WIDTH] < reg[DISPI_XRES])
        reg[DISPI_VIRT_WIDTH] = reg[DISPI_XRES];
    line = line_bytes(reg[DISPI_BPP], reg[DISPI_VIRT_WIDTH]);
    if ((uint64_t)line * reg[DISPI_YRES] > vram_size) { /* no line may lie outside */
        reg[DISPI_VIRT_WIDTH] = reg[DISPI_XRES];
        line = line_bytes(reg[DISPI_BPP], reg[DISPI_VIRT_WIDTH]);
    }
    lines = vram_size / line;
    reg[DISPI_VIRT_HEIGHT] = (uint16_t)(lines > 0xffff ? 0xffff : lines);
    if (reg[DISPI_X_OFFSET] > reg[DISPI_VIRT_WIDTH] - reg[DISPI_XRES])
        reg[DISPI_X_OFFSET] = (uint16_t)(reg[DISPI_VIRT_WIDTH] - reg[DISPI_XRES]);
    if (reg[DISPI_Y_OFFSET] > lines - reg[DISPI_YRES])
        reg[DISPI_Y_OFFSET] = (uint16_t)(lines - reg[DISPI_YRES]);
}

static bool fits(const struct dispi *d, uint32_t vram_size)
{
    const uint16_t *reg = d->reg;

    return bpp_is_known(reg[DISPI_BPP]) && reg[DISPI_XRES] >= 8 && reg[DISPI_XRES] <= DISPI_MAX_XRES &&
           reg[DISPI_YRES] && reg[DISPI_YRES] <= DISPI_MAX_YRES &&
           (uint64_t)line_bytes(reg[DISPI_BPP], reg[DISPI_XRES]) * reg[DISPI_YRES] <= vram_size;
}

uint16_t dispi_read(const struct dispi *d, unsigned index, uint32_t vram_size)
{
    if (index >= DISPI_COUNT)
        return 0xffff;
    if (index == DISPI_MEMORY_64K)
        return (uint16_t)(vram_size >> 16);
    if (d->reg[DISPI_ENABLE] & DISPI_GETCAPS) {
        if (index == DISPI_XRES)
            return DISPI_MAX_XRES;
        if (index == DISPI_YRES)
            return DISPI_MAX_YRES;
        if (index == DISPI_BPP)
            return 32;
    }
    return d->reg[index];
}

static bool enable(struct dispi *d, uint16_t value, uint32_t vram_size, bool *ret_clear)
{
    bool was_on = dispi_on(d);

    value &= DISPI_ENABLED | DISPI_GETCAPS | DISPI_8BIT_DAC | DISPI_LFB | DISPI_NOCLEAR;
    if ((value & DISPI_ENABLED) && !was_on && !fits(d, vram_size)) {
        bp_guest_error("vbe-mode", "VBE: a mode of %u x %u pixels of %u bits is not possible with %u KiB "
                       "of memory", d->reg[DISPI_XRES], d->reg[DISPI_YRES], d->reg[DISPI_BPP],
                       vram_size >> 10);
        value &= (uint16_t)~DISPI_ENABLED;
    }
    d->reg[DISPI_ENABLE] = value;
    if (dispi_on(d) && !was_on) {
        d->reg[DISPI_VIRT_WIDTH] = d->reg[DISPI_XRES];
        d->reg[DISPI_X_OFFSET] = d->reg[DISPI_Y_OFFSET] = d->reg[DISPI_BANK] = 0;
        *ret_clear = !(value & DISPI_NOCLEAR);
        settle(d, vram_size);
    }
    return true;
}

bool dispi_write(struct dispi *d, unsigned index, uint16_t value, uint32_t vram_size, bool *ret_clear)
{
    uint16_t banks = (uint16_t)(vram_size >> 16);

    *ret_clear = false;
    switch (index) {
    case DISPI_ID:
        if (value >= DISPI_ID0 && value <= DISPI_ID5)
            d->reg[index] = value;
        return false;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
        /* Guests change these while the extension is off. */
        if (dispi_on(d) || (d->reg[DISPI_ENABLE] & DISPI_GETCAPS))
            return false;
        if (index == DISPI_BPP && value == 0)
            value = 8;
        d->reg[index] = value;
        return false;
    case DISPI_ENABLE:
        return enable(d, value, vram_size, ret_clear);
    case DISPI_BANK:
        if (dispi_on(d) && d->reg[DISPI_BPP] == 4)
            banks >>= 2; /* of the planes */
        d->reg[index] = value < banks ? value : 0;
        return true;
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        d->reg[index] = value;
        settle(d, vram_size);
        return false;
    default: /* the others follow from these */
        return false;
    }
}

void dispi_surface(const struct dispi *d, struct bp_surface_options *o)
{
    unsigned bpp = d->reg[DISPI_BPP], bytes = (bpp + 7) / 8;

    o->format = bpp == 8    ? BP_FORMAT_C8
                : bpp == 15 ? BP_FORMAT_XRGB1555
                : bpp == 16 ? BP_FORMAT_RGB565
                : bpp == 24 ? BP_FORMAT_RGB888
                            : BP_FORMAT_XRGB8888;
    o->width = d->reg[DISPI_XRES];
    o->height = d->reg[DISPI_YRES];
    o->stride = line_bytes(bpp, d->reg[DISPI_VIRT_WIDTH]);
    o->offset = (uint64_t)d->reg[DISPI_Y_OFFSET] * o->stride + (uint64_t)d->reg[DISPI_X_OFFSET] * bytes;
}

int dispi_after_load(struct dispi *d, uint32_t vram_size, struct bp_error *err)
{
    static const uint8_t later[] = {DISPI_BANK, DISPI_VIRT_WIDTH, DISPI_X_OFFSET, DISPI_Y_OFFSET};
    const struct dispi saved = *d;
    bool clear;

    /* By the way a guest would go, so that nothing gets in that it could not have set. */
    d->reg[DISPI_ENABLE] = 0;
    dispi_write(d, DISPI_ENABLE, saved.reg[DISPI_ENABLE], vram_size, &clear);
    if (d->reg[DISPI_ENABLE] != saved.reg[DISPI_ENABLE])
        return bp_fail(err, EINVAL, "VBE: the saved video mode is not possible");
    for (unsigned i = 0; i < BP_COUNT(later); i++)
        dispi_write(d, later[i], saved.reg[later[i]], vram_size, &clear);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT16, struct dispi, index), BP_SAVE_ARRAY(UINT16, struct dispi, reg), BP_SAVE_END};

const struct bp_state_table dispi_state = {.name = "vbe-dispi", .version = 1, .oldest = 1,
                                           .fields = fields};
