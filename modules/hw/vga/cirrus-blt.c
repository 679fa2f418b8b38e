/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The BitBLT engine of a CL-GD5446. Each row becomes a row of source bytes, and a mask of those
 * that count; then the raster operation puts them into memory. What an operation is, is worked out
 * from a copy of its registers each time: nothing of it is kept that could not fit.
 */
#include <string.h>

#include <bp/log.h>

#include "cirrus.h"

#define MODE_BACKWARDS 0x01u
#define MODE_SYSTEM_SOURCE 0x04u
#define MODE_TRANSPARENT 0x08u
#define MODE_PATTERN 0x40u
#define MODE_EXPAND 0x80u
#define EXTENSION_DWORDS 0x01u /* rows of expanded bits begin at double words, not at bytes */
#define EXTENSION_INVERT 0x02u
#define EXTENSION_SOLID 0x04u

struct blt {
    uint32_t width, height;       /* bytes, rows */
    uint32_t destination, source; /* addresses */
    int32_t destination_pitch, source_pitch;
    uint32_t line_bytes; /* of a row of what the CPU sends, or of bits in memory */
    uint32_t mask;       /* of addresses */
    unsigned mode, extensions, rop, bytes; /* of a pixel */
    uint32_t skip;                         /* bytes at the left that are not written */
    uint8_t foreground[4], background[4];
    uint8_t transparent[2];
};

/* Truth tables: bit 3 for source 1 and destination 1, 2 for 1 and 0, 1 for 0 and 1, 0 for 0 and 0.
 */
static unsigned truth(unsigned rop)
{
    static const struct {
        uint8_t code, table;
    } codes[] = {{0x00, 0x0}, {0x90, 0x1}, {0x50, 0x2}, {0xd0, 0x3}, {0x09, 0x4}, {0x0b, 0x5},
                 {0x59, 0x6}, {0xda, 0x7}, {0x05, 0x8}, {0x95, 0x9}, {0x06, 0xa}, {0xd6, 0xb},
                 {0x0d, 0xc}, {0xad, 0xd}, {0x6d, 0xe}, {0x0e, 0xf}};

    for (unsigned i = 0; i < BP_COUNT(codes); i++)
        if (codes[i].code == rop)
            return codes[i].table;
    bp_guest_error("cirrus-rop", "cirrus: raster operation 0x%02x is none: nothing is changed",
                   rop);
    return 0xa;
}

static uint32_t word(const uint8_t *gr, unsigned index)
{
    return gr[index] | (uint32_t)gr[index + 1] << 8;
}

static uint32_t address(const uint8_t *gr, unsigned index)
{
    return word(gr, index) | (gr[index + 2] & 0x3fu) << 16;
}

static void decode(const struct cirrus *s, const uint8_t *gr, struct blt *b)
{
    uint32_t pixels;

    memset(b, 0, sizeof(*b));
    b->mask = cirrus_memory(s) - 1;
    b->width = (word(gr, GR_BLT_WIDTH) & 0x1fff) + 1;
    b->height = (word(gr, GR_BLT_HEIGHT) & 0x7ff) + 1;
    b->destination = address(gr, GR_BLT_DESTINATION);
    b->source = address(gr, GR_BLT_SOURCE);
    b->destination_pitch = (int32_t)(word(gr, GR_BLT_DESTINATION_PITCH) & 0x1fff);
    b->source_pitch = (int32_t)(word(gr, GR_BLT_SOURCE_PITCH) & 0x1fff);
    b->mode = gr[GR_BLT_MODE];
    b->extensions = gr[GR_BLT_EXTENSIONS];
    b->rop = truth(gr[GR_BLT_ROP]);
    b->bytes = (b->mode >> 4 & 3) + 1;
    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t at[4] = {0, 0x10, 0x12, 0x14};

        b->background[i] = gr[at[i]];
        b->foreground[i] = gr[at[i] + 1];
    }
    memcpy(b->transparent, gr + GR_BLT_TRANSPARENT, 2);
    if (b->mode & (MODE_EXPAND | MODE_PATTERN)) {
        b->mode &= ~MODE_BACKWARDS; /* only copies have a direction */
        b->skip = b->bytes == 3 ? gr[GR_BLT_CLIP] & 0x1fu : (gr[GR_BLT_CLIP] & 7u) * b->bytes;
    }
    if (b->mode & MODE_PATTERN)
        b->mode &= ~MODE_SYSTEM_SOURCE; /* patterns lie in memory */
    pixels = (b->width + b->bytes - 1) / b->bytes;
    b->line_bytes = b->mode & MODE_EXPAND ? (pixels + 7) / 8 : b->width;
    if (!(b->mode & MODE_EXPAND) || (b->extensions & EXTENSION_DWORDS))
        b->line_bytes = (b->line_bytes + 3) & ~3u;
    if (b->mode & MODE_BACKWARDS) { /* addresses are those of the last byte: rows are taken from
                                       their first */
        b->destination -= b->width - 1;
        b->source -= b->width - 1;
        b->destination_pitch = -b->destination_pitch;
        b->source_pitch = -b->source_pitch;
    }
}

