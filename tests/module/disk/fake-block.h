/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fake block/1 and the test's program share: disks in memory that can fail, wait and vanish. */
#ifndef TESTS_FAKE_BLOCK_H
#define TESTS_FAKE_BLOCK_H

#include <bp/host/block.h>

struct fake_pending {
    struct fake_pending *next;
    struct fake_disk *disk;
    enum bp_block_op op;
    struct bp_block_request req;
    void (*done)(void *opaque, int ret);
    void *opaque;
    bool cancelled;
};

struct fake_disk {
    const char *name;
    uint8_t *data;
    uint64_t length;
    bool loaded;     /* removable media */
    bool read_only;
    bool write_cache;
    bool locked, tray_is_open;
    unsigned requests[5]; /* by operation */
    unsigned total, fua;
    unsigned fail_at; /* the n-th request from now on, 0: none */
    int error;
    bool hold;        /* requests wait until drain() is called */
    struct fake_pending *pending, **tail;
    const struct bp_blk_ops *ops;
    void *opaque;
};

/* In the test's program; a name of NULL ends the list. */
extern struct fake_disk fake_disks[];



#endif
