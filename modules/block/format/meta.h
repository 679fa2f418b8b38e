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
#define META_KINDS 2u /* each has room of its own: */
enum meta_kind { META_COUNTS, META_MAPS }; /* levels 0 and 1; those above */

struct slice {
    struct slice *next;            /* in its bucket */
    struct slice *newer, *older;   /* by use, of its kind */
    uint64_t offset;
    unsigned pins;
    uint8_t level, kind;
    bool dirty, used;              /* used: since meta_age() */
    uint8_t data[];
};

struct meta_room {
    unsigned most, count; /* slices that may be kept, and are */
    struct slice *newest, *oldest;
};

struct meta {
    const struct bp_block_interface *block;
    struct bp_block_child *file, *data; /* tables; what they lead to (may be the same) */
    uint32_t size; /* bytes of a slice */
    unsigned buckets;
    struct slice **bucket;
    struct meta_room room[META_KINDS];
    unsigned dirty[META_LEVELS];
    /* Formats with a log: sees slices, META_BATCH at most, before they are written to their places, which wait until it
     * has put them on stable storage. NULL: there is no log. */
    int (*journal)(void *opaque, struct slice *const *slices, unsigned n);
    void *opaque;
};
#define META_BATCH 126u

/* most_bytes: of each kind; a few slices are kept in any case. */
int meta_init(struct meta *m, const struct bp_block_interface *block, struct bp_block_child *file,
              struct bp_block_child *data, uint32_t size, const uint64_t most_bytes[META_KINDS]);
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
/* Forgets what nobody has used since it was called last; dirty slices stay. */
void meta_age(struct meta *m);

#endif
