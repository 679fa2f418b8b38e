/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images in the format QED (its public specification): what the files of the module share. Little end first. */
#ifndef QED_H
#define QED_H

#include "sparse.h"

enum {
    CLUSTER_SIZE = 4, TABLE_SIZE = 8, HEADER_SIZE = 12, FEATURES = 16, COMPATIBLE = 24, AUTOCLEAR = 32, L1_OFFSET = 40,
    DISK_SIZE = 48, BACKING_OFFSET = 56, BACKING_SIZE = 60, HEADER_BYTES = 64,
};
#define MAGIC 0x00444551u
#define HAS_BACKING 1u
#define NEED_CHECK 2u
#define BACKING_RAW 4u /* the backing file's format is not looked for */
#define KNOWN_FEATURES 7u
#define MOST_NAME 1023u
#define MOST_HEADER (64u << 20)
#define LEVEL_L2 1u
#define LEVEL_L1 2u
#define ZERO_CLUSTER 1u /* an entry that reads as zeroes */

struct qed {
    struct sparse sparse;
    uint64_t features, compatible, autoclear, l1;
    uint32_t table, header; /* clusters */
    uint64_t entries;       /* of a table */
    uint64_t end;           /* where in the file the next cluster goes */
    char *backing_file;     /* or NULL */
    bool read_only, repaired;
};

static inline uint64_t qed_most(uint64_t cluster, uint64_t table)
{
    uint64_t entries = cluster * table / 8, span = entries * cluster; /* at most 2^27 and 2^53 */

    return span >= BP_BLOCK_MAX_LENGTH / entries ? BP_BLOCK_MAX_LENGTH : span * entries;
}

int qed_write_header(struct qed *s);
/* ---- make.c ---- */
int qed_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err);
int qed_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                struct bp_error *err);
/* ---- check.c ---- */
int qed_check_locked(struct qed *s, uint32_t fix, struct bp_block_check *ret);
int qed_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err);

#endif
