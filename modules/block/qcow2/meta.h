/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cache through which a format's tables are read and written, and the one place where their order is kept. Every
 * slice of a table has a level; nothing of a level is written before everything of lower levels, and all data, is on
 * stable storage. A table that refers to others has a higher level than they. Callers hold the format's lock.
 */
#ifndef BLOCK_META_H
#define BLOCK_META_H

#include <stdbool.h>
#include <stdint.h>

#include <bp/host/block.h>

#define META_LEVELS 5u

struct slice {
    struct slice *next;            /* in its bucket */
    struct slice *newer, *older;   /* by use */
    uint64_t offset;
    unsigned pins;
    uint8_t level;
    bool dirty;
    uint8_t data[];
};

struct meta {
    const struct bp_block_interface *block;
    struct bp_block_child *file, *data; /* tables; what they lead to (may be the same) */
    uint32_t size;  /* bytes of a slice */
    unsigned most;  /* slices kept */
    unsigned count, buckets;
    struct slice **bucket, *newest, *oldest;
    unsigned dirty[META_LEVELS];
};

int meta_init(struct meta *m, const struct bp_block_interface *block, struct bp_block_child *file,
              struct bp_block_child *data, uint32_t size, uint64_t most_bytes);
void meta_free(struct meta *m); /* what is dirty is lost */
/* The slice that a table's byte at `offset` lies in, pinned. */
int meta_get(struct meta *m, uint64_t offset, unsigned level, struct slice **ret_slice);
void meta_put(struct slice *slice); /* NULL is fine */
void meta_dirty(struct meta *m, struct slice *slice);
/* All up to a level, in their order. What was written last is not yet on stable storage. */
int meta_write(struct meta *m, unsigned level);
/* Only those from a level on: for tables whose lower ones can be made anew from them. */
int meta_write_from(struct meta *m, unsigned level);
int meta_sync(struct meta *m);
/* Forgets what lies in a range of the file that is something else now. */
void meta_drop(struct meta *m, uint64_t offset, uint64_t bytes);

#endif