/* ---- a row of source ---- */

struct line {
    uint8_t source[BLT_MOST_WIDTH];
    uint8_t mask[BLT_MOST_WIDTH]; /* 0xff: is written */
};

static uint8_t peek(const struct cirrus *s, const struct blt *b, uint32_t at)
{
    return s->vga.memory[at & b->mask];
}

/* Eight dots, the left one in bit 7. */
static uint8_t dots(const struct cirrus *s, const struct blt *b, uint32_t row, uint32_t at,
                    const uint8_t *from)
{
    uint8_t value;

    if (b->extensions & EXTENSION_SOLID)
        return 0xff;
    if (b->mode & MODE_PATTERN) /* the low bits say with which row it begins */
        value = peek(s, b, (b->source & ~7u) + ((b->source + row) & 7));
    else
        value = from ? from[at] : peek(s, b, b->source + row * b->line_bytes + at);
    return b->extensions & EXTENSION_INVERT ? (uint8_t)~value : value;
}

static void expand(const struct cirrus *s, const struct blt *b, uint32_t row, const uint8_t *from,
                   struct line *line)
{
    bool opaque = !(b->mode & MODE_TRANSPARENT);
    uint8_t eight = 0;

    for (uint32_t i = 0, pixel = 0; i < b->width; pixel++) {
        bool on;

        if (pixel % 8 == 0)
            eight = dots(s, b, row, pixel / 8, from);
        on = eight >> (7 - pixel % 8) & 1;
        for (unsigned part = 0; part < b->bytes && i < b->width; part++, i++) {
            line->source[i] = on ? b->foreground[part] : b->background[part];
            line->mask[i] = on || opaque ? 0xff : 0;
        }
    }
}

/* 8 x 8 pixels; rows of 24 bits have as many bytes as those of 32. */
static void pattern(const struct cirrus *s, const struct blt *b, uint32_t row, struct line *line)
{
    uint32_t stride = 8 * (b->bytes == 3 ? 4 : b->bytes), base = b->source & ~(8 * stride - 1);
    uint32_t from = base + ((b->source + row) & 7) * stride;

    for (uint32_t i = 0; i < b->width; i++)
        line->source[i] = peek(s, b, from + i % (8 * b->bytes));
}

static void copy(const struct cirrus *s, const struct blt *b, uint32_t row, const uint8_t *from,
                 struct line *line)
{
    uint32_t at = (b->source + row * (uint32_t)b->source_pitch) & b->mask;

    if (from)
        memcpy(line->source, from, b->width);
    else if (at + b->width <= b->mask + 1)
        memcpy(line->source, s->vga.memory + at, b->width);
    else
        for (uint32_t i = 0; i < b->width; i++)
            line->source[i] = peek(s, b, at + i);
}

/* Pixels of the transparent colour are not written; there is none of more than 16 bits. */
static void key(const struct blt *b, struct line *line)
{
    for (uint32_t i = 0; i + b->bytes <= b->width; i += b->bytes)
        if (!memcmp(line->source + i, b->transparent, b->bytes))
            memset(line->mask + i, 0, b->bytes);
}

static void source_row(const struct cirrus *s, const struct blt *b, uint32_t row,
                       const uint8_t *from, struct line *line)
{
    if (b->mode & MODE_EXPAND) {
        expand(s, b, row, from, line);
    } else {
        memset(line->mask, 0xff, b->width);
        if (b->mode & MODE_PATTERN)
            pattern(s, b, row, line);
        else
            copy(s, b, row, from, line);
        if ((b->mode & MODE_TRANSPARENT) && b->bytes <= 2)
            key(b, line);
    }
    memset(line->mask, 0, b->skip < b->width ? b->skip : b->width);
}

/* ---- into memory ---- */

