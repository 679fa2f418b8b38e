/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Console fonts, found where guests keep them: in the video BIOS, in the kernel's data. A font in the
 * order of code page 437 is known by its five block characters (db to df): full, lower half, left half,
 * right half, upper half; with an empty space before.
 */
#include <stdlib.h>
#include <string.h>

#include "text.h"

static bool all(const uint8_t *at, size_t n, uint8_t even, uint8_t odd)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != (i & 1 ? odd : even))
            return false;
    return true;
}

/* Rows of one kind, then of the other, at least a quarter of each. */
static bool halves(const uint8_t *glyph, const struct font *f, uint8_t first, uint8_t second)
{
    uint32_t bytes = f->height * f->bytes_per_row, n = 0;

    while (n < bytes && glyph[n] == first)
        n++;
    return n >= bytes / 4 && n <= bytes - bytes / 4 && all(glyph + n, bytes - n, second, second);
}

/* `at` is where the left half block (dd) may begin. */
static bool is_font(const uint8_t *memory, size_t length, size_t at, struct font *f)
{
    uint32_t bytes = f->bytes_per_row * f->height;
    const uint8_t *base;

    if (at < 0xddu * bytes || length - at < (256 - 0xddu) * bytes)
        return false;
    base = memory + at - 0xddu * bytes;
    return all(base + 0xdbu * bytes, bytes, 0xff, 0xff) && all(base + 0x20u * bytes, bytes, 0, 0) &&
           halves(base + 0xdcu * bytes, f, 0, 0xff) && halves(base + 0xdfu * bytes, f, 0xff, 0) &&
           !all(base + 'A' * bytes, bytes, 0, 0) &&
           memcmp(base + 'A' * bytes, base + 'B' * bytes, bytes) != 0;
}

static unsigned add(const struct font *f, struct font *fonts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!memcmp(f, &fonts[i], sizeof(*f)))
            return count;
    if (count < MAX_FONTS)
        fonts[count++] = *f;
    return count;
}

/* Fonts whose rows have as many bytes; dd is then `pattern` over and over, de the other way round. */
static unsigned search(const uint8_t *memory, size_t length, uint32_t bytes_per_row, struct font *fonts,
                       unsigned count)
{
    struct font *f = bp_alloc(sizeof(*f)); /* large for a coroutine's stack */
    uint8_t left = bytes_per_row == 1 ? 0xf0 : 0xff, right = bytes_per_row == 1 ? 0x0f : 0x00;
    uint8_t left2 = bytes_per_row == 1 ? 0xf0 : 0x00, right2 = bytes_per_row == 1 ? 0x0f : 0xff;
    uint8_t needle[16];
    const uint8_t *at = memory, *end = memory + length;

    /* Where dd ends and de begins. */
    for (unsigned i = 0; i < 8; i++) {
        needle[i] = i & 1 ? left2 : left;
        needle[8 + i] = i & 1 ? right2 : right;
    }
    while ((at = memmem(at, (size_t)(end - at), needle, sizeof(needle)))) {
        size_t middle = (size_t)(at - memory) + 8, run = 0;

        while (run < middle && run < 64 && memory[middle - 1 - run] == (run & 1 ? left : left2))
            run++;
        memset(f, 0, sizeof(*f));
        f->bytes_per_row = bytes_per_row;
        f->width = 8 * bytes_per_row;
        f->height = (uint32_t)(run / bytes_per_row);
        if (f->height >= 8 && f->height <= 32 &&
            is_font(memory, length, middle - f->height * bytes_per_row, f)) {
            memcpy(f->bitmap, memory + middle - 0xdeu * f->height * bytes_per_row,
                   256u * f->height * bytes_per_row);
            count = add(f, fonts, count);
        }
        at++;
    }
    free(f);
    return count;
}

unsigned fonts_search(const uint8_t *memory, size_t length, struct font *fonts, unsigned count)
{
    count = search(memory, length, 1, fonts, count);
    return search(memory, length, 2, fonts, count);
}
