/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The display adapter as firmware leaves it for a kernel that starts without any: 80 x 25 characters (video
 * mode 3, register values of IBM's VGA reference), with the font that its video BIOS has. Kernels draw their
 * console there. The font is taken out of the video BIOS's file: 256 characters of 16 lines, known by the
 * block characters (db to df of code page 437).
 */
#include <stdlib.h>
#include <string.h>

#include "boot-items.h"
#include "pc.h"

#define BIOS_FILE "vgabios-stdvga.bin"
#define MAX_BIOS (256u << 10)
#define LINES 16u
#define WINDOW 0xa0000u
#define TEXT 0xb8000u

static void out(const struct pc *pc, uint16_t port, uint8_t value)
{
    bp_space_store(bp_machine_io(pc->machine), port, 1, value);
}

static uint8_t in(const struct pc *pc, uint16_t port)
{
    uint64_t value;

    bp_space_load(bp_machine_io(pc->machine), port, 1, &value);
    return (uint8_t)value;
}

static void indexed(const struct pc *pc, uint16_t port, const uint8_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        out(pc, port, (uint8_t)i);
        out(pc, port + 1, values[i]);
    }
}

/* ---- the font ---- */

static bool all(const uint8_t *at, uint8_t byte)
{
    for (unsigned i = 0; i < LINES; i++)
        if (at[i] != byte)
            return false;
    return true;
}

static const uint8_t *find_font(const uint8_t *bios, size_t size)
{
    for (size_t at = 0; at + 256 * LINES <= size; at++) {
        const uint8_t *font = bios + at;

        if (all(font + 0xdb * LINES, 0xff) && all(font + 0xdd * LINES, 0xf0) &&
            all(font + 0xde * LINES, 0x0f) && all(font + 0x20 * LINES, 0))
            return font;
    }
    return NULL;
}

/* Into plane 2, 32 bytes for each character. */
static bool load_font(const struct pc *pc)
{
    uint8_t *bios = NULL, plane[256 * 32] = {0};
    size_t size = 0;
    int r = boot_read_file(pc->machine, "the video BIOS", BIOS_FILE, MAX_BIOS, &bios, &size, NULL);
    const uint8_t *font = r == 0 ? find_font(bios, size) : NULL;

    for (unsigned i = 0; font && i < 256; i++)
        memcpy(plane + 32 * i, font + LINES * i, LINES);
    if (font)
        bp_space_write(bp_machine_memory(pc->machine), WINDOW, plane, sizeof(plane));
    free(bios);
    return font != NULL;
}

/* ---- the mode ---- */

/* The 64 colours of the adapter before, of which text has 16. */
static void set_palette(const struct pc *pc)
{
    out(pc, 0x3c6, 0xff);
    out(pc, 0x3c8, 0);
    for (unsigned i = 0; i < 64; i++)
        for (unsigned bit = 4; bit; bit >>= 1) /* red, green, blue: bits 2 to 0, half as bright 5 to 3 */
            out(pc, 0x3c9, (uint8_t)((i & bit ? 42 : 0) + (i & bit << 3 ? 21 : 0)));
}

static void clear(const struct pc *pc)
{
    uint8_t cells[80 * 25 * 2];

    for (unsigned i = 0; i < sizeof(cells); i += 2) {
        cells[i] = ' ';
        cells[i + 1] = 7;
    }
    bp_space_write(bp_machine_memory(pc->machine), TEXT, cells, sizeof(cells));
}

static void fill_bda(const struct pc *pc)
{
    static const struct {
        uint16_t address, value;
        uint8_t size;
    } words[] = {{0x449, 3, 1}, {0x44a, 80, 2}, {0x44c, 4096, 2}, {0x460, 0x0d0e, 2}, {0x463, 0x3d4, 2},
                 {0x484, 24, 1}, {0x485, LINES, 2}, {0x487, 0x60, 1}};

    for (unsigned i = 0; i < BP_COUNT(words); i++)
        bp_space_store(bp_machine_memory(pc->machine), words[i].address, words[i].size, words[i].value);
}

bool text_mode_set_up(const struct pc *pc)
{
    static const uint8_t sequencer[] = {3, 0, 4, 0, 6}, graphics[] = {0, 0, 0, 0, 2, 0, 4, 0, 0xff};
    static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
                                   0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x8e,
                                   0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const uint8_t attributes[] = {0,    1,    2,    3,    4,    5,    0x14, 7,    0x38, 0x39, 0x3a,
                                         0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0,    0x0f, 8,    0};
    bool found;

    out(pc, 0x3c2, 0x67);
    if (in(pc, 0x3cc) != 0x67)
        return false; /* no VGA */
    out(pc, 0x3c4, 6); /* the key to a Cirrus chip's extensions, as its BIOS leaves it; others have no such register */
    out(pc, 0x3c5, 0x12);
    out(pc, 0x3d4, 0x11); /* registers 0 to 7 are not protected meanwhile */
    out(pc, 0x3d5, 0x0e);
    indexed(pc, 0x3d4, crtc, BP_COUNT(crtc));
    indexed(pc, 0x3c4, sequencer, BP_COUNT(sequencer)); /* memory is plane 2, as it lies, for now */
    indexed(pc, 0x3ce, graphics, BP_COUNT(graphics));
    found = load_font(pc);
    indexed(pc, 0x3c4, (const uint8_t[]){3, 0, 3, 0, 2}, 5);
    indexed(pc, 0x3ce, (const uint8_t[]){0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff}, 9);
    clear(pc);
    set_palette(pc);
    in(pc, 0x3da);
    for (unsigned i = 0; i < BP_COUNT(attributes); i++) {
        out(pc, 0x3c0, (uint8_t)i);
        out(pc, 0x3c0, attributes[i]);
    }
    if (!found)
        return false; /* nothing could be read: the screen stays dark */
    out(pc, 0x3c0, 0x20);
    fill_bda(pc);
    return true;
}