static void combine(uint8_t *to, const uint8_t *source, const uint8_t *mask, uint32_t count,
                    unsigned rop)
{
    uint8_t t11 = rop & 8 ? 0xff : 0, t10 = rop & 4 ? 0xff : 0, t01 = rop & 2 ? 0xff : 0,
            t00 = rop & 1 ? 0xff : 0;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t s = source[i], d = to[i];
        uint8_t value =
            (uint8_t)((s & d & t11) | (s & ~d & t10) | (~s & d & t01) | (~s & ~d & t00));

        to[i] = (uint8_t)((value & mask[i]) | (d & ~mask[i]));
    }
}

static void draw_row(struct cirrus *s, const struct blt *b, uint32_t row, const uint8_t *from)
{
    uint32_t at = (b->destination + row * (uint32_t)b->destination_pitch) & b->mask, done = 0;
    struct line line;

    source_row(s, b, row, from, &line);
    while (done < b->width) { /* once more where memory ends and begins again */
        uint32_t count = b->mask + 1 - at;

        if (count > b->width - done)
            count = b->width - done;
        combine(s->vga.memory + at, line.source + done, line.mask + done, count, b->rop);
        bp_region_mark_dirty(s->vga.vram, at, count);
        done += count;
        at = 0;
    }
}

/* ---- operations ---- */

void cirrus_blt_stop(struct cirrus *s)
{
    bool was_on = s->blt_on;

    s->gr[GR_BLT_STATUS] &= (uint8_t) ~(BLT_BUSY | BLT_START);
    s->blt_on = 0;
    s->blt_row = s->blt_have = 0;
    if (was_on)
        cirrus_map(s);
}

void cirrus_blt_start(struct cirrus *s)
{
    struct blt b;

    if (s->blt_on)
        cirrus_blt_stop(s); /* what was not fed is lost */
    decode(s, s->gr, &b);
    if (b.mode & MODE_SYSTEM_SOURCE) {
        memcpy(s->blt_gr, s->gr, sizeof(s->blt_gr));
        s->blt_row = s->blt_have = 0;
        s->blt_on = 1;
        s->gr[GR_BLT_STATUS] |= BLT_BUSY;
        cirrus_map(s);
        return;
    }
    for (uint32_t row = 0; row < b.height; row++)
        draw_row(s, &b, row, NULL);
    cirrus_blt_stop(s);
}

/* Bytes of the source, wherever in the region they are written. */
static void feed(struct cirrus *s, uint64_t value, unsigned size)
{
    struct blt b;

    decode(s, s->blt_gr, &b);
    for (unsigned i = 0; i < size && s->blt_on; i++) {
        if (s->blt_have >= b.line_bytes)
            s->blt_have = 0;
        s->blt_line[s->blt_have++] = (uint8_t)(value >> (8 * i));
        if (s->blt_have < b.line_bytes)
            continue;
        s->blt_have = 0;
        draw_row(s, &b, s->blt_row, s->blt_line);
        if (++s->blt_row >= b.height)
            cirrus_blt_stop(s); /* what is left of the access filled it up */
    }
}

static void feed_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr;
    feed(opaque, value, size);
}

static uint64_t feed_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)size;
    return ~0ull;
}

const struct bp_region_ops cirrus_feed_ops = {
    .size = sizeof(cirrus_feed_ops), .read = feed_read, .write = feed_write, .max_access = 8};

/* ---- registers in memory ---- */

/* Which of the graphics controller's registers stands at an offset; 0xff: none. */
static unsigned mmio_register(uint64_t offset)
{
    static const uint8_t at[] = {0x00, 0x10, 0x12, 0x14, 0x01, 0x11, 0x13, 0x15, 0x20,
                                 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29,
                                 0x2a, 0xff, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0xff, 0x32,
                                 0x33, 0x34, 0x35, 0xff, 0xff, 0x38, 0x39};

    if (offset == 0x40)
        return GR_BLT_STATUS;
    return offset < sizeof(at) ? at[offset] : 0xff;
}

static uint64_t mmio_read(void *opaque, uint64_t addr, unsigned size)
{
    unsigned index = mmio_register(addr);

    (void)size;
    return index == 0xff ? 0xff : cirrus_graphics_read(opaque, index);
}

static void mmio_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    unsigned index = mmio_register(addr);

    (void)size;
    if (index != 0xff)
        cirrus_graphics_write(opaque, index, (uint8_t)value);
}

const struct bp_region_ops cirrus_mmio_ops = {
    .size = sizeof(cirrus_mmio_ops), .read = mmio_read, .write = mmio_write, .max_access = 1};
