/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of compressed chunks that are read only: the chunk that was unpacked last is kept. The format says where each
 * begins and ends and how it is packed.
 */
#ifndef FORMAT_CHUNKS_H
#define FORMAT_CHUNKS_H

#include <bp/coroutine.h>

#include "format.h"

enum packing { PACKING_ZERO, PACKING_NONE, PACKING_ZLIB, PACKING_BZIP2 };

struct chunk {
    uint64_t start, bytes; /* of the disk */
    uint64_t host, packed; /* in the file */
    enum packing packing;
};

struct chunks {
    struct bp_block_child *file;
    uint64_t length; /* of the disk */
    /* The one that has a byte of the disk; what no chunk has is zeroes, up to the next one. Pure. */
    void (*find)(struct chunks *s, uint64_t offset, struct chunk *ret);
    /* Unpacks all of it: 0 or -EIO. Runs on a worker thread. */
    int (*unpack)(enum packing packing, const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t bytes);
    uint64_t most_bytes, most_packed; /* of a chunk: what is larger is not read */
    struct bp_co_mutex *lock;
    struct chunk last; /* in `unpacked`; bytes 0: none */
    uint8_t *unpacked, *packed;
};

/* The state of the driver begins with struct chunks; all but what is below `most_packed` is set. */
int chunks_open(struct chunks *s, struct bp_error *err);
void chunks_close(struct bp_block_node *node);
void chunks_free(struct chunks *s);
int chunks_read(struct bp_block_node *node, const struct bp_block_request *req);
int64_t chunks_length(struct bp_block_node *node);
int unpack_zlib(const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t bytes);

#endif
