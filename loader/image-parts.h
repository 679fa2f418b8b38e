/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What image.c (segments, relocations) and image-dynamic.c (the dynamic section) share. [any] */
#ifndef LOADER_IMAGE_PARTS_H
#define LOADER_IMAGE_PARTS_H

#include <elf.h>

#include "image.h"

#define IMAGE_MAX_SEGMENTS 64u

struct segment {
    uint64_t address, memory_size;
    uint64_t size; /* bytes that the file holds */
    uint8_t *data;
};

/* The entries of the dynamic section that are looked at; addresses, and sizes in bytes. */
struct dynamic {
    uint64_t strings, strings_size, symbols, symbol_count;
    uint64_t rela, rela_size, relr, relr_size;
    uint64_t gnu_hash, hash, versions, needed_versions, needed_version_count;
    uint64_t init_array_size;
    bool text_relocations, audit, filter;
};

struct image {
    struct segment segments[IMAGE_MAX_SEGMENTS];
    unsigned segment_count;
    uint64_t total; /* bytes in all segments */
    uint64_t dynamic, dynamic_size;
    struct dynamic dyn;
    uint64_t *external; /* addresses of unknown pointers, sorted */
    size_t external_count;
    uint8_t build_id[IMAGE_BUILD_ID_MAX];
    size_t build_id_length;
    bool writable_code, executable_stack, has_stack_header;
};

/* Bytes of the file at an address, or NULL when not all of them are there. */
uint8_t *image_bytes(const struct image *image, uint64_t address, uint64_t length);
/* Fills image->dyn. */
int image_read_dynamic(struct image *image, struct bp_error *err);
bool image_symbol_at(const struct image *image, uint64_t index, Elf64_Sym *ret_symbol);

#endif
