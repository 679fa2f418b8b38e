/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks whose blocks lie anywhere in a file and get their places when they are first written to: what formats with
 * an allocation map have in common. A format says where a block is, where a new one may go, and enters it in its
 * tables; everything else is done here.
 *
 * The state of the format's driver begins with struct sparse; then the functions below are its slots. Tables are read
 * and written through a meta cache with a level of 1 or more, so that none refers to what is not on stable storage.
 * Requests go to blocks without the lock, and are counted: a block moves or is given back when there are none.
 */
#ifndef FORMAT_SPARSE_H
#define FORMAT_SPARSE_H

#include <bp/coroutine.h>

#include "format.h"
#include "meta.h"

enum sparse_kind {
    SPARSE_BELOW,  /* not here: the backing file's, or zeroes */
    SPARSE_ZERO,   /* reads as zeroes whatever is below */
    SPARSE_DATA,
    SPARSE_PACKED, /* compressed: read with unpack() */
};

struct sparse_place {
    enum sparse_kind kind;
    uint64_t bytes; /* from the offset asked for, all of one kind and in a row; in: as many as are wanted */
    struct bp_block_child *file; /* DATA: where it lies */
    uint64_t host;
};

/* Where a part of the disk that has no place yet will lie. */
struct sparse_room {
    uint64_t start, bytes; /* of the disk; what is asked for lies in it */
    struct bp_block_child *file;
    uint64_t host;
    void *opaque; /* the format's own, between room() and enter() */
};

struct sparse;

/* All [co], under the lock. */
struct sparse_ops {
    int (*find)(struct sparse *s, uint64_t offset, struct sparse_place *place);
    int (*room)(struct sparse *s, uint64_t offset, struct sparse_room *ret); /* or -errno: -ENOSPC, -ENOTSUP */
    int (*enter)(struct sparse *s, const struct sparse_room *room); /* the tables lead there from now on */
    /* The part that starts at `start`, all of it, reads as zeroes whatever is below; *ret_bytes: how long it is.
     * -ENOTSUP: this one cannot be said to. NULL: none can. */
    int (*enter_zero)(struct sparse *s, uint64_t start, uint64_t *ret_bytes);
    /* bytes of a PACKED place, as find() gave it */
    int (*unpack)(struct sparse *s, uint64_t offset, uint8_t *buf, uint64_t bytes);
    int (*sync)(struct sparse *s);   /* writes tables that are not in `meta`; or NULL */
    int (*begin)(struct sparse *s);  /* before the first change since the node was opened or settled; or NULL */
    int (*settle)(struct sparse *s); /* everything is on stable storage, nobody will write for now; or NULL */
    /* The disk becomes longer, a multiple of 512, and that is on stable storage; what is new reads as zeroes. Stopped
     * in the middle by a power cut, the image is as it was, or as it will be. Nobody is at any block. NULL: it
     * cannot. */
    int (*grow)(struct sparse *s, uint64_t length, struct bp_error *err);
};

struct sparse {
    const struct sparse_ops *ops;
    struct bp_block_child *file, *backing; /* backing: or NULL */
    uint64_t length; /* of the disk */
    uint32_t block;  /* bytes of the usual part */
    struct bp_co_mutex *lock;
    struct meta meta;
    bool marked; /* begin() was called */
    unsigned busy;  /* requests that are at blocks. Atomic */
    bool wanted;    /* somebody waits until there are none. Atomic */
    struct bp_co_queue *idle;
};

/* Fields but lock, meta and marked are set; the cache has slices of `slice` bytes. */
int sparse_open(struct sparse *s, uint32_t slice, uint64_t cache_bytes, struct bp_error *err);
void sparse_free(struct sparse *s); /* when opening fails later */
/* An entry of a table, at most 8 bytes that lie in one slice. Under the lock. [co] */
int table_get(struct sparse *s, uint64_t offset, unsigned level, void *entry, unsigned bytes);
int table_put(struct sparse *s, uint64_t offset, unsigned level, const void *entry, unsigned bytes);
int sparse_settle(struct sparse *s); /* for reopening read-only: nothing is left to be written */

/* Bytes go from one place of the file to another; they do not overlap. [co] */
int file_copy(struct bp_block_child *file, uint64_t from, uint64_t to, uint64_t bytes);
/* All tables up to a level are on stable storage, and all data. Under the lock. [co] */
int tables_sync(struct sparse *s, unsigned level);

/* Bytes of the file from `at` on are zeroes, whatever lay there behind its end or before. [co] */
int file_zeroes(struct bp_block_child *file, uint64_t at, uint64_t bytes);

/* Slots of drivers. */
void sparse_close(struct bp_block_node *node); /* writes what is left, and frees */
int sparse_read(struct bp_block_node *node, const struct bp_block_request *req);
int sparse_write(struct bp_block_node *node, const struct bp_block_request *req);
int sparse_zeroes(struct bp_block_node *node, const struct bp_block_request *req);
int sparse_discard(struct bp_block_node *node, const struct bp_block_request *req);
int sparse_flush(struct bp_block_node *node);
int sparse_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err);
int sparse_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret);
int64_t sparse_length(struct bp_block_node *node);
int sparse_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                  struct bp_error *err);
void sparse_limits(struct bp_block_node *node, struct bp_block_limits *limits); /* any offset and length */
void sparse_changed(struct bp_block_node *node); /* children_changed */

/* ---- for checks of images ---- */

/* Which units of a file are somebody's. */
struct claims {
    uint64_t *bits, units;
    uint32_t unit;
};
int claims_init(struct claims *c, uint64_t length, uint32_t unit); /* -EFBIG: it would take too much memory */
void claims_free(struct claims *c);
/* false: it is beyond the end, or somebody has a part of it. */
bool claims_take(struct claims *c, uint64_t offset, uint64_t bytes);
uint64_t claims_free_units(const struct claims *c);
void check_say(struct bp_block_check *check, const char *format, ...) BP_PRINTF(2, 3);

#endif
