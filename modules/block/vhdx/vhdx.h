/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtual hard disks v2 ([MS-VHDX], revision 6): what the files of the module share. Little end first. */
#ifndef VHDX_H
#define VHDX_H

#include "sparse.h"

#define MIB ((uint64_t)1 << 20)
#define SECTOR 4096u /* of the log, and of headers */

enum {
    HEADER_1 = 64 << 10, HEADER_2 = 128 << 10, REGIONS_1 = 192 << 10, REGIONS_2 = 256 << 10, TABLE_BYTES = 64 << 10,
};
enum { /* 2.2.2 */
    HEADER_SUM = 4, HEADER_SEQUENCE = 8, FILE_GUID = 16, DATA_GUID = 32, LOG_GUID = 48, LOG_VERSION = 64, VERSION = 66,
    LOG_LENGTH = 68, LOG_OFFSET = 72,
};
/* States of blocks (2.5.1.1): only these have data in the file. */
#define STATE(entry) ((entry) & 7)
#define FULLY_PRESENT 6u
#define PARTLY_PRESENT 7u
#define ENTRY_OFFSET(entry) ((entry) & ~(MIB - 1))
#define MOST_BYTES (UINT64_C(64) << 40)
#define LEVEL_MAP 1u

struct vhdx {
    struct sparse sparse;
    uint8_t header[SECTOR]; /* the current one */
    unsigned current;       /* 0, 1: which of both */
    uint64_t log, log_bytes, map, map_bytes, metadata, metadata_bytes;
    uint32_t sector; /* bytes of a sector of the disk */
    uint64_t ratio;  /* blocks for each entry of a sector bitmap in the map */
    uint64_t blocks, end; /* end: where in the file the next block goes */
    uint64_t log_sequence;
    uint32_t size_at; /* where in the metadata the size of the disk is */
    bool facts_only; /* no data is read or written: what the log has is not missed */
    bool fixed, read_only, replay; /* replay: the log has what is not in its place */
};

extern const uint8_t vhdx_guid_map[16], vhdx_guid_metadata[16], vhdx_guid_file[16], vhdx_guid_size[16],
    vhdx_guid_page83[16], vhdx_guid_logical[16], vhdx_guid_physical[16], vhdx_guid_parent[16];

/* CRC-32C (Castagnoli) of n bytes, those of the field at `at` taken as zeroes. */
uint32_t vhdx_sum(const uint8_t *bytes, uint64_t n, uint64_t at);

/* ---- header.c ---- */
int vhdx_read_headers(struct vhdx *s, struct bp_error *err); /* header, regions, metadata */
int vhdx_read_metadata(struct vhdx *s, struct bp_error *err);
/* Writes the header in place of the older one, then the other, each safe before the next. */
int vhdx_write_header(struct vhdx *s);
/* ---- log.c ---- */
int vhdx_look_at_log(struct vhdx *s, struct bp_error *err); /* sets `replay` */
int vhdx_replay(struct vhdx *s); /* and empties it */
int vhdx_journal(void *opaque, struct slice *const *slices, unsigned n);
/* ---- make.c ---- */
int vhdx_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
int vhdx_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err);

/* Entries of the map before that of a block: after each `ratio` blocks one is a sector bitmap's. */
static inline uint64_t vhdx_entry(uint64_t ratio, uint64_t n)
{
    return n + n / ratio;
}

#endif
