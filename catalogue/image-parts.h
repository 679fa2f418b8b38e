/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What image.c (segments, relocations), image-dynamic.c (the dynamic section) and image-check.c
 * (fitness) share. [any] */
#ifndef CATALOGUE_IMAGE_PARTS_H
#define CATALOGUE_IMAGE_PARTS_H

#include <elf.h>

#include "image.h"

#define IMAGE_MAX_SEGMENTS 64u

struct segment {
    uint64_t address, memory_size;
    uint64_t size; /* bytes that the file holds */
    uint8_t *data;
    bool writable, executable;
};

/* The entries of the dynamic section that are looked at; addresses, and sizes in bytes. */
struct dynamic {
    uint64_t strings, strings_size, symbols, symbol_count, symbol_size;
    uint64_t rela, rela_size, rela_entry, relative_count, relr, relr_size, relr_entry;
    uint64_t plt, plt_size, plt_type, plt_table;
    uint64_t gnu_hash, hash, versions, needed_versions, needed_version_count;
    uint64_t own_versions, own_version_count;
    uint64_t init, fini, init_array, init_array_size, fini_array, fini_array_size;
    bool text_relocations, audit, filter, ended;
    int64_t odd; /* a tag that no compiler writes into a module, or the second of its kind */
};

struct image {
    struct segment segments[IMAGE_MAX_SEGMENTS];
    unsigned segment_count;
    uint64_t total; /* bytes in all segments */
    uint64_t contents;
    uint64_t dynamic, dynamic_size;
    uint64_t relro, relro_size; /* what is read-only after relocation */
    struct dynamic dyn;
    uint64_t *external; /* addresses of unknown pointers, sorted */
    size_t external_count;
    uint8_t build_id[IMAGE_BUILD_ID_MAX];
    size_t build_id_length;
    bool writable_code, executable_stack, has_stack_header, misaligned, unreadable;
};

/* Bytes of the file at an address, or NULL when not all of them are there. */
uint8_t *image_bytes(const struct image *image, uint64_t address, uint64_t length);
bool image_is_relative(const Elf64_Rela *r);
const struct segment *image_segment(const struct image *image, uint64_t address);
/* Calls fn for each dynamic entry up to DT_NULL; stops when it returns true, and returns that. */
typedef bool image_entry_fn(const struct image *image, const Elf64_Dyn *entry, void *opaque);
bool image_each_entry(const struct image *image, image_entry_fn *fn, void *opaque);
/* A name from the dynamic string table, or NULL. */
const char *image_name_at(const struct image *image, uint64_t offset);
/* Fills image->dyn. */
int image_read_dynamic(struct image *image, struct bp_error *err);
bool image_symbol_at(const struct image *image, uint64_t index, Elf64_Sym *ret_symbol);

#endif
