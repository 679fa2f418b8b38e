/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images as pieces of memory: ELF, U-Boot's legacy format, or bytes. */
#ifndef LOADER_IMAGE_H
#define LOADER_IMAGE_H

#include <bp/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX_PIECES 64u

struct image {
    uint8_t *data; /* owned: the file */
    size_t size;
    struct image_piece {
        uint64_t address;
        size_t offset, size; /* in data */
        uint64_t zeroes;     /* that follow */
    } piece[IMAGE_MAX_PIECES];
    unsigned count;
    bool has_address, has_entry;
    uint64_t entry;
};

/* Takes data apart (it stays the image's). raw: whatever it looks like, it is bytes. A piece without an address
 * of its own (has_address false) has address 0. */
int image_parse(struct image *image, bool raw, struct bp_error *err);

#endif
