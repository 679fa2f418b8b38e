/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flash chips: what keeps their contents on a block device (store.c). Under the machine lock. */
#ifndef PFLASH_H
#define PFLASH_H

#include <bp/host/block.h>
#include <bp/device.h>

/* Imported in cfi01.c. */
extern const struct bp_block_interface *const *const pflash_block;

struct pflash_store {
    struct bp_blk_conf conf;
    struct bp_blk *blk; /* NULL: contents live as long as the machine */
    struct bp_device *dev;
    uint8_t *memory; /* the region's */
    uint64_t size;
    struct bp_deferred *deferred;
    uint64_t first, end;  /* bytes that are still to be written; first == end: none */
    uint8_t *copy;        /* owned: of what is being written ... */
    uint64_t writing_at;  /* ... and where it goes */
    struct iovec iov;
    bool writing, unflushed;
};

/* Opens conf.drive, if one is named: its length; 0: none is named. */
int pflash_store_open(struct pflash_store *s, struct bp_device *dev, uint64_t *ret_length, struct bp_error *err);
/* Fills memory with what is in it; all ones without. */
int pflash_store_read(struct pflash_store *s, uint8_t *memory, uint64_t size, struct bp_error *err);
void pflash_store_close(struct pflash_store *s);
bool pflash_store_writable(const struct pflash_store *s);
/* These bytes changed. They are written in the order in which they changed: who is killed leaves what was there at
 * some moment before. */
void pflash_store_dirty(struct pflash_store *s, uint64_t offset, uint64_t bytes);

#endif
