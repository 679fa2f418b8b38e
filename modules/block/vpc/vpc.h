/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtual hard disks (Microsoft's Virtual Hard Disk Image Format Specification, 2006): what the files of the module
 * share. Big end first. */
#ifndef VPC_H
#define VPC_H

#include "sparse.h"

enum { /* the footer, and its copy at the beginning of dynamic disks */
    FEATURES = 8, FOOTER_VERSION = 12, DATA_OFFSET = 16, TIME = 24, CREATOR = 28, CREATOR_VERSION = 32,
    CREATOR_HOST = 36, ORIGINAL_SIZE = 40, CURRENT_SIZE = 48, CYLINDERS = 56, HEADS = 58, SECTORS = 59,
    DISK_TYPE = 60, FOOTER_SUM = 64, FOOTER_UUID = 68, FOOTER_BYTES = 512,
};
enum { /* the header of dynamic disks */
    NEXT = 8, TABLE_OFFSET = 16, HEADER_VERSION = 24, TABLE_ENTRIES = 28, BLOCK_SIZE = 32, HEADER_SUM = 36,
    HEADER_BYTES = 1024,
};
#define FIXED 2u
#define DYNAMIC 3u
#define DIFFERENCING 4u
#define NOWHERE 0xffffffffu
#define MOST_BYTES (UINT64_C(2040) << 30)
#define LEVEL_BITMAP 1u
#define LEVEL_MAP 2u

struct vpc {
    struct sparse sparse;
    uint8_t footer[FOOTER_BYTES];
    uint32_t type, entries, bitmap_bytes; /* bitmap_bytes: of a block, before its data */
    uint64_t map, data;                   /* data: the first byte that a block may have */
    uint64_t next;                        /* where in the file the next block goes */
    bool known;
};

/* ---- make.c ---- */
uint32_t vpc_sum(const uint8_t *bytes, unsigned n, unsigned at); /* that of the field at `at` */
void vpc_set_size(uint8_t *footer, uint64_t size);
int vpc_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
int vpc_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                struct bp_error *err);

#endif
