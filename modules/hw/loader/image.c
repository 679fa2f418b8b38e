/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images for -device loader: ELF of 32 and 64 bits and both byte orders (System V ABI, chapters 4 and 5: program
 * headers
 * of type PT_LOAD, at their physical addresses), U-Boot's legacy images without compression, and anything else as
 * bytes.
 */
#include "image.h"

#include <errno.h>
#include <string.h>

#define UIMAGE_MAGIC 0x27051956u
#define UIMAGE_HEADER 64u

static uint64_t get(const uint8_t *p, unsigned width, bool big)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < width; i++)
        v = v << 8 | p[big ? i : width - 1 - i];
    return v;
}

static int add(struct image *image, uint64_t address, uint64_t offset, uint64_t size, uint64_t memory,
               struct bp_error *err)
{
    if (offset > image->size || size > image->size - offset)
        return bp_fail(err, EINVAL, "a part of %llu bytes at byte %llu of the file reaches beyond its end",
                       (unsigned long long)size, (unsigned long long)offset);
    if (memory < size || address + memory < address)
        return bp_fail(err, EINVAL, "a part with %llu bytes in the file and %llu in memory at 0x%llx is none",
                       (unsigned long long)size, (unsigned long long)memory, (unsigned long long)address);
    if (memory == 0)
        return 0;
    if (image->count == IMAGE_MAX_PIECES)
        return bp_fail(err, E2BIG, "more than %u parts", IMAGE_MAX_PIECES);
    image->piece[image->count++] = (struct image_piece){address, (size_t)offset, (size_t)size, memory - size};
    return 0;
}

static int parse_elf(struct image *image, struct bp_error *err)
{
    const uint8_t *d = image->data;
    bool wide = d[4] == 2, big = d[5] == 2;
    unsigned header = wide ? 64 : 52, entry = wide ? 56 : 32;

    if ((d[4] != 1 && d[4] != 2) || (d[5] != 1 && d[5] != 2) || image->size < header)
        return bp_fail(err, EINVAL, "an ELF file whose header is none; force-raw=on takes it as bytes");
    uint64_t at = wide ? get(d + 32, 8, big) : get(d + 28, 4, big);
    unsigned size = (unsigned)get(d + (wide ? 54 : 42), 2, big), count = (unsigned)get(d + (wide ? 56 : 44), 2, big);

    if (size < entry || at > image->size || count > (image->size - at) / size)
        return bp_fail(err, EINVAL, "an ELF file whose program headers are not in it");
    image->entry = wide ? get(d + 24, 8, big) : get(d + 24, 4, big);
    image->has_entry = image->has_address = true;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *p = d + at + (uint64_t)i * size;
        int r;

        if (get(p, 4, big) != 1) /* PT_LOAD */
            continue;
        r = wide ? add(image, get(p + 24, 8, big), get(p + 8, 8, big), get(p + 32, 8, big), get(p + 40, 8, big), err)
                 : add(image, get(p + 12, 4, big), get(p + 4, 4, big), get(p + 16, 4, big), get(p + 20, 4, big), err);
        if (r < 0)
            return r;
    }
    return image->count ? 0 : bp_fail(err, EINVAL, "an ELF file with nothing to load");
}

static int parse_uimage(struct image *image, struct bp_error *err)
{
    const uint8_t *d = image->data;
    uint64_t size = get(d + 12, 4, true), load = get(d + 16, 4, true);

    if (d[31])
        return bp_fail(err, ENOTSUP, "a U-Boot image that is compressed (method %u): decompress it, "
                "or force-raw=on takes "
                       "it as bytes", d[31]);
    image->entry = get(d + 20, 4, true);
    image->has_entry = image->has_address = true;
    return add(image, load, UIMAGE_HEADER, size, size, err);
}

int image_parse(struct image *image, bool raw, struct bp_error *err)
{
    if (!raw && image->size >= 16 && memcmp(image->data, "\177ELF", 4) == 0)
        return parse_elf(image, err);
    if (!raw && image->size >= UIMAGE_HEADER && get(image->data, 4, true) == UIMAGE_MAGIC)
        return parse_uimage(image, err);
    return add(image, 0, 0, image->size, image->size, err);
}
