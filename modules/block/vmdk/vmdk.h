/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images of VMware (Virtual Disk Format 5.0): what the files of the module share. Little end first, places in
 * sectors. */
#ifndef VMDK_H
#define VMDK_H

#include "sparse.h"

enum { /* SparseExtentHeader */
    VERSION = 4, FLAGS = 8, CAPACITY = 12, GRAIN = 20, DESCRIPTOR = 28, DESCRIPTOR_SIZE = 36, TABLE_ENTRIES = 44,
    SPARE_DIRECTORY = 48, DIRECTORY = 56, OVERHEAD = 64, UNCLEAN = 72, NEWLINES = 73, COMPRESSION = 77,
    HEADER_BYTES = 512,
};
#define MAGIC 0x564d444bu    /* "KDMV" */
#define COW_MAGIC 0x44574f43u /* "COWD": extents of ESX */
#define HAS_NEWLINES 1u
#define HAS_SPARE 2u
#define HAS_ZERO_GRAINS 4u
#define HAS_PACKED_GRAINS (1u << 16)
#define HAS_MARKERS (1u << 17)
#define AT_END UINT64_MAX /* of DIRECTORY: a footer says where it is */
#define ZERO_GRAIN 1u     /* an entry that reads as zeroes */
#define USUAL_GRAIN 65536u
#define USUAL_ENTRIES 512u
#define MOST_SPARSE (UINT64_C(1) << 41) /* bytes that 32 bits of sectors reach */
#define MOST_EXTENTS 4096u
#define MOST_DESCRIPTOR (1u << 20)
#define NO_PARENT 0xffffffffu
#define LEVEL_TABLE 1u
#define LEVEL_DIRECTORY 2u

enum extent_kind { EXTENT_FLAT, EXTENT_ZERO, EXTENT_SPARSE, EXTENT_STREAM };

struct extent {
    enum extent_kind kind;
    struct bp_block_child *file; /* NULL: of zeroes */
    char *name;                  /* as the descriptor has it, or NULL */
    uint64_t start, bytes;       /* of the disk */
    uint64_t offset;             /* FLAT: in the file */
    bool read_only;
    /* SPARSE, STREAM */
    struct meta meta;
    uint64_t grain, directory, spare, end; /* bytes; spare: 0: none. end: where in the file the next grain goes */
    uint32_t entries;                      /* of a table */
    bool zero_grains, cow;                 /* cow: one of ESX */
    /* STREAM */
    uint8_t *last;       /* the grain that was unpacked last, or NULL */
    uint64_t last_grain;
    uint32_t *places;    /* sectors, while it is written for the first time; else NULL */
    bool empty;          /* nothing was written yet: it may be */
};

struct vmdk {
    struct sparse sparse;
    struct extent *extents;
    unsigned count;
    uint32_t cid, parent_cid;
    char *type, *parent;                  /* as the descriptor says, or NULL */
    uint64_t descriptor, descriptor_bytes; /* bytes in `file`; descriptor_bytes 0: there is none */
    struct bp_block_node *node;
    bool read_only;
};

/* ---- descriptor.c ---- */
/* Lines of a descriptor; extents are appended without their files. `text` is changed. Pure. */
int descriptor_parse(struct vmdk *s, char *text, struct bp_error *err);
int descriptor_read(struct vmdk *s, char **ret_text, struct bp_error *err);
int descriptor_new_cid(struct vmdk *s); /* whoever has an image above this one sees that it has changed */
struct wish;
char *descriptor_make(const struct wish *w, const char *name);

/* ---- extent.c: under the lock ---- */
int extent_open(struct vmdk *s, struct extent *e, struct bp_error *err); /* reads the header of a sparse one */
void extent_close(struct extent *e);
int extent_find(struct vmdk *s, struct extent *e, uint64_t offset, struct sparse_place *place);
int extent_enter(struct extent *e, uint64_t grain, uint32_t sector);
int extent_check(struct extent *e, struct bp_block_check *ret);
int extent_entry(struct extent *e, uint64_t grain, uint32_t *ret); /* 0: nowhere */

/* ---- stream.c ---- */
int stream_unpack(struct extent *e, uint64_t offset, uint8_t *buf, uint64_t bytes);
/* A whole grain, at the end. The first one makes the stream's tables. */
int stream_append(struct extent *e, uint64_t grain, const uint8_t *data);
int stream_finish(struct vmdk *s, struct extent *e); /* tables and the footer */
int stream_make(struct bp_block_child *file, const struct wish *w, const char *descriptor);

/* ---- grow.c ---- */
int vmdk_grow(struct sparse *sparse, uint64_t length, struct bp_error *err);

/* ---- make.c ---- */
struct wish {
    uint64_t size;
    unsigned subformat;
    bool zero_grains;
    const char *adapter, *hardware, *tools, *backing;
    uint32_t cid, parent_cid;
};
enum { SUB_SPARSE, SUB_FLAT, SUB_SPLIT_SPARSE, SUB_SPLIT_FLAT, SUB_STREAM, SUB_EXTENT };
extern const char *const vmdk_subformats[];
#define SPLIT (UINT64_C(2) << 30) /* bytes of an extent */
#define DESCRIPTOR_SECTORS 20u
void vmdk_put_header(uint8_t h[HEADER_BYTES], const struct wish *w);
int vmdk_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
int vmdk_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err);

#endif
